//! The reference page and the JSON schema, printed from the table of keys.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use super::keys::{Fallback, KEYS, Key, Kind};

/// `docs/reference/configuration.md`.
pub fn page() -> String {
    let mut page = String::from(INTRODUCTION);
    for section in sections() {
        let _ = write!(page, "\n## `[{section}]`\n\n");
        page.push_str("| key | type | default | meaning |\n|---|---|---|---|\n");
        for key in KEYS.iter().filter(|key| key.section() == section) {
            let short = key.name.rsplit('.').next().unwrap_or(key.name);
            let _ = writeln!(
                page,
                "| `{short}` | {} | {} | {} |",
                type_of(key),
                default_of(key),
                key.doc
            );
        }
    }
    page
}

const INTRODUCTION: &str = "\
# The agent's configuration

<!-- Generated from `agent/src/config/keys.rs`; `LEEWARD_BLESS=1 cargo test -p leeward reference` rewrites it. -->

`/etc/leeward/agent.toml`; another file with `--config FILE` or `$LEEWARD_CONFIG`. Every key can
also be set by environment or flag: `source.url` is `LEEWARD_SOURCE__URL` and `--set source.url=…`.
Flags beat the environment, the environment beats the file, the file beats the defaults. An empty
text unsets a key. An unknown key is an error. `leeward check --offline` checks it all.

Durations are `500ms`, `30s`, `5m`, `1h30m`, `2d`; sizes `64KiB`, `256MiB`, `1GB`.
";

fn sections() -> Vec<&'static str> {
    let mut sections: Vec<_> = KEYS.iter().map(Key::section).collect();
    sections.dedup();
    sections
}

fn type_of(key: &Key) -> String {
    match key.kind {
        Kind::Choice(words) => {
            words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(" or ")
        }
        kind => kind.name().to_owned(),
    }
}

fn default_of(key: &Key) -> String {
    match key.fallback {
        Fallback::Required => "**required**".to_owned(),
        Fallback::Value(text) => format!("`{text}`"),
        Fallback::Unset(meaning) => meaning.to_owned(),
    }
}

/// `docs/reference/agent.schema.json`, for editors.
pub fn schema() -> Value {
    let mut properties = Map::new();
    let mut required_sections = Vec::new();
    for section in sections() {
        let keys = KEYS.iter().filter(|key| key.section() == section);
        let mut fields = Map::new();
        let mut required = Vec::new();
        for key in keys {
            let short = key.name.rsplit('.').next().unwrap_or(key.name);
            fields.insert(short.to_owned(), schema_of(key));
            if key.fallback == Fallback::Required {
                required.push(short);
            }
        }
        if !required.is_empty() {
            required_sections.push(section);
        }
        properties.insert(
            section.to_owned(),
            json!({
                "type": "object",
                "additionalProperties": false,
                "properties": fields,
                "required": required,
            }),
        );
    }
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Configuration of the Leeward agent (agent.toml)",
        "type": "object",
        "additionalProperties": false,
        "properties": properties,
        "required": required_sections,
    })
}

fn schema_of(key: &Key) -> Value {
    let mut schema = match key.kind {
        Kind::Text | Kind::Url | Kind::File | Kind::Address => json!({ "type": "string" }),
        Kind::Switch => json!({ "type": "boolean" }),
        Kind::Count => json!({ "type": "integer", "minimum": 0, "maximum": u32::MAX }),
        Kind::Share => json!({ "type": "number", "minimum": 0, "maximum": 1 }),
        Kind::Duration => {
            json!({ "type": "string", "pattern": "^([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?([0-9]+ms)?$", "minLength": 2 })
        }
        Kind::Size => json!({
            "type": ["string", "integer"],
            "pattern": "^[0-9]+([KMGT]?i?B)?$",
            "minimum": 0,
        }),
        Kind::Choice(words) => json!({ "enum": words }),
        Kind::Table => json!({ "type": "object", "additionalProperties": { "type": "string" } }),
        Kind::Files | Kind::Folders => json!({ "type": "array", "items": { "type": "string" } }),
    };
    schema["description"] = json!(key.doc);
    if let Fallback::Value(text) = key.fallback {
        schema["default"] = match key.kind {
            Kind::Switch | Kind::Count | Kind::Share => {
                serde_json::from_str(text).unwrap_or_else(|_| json!(text))
            }
            _ => json!(text),
        };
    }
    schema
}
