//! A virtual board (packaging/vm) with an agent on it that follows a
//! repository and a control plane of this machine. Its kernel tells what the
//! agent alone takes, with no emulator in the figure.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, Result, bail};
use leeward_tests::{agent::Footprint, leash::ScratchDir};
use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader, Lines},
    process::{Child, ChildStdout, Command},
    time::timeout,
};

/// Where the emulator's network leads to loopback of this machine.
const HOST: &str = "10.0.2.2";
/// Clock ticks a second in /proc, as on every Linux.
const TICKS_A_SECOND: u64 = 100;
/// Of the board's disk, in bytes: the store's budget is 256 MiB, and it takes one or two.
const DISK_BYTES: u64 = 256 << 20;
/// From power-on to all good: nothing here is fast.
const GOOD: Duration = Duration::from_secs(900);
/// The board says what the agent takes every ten seconds.
const SILENCE: Duration = Duration::from_secs(120);
/// Lines of the console that an error repeats.
const CONSOLE_LINES: usize = 30;

/// What an agent on a board is to follow.
pub(super) struct Task<'a> {
    pub(super) cluster: &'a str,
    /// Of the git server, on loopback of this machine.
    pub(super) port: u16,
    pub(super) path: &'a str,
    pub(super) kubeconfig: &'a Path,
    pub(super) commit: &'a str,
}

/// Dropping it pulls the plug.
pub(super) struct Board {
    _emulator: Child,
    lines: Lines<BufReader<ChildStdout>>,
    heard: Vec<String>,
    _folder: ScratchDir,
}

impl Board {
    pub(super) async fn start(architecture: &str, binary: &Path, task: &Task<'_>) -> Result<Self> {
        let folder = ScratchDir::new("board")?;
        let (script, initrd, disk) =
            (folder.join("script"), folder.join("initrd"), folder.join("disk.img"));
        fs::write(&script, script_of(task)?).context("cannot write the board's script")?;
        let mut make = Command::new(machine());
        make.args(["initrd", architecture]).args([binary, &script, &initrd]);
        done(&mut make, "vm.sh initrd").await?;
        fs::File::create(&disk)
            .and_then(|file| file.set_len(DISK_BYTES))
            .context("cannot make the board's disk")?;
        done(Command::new("mke2fs").args(["-q", "-t", "ext4"]).arg(&disk), "mke2fs").await?;
        let drive = format!("file={},if=none,id=disk,format=raw", disk.display());
        let mut emulator = Command::new(machine())
            .args(["boot", architecture])
            .arg(&initrd)
            .args(["-drive", &drive, "-device", "virtio-blk-pci,drive=disk,romfile="])
            .args(["-netdev", "user,id=net", "-device", "virtio-net-pci,netdev=net,romfile="])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("cannot start the board")?;
        let console = emulator.stdout.take().context("the board has no console")?;
        let lines = BufReader::new(console).lines();
        Ok(Self { _emulator: emulator, lines, heard: Vec::new(), _folder: folder })
    }

    /// Waits until all is good.
    pub(super) async fn good(&mut self) -> Result<()> {
        let good = timeout(GOOD, async {
            while self.hear().await? != "GOOD" {}
            anyhow::Ok(())
        });
        match good.await {
            Ok(heard) => heard,
            Err(_) => bail!("not good after {GOOD:?}\n{}", self.console()),
        }
    }

    /// What the agent takes, from the next line that tells it.
    pub(super) async fn footprint(&mut self) -> Result<Footprint> {
        loop {
            if let Some(told) = self.hear().await?.strip_prefix("TAKES ") {
                return parse(told).with_context(|| format!("the board says `{told}`"));
            }
        }
    }

    /// Listens for so long, and returns the newest footprint.
    pub(super) async fn footprint_after(&mut self, rest: Duration) -> Result<Footprint> {
        let until = tokio::time::Instant::now() + rest;
        loop {
            let footprint = self.footprint().await?;
            if tokio::time::Instant::now() >= until {
                return Ok(footprint);
            }
        }
    }

    async fn hear(&mut self) -> Result<String> {
        let line = match timeout(SILENCE, self.lines.next_line()).await {
            Ok(line) => line.context("cannot read the board's console")?,
            Err(_) => bail!("the board said nothing for {SILENCE:?}\n{}", self.console()),
        };
        let Some(line) = line else { bail!("the board went off\n{}", self.console()) };
        let line = line.trim().to_owned();
        self.heard.push(line.clone());
        if line.starts_with("FAULT") {
            bail!("{}", self.console());
        }
        Ok(line)
    }

    fn console(&self) -> String {
        self.heard[self.heard.len().saturating_sub(CONSOLE_LINES)..].join("\n")
    }
}

fn machine() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging/vm/vm.sh")
}

async fn done(command: &mut Command, name: &str) -> Result<()> {
    let output = command.stdin(Stdio::null()).output().await;
    let output = output.with_context(|| format!("cannot run {name}"))?;
    if !output.status.success() {
        bail!("{name}: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}

/// `VmRSS`, `VmHWM` in kB, user and system time in ticks, threads.
fn parse(told: &str) -> Option<Footprint> {
    let numbers: Option<Vec<u64>> =
        told.split_whitespace().map(|number| number.parse().ok()).collect();
    let [resident, peak, user, system, threads] = numbers?.try_into().ok()?;
    Some(Footprint {
        resident: resident * 1024,
        peak_resident: peak * 1024,
        cpu: Duration::from_millis((user + system) * 1000 / TICKS_A_SECOND),
        threads,
        ..Footprint::default()
    })
}

/// The kubeconfig, with this machine where the board sees it. The certificate goes on
/// being that of loopback.
fn kubeconfig(file: &Path) -> Result<Value> {
    let text = fs::read_to_string(file).context("cannot read the kubeconfig")?;
    let mut config: Value = serde_json::from_str(&text).context("the kubeconfig is no JSON")?;
    let cluster = &mut config["clusters"][0]["cluster"];
    let server = cluster["server"].as_str().context("the kubeconfig names no server")?;
    cluster["server"] = Value::from(server.replace("127.0.0.1", HOST));
    cluster["tls-server-name"] = Value::from("127.0.0.1");
    Ok(config)
}

fn script_of(task: &Task<'_>) -> Result<String> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).context("it is before 1970")?;
    let Task { cluster, port, path, commit, .. } = task;
    let kubeconfig = kubeconfig(task.kubeconfig)?;
    Ok(format!(
        r#"date -s @{now} > /dev/null
mkdir -p /run/leeward
export LEEWARD_CONFIG=/tmp/agent.toml
cat > /tmp/agent.toml <<'END'
[cluster]
name = "{cluster}"
kubeconfig = "/tmp/kubeconfig"
[source]
url = "http://{HOST}:{port}/fleet.git"
allow_http = true
path = "{path}"
[apply]
timeout = "10m"
[store]
path = "/mnt/store"
END
cat > /tmp/kubeconfig <<'END'
{kubeconfig}
END
leeward run > /tmp/log 2>&1 &
agent=$!
until leeward status --output json 2> /dev/null | tr -d ' \n' | grep -q '"good":{{"commit":"{commit}"'; do
  kill -0 $agent || break
  sleep 2
done
echo GOOD
while kill -0 $agent; do
  set -- $(grep -E '^(VmRSS|VmHWM|Threads):' /proc/$agent/status | tr -dc '0-9\n')
  peak=$1 resident=$2 threads=$3
  set -- $(sed 's/.*) //' /proc/$agent/stat)
  echo "TAKES $resident $peak ${{12}} ${{13}} $threads"
  sleep 10
done
echo "FAULT the agent ended: $(tail -n 3 /tmp/log | tr '\n' ' ')"
"#,
        now = now.as_secs(),
    ))
}
