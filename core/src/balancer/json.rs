//! A reader of JSON (RFC 8259) that keeps nothing: it walks the text, checks it strictly and knows where it is.

use super::service_config::ConfigError;
use crate::bytes::Exact;
use core::fmt;

/// Walks a text once. A method that fails leaves the reader where it was wrong.
#[derive(Clone, Debug)]
pub(super) struct Reader<'j> {
    text: &'j str,
    at: usize,
}

/// A string as written, checked, without its quotes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Str<'j> {
    raw: &'j str,
}

/// What values are nested in. gRPC's own configs need 6.
const MAX_DEPTH: u32 = 64;

type Result<T> = core::result::Result<T, ConfigError>;

pub(super) fn error<T>(at: usize, expected: &'static str) -> Result<T> {
    Err(ConfigError { at: u32::try_from(at).unwrap_or(u32::MAX), expected })
}

impl<'j> Reader<'j> {
    pub(super) fn new(text: &'j str) -> Reader<'j> {
        Reader { text, at: 0 }
    }

    /// Octets before the next value (or whatever comes next).
    pub(super) fn at(&mut self) -> usize {
        self.space();
        self.at
    }

    /// The text from `from` to here.
    pub(super) fn since(&self, from: usize) -> &'j str {
        self.text.get(from..self.at).unwrap_or_default()
    }

    /// Nothing but space is left.
    pub(super) fn end(&mut self) -> Result<()> {
        if self.peek().is_none() { Ok(()) } else { error(self.at, "the end of the text") }
    }

    /// Takes `null`, if it is next.
    pub(super) fn null(&mut self) -> bool {
        self.space();
        self.word("null")
    }

    pub(super) fn boolean(&mut self) -> Result<bool> {
        self.space();
        if self.word("true") {
            Ok(true)
        } else if self.word("false") {
            Ok(false)
        } else {
            error(self.at, "true or false")
        }
    }

    /// `member` reads each value, or leaves an error.
    pub(super) fn object(
        &mut self,
        expected: &'static str,
        mut member: impl FnMut(&mut Reader<'j>, Str<'j>, usize) -> Result<()>,
    ) -> Result<()> {
        if self.peek() != Some(b'{') {
            return error(self.at, expected);
        }
        self.step();
        if self.peek() == Some(b'}') {
            self.step();
            return Ok(());
        }
        loop {
            let at = self.at();
            let name = self.string("a name in quotes")?;
            self.punctuation(b':', "`:`")?;
            member(self, name, at)?;
            if self.another(b'}', "`,` or `}`")? {
                continue;
            }
            return Ok(());
        }
    }

    /// `item` reads each value, or leaves an error.
    pub(super) fn array(
        &mut self,
        expected: &'static str,
        mut item: impl FnMut(&mut Reader<'j>) -> Result<()>,
    ) -> Result<()> {
        if self.peek() != Some(b'[') {
            return error(self.at, expected);
        }
        self.step();
        if self.peek() == Some(b']') {
            self.step();
            return Ok(());
        }
        loop {
            item(self)?;
            if !self.another(b']', "`,` or `]`")? {
                return Ok(());
            }
        }
    }

    pub(super) fn string(&mut self, expected: &'static str) -> Result<Str<'j>> {
        if self.peek() != Some(b'"') {
            return error(self.at, expected);
        }
        self.step();
        let start = self.at;
        loop {
            match self.byte() {
                None => return error(self.at, "`\"` at the end of the string"),
                Some(b'"') => break,
                Some(b'\\') => self.escape()?,
                Some(0..=0x1f) => return error(self.at, "no control character in a string"),
                Some(_) => self.step(),
            }
        }
        let raw = self.since(start);
        self.step();
        Ok(Str { raw })
    }

    /// As written.
    pub(super) fn number(&mut self, expected: &'static str) -> Result<&'j str> {
        let start = self.at();
        if !matches!(self.byte(), Some(b'-' | b'0'..=b'9')) {
            return error(self.at, expected);
        }
        if self.byte() == Some(b'-') {
            self.step();
        }
        if self.byte() == Some(b'0') {
            self.step()
        } else {
            self.digits()?
        }
        if self.byte() == Some(b'.') {
            self.step();
            self.digits()?;
        }
        if matches!(self.byte(), Some(b'e' | b'E')) {
            self.step();
            if matches!(self.byte(), Some(b'+' | b'-')) {
                self.step();
            }
            self.digits()?;
        }
        Ok(self.since(start))
    }

    /// A whole number of 32 bits, in digits only.
    pub(super) fn u32(&mut self, expected: &'static str) -> Result<u32> {
        let at = self.at();
        let digits = self.number(expected)?;
        match super::address::decimal(digits.as_bytes(), 10) {
            Some(value) => Ok(value),
            None => error(at, expected),
        }
    }

    /// Passes over a value of any kind, without recursion.
    pub(super) fn skip(&mut self) -> Result<()> {
        let mut depth = 0u32;
        let mut objects = 0u64; // bit 0: the innermost is an object
        loop {
            // A value.
            match self.peek() {
                Some(open @ (b'{' | b'[')) => {
                    if depth == MAX_DEPTH {
                        return error(self.at, "no more than 64 levels of nesting");
                    }
                    self.step();
                    let object = open == b'{';
                    if self.peek() == Some(if object { b'}' } else { b']' }) {
                        self.step();
                    } else {
                        depth = depth.plus(1);
                        objects = objects << 1 | u64::from(object);
                        if object {
                            self.name()?;
                        }
                        continue;
                    }
                }
                Some(b'"') => _ = self.string("a value")?,
                Some(b't' | b'f') => _ = self.boolean()?,
                Some(b'n') => {
                    if !self.null() {
                        return error(self.at, "null");
                    }
                }
                _ => _ = self.number("a value")?,
            }
            // What follows it.
            loop {
                if depth == 0 {
                    return Ok(());
                }
                let object = objects & 1 == 1;
                let (close, expected) = if object { (b'}', "`,` or `}`") } else { (b']', "`,` or `]`") };
                if self.another(close, expected)? {
                    if object {
                        self.name()?;
                    }
                    break;
                }
                depth = depth.minus(1);
                objects >>= 1;
            }
        }
    }

    fn name(&mut self) -> Result<()> {
        self.string("a name in quotes")?;
        self.punctuation(b':', "`:`")
    }

    fn digits(&mut self) -> Result<()> {
        if !matches!(self.byte(), Some(b'0'..=b'9')) {
            return error(self.at, "a digit");
        }
        while matches!(self.byte(), Some(b'0'..=b'9')) {
            self.step();
        }
        Ok(())
    }

    fn escape(&mut self) -> Result<()> {
        let start = self.at;
        self.step();
        match self.byte() {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => {
                self.step();
                Ok(())
            }
            Some(b'u') => {
                let unit = self.unit()?;
                match unit {
                    0xd800..=0xdbff => {
                        if self.byte() != Some(b'\\') {
                            return error(start, "the second half of a surrogate pair");
                        }
                        self.step();
                        if self.byte() != Some(b'u') || !matches!(self.unit()?, 0xdc00..=0xdfff) {
                            return error(start, "the second half of a surrogate pair");
                        }
                        Ok(())
                    }
                    0xdc00..=0xdfff => error(start, "the first half of a surrogate pair"),
                    _ => Ok(()),
                }
            }
            _ => error(start, "an escape of JSON (\\\" \\\\ \\/ \\b \\f \\n \\r \\t \\uXXXX)"),
        }
    }

    /// `u` and four digits.
    fn unit(&mut self) -> Result<u32> {
        self.step();
        let mut value = 0u32;
        for _ in 0..4 {
            match self.byte().and_then(|b| char::from(b).to_digit(16)) {
                Some(digit) => value = value << 4 | digit,
                None => return error(self.at, "four hexadecimal digits"),
            }
            self.step();
        }
        Ok(value)
    }

    /// After a value: `,` (true) or `close` (false).
    fn another(&mut self, close: u8, expected: &'static str) -> Result<bool> {
        match self.peek() {
            Some(b',') => {
                self.step();
                Ok(true)
            }
            Some(b) if b == close => {
                self.step();
                Ok(false)
            }
            _ => error(self.at, expected),
        }
    }

    fn punctuation(&mut self, byte: u8, expected: &'static str) -> Result<()> {
        if self.peek() != Some(byte) {
            return error(self.at, expected);
        }
        self.step();
        Ok(())
    }

    fn word(&mut self, word: &str) -> bool {
        let is = self.text.as_bytes().get(self.at..).is_some_and(|rest| rest.starts_with(word.as_bytes()));
        if is {
            self.at = self.at.plus(word.len());
        }
        is
    }

    fn space(&mut self) {
        while matches!(self.byte(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.step();
        }
    }

    fn peek(&mut self) -> Option<u8> {
        self.space();
        self.byte()
    }

    fn byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn step(&mut self) {
        self.at = self.at.saturating_add(1).min(self.text.len());
    }
}

impl<'j> Str<'j> {
    /// As written, escapes and all.
    pub(super) fn raw(&self) -> &'j str {
        self.raw
    }

    pub(super) fn is_empty(&self) -> bool {
        self.raw.is_empty()
    }

    /// With the escapes undone.
    pub(super) fn chars(&self) -> impl Iterator<Item = char> + Clone + 'j {
        let mut rest = self.raw.chars();
        core::iter::from_fn(move || match rest.next()? {
            '\\' => Some(match rest.next()? {
                'b' => '\u{8}',
                'f' => '\u{c}',
                'n' => '\n',
                'r' => '\r',
                't' => '\t',
                'u' => {
                    let unit = |rest: &mut core::str::Chars<'_>| {
                        (0..4).fold(0u32, |value, _| {
                            value << 4 | rest.next().and_then(|c| c.to_digit(16)).unwrap_or(0)
                        })
                    };
                    let first = unit(&mut rest);
                    let code = if let 0xd800..=0xdbff = first {
                        rest.next();
                        rest.next();
                        let second = unit(&mut rest);
                        0x1_0000u32.saturating_add((first & 0x3ff) << 10 | second & 0x3ff)
                    } else {
                        first
                    };
                    char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER)
                }
                other => other,
            }),
            other => Some(other),
        })
    }

    pub(super) fn is(&self, text: &str) -> bool {
        if self.raw.contains('\\') { self.chars().eq(text.chars()) } else { self.raw == text }
    }

    /// With the escapes undone, in `buffer` if there are any; `None`: too long for it.
    pub(super) fn decode<'b>(&self, buffer: &'b mut [u8]) -> Option<&'b str>
    where
        'j: 'b,
    {
        if !self.raw.contains('\\') {
            return Some(self.raw);
        }
        let mut writer = crate::bytes::Writer::new(buffer);
        for c in self.chars() {
            writer.put(c.encode_utf8(&mut [0; 4]).as_bytes());
        }
        let n = writer.finish()?;
        core::str::from_utf8(buffer.get(..n)?).ok()
    }
}

/// Writes the JSON path of the value (or name) at `at`, by walking the text again.
pub(super) fn write_path(f: &mut fmt::Formatter<'_>, text: &str, at: usize) -> fmt::Result {
    f.write_str("$")?;
    let mut reader = Reader::new(text);
    // Each turn descends into the member or item that `at` lies in.
    loop {
        let here = reader.at();
        let Some(open @ (b'{' | b'[')) = reader.byte() else { return Ok(()) };
        if here >= at {
            return Ok(());
        }
        reader.step();
        let mut index = 0usize;
        loop {
            let name = if open == b'{' {
                let start = reader.at();
                match reader.string("") {
                    Ok(name) if start <= at => Some((name, start)),
                    _ => return Ok(()),
                }
            } else {
                None
            };
            // A wrong name, or a wrong value, or what follows the value.
            let end_of_name = reader.at;
            let in_name = name.is_some_and(|_| at < end_of_name);
            let colon = name.is_none() || reader.punctuation(b':', "").is_ok();
            let mut after = reader.clone();
            let found = in_name || !colon || reader.at() > at || after.skip().is_err() || after.at > at;
            if found {
                if reader.at() <= at || in_name {
                    step_into(f, name.map(|(name, _)| name), index)?;
                }
                if in_name || !colon || reader.at() > at {
                    return Ok(());
                }
                break;
            }
            reader = after;
            if !reader.another(if open == b'{' { b'}' } else { b']' }, "").unwrap_or(false) {
                return Ok(());
            }
            index = index.plus(1);
        }
    }
}

fn step_into(f: &mut fmt::Formatter<'_>, name: Option<Str<'_>>, index: usize) -> fmt::Result {
    match name {
        None => write!(f, "[{index}]"),
        Some(name) => {
            let raw = name.raw();
            let plain = raw.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
            if plain && raw.bytes().next().is_some_and(|b| !b.is_ascii_digit()) {
                write!(f, ".{raw}")
            } else {
                write!(f, "[\"{raw}\"]")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::{String, ToString};
    use std::vec::Vec;

    fn valid(text: &str) -> Result<()> {
        let mut reader = Reader::new(text);
        reader.skip()?;
        reader.end()
    }

    #[test]
    fn takes_what_rfc_8259_allows_and_nothing_else() {
        for text in [
            "{}",
            " [ ] ",
            "null",
            "true",
            "false",
            "0",
            "-0",
            "1.5e+10",
            "10E-2",
            "\"\"",
            r#""\"\\\/\b\f\n\r\té😀""#,
            r#"{"a":[1,{"b":null}],"c":"d"}"#,
            "\t\r\n1 ",
            "\"ünï\"",
        ] {
            assert_eq!(valid(text), Ok(()), "{text}");
            assert!(serde_json::from_str::<serde_json::Value>(text).is_ok());
        }
        for text in [
            "",
            " ",
            "{",
            "[",
            "[1,]",
            "{,}",
            r#"{"a":1,}"#,
            r#"{"a"}"#,
            r#"{a:1}"#,
            "nul",
            "tru",
            "01",
            "1.",
            ".5",
            "-",
            "1e",
            "+1",
            "NaN",
            "Infinity",
            "\"",
            "\"\n\"",
            r#""\x""#,
            r#""\u12""#,
            r#""\ud800""#,
            r#""\ud800A""#,
            r#""\udc00""#,
            "1 2",
            "[1 2]",
            r#"{"a" 1}"#,
            "'a'",
            "// c\n1",
            "[1}",
            r#"{"a":1]"#,
            "\u{a0}1",
        ] {
            assert!(valid(text).is_err(), "{text:?}");
            assert!(serde_json::from_str::<serde_json::Value>(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn depth_is_bounded_without_recursion() {
        let deep = |n: usize| "[".repeat(n) + &"]".repeat(n);
        assert_eq!(valid(&deep(64)), Ok(()));
        assert_eq!(valid(&deep(65)).map_err(|e| e.at), Err(64));
        assert!(valid(&"[".repeat(1_000_000)).is_err());
    }

    #[test]
    fn strings_are_compared_and_decoded_without_their_escapes() {
        let mut reader = Reader::new(r#""a\u00e9\ud83d\ude00\n""#);
        let text = reader.string("").unwrap();
        assert!(text.is("aé😀\n"));
        assert_eq!(text.chars().collect::<String>(), "aé😀\n");
        assert_eq!(text.decode(&mut [0; 8]), Some("aé😀\n"));
        assert_eq!(text.decode(&mut [0; 7]), None);
    }

    #[test]
    fn path_of_every_place() {
        struct Path<'a>(&'a str, usize);
        impl fmt::Display for Path<'_> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write_path(f, self.0, self.1)
            }
        }
        let text = r#"{"a": [1, {"b c": "x"}], "d": {"e": tru"#;
        let paths: Vec<String> = ["{", "\"a", "[", "1,", "{\"b", "\"b c", "\"x", "\"d", "{\"e", "tru"]
            .iter()
            .map(|place| Path(text, text.find(place).unwrap()).to_string())
            .collect();
        assert_eq!(
            paths,
            [
                "$",
                "$.a",
                "$.a",
                "$.a[0]",
                "$.a[1]",
                "$.a[1][\"b c\"]",
                "$.a[1][\"b c\"]",
                "$.d",
                "$.d",
                "$.d.e"
            ]
        );
        for text in ["", "{", "[", "[1", r#"{"a""#, r#"{"a":"#, r#"{"a":1"#, "]"] {
            for at in 0..=text.len() + 1 {
                let _ = Path(text, at).to_string();
            }
        }
    }
}
