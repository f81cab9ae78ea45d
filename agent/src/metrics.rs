//! What Prometheus may know of us. The names are a contract: adding is free,
//! renaming is not; `docs/reference/metrics.md` is generated from here.
//!
//! The loop sets, the HTTP server reads. Nothing is decided by these numbers.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use leeward_core::model::{LinkStep, PhaseName};
use prometheus_client::{
    encoding::{EncodeLabelSet, text},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram, info::Info},
    registry::Registry,
};

/// Upper bounds of `reconcile_seconds`, in seconds: from a round that finds
/// nothing to do (milliseconds) to one that applies 1,000 objects (20 s) or
/// waits for an API server that hangs.
const RECONCILE_BUCKETS: [f64; 10] = [0.001, 0.005, 0.02, 0.1, 0.5, 1.0, 5.0, 20.0, 60.0, 300.0];

/// How a poll of the remote ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FetchResult {
    /// There was a new commit, and it is whole in the store.
    Changed,
    Unchanged,
    Failed(LinkStep),
}

type Count = Gauge<u64, AtomicU64>;
type Seconds = Gauge<f64, AtomicU64>;

/// Every metric (docs/reference/metrics.md). Shared between the loop and the HTTP server.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    app_phase: Family<PhaseLabels, Count>,
    app_healthy: Family<AppLabels, Count>,
    app_objects: Family<AppLabels, Count>,
    app_objects_stuck: Family<AppLabels, Count>,
    app_pinned: Family<AppLabels, Count>,
    drift_healed: Family<AppLabels, Counter>,
    fetch: Family<ResultLabels, Counter>,
    fetch_bytes: Family<DirectionLabels, Counter>,
    link_up: Count,
    outbox_pending: Count,
    outbox_dropped: Counter,
    store_bytes: Count,
    store_written_bytes: Counter,
    reconcile: Histogram,
    watchdog_age: Seconds,
    log_lines_dropped: Counter,
}

impl Metrics {
    pub fn new() -> Self {
        let metrics = Self {
            registry: Registry::default(),
            app_phase: Family::default(),
            app_healthy: Family::default(),
            app_objects: Family::default(),
            app_objects_stuck: Family::default(),
            app_pinned: Family::default(),
            drift_healed: Family::default(),
            fetch: Family::default(),
            fetch_bytes: Family::default(),
            link_up: Count::default(),
            outbox_pending: Count::default(),
            outbox_dropped: Counter::default(),
            store_bytes: Count::default(),
            store_written_bytes: Counter::default(),
            reconcile: Histogram::new(RECONCILE_BUCKETS),
            watchdog_age: Seconds::default(),
            log_lines_dropped: Counter::default(),
        };
        metrics.start_at_zero();
        let mut registry = Registry::with_prefix("leeward");
        metrics.register_agent(&mut registry);
        metrics.register_apps(&mut registry);
        metrics.register_link(&mut registry);
        Self { registry, ..metrics }
    }

    /// What an app is like now. Its drift counter starts at zero here.
    pub fn set_app(&self, name: &str, phase: PhaseName, healthy: bool, objects: usize) {
        for other in PhaseName::ALL {
            let labels = PhaseLabels { app: name.to_owned(), phase: other.name() };
            self.app_phase.get_or_create(&labels).set(u64::from(other == phase));
        }
        let labels = AppLabels { app: name.to_owned() };
        self.app_healthy.get_or_create(&labels).set(u64::from(healthy));
        self.app_objects.get_or_create(&labels).set(u64::try_from(objects).unwrap_or(u64::MAX));
        drop(self.drift_healed.get_or_create(&labels));
    }

    /// How many objects of the app stay other than Git or the way back wants them.
    pub fn set_stuck(&self, name: &str, stuck: usize) {
        let labels = AppLabels { app: name.to_owned() };
        self.app_objects_stuck.get_or_create(&labels).set(u64::try_from(stuck).unwrap_or(u64::MAX));
    }

    /// Whether a person rolled the app back.
    pub fn set_pinned(&self, name: &str, pinned: bool) {
        let labels = AppLabels { app: name.to_owned() };
        self.app_pinned.get_or_create(&labels).set(u64::from(pinned));
    }

    /// The app is no longer one of ours: none of its series stays behind.
    pub fn forget_app(&self, name: &str) {
        for phase in PhaseName::ALL {
            let labels = PhaseLabels { app: name.to_owned(), phase: phase.name() };
            self.app_phase.remove(&labels);
        }
        let labels = AppLabels { app: name.to_owned() };
        self.app_healthy.remove(&labels);
        self.app_objects.remove(&labels);
        self.app_objects_stuck.remove(&labels);
        self.app_pinned.remove(&labels);
        self.drift_healed.remove(&labels);
    }

    /// One object of the app had drifted and was put right.
    pub fn drift_healed(&self, app: &str) {
        self.drift_healed.get_or_create(&AppLabels { app: app.to_owned() }).inc();
    }

    /// A poll ended, and so many bytes crossed the link for it.
    pub fn fetch(&self, result: FetchResult, sent: u64, received: u64) {
        self.fetch.get_or_create(&ResultLabels { result: result_label(result) }).inc();
        self.fetch_bytes.get_or_create(&DirectionLabels { direction: "sent" }).inc_by(sent);
        self.fetch_bytes.get_or_create(&DirectionLabels { direction: "received" }).inc_by(received);
    }

    pub fn link(&self, up: bool) {
        self.link_up.set(u64::from(up));
    }

    /// `dropped` is the outbox's own total.
    pub fn outbox(&self, pending: u64, dropped: u64) {
        self.outbox_pending.set(pending);
        self.outbox_dropped.inner().store(dropped, Ordering::Relaxed);
    }

    /// `written` is the store's own total since the agent started.
    pub fn store(&self, bytes: u64, written: u64) {
        self.store_bytes.set(bytes);
        self.store_written_bytes.inner().store(written, Ordering::Relaxed);
    }

    /// `total` is the log's own total since the agent started.
    pub fn log_lines_dropped(&self, total: u64) {
        self.log_lines_dropped.inner().store(total, Ordering::Relaxed);
    }

    /// One round of the loop took so long, the wait before it not counted.
    pub fn observe_reconcile(&self, took: Duration) {
        self.reconcile.observe(took.as_secs_f64());
    }

    /// The OpenMetrics text. `watchdog_age` is the one number that grows by
    /// itself, so the reader brings it.
    pub fn encode(&self, watchdog_age: Duration) -> String {
        self.watchdog_age.set(watchdog_age.as_secs_f64());
        let mut text = String::new();
        text::encode(&mut text, &self.registry).expect("writing to a string does not fail");
        text
    }

    fn register_agent(&self, registry: &mut Registry) {
        let build =
            BuildLabels { version: env!("CARGO_PKG_VERSION"), arch: std::env::consts::ARCH };
        registry.register("build", "The agent that runs; always 1", Info::new(build));
        let help = "How long the rounds of the loop took";
        registry.register("reconcile_seconds", help, self.reconcile.clone());
        let help = "Time since the loop last came round";
        registry.register("watchdog_age_seconds", help, self.watchdog_age.clone());
        let help = "Lines of the log that were dropped because nobody read them in time";
        registry.register("log_lines_dropped", help, self.log_lines_dropped.clone());
        let help = "Bytes that the store takes on disk";
        registry.register("store_bytes", help, self.store_bytes.clone());
        let help = "Bytes written to the store since the agent started";
        registry.register("store_written_bytes", help, self.store_written_bytes.clone());
    }

    fn register_apps(&self, registry: &mut Registry) {
        let help = "1 for the phase that the app is in, 0 for the others";
        registry.register("app_phase", help, self.app_phase.clone());
        let help = "1 when every object of the app is healthy, or suspended on purpose";
        registry.register("app_healthy", help, self.app_healthy.clone());
        let help = "Objects that the app owns in the cluster";
        registry.register("app_objects", help, self.app_objects.clone());
        let help = "Objects that the cluster does not let be what the wanted revision says";
        registry.register("app_objects_stuck", help, self.app_objects_stuck.clone());
        let help = "1 while a person has the app rolled back: Git is not followed";
        registry.register("app_pinned", help, self.app_pinned.clone());
        let help = "Objects that had drifted and were put right";
        registry.register("drift_healed", help, self.drift_healed.clone());
    }

    fn register_link(&self, registry: &mut Registry) {
        let help = "Polls of the source by how they ended: changed, unchanged, or the failed step";
        registry.register("fetch", help, self.fetch.clone());
        let help = "Bytes that crossed the link for the source";
        registry.register("fetch_bytes", help, self.fetch_bytes.clone());
        let help = "1 when the last poll reached the source, 0 when it failed or none has ended";
        registry.register("link_up", help, self.link_up.clone());
        let help = "Reports that no receiver has acknowledged";
        registry.register("outbox_pending", help, self.outbox_pending.clone());
        let help = "Reports that were dropped to make room";
        registry.register("outbox_dropped", help, self.outbox_dropped.clone());
    }

    /// A counter that appears with its first event hides that event from `rate()`.
    fn start_at_zero(&self) {
        for result in [FetchResult::Changed, FetchResult::Unchanged]
            .into_iter()
            .chain(LinkStep::ALL.map(FetchResult::Failed))
        {
            drop(self.fetch.get_or_create(&ResultLabels { result: result_label(result) }));
        }
        for direction in ["sent", "received"] {
            drop(self.fetch_bytes.get_or_create(&DirectionLabels { direction }));
        }
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct BuildLabels {
    version: &'static str,
    arch: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AppLabels {
    app: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PhaseLabels {
    app: String,
    phase: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ResultLabels {
    result: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DirectionLabels {
    direction: &'static str,
}

/// As in `leeward status`.
fn result_label(result: FetchResult) -> &'static str {
    match result {
        FetchResult::Changed => "changed",
        FetchResult::Unchanged => "unchanged",
        FetchResult::Failed(step) => step.name(),
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, fmt::Write as _};

    use super::*;

    const REFERENCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/reference/metrics.md");

    fn busy() -> Metrics {
        let metrics = Metrics::new();
        metrics.set_app("shop", PhaseName::Probation, false, 200);
        metrics.set_stuck("shop", 1);
        metrics.set_pinned("shop", true);
        metrics.drift_healed("shop");
        metrics.fetch(FetchResult::Changed, 693, 1_185);
        metrics.fetch(FetchResult::Failed(LinkStep::Tls), 100, 0);
        metrics.link(true);
        metrics.outbox(7, 2);
        metrics.store(1_048_576, 4_096);
        metrics.observe_reconcile(Duration::from_millis(300));
        metrics
    }

    /// Name and labels of every metric in an exposition, `app_phase{app,phase}`,
    /// with its type and help text.
    fn described(exposition: &str) -> BTreeMap<String, (String, String)> {
        let mut found = BTreeMap::new();
        let (mut help, mut kind) = (String::new(), String::new());
        for line in exposition.lines() {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                help = rest.split_once(' ').unwrap().1.to_owned();
            } else if let Some(rest) = line.strip_prefix("# TYPE ") {
                kind = rest.split_once(' ').unwrap().1.to_owned();
            } else if !line.starts_with('#') {
                let sample = line.rsplit_once(' ').unwrap().0;
                let (name, labels) = sample.split_once('{').unwrap_or((sample, ""));
                let mut labels: Vec<&str> =
                    labels.split(',').filter_map(|label| Some(label.split_once('=')?.0)).collect();
                let mut name = name;
                if kind == "histogram" {
                    labels.clear();
                    name = ["_bucket", "_sum", "_count"]
                        .iter()
                        .find_map(|suffix| name.strip_suffix(suffix))
                        .unwrap();
                }
                let labels = if labels.is_empty() {
                    String::new()
                } else {
                    format!("{{{}}}", labels.join(","))
                };
                found.insert(format!("{name}{labels}"), (kind.clone(), help.clone()));
            }
        }
        found
    }

    #[test]
    fn the_names_are_those_of_the_contract() {
        let exposition = busy().encode(Duration::ZERO);
        let names: Vec<String> = described(&exposition).into_keys().collect();
        insta::assert_snapshot!(names.join("\n"), @r"
        leeward_app_healthy{app}
        leeward_app_objects_stuck{app}
        leeward_app_objects{app}
        leeward_app_phase{app,phase}
        leeward_app_pinned{app}
        leeward_build_info{version,arch}
        leeward_drift_healed_total{app}
        leeward_fetch_bytes_total{direction}
        leeward_fetch_total{result}
        leeward_link_up
        leeward_log_lines_dropped_total
        leeward_outbox_dropped_total
        leeward_outbox_pending
        leeward_reconcile_seconds
        leeward_store_bytes
        leeward_store_written_bytes_total
        leeward_watchdog_age_seconds
        ");
    }

    #[test]
    fn what_the_loop_says_is_what_prometheus_reads() {
        let exposition = busy().encode(Duration::from_millis(1_500));
        let mut samples: Vec<&str> = exposition
            .lines()
            .filter(|line| !line.starts_with('#') && !line.ends_with(" 0"))
            .filter(|line| !line.contains("_bucket") && !line.contains("build_info"))
            .collect();
        samples.sort_unstable();
        insta::assert_snapshot!(samples.join("\n"), @r#"
        leeward_app_objects_stuck{app="shop"} 1
        leeward_app_objects{app="shop"} 200
        leeward_app_phase{app="shop",phase="probation"} 1
        leeward_app_pinned{app="shop"} 1
        leeward_drift_healed_total{app="shop"} 1
        leeward_fetch_bytes_total{direction="received"} 1185
        leeward_fetch_bytes_total{direction="sent"} 793
        leeward_fetch_total{result="changed"} 1
        leeward_fetch_total{result="tls"} 1
        leeward_link_up 1
        leeward_outbox_dropped_total 2
        leeward_outbox_pending 7
        leeward_reconcile_seconds_count 1
        leeward_reconcile_seconds_sum 0.3
        leeward_store_bytes 1048576
        leeward_store_written_bytes_total 4096
        leeward_watchdog_age_seconds 1.5
        "#);
    }

    #[test]
    fn a_forgotten_app_leaves_no_series_behind() {
        let metrics = busy();
        metrics.forget_app("shop");
        assert!(!metrics.encode(Duration::ZERO).contains("shop"));
    }

    #[test]
    fn a_new_phase_ends_the_old_one() {
        let metrics = busy();
        metrics.set_app("shop", PhaseName::Good, true, 200);
        let exposition = metrics.encode(Duration::ZERO);
        let active: Vec<&str> = exposition
            .lines()
            .filter(|line| line.starts_with("leeward_app_phase") && line.ends_with(" 1"))
            .collect();
        assert_eq!(active, [r#"leeward_app_phase{app="shop",phase="good"} 1"#]);
    }

    #[test]
    fn the_reference_page_is_up_to_date() {
        let mut page = String::from(
            "# Metrics\n\nGenerated from the code; `LEEWARD_BLESS=1 cargo test -p leeward` writes it anew.\n\n\
             `GET /metrics` on `[http] listen` answers in OpenMetrics text. Counters restart with\n\
             the agent; `outbox_dropped_total` is the outbox's own and does not.\n\n\
             | metric | type | meaning |\n|---|---|---|\n",
        );
        for (name, (kind, help)) in described(&busy().encode(Duration::ZERO)) {
            writeln!(page, "| `{name}` | {kind} | {help} |").unwrap();
        }
        if std::env::var_os("LEEWARD_BLESS").is_some() {
            std::fs::write(REFERENCE, &page).unwrap();
        }
        let written = std::fs::read_to_string(REFERENCE).unwrap();
        assert!(written == page, "{REFERENCE} is stale: set LEEWARD_BLESS=1 and test again");
    }
}
