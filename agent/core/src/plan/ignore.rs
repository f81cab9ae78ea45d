//! Which declared fields of an object Git does not decide, and why.
//!
//! Rules say so (`ignoreDifferences`), autoscalers that target a workload, and what an
//! object asks of an injector or leaves to its controller.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{normalise::is_built_in, pointer::Pointer};
use crate::model::{FieldChange, IgnoreRule, Manifest, ObjectFault, ObjectKey};

/// One declared field that is left to others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IgnoredPointer {
    pub pointer: Pointer,
    /// For people: which rule or autoscaler says so.
    pub why: String,
}

/// All that is left to others in one object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IgnoredFields {
    pub pointers: Vec<IgnoredPointer>,
    /// Every field that one of these managers owns is theirs.
    pub managers: Vec<String>,
    /// Fields that an autoscaler decides and Git does not declare: what we own of them
    /// from before keeps its value. They do not make an object differ.
    pub driven: Vec<Pointer>,
}

impl IgnoredFields {
    /// Whether a change is one that we leave alone.
    pub fn covers(&self, change: &FieldChange) -> bool {
        self.pointers.iter().any(|field| field.pointer.covers(&change.path))
            || change.manager.as_ref().is_some_and(|manager| self.managers.contains(manager))
    }
}

/// Works out the ignored fields of every desired object that has any.
///
/// Autoscalers count whether Git declares them or they are `live`. Faults are
/// rules that cannot be meant; all of them are collected.
pub fn ignored(
    desired: &[Manifest],
    rules: &[IgnoreRule],
    live_autoscalers: &[Value],
) -> Result<BTreeMap<ObjectKey, IgnoredFields>, Vec<ObjectFault>> {
    let rules = parsed(rules)?;
    let autoscalers: Vec<Autoscaler> = desired
        .iter()
        .map(|manifest| &manifest.body)
        .chain(live_autoscalers)
        .filter_map(Autoscaler::read)
        .collect();
    let mut all = BTreeMap::new();
    for manifest in desired {
        let mut fields = IgnoredFields::default();
        for (rule, pointers) in rules.iter().filter(|(rule, _)| matches(rule, &manifest.key)) {
            for pointer in pointers {
                fields.add(manifest, pointer.clone(), || "ignoreDifferences".to_owned());
            }
            for manager in &rule.managed_fields_managers {
                if !fields.managers.contains(manager) {
                    fields.managers.push(manager.clone());
                }
            }
        }
        for autoscaler in autoscalers.iter().filter(|autoscaler| autoscaler.target == manifest.key)
        {
            for pointer in &autoscaler.pointers {
                fields.add(manifest, pointer.clone(), || format!("{} decides it", autoscaler.name));
                let is_declared = !pointer.resolved(&manifest.body).is_empty();
                if !is_declared && !fields.driven.contains(pointer) {
                    fields.driven.push(pointer.clone());
                }
            }
        }
        for (pointer, why) in by_contract(manifest) {
            fields.add(manifest, pointer, || why.to_owned());
        }
        if fields != IgnoredFields::default() {
            fields.pointers.sort_by(|a, b| a.pointer.cmp(&b.pointer));
            fields.managers.sort();
            all.insert(manifest.key.clone(), fields);
        }
    }
    Ok(all)
}

impl IgnoredFields {
    /// Adds a pointer, once, if the manifest declares what it points to.
    fn add(&mut self, manifest: &Manifest, pointer: Pointer, why: impl FnOnce() -> String) {
        let known = self.pointers.iter().any(|field| field.pointer == pointer);
        if !known && !pointer.resolved(&manifest.body).is_empty() {
            self.pointers.push(IgnoredPointer { pointer, why: why() });
        }
    }
}

/// Annotations that ask cert-manager to keep a bundle of certificates up to date.
const INJECTORS: [&str; 4] = [
    "cert-manager.io/inject-ca-from",
    "cert-manager.io/inject-ca-from-secret",
    "cert-manager.io/inject-apiserver-ca",
    "service.beta.openshift.io/inject-cabundle",
];

/// Fields that the cluster fills whatever Git has there, beyond those that it never stores.
fn by_contract(manifest: &Manifest) -> Vec<(Pointer, &'static str)> {
    let mut fields = Vec::new();
    if !is_built_in(&manifest.key.group) {
        // A custom resource may have no subresource for it, and then Git's is its first.
        fields.push((Pointer::of(&["status"]), "the status is its controller's"));
    }
    let is_injected = INJECTORS.into_iter().any(|name| manifest.annotation(name).is_some());
    let bundle: &[&str] = match (manifest.key.group.as_str(), manifest.key.kind.as_str()) {
        ("admissionregistration.k8s.io", _) => &["webhooks", "*", "clientConfig", "caBundle"],
        ("apiextensions.k8s.io", _) => {
            &["spec", "conversion", "webhook", "clientConfig", "caBundle"]
        }
        ("apiregistration.k8s.io", _) => &["spec", "caBundle"],
        _ => &[],
    };
    if is_injected && !bundle.is_empty() {
        fields.push((Pointer::of(bundle), "an annotation asks for its injection"));
    }
    fields
}

fn parsed(rules: &[IgnoreRule]) -> Result<Vec<(&IgnoreRule, Vec<Pointer>)>, Vec<ObjectFault>> {
    let mut faults = Vec::new();
    let mut parsed = Vec::new();
    for rule in rules {
        let mut pointers = Vec::new();
        for text in &rule.json_pointers {
            match Pointer::parse(text) {
                Ok(pointer) => pointers.push(pointer),
                Err(error) => faults.push(ObjectFault {
                    object: None,
                    origin: Some("leeward.yaml".to_owned()),
                    message: format!("ignoreDifferences for {}: {error}", rule.kind),
                }),
            }
        }
        parsed.push((rule, pointers));
    }
    if faults.is_empty() { Ok(parsed) } else { Err(faults) }
}

fn matches(rule: &IgnoreRule, key: &ObjectKey) -> bool {
    let optional = |pattern: &Option<String>, text: &str| {
        pattern.as_ref().is_none_or(|pattern| glob(pattern, text))
    };
    optional(&rule.group, &key.group)
        && glob(&rule.kind, &key.kind)
        && optional(&rule.name, &key.name)
        && optional(&rule.namespace, &key.namespace)
}

/// Whether `text` is `pattern`, in which `*` stands for any characters.
fn glob(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    let Some(last) = parts.next_back() else { return rest.is_empty() };
    for part in parts {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

/// Something in the cluster that decides fields of a workload.
struct Autoscaler {
    name: String,
    target: ObjectKey,
    pointers: Vec<Pointer>,
}

impl Autoscaler {
    fn read(object: &Value) -> Option<Self> {
        let key = ObjectKey::of(object)?;
        let spec = object.get("spec")?;
        let (reference, pointers) = match (key.group.as_str(), key.kind.as_str()) {
            // A ScaledObject makes an HPA; until it has, the field is already not ours.
            ("autoscaling", "HorizontalPodAutoscaler") | ("keda.sh", "ScaledObject") => {
                (spec.get("scaleTargetRef")?, vec![Pointer::of(&["spec", "replicas"])])
            }
            ("autoscaling.k8s.io", "VerticalPodAutoscaler") => {
                (spec.get("targetRef")?, recommended(spec))
            }
            _ => return None,
        };
        let text = |name: &str| reference.get(name).and_then(Value::as_str);
        Some(Self {
            name: key.to_string(),
            target: ObjectKey {
                group: text("apiVersion")
                    .unwrap_or("apps/v1")
                    .split_once('/')
                    .map_or_else(String::new, |(group, _)| group.to_owned()),
                kind: text("kind").unwrap_or("Deployment").to_owned(),
                namespace: key.namespace,
                name: text("name")?.to_owned(),
            },
            pointers,
        })
    }
}

/// What a VerticalPodAutoscaler decides: nothing while it only recommends.
fn recommended(spec: &Value) -> Vec<Pointer> {
    let mode = spec.pointer("/updatePolicy/updateMode").and_then(Value::as_str);
    if mode == Some("Off") {
        return Vec::new();
    }
    let requests_only = spec
        .pointer("/resourcePolicy/containerPolicies")
        .and_then(Value::as_array)
        .is_some_and(|policies| {
            !policies.is_empty()
                && policies.iter().all(|policy| {
                    policy.get("controlledValues").and_then(Value::as_str) == Some("RequestsOnly")
                })
        });
    let resources = ["spec", "template", "spec", "containers", "*", "resources"];
    if requests_only {
        vec![Pointer::of(&[&resources[..], &["requests"]].concat())]
    } else {
        vec![Pointer::of(&resources)]
    }
}

#[cfg(test)]
#[expect(clippy::needless_pass_by_value, reason = "values are made for one call")]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::model::Origin;

    fn deployment() -> Manifest {
        let body = json!({"apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": "web", "namespace": "shop"},
            "spec": {"replicas": 2, "template": {"spec": {"containers": [
                {"name": "app", "image": "a", "resources": {"requests": {"cpu": "1"}}}]}}}});
        Manifest::new(body, Origin::default()).unwrap()
    }

    fn rule(kind: &str, pointers: &[&str]) -> IgnoreRule {
        IgnoreRule {
            kind: kind.to_owned(),
            json_pointers: pointers.iter().map(|&pointer| pointer.to_owned()).collect(),
            ..IgnoreRule::default()
        }
    }

    fn text(all: &BTreeMap<ObjectKey, IgnoredFields>) -> String {
        all.iter()
            .flat_map(|(key, fields)| {
                fields.pointers.iter().map(move |f| format!("{key} {} ({})", f.pointer, f.why))
            })
            .collect::<Vec<_>>()
            .join("\n")
    }

    fn scaler(group_version: &str, kind: &str, spec: Value) -> Value {
        json!({"apiVersion": group_version, "kind": kind,
            "metadata": {"name": "web", "namespace": "shop"}, "spec": spec})
    }

    fn target() -> Value {
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"})
    }

    #[test]
    fn a_rule_ignores_the_field_of_every_object_that_it_matches() {
        let all = ignored(&[deployment()], &[rule("Dep*", &["/spec/replicas"])], &[]).unwrap();
        insta::assert_snapshot!(text(&all), @"Deployment.apps shop/web /spec/replicas (ignoreDifferences)");
    }

    #[test]
    fn a_rule_for_another_name_namespace_or_group_does_not_match() {
        let other = |change: fn(&mut IgnoreRule)| {
            let mut rule = rule("Deployment", &["/spec/replicas"]);
            change(&mut rule);
            ignored(&[deployment()], &[rule], &[]).unwrap().is_empty()
        };
        assert!(other(|rule| rule.name = Some("api*".to_owned())));
        assert!(other(|rule| rule.namespace = Some("bar".to_owned())));
        assert!(other(|rule| rule.group = Some(String::new())));
    }

    #[test]
    fn a_rule_for_a_field_that_git_does_not_declare_has_no_effect() {
        let rules = [rule("Deployment", &["/spec/paused"])];
        assert!(ignored(&[deployment()], &rules, &[]).unwrap().is_empty());
    }

    #[test]
    fn an_autoscaler_in_the_cluster_makes_replicas_ignored() {
        let hpa = scaler(
            "autoscaling/v2",
            "HorizontalPodAutoscaler",
            json!({"scaleTargetRef": target()}),
        );
        let all = ignored(&[deployment()], &[], &[hpa]).unwrap();
        insta::assert_snapshot!(text(&all), @"Deployment.apps shop/web /spec/replicas (HorizontalPodAutoscaler.autoscaling shop/web decides it)");
    }

    #[test]
    fn an_autoscaler_in_git_counts_before_it_is_applied() {
        let hpa = scaler(
            "autoscaling/v2",
            "HorizontalPodAutoscaler",
            json!({"scaleTargetRef": target()}),
        );
        let hpa = Manifest::new(hpa, Origin::default()).unwrap();
        assert_eq!(ignored(&[deployment(), hpa], &[], &[]).unwrap().len(), 1);
    }

    #[test]
    fn replicas_that_git_does_not_declare_are_driven_and_make_no_difference() {
        let hpa = scaler(
            "autoscaling/v2",
            "HorizontalPodAutoscaler",
            json!({"scaleTargetRef": target()}),
        );
        let mut bare = deployment();
        bare.body["spec"].as_object_mut().unwrap().remove("replicas");
        let all = ignored(std::slice::from_ref(&bare), &[], &[hpa]).unwrap();
        let fields = &all[&bare.key];
        assert_eq!((text(&all), fields.driven.len()), (String::new(), 1));
        let digest = super::super::stamp::applied_digest;
        assert_eq!(digest(&bare, Some(fields)), digest(&bare, None));
    }

    #[test]
    fn a_bundle_that_is_injected_and_a_custom_status_are_not_gits() {
        let object = |body: Value| Manifest::new(body, Origin::default()).unwrap();
        let service = |annotations: Value| {
            let one = object(
                json!({"apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService",
                "metadata": {"name": "a", "annotations": annotations}, "spec": {"caBundle": "YWJj"}}),
            );
            text(&ignored(&[one], &[], &[]).unwrap())
        };
        assert_eq!(service(json!({})), "");
        insta::assert_snapshot!(service(json!({"cert-manager.io/inject-ca-from": "a/b"})), @"APIService.apiregistration.k8s.io a /spec/caBundle (an annotation asks for its injection)");
        let custom = object(json!({"apiVersion": "example.com/v1", "kind": "Widget",
            "metadata": {"name": "a"}, "status": {"ready": true}}));
        insta::assert_snapshot!(text(&ignored(&[custom], &[], &[]).unwrap()), @"Widget.example.com a /status (the status is its controller's)");
    }

    #[test]
    fn a_vertical_autoscaler_decides_resources_unless_it_only_recommends() {
        let vpa = |mode: &str| {
            let spec = json!({"targetRef": target(), "updatePolicy": {"updateMode": mode}});
            let vpa = scaler("autoscaling.k8s.io/v1", "VerticalPodAutoscaler", spec);
            text(&ignored(&[deployment()], &[], &[vpa]).unwrap())
        };
        insta::assert_snapshot!(vpa("Auto"), @"Deployment.apps shop/web /spec/template/spec/containers/*/resources (VerticalPodAutoscaler.autoscaling.k8s.io shop/web decides it)");
        assert_eq!(vpa("Off"), "");
    }

    #[test]
    fn every_bad_pointer_is_a_fault_of_leeward_yaml() {
        let faults = ignored(&[], &[rule("Deployment", &["spec", "/kind"])], &[]).unwrap_err();
        let lines: Vec<String> = faults.iter().map(ToString::to_string).collect();
        insta::assert_snapshot!(lines.join("\n"), @"
        leeward.yaml: ignoreDifferences for Deployment: `spec` is not a JSON pointer: it must start with `/`, as in `/spec/replicas`
        leeward.yaml: ignoreDifferences for Deployment: `/kind` is what names the object, so Git must decide it
        ");
    }

    #[test]
    fn a_star_stands_for_any_characters() {
        for (pattern, text, expected) in [
            ("*", "", true),
            ("web", "web", true),
            ("web", "web2", false),
            ("web-*", "web-1", true),
            ("*-web", "a-web-web", true),
            ("a*b*c", "a-b-b-c", true),
            ("ab*ba", "aba", false),
        ] {
            assert_eq!(glob(pattern, text), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn a_change_by_a_manager_that_owns_its_fields_is_covered() {
        let managers = vec!["keda".to_owned()];
        let fields = IgnoredFields { managers, ..IgnoredFields::default() };
        let change = |manager: &str| FieldChange {
            path: "/spec/replicas".to_owned(),
            old: None,
            new: None,
            manager: Some(manager.to_owned()),
        };
        assert!(fields.covers(&change("keda")));
        assert!(!fields.covers(&change("kubectl-edit")));
    }
}
