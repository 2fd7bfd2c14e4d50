//! The section `flowcell:schemas`: what the SDK wrote while the plugin was compiled, one JSON object a line.

use serde::Deserialize;
use serde_json::Value;

/// The custom section of the core module. It is dropped once its content stands in the manifest.
pub(crate) const SECTION: &str = "flowcell:schemas";

/// As much as a whole manifest may have.
const BYTES_MAX: usize = flowcell_core::manifest::BYTES_MAX;

/// The schemas of one action or trigger, derived from its types.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Schema {
    pub(crate) kind: Kind,
    pub(crate) id: String,
    /// Of an action's `with`.
    input: Option<Value>,
    /// Of a trigger's `with`.
    config: Option<Value>,
    output: Option<Value>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Kind {
    Action,
    Trigger,
}

impl Kind {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Action => "action",
            Self::Trigger => "trigger",
        }
    }

    /// The manifest's list of its kind.
    pub(crate) fn list(self) -> &'static str {
        match self {
            Self::Action => "actions",
            Self::Trigger => "triggers",
        }
    }

    /// The schemas each one has.
    pub(crate) fn fields(self) -> &'static [&'static str] {
        match self {
            Self::Action => &["input", "output"],
            Self::Trigger => &["config", "output"],
        }
    }
}

impl Schema {
    pub(crate) fn field(&self, name: &str) -> Option<&Value> {
        match name {
            "input" => self.input.as_ref(),
            "config" => self.config.as_ref(),
            "output" => self.output.as_ref(),
            _ => None,
        }
    }
}

/// Why the section cannot be used. Its author is a tool, so the remedy is about versions.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SchemasError {
    #[error("it has {bytes} bytes; at most {BYTES_MAX} are read")]
    TooLarge { bytes: usize },
    #[error("it is not UTF-8")]
    NotText,
    #[error("line {line} cannot be read: {problem}. Was the plugin built with a newer SDK? Then update Flowcell")]
    Line { line: usize, problem: String },
    #[error("{kind} `{id}` is there twice; give one of them another id")]
    Twice { kind: &'static str, id: String },
}

/// Reads what the sections held.
pub(crate) fn parse(sections: &[Vec<u8>]) -> Result<Vec<Schema>, SchemasError> {
    let bytes = sections.iter().map(Vec::len).sum();
    if bytes > BYTES_MAX {
        return Err(SchemasError::TooLarge { bytes });
    }
    let mut schemas: Vec<Schema> = Vec::new();
    for section in sections {
        let text = std::str::from_utf8(section).map_err(|_| SchemasError::NotText)?;
        for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            let schema: Schema = serde_json::from_str(line)
                .map_err(|error| SchemasError::Line { line: index + 1, problem: error.to_string() })?;
            if schemas.iter().any(|other| (other.kind, &other.id) == (schema.kind, &schema.id)) {
                return Err(SchemasError::Twice { kind: schema.kind.word(), id: schema.id });
            }
            schemas.push(schema);
        }
    }
    // The linker joins what object files contribute in no promised order; the same plugin shall give the same bytes.
    schemas.sort_by(|a, b| (a.kind.word(), &a.id).cmp(&(b.kind.word(), &b.id)));
    Ok(schemas)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse_text(text: &str) -> Result<Vec<Schema>, String> {
        parse(&[text.as_bytes().to_vec()]).map_err(|error| error.to_string())
    }

    #[test]
    fn lines_are_read_in_any_order() {
        let schemas = parse_text(
            "{\"kind\":\"trigger\",\"id\":\"inbound\",\"config\":{},\"output\":{}}\n\n{\"kind\":\"action\",\"id\":\"send\",\"input\":{},\"output\":true,\"later\":1}\n",
        )
        .expect("two");
        assert_eq!(
            schemas.iter().map(|s| (s.kind, s.id.as_str())).collect::<Vec<_>>(),
            [(Kind::Action, "send"), (Kind::Trigger, "inbound")]
        );
        assert_eq!(schemas[0].field("output"), Some(&Value::Bool(true)));
    }

    #[test]
    fn what_cannot_be_read_names_the_line() {
        assert!(
            parse_text("\n{\"kind\":\"poller\",\"id\":\"x\"}\n")
                .is_err_and(|e| e.starts_with("line 2 cannot be read: unknown variant `poller`"))
        );
        assert!(parse_text("{").is_err_and(|e| e.contains("newer SDK")));
        let line = "{\"kind\":\"action\",\"id\":\"x\",\"input\":{},\"output\":{}}\n";
        assert_eq!(
            parse_text(&line.repeat(2)),
            Err("action `x` is there twice; give one of them another id".to_owned())
        );
        assert_eq!(parse(&[vec![0xff]]), Err(SchemasError::NotText));
        assert_eq!(parse(&[vec![b' '; BYTES_MAX + 1]]), Err(SchemasError::TooLarge { bytes: BYTES_MAX + 1 }));
    }
}
