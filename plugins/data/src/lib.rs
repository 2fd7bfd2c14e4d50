//! `flowcell/data`: what outlives a run (values, counters, locks), and formatters for those who prefer a step to an expression.

mod date;
mod list;
mod lock;
mod number;
mod text;
mod values;

use flowcell_sdk::Input;
use flowcell_sdk::key_value::{self, Namespace};

/// Who shares a value.
#[derive(Input, Clone, Copy, Default)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Scope {
    /// The runs of this workflow.
    #[default]
    Workflow,
    /// Every workflow of the workspace.
    Workspace,
}

impl Scope {
    fn namespace(self) -> Namespace {
        match self {
            Self::Workflow => key_value::workflow(),
            Self::Workspace => key_value::plugin(),
        }
    }
}

flowcell_sdk::plugin! {
    actions: {
        "get-value" => values::get,
        "set-value" => values::set,
        "delete-value" => values::delete,
        "count" => values::count,
        "acquire-lock" => lock::acquire,
        "release-lock" => lock::release,
        "format-text" => text::format,
        "format-number" => number::format,
        "format-date" => date::format,
        "format-list" => list::format,
    },
}
