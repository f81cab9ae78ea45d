//! From the tree to JSON.

use serde_json::{Map, Number, Value};

use crate::{
    dialect::{Dialect, Resolved},
    error::{Problem, YamlError},
    fold,
    node::{Content, Node, Scalar, Style, Tag},
    number,
    shared::Shared,
    timestamp,
};

impl Node {
    /// Reads every scalar as the dialect does. All scalars that JSON cannot
    /// hold are named, not just the first.
    pub fn into_json(self, dialect: Dialect) -> Result<Value, Vec<YamlError>> {
        let mut errors = Vec::new();
        let value = convert(self, dialect, false, &mut errors);
        if errors.is_empty() { Ok(value) } else { Err(errors) }
    }

    /// Changes the tree as a way through JSON and back would: every scalar gets its one
    /// spelling, and none is shared with other places. A scalar that JSON cannot hold stays.
    pub fn through_json(&mut self) {
        self.each(false, &mut |node, in_flow| {
            node.flow = false;
            if let Content::Scalar(scalar) = &mut node.content {
                scalar.respell(in_flow);
            }
        });
    }
}

impl Scalar {
    fn respell(&mut self, in_flow: bool) {
        if in_flow && self.is_quoted_in_flow(Dialect::Kustomize) {
            (self.style, self.tag, self.shared) = (Style::Quoted, Tag::Str, Shared::default());
            return;
        }
        let Ok(value) = scalar_value(self.clone(), Dialect::Kustomize) else { return };
        *self = match value {
            Value::String(text) => Self::new(text, Style::Quoted, Tag::Str),
            Value::Bool(value) => Self::new(value.to_string(), Style::Plain, Tag::Bool),
            Value::Number(number) => {
                let tag = if number.is_f64() { Tag::Float } else { Tag::Int };
                Self::new(number::json_text(&number), Style::Plain, tag)
            }
            _ => Self::new("null", Style::Plain, Tag::Null),
        };
    }
}

/// Recursion is bounded: the tree is no deeper than `Limits::depth`.
fn convert(node: Node, dialect: Dialect, in_flow: bool, errors: &mut Vec<YamlError>) -> Value {
    let in_flow = in_flow || node.flow;
    match node.content {
        Content::Sequence(items) => {
            items.into_iter().map(|item| convert(item, dialect, in_flow, errors)).collect()
        }
        Content::Mapping(entries) => {
            let mut map = Map::new();
            for entry in entries {
                map.insert(entry.key, convert(entry.value, dialect, in_flow, errors));
            }
            Value::Object(map)
        }
        Content::Scalar(scalar) if in_flow && scalar.is_quoted_in_flow(dialect) => {
            Value::String(scalar.text)
        }
        Content::Scalar(scalar) => scalar_value(scalar, dialect).unwrap_or_else(|problem| {
            errors.push(problem.at(node.mark));
            Value::Null
        }),
    }
}

fn scalar_value(scalar: Scalar, dialect: Dialect) -> Result<Value, Problem> {
    Ok(match scalar.resolve(dialect)? {
        Resolved::Null => Value::Null,
        Resolved::Bool(value) => Value::Bool(value),
        Resolved::Integer(value) => Value::from(value),
        Resolved::Unsigned(value) => Value::from(value),
        Resolved::Float(value) => {
            float_value(value).ok_or_else(|| Problem::NotFinite(scalar.echo()))?
        }
        Resolved::Text => match scalar.timestamp(dialect) {
            Some(time) => Value::String(time),
            None if dialect == Dialect::Kustomize && scalar.style == Style::Folded => {
                Value::String(fold::written_and_read(&scalar.text))
            }
            None => Value::String(scalar.text),
        },
        Resolved::Decoded(text) => Value::String(text),
    })
}

impl Scalar {
    /// Kustomize writes what it has read before it makes JSON of it, and quotes in
    /// braces and brackets what is nothing or has a colon, such as a time.
    fn is_quoted_in_flow(&self, dialect: Dialect) -> bool {
        let is_quoted = match self.tag {
            Tag::None => self.text.is_empty() || self.text.contains(':'),
            Tag::Null => self.text.is_empty(),
            Tag::Timestamp => self.text.contains(':'),
            _ => false,
        };
        dialect == Dialect::Kustomize && self.style == Style::Plain && is_quoted
    }

    /// Kustomize takes a date for a point in time, and shows it as JSON does.
    fn timestamp(&self, dialect: Dialect) -> Option<String> {
        let is_plain = self.tag == Tag::None && self.style == Style::Plain;
        let may_be = dialect == Dialect::Kustomize && (is_plain || self.tag == Tag::Timestamp);
        may_be.then(|| timestamp::in_json(&self.text))?
    }
}

/// Kubernetes passes through JSON, where `1.0` and `1e3` are written as whole
/// numbers and read as such if they fit.
fn float_value(value: f64) -> Option<Value> {
    if value.fract() == 0.0
        && let Ok(whole) = format!("{value}").parse::<i64>()
    {
        return Some(Value::from(whole));
    }
    Number::from_f64(value).map(Value::Number)
}
