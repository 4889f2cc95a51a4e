//! Answers `helloworld.Greeter/SayHello` with `Hello NAME from S`.

mod args;
mod proto;

use args::{Flag, Usage};
use grpclb::core::grpc::Code;
use grpclb::{Handler, Request, Response, Server};
use prost::Message;
use proto::helloworld::{HelloReply, HelloRequest, SAY_HELLO};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

const USAGE: Usage = Usage {
    program: "greeter_server",
    about: "Answers helloworld.Greeter/SayHello with \"Hello NAME from S\", and grpc.health.v1.Health.\n\
            The first line on standard output is \"listening on ADDR\".",
    operands: &[],
    flags: &[
        Flag::required("listen", "ADDR", "ip:port, [ip]:port, :port or unix:path; port 0 takes a free one"),
        Flag::optional("name", "S", "what it calls itself [default: the address it listens at]"),
        Flag::optional("max-connection-age-ms", "N", "retire connections by GOAWAY at that age, ±10 %"),
        Flag::optional("max-connection-age-grace-ms", "N", "and close them so much later, whatever runs"),
        Flag::optional("delay-ms", "N", "wait before each answer"),
    ],
};

fn main() {
    let args = USAGE.parse();
    let milliseconds = |name: &str| args.optional_number::<u64>(name).map(Duration::from_millis);
    let delay = milliseconds("delay-ms").unwrap_or_default();
    let (age, grace) = (milliseconds("max-connection-age-ms"), milliseconds("max-connection-age-grace-ms"));
    if age.is_none() && grace.is_some() {
        args.fail("--max-connection-age-grace-ms needs --max-connection-age-ms");
    }

    // Known only once it listens, when the port is 0.
    let name = Arc::new(OnceLock::<String>::new());
    let hello = {
        let name = Arc::clone(&name);
        move |request: &Request<'_>, response: &mut Response<'_>| -> Handler<()> {
            let from = name.get().map_or("", String::as_str);
            say_hello(request, response, from)
        }
    };
    let mut builder = Server::builder().health();
    builder = if delay.is_zero() {
        builder.unary(SAY_HELLO, hello)
    } else {
        builder.unary_blocking(SAY_HELLO, move |request, response| {
            request.sleep(delay).map_err(|code| (code, "the call is over".to_owned()))?;
            hello(request, response)
        })
    };
    if let Some(age) = age {
        builder = builder.max_connection_age(age, grace);
    }

    let listen = args.text("listen");
    let server =
        builder.bind(listen).unwrap_or_else(|error| args.fail(&format!("--listen {listen}: {error}")));
    let address = server.local_addr().map_or_else(|| listen.to_owned(), |address| address.to_string());
    name.get_or_init(|| args.optional("name").map_or_else(|| address.clone(), str::to_owned));
    println!("listening on {address}");
    if let Err(error) = server.serve() {
        eprintln!("greeter_server: {error}");
        std::process::exit(1);
    }
}

fn say_hello(request: &Request<'_>, response: &mut Response<'_>, from: &str) -> Handler<()> {
    let hello = HelloRequest::decode(request.message)
        .map_err(|error| (Code::INTERNAL, format!("HelloRequest does not decode: {error}")))?;
    let reply = HelloReply { message: format!("Hello {} from {from}", hello.name) };
    reply.encode(response.message).map_err(|error| (Code::INTERNAL, error.to_string()))
}
