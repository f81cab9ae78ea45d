//! Merges what the file, the environment and the flags say into one set of
//! settings, each with its origin. Knows which keys exist, not what they mean.

use std::collections::BTreeMap;

use camino::Utf8PathBuf;
use leeward_core::model::{MASK, is_variable_name};
use toml::de::{DeTable, DeValue};

use super::{
    error::{Origin, Problem},
    keys::{self, Fallback, KEYS, Key, Kind},
};

/// A file with more broken lines than this was not meant to be TOML.
const MAX_SYNTAX_PROBLEMS: usize = 10;
/// Every variable of ours starts so; a setting has a section after it.
const PREFIX: &str = "LEEWARD_";
/// The tables of texts.
pub(super) const LABELS: &str = "cluster.labels";
pub(super) const VARIABLES: &str = "substitute.variables";

/// Everything that decides the configuration, as data.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sources {
    /// Where the file is, or would be.
    pub path: Utf8PathBuf,
    /// `None`: there is no such file.
    pub text: Option<String>,
    pub environment: BTreeMap<String, String>,
    /// `section.key=value`, in order; later ones win.
    pub flags: Vec<String>,
    /// stderr is connected to the systemd journal.
    pub journal: bool,
}

/// A value as it was written.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Raw {
    /// From the environment, a flag or the table of defaults: the key gives it a type.
    Loose(String),
    String(String),
    /// In decimal.
    Integer(i128),
    Float(f64),
    Boolean(bool),
    /// A list of texts.
    List(Vec<String>),
    /// Something that no key holds, in words.
    Other(&'static str),
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Setting {
    pub(super) raw: Raw,
    pub(super) origin: Origin,
}

#[derive(Debug, Default)]
pub(super) struct Settings {
    pub(super) keys: BTreeMap<&'static str, Setting>,
    /// The entries of each table of texts.
    pub(super) tables: BTreeMap<&'static str, BTreeMap<String, Setting>>,
}

/// All layers merged: the value of each key, and the problems.
#[derive(Debug, Default)]
pub(super) struct Merged {
    pub(super) settings: Settings,
    pub(super) problems: Vec<Problem>,
    /// The file is not TOML, so what seems to be missing may well be in it.
    pub(super) broken: bool,
}

/// Lays the layers over each other: defaults, file, environment, flags.
pub(super) fn merge(sources: &Sources) -> Merged {
    let mut merge = Merged::default();
    for key in KEYS {
        if let Fallback::Value(text) = key.fallback {
            merge.set(key, Raw::Loose(text.to_owned()), Origin::Default);
        }
    }
    merge.file(sources);
    merge.environment(&sources.environment);
    merge.flags(&sources.flags);
    merge
}

impl Merged {
    fn problem(&mut self, origin: Origin, message: impl Into<String>) {
        self.problems.push(Problem { origin: Some(origin), message: message.into() });
    }

    fn set(&mut self, key: &Key, raw: Raw, origin: Origin) {
        if key.kind == Kind::Table {
            self.entries(key.name, &raw, &origin);
        } else {
            self.settings.keys.insert(key.name, Setting { raw, origin });
        }
    }

    fn unknown_key(&mut self, name: &str, origin: Origin) {
        let hint = match keys::nearest(name) {
            Some(known) => format!("; did you mean `{known}`?"),
            None => String::new(),
        };
        self.problem(origin, format!("unknown key `{}`{hint}", cut(name)));
    }

    fn file(&mut self, sources: &Sources) {
        let Some(text) = &sources.text else { return };
        let at = |offset: usize| Origin::File {
            path: sources.path.clone(),
            line: text.as_bytes().iter().take(offset).filter(|byte| **byte == b'\n').count() + 1,
        };
        let (table, errors) = DeTable::parse_recoverable(text);
        if !errors.is_empty() {
            self.broken = true;
            for error in errors.iter().take(MAX_SYNTAX_PROBLEMS) {
                let origin = at(error.span().map_or(0, |span| span.start));
                // One slip often upsets the parser twice on the same line.
                if self.problems.last().is_none_or(|last| last.origin.as_ref() != Some(&origin)) {
                    self.problem(origin, format!("not TOML: {}", one_line(error.message())));
                }
            }
            return;
        }
        for (section, value) in table.get_ref() {
            let origin = at(section.span().start);
            let section = section.get_ref().as_ref();
            if !keys::is_section(section) {
                let hint = keys::nearest_section(section)
                    .or_else(|| keys::nearest(section))
                    .map_or_else(String::new, |known| format!("; did you mean `{known}`?"));
                let what =
                    if matches!(value.get_ref(), DeValue::Table(_)) { "section" } else { "key" };
                self.problem(origin, format!("unknown {what} `{}`{hint}", cut(section)));
            } else if let DeValue::Table(entries) = value.get_ref() {
                self.file_section(section, entries, &at);
            } else {
                let found = Raw::of(value.get_ref()).found();
                self.problem(
                    origin,
                    format!("{section}: found {found}, expected a section `[{section}]`"),
                );
            }
        }
    }

    fn file_section(&mut self, section: &str, table: &DeTable<'_>, at: &impl Fn(usize) -> Origin) {
        for (key, value) in table {
            let name = format!("{section}.{}", key.get_ref());
            let origin = at(key.span().start);
            match (keys::find(&name), value.get_ref()) {
                (Some(known), DeValue::Table(entries)) if known.kind == Kind::Table => {
                    for (entry, value) in entries {
                        let origin = at(entry.span().start);
                        self.entry(known.name, entry.get_ref(), Raw::of(value.get_ref()), origin);
                    }
                }
                (Some(known), value) => self.set(known, Raw::of(value), origin),
                (None, _) => self.unknown_key(&name, origin),
            }
        }
    }

    fn environment(&mut self, environment: &BTreeMap<String, String>) {
        if let Some(level) = environment.get("RUST_LOG").filter(|level| !level.is_empty()) {
            let origin = Origin::Environment { variable: "RUST_LOG".to_owned() };
            self.named("log.level", level, origin);
        }
        for (variable, value) in environment {
            // Without a section it is not a setting: `LEEWARD_CONFIG`, or what
            // Kubernetes adds for a Service of this name.
            let Some(rest) = variable.strip_prefix(PREFIX).filter(|rest| rest.contains("__"))
            else {
                continue;
            };
            let name = rest.to_lowercase().replace("__", ".");
            self.named(&name, value, Origin::Environment { variable: variable.clone() });
        }
    }

    fn flags(&mut self, flags: &[String]) {
        for flag in flags {
            let (name, value) = flag.split_once('=').unwrap_or((flag, ""));
            if flag.contains('=') {
                self.named(name.trim(), value, Origin::Flag);
            } else {
                let found = cut(name);
                self.problem(
                    Origin::Flag,
                    format!("found `{found}`, expected `section.key=value`"),
                );
            }
        }
    }

    fn named(&mut self, name: &str, value: &str, origin: Origin) {
        let raw = Raw::Loose(value.to_owned());
        let within = |table: &'static str| {
            name.strip_prefix(table).and_then(|rest| rest.strip_prefix('.')).map(|e| (table, e))
        };
        if let Some((table, entry)) = within(LABELS).or_else(|| within(VARIABLES)) {
            self.entry(table, entry, raw, origin);
        } else if let Some(key) = keys::find(name) {
            self.set(key, raw, origin);
        } else {
            self.unknown_key(name, origin);
        }
    }

    fn entry(&mut self, table: &'static str, name: &str, raw: Raw, origin: Origin) {
        let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        let (usable, expected) = if table == VARIABLES {
            let expected = "a letter or `_`, then letters, digits and `_`";
            (is_variable_name(name), expected)
        } else {
            let usable = !name.is_empty() && name.chars().all(plain);
            (usable, "letters, digits, `.`, `_` and `-`")
        };
        if usable {
            let entries = self.settings.tables.entry(table).or_default();
            entries.insert(name.to_owned(), Setting { raw, origin });
        } else {
            let message = format!("{table}: found the name `{}`, expected {expected}", cut(name));
            self.problem(origin, message);
        }
    }

    /// A table in one text: `region=north,ring=canary`.
    fn entries(&mut self, table: &'static str, raw: &Raw, origin: &Origin) {
        let Raw::Loose(text) = raw else {
            let found = raw.found();
            let expected = "a table such as `{ region = \"north\" }`";
            self.problem(origin.clone(), format!("{table}: found {found}, expected {expected}"));
            return;
        };
        for pair in text.split(',').filter(|pair| !pair.trim().is_empty()) {
            match pair.split_once('=') {
                Some((name, value)) => {
                    let raw = Raw::Loose(value.trim().to_owned());
                    self.entry(table, name.trim(), raw, origin.clone());
                }
                None => self.problem(
                    origin.clone(),
                    format!(
                        "{table}: found \"{}\", expected pairs such as `region=north,ring=canary`",
                        cut(pair)
                    ),
                ),
            }
        }
    }
}

impl Raw {
    fn of(value: &DeValue<'_>) -> Self {
        match value {
            DeValue::String(text) => Self::String(text.clone().into_owned()),
            DeValue::Integer(number) => i128::from_str_radix(number.as_str(), number.radix())
                .map_or(Self::Other("a number out of range"), Self::Integer),
            DeValue::Float(number) => {
                number.as_str().parse().map_or(Self::Other("a number"), Self::Float)
            }
            DeValue::Boolean(switch) => Self::Boolean(*switch),
            DeValue::Datetime(_) => Self::Other("a date"),
            DeValue::Array(items) => {
                let text = |item: &DeValue<'_>| item.as_str().map(str::to_owned);
                let texts: Option<_> = items.iter().map(|item| text(item.get_ref())).collect();
                texts.map_or(Self::Other("a list"), Self::List)
            }
            DeValue::Table(_) => Self::Other("a table"),
        }
    }

    /// Returns the value for a message: bounded, on one line, without passwords.
    pub(super) fn found(&self) -> String {
        match self {
            Self::Loose(text) | Self::String(text) => {
                format!("\"{}\"", cut(&without_userinfo(text)))
            }
            Self::Integer(number) => number.to_string(),
            Self::Float(number) => number.to_string(),
            Self::Boolean(switch) => switch.to_string(),
            Self::List(_) => "a list".to_owned(),
            Self::Other(words) => (*words).to_owned(),
        }
    }
}

/// The longest piece of a value that a message repeats, in characters.
const MAX_FOUND: usize = 100;

fn cut(text: &str) -> String {
    let mut cut: String = text.escape_debug().take(MAX_FOUND + 1).collect();
    if cut.chars().count() > MAX_FOUND {
        cut = cut.chars().take(MAX_FOUND).chain(['…']).collect();
    }
    // `escape_debug` is for Rust; quotes need no backslash in a sentence.
    cut.replace("\\\"", "\"").replace("\\'", "'")
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// `https://user:secret@host` as `https://<masked>@host`.
pub(super) fn without_userinfo(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else { return text.to_owned() };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    match rest[..end].rfind('@') {
        Some(at) => format!("{scheme}://{MASK}{}", &rest[at..]),
        None => text.to_owned(),
    }
}
