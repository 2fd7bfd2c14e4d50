//! The header row: columns by their names. A name that is not there, or there twice, is an error that says what is there.

use std::fmt::Write as _;

use flowcell_sdk::ActionError;

use crate::cells::letters;

/// A name this close to another is probably meant to be it: two slips.
const SLIPS_MAX: usize = 2;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Header {
    worksheet: String,
    /// Trimmed; empty for a column without a name.
    names: Vec<String>,
}

impl Header {
    pub(crate) fn new(worksheet: &str, names: impl IntoIterator<Item = String>) -> Self {
        let mut names: Vec<String> = names.into_iter().map(|name| name.trim().to_owned()).collect();
        names.truncate(names.iter().rposition(|name| !name.is_empty()).map_or(0, |last| last + 1));
        Self { worksheet: worksheet.to_owned(), names }
    }

    /// So many columns reach to the last name.
    pub(crate) fn width(&self) -> usize {
        self.names.len()
    }

    pub(crate) fn names(&self) -> &[String] {
        &self.names
    }

    /// The named columns and what their values are called in outputs: a name that is there again has its column's letter added.
    pub(crate) fn keys(&self) -> impl Iterator<Item = (usize, String)> {
        self.names.iter().enumerate().filter(|(_, name)| !name.is_empty()).map(|(column, name)| {
            let is_first = self.names.iter().position(|other| other == name) == Some(column);
            (column, if is_first { name.clone() } else { format!("{name} ({})", letters(column)) })
        })
    }

    /// The column with this name. `at` is where the name stands in the input.
    pub(crate) fn column(&self, name: &str, at: &str) -> Result<usize, ActionError> {
        let wanted = name.trim();
        let mut found = self
            .names
            .iter()
            .enumerate()
            .filter(|(_, known)| *known == wanted && !wanted.is_empty())
            .map(|(column, _)| column);
        match (found.next(), found.next()) {
            (Some(column), None) => Ok(column),
            (Some(first), Some(second)) => {
                let message = format!(
                    "`{wanted}` is the name of the columns {} and {} of `{}`; give each column a name of its own",
                    letters(first),
                    letters(second),
                    self.worksheet
                );
                Err(ActionError::invalid_input(at, message).detail("columns", &self.names))
            }
            (None, _) => Err(self.missing(wanted, at)),
        }
    }

    fn missing(&self, wanted: &str, at: &str) -> ActionError {
        let near = self.nearest(wanted);
        let mut message = format!("`{}` has no column `{wanted}`", self.worksheet);
        if self.names.is_empty() {
            message.push_str(
                ": its header row is empty. Write the columns' names there, or say in `header_row` which row has them",
            );
        } else {
            let names: Vec<String> =
                self.names.iter().filter(|name| !name.is_empty()).map(|name| format!("`{name}`")).collect();
            let _ = write!(message, "; it has {}", names.join(", "));
        }
        if let Some(near) = near {
            let _ = write!(message, ". Did you mean `{near}`?");
        }
        ActionError::invalid_input(at, message).detail("columns", &self.names).detail("did_you_mean", near)
    }

    fn nearest(&self, wanted: &str) -> Option<&str> {
        nearest(wanted, self.names.iter().map(String::as_str))
    }
}

/// The name that was probably meant.
pub(crate) fn nearest<'a>(wanted: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let plain = |text: &str| text.to_lowercase().chars().filter(|letter| letter.is_alphanumeric()).collect::<String>();
    let wanted = plain(wanted);
    names
        .filter(|name| !name.is_empty())
        .map(|name| (strsim::damerau_levenshtein(&wanted, &plain(name)), name))
        // A short name is another one after two slips.
        .filter(|(slips, name)| *slips <= SLIPS_MAX.min(name.chars().count() / 3))
        .min_by_key(|(slips, _)| *slips)
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> Header {
        Header::new("Orders", ["Email ", "Name", "", "Name", "Order No.", ""].map(str::to_owned))
    }

    #[test]
    fn a_column_is_found_by_its_name() {
        assert_eq!(header().column(" Email", "/values/Email"), Ok(0));
        assert_eq!(header().column("Order No.", ""), Ok(4));
        let keys: Vec<_> = header().keys().map(|(_, name)| name).collect();
        assert_eq!(keys, ["Email", "Name", "Name (D)", "Order No."]);
    }

    #[test]
    fn a_renamed_or_missing_column_is_an_error_with_those_that_are_there() {
        for (wanted, near) in [
            ("E-Mail", Some("Email")),
            ("email", Some("Email")),
            ("order no", Some("Order No.")),
            ("Phone", None),
            ("", None),
        ] {
            let error = header().column(wanted, "/values/x").expect_err(wanted);
            assert_eq!((error.code.as_ref(), &error.details["field"]), ("invalid-input", &"/values/x".into()));
            assert!(error.message.contains("`Email`, `Name`, `Name`, `Order No.`"), "{}", error.message);
            assert_eq!(error.message.contains("Did you mean"), near.is_some(), "{}", error.message);
            assert_eq!(error.details["did_you_mean"].as_str(), near);
        }
    }

    #[test]
    fn a_name_that_is_there_twice_is_no_name() {
        let error = header().column("Name", "/where/column").expect_err("twice");
        assert!(error.message.contains("columns B and D"), "{}", error.message);
    }

    #[test]
    fn an_empty_header_row_says_so() {
        let error = Header::new("Orders", []).column("Email", "/values/Email").expect_err("nothing is there");
        assert!(error.message.contains("header row is empty"), "{}", error.message);
    }
}
