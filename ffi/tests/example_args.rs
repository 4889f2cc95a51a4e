//! The command-line parser of the example programs.

#[path = "../examples/args/mod.rs"]
mod args;

use args::{Args, Flag, Stop, Usage};

const USAGE: Usage = Usage {
    program: "demo",
    about: "Shows flags.",
    operands: &[],
    flags: &[
        Flag::required("listen", "ADDR", "where to listen"),
        Flag::with_default("calls", "N", "10", "how many"),
        Flag::optional("name", "NAME", "who"),
        Flag::switch("json", "print JSON"),
    ],
};

fn parse(arguments: &[&str]) -> Result<Args, Stop> {
    USAGE.try_parse(arguments.iter().map(|a| (*a).to_owned()))
}

fn error(arguments: &[&str]) -> String {
    match parse(arguments) {
        Err(Stop::Error(line)) => {
            assert!(!line.contains('\n'), "{line}");
            line
        }
        other => panic!("expected an error, got {other:?}"),
    }
}

#[test]
fn every_form_of_a_flag() {
    for form in [
        &["--listen", "a:1"][..],
        &["--listen=a:1"],
        &["-listen=a:1"],
        &["-listen", "a:1"],
        &["--listen=b", "--listen=a:1"],
    ] {
        assert_eq!(parse(form).expect("parses").text("listen"), "a:1", "{form:?}");
    }
    let args = parse(&["--listen=", "--json", "--calls", "-3"]).expect("parses");
    assert_eq!((args.text("listen"), args.on("json"), args.number::<i32>("calls")), ("", true, -3));
    let args = parse(&["--listen=x=y", "--json=false"]).expect("parses");
    assert_eq!((args.text("listen"), args.on("json"), args.number::<u32>("calls")), ("x=y", false, 10));
    assert_eq!(args.optional("name"), None);
}

#[test]
fn each_mistake_is_one_clear_line() {
    assert_eq!(error(&[]), "--listen ADDR is missing (--help explains)");
    assert_eq!(error(&["--listen"]), "--listen needs a value: --listen ADDR");
    assert_eq!(error(&["--lisen", "a"]), "unknown flag --lisen (--help lists the flags)");
    assert_eq!(error(&["--listen=a", "b"]), "unexpected argument \"b\" (--help explains)");
    assert_eq!(error(&["--listen=a", "--json=maybe"]), "--json=maybe: expected true or false");
    let args = parse(&["--listen=a", "--calls=many"]).expect("parses");
    assert_eq!(
        args.try_number::<u16>("calls"),
        Err("--calls many: expected a number from 0 to 65535".to_owned())
    );
}

#[test]
fn operands() {
    let usage = Usage { operands: &["URL"], flags: &[], ..USAGE };
    let parse = |list: &[&str]| usage.try_parse(list.iter().map(|a| (*a).to_owned()));
    assert_eq!(parse(&["http://a"]).expect("parses").operand(0), "http://a");
    assert_eq!(parse(&["--", "-x"]).expect("parses").operand(0), "-x");
    assert_eq!(parse(&[]).expect_err("fails"), Stop::Error("URL is missing (--help explains)".to_owned()));
}

#[test]
fn help_names_every_flag() {
    let Err(Stop::Help(text)) = parse(&["--help"]) else { panic!("no help") };
    for part in
        ["Usage: demo --listen ADDR [FLAGS]", "--calls N", "[default: 10]", "--json", "--help", "(required)"]
    {
        assert!(text.contains(part), "{part:?} is missing in:\n{text}");
    }
}
