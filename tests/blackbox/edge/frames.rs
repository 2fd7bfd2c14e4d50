//! HTTP/2 as bytes (RFC 9113, RFC 7541): enough to write any request, the wrong ones above all, and to read what comes of it.

pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub(super) const DATA: u8 = 0;
pub(super) const HEADERS: u8 = 1;
pub(super) const RST_STREAM: u8 = 3;
pub(super) const SETTINGS: u8 = 4;
pub(super) const GOAWAY: u8 = 7;
pub(super) const CONTINUATION: u8 = 9;

pub(super) const END_STREAM: u8 = 1;
pub(super) const END_HEADERS: u8 = 4;

/// The largest payload of a frame unless more is agreed on.
const FRAME_MAX: usize = 16_384;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) kind: u8,
    pub(super) flags: u8,
    pub(super) stream: u32,
    pub(super) payload: Vec<u8>,
}

impl Frame {
    pub(super) fn new(kind: u8, flags: u8, stream: u32, payload: impl Into<Vec<u8>>) -> Self {
        Self { kind, flags, stream, payload: payload.into() }
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        let length = u32::try_from(self.payload.len()).unwrap().to_be_bytes();
        let mut bytes = length[1..].to_vec();
        bytes.extend([self.kind, self.flags]);
        bytes.extend(self.stream.to_be_bytes());
        bytes.extend(&self.payload);
        bytes
    }
}

/// What a client says first.
pub(super) fn hello() -> Vec<u8> {
    [PREFACE.to_vec(), Frame::new(SETTINGS, 0, 0, []).bytes()].concat()
}

/// The frames of a head: HEADERS, and as many CONTINUATIONs as it takes. Fields are written literally, without any compression.
pub(super) fn head(stream: u32, fields: &[(&str, &str)], flags: u8) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0); // literal, not indexed, with a new name
        for text in [name, value] {
            integer(&mut block, text.len());
            block.extend(text.as_bytes());
        }
    }
    let mut bytes = Vec::new();
    let pieces: Vec<&[u8]> = block.chunks(FRAME_MAX).collect();
    for (index, piece) in pieces.iter().enumerate() {
        let kind = if index == 0 { HEADERS } else { CONTINUATION };
        let first = if index == 0 { flags } else { 0 };
        let last = if index + 1 == pieces.len() { END_HEADERS } else { 0 };
        bytes.extend(Frame::new(kind, first | last, stream, *piece).bytes());
    }
    bytes
}

/// A length with a prefix of seven bits (RFC 7541 §5.1).
fn integer(block: &mut Vec<u8>, mut number: usize) {
    if number < 127 {
        block.push(u8::try_from(number).unwrap());
        return;
    }
    block.push(127);
    number -= 127;
    while number >= 128 {
        block.push(u8::try_from(number % 128).unwrap() | 128);
        number /= 128;
    }
    block.push(u8::try_from(number).unwrap());
}

/// The whole frames in these bytes.
pub(super) fn frames(mut bytes: &[u8]) -> Vec<Frame> {
    let mut frames = Vec::new();
    while let [a, b, c, kind, flags, s0, s1, s2, s3, rest @ ..] = bytes {
        let length = u32::from_be_bytes([0, *a, *b, *c]) as usize;
        if rest.len() < length {
            break;
        }
        let stream = u32::from_be_bytes([*s0, *s1, *s2, *s3]);
        frames.push(Frame::new(*kind, *flags, stream, &rest[..length]));
        bytes = &rest[length..];
    }
    frames
}

/// The `:status` at the beginning of an answer's head, as h2 writes it: indexed, or as a literal with the static table's name.
pub(super) fn status(block: &[u8]) -> Option<u16> {
    let mut block = block;
    while let [0x20..=0x3f, rest @ ..] = block {
        block = rest; // the size of the dynamic table
    }
    match block {
        [indexed @ 0x88..=0x8e, ..] => [200, 204, 206, 304, 400, 404, 500].get(usize::from(indexed - 0x88)).copied(),
        [0x48 | 0x08 | 0x18, length, digits @ ..] => {
            let digits = digits.get(..usize::from(length & 0x7f))?;
            if length & 0x80 == 0 { std::str::from_utf8(digits).ok()?.parse().ok() } else { huffman_digits(digits) }
        }
        _ => None,
    }
}

/// Three digits in the code of RFC 7541, appendix B: 0 to 2 have five bits, 3 to 9 have six.
fn huffman_digits(bytes: &[u8]) -> Option<u16> {
    let bits: Vec<u8> = bytes.iter().flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1)).collect();
    let (mut at, mut number) = (0, 0u16);
    for _ in 0..3 {
        let take =
            |count: usize| bits.get(at..at + count).map(|bits| bits.iter().fold(0, |n, bit| n << 1 | u16::from(*bit)));
        let (digit, length) = match take(5)? {
            digit @ 0..=2 => (digit, 5),
            _ => (take(6)?.checked_sub(0b01_1001)? + 3, 6),
        };
        number = number * 10 + digit;
        at += length;
    }
    Some(number)
}

#[test]
fn statuses_are_read_in_each_way_they_are_written() {
    assert_eq!(status(&[0x88]), Some(200));
    assert_eq!(status(&[0x20, 0x8d]), Some(404));
    assert_eq!(status(b"\x48\x03413"), Some(413));
    assert_eq!(status(&[0x48, 0x82, 0x64, 0x02]), Some(302)); // RFC 7541 C.6.1
    assert_eq!(status(&[0x48, 0x83, 0x64, 0x0e, 0xff]), Some(307)); // C.6.2
}
