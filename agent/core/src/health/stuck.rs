//! Pods that keep their StatefulSet from going on.
//!
//! A StatefulSet in order waits for every pod to be ready before it replaces
//! one, so a pod of a bad template stays for ever, also once the template is
//! good again. Kubernetes leaves it to whoever changes the template to delete
//! such a pod ("forced rollback").

use serde_json::Value;

use super::{
    conditions::{generation_lag, is_true, list, text},
    pods::is_hopeless,
};
use crate::model::ObjectKey;

/// A pod to delete, so that its StatefulSet makes it anew from its current template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StuckPod {
    pub key: ObjectKey,
    pub uid: String,
}

/// The pods of an older template that a StatefulSet waits for in vain.
///
/// Without `rolled_back` only those that crash or never get their image; with
/// it also those that are merely not ready, since their template was found bad.
pub fn stuck_pods(object: &Value, pods: &[Value], rolled_back: bool) -> Vec<StuckPod> {
    let is_stateful_set = ObjectKey::of(object).is_some_and(|key| key.is("apps", "StatefulSet"));
    let waits_in_order = text(object, "/spec/podManagementPolicy") != "Parallel"
        && text(object, "/spec/updateStrategy/type") != "OnDelete"
        && object
            .pointer("/spec/updateStrategy/rollingUpdate/partition")
            .is_none_or(|partition| partition == 0);
    let newest = text(object, "/status/updateRevision");
    if !is_stateful_set || !waits_in_order || newest.is_empty() || generation_lag(object).is_some()
    {
        return Vec::new();
    }
    pods.iter()
        .filter(|pod| is_owned_by(pod, text(object, "/metadata/uid")))
        .filter(|pod| pod.pointer("/metadata/deletionTimestamp").is_none_or(Value::is_null))
        .filter(|pod| text(pod, "/metadata/labels/controller-revision-hash") != newest)
        .filter(|pod| is_hopeless(pod) || (rolled_back && !is_true(pod, "Ready")))
        .filter_map(|pod| {
            let key = ObjectKey {
                group: String::new(),
                kind: "Pod".to_owned(),
                namespace: text(pod, "/metadata/namespace").to_owned(),
                name: text(pod, "/metadata/name").to_owned(),
            };
            let uid = text(pod, "/metadata/uid").to_owned();
            (!key.name.is_empty() && !uid.is_empty()).then_some(StuckPod { key, uid })
        })
        .collect()
}

fn is_owned_by(pod: &Value, uid: &str) -> bool {
    !uid.is_empty()
        && list(pod, "/metadata/ownerReferences").iter().any(|owner| {
            owner.get("controller") == Some(&Value::Bool(true)) && text(owner, "/uid") == uid
        })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn set(update: &str) -> Value {
        json!({
            "apiVersion": "apps/v1", "kind": "StatefulSet",
            "metadata": { "name": "db", "namespace": "shop", "uid": "set", "generation": 3 },
            "spec": { "replicas": 1, "updateStrategy": { "type": "RollingUpdate" } },
            "status": { "observedGeneration": 3, "updateRevision": update },
        })
    }

    fn pod(revision: &str, owner: &str, waiting: &str) -> Value {
        json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {
                "name": "db-0", "namespace": "shop", "uid": "pod",
                "labels": { "controller-revision-hash": revision },
                "ownerReferences": [{ "kind": "StatefulSet", "uid": owner, "controller": true }],
            },
            "status": { "containerStatuses": [{
                "name": "main", "image": "db:2", "restartCount": 5,
                "state": { "waiting": { "reason": waiting } },
            }]},
        })
    }

    fn stuck(set: &Value, pod: &Value, rolled_back: bool) -> usize {
        stuck_pods(set, std::slice::from_ref(pod), rolled_back).len()
    }

    #[test]
    fn a_crashing_pod_of_an_older_template_is_stuck() {
        let found = stuck_pods(&set("new"), &[pod("old", "set", "CrashLoopBackOff")], false);
        let key = found.first().map(|stuck| (stuck.key.to_string(), stuck.uid.clone()));
        assert_eq!(key, Some(("Pod shop/db-0".to_owned(), "pod".to_owned())));
    }

    #[test]
    fn a_crashing_pod_of_the_current_template_is_for_the_health_check() {
        assert_eq!(stuck(&set("new"), &pod("new", "set", "CrashLoopBackOff"), true), 0);
    }

    #[test]
    fn a_pod_that_is_merely_not_ready_is_stuck_after_a_rollback_only() {
        let starting = pod("old", "set", "ContainerCreating");
        assert_eq!(stuck(&set("new"), &starting, false), 0);
        assert_eq!(stuck(&set("new"), &starting, true), 1);
    }

    #[test]
    fn pods_of_others_and_sets_that_do_not_wait_in_order_are_left_alone() {
        let crashing = pod("old", "set", "CrashLoopBackOff");
        assert_eq!(stuck(&set("new"), &pod("old", "another", "CrashLoopBackOff"), true), 0);
        let mut parallel = set("new");
        parallel["spec"]["podManagementPolicy"] = json!("Parallel");
        assert_eq!(stuck(&parallel, &crashing, true), 0);
        let mut on_delete = set("new");
        on_delete["spec"]["updateStrategy"]["type"] = json!("OnDelete");
        assert_eq!(stuck(&on_delete, &crashing, true), 0);
    }

    #[test]
    fn a_set_that_its_controller_has_not_seen_yet_says_nothing() {
        let mut set = set("new");
        set["metadata"]["generation"] = json!(4);
        assert_eq!(stuck(&set, &pod("old", "set", "CrashLoopBackOff"), true), 0);
    }
}
