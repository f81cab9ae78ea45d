//! The transformers of one kustomization, in upstream's order.

use super::accumulate::{Accumulator, Target};
use crate::{
    config::merge_specs,
    decode::Located,
    error::{Outcome, Problem, echo},
    fieldspec::FieldSpec,
    kustomization::{Label, Patch},
    origin::Origin,
    patch::{self, LoadedPatch},
    plugin::{Plugin, Role},
    replacement,
    resmap::ResMap,
    resource::Resource,
    transform::{self, End, NamespaceTransform},
};

impl Target<'_, '_> {
    pub(super) fn transform(&self, into: &mut Accumulator) -> Outcome<()> {
        self.patches(&mut into.map)?;
        self.names(into)?;
        self.labels(into)?;
        self.values(into)?;
        for plugin in self.plugins(&self.kustomization.transformers, "transformers")? {
            let map = &mut into.map;
            plugin.transform(&self.loader, map)?;
            self.finish_step(map, plugin.origin.as_ref(), 0)?;
        }
        Ok(())
    }

    fn patches(&self, map: &mut ResMap) -> Outcome<()> {
        let own = &self.kustomization;
        let loader = &self.loader;
        if !own.patches_strategic_merge.is_empty() {
            let mut patches = Vec::new();
            for entry in &own.patches_strategic_merge {
                let loaded = patch::load_strategic_merge(loader, &entry.text);
                patches.extend(loaded.map_err(|error| error.at(&self.file, Some(entry.mark)))?);
            }
            if patches.is_empty() {
                return Err(patch::problem("patchesStrategicMerge", "there is no patch in it"));
            }
            patch::apply_strategic_merge(loader, map, &patches)?;
            self.done(map, "PatchStrategicMergeTransformer", 0)?;
        }
        for entry in &own.patches {
            let outcome =
                LoadedPatch::load(loader, entry).and_then(|patch| patch.apply(loader, map));
            outcome.map_err(|error| error.at(&self.file, Some(entry.mark)))?;
            self.done(map, "PatchTransformer", 0)?;
        }
        Ok(())
    }

    fn names(&self, into: &mut Accumulator) -> Outcome<()> {
        let own = &self.kustomization;
        let Accumulator { map, config, .. } = into;
        if !own.namespace.is_empty() {
            let specs = config.namespace.clone();
            let namespace = own.namespace.clone();
            let wanted = NamespaceTransform { namespace, specs, ..NamespaceTransform::default() };
            transform::namespace(map, &wanted)?;
            self.done(map, "NamespaceTransformer", config.namespace.len())?;
        }
        if !own.name_prefix.is_empty() {
            transform::affix(map, End::Prefix, &own.name_prefix, &config.name_prefix)?;
            self.done(map, "PrefixTransformer", config.name_prefix.len())?;
        }
        if !own.name_suffix.is_empty() {
            transform::affix(map, End::Suffix, &own.name_suffix, &config.name_suffix)?;
            self.done(map, "SuffixTransformer", config.name_suffix.len())?;
        }
        Ok(())
    }

    /// Everything behind the labels.
    fn values(&self, into: &mut Accumulator) -> Outcome<()> {
        let own = &self.kustomization;
        let Accumulator { map, config, .. } = into;
        if !own.common_annotations.is_empty() {
            transform::entries(map, &own.common_annotations, &config.common_annotations)?;
            let fields = config.common_annotations.len() * own.common_annotations.len();
            self.done(map, "AnnotationsTransformer", fields)?;
        }
        for entry in &own.patches_json {
            let outcome = self.json_patch(map, entry);
            outcome.map_err(|error| error.at(&self.file, Some(entry.mark)))?;
            self.done(map, "PatchJson6902Transformer", 0)?;
        }
        for replica in &own.replicas {
            let outcome = transform::replicas(map, replica, &config.replicas);
            outcome.map_err(|error| error.at(&self.file, None))?;
            self.done(map, "ReplicaCountTransformer", config.replicas.len())?;
        }
        for image in &own.images {
            transform::images(map, image, &config.images)?;
            self.done(map, "ImageTagTransformer", config.images.len())?;
        }
        if !own.replacements.is_empty() {
            let replacements = replacement::load(&self.loader, &own.replacements)?;
            let outcome = replacement::apply(map, &replacements, &self.loader.session.budget);
            outcome.map_err(|error| error.at(&self.file, None))?;
            self.done(map, "ReplacementTransformer", 0)?;
        }
        Ok(())
    }

    fn labels(&self, into: &mut Accumulator) -> Outcome<()> {
        let own = &self.kustomization;
        if own.labels.is_empty() && own.common_labels.is_empty() {
            return Ok(());
        }
        for label in &own.labels {
            let specs = label_specs(label, into)?;
            transform::entries(&mut into.map, &label.pairs, &specs)?;
            self.done(&mut into.map, "LabelTransformer", specs.len() * label.pairs.len())?;
        }
        let Accumulator { map, config, .. } = into;
        transform::entries(map, &own.common_labels, &config.common_labels)?;
        self.done(map, "LabelTransformer", config.common_labels.len() * own.common_labels.len())
    }

    fn json_patch(&self, map: &mut ResMap, entry: &Patch) -> Outcome<()> {
        let name = if entry.path.is_empty() { echo(&entry.inline) } else { entry.path.clone() };
        patch::apply_json_entry(&self.loader, map, entry, &name)
    }

    /// A built-in step is over that looked for so many fields in each object.
    fn done(&self, map: &mut ResMap, kind: &str, fields: usize) -> Outcome<()> {
        self.finish_step(map, self.builtin_origin(kind).as_ref(), fields)
    }

    /// Pays for a step, notes it, and drops what it deleted.
    fn finish_step(&self, map: &mut ResMap, origin: Option<&Origin>, fields: usize) -> Outcome<()> {
        /// Fields that cost as much as looking at an object.
        const FIELDS: usize = 50;
        /// Bytes of a note.
        const NOTE: usize = 200;
        let budget = &self.loader.session.budget;
        budget.work(map.list.len().saturating_mul(1 + fields / FIELDS))?;
        if let Some(origin) = origin {
            budget.copied(map.list.len().saturating_mul(NOTE))?;
            mark_all(map, origin);
        }
        map.drop_blank();
        Ok(())
    }

    pub(super) fn validate(&self, into: &Accumulator) -> Outcome<()> {
        for plugin in self.plugins(&self.kustomization.validators, "validators")? {
            let mut map = into.map.clone();
            plugin.transform(&self.loader, &mut map)?;
            let nodes = |map: &ResMap| -> Vec<_> {
                map.list.iter().map(|resource| resource.node.clone()).collect()
            };
            if nodes(&map) != nodes(&into.map) {
                return Err(plugin.wrong("a validator must not change anything"));
            }
        }
        Ok(())
    }

    pub(super) fn plugin_generators(&self, into: &mut Accumulator) -> Outcome<()> {
        let budget = &self.loader.session.budget;
        for plugin in self.read_plugins(&self.kustomization.generators, "generators")? {
            let plugin = Plugin::read(plugin, Role::Generator)?;
            for mut made in plugin.generate(&self.loader)? {
                made.origin.clone_from(&plugin.origin);
                into.map.absorb(made, budget)?;
            }
        }
        Ok(())
    }

    fn plugins(&self, entries: &[Located], field: &str) -> Outcome<Vec<Plugin>> {
        let configurations = self.read_plugins(entries, field)?;
        configurations
            .into_iter()
            .map(|configuration| Plugin::read(configuration, Role::Transformer))
            .collect()
    }

    /// Configurations that stand in the field itself come before those in files.
    fn read_plugins(&self, entries: &[Located], field: &str) -> Outcome<Vec<Resource>> {
        let mut into = Accumulator::default();
        let mut paths = Vec::new();
        let budget = &self.loader.session.budget;
        for entry in entries {
            match self.read_resources(entry.text.as_bytes(), &self.file) {
                Err(_) => paths.push(entry.clone()),
                Ok(mut inline) => {
                    for resource in &mut inline {
                        resource.origin =
                            self.origin.as_ref().map(|origin| origin.append(self.file_name));
                    }
                    into.map.append_all(inline, budget)?;
                }
            }
        }
        Ok(self.resources(into, &paths, field)?.map.list)
    }
}

/// The fields that an entry of `labels` is about.
fn label_specs(label: &Label, into: &Accumulator) -> Outcome<Vec<FieldSpec>> {
    let mut specs = label.fields.clone();
    merge_specs(&mut specs, into.config.labels.clone())?;
    if label.include_selectors {
        merge_specs(&mut specs, into.config.common_labels.clone())?;
        return Ok(specs);
    }
    if label.include_templates {
        merge_specs(&mut specs, into.config.template_labels.clone())?;
    }
    merge_specs(&mut specs, vec![FieldSpec::of_path("metadata/labels")])?;
    Ok(specs)
}

fn mark_all(map: &mut ResMap, origin: &Origin) {
    for resource in &mut map.list {
        match &resource.origin {
            None => resource.origin = Some(origin.clone()),
            Some(_) => resource.transformations.push(origin.clone()),
        }
    }
}

impl Plugin {
    pub(crate) fn wrong(&self, message: &str) -> Box<crate::BuildError> {
        let problem = Problem::Plugin {
            kind: self.resource.kind().to_owned(),
            name: self.resource.name().to_owned(),
            message: message.to_owned(),
        };
        Box::<crate::BuildError>::from(problem)
            .at(&self.resource.file, Some(self.resource.node.mark))
    }
}
