//! Watches the metadata of the objects that carry our owner label, one kind a
//! connection. Keeps nothing of them: what was seen goes out at once.

mod follow;
mod line;

use std::{collections::BTreeMap, sync::Arc};

use futures::{
    StreamExt,
    future::{AbortHandle, abortable},
    stream::FuturesUnordered,
};

use super::Inner;
use follow::Follower;

/// Follows the wanted kinds, whatever they are at any time. Ends when nobody
/// listens to the sightings any more.
pub(super) async fn serve(inner: Arc<Inner>) {
    let mut wanted = inner.watched.subscribe();
    let mut running = FuturesUnordered::new();
    let mut handles: BTreeMap<_, AbortHandle> = BTreeMap::new();
    loop {
        let kinds = wanted.borrow_and_update().clone();
        handles.retain(|kind, handle| {
            let keep = kinds.contains(kind);
            if !keep {
                handle.abort();
            }
            keep
        });
        for kind in kinds {
            handles.entry(kind).or_insert_with_key(|kind| {
                let follower = Follower::new(Arc::clone(&inner), kind.clone());
                let (following, handle) = abortable(follower.follow());
                running.push(following);
                handle
            });
        }
        tokio::select! {
            // Cancel safe: a change that is missed here is seen at the top of the loop.
            changed = wanted.changed() => if changed.is_err() { return },
            // Cancel safe: `next` loses nothing when dropped.
            Some(ended) = running.next() => {
                // The other reason to end is that the kind is no longer wanted.
                if ended.is_ok() {
                    return;
                }
            }
        }
    }
}
