//! The server's side: requests in both forms at any split, responses that our own client and the peers' vectors accept.

use grpclb_core::bytes::{Fields, Writer};
use grpclb_core::grpc::{Code, Piece, message};
use grpclb_core::web::text::TextErrorKind;
use grpclb_core::web::trailers::{TrailersError, frame_len};
use grpclb_core::web::transcode::{Request, RequestError, Response, head, trailers_only};
use grpclb_core::web::{Body, Config, Event, Exchange, Form, HeadError};
use proptest::prelude::*;

type Read = (Vec<Vec<u8>>, Result<(), RequestError>);

const BINARY: &[u8] = b"application/grpc-web+proto";
const TEXT: &[u8] = b"application/grpc-web-text+proto";

/// The messages of a request that comes in these pieces, and how it ended.
fn read<'t>(content_type: &[u8], pieces: impl IntoIterator<Item = &'t [u8]>) -> Read {
    let mut request = Request::new(content_type, None, 100).unwrap();
    let (mut messages, mut open) = (Vec::new(), Vec::new());
    for piece in pieces {
        let mut piece = piece.to_vec();
        let mut input = request.decode(&mut piece);
        loop {
            match request.recv(&mut input) {
                Ok(Some(piece)) => {
                    open.extend(piece.bytes);
                    if piece.is_last() {
                        messages.push(std::mem::take(&mut open));
                    }
                }
                Ok(None) => break,
                Err(error) => {
                    assert_eq!(request.recv(&mut &b"\0\0\0\0\0"[..]), Err(error), "errors stay");
                    assert_eq!(request.finish(), Err(error));
                    return (messages, Err(error));
                }
            }
        }
        assert!(input.is_empty());
    }
    (messages, request.finish())
}

/// The same however it is split.
fn read_any(content_type: &[u8], body: &[u8]) -> Read {
    let whole = read(content_type, [body]);
    for size in 1..body.len().max(2) {
        assert_eq!(read(content_type, body.chunks(size)), whole, "{size} octets at a time");
        let (a, b) = body.split_at(size.min(body.len()));
        assert_eq!(read(content_type, [a, &[], b]), whole, "cut at {size}");
    }
    whole
}

#[test]
fn forms() {
    let forms = |content_type: &str, accept: Option<&str>| {
        Request::new(content_type.as_bytes(), accept.map(str::as_bytes), 0)
            .map(|request| (request.form(), request.response_form()))
    };
    use Form::{Binary, Text};
    for (content_type, accept, expected) in [
        ("application/grpc-web", None, Some((Binary, Binary))),
        ("application/grpc-web+proto", Some("application/grpc-web-text"), Some((Binary, Text))),
        ("application/grpc-web-text", None, Some((Text, Text))),
        ("application/grpc-web-text", Some("*/*"), Some((Text, Text))),
        ("Application/Grpc-Web-Text+Proto; a=b", Some("application/grpc-web"), Some((Text, Binary))),
        ("application/grpc", None, None),
        ("text/plain", Some("application/grpc-web"), None),
    ] {
        assert_eq!(forms(content_type, accept), expected, "{content_type} {accept:?}");
    }
}

#[test]
fn requests_of_peers() {
    let test = || b"\n\x04test".to_vec();
    for (body, messages, end) in [
        ("", vec![], Ok(())),
        // Envoy, fed octet by octet; grpc-web; grpc-dotnet, in fragments, where tonic-web and Envoy fail in one read.
        ("AAAAABJncnBjLXdlYi10ZXh0LWRhdGE=", vec![b"grpc-web-text-data".to_vec()], Ok(())),
        ("AAAAAAUKA2FhYQAAAAAFCgNhYWEAAAAABQoDYWFh", vec![b"\n\x03aaa".to_vec(); 3], Ok(())),
        ("AAAAAAYKBHRlc3Q=AAAAAAYKBHRlc3Q=AAAAAAYKBHRlc3Q=", vec![test(); 3], Ok(())),
        ("AAAAAAYKBHRlc3QAAAAABgoEdGVzdAAAAAAGCgR0ZXN0", vec![test(); 3], Ok(())),
        (
            "AAAAABJncnBjLXdlYi10ZXh0LWRhdGE",
            vec![b"grpc-web-text-data".to_vec()],
            Err(RequestError::Truncated),
        ),
        ("AAAAAAYKBHRlc3Q=****", vec![test()], Err(RequestError::Text(TextErrorKind::Octet(b'*')))),
        ("AAAAAAYKBHRlc3Q=\r\n", vec![test()], Err(RequestError::Text(TextErrorKind::Octet(b'\r')))),
        ("AAAAAAYKBHRl", vec![], Err(RequestError::Truncated)),
        ("AQAAAAYKBHRlc3Q=", vec![], Err(RequestError::Compressed)),
    ] {
        assert_eq!(read_any(TEXT, body.as_bytes()), (messages, end), "{body}");
    }
}

#[test]
fn bad_requests() {
    let code = |body: &[u8]| read_any(BINARY, body).1.map_err(|error| (error.code(), error.to_string()));
    let error = |code, text: &str| Err((code, text.to_owned()));
    assert_eq!(code(b"\0\0\0\0\x01a"), Ok(()));
    assert_eq!(
        code(b"\0\0\0\0\x65"),
        error(Code::RESOURCE_EXHAUSTED, "a message of 101 octets is larger than this side takes")
    );
    assert_eq!(
        code(b"\x80\0\0\0\0"),
        error(Code::INTERNAL, "flag octet 0x80 of a message is neither 0 nor 1")
    );
    assert_eq!(
        code(b"\x01\0\0\0\x01a"),
        error(Code::UNIMPLEMENTED, "a message is compressed; this side takes identity")
    );
    for cut in 1..8 {
        let body = &b"\0\0\0\0\x03abc"[..cut];
        assert_eq!(code(body), error(Code::INTERNAL, "the request ended within a message"));
    }
}

fn texts<'f>(fields: Fields<'f>) -> Vec<String> {
    fields.map(|(name, value)| String::from_utf8([name, b": ", value].concat()).unwrap()).collect()
}

#[test]
fn heads() {
    let mut memory = [0; 256];
    let metadata = || [(&b"a"[..], &b"1"[..]), (b"b-bin", &[0xff])];
    let fields = texts(head(Form::Text, b"proto", metadata(), &mut memory).unwrap());
    assert_eq!(fields, ["content-type: application/grpc-web-text+proto", "a: 1", "b-bin: /w"]);
    let fields =
        trailers_only(Form::Binary, b"", Code::NOT_FOUND, "wo? é".as_bytes(), metadata(), &mut memory);
    assert_eq!(
        texts(fields.unwrap()),
        [
            "content-type: application/grpc-web",
            "grpc-status: 5",
            "grpc-message: wo? %C3%A9",
            "a: 1",
            "b-bin: /w"
        ]
    );
    for room in 0..30 {
        assert_eq!(head(Form::Text, b"", [], &mut memory[..room]).err(), Some(HeadError::TooLarge));
        assert_eq!(
            trailers_only(Form::Text, b"", Code::OK, b"", [], &mut memory[..room]).err(),
            Some(HeadError::TooLarge)
        );
    }
    for bad in [(&b"grpc-status"[..], &b"0"[..]), (b"a", b"\r\n"), (b"A", b"1")] {
        let fields = [(&b"a"[..], &b"1"[..]), bad];
        assert_eq!(head(Form::Text, b"", fields, &mut memory).err(), Some(HeadError::BadMetadata(1)));
        assert_eq!(
            trailers_only(Form::Text, b"", Code::OK, b"", fields, &mut memory).err(),
            Some(HeadError::BadMetadata(1))
        );
    }
}

/// What tonic-web and Envoy write: a padded fragment a message, one for the trailers.
#[test]
fn responses() {
    for (form, expected) in [
        (
            Form::Binary,
            &b"\0\0\0\0\x03\n\x01\0\0\0\0\0\x05\n\x01\x01\x10\x01\x80\0\0\0\x0fgrpc-status:0\r\n"[..],
        ),
        (Form::Text, b"AAAAAAMKAQA=AAAAAAUKAQEQAQ==gAAAAA9ncnBjLXN0YXR1czowDQo="),
    ] {
        for room in 0..=expected.len() {
            let mut memory = vec![0; room];
            let mut to = Writer::new(&mut memory);
            let mut response = Response::new(form);
            response.message(b"\n\x01\0", &mut to);
            response.message(b"\n\x01\x01\x10\x01", &mut to);
            let end = response.trailers(Code::OK, b"", [], &mut to);
            if room == expected.len() {
                assert_eq!((end, to.written() as &[u8]), (Ok(()), expected));
            } else {
                assert_eq!(end, Err(TrailersError::TooLarge), "room of {room}");
            }
        }
    }
}

#[test]
fn trailers_never_stand_within_a_message() {
    let mut memory = [0; 100];
    let mut to = Writer::new(&mut memory);
    let mut response = Response::new(Form::Text);
    response.piece(&Piece { bytes: b"ab", offset: 0, len: 4, compressed: false }, &mut to);
    assert_eq!(response.trailers(Code::OK, b"", [], &mut to), Err(TrailersError::InsideMessage));
    response.piece(&Piece { bytes: b"cd", offset: 2, len: 4, compressed: false }, &mut to);
    assert_eq!(response.trailers(Code::OK, b"", [], &mut to), Ok(()));
    assert!(to.written().starts_with(b"AAAAAARhYmNkgAAA"));
}

proptest! {
    /// From upstream's parts to our own client, in both forms.
    #[test]
    fn the_client_reads_what_the_server_writes(
        messages in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..60), 0..5),
        code in 0u32..17, words in ".{0,12}", value in prop::collection::vec(any::<u8>(), 0..9),
        text: bool, sizes in prop::collection::vec(1usize..30, 1..9),
    ) {
        let form = if text { Form::Text } else { Form::Binary };
        let mut sizes = sizes.iter().cycle();
        let mut memory = vec![0; 10_000];
        let mut to = Writer::new(&mut memory);
        let mut response = Response::new(form);
        for message in &messages {
            let mut at = 0;
            loop {
                let end = message.len().min(at + sizes.next().unwrap());
                let piece = Piece { bytes: &message[at..end], offset: at as u32, len: message.len() as u32, compressed: false };
                let before = to.len();
                response.piece(&piece, &mut to);
                prop_assert!(to.len() - before <= response.piece_room(&piece));
                at = end;
                if piece.is_last() {
                    break;
                }
            }
        }
        let fields = [(&b"x-bin"[..], &value[..]), (b"note", b"a:b")];
        let before = to.len();
        response.trailers(Code(code), words.as_bytes(), fields, &mut to).unwrap();
        prop_assert_eq!(to.len() - before, form.encoded_len(frame_len(Code(code), words.as_bytes(), fields)));
        let mut body = to.written().to_vec();

        let mut exchange = Exchange::new([0; 1024], &Config::default());
        let mut head_memory = [0; 100];
        let fields = head(form, b"proto", [], &mut head_memory).unwrap();
        prop_assert!(exchange.recv_head(200, fields).is_some());
        let (mut got, mut open) = (Vec::new(), Vec::<u8>::new());
        for piece in body.chunks_mut(*sizes.next().unwrap()) {
            let mut input = exchange.decode(piece);
            while let Some(event) = exchange.recv(&mut input) {
                let Event::Message { piece } = event else { panic!("{event:?}") };
                open.extend(piece.bytes);
                if piece.is_last() {
                    got.push(std::mem::take(&mut open));
                }
            }
        }
        prop_assert_eq!(got, messages);
        let Some(Event::Status { status }) = exchange.finish() else { panic!() };
        prop_assert_eq!((status.code, status.message), (Code(code), words.as_bytes()));
        prop_assert_eq!(status.trailers.collect::<Vec<_>>(), [(&b"x-bin"[..], &value[..]), (b"note", b"a:b")]);
    }

    /// What our client writes our server reads, at any split; cut at any octet it is an error.
    #[test]
    fn the_server_reads_what_the_client_writes(
        messages in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..20), 1..4), text: bool,
    ) {
        let (form, content_type) = if text { (Form::Text, TEXT) } else { (Form::Binary, BINARY) };
        let mut memory = vec![0; 1_000];
        let mut to = Writer::new(&mut memory);
        let mut body = Body::new(form);
        let mut ends = vec![0];
        for message in &messages {
            body.message(message, &mut to);
            ends.push(ends[ends.len() - 1] + message.len() + message::PREFIX);
        }
        body.finish(&mut to);
        let wire = &*to.written();
        prop_assert_eq!(read_any(content_type, wire), (messages, Ok(())));
        for cut in 0..wire.len() {
            let whole = match form {
                Form::Binary => ends.contains(&cut),
                // Four digits are three octets, if a message ends there.
                Form::Text => cut % 4 == 0 && ends.contains(&(cut / 4 * 3)),
            };
            prop_assert_eq!(read(content_type, [&wire[..cut]]).1.is_ok(), whole, "cut at {}", cut);
        }
    }
}
