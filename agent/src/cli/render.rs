//! `leeward render`: the manifests of a folder, as the agent would apply them.
//! Needs no configuration, daemon or cluster.
//!
//! A folder with a kustomization is answered with the stream that `kustomize
//! build` prints.

use std::fmt::Write as _;

use leeward_core::{model::Manifest, render::yaml::emit};
use serde_json::Value;

use super::{
    Session,
    arguments::RenderFlags,
    console::Console,
    declared::{Declared, Rendering},
    exit::{Exit, Failure},
    machine::Machine,
};

pub(super) fn run(
    flags: &RenderFlags,
    session: &Session,
    console: &mut Console<'_>,
) -> Result<Exit, Failure> {
    let rendering = Rendering::of(&flags.rendering, &session.invocation.flags)?;
    let folder = Machine::folder(&flags.path)?;
    let here = Machine::from_here();
    // A kustomization reads what lies anywhere; of a plain folder people name its own files.
    let machine = if rendering.builds(&here, &folder) { here } else { Machine::from(&folder) };
    let name = folder.rsplit('/').next().unwrap_or_default();
    match rendering.declared(&machine, &folder, name)? {
        Declared::Built { build, .. } => {
            let bodies: Vec<&Value> = build.objects.iter().map(|object| &object.value).collect();
            console.answer(&bodies, |_| build.to_yaml())?;
        }
        Declared::Plain(apps) => {
            let manifests: Vec<&Manifest> =
                apps.iter().flat_map(|(_, manifests)| manifests).collect();
            let bodies: Vec<&Value> = manifests.iter().map(|manifest| &manifest.body).collect();
            console.answer(&bodies, |_| text(&manifests))?;
            if manifests.is_empty() {
                console.note(&format!("{} declares nothing", flags.path));
            }
        }
    }
    Ok(Exit::Done)
}

fn text(manifests: &[&Manifest]) -> String {
    let mut text = String::new();
    for manifest in manifests {
        let _ = write!(text, "---\n# {}\n{}", manifest.origin, emit::document(&manifest.body));
    }
    text
}
