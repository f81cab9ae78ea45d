//! Objects as kube-apiserver 1.37 answered them: `desired` was applied by manager
//! `leeward` (`applied` is what came of it), then edited with `kubectl scale`,
//! `set image`, `set env`, `label` and `patch` (`edited`).

use serde_json::Value;

use super::{drift, normalise::normalised};
use crate::model::{Manifest, ObjectKey, Origin};

const DESIRED: &str = include_str!("recorded/desired.json");
const APPLIED: &str = include_str!("recorded/applied.json");
const EDITED: &str = include_str!("recorded/edited.json");

fn pairs(live: &str) -> Vec<(Manifest, Value)> {
    let read = |text| serde_json::from_str::<Vec<Value>>(text).unwrap();
    let pairs: Vec<(Manifest, Value)> = read(DESIRED)
        .into_iter()
        .map(|body| normalised(Manifest::new(body, Origin::default()).unwrap()))
        .zip(read(live))
        .collect();
    assert!(pairs.iter().all(|(desired, live)| Some(&desired.key) == ObjectKey::of(live).as_ref()));
    pairs
}

fn lost(live: &str) -> String {
    let mut lines = Vec::new();
    for (desired, live) in pairs(live) {
        for change in drift::lost(&desired, Some(&live)) {
            let or_none = |text: Option<String>| text.unwrap_or_else(|| "none".to_owned());
            lines.push(format!(
                "{} {}: {} -> {} ({})",
                desired.key.kind,
                change.path,
                or_none(change.old),
                or_none(change.new),
                or_none(change.manager)
            ));
        }
    }
    lines.join("\n")
}

#[test]
fn what_was_just_applied_has_lost_nothing_and_does_not_differ() {
    assert_eq!(lost(APPLIED), "");
    for (desired, live) in pairs(APPLIED) {
        assert_eq!(drift::differs(&desired, Some(&live), None), []);
    }
}

#[test]
fn every_edit_is_found_with_the_manager_that_made_it() {
    insta::assert_snapshot!(lost(EDITED), @r#"
    Deployment /metadata/labels/team: "north" -> none (none)
    Deployment /spec/replicas: 2 -> 5 (kubectl)
    Deployment /spec/template/spec/containers/0/args: ["-v","--port=80"] -> ["-q"] (kubectl-patch)
    Deployment /spec/template/spec/containers/0/env/0: {"name":"MODE","value":"fast"} -> none (none)
    Deployment /spec/template/spec/containers/0/env/2: {"name":"FROM","valueFrom":{"fieldRef":{"fieldPath":"metadata.name"}}} -> none (none)
    Deployment /spec/template/spec/containers/0/image: "web:1" -> "evil:1" (kubectl-set)
    Deployment /spec/template/spec/volumes/0/emptyDir: {} -> none (none)
    Service /metadata/finalizers: ["example.com/a"] -> none (none)
    Service /spec/ports/0/targetPort: 80 -> 8080 (kubectl-patch)
    Service /spec/ports/1: {"name":"dns","port":53,"protocol":"UDP"} -> none (none)
    ConfigMap /data/a: "1" -> "2" (kubectl-patch)
    ConfigMap /data/empty: "" -> none (none)
    Secret /data/a: <masked> -> <masked, differs> (kubectl-patch)
    Ingress /spec/rules: [{"host":"a.example","http":{"paths":[{"backend":{"service":{"name":"web","port":{"number":80}}},"path":"/","pathType":"Prefix"}]}}] -> [{"host":"b.example","http":{"paths":[{"backend":{"service":{"name":"web","port":{"number":80}}},"path":"/","pathType":"Prefix"}]}}] (kubectl-patch)
    "#);
}
