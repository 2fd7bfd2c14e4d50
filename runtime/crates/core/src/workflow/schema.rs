//! JSON Schema with plain sentences: what does not fit, where, and what was probably meant.
//!
//! Schemas come with plugins, so they are compiled without any way to fetch what they refer to and with a regex engine that cannot run away.

use std::fmt::Write as _;
use std::sync::LazyLock;

use jsonschema::error::{TypeKind, ValidationErrorKind};
use jsonschema::{Draft, PatternOptions, ValidationError, Validator};
use serde_json::Value;

use super::problem::similar;
use crate::expression::join_pointer;

/// The published schema of workflow files (JSON Schema 2020-12).
pub const WORKFLOW: &str = include_str!("schema.json");

/// The largest schema that is compiled, as text: schemas of large forms stay below 64 KiB.
pub const BYTES_MAX: usize = 256 * 1024;

/// The most memory one `pattern` may compile to.
const REGEX_BYTES_MAX: usize = 1024 * 1024;

/// The workflow schema, compiled.
pub(super) static WORKFLOW_SCHEMA: LazyLock<Schema> = LazyLock::new(|| {
    let schema = serde_json::from_str(WORKFLOW).expect("the schema in this crate is JSON");
    Schema::compile(&schema).expect("the schema in this crate is a JSON Schema")
});

/// A compiled JSON Schema.
#[derive(Debug)]
pub struct Schema {
    source: Value,
    validator: Validator,
}

/// One thing that does not fit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// A JSON Pointer into the checked value.
    pub pointer: String,
    /// Whether the place is the key rather than the value.
    pub at_key: bool,
    pub message: String,
    pub help: Option<String>,
    keyword: &'static str,
}

impl Schema {
    /// Compiles a schema. References lead nowhere but into the schema itself.
    pub fn compile(source: &Value) -> Result<Self, String> {
        let bytes = source.to_string().len();
        if bytes > BYTES_MAX {
            return Err(format!("the schema has {bytes} bytes; at most {BYTES_MAX} are compiled"));
        }
        let patterns = PatternOptions::regex().size_limit(REGEX_BYTES_MAX);
        let options = jsonschema::options().with_draft(Draft::Draft202012).with_pattern_options(patterns).offline();
        let validator = options.build(source).map_err(|error| error.to_string())?;
        Ok(Self { source: source.clone(), validator })
    }

    /// Everything in `value` that does not fit. `place` is where the value stands, as a JSON Pointer: messages begin there.
    pub fn check(&self, value: &Value, place: &str) -> Vec<Violation> {
        let mut violations = Vec::new();
        for error in self.validator.iter_errors(value) {
            self.explain(&error, place, &mut violations);
        }
        without_echoes(violations)
    }

    fn explain(&self, error: &ValidationError<'_>, place: &str, violations: &mut Vec<Violation>) {
        let pointer = error.instance_path().as_str().to_owned();
        let name = readable(&format!("{place}{pointer}"));
        let value = error.instance().as_ref();
        let keyword = keyword(error.kind());
        let mut add = |message: String, help: Option<String>| {
            violations.push(Violation { pointer: pointer.clone(), at_key: false, message, help, keyword });
        };
        match error.kind() {
            ValidationErrorKind::AdditionalProperties { unexpected }
            | ValidationErrorKind::UnevaluatedProperties { unexpected } => {
                let known = self.properties_beside(error.schema_path().as_str());
                for key in unexpected {
                    let help = suggest(key, &known, value);
                    let message = format!("there is no `{key}` in {name}");
                    violations.push(Violation {
                        pointer: join_pointer(&pointer, key),
                        at_key: true,
                        message,
                        help,
                        keyword,
                    });
                }
            }
            ValidationErrorKind::Required { property } => {
                let key = property.as_str().unwrap_or_default();
                let path = error.schema_path().as_str();
                let help = match self.of_property(path, key, "x-paste") {
                    Some(line) => Some(format!("add, for example: {line}")),
                    None => self.of_property(path, key, "description").map(str::to_owned),
                };
                add(format!("`{key}` is missing in {name}"), help);
            }
            ValidationErrorKind::Type { kind } => {
                let expected = self
                    .annotation(error.schema_path().as_str(), "x-expected")
                    .filter(|_| !value.is_array() && !value.is_object());
                match expected {
                    Some(expected) => add(format!("{name} is `{}`, which is not {expected}", cut(&shown(value))), None),
                    None => add(format!("{name} must be {}, not {}", expected_type(kind), type_of(value)), None),
                }
            }
            ValidationErrorKind::Enum { options } => {
                let options: Vec<String> = options.as_array().into_iter().flatten().map(shown).collect();
                let near = value.as_str().and_then(|text| similar(text, options.iter().map(String::as_str)));
                let help = near.map(|near| format!("did you mean `{near}`?"));
                add(format!("{name} is `{}`, which is none of {}", cut(&shown(value)), options.join(", ")), help);
            }
            ValidationErrorKind::Constant { expected_value } => {
                add(format!("{name} must be `{}`", shown(expected_value)), None);
            }
            ValidationErrorKind::Pattern { pattern } => {
                let expected = self.annotation(error.schema_path().as_str(), "x-expected");
                let expected = expected.map_or_else(|| format!("of the form {pattern}"), str::to_owned);
                add(format!("{name} is `{}`, which is not {expected}", cut(&shown(value))), None);
            }
            ValidationErrorKind::Format { format } => {
                add(format!("{name} is `{}`, which is no {format}", cut(&shown(value))), None);
            }
            ValidationErrorKind::MinLength { limit: 1 } => add(format!("{name} is empty"), None),
            ValidationErrorKind::MinLength { limit } => add(format!("{name} has less than {limit} characters"), None),
            ValidationErrorKind::MaxLength { limit } => add(format!("{name} has more than {limit} characters"), None),
            ValidationErrorKind::MinItems { limit: 1 } => {
                add(format!("{name} is empty; at least one item is needed"), None);
            }
            ValidationErrorKind::MinItems { limit } => add(format!("{name} has less than {limit} items"), None),
            ValidationErrorKind::MaxItems { limit } => add(format!("{name} has more than {limit} items"), None),
            ValidationErrorKind::Minimum { limit } => add(format!("{name} is {value}; the least is {limit}"), None),
            ValidationErrorKind::Maximum { limit } => add(format!("{name} is {value}; the most is {limit}"), None),
            ValidationErrorKind::UniqueItems => add(format!("{name} has an item twice"), None),
            ValidationErrorKind::MinProperties { limit } => add(format!("{name} has less than {limit} entries"), None),
            ValidationErrorKind::MaxProperties { limit } => add(format!("{name} has more than {limit} entries"), None),
            ValidationErrorKind::PropertyNames { error: key } => {
                let expected = self.annotation(key.schema_path().as_str(), "x-expected");
                let key = shown(key.instance().as_ref());
                violations.push(Violation {
                    pointer: join_pointer(&pointer, &key),
                    at_key: true,
                    message: format!("`{}` is not {}", cut(&key), expected.unwrap_or("a possible key here")),
                    help: None,
                    keyword,
                });
            }
            ValidationErrorKind::OneOfNotValid { .. } | ValidationErrorKind::OneOfMultipleValid { .. }
                if self.annotation(error.schema_path().as_str(), "x-noun").is_some() =>
            {
                violations.extend(self.explain_kinds(error));
            }
            ValidationErrorKind::AnyOf { context } | ValidationErrorKind::OneOfNotValid { context } => {
                self.explain_nearest(error, context, place, violations);
            }
            _ => add(format!("{name} does not fit: {error}"), None),
        }
    }

    /// Of keys that name kinds, exactly one has to be there; `x-noun` beside the `oneOf` says of what.
    fn explain_kinds(&self, error: &ValidationError<'_>) -> Option<Violation> {
        let holder = self.holder(error.schema_path().as_str())?;
        let noun = holder.get("x-noun")?.as_str()?;
        let forms = holder.get("oneOf")?.as_array()?;
        let kinds: Vec<&str> = forms.iter().filter_map(|form| form.pointer("/required/0")?.as_str()).collect();
        let fields = error.instance().as_object()?;
        let present: Vec<String> =
            kinds.iter().filter(|kind| fields.contains_key(**kind)).map(|kind| format!("`{kind}`")).collect();
        let pointer = error.instance_path().as_str().to_owned();
        let wanted = format!("exactly one of {} is needed", kinds.join(", "));
        let (keyword, has) = match present.as_slice() {
            [] => (NO_KIND, format!("{noun} has none")),
            [one] => (SEVERAL_KINDS, format!("{noun} has {one} in a way that does not fit")),
            [one, other] => (SEVERAL_KINDS, format!("{noun} has both {one} and {other}")),
            [rest @ .., last] => (SEVERAL_KINDS, format!("{noun} has {} and {last}", rest.join(", "))),
        };
        let message = format!("{wanted}; {has}");
        Some(Violation { pointer, at_key: false, message, help: None, keyword })
    }

    /// Of several forms, shows what is wrong with the one that fits best: the one whose first fault lies deepest.
    fn explain_nearest(
        &self,
        error: &ValidationError<'_>,
        forms: &[Vec<ValidationError<'static>>],
        place: &str,
        violations: &mut Vec<Violation>,
    ) {
        let depth = |form: &&Vec<ValidationError<'static>>| {
            let deepest =
                form.iter().map(|error| error.instance_path().as_str().matches('/').count()).max().unwrap_or(0);
            (deepest, std::cmp::Reverse(form.len()))
        };
        let here = error.instance_path().as_str();
        let nearest = forms.iter().max_by_key(depth);
        let only_types = forms.iter().flatten().all(|error| {
            error.instance_path().as_str() == here && matches!(error.kind(), ValidationErrorKind::Type { .. })
        });
        match nearest {
            Some(nearest) if !only_types => {
                for error in nearest {
                    self.explain(error, place, violations);
                }
            }
            _ => {
                let types = forms.iter().flatten().filter_map(|error| match error.kind() {
                    ValidationErrorKind::Type { kind } => Some(expected_type(kind)),
                    _ => None,
                });
                let types = types.collect::<Vec<_>>().join(" or ");
                violations.push(Violation {
                    pointer: here.to_owned(),
                    at_key: false,
                    message: format!(
                        "{} must be {types}, not {}",
                        readable(&format!("{place}{here}")),
                        type_of(error.instance())
                    ),
                    help: None,
                    keyword: keyword(error.kind()),
                });
            }
        }
    }

    /// The schema object that holds the keyword at `schema_path`.
    fn holder(&self, schema_path: &str) -> Option<&Value> {
        let mut schema = &self.source;
        let (holder, _) = schema_path.rsplit_once('/')?;
        for segment in holder.split('/').skip(1) {
            let segment = segment.replace("~1", "/").replace("~0", "~");
            schema = match schema {
                Value::Array(items) => items.get(segment.parse::<usize>().ok()?)?,
                _ if segment == "$ref" => self.source.pointer(schema.get("$ref")?.as_str()?.strip_prefix('#')?)?,
                _ => schema.get(&segment)?,
            };
        }
        Some(schema)
    }

    fn properties_beside(&self, schema_path: &str) -> Vec<String> {
        let properties = self.holder(schema_path).and_then(|schema| schema.get("properties")?.as_object());
        properties.map(|properties| properties.keys().cloned().collect()).unwrap_or_default()
    }

    fn annotation(&self, schema_path: &str, key: &str) -> Option<&str> {
        self.holder(schema_path)?.get(key)?.as_str()
    }

    /// What the schema of a property beside the keyword says under `key`.
    fn of_property(&self, schema_path: &str, property: &str, key: &str) -> Option<&str> {
        self.holder(schema_path)?.get("properties")?.get(property)?.get(key)?.as_str()
    }
}

impl Violation {
    /// Whether the verdict depends on the value itself or on the parts below it, rather than on which keys there are.
    pub(super) fn depends_on_content(&self) -> bool {
        !matches!(self.keyword, "additionalProperties" | "required")
    }

    /// Whether the verdict may come from any part below the place.
    pub(super) fn depends_on_parts(&self) -> bool {
        !matches!(self.keyword, "additionalProperties" | "required" | "type")
    }
}

const NO_KIND: &str = "no kind";
const SEVERAL_KINDS: &str = "several kinds";

/// Leaves out what only repeats another violation: where there are several kinds, each complains about the keys of the others; where
/// there is none, a misspelt key is the reason, and has been named.
fn without_echoes(violations: Vec<Violation>) -> Vec<Violation> {
    let parent = |violation: &Violation| match violation.keyword {
        "additionalProperties" => violation.pointer.rsplit_once('/').map_or("", |(parent, _)| parent).to_owned(),
        _ => violation.pointer.clone(),
    };
    let of_keyword = |keyword: &str| -> Vec<String> {
        violations.iter().filter(|violation| violation.keyword == keyword).map(&parent).collect()
    };
    let (several, none) = (of_keyword(SEVERAL_KINDS), of_keyword(NO_KIND));
    let misspelt: Vec<String> = violations
        .iter()
        .filter(|violation| violation.keyword == "additionalProperties")
        .filter(|violation| violation.help.as_ref().is_some_and(|help| help.starts_with("did you mean")))
        .map(&parent)
        .filter(|place| none.contains(place))
        .collect();
    let is_echo = |violation: &Violation| match violation.keyword {
        "additionalProperties" | "required" => several.contains(&parent(violation)),
        NO_KIND => misspelt.contains(&violation.pointer),
        _ => false,
    };
    let echoes: Vec<bool> = violations.iter().map(is_echo).collect();
    violations.into_iter().zip(echoes).filter(|(_, is_echo)| !is_echo).map(|(violation, _)| violation).collect()
}

/// `steps[0].retry` for `/steps/0/retry`.
pub fn readable(pointer: &str) -> String {
    let mut text = String::new();
    for segment in pointer.split('/').skip(1) {
        let segment = segment.replace("~1", "/").replace("~0", "~");
        if segment.bytes().all(|byte| byte.is_ascii_digit()) && !segment.is_empty() {
            let _ = write!(text, "[{segment}]");
        } else {
            if !text.is_empty() {
                text.push('.');
            }
            text.push_str(&segment);
        }
    }
    if text.is_empty() { "the document".to_owned() } else { format!("`{text}`") }
}

/// The key that was meant, or those that there are and are not used yet.
fn suggest(key: &str, known: &[String], beside: &Value) -> Option<String> {
    let free: Vec<&str> = known.iter().filter(|name| beside.get(name).is_none()).map(String::as_str).collect();
    if let Some(near) = similar(key, free.iter().copied()) {
        return Some(format!("did you mean `{near}`?"));
    }
    let listed: Vec<&str> = free.into_iter().filter(|name| !name.starts_with('$')).collect();
    (!listed.is_empty()).then(|| format!("possible here: {}", listed.join(", ")))
}

fn keyword(kind: &ValidationErrorKind) -> &'static str {
    match kind {
        ValidationErrorKind::AdditionalProperties { .. } => "additionalProperties",
        ValidationErrorKind::Required { .. } => "required",
        ValidationErrorKind::Type { .. } => "type",
        _ => "other",
    }
}

fn expected_type(kind: &TypeKind) -> String {
    let names: Vec<&str> = match kind {
        TypeKind::Single(kind) => vec![article(kind.as_str())],
        TypeKind::Multiple(kinds) => kinds.iter().map(|kind| article(kind.as_str())).collect(),
    };
    names.join(" or ")
}

fn article(kind: &str) -> &'static str {
    match kind {
        "array" => "an array",
        "boolean" => "true or false",
        "integer" => "a whole number",
        "null" => "null",
        "number" => "a number",
        "object" => "an object",
        _ => "a text",
    }
}

fn type_of(value: &Value) -> &'static str {
    article(match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => return "a number with a fraction",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    })
}

/// A text without its quotes, anything else as JSON.
fn shown(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// As much of a value as fits into a sentence.
fn cut(text: &str) -> String {
    const CHARACTERS_MAX: usize = 60;
    if text.chars().count() <= CHARACTERS_MAX {
        text.to_owned()
    } else {
        text.chars().take(CHARACTERS_MAX).chain(['…']).collect()
    }
}
