//! Ranges in A1 notation.

use super::Refusal;
use super::grid::Spreadsheet;

/// Cells of one worksheet; ends are exclusive.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Range {
    /// The worksheet's place in its spreadsheet.
    pub(crate) sheet: usize,
    pub(crate) rows: (usize, usize),
    pub(crate) columns: (usize, usize),
}

/// The range that a text means; what it leaves open goes to the end of the grid.
pub(crate) fn parse(book: &Spreadsheet, text: &str) -> Result<Range, Refusal> {
    let unknown = || Refusal::invalid(format!("Unable to parse range: {text}"));
    let (sheet, cells) = split(book, text).ok_or_else(unknown)?;
    let found = book.sheets.get(sheet).ok_or_else(unknown)?;
    let (rows, columns) = (found.row_count, found.column_count);
    let Some(cells) = cells else { return Ok(Range { sheet, rows: (0, rows), columns: (0, columns) }) };
    let (first, last) = cells.split_once(':').unwrap_or((cells, cells));
    let (first, last) = (corner(first).ok_or_else(unknown)?, corner(last).ok_or_else(unknown)?);
    let span =
        |first: Option<usize>, last: Option<usize>, end: usize| (first.unwrap_or(0), last.map_or(end, |last| last + 1));
    let range = Range { sheet, rows: span(first.1, last.1, rows), columns: span(first.0, last.0, columns) };
    if range.rows.0 >= rows || range.columns.0 >= columns {
        return Err(Refusal::invalid(format!(
            "Range ({text}) exceeds grid limits. Max rows: {rows}, max columns: {columns}"
        )));
    }
    Ok(range)
}

fn split<'a>(book: &Spreadsheet, text: &'a str) -> Option<(usize, Option<&'a str>)> {
    let place = |title: &str| book.sheets.iter().position(|sheet| sheet.title.eq_ignore_ascii_case(title));
    if let Some(quoted) = text.strip_prefix('\'') {
        let (mut title, mut rest) = (String::new(), quoted);
        loop {
            let (part, after) = rest.split_once('\'')?;
            title.push_str(part);
            let Some(more) = after.strip_prefix('\'') else {
                let cells = if after.is_empty() { None } else { Some(after.strip_prefix('!')?) };
                return Some((place(&title)?, cells));
            };
            title.push('\'');
            rest = more;
        }
    }
    if let Some((title, cells)) = text.split_once('!') {
        return Some((place(title)?, Some(cells)));
    }
    match place(text) {
        Some(sheet) => Some((sheet, None)),
        None => Some((0, Some(text))),
    }
}

/// Column and row of `B7`, `B` or `7`.
fn corner(text: &str) -> Option<(Option<usize>, Option<usize>)> {
    let text = text.replace('$', "").to_ascii_uppercase();
    let digits = text.trim_start_matches(|letter: char| letter.is_ascii_uppercase());
    let letters = text.strip_suffix(digits)?;
    if text.is_empty() || letters.len() > 3 {
        return None;
    }
    let column = letters.bytes().fold(0, |sum, letter| sum * 26 + usize::from(letter - b'A') + 1);
    let row = if digits.is_empty() { None } else { Some(digits.parse::<usize>().ok()?.checked_sub(1)?) };
    Some((column.checked_sub(1), row))
}

/// `AB` of 27.
pub(crate) fn letters(column: usize) -> String {
    let letter = char::from(b'A' + u8::try_from(column % 26).unwrap_or(0));
    let before = if column < 26 { String::new() } else { letters(column / 26 - 1) };
    format!("{before}{letter}")
}

impl Range {
    /// As Google writes it in answers.
    pub(crate) fn text(&self, book: &Spreadsheet) -> String {
        let title = book.sheets.get(self.sheet).map(|sheet| sheet.title.clone()).unwrap_or_default();
        let is_plain = title.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_');
        let title = if is_plain { title } else { format!("'{}'", title.replace('\'', "''")) };
        let corner = |column: usize, row: usize| format!("{}{}", letters(column), row + 1);
        let first = corner(self.columns.0, self.rows.0);
        let last = corner(self.columns.1.saturating_sub(1), self.rows.1.saturating_sub(1));
        if first == last { format!("{title}!{first}") } else { format!("{title}!{first}:{last}") }
    }
}
