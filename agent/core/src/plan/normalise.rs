//! Rewrites the few declarations that the API server stores under another name,
//! so that ownership of what is stored can be followed.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Map, Value};

use crate::model::Manifest;

/// Folds a Secret's `stringData` into its `data`, as the API server would.
///
/// Sent as it is, we would own `stringData`, which is never stored, and nobody
/// would own `data`: an edit of the stored value would go unseen. Values that
/// are not texts stay where they are, for the API server to refuse.
#[must_use]
pub fn normalised(mut manifest: Manifest) -> Manifest {
    if !manifest.key.is("", "Secret") {
        return manifest;
    }
    let Some(body) = manifest.body.as_object_mut() else { return manifest };
    let Some(Value::Object(texts)) = body.get("stringData") else { return manifest };
    if !texts.values().all(Value::is_string) {
        return manifest;
    }
    let texts = texts.clone();
    let data = body.entry("data").or_insert(Value::Null);
    if data.is_null() {
        *data = Value::Object(Map::new());
    }
    let Some(data) = data.as_object_mut() else { return manifest };
    for (name, text) in &texts {
        let text = text.as_str().unwrap_or_default();
        data.insert(name.clone(), Value::String(STANDARD.encode(text)));
    }
    body.remove("stringData");
    manifest
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::model::Origin;

    fn body(value: Value) -> Value {
        normalised(Manifest::new(value, Origin::default()).unwrap()).body
    }

    #[test]
    fn string_data_becomes_data_and_wins_over_it() {
        let secret = body(json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "a"},
            "data": {"user": "eA==", "host": "eQ=="}, "stringData": {"user": "admin"}}));
        assert_eq!(secret["data"], json!({"user": "YWRtaW4=", "host": "eQ=="}));
        assert_eq!(secret.get("stringData"), None);
    }

    #[test]
    fn string_data_that_is_not_text_is_left_for_the_api_server_to_refuse() {
        let given = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "a"},
            "stringData": {"port": 5432}});
        assert_eq!(body(given.clone()), given);
    }

    #[test]
    fn other_kinds_keep_their_fields() {
        let given = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"},
            "stringData": {"a": "b"}});
        assert_eq!(body(given.clone()), given);
    }
}
