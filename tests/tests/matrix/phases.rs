//! The phases: what an app is given so that it comes into one and stays there.

use leeward_core::model::{AppStatus, PhaseName};
use leeward_tests::{
    Seed,
    scenario::objects::{GOOD_IMAGE, annotated, config_map, definition, deployment, pod},
    webhook::{Call, hooked},
};
use serde_json::{Value, json};

/// Where the life of a revision is struck.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Fetching,
    Preflight,
    Held,
    Foundations,
    FirstWave,
    SecondWave,
    Replacing,
    Probation,
    Pruning,
    RollingBack,
    RolledBack,
}

/// Which commit; the second is the one that is struck, the third shows that life goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    First,
    Second,
    Third,
}

/// On objects that the test keeps from going.
pub(crate) const FINALIZER: &str = "example.com/hold";
/// Its pods are ready when the test says so.
pub(crate) const SLOW_IMAGE: &str = "slow3000:1";
/// What goes at once is more than the prune guard permits.
const GOING: usize = 5;
/// Of what is fetched slowly, and how much each has before base64; it cannot be compressed.
const NOISE: usize = 64;
const NOISE_BYTES: usize = 8 * 1024;
/// All of it, as it crosses the link.
pub(crate) const NOISE_WHOLE: u64 = (NOISE * NOISE_BYTES) as u64;

impl Content {
    pub(crate) fn number(self) -> &'static str {
        match self {
            Self::First => "1",
            Self::Second => "2",
            Self::Third => "3",
        }
    }
}

impl Phase {
    /// Those in which an app can be of its own, beside apps in other phases.
    pub(crate) const OF_AN_APP: [Self; 10] = [
        Self::Preflight,
        Self::Held,
        Self::Foundations,
        Self::FirstWave,
        Self::SecondWave,
        Self::Replacing,
        Self::Probation,
        Self::Pruning,
        Self::RollingBack,
        Self::RolledBack,
    ];

    /// As names begin.
    pub(crate) fn slug(self) -> &'static str {
        match self {
            Self::Fetching => "fetching",
            Self::Preflight => "preflight",
            Self::Held => "held",
            Self::Foundations => "foundations",
            Self::FirstWave => "first-wave",
            Self::SecondWave => "second-wave",
            Self::Replacing => "replacing",
            Self::Probation => "probation",
            Self::Pruning => "pruning",
            Self::RollingBack => "rolling-back",
            Self::RolledBack => "rolled-back",
        }
    }

    /// For people, and what keeps the app in it.
    pub(crate) fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Fetching => ("fetching", "a link of 64 KB/s"),
            Self::Preflight => ("preflight", "a webhook that does not answer a dry-run"),
            Self::Held => ("held", "the prune guard"),
            Self::Foundations => ("applying foundations", "a CRD that is not established"),
            Self::FirstWave => ("applying wave 0", "a webhook that does not answer"),
            Self::SecondWave => ("applying wave 1", "a webhook that does not answer"),
            Self::Replacing => ("replacing", "a finalizer on what is to be made anew"),
            Self::Probation => ("probation", "a pod that is not ready"),
            Self::Pruning => ("pruning", "a finalizer on what goes"),
            Self::RollingBack => ("rolling back", "a webhook that does not answer"),
            Self::RolledBack => ("rolled back", "nothing: it is at rest"),
        }
    }

    /// Whether the revision that is struck is a bad one.
    pub(crate) fn goes_back(self) -> bool {
        matches!(self, Self::RollingBack | Self::RolledBack)
    }

    /// What `status` calls it.
    pub(crate) fn shown(self) -> PhaseName {
        match self {
            Self::Fetching | Self::RolledBack => PhaseName::Good,
            Self::Preflight => PhaseName::Preflight,
            Self::Held => PhaseName::Held,
            Self::Foundations | Self::FirstWave | Self::SecondWave | Self::Replacing => {
                PhaseName::Applying
            }
            // What goes, goes once the revision is well and before it is called good.
            Self::Probation | Self::Pruning => PhaseName::Probation,
            Self::RollingBack => PhaseName::RollingBack,
        }
    }

    /// The name of an object of the app.
    pub(crate) fn object(self, what: &str) -> String {
        format!("{}-{what}", self.slug())
    }

    /// All that the app declares in a commit, in a namespace that is called as the scenario.
    pub(crate) fn objects(self, scenario: &str, content: Content) -> Vec<Value> {
        let map = |what: &str, value: &str| config_map(scenario, &self.object(what), value);
        let mut all = vec![map("stays", "1"), map("changes", content.number()), self.ran(scenario)];
        if content == Content::Second || (content == Content::Third && !self.goes_back()) {
            all.push(job(scenario, &self.object("comes"), None));
        }
        all.extend(self.special(scenario, content));
        all
    }

    /// A Job that runs in the first commit, and that the cluster removes soon after.
    pub(crate) fn ran(self, scenario: &str) -> Value {
        job(scenario, &self.object("ran"), Some(1))
    }

    /// What makes the phase.
    fn special(self, scenario: &str, content: Content) -> Vec<Value> {
        let is_first = content == Content::First;
        let map = |what: &str, value: &str| config_map(scenario, &self.object(what), value);
        let held_up = || hooked(map("hooked", content.number()), scenario);
        let web = |image: &str| deployment(scenario, &self.object("web"), image);
        let crashing = if content == Content::Second { "crash:1" } else { GOOD_IMAGE };
        match self {
            Self::Fetching if !is_first => noise(scenario),
            Self::Preflight | Self::FirstWave => vec![held_up()],
            Self::Held | Self::Pruning if is_first => self.going(scenario),
            Self::Foundations if !is_first => vec![second_definition(scenario)],
            Self::SecondWave => vec![annotated(held_up(), "leeward.dev/wave", "1")],
            Self::Replacing => vec![fixed(scenario, if is_first { "1" } else { "2" })],
            Self::Probation => vec![web(if is_first { GOOD_IMAGE } else { SLOW_IMAGE })],
            Self::RollingBack => vec![held_up(), web(crashing)],
            Self::RolledBack => vec![web(crashing)],
            Self::Fetching | Self::Held | Self::Foundations | Self::Pruning => Vec::new(),
        }
    }

    /// What only the first commit has.
    pub(crate) fn going(self, scenario: &str) -> Vec<Value> {
        let count = match self {
            Self::Held => GOING,
            Self::Pruning => 1,
            _ => 0,
        };
        let map = |one| config_map(scenario, &self.object(&format!("goes-{one}")), "1");
        (0..count).map(map).collect()
    }

    /// Whether the webhook leaves a call without an answer, to keep an app in this phase.
    pub(crate) fn hangs_in(call: &Call) -> bool {
        let is = |phase: Self, dry_run: bool, content: Content| {
            call.object["metadata"]["name"] == phase.object("hooked")
                && call.dry_run == dry_run
                && call.object["data"]["key"] == content.number()
        };
        is(Self::Preflight, true, Content::Second)
            || is(Self::FirstWave, false, Content::Second)
            || is(Self::SecondWave, false, Content::Second)
            || is(Self::RollingBack, false, Content::First)
    }

    /// Whether the app has come to the end of the second commit: it is good, or back.
    pub(crate) fn is_over(self, app: &AppStatus, first: &str, second: &str) -> bool {
        let good = app.good.as_ref().map(|good| good.commit.to_string());
        let wanted = if self.goes_back() { first } else { second };
        let is_known =
            !self.goes_back() || app.bad.iter().any(|bad| bad.commit.to_string() == second);
        app.phase == PhaseName::Good && good.as_deref() == Some(wanted) && is_known
    }
}

/// Runs once; `ttl`: so many seconds later the cluster removes it.
fn job(namespace: &str, name: &str, ttl: Option<u64>) -> Value {
    let mut template = pod(name, GOOD_IMAGE);
    template["spec"]["restartPolicy"] = json!("Never");
    let mut spec = json!({ "backoffLimit": 0, "template": template });
    if let Some(ttl) = ttl {
        spec["ttlSecondsAfterFinished"] = json!(ttl);
    }
    json!({
        "apiVersion": "batch/v1", "kind": "Job",
        "metadata": { "name": name, "namespace": namespace }, "spec": spec,
    })
}

/// A ConfigMap whose change takes its deletion.
pub(crate) fn fixed(scenario: &str, value: &str) -> Value {
    let name = Phase::Replacing.object("fixed");
    let mut map = annotated(config_map(scenario, &name, value), "leeward.dev/replace", "true");
    map["immutable"] = json!(true);
    map
}

fn group(scenario: &str) -> String {
    format!("{scenario}.example.com")
}

/// Of somebody else; while it is there, the second one's names are taken.
pub(crate) fn first_definition(scenario: &str) -> Value {
    definition(&group(scenario), "Till")
}

pub(crate) fn second_definition(scenario: &str) -> Value {
    let mut second = first_definition(scenario);
    second["metadata"]["name"] = json!(format!("registers.{}", group(scenario)));
    second["spec"]["names"]["plural"] = json!("registers");
    second
}

fn noise(scenario: &str) -> Vec<Value> {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    let mut seed = Seed::new(11);
    let map = |one| {
        let name = Phase::Fetching.object(&format!("noise-{one}"));
        config_map(scenario, &name, &STANDARD.encode(seed.bytes(NOISE_BYTES)))
    };
    (0..NOISE).map(map).collect()
}
