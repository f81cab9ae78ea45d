//! Names, tags and digests of images.

use leeward_yaml::{Content, Node};
use regex::Regex;

use super::set_scalar;
use crate::{
    error::{Outcome, Problem, echo},
    fieldspec::{Create, FieldSpec, apply_all},
    kustomization::Image,
    resmap::ResMap,
};

/// Lists of containers are changed wherever they are.
const LISTS: [&str; 2] = ["containers", "initContainers"];

pub(crate) fn images(map: &mut ResMap, image: &Image, specs: &[FieldSpec]) -> Outcome<()> {
    let matcher = Matcher::new(&image.name)?;
    let mut set = |node: &mut Node| update(node, &matcher, image);
    for resource in &mut map.list {
        if resource.kind() == "CustomResourceDefinition" {
            continue;
        }
        let outcome = containers(&mut resource.node, &mut set)
            .and_then(|()| apply_all(specs, &mut resource.node, Create::Nothing, &mut set));
        resource.locate(outcome)?;
    }
    Ok(())
}

/// What of an image a name fits.
enum Matcher<'n> {
    /// Letters, digits, `-`, `_`, `/` and dots, each of which stands for any character.
    Plain(&'n str),
    Expression(Regex),
}

impl<'n> Matcher<'n> {
    /// As upstream has it: the name is part of an expression as it stands. Hardly
    /// any name needs one, and a tenth of a small build goes into compiling it.
    fn new(name: &'n str) -> Outcome<Self> {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_/.".contains(c);
        if name.chars().all(is_plain) {
            return Ok(Self::Plain(name));
        }
        let pattern = format!("^{name}(:[a-zA-Z0-9_.{{}}-]*)?(@sha256:[a-zA-Z0-9_.{{}}-]*)?$");
        Regex::new(&pattern).map(Self::Expression).map_err(|_| {
            let message = format!("{:?} is not a regular expression", echo(name));
            Problem::Field { field: "images".to_owned(), message }.into()
        })
    }

    fn fits(&self, image: &str) -> bool {
        let name = match self {
            Self::Plain(name) => name,
            Self::Expression(regex) => return regex.is_match(image),
        };
        let mut rest = image.chars();
        let fits = name.chars().all(|own| {
            rest.next().is_some_and(|found| found == own || (own == '.' && found != '\n'))
        });
        let rest = without(without(rest.as_str(), ":"), "@sha256:");
        fits && rest.is_empty()
    }
}

/// What is left after a sign and the letters of a tag or digest, when the sign is there.
fn without<'t>(text: &'t str, sign: &str) -> &'t str {
    let is_part = |c: char| c.is_ascii_alphanumeric() || "_.{}-".contains(c);
    text.strip_prefix(sign).map_or(text, |part| part.trim_start_matches(is_part))
}

fn containers(node: &mut Node, set: &mut dyn FnMut(&mut Node) -> Outcome<()>) -> Outcome<()> {
    match &mut node.content {
        Content::Scalar(_) => Ok(()),
        Content::Sequence(items) => items.iter_mut().try_for_each(|item| containers(item, set)),
        Content::Mapping(entries) => {
            for entry in entries {
                containers(&mut entry.value, set)?;
                if LISTS.contains(&entry.key.as_str()) {
                    for item in entry.value.items_mut().into_iter().flatten() {
                        if let Some(image) = item.get_mut("image") {
                            set(image)?;
                        }
                    }
                }
            }
            Ok(())
        }
    }
}

fn update(node: &mut Node, matcher: &Matcher<'_>, image: &Image) -> Outcome<()> {
    if node.as_scalar().is_none() {
        return Err(super::not("an image"));
    }
    if !matcher.fits(node.raw()) {
        return Ok(());
    }
    let (mut name, mut tag, mut digest) = split(node.raw());
    if !image.new_name.is_empty() {
        name.clone_from(&image.new_name);
    }
    match (image.new_tag.is_empty(), image.digest.is_empty()) {
        (false, false) => {
            tag.clone_from(&image.new_tag);
            digest.clone_from(&image.digest);
        }
        (false, true) => {
            tag.clone_from(&image.new_tag);
            digest.clear();
        }
        (true, false) => {
            tag.clear();
            digest.clone_from(&image.digest);
        }
        (true, true) if !image.tag_suffix.is_empty() => {
            tag.push_str(&image.tag_suffix);
            digest.clear();
        }
        (true, true) => {}
    }
    for (sign, part) in [(':', tag), ('@', digest)] {
        if !part.is_empty() {
            name.push(sign);
            name.push_str(&part);
        }
    }
    set_scalar(node, Node::plain_of(name))
}

/// Name, tag and digest. A colon before the first slash belongs to a port.
fn split(image: &str) -> (String, String, String) {
    let start = image.find('/').filter(|at| *at > 0).unwrap_or(0);
    let at = |sign| image[start..].find(sign).map(|at| at + start);
    let owned =
        |name: &str, tag: &str, digest: &str| (name.to_owned(), tag.to_owned(), digest.to_owned());
    match (at(':'), at('@')) {
        (None, None) => owned(image, "", ""),
        (Some(colon), None) => owned(&image[..colon], &image[colon + 1..], ""),
        (Some(colon), Some(sign)) if colon < sign => {
            owned(&image[..colon], &image[colon + 1..sign], &image[sign + 1..])
        }
        (_, Some(sign)) => owned(&image[..sign], "", &image[sign + 1..]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_name_fits_what_its_expression_fits() {
        let names = ["nginx", "r.io/a/nginx", "a.b", "", "nginx:1", "a-b_c"];
        let digest = "@sha256:0a{}";
        let images = names.iter().flat_map(|name| {
            let tails =
                ["", ":1.0", ":", "@sha256:", digest, ":1@sha256:0", "@sha256:0:1", "/x", "x"];
            tails.map(|tail| format!("{name}{tail}"))
        });
        let odd = ["axb", "a\nb", "a.b\n", "äb", "a:1:2", "a-b_c:{tag}", "r-io/a/nginx:\u{e4}"];
        let images: Vec<_> = images.chain(odd.map(str::to_owned)).collect();
        for name in names {
            let plain = Matcher::new(name).unwrap();
            // A group that captures changes nothing, and keeps the name from being plain.
            let grouped = format!("({name})");
            let expression = Matcher::new(&grouped).unwrap();
            assert!(matches!(expression, Matcher::Expression(_)));
            for image in &images {
                assert_eq!(plain.fits(image), expression.fits(image), "{name:?} {image:?}");
            }
        }
    }

    #[test]
    fn ports_of_registries_are_no_tags() {
        let images =
            ["nginx", "nginx:1", "r:5/a/b", "r:5/a:1@sha256:0", "a@sha256:0", "localhost:5"];
        let shown = images.map(|image| {
            let (name, tag, digest) = split(image);
            format!("{name} {tag} {digest}")
        });
        insta::assert_snapshot!(shown.join("\n"), @r"
        nginx  
        nginx 1 
        r:5/a/b  
        r:5/a 1 sha256:0
        a  sha256:0
        localhost 5 
        ");
    }
}
