//! The story of one agent: its apps are brought into their phases, the fault
//! strikes, ends, and what becomes of them is noted.

use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use leeward_core::model::PhaseName;
use leeward_tests::{
    agent::AgentOptions,
    controlplane::ControlPlane,
    faultproxy::Policy,
    scenario::{
        MEDDLER, Scenario, is_good_at,
        objects::{apps, documents, namespace, text},
    },
    weather::say,
    webhook::Webhook,
};
use serde_json::{Value, json};

use super::{
    checks::{Before, check_inventory},
    faults::{Fault, Library, Machine},
    phases::{
        Content, FINALIZER, NOISE_WHOLE, Phase, SLOW_IMAGE, first_definition, fixed,
        second_definition,
    },
    watch::{AGAIN, SOON, is_named},
};

/// The fault lasts at least so long while every app is kept in its phase.
const STRUCK: Duration = Duration::from_secs(3);
/// What goes on although the fault lasts is waited for, and the rest so long after that.
const WAITS: Duration = Duration::from_secs(3);
/// KB a second; what is fetched takes some seconds more than the fault.
const SLOW: u64 = 64;
/// Of what is fetched slowly, so much is in the store when the fault strikes.
const FETCHED: u64 = 160 * 1024;

/// What a fault may cost: the store keeps what arrived at least every 64 KB; the same
/// again for what is under way and what is asked anew.
const AT_MOST_TWICE: u64 = 2 * 64 * 1024;

/// What was seen of one app.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) phase: Phase,
    /// In which it was at the end of the fault, or after a start, with all that keeps
    /// it in its phase still there.
    pub(crate) struck_in: PhaseName,
    /// It came to its end while the fault lasted.
    pub(crate) ended_meanwhile: bool,
}

/// One agent, with an app in each of its phases.
pub(crate) struct Story<'a> {
    plane: &'a ControlPlane,
    pub(crate) scenario: Scenario,
    machine: Machine,
    pub(crate) phases: &'a [Phase],
    pub(crate) first: String,
    pub(crate) second: String,
    /// What had come from Git before the second commit.
    received: u64,
}

impl<'a> Story<'a> {
    /// Begins with all apps good.
    pub(crate) async fn begin(
        plane: &'a ControlPlane,
        fault: Fault,
        phases: &'a [Phase],
        library: &Library,
    ) -> Result<Story<'a>> {
        let alone = if phases == [Phase::Fetching] { "-fetch" } else { "" };
        let name = format!("kill-{}{alone}", fault.slug());
        let names: Vec<String> =
            phases.iter().map(|phase| format!("{name}-{}", phase.slug())).collect();
        let entries: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "")).collect();
        let options = |options: AgentOptions| options.set("apply.timeout", "10m");
        let files = [("leeward.yaml", apps(&entries))];
        let mut scenario = Scenario::prepare_on(plane, &name, &files, options).await?;
        let machine = Machine::prepare(&mut scenario, fault, library)?;
        let (first, second) = (String::new(), String::new());
        let mut story = Story { plane, scenario, machine, phases, first, second, received: 0 };
        story.first = story.commit(Content::First)?;
        story.scenario.api.apply(&namespace(&name), MEDDLER).await?;
        story.scenario.agent.start_again()?;
        let first = story.first.clone();
        story.wait("the first commit is good", |app| is_good_at(app, &first)).await?;
        Ok(story)
    }

    /// Tells it to its end, and returns what was seen of each app.
    pub(crate) async fn tell(mut self) -> Result<Vec<Seen>> {
        let before = Before::note(&self.scenario, self.phases).await?;
        let mut webhook = self.reach_phases().await?;
        self.machine.strike(&mut self.scenario.agent).await?;
        if self.machine.fault == Fault::Kill {
            self.wait_status("it has started again", |status| status.agent.boot == 2).await?;
        }
        tokio::time::sleep(STRUCK).await;
        let struck_in = self.phases_of_apps().await?;
        let ended = self.ended_meanwhile(&mut webhook).await?;
        self.approve().await?;
        self.wait_over(self.phases.to_vec()).await?;
        self.check_fetched()?;
        let third = self.commit(Content::Third)?;
        self.wait("the next commit is good", |app| is_good_at(app, &third)).await?;
        self.wait_status("nothing blocks", |status| status.why.is_empty()).await?;
        let status = self.status().await?;
        before.check(&self.scenario, self.plane, self.phases, &status).await?;
        self.machine.take_store(&mut self.scenario.agent)?;
        check_inventory(&self.scenario, self.phases)?;
        let seen = |phase: &Phase| Seen {
            phase: *phase,
            struck_in: struck_in[phase.slug()],
            ended_meanwhile: ended.contains(&phase.slug()),
        };
        Ok(self.phases.iter().map(seen).collect())
    }

    fn commit(&self, content: Content) -> Result<String> {
        let name = self.scenario.name();
        // One object a file: an object is what is fetched once or not at all.
        let of_phase = |phase: &Phase| {
            let file = |one: &Value| {
                let path = format!("{name}-{}/{}.yaml", phase.slug(), text(one, "/metadata/name"));
                (path, documents(std::slice::from_ref(one)))
            };
            phase.objects(name, content).iter().map(file).collect::<Vec<_>>()
        };
        let files: Vec<(String, String)> = self.phases.iter().flat_map(of_phase).collect();
        let files: Vec<(&str, String)> =
            files.iter().map(|(path, content)| (path.as_str(), content.clone())).collect();
        let folders: Vec<String> =
            self.phases.iter().map(|phase| format!("{name}-{}", phase.slug())).collect();
        let folders: Vec<&str> = folders.iter().map(String::as_str).collect();
        self.scenario.rearrange(&folders, &files)
    }

    /// Commits the second content, and returns when each app is where it is kept.
    async fn reach_phases(&mut self) -> Result<Webhook> {
        let name = self.scenario.name().to_owned();
        let api = &self.scenario.api;
        let webhook = Webhook::start(api, &name, Phase::hangs_in).await?;
        for phase in self.phases {
            // What the cluster removes by itself is gone by then.
            self.scenario.wait_gone(&phase.ran(&name)).await?;
        }
        let hold = json!({ "metadata": { "finalizers": [FINALIZER] } });
        if self.has(Phase::Replacing) {
            self.scenario.meddle(&fixed(&name, "1"), &hold).await?;
            self.scenario.meddle(&Phase::Pruning.going(&name)[0], &hold).await?;
            api.apply(&first_definition(&name), MEDDLER).await?;
        }
        self.received = self.machine.link.counts().traffic.down;
        if self.has(Phase::Fetching) {
            self.machine.link.set_policy(Policy::slow(SLOW, Duration::from_millis(40)));
        }
        self.second = self.commit(Content::Second)?;
        let started = Instant::now();
        loop {
            let missing = self.not_there_yet(&webhook).await?;
            if missing.is_empty() {
                return Ok(webhook);
            }
            if started.elapsed() > SOON {
                bail!("{name}: never {missing:?}: {:#?}", self.status().await?);
            }
            tokio::time::sleep(AGAIN).await;
        }
    }

    /// What has come from Git since the second commit.
    fn fetched(&self) -> u64 {
        self.machine.link.counts().traffic.down - self.received
    }

    /// Next to nothing has come twice, unless there was no place to keep it.
    fn check_fetched(&self) -> Result<()> {
        let (fetched, most) = (self.fetched(), NOISE_WHOLE + AT_MOST_TWICE);
        let is_kept = !matches!(self.machine.fault, Fault::DiskFull | Fault::ReadOnly);
        if self.has(Phase::Fetching) && is_kept {
            say(&format!("{}: fetched {fetched} bytes of {NOISE_WHOLE}", self.scenario.name()));
            ensure!(fetched < most, "fetched {fetched} bytes of {NOISE_WHOLE}");
        }
        Ok(())
    }

    fn has(&self, phase: Phase) -> bool {
        self.phases.contains(&phase)
    }

    /// The phases in which no app is yet.
    async fn not_there_yet(&self, webhook: &Webhook) -> Result<Vec<Phase>> {
        let Ok(status) = self.status().await else { return Ok(self.phases.to_vec()) };
        let name = self.scenario.name();
        let calls = webhook.calls();
        let hangs = |phase: Phase| {
            let mine = |name: &Value| *name == phase.object("hooked");
            calls.iter().any(|call| mine(&call.object["metadata"]["name"]) && Phase::hangs_in(call))
        };
        let mut missing = Vec::new();
        for phase in self.phases {
            let app = self.app(&status, *phase)?;
            let is_there = app.phase == phase.shown()
                && match phase {
                    Phase::Fetching => self.fetched() > FETCHED,
                    Phase::Preflight
                    | Phase::FirstWave
                    | Phase::SecondWave
                    | Phase::RollingBack => hangs(*phase),
                    Phase::Held | Phase::Probation => true,
                    Phase::Foundations => {
                        self.scenario.live(&second_definition(name)).await?.is_some()
                    }
                    Phase::Replacing => self.is_leaving(&fixed(name, "1")).await?,
                    Phase::Pruning => self.is_leaving(&phase.going(name)[0]).await?,
                    Phase::RolledBack => phase.is_over(app, &self.first, &self.second),
                };
            if !is_there {
                missing.push(*phase);
            }
        }
        Ok(missing)
    }

    async fn is_leaving(&self, manifest: &Value) -> Result<bool> {
        let live = self.scenario.live(manifest).await?;
        Ok(live.is_some_and(|live| live["metadata"].get("deletionTimestamp").is_some()))
    }

    /// Ends the fault, and before that all else that keeps the apps in their phases if it
    /// is a fault that lasts. Returns which came to their end before it.
    async fn ended_meanwhile(&mut self, webhook: &mut Webhook) -> Result<Vec<&'static str>> {
        let fault = self.machine.fault;
        if fault.named_by().is_empty() {
            self.machine.end(&mut self.scenario.agent).await?;
            self.release(webhook).await?;
            return Ok(Vec::new());
        }
        self.release(webhook).await?;
        self.wait_status("why names the fault", |status| is_named(fault, status)).await?;
        if fault == Fault::Link {
            self.approve().await?;
        }
        let going_on = self.phases.iter().copied().filter(|phase| fault.permits(*phase)).collect();
        self.wait_over(going_on).await?;
        tokio::time::sleep(WAITS).await;
        let ended = self.over().await?;
        self.machine.end(&mut self.scenario.agent).await?;
        self.wait_status("the fault is over", |status| !is_named(fault, status)).await?;
        Ok(ended)
    }

    /// Takes away all that keeps apps in their phases but the prune guard.
    async fn release(&self, webhook: &Webhook) -> Result<()> {
        let name = self.scenario.name();
        webhook.open();
        if self.has(Phase::Fetching) {
            self.machine.link.set_policy(Policy::default());
        }
        if self.has(Phase::Replacing) {
            let release = json!({ "metadata": { "finalizers": null } });
            self.scenario.meddle(&fixed(name, "1"), &release).await?;
            self.scenario.meddle(&Phase::Pruning.going(name)[0], &release).await?;
            self.scenario.remove(&first_definition(name)).await?;
            self.make_ready().await?;
        }
        Ok(())
    }

    /// The pod for which the app in probation waits becomes ready.
    async fn make_ready(&self) -> Result<()> {
        let api = &self.scenario.api;
        let path = format!("/api/v1/namespaces/{}/pods", self.scenario.name());
        let mut found = false;
        for mut pod in api.list(&path).await? {
            if pod["spec"]["containers"][0]["image"] != SLOW_IMAGE {
                continue;
            }
            for condition in pod["status"]["conditions"].as_array_mut().into_iter().flatten() {
                condition["status"] = json!("True");
            }
            for container in pod["status"]["containerStatuses"].as_array_mut().into_iter().flatten()
            {
                container["ready"] = json!(true);
                container["started"] = json!(true);
            }
            let path = format!("{path}/{}/status", text(&pod, "/metadata/name"));
            api.merge(&path, &json!({ "status": pod["status"] }), MEDDLER).await?;
            found = true;
        }
        ensure!(found, "no pod is in probation");
        Ok(())
    }

    /// Approves what the guard holds, which is still held.
    async fn approve(&mut self) -> Result<()> {
        if !self.has(Phase::Held) {
            return Ok(());
        }
        let status = self.status().await?;
        let held = self.app(&status, Phase::Held)?;
        if held.phase == PhaseName::Held {
            let app = held.name.clone();
            self.scenario.tell(&["approve", &app]).await?;
        }
        Ok(())
    }
}
