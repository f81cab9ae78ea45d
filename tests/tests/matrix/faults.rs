//! The faults: how each is made for one agent alone, and how it ends.

use std::{
    fs,
    io::Write,
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result};
use leeward_tests::{
    agent::{Agent, AgentOptions},
    faultproxy::FaultProxy,
    leash::ScratchDir,
    preload,
    scenario::Scenario,
    weather::Link,
};
use rustix::io::Errno;

use super::phases::Phase;

/// What happens to the agent, or around it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    Kill,
    ApiServer,
    Link,
    DiskFull,
    Clock,
    ReadOnly,
}

impl Fault {
    pub(crate) const ALL: [Self; 6] =
        [Self::Kill, Self::ApiServer, Self::Link, Self::DiskFull, Self::Clock, Self::ReadOnly];

    pub(crate) fn slug(self) -> &'static str {
        match self {
            Self::Kill => "sigkill",
            Self::ApiServer => "api",
            Self::Link => "link",
            Self::DiskFull => "full",
            Self::Clock => "clock",
            Self::ReadOnly => "readonly",
        }
    }

    /// For people: its name, and how it is made.
    pub(crate) fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Kill => ("SIGKILL", "killed, and started again a second later"),
            Self::ApiServer => ("API server gone", "its port is closed, and what is open is reset"),
            Self::Link => {
                ("link gone", "the port of the git server is closed, and what is open is reset")
            }
            Self::DiskFull => (
                "disk full",
                "a file takes what is left of the disk of 8 MB that the store is on, and to overwrite takes room, too, as where files are written anew",
            ),
            Self::Clock => (
                "clock one year on and back",
                "the wall clock jumps forward, and back three seconds later",
            ),
            Self::ReadOnly => {
                ("store's disk read-only", "every write to the store is refused with `EROFS`")
            }
        }
    }

    /// Whether an app in this phase comes to its end although the fault lasts: without a
    /// link all that is in the store does, and without a disk whatever was decided before.
    pub(crate) fn permits(self, phase: Phase) -> bool {
        match self {
            Self::Kill | Self::Clock | Self::ApiServer => false,
            Self::Link => phase != Phase::Fetching,
            Self::DiskFull | Self::ReadOnly => {
                !matches!(phase, Phase::Fetching | Phase::Preflight | Phase::Held)
            }
        }
    }

    /// By which words `why` names it while it lasts; none for what is over in a moment.
    pub(crate) fn named_by(self) -> &'static [&'static str] {
        match self {
            Self::Kill | Self::Clock => &[],
            Self::ApiServer => &["api_server", "cannot be reached"],
            Self::Link => &["link", "cannot connect"],
            Self::DiskFull => &["store", "is full"],
            Self::ReadOnly => &["store", "cannot read or write store"],
        }
    }
}

/// Of the library: seconds by which the wall clock is ahead, and the error by which
/// every write below `$MACHINE_STORE` is refused, if that is not 0.
const MACHINE: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

static volatile int64_t *machine;

__attribute__((constructor)) static void begin(void) {
    const char *file = getenv("MACHINE");
    int fd = file ? (int)syscall(SYS_openat, AT_FDCWD, file, O_RDONLY | O_CLOEXEC) : -1;
    if (fd < 0) return;
    void *shared = mmap(0, 16, PROT_READ, MAP_SHARED, fd, 0);
    if (shared != MAP_FAILED) machine = shared;
    close(fd);
}

int clock_gettime(clockid_t clock, struct timespec *time) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = dlsym(RTLD_NEXT, "clock_gettime");
    int result = real(clock, time);
    if (machine && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
        time->tv_sec += machine[0];
    return result;
}

static int is_in_store(const char *path) {
    const char *store = getenv("MACHINE_STORE");
    return store && strncmp(path, store, strlen(store)) == 0;
}

static int is_refused(int fd) {
    char link[64], path[PATH_MAX];
    if (!machine || !machine[1]) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length <= 0) return 0;
    path[length] = 0;
    if (!is_in_store(path)) return 0;
    errno = (int)machine[1];
    return 1;
}

#define REAL(name) static __typeof__(name) *real; if (!real) real = dlsym(RTLD_NEXT, #name)

ssize_t pwrite64(int fd, const void *data, size_t size, off64_t at) {
    REAL(pwrite64);
    return is_refused(fd) ? -1 : real(fd, data, size, at);
}

ssize_t pwrite(int fd, const void *data, size_t size, off_t at) {
    REAL(pwrite);
    return is_refused(fd) ? -1 : real(fd, data, size, at);
}

ssize_t write(int fd, const void *data, size_t size) {
    REAL(write);
    return is_refused(fd) ? -1 : real(fd, data, size);
}

int ftruncate64(int fd, off64_t size) {
    REAL(ftruncate64);
    return is_refused(fd) ? -1 : real(fd, size);
}

static int open_as(const char *name, const char *path, int flags, mode_t mode) {
    int (*real)(const char *, int, ...) = dlsym(RTLD_NEXT, name);
    int writes = (flags & O_ACCMODE) != O_RDONLY || (flags & O_CREAT);
    if (writes && machine && machine[1] && is_in_store(path)) {
        errno = (int)machine[1];
        return -1;
    }
    return real(path, flags, mode);
}

int open64(const char *path, int flags, ...) {
    va_list rest;
    va_start(rest, flags);
    mode_t mode = va_arg(rest, mode_t);
    va_end(rest);
    return open_as("open64", path, flags, mode);
}
"#;

/// The small disk goes with the process that has it.
const SMALL_DISK: &str =
    "mkdir -p store && mount -t tmpfs -o size=8m none store && exec \"$0\" \"$@\"";
const YEAR_SECONDS: i64 = 365 * 24 * 3600;
/// While the agent is dead.
const DEAD: Duration = Duration::from_secs(1);

/// The library, compiled once.
#[derive(Debug)]
pub(crate) struct Library(PathBuf);

impl Library {
    pub(crate) fn build(folder: &Path) -> Result<Self> {
        preload::library(folder, "machine", MACHINE).map(Self)
    }
}

/// Whether this user may give a process a disk of its own.
pub(crate) fn can_mount() -> bool {
    Command::new("unshare")
        .args(["--mount", "mount", "-t", "tmpfs", "none", "/mnt"])
        .output()
        .is_ok_and(|output| output.status.success())
}

/// All through which one agent can be struck.
#[derive(Debug)]
pub(crate) struct Machine {
    pub(crate) fault: Fault,
    pub(crate) link: Link,
    api: FaultProxy,
    /// What the library reads.
    state: fs::File,
    _folder: ScratchDir,
}

impl Machine {
    /// Leads all ways of an agent that does not run yet through what can fail.
    pub(crate) fn prepare(
        scenario: &mut Scenario,
        fault: Fault,
        library: &Library,
    ) -> Result<Self> {
        let link = Link::lay(scenario, None)?;
        let api = leeward_tests::weather::api_through_a_proxy(scenario)?;
        let folder = ScratchDir::new("machine")?;
        let path = folder.path().join("state");
        let state = fs::File::create(&path)?;
        state.write_all_at(&[0; 16], 0)?;
        let store = scenario.agent.store_path().display().to_string();
        let (library, path) = (library.0.display().to_string(), path.display().to_string());
        if matches!(fault, Fault::DiskFull | Fault::Clock | Fault::ReadOnly) {
            scenario.agent.configure(|options| {
                let options = options.env("LD_PRELOAD", &library).env("MACHINE", &path);
                options.env("MACHINE_STORE", &store)
            })?;
        }
        if fault == Fault::DiskFull {
            let launcher = ["unshare", "--mount", "sh", "-c", SMALL_DISK];
            scenario.agent.configure(|options: AgentOptions| options.launched_by(&launcher))?;
        }
        Ok(Self { fault, link, api, state, _folder: folder })
    }

    pub(crate) async fn strike(&self, agent: &mut Agent) -> Result<()> {
        match self.fault {
            Fault::Kill => {
                agent.kill();
                tokio::time::sleep(DEAD).await;
                agent.start_again()?;
            }
            Fault::ApiServer => self.api.go_away().await,
            Fault::Link => self.link.cut().await,
            Fault::DiskFull => {
                fill(&filler(agent)?)?;
                self.refuse_writes(Errno::NOSPC)?;
            }
            Fault::Clock => self.state.write_all_at(&YEAR_SECONDS.to_ne_bytes(), 0)?,
            Fault::ReadOnly => self.refuse_writes(Errno::ROFS)?,
        }
        Ok(())
    }

    fn refuse_writes(&self, error: Errno) -> Result<()> {
        let error = i64::from(error.raw_os_error());
        Ok(self.state.write_all_at(&error.to_ne_bytes(), 8)?)
    }

    pub(crate) async fn end(&self, agent: &mut Agent) -> Result<()> {
        match self.fault {
            Fault::Kill => {}
            Fault::ApiServer => self.api.come_back().await?,
            Fault::Link => self.link.restore().await?,
            Fault::DiskFull => {
                fs::remove_file(filler(agent)?)?;
                self.state.write_all_at(&[0; 16], 0)?;
            }
            Fault::Clock | Fault::ReadOnly => self.state.write_all_at(&[0; 16], 0)?,
        }
        Ok(())
    }

    /// Ends the agent, and leaves its store where the test can read it.
    pub(crate) fn take_store(&self, agent: &mut Agent) -> Result<()> {
        if self.fault == Fault::DiskFull {
            agent.process()?.freeze()?;
            for entry in fs::read_dir(store_seen_by(agent)?)? {
                let entry = entry?;
                fs::copy(entry.path(), agent.store_path().join(entry.file_name()))?;
            }
        }
        agent.kill();
        Ok(())
    }
}

/// The store as the agent's own mounts show it.
fn store_seen_by(agent: &mut Agent) -> Result<PathBuf> {
    let pid = agent.process()?.pid().to_string();
    let store = agent.store_path();
    let below = store.strip_prefix("/").context("the store's path is relative")?;
    Ok(Path::new("/proc").join(pid).join("root").join(below))
}

fn filler(agent: &mut Agent) -> Result<PathBuf> {
    Ok(store_seen_by(agent)?.join("filler"))
}

/// Takes what is left on the disk that the file is on.
fn fill(path: &Path) -> Result<()> {
    let mut file = fs::File::create(path)?;
    for size in [64 * 1024, 4096, 1] {
        while file.write_all(&vec![1; size]).is_ok() {}
    }
    Ok(())
}
