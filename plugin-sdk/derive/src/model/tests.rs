//! What does not compile, and what it says.

use syn::parse_quote;

use super::{Model, Side};

/// Each of these items must not compile, and must say so with these words.
macro_rules! refused {
    ($({ $($item:tt)* } => $words:literal;)*) => {$(
        let item: syn::DeriveInput = parse_quote!($($item)*);
        let problem = Model::parse(&item, Side::Input).err().expect(stringify!($($item)*)).to_string();
        assert!(problem.contains($words), "{problem}");
    )*};
}

#[test]
fn shapes_without_a_schema_are_refused_in_words() {
    refused! {
        { struct A<T> { a: T } } => "write the types out";
        { struct A; } => "needs named fields";
        { struct A(u8, u8); } => "exactly one value";
        { union A { a: u8 } } => "no JSON form";
        { enum A {} } => "needs a variant";
        { enum A { B { c: u8 } } } => "variants with data have no form";
        { struct A { #[serde(rename = "b")] a: u8, b: u8 } } => "two fields are called `b`";
    }
}

#[test]
fn what_serde_can_do_and_a_schema_cannot_is_refused_in_words() {
    refused! {
        { #[serde(tag = "t")] enum A { B } } => "takes only `rename_all`";
        { #[serde(untagged)] enum A { B } } => "takes only `rename_all`";
        { #[serde(rename_all = "Train-Case")] struct A { a: u8 } } => "kebab-case";
        { struct A { #[serde(flatten)] a: B } } => "a field takes";
        { struct A { #[serde(with = "b")] a: u8 } } => "a field takes";
        { struct A { #[serde(alias = "b")] a: u8 } } => "a field takes";
        { enum A { #[serde(alias = "b")] B } } => "a variant takes only";
        { struct A { #[serde(default)] #[input(default = 1)] a: u8 } } => "a default already";
    }
}

#[test]
fn notes_that_mean_nothing_are_refused_in_words() {
    refused! {
        { struct A { #[input(titel = "A")] a: u8 } } => "there are `title`";
        { struct A { #[input(minimum = "one")] a: u8 } } => "a number belongs here";
        { struct A { #[input(example = now())] a: u8 } } => "a literal belongs here";
        { struct A { #[input(minimum = 1, minimum = 2)] a: u8 } } => "given twice";
    }
}

#[test]
fn skipping_depends_on_the_side() {
    let item: syn::DeriveInput = parse_quote! {
        struct A { #[serde(skip_serializing)] a: u8, #[serde(skip_deserializing)] b: u8 }
    };
    for (side, name) in [(Side::Input, "a"), (Side::Output, "b")] {
        let Ok(Model { shape: super::Shape::Object(fields), .. }) = Model::parse(&item, side) else {
            panic!("an object")
        };
        assert_eq!(fields.iter().map(|field| field.name.as_str()).collect::<Vec<_>>(), [name]);
    }
}
