//! The questions of `leeward check` to the API server: is it there, and does it let
//! us do what we need to do.

use std::collections::BTreeSet;

use futures::{StreamExt, stream};
use http::Method;
use leeward_core::model::{ClusterFault, KindVersion};
use serde_json::{Value, json};

use super::{
    Kubernetes, fault,
    transport::{Call, JSON},
};

/// Verbs that it takes to own objects of a kind. A server-side apply that creates
/// needs `create` beside `patch`.
const VERBS: [&str; 6] = ["get", "list", "watch", "create", "patch", "delete"];
/// Questions in flight at once.
const CONCURRENCY: usize = 8;

/// The API server's answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    /// `https://127.0.0.1:6443`
    pub server: String,
    /// `v1.37.2`
    pub version: String,
    /// In the order of the kinds that were asked about.
    pub permissions: Vec<Permission>,
    /// Kinds that the API server does not serve.
    pub unknown: Vec<KindVersion>,
}

/// One verb on all objects of a kind, and whether we may use it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Permission {
    /// `patch deployments.apps`
    pub what: String,
    pub allowed: bool,
    /// The reason that the authorizer gives; often empty.
    pub reason: String,
}

impl Kubernetes {
    /// Asks who is there and what we may do with objects of `kinds`, in all namespaces.
    pub async fn probe(&self, kinds: &BTreeSet<KindVersion>) -> Result<Probe, ClusterFault> {
        let version = self.version().await?;
        let server = self.inner.transport.server().await.unwrap_or_default();
        let mut unknown = Vec::new();
        let mut questions = Vec::new();
        for kind in kinds {
            match self.inner.discovery.resource(&self.inner.transport, kind).await {
                Ok(resource) => {
                    let plural = resource.plural.to_string();
                    questions
                        .extend(VERBS.map(|verb| (verb, kind.kind.group.clone(), plural.clone())));
                }
                Err(ClusterFault::UnknownKind(kind)) => unknown.push(kind),
                Err(fault) => return Err(fault),
            }
        }
        let answers: Vec<_> = stream::iter(questions)
            .map(|(verb, group, plural)| self.may(verb, group, plural))
            .buffered(CONCURRENCY)
            .collect()
            .await;
        let permissions = answers.into_iter().collect::<Result<_, _>>()?;
        Ok(Probe { server, version, permissions, unknown })
    }

    /// The version of the API server, `v1.37.2`.
    pub async fn version(&self) -> Result<String, ClusterFault> {
        let answer = self.inquire(&Call::get("/version".to_owned(), JSON)).await?;
        let version = answer.get("gitVersion").and_then(Value::as_str).unwrap_or("unknown");
        Ok(fault::shorten(version))
    }

    async fn may(
        &self,
        verb: &str,
        group: String,
        plural: String,
    ) -> Result<Permission, ClusterFault> {
        let review = json!({
            "apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": {"verb": verb, "group": group, "resource": plural}},
        });
        let target = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews".to_owned();
        let answer = self.inquire(&Call::with_json(Method::POST, target, &review)).await?;
        let dot = if group.is_empty() { "" } else { "." };
        let reason = answer.pointer("/status/reason").and_then(Value::as_str).unwrap_or_default();
        Ok(Permission {
            what: format!("{verb} {plural}{dot}{group}"),
            allowed: answer.pointer("/status/allowed").and_then(Value::as_bool) == Some(true),
            reason: fault::shorten(reason),
        })
    }

    async fn inquire(&self, call: &Call) -> Result<Value, ClusterFault> {
        let answer = self.inner.transport.call(call).await?;
        if !answer.is_success() {
            return Err(fault::classify(answer.code, &answer.body, &super::kind_of_inquiry()));
        }
        serde_json::from_slice(&answer.body).map_err(|_| ClusterFault::Unreadable {
            message: format!("the answer to {} is not JSON", call.target),
        })
    }
}
