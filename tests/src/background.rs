//! The one runtime that all servers of this package share.
//!
//! A test's own runtime may be paused, blocked or gone while a server must go
//! on answering, so servers never run on it.

use std::{
    future::Future,
    io,
    net::{SocketAddr, TcpListener as StdListener},
    sync::LazyLock,
    time::Duration,
};

use tokio::{net::TcpListener, runtime::Runtime};
use tokio_util::task::AbortOnDropHandle;

/// How long a port that was ours a moment ago may still be busy.
const REBIND_PATIENCE: Duration = Duration::from_secs(5);
const REBIND_INTERVAL: Duration = Duration::from_millis(20);

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("test-servers")
        .enable_all()
        .build()
        .expect("a runtime needs only threads and an epoll instance")
});

/// Runs the future until it ends or the handle is dropped.
pub(crate) fn spawn<F>(future: F) -> AbortOnDropHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    AbortOnDropHandle::new(RUNTIME.spawn(future))
}

/// Listens; port 0 takes a free one.
pub(crate) fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let listener = StdListener::bind(address)?;
    listener.set_nonblocking(true)?;
    let _context = RUNTIME.enter();
    TcpListener::from_std(listener)
}

/// Listens again on a port that was given up a moment ago.
pub(crate) async fn listen_again(address: SocketAddr) -> io::Result<TcpListener> {
    let deadline = tokio::time::Instant::now() + REBIND_PATIENCE;
    loop {
        match listen(address) {
            Err(error)
                if error.kind() == io::ErrorKind::AddrInUse
                    && tokio::time::Instant::now() < deadline =>
            {
                tokio::time::sleep(REBIND_INTERVAL).await;
            }
            result => return result,
        }
    }
}
