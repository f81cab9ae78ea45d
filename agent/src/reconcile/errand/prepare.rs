//! From a revision in the store to objects that are ready to be sent.

use std::{collections::BTreeSet, sync::Arc};

use leeward_core::{
    git::EMPTY_TREE,
    model::{
        AppSpec, ClusterFault, Kind, KindVersion, Manifest, ObjectFault, Revision, VariableSource,
    },
    plan::desired::{Desired, Surroundings, kind_version},
    render::{
        Decrypted, Request, TreeFiles, folder,
        substitute::{SecretValues, Values},
    },
};
use serde_json::Value;

use super::super::outside::Means;
use crate::{
    age_keys,
    config::{SopsConfig, SourceConfig},
    edge::Cluster,
    store::Store,
};

/// Why there is no desired state.
#[derive(Debug)]
pub(in crate::reconcile) enum Undesired {
    /// The files are at fault, and stay so until they change.
    Faulty(Vec<ObjectFault>),
    /// The store lacks a part of it: it is fetched again.
    Missing,
    /// Try again later.
    Obstacle(String),
}

impl Undesired {
    pub(in crate::reconcile) fn into_message(self) -> String {
        self.into_faults().map_or_else(
            |message| message,
            |faults| faults.first().map(ToString::to_string).unwrap_or_default(),
        )
    }

    /// Returns the faults, or the obstacle in a line.
    pub(in crate::reconcile) fn into_faults(self) -> Result<Vec<ObjectFault>, String> {
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

/// Everything that a revision is rendered from, besides the store.
#[derive(Clone, Debug)]
pub(in crate::reconcile) struct Recipe {
    pub(in crate::reconcile) spec: AppSpec,
    pub(in crate::reconcile) revision: Revision,
    /// How far kustomizations may reach.
    pub(in crate::reconcile) source: SourceConfig,
    pub(in crate::reconcile) sops: SopsConfig,
    /// The values of Secrets that the revision takes variables from.
    pub(in crate::reconcile) secrets: SecretValues,
}

impl Recipe {
    /// Where variables come from, for messages.
    fn from(&self) -> &[VariableSource] {
        &self.spec.substitute_from
    }
}

/// Renders a revision and asks the cluster what it takes to send its objects.
pub(in crate::reconcile) async fn prepare<C: Cluster>(
    means: &Means<'_, C>,
    recipe: Recipe,
) -> Result<Arc<Desired>, Undesired> {
    let recipe = Arc::new(recipe);
    let (store, rendering) = (Arc::clone(means.store()), Arc::clone(&recipe));
    let manifests = means.offload().run(move || rendered(&store, &rendering)).await;
    let manifests = manifests.unwrap_or_else(|| Err(stopping()))?;
    let kinds: BTreeSet<KindVersion> = manifests.iter().map(kind_version).collect();
    let scopes = means.cluster().scopes(&kinds).await?;
    let autoscalers = autoscalers(means, &manifests).await?;
    let surroundings = Surroundings { scopes, autoscalers };
    let prepared = means.offload().run(move || {
        let Recipe { spec, revision, .. } = &*recipe;
        Desired::prepare(manifests, &surroundings, spec, revision.commit)
            .map(Arc::new)
            .map_err(Undesired::Faulty)
    });
    prepared.await.unwrap_or_else(|| Err(stopping()))
}

fn stopping() -> Undesired {
    Undesired::Obstacle("the agent is stopping".to_owned())
}

/// Renders a revision from the store, the age keys and the values alone. What is
/// decrypted or secret stays in memory: the store has the files as they are in Git.
fn rendered(store: &Store, recipe: &Recipe) -> Result<Vec<Manifest>, Undesired> {
    let Recipe { spec, revision, source, sops, secrets } = recipe;
    if revision.tree == EMPTY_TREE {
        return Ok(Vec::new());
    }
    let mut files = TreeFiles::new(store, revision.tree).shown_below(&spec.path);
    if let Some(reach) = &revision.reach {
        let boundary = source.boundary(reach.left_out.clone());
        files = files.within(&reach.at, reach.folders.clone(), boundary);
    }
    let keys = || age_keys::read(&sops.age_key_files).map_err(|error| error.to_string());
    let files = Decrypted::new(&files, &keys);
    let values = Values { variables: &revision.variables, secrets, from: recipe.from() };
    folder(&Request { values, ..Request::of(&files) }).map_err(|error| {
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

/// Lists the autoscalers of the whole cluster, when the revision declares something
/// that can be scaled: whoever made them, their fields are not ours to fight over, and
/// replicas that Git ceased to declare keep their value.
async fn autoscalers<C: Cluster>(
    means: &Means<'_, C>,
    manifests: &[Manifest],
) -> Result<Vec<Value>, ClusterFault> {
    let can_scale = |manifest: &Manifest| {
        matches!(manifest.key.kind.as_str(), "Deployment" | "StatefulSet" | "ReplicaSet")
            || manifest.body["spec"].get("replicas").is_some()
    };
    if !manifests.iter().any(can_scale) {
        return Ok(Vec::new());
    }
    let kind = KindVersion {
        kind: Kind::new("autoscaling", "HorizontalPodAutoscaler"),
        version: "v2".to_owned(),
    };
    let mut found = Vec::new();
    match means.list(&kind, "", "", |autoscaler| found.push(autoscaler)).await {
        // A cluster without the kind, or a role without the right, has none for us.
        Err(ClusterFault::UnknownKind(_) | ClusterFault::Forbidden { .. }) => Ok(Vec::new()),
        answer => answer.map(|()| found),
    }
}

#[cfg(test)]
mod tests {
    use camino::Utf8PathBuf;
    use leeward_core::{
        git::{Object, ObjectType, Objects as _},
        model::{ContentId, GitId, Variables},
    };

    use super::*;

    const SEALED: &[u8] = include_bytes!("../../../sops/src/vectors/global.yaml");
    const KEY: &[u8] = include_bytes!("../../../sops/src/vectors/keys-global.txt");

    fn source() -> SourceConfig {
        let file = "[cluster]\nname = \"a\"\n[source]\nurl = \"https://a/b.git\"\npath = \"a\"\n";
        let text = Some(file.to_owned());
        let sources = crate::config::Sources { text, ..crate::config::Sources::default() };
        crate::config::load(&sources).unwrap().config.source
    }

    fn object(kind: ObjectType, data: Vec<u8>) -> Object {
        let id = leeward_core::git::hash_object(kind, &data).unwrap();
        Object { id, kind, data }
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
        let recipe = Recipe {
            spec: super::super::tests::spec("a"),
            revision,
            source: source(),
            sops: SopsConfig { age_key_files: vec![root.join("age.key")] },
            secrets: SecretValues::default(),
        };
        let early = rendered(&store, &recipe).unwrap_err();
        assert!(matches!(&early, Undesired::Obstacle(why) if why.contains("age.key")), "{early:?}");
        std::fs::write(root.join("age.key"), KEY).unwrap();
        let mode = std::fs::Permissions::from_mode(0o600);
        std::fs::set_permissions(root.join("age.key"), mode).unwrap();
        let manifests = rendered(&store, &recipe).unwrap();
        assert_eq!(manifests[0].body["data"]["key"], "Z2xvYmFsLXZhbHVl");

        drop(store);
        let file = std::fs::read(root.join("store/leeward.redb")).unwrap();
        for plaintext in ["global-value", "Z2xvYmFsLXZhbHVl"] {
            assert!(!file.windows(plaintext.len()).any(|part| part == plaintext.as_bytes()));
        }
    }
}
