//! Nothing outlives a test, however it ends.

use std::{
    env, fs,
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use leeward_tests::leash::{Leashed, ScratchDir};

/// Set for the copy of this test that is killed: where it says what it started.
const NOTES: &str = "LEEWARD_TEST_LEASH_NOTES";

fn is_alive(pid: &str) -> bool {
    // A killed child of a dead parent may stay a zombie where nobody reaps.
    fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| !stat.rsplit(')').next().unwrap_or_default().starts_with(" Z"))
}

fn becomes_true(what: impl Fn() -> bool) -> bool {
    let deadline = Instant::now() + Duration::from_secs(10);
    while Instant::now() < deadline {
        if what() {
            return true;
        }
        std::thread::yield_now();
    }
    false
}

#[test]
fn killed_test_leaves_no_process_and_no_folder() {
    if let Some(notes) = env::var_os(NOTES) {
        let scratch = ScratchDir::new("leash").unwrap();
        let sleeper = Leashed::spawn("sleep", Command::new("sleep").arg("600")).unwrap();
        let text = format!("{}\n{}\n.", sleeper.pid(), scratch.path().display());
        fs::write(notes, text).unwrap();
        std::thread::park();
    }
    let scratch = ScratchDir::new("leash").unwrap();
    let notes = scratch.join("notes");
    let mut copy = Command::new(env::current_exe().unwrap())
        .args(["--exact", "killed_test_leaves_no_process_and_no_folder"])
        .env(NOTES, &notes)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    assert!(becomes_true(|| fs::read_to_string(&notes).is_ok_and(|text| text.ends_with('.'))));
    copy.kill().unwrap();
    copy.wait().unwrap();
    let text = fs::read_to_string(&notes).unwrap();
    let mut lines = text.lines();
    let (pid, folder) = (lines.next().unwrap(), Path::new(lines.next().unwrap()));
    assert!(becomes_true(|| !is_alive(pid) && !folder.exists()));
}

#[test]
fn dropped_process_is_gone_with_its_children() {
    let mut command = Command::new("sh");
    command.args(["-c", "sleep 600 & echo $! > \"$0\"; wait"]);
    let scratch = ScratchDir::new("leash").unwrap();
    let notes = scratch.join("child");
    let process = Leashed::spawn("sh", command.arg(&notes)).unwrap();
    assert!(becomes_true(|| fs::read_to_string(&notes).is_ok_and(|text| text.ends_with('\n'))));
    let child = fs::read_to_string(&notes).unwrap();
    drop(process);
    assert!(becomes_true(|| !is_alive(child.trim())));
}
