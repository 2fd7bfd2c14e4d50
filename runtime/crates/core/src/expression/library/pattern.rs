//! Filters with regular expressions: linear in time, small when compiled, compiled once per evaluation.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use minijinja::{Environment, State, Value};
use regex::{Regex, RegexBuilder};
use serde_json::Value as Json;

use super::call::{Call, ITEMS_MAX, Refusal, sentence};
use super::{Filter, Outcome, filter};

/// The longest pattern: longer ones are programs.
const PATTERN_BYTES_MAX: usize = 1_000;

/// The largest compiled pattern: about what 1,000 characters come to without counted repetitions of classes.
const COMPILED_BYTES_MAX: usize = 256 * 1024;

/// What compiling costs: up to some milliseconds, in units of about 100 ns.
const COMPILE_UNITS: u64 = 10_000;

/// As many compiled patterns as one evaluation keeps; a text that makes more of them compiles them anew.
const CACHED_MAX: usize = 32;

pub(super) const FILTERS: &[Filter] = &[
    filter("regex_match", &["pattern"], |call| {
        let (text, regex) = prepared(call)?;
        Ok(Value::from(regex.is_match(&text)))
    }),
    filter("regex_find", &["pattern", "group"], |call| {
        let (text, regex) = prepared(call)?;
        let group = group(call, 1)?;
        let found = regex.captures(&text).and_then(|captures| group.of(&captures));
        Ok(found.map_or(Value::UNDEFINED, Value::from))
    }),
    filter("regex_find_all", &["pattern", "group"], |call| {
        let (text, regex) = prepared(call)?;
        let group = group(call, 1)?;
        let found = regex.captures_iter(&text).take(ITEMS_MAX).filter_map(|captures| group.of(&captures));
        call.done(&found.map(Json::from).collect())
    }),
    filter("regex_replace", &["pattern", "replacement"], replace),
    filter("extract_email", &[], |call| extract(call, &EMAIL)),
    filter("extract_emails", &[], |call| extract_all(call, &EMAIL)),
    filter("extract_url", &[], |call| extract(call, &URL)),
    filter("extract_urls", &[], |call| extract_all(call, &URL)),
    filter("extract_number", &[], |call| {
        let text = call.text()?;
        call.pay(text.len() / 8)?;
        match found(&NUMBER, &text).next().and_then(|number| super::number::parse(number, '.', ',')) {
            Some(number) => super::number::done(call, number),
            None => Ok(Value::UNDEFINED),
        }
    }),
];

fn fixed(pattern: &str) -> Regex {
    Regex::new(pattern).expect("the patterns below are regular expressions")
}

/// Addresses as people write them, not all that RFC 5321 allows.
static EMAIL: LazyLock<Regex> =
    LazyLock::new(|| fixed(r"[A-Za-z0-9._%+\-]{1,64}@[A-Za-z0-9](?:[A-Za-z0-9\-]{0,62}\.)+[A-Za-z]{2,24}\b"));
/// A closing full stop, comma or bracket belongs to the sentence.
static URL: LazyLock<Regex> = LazyLock::new(|| fixed(r#"(?i)\bhttps?://[^\s<>"'`]*[^\s<>"'`.,;:!?)\]}]"#));
static NUMBER: LazyLock<Regex> = LazyLock::new(|| fixed(r"-?\d[\d,]*(?:\.\d+)?"));

fn found<'t>(regex: &'static Regex, text: &'t str) -> impl Iterator<Item = &'t str> {
    regex.find_iter(text).map(|found| found.as_str())
}

/// The first find; undefined if there is none, so that `default` can follow.
fn extract(call: &mut Call<'_, '_, '_>, regex: &'static Regex) -> Outcome {
    let text = call.text()?;
    call.pay(text.len() / 8)?;
    Ok(found(regex, &text).next().map_or(Value::UNDEFINED, Value::from))
}

fn extract_all(call: &mut Call<'_, '_, '_>, regex: &'static Regex) -> Outcome {
    let text = call.text()?;
    call.pay(text.len() / 8)?;
    call.done(&found(regex, &text).take(ITEMS_MAX).map(Json::from).collect())
}

fn replace(call: &mut Call<'_, '_, '_>) -> Outcome {
    let (text, regex) = prepared(call)?;
    let replacement = call.needed_text(1)?;
    let mut replaced = String::with_capacity(text.len());
    // Each `$` of the replacement may stand for all that was found.
    let references = replacement.matches('$').count();
    let mut end = 0;
    for captures in regex.captures_iter(&text) {
        let Some(whole) = captures.get(0) else { continue };
        replaced.push_str(text.get(end..whole.start()).unwrap_or_default());
        if references.saturating_mul(whole.len()) > crate::expression::TEXT_BYTES_MAX {
            return Err(crate::expression::template::too_long().into());
        }
        captures.expand(&replacement, &mut replaced);
        end = whole.end();
        if replaced.len() > crate::expression::TEXT_BYTES_MAX {
            break;
        }
    }
    replaced.push_str(text.get(end..).unwrap_or_default());
    call.text_done(replaced)
}

/// The part of a find that is wanted: by number, 0 for all of it, or by name.
enum Group {
    Number(usize),
    Name(Arc<str>),
}

impl Group {
    fn of<'t>(&self, captures: &regex::Captures<'t>) -> Option<&'t str> {
        let found = match self {
            Self::Number(number) => captures.get(*number),
            Self::Name(name) => captures.name(name),
        };
        found.map(|found| found.as_str())
    }
}

fn group(call: &Call<'_, '_, '_>, index: usize) -> Result<Group, Refusal> {
    match call.argument(index) {
        Some(value) if value.is_number() => Ok(Group::Number(call.needed_count(index, 100)?)),
        Some(_) => Ok(Group::Name(call.needed_text(index)?)),
        None => Ok(Group::Number(0)),
    }
}

/// The text and the compiled pattern; searching it is paid for.
fn prepared(call: &mut Call<'_, '_, '_>) -> Result<(Arc<str>, Regex), Refusal> {
    let text = call.text()?;
    let pattern = call.needed_text(0)?;
    // The slowest of the matchers takes about a pattern's length of steps for each character.
    call.pay(text.len() / 8 + text.len().saturating_mul(pattern.len()) / 512)?;
    let name = call.name();
    let regex = compiled(call.state, &pattern)?.map_err(|reason| Refusal::Says(format!("`{name}`: {reason}")))?;
    Ok((text, regex))
}

#[derive(Default)]
struct Compiled(BTreeMap<Arc<str>, Regex>);

fn compiled(state: &mut State<'_, '_>, pattern: &Arc<str>) -> Result<Result<Regex, String>, minijinja::Error> {
    if let Some(regex) = state.get_extension::<Compiled>().and_then(|compiled| compiled.0.get(pattern)) {
        return Ok(Ok(regex.clone()));
    }
    state.consume_fuel(COMPILE_UNITS)?;
    let regex = match compile(pattern) {
        Ok(regex) => regex,
        Err(reason) => return Ok(Err(reason)),
    };
    let cache = state.get_or_insert_extension(Compiled::default());
    if cache.0.len() < CACHED_MAX {
        cache.0.insert(pattern.clone(), regex.clone());
    }
    Ok(Ok(regex))
}

fn compile(pattern: &str) -> Result<Regex, String> {
    if pattern.len() > PATTERN_BYTES_MAX {
        return Err(format!("the pattern is longer than {PATTERN_BYTES_MAX} bytes"));
    }
    let built = RegexBuilder::new(pattern).size_limit(COMPILED_BYTES_MAX).dfa_size_limit(COMPILED_BYTES_MAX).build();
    built.map_err(|error| match error {
        regex::Error::CompiledTooBig(_) => {
            "the pattern is too large; repeat fewer times, as in `a{1,20}` for `a{1,9999}`".to_owned()
        }
        error => {
            let reason = error.to_string();
            let reason = reason.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
            format!("the pattern is no regular expression: {reason}")
        }
    })
}

pub(super) fn install(environment: &mut Environment<'static>) {
    environment.add_test("matching", |state: &mut State<'_, '_>, text: &Value, pattern: &str| {
        let Some(text) = text.as_str() else {
            return Err(sentence(format!("`matching` takes a text and got {}", super::call::kind_of(text))));
        };
        let units = text.len() / 8 + text.len().saturating_mul(pattern.len()) / 512;
        state.consume_fuel(u64::try_from(units).unwrap_or(u64::MAX))?;
        let regex = compiled(state, &pattern.into())?.map_err(|reason| sentence(format!("`matching`: {reason}")))?;
        Ok(regex.is_match(text))
    });
}
