//! The one table of every key. The checks take types and defaults from it, the
//! reference page and the JSON schema are printed from it, and the nearest
//! known key is looked up in it.

/// The type of a key's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Text,
    Url,
    /// A file or a folder.
    File,
    /// `true` or `false`.
    Switch,
    /// A whole number.
    Count,
    /// A number from 0 to 1.
    Share,
    Duration,
    Size,
    Choice(&'static [&'static str]),
    /// An address with a port.
    Address,
    /// A table of texts.
    Table,
    /// A list of files.
    Files,
    /// A list of folders of the repository.
    Folders,
}

impl Kind {
    /// The type's name for people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Url => "URL",
            Self::File => "path",
            Self::Switch => "`true` or `false`",
            Self::Count => "whole number",
            Self::Share => "number from 0 to 1",
            Self::Duration => "duration",
            Self::Size => "size",
            Self::Choice(_) => "choice",
            Self::Address => "address:port",
            Self::Table => "table of texts",
            Self::Files => "list of paths",
            Self::Folders => "list of folders",
        }
    }
}

/// The value of a key that nobody sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fallback {
    /// Somebody has to set it.
    Required,
    /// The value, written as in the environment.
    Value(&'static str),
    /// Nothing; the text says what that means.
    Unset(&'static str),
}

#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// `section.key`.
    pub name: &'static str,
    pub kind: Kind,
    pub fallback: Fallback,
    pub doc: &'static str,
}

impl Key {
    /// The environment variable that sets it.
    pub fn variable(&self) -> String {
        format!("LEEWARD_{}", self.name.replace('.', "__").to_uppercase())
    }

    pub fn section(&self) -> &'static str {
        self.name.split_once('.').map_or(self.name, |(section, _)| section)
    }
}

const fn key(name: &'static str, kind: Kind, fallback: Fallback, doc: &'static str) -> Key {
    Key { name, kind, fallback, doc }
}

use Fallback::{Required, Unset, Value};

/// Every key, in the order of the reference page.
pub const KEYS: &[Key] = &[
    key(
        "cluster.name",
        Kind::Text,
        Required,
        "Name of this cluster: lower-case letters, digits and `-`, at most 63. `{cluster}` in `source.path` becomes this.",
    ),
    key(
        "cluster.labels",
        Kind::Table,
        Unset("none"),
        "Labels of this cluster, `{ region = \"north\" }`. `{label:region}` in `source.path` becomes the label's value. Layers are merged label by label; `LEEWARD_CLUSTER__LABELS__REGION` and `--set cluster.labels.region=…` set one.",
    ),
    key(
        "cluster.kubeconfig",
        Kind::File,
        Unset("the mounted service account, else `$KUBECONFIG`, else `/etc/rancher/k3s/k3s.yaml`"),
        "How to reach the API server.",
    ),
    key(
        "source.url",
        Kind::Url,
        Required,
        "The repository: `https://…`. `http://` only to loopback, or with `allow_http`.",
    ),
    key(
        "source.branch",
        Kind::Text,
        Value("main"),
        "The branch to follow. Only one of `branch`, `tag` and `commit` may be set; one that is set in a later layer replaces the others.",
    ),
    key(
        "source.tag",
        Kind::Text,
        Unset("not pinned to a tag"),
        "The tag to follow, instead of a branch.",
    ),
    key(
        "source.commit",
        Kind::Text,
        Unset("not pinned to a commit"),
        "The commit to stay at, 40 hex digits, instead of a branch.",
    ),
    key(
        "source.path",
        Kind::Text,
        Required,
        "The cluster's folder in the repository, without a leading or trailing slash. `{cluster}` and `{label:NAME}` expand. Empty for the whole repository.",
    ),
    key(
        "source.allowed_roots",
        Kind::Folders,
        Unset("the whole repository"),
        "Folders of the repository that kustomizations may refer to besides `source.path`, such as `[\"base\", \"components\"]`; what is referred to elsewhere is not fetched, and the app is refused. `{cluster}` and `{label:NAME}` expand. `[\"\"]` is the whole repository, `[]` nothing but the path; in the environment with commas between them.",
    ),
    key(
        "source.interval",
        Kind::Duration,
        Value("30s"),
        "How often the repository is asked for something new; at least `100ms`.",
    ),
    key(
        "source.username",
        Kind::Text,
        Unset("no basic authentication"),
        "User name for basic authentication; needs `password_file`.",
    ),
    key(
        "source.password_file",
        Kind::File,
        Unset("none"),
        "File with the password or deploy token that goes with `username`. Read again at every use.",
    ),
    key(
        "source.token_file",
        Kind::File,
        Unset("no bearer authentication"),
        "File with a bearer token; excludes `username`. Read again at every use.",
    ),
    key(
        "source.ca_file",
        Kind::File,
        Unset("none"),
        "PEM file of certificate authorities to trust in addition to the system's.",
    ),
    key(
        "source.client_cert_file",
        Kind::File,
        Unset("no mutual TLS"),
        "PEM file with our certificate for mutual TLS; needs `client_key_file`.",
    ),
    key(
        "source.client_key_file",
        Kind::File,
        Unset("none"),
        "PEM file with the key of `client_cert_file`.",
    ),
    key(
        "source.proxy",
        Kind::Url,
        Unset("`$HTTPS_PROXY`, `$HTTP_PROXY` and `$NO_PROXY`"),
        "HTTP proxy to the repository.",
    ),
    key(
        "source.allow_http",
        Kind::Switch,
        Value("false"),
        "Allow `http://` to any host. Whoever sits on the link can then change what the cluster runs.",
    ),
    key(
        "store.path",
        Kind::File,
        Value("/var/lib/leeward"),
        "Folder of the store. Belongs to one agent alone.",
    ),
    key(
        "store.max_size",
        Kind::Size,
        Value("256MiB"),
        "How large the store may grow; at least `1MiB`.",
    ),
    key(
        "store.good_revisions",
        Kind::Count,
        Value("3"),
        "How many good revisions of an app are kept for `leeward rollback`, the present one among them; from 1 to 50. When `max_size` is short, the oldest go first; never the present one, and never one that is rolled back to.",
    ),
    key(
        "apply.heal",
        Kind::Choice(&["always", "report"]),
        Value("always"),
        "What to do about drift: undo it, or only report it. `leeward.yaml` may say otherwise for an app, as for every key of this section.",
    ),
    key(
        "apply.timeout",
        Kind::Duration,
        Value("5m"),
        "How long an app may take to become healthy.",
    ),
    key(
        "apply.soak",
        Kind::Duration,
        Value("1m"),
        "How long an app must stay healthy before its revision is good.",
    ),
    key(
        "apply.prune_max_objects",
        Kind::Count,
        Value("3"),
        "The prune guard holds a plan that deletes more objects than this…",
    ),
    key(
        "apply.prune_max_share",
        Kind::Share,
        Value("0.3"),
        "… and more than this share of the app.",
    ),
    key(
        "substitute.variables",
        Kind::Table,
        Unset("none"),
        "Variables, `{ domain = \"shop.example.com\" }`, for every app with `substitute` or `substituteFrom` in `leeward.yaml`, beside `cluster_name` and one `label_NAME` for each label; the app's own win. They are stored and may appear in messages: no secrets. Layers are merged one by one; `LEEWARD_SUBSTITUTE__VARIABLES__DOMAIN` (in lower case) and `--set substitute.variables.domain=…` set one.",
    ),
    key(
        "sops.age_key_files",
        Kind::Files,
        Unset("encrypted files are refused"),
        "Files of `age-keygen` with the keys that open files encrypted with SOPS, such as `[\"/etc/leeward/age.key\"]`; in the environment with commas between them. Not readable by every user. Read again at every use.",
    ),
    key(
        "report.url",
        Kind::Url,
        Unset("reports stay in the outbox"),
        "Where reports go: `https://…`. `http://` only to loopback, or with `allow_http`.",
    ),
    key(
        "report.token_file",
        Kind::File,
        Unset("none"),
        "File with a bearer token. Read again at every use.",
    ),
    key(
        "report.ca_file",
        Kind::File,
        Unset("none"),
        "PEM file of certificate authorities to trust in addition to the system's.",
    ),
    key(
        "report.client_cert_file",
        Kind::File,
        Unset("no mutual TLS"),
        "PEM file with our certificate for mutual TLS; needs `client_key_file`.",
    ),
    key(
        "report.client_key_file",
        Kind::File,
        Unset("none"),
        "PEM file with the key of `client_cert_file`.",
    ),
    key(
        "report.proxy",
        Kind::Url,
        Unset("`$HTTPS_PROXY`, `$HTTP_PROXY` and `$NO_PROXY`"),
        "HTTP proxy to the receiver.",
    ),
    key("report.allow_http", Kind::Switch, Value("false"), "Allow `http://` to any host."),
    key(
        "report.max_size",
        Kind::Size,
        Value("8MiB"),
        "How large the outbox may grow while the receiver cannot be reached; at least `4KiB`.",
    ),
    key(
        "http.listen",
        Kind::Address,
        Value("127.0.0.1:9450"),
        "Where `/healthz`, `/readyz` and `/metrics` are served; empty switches it off.",
    ),
    key(
        "control.socket",
        Kind::File,
        Value("/run/leeward/control.sock"),
        "The Unix socket through which the commands speak with the daemon.",
    ),
    key(
        "log.level",
        Kind::Text,
        Value("info"),
        "What is logged: `error`, `warn`, `info`, `debug`, `trace`, or a filter such as `info,leeward::source=debug`. `$RUST_LOG` sets it too.",
    ),
    key(
        "log.format",
        Kind::Choice(&["text", "json", "journald"]),
        Unset("`journald` under systemd, else `text`"),
        "How it is logged. Logs go to stderr, or straight to the journal.",
    ),
];

/// The key of that name.
pub(super) fn find(name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.name == name)
}

pub(super) fn is_section(name: &str) -> bool {
    KEYS.iter().any(|key| key.section() == name)
}

/// The known key that `unknown` was probably meant to be.
pub fn nearest(unknown: &str) -> Option<&'static str> {
    let last = unknown.rsplit('.').next().unwrap_or(unknown);
    KEYS.iter()
        .enumerate()
        .map(|(position, key)| {
            let key_last = key.name.rsplit('.').next().unwrap_or(key.name);
            let distance = strsim::damerau_levenshtein(unknown, key.name);
            // The right key in the wrong section is near, however the sections are spelt.
            let score = if key_last == last { distance.min(2) } else { distance };
            (score, distance, position, key.name)
        })
        .min()
        .filter(|(score, ..)| *score <= 2.max(unknown.len() / 4))
        .map(|(.., name)| name)
}

/// The known section that `unknown` was probably meant to be.
pub(super) fn nearest_section(unknown: &str) -> Option<&'static str> {
    KEYS.iter()
        .map(Key::section)
        .map(|section| (strsim::damerau_levenshtein(unknown, section), section))
        .min()
        .filter(|(distance, _)| *distance <= 2)
        .map(|(_, section)| section)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistyped_key_is_recognised() {
        let hints =
            ["source.urll", "source.passwordfile", "store.maxsize", "sorce.url"].map(nearest);
        assert_eq!(
            hints,
            [
                Some("source.url"),
                Some("source.password_file"),
                Some("store.max_size"),
                Some("source.url")
            ]
        );
    }

    #[test]
    fn a_key_in_the_wrong_section_is_recognised() {
        assert_eq!(nearest("cluster.listen"), Some("http.listen"));
    }

    #[test]
    fn nothing_is_suggested_for_what_is_like_nothing() {
        assert_eq!(nearest("source.colour_of_the_sky"), None);
    }

    #[test]
    fn no_key_is_listed_twice() {
        let mut names: Vec<_> = KEYS.iter().map(|key| key.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), KEYS.len());
    }
}
