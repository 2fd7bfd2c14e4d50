//! From text to data with places: YAML 1.2 or JSON, which is a part of it, read by one parser.
//!
//! What makes YAML dangerous or surprising is refused with a reason: anchors and aliases (a short text could become a huge one), tags,
//! several documents, doubled keys, numbers that would lose digits. `on`, `yes` and `no` are texts.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt::Write as _;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, ScanError, Span, StrInput};
use serde_json::{Map, Number, Value};

use super::problem::{Problem, Severity};
use crate::expression::join_pointer;

/// The largest text that is read: a thousand lines of YAML per megabyte of patience, and far beyond what 200 steps need.
pub const BYTES_MAX: usize = 256 * 1024;

/// The deepest nesting; a step's `with` sits at 3, so sixty levels are left for its JSON.
pub const DEPTH_MAX: usize = 64;

/// A document with the place of each of its parts.
#[derive(Debug, Clone, PartialEq)]
pub struct Located {
    pub value: Value,
    places: HashMap<String, Place>,
}

/// Where a part of a document begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    /// The key's place for the fields of an object, else the value's.
    key: Position,
    value: Position,
}

/// Line and column, both counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    pub line: usize,
    pub column: usize,
}

impl Located {
    /// Reads YAML or JSON.
    pub fn read(text: &str) -> Result<Self, Problem> {
        if text.len() > BYTES_MAX {
            return Err(START.problem("", format!("the text has {} bytes; at most {BYTES_MAX} are read", text.len())));
        }
        let text = join_surrogates(text);
        Reader { parser: Parser::new_from_str(&text), places: HashMap::new(), text: &text }.document()
    }

    /// Where the value at `pointer` begins; the nearest place around it when it is not there.
    pub fn value_position(&self, pointer: &str) -> Position {
        self.place(pointer).value
    }

    /// Where the key of the field at `pointer` begins, or the value when it has no key.
    pub fn key_position(&self, pointer: &str) -> Position {
        self.place(pointer).key
    }

    /// Everything that has a place.
    pub(super) fn pointers(&self) -> impl Iterator<Item = &str> {
        self.places.keys().map(String::as_str)
    }

    /// A problem with the value at `pointer`.
    pub fn problem(&self, pointer: &str, message: impl Into<String>) -> Problem {
        self.value_position(pointer).problem(pointer, message)
    }

    fn place(&self, pointer: &str) -> Place {
        let mut pointer = pointer;
        loop {
            if let Some(place) = self.places.get(pointer) {
                return *place;
            }
            match pointer.rsplit_once('/') {
                Some((parent, _)) => pointer = parent,
                None => return Place { key: START, value: START },
            }
        }
    }
}

const START: Position = Position { line: 1, column: 1 };

impl Position {
    /// The byte of the text at this place.
    pub(super) fn offset_in(self, text: &str) -> usize {
        let line = text.split_inclusive('\n').take(self.line - 1).map(str::len).sum::<usize>();
        let rest = text.get(line..).unwrap_or_default();
        line + rest.char_indices().nth(self.column - 1).map_or(rest.len(), |(at, _)| at)
    }

    pub(super) fn problem(self, pointer: &str, message: impl Into<String>) -> Problem {
        Problem {
            line: self.line,
            column: self.column,
            pointer: pointer.to_owned(),
            message: message.into(),
            help: None,
            severity: Severity::Error,
        }
    }
}

impl From<&Marker> for Position {
    fn from(marker: &Marker) -> Self {
        Self { line: marker.line(), column: marker.col() + 1 }
    }
}

/// JSON writes characters beyond the first plane as two escapes (`\ud83d\ude00`), which YAML reads as two bad ones.
fn join_surrogates(text: &str) -> Cow<'_, str> {
    if !text.trim_start().starts_with('{') || !text.contains("\\u") {
        return Cow::Borrowed(text);
    }
    let mut joined = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        let (before, escape) = rest.split_at(at);
        joined.push_str(before);
        let unit = |from: usize| {
            let digits = escape.get(from..from + 6)?.strip_prefix("\\u")?;
            u16::from_str_radix(digits, 16).ok()
        };
        let pair = unit(0).zip(unit(6)).and_then(|(high, low)| char::decode_utf16([high, low]).next()?.ok());
        let length = if let Some(character) = pair.filter(|character| *character > '\u{ffff}') {
            let _ = write!(joined, "\\U{:08x}", u32::from(character));
            12
        } else {
            let length = 1 + escape.chars().nth(1).map_or(0, char::len_utf8);
            joined.push_str(escape.get(..length).unwrap_or_default());
            length
        };
        rest = escape.get(length..).unwrap_or_default();
    }
    joined.push_str(rest);
    Cow::Owned(joined)
}

/// Builds the document from the parser's events.
struct Reader<'t> {
    parser: Parser<'t, StrInput<'t>>,
    places: HashMap<String, Place>,
    text: &'t str,
}

impl<'t> Reader<'t> {
    fn document(mut self) -> Result<Located, Problem> {
        let value = loop {
            let (event, span) = self.next()?;
            match event {
                Event::StreamStart | Event::DocumentStart(_) | Event::Nothing => {}
                Event::StreamEnd => return Err(START.problem("", "the text is empty")),
                event => {
                    let position = Position::from(&span.start);
                    self.places.insert(String::new(), Place { key: position, value: position });
                    break self.node(event, span, "", 0)?;
                }
            }
        };
        loop {
            let (event, span) = self.next()?;
            match event {
                Event::DocumentEnd | Event::Nothing => {}
                Event::StreamEnd => return Ok(Located { value, places: self.places }),
                _ => {
                    let problem = Position::from(&span.start).problem("", "a second document begins here");
                    return Err(problem.with_help("write one workflow per file"));
                }
            }
        }
    }

    fn next(&mut self) -> Result<(Event<'t>, Span), Problem> {
        match self.parser.next_event() {
            Some(Ok(next)) => Ok(next),
            Some(Err(error)) => Err(self.syntax(&error)),
            None => Err(START.problem("", "the text ends too early")),
        }
    }

    fn node(&mut self, event: Event<'t>, span: Span, pointer: &str, depth: usize) -> Result<Value, Problem> {
        let at = Position::from(&span.start);
        if depth > DEPTH_MAX {
            return Err(at.problem(pointer, format!("this is nested more than {DEPTH_MAX} deep")));
        }
        let (anchor, tag) = match &event {
            Event::Scalar(_, _, anchor, tag) | Event::SequenceStart(anchor, tag) | Event::MappingStart(anchor, tag) => {
                (*anchor, tag.as_ref())
            }
            _ => (0, None),
        };
        if anchor != 0 || matches!(event, Event::Alias(_)) {
            let problem = at.problem(pointer, "anchors (`&name`) and aliases (`*name`) are not read");
            return Err(problem.with_help(ANCHOR_HELP));
        }
        if let Some(tag) = tag {
            let problem = at.problem(pointer, format!("tags such as `{tag}` are not read"));
            return Err(problem.with_help("leave it out; put texts that begin with `!` in quotes"));
        }
        match event {
            Event::Scalar(text, ScalarStyle::Plain, ..) => plain(&text).map_err(|message| {
                at.problem(pointer, message).with_help(format!("put it in quotes if it is meant as text: \"{text}\""))
            }),
            Event::Scalar(text, ..) => Ok(Value::String(text.into_owned())),
            Event::SequenceStart(..) => self.sequence(pointer, depth),
            Event::MappingStart(..) => self.mapping(pointer, depth),
            _ => Err(at.problem(pointer, "a value is missing here")),
        }
    }

    fn sequence(&mut self, pointer: &str, depth: usize) -> Result<Value, Problem> {
        let mut items = Vec::new();
        loop {
            let (event, span) = self.next()?;
            if event == Event::SequenceEnd {
                return Ok(Value::Array(items));
            }
            let position = Position::from(&span.start);
            let pointer = join_pointer(pointer, &items.len().to_string());
            items.push(self.node(event, span, &pointer, depth + 1)?);
            self.places.insert(pointer, Place { key: position, value: position });
        }
    }

    fn mapping(&mut self, pointer: &str, depth: usize) -> Result<Value, Problem> {
        let mut fields = Map::new();
        loop {
            let (event, span) = self.next()?;
            let at = Position::from(&span.start);
            let key = match event {
                Event::MappingEnd => return Ok(Value::Object(fields)),
                Event::Scalar(key, _, 0, None) => key.into_owned(),
                Event::MappingStart(..) | Event::SequenceStart(..) => {
                    let problem = at.problem(pointer, "an object or array cannot be a key");
                    return Err(problem.with_help(QUOTE_HELP));
                }
                event => {
                    self.node(event, span, pointer, depth + 1)?;
                    return Err(at.problem(pointer, "this cannot be a key"));
                }
            };
            let pointer = join_pointer(pointer, &key);
            if let Some(first) = self.places.get(&pointer) {
                let message = format!("the key `{key}` is here twice (first in line {})", first.key.line);
                return Err(at.problem(&pointer, message).with_help("remove one of them"));
            }
            let (event, span) = self.next()?;
            let place = Place { key: at, value: Position::from(&span.start) };
            // Before the value, so that a doubled key further down is measured against this one.
            self.places.insert(pointer.clone(), place);
            let value = self.node(event, span, &pointer, depth + 1)?;
            fields.insert(key, value);
        }
    }

    /// The parser's complaint, with the remedy where the cause is a known one.
    fn syntax(&self, error: &ScanError) -> Problem {
        let position = Position::from(error.marker());
        let mut message = String::from("this is neither YAML nor JSON: ");
        let _ = write!(message, "{}", error.info());
        let problem = position.problem("", message);
        if error.info().contains("tab") {
            return problem.with_help("indent with spaces: YAML does not take tabs");
        }
        if error.info().contains("anchor") {
            return problem.with_help(ANCHOR_HELP);
        }
        let nearby = self.text.lines().skip(position.line.saturating_sub(2)).take(2);
        if nearby.filter(|line| line.contains("{{")).any(|line| !line.contains("\"{{") && !line.contains("'{{")) {
            return problem.with_help(QUOTE_HELP);
        }
        if error.info().contains("quoted scalar") {
            return problem.with_help("a text in quotes does not end where it should: look for a missing quote");
        }
        problem.with_help("compare the indentation of this line with that of the lines around it")
    }
}

const ANCHOR_HELP: &str = "write the value out where it is needed; put texts that begin with `&` or `*` in quotes";
const QUOTE_HELP: &str = "put a text that begins with `{{` in quotes: \"{{ trigger.body.id }}\"";

/// A scalar without quotes, by the core schema of YAML 1.2.
fn plain(text: &str) -> Result<Value, String> {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Ok(Value::Null),
        "true" | "True" | "TRUE" => return Ok(Value::Bool(true)),
        "false" | "False" | "FALSE" => return Ok(Value::Bool(false)),
        _ => {}
    }
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    if matches!(unsigned, ".inf" | ".Inf" | ".INF" | ".nan" | ".NaN" | ".NAN") {
        return Err(format!("`{text}` is a number that JSON cannot say"));
    }
    if let Some((digits, radix)) = radix(text) {
        let integer = u64::from_str_radix(digits, radix);
        return integer.map(Value::from).map_err(|_| format!("`{text}` is too large a number"));
    }
    if !unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.') || !is_number(unsigned) {
        return Ok(Value::String(text.to_owned()));
    }
    if text.starts_with('+') || unsigned.len() > 1 && unsigned.starts_with('0') && !unsigned.starts_with("0.") {
        // A telephone number or a postcode, most likely.
        return Err(format!(
            "`{text}` would be read as a number and lose its `{}`",
            text.chars().next().unwrap_or('0')
        ));
    }
    if unsigned.bytes().all(|byte| byte.is_ascii_digit()) {
        let integer = text.parse::<i64>().map(Number::from).or_else(|_| text.parse::<u64>().map(Number::from));
        return integer.map(Value::Number).map_err(|_| format!("`{text}` is too large a number"));
    }
    let float = text.parse::<f64>().ok().and_then(Number::from_f64);
    float.map(Value::Number).ok_or_else(|| format!("`{text}` is too large a number"))
}

/// The digits and the radix of `0x1f` and `0o17`.
fn radix(text: &str) -> Option<(&str, u32)> {
    let (digits, radix) = match text.strip_prefix("0x") {
        Some(digits) => (digits, 16),
        None => (text.strip_prefix("0o")?, 8),
    };
    (!digits.is_empty() && digits.chars().all(|c| c.is_digit(radix))).then_some((digits, radix))
}

/// Whether `[0-9]*(\.[0-9]*)?([eE][-+]?[0-9]+)?` matches with a digit in its mantissa.
fn is_number(unsigned: &str) -> bool {
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (unsigned, None),
    };
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let exponent_fits = exponent.is_none_or(|exponent| {
        let exponent = exponent.strip_prefix(['-', '+']).unwrap_or(exponent);
        !exponent.is_empty() && digits(exponent)
    });
    digits(whole) && digits(fraction) && !(whole.is_empty() && fraction.is_empty()) && exponent_fits
}
