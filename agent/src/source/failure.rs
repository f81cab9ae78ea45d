//! From errors of the network to the step of the link that failed, with evidence and a hint.

use std::{error::Error, io, time::Duration};

use leeward_core::{
    git::{CapabilitiesError, ResponseError, WalkError},
    model::{FetchFailure, LinkStep, chain},
};
use rustls::CertificateError;

/// Evidence is one line.
const MAX_EVIDENCE: usize = 400;

/// A failure at `step`, as one bounded line.
pub(super) fn failure(step: LinkStep, evidence: impl Into<String>) -> FetchFailure {
    let evidence = evidence.into().replace(['\n', '\r'], " ");
    FetchFailure {
        step,
        evidence: evidence.chars().take(MAX_EVIDENCE).collect(),
        hint: None,
        retry_after: None,
        progressed: false,
        sent: 0,
        received: 0,
    }
}

pub(super) fn hinted(
    step: LinkStep,
    evidence: impl Into<String>,
    hint: impl Into<String>,
) -> FetchFailure {
    FetchFailure { hint: Some(hint.into()), ..failure(step, evidence) }
}

/// Names the step at which a request to `host` failed.
pub(super) fn of_request(error: &reqwest::Error, host: &str, proxy: Option<&str>) -> FetchFailure {
    if let Some(tls) = find::<rustls::Error>(error) {
        return of_tls(tls, host);
    }
    let mut text = String::new();
    let mut next: Option<&dyn Error> = error.source();
    while let Some(cause) = next {
        text = format!("{text} {cause}");
        next = cause.source();
    }
    let cause = root_cause(error);
    if text.contains("tunnel error") || text.contains("proxy authorization") {
        let proxy = proxy.unwrap_or("the proxy");
        return hinted(
            LinkStep::Proxy,
            format!("{proxy} does not let us through to {host}: {cause}"),
            "check `source.proxy`, or $HTTPS_PROXY and $NO_PROXY",
        );
    }
    if text.contains("dns error") {
        return match proxy {
            Some(proxy) => {
                failure(LinkStep::Proxy, format!("cannot resolve {host} or {proxy}: {cause}"))
            }
            None => hinted(
                LinkStep::Dns,
                format!("cannot resolve {host}: {cause}"),
                "check the name in `source.url` and this machine's DNS server",
            ),
        };
    }
    if error.is_connect() {
        let reason = if error.is_timeout() { "no answer in 20 s".to_owned() } else { cause };
        return match proxy {
            Some(proxy) => {
                failure(LinkStep::Proxy, format!("cannot connect to {host} by {proxy}: {reason}"))
            }
            None => failure(LinkStep::Connect, format!("cannot connect to {host}: {reason}")),
        };
    }
    failure(LinkStep::Http, format!("the connection to {host} broke: {cause}"))
}

fn root_cause(error: &dyn Error) -> String {
    let mut cause = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause.to_string()
}

/// Finds an error of one type in a chain, also inside of `io::Error`, which hides what it wraps.
fn find<'a, E: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a E> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        next = match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(wrapped) => Some(wrapped as &(dyn Error + 'static)),
            None => error.source(),
        };
    }
    None
}

fn of_tls(error: &rustls::Error, host: &str) -> FetchFailure {
    let (step, hint) = match error {
        rustls::Error::InvalidCertificate(
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. },
        ) => (
            LinkStep::Clock,
            "this machine's clock is probably behind: check it, and its time server",
        ),
        rustls::Error::InvalidCertificate(
            CertificateError::Expired | CertificateError::ExpiredContext { .. },
        ) => (
            LinkStep::Clock,
            "renew the server's certificate, or set this machine's clock if it is ahead",
        ),
        rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer) => (
            LinkStep::Tls,
            "if the server has a private CA, name its certificate in `source.ca_file`",
        ),
        // An authority is known by its name, and proven by its key.
        rustls::Error::InvalidCertificate(CertificateError::BadSignature) => (
            LinkStep::Tls,
            "another authority of the same name signed it: `source.ca_file` may be out of date",
        ),
        rustls::Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        ) => (LinkStep::Tls, "use a name in `source.url` that the server's certificate carries"),
        rustls::Error::AlertReceived(_) => (
            LinkStep::Tls,
            "the server may ask for a client certificate: see `source.client_cert_file`",
        ),
        rustls::Error::InvalidMessage(_) => (
            LinkStep::Tls,
            "the port may not speak TLS: check `source.url`, or for a captive portal",
        ),
        _ => (LinkStep::Tls, "check the TLS settings of the server and of `source`"),
    };
    hinted(step, format!("TLS with {host} failed: {error}"), hint)
}

/// Who we say we are, for messages about refusals.
#[derive(Clone, Debug)]
pub(super) enum Identity {
    Nobody,
    /// The file that holds the secret.
    File(String),
}

/// The failure that a status other than success stands for.
pub(super) fn of_status(
    status: reqwest::StatusCode,
    retry_after: Option<Duration>,
    url: &str,
    identity: &Identity,
) -> FetchFailure {
    let code = status.as_u16();
    let evidence = format!("HTTP {code} from {url}");
    if retry_after.is_some() {
        // With a 403 too: that is how some servers say "too often".
        return FetchFailure { retry_after, ..failure(LinkStep::Http, evidence) };
    }
    match (code, identity) {
        (401 | 403, Identity::Nobody) => hinted(
            LinkStep::Auth,
            format!("{evidence}, and no credentials are configured"),
            "set `source.username` with `source.password_file`, or `source.token_file`",
        ),
        (401 | 403, Identity::File(file)) => hinted(
            LinkStep::Auth,
            format!("{evidence}: the credentials in {file} are refused"),
            "check that they are valid, not expired, and may read this repository",
        ),
        (404, _) => hinted(
            LinkStep::Http,
            evidence,
            "check `source.url`; some servers say this for a private repository without credentials",
        ),
        (407, _) => hinted(LinkStep::Proxy, evidence, "the proxy wants credentials in its URL"),
        _ => failure(LinkStep::Http, evidence),
    }
}

pub(super) fn of_capabilities(error: &CapabilitiesError, url: &str) -> FetchFailure {
    let evidence = format!("{url}: {}", chain(error));
    match error {
        CapabilitiesError::NotSmart => hinted(
            LinkStep::Protocol,
            evidence,
            "check that `source.url` is a Git repository, and that no captive portal answers for it",
        ),
        CapabilitiesError::OldProtocol => hinted(
            LinkStep::Protocol,
            evidence,
            "Git 2.18 or newer on the server speaks version 2; a proxy in front of it must pass on the `Git-Protocol` header",
        ),
        _ => failure(LinkStep::Protocol, evidence),
    }
}

pub(super) fn of_response(error: &ResponseError, url: &str) -> FetchFailure {
    failure(LinkStep::Protocol, format!("{url}: {}", chain(error)))
}

pub(super) fn of_walk<E: Error + 'static>(error: &WalkError<E>, path: &str) -> FetchFailure {
    let step = match error {
        WalkError::Store { .. } => LinkStep::Protocol,
        _ => LinkStep::Path,
    };
    failure(step, format!("path `{path}`: {}", chain(error)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refused_credentials_are_named_by_their_file() {
        let identity = Identity::File("/etc/leeward/git-password".into());
        let failure =
            of_status(reqwest::StatusCode::UNAUTHORIZED, None, "https://g/x.git", &identity);
        insta::assert_snapshot!(failure, @"HTTP 401 from https://g/x.git: the credentials in /etc/leeward/git-password are refused");
        assert_eq!(failure.step, LinkStep::Auth);
    }

    #[test]
    fn a_certificate_of_the_future_or_past_is_a_matter_of_the_clock() {
        for certificate in [CertificateError::NotValidYet, CertificateError::Expired] {
            let error = rustls::Error::InvalidCertificate(certificate);
            assert_eq!(of_tls(&error, "g").step, LinkStep::Clock);
        }
    }

    #[test]
    fn an_unknown_issuer_hints_at_the_private_ca() {
        let error = rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer);
        let failure = of_tls(&error, "git.example.com");
        assert_eq!(failure.step, LinkStep::Tls);
        assert!(failure.hint.unwrap().contains("source.ca_file"));
    }

    #[test]
    fn an_authority_that_got_a_new_key_hints_at_the_old_file() {
        let error = rustls::Error::InvalidCertificate(CertificateError::BadSignature);
        assert!(of_tls(&error, "g").hint.unwrap().contains("out of date"));
    }

    #[test]
    fn evidence_stays_one_bounded_line() {
        let evidence = failure(LinkStep::Http, "a\nb".repeat(1_000)).evidence;
        assert!(evidence.len() <= MAX_EVIDENCE && !evidence.contains('\n'));
    }
}
