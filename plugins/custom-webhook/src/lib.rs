//! Any HTTP API: the action `request` sends one request as the author wrote it and keeps the response.

mod request;

flowcell_sdk::plugin! {
    actions: { "request" => request::request },
}
