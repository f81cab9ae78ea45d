//! From a poll of the remote to what each app is offered.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use leeward_core::{
    cycle::{App, AppEvent, AppRecord, Phase, SourceRecord},
    git::{EMPTY_TREE, Objects as _, committed_at},
    model::{
        AppName, AppSpec, ContentId, FetchFailure, Fetched, GitId, LinkState, ObjectFault,
        Revision, Uptime, Variables,
    },
    report::{Event, EventData},
    status::LinkView,
};
use leeward_wire::{AppJudged, LinkChanged, RevisionFetched};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::{
    budget::Class,
    errand::{
        Back,
        survey::{Offer, Survey, Surveyed, survey},
    },
    managed::Managed,
    poller::{Ask, PollOutcome},
    reconciler::Reconciler,
    variables,
};
use crate::{edge::Cluster, metrics::FetchResult, store::Batch};

/// What an app waits for is looked at more often than what is there.
const LOOK_AGAIN: std::time::Duration = std::time::Duration::from_secs(2);

/// Commits whose cost is known: those that can still be on their way through probation.
const MAX_COSTS: usize = 32;

/// The source as the loop knows it.
#[derive(Debug)]
pub(super) struct SourceView {
    /// The newest revision that is whole in the store.
    pub(super) record: Option<SourceRecord>,
    /// The newest one that the apps were offered. `status` shows this one: who waits
    /// for a commit must not take the apps' former state for their answer to it.
    pub(super) offered: Option<SourceRecord>,
    pub(super) link: LinkView,
    /// A survey is out.
    surveying: bool,
    /// Another survey is wanted once that one is back: of everything, or of
    /// what variables change.
    again: Option<bool>,
    /// Dropped once the newest poll is taken in; see [`PollOutcome::taken_in`].
    pub(super) taken_in: Option<oneshot::Sender<()>>,
    /// Bytes that crossed the link since the newest commit was whole.
    spent: u64,
}

impl SourceView {
    pub(super) fn new(record: Option<SourceRecord>, wall: Timestamp) -> Self {
        let link = LinkView::unknown(wall);
        let offered = record.clone();
        Self { record, offered, link, surveying: false, again: None, taken_in: None, spent: 0 }
    }

    /// Bytes that crossed the link for a commit, if that is known.
    pub(super) fn bytes_of(&self, commit: GitId) -> Option<u64> {
        let costs = &self.record.as_ref()?.costs;
        costs.iter().find(|(known, _)| *known == commit).map(|(_, bytes)| *bytes)
    }

    /// Whether a newer revision than the one that the apps were offered is in the store.
    pub(super) fn is_examining(&self) -> bool {
        let identity = |source: &SourceRecord| (source.commit, source.tree);
        self.record.as_ref().map(identity) != self.offered.as_ref().map(identity)
    }
}

impl<C: Cluster + 'static> Reconciler<C> {
    /// Has the remote polled now; with `distrust`, whatever the store says it has.
    pub(super) fn ask_poll(&mut self, distrust: bool) {
        self.channels.ask_poll.send_modify(|ask| *ask = Ask { count: ask.count + 1, distrust });
    }

    /// Takes in what a poll came to.
    pub(super) fn polled(&mut self, outcome: PollOutcome) {
        let next = self.clock.wall() + outcome.next_in;
        self.source.link.next_try = Some(next);
        self.source.taken_in = Some(outcome.taken_in);
        match outcome.result {
            Ok(fetched) => {
                let known = self.source.record.as_ref().map(|source| source.commit);
                let news = known != Some(fetched.commit);
                self.source.spent += fetched.sent + fetched.received;
                self.garbage.fetched();
                let result = if news { FetchResult::Changed } else { FetchResult::Unchanged };
                self.hooks.metrics.fetch(result, fetched.sent, fetched.received);
                self.link_is(LinkState::Up, None);
                self.fetched(fetched);
            }
            Err(failure) => {
                let result = FetchResult::Failed(failure.step);
                self.hooks.metrics.fetch(result, failure.sent, failure.received);
                self.source.spent += failure.sent + failure.received;
                tracing::warn!(step = ?failure.step, error = %failure, "Cannot fetch the source; will retry.");
                self.link_is(LinkState::Down, Some(failure));
                if self.outside.store.wants_room() {
                    self.collect_garbage();
                } else {
                    self.source.taken_in = None;
                }
            }
        }
    }

    fn link_is(&mut self, state: LinkState, failure: Option<FetchFailure>) {
        self.hooks.metrics.link(state == LinkState::Up);
        let link = &mut self.source.link;
        let step = failure.as_ref().map(|failure| failure.step);
        let changed = (link.state, link.failed_step) != (state, step);
        link.state = state;
        link.failed_step = step;
        if let Some(failure) = failure {
            link.evidence = failure.evidence;
            link.hint = failure.hint;
        } else {
            "the remote answers".clone_into(&mut link.evidence);
            link.hint = None;
        }
        if !changed {
            return;
        }
        link.since = self.clock.wall();
        let evidence = link.evidence.clone();
        let data = EventData::LinkChanged(LinkChanged { state, failed_step: step, evidence });
        let events = vec![(self.journal.stamp(), Event::new(None, &data))];
        self.record(Batch { events, ..Batch::default() });
    }

    fn fetched(&mut self, fetched: Fetched) {
        let spent = std::mem::take(&mut self.source.spent);
        let before = self.source.record.as_ref();
        if before.is_some_and(|source| {
            (source.commit, source.tree) == (fetched.commit, fetched.tree)
                && (&source.others, &source.left_out) == (&fetched.others, &fetched.left_out)
        }) {
            self.source.taken_in = None;
            return;
        }
        let record = SourceRecord {
            commit: fetched.commit,
            tree: fetched.tree,
            reference: fetched.reference,
            fetched_at: self.clock.wall(),
            costs: costs(before, fetched.commit, spent),
            others: fetched.others,
            left_out: fetched.left_out,
            faults: Vec::new(),
        };
        let data = EventData::RevisionFetched(RevisionFetched {
            commit: record.commit,
            content: ContentId(record.tree.to_string()),
            sent: fetched.sent,
            received: fetched.received,
        });
        let commit = self.outside.store.read(record.commit).ok().flatten();
        if let Some(committed) = commit.and_then(|(_, data)| committed_at(&data)) {
            self.journal.raise_wall_floor(committed);
        }
        tracing::info!(commit = %record.commit, sent = fetched.sent, received = fetched.received, "Fetched a revision.");
        let events = vec![(self.journal.stamp(), Event::new(None, &data))];
        self.record(Batch { source: Some(record.clone()), events, ..Batch::default() });
        self.source.record = Some(record);
        self.survey(false);
    }

    /// Has it worked out what the newest commit that is whole in the store
    /// offers each app; with `only_if_changed`, unless no variable changed.
    pub(super) fn survey(&mut self, only_if_changed: bool) {
        self.plan_look();
        if self.source.surveying {
            let whole = self.source.again == Some(false) || !only_if_changed;
            self.source.again = Some(!whole);
            return;
        }
        self.source.surveying = true;
        let order = Survey {
            source: self.source.record.clone(),
            config: self.config.clone(),
            known: self.variables.objects(),
            needed: variables::needed(self.apps.values().map(|managed| &managed.app.record)),
            only_if_changed,
        };
        let outside = std::rc::Rc::clone(&self.outside);
        self.send(Box::pin(async move {
            let means = outside.means(Class::Short, CancellationToken::new());
            Back::Surveyed(Box::new(survey(&means, order).await))
        }));
    }

    pub(super) fn surveyed(&mut self, surveyed: Surveyed) {
        self.source.surveying = false;
        let Surveyed { source, objects, offers } = surveyed;
        if self.variables.put(objects) && offers.is_some() {
            tracing::debug!("Variables that the cluster gives were read.");
        }
        let identity = |source: &SourceRecord| {
            (source.commit, source.tree, source.others.clone(), source.left_out.clone())
        };
        let current = self.source.record.as_ref().map(identity);
        if source.as_ref().map(identity) == current {
            if let (Some(source), Some(offers)) = (source, offers) {
                match offers {
                    Ok(offers) => self.offer_all(&source, offers),
                    Err(faults) => self.cannot_offer(&source, &faults),
                }
            }
            self.source.offered.clone_from(&self.source.record);
        } else {
            self.source.again = Some(false);
        }
        self.plan_look();
        if let Some(only_if_changed) = self.source.again.take() {
            return self.survey(only_if_changed);
        }
        if self.source.taken_in.is_some() {
            self.collect_garbage();
        }
    }

    /// What is wrong with the path as a whole; every app stays as it is.
    fn cannot_offer(&mut self, source: &SourceRecord, faults: &[ObjectFault]) {
        let news = self.source.record.as_ref().is_some_and(|known| known.faults != faults);
        let record = SourceRecord { faults: faults.to_vec(), ..source.clone() };
        let data = EventData::AppFailed(AppJudged {
            commit: source.commit,
            content: ContentId(source.tree.to_string()),
            reason: "the apps of this revision cannot be read; every app stays as it is".to_owned(),
            objects: faults.to_vec(),
        });
        let event = Event::new(None, &data);
        let events = if news { vec![(self.journal.stamp(), event)] } else { Vec::new() };
        self.source.record = Some(record.clone());
        self.record(Batch { source: Some(record), events, ..Batch::default() });
    }

    fn offer_all(&mut self, source: &SourceRecord, offers: Vec<Offer>) {
        let offered: BTreeSet<AppName> = offers.iter().map(|(spec, _)| spec.name.clone()).collect();
        self.apps.values_mut().for_each(|managed| managed.wanting = None);
        for (spec, _) in &offers {
            self.rename(spec, &offered);
        }
        for (spec, offer) in offers {
            match offer {
                Ok(revision) => self.offer(spec, revision, false),
                Err(wanting) => self.keep_waiting(&spec, wanting),
            }
        }
        let specs = self.apps.values().map(|managed| managed.app.record.spec.clone());
        let left: Vec<AppSpec> = specs.filter(|spec| !offered.contains(&spec.name)).collect();
        for spec in left {
            self.retire(spec, source.commit);
        }
    }

    /// Returns an app, recorded anew if it was not there.
    fn app(&mut self, spec: &AppSpec) -> &mut Managed {
        let (now, epoch) = (self.now(), self.last_epoch + 1);
        self.apps.entry(spec.name.clone()).or_insert_with(|| {
            Managed::new(App::resume(AppRecord::new(spec.clone()), &now), BTreeMap::new(), epoch)
        })
    }

    /// An app that cannot have its variables stays as it is; a new one is at
    /// least there, so that `status` shows it.
    fn keep_waiting(&mut self, spec: &AppSpec, wanting: String) {
        tracing::warn!(app = %spec.name, wanting, "The app cannot have its variables yet.");
        self.app(spec).wanting = Some(wanting);
    }

    fn offer(&mut self, spec: AppSpec, revision: Revision, removed: bool) {
        let name = spec.name.clone();
        let managed = self.app(&spec);
        if managed.app.record.spec.heal != spec.heal {
            // What was only reported may have to be healed from now on.
            managed.view.drifted.extend(managed.view.open.iter().cloned());
        }
        self.take(&name, AppEvent::Offered { revision, spec, removed }, Batch::default());
    }

    /// An app that left Git is offered nothing at all: the prune guard asks a
    /// person, and only then do its objects go. An app without objects is forgotten.
    fn retire(&mut self, spec: AppSpec, commit: GitId) {
        if self.apps.get(&spec.name).is_none_or(|managed| managed.inventory.is_empty()) {
            return self.forget_app(&spec.name);
        }
        let content = ContentId(EMPTY_TREE.to_string());
        let variables = Variables::default();
        let secrets = Vec::new();
        let revision =
            Revision { commit, tree: EMPTY_TREE, content, reach: None, variables, secrets };
        self.offer(spec, revision, true);
    }

    /// Forgets a removed app whose objects are gone.
    pub(super) fn forget_removed(&mut self, name: &AppName) {
        let is_gone = self.apps.get(name).is_some_and(|managed| {
            let record = &managed.app.record;
            record.removed && record.phase == Phase::Good && managed.inventory.is_empty()
        });
        if is_gone {
            tracing::info!(app = %name, "The app left Git and its objects are gone.");
            self.forget_app(name);
        }
    }

    pub(super) fn forget_app(&mut self, name: &AppName) {
        if let Some(managed) = self.apps.remove(name) {
            self.last_epoch = self.last_epoch.max(managed.epoch);
            if let Some(errand) = managed.errand {
                errand.stop.cancel();
            }
        }
        self.hooks.metrics.forget_app(name);
        self.record(Batch { forget_apps: vec![name.clone()], ..Batch::default() });
    }

    /// Plans when variables are looked at next, by what the last look found.
    pub(super) fn plan_look(&mut self) {
        let every = self.settings.config.source.interval;
        let wanting = self.apps.values().any(|managed| managed.wanting.is_some());
        let soon = self.variables.any_unread() || wanting;
        let due: Uptime = self.clock.uptime() + if soon { every.min(LOOK_AGAIN) } else { every };
        self.variables.look_at = (!self.variables.is_empty()).then_some(due);
    }
}

/// Adds what a commit cost to what the ones before it did.
fn costs(before: Option<&SourceRecord>, commit: GitId, spent: u64) -> Vec<(GitId, u64)> {
    let mut costs = before.map(|source| source.costs.clone()).unwrap_or_default();
    match costs.iter_mut().find(|(known, _)| *known == commit) {
        // The same commit with another folder elsewhere.
        Some((_, cost)) => *cost += spent,
        None => costs.push((commit, spent)),
    }
    let surplus = costs.len().saturating_sub(MAX_COSTS);
    costs.drain(..surplus);
    costs
}
