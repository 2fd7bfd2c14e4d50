//! Finding rows by what stands in their columns.

use std::ops::Range;

use flowcell_sdk::{ActionError, Input};
use serde_json::{Value, json};

use crate::cells::{self, letters, lines, text};
use crate::worksheet::Worksheet;

/// A worksheet with no more cells than this is read whole: one request instead of two, some 1 MiB.
const CELLS_WHOLE_MAX: u64 = 50_000;

/// Of a larger one, only the columns that are searched are read, so many cells at a time: some 4 MiB, half of what an answer may have.
pub(crate) const CELLS_AT_ONCE: u64 = 200_000;

/// Rows that one step may find: what fits into its output of 1 MiB with some 1,000 characters each.
pub(crate) const FOUND_MAX: u32 = 1_000;

/// What a row must have in one column.
#[derive(Debug, Clone, Input)]
pub(crate) struct Condition {
    /// The column's name in the header row.
    #[input(options, depends_on = ["spreadsheet", "worksheet", "header_row"], example = "Email")]
    pub(crate) column: String,
    /// Text, a number, true or false; `42` also finds the text "42". Nothing (null or "") finds empty cells.
    #[serde(default)]
    pub(crate) value: Value,
    /// How the cell is compared with it.
    #[serde(default)]
    pub(crate) compare: Compare,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Input)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Compare {
    #[default]
    Equals,
    NotEquals,
    Contains,
    StartsWith,
    EndsWith,
}

/// How a second condition joins the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Input)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Join {
    /// Both must hold.
    #[default]
    And,
    /// One is enough.
    Or,
}

/// Which row is the first one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Input)]
#[serde(rename_all = "lowercase")]
pub(crate) enum From {
    #[default]
    Top,
    Bottom,
}

/// Whether letters count as the same in upper and lower case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Input)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Case {
    /// `a` is not `A`.
    #[default]
    Match,
    /// `a` is `A`.
    Ignore,
}

#[derive(Debug, Clone)]
pub(crate) struct Search {
    pub(crate) conditions: Vec<(Condition, &'static str)>,
    pub(crate) join: Join,
    pub(crate) from: From,
    pub(crate) case: Case,
}

/// A row that was found.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Found {
    pub(crate) row: u64,
    pub(crate) cells: Vec<Value>,
}

/// A condition whose column and value are known.
struct Test {
    column: usize,
    compare: Compare,
    value: String,
}

impl Search {
    pub(crate) fn new(first: Condition, second: Option<Condition>, join: Join) -> Self {
        let mut conditions = vec![(first, "/where")];
        conditions.extend(second.map(|second| (second, "/second")));
        Self { conditions, join, from: From::Top, case: Case::Match }
    }

    #[must_use]
    pub(crate) fn from(self, from: From) -> Self {
        Self { from, ..self }
    }

    #[must_use]
    pub(crate) fn case(self, case: Case) -> Self {
        Self { case, ..self }
    }

    /// The first rows that fit, in the order of the search, at most `limit`.
    pub(crate) fn find(&self, sheet: &Worksheet, limit: usize) -> Result<Vec<Found>, ActionError> {
        let tests = self.tests(sheet)?;
        let rows = sheet.header_row + 1..sheet.rows + 1;
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        let width = sheet.header.width().max(1) as u64;
        if (rows.end - rows.start) * width <= CELLS_WHOLE_MAX {
            let all = read(sheet, &rows)?;
            let found = all.into_iter().filter(|found| self.holds(&tests, |column| found.cells.get(column)));
            return Ok(match self.from {
                From::Top => found.take(limit).collect(),
                From::Bottom => {
                    let mut found: Vec<Found> = found.collect();
                    found.reverse();
                    found.truncate(limit);
                    found
                }
            });
        }
        // Somebody may insert a row between the two requests; whoever keeps doing that is waited for.
        for _ in 0..2 {
            let numbers = self.numbers(sheet, &tests, rows.clone(), limit)?;
            let found = read_rows(sheet, &numbers)?;
            if found.iter().all(|found| self.holds(&tests, |column| found.cells.get(column))) {
                return Ok(found);
            }
        }
        Err(ActionError::transient(format!("`{}` changes while it is searched", sheet.title)))
    }

    fn tests(&self, sheet: &Worksheet) -> Result<Vec<Test>, ActionError> {
        let test = |(condition, at): &(Condition, &str)| {
            let column = sheet.header.column(&condition.column, &format!("{at}/column"))?;
            if matches!(condition.value, Value::Array(_) | Value::Object(_)) {
                return Err(ActionError::invalid_input(
                    &format!("{at}/value"),
                    "a cell is compared with text, a number, true, false or nothing",
                ));
            }
            Ok(Test { column, compare: condition.compare, value: self.comparable(&condition.value) })
        };
        self.conditions.iter().map(test).collect()
    }

    fn comparable(&self, value: &Value) -> String {
        match self.case {
            Case::Match => text(value),
            Case::Ignore => text(value).to_lowercase(),
        }
    }

    fn holds<'a>(&self, tests: &[Test], cell: impl Fn(usize) -> Option<&'a Value>) -> bool {
        let holds = |test: &Test| {
            let cell = cell(test.column).map(|cell| self.comparable(cell)).unwrap_or_default();
            match test.compare {
                Compare::Equals => cell == test.value,
                Compare::NotEquals => cell != test.value,
                Compare::Contains => cell.contains(&test.value),
                Compare::StartsWith => cell.starts_with(&test.value),
                Compare::EndsWith => cell.ends_with(&test.value),
            }
        };
        match self.join {
            Join::And => tests.iter().all(holds),
            Join::Or => tests.iter().any(holds),
        }
    }

    /// The numbers of the rows that fit, by the columns that are searched alone.
    fn numbers(
        &self,
        sheet: &Worksheet,
        tests: &[Test],
        rows: Range<u64>,
        limit: usize,
    ) -> Result<Vec<u64>, ActionError> {
        let step = CELLS_AT_ONCE / (tests.len() as u64).max(1);
        let mut starts: Vec<u64> = (rows.start..rows.end).step_by(usize::try_from(step).unwrap_or(1)).collect();
        if self.from == From::Bottom {
            starts.reverse();
        }
        let mut numbers = Vec::new();
        for start in starts {
            let end = rows.end.min(start + step);
            let ranges: Vec<String> = tests
                .iter()
                .map(|test| {
                    let column = letters(test.column);
                    sheet.range(&format!("{column}{start}:{column}{}", end - 1))
                })
                .collect();
            let columns: Vec<Vec<Value>> = values(sheet, &ranges, "COLUMNS")?
                .into_iter()
                .map(|mut lines| lines.pop().unwrap_or_default())
                .collect();
            let fits = |row: &u64| {
                let place = usize::try_from(row - start).unwrap_or(usize::MAX);
                let cell = |wanted: usize| {
                    let test = tests.iter().position(|test| test.column == wanted)?;
                    columns.get(test)?.get(place)
                };
                self.holds(tests, cell)
            };
            // Below the last row with anything in these columns, only an empty worksheet goes on.
            let filled = columns.iter().map(Vec::len).max().unwrap_or(0) as u64;
            let found = (start..end.min(start + filled)).filter(fits);
            match self.from {
                From::Top => numbers.extend(found),
                From::Bottom => numbers.extend(found.collect::<Vec<_>>().into_iter().rev()),
            }
            if numbers.len() >= limit {
                numbers.truncate(limit);
                break;
            }
        }
        Ok(numbers)
    }
}

/// All rows of a span that hold anything.
pub(crate) fn read(sheet: &Worksheet, rows: &Range<u64>) -> Result<Vec<Found>, ActionError> {
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    let last = letters(sheet.header.width().saturating_sub(1));
    let range = sheet.range(&format!("A{}:{last}{}", rows.start, rows.end - 1));
    let lines = values(sheet, &[range], "ROWS")?.pop().unwrap_or_default();
    let found = (rows.start..).zip(lines).filter(|(_, cells)| cells.iter().any(cells::is_filled));
    Ok(found.map(|(row, cells)| Found { row, cells }).collect())
}

/// These rows, in this order.
fn read_rows(sheet: &Worksheet, numbers: &[u64]) -> Result<Vec<Found>, ActionError> {
    let last = letters(sheet.header.width().saturating_sub(1));
    let mut found = Vec::with_capacity(numbers.len());
    // A range is some 20 characters of an address that may have 8,000.
    for some in numbers.chunks(100) {
        let ranges: Vec<String> = some.iter().map(|row| sheet.range(&format!("A{row}:{last}{row}"))).collect();
        let lines = values(sheet, &ranges, "ROWS")?;
        found.extend(
            some.iter().zip(lines).map(|(row, mut lines)| Found { row: *row, cells: lines.pop().unwrap_or_default() }),
        );
    }
    Ok(found)
}

/// The values of ranges, one list of lines for each: numbers and truth values as such, dates as the worksheet shows them.
pub(crate) fn values(
    sheet: &Worksheet,
    ranges: &[String],
    dimension: &str,
) -> Result<Vec<Vec<Vec<Value>>>, ActionError> {
    let mut query: Vec<(&str, &str)> = ranges.iter().map(|range| ("ranges", range.as_str())).collect();
    query.extend([
        ("majorDimension", dimension),
        ("valueRenderOption", "UNFORMATTED_VALUE"),
        ("dateTimeRenderOption", "FORMATTED_STRING"),
        ("fields", "valueRanges(range,values)"),
    ]);
    let answer = sheet.book.get("/values:batchGet", &query)?;
    let ranges_read = answer.get("valueRanges").and_then(Value::as_array).cloned().unwrap_or_default();
    // A range in which nothing stands has no values.
    Ok((0..ranges.len()).map(|place| lines(ranges_read.get(place).unwrap_or(&json!({})))).collect())
}
