//! Files of the real SOPS; `vectors/README.md` says whose.

use super::*;

const VECTORS: [(&str, &str); 8] = [
    ("age.yaml", include_str!("../vectors/age.yaml")),
    ("merge1.yaml", include_str!("../vectors/merge1.yaml")),
    ("merge2.yaml", include_str!("../vectors/merge2.yaml")),
    ("global.yaml", include_str!("../vectors/global.yaml")),
    ("env.env", include_str!("../vectors/env.env")),
    ("component.env", include_str!("../vectors/component.env")),
    ("file.txt", include_str!("../vectors/file.txt")),
    ("inside", include_str!("../vectors/inside.json")),
];

fn identities() -> Identities {
    let mut identities = Identities::default();
    for file in [include_str!("../vectors/keys.txt"), include_str!("../vectors/keys-global.txt")] {
        identities.add(file.as_bytes()).unwrap();
    }
    identities
}

#[test]
fn every_file_is_what_it_was() {
    let opened = VECTORS.map(|(path, content)| {
        let text = opened(path, content, &identities()).unwrap();
        format!("== {path}\n{}", text.trim_end())
    });
    insta::assert_snapshot!(opened.join("\n"), @r#"
    == age.yaml
    apiVersion: v1
    kind: Secret
    metadata:
      name: age
    stringData:
      key: "value"
    == merge1.yaml
    apiVersion: v1
    kind: Secret
    metadata:
      name: secret
    stringData:
      key: "merge1"
    == merge2.yaml
    apiVersion: v1
    kind: Secret
    metadata:
      name: secret
    stringData:
      merge2: "merge2"
    == global.yaml
    apiVersion: v1
    kind: Secret
    metadata:
      name: global-age-secret
      namespace: default
    type: Opaque
    stringData:
      key: "global-value"
    == env.env
    key=value
    == component.env
    key=value
    == file.txt
    value
    == inside
    value
    "#);
}

#[test]
fn what_age_alone_cannot_open_is_named() {
    let complaints = [
        ("pq.yaml", include_str!("../vectors/age-pq.yaml")),
        ("pgp.yaml", include_str!("../vectors/pgp.yaml")),
    ]
    .map(|(path, content)| opened(path, content, &identities()).unwrap_err());
    insta::assert_snapshot!(complaints.join("\n"), @"
    it is encrypted with SOPS for age1pq1ehusfwsvrente8p6gafr4jemv2urnqfm4c59ng5dgqqzlk2vv9rcekp…, a post-quantum key, which cannot be used yet: encrypt it to a key of `age-keygen` without `-pq` too
    it is encrypted with SOPS for PGP only, which would have to be asked over the link: encrypt it to an age key too (`sops rotate --add-age`)
    ");
}
