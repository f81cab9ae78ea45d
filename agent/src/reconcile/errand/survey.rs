//! Works out what a fetched commit offers each app: which apps there are, the
//! variables that the cluster gives them, and the revision of each.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use leeward_core::{
    apps::{AppDefaults, apps},
    cycle::SourceRecord,
    model::{
        AppSpec, ClusterFault, ContentId, Digest, GitId, ObjectFault, ObjectKey, PruneGuard, Reach,
        Revision, VariableSource, Variables,
    },
    render::{
        Outside as OutsideFolder, TreeFiles,
        path::below,
        substitute::{Given, Taken, taken},
        subtree,
    },
};
use serde_json::json;

use super::super::{outside::Means, poller::seen_from};
use crate::{config::Config, edge::Cluster, store::Store};

/// An app, and its revision or what it wants.
pub(in crate::reconcile) type Offer = (AppSpec, Result<Revision, String>);
/// What is known of the objects that variables are taken from.
pub(in crate::reconcile) type Objects = BTreeMap<ObjectKey, Given>;

/// What to survey.
#[derive(Clone, Debug)]
pub(in crate::reconcile) struct Survey {
    pub(in crate::reconcile) source: Option<SourceRecord>,
    pub(in crate::reconcile) config: Arc<Config>,
    pub(in crate::reconcile) known: Arc<Objects>,
    /// Objects that revisions take variables from, which may have to be rendered again.
    pub(in crate::reconcile) needed: BTreeSet<ObjectKey>,
    /// Nothing is offered unless a variable changed.
    pub(in crate::reconcile) only_if_changed: bool,
}

/// What a survey found.
#[derive(Debug)]
pub(in crate::reconcile) struct Surveyed {
    pub(in crate::reconcile) source: Option<SourceRecord>,
    pub(in crate::reconcile) objects: Objects,
    /// `None`: there is nothing new to offer.
    pub(in crate::reconcile) offers: Option<Result<Vec<Offer>, Vec<ObjectFault>>>,
}

/// Reads the apps of the source and their variables, and makes the revisions.
pub(in crate::reconcile) async fn survey<C: Cluster>(
    means: &Means<'_, C>,
    survey: Survey,
) -> Surveyed {
    let Survey { source, config, known, needed, only_if_changed } = survey;
    let Some(source) = source else {
        return Surveyed { source: None, objects: Objects::clone(&known), offers: None };
    };
    let (store, reading, from) = (Arc::clone(means.store()), Arc::clone(&config), source.clone());
    let specs = means.offload().run(move || specs(&store, &reading, &from)).await;
    let Some(specs) = specs else {
        return Surveyed { source: None, objects: Objects::clone(&known), offers: None };
    };
    let named = specs.as_deref().unwrap_or_default().iter();
    let mut keys: BTreeSet<ObjectKey> =
        named.flat_map(|spec| &spec.substitute_from).map(VariableSource::key).collect();
    keys.extend(needed);
    let objects = read(means, keys, &known).await;
    if only_if_changed && objects == *known {
        return Surveyed { source: Some(source), objects, offers: None };
    }
    let (store, given, from) = (Arc::clone(means.store()), objects.clone(), source.clone());
    let offers = match specs {
        Err(faults) => Some(Err(faults)),
        Ok(specs) => {
            let work = move || offers(&store, &config, &from, &given, specs);
            means.offload().run(work).await
        }
    };
    Surveyed { source: Some(source), objects, offers }
}

/// Reads objects. What is known stays known while the API server does not answer.
async fn read<C: Cluster>(
    means: &Means<'_, C>,
    keys: BTreeSet<ObjectKey>,
    known: &Objects,
) -> Objects {
    let mut objects = Objects::new();
    let mut silent = None;
    for key in keys {
        // An API server that does not answer is not asked for each of them.
        let answer = match &silent {
            Some(fault) => Err(ClusterFault::clone(fault)),
            None => means.get(&key, "v1").await,
        };
        if let Err(fault) = &answer
            && fault.is_api_server()
        {
            silent = Some(fault.clone());
        }
        let answer = answer.map(|live| live.map_or(Given::Absent, |live| Given::of(&key, live)));
        let given = given(answer, known.get(&key));
        objects.insert(key, given);
    }
    objects
}

fn given(answer: Result<Given, ClusterFault>, known: Option<&Given>) -> Given {
    match (answer, known) {
        (Ok(given), _) => given,
        (Err(fault), Some(known)) if fault.is_transient() => known.clone(),
        (Err(fault), _) => Given::Unread(fault.to_string()),
    }
}

fn specs(
    store: &Store,
    config: &Config,
    source: &SourceRecord,
) -> Result<Vec<AppSpec>, Vec<ObjectFault>> {
    let files = TreeFiles::new(store, source.tree);
    let name = config.source.path.rsplit('/').next().filter(|name| !name.is_empty());
    let defaults = AppDefaults {
        heal: config.apply.heal,
        timeout: config.apply.timeout,
        soak: config.apply.soak,
        prune: PruneGuard {
            max_objects: config.apply.prune_max_objects,
            max_share: config.apply.prune_max_share,
            first: false,
        },
    };
    apps(&files, name.unwrap_or(&config.cluster.name), &defaults).map_err(|error| error.faults)
}

/// Returns the revision of every app, or what of its variables it wants.
fn offers(
    store: &Store,
    config: &Config,
    source: &SourceRecord,
    objects: &Objects,
    specs: Vec<AppSpec>,
) -> Result<Vec<Offer>, Vec<ObjectFault>> {
    let fault = |message: String| vec![ObjectFault { object: None, origin: None, message }];
    let mut offers = Vec::with_capacity(specs.len());
    for spec in specs {
        let tree = subtree(store, source.tree, &spec.path)
            .map_err(|error| fault(error.to_string()))?
            .ok_or_else(|| fault(format!("app {}: no folder {}", spec.name, spec.path)))?;
        let reach = reach(store, config, source, &spec, tree);
        let commit = source.commit;
        let revision = variables(config, &spec, objects).map(|Taken { variables, secrets }| {
            let content = ContentId(String::new());
            let revision = Revision { commit, tree, content, reach, variables, secrets };
            Revision { content: content_of(&spec, &revision), ..revision }
        });
        offers.push((spec, revision));
    }
    Ok(offers)
}

/// Returns the variables of an app; the error says which object it wants.
fn variables(config: &Config, spec: &AppSpec, objects: &Objects) -> Result<Taken, String> {
    if !spec.substitutes() {
        return Ok(Taken { variables: Variables::default(), secrets: Vec::new() });
    }
    let (cluster, none) = (&config.cluster, BTreeMap::new());
    let agent = &config.substitute.variables;
    let base = Variables::of_app(&none, agent, &cluster.name, &cluster.labels);
    let base = base.map_err(|error| error.to_string())?;
    let own = spec.substitute.as_ref().unwrap_or(&none);
    taken(base, &spec.substitute_from, own, objects)
}

/// Returns what an app's kustomizations refer to outside of its folder.
fn reach(
    store: &Store,
    config: &Config,
    source: &SourceRecord,
    spec: &AppSpec,
    tree: GitId,
) -> Option<Box<Reach>> {
    let boundary = config.source.boundary(source.left_out.clone());
    let (at, outside) = seen_from(store, &boundary, spec, tree, &source.others);
    let is_one_of = |paths: &BTreeSet<String>, folder: &str| {
        paths.iter().any(|path| below(path, folder).is_some())
    };
    let folders: BTreeMap<String, GitId> = source
        .others
        .iter()
        .filter_map(|(folder, tree)| Some((folder.clone(), (*tree)?)))
        .filter(|(folder, _)| is_one_of(&outside.found, folder))
        .collect();
    let left_out = source.left_out.iter();
    let left_out: BTreeMap<String, String> = left_out
        .filter(|(folder, _)| is_one_of(&outside.refused, folder))
        .map(|(folder, why)| (folder.clone(), why.clone()))
        .collect();
    let OutsideFolder { missed, refused, .. } = outside;
    let refers = !(folders.is_empty() && missed.is_empty() && refused.is_empty());
    refers.then(|| Box::new(Reach { at, folders, left_out }))
}

/// The tree says what is applied; what decides whether that is good belongs to
/// the content as well, or a longer timeout could never give a failed revision
/// another chance.
///
/// Of Secrets it has the versions, never a digest of values.
fn content_of(spec: &AppSpec, revision: &Revision) -> ContentId {
    let Revision { tree, reach, variables, secrets, .. } = revision;
    let is_plain = reach.is_none() && variables.is_empty() && secrets.is_empty();
    if spec.path.is_empty() && spec.ignore_differences.is_empty() && is_plain {
        return ContentId(tree.to_string());
    }
    let mut judged = json!([tree, spec.timeout, spec.soak, spec.prune, spec.ignore_differences]);
    // Only then, so that the content of every other app is called what it was.
    if let Some(parts) = judged.as_array_mut().filter(|_| !is_plain) {
        parts.push(json!([reach, variables]));
    }
    if let Some(parts) = judged.as_array_mut().filter(|_| !secrets.is_empty()) {
        parts.push(json!(secrets));
    }
    let digest = Digest::of(judged.to_string().as_bytes()).to_string();
    ContentId(digest[..40].to_owned())
}

#[cfg(test)]
mod tests {
    use leeward_core::git::EMPTY_TREE;

    use super::*;

    #[test]
    fn a_changed_variable_is_a_new_content_and_without_any_it_is_called_as_ever() {
        let spec = super::super::tests::spec("a");
        let of = |value: Option<&str>| {
            let mut variables = Variables::default();
            if let Some(value) = value {
                variables.set("a", value).unwrap();
            }
            let revision = Revision {
                commit: GitId::NULL,
                tree: EMPTY_TREE,
                content: ContentId(String::new()),
                reach: None,
                variables,
                secrets: Vec::new(),
            };
            content_of(&spec, &revision)
        };
        assert_eq!(of(None), ContentId(EMPTY_TREE.to_string()));
        assert_ne!(of(Some("1")), of(None));
        assert_ne!(of(Some("1")), of(Some("2")));
        assert_eq!(of(Some("1")), of(Some("1")));
    }

    #[test]
    fn what_is_known_stays_known_while_the_api_server_is_silent() {
        let silence = || Err(ClusterFault::Unreachable { message: "refused".to_owned() });
        let denied = Err(ClusterFault::Forbidden { message: "no".to_owned() });
        let known = Given::ConfigMap(BTreeMap::new());
        assert_eq!(given(silence(), Some(&known)), known);
        assert!(matches!(given(silence(), None), Given::Unread(_)));
        assert!(matches!(given(denied, Some(&known)), Given::Unread(_)));
        assert_eq!(given(Ok(Given::Absent), Some(&known)), Given::Absent);
    }
}
