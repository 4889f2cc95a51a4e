//! Frame cases: `{"wire","frame":{"length","type","flags","stream_identifier","frame_payload":{…}},"error"}`, where
//! `frame` or `error` (the codes that are right) is null.

use super::wire::Reader;
use super::{Options, json};
use grpclb_core::bytes::Writer;
use grpclb_core::error::ErrorCode;
use grpclb_core::frame::{
    Continuation, Data, Frame, GoAway, Head, Headers, Kind, Ping, Priority, PushPromise, RstStream, Setting,
    SettingId, Settings, WindowUpdate, flags,
};
use serde_json::{Value, json};

/// Decodes the `wire` of all cases; how many differ.
pub(crate) fn decode(options: &Options) -> Result<usize, String> {
    run(options, "decoded", |case, chunk| match (&case["frame"], &case["error"]) {
        (frame, Value::Null) => {
            let got = receive(&wire(case)?, chunk)
                .map_err(|(code, reason)| format!("error {}: {reason}", code.0))?;
            if got == *frame { Ok(()) } else { Err(format!("expected {frame}, got {got}")) }
        }
        (_, codes) => match receive(&wire(case)?, chunk) {
            Ok(got) => Err(format!("expected an error of {codes}, got {got}")),
            Err((code, _)) if codes.as_array().is_some_and(|codes| codes.contains(&code.0.into())) => Ok(()),
            Err((code, reason)) => Err(format!("expected an error of {codes}, got {} ({reason})", code.0)),
        },
    })
}

/// Encodes the `frame` of all cases that have one, compares with `wire`, and decodes again; how many differ.
pub(crate) fn encode(options: &Options) -> Result<usize, String> {
    run(options, "encoded", |case, chunk| {
        if case["frame"].is_null() {
            return Ok(());
        }
        let mut expected = wire(case)?;
        let mut frame = case["frame"].clone();
        // RFC 9113 §6.1: padding is sent as zeros, whatever the case has there.
        if let Some(padding) =
            frame["frame_payload"]["padding_length"].as_u64().filter(|_| has_padding(&frame))
        {
            let content = expected.len().saturating_sub(padding as usize);
            expected[content..].fill(0);
            frame["frame_payload"]["padding"] = text(&vec![0; padding as usize]);
        }
        let wire = send(&frame)?;
        if wire != expected {
            return Err(format!("expected {}, got {}", json::hex(&expected), json::hex(&wire)));
        }
        let got = receive(&wire, chunk).map_err(|(code, reason)| format!("error {}: {reason}", code.0))?;
        if got != frame {
            return Err(format!("decoded again: expected {frame}, got {got}"));
        }
        case["wire"] = json::hex(&wire).to_uppercase().into();
        case["frame"] = frame;
        Ok(())
    })
}

fn run(
    options: &Options,
    what: &str,
    check: impl Fn(&mut Value, Option<usize>) -> Result<(), String>,
) -> Result<usize, String> {
    let (mut normal, mut errors, mut differences) = (0, 0, 0);
    for path in &options.files {
        let name = json::name(path);
        let mut case = json::read(path)?;
        if !case["wire"].is_string() {
            return Err(format!("{}: expected a frame case with `wire`", path.display()));
        }
        if case["frame"].is_null() {
            errors += 1
        } else {
            normal += 1
        }
        if let Err(difference) = check(&mut case, options.chunk) {
            differences += 1;
            println!("{name}: {difference}");
        } else if let Some(directory) = &options.write
            && !case["frame"].is_null()
        {
            json::write(&directory.join(&name), &case)?;
        }
    }
    println!("{what}: {normal} normal cases, {errors} error cases, {differences} differ");
    Ok(differences)
}

fn wire(case: &Value) -> Result<Vec<u8>, String> {
    case["wire"].as_str().and_then(json::unhex).ok_or("expected `wire` in hexadecimal".into())
}

/// Reads one frame, `chunk` octets at a time: what it is in JSON, or its error.
fn receive(wire: &[u8], chunk: Option<usize>) -> Result<Value, (ErrorCode, &'static str)> {
    let mut reader = Reader::default();
    for mut piece in wire.chunks(chunk.unwrap_or(wire.len()).max(1)) {
        if let Some(head) = reader.feed(&mut piece).map_err(|e| (e.code, e.reason))? {
            let payload = reader.payload();
            let frame = Frame::parse(&head, payload).map_err(|e| (e.code, e.reason))?;
            if !piece.is_empty() {
                return Err((ErrorCode::NO_ERROR, "the wire goes on after the frame"));
            }
            return Ok(describe(&head, payload, &frame));
        }
    }
    Err((ErrorCode::NO_ERROR, "the wire ends within the frame"))
}

fn text(octets: &[u8]) -> Value {
    String::from_utf8_lossy(octets).into()
}

/// Whether `padding_length` is the PADDED flag's (PRIORITY has the key, but no padding).
fn has_padding(frame: &Value) -> bool {
    frame["flags"].as_u64().is_some_and(|set| set & u64::from(flags::PADDED) != 0)
}

/// A frame as the cases write it.
fn describe(head: &Head, payload: &[u8], frame: &Frame<'_>) -> Value {
    let with_padding = |mut content: Value, padding: Option<u8>| {
        content["padding_length"] = padding.into();
        content["padding"] =
            padding.map_or(Value::Null, |padding| text(&payload[payload.len() - usize::from(padding)..]));
        content
    };
    let content = match frame {
        Frame::Data(data) => with_padding(json!({"data": text(data.data)}), data.padding),
        Frame::Headers(headers) => with_padding(
            json!({
                "header_block_fragment": text(headers.fragment),
                "stream_dependency": headers.priority.map(|p| p.dependency),
                "weight": headers.priority.map(|p| u16::from(p.weight) + 1),
                "exclusive": headers.priority.map(|p| p.exclusive),
            }),
            headers.padding,
        ),
        Frame::Priority(_, priority) => with_padding(
            json!({
                "stream_dependency": priority.dependency,
                "weight": u16::from(priority.weight) + 1,
                "exclusive": priority.exclusive,
            }),
            None,
        ),
        Frame::RstStream(reset) => json!({"error_code": reset.code.0}),
        Frame::Settings(settings) => {
            let entries: Vec<Value> =
                settings.entries().map(|entry| json!([entry.id.0, entry.value])).collect();
            json!({"settings": entries})
        }
        Frame::PushPromise(promise) => with_padding(
            json!({
                "header_block_fragment": text(promise.fragment),
                "promised_stream_id": promise.promised,
            }),
            promise.padding,
        ),
        Frame::Ping(ping) => json!({"opaque_data": text(&ping.data)}),
        Frame::GoAway(goaway) => json!({
            "last_stream_id": goaway.last,
            "error_code": goaway.code.0,
            "additional_debug_data": text(goaway.debug),
        }),
        Frame::WindowUpdate(update) => json!({"window_size_increment": update.increment}),
        Frame::Continuation(continuation) => json!({"header_block_fragment": text(continuation.fragment)}),
        _ => json!({}),
    };
    json!({
        "length": head.length,
        "type": head.kind.0,
        "flags": head.flags,
        "stream_identifier": head.stream,
        "frame_payload": content,
    })
}

/// Writes the frame that the JSON describes.
fn send(frame: &Value) -> Result<Vec<u8>, String> {
    let number = |value: &Value, what: &str| {
        value.as_u64().and_then(|n| u32::try_from(n).ok()).ok_or(format!("expected a number `{what}`"))
    };
    let content = &frame["frame_payload"];
    let field = |name: &str| number(&content[name], name);
    let octets =
        |name: &str| content[name].as_str().map(str::as_bytes).ok_or(format!("expected a string `{name}`"));
    let stream = number(&frame["stream_identifier"], "stream_identifier")?;
    let set = number(&frame["flags"], "flags")?;
    let has = |flag: u8| set & u32::from(flag) != 0;
    let (end_stream, end_headers, ack) = (has(flags::END_STREAM), has(flags::END_HEADERS), has(flags::ACK));
    let padding = match has(flags::PADDED) {
        true => Some(u8::try_from(field("padding_length")?).map_err(|_| "padding of more than 255 octets")?),
        false => None,
    };
    let priority = || -> Result<Priority, String> {
        Ok(Priority {
            exclusive: content["exclusive"].as_bool().ok_or("expected `exclusive`")?,
            dependency: field("stream_dependency")?,
            weight: (field("weight")?.wrapping_sub(1)).try_into().map_err(|_| "a weight is 1 to 256")?,
        })
    };
    let fragment = || octets("header_block_fragment");

    let mut buffer = vec![0; 1 << 15];
    let mut out = Writer::new(&mut buffer);
    let kind = number(&frame["type"], "type")?;
    match Kind(u8::try_from(kind).map_err(|_| "a type is an octet")?) {
        Kind::DATA => Frame::Data(Data { stream, end_stream, padding, data: octets("data")? }),
        Kind::HEADERS => Frame::Headers(Headers {
            stream,
            end_stream,
            end_headers,
            padding,
            priority: if has(flags::PRIORITY) { Some(priority()?) } else { None },
            fragment: fragment()?,
        }),
        Kind::PRIORITY => Frame::Priority(stream, priority()?),
        Kind::RST_STREAM => Frame::RstStream(RstStream { stream, code: ErrorCode(field("error_code")?) }),
        Kind::PUSH_PROMISE => {
            let promised = field("promised_stream_id")?;
            Frame::PushPromise(PushPromise { stream, end_headers, padding, promised, fragment: fragment()? })
        }
        Kind::PING => {
            let data = octets("opaque_data")?.try_into().map_err(|_| "a PING has 8 octets")?;
            Frame::Ping(Ping { ack, data })
        }
        Kind::GOAWAY => Frame::GoAway(GoAway {
            last: field("last_stream_id")?,
            code: ErrorCode(field("error_code")?),
            debug: octets("additional_debug_data")?,
        }),
        Kind::WINDOW_UPDATE => {
            Frame::WindowUpdate(WindowUpdate { stream, increment: field("window_size_increment")? })
        }
        Kind::CONTINUATION => {
            Frame::Continuation(Continuation { stream, end_headers, fragment: fragment()? })
        }
        Kind::SETTINGS if ack => Frame::Settings(Settings::ACK),
        Kind::SETTINGS => {
            let mut entries = Vec::new();
            for entry in content["settings"].as_array().ok_or("expected an array `settings`")? {
                let id = number(&entry[0], "setting")?.try_into().map_err(|_| "a setting has 16 bits")?;
                entries.push(Setting { id: SettingId(id), value: number(&entry[1], "value")? });
            }
            Settings::write_entries(&entries, &mut out);
            let len = out.finish().ok_or("the frame is too large")?;
            buffer.truncate(len);
            return Ok(buffer);
        }
        other => return Err(format!("{other:?} cannot be written")),
    }
    .write(&mut out);
    let len = out.finish().ok_or("the frame is too large")?;
    buffer.truncate(len);
    Ok(buffer)
}
