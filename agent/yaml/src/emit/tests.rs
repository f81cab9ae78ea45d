//! Every expectation is what `kustomize build` 5.8.1 printed for the value.

use insta::assert_snapshot;
use serde_json::{Value, json};

use super::{compare_keys, document, sorted};

#[test]
fn scalars_are_quoted_as_upstream_quotes_them() {
    let value = json!({
        "=": "=", "1": 2, "10": 1, "9": 1, "a1": 1, "a10": 1, "a9": 1, "f": 123_456_789.5, "g": 1e-7,
        "h": 1e21, "j": "12:30", "l": u64::MAX, "n": 1, "o": "5", "q": "0o7", "s": "1_000",
        "t": "- a", "y": "y", "d2": "2001-12-14", "m": 1.844_674_407_370_955_2e19, "e": "", "z": null,
    });
    assert_snapshot!(document(&value), @r#"
    =: =
    "1": 2
    "9": 1
    "10": 1
    a1: 1
    a9: 1
    a10: 1
    d2: "2001-12-14"
    e: ""
    f: 1.234567895e+08
    g: 1e-07
    h: 1e+21
    j: "12:30"
    l: 18446744073709551615
    m: 1.8446744073709552e+19
    "n": 1
    o: "5"
    q: "0o7"
    s: "1_000"
    t: '- a'
    "y": "y"
    z: null
    "#);
}

#[test]
fn collections_nest_as_upstream_nests_them() {
    let value = json!({"seq": [[1, [2]], [{"a": 1, "b": {"c": [{"d": []}]}}], [], {}]});
    assert_snapshot!(document(&value), @r"
    seq:
    - - 1
      - - 2
    - - a: 1
        b:
          c:
          - d: []
    - []
    - {}
    ");
}

#[test]
fn long_and_broken_keys_stand_behind_a_question_mark() {
    let key = format!(
        "long key {} {} {} {}",
        "b".repeat(56),
        "c".repeat(32),
        "d".repeat(23),
        "e".repeat(10)
    );
    let value = json!({"data": {key: {"a": 1}, "multi\nline": 1, "z": [{"k": "v"}]}});
    assert_snapshot!(document(&value), @r"
    data:
      ? long key bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb cccccccccccccccccccccccccccccccc
        ddddddddddddddddddddddd eeeeeeeeee
      : a: 1
      ? |-
        multi
        line
      : 1
      z:
      - k: v
    ");
}

#[test]
fn texts_are_folded_and_escaped_as_upstream_does() {
    let long = "aaaaaaaaaaaaaaaaaaaa bbbbbbbbbbbbbbbbbbbbbbbbbb cccccccccccccccccccc dddddddddddddddddddddddddd eeeeeeeeeeeeeeeeeeeeeeeeeee ffffffffffffffffffffff";
    let value = json!({"data": {
        "dbl": "a\nb \n c", "emo": "😀", "long": long, "long2": format!("'{long}: "),
        "long3": format!("\t{long}: \u{1}"), "sp": "  a\nb", "tab": "a\tb\n", "tr": "a\n\n", "tr0": "\na\n",
    }});
    assert_snapshot!(document(&value), @r#"
    data:
      dbl: "a\nb \n c"
      emo: "\U0001F600"
      long: aaaaaaaaaaaaaaaaaaaa bbbbbbbbbbbbbbbbbbbbbbbbbb cccccccccccccccccccc dddddddddddddddddddddddddd
        eeeeeeeeeeeeeeeeeeeeeeeeeee ffffffffffffffffffffff
      long2: '''aaaaaaaaaaaaaaaaaaaa bbbbbbbbbbbbbbbbbbbbbbbbbb cccccccccccccccccccc dddddddddddddddddddddddddd
        eeeeeeeeeeeeeeeeeeeeeeeeeee ffffffffffffffffffffff: '
      long3: "\taaaaaaaaaaaaaaaaaaaa bbbbbbbbbbbbbbbbbbbbbbbbbb cccccccccccccccccccc dddddddddddddddddddddddddd
        eeeeeeeeeeeeeeeeeeeeeeeeeee ffffffffffffffffffffff: \x01"
      sp: |2-
          a
        b
      tab: "a\tb\n"
      tr: |+
        a

      tr0: |2

        a
    "#);
}

#[test]
fn separators_that_only_some_readers_break_at_are_escaped() {
    // Upstream writes them as they are, and what YAML 1.2 reads has spaces behind them.
    let value = json!({"a": "x\u{2028}y", "b": "x\u{2029}y\nz\n", "k\u{2028}": "v"});
    assert_snapshot!(document(&value), @r#"
    a: "x\Ly"
    b: "x\Py\nz\n"
    ? "k\L"
    : v
    "#);
}

#[test]
fn a_key_that_would_merge_is_quoted() {
    // Upstream drops such a key.
    let value = json!({"<<": {"a": "<<"}});
    assert_snapshot!(document(&value), @r#"
    "<<":
      a: <<
    "#);
}

#[test]
fn keys_are_ordered_with_digits_as_numbers() {
    let keys = ["a10", "a9", "a-b", "ab", "a01", "a1", "B", "_", "10", "9"];
    let keys = sorted(keys.to_vec(), &|a, b| compare_keys(a, b));
    assert_eq!(keys.join(" "), "_ 9 10 B a-b a1 a01 a9 a10 ab");
}

#[test]
fn a_scalar_alone_is_a_document() {
    assert_eq!(
        [json!("a"), json!([]), Value::Null].map(|v| document(&v)),
        ["a\n", "[]\n", "null\n"]
    );
}
