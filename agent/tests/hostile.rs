//! Hostile folders end in a clear error, within the memory and the processor
//! time that a small device has: the program as a process, on a leash.

#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test stops where it fails")]

use std::{
    fmt::Write as _,
    fs::{self, File},
    path::Path,
    process::{Command, Output, Stdio},
};

use tempfile::TempDir;

/// Address space of the program, in KiB; what it touches is less.
const MEMORY_KIB: u64 = 384 << 10;
/// Processor time in seconds, of a program that is not optimised.
const PROCESSOR_SECONDS: u64 = 60;

const MAP: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n";

/// Renders a folder; the limits of the shell are those of the program.
fn render(folder: &Path) -> Output {
    let limits = format!(
        "ulimit -v {MEMORY_KIB} && ulimit -t {PROCESSOR_SECONDS} && exec \"$0\" render \"$1\""
    );
    Command::new("sh")
        .args(["-c", &limits, env!("CARGO_BIN_EXE_leeward")])
        .arg(folder)
        .env_clear()
        .stdin(Stdio::null())
        .output()
        .expect("there is a shell")
}

/// What is said of a folder with this file: read as it is, by a kustomization,
/// and as its patch. The same folder is refused each time.
fn complaints(write: impl Fn(&Path)) -> String {
    let mut said = String::new();
    let roots = [
        ("plain", ""),
        ("built", "resources: [r.yaml]\n"),
        ("patch", "resources: [a.yaml]\npatches: [{path: r.yaml, target: {kind: ConfigMap}}]\n"),
    ];
    for (name, root) in roots {
        let folder = TempDir::new().unwrap();
        write(&folder.path().join("r.yaml"));
        if !root.is_empty() {
            fs::write(folder.path().join("kustomization.yaml"), root).unwrap();
            fs::write(folder.path().join("a.yaml"), MAP).unwrap();
        }
        let output = render(folder.path());
        let text = String::from_utf8(output.stderr).unwrap();
        let path = folder.path().to_str().unwrap();
        let code = output.status.code().map_or("killed".to_owned(), |code| code.to_string());
        let _ = writeln!(said, "{name}: {code}: {}", text.trim_end().replace(path, "FOLDER"));
        assert!(output.stdout.is_empty());
    }
    said
}

fn of_text(text: &str) -> String {
    complaints(|path| fs::write(path, text).unwrap())
}

#[test]
fn a_billion_laughs_are_refused() {
    let mut laughs = format!("{MAP}a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for level in 1..20 {
        let alias = format!("*a{}", level - 1);
        let _ = writeln!(laughs, "a{level}: &a{level} [{}]", [alias.as_str(); 10].join(", "));
    }
    insta::assert_snapshot!(of_text(&laughs), @"
    plain: 65: error: r.yaml:8:9: more than 200000 values with aliases expanded
    built: 65: error: FOLDER/r.yaml:9:40: more than 1000000 values with aliases expanded (in FOLDER/kustomization.yaml)
    patch: 65: error: FOLDER/r.yaml:9:40: patch r.yaml: neither a strategic merge nor a JSON patch: more than 1000000 values with aliases expanded (in FOLDER/kustomization.yaml)
    ");
}

#[test]
fn aliases_of_one_long_text_are_refused() {
    let mut laughs = format!("{MAP}a: &a {}\nb:\n", "x".repeat(1 << 20));
    laughs.push_str(&"- *a\n".repeat(10_000));
    insta::assert_snapshot!(of_text(&laughs), @"
    plain: 65: error: r.yaml:19:3: more than 16 MiB of text with aliases expanded
    built: 65: error: FOLDER/r.yaml:35:3: more than 32 MiB of text with aliases expanded (in FOLDER/kustomization.yaml)
    patch: 65: error: FOLDER/r.yaml:35:3: patch r.yaml: neither a strategic merge nor a JSON patch: more than 32 MiB of text with aliases expanded (in FOLDER/kustomization.yaml)
    ");
}

#[test]
fn a_hundred_megabytes_are_refused() {
    let said = complaints(|path| File::create(path).unwrap().set_len(100 << 20).unwrap());
    insta::assert_snapshot!(said, @"
    plain: 65: error: r.yaml: cannot be read: it is larger than 67108864 bytes
    built: 65: error: FOLDER/kustomization.yaml:1:13: FOLDER/r.yaml cannot be read: it is larger than 67108864 bytes
    patch: 65: error: FOLDER/kustomization.yaml:2:11: FOLDER/r.yaml cannot be read: it is larger than 67108864 bytes
    ");
}

#[test]
fn ten_thousand_levels_are_refused() {
    let flow = format!("{MAP}a: {}{}\n", "[".repeat(10_000), "]".repeat(10_000));
    insta::assert_snapshot!(of_text(&flow), @"
    plain: 65: error: r.yaml:4:104: nested more than 100 deep
    built: 65: error: FOLDER/r.yaml:4:104: nested more than 100 deep (in FOLDER/kustomization.yaml)
    patch: 65: error: FOLDER/r.yaml:4:104: patch r.yaml: neither a strategic merge nor a JSON patch: nested more than 100 deep (in FOLDER/kustomization.yaml)
    ");
    let block = format!("{MAP}a:\n{}x\n", "- ".repeat(10_000));
    insta::assert_snapshot!(of_text(&block), @"
    plain: 65: error: r.yaml:5:199: nested more than 100 deep
    built: 65: error: FOLDER/r.yaml:5:199: nested more than 100 deep (in FOLDER/kustomization.yaml)
    patch: 65: error: FOLDER/r.yaml:5:199: patch r.yaml: neither a strategic merge nor a JSON patch: nested more than 100 deep (in FOLDER/kustomization.yaml)
    ");
    let json = format!("{}1{}", "{\"a\":".repeat(10_000), "}".repeat(10_000));
    insta::assert_snapshot!(of_text(&json), @"
    plain: 65: error: r.yaml:1:501: nested more than 100 deep
    built: 65: error: FOLDER/r.yaml:1:501: nested more than 100 deep (in FOLDER/kustomization.yaml)
    patch: 65: error: FOLDER/r.yaml:1:501: patch r.yaml: neither a strategic merge nor a JSON patch: nested more than 100 deep (in FOLDER/kustomization.yaml)
    ");
}

#[test]
fn a_text_that_its_indentation_makes_large_is_refused() {
    let text = "a\\n".repeat(1_000_000);
    let deep = format!("{MAP}d: {}\"{text}\"{}\n", "{\"a\":".repeat(90), "}".repeat(90));
    insta::assert_snapshot!(of_text(&deep), @"
    plain: 65: error: the manifests have more than 64 MiB as YAML
    built: 65: error: the manifests have more than 64 MiB as YAML
    patch: 65: error: the manifests have more than 64 MiB as YAML
    ");
}
