//! From settings to a configuration: types, ranges, and what goes together.
//! Collects every problem; the first one never hides the others.

use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

use camino::Utf8PathBuf;
use leeward_core::model::{Heal, parse_duration, parse_size};

use super::{
    ApplyConfig, ClusterConfig, Config, ControlConfig, HttpConfig, LogConfig, LogFormat,
    ReportConfig, SopsConfig, SourceConfig, StoreConfig, SubstituteConfig, TlsFiles,
    error::{Origin, Problem},
    layers::{LABELS, Raw, Settings, Sources, VARIABLES},
    source,
};

/// Below this a poll is a busy loop.
const MIN_INTERVAL: Duration = Duration::from_millis(100);
/// Room for the tables of the store themselves, in bytes.
const MIN_STORE_SIZE: u64 = 1 << 20;
/// Good revisions of an app that are kept: the present one, and no more than a
/// person reads; each takes room in the store, and a line of the app's record.
const GOOD_REVISIONS: std::ops::RangeInclusive<u32> = 1..=50;
/// Room for a handful of events, in bytes.
const MIN_OUTBOX_SIZE: u64 = 4 << 10;
/// Characters of a cluster's name: it has to fit into a DNS label.
const MAX_NAME_LENGTH: usize = 63;

pub(super) fn check(
    sources: &Sources,
    settings: &Settings,
    problems: Vec<Problem>,
) -> Result<Config, Vec<Problem>> {
    let mut checker = Checker { sources, settings, problems };
    let labels = checker.table(LABELS);
    let cluster = checker.cluster(&labels);
    let source = checker.source(cluster.as_ref().map(|c| c.name.as_str()), &labels);
    let store = checker.store();
    let apply = checker.apply();
    let substitute = SubstituteConfig { variables: checker.table(VARIABLES) };
    let sops =
        checker.files("sops.age_key_files").map(|age_key_files| SopsConfig { age_key_files });
    let report = checker.report();
    let http = checker.http();
    let control = checker.file("control.socket").map(|socket| ControlConfig { socket });
    if checker.is_empty_text("control.socket") {
        checker.wrong("control.socket", "the path of a socket");
    }
    let log = checker.log();
    match (cluster, source, store, apply, sops, report, http, control, log) {
        (
            Some(cluster),
            Some(source),
            Some(store),
            Some(apply),
            Some(sops),
            Some(report),
            Some(http),
            Some(control),
            Some(log),
        ) if checker.problems.is_empty() => Ok(Config {
            cluster,
            source,
            store,
            apply,
            substitute,
            sops,
            report,
            http,
            control,
            log,
        }),
        _ => Err(checker.problems),
    }
}

pub(super) struct Checker<'a> {
    sources: &'a Sources,
    settings: &'a Settings,
    problems: Vec<Problem>,
}

/// Sections. `None` means that a problem has been noted.
impl Checker<'_> {
    fn cluster(&mut self, labels: &BTreeMap<String, String>) -> Option<ClusterConfig> {
        let name = self.required("cluster.name");
        let kubeconfig = self.file("cluster.kubeconfig");
        let name = name?;
        if !is_dns_label(&name) {
            let expected = "lower-case letters, digits and `-`, beginning and ending with a letter or digit, at most 63";
            self.wrong("cluster.name", expected);
            return None;
        }
        Some(ClusterConfig { name, labels: labels.clone(), kubeconfig })
    }

    /// The entries of a table of texts.
    fn table(&mut self, name: &str) -> BTreeMap<String, String> {
        let mut texts = BTreeMap::new();
        for (entry, setting) in self.settings.tables.get(name).into_iter().flatten() {
            match &setting.raw {
                Raw::Loose(text) | Raw::String(text) if !text.chars().any(char::is_control) => {
                    texts.insert(entry.clone(), text.clone());
                }
                raw => {
                    let found = raw.found();
                    let message =
                        format!("{name}.{entry}: found {found}, expected text on one line");
                    self.note(Some(setting.origin.clone()), message);
                }
            }
        }
        texts
    }

    fn source(
        &mut self,
        cluster: Option<&str>,
        labels: &BTreeMap<String, String>,
    ) -> Option<SourceConfig> {
        let url = self.required("source.url").and_then(|_| self.remote("source"));
        let reference = source::reference(self);
        let path = source::path(self, cluster, labels);
        let allowed_roots = source::allowed_roots(self, cluster, labels);
        let interval = self.duration("source.interval", MIN_INTERVAL);
        let username = self.text("source.username");
        let password_file = self.file("source.password_file");
        let token_file = self.file("source.token_file");
        source::credentials(
            self,
            username.as_deref(),
            password_file.is_some(),
            token_file.is_some(),
        );
        let tls = self.tls("source");
        let proxy = self.proxy("source.proxy");
        Some(SourceConfig {
            url: url?,
            reference: reference?,
            path: path?,
            allowed_roots: allowed_roots?,
            interval: interval?,
            username,
            password_file,
            token_file,
            tls,
            proxy,
        })
    }

    fn store(&mut self) -> Option<StoreConfig> {
        let max_size = self.size("store.max_size", MIN_STORE_SIZE);
        let path = self.file("store.path");
        if self.is_empty_text("store.path") {
            self.wrong("store.path", "the path of a folder");
        }
        let good_revisions = self.good_revisions();
        Some(StoreConfig { path: path?, max_size: max_size?, good_revisions: good_revisions? })
    }

    fn good_revisions(&mut self) -> Option<usize> {
        let count = self.count("store.good_revisions")?;
        if !GOOD_REVISIONS.contains(&count) {
            self.wrong("store.good_revisions", "a number from 1 to 50");
        }
        usize::try_from(count).ok()
    }

    fn apply(&mut self) -> Option<ApplyConfig> {
        let heal = self.choice("apply.heal", &[("always", Heal::Always), ("report", Heal::Report)]);
        let timeout = self.duration("apply.timeout", Duration::from_millis(1));
        let soak = self.duration("apply.soak", Duration::ZERO);
        let prune_max_objects = self.count("apply.prune_max_objects");
        let prune_max_share = self.share("apply.prune_max_share");
        Some(ApplyConfig {
            heal: heal?,
            timeout: timeout?,
            soak: soak?,
            prune_max_objects: prune_max_objects?,
            prune_max_share: prune_max_share?,
        })
    }

    /// The outer `None` is a problem, the inner one is no receiver.
    #[expect(clippy::option_option, reason = "the two are different, and only here")]
    fn report(&mut self) -> Option<Option<ReportConfig>> {
        let url = self.text("report.url");
        let remote = url.as_ref().and_then(|_| self.remote("report"));
        let token_file = self.file("report.token_file");
        let tls = self.tls("report");
        let proxy = self.proxy("report.proxy");
        let max_size = self.size("report.max_size", MIN_OUTBOX_SIZE);
        if url.is_none() {
            for name in ["report.token_file", "report.ca_file", "report.client_cert_file"] {
                if self.text(name).is_some() {
                    self.note(self.origin(name), format!("{name} is set, but report.url is not"));
                }
            }
            return Some(None);
        }
        Some(Some(ReportConfig { url: remote?, token_file, tls, proxy, max_size: max_size? }))
    }

    fn http(&mut self) -> Option<HttpConfig> {
        let Some(text) = self.text("http.listen") else {
            return Some(HttpConfig { listen: None });
        };
        let address = text.parse::<SocketAddr>().ok();
        if address.is_none() {
            let expected =
                "an address and a port such as `127.0.0.1:9450`, or \"\" to switch it off";
            self.wrong("http.listen", expected);
        }
        address.map(|address| HttpConfig { listen: Some(address) })
    }

    fn log(&mut self) -> Option<LogConfig> {
        let formats = [
            ("text", LogFormat::Text),
            ("json", LogFormat::Json),
            ("journald", LogFormat::Journald),
        ];
        let format = match self.text("log.format") {
            Some(_) => self.choice("log.format", &formats),
            None if self.sources.journal => Some(LogFormat::Journald),
            None => Some(LogFormat::Text),
        };
        let level = self.text("log.level").unwrap_or_else(|| "info".to_owned());
        if tracing_subscriber::EnvFilter::try_new(&level).is_err() {
            let expected = "`error`, `warn`, `info`, `debug`, `trace`, or a filter such as `info,leeward::source=debug`";
            self.wrong("log.level", expected);
        }
        Some(LogConfig { level, format: format? })
    }

    fn tls(&mut self, section: &str) -> TlsFiles {
        let names = ["ca_file", "client_cert_file", "client_key_file"]
            .map(|key| format!("{section}.{key}"));
        let [ca, client_cert, client_key] = [0, 1, 2].map(|index: usize| self.file(&names[index]));
        match (&client_cert, &client_key) {
            (Some(_), None) => self.without(&names[1], &names[2]),
            (None, Some(_)) => self.without(&names[2], &names[1]),
            _ => {}
        }
        TlsFiles { ca, client_cert, client_key }
    }

    fn remote(&mut self, section: &str) -> Option<String> {
        let name = format!("{section}.url");
        let allow_http = self.switch(&format!("{section}.allow_http"))?;
        let url = self.text(&name)?;
        match source::remote(&url, allow_http, section) {
            Ok(()) => Some(url),
            Err(expected) => {
                self.wrong(&name, &expected);
                None
            }
        }
    }

    fn proxy(&mut self, name: &str) -> Option<String> {
        let proxy = self.text(name)?;
        let usable = reqwest::Url::parse(&proxy)
            .is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
        if !usable {
            self.wrong(name, "the URL of an HTTP proxy such as `http://proxy.example.com:3128`");
        }
        Some(proxy)
    }
}

/// Values of one key. `None` means unset, or that a problem has been noted.
impl Checker<'_> {
    pub(super) fn origin(&self, name: &str) -> Option<Origin> {
        self.settings.keys.get(name).map(|setting| setting.origin.clone())
    }

    pub(super) fn note(&mut self, origin: Option<Origin>, message: String) {
        let problem = Problem { origin, message };
        if !self.problems.contains(&problem) {
            self.problems.push(problem);
        }
    }

    /// Notes that the value of `name` is not what is allowed.
    pub(super) fn wrong(&mut self, name: &str, expected: &str) {
        let Some(setting) = self.settings.keys.get(name) else { return };
        let message = format!("{name}: found {}, expected {expected}", setting.raw.found());
        self.note(Some(setting.origin.clone()), message);
    }

    /// Notes that `name` is of no use without `other`.
    pub(super) fn without(&mut self, name: &str, other: &str) {
        self.note(self.origin(name), format!("{name} is set, but {other} is not"));
    }

    /// `None` when unset or empty.
    pub(super) fn text(&mut self, name: &str) -> Option<String> {
        match &self.settings.keys.get(name)?.raw {
            Raw::Loose(text) | Raw::String(text) if text.is_empty() => None,
            Raw::Loose(text) | Raw::String(text) if !text.contains(char::is_control) => {
                Some(text.clone())
            }
            _ => {
                self.wrong(name, "text on one line");
                None
            }
        }
    }

    pub(super) fn is_empty_text(&self, name: &str) -> bool {
        self.settings.keys.get(name).is_some_and(|setting| {
            matches!(&setting.raw, Raw::Loose(text) | Raw::String(text) if text.is_empty())
        })
    }

    pub(super) fn is_set(&self, name: &str) -> bool {
        self.settings.keys.contains_key(name)
    }

    pub(super) fn missing(&mut self, name: &str) {
        let variable = super::keys::find(name).map(super::Key::variable).unwrap_or_default();
        let path = &self.sources.path;
        let place = match self.sources.text {
            Some(_) => format!("in {path}"),
            None => format!("in {path} (there is no such file)"),
        };
        let message =
            format!("{name} is required; set it {place}, as ${variable}, or with `--set {name}=…`");
        self.note(None, message);
    }

    fn required(&mut self, name: &str) -> Option<String> {
        let before = self.problems.len();
        let text = self.text(name);
        if text.is_none() && self.problems.len() == before {
            self.missing(name);
        }
        text
    }

    fn file(&mut self, name: &str) -> Option<Utf8PathBuf> {
        self.text(name).map(Utf8PathBuf::from)
    }

    /// The texts of a list. `None`: it is not set, or is none.
    pub(super) fn texts(&self, name: &str) -> Option<Vec<String>> {
        match &self.settings.keys.get(name)?.raw {
            Raw::List(texts) => Some(texts.clone()),
            Raw::Loose(text) => {
                let parts = text.split(',').map(str::trim).filter(|text| !text.is_empty());
                Some(parts.map(str::to_owned).collect())
            }
            _ => None,
        }
    }

    /// Files of a list; none when it is unset.
    fn files(&mut self, name: &str) -> Option<Vec<Utf8PathBuf>> {
        if !self.is_set(name) {
            return Some(Vec::new());
        }
        let texts = self.texts(name).unwrap_or_else(|| vec![String::new()]);
        if texts.iter().any(|text| text.is_empty() || text.contains(char::is_control)) {
            self.wrong(name, "a list of paths such as `[\"/etc/leeward/age.key\"]`");
            return None;
        }
        Some(texts.into_iter().map(Utf8PathBuf::from).collect())
    }

    /// Notes what a parser says of a value, which repeats the value itself.
    fn not_a(&mut self, name: &str, complaint: &str) {
        self.note(self.origin(name), format!("{name}: {complaint}"));
    }

    fn duration(&mut self, name: &str, at_least: Duration) -> Option<Duration> {
        let (Raw::Loose(text) | Raw::String(text)) = &self.settings.keys.get(name)?.raw else {
            self.wrong(name, "a duration such as `\"30s\"`, `\"5m\"` or `\"1h30m\"`");
            return None;
        };
        match parse_duration(text) {
            Ok(duration) if duration >= at_least => return Some(duration),
            Ok(_) => self.wrong(name, &format!("at least `{at_least:?}`")),
            Err(complaint) => self.not_a(name, &complaint),
        }
        None
    }

    fn size(&mut self, name: &str, at_least: u64) -> Option<u64> {
        let text = match &self.settings.keys.get(name)?.raw {
            Raw::Loose(text) | Raw::String(text) => text.clone(),
            Raw::Integer(bytes) => bytes.to_string(),
            _ => {
                self.wrong(name, "a size such as `\"64KiB\"` or `\"256MiB\"`");
                return None;
            }
        };
        match parse_size(&text) {
            Ok(bytes) if bytes >= at_least => return Some(bytes),
            Ok(_) => self.wrong(name, &format!("at least `{}KiB`", at_least >> 10)),
            Err(complaint) => self.not_a(name, &complaint),
        }
        None
    }

    fn count(&mut self, name: &str) -> Option<u32> {
        let parsed = match &self.settings.keys.get(name)?.raw {
            Raw::Loose(text) => text.trim().parse().ok(),
            Raw::Integer(number) => u32::try_from(*number).ok(),
            _ => None,
        };
        if parsed.is_none() {
            self.wrong(name, "a whole number such as `3`, not negative");
        }
        parsed
    }

    fn share(&mut self, name: &str) -> Option<f64> {
        let parsed = match &self.settings.keys.get(name)?.raw {
            Raw::Loose(text) => text.trim().parse().ok(),
            Raw::Float(number) => Some(*number),
            Raw::Integer(0) => Some(0.0),
            Raw::Integer(1) => Some(1.0),
            _ => None,
        };
        let share = parsed.filter(|share| (0.0..=1.0).contains(share));
        if share.is_none() {
            self.wrong(name, "a number from 0 to 1 such as `0.3`");
        }
        share
    }

    fn switch(&mut self, name: &str) -> Option<bool> {
        let parsed = match &self.settings.keys.get(name)?.raw {
            Raw::Loose(text) => text.trim().parse().ok(),
            Raw::Boolean(switch) => Some(*switch),
            _ => None,
        };
        if parsed.is_none() {
            self.wrong(name, "`true` or `false`");
        }
        parsed
    }

    fn choice<T: Copy>(&mut self, name: &str, choices: &[(&str, T)]) -> Option<T> {
        let text = match &self.settings.keys.get(name)?.raw {
            Raw::Loose(text) | Raw::String(text) => text.as_str(),
            _ => "",
        };
        let chosen = choices.iter().find(|(word, _)| *word == text).map(|(_, choice)| *choice);
        if chosen.is_none() {
            let words: Vec<_> = choices.iter().map(|(word, _)| format!("`{word}`")).collect();
            self.wrong(name, &words.join(" or "));
        }
        chosen
    }
}

fn is_dns_label(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    !text.is_empty()
        && text.len() <= MAX_NAME_LENGTH
        && text.bytes().all(inner)
        && !text.starts_with('-')
        && !text.ends_with('-')
}
