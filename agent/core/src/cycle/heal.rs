//! What to do about each object that drifted.

use std::time::Duration;

use serde_json::Value;

use super::view::View;
use crate::{
    model::{
        AppSpec, FieldChange, Heal, InventoryEntry, ObjectKey, Run, Trace, Uptime, owned_digest,
    },
    plan::{
        desired::Desired,
        drift,
        ownership::{TakeRefusal, may_take},
        release::release,
    },
};

/// An object that drifted, and in which fields.
pub type Drifted = (ObjectKey, Vec<FieldChange>);

/// What a drifted object turned out to be, seen live.
#[derive(Clone, Debug, PartialEq)]
pub enum Drift {
    /// The revision does not have it: it is for a deletion to deal with.
    Undeclared,
    /// Nothing that we decide differs: somebody else's field, or our own write
    /// seen late. The inventory is to hold this.
    None(InventoryEntry),
    /// Nobody drifted from Git; it was never sent as Git has it now.
    Stale,
    Real(Vec<FieldChange>),
    /// It is not ours to write now, and why.
    LeftAlone(String),
}

/// Compares a live object that is said to have drifted with what Git wants.
pub fn judge(
    app: &str,
    desired: &Desired,
    key: &ObjectKey,
    entry: InventoryEntry,
    live: Option<&Value>,
) -> Drift {
    let Some(prepared) = desired.get(key) else { return Drift::Undeclared };
    let manifest = &prepared.manifest;
    let was_sent = entry.applied.is_some() || entry.uid.is_some();
    let Some(live) = live else {
        if !was_sent {
            return Drift::Stale;
        }
        // An entry of an older agent does not know that its object goes by itself.
        let run = entry.run.clone().or_else(|| Run::begun(manifest));
        return match run.filter(Run::is_over) {
            Some(run) => Drift::None(InventoryEntry { run: Some(run), ..entry }),
            None => Drift::Real(drift::lost(manifest, None)),
        };
    };
    if live["metadata"].get("deletionTimestamp").is_some() {
        // It is on its way out; when it is gone, that is the drift.
        return Drift::None(entry);
    }
    match may_take(live, app) {
        Ok(()) => {}
        // It was left to us, and does not say so yet.
        Err(TakeRefusal::OtherApp(owner))
            if entry.from.as_ref().is_some_and(|one| *one == owner) =>
        {
            return Drift::Stale;
        }
        Err(refusal) => return Drift::LeftAlone(refusal.to_string()),
    }
    if !was_sent {
        return Drift::Stale;
    }
    let uid = live["metadata"]["uid"].as_str().map(str::to_owned);
    let fields = owned_digest(live);
    if fields == entry.fields && uid == entry.uid {
        let as_wanted = entry.applied == Some(prepared.digest);
        // Our own write, seen late; or a write that a live annotation kept from us.
        return if as_wanted { Drift::None(entry) } else { Drift::Stale };
    }
    let changes = drift::lost(manifest, Some(live));
    let Some(ignored) = desired.ignored.get(key).filter(|_| !changes.is_empty()) else {
        // Even when no declared field can be named: what was declared as zero
        // or empty leaves no trace of its own.
        return Drift::Real(changes);
    };
    let decided = release(manifest, live, Some(ignored)).manifest;
    let changes = drift::lost(&decided, Some(live));
    if changes.is_empty() {
        return Drift::None(InventoryEntry { fields, uid, ..entry });
    }
    Drift::Real(changes)
}

/// What it means that an owned object is gone.
#[derive(Clone, Debug, PartialEq)]
pub enum Departure {
    /// It is to be made again. With what its inventory entry is to remember, if
    /// that is anything new.
    Drift(Option<Run>),
    /// It has done what it was there for.
    Done(Run),
}

/// Decides whether an owned object that is gone is missed: what runs once to its
/// end is done for its content once it has ended, whoever removed it then.
pub fn departure(entry: &InventoryEntry, uid: Option<&str>, trace: &Trace) -> Departure {
    let is_known = entry.run.as_ref().is_some_and(Run::has_ended);
    let is_another = uid.is_some_and(|uid| entry.uid.as_deref() != Some(uid));
    match (&entry.run, trace) {
        // The news of an older object with this name, or of one that is sent anew.
        _ if is_another || entry.applied.is_none() => Departure::Drift(None),
        (Some(run), _) if is_known => Departure::Done(run.clone()),
        (_, Trace::Ended(run)) => Departure::Done(run.clone()),
        (Some(Run::Expires), Trace::Unfinished) => Departure::Drift(Some(Run::Interrupted)),
        (Some(Run::Expires), Trace::Nothing) => Departure::Done(Run::Expires),
        _ => Departure::Drift(None),
    }
}

/// Remembers that a drifted object was put right; from the fifth time on in a row it
/// is a fight, which is named.
pub fn record_heal(view: &mut View, (key, changes): &Drifted, now: Uptime) {
    let manager = changes.iter().find_map(|change| change.manager.as_deref());
    view.heals.entry(key.clone()).or_default().record(manager, now);
    view.name_fights(now);
}

/// What is done about real drift.
#[derive(Clone, Debug, PartialEq)]
pub enum Remedy {
    Heal,
    /// It may not be healed; somebody is to know.
    Report,
    /// It may not be healed, and was reported before.
    Leave,
    /// Two controllers fight over it: it is taken up again then.
    HoldBack(Uptime),
}

/// Decides what is done about the drift of one object.
pub fn remedy(
    view: &mut View,
    spec: &AppSpec,
    desired: &Desired,
    (key, _): &Drifted,
    now: Uptime,
) -> Remedy {
    let disabled = desired.get(key).is_some_and(|one| one.marks.heal_disabled);
    if spec.heal == Heal::Report || disabled {
        view.drifted.remove(key);
        return if view.open.insert(key.clone()) { Remedy::Report } else { Remedy::Leave };
    }
    let verdict = view.heals.get(key).map(|history| history.verdict(now)).unwrap_or_default();
    if verdict.wait == Duration::ZERO {
        return Remedy::Heal;
    }
    view.held_back.insert(key.clone(), now + verdict.wait);
    view.drifted.remove(key);
    Remedy::HoldBack(now + verdict.wait)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{
        model::{APP_LABEL, Digest, Manifest, Origin},
        plan::desired::tests::prepared,
    };

    fn map() -> Manifest {
        let body = json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"k": "v"},
            "metadata": {"name": "a", "namespace": "shop"}});
        Manifest::new(body, Origin::default()).unwrap()
    }

    fn live(annotations: &Value) -> Value {
        json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"k": "v"}, "metadata": {
            "name": "a", "namespace": "shop", "uid": "u", "labels": {APP_LABEL: "shop"},
            "annotations": annotations,
            "managedFields": [{"manager": "leeward", "operation": "Apply", "apiVersion": "v1",
                "fieldsType": "FieldsV1", "fieldsV1": {"f:data": {"f:k": {}}}}]}})
    }

    fn sent_entry() -> InventoryEntry {
        let desired = prepared(&[map()], &[]);
        InventoryEntry {
            version: "v1".to_owned(),
            applied: Some(desired.objects[0].digest),
            fields: owned_digest(&live(&json!({}))),
            uid: Some("u".to_owned()),
            wave: 0,
            keep: false,
            replace: false,
            run: None,
            leaving: false,
            from: None,
        }
    }

    fn judged(live: Option<&Value>, applied: Option<Digest>) -> Drift {
        let desired = prepared(&[map()], &[]);
        let mut entry = sent_entry();
        entry.applied = applied.or(entry.applied);
        judge("shop", &desired, &map().key, entry, live)
    }

    #[test]
    fn our_own_write_seen_late_is_no_drift_and_a_lost_object_is() {
        assert!(matches!(judged(Some(&live(&json!({}))), None), Drift::None(_)));
        assert!(matches!(judged(None, None), Drift::Real(_)));
    }

    #[test]
    fn what_has_ended_is_not_missed_and_what_was_cut_short_is() {
        let ended = Trace::Ended(Run::Succeeded);
        let of = |run: Option<Run>, trace: &Trace| {
            let entry = InventoryEntry { run, ..sent_entry() };
            departure(&entry, Some("u"), trace)
        };
        assert_eq!(of(None, &Trace::Nothing), Departure::Drift(None));
        assert_eq!(of(None, &Trace::Unfinished), Departure::Drift(None));
        assert_eq!(of(None, &ended), Departure::Done(Run::Succeeded));
        assert_eq!(of(Some(Run::Succeeded), &Trace::Nothing), Departure::Done(Run::Succeeded));
        assert_eq!(of(Some(Run::Expires), &Trace::Nothing), Departure::Done(Run::Expires));
        let cut_short = Departure::Drift(Some(Run::Interrupted));
        assert_eq!(of(Some(Run::Expires), &Trace::Unfinished), cut_short);
        assert_eq!(of(Some(Run::Interrupted), &Trace::Nothing), Departure::Drift(None));
        let older = departure(&sent_entry(), Some("older"), &ended);
        assert_eq!(older, Departure::Drift(None));
    }

    #[test]
    fn an_object_whose_live_annotation_asks_for_it_is_left_alone() {
        let asks = json!({"kustomize.toolkit.fluxcd.io/reconcile": "disabled"});
        let Drift::LeftAlone(why) = judged(Some(&live(&asks)), None) else { panic!() };
        insta::assert_snapshot!(why, @"the live object's annotation kustomize.toolkit.fluxcd.io/reconcile asks to leave it alone");
    }

    #[test]
    fn what_was_never_sent_as_git_has_it_now_is_stale() {
        assert_eq!(judged(Some(&live(&json!({}))), Some(Digest::of(b"old"))), Drift::Stale);
    }

    #[test]
    fn an_object_that_was_never_sent_is_stale_whether_or_not_somebody_made_it() {
        let desired = prepared(&[map()], &[]);
        let entry = InventoryEntry {
            version: "v1".to_owned(),
            applied: None,
            fields: None,
            uid: None,
            wave: 0,
            keep: false,
            replace: false,
            run: None,
            leaving: false,
            from: None,
        };
        for theirs in [None, Some(live(&json!({})))] {
            let drift = judge("shop", &desired, &map().key, entry.clone(), theirs.as_ref());
            assert_eq!(drift, Drift::Stale);
        }
    }

    #[test]
    fn drift_that_may_not_be_healed_is_reported_once_and_a_fight_is_held_back() {
        let desired = prepared(&[map()], &[]);
        let mut spec: AppSpec = serde_json::from_value(json!({
            "name": "shop", "path": "", "depends_on": [], "heal": "report",
            "timeout": { "secs": 1, "nanos": 0 }, "soak": { "secs": 1, "nanos": 0 },
            "prune": { "max_objects": 1, "max_share": 1.0 }, "ignore_differences": [],
        }))
        .unwrap();
        let mut view = View::default();
        let drifted = (map().key, Vec::new());
        let ask = |view: &mut View, spec: &AppSpec| {
            remedy(view, spec, &desired, &drifted, Uptime::from_secs(60))
        };
        assert_eq!(ask(&mut view, &spec), Remedy::Report);
        assert_eq!(ask(&mut view, &spec), Remedy::Leave);
        spec.heal = Heal::Always;
        assert_eq!(ask(&mut view, &spec), Remedy::Heal);
        for times in 1..=5 {
            assert_eq!(view.message, "", "{times}");
            record_heal(&mut view, &drifted, Uptime::from_secs(60));
        }
        assert!(matches!(ask(&mut view, &spec), Remedy::HoldBack(_)));
        assert_eq!(view.message, "ConfigMap shop/a is fought over with somebody");
        view.release_held_back(Uptime::from_secs(60 + 3600));
        assert_eq!(view.message, "");
    }
}
