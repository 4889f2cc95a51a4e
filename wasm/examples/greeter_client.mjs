// Calls helloworld.Greeter/SayHello over gRPC-Web and tells which peers served the calls.
//
// Exit codes: 0 when every call was OK, 2 for bad arguments (a target or service config that is wrong included), else 64 +
// the status code of the first call that failed, with `NAME: message` on standard error.
//
// The package is the built one: `make wasm` first.

import { GrpcError, GrpcWebChannel } from 'grpclb';
import { fail, number, parse } from './args.mjs';

const PROGRAM = 'greeter_client';
const SAY_HELLO = '/helloworld.Greeter/SayHello';
const PATIENCE = 30_000; // of --wait-ready, milliseconds
const PICKS = 64; // that picks_first shows

const flags = parse(
  PROGRAM,
  'Calls helloworld.Greeter/SayHello over gRPC-Web and tells which peers served the calls.',
  {
    target: ['URLS', 'base URLs, comma-separated: http://host:port,https://host/prefix', null],
    'service-config': ['JSON', "gRPC's service config; without it: pick_first", undefined],
    format: ['FORMAT', 'binary or text (base64)', 'binary'],
    calls: ['N', 'how many calls', '1'],
    concurrency: ['C', 'how many of them at a time', '1'],
    'deadline-ms': ['D', 'deadline of each call; without it: none', undefined],
    'interval-ms': ['N', 'each caller waits so long between its calls', '0'],
    'wait-ready': ['K', 'start the calls when K endpoints are READY (waits 30 s at most)', undefined],
    'wait-for-ready': [null, 'calls wait through TRANSIENT_FAILURE instead of failing fast', false],
    name: ['NAME', 'whom to greet', 'world'],
    json: [null, 'print one line of JSON', false],
  },
  process.argv.slice(2),
);

const calls = number(PROGRAM, 'calls', flags.calls);
const concurrency = number(PROGRAM, 'concurrency', flags.concurrency, 4096);
if (concurrency < 1) fail(PROGRAM, '--concurrency 0: expected a number from 1 to 4096');
const interval = number(PROGRAM, 'interval-ms', flags['interval-ms']);
const timeoutMs = number(PROGRAM, 'deadline-ms', flags['deadline-ms']);
const waitReady = number(PROGRAM, 'wait-ready', flags['wait-ready'], 65_535);
if (flags['service-config'] === '') fail(PROGRAM, '--service-config: expected JSON');

const channel = open();
const options = { waitForReady: flags['wait-for-ready'] };
if (timeoutMs !== undefined) options.timeoutMs = timeoutMs;
const request = text(flags.name);

const tally = { calls: 0, peers: {}, status: {}, picks: [], answer: '', failure: null };
if (waitReady) await ready();
const began = performance.now();
let started = 0;
await Promise.all(Array.from({ length: concurrency }, caller));
if (flags.json) console.log(json());
else table(performance.now() - began);
channel.close();
process.exitCode = tally.failure ? failed(tally.failure) : 0;

function open() {
  try {
    return new GrpcWebChannel({
      endpoints: flags.target.split(','),
      serviceConfig: flags['service-config'],
      format: flags.format,
    });
  } catch (error) {
    const words = error.message.replace(/^serviceConfig:/, '--service-config:').replace(/^endpoints/, '--target: endpoints');
    return fail(PROGRAM, words);
  }
}

async function ready() {
  try {
    await channel.waitForReady(waitReady, { timeoutMs: PATIENCE });
  } catch {
    const states = channel.endpoints().map(({ url, state }) => `${url} ${state}`);
    console.error(`UNAVAILABLE: not ${waitReady} endpoints were READY within ${PATIENCE / 1000} s: ${states.join(', ')}`);
    process.exit(64 + 14);
  }
}

/** One of those that call, one after the other. */
async function caller() {
  for (let turn = 0; started < calls; turn++) {
    const number = started++;
    if (turn > 0 && interval > 0) await new Promise((resolve) => setTimeout(resolve, interval));
    await call(number);
  }
}

async function call(number) {
  let code = 'OK';
  try {
    const { message, headers, endpoint } = await channel.unary(SAY_HELLO, request, options);
    // A gateway tells which of its backends it was.
    const peer = headers.get('grpclb-peer') ?? new URL(endpoint).host;
    reached(peer);
    tally.picks[number] = peer;
    tally.answer = answer(message, peer);
  } catch (error) {
    if (!(error instanceof GrpcError)) throw error;
    code = error.codeName;
    tally.failure ??= error;
    if (error.endpoint) reached(error.trailers.get('grpclb-peer') ?? new URL(error.endpoint).host);
  }
  tally.calls += 1;
  tally.status[code] = (tally.status[code] ?? 0) + 1;
}

function reached(peer) {
  tally.peers[peer] = (tally.peers[peer] ?? 0) + 1;
}

/** HelloRequest and HelloReply are one field, number 1, a string. */
function text(name) {
  const octets = new TextEncoder().encode(name);
  const length = [];
  let rest = octets.length;
  for (; rest > 127; rest >>>= 7) length.push((rest & 127) | 128);
  return Uint8Array.of(10, ...length, rest, ...octets);
}

function answer(message, peer) {
  let [at, length, shift] = [1, 0, 0];
  if (message.length === 0) return '';
  for (let more = true; more && at < message.length; shift += 7) {
    more = message[at] > 127;
    length += (message[at++] & 127) * 2 ** shift;
  }
  if (message[0] !== 10 || at + length !== message.length) {
    throw new GrpcError(13, `${peer} answered no HelloReply`);
  }
  return new TextDecoder().decode(message.subarray(at));
}

function sorted(counts) {
  return Object.fromEntries(Object.entries(counts).sort(([a], [b]) => (a < b ? -1 : 1)));
}

function json() {
  const { calls, picks } = tally;
  const first = picks.filter((peer) => peer !== undefined).slice(0, PICKS);
  return JSON.stringify({ calls, peers: sorted(tally.peers), status: sorted(tally.status), picks_first: first });
}

function table(took) {
  const each = concurrency === 1 ? '' : `, ${concurrency} at a time`;
  console.log(`${tally.calls} ${tally.calls === 1 ? 'call' : 'calls'}${each}, in ${(took / 1000).toFixed(2)} s`);
  const wide = Math.max(6, ...Object.keys(tally.peers).map((peer) => peer.length));
  for (const [peer, count] of Object.entries(sorted(tally.peers))) {
    console.log(`  ${peer.padEnd(wide)}  ${String(count).padStart(8)}  ${((count / tally.calls) * 100).toFixed(1).padStart(5)} %`);
  }
  for (const [code, count] of Object.entries(sorted(tally.status))) {
    console.log(`  ${code.padEnd(wide)}  ${String(count).padStart(8)}`);
  }
  if (tally.answer) console.log(`the last answer: ${oneLine(tally.answer)}`);
}

/** What a server sent stays on its line, and moves no cursor. */
function oneLine(text) {
  return text.replace(/[\u0000-\u001f\u007f-\u009f]/g, (char) => `\\x${char.charCodeAt(0).toString(16).padStart(2, '0')}`);
}

function failed(error) {
  console.error(oneLine(`${error.codeName}: ${error.message}`));
  return Math.min(64 + error.code, 255);
}
