//! Values of Secrets: in memory only, wiped when dropped, and shown to nobody.

use std::{collections::BTreeMap, fmt};

use zeroize::Zeroizing;

use crate::model::{BadName, MASK, Variables};

/// Shorter values are not looked for in messages: they are in many words.
const MASKED_BYTES_MIN: usize = 4;

/// Variables whose values are secret.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct SecretValues(BTreeMap<String, SecretValue>);

#[derive(Clone, PartialEq, Eq)]
struct SecretValue {
    text: Zeroizing<String>,
    /// Which version of which Secret it is of.
    version: String,
}

/// Names only.
impl fmt::Debug for SecretValues {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl SecretValues {
    pub const NONE: Self = Self(BTreeMap::new());

    /// Sets a variable; `version` says which version of which Secret the value
    /// is of. Newlines are removed, as from other variables.
    pub fn set(&mut self, name: &str, value: &str, version: &str) -> Result<(), BadName> {
        Variables::default().set(name, "")?;
        let text = Zeroizing::new(value.replace('\n', ""));
        self.0.insert(name.to_owned(), SecretValue { text, version: version.to_owned() });
        Ok(())
    }

    /// Takes one value of others over; whether they have it.
    pub fn take(&mut self, name: &str, from: &Self) -> bool {
        let value = from.0.get(name).cloned();
        value.map(|value| self.0.insert(name.to_owned(), value)).is_some()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(|value| value.text.as_str())
    }

    pub(super) fn version_of(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(|value| value.version.as_str())
    }

    /// Sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// The text with every value in it replaced, also as it stands in quotes, and
    /// one that the end of the text cuts. What was made of a value (its upper
    /// case, a part of it) is not found.
    pub fn mask(&self, text: &str) -> String {
        let mut masked = text.to_owned();
        let mut values: Vec<&str> = self.0.values().map(|value| value.text.as_str()).collect();
        // The longest first, or what is left of it would stand.
        values.sort_by_key(|value| std::cmp::Reverse(value.len()));
        for value in values.into_iter().filter(|value| value.len() >= MASKED_BYTES_MIN) {
            let quoted = Zeroizing::new(serde_json::Value::from(value).to_string());
            let quoted = quoted.trim_matches('"');
            for form in [value, quoted] {
                masked = masked.replace(form, MASK);
                mask_cut(&mut masked, form);
            }
        }
        masked
    }
}

/// Messages are cut to a length: the beginning of a value may be their end.
fn mask_cut(text: &mut String, value: &str) {
    let kept = text.trim_end_matches(['…', '"', '\'']).len();
    let cut = value.char_indices().map(|(at, _)| at).rev().filter(|at| *at >= MASKED_BYTES_MIN);
    for at in cut {
        if text[..kept].ends_with(&value[..at]) {
            text.replace_range(kept - at..kept, MASK);
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secrets(pairs: &[(&str, &str)]) -> SecretValues {
        let mut secrets = SecretValues::default();
        for (name, value) in pairs {
            secrets.set(name, value, "1").unwrap();
        }
        secrets
    }

    #[test]
    fn values_are_masked_whole_quoted_within_each_other_and_where_a_message_is_cut() {
        let secrets =
            secrets(&[("a", "hunter2"), ("b", "hunter2-long"), ("c", "x\"y\\z"), ("d", "1")]);
        let masked = [
            "Invalid value: \"hunter2\": too short",
            "hunter2-long, hunter2",
            r#"found "x\"y\\z""#,
            "it ends with hunter2-l…",
            "port 1",
        ]
        .map(|text| secrets.mask(text))
        .join("\n");
        insta::assert_snapshot!(masked, @r#"
        Invalid value: "<masked>": too short
        <masked>, <masked>
        found "<masked>"
        it ends with <masked>…
        port 1
        "#);
    }

    #[test]
    fn debugging_shows_names_only() {
        assert_eq!(format!("{:?}", secrets(&[("password", "hunter2")])), r#"{"password"}"#);
    }
}
