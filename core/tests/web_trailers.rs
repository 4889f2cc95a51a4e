//! The trailers frame: what peers send, what is refused, what we write.

use grpclb_core::bytes::Writer;
use grpclb_core::grpc::Code;
use grpclb_core::web::trailers::{self, TrailersError};
use proptest::prelude::*;

type Fields<'a> = Vec<(&'a str, &'a str)>;

fn parsed(payload: &str) -> Result<Fields<'_>, TrailersError> {
    let text = |bytes| std::str::from_utf8(bytes).unwrap();
    trailers::parse(payload.as_bytes())
        .map(|field| field.map(|(name, value)| (text(name), text(value))))
        .collect()
}

fn written(code: Code, message: &str, fields: &[(&[u8], &[u8])]) -> Result<Vec<u8>, TrailersError> {
    let mut buffer = vec![0; 1_000];
    let mut to = Writer::new(&mut buffer);
    trailers::write(code, message.as_bytes(), fields.iter().copied(), &mut to)?;
    let n = to.finish().unwrap();
    assert_eq!(n, trailers::frame_len(code, message.as_bytes(), fields.iter().copied()));
    buffer.truncate(n);
    Ok(buffer)
}

#[test]
fn what_servers_send() {
    for (payload, expected) in [
        ("", &[][..]),
        // tonic-web, Envoy
        ("grpc-status:0\r\n", &[("grpc-status", "0")]),
        ("grpc-status:0\r\ngrpc-message:ok\r\n", &[("grpc-status", "0"), ("grpc-message", "ok")]),
        // connect-node: spaces, and the order of the alphabet
        ("grpc-message: a\r\ngrpc-status: 0\r\n", &[("grpc-message", "a"), ("grpc-status", "0")]),
        ("foo:bar \r\n", &[("foo", "bar")]),
        ("foo: bar", &[("foo", "bar")]),
        ("foo: a\r\nfoo: b\r\n", &[("foo", "a"), ("foo", "b")]),
        ("foo: soirée\r\n", &[("foo", "soirée")]),
        ("error: something: went wrong\r\n", &[("error", "something: went wrong")]),
        ("grpc-message: \r\n", &[("grpc-message", "")]),
        ("grpc-message:\t a \t\r\n", &[("grpc-message", "a")]),
        ("Grpc-Status: 7\r\n", &[("Grpc-Status", "7")]),
        // Go closes a header block so; some end lines by LF alone.
        ("a: 1\r\n\r\n", &[("a", "1")]),
        ("a: 1\nb: 2\n", &[("a", "1"), ("b", "2")]),
        // sonora writes the bytes objects of its language: a token all the same, and no status.
        ("b'grpc-status': b'0'\r\n", &[("b'grpc-status'", "b'0'")]),
    ] {
        assert_eq!(parsed(payload).as_deref(), Ok(expected), "{payload:?}");
    }
}

#[test]
fn what_is_refused() {
    for (payload, error) in [
        ("grpc-status\r\n", TrailersError::NoName),
        (": 0\r\n", TrailersError::NoName),
        (" :0\r\n", TrailersError::NoName),
        ("a: 1\r\n folded\r\n", TrailersError::NoName),
        ("a b: 1\r\n", TrailersError::Name),
        ("ä: 1\r\n", TrailersError::Name),
        ("a: 1\r2\r\n", TrailersError::Value),
        ("a: \0\r\n", TrailersError::Value),
        ("a: \u{7f}\r\n", TrailersError::Value),
        ("a: 1\r\nb\r\nc: 2\r\n", TrailersError::NoName),
    ] {
        assert_eq!(parsed(payload), Err(error), "{payload:?}");
    }
    let after: Vec<_> = trailers::parse(b"a\r\nb: 1\r\n").collect();
    assert_eq!(after, [Err(TrailersError::NoName)], "nothing comes after an error");
}

#[test]
fn frames_to_send() {
    assert_eq!(written(Code::OK, "", &[]).unwrap(), b"\x80\0\0\0\x0fgrpc-status:0\r\n");
    assert_eq!(written(Code::OK, "ok", &[]).unwrap(), b"\x80\0\0\0\x20grpc-status:0\r\ngrpc-message:ok\r\n");
    assert_eq!(
        written(Code(10), "é%\n", &[(b"x-a", b"1"), (b"x-a", b"2"), (b"x-bin", b"\0\x01\x02")]).unwrap(),
        b"\x80\0\0\0\x45grpc-status:10\r\ngrpc-message:%C3%A9%25%0A\r\nx-a:1\r\nx-a:2\r\nx-bin:AAEC\r\n"
    );
}

#[test]
fn nothing_is_smuggled_into_a_frame() {
    for (name, value, error) in [
        (&b"a\r\nb"[..], &b"1"[..], TrailersError::Name),
        (b"A", b"1", TrailersError::Name),
        (b"", b"1", TrailersError::Name),
        (b"a:b", b"1", TrailersError::Name),
        (b"grpc-status", b"0", TrailersError::Name),
        (b"a", b"1\r\ngrpc-status:0", TrailersError::Value),
        (b"a", b"\n", TrailersError::Value),
        (b"a", b"\x7f", TrailersError::Value),
    ] {
        assert_eq!(written(Code::INTERNAL, "", &[(name, value)]), Err(error));
    }
    let frame = written(Code::INTERNAL, "a\r\ngrpc-status:0", &[]).unwrap();
    assert_eq!(trailers::parse(&frame[5..]).count(), 2);
}

#[test]
fn a_frame_needs_its_room() {
    let fields = [(&b"name"[..], &b"value"[..])];
    let len = trailers::frame_len(Code::OK, b"hello", fields);
    for room in 0..=len {
        let mut buffer = vec![0; room];
        let mut to = Writer::new(&mut buffer);
        let result = trailers::write(Code::OK, b"hello", fields, &mut to);
        assert_eq!(result, if room == len { Ok(()) } else { Err(TrailersError::TooLarge) });
    }
}

proptest! {
    #[test]
    fn goes_round(code in 0u32..20, message in ".{0,20}", fields in prop::collection::vec(("[a-z0-9._-]{1,9}", "[!-~]{0,9}"), 0..5)) {
        let own = |name: &str| grpclb_core::grpc::metadata::is_reserved(name.as_bytes()) || name.ends_with("-bin");
        let fields: Vec<_> = fields.iter().filter(|(name, _)| !own(name)).collect();
        let raw: Vec<_> = fields.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect();
        let frame = written(Code(code), &message, &raw).unwrap();
        let back: Vec<_> = trailers::parse(&frame[5..]).map(Result::unwrap).collect();
        let own = 1 + usize::from(!message.is_empty());
        let code = code.to_string();
        prop_assert_eq!(back[0], (&b"grpc-status"[..], code.as_bytes()));
        prop_assert_eq!(&back[own..], &raw[..]);
    }

    #[test]
    fn anything_ends(payload in prop::collection::vec(prop::sample::select(&b"ab:\r\n \t\0\xff"[..]), 0..40)) {
        prop_assert!(trailers::parse(&payload).count() <= payload.len());
    }
}
