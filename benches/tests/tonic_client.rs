//! A `tonic` client against our server: unary and streaming calls, errors, metadata, deadline, age and graceful stop.
//!
//! Here and not in `ffi/`, so that building that crate does not need tonic.

#[path = "../../ffi/examples/proto/mod.rs"]
mod proto;

use grpclb::core::grpc::Code;
use grpclb::{Server, ServerBuilder, ServerHandle};
use prost::Message;
use proto::helloworld::{HelloReply, HelloRequest, SAY_HELLO};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio_stream::StreamExt;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Response, Status};
use tonic_prost::ProstCodec;

const CHAT: &str = "/helloworld.Greeter/Chat";
const SLEEP: &str = "/helloworld.Greeter/Sleep";
const COUNT: &str = "/helloworld.Greeter/Count";
const FAIL: &str = "/helloworld.Greeter/Fail";

/// Ends its server with the test.
struct Running(ServerHandle);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.stop();
        self.0.join();
    }
}

fn hello(request: &[u8]) -> Result<Vec<u8>, (Code, String)> {
    let request = HelloRequest::decode(request).map_err(|error| (Code::INTERNAL, error.to_string()))?;
    Ok(HelloReply { message: format!("Hello {}", request.name) }.encode_to_vec())
}

fn serve() -> Running {
    Running(builder().bind("127.0.0.1:0").expect("binds").spawn())
}

fn builder() -> ServerBuilder {
    let over = |code: Code| (code, "over".to_owned());
    Server::builder()
        .unary(SAY_HELLO, |request, response| {
            if let Some(value) = request.metadata("x-echo") {
                response.header("x-echo", &value);
                response.trailer("x-echo-bin", &value);
            }
            *response.message = hello(request.message)?;
            Ok(())
        })
        .unary_blocking(SLEEP, move |request, _| request.sleep(Duration::from_secs(60)).map_err(over))
        .unary(FAIL, |_, _| Err((Code::DATA_LOSS, "percent % and ☺".to_owned())))
        .streaming(CHAT, move |stream| {
            let mut message = Vec::new();
            while stream.recv(&mut message).map_err(over)? {
                stream.send(&hello(&message)?).map_err(over)?;
            }
            Ok(())
        })
}

type Client = tonic::client::Grpc<Channel>;

async fn connect(server: &Running) -> Client {
    let address = server.0.local_addr().expect("an address");
    let endpoint = Endpoint::from_shared(format!("http://{address}")).expect("a URI");
    tonic::client::Grpc::new(endpoint.connect().await.expect("connects"))
}

async fn call(
    client: &mut Client,
    path: &'static str,
    request: Request<HelloRequest>,
) -> Result<Response<HelloReply>, Status> {
    client.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
    let codec = ProstCodec::<HelloRequest, HelloReply>::default();
    client.unary(request, PathAndQuery::from_static(path), codec).await
}

fn request(name: &str) -> Request<HelloRequest> {
    Request::new(HelloRequest { name: name.to_owned() })
}

fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async { tokio::time::timeout(Duration::from_secs(60), test).await.expect("in time") });
}

#[test]
fn unary_calls_metadata_and_errors() {
    run(async {
        let server = serve();
        let mut client = connect(&server).await;
        for name in ["tonic", "", &"x".repeat(200_000)] {
            let reply = call(&mut client, SAY_HELLO, request(name)).await.expect("OK");
            assert_eq!(reply.get_ref().message, format!("Hello {name}"));
        }
        let mut with_metadata = request("m");
        with_metadata.metadata_mut().insert("x-echo", "value".parse().expect("ASCII"));
        let reply = call(&mut client, SAY_HELLO, with_metadata).await.expect("OK");
        assert_eq!(reply.metadata().get("x-echo").expect("echoed"), "value");
        let bin = reply.metadata().get_bin("x-echo-bin").expect("in the trailers");
        assert_eq!(&bin.to_bytes().expect("base64")[..], b"value");

        let error = call(&mut client, FAIL, request("")).await.expect_err("fails");
        assert_eq!((error.code(), error.message()), (tonic::Code::DataLoss, "percent % and ☺"));
        let error = call(&mut client, "/helloworld.Greeter/None", request("")).await.expect_err("fails");
        assert_eq!(error.code(), tonic::Code::Unimplemented);
        let mut hurried = request("");
        hurried.set_timeout(Duration::from_millis(50));
        let error = call(&mut client, SLEEP, hurried).await.expect_err("fails");
        assert!(
            matches!(error.code(), tonic::Code::DeadlineExceeded | tonic::Code::Cancelled),
            "tonic says CANCELLED when its own timer ends the call: {error}"
        );
        assert_eq!(server.0.connections_accepted(), 1);
    });
}

#[test]
fn a_thousand_calls_at_once() {
    run(async {
        let server = serve();
        let client = connect(&server).await;
        let calls = (0..1000).map(|i| {
            let mut client = client.clone();
            tokio::spawn(async move { call(&mut client, SAY_HELLO, request(&i.to_string())).await })
        });
        for (i, reply) in calls.collect::<Vec<_>>().into_iter().enumerate() {
            let reply = reply.await.expect("no panic").expect("OK");
            assert_eq!(reply.get_ref().message, format!("Hello {i}"));
        }
    });
}

#[test]
fn a_stream_both_ways() {
    run(async {
        let server = serve();
        let mut client = connect(&server).await;
        client.ready().await.expect("ready");
        let names = tokio_stream::iter((0..500).map(|i| HelloRequest { name: i.to_string() }));
        let codec = ProstCodec::<HelloRequest, HelloReply>::default();
        let path = PathAndQuery::from_static(CHAT);
        let mut replies =
            client.streaming(Request::new(names), path, codec).await.expect("begins").into_inner();
        let mut count = 0;
        while let Some(reply) = replies.next().await {
            assert_eq!(reply.expect("a reply").message, format!("Hello {count}"));
            count += 1;
        }
        assert_eq!(count, 500);
    });
}

/// Connections that retire every 100 ms: the client moves on, and the server fails no call.
///
/// tonic gives up a call that it was about to send when it read the GOAWAY, though RFC 9113 §6.8 lets it be sent
/// again: hyper says "operation was canceled", or h2 refuses the stream by itself. Such a call has not left the
/// client, which the server's own count proves; this test sends it again, as gRFC A6 would have the client do.
#[test]
fn the_server_fails_no_call_when_connections_age() {
    run(async {
        let handled = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&handled);
        let builder = builder().max_connection_age(Duration::from_millis(100), None).unary(
            COUNT,
            move |request, response| {
                count.fetch_add(1, Ordering::SeqCst);
                *response.message = hello(request.message)?;
                Ok(())
            },
        );
        let server = Running(builder.bind("127.0.0.1:0").expect("binds").spawn());
        let mut client = connect(&server).await;
        let mut never_left = 0;
        for call_number in 0..300 {
            while let Err(error) = call(&mut client, COUNT, request("x")).await {
                let chain = format!("{error:?}");
                assert!(
                    chain.contains("Canceled") || chain.contains("GoAway") && chain.contains("NO_ERROR"),
                    "call {call_number}: {chain}"
                );
                never_left += 1;
            }
            tokio::time::sleep(Duration::from_millis(3)).await;
        }
        let connections = server.0.connections_accepted();
        assert!(connections >= 5, "{connections} connections in a second");
        assert!(never_left < connections, "at most one a connection: {never_left} of {connections}");
        assert_eq!(handled.load(Ordering::SeqCst), 300, "no call was handled twice");
    });
}

#[test]
fn graceful_stop_lets_calls_end() {
    run(async {
        let server = serve();
        let mut client = connect(&server).await;
        client.ready().await.expect("ready");
        let (sender, receiver) = tokio::sync::mpsc::channel(4);
        let names = tokio_stream::wrappers::ReceiverStream::new(receiver);
        let codec = ProstCodec::<HelloRequest, HelloReply>::default();
        let path = PathAndQuery::from_static(CHAT);
        sender.send(HelloRequest { name: "a".into() }).await.expect("sends");
        let mut replies =
            client.streaming(Request::new(names), path, codec).await.expect("begins").into_inner();
        assert_eq!(replies.next().await.expect("one").expect("OK").message, "Hello a");
        server.0.graceful_stop(Duration::from_secs(30));
        tokio::time::sleep(Duration::from_millis(50)).await;
        sender.send(HelloRequest { name: "b".into() }).await.expect("sends");
        drop(sender);
        assert_eq!(replies.next().await.expect("two").expect("OK").message, "Hello b");
        assert!(replies.next().await.is_none(), "ends with OK");
        let handle = server.0.clone();
        tokio::task::spawn_blocking(move || handle.join()).await.expect("joins");
    });
}
