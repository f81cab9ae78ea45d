//! Threads with a runtime of their own, so that what blocks one of them does
//! not stop the others.

use std::{io, thread};

use tokio::{runtime::Runtime, sync::oneshot, task::LocalSet};

/// A thread that runs until its work ends.
#[derive(Debug)]
pub(super) struct Thread {
    name: &'static str,
    /// `None` once it has ended.
    ended: Option<oneshot::Receiver<&'static str>>,
}

impl Thread {
    /// Starts a thread for the future that `work` makes inside of it. The
    /// future ends with the name of the task whose end it was.
    pub(super) fn start<F: Future<Output = &'static str>>(
        name: &'static str,
        blocking: usize,
        work: impl FnOnce() -> F + Send + 'static,
    ) -> io::Result<Self> {
        let runtime = runtime(blocking)?;
        let (tell, ended) = oneshot::channel();
        thread::Builder::new().name(name.to_owned()).spawn(move || {
            let task = runtime.block_on(LocalSet::new().run_until(async move { work().await }));
            // Dropping the runtime would wait for every name lookup that hangs.
            runtime.shutdown_background();
            // Nobody listens any more when the whole process ends.
            tell.send(task).ok();
        })?;
        Ok(Self { name, ended: Some(ended) })
    }

    /// Waits for the end of the thread, and names the task whose end it was.
    /// A thread that panicked names itself. Cancel safe.
    pub(super) async fn ended(&mut self) -> &'static str {
        let Some(ended) = &mut self.ended else { return self.name };
        let task = ended.await.unwrap_or(self.name);
        self.ended = None;
        task
    }
}

/// A runtime on the thread that drives it, with at most `blocking` threads beside
/// it for what cannot be awaited.
pub(super) fn runtime(blocking: usize) -> io::Result<Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(blocking)
        .build()
}

#[cfg(test)]
mod tests {
    use std::{sync::mpsc, time::Duration};

    use super::*;

    const BLOCKING: usize = 1;

    #[tokio::test]
    async fn a_thread_names_the_task_that_ended_it_as_often_as_it_is_asked() {
        let mut thread = Thread::start("link", BLOCKING, || async { "poll" }).unwrap();
        assert_eq!((thread.ended().await, thread.ended().await), ("poll", "link"));
    }

    #[tokio::test]
    async fn a_thread_that_panics_names_itself() {
        let work = || async { panic!("expected by this test") };
        let mut thread = Thread::start("link", BLOCKING, work).unwrap();
        assert_eq!(thread.ended().await, "link");
    }

    #[tokio::test]
    async fn a_call_that_hangs_does_not_keep_its_thread_from_ending() {
        let (release, hang) = mpsc::channel::<()>();
        let mut thread = Thread::start("link", BLOCKING, move || async {
            let hangs = tokio::task::spawn_blocking(move || hang.recv());
            tokio::time::timeout(Duration::ZERO, hangs).await.ok();
            "poll"
        })
        .unwrap();
        assert_eq!(thread.ended().await, "poll");
        drop(release);
    }
}
