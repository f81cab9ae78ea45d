//! Claims about `leeward render --set`.

use insta::assert_snapshot;
use serde_json::json;

use super::*;

/// A folder with one ConfigMap `web` of one value.
fn folder_of(value: &str, more: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let manifest = format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: web\ndata:\n  value: {value}\n"
    );
    std::fs::create_dir(folder.path().join("web")).unwrap();
    std::fs::write(folder.path().join("web/a.yaml"), manifest).unwrap();
    for (name, text) in more {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    folder
}

#[test]
fn set_gives_the_variables_of_a_folder_values() {
    let folder = folder_of("${ring:-none} of ${site^^}", &[]);
    let path = folder.path().join("web");
    let path = path.to_str().unwrap();
    assert!(say(&["render", path]).all().contains("value: ${ring:-none} of ${site^^}"));
    let set = ["render", path, "--set", "site=north", "--set", "ring=a=b"];
    assert!(say(&set).all().contains("value: a=b of NORTH"));
    let said = say(&["render", path, "--set", "sites=hidden"]).all();
    assert_snapshot!(said.replace(path, "…"), @r#"
    exit 65
    --- stdout
    --- stderr
    error: ConfigMap web (a.yaml:1:1): the variable site is not set and has no default (did you mean sites?)
    "#);
}

#[test]
fn set_gives_the_variables_of_a_kustomization_values() {
    let kustomization = "resources: [web/a.yaml]\n";
    let folder = folder_of("'${n}'", &[("kustomization.yaml", kustomization)]);
    let path = folder.path().to_str().unwrap();
    assert!(say(&["render", path]).all().contains("value: ${n}\n"));
    let found = say(&["render", path, "--set", "n=5", "-o", "json"]).json();
    assert_eq!(found[0]["data"]["value"], json!(5));
    let said = say(&["render", path, "--set", "m=hidden"]).all();
    assert_snapshot!(said.replace(path, "…"), @r#"
    exit 65
    --- stdout
    --- stderr
    error: …/web/a.yaml: ConfigMap web: the variable n is not set and has no default
    "#);
}

#[test]
fn an_app_substitutes_only_when_it_asks_to_and_its_own_variables_win() {
    let leeward = |app: &str| {
        format!(
            "apiVersion: leeward.dev/v1alpha1\nkind: Apps\napps: [{{ name: web, path: web{app} }}]\n"
        )
    };
    let rendered = |app: &str| {
        let folder = folder_of("${a}-${b}", &[("leeward.yaml", &leeward(app))]);
        let path = folder.path().to_str().unwrap();
        let found = say(&["render", path, "--set", "a=1", "--set", "b=2", "-o", "json"]).json();
        found[0]["data"]["value"].clone()
    };
    assert_eq!(rendered(""), json!("${a}-${b}"));
    assert_eq!(rendered(", substitute: {}"), json!("1-2"));
    assert_eq!(rendered(", substitute: { b: own }"), json!("1-own"));
}

#[test]
fn a_key_of_the_configuration_is_no_variable() {
    assert_snapshot!(say(&["render", ".", "--set", "source.url=x"]).all(), @r#"
    exit 64
    --- stdout
    --- stderr
    error: --set: "source.url" is not the name of a variable: a letter or `_`, then letters, digits and `_`
    hint: no configuration is read here: `--set` gives variables values
    "#);
}

#[test]
fn what_the_cluster_would_give_is_told_when_it_is_not_set() {
    let leeward = "apiVersion: leeward.dev/v1alpha1\nkind: Apps\napps:\n- name: web\n  path: web\n  substituteFrom:\n  - { kind: ConfigMap, name: settings, namespace: fleet }\n  - { kind: Secret, name: keys, namespace: fleet, optional: true }\n";
    let folder = folder_of("${site}", &[("leeward.yaml", leeward)]);
    let path = folder.path().to_str().unwrap();
    assert_snapshot!(say(&["render", path]).all(), @r#"
    exit 65
    --- stdout
    --- stderr
    error: ConfigMap web (web/a.yaml:1:1): the variable site is not set and has no default; substituteFrom looks for it in ConfigMap fleet/settings, Secret fleet/keys
    hint: there is no cluster here: `--set name=value` stands in for substituteFrom
    "#);
    let found = say(&["render", path, "--set", "site=north", "-o", "json"]).json();
    assert_eq!(found[0]["data"]["value"], json!("north"));
}
