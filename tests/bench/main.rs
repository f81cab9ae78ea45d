//! `cargo figures`: what Leeward costs and how fast it is, on the release
//! binary, each figure beside a peer of the same run or what is promised.
//!
//! Run by hand or nightly, on a machine that does nothing else. Exit 1 when a
//! promise does not hold, 2 when a bench could not be run to its end.

mod apart;
mod apply;
mod drift;
mod fetch;
mod footprint;
mod render;
mod report;

use std::{path::PathBuf, process::ExitCode, time::Duration};

use anyhow::{Context, Result};
use clap::{Parser, ValueEnum};

use report::Promises;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Bench {
    /// Bytes on the link, beside `git clone --depth 1` and a sparse partial clone.
    Fetch,
    /// Time to healthy, beside raw server-side applies.
    Apply,
    /// Time to heal edits and deletions, again and again.
    Drift,
    /// Time to heal edits of an app, and until `status` is answered, while a
    /// different app is in trouble.
    Apart,
    /// Memory, processor and disk at rest, and the peak at work.
    Footprint,
    /// Time and memory of `render`, beside the real Kustomize.
    Render,
}

/// What Leeward costs and how fast it is, on the release binary.
#[derive(Debug, Parser)]
#[command(name = "cargo figures")]
struct Arguments {
    /// Which benches to run; all when none is named.
    #[arg(value_enum)]
    benches: Vec<Bench>,
    /// Times that `apply` does each of its sizes; the medians are shown.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Numbers of objects that `apply`, `footprint` and `render` work on.
    #[arg(long, value_delimiter = ',')]
    objects: Vec<usize>,
    /// Minutes that `footprint` watches an agent at rest.
    #[arg(long, default_value_t = 10)]
    idle_minutes: u64,
    /// A released binary, as `TARGET=FILE`: `footprint` measures all that are named, ARM on emulators.
    #[arg(long = "released", requires = "page")]
    released: Vec<footprint::Released>,
    /// Where to write what `footprint` found of them, as Markdown.
    #[arg(long, requires = "released")]
    page: Option<PathBuf>,
}

impl Arguments {
    fn objects_or<'a>(&'a self, default: &'a [usize]) -> &'a [usize] {
        if self.objects.is_empty() { default } else { &self.objects }
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    // Fails only when there is one already, which is as good.
    let _installed = rustls::crypto::ring::default_provider().install_default();
    let arguments = Arguments::parse();
    let mut promises = Promises::default();
    match run(&arguments, &mut promises).await {
        Ok(()) if promises.broken() == 0 => ExitCode::SUCCESS,
        Ok(()) => {
            eprintln!("{} promises do not hold", promises.broken());
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("the benches ended early: {error:#}");
            ExitCode::from(2)
        }
    }
}

async fn run(arguments: &Arguments, promises: &mut Promises) -> Result<()> {
    let idle = Duration::from_secs(60 * arguments.idle_minutes);
    if let Some(page) = &arguments.page {
        return footprint::measure_releases(promises, &arguments.released, idle, page)
            .await
            .context("footprint");
    }
    let binary = tokio::task::spawn_blocking(leeward_tests::agent::build_release).await??;
    let size = std::fs::metadata(&binary).context("cannot look at the binary")?.len();
    report::note(&format!("leeward, release build: {size} bytes"));
    let all = Bench::value_variants();
    let benches = if arguments.benches.is_empty() { all } else { &arguments.benches };
    for bench in benches {
        match bench {
            Bench::Fetch => fetch::run(promises).await.context("fetch")?,
            Bench::Apply => {
                let sizes = arguments.objects_or(&apply::SIZES);
                apply::run(promises, sizes, arguments.rounds).await.context("apply")?;
            }
            Bench::Drift => drift::run(promises).await.context("drift")?,
            Bench::Apart => apart::run(promises).await.context("apart")?,
            Bench::Footprint => {
                let sizes = arguments.objects_or(&footprint::SIZES);
                footprint::run(promises, sizes, idle).await.context("footprint")?;
            }
            Bench::Render => {
                let sizes = arguments.objects_or(&render::SIZES);
                tokio::task::block_in_place(|| render::run(promises, &binary, sizes))
                    .context("render")?;
            }
        }
    }
    Ok(())
}
