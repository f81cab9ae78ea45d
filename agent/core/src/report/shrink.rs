//! Keeps one event small enough to be sent at all.

use serde_json::{Map, Value};

/// Longest text in bytes and longest list, tried in this order until the value fits.
const STEPS: [(usize, usize); 6] =
    [(4096, 1000), (1024, 200), (512, 50), (256, 20), (64, 5), (16, 1)];

/// Returns `value` cut to at most `limit` bytes of JSON: long texts and lists
/// are shortened step by step, and an object that lost something says
/// `"truncated": true`. A value that still does not fit becomes only that mark.
pub fn shrink(value: Value, limit: usize) -> Value {
    if value.to_string().len() <= limit {
        return value;
    }
    for (text, items) in STEPS {
        let mut smaller = cut(&value, text, items);
        if let Value::Object(fields) = &mut smaller {
            fields.insert("truncated".to_owned(), Value::Bool(true));
        }
        if smaller.to_string().len() <= limit {
            return smaller;
        }
    }
    Value::Object(Map::from_iter([("truncated".to_owned(), Value::Bool(true))]))
}

fn cut(value: &Value, text: usize, items: usize) -> Value {
    match value {
        Value::String(whole) => Value::String(whole[..whole.floor_char_boundary(text)].to_owned()),
        Value::Array(whole) => {
            whole.iter().take(items).map(|item| cut(item, text, items)).collect()
        }
        Value::Object(whole) => whole
            .iter()
            .map(|(name, field)| (name.clone(), cut(field, text, items)))
            .collect::<Map<_, _>>()
            .into(),
        plain => plain.clone(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_small_value_is_left_as_it_is() {
        assert_eq!(shrink(json!({"a": [1, 2]}), 100), json!({"a": [1, 2]}));
    }

    #[test]
    fn a_long_list_of_faults_is_shortened_and_says_so() {
        let faults: Vec<Value> =
            (0..600).map(|n| json!({"object": format!("Pod a/{n}")})).collect();
        let small = shrink(json!({"commit": "ab", "objects": faults}), 10_000);
        assert_eq!(small["commit"], "ab");
        assert_eq!(small["truncated"], true);
        assert_eq!(small["objects"].as_array().unwrap().len(), 200);
    }

    proptest! {
        #[test]
        fn what_is_shrunk_fits(texts in proptest::collection::vec("\\PC{0,300}", 0..60), limit in 20_usize..5000) {
            let small = shrink(json!({"texts": texts}), limit).to_string();
            prop_assert!(small.len() <= limit);
        }
    }
}
