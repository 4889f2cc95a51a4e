//! HTTP/2, by section of RFC 9113.

mod pair;
mod support;
