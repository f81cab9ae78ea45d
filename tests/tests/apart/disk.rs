//! Trouble that the disk makes, and whoever should read the log.

use leeward_tests::{
    preload,
    scenario::{
        apart::Apart,
        objects::{config_map, text},
    },
};

use super::heals_while;

/// From SIGTERM to the end of the process, at worst.
const STOP: std::time::Duration = std::time::Duration::from_secs(3);

/// Every `fsync` takes four seconds, as on a worn SD card, once the file exists
/// that `$SLOW_DISK` names.
const SLOW_DISK: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <unistd.h>

static void wait_a_while(void) {
    const char *file = getenv("SLOW_DISK");
    if (file && access(file, F_OK) == 0) sleep(4);
}

int fsync(int fd) {
    int (*real)(int) = dlsym(RTLD_NEXT, "fsync");
    wait_a_while();
    return real(fd);
}

int fdatasync(int fd) {
    int (*real)(int) = dlsym(RTLD_NEXT, "fdatasync");
    wait_a_while();
    return real(fd);
}
"#;

#[tokio::test]
async fn edits_are_healed_and_status_is_answered_while_every_fsync_takes_four_seconds() {
    let name = "apart-disk";
    let folder = leeward_tests::leash::ScratchDir::new(name).unwrap();
    let library = preload::library(folder.path(), "slowdisk", SLOW_DISK).unwrap();
    let slow = folder.path().join("slow");
    let (preload, file) = (library.display().to_string(), slow.display().to_string());
    let options = |options: leeward_tests::agent::AgentOptions| {
        options.env("LD_PRELOAD", &preload).env("SLOW_DISK", &file)
    };
    let objects = [config_map(name, "first", "1")];
    let prepared = Apart::prepare(name, &objects, options).await.unwrap();
    let Some(mut apart) = prepared else { return };
    apart.start().await.unwrap();
    std::fs::write(&slow, "").unwrap();
    // A commit of the other app keeps the disk busy for a while.
    let commit = apart.change(&[config_map(name, "first", "2")]).unwrap();
    let started = std::time::Instant::now();
    heals_while(&apart, |_| true).await;
    let taken = started.elapsed();
    let live = apart.scenario.live(apart.map(0)).await.unwrap().unwrap();
    assert_eq!(text(&live, "/data/key"), "1");
    // Each of five heals writes once at least: in line with the disk they would take 20 s.
    assert!(taken < std::time::Duration::from_secs(20), "{taken:?}");
    drop(std::fs::remove_file(&slow));
    apart.scenario.good_at(&commit).await.unwrap();
    let healed = |status: &leeward_core::model::StatusDocument| {
        status.apps.iter().any(|app| app.name == apart.calm && app.drift.healed >= 5)
    };
    assert!(healed(&apart.scenario.agent.status().await.unwrap()));

    // A write is under way when it is told to end.
    std::fs::write(&slow, "").unwrap();
    heals_while(&apart, |_| true).await;
    apart.scenario.agent.stop(STOP).await.unwrap();
}

#[tokio::test]
async fn edits_are_healed_while_nobody_reads_the_log() {
    let name = "apart-log";
    let folder = leeward_tests::leash::ScratchDir::new(name).unwrap();
    let pipe = folder.path().join("log");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status().unwrap();
    assert!(made.success());
    let pipe = pipe.display().to_string();
    let options = |options: leeward_tests::agent::AgentOptions| {
        // Both ends are open and nobody reads, so that the pipe fills up.
        options.launched_by(&["sh", "-c", "exec \"$@\" 2<>\"$0\"", &pipe]).set("log.level", "trace")
    };
    let objects = [config_map(name, "first", "1")];
    let prepared = Apart::prepare(name, &objects, options).await.unwrap();
    let Some(mut apart) = prepared else { return };
    apart.start().await.unwrap();
    let none = "leeward_log_lines_dropped_total 0\n";
    let url = format!("{}/metrics", apart.scenario.agent.http_url());
    while reqwest::get(&url).await.unwrap().text().await.unwrap().contains(none) {
        heals_while(&apart, |_| true).await;
    }
    heals_while(&apart, |_| true).await;
    apart.scenario.agent.stop(STOP).await.unwrap();
}
