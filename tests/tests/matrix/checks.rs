//! What must hold of the cluster whatever happened: nothing was deleted but what
//! the plans delete, nothing made anew, no Job ran twice, and the agent knows what it has.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, ensure};
use leeward_core::model::{APP_LABEL, ObjectKey, StatusDocument};
use leeward_tests::{
    controlplane::ControlPlane,
    scenario::{
        MEDDLER, Scenario,
        objects::{config_map, text, uid},
    },
    weather::inventory,
};
use serde_json::{Value, json};

use super::phases::{Content, Phase, fixed};

/// Of the requests that the API server writes down.
const AGENT: &str = "leeward/";

/// What there was before the fault.
#[derive(Debug)]
pub(crate) struct Before {
    /// What no plan touches: the manifest, and the uid.
    stays: Vec<(Value, String)>,
    /// Of those that are not even written: the version.
    versions: Vec<(Value, String)>,
}

/// Objects that look like an app's, or are nobody's.
fn foreign(scenario: &str, phase: Phase) -> [Value; 2] {
    let mut copied = config_map(scenario, &phase.object("copied"), "1");
    copied["metadata"]["labels"] = json!({ APP_LABEL: app(scenario, phase) });
    [config_map(scenario, &phase.object("foreign"), "1"), copied]
}

fn app(scenario: &str, phase: Phase) -> String {
    format!("{scenario}-{}", phase.slug())
}

/// What the plans of all commits delete, as `resource/name`.
fn planned(scenario: &str, phases: &[Phase]) -> BTreeSet<String> {
    let mut planned = BTreeSet::new();
    for phase in phases {
        let going = phase.going(scenario);
        planned.extend(going.iter().map(|one| place("configmaps", &text(one, "/metadata/name"))));
        if *phase == Phase::Replacing {
            let name = text(&fixed(scenario, "1"), "/metadata/name");
            planned.insert(place("configmaps", &name));
        }
        if phase.goes_back() {
            planned.insert(place("jobs", &phase.object("comes")));
        }
    }
    planned
}

fn place(resource: &str, name: &str) -> String {
    format!("{resource}/{name}")
}

impl Before {
    pub(crate) async fn note(scenario: &Scenario, phases: &[Phase]) -> Result<Self> {
        let name = scenario.name();
        let mut before = Self { stays: Vec::new(), versions: Vec::new() };
        for phase in phases {
            let foreign = foreign(name, *phase);
            for manifest in &foreign {
                scenario.api.apply(manifest, MEDDLER).await?;
            }
            let [first, third] =
                [Content::First, Content::Third].map(|content| phase.objects(name, content));
            let is_in = |all: &[Value], one: &Value| all.iter().any(|other| is_same(other, one));
            let kept = first.iter().filter(|one| is_in(&third, one));
            let kept = kept.filter(|one| one["kind"] != "Job" && !is_same(one, &fixed(name, "1")));
            for manifest in kept.chain(&foreign) {
                let live = scenario.live(manifest).await?.context("it was there a moment ago")?;
                before.stays.push((manifest.clone(), uid(&live)));
                let is_untouched = foreign.contains(manifest) || third.contains(manifest);
                if is_untouched && manifest["kind"] == "ConfigMap" {
                    let version = text(&live, "/metadata/resourceVersion");
                    before.versions.push((manifest.clone(), version));
                }
            }
        }
        Ok(before)
    }

    /// Compares what there is with what there was, and with all that the agent did.
    pub(crate) async fn check(
        &self,
        scenario: &Scenario,
        plane: &ControlPlane,
        phases: &[Phase],
        status: &StatusDocument,
    ) -> Result<()> {
        let name = scenario.name();
        for (manifest, before) in &self.stays {
            let live =
                scenario.live(manifest).await?.with_context(|| format!("{manifest} is gone"))?;
            ensure!(uid(&live) == *before, "{name}: {manifest} was made anew");
        }
        for (manifest, before) in &self.versions {
            let live =
                scenario.live(manifest).await?.with_context(|| format!("{manifest} is gone"))?;
            let version = text(&live, "/metadata/resourceVersion");
            ensure!(version == *before, "{name}: {manifest} was written");
        }
        for phase in phases {
            let wanted = phase.objects(name, Content::Third);
            for manifest in wanted.iter().filter(|one| !is_same(one, &phase.ran(name))) {
                let live = scenario.live(manifest).await?;
                let live = live.with_context(|| format!("{name}: {manifest} is not there"))?;
                ensure!(live["data"] == manifest["data"], "{name}: {live} is not as in Git");
            }
            for gone in phase.going(name) {
                ensure!(scenario.live(&gone).await?.is_none(), "{name}: {gone} is there");
            }
            let shown = status.apps.iter().find(|one| one.name.as_str() == app(name, *phase));
            let count = shown.map(|shown| shown.objects);
            ensure!(count == Some(wanted.len()), "{name}: {count:?} for {}", wanted.len());
        }
        check_jobs(scenario, phases).await?;
        check_audit(scenario, plane, phases)
    }
}

/// Compares what the agent believes to own, which does not run any more, with Git.
pub(crate) fn check_inventory(scenario: &Scenario, phases: &[Phase]) -> Result<()> {
    let name = scenario.name();
    let inventory = inventory(&scenario.agent)?;
    for phase in phases {
        let wanted: BTreeSet<ObjectKey> =
            phase.objects(name, Content::Third).iter().filter_map(ObjectKey::of).collect();
        let found: BTreeSet<ObjectKey> = inventory
            .get(app(name, *phase).as_str())
            .into_iter()
            .flat_map(|one| one.keys().cloned())
            .collect();
        ensure!(found == wanted, "{name}: {found:?} in the inventory, {wanted:?} in Git");
    }
    Ok(())
}

fn is_same(one: &Value, other: &Value) -> bool {
    ObjectKey::of(one) == ObjectKey::of(other)
}

/// Each Job has had one pod, by the events of its controller, which outlive it.
async fn check_jobs(scenario: &Scenario, phases: &[Phase]) -> Result<()> {
    let name = scenario.name();
    let events = scenario.api.list(&format!("/api/v1/namespaces/{name}/events")).await?;
    for phase in phases {
        for job in ["ran", "comes"].map(|what| phase.object(what)) {
            let pods = events.iter().filter(|event| {
                event["involvedObject"]["kind"] == "Job"
                    && event["involvedObject"]["name"] == *job
                    && event["reason"] == "SuccessfulCreate"
            });
            let pods: u64 = pods.map(|event| event["count"].as_u64().unwrap_or(1).max(1)).sum();
            ensure!(pods == 1, "{name}: Job {job} had {pods} pods");
        }
    }
    Ok(())
}

/// What the API server wrote down: the agent has deleted nothing but what the plans
/// delete, and has made nothing twice but what it was to make anew.
fn check_audit(scenario: &Scenario, plane: &ControlPlane, phases: &[Phase]) -> Result<()> {
    let name = scenario.name();
    let log = plane.folder().context("the control plane is not ours")?.join("audit.log");
    let planned = planned(name, phases);
    let replaced = place("configmaps", &text(&fixed(name, "1"), "/metadata/name"));
    let (mut deleted, mut made) = (BTreeSet::new(), BTreeMap::<String, u64>::new());
    for line in std::fs::read_to_string(log)?.lines() {
        let Ok(event) = serde_json::from_str::<Value>(line) else { continue };
        let object = &event["objectRef"];
        let is_ours = event["userAgent"].as_str().is_some_and(|agent| agent.starts_with(AGENT));
        let is_dry = event["requestURI"].as_str().is_some_and(|uri| uri.contains("dryRun"));
        let is_here = object["namespace"] == *name
            || text(object, "/name").ends_with(&format!(".{name}.example.com"));
        if !is_ours || is_dry || !is_here {
            continue;
        }
        let place = place(&text(object, "/resource"), &text(object, "/name"));
        let code = event["responseStatus"]["code"].as_u64().unwrap_or_default();
        match event["verb"].as_str() {
            Some("delete" | "deletecollection") if code < 300 => drop(deleted.insert(place)),
            Some("patch" | "create") if code == 201 => *made.entry(place).or_default() += 1,
            _ => {}
        }
    }
    let outside: Vec<&String> = deleted.difference(&planned).collect();
    ensure!(outside.is_empty(), "{name}: deleted outside the plan: {outside:?}");
    let twice = |(place, count): &(&String, &u64)| **count > 1 + u64::from(**place == replaced);
    let twice: Vec<_> =
        made.iter().filter(twice).filter(|(place, _)| !place.starts_with("events/")).collect();
    ensure!(twice.is_empty(), "{name}: made more than once: {twice:?}");
    ensure!(made.len() > phases.len(), "{name}: the API server wrote nothing down: {made:?}");
    Ok(())
}
