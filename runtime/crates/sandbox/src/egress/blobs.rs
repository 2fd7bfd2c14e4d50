//! Bodies that need not pass through a guest's memory. A guest asks with headers that never leave the host:
//!
//! * `flowcell-keep-body: binary` on a request: a body that is no text, or too large for an output, is kept here, and the guest gets an
//!   empty one with `flowcell-blob`: what is known of it as JSON ([`BlobFacts`]). The call's output names the ones that outlive the call.
//! * `flowcell-insert-blobs: 0=sha256:…, 120=sha256:…`: at these places of the body, in their order, the host inserts the blobs. They are those that the call's
//!   input names, so that a guest asks for what the step's author gave it and for nothing else.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use flowcell_core::blob::{Blob, BlobFacts, filename_of};
use flowcell_core::id::{Digest, RunId, WorkspaceId};
use flowcell_core::ports::Blobs;

use super::EgressConfig;
use super::error::SendError;
use super::pass::CallPass;
use super::request::OutboundRequest;
use super::response::OutboundResponse;

pub(super) const KEEP: &str = "flowcell-keep-body";
pub(super) const INSERT: &str = "flowcell-insert-blobs";
pub(super) const KEPT: &str = "flowcell-blob";

/// Text above this is kept as well: an output of 1 MiB (`wit/README.md`) would not hold it. The rest is for headers and quotes.
const TEXT_BYTES_MAX: usize = 960 * 1024;

/// Of a content type, as much as is sensible in a header of an answer that names it.
const CONTENT_TYPE_BYTES_MAX: usize = 200;

/// The blobs that one call may have inserted.
pub(crate) struct CallBlobs {
    pub(crate) store: Arc<dyn Blobs>,
    pub(crate) workspace: WorkspaceId,
    pub(crate) run: RunId,
    /// Those that its input names.
    pub(crate) named: Vec<Digest>,
}

impl std::fmt::Debug for CallBlobs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CallBlobs").field("run", &self.run).field("named", &self.named).finish_non_exhaustive()
    }
}

/// What the guest wants done with the answer's body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AnswerBody {
    Given,
    KeptIfBinary,
}

/// Takes the host's own headers off the request and does what they say.
pub(super) async fn fill(
    request: &mut OutboundRequest,
    pass: &CallPass,
    config: &EgressConfig,
) -> Result<AnswerBody, SendError> {
    let mut wanted = AnswerBody::Given;
    let mut inserts = Vec::new();
    if !request.headers.iter().any(|(name, _)| is_ours(name)) {
        return Ok(wanted);
    }
    for (name, value) in std::mem::take(&mut request.headers) {
        if name.eq_ignore_ascii_case(KEEP) {
            wanted = AnswerBody::KeptIfBinary;
        } else if name.eq_ignore_ascii_case(INSERT) {
            inserts.push(value);
        } else if !name.eq_ignore_ascii_case(KEPT) {
            request.headers.push((name, value));
        }
    }
    if let Some(places) = (!inserts.is_empty()).then(|| inserts.join(",")) {
        request.body = inserted(&request.body, &places, pass, config).await?;
    }
    Ok(wanted)
}

fn is_ours(name: &str) -> bool {
    [KEEP, INSERT, KEPT].iter().any(|own| name.eq_ignore_ascii_case(own))
}

async fn inserted(body: &Bytes, places: &str, pass: &CallPass, config: &EgressConfig) -> Result<Bytes, SendError> {
    let mut filled = BytesMut::with_capacity(body.len());
    let mut done = 0;
    for place in places.split(',') {
        let read = place
            .split_once('=')
            .and_then(|(at, digest)| Some((at.trim().parse::<usize>().ok()?, digest.trim().parse::<Digest>().ok()?)));
        let piece = read.and_then(|(at, digest)| Some((body.get(done..at)?, at, digest)));
        let Some((before, at, digest)) = piece else {
            return Err(SendError::invalid(format!(
                "`{INSERT}` does not say `place=sha256:…`, in the order of the places"
            )));
        };
        filled.extend_from_slice(before);
        done = at;
        let bytes = load(pass, &digest).await?;
        if filled.len() + bytes.len() + body.len().saturating_sub(done) > config.request_bytes_max {
            return Err(SendError::too_large(format!(
                "with its blobs the request's body has more than the allowed {} bytes",
                config.request_bytes_max
            )));
        }
        filled.extend_from_slice(&bytes);
    }
    filled.extend_from_slice(body.get(done..).unwrap_or_default());
    Ok(filled.freeze())
}

async fn load(pass: &CallPass, digest: &Digest) -> Result<Vec<u8>, SendError> {
    let named = pass.blobs().filter(|blobs| blobs.named.contains(digest));
    let Some(blobs) = named else {
        return Err(SendError::invalid(format!(
            "the step's input names no blob {digest}; give the output that has it, as in {{{{ steps.download.output.body }}}}"
        )));
    };
    match blobs.store.blob(&blobs.workspace, blobs.run, digest).await {
        Ok(Some(blob)) => Ok(blob.bytes),
        // What an earlier step of a dry run would have fetched is nowhere.
        Ok(None) if pass.is_rehearsal() => Ok(format!("[{digest}]").into_bytes()),
        Ok(None) => Err(SendError::invalid(format!(
            "the blob {digest} is not there: the run that fetched it was removed, or it was never fetched"
        ))),
        Err(error) => Err(SendError::blob_unreadable(digest, &error)),
    }
}

/// Keeps the answer's body if the guest wants that and it is none for a JSON document. The guest is told what is known of it instead.
pub(super) fn keep(wanted: AnswerBody, response: &mut OutboundResponse, pass: &CallPass) -> Option<BlobFacts> {
    if wanted == AnswerBody::Given || response.body.is_empty() {
        return None;
    }
    let header =
        |wanted: &str| response.headers.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.as_str());
    let content_type = header("content-type");
    // What says nothing of itself may still be text: an error page, a plain word.
    let is_text = content_type.is_none_or(is_text) && std::str::from_utf8(&response.body).is_ok();
    if is_text && response.body.len() <= TEXT_BYTES_MAX {
        return None;
    }
    let facts = BlobFacts {
        blob: Digest::of(&response.body),
        bytes: response.body.len() as u64,
        content_type: content_type
            .filter(|text| {
                text.len() <= CONTENT_TYPE_BYTES_MAX && text.bytes().all(|byte| (b' '..=b'~').contains(&byte))
            })
            .map(str::to_owned),
        filename: header("content-disposition").and_then(filename_of),
    };
    pass.keep_blob(Blob { facts: facts.clone(), bytes: std::mem::take(&mut response.body).into() });
    response.headers.push((KEPT.to_owned(), serde_json::to_string(&facts).unwrap_or_default()));
    Some(facts)
}

/// Whether a content type is one of text, as the SDK's `media::Media` reads them.
fn is_text(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence.starts_with("text/")
        || essence.ends_with("+json")
        || essence.ends_with("+xml")
        || essence.ends_with("+yaml")
        || matches!(
            essence.as_str(),
            "application/json"
                | "application/x-www-form-urlencoded"
                | "application/xml"
                | "application/yaml"
                | "application/x-yaml"
                | "application/javascript"
                | "application/x-ndjson"
                | "application/graphql"
        )
}
