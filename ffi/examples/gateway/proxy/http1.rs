//! HTTP/1.1, by hyper.

use super::Service;
use super::socket::{Clock, Socket};
use hyper::server::conn::http1::Builder;
use hyper::service::service_fn;
use std::convert::Infallible;
use std::future::poll_fn;
use std::rc::Rc;
use std::time::Duration;

/// Octets of a request's head, at most, and what is buffered of a body either way.
const BUFFER: usize = 64 * 1024;

/// How long the next request's head may take, which is how long a connection may be idle: a client that uses it again at the
/// moment of its end loses a call.
const HEAD_TIMEOUT: Duration = Duration::from_secs(75);

/// Serves a connection to its end.
pub(crate) async fn serve(service: &Rc<Service>, socket: Socket) {
    let answer = service_fn(|request| Box::pin(async { Ok::<_, Infallible>(service.answer(request).await) }));
    let mut http = Builder::new();
    http.timer(Clock).header_read_timeout(HEAD_TIMEOUT).max_buf_size(BUFFER);
    let mut connection = http.serve_connection(socket, answer);
    // What a client does wrong, hyper has answered or ended; others do not hear of it.
    let _ = poll_fn(|cx| connection.poll_without_shutdown(cx)).await;
    // What still ran has nobody to answer, and ends here.
    let socket = connection.into_parts().io;
    socket.linger().await;
}
