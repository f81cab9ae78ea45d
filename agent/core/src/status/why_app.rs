//! What keeps one app from following Git, most important first.

use jiff::Timestamp;

use super::{AppFacts, app::newest_is_bad};
use crate::{
    cycle::{App, HoldReason, Phase, Stuck},
    gate::loses_data,
    model::{Blocker, HealthName, Uptime},
};

/// Unhealthy objects of one app that `why` names; the first ones are the worst.
const MAX_UNHEALTHY: usize = 3;

/// Objects of one app that cannot be put right and that `why` names.
const MAX_STUCK: usize = 20;

/// Lists first what the agent lacks, then what a person must decide, then what
/// the cluster makes of it.
pub(super) fn why_app(facts: &AppFacts<'_>, now: Uptime, wall: Timestamp) -> Vec<Blocker> {
    let app = facts.app;
    let mut blockers: Vec<Blocker> = Vec::new();
    blockers.extend(variables(facts));
    blockers.extend(obstacle(app, now, wall));
    blockers.extend(awaited(facts));
    blockers.extend(stuck(app));
    blockers.extend(held(app));
    blockers.extend(pause(app, now));
    blockers.extend(pin(app));
    blockers.extend(bad_revision(app));
    blockers.extend(fight(facts));
    blockers.extend(health(app));
    blockers
}

fn blocker(app: &App, blocker: &str, evidence: &str, hint: impl Into<String>) -> Blocker {
    Blocker {
        blocker: blocker.to_owned(),
        app: Some(app.record.spec.name.clone()),
        evidence: evidence.to_owned(),
        hint: hint.into(),
        next_try: None,
    }
}

fn variables(facts: &AppFacts<'_>) -> Option<Blocker> {
    let hint = "what runs stays as it is; it goes on by itself once the object is as it should \
                be, `leeward sync` looks now";
    facts.wanting.map(|wanting| blocker(facts.app, "variables", wanting, hint))
}

fn obstacle(app: &App, now: Uptime, wall: Timestamp) -> Option<Blocker> {
    let next_try = app.not_before.filter(|at| now < *at).map(|at| wall + (at - now));
    let hint = "it is tried again by itself; `leeward sync` tries now";
    (!app.obstacle.is_empty())
        .then(|| Blocker { next_try, ..blocker(app, "obstacle", &app.obstacle, hint) })
}

fn awaited(facts: &AppFacts<'_>) -> Option<Blocker> {
    let hint = "it is looked at again by itself; an apply waits at most a minute for a deletion";
    let awaits = facts.awaits.as_ref()?;
    Some(blocker(facts.app, "awaited", awaits, hint))
}

/// One blocker for each object that cannot be put right.
fn stuck(app: &App) -> Vec<Blocker> {
    let one = |one: &Stuck| {
        let hint = if one.goes {
            "Git does not have it any more; its deletion is asked for again by itself"
        } else {
            "the rest is as the revision says; it is tried again by itself, every five minutes \
             at least"
        };
        blocker(app, "stuck", &one.fault().to_string(), hint)
    };
    app.record.stuck.iter().take(MAX_STUCK).map(one).collect()
}

fn held(app: &App) -> Option<Blocker> {
    let Phase::Held { hold, .. } = &app.record.phase else { return None };
    let name = &app.record.spec.name;
    let hint = match hold.reason {
        HoldReason::PruneGuard => {
            let yes = if hold.objects.iter().any(loses_data) { " --yes" } else { "" };
            let left = if app.record.removed {
                format!("app {name} left Git, and no other app has these objects; ")
            } else {
                String::new()
            };
            format!(
                "{left}`leeward diff {name}` lists what would go; \
                 `leeward approve {name}{yes}` lets it go"
            )
        }
        HoldReason::Dependency => "it goes on by itself when that app is good".to_owned(),
        HoldReason::Missing => {
            "what runs stays as it is; it goes on by itself once that is there, \
                                `leeward sync` tries now"
                .to_owned()
        }
        HoldReason::Permission => {
            "`leeward check` names what the role lacks; it goes on by itself \
                                   once it is granted, `leeward sync` tries now"
                .to_owned()
        }
        HoldReason::Owner => "an object belongs to one app: take it out of one of them in Git; it \
                              goes on by itself then"
            .to_owned(),
    };
    Some(blocker(app, hold.reason.name(), &hold.detail, hint))
}

fn pause(app: &App, now: Uptime) -> Option<Blocker> {
    let pause = app.record.pause.as_ref().filter(|_| app.is_paused(now))?;
    let hint = format!("`leeward resume {}` ends the pause", app.record.spec.name);
    Some(Blocker { next_try: Some(pause.until), ..blocker(app, "pause", &pause.reason, hint) })
}

fn pin(app: &App) -> Option<Blocker> {
    let pin = app.record.pin.as_ref()?;
    let wanted = app.record.newest.as_ref().map_or_else(String::new, |newest| {
        format!("; what Git wants, {}, is not followed", newest.commit)
    });
    let evidence = format!("rolled back by hand to {}{wanted}", pin.revision.commit);
    let hint = format!(
        "`leeward rollback {} --release` follows Git again; a commit that changes the app does, too",
        app.record.spec.name
    );
    Some(Blocker { next_try: pin.until, ..blocker(app, "pin", &evidence, hint) })
}

/// One blocker for each object at fault, or one for the revision as a whole.
fn bad_revision(app: &App) -> Vec<Blocker> {
    let Some(bad) = newest_is_bad(app) else { return Vec::new() };
    let hint = if app.record.good.is_some() {
        "the last good revision runs; `git revert` it or commit a correction"
    } else {
        "nothing was good before it; commit a correction"
    };
    let hint = match app.retry_at {
        Some(_) => format!("{hint}; it is tried again by itself, as `retries` says"),
        None => hint.to_owned(),
    };
    let whole = format!("{}: {}", bad.revision.commit, bad.reason);
    if bad.faults.is_empty() {
        return vec![blocker(app, "bad_revision", &whole, &hint)];
    }
    let one = |fault| blocker(app, "bad_revision", &format!("{whole}: {fault}"), &hint);
    bad.faults.iter().map(one).collect()
}

fn fight(facts: &AppFacts<'_>) -> Option<Blocker> {
    let hint = "find the other writer and stop it, or give the field up with ignoreDifferences";
    (!facts.message.is_empty()).then(|| blocker(facts.app, "fight", facts.message, hint))
}

fn health(app: &App) -> Vec<Blocker> {
    let is_ill = match app.health.name {
        HealthName::Healthy | HealthName::Unknown | HealthName::Suspended => false,
        HealthName::Progressing | HealthName::Degraded => true,
    };
    let faults = app.health.faults.iter().filter(|_| is_ill).take(MAX_UNHEALTHY);
    let hint = "`kubectl describe` the object; the agent looks again by itself";
    faults.map(|fault| blocker(app, "health", &fault.to_string(), hint)).collect()
}
