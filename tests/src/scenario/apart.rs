//! Two apps of one cluster: one gets into trouble, and what is edited in the
//! other one is healed as if nothing were the matter.

use anyhow::Result;
use leeward_core::model::{AppStatus, StatusDocument};
use serde_json::Value;

use super::{
    MEDDLER, Scenario, is_good_at,
    objects::{config_map, documents, namespace},
    plane,
};
use crate::{agent::AgentOptions, controlplane::ControlPlane};

/// Objects of the calm app: enough that none of them is edited so often that it is
/// taken for a fight.
const CALM: usize = 20;

/// A scenario of two apps, of which one is calm and the other gets into trouble.
#[derive(Debug)]
pub struct Apart {
    pub scenario: Scenario,
    pub calm: String,
    pub troubled: String,
    /// The objects of the calm app.
    maps: Vec<Value>,
}

impl Apart {
    /// Commits both apps; the agent does not run yet. The app that is to get
    /// into trouble begins with these objects. `None`: not on this cluster,
    /// which has been said.
    pub async fn prepare(
        name: &str,
        objects: &[Value],
        options: impl FnOnce(AgentOptions) -> AgentOptions,
    ) -> Result<Option<Self>> {
        let Some(plane) = plane(name).await? else { return Ok(None) };
        Self::prepare_on(plane, name, objects, options).await.map(Some)
    }

    /// As `prepare`, on a control plane that the caller has started.
    pub async fn prepare_on(
        plane: &ControlPlane,
        name: &str,
        objects: &[Value],
        options: impl FnOnce(AgentOptions) -> AgentOptions,
    ) -> Result<Self> {
        let (calm, troubled) = (format!("{name}-calm"), format!("{name}-hard"));
        let map = |index| config_map(name, &format!("calm-{index}"), "1");
        let maps: Vec<Value> = (0..CALM).map(map).collect();
        let apps = format!(
            "apiVersion: leeward.dev/v1alpha1\nkind: Apps\napps:\n\
             - name: {calm}\n  path: calm\n- name: {troubled}\n  path: hard\n"
        );
        let files = [
            ("leeward.yaml", apps),
            ("calm/map.yaml", documents(&maps)),
            ("hard/all.yaml", documents(objects)),
        ];
        let options = |standard: AgentOptions| options(standard.set("apply.timeout", "5m"));
        let scenario = Scenario::prepare_on(plane, name, &files, options).await?;
        scenario.api.apply(&namespace(name), MEDDLER).await?;
        Ok(Self { scenario, calm, troubled, maps })
    }

    /// An object of the calm app, another one in each round.
    pub fn map(&self, round: usize) -> &Value {
        &self.maps[round % CALM]
    }

    /// Starts the agent, and waits until both apps are good.
    pub async fn start(&mut self) -> Result<()> {
        self.scenario.agent.start_again()?;
        self.both_good().await
    }

    /// Waits until both apps are good at the newest commit.
    pub async fn both_good(&mut self) -> Result<()> {
        let head = self.scenario.repository.head()?.unwrap_or_default();
        self.scenario.good_at(&head).await.map(drop)
    }

    /// Gives the app that is to get into trouble other objects; returns the commit.
    pub fn change(&self, objects: &[Value]) -> Result<String> {
        self.scenario.commit(&[("hard/all.yaml", documents(objects))])
    }

    /// Waits for something about the app in trouble.
    pub async fn wait_troubled(
        &mut self,
        wanted: impl Fn(&AppStatus) -> bool,
    ) -> Result<AppStatus> {
        let name = self.troubled.clone();
        self.scenario.wait_app(&name, wanted).await
    }

    /// Whether the app in trouble has yet to become good at this commit.
    pub fn is_not_good_at(&self, status: &StatusDocument, commit: &str) -> bool {
        status.apps.iter().any(|app| app.name == self.troubled && !is_good_at(app, commit))
    }
}
