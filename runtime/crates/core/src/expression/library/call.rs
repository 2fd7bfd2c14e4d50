//! One call of a filter: its arguments read with names and types, its work paid for, its refusals put into sentences.

use std::collections::BTreeMap;
use std::sync::Arc;

use minijinja::value::{Kwargs, ValueKind, ValueOrKwargs};
use minijinja::{ErrorKind, State};
use rust_decimal::Decimal;
use serde_json::{Map, Value};

use super::clock::Clock;
use super::{Extra, Filter, Outcome};
use crate::expression::template::TEXT_BYTES_MAX;
use crate::expression::value::{approximate_bytes, from_engine_within, to_engine};
use crate::workflow::problem::similar;

/// The largest array or object a filter works on: four times what a step may take as its input, so that a large output can still be
/// cut down to what is needed of it.
const VALUE_BYTES_MAX: usize = 4 * 1024 * 1024;

/// The most items a filter makes or looks at: what 4 MiB hold of small ones, some tens of milliseconds of sorting.
pub(super) const ITEMS_MAX: usize = 100_000;

pub(super) struct Call<'c, 't, 'e> {
    filter: &'static Filter,
    pub(super) state: &'c mut State<'t, 'e>,
    value: minijinja::Value,
    arguments: Vec<minijinja::Value>,
    named: BTreeMap<String, minijinja::Value>,
}

/// Why a filter has no answer.
#[derive(Debug)]
pub(super) enum Refusal {
    /// A sentence for people.
    Says(String),
    /// The value or an argument is undefined.
    Undefined,
    Engine(minijinja::Error),
}

impl From<String> for Refusal {
    fn from(sentence: String) -> Self {
        Self::Says(sentence)
    }
}

impl From<minijinja::Error> for Refusal {
    fn from(error: minijinja::Error) -> Self {
        Self::Engine(error)
    }
}

impl From<Refusal> for minijinja::Error {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Says(text) => sentence(text),
            Refusal::Undefined => ErrorKind::UndefinedError.into(),
            Refusal::Engine(error) => error,
        }
    }
}

/// Marks an error whose detail is a sentence for people already.
#[derive(Debug, thiserror::Error)]
#[error("said by a filter")]
struct Sentence;

pub(super) fn sentence(text: String) -> minijinja::Error {
    minijinja::Error::new(ErrorKind::InvalidOperation, text).with_source(Sentence)
}

/// Whether the error's detail is a whole sentence.
pub(in crate::expression) fn is_sentence(error: &minijinja::Error) -> bool {
    std::error::Error::source(error).is_some_and(<dyn std::error::Error>::is::<Sentence>)
}

/// What a value is, in plain words.
pub(super) fn kind_of(value: &minijinja::Value) -> &'static str {
    match value.kind() {
        ValueKind::Undefined => "nothing",
        ValueKind::None => "null",
        ValueKind::Bool => "true or false",
        ValueKind::Number => "a number",
        ValueKind::String => "a text",
        ValueKind::Seq | ValueKind::Iterable => "an array",
        ValueKind::Map => "an object",
        _ => "something else",
    }
}

impl<'c, 't, 'e> Call<'c, 't, 'e> {
    pub(super) fn new(
        filter: &'static Filter,
        state: &'c mut State<'t, 'e>,
        arguments: Vec<ValueOrKwargs>,
    ) -> Result<Self, minijinja::Error> {
        let mut positional = Vec::with_capacity(arguments.len());
        let mut named = BTreeMap::new();
        for argument in arguments {
            let argument = argument.into_value();
            if argument.is_kwargs() {
                let kwargs = Kwargs::try_from(argument)?;
                for name in kwargs.args() {
                    named.insert(name.to_owned(), kwargs.get::<minijinja::Value>(name)?);
                }
            } else {
                positional.push(argument);
            }
        }
        if positional.is_empty() {
            return Err(sentence(format!("`{}` takes a value: write `value | {}`", filter.name, filter.name)));
        }
        let value = positional.remove(0);
        Ok(Self { filter, state, value, arguments: positional, named })
    }

    pub(super) fn run(mut self) -> Result<minijinja::Value, minijinja::Error> {
        if self.value.is_undefined()
            || self.arguments.iter().chain(self.named.values()).any(minijinja::Value::is_undefined)
        {
            return Err(Refusal::Undefined.into());
        }
        self.check_names()?;
        (self.filter.run)(&mut self).map_err(minijinja::Error::from)
    }

    fn check_names(&self) -> Result<(), Refusal> {
        let Filter { name, parameters, takes_more, .. } = self.filter;
        if *takes_more == Extra::None && self.arguments.len() > parameters.len() {
            return Err(Refusal::Says(match parameters {
                [] => format!("`{name}` takes no arguments"),
                [one] => format!("`{name}` takes one argument: {one}"),
                several => format!("`{name}` takes up to {} arguments: {}", several.len(), several.join(", ")),
            }));
        }
        for given in self.named.keys() {
            let Some(place) = parameters.iter().position(|parameter| parameter == given) else {
                let known = parameters.join(", ");
                return Err(Refusal::Says(match similar(given, parameters.iter().copied()) {
                    Some(near) => format!("`{name}` has no argument `{given}`; did you mean `{near}`?"),
                    None if parameters.is_empty() => format!("`{name}` has no argument `{given}`"),
                    None => format!("`{name}` has no argument `{given}`; it has {known}"),
                }));
            };
            if place < self.arguments.len() {
                return Err(Refusal::Says(format!("`{name}` is given `{given}` twice")));
            }
        }
        Ok(())
    }

    pub(super) fn name(&self) -> &'static str {
        self.filter.name
    }

    /// Refuses the value: `takes` says what the filter takes.
    pub(super) fn wrong(&self, takes: &str) -> Refusal {
        Refusal::Says(format!("`{}` takes {takes} and got {}", self.filter.name, kind_of(&self.value)))
    }

    /// Refuses an argument.
    pub(super) fn wrong_argument(&self, index: usize, takes: &str) -> Refusal {
        let got = self.argument(index).map_or("nothing", kind_of);
        Refusal::Says(format!(
            "the argument `{}` of `{}` takes {takes} and got {got}",
            self.parameter(index),
            self.filter.name
        ))
    }

    /// Refuses with `what`, after the filter's name.
    pub(super) fn says(&self, what: &str) -> Refusal {
        Refusal::Says(format!("`{}` {what}", self.filter.name))
    }

    fn parameter(&self, index: usize) -> &'static str {
        self.filter.parameters.get(index).copied().unwrap_or("value")
    }

    pub(super) fn value(&self) -> &minijinja::Value {
        &self.value
    }

    /// The value as a text: numbers and true or false are written as JSON writes them.
    pub(super) fn text(&self) -> Result<Arc<str>, Refusal> {
        let text = plain_text(&self.value).ok_or_else(|| self.wrong("a text"))?;
        self.check_text(&text)?;
        Ok(text)
    }

    fn check_text(&self, text: &str) -> Result<(), Refusal> {
        if text.len() > TEXT_BYTES_MAX {
            return Err(self.says(&format!("takes texts of up to {} KiB", TEXT_BYTES_MAX / 1024)));
        }
        Ok(())
    }

    /// The value as an array.
    pub(super) fn items(&mut self) -> Result<Vec<Value>, Refusal> {
        match self.value.kind() {
            ValueKind::Seq | ValueKind::Iterable => {}
            _ => return Err(self.wrong("an array")),
        }
        match self.json(&self.value.clone())? {
            Value::Array(items) if items.len() <= ITEMS_MAX => Ok(items),
            Value::Array(_) => Err(self.says(&format!("takes up to {ITEMS_MAX} items"))),
            _ => Err(self.wrong("an array")),
        }
    }

    /// The value as an object.
    pub(super) fn fields(&mut self) -> Result<Map<String, Value>, Refusal> {
        if self.value.kind() != ValueKind::Map {
            return Err(self.wrong("an object"));
        }
        match self.json(&self.value.clone())? {
            Value::Object(fields) => Ok(fields),
            _ => Err(self.wrong("an object")),
        }
    }

    /// Any value, taken out of the engine and paid for.
    pub(super) fn json(&self, value: &minijinja::Value) -> Result<Value, Refusal> {
        let too_large =
            || format!("`{}` takes values of up to {} MiB", self.filter.name, VALUE_BYTES_MAX / 1024 / 1024);
        let value = from_engine_within(value, VALUE_BYTES_MAX, &too_large).map_err(Refusal::Says)?;
        // Walking 64 bytes of a value and copying them costs about as much as four instructions.
        self.pay(approximate_bytes(&value) / 16)?;
        Ok(value)
    }

    /// Takes a result into the engine.
    pub(super) fn done(&self, value: &Value) -> Outcome {
        self.pay(approximate_bytes(value) / 16)?;
        Ok(to_engine(value))
    }

    /// Takes a text that the filter made into the engine.
    pub(super) fn text_done(&self, text: String) -> Outcome {
        if text.len() > TEXT_BYTES_MAX {
            return Err(Refusal::Says(format!("`{}`: {}", self.filter.name, crate::expression::template::too_long())));
        }
        Ok(minijinja::Value::from(text))
    }

    /// Takes `units` of work off the expression's budget; see [`crate::expression::FUEL`].
    pub(super) fn pay(&self, units: usize) -> Result<(), Refusal> {
        Ok(self.state.consume_fuel(u64::try_from(units).unwrap_or(u64::MAX))?)
    }

    /// An argument, by its place or its name; null counts as not given.
    pub(super) fn argument(&self, index: usize) -> Option<&minijinja::Value> {
        self.given(index).filter(|value| !value.is_none())
    }

    /// An argument as it was given, null included.
    pub(super) fn given(&self, index: usize) -> Option<&minijinja::Value> {
        let by_name = || self.named.get(*self.filter.parameters.get(index)?);
        self.arguments.get(index).or_else(by_name)
    }

    /// Every argument of a filter that takes any number of them.
    pub(super) fn rest(&self) -> Result<Vec<Value>, Refusal> {
        self.arguments.iter().map(|argument| self.json(argument)).collect()
    }

    /// The same as texts; arrays among them count as their items.
    pub(super) fn texts(&self, takes: &str) -> Result<Vec<String>, Refusal> {
        let mut texts = Vec::new();
        for (index, argument) in self.arguments.iter().enumerate() {
            match self.json(argument)? {
                Value::String(text) => texts.push(text),
                Value::Array(items) => {
                    for item in items {
                        let Value::String(text) = item else { return Err(self.wrong_argument(index, takes)) };
                        texts.push(text);
                    }
                }
                _ => return Err(self.wrong_argument(index, takes)),
            }
        }
        if texts.is_empty() {
            return Err(self.says(&format!("needs {takes}, as in `{}('name')`", self.filter.name)));
        }
        Ok(texts)
    }

    fn needed(&self, index: usize, takes: &str) -> Refusal {
        self.says(&format!("needs the argument `{}`: {takes}", self.parameter(index)))
    }

    pub(super) fn argument_text(&self, index: usize) -> Result<Option<Arc<str>>, Refusal> {
        let Some(value) = self.argument(index) else { return Ok(None) };
        let text = plain_text(value).ok_or_else(|| self.wrong_argument(index, "a text"))?;
        self.check_text(&text)?;
        Ok(Some(text))
    }

    pub(super) fn needed_text(&self, index: usize) -> Result<Arc<str>, Refusal> {
        self.argument_text(index)?.ok_or_else(|| self.needed(index, "a text"))
    }

    pub(super) fn argument_json(&self, index: usize) -> Result<Option<Value>, Refusal> {
        self.argument(index).map(|value| self.json(value)).transpose()
    }

    pub(super) fn needed_json(&self, index: usize) -> Result<Value, Refusal> {
        self.argument_json(index)?.ok_or_else(|| self.needed(index, "a value"))
    }

    /// A whole number from 0 to `most`.
    pub(super) fn argument_count(&self, index: usize, most: usize) -> Result<Option<usize>, Refusal> {
        let Some(value) = self.argument(index) else { return Ok(None) };
        let number = value.as_usize().filter(|_| value.is_number());
        match number {
            Some(count) if count <= most => Ok(Some(count)),
            _ if value.is_number() => {
                Err(self.says(&format!("takes a whole number from 0 to {most} as `{}`", self.parameter(index))))
            }
            _ => Err(self.wrong_argument(index, "a whole number")),
        }
    }

    pub(super) fn needed_count(&self, index: usize, most: usize) -> Result<usize, Refusal> {
        self.argument_count(index, most)?.ok_or_else(|| self.needed(index, "a whole number"))
    }

    pub(super) fn argument_decimal(&self, index: usize) -> Result<Option<Decimal>, Refusal> {
        let Some(value) = self.argument(index) else { return Ok(None) };
        super::number::decimal(value).map(Some).ok_or_else(|| self.wrong_argument(index, "a number"))
    }

    pub(super) fn argument_bool(&self, index: usize) -> Result<Option<bool>, Refusal> {
        let Some(value) = self.argument(index) else { return Ok(None) };
        match value.kind() {
            ValueKind::Bool => Ok(Some(value.is_true())),
            _ => Err(self.wrong_argument(index, "true or false")),
        }
    }

    /// One of the words of `choices`; the first one if none is given.
    pub(super) fn choice<'w>(&self, index: usize, choices: &[&'w str]) -> Result<&'w str, Refusal> {
        let Some(given) = self.argument_text(index)? else { return Ok(choices.first().copied().unwrap_or_default()) };
        let found = choices.iter().find(|choice| given.eq_ignore_ascii_case(choice));
        found.copied().ok_or_else(|| {
            let near = similar(&given, choices.iter().copied());
            let guess = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
            self.says(&format!("takes one of {} as `{}`{guess}", choices.join(", "), self.parameter(index)))
        })
    }

    /// The moment of the evaluation and the zone it is in.
    pub(super) fn clock(&self) -> Result<Arc<Clock>, Refusal> {
        Clock::of(self.state).ok_or_else(|| self.says("needs to know what time it is, and nothing says so here"))
    }
}

/// A text, or a plain value as JSON writes it.
fn plain_text(value: &minijinja::Value) -> Option<Arc<str>> {
    match value.kind() {
        ValueKind::String => value.to_str(),
        ValueKind::Bool => Some(if value.is_true() { "true".into() } else { "false".into() }),
        ValueKind::Number => Some(value.to_string().into()),
        _ => None,
    }
}
