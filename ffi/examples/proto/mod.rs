//! The messages of the example programs: `helloworld`, `grpc.testing`, `grpc.health.v1`.
//!
//! Written by hand after the .proto files of the gRPC project (field numbers and types are the
//! wire format), so that building the examples needs no protoc.
#![allow(dead_code)] // each program uses a part of it

/// `helloworld.proto`.
pub(crate) mod helloworld {
    /// What `SayHello` takes.
    #[derive(Clone, PartialEq, prost::Message)]
    pub(crate) struct HelloRequest {
        #[prost(string, tag = "1")]
        pub(crate) name: String,
    }

    /// What `SayHello` answers.
    #[derive(Clone, PartialEq, prost::Message)]
    pub(crate) struct HelloReply {
        #[prost(string, tag = "1")]
        pub(crate) message: String,
    }

    /// The path of `SayHello`.
    pub(crate) const SAY_HELLO: &str = "/helloworld.Greeter/SayHello";
}

/// `grpc/health/v1/health.proto`.
pub(crate) mod health {
    /// Which service; empty: the server as a whole.
    #[derive(Clone, PartialEq, prost::Message)]
    pub(crate) struct HealthCheckRequest {
        #[prost(string, tag = "1")]
        pub(crate) service: String,
    }

    /// How it is.
    #[derive(Clone, PartialEq, prost::Message)]
    pub(crate) struct HealthCheckResponse {
        #[prost(enumeration = "ServingStatus", tag = "1")]
        pub(crate) status: i32,
    }

    /// `HealthCheckResponse.ServingStatus`.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Enumeration)]
    #[repr(i32)]
    pub(crate) enum ServingStatus {
        Unknown = 0,
        Serving = 1,
        NotServing = 2,
        ServiceUnknown = 3,
    }

    /// The path of `Check`.
    pub(crate) const CHECK: &str = "/grpc.health.v1.Health/Check";
    /// The path of `Watch`.
    pub(crate) const WATCH: &str = "/grpc.health.v1.Health/Watch";
}

/// `grpc/testing/{empty,messages,test}.proto`: the interop suite.
pub(crate) mod testing {
    /// Nothing.
    #[derive(Clone, Copy, PartialEq, prost::Message)]
    pub(crate) struct Empty {}

    /// A wrapper that tells false from absent.
    #[derive(Clone, Copy, PartialEq, prost::Message)]
    pub(crate) struct BoolValue {
        #[prost(bool, tag = "1")]
        pub(crate) value: bool,
    }

    /// The one kind of payload.
    pub(crate) const COMPRESSABLE: i32 = 0;

    /// Octets that stand for data.
    #[derive(Clone, PartialEq, prost::Message)]
    pub(crate) struct Payload {
        /// `PayloadType`; kept as a number, since the server must see the ones that do not exist.
        #[prost(int32, tag = "1")]
        pub(crate) r#type: i32,
        #[prost(bytes = "vec", tag = "2")]
        pub(crate) body: Vec<u8>,
    }

    impl Payload {
        /// `size` zero octets.
        pub(crate) fn zeros(size: usize) -> Payload {
            Payload { r#type: COMPRESSABLE, body: vec![0; size] }
        }
    }

    /// The status that the server shall answer with.
    #[derive(Clone, PartialEq, prost::Message)]
    pub(crate) struct EchoStatus {
        #[prost(int32, tag = "1")]
        pub(crate) code: i32,
        #[prost(string, tag = "2")]
        pub(crate) message: String,
    }

    /// What `UnaryCall` takes.
    #[derive(Clone, PartialEq, prost::Message)]
    pub(crate) struct SimpleRequest {
        #[prost(int32, tag = "1")]
        pub(crate) response_type: i32,
        #[prost(int32, tag = "2")]
        pub(crate) response_size: i32,
        #[prost(message, optional, tag = "3")]
        pub(crate) payload: Option<Payload>,
        #[prost(bool, tag = "4")]
        pub(crate) fill_username: bool,
        #[prost(bool, tag = "5")]
        pub(crate) fill_oauth_scope: bool,
        #[prost(message, optional, tag = "6")]
        pub(crate) response_compressed: Option<BoolValue>,
        #[prost(message, optional, tag = "7")]
        pub(crate) response_status: Option<EchoStatus>,
        #[prost(message, optional, tag = "8")]
        pub(crate) expect_compressed: Option<BoolValue>,
        #[prost(bool, tag = "9")]
        pub(crate) fill_server_id: bool,
    }

    /// What `UnaryCall` answers.
    #[derive(Clone, PartialEq, prost::Message)]
    pub(crate) struct SimpleResponse {
        #[prost(message, optional, tag = "1")]
        pub(crate) payload: Option<Payload>,
        #[prost(string, tag = "2")]
        pub(crate) username: String,
        #[prost(string, tag = "3")]
        pub(crate) oauth_scope: String,
        #[prost(string, tag = "4")]
        pub(crate) server_id: String,
        #[prost(string, tag = "6")]
        pub(crate) hostname: String,
    }

    /// What `StreamingInputCall` takes.
    #[derive(Clone, PartialEq, prost::Message)]
    pub(crate) struct StreamingInputCallRequest {
        #[prost(message, optional, tag = "1")]
        pub(crate) payload: Option<Payload>,
        #[prost(message, optional, tag = "2")]
        pub(crate) expect_compressed: Option<BoolValue>,
    }

    /// What `StreamingInputCall` answers.
    #[derive(Clone, Copy, PartialEq, prost::Message)]
    pub(crate) struct StreamingInputCallResponse {
        #[prost(int32, tag = "1")]
        pub(crate) aggregated_payload_size: i32,
    }

    /// One response to make.
    #[derive(Clone, Copy, PartialEq, prost::Message)]
    pub(crate) struct ResponseParameters {
        #[prost(int32, tag = "1")]
        pub(crate) size: i32,
        /// To wait before this response.
        #[prost(int32, tag = "2")]
        pub(crate) interval_us: i32,
        #[prost(message, optional, tag = "3")]
        pub(crate) compressed: Option<BoolValue>,
    }

    /// What `StreamingOutputCall` and `FullDuplexCall` take.
    #[derive(Clone, PartialEq, prost::Message)]
    pub(crate) struct StreamingOutputCallRequest {
        #[prost(int32, tag = "1")]
        pub(crate) response_type: i32,
        #[prost(message, repeated, tag = "2")]
        pub(crate) response_parameters: Vec<ResponseParameters>,
        #[prost(message, optional, tag = "3")]
        pub(crate) payload: Option<Payload>,
        #[prost(message, optional, tag = "7")]
        pub(crate) response_status: Option<EchoStatus>,
    }

    /// What they answer.
    #[derive(Clone, PartialEq, prost::Message)]
    pub(crate) struct StreamingOutputCallResponse {
        #[prost(message, optional, tag = "1")]
        pub(crate) payload: Option<Payload>,
    }

    /// The paths of `grpc.testing.TestService`.
    pub(crate) mod path {
        pub(crate) const EMPTY_CALL: &str = "/grpc.testing.TestService/EmptyCall";
        pub(crate) const UNARY_CALL: &str = "/grpc.testing.TestService/UnaryCall";
        pub(crate) const STREAMING_INPUT_CALL: &str = "/grpc.testing.TestService/StreamingInputCall";
        pub(crate) const STREAMING_OUTPUT_CALL: &str = "/grpc.testing.TestService/StreamingOutputCall";
        pub(crate) const FULL_DUPLEX_CALL: &str = "/grpc.testing.TestService/FullDuplexCall";
        pub(crate) const UNIMPLEMENTED_CALL: &str = "/grpc.testing.TestService/UnimplementedCall";
        pub(crate) const UNIMPLEMENTED_SERVICE: &str = "/grpc.testing.UnimplementedService/UnimplementedCall";
    }

    /// Echoed in the initial metadata.
    pub(crate) const ECHO_INITIAL: &str = "x-grpc-test-echo-initial";
    /// Echoed in the trailing metadata.
    pub(crate) const ECHO_TRAILING: &str = "x-grpc-test-echo-trailing-bin";
}
