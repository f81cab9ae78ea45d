//! The kill matrix: every phase in the life of a revision, struck by every fault.
//!
//! One agent for each fault has an app in each phase, and another one fetches; all
//! are struck at once, and all share one control plane.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends")]

mod checks;
mod faults;
mod page;
mod phases;
mod story;
mod watch;

use std::{fs, path::Path, time::Instant};

use anyhow::Result;
use futures::future::join_all;
use leeward_tests::{
    controlplane::{ControlPlane, ControlPlaneOptions},
    leash::ScratchDir,
    weather::say,
};

use faults::{Fault, Library, can_mount};
use page::{Matrix, page};
use phases::Phase;
use story::{Seen, Story};

const PAGE: &str = "../docs/reference/kill-matrix.md";
/// Whose requests the API server writes down: everybody's who is not a part of it.
const USER: &str = "admin";

/// One agent, from its first start to its last check.
async fn told(
    plane: &ControlPlane,
    fault: Fault,
    phases: &[Phase],
    library: &Library,
) -> Result<Vec<Seen>> {
    let started = Instant::now();
    let story = Story::begin(plane, fault, phases, library).await?;
    let begun = started.elapsed();
    let seen = story.tell().await?;
    say(&format!(
        "{}, {} apps: {:?}, of which {begun:?} until all were good",
        fault.slug(),
        phases.len(),
        started.elapsed()
    ));
    Ok(seen)
}

#[tokio::test]
async fn every_phase_survives_every_fault() {
    let name = "matrix";
    if !can_mount() {
        say(&format!("skipped: {name}: needs the right to mount a small disk"));
        return;
    }
    let options = ControlPlaneOptions { audited_user: Some(USER.to_owned()), ..Default::default() };
    let Some(plane) = ControlPlane::start_own(options, name).await.unwrap() else { return };
    let folder = ScratchDir::new(name).unwrap();
    let library = Library::build(folder.path()).unwrap();
    let (plane, library) = (&plane, &library);
    // For a closer look: one fault alone, as `api`; its part of the page is printed.
    let only = std::env::var("LEEWARD_FAULT").unwrap_or_default();
    let faults = Fault::ALL.into_iter().filter(|fault| only.is_empty() || fault.slug() == only);
    let stories = faults.flat_map(|fault| {
        [&[Phase::Fetching][..], &Phase::OF_AN_APP]
            .map(|phases| async move { (fault, told(plane, fault, phases, library).await) })
    });
    let (mut matrix, mut failed) = (Matrix::new(), Vec::new());
    for (fault, told) in join_all(stories).await {
        match told {
            Ok(seen) => {
                matrix.extend(seen.into_iter().map(|one| ((one.phase.slug(), fault.slug()), one)));
            }
            Err(error) => failed.push(format!("{}: {error:#}", fault.slug())),
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n\n"));
    let page = page(&matrix);
    if !only.is_empty() {
        say(&page);
        return;
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(PAGE);
    if std::env::var_os("LEEWARD_BLESS").is_some() {
        fs::write(&path, &page).unwrap();
    }
    let known = fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(known, page, "{PAGE} is stale: LEEWARD_BLESS=1 writes it anew");
}
