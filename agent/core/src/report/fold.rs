//! Makes room when the outbox is full: repeats go first, then the oldest routine
//! events, and failures last (design: reports).

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    hash::{DefaultHasher, Hash, Hasher},
};

use leeward_wire::ReportGap;
use serde_json::Value;

use super::{Event, EventData, EventKind};

/// One entry of the outbox, as far as the decision needs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Weighed {
    pub sequence: u64,
    pub kind: EventKind,
    /// See [`sameness`].
    pub same: u64,
    /// Bytes that it takes.
    pub size: u64,
    /// It was offered to the receiver under its id, and the answer is not known:
    /// it must stay as it is, or the receiver would take it for a repeat.
    pub pinned: bool,
}

/// The newest of several repeats stands for all of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fold {
    pub into: u64,
    /// Ascending, all before `into`.
    pub from: Vec<u64>,
}

/// How the outbox gets below its limit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Relief {
    pub folds: Vec<Fold>,
    /// Ascending. Gaps that were recorded before and now become part of the new one are among them.
    pub drops: Vec<u64>,
}

/// Room that the record of the gap itself takes, in bytes.
const GAP_SIZE: u64 = 512;

/// Returns the class of an event: the lowest class goes first, and in it the oldest event.
fn worth(kind: EventKind) -> u8 {
    match kind {
        EventKind::RevisionFetched
        | EventKind::AppApplied
        | EventKind::DriftHealed
        | EventKind::DriftSeen
        | EventKind::LinkChanged => 0,
        EventKind::AgentStarted => 1,
        EventKind::AppGood
        | EventKind::AppHeld
        | EventKind::AppPinned
        | EventKind::AppReleased
        | EventKind::AppPruned
        | EventKind::AppMoved
        | EventKind::AppStuck => 2,
        EventKind::AppFailed | EventKind::AppRolledBack => 3,
        // A gap is never lost, only merged into a wider one; states are not in the queue.
        EventKind::ReportGap | EventKind::State => 4,
    }
}

/// Equal for events that repeat each other: the same kind of thing about the
/// same object, commit or state of the link.
pub fn sameness(event: &Event) -> u64 {
    let mut hasher = DefaultHasher::new();
    event.kind.hash(&mut hasher);
    event.subject.hash(&mut hasher);
    for field in ["object", "commit", "state", "failed_step"] {
        event.data.get(field).and_then(Value::as_str).hash(&mut hasher);
    }
    hasher.finish()
}

/// Decides what goes so that at most `target` bytes stay. `entries` ascend by sequence.
///
/// Everything that repeats is folded at once, because a second pass over the
/// outbox costs more than the few repeats that could have stayed.
pub fn relieve(entries: &[Weighed], target: u64) -> Relief {
    let mut size: u64 = entries.iter().map(|entry| entry.size).sum();
    if size <= target {
        return Relief::default();
    }
    let folds = folds(entries);
    let folded: BTreeSet<u64> = folds.iter().flat_map(|fold| fold.from.iter().copied()).collect();
    let left: Vec<&Weighed> =
        entries.iter().filter(|entry| !folded.contains(&entry.sequence)).collect();
    size -= entries
        .iter()
        .filter(|entry| folded.contains(&entry.sequence))
        .map(|entry| entry.size)
        .sum::<u64>();
    let drops = if size <= target { Vec::new() } else { drops(&left, size, target) };
    Relief { folds, drops }
}

fn folds(entries: &[Weighed]) -> Vec<Fold> {
    let mut repeats: HashMap<(EventKind, u64), Vec<u64>> = HashMap::new();
    for entry in entries {
        // Each is about something else, or counts something else.
        let once = matches!(
            entry.kind,
            EventKind::ReportGap
                | EventKind::AgentStarted
                | EventKind::AppMoved
                | EventKind::AppPruned
        );
        if !entry.pinned && !once {
            repeats.entry((entry.kind, entry.same)).or_default().push(entry.sequence);
        }
    }
    let by_survivor: BTreeMap<u64, Vec<u64>> = repeats
        .into_values()
        .filter_map(|mut sequences| sequences.pop().map(|into| (into, sequences)))
        .filter(|(_, from)| !from.is_empty())
        .collect();
    by_survivor.into_iter().map(|(into, from)| Fold { into, from }).collect()
}

fn drops(left: &[&Weighed], size: u64, target: u64) -> Vec<u64> {
    let mut candidates: Vec<&&Weighed> =
        left.iter().filter(|entry| !entry.pinned && entry.kind != EventKind::ReportGap).collect();
    candidates.sort_by_key(|entry| (worth(entry.kind), entry.sequence));
    let mut size = size + GAP_SIZE;
    let mut drops = Vec::new();
    for entry in candidates {
        if size <= target {
            break;
        }
        size -= entry.size;
        drops.push(entry.sequence);
    }
    if !drops.is_empty() {
        let gaps = left.iter().filter(|entry| entry.kind == EventKind::ReportGap && !entry.pinned);
        drops.extend(gaps.map(|entry| entry.sequence));
        drops.sort_unstable();
    }
    drops
}

/// Returns the event that stands in the place of dropped ones.
///
/// `dropped` are the entries that go, with the number of events that each
/// stands for; gaps among them are merged. `None` when there are none.
pub fn gap_event(dropped: &[(u64, &Event, u64)]) -> Option<Event> {
    let number = |event: &Event, field: &str| event.data.get(field).and_then(Value::as_u64);
    let mut first = u64::MAX;
    let mut last = 0;
    let mut count = 0;
    for (sequence, event, stands_for) in dropped {
        let gap = event.kind == EventKind::ReportGap;
        let own = |field, plain| if gap { number(event, field).unwrap_or(plain) } else { plain };
        first = first.min(own("first", *sequence));
        last = last.max(own("last", *sequence));
        count += own("count", *stands_for);
    }
    let why = "the outbox was full".to_owned();
    let gap = EventData::ReportGap(ReportGap { first, last, count, why });
    (!dropped.is_empty()).then(|| Event::new(None, &gap))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn entry(sequence: u64, kind: EventKind, same: u64) -> Weighed {
        Weighed { sequence, kind, same, size: 1000, pinned: false }
    }

    fn print(relief: &Relief) -> String {
        let folds: Vec<String> =
            relief.folds.iter().map(|fold| format!("{:?} into {}", fold.from, fold.into)).collect();
        format!("fold {}; drop {:?}", folds.join(", "), relief.drops)
    }

    #[test]
    fn nothing_goes_while_there_is_room() {
        let entries = [entry(1, EventKind::DriftHealed, 1), entry(2, EventKind::DriftHealed, 1)];
        assert_eq!(relieve(&entries, 2000), Relief::default());
    }

    #[test]
    fn repeats_are_folded_into_the_newest_before_anything_is_dropped() {
        let entries = [
            entry(1, EventKind::DriftHealed, 1),
            entry(2, EventKind::AppFailed, 2),
            entry(3, EventKind::DriftHealed, 1),
            entry(4, EventKind::DriftHealed, 9),
            entry(5, EventKind::DriftHealed, 1),
        ];
        insta::assert_snapshot!(print(&relieve(&entries, 4000)), @"fold [1, 3] into 5; drop []");
    }

    #[test]
    fn oldest_routine_events_go_before_good_ones_and_failures_go_last() {
        let entries = [
            entry(1, EventKind::AppFailed, 1),
            entry(2, EventKind::AppGood, 2),
            entry(3, EventKind::AppApplied, 3),
            entry(4, EventKind::RevisionFetched, 4),
            entry(5, EventKind::AppRolledBack, 5),
        ];
        let gone: Vec<Vec<u64>> =
            [4600, 3600, 2600, 1600, 600].map(|target| relieve(&entries, target).drops).to_vec();
        insta::assert_debug_snapshot!(gone, @r"
        [
            [
                3,
            ],
            [
                3,
                4,
            ],
            [
                2,
                3,
                4,
            ],
            [
                1,
                2,
                3,
                4,
            ],
            [
                1,
                2,
                3,
                4,
                5,
            ],
        ]
        ");
    }

    #[test]
    fn what_the_receiver_may_already_have_is_left_alone() {
        let mut entries =
            [entry(1, EventKind::LinkChanged, 1), entry(2, EventKind::LinkChanged, 1)];
        entries[0].pinned = true;
        assert_eq!(print(&relieve(&entries, 1000)), "fold ; drop [2]");
    }

    #[test]
    fn a_new_gap_swallows_the_former_one() {
        let mut entries = vec![entry(1, EventKind::ReportGap, 0)];
        entries.extend((2..5).map(|sequence| entry(sequence, EventKind::AppApplied, sequence)));
        assert_eq!(print(&relieve(&entries, 3600)), "fold ; drop [1, 2]");
    }

    #[test]
    fn a_merged_gap_counts_every_event_that_ever_went() {
        let former = gap_event(&[
            (3, &Event { kind: EventKind::DriftSeen, subject: None, data: json!({}) }, 5),
            (9, &Event { kind: EventKind::AppGood, subject: None, data: json!({}) }, 1),
        ])
        .unwrap();
        let later = Event { kind: EventKind::AppApplied, subject: None, data: json!({}) };
        let merged = gap_event(&[(9, &former, 1), (12, &later, 1)]).unwrap();
        assert_eq!(
            merged.data.to_string(),
            r#"{"count":7,"first":3,"last":12,"why":"the outbox was full"}"#
        );
    }
}
