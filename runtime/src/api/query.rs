//! Reads query strings and path parameters; what does not fit becomes a problem, unknown keys included.

use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{FromRequestParts, Path, Query};
use http::request::Parts;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::http::problem::{Kind, Problem};

/// As axum's `Query`, with a problem document for what does not fit.
#[derive(Debug)]
pub(crate) struct ApiQuery<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for ApiQuery<T> {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Query(value) =
            Query::<T>::from_request_parts(parts, state).await.map_err(|rejection: QueryRejection| {
                Problem::new(Kind::InvalidRequest, format!("The query does not fit: {}.", root_cause(&rejection)))
            })?;
        Ok(Self(value))
    }
}

/// As axum's `Path`. with a problem document for what is no id of the right form.
#[derive(Debug)]
pub(crate) struct ApiPath<T>(pub(crate) T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for ApiPath<T> {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Path(value) = Path::<T>::from_request_parts(parts, state).await.map_err(|rejection: PathRejection| {
            Problem::new(Kind::InvalidRequest, format!("The path does not fit: {}.", root_cause(&rejection)))
        })?;
        Ok(Self(value))
    }
}

/// Which part of a list that is held in memory.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct PageQuery {
    /// `next_cursor` of the page before.
    cursor: Option<String>,
    limit: Option<usize>,
}

/// A part of a list, and where the next one begins.
#[derive(Debug)]
pub(crate) struct Cut<T> {
    pub(crate) items: Vec<T>,
    pub(crate) next: Option<String>,
}

/// The largest page of a list, and the one when nothing is said: some hundred KiB of JSON.
const ITEMS_MAX: usize = 1_000;

impl PageQuery {
    /// For a list that takes more parameters than these.
    pub(crate) fn new(cursor: Option<String>, limit: Option<usize>) -> Self {
        Self { cursor, limit }
    }

    /// The part behind the item that the cursor names; `name` names an item and is the same as long as the item is there.
    pub(crate) fn cut<T>(self, items: Vec<T>, name: impl Fn(&T) -> String) -> Result<Cut<T>, Problem> {
        let limit = self.limit.unwrap_or(ITEMS_MAX);
        if !(1..=ITEMS_MAX).contains(&limit) {
            let detail = format!("The parameter `limit` is {limit}; it goes from 1 to {ITEMS_MAX}.");
            return Err(Problem::new(Kind::InvalidRequest, detail));
        }
        let begin = match &self.cursor {
            Some(cursor) => items.iter().position(|item| name(item) == *cursor).map(|at| at + 1).ok_or_else(|| {
                let detail = "The parameter `cursor` names nothing in this list; take `next_cursor` of the page before, or begin again.";
                Problem::new(Kind::InvalidRequest, detail)
            })?,
            None => 0,
        };
        let has_more = items.len() > begin + limit;
        let items: Vec<T> = items.into_iter().skip(begin).take(limit).collect();
        let next = items.last().map(name).filter(|_| has_more);
        Ok(Cut { items, next })
    }
}

/// axum wraps what serde says in sentences about itself.
fn root_cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_of_a_list_follow_each_other_to_its_end() {
        let page = |cursor: Option<&str>, limit| {
            let query = PageQuery { cursor: cursor.map(str::to_owned), limit };
            query.cut(vec![1, 2, 3, 4, 5], ToString::to_string).map(|cut| (cut.items, cut.next))
        };
        assert_eq!(page(None, None).unwrap(), (vec![1, 2, 3, 4, 5], None));
        assert_eq!(page(None, Some(2)).unwrap(), (vec![1, 2], Some("2".to_owned())));
        assert_eq!(page(Some("2"), Some(3)).unwrap(), (vec![3, 4, 5], None));
        for (cursor, limit, named) in
            [(Some("9"), None, "`cursor`"), (None, Some(0), "`limit`"), (None, Some(1_001), "`limit`")]
        {
            assert!(page(cursor, limit).unwrap_err().detail().contains(named));
        }
    }
}
