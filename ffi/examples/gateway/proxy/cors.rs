//! Pages of any origin may call: nothing here depends on cookies or on where a page comes from, so `*` gives away no more
//! than what anybody can have who reaches the port. (Fetch, "HTTP-CORS protocol"; with `*` browsers send no credentials.)

use super::body::Body;
use super::fields::PEER;
use hyper::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS,
    ACCESS_CONTROL_REQUEST_METHOD, HeaderMap, HeaderValue, ORIGIN, VARY,
};
use hyper::{Method, Response, StatusCode, http};

/// What every page may read of a response; a status without a body stands in the first three.
const EXPOSED: [&str; 4] = ["grpc-status", "grpc-message", "grpc-status-details-bin", PEER];

/// Whether it is a browser's question that comes before a request.
pub(crate) fn is_preflight(head: &http::request::Parts) -> bool {
    head.method == Method::OPTIONS
        && head.headers.contains_key(ORIGIN)
        && head.headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD)
}

/// Its answer: POST, with any header fields.
pub(crate) fn preflight(head: &http::request::Parts) -> Response<Body> {
    let mut response = Response::new(Body::Empty);
    *response.status_mut() = StatusCode::NO_CONTENT;
    let headers = response.headers_mut();
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("POST"));
    for names in head.headers.get_all(ACCESS_CONTROL_REQUEST_HEADERS) {
        headers.append(ACCESS_CONTROL_ALLOW_HEADERS, names.clone());
    }
    // Two hours: what Chromium takes at most.
    headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("7200"));
    headers.insert(VARY, HeaderValue::from_static("access-control-request-headers"));
    response
}

/// Lets pages read a gRPC response and all its metadata.
pub(crate) fn expose(headers: &mut HeaderMap) {
    let mut names = EXPOSED.join(",");
    for name in headers.keys().map(|name| name.as_str()) {
        if name != "content-type" && !EXPOSED.contains(&name) {
            names.push(',');
            names.push_str(name);
        }
    }
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    // Names of header fields are always values of one.
    if let Ok(names) = HeaderValue::try_from(names) {
        headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, names);
    }
}
