//! Who we are to the server and whom we trust, read from files at every fetch so that rotation works.

use std::fs;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use camino::Utf8Path;
use leeward_core::model::{Digest, FetchFailure, LinkStep};
use reqwest::header::HeaderValue;

use super::failure::{Identity, hinted};
use crate::config::{SourceConfig, TlsFiles};

/// A secret or a certificate is a few KB; 1 MiB holds every CA of the world.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// The `Authorization` header, and where it came from.
pub(super) struct Authorization {
    pub(super) header: Option<HeaderValue>,
    pub(super) identity: Identity,
}

/// Reads the password or token that is configured.
pub(super) fn authorization(config: &SourceConfig) -> Result<Authorization, FetchFailure> {
    let (file, value) = if let Some(file) = &config.token_file {
        (file, format!("Bearer {}", secret(file, "token")?))
    } else if let Some(file) = &config.password_file {
        let user = config.username.as_deref().unwrap_or_default();
        let password = secret(file, "password")?;
        (file, format!("Basic {}", STANDARD.encode(format!("{user}:{password}"))))
    } else {
        return Ok(Authorization { header: None, identity: Identity::Nobody });
    };
    let mut header = HeaderValue::from_str(&value).map_err(|_| {
        hinted(
            LinkStep::Auth,
            format!("{file} holds characters that no header can carry"),
            "it should hold the secret alone, on one line",
        )
    })?;
    header.set_sensitive(true);
    Ok(Authorization { header: Some(header), identity: Identity::File(file.to_string()) })
}

/// Certificates and keys, as bytes.
#[derive(Default)]
pub(super) struct TlsMaterial {
    pub(super) ca: Option<Vec<u8>>,
    /// Certificate chain and key, one PEM after the other.
    pub(super) client: Option<Vec<u8>>,
}

impl TlsMaterial {
    /// Tells whether any file has changed.
    pub(super) fn digest(&self) -> Digest {
        let parts = [&self.ca, &self.client];
        let bytes: Vec<u8> = parts
            .into_iter()
            .flat_map(|part| [part.as_deref().unwrap_or_default(), b"\0"].concat())
            .collect();
        Digest::of(&bytes)
    }
}

pub(super) fn tls_material(files: &TlsFiles) -> Result<TlsMaterial, FetchFailure> {
    let read =
        |file: &Utf8Path| read(file).map_err(|reason| unreadable(LinkStep::Tls, file, &reason));
    let ca = files.ca.as_deref().map(read).transpose()?;
    let client = match (&files.client_cert, &files.client_key) {
        (Some(certificate), Some(key)) => {
            Some([read(certificate)?, b"\n".to_vec(), read(key)?].concat())
        }
        (Some(both), None) => Some(read(both)?),
        (None, _) => None,
    };
    Ok(TlsMaterial { ca, client })
}

fn secret(file: &Utf8Path, what: &str) -> Result<String, FetchFailure> {
    let bytes = read(file).map_err(|reason| unreadable(LinkStep::Auth, file, &reason))?;
    let text = String::from_utf8_lossy(&bytes).trim_end_matches(['\n', '\r']).to_owned();
    if text.is_empty() {
        let evidence = format!("{what} file {file} is empty");
        return Err(hinted(LinkStep::Auth, evidence, format!("put the {what} into it")));
    }
    Ok(text)
}

fn read(file: &Utf8Path) -> Result<Vec<u8>, String> {
    let size = fs::metadata(file).map_err(|error| error.to_string())?.len();
    if size > MAX_FILE_BYTES {
        return Err(format!("{size} bytes are more than {MAX_FILE_BYTES}"));
    }
    fs::read(file).map_err(|error| error.to_string())
}

fn unreadable(step: LinkStep, file: &Utf8Path, reason: &str) -> FetchFailure {
    hinted(step, format!("cannot read {file}: {reason}"), "check that it exists and is readable")
}
