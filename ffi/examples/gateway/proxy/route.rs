//! Requests that are neither calls nor files: what a program that includes the gateway answers itself.

use super::body::{Body, Events};
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderMap, HeaderValue};
use hyper::{Response, StatusCode};
use std::fmt;
use std::time::Duration;

/// The largest body of such a request, octets.
pub(crate) const MAX_BODY: usize = 64 * 1024;

/// A request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Request<'a> {
    /// `GET`, `POST`, ...
    pub(crate) method: &'a str,
    /// As it came, `/` first, without the query.
    pub(crate) path: &'a str,
    /// Behind the `?`; empty when there is none.
    pub(crate) query: &'a str,
    pub(crate) headers: &'a HeaderMap,
    pub(crate) body: &'a [u8],
}

/// Its answer.
#[derive(Debug)]
pub(crate) struct Reply {
    status: u16,
    content_type: &'static str,
    body: Body,
}

impl Reply {
    /// A body of that type.
    pub(crate) fn new(status: u16, content_type: &'static str, body: impl Into<Vec<u8>>) -> Reply {
        Reply { status, content_type, body: Body::Whole(body.into().into()) }
    }

    /// `application/json`.
    pub(crate) fn json(status: u16, text: impl Into<Vec<u8>>) -> Reply {
        Reply::new(status, "application/json", text)
    }

    /// A `text/event-stream` for `EventSource`: `next` is asked at once and then at every interval for the data of an event;
    /// `None` ends the stream. Dropped when the client goes.
    pub(crate) fn events(every: Duration, next: impl FnMut() -> Option<String> + 'static) -> Reply {
        let body = Body::Events(Box::new(Events::new(every, next)));
        Reply { status: 200, content_type: "text/event-stream", body }
    }

    pub(crate) fn into_response(self) -> Response<Body> {
        let mut response = Response::new(self.body);
        *response.status_mut() =
            StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(self.content_type));
        response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    }
}

/// What answers them; `None`: not this one.
pub(crate) struct Routes(pub(crate) Box<Answer>);

type Answer = dyn Fn(&Request<'_>) -> Option<Reply> + Send;

impl fmt::Debug for Routes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Routes(..)")
    }
}

/// Whether a page of another origin has sent the request.
pub(crate) fn is_foreign(headers: &HeaderMap, authority: Option<&str>) -> bool {
    let Some(origin) = headers.get("origin") else { return false };
    let host = headers.get("host").and_then(|host| host.to_str().ok()).or(authority);
    let origin = origin.to_str().ok().and_then(|origin| origin.split_once("://"));
    !matches!((origin, host), (Some((_, origin)), Some(host)) if origin.eq_ignore_ascii_case(host))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whose_page_it_is() {
        let foreign = |origin: Option<&str>, host: &str| {
            let mut headers = HeaderMap::new();
            headers.insert("host", HeaderValue::from_str(host).unwrap());
            if let Some(origin) = origin {
                headers.insert("origin", HeaderValue::from_str(origin).unwrap());
            }
            is_foreign(&headers, None)
        };
        assert!(!foreign(None, "127.0.0.1:8080"));
        assert!(!foreign(Some("http://127.0.0.1:8080"), "127.0.0.1:8080"));
        assert!(foreign(Some("http://127.0.0.1:8081"), "127.0.0.1:8080"));
        assert!(foreign(Some("https://evil.example"), "127.0.0.1:8080"));
        assert!(foreign(Some("null"), "127.0.0.1:8080"));
    }
}
