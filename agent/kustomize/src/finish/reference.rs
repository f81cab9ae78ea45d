//! References: who names an object that is called differently now.

use std::collections::{BTreeSet, HashMap};

use leeward_yaml::{Content, Node};

use crate::{
    config::{Config, Reference},
    error::{Outcome, Problem},
    fieldspec::{Create, FieldSpec},
    id::{CLUSTER, Gvk, ResId},
    resmap::ResMap,
    resource::Resource,
};

/// What a reference may mean, as it is now and as it was.
struct Candidate {
    id: ResId,
    previous: Vec<ResId>,
    prefixes: Vec<String>,
    suffixes: Vec<String>,
}

impl Candidate {
    fn of(resource: &Resource) -> Self {
        Self {
            id: resource.id(),
            previous: resource.previous_ids().collect(),
            prefixes: resource.prefixes.clone(),
            suffixes: resource.suffixes.clone(),
        }
    }

    fn original_namespace(&self) -> &str {
        self.previous.first().unwrap_or(&self.id).effective_namespace()
    }
}

/// Writes the present names of objects wherever the table says that they are
/// referred to by former ones.
pub(crate) fn fix_references(map: &mut ResMap, config: &Config) -> Outcome<()> {
    let candidates: Vec<Candidate> = map.list.iter().map(Candidate::of).collect();
    // Only what was called differently once can be meant by a former name.
    let mut by_name: HashMap<&str, Vec<usize>> = HashMap::new();
    for (at, candidate) in candidates.iter().enumerate() {
        let names: BTreeSet<&str> = candidate.previous.iter().map(|id| id.name.as_str()).collect();
        for name in names {
            by_name.entry(name).or_default().push(at);
        }
    }
    for resource in &mut map.list {
        let bound = bound_namespaces(resource);
        let bound = resource.locate(bound)?;
        if by_name.is_empty() {
            continue;
        }
        let own = Candidate::of(resource);
        let gvk = own.previous.first().unwrap_or(&own.id).gvk.clone();
        for reference in &config.name_reference {
            for spec in reference.fields.iter().filter(|spec| gvk.is_selected_by(&spec.gvk)) {
                let referrer = Referrer {
                    own: &own,
                    reference,
                    spec,
                    bound: &bound,
                    role: role_of(&resource.node, spec),
                    candidates: &candidates,
                    by_name: &by_name,
                };
                let outcome = referrer.apply(&mut resource.node);
                resource.locate(outcome)?;
            }
        }
    }
    Ok(())
}

/// Namespaces that a RoleBinding binds ServiceAccounts of.
fn bound_namespaces(resource: &Resource) -> Outcome<BTreeSet<String>> {
    let mut found = BTreeSet::new();
    if resource.kind() != "RoleBinding" || resource.is_cluster_scoped() {
        return Ok(found);
    }
    for subject in resource.node.get("subjects").map(Node::items).unwrap_or_default() {
        let is_account = subject.get("kind").is_some_and(|kind| kind.raw() == "ServiceAccount");
        let Some(namespace) = subject.get("namespace").filter(|_| is_account) else { continue };
        if namespace.is_nothing() {
            let object = resource.id().to_string();
            let message = "the namespace of a subject is blank".to_owned();
            return Err(Problem::Object { object, message }.into());
        }
        found.insert(namespace.raw().to_owned());
    }
    Ok(found)
}

/// What a `roleRef` says that it refers to.
fn role_of(object: &Node, spec: &FieldSpec) -> Option<Gvk> {
    if !spec.path.ends_with("roleRef/name") {
        return None;
    }
    let role = object.get("roleRef")?;
    let text = |key| role.get(key).map(|node| node.raw().to_owned());
    Some(Gvk { group: text("apiGroup")?, version: String::new(), kind: text("kind")? })
}

/// One field of one object that may refer to objects of a kind.
struct Referrer<'r> {
    own: &'r Candidate,
    reference: &'r Reference,
    spec: &'r FieldSpec,
    bound: &'r BTreeSet<String>,
    role: Option<Gvk>,
    candidates: &'r [Candidate],
    by_name: &'r HashMap<&'r str, Vec<usize>>,
}

impl Referrer<'_> {
    fn apply(&self, object: &mut Node) -> Outcome<()> {
        // The table selects by what the object was; its fields are today's.
        let spec = FieldSpec { gvk: self.own.id.gvk.clone(), ..self.spec.clone() };
        spec.apply(object, Create::Nothing, &mut |node| self.set(node))
    }

    fn set(&self, node: &mut Node) -> Outcome<()> {
        if node.is_nothing() {
            return Ok(());
        }
        match &mut node.content {
            Content::Scalar(_) => self.set_name(node),
            Content::Mapping(_) => self.set_name_and_namespace(node),
            Content::Sequence(items) => {
                for item in items.iter_mut().filter(|item| !item.is_nothing()) {
                    match item.content {
                        Content::Scalar(_) => self.set_name(item)?,
                        Content::Mapping(_) => self.set_name_and_namespace(item)?,
                        Content::Sequence(_) => {
                            return Err(crate::transform::not("a name or a mapping"));
                        }
                    }
                }
                Ok(())
            }
        }
    }

    fn set_name(&self, node: &mut Node) -> Outcome<()> {
        let old = node.raw().to_owned();
        let Some(found) = self.select(&old, None, false)? else { return Ok(()) };
        if found.id.name != old {
            node.set_scalar(Node::plain_of(&found.id.name));
        }
        Ok(())
    }

    fn set_name_and_namespace(&self, node: &mut Node) -> Outcome<()> {
        let Some(name) = node.get("name") else {
            return Err(crate::transform::not("a mapping with a name"));
        };
        let old = name.raw().to_owned();
        let namespace = node.get("namespace").map(|node| node.raw().to_owned());
        let Some(found) = self.select(&old, namespace.as_deref(), true)? else { return Ok(()) };
        let ResId { name, namespace, .. } = &found.id;
        if *name == old && namespace.is_empty() {
            return Ok(());
        }
        node.set_field("name", Node::plain_of(name));
        if !namespace.is_empty() {
            node.set_field("namespace", Node::plain_of(namespace));
        }
        Ok(())
    }

    /// The object that is meant by a former name, if it is one that can be meant.
    fn select(
        &self,
        name: &str,
        namespace: Option<&str>,
        by_namespace: bool,
    ) -> Outcome<Option<&Candidate>> {
        let Some(named) = self.by_name.get(name) else { return Ok(None) };
        let reachable: Vec<&Candidate> = named
            .iter()
            .map(|at| &self.candidates[*at])
            .filter(|candidate| self.may_reach(candidate))
            .collect();
        let mut found: Vec<&Candidate> = match namespace {
            None => reachable,
            Some(namespace) => self.within(reachable, namespace),
        };
        found.retain(|candidate| {
            let was = |gvk: &Gvk| candidate.previous.iter().any(|id| id.gvk.is_selected_by(gvk));
            was(&self.reference.referent)
                && self.role.as_ref().is_none_or(was)
                && self.shares_namespace(candidate)
        });
        if let [only] = found.as_slice() {
            return Ok(Some(*only));
        }
        found.retain(|candidate| self.same_affixes(candidate, true));
        if found.len() > 1 {
            found.retain(|candidate| self.same_affixes(candidate, false));
        }
        let Some(first) = found.first().copied() else { return Ok(None) };
        let is_same = |other: &&Candidate| {
            other.id.name == first.id.name
                && (!by_namespace || other.id.namespace == first.id.namespace)
        };
        if found.iter().all(is_same) {
            return Ok(Some(first));
        }
        let candidates: Vec<String> = found.iter().map(|found| found.id.to_string()).collect();
        Err(Problem::Ambiguous {
            field: self.spec.path.clone(),
            referrer: self.own.id.to_string(),
            candidates: candidates.join(", "),
        }
        .into())
    }

    /// Those that were declared in the namespace; if there are none, those that
    /// are in it now. Whatever else is there counts for that question.
    fn within<'c>(&self, reachable: Vec<&'c Candidate>, namespace: &str) -> Vec<&'c Candidate> {
        let was_used = namespace != CLUSTER
            && self.candidates.iter().any(|candidate| {
                self.may_reach(candidate) && candidate.original_namespace() == namespace
            });
        let fits = |candidate: &&Candidate| {
            if was_used {
                candidate.original_namespace() == namespace
            } else {
                namespace != CLUSTER && candidate.id.effective_namespace() == namespace
            }
        };
        reachable.into_iter().filter(fits).collect()
    }

    /// An object in a namespace reaches what is in the same one or in none,
    /// and the namespaces of ServiceAccounts that it binds.
    fn may_reach(&self, candidate: &Candidate) -> bool {
        let own = &self.own.id;
        own.is_cluster_scoped
            || candidate.id.is_cluster_scoped
            || candidate.id.same_namespace(own)
            || self.bound.contains(&candidate.id.namespace)
    }

    fn shares_namespace(&self, candidate: &Candidate) -> bool {
        let own = &self.own.id;
        own.is_cluster_scoped
            || candidate.id.is_cluster_scoped
            || candidate.id.gvk.kind == "ServiceAccount"
            || candidate.id.same_namespace(own)
    }

    /// Whether both went through the same kustomizations, as far as prefixes
    /// and suffixes tell.
    fn same_affixes(&self, candidate: &Candidate, empty_fits_all: bool) -> bool {
        let same = |a: &[String], b: &[String]| {
            (empty_fits_all && (a.is_empty() || b.is_empty())) || same_end(a, b)
        };
        same(&candidate.prefixes, &self.own.prefixes)
            && same(&candidate.suffixes, &self.own.suffixes)
    }
}

/// Whether the shorter list is the end of the longer one; an empty one is only of an empty one.
fn same_end(a: &[String], b: &[String]) -> bool {
    let (short, long) = if a.len() > b.len() { (b, a) } else { (a, b) };
    if short.is_empty() { long.is_empty() } else { long.ends_with(short) }
}
