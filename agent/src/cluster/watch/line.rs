//! Reads the answers of a watch, line by line, and of a list, item by item.

use leeward_core::{
    health::trace,
    model::{APP_LABEL, ClusterFault, KindVersion, ObjectKey, Sighting, Trace, owned_digest},
    plan::{marks::leaves_alone, takeover::is_shared},
};
use serde::Deserialize;
use serde_json::Value;

use crate::cluster::{fault, null_is_default};

/// Largest line, in bytes. The metadata of one object has a few kilobytes; a server
/// that cannot leave the rest away sends at most what etcd takes, 1.5 MiB.
const MAX_LINE: usize = 4 * 1024 * 1024;
/// Bytes of buffer that are kept from one line to the next.
const KEPT_BUFFER: usize = 16 * 1024;

/// One line of a watch.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line {
    Present(Sighting),
    Gone {
        key: ObjectKey,
        uid: Option<String>,
        trace: Trace,
    },
    /// Everything up to the resource version has been sent.
    Bookmark,
    /// The resource version to go on from is too old: list again.
    Expired,
    Refused(ClusterFault),
    /// An event of a type that we do not know.
    Other,
}

/// A line and the resource version that it brings us to.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Told {
    pub(super) line: Line,
    pub(super) version: Option<String>,
}

/// The page of a list.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Page {
    pub(super) sightings: Vec<Sighting>,
    pub(super) version: String,
    /// Where the next page begins; empty after the last.
    pub(super) continue_from: String,
}

/// Why the bytes of a watch or list are of no use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum ReadError {
    #[error("a line has more than {MAX_LINE} bytes")]
    TooLong,
    #[error("a line or list is not the JSON that was asked for")]
    Json,
}

#[derive(Deserialize)]
struct RawLine {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    object: Value,
}

#[derive(Deserialize)]
struct RawList {
    metadata: RawListMeta,
    #[serde(default, deserialize_with = "null_is_default")]
    items: Vec<Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawListMeta {
    #[serde(default)]
    resource_version: String,
    #[serde(default, rename = "continue")]
    continue_from: String,
}

/// Reads one line of a watch of `kind`.
pub(super) fn read_line(line: &[u8], kind: &KindVersion) -> Result<Told, ReadError> {
    let RawLine { kind: event, object } =
        serde_json::from_slice(line).map_err(|_| ReadError::Json)?;
    if event == "ERROR" {
        let code = object.get("code").and_then(Value::as_u64).unwrap_or(500);
        let code = u16::try_from(code).unwrap_or(500);
        let line = if code == 410 {
            Line::Expired
        } else {
            Line::Refused(fault::classify(code, object.to_string().as_bytes(), kind))
        };
        return Ok(Told { line, version: None });
    }
    let version =
        object.pointer("/metadata/resourceVersion").and_then(Value::as_str).map(str::to_owned);
    let line = match event.as_str() {
        "ADDED" | "MODIFIED" => Line::Present(sighting(&object, kind).ok_or(ReadError::Json)?),
        "DELETED" => Line::Gone {
            key: key(&object, kind).ok_or(ReadError::Json)?,
            uid: object.pointer("/metadata/uid").and_then(Value::as_str).map(str::to_owned),
            trace: trace(&kind.kind, &object),
        },
        "BOOKMARK" => Line::Bookmark,
        _ => Line::Other,
    };
    Ok(Told { line, version })
}

/// Reads one page of a list of `kind`.
pub(super) fn read_page(body: &[u8], kind: &KindVersion) -> Result<Page, ReadError> {
    let RawList { metadata, items } = serde_json::from_slice(body).map_err(|_| ReadError::Json)?;
    let sightings = items.iter().map(|item| sighting(item, kind)).collect::<Option<Vec<_>>>();
    Ok(Page {
        sightings: sightings.ok_or(ReadError::Json)?,
        version: metadata.resource_version,
        continue_from: metadata.continue_from,
    })
}

fn sighting(object: &Value, kind: &KindVersion) -> Option<Sighting> {
    let metadata = object.get("metadata")?;
    let app = metadata.get("labels").and_then(|labels| labels.get(APP_LABEL));
    Some(Sighting {
        key: key(object, kind)?,
        uid: metadata.get("uid")?.as_str()?.to_owned(),
        app: app.and_then(Value::as_str).unwrap_or_default().to_owned(),
        fields: owned_digest(object),
        shared: is_shared(object),
        deleting: metadata.get("deletionTimestamp").is_some_and(|time| !time.is_null()),
        left_alone: leaves_alone(object).is_some(),
    })
}

/// Partial metadata says of itself that it is partial metadata, so the kind is the watch's.
fn key(object: &Value, kind: &KindVersion) -> Option<ObjectKey> {
    let metadata = object.get("metadata")?;
    let namespace = metadata.get("namespace").and_then(Value::as_str).unwrap_or_default();
    Some(ObjectKey {
        group: kind.kind.group.clone(),
        kind: kind.kind.kind.clone(),
        namespace: namespace.to_owned(),
        name: metadata.get("name")?.as_str()?.to_owned(),
    })
}

/// Cuts a stream of bytes into lines.
#[derive(Debug, Default)]
pub(super) struct Lines {
    buffer: Vec<u8>,
    /// Bytes that hold no line end.
    searched: usize,
}

impl Lines {
    /// Appends bytes as they arrive.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<(), ReadError> {
        if self.buffer.len() + bytes.len() > MAX_LINE {
            return Err(ReadError::TooLong);
        }
        self.buffer.extend_from_slice(bytes);
        Ok(())
    }

    /// Gives the next whole line, without its end, to `read`; `None` when there is none.
    pub(super) fn next<T>(&mut self, read: impl FnOnce(&[u8]) -> T) -> Option<T> {
        let found = self.buffer[self.searched..].iter().position(|byte| *byte == b'\n');
        let Some(end) = found.map(|index| self.searched + index) else {
            self.searched = self.buffer.len();
            if self.buffer.is_empty() && self.buffer.capacity() > KEPT_BUFFER {
                self.buffer = Vec::new();
            }
            return None;
        };
        let told = read(&self.buffer[..end]);
        self.buffer.drain(..=end);
        self.searched = 0;
        Some(told)
    }
}

#[cfg(test)]
mod tests {
    use leeward_core::model::Kind;
    use serde_json::json;

    use super::*;

    fn web() -> Value {
        json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": {
            "name": "web", "namespace": "shop", "uid": "u1", "resourceVersion": "7",
            "labels": {"leeward.dev/app": "shop"}}})
    }

    fn read(event: &str, object: &Value) -> Result<Told, ReadError> {
        let kind = KindVersion { kind: Kind::new("apps", "Deployment"), version: "v1".into() };
        read_line(json!({"type": event, "object": object}).to_string().as_bytes(), &kind)
    }

    #[test]
    fn a_changed_object_is_present_under_the_kind_of_the_watch() {
        let told = read("MODIFIED", &web()).unwrap();
        let Line::Present(sighting) = told.line else { panic!("{told:?}") };
        assert_eq!(sighting.key.to_string(), "Deployment.apps shop/web");
        assert_eq!((sighting.app.as_str(), sighting.deleting), ("shop", false));
        assert_eq!(told.version.as_deref(), Some("7"));
    }

    #[test]
    fn an_object_with_a_deletion_timestamp_is_deleting() {
        let mut object = web();
        object["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        let told = read("MODIFIED", &object).unwrap();
        assert!(matches!(told.line, Line::Present(Sighting { deleting: true, .. })));
    }

    #[test]
    fn bookmarks_move_the_version_on_and_unknown_events_do_no_harm() {
        let bookmark = json!({"metadata": {"resourceVersion": "9"}});
        assert_eq!(
            read("BOOKMARK", &bookmark).unwrap(),
            Told { line: Line::Bookmark, version: Some("9".into()) }
        );
        assert_eq!(read("NEWS", &bookmark).unwrap().line, Line::Other);
    }

    #[test]
    fn a_version_that_is_too_old_is_told_from_other_errors() {
        let status = |code| json!({"kind": "Status", "code": code, "message": "no"});
        assert_eq!(read("ERROR", &status(410)).unwrap().line, Line::Expired);
        assert_eq!(
            read("ERROR", &status(500)).unwrap().line,
            Line::Refused(ClusterFault::Unavailable { message: "no".into() })
        );
    }

    #[test]
    fn what_is_no_event_is_an_error_and_not_a_panic() {
        let kind = KindVersion { kind: Kind::new("", "Pod"), version: "v1".into() };
        for line in [
            "",
            "1",
            "[]",
            "{}",
            "{\"type\":\"ADDED\"}",
            "{\"type\":\"ADDED\",\"object\":{\"metadata\":{\"name\":1}}}",
        ] {
            assert_eq!(read_line(line.as_bytes(), &kind), Err(ReadError::Json), "{line}");
        }
        assert_eq!(read_page(b"{}", &kind), Err(ReadError::Json));
    }

    #[test]
    fn a_page_names_its_version_and_the_next_page() {
        let kind = KindVersion { kind: Kind::new("apps", "Deployment"), version: "v1".into() };
        let body = json!({"metadata": {"resourceVersion": "5", "continue": "c"}, "items": [web()]});
        let page = read_page(body.to_string().as_bytes(), &kind).unwrap();
        assert_eq!((page.version.as_str(), page.continue_from.as_str()), ("5", "c"));
        assert_eq!(page.sightings.len(), 1);
    }

    #[test]
    fn a_list_of_nothing_may_have_null_for_its_items() {
        let kind = KindVersion { kind: Kind::new("batch", "Job"), version: "v1".into() };
        let body = br#"{"metadata": {"resourceVersion": "5"}, "items": null}"#;
        assert_eq!(read_page(body, &kind).unwrap().sightings, []);
    }

    #[test]
    fn lines_come_out_whole_however_the_bytes_are_cut() {
        let text = b"one\ntwo\n\nthree";
        for size in 1..=text.len() {
            let mut lines = Lines::default();
            let mut seen = Vec::new();
            for chunk in text.chunks(size) {
                lines.push(chunk).unwrap();
                while let Some(line) = lines.next(|line| String::from_utf8(line.to_vec()).unwrap())
                {
                    seen.push(line);
                }
            }
            assert_eq!(seen, ["one", "two", ""], "chunks of {size}");
        }
    }

    #[test]
    fn a_line_without_end_is_refused() {
        let mut lines = Lines::default();
        let chunk = vec![b'x'; MAX_LINE / 2];
        assert_eq!(lines.push(&chunk), Ok(()));
        assert_eq!(lines.push(&chunk), Ok(()));
        assert_eq!(lines.push(b"x"), Err(ReadError::TooLong));
    }
}
