//! What keeps the cluster from following Git, most important first.

use super::{AppFacts, Facts, why_app::why_app};
use crate::model::{Blocker, LinkState};

/// The blocker of reports that the receiver does not get.
pub(super) const REPORT: &str = "report";

/// Lists first what nothing can go on without, then what concerns one app,
/// then what mends itself, and last what only people far away miss.
pub(super) fn why(facts: &Facts<'_>, apps: &[AppFacts<'_>]) -> Vec<Blocker> {
    let mut blockers: Vec<Blocker> = Vec::new();
    blockers.extend(store(facts));
    blockers.extend(api_server(facts));
    blockers.extend(unwatched(facts));
    blockers.extend(source(facts));
    blockers.extend(apps.iter().flat_map(|app| why_app(app, facts.uptime, facts.wall)));
    blockers.extend(link(facts));
    blockers.extend(delivery(facts));
    blockers.extend(refused(facts));
    blockers
}

fn blocker(blocker: &str, evidence: impl Into<String>, hint: &str) -> Blocker {
    Blocker {
        blocker: blocker.to_owned(),
        app: None,
        evidence: evidence.into(),
        hint: hint.to_owned(),
        next_try: None,
    }
}

fn store(facts: &Facts<'_>) -> Option<Blocker> {
    let hint = "make room on the disk of store.path, or raise store.max_size";
    facts.store_fault.map(|fault| blocker("store", fault, hint))
}

fn unwatched(facts: &Facts<'_>) -> impl Iterator<Item = Blocker> {
    let hint = "drift and health of this kind are not seen meanwhile; `leeward check` names what \
                the role lacks";
    facts.unwatched.iter().map(|(kind, fault)| blocker("watch", format!("{kind}: {fault}"), hint))
}

fn api_server(facts: &Facts<'_>) -> Option<Blocker> {
    let hint = "`leeward check` walks the way to the API server; workloads run on meanwhile";
    facts.cluster_fault.map(|fault| blocker("api_server", fault, hint))
}

fn source(facts: &Facts<'_>) -> Vec<Blocker> {
    let hint = "correct it in Git; every app stays as it is until then";
    let faults = facts.source.map_or(&[][..], |source| &source.faults);
    faults.iter().map(|fault| blocker("source", fault.to_string(), hint)).collect()
}

fn link(facts: &Facts<'_>) -> Option<Blocker> {
    let link = facts.link;
    let hint = link.hint.as_deref().unwrap_or(
        "nothing to do if the link is known to be down; what is in the store goes on working",
    );
    let step = link.failed_step.map_or_else(String::new, |step| format!("{}: ", step.name()));
    (link.state == LinkState::Down).then(|| Blocker {
        next_try: link.next_try,
        ..blocker("link", format!("{step}{}", link.evidence), hint)
    })
}

fn delivery(facts: &Facts<'_>) -> Option<Blocker> {
    let delivery = facts.delivery;
    let hint = "`report.url` names the receiver; reports wait, and nothing else waits for them";
    (delivery.failures > 0).then(|| Blocker {
        next_try: delivery.next_try,
        ..blocker(REPORT, delivery.evidence.as_str(), hint)
    })
}

fn refused(facts: &Facts<'_>) -> Option<Blocker> {
    let count = facts.outbox.refused;
    let hint = "ask whoever runs the receiver of report.url";
    (count > 0)
        .then(|| blocker(REPORT, format!("the receiver refused {count} events for good"), hint))
}
