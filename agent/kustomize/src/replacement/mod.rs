//! Replacements: a value from one object, or from the kustomization, into
//! fields of others.

mod path;
mod structured;

use leeward_yaml::{Content, Node, Style, Tag};

use crate::{
    budget::{Budget, weigh},
    decode::{PLUGIN, Table},
    error::{Outcome, Problem, echo},
    id::ResId,
    kustomization::{FieldOptions, Replacement, Source, Target},
    loader::Loader,
    resmap::ResMap,
    select::Matcher,
};

use path::{Make, visit};
pub(crate) use path::{look_up, split};

const DEFAULT_PATH: &str = "metadata.name";

/// Reads those that stand in files.
pub(crate) fn load(
    loader: &Loader<'_, '_>,
    replacements: &[Replacement],
) -> Outcome<Vec<Replacement>> {
    let mut loaded = Vec::new();
    for replacement in replacements {
        if replacement.path.is_empty() {
            loaded.push(replacement.clone());
            continue;
        }
        if replacement.source.is_some()
            || replacement.targets.as_ref().is_some_and(|t| !t.is_empty())
        {
            return Err(wrong("path excludes source and targets"));
        }
        let file = loader.load("replacements", &replacement.path)?;
        let Some(document) = loader.parse(&file)? else {
            return Err(wrong("the file is empty").at(&file.file, None));
        };
        let items = match &document.content {
            Content::Sequence(items) => items.iter().collect(),
            Content::Mapping(_) => vec![&document],
            Content::Scalar(_) => {
                let error = wrong("the file must hold a replacement or a list of them");
                return Err(error.at(&file.file, Some(document.mark)));
            }
        };
        for item in items {
            let read = Table::of(item, "replacement", PLUGIN).and_then(|t| Replacement::read(&t));
            loaded.push(read.map_err(|error| error.at(&file.file, None))?);
        }
    }
    Ok(loaded)
}

pub(crate) fn apply(
    map: &mut ResMap,
    replacements: &[Replacement],
    budget: &Budget,
) -> Outcome<()> {
    for replacement in replacements {
        let outcome = apply_one(map, replacement, budget);
        outcome.map_err(|error| error.at("", Some(replacement.mark)))?;
    }
    map.drop_blank();
    Ok(())
}

fn apply_one(map: &mut ResMap, replacement: &Replacement, budget: &Budget) -> Outcome<()> {
    let value = match (&replacement.source, &replacement.source_value, &replacement.targets) {
        (None, None, _) | (_, _, None) => {
            return Err(wrong("a source and at least one target must be there"));
        }
        (Some(_), Some(_), _) => return Err(wrong("source and sourceValue exclude each other")),
        (None, Some(value), _) => Node::plain_of(value),
        (Some(source), None, _) => read_source(map, source)?,
    };
    for target in replacement.targets.iter().flatten() {
        budget.work(map.list.len())?;
        write_target(map, target, &value, budget)?;
    }
    Ok(())
}

fn read_source(map: &ResMap, source: &Source) -> Outcome<Node> {
    let fits = |id: &ResId| {
        let wanted = &source.id;
        (wanted.name.is_empty() || wanted.name == id.name)
            && (wanted.namespace.is_empty() || wanted.same_namespace(id))
            && id.gvk.is_selected_by(&wanted.gvk)
    };
    let mut found = map.list.iter().filter(|resource| {
        // Here upstream does not know which kinds live in no namespace.
        resource.all_ids().iter().any(|id| fits(&ResId { is_cluster_scoped: false, ..id.clone() }))
    });
    let Some(resource) = found.next() else {
        return Err(wrong(&format!("no object is the source {}", source.id)));
    };
    if found.next().is_some() {
        return Err(wrong(&format!("several objects are the source {}", source.id)));
    }
    let field = if source.field_path.is_empty() { DEFAULT_PATH } else { &source.field_path };
    let missing = || wrong(&format!("{field} is missing in the source {}", source.id));
    let value = look_up(&resource.node, &split(field)).map_err(|message| wrong(&message))?;
    let value = value.filter(|node| !node.is_blank()).ok_or_else(missing)?;
    let mut value = value.clone().unshared();
    let Some(options) = source.options.as_ref().filter(|options| !options.delimiter.is_empty())
    else {
        return Ok(value);
    };
    let Some(scalar) = value.as_scalar_mut() else {
        return Err(wrong("delimiter can only be used with scalars"));
    };
    let parts: Vec<&str> = scalar.text.split(options.delimiter.as_str()).collect();
    let part = usize::try_from(options.index).ok().and_then(|at| parts.get(at));
    let Some(part) = part else {
        let message =
            format!("index {} is out of bounds for {:?}", options.index, echo(&scalar.text));
        return Err(wrong(&message));
    };
    scalar.text = (*part).to_owned();
    Ok(value)
}

fn write_target(map: &mut ResMap, target: &Target, value: &Node, budget: &Budget) -> Outcome<()> {
    let Some(select) = &target.select else {
        return Err(wrong("a target must say what to select"));
    };
    let selects = Matcher::new(select)?;
    let rejects: Vec<(bool, bool, Matcher)> = target
        .reject
        .iter()
        .map(|selector| {
            let by_marks = !(selector.annotations.is_empty() && selector.labels.is_empty());
            Ok((!selector.has_no_id(), by_marks, Matcher::new(selector)?))
        })
        .collect::<Outcome<_>>()?;
    let default = [DEFAULT_PATH.to_owned()];
    let fields = if target.field_paths.is_empty() { &default[..] } else { &target.field_paths };
    for resource in &mut map.list {
        if !selects.fits_labels_and_annotations(resource) {
            continue;
        }
        let ids = resource.all_ids();
        let is_rejected = rejects.iter().any(|(by_id, by_marks, matcher)| {
            (*by_marks && matcher.fits_labels_and_annotations(resource))
                || (*by_id && ids.iter().any(|id| matcher.fits_id(id)))
        });
        if is_rejected || !ids.iter().any(|id| selects.fits_id(id)) {
            continue;
        }
        for field in fields {
            write_field(&mut resource.node, field, target.options.as_ref(), value, budget)?;
            budget.copied(resource.spread())?;
        }
    }
    Ok(())
}

fn write_field(
    object: &mut Node,
    field: &str,
    options: Option<&FieldOptions>,
    value: &Node,
    budget: &Budget,
) -> Outcome<()> {
    let make = options.filter(|options| options.create).map(|_| Make::like(value));
    let parts = split(field);
    budget.put(value, parts.len())?;
    if structured::write(object, &parts, make, value, budget)? {
        return Ok(());
    }
    let mut grown = 0;
    let found = visit(object, &parts, make, &mut |target| {
        grown += weigh(value).bytes + target.raw().len();
        set(target, options, value)
    });
    budget.copied(grown)?;
    let verb = if make.is_some() { "found or made" } else { "found" };
    match found {
        Ok(0) => Err(wrong(&format!("{field:?} cannot be {verb} in the target"))),
        Ok(_) => Ok(()),
        Err(message) => Err(wrong(&format!("{field:?} cannot be {verb} in the target: {message}"))),
    }
}

/// Writes a value, whole or between delimiters.
fn set(target: &mut Node, options: Option<&FieldOptions>, value: &Node) -> Result<(), String> {
    let text = match options.filter(|options| !options.delimiter.is_empty()) {
        None => value.raw().to_owned(),
        Some(options) => {
            let Some(scalar) = target.as_scalar() else {
                return Err("delimiter can only be used with scalars".to_owned());
            };
            let mut parts: Vec<&str> = scalar.text.split(options.delimiter.as_str()).collect();
            let part = if value.is_nothing() { "" } else { value.raw() };
            match usize::try_from(options.index) {
                Err(_) => parts.insert(0, part),
                Ok(at) if at >= parts.len() => parts.push(part),
                Ok(at) => parts[at] = part,
            }
            parts.join(&options.delimiter)
        }
    };
    write_value(target, value, &text);
    Ok(())
}

/// A scalar keeps what it is and how it is quoted; anything else is replaced.
fn write_value(target: &mut Node, value: &Node, text: &str) {
    if let Some(scalar) = target.as_scalar_mut() {
        text.clone_into(&mut scalar.text);
        scalar.note_written();
        return;
    }
    let mut value = value.clone();
    if let Some(scalar) = value.as_scalar_mut() {
        text.clone_into(&mut scalar.text);
    }
    value.mark = target.mark;
    *target = value;
}

fn blank_scalar() -> Node {
    Node::scalar("", Style::Plain, Tag::None)
}

fn wrong(message: &str) -> Box<crate::BuildError> {
    Problem::Replacement(message.to_owned()).into()
}
