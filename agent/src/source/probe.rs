//! The way to the repository, step by step, for `leeward check`.

use std::time::Duration;

use leeward_core::{
    git::{Missing, Need},
    model::{FetchFailure, LinkStep},
};
use tokio::{net::TcpStream, time::Instant, time::timeout};

use super::{
    GitSource, MemoryObjects,
    client::CONNECT_TIMEOUT,
    failure::failure,
    http::{Link, parse_url},
    proxy,
};
use crate::config::SourceConfig;

/// A name server that takes longer is down.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(10);

/// One step of the way.
#[derive(Clone, Debug)]
pub struct ProbeStep {
    pub step: LinkStep,
    /// The finding in one line, or the failure.
    pub outcome: Result<String, FetchFailure>,
    pub elapsed: Duration,
}

/// Takes the steps in their order, up to the first that fails. Fetches the
/// commit and the trees on the way to the folder, keeps nothing.
pub async fn probe(config: &SourceConfig) -> Vec<ProbeStep> {
    let mut steps = Vec::new();
    let outcome = walk(config, &mut steps).await;
    if let Err(step) = outcome {
        steps.push(step);
    }
    steps
}

async fn walk(config: &SourceConfig, steps: &mut Vec<ProbeStep>) -> Result<(), ProbeStep> {
    let url = at(Instant::now(), parse_url(&config.url))?.value;
    let mut pass = |step, since: Instant, outcome: Result<String, FetchFailure>| {
        let passed = at(since, outcome)?;
        steps.push(ProbeStep { step, outcome: Ok(passed.value), elapsed: passed.elapsed });
        Ok(())
    };
    let since = Instant::now();
    if let Some(proxy) = proxy::in_use(config, &url) {
        pass(LinkStep::Proxy, since, Ok(format!("goes by {proxy}")))?;
    } else {
        let port = url.port_or_known_default().unwrap_or(443);
        let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        let addresses = lookup(&host, port).await;
        let listed = |found: &Vec<std::net::SocketAddr>| {
            found.iter().map(|address| address.ip().to_string()).collect::<Vec<_>>().join(", ")
        };
        let text = addresses.as_ref().map(listed).map_err(Clone::clone);
        pass(LinkStep::Dns, since, text)?;
        let since = Instant::now();
        pass(LinkStep::Connect, since, connect(&host, &addresses.unwrap_or_default()).await)?;
    }
    let since = Instant::now();
    let mut link = at(since, Link::open(config, None))?.value;
    // The first request makes the connection too; the failure itself names the step that failed.
    let mut source = GitSource::new(config.clone(), MemoryObjects::default(), None);
    let known = source.learn_capabilities(&mut link).await;
    if url.scheme() == "https"
        && known.as_ref().err().is_none_or(|failed| failed.step > LinkStep::Clock)
    {
        let text = "certificate accepted (the time is that of the first answer)".to_owned();
        pass(LinkStep::Tls, since, Ok(text))?;
    }
    let remote = known.map(|remote| format!("protocol v2, filters: {:?}", remote.filters));
    pass(LinkStep::Auth, since, remote)?;
    let since = Instant::now();
    let target = source.resolve(&mut link).await;
    let text = target.as_ref().map(|target| {
        let name = if target.reference.is_empty() { "commit" } else { target.reference.as_str() };
        format!("{name} is {}", target.commit)
    });
    pass(LinkStep::Ref, since, text.map_err(Clone::clone))?;
    let since = Instant::now();
    let Ok(target) = target else { return Ok(()) };
    let found = source.find_folder(&mut link, &target).await;
    pass(LinkStep::Path, since, found)
}

struct Passed<T> {
    value: T,
    elapsed: Duration,
}

/// A failure knows its step better than the one who asked.
fn at<T>(since: Instant, outcome: Result<T, FetchFailure>) -> Result<Passed<T>, ProbeStep> {
    let elapsed = since.elapsed();
    outcome.map(|value| Passed { value, elapsed }).map_err(|failed| ProbeStep {
        step: failed.step,
        outcome: Err(failed),
        elapsed,
    })
}

async fn lookup(host: &str, port: u16) -> Result<Vec<std::net::SocketAddr>, FetchFailure> {
    let failed =
        |reason: String| failure(LinkStep::Dns, format!("cannot resolve {host}: {reason}"));
    match timeout(LOOKUP_TIMEOUT, tokio::net::lookup_host((host, port))).await {
        Ok(Ok(found)) => {
            let found: Vec<_> = found.collect();
            if found.is_empty() { Err(failed("it has no address".to_owned())) } else { Ok(found) }
        }
        Ok(Err(error)) => Err(failed(error.to_string())),
        Err(_) => Err(failed(format!("no answer in {} s", LOOKUP_TIMEOUT.as_secs()))),
    }
}

async fn connect(host: &str, addresses: &[std::net::SocketAddr]) -> Result<String, FetchFailure> {
    let mut reasons = Vec::new();
    for address in addresses {
        match timeout(CONNECT_TIMEOUT, TcpStream::connect(address)).await {
            Ok(Ok(_)) => return Ok(format!("{address} answers")),
            Ok(Err(error)) => reasons.push(format!("{address}: {error}")),
            Err(_) => {
                let seconds = CONNECT_TIMEOUT.as_secs();
                reasons.push(format!("{address}: no answer in {seconds} s"));
            }
        }
    }
    Err(failure(LinkStep::Connect, format!("cannot connect to {host}: {}", reasons.join("; "))))
}

impl GitSource<MemoryObjects> {
    /// Walks to the folder without fetching what is in it.
    async fn find_folder(
        &mut self,
        link: &mut Link,
        target: &super::Target,
    ) -> Result<String, FetchFailure> {
        let mut effort = super::Effort::default();
        for _ in 0..super::MAX_REQUESTS {
            let missing = Missing::of(self.objects(), target.commit, &self.path)
                .map_err(|error| super::of_walk(&error, &self.config.path))?;
            if let Need::Contents { tree, .. } | Need::Nothing { tree } = missing.need() {
                let path = if self.config.path.is_empty() { "the root" } else { &self.config.path };
                let (sent, received) = (link.meter.sent, link.meter.received);
                return Ok(format!(
                    "`{path}` is tree {tree} ({sent} bytes sent, {received} received so far)"
                ));
            }
            self.ask_once(link, target, None, missing, &mut effort, &mut false).await?;
        }
        Err(failure(LinkStep::Http, format!("`{}` not reached", self.config.path)))
    }
}
