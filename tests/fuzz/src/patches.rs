//! Patches: a model of RFC 6902 and of RFC 7386 on made-up objects, and any text.

mod model;

use leeward_kustomize::{BuildError, Reorder, build};
use serde_json::{Map, Value, json};

use crate::{
    dice::Dice,
    folder::{Folder, options},
    kustomization,
};

/// Objects that patches as they are written are put to.
const RESOURCES: &str = include_str!("patches/resources.yaml");

/// The claim about any patch. The first byte chooses: one that is made of what
/// follows, or a text.
pub fn patches(bytes: &[u8]) {
    match bytes.split_first() {
        Some((b'J', rest)) => json_patch_agrees(&mut Dice::new(rest)),
        Some((b'M', rest)) => merge_agrees(&mut Dice::new(rest)),
        Some((b'D', rest)) => merge_is_idempotent(&mut Dice::new(rest)),
        _ => written(bytes),
    }
}

/// A patch as text. Its length chooses what it is: all that it can be would
/// take three times as long.
fn written(bytes: &[u8]) {
    const KUSTOMIZATIONS: [&str; 3] = [
        "resources: [r.yaml]\npatches: [{path: p.yaml}]\n",
        "resources: [r.yaml]\npatches: [{path: p.yaml, target: {kind: .*}}]\n",
        "resources: [r.yaml]\npatchesStrategicMerge: [p.yaml]\n",
    ];
    let root = KUSTOMIZATIONS[bytes.len() % KUSTOMIZATIONS.len()];
    let mut text = format!("{root}--- FILE: r.yaml\n{RESOURCES}--- FILE: p.yaml\n").into_bytes();
    text.extend_from_slice(bytes);
    kustomization(&text);
}

/// What one object becomes by patches of a kustomization.
fn patched(
    object: &Value,
    patch: &Value,
    target: Option<&str>,
) -> Result<Vec<Value>, Box<BuildError>> {
    let target = target.map_or(Value::Null, |kind| json!({ "kind": kind }));
    let root = json!({"resources": ["r.yaml"], "patches": [{"path": "p.yaml", "target": target}]});
    let files = [("kustomization.yaml", &root), ("r.yaml", object), ("p.yaml", patch)];
    let files = files.map(|(path, value)| (path.to_owned(), value.to_string().into_bytes()));
    let built = build(&Folder::from(files), "", &options(Reorder::None));
    Ok(built?.objects.into_iter().map(|object| object.value).collect())
}

/// An object that no schema knows.
fn custom(spec: &Value) -> Value {
    json!({"apiVersion": "example.org/v1", "kind": "Made", "metadata": {"name": "a"}, "spec": spec})
}

const KEYS: [&str; 7] = ["a", "b", "c", "a/b", "m~n", "0", ""];

/// Any value of a few kinds, no deeper than `depth`.
fn value(dice: &mut Dice<'_>, depth: usize) -> Value {
    const SCALARS: [fn() -> Value; 9] = [
        || json!("text"),
        || json!(""),
        || json!("true"),
        || json!("5"),
        || json!(5),
        || json!(-1),
        || json!(true),
        || json!("2001-12-14"),
        || json!(0.5),
    ];
    match dice.below(if depth == 0 { 1 } else { 3 }) {
        0 => dice.one_of(&SCALARS)(),
        1 => (0..dice.below(4)).map(|_| value(dice, depth - 1)).collect(),
        _ => Value::Object(mapping(dice, depth - 1, false)),
    }
}

/// With `nulls`, some values are null.
fn mapping(dice: &mut Dice<'_>, depth: usize, nulls: bool) -> Map<String, Value> {
    let mut map = Map::new();
    for _ in 0..dice.below(5) {
        let key = dice.one_of(&KEYS).to_owned();
        let is_null = nulls && dice.below(4) == 0;
        let found = match dice.below(2) {
            _ if is_null => Value::Null,
            0 if depth > 0 => Value::Object(mapping(dice, depth - 1, nulls)),
            _ => value(dice, depth),
        };
        map.insert(key, found);
    }
    map
}

fn json_patch_agrees(dice: &mut Dice<'_>) {
    let spec = Value::Object(mapping(dice, 3, false));
    let mut operations = Vec::new();
    while !dice.is_empty() && operations.len() < 8 {
        operations.push(operation(dice));
    }
    if operations.is_empty() {
        return;
    }
    let object = custom(&spec);
    let patch = Value::Array(operations);
    let expected = model::json_patch(&object, &patch);
    let found = patched(&object, &patch, Some("Made"));
    match (expected, found) {
        (Ok(expected), Ok(found)) => assert_eq!(found, [expected], "{object} with {patch}"),
        (Err(_), Err(_)) => {}
        (expected, found) => panic!("{expected:?}, not {found:?}: {object} with {patch}"),
    }
}

fn operation(dice: &mut Dice<'_>) -> Value {
    let path = pointer(dice);
    match dice.below(6) {
        0 => json!({"op": "add", "path": path, "value": value(dice, 2)}),
        1 => json!({"op": "remove", "path": path}),
        2 => json!({"op": "replace", "path": path, "value": value(dice, 2)}),
        3 => json!({"op": "test", "path": path, "value": value(dice, 1)}),
        4 => json!({"op": "move", "from": pointer(dice), "path": path}),
        _ => json!({"op": "copy", "from": pointer(dice), "path": path}),
    }
}

/// Below `spec`, so that the object stays one.
fn pointer(dice: &mut Dice<'_>) -> String {
    const SEGMENTS: [&str; 10] = ["a", "b", "c", "a~1b", "m~0n", "", "0", "1", "2", "-"];
    let mut path = "/spec".to_owned();
    for _ in 0..=dice.below(3) {
        path.push('/');
        path.push_str(dice.one_of(&SEGMENTS));
    }
    path
}

/// Without a schema, a strategic merge is a JSON merge patch.
fn merge_agrees(dice: &mut Dice<'_>) {
    let object = custom(&Value::Object(mapping(dice, 3, false)));
    let patch = custom(&Value::Object(mapping(dice, 3, true)));
    let found = patched(&object, &patch, None);
    match model::merge(&object, &patch) {
        Ok(expected) => assert_eq!(found, Ok(vec![expected]), "{object} with {patch}"),
        Err(model::Conflict) => assert!(found.is_err(), "{found:?}: {object} with {patch}"),
    }
}

/// What a patch says holds already once it is applied.
fn merge_is_idempotent(dice: &mut Dice<'_>) {
    let (object, patch) = (model::deployment(dice), model::deployment(dice));
    let Ok(once) = patched(&object, &patch, None) else { return };
    let [once] = once.as_slice() else { return };
    let twice = patched(once, &patch, None);
    assert_eq!(twice, Ok(vec![once.clone()]), "{object} with {patch}");
}
