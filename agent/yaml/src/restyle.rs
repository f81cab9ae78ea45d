//! A tree as YAML in the notation that it was read in: order, braces, quotes.
//!
//! Upstream writes so (with go-yaml 3) where a text within an object is YAML.
//! Lines are not folded, and comments are lost.

use crate::{
    dialect::{Dialect, Resolved},
    emit::{Emitter, MERGE_KEY, Scan, is_simple_key},
    node::{Content, Node, Scalar, Style, Tag},
    timestamp,
};

/// One document, without `---`; `None` when it has more bytes.
pub fn document_within(node: &Node, bytes_max: usize) -> Option<String> {
    let mut emitter = Emitter::new(usize::MAX, bytes_max);
    let indent = if node.as_scalar().is_some() { 2 } else { 0 };
    block(&mut emitter, node, indent);
    emitter.finish()
}

/// A value whose first line has begun; its other lines stand at `indent`.
fn block(emitter: &mut Emitter, node: &Node, indent: usize) {
    match &node.content {
        Content::Mapping(entries) if !entries.is_empty() && !node.flow => {
            for (at, entry) in entries.iter().enumerate() {
                if at > 0 {
                    emitter.new_line(indent);
                }
                if is_simple_key(&entry.key) {
                    key(emitter, &entry.key, Place::Line);
                } else {
                    emitter.raw("? ");
                    key(emitter, &entry.key, Place::Line);
                    emitter.new_line(indent);
                }
                emitter.push(':');
                let value = &entry.value;
                if value.as_scalar().is_some_and(says_nothing) {
                    continue;
                }
                if value.flow || value.is_blank() || value.as_scalar().is_some() {
                    emitter.push(' ');
                    block(emitter, value, indent + 2);
                } else {
                    // The dashes of a list stand under the key.
                    let deeper = if value.is_mapping() { indent + 2 } else { indent };
                    emitter.new_line(deeper);
                    block(emitter, value, deeper);
                }
            }
        }
        Content::Sequence(items) if !items.is_empty() && !node.flow => {
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    emitter.new_line(indent);
                }
                emitter.raw("- ");
                block(emitter, item, indent + 2);
            }
        }
        Content::Scalar(scalar) => self::scalar(emitter, scalar, indent, Place::Block),
        Content::Mapping(_) | Content::Sequence(_) => flow(emitter, node),
    }
}

/// A value in braces or brackets, all on one line.
fn flow(emitter: &mut Emitter, node: &Node) {
    match &node.content {
        // Between commas, nothing would be no item; upstream makes an empty text of it.
        Content::Scalar(scalar) if says_nothing(scalar) => emitter.raw("''"),
        Content::Scalar(scalar) => self::scalar(emitter, scalar, 0, Place::Flow),
        Content::Sequence(items) => {
            emitter.push('[');
            for (at, item) in items.iter().enumerate() {
                emitter.raw(if at > 0 { ", " } else { "" });
                flow(emitter, item);
            }
            emitter.push(']');
        }
        Content::Mapping(entries) => {
            emitter.push('{');
            for (at, entry) in entries.iter().enumerate() {
                emitter.raw(if at > 0 { ", " } else { "" });
                let is_simple = is_simple_key(&entry.key);
                emitter.raw(if is_simple { "" } else { "? " });
                key(emitter, &entry.key, Place::Flow);
                emitter.raw(if is_simple { ": " } else { " : " });
                flow(emitter, &entry.value);
            }
            emitter.push('}');
        }
    }
}

/// A null that is not written down.
fn says_nothing(scalar: &Scalar) -> bool {
    scalar.style == Style::Plain && scalar.text.is_empty() && scalar.is_null()
}

/// Where a scalar stands.
#[derive(Clone, Copy, PartialEq)]
enum Place {
    Block,
    /// A key, which has one line.
    Line,
    /// Between braces or brackets.
    Flow,
}

/// Characters for which a text is quoted between braces and brackets.
const OF_FLOW: [char; 7] = ['[', ']', '{', '}', ',', '?', ':'];

fn key(emitter: &mut Emitter, text: &str, place: Place) {
    let style = if text == MERGE_KEY { Style::Quoted } else { Style::Plain };
    let key = Scalar::new(text, style, Tag::Str);
    scalar(emitter, &key, 0, place);
}

fn scalar(emitter: &mut Emitter, scalar: &Scalar, indent: usize, place: Place) {
    let text = &scalar.text;
    let scan = Scan::of(text);
    emitter.raw(explicit_tag(scalar));
    let may_be_block = scan.literal && place == Place::Block;
    let wanted = match scalar.style {
        Style::Plain if text.contains('\n') => Style::Literal,
        Style::Plain if matches!(scalar.tag, Tag::Str | Tag::Text) && !is_text(text) => {
            Style::Quoted
        }
        style => style,
    };
    let fits_plain = scan.plain && !(place == Place::Flow && text.contains(OF_FLOW));
    match wanted {
        Style::Plain if fits_plain => emitter.raw(text),
        Style::Plain | Style::Single if scan.single => emitter.single(text, indent, false),
        Style::Literal | Style::Folded if may_be_block => emitter.literal(text, indent),
        _ => emitter.double(text, indent, false),
    }
}

/// The tag without which a scalar would be read as something else: quotes alone
/// make a text of `!!int "5"`.
fn explicit_tag(scalar: &Scalar) -> &'static str {
    let mut untagged = Scalar { tag: Tag::None, ..scalar.clone() };
    untagged.settle();
    if untagged.tag == scalar.tag {
        return "";
    }
    match scalar.tag {
        Tag::Int => "!!int ",
        Tag::Float => "!!float ",
        Tag::Bool => "!!bool ",
        Tag::Null => "!!null ",
        Tag::Binary => "!!binary ",
        Tag::Timestamp => "!!timestamp ",
        _ => "",
    }
}

/// Returns whether a plain scalar is a text to the reader that upstream uses here.
fn is_text(text: &str) -> bool {
    let plain = Scalar::new(text, Style::Plain, Tag::None);
    plain.resolve(Dialect::Kustomize) == Ok(Resolved::Text) && !timestamp::is_timestamp(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Documents, Limits, edit};

    fn settled(text: &str) -> Node {
        let mut documents =
            Documents::new(text.as_bytes(), Dialect::Kustomize, Limits::default()).unwrap();
        let mut node = documents.next().unwrap().unwrap();
        edit::settle(&mut node);
        node
    }

    #[test]
    fn order_braces_and_quotes_are_kept() {
        let text = "z: 'a''b'\ny: \"1\"\nx: {b: [1, \"2\"], a: {}}\nw:\n  - k: v\n    l: |\n      one\n      two\n  - []\nv: yes\nu:\n";
        let node = settled(text);
        insta::assert_snapshot!(document_within(&node, 1_000).unwrap(), @r#"
        z: 'a''b'
        y: "1"
        x: {b: [1, "2"], a: {}}
        w:
        - k: v
          l: |
            one
            two
        - []
        v: yes
        u:
        "#);
    }

    #[test]
    fn a_long_key_stays_a_key() {
        let long = "k".repeat(129);
        let text =
            format!("? {long}\n: [a, {{? {long} : b}}]\n? {long}2\n: c: d\n? {long}3\n:\n- e\n");
        let written = document_within(&settled(&text), 10_000).unwrap();
        insta::assert_snapshot!(written.replace(&long, "LONG"), @r"
        ? LONG
        : [a, {? LONG : b}]
        ? LONG2
        :
          c: d
        ? LONG3
        :
        - e
        ");
        let value = |text: &str| settled(text).into_json(Dialect::Kustomize).unwrap();
        assert_eq!(value(&written), value(&text));
    }

    #[test]
    fn lines_of_a_text_in_a_list_stand_under_its_dash() {
        let text = "a:\n- |2\n\n  x\n- |\n  y\n- - |\n    z\n";
        assert_eq!(document_within(&settled(text), 1_000).unwrap(), text);
    }

    #[test]
    fn what_decides_about_a_value_is_kept() {
        let text = "- !!int \"5\"\n- !!binary aGk=\n- ! 5\n- !!str 5\n- !!int 5\n- !!float 5\n- [&a , b, c: ]\n- {\"<<\": <<}\n";
        let node = settled(text);
        insta::assert_snapshot!(document_within(&node, 1_000).unwrap(), @r#"
        - !!int "5"
        - !!binary aGk=
        - 5
        - "5"
        - 5
        - !!float 5
        - ['', b, {c: ''}]
        - {"<<": <<}
        "#);
    }
}
