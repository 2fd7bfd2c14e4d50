//! JSON Schemas (2020-12) of plugins: compiled offline and bounded. Nothing here fetches anything: a `$ref` out of its own document is refused.

mod bounds;

use serde_json::Value;

/// The largest schema that is compiled: what PROMISES §3 allows for one schema from outside.
pub const BYTES_MAX: usize = 256 * 1024;

/// The largest compiled regular expression of a `pattern`. A few hundred characters with counted repeats fit; `(a{1000}){1000}` does not.
const PATTERN_BYTES_MAX: usize = 1024 * 1024;

/// The one dialect there is.
const DIALECT: &str = "https://json-schema.org/draft/2020-12/schema";

/// Why something is no schema a plugin can have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SchemaError {
    #[error("the schema has {bytes} bytes; at most {BYTES_MAX} are read. Move long texts and enumerations out of it")]
    TooLarge { bytes: usize },
    #[error("the schema is written for `{dialect}`; only JSON Schema 2020-12 is understood. Leave `$schema` away")]
    Dialect { dialect: String },
    #[error("the schema cannot be used: {problem}")]
    Unbounded { problem: String },
    #[error("the schema is not a JSON Schema (2020-12){}: {message}", at(.pointer))]
    Invalid {
        message: String,
        /// A JSON Pointer into the schema, empty for its root.
        pointer: String,
    },
}

fn at(pointer: &str) -> String {
    if pointer.is_empty() { String::new() } else { format!(" at `{pointer}`") }
}

/// Compiles `schema`. Patterns run on a regular-expression engine without backtracking, so they end in linear time.
pub fn compile(schema: &Value) -> Result<jsonschema::Validator, SchemaError> {
    let bytes = schema.to_string().len();
    if bytes > BYTES_MAX {
        return Err(SchemaError::TooLarge { bytes });
    }
    if let Some(dialect) = schema.get("$schema")
        && dialect.as_str().map(|text| text.trim_end_matches('#')) != Some(DIALECT)
    {
        return Err(SchemaError::Dialect { dialect: dialect.to_string() });
    }
    bounds::check(schema).map_err(|problem| SchemaError::Unbounded { problem })?;
    jsonschema::options()
        .with_draft(jsonschema::Draft::Draft202012)
        .with_pattern_options(jsonschema::PatternOptions::regex().size_limit(PATTERN_BYTES_MAX))
        .offline()
        .build(schema)
        .map_err(|error| SchemaError::Invalid {
            message: error.to_string(),
            pointer: error.instance_path().to_string(),
        })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_self_contained_2020_12_schemas_compile() {
        for good in [
            json!(true),
            json!({"type": "object", "properties": {"url": {"type": "string", "pattern": "^https?://"}}}),
            json!({"$ref": "#/$defs/a", "$defs": {"a": {"type": "string"}}}),
            json!({"$schema": DIALECT}),
        ] {
            assert!(compile(&good).is_ok(), "{good}");
        }
        for bad in [
            json!("text"),
            json!({"type": "strin"}),
            json!({"pattern": "("}),
            json!({"pattern": "(a)\\1"}),
            json!({"pattern": "(a{1000}){1000}"}),
            json!({"$ref": "http://127.0.0.1/x.json"}),
            json!({"$ref": "file:///etc/passwd"}),
            json!({"$ref": "#/$defs/missing"}),
            json!({"$schema": "http://json-schema.org/draft-07/schema#"}),
            json!({"description": "x".repeat(BYTES_MAX)}),
        ] {
            assert!(compile(&bad).is_err(), "{}", bad.to_string().chars().take(80).collect::<String>());
        }
    }
}
