//! Makes a fault of an answer of the API server: whose fault it is, said
//! briefly and without the values of Secrets.

mod webhook;

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

/// Like `classify`; with `is_secret`, the message never repeats a value,
/// whatever the kind.
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
    if matches!(code, 429 | 500..)
        && let Some(fault) = webhook::blamed(code, raw, is_secret)
    {
        return fault;
    }
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
        408 | 429 => ClusterFault::Unavailable { message },
        422 if is_about_a_deletion(raw) => ClusterFault::Conflict { message },
        422 if is_immutable(raw) => ClusterFault::Immutable { message },
        503 if !from_api && is_from_aggregator(raw, kind) => {
            let message = format!("the API group {} is not ready: {message}", kind.kind.group);
            ClusterFault::NotReady { message }
        }
        500.. if !blames_the_manifest(raw) => ClusterFault::Unavailable { message },
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
        ClusterFault::Unavailable { message }
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

/// How validation says that an object is on its way out; once it is gone, the
/// same manifest is taken.
fn is_about_a_deletion(raw: &str) -> bool {
    raw.contains("no new finalizers can be added if the object is being deleted")
}

/// How validation says that a field cannot change. There is no code for it.
fn is_immutable(raw: &str) -> bool {
    raw.contains("immutable")
        || raw.contains("may not be changed")
        || raw.contains("may not change")
        || raw.contains("cannot change roleRef")
        || (raw.contains("updates to ") && raw.contains(" are forbidden"))
}

/// Server-side apply answers 500 to a body that does not fit the schema
/// (unknown fields, wrong types, repeated list keys), and to one that is larger
/// than etcd takes or than its client sends.
fn blames_the_manifest(raw: &str) -> bool {
    ["failed to create typed patch object", "failed to convert new object"]
        .iter()
        .any(|start| raw.starts_with(start))
        || is_too_large(raw)
}

fn is_too_large(raw: &str) -> bool {
    raw.contains("etcdserver: request is too large")
        || raw.contains("trying to send message larger than max")
}

/// The aggregator answers for a group whose own API server is away, in plain
/// text and in one of these two ways. The core group is never aggregated.
fn is_from_aggregator(raw: &str, kind: &KindVersion) -> bool {
    let said = raw.trim_end();
    !kind.kind.group.is_empty()
        && (said == "service unavailable" || said.starts_with("error trying to reach service"))
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
        || raw.contains("is being terminated")
        || is_too_large(raw);
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
mod tests;
