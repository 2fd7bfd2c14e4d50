//! The statuses that count as success.

use flowcell_sdk::ActionError;

/// Inclusive ranges.
pub(super) struct Statuses(Vec<(u16, u16)>);

impl Statuses {
    /// From texts such as `2xx`, `404` and `400-499`. `at` is the list's place in the input.
    pub(super) fn parse(texts: &[String], at: &str) -> Result<Self, ActionError> {
        let ranges = texts.iter().enumerate().map(|(index, text)| {
            range(text.trim()).ok_or_else(|| {
                let message = format!(
                    "`{text}` names no statuses; write one (404), a class (2xx) or a range (400-499), from 100 to 599"
                );
                ActionError::invalid_input(&format!("{at}/{index}"), message)
            })
        });
        ranges.collect::<Result<_, _>>().map(Self)
    }

    pub(super) fn contains(&self, status: u16) -> bool {
        self.0.iter().any(|(first, last)| (*first..=*last).contains(&status))
    }
}

fn range(text: &str) -> Option<(u16, u16)> {
    let class = text.strip_suffix("xx").or_else(|| text.strip_suffix("XX"));
    let (first, last) = if let Some(class) = class {
        let hundreds = class.parse::<u16>().ok()?.checked_mul(100)?;
        (hundreds, hundreds.checked_add(99)?)
    } else if let Some((first, last)) = text.split_once('-') {
        (first.trim().parse().ok()?, last.trim().parse().ok()?)
    } else {
        let one = text.parse().ok()?;
        (one, one)
    };
    (100 <= first && first <= last && last <= 599).then_some((first, last))
}

#[cfg(test)]
mod tests {
    use super::range;

    #[test]
    fn statuses_are_single_classes_or_ranges() {
        for (text, expected) in [
            ("404", Some((404, 404))),
            ("2xx", Some((200, 299))),
            ("5XX", Some((500, 599))),
            ("400-499", Some((400, 499))),
            ("400 - 404", Some((400, 404))),
            ("", None),
            ("xx", None),
            ("6xx", None),
            ("99", None),
            ("600", None),
            ("404-400", None),
            ("700xx", None),
            ("ok", None),
            ("-", None),
        ] {
            assert_eq!(range(text), expected, "{text}");
        }
    }
}
