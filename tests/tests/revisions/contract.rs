//! The documents of `status` and `why`, against docs/reference/reports.md.

use std::time::Duration;

use leeward_tests::scenario::{
    Scenario,
    objects::{config_map, deployment, documents},
};
use serde_json::{Value, json};

/// The document as a pattern: alternatives are parted by `|`; `text`, `int`,
/// `id` (40 hex digits), `hex`, `time` (RFC 3339) and `bool` stand for any of
/// their kind, everything else for itself. Every field must be there.
fn status_pattern() -> Value {
    let revision = json!({ "commit": "id", "content": "hex" });
    json!({
        "cluster": "text",
        "agent": { "version": "text", "running": "bool", "boot": "int", "uptime_seconds": "int" },
        "source": {
            "url": "text", "ref": "text", "path": "text",
            "commit": "id|null", "content": "hex|null", "fetched_at": "time|null",
        },
        "link": {
            "state": "up|down|unknown",
            "failed_step": "dns|connect|proxy|tls|clock|auth|http|protocol|ref|path|null",
            "since": "time", "evidence": "text", "next_try": "time|null",
        },
        "apps": [{
            "name": "text",
            "phase": "waiting|preflight|held|applying|probation|good|rolling_back|failed|paused",
            "good": { "?": "null", "commit": "id", "content": "hex", "since": "time" },
            "candidate": { "?": "null", "commit": "id", "content": "hex" },
            "bad": [{
                "commit": revision["commit"], "content": revision["content"],
                "reason": "text", "at": "time",
            }],
            "held": { "?": "null", "reason": "text", "detail": "text", "until": "time|null" },
            "health": "healthy|progressing|degraded|suspended|unknown",
            "objects": "int", "message": "text",
            "drift": { "healed": "int", "open": "int" },
        }],
        "outbox": {
            "pending": "int", "folded": "int", "dropped": "int", "last_acknowledged": "time|null",
        },
        "store": { "bytes": "int", "max_bytes": "int" },
    })
}

fn why_pattern() -> Value {
    json!([{
        "blocker": "text", "app": "text|null", "evidence": "text", "hint": "text",
        "next_try": "time|null",
    }])
}

/// Collects what does not match, by its place in the document.
fn mismatches(pattern: &Value, found: &Value, place: &str, wrong: &mut Vec<String>) {
    match pattern {
        Value::Object(fields) => {
            if fields.contains_key("?") && found.is_null() {
                return;
            }
            for (name, pattern) in fields.iter().filter(|(name, _)| *name != "?") {
                let place = format!("{place}/{name}");
                match found.get(name) {
                    Some(value) => mismatches(pattern, value, &place, wrong),
                    None => wrong.push(format!("{place} is missing")),
                }
            }
        }
        Value::Array(items) => match found.as_array() {
            Some(values) => {
                for (index, value) in values.iter().enumerate() {
                    mismatches(&items[0], value, &format!("{place}/{index}"), wrong);
                }
            }
            None => wrong.push(format!("{place} is no list: {found}")),
        },
        pattern => {
            let allowed = pattern.as_str().unwrap();
            if !allowed.split('|').any(|one| is_one(one, found)) {
                wrong.push(format!("{place} is {found}, not {allowed}"));
            }
        }
    }
}

fn is_one(allowed: &str, found: &Value) -> bool {
    let is_hex = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    match (allowed, found) {
        ("null", found) => found.is_null(),
        ("int", found) => found.is_u64(),
        ("bool", found) => found.is_boolean(),
        ("text", found) => found.is_string(),
        ("id", Value::String(text)) => text.len() == 40 && is_hex(text),
        ("hex", Value::String(text)) => is_hex(text),
        ("time", Value::String(text)) => text.parse::<jiff::Timestamp>().is_ok(),
        (word, found) => found == word,
    }
}

async fn check(scenario: &Scenario) -> (Value, Value) {
    let (status, _) = scenario.ask(&["status"]).await.unwrap();
    let (why, code) = scenario.ask(&["why"]).await.unwrap();
    assert_eq!(code, 0);
    let mut wrong = Vec::new();
    mismatches(&status_pattern(), &status, "status", &mut wrong);
    mismatches(&why_pattern(), &why, "why", &mut wrong);
    assert_eq!(wrong, Vec::<String>::new(), "{status:#}\n{why:#}");
    let fields =
        |value: &Value| -> Vec<String> { value.as_object().unwrap().keys().cloned().collect() };
    for blocker in why.as_array().unwrap() {
        assert_eq!(fields(blocker), fields(&why_pattern()[0]));
    }
    (status, why)
}

#[tokio::test]
async fn status_and_why_have_the_fields_and_values_of_the_contract_in_every_phase() {
    let name = "contract";
    let web = |image: &str| documents(&[deployment(name, "web", image)]);
    let files = [("web.yaml", web("slow2:1"))];
    let Some(mut scenario) = Scenario::start(name, &files, |options| options).await.unwrap() else {
        return;
    };
    let first = scenario.repository.head().unwrap().unwrap();
    scenario.wait(|status| !status.apps.is_empty()).await.unwrap();
    let (status, _) = check(&scenario).await;
    assert_eq!(status["apps"][0]["good"], Value::Null);
    let not_yet = scenario.run(&["status", "--exit-code"]).await.unwrap();
    assert_eq!(not_yet.status.code(), Some(1));

    scenario.good_at(&first).await.unwrap();
    let (status, why) = check(&scenario).await;
    assert_eq!(why, json!([]));
    let app = &status["apps"][0];
    assert_eq!(
        (&app["candidate"], &app["held"], &app["bad"]),
        (&json!(null), &json!(null), &json!([]))
    );
    assert_eq!(status["source"]["ref"], "refs/heads/main");
    assert_eq!(status["source"]["path"], format!("clusters/{name}"));
    assert_eq!(
        (&status["source"]["commit"], &app["good"]["commit"]),
        (&json!(first), &json!(first))
    );
    let well = scenario.run(&["status", "--exit-code"]).await.unwrap();
    assert_eq!(well.status.code(), Some(0));

    let bad = scenario.commit(&[("web.yaml", web("crash:1"))]).unwrap();
    scenario.wait_app(name, |app| app.candidate.is_some()).await.unwrap();
    check(&scenario).await;
    scenario
        .wait_app(name, |app| {
            app.phase == leeward_core::model::PhaseName::Good && !app.bad.is_empty()
        })
        .await
        .unwrap();
    let (status, why) = check(&scenario).await;
    let app = &status["apps"][0];
    assert_eq!((&app["bad"][0]["commit"], &app["good"]["commit"]), (&json!(bad), &json!(first)));
    assert_eq!(why[0]["blocker"], "bad_revision");

    scenario.commit(&[("web.yaml", documents(&[config_map(name, "only", "1")]))]).unwrap();
    scenario
        .wait_app(name, |app| {
            app.bad.len() == 1 && app.candidate.is_some()
                || app.phase == leeward_core::model::PhaseName::Good
        })
        .await
        .unwrap();
    check(&scenario).await;
    scenario.tell(&["pause", "--for", "1h", "--reason", "contract"]).await.unwrap();
    let (status, _) = check(&scenario).await;
    assert_eq!(status["apps"][0]["phase"], "paused");

    scenario.server.stop().await;
    scenario
        .wait(|status| status.link.state == leeward_core::model::LinkState::Down)
        .await
        .unwrap();
    let (status, _) = check(&scenario).await;
    assert_eq!(status["link"]["failed_step"], "connect");

    scenario.agent.stop(Duration::from_secs(20)).await.unwrap();
    let (status, _) = check(&scenario).await;
    assert_eq!(status["agent"]["running"], false);
    assert_eq!(status["apps"][0]["good"]["commit"].as_str().map(str::len), Some(40));
}
