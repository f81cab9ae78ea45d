//! One app's trouble is its own: while something of an app hangs, what is
//! edited in another one is put right as if nothing were the matter, and
//! whoever asks is answered.
//!
//! Told by the order of events, not by a clock: the edit is healed while the
//! trouble still lasts.

mod disk;
mod many;
mod newer;
mod own;
mod trouble;

use std::{net::TcpListener, path::Path, process::Command, time::Instant};

use anyhow::{Context as _, Result};
use leeward_core::model::{AppStatus, StatusDocument};
use leeward_tests::scenario::{
    Scenario, is_good_at,
    objects::{config_map, documents, text},
};
use serde_json::{Value, json};

/// Times that an object of the calm app is edited while the other is in trouble.
const EDITS: usize = 5;

/// A scenario of two apps, of which one is calm and the other gets into trouble.
struct Apart {
    scenario: Scenario,
    calm: String,
    troubled: String,
    /// An object of the calm app.
    map: Value,
}

impl Apart {
    /// Starts with both apps good; the one that is to get into trouble has these objects.
    async fn start(name: &str, objects: &[Value]) -> Option<Self> {
        let prepared = Self::prepare(name, objects, |options| options).await?;
        let mut apart = prepared;
        apart.scenario.agent.start_again().unwrap();
        apart.both_good().await;
        Some(apart)
    }

    async fn prepare(
        name: &str,
        objects: &[Value],
        options: impl FnOnce(leeward_tests::agent::AgentOptions) -> leeward_tests::agent::AgentOptions,
    ) -> Option<Self> {
        let (calm, troubled) = (format!("{name}-calm"), format!("{name}-hard"));
        let map = config_map(name, "calm", "1");
        let apps = format!(
            "apiVersion: leeward.dev/v1alpha1\nkind: Apps\napps:\n\
             - name: {calm}\n  path: calm\n- name: {troubled}\n  path: hard\n"
        );
        let files = [
            ("leeward.yaml", apps),
            ("calm/map.yaml", documents(std::slice::from_ref(&map))),
            ("hard/all.yaml", documents(objects)),
        ];
        let options = |standard: leeward_tests::agent::AgentOptions| {
            options(standard.set("apply.timeout", "5m"))
        };
        let scenario = Scenario::prepare(name, &files, options).await.unwrap()?;
        let namespace = leeward_tests::scenario::objects::namespace(name);
        scenario.api.apply(&namespace, leeward_tests::scenario::MEDDLER).await.unwrap();
        Some(Self { scenario, calm, troubled, map })
    }

    async fn both_good(&mut self) {
        let head = self.scenario.repository.head().unwrap().unwrap();
        self.scenario.good_at(&head).await.unwrap();
    }

    /// Gives the troubled app other objects.
    fn change(&self, objects: &[Value]) -> String {
        self.scenario.commit(&[("hard/all.yaml", documents(objects))]).unwrap()
    }

    async fn wait_troubled(&mut self, wanted: impl Fn(&AppStatus) -> bool) -> AppStatus {
        let name = self.troubled.clone();
        self.scenario.wait_app(&name, wanted).await.unwrap()
    }

    /// Edits the calm app's object, several times, and waits until each edit is
    /// healed; `lasts` must hold of the status after each.
    async fn heals_while(&self, lasts: impl Fn(&StatusDocument) -> bool) {
        let mut longest = std::time::Duration::ZERO;
        for round in 0..EDITS {
            let edit = json!({ "data": { "key": format!("edited {round}") } });
            self.scenario.meddle(&self.map, &edit).await.unwrap();
            let started = Instant::now();
            self.scenario
                .wait_live(&self.map, |live| text(live, "/data/key") == "1")
                .await
                .unwrap();
            longest = longest.max(started.elapsed());
            let status = self.scenario.agent.status().await.unwrap();
            assert!(lasts(&status), "the trouble was over before the edit was healed: {status:#?}");
        }
        leeward_tests::weather::say(&format!("{}: healed within {longest:?}", self.calm));
    }

    /// Whether the troubled app is not good at this commit.
    fn not_good_at(&self, commit: &str) -> impl Fn(&StatusDocument) -> bool + use<> {
        let (name, commit) = (self.troubled.clone(), commit.to_owned());
        move |status| status.apps.iter().any(|app| app.name == name && !is_good_at(app, &commit))
    }
}

/// A port on which connections are taken and nothing is ever said.
fn mute_server() -> Result<(TcpListener, u16)> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).context("no port on loopback")?;
    let port = listener.local_addr()?.port();
    Ok((listener, port))
}

/// Compiles a library that is loaded before the C library, from C.
fn preloaded(folder: &Path, name: &str, source: &str) -> Result<std::path::PathBuf> {
    let (file, library) = (folder.join(format!("{name}.c")), folder.join(format!("lib{name}.so")));
    std::fs::write(&file, source)?;
    let mut command = Command::new("cc");
    command.args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library).arg(&file).arg("-ldl");
    let output = command.output().context("a C compiler is needed")?;
    anyhow::ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(library)
}
