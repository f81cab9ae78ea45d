//! Variables out of ConfigMaps and Secrets of the cluster (`substituteFrom`).
//!
//! They are read here and nowhere else, as often as the repository is polled and
//! with or without a link; a change is offered to the apps as a new content.
//! Values of Secrets live in memory only, and are taken out of every message
//! that is stored, reported or shown.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use leeward_core::{
    cycle::{App, AppEvent, AppRecord},
    model::{
        AppName, AppSpec, ClusterFault, ObjectFault, ObjectKey, Revision, SecretVariables, Uptime,
        VariableSource, Variables,
    },
    render::substitute::{Given, SecretValues, Taken, taken},
    report::Event,
};
use serde_json::Value;

use super::{desired::Undesired, reconciler::Reconciler};
use crate::{edge::Cluster, store::StoreError};

/// What an app waits for is looked at more often than what is there.
const LOOK_AGAIN: Duration = Duration::from_secs(2);
/// Former values of Secrets that are still looked for in messages: a Pod may
/// repeat one for a while after it changed.
const MAX_FORMER: usize = 16;

/// What is known of the objects that apps take variables from.
#[derive(Debug, Default)]
pub(super) struct GivenVariables {
    objects: BTreeMap<ObjectKey, Given>,
    former: Vec<SecretValues>,
    /// Apps that cannot have their variables, and why.
    pub(super) wanting: BTreeMap<AppName, String>,
    /// When to look again; never while no app names an object.
    pub(super) look_at: Option<Uptime>,
}

impl GivenVariables {
    /// The values that a revision takes from Secrets.
    pub(super) fn secrets_of(&self, revision: &Revision) -> Result<SecretValues, Undesired> {
        let mut secrets = SecretValues::default();
        for wanted in &revision.secrets {
            self.take(wanted, &mut secrets).map_err(Undesired::Obstacle)?;
        }
        Ok(secrets)
    }

    fn take(&self, wanted: &SecretVariables, secrets: &mut SecretValues) -> Result<(), String> {
        let key = wanted.key();
        let values = match self.objects.get(&key) {
            Some(Given::Secret { values, .. }) => values,
            Some(Given::Absent) => return Err(format!("{key} is not there: create it again")),
            Some(Given::Unusable(why) | Given::Unread(why)) => {
                return Err(format!("{key} cannot be read for its variables: {why}"));
            }
            Some(Given::ConfigMap(_)) | None => return Err(format!("{key} has not been read yet")),
        };
        match wanted.variables.iter().find(|name| !secrets.take(name, values)) {
            None => Ok(()),
            Some(name) => Err(format!("{key} has no key {name} any more: put it back")),
        }
    }

    /// The text without any value of a Secret.
    pub(super) fn mask(&self, text: &str) -> String {
        self.secrets().fold(text.to_owned(), |text, secrets| secrets.mask(&text))
    }

    fn secrets(&self) -> impl Iterator<Item = &SecretValues> {
        let known = self.objects.values().filter_map(|given| match given {
            Given::Secret { values, .. } => Some(values),
            _ => None,
        });
        known.chain(&self.former).filter(|values| !values.is_empty())
    }

    fn mask_faults(&self, faults: &mut [ObjectFault]) {
        for fault in faults {
            fault.message = self.mask(&fault.message);
        }
    }

    /// What happened to an app, fit to be written down.
    pub(super) fn masked(&self, mut event: AppEvent) -> AppEvent {
        if self.secrets().next().is_none() {
            return event;
        }
        match &mut event {
            AppEvent::Refused { faults, .. }
            | AppEvent::Absent { faults, .. }
            | AppEvent::ApplyFailed { faults, .. } => self.mask_faults(faults),
            AppEvent::Obstacle { message } => *message = self.mask(message),
            AppEvent::Observed(health) => self.mask_faults(&mut health.faults),
            _ => {}
        }
        event
    }

    /// The same of a report.
    pub(super) fn mask_report(&self, event: &mut Event) {
        if self.secrets().next().is_some() {
            self.mask_value(&mut event.data);
        }
    }

    fn mask_value(&self, value: &mut Value) {
        match value {
            Value::String(text) => *text = self.mask(text),
            Value::Array(items) => items.iter_mut().for_each(|item| self.mask_value(item)),
            Value::Object(fields) => fields.values_mut().for_each(|field| self.mask_value(field)),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    /// Takes in what was read; whether anything is another than before. What is
    /// known stays known while the API server does not answer.
    fn replace(&mut self, read: BTreeMap<ObjectKey, Result<Given, ClusterFault>>) -> bool {
        let before = std::mem::take(&mut self.objects);
        for (key, answer) in read {
            let given = match (answer, before.get(&key)) {
                (Ok(given), _) => given,
                (Err(fault), Some(known)) if fault.is_transient() => known.clone(),
                (Err(fault), _) => Given::Unread(fault.to_string()),
            };
            self.objects.insert(key, given);
        }
        let changed = before != self.objects;
        for given in before.into_values() {
            if let Given::Secret { values, .. } = given
                && !self.secrets().any(|known| *known == values)
            {
                self.former.truncate(MAX_FORMER - 1);
                self.former.insert(0, values);
            }
        }
        changed
    }
}

impl<C: Cluster> Reconciler<C> {
    /// The variables of an app; the error says which object it wants.
    pub(super) fn variables_of(&self, spec: &AppSpec) -> Result<Taken, String> {
        if !spec.substitutes() {
            return Ok(Taken { variables: Variables::default(), secrets: Vec::new() });
        }
        let config = &self.settings.config;
        let (cluster, none) = (&config.cluster, BTreeMap::new());
        let agent = &config.substitute.variables;
        let base = Variables::of_app(&none, agent, &cluster.name, &cluster.labels);
        let base = base.map_err(|error| error.to_string())?;
        let own = spec.substitute.as_ref().unwrap_or(&none);
        taken(base, &spec.substitute_from, own, &self.given.objects)
    }

    /// Reads every object that these apps name, or that a revision that may have
    /// to be rendered again takes from.
    pub(super) async fn read_variables(&mut self, specs: &[AppSpec]) {
        let mut keys: BTreeSet<ObjectKey> =
            specs.iter().flat_map(|spec| &spec.substitute_from).map(VariableSource::key).collect();
        keys.extend(self.apps.values().flat_map(|app| secrets_of(&app.record)));
        self.read_objects(keys).await;
    }

    async fn read_objects(&mut self, keys: BTreeSet<ObjectKey>) -> bool {
        let mut read = BTreeMap::new();
        let mut silent = None;
        for key in keys {
            // An API server that does not answer is not asked for each of them.
            let answer = match &silent {
                Some(fault) => Err(ClusterFault::clone(fault)),
                None => self.cluster.get(&key, "v1").await,
            };
            let answer =
                answer.map(|live| live.map_or(Given::Absent, |live| Given::of(&key, live)));
            if let Err(fault @ ClusterFault::Unreachable { .. }) = &answer {
                silent = Some(fault.clone());
            }
            read.insert(key, answer);
        }
        let changed = self.given.replace(read);
        self.plan_look();
        changed
    }

    /// An app that cannot have its variables stays as it is; a new one is at
    /// least there.
    pub(super) fn keep_waiting(&mut self, spec: AppSpec, wanting: String) {
        let name = spec.name.clone();
        tracing::warn!(app = %name, wanting, "The app cannot have its variables yet.");
        let now = self.now();
        let fresh = || App::resume(AppRecord::new(spec), &now);
        self.apps.entry(name.clone()).or_insert_with(fresh);
        self.given.wanting.insert(name, wanting);
    }

    /// Plans the next look, by what the last one found.
    pub(super) fn plan_look(&mut self) {
        let every = self.settings.config.source.interval;
        let unread = self.given.objects.values().any(|given| matches!(given, Given::Unread(_)));
        let soon = unread || !self.given.wanting.is_empty();
        let after = if soon { every.min(LOOK_AGAIN) } else { every };
        let due = self.clock.uptime() + after;
        self.given.look_at = (!self.given.objects.is_empty()).then_some(due);
    }

    /// Looks at the objects again when it is time, and offers what became of them.
    pub(super) async fn look_at_variables(&mut self) -> Result<(), StoreError> {
        if self.given.look_at.is_none_or(|at| self.clock.uptime() < at) {
            return Ok(());
        }
        let keys: BTreeSet<ObjectKey> = self.given.objects.keys().cloned().collect();
        if self.read_objects(keys).await {
            tracing::info!("Variables that the cluster gives have changed.");
            return self.offer_source().await;
        }
        Ok(())
    }

    /// Looks at the objects at the next turn.
    pub(super) fn hasten_variables(&mut self) {
        if self.given.look_at.is_some() {
            self.given.look_at = Some(self.clock.uptime());
        }
    }

    /// What the health of an app's objects says, unless a value of a Secret may
    /// be in it that is not known, and so cannot be taken out.
    pub(super) fn hide_unknown(&self, name: &AppName, faults: &mut [ObjectFault]) {
        let is_known =
            |key: &ObjectKey| matches!(self.given.objects.get(key), Some(Given::Secret { .. }));
        let record = self.apps.get(name).map(|app| &app.record);
        if record.is_none_or(|record| secrets_of(record).all(|key| is_known(&key))) {
            return;
        }
        for fault in faults {
            "not healthy; more is not told while a Secret of substituteFrom cannot be read"
                .clone_into(&mut fault.message);
        }
    }
}

/// The Secrets of every revision that may have to be rendered.
fn secrets_of(record: &AppRecord) -> impl Iterator<Item = ObjectKey> {
    let good = record.good.as_ref().map(|good| &good.revision);
    let all = [good, record.candidate(), record.newest.as_ref(), record.at.as_ref()];
    all.into_iter().flatten().flat_map(|revision| &revision.secrets).map(SecretVariables::key)
}

#[cfg(test)]
mod tests {
    use leeward_core::model::VariableKind;
    use serde_json::json;

    use super::*;

    fn key() -> ObjectKey {
        let (namespace, name) = ("fleet".to_owned(), "keys".to_owned());
        VariableSource { kind: VariableKind::Secret, namespace, name, optional: false }.key()
    }

    /// `hunter2`, and another.
    fn read(version: &str, value: &str) -> BTreeMap<ObjectKey, Result<Given, ClusterFault>> {
        let metadata = json!({ "uid": "u", "resourceVersion": version });
        let object = json!({ "metadata": metadata, "data": { "password": value } });
        BTreeMap::from([(key(), Ok(Given::of(&key(), object)))])
    }

    const FIRST: &str = "aHVudGVyMg==";
    const SECOND: &str = "Y29ycmVjdC1ob3JzZQ==";

    #[test]
    fn only_another_version_is_a_change_and_silence_is_none() {
        let silence = ClusterFault::Unreachable { message: "refused".to_owned() };
        let silent = || BTreeMap::from([(key(), Err(silence.clone()))]);
        let mut given = GivenVariables::default();
        let changed = [
            given.replace(silent()),
            given.replace(read("1", FIRST)),
            given.replace(read("1", FIRST)),
            given.replace(silent()),
            given.replace(read("2", FIRST)),
            given.replace(BTreeMap::from([(key(), Ok(Given::Absent))])),
        ];
        assert_eq!(changed, [true, true, false, false, true, true]);
    }

    #[test]
    fn what_happens_is_written_down_without_values_present_or_former() {
        let mut given = GivenVariables::default();
        given.replace(read("1", FIRST));
        given.replace(read("2", SECOND));
        let message = "found hunter2, not correct-horse".to_owned();
        let fault = ObjectFault { object: None, origin: None, message: message.clone() };
        let refused = AppEvent::Refused { reason: "no".to_owned(), faults: vec![fault] };
        let events = [given.masked(refused), given.masked(AppEvent::Obstacle { message })];
        let said = format!("{events:?}");
        assert!(!said.contains("hunter2") && !said.contains("correct-horse"), "{said}");
        assert_eq!(said.matches("found <masked>, not <masked>").count(), 2, "{said}");
    }

    #[test]
    fn a_revision_takes_its_variables_only_and_says_what_is_not_there_any_more() {
        let revision = |variables: &[&str]| Revision {
            secrets: vec![SecretVariables {
                namespace: "fleet".to_owned(),
                name: "keys".to_owned(),
                uid: "u".to_owned(),
                version: "1".to_owned(),
                variables: variables.iter().map(ToString::to_string).collect(),
            }],
            commit: leeward_core::model::GitId::NULL,
            tree: leeward_core::model::GitId::NULL,
            content: leeward_core::model::ContentId(String::new()),
            reach: None,
            variables: Variables::default(),
        };
        let mut given = GivenVariables::default();
        let why = |given: &GivenVariables, variables: &[&str]| match given
            .secrets_of(&revision(variables))
        {
            Err(Undesired::Obstacle(why)) => why,
            other => format!("{other:?}"),
        };
        let mut said = vec![why(&given, &["password"])];
        given.replace(read("1", FIRST));
        said.extend([why(&given, &["password"]), why(&given, &["user"])]);
        given.replace(BTreeMap::from([(key(), Ok(Given::Absent))]));
        said.push(why(&given, &["password"]));
        insta::assert_snapshot!(said.join("\n"), @r#"
        Secret fleet/keys has not been read yet
        Ok({"password"})
        Secret fleet/keys has no key user any more: put it back
        Secret fleet/keys is not there: create it again
        "#);
    }
}
