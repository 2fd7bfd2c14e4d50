//! Filters for texts. Lengths and places count characters, not bytes.

use minijinja::Value;
use minijinja::value::ValueKind;
use serde_json::Value as Json;

use super::call::Call;
use super::{Filter, Outcome, filter};

/// The widest padding and the most repetitions: a screenful of text; longer texts are not made by padding.
const WIDTH_MAX: usize = 10_000;

pub(super) const FILTERS: &[Filter] = &[
    filter("contains", &["part"], contains),
    filter("starts_with", &["part"], |call| test(call, |text, part| text.starts_with(part))),
    filter("ends_with", &["part"], |call| test(call, |text, part| text.ends_with(part))),
    filter("truncate", &["length", "end"], truncate),
    filter("substring", &["start", "length"], substring),
    filter("text_before", &["separator"], |call| {
        around(call, |text, at| text.split_once(at).map(|(before, _)| before))
    }),
    filter("text_after", &["separator"], |call| around(call, |text, at| text.split_once(at).map(|(_, after)| after))),
    filter("pad_left", &["width", "with"], |call| pad(call, |text, padding| padding + text)),
    filter("pad_right", &["width", "with"], |call| pad(call, |text, padding| text.to_owned() + &padding)),
    filter("repeat", &["times"], repeat),
    filter("indent", &["width", "first", "blank"], indent),
    filter("squish", &[], |call| {
        let text = call.text()?;
        call.text_done(text.split_whitespace().collect::<Vec<_>>().join(" "))
    }),
    filter("words", &[], |call| {
        let text = call.text()?;
        call.done(&text.split_whitespace().map(Json::from).collect())
    }),
    filter("word_count", &[], |call| Ok(Value::from(call.text()?.split_whitespace().count()))),
    filter("slug", &["separator"], slug),
    filter("snake_case", &[], |call| join_words(call, "_")),
    filter("kebab_case", &[], |call| join_words(call, "-")),
    filter("camel_case", &[], camel_case),
    filter("initials", &[], |call| {
        let text = call.text()?;
        let initials = text.split_whitespace().filter_map(|word| word.chars().find(|c| c.is_alphanumeric()));
        call.text_done(initials.flat_map(char::to_uppercase).collect())
    }),
    filter("mask", &["keep", "with"], mask),
    filter("strip_html", &[], |call| {
        let text = call.text()?;
        // Entities are looked up one by one.
        call.pay(text.len() / 16)?;
        call.text_done(strip_html(&text))
    }),
];

/// Whether a text has a part, an array an item, or an object a key.
fn contains(call: &mut Call<'_, '_, '_>) -> Outcome {
    let found = match call.value().kind() {
        ValueKind::Seq | ValueKind::Iterable => {
            let wanted = call.needed_json(0)?;
            call.items()?.contains(&wanted)
        }
        ValueKind::Map => {
            let key = call.needed_text(0)?;
            call.fields()?.contains_key(&*key)
        }
        ValueKind::None | ValueKind::Undefined => return Err(call.wrong("a text, an array or an object")),
        _ => {
            let part = call.needed_text(0)?;
            call.text()?.contains(&*part)
        }
    };
    Ok(Value::from(found))
}

fn test(call: &mut Call<'_, '_, '_>, holds: impl Fn(&str, &str) -> bool) -> Outcome {
    let (text, part) = (call.text()?, call.needed_text(0)?);
    Ok(Value::from(holds(&text, &part)))
}

/// Cuts a text to `length` characters, `end` among them.
fn truncate(call: &mut Call<'_, '_, '_>) -> Outcome {
    let text = call.text()?;
    let length = call.needed_count(0, crate::expression::TEXT_BYTES_MAX)?;
    let end = call.argument_text(1)?;
    let end = end.as_deref().unwrap_or("…");
    if text.chars().nth(length).is_none() {
        return Ok(call.value().clone());
    }
    let kept = length.saturating_sub(end.chars().count());
    let mut cut: String = text.chars().take(kept).collect();
    cut.truncate(cut.trim_end().len());
    cut.extend(end.chars().take(length));
    call.text_done(cut)
}

fn substring(call: &mut Call<'_, '_, '_>) -> Outcome {
    let text = call.text()?;
    let most = crate::expression::TEXT_BYTES_MAX;
    let start = call.needed_count(0, most)?;
    let length = call.argument_count(1, most)?.unwrap_or(most);
    call.text_done(text.chars().skip(start).take(length).collect())
}

/// A part of the text beside a separator; the whole text if it has none.
fn around(call: &mut Call<'_, '_, '_>, part: impl for<'t> Fn(&'t str, &str) -> Option<&'t str>) -> Outcome {
    let (text, separator) = (call.text()?, call.needed_text(0)?);
    call.text_done(part(&text, &separator).unwrap_or(&text).to_owned())
}

fn pad(call: &mut Call<'_, '_, '_>, place: impl Fn(&str, String) -> String) -> Outcome {
    let text = call.text()?;
    let width = call.needed_count(0, WIDTH_MAX)?;
    let with = call.argument_text(1)?;
    let with = with.as_deref().unwrap_or(" ");
    if with.is_empty() {
        return Err(call.says("cannot pad with an empty text"));
    }
    let missing = width.saturating_sub(text.chars().count());
    call.text_done(place(&text, with.chars().cycle().take(missing).collect()))
}

fn repeat(call: &mut Call<'_, '_, '_>) -> Outcome {
    let text = call.text()?;
    let times = call.needed_count(0, WIDTH_MAX)?;
    if text.len().saturating_mul(times) > crate::expression::TEXT_BYTES_MAX {
        return Err(crate::expression::template::too_long().into());
    }
    call.text_done(text.repeat(times))
}

/// Moves lines to the right: all but the first one and blank ones, unless `first` and `blank` say so.
fn indent(call: &mut Call<'_, '_, '_>) -> Outcome {
    let text = call.text()?;
    let width = call.argument_count(0, 100)?.unwrap_or(4);
    let (first, blank) = (call.argument_bool(1)?.unwrap_or_default(), call.argument_bool(2)?.unwrap_or_default());
    if text.len().saturating_add(text.matches('\n').count().saturating_mul(width)) > crate::expression::TEXT_BYTES_MAX {
        return Err(crate::expression::template::too_long().into());
    }
    let margin = " ".repeat(width);
    let lines = text.split('\n').enumerate().map(|(index, line)| {
        let is_moved = (index > 0 || first) && (blank || !line.is_empty());
        if is_moved { format!("{margin}{line}") } else { line.to_owned() }
    });
    call.text_done(lines.collect::<Vec<_>>().join("\n"))
}

/// Lower case letters and digits of ASCII with one separator between words: `Grüße aus Köln!` → `grusse-aus-koln`.
fn slug(call: &mut Call<'_, '_, '_>) -> Outcome {
    let text = call.text()?;
    let separator = call.argument_text(0)?;
    // Every character is looked up in a table.
    call.pay(text.len() / 8)?;
    let slug = slug::slugify(&*text);
    call.text_done(match separator.as_deref() {
        None | Some("-") => slug,
        Some(separator) => {
            call.pay(slug.len() * separator.len().max(1) / 64)?;
            if slug.len().saturating_mul(separator.len().max(1)) > crate::expression::TEXT_BYTES_MAX {
                return Err(crate::expression::template::too_long().into());
            }
            slug.replace('-', separator)
        }
    })
}

/// The words of a text or a name: at white space and punctuation, and where small letters turn to capitals.
fn split_words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut before = ' ';
    for character in text.chars() {
        let starts = character.is_uppercase() && (before.is_lowercase() || before.is_numeric());
        if (starts || !character.is_alphanumeric()) && !word.is_empty() {
            words.push(std::mem::take(&mut word));
        }
        if character.is_alphanumeric() {
            word.extend(character.to_lowercase());
        }
        before = character;
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}

fn join_words(call: &mut Call<'_, '_, '_>, separator: &str) -> Outcome {
    let text = call.text()?;
    call.text_done(split_words(&text).join(separator))
}

fn camel_case(call: &mut Call<'_, '_, '_>) -> Outcome {
    let text = call.text()?;
    let words = split_words(&text).into_iter().enumerate().map(|(index, word)| {
        let mut characters = word.chars();
        match characters.next() {
            Some(first) if index > 0 => first.to_uppercase().chain(characters).collect(),
            _ => word,
        }
    });
    call.text_done(words.collect())
}

/// Covers all but the last `keep` characters.
fn mask(call: &mut Call<'_, '_, '_>) -> Outcome {
    let text = call.text()?;
    let keep = call.argument_count(0, WIDTH_MAX)?.unwrap_or(4);
    let with = call.argument_text(1)?;
    let with = with.as_deref().and_then(|with| with.chars().next()).unwrap_or('*');
    let covered = text.chars().count().saturating_sub(keep);
    call.text_done(text.chars().enumerate().map(|(index, c)| if index < covered { with } else { c }).collect())
}

/// The text of a piece of HTML: without tags, comments, scripts and styles, entities decoded, a line break for each block.
///
/// What comes out is a text, not safe HTML: a decoded `&lt;` is a `<` again.
fn strip_html(html: &str) -> String {
    const BLOCKS: [&str; 16] =
        ["p", "br", "div", "li", "tr", "h1", "h2", "h3", "h4", "h5", "h6", "ul", "ol", "table", "blockquote", "hr"];
    let mut text = String::with_capacity(html.len());
    let mut rest = html;
    while let Some((before, after)) = rest.split_once('<') {
        text.push_str(before);
        if let Some(comment) = after.strip_prefix("!--") {
            rest = comment.split_once("-->").map_or("", |(_, after)| after);
            continue;
        }
        // `a < b` is no tag.
        if !after.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/' || c == '!' || c == '?') {
            text.push('<');
            rest = after;
            continue;
        }
        let (tag, after) = after.split_once('>').unwrap_or((after, ""));
        let name: String = tag.trim_start_matches('/').chars().take_while(char::is_ascii_alphanumeric).collect();
        let name = name.to_ascii_lowercase();
        rest = match name.as_str() {
            "script" | "style" if !tag.starts_with('/') => after_closing(after, &name),
            _ => after,
        };
        if BLOCKS.contains(&name.as_str()) && !text.is_empty() && !text.ends_with('\n') {
            text.push('\n');
        }
    }
    text.push_str(rest);
    html_escape::decode_html_entities(text.trim()).into_owned()
}

/// What follows the closing tag of a script or a style.
fn after_closing<'h>(html: &'h str, name: &str) -> &'h str {
    let mut rest = html;
    while let Some((_, after)) = rest.split_once("</") {
        if after.get(..name.len()).is_some_and(|tag| tag.eq_ignore_ascii_case(name)) {
            return after.split_once('>').map_or("", |(_, after)| after);
        }
        rest = after;
    }
    ""
}
