//! The query of `GET /runs`: read parameter by parameter, so that a bad one is named.

use std::fmt::Display;
use std::str::FromStr;

use flowcell_core::id::{ContactId, RunId, StepId, WorkflowId};
use flowcell_core::ports::{PageRequest, RunFilter};
use flowcell_core::run::fold::RunStatus;
use flowcell_core::search::FieldMatch;
use flowcell_core::time::Timestamp;
use serde::Deserialize;

use crate::http::problem::{Fault, Kind, Problem};

/// A page when nothing is said, and the largest one: some 300 KiB of JSON.
const PAGE_DEFAULT: usize = 50;
const PAGE_MAX: usize = 1_000;

/// Error codes are short names; nothing longer can be one.
const CODE_BYTES_MAX: usize = 256;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ListQuery {
    workflow: Option<String>,
    status: Option<String>,
    step: Option<String>,
    error: Option<String>,
    contact: Option<String>,
    from: Option<String>,
    to: Option<String>,
    field: Option<String>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
    limit: Option<String>,
}

impl ListQuery {
    /// Every parameter, or a problem that lists all that are wrong.
    pub(crate) fn read(self) -> Result<(RunFilter, PageRequest), Problem> {
        let mut faults = Vec::new();
        let filter = RunFilter {
            workflow: parse::<WorkflowId>("workflow", self.workflow, &mut faults),
            status: self.status.and_then(|text| {
                let status = status(&text);
                if status.is_none() {
                    let known = "queued, running, waiting, succeeded, failed or cancelled";
                    faults.push(fault("status", &format!("`{text}` is no status; write {known}")));
                }
                status
            }),
            step: parse::<StepId>("step", self.step, &mut faults),
            error: self.error.filter(|code| {
                let fits = (1..=CODE_BYTES_MAX).contains(&code.len());
                if !fits {
                    faults.push(fault("error", "an error code has 1 to 256 bytes, such as `http-status`"));
                }
                fits
            }),
            contact: parse::<ContactId>("contact", self.contact, &mut faults),
            from: parse::<Timestamp>("from", self.from, &mut faults),
            to: parse::<Timestamp>("to", self.to, &mut faults),
            field: parse::<FieldMatch>("field", self.field, &mut faults),
        };
        let before = self.cursor.and_then(|text| {
            let run = run_of(&text);
            if run.is_none() {
                faults.push(fault("cursor", "this is no cursor; take `next_cursor` of the page before as it is"));
            }
            run
        });
        let limit = parse::<usize>("limit", self.limit, &mut faults).unwrap_or(PAGE_DEFAULT);
        if !(1..=PAGE_MAX).contains(&limit) {
            faults.push(fault("limit", &format!("`limit` is {limit}; it goes from 1 to {PAGE_MAX}")));
        }
        match faults.as_slice() {
            [] => Ok((filter, PageRequest { before, limit })),
            [first, ..] => {
                let detail = format!("The parameter {}.", first.message);
                Err(Problem::new(Kind::InvalidRequest, detail).with_errors(faults))
            }
        }
    }
}

fn parse<T: FromStr<Err: Display>>(name: &str, text: Option<String>, faults: &mut Vec<Fault>) -> Option<T> {
    match text?.parse() {
        Ok(value) => Some(value),
        Err(error) => {
            faults.push(fault(name, &format!("{error}")));
            None
        }
    }
}

/// The parameter's name stands in the message, for people, and as the pointer, for programs.
fn fault(name: &str, problem: &str) -> Fault {
    Fault {
        pointer: format!("/query/{name}"),
        message: format!("`{name}` is not right: {problem}"),
        ..Fault::default()
    }
}

fn status(text: &str) -> Option<RunStatus> {
    use RunStatus::{Cancelled, Failed, Queued, Running, Succeeded, Waiting};
    [Queued, Running, Waiting, Succeeded, Failed, Cancelled].into_iter().find(|status| status.as_str() == text)
}

/// What a client gets as the place to go on from. The place is a run; that is no promise.
pub(crate) fn cursor(run: RunId) -> String {
    format!("c{}", data_encoding::BASE32HEX_NOPAD.encode(&run.to_bytes()))
}

pub(crate) fn run_of(cursor: &str) -> Option<RunId> {
    // Cursors of the first version were run ids; whoever kept one may go on with it.
    if let Ok(run) = cursor.parse() {
        return Some(run);
    }
    let bytes = data_encoding::BASE32HEX_NOPAD.decode(cursor.strip_prefix('c')?.as_bytes()).ok()?;
    Some(RunId::from_bytes(bytes.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bad_parameter_is_named() {
        let bad = || Some("?".to_owned());
        let query = ListQuery {
            workflow: bad(),
            status: bad(),
            step: bad(),
            error: Some(String::new()),
            contact: bad(),
            from: bad(),
            to: bad(),
            field: bad(),
            cursor: bad(),
            limit: bad(),
        };
        let document = query.read().unwrap_err().document(None);
        let named: Vec<_> = document.errors.iter().map(|fault| fault.pointer.as_str()).collect();
        let names = ["workflow", "status", "step", "error", "contact", "from", "to", "field", "cursor", "limit"];
        assert_eq!(named, names.map(|name| format!("/query/{name}")));
        assert!(document.detail.starts_with("The parameter `workflow` is not right: `?` is not a workflow id"));
    }

    #[test]
    fn a_cursor_leads_back_to_its_run() {
        let run = RunId::from_bytes([7; 16]);
        assert_eq!(run_of(&cursor(run)), Some(run));
        assert_eq!(run_of(&run.to_string()), Some(run));
        assert_eq!(run_of("c00"), None);
    }
}
