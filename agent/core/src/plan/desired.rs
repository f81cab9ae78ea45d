//! The desired state of an app: every object with all that a plan asks of it,
//! worked out once for a revision.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{
    ignore::{IgnoredFields, ignored},
    marks::Marks,
    order::{StageName, stage_names},
    scope::{declared_scope, resolve_scopes},
    stamp::{applied_digest, stamped},
};
use crate::model::{
    AppSpec, Digest, GitId, Kind, KindVersion, Manifest, ObjectFault, ObjectKey, Scope,
};

/// One object as it is to be, ready to be sent.
#[derive(Clone, Debug, PartialEq)]
pub struct Prepared {
    /// With its namespace resolved, and stamped with owner and revision.
    pub manifest: Manifest,
    pub marks: Marks,
    /// The digest that the inventory remembers once the apply is confirmed.
    pub digest: Digest,
    /// `None` for an object that is not sent: unmanaged, or a hook for other occasions.
    pub stage: Option<StageName>,
}

impl Prepared {
    pub fn key(&self) -> &ObjectKey {
        &self.manifest.key
    }
}

/// An app's objects at one revision.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Desired {
    /// Keys are unique.
    pub objects: Vec<Prepared>,
    /// Fields that Git does not decide, by object.
    pub ignored: BTreeMap<ObjectKey, IgnoredFields>,
    /// Objects of kinds that the API server does not serve (yet), and that no
    /// CRD of this revision declares.
    pub unknown: Vec<ObjectFault>,
    /// The keys of those, each with the reason in a few words.
    pub unserved: BTreeMap<ObjectKey, String>,
    /// The place of every key in `objects`.
    index: BTreeMap<ObjectKey, usize>,
    /// Namespaces and kinds that this revision brings along.
    namespaces: BTreeSet<String>,
    kinds: BTreeSet<Kind>,
}

/// What the cluster says that bears on how a revision is prepared.
#[derive(Clone, Debug, Default)]
pub struct Surroundings {
    /// Where objects of each served kind live.
    pub scopes: BTreeMap<Kind, Scope>,
    /// Every HorizontalPodAutoscaler: the replicas that it drives are not Git's to decide.
    pub autoscalers: Vec<Value>,
}

impl Desired {
    /// Gives every manifest its namespace, its marks, its stage and our stamp.
    /// All that is wrong is reported at once.
    pub fn prepare(
        manifests: Vec<Manifest>,
        surroundings: &Surroundings,
        app: &AppSpec,
        commit: GitId,
    ) -> Result<Self, Vec<ObjectFault>> {
        let scoped = resolve_scopes(manifests, &surroundings.scopes);
        let mut faults = scoped.faults;
        let mut marks = Vec::with_capacity(scoped.manifests.len());
        for manifest in &scoped.manifests {
            match Marks::of(manifest) {
                Ok(mark) => marks.push(mark),
                Err(fault) => faults.push(fault),
            }
        }
        let rules = &app.ignore_differences;
        let ignored = ignored(&scoped.manifests, rules, &surroundings.autoscalers)
            .map_err(|more| faults.extend(more))
            .unwrap_or_default();
        if !faults.is_empty() {
            return Err(faults);
        }
        let stages = stage_names(&scoped.manifests, &marks);
        let objects = scoped.manifests.into_iter().zip(marks).zip(stages);
        let objects = objects.map(|((manifest, marks), stage)| Prepared {
            digest: applied_digest(&manifest, ignored.get(&manifest.key)),
            manifest: stamped(manifest, &app.name, &commit),
            marks,
            stage,
        });
        let unknown: Vec<ObjectFault> = scoped.unknown.iter().map(not_served).collect();
        let keys = scoped.unknown.iter().map(|manifest| manifest.key.clone());
        let unserved = keys.zip(unknown.iter().map(|fault| fault.message.clone())).collect();
        Ok(Self { unknown, unserved, ..Self::of(objects.collect(), ignored) })
    }

    fn of(objects: Vec<Prepared>, ignored: BTreeMap<ObjectKey, IgnoredFields>) -> Self {
        let index = objects.iter().enumerate().map(|(at, one)| (one.key().clone(), at)).collect();
        let namespaces = objects.iter().filter(|one| one.key().is("", "Namespace"));
        let namespaces = namespaces.map(|one| one.key().name.clone()).collect();
        let kinds = objects.iter().filter_map(|one| declared_scope(&one.manifest.body));
        let kinds = kinds.map(|(kind, _)| kind).collect();
        Self { objects, ignored, index, namespaces, kinds, ..Self::default() }
    }

    pub fn get(&self, key: &ObjectKey) -> Option<&Prepared> {
        self.index.get(key).map(|at| &self.objects[*at])
    }

    pub fn contains(&self, key: &ObjectKey) -> bool {
        self.index.contains_key(key)
    }

    /// Whether Git wants an object to be, even if its kind is not served.
    pub fn declares(&self, key: &ObjectKey) -> bool {
        self.contains(key) || self.unserved.contains_key(key)
    }

    /// Whether the namespace or the kind of an object comes with this revision.
    pub fn brings_what_it_needs(&self, key: &ObjectKey) -> bool {
        self.namespaces.contains(&key.namespace) || self.kinds.contains(&key.kind())
    }

    /// The objects of every stage between the foundations and this one.
    pub fn earlier_than(&self, stage: StageName) -> impl Iterator<Item = &ObjectKey> {
        let is_earlier = move |one: &&Prepared| {
            one.stage.is_some_and(|own| StageName::Foundations < own && own < stage)
        };
        self.objects.iter().filter(is_earlier).map(Prepared::key)
    }
}

/// The kind and version in which a manifest is written.
pub fn kind_version(manifest: &Manifest) -> KindVersion {
    KindVersion { kind: manifest.key.kind(), version: manifest.version.clone() }
}

/// A fault of one manifest, with the place where it is declared.
pub fn fault_of(manifest: &Manifest, message: impl Into<String>) -> ObjectFault {
    ObjectFault {
        object: Some(manifest.key.to_string()),
        origin: Some(manifest.origin.to_string()),
        message: message.into(),
    }
}

fn not_served(manifest: &Manifest) -> ObjectFault {
    let (kind, version) = (manifest.key.kind(), &manifest.version);
    fault_of(manifest, format!("the API server does not know the kind {kind} in version {version}"))
}

#[cfg(test)]
pub(crate) mod tests {
    use serde_json::json;

    use super::*;
    use crate::model::{IgnoreRule, Origin};

    /// Objects as they are to be, each with the scope that its key says.
    pub(crate) fn prepared(manifests: &[Manifest], rules: &[IgnoreRule]) -> Desired {
        prepare(manifests, rules).unwrap()
    }

    fn prepare(manifests: &[Manifest], rules: &[IgnoreRule]) -> Result<Desired, Vec<ObjectFault>> {
        let scope = |key: &ObjectKey| {
            if key.namespace.is_empty() { Scope::Cluster } else { Scope::Namespaced }
        };
        let served = manifests.iter().filter(|one| one.key.kind != "Unserved");
        let scopes = served.map(|one| (one.key.kind(), scope(&one.key))).collect();
        let surroundings = Surroundings { scopes, autoscalers: Vec::new() };
        let mut spec: AppSpec = serde_json::from_value(json!({
            "name": "shop", "path": "", "depends_on": [], "heal": "always",
            "timeout": { "secs": 1, "nanos": 0 }, "soak": { "secs": 1, "nanos": 0 },
            "prune": { "max_objects": 1, "max_share": 1.0 }, "ignore_differences": [],
        }))
        .unwrap();
        spec.ignore_differences = rules.to_vec();
        Desired::prepare(manifests.to_vec(), &surroundings, &spec, GitId::NULL)
    }

    fn manifest(api_version: &str, kind: &str, wave: &str) -> Manifest {
        let body = json!({"apiVersion": api_version, "kind": kind, "metadata": {
            "name": "a", "namespace": "shop", "annotations": {"leeward.dev/wave": wave}}});
        Manifest::new(body, Origin::default()).unwrap()
    }

    #[test]
    fn every_bad_mark_is_a_fault() {
        let bad = |kind| manifest("v1", kind, "x");
        assert_eq!(prepare(&[bad("ConfigMap"), bad("Secret")], &[]).unwrap_err().len(), 2);
    }

    #[test]
    fn a_kind_that_nobody_serves_is_named_and_the_rest_is_prepared() {
        let desired = prepared(
            &[manifest("v1", "ConfigMap", "0"), manifest("acme.io/v1", "Unserved", "0")],
            &[],
        );
        assert_eq!(desired.objects.len(), 1);
        insta::assert_snapshot!(desired.unknown[0].message, @"the API server does not know the kind Unserved.acme.io in version v1");
    }

    #[test]
    fn what_comes_before_a_stage_leaves_out_the_foundations() {
        let all = [
            manifest("v1", "ConfigMap", "0"),
            manifest("v1", "Secret", "2"),
            manifest("v1", "Service", "1"),
        ];
        let desired = prepared(&all, &[]);
        let earlier: Vec<String> =
            desired.earlier_than(StageName::Wave(2)).map(ToString::to_string).collect();
        assert_eq!(earlier, ["ConfigMap shop/a", "Service shop/a"]);
    }

    #[test]
    fn an_object_is_found_by_its_key_and_brings_its_namespace() {
        let body = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}});
        let namespace = Manifest::new(body, Origin::default()).unwrap();
        let desired = prepared(&[namespace, manifest("v1", "ConfigMap", "0")], &[]);
        let key = desired.objects[1].key().clone();
        assert!(desired.get(&key).is_some() && desired.brings_what_it_needs(&key));
        let elsewhere = ObjectKey { namespace: "other".to_owned(), ..key };
        assert!(!desired.contains(&elsewhere) && !desired.brings_what_it_needs(&elsewhere));
    }
}
