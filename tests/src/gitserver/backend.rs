//! One request through `git http-backend`, as RFC 3875 has it. Bodies stream
//! both ways; nothing is held whole.

use std::{io, path::Path, process::Stdio};

use bytes::Bytes;
use futures::{StreamExt, stream};
use http_body_util::{BodyExt, StreamBody};
use hyper::{
    Request, Response, StatusCode,
    body::{Frame, Incoming},
    header::{self, HeaderName, HeaderValue},
};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    process::{Child, ChildStdin, ChildStdout, Command},
};
use tokio_util::{io::ReaderStream, task::AbortOnDropHandle};

use crate::{background, http::Body};

/// Of the header that the CGI program writes before the body; it writes some 200.
const MAX_HEADER_BYTES: u64 = 16 * 1024;
/// One read of what git sends: its longest packet line.
const READ_BYTES: usize = 64 * 1024;

pub(super) async fn serve(root: &Path, request: Request<Incoming>) -> io::Result<Response<Body>> {
    let mut child = command(root, &request)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        // A client that went away takes the rest of the pack with it.
        .kill_on_drop(true)
        .spawn()?;
    let no_pipe = || io::Error::other("git http-backend has no pipe");
    let stdin = child.stdin.take().ok_or_else(no_pipe)?;
    let mut stdout = BufReader::with_capacity(READ_BYTES, child.stdout.take().ok_or_else(no_pipe)?);
    let feed = background::spawn(feed(request.into_body(), stdin));
    let mut response = read_header(&mut stdout).await?;
    *response.body_mut() = stream_body(stdout, child, feed);
    Ok(response)
}

fn command(root: &Path, request: &Request<Incoming>) -> Command {
    let header = |name: HeaderName| {
        request.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
    };
    let mut command = Command::new("git");
    command
        .arg("http-backend")
        .env("GIT_PROJECT_ROOT", root)
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GATEWAY_INTERFACE", "CGI/1.1")
        .env("SERVER_PROTOCOL", "HTTP/1.1")
        .env("REMOTE_ADDR", "127.0.0.1")
        .env("REQUEST_METHOD", request.method().as_str())
        .env("PATH_INFO", request.uri().path())
        .env("QUERY_STRING", request.uri().query().unwrap_or_default());
    let variables = [
        ("CONTENT_TYPE", header::CONTENT_TYPE),
        // Absent for a chunked body, which git then reads to its end.
        ("CONTENT_LENGTH", header::CONTENT_LENGTH),
        ("HTTP_CONTENT_ENCODING", header::CONTENT_ENCODING),
        ("GIT_PROTOCOL", HeaderName::from_static("git-protocol")),
    ];
    for (variable, name) in variables {
        match header(name) {
            Some(value) => command.env(variable, value),
            None => command.env_remove(variable),
        };
    }
    command
}

async fn feed(mut body: Incoming, mut stdin: ChildStdin) {
    while let Some(Ok(frame)) = body.frame().await {
        if let Ok(data) = frame.into_data()
            && stdin.write_all(&data).await.is_err()
        {
            // git has read all that it wants; its answer says the rest.
            return;
        }
    }
}

async fn read_header(stdout: &mut BufReader<ChildStdout>) -> io::Result<Response<Body>> {
    let mut response = Response::new(crate::http::whole(Bytes::new()));
    let mut left = stdout.take(MAX_HEADER_BYTES);
    let mut line = String::new();
    loop {
        line.clear();
        if left.read_line(&mut line).await? == 0 {
            return Err(io::Error::other("git http-backend ended within its header"));
        }
        let line = line.trim_end();
        if line.is_empty() {
            return Ok(response);
        }
        let Some((name, value)) = line.split_once(':') else {
            return Err(io::Error::other(format!("header line of git http-backend: {line}")));
        };
        let value = value.trim();
        if name.eq_ignore_ascii_case("status") {
            let code = value.split(' ').next().unwrap_or_default();
            *response.status_mut() =
                StatusCode::from_bytes(code.as_bytes()).map_err(io::Error::other)?;
        } else {
            let name = HeaderName::from_bytes(name.as_bytes()).map_err(io::Error::other)?;
            let value = HeaderValue::from_str(value).map_err(io::Error::other)?;
            response.headers_mut().append(name, value);
        }
    }
}

/// Keeps the process, and what feeds it, as long as somebody reads.
fn stream_body(stdout: BufReader<ChildStdout>, child: Child, feed: AbortOnDropHandle<()>) -> Body {
    let chunks = ReaderStream::with_capacity(stdout, READ_BYTES);
    let frames = stream::unfold((chunks, child, feed), |(mut chunks, child, feed)| async move {
        let chunk = chunks.next().await?;
        Some((chunk.map(Frame::data), (chunks, child, feed)))
    });
    StreamBody::new(frames).boxed_unsync()
}
