// Answers as they should not be, and as they may be but seldom are: every one ends with the right status, wherever it is
// cut. The frames' own rules are tested with the core; here it is what `fetch` and this package make of them.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { GrpcError, GrpcWebChannel, Status } from 'grpclb';
import { answers, chunked, collect, frame, message, serve, trailers } from './server.mjs';

const METHOD = '/test.Echo/Say';
const NOTHING = new Uint8Array(0);
const TYPE = 'application/grpc-web+proto';
const TEXT = 'application/grpc-web-text+proto';
const base64 = (...parts) => parts.map((part) => part.toString('base64')).join('');

/** A channel whose network is a function. */
function channelOf(respond, options = {}) {
  return new GrpcWebChannel({ endpoints: ['http://nowhere.test'], fetch: async (...args) => respond(...args), ...options });
}

/** What a stream gives: its messages, and a status code with words. */
async function outcome(channel) {
  const stream = channel.serverStreaming(METHOD, NOTHING);
  const messages = [];
  try {
    for await (const one of stream) messages.push(Buffer.from(one).toString('latin1'));
    return { messages, code: Status.OK };
  } catch (error) {
    assert.ok(error instanceof GrpcError, error);
    return { messages, code: error.code, words: error.message, trailers: error.trailers };
  }
}

const respond = (chunks, type = TYPE, init = {}) => () =>
  chunked(chunks, { status: 200, ...init, headers: { ...(type ? { 'content-type': type } : {}), ...init.headers } });

test('wherever the network cuts it, an answer is the same', async () => {
  const octets = Buffer.concat([message(''), message('one'), message('x'.repeat(70)), trailers('grpc-status:5\r\nx-a: b\r\ngrpc-message:caf%C3%A9')]);
  const expected = ['', 'one', 'x'.repeat(70)];
  for (const [type, body] of [[TYPE, octets], [TEXT, Buffer.from(octets.toString('base64'))],
    [TEXT, Buffer.from(base64(message(''), message('one'), message('x'.repeat(70)), trailers('grpc-status:5\r\nx-a: b\r\ngrpc-message:caf%C3%A9')))]]) {
    for (let cut = 0; cut <= body.length; cut++) {
      const { messages, code, words } = await outcome(channelOf(respond([body.subarray(0, cut), [], body.subarray(cut)], type)));
      assert.deepEqual([messages, code, words], [expected, Status.NOT_FOUND, 'café'], `${type} cut at ${cut}`);
    }
    const each = Array.from(body, (octet) => [octet]);
    const { messages, words } = await outcome(channelOf(respond(each, type)));
    assert.deepEqual([messages, words], [expected, 'café'], `${type}, octet by octet`);
  }
});

test('an answer that ends too early is an error, wherever it ends', async () => {
  const octets = Buffer.concat([message('one'), message('two'), trailers()]);
  for (const [type, body] of [[TYPE, octets], [TEXT, Buffer.from(octets.toString('base64'))]]) {
    for (let end = 0; end < body.length; end++) {
      const { code } = await outcome(channelOf(respond([body.subarray(0, end)], type)));
      assert.ok([Status.INTERNAL, Status.UNKNOWN].includes(code), `${type} ended at ${end}: ${code}`);
      await assert.rejects(channelOf(respond([body.subarray(0, end)], type)).unary(METHOD, NOTHING), GrpcError);
    }
    assert.equal((await outcome(channelOf(respond([body], type)))).code, Status.OK);
  }
});

test('a connection that breaks in the middle is UNAVAILABLE', async () => {
  const octets = Buffer.concat([message('one'), message('two')]);
  const server = await serve((_, response) => {
    response.writeHead(200, { 'content-type': TYPE, 'content-length': '1000' });
    response.write(octets, () => setTimeout(() => response.destroy(), 20));
  });
  const channel = new GrpcWebChannel({ endpoints: [server.url] });
  const { messages, code } = await outcome(channel);
  assert.deepEqual([messages, code], [['one', 'two'], Status.UNAVAILABLE]);
  await assert.rejects(channel.unary('/test.Echo/One', NOTHING), (error) => error.code === Status.INTERNAL || error.code === Status.UNAVAILABLE);
  channel.close();
});

const CASES = [
  ['no trailers, HTTP 200', [message('a')], {}, Status.UNKNOWN, ['a']],
  ['nothing at all', [], {}, Status.UNKNOWN],
  ['HTML', ['<html>'], { type: 'text/html' }, Status.UNKNOWN],
  ['HTML with HTTP 404', ['<html>'], { type: 'text/html', status: 404 }, Status.UNIMPLEMENTED],
  ['no content-type, HTTP 401', [], { type: null, status: 401 }, Status.UNAUTHENTICATED],
  ['HTTP 403', [], { type: null, status: 403 }, Status.PERMISSION_DENIED],
  ['HTTP 400', [], { type: null, status: 400 }, Status.INTERNAL],
  ['HTTP 429', [], { type: null, status: 429 }, Status.UNAVAILABLE],
  ['HTTP 502', [], { type: null, status: 502 }, Status.UNAVAILABLE],
  ['HTTP 503', [], { type: null, status: 503 }, Status.UNAVAILABLE],
  ['HTTP 504 with grpc-status', [], { type: null, status: 504, headers: { 'grpc-status': '14', 'grpc-message': 'late%21' } }, Status.UNAVAILABLE],
  ['HTTP 500', [], { type: null, status: 500 }, Status.UNKNOWN],
  ['trailers in the head', [], { headers: { 'grpc-status': '7', 'grpc-message': 'no' } }, Status.PERMISSION_DENIED],
  ['the same as plain gRPC', [], { type: 'application/grpc', headers: { 'grpc-status': '1' } }, Status.CANCELLED],
  ['the same, and an empty trailers frame', [frame(0x80, '')], { headers: { 'grpc-status': '7' } }, Status.PERMISSION_DENIED],
  ['OK in the head, no body', [], { headers: { 'grpc-status': '0' } }, Status.OK],
  ['the trailers frame has the last word', [trailers('grpc-status:5\r\n')], { headers: { 'grpc-status': '0' } }, Status.NOT_FOUND],
  ['plain gRPC without status', [message('a')], { type: 'application/grpc' }, Status.UNKNOWN],
  ['unknown flags', [frame(2, 'a'), trailers()], {}, Status.INTERNAL],
  ['compressed without encoding', [frame(1, 'a'), trailers()], {}, Status.INTERNAL],
  ['compressed trailers', [frame(0x81, OK_FIELDS())], {}, Status.INTERNAL],
  ['more after the trailers', [trailers(), message('a')], {}, Status.INTERNAL],
  ['two trailers frames', [trailers(), trailers()], {}, Status.INTERNAL],
  ['a trailers line without colon', [trailers('grpc-status\r\n')], {}, Status.INTERNAL],
  ['trailers without grpc-status', [trailers('x-a:b\r\n')], {}, Status.UNKNOWN],
  ['grpc-status that is no number', [trailers('grpc-status:zero\r\n')], {}, Status.UNKNOWN],
  ['grpc-status without a name', [trailers('grpc-status:42\r\n')], {}, 42],
  ['a message of 4 GiB, announced', [Buffer.from([0, 255, 255, 255, 255])], {}, Status.RESOURCE_EXHAUSTED],
  ['trailers of 4 GiB, announced', [Buffer.from([0x80, 255, 255, 255, 255])], {}, Status.RESOURCE_EXHAUSTED],
  ['text that is not base64', ['AAAA****'], { type: TEXT }, Status.INTERNAL],
  ['text in URLs\' alphabet', ['____'], { type: TEXT }, Status.INTERNAL],
  ['text with a rest', ['AAAAAAA'], { type: TEXT }, Status.INTERNAL, ['']],
  ['details that are not base64 hide nothing', [trailers('grpc-status:8\r\ngrpc-status-details-bin:***\r\n')], {}, Status.RESOURCE_EXHAUSTED],
  ['headers beyond all measure', [trailers()], { headers: { 'x-big': 'x'.repeat(60_000) } }, Status.RESOURCE_EXHAUSTED],
  ['a header longer than the window', [trailers()], { headers: { 'x-big': 'x'.repeat(200_000) } }, Status.RESOURCE_EXHAUSTED],
];
function OK_FIELDS() {
  return 'grpc-status:0\r\n';
}

for (const [name, body, { type = TYPE, status, headers = {} }, code, messages = []] of CASES) {
  test(`${name}: ${code}`, async () => {
    const chunks = body.map((part) => Buffer.from(part));
    const told = await outcome(channelOf(respond(chunks, type, { status: status ?? 200, headers })));
    assert.deepEqual([told.code, told.messages], [code, messages], told.words);
    if (code !== Status.OK) assert.ok(code === 42 || headers['grpc-status'] || /grpc-status/.test(chunks) || told.words.length > 0);
  });
}

test('messages as large as allowed, and one octet more', async () => {
  for (const [size, code] of [[1000, Status.OK], [1001, Status.RESOURCE_EXHAUSTED]]) {
    const channel = channelOf(respond([message('x'.repeat(size)), trailers()]), { maxMessageSize: 1000 });
    assert.equal((await outcome(channel)).code, code);
  }
});

test('more messages in a chunk than the table has room for', async () => {
  const octets = Buffer.concat([...Array.from({ length: 30_000 }, () => message('')), trailers()]);
  for (const chunks of [[octets], [octets.subarray(0, 7), octets.subarray(7)]]) {
    assert.equal((await outcome(channelOf(respond(chunks)))).messages.length, 30_000);
  }
  const text = Buffer.from(octets.toString('base64'));
  assert.equal((await outcome(channelOf(respond([text], TEXT)))).messages.length, 30_000);
});

test('what fetch rejects with, and what it should not give', async () => {
  const broken = new TypeError('Failed to fetch');
  await assert.rejects(
    channelOf(() => { throw broken; }).unary(METHOD, NOTHING),
    { code: Status.UNAVAILABLE, message: 'Failed to fetch', cause: broken, endpoint: 'http://nowhere.test' },
  );
  for (const nonsense of [undefined, null, 5, {}]) {
    await assert.rejects(channelOf(() => nonsense).unary(METHOD, NOTHING), /^TypeError: fetch: expected a Response/);
  }
  const text = () => new ReadableStream({ start: (to) => { to.enqueue('text'); to.close(); } });
  const body = () => ({ status: 200, headers: [['content-type', TYPE]], body: text() });
  const words = /^TypeError: fetch: expected a body of octets/;
  await assert.rejects(channelOf(body).unary(METHOD, NOTHING), words);
  const stream = channelOf(body).serverStreaming(METHOD, NOTHING);
  await assert.rejects(collect(stream), words);
  await assert.rejects(stream.trailers, words);
});

test('a hundred streams at once, read in turns', async () => {
  const server = await serve(answers(Buffer.concat([...Array.from({ length: 50 }, (_, i) => message(String(i))), trailers()]), { type: TYPE, cut: 33 }));
  const channel = new GrpcWebChannel({ endpoints: [server.url] });
  const all = await Promise.all(Array.from({ length: 100 }, () => collect(channel.serverStreaming(METHOD, NOTHING))));
  for (const messages of all) assert.deepEqual(messages, Array.from({ length: 50 }, (_, i) => String(i)));
  channel.close();
});

test('a fetch without streams gives the body whole', async () => {
  const octets = new Uint8Array(Buffer.concat([message('one'), message('two'), trailers()]));
  const single = new Uint8Array(Buffer.concat([message('one'), trailers()]));
  for (const body of [undefined, { pipe() {} }]) {
    const host = (bytes) => ({ status: 200, headers: [['content-type', TYPE]], body, arrayBuffer: async () => bytes.buffer });
    assert.deepEqual(await outcome(channelOf(() => host(octets))), { messages: ['one', 'two'], code: Status.OK });
    assert.equal(Buffer.from((await channelOf(() => host(single)).unary(METHOD, NOTHING)).message).toString(), 'one');
  }
});

test('a fetch that is deaf to the signal keeps no call beyond its end', { timeout: 20_000 }, async () => {
  let left = 0;
  const late = () => new Promise((resolve) => setTimeout(resolve, 300, {
    status: 200,
    headers: [['content-type', TYPE]],
    body: new ReadableStream({ cancel: () => void left++ }),
  }));
  const silent = () => new Response(new ReadableStream({}), { headers: { 'content-type': TYPE } });
  for (const deaf of [late, silent]) {
    const began = performance.now();
    const calls = [
      channelOf(deaf).unary(METHOD, NOTHING, { timeoutMs: 50 }),
      channelOf(deaf).serverStreaming(METHOD, NOTHING, { timeoutMs: 50 }).next(),
    ];
    for (const call of calls) await assert.rejects(call, { code: Status.DEADLINE_EXCEEDED });
    assert.ok(performance.now() - began < 280, 'at its end');
  }
  await new Promise((resolve) => setTimeout(resolve, 400));
  assert.equal(left, 2, 'what comes late is given up');
});

test('words are what the server said, to the first character', async () => {
  const { words } = await outcome(channelOf(respond([trailers('grpc-status:5\r\ngrpc-message:%EF%BB%BFa%zz\r\n')])));
  assert.equal(words, '\u{feff}a%zz');
});

test('who asked before is served before', async () => {
  const stream = channelOf(respond([Buffer.concat([message('1'), message('2'), message('3'), trailers()])])).serverStreaming(METHOD, NOTHING);
  const [first, second] = [stream.next(), stream.next()];
  await first;
  const rest = await Promise.all([second, stream.next(), stream.next()]);
  assert.deepEqual(rest.map(({ value }) => value && Buffer.from(value).toString()), ['2', '3', undefined]);
});

test('a stream that is cancelled is over at once, read or not', { timeout: 20_000 }, async () => {
  let left = 0;
  const endless = () => new Response(new ReadableStream({
    start: (to) => to.enqueue(new Uint8Array(message('one'))),
    cancel: () => void left++,
  }), { headers: { 'content-type': TYPE } });
  const stream = channelOf(endless).serverStreaming(METHOD, NOTHING);
  await stream.headers;
  stream.cancel();
  assert.deepEqual([...await stream.trailers], []);
  assert.equal(left, 1);
  await assert.rejects(stream.next(), { code: Status.CANCELLED });
});

test('waiting for READY ends when it was given up before it began', { timeout: 20_000 }, async () => {
  const channel = new GrpcWebChannel({ endpoints: ['http://a.test', 'http://b.test'], fetch: () => new Promise(() => {}) });
  await assert.rejects(channel.waitForReady(1, { signal: AbortSignal.abort() }), { code: Status.CANCELLED });
  await assert.rejects(channel.waitForReady(1, { timeoutMs: 0 }), { code: Status.DEADLINE_EXCEEDED });
  channel.close();
});

test('a refused option leaves nothing behind', () => {
  const { signal } = new AbortController();
  let listening = 0;
  for (const [verb, by] of [['addEventListener', 1], ['removeEventListener', -1]]) {
    const plain = signal[verb].bind(signal);
    signal[verb] = (...args) => {
      listening += by;
      plain(...args);
    };
  }
  const channel = channelOf(() => new Promise(() => {}));
  assert.throws(() => channel.serverStreaming(METHOD, NOTHING, { view: 1, signal, timeoutMs: 60_000 }), /^TypeError: view/);
  assert.equal(listening, 0);
});

test("what fetch would refuse or change is the caller's mistake, not the endpoint's", () => {
  const channel = channelOf(() => new Promise(() => {}));
  for (const name of ['Expect', 'content-length']) {
    assert.throws(() => channel.serverStreaming(METHOD, NOTHING, { metadata: { [name]: '100' } }), /^TypeError: metadata\["(expect|content-length)"\]/);
  }
  for (const path of ['/../M', '/./M', '/a/..', '/a/.', '/%2e%2e/M', '/a\\b/M', '/a/M"', '/a/M?x', '/a/M#x', '/a/b/M', '/a', 'a/b', '//b', '/a/ ']) {
    assert.throws(() => channel.serverStreaming(path, NOTHING), /^TypeError: method/, path);
  }
  for (const path of ['/a.B/C', '/..a/b..', '/a-_~/b1']) channel.serverStreaming(path, NOTHING).cancel();
  channel.close();
});
