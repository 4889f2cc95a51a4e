// Nanoseconds a message of a server stream: this package, and grpc-web's own code (npm), on the same octets in one
// process. Neither sees a network: ours gets a `fetch`, grpc-web an XMLHttpRequest, that give chunks of 64 KiB from memory.
//
//     make bench-wasm

import { createRequire } from 'node:module';
import { setImmediate as turn } from 'node:timers/promises';
import { GrpcWebChannel } from 'grpclb';
import { message, trailers } from './server.mjs';

const [packages] = process.argv.slice(2);
const CHUNK = 65_536;
const METHOD = '/bench.Bench/Stream';
const NOTHING = new Uint8Array(0);

function chunksOf(octets) {
  const chunks = [];
  for (let at = 0; at < octets.length; at += CHUNK) chunks.push(octets.subarray(at, at + CHUNK));
  return chunks;
}

// ---- ours

async function ours(body, text, view) {
  const type = `application/grpc-web${text ? '-text' : ''}+proto`;
  const chunks = chunksOf(body);
  let next = 0;
  const stream = () => ({ getReader: () => ({
    read: async () => (next < chunks.length ? { value: chunks[next++], done: false } : { done: true }),
    cancel: async () => {},
  }) });
  const channel = new GrpcWebChannel({
    endpoints: ['http://nowhere.test'], maxMessageSize: 2 ** 24,
    fetch: async () => ({ status: 200, headers: [['content-type', type]], body: stream() }),
  });
  let count = 0;
  for await (const one of channel.serverStreaming(METHOD, NOTHING, { view })) count += one.length > 0;
  channel.close();
  return count;
}

// ---- grpc-web's

class FakeXhr {
  static chunks = [];
  readyState = 0;
  status = 0;
  responseText = '';
  response = null;
  responseType = '';
  #type;
  open() { this.readyState = 1; }
  setRequestHeader(name, value) { if (name.toLowerCase() === 'content-type') this.#type = value; }
  getAllResponseHeaders() { return `content-type: ${this.#type}\r\n`; }
  getResponseHeader(name) { return name.toLowerCase() === 'content-type' ? this.#type : null; }
  abort() {}
  async send() {
    await null; // an event within send() is overlooked
    this.status = 200;
    this.#to(2);
    if (this.responseType === 'arraybuffer') {
      // As in browsers: all of it, at the end.
      const all = Buffer.concat(FakeXhr.chunks);
      this.response = all.buffer.slice(all.byteOffset, all.byteOffset + all.length);
    } else {
      for (const chunk of FakeXhr.chunks) {
        this.responseText += chunk.toString('latin1');
        this.response = this.responseText;
        this.#to(3);
      }
    }
    this.#to(4);
  }
  #to(state) {
    this.readyState = state;
    this.onreadystatechange?.({ type: 'readystatechange' });
  }
}

function theirs() {
  if (!packages) return null;
  globalThis.XMLHttpRequest = FakeXhr;
  const { GrpcWebClientBase, MethodDescriptor, MethodType } = createRequire(`${packages}/x.js`)('grpc-web');
  const method = new MethodDescriptor(METHOD, MethodType.SERVER_STREAMING, Uint8Array, Uint8Array, () => NOTHING, (octets) => octets);
  return (body, text) => {
    FakeXhr.chunks = chunksOf(body);
    const client = new GrpcWebClientBase({ format: text ? 'text' : 'binary', maxMessageLength: 2 ** 24 });
    return new Promise((resolve, reject) => {
      let count = 0;
      const stream = client.serverStreaming(`http://nowhere.test${METHOD}`, NOTHING, {}, method);
      stream.on('data', (one) => (count += one.length > 0));
      stream.on('error', reject);
      stream.on('end', () => resolve(count));
    });
  };
}

// ---- the comparison

async function best(runs, body, count, call) {
  let least = Infinity;
  for (let run = 0; run < runs; run++) {
    await turn();
    const began = performance.now();
    const got = await call();
    const took = performance.now() - began;
    if (got !== count) throw new Error(`${got} messages of ${count}`);
    least = Math.min(least, took);
  }
  return (least * 1e6) / count;
}

const other = theirs();
const LOADS = [['100 B', 98, 50_000], ['1 MiB', 1 << 20, 16]];
console.log('best of 7, nanoseconds a message (times slower than ours in views)');
for (const [name, size, count] of LOADS) {
  const payload = Buffer.alloc(size, 7);
  const frames = Buffer.concat([...Array.from({ length: count }, () => message(payload)), trailers()]);
  for (const text of [false, true]) {
    const body = text ? Buffer.from(frames.toString('base64')) : frames;
    const views = await best(7, body, count, () => ours(body, text, true));
    const copies = await best(7, body, count, () => ours(body, text, false));
    const grpcWeb = other ? await best(3, body, count, () => other(body, text)) : NaN;
    const times = (ns) => `${ns.toFixed(0).padStart(10)} (${(ns / views).toFixed(1)})`;
    console.log(`${name} ${text ? 'text  ' : 'binary'}  ours, views ${times(views)}  copies ${times(copies)}  grpc-web ${times(grpcWeb)}`);
  }
}
