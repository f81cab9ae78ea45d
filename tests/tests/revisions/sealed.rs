//! Files that are encrypted in Git: decrypted on the device, and nowhere else.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use leeward_tests::scenario::{Scenario, objects::text};
use serde_json::json;

const SEALED: &str = include_str!("../../../agent/sops/src/vectors/global.yaml");
const KEY: &str = include_str!("../../../agent/sops/src/vectors/keys-global.txt");
/// What is in it, as text and as a Secret has it.
const PLAINTEXT: [&str; 2] = ["global-value", "Z2xvYmFsLXZhbHVl"];

/// Every file below a folder: the store, the log, the configuration.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries
        .filter(|path| path.is_file() || path.is_dir())
        .flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] })
        .collect()
}

fn holds(content: &[u8], text: &str) -> bool {
    content.windows(text.len()).any(|window| window == text.as_bytes())
}

#[tokio::test]
async fn encrypted_secret_waits_for_its_key_and_its_plaintext_is_nowhere_but_in_the_cluster() {
    let name = "sealed";
    let outside = tempfile::tempdir().unwrap();
    let key = outside.path().join("age.key");
    let list = toml::Value::Array(vec![key.display().to_string().into()]);
    let options = |options: leeward_tests::agent::AgentOptions| {
        options.set("sops.age_key_files", list.clone()).set("log.level", "trace")
    };
    let sealed = [("secret.yaml", SEALED.to_owned())];
    let Some(mut scenario) = Scenario::start(name, &sealed, options).await.unwrap() else { return };
    scenario.wait(|status| !status.apps.is_empty()).await.unwrap();
    let why = scenario.wait_why(|why| why.to_string().contains("age key file")).await.unwrap();
    assert!(why.to_string().contains("age.key cannot be read"), "{why:#}");

    fs::write(&key, KEY).unwrap();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    let commit = scenario.repository.head().unwrap().unwrap();
    let status = scenario.good_at(&commit).await.unwrap();
    // The content was never to blame for a key that was not there.
    assert!(status.apps.iter().all(|app| app.bad.is_empty()));
    let secret = json!({"apiVersion": "v1", "kind": "Secret",
        "metadata": {"name": "global-age-secret", "namespace": "default"}});
    let live = scenario.live(&secret).await.unwrap().unwrap();
    assert_eq!(text(&live, "/data/key"), PLAINTEXT[1]);

    // A change is healed, told and shown without it.
    let patch = json!({"data": {"key": "bWVkZGxlZA=="}});
    scenario.meddle(&secret, &patch).await.unwrap();
    scenario.wait_live(&secret, |live| text(live, "/data/key") == PLAINTEXT[1]).await.unwrap();
    let (history, diff) = (scenario.ask(&["history"]).await, scenario.ask(&["diff"]).await);
    let shown = format!("{:?} {:?}", history.unwrap(), diff.unwrap());
    for path in files(scenario.agent.folder()) {
        let content = fs::read(&path).unwrap();
        for plaintext in PLAINTEXT {
            assert!(!holds(&content, plaintext), "{plaintext} is in {}", path.display());
        }
    }
    assert!(PLAINTEXT.iter().all(|plaintext| !shown.contains(plaintext)), "{shown}");
}
