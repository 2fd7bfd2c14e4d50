//! Durations as people write them: `500ms`, `30s`, `5m`, `2h`, `1d`. In the program they are milliseconds.

use serde::{Deserialize, Deserializer, Serializer};

/// The longest duration that can be written: a year. Longer waits are mistakes.
const MILLIS_MAX: u64 = 365 * DAY;
const DAY: u64 = 24 * HOUR;
const HOUR: u64 = 60 * MINUTE;
const MINUTE: u64 = 60 * SECOND;
const SECOND: u64 = 1_000;

/// Largest first, so that [`format`] finds the largest unit that fits.
const UNITS: [(&str, u64); 5] = [("d", DAY), ("h", HOUR), ("m", MINUTE), ("s", SECOND), ("ms", 1)];

/// Reads a whole number and a unit, in milliseconds.
pub fn parse(text: &str) -> Result<u64, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let unit = UNITS.iter().find(|(name, _)| *name == unit).map(|(_, millis)| *millis);
    let millis = number.parse::<u64>().ok().zip(unit).map(|(number, unit)| number.saturating_mul(unit));
    match millis {
        Some(millis) if millis <= MILLIS_MAX => Ok(millis),
        Some(_) => Err(format!("`{text}` is longer than 365d")),
        None => Err(format!("`{text}` is not a duration: write a whole number and one of ms, s, m, h, d, such as 30s")),
    }
}

/// Writes the largest unit that leaves a whole number.
pub fn format(millis: u64) -> String {
    let fitting = UNITS.iter().find(|(_, unit)| millis.is_multiple_of(*unit) && (millis > 0 || *unit == SECOND));
    let (name, unit) = fitting.copied().unwrap_or(("ms", 1));
    format!("{}{name}", millis / unit)
}

/// For `#[serde(with = …)]`.
pub fn serialize<S: Serializer>(millis: &u64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&format(*millis))
}

/// For `#[serde(with = …)]`.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
    parse(&text).map_err(serde::de::Error::custom)
}

/// The same for a duration that may be absent.
pub mod optional {
    use serde::{Deserialize, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(millis: &Option<u64>, serializer: S) -> Result<S::Ok, S::Error> {
        match millis {
            Some(millis) => super::serialize(millis, serializer),
            None => serializer.serialize_none(),
        }
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
        let text = Option::<String>::deserialize(deserializer)?;
        text.map(|text| super::parse(&text).map_err(serde::de::Error::custom)).transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_survive_text_in_the_largest_fitting_unit() {
        for (text, millis) in [
            ("500ms", 500),
            ("30s", 30_000),
            ("5m", 300_000),
            ("90s", 90_000),
            ("2h", 7_200_000),
            ("1d", DAY),
            ("0s", 0),
        ] {
            assert_eq!(parse(text), Ok(millis), "{text}");
            assert_eq!(format(millis), text);
        }
    }

    #[test]
    fn other_texts_are_refused_with_the_form_to_use() {
        for text in ["", "5", "s", "1.5s", "-1s", "5 m", "1w", "366d", "99999999999999999999s"] {
            let message = parse(text).expect_err(text);
            assert!(message.contains(text), "{message}");
        }
    }
}
