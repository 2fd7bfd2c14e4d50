//! Why the bytes of an HTTP/1 connection are not taken, and how that is said to the client.

use crate::http::limits::Limits;
use crate::http::problem::{Kind, Problem};

/// What is wrong. Everything here ends the connection: where the next request begins is then anybody's guess, and guessing differently than
/// a proxy in front is how requests are smuggled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    RequestLine,
    Version,
    Target,
    Connect,
    BareLineFeed,
    FoldedLine,
    FieldLine,
    FieldName,
    ControlByte,
    NoHost,
    TwoHosts,
    Length,
    TwoLengths,
    LengthAndCoding,
    CodingInHttp10,
    TwoCodings,
    UnknownCoding,
    Expectation,
    TargetTooLong,
    HeadTooLong,
    TooManyFields,
    TooSlow,
    /// From here on in the body: the request is on its way already, so that its handler sees the body break off.
    ChunkSize,
    ChunkEnd,
    Trailer,
}

impl Refusal {
    /// Whether the request's head was taken before.
    pub(crate) fn is_in_body(self) -> bool {
        matches!(self, Self::ChunkSize | Self::ChunkEnd | Self::Trailer)
    }

    /// The sentence for people.
    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::RequestLine => "The request line is not `METHOD target HTTP/1.1` with single spaces.",
            Self::Version => "Only HTTP/1.0, HTTP/1.1 and HTTP/2 are spoken here.",
            Self::Target => {
                "The request's target is neither a path nor an http URL, or has bytes that have to be percent-encoded."
            }
            Self::Connect => "CONNECT is not answered by this server.",
            Self::BareLineFeed => "A line of the request's head ends with a bare line feed; it has to be CR LF.",
            Self::FoldedLine => "A header is folded over several lines; send it in one.",
            Self::FieldLine => "A line of the request's head has no colon.",
            Self::FieldName => "A header's name is empty, has a space before its colon, or bytes that no name has.",
            Self::ControlByte => "A header's value has a control byte.",
            Self::NoHost => "The request has no Host header.",
            Self::TwoHosts => "The request has more than one Host header.",
            Self::Length => "The Content-Length is not a number of bytes.",
            Self::TwoLengths => "The request has more than one Content-Length.",
            Self::LengthAndCoding => {
                "The request frames its body in two ways: with Content-Length and with Transfer-Encoding."
            }
            Self::CodingInHttp10 => "HTTP/1.0 has no Transfer-Encoding.",
            Self::TwoCodings => "The request names its transfer coding more than once, or not at all.",
            Self::UnknownCoding => "The only transfer coding understood here is `chunked`.",
            Self::Expectation => "The only expectation understood here is `100-continue`.",
            Self::TargetTooLong => "The request's target is too long (`http.target_bytes_max` in the configuration).",
            Self::HeadTooLong => "The request's head is too long (`http.header_bytes_max` in the configuration).",
            Self::TooManyFields => "The request has too many headers (`http.headers_max` in the configuration).",
            Self::TooSlow => {
                "The request's head was not there in time (`http.header_timeout_ms` in the configuration)."
            }
            Self::ChunkSize => "A chunk of the body does not begin with its size, or its line is too long.",
            Self::ChunkEnd => "A chunk of the body is not as long as it says.",
            Self::Trailer => "A trailer of the body is malformed, too long, or one that steers the request.",
        }
    }

    /// What the client is told.
    pub(crate) fn problem(self, limits: &Limits) -> Problem {
        let kind = match self {
            Self::Connect => Kind::MethodNotAllowed,
            Self::UnknownCoding => Kind::NotImplemented,
            Self::Expectation => Kind::ExpectationFailed,
            Self::TargetTooLong => Kind::TargetTooLong,
            Self::HeadTooLong | Self::TooManyFields => Kind::HeadersTooLarge,
            Self::TooSlow => Kind::RequestTimeout,
            _ => Kind::InvalidRequest,
        };
        let limit = match self {
            Self::TargetTooLong => format!(" At most {} bytes are accepted.", limits.target_bytes_max),
            Self::HeadTooLong => format!(" At most {} bytes are accepted.", limits.header_bytes_max),
            Self::TooManyFields => format!(" At most {} are accepted.", limits.headers_max),
            Self::TooSlow => format!(" It may take {} ms.", limits.header_timeout.as_millis()),
            _ => String::new(),
        };
        Problem::new(kind, format!("{}{limit}", self.text()))
    }
}
