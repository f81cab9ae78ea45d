//! Asks the daemon over its Unix socket: one line there, one line back.

use std::{io, time::Duration};

use camino::{Utf8Path, Utf8PathBuf};
use leeward_wire::control::{MAX_LINE, Request, Response};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::UnixStream,
    time::timeout,
};

use super::{
    exit::{Exit, Failure},
    human,
};
use crate::config::Config;

/// For an answer out of the daemon's memory.
const PATIENCE: Duration = Duration::from_secs(5);
/// For a diff, which asks the API server about every object.
const PATIENCE_FOR_DIFF: Duration = Duration::from_mins(1);

/// Why the daemon did not answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum AskError {
    #[error("the daemon does not run: nobody listens on {socket}")]
    NotRunning { socket: Utf8PathBuf },
    #[error("no permission to speak with the daemon through {socket}")]
    NoPermission { socket: Utf8PathBuf },
    #[error("the daemon does not answer within {}", human::precise(*.after))]
    Silent { after: Duration },
    #[error("the connection to the daemon through {socket} broke: {source}")]
    Broken { socket: Utf8PathBuf, source: io::Error },
    #[error("the daemon's answer cannot be read: {reason}")]
    Garbled { reason: String },
}

impl From<AskError> for Failure {
    fn from(error: AskError) -> Self {
        let message = error.to_string();
        match error {
            AskError::NotRunning { .. } => Self::new(Exit::Unavailable, message)
                .with_hint("start it with `systemctl start leeward` or `leeward run`"),
            AskError::NoPermission { .. } => Self::new(Exit::NoPermission, message)
                .with_hint("run it as root or as a member of the socket's group"),
            AskError::Silent { .. } => Self::new(Exit::Unavailable, message)
                .with_hint("look at its log: `journalctl -u leeward -n 50`"),
            AskError::Broken { .. } => Self::new(Exit::InputOutput, message),
            AskError::Garbled { .. } => Self::new(Exit::InputOutput, message)
                .with_hint("the daemon may be of another version: restart it"),
        }
    }
}

/// Asks, and takes a refusal for a failure.
pub(super) fn ask(config: &Config, request: &Request) -> Result<Response, Failure> {
    accepted(try_ask(&config.control.socket, request)?)
}

/// A refusal is a failure with the daemon's own words.
pub(super) fn accepted(response: Response) -> Result<Response, Failure> {
    match response {
        Response::Refused { message, hint } => {
            Err(Failure { exit: Exit::Unavailable, messages: vec![message], hint })
        }
        response => Ok(response),
    }
}

/// The daemon answered, but not to what it was asked.
pub(super) fn unexpected() -> Failure {
    AskError::Garbled { reason: "it answers another question".to_owned() }.into()
}

pub(super) fn try_ask(socket: &Utf8Path, request: &Request) -> Result<Response, AskError> {
    let patience = match request {
        Request::Diff { .. } => PATIENCE_FOR_DIFF,
        _ => PATIENCE,
    };
    try_ask_within(socket, request, patience)
}

fn try_ask_within(
    socket: &Utf8Path,
    request: &Request,
    patience: Duration,
) -> Result<Response, AskError> {
    let broken = |source| AskError::Broken { socket: socket.to_owned(), source };
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(broken)?;
    let asked = runtime.block_on(async { timeout(patience, exchange(socket, request)).await });
    let line = match asked {
        Ok(line) => line?,
        Err(_elapsed) => return Err(AskError::Silent { after: patience }),
    };
    serde_json::from_slice(&line).map_err(|error| AskError::Garbled { reason: error.to_string() })
}

async fn exchange(socket: &Utf8Path, request: &Request) -> Result<Vec<u8>, AskError> {
    let broken = |source| AskError::Broken { socket: socket.to_owned(), source };
    let mut stream = UnixStream::connect(socket).await.map_err(|source| match source.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
            AskError::NotRunning { socket: socket.to_owned() }
        }
        io::ErrorKind::PermissionDenied => AskError::NoPermission { socket: socket.to_owned() },
        _ => broken(source),
    })?;
    let mut line = serde_json::to_vec(request).map_err(|error| broken(error.into()))?;
    line.push(b'\n');
    stream.write_all(&line).await.map_err(broken)?;
    let mut answer = Vec::new();
    BufReader::new(stream.take(MAX_LINE as u64 + 1))
        .read_until(b'\n', &mut answer)
        .await
        .map_err(broken)?;
    match answer.last() {
        Some(b'\n') => Ok(answer),
        None => Err(AskError::Garbled { reason: "it is empty".to_owned() }),
        Some(_) if answer.len() > MAX_LINE => {
            Err(AskError::Garbled { reason: format!("it is longer than {MAX_LINE} bytes") })
        }
        Some(_) => Err(AskError::Garbled { reason: "it ends in the middle".to_owned() }),
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::{BufRead as _, BufReader, Write as _},
        os::unix::net::UnixListener,
        thread,
    };

    use super::*;

    /// What a daemon that says `answer` to one request is understood as.
    fn asked_of(answer: &'static [u8]) -> (Result<Response, AskError>, String) {
        let folder = tempfile::tempdir().unwrap();
        let socket = Utf8PathBuf::from_path_buf(folder.path().join("s")).unwrap();
        let listener = UnixListener::bind(&socket).unwrap();
        let daemon = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut line = String::new();
            BufReader::new(stream.try_clone().unwrap()).read_line(&mut line).unwrap();
            // The asker may have gone already.
            let _ignored = stream.write_all(answer);
            line
        });
        let response = try_ask_within(&socket, &Request::Sync, PATIENCE);
        (response, daemon.join().unwrap())
    }

    #[test]
    fn one_line_goes_there_and_one_comes_back() {
        let (response, request) = asked_of(b"{\"response\":\"done\",\"message\":\"polling\"}\n");
        assert_eq!(response.unwrap(), Response::Done { message: "polling".to_owned() });
        assert_eq!(request, "{\"request\":\"sync\"}\n");
    }

    #[test]
    fn an_answer_that_is_cut_is_not_believed() {
        let (response, _) = asked_of(b"{\"response\":\"done\",");
        assert!(matches!(response, Err(AskError::Garbled { .. })));
    }

    #[test]
    fn an_answer_of_another_version_is_named_as_such() {
        let (response, _) = asked_of(b"{\"response\":\"haiku\"}\n");
        assert!(matches!(response, Err(AskError::Garbled { .. })));
    }

    #[test]
    fn a_socket_that_nobody_listens_on_means_that_the_daemon_does_not_run() {
        let folder = tempfile::tempdir().unwrap();
        let absent = Utf8PathBuf::from_path_buf(folder.path().join("absent")).unwrap();
        let stale = Utf8PathBuf::from_path_buf(folder.path().join("stale")).unwrap();
        drop(UnixListener::bind(&stale).unwrap());
        let errors = [absent, stale].map(|socket| try_ask(&socket, &Request::Status).unwrap_err());
        assert!(errors.iter().all(|error| matches!(error, AskError::NotRunning { .. })));
    }

    #[test]
    fn a_daemon_that_hangs_is_not_waited_for_without_end() {
        let folder = tempfile::tempdir().unwrap();
        let socket = Utf8PathBuf::from_path_buf(folder.path().join("s")).unwrap();
        let _listener = UnixListener::bind(&socket).unwrap();
        let error =
            try_ask_within(&socket, &Request::Status, Duration::from_millis(50)).unwrap_err();
        assert_eq!(error.to_string(), "the daemon does not answer within 50 ms");
    }
}
