//! Variables of manifests, in the forms of Flux's `postBuild`.
//!
//! `${name}`, `${name:-default}` and their kin are replaced in the YAML of each
//! object, which is then read again: `${n}` may become a number, and quotes
//! survive only where the text needs them. Strict: a variable that nobody sets
//! and that has no default is an error. Errors never repeat the value of a variable.

mod evaluate;
mod given;
mod glob;
mod parse;
mod secret;

use std::collections::BTreeSet;

use leeward_yaml::{self as yaml, Dialect, Documents, emit};
use serde_json::{Value, json};

pub use self::{
    given::{Given, Taken, taken},
    secret::SecretValues,
};
pub use crate::model::Variables;
use crate::model::{Digest, VariableSource};

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
    #[error("the variable {name} is not set and has no default{}{from}", hint(nearest.as_deref()))]
    NotSet {
        name: String,
        nearest: Option<String>,
        /// Where it may come from besides; empty when from nowhere.
        from: String,
    },
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
    /// The name of an object is stored and shown everywhere.
    #[error("the variable {name} is of a Secret, and {field} would show it")]
    SecretInName { name: String, field: &'static str },
    /// The text is not repeated: it has the values in it.
    #[error("line {line} of the object is no YAML once its variables are substituted")]
    NotYaml { line: u32 },
}

impl Problem {
    fn not_set(name: &str, values: &Values<'_>) -> Self {
        let likeness = |known: &str| {
            strsim::normalized_damerau_levenshtein(&known.to_lowercase(), &name.to_lowercase())
        };
        let name_shown = shortened(name);
        // An unbounded name would take unbounded time to compare.
        let nearest = (name_shown == name)
            .then(|| {
                let Values { variables, secrets, .. } = values;
                variables
                    .names()
                    .chain(secrets.names())
                    .map(|known| (likeness(known), known))
                    .max_by(|a, b| a.0.total_cmp(&b.0))
                    .filter(|(likeness, _)| *likeness >= SUGGEST_MIN)
                    .map(|(_, known)| known.to_owned())
            })
            .flatten();
        let from: Vec<String> = values.from.iter().map(|from| from.key().to_string()).collect();
        let from = if from.is_empty() {
            String::new()
        } else {
            format!("; substituteFrom looks for it in {}", from.join(", "))
        };
        Self::NotSet { name: name_shown, nearest, from }
    }
}

fn hint(nearest: Option<&str>) -> String {
    nearest.map_or_else(String::new, |nearest| format!(" (did you mean {nearest}?)"))
}

fn shortened(name: &str) -> String {
    name.chars().take(60).collect()
}

/// The values that expressions may refer to.
#[derive(Clone, Copy, Debug)]
pub struct Values<'v> {
    pub variables: &'v Variables,
    /// Wins over the variables.
    pub secrets: &'v SecretValues,
    /// Objects of the cluster that either may come from, for messages.
    pub from: &'v [VariableSource],
}

/// Nothing is substituted.
impl Default for Values<'_> {
    fn default() -> Self {
        static VARIABLES: Variables = Variables::NONE;
        static SECRETS: SecretValues = SecretValues::NONE;
        Self { variables: &VARIABLES, secrets: &SECRETS, from: &[] }
    }
}

impl Values<'_> {
    /// Returns whether nothing is substituted at all.
    pub fn is_empty(&self) -> bool {
        self.variables.is_empty() && self.secrets.is_empty() && self.from.is_empty()
    }
}

/// An object with its variables substituted.
#[derive(Debug)]
pub struct Substituted {
    pub value: Value,
    /// Values of Secrets are in it. The digest stands for it where it is to be told
    /// from others: of what stands in Git, and which versions of which Secrets.
    pub secret: Option<Digest>,
}

/// The object with its variables substituted; `None` when it stays as it is:
/// it opts out, it has no expression, or no variables are given.
pub fn substitute(object: &Value, variables: &Variables) -> Result<Option<Value>, Problem> {
    let values = Values { variables, secrets: &SecretValues::default(), from: &[] };
    Ok(substitute_with(object, &values)?.map(|substituted| substituted.value))
}

/// Substitutes like [`substitute`], also with values that nobody may be shown.
pub fn substitute_with(
    object: &Value,
    values: &Values<'_>,
) -> Result<Option<Substituted>, Problem> {
    if values.is_empty() || opts_out(object) {
        return Ok(None);
    }
    if !has_expressions(object) {
        return Ok(None);
    }
    let text = emit::document_within(object, OUTPUT_BYTES_MAX).ok_or(Problem::TooLarge)?;
    let (text, used) = evaluate::evaluate(&parse::parse(&text)?, values)?;
    let is_secret = used.iter().any(|name| values.secrets.get(name).is_some());
    if is_secret {
        refuse_secret_names(object, values)?;
    }
    let secret = is_secret.then(|| digest(object, &used, values));
    Ok(Some(Substituted { value: read(&text)?, secret }))
}

/// The text with its variables substituted.
pub fn substitute_text(text: &str, variables: &Variables) -> Result<String, Problem> {
    let values = Values { variables, secrets: &SecretValues::default(), from: &[] };
    Ok(evaluate::evaluate(&parse::parse(text)?, &values)?.0)
}

fn refuse_secret_names(object: &Value, values: &Values<'_>) -> Result<(), Problem> {
    const FIELDS: [(&str, &str); 4] = [
        ("/apiVersion", "apiVersion"),
        ("/kind", "kind"),
        ("/metadata/name", "metadata.name"),
        ("/metadata/namespace", "metadata.namespace"),
    ];
    for (pointer, field) in FIELDS {
        let Some(text) = object.pointer(pointer).and_then(Value::as_str) else { continue };
        let (_, used) = evaluate::evaluate(&parse::parse(text)?, values)?;
        if let Some(name) = used.into_iter().find(|name| values.secrets.get(name).is_some()) {
            return Err(Problem::SecretInName { name: shortened(&name), field });
        }
    }
    Ok(())
}

/// Says whether an object is another one without the values of Secrets, of
/// which even a digest could be guessed at.
fn digest(object: &Value, used: &BTreeSet<String>, values: &Values<'_>) -> Digest {
    let used: Vec<Value> = used
        .iter()
        .map(|name| match values.secrets.version_of(name) {
            Some(version) => json!([name, version]),
            None => json!([name, null, values.variables.get(name)]),
        })
        .collect();
    Digest::of(json!([object, used]).to_string().as_bytes())
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
