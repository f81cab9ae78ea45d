use http::HeaderValue;

use super::*;

fn headers(value: &str) -> HeaderMap {
    HeaderMap::from_iter([(header::RETRY_AFTER, HeaderValue::from_str(value).unwrap())])
}

#[test]
fn only_whole_seconds_are_a_time_to_wait() {
    assert_eq!(wait_asked(&headers("1")), Some(Duration::from_secs(1)));
    assert_eq!(wait_asked(&headers("soon")), None);
    assert_eq!(wait_asked(&headers("-1")), None);
    assert_eq!(wait_asked(&HeaderMap::new()), None);
}

/// A way to whoever listens on this port.
async fn transport_to(port: u16) -> Transport {
    drop(rustls::crypto::ring::default_provider().install_default());
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("config");
    let server = format!("http://127.0.0.1:{port}");
    let kubeconfig = serde_json::json!({"current-context": "x",
        "clusters": [{"name": "c", "cluster": {"server": server}}],
        "contexts": [{"name": "x", "context": {"cluster": "c"}}]});
    std::fs::write(&file, kubeconfig.to_string()).unwrap();
    Transport::new(Access::new(camino::Utf8Path::from_path(&file)).await.unwrap())
}

async fn blamed(transport: &Transport) -> [String; 2] {
    let write = Call { method: Method::PATCH, ..Call::get("/api".to_owned(), JSON) };
    let read = Call::get("/api".to_owned(), JSON);
    let blame = async |call| transport.no_answer(call, WRITE_TIMEOUT).await.to_string();
    [blame(&write).await, blame(&read).await]
}

#[tokio::test]
async fn a_write_that_hangs_while_others_are_answered_does_not_blame_the_api_server() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let live = axum::Router::new().route("/livez", axum::routing::get(async || "ok"));
    let said = tokio::select! {
        // Never ends by itself; both are dropped with the test.
        _ = axum::serve(listener, live).into_future() => unreachable!("the server ended"),
        said = async { blamed(&transport_to(port).await).await } => said,
    };
    insta::assert_snapshot!(said.join("\n"), @r"
    the API server does not answer this write within 32 s, though it answers others: a webhook may hang
    the API server cannot be reached: no answer within 32 s
    ");
}

#[tokio::test]
async fn without_any_answer_the_api_server_is_to_blame_for_a_write_too() {
    // Nothing listens on port 1.
    for said in blamed(&transport_to(1).await).await {
        assert_eq!(said, "the API server cannot be reached: no answer within 32 s");
    }
}
