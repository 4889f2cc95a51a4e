// Calls: what goes out, what comes back, how they end.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { GrpcError, GrpcWebChannel, Metadata, Status } from 'grpclb';
import { answers, collect, echo, message, serve, trailers } from './server.mjs';

const METHOD = '/test.Echo/Say';
const octets = (text) => new TextEncoder().encode(text);

async function channelTo(t, answer, options = {}) {
  const server = await serve(answer);
  const channel = new GrpcWebChannel({ endpoints: [server.url], ...options });
  t.after(() => channel.close());
  return { channel, server };
}

for (const format of ['binary', 'text']) {
  test(`a unary call, ${format}`, async (t) => {
    const fields = 'grpc-status:0\r\nx-note: a\r\nx-note:b\r\nx-data-bin:AQL/,BA==\r\n';
    const { channel, server } = await channelTo(t, echo({ fields, name: 'one' }), { format, metadata: { tenant: 'blue' } });
    const result = await channel.unary(METHOD, octets('hello'), {
      metadata: { 'X-Many': ['1', '2'], 'x-raw-bin': Uint8Array.of(0, 255) },
      timeoutMs: 10_000,
    });
    assert.deepEqual(result.message, octets('hello'));
    assert.equal(result.endpoint, server.url);
    assert.equal(result.headers.get('X-Name'), 'one');
    assert.ok(result.trailers instanceof Metadata);
    assert.deepEqual([...result.trailers], [
      ['x-note', 'a'], ['x-note', 'b'],
      ['x-data-bin', Uint8Array.of(1, 2, 255)], ['x-data-bin', Uint8Array.of(4)],
    ]);
    assert.deepEqual(result.trailers.getAll('x-note'), ['a', 'b']);

    const [{ url, method, headers, body }] = server.requests;
    assert.deepEqual([url, method], [METHOD, 'POST']);
    const type = format === 'text' ? 'application/grpc-web-text' : 'application/grpc-web';
    assert.deepEqual([headers['content-type'], headers.accept], [`${type}+proto`, type]);
    assert.equal(headers['x-grpc-web'], '1');
    assert.match(headers['x-user-agent'], /^grpc-web-libgrpclb\//);
    assert.match(headers['grpc-timeout'], /^(99\d{5}|10{7})u$/);
    assert.deepEqual([headers.tenant, headers['x-many'], headers['x-raw-bin']], ['blue', '1, 2', 'AP8']);
    const frames = message('hello');
    assert.equal(body.toString('latin1'), format === 'text' ? frames.toString('base64') : frames.toString('latin1'));
  });

  test(`messages of all sizes, ${format}`, async (t) => {
    const { channel } = await channelTo(t, echo(), { format });
    for (const length of [0, 1, 2, 3, 100, 65_530, 65_531, 65_536, 200_001, 1 << 20, 4 << 20]) {
      const sent = new Uint8Array(length).map((_, i) => i * 31);
      const { message: got } = await channel.unary(METHOD, sent);
      assert.equal(Buffer.compare(got, sent), 0, `${length} octets`);
    }
  });

  test(`a stream, ${format}`, async (t) => {
    const { channel, server } = await channelTo(t, echo({ times: 5000, fields: 'grpc-status:0\r\nx-end:1\r\n' }), { format });
    for (const view of [false, true]) {
      const stream = channel.serverStreaming(METHOD, octets('0123456789'), { view });
      let count = 0;
      for await (const one of stream) {
        assert.equal(Buffer.from(one).toString(), '0123456789');
        assert.equal(one.buffer.byteLength === 10, !view);
        count++;
      }
      assert.equal(count, 5000);
      assert.equal((await stream.trailers).get('x-end'), '1');
      assert.ok((await stream.headers).has('date'));
      assert.equal(stream.endpoint, server.url);
      assert.deepEqual(await stream.next(), { value: undefined, done: true });
    }
  });
}

test('errors have code, name, words, details and trailers', async (t) => {
  const fields = 'grpc-status: 8\r\ngrpc-message:soir%C3%A9e %F0%9F%8E%89 50%zz\r\ngrpc-status-details-bin:CAgSA2FiYw==\r\nx-why:quota\r\n';
  const { channel, server } = await channelTo(t, echo({ fields, times: 0 }));
  const right = (error) => {
    assert.ok(error instanceof GrpcError && error instanceof Error);
    assert.deepEqual([error.name, error.code, error.codeName], ['GrpcError', Status.RESOURCE_EXHAUSTED, 'RESOURCE_EXHAUSTED']);
    assert.equal(error.message, 'soirée 🎉 50%zz');
    assert.deepEqual(error.details, Uint8Array.from(Buffer.from('CAgSA2FiYw', 'base64')));
    assert.equal(error.trailers.get('x-why'), 'quota');
    assert.equal(error.metadata, error.trailers);
    assert.equal(error.endpoint, server.url);
    return true;
  };
  await assert.rejects(channel.unary(METHOD, octets('')), right);
  const stream = channel.serverStreaming(METHOD, octets(''));
  await assert.rejects(collect(stream), right);
  assert.equal((await stream.trailers).get('x-why'), 'quota');
});

test('unary calls have exactly one message', async (t) => {
  const { channel } = await channelTo(t, (request, response, body) => echo({ times: body.length - 5 })(request, response, body));
  const failed = (words) => ({ code: Status.INTERNAL, message: words });
  await assert.rejects(channel.unary(METHOD, octets('')), failed('a unary call got no message'));
  await assert.rejects(channel.unary(METHOD, octets('12')), failed('a unary call got a second message'));
  await channel.unary(METHOD, octets('1'));
});

test('an AbortSignal cancels, before and while a call runs', async (t) => {
  const { channel } = await channelTo(t, () => {});
  const cancelled = { code: Status.CANCELLED, codeName: 'CANCELLED' };
  const reason = new Error('mine');
  await assert.rejects(channel.unary(METHOD, octets(''), { signal: AbortSignal.abort(reason) }), { ...cancelled, cause: reason });
  const controller = new AbortController();
  const call = channel.unary(METHOD, octets(''), { signal: controller.signal });
  setTimeout(() => controller.abort(reason), 50);
  await assert.rejects(call, { ...cancelled, cause: reason });
});

test('a deadline ends a call here, whatever the server does', async (t) => {
  const { channel, server } = await channelTo(t, () => {});
  const passed = { code: Status.DEADLINE_EXCEEDED, message: 'the deadline passed' };
  const began = performance.now();
  await assert.rejects(channel.unary(METHOD, octets(''), { timeoutMs: 100 }), passed);
  const took = performance.now() - began;
  assert.ok(took >= 99 && took < 2000, `${took} ms`);
  await assert.rejects(channel.unary(METHOD, octets(''), { timeoutMs: 0 }), passed);
  await assert.rejects(channel.unary(METHOD, octets(''), { timeoutMs: -5 }), passed);
  await assert.rejects(collect(channel.serverStreaming(METHOD, octets(''), { timeoutMs: 50 })), passed);
  assert.equal(server.requests.length, 2, 'a call whose deadline has passed is not sent');
});

test('what a server says after the deadline counts for nothing', async () => {
  const respond = async () => {
    // So busy that no timer has run when the answer is there.
    for (const until = performance.now() + 30; performance.now() < until; );
    return new Response(null, { headers: { 'content-type': 'application/grpc', 'grpc-status': '1', 'grpc-message': 'Timeout expired' } });
  };
  const channel = new GrpcWebChannel({ endpoints: ['http://nowhere.test'], fetch: respond });
  await assert.rejects(channel.unary(METHOD, octets(''), { timeoutMs: 20 }), { code: Status.DEADLINE_EXCEEDED });
  await assert.rejects(channel.unary(METHOD, octets(''), { timeoutMs: 20_000 }), { code: Status.CANCELLED });
  channel.close();
});

test('a stream that is left before its answer is taken back', async () => {
  let signal;
  const respond = (_, init) => {
    signal = init.signal;
    return new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
  };
  const channel = new GrpcWebChannel({ endpoints: ['http://nowhere.test'], fetch: respond });
  const stream = channel.serverStreaming(METHOD, octets(''));
  await new Promise(setImmediate);
  assert.deepEqual(await stream.return(), { value: undefined, done: true });
  assert.equal(signal.aborted, true);
  assert.equal((await stream.next()).done, true);
  await assert.rejects(stream.headers, { code: Status.CANCELLED });
  channel.close();
});

test('a stream can be left, cancelled and aborted', async (t) => {
  let gone;
  const left = new Promise((resolve) => (gone = resolve));
  const { channel } = await channelTo(t, (_, response) => {
    response.writeHead(200, { 'content-type': 'application/grpc-web+proto' });
    response.write(Buffer.concat([message('1'), message('2'), message('3')]));
    response.on('close', gone);
  });
  for await (const one of channel.serverStreaming(METHOD, octets(''))) {
    assert.equal(one[0], 0x31);
    break;
  }
  await left; // the server sees it
  const stream = channel.serverStreaming(METHOD, octets(''));
  const seen = [];
  await assert.rejects(async () => {
    for await (const one of stream) {
      seen.push(one[0]);
      if (seen.length === 3) stream.cancel();
    }
  }, { code: Status.CANCELLED });
  assert.equal(seen.length, 3);
  assert.equal((await stream.next()).done, true);
  const controller = new AbortController();
  const aborted = channel.serverStreaming(METHOD, octets(''), { signal: controller.signal });
  await aborted.next();
  setTimeout(() => controller.abort(), 20);
  await assert.rejects(collect(aborted), { code: Status.CANCELLED });
});

test('messages come as they are sent', async (t) => {
  let go;
  const { channel } = await channelTo(t, (_, response) => {
    response.writeHead(200, { 'content-type': 'application/grpc-web+proto' });
    response.write(message('a'));
    go = () => response.end(Buffer.concat([message('b'), trailers()]));
  });
  const stream = channel.serverStreaming(METHOD, octets(''));
  assert.equal((await stream.next()).value[0], 0x61);
  go();
  assert.equal((await stream.next()).value[0], 0x62);
  assert.equal((await stream.next()).done, true);
});

test('the service config speaks for methods', async (t) => {
  const { channel } = await channelTo(t, echo(), {
    serviceConfig: {
      methodConfig: [
        { name: [{ service: 'test.Echo' }], timeout: '0.1s', maxRequestMessageBytes: 10, maxResponseMessageBytes: 4 },
        { name: [{ service: 'test.Echo', method: 'Slow' }] },
      ],
    },
  });
  await assert.rejects(channel.unary(METHOD, new Uint8Array(11)), { code: Status.RESOURCE_EXHAUSTED });
  await assert.rejects(channel.unary(METHOD, new Uint8Array(5)), { code: Status.RESOURCE_EXHAUSTED });
  await channel.unary(METHOD, new Uint8Array(4));
  await channel.unary('/test.Echo/Slow', new Uint8Array(100));
});

test('after close, calls fail and running ones are cancelled', async (t) => {
  const { channel } = await channelTo(t, () => {});
  const running = channel.unary(METHOD, octets(''));
  const streaming = collect(channel.serverStreaming(METHOD, octets('')));
  setTimeout(() => channel.close(), 30);
  const cancelled = { code: Status.CANCELLED, message: 'the channel was closed' };
  await Promise.all([assert.rejects(running, cancelled), assert.rejects(streaming, cancelled)]);
  const closed = { code: Status.UNAVAILABLE, message: 'the channel is closed' };
  await assert.rejects(channel.unary(METHOD, octets('')), closed);
  assert.throws(() => channel.serverStreaming(METHOD, octets('')), closed);
  await assert.rejects(channel.waitForReady(), closed);
  assert.equal(channel.state, 'SHUTDOWN');
  assert.deepEqual(channel.endpoints(), []);
  channel.close();
});

test('wrong arguments are TypeErrors that name the field', async (t) => {
  const { channel } = await channelTo(t, answers(''));
  const none = octets('');
  const wrong = [
    ['method', 5, none], ['method', 'test.Echo/Say', none], ['method', '/test.Echo', none], ['method', '/a/b/c', none],
    ['method', '/a/b?c', none], ['message', METHOD, 'text'], ['message', METHOD, [1, 2]], ['message', METHOD, undefined],
    ['options', METHOD, none, 5], ['options.timeout:', METHOD, none, { timeout: 5 }],
    ['timeoutMs', METHOD, none, { timeoutMs: '5' }], ['timeoutMs', METHOD, none, { timeoutMs: NaN }],
    ['signal', METHOD, none, { signal: {} }], ['waitForReady', METHOD, none, { waitForReady: 1 }],
    ['metadata', METHOD, none, { metadata: 'a: b' }], ['metadata["a"]', METHOD, none, { metadata: { a: 5 } }],
    ['metadata["a b"]', METHOD, none, { metadata: { 'a b': 'c' } }], ['metadata["grpc-timeout"]', METHOD, none, { metadata: { 'grpc-timeout': '1S' } }],
    ['metadata["a"]', METHOD, none, { metadata: { b: 'c', a: 'é' } }], ['metadata["a"]', METHOD, none, { metadata: { a: 'b\r\nc: d' } }],
    ['metadata["a-bin"]', METHOD, none, { metadata: { 'a-bin': 'AQ' } }], ['metadata["a"]', METHOD, none, { metadata: { a: 'x'.repeat(70_000) } }],
    ['metadata', METHOD, none, { metadata: [['a']] }],
  ];
  for (const [field, ...given] of wrong) {
    const right = (error) => error instanceof TypeError && error.message.includes(field) && /expected/.test(error.message);
    await assert.rejects(channel.unary(...given), right, `${field}: ${JSON.stringify(given)}`);
    assert.throws(() => channel.serverStreaming(...given), right, field);
  }
  assert.throws(() => channel.serverStreaming(METHOD, none, { view: 'yes' }), /^TypeError: view: expected a boolean/);
});
