//! The control socket without the CLI's process: one JSON line there, one back.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    os::unix::net::UnixStream,
    path::Path,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use leeward_wire::control::{MAX_LINE, Request, Response};

/// As long as the CLI waits.
const PATIENCE: Duration = Duration::from_secs(5);

/// Returns the daemon's answer. Blocks.
pub fn ask(socket: &Path, request: &Request) -> Result<Response> {
    let line = exchange(socket, request)?;
    serde_json::from_slice(&line).context("the daemon's answer cannot be read")
}

/// Returns the daemon's line as it came. Blocks.
pub fn exchange(socket: &Path, request: &Request) -> Result<Vec<u8>> {
    let mut stream = UnixStream::connect(socket).context("the daemon does not listen")?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut line = serde_json::to_vec(request)?;
    line.push(b'\n');
    stream.write_all(&line)?;
    let mut answer = Vec::new();
    BufReader::new(stream.take(MAX_LINE as u64 + 1))
        .read_until(b'\n', &mut answer)
        .with_context(|| format!("no answer within {PATIENCE:?}"))?;
    ensure!(answer.ends_with(b"\n"), "the daemon's answer has no end");
    Ok(answer)
}
