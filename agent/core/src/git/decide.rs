//! Which request comes next: from what is missing, what the server can do, and what happened last.
//!
//! The aim is the fewest bytes. Deltas of the wide trees on the way come only
//! through `want <commit>` with `have <commit>`; whole objects come by id.

use super::{
    capabilities::{Filters, Remembered},
    ladder::Ladder,
    missing::{Need, PathFault},
    request::{FetchRequest, Filter},
};
use crate::model::GitId;

/// Answers in a row without a new object, after which a single object is taken to be larger than
/// what one connection carries. Two can be bad luck.
const FRUITLESS_LIMIT: u32 = 3;
/// Ids in one request: 200 make 10 KB, which a weak link still sends in one go.
const MAX_IDS: usize = 200;
/// Objects outside of our path in a row, beyond which it is cheaper to hang up.
const SURPLUS_OBJECTS: usize = 24;
/// Bytes of the pack outside of our path in a row, beyond which it is cheaper to hang up: about
/// twice the price of a new TLS connection.
const SURPLUS_BYTES: u64 = 6 << 10;
/// Bytes outside of our path in a row that we accept while the delta of a wide tree may follow:
/// the price of such a tree in whole.
const PATIENCE_BYTES: u64 = 32 << 10;

/// A commit whose folder is whole in the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Base {
    pub commit: GitId,
    pub folder: GitId,
}

/// All that the next request depends on.
#[derive(Clone, Copy, Debug)]
pub struct Situation<'a> {
    pub target: GitId,
    /// Segments in the path.
    pub depth: usize,
    pub base: Option<Base>,
    pub need: &'a Need,
    pub remote: Remembered,
    pub effort: &'a Effort,
}

/// Why a request is made: decides what its answer means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// One object by its id.
    Walk,
    /// The trees on the way to the folder, as deltas against the base.
    Incremental,
    /// The trees on the way to the folder, in front of a stream of everything.
    Stream,
    Contents {
        /// The request named the old folder, so deltas against it may come.
        upon_base: bool,
    },
    Ladder,
}

/// When to stop listening to an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    AtEnd,
    /// As soon as objects outside of our path follow: what we want comes first, or not at all.
    OnSurplus,
    /// Like `OnSurplus`, but later, since deltas of our path are worth waiting for.
    OnMoreSurplus,
    /// Like `OnSurplus`, but not before our path is known.
    AfterPath,
}

/// The objects outside of our path since the last one of ours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Surplus {
    pub objects: usize,
    /// Bytes of the pack.
    pub bytes: u64,
}

/// The next action of a fetch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    Done {
        folder: GitId,
    },
    Request {
        request: FetchRequest,
        purpose: Purpose,
        stop: Stop,
    },
    /// One object is too large for the link: climb to it in steps (see [`Ladder`]).
    Climb(Ladder),
    GiveUp(GiveUp),
}

/// Why trying again at once is useless.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GiveUp {
    #[error(transparent)]
    NoFolder(PathFault),
    #[error("the server answered, but left out object {id} that was asked for")]
    LeftOut { id: GitId },
    #[error("object {id} does not fit through: {tries} connections in a row broke before its end")]
    DoesNotFit { id: GitId, tries: u32 },
}

/// How an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Whole,
    /// By the link.
    Cut,
    /// By us, having enough.
    Stopped,
}

/// The lessons of the tries for one target. Starts anew with every new target.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "independent lessons, in any combination")]
pub struct Effort {
    /// Answers in a row that brought nothing.
    fruitless: u32,
    /// The server sent deltas against objects that we lack, or its deltas did not get through.
    path_without_base: bool,
    contents_without_base: bool,
    left_out: bool,
    /// The server does not send first what was asked for.
    is_patient: bool,
    ladder: Option<Ladder>,
}

impl Effort {
    /// Notes how a request went: objects of ours that it brought, and whether the way to the folder is known now.
    pub fn record(&mut self, purpose: Purpose, end: End, new: usize, path_known: bool) {
        self.fruitless = if new > 0 { 0 } else { self.fruitless + 1 };
        let answered = end != End::Cut;
        match purpose {
            Purpose::Incremental => {
                // Of the three, two mean that the deltas are of no use to us.
                let signs = [new == 0, !path_known, answered];
                self.path_without_base |= signs.into_iter().filter(|sign| *sign).count() >= 2;
            }
            Purpose::Contents { upon_base: true } => {
                self.contents_without_base |= end == End::Whole && new == 0;
            }
            Purpose::Walk | Purpose::Stream | Purpose::Contents { upon_base: false } => {
                self.left_out |= end == End::Whole && new == 0;
                self.is_patient |= end == End::Stopped && new == 0;
            }
            Purpose::Ladder => {}
        }
    }

    /// Notes how a step of the ladder went.
    pub fn climbed(&mut self, ladder: Ladder) {
        self.ladder = Some(ladder);
        self.fruitless = 0;
    }

    /// Worth another connection at once, although the last one broke and brought nothing.
    fn may_retry(&self) -> bool {
        self.fruitless < FRUITLESS_LIMIT
    }

    /// Notes that the ladder leads nowhere.
    pub fn descend(&mut self) {
        self.ladder = None;
    }

    /// Forgets how often it failed, keeps what was learned: time has passed since.
    pub fn rest(&mut self) {
        self.fruitless = 0;
        self.left_out = false;
    }
}

/// Returns whether hanging up is cheaper than reading on.
pub fn is_enough(stop: Stop, path_known: bool, surplus: Surplus) -> bool {
    let is_surplus = surplus.objects > SURPLUS_OBJECTS || surplus.bytes > SURPLUS_BYTES;
    match stop {
        Stop::AtEnd => false,
        Stop::OnSurplus => is_surplus,
        Stop::OnMoreSurplus if path_known => is_surplus,
        Stop::OnMoreSurplus => surplus.bytes > PATIENCE_BYTES,
        Stop::AfterPath => path_known && is_surplus,
    }
}

/// Chooses the next request.
pub fn next(situation: &Situation<'_>) -> Ask {
    let Situation { need, remote, effort, .. } = situation;
    let wanted = match need {
        Need::Nothing { tree } => return Ask::Done { folder: *tree },
        Need::NoFolder(fault) => return Ask::GiveUp(GiveUp::NoFolder(fault.clone())),
        Need::Commit => situation.target,
        Need::PathTree { id, .. } => *id,
        Need::Contents { trees, blobs, tree, .. } => {
            trees.first().or(blobs.first()).copied().unwrap_or(*tree)
        }
    };
    if effort.left_out {
        return Ask::GiveUp(GiveUp::LeftOut { id: wanted });
    }
    if !effort.may_retry() || effort.ladder.is_some() {
        match need {
            Need::PathTree { .. } if remote.filters == Filters::Depth && remote.explicit_wants => {
                return Ask::Climb(effort.ladder.unwrap_or_default());
            }
            _ if !effort.may_retry() => {
                return Ask::GiveUp(GiveUp::DoesNotFit { id: wanted, tries: effort.fruitless });
            }
            _ => {}
        }
    }
    match need {
        _ if !remote.explicit_wants => stream(situation, None, Stop::AtEnd),
        Need::Contents { tree, trees, blobs, salvaged } => {
            contents(situation, *tree, [trees, blobs], salvaged)
        }
        _ => way(situation, wanted),
    }
}

/// Asks for the commit and the trees on the way to the folder.
fn way(situation: &Situation<'_>, wanted: GitId) -> Ask {
    let Situation { target, depth, remote, .. } = situation;
    match (remote.filters, path_base(situation)) {
        (Filters::Depth, Some(base)) => {
            let filter = Some(Filter::PathTrees { depth: *depth });
            let request = upon(*target, base.commit, filter);
            Ask::Request { request, purpose: Purpose::Incremental, stop: Stop::OnMoreSurplus }
        }
        (Filters::TreeZero | Filters::BlobNone, Some(_)) => {
            stream(situation, Some(Filter::BlobNone), Stop::OnMoreSurplus)
        }
        (Filters::None, Some(_)) => stream(situation, None, Stop::OnMoreSurplus),
        (Filters::Depth | Filters::TreeZero, None) => {
            let is_commit = wanted == *target;
            // The root tree is on the way to every folder but the root itself, whose
            // contents bring it: with the commit it costs no turn of its own.
            let with_root = is_commit && remote.filters == Filters::Depth && *depth > 0;
            let filter = if with_root { Filter::PathTrees { depth: 1 } } else { Filter::TreeZero };
            let request = FetchRequest {
                wants: vec![wanted],
                deepen: is_commit.then_some(1),
                filter: Some(filter),
                ..FetchRequest::default()
            };
            Ask::Request { request, purpose: Purpose::Walk, stop: Stop::OnSurplus }
        }
        (Filters::BlobNone, None) => head_of_stream(situation, wanted, Some(Filter::BlobNone)),
        (Filters::None, None) => head_of_stream(situation, wanted, None),
    }
}

/// Asks for everything below a commit or tree, to hang up once the first of it is in.
fn head_of_stream(situation: &Situation<'_>, wanted: GitId, filter: Option<Filter>) -> Ask {
    if situation.effort.is_patient {
        return stream(situation, filter, Stop::AfterPath);
    }
    let deepen = (wanted == situation.target).then_some(1);
    let request = FetchRequest { wants: vec![wanted], deepen, filter, ..FetchRequest::default() };
    Ask::Request { request, purpose: Purpose::Stream, stop: Stop::OnSurplus }
}

fn path_base(situation: &Situation<'_>) -> Option<Base> {
    situation.base.filter(|_| !situation.effort.path_without_base)
}

/// Asks for the commit with everything that the filter lets through.
fn stream(situation: &Situation<'_>, filter: Option<Filter>, stop: Stop) -> Ask {
    let target = situation.target;
    let (request, purpose) = if let Some(base) = path_base(situation) {
        (upon(target, base.commit, filter), Purpose::Incremental)
    } else {
        let wants = vec![target];
        let request = FetchRequest { wants, deepen: Some(1), filter, ..FetchRequest::default() };
        (request, Purpose::Stream)
    };
    Ask::Request { request, purpose, stop }
}

/// Asks for `target` as deltas against `base`, without history.
///
/// `shallow <base>` would say to the server that we lack what came before the
/// base. It costs 52 bytes, and with `deepen` servers do not assume it anyway;
/// one that does makes us ask again without the base.
pub(super) fn upon(target: GitId, base: GitId, filter: Option<Filter>) -> FetchRequest {
    FetchRequest { wants: vec![target], haves: vec![base], deepen: Some(1), thin: true, filter }
}

/// Asks for what is missing below the folder: by id, or as "the folder without
/// what we have", whichever is shorter to say.
fn contents(
    situation: &Situation<'_>,
    folder: GitId,
    [trees, blobs]: [&[GitId]; 2],
    salvaged: &[GitId],
) -> Ask {
    let base = situation.base.filter(|_| !situation.effort.contents_without_base);
    let old_folder = base.map(|base| base.folder);
    let missing = trees.len() + blobs.len();
    let by_id = missing <= 1 + salvaged.len() || salvaged.len() > MAX_IDS;
    let (wants, salvaged): (Vec<GitId>, &[GitId]) = if by_id {
        (trees.iter().chain(blobs).copied().take(MAX_IDS).collect(), &[])
    } else {
        (vec![folder], salvaged)
    };
    // A blob that is asked for by id is sent whatever we have; only below trees does it save anything.
    let useful = !by_id || !trees.is_empty();
    let haves: Vec<GitId> = old_folder
        .into_iter()
        .chain(salvaged.iter().copied())
        .filter(|id| useful && !wants.contains(id))
        .collect();
    let purpose = Purpose::Contents { upon_base: !haves.is_empty() };
    let request = FetchRequest { wants, haves, ..FetchRequest::default() };
    Ask::Request { request, purpose, stop: Stop::AtEnd }
}

/// The conclusion from a refusal for the requests to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lesson {
    /// Ask differently from now on.
    Adapt(Remembered),
    /// The target itself is not there: the ref moved meanwhile, or nobody has the pinned commit.
    NoTarget,
    /// Nothing that we could do differently.
    Nothing,
}

/// Learns from the words in which a server refused a request.
pub fn learn(remote: Remembered, request: &FetchRequest, target: GitId, words: &str) -> Lesson {
    let words = words.to_lowercase();
    if let Some(filter) = request.filter
        && words.contains("filter")
    {
        let refused = match filter {
            Filter::PathTrees { .. } => Filters::Depth,
            Filter::TreeZero => Filters::TreeZero,
            Filter::BlobNone => Filters::BlobNone,
        };
        let filters = refused.coarser().unwrap_or(Filters::None).max(remote.filters);
        return Lesson::Adapt(Remembered { filters, ..remote });
    }
    let unknown_want = words.contains("not our ref") || words.contains("not valid");
    if !unknown_want {
        return Lesson::Nothing;
    }
    if request.wants == [target] {
        return Lesson::NoTarget;
    }
    if remote.explicit_wants {
        return Lesson::Adapt(Remembered { explicit_wants: false, ..remote });
    }
    Lesson::Nothing
}

/// Returns the memory of a server that sends what a filter was to exclude.
#[must_use]
pub fn without_filters(remote: Remembered) -> Remembered {
    Remembered { filters: Filters::None, ..remote }
}

#[cfg(test)]
mod tests;
