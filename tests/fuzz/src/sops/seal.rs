//! The other direction: a tree as SOPS encrypts it, with nonces that are counted.

use aes_gcm::{
    AesGcm, KeyInit as _, Nonce,
    aead::{Aead as _, Payload, consts::U32},
    aes::Aes256,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use leeward_yaml::{Content, Dialect, Documents, Node, Resolved, emit};
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha512};

use super::LIMITS;

const LAST_MODIFIED: &str = "2026-11-25T12:00:00Z";
const DATA_KEY: [u8; 32] = [42; 32];
/// The data key, encrypted for the first of `sops/keys.txt`.
const SEALED_DATA_KEY: &str = include_str!("../../sops/data-key.age");

pub(super) struct Sealed {
    pub(super) file: String,
    /// What the MAC is made of.
    pub(super) counted: Vec<u8>,
}

/// As the MAC counts it.
pub(super) fn float(number: f64) -> String {
    match number {
        f64::INFINITY => "+Inf".to_owned(),
        f64::NEG_INFINITY => "-Inf".to_owned(),
        number => format!("{number}"),
    }
}

/// Encrypts every value of a document that was written here, in its order.
pub(super) fn sealed(text: &str) -> Sealed {
    let mut documents =
        Documents::new(text.as_bytes(), Dialect::Kustomize, LIMITS).expect("it was written here");
    let node = documents.next().expect("it is not empty").expect("it was written here");
    let mut sealer = Sealer { counted: Vec::new(), nonce: 0 };
    let value = sealer.node(&node, &mut Vec::new());
    let digest = Sha512::digest(&sealer.counted);
    let digest: String = digest.iter().map(|byte| format!("{byte:02X}")).collect();
    let mac = sealer.encrypt(LAST_MODIFIED, "str", digest.as_bytes());
    let armored: String = SEALED_DATA_KEY.lines().map(|line| format!("        {line}\n")).collect();
    let file = format!(
        "{}sops:\n    age:\n    - enc: |\n{armored}    lastmodified: \"{LAST_MODIFIED}\"\n    \
         mac: {mac}\n    version: 3.10.2\n",
        emit::document(&value)
    );
    Sealed { file, counted: sealer.counted }
}

struct Sealer {
    counted: Vec<u8>,
    nonce: u16,
}

impl Sealer {
    fn node<'n>(&mut self, node: &'n Node, path: &mut Vec<&'n str>) -> Value {
        match &node.content {
            Content::Mapping(entries) => {
                let mut map = Map::new();
                for entry in entries {
                    path.push(&entry.key);
                    map.insert(entry.key.clone(), self.node(&entry.value, path));
                    path.pop();
                }
                Value::Object(map)
            }
            Content::Sequence(items) => items.iter().map(|item| self.node(item, path)).collect(),
            Content::Scalar(scalar) => {
                let found = scalar.resolve(Dialect::Kustomize).expect("it has no tag");
                let (kind, plain) = match found {
                    Resolved::Null => return Value::Null,
                    Resolved::Text if scalar.text.is_empty() => return Value::String(String::new()),
                    Resolved::Text | Resolved::Decoded(_) => ("str", scalar.text.clone()),
                    Resolved::Bool(true) => ("bool", "True".to_owned()),
                    Resolved::Bool(false) => ("bool", "False".to_owned()),
                    Resolved::Integer(number) => ("int", number.to_string()),
                    // SOPS has no such integers.
                    Resolved::Unsigned(number) => ("str", number.to_string()),
                    Resolved::Float(number) => ("float", float(number)),
                };
                self.counted.extend(plain.bytes());
                Value::String(self.encrypt(&format!("{}:", path.join(":")), kind, plain.as_bytes()))
            }
        }
    }

    fn encrypt(&mut self, place: &str, kind: &str, plain: &[u8]) -> String {
        self.nonce = self.nonce.wrapping_add(1);
        let mut nonce = [0; 32];
        nonce[..2].copy_from_slice(&self.nonce.to_be_bytes());
        let cipher = AesGcm::<Aes256, U32>::new((&DATA_KEY).into());
        let message = Payload { msg: plain, aad: place.as_bytes() };
        let sealed = cipher.encrypt(&Nonce::<U32>::from(nonce), message).expect("it is short");
        let (data, tag) = sealed.split_at(sealed.len() - 16);
        format!(
            "ENC[AES256_GCM,data:{},iv:{},tag:{},type:{kind}]",
            STANDARD.encode(data),
            STANDARD.encode(nonce),
            STANDARD.encode(tag)
        )
    }
}
