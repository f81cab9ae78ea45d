//! `cargo demo`: from Git to a healthy cluster, and on without a link.
//!
//! Every claim is checked against the real API server, the bytes on the link
//! and the receiver, never against the agent's own word alone. Exit 0 only if
//! all of them held.

use std::{
    process::{Command, ExitCode},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use leeward_core::model::{LinkState, PhaseName, StatusDocument};
use leeward_tests::{
    agent::{Agent, AgentOptions},
    controlplane::{Api, ControlPlane, ControlPlaneOptions},
    faultproxy::{FaultProxy, Policy},
    fleet::{Change, FleetRepo},
    gitserver::{Filters, GitServer, GitServerOptions},
    installed,
    leash::ScratchDir,
    receiver::{Receiver, ReceiverOptions},
    scenario::objects::{GOOD_IMAGE, config_map, deployment, documents, namespace},
    seed::Seed,
};
use serde_json::json;

const SHOP: &str = "shop-0042";
const SOON: Duration = Duration::from_secs(60);
/// What the other clusters and the pictures of the repository weigh, in bytes.
const ELSEWHERE: usize = 4_000_000;

/// Prints the story and keeps its claims.
struct Story {
    started: Instant,
    claims: Vec<(String, bool, String)>,
}

impl Story {
    fn tell(&self, line: &str) {
        println!("{:6.1} s  {line}", self.started.elapsed().as_secs_f64());
    }

    fn claim(&mut self, claim: &str, held: bool, figure: String) {
        self.tell(&format!(
            "   {}: {claim} ({figure})",
            if held { "held" } else { "DID NOT HOLD" }
        ));
        self.claims.push((claim.to_owned(), held, figure));
    }
}

struct Parts {
    agent: Agent,
    api: Api,
    proxy: FaultProxy,
    repository: FleetRepo,
    receiver: Receiver,
    server: GitServer,
    _folder: ScratchDir,
    _plane: ControlPlane,
}

#[tokio::main]
async fn main() -> ExitCode {
    if std::env::args().any(|argument| argument == "--help" || argument == "-h") {
        println!(
            "cargo demo: the main job of Leeward on a throwaway control plane; ends by itself"
        );
        return ExitCode::SUCCESS;
    }
    // Fails only when there is one already, which is as good.
    let _installed = rustls::crypto::ring::default_provider().install_default();
    let mut story = Story { started: Instant::now(), claims: Vec::new() };
    let told = tell(&mut story).await;
    println!("\n{:<62} {:<14} figure", "claim", "");
    for (claim, held, figure) in &story.claims {
        println!("{claim:<62} {:<14} {figure}", if *held { "held" } else { "DID NOT HOLD" });
    }
    match told {
        Ok(()) if story.claims.iter().all(|(_, held, _)| *held) => ExitCode::SUCCESS,
        Ok(()) => ExitCode::FAILURE,
        Err(error) => {
            println!("the story ended early: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn tell(story: &mut Story) -> Result<()> {
    let mut parts = set_up(story).await?;
    first_sync(story, &mut parts).await?;
    foreign_commit(story, &mut parts).await?;
    drift(story, &mut parts).await?;
    bad_revision(story, &mut parts).await?;
    no_link(story, &mut parts).await?;
    link_returns(story, &mut parts).await?;
    let status = parts.agent.cli(&["status"]).await?;
    println!("\n{}", String::from_utf8_lossy(&status.stdout));
    parts.agent.stop(SOON).await?;
    Ok(())
}

fn web(image: &str) -> String {
    documents(&[namespace("shop"), deployment("shop", "web", image)])
}

async fn set_up(story: &Story) -> Result<Parts> {
    story.tell("A real control plane starts (the first time it is built, which takes minutes).");
    let plane = ControlPlane::start(ControlPlaneOptions::default()).await?;
    let api = plane.api().await?;
    let folder = ScratchDir::new("demo")?;
    let kubeconfig = installed::service_account(&plane, &api, folder.path()).await?;
    let repository = FleetRepo::create(folder.path(), "fleet")?;
    let apps = "apiVersion: leeward.dev/v1alpha1\nkind: Apps\napps:\n- name: db\n  path: db\n- name: shop\n  path: shop\n  dependsOn: [db]\n";
    let db = documents(&[
        namespace("db"),
        config_map("db", "settings", "1"),
        deployment("db", "db", GOOD_IMAGE),
    ]);
    repository.commit(
        "A fleet",
        &[
            Change::write(format!("clusters/{SHOP}/leeward.yaml"), apps),
            Change::write(format!("clusters/{SHOP}/db/db.yaml"), db),
            Change::write(format!("clusters/{SHOP}/shop/web.yaml"), web(GOOD_IMAGE)),
            Change::write("clusters/shop-0001/note.yaml", "another shop's\n"),
            Change::write("pictures/map.bin", Seed::new(7).bytes(ELSEWHERE)),
        ],
    )?;
    let server = GitServer::start(folder.path(), GitServerOptions::default())?;
    server.set_filters("fleet.git", Filters::All)?;
    let proxy = FaultProxy::start(server.port(), 1, Policy::default())?;
    let receiver = Receiver::start(ReceiverOptions::default())?;
    let url = server.url_through(proxy.port(), "fleet.git");
    let options = AgentOptions::new(SHOP, &kubeconfig, &url)
        .set("source.interval", "1s")
        .set("apply.timeout", "15s")
        .set("apply.soak", "1s")
        .set("report.url", receiver.url().as_str());
    let agent = Agent::prepare(options).await?;
    story.tell(
        "A fleet repository, a git server behind a link that can break, and a receiver are up.",
    );
    story.tell("The agent may do what the ServiceAccount of packaging/daemonset may, no more.");
    Ok(Parts { agent, api, proxy, repository, receiver, server, _folder: folder, _plane: plane })
}

fn all_good(status: &StatusDocument, commit: &str) -> bool {
    status.apps.len() == 2
        && status.apps.iter().all(|app| {
            app.phase == PhaseName::Good
                && app.good.as_ref().is_some_and(|good| good.commit.to_string() == commit)
        })
}

async fn available(api: &Api, namespace: &str, name: &str) -> Result<()> {
    let path = format!("/apis/apps/v1/namespaces/{namespace}/deployments/{name}");
    let ready = |live: Option<&serde_json::Value>| {
        live.is_some_and(|live| live["status"]["availableReplicas"].as_u64() == Some(1))
    };
    api.wait_until(&path, SOON, ready).await.map(drop)
}

async fn first_sync(story: &mut Story, parts: &mut Parts) -> Result<()> {
    story.tell("The agent starts, with nothing but its configuration.");
    let commit = parts.repository.head()?.context("the repository has a commit")?;
    let before = parts.proxy.counts();
    let since = Instant::now();
    parts.agent.start_again()?;
    parts.agent.wait_status(SOON, |status| all_good(status, &commit)).await?;
    let took = since.elapsed();
    let received = parts.proxy.counts().since(before).traffic.down;
    available(&parts.api, "db", "db").await?;
    available(&parts.api, "shop", "web").await?;
    story.claim("two apps, one after the other, are healthy and good", true, format!("{took:.1?}"));
    let clone = ScratchDir::new("demo-clone")?;
    let before = parts.proxy.counts();
    let url = parts.server.url_through(parts.proxy.port(), "fleet.git");
    let cloned = Command::new("git")
        .args(["clone", "--quiet", "--depth", "1", &url])
        .arg(clone.join("all"))
        .status()?;
    ensure!(cloned.success(), "git clone failed");
    let whole = parts.proxy.counts().since(before).traffic.down;
    story.claim(
        "it received its own subdirectory only",
        received < 20_000 && whole > ELSEWHERE as u64,
        format!("{received} bytes; git clone --depth 1: {whole}"),
    );
    Ok(())
}

async fn foreign_commit(story: &mut Story, parts: &mut Parts) -> Result<()> {
    story.tell("Somebody commits for another shop.");
    let path = "/apis/apps/v1/namespaces/shop/deployments/web";
    let version = |live: &Option<serde_json::Value>| {
        live.as_ref().map(|live| live["metadata"]["generation"].clone())
    };
    let live = parts.api.get(path).await?;
    let commit = parts.repository.write("clusters/shop-0001/note.yaml", "changed\n")?;
    parts.agent.wait_status(SOON, |status| all_good(status, &commit)).await?;
    let same = version(&live) == version(&parts.api.get(path).await?);
    story.claim(
        "a commit elsewhere changes nothing here",
        same,
        format!("commit {}", &commit[..7]),
    );
    Ok(())
}

async fn drift(story: &mut Story, parts: &mut Parts) -> Result<()> {
    story.tell("Somebody edits a ConfigMap by hand, and deletes a Deployment.");
    let map = "/api/v1/namespaces/db/configmaps/settings";
    let since = Instant::now();
    parts.api.merge(map, &json!({ "data": { "key": "by hand" } }), "somebody").await?;
    parts
        .api
        .wait_until(map, SOON, |live| live.is_some_and(|live| live["data"]["key"] == "1"))
        .await?;
    story.claim("an edited field is put right", true, format!("{:.0?}", since.elapsed()));
    let path = "/apis/apps/v1/namespaces/shop/deployments/web";
    let uid = parts.api.get(path).await?.context("web")?["metadata"]["uid"].clone();
    let since = Instant::now();
    parts.api.delete(path).await?;
    parts
        .api
        .wait_until(path, SOON, |live| live.is_some_and(|live| live["metadata"]["uid"] != uid))
        .await?;
    story.claim("a deleted Deployment is back", true, format!("{:.0?}", since.elapsed()));
    Ok(())
}

async fn bad_revision(story: &mut Story, parts: &mut Parts) -> Result<()> {
    story.tell("A commit arrives whose image crash-loops.");
    let bad = parts
        .repository
        .write(&format!("clusters/{SHOP}/shop/web.yaml"), &web("example/crash:1"))?;
    let since = Instant::now();
    parts
        .agent
        .wait_status(SOON, |status| {
            status.apps.iter().any(|app| {
                app.name == "shop"
                    && app.phase == PhaseName::Good
                    && app.bad.iter().any(|one| one.commit.to_string() == bad)
            })
        })
        .await?;
    let took = since.elapsed();
    let path = "/apis/apps/v1/namespaces/shop/deployments/web";
    let live = parts.api.get(path).await?.context("web")?;
    let image = live["spec"]["template"]["spec"]["containers"][0]["image"].clone();
    available(&parts.api, "shop", "web").await?;
    story.claim(
        "a bad revision is rolled back by itself",
        image == GOOD_IMAGE,
        format!("{took:.1?}"),
    );
    let why = parts.agent.cli(&["why"]).await?;
    let why = String::from_utf8_lossy(&why.stdout).into_owned();
    story.claim(
        "`leeward why` names it",
        why.contains(&bad[..7]),
        why.lines().next().unwrap_or("").to_owned(),
    );
    story.tell("`git revert`.");
    let revert = parts.repository.revert()?;
    let since = Instant::now();
    parts.agent.wait_status(SOON, |status| all_good(status, &revert)).await?;
    story.claim("`git revert` is taken at once", true, format!("{:.1?}", since.elapsed()));
    Ok(())
}

async fn no_link(story: &mut Story, parts: &mut Parts) -> Result<()> {
    story.tell("The link goes away.");
    parts.proxy.go_away().await;
    let status =
        parts.agent.wait_status(SOON, |status| status.link.state == LinkState::Down).await?;
    story.claim("the loss of the link is known, with evidence", true, status.link.evidence);
    story.tell("The power is cut (SIGKILL); meanwhile somebody deletes both Deployments.");
    parts.agent.kill();
    for path in [
        "/apis/apps/v1/namespaces/shop/deployments/web",
        "/apis/apps/v1/namespaces/db/deployments/db",
    ] {
        parts.api.delete(path).await?;
        parts.api.wait_until(path, SOON, |live| live.is_none()).await?;
    }
    let since = Instant::now();
    parts.agent.start_again()?;
    for path in [
        "/apis/apps/v1/namespaces/shop/deployments/web",
        "/apis/apps/v1/namespaces/db/deployments/db",
    ] {
        parts.api.wait_until(path, SOON, |live| live.is_some()).await?;
    }
    let took = since.elapsed();
    story.claim(
        "started with no network, the workloads are back",
        took < SOON,
        format!("{took:.1?}"),
    );
    Ok(())
}

async fn link_returns(story: &mut Story, parts: &mut Parts) -> Result<()> {
    story.tell("A commit is made meanwhile; then the link returns.");
    let path = format!("clusters/{SHOP}/db/more.yaml");
    let commit = parts.repository.write(&path, &documents(&[config_map("db", "more", "1")]))?;
    parts.proxy.come_back().await?;
    let since = Instant::now();
    parts.agent.wait_status(SOON, |status| all_good(status, &commit)).await?;
    let live = parts.api.get("/api/v1/namespaces/db/configmaps/more").await?;
    story.claim("the newest commit runs", live.is_some(), format!("{:.1?}", since.elapsed()));
    let drained = parts.agent.wait_status(SOON, |status| status.outbox.pending == 0).await;
    let events = parts.receiver.events();
    let violations = parts.receiver.violations();
    let kinds: std::collections::BTreeSet<String> =
        events.iter().map(|event| event.kind.clone()).collect();
    let expected = ["app.good", "app.failed", "app.rolledback", "drift.healed", "link.changed"];
    let complete = expected.iter().all(|name| kinds.iter().any(|kind| kind.contains(name)));
    story.claim(
        "every report arrived, in order, each once",
        drained.is_ok() && complete && violations.is_empty(),
        format!("{} events of {} kinds", events.len(), kinds.len()),
    );
    Ok(())
}
