use super::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

fn limits() -> Limits {
    Limits { header_timeout: Duration::from_mins(1), ..crate::config::Config::default().http.limits() }
}

/// What hyper would read of these bytes, and what is refused.
async fn passed(pieces: &[&[u8]]) -> (Vec<u8>, Option<Refusal>, Option<io::Error>) {
    let (mut client, server) = tokio::io::duplex(64 * 1024);
    let verdict = Arc::<Verdict>::default();
    let mut gate = Gate::new(server, &limits(), Arc::clone(&verdict));
    let mut passed = Vec::new();
    for piece in pieces {
        client.write_all(piece).await.unwrap();
        // As far as there is something to pass on.
        while let Ok(Ok(1..)) = tokio::time::timeout(Duration::from_millis(5), gate.read_buf(&mut passed)).await {}
    }
    drop(client);
    let rest = tokio::time::timeout(Duration::from_millis(100), gate.read_to_end(&mut passed)).await;
    let refusal = (0..10).find_map(|request| verdict.on(request));
    (passed, refusal, rest.ok().and_then(Result::err))
}

#[tokio::test]
async fn whole_requests_pass_as_they_came() {
    let request: &[u8] = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\n\r\nabc";
    let twice = [request, request].concat();
    for cut in [1, 30, 55, 80] {
        let (first, second) = twice.split_at(cut);
        assert_eq!(passed(&[first, second]).await.0, twice, "cut at {cut}");
    }
}

#[tokio::test]
async fn of_a_head_that_is_refused_or_not_whole_nothing_passes() {
    let good: &[u8] = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n";
    let (bytes, refusal, _) = passed(&[good, b"GET / HTTP/1.1\r\nhost: x\r\nx: y\n\r\n", good]).await;
    assert_eq!(bytes, [good, STAND_IN].concat());
    assert_eq!(refusal, Some(Refusal::BareLineFeed));
    let (bytes, refusal, error) = passed(&[good, b"GET / HT"]).await;
    assert_eq!((bytes.as_slice(), refusal, error.is_none()), (good, None, true));
}

#[tokio::test]
async fn a_broken_body_is_an_error_and_what_came_before_it_passes() {
    let head: &[u8] = b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n";
    let (bytes, refusal, error) = passed(&[head, b"1\r\na\r\nx\r\n"]).await;
    assert_eq!(bytes, [head, b"1\r\na\r\n"].concat());
    assert_eq!((refusal, error.map(|error| error.kind())), (None, Some(io::ErrorKind::InvalidData)));
}

#[test]
fn the_stand_in_is_a_request_that_would_pass() {
    let mut framing = Framing::new(&limits());
    assert_eq!(framing.step(STAND_IN), Step::Head(STAND_IN.len()));
}
