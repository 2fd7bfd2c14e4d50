//! THE DOOR: the only way from a guest to the network. `http.send` and `wasi:http`, in every version of the contract, end here.
//!
//! In this order, and nothing of it can be left out:
//! parse → [`request`]: forbidden headers, methods, schemes, user names → [`decide`]: manifest ∩ grant ∩ step scope ∩ ceiling → budget →
//! add the credentials of the step's connection ([`credentials`]) → resolve → [`address`]: judge every address, dial only what was judged
//! ([`connect`]) → send with deadlines → take the response within its limits ([`response`]), secrets masked ([`echo`]) → record the exchange,
//! whatever came of it ([`record`]).
//!
//! Redirects are not followed: a `3xx` comes back, and whoever follows it asks again, from the beginning.
//! Bodies are not decompressed: the door asks for no encoding, and a guest that does gets the bytes as they came,
//! so a limit on bytes is a limit on what crosses.
//!
//! One pool serves all plugins. That is sound because a [`Door`] has one address policy for its whole life, every connection in its pool was
//! dialled under it, the pool's key is scheme and authority, which [`decide`] checks for each request, and credentials belong
//! to a request, never to a connection. A name that resolves elsewhere later does not move an open connection.

pub mod address;
mod blobs;
mod connect;
mod credentials;
mod echo;
mod error;
mod pass;
mod record;
mod rehearse;
mod request;
mod response;
mod route;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use flowcell_core::capability::{Ceiling, RequestTarget, decide};
use flowcell_core::exchange::{AddedCredentials, BodyPolicy};
use flowcell_core::ports::Clock;
use flowcell_core::time::Timestamp;
use http_body_util::Full;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::capture_connection;
use hyper_util::rt::TokioTimer;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub(crate) use blobs::CallBlobs;
pub use connect::{Dial, Network, Resolve, SystemDial, SystemResolve};
pub use error::{SendError, SendErrorCode};
pub use ipnet::IpNet;
pub use pass::{Budget, CallPass};
pub use request::{OutboundRequest, is_forbidden_header};
pub use response::OutboundResponse;
pub use route::Routes;

use address::AddressPolicy;
use connect::{Connector, DialledAddress, Tracked};
use credentials::CallCredentials;
use record::Entry;
pub(crate) use rehearse::{Pinned, Source};
use request::Prepared;

/// The status by which a peer says that credentials are not, or no longer, good (RFC 9110 §15.5.2).
const UNAUTHORIZED: u16 = 401;

/// What the operator sets. Every limit has a default.
#[derive(Debug, Clone)]
pub struct EgressConfig {
    /// What nobody may exceed.
    pub ceiling: Ceiling,
    /// `--egress-allow CIDR`: special addresses that may be dialled all the same. Metadata services stay closed.
    pub allow_addresses: Vec<IpNet>,
    /// Origins whose requests go to another one.
    pub routes: Routes,
    /// For resolving, TCP and TLS together. 10 s: three SYNs are sent in 7 s.
    pub connect_timeout: Duration,
    /// From the connection to the response's headers. 60 s: what reverse proxies commonly wait.
    pub first_byte_timeout: Duration,
    /// Between two pieces of a body.
    pub idle_body_timeout: Duration,
    /// For a whole exchange; the call's deadline and the guest's wish shorten it. 2 min.
    pub exchange_timeout: Duration,
    /// 8 MiB: what `http.send` may move across in one call.
    pub request_bytes_max: usize,
    /// 8 MiB (PROMISES §3).
    pub response_bytes_max: usize,
    /// 64 KiB (PROMISES §3); also for the headers of a request.
    pub header_bytes_max: usize,
    /// A body up to this size stays whole in the run's log, so that the call can be replayed. 64 KiB: what APIs answer about one thing; a page of a
    /// list is often larger.
    pub recorded_whole_bytes_max: usize,
    /// How much of a larger text body stays there. 4 KiB: enough to see an error message.
    pub recorded_bytes_max: usize,
    /// Kept open to one authority. 128: twice the connections of the benchmark's widest run.
    pub idle_connections_max: usize,
    /// 30 s: below the idle timeouts of common servers and load balancers (60 s), so that reuse seldom meets a closed one.
    pub idle_connection_timeout: Duration,
}

impl Default for EgressConfig {
    fn default() -> Self {
        Self {
            ceiling: Ceiling::default(),
            allow_addresses: Vec::new(),
            routes: Routes::default(),
            connect_timeout: Duration::from_secs(10),
            first_byte_timeout: Duration::from_mins(1),
            idle_body_timeout: Duration::from_secs(30),
            exchange_timeout: Duration::from_mins(2),
            request_bytes_max: 8 * 1024 * 1024,
            response_bytes_max: 8 * 1024 * 1024,
            header_bytes_max: 64 * 1024,
            recorded_whole_bytes_max: 64 * 1024,
            recorded_bytes_max: 4 * 1024,
            idle_connections_max: 128,
            idle_connection_timeout: Duration::from_secs(30),
        }
    }
}

impl EgressConfig {
    fn recorded(&self) -> BodyPolicy {
        BodyPolicy { whole_bytes_max: self.recorded_whole_bytes_max, excerpt_bytes_max: self.recorded_bytes_max }
    }
}

/// The one door. Cheap to clone: every clone is the same door with the same pool.
#[derive(Clone)]
pub struct Door {
    inner: Arc<Inner>,
}

struct Inner {
    config: EgressConfig,
    clock: Arc<dyn Clock>,
    policy: Arc<AddressPolicy>,
    client: Client<Connector, Full<Bytes>>,
    /// For what is no HTTP.
    network: Network,
    /// The pool's connections live in tasks of this tracker.
    connections: TaskTracker,
    closing: CancellationToken,
}

impl std::fmt::Debug for Door {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Door").field("config", &self.inner.config).finish_non_exhaustive()
    }
}

impl Door {
    /// A door to the real network.
    pub fn new(config: EgressConfig, clock: Arc<dyn Clock>) -> Self {
        Self::with_network(config, clock, Network::system())
    }

    /// A door to `network`: tests give names the addresses they want. The policy in between is the same.
    pub fn with_network(config: EgressConfig, clock: Arc<dyn Clock>, network: Network) -> Self {
        let policy = Arc::new(AddressPolicy::new(config.allow_addresses.iter().copied()));
        let connector = Connector::new(network.clone(), Arc::clone(&policy), config.connect_timeout)
            .with_routes(config.routes.clone());
        let connections = TaskTracker::new();
        let closing = CancellationToken::new();
        let client = Client::builder(Tracked { tracker: connections.clone(), closing: closing.clone() })
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(config.idle_connection_timeout)
            .pool_max_idle_per_host(config.idle_connections_max)
            .http1_max_buf_size(config.header_bytes_max)
            .http1_max_headers(response::HEADERS_MAX)
            .http2_max_header_list_size(u32::try_from(config.header_bytes_max).unwrap_or(u32::MAX))
            .build(connector);
        Self { inner: Arc::new(Inner { config, clock, policy, client, network, connections, closing }) }
    }

    /// Sends one buffered request and takes the whole response, within every limit; records the exchange in `pass`.
    pub async fn send(&self, pass: &CallPass, mut request: OutboundRequest) -> Result<OutboundResponse, SendError> {
        let config = &self.inner.config;
        let filled = blobs::fill(&mut request, pass, config).await;
        let mut entry = Entry::begin(pass, &request, self.inner.clock.now(), config.recorded());
        let asked = pass.clock().passed();
        let outcome = match (filled, pass.source()) {
            (Err(error), _) => Err(error),
            (Ok(_), Source::Recorded(recorded)) => rehearse::replay(recorded, pass, request, &mut entry, config),
            (Ok(answer), Source::Network | Source::Pinned(_)) => {
                let mut outcome = self.inner.exchange(pass, request, &mut entry).await;
                if let Ok(response) = &mut outcome
                    && let Some(facts) = blobs::keep(answer, response, pass)
                {
                    entry.set_head(response.status, &response.headers);
                    entry.set_kept(&facts);
                }
                outcome
            }
        };
        let took = entry.finish(outcome.as_ref().err());
        pass.clock().advance_to(asked.saturating_add(took));
        outcome
    }

    /// The same for the types of the `http` crate, for `wasi:http`: takes the request's body whole, then goes through [`Door::send`].
    pub async fn send_http<B>(
        &self,
        pass: &CallPass,
        request: http::Request<B>,
        timeout: Option<Duration>,
    ) -> Result<http::Response<Bytes>, SendError>
    where
        B: http_body::Body<Data = Bytes>,
        B::Error: std::fmt::Display,
    {
        let head = OutboundRequest {
            method: request.method().as_str().to_owned(),
            url: request.uri().to_string(),
            ..OutboundRequest::default()
        };
        match self.take(pass, request).await {
            Ok(request) => Ok(self.send(pass, OutboundRequest { timeout, ..request }).await?.into_http()),
            Err(error) => {
                let entry = Entry::begin(pass, &head, self.inner.clock.now(), self.inner.config.recorded());
                entry.finish(Some(&error));
                Err(error)
            }
        }
    }

    /// Takes a streamed request whole, within its size and what is left of the call.
    async fn take<B>(&self, pass: &CallPass, request: http::Request<B>) -> Result<OutboundRequest, SendError>
    where
        B: http_body::Body<Data = Bytes>,
        B::Error: std::fmt::Display,
    {
        let config = &self.inner.config;
        let left = pass.deadline().since(self.inner.clock.now()).min(config.exchange_timeout);
        tokio::time::timeout(left, request::take(request, config.request_bytes_max)).await.unwrap_or_else(|_| {
            Err(SendError::timeout("the request's body was not complete when the time for it was over"))
        })
    }

    /// Opens a connection for a protocol of the host's own, such as SMTP: the name is resolved, judged and dialled here like that of a request,
    /// within the operator's ceiling and the time to connect. Nothing of it is a guest's.
    pub async fn dial(&self, host: &str, port: u16) -> Result<tokio::net::TcpStream, SendError> {
        let Inner { config, network, policy, .. } = &*self.inner;
        config.ceiling.admit_host(host)?;
        connect::dial(network.clone(), Arc::clone(policy), (host, port), config.connect_timeout).await
    }

    /// What time it is.
    pub(crate) fn now(&self) -> Timestamp {
        self.inner.clock.now()
    }

    /// Ends every connection and waits until they are gone.
    pub async fn close(&self) {
        self.inner.closing.cancel();
        self.inner.connections.close();
        self.inner.connections.wait().await;
    }
}

impl Inner {
    async fn exchange(
        &self,
        pass: &CallPass,
        request: OutboundRequest,
        entry: &mut Entry<'_>,
    ) -> Result<OutboundResponse, SendError> {
        let config = &self.config;
        let timeout = request.timeout;
        let mut prepared = Prepared::new(request, pass, config)?;
        entry.set_url(&prepared.url);
        {
            let target = RequestTarget::new(&prepared.method, &prepared.url)?;
            decide(&target, pass.rights(), pass.scope(), &config.ceiling)?;
            pass.admits_method(&prepared.method)?;
            pass.spend_request(prepared.body.len())?;
        }
        if let Source::Pinned(pinned) = pass.source() {
            connect::check_literal(&self.policy, &prepared.url)?;
            if let Some(credentials) = pass.credentials() {
                credentials.show(&mut prepared, entry, self.clock.now());
            }
            return rehearse::answer(pinned, pass, prepared, entry, config);
        }
        let left = pass.deadline().since(self.clock.now()).min(config.exchange_timeout);
        let left = timeout.map_or(left, |timeout| timeout.min(left));
        if left.is_zero() {
            return Err(SendError::timeout("the time of this call was over before the request could be sent"));
        }
        let deadline = Instant::now() + left;
        match pass.credentials() {
            Some(credentials) => {
                self.send_authorized(credentials, prepared, &mut Sending { pass, entry, deadline }).await
            }
            None => self.dispatch(prepared, &mut Sending { pass, entry, deadline }).await,
        }
    }

    /// Sends a request with what the call's connection adds to it; once more when the peer refuses that and it can be renewed.
    async fn send_authorized(
        &self,
        credentials: &CallCredentials,
        prepared: Prepared,
        sending: &mut Sending<'_, '_>,
    ) -> Result<OutboundResponse, SendError> {
        let message = credentials.next_message();
        if !credentials.is_bound_to(&prepared, &message, self.clock.now()) {
            sending.entry.set_credentials(credentials.nothing_added());
            return self.dispatch(prepared, sending).await;
        }
        let mut authorized = prepared.clone();
        let now = self.clock.now();
        let added = within(sending.deadline, credentials.add(&mut authorized, &message, now)).await?;
        sending.entry.set_credentials(added);
        let response = self.dispatch(authorized, sending).await?;
        if response.status != UNAUTHORIZED || !within(sending.deadline, credentials.renew()).await? {
            return Ok(response);
        }
        if sending.pass.spend_request(prepared.body.len()).is_err() {
            return Ok(response);
        }
        let mut authorized = prepared;
        let added = within(sending.deadline, credentials.add(&mut authorized, &message, self.clock.now())).await?;
        sending.entry.set_credentials(AddedCredentials { renewed: true, ..added });
        self.dispatch(authorized, sending).await
    }

    /// Connects and sends, and takes the response.
    async fn dispatch(&self, prepared: Prepared, sending: &mut Sending<'_, '_>) -> Result<OutboundResponse, SendError> {
        let config = &self.config;
        let Sending { pass, entry, deadline } = sending;
        let (pass, deadline) = (*pass, *deadline);
        let now = Instant::now();
        let first_byte = deadline.min(now + config.connect_timeout + config.first_byte_timeout);

        let mut request = prepared.into_http()?;
        let is_head = request.method() == http::Method::HEAD;
        let connection = capture_connection(&mut request);
        // From here on it may be under way, should the call be cut off.
        entry.set_possibly_sent(true);
        let response = match timeout_at(first_byte, self.client.request(request)).await {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => {
                let connected = DialledAddress::of_connection(&connection);
                entry.set_address(connected.or_else(|| DialledAddress::of_failure(&error)));
                entry.set_possibly_sent(connected.is_some());
                return Err(SendError::from_client(&error));
            }
            Err(_) => {
                let connected = DialledAddress::of_connection(&connection);
                entry.set_address(connected);
                entry.set_possibly_sent(connected.is_some());
                let waited = first_byte.duration_since(now).as_millis();
                return Err(SendError::timeout(format!("no response began within {waited} ms")));
            }
        };
        entry.set_address(DialledAddress::of_response(&response));
        let taken = response::take(response, is_head, pass, entry, config, deadline).await;
        entry.set_possibly_sent(taken.is_err());
        taken
    }
}

/// What the sending of one request takes and leaves.
struct Sending<'s, 'p> {
    pass: &'s CallPass,
    entry: &'s mut Entry<'p>,
    deadline: Instant,
}

/// Renewing credentials is the other side's time as well.
async fn within<T>(deadline: Instant, credentials: impl Future<Output = Result<T, SendError>>) -> Result<T, SendError> {
    timeout_at(deadline, credentials).await.unwrap_or_else(|_| {
        Err(SendError::timeout(
            "the credentials of the step's connection were not there when the time for the request was over",
        ))
    })
}
