//! Encrypted files on a checkout.

use std::os::unix::fs::PermissionsExt as _;

use super::*;

const KEY: &str = include_str!("../../../sops/src/vectors/keys.txt");
const SECRET: &str = include_str!("../../../sops/src/vectors/age.yaml");
const ENV: &str = include_str!("../../../sops/src/vectors/env.env");

/// A folder with an encrypted Secret, plain or as a kustomization, and a key beside it.
fn checkout(kustomized: bool, mode: u32) -> (tempfile::TempDir, String, String) {
    let outside = tempfile::tempdir().unwrap();
    let (folder, key) = (outside.path().join("shop"), outside.path().join("age.key"));
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(&key, KEY).unwrap();
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(mode)).unwrap();
    std::fs::write(folder.join("age.yaml"), SECRET).unwrap();
    if kustomized {
        std::fs::write(folder.join("env.env"), ENV).unwrap();
        let text = "resources: [age.yaml]\nsecretGenerator: [{name: env, envs: [env.env]}]\n";
        std::fs::write(folder.join("kustomization.yaml"), text).unwrap();
    }
    let text = |path: &std::path::Path| path.to_str().unwrap().to_owned();
    (outside, text(&folder), text(&key))
}

#[test]
fn an_encrypted_file_is_decrypted_with_the_key_that_is_given() {
    let (_outside, folder, key) = checkout(false, 0o600);
    let said = say(&["render", &folder, "--sops-age-key", &key, "-o", "json"]);
    assert_eq!((said.code, &said.json()[0]["data"]), (0, &serde_json::json!({"key": "dmFsdWU="})));
}

#[test]
fn encrypted_files_of_a_kustomization_are_decrypted_too() {
    let (_outside, folder, key) = checkout(true, 0o600);
    let said = say(&["render", &folder, "--sops-age-key", &key, "-o", "json"]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    let objects = said.json();
    let values: Vec<_> = objects
        .as_array()
        .unwrap()
        .iter()
        .map(|one| (&one["stringData"]["key"], &one["data"]["key"]))
        .collect();
    assert_eq!(
        values,
        [
            (&serde_json::json!("value"), &Value::Null),
            (&Value::Null, &serde_json::json!("dmFsdWU="))
        ]
    );
}

#[test]
fn without_a_key_an_encrypted_file_is_refused_and_it_is_said_what_to_do() {
    for kustomized in [false, true] {
        let (_outside, folder, _) = checkout(kustomized, 0o600);
        let said = say(&["render", &folder]);
        assert_eq!((said.code, said.stdout.as_str()), (65, ""));
        for part in [
            "age.yaml",
            "age1l44xcng8dqj32nlv6d930qvvrny05hglzcv9qpc7kxjc6902ma4qufys29",
            "--sops-age-key",
        ] {
            assert!(said.stderr.contains(part), "no {part}: {}", said.stderr);
        }
    }
}

#[test]
fn a_key_that_every_user_can_read_is_refused() {
    let (outside, folder, key) = checkout(false, 0o644);
    let said = say(&["render", &folder, "--sops-age-key", &key]);
    assert_eq!(said.code, 77);
    assert_eq!(
        said.stderr.replace(outside.path().to_str().unwrap(), "/etc"),
        "error: the age key file /etc/age.key is open to every user (mode 0644): `chmod 0600 /etc/age.key`\n"
    );
}
