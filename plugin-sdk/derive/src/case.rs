//! Names: what serde's `rename_all` makes of them, and what a form shows.

/// One of serde's rules for `rename_all`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Case {
    Lower,
    Upper,
    Pascal,
    Camel,
    Snake,
    ScreamingSnake,
    Kebab,
    ScreamingKebab,
}

impl Case {
    pub(crate) const NAMES: &str = "lowercase, UPPERCASE, PascalCase, camelCase, snake_case, SCREAMING_SNAKE_CASE, kebab-case, SCREAMING-KEBAB-CASE";

    pub(crate) fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "lowercase" => Self::Lower,
            "UPPERCASE" => Self::Upper,
            "PascalCase" => Self::Pascal,
            "camelCase" => Self::Camel,
            "snake_case" => Self::Snake,
            "SCREAMING_SNAKE_CASE" => Self::ScreamingSnake,
            "kebab-case" => Self::Kebab,
            "SCREAMING-KEBAB-CASE" => Self::ScreamingKebab,
            _ => return None,
        })
    }

    /// A field's name (`snake_case` in Rust) under this rule, as serde writes it.
    pub(crate) fn field(self, name: &str) -> String {
        match self {
            Self::Lower | Self::Snake => name.to_owned(),
            Self::Upper | Self::ScreamingSnake => name.to_uppercase(),
            Self::Pascal => name.split('_').map(capitalised).collect(),
            Self::Camel => {
                let pascal = Self::Pascal.field(name);
                let mut letters = pascal.chars();
                letters.next().map_or_else(String::new, |first| first.to_lowercase().chain(letters).collect())
            }
            Self::Kebab => name.replace('_', "-"),
            Self::ScreamingKebab => name.to_uppercase().replace('_', "-"),
        }
    }

    /// An enum variant's name (`PascalCase` in Rust) under this rule, as serde writes it.
    pub(crate) fn variant(self, name: &str) -> String {
        let snake = || {
            let mut snake = String::new();
            for letter in name.chars() {
                if letter.is_uppercase() && !snake.is_empty() {
                    snake.push('_');
                }
                snake.extend(letter.to_lowercase());
            }
            snake
        };
        match self {
            Self::Pascal => name.to_owned(),
            Self::Lower => name.to_lowercase(),
            Self::Upper => name.to_uppercase(),
            Self::Camel => {
                let mut letters = name.chars();
                letters.next().map_or_else(String::new, |first| first.to_lowercase().chain(letters).collect())
            }
            Self::Snake | Self::ScreamingSnake | Self::Kebab | Self::ScreamingKebab => self.field(&snake()),
        }
    }
}

/// `content_type` → `Content type`: what a form shows where the author gives no title.
pub(crate) fn title(name: &str) -> String {
    const ACRONYMS: [&str; 9] = ["api", "html", "http", "id", "ip", "json", "uri", "url", "xml"];
    let words = name.split(['_', '-']).filter(|word| !word.is_empty()).enumerate().map(|(position, word)| {
        if ACRONYMS.contains(&word) {
            word.to_uppercase()
        } else if position == 0 {
            capitalised(word)
        } else {
            word.to_owned()
        }
    });
    words.collect::<Vec<_>>().join(" ")
}

fn capitalised(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

#[cfg(test)]
mod tests {
    use super::{Case, title};

    #[test]
    fn names_follow_serdes_rules() {
        for (rule, field, variant) in [
            ("lowercase", "retry_after", "noncontent"),
            ("UPPERCASE", "RETRY_AFTER", "NONCONTENT"),
            ("PascalCase", "RetryAfter", "NonContent"),
            ("camelCase", "retryAfter", "nonContent"),
            ("snake_case", "retry_after", "non_content"),
            ("SCREAMING_SNAKE_CASE", "RETRY_AFTER", "NON_CONTENT"),
            ("kebab-case", "retry-after", "non-content"),
            ("SCREAMING-KEBAB-CASE", "RETRY-AFTER", "NON-CONTENT"),
        ] {
            let case = Case::parse(rule).expect(rule);
            assert_eq!(
                (case.field("retry_after"), case.variant("NonContent")),
                (field.into(), variant.into()),
                "{rule}"
            );
        }
        assert_eq!(Case::parse("Title Case"), None);
    }

    #[test]
    fn titles_read_like_words() {
        assert_eq!(title("content_type"), "Content type");
        assert_eq!(title("url"), "URL");
        assert_eq!(title("contact_id"), "Contact ID");
        assert_eq!(title("_"), "");
    }
}
