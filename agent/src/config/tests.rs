//! Texts of a configuration in, a configuration or the texts of its problems out.

use std::{collections::BTreeMap, time::Duration};

use insta::assert_snapshot;
use leeward_core::model::Heal;

use super::*;

const SMALLEST: &str = "
[cluster]
name = \"shop-0042\"
[source]
url = \"https://git.example.com/fleet.git\"
path = \"clusters/{cluster}\"
";

fn sources(text: &str) -> Sources {
    Sources { path: "agent.toml".into(), text: Some(text.to_owned()), ..Sources::default() }
}

fn with_flags(flags: &[&str]) -> Sources {
    let flags = flags.iter().map(|flag| (*flag).to_owned()).collect();
    Sources { flags, ..sources(SMALLEST) }
}

fn with_environment(variables: &[(&str, &str)]) -> Sources {
    let environment =
        variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Sources { environment, ..sources(SMALLEST) }
}

fn config(sources: &Sources) -> Config {
    load(sources).unwrap().config
}

/// One problem a line.
fn problems(sources: &Sources) -> String {
    let problems = load(sources).unwrap_err().problems;
    problems.iter().map(Problem::to_string).collect::<Vec<_>>().join("\n")
}

fn problems_of(text: &str) -> String {
    problems(&sources(text))
}

fn problems_with(flags: &[&str]) -> String {
    problems(&with_flags(flags))
}

#[test]
fn age_key_files_are_a_list_in_the_file_and_have_commas_in_the_environment() {
    let paths = |text: &str, variable: Option<&str>| {
        let whole = format!("{SMALLEST}\n{text}");
        let mut sources = Sources { text: Some(whole), ..Sources::default() };
        if let Some(value) = variable {
            let name = "LEEWARD_SOPS__AGE_KEY_FILES".to_owned();
            sources.environment.insert(name, value.to_owned());
        }
        let loaded = load(&sources).map_err(|error| error.problems[0].message.clone());
        loaded.map(|loaded| loaded.config.sops.age_key_files)
    };
    let two = Ok(vec!["/a".into(), "/b".into()]);
    assert_eq!(paths("[sops]\nage_key_files = [\"/a\", \"/b\"]", None), two);
    assert_eq!(paths("", Some("/a, /b")), two);
    assert_eq!(paths("", None), Ok(Vec::new()));
    assert_eq!(
        paths("[sops]\nage_key_files = \"/a\"", None).unwrap_err(),
        "sops.age_key_files: found \"/a\", expected a list of paths such as `[\"/etc/leeward/age.key\"]`"
    );
    assert!(paths("[sops]\nage_key_files = [1]", None).is_err());
    assert!(paths("[sops]\nage_key_files = [\"\"]", None).is_err());
}

#[test]
fn the_smallest_file_gets_the_documented_defaults() {
    let config = config(&sources(SMALLEST));
    assert_eq!(
        config,
        Config {
            cluster: ClusterConfig {
                name: "shop-0042".into(),
                labels: BTreeMap::new(),
                kubeconfig: None
            },
            source: SourceConfig {
                url: "https://git.example.com/fleet.git".into(),
                reference: Reference::Branch("main".into()),
                path: "clusters/shop-0042".into(),
                allowed_roots: vec![String::new()],
                interval: Duration::from_secs(30),
                username: None,
                password_file: None,
                token_file: None,
                tls: TlsFiles::default(),
                proxy: None,
            },
            store: StoreConfig {
                path: "/var/lib/leeward".into(),
                max_size: 256 << 20,
                good_revisions: 3
            },
            apply: ApplyConfig {
                heal: Heal::Always,
                timeout: Duration::from_mins(5),
                soak: Duration::from_mins(1),
                prune_max_objects: 3,
                prune_max_share: 0.3,
            },
            substitute: SubstituteConfig::default(),
            sops: SopsConfig::default(),
            report: None,
            http: HttpConfig { listen: Some(([127, 0, 0, 1], 9450).into()) },
            control: ControlConfig { socket: "/run/leeward/control.sock".into() },
            log: LogConfig { level: "info".into(), format: LogFormat::Text },
        }
    );
}

#[test]
fn every_key_of_the_contract_is_read() {
    let text = r#"
[cluster]
name = "shop-0042"
labels = { region = "north", ring = "canary" }
kubeconfig = "/etc/rancher/k3s/k3s.yaml"
[source]
url = "https://git.example.com/fleet.git"
tag = "v1"
path = "clusters/{label:region}/{cluster}"
interval = "1h30m"
username = "leeward"
password_file = "/etc/leeward/git-password"
ca_file = "/etc/leeward/ca.pem"
client_cert_file = "/c"
client_key_file = "/k"
proxy = "http://user:secret@proxy:3128"
[store]
path = "/store"
max_size = "64MiB"
[apply]
heal = "report"
timeout = "10m"
soak = "0s"
prune_max_objects = 10
prune_max_share = 1
[report]
url = "http://127.0.0.1:1/v1/events"
token_file = "/t"
max_size = 65536
[http]
listen = ""
[control]
socket = "/c.sock"
[log]
level = "leeward=debug,kube=warn"
format = "json"
"#;
    let config = config(&sources(text));
    assert_eq!(config.source.path, "clusters/north/shop-0042");
    assert_eq!(config.source.reference, Reference::Tag("v1".into()));
    assert_eq!(config.source.interval, Duration::from_mins(90));
    assert_eq!(config.source.tls.client_key.as_deref(), Some("/k".into()));
    assert_eq!(config.source.proxy.as_deref(), Some("http://user:secret@proxy:3128"));
    assert_eq!(config.apply.heal, Heal::Report);
    assert!((config.apply.prune_max_share - 1.0).abs() < f64::EPSILON);
    assert_eq!(config.report.map(|report| report.max_size), Some(65_536));
    assert_eq!(config.http.listen, None);
    assert_eq!(config.log.format, LogFormat::Json);
}

#[test]
fn flags_beat_the_environment_and_the_environment_beats_the_file() {
    let mut sources = with_environment(&[
        ("LEEWARD_CLUSTER__NAME", "from-environment"),
        ("LEEWARD_SOURCE__URL", "https://environment.example.com/"),
    ]);
    sources.flags = vec!["source.url=https://flag.example.com/?".replace('?', "")];
    let loaded = load(&sources).unwrap();
    assert_eq!(loaded.config.cluster.name, "from-environment");
    assert_eq!(loaded.config.source.url, "https://flag.example.com/");
    let origins = ["cluster.name", "source.url", "source.path", "store.path"]
        .map(|key| loaded.origins[key].to_string());
    assert_eq!(origins, ["$LEEWARD_CLUSTER__NAME", "--set", "agent.toml:6", "default"]);
}

#[test]
fn the_environment_alone_is_enough() {
    let mut sources = with_environment(&[
        ("LEEWARD_CLUSTER__NAME", "a"),
        ("LEEWARD_CLUSTER__LABELS__REGION", "north"),
        ("LEEWARD_SOURCE__URL", "http://localhost:1/a.git"),
        ("LEEWARD_SOURCE__PATH", "{label:region}"),
        ("LEEWARD_APPLY__PRUNE_MAX_OBJECTS", "7"),
        ("LEEWARD_SOURCE__ALLOW_HTTP", "true"),
    ]);
    sources.text = None;
    let config = config(&sources);
    assert_eq!((config.source.path.as_str(), config.apply.prune_max_objects), ("north", 7));
}

#[test]
fn variables_are_merged_one_by_one_and_have_names_of_shells() {
    let mut sources =
        sources(&format!("{SMALLEST}[substitute]\nvariables = {{ a = \"1\", b = \"2\" }}\n"));
    sources.flags = vec!["substitute.variables.b=x=y".into()];
    sources.environment = [("LEEWARD_SUBSTITUTE__VARIABLES__C".to_owned(), "3".to_owned())].into();
    let variables: Vec<_> = config(&sources).substitute.variables.into_iter().collect();
    let expected = [("a", "1"), ("b", "x=y"), ("c", "3")];
    assert_eq!(variables, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    assert_snapshot!(problems_with(&["substitute.variables.a-b=1"]), @"--set: substitute.variables: found the name `a-b`, expected a letter or `_`, then letters, digits and `_`");
}

#[test]
fn roots_are_folders_with_placeholders_and_none_is_not_all() {
    let of = |line: &str| {
        let text = format!("{SMALLEST}allowed_roots = {line}\n");
        config(&sources(&text)).source.allowed_roots
    };
    assert_eq!(of(r#"["base", "parts/{cluster}"]"#), ["base", "parts/shop-0042"]);
    assert_eq!(of("[]"), [""; 0]);
    assert_eq!([of(r#"[""]"#), of("''")], [[""], [""]]);
    let set = with_environment(&[("LEEWARD_SOURCE__ALLOWED_ROOTS", "base, parts")]);
    assert_eq!(config(&set).source.allowed_roots, ["base", "parts"]);
    let wrong = [r#"["../base"]"#, r#"["{label:none}"]"#, "5"]
        .map(|line| problems_of(&format!("{SMALLEST}allowed_roots = {line}\n")));
    assert_snapshot!(wrong.join("\n"), @"
    agent.toml:7: source.allowed_roots: found a list, expected folders from the root of the repository, without a leading or trailing slash, `.` or `..`, not `../base`
    agent.toml:7: source.allowed_roots: found a list, expected a label of this cluster: cluster.labels has no `none`, it is empty
    agent.toml:7: source.allowed_roots: found 5, expected a list of folders such as `[\"base\", \"components\"]`
    ");
}

#[test]
fn labels_are_merged_one_by_one() {
    let mut sources =
        sources(&format!("{SMALLEST}[cluster.labels]\nregion = \"north\"\nring = \"a\"\n"));
    sources.flags = vec!["cluster.labels.ring=b".into(), "cluster.labels=site=x,rack=7".into()];
    let labels: Vec<_> = config(&sources).cluster.labels.into_iter().collect();
    let expected = [("rack", "7"), ("region", "north"), ("ring", "b"), ("site", "x")];
    assert_eq!(labels, expected.map(|(label, value)| (label.to_owned(), value.to_owned())));
}

#[test]
fn variables_without_a_section_are_not_settings() {
    let sources = with_environment(&[
        ("LEEWARD_CONFIG", "x"),
        ("LEEWARD_SERVICE_HOST", "10.0.0.1"),
        ("LEEWARD_BLESS", "1"),
        ("PATH", "/bin"),
    ]);
    assert!(load(&sources).is_ok());
}

#[test]
fn rust_log_beats_the_file_and_our_own_variable_beats_it() {
    let of = |variables| config(&with_environment(variables)).log.level;
    assert_eq!(of(&[("RUST_LOG", "debug")]), "debug");
    assert_eq!(of(&[("RUST_LOG", "debug"), ("LEEWARD_LOG__LEVEL", "warn")]), "warn");
}

#[test]
fn logs_go_to_the_journal_under_systemd_unless_told_otherwise() {
    let journal = Sources { journal: true, ..sources(SMALLEST) };
    assert_eq!(config(&journal).log.format, LogFormat::Journald);
    let told = Sources { journal: true, ..with_flags(&["log.format=text"]) };
    assert_eq!(config(&told).log.format, LogFormat::Text);
}

#[test]
fn unknown_keys_name_file_line_and_the_nearest_key() {
    let text = format!(
        "{SMALLEST}urll = 1\npasswordfile = \"x\"\nzzz = 1\n[sorce]\na = 1\n[http]\nlissten = \"\"\n"
    );
    assert_snapshot!(problems_of(&text), @"
    agent.toml:7: unknown key `source.urll`; did you mean `source.url`?
    agent.toml:8: unknown key `source.passwordfile`; did you mean `source.password_file`?
    agent.toml:9: unknown key `source.zzz`
    agent.toml:10: unknown section `sorce`; did you mean `source`?
    agent.toml:13: unknown key `http.lissten`; did you mean `http.listen`?
    ");
}

#[test]
fn unknown_keys_of_other_layers_name_the_variable_or_flag() {
    let mut sources = with_environment(&[("LEEWARD_SOURCE__URLL", "x"), ("LEEWARD_A__B__C", "x")]);
    sources.flags = vec!["store.maxsize=1".into(), "nonsense".into()];
    assert_snapshot!(problems(&sources), @"
    $LEEWARD_A__B__C: unknown key `a.b.c`
    $LEEWARD_SOURCE__URLL: unknown key `source.urll`; did you mean `source.url`?
    --set: unknown key `store.maxsize`; did you mean `store.max_size`?
    --set: found `nonsense`, expected `section.key=value`
    ");
}

#[test]
fn wrong_values_say_what_was_found_and_what_is_allowed() {
    let text = r#"
[cluster]
name = "Shop_0042"
labels = ["a"]
[apply]
heal = "never"
timeout = 30
soak = "30 parsecs"
prune_max_objects = -1
prune_max_share = 30
[store]
path = 1979-05-27
max_size = "1KiB"
[http]
listen = "localhost"
[log]
level = "loud=loud=loud"
format = "xml"
[source]
proxy = {}
"#;
    assert_snapshot!(problems_of(text), @r#"
    agent.toml:3: cluster.name: found "Shop_0042", expected lower-case letters, digits and `-`, beginning and ending with a letter or digit, at most 63
    agent.toml:4: cluster.labels: found a list, expected a table such as `{ region = "north" }`
    agent.toml:6: apply.heal: found "never", expected `always` or `report`
    agent.toml:7: apply.timeout: found 30, expected a duration such as `"30s"`, `"5m"` or `"1h30m"`
    agent.toml:8: apply.soak: `30 parsecs` is not a duration such as 30s, 5m or 1h30m
    agent.toml:9: apply.prune_max_objects: found -1, expected a whole number such as `3`, not negative
    agent.toml:10: apply.prune_max_share: found 30, expected a number from 0 to 1 such as `0.3`
    agent.toml:12: store.path: found a date, expected text on one line
    agent.toml:13: store.max_size: found "1KiB", expected at least `1024KiB`
    agent.toml:15: http.listen: found "localhost", expected an address and a port such as `127.0.0.1:9450`, or "" to switch it off
    agent.toml:17: log.level: found "loud=loud=loud", expected `error`, `warn`, `info`, `debug`, `trace`, or a filter such as `info,leeward::source=debug`
    agent.toml:18: log.format: found "xml", expected `text` or `json` or `journald`
    agent.toml:20: source.proxy: found a table, expected text on one line
    source.url is required; set it in agent.toml, as $LEEWARD_SOURCE__URL, or with `--set source.url=…`
    source.path is required; set it in agent.toml, as $LEEWARD_SOURCE__PATH, or with `--set source.path=…`
    "#);
}

#[test]
fn a_key_that_is_no_section_is_refused() {
    assert_snapshot!(problems_of(&SMALLEST.replace("\n[cluster]", "store = 3\nurl = 1\n[cluster]")), @"
    agent.toml:1: store: found 3, expected a section `[store]`
    agent.toml:2: unknown key `url`; did you mean `source.url`?
    ");
}

#[test]
fn what_is_missing_is_named_with_the_places_to_set_it() {
    assert_snapshot!(problems(&Sources { path: DEFAULT_PATH.into(), ..Sources::default() }), @"
    cluster.name is required; set it in /etc/leeward/agent.toml (there is no such file), as $LEEWARD_CLUSTER__NAME, or with `--set cluster.name=…`
    source.url is required; set it in /etc/leeward/agent.toml (there is no such file), as $LEEWARD_SOURCE__URL, or with `--set source.url=…`
    source.path is required; set it in /etc/leeward/agent.toml (there is no such file), as $LEEWARD_SOURCE__PATH, or with `--set source.path=…`
    ");
}

#[test]
fn broken_toml_names_the_line() {
    assert_snapshot!(problems_of("[cluster]\nname = \"a\nlabels = {\n"), @r#"
    agent.toml:2: not TOML: invalid basic string, expected `"`
    agent.toml:3: not TOML: unclosed inline table, expected `}`
    "#);
}

#[test]
fn a_key_that_is_set_twice_names_the_line() {
    assert_snapshot!(problems_of("[cluster]\nname = \"a\"\nname = \"b\"\n"), @"agent.toml:3: not TOML: duplicate key");
}

#[test]
fn only_one_of_branch_tag_and_commit_can_be_followed() {
    assert_snapshot!(problems_of(&format!("{SMALLEST}branch = \"main\"\ntag = \"v1\"\n")), @"agent.toml:8: source.branch and source.tag are both set, but only one of them can be followed");
}

#[test]
fn a_commit_in_a_flag_replaces_the_branch_of_the_file() {
    let commit = "0123456789abcdef0123456789ABCDEF01234567";
    let sources = Sources {
        flags: vec![format!("source.commit={commit}")],
        ..sources(&format!("{SMALLEST}branch = \"main\"\n"))
    };
    assert_eq!(config(&sources).source.reference, Reference::Commit(commit.to_lowercase()));
}

#[test]
fn references_that_git_cannot_have_are_refused() {
    let refused = [
        "source.branch=refs/heads/main",
        "source.branch=a b",
        "source.tag=../x",
        "source.tag=-x",
        "source.commit=abc123",
    ]
    .map(|flag| problems_with(&[flag]));
    assert_snapshot!(refused.join("\n"), @r#"
    --set: source.branch: found "refs/heads/main", expected the short name, `main`
    --set: source.branch: found "a b", expected a name that Git allows
    --set: source.tag: found "../x", expected a name that Git allows
    --set: source.tag: found "-x", expected a name that Git allows
    --set: source.commit: found "abc123", expected a commit of 40 hex digits
    "#);
}

#[test]
fn unsafe_urls_are_refused_without_repeating_passwords() {
    let refused = [
        "source.url=http://git.example.com/fleet.git",
        "source.url=git@git.example.com:fleet.git",
        "source.url=ssh://git@git.example.com/fleet.git",
        "source.url=file:///srv/fleet.git",
        "source.url=https://me:secret@git.example.com/fleet.git",
        "source.url=fleet",
        "report.url=http://hq.example.com/v1/events",
        "source.proxy=socks5://me:secret@proxy",
    ]
    .map(|flag| problems_with(&[flag]));
    assert_snapshot!(refused.join("\n"), @r#"
    --set: source.url: found "http://git.example.com/fleet.git", expected `https://`, since `http://` is only for loopback; `source.allow_http = true` allows it
    --set: source.url: found "git@git.example.com:fleet.git", expected a URL such as `https://git.example.com/fleet.git`; SSH is not supported, use HTTPS with a deploy token
    --set: source.url: found "ssh://<masked>@git.example.com/fleet.git", expected a URL such as `https://git.example.com/fleet.git`; SSH is not supported, use HTTPS with a deploy token
    --set: source.url: found "file:///srv/fleet.git", expected a URL such as `https://git.example.com/fleet.git`
    --set: source.url: found "https://<masked>@git.example.com/fleet.git", expected a URL without credentials; they go into source.username and source.password_file
    --set: source.url: found "fleet", expected a URL such as `https://git.example.com/fleet.git`
    --set: report.url: found "http://hq.example.com/v1/events", expected `https://`, since `http://` is only for loopback; `report.allow_http = true` allows it
    --set: source.proxy: found "socks5://<masked>@proxy", expected the URL of an HTTP proxy such as `http://proxy.example.com:3128`
    "#);
}

#[test]
fn plain_http_is_allowed_to_loopback_or_when_asked_for() {
    let allowed: [&[&str]; 5] = [
        &["source.url=http://127.0.0.1:8080/a.git"],
        &["source.url=http://[::1]/a.git"],
        &["source.url=http://localhost/a.git"],
        &["source.url=http://git.lan/a.git", "source.allow_http=true"],
        &["report.url=http://hq.lan/", "report.allow_http=true"],
    ];
    assert_eq!(allowed.map(|flags| load(&with_flags(flags)).is_ok()), [true; 5]);
}

#[test]
fn credentials_that_do_not_go_together_are_refused() {
    let refused: [&[&str]; 7] = [
        &["source.username=a"],
        &["source.password_file=/p"],
        &["source.username=a", "source.password_file=/p", "source.token_file=/t"],
        &["source.client_cert_file=/c"],
        &["report.url=https://hq/", "report.client_key_file=/k"],
        &["report.token_file=/t"],
        &["source.username=a:b", "source.password_file=/p"],
    ];
    assert_snapshot!(refused.map(problems_with).join("\n"), @r#"
    --set: source.username is set, but source.password_file is not
    --set: source.password_file is set, but source.username is not
    --set: source.token_file and source.username are both set, but only one of them can be used
    --set: source.client_cert_file is set, but source.client_key_file is not
    --set: report.client_key_file is set, but report.client_cert_file is not
    --set: report.token_file is set, but report.url is not
    --set: source.username: found "a:b", expected a name without `:`
    "#);
}

#[test]
fn paths_that_leave_the_repository_or_do_not_expand_are_refused() {
    let refused: [&[&str]; 7] = [
        &["source.path=/clusters/a"],
        &["source.path=clusters/a/"],
        &["source.path=a//b"],
        &["source.path={label:region}/..", "cluster.labels.region=x"],
        &["source.path={label:region}/a", "cluster.labels.site=x"],
        &["source.path=clusters/{name}"],
        &["source.path=clusters/{cluster"],
    ];
    assert_snapshot!(refused.map(problems_with).join("\n"), @r#"
    --set: source.path: found "/clusters/a", expected a folder such as `clusters/{cluster}`, relative, without a leading or trailing slash, `.` or `..`
    --set: source.path: found "clusters/a/", expected a folder such as `clusters/{cluster}`, relative, without a leading or trailing slash, `.` or `..`
    --set: source.path: found "a//b", expected a folder such as `clusters/{cluster}`, relative, without a leading or trailing slash, `.` or `..`
    --set: source.path: found "{label:region}/..", expected a folder such as `clusters/{cluster}`, relative, without a leading or trailing slash, `.` or `..` (it expands to `x/..`)
    --set: source.path: found "{label:region}/a", expected a label of this cluster: cluster.labels has no `region`, only `site`
    --set: source.path: found "clusters/{name}", expected no braces but `{cluster}` and `{label:NAME}`
    --set: source.path: found "clusters/{cluster", expected no braces but `{cluster}` and `{label:NAME}`
    "#);
}

#[test]
fn an_empty_path_is_the_whole_repository() {
    assert_eq!(config(&with_flags(&["source.path="])).source.path, "");
}

#[test]
fn an_empty_text_unsets_a_key() {
    let text = SMALLEST.to_owned() + "token_file = \"/t\"\nbranch = \"next\"\n";
    let flags = vec!["source.token_file=".into(), "source.branch=".into()];
    let source = config(&Sources { flags, ..sources(&text) }).source;
    assert_eq!((source.token_file, source.reference), (None, Reference::Branch("main".into())));
}

#[test]
fn a_text_cannot_smuggle_lines_into_a_message() {
    assert_snapshot!(problems_with(&["source.url=x\n[31mforged: line"]), @r#"--set: source.url: found "x\n[31mforged: line", expected text on one line"#);
}

#[test]
fn a_file_that_was_named_has_to_be_there() {
    let invocation = Invocation { file: Some("/no/such.toml".into()), ..Invocation::default() };
    assert_eq!(
        invocation.load().unwrap_err().to_string(),
        "there is no configuration file /no/such.toml"
    );
}

#[test]
fn a_file_can_be_named_by_the_environment() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.toml").into_os_string().into_string().unwrap();
    std::fs::write(&path, SMALLEST).unwrap();
    let environment = [("LEEWARD_CONFIG".to_owned(), path)].into();
    let invocation = Invocation { environment, ..Invocation::default() };
    assert_eq!(invocation.load().unwrap().config.cluster.name, "shop-0042");
}

#[test]
fn a_file_that_is_not_text_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = camino::Utf8PathBuf::from_path_buf(folder.path().join("a.toml")).unwrap();
    std::fs::write(&path, [0xff, 0xfe]).unwrap();
    let invocation = Invocation { file: Some(path), ..Invocation::default() };
    assert!(matches!(
        invocation.load().unwrap_err(),
        LoadConfigError::Read(ReadConfigError::NotText { .. })
    ));
}

proptest::proptest! {
    #[test]
    fn any_text_is_a_configuration_or_a_list_of_problems(text in "(?s).{0,200}") {
        drop(load(&sources(&text)));
    }

    #[test]
    fn any_value_of_any_key_is_taken_or_refused(index in 0..KEYS.len(), value in "\\PC{0,40}") {
        let flag = format!("{}={value}", KEYS[index].name);
        if let Err(error) = load(&with_flags(&[&flag])) {
            proptest::prop_assert!(!error.problems.is_empty());
        }
    }
}
