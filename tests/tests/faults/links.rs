//! What is at the other end of the link, or is not.

use std::fs;

use hyper::StatusCode;
use leeward_core::model::{LinkState, LinkStep};
use leeward_tests::{
    gitserver::{Access, GitServer, GitServerOptions},
    receiver::{Receiver, ReceiverOptions},
    scenario::{MEDDLER, Scenario, objects::namespace},
    tls::{Authority, Certificate, TlsOptions},
    weather::{blocked_by, say, unblocked},
};

use super::{Calm, objects};
use leeward_tests::scenario::objects::documents;

/// Waits until the link is down at this step.
async fn down_at(calm: &mut Calm, step: LinkStep, words: &[&str]) {
    calm.scenario
        .wait(|status| {
            status.link.state == LinkState::Down && status.link.failed_step == Some(step)
        })
        .await
        .unwrap();
    let blocker = blocked_by(&calm.scenario, &[&["link"], words].concat()).await.unwrap();
    say(&format!("{step:?}: {}", blocker["evidence"].as_str().unwrap()));
    calm.is_untouched().await;
    calm.heals().await;
}

/// The waits between polls grow while the link is down; a person is in a hurry.
async fn sync(calm: &Calm) {
    calm.scenario.tell(&["sync"]).await.unwrap();
}

#[tokio::test]
async fn git_server_that_is_gone_or_out_of_order_is_named() {
    let Some(mut calm) = Calm::start("faults-git").await else { return };
    let address = format!("127.0.0.1:{}", calm.scenario.server.port());
    calm.scenario.server.stop().await;
    down_at(&mut calm, LinkStep::Connect, &["cannot connect", &address]).await;
    calm.scenario.server.start_again().await.unwrap();
    sync(&calm).await;
    calm.goes_on().await;

    calm.scenario.server.set_outage(Some(StatusCode::INTERNAL_SERVER_ERROR));
    down_at(&mut calm, LinkStep::Http, &["HTTP 500", "fleet.git"]).await;
    calm.scenario.server.set_outage(None);
    sync(&calm).await;
    calm.goes_on().await;

    let repository = calm.scenario.repository.path().to_owned();
    let away = repository.with_extension("away");
    fs::rename(&repository, &away).unwrap();
    down_at(&mut calm, LinkStep::Http, &["HTTP 404", "source.url"]).await;
    fs::rename(&away, &repository).unwrap();
    sync(&calm).await;
    calm.goes_on().await;

    calm.scenario.repository.git(&["branch", "-m", "main", "trunk"]).unwrap();
    down_at(&mut calm, LinkStep::Ref, &["main"]).await;
    calm.scenario.repository.git(&["branch", "-m", "trunk", "main"]).unwrap();
    sync(&calm).await;
    calm.goes_on().await;
}

#[tokio::test]
async fn refused_credentials_are_named_by_their_file() {
    let name = "faults-auth";
    let files = [("calm.yaml", documents(&objects(name)))];
    let prepared = Scenario::prepare(name, &files, |options| options).await.unwrap();
    let Some(mut scenario) = prepared else { return };
    scenario.api.apply(&namespace(name), MEDDLER).await.unwrap();
    let access = Access::Basic { username: "edge".into(), password: "correct horse".into() };
    scenario.server.set_access(access);
    scenario.agent.start_again().unwrap();
    blocked_by(&scenario, &["auth", "401", "source.password_file"]).await.unwrap();

    let file = scenario.agent.folder().join("git-password");
    fs::write(&file, "battery staple\n").unwrap();
    let named = file.display().to_string();
    let path = named.clone();
    scenario
        .agent
        .configure(|options| {
            options.set("source.username", "edge").set("source.password_file", path)
        })
        .unwrap();
    scenario.agent.reload().unwrap();
    blocked_by(&scenario, &["auth", "401", &named]).await.unwrap();
    let why = scenario.tell(&["why"]).await.unwrap();
    assert!(!why.contains("battery"), "{why}");
    assert!(!scenario.agent.log().unwrap().contains("battery"));

    // The file is read again without being told.
    fs::write(&file, "correct horse\n").unwrap();
    scenario.tell(&["sync"]).await.unwrap();
    let mut calm = Calm::reach(scenario).await;
    unblocked(&calm.scenario).await.unwrap();

    calm.scenario.server.set_access(Access::Bearer { token: "of another kind".into() });
    down_at(&mut calm, LinkStep::Auth, &["401", &named]).await;
}

#[tokio::test]
async fn certificates_that_are_wrong_are_told_from_a_clock_that_is() {
    let name = "faults-tls";
    let files = [("calm.yaml", documents(&objects(name)))];
    let prepared = Scenario::prepare(name, &files, |options| options).await.unwrap();
    let Some(mut scenario) = prepared else { return };
    scenario.api.apply(&namespace(name), MEDDLER).await.unwrap();
    let options =
        GitServerOptions { tls: Some(TlsOptions::default()), ..GitServerOptions::default() };
    let root = scenario.repository.path().parent().unwrap().to_owned();
    scenario.server = GitServer::start(root, options).unwrap();
    let ca = scenario.agent.folder().join("ca.pem");
    let (url, path) = (scenario.server.url("fleet.git"), ca.display().to_string());
    scenario.agent.configure(|options| options.set("source.url", url)).unwrap();
    scenario.agent.start_again().unwrap();
    blocked_by(&scenario, &["tls", "UnknownIssuer", "source.ca_file"]).await.unwrap();
    // Another authority, of the same name as the right one.
    fs::write(&ca, Authority::new().unwrap().pem()).unwrap();
    scenario.agent.configure(|options| options.set("source.ca_file", path)).unwrap();
    scenario.agent.reload().unwrap();
    blocked_by(&scenario, &["tls", "BadSignature", "source.ca_file"]).await.unwrap();

    fs::write(&ca, scenario.server.authority().pem()).unwrap();
    scenario.agent.reload().unwrap();
    let mut calm = Calm::reach(scenario).await;

    for (certificate, step, words) in [
        (Certificate::Expired, LinkStep::Clock, ["expired", "clock"]),
        (Certificate::NotYetValid, LinkStep::Clock, ["not valid yet", "clock"]),
        (Certificate::WrongHost, LinkStep::Tls, ["127.0.0.1", "source.url"]),
    ] {
        let server = &calm.scenario.server;
        server.set_tls(TlsOptions { certificate, ..TlsOptions::default() }).unwrap();
        // Connections that were made before are not asked for a certificate again.
        server.stop().await;
        server.start_again().await.unwrap();
        sync(&calm).await;
        down_at(&mut calm, step, &words).await;
    }
    calm.scenario.server.set_tls(TlsOptions::default()).unwrap();
    sync(&calm).await;
    calm.goes_on().await;
}

#[tokio::test]
async fn receiver_that_is_gone_is_named_and_holds_nothing_up() {
    let receiver = Receiver::start(ReceiverOptions::default()).unwrap();
    let name = "faults-receiver";
    let files = [("calm.yaml", documents(&objects(name)))];
    let url = receiver.url();
    let started = Scenario::start(name, &files, |options| options.set("report.url", url)).await;
    let Some(scenario) = started.unwrap() else { return };
    let mut calm = Calm::reach(scenario).await;
    calm.scenario.wait(|status| status.outbox.pending == 0).await.unwrap();
    receiver.stop().await;

    calm.heals().await;
    let address = format!("127.0.0.1:{}", receiver.port());
    let blocker = blocked_by(&calm.scenario, &["report", &address]).await.unwrap();
    say(blocker["evidence"].as_str().unwrap());
    let status = calm.scenario.agent.status().await.unwrap();
    assert!(status.outbox.pending > 0 && status.link.state == LinkState::Up, "{status:#?}");

    receiver.start_again().await.unwrap();
    calm.goes_on().await;
    calm.scenario.wait(|status| status.outbox.pending == 0).await.unwrap();
    assert_eq!(receiver.violations(), Vec::<String>::new());
}
