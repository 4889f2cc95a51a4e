//! One call: what the client sends goes to a backend, and what comes back goes to the client. Each direction has the
//! other's pace: nothing is read that cannot go on, so a call never holds more than a message and the windows.

use super::body::Body;
use super::fields::{self, PEER};
use super::form::{Form, Incoming, Outgoing, Status};
use super::upstream::{Answer, Call, Head, Upstream};
use grpclb::core::grpc::{Code, timeout};
use grpclb::host::reactor::Completion;
use hyper::body::{Body as HttpBody, Bytes, Frame};
use hyper::header::HeaderValue;
use hyper::{HeaderMap, Response, http};
use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::task::AbortHandle;

/// Small messages that are there together leave together, up to so many octets.
const TOGETHER: usize = 32 * 1024;

/// Takes a gRPC request to a backend, and waits for the head of the answer. `patience`: how long its body may stand still.
pub(crate) async fn proxy<B>(
    upstream: &Upstream,
    form: &Form,
    head: &http::request::Parts,
    body: B,
    patience: Option<Duration>,
) -> Response<Body>
where
    B: HttpBody<Data = Bytes> + Unpin + 'static,
{
    let writer = form.writer();
    let deadline = match head.headers.get("grpc-timeout").map(|text| timeout::decode(text.as_bytes())) {
        Some(None) => {
            let words = "grpc-timeout is not 1 to 8 digits and a unit of H, M, S, m, u, n";
            return over(&writer, &Status::own(Code::INTERNAL, words), None);
        }
        other => other.flatten(),
    };
    let metadata = fields::metadata_of(&head.headers);
    let metadata: Vec<(&str, &[u8])> =
        metadata.iter().map(|(name, value)| (name.as_str(), value.as_slice())).collect();
    let call = grpclb::Call { timeout: deadline, metadata: &metadata, ..grpclb::Call::new(head.uri.path()) };
    let mut exchange = Exchange::start(upstream.start(&call), form.reader(), body, patience).await;
    match poll_fn(|cx| exchange.poll_head(cx)).await {
        Ok(Head::Initial(metadata)) => {
            let peer = exchange.link.call.peer();
            let mut headers = writer.head(&metadata);
            put_peer(&mut headers, peer.as_deref());
            let answering = Answering { exchange, writer, message: Vec::new(), trailers: None, over: false };
            respond(headers, Body::Call(Box::new(answering)))
        }
        Ok(Head::Over(completion)) => over(&writer, &Status::of(&completion), Some(&completion)),
        Err(status) => over(&writer, &status, None),
    }
}

/// A response that is a status alone.
pub(crate) fn refusal(form: &Form, status: &Status) -> Response<Body> {
    over(&form.writer(), status, None)
}

fn over(writer: &Outgoing, status: &Status, completion: Option<&Completion>) -> Response<Body> {
    let mut headers = writer.trailers_only(status);
    put_peer(&mut headers, completion.map(|completion| completion.reply.peer()));
    respond(headers, Body::Empty)
}

fn put_peer(headers: &mut HeaderMap, peer: Option<&str>) {
    if let Some(peer) = peer.filter(|peer| !peer.is_empty()).and_then(|peer| HeaderValue::from_str(peer).ok())
    {
        headers.insert(PEER, peer);
    }
}

fn respond(headers: HeaderMap, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.headers_mut() = headers;
    response
}

/// A call and the task that sends the request's body. Dropped before its end (the client has gone), it is cancelled.
#[derive(Debug)]
struct Exchange {
    link: Rc<Link>,
    upload: Option<AbortHandle>,
}

/// What both directions share.
#[derive(Debug)]
struct Link {
    call: Call,
    /// Why the gateway ends the call: the request's body is wrong.
    failure: RefCell<Option<Status>>,
    /// Who waits for the answer.
    answer: RefCell<Option<Waker>>,
}

impl Exchange {
    async fn start<B>(call: Call, incoming: Incoming, body: B, patience: Option<Duration>) -> Exchange
    where
        B: HttpBody<Data = Bytes> + Unpin + 'static,
    {
        let link = Rc::new(Link { call, failure: RefCell::default(), answer: RefCell::default() });
        let mut upload = Box::pin(upload(Rc::clone(&link), incoming, body, patience));
        // Most bodies are there already: no task is needed for those.
        let done = poll_fn(|cx| Poll::Ready(upload.as_mut().poll(cx).is_ready())).await;
        let upload = (!done).then(|| tokio::task::spawn_local(upload).abort_handle());
        Exchange { link, upload }
    }

    fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Result<Head, Status>> {
        self.poll(cx, |call, cx| call.poll_head(cx))
    }

    fn poll_answer(&mut self, cx: &mut Context<'_>, message: &mut Vec<u8>) -> Poll<Result<Answer, Status>> {
        self.poll(cx, |call, cx| call.poll_answer(cx, message))
    }

    fn poll<R>(
        &mut self,
        cx: &mut Context<'_>,
        what: impl FnOnce(&Call, &mut Context<'_>) -> Poll<R>,
    ) -> Poll<Result<R, Status>> {
        if let Some(status) = self.link.failure.borrow_mut().take() {
            self.link.call.cancel();
            return Poll::Ready(Err(status));
        }
        let polled = what(&self.link.call, cx);
        if polled.is_pending() {
            *self.link.answer.borrow_mut() = Some(cx.waker().clone());
        }
        polled.map(Ok)
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        if let Some(upload) = &self.upload {
            upload.abort();
        }
        // The task may hold the call for a moment more.
        self.link.call.cancel();
    }
}

/// Sends the messages of a request's body, each once the one before has left.
async fn upload<B>(link: Rc<Link>, mut incoming: Incoming, mut body: B, patience: Option<Duration>)
where
    B: HttpBody<Data = Bytes> + Unpin,
{
    if let Err(status) = send_all(&link.call, &mut incoming, &mut body, patience).await {
        *link.failure.borrow_mut() = Some(status);
        if let Some(answer) = link.answer.borrow_mut().take() {
            answer.wake();
        }
    }
}

async fn send_all<B>(
    call: &Call,
    incoming: &mut Incoming,
    body: &mut B,
    patience: Option<Duration>,
) -> Result<(), Status>
where
    B: HttpBody<Data = Bytes> + Unpin,
{
    let wrong =
        |error: grpclb::core::web::transcode::RequestError| Status::own(error.code(), error.to_string());
    let (mut chunk, mut message) = (Vec::new(), Vec::new());
    while let Some(frame) = next(body, patience).await? {
        let frame = frame.map_err(|_| Status::own(Code::CANCELLED, "the request's body broke off"))?;
        // Trailers of a request mean nothing to gRPC.
        let Ok(data) = frame.into_data() else { continue };
        chunk.clear();
        chunk.extend_from_slice(&data);
        drop(data);
        let mut input = incoming.decode(&mut chunk);
        while let Some(piece) = incoming.recv(&mut input).map_err(wrong)? {
            if !piece.is_last() || !piece.is_first() {
                message.extend_from_slice(piece.bytes);
            }
            if piece.is_last() {
                // The half-close goes along with the last one, where that is known.
                let last = input.is_empty() && body.is_end_stream() && incoming.finish().is_ok();
                let whole = piece.whole().unwrap_or(&message);
                poll_fn(|cx| call.poll_send(cx, Some(whole), last)).await;
                message.clear();
                if last {
                    return Ok(());
                }
            }
        }
    }
    incoming.finish().map_err(wrong)?;
    poll_fn(|cx| call.poll_send(cx, None, true)).await;
    Ok(())
}

/// The next frame of a body, if it comes in time.
async fn next<B>(
    body: &mut B,
    patience: Option<Duration>,
) -> Result<Option<Result<Frame<Bytes>, B::Error>>, Status>
where
    B: HttpBody<Data = Bytes> + Unpin,
{
    let mut late = None;
    poll_fn(|cx| {
        if let Poll::Ready(frame) = Pin::new(&mut *body).poll_frame(cx) {
            return Poll::Ready(Ok(frame));
        }
        // A timer only for those who have to wait.
        let Some(patience) = patience else { return Poll::Pending };
        let late = late.get_or_insert_with(|| Box::pin(tokio::time::sleep(patience)));
        late.as_mut().poll(cx).map(|()| Err(Status::own(Code::CANCELLED, "the request's body stands still")))
    })
    .await
}

/// The body of a response, made as the client takes it.
#[derive(Debug)]
pub(crate) struct Answering {
    exchange: Exchange,
    writer: Outgoing,
    message: Vec<u8>,
    trailers: Option<HeaderMap>,
    over: bool,
}

impl Answering {
    pub(crate) fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Frame<Bytes>>> {
        let mut chunk = Vec::new();
        while !self.over && chunk.len() < TOGETHER {
            let status = match self.exchange.poll_answer(cx, &mut self.message) {
                Poll::Pending if chunk.is_empty() => return Poll::Pending,
                Poll::Pending => break,
                Poll::Ready(Ok(Answer::Message)) => {
                    self.writer.message(&self.message, &mut chunk);
                    continue;
                }
                Poll::Ready(Ok(Answer::End(completion))) => Status::of(&completion),
                Poll::Ready(Err(status)) => status,
            };
            self.over = true;
            self.trailers = self.writer.end(&status, &mut chunk);
        }
        if !chunk.is_empty() {
            return Poll::Ready(Some(Frame::data(chunk.into())));
        }
        Poll::Ready(self.trailers.take().map(Frame::trailers))
    }

    pub(crate) fn is_over(&self) -> bool {
        self.over && self.trailers.is_none()
    }
}
