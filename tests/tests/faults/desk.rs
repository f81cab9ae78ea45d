//! The desk answers, the log stops nobody, and the process ends, whatever else
//! hangs. None of these needs a control plane: the API server is a port that
//! nobody listens on.

use std::{
    fs::{File, OpenOptions},
    io::{Read, Write as _},
    net::UdpSocket,
    os::unix::{fs::OpenOptionsExt as _, net::UnixDatagram},
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use leeward::store::Store;
use leeward_core::report::EventKind;
use leeward_tests::{
    agent::{Agent, AgentOptions},
    leash::ScratchDir,
    scenario::SOON,
    weather::{outbox, say},
};
use tokio::net::TcpListener;

/// From SIGTERM to the end of the process, at worst.
const STOP: Duration = Duration::from_secs(3);
/// Reloads, each with a command right behind it.
const RELOADS: usize = 50;
/// Where a name server listens that never answers; ours alone, so that tests do not meet.
const MUTE_NAME_SERVER: &str = "127.77.10.1:53";
const AGAIN: Duration = Duration::from_millis(10);

const KUBECONFIG: &str = "\
apiVersion: v1
kind: Config
current-context: here
contexts: [{ name: here, context: { cluster: here, user: me } }]
clusters: [{ name: here, cluster: { server: 'http://127.0.0.1:1' } }]
users: [{ name: me, user: { token: none } }]
";

/// An agent that neither reaches a cluster nor a repository.
fn alone(folder: &ScratchDir) -> AgentOptions {
    // Nothing in these tests speaks TLS, but reqwest wants to be able to.
    rustls::crypto::ring::default_provider().install_default().ok();
    let kubeconfig = folder.join("kubeconfig");
    std::fs::write(&kubeconfig, KUBECONFIG).unwrap();
    AgentOptions::new("edge", &kubeconfig, "http://127.0.0.1:1/fleet.git")
}

/// Asks until the endpoint answers so, and starts the agent anew if it has ended.
async fn wait_for(agent: &mut Agent, url: &str, wanted: (u16, &str)) {
    let started = Instant::now();
    loop {
        let answer = match reqwest::get(url).await {
            Ok(answer) => (answer.status().as_u16(), answer.text().await.unwrap_or_default()),
            Err(error) => (0, error.to_string()),
        };
        if (answer.0, answer.1.as_str()) == wanted {
            return;
        }
        assert!(started.elapsed() < SOON, "{url}: {answer:?}\n{}", agent.log_end());
        agent.start_again().unwrap();
        tokio::time::sleep(AGAIN).await;
    }
}

#[tokio::test]
async fn sync_right_after_sighup_is_answered_every_time_and_no_reload_is_a_start() {
    let folder = ScratchDir::new("desk-hup").unwrap();
    let mut agent = Agent::start(alone(&folder)).await.unwrap();
    agent.wait_status(SOON, |_| true).await.unwrap();
    let mut worst = Duration::ZERO;
    for round in 0..RELOADS {
        agent.reload().unwrap();
        let asked = Instant::now();
        let answer = agent.cli(&["sync"]).await.unwrap();
        worst = worst.max(asked.elapsed());
        assert!(answer.status.success(), "{round}: {answer:?}\n{}", agent.log_end());
    }
    say(&format!("{RELOADS} times SIGHUP and sync; the slowest sync took {worst:?}"));
    assert_eq!(agent.status().await.unwrap().agent.boot, 1);
    assert_eq!(agent.stop(SOON).await.unwrap().code(), Some(0));
    let starts = outbox(&agent).unwrap().into_iter();
    assert_eq!(starts.filter(|one| one.event.kind == EventKind::AgentStarted).count(), 1);
}

#[tokio::test]
async fn sighup_moves_the_listener_and_the_socket_but_not_the_store() {
    let folder = ScratchDir::new("desk-move").unwrap();
    let mut agent = Agent::start(alone(&folder)).await.unwrap();
    let old = format!("{}/readyz", agent.http_url());
    wait_for(&mut agent, &old, (200, "ok\n")).await;

    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let socket = folder.join("moved.sock").display().to_string();
    agent
        .configure(|options| {
            options.set("http.listen", free.to_string()).set("control.socket", socket)
        })
        .unwrap();
    agent.reload().unwrap();
    wait_for(&mut agent, &format!("http://{free}/readyz"), (200, "ok\n")).await;
    assert!(reqwest::get(&old).await.is_err(), "the old listener is still there");
    // The commands read the new configuration, and so ask at the new socket.
    agent.wait_status(SOON, |status| status.agent.running).await.unwrap();

    let elsewhere = folder.join("elsewhere").display().to_string();
    agent.configure(|options| options.set("store.path", elsewhere)).unwrap();
    agent.reload().unwrap();
    let started = Instant::now();
    while !agent.log().unwrap().contains("stays so until the agent is restarted") {
        assert!(started.elapsed() < SOON, "{}", agent.log_end());
        tokio::time::sleep(AGAIN).await;
    }
    assert!(agent.is_running());
    assert!(!Path::new(&folder.join("elsewhere")).exists());
}

/// While another process has the store, which is not for long.
#[tokio::test]
async fn readyz_says_that_the_store_is_not_open_yet() {
    let folder = ScratchDir::new("desk-ready").unwrap();
    let mut agent = Agent::prepare(alone(&folder)).await.unwrap();
    let path = camino::Utf8PathBuf::from(agent.store_path().display().to_string());
    let taken = Store::open(&path, 1 << 26).unwrap();
    let readyz = format!("{}/readyz", agent.http_url());
    wait_for(&mut agent, &readyz, (503, "the store is not open yet\n")).await;
    let status = agent.cli(&["status"]).await.unwrap();
    let said = String::from_utf8_lossy(&status.stderr).into_owned();
    drop(taken);
    assert!(said.contains("the store is not open yet") || said.contains("in use by"), "{said}");
    wait_for(&mut agent, &readyz, (200, "ok\n")).await;
}

fn can_mount() -> bool {
    let may = Command::new("unshare").args(["--mount", "true"]).output();
    may.is_ok_and(|may| may.status.success())
}

#[tokio::test]
async fn sigterm_ends_the_process_in_three_seconds_while_a_name_server_is_mute() {
    let Ok(mute) = UdpSocket::bind(MUTE_NAME_SERVER) else {
        return say(&format!("skipped: nobody may listen on {MUTE_NAME_SERVER} here"));
    };
    let folder = ScratchDir::new("desk-mute").unwrap();
    let resolv = folder.join("resolv.conf");
    let address = MUTE_NAME_SERVER.trim_end_matches(":53");
    std::fs::write(&resolv, format!("nameserver {address}\n")).unwrap();
    let script = format!("mount --bind {} /etc/resolv.conf && exec \"$@\"", resolv.display());
    let launcher = ["unshare", "--mount", "sh", "-c", &script, "sh"];
    if !can_mount() {
        return say("skipped: no mount namespace may be made here");
    }
    let options = alone(&folder)
        .launched_by(&launcher)
        .set("source.url", "https://git.mute.example/fleet.git")
        .set("report.url", "https://reports.mute.example/v1/events");
    let mut agent = Agent::start(options).await.unwrap();
    agent.wait_status(SOON, |_| true).await.unwrap();
    // Somebody has asked it, and waits for 10 s at the least: so glibc does.
    mute.set_read_timeout(Some(SOON)).unwrap();
    mute.recv(&mut [0; 512]).unwrap();
    for _ in 0..10 {
        let asked = Instant::now();
        agent.status().await.unwrap();
        say(&format!("status with a mute name server: {:?}", asked.elapsed()));
    }
    stops_in_time(&mut agent, "a mute name server").await;
}

async fn stops_in_time(agent: &mut Agent, meanwhile: &str) {
    let stopping = Instant::now();
    let ended = agent.stop(SOON).await.unwrap();
    let took = stopping.elapsed();
    say(&format!("SIGTERM with {meanwhile}: {took:?}"));
    assert_eq!(ended.code(), Some(0), "{}", agent.log_end());
    assert!(took < STOP, "{took:?}\n{}", agent.log_end());
}

/// Has the agent log until lines are dropped; all answers come meanwhile.
async fn answers_until_lines_are_dropped(agent: &mut Agent) {
    let metrics = format!("{}/metrics", agent.http_url());
    let none = "leeward_log_lines_dropped_total 0\n";
    let started = Instant::now();
    while reqwest::get(&metrics).await.unwrap().text().await.unwrap().contains(none) {
        assert!(started.elapsed() < SOON, "no line was dropped");
        agent.reload().unwrap();
        let synced = agent.cli(&["sync"]).await.unwrap();
        assert!(synced.status.success(), "{synced:?}");
    }
    assert_eq!(agent.status().await.unwrap().agent.boot, 1);
    let healthz = reqwest::get(format!("{}/healthz", agent.http_url())).await.unwrap();
    assert_eq!(healthz.status().as_u16(), 200);
}

/// An agent whose stderr is a pipe that is full already, and the pipe.
async fn with_full_stderr(folder: &ScratchDir) -> (Agent, File) {
    let pipe = folder.join("stderr");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let script = format!("exec \"$@\" 2<>{}", pipe.display());
    let options = alone(folder).launched_by(&["sh", "-c", &script, "sh"]);
    let nonblock = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    let mut file =
        OpenOptions::new().read(true).write(true).custom_flags(nonblock).open(&pipe).unwrap();
    while file.write(&[b'\n'; 4096]).is_ok() {}
    let mut agent = Agent::start(options.set("log.level", "debug")).await.unwrap();
    agent.wait_status(SOON, |_| true).await.unwrap();
    (agent, file)
}

#[tokio::test]
async fn stderr_that_nobody_reads_stops_nothing_and_what_was_dropped_is_said() {
    let folder = ScratchDir::new("desk-stderr").unwrap();
    let (mut agent, mut pipe) = with_full_stderr(&folder).await;
    answers_until_lines_are_dropped(&mut agent).await;
    let mut log = Vec::new();
    let started = Instant::now();
    while !String::from_utf8_lossy(&log).contains("Log lines were dropped") {
        assert!(started.elapsed() < SOON, "{}", String::from_utf8_lossy(&log));
        // Only what is there: the pipe is empty again and again.
        let mut piece = vec![0; 65_536];
        match pipe.read(&mut piece) {
            Ok(length) => log.extend_from_slice(&piece[..length]),
            Err(_) => tokio::time::sleep(AGAIN).await,
        }
    }
}

#[tokio::test]
async fn sigterm_ends_the_process_in_three_seconds_while_nobody_reads_its_stderr() {
    let folder = ScratchDir::new("desk-stderr-term").unwrap();
    let (mut agent, _pipe) = with_full_stderr(&folder).await;
    stops_in_time(&mut agent, "a full stderr").await;
}

#[tokio::test]
async fn a_journal_that_is_mute_stops_nothing() {
    if !can_mount() {
        return say("skipped: no mount namespace may be made here");
    }
    let folder = ScratchDir::new("desk-journal").unwrap();
    let journal = UnixDatagram::bind(folder.join("socket")).unwrap();
    let script = format!(
        "mount -t tmpfs none /run && mkdir -p /run/systemd/journal \
         && mount --bind {} /run/systemd/journal && exec \"$@\"",
        folder.path().display()
    );
    let options = alone(&folder)
        .launched_by(&["unshare", "--mount", "sh", "-c", &script, "sh"])
        .set("log.format", "journald");
    let mut agent = Agent::start(options).await.unwrap();
    agent.wait_status(SOON, |_| true).await.unwrap();
    answers_until_lines_are_dropped(&mut agent).await;
    let mut entry = vec![0; 65_536];
    let said = loop {
        let length = journal.recv(&mut entry).unwrap();
        let text = String::from_utf8_lossy(&entry[..length]);
        if text.contains("Log lines were dropped") {
            break text.into_owned();
        }
    };
    assert!(said.contains(" lines="), "{said}");
    stops_in_time(&mut agent, "a mute journal").await;
}
