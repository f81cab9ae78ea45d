//! The control socket: takes requests of the CLI, and carries the answers back.
//!
//! Decides nothing. Whoever may open the socket (its owner and group) may ask.

use std::{
    fs, io,
    os::unix::fs::{DirBuilderExt as _, FileTypeExt as _, PermissionsExt as _},
    time::Duration,
};

use camino::{Utf8Path, Utf8PathBuf};
use futures::{StreamExt as _, stream::FuturesUnordered};
use leeward_wire::control::{MAX_LINE, Request, Response};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{UnixListener, UnixStream},
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use super::answers::Answers;

/// The longest request, in bytes: names and one reason by a person.
pub const REQUEST_LENGTH_MAX: usize = 64 * 1024;
/// Connections at once: people and their scripts, and four times as many as may
/// wait for the loop. More wait in the kernel's queue.
const CONNECTIONS_MAX: usize = 64;
/// A client that has not sent its one line by then is not the CLI.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
/// A client that does not read its answer.
const WRITE_TIMEOUT: Duration = Duration::from_secs(5);
/// Between two tries to accept while the process has no file descriptor left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);
/// How long open requests may keep us from leaving.
const DRAIN: Duration = Duration::from_secs(1);

#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    #[error("cannot create the folder {path} of the control socket")]
    Folder { path: Utf8PathBuf, source: io::Error },
    #[error("another agent answers on the control socket {path}")]
    InUse { path: Utf8PathBuf },
    #[error("{path} (`control.socket`) is there and is not a socket")]
    NotASocket { path: Utf8PathBuf },
    #[error("cannot look at the control socket {path}")]
    Probe { path: Utf8PathBuf, source: io::Error },
    #[error("cannot create the control socket {path}")]
    Bind { path: Utf8PathBuf, source: io::Error },
}

/// Makes the socket, for its owner and group only. One that a dead agent left
/// behind is replaced; one that somebody listens on is not.
pub async fn listen(path: &Utf8Path) -> Result<UnixListener, ListenError> {
    if let Some(folder) = path.parent().filter(|folder| !folder.as_str().is_empty()) {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o750)
            .create(folder)
            .map_err(|source| ListenError::Folder { path: folder.to_owned(), source })?;
    }
    refuse_if_live(path).await?;
    bind(path).map_err(|source| ListenError::Bind { path: path.to_owned(), source })
}

async fn refuse_if_live(path: &Utf8Path) -> Result<(), ListenError> {
    let fault = |source| ListenError::Probe { path: path.to_owned(), source };
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(fault(error)),
        Ok(found) if !found.file_type().is_socket() => {
            return Err(ListenError::NotASocket { path: path.to_owned() });
        }
        Ok(_) => {}
    }
    match UnixStream::connect(path).await {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(()),
        // Its queue is full: busy, but alive.
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
            Err(ListenError::InUse { path: path.to_owned() })
        }
        Err(error) => Err(fault(error)),
        Ok(_) => Err(ListenError::InUse { path: path.to_owned() }),
    }
}

/// Under another name first: at its own name the socket has its final
/// permissions from the first instant, and takes a stale one's place in one step.
fn bind(path: &Utf8Path) -> io::Result<UnixListener> {
    let draft = Utf8PathBuf::from(format!("{path}.new"));
    match fs::remove_file(&draft) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(&draft)?;
    fs::set_permissions(&draft, fs::Permissions::from_mode(0o660))?;
    fs::rename(&draft, path)?;
    Ok(listener)
}

/// Serves until `shutdown`, then gives open requests a moment to end.
pub async fn serve(listener: UnixListener, answers: Answers, shutdown: CancellationToken) {
    let mut open = FuturesUnordered::new();
    let mut pause = Duration::ZERO;
    loop {
        let accept = async {
            if !pause.is_zero() {
                tokio::time::sleep(pause).await;
            }
            listener.accept().await
        };
        let accepted = tokio::select! {
            biased;
            () = shutdown.cancelled() => break,
            // Cancel safe: `next` and `accept` lose nothing when dropped.
            Some(()) = open.next() => continue,
            accepted = accept, if open.len() < CONNECTIONS_MAX => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                pause = Duration::ZERO;
                open.push(converse(stream, &answers));
            }
            Err(error) => {
                tracing::warn!(%error, "Cannot accept on the control socket; will retry.");
                pause = ACCEPT_PAUSE;
            }
        }
    }
    // The loop drops what it does not answer any more, so this is short.
    timeout(DRAIN, async { while open.next().await.is_some() {} }).await.ok();
}

/// One line there, one line back.
async fn converse(mut stream: UnixStream, answers: &Answers) {
    let line = match timeout(REQUEST_TIMEOUT, read_line(&mut stream)).await {
        Ok(Ok(line)) => line,
        Ok(Err(error)) => {
            tracing::debug!(%error, "A client of the control socket went away.");
            return;
        }
        Err(_) => {
            let message = format!("no request came within {} s", REQUEST_TIMEOUT.as_secs());
            return write_line(&mut stream, &refused(message)).await;
        }
    };
    if line.is_empty() {
        // Somebody looked whether we are alive.
        return;
    }
    let response = match parse(&line) {
        Ok(request) => answers.answer(request).await,
        Err(message) => refused(message),
    };
    write_line(&mut stream, &response).await;
}

/// Up to the end of the line, or one byte more than is allowed.
async fn read_line(stream: &mut UnixStream) -> io::Result<Vec<u8>> {
    let mut line = Vec::new();
    let mut bounded = BufReader::new(stream.take(REQUEST_LENGTH_MAX as u64 + 1));
    bounded.read_until(b'\n', &mut line).await?;
    Ok(line)
}

fn parse(line: &[u8]) -> Result<Request, String> {
    if line.len() > REQUEST_LENGTH_MAX {
        return Err(format!("the request is longer than {REQUEST_LENGTH_MAX} bytes"));
    }
    serde_json::from_slice(line).map_err(|error| format!("cannot read the request: {error}"))
}

fn refused(message: String) -> Response {
    Response::Refused { message, hint: None }
}

async fn write_line(stream: &mut UnixStream, response: &Response) {
    let line = encode(response);
    match timeout(WRITE_TIMEOUT, stream.write_all(&line)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "A client of the control socket went away."),
        Err(_) => tracing::debug!("A client of the control socket does not read its answer."),
    }
}

fn encode(response: &Response) -> Vec<u8> {
    let encoded = serde_json::to_vec(response).map_err(|error| error.to_string());
    let fault = match encoded {
        Ok(mut line) if line.len() < MAX_LINE => {
            line.push(b'\n');
            return line;
        }
        Ok(line) => format!("the answer has {} bytes, more than {MAX_LINE}", line.len()),
        Err(error) => format!("cannot write the answer: {error}"),
    };
    let mut line = serde_json::json!({ "response": "refused", "message": fault, "hint": null })
        .to_string()
        .into_bytes();
    line.push(b'\n');
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::daemon::answers::tests::answers;

    fn done(message: &str) -> Response {
        Response::Done { message: message.to_owned() }
    }

    /// Runs a server whose loop answers by `answer`, for as long as `client` lasts.
    async fn with_server<T>(
        answer: impl Fn(Request) -> Option<Response>,
        client: impl AsyncFnOnce(&Utf8Path) -> T,
    ) -> T {
        let folder = tempfile::tempdir().unwrap();
        let path = Utf8PathBuf::try_from(folder.path().join("run/control.sock")).unwrap();
        let listener = listen(&path).await.unwrap();
        let (answers, mut other) = answers();
        let shutdown = CancellationToken::new();
        let looping = async {
            let mut unanswered = Vec::new();
            while let Some((request, sender)) = other.asked.recv().await {
                match answer(request) {
                    Some(response) => sender.send(response).unwrap(),
                    None => unanswered.push(sender),
                }
            }
        };
        let client = async {
            let result = client(&path).await;
            shutdown.cancel();
            result
        };
        tokio::join!(serve(listener, answers, shutdown.clone()), looping, client).2
    }

    async fn send(path: &Utf8Path, line: &[u8]) -> String {
        let mut stream = UnixStream::connect(path).await.unwrap();
        // A server that has heard enough hangs up while we write.
        stream.write_all(line).await.ok();
        let mut answer = String::new();
        BufReader::new(stream).read_line(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn a_request_reaches_the_loop_and_its_answer_comes_back() {
        let heard = |request| Some(done(&format!("{request:?}")));
        let line = b"{\"request\":\"approve\",\"app\":\"shop\"}\n";
        let answer = with_server(heard, async |path| send(path, line).await).await;
        insta::assert_snapshot!(answer, @r#"{"response":"done","message":"Approve { app: \"shop\", yes: false }"}"#);
    }

    #[tokio::test]
    async fn a_request_that_nobody_knows_is_refused_by_name() {
        let line = b"{\"request\":\"reboot\"}\n";
        let answer = with_server(|_| None, async |path| send(path, line).await).await;
        assert!(answer.contains("cannot read the request: unknown variant `reboot`"), "{answer}");
    }

    #[tokio::test]
    async fn a_line_without_end_is_refused() {
        let line = vec![b'{'; REQUEST_LENGTH_MAX * 2];
        let answer = with_server(|_| None, async |path| send(path, &line).await).await;
        assert!(answer.contains("the request is longer than 65536 bytes"), "{answer}");
    }

    #[tokio::test(start_paused = true)]
    async fn silence_is_answered_after_five_seconds() {
        let answer = with_server(|_| None, async |path| send(path, b"").await).await;
        assert!(answer.contains("no request came within 5 s"), "{answer}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_loop_that_does_not_answer_is_reported_after_thirty_seconds() {
        let line = b"{\"request\":\"sync\"}\n";
        let answer = with_server(|_| None, async |path| send(path, line).await).await;
        assert!(answer.contains("the agent did not answer within 30 s"), "{answer}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_sixty_fifth_connection_waits_until_one_of_sixty_four_ends() {
        let answer = with_server(
            |_| Some(done("served")),
            async |path| {
                let mut idle = Vec::new();
                for _ in 0..CONNECTIONS_MAX {
                    idle.push(UnixStream::connect(path).await.unwrap());
                }
                let started = tokio::time::Instant::now();
                let answer = send(path, b"{\"request\":\"sync\"}\n").await;
                (answer, started.elapsed() >= REQUEST_TIMEOUT)
            },
        )
        .await;
        assert_eq!(answer, ("{\"response\":\"done\",\"message\":\"served\"}\n".to_owned(), true));
    }

    #[test]
    fn an_answer_that_is_too_long_says_so_instead() {
        let line = encode(&done(&"x".repeat(MAX_LINE)));
        let text = String::from_utf8(line).unwrap();
        let response: Response = serde_json::from_str(&text).unwrap();
        let message = "the answer has 8388640 bytes, more than 8388608".to_owned();
        assert_eq!(response, refused(message));
    }

    /// The socket and what listening on it a second time says.
    async fn listen_again(first: impl FnOnce(&Utf8Path)) -> Result<u32, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = Utf8PathBuf::try_from(folder.path().join("control.sock")).unwrap();
        first(&path);
        let listened = listen(&path).await;
        listened
            .map(|_| fs::metadata(&path).unwrap().permissions().mode() & 0o777)
            .map_err(|error| error.to_string().replace(folder.path().to_str().unwrap(), "DIR"))
    }

    #[tokio::test]
    async fn the_socket_is_for_its_owner_and_group() {
        assert_eq!(listen_again(|_| {}).await, Ok(0o660));
    }

    #[tokio::test]
    async fn a_socket_that_a_dead_agent_left_is_replaced() {
        let killed = |path: &Utf8Path| drop(std::os::unix::net::UnixListener::bind(path).unwrap());
        assert_eq!(listen_again(killed).await, Ok(0o660));
    }

    #[tokio::test]
    async fn a_socket_that_somebody_listens_on_is_left_alone() {
        let mut other = None;
        let refusal =
            listen_again(|path| other = std::os::unix::net::UnixListener::bind(path).ok()).await;
        let text = "another agent answers on the control socket DIR/control.sock".to_owned();
        assert_eq!((refusal, other.is_some()), (Err(text), true));
    }

    #[tokio::test]
    async fn a_file_in_the_place_of_the_socket_is_left_alone() {
        let refusal = listen_again(|path| fs::write(path, "mine").unwrap()).await;
        let text = "DIR/control.sock (`control.socket`) is there and is not a socket".to_owned();
        assert_eq!(refusal, Err(text));
    }
}
