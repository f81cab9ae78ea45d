//! An object as the simulated API server keeps it, with managed fields.

use std::time::Duration;

use leeward_core::{
    health,
    model::{APP_LABEL, AppName, ObjectKey, Sighting, Trace, owned_digest},
};
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
    pub(crate) created_at: Instant,
    /// It was another app's once.
    pub(crate) has_moved: bool,
    /// When its image is there, if that takes long.
    pub(crate) pulled_at: Option<Instant>,
}

/// How a simulated workload behaves; written into the manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Behaviour {
    Fine,
    /// Ready after so many seconds.
    Slow(u64),
    /// Its image is on its way for so many seconds.
    Pulls(u64),
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
            Self::Pulls(seconds) => format!("pulls {seconds}"),
            Self::Crashes => "crashes".to_owned(),
            Self::Invalid => "invalid".to_owned(),
            Self::SurprisesAtApply => "surprise".to_owned(),
        }
    }

    pub(crate) fn of(body: &Value) -> Self {
        let word = body["spec"]["behaviour"].as_str().unwrap_or("fine");
        match word.split_once(' ') {
            Some(("slow", seconds)) => Self::Slow(seconds.parse().unwrap_or(1)),
            Some(("pulls", seconds)) => Self::Pulls(seconds.parse().unwrap_or(1)),
            _ => match word {
                "crashes" => Self::Crashes,
                "invalid" => Self::Invalid,
                "surprise" => Self::SurprisesAtApply,
                _ => Self::Fine,
            },
        }
    }

    /// Whether it becomes ready, sooner or later.
    pub(crate) fn is_fine(self) -> bool {
        matches!(self, Self::Fine | Self::Slow(_) | Self::Pulls(_))
    }

    pub(crate) fn pulls(self) -> Option<u64> {
        if let Self::Pulls(seconds) = self { Some(seconds) } else { None }
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
        if let Some(fields) = self.fields_of_controller() {
            managed.push(json!({
                "manager": "kube-controller-manager", "operation": "Update",
                "apiVersion": object["apiVersion"], "fieldsType": "FieldsV1", "fieldsV1": fields,
            }));
        }
        object["metadata"]["managedFields"] = json!(managed);
        match object["kind"].as_str() {
            Some("Deployment") => object["status"] = self.status(),
            Some("Namespace") => object["status"] = json!({ "phase": "Active" }),
            Some("PersistentVolumeClaim") => object["status"] = json!({ "phase": "Bound" }),
            Some("CustomResourceDefinition") => {
                let is_served = self.created_at.elapsed() >= Duration::from_millis(200);
                let served = if is_served { "True" } else { "False" };
                let established = json!({ "type": "Established", "status": served });
                object["status"] = json!({ "conditions": [established] });
            }
            Some("Job") => object["status"] = self.status_of_job(),
            _ => {}
        }
        object
    }

    fn status_of_job(&self) -> Value {
        if self.has_ended() {
            let complete = json!({ "type": "Complete", "status": "True" });
            return json!({ "succeeded": 1, "conditions": [complete] });
        }
        json!({ "active": 1 })
    }

    /// What the controller of a Job wrote: its end shows in the last metadata, too.
    fn fields_of_controller(&self) -> Option<Value> {
        let is_job = self.body["kind"] == "Job";
        is_job.then(|| {
            if self.has_ended() {
                json!({ "f:status": { "f:conditions": {}, "f:completionTime": {} } })
            } else {
                json!({ "f:status": { "f:active": {}, "f:startTime": {} } })
            }
        })
    }

    fn seconds(&self, field: &str) -> Duration {
        Duration::from_secs(self.body["spec"][field].as_u64().unwrap_or(0))
    }

    /// Whether a Job has run to its end.
    pub(crate) fn has_ended(&self) -> bool {
        self.created_at.elapsed() >= self.seconds("seconds")
    }

    /// Whether a Job has outlived its end by as long as it may.
    pub(crate) fn has_expired(&self) -> bool {
        let lives = self.seconds("seconds") + self.seconds("ttlSecondsAfterFinished");
        self.body["kind"] == "Job" && self.created_at.elapsed() >= lives
    }

    pub(crate) fn trace(&self, key: &ObjectKey) -> Trace {
        health::trace(&key.kind(), &self.answer())
    }

    /// Whether a Deployment serves.
    pub(crate) fn is_ready(&self) -> bool {
        let age = self.changed_at.elapsed();
        let starts = age >= Duration::from_millis(300);
        match Behaviour::of(&self.body) {
            Behaviour::Slow(seconds) => age >= Duration::from_secs(seconds),
            Behaviour::Pulls(_) => starts && !self.is_pulling(),
            Behaviour::Crashes => false,
            _ => starts,
        }
    }

    fn is_pulling(&self) -> bool {
        self.pulled_at.is_some_and(|at| Instant::now() < at)
    }

    /// The pod of a Deployment whose image is on its way.
    pub(crate) fn pod(&self) -> Option<Value> {
        if !self.is_pulling() {
            return None;
        }
        let template = &self.body["spec"]["template"];
        let (metadata, image) = (&self.body["metadata"], &self.body["spec"]["behaviour"]);
        let set = format!("{}-1", metadata["name"].as_str().unwrap_or_default());
        Some(json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {
                "name": format!("{set}-a"), "namespace": metadata["namespace"],
                "labels": template["metadata"]["labels"],
                "ownerReferences": [{ "kind": "ReplicaSet", "name": set, "controller": true }],
            },
            "spec": template["spec"],
            "status": {
                "conditions": [{ "type": "PodReadyToStartContainers", "status": "True" }],
                "containerStatuses": [{
                    "name": "main", "image": image,
                    "state": { "waiting": { "reason": "ContainerCreating" } },
                }],
            },
        }))
    }

    fn status(&self) -> Value {
        let age = self.changed_at.elapsed();
        let ready = self.is_ready();
        let behaviour = Behaviour::of(&self.body);
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
