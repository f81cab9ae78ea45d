//! ConfigMaps and Secrets from literals and files.

use std::collections::BTreeMap;

use leeward_yaml::{Node, Style, Tag};

use base64::{Engine as _, engine::general_purpose::STANDARD};

use crate::{
    error::{Outcome, Problem, echo},
    files::base_name,
    kustomization::Generator,
    loader::Loader,
    resource::{Behavior, Resource},
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum GeneratorKind {
    ConfigMap,
    Secret,
}

impl GeneratorKind {
    fn name(self) -> &'static str {
        match self {
            Self::ConfigMap => "ConfigMap",
            Self::Secret => "Secret",
        }
    }

    /// The field of the kustomization, and the built-in behind it.
    pub(crate) fn builtin(self) -> &'static str {
        match self {
            Self::ConfigMap => "ConfigMapGenerator",
            Self::Secret => "SecretGenerator",
        }
    }
}

/// Makes one object. `generator.options` has what holds for all generators in it.
pub(crate) fn generate(
    loader: &Loader<'_, '_>,
    kind: GeneratorKind,
    generator: &Generator,
    file: &str,
) -> Outcome<Resource> {
    let outcome = make(loader, kind, generator, file);
    outcome.map_err(|error| error.at(file, Some(generator.mark)))
}

fn make(
    loader: &Loader<'_, '_>,
    kind: GeneratorKind,
    generator: &Generator,
    file: &str,
) -> Outcome<Resource> {
    if generator.name.is_empty() {
        return Err(wrong(kind, generator, "the generator needs a name"));
    }
    let mut node = Node { mark: generator.mark, ..Node::mapping() };
    node.put("apiVersion", Node::text_of("v1"));
    node.put("kind", Node::text_of(kind.name()));
    let mut metadata = Node::mapping();
    metadata.set_field("name", Node::text_of(&generator.name));
    if !generator.namespace.is_empty() {
        metadata.set_field("namespace", Node::text_of(&generator.namespace));
    }
    let options = generator.options.as_ref();
    if let Some(options) = options {
        for (field, map) in [("labels", &options.labels), ("annotations", &options.annotations)] {
            if !map.is_empty() {
                let mut entries = Node::mapping();
                for (key, value) in map {
                    entries.put(key, Node::text_of(value));
                }
                metadata.put(field, entries);
            }
        }
    }
    node.put("metadata", metadata);
    if kind == GeneratorKind::Secret {
        let secret_type = &generator.secret_type;
        let shown = if secret_type.is_empty() { "Opaque" } else { secret_type };
        node.put("type", Node::text_of(shown));
    }
    put_data(&mut node, kind, pairs(loader, kind, generator)?);
    if options.is_some_and(|options| options.immutable) {
        node.put("immutable", Node::scalar("true", Style::Plain, Tag::Bool));
    }
    let mut resource = Resource::new(node, file.into(), loader.session.scopes());
    resource.needs_hash = !options.is_some_and(|options| options.disable_hash);
    resource.is_generated = true;
    resource.behavior = Behavior::read(&generator.behavior);
    Ok(resource)
}

fn put_data(node: &mut Node, kind: GeneratorKind, pairs: BTreeMap<String, Vec<u8>>) {
    if kind == GeneratorKind::Secret {
        let mut data = Node::mapping();
        for (key, value) in pairs {
            data.put(&key, Node::text_of(encode(&value)));
        }
        node.put("data", data);
        return;
    }
    for (key, value) in pairs {
        let (field, text) = match String::from_utf8(value) {
            Ok(text) => ("data", text),
            Err(error) => ("binaryData", encode(error.as_bytes())),
        };
        if let Some(data) = node.mapping_at(field) {
            data.put(&key, Node::text_of(text));
        }
    }
}

/// Base 64 in lines of 70 characters, each with a line break when there are several.
fn encode(bytes: &[u8]) -> String {
    const LINE: usize = 70;
    let encoded = STANDARD.encode(bytes);
    if encoded.len() < LINE {
        return encoded;
    }
    let mut lines = String::with_capacity(encoded.len() + encoded.len() / LINE + 1);
    let mut rest = encoded.as_str();
    while !rest.is_empty() {
        let (line, more) = rest.split_at(rest.len().min(LINE));
        lines.push_str(line);
        lines.push('\n');
        rest = more;
    }
    lines
}

fn pairs(
    loader: &Loader<'_, '_>,
    kind: GeneratorKind,
    generator: &Generator,
) -> Outcome<BTreeMap<String, Vec<u8>>> {
    let mut pairs = BTreeMap::new();
    let mut add = |key: String, value: Vec<u8>| {
        if pairs.contains_key(&key) {
            return Err(wrong(kind, generator, &format!("the key {key:?} is there twice")));
        }
        pairs.insert(key, value);
        Ok(())
    };
    for path in &generator.envs {
        let loaded = loader.load("envs", path)?;
        for (at, line) in lines(&loaded.bytes).enumerate() {
            let Ok(line) = str::from_utf8(line) else {
                let message = format!("line {} of {} is not UTF-8", at + 1, loaded.file);
                return Err(wrong(kind, generator, &message));
            };
            let line = if at == 0 { line.trim_start_matches('\u{feff}') } else { line };
            let line = line.trim_start();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let (key, value) = line.split_once('=').unwrap_or((line, ""));
            if !key.is_empty() {
                add(key.to_owned(), value.as_bytes().to_vec())?;
            }
        }
    }
    for literal in &generator.literals {
        match literal.split_once('=') {
            Some((key, value)) if !key.is_empty() => {
                add(key.to_owned(), without_quotes(value).as_bytes().to_vec())?;
            }
            _ => {
                let message = format!("the literal {:?} is not key=value", echo(literal));
                return Err(wrong(kind, generator, &message));
            }
        }
    }
    for source in &generator.files {
        let (key, path) = match source.split_once('=') {
            None => (base_name(source), source.as_str()),
            Some((key, path)) if !key.is_empty() && !path.is_empty() && !path.contains('=') => {
                (key, path)
            }
            Some(_) => {
                let message = format!("the file {:?} is neither a path nor key=path", echo(source));
                return Err(wrong(kind, generator, &message));
            }
        };
        let loaded = loader.load("files", path)?;
        add(key.to_owned(), loaded.bytes)?;
    }
    Ok(pairs)
}

/// Lines without their ends; the last one need not have any.
fn lines(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    bytes.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line))
}

/// One pair of quotes around all of it goes.
fn without_quotes(text: &str) -> &str {
    let inner = |quote| text.strip_prefix(quote)?.strip_suffix(quote);
    inner('"').or_else(|| inner('\'')).unwrap_or(text)
}

fn wrong(kind: GeneratorKind, generator: &Generator, message: &str) -> Box<crate::BuildError> {
    let generator = format!("{} {}", kind.name(), generator.name);
    Problem::Generator { generator, message: message.to_owned() }.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_values_are_encoded_in_lines() {
        assert_eq!(encode(b"hello"), "aGVsbG8=");
        let lines: Vec<usize> = encode(&[0; 100]).lines().map(str::len).collect();
        assert_eq!(lines, [70, 66]);
    }

    #[test]
    fn one_pair_of_quotes_goes() {
        let texts = [r#""a""#, "'a'", r#"""a"""#, r#""a'"#, "\""];
        assert_eq!(texts.map(without_quotes), ["a", "a", "\"a\"", "\"a'", "\""]);
    }
}
