//! Encrypted files in folders, plain and kustomized.

use std::collections::BTreeMap;

use super::*;
use crate::render::{Request, folder};

const SECRET: &str = include_str!("../../../../sops/src/vectors/age.yaml");
const ENV: &str = include_str!("../../../../sops/src/vectors/env.env");
const FILE: &str = include_str!("../../../../sops/src/vectors/file.txt");
const PATCH: &str = include_str!("../../../../sops/src/vectors/merge1.yaml");
const KEYS: &str = include_str!("../../../../sops/src/vectors/keys.txt");

const KUSTOMIZATION: &str = "resources: [age.yaml]\npatches: [path: merge1.yaml]\n\
    generatorOptions: { disableNameSuffixHash: true }\n\
    secretGenerator:\n- { name: secret, envs: [env.env], files: [file.txt] }\n\
    configMapGenerator:\n- { name: config, envs: [env.env] }\n";

fn files(kustomized: bool) -> BTreeMap<String, Vec<u8>> {
    let mut files = vec![("age.yaml", SECRET)];
    if kustomized {
        files.extend([
            ("kustomization.yaml", KUSTOMIZATION),
            ("env.env", ENV),
            ("file.txt", FILE),
            ("merge1.yaml", PATCH),
        ]);
    }
    let owned = |(path, content): (&str, &str)| (path.to_owned(), content.as_bytes().to_vec());
    files.into_iter().map(owned).collect()
}

fn rendered(kustomized: bool, keys: &dyn Fn() -> Result<Identities, String>) -> (String, bool) {
    let files = files(kustomized);
    let files = Decrypted::new(&files, keys);
    let text = match folder(&Request::of(&files)) {
        Ok(manifests) => manifests
            .iter()
            .map(|one| {
                format!(
                    "{}{} {}",
                    one.key,
                    if one.secret { " (secret)" } else { "" },
                    one.body["data"]
                )
            })
            .collect::<Vec<_>>()
            .join("\n"),
        Err(error) => error.to_string(),
    };
    (text, files.needs_key())
}

/// The key that the files are encrypted to.
fn identities() -> Identities {
    let mut identities = Identities::default();
    identities.add(KEYS.as_bytes()).unwrap();
    identities
}

#[test]
fn an_encrypted_file_is_rendered_as_it_was() {
    let (text, needs_key) = rendered(false, &|| Ok(identities()));
    assert_eq!(text, "Secret age {\"key\":\"dmFsdWU=\"}");
    assert!(!needs_key);
}

#[test]
fn resources_patches_and_sources_of_a_kustomization_are_decrypted() {
    let (text, _) = rendered(true, &|| Ok(identities()));
    insta::assert_snapshot!(text, @r#"
    ConfigMap config (secret) {"key":"value"}
    Secret age (secret) {"key":"dmFsdWU="}
    Secret secret (secret) {"file.txt":"dmFsdWU=","key":"bWVyZ2Ux"}
    "#);
}

#[test]
fn without_a_key_it_is_said_and_the_file_is_not_to_blame() {
    let (text, needs_key) = rendered(false, &|| Ok(Identities::default()));
    insta::assert_snapshot!(text, @"
    age.yaml: cannot be read: it is encrypted with SOPS for age1l44xcng8dqj32nlv6d930qvvrny05hglzcv9qpc7kxjc6902ma4qufys29, and no age key is given: name the file with the key in `sops.age_key_files`, or with `--sops-age-key` to `render` or `diff`
    ");
    assert!(needs_key);
    let (text, needs_key) = rendered(false, &|| Err("the key file /k cannot be read".to_owned()));
    assert_eq!(
        text,
        "age.yaml: cannot be read: it is encrypted with SOPS, and the key file /k cannot be read"
    );
    assert!(needs_key);
}

#[test]
fn a_changed_file_is_a_fault_that_no_key_mends() {
    let changed = SECRET.replace("name: age", "name: egg");
    let files = BTreeMap::from([("age.yaml".to_owned(), changed.into_bytes())]);
    let keys = || Ok(identities());
    let files = Decrypted::new(&files, &keys);
    let error = folder(&Request::of(&files)).unwrap_err();
    assert!(error.to_string().contains("the MAC of SOPS does not fit"), "{error}");
    assert!(!files.needs_key());
}
