//! The envelope of a report: CloudEvents 1.0 in their JSON format.

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _, ser::SerializeMap};
use serde_json::Value;

use crate::event::{EventData, EventKind};

/// The content type of a request with reports.
pub const BATCH_CONTENT_TYPE: &str = "application/cloudevents-batch+json";
/// A request with reports before compression, in bytes: small enough for any
/// proxy on the way, and for one try over a bad link.
pub const BATCH_BYTES_MAX: usize = 256 * 1024;

const SPEC_VERSION: &str = "1.0";
const DATA_CONTENT_TYPE: &str = "application/json";
/// Digits of the attribute `sequence`: any 64-bit number, so that texts sort as numbers do.
const SEQUENCE_DIGITS: usize = 20;

/// One report. A request is a JSON list of them.
#[derive(Clone, Debug, PartialEq)]
pub struct CloudEvent {
    /// `<boot>-<sequence>`, unique for ever in one cluster: a receiver drops repeats by it.
    pub id: String,
    /// `/clusters/<name>`.
    pub source: String,
    /// The app; `None` for the agent itself.
    pub subject: Option<String>,
    /// The attribute `type`; not an [`EventKind`], since a newer agent may send others.
    pub kind: String,
    /// Wall clock; see `clock_trusted`.
    pub time: Timestamp,
    /// Ascending across boots.
    pub sequence: u64,
    /// Counts the agent's starts.
    pub boot: u64,
    /// Milliseconds since the start of the agent.
    pub uptime_ms: u64,
    /// `time` is not below the newest time that was ever proven.
    pub clock_trusted: bool,
    pub data: Value,
}

/// The data of a report cannot be read as its type has it.
#[derive(Debug, thiserror::Error)]
pub enum ContentError {
    #[error("`{0}` is no type of report that is known here")]
    UnknownType(String),
    #[error("the data is not that of its type")]
    Data(#[from] serde_json::Error),
}

impl CloudEvent {
    pub fn content(&self) -> Result<EventData, ContentError> {
        let kind = EventKind::from_type_name(&self.kind)
            .ok_or_else(|| ContentError::UnknownType(self.kind.clone()))?;
        Ok(EventData::read(kind, &self.data)?)
    }
}

/// Writes the attributes in the order of their names, as every agent has done.
impl Serialize for CloudEvent {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("boot", &self.boot)?;
        map.serialize_entry("clocktrusted", &self.clock_trusted)?;
        map.serialize_entry("data", &self.data)?;
        map.serialize_entry("datacontenttype", DATA_CONTENT_TYPE)?;
        map.serialize_entry("id", &self.id)?;
        map.serialize_entry("sequence", &format!("{:0SEQUENCE_DIGITS$}", self.sequence))?;
        map.serialize_entry("source", &self.source)?;
        map.serialize_entry("specversion", SPEC_VERSION)?;
        if let Some(subject) = &self.subject {
            map.serialize_entry("subject", subject)?;
        }
        map.serialize_entry("time", &self.time)?;
        map.serialize_entry("type", &self.kind)?;
        map.serialize_entry("uptimems", &self.uptime_ms)?;
        map.end()
    }
}

impl<'de> Deserialize<'de> for CloudEvent {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let read = Attributes::deserialize(deserializer)?;
        for (name, found, expected) in [
            ("specversion", &read.specversion, SPEC_VERSION),
            ("datacontenttype", &read.datacontenttype, DATA_CONTENT_TYPE),
        ] {
            if found != expected {
                return Err(D::Error::custom(format!("{name} is {found:?}, not {expected:?}")));
            }
        }
        if read.sequence.len() != SEQUENCE_DIGITS {
            let found = &read.sequence;
            return Err(D::Error::custom(format!(
                "sequence {found:?} has not {SEQUENCE_DIGITS} digits"
            )));
        }
        Ok(Self {
            id: read.id,
            source: read.source,
            subject: read.subject,
            kind: read.kind,
            time: read.time,
            sequence: read.sequence.parse().map_err(D::Error::custom)?,
            boot: read.boot.read("boot")?,
            uptime_ms: read.uptimems.read("uptimems")?,
            clock_trusted: read.clocktrusted,
            data: read.data,
        })
    }
}

#[derive(Deserialize)]
struct Attributes {
    specversion: String,
    id: String,
    source: String,
    subject: Option<String>,
    #[serde(rename = "type")]
    kind: String,
    time: Timestamp,
    sequence: String,
    boot: Number,
    uptimems: Number,
    clocktrusted: bool,
    datacontenttype: String,
    data: Value,
}

/// CloudEvents knows integers of 32 bits only; what sits between agent and
/// receiver may write larger ones as texts.
#[derive(Deserialize)]
#[serde(untagged)]
enum Number {
    Plain(u64),
    Text(String),
}

impl Number {
    fn read<E: serde::de::Error>(self, name: &str) -> Result<u64, E> {
        match self {
            Self::Plain(number) => Ok(number),
            Self::Text(text) => {
                text.parse().map_err(|_| E::custom(format!("{name} {text:?} is no number")))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// As an agent of version 0.1.0 wrote it.
    const OLD: &str = r#"{"boot":12,"clocktrusted":true,"data":{"count":3,"first_time":"2026-01-01T00:00:00Z","object":"Deployment.apps shop/web"},"datacontenttype":"application/json","id":"12-42","sequence":"00000000000000000042","source":"/clusters/shop-0042","specversion":"1.0","subject":"shop","time":"2026-01-02T03:04:05Z","type":"dev.leeward.drift.healed.v1","uptimems":86400000}"#;

    #[test]
    fn a_report_is_read_and_written_to_the_same_bytes() {
        let event: CloudEvent = serde_json::from_str(OLD).unwrap();
        assert_eq!((event.sequence, event.boot, event.uptime_ms), (42, 12, 86_400_000));
        assert_eq!(serde_json::to_string(&event).unwrap(), OLD);
        let of_agent = CloudEvent { subject: None, ..event };
        let text = serde_json::to_string(&of_agent).unwrap();
        assert_eq!(text, OLD.replace(r#""subject":"shop","#, ""));
    }

    #[test]
    fn numbers_that_became_texts_on_the_way_are_read() {
        let mut event: Value = serde_json::from_str(OLD).unwrap();
        event["uptimems"] = json!("86400000");
        let read: CloudEvent = serde_json::from_value(event).unwrap();
        assert_eq!(read.uptime_ms, 86_400_000);
    }

    #[test]
    fn a_report_without_a_promised_attribute_is_refused() {
        let errors = [
            ("clocktrusted", Value::Null),
            ("sequence", json!("42")),
            ("specversion", json!("0.3")),
            ("uptimems", json!("soon")),
        ]
        .map(|(name, value)| {
            let mut event: Value = serde_json::from_str(OLD).unwrap();
            event[name] = value;
            serde_json::from_value::<CloudEvent>(event).unwrap_err().to_string()
        });
        insta::assert_snapshot!(errors.join("\n"), @r#"
        invalid type: null, expected a boolean
        sequence "42" has not 20 digits
        specversion is "0.3", not "1.0"
        uptimems "soon" is no number
        "#);
    }

    #[test]
    fn a_type_of_a_newer_agent_is_kept_as_json() {
        let mut event: CloudEvent = serde_json::from_str(OLD).unwrap();
        event.kind = "dev.leeward.window.opened.v1".to_owned();
        let error = event.content().unwrap_err().to_string();
        assert_eq!(error, "`dev.leeward.window.opened.v1` is no type of report that is known here");
    }

    #[test]
    fn data_that_was_cut_is_an_error_and_still_there_as_json() {
        let mut event: CloudEvent = serde_json::from_str(OLD).unwrap();
        event.data = json!({ "truncated": true });
        assert!(matches!(event.content(), Err(ContentError::Data(_))));
    }
}
