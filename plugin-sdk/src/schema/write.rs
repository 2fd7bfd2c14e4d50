//! Schemas as JSON text, written by constant functions: the compiler runs them, the plugin never does.
//!
//! Everything is written twice: once into no bytes to learn the length, once into as many as that takes.

use super::{Default, Field, Node};

/// Counts what is written and keeps the first `N` bytes.
#[derive(Debug)]
pub(super) struct Writer<const N: usize> {
    bytes: [u8; N],
    length: usize,
}

impl<const N: usize> Writer<N> {
    pub(super) const fn new() -> Self {
        Self { bytes: [0; N], length: 0 }
    }

    /// How many bytes were written, kept or not.
    pub(super) const fn length(&self) -> usize {
        self.length
    }

    /// What was written, if it is exactly `N` bytes; else the build ends here.
    pub(super) const fn finish(self) -> [u8; N] {
        assert!(self.length == N, "the length was counted before");
        self.bytes
    }

    #[expect(clippy::indexing_slicing, reason = "the line above checks it, and `get_mut` is not constant")]
    const fn byte(&mut self, byte: u8) {
        if self.length < N {
            self.bytes[self.length] = byte;
        }
        self.length += 1;
    }

    /// JSON as it is.
    pub(super) const fn raw(&mut self, text: &str) {
        let mut rest = text.as_bytes();
        while let [first, others @ ..] = rest {
            self.byte(*first);
            rest = others;
        }
    }

    /// Text as a JSON string.
    pub(super) const fn string(&mut self, text: &str) {
        self.byte(b'"');
        let mut rest = text.as_bytes();
        while let [first, others @ ..] = rest {
            match *first {
                b'"' | b'\\' => {
                    self.byte(b'\\');
                    self.byte(*first);
                }
                b'\n' => self.raw("\\n"),
                control if control < b' ' => {
                    self.raw("\\u00");
                    self.hex(control >> 4);
                    self.hex(control & 15);
                }
                other => self.byte(other),
            }
            rest = others;
        }
        self.byte(b'"');
    }

    const fn hex(&mut self, digit: u8) {
        self.byte(if digit < 10 { b'0' + digit } else { b'a' + digit - 10 });
    }

    /// `,"keyword":` before its value; the comma only if an object's member stands there already.
    const fn keyword(&mut self, is_first: &mut bool, keyword: &str) {
        if !*is_first {
            self.byte(b',');
        }
        *is_first = false;
        self.string(keyword);
        self.byte(b':');
    }

    /// A whole schema.
    pub(super) const fn schema(&mut self, node: &Node) {
        self.byte(b'{');
        let mut is_first = true;
        self.members(node, &mut is_first, None, false);
        self.byte(b'}');
    }

    /// A field's schema: what the node says, with the field's own notes above it.
    const fn field(&mut self, field: &Field) {
        self.byte(b'{');
        let mut is_first = true;
        if !field.title.is_empty() {
            self.keyword(&mut is_first, "title");
            self.string(field.title);
        }
        if !field.description.is_empty() {
            self.keyword(&mut is_first, "description");
            self.string(field.description);
        }
        self.members(field.node, &mut is_first, Some(field), false);
        let mut keywords = field.keywords;
        while let [(keyword, json), others @ ..] = keywords {
            self.keyword(&mut is_first, keyword);
            self.raw(json);
            keywords = others;
        }
        let default = match field.default {
            Default::None => None,
            Default::Json(json) => Some(json),
            Default::OfType => default_of(field.node),
        };
        if let Some(json) = default {
            self.keyword(&mut is_first, "default");
            self.raw(json);
        } else if let (Default::OfType, Node::Choice { default: Some(value), .. }) = (field.default, field.node) {
            self.keyword(&mut is_first, "default");
            self.string(value);
        }
        self.byte(b'}');
    }

    /// A node's keywords, without the braces, so that a field's can stand beside them. What the field says itself is left out.
    const fn members(&mut self, node: &Node, is_first: &mut bool, field: Option<&Field>, nullable: bool) {
        match node {
            Node::Any => {}
            Node::Boolean => self.of_type(is_first, "boolean", nullable),
            Node::Number => self.of_type(is_first, "number", nullable),
            Node::Text => self.of_type(is_first, "string", nullable),
            Node::Integer { minimum, maximum } => {
                self.of_type(is_first, "integer", nullable);
                self.limit(is_first, "minimum", *minimum, field);
                self.limit(is_first, "maximum", *maximum, field);
            }
            Node::Choice { description, values, .. } => {
                self.describe(is_first, description, field);
                self.of_type(is_first, "string", nullable);
                self.keyword(is_first, "enum");
                self.byte(b'[');
                let mut rest = *values;
                while let [value, others @ ..] = rest {
                    self.string(value);
                    if !others.is_empty() || nullable {
                        self.byte(b',');
                    }
                    rest = others;
                }
                if nullable {
                    self.raw("null");
                }
                self.byte(b']');
            }
            Node::List(items) => {
                self.of_type(is_first, "array", nullable);
                self.keyword(is_first, "items");
                self.schema(items);
            }
            Node::Map(values) => {
                self.of_type(is_first, "object", nullable);
                if !matches!(values, Node::Any) {
                    self.keyword(is_first, "additionalProperties");
                    self.schema(values);
                }
            }
            Node::Nullable(inner) => self.members(inner, is_first, field, true),
            Node::Object { description, fields, closed } => {
                self.describe(is_first, description, field);
                self.of_type(is_first, "object", nullable);
                self.properties(is_first, fields, *closed);
            }
        }
    }

    const fn of_type(&mut self, is_first: &mut bool, name: &str, nullable: bool) {
        self.keyword(is_first, "type");
        if nullable {
            self.byte(b'[');
            self.string(name);
            self.raw(",\"null\"]");
        } else {
            self.string(name);
        }
    }

    const fn describe(&mut self, is_first: &mut bool, description: &str, field: Option<&Field>) {
        let said = matches!(field, Some(field) if !field.description.is_empty());
        if !description.is_empty() && !said {
            self.keyword(is_first, "description");
            self.string(description);
        }
    }

    const fn limit(&mut self, is_first: &mut bool, keyword: &str, json: Option<&str>, field: Option<&Field>) {
        let said = matches!(field, Some(field) if has_keyword(field, keyword));
        if let Some(json) = json
            && !said
        {
            self.keyword(is_first, keyword);
            self.raw(json);
        }
    }

    const fn properties(&mut self, is_first: &mut bool, fields: &[Field], closed: bool) {
        self.keyword(is_first, "properties");
        self.byte(b'{');
        let (mut rest, mut required, mut first_field) = (fields, 0, true);
        while let [field, others @ ..] = rest {
            self.keyword(&mut first_field, field.name);
            self.field(field);
            required += is_required(field, closed) as usize;
            rest = others;
        }
        self.byte(b'}');
        if required > 0 {
            self.keyword(is_first, "required");
            self.names(fields, true, closed);
        }
        // Members of a JSON object have no order; a form needs one.
        if fields.len() > 1 {
            self.keyword(is_first, "x-order");
            self.names(fields, false, closed);
        }
        if closed {
            self.keyword(is_first, "additionalProperties");
            self.raw("false");
        }
    }

    /// The fields' names as an array.
    const fn names(&mut self, fields: &[Field], only_required: bool, closed: bool) {
        self.byte(b'[');
        let (mut rest, mut is_first) = (fields, true);
        while let [field, others @ ..] = rest {
            if !only_required || is_required(field, closed) {
                if !is_first {
                    self.byte(b',');
                }
                is_first = false;
                self.string(field.name);
            }
            rest = others;
        }
        self.byte(b']');
    }
}

/// A decoder takes an absent `Option` for `None`; an encoder writes it as `null`.
const fn is_required(field: &Field, is_input: bool) -> bool {
    field.required && !(is_input && matches!(field.node, Node::Nullable(_)))
}

/// What `Default::default()` gives, where a form gains by showing it: an empty text or list is what an untouched field holds anyway.
const fn default_of(node: &Node) -> Option<&'static str> {
    match node {
        Node::Boolean => Some("false"),
        Node::Integer { .. } | Node::Number => Some("0"),
        _ => None,
    }
}

const fn has_keyword(field: &Field, keyword: &str) -> bool {
    let mut keywords = field.keywords;
    while let [(other, _), others @ ..] = keywords {
        if equal(other.as_bytes(), keyword.as_bytes()) {
            return true;
        }
        keywords = others;
    }
    false
}

/// `==`, which is not constant yet.
pub(crate) const fn equal(mut one: &[u8], mut other: &[u8]) -> bool {
    while let ([a, rest_a @ ..], [b, rest_b @ ..]) = (one, other) {
        if *a != *b {
            return false;
        }
        (one, other) = (rest_a, rest_b);
    }
    one.is_empty() && other.is_empty()
}
