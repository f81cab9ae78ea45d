//! The binaries of a release, and how this machine runs each of them.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    str::FromStr,
    time::Duration,
};

use anyhow::{Context, Result, bail};
use leeward_tests::{agent::Footprint, cache, leash::Leashed};

/// From the start of a program that only sleeps until it does so.
const ASLEEP: Duration = Duration::from_secs(2);

/// `TARGET=FILE`.
#[derive(Clone, Debug)]
pub(crate) struct Released {
    pub(super) target: Target,
    pub(super) file: PathBuf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Target {
    Aarch64,
    Armv7,
    X86_64,
}

impl Target {
    pub(super) fn triple(self) -> &'static str {
        match self {
            Self::Aarch64 => "aarch64-unknown-linux-musl",
            Self::Armv7 => "armv7-unknown-linux-musleabihf",
            Self::X86_64 => "x86_64-unknown-linux-musl",
        }
    }

    /// Fit for the name of a cluster.
    pub(super) fn short(self) -> &'static str {
        match self {
            Self::Aarch64 => "aarch64",
            Self::Armv7 => "armv7",
            Self::X86_64 => "x86-64",
        }
    }

    /// The emulator of its programs; none for this machine's own.
    pub(super) fn emulator(self) -> Option<&'static str> {
        match self {
            Self::Aarch64 => Some("qemu-aarch64-static"),
            Self::Armv7 => Some("qemu-arm-static"),
            Self::X86_64 => None,
        }
    }

    /// What packaging/vm calls a board with such a processor.
    pub(super) fn board(self) -> Option<&'static str> {
        match self {
            Self::Aarch64 => Some("arm64"),
            Self::Armv7 => Some("armhf"),
            Self::X86_64 => None,
        }
    }
}

impl FromStr for Released {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let (triple, file) = text.split_once('=').context("must be TARGET=FILE")?;
        let all = [Target::Aarch64, Target::Armv7, Target::X86_64];
        let target = all.into_iter().find(|target| target.triple() == triple);
        let Some(target) = target else {
            bail!("{triple} is none of {:?}", all.map(Target::triple))
        };
        let file = fs::canonicalize(file).with_context(|| format!("there is no {file}"))?;
        Ok(Self { target, file })
    }
}

impl Released {
    pub(super) fn bytes(&self) -> Result<u64> {
        let file = self.file.display();
        Ok(fs::metadata(&self.file).with_context(|| format!("cannot look at {file}"))?.len())
    }

    /// A program that becomes this one, by the emulator where it needs one.
    pub(super) fn program(&self, folder: &Path) -> Result<PathBuf> {
        let Some(emulator) = self.target.emulator() else { return Ok(self.file.clone()) };
        let script = folder.join(format!("leeward-{}", self.target.short()));
        let text = format!("#!/bin/sh\nexec {emulator} '{}' \"$@\"\n", self.file.display());
        fs::write(&script, text).context("cannot write a script")?;
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755))
            .context("cannot make a script executable")?;
        Ok(script)
    }
}

/// What the emulator alone holds in memory, in bytes, while it runs a program that does nothing.
pub(super) async fn emulator_resident(target: Target) -> Result<Option<u64>> {
    let (Some(emulator), Some(board)) = (target.emulator(), target.board()) else {
        return Ok(None);
    };
    let shell = cache::folder()?.join("vm").join(board).join("bin/busybox");
    if !shell.exists() {
        bail!("no {}: packaging/vm/vm.sh setup {board} makes it", shell.display());
    }
    let mut command = Command::new(emulator);
    command.arg(&shell).args(["sleep", "60"]).stdin(Stdio::null());
    let sleeper = Leashed::spawn(emulator, &mut command)?;
    tokio::time::sleep(ASLEEP).await;
    Ok(Some(Footprint::of(sleeper.pid())?.resident))
}
