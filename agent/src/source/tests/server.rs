//! `git http-backend` as a CGI program, with the headers that nginx would add.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    process::{Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
};

use super::fleet::Repository;

/// How the server behaves; may be changed while it runs.
#[derive(Default)]
pub(in super::super) struct Behaviour {
    /// Each connection is closed after so many bytes to the client; 0: never.
    pub(in super::super) cut_after: AtomicUsize,
    /// Answers every request with these bytes instead.
    pub(in super::super) canned: Mutex<Option<String>>,
    /// Instead of closing, says nothing any more.
    pub(in super::super) stalls: AtomicBool,
    pub(in super::super) has_stalled: AtomicBool,
    /// Sends everything, whatever it is asked to leave out.
    pub(in super::super) ignores_filters: AtomicBool,
    /// Sends commits by id, but no tree and no blob.
    pub(in super::super) refuses_ids: AtomicBool,
    /// `Authorization` that it demands.
    pub(in super::super) demanded: Mutex<Option<String>>,
    /// Bodies of the requests that it got.
    pub(in super::super) requests: Mutex<Vec<String>>,
    pub(in super::super) connections: AtomicUsize,
    pub(in super::super) sent: AtomicUsize,
    pub(in super::super) received: AtomicUsize,
    stopped: AtomicBool,
}

pub(in super::super) struct Server {
    address: SocketAddr,
    scheme: &'static str,
    pub(in super::super) behaviour: Arc<Behaviour>,
}

impl Server {
    pub(in super::super) fn start(repository: &Repository) -> Self {
        Self::start_with(repository, None)
    }

    pub(in super::super) fn start_with(
        repository: &Repository,
        tls: Option<Arc<rustls::ServerConfig>>,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let behaviour = Arc::new(Behaviour::default());
        let shared = Arc::clone(&behaviour);
        let scheme = if tls.is_some() { "https" } else { "http" };
        let root = repository.root().to_owned();
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if shared.stopped.load(Ordering::SeqCst) {
                    return;
                }
                shared.connections.fetch_add(1, Ordering::SeqCst);
                stream.set_nodelay(true).unwrap();
                let (shared, root, tls) = (Arc::clone(&shared), root.clone(), tls.clone());
                thread::spawn(move || match tls {
                    None => {
                        let read = stream.try_clone().unwrap();
                        serve(&shared, &root, read, Cutting::new(&shared, stream));
                    }
                    Some(tls) => {
                        let connection = rustls::ServerConnection::new(tls).unwrap();
                        let shared_stream = Shared(Arc::new(Mutex::new(rustls::StreamOwned::new(
                            connection, stream,
                        ))));
                        let write = Cutting::new(&shared, shared_stream.clone());
                        serve(&shared, &root, shared_stream, write);
                    }
                });
            }
        });
        Self { address, scheme, behaviour }
    }

    pub(in super::super) fn url(&self) -> String {
        let host = if self.scheme == "https" { "localhost" } else { "127.0.0.1" };
        format!("{}://{host}:{}/fleet.git", self.scheme, self.address.port())
    }

    pub(in super::super) fn cut_after(&self, bytes: usize) {
        self.behaviour.cut_after.store(bytes, Ordering::SeqCst);
    }

    /// Bytes that really crossed the socket since the last call: to the server, and from it.
    pub(in super::super) fn take_counts(&self) -> (u64, u64) {
        let take = |counter: &AtomicUsize| counter.swap(0, Ordering::SeqCst) as u64;
        (take(&self.behaviour.received), take(&self.behaviour.sent))
    }

    pub(in super::super) fn take_requests(&self) -> Vec<String> {
        std::mem::take(&mut self.behaviour.requests.lock().unwrap())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.behaviour.stopped.store(true, Ordering::SeqCst);
        drop(TcpStream::connect(self.address));
    }
}

/// A TLS stream cannot be split, and here nobody reads while the other writes.
#[derive(Clone)]
struct Shared(Arc<Mutex<rustls::StreamOwned<rustls::ServerConnection, TcpStream>>>);

impl Read for Shared {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().read(buffer)
    }
}

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.0.lock().unwrap().flush()
    }
}

/// Writes until the connection's allowance is used up.
struct Cutting<W> {
    inner: W,
    behaviour: Arc<Behaviour>,
    written: usize,
}

impl<W: Write> Cutting<W> {
    fn new(behaviour: &Arc<Behaviour>, inner: W) -> Self {
        Self { inner, behaviour: Arc::clone(behaviour), written: 0 }
    }

    /// `false` when the connection is to be closed now.
    fn send(&mut self, bytes: &[u8]) -> bool {
        let limit = self.behaviour.cut_after.load(Ordering::SeqCst);
        let left = if limit == 0 { usize::MAX } else { limit.saturating_sub(self.written) };
        let allowed = &bytes[..bytes.len().min(left)];
        self.written += allowed.len();
        self.behaviour.sent.fetch_add(allowed.len(), Ordering::SeqCst);
        let written = self.inner.write_all(allowed).and_then(|()| self.inner.flush()).is_ok();
        if written && allowed.len() < bytes.len() && self.behaviour.stalls.load(Ordering::SeqCst) {
            self.behaviour.has_stalled.store(true, Ordering::SeqCst);
            while !self.behaviour.stopped.load(Ordering::SeqCst) {
                thread::yield_now();
            }
        }
        written && allowed.len() == bytes.len()
    }
}

fn serve<W: Write>(behaviour: &Behaviour, root: &str, read: impl Read, mut write: Cutting<W>) {
    let mut read = BufReader::new(read);
    while let Some(request) = read_request(behaviour, &mut read) {
        if !answer(behaviour, root, &request, &mut write) {
            return;
        }
    }
}

struct Request {
    method: String,
    path: String,
    query: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Request {
    fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(key, _)| key == name);
        found.map_or("", |(_, value)| value.as_str())
    }
}

fn read_request(behaviour: &Behaviour, read: &mut impl BufRead) -> Option<Request> {
    let mut line = String::new();
    if read.read_line(&mut line).ok()? == 0 {
        return None;
    }
    let mut bytes = line.len();
    let mut words = line.split_whitespace();
    let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
    // As a proxy we are told the whole address; what it leads to is always us.
    let local = match target.strip_prefix("http://") {
        Some(rest) => &rest[rest.find('/').unwrap_or(rest.len())..],
        None => &target,
    };
    let (path, query) = local.split_once('?').unwrap_or((local, ""));
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        read.read_line(&mut line).ok()?;
        bytes += line.len();
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        headers.push((name.to_lowercase(), value.to_owned()));
    }
    let mut request =
        Request { method, path: path.into(), query: query.into(), headers, body: Vec::new() };
    let length = request.header("content-length").parse().unwrap_or(0);
    request.body = vec![0; length];
    read.read_exact(&mut request.body).ok()?;
    behaviour.received.fetch_add(bytes + length, Ordering::SeqCst);
    let shown = format!("{} {}", request.path, String::from_utf8_lossy(&request.body));
    behaviour.requests.lock().unwrap().push(shown);
    Some(request)
}

fn answer<W: Write>(
    behaviour: &Behaviour,
    root: &str,
    request: &Request,
    write: &mut Cutting<W>,
) -> bool {
    if let Some(canned) = behaviour.canned.lock().unwrap().clone() {
        return write.send(canned.as_bytes());
    }
    let demanded = behaviour.demanded.lock().unwrap().clone();
    if demanded.is_some_and(|demanded| request.header("authorization") != demanded) {
        return write.send(
            b"HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic\r\nContent-Length: 0\r\n\r\n",
        );
    }
    if behaviour.refuses_ids.load(Ordering::SeqCst)
        && let Some(id) = unusual_want(root, &request.body)
    {
        let line = format!("ERR upload-pack: not our ref {id}");
        let body = format!("{:04x}{line}", line.len() + 4);
        let kind = "application/x-git-upload-pack-result";
        let length = body.len();
        return write.send(
            format!(
                "HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\r\n{body}"
            )
            .as_bytes(),
        );
    }
    let body = if behaviour.ignores_filters.load(Ordering::SeqCst) {
        without_filter(&request.body)
    } else {
        request.body.clone()
    };
    let mut child = Command::new("git")
        .arg("http-backend")
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("GIT_PROJECT_ROOT", root)
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("REQUEST_METHOD", &request.method)
        .env("PATH_INFO", &request.path)
        .env("QUERY_STRING", &request.query)
        .env("CONTENT_TYPE", request.header("content-type"))
        .env("CONTENT_LENGTH", body.len().to_string())
        .env("GIT_PROTOCOL", request.header("git-protocol"))
        .env("REMOTE_ADDR", "127.0.0.1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(&body).unwrap();
    drop(input);
    let whole = relay(BufReader::new(child.stdout.take().unwrap()), write);
    child.kill().unwrap_or_default();
    child.wait().unwrap();
    whole
}

fn without_filter(body: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(body).into_owned();
    let Some(at) = text.find("filter ") else { return body.to_vec() };
    let length = usize::from_str_radix(&text[at - 4..at], 16).unwrap();
    [&text[..at - 4], &text[at - 4 + length..]].concat().into_bytes()
}

/// The first wanted id that is no commit.
fn unusual_want(root: &str, body: &[u8]) -> Option<String> {
    let body = String::from_utf8_lossy(body);
    body.split("want ").skip(1).map(|rest| rest[..40].to_owned()).find(|id| {
        let output = Command::new("git")
            .args(["-C", &format!("{root}/fleet.git"), "cat-file", "-t", id])
            .output()
            .unwrap();
        output.stdout != b"commit\n"
    })
}

fn relay<W: Write>(mut output: impl BufRead, write: &mut Cutting<W>) -> bool {
    let mut status = "200 OK".to_owned();
    let mut headers = String::new();
    loop {
        let mut line = String::new();
        if output.read_line(&mut line).unwrap() == 0 || line.trim().is_empty() {
            break;
        }
        match line.strip_prefix("Status: ") {
            Some(other) => other.trim().clone_into(&mut status),
            None => headers.extend([line.trim_end(), "\r\n"]),
        }
    }
    let head = format!(
        "HTTP/1.1 {status}\r\nServer: nginx/1.22.1\r\nDate: Mon, 23 Nov 2026 10:00:00 GMT\r\n\
         Connection: keep-alive\r\nTransfer-Encoding: chunked\r\n{headers}\r\n"
    );
    if !write.send(head.as_bytes()) {
        return false;
    }
    let mut buffer = vec![0; 8 << 10];
    loop {
        let length = output.read(&mut buffer).unwrap();
        let framed = [format!("{length:x}\r\n").as_bytes(), &buffer[..length], b"\r\n"].concat();
        if !write.send(&framed) {
            return false;
        }
        if length == 0 {
            return true;
        }
    }
}
