//! The order of the output.

use leeward_yaml::sort::sorted;

use crate::{
    error::{Outcome, Problem},
    id::{FIRST, Gvk, LAST, ResId, rank},
    kustomization::SortOptions,
    resmap::ResMap,
};

/// Sorts as the kustomization, or else the caller, wants it.
pub(crate) fn sort(map: &mut ResMap, options: &SortOptions) -> Outcome<()> {
    let wrong = |message: &str| -> Outcome<()> {
        let field = "sortOptions".to_owned();
        Err(Problem::Field { field, message: message.to_owned() }.into())
    };
    match (options.order.as_str(), &options.legacy) {
        ("fifo", None) => Ok(()),
        ("fifo", Some(_)) => wrong("legacySortOptions needs the order legacy"),
        ("legacy", lists) => {
            let standard = || (FIRST.map(str::to_owned).to_vec(), LAST.map(str::to_owned).to_vec());
            let (first, last) = lists.clone().unwrap_or_else(standard);
            sort_legacy(map, &first, &last);
            Ok(())
        }
        _ => wrong("order must be fifo or legacy"),
    }
}

fn sort_legacy(map: &mut ResMap, first: &[String], last: &[String]) {
    let keyed: Vec<_> = std::mem::take(&mut map.list)
        .into_iter()
        .map(|resource| {
            let id = resource.id();
            (rank(&id.gvk.kind, first, last), gvk_text(&id.gvk), id_text(&id), resource)
        })
        .collect();
    let keyed = sorted(keyed, &|a, b| {
        if a.3.gvk() == b.3.gvk() {
            return a.2.cmp(&b.2);
        }
        a.0.cmp(&b.0).then_with(|| {
            let is_namespace = |kind: &str| kind == "Namespace";
            let both = is_namespace(a.3.kind()) && is_namespace(b.3.kind());
            // The real Namespaces before what others call so.
            let order = a.1.cmp(&b.1);
            if both { order.reverse() } else { order }
        })
    });
    map.list = keyed.into_iter().map(|(.., resource)| resource).collect();
}

fn gvk_text(gvk: &Gvk) -> String {
    let or = |text: &str, none: &'static str| {
        if text.is_empty() { none.to_owned() } else { text.to_owned() }
    };
    format!("{}_{}_{}", or(&gvk.group, "~G"), or(&gvk.version, "~V"), or(&gvk.kind, "~K"))
}

fn id_text(id: &ResId) -> String {
    let namespace = if id.namespace.is_empty() { "~X" } else { &id.namespace };
    let name = if id.name.is_empty() { "~N" } else { &id.name };
    format!("{}|{namespace}|{name}", id.gvk)
}
