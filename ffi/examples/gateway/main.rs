//! Takes gRPC-Web (binary and text, over HTTP/1.1 and HTTP/2, with CORS) and plain gRPC, and balances each call over the
//! backends.

#[path = "../args/mod.rs"]
mod args;
mod proxy;

use args::{Flag, Usage};
use grpclb::ConnectError;
use proxy::{BindError, Gateway};
use std::path::Path;
use std::time::Duration;

const USAGE: Usage = Usage {
    program: "gateway",
    about: "Takes gRPC-Web (binary and text, with CORS) and plain gRPC on one port, and balances each call over the\n\
            backends. Responses tell in grpclb-peer which one served. The first line on standard output is\n\
            \"listening on ADDR\".",
    operands: &[],
    flags: &[
        Flag::required("listen", "ADDR", "ip:port, [ip]:port, host:port or :port; port 0 takes a free one"),
        Flag::required("target", "TARGET", "the backends: dns:///host:port, ipv4:a:p,b:p, file:///path, ..."),
        Flag::optional(
            "service-config",
            "JSON",
            "how to balance, as {\"loadBalancingPolicy\":\"round_robin\"}; without it: pick_first",
        ),
        Flag::optional("static", "DIR", "serve the files of this folder, too"),
        Flag::optional("wait-ready", "N", "listen once N backends are READY; exit with 1 after 10 s without"),
    ],
};

/// What `--wait-ready` waits at most.
const PATIENCE: Duration = Duration::from_secs(10);

fn main() {
    let args = USAGE.parse();
    let mut backends = grpclb::Channel::builder(args.text("target"));
    if let Some(config) = args.optional("service-config") {
        backends = backends.service_config(config);
    }
    let wanted = args.optional_number::<usize>("wait-ready").unwrap_or(0);
    let mut gateway = Gateway::bind(args.text("listen"), backends).unwrap_or_else(|error| {
        let flag = match &error {
            BindError::Listen(_) => "listen",
            BindError::Backends(ConnectError::ServiceConfig(_)) => "service-config",
            BindError::Backends(_) => "target",
        };
        args.fail(&format!("--{flag} {}: {error}", args.text(flag)))
    });
    if let Some(folder) = args.optional("static") {
        gateway = gateway
            .files(Path::new(folder))
            .unwrap_or_else(|error| args.fail(&format!("--static {folder}: {error}")));
    }
    let ready = gateway.wait_for_ready_endpoints(wanted, PATIENCE);
    if !ready.unwrap_or(false) {
        eprintln!("gateway: not {wanted} backends were READY within {} s", PATIENCE.as_secs());
        std::process::exit(1);
    }
    println!("listening on {}", gateway.local_addr());
    if let Err(error) = gateway.serve() {
        eprintln!("gateway: {error}");
        std::process::exit(1);
    }
}
