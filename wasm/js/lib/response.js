// A call's response: header fields and chunks in, messages and one status out.

import { Metadata } from './metadata.js';
import * as wasm from './module.js';
import { expected } from './options.js';

const STATUS = 2;

/** What a response is read with. Give it back with `free`. */
export class Exchange {
  #number = -1; // from the head on: thousands of calls may wait for theirs
  #maxMessageSize;
  #message = null; // one that came in part, and how much of it is there
  #have = 0;

  constructor(maxMessageSize) {
    this.#maxMessageSize = maxMessageSize;
  }

  free() {
    if (this.#number >= 0) wasm.exchange_free(this.#number);
    this.#number = -1;
  }

  /** The head. Gives `{ headers }`, `{ status }`, or nothing yet. */
  head(status, headers) {
    this.#number = wasm.exchange_new(this.#maxMessageSize);
    for (const [name, value] of headers) {
      const nameEnd = wasm.putLatin1(name, 0);
      const end = wasm.putLatin1(value, nameEnd);
      wasm.exchange_header(this.#number, nameEnd, end - nameEnd);
    }
    const event = wasm.exchange_head(this.#number, status);
    if (event === STATUS) return { status: takeStatus() };
    return event === 0 ? {} : { headers: new Metadata(wasm.takeFields(true)) };
  }

  /**
   * Takes a chunk of the body. Messages go to the end of `messages`: copies, or (`view`) windows into `chunk` or, of a
   * text, into its decoded octets. Gives the status, when it is known before the end, or null.
   */
  feed(chunk, messages, view) {
    if (!(chunk instanceof Uint8Array)) throw expected('fetch', 'a body of octets', chunk);
    for (let from = 0; from < chunk.length; from += wasm.CHUNK) {
      const part = chunk.length <= wasm.CHUNK ? chunk : chunk.subarray(from, from + wasm.CHUNK);
      wasm.put(part);
      const end = wasm.exchange_decode(this.#number, part.length);
      const octets = wasm.told(7) === 1 ? wasm.takeInput(0, end) : part;
      let at = 0;
      do {
        const event = wasm.exchange_recv(this.#number, at, end);
        const parts = wasm.told(6);
        at = wasm.told(7);
        this.#take(octets, parts, messages, view);
        if (event === STATUS) return takeStatus();
      } while (at < end);
    }
    return null;
  }

  #take(octets, parts, messages, view) {
    const words = wasm.tableWords();
    let entry = wasm.tableAt();
    for (let i = 0; i < parts; i++, entry += 4) {
      const from = words[entry];
      const to = from + words[entry + 1];
      const offset = words[entry + 2];
      const length = words[entry + 3];
      if (to - from === length) {
        messages.push(view ? octets.subarray(from, to) : octets.slice(from, to));
        continue;
      }
      // Longer than a chunk, or across the border of two. Its length is within the limit.
      if (offset === 0) this.#message = new Uint8Array(length);
      this.#message.set(octets.subarray(from, to), offset);
      if (offset + to - from === length) {
        messages.push(this.#message);
        this.#message = null;
      }
    }
  }

  /** The body ended, or (`lost`) its connection. Gives the status. */
  end(lost) {
    wasm.exchange_end(this.#number, lost);
    return takeStatus();
  }
}

/**
 * Reads a Response's body: `read` as a reader's; `cancel` gives up what is left. Hosts without web streams (React
 * Native, node-fetch) give all of it at the end.
 */
export function bodyOf(response) {
  const { body } = response;
  if (body !== null && !body?.getReader && typeof response.arrayBuffer === 'function') {
    let taken = false;
    const read = async () => {
      if (taken) return { done: true };
      taken = true;
      return { done: false, value: new Uint8Array(await response.arrayBuffer()) };
    };
    return { read, cancel() {} };
  }
  if (!body) return { read: async () => ({ done: true }), cancel() {} };
  const reader = body.getReader();
  return { read: () => reader.read(), cancel: () => void reader.cancel().catch(() => {}) };
}

function takeStatus() {
  return { code: wasm.told(2), message: wasm.takeText(3), trailers: new Metadata(wasm.takeFields(true)) };
}
