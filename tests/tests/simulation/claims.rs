//! What must hold at every event of the cluster, whatever the agent is about.

use std::{collections::BTreeMap, time::Duration};

use leeward_core::{
    model::{APP_LABEL, AppName, AppStatus, Manifest, ObjectKey, PhaseName},
    plan::order::stands_in_the_way,
};
use tokio::time::Instant;

use super::{live::LiveObject, world::World};

/// What a person or the weather did so long ago may not be known to the agent yet.
const HEARD_OF_BY_THEN: Duration = Duration::from_secs(120);
/// A power cut so soon after an answer may take from the agent what it learned by it.
const DURABLE_BY_THEN: Duration = Duration::from_secs(60);
/// Minutes of clear weather within which every way back has ended.
const LONGEST_WAY_BACK: u32 = 15;

/// What is remembered between events, so that the claims can be checked.
#[derive(Debug, Default)]
pub(crate) struct Claims {
    jobs: BTreeMap<ObjectKey, JobRun>,
    /// When something happened last that the agent has to hear of first.
    disturbed_at: Option<Instant>,
    /// Minutes of clear weather for which an app has been on its way back.
    ways_back: BTreeMap<AppName, u32>,
}

/// A run of a Job that every commit has declared.
#[derive(Debug, Default)]
struct JobRun {
    uid: String,
    /// Since when the agent knows that it was made.
    known_at: Option<Instant>,
    /// It has ended, and must not run again.
    is_over: bool,
}

impl World {
    /// Something happened that the agent may not have heard of.
    pub(crate) fn disturbed(&mut self) {
        self.claims.disturbed_at = Some(Instant::now());
    }

    /// A Job runs once for one content.
    pub(crate) fn created(&mut self, key: &ObjectKey, uid: &str) {
        if key.kind != "Job" {
            return;
        }
        let before = self.claims.jobs.get(key);
        if before.is_some_and(|run| run.is_over) && self.git.always_declares(key) {
            self.violate(format!("{key} had run to its end, and runs again"));
        }
        let run = JobRun { uid: uid.to_owned(), ..JobRun::default() };
        self.claims.jobs.insert(key.clone(), run);
    }

    /// The agent heard that an object was applied.
    pub(crate) fn answered(&mut self, key: &ObjectKey) {
        let uid = self.objects.get(key).map(|object| object.uid.clone());
        let run = self.claims.jobs.get_mut(key);
        if let Some(run) = run.filter(|run| uid.as_ref() == Some(&run.uid)) {
            run.known_at.get_or_insert_with(Instant::now);
        }
    }

    /// An object is gone, whoever removed it.
    pub(crate) fn removed(&mut self, key: &ObjectKey, object: &LiveObject) {
        if key.is("", "Namespace") {
            // What ran in it has lost what it did there.
            self.claims.jobs.retain(|job, _| job.namespace != key.name);
        } else if let Some(run) = self.claims.jobs.get_mut(key) {
            run.is_over = object.has_ended() && run.known_at.is_some();
        }
    }

    pub(crate) fn wiped(&mut self) {
        self.claims.jobs.clear();
        self.disturbed();
    }

    /// The agent may have lost what it had just learned.
    pub(crate) fn power_was_cut(&mut self) {
        for run in self.claims.jobs.values_mut() {
            if run.known_at.is_none_or(|at| at.elapsed() < DURABLE_BY_THEN) {
                (run.known_at, run.is_over) = (None, false);
            }
        }
    }

    /// Nothing that is not ours is deleted, nothing that Git has declared all along, not
    /// even if it moves from app to app, and nothing good before its successor is good.
    pub(crate) fn check_deletion(&mut self, key: &ObjectKey, object: &LiveObject) {
        self.claims.jobs.remove(key);
        if !object.is_ours() {
            self.violate(format!("deleted {key}, which is not ours"));
        } else if self.git.always_declares(key)
            && !self.git.has_given_up(key)
            && (object.has_moved || self.git.has_one_owner(key) || self.is_good(object, key))
        {
            self.violate(format!("deleted {key}, which Git declared all along"));
        }
        let is_heard = self.claims.disturbed_at.is_none_or(|at| at.elapsed() >= HEARD_OF_BY_THEN);
        if !is_heard || stands_in_the_way(key) {
            return;
        }
        if let Some(missing) = object.app().and_then(|app| self.unready_successor(&app, key)) {
            self.violate(format!("deleted {key}, which was good, before {missing} was ready"));
        }
    }

    /// What of the revision on its way does not serve yet, if the object that goes
    /// belongs to the good one.
    fn unready_successor(&self, app: &str, key: &ObjectKey) -> Option<ObjectKey> {
        let status = self.status_of(app)?;
        let good = self.git.content(app, status.good?.commit)?;
        good.body(key)?;
        let is_on_its_way = matches!(status.phase, PhaseName::Applying | PhaseName::Probation);
        let candidate = status.candidate.filter(|_| is_on_its_way)?;
        let successors = self.git.content(app, candidate.commit)?;
        let is_ready = |key: &ObjectKey| self.objects.get(key).is_some_and(LiveObject::is_ready);
        successors.keys().find(|key| key.kind == "Deployment" && !is_ready(key))
    }

    /// Whether an object belongs to the good revision of its app.
    fn is_good(&self, object: &LiveObject, key: &ObjectKey) -> bool {
        let status = object.app().and_then(|app| self.status_of(&app));
        let good = status.and_then(|status| Some((status.name, status.good?.commit)));
        good.and_then(|(app, commit)| self.git.content(&app, commit)?.body(key)).is_some()
    }

    pub(crate) fn status_of(&self, app: &str) -> Option<AppStatus> {
        let document = self.status.as_ref()?.borrow().clone()?;
        document.apps.iter().find(|status| status.name == app).cloned()
    }

    /// Whether an object is sent on the way back of its app.
    pub(crate) fn goes_back(&self, manifest: &Manifest) -> bool {
        let app = manifest.body["metadata"]["labels"][APP_LABEL].as_str();
        let status = app.and_then(|app| self.status_of(app));
        status.is_some_and(|status| status.phase == PhaseName::RollingBack)
    }

    /// The way back always ends. Called once a minute while the weather is clear.
    pub(crate) fn check_ways_back(&mut self) {
        let document = self.status.as_ref().and_then(|status| status.borrow().clone());
        for status in document.iter().flat_map(|document| &document.apps) {
            let minutes = self.claims.ways_back.entry(status.name.clone()).or_default();
            *minutes = if status.phase == PhaseName::RollingBack { *minutes + 1 } else { 0 };
            if *minutes == LONGEST_WAY_BACK {
                let message =
                    format!("the way back of {} does not end: {}", status.name, status.message);
                self.violate(message);
            }
        }
    }
}
