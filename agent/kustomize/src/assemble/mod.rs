//! A build from outside: the folder, what is wanted, what comes out.

mod accumulate;
mod pipeline;

use std::{cell::RefCell, rc::Rc};

use leeward_yaml::{Dialect, emit};
use serde_json::Value;

use crate::{
    budget::{Budget, Limits, weigh},
    error::{Outcome, Problem},
    files::{Files, Found, join},
    finish,
    kustomization::{Kustomization, SortOptions},
    load::{is_internal_annotation, validate},
    loader::{LoadRestrictor, Loader, Session},
    origin,
    resmap::ResMap,
    resource::Resource,
    schema::Scopes,
    transform,
};

use accumulate::{Accumulator, Target};

const ORIGIN: &str = "config.kubernetes.io/origin";
const TRANSFORMATIONS: &str = "alpha.config.kubernetes.io/transformations";
const LOCAL: &str = "config.kubernetes.io/local-config";
const MANAGED_BY: (&str, &str) = ("app.kubernetes.io/managed-by", "kustomize-v5.8.1");

/// The order of the output, unless the kustomization says (`sortOptions`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reorder {
    /// As `kustomize build`: what others need comes first.
    #[default]
    Legacy,
    /// As the objects were declared.
    None,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    pub restrictor: LoadRestrictor,
    pub reorder: Reorder,
    pub limits: Limits,
}

/// What a folder builds to.
#[derive(Clone, Debug, PartialEq)]
pub struct Build {
    pub objects: Vec<Object>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Object {
    pub value: Value,
    /// The file that declared it, or the kustomization that generates it, as people call it.
    pub file: String,
    /// Where in the file; 0 when it stands in none.
    pub line: u32,
}

impl Build {
    /// The stream that `kustomize build` prints.
    pub fn to_yaml(&self) -> String {
        emit::stream(self.objects.iter().map(|object| &object.value))
    }
}

/// Builds the kustomization in a folder.
pub fn build(
    files: &dyn Files,
    folder: &str,
    options: &Options,
) -> Result<Build, Box<crate::BuildError>> {
    let session = Session {
        files,
        budget: Budget::new(options.limits),
        restrictor: options.restrictor,
        schema: RefCell::new(None),
        scopes: RefCell::new(Rc::new(Scopes::default())),
    };
    let loader = Loader::new(&session, real_folder(files, folder)?);
    session.budget.kustomization(0)?;
    let target = Target::load(loader)?;
    let outcome = customized(&target, options);
    outcome.map_err(|error| error.within(&target.file))
}

/// The folder with links followed.
fn real_folder(files: &dyn Files, folder: &str) -> Outcome<String> {
    let path = join("", folder).unwrap_or_default();
    let shown = files.shown(&path);
    match files.look(&path) {
        Ok(Found::Folder(real)) => Ok(real),
        Ok(Found::File(_)) => Err(Problem::NoKustomization { folder: shown }.into()),
        Ok(Found::Nothing) => Err(Problem::Missing { path: shown }.into()),
        Err(error) if error.missing => Err(Problem::NotArrived { path: shown }.into()),
        Err(error) => Err(Problem::Unreadable { path: shown, message: error.message }.into()),
    }
}

fn customized(target: &Target<'_, '_>, options: &Options) -> Outcome<Build> {
    target.set_schema()?;
    let budget = &target.loader.session.budget;
    let Accumulator { mut map, config, variables } = target.accumulate(Accumulator::default())?;
    let fields = config.name_reference.iter().map(|reference| reference.fields.len());
    let fields = fields.sum::<usize>() + config.var_reference.len();
    budget.work(map.list.len().saturating_mul(1 + fields / 100))?;
    finish::add_hashes(&mut map)?;
    finish::fix_references(&mut map, &config)?;
    finish::resolve_variables(&mut map, &variables, &config, budget)?;
    map.list.retain(is_for_cluster);
    for resource in &map.list {
        resource.locate(validate(&resource.node))?;
    }
    let sort_options = target.kustomization.sort_options.clone();
    let fallback = match options.reorder {
        Reorder::Legacy => "legacy",
        Reorder::None => "fifo",
    };
    let sort_options = sort_options
        .unwrap_or_else(|| SortOptions { order: fallback.to_owned(), ..SortOptions::default() });
    finish::sort(&mut map, &sort_options)?;
    annotate(&mut map, &target.kustomization)?;
    let bytes = map.list.iter().map(|resource| weigh(&resource.node).bytes);
    let limit = options.limits.output;
    if bytes.fold(0, usize::saturating_add) > limit.saturating_mul(4) {
        return Err(Problem::Limit { what: "bytes of output", limit }.into());
    }
    map.list.into_iter().map(object).collect::<Outcome<_>>().map(|objects| Build { objects })
}

/// What is marked as local serves the build only.
fn is_for_cluster(resource: &Resource) -> bool {
    let mark = resource.node.at(&["metadata", "annotations", LOCAL]);
    mark.is_none_or(|value| value.raw() == "false") && !resource.node.is_blank()
}

/// Adds what `buildMetadata` asks for, and takes the notes of the build away.
fn annotate(map: &mut ResMap, kustomization: &Kustomization) -> Outcome<()> {
    let wants = |option: &str| kustomization.build_metadata.iter().any(|own| own == option);
    if wants("managedByLabel") {
        let label = [(MANAGED_BY.0.to_owned(), MANAGED_BY.1.to_owned())].into();
        let spec = crate::fieldspec::FieldSpec::of_path("metadata/labels");
        transform::entries(map, &label, &[spec])?;
    }
    let (origins, transformations) = (wants("originAnnotations"), wants("transformerAnnotations"));
    for resource in &mut map.list {
        let mut annotations = resource.annotations();
        let had_any = !annotations.is_empty();
        annotations.retain(|key, _| {
            !is_internal_annotation(key)
                && (origins || key != ORIGIN)
                && (transformations || key != TRANSFORMATIONS)
        });
        if let Some(origin) = resource.origin.as_ref().filter(|_| origins) {
            annotations.insert(ORIGIN.to_owned(), origin.text());
        }
        if transformations && !resource.transformations.is_empty() {
            let text = origin::list_text(&resource.transformations);
            annotations.insert(TRANSFORMATIONS.to_owned(), text);
        }
        if had_any || !annotations.is_empty() || !(origins && transformations) {
            resource.set_annotations(&annotations);
        }
    }
    Ok(())
}

fn object(resource: Resource) -> Outcome<Object> {
    let (file, line) = (resource.file.to_string(), resource.node.mark.line);
    let id = resource.id().to_string();
    let value = resource.node.into_json(Dialect::Kustomize).map_err(|errors| {
        let error = errors.into_iter().next();
        let problem = error.as_ref().map(|error| error.problem.to_string()).unwrap_or_default();
        let problem = Problem::Object { object: id, message: problem };
        Box::<crate::BuildError>::from(problem).at(&file, error.map(|error| error.mark))
    })?;
    Ok(Object { value, file, line })
}
