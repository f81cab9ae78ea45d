//! Which fields transformations are about: upstream's table, and what
//! `configurations` and `crds` add to it.

mod crds;

use std::sync::{Arc, OnceLock};

use crate::{
    decode::{CONFIGURATION, Located, Table},
    error::{Outcome, Problem},
    fieldspec::FieldSpec,
    id::{Gvk, kind_rank},
    kustomization::read_gvk,
    loader::Loader,
};

/// `[section referent]`, then `+path gvk`; `+` makes missing fields.
const DEFAULT: &str = include_str!("default.txt");

/// What may refer by name to objects of a kind.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reference {
    pub(crate) referent: Gvk,
    pub(crate) fields: Vec<FieldSpec>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Config {
    pub(crate) name_prefix: Vec<FieldSpec>,
    pub(crate) name_suffix: Vec<FieldSpec>,
    pub(crate) namespace: Vec<FieldSpec>,
    pub(crate) common_labels: Vec<FieldSpec>,
    pub(crate) labels: Vec<FieldSpec>,
    pub(crate) template_labels: Vec<FieldSpec>,
    pub(crate) common_annotations: Vec<FieldSpec>,
    pub(crate) name_reference: Vec<Reference>,
    pub(crate) var_reference: Vec<FieldSpec>,
    pub(crate) images: Vec<FieldSpec>,
    pub(crate) replicas: Vec<FieldSpec>,
}

/// The lists of field specs by the names that they have in a file.
const SECTIONS: [&str; 10] = [
    "namePrefix",
    "nameSuffix",
    "namespace",
    "commonLabels",
    "labels",
    "templateLabels",
    "commonAnnotations",
    "varReference",
    "images",
    "replicas",
];

impl Config {
    fn section(&mut self, name: &str) -> Option<&mut Vec<FieldSpec>> {
        Some(match name {
            "namePrefix" => &mut self.name_prefix,
            "nameSuffix" => &mut self.name_suffix,
            "namespace" => &mut self.namespace,
            "commonLabels" => &mut self.common_labels,
            "labels" => &mut self.labels,
            "templateLabels" => &mut self.template_labels,
            "commonAnnotations" => &mut self.common_annotations,
            "varReference" => &mut self.var_reference,
            "images" => &mut self.images,
            "replicas" => &mut self.replicas,
            _ => return None,
        })
    }

    /// Upstream's table.
    pub(crate) fn standard() -> Self {
        let mut config = Self::default();
        let mut section = "";
        for line in DEFAULT.lines() {
            if let Some(head) = line.strip_prefix('[') {
                let head = head.trim_end_matches(']');
                let (name, referent) = head.split_once(' ').unwrap_or((head, ""));
                section = name;
                if name == "nameReference" {
                    let referent = read_parts(referent);
                    config.name_reference.push(Reference { referent, fields: Vec::new() });
                }
                continue;
            }
            let (create, rest) = (line.starts_with('+'), &line[1..]);
            let (path, gvk) = rest.split_once(' ').unwrap_or((rest, ""));
            let spec = FieldSpec { gvk: read_parts(gvk), path: path.to_owned(), create };
            match config.section(section) {
                Some(specs) => specs.push(spec),
                None => {
                    if let Some(reference) = config.name_reference.last_mut() {
                        reference.fields.push(spec);
                    }
                }
            }
        }
        config.sort();
        config
    }

    /// The same for all builds.
    fn shared() -> Arc<Self> {
        static STANDARD: OnceLock<Arc<Config>> = OnceLock::new();
        Arc::clone(STANDARD.get_or_init(|| Arc::new(Self::standard())))
    }

    /// Adds what a kustomization has to what came together so far. In most
    /// builds all have the same table, which is neither copied nor compared.
    pub(crate) fn share(own: &mut Arc<Self>, other: &Arc<Self>) -> Outcome<()> {
        if Arc::ptr_eq(own, other) {
            return Ok(());
        }
        if own.is_empty() && Arc::ptr_eq(other, &Self::shared()) {
            *own = Arc::clone(other);
            return Ok(());
        }
        // Also into an empty one: a spec for all kinds goes when one for some
        // kinds has the same path, which shows in what upstream builds.
        Arc::make_mut(own).merge((**other).clone())
    }

    /// A table is never without name prefixes.
    fn is_empty(&self) -> bool {
        self.name_prefix.is_empty() && self.name_reference.is_empty()
    }

    /// Upstream's table with the files of `configurations` and `crds`.
    pub(crate) fn load(
        loader: &Loader<'_, '_>,
        configurations: &[Located],
        crds: &[Located],
        file: &str,
    ) -> Outcome<Arc<Self>> {
        let mut config = Self::shared();
        for (field, paths) in [("configurations", configurations), ("crds", crds)] {
            if paths.is_empty() {
                continue;
            }
            let mut own = Self::default();
            for path in paths {
                let loaded = loader.load(field, &path.text);
                let loaded = loaded.map_err(|error| error.at(file, Some(path.mark)))?;
                let document = match field {
                    "crds" => loader.parse(&loaded)?,
                    _ => loader.parse_strictly(&loaded)?,
                };
                let Some(document) = document else { continue };
                let more = match field {
                    "crds" => crds::read(&document),
                    _ => Table::of(&document, "", CONFIGURATION)
                        .and_then(|table| table.read(Self::read)),
                };
                let merged = more.and_then(|more| own.merge(more));
                merged.map_err(|error| error.at(&loaded.file, None))?;
            }
            Arc::make_mut(&mut config).merge(own)?;
        }
        Ok(config)
    }

    fn read(table: &Table<'_>) -> Outcome<Self> {
        let mut config = Self::default();
        for name in SECTIONS {
            let specs = table.tables(name, FieldSpec::read)?;
            if let Some(section) = config.section(name) {
                *section = specs;
            }
        }
        config.name_reference = table.tables("nameReference", |table| {
            let fields = table.tables("fieldSpecs", FieldSpec::read)?;
            Ok(Reference { referent: read_gvk(table)?, fields })
        })?;
        config.sort();
        Ok(config)
    }

    pub(crate) fn merge(&mut self, mut other: Self) -> Outcome<()> {
        for name in SECTIONS {
            let incoming = other.section(name).map(std::mem::take).unwrap_or_default();
            if let Some(section) = self.section(name) {
                merge_specs(section, incoming)?;
            }
        }
        for reference in other.name_reference {
            let own = &mut self.name_reference;
            match own.iter_mut().find(|known| known.referent == reference.referent) {
                Some(known) => merge_specs(&mut known.fields, reference.fields)?,
                None => own.push(reference),
            }
        }
        self.sort();
        Ok(())
    }

    fn sort(&mut self) {
        for name in SECTIONS {
            if let Some(section) = self.section(name) {
                section.sort_by_cached_key(|spec| sort_key(&spec.gvk));
            }
        }
        self.name_reference.sort_by_cached_key(|reference| sort_key(&reference.referent));
    }
}

/// Adds what is not there yet; the same field may not be both made and left.
pub(crate) fn merge_specs(own: &mut Vec<FieldSpec>, incoming: Vec<FieldSpec>) -> Outcome<()> {
    for spec in incoming {
        let known =
            own.iter().find(|own| own.path == spec.path && own.gvk.is_selected_by(&spec.gvk));
        match known {
            None => own.push(spec),
            Some(known) if known.create == spec.create => {}
            Some(_) => {
                let message = "is configured twice, with and without create".to_owned();
                return Err(Problem::Field { field: spec.path, message }.into());
            }
        }
    }
    Ok(())
}

/// `group,version,kind`
fn read_parts(text: &str) -> Gvk {
    let mut parts = text.split(',').map(str::to_owned);
    let mut next = || parts.next().unwrap_or_default();
    Gvk { group: next(), version: next(), kind: next() }
}

/// The order of kinds that upstream sorts its tables by.
fn sort_key(gvk: &Gvk) -> (i32, String) {
    let or = |text: &str, none: &'static str| {
        if text.is_empty() { none.to_owned() } else { text.to_owned() }
    };
    let Gvk { group, version, kind } = gvk;
    let text = format!("{}_{}_{}", or(group, "~G"), or(version, "~V"), or(kind, "~K"));
    (kind_rank(kind), text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_standard_table_is_whole() {
        let config = Config::standard();
        let references: usize = config.name_reference.iter().map(|r| r.fields.len()).sum();
        assert_eq!((config.name_reference.len(), references), (16, 167));
        assert_eq!((config.common_labels.len(), config.images.len()), (32, 6));
    }
}
