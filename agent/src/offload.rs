//! Work that blocks: rendering, and whatever waits for the disk. The loop hands
//! it out and goes on; how it is carried out is up to whoever runs the loop.

use std::{fmt, rc::Rc};

use futures::future::LocalBoxFuture;
use tokio::sync::oneshot;

/// A piece of work that may block its thread.
pub type Job = Box<dyn FnOnce() + Send>;

/// Carries out jobs. The daemon hands them to a thread, the simulation runs
/// them in place, with a power cut before or after.
#[derive(Clone)]
pub struct Offload(Rc<dyn Fn(Job) -> LocalBoxFuture<'static, ()>>);

impl Offload {
    pub fn new(carry_out: impl Fn(Job) -> LocalBoxFuture<'static, ()> + 'static) -> Self {
        Self(Rc::new(carry_out))
    }

    /// Runs each job at once, in place.
    pub fn inline() -> Self {
        Self::new(|job| {
            job();
            Box::pin(std::future::ready(()))
        })
    }

    /// Carries out `work` and returns its result. `None`: it did not run to its
    /// end, because the process is on its way out.
    pub async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        let (result, arrived) = oneshot::channel();
        // The receiver is gone only if nobody waits for the result any more.
        (self.0)(Box::new(move || drop(result.send(work())))).await;
        arrived.await.ok()
    }
}

impl fmt::Debug for Offload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Offload")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_job_in_place_returns_its_result_and_one_that_never_runs_returns_none() {
        assert_eq!(Offload::inline().run(|| 6 * 7).await, Some(42));
        let never = Offload::new(|job| {
            drop(job);
            Box::pin(std::future::ready(()))
        });
        assert_eq!(never.run(|| 6 * 7).await, None);
    }
}
