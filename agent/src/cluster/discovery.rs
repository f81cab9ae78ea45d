//! Which kinds the API server serves, under which name and scope.
//!
//! Asked when a kind is not known, never on a timer. Only names and scopes are
//! kept: a whole discovery document has a hundred kilobytes and more.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use leeward_core::model::{ClusterFault, Kind, KindVersion, Scope};
use serde::Deserialize;
use tokio::time::Instant;

use super::{
    fault, null_is_default, path,
    transport::{Call, Transport},
};

/// A kind that is not served is not looked for again before this.
const REFRESH: Duration = Duration::from_secs(1);
/// Used instead of `REFRESH` while a definition was written or read a moment ago: its
/// kinds are about to appear, and somebody waits for them.
const REFRESH_AFTER_DEFINITION: Duration = Duration::from_millis(100);
/// Whoever asks so soon after a question that got no answer gets none either,
/// so that a crowd does not wait for one timeout after another.
const FAILURE_COUNTS: Duration = Duration::from_millis(200);
/// How long a definition counts as new; the API server takes well under a second.
const DEFINITION_IS_NEW: Duration = Duration::from_secs(10);

/// The whole list in one answer (Kubernetes 1.27 and later); else what older servers have.
const ACCEPT: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,\
                      application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,\
                      application/json";

/// How objects of a kind are addressed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Resource {
    pub(super) plural: Arc<str>,
    pub(super) scope: Scope,
}

/// The kinds that are known to be served.
#[derive(Debug, Default)]
pub(super) struct Discovery {
    table: Mutex<Table>,
    /// One refresh at a time: whoever waits for it finds its answer in the table.
    refreshing: tokio::sync::Mutex<()>,
}

type Resources = HashMap<KindVersion, Resource>;

#[derive(Debug, Default)]
struct Table {
    resources: Resources,
    /// The server has no aggregated discovery.
    one_by_one: bool,
    /// When all kinds were last asked for at once.
    whole: Option<Instant>,
    /// Groups and versions that were asked about a moment ago, and answered.
    asked: BTreeMap<String, Instant>,
    /// The last question that got no answer.
    failed: Option<(Instant, ClusterFault)>,
    definition_touched: Option<Instant>,
}

impl Discovery {
    /// Returns where objects of `kind` live.
    pub(super) async fn resource(
        &self,
        transport: &Transport,
        kind: &KindVersion,
    ) -> Result<Resource, ClusterFault> {
        if let Some(resource) = self.known(kind) {
            return Ok(resource);
        }
        let _one_at_a_time = self.refreshing.lock().await;
        if let Some(resource) = self.known(kind) {
            return Ok(resource);
        }
        // Whoever waited for a question that failed shares its fate.
        if let Some(fault) = self.failed_just_now(Instant::now()) {
            return Err(fault);
        }
        if self.is_due(kind, Instant::now()) {
            if let Err(fault) = self.refresh(transport, kind).await {
                // One API group in trouble says nothing of the others.
                if fault.is_api_server() {
                    self.table().failed = Some((Instant::now(), fault.clone()));
                }
                return Err(fault);
            }
            self.table().asked.insert(path::group_version(kind), Instant::now());
        }
        self.known(kind).ok_or_else(|| ClusterFault::UnknownKind(kind.clone()))
    }

    /// Returns another version in which `kind` is served now, after its own turned
    /// out not to be: an object is the same one in each.
    pub(super) async fn other_version(
        &self,
        transport: &Transport,
        kind: &KindVersion,
    ) -> Result<(KindVersion, Resource), ClusterFault> {
        if self.any_version(kind).is_none() {
            let _one_at_a_time = self.refreshing.lock().await;
            if self.is_whole_due(Instant::now()) {
                self.refresh_whole(transport).await?;
            }
        }
        self.any_version(kind).ok_or_else(|| ClusterFault::UnknownKind(kind.clone()))
    }

    fn any_version(&self, kind: &KindVersion) -> Option<(KindVersion, Resource)> {
        let table = self.table();
        let mut others = table
            .resources
            .iter()
            .filter(|(known, _)| known.kind == kind.kind && known.version != kind.version);
        others.next().map(|(known, resource)| (known.clone(), resource.clone()))
    }

    /// Asks for all kinds before anybody needs one. What does not succeed is asked when it is needed.
    pub(super) async fn warm_up(&self, transport: &Transport) {
        let _one_at_a_time = self.refreshing.lock().await;
        if self.is_whole_due(Instant::now())
            && let Err(fault) = self.refresh_whole(transport).await
        {
            tracing::debug!(%fault, "Cannot learn the kinds of the cluster yet.");
        }
    }

    /// Which of `kinds` are served, and their scopes.
    pub(super) async fn scopes(
        &self,
        transport: &Transport,
        kinds: &BTreeSet<KindVersion>,
    ) -> Result<BTreeMap<Kind, Scope>, ClusterFault> {
        let mut scopes = BTreeMap::new();
        for kind in kinds {
            match self.resource(transport, kind).await {
                Ok(resource) => {
                    scopes.insert(kind.kind.clone(), resource.scope);
                }
                Err(ClusterFault::UnknownKind(_)) => {}
                Err(fault) => return Err(fault),
            }
        }
        Ok(scopes)
    }

    /// A request for `kind` found nothing behind its address: its definition is gone.
    pub(super) fn forget(&self, kind: &KindVersion) {
        self.table().resources.remove(kind);
    }

    /// Somebody works on definitions, so kinds come and go.
    pub(super) fn definition_touched(&self) {
        self.table().definition_touched = Some(Instant::now());
    }

    fn table(&self) -> std::sync::MutexGuard<'_, Table> {
        // Every change of the table is whole before anything can panic.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn known(&self, kind: &KindVersion) -> Option<Resource> {
        self.table().resources.get(kind).cloned()
    }

    fn failed_just_now(&self, now: Instant) -> Option<ClusterFault> {
        let table = self.table();
        let (at, fault) = table.failed.as_ref()?;
        (now.duration_since(*at) < FAILURE_COUNTS).then(|| fault.clone())
    }

    /// Returns whether it is time to ask for `kind` again, after an answer that did not have it.
    fn is_due(&self, kind: &KindVersion, now: Instant) -> bool {
        let mut table = self.table();
        let is_new = table
            .definition_touched
            .is_some_and(|touched| now.duration_since(touched) < DEFINITION_IS_NEW);
        let wait = if is_new { REFRESH_AFTER_DEFINITION } else { REFRESH };
        table.asked.retain(|_, asked| now.duration_since(*asked) < REFRESH);
        let asked = table.asked.get(&path::group_version(kind));
        asked.is_none_or(|asked| now.duration_since(*asked) >= wait)
    }

    /// The whole is large; for one kind that comes later its group is enough.
    fn is_whole_due(&self, now: Instant) -> bool {
        let table = self.table();
        !table.one_by_one && table.whole.is_none_or(|asked| now.duration_since(asked) >= REFRESH)
    }

    /// Asks for all kinds at once, and for the group of `kind` if it is not
    /// among them: a server that has just started may leave groups out of the
    /// whole, but never denies one that it does serve.
    async fn refresh(&self, transport: &Transport, kind: &KindVersion) -> Result<(), ClusterFault> {
        if self.is_whole_due(Instant::now()) {
            self.refresh_whole(transport).await?;
        }
        if self.known(kind).is_none()
            && let Some(list) = ask(transport, &path::group_version(kind), kind).await?
        {
            let resources = parse_one_by_one(&list, kind);
            self.table().resources.extend(resources);
        }
        Ok(())
    }

    async fn refresh_whole(&self, transport: &Transport) -> Result<(), ClusterFault> {
        let all = super::kind_of_inquiry();
        let questions = (ask(transport, "/api", &all), ask(transport, "/apis", &all));
        let (core, groups) = futures::future::try_join(questions.0, questions.1).await?;
        let core = core.as_deref().and_then(parse_aggregated);
        let groups = groups.as_deref().and_then(parse_aggregated);
        let mut table = self.table();
        if let (Some(mut resources), Some(groups)) = (core, groups) {
            resources.extend(groups);
            table.resources = resources;
            table.whole = Some(Instant::now());
        } else {
            table.one_by_one = true;
        }
        Ok(())
    }
}

/// Reads the document at `path`, which is about `kind`; `None` when there is none.
async fn ask(
    transport: &Transport,
    path: &str,
    kind: &KindVersion,
) -> Result<Option<bytes::Bytes>, ClusterFault> {
    let answer = transport.call(&Call::get(path.to_owned(), ACCEPT)).await?;
    match answer.code {
        200 => Ok(Some(answer.body)),
        404 | 406 => Ok(None),
        code => Err(fault::classify(code, &answer.body, kind)),
    }
}

#[derive(Deserialize)]
struct GroupList {
    kind: String,
    #[serde(default, deserialize_with = "null_is_default")]
    items: Vec<Group>,
}

#[derive(Deserialize)]
struct Group {
    #[serde(default)]
    metadata: GroupMeta,
    #[serde(default, deserialize_with = "null_is_default")]
    versions: Vec<GroupVersion>,
}

#[derive(Default, Deserialize)]
struct GroupMeta {
    #[serde(default)]
    name: String,
}

#[derive(Deserialize)]
struct GroupVersion {
    version: String,
    #[serde(default, deserialize_with = "null_is_default")]
    resources: Vec<GroupResource>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct GroupResource {
    resource: String,
    response_kind: Option<ResponseKind>,
    scope: String,
    #[serde(default, deserialize_with = "null_is_default")]
    verbs: Vec<String>,
}

#[derive(Deserialize)]
struct ResponseKind {
    #[serde(default)]
    kind: String,
}

/// Reads an `APIGroupDiscoveryList`; `None` when it is a different document.
fn parse_aggregated(body: &[u8]) -> Option<Resources> {
    let list: GroupList = serde_json::from_slice(body).ok()?;
    if list.kind != "APIGroupDiscoveryList" {
        return None;
    }
    let mut resources = Resources::new();
    for group in list.items {
        for version in group.versions {
            for resource in version.resources {
                let Some(response) = resource.response_kind else { continue };
                let scope =
                    if resource.scope == "Namespaced" { Scope::Namespaced } else { Scope::Cluster };
                let kind = KindVersion {
                    kind: Kind::new(&group.metadata.name, &response.kind),
                    version: version.version.clone(),
                };
                add(&mut resources, kind, resource.resource, scope, &resource.verbs);
            }
        }
    }
    Some(resources)
}

#[derive(Deserialize)]
struct ResourceList {
    #[serde(default, deserialize_with = "null_is_default")]
    resources: Vec<ListedResource>,
}

#[derive(Deserialize)]
struct ListedResource {
    name: String,
    kind: String,
    #[serde(default)]
    namespaced: bool,
    #[serde(default, deserialize_with = "null_is_default")]
    verbs: Vec<String>,
}

/// Reads the `APIResourceList` of the group and version of `asked`; what
/// cannot be read names no kinds.
fn parse_one_by_one(body: &[u8], asked: &KindVersion) -> Resources {
    let mut resources = Resources::new();
    let Ok(list) = serde_json::from_slice::<ResourceList>(body) else { return resources };
    for resource in list.resources {
        // `deployments/scale` is a subresource.
        if resource.name.contains('/') {
            continue;
        }
        let kind = KindVersion {
            kind: Kind::new(&asked.kind.group, &resource.kind),
            version: asked.version.clone(),
        };
        let scope = if resource.namespaced { Scope::Namespaced } else { Scope::Cluster };
        add(&mut resources, kind, resource.name, scope, &resource.verbs);
    }
    resources
}

/// The first resource of a kind that can be patched counts; one that cannot
/// (a review, a projection) only where there is no other.
fn add(
    resources: &mut Resources,
    kind: KindVersion,
    plural: String,
    scope: Scope,
    verbs: &[String],
) {
    let can_patch = verbs.iter().any(|verb| verb == "patch");
    let resource = Resource { plural: plural.into(), scope };
    if can_patch {
        resources.insert(kind, resource);
    } else {
        resources.entry(kind).or_insert(resource);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn kind(group: &str, kind: &str, version: &str) -> KindVersion {
        KindVersion { kind: Kind::new(group, kind), version: version.into() }
    }

    fn print(resources: &Resources) -> String {
        let mut lines: Vec<_> = resources
            .iter()
            .map(|(kind, resource)| {
                format!(
                    "{} {} -> {} {:?}",
                    kind.kind, kind.version, resource.plural, resource.scope
                )
            })
            .collect();
        lines.sort();
        lines.join("\n")
    }

    #[test]
    fn aggregated_discovery_gives_names_and_scopes() {
        let body = json!({"kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "items": [
            {"metadata": {"name": "apps", "creationTimestamp": null}, "versions": [
                {"version": "v1", "freshness": "Current", "resources": [
                    {"resource": "deployments", "responseKind": {"group": "apps", "version": "v1", "kind": "Deployment"},
                     "scope": "Namespaced", "singularResource": "deployment", "verbs": ["patch", "get"],
                     "subresources": [{"subresource": "scale", "responseKind": {"kind": "Scale"}, "verbs": ["patch"]}]}]}]},
            {"metadata": {"name": "metrics.k8s.io"}, "versions": [{"version": "v1beta1", "freshness": "Stale", "resources": null}]},
            {"metadata": {}, "versions": [{"version": "v1", "resources": [
                {"resource": "namespaces", "responseKind": {"kind": "Namespace"}, "scope": "Cluster", "verbs": ["patch"]},
                {"resource": "nowhere", "responseKind": null, "scope": "Cluster"}]}]}]});
        let resources = parse_aggregated(body.to_string().as_bytes()).unwrap();
        insta::assert_snapshot!(print(&resources), @r"
        Deployment.apps v1 -> deployments Namespaced
        Namespace v1 -> namespaces Cluster
        ");
    }

    #[test]
    fn an_old_server_answers_with_another_document() {
        let groups = json!({"kind": "APIGroupList", "groups": []}).to_string();
        assert_eq!(parse_aggregated(groups.as_bytes()), None);
        assert_eq!(parse_aggregated(b"<html>"), None);
    }

    #[test]
    fn the_list_of_one_group_leaves_subresources_out() {
        let body = json!({"kind": "APIResourceList", "groupVersion": "apps/v1", "resources": [
            {"name": "deployments", "kind": "Deployment", "namespaced": true, "verbs": ["patch"]},
            {"name": "deployments/scale", "kind": "Scale", "group": "autoscaling", "namespaced": true, "verbs": ["patch"]}]});
        let asked = kind("apps", "Deployment", "v1");
        let resources = parse_one_by_one(body.to_string().as_bytes(), &asked);
        assert_eq!(print(&resources), "Deployment.apps v1 -> deployments Namespaced");
        assert!(parse_one_by_one(b"[]", &asked).is_empty());
    }

    #[test]
    fn a_resource_that_can_be_patched_wins_over_one_that_cannot() {
        let mut resources = Resources::new();
        let project = kind("p", "Project", "v1");
        let patch = ["patch".to_owned()];
        for (plural, verbs) in [("reviews", &[][..]), ("projects", &patch[..]), ("mine", &[][..])] {
            add(&mut resources, project.clone(), plural.into(), Scope::Cluster, verbs);
        }
        assert_eq!(print(&resources), "Project.p v1 -> projects Cluster");
    }

    #[tokio::test]
    async fn an_api_server_that_is_away_is_not_taken_for_one_that_knows_no_kinds() {
        drop(rustls::crypto::ring::default_provider().install_default());
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("config");
        // Nothing listens on port 1.
        let kubeconfig = json!({"current-context": "x",
            "clusters": [{"name": "c", "cluster": {"server": "http://127.0.0.1:1"}}],
            "contexts": [{"name": "x", "context": {"cluster": "c"}}]});
        std::fs::write(&file, kubeconfig.to_string()).unwrap();
        let access = super::super::access::Access::new(camino::Utf8Path::from_path(&file));
        let transport = Transport::new(access.await.unwrap());
        let discovery = Discovery::default();
        let shop = kind("example.com", "Shop", "v1");
        let crowd = (0..32).map(|_| discovery.resource(&transport, &shop));
        let answers = futures::future::join_all(crowd).await;
        let said: BTreeSet<_> =
            answers.iter().map(|it| it.as_ref().unwrap_err().to_string()).collect();
        insta::assert_snapshot!(said.into_iter().collect::<Vec<_>>().join("\n"), @"the API server cannot be reached: http://127.0.0.1:1: tcp connect error: Connection refused (os error 111)");
    }

    #[test]
    fn an_unknown_kind_is_asked_for_once_a_second_and_sooner_after_a_definition() {
        let discovery = Discovery::default();
        let shop = kind("example.com", "Shop", "v1");
        let start = Instant::now();
        let mut asked = Vec::new();
        for millis in (0_u64..2_300).step_by(50) {
            let now = start + Duration::from_millis(millis);
            if millis == 2_000 {
                discovery.table().definition_touched = Some(now);
            }
            if discovery.is_due(&shop, now) {
                discovery.table().asked.insert(path::group_version(&shop), now);
                asked.push(millis);
            }
        }
        assert_eq!(asked, [0, 1_000, 2_000, 2_100, 2_200]);
    }
}
