//! One budget of requests to the API server, shared by all errands.
//!
//! Short work goes first: bulk may never hold all of it, so that a healing or a
//! look finds room at once, however many objects another app sends.

use tokio::sync::{Semaphore, SemaphorePermit};

/// Requests under way at once. The API server is the limit: between 16 and 32
/// it is busy, above that it only queues (measured: `cargo figures apply`).
pub const IN_FLIGHT: usize = 32;
/// Of those, how many bulk work may hold; the rest is kept for short work.
const BULK_IN_FLIGHT: usize = 24;
/// Requests of one errand under way at once: an app whose requests all hang
/// leaves room for the bulk of another.
pub(super) const ERRAND_IN_FLIGHT: usize = 16;
/// Requests that hang, beside those under way: six apps' worth. When there are
/// more, they take room from the others, so that the number of all is bounded.
const ASIDE: usize = 96;
/// Up to so many objects an errand is short.
const SHORT: usize = 16;

/// How urgent an errand is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// Healing, health, variables, small apps.
    Short,
    /// Many objects: may wait behind short work.
    Bulk,
}

impl Class {
    /// The class of an errand about so many objects.
    pub(super) fn of(objects: usize) -> Self {
        if objects <= SHORT { Self::Short } else { Self::Bulk }
    }
}

/// Permits for requests.
#[derive(Debug)]
pub(super) struct Budget {
    all: Semaphore,
    bulk: Semaphore,
    aside: Semaphore,
}

/// Room for one request; given back when dropped.
#[derive(Debug)]
pub(super) struct Permit<'a> {
    _room: Option<SemaphorePermit<'a>>,
    _bulk: Option<SemaphorePermit<'a>>,
}

impl Default for Budget {
    fn default() -> Self {
        Self::new(IN_FLIGHT)
    }
}

impl Budget {
    /// A budget of `in_flight` requests, three quarters of them for bulk.
    pub(super) fn new(in_flight: usize) -> Self {
        let bulk = (in_flight * BULK_IN_FLIGHT / IN_FLIGHT).max(1);
        let aside = Semaphore::new(ASIDE);
        Self { all: Semaphore::new(in_flight), bulk: Semaphore::new(bulk), aside }
    }

    /// Waits for room. Bulk queues among itself first, so at most its share of
    /// it ever stands in the way of short work.
    pub(super) async fn permit(&self, class: Class) -> Permit<'_> {
        // Neither is ever closed, so an error cannot happen; going on without is harmless.
        let bulk = match class {
            Class::Bulk => self.bulk.acquire().await.ok(),
            Class::Short => None,
        };
        Permit { _room: self.all.acquire().await.ok(), _bulk: bulk }
    }

    /// Gives the room of a request that hangs to others, while there is another place for it.
    pub(super) fn set_aside<'a>(&'a self, permit: Permit<'a>) -> Permit<'a> {
        match self.aside.try_acquire() {
            Ok(room) => Permit { _room: Some(room), _bulk: None },
            Err(_) => permit,
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    #[test]
    fn bulk_that_hangs_leaves_room_for_short_work() {
        let budget = Budget::default();
        let hanging: Vec<_> = std::iter::from_fn(|| budget.permit(Class::Bulk).now_or_never())
            .take(IN_FLIGHT + 1)
            .collect();
        assert_eq!(hanging.len(), BULK_IN_FLIGHT);
        let short: Vec<_> = std::iter::from_fn(|| budget.permit(Class::Short).now_or_never())
            .take(IN_FLIGHT + 1)
            .collect();
        assert_eq!(short.len(), IN_FLIGHT - BULK_IN_FLIGHT);
        drop(hanging);
        assert!(budget.permit(Class::Bulk).now_or_never().is_some());
    }

    #[test]
    fn requests_that_hang_make_room_for_others_up_to_a_bound() {
        let budget = Budget::new(2);
        let mut aside = Vec::new();
        for _ in 0..ASIDE {
            let permit = budget.permit(Class::Bulk).now_or_never().unwrap();
            aside.push(budget.set_aside(permit));
        }
        let permits = [(); 2].map(|()| budget.permit(Class::Short).now_or_never().unwrap());
        let _kept = permits.map(|permit| budget.set_aside(permit));
        assert!(budget.permit(Class::Short).now_or_never().is_none());
    }

    #[test]
    fn an_errand_about_few_objects_is_short() {
        assert_eq!((Class::of(16), Class::of(17)), (Class::Short, Class::Bulk));
    }
}
