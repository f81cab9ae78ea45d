//! `kustomization.yaml` as a structure.

mod parts;

use std::collections::BTreeMap;

use leeward_yaml::{Dialect, Node};

pub(crate) use parts::read_gvk;
pub(crate) use parts::{
    FieldOptions, Generator, GeneratorOptions, Image, Label, Patch, Replacement, Replica,
    SortOptions, Source, Target, Variable,
};

use crate::{
    decode::{KUSTOMIZATION, Located, Table},
    error::{Outcome, Problem},
};

/// Each makes a folder a kustomization; only one may be there.
pub const FILE_NAMES: [&str; 3] = ["kustomization.yaml", "kustomization.yml", "Kustomization"];

const HYDRATE: &str = "render the chart in CI and commit the output, or vendor it";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Kustomization,
    Component,
}

#[derive(Clone, Debug)]
pub(crate) struct Kustomization {
    pub(crate) kind: Kind,
    pub(crate) openapi: BTreeMap<String, String>,
    pub(crate) name_prefix: String,
    pub(crate) name_suffix: String,
    pub(crate) namespace: String,
    pub(crate) common_labels: BTreeMap<String, String>,
    pub(crate) labels: Vec<Label>,
    pub(crate) common_annotations: BTreeMap<String, String>,
    pub(crate) patches_strategic_merge: Vec<Located>,
    pub(crate) patches_json: Vec<Patch>,
    pub(crate) patches: Vec<Patch>,
    pub(crate) images: Vec<Image>,
    pub(crate) replacements: Vec<Replacement>,
    pub(crate) replicas: Vec<Replica>,
    pub(crate) variables: Vec<Variable>,
    pub(crate) sort_options: Option<SortOptions>,
    /// With `bases`, which is the older name.
    pub(crate) resources: Vec<Located>,
    pub(crate) components: Vec<Located>,
    pub(crate) crds: Vec<Located>,
    pub(crate) config_maps: Vec<Generator>,
    pub(crate) secrets: Vec<Generator>,
    pub(crate) generator_options: Option<GeneratorOptions>,
    pub(crate) configurations: Vec<Located>,
    pub(crate) generators: Vec<Located>,
    pub(crate) transformers: Vec<Located>,
    pub(crate) validators: Vec<Located>,
    pub(crate) build_metadata: Vec<String>,
}

impl Kustomization {
    /// Reads the document of a file; `None` is an empty file.
    pub(crate) fn read(document: Option<&Node>) -> Outcome<Self> {
        let Some(node) = document.filter(|node| !node.is_null(Dialect::Kubernetes)) else {
            return Err(Problem::Empty.into());
        };
        let is_type = |key: &str| matches!(key, "apiVersion" | "kind");
        let says_something = |value: &Node| {
            !value.is_null(Dialect::Kubernetes)
                && value.as_scalar().is_none_or(|scalar| !scalar.text.is_empty())
        };
        let is_empty = node.is_mapping()
            && !node.entries().iter().any(|e| !is_type(&e.key) && says_something(&e.value));
        let read = Table::of(node, "", KUSTOMIZATION)?.read(read)?;
        if is_empty { Err(Problem::Empty.into()) } else { Ok(read) }
    }
}

fn read(table: &Table<'_>) -> Outcome<Kustomization> {
    let kind = read_kind(table)?;
    refuse_helm(table)?;
    table.table("metadata", |table| {
        table.text("name")?;
        table.text("namespace")?;
        table.text_map("labels")?;
        table.text_map("annotations")
    })?;
    let mut resources = table.located("resources")?;
    resources.extend(table.located("bases")?);
    let mut images = table.tables("images", Image::read)?;
    images.extend(table.tables("imageTags", Image::read)?);
    Ok(Kustomization {
        kind,
        openapi: table.text_map("openapi")?,
        name_prefix: table.text("namePrefix")?,
        name_suffix: table.text("nameSuffix")?,
        namespace: table.text("namespace")?,
        common_labels: table.text_map("commonLabels")?,
        labels: table.tables("labels", Label::read)?,
        common_annotations: table.text_map("commonAnnotations")?,
        patches_strategic_merge: table.located("patchesStrategicMerge")?,
        patches_json: table.tables("patchesJson6902", Patch::read)?,
        patches: table.tables("patches", Patch::read)?,
        images,
        replacements: table.tables("replacements", Replacement::read)?,
        replicas: table.tables("replicas", Replica::read)?,
        variables: table.tables("vars", Variable::read)?,
        sort_options: table.table("sortOptions", SortOptions::read)?,
        resources,
        components: table.located("components")?,
        crds: table.located("crds")?,
        config_maps: table.tables("configMapGenerator", Generator::read)?,
        secrets: table.tables("secretGenerator", Generator::read_secret)?,
        generator_options: table.table("generatorOptions", GeneratorOptions::read)?,
        configurations: table.located("configurations")?,
        generators: table.located("generators")?,
        transformers: table.located("transformers")?,
        validators: table.located("validators")?,
        build_metadata: table.texts("buildMetadata")?,
    })
}

fn read_kind(table: &Table<'_>) -> Outcome<Kind> {
    let kind = match table.text("kind")?.as_str() {
        "" | "Kustomization" => Kind::Kustomization,
        "Component" => Kind::Component,
        _ => return Err(table.wrong("kind", "must be Kustomization or Component")),
    };
    let wanted = match kind {
        Kind::Kustomization => "kustomize.config.k8s.io/v1beta1",
        Kind::Component => "kustomize.config.k8s.io/v1alpha1",
    };
    let api_version = table.text("apiVersion")?;
    if !api_version.is_empty() && api_version != wanted {
        return Err(table.wrong("apiVersion", &format!("must be {wanted}")));
    }
    Ok(kind)
}

/// Helm would have to be run, and charts be fetched.
fn refuse_helm(table: &Table<'_>) -> Outcome<()> {
    for field in ["helmCharts", "helmChartInflationGenerator", "helmGlobals"] {
        let Some(node) = table.get(field) else { continue };
        if !node.is_blank() {
            let problem = Problem::Unsupported { what: field.to_owned(), instead: HYDRATE };
            return Err(Box::<crate::BuildError>::from(problem).at("", Some(node.mark)));
        }
    }
    Ok(())
}
