//! What Kubernetes' OpenAPI says that matters here: which lists merge by which
//! keys, and which kinds live in no namespace.
//!
//! Upstream carries the whole document of Kubernetes 1.21; `builtin.txt` has
//! what a strategic merge can ever ask of it. A kustomization may bring a
//! document of its own (`openapi`), which then stands alone.

mod custom;
mod scope;

use std::{collections::HashMap, sync::OnceLock};

pub(crate) use custom::parse as parse_custom;
pub(crate) use scope::Scopes;

/// `@definition`, then `field reference` or `field [keys element`; at the end
/// `=apiVersion kind definition`, `-` where nothing merges.
const BUILTIN: &str = include_str!("builtin.txt");

/// The only document that is built in.
pub(crate) const BUILTIN_VERSION: &str = "v1.21.2";

#[derive(Debug, Default)]
pub(crate) struct Schema {
    definitions: HashMap<String, Definition>,
    /// Names of definitions by apiVersion and kind; `None` when nothing merges there.
    types: HashMap<(String, String), Option<String>>,
}

#[derive(Debug, Default)]
pub(crate) struct Definition {
    fields: HashMap<String, Field>,
    /// Of keys that are not named.
    rest: Option<Box<Field>>,
}

#[derive(Debug)]
pub(crate) enum Field {
    Reference(String),
    Inline(Definition),
    Merge(MergeList),
}

/// A list that merges by keys; without keys, as a set.
#[derive(Debug)]
pub(crate) struct MergeList {
    pub(crate) keys: Vec<String>,
    element: Option<Box<Field>>,
}

/// What is known of a value.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Shape<'s> {
    /// No document knows it: a value of a custom resource.
    Unknown,
    /// Known, and nothing in it merges.
    Opaque,
    Object(&'s Definition),
    List(&'s MergeList),
}

/// The document of Kubernetes 1.21.
pub(crate) fn builtin() -> &'static Schema {
    static SCHEMA: OnceLock<Schema> = OnceLock::new();
    SCHEMA.get_or_init(|| read_table(BUILTIN))
}

impl Schema {
    pub(crate) fn root(&self, api_version: &str, kind: &str) -> Shape<'_> {
        match self.types.get(&(api_version.to_owned(), kind.to_owned())) {
            None => Shape::Unknown,
            Some(None) => Shape::Opaque,
            Some(Some(name)) => self.definition(name),
        }
    }

    pub(crate) fn field<'s>(&'s self, shape: Shape<'s>, name: &str) -> Shape<'s> {
        match shape {
            Shape::Object(definition) => {
                let field = definition.fields.get(name).or(definition.rest.as_deref());
                field.map_or(Shape::Opaque, |field| self.shape_of(field))
            }
            other @ (Shape::Unknown | Shape::Opaque) => other,
            Shape::List(_) => Shape::Opaque,
        }
    }

    pub(crate) fn element<'s>(&'s self, shape: Shape<'s>) -> Shape<'s> {
        match shape {
            Shape::List(list) => {
                list.element.as_deref().map_or(Shape::Opaque, |field| self.shape_of(field))
            }
            _ => Shape::Unknown,
        }
    }

    fn shape_of<'s>(&'s self, field: &'s Field) -> Shape<'s> {
        match field {
            Field::Reference(name) => self.definition(name),
            Field::Inline(definition) => Shape::Object(definition),
            Field::Merge(list) => Shape::List(list),
        }
    }

    fn definition(&self, name: &str) -> Shape<'_> {
        self.definitions.get(name).map_or(Shape::Opaque, Shape::Object)
    }
}

fn read_table(table: &str) -> Schema {
    let mut schema = Schema::default();
    let mut name = "";
    for line in table.lines() {
        if let Some(definition) = line.strip_prefix('@') {
            name = definition;
        } else if let Some(known) = line.strip_prefix('=') {
            let mut words = known.split(' ').map(str::to_owned);
            let (Some(api_version), Some(kind)) = (words.next(), words.next()) else { continue };
            schema.types.insert((api_version, kind), words.next().filter(|name| name != "-"));
        } else if let Some((field, what)) = line.split_once(' ') {
            let definition = schema.definitions.entry(name.to_owned()).or_default();
            definition.fields.insert(field.to_owned(), read_field(what));
        }
    }
    schema
}

fn read_field(what: &str) -> Field {
    let Some(list) = what.strip_prefix('[') else { return Field::Reference(what.to_owned()) };
    let (keys, element) = list.split_once(' ').unwrap_or((list, ""));
    let keys = keys.split(',').filter(|key| !key.is_empty()).map(str::to_owned).collect();
    let element = (!element.is_empty()).then(|| Box::new(Field::Reference(element.to_owned())));
    Field::Merge(MergeList { keys, element })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_kubernetes_merge_by_their_keys() {
        let schema = builtin();
        let path = ["spec", "template", "spec", "containers"];
        let containers = path
            .iter()
            .fold(schema.root("apps/v1", "Deployment"), |shape, field| schema.field(shape, field));
        let Shape::List(list) = containers else { panic!("{containers:?}") };
        assert_eq!(list.keys, ["name"]);
        let ports = schema.field(schema.element(containers), "ports");
        assert!(matches!(ports, Shape::List(list) if list.keys == ["containerPort", "protocol"]));
        assert!(matches!(schema.root("example.com/v1", "Widget"), Shape::Unknown));
    }
}
