//! From parser events to trees, one document at a time.
//!
//! Nesting lives in a vector, not on the stack, and everything that an alias
//! repeats is paid for before it is copied.

mod tree;

use granit_parser::{
    ErrorKind, Event, Marker, Parser, ScalarStyle, ScanError, StrInput, StructureStyle,
};

use self::tree::{Items, Open, Shape, Tree};
use crate::{
    dialect::Dialect,
    error::{Problem, YamlError},
    limits::Limits,
    node::{Content, Mark, Node, Scalar, Style, Tag},
    unique::{Duplicates, UniqueEntries},
};

/// The documents of a file, in turn.
///
/// A document with faults does not hide the faults of the next one; a text
/// that cannot be parsed, or a limit that is reached, ends the file.
#[expect(missing_debug_implementations, reason = "the parser has no Debug")]
pub struct Documents<'t> {
    parser: Parser<'t, StrInput<'t>>,
    dialect: Dialect,
    duplicates: Duplicates,
    limits: Limits,
    spent: Size,
    begun: usize,
    finished: bool,
    /// The last line has something in it, and no line break.
    ends_within_a_line: bool,
    /// Characters of the whole file.
    characters: usize,
}

/// The cost of a node with everything below it.
#[derive(Clone, Copy, Default)]
struct Size {
    nodes: usize,
    text: usize,
    depth: usize,
}

impl<'t> Documents<'t> {
    /// Begins to read a file. A byte order mark is tolerated.
    pub fn new(bytes: &'t [u8], dialect: Dialect, limits: Limits) -> Result<Self, YamlError> {
        let start = Mark { line: 1, column: 1 };
        if bytes.len() > limits.bytes {
            return Err(Problem::TooLarge { bytes: bytes.len(), limit: limits.bytes }.at(start));
        }
        let text = str::from_utf8(bytes)
            .map_err(|error| Problem::NotUtf8.at(mark_of_byte(bytes, error.valid_up_to())))?;
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut options = granit_parser::options! {
            flow_nesting_limit: limits.depth,
            block_nesting_limit: limits.depth,
        };
        options.set_emit_comments(false);
        Ok(Self {
            parser: Parser::new_from_str_with_options(text, options),
            dialect,
            duplicates: Duplicates::Refused,
            limits,
            spent: Size::default(),
            begun: 0,
            finished: false,
            ends_within_a_line: !text.rsplit('\n').next().unwrap_or_default().trim().is_empty(),
            characters: text.chars().count(),
        })
    }

    /// Takes mappings that name a key twice.
    #[must_use]
    pub fn with_duplicates(mut self, duplicates: Duplicates) -> Self {
        self.duplicates = duplicates;
        self
    }

    /// Reads up to the end of a document; `None` at the end of the file.
    #[expect(clippy::too_many_lines, reason = "one arm a kind of event, read as a table")]
    fn document(&mut self) -> Result<Option<Tree>, YamlError> {
        let mut tree = Tree::default();
        loop {
            let Some(next) = self.parser.next() else { return Ok(None) };
            let (event, span) = next.map_err(|error| self.syntax(&error))?;
            let mark = mark(span.start);
            match event {
                Event::StreamEnd => return Ok(None),
                Event::DocumentEnd => return Ok(Some(tree)),
                Event::DocumentStart(..) => {
                    self.begun += 1;
                    let limit = self.limits.documents;
                    if self.begun > limit {
                        return Err(Problem::TooManyDocuments { limit }.at(mark));
                    }
                }
                Event::Scalar(text, style, anchor, tag) => {
                    let is_bare = self.dialect == Dialect::Kustomize
                        && tag.as_ref().is_some_and(|tag| tag.original() == "!");
                    let tag = tree.tag(tag.as_deref(), mark, Shape::Scalar);
                    // A key is paid for by its value.
                    let nodes = usize::from(!tree.expects_key());
                    self.pay(Size { nodes, text: text.len(), depth: 0 }, &tree, mark)?;
                    let mut text = text.into_owned();
                    // The parser says `~` for what is not there.
                    if style == ScalarStyle::Plain && span.start.index() == span.end.index() {
                        text.clear();
                    }
                    let style = self::style(style);
                    // `! 5` is 5 to the reader that upstream uses here.
                    let tag = if is_bare && style == Style::Plain { Tag::None } else { tag };
                    let is_block = matches!(style, Style::Literal | Style::Folded);
                    // As in libyaml: a line break that is not in the file is not in the text.
                    if is_block && self.ends_within_a_line && span.end.index() >= self.characters {
                        text.truncate(text.trim_end_matches('\n').len());
                    }
                    let scalar = Scalar::new(text, style, tag);
                    let node = Node { mark, flow: false, content: Content::Scalar(scalar) };
                    self.close(&mut tree, node, anchor)?;
                }
                Event::SequenceStart(style, anchor, tag) => {
                    tree.tag(tag.as_deref(), mark, Shape::Sequence);
                    self.pay(Size { nodes: 1, text: 0, depth: 1 }, &tree, mark)?;
                    let flow = style == StructureStyle::Flow;
                    let items = Items::Sequence(Vec::new());
                    tree.open.push(Open { mark, flow, anchor, items });
                }
                Event::MappingStart(style, anchor, tag) => {
                    tree.tag(tag.as_deref(), mark, Shape::Mapping);
                    self.pay(Size { nodes: 1, text: 0, depth: 1 }, &tree, mark)?;
                    let items = Items::Mapping { entries: UniqueEntries::default(), key: None };
                    let flow = style == StructureStyle::Flow;
                    tree.open.push(Open { mark, flow, anchor, items });
                }
                Event::SequenceEnd | Event::MappingEnd => {
                    let Some(open) = tree.open.pop() else { continue };
                    let content = match open.items {
                        Items::Sequence(items) => Content::Sequence(items),
                        Items::Mapping { entries, .. } => Content::Mapping(entries.into_vec()),
                    };
                    let node = Node { mark: open.mark, flow: open.flow, content };
                    self.close(&mut tree, node, open.anchor)?;
                }
                Event::Alias(anchor) => {
                    let Some((node, size)) = tree.anchors.get(&anchor) else {
                        return Err(Problem::RecursiveAnchor.at(mark));
                    };
                    self.spent = self.afford(*size, &tree, mark)?;
                    let node = Node { mark, ..node.clone() };
                    tree.add(node, self.dialect, self.duplicates);
                }
                // Presentation only; the options switch most of it off.
                _ => {}
            }
        }
    }

    /// A node is whole: keeps it for its aliases, and puts it where it belongs.
    fn close(&mut self, tree: &mut Tree, node: Node, anchor: usize) -> Result<(), YamlError> {
        if anchor != 0 {
            let size = measure(&node);
            self.spent = self.afford(Size { depth: 0, ..size }, tree, node.mark)?;
            tree.anchors.insert(anchor, (node.clone(), size));
        }
        tree.add(node, self.dialect, self.duplicates);
        Ok(())
    }

    fn pay(&mut self, size: Size, tree: &Tree, mark: Mark) -> Result<(), YamlError> {
        self.spent = self.afford(size, tree, mark)?;
        Ok(())
    }

    /// Returns the budget that is spent once `size` is paid for; an error when that exceeds
    /// the limits.
    fn afford(&self, size: Size, tree: &Tree, mark: Mark) -> Result<Size, YamlError> {
        let limits = &self.limits;
        let after = Size {
            nodes: self.spent.nodes.saturating_add(size.nodes),
            text: self.spent.text.saturating_add(size.text),
            depth: tree.open.len().saturating_add(size.depth),
        };
        if after.depth > limits.depth {
            return Err(Problem::TooDeep { limit: limits.depth }.at(mark));
        }
        if after.nodes > limits.nodes {
            return Err(Problem::TooManyNodes { limit: limits.nodes }.at(mark));
        }
        if after.text > limits.text {
            return Err(Problem::TooMuchText { limit: limits.text }.at(mark));
        }
        Ok(after)
    }

    fn syntax(&self, error: &ScanError) -> YamlError {
        let problem = match error.kind() {
            ErrorKind::RecursionLimitExceeded => Problem::TooDeep { limit: self.limits.depth },
            _ => Problem::Syntax(error.info()),
        };
        problem.at(mark(*error.marker()))
    }
}

impl Iterator for Documents<'_> {
    type Item = Result<Node, Vec<YamlError>>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.finished {
            match self.document() {
                Ok(None) => self.finished = true,
                Ok(Some(tree)) if !tree.faults.is_empty() => return Some(Err(tree.faults)),
                Ok(Some(tree)) => {
                    if let Some(root) = tree.root {
                        return Some(Ok(root));
                    }
                }
                Err(error) => {
                    self.finished = true;
                    return Some(Err(vec![error]));
                }
            }
        }
        None
    }
}

fn measure(node: &Node) -> Size {
    let below = |sum: Size, (text, node): (usize, &Node)| {
        let size = measure(node);
        Size {
            nodes: sum.nodes + size.nodes,
            text: sum.text + size.text + text,
            depth: sum.depth.max(size.depth + 1),
        }
    };
    let zero = Size { nodes: 1, text: 0, depth: 1 };
    match &node.content {
        Content::Scalar(scalar) => Size { nodes: 1, text: scalar.text.len(), depth: 0 },
        Content::Sequence(items) => items.iter().map(|item| (0, item)).fold(zero, below),
        Content::Mapping(entries) => {
            entries.iter().map(|entry| (entry.key.len(), &entry.value)).fold(zero, below)
        }
    }
}

fn style(style: ScalarStyle) -> Style {
    match style {
        ScalarStyle::Plain => Style::Plain,
        ScalarStyle::SingleQuoted => Style::Single,
        ScalarStyle::DoubleQuoted => Style::Quoted,
        ScalarStyle::Literal => Style::Literal,
        ScalarStyle::Folded => Style::Folded,
    }
}

fn mark(marker: Marker) -> Mark {
    let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    Mark { line: count(marker.line()).max(1), column: count(marker.col()).saturating_add(1) }
}

fn mark_of_byte(bytes: &[u8], at: usize) -> Mark {
    let before = &bytes[..at];
    let mut lines = before.split(|byte| *byte == b'\n');
    let last = lines.next_back().unwrap_or_default();
    let line = lines.count() + 1;
    let column = String::from_utf8_lossy(last).chars().count();
    mark(Marker::new(at, line, column))
}
