//! The steps of `leeward check` that leave this machine.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use leeward_core::model::{Kind, KindVersion, chain};
use tokio::sync::mpsc;

use super::check::{CheckStep, Outcome};
use crate::{
    cluster::{Kubernetes, Permission},
    config::{ClusterConfig, SourceConfig},
    source,
};

/// What nearly every repository holds; a role that lacks one of them is said to.
const KINDS: [(&str, &str, &str); 8] = [
    ("", "Namespace", "v1"),
    ("", "ConfigMap", "v1"),
    ("", "Secret", "v1"),
    ("", "Service", "v1"),
    ("", "ServiceAccount", "v1"),
    ("apps", "Deployment", "v1"),
    ("apps", "DaemonSet", "v1"),
    ("apps", "StatefulSet", "v1"),
];

fn blocking<T>(step: impl Future<Output = T>) -> Result<T, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    Ok(runtime.map_err(|error| format!("cannot start the runtime: {error}"))?.block_on(step))
}

fn failed(name: &str, evidence: String, elapsed: Duration) -> CheckStep {
    let outcome = Outcome::Failed { evidence, hint: None };
    CheckStep { name: name.to_owned(), outcome, elapsed }
}

/// DNS → TCP → TLS → authentication → ref → path.
pub(super) fn source(config: &SourceConfig) -> Vec<CheckStep> {
    let steps = match blocking(source::probe(config)) {
        Ok(steps) => steps,
        Err(evidence) => return vec![failed("source", evidence, Duration::ZERO)],
    };
    steps
        .into_iter()
        .map(|step| CheckStep {
            name: format!("source: {}", format!("{:?}", step.step).to_lowercase()),
            outcome: match step.outcome {
                Ok(detail) => Outcome::Passed { detail },
                Err(failure) => Outcome::Failed { evidence: failure.evidence, hint: failure.hint },
            },
            elapsed: step.elapsed,
        })
        .collect()
}

/// API server → permissions.
pub(super) fn cluster(config: &ClusterConfig) -> Vec<CheckStep> {
    let started = Instant::now();
    let kinds: BTreeSet<KindVersion> = KINDS
        .iter()
        .map(|(group, kind, version)| KindVersion {
            kind: Kind::new(group, kind),
            version: (*version).to_owned(),
        })
        .collect();
    let asked = blocking(async {
        let (sightings, _unseen) = mpsc::channel(1);
        let cluster =
            Kubernetes::connect(config, sightings).await.map_err(|error| chain(&error))?;
        let connected = started.elapsed();
        let probe = cluster.probe(&kinds).await.map_err(|fault| fault.to_string())?;
        Ok::<_, String>((probe, connected))
    });
    let (probe, connected) = match asked.and_then(|answer| answer) {
        Ok(answer) => answer,
        Err(evidence) => return vec![failed("api server", evidence, started.elapsed())],
    };
    let reached = CheckStep {
        name: "api server".to_owned(),
        outcome: Outcome::Passed { detail: format!("{} {}", probe.server, probe.version) },
        elapsed: connected,
    };
    vec![reached, permissions(&probe.permissions, started.elapsed().saturating_sub(connected))]
}

fn permissions(found: &[Permission], elapsed: Duration) -> CheckStep {
    let refused: Vec<&str> = found
        .iter()
        .filter(|permission| !permission.allowed)
        .map(|permission| permission.what.as_str())
        .collect();
    let outcome = if refused.is_empty() {
        Outcome::Passed { detail: format!("{} asked for, all granted", found.len()) }
    } else {
        Outcome::Failed {
            evidence: format!("not granted: {}", refused.join(", ")),
            hint: Some(
                "grant what the repository needs; packaging/daemonset has roles to start from"
                    .to_owned(),
            ),
        }
    };
    CheckStep { name: "permissions".to_owned(), outcome, elapsed }
}
