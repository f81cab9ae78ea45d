//! One changed bit, and nothing is handed out.

use std::ops::Range;

use super::*;

const KEY: TestKey = TestKey(1);

/// Everything that SOPS protects: encrypted values, the MAC, what it is bound to,
/// and the data key.
fn protected(content: &str) -> Vec<Range<usize>> {
    let mut ranges = Vec::new();
    for (start, end) in
        [("ENC[", "]"), (crate::seal::LAST_MODIFIED, ""), ("-----BEGIN AGE", "ENCRYPTED FILE-----")]
    {
        for (at, _) in content.match_indices(start) {
            let inside = at + start.len();
            let length = content[inside..].find(end).unwrap() + end.len();
            ranges.push(at..inside + length);
        }
    }
    ranges
}

fn no_bit_can_be_changed(path: &str, content: &str) {
    assert!(matches!(open(path, content.as_bytes(), &KEY.identities()), Ok(Opened::Decrypted(_))));
    let identities = KEY.identities();
    let mut tried = 0;
    for at in protected(content).into_iter().flatten() {
        // A bit of each byte, another one of the next.
        for bit in [at % 8, (at + 3) % 8] {
            let mut changed = content.as_bytes().to_vec();
            changed[at] ^= 1 << bit;
            let outcome = open(path, &changed, &identities);
            let shown =
                String::from_utf8_lossy(&changed[at.saturating_sub(20)..at + 20]).into_owned();
            assert!(outcome.is_err(), "byte {at}, bit {bit}: {shown}");
            tried += 1;
        }
    }
    assert!(tried > 500);
}

#[test]
fn no_bit_of_a_yaml_file_can_be_changed() {
    no_bit_can_be_changed("a.yaml", &secret(&[KEY]));
}

#[test]
fn no_bit_of_a_dotenv_file_can_be_changed() {
    no_bit_can_be_changed("a.env", &dotenv(&KEY));
}

#[test]
fn no_bit_of_a_binary_file_can_be_changed() {
    no_bit_can_be_changed("a.bin", &binary(b"any bytes", &KEY));
}

#[test]
fn no_bit_of_a_json_file_can_be_changed() {
    let mut seal = Sealer::new(false);
    let value = seal.value("a:", "str", "secret");
    let content = json(&format!("\"a\": \"{value}\""), &mut seal, &KEY);
    no_bit_can_be_changed("a.json", &content);
}

#[test]
fn values_cannot_change_places() {
    let mut seal = Sealer::new(false);
    let (one, two) = (seal.value("a:", "str", "1"), seal.value("b:", "str", "2"));
    let metadata = seal.metadata(&[KEY], "");
    let content = format!("a: {two}\nb: {one}\n{metadata}");
    let problem = outcome("a.yaml", content.as_bytes(), &KEY.identities()).unwrap_err();
    assert!(matches!(problem, Problem::Value { .. }));
    // Inside a list the key is the same, and only the MAC knows the order.
    let mut seal = Sealer::new(false);
    let (one, two) = (seal.value("a:", "str", "1"), seal.value("a:", "str", "2"));
    let metadata = seal.metadata(&[KEY], "");
    let content = format!("a:\n- {two}\n- {one}\n{metadata}");
    assert_eq!(outcome("a.yaml", content.as_bytes(), &KEY.identities()), Err(Problem::Mac));
}

#[test]
fn a_value_that_was_encrypted_cannot_become_readable() {
    let content = secret(&[KEY]);
    let start = content.find("ENC[").unwrap();
    let end = start + content[start..].find(']').unwrap() + 1;
    let mut changed = content.clone();
    changed.replace_range(start..end, "mine");
    let problem = outcome("a.yaml", changed.as_bytes(), &KEY.identities()).unwrap_err();
    assert!(matches!(problem, Problem::Value { reason: crate::ValueError::NotSealed, .. }));
}
