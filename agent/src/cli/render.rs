//! `leeward render`: the manifests of a folder, as the agent would apply them.
//! Needs no configuration, daemon or cluster.
//!
//! A folder with a kustomization is answered with the stream that `kustomize
//! build` prints.

use std::fmt::Write as _;

use leeward_core::model::Manifest;
use leeward_yaml::emit;
use serde_json::Value;

use super::{
    Session,
    arguments::RenderFlags,
    console::Console,
    declared::{Declared, Rendering},
    exit::{Exit, Failure},
    machine::Machine,
};

/// Bytes that are printed: a text of many lines that lies deep is a hundred times as large as its file.
const OUTPUT_BYTES_MAX: usize = 64 << 20;

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
            let text = || emit::stream_within(bodies.iter().copied(), OUTPUT_BYTES_MAX);
            console.answer_or_fail(&bodies, |_| text().ok_or_else(too_much_output))?;
        }
        Declared::Plain(apps) => {
            let manifests: Vec<&Manifest> =
                apps.iter().flat_map(|(_, manifests)| manifests).collect();
            let bodies: Vec<&Value> = manifests.iter().map(|manifest| &manifest.body).collect();
            console.answer_or_fail(&bodies, |_| text(&manifests).ok_or_else(too_much_output))?;
            if manifests.is_empty() {
                console.note(&format!("{} declares nothing", flags.path));
            }
        }
    }
    Ok(Exit::Done)
}

/// `None` when it is too much.
fn text(manifests: &[&Manifest]) -> Option<String> {
    let mut text = String::new();
    for manifest in manifests {
        let left = OUTPUT_BYTES_MAX.checked_sub(text.len())?;
        let document = emit::document_within(&manifest.body, left)?;
        let _ = write!(text, "---\n# {}\n{document}", manifest.origin);
    }
    Some(text)
}

fn too_much_output() -> Failure {
    let most = OUTPUT_BYTES_MAX >> 20;
    Failure::new(Exit::BadInput, format!("the manifests have more than {most} MiB as YAML"))
}
