//! The cases: what is sent, and what must hold (interop-test-descriptions.md of the gRPC project).
//!
//! `pick_first_unary` is not in that text; it is as grpc-go has it.

use crate::proto::testing::path::*;
use crate::proto::testing::*;
use grpclb::core::grpc::Code;
use grpclb::{Call, Channel, Reply, Status, Stream};
use prost::Message;
use std::time::Duration;

/// What went wrong, in words.
type Outcome = Result<(), String>;

/// A case and its name in the suite.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) run: fn(&Channel) -> Outcome,
}

/// Every case that needs no compression, ORCA, TLS or credentials.
pub(crate) const CASES: &[Case] = &[
    Case { name: "empty_unary", run: empty_unary },
    Case { name: "large_unary", run: large_unary },
    Case { name: "client_streaming", run: client_streaming },
    Case { name: "server_streaming", run: server_streaming },
    Case { name: "ping_pong", run: ping_pong },
    Case { name: "empty_stream", run: empty_stream },
    Case { name: "custom_metadata", run: custom_metadata },
    Case { name: "status_code_and_message", run: status_code_and_message },
    Case { name: "special_status_message", run: special_status_message },
    Case { name: "unimplemented_method", run: unimplemented_method },
    Case { name: "unimplemented_service", run: unimplemented_service },
    Case { name: "cancel_after_begin", run: cancel_after_begin },
    Case { name: "cancel_after_first_response", run: cancel_after_first_response },
    Case { name: "timeout_on_sleeping_server", run: timeout_on_sleeping_server },
    Case { name: "pick_first_unary", run: pick_first_unary },
];

/// A case that hangs is a case that failed.
const LIMIT: Duration = Duration::from_secs(30);

/// Both cross the 64 KiB window of HTTP/2, one in each direction.
const LARGE_RESPONSE: i32 = 314_159;
const LARGE_REQUEST: usize = 271_828;

/// `ping_pong`: sizes of the responses and requests, in order.
const ROUNDS: [(i32, usize); 4] = [(31_415, 27_182), (9, 8), (2_653, 1_828), (58_979, 45_904)];

fn empty_unary(channel: &Channel) -> Outcome {
    let mut response = Vec::new();
    unary(channel, EMPTY_CALL, &Empty {}, &mut response)?;
    holds(response.is_empty(), || {
        format!("the response to EmptyCall is {} octets, not Empty", response.len())
    })
}

fn large_unary(channel: &Channel) -> Outcome {
    let (_, response) = unary_call(channel, &[], &sized(LARGE_RESPONSE, LARGE_REQUEST))?;
    zeros(response.payload.as_ref(), LARGE_RESPONSE)
}

fn client_streaming(channel: &Channel) -> Outcome {
    let mut stream = open(channel, STREAMING_INPUT_CALL, &[])?;
    for size in [27_182, 8, 1_828, 45_904] {
        send(
            &mut stream,
            &StreamingInputCallRequest { payload: Some(Payload::zeros(size)), expect_compressed: None },
        )?;
    }
    half_close(&mut stream)?;
    let response: StreamingInputCallResponse = must_receive(&mut stream)?;
    let size = response.aggregated_payload_size;
    holds(size == 74_922, || format!("aggregated_payload_size is {size}, not 74922"))?;
    end_ok(&mut stream)
}

fn server_streaming(channel: &Channel) -> Outcome {
    let sizes = [31_415, 9, 2_653, 58_979];
    let mut stream = open(channel, STREAMING_OUTPUT_CALL, &[])?;
    send(
        &mut stream,
        &StreamingOutputCallRequest { response_parameters: sizes.map(size).to_vec(), ..<_>::default() },
    )?;
    half_close(&mut stream)?;
    for size in sizes {
        let response: StreamingOutputCallResponse = must_receive(&mut stream)?;
        zeros(response.payload.as_ref(), size)?;
    }
    end_ok(&mut stream)
}

fn ping_pong(channel: &Channel) -> Outcome {
    let mut stream = open(channel, FULL_DUPLEX_CALL, &[])?;
    for (response_size, request_size) in ROUNDS {
        send(&mut stream, &duplex(response_size, request_size))?;
        let response: StreamingOutputCallResponse = must_receive(&mut stream)?;
        zeros(response.payload.as_ref(), response_size)?;
    }
    half_close(&mut stream)?;
    end_ok(&mut stream)
}

fn empty_stream(channel: &Channel) -> Outcome {
    let mut stream = open(channel, FULL_DUPLEX_CALL, &[])?;
    half_close(&mut stream)?;
    end_ok(&mut stream)
}

fn custom_metadata(channel: &Channel) -> Outcome {
    let initial: &[u8] = b"test_initial_metadata_value";
    let trailing: &[u8] = &[0xab, 0xab, 0xab];
    let metadata = [(ECHO_INITIAL, initial), (ECHO_TRAILING, trailing)];
    let check = |call: &str, header: Option<Vec<u8>>, trailer: Option<Vec<u8>>| {
        let is = |name: &str, value: Option<Vec<u8>>, want: &[u8]| {
            let shown = value.as_ref().map(|value| value.escape_ascii().to_string());
            holds(value.as_deref() == Some(want), || format!("{call}: {name} is {shown:?}"))
        };
        is(ECHO_INITIAL, header, initial)?;
        is(ECHO_TRAILING, trailer, trailing)
    };

    let (reply, response) = unary_call(channel, &metadata, &sized(LARGE_RESPONSE, LARGE_REQUEST))?;
    zeros(response.payload.as_ref(), LARGE_RESPONSE)?;
    check("UnaryCall", reply.header(ECHO_INITIAL), reply.trailer(ECHO_TRAILING))?;

    let mut stream = open(channel, FULL_DUPLEX_CALL, &metadata)?;
    send(&mut stream, &duplex(LARGE_RESPONSE, LARGE_REQUEST))?;
    half_close(&mut stream)?;
    let header = stream
        .header(ECHO_INITIAL)
        .map_err(|status| format!("FullDuplexCall: no initial metadata: {status}"))?;
    let response: StreamingOutputCallResponse = must_receive(&mut stream)?;
    zeros(response.payload.as_ref(), LARGE_RESPONSE)?;
    end_ok(&mut stream)?;
    check("FullDuplexCall", header, stream.trailer(ECHO_TRAILING))
}

fn status_code_and_message(channel: &Channel) -> Outcome {
    let message = "test status message";
    echo_status(channel, message)?;
    let mut stream = open(channel, FULL_DUPLEX_CALL, &[])?;
    send(
        &mut stream,
        &StreamingOutputCallRequest { response_status: Some(echo(message)), ..<_>::default() },
    )?;
    half_close(&mut stream)?;
    let status = end(&mut stream)?;
    is_status("FullDuplexCall", &status, Code::UNKNOWN)?;
    is_message("FullDuplexCall", &status, message)
}

fn special_status_message(channel: &Channel) -> Outcome {
    echo_status(channel, "\t\ntest with whitespace\r\nand Unicode BMP \u{263a} and non-BMP \u{1f608}\t\n")
}

fn unimplemented_method(channel: &Channel) -> Outcome {
    unimplemented(channel, UNIMPLEMENTED_CALL)
}

fn unimplemented_service(channel: &Channel) -> Outcome {
    unimplemented(channel, UNIMPLEMENTED_SERVICE)
}

fn unimplemented(channel: &Channel, path: &str) -> Outcome {
    let status = channel.unary(&Call::new(path).timeout(LIMIT), &[], &mut Vec::new());
    is_status(path, &failure(path, status)?, Code::UNIMPLEMENTED)
}

fn cancel_after_begin(channel: &Channel) -> Outcome {
    let mut stream = open(channel, STREAMING_INPUT_CALL, &[])?;
    stream.cancel();
    is_status("StreamingInputCall", &end(&mut stream)?, Code::CANCELLED)
}

fn cancel_after_first_response(channel: &Channel) -> Outcome {
    let mut stream = open(channel, FULL_DUPLEX_CALL, &[])?;
    let (response_size, request_size) = ROUNDS[0];
    send(&mut stream, &duplex(response_size, request_size))?;
    let response: StreamingOutputCallResponse = must_receive(&mut stream)?;
    zeros(response.payload.as_ref(), response_size)?;
    stream.cancel();
    is_status("FullDuplexCall", &end(&mut stream)?, Code::CANCELLED)
}

/// The server answers nothing before it is asked to; the deadline may pass at any of the steps.
fn timeout_on_sleeping_server(channel: &Channel) -> Outcome {
    let call = Call::new(FULL_DUPLEX_CALL).timeout(Duration::from_millis(1));
    let request = StreamingOutputCallRequest { payload: Some(Payload::zeros(27_182)), ..<_>::default() };
    let ended = channel.stream(&call).and_then(|stream| {
        stream.send(&request.encode_to_vec())?;
        stream.recv(&mut Vec::new())
    });
    is_status("FullDuplexCall", &failure("FullDuplexCall", ended)?, Code::DEADLINE_EXCEEDED)
}

/// By the peer that the channel names and by the server's own id. grpc-go's interop server fills in no `server_id`
/// (v1.85.0, and its client fails against it): then the peer alone decides, and a note says so.
fn pick_first_unary(channel: &Channel) -> Outcome {
    let mut first = None;
    for n in 0..100 {
        let (reply, response) =
            unary_call(channel, &[], &SimpleRequest { fill_server_id: true, ..sized(1, 1) })?;
        let served = (response.server_id, reply.peer().to_owned());
        let first = first.get_or_insert_with(|| served.clone());
        holds(*first == served, || {
            format!("call {n} was served by {served:?}, the ones before by {first:?}")
        })?;
    }
    if let Some((_, peer)) = first.filter(|(id, _)| id.is_empty()) {
        eprintln!("note: the server fills in no server_id; {peer} served every call");
    }
    Ok(())
}

// What the cases are made of.

fn sized(response_size: i32, request_size: usize) -> SimpleRequest {
    SimpleRequest { response_size, payload: Some(Payload::zeros(request_size)), ..<_>::default() }
}

fn size(size: i32) -> ResponseParameters {
    ResponseParameters { size, ..<_>::default() }
}

fn duplex(response_size: i32, request_size: usize) -> StreamingOutputCallRequest {
    StreamingOutputCallRequest {
        response_parameters: vec![size(response_size)],
        payload: Some(Payload::zeros(request_size)),
        ..<_>::default()
    }
}

/// UNKNOWN, as the suite has it.
fn echo(message: &str) -> EchoStatus {
    EchoStatus { code: 2, message: message.into() }
}

fn echo_status(channel: &Channel, message: &str) -> Outcome {
    let request = SimpleRequest { response_status: Some(echo(message)), ..<_>::default() };
    let call = Call::new(UNARY_CALL).timeout(LIMIT);
    let status = failure("UnaryCall", channel.unary(&call, &request.encode_to_vec(), &mut Vec::new()))?;
    is_status("UnaryCall", &status, Code::UNKNOWN)?;
    is_message("UnaryCall", &status, message)
}

fn unary(
    channel: &Channel,
    path: &str,
    request: &impl Message,
    response: &mut Vec<u8>,
) -> Result<Reply, String> {
    let call = Call::new(path).timeout(LIMIT);
    channel.unary(&call, &request.encode_to_vec(), response).map_err(|status| format!("{path}: {status}"))
}

fn unary_call(
    channel: &Channel,
    metadata: &[(&str, &[u8])],
    request: &SimpleRequest,
) -> Result<(Reply, SimpleResponse), String> {
    let call = Call::new(UNARY_CALL).timeout(LIMIT).metadata(metadata);
    let mut response = Vec::new();
    let reply = channel.unary(&call, &request.encode_to_vec(), &mut response);
    let reply = reply.map_err(|status| format!("UnaryCall: {status}"))?;
    Ok((reply, decode(&response)?))
}

fn open(channel: &Channel, path: &str, metadata: &[(&str, &[u8])]) -> Result<Stream, String> {
    let call = Call::new(path).timeout(LIMIT).metadata(metadata);
    channel.stream(&call).map_err(|status| format!("{path} cannot be opened: {status}"))
}

fn send(stream: &mut Stream, request: &impl Message) -> Outcome {
    let request = request.encode_to_vec();
    stream
        .send(&request)
        .map_err(|status| format!("a message of {} octets cannot be sent: {status}", request.len()))
}

fn half_close(stream: &mut Stream) -> Outcome {
    stream.half_close().map_err(|status| format!("half-close: {status}"))
}

fn must_receive<M: Message + Default>(stream: &mut Stream) -> Result<M, String> {
    let mut message = Vec::new();
    match stream.recv(&mut message) {
        Ok(true) => decode(&message),
        Ok(false) => Err("the stream ended with OK where a message had to come".into()),
        Err(status) => Err(format!("the stream ended where a message had to come: {status}")),
    }
}

fn end_ok(stream: &mut Stream) -> Outcome {
    let mut message = Vec::new();
    match stream.recv(&mut message) {
        Ok(false) => Ok(()),
        Ok(true) => Err(format!("a message of {} octets too many", message.len())),
        Err(status) => Err(format!("the stream ended with {status}, not with OK")),
    }
}

/// The status of a stream that must fail without another message.
fn end(stream: &mut Stream) -> Result<Status, String> {
    let mut message = Vec::new();
    match stream.recv(&mut message) {
        Err(status) => Ok(status),
        Ok(false) => Err("the stream ended with OK, and had to fail".into()),
        Ok(true) => Err(format!("a message of {} octets came, and the stream had to fail", message.len())),
    }
}

fn failure<T>(what: &str, outcome: Result<T, Status>) -> Result<Status, String> {
    outcome.err().ok_or_else(|| format!("{what} succeeded, and had to fail"))
}

fn decode<M: Message + Default>(message: &[u8]) -> Result<M, String> {
    M::decode(message)
        .map_err(|error| format!("a response of {} octets does not parse: {error}", message.len()))
}

/// The suite allows a client to insist on zeros.
fn zeros(payload: Option<&Payload>, size: i32) -> Outcome {
    let Some(payload) = payload else { return Err("the response has no payload".into()) };
    let (kind, len) = (payload.r#type, payload.body.len());
    holds(kind == COMPRESSABLE, || format!("the payload's type is {kind}, not COMPRESSABLE"))?;
    holds(usize::try_from(size) == Ok(len), || format!("the payload has {len} octets, not {size}"))?;
    holds(payload.body.iter().all(|&octet| octet == 0), || "the payload is not all zeros".into())
}

fn is_status(what: &str, status: &Status, code: Code) -> Outcome {
    holds(status.code == code, || format!("{what} ended with {status}, not with {code}"))
}

fn is_message(what: &str, status: &Status, message: &str) -> Outcome {
    holds(status.message == message, || {
        format!("{what}: the status message is {:?}, not {message:?}", status.message)
    })
}

fn holds(condition: bool, message: impl FnOnce() -> String) -> Outcome {
    if condition { Ok(()) } else { Err(message()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payloads_are_judged_strictly() {
        let payload = |r#type, body: &[u8]| Payload { r#type, body: body.to_vec() };
        assert_eq!(zeros(Some(&payload(0, &[0, 0])), 2), Ok(()));
        assert!(zeros(None, 0).is_err());
        assert!(zeros(Some(&payload(1, &[0, 0])), 2).is_err());
        assert!(zeros(Some(&payload(0, &[0, 0])), 3).is_err());
        assert!(zeros(Some(&payload(0, &[0, 1])), 2).is_err());
        assert!(zeros(Some(&payload(0, &[])), -1).is_err());
    }

    #[test]
    fn statuses_are_judged_strictly() {
        let status = Status { code: Code::UNKNOWN, message: "a".into(), peer: None };
        assert_eq!(is_status("x", &status, Code::UNKNOWN), Ok(()));
        assert_eq!(is_status("x", &status, Code::OK).unwrap_err(), "x ended with UNKNOWN: a, not with OK");
        assert_eq!(is_message("x", &status, "a"), Ok(()));
        assert!(is_message("x", &status, "a ").is_err());
    }
}
