//! Forms of age files that are read, and forms that are refused.

use crate::{
    age::{Identities, Opening, open},
    seal::{self, TestKey},
};

/// More than any key file has.
const FILE: usize = (64 << 10) + 1;

fn opened(armored: &str, key: &TestKey) -> Result<Vec<u8>, String> {
    match open(armored, &key.identities()) {
        Ok(Opening::Opened(bytes)) => Ok(bytes.to_vec()),
        Ok(Opening::NotForUs { stanzas }) => Err(format!("not for us: {}", stanzas.join(" "))),
        Err(error) => Err(error.to_string()),
    }
}

#[test]
fn the_key_of_the_recipient_opens_and_no_other() {
    let armored = seal::age(b"secret", &TestKey(1), "");
    assert_eq!(opened(&armored, &TestKey(1)), Ok(b"secret".to_vec()));
    assert_eq!(opened(&armored, &TestKey(2)), Err("not for us: X25519".to_owned()));
}

#[test]
fn stanzas_of_unknown_types_are_passed_over() {
    let armored = seal::age(b"secret", &TestKey(1), "-> x-grease a b\nAAAA\n-> ssh-ed25519 c\n\n");
    assert_eq!(opened(&armored, &TestKey(1)), Ok(b"secret".to_vec()));
}

#[test]
fn no_byte_of_a_file_can_be_changed() {
    use base64::Engine as _;
    let armored = seal::age(&[5; 32], &TestKey(1), "");
    for at in 0..armored.trim_end().len() {
        for bit in [1, 2, 32] {
            let mut bytes = armored.clone().into_bytes();
            bytes[at] ^= bit;
            let text = String::from_utf8(bytes).unwrap();
            assert!(opened(&text, &TestKey(1)).is_err(), "byte {at} bit {bit}");
        }
    }
    // Below the armor too, where one bit of base64 is not one bit of the file.
    let encoded: String = armored.lines().filter(|line| !line.starts_with('-')).collect();
    let file = base64::engine::general_purpose::STANDARD.decode(encoded).unwrap();
    for bit in 0..file.len() * 8 {
        let mut changed = file.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        assert!(opened(&seal::armor(&changed), &TestKey(1)).is_err(), "bit {bit}");
    }
    for end in 0..file.len() {
        assert!(opened(&seal::armor(&file[..end]), &TestKey(1)).is_err(), "cut at {end}");
    }
}

#[test]
fn a_key_file_says_what_is_wrong_with_it() {
    let complaint = |text: &[u8]| Identities::default().add(text).unwrap_err().to_string();
    let mut damaged = TestKey(1).file();
    damaged.replace_range(20..21, "B");
    insta::assert_snapshot!(
        [
            complaint(b"# nothing\n"),
            complaint(b"\n# mine\nsecret\n"),
            complaint(damaged.as_bytes()),
            complaint(b"AGE-SECRET-KEY-PQ-1AAAA"),
            complaint(b"AGE-PLUGIN-YUBIKEY-1AAAA"),
            complaint(b"age-encryption.org/v1\n-> scrypt"),
            complaint(&[0xff]),
            complaint(&vec![b'#'; FILE]),
            complaint(format!("{}\n", TestKey(1).file()).repeat(101).as_bytes()),
        ]
        .join("\n"),
        @"
    it holds no key: `age-keygen` makes one
    line 3 is not an age key: it should begin with AGE-SECRET-KEY-1
    the key on line 1 is damaged
    the key on line 1 is post-quantum, which cannot be used yet: make one with `age-keygen`
    the key on line 1 needs a plug-in: make one with `age-keygen`
    it is protected with a passphrase: the agent has nobody to ask for it
    it is not text
    it is larger than 65536 bytes
    more than 100 keys
    "
    );
}

#[test]
fn a_key_is_never_shown() {
    let shown = format!("{:?}", TestKey(1).identities());
    assert!(shown.contains("age1") && !shown.to_lowercase().contains("age-secret-key"));
}
