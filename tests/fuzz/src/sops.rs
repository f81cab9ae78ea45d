//! SOPS: nothing is opened but what somebody with the key has encrypted.

mod seal;

use std::sync::LazyLock;

use leeward_sops::{Identities, Opened, is_encrypted, open};
use leeward_yaml::{Content, Dialect, Documents, Limits, Node, Resolved, Style, emit};
use serde_json::Value;

use crate::dice::Dice;

/// Bytes that a plaintext may have for one of its file: each is written as an
/// escape of six characters at most.
const GROWTH_MAX: usize = 6;

const LIMITS: Limits =
    Limits { bytes: 1 << 20, depth: 60, nodes: 20_000, text: 1 << 20, documents: 200 };

/// Files that open: of the real `sops`, and of the tests of `leeward-sops`.
const BASES: [(&str, &str); 14] = [
    ("age.yaml", include_str!("../../../agent/sops/src/vectors/age.yaml")),
    ("merge1.yaml", include_str!("../../../agent/sops/src/vectors/merge1.yaml")),
    ("merge2.yaml", include_str!("../../../agent/sops/src/vectors/merge2.yaml")),
    ("global.yaml", include_str!("../../../agent/sops/src/vectors/global.yaml")),
    ("env.env", include_str!("../../../agent/sops/src/vectors/env.env")),
    ("component.env", include_str!("../../../agent/sops/src/vectors/component.env")),
    ("file.txt", include_str!("../../../agent/sops/src/vectors/file.txt")),
    ("inside", include_str!("../../../agent/sops/src/vectors/inside.json")),
    ("typed.yaml", include_str!("../sops/typed.yaml")),
    ("typed.env", include_str!("../sops/typed.env")),
    ("typed.bin", include_str!("../sops/typed.bin")),
    ("typed.json", include_str!("../sops/typed.json")),
    ("groups.yaml", include_str!("../sops/groups.yaml")),
    // Whose other values are not vouched for.
    (ONLY_ENCRYPTED, include_str!("../sops/only-encrypted.yaml")),
];
const ONLY_ENCRYPTED: &str = "only-encrypted.yaml";
const ONLY_ENCRYPTED_SECRETS: [&str; 2] = ["first secret", "second secret"];

const KEYS: [&str; 3] = [
    include_str!("../../../agent/sops/src/vectors/keys.txt"),
    include_str!("../../../agent/sops/src/vectors/keys-global.txt"),
    include_str!("../sops/keys.txt"),
];

static IDENTITIES: LazyLock<Identities> = LazyLock::new(|| {
    let mut identities = Identities::default();
    for keys in KEYS {
        identities.add(keys.as_bytes()).expect("they are keys");
    }
    identities
});

/// What the MAC of each base vouches for.
static VOUCHED: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let vouched = |(path, content): &(&str, &str)| {
        let Ok(Opened::Decrypted(plain)) = open(path, content.as_bytes(), &IDENTITIES) else {
            panic!("{path} does not open")
        };
        let readings = readings(&plain);
        let extension = path.rsplit_once('.').map_or("", |(_, extension)| extension);
        match extension {
            "yaml" | "json" => readings.tree.expect("it is a tree"),
            "env" => readings.lines,
            _ => readings.whole,
        }
    };
    BASES.iter().filter(|(path, _)| *path != ONLY_ENCRYPTED).map(vouched).collect()
});

/// The claim about any file. The first byte chooses: a file that opens with
/// edits, one that is encrypted here, or a line with its name and its content.
pub fn sops(bytes: &[u8]) {
    match bytes.split_first() {
        Some((b'E', rest)) => {
            let mut dice = Dice::new(rest);
            let (path, content) = dice.one_of(&BASES);
            let edited = edited(content.as_bytes().to_vec(), &mut dice);
            opens_as_it_was_or_not_at_all(path, &edited, None);
        }
        Some((b'S', rest)) => what_is_sealed_opens(&mut Dice::new(rest)),
        _ => {
            let at = bytes.iter().position(|byte| *byte == b'\n').unwrap_or(0);
            let (path, content) = bytes.split_at(at);
            let content = content.strip_prefix(b"\n").unwrap_or(content);
            opens_as_it_was_or_not_at_all(&String::from_utf8_lossy(path), content, None);
        }
    }
}

/// Cuts, puts in, flips and repeats.
fn edited(mut content: Vec<u8>, dice: &mut Dice<'_>) -> Vec<u8> {
    const EDITS_MAX: usize = 16;
    const BYTES_MAX: usize = 64 << 10;
    for _ in 0..EDITS_MAX {
        if dice.is_empty() {
            break;
        }
        let kind = dice.below(5);
        let from = dice.below((content.len() + 1).max(257));
        let from = from.min(content.len());
        let to = (from + dice.below(300)).min(content.len());
        match kind {
            0 => drop(content.splice(from..to, [])),
            1 => drop(content.splice(from..from, dice.take(64).to_vec())),
            2 => drop(content.splice(from..to, dice.take(64).to_vec())),
            3 => {
                if let Some(byte) = content.get_mut(from) {
                    *byte ^= 1 << dice.below(8);
                }
            }
            _ => {
                let part = content[from..to].to_vec();
                let at = dice.below((content.len() + 1).max(257)).min(content.len());
                drop(content.splice(at..at, part));
            }
        }
        content.truncate(BYTES_MAX);
    }
    content
}

/// `more`: what else may be vouched for.
fn opens_as_it_was_or_not_at_all(path: &str, content: &[u8], more: Option<&[u8]>) {
    let opened = open(path, content, &IDENTITIES);
    match &opened {
        Ok(Opened::Plain) => assert!(!is_encrypted(path, content)),
        Ok(Opened::Decrypted(plain)) => {
            assert!(is_encrypted(path, content));
            assert!(plain.len() <= content.len() * GROWTH_MAX);
            let readings = readings(plain);
            let is_known = VOUCHED.iter().any(|vouched| readings.is_one(vouched))
                || more.is_some_and(|vouched| readings.is_one(vouched))
                || readings.has_secrets();
            assert!(is_known, "{path} opens to {}", String::from_utf8_lossy(plain));
        }
        Err(error) => {
            let message = error.problem.to_string();
            assert!(message.len() < 4_000, "{message}");
            for secret in ["hunter2", ONLY_ENCRYPTED_SECRETS[0], "json secret"] {
                assert!(!message.contains(secret), "{message}");
            }
        }
    }
}

/// Bytes that the MAC counts, of a plaintext in each format that it may have.
struct Readings {
    whole: Vec<u8>,
    lines: Vec<u8>,
    /// Unless it is none.
    tree: Option<Vec<u8>>,
}

impl Readings {
    fn is_one(&self, vouched: &[u8]) -> bool {
        self.whole == vouched
            || self.lines == vouched
            || self.tree.as_ref().is_some_and(|tree| tree == vouched)
    }

    /// In their order.
    fn has_secrets(&self) -> bool {
        let tree = String::from_utf8_lossy(self.tree.as_deref().unwrap_or_default()).into_owned();
        let whole = String::from_utf8_lossy(&self.whole).into_owned();
        [tree, whole].iter().any(|text| {
            let mut rest = text.as_str();
            ONLY_ENCRYPTED_SECRETS.iter().all(|secret| match rest.split_once(secret) {
                Some((_, behind)) => {
                    rest = behind;
                    true
                }
                None => false,
            })
        })
    }
}

fn readings(plain: &[u8]) -> Readings {
    let text = String::from_utf8_lossy(plain);
    let is_variable = |line: &&str| !line.is_empty() && !line.starts_with('#');
    let values = text.split('\n').filter(is_variable).filter_map(|line| line.split_once('='));
    let lines = values.map(|(_, value)| value.replace("\\n", "\n")).collect::<String>();
    Readings { whole: plain.to_vec(), lines: lines.into_bytes(), tree: tree(plain) }
}

fn tree(plain: &[u8]) -> Option<Vec<u8>> {
    let documents = Documents::new(plain, Dialect::Kustomize, LIMITS).ok()?;
    let mut counted = Vec::new();
    for document in documents {
        count(&document.ok()?, &mut counted);
    }
    Some(counted)
}

fn count(node: &Node, counted: &mut Vec<u8>) {
    match &node.content {
        Content::Mapping(entries) => {
            for entry in entries {
                count(&entry.value, counted);
            }
        }
        Content::Sequence(items) => {
            for item in items {
                count(item, counted);
            }
        }
        Content::Scalar(scalar) => match scalar.resolve(Dialect::Kustomize) {
            Ok(Resolved::Null) | Err(_) => {}
            Ok(Resolved::Bool(true)) => counted.extend(b"True"),
            Ok(Resolved::Bool(false)) => counted.extend(b"False"),
            Ok(Resolved::Integer(number)) => counted.extend(number.to_string().bytes()),
            Ok(Resolved::Unsigned(number)) => counted.extend(number.to_string().bytes()),
            Ok(Resolved::Float(number)) => counted.extend(seal::float(number).bytes()),
            Ok(Resolved::Decoded(text)) => counted.extend(text.bytes()),
            // A date is counted as a point in time.
            Ok(Resolved::Text) => match node.clone().into_json(Dialect::Kustomize) {
                Ok(Value::String(time)) if scalar.style == Style::Plain => {
                    counted.extend(time.bytes());
                }
                _ => counted.extend(scalar.text.bytes()),
            },
        },
    }
}

/// SOPS writes a number by all of its digits, so 1.2e19 comes back as an integer
/// of the same value; an integer that it does not have was sealed as a text.
fn same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(a), Value::Number(b)) => {
            a == b || ((a.is_f64() || b.is_f64()) && a.as_f64() == b.as_f64())
        }
        (Value::String(text), Value::Number(number)) => {
            number.is_u64() && !number.is_i64() && *text == number.to_string()
        }
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b))
        }
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.0 == b.0 && same(a.1, b.1))
        }
        _ => one == other,
    }
}

/// Encrypts a document as SOPS would, opens it, and damages it.
fn what_is_sealed_opens(dice: &mut Dice<'_>) {
    let edits = dice.take(16);
    let text = dice.rest();
    let limits = Limits { bytes: 8 << 10, depth: 30, nodes: 300, text: 16 << 10, documents: 1 };
    let Ok(mut documents) = Documents::new(text, Dialect::Kustomize, limits) else { return };
    let Some(Ok(node)) = documents.next() else { return };
    let Ok(value) = node.into_json(Dialect::Kustomize) else { return };
    if value.as_object().is_none_or(|map| map.is_empty() || map.contains_key("sops")) {
        return;
    }
    let text = emit::document(&value);
    // What SOPS leaves readable when a file has no rules.
    if text.contains("_unencrypted") {
        return;
    }
    let sealed = seal::sealed(&text);
    let opened = match open("a.yaml", sealed.file.as_bytes(), &IDENTITIES) {
        Ok(Opened::Decrypted(opened)) => opened,
        other => panic!("{other:?} of\n{}", sealed.file),
    };
    let text = String::from_utf8(opened.to_vec()).expect("only texts were sealed");
    let mut documents = Documents::new(text.as_bytes(), Dialect::Kustomize, LIMITS)
        .unwrap_or_else(|error| panic!("{error} in\n{text}"));
    let read = documents.next().expect("there is one").expect("it is YAML");
    let read = read.into_json(Dialect::Kustomize).expect("it is JSON as well");
    assert!(same(&read, &value), "{read} instead of {value}, opened to\n{text}");
    let damaged = edited(sealed.file.into_bytes(), &mut Dice::new(edits));
    opens_as_it_was_or_not_at_all("a.yaml", &damaged, Some(&sealed.counted));
}
