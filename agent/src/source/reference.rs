//! From the configured branch, tag or commit to the commit to fetch.

use leeward_core::{
    git::{Objects, RefLine, ResponseError, ls_refs_request, parse_refs},
    model::{FetchFailure, GitId, LinkStep},
};

use super::{
    GitSource,
    failure::{failure, hinted, of_response},
    http::Link,
};
use crate::config::Reference;

/// How alike a ref must be to be suggested, of 1.
const LIKENESS: f64 = 0.75;

/// The commit to fetch, and the ref that it was found under.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) commit: GitId,
    /// The full name of the ref; empty for a pinned commit.
    pub(super) reference: String,
}

impl Target {
    /// The server does not have the commit.
    pub(super) fn absent(&self, url: &str) -> FetchFailure {
        let commit = self.commit;
        if self.reference.is_empty() {
            let evidence = format!("{url} has no commit {commit}");
            return hinted(
                LinkStep::Ref,
                evidence,
                "check `source.commit`; it may have been rewritten",
            );
        }
        let reference = &self.reference;
        failure(
            LinkStep::Ref,
            format!("{url}: commit {commit} of {reference} vanished while being fetched"),
        )
    }
}

/// The full name of a ref, and the namespace that it lives in.
fn full_name(reference: &Reference) -> Option<(String, &'static str)> {
    let (name, space) = match reference {
        Reference::Branch(name) => (name, "refs/heads/"),
        Reference::Tag(name) => (name, "refs/tags/"),
        Reference::Commit(_) => return None,
    };
    let full = if name.starts_with("refs/") { name.clone() } else { format!("{space}{name}") };
    Some((full, space))
}

impl<O: Objects> GitSource<O> {
    /// One request; none for a pinned commit.
    pub(super) async fn resolve(&mut self, link: &mut Link) -> Result<Target, FetchFailure> {
        let Some((name, space)) = full_name(&self.config.reference) else {
            return pinned(&self.config.reference);
        };
        let peel = matches!(self.config.reference, Reference::Tag(_));
        let refs = self.refs(link, &name, peel).await?;
        // A prefix also matches longer names.
        if let Some(line) = refs.iter().find(|line| line.name == name) {
            return Ok(Target { commit: line.target(), reference: name });
        }
        let evidence = format!("{} has no {name}", link.url());
        if std::mem::replace(&mut self.has_suggested, true) {
            return Err(failure(LinkStep::Ref, evidence));
        }
        let others = self.refs(link, space, false).await?;
        Err(match suggestion(&others, &name) {
            Some(nearest) => hinted(LinkStep::Ref, evidence, format!("there is {nearest}")),
            None if others.is_empty() => hinted(
                LinkStep::Ref,
                evidence,
                format!("it has nothing below {space} at all: is it empty?"),
            ),
            None => failure(LinkStep::Ref, evidence),
        })
    }

    async fn refs(
        &mut self,
        link: &mut Link,
        prefix: &str,
        peel: bool,
    ) -> Result<Vec<RefLine>, FetchFailure> {
        let body = link.command(ls_refs_request(prefix, peel)).await?;
        parse_refs(&body).map_err(|error| {
            if matches!(error, ResponseError::Refused(_)) {
                self.remote = None;
            }
            of_response(&error, &link.url())
        })
    }
}

fn pinned(reference: &Reference) -> Result<Target, FetchFailure> {
    let Reference::Commit(text) = reference else {
        return Err(failure(LinkStep::Ref, "the ref has no name"));
    };
    let commit = text
        .parse()
        .map_err(|error| failure(LinkStep::Ref, format!("`source.commit`: {error}")))?;
    Ok(Target { commit, reference: String::new() })
}

fn suggestion<'a>(refs: &'a [RefLine], name: &str) -> Option<&'a str> {
    refs.iter()
        .map(|line| (strsim::jaro_winkler(&line.name, name), line.name.as_str()))
        .filter(|(likeness, _)| *likeness >= LIKENESS)
        .max_by(|one, other| one.0.total_cmp(&other.0))
        .map(|(_, name)| name)
}
