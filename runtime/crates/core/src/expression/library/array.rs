//! Filters for arrays. An `attribute` is a path into each item, such as `customer.email`; the empty one is the item itself.

use std::cmp::Ordering;
use std::collections::BTreeSet;

use minijinja::Value;
use rust_decimal::Decimal;
use serde_json::{Map, Value as Json};

use super::call::{Call, ITEMS_MAX, Refusal};
use super::number::{self, decimal_of_json};
use super::object::at;
use super::{Extra, Filter, Outcome, filter};

pub(super) const FILTERS: &[Filter] = &[
    filter("where", &["attribute", "operator", "value"], |call| {
        let kept = chosen(call)?.into_iter().map(|(_, item)| item).collect();
        call.done(&kept)
    }),
    filter("find", &["attribute", "operator", "value"], |call| match chosen(call)?.into_iter().next() {
        Some((_, item)) => call.done(&item),
        None => Ok(Value::UNDEFINED),
    }),
    filter("find_index", &["attribute", "operator", "value"], |call| {
        Ok(chosen(call)?.first().map_or(Value::from(-1), |(index, _)| Value::from(*index)))
    }),
    filter("pluck", &["attribute", "default"], pluck),
    filter("sort_by", &["attribute", "order"], sort_by),
    filter("group_by", &["attribute"], |call| {
        let mut groups: Map<String, Json> = Map::new();
        for (key, item) in keyed(call)? {
            if let Json::Array(group) = groups.entry(key).or_insert_with(|| Json::Array(Vec::new())) {
                group.push(item);
            }
        }
        call.done(&Json::Object(groups))
    }),
    filter("count_by", &["attribute"], |call| {
        let mut counts: std::collections::BTreeMap<String, u64> = std::collections::BTreeMap::new();
        for (key, _) in keyed(call)? {
            *counts.entry(key).or_default() += 1;
        }
        call.done(&Json::Object(counts.into_iter().map(|(key, count)| (key, count.into())).collect()))
    }),
    filter("index_by", &["attribute"], |call| {
        let fields = keyed(call)?.into_iter().collect();
        call.done(&Json::Object(fields))
    }),
    filter("to_object", &["key", "value"], to_object),
    filter("take", &["count"], |call| {
        let count = call.needed_count(0, ITEMS_MAX)?;
        let items = call.items()?;
        call.done(&items.into_iter().take(count).collect())
    }),
    filter("skip", &["count"], |call| {
        let count = call.needed_count(0, ITEMS_MAX)?;
        let items = call.items()?;
        call.done(&items.into_iter().skip(count).collect())
    }),
    filter("chunk", &["size"], |call| {
        let size = call.needed_count(0, ITEMS_MAX)?;
        if size == 0 {
            return Err(call.says("takes a `size` of 1 or more"));
        }
        let items = call.items()?;
        call.done(&items.chunks(size).map(|chunk| Json::Array(chunk.to_vec())).collect())
    }),
    filter("flatten", &["depth"], |call| {
        let depth = call.argument_count(0, 100)?.unwrap_or(1);
        let items = call.items()?;
        let mut flat = Vec::with_capacity(items.len());
        flatten(items, depth, &mut flat);
        call.done(&Json::Array(flat))
    }),
    Filter { name: "append", parameters: &[], takes_more: Extra::Any, run: append },
    filter("index_of", &["value"], |call| {
        let wanted = call.needed_json(0)?;
        let place = call.items()?.iter().position(|item| is_equal(item, &wanted));
        Ok(place.map_or(Value::from(-1), Value::from))
    }),
    filter("union", &["other"], |call| together(call, |items, other| items.into_iter().chain(other).collect())),
    filter("intersect", &["other"], |call| together(call, |items, other| with_or_without(items, &other, true))),
    filter("difference", &["other"], |call| together(call, |items, other| with_or_without(items, &other, false))),
    filter("sum", &["attribute", "start"], |call| {
        let (sum, _) = added(call)?;
        let start = call.argument_decimal(1)?.unwrap_or_default();
        let sum = sum.checked_add(start).ok_or_else(|| call.says("makes too large a number"))?;
        number::done(call, sum)
    }),
    filter("avg", &["attribute"], |call| {
        let (sum, count) = added(call)?;
        match sum.checked_div(Decimal::from(count)) {
            Some(average) => number::done(call, average),
            None => Ok(Value::UNDEFINED),
        }
    }),
];

const OPERATORS: [&str; 11] =
    ["==", "!=", ">", ">=", "<", "<=", "in", "not in", "contains", "starts_with", "ends_with"];

/// What is asked of each item.
enum Question {
    IsTrue,
    Compared { operator: &'static str, value: Json },
}

/// The items that fit, with their places.
fn chosen(call: &mut Call<'_, '_, '_>) -> Result<Vec<(usize, Json)>, Refusal> {
    let attribute = call.needed_text(0)?;
    let json = |index| call.given(index).map(|value| call.json(value)).transpose();
    let question = match (json(1)?, json(2)?) {
        (None, None) => Question::IsTrue,
        (Some(value), None) | (None, Some(value)) => Question::Compared { operator: "==", value },
        (Some(_), Some(value)) => {
            let given = call.needed_text(1)?;
            let given = if &*given == "=" { "==" } else { &given };
            let Some(operator) = OPERATORS.iter().find(|operator| **operator == given) else {
                return Err(call.says(&format!("takes one of {} as `operator`", OPERATORS.join(", "))));
            };
            Question::Compared { operator, value }
        }
    };
    let items = call.items()?;
    if let Question::Compared { value: Json::Array(values), .. } = &question {
        call.pay(items.len().saturating_mul(values.len()) / 4)?;
    }
    let fits = |item: &Json| {
        let found = at(item, &attribute);
        match &question {
            Question::IsTrue => found.is_some_and(crate::expression::value::is_true),
            Question::Compared { operator, value } => holds(found, operator, value),
        }
    };
    Ok(items.into_iter().enumerate().filter(|(_, item)| fits(item)).collect())
}

/// What is not there equals null and nothing else.
fn holds(found: Option<&Json>, operator: &str, value: &Json) -> bool {
    let found = found.unwrap_or(&Json::Null);
    let ordered = |fits: fn(Ordering) -> bool| order(found, value).is_some_and(fits);
    let texts = |holds: fn(&str, &str) -> bool| {
        found.as_str().zip(value.as_str()).is_some_and(|(found, value)| holds(found, value))
    };
    let among =
        |item: &Json, items: &Json| items.as_array().is_some_and(|items| items.iter().any(|i| is_equal(i, item)));
    match operator {
        "==" => is_equal(found, value),
        "!=" => !is_equal(found, value),
        ">" => ordered(Ordering::is_gt),
        ">=" => ordered(Ordering::is_ge),
        "<" => ordered(Ordering::is_lt),
        "<=" => ordered(Ordering::is_le),
        "in" => among(found, value),
        "not in" => !among(found, value),
        "contains" => among(value, found) || texts(|found, value| found.contains(value)),
        "starts_with" => texts(|found, value| found.starts_with(value)),
        "ends_with" => texts(|found, value| found.ends_with(value)),
        _ => false,
    }
}

/// `1` and `1.0` are the same number.
fn is_equal(one: &Json, other: &Json) -> bool {
    one == other || (one.is_number() && other.is_number() && order(one, other) == Some(Ordering::Equal))
}

/// Numbers by size, texts by their characters; anything else has no order.
fn order(one: &Json, other: &Json) -> Option<Ordering> {
    match (one, other) {
        (Json::Number(_), Json::Number(_)) => match decimal_of_json(one).zip(decimal_of_json(other)) {
            Some((one, other)) => Some(one.cmp(&other)),
            None => one.as_f64()?.partial_cmp(&other.as_f64()?),
        },
        (Json::String(one), Json::String(other)) => Some(one.cmp(other)),
        (Json::Bool(one), Json::Bool(other)) => Some(one.cmp(other)),
        _ => None,
    }
}

fn pluck(call: &mut Call<'_, '_, '_>) -> Outcome {
    let attribute = call.needed_text(0)?;
    let default = call.given(1).map(|value| call.json(value)).transpose()?;
    let mut plucked = Vec::new();
    for (index, item) in call.items()?.into_iter().enumerate() {
        match at(&item, &attribute).or(default.as_ref()) {
            Some(value) => plucked.push(value.clone()),
            None => {
                return Err(call.says(&format!(
                    "found no such attribute in item {index}; give a default, as in `pluck('name', '')`"
                )));
            }
        }
    }
    call.done(&Json::Array(plucked))
}

/// Numbers before texts before true and false; what is not there comes last. Equal items keep their order.
fn sort_by(call: &mut Call<'_, '_, '_>) -> Outcome {
    let attribute = call.needed_text(0)?;
    let is_descending = call.choice(1, &["asc", "desc"])? == "desc";
    let mut items = call.items()?;
    // A sort compares each item some twenty times.
    call.pay(items.len().saturating_mul(5))?;
    let rank = |value: &Json| match value {
        Json::Number(_) => 0,
        Json::String(_) => 1,
        Json::Bool(_) => 2,
        Json::Array(_) | Json::Object(_) => 3,
        Json::Null => 4,
    };
    items.sort_by(|one, other| {
        let (one, other) = (at(one, &attribute).unwrap_or(&Json::Null), at(other, &attribute).unwrap_or(&Json::Null));
        let ranked = rank(one).cmp(&rank(other));
        let ordered = order(one, other).unwrap_or(Ordering::Equal);
        ranked.then(if is_descending { ordered.reverse() } else { ordered })
    });
    call.done(&Json::Array(items))
}

/// Each item with the text of its attribute; what is not there is the empty text.
fn keyed(call: &mut Call<'_, '_, '_>) -> Result<Vec<(String, Json)>, Refusal> {
    let attribute = call.needed_text(0)?;
    let items = call.items()?.into_iter().map(|item| {
        let key = match at(&item, &attribute) {
            None | Some(Json::Null) => String::new(),
            Some(Json::String(text)) => text.clone(),
            Some(other) => other.to_string(),
        };
        (key, item)
    });
    Ok(items.collect())
}

/// Items such as `{name, value}` or `[name, value]` as the fields of an object.
fn to_object(call: &mut Call<'_, '_, '_>) -> Outcome {
    let (key, value) = (call.argument_text(0)?, call.argument_text(1)?);
    let (key, value) = (key.as_deref().unwrap_or("0"), value.as_deref().unwrap_or("1"));
    let mut fields = Map::new();
    for (index, item) in call.items()?.into_iter().enumerate() {
        let name = match at(&item, key) {
            Some(Json::String(name)) => name.clone(),
            Some(name @ (Json::Number(_) | Json::Bool(_))) => name.to_string(),
            _ => {
                return Err(call.says(&format!(
                    "found no name in item {index}; name the attributes, as in `to_object('name', 'value')`"
                )));
            }
        };
        fields.insert(name, at(&item, value).cloned().unwrap_or_default());
    }
    call.done(&Json::Object(fields))
}

fn flatten(items: Vec<Json>, depth: usize, flat: &mut Vec<Json>) {
    for item in items {
        match item {
            Json::Array(inner) if depth > 0 => flatten(inner, depth - 1, flat),
            item => flat.push(item),
        }
    }
}

fn append(call: &mut Call<'_, '_, '_>) -> Outcome {
    let added = call.rest()?;
    let mut items = call.items()?;
    items.extend(added);
    call.done(&Json::Array(items))
}

/// Two arrays as sets; items come once, in their first order.
fn together(call: &mut Call<'_, '_, '_>, combine: impl Fn(Vec<Json>, Vec<Json>) -> Vec<Json>) -> Outcome {
    let Json::Array(other) = call.needed_json(0)? else { return Err(call.wrong_argument(0, "an array")) };
    let items = call.items()?;
    // Each item is written out once to be compared.
    call.pay((items.len() + other.len()).saturating_mul(4))?;
    let mut seen = BTreeSet::new();
    let combined = combine(items, other).into_iter().filter(|item| seen.insert(identity(item)));
    call.done(&combined.collect())
}

fn with_or_without(items: Vec<Json>, other: &[Json], wanted: bool) -> Vec<Json> {
    let other: BTreeSet<String> = other.iter().map(identity).collect();
    items.into_iter().filter(|item| other.contains(&identity(item)) == wanted).collect()
}

/// The value as a text that equal values share.
fn identity(value: &Json) -> String {
    decimal_of_json(value).map_or_else(|| value.to_string(), |number| number.normalize().to_string())
}

/// The sum of the items, and how many have a number; null and what is not there are passed over.
fn added(call: &mut Call<'_, '_, '_>) -> Result<(Decimal, usize), Refusal> {
    let attribute = call.argument_text(0)?;
    let attribute = attribute.as_deref().unwrap_or_default();
    let mut sum = Decimal::ZERO;
    let mut count = 0;
    for (index, item) in call.items()?.iter().enumerate() {
        let value = match at(item, attribute) {
            None | Some(Json::Null) => continue,
            Some(value) => value,
        };
        let number = decimal_of_json(value).ok_or_else(|| match value {
            Json::Number(_) => call.says("takes numbers of up to 28 digits"),
            _ => call.says(&format!("takes numbers, and item {index} is none; make it one with `| map('number')`")),
        })?;
        sum = sum.checked_add(number).ok_or_else(|| call.says("makes too large a number"))?;
        count += 1;
    }
    Ok((sum, count))
}
