//! The abilities of a server: those that it announces, and those that its refusals disproved.

use serde::{Deserialize, Serialize};

use super::pktline::{Packet, PktLineError, packets};

/// The capabilities that a server announces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// Partial clone: it may leave out objects that we do not want.
    pub filter: bool,
    pub shallow: bool,
    pub agent: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CapabilitiesError {
    #[error("the server speaks no smart Git protocol")]
    NotSmart,
    #[error("the server speaks only the old Git protocol, not version 2")]
    OldProtocol,
    #[error("the server refuses: {0}")]
    Refused(String),
    #[error("the server offers no `fetch`")]
    NoFetch,
    #[error("the repository uses object format `{0}`, not sha1")]
    ObjectFormat(String),
    #[error("the list of capabilities is cut short")]
    Truncated,
    #[error("the list of capabilities is malformed")]
    Line(#[from] PktLineError),
}

/// Reads the answer to `GET info/refs` (gitprotocol-v2(5), "Capability Advertisement").
pub fn parse_capabilities(body: &[u8]) -> Result<Capabilities, CapabilitiesError> {
    let mut lines = Vec::new();
    let mut ended = false;
    for (index, packet) in packets(body).enumerate() {
        match packet {
            Ok(Packet::Line(line)) => lines.push(String::from_utf8_lossy(line).into_owned()),
            // The first flush only ends the announcement of the service.
            Ok(Packet::Flush) => ended = lines.iter().any(|line| line == "version 2"),
            Ok(_) => {}
            Err(_) if index == 0 => return Err(CapabilitiesError::NotSmart),
            Err(error) => return Err(error.into()),
        }
    }
    if let Some(message) = lines.iter().find_map(|line| line.strip_prefix("ERR ")) {
        return Err(CapabilitiesError::Refused(message.chars().take(200).collect()));
    }
    if !lines.iter().any(|line| line == "version 2") {
        let announced =
            lines.iter().any(|line| line.starts_with("# service=") || line.contains('\0'));
        return Err(if announced {
            CapabilitiesError::OldProtocol
        } else {
            CapabilitiesError::NotSmart
        });
    }
    if !ended {
        return Err(CapabilitiesError::Truncated);
    }
    let value = |name: &str| {
        lines.iter().find_map(|line| match line.split_once('=') {
            Some((key, value)) => (key == name).then_some(value),
            None => (line == name).then_some(""),
        })
    };
    match value("object-format") {
        None | Some("sha1") => {}
        Some(other) => return Err(CapabilitiesError::ObjectFormat(other.to_owned())),
    }
    let fetch = value("fetch").ok_or(CapabilitiesError::NoFetch)?;
    let can = |feature: &str| fetch.split(' ').any(|word| word == feature);
    Ok(Capabilities {
        filter: can("filter"),
        shallow: can("shallow"),
        agent: value("agent").map(|agent| agent.chars().take(100).collect()),
    })
}

/// The finest filter that a server accepts, from the finest to none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Filters {
    /// `combine:blob:none+tree:<depth>`
    Depth,
    /// `tree:0` and `blob:none`, each alone.
    TreeZero,
    /// `blob:none`
    BlobNone,
    None,
}

impl Filters {
    /// Returns the next simpler filter, after the server refused this one.
    pub fn coarser(self) -> Option<Self> {
        match self {
            Self::Depth => Some(Self::TreeZero),
            Self::TreeZero => Some(Self::BlobNone),
            Self::BlobNone => Some(Self::None),
            Self::None => None,
        }
    }
}

/// Knowledge about a remote, kept so that a poll needs no question about capabilities.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remembered {
    pub(super) version: u8,
    pub filters: Filters,
    /// It sends trees and blobs that are asked for by id.
    pub explicit_wants: bool,
}

/// Version of the stored record; older versions stay readable.
const VERSION: u8 = 1;

impl Remembered {
    /// Assumes the best of a new server; refusals teach the rest.
    pub fn of(capabilities: &Capabilities) -> Self {
        let filters = if capabilities.filter { Filters::Depth } else { Filters::None };
        Self { version: VERSION, filters, explicit_wants: true }
    }

    /// `None` when the bytes are from a newer version, or no record at all: ask the server again.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok().filter(|known: &Self| known.version == VERSION)
    }

    pub fn to_bytes(self) -> Vec<u8> {
        serde_json::to_vec(&self).expect("a struct of a number, a name and a flag is JSON")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn advertise(lines: &[&str]) -> Vec<u8> {
        let mut body = b"001e# service=git-upload-pack\n0000".to_vec();
        for line in lines {
            crate::git::encode_line(&mut body, line);
        }
        body.extend(b"0000");
        body
    }

    #[test]
    fn a_server_with_filters_is_understood() {
        let body = advertise(&[
            "version 2",
            "agent=git/2.47.3",
            "ls-refs=unborn",
            "fetch=shallow wait-for-done filter",
            "object-format=sha1",
        ]);
        assert_eq!(
            parse_capabilities(&body).unwrap(),
            Capabilities { filter: true, shallow: true, agent: Some("git/2.47.3".into()) }
        );
    }

    #[test]
    fn an_old_server_is_told_from_a_web_page() {
        let old = advertise(&["1111111111111111111111111111111111111111 HEAD\0multi_ack"]);
        assert_eq!(parse_capabilities(&old), Err(CapabilitiesError::OldProtocol));
        let page = b"<!doctype html><title>Sign in</title>";
        assert_eq!(parse_capabilities(page), Err(CapabilitiesError::NotSmart));
    }

    #[test]
    fn a_repository_of_sha256_is_refused_by_name() {
        let body = advertise(&["version 2", "fetch=shallow", "object-format=sha256"]);
        assert_eq!(
            parse_capabilities(&body),
            Err(CapabilitiesError::ObjectFormat("sha256".into()))
        );
    }

    #[test]
    fn a_list_that_is_cut_short_is_not_believed() {
        let body = advertise(&["version 2", "fetch=shallow filter"]);
        assert_eq!(parse_capabilities(&body[..body.len() - 4]), Err(CapabilitiesError::Truncated));
    }

    #[test]
    fn what_is_remembered_reads_back() {
        let known = Remembered { version: 1, filters: Filters::TreeZero, explicit_wants: false };
        assert_eq!(Remembered::from_bytes(&known.to_bytes()), Some(known));
    }

    #[test]
    fn a_record_of_version_1_stays_readable() {
        let bytes = br#"{"version":1,"filters":"depth","explicit_wants":true}"#;
        assert_eq!(
            Remembered::from_bytes(bytes),
            Some(Remembered { version: 1, filters: Filters::Depth, explicit_wants: true })
        );
    }
}
