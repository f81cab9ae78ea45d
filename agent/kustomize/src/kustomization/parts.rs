//! The structures inside `kustomization.yaml`.

use std::collections::BTreeMap;

use leeward_yaml::Mark;

use crate::{
    decode::Table,
    error::Outcome,
    fieldspec::FieldSpec,
    id::{Gvk, ResId, split_api_version},
    resource::MayChange,
    select::Selector,
};

#[derive(Clone, Debug, Default)]
pub(crate) struct Label {
    pub(crate) pairs: BTreeMap<String, String>,
    pub(crate) include_selectors: bool,
    pub(crate) include_templates: bool,
    pub(crate) fields: Vec<FieldSpec>,
}

impl Label {
    pub(crate) fn read(table: &Table<'_>) -> Outcome<Self> {
        Ok(Self {
            pairs: table.text_map("pairs")?,
            include_selectors: table.flag("includeSelectors")?,
            include_templates: table.flag("includeTemplates")?,
            fields: table.tables("fields", FieldSpec::read)?,
        })
    }
}

/// A strategic merge or JSON patch, inline or in a file.
#[derive(Clone, Debug, Default)]
pub(crate) struct Patch {
    pub(crate) path: String,
    pub(crate) inline: String,
    pub(crate) target: Option<Selector>,
    pub(crate) may_change: MayChange,
    pub(crate) mark: Mark,
}

impl Patch {
    pub(crate) fn read(table: &Table<'_>) -> Outcome<Self> {
        let may_change = table.table("options", |table| {
            let name = table.flag("allowNameChange")?;
            Ok(MayChange { name, kind: table.flag("allowKindChange")? })
        })?;
        Ok(Self {
            path: table.text("path")?,
            inline: table.text("patch")?,
            target: table.table("target", Selector::read)?,
            may_change: may_change.unwrap_or_default(),
            mark: table.node().mark,
        })
    }
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Image {
    pub(crate) name: String,
    pub(crate) new_name: String,
    pub(crate) tag_suffix: String,
    pub(crate) new_tag: String,
    pub(crate) digest: String,
}

impl Image {
    pub(crate) fn read(table: &Table<'_>) -> Outcome<Self> {
        Ok(Self {
            name: table.text("name")?,
            new_name: table.text("newName")?,
            tag_suffix: table.text("tagSuffix")?,
            new_tag: table.text("newTag")?,
            digest: table.text("digest")?,
        })
    }
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Replica {
    pub(crate) name: String,
    pub(crate) count: i64,
}

impl Replica {
    pub(crate) fn read(table: &Table<'_>) -> Outcome<Self> {
        Ok(Self { name: table.text("name")?, count: table.integer("count")? })
    }
}

/// Where a replacement reads or writes within a text.
#[derive(Clone, Debug, Default)]
pub(crate) struct FieldOptions {
    pub(crate) delimiter: String,
    pub(crate) index: i64,
    pub(crate) create: bool,
}

impl FieldOptions {
    fn read(table: &Table<'_>) -> Outcome<Self> {
        // Upstream reads it, and does nothing with it.
        table.text("encoding")?;
        Ok(Self {
            delimiter: table.text("delimiter")?,
            index: table.integer("index")?,
            create: table.flag("create")?,
        })
    }
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Source {
    pub(crate) id: ResId,
    pub(crate) field_path: String,
    pub(crate) options: Option<FieldOptions>,
}

impl Source {
    fn read(table: &Table<'_>) -> Outcome<Self> {
        Ok(Self {
            id: read_id(table)?,
            field_path: table.text("fieldPath")?,
            options: table.table("options", FieldOptions::read)?,
        })
    }
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Target {
    pub(crate) select: Option<Selector>,
    pub(crate) reject: Vec<Selector>,
    pub(crate) field_paths: Vec<String>,
    pub(crate) options: Option<FieldOptions>,
}

impl Target {
    fn read(table: &Table<'_>) -> Outcome<Self> {
        Ok(Self {
            select: table.table("select", Selector::read)?,
            reject: table.tables("reject", Selector::read)?,
            field_paths: table.texts("fieldPaths")?,
            options: table.table("options", FieldOptions::read)?,
        })
    }
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Replacement {
    /// A file with replacements instead.
    pub(crate) path: String,
    pub(crate) source: Option<Source>,
    pub(crate) source_value: Option<String>,
    /// `None` when there is no such field, which is not the same as none.
    pub(crate) targets: Option<Vec<Target>>,
    pub(crate) mark: Mark,
}

impl Replacement {
    pub(crate) fn read(table: &Table<'_>) -> Outcome<Self> {
        let has_targets = table.has("targets");
        let targets = table.tables("targets", Target::read)?;
        Ok(Self {
            path: table.text("path")?,
            source: table.table("source", Source::read)?,
            source_value: table
                .has("sourceValue")
                .then(|| table.text("sourceValue"))
                .transpose()?,
            targets: has_targets.then_some(targets),
            mark: table.node().mark,
        })
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Variable {
    pub(crate) name: String,
    pub(crate) object: ResId,
    pub(crate) field_path: String,
}

impl Variable {
    pub(crate) fn read(table: &Table<'_>) -> Outcome<Self> {
        let object = table.table("objref", |table| {
            let mut id = read_id(table)?;
            let api_version = table.text("apiVersion")?;
            if !api_version.is_empty() {
                let (group, version) = split_api_version(&api_version);
                if api_version.contains('/') {
                    group.clone_into(&mut id.gvk.group);
                }
                version.clone_into(&mut id.gvk.version);
            }
            Ok(id)
        })?;
        let field_path = table.table("fieldref", |table| table.text("fieldPath"))?;
        Ok(Self {
            name: table.text("name")?,
            object: object.unwrap_or_default(),
            field_path: field_path
                .filter(|path| !path.is_empty())
                .unwrap_or_else(|| "metadata.name".to_owned()),
        })
    }
}

#[derive(Clone, Debug, Default)]
pub(crate) struct SortOptions {
    pub(crate) order: String,
    /// Kinds that come first, and last.
    pub(crate) legacy: Option<(Vec<String>, Vec<String>)>,
}

impl SortOptions {
    pub(crate) fn read(table: &Table<'_>) -> Outcome<Self> {
        let legacy = table.table("legacySortOptions", |table| {
            Ok((table.texts("orderFirst")?, table.texts("orderLast")?))
        })?;
        Ok(Self { order: table.text("order")?, legacy })
    }
}

#[derive(Clone, Debug, Default)]
pub(crate) struct GeneratorOptions {
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) annotations: BTreeMap<String, String>,
    pub(crate) disable_hash: bool,
    pub(crate) immutable: bool,
}

impl GeneratorOptions {
    pub(crate) fn read(table: &Table<'_>) -> Outcome<Self> {
        Ok(Self {
            labels: table.text_map("labels")?,
            annotations: table.text_map("annotations")?,
            disable_hash: table.flag("disableNameSuffixHash")?,
            immutable: table.flag("immutable")?,
        })
    }

    /// With what holds for all generators; what one says itself wins.
    pub(crate) fn merged(own: Option<&Self>, global: Option<&Self>) -> Option<Self> {
        let Some(global) = global else { return own.cloned() };
        let mut merged = own.cloned().unwrap_or_default();
        for (own, global) in
            [(&mut merged.labels, &global.labels), (&mut merged.annotations, &global.annotations)]
        {
            for (key, value) in global {
                own.entry(key.clone()).or_insert_with(|| value.clone());
            }
        }
        merged.disable_hash |= global.disable_hash;
        merged.immutable |= global.immutable;
        Some(merged)
    }
}

/// Of a ConfigMap or a Secret.
#[derive(Clone, Debug, Default)]
pub(crate) struct Generator {
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) behavior: String,
    pub(crate) literals: Vec<String>,
    pub(crate) files: Vec<String>,
    pub(crate) envs: Vec<String>,
    pub(crate) options: Option<GeneratorOptions>,
    /// Of a Secret.
    pub(crate) secret_type: String,
    pub(crate) mark: Mark,
}

impl Generator {
    pub(crate) fn read(table: &Table<'_>) -> Outcome<Self> {
        let mut envs = table.texts("envs")?;
        let env = table.text("env")?;
        if !env.is_empty() {
            envs.push(env);
        }
        Ok(Self {
            namespace: table.text("namespace")?,
            name: table.text("name")?,
            behavior: table.text("behavior")?,
            literals: table.texts("literals")?,
            files: table.texts("files")?,
            envs,
            options: table.table("options", GeneratorOptions::read)?,
            secret_type: String::new(),
            mark: table.node().mark,
        })
    }

    pub(crate) fn read_secret(table: &Table<'_>) -> Outcome<Self> {
        Ok(Self { secret_type: table.text("type")?, ..Self::read(table)? })
    }
}

pub(crate) fn read_gvk(table: &Table<'_>) -> Outcome<Gvk> {
    Ok(Gvk {
        group: table.text("group")?,
        version: table.text("version")?,
        kind: table.text("kind")?,
    })
}

fn read_id(table: &Table<'_>) -> Outcome<ResId> {
    Ok(ResId {
        gvk: read_gvk(table)?,
        name: table.text("name")?,
        namespace: table.text("namespace")?,
        is_cluster_scoped: false,
    })
}

impl Selector {
    pub(crate) fn read(table: &Table<'_>) -> Outcome<Self> {
        let id = read_id(table)?;
        let annotations = table.text("annotationSelector")?;
        let labels = table.text("labelSelector")?;
        Ok(Self { id, annotations, labels })
    }
}

impl FieldSpec {
    pub(crate) fn read(table: &Table<'_>) -> Outcome<Self> {
        Ok(Self { gvk: read_gvk(table)?, path: table.text("path")?, create: table.flag("create")? })
    }
}
