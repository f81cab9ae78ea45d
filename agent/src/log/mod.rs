//! Where the daemon's log goes: stderr as text or JSON, or straight to the journal.
//!
//! Whoever logs never waits for whoever reads: lines go through a queue to a
//! thread of its own, which is the only one that blocks when a pipe is full or
//! the journal hangs. What finds no room is dropped, counted, and said later.

mod journal;
mod queue;

use std::{
    fs::File,
    io::{self, IsTerminal as _, Write},
    os::fd::AsFd as _,
    sync::{Arc, OnceLock},
    thread,
    time::Duration,
};

use tracing_subscriber::{
    EnvFilter, Layer, Registry, filter::ParseError, fmt::MakeWriter, layer::SubscriberExt as _,
    util::SubscriberInitExt as _, util::TryInitError,
};

use crate::config::{LogConfig, LogFormat};
use journal::Journal;
use queue::Queue;

/// At the end of the process, how long it waits for whoever reads the log.
pub const LAST_LINES: Duration = Duration::from_millis(500);
/// Between two tries to write to a stderr that was made non-blocking by whoever shares it.
const AGAIN: Duration = Duration::from_millis(20);

static QUEUE: OnceLock<Arc<Queue>> = OnceLock::new();

/// Why logs cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum StartLogError {
    #[error("the log filter `{level}` cannot be read: {source}")]
    Filter { level: String, source: ParseError },
    #[error("cannot reach the systemd journal: {0}")]
    Journal(io::Error),
    #[error("cannot start the thread that writes the log: {0}")]
    Thread(io::Error),
    #[error("logs are written already: {0}")]
    Twice(#[from] TryInitError),
}

/// Sends the log of this process where the configuration says.
pub fn start(config: &LogConfig) -> Result<(), StartLogError> {
    let filter = EnvFilter::try_new(&config.level)
        .map_err(|source| StartLogError::Filter { level: config.level.clone(), source })?;
    let queue = Arc::new(Queue::default());
    let output = output(config.format, &queue)?;
    tracing_subscriber::registry().with(output.with_filter(filter)).try_init()?;
    // Only one subscriber can be installed, so there is no other queue yet.
    QUEUE.set(queue).ok();
    Ok(())
}

/// Lines that found no room since the start.
pub fn dropped() -> u64 {
    QUEUE.get().map_or(0, |queue| queue.dropped())
}

/// Waits for the lines that are queued to be written, at most [`LAST_LINES`].
pub fn flush() {
    if let Some(queue) = QUEUE.get() {
        queue.flush(LAST_LINES);
    }
}

fn output(
    format: LogFormat,
    queue: &Arc<Queue>,
) -> Result<Box<dyn Layer<Registry> + Send + Sync>, StartLogError> {
    let lines = Lines(Arc::clone(queue));
    Ok(match format {
        LogFormat::Text => {
            to_stderr(queue)?;
            let colour = io::stderr().is_terminal();
            tracing_subscriber::fmt::layer().with_writer(lines).with_ansi(colour).boxed()
        }
        LogFormat::Json => {
            to_stderr(queue)?;
            tracing_subscriber::fmt::layer().json().with_writer(lines).boxed()
        }
        LogFormat::Journald => {
            let socket = journal::connect().map_err(StartLogError::Journal)?;
            write_from(queue, move |datagram| journal::send(&socket, datagram))?;
            Journal::new(Arc::clone(queue)).boxed()
        }
    })
}

/// Past the lock of [`io::stderr`]: others must be able to write their last words
/// while this thread hangs in a write.
fn to_stderr(queue: &Arc<Queue>) -> Result<(), StartLogError> {
    let owned = io::stderr().as_fd().try_clone_to_owned().map_err(StartLogError::Thread)?;
    let file = File::from(owned);
    write_from(queue, move |line| write_all(&file, line))
}

fn write_from(
    queue: &Arc<Queue>,
    write: impl FnMut(&[u8]) -> io::Result<()> + Send + 'static,
) -> Result<(), StartLogError> {
    let queue = Arc::clone(queue);
    let serve = move || queue.serve(write);
    thread::Builder::new()
        .name("log".to_owned())
        .spawn(serve)
        .map(drop)
        .map_err(StartLogError::Thread)
}

fn write_all(mut file: impl Write, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match file.write(bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => bytes = &bytes[written..],
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => thread::sleep(AGAIN),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Hands lines to the queue; the formatter writes each in one piece.
struct Lines(Arc<Queue>);

impl<'a> MakeWriter<'a> for Lines {
    type Writer = &'a Queue;

    fn make_writer(&'a self) -> &'a Queue {
        &self.0
    }
}

impl Write for &Queue {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.push(line.to_vec());
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
