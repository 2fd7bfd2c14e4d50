//! What stands in `#[serde(…)]`, `#[input(…)]`, `#[output(…)]` and doc comments. Whatever the schema cannot follow is an error here.

use syn::meta::ParseNestedMeta;
use syn::{Attribute, Error, Expr, ExprLit, Lit, LitStr, Meta, Result, UnOp};

use crate::case::Case;
use crate::model::Side;

/// The attributes of a struct or enum.
#[derive(Default)]
pub(crate) struct Container {
    pub(crate) rename_all: Option<Case>,
    /// As it was written, to hand it on to serde.
    pub(crate) rename_all_text: Option<String>,
}

impl Container {
    pub(crate) fn parse(attributes: &[Attribute]) -> Result<Self> {
        let mut known = Self::default();
        each(attributes, "serde", |meta| {
            if meta.path.is_ident("rename_all") {
                let text: LitStr = meta.value()?.parse()?;
                known.rename_all = Some(
                    Case::parse(&text.value())
                        .ok_or_else(|| Error::new_spanned(&text, format!("not one of {}", Case::NAMES)))?,
                );
                known.rename_all_text = Some(text.value());
                return Ok(());
            }
            if meta.path.is_ident("deny_unknown_fields") || meta.path.is_ident("transparent") {
                return Ok(());
            }
            Err(meta.error("the schema cannot follow this: a struct or enum takes only `rename_all`"))
        })?;
        Ok(known)
    }
}

/// The attributes of a struct's field.
#[derive(Default)]
pub(crate) struct FieldAttributes {
    pub(crate) rename: Option<String>,
    pub(crate) skipped: bool,
    pub(crate) serde_default: SerdeDefault,
    /// `#[input(default = …)]`: the expression, and the same as JSON.
    pub(crate) default: Option<(Expr, String)>,
    /// `#[serde(skip_serializing_if = …)]`.
    pub(crate) may_be_absent: bool,
    pub(crate) title: Option<String>,
    /// Further schema keywords with their values as JSON.
    pub(crate) keywords: Vec<(&'static str, String)>,
}

/// What serde was told to put in the place of an absent field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum SerdeDefault {
    #[default]
    None,
    /// `#[serde(default)]`.
    OfType,
    /// `#[serde(default = "path")]`: a function's result, which the schema cannot know.
    ByFunction,
}

impl FieldAttributes {
    pub(crate) fn parse(attributes: &[Attribute], side: Side) -> Result<Self> {
        let mut known = Self::default();
        each(attributes, "serde", |meta| known.serde_key(meta, side))?;
        each(attributes, side.attribute(), |meta| {
            known.own_key(meta)?;
            if known.serde_default == SerdeDefault::OfType && known.default.is_some() {
                return Err(meta.error("`#[serde(default)]` gives this field a default already"));
            }
            Ok(())
        })?;
        Ok(known)
    }

    fn serde_key(&mut self, meta: &ParseNestedMeta, side: Side) -> Result<()> {
        let key = meta.path.get_ident().map(ToString::to_string).unwrap_or_default();
        match key.as_str() {
            "rename" => self.rename = Some(string(meta)?),
            "skip" => self.skipped = true,
            "skip_deserializing" => self.skipped |= side == Side::Input,
            "skip_serializing" => self.skipped |= side == Side::Output,
            "skip_serializing_if" => {
                string(meta)?;
                self.may_be_absent = true;
            }
            "default" if meta.input.peek(syn::Token![=]) => {
                string(meta)?;
                self.serde_default = SerdeDefault::ByFunction;
            }
            "default" => self.serde_default = SerdeDefault::OfType,
            _ => {
                return Err(meta.error(
                    "the schema cannot follow this: a field takes `rename`, `default`, `skip`, `skip_deserializing`, `skip_serializing` and `skip_serializing_if`",
                ));
            }
        }
        Ok(())
    }

    fn own_key(&mut self, meta: &ParseNestedMeta) -> Result<()> {
        let key = meta.path.get_ident().map(ToString::to_string).unwrap_or_default();
        let keyword = match key.as_str() {
            "title" => {
                self.title = Some(string(meta)?);
                return Ok(());
            }
            "default" => {
                let value: Expr = meta.value()?.parse()?;
                self.default = Some((value.clone(), json(&value)?));
                return Ok(());
            }
            "options" => ("x-options", "{}".to_owned()),
            "depends_on" => {
                let Some((_, options)) = self.keywords.iter_mut().find(|(keyword, _)| *keyword == "x-options") else {
                    return Err(meta.error("`depends_on` belongs after `options`"));
                };
                *options = format!("{{\"depends_on\":[{}]}}", pointers(&meta.value()?.parse()?)?);
                return Ok(());
            }
            "multiline" => ("x-flowcell", "{\"multiline\":true}".to_owned()),
            "secret" => ("writeOnly", "true".to_owned()),
            "example" => ("examples", format!("[{}]", json(&meta.value()?.parse()?)?)),
            "format" => ("format", quoted(&string(meta)?)),
            "pattern" => ("pattern", quoted(&string(meta)?)),
            "minimum" => ("minimum", number(meta)?),
            "maximum" => ("maximum", number(meta)?),
            "min_length" => ("minLength", number(meta)?),
            "max_length" => ("maxLength", number(meta)?),
            "min_items" => ("minItems", number(meta)?),
            "max_items" => ("maxItems", number(meta)?),
            _ => {
                return Err(meta.error(
                    "unknown key: there are `title`, `example`, `default`, `format`, `pattern`, `minimum`, `maximum`, `min_length`, \
                     `max_length`, `min_items`, `max_items`, `multiline`, `secret`, `options` and `depends_on`",
                ));
            }
        };
        if self.keywords.iter().any(|(other, _)| *other == keyword.0) {
            return Err(meta.error("given twice"));
        }
        self.keywords.push(keyword);
        Ok(())
    }
}

/// A variant's name in JSON; `None` if it is skipped.
pub(crate) fn variant_name(variant: &syn::Variant, container: &Container) -> Result<Option<String>> {
    let ident = variant.ident.to_string();
    let mut name = container.rename_all.map_or_else(|| ident.clone(), |rule| rule.variant(&ident));
    let mut skipped = false;
    each(&variant.attrs, "serde", |meta| {
        if meta.path.is_ident("rename") {
            name = string(meta)?;
        } else if meta.path.is_ident("skip") {
            skipped = true;
        } else {
            return Err(meta.error("the schema cannot follow this: a variant takes only `rename` and `skip`"));
        }
        Ok(())
    })?;
    Ok((!skipped).then_some(name))
}

/// The doc comment: lines joined, paragraphs kept apart.
pub(crate) fn doc(attributes: &[Attribute]) -> String {
    let lines =
        attributes.iter().filter(|attribute| attribute.path().is_ident("doc")).filter_map(|attribute| match &attribute
            .meta
        {
            Meta::NameValue(pair) => match &pair.value {
                Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) => Some(text.value()),
                _ => None,
            },
            _ => None,
        });
    let mut text = String::new();
    for line in lines {
        let line = line.trim();
        if line.is_empty() {
            text.push_str("\n\n");
        } else {
            if !text.is_empty() && !text.ends_with('\n') {
                text.push(' ');
            }
            text.push_str(line);
        }
    }
    text.trim().to_owned()
}

fn each(attributes: &[Attribute], name: &str, mut visit: impl FnMut(&ParseNestedMeta) -> Result<()>) -> Result<()> {
    attributes
        .iter()
        .filter(|attribute| attribute.path().is_ident(name))
        .try_for_each(|attribute| attribute.parse_nested_meta(|meta| visit(&meta)))
}

fn string(meta: &ParseNestedMeta) -> Result<String> {
    Ok(meta.value()?.parse::<LitStr>()?.value())
}

/// Names of fields, or JSON Pointers, as JSON: `"spreadsheet"`, `["drive", "/spreadsheet"]`.
fn pointers(value: &Expr) -> Result<String> {
    let pointer = |value: &Expr| match value {
        Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) => {
            let text = text.value();
            Ok(quoted(&if text.starts_with('/') { text } else { format!("/{text}") }))
        }
        _ => Err(Error::new_spanned(value, "the name of a field belongs here, or an array of such")),
    };
    match value {
        Expr::Array(array) => Ok(array.elems.iter().map(pointer).collect::<Result<Vec<_>>>()?.join(",")),
        one => pointer(one),
    }
}

fn number(meta: &ParseNestedMeta) -> Result<String> {
    let value: Expr = meta.value()?.parse()?;
    let text = json(&value)?;
    if text.parse::<f64>().is_err() {
        return Err(Error::new_spanned(value, "a number belongs here"));
    }
    Ok(text)
}

/// A literal, a negative number or an array of such, as JSON.
fn json(value: &Expr) -> Result<String> {
    match value {
        Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) => Ok(quoted(&text.value())),
        Expr::Lit(ExprLit { lit: Lit::Bool(truth), .. }) => Ok(truth.value.to_string()),
        Expr::Lit(ExprLit { lit: Lit::Int(number), .. }) => Ok(number.base10_digits().to_owned()),
        Expr::Lit(ExprLit { lit: Lit::Float(number), .. }) => Ok(number.base10_digits().to_owned()),
        Expr::Unary(negative) if matches!(negative.op, UnOp::Neg(_)) => Ok(format!("-{}", json(&negative.expr)?)),
        Expr::Array(array) => Ok(format!("[{}]", array.elems.iter().map(json).collect::<Result<Vec<_>>>()?.join(","))),
        _ => Err(Error::new_spanned(value, "a literal belongs here: text, a number, true, false, or an array of them")),
    }
}

/// Text as a JSON string.
pub(crate) fn quoted(text: &str) -> String {
    let mut json = String::from("\"");
    for letter in text.chars() {
        match letter {
            '"' => json.push_str("\\\""),
            '\\' => json.push_str("\\\\"),
            '\n' => json.push_str("\\n"),
            control if control < ' ' => json.extend(format!("\\u{:04x}", u32::from(control)).chars()),
            other => json.push(other),
        }
    }
    json.push('"');
    json
}
