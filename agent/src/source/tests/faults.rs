//! What goes wrong, and what is said about it.

use std::{fs, sync::Arc};

use super::{fleet::*, server::Server, *};

async fn failed(config: SourceConfig) -> FetchFailure {
    let objects = MemoryObjects::default();
    GitSource::new(config, &objects, None).fetch(None).await.unwrap_err()
}

fn small() -> Repository {
    Repository::fleet(Layout::Flat, Policy::AllFilters, 3)
}

#[tokio::test]
async fn an_absent_branch_is_named_with_the_nearest_one() {
    let repository = small();
    let server = Server::start(&repository);
    let reference = Reference::Branch("mian".into());
    let failure = failed(SourceConfig { reference, ..config(&server, "clusters") }).await;
    assert_eq!(failure.step, LinkStep::Ref);
    assert!(failure.evidence.ends_with("has no refs/heads/mian"), "{failure}");
    assert_eq!(failure.hint.unwrap(), "there is refs/heads/main");
}

#[tokio::test]
async fn an_empty_repository_is_recognised() {
    let repository = Repository::empty(Layout::Flat, Policy::AllFilters);
    let server = Server::start(&repository);
    let failure = failed(config(&server, "clusters")).await;
    assert_eq!(failure.step, LinkStep::Ref);
    assert!(failure.hint.unwrap().ends_with("is it empty?"));
}

#[tokio::test]
async fn a_vanished_path_is_a_failure_that_names_it_and_not_an_empty_tree() {
    let repository = small();
    let server = Server::start(&repository);
    let objects = MemoryObjects::default();
    let mut source = GitSource::new(config(&server, &repository.path(1)), &objects, None);
    let first = fetch_and_compare(&mut source, &repository, None).await;
    repository.commit(|stream| stream.push_str("D clusters/edge-0001\n"));
    let failure = source.fetch(Some(first.commit)).await.unwrap_err();
    assert_eq!(failure.step, LinkStep::Path);
    assert!(failure.evidence.ends_with("folder `clusters` has no `edge-0001`"), "{failure}");
    assert!(failure.hint.unwrap().starts_with("there is `clusters/edge-000"));
}

#[tokio::test]
async fn a_pinned_commit_that_nobody_has_is_named() {
    let repository = small();
    let server = Server::start(&repository);
    let reference = Reference::Commit("1".repeat(40));
    let failure = failed(SourceConfig { reference, ..config(&server, "clusters") }).await;
    assert_eq!(failure.step, LinkStep::Ref);
    assert!(failure.evidence.contains(&"1".repeat(40)), "{failure}");
}

#[tokio::test]
async fn a_file_beyond_the_limit_is_named_with_its_size() {
    let repository = Repository::empty(Layout::Flat, Policy::AllFilters);
    repository.commit(|stream| {
        write_file(stream, "a/small.yaml", "a: 1\n");
        write_file(stream, "a/sub/large.bin", &noise(1, 90_000));
    });
    let server = Server::start(&repository);
    let objects = MemoryObjects::default();
    let mut source = GitSource::new(config(&server, "a"), &objects, None).with_blob_limit(50_000);
    let failure = source.fetch(None).await.unwrap_err();
    assert_eq!(failure.step, LinkStep::Path);
    assert!(failure.evidence.contains("90000 bytes"), "{failure}");
    assert!(failure.evidence.contains("sub/large.bin"), "{failure}");
}

#[tokio::test]
async fn a_port_where_nobody_listens_is_a_failure_to_connect() {
    let repository = small();
    let config = config(&Server::start(&repository), "clusters");
    let failure = failed(config).await;
    assert_eq!(failure.step, LinkStep::Connect);
    assert!(failure.evidence.starts_with("cannot connect to 127.0.0.1:"), "{failure}");
}

#[tokio::test]
async fn a_name_that_does_not_resolve_is_a_failure_of_dns() {
    let repository = small();
    let server = Server::start(&repository);
    let url = "http://git.invalid/fleet.git".to_owned();
    let failure = failed(SourceConfig { url, ..config(&server, "clusters") }).await;
    assert_eq!(failure.step, LinkStep::Dns, "{failure}");
    assert!(failure.evidence.contains("git.invalid"));
}

#[tokio::test]
async fn a_captive_portal_is_no_git_server() {
    let repository = small();
    let server = Server::start(&repository);
    let page = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 2\r\n\r\nhi";
    *server.behaviour.canned.lock().unwrap() = Some(page.into());
    let failure = failed(config(&server, "clusters")).await;
    assert_eq!(failure.step, LinkStep::Protocol);
    assert!(failure.hint.unwrap().contains("captive portal"));
}

#[tokio::test]
async fn a_server_that_is_busy_says_when_to_come_back() {
    let repository = small();
    let server = Server::start(&repository);
    let busy = "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 90\r\nContent-Length: 0\r\n\r\n";
    *server.behaviour.canned.lock().unwrap() = Some(busy.into());
    let failure = failed(config(&server, "clusters")).await;
    assert_eq!(failure.step, LinkStep::Http);
    assert_eq!(failure.retry_after, Some(Duration::from_secs(90)));
}

#[tokio::test]
async fn a_redirect_within_git_is_followed_and_a_login_page_is_not() {
    let repository = small();
    let server = Server::start(&repository);
    let front = Server::start(&repository);
    let to = |path: &str| {
        format!(
            "HTTP/1.1 301 Moved\r\nLocation: {}/{path}\r\nContent-Length: 0\r\n\r\n",
            server.url()
        )
    };
    *front.behaviour.canned.lock().unwrap() = Some(to("info/refs?service=git-upload-pack"));
    let objects = MemoryObjects::default();
    let mut source = GitSource::new(config(&front, &repository.path(1)), &objects, None);
    fetch_and_compare(&mut source, &repository, None).await;

    *front.behaviour.canned.lock().unwrap() = Some(to("login"));
    let failure = failed(config(&front, "clusters")).await;
    assert_eq!(failure.step, LinkStep::Http);
    assert!(failure.evidence.contains("login"), "{failure}");
}

#[tokio::test]
async fn redirects_without_end_are_given_up() {
    let repository = small();
    let server = Server::start(&repository);
    let again = "HTTP/1.1 302 Found\r\nLocation: /x/git-upload-pack\r\nContent-Length: 0\r\n\r\n";
    *server.behaviour.canned.lock().unwrap() = Some(again.into());
    let failure = failed(config(&server, "clusters")).await;
    assert!(failure.evidence.starts_with("more than 5 redirects"), "{failure}");
}

#[tokio::test]
async fn a_password_is_read_again_at_every_fetch_and_its_file_is_named() {
    let repository = small();
    let server = Server::start(&repository);
    // leeward:new
    *server.behaviour.demanded.lock().unwrap() = Some("Basic bGVld2FyZDpuZXc=".into());
    let folder = tempfile::tempdir().unwrap();
    let file = camino::Utf8PathBuf::from_path_buf(folder.path().join("password")).unwrap();
    fs::write(&file, "old\n").unwrap();
    let config = SourceConfig {
        username: Some("leeward".into()),
        password_file: Some(file.clone()),
        ..config(&server, &repository.path(1))
    };
    let objects = MemoryObjects::default();
    let mut source = GitSource::new(config, &objects, None);
    let failure = source.fetch(None).await.unwrap_err();
    assert_eq!(failure.step, LinkStep::Auth);
    assert!(failure.evidence.contains(file.as_str()), "{failure}");
    fs::write(&file, "new\n").unwrap();
    fetch_and_compare(&mut source, &repository, None).await;
    fs::remove_file(&file).unwrap();
    let failure = source.fetch(None).await.unwrap_err();
    assert!(failure.evidence.starts_with("cannot read"), "{failure}");
}

#[tokio::test]
async fn a_proxy_is_asked_for_names_that_we_cannot_resolve() {
    let repository = small();
    let server = Server::start(&repository);
    let config = SourceConfig {
        url: "http://git.invalid/fleet.git".into(),
        proxy: Some(server.url().replace("/fleet.git", "")),
        ..config(&server, &repository.path(1))
    };
    let objects = MemoryObjects::default();
    let fetched =
        fetch_and_compare(&mut GitSource::new(config, &objects, None), &repository, None).await;
    assert_eq!(server.take_counts().0, fetched.sent, "the whole address is counted too");
}

#[tokio::test]
async fn a_proxy_that_refuses_is_named() {
    let repository = small();
    let server = Server::start(&repository);
    let no = "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n";
    *server.behaviour.canned.lock().unwrap() = Some(no.into());
    let config = SourceConfig {
        url: "https://git.invalid/fleet.git".into(),
        proxy: Some(server.url().replace("/fleet.git", "")),
        ..config(&server, "clusters")
    };
    let failure = failed(config).await;
    assert_eq!(failure.step, LinkStep::Proxy);
    assert!(failure.evidence.starts_with("proxy 127.0.0.1:"), "{failure}");
}

struct Authority {
    certificate: rcgen::Certificate,
    issuer: rcgen::Issuer<'static, rcgen::KeyPair>,
}

fn authority() -> Authority {
    let mut parameters = rcgen::CertificateParams::default();
    parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = parameters.self_signed(&key).unwrap();
    Authority { certificate, issuer: rcgen::Issuer::new(parameters, key) }
}

fn tls_server(repository: &Repository, authority: &Authority, years: (i32, i32)) -> Server {
    let nobody = rustls::server::WebPkiClientVerifier::no_client_auth();
    tls_server_for(repository, authority, years, nobody)
}

/// A server with a certificate for `localhost`, valid between these years.
fn tls_server_for(
    repository: &Repository,
    authority: &Authority,
    years: (i32, i32),
    clients: Arc<dyn rustls::server::danger::ClientCertVerifier>,
) -> Server {
    let mut parameters = rcgen::CertificateParams::new(["localhost".to_owned()]).unwrap();
    parameters.not_before = rcgen::date_time_ymd(years.0, 1, 1);
    parameters.not_after = rcgen::date_time_ymd(years.1, 1, 1);
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = parameters.signed_by(&key, &authority.issuer).unwrap();
    let private = rustls::pki_types::PrivateKeyDer::Pkcs8(key.serialize_der().into());
    let config = rustls::ServerConfig::builder_with_provider(Arc::new(
        rustls::crypto::ring::default_provider(),
    ))
    .with_safe_default_protocol_versions()
    .unwrap()
    .with_client_cert_verifier(clients)
    .with_single_cert(vec![certificate.der().clone()], private)
    .unwrap();
    Server::start_with(repository, Some(Arc::new(config)))
}

fn ca_file(folder: &tempfile::TempDir, authority: &Authority) -> TlsFiles {
    let file = camino::Utf8PathBuf::from_path_buf(folder.path().join("ca.pem")).unwrap();
    fs::write(&file, authority.certificate.pem()).unwrap();
    TlsFiles { ca: Some(file), ..TlsFiles::default() }
}

#[tokio::test]
async fn a_private_ca_is_trusted_when_named_and_only_then() {
    let repository = small();
    let authority = authority();
    let server = tls_server(&repository, &authority, (2020, 2090));
    let plain = config(&server, &repository.path(1));
    let failure = failed(plain.clone()).await;
    assert_eq!(failure.step, LinkStep::Tls, "{failure}");
    assert!(failure.hint.unwrap().contains("source.ca_file"));

    let folder = tempfile::tempdir().unwrap();
    let objects = MemoryObjects::default();
    let trusting = SourceConfig { tls: ca_file(&folder, &authority), ..plain };
    fetch_and_compare(&mut GitSource::new(trusting, &objects, None), &repository, None).await;
}

#[tokio::test]
async fn a_server_that_asks_who_we_are_is_shown_our_certificate() {
    let repository = small();
    let authority = authority();
    let folder = tempfile::tempdir().unwrap();
    let mut trusted = rustls::RootCertStore::empty();
    trusted.add(authority.certificate.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let clients =
        rustls::server::WebPkiClientVerifier::builder_with_provider(Arc::new(trusted), provider)
            .build()
            .unwrap();
    let server = tls_server_for(&repository, &authority, (2020, 2090), clients);
    let tls = ca_file(&folder, &authority);
    let without = SourceConfig { tls: tls.clone(), ..config(&server, &repository.path(1)) };
    let failure = failed(without.clone()).await;
    assert_eq!(failure.step, LinkStep::Tls, "{failure}");
    assert!(failure.hint.unwrap().contains("source.client_cert_file"));

    let key = rcgen::KeyPair::generate().unwrap();
    let ours = rcgen::CertificateParams::new(["shop-42".to_owned()]).unwrap();
    let ours = ours.signed_by(&key, &authority.issuer).unwrap();
    let file = |name: &str, text: String| {
        let file = camino::Utf8PathBuf::from_path_buf(folder.path().join(name)).unwrap();
        fs::write(&file, text).unwrap();
        Some(file)
    };
    let tls = TlsFiles {
        client_cert: file("cert.pem", ours.pem()),
        client_key: file("key.pem", key.serialize_pem()),
        ..tls
    };
    let objects = MemoryObjects::default();
    let with = SourceConfig { tls, ..without };
    fetch_and_compare(&mut GitSource::new(with, &objects, None), &repository, None).await;
}

#[tokio::test]
async fn a_certificate_out_of_its_time_is_a_matter_of_the_clock() {
    let repository = small();
    let authority = authority();
    let folder = tempfile::tempdir().unwrap();
    for years in [(2080, 2090), (2001, 2002)] {
        let server = tls_server(&repository, &authority, years);
        let tls = ca_file(&folder, &authority);
        let failure = failed(SourceConfig { tls, ..config(&server, "clusters") }).await;
        assert_eq!(failure.step, LinkStep::Clock, "{failure}");
    }
}

#[tokio::test]
async fn a_probe_names_each_step_and_stops_at_the_first_that_fails() {
    let repository = small();
    let server = Server::start(&repository);
    let names = |steps: &[ProbeStep]| -> Vec<(LinkStep, bool)> {
        steps.iter().map(|step| (step.step, step.outcome.is_ok())).collect()
    };
    let good = probe(&config(&server, &repository.path(1))).await;
    assert_eq!(
        names(&good),
        [
            (LinkStep::Dns, true),
            (LinkStep::Connect, true),
            (LinkStep::Auth, true),
            (LinkStep::Ref, true),
            (LinkStep::Path, true)
        ]
    );
    let reference = Reference::Tag("v1".into());
    let bad = probe(&SourceConfig { reference, ..config(&server, "clusters") }).await;
    assert_eq!(names(&bad).last(), Some(&(LinkStep::Ref, false)));
}

#[tokio::test]
async fn a_probe_of_a_tls_server_tells_whether_its_certificate_is_accepted() {
    let repository = small();
    let authority = authority();
    let folder = tempfile::tempdir().unwrap();
    let server = tls_server(&repository, &authority, (2020, 2090));
    let plain = config(&server, &repository.path(1));
    let last = probe(&plain).await.pop().unwrap();
    assert_eq!((last.step, last.outcome.is_ok()), (LinkStep::Tls, false));
    let steps = probe(&SourceConfig { tls: ca_file(&folder, &authority), ..plain }).await;
    assert!(steps.iter().any(|step| step.step == LinkStep::Tls && step.outcome.is_ok()));
    assert_eq!(
        steps.last().map(|step| (step.step, step.outcome.is_ok())),
        Some((LinkStep::Path, true))
    );
}
