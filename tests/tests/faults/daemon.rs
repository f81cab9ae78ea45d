//! The process itself: how it starts, ends, reads its configuration, and says
//! that it lives.

use std::time::{Duration, Instant};

use leeward_core::model::{LinkState, LinkStep, PhaseName, StatusDocument};
use leeward_tests::{
    agent::{Agent, AgentOptions},
    faultproxy::{FaultProxy, Policy},
    scenario::{SOON, Scenario, objects::documents},
    weather::{ServiceManager, blocked_by, say},
};

use super::{Calm, objects};

/// What an HTTP endpoint of the agent answers.
async fn ask(agent: &Agent, path: &str) -> (u16, String) {
    let answer = reqwest::get(format!("{}{path}", agent.http_url())).await.unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

#[tokio::test]
async fn unknown_key_ends_the_start_with_its_line_and_the_nearest_known_one() {
    let options = AgentOptions::new("edge", "/nowhere".as_ref(), "http://127.0.0.1:1/fleet.git");
    let agent = Agent::prepare(options.set("source.intervall", "5s")).await.unwrap();
    let output = agent.cli(&["run"]).await.unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(78), "{said}");
    for word in ["agent.toml:", "source.intervall", "source.interval`"] {
        assert!(said.contains(word), "{said}");
    }
}

/// A minimal image, or a board before its first package.
#[tokio::test]
async fn machine_without_certificate_authorities_starts_and_says_what_to_install() {
    let folder = leeward_tests::leash::ScratchDir::new("faults-authorities").unwrap();
    let kubeconfig = folder.join("kubeconfig");
    std::fs::write(&kubeconfig, KUBECONFIG_WITHOUT_AUTHORITY).unwrap();
    // Nobody listens there; but it does not come to that.
    let options = AgentOptions::new("edge", &kubeconfig, "https://127.0.0.1:1/fleet.git")
        .env("SSL_CERT_FILE", "/nonexistent")
        .env("SSL_CERT_DIR", "/nonexistent");
    let mut agent = Agent::start(options).await.unwrap();
    let down = |status: &StatusDocument| status.link.state == LinkState::Down;
    let status = agent.wait_status(SOON, down).await.unwrap();
    assert_eq!(status.link.failed_step, Some(LinkStep::Tls), "{}", status.link.evidence);
    let link = status.why.iter().find(|one| one.blocker == "link").unwrap();
    assert!(link.hint.contains("`ca-certificates`"), "{link:?}");
    assert!(link.hint.contains("`source.ca_file`"), "{link:?}");
    // Nothing else in this test speaks TLS, or would need to.
    drop(rustls::crypto::ring::default_provider().install_default());
    assert_eq!(ask(&agent, "/healthz").await.0, 200);
    let probe = agent.cli(&["check"]).await.unwrap();
    let said = String::from_utf8_lossy(&probe.stdout).into_owned();
    assert!(said.contains("set `certificate-authority` in the kubeconfig"), "{said}");
}

const KUBECONFIG_WITHOUT_AUTHORITY: &str = "\
apiVersion: v1
kind: Config
current-context: here
contexts: [{ name: here, context: { cluster: here, user: me } }]
clusters: [{ name: here, cluster: { server: 'https://127.0.0.1:1' } }]
users: [{ name: me, user: { token: none } }]
";

#[tokio::test]
async fn sigterm_drains_and_the_next_start_knows_it() {
    let Some(mut calm) = Calm::start("faults-term").await else { return };
    let status = calm.scenario.agent.stop(SOON).await.unwrap();
    assert_eq!(status.code(), Some(0));
    calm.is_untouched().await;
    // In the middle of a change as well.
    for round in 0..5_u32 {
        calm.scenario.agent.start_again().unwrap();
        let name = calm.scenario.name();
        let note = leeward_tests::scenario::objects::config_map(name, "n", &round.to_string());
        calm.commit = calm.scenario.commit(&[("n.yaml", documents(&[note]))]).unwrap();
        tokio::time::sleep(Duration::from_millis(u64::from(round) * 60)).await;
        let status = calm.scenario.agent.stop(SOON).await.unwrap();
        assert_eq!(status.code(), Some(0), "{}", calm.scenario.agent.log_end());
    }
    calm.scenario.agent.start_again().unwrap();
    let commit = calm.commit.clone();
    calm.scenario.good_at(&commit).await.unwrap();
    calm.is_untouched().await;
}

#[tokio::test]
async fn sighup_reads_the_configuration_again_and_a_broken_one_changes_nothing() {
    let Some(mut calm) = Calm::start("faults-hup").await else { return };
    let pid = calm.scenario.agent.process().unwrap().pid();
    let proxy = FaultProxy::start(calm.scenario.server.port(), 1, Policy::default()).unwrap();
    let url = calm.scenario.server.url_through(proxy.port(), "fleet.git");
    let new = url.clone();
    calm.scenario.agent.configure(|options| options.set("source.url", new)).unwrap();
    calm.scenario.agent.reload().unwrap();
    calm.scenario
        .wait(|status| status.source.url == url && status.link.state == LinkState::Up)
        .await
        .unwrap();
    calm.is_untouched().await;

    calm.scenario.agent.configure(|options| options.set("source.brunch", "main")).unwrap();
    calm.scenario.agent.reload().unwrap();
    let started = Instant::now();
    while !calm.scenario.agent.log().unwrap().contains("The new configuration is refused") {
        assert!(started.elapsed() < SOON, "{}", calm.scenario.agent.log_end());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(calm.scenario.agent.log().unwrap().contains("source.brunch"));
    // The commands read the same broken file, so it is mended first.
    calm.scenario.agent.configure(|options| options.unset("source", "brunch")).unwrap();
    calm.goes_on().await;
    assert_eq!(calm.scenario.agent.process().unwrap().pid(), pid);
    calm.is_untouched().await;
}

#[tokio::test]
async fn probes_and_metrics_answer_whatever_the_link_is_like() {
    let Some(mut calm) = Calm::start("faults-http").await else { return };
    for path in ["/healthz", "/readyz"] {
        assert_eq!(ask(&calm.scenario.agent, path).await, (200, "ok\n".to_owned()));
    }
    let (code, metrics) = ask(&calm.scenario.agent, "/metrics").await;
    assert_eq!(code, 200);
    let owned = objects("faults-http").len();
    for line in [
        "leeward_app_phase{app=\"faults-http\",phase=\"good\"} 1",
        "leeward_app_healthy{app=\"faults-http\"} 1",
        &format!("leeward_app_objects{{app=\"faults-http\"}} {owned}\n"),
        "leeward_link_up 1",
        "leeward_fetch_bytes_total{direction=\"received\"} ",
        "leeward_store_written_bytes_total ",
        "leeward_reconcile_seconds_count ",
        "leeward_watchdog_age_seconds ",
        "leeward_outbox_pending ",
        "leeward_build_info{",
        "# EOF",
    ] {
        assert!(metrics.contains(line), "no {line} in\n{metrics}");
    }
    assert!(!metrics.contains("leeward_reconcile_seconds_count 0\n"), "no round was measured");
    calm.scenario.server.stop().await;
    calm.scenario.wait(|status| status.link.state == LinkState::Down).await.unwrap();
    calm.heals().await;
    calm.scenario.wait(|status| status.apps[0].drift.healed == 1).await.unwrap();
    for path in ["/healthz", "/readyz"] {
        assert_eq!(ask(&calm.scenario.agent, path).await.0, 200);
    }
    let (_, metrics) = ask(&calm.scenario.agent, "/metrics").await;
    for line in ["leeward_link_up 0", "leeward_drift_healed_total{app=\"faults-http\"} 1"] {
        assert!(metrics.contains(line), "no {line} in\n{metrics}");
    }
    blocked_by(&calm.scenario, &["link", "cannot connect"]).await.unwrap();
    let status = calm.scenario.agent.status().await.unwrap();
    assert_eq!(status.apps[0].phase, PhaseName::Good);
}

#[tokio::test]
async fn service_manager_hears_of_ready_of_every_sign_of_life_and_of_the_end() {
    let name = "faults-notify";
    let folder = leeward_tests::leash::ScratchDir::new(name).unwrap();
    let socket = folder.join("notify");
    let mut manager = ServiceManager::listen(&socket).unwrap();
    let path = socket.display().to_string();
    let files = [("calm.yaml", documents(&objects(name)))];
    let started = Scenario::start(name, &files, |options| {
        // A sign of life is due every third of the watchdog's patience.
        options.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "4500000")
    });
    let Some(scenario) = started.await.unwrap() else { return };
    manager.wait_for("READY=1").await.unwrap();
    let mut calm = Calm::reach(scenario).await;
    manager.wait_for("STATUS=1 of 1 apps good, link up").await.unwrap();
    let started = Instant::now();
    for _ in 0..3 {
        manager.wait_for("WATCHDOG=1").await.unwrap();
    }
    say(&format!("three signs of life in {:?}, at rest", started.elapsed()));
    calm.scenario.agent.reload().unwrap();
    manager.wait_for("RELOADING=1").await.unwrap();
    manager.wait_for("READY=1").await.unwrap();
    assert_eq!(calm.scenario.agent.stop(SOON).await.unwrap().code(), Some(0));
    manager.wait_for("STOPPING=1").await.unwrap();
}
