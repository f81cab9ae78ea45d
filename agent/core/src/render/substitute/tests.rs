//! The rows of fluxcd/pkg's `envsubst` (Apache-2.0), re-told.

use proptest::prelude::*;
use serde_json::json;

use super::*;

fn variables(pairs: &[(&str, &str)]) -> Variables {
    let mut variables = Variables::default();
    for (name, value) in pairs {
        variables.set(name, value).unwrap();
    }
    variables
}

/// Rows of expression and result, with one variable `x`.
fn of(value: &str, rows: &[(&str, &str)]) {
    let variables = variables(&[("x", value), ("other", "foo")]);
    for (text, expected) in rows {
        let found = substitute_text(text, &variables);
        assert_eq!(found.as_deref(), Ok(*expected), "{text} of {value}");
    }
}

fn message(text: &str, pairs: &[(&str, &str)]) -> String {
    substitute_text(text, &variables(pairs)).unwrap_err().to_string()
}

#[test]
fn a_text_without_expressions_stays() {
    of("", &[("abcdEFGH28ij", "abcdEFGH28ij"), ("", ""), ("$x $ {x}", "$x $ {x}")]);
}

#[test]
fn a_variable_is_its_value_its_length_or_its_letters() {
    of(
        "abcdEFGH28ij",
        &[
            ("${x}", "abcdEFGH28ij"),
            ("${#x}", "12"),
            ("${x^}", "AbcdEFGH28ij"),
            ("${x^^}", "ABCDEFGH28IJ"),
            ("${x,,}", "abcdefgh28ij"),
            ("${x,^}", "abcdEFGH28ij"),
        ],
    );
    of("ABCDEFGH28IJ", &[("${x,}", "aBCDEFGH28IJ"), ("${x,,}", "abcdefgh28ij")]);
    of("", &[("${x}", ""), ("${x^}", ""), ("${x,}", ""), ("${#x}", "0")]);
    of("straße", &[("${x^^}", "STRAßE"), ("${#x}", "7")]);
}

#[test]
fn a_slice_counts_from_either_end() {
    let path = "/home/bozo/ideas/thoughts.for.today";
    of(path, &[("${x:11}", "ideas/thoughts.for.today"), ("${x:11:5}", "ideas")]);
    of(
        "123456789123456789",
        &[
            ("${x:0:8}", "12345678"),
            ("${x:1:8}", "23456789"),
            ("${x:9}", "123456789"),
            ("${x:9:50}", "123456789"),
            ("${x:18:1}", ""),
            ("${x:99}", ""),
            ("${x:a}", "123456789123456789"),
            ("${x:1:a}", "123456789123456789"),
            ("${x:1::2}", "23"),
            // A default, not three from the end.
            ("${x:-3}", "123456789123456789"),
        ],
    );
    let variables = variables(&[("x", "123456789123456789"), ("n", "-3"), ("m", "-300")]);
    assert_eq!(substitute_text("${x:${n}:2}", &variables).as_deref(), Ok("78"));
    assert_eq!(substitute_text("${x:${m}:3}", &variables).as_deref(), Ok("123"));
}

#[test]
fn a_default_stands_in_for_what_is_unset_or_empty() {
    of("abc", &[("${x=xyz}", "abc"), ("${x:=xyz}", "abc"), ("${x:-xyz}", "abc")]);
    of(
        "",
        &[
            ("${x:=d}", "d"),
            ("${y=xyz}", "xyz"),
            ("${y:=xyz}", "xyz"),
            ("${y:-xyz}", "xyz"),
            ("${y:=}", ""),
            ("something ${y=${other}}", "something foo"),
            ("a: ${y=${other}-suffix}", "a: foo-suffix"),
            ("a: ${y=prefix${other}-suffix}", "a: prefixfoo-suffix"),
            ("${y=${other^^}}", "FOO"),
            ("${y:-${z:-${other}}}", "foo"),
            ("${y:-$$}", "$$"),
        ],
    );
}

#[test]
fn as_in_flux_plus_and_question_mark_are_defaults_too() {
    of("abc", &[("${x:+d}", "abc"), ("${y:+d}", "d"), ("${y:?d}", "d")]);
}

#[test]
fn a_replacement_is_of_the_first_of_all_or_of_an_end() {
    of(
        "abcABC123ABCabc",
        &[
            ("${x/%abc/XYZ}", "abcABC123ABCXYZ"),
            ("${x/#abc/XYZ}", "XYZABC123ABCabc"),
            ("${x//abc/xyz}", "xyzABC123ABCxyz"),
            ("${x/abc/xyz}", "xyzABC123ABCabc"),
            ("${x/#ABC/XYZ}", "abcABC123ABCabc"),
            ("${x/#abc/}", "abcABC123ABCabc"),
            ("${x//abc/}", "ABC123ABC"),
        ],
    );
    of("foo/bar", &[(r"${x/\//-}", "foo-bar")]);
    of("foo/bar/baz", &[(r"${x//\//-}", "foo-bar-baz")]);
    of("foo.bar", &[("${x/./}", "foobar")]);
}

#[test]
fn a_pattern_is_trimmed_from_either_end() {
    of(
        "bash.string.txt",
        &[
            ("${x#*.}", "string.txt"),
            ("${x##*.}", "txt"),
            ("${x%.*}", "bash.string"),
            ("${x%%.*}", "bash"),
            ("${x#[a-c]}", "ash.string.txt"),
            ("${x#[^a-c]}", "bash.string.txt"),
            ("${x#????}", ".string.txt"),
            (r"${x#\b}", "ash.string.txt"),
            ("${x#[}", "bash.string.txt"),
            ("${x#*}", "ash.string.txt"),
            ("${x##*}", ""),
        ],
    );
    of("path/to/file", &[("${x#*/}", "to/file"), ("${x##*/}", "file")]);
    of("/path/to/file", &[("${x#*/}", "path/to/file"), ("${x##*/}", "file")]);
}

#[test]
fn a_doubled_dollar_means_itself() {
    of(
        "abc",
        &[
            ("$${x}", "${x}"),
            ("a ${x}$${v$${x}$x${x}", "a abc${v${x}$xabc"),
            ("something $${v=${other}}", "something ${v=foo}"),
            ("$$$${x}", "$${x}"),
            ("$$${x}", "$abc"),
            (r"\\a ${v=${other}}", r"\\a foo"),
        ],
    );
}

#[test]
fn what_nobody_sets_is_an_error_in_every_form_without_a_default() {
    let forms = "${m} ${#m} ${m^} ${m^^} ${m,} ${m,,} ${m:0} ${m:0:10} ${m/p/r} ${m//p/r} \
                 ${m/#p/r} ${m/%p/r} ${m#p} ${m##p} ${m%p} ${m%%p} ${y:-${m}}";
    for form in forms.split_whitespace() {
        let expected = "the variable m is not set and has no default";
        assert_eq!(message(form, &[]), expected, "{form}");
    }
}

#[test]
fn a_slip_of_the_pen_is_recognised() {
    assert_eq!(
        message("${cluster_nam}", &[("cluster_name", "hidden"), ("other", "hidden")]),
        "the variable cluster_nam is not set and has no default (did you mean cluster_name?)"
    );
}

#[test]
fn what_flux_cannot_read_is_refused_with_its_line() {
    let refused = [
        "${}",
        "${",
        "${x",
        "${x-d}",
        "${x+d}",
        "${x:}",
        "${x::3}",
        "${x#}",
        "${x/a}",
        "${ x}",
        "${x:1",
        "${x:-a",
        "${#}",
        "${x#a${x}}",
        "${x:é}",
        "${x^^^}",
    ];
    for text in refused {
        let message = message(&format!("a\n{text}"), &[("x", "hidden")]);
        assert!(message.contains("in line 2"), "{text}: {message}");
        assert!(!message.contains("hidden"), "{text}: {message}");
    }
    assert_eq!(
        message("${x-d}", &[]),
        "the expression `${x` in line 1 of the object cannot be read: a default is written with \
         a colon, `${name:-default}` (a `$` that means itself is `$$`)"
    );
}

#[test]
fn a_slice_that_would_break_a_character_is_refused() {
    for text in ["${x:1}", "${x:0:1}", "${x:2:-1}"] {
        let message = message(text, &[("x", "éé")]);
        assert!(message.contains("variable x"), "{text}: {message}");
    }
}

#[test]
fn limits_hold() {
    let deep = format!("{}d{}", "${y:-".repeat(NESTING_MAX + 1), "}".repeat(NESTING_MAX + 1));
    assert_eq!(substitute_text(&deep, &variables(&[])), Err(Problem::TooDeep));
    let many = "${y:-d}".repeat(EXPRESSIONS_MAX + 1);
    assert_eq!(substitute_text(&many, &variables(&[])), Err(Problem::TooManyExpressions));
    let long = "a".repeat(OUTPUT_BYTES_MAX / 2);
    let large = variables(&[("x", long.as_str())]);
    assert_eq!(substitute_text("${x}${x} ", &large), Err(Problem::TooLarge));
    assert_eq!(substitute_text("${x//a/${x}}", &large), Err(Problem::TooLarge));
    let stars = format!("${{x#{}b}}", "*a".repeat(1000));
    assert_eq!(substitute_text(&stars, &large), Err(Problem::TooMuchWork));
}

#[test]
fn a_text_that_its_indentation_makes_large_is_refused() {
    let mut object = json!("${x}\n".repeat(100_000));
    for _ in 0..90 {
        object = json!({ "a": object });
    }
    assert_eq!(substitute(&object, &variables(&[("x", "y")])), Err(Problem::TooLarge));
}

#[test]
fn names_are_those_of_shells() {
    let names = ["a", "_", "A_1", "1a", "", "a-b", "é", "a.b"];
    assert_eq!(
        names.map(|name| Variables::default().set(name, "v").is_ok()),
        [true, true, true, false, false, false, false, false]
    );
}

#[test]
fn newlines_are_removed_from_values() {
    of("a\nb\n", &[("${x}", "ab")]);
}

fn config_map(value: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "c" },
        "data": { "k": value },
    })
}

fn substituted(value: &str, pairs: &[(&str, &str)]) -> Value {
    let mut object = substitute(&config_map(value), &variables(pairs)).unwrap().unwrap();
    object["data"]["k"].take()
}

#[test]
fn quotes_are_lost_so_that_a_value_may_become_a_number_or_a_boolean() {
    assert_eq!(substituted("${x}", &[("x", "5")]), json!(5));
    assert_eq!(substituted("${x}", &[("x", "yes")]), json!(true));
    assert_eq!(substituted("${x}", &[("x", "\"5\"")]), json!("5"));
    assert_eq!(substituted("n${x}", &[("x", "5")]), json!("n5"));
    assert_eq!(substituted("${x}", &[("x", "")]), json!(null));
}

#[test]
fn what_is_not_substituted_keeps_its_type() {
    let mut object = config_map("${x}");
    object["data"]["yes"] = json!("yes");
    object["data"]["octal"] = json!("0644");
    object["data"]["lines"] = json!("a\n  b\n");
    let found = substitute(&object, &variables(&[("x", "v")])).unwrap();
    object["data"]["k"] = json!("v");
    assert_eq!(found, Some(object));
}

#[test]
fn nothing_is_done_without_variables() {
    assert_eq!(substitute(&config_map("${x"), &variables(&[])), Ok(None));
}

#[test]
fn an_object_opts_out_by_label_or_annotation() {
    for key in OPT_OUT {
        for field in ["labels", "annotations"] {
            let mut object = config_map("${x}");
            object["metadata"][field][key] = json!("disabled");
            assert_eq!(substitute(&object, &variables(&[("x", "v")])), Ok(None));
        }
    }
}

#[test]
fn what_becomes_no_yaml_is_refused_without_its_value() {
    let error = substitute(&config_map("${x}"), &variables(&[("x", "{ hidden")])).unwrap_err();
    assert!(matches!(error, Problem::NotYaml { .. }), "{error}");
    assert!(!error.to_string().contains("hidden"));
}

proptest! {
    #[test]
    fn no_text_panics_and_every_result_is_bounded(
        text in r"(\$\{?|[#%/:,^=}\-*?\[\]\\ax0-9é\n]|\$\{x){0,40}",
        value in r"[a-z0-9/.*é\n]{0,20}",
    ) {
        let variables = variables(&[("x", &value), ("a", "*")]);
        if let Ok(found) = substitute_text(&text, &variables) {
            prop_assert!(found.len() <= OUTPUT_BYTES_MAX);
        }
        drop(substitute(&config_map(&text), &variables));
    }

    #[test]
    fn a_text_without_dollars_stays(text in "[^$]{0,60}") {
        prop_assert_eq!(substitute_text(&text, &variables(&[("x", "v")])), Ok(text));
    }
}

mod secrets {
    use super::*;
    use crate::model::{VariableKind, VariableSource};

    fn with(
        object: &Value,
        version: &str,
        from: &[VariableSource],
    ) -> Result<Option<Substituted>, Problem> {
        let mut secrets = SecretValues::default();
        secrets.set("password", "hunter2", version).unwrap();
        let variables = variables(&[("site", "north"), ("password", "plain")]);
        substitute_with(object, &Values { variables: &variables, secrets: &secrets, from })
    }

    fn map(name: &str, value: &str) -> Value {
        json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": name }, "data": { "a": value } })
    }

    #[test]
    fn an_object_with_a_value_of_a_secret_is_told_from_others_by_version_only() {
        let of = |value: &str, version: &str| {
            let done = with(&map("a", value), version, &[]).unwrap().unwrap();
            (done.value["data"]["a"].as_str().unwrap().to_owned(), done.secret)
        };
        let (text, digest) = of("${password}", "1");
        assert_eq!(text, "hunter2");
        assert_eq!(of("${password}", "1").1, digest);
        assert_ne!(of("${password}", "2").1, digest);
        assert_ne!(of("${site:-${password}}", "1").1, None);
        assert_eq!(of("${site}", "1"), ("north".to_owned(), None));
    }

    #[test]
    fn the_name_of_an_object_is_never_a_value_of_a_secret() {
        let problem = with(&map("a-${password}", "b"), "1", &[]).unwrap_err();
        insta::assert_snapshot!(problem, @"the variable password is of a Secret, and metadata.name would show it");
    }

    #[test]
    fn a_variable_that_is_not_set_is_told_with_the_objects_that_it_may_come_from() {
        let (kind, namespace) = (VariableKind::Secret, "fleet".to_owned());
        let from = [VariableSource { kind, namespace, name: "keys".into(), optional: true }];
        let problem = with(&map("a", "${passwort}"), "1", &from).unwrap_err();
        insta::assert_snapshot!(problem, @"the variable passwort is not set and has no default (did you mean password?); substituteFrom looks for it in Secret fleet/keys");
        let none = Values {
            variables: &Variables::default(),
            secrets: &SecretValues::default(),
            from: &from,
        };
        assert!(substitute_with(&map("a", "${x}"), &none).is_err());
    }
}
