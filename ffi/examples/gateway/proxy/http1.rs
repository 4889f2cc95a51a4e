//! HTTP/1.1, by hyper.

use super::Service;
use super::socket::{Clock, Socket};
use hyper::body::{Body as HttpBody, Bytes, Frame, Incoming, SizeHint};
use hyper::header::{CONNECTION, HeaderValue};
use hyper::server::conn::http1::Builder;
use hyper::service::service_fn;
use std::cell::Cell;
use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

/// Octets of a request's head, at most, and what is buffered of a body either way.
const BUFFER: usize = 64 * 1024;

/// How long the next request's head may take, which is how long a connection may be idle: a client that uses it again at the
/// moment of its end loses a call.
const HEAD_TIMEOUT: Duration = Duration::from_secs(75);

/// Serves a connection to its end.
pub(crate) async fn serve(service: &Rc<Service>, socket: Socket) {
    let answer = service_fn(|request: hyper::Request<Incoming>| {
        Box::pin(async {
            let taken = Rc::new(Cell::new(request.body().is_end_stream()));
            let request = request.map(|body| Request { body, taken: Rc::clone(&taken) });
            let mut response = service.answer(request).await;
            // hyper ends a connection on which a request was answered before its end: the client is to know before it
            // sends the next one there.
            if !taken.get() {
                response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
            Ok::<_, Infallible>(response)
        })
    });
    let mut http = Builder::new();
    http.timer(Clock).header_read_timeout(HEAD_TIMEOUT).max_buf_size(BUFFER);
    let mut connection = http.serve_connection(socket, answer);
    // What a client does wrong, hyper has answered or ended; others do not hear of it.
    let _ = poll_fn(|cx| connection.poll_without_shutdown(cx)).await;
    // What still ran has nobody to answer, and ends here.
    let socket = connection.into_parts().io;
    socket.linger().await;
}

/// The body of a request, and whether all of it was taken.
struct Request {
    body: Incoming,
    taken: Rc<Cell<bool>>,
}

impl HttpBody for Request {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        self.taken.set(self.body.is_end_stream() || matches!(frame, Poll::Ready(None)));
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
