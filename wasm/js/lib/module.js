// The WebAssembly module: its memory as views, and what goes in and comes out of it.
//
// Everything here is synchronous and nothing of the memory is kept: what a function gives is a copy.

import * as glue from './glue.js';

export * from './glue.js';

/** Octets of a body's chunk that go in at a time. */
export const CHUNK = 65536;

const decoder = new TextDecoder('utf-8', { ignoreBOM: true });
const encoder = new TextEncoder();

let memory = null;
let octets = new Uint8Array(0);
let words = new Uint32Array(0);
let report = 0; // indices into words
let table = 0;
let input = 0;
let room = 0;

function started(exports) {
  memory = exports.memory;
  report = glue.report_pointer() >>> 2;
  table = glue.table_pointer() >>> 2;
  reserve(CHUNK);
}

/** Starts the module, at once. `source`: its octets, or a WebAssembly.Module. Once is enough. */
export function initSync(source) {
  if (memory !== null) return;
  try {
    started(glue.initSync({ module: source }));
  } catch (error) {
    throw explained(error);
  }
}

/** Starts the module. `source`: its octets, a WebAssembly.Module, a Response, or its URL. Once is enough. */
export async function init(source) {
  if (memory !== null) return;
  let exports;
  try {
    exports = await glue.default({ module_or_path: source });
  } catch (error) {
    throw explained(error);
  }
  if (memory === null) started(exports);
}

/** Browsers name `unsafe-eval`, which allows far more than is needed. */
function explained(error) {
  if (!(error instanceof WebAssembly.CompileError) || !/content security policy/i.test(error.message)) return error;
  const words = "grpclb: the page's Content-Security-Policy forbids WebAssembly; its script-src needs 'wasm-unsafe-eval'";
  return new Error(words, { cause: error });
}

export function ready() {
  if (memory === null) {
    throw new Error("grpclb: the module is not there yet; await init(…) of 'grpclb/slim' first, or import 'grpclb'");
  }
}

function look() {
  // The buffer is another one after the memory has grown.
  if (octets.buffer !== memory.buffer) {
    octets = new Uint8Array(memory.buffer);
    words = new Uint32Array(memory.buffer);
  }
}

/** Word `at` of the report. */
export function told(at) {
  look();
  return words[report + at];
}

/** The table of message parts: four words each, from `tableAt` on. Valid until the next call. */
export function tableWords() {
  look();
  return words;
}
export const tableAt = () => table;

/** Makes room for `len` octets of input; what was there is gone. */
function reserve(len) {
  if (len > room) {
    room = len;
  }
  input = glue.input_reserve(room);
  look();
}

/** Puts octets into the input. */
export function put(bytes) {
  if (bytes.length > room) reserve(bytes.length);
  look();
  octets.set(bytes, input);
}

/** Puts header field text (a code point is an octet, as in `Headers`) into the input from `at` on; gives where it ends. */
export function putLatin1(text, at) {
  look();
  const end = Math.min(at + text.length, room);
  for (let i = at, j = 0; i < end; i++, j++) octets[input + i] = text.charCodeAt(j);
  return end;
}

/** Puts a text into the input; gives its length in octets. */
export function putText(text) {
  const bytes = encoder.encode(text);
  put(bytes);
  return bytes.length;
}

/** Octets of the input, copied. */
export function takeInput(from, to) {
  look();
  return octets.slice(input + from, input + to);
}

/** The octets whose place and length are words `at` and `at + 1` of the report, copied. */
export function takeOctets(at) {
  look();
  const from = words[report + at];
  return octets.slice(from, from + words[report + at + 1]);
}

/** The same as a text. */
export function takeText(at) {
  look();
  const from = words[report + at];
  return decoder.decode(octets.subarray(from, from + words[report + at + 1]));
}

/** Copies `len` octets from where word 0 of the report says into `to`. */
export function copyOut(len, to, at) {
  look();
  const from = words[report];
  to.set(octets.subarray(from, from + len), at);
}

/**
 * The packed header fields at words 0 and 1 of the report: [name, value] pairs. Values of `-bin` names are octets in what
 * is received, base64 in what is sent.
 */
export function takeFields(received) {
  look();
  const entries = [];
  let at = words[report];
  const end = at + words[report + 1];
  while (at < end) {
    const nameLen = (octets[at] << 8) | octets[at + 1];
    const valueAt = at + 4 + nameLen;
    const valueEnd = valueAt + ((octets[at + 2] << 8) | octets[at + 3]);
    const name = decoder.decode(octets.subarray(at + 4, valueAt));
    const value = received && name.endsWith('-bin')
      ? octets.slice(valueAt, valueEnd)
      : decoder.decode(octets.subarray(valueAt, valueEnd));
    entries.push([name, value]);
    at = valueEnd;
  }
  return entries;
}
