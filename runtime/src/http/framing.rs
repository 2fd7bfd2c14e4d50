//! Where each request of an HTTP/1 connection begins and ends, from its bytes alone and before hyper sees them.
//!
//! hyper settles some ambiguous requests by itself (RFC 9112 lets it): beside `Transfer-Encoding: chunked` it drops `Content-Length`, equal
//! `Content-Length`s it merges, lines may end with a bare line feed, white space is forgiven here and there. A proxy in front may settle them
//! otherwise, and then the two disagree about where the next request begins. So nothing that can be read in two ways gets as far as hyper.
//!
//! It is strict and small rather than clever: a head and a chunk's line are held back until they are whole, and then looked at line by line.
//! It does no IO and knows no time; [`super::gate`] has both.

use crate::http::limits::Limits;
use crate::http::refusal::Refusal;
use crate::http::syntax;

/// What an HTTP/2 connection begins with (RFC 9113 §3.4). Not a byte of it is HTTP/1's business.
const H2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A chunk's size takes 16 digits; the rest is for extensions, which nobody needs, but RFC 9112 §7.1.1 wants overlooked.
const CHUNK_LINE_MAX: usize = 256;

/// Nobody here reads trailers; a checksum or a signature, which they are used for, takes some hundred bytes.
const TRAILER_BYTES_MAX: usize = 4 * 1024;

/// What the next bytes are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// So many bytes are a whole head, well formed.
    Head(usize),
    /// So many bytes belong to a body, its framing included, or to another protocol.
    Body(usize),
    /// They are the beginning of something that is not whole yet.
    More,
    /// Nothing that is taken.
    Refuse(Refusal),
}

/// Follows one connection.
#[derive(Debug)]
pub(super) struct Framing {
    target_bytes_max: usize,
    head_bytes_max: usize,
    fields_max: usize,
    place: Place,
}

#[derive(Debug)]
enum Place {
    /// The first bytes decide which protocol it is.
    Start,
    Head(Head),
    Body {
        left: u64,
    },
    ChunkSize,
    Chunk {
        left: u64,
    },
    ChunkEnd,
    Trailers,
    Http2,
}

/// What is known of a head that is not whole yet.
#[derive(Debug, Default)]
struct Head {
    /// Where the line begins that is read next, and how far a line feed was looked for.
    line: usize,
    searched: usize,
    request: Option<syntax::RequestLine>,
    fields: usize,
    hosts: usize,
    length: Option<u64>,
    is_chunked: bool,
}

/// How a body is framed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Body {
    Length(u64),
    Chunked,
}

impl Framing {
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            target_bytes_max: limits.target_bytes_max,
            head_bytes_max: limits.header_bytes_max,
            fields_max: limits.headers_max,
            place: Place::Start,
        }
    }

    /// Whether the next byte belongs to a request's head.
    pub(super) fn is_in_head(&self) -> bool {
        matches!(self.place, Place::Start | Place::Head(_))
    }

    /// Whether HTTP/2 is spoken.
    pub(super) fn is_http2(&self) -> bool {
        matches!(self.place, Place::Http2)
    }

    /// Looks at bytes that follow those of earlier steps; what a step did not take comes again, with more behind it.
    pub(super) fn step(&mut self, bytes: &[u8]) -> Step {
        match &mut self.place {
            Place::Start => {
                let seen = bytes.len().min(H2_PREFACE.len());
                if bytes.get(..seen) != H2_PREFACE.get(..seen) {
                    self.place = Place::Head(Head::default());
                    return self.step(bytes);
                }
                if seen < H2_PREFACE.len() {
                    return Step::More;
                }
                self.place = Place::Http2;
                Step::Body(bytes.len())
            }
            Place::Http2 => Step::Body(bytes.len()),
            Place::Head(_) => self.step_head(bytes),
            Place::Body { left } => {
                let taken = take(left, bytes);
                if *left == 0 {
                    self.place = Place::Head(Head::default());
                }
                Step::Body(taken)
            }
            Place::Chunk { left } => {
                let taken = take(left, bytes);
                if *left == 0 {
                    self.place = Place::ChunkEnd;
                }
                Step::Body(taken)
            }
            Place::ChunkSize => self.step_chunk_size(bytes),
            Place::ChunkEnd => match bytes {
                [b'\r', b'\n', ..] => {
                    self.place = Place::ChunkSize;
                    Step::Body(2)
                }
                [] | [b'\r'] => Step::More,
                _ => Step::Refuse(Refusal::ChunkEnd),
            },
            Place::Trailers => self.step_trailers(bytes),
        }
    }

    fn step_head(&mut self, bytes: &[u8]) -> Step {
        let Place::Head(head) = &mut self.place else { return Step::More };
        loop {
            let Some(end) = bytes.iter().skip(head.searched).position(|byte| *byte == b'\n') else {
                head.searched = bytes.len();
                return match self.too_long(bytes.len()) {
                    Some(refusal) => Step::Refuse(refusal),
                    None => Step::More,
                };
            };
            let end = head.searched + end;
            let line = bytes.get(head.line..end).unwrap_or_default();
            (head.line, head.searched) = (end + 1, end + 1);
            let Some(line) = line.strip_suffix(b"\r") else { return Step::Refuse(Refusal::BareLineFeed) };
            let taken = match head.request {
                // RFC 9112 §2.2: an empty line before a request is overlooked, one.
                None if line.is_empty() && end == 1 => Ok(()),
                None => syntax::request_line(line, self.target_bytes_max).map(|line| head.request = Some(line)),
                Some(request) if line.is_empty() => {
                    let place = match head.finish(request) {
                        Ok(Body::Length(0)) => Place::Head(Head::default()),
                        Ok(Body::Length(left)) => Place::Body { left },
                        Ok(Body::Chunked) => Place::ChunkSize,
                        Err(refusal) => return Step::Refuse(refusal),
                    };
                    self.place = place;
                    return match end + 1 {
                        length if length > self.head_bytes_max => Step::Refuse(Refusal::HeadTooLong),
                        length => Step::Head(length),
                    };
                }
                Some(_) => head.take(line, self.fields_max),
            };
            if let Err(refusal) = taken {
                return Step::Refuse(refusal);
            }
        }
    }

    /// Why a head of which so much is there, and not the end, is given up.
    fn too_long(&self, length: usize) -> Option<Refusal> {
        /// The longest method that is registered has 17 letters; with two spaces and the version.
        const AROUND_TARGET: usize = 32;
        let Place::Head(head) = &self.place else { return None };
        match head.request {
            None if length > self.target_bytes_max.saturating_add(AROUND_TARGET) => Some(Refusal::TargetTooLong),
            _ if length > self.head_bytes_max => Some(Refusal::HeadTooLong),
            _ => None,
        }
    }

    fn step_chunk_size(&mut self, bytes: &[u8]) -> Step {
        let Some(end) = bytes.iter().take(CHUNK_LINE_MAX).position(|byte| *byte == b'\n') else {
            return if bytes.len() < CHUNK_LINE_MAX { Step::More } else { Step::Refuse(Refusal::ChunkSize) };
        };
        let line = bytes.get(..end).and_then(|line| line.strip_suffix(b"\r"));
        match line.ok_or(Refusal::ChunkSize).and_then(syntax::chunk_size) {
            Ok(0) => self.place = Place::Trailers,
            Ok(left) => self.place = Place::Chunk { left },
            Err(refusal) => return Step::Refuse(refusal),
        }
        Step::Body(end + 1)
    }

    /// One trailer at a time; an empty line ends the body. hyper counts them and their bytes together.
    fn step_trailers(&mut self, bytes: &[u8]) -> Step {
        let Some(end) = bytes.iter().take(TRAILER_BYTES_MAX).position(|byte| *byte == b'\n') else {
            return if bytes.len() < TRAILER_BYTES_MAX { Step::More } else { Step::Refuse(Refusal::Trailer) };
        };
        match bytes.get(..end).and_then(|line| line.strip_suffix(b"\r")) {
            None => Step::Refuse(Refusal::Trailer),
            Some([]) => {
                self.place = Place::Head(Head::default());
                Step::Body(end + 1)
            }
            Some(line) => match syntax::field(line) {
                Ok((name, _)) if !is_steering(name) => Step::Body(end + 1),
                _ => Step::Refuse(Refusal::Trailer),
            },
        }
    }
}

impl Head {
    fn take(&mut self, line: &[u8], fields_max: usize) -> Result<(), Refusal> {
        let (name, value) = syntax::field(line)?;
        self.fields += 1;
        if self.fields > fields_max {
            return Err(Refusal::TooManyFields);
        }
        match name.len() {
            4 if name.eq_ignore_ascii_case(b"host") => {
                self.hosts += 1;
                if self.hosts > 1 {
                    return Err(Refusal::TwoHosts);
                }
            }
            6 if name.eq_ignore_ascii_case(b"expect") && !value.eq_ignore_ascii_case(b"100-continue") => {
                return Err(Refusal::Expectation);
            }
            14 if name.eq_ignore_ascii_case(b"content-length") => {
                let length = syntax::length(value)?;
                if self.length.replace(length).is_some() {
                    return Err(Refusal::TwoLengths);
                }
            }
            17 if name.eq_ignore_ascii_case(b"transfer-encoding") => {
                let names_chunked = |coding: &[u8]| coding.trim_ascii().eq_ignore_ascii_case(b"chunked");
                let all_chunked = value.split(|byte| *byte == b',').all(names_chunked);
                match () {
                    () if value.is_empty() || self.is_chunked => return Err(Refusal::TwoCodings),
                    () if value.eq_ignore_ascii_case(b"chunked") => self.is_chunked = true,
                    () if all_chunked => return Err(Refusal::TwoCodings),
                    () => return Err(Refusal::UnknownCoding),
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// What the whole head says of the body behind it (RFC 9112 §6.3, without its leniencies).
    fn finish(&self, request: syntax::RequestLine) -> Result<Body, Refusal> {
        if self.hosts == 0 && !request.is_http10 {
            return Err(Refusal::NoHost);
        }
        match (self.is_chunked, self.length) {
            (true, _) if request.is_http10 => Err(Refusal::CodingInHttp10),
            (true, Some(_)) => Err(Refusal::LengthAndCoding),
            (true, None) => Ok(Body::Chunked),
            (false, length) => Ok(Body::Length(length.unwrap_or(0))),
        }
    }
}

/// Takes as much as there is of what is left, and says how much.
fn take(left: &mut u64, bytes: &[u8]) -> usize {
    let taken = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
    *left -= taken as u64;
    taken
}

/// Headers that say how a message is read or where it goes, which no trailer may (RFC 9110 §6.5.1).
fn is_steering(name: &[u8]) -> bool {
    const STEERING: [&[u8]; 6] =
        [b"transfer-encoding", b"content-length", b"host", b"connection", b"expect", b"authorization"];
    STEERING.iter().any(|steering| name.eq_ignore_ascii_case(steering))
}

#[cfg(test)]
mod tests;
