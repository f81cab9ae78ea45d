//! The journal's own protocol: one datagram an entry, with a field for each
//! field (<https://systemd.io/JOURNAL_NATIVE_PROTOCOL/>).
//!
//! `MESSAGE` has the fields as well, since that is all that `journalctl` shows.
//! Of spans nothing is said: none of ours are opened.

use std::{
    fmt::{self, Write as _},
    io,
    os::unix::net::UnixDatagram,
    path::Path,
    sync::Arc,
    time::Duration,
};

use tracing::{
    Event, Level, Metadata, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::layer::{Context, Layer};

use super::queue::Queue;

const SOCKET: &str = "/run/systemd/journal/socket";
/// A journal that is there but takes nothing for so long is busy, not absent.
const START_PATIENCE: Duration = Duration::from_secs(1);
/// Bytes of one field. A datagram holds about 200 KiB by default, and an event
/// has 32 fields at most.
const FIELD_MAX: usize = 2 * 1024;
/// Bytes of the message, fields included.
const MESSAGE_MAX: usize = 16 * 1024;

/// A socket for entries, once it is sure that there is a journal.
pub(super) fn connect() -> io::Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    socket.set_write_timeout(Some(START_PATIENCE))?;
    // The journal throws an empty datagram away.
    match send(&socket, &[]) {
        Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Err(error),
        _ => {}
    }
    socket.set_write_timeout(None)?;
    Ok(socket)
}

/// Waits for as long as the journal's queue is full.
pub(super) fn send(socket: &UnixDatagram, datagram: &[u8]) -> io::Result<()> {
    // By its name each time: after a restart the journal is behind a new socket.
    socket.send_to(datagram, SOCKET).map(drop)
}

/// Queues an entry for each event.
pub(super) struct Journal {
    queue: Arc<Queue>,
    identifier: String,
}

impl Journal {
    pub(super) fn new(queue: Arc<Queue>) -> Self {
        let program = std::env::args_os().next().unwrap_or_default();
        let name = Path::new(&program).file_name().unwrap_or_default();
        Self { queue, identifier: name.to_string_lossy().into_owned() }
    }
}

impl<S: Subscriber> Layer<S> for Journal {
    fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        self.queue.push(entry(event.metadata(), &self.identifier, &fields));
    }
}

/// What an event says.
#[derive(Debug, Default)]
struct Fields {
    message: String,
    others: Vec<(&'static str, String)>,
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let text = format!("{value:?}");
        if field.name() == "message" {
            self.message = text;
        } else {
            self.others.push((field.name(), text));
        }
    }
}

fn entry(metadata: &Metadata<'_>, identifier: &str, fields: &Fields) -> Vec<u8> {
    let mut message = fields.message.clone();
    for (name, value) in &fields.others {
        // Writing to a string does not fail.
        write!(message, " {name}={}", cut(value, FIELD_MAX)).ok();
    }
    let mut entry = Vec::new();
    put(&mut entry, "PRIORITY", priority(*metadata.level()));
    put(&mut entry, "TARGET", metadata.target());
    put(&mut entry, "CODE_FILE", metadata.file().unwrap_or_default());
    put(&mut entry, "CODE_LINE", &metadata.line().unwrap_or_default().to_string());
    put(&mut entry, "SYSLOG_IDENTIFIER", identifier);
    put(&mut entry, "MESSAGE", cut(&message, MESSAGE_MAX));
    for (name, value) in &fields.others {
        put(&mut entry, &format!("F_{}", field_name(name)), cut(value, FIELD_MAX));
    }
    entry
}

/// Name, length and value: a value may have line breaks.
fn put(entry: &mut Vec<u8>, name: &str, value: &str) {
    entry.extend_from_slice(name.as_bytes());
    entry.push(b'\n');
    entry.extend_from_slice(&(value.len() as u64).to_le_bytes());
    entry.extend_from_slice(value.as_bytes());
    entry.push(b'\n');
}

/// The journal takes upper case letters, digits and underscores.
fn field_name(name: &str) -> String {
    let allowed = |character: char| {
        if character.is_ascii_alphanumeric() { character.to_ascii_uppercase() } else { '_' }
    };
    name.chars().map(allowed).collect()
}

/// As syslog has it; `info` is a notice, since it is what somebody asked for.
fn priority(level: Level) -> &'static str {
    match level {
        Level::ERROR => "3",
        Level::WARN => "4",
        Level::INFO => "5",
        Level::DEBUG => "6",
        Level::TRACE => "7",
    }
}

fn cut(text: &str, bytes: usize) -> &str {
    &text[..text.floor_char_boundary(bytes)]
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    /// The entries of what `act` logs, a field a line.
    fn entries(act: impl FnOnce()) -> Vec<String> {
        let queue = Arc::new(Queue::default());
        let journal = Journal { queue: Arc::clone(&queue), identifier: "leeward".to_owned() };
        tracing::subscriber::with_default(tracing_subscriber::registry().with(journal), act);
        queue.lines().iter().map(|entry| readable(entry)).collect()
    }

    fn readable(mut entry: &[u8]) -> String {
        let mut text = String::new();
        while let Some(at) = entry.iter().position(|byte| *byte == b'\n') {
            let (name, rest) = entry.split_at(at);
            let (length, rest) = rest[1..].split_first_chunk().unwrap();
            let length = usize::try_from(u64::from_le_bytes(*length)).unwrap();
            let [name, value] = [name, &rest[..length]].map(String::from_utf8_lossy);
            if !name.starts_with("CODE_") {
                writeln!(text, "{name}={value}").unwrap();
            }
            entry = &rest[length + 1..];
        }
        text
    }

    #[test]
    fn the_message_has_the_fields_too_since_that_is_all_that_a_person_is_shown() {
        let said = entries(|| {
            tracing::info!(app = %"shop", from = "applying", reason = "a\nb", "The app moved on.");
        });
        insta::assert_snapshot!(said[0], @r"
        PRIORITY=5
        TARGET=leeward::log::journal::tests
        SYSLOG_IDENTIFIER=leeward
        MESSAGE=The app moved on. app=shop from=applying reason=a
        b
        F_APP=shop
        F_FROM=applying
        F_REASON=a
        b
        ");
    }

    #[test]
    fn an_entry_always_fits_into_a_datagram() {
        let long = "ä".repeat(200_000);
        let said = entries(|| tracing::warn!(a = long, b = long, c = long, "{long}"));
        assert!(said[0].len() < MESSAGE_MAX + 4 * FIELD_MAX, "{}", said[0].len());
    }
}
