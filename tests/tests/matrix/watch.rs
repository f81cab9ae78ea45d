//! What a story asks its agent, and what it waits for.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use leeward_core::model::{AppStatus, PhaseName, StatusDocument};
use leeward_tests::agent::socket;
use leeward_wire::control::{Request, Response};
use serde_json::Value;

use super::{faults::Fault, phases::Phase, story::Story};

/// For anything that must happen at all, while eleven other agents are at work.
pub(crate) const SOON: Duration = Duration::from_secs(180);
pub(crate) const AGAIN: Duration = Duration::from_millis(200);

impl Story<'_> {
    pub(crate) async fn over(&self) -> Result<Vec<&'static str>> {
        let status = self.status().await?;
        let mut over = Vec::new();
        for phase in self.phases {
            if phase.is_over(self.app(&status, *phase)?, &self.first, &self.second) {
                over.push(phase.slug());
            }
        }
        Ok(over)
    }

    /// Waits until these apps have come to their end.
    pub(crate) async fn wait_over(&mut self, phases: Vec<Phase>) -> Result<()> {
        let name = self.scenario.name().to_owned();
        let (first, second) = (self.first.clone(), self.second.clone());
        let is_over = |app: &AppStatus| {
            phase_of(&phases, &name, app).is_none_or(|phase| phase.is_over(app, &first, &second))
        };
        self.wait("every app has come to its end", is_over).await
    }

    pub(crate) async fn phases_of_apps(&self) -> Result<BTreeMap<&'static str, PhaseName>> {
        let status = self.status().await?;
        self.phases
            .iter()
            .map(|phase| Ok((phase.slug(), self.app(&status, *phase)?.phase)))
            .collect()
    }

    pub(crate) fn app<'s>(
        &self,
        status: &'s StatusDocument,
        phase: Phase,
    ) -> Result<&'s AppStatus> {
        let name = self.scenario.name();
        let mine = |app: &&AppStatus| phase_of(&[phase], name, app).is_some();
        status.apps.iter().find(mine).with_context(|| format!("{name}: no app {}", phase.slug()))
    }

    pub(crate) async fn status(&self) -> Result<StatusDocument> {
        let path = self.scenario.agent.socket_path();
        let asked = tokio::task::spawn_blocking(move || socket::ask(&path, &Request::Status));
        match asked.await?? {
            Response::Status { document } => Ok(*document),
            other => bail!("no status: {other:?}"),
        }
    }

    /// Waits until every app is as wanted.
    pub(crate) async fn wait(
        &mut self,
        what: &str,
        wanted: impl Fn(&AppStatus) -> bool,
    ) -> Result<()> {
        let count = self.phases.len();
        self.wait_status(what, |status| {
            status.apps.len() == count && status.apps.iter().all(&wanted)
        })
        .await
    }

    pub(crate) async fn wait_status(
        &mut self,
        what: &str,
        wanted: impl Fn(&StatusDocument) -> bool,
    ) -> Result<()> {
        let started = Instant::now();
        loop {
            let status = self.status().await;
            if status.as_ref().is_ok_and(&wanted) {
                return Ok(());
            }
            if started.elapsed() > SOON || !self.scenario.agent.is_running() {
                let log = self.scenario.agent.log_end();
                bail!("{}: not so: {what}: {status:#?}\n{log}", self.scenario.name());
            }
            tokio::time::sleep(AGAIN).await;
        }
    }
}

/// Whether `why` says which fault it is.
pub(crate) fn is_named(fault: Fault, status: &StatusDocument) -> bool {
    let why = serde_json::to_value(&status.why).unwrap_or_default();
    let says = |blocker: &Value| {
        let text = blocker.to_string();
        fault.named_by().iter().all(|word| text.contains(word))
    };
    why.as_array().is_some_and(|why| why.iter().any(says))
}

fn phase_of(phases: &[Phase], scenario: &str, app: &AppStatus) -> Option<Phase> {
    let slug = app.name.as_str().strip_prefix(scenario)?.strip_prefix('-')?.to_owned();
    phases.iter().copied().find(|phase| phase.slug() == slug)
}
