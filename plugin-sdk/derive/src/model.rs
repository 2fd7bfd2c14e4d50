//! What a type says about itself, read from its source: the shape of the JSON and the notes for people.

use syn::ext::IdentExt as _;
use syn::{Data, DeriveInput, Error, Fields, Result};

use crate::attributes::{Container, FieldAttributes, doc, variant_name};
use crate::case;

/// Which of the two derives is at work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    /// Decoded: unknown fields are refused.
    Input,
    /// Encoded: may gain fields later.
    Output,
}

impl Side {
    /// The derive's attribute: `#[input(…)]` or `#[output(…)]`.
    pub(crate) fn attribute(self) -> &'static str {
        match self {
            Self::Input => "input",
            Self::Output => "output",
        }
    }
}

pub(crate) struct Model {
    pub(crate) side: Side,
    pub(crate) container: Container,
    pub(crate) description: String,
    pub(crate) shape: Shape,
}

pub(crate) enum Shape {
    /// A struct with named fields: a JSON object.
    Object(Vec<Field>),
    /// A struct around one value: that value.
    Transparent(Box<syn::Type>),
    /// An enum of unit variants: one of these strings, and which of them is the default.
    Choice { values: Vec<String>, default: Option<String> },
}

pub(crate) struct Field {
    pub(crate) ident: syn::Ident,
    pub(crate) name: String,
    pub(crate) title: String,
    pub(crate) description: String,
    pub(crate) ty: syn::Type,
    pub(crate) attributes: FieldAttributes,
}

impl Model {
    pub(crate) fn parse(item: &DeriveInput, side: Side) -> Result<Self> {
        if !item.generics.params.is_empty() {
            return Err(Error::new_spanned(
                &item.generics,
                "a type with parameters has no schema of its own: write the types out",
            ));
        }
        let container = Container::parse(&item.attrs)?;
        let shape = match &item.data {
            Data::Struct(data) => match &data.fields {
                Fields::Named(fields) => Shape::Object(fields_of(fields, side, &container)?),
                Fields::Unnamed(fields) if fields.unnamed.len() == 1 => {
                    Shape::Transparent(Box::new(fields.unnamed.first().expect("its length was checked").ty.clone()))
                }
                Fields::Unnamed(_) | Fields::Unit => {
                    return Err(Error::new_spanned(
                        &item.ident,
                        "a struct needs named fields (a JSON object), or exactly one value in parentheses",
                    ));
                }
            },
            Data::Enum(data) => choice(data, &container)?,
            Data::Union(_) => {
                return Err(Error::new_spanned(&item.ident, "a union has no JSON form: use a struct or an enum"));
            }
        };
        Ok(Self { side, container, description: doc(&item.attrs), shape })
    }
}

fn fields_of(fields: &syn::FieldsNamed, side: Side, container: &Container) -> Result<Vec<Field>> {
    let mut known = Vec::new();
    for field in &fields.named {
        let attributes = FieldAttributes::parse(&field.attrs, side)?;
        if attributes.skipped {
            continue;
        }
        let ident = field.ident.clone().expect("a named field has a name");
        let plain = ident.unraw().to_string();
        let name = attributes
            .rename
            .clone()
            .unwrap_or_else(|| container.rename_all.map_or_else(|| plain.clone(), |rule| rule.field(&plain)));
        if known.iter().any(|other: &Field| other.name == name) {
            return Err(Error::new_spanned(field, format!("two fields are called `{name}` in JSON")));
        }
        let title = attributes.title.clone().unwrap_or_else(|| case::title(&plain));
        known.push(Field { ident, name, title, description: doc(&field.attrs), ty: field.ty.clone(), attributes });
    }
    Ok(known)
}

fn choice(data: &syn::DataEnum, container: &Container) -> Result<Shape> {
    let (mut values, mut default) = (Vec::new(), None);
    for variant in &data.variants {
        if !matches!(variant.fields, Fields::Unit) {
            return Err(Error::new_spanned(
                variant,
                "an enum must be a choice between names: variants with data have no form a person can fill in; use a struct with optional fields",
            ));
        }
        let Some(value) = variant_name(variant, container)? else { continue };
        if variant.attrs.iter().any(|attribute| attribute.path().is_ident("default")) {
            default = Some(value.clone());
        }
        values.push(value);
    }
    if values.is_empty() {
        return Err(Error::new_spanned(&data.variants, "an enum needs a variant to choose"));
    }
    Ok(Shape::Choice { values, default })
}

#[cfg(test)]
mod tests;
