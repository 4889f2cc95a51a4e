//! `make demo`: gRPC calls spread over backends, live in the terminal, and what happens when these come, age and die.
//!
//! It needs nothing but itself: the backends are real servers of this library on loopback ports. Where the browser's
//! package is built, a page makes calls of its own. With `TARGET=…` it balances over the user's own servers instead.

#[path = "../args/mod.rs"]
mod args;
#[path = "../proto/mod.rs"]
mod proto;
#[path = "../gateway/proxy/mod.rs"]
mod proxy;

mod acts;
mod added;
mod backend;
mod list;
mod load;
mod own;
mod page;
mod paint;
mod report;
mod screen;
mod stage;
mod story;
mod tally;

use args::{Args, Flag, Usage};
use own::Own;
use page::{NoPage, Page};
use paint::{Line, Tone, line, wrap};
use screen::Screen;
use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use std::time::Duration;
use story::{LIVE, QUICK, Story};

const USAGE: Usage = Usage {
    program: "demo",
    about: "Shows how gRPC calls are spread over backends: policies, a backend added, retired, killed.\n\
            Each flag may be given as an environment variable as well (ONCE=1, PORT, TARGET, CONFIG, METHOD).",
    operands: &[],
    flags: &[
        Flag::switch("once", "tell it quickly, check the outcome, exit with 0 or 1"),
        Flag::optional("port", "N", "serve the page at this loopback port; without it: 8080"),
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
        Ok(What::Own(own)) => own::run(&mut screen, &own),
        Ok(What::Quick) => tell(screen, None),
        Ok(What::Live { port }) => tell(screen, Some(port)),
        Err(message) => USAGE.fail(&message),
    }
}

/// What is asked for.
#[derive(Debug, PartialEq, Eq)]
enum What {
    /// The story to read along, and the page at this port.
    Live { port: u16 },
    /// The story, quick and checked. No page.
    Quick,
    /// The user's own servers.
    Own(Own),
}

/// Flags first, then the environment; an empty variable is none.
fn options(args: &Args, environment: impl Fn(&str) -> Option<String>) -> Result<What, String> {
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
        if once {
            return Ok(What::Quick);
        }
        let port = get("port", "PORT").unwrap_or_else(|| page::PORT.to_string());
        let number = port.parse().map_err(|_| format!("PORT={port}: expected a number from 0 to 65535"));
        return number.map(|port| What::Live { port });
    };
    let method = method.unwrap_or_else(|| proto::health::CHECK.into());
    let method = if method.starts_with('/') { method } else { format!("/{method}") };
    if method.matches('/').count() != 2 || method.ends_with('/') || method.starts_with("//") {
        return Err(format!("METHOD={method}: expected package.Service/Method"));
    }
    let config = config.unwrap_or_else(|| ROUND_ROBIN.into());
    Ok(What::Own(Own { target, config, method, once }))
}

/// The story; `port`: live, with the page at that port.
fn tell<W: Write>(mut screen: Screen<W>, port: Option<u16>) -> ExitCode {
    let once = port.is_none();
    prologue(&mut screen);
    let page = port.and_then(|port| serve(&mut screen, port));
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
    if let Some(page) = page {
        stay(&mut screen, &page);
    }
    if once && report.failed() > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// The page, and a line that says where it is or why there is none.
fn serve<W: Write>(screen: &mut Screen<W>, port: u16) -> Option<Page> {
    let said = |tone: Tone, words: &str| vec![Line::new(), line(Tone::Plain, "   ").add(tone, words)];
    let (words, page) = match Page::serve(port) {
        Ok(page) => {
            let url =
                line(Tone::Plain, "   In your browser, with buttons: ").add(Tone::Strong, page.url.as_str());
            (vec![Line::new(), url], Some(page))
        }
        Err(NoPage::NotBuilt) => {
            let words =
                line(Tone::Faint, "   In your browser, with buttons: make wasm, then make demo again");
            (vec![Line::new(), words], None)
        }
        Err(NoPage::Failed(why)) => {
            (said(Tone::Bad, &format!("No page for your browser: {why}. PORT=N takes another port.")), None)
        }
    };
    screen.print(&words);
    page
}

/// A page that is gone for longer is closed.
const AWAY: Duration = Duration::from_secs(2);

/// Goes on serving the page: on a terminal until Enter, else while a browser has it open.
fn stay<W: Write>(screen: &mut Screen<W>, page: &Page) {
    let on_terminal = std::io::stdin().is_terminal();
    if !on_terminal && is_left(page) {
        return;
    }
    let until = if on_terminal { "Enter ends it" } else { "it ends when the page is closed" };
    let words = line(Tone::Plain, "The page stays: ").add(Tone::Strong, page.url.as_str());
    screen.print(&[Line::new(), words.add(Tone::Faint, format!("   ({until})"))]);
    if on_terminal {
        // An end of input, or an error of it, is as good as Enter.
        let _ = std::io::stdin().read_line(&mut String::new());
        return;
    }
    while !is_left(page) {
        std::thread::sleep(AWAY / 10);
    }
}

/// Whether no browser has the page open. One that loads it again is away for a moment.
fn is_left(page: &Page) -> bool {
    (0..10).all(|_| {
        let watched = page.is_watched();
        if !watched {
            std::thread::sleep(AWAY / 10);
        }
        !watched
    })
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

    fn parse(arguments: &[&str], environment: &[(&str, &str)]) -> Result<What, String> {
        let args = USAGE.try_parse(arguments.iter().map(ToString::to_string)).unwrap();
        let find =
            |name: &str| environment.iter().find(|(n, _)| *n == name).map(|(_, value)| value.to_string());
        options(&args, find)
    }

    fn own(arguments: &[&str], environment: &[(&str, &str)]) -> Own {
        match parse(arguments, environment) {
            Ok(What::Own(own)) => own,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn flags_come_before_the_environment() {
        assert_eq!(parse(&[], &[("ONCE", ""), ("TARGET", "")]), Ok(What::Live { port: 8080 }));
        assert_eq!(parse(&[], &[("ONCE", "1")]), Ok(What::Quick));
        assert_eq!(parse(&["--once=false"], &[("ONCE", "1"), ("PORT", "9")]), Ok(What::Live { port: 9 }));
        assert_eq!(parse(&["--port", "1"], &[("PORT", "9")]), Ok(What::Live { port: 1 }));
        let own = own(&["--target", "dns:///a:1", "--once"], &[("TARGET", "b")]);
        assert!(own.once);
        assert_eq!(
            (own.target.as_str(), own.method.as_str()),
            ("dns:///a:1", "/grpc.health.v1.Health/Check")
        );
        assert_eq!(own.config, ROUND_ROBIN);
    }

    #[test]
    fn a_method_has_two_parts() {
        let target = ["--target", "ipv4:1.2.3.4:5"];
        assert_eq!(own(&target, &[("METHOD", "a.B/C")]).method, "/a.B/C");
        assert_eq!(own(&target, &[("METHOD", "/a.B/C")]).method, "/a.B/C");
        for wrong in ["a", "a/b/c", "//b", "a/", "/"] {
            assert!(
                parse(&target, &[("METHOD", wrong)]).unwrap_err().contains("expected package.Service/Method"),
                "{wrong}"
            );
        }
    }

    #[test]
    fn settings_without_their_target_are_refused() {
        assert!(parse(&["--config", "{}"], &[]).unwrap_err().contains("TARGET is missing"));
        assert!(parse(&[], &[("ONCE", "maybe")]).unwrap_err().contains("expected 1 or 0"));
        assert!(parse(&[], &[("PORT", "70000")]).unwrap_err().contains("expected a number"));
    }
}
