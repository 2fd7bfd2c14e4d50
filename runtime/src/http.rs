//! The HTTP edge: accepts connections, enforces limits, gives every request an id, and turns every failure into a problem document.
//! It knows nothing of workflows; [`crate::api`] and [`crate::ingress`] do.
//!
//! In the order in which a request meets them: [`serve`] accepts if [`admission`] has a place ([`turn_away`] answers if not); [`gate`] looks at
//! the bytes ([`framing`], [`syntax`]) and says what it refuses ([`refusal`]); [`connection`] runs hyper and watches the connection;
//! [`limits`] checks the head; a route reads the [`body`].

pub(crate) mod admission;
pub(crate) mod body;
mod connection;
pub(crate) mod descriptors;
pub(crate) mod document;
mod framing;
mod gate;
pub(crate) mod limits;
pub(crate) mod page;
pub(crate) mod problem;
pub(crate) mod refusal;
pub(crate) mod request_id;
pub(crate) mod serve;
mod syntax;
mod throttle;
mod turn_away;

pub(crate) use connection::KeepsOpen;
