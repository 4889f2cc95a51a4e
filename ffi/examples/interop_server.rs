//! gRPC's interop server: `grpc.testing.TestService`, without the cases of compression, ORCA and credentials
//! (grpc/grpc doc/interop-test-descriptions.md, "Server").

mod args;
mod proto;

use args::{Flag, Usage};
use grpclb::core::grpc::Code;
use grpclb::{Handler, Request, Response, Server, ServerStream};
use prost::Message;
use proto::testing::{
    COMPRESSABLE, ECHO_INITIAL, ECHO_TRAILING, EchoStatus, Empty, Payload, ResponseParameters, SimpleRequest,
    SimpleResponse, StreamingInputCallRequest, StreamingInputCallResponse, StreamingOutputCallRequest,
    StreamingOutputCallResponse, path,
};
use std::time::Duration;

const USAGE: Usage = Usage {
    program: "interop_server",
    about: "gRPC's interop server: grpc.testing.TestService.\n\
            The first line on standard output is \"listening on ADDR\".",
    operands: &[],
    flags: &[
        Flag::required("port", "N", "port to listen at, on every interface; 0 takes a free one"),
        Flag::switch("use_tls", "must be false: this server speaks plaintext"),
        Flag::switch("use_alts", "must be false"),
    ],
};

/// The largest message that it makes, octets; grpc-go's clients take no larger one.
const MAX_SIZE: i32 = 64 * 1024 * 1024;

fn main() {
    let args = USAGE.parse();
    for flag in ["use_tls", "use_alts"] {
        if args.on(flag) {
            args.fail(&format!("--{flag} is not supported: this server speaks plaintext"));
        }
    }
    let port: u16 = args.number("port");
    // Told apart by its process and port: pick_first_unary compares them.
    let id = format!("interop-{}-{port}", std::process::id());
    let server = Server::builder()
        .unary(path::EMPTY_CALL, |request, response| {
            decode::<Empty>(request.message)?;
            echo(request, response);
            Ok(())
        })
        .unary(path::UNARY_CALL, move |request, response| unary_call(request, response, &id))
        .streaming(path::STREAMING_INPUT_CALL, streaming_input_call)
        .streaming(path::STREAMING_OUTPUT_CALL, streaming_output_call)
        .streaming(path::FULL_DUPLEX_CALL, full_duplex_call)
        .bind(&format!(":{port}"))
        .unwrap_or_else(|error| args.fail(&format!("--port {port}: {error}")));
    if let Some(address) = server.local_addr() {
        println!("listening on {address}");
    }
    if let Err(error) = server.serve() {
        eprintln!("interop_server: {error}");
        std::process::exit(1);
    }
}

fn unary_call(request: &Request<'_>, response: &mut Response<'_>, id: &str) -> Handler<()> {
    echo(request, response);
    let call = decode::<SimpleRequest>(request.message)?;
    status(call.response_status)?;
    let reply = SimpleResponse {
        payload: Some(payload(call.response_type, call.response_size)?),
        server_id: if call.fill_server_id { id.to_owned() } else { String::new() },
        ..SimpleResponse::default()
    };
    reply.encode(response.message).map_err(|error| (Code::INTERNAL, error.to_string()))
}

fn streaming_input_call(stream: &mut ServerStream) -> Handler<()> {
    echo_stream(stream)?;
    let (mut message, mut sum) = (Vec::new(), 0_i32);
    while stream.recv(&mut message).map_err(over)? {
        let request = decode::<StreamingInputCallRequest>(&message)?;
        let size = request.payload.map_or(0, |payload| payload.body.len());
        sum = i32::try_from(size)
            .ok()
            .and_then(|size| sum.checked_add(size))
            .ok_or_else(|| (Code::INVALID_ARGUMENT, "the sum of sizes is above 2^31 - 1".to_owned()))?;
    }
    send(stream, &StreamingInputCallResponse { aggregated_payload_size: sum })
}

fn streaming_output_call(stream: &mut ServerStream) -> Handler<()> {
    echo_stream(stream)?;
    let mut message = Vec::new();
    stream.recv_only(&mut message)?;
    let request = decode::<StreamingOutputCallRequest>(&message)?;
    status(request.response_status)?;
    respond(stream, request.response_type, &request.response_parameters)
}

fn full_duplex_call(stream: &mut ServerStream) -> Handler<()> {
    echo_stream(stream)?;
    let mut message = Vec::new();
    while stream.recv(&mut message).map_err(over)? {
        let request = decode::<StreamingOutputCallRequest>(&message)?;
        status(request.response_status)?;
        respond(stream, request.response_type, &request.response_parameters)?;
    }
    Ok(())
}

/// Sends what was asked for, each after its interval.
fn respond(stream: &mut ServerStream, kind: i32, parameters: &[ResponseParameters]) -> Handler<()> {
    for parameter in parameters {
        let interval = u64::try_from(parameter.interval_us).unwrap_or(0);
        if interval > 0 {
            stream.sleep(Duration::from_micros(interval)).map_err(over)?;
        }
        let payload = payload(kind, parameter.size)?;
        send(stream, &StreamingOutputCallResponse { payload: Some(payload) })?;
    }
    Ok(())
}

/// A payload of the kind and size that the client asked for; INVALID_ARGUMENT when there is none such.
fn payload(kind: i32, size: i32) -> Handler<Payload> {
    if kind != COMPRESSABLE {
        return Err((Code::INVALID_ARGUMENT, format!("there is no payload type {kind}")));
    }
    match usize::try_from(size) {
        Ok(octets) if size <= MAX_SIZE => Ok(Payload::zeros(octets)),
        _ => Err((Code::INVALID_ARGUMENT, format!("a payload of {size} octets cannot be made"))),
    }
}

/// The status that the client asked for, when that is not OK. It goes before any payload.
fn status(wanted: Option<EchoStatus>) -> Handler<()> {
    match wanted {
        Some(EchoStatus { code, message }) if code != 0 => Err((Code(code.cast_unsigned()), message)),
        _ => Ok(()),
    }
}

/// Sends the metadata back that the client wants to see again.
fn echo(request: &Request<'_>, response: &mut Response<'_>) {
    if let Some(value) = request.metadata(ECHO_INITIAL) {
        response.header(ECHO_INITIAL, &value);
    }
    if let Some(value) = request.metadata(ECHO_TRAILING) {
        response.trailer(ECHO_TRAILING, &value);
    }
}

/// The same on a stream.
fn echo_stream(stream: &mut ServerStream) -> Handler<()> {
    if let Some(value) = stream.metadata(ECHO_INITIAL) {
        stream.send_headers(&[(ECHO_INITIAL, &value)]).map_err(over)?;
    }
    if let Some(value) = stream.metadata(ECHO_TRAILING) {
        stream.trailer(ECHO_TRAILING, &value);
    }
    Ok(())
}

fn decode<M: Message + Default>(bytes: &[u8]) -> Handler<M> {
    M::decode(bytes).map_err(|error| (Code::INTERNAL, format!("the request does not decode: {error}")))
}

fn send(stream: &mut ServerStream, message: &impl Message) -> Handler<()> {
    stream.send(&message.encode_to_vec()).map_err(over)
}

/// The call has ended already; nobody reads what the handler answers.
fn over(code: Code) -> (Code, String) {
    (code, "the call is over".to_owned())
}
