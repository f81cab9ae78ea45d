//! The repository, the ref and the credentials: the checks of `[source]`
//! that are more than a type.

use std::collections::BTreeMap;

use reqwest::Url;

use super::{Reference, check::Checker, error::Origin};

/// Exactly one of branch, tag and commit. One that is set in a later layer
/// replaces those of earlier ones, as with every key.
pub(super) fn reference(checker: &mut Checker<'_>) -> Option<Reference> {
    let set: Vec<(&str, String, Origin)> = ["source.branch", "source.tag", "source.commit"]
        .into_iter()
        .filter_map(|name| Some((name, checker.text(name)?, checker.origin(name)?)))
        .collect();
    let Some(highest) = set.iter().map(|(.., origin)| origin.layer()).max() else {
        // `branch = ""` and nothing else: as if nobody had said anything.
        return Some(Reference::Branch("main".to_owned()));
    };
    let mut chosen = set.into_iter().filter(|(.., origin)| origin.layer() == highest);
    let (name, text, _) = chosen.next()?;
    if let Some((other, _, origin)) = chosen.next() {
        checker.note(
            Some(origin),
            format!("{name} and {other} are both set, but only one of them can be followed"),
        );
        return None;
    }
    if name == "source.commit" {
        if text.len() != 40 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            checker.wrong(name, "a commit of 40 hex digits");
            return None;
        }
        return Some(Reference::Commit(text.to_lowercase()));
    }
    if let Some(short) =
        text.strip_prefix("refs/heads/").or_else(|| text.strip_prefix("refs/tags/"))
    {
        checker.wrong(name, &format!("the short name, `{short}`"));
        return None;
    }
    if !is_ref_name(&text) {
        checker.wrong(name, "a name that Git allows");
        return None;
    }
    Some(if name == "source.tag" { Reference::Tag(text) } else { Reference::Branch(text) })
}

/// Returns whether Git takes this for a name of a ref, by the rules of git-check-ref-format.
fn is_ref_name(name: &str) -> bool {
    let part = |part: &str| {
        !part.is_empty() && !part.starts_with('.') && !part.to_ascii_lowercase().ends_with(".lock")
    };
    name.split('/').all(part)
        && !name.contains("..")
        && !name.contains("@{")
        && !name.ends_with('.')
        && !name.starts_with('-')
        && name != "@"
        && !name.contains(|c: char| c.is_control() || " ~^:?*[\\".contains(c))
}

/// `source.path` with its placeholders filled in.
pub(super) fn path(
    checker: &mut Checker<'_>,
    cluster: Option<&str>,
    labels: &BTreeMap<String, String>,
) -> Option<String> {
    const NAME: &str = "source.path";
    if !checker.is_set(NAME) {
        checker.missing(NAME);
        return None;
    }
    let template = match checker.text(NAME) {
        Some(template) => template,
        // Empty, said on purpose: the whole repository.
        None if checker.is_empty_text(NAME) => return Some(String::new()),
        None => return None,
    };
    // Without a valid name there is a problem already; do not make up a second one.
    match expand(&template, cluster.unwrap_or("cluster"), labels) {
        Ok(path) if is_folder(&path) => Some(path),
        Ok(path) => {
            let expanded =
                if path == template { String::new() } else { format!(" (it expands to `{path}`)") };
            checker.wrong(
                NAME,
                &format!("a folder such as `clusters/{{cluster}}`, relative, without a leading or trailing slash, `.` or `..`{expanded}"),
            );
            None
        }
        Err(expected) => {
            checker.wrong(NAME, &expected);
            None
        }
    }
}

/// `source.allowed_roots` with their placeholders filled in.
pub(super) fn allowed_roots(
    checker: &mut Checker<'_>,
    cluster: Option<&str>,
    labels: &BTreeMap<String, String>,
) -> Option<Vec<String>> {
    const NAME: &str = "source.allowed_roots";
    // An empty text unsets a key, as everywhere.
    if !checker.is_set(NAME) || checker.is_empty_text(NAME) {
        return Some(vec![String::new()]);
    }
    let Some(templates) = checker.texts(NAME) else {
        checker.wrong(NAME, "a list of folders such as `[\"base\", \"components\"]`");
        return None;
    };
    let mut roots = Vec::with_capacity(templates.len());
    for template in templates {
        match expand(&template, cluster.unwrap_or("cluster"), labels) {
            Ok(root) if root.is_empty() || is_folder(&root) => roots.push(root),
            Ok(root) => {
                let expected = format!(
                    "folders from the root of the repository, without a leading or trailing slash, `.` or `..`, not `{root}`"
                );
                checker.wrong(NAME, &expected);
                return None;
            }
            Err(expected) => {
                checker.wrong(NAME, &expected);
                return None;
            }
        }
    }
    Some(roots)
}

/// Fills in `{cluster}` and `{label:NAME}`; the error says what is allowed.
fn expand(
    template: &str,
    cluster: &str,
    labels: &BTreeMap<String, String>,
) -> Result<String, String> {
    const ALLOWED: &str = "no braces but `{cluster}` and `{label:NAME}`";
    let mut expanded = String::with_capacity(template.len());
    let mut rest = template;
    while let Some(open) = rest.find(['{', '}']) {
        expanded.push_str(&rest[..open]);
        let inside = rest[open..].strip_prefix('{').ok_or(ALLOWED)?;
        let (placeholder, after) = inside.split_once('}').ok_or(ALLOWED)?;
        match placeholder.split_once(':') {
            None if placeholder == "cluster" => expanded.push_str(cluster),
            Some(("label", label)) => {
                expanded.push_str(labels.get(label).ok_or_else(|| unknown_label(label, labels))?);
            }
            _ => return Err(ALLOWED.to_owned()),
        }
        rest = after;
    }
    expanded.push_str(rest);
    Ok(expanded)
}

fn unknown_label(label: &str, labels: &BTreeMap<String, String>) -> String {
    if labels.is_empty() {
        return format!("a label of this cluster: cluster.labels has no `{label}`, it is empty");
    }
    let known: Vec<_> = labels.keys().map(|known| format!("`{known}`")).collect();
    format!("a label of this cluster: cluster.labels has no `{label}`, only {}", known.join(", "))
}

fn is_folder(path: &str) -> bool {
    path.split('/').all(|part| !matches!(part, "" | "." | "..")) && !path.contains('\\')
}

pub(super) fn credentials(
    checker: &mut Checker<'_>,
    username: Option<&str>,
    password: bool,
    token: bool,
) {
    match (username, password) {
        (Some(_), false) if !token => checker.without("source.username", "source.password_file"),
        (None, true) => checker.without("source.password_file", "source.username"),
        _ => {}
    }
    if token && (username.is_some() || password) {
        let name = if username.is_some() { "source.username" } else { "source.password_file" };
        checker.note(
            checker.origin("source.token_file"),
            format!("source.token_file and {name} are both set, but only one of them can be used"),
        );
    }
    if username.is_some_and(|name| name.contains(':')) {
        checker.wrong("source.username", "a name without `:`");
    }
}

/// Checks that we may speak with a remote; the error names what is allowed.
pub(super) fn remote(url: &str, allow_http: bool, section: &str) -> Result<(), String> {
    const ALLOWED: &str = "a URL such as `https://git.example.com/fleet.git`";
    if url.starts_with("ssh://") || (!url.contains("://") && url.contains('@')) {
        return Err(format!("{ALLOWED}; SSH is not supported, use HTTPS with a deploy token"));
    }
    let parsed = Url::parse(url).map_err(|_| ALLOWED.to_owned())?;
    if !matches!(parsed.scheme(), "http" | "https") || !parsed.has_host() {
        return Err(ALLOWED.to_owned());
    }
    if !parsed.username().is_empty() || parsed.password().is_some() {
        let instead = if section == "source" {
            "source.username and source.password_file"
        } else {
            "report.token_file"
        };
        return Err(format!("a URL without credentials; they go into {instead}"));
    }
    if parsed.fragment().is_some() || (section == "source" && parsed.query().is_some()) {
        return Err(format!("{ALLOWED}, without `?` and `#`"));
    }
    if parsed.scheme() == "http" && !allow_http && !is_loopback(&parsed) {
        return Err(format!(
            "`https://`, since `http://` is only for loopback; `{section}.allow_http = true` allows it"
        ));
    }
    Ok(())
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost"
        || host.ends_with(".localhost")
        || address.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}
