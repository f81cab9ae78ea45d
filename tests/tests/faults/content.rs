//! What somebody committed.

use leeward_tests::{
    fleet::Change,
    scenario::{
        Scenario,
        objects::{config_map, documents, service},
    },
    weather::{blocked_by, say, unblocked},
};
use serde_json::json;

use super::Calm;

const LARGE: usize = 50 * 1024 * 1024;

/// A commit that cannot be followed, and what `why` must say of it.
struct Mistake {
    what: &'static str,
    changes: Vec<Change>,
    words: Vec<&'static str>,
}

impl Mistake {
    fn new(what: &'static str, changes: Vec<Change>, words: &[&'static str]) -> Self {
        Self { what, changes, words: words.to_vec() }
    }

    fn file(what: &'static str, path: String, content: &str, words: &[&'static str]) -> Self {
        Self::new(what, vec![Change::write(path, content)], words)
    }
}

fn mistakes(name: &str) -> Vec<Mistake> {
    let below = |path: &str| format!("clusters/{name}/{path}");
    let namespaced = |kind: &str, version: &str, object: &str, namespace: &str| {
        json!({ "apiVersion": version, "kind": kind,
                "metadata": { "name": object, "namespace": namespace } })
    };
    let map = documents(&[config_map(name, "both", "1")]);
    let mut port = service(name, "tall", 80);
    port["spec"]["ports"][0]["port"] = json!(70_000);
    let gizmo = documents(&[namespaced("Gizmo", "example.com/v1", "spinning", name)]);
    let lost = documents(&[namespaced("ConfigMap", "v1", "lost", "nowhere-to-be-found")]);
    vec![
        Mistake::new(
            "empty folder",
            vec![
                Change::delete(below("calm.yaml")),
                Change::write(below("README.md"), "moved elsewhere\n"),
            ],
            &["prune_guard", "Git declares nothing any more", "leeward approve"],
        ),
        Mistake::new(
            "vanished path",
            vec![
                Change::delete(format!("clusters/{name}")),
                Change::write("clusters/README.md", "nothing here\n"),
            ],
            &["path", "clusters/faults-content"],
        ),
        Mistake::file(
            "unreadable YAML",
            below("broken.yaml"),
            "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: \"open\n",
            &["bad_revision", "broken.yaml:4:9", "quote"],
        ),
        Mistake::file(
            "duplicate keys",
            below("twice.yaml"),
            "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: a\n  name: b\n",
            &["bad_revision", "twice.yaml:5:3", "duplicate key", "name"],
        ),
        Mistake::new(
            "two files defining one object",
            vec![
                Change::write(below("left.yaml"), map.clone()),
                Change::write(below("right.yaml"), map),
            ],
            &["bad_revision", "ConfigMap", "both", "declared twice", "left.yaml", "right.yaml"],
        ),
        Mistake::file(
            "one invalid object",
            below("tall.yaml"),
            &documents(&[port, config_map(name, "fine", "1")]),
            &["bad_revision", "Service", "tall", "tall.yaml", "port", "70000"],
        ),
        Mistake::file(
            "kind unknown to the API server",
            below("gizmo.yaml"),
            &gizmo,
            &["Gizmo.example.com", "gizmo.yaml", "does not know the kind"],
        ),
        Mistake::file(
            "namespace that is not there",
            below("lost.yaml"),
            &lost,
            &["nowhere-to-be-found", "lost"],
        ),
        Mistake::file(
            "large file",
            below("large.yaml"),
            &format!("# {}\n", "x".repeat(LARGE)),
            &["bad_revision", "large.yaml", "32 MiB"],
        ),
        Mistake::file(
            "kustomization",
            below("base/kustomization.yaml"),
            "resources: [x.yaml]\n",
            &["bad_revision", "base/kustomization.yaml:1:13", "no such file", "base/x.yaml"],
        ),
        Mistake::file(
            "list of apps with a mistake",
            below("leeward.yaml"),
            "apiVersion: leeward.dev/v1alpha1\nkind: Apps\napps:\n- name: x\n  pth: .\n",
            &["source", "leeward.yaml:5:3", "pth"],
        ),
    ]
}

#[tokio::test]
async fn mistakes_in_git_are_named_and_what_was_good_stays() {
    let name = "faults-content";
    let Some(mut calm) = Calm::start(name).await else { return };
    for Mistake { what, changes, words } in mistakes(name) {
        let bad = calm.scenario.repository.commit(what, &changes).unwrap();
        let blocker = blocked_by(&calm.scenario, &words).await.unwrap();
        say(&format!("{what}: {}", blocker["evidence"].as_str().unwrap()));
        calm.is_untouched().await;
        calm.heals().await;
        let reverted = calm.scenario.repository.revert().unwrap();
        calm.scenario.good_at(&reverted).await.unwrap();
        unblocked(&calm.scenario).await.unwrap();
        calm.is_untouched().await;
        assert_ne!(bad, reverted);
    }
}

#[tokio::test]
async fn forced_push_is_followed() {
    let name = "faults-forced";
    let Some(mut calm) = Calm::start(name).await else { return };
    let first = calm.commit.clone();
    let more = config_map(name, "more", "1");
    let second = calm.scenario.commit(&[("more.yaml", documents(&[more.clone()]))]).unwrap();
    calm.scenario.good_at(&second).await.unwrap();

    calm.scenario.repository.force_to(&first).unwrap();
    calm.scenario.good_at(&first).await.unwrap();
    calm.scenario.wait_gone(&more).await.unwrap();
    calm.is_untouched().await;
    // Onto a commit that has nothing to do with what was there before.
    calm.goes_on().await;
}

/// Many things at once are all told, and none of them hides another.
#[tokio::test]
async fn all_mistakes_of_a_commit_are_named_at_once() {
    let name = "faults-many";
    let Some(calm) = Calm::start(name).await else { return };
    let Scenario { repository, .. } = &calm.scenario;
    let below = |path: &str| format!("clusters/{name}/{path}");
    let changes = [
        Change::write(below("a.yaml"), "a: [\n"),
        Change::write(below("b.yaml"), "kind: ConfigMap\nmetadata: {name: b}\n"),
        Change::write(below("c.yaml"), "a: 1\na: 2\n"),
    ];
    repository.commit("Three mistakes", &changes).unwrap();
    for word in ["a.yaml:1:4", "b.yaml:1:1", "c.yaml:2:1"] {
        blocked_by(&calm.scenario, &[word]).await.unwrap();
    }
    calm.is_untouched().await;
}
