//! Reads query strings and path parameters; what does not fit becomes a problem, unknown keys included.

use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{FromRequestParts, Path, Query};
use http::request::Parts;
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

/// axum wraps what serde says in sentences about itself.
fn root_cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}
