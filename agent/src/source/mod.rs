//! Git over HTTP(S): a thin protocol v2 client that asks for little.
//!
//! It owns the connection to the repository and what is known of its server.
//! The loop calls [`GitSource::fetch`]; objects go straight into the store it
//! was given. What to ask for is decided in `leeward_core::git`; here requests
//! are sent and answers carried to the store. It never decides when to try
//! again, and it never judges what it fetched.

mod client;
mod credentials;
mod failure;
mod http;
mod memory;
mod probe;
mod proxy;
mod receive;
mod reference;

use std::{collections::BTreeMap, time::Duration};

use leeward_core::{
    git::{
        Ask, Base, Effort, End, FetchRequest, GiveUp, Ladder, Lesson, Missing, Need, Objects,
        PackLimits, PathFault, Purpose, Remembered, Rung, Situation, Stop, learn, next,
        parse_capabilities, parse_path, subtree_at, walk, without_filters,
    },
    model::{FetchFailure, Fetched, FetchedFolder, GitId, LinkStep, chain},
};
use tokio::time::Instant;

pub use memory::MemoryObjects;
pub use probe::{ProbeStep, probe};

use self::{
    failure::{failure, hinted, of_capabilities, of_walk},
    http::Link,
    receive::{Keep, Received, Trouble, receive},
    reference::Target,
};
use crate::{config::SourceConfig, edge::Fetch};

/// Requests within one fetch: a folder of 20,000 blobs over a link that carries few KB at a time
/// takes more, and goes on with the next fetch.
const MAX_REQUESTS: usize = 500;
/// Servers are upgraded; asking what they can do costs 700 bytes.
const CAPABILITIES_AGE: Duration = Duration::from_hours(24);

/// One folder of one Git repository.
#[derive(Debug)]
pub struct GitSource<O: Objects> {
    config: SourceConfig,
    path: Vec<String>,
    objects: O,
    limits: PackLimits,
    remote: Option<Remembered>,
    /// The remembered bytes differ from those that the caller has.
    is_remote_new: bool,
    asked_at: Instant,
    link: Option<Link>,
    effort: Option<(GitId, Effort)>,
    /// The newest commit that was seen to be whole, and its folder.
    whole: Option<(GitId, GitId)>,
    /// Refs were listed once to suggest one; not again at every poll.
    has_suggested: bool,
}

impl<O: Objects> GitSource<O> {
    /// `memory`: what [`Self::memory`] gave in an earlier life, for the same URL.
    pub fn new(config: SourceConfig, objects: O, memory: Option<&[u8]>) -> Self {
        Self {
            path: parse_path(&config.path),
            config,
            objects,
            limits: PackLimits::default(),
            remote: memory.and_then(Remembered::from_bytes),
            is_remote_new: false,
            asked_at: Instant::now(),
            link: None,
            effort: None,
            whole: None,
            has_suggested: false,
        }
    }

    /// Refuses blobs of more bytes than this; 64 MiB unless set.
    #[must_use]
    pub fn with_blob_limit(mut self, bytes: u64) -> Self {
        self.limits.blob = bytes;
        self
    }

    /// Returns what was learnt of the server, to be stored beside its URL.
    pub fn memory(&self) -> Option<Vec<u8>> {
        self.remote.map(Remembered::to_bytes)
    }

    /// Returns `memory` if it has changed since the last call.
    pub fn take_changed_memory(&mut self) -> Option<Vec<u8>> {
        std::mem::take(&mut self.is_remote_new).then(|| self.memory()).flatten()
    }

    pub fn objects(&self) -> &O {
        &self.objects
    }

    fn remember(&mut self, remote: Remembered) {
        self.is_remote_new |= self.remote != Some(remote);
        self.remote = Some(remote);
    }

    async fn attempt(
        &mut self,
        link: &mut Link,
        have: Option<GitId>,
        progressed: &mut bool,
    ) -> Result<Fetched, FetchFailure> {
        self.learn_capabilities(link).await?;
        let target = self.resolve(link).await?;
        let folder = match self.whole {
            Some((commit, folder)) if commit == target.commit && have == Some(commit) => folder,
            _ => self.complete(link, &target, have, progressed).await?,
        };
        self.whole = Some((target.commit, folder));
        Ok(Fetched {
            commit: target.commit,
            tree: folder,
            reference: target.reference,
            others: BTreeMap::new(),
            left_out: BTreeMap::new(),
            sent: 0,
            received: 0,
        })
    }

    /// Asks the server what it can do, once, and again when a day has passed or it surprised us.
    async fn learn_capabilities(&mut self, link: &mut Link) -> Result<Remembered, FetchFailure> {
        if let Some(remote) = self.remote.filter(|_| self.asked_at.elapsed() < CAPABILITIES_AGE) {
            return Ok(remote);
        }
        let body = link.capabilities().await?;
        let capabilities =
            parse_capabilities(&body).map_err(|error| of_capabilities(&error, &link.url()))?;
        tracing::debug!(?capabilities, "The Git server announced its capabilities.");
        let remote = Remembered::of(&capabilities);
        self.asked_at = Instant::now();
        self.remember(remote);
        Ok(remote)
    }

    /// Asks until nothing of the folder is missing.
    async fn complete(
        &mut self,
        link: &mut Link,
        target: &Target,
        have: Option<GitId>,
        progressed: &mut bool,
    ) -> Result<GitId, FetchFailure> {
        let commit = target.commit;
        let base = self.base(commit, have)?;
        let mut effort = match self.effort.take() {
            Some((of, mut effort)) if of == commit => {
                effort.rest();
                effort
            }
            _ => Effort::default(),
        };
        let outcome = self.ask_until_whole(link, target, base, &mut effort, progressed).await;
        self.effort = outcome.is_err().then_some((commit, effort));
        outcome
    }

    fn base(&self, target: GitId, have: Option<GitId>) -> Result<Option<Base>, FetchFailure> {
        let Some(commit) = have.filter(|commit| *commit != target) else { return Ok(None) };
        let folder = subtree_at(&self.objects, commit, &self.path)
            .map_err(|error| of_walk(&error, &self.config.path))?;
        Ok(folder.map(|folder| Base { commit, folder }))
    }

    async fn ask_until_whole(
        &mut self,
        link: &mut Link,
        target: &Target,
        base: Option<Base>,
        effort: &mut Effort,
        progressed: &mut bool,
    ) -> Result<GitId, FetchFailure> {
        for _ in 0..MAX_REQUESTS {
            let missing = Missing::of(&self.objects, target.commit, &self.path)
                .map_err(|error| of_walk(&error, &self.config.path))?;
            let asked = self.ask_once(link, target, base, missing, effort, progressed).await?;
            if let Some(folder) = asked {
                return Ok(folder);
            }
        }
        Err(failure(LinkStep::Http, format!("not whole after {MAX_REQUESTS} requests in one go")))
    }

    /// Makes the next request. The folder, when there is nothing left to ask for.
    async fn ask_once(
        &mut self,
        link: &mut Link,
        target: &Target,
        base: Option<Base>,
        mut missing: Missing,
        effort: &mut Effort,
        progressed: &mut bool,
    ) -> Result<Option<GitId>, FetchFailure> {
        let need = missing.need();
        let remote = self.learn_capabilities(link).await?;
        let depth = self.path.len();
        let ask =
            next(&Situation { target: target.commit, depth, base, need: &need, remote, effort });
        let (request, purpose, stop) = match ask {
            Ask::Done { folder } => return Ok(Some(folder)),
            Ask::GiveUp(reason) => return Err(self.given_up(&reason, target, link)),
            Ask::Climb(ladder) => {
                let rung = self.rung(&ladder, target)?;
                let Some(request) = rung.request(depth) else {
                    effort.descend();
                    return Err(self.too_wide(link));
                };
                tracing::debug!(
                    ?rung,
                    ?ladder,
                    "A tree is too large for the link; fetches it over older commits."
                );
                let received = self.exchange(link, &request, Keep::All, Stop::AtEnd).await?;
                received.note_progress(progressed);
                self.judge(link, target, &request, &received)?;
                let reached = self.has_reached(&ladder, &rung, target, received.new)?;
                effort.climbed(ladder.after(&rung, reached, received.new));
                return Ok(None);
            }
            Ask::Request { request, purpose, stop } => (request, purpose, stop),
        };
        let received = self.exchange(link, &request, Keep::Ours(&mut missing), stop).await?;
        received.note_progress(progressed);
        let Received { end, new, unresolved, .. } = received;
        tracing::debug!(?purpose, ?end, new, unresolved, "Got an answer.");
        self.judge(link, target, &request, &received)?;
        if purpose == Purpose::Walk && end == End::Stopped {
            tracing::info!("The Git server ignores filters; will ask differently.");
            self.remember(without_filters(remote));
        }
        if !matches!(received.trouble, Some(Trouble::Refused(_))) {
            effort.record(purpose, end, new, missing.is_path_known());
        }
        Ok(None)
    }

    async fn exchange(
        &self,
        link: &mut Link,
        request: &FetchRequest,
        keep: Keep<'_>,
        stop: Stop,
    ) -> Result<Received, FetchFailure> {
        let answer = link.fetch(request.encode()).await?;
        Ok(receive(link, answer, &self.objects, keep, stop, self.limits, &self.config.path).await)
    }

    /// Decides whether to go on after an answer, and learns from refusals.
    fn judge(
        &mut self,
        link: &Link,
        target: &Target,
        request: &FetchRequest,
        received: &Received,
    ) -> Result<(), FetchFailure> {
        match &received.trouble {
            None => Ok(()),
            Some(Trouble::Cut(failure)) => {
                // Cuts are what this agent is made for; whether to go on depends on what came before.
                tracing::debug!(error = %failure, new = received.new, "The connection was cut.");
                Ok(())
            }
            Some(Trouble::Fatal(failure) | Trouble::Unkept(failure)) => Err(failure.clone()),
            Some(Trouble::TooLarge { id, size, limit }) => {
                Err(self.too_large(target.commit, *id, *size, *limit))
            }
            Some(Trouble::Refused(words)) => {
                let Some(remote) = self.remote else { return Ok(()) };
                match learn(remote, request, target.commit, words) {
                    Lesson::Adapt(better) if better != remote => {
                        tracing::info!(words, "The Git server refuses; will ask differently.");
                        self.remember(better);
                        Ok(())
                    }
                    Lesson::NoTarget => Err(target.absent(&link.url())),
                    Lesson::Adapt(_) | Lesson::Nothing => {
                        // It may have changed: ask what it can do before the next try.
                        self.remote = None;
                        Err(failure(LinkStep::Protocol, format!("{} refuses: {words}", link.url())))
                    }
                }
            }
        }
    }

    /// Returns whether a step up the ladder made its commit whole.
    fn has_reached(
        &self,
        ladder: &Ladder,
        rung: &Rung,
        target: &Target,
        new: usize,
    ) -> Result<bool, FetchFailure> {
        Ok(match rung {
            Rung::History { .. } => new > 0,
            Rung::Foot { tree, .. } => self.objects.contains(*tree).unwrap_or(false),
            step => self.rung(ladder, target)? != *step,
        })
    }

    fn rung(&self, ladder: &Ladder, target: &Target) -> Result<Rung, FetchFailure> {
        ladder
            .rung(&self.objects, target.commit, &self.path)
            .map_err(|error| of_walk(&error, &self.config.path))
    }

    fn too_wide(&self, link: &Link) -> FetchFailure {
        let evidence = format!(
            "a tree on the way to `{}` is larger than what {} lets through in one connection",
            self.config.path,
            link.host()
        );
        let hint = "spread the entries of its folder over subfolders of at most 64";
        hinted(LinkStep::Http, evidence, hint)
    }

    fn given_up(&self, reason: &GiveUp, target: &Target, link: &Link) -> FetchFailure {
        let path = &self.config.path;
        match reason {
            GiveUp::NoFolder(fault) => {
                let evidence = format!("path `{path}` in commit {}: {fault}", target.commit);
                match fault {
                    PathFault::NoEntry { folder, nearest: Some(nearest), .. } => {
                        let near = format!("{folder}/{nearest}");
                        let near = near.trim_start_matches('/');
                        hinted(LinkStep::Path, evidence, format!("there is `{near}`"))
                    }
                    _ => hinted(
                        LinkStep::Path,
                        evidence,
                        "check `source.path`; nothing is deleted from the cluster for it",
                    ),
                }
            }
            GiveUp::LeftOut { .. } => hinted(
                LinkStep::Protocol,
                format!("{}: {reason}", link.url()),
                "ask the repository's owner for `uploadpack.allowFilter` and `uploadpack.allowAnySHA1InWant`",
            ),
            GiveUp::DoesNotFit { id, .. } => {
                let named = self.file_of(target.commit, *id).unwrap_or_default();
                let evidence = format!("{}: {reason}{named}", link.host());
                if self.remote.is_some_and(|remote| !remote.explicit_wants) {
                    let hint = "the server sends only everything at once, which cannot be resumed: ask the repository's owner for `uploadpack.allowAnySHA1InWant`";
                    return hinted(LinkStep::Http, evidence, hint);
                }
                failure(LinkStep::Http, evidence)
            }
        }
    }

    fn too_large(&self, commit: GitId, id: GitId, size: u64, limit: u64) -> FetchFailure {
        let named = self.file_of(commit, id).unwrap_or_else(|| format!(" (object {id})"));
        let evidence = format!(
            "a file of {size} bytes in `{}` is beyond the limit of {limit}{named}",
            self.config.path
        );
        hinted(LinkStep::Path, evidence, "keep large files out of the cluster's folder")
    }

    /// The name of a blob, in brackets, when the trees above it are there.
    fn file_of(&self, commit: GitId, id: GitId) -> Option<String> {
        let folder = subtree_at(&self.objects, commit, &self.path).ok()??;
        walk(&self.objects, folder)
            .filter_map(Result::ok)
            .find(|listed| listed.id == id)
            .map(|listed| format!(" (`{}`)", listed.path))
    }
}

impl<O: Objects> GitSource<O> {
    /// Gives the link back, and adds what the work cost to a failure.
    fn ended<T>(
        &mut self,
        mut link: Link,
        progressed: bool,
        outcome: Result<T, FetchFailure>,
    ) -> Result<(T, http::Meter), FetchFailure> {
        let meter = link.meter;
        if outcome.is_err() {
            // A redirect may be what led astray.
            link.go_home();
        }
        self.link = Some(link);
        match outcome {
            Ok(fetched) => Ok((fetched, meter)),
            Err(failure) => {
                tracing::debug!(error = %chain(&failure), "Cannot fetch.");
                let http::Meter { sent, received } = meter;
                Err(FetchFailure { progressed, sent, received, ..failure })
            }
        }
    }

    /// Returns whether the commit, as far as the store has it, lacks the folder.
    fn has_no_folder(&self, commit: GitId, path: &[String]) -> bool {
        let missing = Missing::of(&self.objects, commit, path);
        missing.is_ok_and(|missing| matches!(missing.need(), Need::NoFolder(_)))
    }
}

impl<O: Objects> Fetch for GitSource<O> {
    async fn fetch(&mut self, have: Option<GitId>) -> Result<Fetched, FetchFailure> {
        // The link is kept in a local while it works: a dropped future drops its connection with it.
        let mut link = Link::open(&self.config, self.link.take())?;
        let mut progressed = false;
        let outcome = self.attempt(&mut link, have, &mut progressed).await;
        let (fetched, http::Meter { sent, received }) = self.ended(link, progressed, outcome)?;
        Ok(Fetched { sent, received, ..fetched })
    }

    async fn fetch_folder(
        &mut self,
        commit: GitId,
        have: Option<GitId>,
        folder: &str,
        most: u64,
    ) -> Result<FetchedFolder, FetchFailure> {
        let path = parse_path(folder);
        let mut link = Link::open(&self.config, self.link.take())?;
        link.most = most;
        let mut progressed = false;
        let target = Target { commit, reference: String::new() };
        // Its own path waits meanwhile; a future that is dropped here is dropped with the source.
        let own = std::mem::replace(&mut self.path, path);
        let own_name = std::mem::replace(&mut self.config.path, folder.to_owned());
        let outcome = self.complete(&mut link, &target, have, &mut progressed).await;
        let path = std::mem::replace(&mut self.path, own);
        self.config.path = own_name;
        let outcome = match outcome {
            Ok(tree) => Ok(Some(tree)),
            Err(_) if self.has_no_folder(commit, &path) => Ok(None),
            Err(failure) => Err(failure),
        };
        let (tree, http::Meter { sent, received }) = self.ended(link, progressed, outcome)?;
        Ok(FetchedFolder { tree, sent, received })
    }
}

#[cfg(test)]
mod tests;
