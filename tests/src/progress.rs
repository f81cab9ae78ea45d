//! One line on stderr about long work, so that nobody takes a build for a hang.

use std::{
    io::{IsTerminal, Write},
    sync::{
        Arc, Mutex,
        mpsc::{self, RecvTimeoutError, Sender},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

/// On a terminal the line is redrawn; a log gets a new one, less often.
const REDRAW: Duration = Duration::from_secs(1);
const LOG_INTERVAL: Duration = Duration::from_secs(20);

/// Says what is being done and for how long already, until it is dropped.
#[derive(Debug)]
pub struct Progress {
    step: Arc<Mutex<String>>,
    stop: Option<Sender<()>>,
    printer: Option<JoinHandle<()>>,
}

impl Progress {
    pub fn start(title: &str) -> Self {
        let step = Arc::new(Mutex::new(String::from("starting")));
        let (stop, stopped) = mpsc::channel();
        let shared = Arc::clone(&step);
        let title = title.to_owned();
        let printer = std::thread::spawn(move || {
            let terminal = std::io::stderr().is_terminal();
            let started = Instant::now();
            let mut wait = REDRAW;
            while let Err(RecvTimeoutError::Timeout) = stopped.recv_timeout(wait) {
                let step = shared.lock().map(|step| step.clone()).unwrap_or_default();
                print_line(terminal, &title, started.elapsed(), &step);
                wait = if terminal { REDRAW } else { LOG_INTERVAL };
            }
            if terminal {
                write_stderr("\r\x1b[K");
            } else if started.elapsed() > REDRAW {
                print_line(false, &title, started.elapsed(), "done");
            }
        });
        Self { step, stop: Some(stop), printer: Some(printer) }
    }

    pub fn step(&self, step: impl Into<String>) {
        if let Ok(mut shared) = self.step.lock() {
            *shared = step.into();
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(printer) = self.printer.take() {
            let _ended = printer.join();
        }
    }
}

fn print_line(terminal: bool, title: &str, elapsed: Duration, step: &str) {
    let seconds = elapsed.as_secs();
    let line = format!("{title}, {}:{:02}: {step}", seconds / 60, seconds % 60);
    write_stderr(&if terminal { format!("\r\x1b[K{line}") } else { format!("{line}\n") });
}

/// Past the test harness, which keeps what is printed until the test has failed.
pub(crate) fn write_stderr(text: &str) {
    let mut stderr = std::io::stderr().lock();
    // Nobody is left to be told that stderr is closed.
    let _closed = stderr.write_all(text.as_bytes()).and_then(|()| stderr.flush());
}
