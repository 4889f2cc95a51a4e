//! `make demo`: gRPC calls spread over backends, live in the terminal, and what happens when these come, age and die.
//!
//! It needs nothing but itself: the backends are real servers of this library on loopback ports.
//! With `TARGET=…` it balances over the user's own servers instead.

#[path = "../args/mod.rs"]
mod args;
#[path = "../proto/mod.rs"]
mod proto;

mod acts;
mod added;
mod backend;
mod load;
mod own;
mod paint;
mod report;
mod screen;
mod stage;
mod story;
mod tally;

use args::{Args, Flag, Usage};
use own::Own;
use paint::{Line, Tone, line, wrap};
use screen::Screen;
use std::io::Write;
use std::process::ExitCode;
use story::{LIVE, QUICK, Story};

const USAGE: Usage = Usage {
    program: "demo",
    about: "Shows how gRPC calls are spread over backends: policies, a backend added, retired, killed.\n\
            Each flag may be given as an environment variable as well (ONCE=1, TARGET, CONFIG, METHOD).",
    operands: &[],
    flags: &[
        Flag::switch("once", "tell it quickly, check the outcome, exit with 0 or 1"),
        Flag::optional(
            "target",
            "TARGET",
            "balance over your own servers: dns:///host:port, ipv4:a:p,b:p, ...",
        ),
        Flag::optional("config", "JSON", "service config for them; without it: round_robin"),
        Flag::optional("method", "PATH", "method to call; without it: grpc.health.v1.Health/Check"),
    ],
};

const ROUND_ROBIN: &str = r#"{"loadBalancingConfig":[{"round_robin":{}}]}"#;

fn main() -> ExitCode {
    let args = USAGE.parse();
    let options = options(&args, |name| std::env::var(name).ok());
    let mut screen = Screen::stdout();
    match options {
        Ok((_, Some(own))) => own::run(&mut screen, &own),
        Ok((once, None)) => tell(screen, once),
        Err(message) => USAGE.fail(&message),
    }
}

/// Flags first, then the environment; an empty variable is none.
fn options(args: &Args, environment: impl Fn(&str) -> Option<String>) -> Result<(bool, Option<Own>), String> {
    let variable = |name: &str| environment(name).filter(|value| !value.is_empty());
    let get = |flag: &str, name: &str| args.optional(flag).map(str::to_owned).or_else(|| variable(name));
    let once = match get("once", "ONCE").as_deref() {
        None | Some("0" | "false" | "no") => false,
        Some("1" | "true" | "yes") => true,
        Some(other) => return Err(format!("ONCE={other}: expected 1 or 0")),
    };
    let (config, method) = (get("config", "CONFIG"), get("method", "METHOD"));
    let Some(target) = get("target", "TARGET") else {
        if config.is_some() || method.is_some() {
            return Err("CONFIG and METHOD are for your own servers: TARGET is missing".into());
        }
        return Ok((once, None));
    };
    let method = method.unwrap_or_else(|| proto::health::CHECK.into());
    let method = if method.starts_with('/') { method } else { format!("/{method}") };
    if method.matches('/').count() != 2 || method.ends_with('/') || method.starts_with("//") {
        return Err(format!("METHOD={method}: expected package.Service/Method"));
    }
    let config = config.unwrap_or_else(|| ROUND_ROBIN.into());
    Ok((once, Some(Own { target, config, method, once })))
}

fn tell<W: Write>(mut screen: Screen<W>, once: bool) -> ExitCode {
    prologue(&mut screen);
    let mut story = Story::new(screen, if once { QUICK } else { LIVE });
    if let Err(message) = acts::tell(&mut story) {
        eprintln!("demo: {message}");
        return ExitCode::FAILURE;
    }
    let Story { mut screen, report, .. } = story;
    let mut lines = vec![Line::new()];
    lines.extend(report.lines(screen.width, screen.unicode));
    lines.push(Line::new());
    if once {
        lines.extend(report.check_lines());
    } else {
        lines.push(
            line(Tone::Plain, "Over your own servers: ")
                .add(Tone::Strong, "make demo TARGET=dns:///host:port"),
        );
    }
    screen.print(&lines);
    if once && report.failed() > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn prologue<W: Write>(screen: &mut Screen<W>) {
    let mut lines = vec![line(Tone::Strong, "libgrpclb: gRPC calls spread over backends, call by call")];
    let words = "Three backends run in this process, real servers on loopback ports. They differ in what they can do: \
                 200, 400 and 800 calls a second. 14 callers call as fast as they are answered. A bar is a backend's \
                 share of the calls.";
    let words = wrap(words, screen.width.min(96) - 4);
    lines.extend(words.into_iter().map(|words| line(Tone::Plain, "   ").add(Tone::Faint, words)));
    screen.print(&lines);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(arguments: &[&str], environment: &[(&str, &str)]) -> Result<(bool, Option<Own>), String> {
        let args = USAGE.try_parse(arguments.iter().map(ToString::to_string)).unwrap();
        let find =
            |name: &str| environment.iter().find(|(n, _)| *n == name).map(|(_, value)| value.to_string());
        options(&args, find)
    }

    #[test]
    fn flags_come_before_the_environment() {
        assert_eq!(parse(&[], &[("ONCE", ""), ("TARGET", "")]), Ok((false, None)));
        assert_eq!(parse(&[], &[("ONCE", "1")]), Ok((true, None)));
        assert_eq!(parse(&["--once=false"], &[("ONCE", "1")]), Ok((false, None)));
        let (once, own) = parse(&["--target", "dns:///a:1", "--once"], &[("TARGET", "b")]).unwrap();
        let own = own.unwrap();
        assert!(once && own.once);
        assert_eq!(
            (own.target.as_str(), own.method.as_str()),
            ("dns:///a:1", "/grpc.health.v1.Health/Check")
        );
        assert_eq!(own.config, ROUND_ROBIN);
    }

    #[test]
    fn a_method_has_two_parts() {
        let method = |method| parse(&["--target", "ipv4:1.2.3.4:5"], &[("METHOD", method)]);
        assert_eq!(method("a.B/C").unwrap().1.unwrap().method, "/a.B/C");
        assert_eq!(method("/a.B/C").unwrap().1.unwrap().method, "/a.B/C");
        for wrong in ["a", "a/b/c", "//b", "a/", "/"] {
            assert!(method(wrong).unwrap_err().contains("expected package.Service/Method"), "{wrong}");
        }
    }

    #[test]
    fn settings_without_their_target_are_refused() {
        assert!(parse(&["--config", "{}"], &[]).unwrap_err().contains("TARGET is missing"));
        assert!(parse(&[], &[("ONCE", "maybe")]).unwrap_err().contains("expected 1 or 0"));
    }
}
