//! Trouble that an app gets into, made on purpose: each kind lasts until it is
//! ended, and is the trouble of that app alone.

use std::net::TcpListener;

use anyhow::{Context, Result, ensure};
use leeward_core::model::{PhaseName, StatusDocument};
use serde_json::{Value, json};

use super::{
    MEDDLER,
    apart::Apart,
    objects::{annotated, config_map, definition, namespace, thirds},
};

/// Objects that `Trouble::Bulk` applies.
const BULK: usize = 1000;
/// Objects in the namespace that terminates.
const IN_TERMINATING: usize = 40;
/// Objects that the webhook is asked about.
const IN_WEBHOOK: usize = 100;
const GROUP: &str = "apart.example.com";
const FINALIZER: &str = "example.com/hold";

/// A kind of trouble.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// A thousand objects are applied. It is over when they are in.
    Bulk,
    /// An object is to be deleted and made anew, and a finalizer keeps it.
    Replacement,
    /// A definition that never becomes ready holds up everything after it.
    Foundation,
    /// The namespace of the objects is being terminated, and never is gone.
    Terminating,
    /// A webhook takes the objects of a namespace and says nothing for 30 s.
    Webhook,
}

/// Trouble that has begun.
#[derive(Debug)]
pub struct Begun {
    trouble: Trouble,
    /// The app is not good at this commit for as long as it lasts.
    pub commit: String,
    /// How often it has begun.
    times: usize,
    _mute: Option<TcpListener>,
}

impl Trouble {
    pub const ALL: [Self; 5] =
        [Self::Bulk, Self::Replacement, Self::Foundation, Self::Terminating, Self::Webhook];

    /// Returns the objects that the app has before it gets into trouble.
    pub fn before(self, name: &str) -> Vec<Value> {
        match self {
            Self::Replacement => vec![fixed(name, "1")],
            _ => vec![config_map(name, "first", "1")],
        }
    }

    /// Gets the app into trouble, and returns when it is.
    pub async fn begin(self, apart: &mut Apart) -> Result<Begun> {
        let (commit, mute) = match self {
            Self::Bulk => (bulk(apart, 1).await?, None),
            Self::Replacement => (replacement(apart).await?, None),
            Self::Foundation => (foundation(apart).await?, None),
            Self::Terminating => (terminating(apart).await?, None),
            Self::Webhook => {
                let (listener, port) = mute_server()?;
                (webhook(apart, port).await?, Some(listener))
            }
        };
        Ok(Begun { trouble: self, commit, times: 1, _mute: mute })
    }

    /// Returns the words by which `why` must name what blocks the app; none for
    /// an app that is only busy.
    pub fn words(self, name: &str) -> Vec<String> {
        let home = home(name);
        match self {
            Self::Bulk => Vec::new(),
            Self::Replacement => {
                let key = format!("ConfigMap {name}/fixed");
                vec![key, "its deletion does not end".to_owned(), FINALIZER.to_owned()]
            }
            Self::Foundation => vec![format!("registers.{GROUP}"), "is not ready".to_owned()],
            Self::Terminating => vec!["being terminated".to_owned()],
            Self::Webhook => vec![format!("ConfigMap {home}/map-"), "mute.example.com".to_owned()],
        }
    }
}

impl Begun {
    /// Begins a `Bulk` anew that is over, by this status. Anything else lasts.
    pub async fn keep_up(&mut self, apart: &mut Apart, status: &StatusDocument) -> Result<()> {
        if self.trouble != Trouble::Bulk {
            ensure!(apart.is_not_good_at(status, &self.commit), "it is over: {status:#?}");
            return Ok(());
        }
        let mut troubled = status.apps.iter().filter(|app| app.name == apart.troubled);
        if troubled.any(|app| !matches!(app.phase, PhaseName::Preflight | PhaseName::Applying)) {
            self.times += 1;
            self.commit = bulk(apart, self.times).await?;
        }
        Ok(())
    }

    /// Ends it. A `Bulk` ends by itself; a namespace that was `Terminating` is gone.
    pub async fn end(self, apart: &Apart) -> Result<()> {
        let scenario = &apart.scenario;
        let name = scenario.name();
        let release = json!({ "metadata": { "finalizers": null } });
        match self.trouble {
            Trouble::Bulk => Ok(()),
            Trouble::Replacement => scenario.meddle(&fixed(name, "1"), &release).await.map(drop),
            Trouble::Foundation => scenario.remove(&definition(GROUP, "Till")).await,
            Trouble::Terminating => scenario.meddle(&stuck(name), &release).await.map(drop),
            Trouble::Webhook => scenario.remove(&configuration(name, 0)).await,
        }
    }
}

/// Has every object of `Bulk` applied; the next time, too.
async fn bulk(apart: &mut Apart, times: usize) -> Result<String> {
    let name = apart.scenario.name();
    let every = thirds(name, BULK, 0).into_iter();
    let time = times.to_string();
    let mut objects: Vec<Value> =
        every.map(|object| annotated(object, "example.com/time", &time)).collect();
    objects.extend(Trouble::Bulk.before(name));
    let commit = apart.change(&objects)?;
    apart.wait_troubled(|app| app.phase == PhaseName::Applying).await?;
    Ok(commit)
}

async fn replacement(apart: &mut Apart) -> Result<String> {
    let name = apart.scenario.name().to_owned();
    let hold = json!({ "metadata": { "finalizers": [FINALIZER] } });
    apart.scenario.meddle(&fixed(&name, "1"), &hold).await?;
    let commit = apart.change(&[fixed(&name, "2")])?;
    let leaving = |live: &Value| live["metadata"].get("deletionTimestamp").is_some();
    apart.scenario.wait_live(&fixed(&name, "1"), leaving).await?;
    Ok(commit)
}

async fn foundation(apart: &mut Apart) -> Result<String> {
    let name = apart.scenario.name().to_owned();
    // Its kind is taken, so its names are never accepted.
    apart.scenario.api.apply(&definition(GROUP, "Till"), MEDDLER).await?;
    let mut second = definition(GROUP, "Till");
    second["metadata"]["name"] = json!(format!("registers.{GROUP}"));
    second["spec"]["names"]["plural"] = json!("registers");
    let first = config_map(&name, "first", "1");
    let commit = apart.change(&[second.clone(), first, held_up(&name)])?;
    apart.scenario.wait_live(&second, |_| true).await?;
    Ok(commit)
}

async fn terminating(apart: &mut Apart) -> Result<String> {
    let name = apart.scenario.name().to_owned();
    let home = home(&name);
    apart.scenario.api.apply(&namespace(&home), MEDDLER).await?;
    apart.scenario.api.apply(&stuck(&name), MEDDLER).await?;
    apart.scenario.remove(&namespace(&home)).await?;
    let commit = apart.change(&maps(&home, IN_TERMINATING))?;
    let blocked = |phase, message: &str| phase == PhaseName::Preflight && !message.is_empty();
    apart.wait_troubled(|app| blocked(app.phase, &app.message)).await?;
    Ok(commit)
}

async fn webhook(apart: &mut Apart, port: u16) -> Result<String> {
    let name = apart.scenario.name().to_owned();
    let home = home(&name);
    apart.scenario.api.apply(&namespace(&home), MEDDLER).await?;
    apart.scenario.api.apply(&configuration(&name, port), MEDDLER).await?;
    let commit = apart.change(&maps(&home, IN_WEBHOOK))?;
    apart.wait_troubled(|app| app.phase == PhaseName::Preflight).await?;
    Ok(commit)
}

/// What `Trouble::Foundation` holds up.
pub fn held_up(name: &str) -> Value {
    config_map(name, "late", "1")
}

/// A namespace for the objects in trouble alone.
fn home(name: &str) -> String {
    format!("{name}-home")
}

fn maps(namespace: &str, count: usize) -> Vec<Value> {
    (0..count).map(|index| config_map(namespace, &format!("map-{index}"), "1")).collect()
}

/// A ConfigMap whose change takes its deletion.
fn fixed(name: &str, value: &str) -> Value {
    let mut map = annotated(config_map(name, "fixed", value), "leeward.dev/replace", "true");
    map["immutable"] = json!(true);
    map
}

/// A ConfigMap that keeps its namespace from going.
fn stuck(name: &str) -> Value {
    let mut stuck = config_map(&home(name), "stuck", "1");
    stuck["metadata"]["finalizers"] = json!([FINALIZER]);
    stuck
}

fn configuration(name: &str, port: u16) -> Value {
    json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingWebhookConfiguration",
        "metadata": { "name": name },
        "webhooks": [{
            "name": "mute.example.com",
            "clientConfig": { "url": format!("https://127.0.0.1:{port}/") },
            "admissionReviewVersions": ["v1"],
            "sideEffects": "None",
            "failurePolicy": "Fail",
            "timeoutSeconds": 30,
            "namespaceSelector": { "matchLabels": { "kubernetes.io/metadata.name": home(name) } },
            "rules": [{ "apiGroups": [""], "apiVersions": ["v1"], "operations": ["*"],
                "resources": ["configmaps"] }],
        }],
    })
}

/// A port on which connections are taken and nothing is ever said.
fn mute_server() -> Result<(TcpListener, u16)> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).context("no port on loopback")?;
    let port = listener.local_addr()?.port();
    Ok((listener, port))
}
