//! What the annotations of a manifest ask for: ours, and those of Flux and
//! Argo CD that repositories already carry and that have a counterpart here.
//!
//! Ours win over theirs. A value that is not understood is a fault, never a
//! guess: `prune: disbled` must not delete a database.

use serde_json::Value;

use crate::model::{Manifest, ObjectFault, ObjectKey};

pub const WAVE: &str = "leeward.dev/wave";
pub const PRUNE: &str = "leeward.dev/prune";
pub const REPLACE: &str = "leeward.dev/replace";
pub const HEAL: &str = "leeward.dev/heal";

const FLUX_PRUNE: &str = "kustomize.toolkit.fluxcd.io/prune";
const FLUX_RECONCILE: &str = "kustomize.toolkit.fluxcd.io/reconcile";
const FLUX_SSA: &str = "kustomize.toolkit.fluxcd.io/ssa";
const FLUX_FORCE: &str = "kustomize.toolkit.fluxcd.io/force";
const ARGO_WAVE: &str = "argocd.argoproj.io/sync-wave";
const ARGO_SYNC: &str = "argocd.argoproj.io/sync-options";
const ARGO_COMPARE: &str = "argocd.argoproj.io/compare-options";
const ARGO_HOOK: &str = "argocd.argoproj.io/hook";

/// How much of an object is ours to write.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Management {
    #[default]
    Full,
    /// Created when it is not there, and left alone afterwards (Flux `ssa: IfNotPresent`).
    IfAbsent,
    /// Neither written nor deleted (Flux `reconcile: disabled`, `ssa: Ignore`).
    Unmanaged,
}

/// When a hook of Argo CD runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hook {
    PreSync,
    Sync,
    PostSync,
    /// Only in cases that the plan of an apply does not have; never applied with the rest.
    SyncFail,
    PreDelete,
    PostDelete,
    Skip,
}

/// Whether an object may go once Git does not declare it any more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Prune {
    /// Yes, if the prune guard lets it.
    #[default]
    Guarded,
    /// Yes, even when its kind is a protected one.
    Confirmed,
    Never,
}

/// Everything that a manifest's annotations ask for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Marks {
    /// `None` when nothing says so; that is wave 0, except for foundations.
    pub wave: Option<i32>,
    pub prune: Prune,
    /// Deleted and created again when a field that cannot change has changed.
    pub replace: bool,
    /// Drift is reported, and left.
    pub heal_disabled: bool,
    pub management: Management,
    pub hook: Option<Hook>,
}

impl Marks {
    /// Reads the marks of one manifest; the fault names annotation, value and what is allowed.
    pub fn of(manifest: &Manifest) -> Result<Self, ObjectFault> {
        Self::read(&manifest.key, &manifest.body).map_err(|message| ObjectFault {
            object: Some(manifest.key.to_string()),
            origin: (!manifest.origin.file.is_empty()).then(|| manifest.origin.to_string()),
            message,
        })
    }

    fn read(key: &ObjectKey, body: &Value) -> Result<Self, String> {
        let hook = hook(body)?;
        let prune = prune(body)?;
        let management = management(body)?;
        Ok(Self {
            wave: wave(body)?,
            prune: if management == Management::Unmanaged { Prune::Never } else { prune },
            // A hook that ran is in the way of its next run (Argo CD's BeforeHookCreation).
            replace: replace(key, body)? || hook.is_some(),
            // A migration must not run again because somebody removed its Job.
            heal_disabled: heal_disabled(body)? || hook.is_some(),
            management,
            hook,
        })
    }

    /// The wave that goes to the inventory.
    pub fn wave(&self) -> i32 {
        self.wave.unwrap_or(0)
    }

    /// Never pruned; goes to the inventory too.
    pub fn keep(&self) -> bool {
        self.prune == Prune::Never
    }
}

/// The annotation by which a live object asks not to be deleted, if there is one.
///
/// Lenient where [`Marks::of`] is strict: what cannot be read keeps the object.
pub fn keeps(live: &Value) -> Option<&'static str> {
    if let Some(name) = leaves_alone(live) {
        return Some(name);
    }
    match prune(live) {
        Ok(Prune::Guarded | Prune::Confirmed) => None,
        Ok(Prune::Never) | Err(_) => [PRUNE, FLUX_PRUNE, ARGO_SYNC, ARGO_COMPARE]
            .into_iter()
            .find(|name| matches!(flux_or_annotation(live, name), Ok(Some(_)) | Err(_))),
    }
}

/// The annotation by which a live object asks not to be written, if there is one.
pub fn leaves_alone(live: &Value) -> Option<&'static str> {
    let is = |name, values: &[&str]| match flux_or_annotation(live, name) {
        Ok(Some(text)) => values.iter().any(|value| text.eq_ignore_ascii_case(value)),
        _ => false,
    };
    if is(FLUX_RECONCILE, &["disabled"]) {
        Some(FLUX_RECONCILE)
    } else if is(FLUX_SSA, &["ignore"]) {
        Some(FLUX_SSA)
    } else {
        None
    }
}

/// Whether a live object says that it may be pruned although its kind is protected.
pub fn prune_confirmed(live: &Value) -> bool {
    prune(live) == Ok(Prune::Confirmed)
}

fn wave(body: &Value) -> Result<Option<i32>, String> {
    for name in [WAVE, ARGO_WAVE] {
        if let Some(text) = annotation(body, name)? {
            return text
                .trim()
                .parse()
                .map(Some)
                .map_err(|_| bad(name, text, "a whole number, as in \"-1\""));
        }
    }
    Ok(None)
}

fn prune(body: &Value) -> Result<Prune, String> {
    if let Some(text) = annotation(body, PRUNE)? {
        return match text {
            "disabled" => Ok(Prune::Never),
            "enabled" => Ok(Prune::Guarded),
            "confirmed" => Ok(Prune::Confirmed),
            _ => Err(bad(PRUNE, text, "\"disabled\", \"enabled\" or \"confirmed\"")),
        };
    }
    let flux = match flux_or_annotation(body, FLUX_PRUNE)? {
        None => false,
        Some(text) => switch(FLUX_PRUNE, text, "disabled", "enabled")?,
    };
    let mut argo = false;
    for (option, value) in options(body, ARGO_SYNC)? {
        match (option, value) {
            // `confirm` waits for an approval that only Argo CD's own objects can carry.
            ("Prune" | "Delete", "false" | "confirm") => argo = true,
            ("Prune" | "Delete", "true") => {}
            ("Prune" | "Delete", _) => {
                let found = format!("{option}={value}");
                return Err(bad(ARGO_SYNC, &found, "true, false or confirm for Prune and Delete"));
            }
            _ => {}
        }
    }
    let extraneous =
        options(body, ARGO_COMPARE)?.iter().any(|(option, _)| *option == "IgnoreExtraneous");
    Ok(if flux || argo || extraneous { Prune::Never } else { Prune::Guarded })
}

fn replace(key: &ObjectKey, body: &Value) -> Result<bool, String> {
    // To replace one of these is to delete all that is in it.
    let contains_others = is_foundation(key);
    if let Some(text) = annotation(body, REPLACE)? {
        return match text {
            "true" if contains_others => Err(format!(
                "annotation {REPLACE} must not be \"true\" on a {}: all that is in it would be deleted",
                key.kind
            )),
            "true" => Ok(true),
            "false" => Ok(false),
            _ => Err(bad(REPLACE, text, "\"true\" or \"false\"")),
        };
    }
    let flux = match flux_or_annotation(body, FLUX_FORCE)? {
        None => false,
        Some(text) if text.eq_ignore_ascii_case("true") => true,
        Some(text) if text.eq_ignore_ascii_case("false") => false,
        Some(text) => switch(FLUX_FORCE, text, "enabled", "disabled")?,
    };
    let argo = options(body, ARGO_SYNC)?
        .iter()
        .any(|(option, value)| matches!(*option, "Replace" | "Force") && *value == "true");
    Ok((flux || argo) && !contains_others)
}

fn heal_disabled(body: &Value) -> Result<bool, String> {
    match annotation(body, HEAL)? {
        None => Ok(false),
        Some(text) => switch(HEAL, text, "disabled", "enabled"),
    }
}

fn management(body: &Value) -> Result<Management, String> {
    if let Some(text) = flux_or_annotation(body, FLUX_RECONCILE)?
        && switch(FLUX_RECONCILE, text, "disabled", "enabled")?
    {
        return Ok(Management::Unmanaged);
    }
    match flux_or_annotation(body, FLUX_SSA)? {
        None => Ok(Management::Full),
        Some(text) => match text.to_ascii_lowercase().as_str() {
            "ignore" => Ok(Management::Unmanaged),
            "ifnotpresent" => Ok(Management::IfAbsent),
            // Both say how to treat fields that others own. We never touch those.
            "merge" | "override" => Ok(Management::Full),
            _ => Err(bad(FLUX_SSA, text, "Override, Merge, IfNotPresent or Ignore")),
        },
    }
}

fn hook(body: &Value) -> Result<Option<Hook>, String> {
    let Some(text) = annotation(body, ARGO_HOOK)? else { return Ok(None) };
    Ok(Some(match text.trim() {
        "PreSync" => Hook::PreSync,
        "Sync" => Hook::Sync,
        "PostSync" => Hook::PostSync,
        "SyncFail" => Hook::SyncFail,
        "PreDelete" => Hook::PreDelete,
        "PostDelete" => Hook::PostDelete,
        "Skip" => Hook::Skip,
        _ => {
            return Err(bad(
                ARGO_HOOK,
                text,
                "one of PreSync, Sync, PostSync, SyncFail, PreDelete, PostDelete and Skip",
            ));
        }
    }))
}

/// CRDs and Namespaces: what other objects live in.
pub fn is_foundation(key: &ObjectKey) -> bool {
    key.is("", "Namespace") || key.is("apiextensions.k8s.io", "CustomResourceDefinition")
}

/// `true` for `on`, `false` for `off`, in any case of letters.
fn switch(name: &str, text: &str, on: &str, off: &str) -> Result<bool, String> {
    if text.eq_ignore_ascii_case(on) {
        Ok(true)
    } else if text.eq_ignore_ascii_case(off) {
        Ok(false)
    } else {
        Err(bad(name, text, &format!("\"{on}\" or \"{off}\"")))
    }
}

/// The comma list of `name=value` (or bare `name`) in one of Argo CD's annotations.
fn options<'a>(body: &'a Value, name: &str) -> Result<Vec<(&'a str, &'a str)>, String> {
    Ok(annotation(body, name)?
        .unwrap_or_default()
        .split(',')
        .map(|option| {
            let (option, value) = option.split_once('=').unwrap_or((option, ""));
            (option.trim(), value.trim())
        })
        .filter(|(option, _)| !option.is_empty())
        .collect())
}

/// Flux reads its marks from labels too.
fn flux_or_annotation<'a>(body: &'a Value, name: &str) -> Result<Option<&'a str>, String> {
    match annotation(body, name)? {
        None if name.starts_with("kustomize.toolkit.fluxcd.io/") => text(body, "labels", name),
        found => Ok(found),
    }
}

fn annotation<'a>(body: &'a Value, name: &str) -> Result<Option<&'a str>, String> {
    text(body, "annotations", name)
}

fn text<'a>(body: &'a Value, place: &str, name: &str) -> Result<Option<&'a str>, String> {
    match body.get("metadata").and_then(|metadata| metadata.get(place)?.get(name)) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(other) => Err(bad(name, &other.to_string(), "a quoted text")),
    }
}

fn bad(name: &str, found: &str, allowed: &str) -> String {
    /// Enough to recognise a value by; a message is one line.
    const SHOWN_CHARACTERS: usize = 60;
    let shown: String = found.chars().take(SHOWN_CHARACTERS).collect();
    format!("annotation {name} is `{shown}`; allowed is {allowed}")
}

#[cfg(test)]
#[expect(clippy::needless_pass_by_value, reason = "values are made for one call")]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::model::Origin;

    fn object(kind: &str, annotations: Value) -> Manifest {
        let api_version = if kind == "Deployment" { "apps/v1" } else { "v1" };
        let body = json!({"apiVersion": api_version, "kind": kind,
            "metadata": {"name": "web", "namespace": "shop", "annotations": annotations}});
        Manifest::new(body, Origin { file: "web.yaml".to_owned(), line: 3 }).unwrap()
    }

    fn marks(annotations: Value) -> Marks {
        Marks::of(&object("Deployment", annotations)).unwrap()
    }

    #[test]
    fn nothing_said_means_wave_zero_and_fully_managed() {
        assert_eq!(marks(json!({})), Marks::default());
        assert_eq!(marks(json!({})).wave(), 0);
    }

    #[test]
    fn our_own_annotations_are_read() {
        let read = marks(json!({WAVE: "-1", PRUNE: "disabled", REPLACE: "true", HEAL: "disabled"}));
        let expected = Marks {
            wave: Some(-1),
            prune: Prune::Never,
            replace: true,
            heal_disabled: true,
            ..Marks::default()
        };
        assert_eq!(read, expected);
    }

    #[test]
    fn ours_win_over_theirs() {
        let read = marks(json!({
            WAVE: "2", ARGO_WAVE: "7",
            PRUNE: "enabled", ARGO_SYNC: "Prune=false,Replace=true", FLUX_PRUNE: "disabled",
            REPLACE: "false",
        }));
        assert_eq!(read, Marks { wave: Some(2), ..Marks::default() });
    }

    #[test]
    fn the_spellings_of_flux_have_their_meaning() {
        assert!(marks(json!({FLUX_PRUNE: "Disabled"})).keep());
        assert!(marks(json!({FLUX_FORCE: "enabled"})).replace);
        assert_eq!(marks(json!({FLUX_SSA: "IfNotPresent"})).management, Management::IfAbsent);
        let ignored = marks(json!({FLUX_RECONCILE: "disabled"}));
        assert_eq!((ignored.management, ignored.keep()), (Management::Unmanaged, true));
    }

    #[test]
    fn flux_marks_count_as_labels_too() {
        let mut manifest = object("Deployment", json!({}));
        manifest.body["metadata"]["labels"] = json!({FLUX_PRUNE: "disabled"});
        assert!(Marks::of(&manifest).unwrap().keep());
    }

    #[test]
    fn the_spellings_of_argo_cd_have_their_meaning() {
        assert!(marks(json!({ARGO_SYNC: "Validate=false, Prune=false"})).keep());
        assert!(marks(json!({ARGO_SYNC: "Delete=false"})).keep());
        assert!(marks(json!({ARGO_SYNC: "Prune=confirm"})).keep());
        assert!(marks(json!({ARGO_COMPARE: "IgnoreExtraneous"})).keep());
        assert!(marks(json!({ARGO_SYNC: "Force=true,Replace=true"})).replace);
        assert_eq!(marks(json!({ARGO_WAVE: "5"})).wave, Some(5));
        assert_eq!(marks(json!({ARGO_SYNC: "ServerSideApply=true"})), Marks::default());
    }

    #[test]
    fn a_hook_is_replaced_when_it_changes_and_never_healed() {
        let hook = marks(json!({ARGO_HOOK: "PreSync"}));
        assert_eq!(
            (hook.hook, hook.replace, hook.heal_disabled),
            (Some(Hook::PreSync), true, true)
        );
    }

    #[test]
    fn a_bad_value_names_object_place_annotation_value_and_what_is_allowed() {
        let fault =
            |annotations| Marks::of(&object("Deployment", annotations)).unwrap_err().to_string();
        insta::assert_snapshot!(fault(json!({WAVE: "first"})), @r#"Deployment.apps shop/web (web.yaml:3): annotation leeward.dev/wave is `first`; allowed is a whole number, as in "-1""#);
        insta::assert_snapshot!(fault(json!({PRUNE: "disbled"})), @r#"Deployment.apps shop/web (web.yaml:3): annotation leeward.dev/prune is `disbled`; allowed is "disabled", "enabled" or "confirmed""#);
        insta::assert_snapshot!(fault(json!({WAVE: 1})), @"Deployment.apps shop/web (web.yaml:3): annotation leeward.dev/wave is `1`; allowed is a quoted text");
        insta::assert_snapshot!(fault(json!({ARGO_SYNC: "Prune=maybe"})), @"Deployment.apps shop/web (web.yaml:3): annotation argocd.argoproj.io/sync-options is `Prune=maybe`; allowed is true, false or confirm for Prune and Delete");
    }

    #[test]
    fn a_namespace_is_never_replaced() {
        let ours = Marks::of(&object("Namespace", json!({REPLACE: "true"}))).unwrap_err();
        assert!(ours.message.contains("all that is in it would be deleted"));
        let theirs = Marks::of(&object("Namespace", json!({ARGO_SYNC: "Replace=true"}))).unwrap();
        assert!(!theirs.replace);
    }

    #[test]
    fn a_live_object_whose_prune_mark_cannot_be_read_is_kept() {
        let live = object("Deployment", json!({PRUNE: "disbled"})).body;
        assert_eq!(keeps(&live), Some(PRUNE));
    }

    #[test]
    fn a_confirmed_prune_is_not_kept() {
        let live = object("Deployment", json!({PRUNE: "confirmed"})).body;
        assert_eq!((keeps(&live), prune_confirmed(&live)), (None, true));
        assert!(!prune_confirmed(&object("Deployment", json!({PRUNE: "enabled"})).body));
    }

    #[test]
    fn a_live_object_tells_which_annotation_keeps_it() {
        assert_eq!(keeps(&object("Deployment", json!({})).body), None);
        let flux = object("Deployment", json!({FLUX_SSA: "Ignore"})).body;
        assert_eq!(keeps(&flux), Some(FLUX_SSA));
        let argo = object("Deployment", json!({ARGO_SYNC: "Prune=false"})).body;
        assert_eq!(keeps(&argo), Some(ARGO_SYNC));
    }
}
