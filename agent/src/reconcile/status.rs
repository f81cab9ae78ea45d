//! The documents of `status` and `why`, from what the loop knows.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use leeward_core::{
    cycle::{App, Hold, HoldReason, Phase, SourceRecord},
    model::{
        AgentStatus, AppStatus, BadRevision, Blocker, CandidateRevision, ContentId, DriftStatus,
        GoodRevision, HealthName, HeldStatus, LinkState, LinkStatus, LinkStep, OutboxStatus,
        PhaseName, SourceStatus, StatusDocument, StoreStatus, Uptime,
    },
    report::Delivery,
};

use super::{reconciler::Reconciler, sight::Sight};
use crate::{
    config::{Config, Reference},
    edge::Cluster,
    store::{Batch, Store},
};

/// Only the latest state matters far away, and each costs a write to flash: a
/// busy minute is told in thirty pictures at most.
pub(super) const STATE_EVERY: Duration = Duration::from_secs(2);
/// Work that is under way for so long is worth a word.
const WORTH_SAYING: Duration = Duration::from_secs(5);
/// The blocker of what the receiver does not get.
const REPORT: &str = "report";

/// What is known of the way to the remote.
#[derive(Clone, Debug)]
pub(super) struct LinkView {
    pub(super) state: LinkState,
    pub(super) failed_step: Option<LinkStep>,
    pub(super) since: Timestamp,
    pub(super) evidence: String,
    pub(super) hint: Option<String>,
    pub(super) next_try: Option<Timestamp>,
}

impl LinkView {
    pub(super) fn unknown(since: Timestamp) -> Self {
        Self {
            state: LinkState::Unknown,
            failed_step: None,
            since,
            evidence: "not tried since the start".to_owned(),
            hint: None,
            next_try: None,
        }
    }
}

/// All that a status is made of.
pub(super) struct Facts<'a> {
    pub(super) config: &'a Config,
    pub(super) version: &'a str,
    pub(super) running: bool,
    pub(super) boot: u64,
    pub(super) uptime: Uptime,
    pub(super) wall: Timestamp,
    pub(super) source: Option<&'a SourceRecord>,
    pub(super) link: &'a LinkView,
    pub(super) outbox: OutboxStatus,
    pub(super) store: StoreStatus,
    pub(super) store_fault: Option<&'a str>,
    pub(super) sight: &'a Sight,
    pub(super) delivery: &'a Delivery,
}

/// One app and what is known of its objects.
pub(super) struct AppFacts<'a> {
    pub(super) app: &'a App,
    pub(super) objects: usize,
    pub(super) open: u64,
    pub(super) message: &'a str,
    /// Why it cannot have its variables.
    pub(super) wanting: Option<&'a str>,
    /// What is under way for it, and how long already.
    pub(super) under_way: Option<(&'static str, Duration)>,
}

/// The state as it was recorded last for the receiver.
#[derive(Debug, Default)]
pub(super) struct Published {
    /// The part of it that matters far away, and when it was recorded.
    recorded: Option<(String, Uptime)>,
    /// The state changed since then.
    stale: bool,
    /// The newest document, without what moves by itself.
    last: Option<StatusDocument>,
}

impl Published {
    /// Whether a newer state waits to be recorded.
    pub(super) fn is_stale(&self) -> bool {
        self.stale
    }
}

impl<C: Cluster + 'static> Reconciler<C> {
    pub(super) fn document(&self) -> StatusDocument {
        let store = &self.outside.store;
        let now = self.clock.uptime();
        let store_fault = self.journal.fault();
        let facts = Facts {
            config: &self.settings.config,
            version: &self.settings.version,
            running: true,
            boot: self.journal.boot(),
            uptime: self.clock.uptime(),
            wall: self.clock.wall(),
            source: self.source.record.as_ref(),
            link: &self.source.link,
            outbox: store.outbox_status().unwrap_or_default(),
            store: store_status(store, &self.settings.config),
            store_fault: store_fault.as_deref(),
            sight: &self.sight,
            delivery: &self.channels.delivery.borrow(),
        };
        let apps = self.apps.values().map(|managed| AppFacts {
            app: &managed.app,
            objects: managed.inventory.len(),
            open: (managed.view.open.len() + managed.view.drifted.len()) as u64,
            message: managed.view.message.as_str(),
            wanting: managed.wanting.as_deref(),
            under_way: managed.errand.as_ref().map(|errand| (errand.about, now - errand.since)),
        });
        document(&facts, &apps.collect::<Vec<_>>())
    }

    /// Hands the newest status to whoever serves it, and puts it into the
    /// outbox when something in it changed that matters far away.
    pub(super) fn publish(&mut self) {
        let unwritten = self.journal.unwritten();
        self.channels.unwritten.send_if_modified(|known| {
            let changed = **known != unwritten;
            if changed {
                *known = Arc::new(unwritten);
            }
            changed
        });
        let document = self.document();
        self.measure(&document);
        let kept = reportable(&document);
        if !self.published.stale && self.published.last.as_ref() == Some(&kept) {
            self.channels.status.send_replace(Some(Arc::new(document)));
            return;
        }
        let digest = serde_json::to_string(&kept).unwrap_or_default();
        self.published.last = Some(kept);
        let now = self.clock.uptime();
        let (same, due) = self
            .published
            .recorded
            .as_ref()
            .map_or((false, true), |(last, at)| (*last == digest, *at + STATE_EVERY <= now));
        self.published.stale = !same;
        if !same && due {
            let value = serde_json::to_value(&document).unwrap_or_default();
            self.record(Batch { state: Some((self.journal.stamp(), value)), ..Batch::default() });
            self.published.recorded = Some((digest, now));
            self.published.stale = false;
            self.hooks.reported.send_modify(|count| *count += 1);
        }
        self.channels.status.send_replace(Some(Arc::new(document)));
    }

    fn measure(&self, document: &StatusDocument) {
        let metrics = &self.hooks.metrics;
        for app in &document.apps {
            let healthy = app.health == HealthName::Healthy;
            metrics.set_app(&app.name, app.phase, healthy, app.objects);
        }
        metrics.outbox(document.outbox.pending, document.outbox.dropped);
        metrics.store(document.store.bytes, self.outside.store.written_bytes());
    }

    /// Returns what the agent is about, in a line for `systemctl status`.
    pub(super) fn status_line(&self) -> String {
        let phases = self.apps.values().map(|managed| &managed.app.record.phase);
        let good = phases.filter(|phase| **phase == Phase::Good).count();
        let link = match self.source.link.state {
            LinkState::Up => "up",
            LinkState::Down => "down",
            LinkState::Unknown => "unknown",
        };
        format!("{good} of {} apps good, link {link}", self.apps.len())
    }
}

/// What of a status is worth sending: not the uptime, nor a counter that moves by itself.
fn reportable(document: &StatusDocument) -> StatusDocument {
    let mut kept = document.clone();
    kept.agent.uptime_seconds = 0;
    kept.link.next_try = None;
    kept.outbox = OutboxStatus::default();
    kept.store = StoreStatus { bytes: 0, max_bytes: 0 };
    // Nobody can be told that nobody can be told; the counters come along with the next state.
    kept.why.retain(|blocker| blocker.blocker != REPORT);
    kept.why.iter_mut().for_each(|blocker| blocker.next_try = None);
    kept
}

pub(super) fn store_status(store: &Store, config: &Config) -> StoreStatus {
    StoreStatus { max_bytes: config.store.max_size, ..store.size() }
}

pub(super) fn document(facts: &Facts<'_>, apps: &[AppFacts<'_>]) -> StatusDocument {
    let source = &facts.config.source;
    let reference = match &source.reference {
        Reference::Branch(name) => format!("refs/heads/{name}"),
        Reference::Tag(name) => format!("refs/tags/{name}"),
        Reference::Commit(id) => id.clone(),
    };
    StatusDocument {
        cluster: facts.config.cluster.name.clone(),
        agent: AgentStatus {
            version: facts.version.to_owned(),
            running: facts.running,
            boot: facts.boot,
            uptime_seconds: facts.uptime.0.as_secs(),
        },
        source: SourceStatus {
            url: source.url.clone(),
            reference,
            path: source.path.clone(),
            commit: facts.source.map(|source| source.commit),
            content: facts.source.map(|source| ContentId(source.tree.to_string())),
            fetched_at: facts.source.map(|source| source.fetched_at),
        },
        link: LinkStatus {
            state: facts.link.state,
            failed_step: facts.link.failed_step,
            since: facts.link.since,
            evidence: facts.link.evidence.clone(),
            next_try: facts.link.next_try,
        },
        apps: apps.iter().map(|app| app_status(app, facts)).collect(),
        outbox: facts.outbox.clone(),
        store: facts.store,
        why: why(facts, apps),
    }
}

fn app_status(facts: &AppFacts<'_>, all: &Facts<'_>) -> AppStatus {
    let app = facts.app;
    let record = &app.record;
    let held = match &record.phase {
        Phase::Held { hold, .. } => Some(held(hold)),
        _ => record.pause.as_ref().map(|pause| HeldStatus {
            reason: "pause".to_owned(),
            detail: pause.reason.clone(),
            until: Some(pause.until),
        }),
    };
    AppStatus {
        name: record.spec.name.clone(),
        phase: phase_name(app, all.uptime),
        good: record.good.as_ref().map(|good| GoodRevision {
            commit: good.revision.commit,
            content: good.revision.content.clone(),
            since: good.since,
        }),
        candidate: record.candidate().map(|candidate| CandidateRevision {
            commit: candidate.commit,
            content: candidate.content.clone(),
        }),
        bad: record
            .bad
            .iter()
            .rev()
            .map(|bad| BadRevision {
                commit: bad.revision.commit,
                content: bad.revision.content.clone(),
                reason: full_reason(&bad.reason, &bad.faults),
                at: bad.at,
            })
            .collect(),
        held,
        health: app.health.name,
        objects: facts.objects,
        message: message(facts),
        drift: DriftStatus { healed: record.healed, open: facts.open },
    }
}

fn held(hold: &Hold) -> HeldStatus {
    HeldStatus { reason: hold.reason.name().to_owned(), detail: hold.detail.clone(), until: None }
}

fn phase_name(app: &App, now: Uptime) -> PhaseName {
    if app.is_paused(now) {
        return PhaseName::Paused;
    }
    match &app.record.phase {
        Phase::Waiting => PhaseName::Waiting,
        Phase::Preflight { .. } => PhaseName::Preflight,
        Phase::Held { .. } => PhaseName::Held,
        Phase::Applying { .. } => PhaseName::Applying,
        Phase::Probation { .. } => PhaseName::Probation,
        Phase::Good => PhaseName::Good,
        Phase::RollingBack { .. } => PhaseName::RollingBack,
        Phase::Failed { .. } => PhaseName::Failed,
    }
}

fn message(facts: &AppFacts<'_>) -> String {
    let app = facts.app;
    if let Some(wanting) = facts.wanting {
        return wanting.to_owned();
    }
    if !app.obstacle.is_empty() {
        return app.obstacle.clone();
    }
    if !facts.message.is_empty() {
        return facts.message.to_owned();
    }
    if let Phase::Held { hold, .. } = &app.record.phase {
        return hold.detail.clone();
    }
    if let Some(bad) = newest_is_bad(app) {
        return bad;
    }
    if let Some(fault) = app.health.faults.first() {
        return fault.to_string();
    }
    match facts.under_way {
        Some((about, since)) if since >= WORTH_SAYING => {
            format!("{about}; it takes more than {} s", WORTH_SAYING.as_secs())
        }
        _ => String::new(),
    }
}

/// Why what Git wants now is not what runs, when it went bad.
fn newest_is_bad(app: &App) -> Option<String> {
    let newest = app.record.newest.as_ref()?;
    let bad = app.record.bad.iter().find(|bad| bad.revision.content == newest.content)?;
    Some(full_reason(&bad.reason, &bad.faults))
}

fn full_reason(reason: &str, faults: &[leeward_core::model::ObjectFault]) -> String {
    match faults {
        [] => reason.to_owned(),
        [only] => format!("{reason}: {only}"),
        [first, rest @ ..] => format!("{reason}: {first} (and {} more)", rest.len()),
    }
}

/// What blocks, most important first: what nothing can go on without, then
/// what a person must decide, then what mends itself.
fn why(facts: &Facts<'_>, apps: &[AppFacts<'_>]) -> Vec<Blocker> {
    let mut blockers = Vec::new();
    let agent = |blocker: &str, evidence: &str, hint: &str, next_try| Blocker {
        blocker: blocker.to_owned(),
        app: None,
        evidence: evidence.to_owned(),
        hint: hint.to_owned(),
        next_try,
    };
    if let Some(fault) = facts.store_fault {
        let hint = "make room on the disk of store.path, or raise store.max_size";
        blockers.push(agent("store", fault, hint, None));
    }
    if let Some(fault) = facts.sight.api_server() {
        let hint = "`leeward check` walks the way to the API server; workloads run on meanwhile";
        blockers.push(agent("api_server", fault, hint, None));
    }
    for (kind, fault) in facts.sight.kinds() {
        let hint = "drift and health of this kind are not seen meanwhile; `leeward check` names \
                    what the role lacks";
        blockers.push(agent("watch", &format!("{kind}: {fault}"), hint, None));
    }
    if let Some(source) = facts.source {
        for fault in &source.faults {
            let hint = "correct it in Git; every app stays as it is until then";
            blockers.push(agent("source", &fault.to_string(), hint, None));
        }
    }
    for app in apps {
        blockers.extend(why_app(app, facts.uptime, facts.wall));
    }
    if facts.link.state == LinkState::Down {
        let hint = facts.link.hint.as_deref().unwrap_or(
            "nothing to do if the link is known to be down; what is in the store goes on working",
        );
        let step = facts.link.failed_step.map_or_else(String::new, |step| {
            format!("{}: ", serde_json::to_value(step).unwrap_or_default().as_str().unwrap_or(""))
        });
        let evidence = format!("{step}{}", facts.link.evidence);
        blockers.push(agent("link", &evidence, hint, facts.link.next_try));
    }
    if facts.delivery.failures > 0 {
        let hint = "`report.url` names the receiver; reports wait, and nothing else waits for them";
        blockers.push(agent(REPORT, &facts.delivery.evidence, hint, facts.delivery.next_try));
    }
    if facts.outbox.refused > 0 {
        let evidence = format!("the receiver refused {} events for good", facts.outbox.refused);
        blockers.push(agent(
            REPORT,
            &evidence,
            "ask whoever runs the receiver of report.url",
            None,
        ));
    }
    blockers
}

fn why_app(facts: &AppFacts<'_>, now: Uptime, wall: Timestamp) -> Vec<Blocker> {
    let app = facts.app;
    let name = &app.record.spec.name;
    let blocker = |blocker: &str, evidence: String, hint: String, next_try| Blocker {
        blocker: blocker.to_owned(),
        app: Some(name.clone()),
        evidence,
        hint,
        next_try,
    };
    let next_try = app.not_before.filter(|at| now < *at).map(|at| wall + (at - now));
    let mut blockers = Vec::new();
    if let Some(wanting) = facts.wanting {
        let hint = "what runs stays as it is; it goes on by itself once the object is as it should \
                    be, `leeward sync` looks now";
        blockers.push(blocker("variables", wanting.to_owned(), hint.to_owned(), None));
    }
    if !app.obstacle.is_empty() {
        let hint = "it is tried again by itself; `leeward sync` tries now".to_owned();
        blockers.push(blocker("obstacle", app.obstacle.clone(), hint, next_try));
    }
    if let Phase::Held { hold, .. } = &app.record.phase {
        let hint = match hold.reason {
            // Renamed, it would be deleted under the old name before it exists under the new one.
            HoldReason::PruneGuard if app.record.removed => format!(
                "app {name} left Git: if it was renamed, commit the old name again; \
                 `leeward diff {name}` lists what would go, `leeward approve {name}` lets it go"
            ),
            HoldReason::PruneGuard => format!(
                "`leeward diff {name}` lists what would go; `leeward approve {name}` lets it go"
            ),
            HoldReason::Dependency => "it goes on by itself when that app is good".to_owned(),
        };
        blockers.push(blocker(hold.reason.name(), hold.detail.clone(), hint, None));
    }
    if app.is_paused(now)
        && let Some(pause) = &app.record.pause
    {
        let hint = format!("`leeward resume {name}` ends the pause");
        blockers.push(blocker("pause", pause.reason.clone(), hint, Some(pause.until)));
    }
    if let Some(newest) = &app.record.newest
        && let Some(bad) = app.record.bad.iter().find(|bad| bad.revision.content == newest.content)
    {
        let hint = if app.record.good.is_some() {
            "the last good revision runs; `git revert` it or commit a correction"
        } else {
            "nothing was good before it; commit a correction"
        };
        let commit = bad.revision.commit;
        if bad.faults.is_empty() {
            let evidence = format!("{commit}: {}", bad.reason);
            blockers.push(blocker("bad_revision", evidence, hint.to_owned(), None));
        }
        for fault in &bad.faults {
            let evidence = format!("{commit}: {}: {fault}", bad.reason);
            blockers.push(blocker("bad_revision", evidence, hint.to_owned(), None));
        }
    }
    if !facts.message.is_empty() {
        let hint = "find the other writer and stop it, or give the field up with ignoreDifferences";
        blockers.push(blocker("fight", facts.message.to_owned(), hint.to_owned(), None));
    }
    if !matches!(app.health.name, HealthName::Healthy | HealthName::Unknown | HealthName::Suspended)
    {
        for fault in app.health.faults.iter().take(3) {
            let hint = "`kubectl describe` the object; the agent looks again by itself".to_owned();
            blockers.push(blocker("health", fault.to_string(), hint, None));
        }
    }
    blockers
}
