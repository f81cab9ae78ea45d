//! JSON as Go writes it: keys in order, safe within HTML.

use std::fmt::Write as _;

use leeward_yaml::number;
use serde_json::Value;

/// On one line; with an indentation, in levels of two spaces.
pub(crate) fn go_json(value: &Value, indent: Option<usize>) -> String {
    let mut text = String::new();
    write(value, indent, &mut text);
    text
}

fn write(value: &Value, indent: Option<usize>, text: &mut String) {
    let inner = indent.map(|indent| indent + 1);
    match value {
        Value::Object(map) if !map.is_empty() => {
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_by_key(|(key, _)| key.as_str());
            text.push('{');
            for (at, (key, value)) in entries.into_iter().enumerate() {
                if at > 0 {
                    text.push(',');
                }
                line(inner, text);
                text.push_str(&go_json_string(key));
                text.push_str(if indent.is_some() { ": " } else { ":" });
                write(value, inner, text);
            }
            line(indent, text);
            text.push('}');
        }
        Value::Array(items) if !items.is_empty() => {
            text.push('[');
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    text.push(',');
                }
                line(inner, text);
                write(item, inner, text);
            }
            line(indent, text);
            text.push(']');
        }
        Value::String(string) => text.push_str(&go_json_string(string)),
        Value::Number(value) => text.push_str(&number::json_text(value)),
        other => text.push_str(&other.to_string()),
    }
}

fn line(indent: Option<usize>, text: &mut String) {
    if let Some(indent) = indent {
        text.push('\n');
        text.extend(std::iter::repeat_n("  ", indent));
    }
}

/// A string, with its quotes.
pub(crate) fn go_json_string(text: &str) -> String {
    let mut json = String::with_capacity(text.len() + 2);
    json.push('"');
    for c in text.chars() {
        match c {
            '"' => json.push_str("\\\""),
            '\\' => json.push_str("\\\\"),
            '\u{8}' => json.push_str("\\b"),
            '\u{c}' => json.push_str("\\f"),
            '\n' => json.push_str("\\n"),
            '\r' => json.push_str("\\r"),
            '\t' => json.push_str("\\t"),
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' | '\0'..='\u{1f}' => {
                let _ = write!(json, "\\u{:04x}", u32::from(c));
            }
            c => json.push(c),
        }
    }
    json.push('"');
    json
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn strings_are_escaped_as_go_does() {
        assert_eq!(
            go_json_string("a<b>&\u{2028}\u{1}\n"),
            "\"a\\u003cb\\u003e\\u0026\\u2028\\u0001\\n\""
        );
    }

    #[test]
    fn keys_are_in_order_whatever_the_notation() {
        let value = json!({"b": [1, {}], "a": {"c": null}});
        assert_eq!(go_json(&value, None), r#"{"a":{"c":null},"b":[1,{}]}"#);
        insta::assert_snapshot!(go_json(&value, Some(0)), @r#"
        {
          "a": {
            "c": null
          },
          "b": [
            1,
            {}
          ]
        }
        "#);
    }
}
