//! JSON values as block YAML that reads the same under YAML 1.1 and 1.2.
//!
//! A text stays plain only when no reader can take it for something else; the
//! rest is quoted. Better a quote too many than a `no` that becomes `false`.

use std::fmt::Write as _;

use serde_json::{Map, Value};

/// A simple key may have at most 1,024 characters (YAML 1.2, §7.4.3), quotes
/// and escapes included.
const MAX_SIMPLE_KEY: usize = 1_000;

/// One document, without `---`, with a line break at the end.
pub(super) fn document(value: &Value) -> String {
    let mut text = String::new();
    match value {
        Value::Object(map) if !map.is_empty() => mapping(map, 0, &mut text),
        Value::Array(items) if !items.is_empty() => sequence(items, 0, &mut text),
        scalar => {
            leaf(scalar, 0, &mut text);
            text.push('\n');
        }
    }
    text
}

/// Writes entries, each on a line of its own; the first one where the cursor is.
fn mapping(map: &Map<String, Value>, indent: usize, text: &mut String) {
    for (index, (key, value)) in map.iter().enumerate() {
        if index > 0 {
            spaces(indent, text);
        }
        let written = if is_plain(key) { key.clone() } else { quoted(key) };
        if written.chars().count() > MAX_SIMPLE_KEY {
            text.push_str("? ");
            text.push_str(&written);
            text.push('\n');
            spaces(indent, text);
            text.push(':');
        } else {
            text.push_str(&written);
            text.push(':');
        }
        match value {
            Value::Object(inner) if !inner.is_empty() => {
                text.push('\n');
                spaces(indent + 2, text);
                mapping(inner, indent + 2, text);
            }
            // As everybody writes it: the dashes under the key.
            Value::Array(items) if !items.is_empty() => {
                text.push('\n');
                spaces(indent, text);
                sequence(items, indent, text);
            }
            scalar => {
                text.push(' ');
                leaf(scalar, indent + 2, text);
                text.push('\n');
            }
        }
    }
}

fn sequence(items: &[Value], indent: usize, text: &mut String) {
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            spaces(indent, text);
        }
        text.push_str("- ");
        match item {
            Value::Object(inner) if !inner.is_empty() => mapping(inner, indent + 2, text),
            Value::Array(inner) if !inner.is_empty() => sequence(inner, indent + 2, text),
            scalar => {
                leaf(scalar, indent + 2, text);
                text.push('\n');
            }
        }
    }
}

/// A value without children. `indent` is that of the lines of a block text.
fn leaf(value: &Value, indent: usize, text: &mut String) {
    match value {
        Value::Null => text.push_str("null"),
        Value::Bool(switch) => text.push_str(if *switch { "true" } else { "false" }),
        Value::Number(number) => text.push_str(&self::number(&number.to_string())),
        Value::Object(_) => text.push_str("{}"),
        Value::Array(_) => text.push_str("[]"),
        Value::String(string) if is_plain(string) => text.push_str(string),
        Value::String(string) if is_block(string) => block(string, indent.max(2), text),
        Value::String(string) => text.push_str(&quoted(string)),
    }
}

/// YAML 1.1 wants a point and a signed exponent in a float: `1e20` is a text to it.
fn number(json: &str) -> String {
    let Some((mantissa, exponent)) = json.split_once(['e', 'E']) else { return json.to_owned() };
    let point = if mantissa.contains('.') { "" } else { ".0" };
    let sign = if exponent.starts_with(['-', '+']) { "" } else { "+" };
    format!("{mantissa}{point}e{sign}{exponent}")
}

/// A literal block keeps every character of such a text.
fn is_block(string: &str) -> bool {
    let kept = |c: char| {
        c == '\n'
            || c == '\t'
            || (!c.is_control()
                && !matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}'))
    };
    // A space or line break in front would need an indentation indicator.
    string.contains('\n') && !string.starts_with([' ', '\n', '\t']) && string.chars().all(kept)
}

fn block(string: &str, indent: usize, text: &mut String) {
    let (body, chomping) = match string.strip_suffix('\n') {
        None => (string, "-"),
        Some(body) if body.ends_with('\n') => (body, "+"),
        Some(body) => (body, ""),
    };
    let _ = write!(text, "|{chomping}");
    for line in body.split('\n') {
        text.push('\n');
        if !line.is_empty() {
            spaces(indent, text);
            text.push_str(line);
        }
    }
}

fn spaces(count: usize, text: &mut String) {
    text.extend(std::iter::repeat_n(' ', count));
}

/// Whether every reader takes it for this text without quotes.
fn is_plain(string: &str) -> bool {
    let Some(first) = string.chars().next() else { return false };
    let allowed = |c: char| c.is_ascii_alphanumeric() || " _./-@%+=,:()<>;~^$*?!\\\"'".contains(c);
    let leads = first.is_ascii_alphanumeric() || "_/.(+$".contains(first);
    leads
        && string.chars().all(allowed)
        && !string.ends_with([' ', ':'])
        && !string.contains(": ")
        && !is_word(string)
        && !may_be_number(string)
}

/// Words that some reader takes for a boolean or null.
fn is_word(string: &str) -> bool {
    const WORDS: [&str; 10] = ["y", "n", "yes", "no", "on", "off", "true", "false", "null", "~"];
    WORDS.iter().any(|word| string.eq_ignore_ascii_case(word))
}

/// Whether it looks like a number, a date or a time in any notation: it begins
/// like one, and has no letter that rules all of them out.
fn may_be_number(string: &str) -> bool {
    let begins = string.starts_with(|c: char| c.is_ascii_digit() || "+.".contains(c));
    let rules_out =
        |c: char| c.is_ascii_alphabetic() && !c.is_ascii_hexdigit() && !"oxtzinOXTZIN".contains(c);
    begins && !string.contains(rules_out)
}

/// A double-quoted text on one line.
fn quoted(string: &str) -> String {
    let mut text = String::with_capacity(string.len() + 2);
    text.push('"');
    for c in string.chars() {
        let _ = match c {
            '"' => write!(text, "\\\""),
            '\\' => write!(text, "\\\\"),
            '\n' => write!(text, "\\n"),
            '\r' => write!(text, "\\r"),
            '\t' => write!(text, "\\t"),
            '\u{feff}' | '\u{2028}' | '\u{2029}' | '\u{fffe}' | '\u{ffff}' => {
                write!(text, "\\u{:04X}", u32::from(c))
            }
            c if c.is_control() => write!(text, "\\x{:02X}", u32::from(c)),
            c => write!(text, "{c}"),
        };
    }
    text.push('"');
    text
}

#[cfg(test)]
mod tests {
    use granit_parser::{Event, Parser, ScalarStyle};
    use insta::assert_snapshot;
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_manifest_reads_as_people_write_them() {
        let manifest = json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": "web", "labels": {}, "annotations": {"leeward.dev/wave": "-1", "on": "yes"}},
            "spec": {"replicas": 3, "template": {"spec": {"containers": [
                {"name": "web", "image": "nginx:1.27", "args": ["--port=80", "0644", "a: b", ""],
                 "resources": {"limits": {"cpu": "100m", "memory": "1Gi"}}, "stdin": null}]}}},
            "data": {"script": "#!/bin/sh\necho \"hi\"\n\n  exit 0\n", "tail": "a\nb", "more": "a\n\n"},
            "matrix": [[1, 2], [[]], [{"a": 1, "b": [true]}]],
        });
        assert_snapshot!(document(&manifest), @r#"
    apiVersion: apps/v1
    data:
      more: |+
        a

      script: |
        #!/bin/sh
        echo "hi"

          exit 0
      tail: |-
        a
        b
    kind: Deployment
    matrix:
    - - 1
      - 2
    - - []
    - - a: 1
        b:
        - true
    metadata:
      annotations:
        leeward.dev/wave: "-1"
        "on": "yes"
      labels: {}
      name: web
    spec:
      replicas: 3
      template:
        spec:
          containers:
          - args:
            - "--port=80"
            - "0644"
            - "a: b"
            - ""
            image: nginx:1.27
            name: web
            resources:
              limits:
                cpu: 100m
                memory: 1Gi
            stdin: null
    "#);
    }

    /// Texts that some reader takes for something else when they stand without quotes.
    #[test]
    fn ambiguous_texts_are_quoted() {
        let ambiguous = [
            "",
            "~",
            "null",
            "Null",
            "NULL",
            "true",
            "True",
            "FALSE",
            "yes",
            "No",
            "on",
            "OFF",
            "y",
            "N",
            "0",
            "012",
            "0o14",
            "0x1F",
            "0b101",
            "1_000",
            "-1",
            "+1",
            "1.5",
            ".5",
            "1e3",
            "1E+3",
            "-.inf",
            ".inf",
            ".NaN",
            "12:30",
            "12:30:45",
            "190:20:30.15",
            "2001-12-14",
            "2001-12-14t21:59:43.10-05:00",
            "<<",
            "=",
            "-",
            "?",
            ":",
            "- a",
            "? a",
            "a: b",
            "a #b",
            "#a",
            "a:",
            " a",
            "a ",
            "@a",
            "`a",
            "!a",
            "&a",
            "*a",
            "%a",
            "|",
            ">",
            "{a",
            "[a",
            "]",
            "}",
            ",a",
            "'a",
            "\"a",
            "a\tb",
            "---",
            "...",
            "1.2.3.4",
            "+12",
            "0.0.0.0:80",
            "é",
        ];
        let plain: Vec<_> = ambiguous.into_iter().filter(|text| is_plain(text)).collect();
        assert_eq!(plain, Vec::<&str>::new());
    }

    #[test]
    fn common_texts_are_not_quoted() {
        let common = [
            "nginx:1.27",
            "apps/v1",
            "100m",
            "1Gi",
            "/spec/replicas",
            "leeward.dev/app",
            "a b",
            "5s",
        ];
        assert_eq!(common.map(is_plain), [true; 8]);
    }

    #[test]
    fn numbers_are_numbers_to_every_reader() {
        let written =
            [json!(1e20), json!(1.5e-9), json!(0.1), json!(-3)].map(|value| document(&value));
        assert_eq!(written, ["1.0e+20\n", "1.5e-9\n", "0.1\n", "-3\n"]);
    }

    /// Exact, unlike `serde_json`, which may miss the last bit of a float.
    fn plain(scalar: String) -> Value {
        if let Ok(number) = scalar.parse::<i64>() {
            return number.into();
        }
        match (scalar.as_str(), scalar.parse::<f64>()) {
            ("null", _) => Value::Null,
            ("true", _) => true.into(),
            ("false", _) => false.into(),
            (text, Ok(number)) if text.starts_with(|c: char| "-0123456789".contains(c)) => {
                number.into()
            }
            _ => Value::String(scalar),
        }
    }

    /// Reads what the emitter writes: a plain scalar that is not a number,
    /// boolean or null in JSON is a text.
    fn read_back(text: &str) -> Value {
        enum Open {
            List(Vec<Value>),
            Table(Map<String, Value>, Option<String>),
        }
        let mut stack: Vec<Open> = Vec::new();
        let mut root = Value::Null;
        for event in Parser::new_from_str(text) {
            let (event, _) = event.unwrap();
            let value = match event {
                Event::Scalar(scalar, style, ..) => {
                    let scalar = scalar.into_owned();
                    if style == ScalarStyle::Plain { plain(scalar) } else { Value::String(scalar) }
                }
                Event::SequenceStart(..) => {
                    stack.push(Open::List(Vec::new()));
                    continue;
                }
                Event::MappingStart(..) => {
                    stack.push(Open::Table(Map::new(), None));
                    continue;
                }
                Event::SequenceEnd | Event::MappingEnd => match stack.pop().unwrap() {
                    Open::List(items) => Value::Array(items),
                    Open::Table(map, _) => Value::Object(map),
                },
                _ => continue,
            };
            match stack.last_mut() {
                None => root = value,
                Some(Open::List(items)) => items.push(value),
                Some(Open::Table(map, key)) => match key.take() {
                    Some(key) => drop(map.insert(key, value)),
                    None => *key = Some(value.as_str().unwrap().to_owned()),
                },
            }
        }
        root
    }

    fn texts() -> impl Strategy<Value = String> {
        prop_oneof![
            "[a-z:#\\- \\n\\t\"'|>0-9.]{0,12}",
            "\\PC{0,20}",
            any::<String>(),
            "( {0,2}[a-z]{0,3}\\n){0,4}",
            Just("a".repeat(1_500)),
        ]
    }

    fn values() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            (-1e30..1e30).prop_map(Value::from),
            texts().prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 40, 5, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                prop::collection::btree_map(texts(), inner, 0..5)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back_the_same(value in values()) {
            prop_assert_eq!(read_back(&document(&value)), value);
        }
    }
}
