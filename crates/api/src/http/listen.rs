//! Connections: from a listener to the endpoint, until the server stops.
//!
//! Not poem's own server (3.1.12): after a connection failed it drives it once more, to end it gracefully, and hyper then writes the last
//! chunk of the body that had just failed (RFC 9112 7.1). The client would take a table that broke off for a whole one.

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

/// How long a client may take to send the head of a request.
const HEAD: Duration = Duration::from_secs(60);
/// The most connections at one time; more wait to be accepted.
const MAX_CONNECTIONS: usize = 4096;
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
                // Answers are whole pieces; waiting for more to send with them would only make them late.
                let _ = socket.set_nodelay(true);
                let serving = connection(&builder, &graceful, Arc::clone(&endpoint), remote);
                let over = over.clone();
                tokio::spawn(async move {
                    // Before the first byte there is nothing to wait for: such a connection ends with the server, and has no time to waste.
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
                tracing::warn!(%error, "a connection could not be taken");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
    drop(listener);
    over.cancel();
    if tokio::time::timeout(drain, graceful.shutdown()).await.is_err() {
        tracing::warn!("some connections outlived the time that they had to end; they are cut");
    }
}

/// The next connection, once there is a place for it.
async fn accepted(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> std::io::Result<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    let place = Arc::clone(places).acquire_owned().await;
    let place = place.map_err(std::io::Error::other)?;
    let (socket, remote) = listener.accept().await?;
    Ok((socket, remote, place))
}

/// What serves a connection from there.
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
                // Clients that go away, and bodies that failed, which were logged where they did.
                tracing::debug!(error = &*error, "a connection ended before its time");
            }
        })
    }
}
