//! An object as the simulated API server keeps it, with managed fields.

use std::time::Duration;

use leeward_core::model::{APP_LABEL, AppName, ObjectKey, Sighting, owned_digest};
use serde_json::{Map, Value, json};
use tokio::time::Instant;

#[derive(Clone, Debug)]
pub(crate) struct LiveObject {
    pub(crate) uid: String,
    pub(crate) generation: u64,
    pub(crate) body: Value,
    /// What our manager owns; `None` for an object that is somebody else's.
    pub(crate) owned: Option<Value>,
    /// What a person owns who edited it.
    pub(crate) edited: Option<Value>,
    pub(crate) changed_at: Instant,
}

/// How a simulated workload behaves; written into the manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Behaviour {
    Fine,
    /// Ready after so many seconds.
    Slow(u64),
    /// Never ready, and says so after 20 seconds.
    Crashes,
    /// The API server refuses it in the dry-run.
    Invalid,
    /// The API server refuses it only when it is meant.
    SurprisesAtApply,
}

impl Behaviour {
    pub(crate) fn word(self) -> String {
        match self {
            Self::Fine => "fine".to_owned(),
            Self::Slow(seconds) => format!("slow {seconds}"),
            Self::Crashes => "crashes".to_owned(),
            Self::Invalid => "invalid".to_owned(),
            Self::SurprisesAtApply => "surprise".to_owned(),
        }
    }

    pub(crate) fn of(body: &Value) -> Self {
        let word = body["spec"]["behaviour"].as_str().unwrap_or("fine");
        match word.split_once(' ') {
            Some(("slow", seconds)) => Self::Slow(seconds.parse().unwrap_or(1)),
            _ => match word {
                "crashes" => Self::Crashes,
                "invalid" => Self::Invalid,
                "surprise" => Self::SurprisesAtApply,
                _ => Self::Fine,
            },
        }
    }
}

/// FieldsV1 of a body: every leaf under the maps; lists are atomic here.
pub(crate) fn fields_of(body: &Value) -> Value {
    fn walk(value: &Value) -> Value {
        let Some(map) = value.as_object() else { return json!({}) };
        let fields: Map<String, Value> =
            map.iter().map(|(name, value)| (format!("f:{name}"), walk(value))).collect();
        Value::Object(fields)
    }
    let mut fields = walk(body);
    if let Some(map) = fields.as_object_mut() {
        map.remove("f:apiVersion");
        map.remove("f:kind");
        if let Some(metadata) = map.get_mut("f:metadata").and_then(Value::as_object_mut) {
            metadata.remove("f:name");
            metadata.remove("f:namespace");
        }
    }
    fields
}

impl LiveObject {
    /// The object as a read returns it.
    pub(crate) fn answer(&self) -> Value {
        let mut object = self.body.clone();
        object["metadata"]["uid"] = json!(self.uid);
        object["metadata"]["generation"] = json!(self.generation);
        let mut managed = Vec::new();
        if let Some(fields) = &self.owned {
            managed.push(json!({
                "manager": "leeward", "operation": "Apply", "apiVersion": object["apiVersion"],
                "fieldsType": "FieldsV1", "fieldsV1": fields,
            }));
        }
        if let Some(fields) = &self.edited {
            managed.push(json!({
                "manager": "kubectl-edit", "operation": "Update", "apiVersion": object["apiVersion"],
                "fieldsType": "FieldsV1", "fieldsV1": fields,
            }));
        }
        object["metadata"]["managedFields"] = json!(managed);
        if object["kind"] == "Deployment" {
            object["status"] = self.status();
        }
        if object["kind"] == "Namespace" {
            object["status"] = json!({ "phase": "Active" });
        }
        object
    }

    fn status(&self) -> Value {
        let age = self.changed_at.elapsed();
        let behaviour = Behaviour::of(&self.body);
        let ready = match behaviour {
            Behaviour::Slow(seconds) => age >= Duration::from_secs(seconds),
            Behaviour::Crashes => false,
            _ => age >= Duration::from_millis(300),
        };
        let overdue = behaviour == Behaviour::Crashes && age >= Duration::from_secs(20);
        let progressing = if overdue {
            json!({ "type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded" })
        } else {
            json!({ "type": "Progressing", "status": "True", "reason": "ReplicaSetUpdated" })
        };
        let count = u64::from(ready);
        json!({
            "observedGeneration": self.generation, "replicas": 1, "updatedReplicas": 1,
            "readyReplicas": count, "availableReplicas": count, "unavailableReplicas": 1 - count,
            "conditions": [
                { "type": "Available", "status": if ready { "True" } else { "False" } },
                progressing,
            ],
        })
    }

    pub(crate) fn app(&self) -> Option<AppName> {
        Some(self.body["metadata"]["labels"][APP_LABEL].as_str()?.to_owned())
    }

    pub(crate) fn sighting(&self, key: &ObjectKey) -> Option<Sighting> {
        Some(Sighting {
            key: key.clone(),
            uid: self.uid.clone(),
            app: self.app()?,
            fields: owned_digest(&self.answer()),
            shared: false,
            deleting: false,
            left_alone: false,
        })
    }

    /// Whether it carries our mark and our manager.
    pub(crate) fn is_ours(&self) -> bool {
        self.owned.is_some() && self.app().is_some()
    }
}
