//! Command lines of the example programs: `--flag value`, `--flag=value` and Go's `-flag=value`.
//!
//! ```ignore
//! mod args;
//! use args::{Flag, Usage};
//! const USAGE: Usage = Usage {
//!     program: "greeter_server",
//!     about: "Answers helloworld.Greeter/SayHello.",
//!     operands: &[],
//!     flags: &[Flag::required("listen", "ADDR", "where to listen"), Flag::switch("json", "print JSON")],
//! };
//! let args = USAGE.parse(); // prints the help, or one line on standard error and exit code 2
//! let listen = args.text("listen");
//! ```
#![allow(dead_code)] // each program uses a part of it

use std::fmt::Write as _;
use std::str::FromStr;

/// What a program takes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Usage {
    pub(crate) program: &'static str,
    /// One or a few sentences for `--help`.
    pub(crate) about: &'static str,
    /// Names of the operands, all required, as `URL`.
    pub(crate) operands: &'static [&'static str],
    pub(crate) flags: &'static [Flag],
}

/// One flag.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Flag {
    name: &'static str,
    kind: Kind,
    help: &'static str,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Switch,
    Required(&'static str),
    Optional(&'static str),
    Default(&'static str, &'static str),
}

impl Flag {
    /// `--name`, also `--name=true` and `--name=false`.
    pub(crate) const fn switch(name: &'static str, help: &'static str) -> Flag {
        Flag { name, kind: Kind::Switch, help }
    }
    /// `--name VALUE`, which must be given.
    pub(crate) const fn required(name: &'static str, value: &'static str, help: &'static str) -> Flag {
        Flag { name, kind: Kind::Required(value), help }
    }
    /// `--name VALUE`, which may be left out.
    pub(crate) const fn optional(name: &'static str, value: &'static str, help: &'static str) -> Flag {
        Flag { name, kind: Kind::Optional(value), help }
    }
    /// `--name VALUE` with a default.
    pub(crate) const fn with_default(
        name: &'static str,
        value: &'static str,
        default: &'static str,
        help: &'static str,
    ) -> Flag {
        Flag { name, kind: Kind::Default(value, default), help }
    }
    fn placeholder(&self) -> Option<&'static str> {
        match self.kind {
            Kind::Switch => None,
            Kind::Required(value) | Kind::Optional(value) | Kind::Default(value, _) => Some(value),
        }
    }
}

/// Why parsing stopped.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Stop {
    /// `--help`: to standard output, exit code 0.
    Help(String),
    /// One line to standard error, exit code 2.
    Error(String),
}

impl Usage {
    /// Parses this process's command line; ends the process on `--help` and on bad arguments.
    pub(crate) fn parse(self) -> Args {
        self.try_parse(std::env::args().skip(1)).unwrap_or_else(|stop| match stop {
            Stop::Help(text) => {
                print!("{text}");
                std::process::exit(0)
            }
            Stop::Error(line) => self.fail(&line),
        })
    }

    /// One line on standard error, exit code 2.
    pub(crate) fn fail(&self, message: &str) -> ! {
        eprintln!("{}: {message}", self.program);
        std::process::exit(2)
    }

    /// Parses without ending the process.
    pub(crate) fn try_parse(self, arguments: impl IntoIterator<Item = String>) -> Result<Args, Stop> {
        let mut args = Args { usage: self, given: Vec::new(), operands: Vec::new() };
        let mut arguments = arguments.into_iter();
        while let Some(argument) = arguments.next() {
            if argument == "--" {
                args.operands.extend(arguments.by_ref());
                break;
            }
            let stripped = argument.strip_prefix("--").or_else(|| argument.strip_prefix('-'));
            let Some(text) = stripped.filter(|text| !text.is_empty()) else {
                args.operands.push(argument);
                continue;
            };
            let (name, inline) = match text.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (text, None),
            };
            if name == "help" || name == "h" {
                return Err(Stop::Help(self.help()));
            }
            let Some(flag) = self.flags.iter().find(|flag| flag.name == name) else {
                return Err(Stop::Error(format!("unknown flag --{name} (--help lists the flags)")));
            };
            let value = match (inline, flag.placeholder()) {
                (Some(value), None) if value != "true" && value != "false" => {
                    return Err(Stop::Error(format!("--{name}={value}: expected true or false")));
                }
                (Some(value), _) => value,
                (None, None) => "true".to_owned(),
                (None, Some(placeholder)) => match arguments.next() {
                    Some(value) => value,
                    None => {
                        return Err(Stop::Error(format!("--{name} needs a value: --{name} {placeholder}")));
                    }
                },
            };
            args.given.push((flag.name, value));
        }
        for flag in self.flags {
            if let Kind::Required(placeholder) = flag.kind
                && args.optional(flag.name).is_none()
            {
                return Err(Stop::Error(format!(
                    "--{} {placeholder} is missing (--help explains)",
                    flag.name
                )));
            }
        }
        if let Some(missing) = self.operands.get(args.operands.len()) {
            return Err(Stop::Error(format!("{missing} is missing (--help explains)")));
        }
        if let Some(surplus) = args.operands.get(self.operands.len()) {
            return Err(Stop::Error(format!("unexpected argument {surplus:?} (--help explains)")));
        }
        Ok(args)
    }

    fn help(&self) -> String {
        let left = |flag: &Flag| match flag.placeholder() {
            Some(value) => format!("--{} {value}", flag.name),
            None => format!("--{}", flag.name),
        };
        let width = self.flags.iter().map(|flag| left(flag).len()).max().unwrap_or(0).max("--help".len());
        let mut text = format!("{}\n\nUsage: {}", self.about, self.program);
        for flag in self.flags {
            if let Kind::Required(value) = flag.kind {
                let _ = write!(text, " --{} {value}", flag.name);
            }
        }
        if self.flags.iter().any(|flag| !matches!(flag.kind, Kind::Required(_))) {
            text.push_str(" [FLAGS]");
        }
        for operand in self.operands {
            let _ = write!(text, " {operand}");
        }
        text.push_str("\n\nFlags (--flag value or --flag=value):\n");
        for flag in self.flags {
            let _ = write!(text, "  {:width$}  {}", left(flag), flag.help);
            match flag.kind {
                Kind::Default(_, default) => {
                    let _ = write!(text, " [default: {default}]");
                }
                Kind::Required(_) => text.push_str(" (required)"),
                _ => {}
            }
            text.push('\n');
        }
        let _ = writeln!(text, "  {:width$}  this text", "--help");
        text
    }
}

/// A parsed command line. The last of repeated flags counts.
#[derive(Clone, Debug)]
pub(crate) struct Args {
    usage: Usage,
    given: Vec<(&'static str, String)>,
    operands: Vec<String>,
}

impl Args {
    /// The value of a required flag, or of one with a default.
    pub(crate) fn text(&self, name: &str) -> &str {
        self.optional(name).unwrap_or_else(|| panic!("--{name} has neither a value nor a default"))
    }

    /// The value, when the flag was given or has a default.
    pub(crate) fn optional(&self, name: &str) -> Option<&str> {
        let flag = self.usage.flags.iter().find(|flag| flag.name == name);
        let flag = flag.unwrap_or_else(|| panic!("--{name} is not in the list of flags"));
        let given =
            self.given.iter().rev().find(|(given, _)| *given == name).map(|(_, value)| value.as_str());
        given.or(match flag.kind {
            Kind::Default(_, default) => Some(default),
            _ => None,
        })
    }

    /// Whether the switch is on.
    pub(crate) fn on(&self, name: &str) -> bool {
        self.optional(name) == Some("true")
    }

    /// A number; ends the process with one line when it is none.
    pub(crate) fn number<T: FromStr>(&self, name: &str) -> T {
        self.optional_number(name).unwrap_or_else(|| panic!("--{name} has neither a value nor a default"))
    }

    /// A number, when the flag was given or has a default.
    pub(crate) fn optional_number<T: FromStr>(&self, name: &str) -> Option<T> {
        self.try_number(name).unwrap_or_else(|line| self.usage.fail(&line))
    }

    /// The same without ending the process.
    pub(crate) fn try_number<T: FromStr>(&self, name: &str) -> Result<Option<T>, String> {
        let Some(text) = self.optional(name) else { return Ok(None) };
        let what = std::any::type_name::<T>();
        let range = match what {
            "u8" => " from 0 to 255",
            "u16" => " from 0 to 65535",
            "u32" | "u64" | "usize" => " from 0 up, in range",
            _ => "",
        };
        text.parse().map(Some).map_err(|_| format!("--{name} {text}: expected a number{range}"))
    }

    /// The operand at `index`.
    pub(crate) fn operand(&self, index: usize) -> &str {
        &self.operands[index]
    }

    /// One line on standard error, exit code 2.
    pub(crate) fn fail(&self, message: &str) -> ! {
        self.usage.fail(message)
    }
}
