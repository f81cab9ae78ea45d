//! One object on its way through a build, with what it was called before.

use std::{collections::BTreeMap, rc::Rc};

use leeward_yaml::Node;

use crate::{
    error::Outcome,
    id::{Gvk, ResId, split_api_version},
    origin::Origin,
    schema::Scopes,
};

/// How what a generator makes meets an object of the same name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Behavior {
    #[default]
    Unspecified,
    Create,
    Replace,
    Merge,
}

impl Behavior {
    pub(crate) fn read(text: &str) -> Self {
        match text {
            "create" => Self::Create,
            "replace" => Self::Replace,
            "merge" => Self::Merge,
            _ => Self::Unspecified,
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Unspecified => "unspecified",
            Self::Create => "create",
            Self::Replace => "replace",
            Self::Merge => "merge",
        }
    }
}

/// What a patch may change of the identity of what it patches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct MayChange {
    pub(crate) name: bool,
    pub(crate) kind: bool,
}

/// What an object was called before a transformation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Previous {
    pub(crate) name: String,
    pub(crate) namespace: String,
    pub(crate) kind: String,
}

#[derive(Clone, Debug)]
pub(crate) struct Resource {
    pub(crate) node: Node,
    pub(crate) scopes: Rc<Scopes>,
    /// The file that declared it, as people call it.
    pub(crate) file: Rc<str>,
    /// The oldest first.
    pub(crate) history: Vec<Previous>,
    pub(crate) prefixes: Vec<String>,
    pub(crate) suffixes: Vec<String>,
    pub(crate) behavior: Behavior,
    pub(crate) needs_hash: bool,
    /// A generator made it.
    pub(crate) is_generated: bool,
    /// As a patch.
    pub(crate) may_change: MayChange,
    /// Names of variables that take their value from here.
    pub(crate) variables: Vec<String>,
    pub(crate) origin: Option<Origin>,
    pub(crate) transformations: Vec<Origin>,
    /// How many scalars it may show in several places.
    pub(crate) shared: u32,
}

impl Resource {
    pub(crate) fn new(node: Node, file: Rc<str>, scopes: Rc<Scopes>) -> Self {
        Self {
            node,
            scopes,
            file,
            history: Vec::new(),
            prefixes: Vec::new(),
            suffixes: Vec::new(),
            behavior: Behavior::default(),
            needs_hash: false,
            is_generated: false,
            may_change: MayChange::default(),
            variables: Vec::new(),
            origin: None,
            transformations: Vec::new(),
            shared: 0,
        }
    }

    pub(crate) fn kind(&self) -> &str {
        self.node.get("kind").map(Node::raw).unwrap_or_default()
    }

    pub(crate) fn api_version(&self) -> &str {
        self.node.get("apiVersion").map(Node::raw).unwrap_or_default()
    }

    pub(crate) fn name(&self) -> &str {
        self.meta_text("name")
    }

    pub(crate) fn namespace(&self) -> &str {
        self.meta_text("namespace")
    }

    fn meta_text(&self, field: &str) -> &str {
        let value = self.node.at(&["metadata", field]).filter(|node| !node.is_blank());
        value.map(Node::raw).unwrap_or_default()
    }

    pub(crate) fn gvk(&self) -> Gvk {
        let (group, version) = split_api_version(self.api_version());
        Gvk { group: group.to_owned(), version: version.to_owned(), kind: self.kind().to_owned() }
    }

    pub(crate) fn is_cluster_scoped(&self) -> bool {
        self.scopes.is_cluster_scoped(self.api_version(), self.kind())
    }

    pub(crate) fn id(&self) -> ResId {
        ResId {
            gvk: self.gvk(),
            name: self.name().to_owned(),
            namespace: self.namespace().to_owned(),
            is_cluster_scoped: self.is_cluster_scoped(),
        }
    }

    pub(crate) fn previous_ids(&self) -> impl Iterator<Item = ResId> + '_ {
        let gvk = if self.history.is_empty() { Gvk::default() } else { self.gvk() };
        self.history.iter().map(move |previous| ResId {
            gvk: Gvk { kind: previous.kind.clone(), ..gvk.clone() },
            name: previous.name.clone(),
            namespace: previous.namespace.clone(),
            is_cluster_scoped: false,
        })
    }

    /// What it was called in its file.
    pub(crate) fn original_id(&self) -> ResId {
        self.previous_ids().next().unwrap_or_else(|| self.id())
    }

    /// All that it is and was called, the present first.
    pub(crate) fn all_ids(&self) -> Vec<ResId> {
        std::iter::once(self.id()).chain(self.previous_ids()).collect()
    }

    /// Remembers what it is called now.
    pub(crate) fn remember(&mut self) {
        let id = self.id();
        let namespace = id.effective_namespace().to_owned();
        self.history.push(Previous { name: id.name, namespace, kind: id.gvk.kind });
    }

    pub(crate) fn set_name(&mut self, name: &str) {
        if let Some(metadata) = self.node.mapping_at("metadata") {
            metadata.set_field("name", Node::plain_of(name));
        }
    }

    pub(crate) fn set_namespace(&mut self, namespace: &str) {
        if namespace.is_empty() {
            if let Some(metadata) = self.node.get_mut("metadata") {
                metadata.remove("namespace");
            }
        } else if let Some(metadata) = self.node.mapping_at("metadata") {
            metadata.set_field("namespace", Node::plain_of(namespace));
        }
    }

    pub(crate) fn set_kind(&mut self, kind: &str) {
        self.node.set_field("kind", Node::plain_of(kind));
    }

    pub(crate) fn set_api_version(&mut self, api_version: &str) {
        self.node.set_field("apiVersion", Node::plain_of(api_version));
    }

    pub(crate) fn annotations(&self) -> BTreeMap<String, String> {
        text_map(self.node.at(&["metadata", "annotations"]))
    }

    pub(crate) fn labels(&self) -> BTreeMap<String, String> {
        text_map(self.node.at(&["metadata", "labels"]))
    }

    pub(crate) fn set_annotations(&mut self, annotations: &BTreeMap<String, String>) {
        self.set_meta_map("annotations", annotations);
    }

    pub(crate) fn set_labels(&mut self, labels: &BTreeMap<String, String>) {
        self.set_meta_map("labels", labels);
    }

    /// All values become texts, and a map without entries goes.
    fn set_meta_map(&mut self, field: &str, map: &BTreeMap<String, String>) {
        let Some(metadata) = self.node.mapping_at("metadata") else { return };
        metadata.remove(field);
        if map.is_empty() {
            return;
        }
        let mut node = Node::mapping();
        for (key, value) in map {
            node.put(key, Node::text_of(value));
        }
        metadata.put(field, node);
    }

    /// Takes name, namespace, labels, annotations and history of `other`, as
    /// what a generator makes does from the object that it merges with.
    pub(crate) fn take_identity(&mut self, other: &Self) {
        let merged = |mut theirs: BTreeMap<String, String>, own: BTreeMap<String, String>| {
            theirs.extend(own);
            theirs
        };
        let labels = merged(other.labels(), self.labels());
        self.set_labels(&labels);
        let annotations = merged(other.annotations(), self.annotations());
        self.set_annotations(&annotations);
        self.set_name(other.name());
        self.set_namespace(other.namespace());
        self.history.clone_from(&other.history);
        self.prefixes.clone_from(&other.prefixes);
        self.suffixes.clone_from(&other.suffixes);
        self.behavior = other.behavior;
        self.needs_hash &= other.needs_hash;
        self.is_generated = other.is_generated;
        self.variables.clone_from(&other.variables);
        if self.transformations.is_empty() {
            self.transformations.clone_from(&other.transformations);
        }
        if self.origin.is_none() {
            self.origin.clone_from(&other.origin);
        }
    }

    /// After its fields were written to: what several places share is the same in all.
    /// Returns the bytes that this copied.
    pub(crate) fn spread(&mut self) -> usize {
        if self.shared > 0 { self.node.spread() } else { 0 }
    }

    /// Whether anything is known of it that upstream keeps in annotations.
    pub(crate) fn has_build_state(&self) -> bool {
        !self.history.is_empty()
            || !self.prefixes.is_empty()
            || !self.suffixes.is_empty()
            || self.needs_hash
            || self.is_generated
            || self.origin.is_some()
            || !self.transformations.is_empty()
    }

    /// Says of an error that it is about this object.
    pub(crate) fn locate<T>(&self, outcome: Outcome<T>) -> Outcome<T> {
        outcome.map_err(|error| error.at(&self.file, Some(self.node.mark)))
    }
}

fn text_map(node: Option<&Node>) -> BTreeMap<String, String> {
    let entries = node.map(Node::entries).unwrap_or_default();
    entries.iter().map(|entry| (entry.key.clone(), entry.value.raw().to_owned())).collect()
}
