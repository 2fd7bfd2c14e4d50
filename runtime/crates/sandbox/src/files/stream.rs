//! A file written as a stream: each piece is held against the quota like any other write.

use std::sync::Arc;

use bytes::Bytes;
use tokio::task::JoinHandle;
use wasmtime_wasi::p2::bindings::filesystem::types::ErrorCode;
use wasmtime_wasi::p2::{DynInputStream, InputStream, OutputStream, Pollable, StreamError, StreamResult};

use super::directory::{Opened, Position};

/// What one write may carry: 64 KiB, as wasmtime-wasi's own streams.
const PIECE_BYTES: usize = 64 * 1024;

/// Why a stream failed, for `filesystem-error-code`.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("the file cannot be written: {0:?}")]
pub(crate) struct WriteFailed(pub(crate) ErrorCode);

/// Writes a file from one place on.
pub(crate) struct Writing {
    file: Arc<Opened>,
    state: State,
}

enum State {
    Ready(Position),
    /// A piece is being written.
    Busy {
        task: JoinHandle<Result<u64, ErrorCode>>,
        appends: bool,
    },
    Failed(ErrorCode),
    Closed,
}

impl Writing {
    pub(crate) fn new(file: Arc<Opened>, position: Position) -> Self {
        Self { file, state: State::Ready(position) }
    }

    /// Says once why it failed; it is closed then.
    fn failure(&mut self) -> StreamResult<()> {
        match std::mem::replace(&mut self.state, State::Closed) {
            State::Failed(code) => Err(StreamError::LastOperationFailed(WriteFailed(code).into())),
            State::Closed => Err(StreamError::Closed),
            state => {
                self.state = state;
                Ok(())
            }
        }
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for Writing {
    async fn ready(&mut self) {
        if let State::Busy { task, appends } = &mut self.state {
            self.state = match task.await {
                Ok(Ok(_)) if *appends => State::Ready(Position::End),
                Ok(Ok(end)) => State::Ready(Position::At(end)),
                Ok(Err(code)) => State::Failed(code),
                Err(_) => State::Failed(ErrorCode::Io),
            };
        }
    }
}

#[wasmtime_wasi::async_trait]
impl OutputStream for Writing {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.failure()?;
        let State::Ready(position) = self.state else {
            return Err(StreamError::trap("a stream was written to while it was busy: `check-write` was not asked"));
        };
        if bytes.len() > PIECE_BYTES {
            return Err(StreamError::trap("a stream was given more than `check-write` allowed"));
        }
        let file = Arc::clone(&self.file);
        let task = tokio::task::spawn_blocking(move || file.write(&bytes, position));
        self.state = State::Busy { task, appends: position == Position::End };
        Ok(())
    }

    /// Nothing is kept back: a piece is with the file when it is written.
    fn flush(&mut self) -> StreamResult<()> {
        self.failure()
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        self.failure()?;
        Ok(if matches!(self.state, State::Ready(_)) { PIECE_BYTES } else { 0 })
    }

    /// A guest may not leave a pile of writes behind: dropping the stream waits for the last one.
    async fn cancel(&mut self) {
        if let State::Busy { task, .. } = std::mem::replace(&mut self.state, State::Closed) {
            drop(task.await);
        }
    }
}

/// A file that is read as a stream, which counts as open for so long.
pub(crate) struct Reading {
    stream: DynInputStream,
    _file: Arc<Opened>,
}

impl Reading {
    pub(crate) fn new(stream: DynInputStream, file: Arc<Opened>) -> Self {
        Self { stream, _file: file }
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for Reading {
    async fn ready(&mut self) {
        self.stream.ready().await;
    }
}

#[wasmtime_wasi::async_trait]
impl InputStream for Reading {
    fn read(&mut self, size: usize) -> StreamResult<Bytes> {
        self.stream.read(size)
    }
    async fn blocking_read(&mut self, size: usize) -> StreamResult<Bytes> {
        self.stream.blocking_read(size).await
    }
    async fn cancel(&mut self) {
        self.stream.cancel().await;
    }
}
