//! A bounded queue of lines, between those who log and the one who writes.

use std::{
    collections::VecDeque,
    io,
    sync::{
        Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

/// Lines that may wait: a few seconds at level debug.
const LINES_MAX: usize = 2048;
/// Bytes that may wait. They are resident only while nobody reads.
const BYTES_MAX: usize = 512 * 1024;

#[derive(Debug, Default)]
pub(super) struct Queue {
    state: Mutex<State>,
    changed: Condvar,
    dropped: AtomicU64,
}

#[derive(Debug, Default)]
struct State {
    lines: VecDeque<Vec<u8>>,
    bytes: usize,
    /// A line has left the queue and is being written.
    writing: bool,
    /// Lines dropped since the log last said so.
    unsaid: u64,
}

impl Queue {
    /// Takes a line, or drops it when there is no room. Never waits for a reader.
    pub(super) fn push(&self, line: Vec<u8>) {
        let mut state = self.lock();
        if state.lines.len() >= LINES_MAX || state.bytes + line.len() > BYTES_MAX {
            state.unsaid += 1;
            self.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        state.bytes += line.len();
        state.lines.push_back(line);
        drop(state);
        self.changed.notify_all();
    }

    /// How many lines were dropped, ever.
    pub(super) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Writes line after line for ever, and blocks where `write` does.
    pub(super) fn serve(&self, mut write: impl FnMut(&[u8]) -> io::Result<()>) {
        loop {
            self.write_one(&mut write);
            if let Some(lines) = self.to_say() {
                tracing::warn!(lines, "Log lines were dropped; nobody read them in time.");
            }
        }
    }

    /// Waits until all is written, or until `patience` is at its end.
    pub(super) fn flush(&self, patience: Duration) {
        let unwritten = |state: &mut State| state.writing || !state.lines.is_empty();
        let waited = self.changed.wait_timeout_while(self.lock(), patience, unwritten);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }

    fn write_one(&self, write: &mut impl FnMut(&[u8]) -> io::Result<()>) {
        let line = {
            let waited = self.changed.wait_while(self.lock(), |state| state.lines.is_empty());
            let mut state = waited.unwrap_or_else(PoisonError::into_inner);
            let line = state.lines.pop_front().unwrap_or_default();
            state.bytes -= line.len();
            state.writing = true;
            line
        };
        if write(&line).is_err() {
            // Not to be said: the line that says it would fail as well.
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
        self.lock().writing = false;
        self.changed.notify_all();
    }

    /// How many dropped lines the log should mention now: once half of the room is free.
    fn to_say(&self) -> Option<u64> {
        let mut state = self.lock();
        let has_room = state.lines.len() <= LINES_MAX / 2 && state.bytes <= BYTES_MAX / 2;
        (has_room && state.unsaid > 0).then(|| std::mem::take(&mut state.unsaid))
    }

    #[cfg(test)]
    pub(super) fn lines(&self) -> Vec<Vec<u8>> {
        self.lock().lines.iter().cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    fn written(queue: &Queue) -> Vec<String> {
        let mut lines = Vec::new();
        while !queue.lock().lines.is_empty() {
            queue.write_one(&mut |line: &[u8]| {
                lines.push(String::from_utf8(line.to_vec()).unwrap());
                Ok(())
            });
        }
        lines
    }

    #[test]
    fn lines_come_out_in_order_and_what_finds_no_room_is_dropped_and_counted() {
        let queue = Queue::default();
        for number in 0..LINES_MAX + 7 {
            queue.push(number.to_string().into_bytes());
        }
        assert_eq!(queue.to_say(), None, "there is no room to say it yet");
        let lines = written(&queue);
        let last = (LINES_MAX - 1).to_string();
        assert_eq!((lines.len(), lines.last()), (LINES_MAX, Some(&last)));
        assert_eq!((queue.to_say(), queue.to_say(), queue.dropped()), (Some(7), None, 7));
    }

    #[test]
    fn few_long_lines_are_bounded_as_well() {
        let queue = Queue::default();
        for _ in 0..10 {
            queue.push(vec![b'x'; BYTES_MAX / 4]);
        }
        assert_eq!((queue.lock().lines.len(), queue.dropped()), (4, 6));
    }

    #[test]
    fn a_line_that_cannot_be_written_is_counted_and_not_mentioned() {
        let queue = Queue::default();
        queue.push(b"lost".to_vec());
        queue.write_one(&mut |_: &[u8]| Err(io::ErrorKind::BrokenPipe.into()));
        assert_eq!((queue.to_say(), queue.dropped()), (None, 1));
    }

    #[test]
    fn flushing_ends_with_its_patience_when_nobody_reads() {
        let queue = Queue::default();
        queue.push(b"unread".to_vec());
        let started = Instant::now();
        queue.flush(Duration::from_millis(20));
        assert!(started.elapsed() >= Duration::from_millis(20));
        written(&queue);
        // With nothing left it does not wait at all, or this test would not end.
        queue.flush(Duration::from_hours(1));
    }
}
