//! What goes wrong is named, in `why` too, and nothing is deleted for it.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends")]

mod content;
mod daemon;
mod desk;
mod links;
mod store;

use leeward_tests::scenario::{
    Scenario,
    objects::{config_map, documents, service},
};
use serde_json::Value;

/// A scenario that is good, and what it has in the cluster.
struct Calm {
    scenario: Scenario,
    objects: Vec<Value>,
    commit: String,
    versions: Vec<String>,
    /// How often something was healed: what is damaged again and again is fought over.
    healed: usize,
}

impl Calm {
    async fn start(name: &str) -> Option<Self> {
        let files = [("calm.yaml", documents(&objects(name)))];
        let scenario = Scenario::start(name, &files, |options| options).await.unwrap()?;
        Some(Self::reach(scenario).await)
    }

    /// Waits until a scenario with these objects is good.
    async fn reach(mut scenario: Scenario) -> Self {
        let objects = objects(scenario.name());
        let commit = scenario.repository.head().unwrap().unwrap();
        scenario.good_at(&commit).await.unwrap();
        let versions = scenario.versions(&objects).await.unwrap();
        Self { scenario, objects, commit, versions, healed: 0 }
    }

    /// No object was deleted, nor even written.
    async fn is_untouched(&self) {
        assert_eq!(self.scenario.versions(&self.objects).await.unwrap(), self.versions);
    }

    /// What was good goes on: a deleted object is back, whatever is wrong.
    async fn heals(&mut self) {
        let object = &self.objects[self.healed % self.objects.len()];
        self.healed += 1;
        self.scenario.remove(object).await.unwrap();
        self.scenario.wait_live(object, |_| true).await.unwrap();
        self.versions = self.scenario.versions(&self.objects).await.unwrap();
    }

    /// A commit after the trouble is taken.
    async fn goes_on(&mut self) {
        let name = self.scenario.name();
        let note = config_map(name, "note", &self.commit);
        self.commit = self.scenario.commit(&[("note.yaml", documents(&[note]))]).unwrap();
        let commit = self.commit.clone();
        self.scenario.good_at(&commit).await.unwrap();
        leeward_tests::weather::unblocked(&self.scenario).await.unwrap();
    }
}

fn objects(namespace: &str) -> Vec<Value> {
    vec![
        config_map(namespace, "one", "1"),
        config_map(namespace, "two", "2"),
        config_map(namespace, "three", "3"),
        config_map(namespace, "four", "4"),
        service(namespace, "web", 80),
    ]
}
