//! A small HTTP/1.1 server for other parts to stand on: TLS on demand, stops
//! and comes back on the same port, adds no header of its own.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, PoisonError, RwLock},
};

use anyhow::{Context, Result};
use bytes::Bytes;
use futures::future::BoxFuture;
use http_body_util::{BodyExt, Full, combinators::UnsyncBoxBody};
use hyper::{Request, Response, StatusCode, body::Incoming, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use tokio_rustls::TlsAcceptor;
use tokio_util::task::AbortOnDropHandle;

use crate::background;

pub(crate) type Body = UnsyncBoxBody<Bytes, io::Error>;
/// An error cuts the connection without an answer.
pub(crate) type Answer = BoxFuture<'static, io::Result<Response<Body>>>;
type Handler = Arc<dyn Fn(Request<Incoming>) -> Answer + Send + Sync>;
type Acceptor = Arc<RwLock<Option<TlsAcceptor>>>;

pub(crate) struct HttpServer {
    address: SocketAddr,
    handler: Handler,
    acceptor: Acceptor,
    serving: Mutex<Option<AbortOnDropHandle<()>>>,
}

impl std::fmt::Debug for HttpServer {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("HttpServer").field("address", &self.address).finish_non_exhaustive()
    }
}

impl HttpServer {
    /// Serves on a free loopback port.
    pub(crate) fn start(
        acceptor: Option<TlsAcceptor>,
        handler: impl Fn(Request<Incoming>) -> Answer + Send + Sync + 'static,
    ) -> Result<Self> {
        let listener = background::listen(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))
            .context("cannot listen on loopback")?;
        let address = listener.local_addr().context("a listener has no address")?;
        let server = Self {
            address,
            handler: Arc::new(handler),
            acceptor: Arc::new(RwLock::new(acceptor)),
            serving: Mutex::new(None),
        };
        server.serve(listener);
        Ok(server)
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn has_tls(&self) -> bool {
        self.acceptor.read().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// For connections from now on.
    pub(crate) fn set_acceptor(&self, acceptor: TlsAcceptor) {
        *self.acceptor.write().unwrap_or_else(PoisonError::into_inner) = Some(acceptor);
    }

    /// Closes the port and every connection; connects are refused when it returns.
    pub(crate) async fn stop(&self) {
        let serving = self.serving.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(serving) = serving {
            serving.abort();
            let _aborted = serving.await;
        }
    }

    /// Serves on the same port again; nothing to do for one that serves.
    pub(crate) async fn start_again(&self) -> Result<()> {
        if self.serving.lock().unwrap_or_else(PoisonError::into_inner).is_some() {
            return Ok(());
        }
        let listener = background::listen_again(self.address)
            .await
            .with_context(|| format!("cannot listen on {} again", self.address))?;
        self.serve(listener);
        Ok(())
    }

    fn serve(&self, listener: TcpListener) {
        let accept = accept(listener, Arc::clone(&self.handler), Arc::clone(&self.acceptor));
        *self.serving.lock().unwrap_or_else(PoisonError::into_inner) =
            Some(background::spawn(accept));
    }
}

async fn accept(listener: TcpListener, handler: Handler, acceptor: Acceptor) {
    // Dropping the set with this future ends every connection.
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((stream, _)) = accepted else { continue };
                let tls = acceptor.read().unwrap_or_else(PoisonError::into_inner).clone();
                connections.spawn(connection(stream, Arc::clone(&handler), tls));
            }
            Some(_ended) = connections.join_next() => {}
        }
    }
}

async fn connection(stream: TcpStream, handler: Handler, tls: Option<TlsAcceptor>) {
    // A client that goes away in the middle is what these servers are for.
    let _client_is_gone = stream.set_nodelay(true);
    match tls {
        Some(tls) => {
            if let Ok(stream) = tls.accept(stream).await {
                speak_http(stream, handler).await;
            }
        }
        None => speak_http(stream, handler).await,
    }
}

async fn speak_http(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    handler: Handler,
) {
    let service = service_fn(move |request| handler(request));
    let _client_is_gone = hyper::server::conn::http1::Builder::new()
        .auto_date_header(false)
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

pub(crate) fn whole(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}

pub(crate) fn plain(status: StatusCode, text: &str) -> Response<Body> {
    let mut response = Response::new(whole(text.to_owned()));
    *response.status_mut() = status;
    response
}
