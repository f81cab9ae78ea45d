//! Answers that blame one webhook: which one it is, and what is wrong with it.

use leeward_core::model::ClusterFault;

use super::shorten;

/// Start of the message when the API server could not call an admission webhook. The
/// second form is that of servers before 1.17.
const CALLING: [&str; 2] = ["failed calling webhook \"", "failed calling admission webhook \""];
/// Start of the message when an admission webhook did answer.
const ADMISSION: &str = "admission webhook \"";
/// Start of the message when a custom resource could not be converted to a version. In
/// an apply it stands inside of a message that otherwise blames the manifest.
const CONVERSION: &str = "conversion webhook for ";

/// Characters of a name that we keep: the longest that the API accepts, with
/// room for a group, version and kind.
const MAX_NAME: usize = 320;

/// Phrases that may be repeated when the object holds secret values: they come
/// from the API server, never from the webhook or the object.
const HARMLESS: [&str; 8] = [
    "context deadline exceeded",
    "connection refused",
    "no endpoints available for service",
    "no such host",
    "certificate signed by unknown authority",
    "certificate has expired or is not yet valid",
    "i/o timeout",
    "could not find the requested resource",
];

/// The fault of an answer with status 429 or 5xx that blames a webhook; `None`
/// when the answer blames none.
pub(super) fn blamed(code: u16, raw: &str, is_secret: bool) -> Option<ClusterFault> {
    let (name, reason) = conversion(raw).or_else(|| calling(raw)).or_else(|| denial(code, raw))?;
    let message = if is_secret { harmless(&reason).to_owned() } else { shorten(&reason) };
    Some(ClusterFault::Webhook { name, message })
}

/// `conversion webhook for example.com/v1, Kind=Shop failed: Post "https://…": …`
fn conversion(raw: &str) -> Option<(String, String)> {
    let (_, rest) = raw.split_once(CONVERSION)?;
    let (kind, reason) = rest.split_once(" failed: ")?;
    Some((format!("for conversion of {}", as_name(kind)?), reason.to_owned()))
}

/// `failed calling webhook "x.example.com": failed to call webhook: Post "https://…": …`
fn calling(raw: &str) -> Option<(String, String)> {
    let rest = CALLING.iter().find_map(|start| raw.split_once(start))?.1;
    let (name, reason) = rest.split_once('"')?;
    let reason = reason.trim_start_matches([':', ';', ' ']);
    let reason = reason.strip_prefix("failed to call webhook: ").unwrap_or(reason);
    Some((as_name(name)?, reason.to_owned()))
}

/// A webhook that denies with a status of 5xx had trouble of its own: libraries
/// answer so when the webhook could not decide.
fn denial(code: u16, raw: &str) -> Option<(String, String)> {
    let (_, rest) = raw.split_once(ADMISSION)?;
    let (name, reason) = rest.split_once("\" ")?;
    Some((as_name(name)?, format!("it answered with status {code}: {reason}")))
}

/// A name with nothing in it but what names of webhooks and kinds are made of,
/// so that no value can pass for one.
fn as_name(text: &str) -> Option<String> {
    let is_plain =
        |character: char| character.is_ascii_alphanumeric() || "-._/,= ".contains(character);
    (!text.is_empty() && text.len() <= MAX_NAME && text.chars().all(is_plain))
        .then(|| text.to_owned())
}

fn harmless(reason: &str) -> &'static str {
    let known = HARMLESS.into_iter().find(|phrase| reason.contains(phrase));
    known.unwrap_or("the message is withheld because it may hold secret values")
}
