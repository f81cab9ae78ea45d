//! Claims about any bytes and any value.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{read, read_with};
use crate::{Dialect, Limits};

/// Characters that YAML calls printable, and the two control characters that JSON escapes.
const TEXT: &str = "[ -~äß→😀\n\t]{0,12}";

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        (-1e15_f64..1e15)
            .prop_filter("whole numbers become integers", |f| f.fract() != 0.0)
            .prop_map(Value::from),
        TEXT.prop_map(Value::from),
        "(yes|no|on|~|0644|1e3|null|<<|- a|a: b|#|\\|)".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::btree_map(TEXT, inner, 0..6)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

/// Block style with every text quoted as JSON quotes it.
fn to_yaml(value: &Value, indent: usize, out: &mut String) {
    use std::fmt::Write as _;
    let pad = " ".repeat(indent);
    match value {
        Value::Array(items) if !items.is_empty() => {
            for item in items {
                write!(out, "\n{pad}-").unwrap();
                to_yaml(item, indent + 2, out);
            }
        }
        Value::Object(map) if !map.is_empty() => {
            for (key, value) in map {
                write!(out, "\n{pad}{}:", json!(key)).unwrap();
                to_yaml(value, indent + 2, out);
            }
        }
        scalar => write!(out, " {scalar}").unwrap(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_end_in_a_value_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        drop(read_with(&bytes, Dialect::Kubernetes, Limits::default()));
    }

    #[test]
    fn any_text_of_indicators_ends_in_a_value_or_an_error(
        text in "[-?:,\\[\\]{}#&*!|>'\"%@` \n\ta0~<=\\\\]{0,80}",
    ) {
        drop(read(&text));
    }

    #[test]
    fn json_means_the_same_when_read_as_yaml(value in any_json()) {
        prop_assert_eq!(read(&value.to_string()), Ok(vec![value.clone()]));
        let pretty = serde_json::to_string_pretty(&value).unwrap();
        prop_assert_eq!(read(&pretty), Ok(vec![value]));
    }

    #[test]
    fn a_value_written_as_yaml_is_read_as_the_same_value(value in any_json()) {
        let mut text = String::from("root:");
        to_yaml(&value, 2, &mut text);
        prop_assert_eq!(read(&text), Ok(vec![json!({ "root": value })]), "{}", text);
    }
}
