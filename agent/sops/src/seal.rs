//! The other direction, for tests only: what SOPS would write, with nonces that are counted.

use aes_gcm::{
    AesGcm, KeyInit as _, Nonce,
    aead::{Aead as _, Payload, consts::U32},
    aes::Aes256,
};
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, STANDARD_NO_PAD},
};
use chacha20poly1305::ChaCha20Poly1305;
use hkdf::Hkdf;
use hmac::{Hmac, Mac as _};
use sha2::{Digest as _, Sha256, Sha512};
use x25519_dalek::{PublicKey, StaticSecret};

use crate::{age::Identities, verify::ONLY_ENCRYPTED};

pub(crate) const LAST_MODIFIED: &str = "2026-11-25T12:00:00Z";

/// An age key of tests: its secret is this byte, 32 times.
pub(crate) struct TestKey(pub(crate) u8);

impl TestKey {
    pub(crate) fn file(&self) -> String {
        let prefix = bech32::Hrp::parse_unchecked("age-secret-key-");
        bech32::encode_upper::<bech32::Bech32>(prefix, &[self.0; 32]).unwrap()
    }

    pub(crate) fn identities(&self) -> Identities {
        let mut identities = Identities::default();
        identities.add(self.file().as_bytes()).unwrap();
        identities
    }

    pub(crate) fn recipient(&self) -> String {
        self.identities().iter().next().unwrap().recipient()
    }

    fn public(&self) -> PublicKey {
        PublicKey::from(&StaticSecret::from([self.0; 32]))
    }
}

/// Encrypts a data key as age does, with stanzas before ours.
pub(crate) fn age(plaintext: &[u8], to: &TestKey, grease: &str) -> String {
    let (file_key, nonce, ephemeral) = ([7; 16], [9; 16], StaticSecret::from([3; 32]));
    let share = PublicKey::from(&ephemeral);
    let shared = ephemeral.diffie_hellman(&to.public());
    let salt = [share.to_bytes(), to.public().to_bytes()].concat();
    let wrap = derive(shared.as_bytes(), &salt, b"age-encryption.org/v1/X25519");
    let body = chacha(&wrap, [0; 12], &file_key);
    let mut file = format!(
        "age-encryption.org/v1\n{grease}-> X25519 {}\n{}\n---",
        STANDARD_NO_PAD.encode(share),
        STANDARD_NO_PAD.encode(body)
    );
    let mut mac =
        <Hmac<Sha256> as hmac::KeyInit>::new_from_slice(&derive(&file_key, &[], b"header"))
            .unwrap();
    mac.update(file.as_bytes());
    let mac = STANDARD_NO_PAD.encode(mac.finalize().into_bytes());
    file.push_str(&format!(" {mac}\n"));
    let mut only_chunk = [0; 12];
    only_chunk[11] = 1;
    let payload = chacha(&derive(&file_key, &nonce, b"payload"), only_chunk, plaintext);
    armor(&[file.as_bytes(), &nonce, &payload].concat())
}

pub(crate) fn armor(file: &[u8]) -> String {
    let encoded = STANDARD.encode(file);
    let lines: Vec<&str> =
        encoded.as_bytes().chunks(64).map(|line| str::from_utf8(line).unwrap()).collect();
    format!(
        "-----BEGIN AGE ENCRYPTED FILE-----\n{}\n-----END AGE ENCRYPTED FILE-----\n",
        lines.join("\n")
    )
}

fn chacha(key: &[u8; 32], nonce: [u8; 12], plaintext: &[u8]) -> Vec<u8> {
    ChaCha20Poly1305::new(key.into()).encrypt(&nonce.into(), plaintext).unwrap()
}

fn derive(secret: &[u8], salt: &[u8], info: &[u8]) -> [u8; 32] {
    let mut key = [0; 32];
    Hkdf::<Sha256>::new(Some(salt), secret).expand(info, &mut key).unwrap();
    key
}

/// Encrypts the values of one file, in their order.
pub(crate) struct Sealer {
    key: [u8; 32],
    hash: Sha512,
    nonce: u8,
    only_encrypted: bool,
}

impl Sealer {
    pub(crate) fn new(only_encrypted: bool) -> Self {
        let mut hash = Sha512::new();
        if only_encrypted {
            hash.update(ONLY_ENCRYPTED);
        }
        Self { key: [42; 32], hash, nonce: 0, only_encrypted }
    }

    /// Counts a value that stays readable.
    pub(crate) fn clear(&mut self, counted: &str) {
        if !self.only_encrypted {
            self.hash.update(counted);
        }
    }

    /// Encrypts a value at `place` (`a:b:`).
    pub(crate) fn value(&mut self, place: &str, kind: &str, plain: impl AsRef<[u8]>) -> String {
        self.hash.update(plain.as_ref());
        self.encrypt(place, kind, plain.as_ref())
    }

    fn encrypt(&mut self, place: &str, kind: &str, plain: &[u8]) -> String {
        self.nonce = self.nonce.wrapping_add(1);
        let cipher = AesGcm::<Aes256, U32>::new((&self.key).into());
        let nonce = Nonce::<U32>::from([self.nonce; 32]);
        let message = Payload { msg: plain, aad: place.as_bytes() };
        let sealed = cipher.encrypt(&nonce, message).unwrap();
        let (data, tag) = sealed.split_at(sealed.len() - 16);
        format!(
            "ENC[AES256_GCM,data:{},iv:{},tag:{},type:{kind}]",
            STANDARD.encode(data),
            STANDARD.encode(nonce),
            STANDARD.encode(tag)
        )
    }

    pub(crate) fn mac(&mut self) -> String {
        let digest = self.hash.clone().finalize();
        let text: String = digest.iter().map(|byte| format!("{byte:02X}")).collect();
        self.encrypt(LAST_MODIFIED, "str", text.as_bytes())
    }

    /// `sops: …`, for these keys and with further lines.
    pub(crate) fn metadata(&mut self, keys: &[TestKey], more: &str) -> String {
        let age: String = keys.iter().map(|key| recipient(&self.key, key, 4)).collect();
        self.metadata_with(&format!("    age:\n{age}"), more)
    }

    /// The data key in three groups, of which two are enough.
    pub(crate) fn metadata_of_groups(&mut self, keys: &[TestKey; 3]) -> String {
        // A line through the data key, at 1, 2 and 3: a * x + key in GF(2^8), with a = 1.
        let mut groups = String::from("    shamir_threshold: 2\n    key_groups:\n");
        for (index, key) in keys.iter().enumerate() {
            let place = u8::try_from(index + 1).unwrap();
            let mut share: Vec<u8> = self.key.iter().map(|byte| byte ^ place).collect();
            share.push(place);
            groups.push_str(&format!("    - age:\n{}", recipient(&share, key, 6)));
        }
        self.metadata_with(&groups, "")
    }

    pub(crate) fn metadata_with(&mut self, keys: &str, more: &str) -> String {
        let (mac, only) = (self.mac(), self.only_encrypted);
        format!(
            "sops:\n{keys}    lastmodified: \"{LAST_MODIFIED}\"\n    mac: {mac}\n{}{more}    version: 3.10.2\n",
            if only { "    mac_only_encrypted: true\n" } else { "" }
        )
    }
}

fn recipient(part: &[u8], key: &TestKey, indent: usize) -> String {
    let margin = " ".repeat(indent);
    let sealed: String =
        age(part, key, "").lines().map(|line| format!("{margin}    {line}\n")).collect();
    format!("{margin}- recipient: {}\n{margin}  enc: |\n{sealed}", key.recipient())
}
