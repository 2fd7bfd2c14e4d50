//! A note about one request, made before anybody else gets it, and kept once it is known what became of it.

use std::sync::Arc;

use flowcell_core::time::Timestamp;
use http::request::Parts;

use super::{BODY_BYTES_MAX, Kept, Outcome, mask};
use crate::http::problem::Problem;
use crate::ingress::routes::Route;
use crate::ingress::tally::{Rejected, Tally};
use crate::ingress::verify::Proof;

pub(crate) struct Note {
    tally: Arc<Tally>,
    request_id: String,
    at: Timestamp,
    /// Absent: it is kept.
    kept: Option<Kept>,
    /// Why it is refused, where the sender is told less.
    why: Option<(&'static str, String)>,
}

impl Note {
    /// A few hundred bytes are copied, and of the body at most [`BODY_BYTES_MAX`].
    pub(crate) fn of(
        route: &Route,
        (request_id, at): (&str, Timestamp),
        head: &Parts,
        (path, body): (&str, &[u8]),
    ) -> Self {
        let own = route.published.proof_name();
        let mut headers = String::with_capacity(512);
        for (name, value) in &head.headers {
            headers.push_str(name.as_str());
            headers.push(':');
            if mask::is_secret(name.as_str(), own) {
                headers.push_str(mask::MASK);
            } else {
                headers.push_str(&String::from_utf8_lossy(value.as_bytes()));
            }
            headers.push('\n');
        }
        let kept = Kept {
            number: 0,
            id: request_id.to_owned(),
            at,
            method: head.method.clone(),
            path: path.to_owned(),
            query: mask::query(head.uri.query().unwrap_or_default(), own).into_owned(),
            headers,
            body: body.get(..BODY_BYTES_MAX).unwrap_or(body).into(),
            body_bytes: body.len(),
            former_url: route.former.map(|former| former.generation),
            proof: None,
            outcome: Outcome::Test { events: 0 },
        };
        let tally = Arc::clone(&route.published.tally);
        Self { tally, request_id: request_id.to_owned(), at, kept: Some(kept), why: None }
    }

    pub(crate) fn request_id(&self) -> &str {
        &self.request_id
    }

    pub(crate) fn at(&self) -> Timestamp {
        self.at
    }

    pub(crate) fn verified(&mut self, proof: Proof) {
        if proof == Proof::PreviousSecret {
            self.tally.late.by_previous_secret(self.at);
        }
        if let Some(kept) = &mut self.kept {
            kept.proof = Some(proof);
        }
    }

    /// The owner is told this where the sender is told less.
    pub(crate) fn because(&mut self, code: &'static str, reason: String) {
        self.why = Some((code, reason));
    }

    /// Keeps it with what became of it; what is said later changes nothing.
    pub(crate) fn came(&mut self, outcome: Outcome) {
        if let Some(kept) = self.kept.take() {
            self.tally.recent.push(Kept { outcome, ..kept });
        }
    }

    /// Keeps it as refused.
    pub(crate) fn refused(&mut self, problem: &Problem) {
        let (code, reason) = self.why.take().unwrap_or_else(|| (problem.slug(), problem.detail().to_owned()));
        self.rejected(problem.status().as_u16(), code, reason);
    }

    pub(crate) fn rejected(&mut self, status: u16, code: &'static str, reason: String) {
        self.tally.rejected(Rejected { at: self.at, status, code, message: reason.clone() });
        self.came(Outcome::Rejected { status, code: code.to_owned(), reason });
    }
}
