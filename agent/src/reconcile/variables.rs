//! Variables out of ConfigMaps and Secrets of the cluster (`substituteFrom`).
//!
//! They are read here and nowhere else, as often as the repository is polled and
//! with or without a link; a change is offered to the apps as a new content.
//! Values of Secrets live in memory only, and are taken out of every message
//! that is stored, reported or shown.

use std::{collections::BTreeSet, mem, sync::Arc};

use leeward_core::{
    cycle::{AppEvent, AppRecord},
    model::{ObjectFault, ObjectKey, Revision, SecretVariables, Uptime},
    render::substitute::{Given, SecretValues},
    report::Event,
};
use serde_json::Value;

use super::errand::{prepare::Undesired, survey::Objects};

/// Former values of Secrets that are still looked for in messages: a Pod may
/// repeat one for a while after it changed.
const MAX_FORMER: usize = 16;

/// The objects that apps take variables from, as far as they are known.
#[derive(Clone, Debug, Default)]
pub(super) struct ClusterVariables {
    objects: Arc<Objects>,
    former: Vec<SecretValues>,
    /// When to look again; never while no app names an object.
    pub(super) look_at: Option<Uptime>,
}

impl ClusterVariables {
    pub(super) fn objects(&self) -> Arc<Objects> {
        Arc::clone(&self.objects)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.objects.is_empty()
    }

    /// Whether an object could not be read for its variables.
    pub(super) fn any_unread(&self) -> bool {
        self.objects.values().any(|given| matches!(given, Given::Unread(_)))
    }

    /// Looks at the objects at the next turn.
    pub(super) fn hasten(&mut self, now: Uptime) {
        if self.look_at.is_some() {
            self.look_at = Some(now);
        }
    }

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

    /// Takes every value of a Secret out of a report.
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

    /// Stores what was read. Returns whether anything changed.
    pub(super) fn put(&mut self, objects: Objects) -> bool {
        let before = mem::replace(&mut self.objects, Arc::new(objects));
        let changed = before != self.objects;
        for given in before.values() {
            if let Given::Secret { values, .. } = given
                && !self.secrets().any(|known| known == values)
            {
                self.former.truncate(MAX_FORMER - 1);
                self.former.insert(0, values.clone());
            }
        }
        changed
    }

    /// Replaces what the health of an app's objects says, when a value of a
    /// Secret may be in it that is not known, and so cannot be taken out.
    pub(super) fn hide_unknown(&self, record: &AppRecord, faults: &mut [ObjectFault]) {
        let is_known =
            |key: &ObjectKey| matches!(self.objects.get(key), Some(Given::Secret { .. }));
        if secrets_of(record).all(|key| is_known(&key)) {
            return;
        }
        for fault in faults {
            "not healthy; more is not told while a Secret of substituteFrom cannot be read"
                .clone_into(&mut fault.message);
        }
    }
}

/// Returns every Secret that a revision which may have to be rendered takes from.
pub(super) fn needed<'a>(records: impl Iterator<Item = &'a AppRecord>) -> BTreeSet<ObjectKey> {
    records.flat_map(|record| secrets_of(record).chain(kept(record))).collect()
}

/// The Secrets of every good revision that may be rolled back to.
fn kept(record: &AppRecord) -> impl Iterator<Item = ObjectKey> {
    let all = record.kept.iter().flat_map(|kept| &kept.revision.secrets);
    all.map(SecretVariables::key)
}

/// The Secrets of every revision that may have to be rendered.
fn secrets_of(record: &AppRecord) -> impl Iterator<Item = ObjectKey> {
    let good = record.good.as_ref().map(|good| &good.revision);
    let all = [good, record.candidate(), record.newest.as_ref(), record.at.as_ref()];
    all.into_iter().flatten().flat_map(|revision| &revision.secrets).map(SecretVariables::key)
}

#[cfg(test)]
mod tests {
    use leeward_core::model::{VariableKind, VariableSource, Variables};
    use serde_json::json;

    use super::*;

    fn key() -> ObjectKey {
        let (namespace, name) = ("fleet".to_owned(), "keys".to_owned());
        VariableSource { kind: VariableKind::Secret, namespace, name, optional: false }.key()
    }

    /// The Secret with one value.
    fn read(version: &str, value: &str) -> Objects {
        let metadata = json!({ "uid": "u", "resourceVersion": version });
        let object = json!({ "metadata": metadata, "data": { "password": value } });
        Objects::from([(key(), Given::of(&key(), object))])
    }

    const FIRST: &str = "aHVudGVyMg==";
    const SECOND: &str = "Y29ycmVjdC1ob3JzZQ==";

    #[test]
    fn only_another_version_is_a_change() {
        let mut given = ClusterVariables::default();
        let changed = [
            given.put(read("1", FIRST)),
            given.put(read("1", FIRST)),
            given.put(read("2", FIRST)),
            given.put(Objects::from([(key(), Given::Absent)])),
        ];
        assert_eq!(changed, [true, false, true, true]);
    }

    #[test]
    fn what_happens_is_written_down_without_values_present_or_former() {
        let mut given = ClusterVariables::default();
        given.put(read("1", FIRST));
        given.put(read("2", SECOND));
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
        let mut given = ClusterVariables::default();
        let why = |given: &ClusterVariables, variables: &[&str]| match given
            .secrets_of(&revision(variables))
        {
            Err(Undesired::Obstacle(why)) => why,
            other => format!("{other:?}"),
        };
        let mut said = vec![why(&given, &["password"])];
        given.put(read("1", FIRST));
        said.extend([why(&given, &["password"]), why(&given, &["user"])]);
        given.put(Objects::from([(key(), Given::Absent)]));
        said.push(why(&given, &["password"]));
        insta::assert_snapshot!(said.join("\n"), @r#"
        Secret fleet/keys has not been read yet
        Ok({"password"})
        Secret fleet/keys has no key user any more: put it back
        Secret fleet/keys is not there: create it again
        "#);
    }
}
