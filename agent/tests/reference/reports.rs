//! The page for whoever writes a receiver of reports. Examples are made of the
//! types; every field of an example must be in the table above it.

use std::fmt::Write as _;

use leeward_wire::{
    AgentStarted, AppApplied, AppHeld, AppJudged, AppMoved, AppPinned, AppPruned, AppReleased,
    AppRolledBack, AppStuck, CloudEvent, ContentId, Drift, EventData, EventKind, FieldChange,
    GitId, LastRun, LinkChanged, LinkState, LinkStep, ObjectFault, ReportGap, RevisionFetched,
    StatusDocument,
};
use serde_json::Value;

const INTRODUCTION: &str = include_str!("reports.md");
const STATUS: &str = include_str!("../../wire/src/samples/status.json");

const REVISION: [(&str, &str); 2] = [
    ("commit", "40 hex digits"),
    ("content", "the id of the content; equal content, equal id, whatever the commit"),
];
const COUNTS: [(&str, &str); 4] = [
    ("created", "objects that were not there before"),
    ("changed", "objects that were sent because their manifest changed"),
    ("pruned", "objects that were deleted, since Git has them no more"),
    ("unchanged", "objects for which nothing was sent"),
];
const OBJECTS: (&str, &str) =
    ("objects", "objects at fault: `object`, `origin` (`file:line`, or null), `message`");

/// One type of report: when it is sent, and its fields.
struct Described {
    when: &'static str,
    fields: Vec<(&'static str, &'static str)>,
    example: EventData,
}

/// `docs/reference/reports.md`.
pub(crate) fn page() -> String {
    let mut page = INTRODUCTION.to_owned();
    for kind in EventKind::ALL {
        let described = describe(kind);
        assert_eq!(described.example.kind(), kind);
        let data = described.example.to_json();
        let found: Vec<&String> = data.as_object().unwrap().keys().collect();
        let mut named: Vec<&str> = described.fields.iter().map(|(name, _)| *name).collect();
        named.sort_unstable();
        assert_eq!(found, named, "the fields of {}", kind.type_name());
        let _ = write!(
            page,
            "\n### `{}`\n\n{}\n\n| field | meaning |\n|---|---|\n",
            kind.type_name(),
            described.when
        );
        for (name, meaning) in &described.fields {
            let _ = writeln!(page, "| `{name}` | {meaning} |");
        }
        let _ = write!(page, "\n```json\n{}\n```\n", pretty(&data));
    }
    let _ = write!(page, "\n## A whole report\n\n```json\n{}\n```\n", pretty(&whole()));
    page
}

fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).unwrap()
}

fn whole() -> Value {
    let data = describe(EventKind::DriftHealed).example;
    let report = CloudEvent {
        id: "12-42".to_owned(),
        source: "/clusters/shop-0042".to_owned(),
        subject: Some("shop".to_owned()),
        kind: data.kind().type_name().to_owned(),
        time: "2026-03-01T12:00:00Z".parse().unwrap(),
        sequence: 42,
        boot: 12,
        uptime_ms: 86_400_000,
        clock_trusted: true,
        data: data.to_json(),
    };
    serde_json::to_value(report).unwrap()
}

fn commit(digit: u8) -> GitId {
    GitId::new([digit * 0x11; GitId::BYTES])
}

fn content() -> ContentId {
    ContentId("9c2f41d07ab6".to_owned())
}

fn applied() -> AppApplied {
    AppApplied {
        commit: commit(1),
        content: content(),
        created: 2,
        changed: 1,
        pruned: 0,
        unchanged: 7,
    }
}

fn judged(reason: &str, objects: Vec<ObjectFault>) -> AppJudged {
    AppJudged { commit: commit(2), content: content(), reason: reason.to_owned(), objects }
}

fn drift() -> Drift {
    let change = FieldChange {
        path: "/spec/replicas".to_owned(),
        old: Some("3".to_owned()),
        new: Some("5".to_owned()),
        manager: Some("kubectl-edit".to_owned()),
    };
    Drift { object: "Deployment.apps shop/web".to_owned(), fields: vec![change], count: 1 }
}

fn with<const N: usize>(
    more: [(&'static str, &'static str); N],
) -> Vec<(&'static str, &'static str)> {
    REVISION.into_iter().chain(more).collect()
}

fn describe(kind: EventKind) -> Described {
    match kind {
        EventKind::AgentStarted
        | EventKind::RevisionFetched
        | EventKind::LinkChanged
        | EventKind::ReportGap
        | EventKind::State => of_agent(kind),
        EventKind::DriftHealed | EventKind::DriftSeen => of_drift(kind),
        EventKind::AppPinned | EventKind::AppReleased => of_rollback(kind),
        EventKind::AppPruned | EventKind::AppMoved | EventKind::AppStuck => of_objects(kind),
        _ => of_app(kind),
    }
}

#[expect(clippy::too_many_lines, reason = "one arm a kind of event, read as a table")]
fn of_agent(kind: EventKind) -> Described {
    match kind {
        EventKind::AgentStarted => Described {
            when: "The agent started.",
            fields: vec![
                ("version", "of the agent"),
                (
                    "last_run_ended",
                    "`first` (there was none), `clean`, or `unclean`: power cut, kill, crash",
                ),
                (
                    "recovered",
                    "why the store was set aside and rebuilt at this start; null when it was not",
                ),
            ],
            example: EventData::AgentStarted(AgentStarted {
                version: "0.1.0".to_owned(),
                last_run_ended: LastRun::Unclean,
                recovered: None,
            }),
        },
        EventKind::RevisionFetched => Described {
            when: "A new commit is whole in the store.",
            fields: with([
                ("sent", "bytes that crossed the link for it, HTTP headers included"),
                ("received", "likewise, in the other direction"),
            ]),
            example: EventData::RevisionFetched(RevisionFetched {
                commit: commit(1),
                content: content(),
                sent: 612,
                received: 4096,
            }),
        },
        EventKind::LinkChanged => Described {
            when: "The remote can be reached again, or no longer.",
            fields: vec![
                ("state", "`up`, `down` or `unknown`"),
                (
                    "failed_step",
                    "`dns`, `connect`, `proxy`, `tls`, `clock`, `auth`, `http`, `protocol`, `ref` or `path`; null when it is up",
                ),
                ("evidence", "one line that names host, ref, path or status"),
            ],
            example: EventData::LinkChanged(LinkChanged {
                state: LinkState::Down,
                failed_step: Some(LinkStep::Dns),
                evidence: "git.example.com: no address".to_owned(),
            }),
        },
        EventKind::ReportGap => Described {
            when: "Reports are missing here, because the outbox was full.",
            fields: vec![
                ("first", "`sequence` of the first report that is missing"),
                ("last", "`sequence` of the last one; not all between them need be missing"),
                ("count", "how many are missing, with those that were folded into them"),
                ("why", "one line"),
            ],
            example: EventData::ReportGap(ReportGap {
                first: 3,
                last: 12,
                count: 7,
                why: "the outbox was full".to_owned(),
            }),
        },
        _ => state(),
    }
}

fn state() -> Described {
    let document: StatusDocument = serde_json::from_str(STATUS).unwrap();
    Described {
        when: "The newest whole picture, when something in it changed that matters far away; the same \
               document as `leeward status --output json`. Only the latest counts.",
        fields: vec![
            ("cluster", "its name"),
            ("agent", "`version`; `running`; `boot` counts its starts; `uptime_seconds`"),
            (
                "source",
                "`url`, `ref`, `path`; `commit`, `content` and `fetched_at` of the newest fetched commit, null before the first",
            ),
            ("link", "as in `dev.leeward.link.changed.v1`, with `since` and `next_try`"),
            ("apps", "see below"),
            (
                "outbox",
                "reports that wait (`pending`), were `folded`, `dropped` or `refused`; `last_acknowledged`",
            ),
            ("store", "`bytes` of `max_bytes`"),
            (
                "why",
                "what blocks, most important first: `blocker`, `app` (null for the agent), `evidence`, `hint`, `next_try`",
            ),
        ],
        example: EventData::State(Box::new(document)),
    }
}

fn of_app(kind: EventKind) -> Described {
    match kind {
        EventKind::AppGood => Described {
            when: "A revision stayed healthy through probation.",
            fields: with([("reason", "one line"), OBJECTS]),
            example: EventData::AppGood(judged("healthy through probation", Vec::new())),
        },
        EventKind::AppFailed => Described {
            when: "A revision failed: it could not be rendered, was refused, or did not become healthy. \
                   Its content is not tried again. Without a `subject`, the apps of the commit cannot be read.",
            fields: with([("reason", "one line"), OBJECTS]),
            example: EventData::AppFailed(judged(
                "failed its health checks",
                vec![ObjectFault {
                    object: Some("Deployment.apps shop/web".to_owned()),
                    origin: None,
                    message: "image not found".to_owned(),
                }],
            )),
        },
        EventKind::AppRolledBack => Described {
            when: "The last good revision runs again. `commit` and `content` are its own.",
            fields: with(COUNTS)
                .into_iter()
                .chain([
                    ("from", "the commit that was left"),
                    ("reason", "why it was left"),
                    ("objects", "what could not go back: `object`, `origin` (null), `message`"),
                ])
                .collect(),
            example: EventData::AppRolledBack(AppRolledBack {
                applied: applied(),
                from: commit(2),
                reason: "failed its health checks".to_owned(),
                objects: Vec::new(),
            }),
        },
        EventKind::AppHeld => Described {
            when: "A revision waits.",
            fields: with([
                ("reason", "`dependency`, `prune_guard`, …"),
                ("detail", "one line"),
                ("objects", "empty: `detail` names what matters"),
            ]),
            example: EventData::AppHeld(AppHeld {
                commit: commit(2),
                content: content(),
                reason: "prune_guard".to_owned(),
                detail: "5 of 10 objects would go".to_owned(),
                objects: Vec::new(),
            }),
        },
        _ => Described {
            when: "A revision is applied; probation begins.",
            fields: with(COUNTS),
            example: EventData::AppApplied(applied()),
        },
    }
}

fn of_rollback(kind: EventKind) -> Described {
    match kind {
        EventKind::AppPinned => Described {
            when: "A person rolled the app back to an earlier good revision (`leeward rollback`). It goes through \
                   preflight and probation like any other, whose reports follow, and stays until the app is released.",
            fields: with([
                ("from", "the commit that was left, or null"),
                ("until", "when it ends by itself; null: when it is released"),
                ("reason", "one line"),
            ]),
            example: EventData::AppPinned(AppPinned {
                commit: commit(1),
                content: content(),
                from: Some(commit(2)),
                until: Some("2026-03-01T14:00:00Z".parse().unwrap()),
                reason: "rolled back by hand from 22222222".to_owned(),
            }),
        },
        _ => Described {
            when: "A rollback by hand has ended: the app follows Git again. `commit` and `content` are those that it \
                   was rolled back to.",
            fields: with([(
                "reason",
                "`released by hand`, `its time is over`, `it failed this time`, or the commit that ended it",
            )]),
            example: EventData::AppReleased(AppReleased {
                commit: commit(1),
                content: content(),
                reason: "released by hand".to_owned(),
            }),
        },
    }
}

/// What becomes of single objects of an app.
fn of_objects(kind: EventKind) -> Described {
    match kind {
        EventKind::AppPruned => Described {
            when: "Objects that the revision does not declare any more are gone, once it has proven itself. What has \
                   to go before that is counted in `app.applied`.",
            fields: with([
                ("pruned", "how many"),
                ("objects", "the first 20: `object`, `origin` (null), `message`"),
            ]),
            example: EventData::AppPruned(AppPruned {
                commit: commit(1),
                content: content(),
                pruned: 1,
                objects: vec![named("deleted")],
            }),
        },
        EventKind::AppStuck => Described {
            when: "The cluster does not let objects be what Git wants, or lets them at last; whenever it is others than \
                   before. Each is tried again by itself. What a way back leaves behind is in its own report.",
            fields: vec![
                ("stuck", "how many there are now; 0 when it is over"),
                ("detail", "one line for people"),
                ("objects", "the first 20: `object`, `origin` (null), `message`"),
            ],
            example: EventData::AppStuck(AppStuck {
                stuck: 1,
                detail: "1 object is not as Git wants it".to_owned(),
                objects: vec![named("the webhook check.example.com refuses it")],
            }),
        },
        _ => Described {
            when: "Objects of another app belong to this one from now on, because Git says so. Nothing was deleted.",
            fields: vec![
                ("from", "the app that had them"),
                ("count", "how many"),
                ("objects", "the first 20: `object`, `origin` (null), `message`"),
            ],
            example: EventData::AppMoved(AppMoved {
                from: "front".to_owned(),
                count: 1,
                objects: vec![named("moved")],
            }),
        },
    }
}

fn named(what: &str) -> ObjectFault {
    let (object, origin) = (Some("ConfigMap shop/old".to_owned()), None);
    ObjectFault { object, origin, message: what.to_owned() }
}

fn of_drift(kind: EventKind) -> Described {
    let fields = vec![
        ("object", "`Kind.group namespace/name`"),
        (
            "fields",
            "what differs: `path` (RFC 6901; empty when the whole object is gone), `old` as Git has it, `new` as \
             it was found, both JSON in a text, cut, and masked for Secrets; `manager`, who changed it",
        ),
        ("count", "how often it happened; more than 1 where repeats were folded"),
    ];
    if kind == EventKind::DriftHealed {
        let when = "An owned object differed from what was applied, and was put right.";
        return Described { when, fields, example: EventData::DriftHealed(drift()) };
    }
    let when =
        "An owned object differs from what was applied, and is left as it is (`heal: report`).";
    Described { when, fields, example: EventData::DriftSeen(drift()) }
}
