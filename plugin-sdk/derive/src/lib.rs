//! `#[derive(Input)]` and `#[derive(Output)]` of `flowcell-sdk`: one type gives the decoder or encoder and its JSON Schema.
//!
//! The derive writes a constant tree (`flowcell_sdk::schema::Node`); turning it into JSON is the compiler's work, in the SDK.
//! What the schema could not say truthfully (flattened fields, untagged enums, custom decoders …) does not compile.
//!
//! Reading order: [`model`] (what a type says), [`attributes`] (what stands in `#[…]`), [`expand`] (what is written).

mod attributes;
mod case;
mod expand;
mod model;

use proc_macro::TokenStream;
use syn::{DeriveInput, parse_macro_input};

/// Makes a type usable as an action's input or a trigger's config: implements `Deserialize` and its JSON Schema.
///
/// Unknown fields are refused. Doc comments become descriptions. Field attributes: `#[input(title = "…", example = …, default = …,
/// format = "…", pattern = "…", minimum = …, maximum = …, min_length = …, max_length = …, min_items = …, max_items = …, multiline, secret)]`,
/// and serde's `rename`, `rename_all`, `default` and `skip`.
#[proc_macro_derive(Input, attributes(input, serde))]
pub fn derive_input(item: TokenStream) -> TokenStream {
    derive(&parse_macro_input!(item as DeriveInput), model::Side::Input)
}

/// Makes a type usable as an action's output or a trigger's payload: implements `Serialize` and its JSON Schema.
///
/// Takes the attributes of [`macro@Input`], spelled `#[output(…)]`, and serde's `skip_serializing_if`.
#[proc_macro_derive(Output, attributes(output, serde))]
pub fn derive_output(item: TokenStream) -> TokenStream {
    derive(&parse_macro_input!(item as DeriveInput), model::Side::Output)
}

fn derive(item: &DeriveInput, side: model::Side) -> TokenStream {
    model::Model::parse(item, side)
        .map_or_else(syn::Error::into_compile_error, |model| expand::expand(item, &model))
        .into()
}
