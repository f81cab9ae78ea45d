//! Damage that somebody does to a live object, and how long it lasts.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::{
    Scenario,
    objects::{image, text, uid},
};

/// What is done to an object of `objects::thirds`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Damage {
    /// The data of a ConfigMap.
    EditedData,
    /// The image of a Deployment.
    EditedImage,
    Deleted,
}

impl Damage {
    /// Does it to the live object of a manifest, and returns how long after
    /// that the object is again as the manifest says.
    pub async fn healed_after(
        self,
        scenario: &Scenario,
        manifest: &Value,
        round: usize,
    ) -> Result<Duration> {
        let edit = format!("edited:{round}");
        match self {
            Self::EditedData => {
                scenario.meddle(manifest, &json!({ "data": { "key": edit } })).await?;
                let started = Instant::now();
                let wanted = text(manifest, "/data/key");
                scenario.wait_live(manifest, |live| text(live, "/data/key") == wanted).await?;
                Ok(started.elapsed())
            }
            Self::EditedImage => {
                let path = "/spec/template/spec/containers/0/image";
                let patch = json!([{ "op": "replace", "path": path, "value": edit }]);
                scenario.patch(manifest, &patch).await?;
                let started = Instant::now();
                let wanted = image(manifest);
                scenario.wait_live(manifest, |live| image(live) == wanted).await?;
                Ok(started.elapsed())
            }
            Self::Deleted => {
                let live = scenario.live(manifest).await?.context("nothing to delete")?;
                let before = uid(&live);
                scenario.remove(manifest).await?;
                let started = Instant::now();
                scenario.wait_live(manifest, |live| uid(live) != before).await?;
                Ok(started.elapsed())
            }
        }
    }
}
