//! The walk over kustomizations: resources, then generators, then components,
//! then transformers, then validators.

use std::{rc::Rc, sync::Arc};

use leeward_yaml::Duplicates;

use crate::{
    config::Config,
    decode::Located,
    error::{Outcome, Problem},
    files::Found,
    finish::Variables,
    generate::{GeneratorKind, generate},
    kustomization::{FILE_NAMES, Generator, GeneratorOptions, Kind, Kustomization, Variable},
    load,
    loader::Loader,
    origin::Origin,
    resmap::ResMap,
    resource::Resource,
    schema::{BUILTIN_VERSION, parse_custom},
};

/// What has come together so far.
#[derive(Default)]
pub(crate) struct Accumulator {
    pub(crate) map: ResMap,
    pub(crate) config: Arc<Config>,
    pub(crate) variables: Variables,
}

/// One kustomization.
pub(crate) struct Target<'s, 'f> {
    pub(crate) loader: Loader<'s, 'f>,
    pub(crate) kustomization: Kustomization,
    /// Its file as people call it.
    pub(crate) file: String,
    pub(crate) file_name: &'static str,
    /// Where it lies, seen from the outermost one; `None` when nobody asks.
    pub(crate) origin: Option<Origin>,
}

impl<'s, 'f> Target<'s, 'f> {
    pub(crate) fn load(loader: Loader<'s, 'f>) -> Outcome<Self> {
        let mut found = Vec::new();
        for name in FILE_NAMES {
            match loader.resolve("kustomization", name) {
                Ok(Found::File(path)) => found.push((name, path)),
                Ok(_) => {}
                Err(error) if matches!(error.problem, Problem::Missing { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        let folder = loader.shown(&loader.root);
        let (file_name, path) = match found.as_slice() {
            [] => return Err(Problem::NoKustomization { folder }.into()),
            [(name, path)] => (*name, path),
            [(first, _), (second, _), ..] => {
                let (first, second) = ((*first).to_owned(), (*second).to_owned());
                return Err(Problem::TwoKustomizations { folder, first, second }.into());
            }
        };
        let loaded = loader.read(path)?;
        let document = loader.parse(&loaded)?;
        let kustomization = Kustomization::read(document.as_ref());
        let kustomization = kustomization.map_err(|error| error.at(&loaded.file, None))?;
        let origin = (!kustomization.build_metadata.is_empty()).then(Origin::default);
        Ok(Self { loader, kustomization, file: loaded.file, file_name, origin })
    }

    /// Uses the OpenAPI document that the kustomization names, unless one is in use.
    pub(crate) fn set_schema(&self) -> Outcome<()> {
        let openapi = &self.kustomization.openapi;
        let session = self.loader.session;
        if session.schema.borrow().is_some() {
            return Ok(());
        }
        let (version, path) = (openapi.get("version"), openapi.get("path"));
        let wrong = |message: &str| -> Box<crate::BuildError> {
            let field = "openapi".to_owned();
            let problem = Problem::Field { field, message: message.to_owned() };
            Box::<crate::BuildError>::from(problem).at(&self.file, None)
        };
        let Some(path) = path else {
            return match version {
                Some(version) if !version.is_empty() && version != BUILTIN_VERSION => {
                    Err(wrong(&format!("only version {BUILTIN_VERSION} is built in")))
                }
                _ => Ok(()),
            };
        };
        let loaded = self.loader.load("openapi", path)?;
        if version.is_some() {
            return Err(wrong("version and path exclude each other"));
        }
        let Some(document) = self.loader.parse(&loaded)? else {
            return Err(wrong("the file is empty"));
        };
        let (schema, scopes) = parse_custom(&document);
        *session.schema.borrow_mut() = Some(Rc::new(schema));
        *session.scopes.borrow_mut() = Rc::new(scopes);
        Ok(())
    }

    /// Adds what the kustomization declares and changes. A component is given
    /// what its parent has so far, anything else nothing.
    pub(crate) fn accumulate(&self, mut into: Accumulator) -> Outcome<Accumulator> {
        let own = &self.kustomization;
        into = self.resources(into, &own.resources, "resources")?;
        let config = Config::load(&self.loader, &own.configurations, &own.crds, &self.file)?;
        Config::share(&mut into.config, &config)?;
        self.generators(&mut into)?;
        for path in &own.components {
            let outcome = self.component(into, &path.text);
            into = outcome.map_err(|error| error.at(&self.file, Some(path.mark)))?;
        }
        self.transform(&mut into)?;
        self.validate(&into)?;
        merge_variables(&mut into, &own.variables)?;
        Ok(into)
    }

    /// Adds files, and folders with kustomizations.
    pub(super) fn resources(
        &self,
        mut into: Accumulator,
        paths: &[Located],
        field: &str,
    ) -> Outcome<Accumulator> {
        let mut all = Vec::new();
        for path in paths {
            let outcome = self.resource(&mut into, &path.text, field);
            all.extend(outcome.map_err(|error| error.at(&self.file, Some(path.mark)))?);
            self.loader.session.budget.objects(all.len())?;
        }
        into.map.append_all(all, &self.loader.session.budget)?;
        Ok(into)
    }

    fn resource(&self, into: &mut Accumulator, path: &str, field: &str) -> Outcome<Vec<Resource>> {
        match self.loader.resolve(field, path)? {
            Found::File(file) => self.file(&file, path),
            Found::Nothing => Ok(Vec::new()),
            Found::Folder(root) => {
                let built = self.directory(Accumulator::default(), root, path, false)?;
                Config::share(&mut into.config, &built.config)?;
                for variable in built.variables.into_values() {
                    add_variable(into, variable)?;
                }
                Ok(built.map.list)
            }
        }
    }

    fn file(&self, file: &str, reference: &str) -> Outcome<Vec<Resource>> {
        let loaded = self.loader.read(file)?;
        let mut resources = self.read_resources(&loaded.bytes, &loaded.file)?;
        if let Some(origin) = &self.origin {
            for resource in &mut resources {
                resource.origin = Some(origin.append(reference));
            }
        }
        Ok(resources)
    }

    pub(super) fn read_resources(&self, bytes: &[u8], file: &str) -> Outcome<Vec<Resource>> {
        let session = self.loader.session;
        load::resources(bytes, file, Duplicates::Refused, &session.scopes(), &session.budget)
    }

    fn component(&self, into: Accumulator, path: &str) -> Outcome<Accumulator> {
        match self.loader.resolve("components", path)? {
            Found::Folder(root) => {
                let mut built = self.directory(into, root, path, true)?;
                // What it renamed must still have an id of its own.
                let list = std::mem::take(&mut built.map.list);
                built.map.append_all(list, &self.loader.session.budget)?;
                Ok(built)
            }
            Found::File(file) => {
                let message = "a component is a folder, and this is a file".to_owned();
                Err(Problem::Unreadable { path: self.loader.shown(&file), message }.into())
            }
            Found::Nothing => Err(Problem::Missing { path: path.to_owned() }.into()),
        }
    }

    /// Builds another kustomization; a component on what its parent has so far.
    fn directory(
        &self,
        into: Accumulator,
        root: String,
        reference: &str,
        is_component: bool,
    ) -> Outcome<Accumulator> {
        let mut inner = Target::load(self.loader.enter(root)?)?;
        inner.origin = self.origin.as_ref().map(|origin| origin.append(reference));
        let built = inner.set_schema().and_then(|()| {
            inner.check_kind(is_component)?;
            inner.accumulate(into)
        });
        built.map_err(|error| error.within(&inner.file))
    }

    fn check_kind(&self, is_component: bool) -> Outcome<()> {
        let message = match (is_component, self.kustomization.kind) {
            (true, Kind::Kustomization) => "components takes kustomizations of kind Component only",
            (false, Kind::Component) => "a Component belongs into components, not into resources",
            _ => return Ok(()),
        };
        let problem = Problem::Field { field: "kind".to_owned(), message: message.to_owned() };
        Err(Box::<crate::BuildError>::from(problem).at(&self.file, None))
    }

    fn generators(&self, into: &mut Accumulator) -> Outcome<()> {
        let own = &self.kustomization;
        for (kind, generators) in
            [(GeneratorKind::ConfigMap, &own.config_maps), (GeneratorKind::Secret, &own.secrets)]
        {
            for generator in generators {
                let options = GeneratorOptions::merged(
                    generator.options.as_ref(),
                    own.generator_options.as_ref(),
                );
                let generator = Generator { options, ..generator.clone() };
                let mut made = generate(&self.loader, kind, &generator, &self.file)?;
                made.origin = self.builtin_origin(kind.builtin());
                let absorbed = into.map.absorb(made, &self.loader.session.budget);
                absorbed.map_err(|error| error.at(&self.file, Some(generator.mark)))?;
            }
        }
        self.plugin_generators(into)
    }

    /// What a built-in that the kustomization configures leaves as its mark.
    pub(super) fn builtin_origin(&self, kind: &str) -> Option<Origin> {
        let origin = self.origin.as_ref()?;
        Some(Origin::builtin(&origin.path, self.file_name, kind))
    }
}

/// Notes which object each variable takes its value from.
fn merge_variables(into: &mut Accumulator, variables: &[Variable]) -> Outcome<()> {
    for variable in variables {
        let wanted = &variable.object;
        let matches = into.map.find_by_any_id(|id| {
            if wanted.namespace.is_empty() { wanted.same_gvk_and_name(id) } else { wanted.same(id) }
        });
        match matches.as_slice() {
            [] => {}
            [at] => into.map.list[*at].variables.push(variable.name.clone()),
            several => {
                let message = format!("{} objects are {wanted}", several.len());
                return Err(Problem::Var { name: variable.name.clone(), message }.into());
            }
        }
    }
    variables.iter().try_for_each(|variable| add_variable(into, variable.clone()))
}

fn add_variable(into: &mut Accumulator, variable: Variable) -> Outcome<()> {
    let name = variable.name.clone();
    if into.variables.insert(name.clone(), variable).is_some() {
        let message = "it is declared twice".to_owned();
        return Err(Problem::Var { name, message }.into());
    }
    Ok(())
}
