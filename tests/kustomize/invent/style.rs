//! YAML in as many styles as people write it.

use std::fmt::Write as _;

use leeward_tests::Seed;
use serde_json::Value;

/// The document that reads as the value, indented and quoted as the seed will have it.
pub(super) fn document(seed: &mut Seed, value: &Value) -> String {
    let mut text = String::new();
    block(seed, value, 0, &mut text);
    text
}

fn one_of<'t>(seed: &mut Seed, of: &[&'t str]) -> &'t str {
    of[usize::try_from(seed.below(of.len() as u64)).unwrap_or(0)]
}

/// Lines, each with its end.
fn block(seed: &mut Seed, value: &Value, indent: usize, text: &mut String) {
    match value {
        Value::Object(map) if !map.is_empty() => {
            for (name, value) in map {
                if seed.chance(4) {
                    let _ = writeln!(text, "{:indent$}# a comment", "");
                }
                let _ = write!(text, "{:indent$}{}:", "", key(seed, name));
                below(seed, value, indent, text);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            for item in items {
                let _ = write!(text, "{:indent$}-", "");
                // A mapping goes on behind its dash.
                if item.as_object().is_some_and(|map| !map.is_empty()) && seed.chance(85) {
                    let mut inner = String::new();
                    block(seed, item, indent + 2, &mut inner);
                    if inner.trim_start().starts_with('#') {
                        let _ = write!(text, "\n{inner}");
                    } else {
                        let _ = write!(text, " {}", &inner[indent + 2..]);
                    }
                } else {
                    below(seed, item, indent, text);
                }
            }
        }
        other => {
            let _ = writeln!(text, "{:indent$}{}", "", flow(seed, other));
        }
    }
}

/// What stands behind the colon of a key or the dash of an item.
fn below(seed: &mut Seed, value: &Value, indent: usize, text: &mut String) {
    match value {
        Value::Object(map) if !map.is_empty() && seed.chance(90) => {
            text.push('\n');
            block(seed, value, indent + 2, text);
        }
        Value::Array(items) if !items.is_empty() && seed.chance(90) => {
            text.push('\n');
            let indent = if text.ends_with(":\n") && seed.chance(50) { indent } else { indent + 2 };
            block(seed, value, indent, text);
        }
        Value::String(content) if may_be_literal(content) && seed.chance(20) => {
            let chomp = match content {
                content if content.ends_with("\n\n") => "+",
                content if content.ends_with('\n') => one_of(seed, &["", "+"]),
                _ => "-",
            };
            let one_line = !content.trim_end_matches('\n').contains('\n');
            let header = if one_line && !content.ends_with("\n\n") {
                one_of(seed, &["|", ">"])
            } else {
                "|"
            };
            let _ = writeln!(text, " {header}{chomp}");
            for line in content.strip_suffix('\n').unwrap_or(content).split('\n') {
                let indent = if line.is_empty() { 0 } else { indent + 2 };
                let _ = writeln!(text, "{:indent$}{line}", "");
            }
        }
        other => {
            let comment = if seed.chance(4) { "  # a comment" } else { "" };
            let _ = writeln!(text, " {}{comment}", flow(seed, other));
        }
    }
}

fn may_be_literal(text: &str) -> bool {
    !text.trim().is_empty() && !text.starts_with([' ', '\n']) && !text.contains('\t')
}

fn flow(seed: &mut Seed, value: &Value) -> String {
    match value {
        Value::Object(map) => {
            let entries: Vec<String> = map
                .iter()
                .map(|(name, value)| format!("{}: {}", key(seed, name), flow(seed, value)))
                .collect();
            format!("{{{}}}", entries.join(", "))
        }
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(|item| flow(seed, item)).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Null => one_of(seed, &["null", "~", "Null"]).to_owned(),
        Value::Bool(true) => one_of(seed, &["true", "True", "TRUE"]).to_owned(),
        Value::Bool(false) => one_of(seed, &["false", "False", "FALSE"]).to_owned(),
        Value::Number(number) => match number.as_u64().filter(|_| seed.chance(15)) {
            Some(number) => match seed.below(4) {
                0 => format!("{number:#x}"),
                1 => format!("{number:#o}"),
                2 => format!("+{number}"),
                _ => format!("{number}.0"),
            },
            None => number.to_string(),
        },
        Value::String(text) => scalar(seed, text),
    }
}

fn scalar(seed: &mut Seed, text: &str) -> String {
    if is_plain(text) && seed.chance(60) {
        text.to_owned()
    } else if !text.contains(['\n', '\t']) && seed.chance(30) {
        format!("'{}'", text.replace('\'', "''"))
    } else {
        Value::from(text).to_string()
    }
}

/// Whether it is text without quotes, wherever it stands.
fn is_plain(text: &str) -> bool {
    let words = ["true", "yes", "y", "on", "null", "no", "n", "off", "false"];
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && !words.contains(&text.to_ascii_lowercase().as_str())
        && !text.ends_with([' ', ':'])
        && text.chars().all(|c| c.is_ascii_alphanumeric() || " -_./:@".contains(c))
        && !text.contains(": ")
}

fn key(seed: &mut Seed, name: &str) -> String {
    if is_plain(name) && !seed.chance(10) { name.to_owned() } else { Value::from(name).to_string() }
}
