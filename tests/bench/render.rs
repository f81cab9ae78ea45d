//! `leeward render` beside `kustomize build`: time and memory of whole
//! processes, on the same folder.

use std::{
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use leeward_tests::kustomize;

use crate::report::{self, Promises};

pub(crate) const SIZES: [usize; 3] = [10, 100, 1000];
/// Runs of each; the medians are shown, and the most memory of any.
const RUNS: usize = 21;
/// Of the real one's time and memory, what is promised to be enough for as many objects.
const PROMISED: (usize, f64) = (100, 0.2);
/// Its `%M` is the most KiB that were resident.
const TIME: &str = "/usr/bin/time";

/// Blocks.
pub(crate) fn run(promises: &mut Promises, leeward: &Path, sizes: &[usize]) -> Result<()> {
    let real = kustomize::build()?;
    for objects in sizes {
        let folder = tempfile::tempdir().context("no temporary folder")?;
        kustomize::write_sample(folder.path(), *objects)?;
        report::title(&format!(
            "Render: {objects} objects, beside kustomize {}",
            kustomize::VERSION
        ));
        let programs =
            [Program { path: leeward, verb: "render" }, Program { path: &real, verb: "build" }];
        compare(promises, &programs, folder.path(), *objects)?;
    }
    Ok(())
}

fn compare(
    promises: &mut Promises,
    programs: &[Program<'_>; 2],
    folder: &Path,
    objects: usize,
) -> Result<()> {
    let (mut times, mut memories) = ([Vec::new(), Vec::new()], [0, 0]);
    for _ in 0..RUNS {
        let mut outputs = Vec::new();
        // By turns: what else the machine does hits both.
        for (at, program) in programs.iter().enumerate() {
            let (time, output) = program.timed(folder)?;
            times[at].push(time);
            outputs.push(output);
            memories[at] = program.most_resident(folder)?.max(memories[at]);
        }
        ensure!(outputs[0] == outputs[1], "the outputs differ");
    }
    let [ours, theirs] = times.map(|mut times| {
        times.sort_unstable();
        times[times.len() / 2].as_secs_f64() * 1000.0
    });
    report::figure("time, ours", &format!("{ours:.2} ms"));
    report::figure("time, kustomize", &format!("{theirs:.2} ms"));
    ratio(promises, "time, ours of kustomize's", ours / theirs, objects);
    let [ours, theirs] = memories.map(|kib| f64::from(kib) / 1024.0);
    report::figure("most resident, ours", &format!("{ours:.2} MiB"));
    report::figure("most resident, kustomize", &format!("{theirs:.2} MiB"));
    ratio(promises, "most resident, ours of kustomize's", ours / theirs, objects);
    Ok(())
}

fn ratio(promises: &mut Promises, what: &str, ratio: f64, objects: usize) {
    if objects == PROMISED.0 {
        promises.at_most(what, ratio, PROMISED.1, "");
    } else {
        report::figure(what, &format!("{ratio:.2}"));
    }
}

struct Program<'p> {
    path: &'p Path,
    verb: &'static str,
}

impl Program<'_> {
    fn timed(&self, folder: &Path) -> Result<(Duration, Vec<u8>)> {
        let started = Instant::now();
        let output = Command::new(self.path)
            .arg(self.verb)
            .arg(folder)
            .stdin(Stdio::null())
            .output()
            .with_context(|| format!("cannot run {}", self.path.display()))?;
        let time = started.elapsed();
        if !output.status.success() {
            bail!("{}: {}", self.path.display(), String::from_utf8_lossy(&output.stderr));
        }
        Ok((time, output.stdout))
    }

    /// In KiB.
    fn most_resident(&self, folder: &Path) -> Result<u32> {
        let output = Command::new(TIME)
            .args(["-f", "%M"])
            .arg(self.path)
            .arg(self.verb)
            .arg(folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .output()
            .with_context(|| format!("cannot run {TIME}: install GNU time"))?;
        let said = String::from_utf8_lossy(&output.stderr);
        let last = said.lines().last().unwrap_or_default();
        last.trim().parse().with_context(|| format!("{TIME} says {said:?}"))
    }
}
