//! Parts of the agent that are switched off, to show that their absence is found out.
//!
//! All of it is done from outside, to what the agent sees or what its store keeps:
//! nothing in the agent knows of it.

use std::error::Error;

use leeward::store::{Batch, Store};
use leeward_core::cycle::AppRecord;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Sabotage {
    #[default]
    None,
    /// What the inventory says of objects not yet confirmed is lost at a power cut.
    NoWriteAhead,
    /// The memory of bad content is lost at a power cut.
    ForgetBad,
    /// The loop waits for a request that hangs.
    LoopWaits,
    /// On the way back one object that is refused stops all of it, as if the API
    /// server itself were in trouble.
    PutsNothingOff,
    /// What Git does not declare any more goes before the rest is known to run.
    PrunesFirst,
    /// Each app is looked at for itself: one that gets an object from another hears of it
    /// only when that one is done with it.
    AppsApart,
    /// Every Job that is gone counts as one that was cut short.
    ForgetsRuns,
}

impl Sabotage {
    /// Changes what the store has kept over a power cut.
    pub(crate) fn spoil(self, store: &Store) -> Result<(), Box<dyn Error>> {
        let mut batch = Batch::default();
        match self {
            Self::NoWriteAhead => {
                for (app, entries) in store.inventory_all()? {
                    let unsure = entries.into_iter().filter(|(_, entry)| entry.applied.is_none());
                    batch.inventory.extend(unsure.map(|(key, _)| (app.clone(), key, None)));
                }
            }
            Self::ForgetBad => {
                let apps = store.apps()?;
                batch.apps =
                    apps.into_iter().map(|app| AppRecord { bad: Vec::new(), ..app }).collect();
            }
            _ => return Ok(()),
        }
        store.commit(batch)?;
        Ok(())
    }
}
