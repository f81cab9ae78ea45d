//! Who owns which fields of an object, as the API server records it (KEP-555).

use serde_json::Value;

use super::{
    id::Digest,
    object::{FIELD_MANAGER, HANDOVER_MANAGER, canonical_json},
};

/// The digest of the set of fields that our manager owns by server-side apply;
/// `None` when it owns none. Reads whole objects and partial metadata alike.
///
/// Somebody who changes the value of a field of ours takes the field away from
/// us, so comparing this digest finds drift without comparing values.
pub fn owned_digest(object: &Value) -> Option<Digest> {
    object
        .get("metadata")?
        .get("managedFields")?
        .as_array()?
        .iter()
        .find(|entry| is_ours(entry))?
        .get("fieldsV1")
        .map(|fields| Digest::of(&canonical_json(fields)))
}

/// Whether our second manager owns anything, because it was handed over once.
pub fn was_handed_over(object: &Value) -> bool {
    object.pointer("/metadata/managedFields").and_then(Value::as_array).is_some_and(|entries| {
        entries
            .iter()
            .any(|entry| entry.get("manager").and_then(Value::as_str) == Some(HANDOVER_MANAGER))
    })
}

/// An entry for a subresource (`status`, `scale`) says nothing about what Git declares.
fn is_ours(entry: &Value) -> bool {
    let text = |name: &str| entry.get(name).and_then(Value::as_str).unwrap_or_default();
    text("manager") == FIELD_MANAGER
        && text("operation") == "Apply"
        && text("subresource").is_empty()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(entries: &Value) -> Value {
        json!({"metadata": {"name": "a", "managedFields": entries}})
    }

    #[test]
    fn only_what_we_applied_counts() {
        let ours = json!({"manager": "leeward", "operation": "Apply", "time": "2026-01-01T00:00:00Z",
            "fieldsV1": {"f:data": {"f:a": {}}}});
        let others = json!([
            {"manager": "kubectl", "operation": "Apply", "fieldsV1": {"f:data": {"f:b": {}}}},
            {"manager": "leeward", "operation": "Update", "fieldsV1": {"f:data": {"f:c": {}}}},
            {"manager": "leeward", "operation": "Apply", "subresource": "status", "fieldsV1": {"f:status": {}}},
            ours,
        ]);
        assert_eq!(owned_digest(&object(&others)), owned_digest(&object(&json!([ours]))));
        assert_eq!(
            owned_digest(&object(&json!([ours]))),
            Some(Digest::of(br#"{"f:data":{"f:a":{}}}"#))
        );
    }

    #[test]
    fn an_object_that_we_never_applied_has_no_digest() {
        assert_eq!(owned_digest(&json!({"metadata": {"name": "a"}})), None);
        assert_eq!(
            owned_digest(&object(
                &json!([{"manager": "kubectl", "operation": "Apply", "fieldsV1": {}}])
            )),
            None
        );
    }
}
