//! From offsets to lines, and from places in the manifest to offsets in the `plugin.toml` it was read from.

use serde_path_to_error::{Path, Segment};
use toml::de::{DeTable, DeValue};

use super::Mistake;

/// The text, for counting lines.
pub(super) struct Place<'a> {
    text: &'a str,
}

impl<'a> Place<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { text }
    }

    pub(super) fn mistake(&self, offset: usize, message: String) -> Mistake {
        let before = self.text.get(..offset).unwrap_or(self.text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Mistake {
            line: before.matches('\n').count() + 1,
            column: before.get(line_start..).unwrap_or_default().chars().count() + 1,
            message,
        }
    }
}

/// Where the value at a JSON Pointer begins; of its nearest ancestor that is written in the file if it is not.
pub(super) fn offset(root: &DeTable<'_>, pointer: &str) -> usize {
    let mut offset = 0;
    let mut segments = pointer.split('/').skip(1);
    let Some(mut value) = segments.next().and_then(|key| root.get(key)) else { return 0 };
    loop {
        offset = value.span().start.max(offset);
        let inner = match (segments.next(), value.get_ref()) {
            (Some(key), DeValue::Table(table)) => table.get(key),
            (Some(index), DeValue::Array(items)) => index.parse::<usize>().ok().and_then(|index| items.get(index)),
            _ => None,
        };
        match inner {
            Some(inner) => value = inner,
            None => return offset,
        }
    }
}

/// The JSON Pointer of a place where reading stopped.
pub(super) fn pointer(path: &Path) -> String {
    path.iter()
        .map(|segment| match segment {
            Segment::Seq { index } => format!("/{index}"),
            Segment::Map { key } => format!("/{key}"),
            Segment::Enum { variant } => format!("/{variant}"),
            Segment::Unknown => "/?".to_owned(),
        })
        .collect()
}
