//! Server-sent events as they come (WHATWG HTML §9.2.6), as far as Flowcell sends them: one line of data each.

use bytes::{Buf, BytesMut};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde_json::Value;

/// The longest line that is read; the server cuts entries far below.
const LINE_BYTES_MAX: usize = 1024 * 1024;

#[derive(Debug)]
pub(crate) struct Events {
    body: Incoming,
    lines: Lines,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Event {
    pub(crate) kind: String,
    pub(crate) id: Option<String>,
    pub(crate) data: Value,
}

impl Events {
    pub(super) fn new(body: Incoming) -> Self {
        Self { body, lines: Lines::default() }
    }

    /// The next event; nothing when the stream has ended, as it was meant to or not.
    pub(crate) async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.lines.event()? {
                return Some(event);
            }
            let frame = self.body.frame().await?.ok()?;
            if let Ok(data) = frame.into_data() {
                self.lines.waiting.extend_from_slice(&data);
            }
        }
    }
}

/// What came and is not used up yet.
#[derive(Debug, Default)]
struct Lines {
    waiting: BytesMut,
    kind: String,
    id: Option<String>,
    data: Option<Value>,
}

impl Lines {
    /// The next event if it is whole; nothing at all when the other side speaks something else.
    #[expect(clippy::option_option, reason = "the outer one ends the stream, for the `?` of its caller")]
    fn event(&mut self) -> Option<Option<Event>> {
        while let Some(end) = self.waiting.iter().position(|byte| *byte == b'\n') {
            let line = self.waiting.split_to(end);
            self.waiting.advance(1);
            let line = std::str::from_utf8(&line).ok()?.trim_end_matches('\r');
            match line.split_once(": ") {
                Some(("event", kind)) => kind.clone_into(&mut self.kind),
                Some(("id", id)) => self.id = Some(id.to_owned()),
                Some(("data", data)) => self.data = Some(serde_json::from_str(data).ok()?),
                None if line.is_empty() => {
                    let (kind, id) = (std::mem::take(&mut self.kind), self.id.take());
                    if let Some(data) = self.data.take() {
                        return Some(Some(Event { kind, id, data }));
                    }
                }
                // A comment that keeps the connection, or `retry`.
                _ => {}
            }
        }
        (self.waiting.len() <= LINE_BYTES_MAX).then_some(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn events_are_whole_however_they_arrive() {
        let text = "retry: 1000\n\n: keep-alive\n\nevent: log\ndata: {\"a\":1}\n\nevent: entry\nid: 7\ndata: {\"b\":\"x: y\"}\n\n";
        for size in [1, 7, text.len()] {
            let (mut lines, mut seen) = (Lines::default(), Vec::new());
            for piece in text.as_bytes().chunks(size) {
                lines.waiting.extend_from_slice(piece);
                while let Some(event) = lines.event().unwrap() {
                    seen.push((event.kind, event.id, event.data));
                }
            }
            let entry = ("entry".to_owned(), Some("7".to_owned()), json!({ "b": "x: y" }));
            assert_eq!(seen, [("log".to_owned(), None, json!({ "a": 1 })), entry], "{size}");
        }
    }

    #[test]
    fn what_is_no_stream_of_ours_ends_it() {
        let mut lines = Lines::default();
        lines.waiting.extend_from_slice(b"data: no json\n");
        assert_eq!(lines.event(), None);
        let mut lines = Lines::default();
        lines.waiting.extend_from_slice(&vec![b'x'; LINE_BYTES_MAX + 1]);
        assert_eq!(lines.event(), None);
    }
}
