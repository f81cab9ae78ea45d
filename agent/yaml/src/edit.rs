//! Changing a tree: fields of mappings by name, values of scalars.

use crate::{
    dialect::{Dialect, Resolved},
    node::{Content, Entry, Mark, Node, Scalar, Style, Tag},
    resolve, timestamp,
};

impl Node {
    /// A scalar that is text whatever it looks like.
    pub fn text_of(text: impl Into<String>) -> Self {
        Self::scalar(text, Style::Plain, Tag::Str)
    }

    /// A scalar that is what its text looks like, as if it stood in a file without quotes.
    pub fn plain_of(text: impl Into<String>) -> Self {
        Self::scalar(text, Style::Plain, Tag::None)
    }

    /// A text that is not in the file, with the position that messages shall name.
    pub fn text_at(text: &str, mark: Mark) -> Self {
        let scalar = Scalar::new(text, Style::Quoted, Tag::None);
        Self { mark, flow: false, content: Content::Scalar(scalar) }
    }

    pub fn scalar(text: impl Into<String>, style: Style, tag: Tag) -> Self {
        let content = Content::Scalar(Scalar::new(text, style, tag));
        Self { mark: Mark::default(), flow: false, content }
    }

    pub fn mapping() -> Self {
        Self { mark: Mark::default(), flow: false, content: Content::Mapping(Vec::new()) }
    }

    pub fn sequence(items: Vec<Node>) -> Self {
        Self { mark: Mark::default(), flow: false, content: Content::Sequence(items) }
    }

    /// Makes a tree of JSON. Every value in it gets the same position.
    pub fn of_json(value: &serde_json::Value, mark: Mark) -> Self {
        use serde_json::Value;
        let scalar = |text: String, tag| Content::Scalar(Scalar::new(text, Style::Plain, tag));
        let content = match value {
            Value::Null => scalar("null".to_owned(), Tag::Null),
            Value::Bool(value) => scalar(value.to_string(), Tag::Bool),
            Value::Number(number) if number.is_f64() => scalar(number.to_string(), Tag::Float),
            Value::Number(number) => scalar(number.to_string(), Tag::Int),
            Value::String(text) => scalar(text.clone(), Tag::Str),
            Value::Array(items) => {
                Content::Sequence(items.iter().map(|item| Self::of_json(item, mark)).collect())
            }
            Value::Object(map) => {
                let entry = |(key, value): (&String, &Value)| Entry {
                    key: key.clone(),
                    mark,
                    value: Self::of_json(value, mark),
                };
                Content::Mapping(map.iter().map(entry).collect())
            }
        };
        Self { mark, flow: false, content }
    }

    pub fn is_mapping(&self) -> bool {
        matches!(self.content, Content::Mapping(_))
    }

    pub fn is_sequence(&self) -> bool {
        matches!(self.content, Content::Sequence(_))
    }

    pub fn as_scalar(&self) -> Option<&Scalar> {
        match &self.content {
            Content::Scalar(scalar) => Some(scalar),
            Content::Sequence(_) | Content::Mapping(_) => None,
        }
    }

    pub fn as_scalar_mut(&mut self) -> Option<&mut Scalar> {
        match &mut self.content {
            Content::Scalar(scalar) => Some(scalar),
            Content::Sequence(_) | Content::Mapping(_) => None,
        }
    }

    /// The text of a scalar as it is written; nothing of a collection.
    pub fn raw(&self) -> &str {
        self.as_scalar().map_or("", |scalar| &scalar.text)
    }

    /// The items of a sequence; none of anything else.
    pub fn items(&self) -> &[Node] {
        match &self.content {
            Content::Sequence(items) => items,
            Content::Scalar(_) | Content::Mapping(_) => &[],
        }
    }

    pub fn items_mut(&mut self) -> Option<&mut Vec<Node>> {
        match &mut self.content {
            Content::Sequence(items) => Some(items),
            Content::Scalar(_) | Content::Mapping(_) => None,
        }
    }

    fn entries_mut(&mut self) -> Option<&mut Vec<Entry>> {
        match &mut self.content {
            Content::Mapping(entries) => Some(entries),
            Content::Scalar(_) | Content::Sequence(_) => None,
        }
    }

    pub fn get_mut(&mut self, key: &str) -> Option<&mut Node> {
        let entries = self.entries_mut()?;
        entries.iter_mut().find(|entry| entry.key == key).map(|entry| &mut entry.value)
    }

    /// The value below several keys.
    pub fn at(&self, path: &[&str]) -> Option<&Node> {
        path.iter().try_fold(self, |node, key| node.get(key))
    }

    /// Puts a value under a key of a mapping; does nothing to anything else.
    pub fn put(&mut self, key: &str, value: Node) {
        let Some(entries) = self.entries_mut() else { return };
        match entries.iter_mut().find(|entry| entry.key == key) {
            Some(entry) => entry.value = value,
            None => entries.push(Entry { key: key.to_owned(), mark: value.mark, value }),
        }
    }

    /// Takes a key out of a mapping.
    pub fn remove(&mut self, key: &str) -> Option<Node> {
        let entries = self.entries_mut()?;
        let at = entries.iter().position(|entry| entry.key == key)?;
        Some(entries.remove(at).value)
    }

    /// The mapping under a key, made when there is none. `None` when something
    /// else is there, or this is no mapping.
    pub fn mapping_at(&mut self, key: &str) -> Option<&mut Node> {
        let found = self.get(key).map(Node::is_nothing);
        if found != Some(false) {
            self.put(key, Self::mapping());
        }
        self.get_mut(key).filter(|node| node.is_mapping())
    }

    /// Null, in a tree that is settled.
    pub fn is_nothing(&self) -> bool {
        match &self.content {
            Content::Scalar(scalar) => scalar.is_null(),
            Content::Sequence(_) | Content::Mapping(_) => false,
        }
    }

    /// Null, or a collection without content.
    pub fn is_blank(&self) -> bool {
        match &self.content {
            Content::Scalar(scalar) => scalar.is_null(),
            Content::Sequence(items) => items.is_empty(),
            Content::Mapping(entries) => entries.is_empty(),
        }
    }
}

impl Scalar {
    /// Null that is written down. What has no tag is not null yet, even when
    /// it is empty: upstream sets such values, and takes none of them away.
    pub fn is_null(&self) -> bool {
        self.tag == Tag::Null
    }

    /// Returns whether it is text, as far as its tag says.
    pub fn is_text(&self) -> bool {
        matches!(self.tag, Tag::Str | Tag::Text | Tag::None)
    }

    /// Notes what a plain scalar is, so that it stays so when its text changes:
    /// the `8080` of a port that becomes `9090` is still a number.
    pub fn settle(&mut self) {
        if self.tag != Tag::None {
            return;
        }
        if self.style != Style::Plain {
            self.tag = Tag::Str;
            return;
        }
        self.tag = match self.resolve(Dialect::Kustomize) {
            Ok(Resolved::Null) => Tag::Null,
            Ok(Resolved::Bool(_)) => Tag::Bool,
            Ok(Resolved::Integer(_) | Resolved::Unsigned(_)) => Tag::Int,
            Ok(Resolved::Float(_)) => Tag::Float,
            Ok(Resolved::Text) if timestamp::is_timestamp(&self.text) => Tag::Timestamp,
            _ => Tag::Str,
        };
    }
}

/// Settles every scalar of a tree.
pub fn settle(node: &mut Node) {
    node.each_scalar(&mut Scalar::settle);
}

impl Node {
    /// Visits every scalar of a tree.
    pub fn each_scalar(&mut self, visit: &mut impl FnMut(&mut Scalar)) {
        self.each(false, &mut |node, _| {
            if let Content::Scalar(scalar) = &mut node.content {
                visit(scalar);
            }
        });
    }

    /// Visits every node of a tree, parents first, with whether it is or stands
    /// in a collection in braces or brackets.
    pub(crate) fn each(&mut self, in_flow: bool, visit: &mut impl FnMut(&mut Node, bool)) {
        let in_flow = in_flow || self.flow;
        visit(self, in_flow);
        match &mut self.content {
            Content::Scalar(_) => {}
            Content::Sequence(items) => {
                for item in items {
                    item.each(in_flow, visit);
                }
            }
            Content::Mapping(entries) => {
                for entry in entries {
                    entry.value.each(in_flow, visit);
                }
            }
        }
    }
}

impl Scalar {
    /// Returns whether every reader takes it for text without quotes.
    pub fn stays_text(&self) -> bool {
        self.text.is_empty()
            || (resolve::is_plain_text(&self.text) && !timestamp::is_timestamp(&self.text))
    }
}
