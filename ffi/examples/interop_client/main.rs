//! The client of gRPC's interop suite (grpc/doc/interop-test-descriptions.md), with the flags of grpc-go's program.
//!
//! Exit codes: 0 when the case passed, 1 when it failed, 2 for bad arguments.

#[path = "../args/mod.rs"]
mod args;
#[path = "../proto/mod.rs"]
mod proto;

mod cases;

use args::{Args, Flag, Usage};
use cases::{CASES, Case};
use grpclb::Channel;
use std::process::ExitCode;
use std::time::{Duration, Instant};

const USAGE: Usage = Usage {
    program: "interop_client",
    about: "Runs a case of gRPC's interop suite against a grpc.testing.TestService; \"all\" runs them all.",
    operands: &[],
    flags: &[
        Flag::with_default("server_host", "H", "localhost", "name or address of the server"),
        Flag::with_default("server_port", "P", "10000", "its port"),
        Flag::with_default("test_case", "NAME", "large_unary", "a case, or all; \"list\" lists them"),
        Flag::optional("server_host_override", "NAME", "the :authority to send"),
        Flag::optional("service_config_json", "JSON", "service config of the channel"),
        Flag::switch("use_tls", "TLS is not supported yet: only --use_tls=false is accepted"),
    ],
};

fn main() -> ExitCode {
    let args = USAGE.parse();
    if args.on("use_tls") {
        args.fail("--use_tls=true: TLS is not supported yet");
    }
    match args.text("test_case") {
        "list" => {
            for case in CASES {
                println!("{}", case.name);
            }
            ExitCode::SUCCESS
        }
        "all" => all(&args),
        name => match CASES.iter().find(|case| case.name == name) {
            Some(case) => one(&args, case),
            None => args.fail(&format!("--test_case {name}: no such case (--test_case list lists them)")),
        },
    }
}

fn one(args: &Args, case: &Case) -> ExitCode {
    match (case.run)(&channel(args)) {
        Ok(()) => {
            println!("{}: passed", case.name);
            ExitCode::SUCCESS
        }
        Err(message) => {
            eprintln!("{}: FAILED: {message}", case.name);
            ExitCode::FAILURE
        }
    }
}

/// Each case on a channel of its own, as if the program were started anew.
fn all(args: &Args) -> ExitCode {
    let width = CASES.iter().map(|case| case.name.len()).max().unwrap_or(0);
    let mut failed = 0;
    for case in CASES {
        let start = Instant::now();
        let outcome = (case.run)(&channel(args));
        let took = ms(start.elapsed());
        match outcome {
            Ok(()) => println!("{:width$}  passed  {took:>9}", case.name),
            Err(message) => {
                failed += 1;
                println!("{:width$}  FAILED  {took:>9}  {message}", case.name);
            }
        }
    }
    println!("{} cases passed, {failed} failed", CASES.len() - failed);
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn ms(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1e3)
}

fn channel(args: &Args) -> Channel {
    let mut builder = Channel::builder(&target(args.text("server_host"), args.number("server_port")));
    if let Some(authority) = args.optional("server_host_override").filter(|authority| !authority.is_empty()) {
        builder = builder.authority(authority);
    }
    if let Some(json) = args.optional("service_config_json").filter(|json| !json.is_empty()) {
        builder = builder.service_config(json);
    }
    builder.build().unwrap_or_else(|error| args.fail(&error.to_string()))
}

/// An IPv6 address needs brackets before its port (RFC 3986 section 3.2.2).
fn target(host: &str, port: u16) -> String {
    if host.contains(':') && !host.starts_with('[') {
        format!("dns:///[{host}]:{port}")
    } else {
        format!("dns:///{host}:{port}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ipv6_hosts_get_brackets() {
        assert_eq!(target("localhost", 1), "dns:///localhost:1");
        assert_eq!(target("::1", 2), "dns:///[::1]:2");
        assert_eq!(target("[::1]", 3), "dns:///[::1]:3");
    }

    #[test]
    fn go_s_flags_are_accepted() {
        let line = "-server_host 127.0.0.1 -server_port=8080 --test_case empty_unary --use_tls=false";
        let args = USAGE.try_parse(line.split(' ').map(str::to_owned)).unwrap();
        assert_eq!((args.text("server_host"), args.number::<u16>("server_port")), ("127.0.0.1", 8080));
        assert_eq!((args.text("test_case"), args.on("use_tls")), ("empty_unary", false));
    }

    #[test]
    fn every_case_of_the_suite_has_its_name_once() {
        let mut names: Vec<&str> = CASES.iter().map(|case| case.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), CASES.len());
    }
}
