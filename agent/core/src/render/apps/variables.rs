//! `substitute`: the variables of an app.

use std::collections::BTreeMap;

use super::{
    super::yaml::{Content, Node},
    reader::{Fields, Reader},
};
use crate::model::Variables;

/// Flux's key for variables out of the cluster, which we do not have.
pub(super) const FROM: &str = "substituteFrom";

/// Variables of one app; people write ten.
const VARIABLES_MAX: usize = 200;

/// Bytes of one value. Every revision that an app keeps has its values with it.
const VALUE_BYTES_MAX: usize = 4 << 10;

/// The app's own variables; with none, those of the agent and the cluster are
/// still substituted.
pub(super) fn own(
    reader: &mut Reader<'_>,
    node: &Node,
    path: &str,
) -> Option<BTreeMap<String, String>> {
    let Content::Mapping(entries) = &node.content else {
        reader.wrong(node, path, "a mapping of variables to texts (`{}` for none of its own)");
        return None;
    };
    if entries.len() > VARIABLES_MAX {
        let message = format!("{path} has {} variables, at most {VARIABLES_MAX}", entries.len());
        reader.fault(node.mark, message);
        return None;
    }
    let mut own = BTreeMap::new();
    for entry in entries {
        if let Err(error) = Variables::default().set(&entry.key, "") {
            reader.fault(entry.mark, format!("{path}: {error}"));
            continue;
        }
        if matches!(entry.key.as_str(), "true" | "false") {
            let message = format!("{path}: {} is a boolean in YAML, not a name", entry.key);
            reader.fault(entry.mark, message);
            continue;
        }
        let path = format!("{path}.{}", entry.key);
        let Some(value) = reader.text(&entry.value, &path) else { continue };
        if value.len() > VALUE_BYTES_MAX {
            let message = format!("{path} has {} bytes, at most {VALUE_BYTES_MAX}", value.len());
            reader.fault(entry.value.mark, message);
        }
        own.insert(entry.key.clone(), value.to_owned());
    }
    Some(own)
}

pub(super) fn refuse_from(reader: &mut Reader<'_>, app: &Fields<'_>, path: &str) {
    if app.has(FROM) {
        let message = format!(
            "{path}.{FROM} is not supported: write the values into substitute, or into \
             [substitute] of the agent's configuration"
        );
        reader.fault(app.mark_of(FROM), message);
    }
}
