//! Certificates for servers on loopback: good ones, and bad ones on demand.

use std::sync::Arc;

use anyhow::{Context, Result};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose, date_time_ymd,
};
use rustls::{
    RootCertStore, ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer},
    server::WebPkiClientVerifier,
};
use tokio_rustls::TlsAcceptor;

/// What a server shows, as a client with today's date sees it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Certificate {
    /// For `localhost` and `127.0.0.1`, from 2000 to 2099.
    #[default]
    Good,
    /// Ended in 2020.
    Expired,
    /// Starts in 2090: what a board sees whose clock is behind.
    NotYetValid,
    /// For another host.
    WrongHost,
}

/// A certificate and its key.
#[derive(Debug)]
pub struct Issued {
    certificate: rcgen::Certificate,
    key: KeyPair,
}

impl Issued {
    pub fn certificate_pem(&self) -> String {
        self.certificate.pem()
    }

    pub fn key_pem(&self) -> String {
        self.key.serialize_pem()
    }
}

/// A certificate authority that lives in memory.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Authority").finish_non_exhaustive()
    }
}

impl Authority {
    pub fn new() -> Result<Self> {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "Leeward tests");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        (params.not_before, params.not_after) =
            (date_time_ymd(2000, 1, 1), date_time_ymd(2099, 12, 31));
        let issuer = CertifiedIssuer::self_signed(params, key()?)
            .context("cannot sign the authority's certificate")?;
        Ok(Self { issuer })
    }

    /// For a client's `ca_file`.
    pub fn pem(&self) -> String {
        self.issuer.pem()
    }

    pub fn server(&self, kind: Certificate) -> Result<Issued> {
        let names: &[&str] = match kind {
            Certificate::WrongHost => &["elsewhere.example"],
            _ => &["localhost", "127.0.0.1"],
        };
        let (from, to) = match kind {
            Certificate::Good | Certificate::WrongHost => (2000, 2099),
            Certificate::Expired => (2000, 2020),
            Certificate::NotYetValid => (2090, 2099),
        };
        self.issue(names, (from, to), ExtendedKeyUsagePurpose::ServerAuth)
    }

    /// For mutual TLS.
    pub fn client(&self) -> Result<Issued> {
        self.issue(&["client"], (2000, 2099), ExtendedKeyUsagePurpose::ClientAuth)
    }

    fn issue(
        &self,
        names: &[&str],
        (from, to): (i32, i32),
        usage: ExtendedKeyUsagePurpose,
    ) -> Result<Issued> {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let mut params =
            CertificateParams::new(names).context("a host name is not valid in a certificate")?;
        (params.not_before, params.not_after) =
            (date_time_ymd(from, 1, 1), date_time_ymd(to, 12, 31));
        params.extended_key_usages = vec![usage];
        let key = key()?;
        let certificate =
            params.signed_by(&key, &self.issuer).context("cannot sign a certificate")?;
        Ok(Issued { certificate, key })
    }

    pub(crate) fn acceptor(&self, options: TlsOptions) -> Result<TlsAcceptor> {
        let issued = self.server(options.certificate)?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .context("ring supports the default protocol versions")?;
        let builder = if options.require_client_certificate {
            let mut roots = RootCertStore::empty();
            roots.add(self.issuer.der().clone()).context("cannot trust our own authority")?;
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
                .build()
                .context("cannot verify client certificates")?;
            builder.with_client_cert_verifier(verifier)
        } else {
            builder.with_no_client_auth()
        };
        let chain: Vec<CertificateDer<'static>> = vec![issued.certificate.der().clone()];
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(issued.key.serialize_der()));
        let config = builder
            .with_single_cert(chain, key)
            .context("a certificate does not go with its key")?;
        Ok(TlsAcceptor::from(Arc::new(config)))
    }
}

/// How a server of ours speaks TLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TlsOptions {
    pub certificate: Certificate,
    /// Mutual TLS: only clients of the same authority are let in.
    pub require_client_certificate: bool,
}

fn key() -> Result<KeyPair> {
    KeyPair::generate().context("cannot generate a key")
}
