//! Asks what the other apps want to have, before anything is deleted or changes hands.
//!
//! A commit that moves an object from one app to another deletes it in the one and
//! adds it in the other. Which of them comes first is chance; that it is a move shows
//! only to whoever reads both.

use std::collections::{BTreeMap, BTreeSet};

use leeward_core::{
    model::{AppName, ContentId, ObjectKey},
    plan::desired::Desired,
};

use super::{
    super::outside::Means,
    prepare::{Recipe, Undesired, prepare},
};
use crate::edge::Cluster;

/// Another app that is not at what Git wants of it.
#[derive(Debug)]
pub(in crate::reconcile) struct Neighbour {
    pub(in crate::reconcile) app: AppName,
    /// What it is on its way to; or why that cannot be rendered.
    pub(in crate::reconcile) recipe: Result<Recipe, String>,
    /// It has been at this for so long that nothing waits any more for its being readable.
    pub(in crate::reconcile) is_overdue: bool,
}

/// All that the other apps may want of one app's objects.
#[derive(Debug, Default)]
pub(in crate::reconcile) struct Neighbours {
    pub(in crate::reconcile) unsettled: Vec<Neighbour>,
    /// Namespaces and CRDs of the one app that hold objects of others, and whose.
    pub(in crate::reconcile) hosts: BTreeMap<ObjectKey, AppName>,
    /// Objects that apps at rest lack, since they had gone over to another one.
    pub(in crate::reconcile) missing: BTreeMap<ObjectKey, AppName>,
}

/// Why objects that one app is done with are not to be deleted.
pub(in crate::reconcile) type Claims = BTreeMap<ObjectKey, String>;

/// Finds out which of these objects other apps want. What an app wants that cannot be
/// read now is not known: then nothing is deleted for the time being.
pub(in crate::reconcile) async fn claims<C: Cluster>(
    means: &Means<'_, C>,
    neighbours: Neighbours,
    keys: &[ObjectKey],
) -> Claims {
    let mut claims = Claims::new();
    for (key, app) in neighbours.hosts {
        if keys.contains(&key) {
            claims.insert(key, format!("objects of app {app} are in it"));
        }
    }
    for (key, app) in neighbours.missing {
        if keys.contains(&key) {
            claims.insert(key, format!("it goes back to app {app}"));
        }
    }
    for Neighbour { app, recipe, is_overdue } in neighbours.unsettled {
        let desired = match recipe {
            Ok(recipe) => prepare(means, recipe).await.map_err(Undesired::into_message),
            Err(message) => Err(message),
        };
        for key in keys.iter().filter(|key| !claims.contains_key(*key)).collect::<Vec<_>>() {
            let reason = match &desired {
                Ok(desired) if desired.declares(key) => format!("it moves to app {app}"),
                Ok(desired) if holds_for(key, desired) => format!("objects of app {app} go in it"),
                Ok(_) => continue,
                Err(_) if is_overdue => continue,
                Err(why) => format!("app {app} cannot be read, and may want it: {why}"),
            };
            claims.insert(key.clone(), reason);
        }
    }
    claims
}

/// Whether an object is the namespace or the CRD of what a revision declares.
fn holds_for(key: &ObjectKey, desired: &Desired) -> bool {
    desired.objects.iter().any(|one| hosts(key, one.key()))
        || desired.unserved.keys().any(|one| hosts(key, one))
}

/// Whether one object takes the other with it when it goes.
pub(in crate::reconcile) fn hosts(host: &ObjectKey, guest: &ObjectKey) -> bool {
    if host.is("", "Namespace") {
        return guest.namespace == host.name;
    }
    let group = host.name.split_once('.').map(|(_, group)| group);
    host.is("apiextensions.k8s.io", "CustomResourceDefinition")
        && group == Some(guest.group.as_str())
}

/// What an app that owns objects is on its way to.
#[derive(Debug)]
pub(in crate::reconcile) struct Stand {
    pub(in crate::reconcile) app: AppName,
    /// `None`: it is on its way to nothing that it could be asked about.
    pub(in crate::reconcile) content: Option<ContentId>,
    /// Which of the objects it declares; or why that is not known.
    pub(in crate::reconcile) keeps: Result<BTreeSet<ObjectKey>, String>,
}

/// Asks an owner which of its objects it goes on declaring.
pub(in crate::reconcile) async fn ask_owner<C: Cluster>(
    means: &Means<'_, C>,
    app: AppName,
    recipe: Result<Recipe, String>,
    keys: &BTreeSet<ObjectKey>,
) -> Stand {
    let content = recipe.as_ref().ok().map(|recipe| recipe.revision.content.clone());
    let desired = match recipe {
        Ok(recipe) => prepare(means, recipe).await.map_err(Undesired::into_message),
        Err(message) => Err(message),
    };
    let keeps = desired.map(|desired| {
        keys.iter().filter(|key| desired.declares(key)).cloned().collect::<BTreeSet<_>>()
    });
    Stand { app, content, keeps }
}
