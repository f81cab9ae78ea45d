//! What an answer of the API server means for us: whose fault it is, said
//! briefly and without the values of Secrets.

use std::error::Error;

use leeward_core::model::{self, ClusterFault, KindVersion};
use serde::Deserialize;

/// Characters of a message that we keep. The longest useful ones (several
/// invalid fields) have about 600; some echo whole specs.
const MAX_MESSAGE: usize = 800;

/// Field paths that we list for a Secret whose message is withheld.
const MAX_FIELDS: usize = 8;

/// The part of `meta/v1 Status` that decides.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Status {
    kind: String,
    message: String,
    reason: String,
    details: Option<Details>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Details {
    causes: Vec<Cause>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Cause {
    reason: String,
    field: String,
}

/// Turns an answer other than 2xx about objects of `kind` into a fault. The
/// message does not name the object: whoever asked knows it.
pub(super) fn classify(code: u16, body: &[u8], kind: &KindVersion) -> ClusterFault {
    let is_secret = kind.kind.group.is_empty() && kind.kind.kind == "Secret";
    classify_object(code, body, kind, is_secret)
}

/// The same; of what `is_secret` no value is repeated, whatever its kind.
pub(super) fn classify_object(
    code: u16,
    body: &[u8],
    kind: &KindVersion,
    is_secret: bool,
) -> ClusterFault {
    let status = serde_json::from_slice::<Status>(body)
        .ok()
        .filter(|status| status.kind == "Status")
        .unwrap_or_else(|| Status {
            message: String::from_utf8_lossy(&body[..body.len().min(MAX_MESSAGE)]).into_owned(),
            ..Status::default()
        });
    let from_api = status.kind == "Status";
    let raw = status.message.as_str();
    let message = say(code, &status, is_secret);
    match code {
        401 => ClusterFault::Forbidden { message },
        403 => classify_forbidden(raw, message),
        // The router says so in plain text, and so do an unserved group and a deleted CRD
        // ("the server could not find the requested resource").
        404 if !from_api || raw.contains("could not find the requested resource") => {
            ClusterFault::UnknownKind(kind.clone())
        }
        404 => ClusterFault::NotFound { message },
        409 | 410 => ClusterFault::Conflict { message },
        408 | 429 => ClusterFault::Unreachable { message },
        422 if is_immutable(raw) => ClusterFault::Immutable { message },
        500.. if !blames_the_manifest(raw) => ClusterFault::Unreachable { message },
        _ => ClusterFault::Invalid { message },
    }
}

/// 403 comes from the authorizer (`User "x" cannot …`), from the check against
/// privilege escalation (`user "x" … is attempting to grant …`), and from
/// admission, where it is the manifest's fault or nobody's.
fn classify_forbidden(raw: &str, message: String) -> ClusterFault {
    const FORBIDDEN: &str = " is forbidden: ";
    let reason = raw.split_once(FORBIDDEN).map(|(_, reason)| reason);
    if raw.contains("not yet ready to handle request") {
        // Admission plugins say so while the API server starts.
        ClusterFault::Unreachable { message }
    } else if raw.contains("is being terminated")
        || raw.contains("error looking up service account")
    {
        // A namespace that goes away; a Pod that is quicker than its service account.
        ClusterFault::Conflict { message }
    } else if reason.is_some_and(|reason| !reason.to_lowercase().starts_with("user ")) {
        ClusterFault::Invalid { message }
    } else if raw.contains("denied the request") || raw.contains("denied request") {
        // Webhooks, and policies written in CEL.
        ClusterFault::Invalid { message }
    } else {
        ClusterFault::Forbidden { message }
    }
}

/// How validation says that a field cannot change. There is no code for it.
fn is_immutable(raw: &str) -> bool {
    raw.contains("immutable")
        || raw.contains("may not be changed")
        || raw.contains("may not change")
        || raw.contains("cannot change roleRef")
        || (raw.contains("updates to ") && raw.contains(" are forbidden"))
}

/// Server-side apply answers 500 to a body that does not fit the schema:
/// unknown fields, wrong types, repeated list keys.
fn blames_the_manifest(raw: &str) -> bool {
    ["failed to create typed patch object", "failed to convert new object"]
        .iter()
        .any(|start| raw.starts_with(start))
}

fn say(code: u16, status: &Status, is_secret: bool) -> String {
    let said = if is_secret && !matches!(code, 401 | 404 | 409 | 429) {
        say_of_secret(status)
    } else {
        shorten(without_preamble(&status.message))
    };
    if said.is_empty() { format!("HTTP status {code}") } else { said }
}

/// Drops how the API server names the object: by group, version and kind
/// only, or without its namespace.
fn without_preamble(message: &str) -> &str {
    const NOT_TYPED: &str = "failed to create typed patch object (";
    let rest = if message.starts_with(NOT_TYPED) {
        message.split_once("): ")
    } else {
        // `Deployment.apps "web" is invalid: …`
        message.split_once(" is invalid: ").filter(|(object, _)| object.split(' ').count() == 2)
    };
    rest.map_or(message, |(_, rest)| rest)
}

/// Messages about Secrets may echo what is in them, so only phrases that
/// cannot are let through.
fn say_of_secret(status: &Status) -> String {
    let raw = status.message.as_str();
    let names_fields_only = raw.contains("field not declared in schema")
        || raw.contains("strict decoding error: unknown field")
        || raw.contains("is immutable when `immutable` is set")
        || raw.contains("\" is forbidden: User \"")
        || raw.contains("exceeded quota")
        || raw.contains("is being terminated");
    if names_fields_only && !raw.contains("Invalid value") {
        return shorten(without_preamble(raw));
    }
    if let Some((field, _)) = raw.split_once(", got ")
        && field.contains(": expected ")
    {
        // `.stringData.port: expected string`
        return shorten(without_preamble(field));
    }
    if raw.contains("illegal base64 data") {
        return "illegal base64 in `data`".to_owned();
    }
    if let Some((webhook, _)) = raw.split_once(" denied the request") {
        return shorten(&format!("{webhook} denied the request"));
    }
    if raw.contains("failed calling webhook") {
        return "an admission webhook cannot be called".to_owned();
    }
    let causes = status.details.as_ref().map_or(&[][..], |details| &details.causes);
    let fields: Vec<_> = causes
        .iter()
        .take(MAX_FIELDS)
        .map(|cause| format!("{} ({})", cause.field, cause.reason))
        .collect();
    let reason = if status.reason.is_empty() { "refused" } else { &status.reason };
    if fields.is_empty() {
        format!("{reason}; the message is withheld because it may hold secret values")
    } else {
        shorten(&format!("{reason}: {}", fields.join(", ")))
    }
}

/// One line of at most `MAX_MESSAGE` characters.
pub(super) fn shorten(text: &str) -> String {
    let mut line = String::with_capacity(text.len().min(MAX_MESSAGE));
    for (count, character) in text.trim().chars().enumerate() {
        if count == MAX_MESSAGE {
            line.push('…');
            break;
        }
        line.push(if character.is_control() { ' ' } else { character });
    }
    line
}

/// An error and its causes, as one line of at most `MAX_MESSAGE` characters.
pub(super) fn chain(error: &(dyn Error + 'static)) -> String {
    shorten(&model::chain(error))
}

#[cfg(test)]
mod tests {
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
            ClusterFault::Forbidden { .. } => "forbidden",
            ClusterFault::UnknownKind(_) => "unknown kind",
            ClusterFault::NotFound { .. } => "not found",
            ClusterFault::Conflict { .. } => "conflict",
            ClusterFault::Immutable { .. } => "immutable",
            ClusterFault::Invalid { .. } => "invalid",
        }
    }

    /// In the words of the API server.
    const ANSWERS: [(u16, &str); 29] = [
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
        (429, "the server has received too many requests"),
        (
            500,
            "failed to create typed patch object (/web; apps/v1, Kind=Deployment): .spec.foo: field not declared in schema",
        ),
        (500, "failed to convert new object (/web; apps/v1, Kind=Deployment) to proper version: x"),
        (500, "Internal error occurred: failed calling webhook \"x\": connection refused"),
        (500, "etcdserver: request timed out"),
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
        unreachable  403 pods "web" is forbidden: not yet ready to handle request
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
        unreachable  429 the server has received too many requests
        invalid      500 failed to create typed patch object (/web; apps/v1, Kind=Deployment): .s
        invalid      500 failed to convert new object (/web; apps/v1, Kind=Deployment) to proper 
        unreachable  500 Internal error occurred: failed calling webhook "x": connection refused
        unreachable  500 etcdserver: request timed out
        unreachable  503 apiserver not ready
        unreachable  504 Timeout: request did not complete within requested timeout
        "#);
    }

    #[test]
    fn a_plain_404_says_that_the_kind_is_not_served() {
        let fault = raw_answer_about("Foo", 404, b"404 page not found\n");
        assert_eq!(name(&fault), "unknown kind");
    }

    #[test]
    fn a_proxy_that_answers_in_html_is_an_api_server_out_of_reach() {
        let fault = raw_answer_about("Foo", 502, b"<html>\n<b>Bad gateway</b></html>");
        assert_eq!(
            fault.to_string(),
            "the API server cannot be reached: <html> <b>Bad gateway</b></html>"
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
        unreachable: the API server cannot be reached: an admission webhook cannot be called
        not found: namespaces "shop" not found
        "#);
    }

    #[test]
    fn messages_about_other_secret_objects_do_not_hold_values_either() {
        let kind = KindVersion { kind: Kind::new("", "Service"), version: "v1".into() };
        let body = json!({"kind": "Status", "reason": "Invalid",
            "message": "Service \"web\" is invalid: spec.ports[0].name: Invalid value: \"hunter2!\": no",
            "details": {"causes": [{"field": "spec.ports[0].name", "reason": "FieldValueInvalid"}]}});
        let said = |is_secret| {
            classify_object(422, body.to_string().as_bytes(), &kind, is_secret).to_string()
        };
        assert!(said(false).contains("hunter2"));
        assert_eq!(said(true), "Invalid: spec.ports[0].name (FieldValueInvalid)");
    }

    #[test]
    fn long_messages_are_cut_to_one_line() {
        let said = shorten(&"a\n".repeat(10_000));
        assert_eq!(said.chars().count(), MAX_MESSAGE + 1);
        assert!(!said.contains('\n'));
    }
}
