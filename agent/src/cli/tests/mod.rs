//! The whole program but for the process: arguments in, texts and exit code out.

mod daemon;
mod sops;
mod usage;
mod variables;

use std::{
    collections::BTreeMap,
    io::{BufRead as _, BufReader, Write as _},
    os::unix::net::UnixListener,
    thread,
    time::Duration,
};

use camino::Utf8PathBuf;
use jiff::Timestamp;
use leeward_core::model::StatusDocument;
use leeward_wire::control::{Request, Response};
use serde_json::{Value, json};

use super::{Surroundings, main_with};

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";
const BAD: &str = "fedcba9876543210fedcba9876543210fedcba98";

fn noon() -> Timestamp {
    "2026-03-01T12:00:00Z".parse().unwrap()
}

/// A cluster in which one app is fine and another was rolled back.
pub(super) fn document() -> StatusDocument {
    serde_json::from_value(json!({
        "cluster": "shop-0042",
        "agent": { "version": "0.1.0", "running": true, "boot": 12, "uptime_seconds": 86400 },
        "source": { "url": "https://git.example.com/fleet.git", "ref": "refs/heads/main",
            "path": "clusters/shop-0042", "commit": BAD, "content": "c1", "fetched_at": "2026-03-01T11:57:00Z" },
        "link": { "state": "up", "failed_step": null, "since": "2026-03-01T09:00:00Z", "evidence": "",
            "next_try": "2026-03-01T12:00:20Z" },
        "apps": [
            { "name": "db", "phase": "good",
              "good": { "commit": COMMIT, "content": "c1", "since": "2026-02-27T12:00:00Z" },
              "candidate": null, "bad": [], "held": null, "health": "healthy", "objects": 7,
              "message": "", "drift": { "healed": 3, "open": 0 } },
            { "name": "shop", "phase": "good",
              "good": { "commit": COMMIT, "content": "c2", "since": "2026-02-28T12:00:00Z" },
              "candidate": null,
              "bad": [{ "commit": BAD, "content": "c3", "reason": "crash loop", "at": "2026-03-01T11:59:00Z" }],
              "held": null, "health": "degraded", "objects": 200,
              "message": "Deployment.apps shop/web: crash loop", "drift": { "healed": 0, "open": 1 } },
            { "name": "web", "phase": "held", "good": null,
              "candidate": { "commit": BAD, "content": "c4" }, "bad": [],
              "held": { "reason": "prune_guard", "detail": "5 of 10 objects would go", "until": null },
              "health": "unknown", "objects": 0, "message": "", "drift": { "healed": 0, "open": 0 } },
        ],
        "outbox": { "pending": 4, "folded": 2, "dropped": 0, "last_acknowledged": "2026-03-01T11:00:00Z" },
        "store": { "bytes": 1_048_576, "max_bytes": 268_435_456 },
        "why": [
            { "blocker": "prune_guard", "app": "web", "evidence": "5 of 10 objects would go",
              "hint": "leeward approve web", "next_try": null },
            { "blocker": "link", "app": null, "evidence": "no such host \u{1b}[31mgit.example.com",
              "hint": "check DNS", "next_try": "2026-03-01T12:00:20Z" },
        ],
    }))
    .unwrap()
}

struct Said {
    code: u8,
    stdout: String,
    stderr: String,
}

impl Said {
    /// All of it, for a snapshot.
    fn all(&self) -> String {
        format!("exit {}\n--- stdout\n{}--- stderr\n{}", self.code, self.stdout, self.stderr)
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap()
    }
}

fn say_with(arguments: &[&str], environment: &[(&str, &str)]) -> Said {
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    let arguments = ["leeward"].iter().chain(arguments).map(Into::into).collect();
    let environment: BTreeMap<String, String> =
        environment.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
    let code = main_with(Surroundings {
        environment,
        tick: Duration::from_millis(1),
        ..Surroundings::new(arguments, &mut stdout, &mut stderr, noon)
    });
    Said {
        code,
        stdout: String::from_utf8(stdout).unwrap(),
        stderr: String::from_utf8(stderr).unwrap(),
    }
}

fn say(arguments: &[&str]) -> Said {
    say_with(arguments, &[])
}

/// A folder with a configuration in it, and the socket that it names.
struct Device {
    folder: tempfile::TempDir,
    socket: Utf8PathBuf,
}

impl Device {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = Utf8PathBuf::from_path_buf(folder.path().to_owned()).unwrap();
        let socket = root.join("control.sock");
        let text = format!(
            "[cluster]\nname = \"shop-0042\"\n[source]\nurl = \"https://git.example.com/fleet.git\"\npath = \"a\"\n[control]\nsocket = \"{socket}\"\n[store]\npath = \"{root}/store\"\n"
        );
        std::fs::write(root.join("agent.toml"), text).unwrap();
        Self { folder, socket }
    }

    fn say(&self, arguments: &[&str]) -> Said {
        let config = self.folder.path().join("agent.toml");
        let mut said = say_with(arguments, &[("LEEWARD_CONFIG", config.to_str().unwrap())]);
        for text in [&mut said.stdout, &mut said.stderr] {
            *text = text.replace(self.folder.path().to_str().unwrap(), "FOLDER");
        }
        said
    }

    /// Says something while a daemon gives these answers, one a connection;
    /// also returns what the daemon was asked.
    fn say_to(&self, answers: Vec<Response>, arguments: &[&str]) -> (Said, Vec<Request>) {
        let listener = UnixListener::bind(&self.socket).unwrap();
        let daemon = thread::spawn(move || {
            let answer = |response: Response| {
                let (mut stream, _) = listener.accept().unwrap();
                let mut line = String::new();
                BufReader::new(stream.try_clone().unwrap()).read_line(&mut line).unwrap();
                let mut answer = serde_json::to_vec(&response).unwrap();
                answer.push(b'\n');
                stream.write_all(&answer).unwrap();
                serde_json::from_str(&line).unwrap()
            };
            answers.into_iter().map(answer).collect()
        });
        let said = self.say(arguments);
        (said, daemon.join().unwrap())
    }
}

fn status(document: StatusDocument) -> Response {
    Response::Status { document: Box::new(document) }
}

fn done(message: &str) -> Response {
    Response::Done { message: message.to_owned() }
}
