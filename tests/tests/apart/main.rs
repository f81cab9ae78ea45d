//! One app's trouble is its own: while something of an app hangs, what is
//! edited in another one is put right as if nothing were the matter, and
//! whoever asks is answered.
//!
//! Judged by the order of events, not by a clock: the edit is healed while the
//! trouble still lasts. How long that takes is measured by `cargo figures apart`.

mod disk;
mod many;
mod newer;
mod own;
mod trouble;

use std::time::Duration;

use leeward_core::model::StatusDocument;
use leeward_tests::{
    scenario::{apart::Apart, damage::Damage},
    weather::say,
};
use serde_json::Value;

/// Times that an object of the calm app is edited while the other is in trouble.
const EDITS: usize = 5;

/// Starts with both apps good; the one that is to get into trouble has these
/// objects. `None`: not on this cluster, which has been said.
async fn start(name: &str, objects: &[Value]) -> Option<Apart> {
    let mut apart = Apart::prepare(name, objects, |options| options).await.unwrap()?;
    apart.start().await.unwrap();
    Some(apart)
}

/// Edits the calm app's object, several times, and waits until each edit is
/// healed; `lasts` must hold of the status after each.
async fn heals_while(apart: &Apart, lasts: impl Fn(&StatusDocument) -> bool) {
    let mut longest = Duration::ZERO;
    for round in 0..EDITS {
        let healed =
            Damage::EditedData.healed_after(&apart.scenario, apart.map(round), round).await;
        longest = longest.max(healed.unwrap());
        let status = apart.scenario.agent.status().await.unwrap();
        assert!(lasts(&status), "the trouble was over before the edit was healed: {status:#?}");
    }
    say(&format!("{}: healed within {longest:?}", apart.calm));
}
