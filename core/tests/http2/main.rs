//! HTTP/2, by section of RFC 9113.

mod abuse;
mod any_bytes;
mod batch;
mod pair;
mod section3_starting;
mod section4_frames;
mod section5_flow_control;
mod section5_streams;
mod section6_frames;
mod section6_goaway;
mod section6_settings;
mod section8_messages;
mod sending;
mod support;
mod time;
