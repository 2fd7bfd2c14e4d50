//! The schemas of the standard library's and serde_json's types.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::hash::BuildHasher;

use serde_json::{Map, Number, Value};

use super::{Input, Node, Output};

/// The same schema in both directions.
macro_rules! plain {
    ($($type:ty => $node:expr;)*) => {$(
        impl Input for $type {
            const SCHEMA: &'static Node = &$node;
        }
        impl Output for $type {
            const SCHEMA: &'static Node = &$node;
        }
    )*};
}

plain! {
    Value => Node::Any;
    Map<String, Value> => Node::Map(&Node::Any);
    bool => Node::Boolean;
    String => Node::Text;
    Number => Node::Number;
    f32 => Node::Number;
    f64 => Node::Number;
    u8 => Node::Integer { minimum: Some("0"), maximum: Some("255") };
    u16 => Node::Integer { minimum: Some("0"), maximum: Some("65535") };
    u32 => Node::Integer { minimum: Some("0"), maximum: Some("4294967295") };
    u64 => Node::Integer { minimum: Some("0"), maximum: None };
    usize => Node::Integer { minimum: Some("0"), maximum: None };
    i8 => Node::Integer { minimum: Some("-128"), maximum: Some("127") };
    i16 => Node::Integer { minimum: Some("-32768"), maximum: Some("32767") };
    i32 => Node::Integer { minimum: Some("-2147483648"), maximum: Some("2147483647") };
    i64 => Node::Integer { minimum: None, maximum: None };
    isize => Node::Integer { minimum: None, maximum: None };
}

impl Output for &'static str {
    const SCHEMA: &'static Node = &Node::Text;
}
impl Output for Cow<'static, str> {
    const SCHEMA: &'static Node = &Node::Text;
}

/// Around another type, the same in both directions.
macro_rules! around {
    ($([$($parameters:tt)*] $type:ty => $node:ident;)*) => {$(
        impl<T: Input, $($parameters)*> Input for $type {
            const SCHEMA: &'static Node = &Node::$node(T::SCHEMA);
        }
        impl<T: Output, $($parameters)*> Output for $type {
            const SCHEMA: &'static Node = &Node::$node(T::SCHEMA);
        }
    )*};
}

around! {
    [] Option<T> => Nullable;
    [] Vec<T> => List;
    [] BTreeMap<String, T> => Map;
}

impl<T: Input, S: BuildHasher + Default> Input for HashMap<String, T, S> {
    const SCHEMA: &'static Node = &Node::Map(T::SCHEMA);
}
impl<T: Output, S: BuildHasher> Output for HashMap<String, T, S> {
    const SCHEMA: &'static Node = &Node::Map(T::SCHEMA);
}
impl<T: Input> Input for Box<T> {
    const SCHEMA: &'static Node = T::SCHEMA;
}
impl<T: Output> Output for Box<T> {
    const SCHEMA: &'static Node = T::SCHEMA;
}
