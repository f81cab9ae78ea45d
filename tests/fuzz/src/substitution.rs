//! Variables: a model of the simple forms, and what holds of all.

use leeward_core::render::substitute::{OUTPUT_BYTES_MAX, Variables, substitute, substitute_text};
use leeward_yaml::{Dialect, Documents, Limits};
use serde_json::Value;

use crate::dice::Dice;

/// The value that no message may repeat.
const SECRET: &str = "hunter2-hunter2";

/// The claim about any text and variables. The first byte chooses: a text and
/// its variables as they are written, or made of what follows.
pub fn substitution(bytes: &[u8]) {
    match bytes.split_first() {
        Some((b'M', rest)) => model_agrees(&mut Dice::new(rest)),
        _ => written(bytes),
    }
}

/// Lines `name=value`, a line `---`, and the text.
fn written(bytes: &[u8]) {
    let Ok(input) = str::from_utf8(bytes) else { return };
    let (head, text) = input.split_once("---\n").unwrap_or(("", input));
    let mut variables = Variables::default();
    for (name, value) in head.lines().filter_map(|line| line.split_once('=')) {
        let _ = variables.set(name, value);
    }
    variables.set("secret", SECRET).expect("it is a name");
    let result = substitute_text(text, &variables);
    assert_eq!(substitute_text(text, &variables), result);
    match &result {
        Ok(found) => {
            assert!(found.len() <= OUTPUT_BYTES_MAX);
            if !text.contains("${") && !text.contains("$$") {
                assert_eq!(found, text);
            }
        }
        Err(problem) => {
            let message = problem.to_string();
            assert!(message.len() < 2_000, "{message}");
            assert!(!message.contains(SECRET) || text.contains(SECRET), "{message}");
        }
    }
    // A text whose dollars mean themselves.
    assert_eq!(substitute_text(&text.replace('$', "$$"), &variables).as_deref(), Ok(text));
    let limits =
        Limits { bytes: 64 << 10, depth: 60, nodes: 10_000, text: 64 << 10, documents: 50 };
    let Ok(documents) = Documents::new(text.as_bytes(), Dialect::Kubernetes, limits) else {
        return;
    };
    for document in documents.filter_map(Result::ok) {
        if let Ok(value) = document.into_json(Dialect::Kubernetes) {
            object_holds(&value, &variables);
        }
    }
}

fn object_holds(value: &Value, variables: &Variables) {
    assert_eq!(substitute(value, &Variables::default()), Ok(None));
    match substitute(value, variables) {
        Ok(None) => {}
        Ok(Some(_)) => assert!(has_dollar(value)),
        Err(problem) => {
            let message = problem.to_string();
            assert!(!message.contains(SECRET) || value.to_string().contains(SECRET), "{message}");
        }
    }
    let escaped = escaped(value);
    match substitute(&escaped, variables) {
        Ok(None) => {}
        found => assert_eq!(found, Ok(Some(value.clone())), "{escaped}"),
    }
}

fn has_dollar(value: &Value) -> bool {
    value.to_string().contains('$')
}

/// Every dollar of every key and text twice.
fn escaped(value: &Value) -> Value {
    match value {
        Value::String(text) => Value::String(text.replace('$', "$$")),
        Value::Array(items) => items.iter().map(escaped).collect(),
        Value::Object(map) => {
            map.iter().map(|(key, value)| (key.replace('$', "$$"), escaped(value))).collect()
        }
        other => other.clone(),
    }
}

/// Texts made of parts whose meaning is known.
fn model_agrees(dice: &mut Dice<'_>) {
    const NAMES: [&str; 4] = ["a", "empty", "name_1", "_x"];
    const VALUES: [&str; 6] = ["value", "$", "${a}", "a b\tc", "ÄöÜ", "{}\"'"];
    const TEXTS: [&str; 8] = ["", " ", "a: 1\n", "}", "{a}", "\\", "ü", "\"'"];
    let mut variables = Variables::default();
    let mut values = [""; NAMES.len()];
    for (name, value) in NAMES.iter().zip(&mut values) {
        *value = if *name == "empty" { "" } else { dice.one_of(&VALUES) };
        variables.set(name, value).expect("it is a name");
    }
    let (mut text, mut expected) = (String::new(), String::new());
    while !dice.is_empty() {
        let at = dice.below(NAMES.len());
        let (name, value) = (NAMES[at], values[at]);
        let (written, meant) = match dice.below(12) {
            0 => ("$$".to_owned(), "$".to_owned()),
            1 => (format!("${{{name}}}"), value.to_owned()),
            2 => (format!("${{#{name}}}"), value.len().to_string()),
            3 => {
                let default = dice.one_of(&["", "d", "${a}", "x ${name_1:-y}"]);
                let meant = match (value, default) {
                    ("", "${a}") => values[0].to_owned(),
                    ("", "x ${name_1:-y}") => format!("x {}", values[2]),
                    ("", default) => default.to_owned(),
                    (value, _) => value.to_owned(),
                };
                (format!("${{{name}:-{default}}}"), meant)
            }
            4 => (format!("${{unknown:={name}}}"), name.to_owned()),
            5 => (format!("${{{name}^^}}"), simple(value, char::to_uppercase)),
            6 => (format!("${{{name},,}}"), simple(value, char::to_lowercase)),
            7 => (format!("${{{name}/a/b}}"), value.replacen('a', "b", 1)),
            8 => (format!("${{{name}//a/}}"), value.replace('a', "")),
            9 => (format!("${{{name}#*a}}"), behind_first_a(value)),
            _ => {
                let plain = dice.one_of(&TEXTS);
                (plain.to_owned(), plain.to_owned())
            }
        };
        text.push_str(&written);
        expected.push_str(&meant);
    }
    assert_eq!(substitute_text(&text, &variables).as_deref(), Ok(expected.as_str()), "{text}");
    let unset = format!("{text}${{nobody_sets_this}}");
    assert!(substitute_text(&unset, &variables).is_err(), "{unset}");
}

fn simple<I: Iterator<Item = char>>(text: &str, change: impl Fn(char) -> I) -> String {
    text.chars().flat_map(change).collect()
}

fn behind_first_a(value: &str) -> String {
    value.split_once('a').map_or(value, |(_, behind)| behind).to_owned()
}
