//! What a process costs, as the kernel accounts it in /proc.

use std::{fs, time::Duration};

use anyhow::{Context, Result};

/// Clock ticks a second in /proc/PID/stat; the same on every Linux that we run on.
const TICKS_A_SECOND: u64 = 100;

/// Since the process began, except for what it holds now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Footprint {
    /// Resident memory now, in bytes.
    pub resident: u64,
    /// The most that was ever resident, in bytes.
    pub peak_resident: u64,
    pub cpu: Duration,
    /// Bytes given to the page cache to write to a disk.
    pub disk_written: u64,
    /// Bytes passed to any write call: files, sockets and pipes.
    pub written: u64,
    /// Bytes fetched from a disk.
    pub disk_read: u64,
    pub threads: u64,
}

impl Footprint {
    pub fn of(pid: u32) -> Result<Self> {
        let read = |name: &str| {
            let path = format!("/proc/{pid}/{name}");
            fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))
        };
        let (status, stat, io) = (read("status")?, read("stat")?, read("io")?);
        parse(&status, &stat, &io).with_context(|| format!("cannot make sense of /proc/{pid}"))
    }
}

fn parse(status: &str, stat: &str, io: &str) -> Option<Footprint> {
    // The name in brackets may hold anything; user and system time are the
    // 12th and 13th fields after it.
    let after_name = stat.rsplit_once(')')?.1;
    let mut times = after_name.split_whitespace().skip(11);
    let ticks =
        times.next()?.parse::<u64>().ok()?.checked_add(times.next()?.parse::<u64>().ok()?)?;
    Some(Footprint {
        resident: number(status, "VmRSS")? * 1024,
        peak_resident: number(status, "VmHWM")? * 1024,
        cpu: Duration::from_millis(ticks * 1000 / TICKS_A_SECOND),
        disk_written: number(io, "write_bytes")?,
        written: number(io, "wchar")?,
        disk_read: number(io, "read_bytes")?,
        threads: number(status, "Threads")?,
    })
}

fn number(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_with_brackets_does_not_shift_the_times() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194560 9 0 0 0 150 25 0 0 20 0 3 0";
        let status = "VmHWM:\t  30 kB\nVmRSS:\t  20 kB\nThreads:\t3\n";
        let io = "rchar: 1\nwchar: 2\nread_bytes: 3\nwrite_bytes: 4\n";
        let footprint = parse(status, stat, io).unwrap();
        assert_eq!((footprint.cpu, footprint.resident), (Duration::from_millis(1750), 20480));
    }

    #[test]
    fn own_process_has_a_footprint() {
        assert!(Footprint::of(std::process::id()).unwrap().resident > 0);
    }
}
