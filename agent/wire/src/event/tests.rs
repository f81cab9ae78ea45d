use super::*;

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// The data of every type of report, as agents of version 0.1.0 wrote them.
fn old() -> Vec<(EventKind, String)> {
    let revision = format!(r#""commit":"{COMMIT}","content":"ab12""#);
    let fault = r#"{"message":"image not found","object":"Deployment.apps shop/web","origin":"web.yaml:1"}"#;
    let field = r#"{"manager":"kubectl-edit","new":"3","old":"2","path":"/spec/replicas"}"#;
    let drift = format!(r#"{{"count":1,"fields":[{field}],"object":"Deployment.apps shop/web"}}"#);
    let counts = |more: &str| {
        format!(r#"{{"changed":1,{revision},"created":2,{more}"pruned":0,"unchanged":5}}"#)
    };
    vec![
        (
            EventKind::AgentStarted,
            r#"{"last_run_ended":"unclean","recovered":null,"version":"0.1.0"}"#.to_owned(),
        ),
        (EventKind::RevisionFetched, format!(r#"{{{revision},"received":4096,"sent":612}}"#)),
        (EventKind::AppApplied, counts("")),
        (
            EventKind::AppGood,
            format!(r#"{{{revision},"objects":[],"reason":"healthy through probation"}}"#),
        ),
        (
            EventKind::AppFailed,
            format!(r#"{{{revision},"objects":[{fault}],"reason":"failed its health checks"}}"#),
        ),
        (
            EventKind::AppRolledBack,
            format!(
                r#"{{"changed":1,{revision},"created":2,"from":"{COMMIT}","objects":[],"pruned":0,"reason":"superseded","unchanged":5}}"#
            ),
        ),
        (
            EventKind::AppHeld,
            format!(
                r#"{{{revision},"detail":"5 of 10 objects would go","objects":[],"reason":"prune_guard"}}"#
            ),
        ),
        (
            EventKind::AppPinned,
            format!(
                r#"{{{revision},"from":"{COMMIT}","reason":"rolled back by hand","until":"2026-03-01T14:00:00Z"}}"#
            ),
        ),
        (EventKind::AppReleased, format!(r#"{{{revision},"reason":"released by hand"}}"#)),
        (EventKind::AppPruned, format!(r#"{{{revision},"objects":[{fault}],"pruned":1}}"#)),
        (EventKind::AppMoved, format!(r#"{{"count":1,"from":"shop","objects":[{fault}]}}"#)),
        (
            EventKind::AppStuck,
            format!(r#"{{"detail":"1 object is stuck","objects":[{fault}],"stuck":1}}"#),
        ),
        (EventKind::DriftHealed, drift.clone()),
        (EventKind::DriftSeen, drift),
        (
            EventKind::LinkChanged,
            r#"{"evidence":"git.example.com: no address","failed_step":"dns","state":"down"}"#
                .to_owned(),
        ),
        (
            EventKind::ReportGap,
            r#"{"count":7,"first":3,"last":12,"why":"the outbox was full"}"#.to_owned(),
        ),
    ]
}

#[test]
fn data_of_old_agents_is_read_and_written_to_the_same_bytes() {
    let mut kinds: Vec<EventKind> = Vec::new();
    for (kind, text) in old() {
        let data = EventData::read(kind, &serde_json::from_str(&text).unwrap()).unwrap();
        assert_eq!((data.kind(), data.to_json().to_string()), (kind, text));
        kinds.push(kind);
    }
    // The data of the last one is the status document, which has a sample of its own.
    kinds.push(EventKind::State);
    assert_eq!(kinds, EventKind::ALL);
}

#[test]
fn a_state_is_the_status_document() {
    let sample: Value = serde_json::from_str(include_str!("../samples/status.json")).unwrap();
    let data = EventData::read(EventKind::State, &sample).unwrap();
    assert_eq!(data.kind(), EventKind::State);
    assert_eq!(data.to_json(), sample);
}

#[test]
fn what_folding_and_cutting_add_does_not_hinder_reading() {
    let folded = r#"{"count":9,"fields":[],"first_time":"2026-01-01T00:00:00Z","object":"ConfigMap shop/a","truncated":true}"#;
    let data = EventData::read(EventKind::DriftSeen, &serde_json::from_str(folded).unwrap());
    let EventData::DriftSeen(drift) = data.unwrap() else { panic!("not drift") };
    assert_eq!((drift.count, drift.object.as_str()), (9, "ConfigMap shop/a"));
}

#[test]
fn type_names_are_found_again_and_unknown_ones_are_not() {
    for kind in EventKind::ALL {
        assert_eq!(EventKind::from_type_name(kind.type_name()), Some(kind));
    }
    assert_eq!(EventKind::from_type_name("dev.leeward.window.opened.v1"), None);
}
