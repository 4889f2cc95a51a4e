//! The import rule of DESIGN.md, section 2, held against the sources: the table that people read is the table that is
//! checked.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// What a module may use: module names, each with the items of it that are allowed (none: all).
type Rules = BTreeMap<String, Vec<(String, Vec<String>)>>;

/// Reads the lines `left → right right::{a, b} (remark)` of the table.
fn rules(design: &str) -> Rules {
    let table = design.split("Imports, left may use right").nth(1).expect("the sentence above the table");
    let table = table.split("```").nth(1).expect("the table");
    let mut rules = Rules::new();
    for line in table.lines().filter(|line| line.contains('→')) {
        let (left, right) = line.split_once('→').unwrap();
        let right = right.split('(').next().unwrap();
        for name in left.split(',') {
            rules.insert(name.trim().to_owned(), allowed(right));
        }
    }
    rules
}

/// `a b::{c, d} e::f`.
fn allowed(mut text: &str) -> Vec<(String, Vec<String>)> {
    let mut list = Vec::new();
    loop {
        text = text.trim_start();
        let end = text.find(|c: char| !is_name(c)).unwrap_or(text.len());
        if end == 0 {
            return list;
        }
        let (name, rest) = text.split_at(end);
        let (items, rest) = match rest.strip_prefix("::") {
            None => (Vec::new(), rest),
            Some(rest) => match rest.strip_prefix('{') {
                Some(rest) => {
                    let (items, rest) = rest.split_once('}').expect("a closing brace");
                    (items.split(',').map(|item| item.trim().to_owned()).collect(), rest)
                }
                None => {
                    let end = rest.find(|c: char| !is_name(c)).unwrap_or(rest.len());
                    (vec![rest[..end].to_owned()], &rest[end..])
                }
            },
        };
        list.push((name.to_owned(), items));
        text = rest;
    }
}

fn is_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// The source without comments and without the tests at its end.
fn stripped(source: &str) -> String {
    let source = source.split("#[cfg(test)]\nmod ").next().unwrap();
    source.lines().map(|line| line.split("//").next().unwrap()).collect::<Vec<_>>().join("\n")
}

/// Every path that begins with `crate::`, as module and item (`*` for the module itself).
fn paths(source: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for part in source.split("crate::").skip(1) {
        for first in members(part) {
            let (module, rest) = first.split_at(first.find(|c| !is_name(c)).unwrap_or(first.len()));
            match rest.trim_start().strip_prefix("::") {
                Some(rest) => found.extend(members(rest).into_iter().map(|item| {
                    let end = item.find(|c| !is_name(c)).unwrap_or(item.len());
                    (module.to_owned(), item[..end].to_owned())
                })),
                None => found.push((module.to_owned(), "*".to_owned())),
            }
        }
    }
    found
}

/// The members of `{a, b::{c, d}}`, or the one path that `text` begins with.
fn members(text: &str) -> Vec<&str> {
    let Some(inner) = text.trim_start().strip_prefix('{') else { return vec![text.trim_start()] };
    let (mut depth, mut start, mut list) = (0, 0, Vec::new());
    for (at, c) in inner.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => {
                list.push(inner[start..at].trim());
                break;
            }
            '}' => depth -= 1,
            ',' if depth == 0 => {
                list.push(inner[start..at].trim());
                start = at + 1;
            }
            _ => {}
        }
    }
    list.retain(|member| !member.is_empty());
    list
}

/// What a source of `module` uses against the rules.
fn violations(module: &str, source: &str, rules: &Rules) -> Vec<String> {
    let rule = rules.get(module).unwrap_or_else(|| panic!("DESIGN.md has no rule for {module}"));
    let source = stripped(source);
    let allowed = |used: &str, item: &str| {
        // A part of the balancer is in the balancer.
        used == module
            || rule.iter().any(|(name, items)| {
                name == used && (items.is_empty() || item == "*" || items.iter().any(|i| i == item))
            })
    };
    let mut wrong: Vec<_> = paths(&source)
        .into_iter()
        .filter(|(used, item)| !allowed(used, item))
        .map(|(used, item)| format!("{module} uses {used}::{item}"))
        .collect();
    if source.contains("super::super") {
        wrong.push(format!("{module} climbs by super::super: write crate::…"));
    }
    wrong
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut list = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            list.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            list.push(path);
        }
    }
    list
}

/// `balancer/policy/x.rs` is of `policy`, `call/x.rs` of `call`, `memory.rs` of `memory`.
fn module_of(path: &Path, src: &Path) -> String {
    let parts: Vec<_> = path.strip_prefix(src).unwrap().iter().map(|part| part.to_str().unwrap()).collect();
    match parts[..] {
        ["balancer", "policy", ..] => "policy".to_owned(),
        [file] => file.trim_end_matches(".rs").to_owned(),
        [folder, ..] => folder.to_owned(),
        [] => unreachable!(),
    }
}

#[test]
fn modules_use_what_they_may() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let rules = rules(&fs::read_to_string(root.join("DESIGN.md")).unwrap());
    let src = root.join("src");
    let (mut seen, mut wrong) = (0, Vec::new());
    for path in sources(&src) {
        let module = module_of(&path, &src);
        if ["lib", "bytes", "time", "error"].contains(&&module[..]) {
            continue;
        }
        seen += 1;
        let source = fs::read_to_string(&path).unwrap();
        wrong.extend(
            violations(&module, &source, &rules)
                .into_iter()
                .map(|what| format!("{}: {what}", path.display())),
        );
    }
    assert!(seen > 30, "only {seen} files");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_leaves_use_nothing() {
    for leaf in ["bytes", "time", "error"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(leaf).with_extension("rs");
        let source = stripped(&fs::read_to_string(path).unwrap());
        assert!(!source.contains("crate::") && !source.contains("super::"), "{leaf}");
    }
}

#[test]
fn a_broken_rule_shows() {
    let rules = rules(
        "Imports, left may use right:\n```text\ngrpc → bytes (no http2)\npolicy → balancer::{picker, endpoint} bytes\n```",
    );
    let wrong = |module, source| violations(module, source, &rules);
    assert!(wrong("grpc", "use crate::bytes::{Exact, copy};\nuse crate::grpc::Code;").is_empty());
    assert_eq!(wrong("grpc", "use crate::http2::Span;"), ["grpc uses http2::Span"]);
    assert_eq!(wrong("grpc", "use crate::{bytes, call::{self, End}};").len(), 2);
    assert_eq!(wrong("grpc", "fn f() -> crate::frame::Head {}"), ["grpc uses frame::Head"]);
    assert_eq!(wrong("grpc", "use super::super::frame;").len(), 1);
    assert!(wrong("grpc", "// crate::http2\n#[cfg(test)]\nmod tests { use crate::http2; }").is_empty());
    assert!(wrong("policy", "use crate::balancer::endpoint::Key;").is_empty());
    assert_eq!(
        wrong("policy", "use crate::balancer::{endpoint, channel::Channel};"),
        ["policy uses balancer::channel"]
    );
}
