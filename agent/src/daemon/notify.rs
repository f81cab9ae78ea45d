//! What the service manager is told: ready, reloading, stopping, one line of
//! status, and that the loop is alive.
//!
//! Fed by the loop and by nobody else. A timer task that pets the watchdog
//! would go on petting it over a loop that hangs.

use std::{
    ffi::OsStr,
    io,
    os::{
        linux::net::SocketAddrExt as _,
        unix::{ffi::OsStrExt as _, net::SocketAddr, net::UnixDatagram},
    },
    time::Duration,
};

use leeward_core::model::Uptime;
use sd_notify::NotifyState;

/// Characters of a status line that are sent; `systemctl status` shows one row.
const STATUS_LENGTH_MAX: usize = 256;

/// Talks to systemd, or to nobody when it did not start us.
#[derive(Debug)]
pub struct Notifier {
    manager: Option<Manager>,
    /// How often the watchdog wants to hear of us; `None`: it is off.
    interval: Option<Duration>,
    /// When it last did.
    last: Option<Uptime>,
    status: String,
}

#[derive(Debug)]
struct Manager {
    socket: UnixDatagram,
    address: SocketAddr,
}

impl Notifier {
    /// Reads `$NOTIFY_SOCKET`, `$WATCHDOG_USEC` and `$WATCHDOG_PID`.
    pub fn from_environment() -> Self {
        let watchdog = sd_notify::watchdog_enabled();
        match std::env::var_os("NOTIFY_SOCKET") {
            None => Self::silent(),
            Some(path) => Self::new(&path, watchdog).unwrap_or_else(|error| {
                tracing::warn!(%error, ?path, "Cannot talk to the service manager.");
                Self::silent()
            }),
        }
    }

    /// Tells nobody anything: not started by a service manager.
    pub fn silent() -> Self {
        Self { manager: None, interval: None, last: None, status: String::new() }
    }

    /// `path` as in `$NOTIFY_SOCKET`; a leading `@` names an abstract socket.
    /// `timeout` is when the watchdog loses patience.
    pub fn new(path: &OsStr, timeout: Option<Duration>) -> io::Result<Self> {
        let address = match path.as_bytes().strip_prefix(b"@") {
            Some(name) => SocketAddr::from_abstract_name(name)?,
            None => SocketAddr::from_pathname(path)?,
        };
        let socket = UnixDatagram::unbound()?;
        // A service manager that hangs must not take the loop with it.
        socket.set_nonblocking(true)?;
        Ok(Self {
            manager: Some(Manager { socket, address }),
            // A third, so that one lost datagram and one slow round are forgiven.
            interval: timeout.map(|timeout| timeout / 3),
            last: None,
            status: String::new(),
        })
    }

    /// The store is open and the first status is published.
    pub fn ready(&mut self, now: Uptime, status: &str) {
        self.last = Some(now);
        let line = one_line(status);
        self.send(&[NotifyState::Ready, NotifyState::Status(&line), NotifyState::Watchdog]);
        self.status = line;
    }

    /// The configuration is being read again; `ready` ends it.
    pub fn reloading(&self) {
        match NotifyState::monotonic_usec_now() {
            Ok(now) => self.send(&[NotifyState::Reloading, now]),
            Err(error) => tracing::debug!(%error, "Cannot read the monotonic clock."),
        }
    }

    pub fn stopping(&self) {
        self.send(&[NotifyState::Stopping, NotifyState::Status("stopping")]);
    }

    /// Whether the watchdog wants to hear of us by `now`.
    pub fn due(&self, now: Uptime) -> bool {
        self.next().is_some_and(|next| next <= now)
    }

    /// When the loop must come round again for the watchdog's sake; `None`: never.
    pub fn next(&self) -> Option<Uptime> {
        let interval = self.interval?;
        Some(self.last.map_or(Uptime::default(), |last| last + interval))
    }

    /// Once in every round of the loop: the watchdog when it is due, the status
    /// when it is another.
    pub fn beat(&mut self, now: Uptime, status: &str) {
        let line = one_line(status);
        let due = self.due(now);
        let changed = line != self.status;
        match (due, changed) {
            (false, false) => {}
            (true, false) => self.send(&[NotifyState::Watchdog]),
            (false, true) => self.send(&[NotifyState::Status(&line)]),
            (true, true) => self.send(&[NotifyState::Watchdog, NotifyState::Status(&line)]),
        }
        if due {
            self.last = Some(now);
        }
        self.status = line;
    }

    fn send(&self, states: &[NotifyState<'_>]) {
        let Some(manager) = &self.manager else { return };
        let lines: Vec<String> = states.iter().map(ToString::to_string).collect();
        let message = lines.join("\n");
        if let Err(error) = manager.socket.send_to_addr(message.as_bytes(), &manager.address) {
            tracing::warn!(%error, "Cannot tell the service manager how we are.");
        }
    }
}

/// The first `STATUS_LENGTH_MAX` characters in one line. A line break would let
/// the text of an error speak to the service manager in our name.
fn one_line(status: &str) -> String {
    status
        .chars()
        .take(STATUS_LENGTH_MAX)
        .map(|character| if character.is_control() { ' ' } else { character })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Option<Duration> = Some(Duration::from_mins(1));

    /// A service manager's socket, and a notifier that speaks to it.
    fn manager(timeout: Option<Duration>) -> (tempfile::TempDir, UnixDatagram, Notifier) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let manager = UnixDatagram::bind(&path).unwrap();
        manager.set_nonblocking(true).unwrap();
        let notifier = Notifier::new(path.as_os_str(), timeout).unwrap();
        (folder, manager, notifier)
    }

    /// All that it has been told, one datagram a line.
    fn told(manager: &UnixDatagram) -> String {
        let mut buffer = [0; 4096];
        let mut all = String::new();
        while let Ok(length) = manager.recv(&mut buffer) {
            let text = std::str::from_utf8(&buffer[..length]).unwrap();
            all.push_str(&text.trim_end().replace('\n', " | "));
            all.push('\n');
        }
        all
    }

    #[test]
    fn the_watchdog_hears_of_every_third_of_its_timeout_and_the_status_only_when_it_changes() {
        let (_folder, manager, mut notifier) = manager(MINUTE);
        notifier.ready(Uptime::from_secs(1), "nothing fetched yet");
        for second in [2, 20, 21, 30, 41] {
            let status = if second < 30 { "nothing fetched yet" } else { "2 apps good" };
            notifier.beat(Uptime::from_secs(second), status);
        }
        notifier.stopping();
        insta::assert_snapshot!(told(&manager), @r"
        READY=1 | STATUS=nothing fetched yet | WATCHDOG=1
        WATCHDOG=1
        STATUS=2 apps good
        WATCHDOG=1
        STOPPING=1 | STATUS=stopping
        ");
    }

    #[test]
    fn the_loop_is_asked_to_come_round_for_the_watchdog() {
        let (_folder, _manager, mut notifier) = manager(MINUTE);
        notifier.beat(Uptime::from_secs(100), "");
        assert_eq!(notifier.next(), Some(Uptime::from_secs(120)));
    }

    #[test]
    fn without_a_watchdog_nothing_is_ever_due() {
        let (_folder, _manager, notifier) = manager(None);
        assert!(!notifier.due(Uptime::from_secs(1_000_000)));
    }

    #[test]
    fn reloading_says_when_it_began() {
        let (_folder, manager, notifier) = manager(None);
        notifier.reloading();
        let said = told(&manager);
        assert!(said.starts_with("RELOADING=1 | MONOTONIC_USEC="), "{said}");
    }

    #[test]
    fn an_error_with_a_line_break_cannot_speak_to_the_service_manager() {
        let (_folder, manager, mut notifier) = manager(None);
        notifier.beat(Uptime::default(), "fetch failed: bad ref\nMAINPID=1");
        insta::assert_snapshot!(told(&manager), @"STATUS=fetch failed: bad ref MAINPID=1");
    }

    #[test]
    fn a_service_manager_that_does_not_read_does_not_stop_the_loop() {
        let (_folder, _manager, mut notifier) = manager(None);
        for round in 0..10_000_u64 {
            notifier.beat(Uptime::from_secs(round), &round.to_string());
        }
        assert_eq!(notifier.status, "9999");
    }
}
