//! The template engine's own filters, with the same manners as ours: a value of the wrong type is refused by name.

use minijinja::value::{Rest, ValueKind, ValueOrKwargs};
use minijinja::{Environment, ErrorKind, State, Value, filters};

use super::call::{is_sentence, kind_of, sentence};
use crate::expression::names;

/// What a filter of the engine takes.
#[derive(Clone, Copy)]
enum Takes {
    Anything,
    Text,
    TextOrNumber,
    Number,
    Array,
    Object,
    TextOrArray,
    ArrayOrObject,
    TextArrayOrObject,
}

impl Takes {
    fn fits(self, value: &Value) -> bool {
        let is_text = matches!(value.kind(), ValueKind::String | ValueKind::Number | ValueKind::Bool);
        let is_array = matches!(value.kind(), ValueKind::Seq | ValueKind::Iterable);
        let is_object = value.kind() == ValueKind::Map;
        match self {
            Self::Anything => true,
            Self::Text | Self::TextOrNumber => is_text,
            Self::Number => value.is_number(),
            Self::Array => is_array,
            Self::Object => is_object,
            Self::TextOrArray => value.kind() == ValueKind::String || is_array,
            Self::ArrayOrObject => is_array || is_object,
            Self::TextArrayOrObject => value.kind() == ValueKind::String || is_array || is_object,
        }
    }

    fn words(self) -> &'static str {
        match self {
            Self::Anything => "a value",
            Self::Text => "a text",
            Self::TextOrNumber => "a text or a number",
            Self::Number => "a number",
            Self::Array => "an array",
            Self::Object => "an object",
            Self::TextOrArray => "a text or an array",
            Self::ArrayOrObject => "an array or an object",
            Self::TextArrayOrObject => "a text, an array or an object",
        }
    }
}

/// The engine's filters that stay as they are; `default` and `d` are not wrapped, for they alone take what is undefined.
fn kept() -> Vec<(&'static str, Takes, Value)> {
    use Takes::{Anything, Array, ArrayOrObject, Number, Object, Text, TextArrayOrObject, TextOrArray, TextOrNumber};
    vec![
        ("abs", Number, Value::from_function(filters::abs)),
        ("attr", ArrayOrObject, Value::from_function(filters::attr)),
        ("batch", Array, Value::from_function(filters::batch)),
        ("bool", Anything, Value::from_function(filters::bool)),
        ("capitalize", Text, Value::from_function(filters::capitalize)),
        ("chain", ArrayOrObject, Value::from_function(filters::chain)),
        ("count", TextArrayOrObject, Value::from_function(filters::length)),
        ("dictsort", Object, Value::from_function(filters::dictsort)),
        ("e", Anything, Value::from_function(filters::escape)),
        ("escape", Anything, Value::from_function(filters::escape)),
        ("first", TextOrArray, Value::from_function(filters::first)),
        ("float", TextOrNumber, Value::from_function(filters::float)),
        ("format", Text, Value::from_function(filters::format)),
        ("groupby", Array, Value::from_function(filters::groupby)),
        ("int", TextOrNumber, Value::from_function(filters::int)),
        ("items", Object, Value::from_function(filters::items)),
        ("join", TextOrArray, Value::from_function(filters::join)),
        ("last", TextOrArray, Value::from_function(filters::last)),
        ("length", TextArrayOrObject, Value::from_function(filters::length)),
        ("lines", Text, Value::from_function(filters::lines)),
        ("list", TextArrayOrObject, Value::from_function(filters::list)),
        ("lower", Text, Value::from_function(filters::lower)),
        ("map", ArrayOrObject, Value::from_function(filters::map)),
        ("max", Array, Value::from_function(filters::max)),
        ("min", Array, Value::from_function(filters::min)),
        ("pprint", Anything, Value::from_function(filters::pprint)),
        ("reject", ArrayOrObject, Value::from_function(filters::reject)),
        ("rejectattr", Array, Value::from_function(filters::rejectattr)),
        ("replace", Text, Value::from_function(filters::replace)),
        ("reverse", TextOrArray, Value::from_function(filters::reverse)),
        ("safe", Anything, Value::from_function(filters::safe)),
        ("select", ArrayOrObject, Value::from_function(filters::select)),
        ("selectattr", Array, Value::from_function(filters::selectattr)),
        ("slice", Array, Value::from_function(filters::slice)),
        ("sort", Array, Value::from_function(filters::sort)),
        ("split", Text, Value::from_function(filters::split)),
        ("string", Anything, Value::from_function(filters::string)),
        ("title", Text, Value::from_function(filters::title)),
        ("tojson", Anything, Value::from_function(filters::tojson)),
        ("trim", Text, Value::from_function(filters::trim)),
        ("unique", Array, Value::from_function(filters::unique)),
        ("upper", Text, Value::from_function(filters::upper)),
        ("urlencode", Anything, Value::from_function(filters::urlencode)),
        ("zip", Array, Value::from_function(filters::zip)),
    ]
}

pub(super) fn install(environment: &mut Environment<'static>) {
    for (name, takes, function) in kept() {
        environment.add_filter(name, move |state: &mut State<'_, '_>, arguments: Rest<ValueOrKwargs>| {
            let arguments: Vec<Value> = arguments.0.into_iter().map(ValueOrKwargs::into_value).collect();
            call(name, takes, &function, state, &arguments)
        });
    }
}

fn call(
    name: &'static str,
    takes: Takes,
    function: &Value,
    state: &mut State<'_, '_>,
    arguments: &[Value],
) -> Result<Value, minijinja::Error> {
    if let Some(value) = arguments.first() {
        if value.is_undefined() {
            return Err(ErrorKind::UndefinedError.into());
        }
        if !takes.fits(value) {
            return Err(sentence(format!("`{name}` takes {} and got {}", takes.words(), kind_of(value))));
        }
        // What the engine counts in these filters when it calls them itself, it does not count for us.
        let units = match name {
            "dictsort" | "groupby" | "items" | "last" | "reverse" => value.len().map_or(0, |items| items / 2),
            "pprint" | "tojson" => written_bytes(value, 0, indentation(name, arguments)?) / 4,
            "e" | "escape" | "safe" | "string" | "urlencode" if value.len().is_some() => written_bytes(value, 0, 0) / 4,
            _ => 0,
        };
        state.consume_fuel(u64::try_from(units).unwrap_or(u64::MAX))?;
    }
    function.call(state, arguments).map_err(|error| put(name, error, arguments))
}

/// By how much `tojson` and `pprint` indent each level.
fn indentation(name: &str, arguments: &[Value]) -> Result<usize, minijinja::Error> {
    /// As for `to_json`: the widest that people use.
    const INDENT_MAX: usize = 8;
    let Some(given) = arguments.get(1) else { return Ok(if name == "pprint" { 4 } else { 0 }) };
    let given = if given.is_kwargs() { given.get_attr("indent")? } else { given.clone() };
    if given.is_undefined() || given.is_none() || given.kind() == ValueKind::Bool {
        return Ok(2);
    }
    let indent = given.as_usize().filter(|indent| *indent <= INDENT_MAX);
    indent.ok_or_else(|| sentence(format!("`{name}` takes an `indent` of up to {INDENT_MAX}")))
}

/// About how many bytes a value takes when it is written out with that indentation.
fn written_bytes(value: &Value, depth: usize, indent: usize) -> usize {
    /// The depth that results may have; see `value.rs`.
    const DEPTH_MAX: usize = 128;
    if depth > DEPTH_MAX {
        return usize::MAX / 2;
    }
    let children = |value: &Value| {
        let Ok(items) = value.try_iter() else { return 0 };
        items.fold(2_usize, |bytes, item| {
            let bytes = bytes.saturating_add(indent.saturating_mul(depth + 1));
            let field = if value.kind() == ValueKind::Map { value.get_item(&item).ok() } else { None };
            let field = field.map_or(0, |field| written_bytes(&field, depth + 1, indent));
            bytes.saturating_add(field).saturating_add(written_bytes(&item, depth + 1, indent))
        })
    };
    match value.kind() {
        ValueKind::String => value.as_str().map_or(0, str::len),
        ValueKind::Seq | ValueKind::Iterable | ValueKind::Map => children(value),
        _ => 8,
    }
}

/// Puts the engine's refusals into sentences that name the filter.
fn put(name: &str, error: minijinja::Error, arguments: &[Value]) -> minijinja::Error {
    if is_sentence(&error) {
        return error;
    }
    match error.kind() {
        ErrorKind::InvalidOperation | ErrorKind::MissingArgument | ErrorKind::TooManyArguments => {
            let reason = error.detail().map_or_else(|| error.kind().to_string(), str::to_owned);
            sentence(format!("`{name}`: {reason}"))
        }
        ErrorKind::UnknownFilter | ErrorKind::UnknownTest => {
            // `selectattr` and `rejectattr` take an attribute before the name of the test.
            let place = if name.ends_with("attr") { 2 } else { 1 };
            let named = arguments.get(place).and_then(Value::as_str).unwrap_or_default();
            let reason = match error.kind() {
                ErrorKind::UnknownFilter => names::unknown_filter(named),
                _ => names::unknown_test(named),
            };
            sentence(format!("`{name}`: {reason}"))
        }
        _ => error,
    }
}
