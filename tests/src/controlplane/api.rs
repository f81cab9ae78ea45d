//! A small client of the API server: JSON in, JSON out, paths as the API has them.

use std::{
    collections::HashMap,
    path::Path,
    sync::Mutex,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use hyper::{Method, Request, StatusCode};
use kube::{
    Client, Config,
    config::{KubeConfigOptions, Kubeconfig},
};
use serde_json::Value;

/// How often a wait asks again.
const WAIT_INTERVAL: Duration = Duration::from_millis(20);
/// Of an object that a failed wait shows.
const SHOWN_BYTES: usize = 4000;

pub type ApiError = kube::Error;

/// A client of the runtime that it was made on.
pub struct Api {
    client: Client,
    /// (apiVersion, kind) → (plural, is namespaced).
    kinds: Mutex<HashMap<(String, String), (String, bool)>>,
}

impl std::fmt::Debug for Api {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Api").finish_non_exhaustive()
    }
}

impl Api {
    pub async fn from_kubeconfig(path: &Path) -> Result<Self> {
        let kubeconfig = Kubeconfig::read_from(path)
            .with_context(|| format!("cannot read {}", path.display()))?;
        let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
            .await
            .with_context(|| format!("cannot use {}", path.display()))?;
        let client = Client::try_from(config).context("cannot make a client")?;
        Ok(Self { client, kinds: Mutex::default() })
    }

    /// Sends any request, for what the other methods do not do.
    pub async fn request(
        &self,
        method: Method,
        path: &str,
        content_type: &str,
        body: Vec<u8>,
    ) -> Result<String, ApiError> {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("content-type", content_type)
            .body(body)
            .map_err(ApiError::HttpError)?;
        self.client.request_text(request).await
    }

    pub async fn get_text(&self, path: &str) -> Result<String, ApiError> {
        self.request(Method::GET, path, "application/json", Vec::new()).await
    }

    /// One object; `None` if it is not there.
    pub async fn get(&self, path: &str) -> Result<Option<Value>, ApiError> {
        match self.get_text(path).await {
            Ok(text) => parse(&text).map(Some),
            Err(error) if code_of(&error) == Some(StatusCode::NOT_FOUND) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The items of a list.
    pub async fn list(&self, path: &str) -> Result<Vec<Value>, ApiError> {
        let mut list = parse(&self.get_text(path).await?)?;
        Ok(match list["items"].take() {
            Value::Array(items) => items,
            _ => Vec::new(),
        })
    }

    /// Server-side apply, with force.
    pub async fn apply(&self, manifest: &Value, field_manager: &str) -> Result<Value> {
        let path = self.path_of(manifest).await?;
        let path = format!("{path}?fieldManager={field_manager}&force=true");
        let text = self
            .request(
                Method::PATCH,
                &path,
                "application/apply-patch+yaml",
                manifest.to_string().into_bytes(),
            )
            .await
            .with_context(|| format!("cannot apply {path}"))?;
        Ok(parse(&text)?)
    }

    /// A JSON merge patch, as `kubectl edit` under that manager's name would do it.
    pub async fn merge(
        &self,
        path: &str,
        patch: &Value,
        field_manager: &str,
    ) -> Result<Value, ApiError> {
        let path = format!("{path}?fieldManager={field_manager}");
        let body = patch.to_string().into_bytes();
        let kind = "application/merge-patch+json";
        parse(&self.request(Method::PATCH, &path, kind, body).await?)
    }

    /// Deletes with everything that it owns; an object that is not there is no error.
    pub async fn delete(&self, path: &str) -> Result<(), ApiError> {
        let path = format!("{path}?propagationPolicy=Background");
        match self.request(Method::DELETE, &path, "application/json", Vec::new()).await {
            Ok(_) => Ok(()),
            Err(error) if code_of(&error) == Some(StatusCode::NOT_FOUND) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Asks until the object (`None`: not there) is as wanted, and returns it. An API server that
    /// does not answer is asked again.
    pub async fn wait_until(
        &self,
        path: &str,
        timeout: Duration,
        wanted: impl Fn(Option<&Value>) -> bool,
    ) -> Result<Option<Value>> {
        let started = Instant::now();
        let mut last = String::from("no answer");
        while let Some(left) = timeout.checked_sub(started.elapsed()) {
            match tokio::time::timeout(left, self.get(path)).await {
                Ok(Ok(object)) if wanted(object.as_ref()) => return Ok(object),
                Ok(Ok(Some(object))) => last = object.to_string(),
                Ok(Ok(None)) => last = String::from("not there"),
                Ok(Err(error)) => last = error.to_string(),
                Err(_elapsed) => break,
            }
            tokio::time::sleep(WAIT_INTERVAL).await;
        }
        let shown: String = last.chars().take(SHOWN_BYTES).collect();
        bail!("{path} is not as wanted after {timeout:?}: {shown}")
    }

    /// Where the object of a manifest lives. Namespace `default` if it names none.
    pub async fn path_of(&self, manifest: &Value) -> Result<String> {
        let text = |value: &Value, field: &str| {
            value.as_str().map(str::to_owned).with_context(|| format!("manifest without {field}"))
        };
        let version = text(&manifest["apiVersion"], "apiVersion")?;
        let kind = text(&manifest["kind"], "kind")?;
        let name = text(&manifest["metadata"]["name"], "name")?;
        let namespace = manifest["metadata"]["namespace"].as_str().unwrap_or("default");
        let (plural, namespaced) = self.kind(&version, &kind).await?;
        let base = base_path(&version);
        Ok(if namespaced {
            format!("{base}/namespaces/{namespace}/{plural}/{name}")
        } else {
            format!("{base}/{plural}/{name}")
        })
    }

    async fn kind(&self, version: &str, kind: &str) -> Result<(String, bool)> {
        let key = (version.to_owned(), kind.to_owned());
        let known = self.kinds.lock().map(|kinds| kinds.get(&key).cloned()).unwrap_or_default();
        if let Some(known) = known {
            return Ok(known);
        }
        let base = base_path(version);
        let list = parse(&self.get_text(&base).await.with_context(|| format!("no {version}"))?)?;
        let found = list["resources"].as_array().into_iter().flatten().find(|resource| {
            resource["kind"] == kind
                && resource["name"].as_str().is_some_and(|name| !name.contains('/'))
        });
        let resource = found.with_context(|| format!("{version} has no kind {kind}"))?;
        let plural = resource["name"].as_str().context("a resource without a name")?.to_owned();
        let answer = (plural, resource["namespaced"] == true);
        if let Ok(mut kinds) = self.kinds.lock() {
            kinds.insert(key, answer.clone());
        }
        Ok(answer)
    }
}

fn base_path(version: &str) -> String {
    if version.contains('/') { format!("/apis/{version}") } else { format!("/api/{version}") }
}

fn parse(text: &str) -> Result<Value, ApiError> {
    serde_json::from_str(text).map_err(ApiError::SerdeError)
}

fn code_of(error: &ApiError) -> Option<StatusCode> {
    match error {
        ApiError::Api(status) => StatusCode::from_u16(status.code).ok(),
        _ => None,
    }
}
