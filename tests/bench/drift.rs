//! How long damage lasts: edits and deletions of one object after the other, among 200.

use anyhow::{Context, Result};
use leeward_tests::{
    controlplane::{ControlPlane, ControlPlaneOptions},
    scenario::{
        MEDDLER, Scenario,
        damage::Damage,
        objects::{documents, namespace, thirds},
    },
    weather::percentile,
};

use crate::report::{self, Promises};

const OBJECTS: usize = 200;
const ROUNDS: usize = 50;
/// Seconds that 95 of 100 heals may take.
const P95_SECONDS: f64 = 1.0;

pub(crate) async fn run(promises: &mut Promises) -> Result<()> {
    report::title(&format!("Drift: {OBJECTS} objects, of which {ROUNDS} are damaged"));
    report::doing("starting a control plane");
    let plane = ControlPlane::start(ControlPlaneOptions::default()).await?;
    let name = "figures-drift";
    // No pods: how fast they come is not what is measured.
    let all = thirds(name, OBJECTS, 0);
    let files = [("all.yaml", documents(&all))];
    let options = |options: leeward_tests::agent::AgentOptions| options.set("apply.timeout", "60s");
    let mut scenario = Scenario::prepare_on(&plane, name, &files, options).await?;
    scenario.api.apply(&namespace(name), MEDDLER).await?;
    scenario.agent.start_again()?;
    let commit = scenario.repository.head()?.context("no commit")?;
    scenario.good_at(&commit).await?;

    let damages = [
        ("edited data of a ConfigMap", Damage::EditedData, 0),
        ("edited image of a Deployment", Damage::EditedImage, 1),
        ("deleted ConfigMap", Damage::Deleted, 0),
        ("deleted Deployment", Damage::Deleted, 1),
        ("deleted Service", Damage::Deleted, 2),
    ];
    // By the place in a third.
    for (what, damage, place) in damages {
        report::doing(what);
        let mut times = Vec::with_capacity(ROUNDS);
        for round in 0..ROUNDS {
            let manifest = &all[place + 3 * round];
            times.push(damage.healed_after(&scenario, manifest, round).await?);
        }
        let [median, p95, longest] =
            [50, 95, 100].map(|percent| percentile(times.clone(), percent));
        let spread = format!("{} / {} ms", median.as_millis(), longest.as_millis());
        report::figure(&format!("{what}: median / longest"), &spread);
        promises.at_most(&format!("{what}: p95"), p95.as_secs_f64(), P95_SECONDS, "s");
    }
    Ok(())
}
