//! Trouble that the cluster makes.

use leeward_core::model::PhaseName;
use leeward_tests::{
    faultproxy::Policy,
    scenario::{
        apart::Apart,
        objects::config_map,
        trouble::{Begun, Trouble, held_up},
    },
    weather::{api_through_a_proxy, blocked_by},
};

use super::heals_while;

/// Gets one app into trouble, and has edits of the other one healed, before and
/// after `why` names what is wrong. `None`: not on this cluster.
async fn heals_in(trouble: Trouble, name: &str) -> Option<(Apart, Begun)> {
    let objects = trouble.before(name);
    let mut apart = Apart::prepare(name, &objects, |options| options).await.unwrap()?;
    apart.start().await.unwrap();
    let begun = trouble.begin(&mut apart).await.unwrap();
    heals_while(&apart, |status| apart.is_not_good_at(status, &begun.commit)).await;
    let words = trouble.words(name);
    if !words.is_empty() {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        blocked_by(&apart.scenario, &words).await.unwrap();
        heals_while(&apart, |status| apart.is_not_good_at(status, &begun.commit)).await;
    }
    Some((apart, begun))
}

#[tokio::test]
async fn edit_is_healed_while_another_app_applies_a_thousand_objects() {
    heals_in(Trouble::Bulk, "apart-bulk").await;
}

#[tokio::test]
async fn edit_is_healed_while_a_replacement_of_another_app_waits_for_a_finalizer() {
    let healed = heals_in(Trouble::Replacement, "apart-replace").await;
    let Some((mut apart, begun)) = healed else { return };
    begun.end(&apart).await.unwrap();
    apart.both_good().await.unwrap();
}

#[tokio::test]
async fn edit_is_healed_while_a_foundation_of_another_app_is_not_ready() {
    let healed = heals_in(Trouble::Foundation, "apart-crd").await;
    let Some((mut apart, begun)) = healed else { return };
    assert!(apart.scenario.live(&held_up("apart-crd")).await.unwrap().is_none());
    begun.end(&apart).await.unwrap();
    apart.both_good().await.unwrap();
}

#[tokio::test]
async fn edit_is_healed_while_the_namespace_of_another_app_terminates() {
    let healed = heals_in(Trouble::Terminating, "apart-leaving").await;
    let Some((apart, begun)) = healed else { return };
    begun.end(&apart).await.unwrap();
}

#[tokio::test]
async fn edit_is_healed_while_a_webhook_of_another_app_hangs() {
    let healed = heals_in(Trouble::Webhook, "apart-webhook").await;
    let Some((mut apart, begun)) = healed else { return };
    begun.end(&apart).await.unwrap();
    apart.both_good().await.unwrap();
}

#[tokio::test]
async fn status_is_answered_while_the_api_server_is_mute_and_all_is_healed_when_it_speaks() {
    let name = "apart-mute";
    let first = config_map(name, "first", "1");
    let prepared = Apart::prepare(name, std::slice::from_ref(&first), |options| options).await;
    let Some(mut apart) = prepared.unwrap() else { return };
    let proxy = api_through_a_proxy(&mut apart.scenario).unwrap();
    apart.start().await.unwrap();
    proxy.set_policy(Policy { stall: true, ..Policy::default() });
    let changed = config_map(name, "first", "2");
    let commit = apart.change(&[changed]).unwrap();
    apart.wait_troubled(|app| app.phase == PhaseName::Preflight).await.unwrap();
    for _ in 0..20 {
        // The harness fails when `status` is not answered.
        let status = apart.scenario.agent.status().await.unwrap();
        assert!(apart.is_not_good_at(&status, &commit));
    }
    proxy.set_policy(Policy::default());
    apart.both_good().await.unwrap();
}
