//! Variables that manifests may use.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Variables of one app, or of one object of the cluster; people write ten.
pub const VARIABLES_MAX: usize = 200;

/// Bytes of one value. Every revision that an app keeps has its values with it.
pub const VALUE_BYTES_MAX: usize = 4 << 10;

/// Names with their values, which have no newlines.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Variables(BTreeMap<String, String>);

impl Variables {
    pub const NONE: Self = Self(BTreeMap::new());

    /// Sets a variable, also one that is set already. Newlines are removed
    /// from the value, as Flux does.
    pub fn set(&mut self, name: &str, value: &str) -> Result<(), BadName> {
        if !is_variable_name(name) {
            return Err(BadName(name.chars().take(60).collect()));
        }
        self.0.insert(name.to_owned(), value.replace('\n', ""));
        Ok(())
    }

    pub(crate) fn unset(&mut self, name: &str) {
        self.0.remove(name);
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// Sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// What an app may use: its own variables over those of the agent over
    /// what the cluster is called and labelled.
    ///
    /// `label_NAME` has `_` for what of a label's name no variable can have.
    pub fn of_app(
        app: &BTreeMap<String, String>,
        agent: &BTreeMap<String, String>,
        cluster: &str,
        labels: &BTreeMap<String, String>,
    ) -> Result<Self, BadName> {
        let mut variables = Self::default();
        variables.set("cluster_name", cluster)?;
        for (label, value) in labels {
            let allowed = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
            let name: String = label.chars().map(allowed).collect();
            variables.set(&format!("label_{name}"), value)?;
        }
        for (name, value) in agent.iter().chain(app) {
            variables.set(name, value)?;
        }
        Ok(variables)
    }
}

/// Whether a variable can have the name: a letter or `_`, then also digits.
pub fn is_variable_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_')
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not the name of a variable: a letter or `_`, then letters, digits and `_`")]
pub struct BadName(String);

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn the_app_wins_over_the_agent_and_the_agent_over_what_is_built_in() {
        let app = texts(&[("a", "app"), ("b", "app")]);
        let agent = texts(&[("b", "agent"), ("c", "agent"), ("label_ring", "agent")]);
        let labels = texts(&[("ring", "canary"), ("example.com-site", "north")]);
        let variables = Variables::of_app(&app, &agent, "shop", &labels).unwrap();
        let found = ["a", "b", "c", "label_ring", "label_example_com_site", "cluster_name", "d"]
            .map(|name| variables.get(name));
        let expected = ["app", "app", "agent", "agent", "north", "shop"].map(Some);
        assert_eq!((&found[..6], found[6]), (&expected[..], None));
    }
}
