//! From a scheme, host and port to an open connection. The only place that resolves names and dials; it dials exactly the addresses it judged.
//!
//! If *any* address of a name is forbidden, the name is refused: whoever controls its records could otherwise mix a public address with a
//! private one and wait for the dice. Resolving, judging and dialling are one step, so that a second answer (rebinding) is never asked for.

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use async_trait::async_trait;
use http::Uri;
use hyper::rt::{Executor, Read, ReadBufCursor, Write};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder, MaybeHttpsStream};
use hyper_util::client::legacy::connect::{CaptureConnection, Connected, Connection};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower_service::Service;

use super::address::{AddressPolicy, Refusal};
use super::error::{SendError, find};
use super::route::Routes;

/// Addresses tried for one connection: a dual-stack pair and a few replicas. All are judged, however many there are.
const DIALLED_MAX: usize = 6;

/// Turns names into addresses. Address literals never come here.
#[async_trait]
pub trait Resolve: Send + Sync {
    async fn resolve(&self, host: &str) -> io::Result<Vec<IpAddr>>;
}

/// Opens a TCP connection to an address that was judged.
#[async_trait]
pub trait Dial: Send + Sync {
    async fn dial(&self, address: SocketAddr) -> io::Result<TcpStream>;
}

/// The machine's resolver (getaddrinfo), as the operator configured it.
#[derive(Debug, Clone, Copy)]
pub struct SystemResolve;

#[async_trait]
impl Resolve for SystemResolve {
    async fn resolve(&self, host: &str) -> io::Result<Vec<IpAddr>> {
        Ok(tokio::net::lookup_host((host, 0)).await?.map(|address| address.ip()).collect())
    }
}

/// The machine's network.
#[derive(Debug, Clone, Copy)]
pub struct SystemDial;

#[async_trait]
impl Dial for SystemDial {
    #[expect(clippy::disallowed_methods, reason = "this is the door: the address was judged, and nothing else dials")]
    async fn dial(&self, address: SocketAddr) -> io::Result<TcpStream> {
        TcpStream::connect(address).await
    }
}

/// How names become addresses and addresses connections.
#[derive(Clone)]
pub struct Network {
    pub resolve: Arc<dyn Resolve>,
    pub dial: Arc<dyn Dial>,
}

impl Network {
    pub fn system() -> Self {
        Self { resolve: Arc::new(SystemResolve), dial: Arc::new(SystemDial) }
    }
}

impl std::fmt::Debug for Network {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Network")
    }
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectError {
    #[error("{}{refusal}", resolved(host))]
    Refused { host: String, refusal: Refusal },
    #[error("the name `{host}` does not resolve")]
    Resolve { host: String, source: io::Error },
    #[error("the name `{host}` has no addresses")]
    NoAddress { host: String },
    #[error("no connection to {address}")]
    Dial { address: SocketAddr, source: io::Error },
    #[error("TLS failed")]
    Tls { source: Box<dyn std::error::Error + Send + Sync> },
    #[error("no connection within {limit_ms} ms (resolving, TCP and TLS together)")]
    Timeout { limit_ms: u128 },
}

fn resolved(host: &str) -> String {
    if literal(host).is_some() { String::new() } else { format!("`{host}` resolves to a forbidden address: ") }
}

/// The address in a URI's host, if it is one.
fn literal(host: &str) -> Option<IpAddr> {
    host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host).parse().ok()
}

/// Judges the address in a URL, if it names one: all that can be said of a destination without asking anybody.
pub(super) fn check_literal(policy: &AddressPolicy, url: &url::Url) -> Result<(), SendError> {
    let address = match url.host() {
        Some(url::Host::Ipv4(address)) => IpAddr::V4(address),
        Some(url::Host::Ipv6(address)) => IpAddr::V6(address),
        Some(url::Host::Domain(_)) | None => return Ok(()),
    };
    let refused = |refusal| ConnectError::Refused { host: address.to_string(), refusal };
    policy.check(address).map_err(refused).map_err(|error| SendError::from_connect(&error))
}

/// Opens TCP connections to judged addresses; TLS is laid over it by [`Connector`].
#[derive(Clone)]
struct Guarded {
    network: Network,
    policy: Arc<AddressPolicy>,
    timeout: Duration,
}

impl Guarded {
    async fn connect(self, uri: Uri) -> Result<Dialled, ConnectError> {
        let host = uri.host().unwrap_or_default();
        let port = uri.port_u16().unwrap_or(if uri.scheme() == Some(&http::uri::Scheme::HTTPS) { 443 } else { 80 });
        let addresses = self.addresses(host, port).await?;
        self.dial_first(host, addresses).await
    }

    /// What the host stands for; all of it was judged.
    async fn addresses(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, ConnectError> {
        let addresses = match literal(host) {
            Some(address) => vec![address],
            None => self
                .network
                .resolve
                .resolve(host)
                .await
                .map_err(|source| ConnectError::Resolve { host: host.to_owned(), source })?,
        };
        for address in &addresses {
            self.policy.check(*address).map_err(|refusal| ConnectError::Refused { host: host.to_owned(), refusal })?;
        }
        Ok(addresses.into_iter().map(|address| SocketAddr::new(address.to_canonical(), port)).collect())
    }

    /// Tries the addresses in the resolver's order, each for its share of the time, so that a dead one does not use up all of it.
    async fn dial_first(self, host: &str, addresses: Vec<SocketAddr>) -> Result<Dialled, ConnectError> {
        let tried = addresses.len().min(DIALLED_MAX);
        let mut failure = ConnectError::NoAddress { host: host.to_owned() };
        for address in addresses.into_iter().take(DIALLED_MAX) {
            let share = self.timeout / u32::try_from(tried).unwrap_or(1);
            failure = match tokio::time::timeout(share, self.network.dial.dial(address)).await {
                Ok(Ok(stream)) => {
                    // Without it, a small request waits for the acknowledgement of the one before.
                    stream.set_nodelay(true).map_err(|source| ConnectError::Dial { address, source })?;
                    return Ok(Dialled { stream: TokioIo::new(stream), address: DialledAddress(address) });
                }
                Ok(Err(source)) => ConnectError::Dial { address, source },
                Err(_) if tried == 1 => ConnectError::Timeout { limit_ms: self.timeout.as_millis() },
                Err(_) => ConnectError::Dial { address, source: io::ErrorKind::TimedOut.into() },
            };
        }
        Err(failure)
    }
}

/// A connection for what is no HTTP, to a host and port that were judged as those of a request are.
pub(super) async fn dial(
    network: Network,
    policy: Arc<AddressPolicy>,
    (host, port): (&str, u16),
    timeout: Duration,
) -> Result<TcpStream, SendError> {
    let guarded = Guarded { network, policy, timeout };
    let connecting = async move {
        let addresses = guarded.addresses(host, port).await?;
        guarded.dial_first(host, addresses).await
    };
    match tokio::time::timeout(timeout, connecting).await {
        Ok(Ok(dialled)) => Ok(dialled.stream.into_inner()),
        Ok(Err(error)) => Err(SendError::from_connect(&error)),
        Err(_) => Err(SendError::from_connect(&ConnectError::Timeout { limit_ms: timeout.as_millis() })),
    }
}

type Connecting<S, E> = Pin<Box<dyn Future<Output = Result<S, E>> + Send>>;

impl Service<Uri> for Guarded {
    type Response = Dialled;
    type Error = ConnectError;
    type Future = Connecting<Dialled, ConnectError>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ConnectError>> {
        Poll::Ready(Ok(()))
    }
    fn call(&mut self, uri: Uri) -> Self::Future {
        Box::pin(self.clone().connect(uri))
    }
}

/// What the pooled client dials with: judged TCP, TLS for `https`, one timeout over both.
#[derive(Clone)]
pub(super) struct Connector {
    https: HttpsConnector<Guarded>,
    routes: Arc<Routes>,
    timeout: Duration,
}

impl Connector {
    /// Trusts the roots of the Mozilla programme; SNI and certificate check use the name, not the address that was dialled.
    pub(super) fn new(network: Network, policy: Arc<AddressPolicy>, timeout: Duration) -> Self {
        let guarded = Guarded { network, policy, timeout };
        let https = HttpsConnectorBuilder::new()
            .with_provider_and_webpki_roots(rustls::crypto::ring::default_provider())
            .expect("ring implements the default protocol versions")
            .https_or_http()
            .enable_http1()
            .enable_http2()
            .wrap_connector(guarded);
        Self { https, routes: Arc::default(), timeout }
    }
}

impl Connector {
    /// Dials what the operator says instead of some origins.
    pub(super) fn with_routes(self, routes: Routes) -> Self {
        Self { routes: Arc::new(routes), ..self }
    }
}

impl Service<Uri> for Connector {
    type Response = MaybeHttpsStream<Dialled>;
    type Error = ConnectError;
    type Future = Connecting<Self::Response, ConnectError>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ConnectError>> {
        Poll::Ready(Ok(()))
    }
    fn call(&mut self, uri: Uri) -> Self::Future {
        let connecting = self.https.call(self.routes.instead_of(&uri).unwrap_or(uri));
        let limit = self.timeout;
        Box::pin(async move {
            match tokio::time::timeout(limit, connecting).await {
                Ok(Ok(stream)) => Ok(stream),
                // What is not ours was raised by the TLS layer in between.
                Ok(Err(error)) => Err(match error.downcast::<ConnectError>() {
                    Ok(error) => *error,
                    Err(source) => ConnectError::Tls { source },
                }),
                Err(_) => Err(ConnectError::Timeout { limit_ms: limit.as_millis() }),
            }
        })
    }
}

/// The address that was judged and dialled.
#[derive(Debug, Clone, Copy)]
pub(super) struct DialledAddress(SocketAddr);

impl DialledAddress {
    pub(super) fn of_response<B>(response: &http::Response<B>) -> Option<SocketAddr> {
        response.extensions().get::<Self>().map(|address| address.0)
    }
    pub(super) fn of_connection(connection: &CaptureConnection) -> Option<SocketAddr> {
        let mut extensions = http::Extensions::new();
        connection.connection_metadata().as_ref()?.get_extras(&mut extensions);
        extensions.get::<Self>().map(|address| address.0)
    }
    pub(super) fn of_failure(error: &hyper_util::client::legacy::Error) -> Option<SocketAddr> {
        match find::<ConnectError>(error) {
            Some(ConnectError::Dial { address, .. }) => Some(*address),
            _ => None,
        }
    }
}

/// A TCP connection that remembers which address it was dialled to.
#[derive(Debug)]
pub(super) struct Dialled {
    stream: TokioIo<TcpStream>,
    address: DialledAddress,
}

impl Connection for Dialled {
    fn connected(&self) -> Connected {
        Connected::new().extra(self.address)
    }
}

impl Read for Dialled {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl Write for Dialled {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, buffers)
    }
}

/// Runs the pool's connections in a tracker, until the door closes.
#[derive(Debug, Clone)]
pub(super) struct Tracked {
    pub(super) tracker: TaskTracker,
    pub(super) closing: CancellationToken,
}

impl<F> Executor<F> for Tracked
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, connection: F) {
        let closing = self.closing.clone();
        self.tracker.spawn(async move {
            closing.run_until_cancelled(connection).await;
        });
    }
}
