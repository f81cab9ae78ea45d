//! YAML and JSON: values are found in the tree, opened, and put back into the text.

use leeward_yaml::{Content, Dialect, Mark, Node, Resolved, Scalar, Style, Tag};
use zeroize::Zeroizing;

use crate::{
    age::Identities,
    data_key,
    error::Problem,
    format::{self, KEY},
    metadata::{Metadata, wrong},
    splice::{self, Secret},
    value::{self, Plain, ValueError},
    verify::{Found, Verifier},
};

/// Opens a file, line by line what it was.
pub(crate) fn open(content: &[u8], identities: &Identities) -> Result<Zeroizing<Vec<u8>>, Problem> {
    let documents = format::documents(content)?;
    let secrets = secrets(&documents, identities)?;
    let content = str::from_utf8(content).map_err(|_| Problem::NotUtf8)?;
    let opened = splice::put_back(content, &documents, &secrets)?;
    splice::check(&documents, &secrets, &opened)?;
    Ok(opened)
}

/// Opens a file that holds any bytes as its one value.
pub(crate) fn open_binary(
    content: &[u8],
    identities: &Identities,
) -> Result<Zeroizing<Vec<u8>>, Problem> {
    let documents = format::documents(content)?;
    let secrets = secrets(&documents, identities)?;
    match secrets.as_slice() {
        [Secret { plain: Plain::Text(bytes), .. }] => Ok(bytes.clone()),
        // An empty file is not encrypted, only signed.
        [] if documents[0].get("data").and_then(|data| data.text(Dialect::Kustomize))
            == Some("") =>
        {
            Ok(Zeroizing::default())
        }
        _ => Err(wrong("`data` of a binary file is not encrypted as a text")),
    }
}

/// Everything that was encrypted, in the order of the file, and vouched for by its MAC.
fn secrets<'n>(documents: &'n [Node], identities: &Identities) -> Result<Vec<Secret<'n>>, Problem> {
    let block = documents.first().and_then(|first| first.get(KEY));
    let block = block.ok_or_else(|| wrong("the first document has none"))?;
    let metadata = block.clone().into_json(Dialect::Kubernetes);
    let metadata = Metadata::read(&metadata.map_err(|_| wrong("it cannot be read"))?)?;
    let key = data_key::unwrap(&metadata, identities)?;
    let mut walk =
        Walk { verifier: Verifier::new(&metadata, &key), path: Vec::new(), secrets: Vec::new() };
    for document in documents {
        let Content::Mapping(entries) = &document.content else {
            if document.is_null(Dialect::Kustomize) {
                continue;
            }
            return Err(wrong("a document of the file is not a mapping"));
        };
        for entry in entries.iter().filter(|entry| entry.key != KEY) {
            walk.below(&entry.key, &entry.value)?;
        }
    }
    walk.verifier.finish()?;
    Ok(walk.secrets)
}

struct Walk<'n, 'm> {
    verifier: Verifier<'m>,
    /// The keys above; places in lists are none.
    path: Vec<&'n str>,
    secrets: Vec<Secret<'n>>,
}

impl<'n> Walk<'n, '_> {
    fn below(&mut self, key: &'n str, node: &'n Node) -> Result<(), Problem> {
        self.path.push(key);
        self.node(node)?;
        self.path.pop();
        Ok(())
    }

    /// Recursion is bounded: the tree is no deeper than its limit.
    fn node(&mut self, node: &'n Node) -> Result<(), Problem> {
        match &node.content {
            Content::Mapping(entries) => {
                entries.iter().try_for_each(|entry| self.below(&entry.key, &entry.value))
            }
            Content::Sequence(items) => items.iter().try_for_each(|item| self.node(item)),
            Content::Scalar(scalar) => self.scalar(scalar, node.mark),
        }
    }

    fn scalar(&mut self, scalar: &'n Scalar, mark: Mark) -> Result<(), Problem> {
        let failed = |path: &[&str], reason| {
            let path: String = path.join(".").chars().take(PATH_MAX).collect();
            Problem::Value { mark, path, reason }
        };
        let Some(found) = found(scalar).map_err(|reason| failed(&self.path, reason))? else {
            return Ok(());
        };
        let plain = self.verifier.value(&self.path, &found);
        if let Some(plain) = plain.map_err(|reason| failed(&self.path, reason))? {
            self.secrets.push(Secret { mark, sealed: &scalar.text, plain });
        }
        Ok(())
    }
}

/// Characters of a path that a message repeats.
const PATH_MAX: usize = 200;

/// A scalar as SOPS counts it; nothing of a null.
fn found(scalar: &Scalar) -> Result<Option<Found<'_>>, ValueError> {
    let resolved = scalar.resolve(Dialect::Kustomize).map_err(|_| ValueError::WrongType)?;
    Ok(Some(match resolved {
        Resolved::Null => return Ok(None),
        Resolved::Bool(true) => Found::Other(b"True".to_vec()),
        Resolved::Bool(false) => Found::Other(b"False".to_vec()),
        Resolved::Integer(number) => Found::Other(number.to_string().into_bytes()),
        Resolved::Unsigned(number) => Found::Other(number.to_string().into_bytes()),
        Resolved::Float(number) => Found::Other(value::float_text(number).into_bytes()),
        Resolved::Decoded(text) => Found::Other(text.into_bytes()),
        Resolved::Text => match time(scalar) {
            Some(time) => Found::Other(time.into_bytes()),
            None => Found::Text(&scalar.text),
        },
    }))
}

/// A plain date is a point in time to SOPS' reader, and counted as such.
fn time(scalar: &Scalar) -> Option<String> {
    let is_plain = scalar.style == Style::Plain && scalar.tag == Tag::None;
    if !is_plain && scalar.tag != Tag::Timestamp {
        return None;
    }
    let content = Content::Scalar(scalar.clone());
    let node = Node { mark: Mark::default(), flow: false, content };
    let read = node.into_json(Dialect::Kustomize).ok()?;
    read.as_str().filter(|text| *text != scalar.text || is_rfc3339(text)).map(str::to_owned)
}

/// Written as it would be counted.
fn is_rfc3339(text: &str) -> bool {
    let shape: String =
        text.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).take(19).collect();
    shape == "0000-00-00T00:00:00"
}
