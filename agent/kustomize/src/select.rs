//! Which objects a patch or replacement is for.

use leeward_yaml::Node;
use regex::Regex;

use crate::{
    error::{Outcome, Problem, echo},
    id::{Gvk, ResId},
    resource::Resource,
};

/// As it is written: parts of an id as regular expressions, and label selectors.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Selector {
    pub(crate) id: ResId,
    pub(crate) annotations: String,
    pub(crate) labels: String,
}

impl Selector {
    pub(crate) fn has_no_id(&self) -> bool {
        self.id == ResId::default()
    }
}

/// Ready to be asked.
#[derive(Debug)]
pub(crate) struct Matcher {
    group: Option<Regex>,
    version: Option<Regex>,
    kind: Option<Regex>,
    name: Option<Regex>,
    namespace: Option<Regex>,
    annotations: Vec<Requirement>,
    labels: Vec<Requirement>,
}

impl Matcher {
    pub(crate) fn new(selector: &Selector) -> Outcome<Self> {
        let ResId { gvk, name, namespace, .. } = &selector.id;
        Ok(Self {
            group: anchored(&gvk.group)?,
            version: anchored(&gvk.version)?,
            kind: anchored(&gvk.kind)?,
            name: anchored(name)?,
            namespace: anchored(namespace)?,
            annotations: requirements(&selector.annotations)?,
            labels: requirements(&selector.labels)?,
        })
    }

    fn fits_gvk(&self, gvk: &Gvk) -> bool {
        fits(self.group.as_ref(), &gvk.group)
            && fits(self.version.as_ref(), &gvk.version)
            && fits(self.kind.as_ref(), &gvk.kind)
    }

    /// Whether it selects what is called so.
    pub(crate) fn fits_id(&self, id: &ResId) -> bool {
        self.fits_gvk(&id.gvk)
            && fits(self.name.as_ref(), &id.name)
            && fits(self.namespace.as_ref(), &id.namespace)
    }

    pub(crate) fn fits_labels_and_annotations(&self, resource: &Resource) -> bool {
        let all = |requirements: &[Requirement], field| {
            let map = resource.node.at(&["metadata", field]);
            let value = |key: &str| map.and_then(|map| map.get(key)).map(Node::raw);
            requirements.iter().all(|requirement| requirement.is_met(&value))
        };
        all(&self.labels, "labels") && all(&self.annotations, "annotations")
    }

    /// As the target of a patch: name and namespace may be those of the file or today's.
    pub(crate) fn fits(&self, resource: &Resource) -> bool {
        let (now, before) = (resource.id(), resource.original_id());
        let either = |regex: Option<&Regex>, a: &str, b: &str| fits(regex, a) || fits(regex, b);
        either(self.namespace.as_ref(), before.effective_namespace(), now.effective_namespace())
            && either(self.name.as_ref(), &before.name, &now.name)
            && self.fits_gvk(&now.gvk)
            && self.fits_labels_and_annotations(resource)
    }
}

fn fits(regex: Option<&Regex>, text: &str) -> bool {
    regex.is_none_or(|regex| regex.is_match(text))
}

fn anchored(pattern: &str) -> Outcome<Option<Regex>> {
    if pattern.is_empty() {
        return Ok(None);
    }
    Regex::new(&format!("^(?:{pattern})$")).map(Some).map_err(|error| {
        let message = format!("{:?} is not a regular expression: {error}", echo(pattern));
        Problem::Field { field: "target".to_owned(), message }.into()
    })
}

/// One part of a label selector.
#[derive(Clone, Debug)]
struct Requirement {
    key: String,
    operator: Operator,
    values: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Operator {
    Exists,
    Missing,
    In,
    NotIn,
    Greater,
    Less,
}

impl Requirement {
    fn is_met<'v>(&self, value: &impl Fn(&str) -> Option<&'v str>) -> bool {
        let found = value(&self.key);
        let is_listed = |found: &str| self.values.iter().any(|value| value == found);
        let number = |text: &str| text.parse::<i64>().ok();
        let limit = self.values.first().and_then(|value| number(value));
        match self.operator {
            Operator::Exists => found.is_some(),
            Operator::Missing => found.is_none(),
            Operator::In => found.is_some_and(is_listed),
            Operator::NotIn => !found.is_some_and(is_listed),
            Operator::Greater => {
                found.and_then(number).zip(limit).is_some_and(|(found, limit)| found > limit)
            }
            Operator::Less => {
                found.and_then(number).zip(limit).is_some_and(|(found, limit)| found < limit)
            }
        }
    }
}

/// Reads `a=b, c!=d, e in (f, g), h notin (i), j, !k, l>1`.
fn requirements(selector: &str) -> Outcome<Vec<Requirement>> {
    let mut found = Vec::new();
    let mut rest = selector.trim();
    while !rest.is_empty() {
        // Commas within parentheses belong to a list.
        let mut depth = 0;
        let end = rest.find(|c| {
            match c {
                '(' => depth += 1,
                ')' => depth -= 1,
                _ => {}
            }
            c == ',' && depth == 0
        });
        let (part, more) = end.map_or((rest, ""), |at| (&rest[..at], &rest[at + 1..]));
        let requirement = requirement(part.trim()).ok_or_else(|| {
            let message = format!("{:?} is not a label selector", echo(selector));
            Box::<crate::BuildError>::from(Problem::Field { field: "target".to_owned(), message })
        })?;
        found.push(requirement);
        rest = more.trim();
    }
    Ok(found)
}

/// What may be the value of a label.
fn is_label_value(value: &str) -> bool {
    let is_end = |c: char| c.is_ascii_alphanumeric();
    value.len() <= 63
        && value.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
        && (value.is_empty() || (value.starts_with(is_end) && value.ends_with(is_end)))
}

fn requirement(part: &str) -> Option<Requirement> {
    let build = |key: &str, operator, values: Vec<&str>| {
        let key = key.trim();
        let is_key =
            !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric() || "-_./".contains(c));
        let values: Vec<&str> = values.into_iter().map(str::trim).collect();
        (is_key && values.iter().all(|value| is_label_value(value))).then(|| Requirement {
            key: key.to_owned(),
            operator,
            values: values.into_iter().map(str::to_owned).collect(),
        })
    };
    if let Some(key) = part.strip_prefix('!') {
        return build(key, Operator::Missing, Vec::new());
    }
    for (sign, operator) in [
        ("!=", Operator::NotIn),
        ("==", Operator::In),
        ("=", Operator::In),
        (">", Operator::Greater),
        ("<", Operator::Less),
    ] {
        if let Some((key, value)) = part.split_once(sign) {
            return build(key, operator, vec![value]);
        }
    }
    let Some((head, list)) = part.split_once('(') else {
        return build(part, Operator::Exists, Vec::new());
    };
    let values = list.strip_suffix(')')?.split(',').collect();
    let mut words = head.split_whitespace();
    let (key, word) = (words.next()?, words.next()?);
    match word {
        "in" => build(key, Operator::In, values),
        "notin" => build(key, Operator::NotIn, values),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn label_selectors_read_as_in_kubernetes() {
        let labels = [("app", "web"), ("tier", "5")];
        let value = |key: &str| labels.iter().find(|(name, _)| *name == key).map(|(_, v)| *v);
        let meets = |selector: &str| {
            requirements(selector).map(|all| all.iter().all(|one| one.is_met(&value))).ok()
        };
        let selectors = [
            "app=web",
            "app==web,tier!=4",
            "app in (web, db), !x",
            "app notin (db)",
            "tier>4",
            "tier<5",
            "x",
            "x!=y",
            "app in web",
        ];
        let shown = selectors.map(|selector| format!("{selector}: {:?}", meets(selector)));
        insta::assert_snapshot!(shown.join("\n"), @r"
        app=web: Some(true)
        app==web,tier!=4: Some(true)
        app in (web, db), !x: Some(true)
        app notin (db): Some(true)
        tier>4: Some(true)
        tier<5: Some(false)
        x: Some(false)
        x!=y: Some(true)
        app in web: None
        ");
    }
}
