//! Plaintext put where the encrypted values stand, the rest left as it is: so a
//! message about a decrypted file names the line that people see in theirs.

use leeward_yaml::{Content, Dialect, Entry, Mark, Node};
use zeroize::Zeroizing;

use crate::{
    error::Problem,
    format::{self, KEY},
    value::Plain,
};

/// A value that was encrypted, and where it stands.
pub(crate) struct Secret<'n> {
    pub(crate) mark: Mark,
    /// The text that stands there.
    pub(crate) sealed: &'n str,
    pub(crate) plain: Plain,
}

/// The text with its secrets, and without what SOPS wrote of itself.
pub(crate) fn put_back(
    content: &str,
    documents: &[Node],
    secrets: &[Secret<'_>],
) -> Result<Zeroizing<Vec<u8>>, Problem> {
    let source = Source::new(content);
    let mut edits = Vec::new();
    for secret in secrets {
        let (start, end) = source.span(secret)?;
        let written = secret.plain.written();
        let written = written.map_err(|reason| Problem::Value {
            mark: secret.mark,
            path: "a text".to_owned(),
            reason,
        })?;
        edits.push((start, end, written));
    }
    for document in documents {
        if let Some((start, end)) = source.metadata(document, documents.len())? {
            let breaks = source.text[start..end].matches('\n').collect();
            edits.push((start, end, Zeroizing::new(breaks)));
        }
    }
    edits.sort_by_key(|(start, ..)| *start);
    let mut opened = Zeroizing::new(Vec::with_capacity(content.len()));
    let mut at = 0;
    for (start, end, written) in &edits {
        // An alias: one place in the file that is two values.
        let between = source.text.get(at..*start);
        let between = between.ok_or_else(|| source.unusual(*start, "an alias of a secret"))?;
        opened.extend_from_slice(between.as_bytes());
        opened.extend_from_slice(written.as_bytes());
        at = *end;
    }
    opened.extend_from_slice(&source.text.as_bytes()[at..]);
    Ok(opened)
}

/// Reads what was put together, and compares: what is handed on is what was
/// verified, whatever the text around it looks like.
pub(crate) fn check(
    documents: &[Node],
    secrets: &[Secret<'_>],
    opened: &[u8],
) -> Result<(), Problem> {
    let start = Mark { line: 1, column: 1 };
    let differs = || Problem::Unusual { mark: start, what: "secrets do not fit back into it" };
    let read = format::documents(opened).map_err(|_| differs())?;
    let is_something = |node: &&Node| !node.is_null(Dialect::Kustomize);
    let has_content =
        |node: &&Node| is_something(node) && node.entries().iter().any(|entry| entry.key != KEY);
    let mut before = documents.iter().filter(has_content);
    let mut after = read.iter().filter(is_something).filter(|node| !is_empty_mapping(node));
    let mut secrets = secrets.iter();
    loop {
        match (before.next(), after.next()) {
            (None, None) => break,
            (Some(before), Some(after)) => {
                let entries: Vec<&Entry> =
                    before.entries().iter().filter(|entry| entry.key != KEY).collect();
                if !same_entries(&entries, after, &mut secrets) {
                    return Err(differs());
                }
            }
            _ => return Err(differs()),
        }
    }
    if secrets.next().is_some() { Err(differs()) } else { Ok(()) }
}

fn is_empty_mapping(node: &Node) -> bool {
    matches!(&node.content, Content::Mapping(entries) if entries.is_empty())
}

type Secrets<'s, 'n> = std::slice::Iter<'s, Secret<'n>>;

fn same_entries(before: &[&Entry], after: &Node, secrets: &mut Secrets<'_, '_>) -> bool {
    let Content::Mapping(after) = &after.content else { return false };
    before.len() == after.len()
        && before.iter().zip(after).all(|(before, after)| {
            before.key == after.key && same(&before.value, &after.value, secrets)
        })
}

fn same(before: &Node, after: &Node, secrets: &mut Secrets<'_, '_>) -> bool {
    match (&before.content, &after.content) {
        (Content::Mapping(entries), _) => {
            same_entries(&entries.iter().collect::<Vec<_>>(), after, secrets)
        }
        (Content::Sequence(before), Content::Sequence(after)) => {
            before.len() == after.len()
                && before.iter().zip(after).all(|(before, after)| same(before, after, secrets))
        }
        (Content::Scalar(found), Content::Scalar(put)) => match secrets.as_slice().first() {
            Some(secret) if secret.mark == before.mark && secret.sealed == found.text => {
                secrets.next();
                secret.plain.is_read_as(&put.text)
            }
            _ => found == put,
        },
        _ => false,
    }
}

/// A text, and where its lines begin.
struct Source<'t> {
    text: &'t str,
    lines: Vec<usize>,
}

impl<'t> Source<'t> {
    fn new(content: &'t str) -> Self {
        let text = content.strip_prefix('\u{feff}').unwrap_or(content);
        let bytes = text.as_bytes();
        let ends_line = |at: &usize| {
            bytes[*at] == b'\n' || (bytes[*at] == b'\r' && bytes.get(at + 1) != Some(&b'\n'))
        };
        let lines = (0..bytes.len()).filter(ends_line).map(|at| at + 1);
        Self { text, lines: std::iter::once(0).chain(lines).collect() }
    }

    /// The byte at a mark.
    fn at(&self, mark: Mark) -> Option<usize> {
        let line = self.lines.get(usize::try_from(mark.line).ok()?.checked_sub(1)?)?;
        let column = usize::try_from(mark.column).ok()?.checked_sub(1)?;
        let rest = &self.text[*line..];
        rest.char_indices().map(|(at, _)| at).chain([rest.len()]).nth(column).map(|at| line + at)
    }

    fn unusual(&self, at: usize, what: &'static str) -> Problem {
        let line = self.lines.partition_point(|start| *start <= at);
        Problem::Unusual {
            mark: Mark { line: u32::try_from(line).unwrap_or(u32::MAX), column: 1 },
            what,
        }
    }

    /// The bytes of an encrypted value, with the quotes around it. It has no
    /// character that would have to be escaped or could be folded.
    fn span(&self, secret: &Secret<'_>) -> Result<(usize, usize), Problem> {
        let unusual = Problem::Unusual { mark: secret.mark, what: "a folded or tagged value" };
        let Some(start) = self.at(secret.mark) else { return Err(unusual) };
        let rest = &self.text[start..];
        for quote in ["", "\"", "'"] {
            let inner = rest.strip_prefix(quote).and_then(|rest| rest.strip_prefix(secret.sealed));
            if inner.is_some_and(|after| after.starts_with(quote)) {
                return Ok((start, start + secret.sealed.len() + 2 * quote.len()));
            }
        }
        Err(unusual)
    }

    /// The bytes of a document's `sops`, key and all.
    fn metadata(
        &self,
        document: &Node,
        documents: usize,
    ) -> Result<Option<(usize, usize)>, Problem> {
        let entries = document.entries();
        let Some(index) = entries.iter().position(|entry| entry.key == KEY) else {
            return Ok(None);
        };
        let mark = entries[index].mark;
        let unusual = |what| Problem::Unusual { mark, what };
        let start = self.at(mark).ok_or_else(|| unusual("`sops` is somewhere else"))?;
        let root = self.at(document.mark);
        if root.is_some_and(|root| self.text[root..].starts_with('{')) {
            if documents > 1 {
                return Err(unusual("several documents in braces"));
            }
            return self.in_braces(entries, index, start).map(Some);
        }
        if mark.column != 1 {
            return Err(unusual("`sops` is not at the start of a line"));
        }
        // All that is indented below belongs to it.
        let after = self.lines.iter().filter(|line| **line > start);
        let is_next = |line: &&usize| {
            !self.text[**line..].starts_with([' ', '\t', '\n', '\r']) && **line < self.text.len()
        };
        let end = after.copied().find(|line| is_next(&line)).unwrap_or(self.text.len());
        Ok(Some((start, end)))
    }

    /// With the comma that sets it apart.
    fn in_braces(
        &self,
        entries: &[Entry],
        index: usize,
        start: usize,
    ) -> Result<(usize, usize), Problem> {
        let unusual = || self.unusual(start, "`sops` cannot be told from the rest");
        if let Some(next) = entries.get(index + 1) {
            return Ok((start, self.at(next.mark).ok_or_else(unusual)?));
        }
        let before = self.text[..start].trim_end();
        let start = before.strip_suffix(',').unwrap_or(before).len();
        Ok((start, self.text.rfind('}').filter(|end| *end > start).ok_or_else(unusual)?))
    }
}
