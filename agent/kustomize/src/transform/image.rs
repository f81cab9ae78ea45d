//! Names, tags and digests of images.

use regex::Regex;

use super::set_scalar;
use crate::{
    error::{Outcome, Problem, echo},
    fieldspec::{Create, FieldSpec, apply_all},
    kustomization::Image,
    resmap::ResMap,
    yaml::{Content, Node},
};

/// Lists of containers are changed wherever they are.
const LISTS: [&str; 2] = ["containers", "initContainers"];

pub(crate) fn images(map: &mut ResMap, image: &Image, specs: &[FieldSpec]) -> Outcome<()> {
    // As upstream has it: the name is part of the expression as it stands.
    let pattern = format!("^{}(:[a-zA-Z0-9_.{{}}-]*)?(@sha256:[a-zA-Z0-9_.{{}}-]*)?$", image.name);
    let matcher = Regex::new(&pattern).map_err(|_| {
        let message = format!("{:?} is not a regular expression", echo(&image.name));
        Box::<crate::BuildError>::from(Problem::Field { field: "images".to_owned(), message })
    })?;
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

fn update(node: &mut Node, matcher: &Regex, image: &Image) -> Outcome<()> {
    if node.as_scalar().is_none() {
        return Err(super::not("an image"));
    }
    if !matcher.is_match(node.raw()) {
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
