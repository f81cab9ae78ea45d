//! From a fetched commit to what each app is offered.

use std::collections::{BTreeMap, BTreeSet};

use leeward_core::{
    cycle::{App, AppEvent, AppRecord, Phase, SourceRecord},
    git::{EMPTY_TREE, Objects as _, committed_at},
    model::{
        AppName, AppSpec, ContentId, Digest, FetchFailure, Fetched, GitId, LinkState, ObjectFault,
        Reach, Revision, Variables,
    },
    render::{AppDefaults, Outside, TreeFiles, apps, path::below, substitute::Taken, subtree},
    report::{Event, EventData},
};
use leeward_wire::{AppJudged, LinkChanged, RevisionFetched};
use serde_json::json;

use super::{
    poller::{PollOutcome, seen_from},
    reconciler::Reconciler,
};
use crate::{
    edge::Cluster,
    metrics::FetchResult,
    store::{Batch, StoreError},
};

/// An app, and its revision or what it wants.
type Offer = (AppSpec, Result<Revision, String>);

impl<C: Cluster> Reconciler<C> {
    /// Has the remote polled now; with `distrust`, whatever the store says it has.
    pub(super) fn ask_poll(&mut self, distrust: bool) {
        self.channels.ask_poll.send_modify(|ask| {
            *ask = super::poller::Ask { count: ask.count + 1, distrust };
        });
    }

    /// Takes in what a poll came to.
    pub(super) async fn polled(&mut self, outcome: PollOutcome) -> Result<(), StoreError> {
        let next = self.clock.wall() + outcome.next_in;
        self.link.next_try = Some(next);
        let taken_in = outcome.taken_in;
        let result = match outcome.result {
            Ok(fetched) => {
                let known = self.source.as_ref().map(|source| source.commit);
                let news = known != Some(fetched.commit);
                let result = if news { FetchResult::Changed } else { FetchResult::Unchanged };
                self.hooks.metrics.fetch(result, fetched.sent, fetched.received);
                self.link_is(LinkState::Up, None).await?;
                self.fetched(fetched).await
            }
            Err(failure) => {
                let result = FetchResult::Failed(failure.step);
                self.hooks.metrics.fetch(result, failure.sent, failure.received);
                tracing::warn!(step = ?failure.step, error = %failure, "Cannot fetch the source; will retry.");
                let told = self.link_is(LinkState::Down, Some(failure)).await;
                if self.store.wants_room() {
                    told.and_then(|()| self.collect_garbage())
                } else {
                    told
                }
            }
        };
        drop(taken_in);
        result
    }

    async fn link_is(
        &mut self,
        state: LinkState,
        failure: Option<FetchFailure>,
    ) -> Result<(), StoreError> {
        self.hooks.metrics.link(state == LinkState::Up);
        let step = failure.as_ref().map(|failure| failure.step);
        let changed = (self.link.state, self.link.failed_step) != (state, step);
        self.link.state = state;
        self.link.failed_step = step;
        if let Some(failure) = failure {
            self.link.evidence = failure.evidence;
            self.link.hint = failure.hint;
        } else {
            "the remote answers".clone_into(&mut self.link.evidence);
            self.link.hint = None;
        }
        if !changed {
            return Ok(());
        }
        self.link.since = self.clock.wall();
        let evidence = self.link.evidence.clone();
        let data = EventData::LinkChanged(LinkChanged { state, failed_step: step, evidence });
        let event = Event::new(None, &data);
        let events = vec![(self.stamp(), event)];
        self.commit(Batch { events, ..Batch::default() }).await
    }

    async fn fetched(&mut self, fetched: Fetched) -> Result<(), StoreError> {
        let before = self.source.as_ref();
        if before.is_some_and(|source| {
            (source.commit, source.tree) == (fetched.commit, fetched.tree)
                && (&source.others, &source.left_out) == (&fetched.others, &fetched.left_out)
        }) {
            return Ok(());
        }
        let record = SourceRecord {
            commit: fetched.commit,
            tree: fetched.tree,
            reference: fetched.reference,
            fetched_at: self.clock.wall(),
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
        let event = Event::new(None, &data);
        let commit = self.store.read(record.commit).ok().flatten();
        if let Some(committed) = commit.and_then(|(_, data)| committed_at(&data)) {
            self.wall_floor = self.wall_floor.max(committed);
        }
        tracing::info!(commit = %record.commit, sent = fetched.sent, received = fetched.received, "Fetched a revision.");
        let batch = Batch {
            source: Some(record.clone()),
            events: vec![(self.stamp(), event)],
            wall_floor: Some(self.wall_floor),
            ..Batch::default()
        };
        self.commit(batch).await?;
        self.source = Some(record);
        self.offer_source().await?;
        self.collect_garbage()
    }

    /// Offers every app its revision of the newest commit that is whole in the store.
    pub(super) async fn offer_source(&mut self) -> Result<(), StoreError> {
        let Some(source) = self.source.clone() else { return Ok(()) };
        let specs = self.specs(&source);
        self.read_variables(specs.as_deref().unwrap_or_default()).await;
        let offers = match specs.and_then(|specs| self.offers(&source, specs)) {
            Ok(offers) => offers,
            Err(faults) => {
                let news = self.source.as_ref().is_some_and(|known| known.faults != faults);
                let record = SourceRecord { faults: faults.clone(), ..source.clone() };
                let reason =
                    "the apps of this revision cannot be read; every app stays as it is".to_owned();
                let data = EventData::AppFailed(AppJudged {
                    commit: source.commit,
                    content: ContentId(source.tree.to_string()),
                    reason,
                    objects: faults,
                });
                let event = Event::new(None, &data);
                let events = if news { vec![(self.stamp(), event)] } else { Vec::new() };
                self.source = Some(record.clone());
                return self
                    .commit(Batch { source: Some(record), events, ..Batch::default() })
                    .await;
            }
        };
        let offered: BTreeSet<AppName> = offers.iter().map(|(spec, _)| spec.name.clone()).collect();
        self.given.wanting.clear();
        for (spec, offer) in offers {
            match offer {
                Ok(revision) => self.offer(spec, revision, false).await?,
                Err(wanting) => self.keep_waiting(spec, wanting),
            }
        }
        self.plan_look();
        let left: Vec<AppSpec> = self
            .apps
            .values()
            .filter(|app| !offered.contains(&app.record.spec.name))
            .map(|app| app.record.spec.clone())
            .collect();
        for spec in left {
            self.retire(spec, source.commit).await?;
        }
        Ok(())
    }

    fn specs(&self, source: &SourceRecord) -> Result<Vec<AppSpec>, Vec<ObjectFault>> {
        let files = TreeFiles::new(&*self.store, source.tree);
        let config = &self.settings.config;
        let name = config.source.path.rsplit('/').next().filter(|name| !name.is_empty());
        let defaults = AppDefaults {
            heal: config.apply.heal,
            timeout: config.apply.timeout,
            soak: config.apply.soak,
            prune: leeward_core::model::PruneGuard {
                max_objects: config.apply.prune_max_objects,
                max_share: config.apply.prune_max_share,
            },
        };
        apps(&files, name.unwrap_or(&config.cluster.name), &defaults).map_err(|error| error.faults)
    }

    /// The revision of every app, or what of its variables it wants.
    fn offers(
        &self,
        source: &SourceRecord,
        specs: Vec<AppSpec>,
    ) -> Result<Vec<Offer>, Vec<ObjectFault>> {
        let fault = |message: String| vec![ObjectFault { object: None, origin: None, message }];
        let mut offers = Vec::with_capacity(specs.len());
        for spec in specs {
            let tree = subtree(&*self.store, source.tree, &spec.path)
                .map_err(|error| fault(error.to_string()))?
                .ok_or_else(|| fault(format!("app {}: no folder {}", spec.name, spec.path)))?;
            let reach = self.reach(source, &spec, tree);
            let commit = source.commit;
            let revision = self.variables_of(&spec).map(|Taken { variables, secrets }| {
                let content = ContentId(String::new());
                let revision = Revision { commit, tree, content, reach, variables, secrets };
                Revision { content: content_of(&spec, &revision), ..revision }
            });
            offers.push((spec, revision));
        }
        Ok(offers)
    }

    /// What an app's kustomizations refer to outside of its folder.
    fn reach(&self, source: &SourceRecord, spec: &AppSpec, tree: GitId) -> Option<Box<Reach>> {
        let boundary = self.settings.config.source.boundary(source.left_out.clone());
        let (at, outside) = seen_from(&self.store, &boundary, spec, tree, &source.others);
        let is_one_of = |paths: &BTreeSet<String>, folder: &str| {
            paths.iter().any(|path| below(path, folder).is_some())
        };
        let folders: BTreeMap<String, GitId> = source
            .others
            .iter()
            .filter_map(|(folder, tree)| Some((folder.clone(), (*tree)?)))
            .filter(|(folder, _)| is_one_of(&outside.found, folder))
            .collect();
        let left_out = source.left_out.iter();
        let left_out: BTreeMap<String, String> = left_out
            .filter(|(folder, _)| is_one_of(&outside.refused, folder))
            .map(|(folder, why)| (folder.clone(), why.clone()))
            .collect();
        let Outside { missed, refused, .. } = outside;
        let refers = !(folders.is_empty() && missed.is_empty() && refused.is_empty());
        refers.then(|| Box::new(Reach { at, folders, left_out }))
    }

    async fn offer(
        &mut self,
        spec: AppSpec,
        revision: Revision,
        removed: bool,
    ) -> Result<(), StoreError> {
        let name = spec.name.clone();
        if !self.apps.contains_key(&name) {
            let now = self.now();
            let app = App::resume(AppRecord::new(spec.clone()), &now);
            self.apps.insert(name.clone(), app);
        }
        let heal_before = self.apps.get(&name).map(|app| app.record.spec.heal);
        if heal_before != Some(spec.heal) {
            // What was only reported may have to be healed from now on.
            let view = self.view(&name);
            view.drifted.extend(view.open.iter().cloned());
        }
        let event = AppEvent::Offered { revision, spec, removed };
        self.take(&name, event, Batch::default()).await
    }

    /// An app that left Git is offered nothing at all: the prune guard asks a
    /// person, and only then do its objects go. An app without objects is forgotten.
    async fn retire(&mut self, spec: AppSpec, commit: GitId) -> Result<(), StoreError> {
        let name = spec.name.clone();
        if self.inventory.get(&name).is_none_or(std::collections::BTreeMap::is_empty) {
            self.apps.remove(&name);
            self.views.remove(&name);
            self.hooks.metrics.forget_app(&name);
            return self.commit(Batch { forget_apps: vec![name], ..Batch::default() }).await;
        }
        let content = ContentId(EMPTY_TREE.to_string());
        let variables = Variables::default();
        let secrets = Vec::new();
        let revision =
            Revision { commit, tree: EMPTY_TREE, content, reach: None, variables, secrets };
        self.offer(spec, revision, true).await
    }

    /// Forgets removed apps whose objects are gone.
    pub(super) async fn forget_removed(&mut self, name: &AppName) -> Result<(), StoreError> {
        let done = self
            .apps
            .get(name)
            .is_some_and(|app| app.record.removed && app.record.phase == Phase::Good);
        let empty = self.inventory.get(name).is_none_or(std::collections::BTreeMap::is_empty);
        if !(done && empty) {
            return Ok(());
        }
        tracing::info!(app = %name, "The app left Git and its objects are gone.");
        self.apps.remove(name);
        self.views.remove(name);
        self.hooks.metrics.forget_app(name);
        self.commit(Batch { forget_apps: vec![name.clone()], ..Batch::default() }).await
    }

    /// Keeps what the source and every app may still need; the rest goes.
    fn collect_garbage(&self) -> Result<(), StoreError> {
        if !self.store.collection_is_due()? {
            return Ok(());
        }
        let mut roots: BTreeSet<GitId> = BTreeSet::new();
        if let Some(source) = &self.source {
            roots.extend([source.commit, source.tree]);
            roots.extend(source.others.values().flatten());
        }
        for app in self.apps.values() {
            let record = &app.record;
            let good = record.good.as_ref().map(|good| &good.revision);
            for revision in [good, record.candidate(), record.newest.as_ref(), record.at.as_ref()] {
                roots.extend(revision.map(|revision| revision.tree));
                let reach = revision.and_then(|revision| revision.reach.as_ref());
                roots.extend(reach.into_iter().flat_map(|reach| reach.folders.values()));
            }
        }
        let roots: Vec<GitId> = roots.into_iter().collect();
        self.store.collect(&roots)?;
        Ok(())
    }
}

/// The tree says what is applied; what decides whether that is good belongs to
/// the content as well, or a longer timeout could never give a failed revision
/// another chance.
///
/// Of Secrets it has the versions, never a digest of values.
fn content_of(spec: &AppSpec, revision: &Revision) -> ContentId {
    let Revision { tree, reach, variables, secrets, .. } = revision;
    let is_plain = reach.is_none() && variables.is_empty() && secrets.is_empty();
    if spec.path.is_empty() && spec.ignore_differences.is_empty() && is_plain {
        return ContentId(tree.to_string());
    }
    let mut judged = json!([tree, spec.timeout, spec.soak, spec.prune, spec.ignore_differences]);
    // Only then, so that the content of every other app is called what it was.
    if let Some(parts) = judged.as_array_mut().filter(|_| !is_plain) {
        parts.push(json!([reach, variables]));
    }
    if let Some(parts) = judged.as_array_mut().filter(|_| !secrets.is_empty()) {
        parts.push(json!(secrets));
    }
    let digest = Digest::of(judged.to_string().as_bytes()).to_string();
    ContentId(digest[..40].to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_variable_is_a_new_content_and_without_any_it_is_called_as_ever() {
        let spec: AppSpec = serde_json::from_value(json!({
            "name": "a", "path": "", "depends_on": [], "heal": "always",
            "timeout": { "secs": 1, "nanos": 0 }, "soak": { "secs": 1, "nanos": 0 },
            "prune": { "max_objects": 1, "max_share": 1.0 }, "ignore_differences": [],
        }))
        .unwrap();
        let of = |value: Option<&str>| {
            let mut variables = Variables::default();
            if let Some(value) = value {
                variables.set("a", value).unwrap();
            }
            let revision = Revision {
                commit: GitId::NULL,
                tree: EMPTY_TREE,
                content: ContentId(String::new()),
                reach: None,
                variables,
                secrets: Vec::new(),
            };
            content_of(&spec, &revision)
        };
        assert_eq!(of(None), ContentId(EMPTY_TREE.to_string()));
        assert_ne!(of(Some("1")), of(None));
        assert_ne!(of(Some("1")), of(Some("2")));
        assert_eq!(of(Some("1")), of(Some("1")));
    }
}
