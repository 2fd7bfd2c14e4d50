//! Who is let in: connections and requests are counted, in all and for each client, and beyond their limits turned away at once.
//!
//! Deliveries are shed last: what the API is asked is refused when half of the places are taken, so that the other half is left to senders
//! who may not come again. Health checks are always answered, since whoever asks would otherwise restart a server that is only busy.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::http::limits::Limits;
use crate::http::problem::{Kind, Problem};

/// The clients that are connected, and the requests in flight.
#[derive(Debug)]
pub(crate) struct Admission {
    connections_max: usize,
    connections_per_client_max: usize,
    requests_max: usize,
    requests_per_client_max: usize,
    requests: Arc<AtomicUsize>,
    clients: Arc<Mutex<Clients>>,
}

#[derive(Debug, Default)]
struct Clients {
    connections: usize,
    by_address: HashMap<IpAddr, Arc<Client>>,
}

/// What one address has open. The connections change only under the lock of all.
#[derive(Debug, Default)]
pub(crate) struct Client {
    connections: AtomicUsize,
    requests: AtomicUsize,
}

/// A connection's place; given back when dropped.
#[derive(Debug)]
pub(crate) struct ConnectionPlace {
    address: IpAddr,
    client: Arc<Client>,
    clients: Arc<Mutex<Clients>>,
}

/// A request's place; given back when dropped.
#[derive(Debug)]
pub(crate) struct RequestPlace {
    requests: Arc<AtomicUsize>,
    client: Option<Arc<Client>>,
}

/// What a request is for, as far as its path tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Calls to triggers' URLs and to resume links.
    Delivery,
    Health,
    Api,
}

impl Purpose {
    pub(crate) fn of(path: &str) -> Self {
        match path {
            "/healthz" | "/readyz" => Self::Health,
            path if path.starts_with("/hooks/") || path.starts_with("/resume/") => Self::Delivery,
            _ => Self::Api,
        }
    }
}

impl Admission {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            connections_max: limits.connections_max,
            connections_per_client_max: limits.connections_per_client_max,
            requests_max: limits.requests_max,
            requests_per_client_max: limits.requests_per_client_max,
            requests: Arc::default(),
            clients: Arc::default(),
        }
    }

    /// Lets a connection in, or says what to answer on it.
    pub(crate) fn connection(&self, address: IpAddr) -> Result<ConnectionPlace, Problem> {
        let address = block(address);
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if clients.connections >= self.connections_max {
            return Err(overloaded("connections", "http.connections_max"));
        }
        let client = Arc::clone(clients.by_address.entry(address).or_default());
        if client.connections.load(Ordering::Relaxed) >= self.connections_per_client_max {
            return Err(too_many("connections", "http.connections_per_client_max"));
        }
        clients.connections += 1;
        client.connections.fetch_add(1, Ordering::Relaxed);
        drop(clients);
        Ok(ConnectionPlace { address, client, clients: Arc::clone(&self.clients) })
    }

    /// Lets a request in, or says what to answer.
    pub(crate) fn request(&self, purpose: Purpose, client: Option<Arc<Client>>) -> Result<RequestPlace, Problem> {
        let before = self.requests.fetch_add(1, Ordering::AcqRel);
        let of_client = client.as_ref().map_or(0, |client| client.requests.fetch_add(1, Ordering::AcqRel));
        // From here on the place is given back, whatever comes.
        let place = RequestPlace { requests: Arc::clone(&self.requests), client };
        let limit = match purpose {
            Purpose::Health => return Ok(place),
            Purpose::Delivery => self.requests_max,
            Purpose::Api => self.requests_max.div_ceil(2),
        };
        if before >= limit {
            return Err(overloaded("requests", "http.requests_max"));
        }
        if of_client >= self.requests_per_client_max {
            return Err(too_many("requests", "http.requests_per_client_max"));
        }
        Ok(place)
    }
}

impl ConnectionPlace {
    pub(crate) fn client(&self) -> Arc<Client> {
        Arc::clone(&self.client)
    }
}

impl Drop for ConnectionPlace {
    fn drop(&mut self) {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        clients.connections -= 1;
        if self.client.connections.fetch_sub(1, Ordering::Relaxed) == 1 {
            clients.by_address.remove(&self.address);
        }
    }
}

impl Drop for RequestPlace {
    fn drop(&mut self) {
        self.requests.fetch_sub(1, Ordering::AcqRel);
        if let Some(client) = &self.client {
            client.requests.fetch_sub(1, Ordering::AcqRel);
        }
    }
}

/// What counts as one client: an IPv4 address, or the /64 that an IPv6 client has to itself and can take any address of.
fn block(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        address @ IpAddr::V4(_) => address,
    }
}

fn overloaded(what: &str, key: &str) -> Problem {
    let detail = format!(
        "As many {what} are open as the server takes (`{key}` in the configuration). Nothing was stored; send the request again a little later."
    );
    Problem::new(Kind::Overloaded, detail).retry_after_ms(None)
}

fn too_many(what: &str, key: &str) -> Problem {
    let detail = format!(
        "Your address has as many {what} open as one client may (`{key}` in the configuration). Nothing was stored; send the request again \
         when others are done."
    );
    Problem::new(Kind::TooManyRequests, detail).retry_after_ms(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    fn admission() -> Admission {
        let limits = crate::config::Config::default().http.limits();
        Admission::new(&Limits {
            connections_max: 3,
            connections_per_client_max: 2,
            requests_max: 4,
            requests_per_client_max: 3,
            ..limits
        })
    }

    fn status<T>(outcome: &Result<T, Problem>) -> u16 {
        outcome.as_ref().map_or_else(|problem| problem.status().as_u16(), |_| 200)
    }

    #[test]
    fn connections_are_counted_in_all_and_for_each_client() {
        let admission = admission();
        let from = |last| admission.connection(Ipv4Addr::new(192, 0, 2, last).into());
        let (first, second) = (from(1), from(1));
        assert_eq!((status(&first), status(&second), status(&from(1))), (200, 200, 429));
        let other = from(2);
        assert_eq!((status(&other), status(&from(3))), (200, 503));
        drop(first);
        assert_eq!(status(&from(1)), 200, "a place is given back");
        drop((second, other));
        assert!(admission.clients.lock().unwrap().by_address.is_empty(), "who has gone is forgotten");
    }

    #[test]
    fn an_ipv6_client_is_one_whatever_address_of_its_network_it_takes() {
        let admission = admission();
        let from = |text: &str| admission.connection(text.parse().unwrap());
        let _open = (from("2001:db8:1:2::1"), from("2001:db8:1:2:ffff::2"));
        assert_eq!(status(&from("2001:db8:1:2::3")), 429);
        assert_eq!(status(&from("2001:db8:1:3::3")), 200);
        let mapped = admission.connection("::ffff:192.0.2.1".parse().unwrap()).unwrap();
        assert_eq!(mapped.address, IpAddr::from([192, 0, 2, 1]));
    }

    #[test]
    fn the_api_is_refused_before_deliveries_and_health_never() {
        let admission = admission();
        let ask = |path| admission.request(Purpose::of(path), None);
        let mut open = vec![ask("/hooks/a"), ask("/resume/b/c")];
        assert_eq!(status(&ask("/api/v2/runs")), 503, "half of the places are taken");
        open.extend([ask("/hooks/a"), ask("/hooks/a")]);
        assert!(open.iter().all(Result::is_ok));
        let refused = ask("/hooks/a").unwrap_err().render("req_1");
        assert_eq!((refused.status().as_u16(), refused.headers()["retry-after"].as_bytes()), (503, &b"1"[..]));
        assert_eq!((status(&ask("/healthz")), status(&ask("/readyz"))), (200, 200));
        open.clear();
        assert_eq!(status(&ask("/api/v2/runs")), 200);
        assert_eq!(admission.requests.load(Ordering::Relaxed), 0, "a refused request holds nothing");
    }

    #[test]
    fn one_client_cannot_take_every_place() {
        let admission = admission();
        let (greedy, other) = (Arc::new(Client::default()), Arc::new(Client::default()));
        let ask = |client: &Arc<Client>| admission.request(Purpose::Delivery, Some(Arc::clone(client)));
        let open: Vec<_> = (0..3).map(|_| ask(&greedy)).collect();
        assert!(open.iter().all(Result::is_ok));
        assert_eq!((status(&ask(&greedy)), status(&ask(&other))), (429, 200));
    }
}
