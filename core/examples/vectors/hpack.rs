//! HPACK stories: `{"cases":[{"seqno","header_table_size"?,"wire"?,"headers":[{NAME:VALUE}…]}…]}`.

use super::{Options, json, wire};
use grpclb_core::bytes::Writer;
use grpclb_core::hpack::{DEFAULT_TABLE_SIZE, Decoder, Encoder, Field, Indexing, Step};
use serde_json::{Value, json};
use std::path::Path;

/// A name or value is u16 long at most; a case of the stories has far less in all.
const LARGEST_FIELD: usize = 2 * 65_535;

type Header = (Vec<u8>, Vec<u8>);

struct Case {
    seqno: u64,
    table_size: Option<u32>,
    wire: Option<Vec<u8>>,
    headers: Vec<Header>,
}

/// Decodes all stories; how many cases differ.
pub(crate) fn decode(options: &Options) -> Result<usize, String> {
    let mut totals = Totals::default();
    for path in &options.files {
        let name = json::name(path);
        let cases = story(path)?;
        let mut run = DecoderRun::new(options, &cases);
        for case in &cases {
            let wire =
                case.wire.as_ref().ok_or(format!("{}: case {} has no wire", path.display(), case.seqno))?;
            if !totals.case(&name, case, wire.len(), run.check(case, wire)) {
                break; // the rest of the story depends on this case
            }
        }
    }
    totals.print("decoded");
    Ok(totals.differences)
}

/// Encodes all stories and decodes them again; how many cases differ.
pub(crate) fn encode(options: &Options) -> Result<usize, String> {
    let mut totals = Totals::default();
    for path in &options.files {
        let name = json::name(path);
        let mut cases = story(path)?;
        let mut decoder = DecoderRun::new(options, &cases);
        let largest = decoder.table.len();
        let mut encoder = Encoder::new(largest as u32);
        encoder.set_peer_limit(options.table);
        let mut table = vec![0; largest];
        for case in &mut cases {
            if let Some(size) = case.table_size {
                encoder.set_peer_limit(size);
            }
            let wire = encode_block(&mut encoder, &mut table, &case.headers)
                .ok_or(format!("{name} case {}: does not fit in Encoder::bound", case.seqno))?;
            let difference = decoder.check(case, &wire);
            let right = totals.case(&name, case, wire.len(), difference);
            case.wire = Some(wire);
            if !right {
                break;
            }
        }
        if let Some(directory) = &options.write {
            json::write(&directory.join(&name), &to_json(&cases))?;
        }
    }
    totals.print("encoded");
    Ok(totals.differences)
}

fn encode_block(encoder: &mut Encoder, table: &mut [u8], headers: &[Header]) -> Option<Vec<u8>> {
    let bound: usize = headers.iter().map(|(name, value)| Encoder::bound(name.len(), value.len())).sum();
    let mut wire = vec![0; Encoder::BEGIN_BOUND + bound];
    let mut out = Writer::new(&mut wire);
    encoder.begin(table, &mut out);
    for (name, value) in headers {
        encoder.encode(table, &Field { name, value, indexing: Indexing::ByName }, &mut out);
    }
    let len = out.finish()?;
    wire.truncate(len);
    Some(wire)
}

/// One story's decoder.
struct DecoderRun {
    decoder: Decoder,
    table: Vec<u8>,
    out: Vec<u8>,
    chunk: Option<usize>,
}

impl DecoderRun {
    fn new(options: &Options, cases: &[Case]) -> DecoderRun {
        let sizes = cases.iter().filter_map(|case| case.table_size);
        let largest = sizes.chain([options.table, DEFAULT_TABLE_SIZE]).max().unwrap_or(DEFAULT_TABLE_SIZE);
        let mut decoder = Decoder::new(DEFAULT_TABLE_SIZE);
        if cases.first().is_some_and(|case| case.table_size.is_none()) {
            decoder.set_limit(options.table);
        }
        let table = vec![0; largest as usize];
        DecoderRun { decoder, table, out: vec![0; LARGEST_FIELD], chunk: options.chunk }
    }

    /// Decodes a case from `block`; what differs, if anything.
    fn check(&mut self, case: &Case, block: &[u8]) -> Result<(), String> {
        if let Some(size) = case.table_size {
            self.decoder.set_limit(size); // "sent and acknowledged just before this case"
        }
        let block: Vec<u8> = match self.chunk {
            Some(chunk) => wire::through_frames(block, chunk)?,
            None => block.to_vec(),
        };
        let mut block = block.as_slice();
        self.decoder.begin();
        let mut expected = case.headers.iter();
        loop {
            let step = self.decoder.step(&mut self.table, &mut block, &mut self.out);
            match (step.map_err(|e| e.to_string())?, expected.next()) {
                (Step::End, None) => return Ok(()),
                (Step::Field(field), Some((name, value))) => {
                    let (got_name, rest) = self.out.split_at(field.name.into());
                    let got_value = &rest[..field.value.into()];
                    if got_name != name || got_value != value {
                        return Err(format!(
                            "expected {}, got {}",
                            show(name, value),
                            show(got_name, got_value)
                        ));
                    }
                }
                (step, expected) => {
                    let expected = expected.map_or("the end".into(), |(name, value)| show(name, value));
                    return Err(format!("expected {expected}, got {step:?}"));
                }
            }
        }
    }
}

#[derive(Default)]
struct Totals {
    stories: std::collections::BTreeSet<String>,
    cases: usize,
    fields: usize,
    plain: usize,
    wire: usize,
    differences: usize,
}

impl Totals {
    /// Counts a case and tells of a difference; whether there was none.
    fn case(&mut self, story: &str, case: &Case, wire: usize, result: Result<(), String>) -> bool {
        self.stories.insert(story.to_owned());
        self.cases += 1;
        self.fields += case.headers.len();
        self.plain += case.headers.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>();
        self.wire += wire;
        if let Err(difference) = &result {
            self.differences += 1;
            println!("{story} case {}: {difference}", case.seqno);
        }
        result.is_ok()
    }

    fn print(&self, what: &str) {
        let ratio = self.wire as f64 / self.plain.max(1) as f64;
        println!(
            "{what}: {} stories, {} cases, {} fields, {} octets on the wire for {} plain, ratio {ratio:.4}, {} differ",
            self.stories.len(),
            self.cases,
            self.fields,
            self.wire,
            self.plain,
            self.differences,
        );
    }
}

fn show(name: &[u8], value: &[u8]) -> String {
    format!("{:?}: {:?}", String::from_utf8_lossy(name), String::from_utf8_lossy(value))
}

fn story(path: &Path) -> Result<Vec<Case>, String> {
    let fail = |what: String| format!("{}: {what}", path.display());
    let root = json::read(path)?;
    let cases = root["cases"].as_array().ok_or(fail("expected an array `cases`".into()))?;
    let read = |(i, case): (usize, &Value)| {
        let seqno = case["seqno"].as_u64().unwrap_or(i as u64);
        let fail = |what: &str| fail(format!("case {seqno}: expected {what}"));
        let table_size = match &case["header_table_size"] {
            Value::Null => None,
            size => {
                Some(size.as_u64().filter(|&n| n < 1 << 24).ok_or(fail("`header_table_size` below 2^24"))?
                    as u32)
            }
        };
        let wire = match &case["wire"] {
            Value::Null => None,
            wire => Some(wire.as_str().and_then(json::unhex).ok_or(fail("`wire` in hexadecimal"))?),
        };
        let mut headers = Vec::new();
        for header in case["headers"].as_array().ok_or(fail("an array `headers`"))? {
            for (name, value) in header.as_object().ok_or(fail("headers as objects"))? {
                let value = value.as_str().ok_or(fail("header values as strings"))?;
                headers.push((name.clone().into_bytes(), value.to_owned().into_bytes()));
            }
        }
        Ok(Case { seqno, table_size, wire, headers })
    };
    cases.iter().enumerate().map(read).collect()
}

fn to_json(cases: &[Case]) -> Value {
    let text = |octets: &[u8]| String::from_utf8_lossy(octets).into_owned();
    let cases = cases.iter().map(|case| {
        let headers = case.headers.iter().map(|(name, value)| json!({text(name): text(value)}));
        let mut json = json!({
            "seqno": case.seqno,
            "wire": json::hex(case.wire.as_deref().unwrap_or_default()),
            "headers": headers.collect::<Value>(),
        });
        if let Some(size) = case.table_size {
            json["header_table_size"] = size.into();
        }
        json
    });
    json!({"description": "Encoded by grpclb-core.", "cases": cases.collect::<Value>()})
}
