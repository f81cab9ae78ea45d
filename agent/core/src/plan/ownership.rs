//! Whose is a live object? Asked right before anything is deleted or taken over.

use serde_json::Value;

use super::{fields, marks};
use crate::model::{APP_LABEL, FIELD_MANAGER};

/// Why a live object is not deleted although the plan says so.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeepReason {
    #[error("it carries no label {APP_LABEL}")]
    NoLabel,
    #[error("its label {APP_LABEL} names the app `{0}`")]
    OtherApp(String),
    #[error("the field manager {FIELD_MANAGER} owns nothing in it")]
    NotManaged,
    #[error("its annotation {0} asks to keep it")]
    Asked(&'static str),
    #[error("it has no uid")]
    NoUid,
}

/// The uid to delete by, if a live object is still ours to delete.
///
/// The label alone is not enough: it travels along when somebody copies a
/// manifest. What we never wrote, we never delete.
///
/// `from` is the app that left it to us, if it may still say that one.
pub fn may_delete(live: &Value, app: &str, from: Option<&str>) -> Result<String, KeepReason> {
    match owner(live) {
        None => return Err(KeepReason::NoLabel),
        Some(owner) if owner != app && Some(owner) != from => {
            return Err(KeepReason::OtherApp(owner.to_owned()));
        }
        Some(_) => {}
    }
    if !is_managed(live) {
        return Err(KeepReason::NotManaged);
    }
    if let Some(annotation) = marks::keeps(live) {
        return Err(KeepReason::Asked(annotation));
    }
    live.pointer("/metadata/uid")
        .and_then(Value::as_str)
        .map(str::to_owned)
        .ok_or(KeepReason::NoUid)
}

/// Why a live object is not written although Git declares it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TakeRefusal {
    #[error("the app `{0}` already owns it; one object can belong to one app only")]
    OtherApp(String),
    #[error("the live object's annotation {0} asks to leave it alone")]
    Asked(&'static str),
}

/// Whether an app may write an object that exists: what nobody of ours owns is
/// adopted, what another app of ours owns is not.
pub fn may_take(live: &Value, app: &str) -> Result<(), TakeRefusal> {
    if let Some(owner) = owner(live).filter(|owner| *owner != app)
        && is_managed(live)
    {
        return Err(TakeRefusal::OtherApp(owner.to_owned()));
    }
    marks::leaves_alone(live).map_or(Ok(()), |annotation| Err(TakeRefusal::Asked(annotation)))
}

fn owner(live: &Value) -> Option<&str> {
    live.get("metadata")?.get("labels")?.get(APP_LABEL)?.as_str()
}

fn is_managed(live: &Value) -> bool {
    fields::entries(live).any(|entry| entry.manager == FIELD_MANAGER)
}

#[cfg(test)]
#[expect(clippy::needless_pass_by_value, reason = "values are made for one call")]
mod tests {
    use serde_json::json;

    use super::*;

    fn live(app: &str, manager: &str, annotations: Value) -> Value {
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {
            "name": "a", "namespace": "n", "uid": "u-1",
            "labels": {APP_LABEL: app}, "annotations": annotations,
            "managedFields": [{"manager": manager, "operation": "Apply", "apiVersion": "v1",
                "fieldsType": "FieldsV1", "fieldsV1": {"f:data": {"f:k": {}}}}]}})
    }

    #[test]
    fn an_object_with_our_label_and_our_manager_may_be_deleted_by_its_uid() {
        assert_eq!(
            may_delete(&live("shop", "leeward", json!({})), "shop", None),
            Ok("u-1".to_owned())
        );
    }

    #[test]
    fn an_object_that_another_app_took_over_is_kept() {
        let left = may_delete(&live("db", "leeward", json!({})), "shop", Some("db"));
        assert_eq!(left, Ok("u-1".to_owned()));
        let kept = may_delete(&live("db", "leeward", json!({})), "shop", None);
        assert_eq!(kept, Err(KeepReason::OtherApp("db".to_owned())));
    }

    #[test]
    fn a_copy_that_carries_our_label_but_was_written_by_somebody_else_is_kept() {
        let kept = may_delete(&live("shop", "kubectl-create", json!({})), "shop", None);
        assert_eq!(kept, Err(KeepReason::NotManaged));
    }

    #[test]
    fn an_object_that_lost_its_label_is_kept() {
        let mut object = live("shop", "leeward", json!({}));
        object["metadata"]["labels"] = json!({});
        assert_eq!(may_delete(&object, "shop", None), Err(KeepReason::NoLabel));
    }

    #[test]
    fn a_live_annotation_of_ours_of_flux_or_of_argo_cd_keeps_the_object() {
        for (name, value) in [
            ("leeward.dev/prune", "disabled"),
            ("kustomize.toolkit.fluxcd.io/prune", "disabled"),
            ("kustomize.toolkit.fluxcd.io/reconcile", "disabled"),
            ("argocd.argoproj.io/sync-options", "Prune=false"),
        ] {
            let kept = may_delete(&live("shop", "leeward", json!({name: value})), "shop", None);
            assert_eq!(kept, Err(KeepReason::Asked(name)));
        }
    }

    #[test]
    fn an_object_of_another_app_is_not_taken_and_the_app_is_named() {
        let refused = may_take(&live("db", "leeward", json!({})), "shop").unwrap_err();
        insta::assert_snapshot!(refused, @"the app `db` already owns it; one object can belong to one app only");
    }

    #[test]
    fn an_object_that_nobody_of_ours_owns_is_adopted() {
        assert_eq!(may_take(&live("db", "kubectl", json!({})), "shop"), Ok(()));
        assert_eq!(may_take(&json!({"metadata": {"name": "a"}}), "shop"), Ok(()));
        assert_eq!(may_take(&live("shop", "leeward", json!({})), "shop"), Ok(()));
    }
}
