//! The answer on a connection for which there is no place: short, at once, and without reading what was asked.

use std::sync::Arc;
use std::time::Duration;

use flowcell_core::ports::{Clock, Entropy};
use http_body_util::BodyExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_util::task::TaskTracker;

use crate::http::problem::Problem;
use crate::http::request_id::{self, RequestId};

/// Connections that are being answered so at a time; beyond it they are closed without a word. Few, since they are over the limit already.
const AT_A_TIME: usize = 64;

/// For the answer to be taken. A client on the other side of the world needs half a second.
const LIMIT: Duration = Duration::from_secs(2);

/// What is read of the request, so that the system does not answer it with a reset that makes the client forget our answer.
const READ_MAX: u64 = 64 * 1024;

#[derive(Debug)]
pub(super) struct TurnAway {
    places: Arc<Semaphore>,
    tasks: TaskTracker,
}

impl TurnAway {
    pub(super) fn new(tasks: TaskTracker) -> Self {
        Self { places: Arc::new(Semaphore::new(AT_A_TIME)), tasks }
    }

    /// Answers with the problem and closes, in the background; or only closes.
    pub(super) fn turn_away(
        &self,
        mut stream: TcpStream,
        problem: &Problem,
        (clock, entropy): (&dyn Clock, &dyn Entropy),
    ) {
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else { return };
        let id = RequestId::generate(clock, entropy);
        let response = problem.render(id.as_str());
        self.tasks.spawn(async move {
            let _ = timeout(LIMIT, async {
                let (head, body) = response.into_parts();
                let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
                let mut answer = format!("HTTP/1.1 {}\r\n", head.status).into_bytes();
                for (name, value) in &head.headers {
                    answer.extend_from_slice(name.as_str().as_bytes());
                    answer.extend_from_slice(b": ");
                    answer.extend_from_slice(value.as_bytes());
                    answer.extend_from_slice(b"\r\n");
                }
                let last = format!(
                    "{}: {}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
                    request_id::HEADER,
                    id.as_str(),
                    body.len()
                );
                answer.extend_from_slice(last.as_bytes());
                answer.extend_from_slice(&body);
                stream.write_all(&answer).await?;
                stream.shutdown().await?;
                tokio::io::copy(&mut (&mut stream).take(READ_MAX), &mut tokio::io::sink()).await
            })
            .await;
            drop(place);
        });
    }
}
