//! `wasi:http/outgoing-handler`: for ordinary clients and `fetch`. Requests are buffered and end in the same door as `http.send`; what the
//! door says in words, a guest of this interface sees as a code, and the run's page in full.

use http::header::CONTENT_LENGTH;
use http_body_util::{BodyExt as _, Full};
use wasmtime_wasi_http::{
    Error, ForbiddenHeaderFilter, RequestOptions, WasiBody, WasiHttpCtxView, WasiHttpHooks, WasiHttpView,
};

use crate::egress::{SendError, SendErrorCode};
use crate::host::{Outbound, State};

impl WasiHttpView for State {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView { hooks: &mut self.outbound, table: &mut self.table, ctx: &mut self.wasi_http }
    }
}

type Finished = Box<dyn Future<Output = Result<(), Error>> + Send>;
type Sent = Result<(http::Response<WasiBody>, Finished), Error>;

/// One write of a guest to its request's body: what is buffered before the guest has to wait.
const CHUNK_BYTES: usize = 64 * 1024;

impl WasiHttpHooks for Outbound {
    fn forbidden_header_filter(&mut self) -> ForbiddenHeaderFilter {
        let pass = self.pass.clone();
        // Clients of wasi:http announce the length of what they send; the door counts again, so it is let through here and dropped below.
        std::sync::Arc::new(move |name| name != CONTENT_LENGTH && pass.forbids_header(name))
    }

    /// The door takes the host from the URL.
    fn set_host_header(&mut self) -> bool {
        false
    }

    fn p2_outgoing_body_chunk_size(&mut self) -> usize {
        CHUNK_BYTES
    }

    fn send_request(
        &mut self,
        mut request: http::Request<WasiBody>,
        options: Option<RequestOptions>,
        _received: Finished,
    ) -> Box<dyn Future<Output = Sent> + Send> {
        let Self { door, pass } = self.clone();
        let timeout =
            options.and_then(|options| Some(options.first_byte_timeout? + options.connect_timeout.unwrap_or_default()));
        request.headers_mut().remove(CONTENT_LENGTH);
        Box::new(async move {
            let response = door.send_http(&pass, request, timeout).await.map_err(|error| to_wasi(&error))?;
            let response = response.map(|body| Full::new(body).map_err(|never| match never {}).boxed_unsync());
            Ok((response, Box::new(async { Ok(()) }) as Finished))
        })
    }
}

fn to_wasi(error: &SendError) -> Error {
    match error.code {
        SendErrorCode::Denied => Error::HttpRequestDenied,
        SendErrorCode::AddressDenied => Error::DestinationIpProhibited,
        SendErrorCode::InvalidRequest => Error::HttpRequestUriInvalid,
        SendErrorCode::Dns => Error::DnsError { rcode: None, info_code: None },
        SendErrorCode::Connect => Error::ConnectionRefused,
        SendErrorCode::Tls => Error::TlsProtocolError,
        SendErrorCode::Timeout => Error::HttpResponseTimeout,
        SendErrorCode::TooLarge => Error::HttpResponseBodySize(None),
        SendErrorCode::Budget => Error::ConnectionLimitReached,
        SendErrorCode::Protocol => Error::HttpProtocolError,
    }
}
