//! What the derives write: the type's schema as a constant, and serde's implementation through a private copy of the type.
//!
//! The copy (`#[serde(remote = …)]`) lets one derive stand for two: authors write `#[derive(Input)]` alone, need no dependency on serde,
//! and cannot forget `deny_unknown_fields`.

use proc_macro2::TokenStream;
use quote::{format_ident, quote};
use syn::{Data, DeriveInput, Expr, ExprLit, Fields, Lit};

use crate::attributes::SerdeDefault;
use crate::model::{Field, Model, Shape, Side};

pub(crate) fn expand(item: &DeriveInput, model: &Model) -> TokenStream {
    let name = &item.ident;
    let node = node(model);
    let copy = copy(item, model);
    let (derive, implementation) = match model.side {
        Side::Input => (
            quote!(Deserialize),
            quote! {
                impl<'de> __sdk::serde::Deserialize<'de> for #name {
                    fn deserialize<D: __sdk::serde::Deserializer<'de>>(decoder: D) -> ::core::result::Result<Self, D::Error> {
                        __Copy::deserialize(decoder)
                    }
                }
                impl ::flowcell_sdk::Input for #name {
                    const SCHEMA: &'static __Node = #node;
                }
            },
        ),
        Side::Output => (
            quote!(Serialize),
            quote! {
                impl __sdk::serde::Serialize for #name {
                    fn serialize<S: __sdk::serde::Serializer>(&self, encoder: S) -> ::core::result::Result<S::Ok, S::Error> {
                        __Copy::serialize(self, encoder)
                    }
                }
                impl ::flowcell_sdk::Output for #name {
                    const SCHEMA: &'static __Node = #node;
                }
            },
        ),
    };
    let remote = name.to_string();
    let strict = (model.side == Side::Input && matches!(model.shape, Shape::Object(_)))
        .then(|| quote!(#[serde(deny_unknown_fields)]));
    let rename_all = model.container.rename_all_text.as_ref().map(|rule| quote!(#[serde(rename_all = #rule)]));
    quote! {
        #[doc(hidden)]
        #[allow(warnings, clippy::all, clippy::pedantic, clippy::restriction)]
        const _: () = {
            use ::flowcell_sdk::__private as __sdk;
            use ::flowcell_sdk::schema::{Default as __Default, Field as __Field, Node as __Node};

            #[derive(__sdk::serde::#derive)]
            #[serde(crate = "::flowcell_sdk::__private::serde", remote = #remote, rename = #remote)]
            #strict
            #rename_all
            #copy

            #implementation
        };
    }
}

/// The schema as an expression.
fn node(model: &Model) -> TokenStream {
    let description = &model.description;
    match &model.shape {
        Shape::Object(fields) => {
            let closed = model.side == Side::Input;
            let fields = fields.iter().map(|each| field(each, model.side));
            quote!(&__Node::Object { description: #description, fields: &[#(#fields),*], closed: #closed })
        }
        Shape::Transparent(inner) => {
            let side = side(model.side);
            quote!(<#inner as #side>::SCHEMA)
        }
        Shape::Choice { values, default } => {
            let default = default.as_ref().map_or_else(
                || quote!(::core::option::Option::None),
                |value| quote!(::core::option::Option::Some(#value)),
            );
            quote!(&__Node::Choice { description: #description, values: &[#(#values),*], default: #default })
        }
    }
}

fn field(field: &Field, side_of: Side) -> TokenStream {
    let Field { name, title, description, ty, attributes, .. } = field;
    let side = side(side_of);
    let default = match (&attributes.default, attributes.serde_default) {
        (Some((_, json)), _) => quote!(__Default::Json(#json)),
        (None, SerdeDefault::OfType) if side_of == Side::Input => quote!(__Default::OfType),
        _ => quote!(__Default::None),
    };
    // A decoder accepts the absence of what has a default; `Option` says the same by its node. An encoder always writes what it is not told to leave out.
    let required = match side_of {
        Side::Input => attributes.serde_default == SerdeDefault::None && attributes.default.is_none(),
        Side::Output => !attributes.may_be_absent,
    };
    let keywords = attributes.keywords.iter().map(|(keyword, value)| quote!((#keyword, #value)));
    quote! {
        __Field {
            name: #name,
            title: #title,
            description: #description,
            required: #required,
            default: #default,
            keywords: &[#(#keywords),*],
            node: <#ty as #side>::SCHEMA,
        }
    }
}

fn side(side: Side) -> TokenStream {
    match side {
        Side::Input => quote!(::flowcell_sdk::Input),
        Side::Output => quote!(::flowcell_sdk::Output),
    }
}

/// The type once more, for serde to derive on.
fn copy(item: &DeriveInput, model: &Model) -> TokenStream {
    match &item.data {
        Data::Struct(data) => match &data.fields {
            Fields::Named(fields) => {
                let (mut copies, mut functions) = (Vec::new(), Vec::new());
                for field in &fields.named {
                    let (ident, ty) = (&field.ident, &field.ty);
                    let serde = field.attrs.iter().filter(|attribute| attribute.path().is_ident("serde"));
                    let default = ident
                        .as_ref()
                        .and_then(|ident| own_default(ident, ty, model))
                        .filter(|_| model.side == Side::Input);
                    let attribute = default.map(|(path, function)| {
                        functions.push(function);
                        quote!(#[serde(default = #path)])
                    });
                    copies.push(quote!(#(#serde)* #attribute #ident: #ty));
                }
                quote!(struct __Copy { #(#copies),* } #(#functions)*)
            }
            fields => {
                let types = fields.iter().map(|field| &field.ty);
                quote!(struct __Copy(#(#types),*);)
            }
        },
        Data::Enum(data) => {
            let variants = data.variants.iter().map(|variant| {
                let (ident, serde) =
                    (&variant.ident, variant.attrs.iter().filter(|attribute| attribute.path().is_ident("serde")));
                quote!(#(#serde)* #ident)
            });
            quote!(enum __Copy { #(#variants),* })
        }
        Data::Union(_) => TokenStream::new(),
    }
}

/// The function that gives the value of `#[input(default = …)]`, unless serde has been told one already.
fn own_default(ident: &syn::Ident, ty: &syn::Type, model: &Model) -> Option<(String, TokenStream)> {
    let Shape::Object(fields) = &model.shape else { return None };
    let position = fields.iter().position(|field| field.ident == *ident)?;
    let attributes = &fields.get(position)?.attributes;
    if attributes.serde_default == SerdeDefault::ByFunction {
        return None;
    }
    let (value, _) = attributes.default.as_ref()?;
    let value = literal(value);
    let function = format_ident!("default_of_{}", ident);
    Some((function.to_string(), quote!(fn #function() -> #ty { #value })))
}

/// Text becomes a `String`, an array a `Vec`; a number or a truth value stands for itself.
fn literal(value: &Expr) -> TokenStream {
    match value {
        Expr::Lit(ExprLit { lit: Lit::Str(_), .. }) => quote!(::core::convert::Into::into(#value)),
        Expr::Array(array) => {
            let elements = array.elems.iter().map(literal);
            quote!(::std::vec![#(#elements),*])
        }
        other => quote!(#other),
    }
}
