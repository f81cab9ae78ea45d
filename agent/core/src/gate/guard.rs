//! The prune guard: what deletes much, or deletes what cannot be got back,
//! waits for a person.

use std::collections::BTreeSet;

use super::{Hold, HoldReason, MAX_SHOWN};
use crate::{
    model::{Digest, ObjectKey, PruneGuard},
    plan::marks::is_foundation,
};

/// Objects that a sentence names before it says how many more there are.
const NAMED_OBJECTS: usize = 3;

/// Refuses a plan whose deletions need confirmation.
///
/// `total` is how many objects the app has now. `confirmed` are protected
/// objects whose own annotation says that they may go. `empty_render` says that
/// Git declares nothing at all for an app that has objects.
pub fn guard(
    prunes: &[ObjectKey],
    total: usize,
    limits: &PruneGuard,
    empty_render: bool,
    confirmed: &BTreeSet<ObjectKey>,
) -> Result<(), Hold> {
    if prunes.is_empty() {
        return Ok(());
    }
    let set = Some(set_digest(prunes));
    let objects = shown(prunes);
    let hold = |detail| Err(Hold { reason: HoldReason::PruneGuard, detail, set, objects });
    if empty_render {
        return hold(format!(
            "Git declares nothing any more, and the app has {total} objects: {}",
            named(prunes)
        ));
    }
    let protected: Vec<ObjectKey> = prunes
        .iter()
        .filter(|key| is_protected(key) && !confirmed.contains(key))
        .cloned()
        .collect();
    if !protected.is_empty() {
        return hold(format!(
            "would delete {} of a kind that takes data or other objects with it: {}",
            protected.len(),
            named(&protected)
        ));
    }
    if exceeds(prunes.len(), total, limits) {
        return hold(format!(
            "would delete {} of {total} objects, more than {} and more than {:.0} %: {}",
            prunes.len(),
            limits.max_objects,
            limits.max_share * 100.0,
            named(prunes)
        ));
    }
    Ok(())
}

/// Returns the digest of a set of deletions, by which an approval knows it again.
fn set_digest(objects: &[ObjectKey]) -> Digest {
    let mut names: Vec<String> = objects.iter().map(ToString::to_string).collect();
    names.sort_unstable();
    Digest::of(names.join("\n").as_bytes())
}

/// The objects by name, what loses data first.
fn shown(prunes: &[ObjectKey]) -> Vec<ObjectKey> {
    let mut shown: Vec<ObjectKey> = prunes.to_vec();
    shown.sort_by_key(|key| !loses_data(key));
    shown.truncate(MAX_SHOWN);
    shown
}

/// Whether data is gone for good with an object: volumes, and what takes all that is in
/// it along.
pub fn loses_data(key: &ObjectKey) -> bool {
    is_foundation(key) || key.is("", "PersistentVolumeClaim") || key.is("", "PersistentVolume")
}

/// Kinds whose deletion takes data or other objects with it.
pub fn is_protected(key: &ObjectKey) -> bool {
    is_foundation(key) || key.is("", "PersistentVolumeClaim") || key.is("apps", "StatefulSet")
}

fn exceeds(prunes: usize, total: usize, limits: &PruneGuard) -> bool {
    let many = u32::try_from(prunes).unwrap_or(u32::MAX) > limits.max_objects;
    #[expect(clippy::cast_precision_loss, reason = "apps have fewer than 2^52 objects")]
    let share = prunes as f64 / total.max(1) as f64;
    // Written so that a share that is not a number holds.
    let within_share = share <= limits.max_share;
    many && !within_share
}

fn named(keys: &[ObjectKey]) -> String {
    let first: Vec<String> = keys.iter().take(NAMED_OBJECTS).map(ToString::to_string).collect();
    match keys.len().saturating_sub(NAMED_OBJECTS) {
        0 => first.join(", "),
        more => format!("{} and {more} more", first.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: PruneGuard = PruneGuard { max_objects: 3, max_share: 0.3, first: false };

    fn key(group: &str, kind: &str, name: &str) -> ObjectKey {
        ObjectKey {
            group: group.to_owned(),
            kind: kind.to_owned(),
            namespace: "shop".to_owned(),
            name: name.to_owned(),
        }
    }

    fn maps(count: usize) -> Vec<ObjectKey> {
        (0..count).map(|index| key("", "ConfigMap", &format!("c{index}"))).collect()
    }

    fn held(prunes: &[ObjectKey], total: usize, empty: bool) -> Option<String> {
        guard(prunes, total, &LIMITS, empty, &BTreeSet::new()).err().map(|hold| hold.detail)
    }

    #[test]
    fn few_objects_go_whatever_their_share() {
        assert_eq!(held(&maps(3), 4, false), None);
    }

    #[test]
    fn a_small_share_goes_whatever_its_count() {
        assert_eq!(held(&maps(30), 100, false), None);
    }

    #[test]
    fn many_objects_that_are_a_large_share_are_held() {
        insta::assert_snapshot!(held(&maps(31), 100, false).unwrap(), @"would delete 31 of 100 objects, more than 3 and more than 30 %: ConfigMap shop/c0, ConfigMap shop/c1, ConfigMap shop/c2 and 28 more");
    }

    #[test]
    fn one_object_of_a_protected_kind_is_held() {
        for (group, kind) in [
            ("", "Namespace"),
            ("", "PersistentVolumeClaim"),
            ("apps", "StatefulSet"),
            ("apiextensions.k8s.io", "CustomResourceDefinition"),
        ] {
            assert!(held(&[key(group, kind, "db")], 100, false).is_some(), "{kind}");
        }
        insta::assert_snapshot!(held(&[key("apps", "StatefulSet", "db")], 100, false).unwrap(), @"would delete 1 of a kind that takes data or other objects with it: StatefulSet.apps shop/db");
    }

    #[test]
    fn a_protected_object_whose_own_mark_confirms_it_goes() {
        let db = key("apps", "StatefulSet", "db");
        let confirmed = BTreeSet::from([db.clone()]);
        assert_eq!(guard(&[db], 100, &LIMITS, false, &confirmed), Ok(()));
    }

    #[test]
    fn an_empty_render_is_held_however_small_the_app() {
        insta::assert_snapshot!(held(&maps(1), 1, true).unwrap(), @"Git declares nothing any more, and the app has 1 objects: ConfigMap shop/c0");
        assert_eq!(held(&[], 0, true), None);
    }

    #[test]
    fn a_share_that_is_not_a_number_holds() {
        let limits = PruneGuard { max_objects: 3, max_share: f64::NAN, first: false };
        assert!(guard(&maps(4), 100, &limits, false, &BTreeSet::new()).is_err());
    }

    #[test]
    fn an_approval_knows_its_set_in_any_order_and_no_other() {
        let (mut prunes, set) = (maps(9), |prunes: &[ObjectKey]| {
            guard(prunes, 9, &LIMITS, false, &BTreeSet::new()).unwrap_err().set
        });
        let shown = set(&prunes);
        prunes.reverse();
        assert_eq!(set(&prunes), shown);
        prunes.pop();
        assert_ne!(set(&prunes), shown);
    }

    proptest::proptest! {
        #[test]
        fn what_passes_the_guard_never_exceeds_it(
            gone in 0..40_usize,
            more in 0..60_usize,
            max_objects in 0..10_u32,
            max_share in 0.0..1.0_f64,
        ) {
            let prunes = maps(gone);
            let total = prunes.len() + more;
            let limits = PruneGuard { max_objects, max_share, first: false };
            if guard(&prunes, total, &limits, false, &BTreeSet::new()).is_ok() {
                let few = prunes.len() <= usize::try_from(max_objects).unwrap();
                #[expect(clippy::cast_precision_loss, reason = "small numbers")]
                let small = prunes.len() as f64 <= max_share * total as f64 + 1e-9;
                proptest::prop_assert!(few || small);
            }
        }
    }
}
