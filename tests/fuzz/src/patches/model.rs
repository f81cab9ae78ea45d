//! Patches by the letter of their RFCs, on plain JSON.

use serde_json::{Map, Value, json};

use crate::dice::Dice;

/// Both are of different kinds, which a strategic merge refuses.
#[derive(Debug)]
pub(super) struct Conflict;

/// RFC 7386, but for what is of different kinds, and as upstream has it for
/// what was quoted: that stays quoted, and so a text. All texts are, in JSON.
pub(super) fn merge(object: &Value, patch: &Value) -> Result<Value, Conflict> {
    match (object, patch) {
        (Value::Object(object), Value::Object(patch)) => {
            let mut merged = object.clone();
            for (key, value) in patch {
                match (merged.get(key), value) {
                    (_, Value::Null) => drop(merged.remove(key)),
                    (None, value) => {
                        merged.insert(key.clone(), without_nulls(value));
                    }
                    (Some(old), value) => {
                        let value = merge(old, value)?;
                        merged.insert(key.clone(), value);
                    }
                }
            }
            Ok(Value::Object(merged))
        }
        (Value::Array(_), Value::Array(_)) => Ok(patch.clone()),
        (Value::Object(_) | Value::Array(_), _) | (_, Value::Object(_) | Value::Array(_)) => {
            Err(Conflict)
        }
        (Value::String(_), Value::Bool(_) | Value::Number(_)) => Ok(json!(patch.to_string())),
        _ => Ok(patch.clone()),
    }
}

fn without_nulls(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let kept = map.iter().filter(|(_, value)| !value.is_null());
            Value::Object(kept.map(|(key, value)| (key.clone(), without_nulls(value))).collect())
        }
        other => other.clone(),
    }
}

/// RFC 6902.
pub(super) fn json_patch(object: &Value, patch: &Value) -> Result<Value, String> {
    let mut document = object.clone();
    for operation in patch.as_array().into_iter().flatten() {
        let text = |key: &str| operation[key].as_str().unwrap_or_default();
        let (path, from) = (text("path"), text("from"));
        let value = operation["value"].clone();
        match text("op") {
            "add" => add(&mut document, path, value)?,
            "remove" => drop(remove(&mut document, path)?),
            "replace" => replace(&mut document, path, value)?,
            "test" => {
                if document.pointer(path) != Some(&value) {
                    return Err(format!("{path} is not {value}"));
                }
            }
            "move" => {
                let value = remove(&mut document, from)?;
                add(&mut document, path, value)?;
            }
            _ => {
                let value = copied(&mut document, from)?;
                add(&mut document, path, value)?;
            }
        }
    }
    Ok(document)
}

fn parent<'d>(document: &'d mut Value, path: &str) -> Result<(&'d mut Value, String), String> {
    let (above, last) = path.rsplit_once('/').ok_or("no slash")?;
    let node = document.pointer_mut(above).ok_or_else(|| format!("no {above}"))?;
    Ok((node, last.replace("~1", "/").replace("~0", "~")))
}

fn add(document: &mut Value, path: &str, value: Value) -> Result<(), String> {
    let (node, last) = parent(document, path)?;
    match node {
        Value::Object(map) => drop(map.insert(last, value)),
        Value::Array(items) if last == "-" => items.push(value),
        Value::Array(items) => {
            let at: usize = last.parse().map_err(|_| format!("{last} is no index"))?;
            if at > items.len() {
                return Err(format!("{at} is beyond the end"));
            }
            items.insert(at, value);
        }
        _ => return Err("a scalar has no fields".to_owned()),
    }
    Ok(())
}

/// With the liberty of upstream's library: a key that is not there is null.
fn copied(document: &mut Value, from: &str) -> Result<Value, String> {
    if let Some(value) = document.pointer(from) {
        return Ok(value.clone());
    }
    let (node, _) = parent(document, from)?;
    if node.is_object() { Ok(Value::Null) } else { Err(format!("no {from}")) }
}

fn remove(document: &mut Value, path: &str) -> Result<Value, String> {
    let (node, last) = parent(document, path)?;
    match node {
        Value::Object(map) => map.remove(&last).ok_or_else(|| format!("no {path}")),
        Value::Array(items) => {
            let at = last.parse().ok().filter(|at| *at < items.len());
            Ok(items.remove(at.ok_or_else(|| format!("no {path}"))?))
        }
        _ => Err("a scalar has no fields".to_owned()),
    }
}

/// With the liberty of upstream's library: a key that is not there is made.
fn replace(document: &mut Value, path: &str, value: Value) -> Result<(), String> {
    let (node, last) = parent(document, path)?;
    match node {
        Value::Object(map) => drop(map.insert(last, value)),
        Value::Array(items) => {
            let at: Option<usize> = last.parse().ok();
            let item = at.and_then(|at| items.get_mut(at));
            *item.ok_or_else(|| format!("no {path}"))? = value;
        }
        _ => return Err("a scalar has no fields".to_owned()),
    }
    Ok(())
}

/// A Deployment with some of what the schema merges by keys.
pub(super) fn deployment(dice: &mut Dice<'_>) -> Value {
    let mut containers = Vec::new();
    for name in ["a", "b", "c"] {
        if dice.below(2) == 0 {
            continue;
        }
        let mut container = Map::from_iter([("name".to_owned(), json!(name))]);
        if dice.below(2) == 1 {
            container.insert("image".to_owned(), json!(dice.one_of(&["x:1", "y:2", "z"])));
        }
        if dice.below(2) == 1 {
            let mut ports = Vec::new();
            for port in [80, 443] {
                if dice.below(2) == 1 {
                    let protocol = dice.one_of(&["TCP", "UDP"]);
                    ports.push(json!({"containerPort": port, "protocol": protocol}));
                }
            }
            container.insert("ports".to_owned(), Value::Array(ports));
        }
        if dice.below(2) == 1 {
            let mut env = Vec::new();
            for name in ["E", "F"] {
                if dice.below(2) == 1 {
                    env.push(json!({"name": name, "value": dice.one_of(&["1", "", "yes"])}));
                }
            }
            container.insert("env".to_owned(), Value::Array(env));
        }
        if dice.below(3) == 1 {
            container.insert("args".to_owned(), json!(["--a", dice.one_of(&["1", "2"])]));
        }
        containers.push(Value::Object(container));
    }
    let mut pod = Map::from_iter([("containers".to_owned(), Value::Array(containers))]);
    if dice.below(2) == 1 {
        let name = dice.one_of(&["v", "w"]);
        let volume = dice.one_of(&["emptyDir", "configMap"]);
        pod.insert("volumes".to_owned(), json!([{"name": name, volume: {}}]));
    }
    let mut metadata = Map::from_iter([("name".to_owned(), json!("d"))]);
    if dice.below(2) == 1 {
        let label = dice.one_of(&["l", "m"]);
        metadata.insert("labels".to_owned(), json!({label: dice.one_of(&["1", "x"])}));
    }
    if dice.below(2) == 1 {
        metadata.insert("finalizers".to_owned(), json!([dice.one_of(&["f/1", "f/2"])]));
    }
    let mut spec = Map::from_iter([("template".to_owned(), json!({ "spec": pod }))]);
    if dice.below(2) == 1 {
        spec.insert("replicas".to_owned(), json!(dice.below(3)));
    }
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec})
}
