//! The page of the control socket; its lines are made of the types.

use std::fmt::Write as _;

use leeward_wire::{
    ContentId, FieldChange, GitId, RevisionRecord, RevisionVerdict,
    control::{Difference, ObjectDiff, Request, Response},
};

const INTRODUCTION: &str = include_str!("control.md");

/// `docs/reference/control.md`.
pub(crate) fn page() -> String {
    let mut page = INTRODUCTION.to_owned();
    page.push_str("## Requests\n\n");
    for (request, meaning) in requests() {
        let _ = write!(
            page,
            "{meaning}\n\n```json\n{}\n```\n\n",
            serde_json::to_string(&request).unwrap()
        );
    }
    page.push_str("## Responses\n");
    for (response, meaning) in responses() {
        let _ = write!(
            page,
            "\n{meaning}\n\n```json\n{}\n```\n",
            serde_json::to_string_pretty(&response).unwrap()
        );
    }
    page
}

fn requests() -> Vec<(Request, &'static str)> {
    let app = || Some("shop".to_owned());
    vec![
        (Request::Status, "The status, with what `why` says."),
        (
            Request::History { app: app() },
            "The revisions of an app, newest first; `null`: of all apps.",
        ),
        (Request::Sync, "Poll the remote now, and try again whatever waits for a later try."),
        (
            Request::Pause { app: app(), seconds: 7200, reason: "inventory night".to_owned() },
            "Leave an app alone for a while; `null`: all apps.",
        ),
        (Request::Resume { app: app() }, "End the pause."),
        (
            Request::Approve { app: "shop".to_owned(), yes: true },
            "Let the plan that the prune guard holds go ahead, once.",
        ),
        (
            Request::Retry { app: "shop".to_owned() },
            "Try the newest revision of an app again, though it was bad, or waits.",
        ),
        (
            Request::Rollback {
                app: "shop".to_owned(),
                revision: Some("11111111".to_owned()),
                seconds: Some(7200),
            },
            "Take an app back to the good revision whose commit begins so, and keep it there for so long. \
             `revision` null: to the one before the present one. `seconds` null: until it is released. A commit \
             that changes the app ends it in any case.",
        ),
        (Request::Release { app: "shop".to_owned() }, "End a rollback: the app follows Git again."),
        (
            Request::Diff { app: app() },
            "Compare the cluster with the revision that an app should be at; `null`: of all apps.",
        ),
    ]
}

fn responses() -> Vec<(Response, &'static str)> {
    let commit = GitId::new([0x11; GitId::BYTES]);
    let revision = RevisionRecord {
        app: "shop".to_owned(),
        commit,
        tree: GitId::new([0x22; GitId::BYTES]),
        content: ContentId("9c2f41d07ab6".to_owned()),
        verdict: RevisionVerdict::Bad,
        reason: "failed its health checks".to_owned(),
        at: "2026-03-01T12:00:00Z".parse().unwrap(),
        bytes: Some(4708),
        author: Some("Ada Lovelace".to_owned()),
        subject: Some("Raise the replicas of web".to_owned()),
    };
    let diff = |object: &str, difference| ObjectDiff {
        app: "shop".to_owned(),
        object: object.to_owned(),
        difference,
    };
    let change = FieldChange {
        path: "/spec/replicas".to_owned(),
        old: Some("3".to_owned()),
        new: Some("5".to_owned()),
        manager: Some("kubectl-edit".to_owned()),
    };
    let objects = vec![
        diff("Deployment.apps shop/web", Difference::Fields(vec![change])),
        diff("ConfigMap shop/gone", Difference::Missing),
        diff("ConfigMap shop/old", Difference::Surplus),
    ];
    vec![
        (
            Response::History { revisions: vec![revision] },
            "To `history`. `verdict` is `good`, `bad`, `held`, `rolled_back` or `superseded`. \
             `bytes` crossed the link for the commit; it is absent where that is not known, as are `author` and \
             `subject` once the commit is no longer in the store. (To `status`: \
             `\"response\": \"status\"`, and as `document` the [state](reports.md) of the agent.)",
        ),
        (
            Response::Diff { objects },
            "To `diff`: the objects that differ. `missing`: Git declares it and the cluster lacks it; `surplus`: it \
             would be pruned. Values are JSON in a text, and masked for Secrets.",
        ),
        (
            Response::Done { message: "shop is paused".to_owned() },
            "To the others, when it is done.",
        ),
        (
            Response::Refused {
                message: "there is no app `web`".to_owned(),
                hint: Some("`leeward status` lists them".to_owned()),
            },
            "To any of them, when it cannot be done.",
        ),
    ]
}
