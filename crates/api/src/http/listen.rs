//! Connections: from a listener to the endpoint, until shutdown.
//!
//! Not poem's own server (3.1.12): after a connection failed, it drives the connection once more to end it gracefully,
//! and hyper then writes the last chunk of the body that had just failed (RFC 9112 7.1). The client would take a
//! truncated table for a complete one.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use poem::http::uri::Scheme;
use poem::web::{LocalAddr, RemoteAddr};
use poem::{Addr, Endpoint, Response};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

/// Time limit for a client to send the head of a request.
const HEAD: Duration = Duration::from_secs(60);
/// Maximum number of concurrent connections; further ones wait to be accepted.
const MAX_CONNECTIONS: usize = 4096;
/// Pause after a failed accept, for example when file descriptors run out.
const PAUSE: Duration = Duration::from_millis(100);

/// Serves until `stop` resolves. Then it accepts no more connections and lets the open ones finish for at most `drain`.
pub async fn serve<E>(listener: TcpListener, endpoint: E, stop: impl Future<Output = ()>, drain: Duration)
where
    E: Endpoint<Output = Response> + 'static,
{
    let endpoint = Arc::new(endpoint);
    let graceful = GracefulShutdown::new();
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(HEAD)
        .keep_alive_timeout(HEAD / 3);
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let over = CancellationToken::new();
    let mut stop = std::pin::pin!(stop);
    loop {
        let accepted = tokio::select! {
            () = &mut stop => break,
            accepted = accepted(&listener, &places) => accepted,
        };
        match accepted {
            Ok((socket, remote, place)) => {
                // Responses are sent in whole pieces; waiting for more data would only delay them.
                let _ = socket.set_nodelay(true);
                let serving = connection(&builder, &graceful, Arc::clone(&endpoint), remote);
                let over = over.clone();
                tokio::spawn(async move {
                    // Before the first byte the server waits for nothing. Such a connection ends with the server, and
                    // within the head's time limit.
                    let spoken = tokio::select! {
                        () = over.cancelled() => false,
                        spoken = tokio::time::timeout(HEAD, socket.readable()) => matches!(spoken, Ok(Ok(()))),
                    };
                    if spoken {
                        serving(socket).await;
                    }
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "accepting a connection failed");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
    drop(listener);
    over.cancel();
    if tokio::time::timeout(drain, graceful.shutdown()).await.is_err() {
        tracing::warn!("some connections exceeded the drain time and are closed");
    }
}

/// Accepts the next connection, once a slot is free.
async fn accepted(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> std::io::Result<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    let place = Arc::clone(places).acquire_owned().await;
    let place = place.map_err(std::io::Error::other)?;
    let (socket, remote) = listener.accept().await?;
    Ok((socket, remote, place))
}

/// Returns the future factory that serves one connection from `remote`.
fn connection<E>(
    builder: &Builder<TokioExecutor>,
    graceful: &GracefulShutdown,
    endpoint: Arc<E>,
    remote: SocketAddr,
) -> impl FnOnce(TcpStream) -> BoxFuture<'static, ()> + use<E>
where
    E: Endpoint<Output = Response> + 'static,
{
    let (builder, watcher) = (builder.clone(), graceful.watcher());
    move |socket: TcpStream| {
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
        Box::pin(async move {
            let connection = builder
                .serve_connection_with_upgrades(TokioIo::new(socket), service)
                .into_owned();
            if let Err(error) = watcher.watch(connection).await {
                // Causes: clients that disconnect, and failed bodies, which are already logged.
                tracing::debug!(error = &*error, "a connection ended prematurely");
            }
        })
    }
}
