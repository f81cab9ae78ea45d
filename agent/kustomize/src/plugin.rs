//! Built-in generators and transformers that are configured as objects, in
//! `generators`, `transformers` and `validators`.
//!
//! Unlike the fields of the kustomization they bring their own field specs:
//! what they do not name is left alone.

use leeward_yaml::{Node, Style, Tag};

use crate::{
    decode::{PLUGIN, Table},
    error::{Outcome, Problem},
    fieldspec::{FieldSpec, split_path},
    files::base_name,
    finish,
    generate::{GeneratorKind, generate},
    kustomization::{Generator, Image, Patch, Replacement, Replica},
    loader::Loader,
    origin::Origin,
    patch::{self, LoadedPatch},
    replacement,
    resmap::ResMap,
    resource::Resource,
    select::{Matcher, Selector},
    transform::{self, End, NamespaceTransform, SubjectMode},
};

/// What the field is for that names the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Generator,
    Transformer,
}

/// A configuration.
pub(crate) struct Plugin {
    pub(crate) resource: Resource,
    pub(crate) origin: Option<Origin>,
}

const GENERATORS: [&str; 3] = ["ConfigMapGenerator", "SecretGenerator", "IAMPolicyGenerator"];
const HELM: &str = "HelmChartInflationGenerator";

impl Plugin {
    pub(crate) fn read(resource: Resource, role: Role) -> Outcome<Self> {
        let origin = resource.origin.as_ref().map(|origin| Origin {
            path: String::new(),
            configured_in: origin.path.clone(),
            configured_by: vec![
                ("apiVersion", resource.api_version().to_owned()),
                ("kind", resource.kind().to_owned()),
                ("name", resource.name().to_owned()),
                ("namespace", resource.namespace().to_owned()),
            ],
        });
        let plugin = Self { resource, origin };
        let kind = plugin.resource.kind();
        if plugin.resource.api_version() != "builtin" {
            return Err(plugin.unsupported("functions and plug-ins are not run: hydrate in CI"));
        }
        if kind == HELM {
            return Err(plugin.unsupported("render it in CI and commit the output, or vendor it"));
        }
        let is_generator = GENERATORS.contains(&kind);
        match (role, is_generator) {
            (Role::Generator, false) => Err(plugin.wrong("it is no generator")),
            (Role::Transformer, true) => Err(plugin.wrong("it is no transformer")),
            _ => Ok(plugin),
        }
    }

    fn unsupported(&self, instead: &'static str) -> Box<crate::BuildError> {
        let what = format!("{} {}", self.resource.api_version(), self.resource.kind());
        let error: Box<crate::BuildError> = Problem::Unsupported { what, instead }.into();
        error.at(&self.resource.file, Some(self.resource.node.mark))
    }

    fn table(&self) -> Outcome<Table<'_>> {
        Table::of(&self.resource.node, self.resource.kind(), PLUGIN)
    }

    pub(crate) fn generate(&self, loader: &Loader<'_, '_>) -> Outcome<Vec<Resource>> {
        let outcome = self.table().and_then(|table| {
            if self.resource.kind() == "IAMPolicyGenerator" {
                return self.service_account(&table);
            }
            let kind = match self.resource.kind() {
                "SecretGenerator" => GeneratorKind::Secret,
                _ => GeneratorKind::ConfigMap,
            };
            let mut generator = Generator::read_secret(&table)?;
            if generator.name.is_empty() {
                self.resource.name().clone_into(&mut generator.name);
            }
            if generator.namespace.is_empty() {
                self.resource.namespace().clone_into(&mut generator.namespace);
            }
            generate(loader, kind, &generator, &self.resource.file)
        });
        self.resource.locate(outcome).map(|made| vec![made])
    }

    /// A ServiceAccount that stands for one of Google's cloud.
    fn service_account(&self, table: &Table<'_>) -> Outcome<Resource> {
        if table.text("cloud")? != "gke" {
            return Err(table.wrong("cloud", "only gke is known"));
        }
        let pair = |table: &Table<'_>, second: &str| Ok((table.text("name")?, table.text(second)?));
        let cluster = table.table("kubernetesService", |table| pair(table, "namespace"))?;
        let cloud = table.table("serviceAccount", |table| pair(table, "projectId"))?;
        let ((name, namespace), (account, project)) =
            (cluster.unwrap_or_default(), cloud.unwrap_or_default());
        let mut node = Node::mapping();
        node.put("apiVersion", Node::text_of("v1"));
        node.put("kind", Node::text_of("ServiceAccount"));
        let email = format!("{account}@{project}.iam.gserviceaccount.com");
        let mut annotations = Node::mapping();
        annotations.put("iam.gke.io/gcp-service-account", Node::text_of(email));
        let mut metadata = Node::mapping();
        metadata.put("annotations", annotations);
        metadata.put("name", Node::text_of(name));
        if !namespace.is_empty() {
            metadata.put("namespace", Node::text_of(namespace));
        }
        node.put("metadata", metadata);
        let (file, scopes) = (self.resource.file.clone(), self.resource.scopes.clone());
        Ok(Resource::new(node, file, scopes))
    }

    pub(crate) fn transform(&self, loader: &Loader<'_, '_>, map: &mut ResMap) -> Outcome<()> {
        let outcome = self.table().and_then(|table| self.run(&table, loader, map));
        self.resource.locate(outcome)
    }

    fn run(&self, table: &Table<'_>, loader: &Loader<'_, '_>, map: &mut ResMap) -> Outcome<()> {
        let specs = || table.tables("fieldSpecs", FieldSpec::read);
        match self.resource.kind() {
            "AnnotationsTransformer" => {
                transform::entries(map, &table.text_map("annotations")?, &specs()?)
            }
            "LabelTransformer" => transform::entries(map, &table.text_map("labels")?, &specs()?),
            "HashTransformer" => finish::add_hashes(map),
            "ImageTagTransformer" => {
                let image = table.table("imageTag", Image::read)?.unwrap_or_default();
                transform::images(map, &image, &specs()?)
            }
            "NamespaceTransformer" => {
                let subjects = match table.text("setRoleBindingSubjects")?.as_str() {
                    "" | "defaultOnly" => SubjectMode::DefaultOnly,
                    "allServiceAccounts" => SubjectMode::AllServiceAccounts,
                    "none" => SubjectMode::Nobody,
                    _ => {
                        let message = "must be defaultOnly, allServiceAccounts or none";
                        return Err(table.wrong("setRoleBindingSubjects", message));
                    }
                };
                let namespace = self.resource.namespace().to_owned();
                let unset_only = table.flag("unsetOnly")?;
                let specs = specs()?;
                let wanted = NamespaceTransform { namespace, specs, unset_only, subjects };
                transform::namespace(map, &wanted)
            }
            "PatchJson6902Transformer" => {
                let entry = Patch { inline: table.text("jsonOp")?, ..Patch::read(table)? };
                patch::apply_json_entry(loader, map, &entry, self.resource.name())
            }
            "PatchStrategicMergeTransformer" => self.strategic_merge(table, loader, map),
            "PatchTransformer" => {
                LoadedPatch::load(loader, &Patch::read(table)?)?.apply(loader, map)
            }
            "PrefixTransformer" => self.affix(table, map, &[(End::Prefix, "prefix")]),
            "SuffixTransformer" => self.affix(table, map, &[(End::Suffix, "suffix")]),
            "PrefixSuffixTransformer" => {
                self.affix(table, map, &[(End::Prefix, "prefix"), (End::Suffix, "suffix")])
            }
            "ReplacementTransformer" => {
                let list = table.tables("replacements", Replacement::read)?;
                let list = replacement::load(loader, &list)?;
                replacement::apply(map, &list, &loader.session.budget)
            }
            "ReplicaCountTransformer" => {
                let replica = table.table("replica", Replica::read)?.unwrap_or_default();
                transform::replicas(map, &replica, &specs()?)
            }
            "ValueAddTransformer" => self.add_value(table, loader, map),
            _ => Err(self.wrong("there is no such built-in")),
        }
    }

    fn affix(&self, table: &Table<'_>, map: &mut ResMap, ends: &[(End, &str)]) -> Outcome<()> {
        if !table.has("fieldSpecs") {
            return Err(self.wrong("fieldSpecs is missing"));
        }
        let specs = table.tables("fieldSpecs", FieldSpec::read)?;
        ends.iter()
            .try_for_each(|(end, key)| transform::affix(map, *end, &table.text(key)?, &specs))
    }

    fn strategic_merge(
        &self,
        table: &Table<'_>,
        loader: &Loader<'_, '_>,
        map: &mut ResMap,
    ) -> Outcome<()> {
        let (paths, inline) = (table.texts("paths")?, table.text("patches")?);
        let mut patches = Vec::new();
        for path in &paths {
            patches.extend(patch::load_strategic_merge(loader, path)?);
        }
        if !inline.is_empty() {
            patches.extend(patch::read_merge(loader, inline.as_bytes(), &self.resource.file)?);
        }
        if patches.is_empty() {
            return Err(self.wrong("there is no patch in it"));
        }
        patch::apply_strategic_merge(loader, map, &patches)
    }

    fn add_value(
        &self,
        table: &Table<'_>,
        loader: &Loader<'_, '_>,
        map: &mut ResMap,
    ) -> Outcome<()> {
        let mut value = table.text("value")?.trim().to_owned();
        if value.is_empty() {
            base_name(&loader.root).clone_into(&mut value);
        }
        let mut targets = table.tables("targets", ValueTarget::read)?;
        let path = table.text("targetFilePath")?;
        if !path.is_empty() {
            let loaded = loader.load("targetFilePath", &path)?;
            if let Some(document) = loader.parse(&loaded)? {
                let more = Table::of(&document, "", PLUGIN)
                    .and_then(|table| table.tables("targets", ValueTarget::read));
                targets.extend(more.map_err(|error| error.at(&loaded.file, None))?);
            }
        }
        if targets.is_empty() {
            return Err(self.wrong("targets is missing"));
        }
        for target in &targets {
            if target.field_path.is_empty() {
                return Err(self.wrong("a target needs a fieldPath"));
            }
            if target.position < 0 {
                return Err(self.wrong("filePathPosition cannot be negative"));
            }
            target.add(map, &value)?;
        }
        Ok(())
    }
}

/// Where a value goes.
struct ValueTarget {
    selector: Option<Selector>,
    field_path: String,
    /// Which segment of a path in the field it becomes; 0 replaces the field.
    position: i64,
}

impl ValueTarget {
    fn read(table: &Table<'_>) -> Outcome<Self> {
        Ok(Self {
            selector: table.table("selector", Selector::read)?,
            field_path: table.text("fieldPath")?,
            position: table.integer("filePathPosition")?,
        })
    }

    fn add(&self, map: &mut ResMap, value: &str) -> Outcome<()> {
        let matcher = self.selector.as_ref().map(Matcher::new).transpose()?;
        let fits = |resource: &Resource| matcher.as_ref().is_none_or(|m| m.fits(resource));
        for resource in map.list.iter_mut().filter(|resource| fits(resource)) {
            let outcome = if self.field_path == "metadata/namespace" {
                let mut alone = ResMap { list: vec![resource.clone()] };
                let namespace = value.to_owned();
                let wanted = NamespaceTransform { namespace, ..NamespaceTransform::default() };
                transform::namespace(&mut alone, &wanted).map(|()| {
                    if let Some(changed) = alone.list.pop() {
                        let history = resource.history.clone();
                        *resource = Resource { history, ..changed };
                    }
                })
            } else {
                self.set(&mut resource.node, value)
            };
            resource.locate(outcome)?;
        }
        Ok(())
    }

    fn set(&self, object: &mut Node, value: &str) -> Outcome<()> {
        let mut path = split_path(&self.field_path, '/').into_iter().peekable();
        let mut node = object;
        while let Some(name) = path.next() {
            if node.get(&name).is_none() {
                let is_last = path.peek().is_none();
                let made = if is_last {
                    Node::scalar("", Style::Plain, Tag::Str)
                } else {
                    Node::mapping()
                };
                node.put(&name, made);
            }
            node = node.get_mut(&name).ok_or_else(|| transform::not("a mapping"))?;
        }
        let new = match usize::try_from(self.position) {
            Ok(at @ 1..) => insert_segment(node.raw(), at - 1, value),
            _ => value.to_owned(),
        };
        transform::set_scalar(node, Node::plain_of(new))
    }
}

/// Makes `part` the segment of a path at an index; behind the end, the last one.
fn insert_segment(path: &str, at: usize, part: &str) -> String {
    let is_absolute = path.starts_with('/');
    let mut segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
    segments.insert(at.min(segments.len()), part);
    let joined = segments.join("/");
    if is_absolute { format!("/{joined}") } else { joined }
}
