//! JSON that passes through a plugin as it is: checked, never taken apart. Cheaper than a `Value`, and numbers keep all their digits.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde::ser::Serializer;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::schema::Node;

/// The deepest nesting that crosses to the host and back (`wit/1.0.0`, rule 1).
pub const LEVELS_MAX: usize = 64;

/// One JSON value as text.
#[derive(Debug, Clone)]
pub struct Verbatim(Box<RawValue>);

impl Verbatim {
    /// Checks that the text is one JSON value of at most so many levels (`[[1]]` has two), as strictly as the host will.
    pub fn parse(text: String, levels_max: usize) -> Result<Self, serde_json::Error> {
        let mut decoder = serde_json::Deserializer::from_str(&text);
        Levels(levels_max).deserialize(&mut decoder)?;
        decoder.end()?;
        RawValue::from_string(text).map(Self)
    }

    pub fn as_str(&self) -> &str {
        self.0.get()
    }
}

impl From<Verbatim> for Vec<u8> {
    fn from(json: Verbatim) -> Self {
        Box::<str>::from(json.0).into_string().into_bytes()
    }
}

impl<'de> Deserialize<'de> for Verbatim {
    fn deserialize<D: Deserializer<'de>>(decoder: D) -> Result<Self, D::Error> {
        Deserialize::deserialize(decoder).map(Self)
    }
}
impl Serialize for Verbatim {
    fn serialize<S: Serializer>(&self, encoder: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(encoder)
    }
}
impl crate::Input for Verbatim {
    const SCHEMA: &'static Node = &Node::Any;
}
impl crate::Output for Verbatim {
    const SCHEMA: &'static Node = &Node::Any;
}

/// Reads a value, keeps nothing of it, and counts how deep it goes. Unlike `IgnoredAny` it decodes what it reads: a lone surrogate or a
/// number beyond a double is refused here, where the sender can be told, not by the host later.
struct Levels(usize);

impl Levels {
    fn below<E: Error>(&self) -> Result<Self, E> {
        self.0.checked_sub(1).map(Self).ok_or_else(|| E::custom("nested too deeply"))
    }
}

impl<'de> DeserializeSeed<'de> for Levels {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, decoder: D) -> Result<(), D::Error> {
        decoder.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Levels {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }
    fn visit_bool<E: Error>(self, _: bool) -> Result<(), E> {
        Ok(())
    }
    fn visit_i64<E: Error>(self, _: i64) -> Result<(), E> {
        Ok(())
    }
    fn visit_u64<E: Error>(self, _: u64) -> Result<(), E> {
        Ok(())
    }
    fn visit_f64<E: Error>(self, _: f64) -> Result<(), E> {
        Ok(())
    }
    fn visit_str<E: Error>(self, _: &str) -> Result<(), E> {
        Ok(())
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        while items.next_element_seed(self.below()?)?.is_some() {}
        Ok(())
    }
    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        while members.next_key_seed(Self(1))?.is_some() {
            members.next_value_seed(self.below()?)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::Verbatim;

    fn problem(text: &str) -> String {
        Verbatim::parse(text.to_owned(), 2).expect_err(text).to_string()
    }

    #[test]
    fn json_passes_as_it_is() {
        let text = r#" {"größe": 1.10000000000000000001, "a": [ ]} "#;
        assert_eq!(Verbatim::parse(text.to_owned(), 2).expect("JSON").as_str(), text.trim());
        assert_eq!(serde_json::to_string(&[Verbatim::parse("-0".to_owned(), 1).expect("JSON")]).expect("JSON"), "[-0]");
    }

    #[test]
    fn what_the_host_would_refuse_is_refused_with_its_place() {
        assert_eq!(problem("{\"a\":\n 1,}"), "trailing comma at line 2 column 4");
        assert_eq!(problem("[[[]]]"), "nested too deeply at line 1 column 4");
        assert_eq!(problem("1 2"), "trailing characters at line 1 column 3");
        assert!(problem("").starts_with("EOF"));
        assert!(
            problem(r#""\ud800""#).starts_with("lone leading surrogate")
                || problem(r#""\ud800""#).contains("hex escape")
        );
        assert_eq!(problem("[1e999]"), "number out of range at line 1 column 6");
    }
}
