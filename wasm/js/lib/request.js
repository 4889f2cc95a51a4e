// A call's request: header fields and body.

import * as wasm from './module.js';

/** The header fields, for `fetch`. `timeoutMs` NaN: none. */
export function requestHead(text, timeoutMs, metadata) {
  wasm.put(metadata.octets);
  const wrong = wasm.request_head(text, timeoutMs, metadata.octets.length);
  if (wrong > 0) {
    const name = JSON.stringify(metadata.names[wrong - 1]);
    throw new TypeError(
      `metadata[${name}]: expected a name of 0-9 a-z _ - . that is not gRPC's own, and a value of printable ASCII`,
    );
  }
  if (wrong < 0) throw new TypeError('metadata: expected values of at most 65535 octets in base64');
  return wasm.takeFields(false);
}

/** A body with one message. */
export function requestBody(text, message) {
  const body = new Uint8Array(wasm.body_len(text, message.length));
  let at = 0;
  const take = (len) => {
    wasm.copyOut(len, body, at);
    at += len;
  };
  take(wasm.body_begin(text, message.length));
  if (!text) {
    body.set(message, at);
    return body;
  }
  for (let from = 0; from < message.length; from += wasm.CHUNK) {
    const part = message.subarray(from, from + wasm.CHUNK);
    wasm.put(part);
    take(wasm.body_put(part.length));
  }
  take(wasm.body_finish());
  return body;
}
