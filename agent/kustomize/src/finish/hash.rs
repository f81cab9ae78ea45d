//! The suffix that changes with the content.

use std::fmt::Write as _;

use leeward_yaml::{Dialect, Node};

use sha2::{Digest as _, Sha256};

use crate::{
    error::{Outcome, Problem},
    json::{go_json, go_json_string},
    resmap::ResMap,
    resource::Resource,
};

/// Characters of the suffix.
const LENGTH: usize = 10;

pub(crate) fn add_hashes(map: &mut ResMap) -> Outcome<()> {
    for resource in map.list.iter_mut().filter(|resource| resource.needs_hash) {
        let suffix = hash(resource);
        let suffix = resource.locate(suffix)?;
        resource.remember();
        let name = format!("{}-{suffix}", resource.name());
        resource.set_name(&name);
    }
    Ok(())
}

/// Of the JSON that upstream hashes: its keys in order, and no name, although
/// upstream means to have one in it.
fn hash(resource: &Resource) -> Outcome<String> {
    let node = &resource.node;
    let mut fields: Vec<(&str, Option<String>)> = match resource.kind() {
        "ConfigMap" => vec![
            ("binaryData", mapping(node, "binaryData")?),
            ("data", Some(any(node, "data")?)),
            ("kind", Some(go_json_string("ConfigMap"))),
            ("name", Some(go_json_string(""))),
        ],
        "Secret" => vec![
            ("data", Some(any(node, "data")?)),
            ("kind", Some(go_json_string("Secret"))),
            ("name", Some(go_json_string(""))),
            ("stringData", mapping(node, "stringData")?),
            ("type", Some(any(node, "type")?)),
        ],
        _ => {
            let value = json(node)?;
            return Ok(encode(&go_json(&value, None)));
        }
    };
    fields.retain(|(_, value)| value.is_some());
    let mut text = String::from("{");
    for (at, (key, value)) in fields.into_iter().enumerate() {
        let comma = if at > 0 { "," } else { "" };
        let _ = write!(text, "{comma}{}:{}", go_json_string(key), value.unwrap_or_default());
    }
    text.push('}');
    Ok(encode(&text))
}

fn mapping(node: &Node, field: &str) -> Outcome<Option<String>> {
    match node.get(field).filter(|value| value.is_mapping()) {
        None => Ok(None),
        Some(value) => Ok(Some(go_json(&json(value)?, None))),
    }
}

fn any(node: &Node, field: &str) -> Outcome<String> {
    match node.get(field) {
        None => Ok(go_json_string("")),
        Some(value) if value.is_mapping() => Ok(go_json(&json(value)?, None)),
        Some(value) if value.is_sequence() => Ok("null".to_owned()),
        Some(value) => Ok(go_json_string(value.raw())),
    }
}

fn json(node: &Node) -> Outcome<serde_json::Value> {
    node.clone().into_json(Dialect::Kustomize).map_err(|errors| {
        errors
            .into_iter()
            .next()
            .map_or_else(|| Problem::Empty.into(), Box::<crate::BuildError>::from)
    })
}

fn encode(text: &str) -> String {
    let digest = Sha256::digest(text.as_bytes());
    let mut hex = String::with_capacity(64);
    for byte in digest {
        let _ = write!(hex, "{byte:02x}");
    }
    // No vowels, and nothing that reads as another.
    let letter = |c| match c {
        '0' => 'g',
        '1' => 'h',
        '3' => 'k',
        'a' => 'm',
        'e' => 't',
        other => other,
    };
    hex.chars().take(LENGTH).map(letter).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_config_map_has_the_suffix_that_upstream_gives_it() {
        let text = r#"{"data":"","kind":"ConfigMap","name":""}"#;
        assert_eq!(encode(text), "6ct58987ht");
    }
}
