//! Where an object came from, for `buildMetadata`.

use std::fmt::Write as _;

use leeward_yaml::emit;

/// A file that declared an object, or a kustomization or configuration that
/// generated or transformed it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Origin {
    pub(crate) path: String,
    pub(crate) configured_in: String,
    pub(crate) configured_by: Vec<(&'static str, String)>,
}

impl Origin {
    pub(crate) fn append(&self, path: &str) -> Self {
        Self { path: clean(&format!("{}/{path}", self.path)), ..self.clone() }
    }

    /// Done by a built-in that a kustomization configures.
    pub(crate) fn builtin(folder: &str, file_name: &str, kind: &str) -> Self {
        Self {
            path: String::new(),
            configured_in: clean(&format!("{folder}/{file_name}")),
            configured_by: vec![("apiVersion", "builtin".to_owned()), ("kind", kind.to_owned())],
        }
    }

    /// The text of the annotation.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        for (key, value) in [("path", &self.path), ("configuredIn", &self.configured_in)] {
            if !value.is_empty() {
                let _ = writeln!(text, "{key}: {}", scalar(value));
            }
        }
        let by: Vec<String> = self
            .configured_by
            .iter()
            .filter(|(_, value)| !value.is_empty())
            .map(|(key, value)| format!("  {key}: {}\n", scalar(value)))
            .collect();
        if !by.is_empty() {
            text.push_str("configuredBy:\n");
            text.extend(by);
        }
        text
    }
}

/// The text of the annotation about several.
pub(crate) fn list_text(origins: &[Origin]) -> String {
    let mut text = String::new();
    for origin in origins {
        for (index, line) in origin.text().lines().enumerate() {
            text.push_str(if index == 0 { "- " } else { "  " });
            text.push_str(line);
            text.push('\n');
        }
    }
    text
}

fn scalar(value: &str) -> String {
    emit::document(&serde_json::Value::String(value.to_owned())).trim_end().to_owned()
}

/// Lexically shortened, as Go's `filepath.Join` does; keeps leading `..`.
fn clean(path: &str) -> String {
    let mut segments: Vec<&str> = Vec::new();
    for segment in path.split('/').filter(|segment| !matches!(*segment, "" | ".")) {
        if segment == ".." && segments.last().is_some_and(|last| *last != "..") {
            segments.pop();
        } else {
            segments.push(segment);
        }
    }
    segments.join("/")
}
