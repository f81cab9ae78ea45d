//! The HTTP client: whom it trusts, who it says we are, how long it waits, what it keeps open.

use std::time::Duration;

use leeward_core::model::{FetchFailure, LinkStep, chain};
use reqwest::{Certificate, Client, ClientBuilder, NoProxy, Proxy, Url, redirect::Policy};

use super::{
    credentials::TlsMaterial,
    failure::{failure, hinted},
    proxy::is_loopback,
};
use crate::config::SourceConfig;

/// For DNS, TCP and TLS together. Over a satellite that takes 2 s; after 20 s the link is down.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);
/// Bytes that the other side does not acknowledge for so long were sent into a dead connection.
const UNACKNOWLEDGED: Duration = Duration::from_secs(30);
/// A connection is kept at least so long between polls.
const MIN_KEPT: Duration = Duration::from_secs(90);

/// Builds the client for one repository.
pub(super) fn build_client(
    config: &SourceConfig,
    home: &Url,
    material: TlsMaterial,
) -> Result<Client, FetchFailure> {
    let TlsMaterial { ca, client } = material;
    let unusable = |what: &str, error: &reqwest::Error| {
        failure(LinkStep::Tls, format!("{what} is unusable: {}", chain(error)))
    };
    let authorities = match (&ca, &config.tls.ca) {
        (Some(pem), Some(file)) => {
            let found = Certificate::from_pem_bundle(pem)
                .map_err(|error| unusable(&format!("CA file {file}"), &error))?;
            if found.is_empty() {
                return Err(failure(LinkStep::Tls, format!("CA file {file} holds no certificate")));
            }
            found
        }
        _ => Vec::new(),
    };
    let identity = client
        .map(|pem| reqwest::Identity::from_pem(&pem))
        .transpose()
        .map_err(|error| unusable("the client certificate or its key", &error))?;
    let plain = |builder: ClientBuilder| -> Result<ClientBuilder, FetchFailure> {
        let builder = with_proxy(builder, config, home)?;
        Ok(match identity.clone() {
            Some(identity) => builder.identity(identity),
            None => builder,
        })
    };
    let base = || {
        Client::builder()
            .http1_only()
            .redirect(Policy::none())
            .retry(reqwest::retry::never())
            .referer(false)
            .connect_timeout(CONNECT_TIMEOUT)
            .pool_max_idle_per_host(1)
            // A connection that outlives two polls saves a handshake at each.
            .pool_idle_timeout(config.interval.saturating_mul(3).max(MIN_KEPT))
            // Keep-alive packets would cost more than the polls themselves.
            .tcp_keepalive(None)
            .tcp_user_timeout(UNACKNOWLEDGED)
            .tcp_nodelay(true)
    };
    // Without TLS the system's roots are not needed, and cost memory.
    let built = if home.scheme() == "https" {
        plain(base())?.tls_certs_merge(authorities.clone()).build()
    } else {
        plain(base())?.tls_certs_only(authorities.clone()).build()
    };
    match built {
        Ok(client) => Ok(client),
        // A machine without any system roots still has ours.
        Err(_) if !authorities.is_empty() => plain(base())?
            .tls_certs_only(authorities)
            .build()
            .map_err(|error| unusable("the TLS setup", &error)),
        Err(error) => Err(hinted(
            LinkStep::Tls,
            format!("the TLS setup of this machine is unusable: {}", chain(&error)),
            "install the package `ca-certificates`, or name the server's authority in `source.ca_file`",
        )),
    }
}

fn with_proxy(
    builder: ClientBuilder,
    config: &SourceConfig,
    home: &Url,
) -> Result<ClientBuilder, FetchFailure> {
    let Some(proxy) = &config.proxy else {
        // Proxies of the environment are not meant for connections to this machine itself.
        return Ok(if is_loopback(home) { builder.no_proxy() } else { builder });
    };
    let proxy = Proxy::all(proxy.as_str()).map_err(|error| {
        failure(LinkStep::Proxy, format!("`source.proxy` is unusable: {}", chain(&error)))
    })?;
    Ok(builder.proxy(proxy.no_proxy(NoProxy::from_env())))
}
