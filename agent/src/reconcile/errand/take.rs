//! Takes the fields of another manager, because a person said so.

use std::collections::BTreeSet;

use futures::StreamExt as _;
use leeward_core::{
    model::{ClusterFault, Manifest, ObjectKey, Origin},
    plan::takeover::{managers, taken_from},
};
use leeward_wire::control::Response;

use super::super::{commands::refused, outside::Means};
use crate::edge::{ApplyMode, Cluster};

/// Objects that an answer names before it says how many more there are.
const NAMED: usize = 5;

/// What came of one object.
enum Taken {
    Yes(ObjectKey),
    /// The manager has nothing in it; these have.
    Nothing(BTreeSet<String>),
}

/// Takes what a manager owns in these objects, each with its version.
pub(in crate::reconcile) async fn take_from<C: Cluster>(
    means: &Means<'_, C>,
    objects: Vec<(ObjectKey, String)>,
    manager: &str,
) -> Response {
    let answers = means.each(objects, async |(key, version)| {
        let taken = take_one(means, &key, &version, manager).await;
        (key, taken)
    });
    futures::pin_mut!(answers);
    let (mut taken, mut others, mut faults) = (Vec::new(), BTreeSet::new(), Vec::new());
    while let Some((key, answer)) = answers.next().await {
        match answer {
            Ok(Taken::Yes(key)) => taken.push(key.to_string()),
            Ok(Taken::Nothing(managers)) => others.extend(managers),
            Err(fault) => faults.push(format!("{key}: {fault}")),
        }
    }
    if let Some(fault) = faults.first() {
        let message = format!("{} of the objects could not be taken over: {fault}", faults.len());
        return refused(&message, Some("the others were; the same command tries again"));
    }
    if taken.is_empty() {
        let others: Vec<String> = others.into_iter().collect();
        let hint = match others.as_slice() {
            [] => "no other manager has fields that are applied".to_owned(),
            all => format!("the managers are: {}", all.join(", ")),
        };
        return refused(&format!("{manager} owns nothing in these objects"), Some(&hint));
    }
    let count = taken.len();
    let more = count.saturating_sub(NAMED);
    taken.truncate(NAMED);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let named = taken.join(", ");
    let message = format!("took the fields of {manager} in {count} objects: {named}{more}");
    Response::Done { message }
}

async fn take_one<C: Cluster>(
    means: &Means<'_, C>,
    key: &ObjectKey,
    version: &str,
    manager: &str,
) -> Result<Taken, ClusterFault> {
    let Some(live) = means.get(key, version).await? else {
        return Ok(Taken::Nothing(BTreeSet::new()));
    };
    let Some(body) = taken_from(&live, manager) else {
        return Ok(Taken::Nothing(managers(&live)));
    };
    let Some(patch) = Manifest::new(body, Origin::default()) else {
        return Ok(Taken::Nothing(BTreeSet::new()));
    };
    means.apply(&patch, ApplyMode::TakeOver).await?;
    Ok(Taken::Yes(key.clone()))
}
