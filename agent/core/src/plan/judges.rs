//! What a plan changes that decides on whether other objects are accepted.
//!
//! A dry-run asks the cluster as it is today. What it refuses may be fine once
//! the CRD, the policy or the quota is in that the same plan brings: such a
//! refusal condemns nothing, and the object is tried again after those.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    desired::Desired,
    order::{Apply, Plan, stands_in_the_way},
    scope::declared_scope,
};
use crate::model::{ClusterFault, InventoryEntry, Kind, ObjectKey};

/// The judges that a plan changes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Judges {
    /// Kinds whose CRD changes.
    kinds: BTreeSet<Kind>,
    /// Namespaces whose own object, quota, limits or roles change.
    namespaces: BTreeSet<String>,
    /// Admission configurations, policies or classes change.
    everywhere: bool,
    /// Roles change, or their bindings: what may be granted, and by whom.
    roles: bool,
    /// Kinds of which objects go that hold a port or a host which a new one may want.
    freed: BTreeSet<Kind>,
}

impl Judges {
    pub fn of(
        plan: &Plan,
        desired: &Desired,
        inventory: &BTreeMap<ObjectKey, InventoryEntry>,
    ) -> Self {
        let mut judges = Self::default();
        for apply in fore(plan, inventory) {
            let body = &desired.objects[apply.index].manifest.body;
            if let Some((kind, _)) = declared_scope(body) {
                judges.kinds.insert(kind);
            } else {
                judges.add(&apply.key);
            }
        }
        judges.freed =
            plan.prunes.iter().filter(|key| is_exclusive(key)).map(ObjectKey::kind).collect();
        plan.prunes.iter().filter(|key| stands_in_the_way(key)).for_each(|key| judges.add(key));
        judges
    }

    /// Returns what of a plan may be refused for what the judges were before: all that
    /// does not go in together with them, when there are any.
    pub fn unproven(
        &self,
        plan: &Plan,
        inventory: &BTreeMap<ObjectKey, InventoryEntry>,
    ) -> BTreeSet<ObjectKey> {
        if *self == Self::default() {
            return BTreeSet::new();
        }
        let first: BTreeSet<&ObjectKey> = fore(plan, inventory).map(|apply| &apply.key).collect();
        let applies = plan.stages.iter().flat_map(|stage| &stage.applies);
        let keys = applies.map(|apply| &apply.key).filter(|key| !first.contains(key));
        keys.cloned().collect()
    }

    fn add(&mut self, key: &ObjectKey) {
        if key.group == ROLES {
            self.roles = true;
        } else if key.is("", "Namespace") {
            self.namespaces.insert(key.name.clone());
        } else if key.namespace.is_empty() {
            self.everywhere = true;
        } else {
            self.namespaces.insert(key.namespace.clone());
        }
    }

    /// Whether an object that is refused now may be accepted once the judges are
    /// in. A schema is judged by a CRD alone, a right by roles, the rest by admission.
    pub fn may_yet_accept(&self, key: &ObjectKey, fault: &ClusterFault) -> bool {
        let is_freed = self.freed.contains(&key.kind());
        let by_admission = self.everywhere || is_freed || self.namespaces.contains(&key.namespace);
        match fault {
            ClusterFault::Forbidden { .. } => self.roles,
            ClusterFault::Webhook { .. } => by_admission,
            ClusterFault::Invalid { message } => {
                self.kinds.contains(&key.kind())
                    || (by_admission && is_denial(message))
                    || (is_freed && message.contains("already allocated"))
            }
            _ => false,
        }
    }
}

/// Whether objects of this kind hold what no other of the kind can have: ports of
/// the nodes and addresses, or hosts and paths.
pub fn is_exclusive(key: &ObjectKey) -> bool {
    key.is("", "Service") || key.is("networking.k8s.io", "Ingress")
}

const ROLES: &str = "rbac.authorization.k8s.io";

/// How admission refuses: webhooks and policies deny, and quotas, limits, pod
/// security and priorities forbid. A schema that does not fit is told otherwise.
fn is_denial(message: &str) -> bool {
    ["denied", "is forbidden", "exceeded quota"].iter().any(|sign| message.contains(sign))
}

/// What goes in before the objects that were refused: every judge that the
/// cluster has already, and every CRD and namespace. A new admission
/// configuration stays last: what answers for it may come with the same plan.
pub fn fore<'a>(
    plan: &'a Plan,
    inventory: &'a BTreeMap<ObjectKey, InventoryEntry>,
) -> impl Iterator<Item = &'a Apply> {
    let known = |key: &ObjectKey| inventory.get(key).is_some_and(|entry| entry.uid.is_some());
    let applies = plan.stages.iter().flat_map(|stage| &stage.applies);
    applies.filter(move |apply| match decides(&apply.key) {
        Some(Decides::WhenNew) => true,
        Some(Decides::WhenKnown) => known(&apply.key),
        None => false,
    })
}

enum Decides {
    /// What it adds can only make more acceptable.
    WhenNew,
    /// New, it can only refuse.
    WhenKnown,
}

fn decides(key: &ObjectKey) -> Option<Decides> {
    let adds = super::marks::is_foundation(key)
        || key.group == ROLES
        || key.is("", "ServiceAccount")
        || key.kind.ends_with("Class");
    if adds {
        return Some(Decides::WhenNew);
    }
    let limits = stands_in_the_way(key) && !key.is("networking.k8s.io", "NetworkPolicy");
    limits.then_some(Decides::WhenKnown)
}

#[cfg(test)]
mod tests {
    use std::slice::from_ref;

    use serde_json::json;

    use super::*;
    use crate::{
        model::{Manifest, Origin},
        plan::{
            desired::tests::prepared,
            order::{PlanInput, plan},
        },
    };

    fn manifest(api_version: &str, kind: &str, namespace: &str) -> Manifest {
        let mut metadata = json!({ "name": "a" });
        if !namespace.is_empty() {
            metadata["namespace"] = json!(namespace);
        }
        let body = json!({"apiVersion": api_version, "kind": kind, "metadata": metadata});
        Manifest::new(body, Origin::default()).unwrap()
    }

    /// The judges of a plan that brings `brought` and deletes `gone`; `known` are there.
    fn judges(brought: &[Manifest], known: &[Manifest], gone: &[Manifest]) -> Judges {
        examined(brought, known, gone).0
    }

    /// The judges, and how many objects are unproven because of them.
    fn examined(brought: &[Manifest], known: &[Manifest], gone: &[Manifest]) -> (Judges, usize) {
        let desired = prepared(brought, &[]);
        let entry = InventoryEntry { uid: Some("u".to_owned()), ..InventoryEntry::default() };
        let inventory: BTreeMap<ObjectKey, InventoryEntry> =
            known.iter().chain(gone).map(|one| (one.key.clone(), entry.clone())).collect();
        let nothing = BTreeSet::new();
        let plan = plan(&PlanInput {
            desired: &desired,
            inventory: &inventory,
            drifted: &nothing,
            left_alone: &nothing,
        });
        let judges = Judges::of(&plan, &desired, &inventory);
        let unproven = judges.unproven(&plan, &inventory).len();
        (judges, unproven)
    }

    #[test]
    fn everything_is_unproven_where_a_judge_changes_but_for_the_judges() {
        let quota = || manifest("v1", "ResourceQuota", "shop");
        let map = || manifest("v1", "ConfigMap", "shop");
        assert_eq!(examined(&[quota(), map()], &[quota()], &[]).1, 1);
        assert_eq!(examined(&[map()], &[], &[quota()]).1, 1);
        assert_eq!(examined(&[map()], &[map()], &[map()]).1, 0);
    }

    fn invalid(message: &str) -> ClusterFault {
        ClusterFault::Invalid { message: message.to_owned() }
    }

    fn denied() -> ClusterFault {
        invalid("pods \"a\" is forbidden: exceeded quota: few")
    }

    #[test]
    fn roles_judge_what_is_not_permitted_and_nothing_else() {
        let role = || manifest("rbac.authorization.k8s.io/v1", "ClusterRole", "");
        let judges = judges(&[role()], &[], &[]);
        let key = manifest("v1", "ConfigMap", "shop").key;
        let forbidden = ClusterFault::Forbidden { message: "no".to_owned() };
        assert!(judges.may_yet_accept(&key, &forbidden));
        assert!(!judges.may_yet_accept(&key, &denied()));
    }

    #[test]
    fn a_quota_that_changes_or_goes_judges_its_namespace_and_a_new_one_does_not() {
        let quota = || manifest("v1", "ResourceQuota", "shop");
        let inside = manifest("apps/v1", "Deployment", "shop").key;
        let outside = manifest("apps/v1", "Deployment", "other").key;
        for judges in [judges(&[quota()], &[quota()], &[]), judges(&[], &[], &[quota()])] {
            assert!(judges.may_yet_accept(&inside, &denied()));
            assert!(!judges.may_yet_accept(&outside, &denied()));
            assert!(!judges.may_yet_accept(&inside, &invalid("spec.replicas: expected integer")));
        }
        assert!(!judges(&[quota()], &[], &[]).may_yet_accept(&inside, &denied()));
    }

    #[test]
    fn a_service_that_goes_frees_its_port_and_nothing_else() {
        let service = manifest("v1", "Service", "shop");
        let taken = invalid("spec.ports[0].nodePort: provided port is already allocated");
        let judges = |gone: &[Manifest]| judges(&[], &[], gone);
        assert!(judges(from_ref(&service)).may_yet_accept(&service.key, &taken));
        assert!(!judges(&[]).may_yet_accept(&service.key, &taken));
        assert!(!judges(from_ref(&service)).may_yet_accept(&service.key, &invalid("no")));
        let map = manifest("v1", "ConfigMap", "shop");
        assert!(!judges(from_ref(&map)).may_yet_accept(&map.key, &denied()));
    }

    #[test]
    fn an_admission_configuration_judges_everything_and_a_map_nothing() {
        let group = "admissionregistration.k8s.io/v1";
        let policy = || manifest(group, "ValidatingAdmissionPolicy", "");
        let key = manifest("v1", "ConfigMap", "shop").key;
        assert!(judges(&[policy()], &[policy()], &[]).may_yet_accept(&key, &denied()));
        let map = || manifest("v1", "ConfigMap", "shop");
        assert_eq!(judges(&[map()], &[map()], &[map()]), Judges::default());
    }
}
