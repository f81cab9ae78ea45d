//! Objects as real API servers show them.

use proptest::prelude::*;
use serde_json::json;

use super::*;

fn health(object: &Value) -> String {
    assess(object, &[]).to_string()
}

fn deployment(spec: Value, status: Value) -> Value {
    let mut object = json!({"apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "shop", "uid": "d-1", "generation": 2},
        "spec": {"replicas": 2,
            "selector": {"matchLabels": {"app": "web"}},
            "template": {"metadata": {"labels": {"app": "web"}}, "spec": {
                "containers": [{"name": "app", "image": "web:2",
                    "resources": {"limits": {"memory": "1Gi"}}}]}}},
        "status": status});
    if let (Some(all), Value::Object(more)) = (object["spec"].as_object_mut(), spec) {
        all.extend(more);
    }
    object
}

fn rolling_out() -> Value {
    deployment(
        json!({}),
        json!({"observedGeneration": 2, "replicas": 3, "updatedReplicas": 1,
        "readyReplicas": 2, "availableReplicas": 2}),
    )
}

/// A pod of the current template in which one container waits.
fn pod(reason: &str, message: &str, restarts: u64) -> Value {
    json!({"apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "web-6b7f-x2x", "namespace": "shop",
            "labels": {"app": "web", "pod-template-hash": "6b7f"},
            "ownerReferences": [{"kind": "ReplicaSet", "name": "web-6b7f", "controller": true}]},
        "spec": {"nodeName": "n1", "containers": [
            {"name": "mesh", "image": "mesh:1"},
            {"name": "app", "image": "web:2", "imagePullPolicy": "Always",
                "resources": {"limits": {"memory": "2Gi"}}}]},
        "status": {"phase": "Running", "containerStatuses": [
            {"name": "app", "image": "web:2", "restartCount": restarts,
                "lastState": {"terminated": {"exitCode": 137, "reason": "OOMKilled"}},
                "state": {"waiting": {"reason": reason, "message": message}}}]}})
}

#[test]
fn a_deployment_is_healthy_when_all_replicas_are_new_and_available() {
    let done = json!({"observedGeneration": 2, "replicas": 2, "updatedReplicas": 2,
        "readyReplicas": 2, "availableReplicas": 2});
    assert_eq!(health(&deployment(json!({}), done)), "Healthy");
    assert_eq!(
        health(&deployment(json!({"replicas": 0}), json!({"observedGeneration": 2}))),
        "Healthy"
    );
}

#[test]
fn a_deployment_on_its_way_says_how_far_it_is() {
    let at = |replicas: i64, updated: i64, available: i64| {
        health(&deployment(
            json!({}),
            json!({"observedGeneration": 2, "replicas": replicas,
            "updatedReplicas": updated, "readyReplicas": available,
            "availableReplicas": available}),
        ))
    };
    insta::assert_snapshot!(at(3, 1, 2), @"Progressing: 1 of 2 replicas are up to date");
    insta::assert_snapshot!(at(3, 2, 2), @"Progressing: 1 old replicas are still there");
    insta::assert_snapshot!(at(2, 2, 1), @"Progressing: 1 of 2 replicas are available");
    insta::assert_snapshot!(health(&deployment(json!({}), json!({"observedGeneration": 1}))), @"Progressing: generation 2 has not been looked at, only 1");
    insta::assert_snapshot!(health(&deployment(json!({}), json!({}))), @"Progressing: no controller has looked at it yet");
}

#[test]
fn a_deployment_past_its_own_deadline_has_failed() {
    let status = json!({"observedGeneration": 2, "conditions": [{"type": "Progressing",
        "status": "False", "reason": "ProgressDeadlineExceeded",
        "message": "ReplicaSet \"web-6b7f\" has timed out progressing."}]});
    insta::assert_snapshot!(health(&deployment(json!({}), status)), @r#"Failed: Progressing is False: ProgressDeadlineExceeded: ReplicaSet "web-6b7f" has timed out progressing."#);
}

#[test]
fn a_deployment_that_may_make_no_pods_says_why() {
    let status = json!({"observedGeneration": 2, "conditions": [{"type": "ReplicaFailure",
        "status": "True", "reason": "FailedCreate", "message": "exceeded quota: small"}]});
    insta::assert_snapshot!(health(&deployment(json!({}), status)), @"Progressing: 0 of 2 replicas are up to date; ReplicaFailure is True: FailedCreate: exceeded quota: small");
}

#[test]
fn a_custom_resource_that_is_suspended_is_no_trouble() {
    let of = |spec: Value| {
        health(&json!({"apiVersion": "example.com/v1", "kind": "Sync", "metadata": {"name": "a"},
            "spec": spec, "status": {"conditions": [{"type": "Ready", "status": "False"}]}}))
    };
    assert_eq!(of(json!({"suspend": true})), "Suspended: is suspended");
    assert_eq!(of(json!({"paused": true})), "Suspended: is suspended");
    assert_eq!(of(json!({"suspend": false})), "Progressing: Ready is False");
}

#[test]
fn a_paused_deployment_is_suspended() {
    assert_eq!(health(&deployment(json!({"paused": true}), json!({}))), "Suspended: is paused");
}

#[test]
fn a_crash_loop_of_the_current_template_fails_the_deployment_at_once() {
    let crash = pod("CrashLoopBackOff", "back-off 5m0s restarting failed container", 4);
    insta::assert_snapshot!(assess(&rolling_out(), &[crash]), @"Failed: pod web-6b7f-x2x: container app (image web:2) crashes again and again, 4 restarts, last exit code 137, OOMKilled");
}

#[test]
fn one_restart_is_no_crash_loop() {
    let crash = pod("CrashLoopBackOff", "back-off", 1);
    assert_eq!(assess(&rolling_out(), &[crash]).verdict, Verdict::Progressing);
}

#[test]
fn an_image_that_the_registry_does_not_have_fails_at_once() {
    let missing = pod(
        "ErrImagePull",
        "rpc error: code = NotFound desc = failed to pull and unpack \
        image \"docker.io/library/web:2\": docker.io/library/web:2: not found",
        0,
    );
    insta::assert_snapshot!(assess(&rolling_out(), &[missing]), @r#"Failed: pod web-6b7f-x2x: container app cannot pull the image web:2 (ErrImagePull): rpc error: code = NotFound desc = failed to pull and unpack image "docker.io/library/web:2": docker.io/library/web:2: not found"#);
    let backing_off = pod("ImagePullBackOff", "Back-off pulling image \"web:2\"", 0);
    assert_eq!(assess(&rolling_out(), &[backing_off]).verdict, Verdict::Failed);
    let invalid = pod("InvalidImageName", "", 0);
    assert_eq!(assess(&rolling_out(), &[invalid]).verdict, Verdict::Failed);
}

#[test]
fn a_registry_that_cannot_be_reached_is_waited_for() {
    let offline = pod(
        "ImagePullBackOff",
        "Back-off pulling image \"web:2\": ErrImagePull: failed \
        to do request: dial tcp: lookup registry.example.com: no such host",
        0,
    );
    let health = assess(&rolling_out(), &[offline]);
    assert_eq!(health.verdict, Verdict::Progressing);
    assert!(health.reason.contains("no such host"));
}

#[test]
fn a_pod_of_an_older_template_does_not_fail_the_new_one() {
    let spoiled = |spoil: fn(&mut Value)| {
        let mut old = pod("CrashLoopBackOff", "", 9);
        spoil(&mut old);
        assess(&rolling_out(), &[old]).verdict
    };
    let older_image = |pod: &mut Value| pod["spec"]["containers"][1]["image"] = "web:1".into();
    assert_eq!(spoiled(older_image), Verdict::Progressing);
    assert_eq!(
        spoiled(|pod| pod["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into()),
        Verdict::Progressing
    );
    assert_eq!(
        spoiled(|pod| pod["metadata"]["ownerReferences"][0]["name"] = "api-6b7f".into()),
        Verdict::Progressing
    );
    assert_eq!(spoiled(|pod| pod["metadata"]["name"] = "web-other".into()), Verdict::Failed);
}

#[test]
fn a_pod_with_the_same_image_and_other_environment_is_of_an_older_template() {
    let mut object = rolling_out();
    object["spec"]["template"]["spec"]["containers"][0]["env"] =
        json!([{"name": "FIXED", "value": "yes"}]);
    assert_eq!(assess(&object, &[pod("CrashLoopBackOff", "", 9)]).verdict, Verdict::Progressing);
}

#[test]
fn a_pod_that_finds_no_node_says_what_the_scheduler_said() {
    let mut pending = pod("", "", 0);
    pending["status"] = json!({"phase": "Pending", "conditions": [{"type": "PodScheduled",
        "status": "False", "reason": "Unschedulable",
        "message": "0/1 nodes are available: 1 Insufficient memory."}]});
    insta::assert_snapshot!(assess(&rolling_out(), &[pending]), @"Progressing: pod web-6b7f-x2x: cannot be scheduled: 0/1 nodes are available: 1 Insufficient memory.");
}

#[test]
fn a_missing_secret_is_waited_for() {
    let waits = pod("CreateContainerConfigError", "secret \"tls\" not found", 0);
    insta::assert_snapshot!(assess(&rolling_out(), &[waits]), @r#"Progressing: pod web-6b7f-x2x: container app cannot start (CreateContainerConfigError): secret "tls" not found"#);
}

#[test]
fn pods_are_looked_at_only_while_a_workload_is_not_ready() {
    let mut object = rolling_out();
    object["spec"]["selector"]["matchExpressions"] = json!([
        {"key": "tier", "operator": "In", "values": ["a", "b"]},
        {"key": "old", "operator": "DoesNotExist"}]);
    let query = needs_pods(&object).unwrap();
    insta::assert_snapshot!(format!("{} {}", query.namespace, query.selector), @"shop app=web,tier in (a,b),!old");
    let ready = json!({"observedGeneration": 2, "replicas": 2, "updatedReplicas": 2,
        "readyReplicas": 2, "availableReplicas": 2});
    assert_eq!(needs_pods(&deployment(json!({}), ready)), None);
}

#[test]
fn a_selector_that_selects_everything_is_never_asked_for() {
    let mut object = rolling_out();
    object["spec"]["selector"] = json!({});
    assert_eq!(needs_pods(&object), None);
}

fn workload(kind: &str, spec: &Value, status: &Value) -> String {
    health(&json!({"apiVersion": "apps/v1", "kind": kind, "spec": spec, "status": status,
        "metadata": {"name": "db", "namespace": "shop", "generation": 1}}))
}

#[test]
fn a_stateful_set_is_healthy_when_every_replica_is_ready_and_of_the_new_revision() {
    let set = |spec, status| workload("StatefulSet", &spec, &status);
    let status = |ready: i64, updated: i64, current: &str| {
        json!({"observedGeneration": 1, "replicas": 3, "readyReplicas": ready,
            "updatedReplicas": updated, "currentRevision": current, "updateRevision": "r2"})
    };
    let three = json!({"replicas": 3});
    assert_eq!(set(three.clone(), status(3, 3, "r2")), "Healthy");
    insta::assert_snapshot!(set(three.clone(), status(2, 3, "r2")), @"Progressing: 2 of 3 replicas are ready");
    insta::assert_snapshot!(set(three, status(3, 1, "r1")), @"Progressing: 1 of 3 replicas are up to date");
    let on_delete = json!({"replicas": 3, "updateStrategy": {"type": "OnDelete"}});
    assert_eq!(set(on_delete, status(3, 0, "r1")), "Healthy");
    let partition = json!({"replicas": 3, "updateStrategy": {"rollingUpdate": {"partition": 2}}});
    assert_eq!(set(partition.clone(), status(3, 1, "r1")), "Healthy");
    insta::assert_snapshot!(set(partition, status(3, 0, "r1")), @"Progressing: 0 of 1 replicas above the partition are up to date");
}

#[test]
fn a_daemon_set_is_healthy_when_every_node_runs_the_new_pod() {
    let set = |updated: i64, available: i64| {
        workload(
            "DaemonSet",
            &json!({}),
            &json!({"observedGeneration": 1,
            "desiredNumberScheduled": 2, "updatedNumberScheduled": updated,
            "numberAvailable": available}),
        )
    };
    assert_eq!(set(2, 2), "Healthy");
    insta::assert_snapshot!(set(1, 2), @"Progressing: 1 of 2 pods are up to date");
    insta::assert_snapshot!(set(2, 1), @"Progressing: 1 of 2 pods are available");
}

#[test]
fn a_replica_set_is_healthy_when_its_replicas_are_available() {
    let set = |available: i64| {
        workload(
            "ReplicaSet",
            &json!({"replicas": 2}),
            &json!({"observedGeneration": 1,
            "replicas": 2, "availableReplicas": available}),
        )
    };
    assert_eq!(set(2), "Healthy");
    insta::assert_snapshot!(set(0), @"Progressing: 0 of 2 replicas are available");
}

#[test]
fn a_job_is_healthy_once_complete_and_failed_once_it_gave_up() {
    let job = |spec: Value, status: Value| {
        health(&json!({"apiVersion": "batch/v1", "kind": "Job", "spec": spec, "status": status,
            "metadata": {"name": "migrate", "namespace": "shop"}}))
    };
    let is = |name: &str| {
        json!({"conditions": [{"type": name, "status": "True",
        "reason": "BackoffLimitExceeded", "message": "Job has reached its limit"}]})
    };
    assert_eq!(job(json!({}), is("Complete")), "Healthy");
    insta::assert_snapshot!(job(json!({}), is("Failed")), @"Failed: Failed is True: BackoffLimitExceeded: Job has reached its limit");
    insta::assert_snapshot!(job(json!({"suspend": true}), is("Suspended")), @"Suspended: is suspended");
    insta::assert_snapshot!(job(json!({}), json!({"active": 1, "failed": 2})), @"Progressing: 1 pods are running, 2 have failed");
    insta::assert_snapshot!(job(json!({}), json!({})), @"Progressing: has not started");
}

#[test]
fn a_crash_inside_a_job_is_left_to_the_limit_of_the_job() {
    let mut crash = pod("CrashLoopBackOff", "", 3);
    crash["metadata"]["ownerReferences"] =
        json!([{"kind": "Job", "name": "j", "uid": "j-1", "controller": true}]);
    let mut job = rolling_out();
    job["apiVersion"] = "batch/v1".into();
    job["kind"] = "Job".into();
    job["metadata"]["uid"] = "j-1".into();
    job["status"] = json!({"active": 1});
    assert_eq!(assess(&job, std::slice::from_ref(&crash)).verdict, Verdict::Progressing);
    crash["status"]["containerStatuses"][0]["state"]["waiting"]["reason"] =
        "InvalidImageName".into();
    assert_eq!(assess(&job, &[crash]).verdict, Verdict::Failed);
}

#[test]
fn a_cron_job_is_healthy_whatever_its_last_run_did() {
    let cron = |spec: Value| {
        health(&json!({"apiVersion": "batch/v1", "kind": "CronJob",
            "metadata": {"name": "night", "generation": 4}, "spec": spec}))
    };
    assert_eq!(cron(json!({})), "Healthy");
    assert_eq!(cron(json!({"suspend": true})), "Suspended: is suspended");
}

fn core(kind: &str, annotations: Value, spec: Value, status: Value) -> String {
    health(&json!({"apiVersion": "v1", "kind": kind, "spec": spec, "status": status,
        "metadata": {"name": "a", "namespace": "shop", "annotations": annotations}}))
}

#[test]
fn a_claim_that_waits_for_its_first_consumer_is_no_deadlock() {
    let claim = |annotations, phase: &str| {
        core("PersistentVolumeClaim", annotations, json!({}), json!({"phase": phase}))
    };
    assert_eq!(claim(json!({}), "Bound"), "Healthy");
    insta::assert_snapshot!(claim(json!({}), "Pending"), @"Healthy: will be bound when a pod uses it");
    insta::assert_snapshot!(claim(json!({"volume.kubernetes.io/selected-node": "n1"}), "Pending"), @"Progressing: its volume is being made");
    insta::assert_snapshot!(claim(json!({}), "Lost"), @"Failed: the volume that it was bound to is gone");
}

#[test]
fn only_a_load_balancer_has_something_to_wait_for() {
    let service = |kind: &str, ingress: Value| {
        core("Service", json!({}), json!({"type": kind}), json!({"loadBalancer": ingress}))
    };
    assert_eq!(service("ClusterIP", json!({})), "Healthy");
    assert_eq!(service("LoadBalancer", json!({"ingress": [{"ip": "10.0.0.1"}]})), "Healthy");
    insta::assert_snapshot!(service("LoadBalancer", json!({})), @"Progressing: has no load balancer address yet (on k3s: a node whose port is free)");
}

#[test]
fn a_pod_that_git_declares_is_healthy_when_ready_or_done() {
    let pod = |status| core("Pod", json!({}), json!({}), status);
    let ready = json!({"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]});
    assert_eq!(pod(ready), "Healthy");
    assert_eq!(pod(json!({"phase": "Succeeded"})), "Healthy");
    insta::assert_snapshot!(pod(json!({"phase": "Running"})), @"Progressing: runs, and is not ready");
    insta::assert_snapshot!(pod(json!({"phase": "Pending"})), @"Progressing: has not started");
    insta::assert_snapshot!(pod(json!({"phase": "Failed", "reason": "Evicted", "message": "disk"})), @"Failed: has failed: Evicted: disk");
}

#[test]
fn a_namespace_that_goes_is_not_healthy() {
    let namespace = |phase: &str| core("Namespace", json!({}), json!({}), json!({"phase": phase}));
    assert_eq!(namespace("Active"), "Healthy");
    assert_eq!(namespace("Terminating"), "Progressing: is being deleted");
}

fn with_condition(api_version: &str, kind: &str, name: &str, status: &str, reason: &str) -> String {
    health(&json!({"apiVersion": api_version, "kind": kind,
        "metadata": {"name": "a", "generation": 3},
        "status": {"jobName": "j", "conditions": [
            {"type": name, "status": status, "reason": reason, "message": "m"}]}}))
}

#[test]
fn a_definition_is_healthy_once_established() {
    let crd = |name, status| {
        with_condition("apiextensions.k8s.io/v1", "CustomResourceDefinition", name, status, "R")
    };
    assert_eq!(crd("Established", "True"), "Healthy");
    insta::assert_snapshot!(crd("Established", "False"), @"Progressing: Established is False: R: m");
    insta::assert_snapshot!(crd("NamesAccepted", "False"), @"Failed: NamesAccepted is False: R: m");
    insta::assert_snapshot!(crd("Other", "True"), @"Progressing: has no condition Established yet");
}

#[test]
fn the_other_kinds_go_by_their_conditions() {
    let api = |status| {
        with_condition("apiregistration.k8s.io/v1", "APIService", "Available", status, "R")
    };
    assert_eq!(api("True"), "Healthy");
    insta::assert_snapshot!(api("False"), @"Progressing: Available is False: R: m");
    let hpa = |name, reason| {
        with_condition("autoscaling/v2", "HorizontalPodAutoscaler", name, "False", reason)
    };
    insta::assert_snapshot!(hpa("AbleToScale", "FailedGetScale"), @"Progressing: AbleToScale is False: FailedGetScale: m");
    insta::assert_snapshot!(hpa("ScalingActive", "FailedGetResourceMetric"), @"Healthy: ScalingActive is False: FailedGetResourceMetric: m");
    let chart = |name, status| with_condition("helm.cattle.io/v1", "HelmChart", name, status, "R");
    assert_eq!(chart("JobCreated", "True"), "Healthy");
    insta::assert_snapshot!(chart("Failed", "True"), @"Failed: Failed is True: R: m");
    let budget =
        with_condition("policy/v1", "PodDisruptionBudget", "DisruptionAllowed", "False", "R");
    assert_eq!(budget, "Healthy");
}

#[test]
fn a_custom_resource_goes_by_stalled_reconciling_and_ready() {
    let till = |name, status| with_condition("acme.io/v1", "Till", name, status, "R");
    assert_eq!(till("Ready", "True"), "Healthy");
    assert_eq!(till("Stalled", "False"), "Healthy");
    insta::assert_snapshot!(till("Ready", "False"), @"Progressing: Ready is False: R: m");
    insta::assert_snapshot!(till("Ready", "Unknown"), @"Progressing: Ready is Unknown: R: m");
    insta::assert_snapshot!(till("Stalled", "True"), @"Failed: Stalled is True: R: m");
    insta::assert_snapshot!(till("Reconciling", "True"), @"Progressing: Reconciling is True: R: m");
}

#[test]
fn a_ready_condition_of_an_older_generation_does_not_count() {
    let object = json!({"apiVersion": "acme.io/v1", "kind": "Till",
        "metadata": {"name": "a", "generation": 3},
        "status": {"conditions": [{"type": "Ready", "status": "True", "observedGeneration": 2}]}});
    insta::assert_snapshot!(health(&object), @"Progressing: its condition Ready is of an older generation");
}

#[test]
fn a_kind_without_status_is_healthy_when_it_is_there() {
    assert_eq!(core("ConfigMap", json!({}), json!({}), Value::Null), "Healthy");
}

#[test]
fn an_object_that_is_being_deleted_is_not_healthy() {
    let object = json!({"apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "a", "deletionTimestamp": "2026-01-01T00:00:00Z"}});
    assert_eq!(health(&object), "Progressing: is being deleted");
}

#[test]
fn nobody_is_asked_about_objects_that_cannot_be_unhealthy() {
    for (group, kind) in [
        ("", "ConfigMap"),
        ("", "Secret"),
        ("rbac.authorization.k8s.io", "Role"),
        ("storage.k8s.io", "StorageClass"),
        ("networking.k8s.io", "Ingress"),
    ] {
        assert!(!watches_health(&Kind::new(group, kind)), "{kind}");
    }
    for (group, kind) in [("", "Service"), ("apps", "Deployment"), ("acme.io", "Till")] {
        assert!(watches_health(&Kind::new(group, kind)), "{kind}");
    }
}

#[test]
fn an_app_is_as_healthy_as_the_worst_of_its_objects() {
    let key = |name: &str| ObjectKey {
        group: "apps".to_owned(),
        kind: "Deployment".to_owned(),
        namespace: "shop".to_owned(),
        name: name.to_owned(),
    };
    let rolled = |objects: &[(&str, Verdict)]| {
        let objects: Vec<(ObjectKey, Health)> = objects
            .iter()
            .map(|(name, verdict)| (key(name), Health::new(*verdict, "because")))
            .collect();
        roll_up(objects.iter().map(|(key, health)| (key, health)))
    };
    assert_eq!(rolled(&[]).health, HealthName::Healthy);
    assert_eq!(rolled(&[("a", Verdict::Healthy)]).faults, []);
    let both = rolled(&[("a", Verdict::Progressing), ("b", Verdict::Failed)]);
    assert_eq!(both.health, HealthName::Degraded);
    insta::assert_snapshot!(both.faults[0], @"Deployment.apps shop/b: because");
    let many = rolled(&[("x", Verdict::Unknown); 8]);
    assert_eq!((many.health, many.faults.len(), many.more), (HealthName::Unknown, 5, 3));
}

proptest! {
    #[test]
    fn no_object_makes_the_assessment_panic(
        status in any_json(), spec in any_json(), pod_status in any_json(), kind in 0..12_usize,
    ) {
        const KINDS: [(&str, &str); 12] = [
            ("apps/v1", "Deployment"), ("apps/v1", "StatefulSet"), ("apps/v1", "DaemonSet"),
            ("apps/v1", "ReplicaSet"), ("batch/v1", "Job"), ("batch/v1", "CronJob"), ("v1", "Pod"),
            ("v1", "Service"), ("v1", "PersistentVolumeClaim"), ("helm.cattle.io/v1", "HelmChart"),
            ("autoscaling/v2", "HorizontalPodAutoscaler"), ("acme.io/v1", "Till"),
        ];
        let (api_version, kind) = KINDS[kind];
        let object = json!({"apiVersion": api_version, "kind": kind, "spec": spec,
            "metadata": {"name": "web", "uid": "u", "generation": 2}, "status": status});
        let pod = json!({"metadata": {"name": "web-1", "ownerReferences": [
            {"kind": kind, "uid": "u", "name": "web-1", "controller": true}]},
            "spec": spec.get("template").and_then(|template| template.get("spec")), "status": pod_status});
        let _health = assess(&object, &[pod]);
        let _query = needs_pods(&object);
        let _bare = assess(&status, &[spec]);
    }
}

fn any_json() -> impl Strategy<Value = Value> {
    let word = prop::sample::select(vec![
        "conditions",
        "type",
        "status",
        "Ready",
        "True",
        "containerStatuses",
        "state",
        "waiting",
        "reason",
        "CrashLoopBackOff",
        "template",
        "spec",
        "selector",
        "matchLabels",
        "replicas",
        "observedGeneration",
        "metadata",
        "containers",
        "phase",
        "matchExpressions",
        "operator",
    ]);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<i64>().prop_map(Value::from),
        word.clone().prop_map(Value::from),
        ".{0,4}".prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 40, 5, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((word.clone(), inner), 0..6).prop_map(|fields| {
                Value::Object(fields.into_iter().map(|(k, v)| (k.to_owned(), v)).collect())
            }),
        ]
    })
}

#[test]
fn failure_that_a_revision_found_and_did_not_touch_gets_the_time_of_the_revision() {
    let [old, new] = ["a", "b"].map(|digit| digit.repeat(40));
    let job = json!({
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": { "name": "migrate", "annotations": { "leeward.dev/revision": old } },
        "status": { "conditions": [{ "type": "Failed", "status": "True", "message": "no table" }] },
    });
    let verdict = |commit: &str| assess_candidate(&job, &[], &commit.parse().unwrap()).verdict;
    assert_eq!([verdict(&old), verdict(&new)], [Verdict::Failed, Verdict::Progressing]);
}
