//! Connections: from a listener to the endpoint, until the server stops.
//!
//! Not poem's own server (3.1.12): after a connection failed it drives it once more, to end it gracefully, and hyper then writes the last
//! chunk of the body that had just failed (RFC 9112 7.1). The client would take a table that broke off for a whole one.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use poem::http::uri::Scheme;
use poem::web::{LocalAddr, RemoteAddr};
use poem::{Addr, Endpoint, Response};
use tokio::net::{TcpListener, TcpStream};

/// How long a client may take to send the head of a request.
const HEAD: Duration = Duration::from_secs(60);
/// How long to wait when no connection can be taken, for want of file descriptors.
const PAUSE: Duration = Duration::from_millis(100);

/// Serves until `stop` ends; then takes no more connections, and gives those that are there `drain` to end what they do.
pub async fn serve<E>(listener: TcpListener, endpoint: E, stop: impl Future<Output = ()>, drain: Duration)
where
    E: Endpoint<Output = Response> + 'static,
{
    let endpoint = Arc::new(endpoint);
    let graceful = GracefulShutdown::new();
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD);
    let mut stop = std::pin::pin!(stop);
    loop {
        let accepted = tokio::select! {
            () = &mut stop => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((socket, remote)) => {
                // Answers are whole pieces; waiting for more to send with them would only make them late.
                let _ = socket.set_nodelay(true);
                connection(&builder, &graceful, Arc::clone(&endpoint), socket, remote);
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be taken");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
    drop(listener);
    if tokio::time::timeout(drain, graceful.shutdown()).await.is_err() {
        tracing::warn!("some connections outlived the time that they had to end; they are cut");
    }
}

fn connection<E>(
    builder: &Builder<TokioExecutor>,
    graceful: &GracefulShutdown,
    endpoint: Arc<E>,
    socket: TcpStream,
    remote: std::net::SocketAddr,
) where
    E: Endpoint<Output = Response> + 'static,
{
    let local = socket.local_addr().map_or(remote, |local| local);
    let service = hyper::service::service_fn(move |request| {
        let endpoint = Arc::clone(&endpoint);
        let request = (
            request,
            LocalAddr(Addr::SocketAddr(local)),
            RemoteAddr(Addr::SocketAddr(remote)),
            Scheme::HTTP,
        );
        async move {
            let response = endpoint.get_response(request.into()).await;
            Ok::<_, Infallible>(hyper::Response::from(response))
        }
    });
    let connection = builder
        .serve_connection_with_upgrades(TokioIo::new(socket), service)
        .into_owned();
    let connection = graceful.watch(connection);
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            // Clients that go away, and bodies that failed, which were logged where they did.
            tracing::debug!(error = &*error, "a connection ended before its time");
        }
    });
}
