//! The real program as a process: exit codes, streams, pipes.

use std::{
    io::Read as _,
    process::{Command, Output, Stdio},
};

fn leeward() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_leeward"));
    command.env_clear().stdin(Stdio::null());
    command
}

fn run(arguments: &[&str]) -> Output {
    leeward().args(arguments).output().expect("the program was built for this test")
}

#[test]
fn version_is_printed_on_stdout() {
    let output = run(&["version"]);
    assert_eq!(output.status.code(), Some(0));
    assert!(String::from_utf8_lossy(&output.stdout).starts_with("leeward 0."));
    assert!(output.stderr.is_empty());
}

#[test]
fn wrong_usage_exits_with_64() {
    let codes = [run(&[]), run(&["dance"]), run(&["pause"])].map(|output| output.status.code());
    assert_eq!(codes, [Some(64); 3]);
}

#[test]
fn a_bad_configuration_exits_with_78_and_names_the_key() {
    let output = leeward()
        .args(["run", "--set", "source.urll=https://git.example.com/a.git"])
        .env("LEEWARD_CLUSTER__NAME", "a")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(78));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(stderr.contains("unknown key `source.urll`; did you mean `source.url`?"), "{stderr}");
}

#[test]
fn a_configuration_that_is_not_there_exits_with_66() {
    assert_eq!(run(&["status", "--config", "/no/such.toml"]).status.code(), Some(66));
}

#[test]
fn a_closed_pipe_is_quiet() {
    let mut child = leeward()
        .args(["completions", "zsh"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let mut stderr = String::new();
    child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
    assert_eq!((child.wait().unwrap().code(), stderr.as_str()), (Some(0), ""));
}
