//! Variables out of objects of the cluster: what a ConfigMap or a Secret gives,
//! and what an app takes from all that it names.

use std::collections::{BTreeMap, BTreeSet};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::Value;
use zeroize::{Zeroize as _, Zeroizing};

use super::SecretValues;
use crate::model::{
    ObjectKey, SecretVariables, VALUE_BYTES_MAX, VARIABLES_MAX, VariableSource, Variables,
    is_variable_name,
};

/// Bytes of all values of one object. A revision keeps those of ConfigMaps.
const OBJECT_BYTES_MAX: usize = 64 << 10;

/// What is known of an object that variables are taken from.
#[derive(Clone, Debug, PartialEq)]
pub enum Given {
    ConfigMap(BTreeMap<String, String>),
    Secret {
        uid: String,
        /// The resource version.
        version: String,
        values: SecretValues,
    },
    /// There is no such object.
    Absent,
    /// It holds what cannot be a variable; the text says what.
    Unusable(String),
    /// The API server does not give it, and says why.
    Unread(String),
}

impl Given {
    /// Reads the `data` of a live ConfigMap or Secret. What is wrong with it is
    /// told without the values of a Secret.
    pub fn of(key: &ObjectKey, mut object: Value) -> Self {
        let text = |object: &Value, pointer: &str| {
            object.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned()
        };
        let uid = text(&object, "/metadata/uid");
        let version = text(&object, "/metadata/resourceVersion");
        let data = match object.get_mut("data").map(Value::take) {
            Some(Value::Object(data)) => data,
            _ => serde_json::Map::new(),
        };
        let mut texts: BTreeMap<String, Zeroizing<String>> = BTreeMap::new();
        let is_secret = key.is("", "Secret");
        let mut unusable = None;
        for (name, value) in data {
            let Value::String(value) = value else { continue };
            let value = Zeroizing::new(value);
            let value = if is_secret { decoded(&value) } else { Some(value) };
            match value.ok_or("is no text").and_then(|value| checked(&name, value)) {
                Ok(value) => drop(texts.insert(name, value)),
                Err(why) => {
                    let name: String = name.chars().take(60).collect();
                    unusable.get_or_insert(format!("its key {name:?} {why}"));
                }
            }
        }
        let bytes: usize = texts.values().map(|value| value.len()).sum();
        if texts.len() > VARIABLES_MAX || bytes > OBJECT_BYTES_MAX {
            let most = format!("at most {VARIABLES_MAX} and {OBJECT_BYTES_MAX} are taken");
            let message = format!("it has {} keys and {bytes} bytes: {most}", texts.len());
            unusable.get_or_insert(message);
        }
        if let Some(why) = unusable {
            return Self::Unusable(why);
        }
        if !is_secret {
            let plain =
                texts.into_iter().map(|(name, mut value)| (name, std::mem::take(&mut *value)));
            return Self::ConfigMap(plain.collect());
        }
        let source = format!("{key} {uid} {version}");
        let mut values = SecretValues::default();
        for (name, value) in texts {
            // The names have been checked.
            drop(values.set(&name, &value, &source));
        }
        Self::Secret { uid, version, values }
    }
}

fn decoded(text: &str) -> Option<Zeroizing<String>> {
    let bytes = STANDARD.decode(text).ok()?;
    match String::from_utf8(bytes) {
        Ok(text) => Some(Zeroizing::new(text)),
        Err(error) => {
            error.into_bytes().zeroize();
            None
        }
    }
}

fn checked(name: &str, value: Zeroizing<String>) -> Result<Zeroizing<String>, &'static str> {
    if !is_variable_name(name) {
        return Err("is not the name of a variable: a letter or `_`, then letters, digits and `_`");
    }
    if value.len() > VALUE_BYTES_MAX {
        return Err("has more than 4096 bytes");
    }
    Ok(value)
}

/// The variables of an app, in the two forms in which a revision has them.
#[derive(Debug, PartialEq)]
pub struct Taken {
    pub variables: Variables,
    pub secrets: Vec<SecretVariables>,
}

/// What an app takes: of what the agent has for all (`base`), what it names in
/// the cluster, and its own, the later counts. The error says which object
/// keeps it from that, and what to do.
pub fn taken(
    base: Variables,
    from: &[VariableSource],
    own: &BTreeMap<String, String>,
    given: &BTreeMap<ObjectKey, Given>,
) -> Result<Taken, String> {
    let mut variables = base;
    // Which Secret a variable is of, in the end.
    let mut owner: BTreeMap<&str, ObjectKey> = BTreeMap::new();
    for source in from {
        let key = source.key();
        match given.get(&key) {
            Some(Given::ConfigMap(data)) => {
                for (name, value) in data {
                    owner.remove(name.as_str());
                    // The names have been checked, here and below.
                    drop(variables.set(name, value));
                }
            }
            Some(Given::Secret { values, .. }) => {
                owner.extend(values.names().map(|name| (name, key.clone())));
            }
            Some(Given::Absent) if source.optional => {}
            Some(Given::Absent) => {
                return Err(format!(
                    "{key} is not there, which substituteFrom takes variables from: \
                     create it, or say `optional: true` in leeward.yaml"
                ));
            }
            Some(Given::Unusable(why)) => {
                return Err(format!("{key} cannot be used by substituteFrom: {why}"));
            }
            Some(Given::Unread(why)) => return Err(format!("{key} cannot be read: {why}")),
            None => return Err(format!("{key} has not been read yet")),
        }
    }
    for (name, value) in own {
        owner.remove(name.as_str());
        drop(variables.set(name, value));
    }
    for name in owner.keys() {
        variables.unset(name);
    }
    let used: BTreeSet<&ObjectKey> = owner.values().collect();
    let secrets = used.into_iter().filter_map(|key| {
        let Some(Given::Secret { uid, version, .. }) = given.get(key) else { return None };
        let of_it = owner.iter().filter(|(_, owner)| *owner == key);
        Some(SecretVariables {
            namespace: key.namespace.clone(),
            name: key.name.clone(),
            uid: uid.clone(),
            version: version.clone(),
            variables: of_it.map(|(name, _)| (*name).to_owned()).collect(),
        })
    });
    Ok(Taken { secrets: secrets.collect(), variables })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::model::VariableKind;

    fn source(kind: VariableKind, name: &str, optional: bool) -> VariableSource {
        VariableSource { kind, namespace: "fleet".into(), name: name.into(), optional }
    }

    fn config_map(name: &str) -> VariableSource {
        source(VariableKind::ConfigMap, name, false)
    }

    fn secret(name: &str) -> VariableSource {
        source(VariableKind::Secret, name, false)
    }

    fn given(objects: &[(VariableSource, Value)]) -> BTreeMap<ObjectKey, Given> {
        let read = |(source, data): &(VariableSource, Value)| {
            let metadata = json!({ "uid": "u", "resourceVersion": "7" });
            let key = source.key();
            let object = json!({ "metadata": metadata, "data": data });
            (key.clone(), Given::of(&key, object))
        };
        objects.iter().map(read).collect()
    }

    /// `hunter2`, as a Secret has it.
    const HUNTER2: &str = "aHVudGVyMg==";

    fn base() -> Variables {
        let mut base = Variables::default();
        for name in ["a", "b", "c", "d", "e"] {
            base.set(name, "base").unwrap();
        }
        base
    }

    #[test]
    fn the_later_object_wins_and_the_apps_own_variables_over_all() {
        let from = [config_map("one"), secret("two"), config_map("three")];
        let given = given(&[
            (from[0].clone(), json!({ "a": "one", "b": "one", "d": "one" })),
            (from[1].clone(), json!({ "b": HUNTER2, "c": HUNTER2, "d": HUNTER2, "x": HUNTER2 })),
            (from[2].clone(), json!({ "c": "three" })),
        ]);
        let own = BTreeMap::from([("d".to_owned(), "own".to_owned())]);
        let taken = taken(base(), &from, &own, &given).unwrap();
        let plain = ["a", "b", "c", "d", "e", "x"].map(|name| taken.variables.get(name));
        let expected = [Some("one"), None, Some("three"), Some("own"), Some("base"), None];
        assert_eq!(plain, expected);
        let names: Vec<&str> = taken.secrets[0].variables.iter().map(String::as_str).collect();
        assert_eq!((names.as_slice(), taken.secrets[0].version.as_str()), (&["b", "x"][..], "7"));
        let all = format!("{taken:?} {given:?}");
        assert!(!all.contains("hunter2"), "{all}");
    }

    #[test]
    fn what_keeps_an_app_from_its_variables_is_named() {
        let from = [config_map("gone"), source(VariableKind::Secret, "maybe", true)];
        let own = BTreeMap::new();
        let mut given =
            BTreeMap::from([(from[0].key(), Given::Absent), (from[1].key(), Given::Absent)]);
        let mut said = vec![taken(base(), &from, &own, &given).unwrap_err()];
        for state in [
            Given::Unread("the API server cannot be reached".to_owned()),
            Given::of(&from[0].key(), json!({ "data": { "app.properties": "x" } })),
            Given::of(&from[0].key(), json!({ "data": { "a": "x".repeat(5000) } })),
            Given::of(&from[1].key(), json!({ "data": { "a": "/////w==" } })),
        ] {
            given.insert(from[0].key(), state);
            said.push(taken(base(), &from, &own, &given).unwrap_err());
        }
        insta::assert_snapshot!(said.join("\n"), @r#"
        ConfigMap fleet/gone is not there, which substituteFrom takes variables from: create it, or say `optional: true` in leeward.yaml
        ConfigMap fleet/gone cannot be read: the API server cannot be reached
        ConfigMap fleet/gone cannot be used by substituteFrom: its key "app.properties" is not the name of a variable: a letter or `_`, then letters, digits and `_`
        ConfigMap fleet/gone cannot be used by substituteFrom: its key "a" has more than 4096 bytes
        ConfigMap fleet/gone cannot be used by substituteFrom: its key "a" is no text
        "#);
        given.insert(from[0].key(), Given::ConfigMap(BTreeMap::new()));
        assert_eq!(taken(base(), &from, &own, &given).unwrap().variables, base());
    }
}
