//! Reading `status` without trusting its shape.

use serde_json::Value;

/// Messages are cut to this: a reason is one line in a report.
const SHOWN_CHARACTERS: usize = 300;

pub(super) struct Condition<'a> {
    pub(super) status: &'a str,
    pub(super) reason: &'a str,
    pub(super) message: &'a str,
    /// It was written for an older generation of the object.
    pub(super) is_stale: bool,
}

pub(super) fn condition<'a>(object: &'a Value, name: &str) -> Option<Condition<'a>> {
    let conditions = object.pointer("/status/conditions")?.as_array()?;
    let found = conditions.iter().find(|condition| text(condition, "/type") == name)?;
    let observed = found.get("observedGeneration").and_then(Value::as_i64);
    let generation = object.pointer("/metadata/generation").and_then(Value::as_i64);
    Some(Condition {
        status: text(found, "/status"),
        reason: text(found, "/reason"),
        message: text(found, "/message"),
        is_stale: observed.zip(generation).is_some_and(|(seen, now)| seen < now),
    })
}

pub(super) fn is_true(object: &Value, name: &str) -> bool {
    condition(object, name).is_some_and(|condition| condition.status == "True")
}

pub(super) fn is_false(object: &Value, name: &str) -> bool {
    condition(object, name).is_some_and(|condition| condition.status == "False")
}

/// `Ready is False: reason: message`, as far as each is said.
pub(super) fn message_of(object: &Value, name: &str) -> String {
    let Some(condition) = condition(object, name) else {
        return format!("has no condition {name} yet");
    };
    let parts = [condition.reason, condition.message];
    let said: Vec<&str> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    let start = format!("{name} is {}", condition.status);
    one_line(&[&[start.as_str()], &said[..]].concat().join(": "))
}

/// Why the status is not about the current generation; `None` when it is, or
/// when the kind does not tell.
pub(super) fn generation_lag(object: &Value) -> Option<String> {
    let generation = object.pointer("/metadata/generation")?.as_i64()?;
    let observed = object.pointer("/status/observedGeneration")?.as_i64()?;
    (observed < generation)
        .then(|| format!("generation {generation} has not been looked at, only {observed}"))
}

pub(super) fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// A count; zero when it is missing, as Kubernetes leaves out zeros.
pub(super) fn count(object: &Value, pointer: &str) -> i64 {
    object.pointer(pointer).and_then(Value::as_i64).unwrap_or(0)
}

pub(super) fn list<'a>(object: &'a Value, pointer: &str) -> &'a [Value] {
    object.pointer(pointer).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// One bounded line out of a text that somebody else wrote.
pub(super) fn one_line(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(SHOWN_CHARACTERS) {
        None => line,
        Some((end, _)) => format!("{}…", &line[..end]),
    }
}
