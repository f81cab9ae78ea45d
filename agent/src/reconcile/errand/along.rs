//! What else goes when a namespace goes, so that whoever approves its deletion knows.

use std::fmt::Write as _;

use futures::StreamExt as _;
use leeward_core::model::{ClusterFault, Kind, KindVersion, ObjectKey};

use super::super::{managed::Inventory, outside::Means};
use crate::edge::Cluster;

/// Kinds that people would miss: data first, then what runs, then settings.
const MISSED: [(&str, &str, &str); 9] = [
    ("", "v1", "PersistentVolumeClaim"),
    ("apps", "v1", "StatefulSet"),
    ("apps", "v1", "Deployment"),
    ("apps", "v1", "DaemonSet"),
    ("batch", "v1", "Job"),
    ("batch", "v1", "CronJob"),
    ("", "v1", "Secret"),
    ("", "v1", "ConfigMap"),
    ("", "v1", "Service"),
];
/// Every namespace has it.
const EVERYWHERE: &str = "kube-root-ca.crt";

/// Names what is in the namespaces among these objects and is not of the app; empty
/// when nothing is, or when nobody may look.
pub(super) async fn goes_along<C: Cluster>(
    means: &Means<'_, C>,
    going: &[ObjectKey],
    inventory: &Inventory,
) -> Result<String, ClusterFault> {
    let mut told = String::new();
    for namespace in going.iter().filter(|key| key.is("", "Namespace")) {
        let lists = means.each(MISSED, async |(group, version, kind)| {
            let kind = KindVersion { kind: Kind::new(group, kind), version: version.to_owned() };
            let mut count = 0_usize;
            let mut see = |object: serde_json::Value| {
                let key = ObjectKey::of(&object);
                let is_known =
                    key.is_some_and(|key| inventory.contains_key(&key) || key.name == EVERYWHERE);
                count += usize::from(!is_known);
            };
            let listed = means.list(&kind, &namespace.name, "", &mut see).await;
            (kind, listed.map(|()| count))
        });
        let mut found: Vec<(KindVersion, usize)> = Vec::new();
        futures::pin_mut!(lists);
        while let Some((kind, count)) = lists.next().await {
            match count {
                Ok(0) | Err(ClusterFault::Forbidden { .. } | ClusterFault::UnknownKind(_)) => {}
                Ok(count) => found.push((kind, count)),
                Err(fault) => return Err(fault),
            }
        }
        found.sort_by_key(|(kind, _)| {
            MISSED.iter().position(|(_, _, name)| *name == kind.kind.kind)
        });
        let found: Vec<String> =
            found.into_iter().map(|(kind, count)| format!("{count} {}", kind.kind.kind)).collect();
        if !found.is_empty() {
            let (name, found) = (&namespace.name, found.join(", "));
            let _never_fails =
                write!(told, "; with Namespace {name} goes what is not of this app: {found}");
        }
    }
    Ok(told)
}
