//! Variables of manifests, in the forms of Flux's `postBuild`.
//!
//! `${name}`, `${name:-default}` and their kin are replaced in the YAML of each
//! object, which is then read again: `${n}` may become a number, and quotes
//! survive only where the text needs them. Strict: a variable that nobody sets
//! and that has no default is an error. Errors never repeat the value of a variable.

mod evaluate;
mod glob;
mod parse;

use serde_json::Value;

use super::yaml::{self, Dialect, Documents, emit};
pub use crate::model::Variables;

/// Bytes of one object after the substitution, and of each value on the way
/// there: as much as one file of manifests may have.
pub const OUTPUT_BYTES_MAX: usize = 4 << 20;

/// Levels of expressions in defaults of expressions; people write two.
pub const NESTING_MAX: usize = 16;

/// Expressions of one object; a large ConfigMap has hundreds.
pub const EXPRESSIONS_MAX: usize = 10_000;

/// Steps and bytes of one object: some tenths of a second on a small device.
const WORK_MAX: usize = 64 << 20;

/// How alike (0 to 1) a known name must be to be suggested for an unknown one.
const SUGGEST_MIN: f64 = 0.6;

/// Labels or annotations that leave an object as it is, when `disabled`.
const OPT_OUT: [&str; 2] = ["kustomize.toolkit.fluxcd.io/substitute", "leeward.dev/substitute"];

/// Why the variables of a text cannot be substituted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    #[error("the variable {name} is not set and has no default{}", hint(nearest.as_deref()))]
    NotSet { name: String, nearest: Option<String> },
    #[error("the expression `${{{name}` in line {line} of the object cannot be read: {what} (a `$` that means itself is `$$`)", name = shortened(name))]
    Malformed { name: String, line: usize, what: &'static str },
    #[error("the length that is cut out of the variable {name} is negative, or cuts a character")]
    BadSlice { name: String },
    #[error("expressions are nested more than {NESTING_MAX} deep")]
    TooDeep,
    #[error("more than {EXPRESSIONS_MAX} expressions in one object")]
    TooManyExpressions,
    #[error("the object exceeds {} MiB with its variables substituted", OUTPUT_BYTES_MAX >> 20)]
    TooLarge,
    #[error("its expressions take too long to evaluate")]
    TooMuchWork,
    /// What is wrong is not repeated: it has the values in it.
    #[error("line {line} of the object is no YAML once its variables are substituted")]
    NotYaml { line: u32 },
}

impl Problem {
    fn not_set(name: &str, variables: &Variables) -> Self {
        let likeness = |known: &str| {
            strsim::normalized_damerau_levenshtein(&known.to_lowercase(), &name.to_lowercase())
        };
        let name_shown = shortened(name);
        // An unbounded name would take unbounded time to compare.
        let nearest = (name_shown == name)
            .then(|| {
                variables
                    .names()
                    .map(|known| (likeness(known), known))
                    .max_by(|a, b| a.0.total_cmp(&b.0))
                    .filter(|(likeness, _)| *likeness >= SUGGEST_MIN)
                    .map(|(_, known)| known.to_owned())
            })
            .flatten();
        Self::NotSet { name: name_shown, nearest }
    }
}

fn hint(nearest: Option<&str>) -> String {
    nearest.map_or_else(String::new, |nearest| format!(" (did you mean {nearest}?)"))
}

fn shortened(name: &str) -> String {
    name.chars().take(60).collect()
}

/// The object with its variables substituted; `None` when it stays as it is:
/// it opts out, it has no expression, or no variables are given.
pub fn substitute(object: &Value, variables: &Variables) -> Result<Option<Value>, Problem> {
    if variables.is_empty() || opts_out(object) {
        return Ok(None);
    }
    if !has_expressions(object) {
        return Ok(None);
    }
    let text = emit::document_within(object, OUTPUT_BYTES_MAX).ok_or(Problem::TooLarge)?;
    read(&substitute_text(&text, variables)?).map(Some)
}

/// The text with its variables substituted.
pub fn substitute_text(text: &str, variables: &Variables) -> Result<String, Problem> {
    evaluate::evaluate(&parse::parse(text)?, variables)
}

/// Neither quotes nor line breaks can stand between the two characters.
fn has_expressions(value: &Value) -> bool {
    let is_one = |text: &str| text.contains("${") || text.contains("$$");
    match value {
        Value::String(text) => is_one(text),
        Value::Array(items) => items.iter().any(has_expressions),
        Value::Object(map) => map.iter().any(|(key, value)| is_one(key) || has_expressions(value)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

fn opts_out(object: &Value) -> bool {
    ["labels", "annotations"]
        .iter()
        .any(|field| OPT_OUT.iter().any(|key| object["metadata"][field][key] == "disabled"))
}

fn read(text: &str) -> Result<Value, Problem> {
    let wrong = |error: &yaml::YamlError| Problem::NotYaml { line: error.mark.line };
    let documents = Documents::new(text.as_bytes(), Dialect::Kubernetes, yaml::Limits::default());
    let mut documents = documents.map_err(|error| wrong(&error))?;
    let first =
        |errors: &[yaml::YamlError]| errors.first().map_or(Problem::NotYaml { line: 1 }, wrong);
    let document = match documents.next() {
        Some(Ok(document)) => document,
        Some(Err(errors)) => return Err(first(&errors)),
        None => return Err(Problem::NotYaml { line: 1 }),
    };
    if let Some(more) = documents.next() {
        let line = more.map_or_else(|errors| errors[0].mark.line, |node| node.mark.line);
        return Err(Problem::NotYaml { line });
    }
    document.into_json(Dialect::Kubernetes).map_err(|errors| first(&errors))
}

#[cfg(test)]
mod tests;
