//! The git server and the repositories that it serves, as git itself sees them.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends")]

use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    path::Path,
    process::{Command, Output, Stdio},
};

use leeward_tests::{
    faultproxy::{FaultProxy, Policy},
    fleet::{Change, FleetRepo, Layout, cluster_path, monorepo},
    gitserver::{Access, Filters, GitServer, GitServerOptions},
    leash::ScratchDir,
    tls::{Certificate, TlsOptions},
};

fn fleet(scratch: &ScratchDir) -> FleetRepo {
    let repository = FleetRepo::create(scratch.path(), "fleet").unwrap();
    let changes = [
        Change::write("clusters/edge/app.yaml", "a: 1\n"),
        Change::write("clusters/edge/deep/er/app.yaml", "a: 2\n"),
        Change::write("media/large.bin", leeward_tests::Seed::new(1).bytes(3 * 1024 * 1024)),
    ];
    repository.commit("First", &changes).unwrap();
    repository
}

fn git(scratch: &ScratchDir, arguments: &[&str]) -> Output {
    Command::new("git")
        .args(arguments)
        .current_dir(scratch.path())
        .env("GIT_TERMINAL_PROMPT", "0")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        // What the developer's machine trusts must not decide a test.
        .env_remove("GIT_SSL_CAINFO")
        .env("no_proxy", "127.0.0.1")
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

fn clone(scratch: &ScratchDir, url: &str, options: &[&str]) -> Result<(), String> {
    let output = git(scratch, &[options, &["clone", "--quiet", url, "copy"]].concat());
    if output.status.success() {
        Ok(())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

fn authority_file(scratch: &ScratchDir, server: &GitServer) -> String {
    let file = scratch.join("ca.pem");
    fs::write(&file, server.authority().pem()).unwrap();
    format!("http.sslCAInfo={}", file.display())
}

#[test]
fn clone_brings_every_file() {
    let scratch = ScratchDir::new("git").unwrap();
    let repository = fleet(&scratch);
    let server = GitServer::start(scratch.path(), GitServerOptions::default()).unwrap();
    clone(&scratch, &server.url("fleet.git"), &[]).unwrap();
    let copied = fs::read(scratch.join("copy/media/large.bin")).unwrap();
    assert!(copied == repository.read("media/large.bin").unwrap());
}

#[test]
fn filter_is_served_only_where_it_is_allowed() {
    let scratch = ScratchDir::new("git").unwrap();
    fleet(&scratch);
    let server = GitServer::start(scratch.path(), GitServerOptions::default()).unwrap();
    let proxy = FaultProxy::start(server.port(), 0, Policy::default()).unwrap();
    let url = server.url_through(proxy.port(), "fleet.git");
    let received = |name: &str, filter: &str| {
        let before = proxy.counts();
        let clone = ["clone", "--quiet", "--bare", "--depth=1", filter, &url, name];
        let output = git(&scratch, &clone);
        (output.status.success(), proxy.counts().since(before).traffic.down > 1024 * 1024)
    };
    let mut seen = Vec::new();
    for (name, filters) in [
        ("all", Filters::All),
        ("some", Filters::BlobsAndRootTree),
        ("none", Filters::None),
        ("again", Filters::All),
    ] {
        server.set_filters("fleet.git", filters).unwrap();
        let deep = received(&format!("{name}-tree-2"), "--filter=tree:2");
        let shallow = received(&format!("{name}-tree-0"), "--filter=tree:0");
        seen.push((name, deep, shallow));
    }
    let small = (true, false);
    let whole = (true, true);
    let refused = (false, false);
    let expected = [
        ("all", small, small),
        ("some", refused, small),
        // git ignores a filter that the server does not know.
        ("none", whole, whole),
        ("again", small, small),
    ];
    assert_eq!(seen, expected);
}

#[test]
fn certificate_decides_whether_git_trusts_the_server() {
    let scratch = ScratchDir::new("git").unwrap();
    fleet(&scratch);
    let tls = Some(TlsOptions::default());
    let server =
        GitServer::start(scratch.path(), GitServerOptions { tls, ..GitServerOptions::default() })
            .unwrap();
    let trust = authority_file(&scratch, &server);
    let url = server.url("fleet.git");
    let mut trusted = Vec::new();
    for certificate in
        [Certificate::Expired, Certificate::NotYetValid, Certificate::WrongHost, Certificate::Good]
    {
        server.set_tls(TlsOptions { certificate, ..TlsOptions::default() }).unwrap();
        let listed = git(&scratch, &["-c", &trust, "ls-remote", &url]);
        trusted.push((certificate, listed.status.success()));
    }
    let expected = [
        (Certificate::Expired, false),
        (Certificate::NotYetValid, false),
        (Certificate::WrongHost, false),
        (Certificate::Good, true),
    ];
    assert_eq!(trusted, expected);
}

#[test]
fn mutual_tls_lets_in_only_clients_with_a_certificate() {
    let scratch = ScratchDir::new("git").unwrap();
    fleet(&scratch);
    let tls = Some(TlsOptions { require_client_certificate: true, ..TlsOptions::default() });
    let server =
        GitServer::start(scratch.path(), GitServerOptions { tls, ..GitServerOptions::default() })
            .unwrap();
    let trust = authority_file(&scratch, &server);
    let client = server.authority().client().unwrap();
    fs::write(scratch.join("client.pem"), client.certificate_pem()).unwrap();
    fs::write(scratch.join("client.key"), client.key_pem()).unwrap();
    let url = server.url("fleet.git");
    let without = git(&scratch, &["-c", &trust, "ls-remote", &url]).status.success();
    let certificate = format!("http.sslCert={}", scratch.join("client.pem").display());
    let key = format!("http.sslKey={}", scratch.join("client.key").display());
    let with = ["-c", &trust, "-c", &certificate, "-c", &key, "ls-remote", &url];
    let with = git(&scratch, &with);
    let error = String::from_utf8_lossy(&with.stderr);
    assert_eq!((without, with.status.success()), (false, true), "{error}");
}

#[test]
fn credentials_are_asked_for_and_checked() {
    let scratch = ScratchDir::new("git").unwrap();
    fleet(&scratch);
    let server = GitServer::start(scratch.path(), GitServerOptions::default()).unwrap();
    server.set_access(Access::Basic { username: "me".into(), password: "secret".into() });
    let url = server.url("fleet.git");
    let with = |credentials: &str| url.replace("http://", &format!("http://{credentials}@"));
    let listed = |url: &str| git(&scratch, &["ls-remote", url]).status.success();
    let basic = [listed(&url), listed(&with("me:wrong")), listed(&with("me:secret"))];
    server.set_access(Access::Bearer { token: "t0ken".into() });
    let header = ["-c", "http.extraHeader=Authorization: Bearer t0ken", "ls-remote", &url];
    let bearer = git(&scratch, &header).status.success();
    assert_eq!((basic, bearer), ([false, false, true], true));
}

#[test]
fn gzipped_request_is_understood() {
    let scratch = ScratchDir::new("git").unwrap();
    let repository = fleet(&scratch);
    let server = GitServer::start(scratch.path(), GitServerOptions::default()).unwrap();
    clone(&scratch, &server.url("fleet.git"), &[]).unwrap();
    // git compresses requests of more than 1 KiB: many refs make many wants.
    for number in 0..60 {
        let commit = repository.write("clusters/edge/app.yaml", &format!("a: {number}\n")).unwrap();
        repository.set_ref(&format!("refs/heads/branch-{number}"), &commit).unwrap();
    }
    let fetch = git(&scratch, &["-C", "copy", "fetch", "--quiet", "origin"]);
    assert!(fetch.status.success(), "{}", String::from_utf8_lossy(&fetch.stderr));
}

#[tokio::test]
async fn stopped_server_refuses_and_comes_back_on_its_port() {
    let scratch = ScratchDir::new("git").unwrap();
    fleet(&scratch);
    let server = GitServer::start(scratch.path(), GitServerOptions::default()).unwrap();
    let url = server.url("fleet.git");
    let listed = || git(&scratch, &["ls-remote", &url]).status.success();
    let before = listed();
    server.stop().await;
    let stopped = listed();
    server.start_again().await.unwrap();
    assert_eq!((before, stopped, listed()), (true, false, true));
}

/// One ls-refs request for `main`, as small as it can be, on a kept connection.
fn poll(stream: &mut TcpStream) -> usize {
    let body = "0014command=ls-refs\n0001001fref-prefix refs/heads/main\n0000";
    let length = body.len();
    let request = format!(
        "POST /fleet.git/git-upload-pack HTTP/1.1\r\nhost: git.example.com\r\ngit-protocol: \
         version=2\r\ncontent-type: application/x-git-upload-pack-request\r\ncontent-length: \
         {length}\r\n\r\n{body}"
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n0\r\n\r\n") {
        let mut chunk = [0; 4096];
        let length = stream.read(&mut chunk).unwrap();
        assert_ne!(length, 0, "{}", String::from_utf8_lossy(&answer));
        answer.extend_from_slice(&chunk[..length]);
    }
    assert!(String::from_utf8_lossy(&answer).contains("refs/heads/main"));
    request.len() + answer.len()
}

#[test]
fn idle_poll_on_a_kept_connection_fits_610_bytes() {
    let scratch = ScratchDir::new("git").unwrap();
    fleet(&scratch);
    let server = GitServer::start(scratch.path(), GitServerOptions::default()).unwrap();
    let mut stream = TcpStream::connect(("127.0.0.1", server.port())).unwrap();
    let bytes = [poll(&mut stream), poll(&mut stream)];
    assert!(bytes.iter().all(|bytes| *bytes <= 610), "{bytes:?}");
}

#[test]
fn pack_is_streamed_and_not_held_by_the_server() {
    let scratch = ScratchDir::new("git").unwrap();
    fleet(&scratch);
    let server = GitServer::start(scratch.path(), GitServerOptions::default()).unwrap();
    let proxy = FaultProxy::start(server.port(), 0, Policy::cut_after(64 * 1024)).unwrap();
    let error = clone(&scratch, &server.url_through(proxy.port(), "fleet.git"), &[]).unwrap_err();
    let cut = proxy.connections().into_iter().map(|traffic| traffic.down).max();
    assert_eq!(cut, Some(64 * 1024), "{error}");
}

fn size_of(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries
        .map(|path| if path.is_dir() { size_of(&path) } else { path.metadata().unwrap().len() })
        .sum()
}

#[test]
fn monorepo_is_shared_and_takes_commits_of_its_own() {
    let scratch = ScratchDir::new("git").unwrap();
    let mut files = Vec::new();
    for (name, layout) in [("flat", Layout::Flat), ("sharded", Layout::Sharded)] {
        let repository = monorepo(scratch.path(), name, layout).unwrap();
        let folder = cluster_path(layout, 42);
        repository.write(&format!("{folder}/extra.yaml"), "a: 1\n").unwrap();
        files.push(repository.files("main", &folder).unwrap().len());
        repository.git(&["fsck", "--connectivity-only"]).unwrap();
    }
    assert!(files == [13, 13] && size_of(scratch.path()) < 1024 * 1024, "{files:?}");
}
