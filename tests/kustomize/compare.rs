//! `compare FOLDER`: every kustomization below it, built by us and by the real
//! one. `compare --invent COUNT`: kustomizations that nobody wrote, the same way.
//! `compare --texts FOLDER`: YAML, each file as part of an object.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "it is a program")]

mod invent;

use std::{
    env, fs, io,
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
    thread,
    time::{Duration, Instant},
};

use clap::Parser as _;

const FILE_NAMES: [&str; 3] = ["kustomization.yaml", "kustomization.yml", "Kustomization"];

/// The real one may wait for a network that it does not have.
const PATIENCE: Duration = Duration::from_secs(60);

/// Lines that are shown of a difference.
const SHOWN: usize = 6;

#[derive(Default)]
struct Tally {
    same: usize,
    different: usize,
    refused: usize,
    only_ours: usize,
    neither: usize,
}

impl Tally {
    fn told(&self) -> usize {
        self.different + self.refused + self.only_ours
    }
}

struct Programs {
    kustomize: PathBuf,
    leeward: PathBuf,
}

#[derive(clap::Parser)]
struct Arguments {
    /// The real one, instead of the one that is built and kept in the cache
    #[arg(long)]
    kustomize: Option<PathBuf>,
    /// Ours, instead of the release build
    #[arg(long)]
    leeward: Option<PathBuf>,
    /// Invents so many kustomizations instead, and keeps those that differ
    #[arg(long, value_name = "COUNT", conflicts_with = "folder")]
    invent: Option<u64>,
    /// The first of the seeds that they are invented from
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Puts each file of a folder, such as what the fuzzers have learnt, below `spec:` of an
    /// object instead, and keeps those that differ
    #[arg(long, value_name = "FOLDER", conflicts_with_all = ["folder", "invent"])]
    texts: Option<PathBuf>,
    /// Every kustomization below it is built
    #[arg(required_unless_present_any = ["invent", "texts"])]
    folder: Option<PathBuf>,
}

fn main() -> ExitCode {
    let Arguments { kustomize, leeward, invent, seed, texts, folder } = Arguments::parse();
    let programs = match programs(kustomize, leeward) {
        Ok(programs) => programs,
        Err(error) => {
            eprintln!("{error:#}");
            return ExitCode::from(69);
        }
    };
    let mut tally = Tally::default();
    for kustomization in folder.iter().flat_map(|folder| kustomizations(folder)) {
        compare(&programs, &kustomization, &mut tally);
    }
    let made = match (texts, invent) {
        (Some(texts), _) => compare_texts(&programs, &texts, &mut tally),
        (None, Some(count)) => compare_invented(&programs, seed, count, &mut tally),
        (None, None) => Ok(()),
    };
    if let Err(error) = made {
        eprintln!("cannot write what is compared: {error}");
        return ExitCode::from(74);
    }
    let Tally { same, different, refused, only_ours, neither } = &tally;
    println!("{same} the same, {different} different, {refused} refused by us only");
    println!("{only_ours} built by us only, {neither} by neither");
    ExitCode::from(u8::from(tally.told() > 0))
}

fn compare_invented(
    programs: &Programs,
    seed: u64,
    count: u64,
    tally: &mut Tally,
) -> io::Result<()> {
    let root = env::temp_dir().join("leeward-invented");
    for seed in seed..seed.saturating_add(count) {
        let folder = root.join(seed.to_string());
        let top = invent::tree(seed, &folder)?;
        if compare(programs, &top, tally) {
            fs::remove_dir_all(&folder)?;
        }
    }
    Ok(())
}

fn compare_texts(programs: &Programs, texts: &Path, tally: &mut Tally) -> io::Result<()> {
    let root = env::temp_dir().join("leeward-texts");
    for entry in fs::read_dir(texts)? {
        let entry = entry?;
        // Not all that a fuzzer makes up is text.
        let Ok(text) = fs::read_to_string(entry.path()) else { continue };
        let folder = root.join(entry.file_name());
        fs::create_dir_all(&folder)?;
        let below = text.replace('\n', "\n  ");
        let object =
            format!("apiVersion: v1\nkind: Foo\nmetadata: {{name: a}}\nspec:\n  {below}\n");
        fs::write(folder.join("object.yaml"), object)?;
        fs::write(folder.join("kustomization.yaml"), "resources: [object.yaml]\n")?;
        if compare(programs, &folder, tally) {
            fs::remove_dir_all(&folder)?;
        }
    }
    Ok(())
}

/// Those that are given; the others are built.
fn programs(kustomize: Option<PathBuf>, leeward: Option<PathBuf>) -> anyhow::Result<Programs> {
    Ok(Programs {
        kustomize: kustomize.map_or_else(leeward_tests::kustomize::build, Ok)?,
        leeward: leeward.map_or_else(leeward_tests::agent::build_release, Ok)?,
    })
}

/// Folders with a kustomization that is no component, in order.
fn kustomizations(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        let entries = entries.flatten().filter(|entry| {
            entry.file_type().is_ok_and(|kind| kind.is_dir()) && entry.file_name() != ".git"
        });
        folders.extend(entries.map(|entry| entry.path()));
        let text = FILE_NAMES.iter().find_map(|name| fs::read_to_string(folder.join(name)).ok());
        if text.is_some_and(|text| !text.contains("kind: Component")) {
            found.push(folder);
        }
    }
    found.sort();
    found
}

/// Whether there is nothing to tell.
fn compare(programs: &Programs, folder: &Path, tally: &mut Tally) -> bool {
    let told = tally.told();
    let mut real = Command::new(&programs.kustomize);
    real.arg("build").arg(folder).args(["--load-restrictor", "LoadRestrictionsNone"]);
    for proxy in ["http_proxy", "https_proxy"] {
        // Nobody listens there.
        real.env(proxy, "http://127.0.0.1:9");
    }
    real.env("GIT_ALLOW_PROTOCOL", "none");
    let mut ours = Command::new(&programs.leeward);
    ours.arg("render").arg(folder).args(["--load-restrictor", "none"]);
    match (output(real), output(ours)) {
        (Ok(real), Ok(ours)) if real == ours => tally.same += 1,
        (Ok(real), Ok(ours)) => {
            tally.different += 1;
            println!("DIFFERENT {}", folder.display());
            show_difference(&real, &ours);
        }
        (Ok(_), Err(message)) => {
            tally.refused += 1;
            println!("REFUSED {}\n  {message}", folder.display());
        }
        (Err(message), Ok(_)) => {
            tally.only_ours += 1;
            println!("ONLY OURS {}\n  {message}", folder.display());
        }
        (Err(_), Err(_)) => tally.neither += 1,
    }
    tally.told() == told
}

/// What a program prints, or the end of what it complains about.
fn output(mut command: Command) -> Result<String, String> {
    let piped = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = piped.spawn().map_err(|error| format!("{command:?}: {error}"))?;
    let (Some(mut stdout), Some(mut stderr)) = (child.stdout.take(), child.stderr.take()) else {
        return Err("it has no output".to_owned());
    };
    let printed = thread::spawn(move || std::io::read_to_string(&mut stdout));
    let complaint = thread::spawn(move || std::io::read_to_string(&mut stderr));
    let deadline = Instant::now() + PATIENCE;
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) if Instant::now() < deadline => thread::sleep(Duration::from_millis(2)),
            _ => {
                let _ = child.kill();
                let _ = child.wait();
                return Err("it took too long".to_owned());
            }
        }
    };
    let text = |thread: thread::JoinHandle<std::io::Result<String>>| {
        thread.join().ok().and_then(Result::ok).unwrap_or_default()
    };
    let (printed, complaint) = (text(printed), text(complaint));
    if status.success() {
        return Ok(printed);
    }
    Err(complaint.lines().last().unwrap_or_default().chars().take(300).collect())
}

fn show_difference(real: &str, ours: &str) {
    let (real, ours): (Vec<&str>, Vec<&str>) = (real.lines().collect(), ours.lines().collect());
    let at = real.iter().zip(&ours).take_while(|(a, b)| a == b).count();
    for (name, lines) in [("real", real), ("ours", ours)] {
        println!("  {name}, line {}", at + 1);
        for line in lines.iter().skip(at.saturating_sub(2)).take(SHOWN) {
            println!("    {line}");
        }
    }
}
