//! The table of methods, and how a handler runs.

use super::metadata::Metadata;
use super::request::{Request, Response};
use super::stream::ServerStream;
use super::work::Work;
use crate::host::server::Handler;
use grpclb_core::grpc::Code;
use std::collections::HashMap;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// A handler of one message and one answer.
pub(crate) type Unary = dyn Fn(&Request<'_>, &mut Response<'_>) -> Handler<()> + Send + Sync;
/// A handler of a stream.
pub(crate) type Streaming = dyn Fn(&mut ServerStream) -> Handler<()> + Send + Sync;

/// How a method is handled.
pub(crate) enum Method {
    /// On the driving thread.
    Unary(Box<Unary>),
    /// On a worker, once the request is complete.
    Blocking(Box<Unary>),
    /// On a worker, from the start.
    Streaming(Box<Streaming>),
    /// `grpc.health.v1.Health/Watch`, by the driving thread itself.
    Watch,
}

/// Methods by path.
#[derive(Default)]
pub(crate) struct Methods {
    index: HashMap<Vec<u8>, usize>,
    methods: Vec<Method>,
}

impl Methods {
    /// Registers a method; the last one counts.
    pub(crate) fn insert(&mut self, path: &str, method: Method) {
        self.index.insert(path.as_bytes().to_vec(), self.methods.len());
        self.methods.push(method);
    }

    /// The index of the method at `path`.
    pub(crate) fn find(&self, path: &[u8]) -> Option<usize> {
        self.index.get(path).copied()
    }

    /// The method that [`Methods::find`] found.
    pub(crate) fn get(&self, index: usize) -> &Method {
        &self.methods[index]
    }

    /// Runs a call on this worker thread, to its end.
    pub(crate) fn run(&self, work: Arc<Work>) {
        if work.lock().over.is_some() {
            return;
        }
        match self.get(work.method) {
            Method::Blocking(handler) | Method::Unary(handler) => {
                let (mut message, mut headers, mut trailers) =
                    (Vec::new(), Metadata::default(), Metadata::default());
                let request = Request {
                    message: &work.request,
                    metadata: &work.metadata,
                    deadline: work.deadline,
                    work: Some(&work),
                };
                let mut response =
                    Response { message: &mut message, headers: &mut headers, trailers: &mut trailers };
                let result = guard(|| handler(&request, &mut response));
                let mut state = work.lock();
                state.outgoing.headers = headers;
                if result.is_ok() {
                    state.outgoing.push_swapped(&mut message);
                }
                state.outgoing.trailers = trailers;
                state.outgoing.finish(result);
            }
            Method::Streaming(handler) => {
                let mut stream = ServerStream::new(&work);
                let result = guard(|| handler(&mut stream));
                let mut state = work.lock();
                state.outgoing.trailers = stream.into_trailers();
                state.outgoing.finish(result);
            }
            Method::Watch => {}
        }
        Work::note_last(work);
    }
}

/// Runs a handler. One that panics ends its call alone, with UNKNOWN as grpc/doc/statuscodes.md says for a server
/// that does something other than returning a status; the panic's message is on standard error by then.
pub(crate) fn guard(handler: impl FnOnce() -> Handler<()>) -> Handler<()> {
    // What the handler has half done stays its own: this side hands out only buffers that are cleared anyway.
    catch_unwind(AssertUnwindSafe(handler))
        .unwrap_or_else(|_| Err((Code::UNKNOWN, "the handler of this method panicked".to_owned())))
}

impl fmt::Debug for Methods {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.index.keys().map(|path| String::from_utf8_lossy(path))).finish()
    }
}
