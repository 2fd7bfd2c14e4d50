use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;

/// What the client makes of a server that answers its first request with these bytes.
async fn answered(response: &'static str) -> Result<Value, ClientError> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
    let client = Client::new(server, None);
    let serving = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            request.push(stream.read_u8().await.unwrap());
        }
        stream.write_all(response.as_bytes()).await.unwrap();
        stream
    };
    tokio::join!(client.get("runs"), serving).0
}

#[tokio::test]
async fn a_server_that_is_not_flowcell_is_told_from_one_that_is() {
    let ours = "HTTP/1.1 200 OK\r\nflowcell-api: 2\r\ncontent-length: 11\r\n\r\n{\"runs\":[]}";
    assert_eq!(answered(ours).await.unwrap(), serde_json::json!({ "runs": [] }));
    for theirs in [
        "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}",
        "HTTP/1.1 200 OK\r\nflowcell-api: 3\r\ncontent-length: 2\r\n\r\n{}",
        "HTTP/1.1 200 OK\r\nflowcell-api: 2\r\ncontent-length: 4\r\n\r\nhtml",
        "HTTP/1.1 404 Not Found\r\ncontent-length: 57\r\n\r\n{\"type\":\"about:blank\",\"title\":\"x\",\"status\":404,\"detail\":\"\"}",
    ] {
        let error = answered(theirs).await.unwrap_err();
        assert!(matches!(error, ClientError::Foreign { .. }), "{theirs}: {error:?}");
        assert!(error.to_string().contains("but it is not Flowcell"), "{error}");
    }
}

#[test]
fn a_token_goes_only_where_it_belongs_and_never_in_clear_text() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(crate::data_dir::admin_token_file(folder.path()), "local\n").unwrap();
    let data = Some(folder.path());
    let choose = |server: &str, tokens: Tokens<'_>| {
        tokens.choose(&server.parse().unwrap()).map_err(|error| match error {
            TokenError::Unreadable { .. } => "unreadable",
            TokenError::NotTheirs { .. } => "not theirs",
            TokenError::InTheClear { .. } => "in the clear",
        })
    };
    let sent = |token: &str| Ok(Some(token.to_owned()));
    let from_data = Tokens { data, ..Tokens::default() };
    for near in ["http://127.0.0.1:8080", "http://localhost:8080", "http://[::1]:8080", "https://127.1.2.3"] {
        assert_eq!(choose(near, from_data), sent("local"), "{near}");
        let both = Tokens { environment: Some("other"), ..from_data };
        assert_eq!(choose(near, both), sent("local"), "the command line wins: {near}");
    }
    for far in [
        "http://flowcell.example.com",
        "https://flowcell.example.com",
        "http://localhost.example.com",
        "http://10.0.0.1",
    ] {
        assert_eq!(choose(far, from_data), Err("not theirs"), "{far}");
    }
    let given = Tokens { environment: Some("theirs"), ..from_data };
    assert_eq!(choose("https://flowcell.example.com", given), sent("theirs"));
    assert_eq!(choose("http://flowcell.example.com", given), Err("in the clear"));
    let option = Tokens { option: Some("option"), ..given };
    assert_eq!(choose("https://flowcell.example.com", option), sent("option"));
    assert_eq!(choose("http://10.0.0.1", option), Err("in the clear"));
    assert_eq!(choose("http://10.0.0.1", Tokens::default()), Ok(None));
    let nowhere = folder.path().join("nowhere");
    assert_eq!(choose("http://127.0.0.1", Tokens { data: Some(&nowhere), ..Tokens::default() }), Err("unreadable"));
}
