//! The marks of ownership on what we send, and the digest that says whether it changed.

use serde_json::{Map, Value};

use super::ignore::IgnoredFields;
use crate::model::{APP_LABEL, Digest, GitId, Manifest, REVISION_ANNOTATION, canonical_json};

/// The manifest as it is sent: with the label of its app and the commit that changed it.
#[must_use]
pub fn stamped(mut manifest: Manifest, app: &str, commit: &GitId) -> Manifest {
    mark(&mut manifest.body, "labels", APP_LABEL, app);
    mark(&mut manifest.body, "annotations", REVISION_ANNOTATION, &commit.to_string());
    manifest
}

/// The digest that the inventory remembers of an applied manifest.
///
/// Without the revision annotation, because a new commit alone must not make an
/// object differ; with the fields that are left to others, because a rule that
/// comes or goes must have the object written again.
pub fn applied_digest(manifest: &Manifest, ignored: Option<&IgnoredFields>) -> Digest {
    let mut bytes = if let Some(digest) = &manifest.stand_in {
        digest.to_string().into_bytes()
    } else {
        let mut body = manifest.body.clone();
        unmark(&mut body, "annotations", REVISION_ANNOTATION);
        unmark(&mut body, "labels", APP_LABEL);
        canonical_json(&body)
    };
    if let Some(ignored) = ignored {
        for field in &ignored.pointers {
            bytes.push(b'\n');
            bytes.extend_from_slice(field.pointer.to_string().as_bytes());
        }
        for manager in &ignored.managers {
            bytes.extend_from_slice(b"\nmanager ");
            bytes.extend_from_slice(manager.as_bytes());
        }
    }
    Digest::of(&bytes)
}

fn mark(body: &mut Value, place: &str, name: &str, text: &str) {
    let Some(body) = body.as_object_mut() else { return };
    let metadata = object(body.entry("metadata").or_insert(Value::Null));
    let Some(metadata) = metadata else { return };
    if let Some(marks) = object(metadata.entry(place).or_insert(Value::Null)) {
        marks.insert(name.to_owned(), text.into());
    }
}

/// Removes a mark, and the map that held nothing else.
fn unmark(body: &mut Value, place: &str, name: &str) {
    let Some(metadata) = body.get_mut("metadata").and_then(Value::as_object_mut) else { return };
    let Some(marks) = metadata.get_mut(place).and_then(Value::as_object_mut) else { return };
    if marks.remove(name).is_some() && marks.is_empty() {
        metadata.remove(place);
    }
}

/// An object, made from null; `None` for anything else, which the API server will refuse.
fn object(value: &mut Value) -> Option<&mut Map<String, Value>> {
    if value.is_null() {
        *value = Value::Object(Map::new());
    }
    value.as_object_mut()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::model::Origin;

    fn manifest(body: Value) -> Manifest {
        Manifest::new(body, Origin::default()).unwrap()
    }

    fn commit(digit: &str) -> GitId {
        digit.repeat(40).parse().unwrap()
    }

    #[test]
    fn a_stamp_adds_label_and_annotation_and_nothing_else() {
        let given = manifest(json!({"apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": "a", "labels": {"x": "y"}, "annotations": null}}));
        insta::assert_snapshot!(stamped(given, "shop", &commit("a")).body, @r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"annotations":{"leeward.dev/revision":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"},"labels":{"leeward.dev/app":"shop","x":"y"},"name":"a"}}"#);
    }

    #[test]
    fn another_commit_does_not_change_the_digest() {
        let given =
            manifest(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}}));
        let digest = applied_digest(&given, None);
        assert_eq!(applied_digest(&stamped(given.clone(), "shop", &commit("a")), None), digest);
        assert_eq!(applied_digest(&stamped(given, "shop", &commit("b")), None), digest);
    }

    #[test]
    fn the_digest_of_what_holds_a_secret_says_nothing_of_its_body() {
        let of = |value: &str, stands: &str| {
            let body = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"},
                "data": {"k": value}});
            let stand_in = Some(Digest::of(stands.as_bytes()));
            applied_digest(&Manifest { stand_in, ..manifest(body) }, None)
        };
        assert_eq!(of("hunter2", "a"), of("other", "a"));
        assert_ne!(of("hunter2", "a"), of("hunter2", "b"));
    }

    #[test]
    fn a_changed_field_changes_the_digest() {
        let given = |value: &str| {
            applied_digest(
                &manifest(json!({"apiVersion": "v1", "kind": "ConfigMap",
                    "metadata": {"name": "a"}, "data": {"k": value}})),
                None,
            )
        };
        assert_ne!(given("1"), given("2"));
    }
}
