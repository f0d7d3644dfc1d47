//! Connections: from a listener to the endpoint, until shutdown.
//!
//! Not poem's own server (3.1.12): after a connection failed, it drives the connection once more to end it gracefully,
//! and hyper then writes the last chunk of the body that had just failed (RFC 9112 7.1). The client would take a
//! truncated table for a complete one.

mod answers;
mod connection;
mod connections;
mod framing;
mod served;
mod socket;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use futures::future::BoxFuture;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use poem::http::StatusCode;
use poem::http::uri::Scheme;
use poem::web::{LocalAddr, RemoteAddr};
use poem::{Addr, Endpoint, Response};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

pub(crate) use connection::Connection;
pub use connection::ConnectionLimits;
use connection::Overdue;
use connections::{Admitted, Connections};
use served::Served;
use socket::Socket;

/// Number of sockets beyond the connections' places: of those that make way or are refused, until they are closed.
const LEAVING: usize = 32;
/// Maximum number of bytes that a connection buffers, also of a head.
const MAX_BUFFER: usize = 128 * 1024;
/// Maximum number of concurrent requests of one connection with HTTP/2.
const MAX_STREAMS: u32 = 64;
/// Pause after a failed accept, for example when file descriptors run out.
const PAUSE: Duration = Duration::from_millis(100);

/// Serves until `stop` resolves. Then it accepts no more connections and lets the open ones finish for at most `drain`.
pub async fn serve<E>(
    listener: TcpListener,
    endpoint: E,
    limits: ConnectionLimits,
    stop: impl Future<Output = ()>,
    drain: Duration,
) where
    E: Endpoint<Output = Response> + 'static,
{
    let endpoint = Arc::new(endpoint);
    let graceful = GracefulShutdown::new();
    let builder = builder(&limits);
    let connections = Arc::new(Connections::new(limits));
    let sockets = Arc::new(Semaphore::new(
        limits
            .total
            .get()
            .saturating_add(LEAVING)
            .min(Semaphore::MAX_PERMITS),
    ));
    let over = CancellationToken::new();
    let mut stop = std::pin::pin!(stop);
    loop {
        let accepted = tokio::select! {
            () = &mut stop => break,
            accepted = accepted(&listener, &sockets) => accepted,
        };
        match accepted {
            Ok((socket, remote, open)) => {
                // Responses are sent in whole pieces; waiting for more data would only delay them.
                let _ = socket.set_nodelay(true);
                let Some(admitted) = connections.admit(remote.ip()) else {
                    tokio::spawn(async move {
                        let busy = answers::raw(
                            StatusCode::SERVICE_UNAVAILABLE,
                            "too_many_connections",
                            "too many connections are in use; try again later",
                        );
                        answers::write_and_close(socket, &busy).await;
                        drop(open);
                    });
                    continue;
                };
                let held = Arc::clone(&admitted.connection);
                let serving = connection(&builder, &graceful, Arc::clone(&endpoint), held, remote);
                tokio::spawn(serve_one(socket, admitted, open, over.clone(), serving));
            }
            Err(error) => {
                tracing::warn!(%error, "accepting a connection failed");
                connections.make_way();
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

fn builder(limits: &ConnectionLimits) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        // The clocks of the connection come first, and answer.
        .header_read_timeout(2 * limits.idle.max(limits.head))
        .max_buf_size(MAX_BUFFER);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(limits.idle)
        .keep_alive_timeout(limits.idle / 3)
        .max_concurrent_streams(MAX_STREAMS);
    builder
}

/// Accepts the next connection, once the sockets of enough earlier ones are closed.
async fn accepted(
    listener: &TcpListener,
    sockets: &Arc<Semaphore>,
) -> std::io::Result<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    let open = Arc::clone(sockets).acquire_owned().await;
    let open = open.map_err(std::io::Error::other)?;
    let (socket, remote) = listener.accept().await?;
    Ok((socket, remote, open))
}

/// Serves one connection, once its client has said something.
async fn serve_one(
    socket: TcpStream,
    admitted: Admitted,
    open: OwnedSemaphorePermit,
    over: CancellationToken,
    serving: impl FnOnce(TcpStream) -> BoxFuture<'static, ()> + Send,
) {
    // Before the first byte the server waits for nothing. Such a connection ends with the server, and in time.
    let spoken = tokio::select! {
        () = over.cancelled() => false,
        _ = admitted.connection.overdue() => false,
        spoken = socket.readable() => spoken.is_ok(),
    };
    if spoken {
        serving(socket).await;
    } else {
        drop(socket);
    }
    drop((admitted, open));
}

/// Returns the future factory that serves one connection from `remote`.
fn connection<E>(
    builder: &Builder<TokioExecutor>,
    graceful: &GracefulShutdown,
    endpoint: Arc<E>,
    held: Arc<Connection>,
    remote: SocketAddr,
) -> impl FnOnce(TcpStream) -> BoxFuture<'static, ()> + Send + use<E>
where
    E: Endpoint<Output = Response> + 'static,
{
    let (builder, watcher) = (builder.clone(), graceful.watcher());
    move |socket: TcpStream| {
        let local = socket.local_addr().map_or(remote, |local| local);
        let clocks = Arc::clone(&held);
        let service = hyper::service::service_fn(move |mut request: hyper::Request<Incoming>| {
            let endpoint = Arc::clone(&endpoint);
            let (ambiguous, in_flight) = held.begin();
            let refused = answers::malformed(&request, ambiguous);
            request.extensions_mut().insert(Arc::clone(&held));
            let request = (
                request,
                LocalAddr(Addr::SocketAddr(local)),
                RemoteAddr(Addr::SocketAddr(remote)),
                Scheme::HTTP,
            );
            async move {
                let response = match refused {
                    Some(why) => answers::refusal(why),
                    None => endpoint.get_response(request.into()).await,
                };
                Ok::<_, Infallible>(Served::response(hyper::Response::from(response), in_flight))
            }
        });
        Box::pin(async move {
            let io = TokioIo::new(Socket::new(socket, Arc::clone(&clocks)));
            let connection = builder.serve_connection_with_upgrades(io, service).into_owned();
            let mut serving = std::pin::pin!(watcher.watch(connection));
            let overdue = tokio::select! {
                ended = &mut serving => {
                    if let Err(error) = ended {
                        // Causes: clients that disconnect, and failed bodies, which are already logged.
                        tracing::debug!(error = &*error, "a connection ended prematurely");
                    }
                    return;
                }
                overdue = clocks.overdue() => overdue,
            };
            tracing::debug!(?overdue, %remote, "a connection is closed");
            if overdue == Overdue::Head {
                // hyper is reading; the socket writes the response. Whatever hyper says to that, it ends here.
                clocks.refuse_late();
                std::future::poll_fn(|cx| {
                    let _ = serving.as_mut().poll(cx);
                    Poll::Ready(())
                })
                .await;
            }
        })
    }
}
