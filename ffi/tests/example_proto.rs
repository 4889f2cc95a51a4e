//! The hand-written messages of the example programs against bytes of their .proto files.

#[path = "../examples/proto/mod.rs"]
mod proto;

use prost::Message;
use proto::{health, helloworld, testing};

#[test]
fn wire_format() {
    let hello = helloworld::HelloRequest { name: "you".into() };
    assert_eq!(hello.encode_to_vec(), b"\x0a\x03you");
    let check = health::HealthCheckResponse { status: health::ServingStatus::Serving as i32 };
    assert_eq!(check.encode_to_vec(), b"\x08\x01");
    let request = testing::SimpleRequest {
        response_size: 5,
        payload: Some(testing::Payload::zeros(2)),
        response_status: Some(testing::EchoStatus { code: 2, message: "m".into() }),
        fill_server_id: true,
        ..Default::default()
    };
    assert_eq!(request.encode_to_vec(), b"\x10\x05\x1a\x04\x12\x02\0\0\x3a\x05\x08\x02\x12\x01m\x48\x01");
    let out = testing::StreamingOutputCallRequest {
        response_parameters: vec![testing::ResponseParameters { size: 9, interval_us: 7, compressed: None }],
        ..Default::default()
    };
    assert_eq!(out.encode_to_vec(), b"\x12\x04\x08\x09\x10\x07");
    let sum = testing::StreamingInputCallResponse { aggregated_payload_size: 74922 };
    assert_eq!(sum.encode_to_vec(), b"\x08\xaa\xc9\x04");
    // A payload type that does not exist survives decoding: the server must refuse it.
    let odd = testing::SimpleRequest::decode(&b"\x08\x07"[..]).expect("decodes");
    assert_eq!(odd.response_type, 7);
}
