//! Single objects and lists of them: apply, read, delete.

use bytes::Bytes;
use http::Method;
use leeward_core::{
    model::{
        Applied, ClusterFault, Digest, FIELD_MANAGER, HANDOVER_MANAGER, KindVersion, Manifest,
        ObjectKey, owned_digest, was_handed_over,
    },
    plan::marks::leaves_alone,
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    discovery::{Discovery, Resource},
    fault, null_is_default,
    path::{self, encode},
    transport::{Answer, Call, JSON, METADATA, Transport},
};
use crate::edge::ApplyMode;

/// Objects asked for at a time: a hundred Deployments take 2 MB while they are read.
const PAGE: usize = 100;
/// Pages of one list. 100,000 objects of one kind are more than a small cluster holds.
const MAX_PAGES: usize = 1000;

/// JSON is YAML, and quicker to read.
const APPLY_PATCH: &str = "application/apply-patch+yaml";
const MERGE_PATCH: &str = "application/merge-patch+json";

/// Reads and writes objects.
pub(super) struct Objects<'a> {
    pub(super) transport: &'a Transport,
    pub(super) discovery: &'a Discovery,
}

impl Objects<'_> {
    pub(super) async fn apply(
        &self,
        manifest: &Manifest,
        mode: ApplyMode,
    ) -> Result<Applied, ClusterFault> {
        let kind = kind_version(&manifest.key, &manifest.version);
        let resource = self.discovery.resource(self.transport, &kind).await?;
        let (manager, dry_run) = match mode {
            ApplyMode::Force => (FIELD_MANAGER, ""),
            ApplyMode::DryRun => (FIELD_MANAGER, "&dryRun=All"),
            ApplyMode::HandOver => (HANDOVER_MANAGER, ""),
            ApplyMode::TakeOver => return self.patch_metadata(&kind, manifest).await,
        };
        // Strict: a field that the schema does not know is a mistake that
        // would otherwise be dropped without a word.
        let target = format!(
            "{}?fieldManager={manager}&force=true&fieldValidation=Strict{dry_run}",
            path::object(&kind, &resource, &manifest.key)?
        );
        let body = Bytes::from(manifest.body.to_string());
        let call = Call {
            method: Method::PATCH,
            target,
            accept: METADATA,
            body: Some((APPLY_PATCH, body)),
        };
        let is_secret = manifest.secret || manifest.key.is("", "Secret");
        let answer = self.ask_about(&call, &kind, is_secret).await?;
        if mode != ApplyMode::DryRun {
            self.note_definition(&manifest.key);
        }
        read_applied(&answer)
    }

    /// Merges into an object what a manifest says of its metadata.
    async fn patch_metadata(
        &self,
        kind: &KindVersion,
        manifest: &Manifest,
    ) -> Result<Applied, ClusterFault> {
        let resource = self.discovery.resource(self.transport, kind).await?;
        let target = path::object(kind, &resource, &manifest.key)?;
        let target = format!("{target}?fieldManager={FIELD_MANAGER}");
        let body = Some((MERGE_PATCH, Bytes::from(manifest.body.to_string())));
        let call = Call { method: Method::PATCH, target, accept: METADATA, body };
        read_applied(&self.ask(&call, kind).await?)
    }

    pub(super) async fn get(
        &self,
        key: &ObjectKey,
        version: &str,
    ) -> Result<Option<Value>, ClusterFault> {
        let read = async |kind: KindVersion, resource| {
            let call = Call::get(path::object(&kind, &resource, key)?, JSON);
            self.note_definition(key);
            match self.ask(&call, &kind).await {
                Ok(answer) => parse(&answer.body).map(Some),
                Err(ClusterFault::NotFound { .. }) => Ok(None),
                Err(fault) => Err(fault),
            }
        };
        let (kind, resource) = self.address(key, version).await?;
        match read(kind, resource).await {
            // The table knew a version that is served no more.
            Err(ClusterFault::UnknownKind(_)) => {
                let (kind, resource) = self.address(key, version).await?;
                read(kind, resource).await
            }
            answer => answer,
        }
    }

    pub(super) async fn list(
        &self,
        kind: &KindVersion,
        namespace: &str,
        selector: &str,
        mut each: impl FnMut(Value),
    ) -> Result<(), ClusterFault> {
        let resource = self.discovery.resource(self.transport, kind).await?;
        let collection = path::collection(kind, &resource, namespace);
        let base = format!("{collection}?limit={PAGE}&labelSelector={}", encode(selector));
        let mut from = String::new();
        for _ in 0..MAX_PAGES {
            let call = Call::get(format!("{base}&continue={}", encode(&from)), JSON);
            let answer = self.ask(&call, kind).await?;
            let page: Page = parse(&answer.body)?;
            drop(answer);
            page.items.into_iter().for_each(|item| each(with_type(item, kind)));
            from = page.metadata.continue_from;
            if from.is_empty() {
                return Ok(());
            }
        }
        let message = format!("more than {} objects of kind {}", PAGE * MAX_PAGES, kind.kind);
        Err(ClusterFault::Unreadable { message })
    }

    pub(super) async fn delete(
        &self,
        key: &ObjectKey,
        version: &str,
        uid: &str,
    ) -> Result<(), ClusterFault> {
        let (kind, resource) = self.address(key, version).await?;
        let options = json!({
            "apiVersion": "v1", "kind": "DeleteOptions",
            "propagationPolicy": "Foreground",
            "preconditions": {"uid": uid},
        });
        let target = path::object(&kind, &resource, key)?;
        let mut call = Call::with_json(Method::DELETE, target, &options);
        call.accept = METADATA;
        self.note_definition(key);
        match self.ask(&call, &kind).await {
            Ok(_) | Err(ClusterFault::NotFound { .. }) => Ok(()),
            Err(fault) => Err(fault),
        }
    }

    /// How an object is addressed: in this version, or in another one if this is
    /// served no more.
    async fn address(
        &self,
        key: &ObjectKey,
        version: &str,
    ) -> Result<(KindVersion, Resource), ClusterFault> {
        let kind = kind_version(key, version);
        match self.discovery.resource(self.transport, &kind).await {
            Ok(resource) => Ok((kind, resource)),
            Err(ClusterFault::UnknownKind(_)) => {
                self.discovery.other_version(self.transport, &kind).await
            }
            Err(fault) => Err(fault),
        }
    }

    /// Sends a request about objects of `kind`; anything but success is a fault.
    async fn ask(&self, call: &Call, kind: &KindVersion) -> Result<Answer, ClusterFault> {
        self.ask_about(call, kind, kind.kind.group.is_empty() && kind.kind.kind == "Secret").await
    }

    /// Like `ask`; with `is_secret`, a fault repeats no value of the object.
    async fn ask_about(
        &self,
        call: &Call,
        kind: &KindVersion,
        is_secret: bool,
    ) -> Result<Answer, ClusterFault> {
        let answer = self.transport.call(call).await?;
        if answer.is_success() {
            return Ok(answer);
        }
        let fault = fault::classify_object(answer.code, &answer.body, kind, is_secret);
        if matches!(fault, ClusterFault::UnknownKind(_)) {
            self.discovery.forget(kind);
        }
        Err(fault)
    }

    fn note_definition(&self, key: &ObjectKey) {
        if key.is("apiextensions.k8s.io", "CustomResourceDefinition")
            || key.is("apiregistration.k8s.io", "APIService")
        {
            self.discovery.definition_touched();
        }
    }
}

fn kind_version(key: &ObjectKey, version: &str) -> KindVersion {
    KindVersion { kind: key.kind(), version: version.to_owned() }
}

#[derive(Deserialize)]
struct Page {
    #[serde(default)]
    metadata: PageMeta,
    #[serde(default, deserialize_with = "null_is_default")]
    items: Vec<Value>,
}

#[derive(Default, Deserialize)]
struct PageMeta {
    #[serde(default, rename = "continue")]
    continue_from: String,
}

fn parse<T: serde::de::DeserializeOwned>(body: &[u8]) -> Result<T, ClusterFault> {
    serde_json::from_slice(body).map_err(|error| {
        // The cause may quote the body; its place says enough.
        let (line, column) = (error.line(), error.column());
        let message =
            format!("it is not the JSON that was asked for (line {line}, column {column})");
        ClusterFault::Unreadable { message }
    })
}

fn read_applied(answer: &Answer) -> Result<Applied, ClusterFault> {
    let object: Value = parse(&answer.body)?;
    let uid = object.pointer("/metadata/uid").and_then(Value::as_str).unwrap_or_default();
    Ok(Applied {
        uid: uid.to_owned(),
        // An aggregated API server may keep no managed fields; then nothing is what we own.
        fields: owned_digest(&object).unwrap_or_else(|| Digest::of(b"")),
        created: answer.code == 201,
        handed_over: was_handed_over(&object),
        left_alone: leaves_alone(&object).is_some(),
        version: object
            .pointer("/metadata/resourceVersion")
            .and_then(Value::as_str)
            .and_then(|version| version.parse().ok()),
    })
}

/// Items of built-in lists do not say what they are; the list does.
fn with_type(mut item: Value, kind: &KindVersion) -> Value {
    if let Some(object) = item.as_object_mut() {
        let group = &kind.kind.group;
        let api_version = if group.is_empty() {
            kind.version.clone()
        } else {
            format!("{group}/{}", kind.version)
        };
        object.entry("apiVersion").or_insert_with(|| api_version.into());
        object.entry("kind").or_insert_with(|| kind.kind.kind.clone().into());
    }
    item
}

#[cfg(test)]
mod tests {
    use leeward_core::model::Kind;

    use super::*;

    #[test]
    fn items_of_a_list_get_the_kind_that_the_list_has() {
        let kind = KindVersion { kind: Kind::new("apps", "Deployment"), version: "v1".into() };
        let item = with_type(json!({"metadata": {"name": "web", "namespace": "shop"}}), &kind);
        assert_eq!(
            ObjectKey::of(&item).map(|key| key.to_string()).as_deref(),
            Some("Deployment.apps shop/web")
        );
    }

    #[test]
    fn status_201_says_that_the_object_is_new() {
        let body = json!({"metadata": {"uid": "u", "resourceVersion": "7", "managedFields": [
            {"manager": "leeward", "operation": "Apply", "fieldsV1": {"f:data": {}}}]}});
        let applied = |code| read_applied(&Answer { code, body: body.to_string().into() }).unwrap();
        let fields = Digest::of(br#"{"f:data":{}}"#);
        let (handed_over, left_alone) = (false, false);
        let (uid, created, version) = ("u".into(), true, Some(7));
        let expected = Applied { uid, fields, created, handed_over, left_alone, version };
        assert_eq!(applied(201), expected);
        assert_eq!(applied(200), Applied { created: false, ..expected });
    }

    #[test]
    fn an_answer_that_is_no_json_is_not_quoted() {
        let answer = Answer { code: 200, body: Bytes::from_static(b"{\"data\": hunter2}") };
        insta::assert_snapshot!(
            read_applied(&answer).unwrap_err(),
            @"the answer of the API server cannot be read: it is not the JSON that was asked for (line 1, column 10)"
        );
    }
}
