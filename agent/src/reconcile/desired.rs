//! From a revision in the store to manifests that are ready to be sent.

use std::{
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
};

use leeward_core::{
    git::EMPTY_TREE,
    model::{
        AppSpec, ClusterFault, GitId, Kind, KindVersion, Manifest, ObjectFault, ObjectKey,
        Revision, Scope, VariableSource,
    },
    plan::{
        ignore::{IgnoredFields, ignored},
        marks::Marks,
        order::{PlanInput, Stage, plan},
        scope::{declared_scope, resolve_scopes},
        stamp::stamped,
    },
    render::{
        Decrypted, Limits, TreeFiles, folder_with_secrets,
        substitute::{SecretValues, Values},
    },
};
use serde_json::Value;

use super::{preflight::fault_of, reconciler::Reconciler};
use crate::{
    age_keys,
    config::{SopsConfig, SourceConfig},
    edge::Cluster,
    store::Store,
};

/// An app's objects as they are to be, stamped with owner and revision.
#[derive(Debug)]
pub(super) struct Desired {
    pub(super) manifests: Vec<Manifest>,
    pub(super) marks: BTreeMap<ObjectKey, Marks>,
    /// Fields that Git does not decide, by object.
    pub(super) ignored: BTreeMap<ObjectKey, IgnoredFields>,
    /// Objects of kinds that the API server does not serve (yet), and that no
    /// CRD of this revision brings.
    pub(super) unknown: Vec<ObjectFault>,
}

impl Desired {
    pub(super) fn get(&self, key: &ObjectKey) -> Option<&Manifest> {
        self.manifests.iter().find(|manifest| manifest.key == *key)
    }

    pub(super) fn mark(&self, key: &ObjectKey) -> Marks {
        self.marks.get(key).cloned().unwrap_or_default()
    }

    /// Every stage of the revision, as if nothing were there yet.
    pub(super) fn stages(&self) -> Vec<Stage> {
        let input = PlanInput {
            desired: &self.manifests,
            ignored: &self.ignored,
            inventory: &BTreeMap::new(),
            drifted: &BTreeSet::new(),
        };
        plan(&input).map(|plan| plan.stages).unwrap_or_default()
    }

    /// Whether the namespace or the kind of an object comes with this revision.
    pub(super) fn brings_what_it_needs(&self, key: &ObjectKey) -> bool {
        self.manifests.iter().any(|manifest| {
            (manifest.key.is("", "Namespace") && manifest.key.name == key.namespace)
                || declared_scope(&manifest.body).is_some_and(|(kind, _)| kind == key.kind())
        })
    }
}

/// Why there is no desired state.
#[derive(Debug)]
pub(super) enum Undesired {
    /// The files are at fault, and stay so until they change.
    Faulty(Vec<ObjectFault>),
    /// The store lacks a part of it: it is fetched again.
    Missing,
    /// Try again later.
    Obstacle(String),
}

impl Undesired {
    pub(super) fn into_message(self) -> String {
        self.into_faults().map_or_else(
            |message| message,
            |faults| faults.first().map(ToString::to_string).unwrap_or_default(),
        )
    }

    /// As an obstacle in a line; faults stay faults.
    pub(super) fn into_faults(self) -> Result<Vec<ObjectFault>, String> {
        match self {
            Self::Faulty(faults) => Ok(faults),
            Self::Missing => {
                Err("the revision is not whole in the store; it is fetched again".to_owned())
            }
            Self::Obstacle(message) => Err(message),
        }
    }
}

impl From<ClusterFault> for Undesired {
    fn from(fault: ClusterFault) -> Self {
        Self::Obstacle(fault.to_string())
    }
}

/// What a revision is rendered with.
#[derive(Clone, Copy)]
pub(super) struct Means<'a> {
    pub(super) store: &'a Store,
    /// How far kustomizations may reach.
    pub(super) source: &'a SourceConfig,
    pub(super) sops: &'a SopsConfig,
    /// Of Secrets that the revision takes variables from.
    pub(super) secrets: &'a SecretValues,
    /// Where variables come from, for messages.
    pub(super) from: &'a [VariableSource],
}

/// Renders a revision from the store, the age keys and the values alone. What is
/// decrypted or secret stays in memory: the store has the files as they are in Git.
pub(super) fn rendered(
    means: Means<'_>,
    shown_below: &str,
    revision: &Revision,
) -> Result<Vec<Manifest>, Undesired> {
    let Means { store, source, sops, secrets, from } = means;
    if revision.tree == EMPTY_TREE {
        return Ok(Vec::new());
    }
    let mut files = TreeFiles::new(store, revision.tree).shown_below(shown_below);
    if let Some(reach) = &revision.reach {
        let boundary = source.boundary(reach.left_out.clone());
        files = files.within(&reach.at, reach.folders.clone(), boundary);
    }
    let keys = || age_keys::read(&sops.age_key_files).map_err(|error| error.to_string());
    let files = Decrypted::new(&files, &keys);
    let values = Values { variables: &revision.variables, secrets, from };
    folder_with_secrets(&files, &Limits::default(), values).map_err(|error| {
        if error.missing {
            Undesired::Missing
        } else if files.needs_key() {
            // The content may be fine; it is not to be remembered as bad.
            Undesired::Obstacle(error.to_string())
        } else {
            Undesired::Faulty(error.faults)
        }
    })
}

/// Gives every manifest its namespace, its marks and our stamp.
fn prepared(
    manifests: Vec<Manifest>,
    scopes: &BTreeMap<Kind, Scope>,
    autoscalers: &[Value],
    app: &AppSpec,
    commit: GitId,
) -> Result<Desired, Undesired> {
    let scoped = resolve_scopes(manifests, scopes);
    let mut faults = scoped.faults;
    let mut marks = BTreeMap::new();
    for manifest in &scoped.manifests {
        match Marks::of(manifest) {
            Ok(mark) => drop(marks.insert(manifest.key.clone(), mark)),
            Err(fault) => faults.push(fault),
        }
    }
    let ignored = ignored(&scoped.manifests, &app.ignore_differences, autoscalers)
        .map_err(|more| faults.extend(more))
        .unwrap_or_default();
    if !faults.is_empty() {
        return Err(Undesired::Faulty(faults));
    }
    let unknown = scoped.unknown.iter().map(|manifest| {
        let kind = manifest.key.kind();
        let version = &manifest.version;
        fault_of(
            manifest,
            &format!("the API server does not know the kind {kind} in version {version}"),
        )
    });
    Ok(Desired {
        unknown: unknown.collect(),
        manifests: scoped
            .manifests
            .into_iter()
            .map(|one| stamped(one, &app.name, &commit))
            .collect(),
        marks,
        ignored,
    })
}

impl<C: Cluster> Reconciler<C> {
    /// The desired state of a revision; kept while the revision is worked on.
    pub(super) async fn desired(
        &mut self,
        app: &AppSpec,
        revision: &Revision,
    ) -> Result<Rc<Desired>, Undesired> {
        if let Some((content, desired)) = self.view(&app.name).desired.as_ref()
            && *content == revision.content
        {
            return Ok(Rc::clone(desired));
        }
        let secrets = self.given.secrets_of(revision)?;
        let means = Means {
            store: &self.store,
            source: &self.settings.config.source,
            sops: &self.settings.config.sops,
            secrets: &secrets,
            from: &app.substitute_from,
        };
        let manifests = match rendered(means, &app.path, revision) {
            Err(Undesired::Missing) => {
                self.ask_poll(true);
                return Err(Undesired::Missing);
            }
            manifests => manifests?,
        };
        let kinds: BTreeSet<KindVersion> = manifests.iter().map(kind_version).collect();
        let scopes = self.cluster.scopes(&kinds).await?;
        let autoscalers = self.autoscalers(&manifests).await?;
        let desired = Rc::new(prepared(manifests, &scopes, &autoscalers, app, revision.commit)?);
        if desired.unknown.is_empty() {
            self.view(&app.name).desired = Some((revision.content.clone(), Rc::clone(&desired)));
        }
        Ok(desired)
    }

    /// The autoscalers of the whole cluster, when the revision declares replicas:
    /// whoever made them, their fields are not ours to fight over.
    async fn autoscalers(&self, manifests: &[Manifest]) -> Result<Vec<Value>, ClusterFault> {
        if !manifests.iter().any(|manifest| manifest.body["spec"].get("replicas").is_some()) {
            return Ok(Vec::new());
        }
        let kind = KindVersion {
            kind: Kind::new("autoscaling", "HorizontalPodAutoscaler"),
            version: "v2".to_owned(),
        };
        let mut found = Vec::new();
        match self.cluster.list(&kind, "", "", |autoscaler| found.push(autoscaler)).await {
            // A cluster without the kind, or a role without the right, has none for us.
            Err(ClusterFault::UnknownKind(_) | ClusterFault::Forbidden { .. }) => Ok(Vec::new()),
            answer => answer.map(|()| found),
        }
    }
}

pub(super) fn kind_version(manifest: &Manifest) -> KindVersion {
    KindVersion { kind: manifest.key.kind(), version: manifest.version.clone() }
}

#[cfg(test)]
mod tests {
    use camino::Utf8PathBuf;
    use leeward_core::{
        git::{Object, ObjectType, Objects as _},
        model::{ContentId, Variables},
    };

    use super::*;

    const SEALED: &[u8] = include_bytes!("../../sops/src/vectors/global.yaml");
    const KEY: &[u8] = include_bytes!("../../sops/src/vectors/keys-global.txt");

    fn source() -> SourceConfig {
        let file = "[cluster]\nname = \"a\"\n[source]\nurl = \"https://a/b.git\"\npath = \"a\"\n";
        let text = Some(file.to_owned());
        let sources = crate::config::Sources { text, ..crate::config::Sources::default() };
        crate::config::load(&sources).unwrap().config.source
    }

    fn object(kind: ObjectType, data: Vec<u8>) -> Object {
        let git = match kind {
            ObjectType::Tree => gix_object::Kind::Tree,
            _ => gix_object::Kind::Blob,
        };
        let id = gix_object::compute_hash(gix_hash::Kind::Sha1, git, &data).unwrap();
        Object { id: leeward_core::git::git_id(&id), kind, data }
    }

    #[test]
    fn a_decrypted_revision_leaves_no_plaintext_in_the_store_and_waits_for_its_key() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let root = Utf8PathBuf::from_path_buf(folder.path().to_owned()).unwrap();
        let store = Store::open(&root.join("store"), 16 << 20).unwrap().store;
        let blob = object(ObjectType::Blob, SEALED.to_vec());
        let tree = [b"100644 secret.yaml\0", blob.id.as_bytes()].concat();
        let tree = object(ObjectType::Tree, tree);
        store.write(&[blob, tree.clone()]).unwrap();
        let content = ContentId(tree.id.to_string());
        let revision = Revision {
            commit: GitId::NULL,
            tree: tree.id,
            content,
            reach: None,
            variables: Variables::default(),
            secrets: Vec::new(),
        };
        let sops = SopsConfig { age_key_files: vec![root.join("age.key")] };

        let secrets = SecretValues::default();
        let source = source();
        let means =
            Means { store: &store, source: &source, sops: &sops, secrets: &secrets, from: &[] };
        let early = rendered(means, "", &revision).unwrap_err();
        assert!(matches!(&early, Undesired::Obstacle(why) if why.contains("age.key")), "{early:?}");
        std::fs::write(root.join("age.key"), KEY).unwrap();
        let mode = std::fs::Permissions::from_mode(0o600);
        std::fs::set_permissions(root.join("age.key"), mode).unwrap();
        let manifests = rendered(means, "", &revision).unwrap();
        assert_eq!(manifests[0].body["data"]["key"], "Z2xvYmFsLXZhbHVl");

        drop(store);
        let file = std::fs::read(root.join("store/leeward.redb")).unwrap();
        for plaintext in ["global-value", "Z2xvYmFsLXZhbHVl"] {
            assert!(!file.windows(plaintext.len()).any(|part| part == plaintext.as_bytes()));
        }
    }
}
