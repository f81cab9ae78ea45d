//! A validating admission webhook that writes down every call, and leaves those
//! that it was told to without an answer until it is opened.

use std::{io, time::Duration};

use anyhow::{Context, Result, bail};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::{Request, Response, body::Incoming, header};
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::{
    controlplane::Api,
    http::{Answer, Body, HttpServer, whole},
    scenario::{MEDDLER, SOON},
    tls::{Authority, TlsOptions},
};

/// The label by which an object asks for the webhook of this name.
const LABEL: &str = "hooked";
/// The longest that the API server allows.
const TIMEOUT: Duration = Duration::from_secs(30);

/// One call of the API server.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    pub dry_run: bool,
    /// As it would be after the request.
    pub object: Value,
}

/// Dropping it closes its port; its registration stays, and concerns only
/// objects that carry its label.
#[derive(Debug)]
pub struct Webhook {
    calls: watch::Receiver<Vec<Call>>,
    is_open: watch::Sender<bool>,
    _server: HttpServer,
}

impl Webhook {
    /// Registers a webhook under this name. It does not answer calls that `hangs` names.
    pub async fn start(
        api: &Api,
        name: &str,
        hangs: impl Fn(&Call) -> bool + Send + Sync + 'static,
    ) -> Result<Self> {
        let authority = Authority::new()?;
        let (calls, seen) = watch::channel(Vec::new());
        let (is_open, opened) = watch::channel(false);
        let hangs = std::sync::Arc::new(hangs);
        let acceptor = authority.acceptor(TlsOptions::default())?;
        let server = HttpServer::start(Some(acceptor), move |request| -> Answer {
            let (calls, mut opened) = (calls.clone(), opened.clone());
            let hangs = std::sync::Arc::clone(&hangs);
            Box::pin(async move {
                let (uid, call) = read(request).await?;
                let waits = hangs(&call);
                calls.send_modify(|calls| calls.push(call));
                if waits && opened.wait_for(|is_open| *is_open).await.is_err() {
                    return Err(io::Error::other("the webhook is gone"));
                }
                Ok(allow(&uid))
            })
        })?;
        let registration = registration(name, server.address().port(), &authority.pem());
        api.apply(&registration, MEDDLER).await.context("cannot register the webhook")?;
        Ok(Self { calls: seen, is_open, _server: server })
    }

    /// Answers everything from now on, what waits included.
    pub fn open(&self) {
        self.is_open.send_replace(true);
    }

    /// In the order of their arrival.
    pub fn calls(&self) -> Vec<Call> {
        self.calls.borrow().clone()
    }

    pub async fn wait_calls(&mut self, wanted: impl Fn(&[Call]) -> bool) -> Result<()> {
        let calls = self.calls.wait_for(|calls| wanted(calls));
        match tokio::time::timeout(SOON, calls).await {
            Ok(found) => found.map(drop).context("the webhook is gone"),
            Err(_) => bail!("the webhook was not called as wanted"),
        }
    }
}

/// The manifest of an object about which the webhook of this name is asked.
#[must_use]
pub fn hooked(mut manifest: Value, name: &str) -> Value {
    manifest["metadata"]["labels"][LABEL] = json!(name);
    manifest
}

async fn read(request: Request<Incoming>) -> io::Result<(Value, Call)> {
    let body = request.into_body().collect().await.map_err(io::Error::other)?.to_bytes();
    let mut review: Value = serde_json::from_slice(&body)?;
    let request = &mut review["request"];
    let call = Call { dry_run: request["dryRun"] == true, object: request["object"].take() };
    Ok((request["uid"].take(), call))
}

fn allow(uid: &Value) -> Response<Body> {
    let review = json!({
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "response": { "uid": uid, "allowed": true },
    });
    let mut response = Response::new(whole(Bytes::from(review.to_string())));
    let json = header::HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    response
}

fn registration(name: &str, port: u16, authority: &str) -> Value {
    json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingWebhookConfiguration",
        "metadata": { "name": name },
        "webhooks": [{
            "name": "hangs.example.com",
            "clientConfig": {
                "url": format!("https://127.0.0.1:{port}/"),
                "caBundle": STANDARD.encode(authority),
            },
            "admissionReviewVersions": ["v1"],
            "sideEffects": "None",
            "failurePolicy": "Fail",
            "timeoutSeconds": TIMEOUT.as_secs(),
            "objectSelector": { "matchLabels": { LABEL: name } },
            "rules": [{
                "apiGroups": ["", "apps"], "apiVersions": ["v1"],
                "operations": ["CREATE", "UPDATE"], "resources": ["configmaps", "deployments"],
            }],
        }],
    })
}
