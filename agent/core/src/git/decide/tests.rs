//! Situations, and the request that each leads to, printed as one line.

use super::*;

fn id(byte: u8) -> GitId {
    GitId::from_bytes(&[byte; 20]).unwrap()
}

const TARGET: u8 = 0xcc;

fn remote(filters: Filters) -> Remembered {
    let text = serde_json::json!({ "version": 1, "filters": filters, "explicit_wants": true });
    Remembered::from_bytes(text.to_string().as_bytes()).unwrap()
}

fn base() -> Base {
    Base { commit: id(0xaa), folder: id(0xaf) }
}

fn asked(remote: Remembered, base: Option<Base>, need: &Need, effort: &Effort) -> String {
    asked_at(2, remote, base, need, effort)
}

fn asked_at(
    depth: usize,
    remote: Remembered,
    base: Option<Base>,
    need: &Need,
    effort: &Effort,
) -> String {
    let ask = next(&Situation { target: id(TARGET), depth, base, need, remote, effort });
    let Ask::Request { request, purpose, stop } = ask else { return format!("{ask:?}") };
    let short = |ids: &[GitId]| -> String {
        ids.iter().map(|id| id.to_string()[..2].to_owned()).collect::<Vec<_>>().join(",")
    };
    let mut words = vec![format!("{purpose:?} {stop:?}: want {}", short(&request.wants))];
    if !request.haves.is_empty() {
        words.push(format!("have {}", short(&request.haves)));
    }
    words.extend(request.deepen.map(|depth| format!("deepen {depth}")));
    words.extend(request.thin.then(|| "thin".to_owned()));
    words.extend(request.filter.map(|filter| format!("{filter:?}")));
    words.join(" ")
}

fn contents(trees: &[u8], blobs: &[u8], salvaged: &[u8]) -> Need {
    let ids = |bytes: &[u8]| bytes.iter().map(|byte| id(*byte)).collect();
    Need::Contents { tree: id(0xcf), trees: ids(trees), blobs: ids(blobs), salvaged: ids(salvaged) }
}

#[test]
fn a_first_sync_walks_down_one_object_at_a_time_and_gets_the_root_with_its_commit() {
    let (all, fresh) = (remote(Filters::Depth), Effort::default());
    let tree = Need::PathTree { level: 1, id: id(0x11) };
    insta::assert_snapshot!(asked(all, None, &Need::Commit, &fresh), @"Walk OnSurplus: want cc deepen 1 PathTrees { depth: 1 }");
    insta::assert_snapshot!(asked(all, None, &tree, &fresh), @"Walk OnSurplus: want 11 TreeZero");
    insta::assert_snapshot!(asked(all, None, &contents(&[0xcf], &[], &[]), &fresh), @"Contents { upon_base: false } AtEnd: want cf");
    // The root tree of a whole repository comes with its contents.
    insta::assert_snapshot!(asked_at(0, all, None, &Need::Commit, &fresh), @"Walk OnSurplus: want cc deepen 1 TreeZero");
}

#[test]
fn a_later_sync_asks_for_deltas_upon_what_is_whole() {
    let fresh = Effort::default();
    insta::assert_snapshot!(
        asked(remote(Filters::Depth), Some(base()), &Need::Commit, &fresh),
        @"Incremental OnMoreSurplus: want cc have aa deepen 1 thin PathTrees { depth: 2 }"
    );
    insta::assert_snapshot!(
        asked(remote(Filters::Depth), Some(base()), &contents(&[0xcf], &[], &[]), &fresh),
        @"Contents { upon_base: true } AtEnd: want cf have af"
    );
}

#[test]
fn coarser_servers_stream_and_are_hung_up_on() {
    let fresh = Effort::default();
    let line = |filters, base| asked(remote(filters), base, &Need::Commit, &fresh);
    insta::assert_snapshot!(line(Filters::TreeZero, None), @"Walk OnSurplus: want cc deepen 1 TreeZero");
    insta::assert_snapshot!(line(Filters::TreeZero, Some(base())), @"Incremental OnMoreSurplus: want cc have aa deepen 1 thin BlobNone");
    insta::assert_snapshot!(line(Filters::BlobNone, None), @"Stream OnSurplus: want cc deepen 1 BlobNone");
    insta::assert_snapshot!(line(Filters::None, None), @"Stream OnSurplus: want cc deepen 1");
    insta::assert_snapshot!(line(Filters::None, Some(base())), @"Incremental OnMoreSurplus: want cc have aa deepen 1 thin");
}

#[test]
fn without_filters_each_tree_of_the_path_is_the_head_of_a_stream() {
    let tree = Need::PathTree { level: 1, id: id(0x11) };
    let mut effort = Effort::default();
    let bare = remote(Filters::None);
    insta::assert_snapshot!(asked(bare, None, &tree, &effort), @"Stream OnSurplus: want 11");
    // A server that does not send first what it was asked for.
    effort.record(Purpose::Stream, End::Stopped, 0, false);
    insta::assert_snapshot!(asked(bare, None, &tree, &effort), @"Stream AfterPath: want cc deepen 1");
}

#[test]
fn patience_with_others_ends_sooner_once_our_path_is_known() {
    let surplus = |objects, bytes| Surplus { objects, bytes };
    assert!(!is_enough(Stop::AtEnd, true, surplus(9_999, 9_999_999)));
    assert!(is_enough(Stop::OnSurplus, false, surplus(25, 0)));
    assert!(!is_enough(Stop::OnMoreSurplus, false, surplus(25, 20_000)));
    assert!(is_enough(Stop::OnMoreSurplus, true, surplus(25, 0)));
    assert!(!is_enough(Stop::AfterPath, false, surplus(9_999, 9_999_999)));
}

#[test]
fn only_the_missing_blobs_are_asked_for_unless_that_takes_more_words() {
    let (all, fresh) = (remote(Filters::Depth), Effort::default());
    insta::assert_snapshot!(
        asked(all, None, &contents(&[], &[1, 2], &[3, 4]), &fresh),
        @"Contents { upon_base: false } AtEnd: want 01,02"
    );
    insta::assert_snapshot!(
        asked(all, None, &contents(&[], &[1, 2, 3, 4], &[5]), &fresh),
        @"Contents { upon_base: true } AtEnd: want cf have 05"
    );
}

#[test]
fn a_server_that_builds_upon_what_we_lack_is_asked_again_without_it() {
    let all = remote(Filters::Depth);
    let tree = Need::PathTree { level: 1, id: id(0x11) };
    let mut effort = Effort::default();
    effort.record(Purpose::Incremental, End::Whole, 1, false);
    insta::assert_snapshot!(asked(all, Some(base()), &tree, &effort), @"Walk OnSurplus: want 11 TreeZero");
    effort.record(Purpose::Contents { upon_base: true }, End::Whole, 0, true);
    let missing = contents(&[0xcf], &[], &[]);
    insta::assert_snapshot!(asked(all, Some(base()), &missing, &effort), @"Contents { upon_base: false } AtEnd: want cf");
    effort.record(Purpose::Contents { upon_base: false }, End::Whole, 0, true);
    insta::assert_snapshot!(asked(all, Some(base()), &missing, &effort), @"GiveUp(LeftOut { id: cfcfcfcfcfcfcfcfcfcfcfcfcfcfcfcfcfcfcfcf })");
}

#[test]
fn a_cut_that_brought_something_does_not_count_as_a_failure() {
    let mut effort = Effort::default();
    for _ in 0..20 {
        effort.record(Purpose::Walk, End::Cut, 0, false);
        effort.record(Purpose::Walk, End::Cut, 1, false);
    }
    assert!(effort.may_retry());
}

#[test]
fn a_tree_that_never_fits_is_climbed_to_and_a_blob_that_never_fits_is_named() {
    let all = remote(Filters::Depth);
    let mut effort = Effort::default();
    for _ in 0..3 {
        effort.record(Purpose::Walk, End::Cut, 0, false);
    }
    let tree = Need::PathTree { level: 1, id: id(0x11) };
    let ask = |need: &Need| {
        next(&Situation {
            target: id(TARGET),
            depth: 2,
            base: None,
            need,
            remote: all,
            effort: &effort,
        })
    };
    assert_eq!(ask(&tree), Ask::Climb(Ladder::default()));
    let Ask::GiveUp(reason) = ask(&contents(&[], &[0x0b], &[])) else { panic!() };
    insta::assert_snapshot!(reason, @"object 0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b does not fit through: 3 connections in a row broke before its end");
}

#[test]
fn each_refusal_of_a_filter_leads_to_the_next_coarser_one() {
    let target = id(TARGET);
    let mut known = remote(Filters::Depth);
    let mut seen = Vec::new();
    for (filter, words) in [
        (Filter::PathTrees { depth: 2 }, "filter 'combine' not supported"),
        (Filter::TreeZero, "filter 'tree' not supported"),
        (Filter::BlobNone, "filter 'blob:none' not supported"),
    ] {
        let request =
            FetchRequest { wants: vec![target], filter: Some(filter), ..FetchRequest::default() };
        let Lesson::Adapt(better) = learn(known, &request, target, words) else { panic!() };
        known = better;
        seen.push(known.filters);
    }
    assert_eq!(seen, [Filters::TreeZero, Filters::BlobNone, Filters::None]);
}

#[test]
fn a_server_that_refuses_ids_sends_everything_and_a_missing_target_is_told_apart() {
    let target = id(TARGET);
    let wanting = |id| FetchRequest { wants: vec![id], ..FetchRequest::default() };
    let known = remote(Filters::Depth);
    let words = "upload-pack: not our ref";
    assert_eq!(learn(known, &wanting(target), target, words), Lesson::NoTarget);
    let Lesson::Adapt(better) = learn(known, &wanting(id(1)), target, words) else { panic!() };
    insta::assert_snapshot!(
        asked(better, None, &contents(&[0xcf], &[], &[]), &Effort::default()),
        @"Stream AtEnd: want cc deepen 1"
    );
    assert_eq!(learn(known, &wanting(target), target, "out of memory"), Lesson::Nothing);
}
