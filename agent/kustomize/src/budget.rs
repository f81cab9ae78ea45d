//! What one build may cost, and how much of it is spent.

use std::cell::Cell;

use leeward_yaml as yaml;

use crate::error::{Outcome, Problem};

/// What one build may cost. Whatever the input is, the build ends within these.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Files that are read, counted at every reading; large repositories read 2,000.
    pub files: usize,
    /// Bytes of one file; the largest bundle of CRDs in use has 8 MB.
    pub file_bytes: usize,
    /// Bytes of all files.
    pub bytes: usize,
    /// Kustomizations that are built, counted at every visit.
    pub kustomizations: usize,
    /// Kustomizations inside kustomizations; people reach 8.
    pub depth: usize,
    /// Objects at any one time.
    pub objects: usize,
    /// Values in all files, aliases expanded.
    pub nodes: usize,
    /// Bytes that patches, replacements and variables may copy in all: each
    /// of them can double what is there.
    pub copied: usize,
    /// Patches, images, labels and the like, times the objects that each looks
    /// at; 1,000 patches of 1,000 objects need a tenth.
    pub work: usize,
    /// Bytes of the output.
    pub output: usize,
    /// Of each YAML file.
    pub yaml: yaml::Limits,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            files: 20_000,
            file_bytes: 16 << 20,
            bytes: 64 << 20,
            kustomizations: 5_000,
            depth: 64,
            objects: 20_000,
            nodes: 3_000_000,
            copied: 128 << 20,
            work: 10_000_000,
            output: 64 << 20,
            yaml: yaml::Limits {
                bytes: 16 << 20,
                depth: 100,
                nodes: 1_000_000,
                text: 32 << 20,
                documents: 10_000,
            },
        }
    }
}

/// What is spent of the [`Limits`].
#[derive(Debug, Default)]
pub(crate) struct Budget {
    pub(crate) limits: Limits,
    files: Cell<usize>,
    bytes: Cell<usize>,
    kustomizations: Cell<usize>,
    nodes: Cell<usize>,
    copied: Cell<usize>,
    work: Cell<usize>,
}

impl Budget {
    pub(crate) fn new(limits: Limits) -> Self {
        Self { limits, ..Self::default() }
    }

    /// A file of so many bytes has been read.
    pub(crate) fn file(&self, bytes: usize) -> Outcome<()> {
        let limit = self.limits.file_bytes;
        if bytes > limit {
            return Err(Problem::Limit { what: "bytes in one file", limit }.into());
        }
        spend(&self.files, 1, self.limits.files, "files")?;
        spend(&self.bytes, bytes, self.limits.bytes, "bytes in all files")
    }

    pub(crate) fn kustomization(&self, depth: usize) -> Outcome<()> {
        let limit = self.limits.depth;
        if depth > limit {
            return Err(Problem::Limit { what: "kustomizations inside each other", limit }.into());
        }
        spend(&self.kustomizations, 1, self.limits.kustomizations, "kustomizations")
    }

    pub(crate) fn nodes(&self, count: usize) -> Outcome<()> {
        spend(&self.nodes, count, self.limits.nodes, "values in all files")
    }

    pub(crate) fn objects(&self, count: usize) -> Outcome<()> {
        let limit = self.limits.objects;
        if count > limit {
            return Err(Problem::Limit { what: "objects", limit }.into());
        }
        Ok(())
    }

    /// So many bytes are about to be copied within the objects.
    pub(crate) fn copied(&self, bytes: usize) -> Outcome<()> {
        let what = "bytes copied by patches, replacements and variables";
        spend(&self.copied, bytes, self.limits.copied, what)
    }
}

fn spend(counter: &Cell<usize>, amount: usize, limit: usize, what: &'static str) -> Outcome<()> {
    let spent = counter.get().saturating_add(amount);
    counter.set(spent);
    if spent > limit { Err(Problem::Limit { what, limit }.into()) } else { Ok(()) }
}

/// How deep an object may be nested: files reach less, and what copies could
/// otherwise nest without end.
const DEPTH_MAX: usize = 300;

/// What a tree costs.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Weight {
    pub(crate) nodes: usize,
    /// Of texts and keys, with something for each value.
    pub(crate) bytes: usize,
    depth: usize,
}

pub(crate) fn weigh(node: &yaml::Node) -> Weight {
    const NODE_BYTES: usize = 64;
    let own = Weight { nodes: 1, bytes: NODE_BYTES, depth: 0 };
    let with = |sum: Weight, (key, node): (usize, &yaml::Node)| {
        let below = weigh(node);
        Weight {
            nodes: sum.nodes + below.nodes,
            bytes: sum.bytes + below.bytes + key,
            depth: sum.depth.max(below.depth + 1),
        }
    };
    match &node.content {
        yaml::Content::Scalar(scalar) => Weight { bytes: NODE_BYTES + scalar.text.len(), ..own },
        yaml::Content::Sequence(items) => items.iter().map(|item| (0, item)).fold(own, with),
        yaml::Content::Mapping(entries) => {
            entries.iter().map(|entry| (entry.key.len(), &entry.value)).fold(own, with)
        }
    }
}

impl Budget {
    /// A tree is about to be put so many levels deep into an object.
    pub(crate) fn put(&self, node: &yaml::Node, level: usize) -> Outcome<()> {
        let weight = weigh(node);
        if weight.depth.saturating_add(level) > DEPTH_MAX {
            let what = "levels of nesting in an object";
            return Err(Problem::Limit { what, limit: DEPTH_MAX }.into());
        }
        self.copied(weight.bytes)
    }

    /// A step is about to look at so many objects.
    pub(crate) fn work(&self, objects: usize) -> Outcome<()> {
        let what = "steps, counted by objects that each looks at";
        spend(&self.work, objects.max(1), self.limits.work, what)
    }
}
