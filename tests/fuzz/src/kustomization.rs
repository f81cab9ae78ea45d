//! Kustomizations: a build ends within its limits, and says the same twice.

use leeward_kustomize::{Reorder, build};
use leeward_yaml::{Dialect, Documents, Limits};
use serde_json::Value;

use crate::folder::{LIMITS, options, parse};

/// An error is read by people, and goes into reports.
const MESSAGE_BYTES_MAX: usize = 16 << 10;

const ROOM: Limits =
    Limits { bytes: 512 << 20, depth: 400, nodes: 1_000_000, text: 512 << 20, documents: 10_000 };

/// The claim about any folder.
pub fn kustomization(bytes: &[u8]) {
    let folder = parse(bytes);
    let built = build(&folder, "", &options(Reorder::Legacy));
    assert_eq!(build(&folder, "", &options(Reorder::Legacy)), built);
    let unsorted = build(&folder, "", &options(Reorder::None));
    let built = match built {
        Ok(built) => built,
        Err(error) => {
            let message = error.to_string();
            assert!(!message.is_empty() && message.len() < MESSAGE_BYTES_MAX, "{message}");
            return;
        }
    };
    assert!(built.objects.len() <= LIMITS.objects);
    let text = built.to_yaml();
    let values: Vec<&Value> = built.objects.iter().map(|object| &object.value).collect();
    let documents = Documents::new(text.as_bytes(), Dialect::Kustomize, ROOM);
    let read: Vec<Value> = documents
        .unwrap_or_else(|error| panic!("{error} in\n{text}"))
        .map(|document| document.unwrap_or_else(|error| panic!("{error:?} in\n{text}")))
        .map(|node| node.into_json(Dialect::Kustomize).expect("JSON was written"))
        .collect();
    assert_eq!(read.iter().collect::<Vec<_>>(), values, "written as\n{text}");
    let sorted = |values: Vec<&Value>| {
        let mut texts: Vec<String> = values.into_iter().map(Value::to_string).collect();
        texts.sort();
        texts
    };
    let unsorted = unsorted.expect("the order decides nothing");
    let unsorted = unsorted.objects.iter().map(|object| &object.value).collect();
    assert_eq!(sorted(values), sorted(unsorted));
}
