//! One answer to a fetch: from the link through the decoder into the store, object by object.

use std::time::Duration;

use leeward_core::{
    git::{
        Decoded, End, Missing, Object, Objects, PackDecoder, PackLimits, ResponseDecoder,
        ResponseError, Stop, Surplus, is_enough,
    },
    model::{FetchFailure, GitId, LinkStep, chain},
};
use tokio::time::{Instant, sleep_until};

use super::{
    failure::{failure, hinted, of_response, of_walk},
    http::{Answer, Broken, Link},
};

/// Objects are made durable together: 64 KB of them, or what came in a second.
const GROUP_BYTES: usize = 64 << 10;
const GROUP_AGE: Duration = Duration::from_secs(1);

/// The result of reading one answer.
pub(super) struct Received {
    pub(super) end: End,
    /// Objects that we lacked, now durable.
    pub(super) new: usize,
    pub(super) trouble: Option<Trouble>,
    /// Deltas that found no base.
    pub(super) unresolved: usize,
}

impl Received {
    /// Notes in `progressed`, which is kept over all answers of a fetch, whether one more try at
    /// once is worth it.
    pub(super) fn note_progress(&self, progressed: &mut bool) {
        *progressed |= self.new > 0;
        if matches!(self.trouble, Some(Trouble::Unkept(_))) {
            *progressed = false;
        }
    }
}

/// Why an answer did not come to its end.
pub(super) enum Trouble {
    /// In the server's words.
    Refused(String),
    /// The link broke; what came before is kept.
    Cut(FetchFailure),
    /// Trying again would end the same way.
    Fatal(FetchFailure),
    /// An object that arrived could not be stored. Asking again would only send it again.
    Unkept(FetchFailure),
    /// An object that we need is beyond the limit.
    TooLarge { id: GitId, size: u64, limit: u64 },
}

impl From<Broken> for Trouble {
    fn from(broken: Broken) -> Self {
        match broken {
            Broken::Cut(failure) => Self::Cut(failure),
            Broken::Stalled(failure) => Self::Fatal(failure),
        }
    }
}

/// Which objects of an answer are kept.
pub(super) enum Keep<'a> {
    Ours(&'a mut Missing),
    All,
}

/// Objects on their way to the store. Whatever ends the answer, a dropped future included, they get there.
struct Group<'a, O: Objects> {
    objects: &'a O,
    pending: Vec<Object>,
    bytes: usize,
    since: Instant,
}

impl<O: Objects> Group<'_, O> {
    fn add(&mut self, object: Object) -> Result<(), FetchFailure> {
        if self.pending.is_empty() {
            self.since = Instant::now();
        }
        self.bytes += object.data.len();
        self.pending.push(object);
        if self.bytes >= GROUP_BYTES || self.since.elapsed() >= GROUP_AGE {
            self.flush()
        } else {
            Ok(())
        }
    }

    fn flush(&mut self) -> Result<(), FetchFailure> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let pending = std::mem::take(&mut self.pending);
        self.bytes = 0;
        self.objects.write(&pending).map_err(|error| {
            hinted(
                LinkStep::Protocol,
                format!("cannot store what arrived: {}", chain(&error)),
                "make room on the disk of `store.path`, or raise `store.max_size`; what is there goes on working",
            )
        })
    }
}

impl<O: Objects> Drop for Group<'_, O> {
    fn drop(&mut self) {
        if let Err(error) = self.flush() {
            tracing::warn!(%error, "Cannot store what arrived before the fetch was dropped.");
        }
    }
}

struct Reception<'a, 'm, O: Objects> {
    group: Group<'a, O>,
    keep: Keep<'m>,
    path: &'a str,
    response: ResponseDecoder,
    pack: PackDecoder,
    new: usize,
    surplus: Surplus,
    /// Bytes of the pack that belong to no object that is complete.
    open_bytes: u64,
}

/// Reads an answer to its end, to a cut, or to where only objects outside of our path follow.
pub(super) async fn receive<O: Objects>(
    link: &mut Link,
    mut answer: Answer,
    objects: &O,
    keep: Keep<'_>,
    stop: Stop,
    limits: PackLimits,
    path: &str,
) -> Received {
    let group = Group { objects, pending: Vec::new(), bytes: 0, since: Instant::now() };
    let mut reception = Reception {
        group,
        keep,
        path,
        response: ResponseDecoder::default(),
        pack: PackDecoder::new(limits),
        new: 0,
        surplus: Surplus::default(),
        open_bytes: 0,
    };
    let (end, mut trouble) = reception.run(link, &mut answer, stop).await;
    if let Err(failure) = reception.group.flush() {
        trouble = Some(Trouble::Unkept(failure));
    }
    let unresolved = reception.pack.unresolved();
    Received { end, new: reception.new, trouble, unresolved }
}

fn too_much(link: &Link, path: &str) -> FetchFailure {
    let evidence = format!("`{path}` takes more than {} bytes", link.most);
    hinted(LinkStep::Path, evidence, "keep large files out of folders that are fetched whole")
}

impl<O: Objects> Reception<'_, '_, O> {
    async fn run(
        &mut self,
        link: &mut Link,
        answer: &mut Answer,
        stop: Stop,
    ) -> (End, Option<Trouble>) {
        let mut pack = Vec::new();
        loop {
            let piece = match self.next_piece(link, answer).await {
                Ok(Some(piece)) => piece,
                // When only the end of the transfer got lost, all that matters is in.
                Ok(None) | Err(Trouble::Cut(_)) if self.is_whole() => return (End::Whole, None),
                Ok(None) => {
                    let evidence = format!("{} ended its answer too early", link.host());
                    return (End::Cut, Some(Trouble::Cut(failure(LinkStep::Http, evidence))));
                }
                Err(trouble) => return (End::Cut, Some(trouble)),
            };
            if link.meter.received > link.most {
                return (End::Cut, Some(Trouble::Fatal(too_much(link, self.path))));
            }
            pack.clear();
            let refused = self.response.push(&piece, &mut pack).err();
            // What came in front of a refusal is still good.
            if let Err(trouble) = self.decode(&pack) {
                return (End::Cut, Some(trouble));
            }
            match refused {
                Some(ResponseError::Refused(words)) => {
                    return (End::Cut, Some(Trouble::Refused(words)));
                }
                Some(error) => {
                    let failure = of_response(&error, &link.url());
                    return (End::Cut, Some(Trouble::Fatal(failure)));
                }
                None => {}
            }
            if is_enough(stop, self.is_path_known(), self.surplus) && !self.is_whole() {
                return (End::Stopped, None);
            }
        }
    }

    fn is_path_known(&self) -> bool {
        matches!(&self.keep, Keep::Ours(missing) if missing.is_path_known())
    }

    /// An answer without a pack is whole too: the server had nothing to send.
    fn is_whole(&self) -> bool {
        self.response.is_complete() && (self.pack.is_complete() || self.pack.promised() == 0)
    }

    /// Waits for bytes; a pause is used to make durable what is there.
    async fn next_piece(
        &mut self,
        link: &mut Link,
        answer: &mut Answer,
    ) -> Result<Option<bytes::Bytes>, Trouble> {
        if !self.group.pending.is_empty() {
            let due = self.group.since + GROUP_AGE;
            tokio::select! {
                biased;
                // Cancel safe: see `Link::next_piece`.
                piece = link.next_piece(answer) => return piece.map_err(Trouble::from),
                () = sleep_until(due) => self.group.flush().map_err(Trouble::Unkept)?,
            }
        }
        Ok(link.next_piece(answer).await?)
    }

    fn decode(&mut self, pack: &[u8]) -> Result<(), Trouble> {
        self.open_bytes += pack.len() as u64;
        let mut decoded = Vec::new();
        let outcome = self.pack.push(pack, self.group.objects, &mut decoded);
        for decoded in decoded {
            match decoded {
                Decoded::Object(object) => self.take(object)?,
                Decoded::Oversized { id, size, limit, .. } => {
                    if matches!(&self.keep, Keep::Ours(missing) if missing.wants(id)) {
                        return Err(Trouble::TooLarge { id, size, limit });
                    }
                }
            }
        }
        // What is still open may be a wide tree of ours, but a blob never is while trees are missing.
        if self.is_path_known() || self.pack.is_in_blob() {
            self.surplus.bytes += std::mem::take(&mut self.open_bytes);
        }
        outcome.map_err(|error| {
            Trouble::Fatal(failure(LinkStep::Protocol, format!("bad pack: {}", chain(&error))))
        })
    }

    /// Keeps an object if it is ours, and after it those that only it made ours.
    fn take(&mut self, object: Object) -> Result<(), Trouble> {
        let mut open = vec![object];
        while let Some(object) = open.pop() {
            let missing = match &mut self.keep {
                Keep::All => {
                    let held = self.group.objects.contains(object.id).unwrap_or(false);
                    self.new += usize::from(!held);
                    self.group.add(object).map_err(Trouble::Unkept)?;
                    continue;
                }
                Keep::Ours(missing) => missing,
            };
            let claimed = missing
                .accept(self.group.objects, &object)
                .map_err(|error| Trouble::Fatal(of_walk(&error, self.path)))?;
            if let Some(wanted) = claimed {
                self.new += 1;
                self.surplus = Surplus::default();
                self.open_bytes = 0;
                open.extend(wanted.into_iter().filter_map(|id| self.pack.recent(id)));
                self.group.add(object).map_err(Trouble::Unkept)?;
            } else {
                self.surplus.objects += 1;
                self.surplus.bytes += std::mem::take(&mut self.open_bytes);
            }
        }
        Ok(())
    }
}
