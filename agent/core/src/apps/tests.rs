//! Claims about `leeward.yaml`.

use std::collections::BTreeMap;

use super::*;

/// The folders `db`, `shop` and `shop-2` beside a `leeward.yaml`.
fn source(leeward: &str) -> BTreeMap<String, Vec<u8>> {
    let mut files: BTreeMap<String, Vec<u8>> =
        ["db/a.yaml", "shop/web/a.yaml", "shop-2/a.yaml", "README.md"]
            .map(|path| (path.to_owned(), Vec::new()))
            .into();
    files.insert(APPS_FILE.to_owned(), leeward.as_bytes().to_vec());
    files
}

fn read(leeward: &str) -> Result<Vec<AppSpec>, RenderError> {
    apps(&source(leeward), "shop-0042", &AppDefaults::default())
}

/// One line an app, or one line a fault.
fn shown(leeward: &str) -> String {
    match read(leeward) {
        Ok(apps) => apps
            .iter()
            .map(|app| format!("{} = {:?}\n", app.name, app.path))
            .collect::<Vec<_>>()
            .concat(),
        Err(error) => {
            error.faults.iter().map(|fault| format!("{fault}\n")).collect::<Vec<_>>().concat()
        }
    }
}

/// A document with these lines below `apps:`.
fn with_apps(lines: &str) -> String {
    format!("apiVersion: leeward.dev/v1alpha1\nkind: Apps\napps:\n{lines}")
}

#[test]
#[expect(clippy::too_many_lines, reason = "all that is read of the example, line by line")]
fn the_example_of_the_contract_is_read() {
    let text = with_apps(
        "- name: db\n  path: db                      # relative to this file\n- name: shop\n  path: shop\n  dependsOn: [db]\n  heal: report\n  timeout: 10m\n  soak: 2m\n  prune: { maxObjects: 10, maxShare: 0.5 }\n  ignoreDifferences:            # as in Argo CD\n  - { group: apps, kind: Deployment, name: web, jsonPointers: [/spec/replicas] }\n",
    );
    insta::assert_debug_snapshot!(read(&text).unwrap(), @r#"
    [
        AppSpec {
            name: "db",
            path: "db",
            depends_on: [],
            heal: Always,
            timeout: 300s,
            soak: 60s,
            prune: PruneGuard {
                max_objects: 3,
                max_share: 0.3,
                first: false,
            },
            retries: 0,
            retry_interval: 600s,
            formerly: [],
            ignore_differences: [],
            substitute: None,
            substitute_from: [],
        },
        AppSpec {
            name: "shop",
            path: "shop",
            depends_on: [
                "db",
            ],
            heal: Report,
            timeout: 600s,
            soak: 120s,
            prune: PruneGuard {
                max_objects: 10,
                max_share: 0.5,
                first: false,
            },
            retries: 0,
            retry_interval: 600s,
            formerly: [],
            ignore_differences: [
                IgnoreRule {
                    group: Some(
                        "apps",
                    ),
                    kind: "Deployment",
                    name: Some(
                        "web",
                    ),
                    namespace: None,
                    json_pointers: [
                        "/spec/replicas",
                    ],
                    managed_fields_managers: [],
                },
            ],
            substitute: None,
            substitute_from: [],
        },
    ]
    "#);
}

#[test]
fn without_the_file_the_folder_is_one_app_with_a_fitting_name() {
    let names = ["shop-0042", "Shop_North.1", "--", "", &"x".repeat(70), "ä"];
    let read = names.map(|name| {
        let apps = apps(&BTreeMap::new(), name, &AppDefaults::default()).unwrap();
        format!("{} {:?}", apps[0].name, apps[0].path)
    });
    insta::assert_snapshot!(read.join("\n"), @r#"
    shop-0042 ""
    shop-north-1 ""
    app ""
    app ""
    xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx ""
    app ""
    "#);
}

#[test]
fn apps_come_after_those_that_they_depend_on_and_else_as_written() {
    let text = with_apps(
        "- {name: web, path: ./shop/, dependsOn: [db, extra]}\n- {name: extra, path: shop-2}\n- {name: db, path: db}\n",
    );
    insta::assert_snapshot!(shown(&text), @r#"
    extra = "shop-2"
    db = "db"
    web = "shop"
    "#);
}

#[test]
fn the_whole_folder_can_be_one_named_app() {
    insta::assert_snapshot!(shown(&with_apps("- {name: all, path: .}\n")), @r#"all = """#);
}

#[test]
fn every_fault_is_named_with_its_place_and_what_is_allowed() {
    let text = with_apps(
        "- name: Web_1\n  path: ../etc\n  dependson: [db]\n  heal: sometimes\n  timeout: 90\n  soak: 1.5h\n  prune: {maxObjects: -1, maxShare: 2, max: 1}\n- path: /etc\n  timeout: 0s\n  dependsOn: db\n- name: 5\n  path: ''\n  color: red\n- just text\n- name: lost\n  path: nowhere\n",
    );
    insta::assert_snapshot!(shown(&text), @r#"
    leeward.yaml:6:3: unknown key "dependson": did you mean "dependsOn"?
    leeward.yaml:4:9: apps[0].name must be a DNS label (at most 63 of a-z, 0-9 and -, e.g. "web-1"), found "Web_1"
    leeward.yaml:5:9: apps[0].path must stay below this file, found `..`
    leeward.yaml:7:9: apps[0].heal must be always or report, found "sometimes"
    leeward.yaml:8:12: apps[0].timeout must be a duration such as 30s, 5m or 1h30m, found the number 90
    leeward.yaml:9:9: apps[0].soak: `1.5h` is not a duration such as 30s, 5m or 1h30m
    leeward.yaml:10:40: unknown key "max": known are maxObjects, maxShare, first
    leeward.yaml:10:23: apps[0].prune.maxObjects must be a whole number from 0, found the number -1
    leeward.yaml:10:37: apps[0].prune.maxShare must be a number from 0 to 1, found the number 2
    leeward.yaml:11:3: apps[1].name is missing
    leeward.yaml:11:9: apps[1].path must be relative to this file, found an absolute path
    leeward.yaml:13:14: apps[1].dependsOn must be a list, found "db"
    leeward.yaml:12:12: apps[1].timeout must be more than 0s
    leeward.yaml:16:3: unknown key "color": known are name, path, dependsOn, heal, timeout, soak, prune, retries, retryInterval, formerly, ignoreDifferences, substitute, substituteFrom
    leeward.yaml:14:9: apps[2].name must be a string, found the number 5: quote it
    leeward.yaml:15:9: apps[2].path must not be empty: `.` is the folder of this file
    leeward.yaml:17:3: apps[3] must be a mapping of name, path, dependsOn, heal, timeout, soak, prune, retries, retryInterval, formerly, ignoreDifferences, substitute, substituteFrom, found "just text"
    leeward.yaml:19:9: the folder "nowhere" of app "lost" has no file
    "#);
}

#[test]
fn rules_for_ignored_differences_are_checked() {
    let text = with_apps(
        "- name: db\n  path: db\n  ignoreDifferences:\n  - {kind: Deployment, jqPathExpressions: [.spec]}\n  - {kind: '*', jsonPointers: [spec/replicas, /a~2]}\n  - {jsonPointers: [/a]}\n  - {kind: Pod}\n  - {kind: Pod, group: '*', managedFieldsManagers: [hpa], pointers: []}\n",
    );
    insta::assert_snapshot!(shown(&text), @r#"
    leeward.yaml:7:43: apps[0].ignoreDifferences[0].jqPathExpressions is not supported: name the fields by jsonPointers, such as /spec/replicas
    leeward.yaml:8:12: apps[0].ignoreDifferences[1].kind must name one kind, found "*"
    leeward.yaml:8:32: "spec/replicas" is not a JSON pointer such as /spec/replicas (a `/` within a key is `~1`)
    leeward.yaml:8:47: "/a~2" is not a JSON pointer such as /spec/replicas (a `/` within a key is `~1`)
    leeward.yaml:9:5: apps[0].ignoreDifferences[2].kind is missing
    leeward.yaml:10:5: apps[0].ignoreDifferences[3] ignores nothing: add jsonPointers or managedFieldsManagers
    leeward.yaml:11:59: unknown key "pointers": known are group, kind, name, namespace, jsonPointers, jqPathExpressions, managedFieldsManagers
    "#);
}

#[test]
fn the_frame_of_the_document_is_checked() {
    let texts = [
        "",
        "- a\n",
        "apiVersion: leeward.dev/v1\nkind: App\napps: []\n",
        "apiVersion: leeward.dev/v1alpha1\nkind: Apps\n",
        "apiVersion: leeward.dev/v1alpha1\nkind: Apps\napps: {name: a}\n",
        "apiVersion: leeward.dev/v1alpha1\nkind: Apps\nkind: Apps\napps: []\n",
        "apiVersion: leeward.dev/v1alpha1\nkind: Apps\napps: [{}, ]\n",
        "{}",
        "a: [\n",
        "a: 1\n---\nb: 1\n",
    ];
    insta::assert_snapshot!(texts.map(shown).join("--\n"), @r#"
    leeward.yaml:1:1: the file declares nothing: remove it to make the whole folder one app
    --
    leeward.yaml:1:1: the document must be a mapping of apiVersion, kind, apps, found a list
    --
    leeward.yaml:1:13: apiVersion must be leeward.dev/v1alpha1, found "leeward.dev/v1"
    leeward.yaml:2:7: kind must be Apps, found "App"
    leeward.yaml:3:7: apps names no app: remove the file to make the whole folder one app
    --
    leeward.yaml:1:1: apps is missing
    --
    leeward.yaml:3:7: apps must be a list, found a mapping
    --
    leeward.yaml:3:1: duplicate key "kind" (first at 2:1)
    --
    leeward.yaml:3:8: apps[0].name is missing
    leeward.yaml:3:8: apps[0].path is missing
    --
    leeward.yaml:1:1: apiVersion is missing
    leeward.yaml:1:1: kind is missing
    leeward.yaml:1:1: apps is missing
    --
    leeward.yaml:1:4: unclosed bracket '['
    --
    leeward.yaml:3:1: the file has more than one document
    leeward.yaml:1:1: unknown key "a": known are apiVersion, kind, apps
    leeward.yaml:1:1: apiVersion is missing
    leeward.yaml:1:1: kind is missing
    leeward.yaml:1:1: apps is missing
    "#);
}

#[test]
fn names_and_folders_belong_to_one_app() {
    let text = with_apps(
        "- {name: shop, path: shop}\n- {name: shop, path: db}\n- {name: web, path: shop/web}\n- {name: near, path: shop-2}\n- {name: again, path: ./db}\n",
    );
    insta::assert_snapshot!(shown(&text), @r#"
    leeward.yaml:5:10: two apps are named "shop" (first at 4:10)
    leeward.yaml:6:21: the folders of apps "shop" (at 4:22) and "web" overlap: an object has one owner
    leeward.yaml:8:23: the folders of apps "shop" (at 5:22) and "again" overlap: an object has one owner
    "#);
}

#[test]
fn dependencies_that_lead_nowhere_or_round_in_a_circle_are_refused() {
    let unknown = with_apps("- {name: db, path: db, dependsOn: [bd]}\n");
    let itself = with_apps("- {name: db, path: db, dependsOn: [db]}\n");
    let circle = with_apps(
        "- {name: a, path: db, dependsOn: [b]}\n- {name: b, path: shop, dependsOn: [c]}\n- {name: c, path: shop-2, dependsOn: [b]}\n",
    );
    insta::assert_snapshot!([unknown, itself, circle].map(|text| shown(&text)).join(""), @r#"
    leeward.yaml:4:36: app "db" depends on "bd", which is not an app
    leeward.yaml:4:36: dependsOn goes round in a circle: db → db
    leeward.yaml:6:39: dependsOn goes round in a circle: b → c → b
    "#);
}

#[test]
fn a_second_file_below_would_do_nothing_and_is_refused_unless_ignored() {
    let mut files = source(&with_apps("- {name: db, path: db}\n"));
    files.insert("shop/leeward.yaml".to_owned(), Vec::new());
    let error = apps(&files, "a", &AppDefaults::default()).unwrap_err();
    insta::assert_snapshot!(error, @r"shop/leeward.yaml: leeward.yaml is read only at the root of the source's path");
    files.insert(".leewardignore".to_owned(), b"shop/\n".to_vec());
    assert!(apps(&files, "a", &AppDefaults::default()).is_ok());
}

#[test]
fn an_app_has_variables_of_its_own_or_an_empty_table_of_them() {
    let text = with_apps(
        "- { name: db, path: db, substitute: { ring: canary, m: '5' } }\n- { name: shop, path: shop, substitute: {} }\n- { name: two, path: shop-2 }\n",
    );
    let found: Vec<_> = read(&text).unwrap().into_iter().map(|app| app.substitute).collect();
    let own = [("m", "5"), ("ring", "canary")].map(|(name, value)| (name.into(), value.into()));
    assert_eq!(found, [Some(own.into()), Some(BTreeMap::new()), None]);
}

#[test]
fn variables_have_names_of_shells_and_texts_for_values() {
    insta::assert_snapshot!(shown(&with_apps(
        "- { name: db, path: db, substitute: { a-b: x, m: 5, n: x } }\n- { name: shop, path: shop, substitute: }\n",
    )), @r#"
    leeward.yaml:4:39: apps[0].substitute: "a-b" is not the name of a variable: a letter or `_`, then letters, digits and `_`
    leeward.yaml:4:50: apps[0].substitute.m must be a string, found the number 5: quote it
    leeward.yaml:4:53: apps[0].substitute: false is a boolean in YAML, not a name
    leeward.yaml:5:39: apps[1].substitute must be a mapping of variables to texts (`{}` for none of its own), found nothing
    "#);
}

#[test]
fn an_app_names_objects_of_the_cluster_with_more_variables() {
    let text = with_apps(
        "- name: db\n  path: db\n  substituteFrom:\n  - { kind: ConfigMap, name: settings, namespace: fleet }\n  - { kind: Secret, name: keys.db, namespace: fleet, optional: true }\n",
    );
    let app = read(&text).unwrap().remove(0);
    assert!(app.substitutes() && app.substitute.is_none());
    let found = app.substitute_from.iter().map(|from| format!("{} {}", from.key(), from.optional));
    assert_eq!(
        found.collect::<Vec<_>>(),
        ["ConfigMap fleet/settings false", "Secret fleet/keys.db true"]
    );
}

#[test]
fn objects_with_variables_are_named_in_full_and_once() {
    let text = with_apps(
        "- name: db\n  path: db\n  substituteFrom:\n  - { kind: Pod, name: a }\n  - { kind: Secret, name: A/b, namespace: 5, optional: maybe }\n  - { kind: Secret, name: c, namespace: d }\n  - { kind: Secret, name: c, namespace: d, optional: true }\n- name: shop\n  path: shop\n  substituteFrom: { kind: Secret }\n",
    );
    insta::assert_snapshot!(shown(&text), @r#"
    leeward.yaml:7:13: apps[0].substituteFrom[0].kind must be ConfigMap or Secret, found "Pod"
    leeward.yaml:7:5: apps[0].substituteFrom[0].namespace is missing
    leeward.yaml:8:27: apps[0].substituteFrom[1].name must be the name of an object, found "A/b"
    leeward.yaml:8:43: apps[0].substituteFrom[1].namespace must be a string, found the number 5: quote it
    leeward.yaml:8:56: apps[0].substituteFrom[1].optional must be true or false, found "maybe"
    leeward.yaml:10:5: apps[0].substituteFrom[3]: Secret d/c is named twice
    leeward.yaml:13:19: apps[1].substituteFrom must be a list, found a mapping
    "#);
}
