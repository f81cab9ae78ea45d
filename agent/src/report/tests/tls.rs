//! The receiver's certificate comes from a private authority, and so does ours.

use camino::{Utf8Path, Utf8PathBuf};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::{RootCertStore, ServerConfig, server::WebPkiClientVerifier};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_rustls::TlsAcceptor;

use super::*;

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority() -> Authority {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// Accepts one connection after the other, only from clients that the authority knows.
async fn serve(listener: tokio::net::TcpListener, authority: &Authority) {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let certificate = params.signed_by(&key, authority).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(authority.der().clone()).unwrap();
    let verifier = WebPkiClientVerifier::builder(Arc::new(roots)).build().unwrap();
    let key = rustls::pki_types::PrivatePkcs8KeyDer::from(key.serialize_der());
    let config = ServerConfig::builder()
        .with_client_cert_verifier(verifier)
        .with_single_cert(vec![certificate.der().clone()], key.into())
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let Ok(mut stream) = acceptor.accept(stream).await else { continue };
        let mut request = Vec::new();
        // The one event in it is smaller than a segment, and ends the list.
        while !request.ends_with(b"}]") {
            if stream.read_buf(&mut request).await.unwrap_or(0) == 0 {
                break;
            }
        }
        let answer = b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n";
        drop(stream.write_all(answer).await);
        drop(stream.shutdown().await);
    }
}

fn write(folder: &Utf8Path, name: &str, text: &str) -> Utf8PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, text).unwrap();
    path
}

/// Tries to deliver one event; the first failure, or that it arrived.
async fn deliver(tls: TlsFiles, authority: &Authority) -> Result<(), String> {
    let world = World::new(|_, _| ok());
    world.push(1);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let config =
        ReportConfig { url: format!("https://localhost:{port}/v1/events"), tls, ..config() };
    let reporter = Reporter::new(Arc::clone(&world.store), "shop", &config, 7).with_pacing(QUICK);
    let mut delivery = reporter.delivery();
    let run = reporter.run(world.wake.subscribe(), CancellationToken::new(), || stamp().wall);
    let arrived = async {
        while !world.drained() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::select! {
        () = serve(listener, authority) => unreachable!("it serves for ever"),
        () = run => unreachable!("nobody asked it to stop"),
        () = arrived => Ok(()),
        failed = delivery.wait_for(|delivery| delivery.failures > 0) => Err(failed.unwrap().evidence.clone()),
    }
}

#[tokio::test]
async fn a_private_authority_and_a_client_certificate_are_used() {
    drop(rustls::crypto::ring::default_provider().install_default());
    let folder = tempfile::tempdir().unwrap();
    let folder = Utf8Path::from_path(folder.path()).unwrap();
    let authority = authority();
    let key = KeyPair::generate().unwrap();
    let client = CertificateParams::new(vec!["shop".to_owned()]).unwrap();
    let client = client.signed_by(&key, &authority).unwrap();
    let known = TlsFiles {
        ca: Some(write(folder, "ca.pem", &authority.pem())),
        client_cert: Some(write(folder, "cert.pem", &client.pem())),
        client_key: Some(write(folder, "key.pem", &key.serialize_pem())),
    };
    assert_eq!(deliver(known.clone(), &authority).await, Ok(()));

    let nameless = TlsFiles { client_cert: None, client_key: None, ..known.clone() };
    assert!(deliver(nameless, &authority).await.is_err());

    let stranger = TlsFiles { ca: None, ..known.clone() };
    let evidence = deliver(stranger, &authority).await.unwrap_err();
    assert!(evidence.contains("certificate"), "{evidence}");

    let missing = TlsFiles { ca: Some(folder.join("gone.pem")), ..known };
    let evidence = deliver(missing, &authority).await.unwrap_err();
    let expected = format!("cannot read {folder}/gone.pem for the report receiver: ");
    assert!(evidence.starts_with(&expected), "{evidence}");
}
