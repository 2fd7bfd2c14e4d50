//! A client that sends bytes as they are, and reads answers for what they say.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use flowcell_tests::Server;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// For anything that ought to come; long, since machines that run tests are slow at times, and nothing waits for it that goes well.
pub(super) const PATIENCE: Duration = Duration::from_mins(1);

/// One HTTP/1 answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Said {
    pub(super) status: u16,
    pub(super) head: String,
    pub(super) body: Vec<u8>,
}

impl Said {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.into_iter().find(|(header, _)| header.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }
}

pub(super) fn address(server: &Server) -> SocketAddr {
    server.origin().strip_prefix("http://").unwrap().parse().unwrap()
}

pub(super) fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

/// Sends all of it and reads until the server ends the connection; a reset is an end, too.
pub(super) async fn exchange(address: SocketAddr, bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(address).await?;
    let mut answer = Vec::new();
    let talk = async {
        // The server may close in the middle of it.
        let _ = stream.write_all(bytes).await;
        let _ = stream.read_to_end(&mut answer).await;
    };
    match tokio::time::timeout(PATIENCE, talk).await {
        Ok(()) => Ok(answer),
        Err(_) => Err(io::Error::new(
            io::ErrorKind::TimedOut,
            format!("left hanging after {:?}: {}", String::from_utf8_lossy(&answer), bytes.escape_ascii()),
        )),
    }
}

/// The answers in these bytes; `Err` says what is no HTTP.
pub(super) fn answers(mut bytes: &[u8]) -> Result<Vec<Said>, String> {
    let mut said = Vec::new();
    while !bytes.is_empty() {
        let bad = || format!("no answer: {}", bytes.escape_ascii());
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n").ok_or_else(bad)?;
        let (head, rest) = bytes.split_at(end + 4);
        let head = String::from_utf8(head.to_vec()).map_err(|_| bad())?;
        let status = head.strip_prefix("HTTP/1.1 ").or_else(|| head.strip_prefix("HTTP/1.0 ")).ok_or_else(bad)?;
        let status: u16 = status.get(..3).and_then(|digits| digits.parse().ok()).ok_or_else(bad)?;
        let mut one = Said { status, head, body: Vec::new() };
        let length = one.header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
        // To HEAD a length is said and nothing sent; a connection that was reset may end early.
        let length = rest.len().min(length);
        let length = if rest.starts_with(b"HTTP/1.1 ") { 0 } else { length };
        one.body = rest[..length].to_vec();
        bytes = &rest[length..];
        if one.status != 100 {
            said.push(one);
        }
    }
    Ok(said)
}

pub(super) fn statuses(answers: &[Said]) -> Vec<u16> {
    answers.iter().map(|said| said.status).collect()
}

/// Raises this process's limit of open files as far as it may be; servers that are started inherit it.
pub(super) fn raise_descriptors() -> u64 {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let raised = maximum.unwrap_or(16_384).min(16_384);
    if current.is_some_and(|current| current < raised) {
        let _ = setrlimit(Resource::Nofile, Rlimit { current: Some(raised), maximum });
    }
    getrlimit(Resource::Nofile).current.unwrap_or(16_384)
}

/// So many clients at a time, or as many as a process may have: a quarter of its files, since the server keeps some for itself.
#[expect(clippy::print_stdout, reason = "a test that does less than its name says, says so")]
pub(super) fn clients(wanted: u64) -> usize {
    let possible = raise_descriptors() / 4;
    if possible < wanted {
        println!("only {possible} of {wanted} clients: the limit of open files allows no more (`ulimit -n`)");
    }
    usize::try_from(wanted.min(possible)).unwrap()
}

/// Numbers that look random and are the same each time (xorshift64*).
#[derive(Debug, Clone)]
pub(super) struct Chance(u64);

impl Chance {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }
    pub(super) fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let drawn = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33;
        usize::try_from(drawn).unwrap() % limit.max(1)
    }
    pub(super) fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len())]
    }
}
