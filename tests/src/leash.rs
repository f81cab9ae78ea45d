//! Processes and folders that never outlive the test process.
//!
//! Dropping the value cleans up. A test process that is killed drops nothing,
//! so a small shell stands by: it reads from a pipe which processes and
//! folders there are, and when the pipe closes, however that came to be, it
//! kills the ones and removes the others.

use std::{
    fs::File,
    io::{self, Write},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, ExitStatus, Stdio},
    sync::Mutex,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tempfile::TempDir;

/// A line is `+` or `-`, then `p` (process group) or `d` (folder), then which.
const STANDBY: &str = r#"
set -f
IFS='
'
processes=; folders=
without() { kept=; for one in $1; do [ "$one" = "$2" ] || kept="$kept$IFS$one"; done; }
while read -r line; do
  what=${line#??}
  case $line in
    +p*) processes="$processes$IFS$what" ;;
    +d*) folders="$folders$IFS$what" ;;
    -p*) without "$processes" "$what"; processes=$kept ;;
    -d*) without "$folders" "$what"; folders=$kept ;;
  esac
done
for one in $processes; do kill -9 "-$one" 2>/dev/null; done
for one in $folders; do rm -rf -- "$one" 2>/dev/null || { sleep 1; rm -rf -- "$one"; }; done
"#;

/// How often a wait for the end of a process looks again.
const WAIT_INTERVAL: Duration = Duration::from_millis(5);

static STANDBY_PIPE: Mutex<Option<ChildStdin>> = Mutex::new(None);

fn tell_standby(line: &str) -> Result<()> {
    let mut pipe = STANDBY_PIPE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if pipe.is_none() {
        let mut shell = Command::new("sh")
            .args(["-c", STANDBY])
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("cannot start sh, which cleans up after a killed test")?;
        *pipe = shell.stdin.take();
    }
    if let Some(pipe) = pipe.as_mut() {
        writeln!(pipe, "{line}").context("the shell that cleans up has died")?;
    }
    Ok(())
}

/// A process in a group of its own; it and its children die with this value.
#[derive(Debug)]
pub struct Leashed {
    name: String,
    child: Child,
    ended: Option<ExitStatus>,
}

impl Leashed {
    /// Starts the command with no standard input.
    pub fn spawn(name: impl Into<String>, command: &mut Command) -> Result<Self> {
        let name = name.into();
        let child = command
            .process_group(0)
            .stdin(Stdio::null())
            .spawn()
            .with_context(|| format!("cannot start {name}"))?;
        tell_standby(&format!("+p{}", child.id()))?;
        Ok(Self { name, child, ended: None })
    }

    /// Starts the command with both of its outputs appended to the file.
    pub fn spawn_logged(
        name: impl Into<String>,
        command: &mut Command,
        log: &Path,
    ) -> Result<Self> {
        let file = File::options()
            .create(true)
            .append(true)
            .open(log)
            .with_context(|| format!("cannot open {}", log.display()))?;
        let errors = file.try_clone().context("cannot duplicate a file")?;
        Self::spawn(name, command.stdout(file).stderr(errors))
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        if self.ended.is_none()
            && let Ok(Some(status)) = self.child.try_wait()
        {
            self.ended = Some(status);
        }
        self.ended
    }

    pub fn is_running(&mut self) -> bool {
        self.ended().is_none()
    }

    /// Takes its standard output, if that was a pipe.
    pub(crate) fn take_outputs(
        &mut self,
    ) -> (Option<std::process::ChildStdout>, Option<std::process::ChildStderr>) {
        (self.child.stdout.take(), self.child.stderr.take())
    }

    /// SIGKILL to the process and all its children; returns when it is gone.
    pub fn kill(&mut self) {
        if self.ended().is_none() {
            if let Some(group) = self.rustix_pid() {
                // It may have ended by itself in the meantime.
                let _gone = kill_process_group(group, Signal::KILL);
            }
            self.ended = self.child.wait().ok();
        }
    }

    /// SIGTERM to the process alone.
    pub fn terminate(&mut self) -> Result<()> {
        self.signal(Signal::TERM)
    }

    /// SIGHUP to the process alone.
    pub fn hang_up(&mut self) -> Result<()> {
        self.signal(Signal::HUP)
    }

    /// SIGSTOP: it is there and does nothing.
    pub fn freeze(&mut self) -> Result<()> {
        self.signal(Signal::STOP)
    }

    /// SIGCONT, after a freeze.
    pub fn thaw(&mut self) -> Result<()> {
        self.signal(Signal::CONT)
    }

    fn signal(&mut self, signal: Signal) -> Result<()> {
        if let Some(status) = self.ended() {
            bail!("{} has ended: {status}", self.name);
        }
        let pid = self.rustix_pid().context("a process has an id above 0")?;
        kill_process(pid, signal).with_context(|| format!("cannot signal {}", self.name))
    }

    /// Waits for its end.
    pub async fn wait(&mut self, timeout: Duration) -> Result<ExitStatus> {
        let deadline = Instant::now() + timeout;
        loop {
            if let Some(status) = self.ended() {
                return Ok(status);
            }
            if Instant::now() > deadline {
                bail!("{} runs on after {timeout:?}", self.name);
            }
            tokio::time::sleep(WAIT_INTERVAL).await;
        }
    }

    fn rustix_pid(&self) -> Option<Pid> {
        i32::try_from(self.child.id()).ok().and_then(Pid::from_raw)
    }
}

impl Drop for Leashed {
    fn drop(&mut self) {
        self.kill();
        // A shell that has died cannot be told, and has nothing to forget.
        let _untold = tell_standby(&format!("-p{}", self.child.id()));
    }
}

/// A folder of our own under the system's temporary one.
///
/// `LEEWARD_TEST_KEEP=1` keeps it, for a look at what a failed test left.
#[derive(Debug)]
pub struct ScratchDir {
    folder: Option<TempDir>,
    path: PathBuf,
}

impl ScratchDir {
    pub fn new(purpose: &str) -> Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix(&format!("leeward-{purpose}-"))
            .tempdir()
            .context("cannot make a temporary folder")?;
        let path = folder.path().to_owned();
        if std::env::var_os("LEEWARD_TEST_KEEP").is_some() {
            crate::progress::write_stderr(&format!("kept: {}\n", path.display()));
            return Ok(Self { path: folder.keep(), folder: None });
        }
        tell_standby(&format!("+d{}", path.display()))?;
        Ok(Self { folder: Some(folder), path })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn join(&self, name: impl AsRef<Path>) -> PathBuf {
        self.path.join(name)
    }
}

impl Drop for ScratchDir {
    fn drop(&mut self) {
        if let Some(folder) = self.folder.take() {
            // What cannot be removed now is tried once more when this process ends.
            if folder.close().is_ok() {
                let _untold = tell_standby(&format!("-d{}", self.path.display()));
            }
        }
    }
}

/// The last lines of a log, for the message of an error.
pub fn tail(log: &Path, lines: usize) -> String {
    let text = match std::fs::read(log) {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return String::from("(no log)"),
        Err(error) => return format!("(log unreadable: {error})"),
    };
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}
