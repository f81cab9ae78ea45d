use leeward_core::model::Kind;
use serde_json::json;

use super::*;

fn answer_about(kind: &str, code: u16, reason: &str, message: &str) -> ClusterFault {
    let body = json!({"kind": "Status", "code": code, "reason": reason, "message": message});
    raw_answer_about(kind, code, body.to_string().as_bytes())
}

fn raw_answer_about(kind: &str, code: u16, body: &[u8]) -> ClusterFault {
    let kind = KindVersion { kind: Kind::new("", kind), version: "v1".into() };
    classify(code, body, &kind)
}

fn name(fault: &ClusterFault) -> &'static str {
    match fault {
        ClusterFault::Unreachable { .. } => "unreachable",
        ClusterFault::Unavailable { .. } => "unavailable",
        ClusterFault::Webhook { .. } => "webhook",
        ClusterFault::NotReady { .. } => "not ready",
        ClusterFault::Unreadable { .. } => "unreadable",
        ClusterFault::Forbidden { .. } => "forbidden",
        ClusterFault::UnknownKind(_) => "unknown kind",
        ClusterFault::NotFound { .. } => "not found",
        ClusterFault::Conflict { .. } => "conflict",
        ClusterFault::Immutable { .. } => "immutable",
        ClusterFault::Invalid { .. } => "invalid",
    }
}

/// In the words of the API server.
const ANSWERS: [(u16, &str); 35] = [
    (400, "strict decoding error: unknown field \"spec.foo\""),
    (400, "metadata.managedFields must be nil"),
    (401, "Unauthorized"),
    (
        403,
        "pods \"web\" is forbidden: User \"leeward\" cannot patch resource \"pods\" in API group \"\" in the namespace \"shop\"",
    ),
    (
        403,
        "clusterroles.rbac.authorization.k8s.io \"x\" is forbidden: user \"leeward\" (groups=[\"a\"]) is attempting to grant RBAC permissions not currently held",
    ),
    (
        403,
        "pods \"web\" is forbidden: exceeded quota: small, requested: pods=1, used: pods=1, limited: pods=1",
    ),
    (
        403,
        "pods \"web\" is forbidden: violates PodSecurity \"restricted:latest\": allowPrivilegeEscalation != false",
    ),
    (
        403,
        "configmaps \"web\" is forbidden: unable to create new content in namespace shop because it is being terminated",
    ),
    (
        403,
        "pods \"web\" is forbidden: error looking up service account shop/default: serviceaccount \"default\" not found",
    ),
    (403, "pods \"web\" is forbidden: not yet ready to handle request"),
    (403, "admission webhook \"policy.example.com\" denied the request: no"),
    (404, "namespaces \"shop\" not found"),
    (404, "the server could not find the requested resource"),
    (409, "Operation cannot be fulfilled on pods \"web\": the object has been modified"),
    (409, "Precondition failed: UID in precondition: 1, UID in object meta: 2"),
    (410, "The provided continue parameter is too old"),
    (
        422,
        "Deployment.apps \"web\" is invalid: spec.selector: Invalid value: {}: field is immutable",
    ),
    (
        422,
        "StatefulSet.apps \"web\" is invalid: spec: Forbidden: updates to statefulset spec for fields other than 'replicas' are forbidden",
    ),
    (
        422,
        "Pod \"web\" is invalid: spec: Forbidden: pod updates may not change fields other than `spec.containers[*].image`",
    ),
    (
        422,
        "Service \"web\" is invalid: spec.clusterIPs[0]: Invalid value: [\"10.0.0.1\"]: may not change once set",
    ),
    (422, "RoleBinding \"web\" is invalid: roleRef: Invalid value: {}: cannot change roleRef"),
    (
        422,
        "Deployment.apps \"web\" is invalid: spec.replicas: Invalid value: -1: must be greater than or equal to 0",
    ),
    (
        422,
        "ConfigMap \"web\" is invalid: metadata.finalizers: Forbidden: no new finalizers can be added if the object is being deleted, found new finalizers []string{\"example.com/b\"}",
    ),
    (429, "the server has received too many requests"),
    (
        500,
        "failed to create typed patch object (/web; apps/v1, Kind=Deployment): .spec.foo: field not declared in schema",
    ),
    (500, "failed to convert new object (/web; apps/v1, Kind=Deployment) to proper version: x"),
    (500, "Internal error occurred: failed calling webhook \"x\": connection refused"),
    (500, "etcdserver: request timed out"),
    (500, "etcdserver: mvcc: database space exceeded"),
    (500, "etcdserver: request is too large"),
    (
        500,
        "rpc error: code = ResourceExhausted desc = trying to send message larger than max (2200000 vs. 2097152)",
    ),
    (
        500,
        "The POST operation against configmaps could not be completed at this time, please try again.",
    ),
    (503, "the server is currently unable to handle the request"),
    (503, "apiserver not ready"),
    (504, "Timeout: request did not complete within requested timeout"),
];

#[test]
fn every_answer_blames_the_right_one() {
    let said: Vec<_> = ANSWERS
        .iter()
        .map(|(code, message)| {
            let fault = answer_about("ConfigMap", *code, "", message);
            let start: String = message.chars().take(72).collect();
            format!("{:12} {code} {start}", name(&fault))
        })
        .collect();
    insta::assert_snapshot!(said.join("\n"), @r#"
    invalid      400 strict decoding error: unknown field "spec.foo"
    invalid      400 metadata.managedFields must be nil
    forbidden    401 Unauthorized
    forbidden    403 pods "web" is forbidden: User "leeward" cannot patch resource "pods" in 
    forbidden    403 clusterroles.rbac.authorization.k8s.io "x" is forbidden: user "leeward" 
    invalid      403 pods "web" is forbidden: exceeded quota: small, requested: pods=1, used:
    invalid      403 pods "web" is forbidden: violates PodSecurity "restricted:latest": allow
    conflict     403 configmaps "web" is forbidden: unable to create new content in namespace
    conflict     403 pods "web" is forbidden: error looking up service account shop/default: 
    unavailable  403 pods "web" is forbidden: not yet ready to handle request
    invalid      403 admission webhook "policy.example.com" denied the request: no
    not found    404 namespaces "shop" not found
    unknown kind 404 the server could not find the requested resource
    conflict     409 Operation cannot be fulfilled on pods "web": the object has been modifie
    conflict     409 Precondition failed: UID in precondition: 1, UID in object meta: 2
    conflict     410 The provided continue parameter is too old
    immutable    422 Deployment.apps "web" is invalid: spec.selector: Invalid value: {}: fiel
    immutable    422 StatefulSet.apps "web" is invalid: spec: Forbidden: updates to statefuls
    immutable    422 Pod "web" is invalid: spec: Forbidden: pod updates may not change fields
    immutable    422 Service "web" is invalid: spec.clusterIPs[0]: Invalid value: ["10.0.0.1"
    immutable    422 RoleBinding "web" is invalid: roleRef: Invalid value: {}: cannot change 
    invalid      422 Deployment.apps "web" is invalid: spec.replicas: Invalid value: -1: must
    conflict     422 ConfigMap "web" is invalid: metadata.finalizers: Forbidden: no new final
    unavailable  429 the server has received too many requests
    invalid      500 failed to create typed patch object (/web; apps/v1, Kind=Deployment): .s
    invalid      500 failed to convert new object (/web; apps/v1, Kind=Deployment) to proper 
    webhook      500 Internal error occurred: failed calling webhook "x": connection refused
    unavailable  500 etcdserver: request timed out
    unavailable  500 etcdserver: mvcc: database space exceeded
    invalid      500 etcdserver: request is too large
    invalid      500 rpc error: code = ResourceExhausted desc = trying to send message larger
    unavailable  500 The POST operation against configmaps could not be completed at this tim
    unavailable  503 the server is currently unable to handle the request
    unavailable  503 apiserver not ready
    unavailable  504 Timeout: request did not complete within requested timeout
    "#);
}

/// In the words of the API server about webhooks: its admission, its conversion
/// of custom resources, and both inside of other messages.
const WEBHOOKS: [(u16, &str); 10] = [
    (
        500,
        "Internal error occurred: failed calling webhook \"policy.example.com\": failed to call webhook: Post \"https://policy.shop.svc:443/check?timeout=10s\": context deadline exceeded",
    ),
    (
        500,
        "Internal error occurred: failed calling webhook \"policy.example.com\": failed to call webhook: Post \"https://policy.shop.svc:443/check?timeout=10s\": no endpoints available for service \"policy\"",
    ),
    (
        500,
        "Internal error occurred: failed calling webhook \"policy.example.com\": failed to call webhook: Post \"https://policy.shop.svc:443/check?timeout=10s\": tls: failed to verify certificate: x509: certificate signed by unknown authority",
    ),
    (
        500,
        "Internal error occurred: failed calling webhook \"policy.example.com\": failed to call webhook: the server is currently unable to handle the request",
    ),
    (
        500,
        "Internal error occurred: failed calling webhook \"policy.example.com\"; no further details available",
    ),
    (
        500,
        "Internal error occurred: failed calling admission webhook \"policy.example.com\": Post https://policy: EOF",
    ),
    (500, "admission webhook \"policy.example.com\" denied the request: cannot list namespaces"),
    (
        500,
        "conversion webhook for example.com/v1, Kind=Shop failed: Post \"https://shop.ops.svc:443/convert?timeout=30s\": dial tcp 10.0.0.7:443: connect: connection refused",
    ),
    (
        500,
        "failed to convert new object (shop/web; example.com/v1, Kind=Shop) to proper version: conversion webhook for example.com/v2, Kind=Shop failed: Post \"https://shop.ops.svc:443/convert?timeout=30s\": context deadline exceeded",
    ),
    (429, "admission webhook \"policy.example.com\" denied the request: too many at once"),
];

#[test]
fn a_webhook_in_trouble_is_named_and_is_not_the_api_server() {
    let said = WEBHOOKS.map(|(code, message)| {
        let fault = answer_about("ConfigMap", code, "InternalError", message);
        assert!(fault.is_transient() && !fault.is_api_server(), "{fault}");
        assert_eq!(name(&fault), "webhook", "{message}");
        fault.to_string()
    });
    insta::assert_snapshot!(said.join("\n"), @r#"
    the webhook policy.example.com cannot be called: Post "https://policy.shop.svc:443/check?timeout=10s": context deadline exceeded
    the webhook policy.example.com cannot be called: Post "https://policy.shop.svc:443/check?timeout=10s": no endpoints available for service "policy"
    the webhook policy.example.com cannot be called: Post "https://policy.shop.svc:443/check?timeout=10s": tls: failed to verify certificate: x509: certificate signed by unknown authority
    the webhook policy.example.com cannot be called: the server is currently unable to handle the request
    the webhook policy.example.com cannot be called: no further details available
    the webhook policy.example.com cannot be called: Post https://policy: EOF
    the webhook policy.example.com cannot be called: it answered with status 500: denied the request: cannot list namespaces
    the webhook for conversion of example.com/v1, Kind=Shop cannot be called: Post "https://shop.ops.svc:443/convert?timeout=30s": dial tcp 10.0.0.7:443: connect: connection refused
    the webhook for conversion of example.com/v2, Kind=Shop cannot be called: Post "https://shop.ops.svc:443/convert?timeout=30s": context deadline exceeded
    the webhook policy.example.com cannot be called: it answered with status 429: denied the request: too many at once
    "#);
}

#[test]
fn a_webhook_that_says_no_blames_the_manifest_whatever_it_quotes() {
    let quoted = "admission webhook \"a\" denied the request: failed calling webhook \"b\": EOF";
    for code in [400, 403, 422] {
        assert_eq!(name(&answer_about("ConfigMap", code, "", quoted)), "invalid", "{code}");
    }
}

#[test]
fn an_api_group_behind_another_api_server_is_not_the_api_server() {
    let about = |group: &str, body: &str| {
        let kind = KindVersion { kind: Kind::new(group, "Shop"), version: "v1".into() };
        classify(503, body.as_bytes(), &kind).to_string()
    };
    let away = "error trying to reach service: dial tcp 10.0.0.7:443: connect: connection refused";
    let said = [
        about("metrics.k8s.io", "service unavailable\n"),
        about("metrics.k8s.io", away),
        about("", "service unavailable\n"),
    ];
    insta::assert_snapshot!(said.join("\n"), @r#"
    the API group metrics.k8s.io is not ready: service unavailable
    the API group metrics.k8s.io is not ready: error trying to reach service: dial tcp 10.0.0.7:443: connect: connection refused
    the API server cannot do it now: service unavailable
    "#);
}

#[test]
fn a_plain_404_says_that_the_kind_is_not_served() {
    let fault = raw_answer_about("Foo", 404, b"404 page not found\n");
    assert_eq!(name(&fault), "unknown kind");
}

#[test]
fn a_proxy_that_answers_in_html_is_an_api_server_that_is_unavailable() {
    let fault = raw_answer_about("Foo", 502, b"<html>\n<b>Bad gateway</b></html>");
    assert_eq!(
        fault.to_string(),
        "the API server cannot do it now: <html> <b>Bad gateway</b></html>"
    );
}

#[test]
fn messages_about_secrets_never_hold_their_values() {
    let invalid = json!({"kind": "Status", "reason": "Invalid",
        "message": "Secret \"web\" is invalid: data[p]: Invalid value: \"hunter2\": too short",
        "details": {"causes": [{"field": "data[p]", "reason": "FieldValueInvalid", "message": "Invalid value: \"hunter2\""}]}});
    let said = [
        raw_answer_about("Secret", 422, invalid.to_string().as_bytes()),
        answer_about("Secret", 500, "", "failed to create typed patch object (shop/web; /v1, Kind=Secret): .stringData.p: expected string, got &value.valueUnstructured{Value:\"hunter2\"}"),
        answer_about("Secret", 500, "", "failed to convert new object (/a; /v1, Kind=Secret) to proper version: illegal base64 data at input byte 0"),
        answer_about("Secret", 500, "", "failed to create typed patch object (/a; /v1, Kind=Secret): .daat: field not declared in schema"),
        answer_about("Secret", 400, "", "admission webhook \"p.example.com\" denied the request: hunter2 is weak"),
        answer_about("Secret", 500, "InternalError", "Internal error occurred: failed calling webhook \"p\": hunter2"),
        answer_about("Secret", 500, "InternalError", "Internal error occurred: failed calling webhook \"p\": failed to call webhook: Post \"https://hunter2\": context deadline exceeded"),
        answer_about("Secret", 500, "", "admission webhook \"p\" denied the request: hunter2 is not known"),
        answer_about("Secret", 500, "", "Internal error occurred: failed calling webhook \"no (hunter2)\": no"),
        answer_about("Secret", 500, "", "etcdserver: request is too large"),
        answer_about("Secret", 404, "NotFound", "namespaces \"shop\" not found"),
    ]
    .map(|fault| format!("{}: {fault}", name(&fault)))
    .join("\n");
    assert!(!said.contains("hunter2"), "{said}");
    insta::assert_snapshot!(said, @r#"
    invalid: Invalid: data[p] (FieldValueInvalid)
    invalid: .stringData.p: expected string
    invalid: illegal base64 in `data`
    invalid: .daat: field not declared in schema
    invalid: admission webhook "p.example.com" denied the request
    webhook: the webhook p cannot be called: the message is withheld because it may hold secret values
    webhook: the webhook p cannot be called: context deadline exceeded
    webhook: the webhook p cannot be called: the message is withheld because it may hold secret values
    unavailable: the API server cannot do it now: refused; the message is withheld because it may hold secret values
    invalid: etcdserver: request is too large
    not found: namespaces "shop" not found
    "#);
}

#[test]
fn messages_about_other_secret_objects_do_not_hold_values_either() {
    let kind = KindVersion { kind: Kind::new("", "Service"), version: "v1".into() };
    let body = json!({"kind": "Status", "reason": "Invalid",
        "message": "Service \"web\" is invalid: spec.ports[0].name: Invalid value: \"hunter2!\": no",
        "details": {"causes": [{"field": "spec.ports[0].name", "reason": "FieldValueInvalid"}]}});
    let said =
        |is_secret| classify_object(422, body.to_string().as_bytes(), &kind, is_secret).to_string();
    assert!(said(false).contains("hunter2"));
    assert_eq!(said(true), "Invalid: spec.ports[0].name (FieldValueInvalid)");
}

#[test]
fn long_messages_are_cut_to_one_line() {
    let said = shorten(&"a\n".repeat(10_000));
    assert_eq!(said.chars().count(), MAX_MESSAGE + 1);
    assert!(!said.contains('\n'));
}
