//! Revisions that go bad: last good again, nothing else touched, not tried twice.

use std::time::{Duration, Instant};

use leeward_core::model::{AppStatus, GitId, PhaseName};
use leeward_tests::scenario::{
    Scenario, is_good_at,
    objects::{
        GOOD_IMAGE, config_map, deployment, documents, image, is_rolled_out, service, text, uid,
    },
};
use serde_json::{Value, json};

const TIMEOUT: Duration = Duration::from_secs(10);
/// What the project promises beyond `timeout`.
const GRACE: Duration = Duration::from_secs(10);

/// Two apps, of which the first has a Deployment `web`.
#[expect(clippy::struct_field_names, reason = "the app is called shop")]
struct Shop {
    scenario: Scenario,
    shop: String,
    others: Vec<Value>,
    web: Value,
}

impl Shop {
    async fn start(name: &str, soak: &str) -> Option<Self> {
        let (shop, other) = (format!("{name}-shop"), format!("{name}-other"));
        let web = deployment(name, "web", GOOD_IMAGE);
        let others = vec![config_map(name, "other", "1"), service(name, "other", 80)];
        let apps = format!(
            "apiVersion: leeward.dev/v1alpha1\nkind: Apps\napps:\n- name: {shop}\n  path: shop\n  \
             soak: {soak}\n- name: {other}\n  path: other\n"
        );
        let files = [
            ("leeward.yaml", apps),
            ("shop/web.yaml", documents(&[web.clone(), config_map(name, "shop", "1")])),
            ("other/all.yaml", documents(&others)),
        ];
        let mut scenario = Scenario::start(name, &files, |options| options).await.unwrap()?;
        let commit = scenario.repository.head().unwrap().unwrap();
        scenario.good_at(&commit).await.unwrap();
        Some(Self { scenario, shop, others, web })
    }

    fn commit(&self, web: &Value, value: &str) -> String {
        let name = self.scenario.name();
        let file = documents(&[web.clone(), config_map(name, "shop", value)]);
        self.scenario.commit(&[("shop/web.yaml", file)]).unwrap()
    }

    fn with_image(&self, image: &str) -> Value {
        deployment(self.scenario.name(), "web", image)
    }

    /// Waits until a bad commit is remembered as such and what was good runs again.
    async fn back_from(&mut self, bad: &str) -> AppStatus {
        let app = self
            .scenario
            .wait_app(&self.shop.clone(), |app| {
                app.phase == PhaseName::Good
                    && app.bad.iter().any(|one| one.commit.to_string() == bad)
            })
            .await
            .unwrap();
        self.scenario
            .wait_live(&self.web, |live| image(live) == GOOD_IMAGE && is_rolled_out(live))
            .await
            .unwrap();
        app
    }

    /// Kills the agent and starts it on the bad commit; it must leave it alone.
    /// Then Git goes back, and goes on.
    async fn is_not_retried_but_followed(&mut self, bad: &str) {
        let before = self.scenario.live(&self.web).await.unwrap().unwrap();
        self.scenario.agent.kill();
        self.scenario.agent.start_again().unwrap();
        let foreign = self.scenario.foreign_commit("while the bad one is the newest").unwrap();
        let status = self
            .scenario
            .wait(|status| {
                status.agent.boot == 2
                    && status.source.commit.is_some_and(|commit| commit.to_string() == foreign)
            })
            .await
            .unwrap();
        let app = status.apps.iter().find(|app| app.name == self.shop).unwrap();
        assert_eq!((app.phase, app.candidate.as_ref()), (PhaseName::Good, None));
        let (history, _) = self.scenario.ask(&["history", &self.shop]).await.unwrap();
        let tries = history.as_array().unwrap().iter().filter(|one| one["verdict"] == "bad");
        assert_eq!(tries.count(), 1, "{history:#}");
        let after = self.scenario.live(&self.web).await.unwrap().unwrap();
        assert_eq!(before["metadata"]["generation"], after["metadata"]["generation"]);
        let (why, _) = self.scenario.ask(&["why"]).await.unwrap();
        assert!(text(&why, "/0/evidence").contains(bad), "{why:#}");

        // The newest commit is a foreign one, so the one before the bad one is two back.
        let started = Instant::now();
        let reverted =
            self.scenario.repository.commit_content_of("main~2", "Revert the bad one").unwrap();
        let shop = self.shop.clone();
        self.scenario.wait_app(&shop, |app| is_good_at(app, &reverted)).await.unwrap();
        let revert_took = started.elapsed();
        assert_eq!(self.scenario.ask(&["why"]).await.unwrap().0, json!([]));

        let started = Instant::now();
        let next = self.commit(&self.with_image("app:2"), "next");
        self.scenario.wait_app(&shop, |app| is_good_at(app, &next)).await.unwrap();
        let live = self.scenario.live(&self.web).await.unwrap().unwrap();
        assert_eq!(image(&live), "app:2");
        println!(
            "{}: revert taken after {revert_took:?}, next commit good after {:?}",
            self.scenario.name(),
            started.elapsed()
        );
    }
}

/// A revision whose pods never come up is left, with the link gone meanwhile.
async fn pods_that_never_come_up(name: &str, bad_image: &str, evidence: &str) {
    let Some(mut shop) = Shop::start(name, "1s").await else { return };
    let others = shop.scenario.versions(&shop.others).await.unwrap();
    let started = Instant::now();
    let bad = shop.commit(&shop.with_image(bad_image), "2");
    // Fetched; by now it may be gone again, which takes no 200 ms.
    let fetched = |commit: GitId| commit.to_string() == bad;
    shop.scenario.wait(|status| status.source.commit.is_some_and(fetched)).await.unwrap();
    shop.scenario.server.stop().await;
    let back = shop.back_from(&bad).await;
    let took = started.elapsed();
    println!("{name}: last good again after {took:?}, without a link");
    assert!(took < TIMEOUT + GRACE, "{took:?}");
    assert!(back.bad[0].reason.contains(evidence), "{}", back.bad[0].reason);
    assert!(back.bad[0].reason.contains("web"), "{}", back.bad[0].reason);
    let config = config_map(name, "shop", "1");
    assert_eq!(shop.scenario.live(&config).await.unwrap().unwrap()["data"]["key"], "1");
    assert_eq!(shop.scenario.versions(&shop.others).await.unwrap(), others);
    shop.scenario.server.start_again().await.unwrap();
    shop.is_not_retried_but_followed(&bad).await;
    assert_eq!(shop.scenario.versions(&shop.others).await.unwrap(), others);
}

#[tokio::test]
async fn deployment_that_crash_loops_is_rolled_back() {
    pods_that_never_come_up("bad-crash", "crash:1", "crashes again and again").await;
}

#[tokio::test]
async fn deployment_whose_image_is_missing_is_rolled_back() {
    pods_that_never_come_up("bad-missing", "missing:1", "ImagePullBackOff").await;
}

#[tokio::test]
async fn app_that_breaks_while_it_soaks_is_rolled_back() {
    let Some(mut shop) = Shop::start("bad-soak", "6s").await else { return };
    let others = shop.scenario.versions(&shop.others).await.unwrap();
    let started = Instant::now();
    let bad = shop.commit(&shop.with_image("crash3:1"), "2");
    let app = shop.shop.clone();
    // It is healthy at first.
    shop.scenario
        .wait_app(&app, |app| {
            app.phase == PhaseName::Probation
                && app.health == leeward_core::model::HealthName::Healthy
        })
        .await
        .unwrap();
    let back = shop.back_from(&bad).await;
    println!("bad-soak: last good again after {:?}", started.elapsed());
    assert!(back.bad[0].reason.contains("crashes again and again"), "{}", back.bad[0].reason);
    assert_eq!(shop.scenario.versions(&shop.others).await.unwrap(), others);
    shop.is_not_retried_but_followed(&bad).await;
}

#[tokio::test]
async fn one_refused_object_keeps_the_whole_revision_out() {
    let name = "bad-refused";
    let Some(mut shop) = Shop::start(name, "1s").await else { return };
    let others = shop.scenario.versions(&shop.others).await.unwrap();
    let before = shop.scenario.live(&shop.web).await.unwrap().unwrap();
    let started = Instant::now();
    let mut map = config_map(name, "map", "1");
    map["data"]["not/a/key"] = json!("1");
    let file = documents(&[shop.with_image("app:2"), service(name, "web", 99_999), map]);
    let bad = shop.scenario.commit(&[("shop/web.yaml", file)]).unwrap();
    let back = shop.back_from(&bad).await;
    println!("{name}: refused after {:?}", started.elapsed());
    // Every fault at once, with object, file and line.
    let (why, _) = shop.scenario.ask(&["why"]).await.unwrap();
    let evidence = why.to_string();
    for part in [
        "shop/web.yaml:",
        "Service bad-refused/web",
        "99999",
        "ConfigMap bad-refused/map",
        "not/a/key",
    ] {
        assert!(evidence.contains(part), "no {part}: {why:#}");
    }
    assert!(back.bad[0].reason.contains("(and 1 more)"), "{}", back.bad[0].reason);
    let after = shop.scenario.live(&shop.web).await.unwrap().unwrap();
    assert_eq!(
        (uid(&before), &before["metadata"]["generation"]),
        (uid(&after), &after["metadata"]["generation"])
    );
    assert_eq!(shop.scenario.versions(&shop.others).await.unwrap(), others);
    shop.is_not_retried_but_followed(&bad).await;
}

#[tokio::test]
async fn first_revision_that_is_bad_leaves_nothing_to_go_back_to_and_the_next_one_is_taken() {
    let name = "bad-first";
    let files = [("web.yaml", documents(&[deployment(name, "web", "crash:1")]))];
    let Some(mut scenario) = Scenario::start(name, &files, |options| options).await.unwrap() else {
        return;
    };
    let app = scenario.wait_app(name, |app| app.phase == PhaseName::Failed).await.unwrap();
    assert_eq!((app.good, app.bad.len()), (None, 1));
    let next =
        scenario.commit(&[("web.yaml", documents(&[deployment(name, "web", "app:1")]))]).unwrap();
    let status = scenario.good_at(&next).await.unwrap();
    assert_eq!(status.why, []);
}

#[tokio::test]
async fn workload_that_crashed_before_a_revision_gets_the_time_to_be_cured_by_it() {
    let name = "bad-inherited";
    let web = documents(&[deployment(name, "web", "crash:1")]);
    let files = [("web.yaml", web)];
    let Some(mut scenario) = Scenario::start(name, &files, |options| options).await.unwrap() else {
        return;
    };
    scenario.wait_app(name, |app| app.phase == PhaseName::Failed).await.unwrap();
    let cure = documents(&[config_map(name, "web", "cured")]);
    let commit = scenario.commit(&[("config.yaml", cure)]).unwrap();
    let is_bad = |app: &AppStatus| app.bad.iter().any(|bad| bad.commit.to_string() == commit);
    let app = scenario.wait_app(name, is_bad).await.unwrap();
    let reason = &app.bad.iter().find(|bad| bad.commit.to_string() == commit).unwrap().reason;
    // It never is, here; but that was not held against it at once.
    assert!(reason.contains("not healthy within"), "{reason}");
}
