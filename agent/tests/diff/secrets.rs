//! Values that nobody may be shown.

use std::os::unix::fs::PermissionsExt as _;

use super::*;

const KEY: &str = include_str!("../../sops/src/vectors/keys.txt");
/// A Secret `age` with `stringData: {key: value}`, encrypted.
const SEALED: &str = include_str!("../../sops/src/vectors/age.yaml");
/// `key=value`, encrypted.
const SEALED_ENV: &str = include_str!("../../sops/src/vectors/env.env");

#[test]
fn a_secret_shows_that_it_differs_and_nothing_of_it() {
    let secret =
        |data: &str| format!("apiVersion: v1\nkind: Secret\nmetadata: {{ name: key }}\n{data}");
    let repository = Repository::of(&[
        &[("a.yaml", &secret("stringData: { token: hunter2, same: unchanged }\n"))],
        &[("a.yaml", &secret("data: { token: c3dvcmRmaXNo, same: dW5jaGFuZ2Vk }\n"))],
    ]);
    let said = repository.diff(&["HEAD~1", "HEAD"]);
    insta::assert_snapshot!(said.all(), @r#"
    exit 1
    --- stdout
    Secret key (app fleet)
      /data/token
      - HEAD~1: <masked>
      + HEAD:   <masked, differs>
    1 changed, 0 added, 0 removed
    --- stderr
    "#);
    for output in [said.all(), repository.diff(&["HEAD~1", "HEAD", "-o", "json"]).all()] {
        for part in ["hunter2", "aHVudGVyMg", "swordfish", "c3dvcmRmaXNo", "unchanged"] {
            assert!(!output.contains(part), "{part} in {output}");
        }
    }
}

fn key_beside(repository: &Repository) -> String {
    let key = repository.path().join(".git/age.key");
    fs::write(&key, KEY).unwrap();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    key.to_str().unwrap().to_owned()
}

#[test]
fn encrypted_files_are_compared_by_what_they_were_and_masked() {
    let plain =
        "apiVersion: v1\nkind: Secret\nmetadata: { name: age }\nstringData: { key: other }\n";
    let repository = Repository::of(&[&[("age.yaml", plain)], &[("age.yaml", SEALED)]]);
    let key = key_beside(&repository);
    let said = repository.diff(&["HEAD~1", "HEAD", "--sops-age-key", &key]);
    assert_eq!(said.code, 1, "{}", said.stderr);
    assert!(
        said.stdout.contains("/data/key\n  - HEAD~1: <masked>\n  + HEAD:   <masked, differs>\n"),
        "{said:?}"
    );
    for part in ["other", "b3RoZXI", "dmFsdWU", "\"value\""] {
        assert!(!said.all().contains(part), "{part} in {}", said.all());
    }
    let without = repository.diff(&["HEAD~1", "HEAD"]);
    assert_eq!((without.code, without.stdout.as_str()), (65, ""));
    assert!(without.stderr.starts_with("error: HEAD:age.yaml: "), "{}", without.stderr);
}

#[test]
fn what_a_generator_makes_of_an_encrypted_file_is_masked_whatever_its_kind() {
    let build =
        |more: &str| format!("configMapGenerator: [{{ name: env, envs: [env.env] }}]\n{more}");
    let repository = Repository::of(&[
        &[("kustomization.yaml", &build("")), ("env.env", "key=plain\n")],
        &[("kustomization.yaml", &build("")), ("env.env", SEALED_ENV)],
    ]);
    let key = key_beside(&repository);
    let said = repository.diff(&["HEAD~1", "HEAD", "--sops-age-key", &key]);
    assert!(
        said.stdout.contains("/data/key\n  - HEAD~1: <masked>\n  + HEAD:   <masked, differs>"),
        "{said:?}"
    );
    assert!(!said.all().contains("value") && !said.all().contains("plain"), "{}", said.all());
}
