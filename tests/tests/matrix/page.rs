//! The table of what was seen, for people.

use std::{collections::BTreeMap, fmt::Write as _};

use super::{faults::Fault, phases::Phase, story::Seen};

/// What was seen of each phase under each fault.
pub(crate) type Matrix = BTreeMap<(&'static str, &'static str), Seen>;

pub(crate) fn page(matrix: &Matrix) -> String {
    let mut page = String::from(INTRODUCTION);
    let heads: Vec<&str> = Fault::ALL.iter().map(|fault| fault.words().0).collect();
    writeln!(page, "| phase | {} | ends as |", heads.join(" | ")).unwrap();
    writeln!(page, "|---|{}---|", "---|".repeat(heads.len())).unwrap();
    for phase in std::iter::once(Phase::Fetching).chain(Phase::OF_AN_APP) {
        let cells: Vec<String> = Fault::ALL
            .iter()
            .map(|fault| match matrix.get(&(phase.slug(), fault.slug())) {
                Some(seen) => cell(*fault, *seen),
                None => "not seen".to_owned(),
            })
            .collect();
        let end = if phase.goes_back() { "the last good" } else { "what Git wants" };
        writeln!(page, "| {} | {} | {end} |", phase.words().0, cells.join(" | ")).unwrap();
    }
    page.push_str("\n## How an app is kept in a phase\n\n| phase | by |\n|---|---|\n");
    for phase in std::iter::once(Phase::Fetching).chain(Phase::OF_AN_APP) {
        let (name, by) = phase.words();
        writeln!(page, "| {name} | {by} |").unwrap();
    }
    page.push_str("\n## How a fault is made\n\n| fault | how | `leeward why` says meanwhile |\n|---|---|---|\n");
    for fault in Fault::ALL {
        let (name, how) = fault.words();
        let said: Vec<String> = fault.named_by().iter().map(|word| format!("`{word}`")).collect();
        let said = if said.is_empty() { "·".to_owned() } else { said.join(", ") };
        writeln!(page, "| {name} | {how} | {said} |").unwrap();
    }
    page
}

const INTRODUCTION: &str = "# The kill matrix\n\n\
<!-- Generated from what was seen; LEEWARD_BLESS=1 cargo test -p leeward-tests --test matrix -->\n\n\
What becomes of an app that a fault strikes in a phase of its life: a real agent, a real API server, a\n\
real git server. Each cell was seen by the test that writes this page, and in each cell the test\n\
requires that\n\n\
- the app ends as the last column says, and the next commit goes in after that;\n\
- the agent has deleted nothing but what the plans delete, by the audit log of the API server, and made\n\x20 \
  nothing a second time but what is replaced;\n\
- what does not change has the uid, and what is nobody's the version, that it had before;\n\
- no Job has had a second pod: neither one that ran before, and that the cluster has removed since, nor\n\x20 \
  one that came with the revision;\n\
- `status` and the inventory in the store have exactly the objects that Git declares;\n\
- nothing blocks in the end.\n\n";

/// What the agent did, in words that depend on nothing but what was seen.
fn cell(fault: Fault, seen: Seen) -> String {
    let where_it_was = seen.struck_in == seen.phase.shown();
    let from =
        if where_it_was { String::new() } else { format!(", from {} on", seen.struck_in.name()) };
    let told = match (fault, seen.phase, seen.ended_meanwhile) {
        (_, Phase::RolledBack, _) if where_it_was => "stays back",
        (Fault::Kill, Phase::Fetching, _) => "asks for what is missing",
        (Fault::Kill, Phase::Held, _) => "is held again",
        (_, Phase::Held, _) if fault != Fault::Link => "stays held",
        (Fault::Kill, ..) => "goes on where it was",
        (Fault::Clock, ..) => "takes no notice",
        (_, _, true) => "goes on meanwhile",
        (Fault::ApiServer, ..) => "waits for the API server, then goes on",
        (Fault::Link, ..) => "waits for the link, then goes on",
        (Fault::DiskFull | Fault::ReadOnly, ..) => "waits for the disk, then goes on",
    };
    format!("{told}{from}")
}
