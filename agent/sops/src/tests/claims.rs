//! Claims about files that open, and about the messages for those that do not.

use proptest::prelude::*;

use super::*;

const KEY: TestKey = TestKey(1);

#[test]
fn types_and_lines_are_those_of_before() {
    let content = secret(&[KEY]);
    insta::assert_snapshot!(opened("a.yaml", &content, &KEY.identities()).unwrap().trim_end(), @r#"
    apiVersion: v1
    kind: Secret # a comment
    metadata:
        name: db
    stringData:
        text: "line one\nline \"two\""
        number: 5432
        share: 0.25
        switch: true
        empty: ""
        nothing: null
        list:
            - "ö: #1"
    "#);
    let before = content.lines().position(|line| line.contains("list:"));
    let after = opened("a.yaml", &content, &KEY.identities()).unwrap();
    assert_eq!(after.lines().position(|line| line.contains("list:")), before);
}

#[test]
fn dotenv_and_binary_files_are_opened() {
    let identities = KEY.identities();
    insta::assert_snapshot!(opened("a.env", &dotenv(&KEY), &identities).unwrap().trim_end(), @r"
    # about
    USER=admin
    LINES=one\ntwo
    HOST_unencrypted=db
    ");
    assert_eq!(
        opened("settings", &dotenv(&KEY), &identities),
        opened("a.env", &dotenv(&KEY), &identities)
    );
    let bytes = [0, 255, 10, 13, 34];
    let Ok(Opened::Decrypted(read)) = open("a.p12", binary(&bytes, &KEY).as_bytes(), &identities)
    else {
        panic!("not opened")
    };
    assert_eq!(*read, bytes);
}

#[test]
fn json_stays_json() {
    let mut seal = Sealer::new(false);
    let password = seal.value("data:password:", "str", "p\"\u{7f}\u{2028}ä");
    seal.clear("1.5");
    let body = format!("\"data\": {{\"password\": \"{password}\", \"a_unencrypted\": 1.50}}");
    let content = json(&body, &mut seal, &KEY);
    let text = opened("a.json", &content, &KEY.identities()).unwrap();
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(
        value.to_string(),
        "{\"data\":{\"a_unencrypted\":1.5,\"password\":\"p\\\"\u{7f}\u{2028}ä\"}}"
    );
}

#[test]
fn all_documents_of_a_file_are_opened() {
    let mut seal = Sealer::new(false);
    let (one, two) = (seal.value("a:", "str", "one"), seal.value("b:", "str", "two"));
    let metadata = seal.metadata(&[KEY], "");
    let content = format!("---\na: {one}\n{metadata}---\nb: '{two}'\n{metadata}c: null\n");
    let text = opened("a.yaml", &content, &KEY.identities()).unwrap();
    let lines: Vec<&str> = text.lines().filter(|line| !line.is_empty()).collect();
    assert_eq!(lines, ["---", "a: \"one\"", "---", "b: \"two\"", "c: null"]);
}

/// A file with one value below `a:b` that is sealed, and one that is not.
fn ruled(sealed: &str, clear: &str, only_encrypted: bool, rule: &str) -> String {
    let mut seal = Sealer::new(only_encrypted);
    let value = seal.value(&format!("{sealed}:in:"), "str", "secret");
    seal.clear("public");
    let metadata = seal.metadata(&[KEY], rule);
    format!("{sealed}:\n  in: {value}\n{clear}:\n- in: public\n{metadata}")
}

#[test]
fn every_rule_of_selection_is_known() {
    let rules = [
        ("a", "b_unencrypted", ""),
        ("a", "b_clear", "    unencrypted_suffix: _clear\n"),
        ("a_sealed", "b", "    encrypted_suffix: _sealed\n"),
        ("a", "b", "    unencrypted_regex: ^b\n"),
        ("a", "b", "    encrypted_regex: ^(a|c)$\n"),
        ("a", "b", "    encrypted_comment_regex: seal\n"),
        ("a", "b", "    unencrypted_comment_regex: leave\n"),
    ];
    for (sealed, clear, rule) in rules {
        for only_encrypted in [false, true] {
            let content = ruled(sealed, clear, only_encrypted, rule);
            let text = opened("a.yaml", &content, &KEY.identities());
            let expected = format!("{sealed}:\n  in: \"secret\"\n{clear}:\n- in: public");
            assert_eq!(text.as_deref().map(str::trim_end), Ok(expected.as_str()), "{rule}");
        }
    }
}

#[test]
fn a_change_of_what_is_readable_is_seen_unless_the_file_says_otherwise() {
    let changed = |only_encrypted| {
        let content = ruled("a", "b", only_encrypted, "    encrypted_regex: ^a$\n");
        outcome("a.yaml", content.replace("public", "pablic").as_bytes(), &KEY.identities())
    };
    assert_eq!(changed(false), Err(Problem::Mac));
    assert!(changed(true).unwrap().contains("pablic"));
}

#[test]
fn two_of_three_key_groups_are_enough_and_one_is_not() {
    let mut seal = Sealer::new(false);
    let value = seal.value("a:", "str", "secret");
    let content =
        format!("a: {value}\n{}", seal.metadata_of_groups(&[TestKey(1), TestKey(2), TestKey(3)]));
    let with = |keys: &[u8]| {
        let mut identities = Identities::default();
        for key in keys {
            identities.add(TestKey(*key).file().as_bytes()).unwrap();
        }
        opened("a.yaml", &content, &identities)
    };
    for keys in [&[1, 2][..], &[3, 1], &[2, 3], &[1, 2, 3]] {
        assert_eq!(with(keys).as_deref().map(str::trim_end), Ok("a: \"secret\""), "{keys:?}");
    }
    insta::assert_snapshot!([with(&[2]), with(&[])].map(Result::unwrap_err).join("\n"), @"
    1 of its 3 key groups can be opened, 2 have to: it is encrypted with SOPS for age15nsf9y4k28p83wth93tf7hafhvfajp45d2mge80ems45gz0c5gys3me64l, age1e6xn45wvkce7c7msc9upffw8dmxs9959q5xng369hgzcwrjc04vszex59m, age1thld6wmt63lklg5wu9wed82mkr49xa6dfz9a47wlr3hqzf9nau3qqx6458; give the keys that are missing
    it is encrypted with SOPS for age15nsf9y4k28p83wth93tf7hafhvfajp45d2mge80ems45gz0c5gys3me64l, and no age key is given: name the file with the key in `sops.age_key_files`, or with `--sops-age-key` to `render` or `diff`
    ");
}

#[test]
fn without_the_right_key_it_is_said_whose_is_needed() {
    let content = secret(&[TestKey(1), TestKey(2), TestKey(3), TestKey(4)]);
    let with = |identities: &Identities| opened("a.yaml", &content, identities).unwrap_err();
    insta::assert_snapshot!(
        [with(&Identities::default()), with(&TestKey(9).identities())].join("\n"),
        @"
    it is encrypted with SOPS for age15nsf9y4k28p83wth93tf7hafhvfajp45d2mge80ems45gz0c5gys3me64l, age1e6xn45wvkce7c7msc9upffw8dmxs9959q5xng369hgzcwrjc04vszex59m, age1thld6wmt63lklg5wu9wed82mkr49xa6dfz9a47wlr3hqzf9nau3qqx6458 and 1 more, and no age key is given: name the file with the key in `sops.age_key_files`, or with `--sops-age-key` to `render` or `diff`
    it is encrypted with SOPS for age15nsf9y4k28p83wth93tf7hafhvfajp45d2mge80ems45gz0c5gys3me64l, age1e6xn45wvkce7c7msc9upffw8dmxs9959q5xng369hgzcwrjc04vszex59m, age1thld6wmt63lklg5wu9wed82mkr49xa6dfz9a47wlr3hqzf9nau3qqx6458 and 1 more, and the keys given are those of age12ld5kdvlywh9u9rwfcj3ypt8q3ez2p353s2sc9r485xfx0gy6sss5uskuv: encrypt it to one of these too (`sops updatekeys`), or give the key
    "
    );
    assert!(
        outcome("a.yaml", content.as_bytes(), &TestKey(9).identities()).unwrap_err().needs_key()
    );
    assert!(opened("a.yaml", &content, &TestKey(3).identities()).is_ok());
}

#[test]
fn files_that_are_none_of_sops_are_left_alone() {
    let plain = [
        ("a.yaml", "apiVersion: v1\nkind: Secret\nstringData: { a: sops }\n"),
        ("a.yaml", "sops: { enabled: true }\n"),
        ("a.yaml", "sops: [\n"),
        ("README.md", "SOPS writes `ENC[AES256_GCM,data:…]` and a block `sops`.\n"),
        ("a.env", "sops_home=/etc\n# a=ENC[AES256_GCM,data:x]\n"),
    ];
    for (path, content) in plain {
        assert_eq!(
            opened(path, content, &Identities::default()).as_deref(),
            Ok("(plain)"),
            "{content}"
        );
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "one case a line, read as a table")]
fn whatever_is_wrong_is_said() {
    let mut seal = Sealer::new(false);
    let value = seal.value("a:", "str", "secret");
    let file = |metadata: &str| format!("a: {value}\n{metadata}");
    let whole = seal.metadata(&[KEY], "");
    let many = "    - recipient: a\n      enc: b\n".repeat(101);
    let complaints =
        [
            ("rest.yaml", file("")),
            ("rest.env", format!("A={value}\n")),
            ("a.ini", format!("a = {value}\n[sops]\nmac = x\n")),
            ("syntax.yaml", file(&format!("{whole}b: [\n"))),
            ("nobody.yaml", file(&seal.metadata_with("    age: []\n", ""))),
            ("many.yaml", file(&seal.metadata_with(&format!("    age:\n{many}"), ""))),
            (
                "groups.yaml",
                file(&seal.metadata_with(
                    &format!("    key_groups:\n{}", "    - age: []\n".repeat(21)),
                    "",
                )),
            ),
            ("threshold.yaml", file(&seal.metadata(&[KEY], "    shamir_threshold: 7\n"))),
            ("pattern.yaml", file(&seal.metadata(&[KEY], "    encrypted_regex: '('\n"))),
            (
                "large.yaml",
                file(&seal.metadata(&[KEY], "    encrypted_regex: '((a{1,999}){1,999}){1,999}'\n")),
            ),
            ("kind.yaml", file(&seal.metadata_with("    age: 5\n", ""))),
            (
                "ssh.yaml",
                file(&seal.metadata_with(
                    "    age:\n    - recipient: ssh-ed25519 AAAA\n      enc: x\n",
                    "",
                )),
            ),
            (
                "armor.yaml",
                file(&seal.metadata_with("    age:\n    - recipient: age1x\n      enc: x\n", "")),
            ),
            ("list.yaml", format!("- {value}\n---\n{whole}")),
            ("second.yaml", format!("b: null\n---\na: {value}\n{whole}")),
            ("alias.yaml", format!("a: &x {value}\nb: *x\n{whole}")),
            ("moved.yaml", format!("b: {value}\n{whole}")),
            ("number.yaml", format!("a: {value}\nb: 5\n{whole}")),
            ("removed.yaml", format!("b: null\n{whole}")),
            ("added.yaml", format!("a: {value}\nb_unencrypted: x\n{whole}")),
            ("line.env", "A\nsops_mac=x\n".to_owned()),
            ("deep.env", format!("sops_mac=x\nsops_{}=y\n", "a__map_".repeat(20))),
            ("twice.env", "sops_mac=x\nsops_mac=y\n".to_owned()),
            ("far.env", "sops_mac=x\nsops_age__list_999999999=y\n".to_owned()),
            ("big.yaml", file(&format!("{whole}# {}", "x".repeat(5 << 20)))),
        ];
    let said = complaints.map(|(path, content)| {
        let problem = opened(path, &content, &KEY.identities()).unwrap_err();
        assert!(!problem.contains("secret"), "{problem}");
        format!("{path}: {problem}")
    });
    insta::assert_snapshot!(said.join("\n"), @"
    rest.yaml: values in it are encrypted with SOPS, but what SOPS wrote of itself (`sops`) is not there: take the file from where it was encrypted
    rest.env: values in it are encrypted with SOPS, but what SOPS wrote of itself (`sops`) is not there: take the file from where it was encrypted
    a.ini: it is an INI file encrypted with SOPS: only YAML, JSON, dotenv and binary are opened
    syntax.yaml: it is encrypted with SOPS and cannot be read: 16:4: unclosed bracket '['
    nobody.yaml: its SOPS metadata cannot be used: it names nobody who can decrypt the file
    many.yaml: its SOPS metadata cannot be used: it has more than 100 age recipients
    groups.yaml: its SOPS metadata cannot be used: it has more than 20 key groups
    threshold.yaml: its SOPS metadata cannot be used: shamir_threshold is no number of its key groups
    pattern.yaml: its SOPS metadata cannot be used: encrypted_regex is not a pattern that can be used
    large.yaml: its SOPS metadata cannot be used: encrypted_regex is not a pattern that can be used
    kind.yaml: its SOPS metadata cannot be used: age is not a list
    ssh.yaml: it is encrypted with SOPS for ssh-ed25519 AAAA, which is no key of `age-keygen`: encrypt it to one too
    armor.yaml: the data key that SOPS encrypted for age1x cannot be used: the armor around it is damaged: the first line is not that of age
    list.yaml: its SOPS metadata cannot be used: the first document has none
    second.yaml: its SOPS metadata cannot be used: the first document has none
    alias.yaml: 2:4: the value of b cannot be decrypted: it was changed, moved to another key, or encrypted with another data key
    moved.yaml: 1:4: the value of b cannot be decrypted: it was changed, moved to another key, or encrypted with another data key
    number.yaml: 2:4: the value of b cannot be decrypted: it is not encrypted, though the rules of the file say so
    removed.yaml: the MAC of SOPS does not fit: the file was changed without `sops`; whoever owns it should look at the change, and encrypt the file anew
    added.yaml: the MAC of SOPS does not fit: the file was changed without `sops`; whoever owns it should look at the change, and encrypt the file anew
    line.env: line 1 of the dotenv file has no `=`
    deep.env: its SOPS metadata cannot be used: a key of it is damaged
    twice.env: its SOPS metadata cannot be used: a key of it stands twice
    far.env: its SOPS metadata cannot be used: a key of it is damaged
    big.yaml: it is encrypted with SOPS and has 5243900 bytes, at most 5242880 are opened
    ");
}

#[test]
fn what_depth_and_length_would_cost_is_bounded() {
    let deep = format!("a: {}ENC[AES256_GCM,\nsops: {{ mac: x }}\n", "[".repeat(100_000));
    assert!(opened("a.yaml", &deep, &KEY.identities()).is_err());
    let laughs = "a: &a [x, x, x, x, x, x, x, x, x]\n".to_owned()
        + &('b'..='h')
            .map(|c| {
                format!("{c}: &{c} [{0}]\n", format!("*{}, ", char::from(c as u8 - 1)).repeat(9))
            })
            .collect::<String>()
        + "x: ENC[AES256_GCM,\nsops: { mac: x }\n";
    assert!(opened("a.yaml", &laughs, &KEY.identities()).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_text_comes_back_as_it_was(texts in prop::collection::vec("\\PC*|[\\x01-\\x7f\u{80}-\u{a0}\u{2028}\u{feff} ]{0,12}", 1..4)) {
        let mut seal = Sealer::new(false);
        let mut body = String::new();
        for (index, text) in texts.iter().enumerate().filter(|(_, text)| !text.is_empty()) {
            body.push_str(&format!("k{index}: {}\n", seal.value(&format!("k{index}:"), "str", text)));
        }
        let content = format!("{body}{}", seal.metadata(&[KEY], ""));
        let opened = opened("a.yaml", &content, &KEY.identities()).unwrap();
        let documents = crate::format::documents(opened.as_bytes()).unwrap();
        let read: Vec<String> = documents
            .iter()
            .flat_map(|node| node.entries().iter())
            .map(|entry| entry.value.text(leeward_yaml::Dialect::Kubernetes).unwrap().to_owned())
            .collect();
        let expected: Vec<String> = texts.into_iter().filter(|text| !text.is_empty()).collect();
        prop_assert_eq!(read, expected);
    }

    #[test]
    fn no_bytes_make_it_panic(start in prop::collection::vec(any::<u8>(), 0..40), at in 0..2000_usize, path in "a\\.(yaml|env|json|txt)") {
        let mut content = secret(&[KEY]).into_bytes();
        let at = at.min(content.len());
        content.splice(at..(at + start.len()).min(content.len()), start);
        drop(open(&path, &content, &KEY.identities()));
    }
}
