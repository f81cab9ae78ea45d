//! Apps in the order of their dependencies.

use std::collections::BTreeMap;

use super::{Declared, Reader};
use leeward_yaml::Mark;

use crate::model::AppSpec;

/// Each app after those that it depends on, otherwise in the order of the
/// file. Unknown names and cycles are faults.
pub(super) fn by_dependency(reader: &mut Reader<'_>, declared: Vec<Declared>) -> Vec<AppSpec> {
    let wants = wants(reader, &declared);
    let mut placed = vec![false; declared.len()];
    let mut order = Vec::with_capacity(declared.len());
    while order.len() < declared.len() {
        let is_ready = |app: &usize| !placed[*app] && wants[*app].iter().all(|(to, _)| placed[*to]);
        let Some(ready) = (0..declared.len()).find(is_ready) else {
            refuse_cycle(reader, &declared, &wants, &placed);
            return Vec::new();
        };
        placed[ready] = true;
        order.push(ready);
    }
    let mut specs: Vec<Option<AppSpec>> = declared.into_iter().map(|app| Some(app.spec)).collect();
    order.into_iter().filter_map(|app| specs[app].take()).collect()
}

/// For each app the places of those that it depends on, and where it says so.
fn wants(reader: &mut Reader<'_>, apps: &[Declared]) -> Vec<Vec<(usize, Mark)>> {
    let mut by_name = BTreeMap::new();
    for (index, app) in apps.iter().enumerate() {
        by_name.entry(app.spec.name.as_str()).or_insert(index);
    }
    let mut all = Vec::with_capacity(apps.len());
    for app in apps {
        let mut wants = Vec::new();
        for (name, mark) in app.spec.depends_on.iter().zip(&app.depends_on_marks) {
            if let Some(index) = by_name.get(name.as_str()) {
                wants.push((*index, *mark));
            } else {
                let name: String = name.chars().take(60).collect();
                let message =
                    format!("app {:?} depends on {name:?}, which is not an app", app.spec.name);
                reader.fault(*mark, message);
            }
        }
        all.push(wants);
    }
    all
}

/// Every app that is not placed waits for another such, so following them ends in a circle.
fn refuse_cycle(
    reader: &mut Reader<'_>,
    apps: &[Declared],
    wants: &[Vec<(usize, Mark)>],
    placed: &[bool],
) {
    let next = |from: usize| wants[from].iter().find(|(to, _)| !placed[*to]).copied();
    let mut walked: Vec<usize> = Vec::new();
    let mut at = placed.iter().position(|placed| !placed);
    while let Some((from, (to, mark))) = at.and_then(|from| Some((from, next(from)?))) {
        walked.push(from);
        if let Some(start) = walked.iter().position(|seen| *seen == to) {
            let round = walked[start..].iter().chain([&to]);
            let names: Vec<&str> = round.map(|app| apps[*app].spec.name.as_str()).collect();
            reader.fault(mark, format!("dependsOn goes round in a circle: {}", names.join(" → ")));
            return;
        }
        at = Some(to);
    }
}
