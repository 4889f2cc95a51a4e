//! tonic-web as a peer: `helloworld.Greeter` and `grpclb.test.Web` (ffi/tests/peers/web.proto) over gRPC-Web with CORS.
//!
//! Here and not in `ffi/`, so that building that crate does not need tonic. Ends when it is killed.

use std::collections::{HashMap, HashSet};
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use tokio::sync::Semaphore;
use tokio_stream::{Stream, StreamExt};
use tonic::body::Body;
use tonic::codegen::http;
use tonic::metadata::{MetadataMap, MetadataValue};
use tonic::server::{Grpc, NamedService};
use tonic::transport::server::TcpIncoming;
use tonic::{Code, Request, Response, Status};
use tonic_prost::ProstCodec;
use tonic_web::GrpcWebLayer;
use tower::{Service, service_fn};
use tower_http::cors::{Any, CorsLayer};

/// `grpclb.test.Text`; on the wire `helloworld.HelloRequest` and `HelloReply`, too.
#[derive(Clone, PartialEq, prost::Message)]
struct Text {
    #[prost(string, tag = "1")]
    text: String,
}

/// `google.protobuf.Any`.
#[derive(Clone, PartialEq, prost::Message)]
struct AnyMessage {
    #[prost(string, tag = "1")]
    type_url: String,
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
}

/// `google.rpc.Status`, what `grpc-status-details-bin` holds.
#[derive(Clone, PartialEq, prost::Message)]
struct Details {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
    #[prost(message, repeated, tag = "3")]
    details: Vec<AnyMessage>,
}

type Answer = Result<Response<Text>, Status>;
type Texts = Pin<Box<dyn Stream<Item = Result<Text, Status>> + Send>>;

/// What the calls of all clients share, by the text that names them.
#[derive(Default)]
struct Shared {
    goes: Mutex<HashMap<String, Arc<Semaphore>>>,
    cancelled: Mutex<HashSet<String>>,
}

impl Shared {
    fn go(&self, key: &str) -> Arc<Semaphore> {
        lock(&self.goes).entry(key.into()).or_insert_with(|| Arc::new(Semaphore::new(0))).clone()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Notes the cancellation of a call by being dropped with it.
struct UntilCancelled(Arc<Shared>, String);

impl Drop for UntilCancelled {
    fn drop(&mut self) {
        lock(&self.0.cancelled).insert(std::mem::take(&mut self.1));
    }
}

fn text(text: impl Into<String>) -> Text {
    Text { text: text.into() }
}

fn failure() -> Status {
    let message = "50 % of ☺ left";
    let why = AnyMessage {
        type_url: "type.googleapis.com/grpclb.test.Text".into(),
        value: prost::Message::encode_to_vec(&text("why")),
    };
    let details =
        Details { code: Code::FailedPrecondition as i32, message: message.into(), details: vec![why] };
    let mut trailers = MetadataMap::new();
    trailers.insert("x-why", MetadataValue::from_static("trailer"));
    let details = prost::Message::encode_to_vec(&details);
    Status::with_details_and_metadata(Code::FailedPrecondition, message, details.into(), trailers)
}

/// tonic's answers carry no trailers of their own to a good end, so the echo comes back as headers only.
fn say(request: Request<Text>) -> Answer {
    let echo = request.metadata().get("x-echo").cloned();
    let mut response = Response::new(request.into_inner());
    if let Some(echo) = echo {
        let bytes = MetadataValue::from_bytes(echo.as_bytes());
        response.metadata_mut().insert("x-echo", echo);
        response.metadata_mut().insert_bin("x-echo-bin", bytes);
    }
    Ok(response)
}

async fn unary(shared: Arc<Shared>, method: &'static str, request: Request<Text>) -> Answer {
    let key = request.get_ref().text.clone();
    match method {
        "Say" => say(request),
        "SayHello" => Ok(Response::new(text(format!("Hello {key} from tonic-web")))),
        "Fail" => Err(failure()),
        "Go" => {
            shared.go(&key).add_permits(1);
            Ok(Response::new(text("")))
        }
        "HangUnary" => {
            let _noted = UntilCancelled(shared, key);
            std::future::pending().await
        }
        _ => {
            let cancelled = lock(&shared.cancelled).contains(&key);
            Ok(Response::new(text(if cancelled { "yes" } else { "no" })))
        }
    }
}

async fn streaming(
    shared: Arc<Shared>,
    method: &'static str,
    request: Request<Text>,
) -> Result<Response<Texts>, Status> {
    let key = request.into_inner().text;
    let first = tokio_stream::once(Ok(text("1")));
    Ok(Response::new(match method {
        "Break" => Box::pin(first.chain(tokio_stream::once(Err(failure())))),
        "Hang" => {
            let noted = UntilCancelled(shared, key);
            let never = tokio_stream::pending().map(move |never| {
                let _held = &noted;
                never
            });
            Box::pin(first.chain(never))
        }
        _ => {
            let go = shared.go(&key);
            let rest = tokio_stream::iter(["2", "3"]).then(move |number| {
                let go = go.clone();
                async move {
                    go.acquire().await.map_err(|error| Status::internal(error.to_string()))?.forget();
                    Ok(text(number))
                }
            });
            Box::pin(first.chain(rest))
        }
    }))
}

/// Both services under the name of one; `Server::add_service` wants a name for each.
#[derive(Clone)]
struct Methods<const GREETER: bool>(Arc<Shared>);

impl NamedService for Methods<true> {
    const NAME: &'static str = "helloworld.Greeter";
}

impl NamedService for Methods<false> {
    const NAME: &'static str = "grpclb.test.Web";
}

impl<const GREETER: bool> Service<http::Request<Body>> for Methods<GREETER> {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let shared = self.0.clone();
        let known: &[&'static str] = if GREETER {
            &["SayHello"]
        } else {
            &["Say", "Fail", "Go", "HangUnary", "Cancelled", "Break", "Hang", "Count"]
        };
        let asked = request.uri().path().rsplit('/').next().unwrap_or_default();
        let method = known.iter().copied().find(|name| *name == asked);
        Box::pin(async move {
            let mut grpc = Grpc::new(ProstCodec::<Text, Text>::default());
            Ok(match method {
                None => Status::unimplemented("no such method").into_http(),
                Some(method @ ("Break" | "Hang" | "Count")) => {
                    let handler = service_fn(move |request| streaming(shared.clone(), method, request));
                    grpc.server_streaming(handler, request).await
                }
                Some(method) => {
                    let handler = service_fn(move |request| unary(shared.clone(), method, request));
                    grpc.unary(handler, request).await
                }
            })
        })
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let incoming = TcpIncoming::bind("127.0.0.1:0".parse()?)?.with_nodelay(Some(true));
        println!("listening on {}", incoming.local_addr()?);
        let cors =
            CorsLayer::new().allow_origin(Any).allow_methods(Any).allow_headers(Any).expose_headers(Any);
        let shared = Arc::new(Shared::default());
        tonic::transport::Server::builder()
            .accept_http1(true)
            .layer(cors)
            .layer(GrpcWebLayer::new())
            .add_service(Methods::<true>(shared.clone()))
            .add_service(Methods::<false>(shared))
            .serve_with_incoming(incoming)
            .await?;
        Ok(())
    })
}
