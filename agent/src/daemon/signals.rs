//! What the outside asks by signal: stop, stop now, read the configuration again.

use std::convert::Infallible;

use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::mpsc,
};
use tokio_util::sync::CancellationToken;

/// Cannot listen for signals; the process has no business running without.
#[derive(Debug, thiserror::Error)]
#[error("cannot install a handler for {name}")]
pub struct InstallError {
    name: &'static str,
    source: std::io::Error,
}

/// Handlers for SIGTERM, SIGINT and SIGHUP. While it lives, none of them ends the process by itself.
#[derive(Debug)]
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Received {
    Terminate,
    Interrupt,
    Hangup,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reaction {
    /// Finish the step at hand, record it, leave.
    Drain,
    /// Asked twice: leave, with this exit code. The store is whole at every instant.
    LeaveAtOnce(i32),
    Reload,
}

/// What a signal means, given whether we have been asked to stop before.
fn reaction(received: Received, stopping: bool) -> Reaction {
    match (received, stopping) {
        (Received::Hangup, _) => Reaction::Reload,
        (Received::Terminate | Received::Interrupt, false) => Reaction::Drain,
        // 128 + the number of the signal, as shells have it.
        (Received::Interrupt, true) => Reaction::LeaveAtOnce(130),
        (Received::Terminate, true) => Reaction::LeaveAtOnce(143),
    }
}

impl Signals {
    pub fn install() -> Result<Self, InstallError> {
        let listen = |kind, name| signal(kind).map_err(|source| InstallError { name, source });
        Ok(Self {
            terminate: listen(SignalKind::terminate(), "SIGTERM")?,
            interrupt: listen(SignalKind::interrupt(), "SIGINT")?,
            hangup: listen(SignalKind::hangup(), "SIGHUP")?,
        })
    }

    /// Turns signals into a cancelled `shutdown` and messages on `reload`, for
    /// as long as the process lives. `reload` needs room for one: a second
    /// SIGHUP before the first is served asks for nothing more.
    pub async fn watch(
        mut self,
        shutdown: CancellationToken,
        reload: mpsc::Sender<()>,
    ) -> Infallible {
        loop {
            let received = self.next().await;
            match reaction(received, shutdown.is_cancelled()) {
                Reaction::Drain => {
                    tracing::info!(?received, "Stopping.");
                    shutdown.cancel();
                }
                Reaction::LeaveAtOnce(code) => {
                    tracing::warn!(?received, "Asked twice to stop; leaving at once.");
                    leave(code);
                }
                Reaction::Reload => {
                    tracing::info!("Reading the configuration again.");
                    // Full: a reload is already due. Closed: we are on our way out.
                    reload.try_send(()).ok();
                }
            }
        }
    }

    async fn next(&mut self) -> Received {
        // Cancel safe: `recv` loses nothing when dropped. A closed stream
        // (`None`) cannot happen while the runtime lives.
        tokio::select! {
            biased;
            Some(()) = self.terminate.recv() => Received::Terminate,
            Some(()) = self.interrupt.recv() => Received::Interrupt,
            Some(()) = self.hangup.recv() => Received::Hangup,
        }
    }
}

/// Ends the process at once, but for the last lines of its log.
#[expect(clippy::exit, reason = "whoever asks a second time does not want to wait for anything")]
pub(super) fn leave(code: i32) -> ! {
    crate::log::flush();
    std::process::exit(code)
}

#[cfg(test)]
mod tests {
    use std::{
        io::{BufRead as _, BufReader, Write as _},
        process::{Child, ChildStdout, Command, Stdio},
    };

    use super::*;

    /// Set for the copy of this test that plays the daemon.
    const PLAY_THE_DAEMON: &str = "LEEWARD_TEST_PLAY_THE_DAEMON";

    async fn play_the_daemon() {
        let (reload, mut reloads) = mpsc::channel(1);
        let shutdown = CancellationToken::new();
        let signals = Signals::install().unwrap();
        say("installed");
        let talk = async {
            while let Some(()) = reloads.recv().await {
                say("reload");
            }
        };
        let stop = async {
            shutdown.cancelled().await;
            say("stopping");
            std::future::pending::<()>().await;
        };
        tokio::join!(signals.watch(shutdown.clone(), reload), talk, stop);
    }

    fn say(word: &str) {
        writeln!(std::io::stdout(), "said: {word}").unwrap();
    }

    /// The next thing that the daemon says.
    fn heard(lines: &mut BufReader<ChildStdout>) -> String {
        let mut line = String::new();
        while !line.contains("said: ") {
            line.clear();
            assert_ne!(lines.read_line(&mut line).unwrap(), 0, "the daemon is gone");
        }
        line.rsplit("said: ").next().unwrap().trim_end().to_owned()
    }

    fn send(daemon: &Child, name: &str) {
        let command = format!("kill -{name} {}", daemon.id());
        assert!(Command::new("sh").args(["-c", &command]).status().unwrap().success());
    }

    /// In a process of its own, since signals go to a whole process.
    #[tokio::test]
    async fn sighup_reloads_the_first_sigterm_drains_and_the_second_ends_the_process_at_once() {
        if std::env::var_os(PLAY_THE_DAEMON).is_some() {
            return play_the_daemon().await;
        }
        let name = std::thread::current().name().unwrap().to_owned();
        let mut daemon = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", &name, "--nocapture"])
            .env(PLAY_THE_DAEMON, "1")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(daemon.stdout.take().unwrap());
        let mut story = vec![heard(&mut lines)];
        for signal in ["HUP", "TERM", "HUP"] {
            send(&daemon, signal);
            story.push(heard(&mut lines));
        }
        send(&daemon, "TERM");
        story.push(daemon.wait().unwrap().to_string());
        assert_eq!(story, ["installed", "reload", "stopping", "reload", "exit status: 143"]);
    }

    #[test]
    fn impatience_shows_in_the_exit_code() {
        assert_eq!(reaction(Received::Interrupt, true), Reaction::LeaveAtOnce(130));
    }
}
