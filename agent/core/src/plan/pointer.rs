//! JSON pointers (RFC 6901) with `*` for every item of a list.

use std::fmt;

use serde_json::Value;

/// A parsed pointer; never empty, since no rule may mean a whole object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pointer(Vec<String>);

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PointerError {
    #[error("`{0}` is not a JSON pointer: it must start with `/`, as in `/spec/replicas`")]
    NoSlash(String),
    #[error("`{0}` is not a JSON pointer: after `~` comes 0 (for `~`) or 1 (for `/`)")]
    BadEscape(String),
    #[error("`{0}` is what names the object, so Git must decide it")]
    Identity(String),
}

impl Pointer {
    /// Parses a pointer that a person wrote.
    pub fn parse(text: &str) -> Result<Self, PointerError> {
        /// Enough to recognise it by; an error is one line.
        const SHOWN_CHARACTERS: usize = 100;
        let shown = || text.chars().take(SHOWN_CHARACTERS).collect::<String>();
        let Some(rest) = text.strip_prefix('/') else {
            return Err(PointerError::NoSlash(shown()));
        };
        let segments = rest
            .split('/')
            .map(unescaped)
            .collect::<Option<Vec<String>>>()
            .ok_or_else(|| PointerError::BadEscape(shown()))?;
        let names: Vec<&str> = segments.iter().map(String::as_str).collect();
        match names.as_slice() {
            ["apiVersion" | "kind" | "metadata" | ""] | ["metadata", "name" | "namespace", ..] => {
                Err(PointerError::Identity(shown()))
            }
            _ => Ok(Self(segments)),
        }
    }

    pub(super) fn of(segments: &[&str]) -> Self {
        Self(segments.iter().map(|&segment| segment.to_owned()).collect())
    }

    pub fn segments(&self) -> &[String] {
        &self.0
    }

    /// Whether `path` is this field or lies in it.
    pub fn covers(&self, path: &str) -> bool {
        let Some(rest) = path.strip_prefix('/') else { return false };
        let mut names = rest.split('/');
        self.0.iter().all(|segment| {
            names.next().is_some_and(|name| {
                segment == "*" && name.parse::<usize>().is_ok()
                    || unescaped(name).is_some_and(|name| name == *segment)
            })
        })
    }

    /// The fields of `body` that this pointer means, without any `*`.
    pub(super) fn resolved(&self, body: &Value) -> Vec<Self> {
        let mut found = Vec::new();
        resolve(body, &self.0, &mut Vec::new(), &mut found);
        found
    }
}

fn resolve(value: &Value, rest: &[String], path: &mut Vec<String>, found: &mut Vec<Pointer>) {
    let Some((first, rest)) = rest.split_first() else {
        found.push(Pointer(path.clone()));
        return;
    };
    let mut enter = |segment: String, value: &Value| {
        path.push(segment);
        resolve(value, rest, path, found);
        path.pop();
    };
    match value {
        Value::Object(map) => {
            if let Some(value) = map.get(first) {
                enter(first.clone(), value);
            }
        }
        Value::Array(items) if first == "*" => {
            for (index, item) in items.iter().enumerate() {
                enter(index.to_string(), item);
            }
        }
        Value::Array(items) => {
            if let Some(item) = first.parse::<usize>().ok().and_then(|index| items.get(index)) {
                enter(first.clone(), item);
            }
        }
        _ => {}
    }
}

impl fmt::Display for Pointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|segment| write!(f, "/{}", escaped(segment)))
    }
}

/// A segment as RFC 6901 spells it.
pub(super) fn escaped(segment: &str) -> String {
    segment.replace('~', "~0").replace('/', "~1")
}

fn unescaped(segment: &str) -> Option<String> {
    let mut parts = segment.split('~');
    let mut text = parts.next()?.to_owned();
    for part in parts {
        if let Some(rest) = part.strip_prefix('0') {
            text.push('~');
            text.push_str(rest);
        } else {
            text.push('/');
            text.push_str(part.strip_prefix('1')?);
        }
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_pointer_prints_as_it_was_written() {
        for text in ["/spec/replicas", "/metadata/annotations/a~1b~0c", "/data/", "/spec/*/image"] {
            assert_eq!(Pointer::parse(text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn a_pointer_that_cannot_be_meant_says_why() {
        let error = |text| Pointer::parse(text).unwrap_err().to_string();
        insta::assert_snapshot!(error("spec/replicas"), @"`spec/replicas` is not a JSON pointer: it must start with `/`, as in `/spec/replicas`");
        insta::assert_snapshot!(error("/a~2"), @"`/a~2` is not a JSON pointer: after `~` comes 0 (for `~`) or 1 (for `/`)");
        insta::assert_snapshot!(error("/metadata/name"), @"`/metadata/name` is what names the object, so Git must decide it");
        assert!(Pointer::parse("").is_err());
        assert!(Pointer::parse("/").is_err());
    }

    #[test]
    fn a_star_is_every_item_of_a_list() {
        let body = json!({"c": [{"image": "a"}, {"x": 1}, {"image": "b"}]});
        let found: Vec<String> = Pointer::parse("/c/*/image")
            .unwrap()
            .resolved(&body)
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(found, ["/c/0/image", "/c/2/image"]);
    }

    #[test]
    fn a_pointer_covers_what_lies_below_it() {
        let pointer = Pointer::parse("/spec/c/*/resources").unwrap();
        assert!(pointer.covers("/spec/c/2/resources/limits/cpu"));
        assert!(pointer.covers("/spec/c/0/resources"));
        assert!(!pointer.covers("/spec/c/0/resourcesX"));
        assert!(!pointer.covers("/spec/c/0"));
        assert!(!pointer.covers(""));
    }
}
