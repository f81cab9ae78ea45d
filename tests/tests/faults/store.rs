//! The disk below the agent, and the file on it.

use std::{
    fs::{self, OpenOptions},
    io::{Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    process::Command,
};

use leeward_tests::{
    Seed,
    agent::Agent,
    scenario::{
        Scenario,
        objects::{config_map, documents, service},
    },
    weather::{blocked_by, say, unblocked},
};

use super::{Calm, objects};

const FILE: &str = "leeward.redb";
/// Larger than what is left on the small disk, and than the small budget.
const LOTS: usize = 6 * 1024 * 1024;

/// ConfigMaps that together take so many bytes, however they are compressed.
fn noise(namespace: &str, bytes: usize) -> Vec<(String, String)> {
    use base64::Engine as _;
    const EACH: usize = 300 * 1024;
    let mut seed = Seed::new(5);
    (0..bytes / EACH)
        .map(|index| {
            let name = format!("noise-{index}");
            let text = base64::engine::general_purpose::STANDARD.encode(seed.bytes(EACH));
            (format!("{name}.yaml"), documents(&[config_map(namespace, &name, &text)]))
        })
        .collect()
}

fn commit_noise(scenario: &Scenario) -> Vec<String> {
    let files = noise(scenario.name(), LOTS);
    let borrowed: Vec<(&str, String)> =
        files.iter().map(|(path, content)| (path.as_str(), content.clone())).collect();
    scenario.commit(&borrowed).unwrap();
    files.into_iter().map(|(path, _)| path).collect()
}

/// Whether this user may give a process a disk of its own; says so if not.
fn can_mount(test: &str) -> bool {
    let mounted = Command::new("unshare")
        .args(["--mount", "mount", "-t", "tmpfs", "none", "/mnt"])
        .output()
        .is_ok_and(|output| output.status.success());
    if !mounted {
        say(&format!("skipped: {test}: needs the right to mount a small disk"));
    }
    mounted
}

/// The store as the agent's own mounts show it.
fn store_seen_by(agent: &mut Agent) -> PathBuf {
    let pid = agent.process().unwrap().pid();
    let store = agent.store_path();
    Path::new("/proc").join(pid.to_string()).join("root").join(store.strip_prefix("/").unwrap())
}

#[tokio::test]
async fn full_disk_stops_fetching_and_never_healing() {
    let name = "faults-disk";
    if !can_mount(name) {
        return;
    }
    let files = [("calm.yaml", documents(&objects(name)))];
    // The disk goes with the process that has it.
    let mount = "mkdir -p store && mount -t tmpfs -o size=8m none store && exec \"$0\" \"$@\"";
    let launcher = ["unshare", "--mount", "sh", "-c", mount];
    let started = Scenario::start(name, &files, |options| options.launched_by(&launcher)).await;
    let Some(scenario) = started.unwrap() else { return };
    let mut calm = Calm::reach(scenario).await;
    let filler = store_seen_by(&mut calm.scenario.agent).join("filler");
    fill(&filler);

    let paths = commit_noise(&calm.scenario);
    let blocker = blocked_by(&calm.scenario, &["full"]).await.unwrap();
    say(blocker["evidence"].as_str().unwrap());
    calm.is_untouched().await;
    calm.heals().await;
    fs::remove_file(&filler).unwrap();
    let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
    calm.scenario.delete(&paths).unwrap();
    calm.scenario.tell(&["sync"]).await.unwrap();
    calm.goes_on().await;
}

fn fill(file: &Path) {
    let mut file = fs::File::create(file).unwrap();
    for size in [64 * 1024, 4096, 1] {
        while file.write_all(&vec![1; size]).is_ok() {}
    }
}

#[tokio::test]
async fn store_over_its_budget_says_so_and_goes_on_with_what_it_has() {
    let name = "faults-budget";
    let files = [("calm.yaml", documents(&objects(name)))];
    let small = |options: leeward_tests::agent::AgentOptions| options.set("store.max_size", "1MiB");
    let Some(scenario) = Scenario::start(name, &files, small).await.unwrap() else { return };
    let mut calm = Calm::reach(scenario).await;
    let paths = commit_noise(&calm.scenario);
    let blocker = blocked_by(&calm.scenario, &["full", "store.max_size"]).await.unwrap();
    say(blocker["evidence"].as_str().unwrap());
    calm.is_untouched().await;
    calm.heals().await;
    let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
    calm.scenario.delete(&paths).unwrap();
    calm.scenario.tell(&["sync"]).await.unwrap();
    calm.goes_on().await;
}

#[tokio::test]
async fn second_agent_on_the_same_store_is_told_who_has_it() {
    let Some(mut calm) = Calm::start("faults-locked").await else { return };
    let second = calm.scenario.run(&["run"]).await.unwrap();
    let said = String::from_utf8_lossy(&second.stderr).into_owned();
    let pid = calm.scenario.agent.process().unwrap().pid().to_string();
    assert_eq!(second.status.code(), Some(75), "{said}");
    assert!(said.contains(&pid) && said.contains(FILE), "{said}");
    calm.goes_on().await;
    calm.is_untouched().await;
}

/// Damages the store of a dead agent, starts it, and sees it take up its objects again.
async fn survives(name: &str, damage: impl FnOnce(&Path)) {
    let Some(mut calm) = Calm::start(name).await else { return };
    let surplus = [config_map(name, "surplus", "1"), service(name, "surplus", 81)];
    let commit = calm.scenario.commit(&[("surplus.yaml", documents(&surplus))]).unwrap();
    calm.scenario.good_at(&commit).await.unwrap();
    calm.scenario.agent.kill();
    damage(&calm.scenario.agent.store_path().join(FILE));
    // Git went on while the agent was dead.
    calm.commit = calm.scenario.delete(&["surplus.yaml"]).unwrap();
    calm.scenario.agent.start_again().unwrap();
    let commit = calm.commit.clone();
    calm.scenario.good_at(&commit).await.unwrap();
    assert!(calm.scenario.agent.store_path().join(format!("{FILE}.corrupt-1")).exists());
    let log = calm.scenario.agent.log().unwrap();
    assert!(log.contains("Set a store aside that cannot be opened."), "{log}");
    for manifest in &surplus {
        calm.scenario.wait_gone(manifest).await.unwrap();
    }
    unblocked(&calm.scenario).await.unwrap();
    calm.heals().await;
    calm.goes_on().await;
}

#[tokio::test]
async fn store_of_garbage_is_set_aside_and_its_objects_are_adopted() {
    survives("faults-garbage", |file| fs::write(file, Seed::new(9).bytes(200_000)).unwrap()).await;
}

#[tokio::test]
async fn store_with_damaged_pages_is_set_aside_and_its_objects_are_adopted() {
    let damage = |file: &Path| {
        let length = fs::metadata(file).unwrap().len();
        let mut file = OpenOptions::new().write(true).open(file).unwrap();
        // The magic stays, so that only reading on shows that the rest is gone.
        file.seek(SeekFrom::Start(64)).unwrap();
        file.write_all(&Seed::new(9).bytes(usize::try_from(length - 64).unwrap())).unwrap();
    };
    survives("faults-damaged", damage).await;
}

#[tokio::test]
async fn lost_store_without_a_link_deletes_nothing() {
    let Some(mut calm) = Calm::start("faults-lost").await else { return };
    calm.scenario.agent.kill();
    fs::remove_dir_all(calm.scenario.agent.store_path()).unwrap();
    calm.scenario.server.stop().await;
    calm.scenario.agent.start_again().unwrap();
    blocked_by(&calm.scenario, &["link", "cannot connect"]).await.unwrap();
    calm.is_untouched().await;
    calm.scenario.server.start_again().await.unwrap();
    calm.scenario.tell(&["sync"]).await.unwrap();
    let commit = calm.commit.clone();
    calm.scenario.good_at(&commit).await.unwrap();
    calm.heals().await;
}
