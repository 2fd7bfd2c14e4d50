//! How a conversation is encrypted: TLS over the connection that the door made, with the same roots as for HTTPS, and the certificate checked for the
//! name that the connection has, never for the address.
//!
//! STARTTLS is spoken here, byte for byte, before the library sees anything: what a third party slips in behind the server's `220` would otherwise
//! wait in a buffer and count as said under TLS (RFC 3207 §6, "STARTTLS injection").

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use lettre::transport::smtp::client::AsyncTokioStream;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::failure::{Failure, one_line};
use super::session::Server;

/// A reply of a few lines: greetings and lists of extensions are shorter (RFC 5321 §4.5.3.1.5: 512 bytes a line).
const REPLY_BYTES_MAX: usize = 16 * 1024;

/// Who we say we are: the form for hosts without a name of their own (RFC 5321 §4.1.3).
const HELLO: &[u8] = b"EHLO [127.0.0.1]\r\n";

/// Encrypts from the first byte on.
pub(super) async fn implicit(stream: TcpStream, server: &Server) -> Result<Encrypted, Failure> {
    Ok(Encrypted { before: b"", stream: handshake(stream, server).await? })
}

/// Asks for encryption, and says nothing else before it is there.
pub(super) async fn starttls(mut stream: TcpStream, server: &Server) -> Result<Encrypted, Failure> {
    let broke = |error: io::Error| Failure::unavailable(format!("the connection to the mail server broke: {error}"));
    expect(220, &reply(&mut stream).await?)?;
    stream.write_all(HELLO).await.map_err(broke)?;
    let offered = reply(&mut stream).await?;
    expect(250, &offered)?;
    let has_starttls =
        offered.lines().filter_map(|line| line.get(4..)).any(|word| word.trim().eq_ignore_ascii_case("STARTTLS"));
    if !has_starttls {
        return Err(Failure::tls(format!(
            "the mail server {} offers no STARTTLS, so nothing was sent: use `--smtp-tls implicit` and its port (465, mostly), if it has one",
            server.host
        )));
    }
    stream.write_all(b"STARTTLS\r\n").await.map_err(broke)?;
    expect(220, &reply(&mut stream).await?)?;
    // The library wants a greeting; the server's own came before.
    Ok(Encrypted { before: b"220 TLS\r\n", stream: handshake(stream, server).await? })
}

async fn handshake(stream: TcpStream, server: &Server) -> Result<TlsStream<TcpStream>, Failure> {
    let name = ServerName::try_from(server.host.clone())
        .map_err(|_| Failure::tls(format!("`{}` is no name that a certificate could have", server.host)))?;
    let connector = TlsConnector::from(Arc::new(config(server)?));
    connector.connect(name, stream).await.map_err(|error| {
        // A certificate stays wrong until somebody replaces it; a broken handshake may have been the network.
        let is_ours = error.get_ref().is_some_and(<dyn std::error::Error + Send + Sync>::is::<rustls::Error>);
        let failure = Failure::tls(format!(
            "TLS with the mail server {} failed: {}. Is the port right for this way of encryption, and the certificate made for this name?",
            server.host,
            one_line(&error.to_string())
        ));
        Failure { retryable: !is_ours, ..failure }
    })
}

/// The roots of the Mozilla programme, and those that the connection brings.
fn config(server: &Server) -> Result<ClientConfig, Failure> {
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    for certificate in certificates(server.ca.as_deref()) {
        let added = certificate.ok().and_then(|certificate| roots.add(certificate).ok());
        added.ok_or_else(|| {
            Failure::tls(format!(
                "`ca` of connection `{}` is no certificate (PEM); add the connection again",
                server.connection
            ))
        })?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("ring implements the default protocol versions");
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

fn certificates(pem: Option<&str>) -> Vec<Result<CertificateDer<'static>, rustls::pki_types::pem::Error>> {
    pem.map(|pem| CertificateDer::pem_slice_iter(pem.as_bytes()).collect()).unwrap_or_default()
}

/// Whether a text holds certificates, all of which can be roots.
pub(crate) fn are_certificates(pem: &str) -> bool {
    let mut roots = RootCertStore::empty();
    let found = certificates(Some(pem));
    !found.is_empty() && found.into_iter().all(|found| found.is_ok_and(|certificate| roots.add(certificate).is_ok()))
}

/// One reply, read no byte further than its end.
async fn reply(stream: &mut TcpStream) -> Result<String, Failure> {
    let mut text = Vec::new();
    let mut line_begins = 0;
    loop {
        let byte = stream.read_u8().await.map_err(|error| {
            Failure::unavailable(format!("the mail server ended the connection before it began: {error}"))
        })?;
        text.push(byte);
        if text.len() > REPLY_BYTES_MAX {
            return Err(Failure::tls("what answers there is no mail server: its greeting does not end"));
        }
        if byte == b'\n' {
            // `250-` goes on, `250 ` is the last line.
            if text.get(line_begins + 3) != Some(&b'-') {
                return Ok(String::from_utf8_lossy(&text).into_owned());
            }
            line_begins = text.len();
        }
    }
}

fn expect(code: u16, reply: &str) -> Result<(), Failure> {
    let found = reply.get(..3).and_then(|digits| digits.parse::<u16>().ok());
    match found {
        Some(found) if found == code => Ok(()),
        Some(400..=499) => {
            Err(Failure::unavailable(format!("the mail server asks to come back later ({})", one_line(reply))))
        }
        Some(_) => Err(Failure::tls(format!("the mail server does not want to be spoken to ({})", one_line(reply)))),
        None => Err(Failure::tls(format!("what answers there is no mail server: {}", one_line(reply)))),
    }
}

/// What the library talks through.
#[derive(Debug)]
pub(super) struct Encrypted {
    /// Read before anything of the server.
    before: &'static [u8],
    stream: TlsStream<TcpStream>,
}

impl AsyncTokioStream for Encrypted {
    fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.stream.get_ref().0.peer_addr()
    }
}

impl AsyncRead for Encrypted {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if !self.before.is_empty() {
            let (now, later) = self.before.split_at(self.before.len().min(buffer.remaining()));
            buffer.put_slice(now);
            self.before = later;
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Encrypted {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
