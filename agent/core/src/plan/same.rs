//! Do two values mean the same to Kubernetes, although they are not the same JSON?

use serde_json::Value;

/// Fields whose texts are quantities (`500m` is `0.5`, `1024Mi` is `1Gi`); only
/// below these, since elsewhere `1e3` and `1000` are different texts.
const QUANTITY_PLACES: [&str; 14] = [
    "limits",
    "requests",
    "capacity",
    "hard",
    "default",
    "defaultRequest",
    "max",
    "min",
    "sizeLimit",
    "divisor",
    "averageValue",
    "overhead",
    "maximumVolumeSize",
    "tolerance",
];
/// A field of that name holds a quantity in the target of a metric alone.
const METRIC_TARGET: &str = "/target/value";
/// Quantities are compared as 64-bit floats; anything closer than this is rounding.
const QUANTITY_PRECISION: f64 = 1e-9;

/// Whether two scalars mean the same at `path` (RFC 6901).
pub fn same_scalar(declared: &Value, live: &Value, path: &str) -> bool {
    if declared == live {
        return true;
    }
    match (declared, live) {
        (Value::Number(one), Value::Number(other)) => one.as_f64() == other.as_f64(),
        (Value::Number(number), Value::String(text))
        | (Value::String(text), Value::Number(number)) => {
            number.to_string() == *text
                || is_quantity_place(path) && same_quantity(&number.to_string(), text)
        }
        (Value::String(one), Value::String(other)) => {
            is_quantity_place(path) && same_quantity(one, other)
        }
        _ => false,
    }
}

/// Whether a declared value is one that the API server may store as nothing at all.
pub fn looks_absent(declared: &Value, path: &str) -> bool {
    /// Maps of texts keep their empty texts; structures drop theirs.
    const TEXT_MAPS: [&str; 4] =
        ["/data/", "/stringData/", "/metadata/labels/", "/metadata/annotations/"];
    match declared {
        Value::Null | Value::Bool(false) => true,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => {
            text.is_empty() && !TEXT_MAPS.iter().any(|map| path.starts_with(map))
        }
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        Value::Bool(true) => false,
    }
}

fn is_quantity_place(path: &str) -> bool {
    path.ends_with(METRIC_TARGET)
        || path.split('/').any(|segment| QUANTITY_PLACES.contains(&segment))
}

/// Whether two texts of a custom resource, whose schema nobody here knows, are one
/// quantity or one duration, as operators spell them anew.
///
/// Only with a unit on one side: `1.10` and `1.1` may be versions.
pub fn same_custom_scalar(declared: &Value, live: &Value) -> bool {
    let text = |value: &Value| match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    };
    let (Some(one), Some(other)) = (text(declared), text(live)) else { return false };
    let has_unit = |text: &str| text.ends_with(|last: char| last.is_ascii_alphabetic());
    let is_same_duration = match (duration(&one), duration(&other)) {
        (Some(one), Some(other)) => (one - other).abs() < DURATION_PRECISION,
        _ => false,
    };
    is_same_duration || (has_unit(&one) || has_unit(&other)) && same_quantity(&one, &other)
}

/// Durations are compared as seconds in 64-bit floats; half a nanosecond is rounding.
const DURATION_PRECISION: f64 = 5e-10;

/// A duration as Go writes it (`1h0m0s`), in seconds; `None` for what is none.
fn duration(text: &str) -> Option<f64> {
    const UNITS: [(&str, f64); 6] =
        [("ns", 1e-9), ("us", 1e-6), ("ms", 1e-3), ("h", 3600.0), ("m", 60.0), ("s", 1.0)];
    let (mut rest, mut seconds) = (text, 0.0);
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest[..end].parse().ok()?;
        let (unit, factor) = UNITS.iter().find(|(unit, _)| rest[end..].starts_with(unit))?;
        seconds += number * factor;
        rest = &rest[end + unit.len()..];
    }
    (!text.is_empty()).then_some(seconds)
}

fn same_quantity(one: &str, other: &str) -> bool {
    match (quantity(one), quantity(other)) {
        (Some(one), Some(other)) => {
            (one - other).abs() <= QUANTITY_PRECISION * one.abs().max(other.abs())
        }
        _ => false,
    }
}

/// A quantity as a number; `None` for what is none.
fn quantity(text: &str) -> Option<f64> {
    const SUFFIXES: [(&str, f64); 15] = [
        ("Ki", 1024.0),
        ("Mi", 1_048_576.0),
        ("Gi", 1_073_741_824.0),
        ("Ti", 1_099_511_627_776.0),
        ("Pi", 1_125_899_906_842_624.0),
        ("Ei", 1_152_921_504_606_846_976.0),
        ("n", 1e-9),
        ("u", 1e-6),
        ("m", 1e-3),
        ("k", 1e3),
        ("M", 1e6),
        ("G", 1e9),
        ("T", 1e12),
        ("P", 1e15),
        ("E", 1e18),
    ];
    let (number, factor) = SUFFIXES
        .iter()
        .find_map(|(suffix, factor)| Some((text.strip_suffix(suffix)?, *factor)))
        .unwrap_or((text, 1.0));
    let is_number = number.starts_with(|c: char| c.is_ascii_digit() || "+-.".contains(c));
    number.parse::<f64>().ok().filter(|value| is_number && value.is_finite()).map(|n| n * factor)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn quantities_are_compared_by_what_they_mean() {
        let same = |one: Value, other: Value| same_scalar(&one, &other, "/spec/limits/cpu");
        assert!(same(json!("500m"), json!("0.5")));
        assert!(same(json!("1024Mi"), json!("1Gi")));
        assert!(same(json!(2), json!("2")));
        assert!(same(json!(0.5), json!("500m")));
        assert!(!same(json!("500m"), json!("501m")));
        assert!(!same(json!("inf"), json!("infinity")));
        assert!(!same(json!("a"), json!("b")));
    }

    #[test]
    fn a_metric_target_is_a_quantity() {
        let path = "/spec/metrics/0/external/target/value";
        assert!(same_scalar(&json!("1000m"), &json!("1"), path));
        assert!(!same_scalar(&json!("1000m"), &json!("1"), "/spec/value"));
    }

    #[test]
    fn custom_resources_spell_quantities_and_durations_anew() {
        let same = |one: &str, other: Value| same_custom_scalar(&json!(one), &other);
        assert!(same("1024Mi", json!("1Gi")));
        assert!(same("1000m", json!(1)));
        assert!(same("2160h", json!("2160h0m0s")));
        assert!(same("90s", json!("1m30s")));
        assert!(!same("1.10", json!("1.1")));
        assert!(!same("1", json!("1.0")));
        assert!(!same("10m", json!("11m")));
        assert!(!same("main", json!("master")));
        assert!(!same("", json!("0s")));
    }

    #[test]
    fn texts_outside_quantities_are_compared_as_texts() {
        assert!(!same_scalar(&json!("1e3"), &json!("1000"), "/data/limit"));
        assert!(!same_scalar(&json!("1024Mi"), &json!("1Gi"), "/metadata/labels/size"));
    }

    #[test]
    fn a_port_is_the_same_as_number_and_as_text() {
        assert!(same_scalar(&json!(80), &json!("80"), "/spec/ports/0/targetPort"));
        assert!(same_scalar(&json!(1), &json!(1.0), "/spec/replicas"));
        assert!(!same_scalar(&json!(true), &json!("true"), "/spec/x"));
    }

    #[test]
    fn empty_values_look_absent_except_texts_in_maps_of_texts() {
        for value in [json!(null), json!(false), json!(0), json!(""), json!([]), json!({})] {
            assert!(looks_absent(&value, "/spec/x"), "{value}");
        }
        assert!(!looks_absent(&json!(""), "/data/key"));
        assert!(!looks_absent(&json!("x"), "/spec/x"));
    }
}
