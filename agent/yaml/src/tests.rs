//! Claims about the tree and about scalars.

mod properties;

use serde_json::Value;

use super::*;

fn read_with(text: &[u8], dialect: Dialect, limits: Limits) -> Result<Vec<Value>, Vec<YamlError>> {
    let mut values = Vec::new();
    for node in Documents::new(text, dialect, limits).map_err(|error| vec![error])? {
        values.push(node?.into_json(dialect)?);
    }
    Ok(values)
}

fn read(text: &str) -> Result<Vec<Value>, Vec<YamlError>> {
    read_with(text.as_bytes(), Dialect::Kubernetes, Limits::default())
}

/// One line a text: the value, or the errors.
fn shown(text: &str) -> String {
    match read(text) {
        Ok(values) => values.iter().map(Value::to_string).collect::<Vec<_>>().join(" "),
        Err(errors) => errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "),
    }
}

fn scalars(dialect: Dialect, texts: &[&str]) -> String {
    let line = |text: &&str| {
        let read = read_with(format!("- {text}\n").as_bytes(), dialect, Limits::default());
        match read {
            Ok(values) => format!("{text} => {}", values[0][0]),
            Err(errors) => format!("{text} => {}", errors[0].problem),
        }
    };
    texts.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// Every value is the one that `kubectl label --local -o json` (1.32) printed; it writes
/// numbers beyond 64 bits in another notation, and integers above `i64::MAX` as floats.
const AS_KUBECTL_READS: &str = r#"
0644 => 420
0o7 => 7
0O17 => 15
1e3 => 1000
1E3 => 1000
1e-3 => 0.001
1_000 => 1000
0777_7 => 4095
0_7 => 7
0x1F => 31
0X1f => 31
-0x1F => -31
+0x1F => 31
0x1_F => 31
0_x1F => 31
0x-1 => "0x-1"
0x => "0x"
0xG => "0xG"
0b11 => 3
-0b11 => -3
0b2 => "0b2"
0b+1 => 1
0b-1 => -1
0b => "0b"
0o => "0o"
0o8 => "0o8"
yes => true
on => true
y => true
n => false
N => false
Off => false
True => true
tRue => "tRue"
~ => null
null => null
Null => null
nUll => "nUll"
 => null
12:30:45 => "12:30:45"
1:20 => "1:20"
2001-12-14 => "2001-12-14"
2001-12-14T21:59:43Z => "2001-12-14T21:59:43Z"
"yes" => "yes"
'0644' => "0644"
1.0 => 1
-0 => 0
-0.0 => 0
+1 => 1
010 => 8
08 => 8
09.5 => 9.5
1. => 1
5.e3 => 5000
.5 => 0.5
-.5 => -0.5
+.5 => 0.5
.5_0 => 0.5
.5__0 => ".5__0"
._5 => "._5"
.5_ => ".5_"
. => "."
+ => "+"
5_ => 5
-_1 => -1
_5 => "_5"
1_e3 => 1000
1_0.5 => 10.5
00 => 0
+0644 => 420
-0644 => -420
5e => "5e"
5e+ => "5e+"
1e400 => "1e400"
.5e999 => ".5e999"
0x1p-2 => "0x1p-2"
1.10 => 1.1
1e18 => 1000000000000000000
1e21 => 1e+21
1.2345678901234567e18 => 1234567890123456800
123456789012345678.0 => 123456789012345680
9223372036854775807 => 9223372036854775807
9223372036854775808 => 9223372036854775808
18446744073709551615 => 18446744073709551615
18446744073709551616 => 1.8446744073709552e+19
-9223372036854775808 => -9223372036854775808
-9223372036854775809 => -9.223372036854776e+18
12345678901234567890123 => 1.2345678901234568e+22
= => "="
!!str 5 => "5"
!!str => ""
!!str ~ => "~"
!!int "5" => 5
!!int x => the value cannot be read as !!int
!!int 1.0 => the value cannot be read as !!int
!!float 5 => 5
!!float 1e3 => 1000
!!bool "yes" => true
!!null "" => null
!!binary aGk= => "hi"
! 5 => "5"
!!timestamp 2001-12-14 => "2001-12-14"
.inf => .inf cannot be written as JSON: quote it if it is a text
-.Inf => -.Inf cannot be written as JSON: quote it if it is a text
.nan => .nan cannot be written as JSON: quote it if it is a text
--.inf => "--.inf"
-.nan => "-.nan"
"#;

#[test]
fn scalars_are_what_kubectl_reads() {
    let table = AS_KUBECTL_READS.trim_matches('\n');
    let texts: Vec<&str> = table.lines().filter_map(|line| line.split(" => ").next()).collect();
    assert_eq!(scalars(Dialect::Kubernetes, &texts), table);
}

#[test]
fn kustomize_knows_only_two_words_for_booleans() {
    let texts = ["yes", "on", "n", "true", "FALSE", "0644", "0x1F", "~", "1e3"];
    insta::assert_snapshot!(scalars(Dialect::Kustomize, &texts), @r#"
    yes => "yes"
    on => "on"
    n => "n"
    true => true
    FALSE => false
    0644 => 420
    0x1F => 31
    ~ => null
    1e3 => 1000
    "#);
}

/// Every key is the one that `kubectl label --local -o json` (1.32) printed.
#[test]
fn keys_become_text_as_kubectl_makes_them() {
    let text = "{1: a, 1.5: b, yes: d, 1e7: e, 0.00001: f, 0644: g, 1e3: h, 123456789.0: i, \
                2001-12-14: j, .inf: k, \"on\": l}";
    insta::assert_snapshot!(shown(text).replace(',', "\n"), @r#"
    {".inf":"k"
    "1":"a"
    "1.2345679e+08":"i"
    "1.5":"b"
    "1000":"h"
    "1e+07":"e"
    "1e-05":"f"
    "2001-12-14":"j"
    "420":"g"
    "on":"l"
    "true":"d"}
    "#);
}

#[test]
fn merge_keys_override_what_stands_before_them_as_in_kubectl() {
    let texts = [
        "{<<: {a: 1, b: 2}, a: 3}",
        "{a: 3, <<: {a: 1, b: 2}}",
        "{<<: [{a: 1}, {a: 2, b: 3}]}",
        "{<<: {a: 1}, <<: {a: 2}}",
        "{\"<<\": {a: 1}}",
        "{<<: 1}",
        "{<<: [1]}",
        "{a: 1, <<: {a: 2}, a: 3}",
        "[&x {a: 1}, {<<: *x, b: 2}]",
    ];
    insta::assert_snapshot!(texts.map(shown).join("\n"), @r#"
    {"a":3,"b":2}
    {"a":1,"b":2}
    {"a":1,"b":3}
    {"a":2}
    {"<<":{"a":1}}
    1:6: the merge key `<<` needs a mapping or a list of mappings
    1:6: the merge key `<<` needs a mapping or a list of mappings
    1:20: duplicate key "a" (first at 1:2)
    [{"a":1},{"a":1,"b":2}]
    "#);
}

#[test]
fn a_text_that_cannot_be_used_says_where_and_why() {
    let texts = [
        "a: 1\nb:\n  c: 1\n  c: 2\n  \"c\": 3\n",
        "yes: 1\ntrue: 2\n",
        "a: [1, 2\n",
        "a: b: c\n",
        "a:\n\t- b\n",
        "? [a]\n: b\n",
        "~: a\n",
        "a: !!seq {b: c}\n",
        "a: !!str {b: c}\n",
        "a: &x [*x]\n",
        "a: *x\n",
        "a: @b\n",
        "a: .inf\nb: !!int c\n",
        "a: \"\\ud83d\"\n",
        "{\"a\": 1, \"a\": 2}",
    ];
    insta::assert_snapshot!(texts.map(shown).join("\n"), @r#"
    4:3: duplicate key "c" (first at 3:3); 5:3: duplicate key "c" (first at 3:3)
    2:1: duplicate key "true" (first at 1:1)
    1:4: unclosed bracket '['
    1:5: mapping values are not allowed in this context
    2:2: tabs disallowed within this context (block indentation)
    1:3: a key must be a scalar, found a list
    1:1: a key must not be null
    1:10: the tag !!seq is not one of what stands behind it
    1:10: the tag !!str is not one of what stands behind it
    1:8: the anchor contains itself
    1:4: while parsing node, found unknown anchor
    1:4: unexpected character: `@'
    1:4: .inf cannot be written as JSON: quote it if it is a text; 2:10: the value cannot be read as !!int
    1:4: while parsing a quoted scalar, found high surrogate without following low surrogate
    1:10: duplicate key "a" (first at 1:2)
    "#);
}

#[test]
fn documents_are_read_past_a_faulty_one() {
    let mut documents = Documents::new(
        b"a: 1\n---\nb: 1\nb: 2\n---\nc: 3\n",
        Dialect::Kubernetes,
        Limits::default(),
    )
    .unwrap();
    let outcomes: Vec<bool> = documents.by_ref().map(|document| document.is_ok()).collect();
    assert_eq!(outcomes, [true, false, true]);
}

#[test]
fn yaml_as_people_write_it_is_read() {
    let texts = [
        "\u{feff}a: 1\n",
        "# only a comment\n",
        "",
        "---\n---\na: 1\n...\n---\n# nothing\n",
        "%YAML 1.1\n---\na: yes\n",
        "a: |\n  text",
        "a: >-\n  one\n  two\n",
        "a: &x yes\nb: {*x : 1}\n",
        "a: &x {b: [1]}\nc: *x\n",
        "{\"a\":\"\\ud83d\\ude00 \\/\",\n\t\"b\":[1,2.5e3,null,true]}\n",
        "a: 'it''s'\r\nb: \"x\\ty\"\r\n",
    ];
    insta::assert_snapshot!(texts.map(shown).join("\n"), @r#"
    {"a":1}


    null {"a":1} null
    {"a":true}
    {"a":"text"}
    {"a":"one two"}
    {"a":true,"b":{"true":1}}
    {"a":{"b":[1]},"c":{"b":[1]}}
    {"a":"😀 /","b":[1,2500,null,true]}
    {"a":"it's","b":"x\ty"}
    "#);
}

#[test]
fn bytes_that_are_not_utf8_are_named_with_their_place() {
    let error = read_with(b"a: 1\nb: \xff\n", Dialect::Kubernetes, Limits::default()).unwrap_err();
    assert_eq!(error[0].to_string(), "2:4: the file is not UTF-8");
}

#[test]
fn nodes_know_where_they_stand() {
    let node =
        Documents::new(b"# comment\na:\n  b: [x, yes]\n", Dialect::Kubernetes, Limits::default())
            .unwrap()
            .next()
            .unwrap()
            .unwrap();
    let list = node.get("a").and_then(|a| a.get("b")).unwrap();
    let Content::Sequence(items) = &list.content else { panic!("a list") };
    let marks = [node.mark, list.mark, items[0].mark, items[1].mark].map(|mark| mark.to_string());
    assert_eq!(marks, ["2:1", "3:6", "3:7", "3:10"]);
}

fn first_problem(text: &[u8]) -> Problem {
    let mut errors = read_with(text, Dialect::Kubernetes, Limits::default()).unwrap_err();
    errors.remove(0).problem
}

#[test]
fn deep_nesting_ends_at_the_limit_in_every_style() {
    let block =
        (0..300).map(|depth| format!("{}a:\n", " ".repeat(depth))).collect::<Vec<_>>().concat();
    let texts = [
        "[".repeat(10_000),
        "{a: ".repeat(10_000),
        "- ".repeat(10_000),
        "? ".repeat(10_000),
        block,
    ];
    for text in texts {
        assert_eq!(first_problem(text.as_bytes()), Problem::TooDeep { limit: 100 });
    }
}

#[test]
fn depth_counts_what_aliases_bring() {
    let text = format!(
        "- &a {}x{}\n- {}*a{}\n",
        "[".repeat(60),
        "]".repeat(60),
        "[".repeat(60),
        "]".repeat(60)
    );
    assert_eq!(first_problem(text.as_bytes()), Problem::TooDeep { limit: 100 });
}

#[test]
fn a_billion_laughs_end_at_the_limit_of_nodes() {
    let mut text = "a0: &a0 [ha, ha, ha, ha, ha, ha, ha, ha, ha, ha]\n".to_owned();
    for level in 1..12 {
        let aliases = vec![format!("*a{}", level - 1); 10].join(", ");
        text = format!("{text}a{level}: &a{level} [{aliases}]\n");
    }
    assert_eq!(first_problem(text.as_bytes()), Problem::TooManyNodes { limit: 200_000 });
}

#[test]
fn one_long_text_repeated_ends_at_the_limit_of_text() {
    let text = format!("- &a {}\n{}", "x".repeat(1 << 20), "- *a\n".repeat(1_000));
    assert_eq!(first_problem(text.as_bytes()), Problem::TooMuchText { limit: 16 << 20 });
}

#[test]
fn merged_mappings_are_paid_for() {
    let keys = (0..1_000).map(|key| format!("  k{key}: v\n")).collect::<Vec<_>>().concat();
    let text = format!(
        "a: &a\n{keys}{}",
        (0..1_000).map(|i| format!("b{i}: {{<<: *a}}\n")).collect::<Vec<_>>().concat()
    );
    assert_eq!(first_problem(text.as_bytes()), Problem::TooManyNodes { limit: 200_000 });
}

#[test]
fn too_many_documents_and_too_many_bytes_are_refused() {
    assert_eq!(
        first_problem("---\n".repeat(5_002).as_bytes()),
        Problem::TooManyDocuments { limit: 5_000 }
    );
    assert_eq!(
        first_problem(&vec![b'a'; 50_000_000]).to_string(),
        "the file has 50000000 bytes, at most 4 MiB are read"
    );
}

#[test]
fn a_duplicate_among_many_keys_is_found() {
    let mut text = (0..100).map(|key| format!("k{key}: v\n")).collect::<Vec<_>>().concat();
    text.push_str("k7: w\n");
    insta::assert_snapshot!(shown(&text), @r#"101:1: duplicate key "k7" (first at 8:1)"#);
}
