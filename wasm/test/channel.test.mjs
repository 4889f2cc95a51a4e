// Channels: which endpoint a call goes to, and what happens when endpoints go and come.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { GrpcError, GrpcWebChannel, Status } from 'grpclb';
import { echo, message, serve, trailers } from './server.mjs';

const METHOD = '/test.Echo/Say';
const NOTHING = new Uint8Array(0);
const ROUND_ROBIN = { loadBalancingPolicy: 'round_robin' };
const WEIGHTED = { loadBalancingConfig: [{ weighted_round_robin: {} }] };
const [DEAD, DEAD_TOO] = [await gone(), await gone()];

/** A URL where nobody listens any more. */
async function gone() {
  const server = await serve(echo());
  await server.close();
  return server.url;
}

async function servers(count) {
  return Promise.all(Array.from({ length: count }, () => serve(echo())));
}

/** Calls by endpoint. */
async function shares(channel, calls, options) {
  const counts = {};
  for (let i = 0; i < calls; i++) {
    const { endpoint } = await channel.unary(METHOD, NOTHING, options);
    counts[endpoint] = (counts[endpoint] ?? 0) + 1;
  }
  return counts;
}

test('round_robin gives each its exact share, one call at a time and many', async () => {
  const three = await servers(3);
  const channel = new GrpcWebChannel({ endpoints: three.map(({ url }) => url), serviceConfig: ROUND_ROBIN });
  assert.equal(channel.state, 'IDLE');
  await channel.waitForReady(3);
  assert.equal(channel.state, 'READY');
  const each = Object.fromEntries(three.map(({ url }) => [url, 100]));
  assert.deepEqual(await shares(channel, 300), each);
  const calls = await Promise.all(Array.from({ length: 300 }, () => channel.unary(METHOD, NOTHING)));
  const counts = {};
  for (const { endpoint } of calls) counts[endpoint] = (counts[endpoint] ?? 0) + 1;
  assert.deepEqual(counts, each);
  assert.deepEqual(channel.endpoints(), three.map(({ url }) => ({ url, state: 'READY', weight: 1 })));
  channel.close();
});

test('weights: of the endpoints, and of the service config before them', async () => {
  const three = await servers(3);
  const urls = three.map(({ url }) => url);
  const near = (counts, wanted) => wanted.forEach((share, i) => assert.ok(Math.abs((counts[urls[i]] ?? 0) - share) <= 6, JSON.stringify(counts)));
  const endpoints = urls.map((url, i) => ({ url, weight: [1, 2, 4][i] }));
  let channel = new GrpcWebChannel({ endpoints, serviceConfig: WEIGHTED });
  await channel.waitForReady(3);
  near(await shares(channel, 700), [100, 200, 400]);
  channel.close();
  const weights = { [new URL(urls[0]).host]: 4, [new URL(urls[1]).host]: 0 };
  channel = new GrpcWebChannel({ endpoints: urls, serviceConfig: JSON.stringify({ loadBalancingConfig: [{ weighted_round_robin: { weights } }] }) });
  await channel.waitForReady(2);
  near(await shares(channel, 500), [400, 0, 100]);
  channel.close();
});

test('pick_first is the default, and passes over who is dead', async () => {
  const [one, two] = await servers(2);
  const channel = new GrpcWebChannel({ endpoints: [DEAD, one.url, two.url] });
  assert.deepEqual(await shares(channel, 20), { [one.url]: 20 });
  await one.close();
  await sleep(20);
  const counts = await shares(channel, 20, { idempotent: true });
  assert.deepEqual(counts, { [two.url]: 20 });
  channel.close();
});

test('endpoints may have paths, and share a server', async () => {
  const server = await serve(echo());
  const endpoints = [`${server.url}/a`, `${server.url}/b/`];
  const channel = new GrpcWebChannel({ endpoints, serviceConfig: ROUND_ROBIN });
  await channel.waitForReady(2);
  await shares(channel, 10);
  const paths = server.requests.map(({ url }) => url);
  for (const path of ['/a', '/b']) assert.equal(paths.filter((one) => one === path + METHOD).length, 5);
  channel.close();
});

test('an endpoint that goes takes no call with it, and gets calls again when it is back', async () => {
  const [one, two] = await servers(2);
  const channel = new GrpcWebChannel({ endpoints: [one.url, two.url], serviceConfig: ROUND_ROBIN, idempotent: true });
  const states = new Set();
  const stop = channel.watch((state) => states.add(state));
  await channel.waitForReady(2);
  await one.close();
  assert.deepEqual(await shares(channel, 50), { [two.url]: 50 });
  assert.equal(channel.endpoints()[0].state, 'TRANSIENT_FAILURE');
  const again = await serve(echo(), Number(new URL(one.url).port));
  await channel.waitForReady(2, { timeoutMs: 10_000 }); // the backoff is 1 s
  assert.deepEqual(await shares(channel, 50), { [one.url]: 25, [two.url]: 25 });
  assert.equal(again.requests.length, 25);
  assert.ok(states.has('READY') && states.has('CONNECTING'));
  stop();
  channel.close();
});

test('a call whose request cannot have left goes on to another endpoint', async () => {
  const [one, two] = await servers(2);
  const channel = new GrpcWebChannel({ endpoints: [one.url, two.url], serviceConfig: ROUND_ROBIN });
  await channel.waitForReady(2);
  await shares(channel, 4);
  await one.close();
  await sleep(50); // fetch sees its idle connections end
  assert.deepEqual(await shares(channel, 10), { [two.url]: 10 });
  channel.close();
});

test('calls that fail together are one failure of the endpoint', async () => {
  let broken = true;
  const server = await serve((request, response, body) => (broken ? response.socket.destroy() : echo()(request, response, body)));
  const channel = new GrpcWebChannel({ endpoints: [server.url] });
  const failed = await Promise.allSettled(Array.from({ length: 10 }, () => channel.unary(METHOD, NOTHING)));
  assert.ok(failed.every(({ status, reason }) => status === 'rejected' && reason.code === Status.UNAVAILABLE));
  broken = false;
  const began = performance.now();
  await channel.unary(METHOD, NOTHING);
  assert.ok(performance.now() - began < 900, 'no backoff');
  channel.close();
});

test('nobody there: UNAVAILABLE at once, or waiting', async () => {
  for (const endpoints of [[DEAD], [DEAD, DEAD_TOO]]) {
    const channel = new GrpcWebChannel({ endpoints, serviceConfig: ROUND_ROBIN });
    const began = performance.now();
    await assert.rejects(channel.unary(METHOD, NOTHING), (error) => {
      assert.ok(error instanceof GrpcError);
      assert.equal(error.code, Status.UNAVAILABLE);
      assert.match(error.message, /ECONNREFUSED/);
      return true;
    });
    assert.ok(performance.now() - began < 2000);
    await assert.rejects(channel.unary(METHOD, NOTHING, { waitForReady: true, timeoutMs: 100 }), { code: Status.DEADLINE_EXCEEDED });
    await assert.rejects(channel.unary(METHOD, NOTHING, { waitForReady: true, signal: AbortSignal.timeout(50) }), { code: Status.CANCELLED });
    await assert.rejects(channel.waitForReady(1, { timeoutMs: 50 }), { code: Status.DEADLINE_EXCEEDED });
    assert.equal(channel.state, 'TRANSIENT_FAILURE');
    channel.close();
  }
});

test('a call that waits for ready goes out when somebody is there', async () => {
  const { url, close } = await serve(echo());
  await close();
  const channel = new GrpcWebChannel({ endpoints: [url] });
  const call = channel.unary(METHOD, Uint8Array.of(7), { waitForReady: true, timeoutMs: 20_000 });
  await sleep(100);
  await serve(echo(), Number(new URL(url).port));
  assert.deepEqual((await call).message, Uint8Array.of(7));
  channel.close();
});

test("a call that may have arrived is made twice only if it is idempotent; a server's answer is final", async () => {
  const hangsUp = () => serve((_, response) => response.socket.destroy());
  const [one, two] = await Promise.all([hangsUp(), serve(echo())]);
  const open = (idempotent) => new GrpcWebChannel({ endpoints: [one.url, two.url], idempotent });
  let channel = open(false);
  await assert.rejects(channel.unary(METHOD, NOTHING), { code: Status.UNAVAILABLE, endpoint: one.url });
  channel.close();
  channel = open(false);
  assert.equal((await channel.unary(METHOD, NOTHING, { idempotent: true })).endpoint, two.url);
  channel.close();
  channel = open(true);
  assert.equal((await channel.unary(METHOD, NOTHING)).endpoint, two.url);
  const stream = channel.serverStreaming(METHOD, NOTHING);
  assert.equal((await stream.next()).done, false);
  assert.equal(stream.endpoint, two.url);
  channel.close();
  assert.ok(one.requests.length <= 7, 'twice a call at most');

  const unavailable = await serve((_, response) => {
    response.writeHead(200, { 'content-type': 'application/grpc-web+proto', 'grpc-status': '14' });
    response.end();
  });
  channel = new GrpcWebChannel({ endpoints: [unavailable.url, two.url], idempotent: true });
  await assert.rejects(channel.unary(METHOD, NOTHING), { code: Status.UNAVAILABLE, endpoint: unavailable.url });
  assert.equal(channel.state, 'READY');
  channel.close();
});

test('servers that answer probes and nothing else are not asked for ever', async () => {
  const bad = await Promise.all([0, 1].map(() => serve((_, response) => response.socket.destroy())));
  const channel = new GrpcWebChannel({ endpoints: bad.map(({ url }) => url), serviceConfig: ROUND_ROBIN, idempotent: true });
  await assert.rejects(channel.unary(METHOD, NOTHING), { code: Status.UNAVAILABLE });
  assert.ok(bad[0].requests.length + bad[1].requests.length < 20);
  channel.close();
});

test('wrong options are TypeErrors that name the field, and the path in the service config', () => {
  const url = 'http://127.0.0.1:1';
  const wrong = [
    ['options', undefined], ['options', 5], ['options.endpoint:', { endpoint: url }],
    ['endpoints', {}], ['endpoints', { endpoints: [] }], ['endpoints', { endpoints: url }],
    ['endpoints[1]', { endpoints: [url, '127.0.0.1:1'] }], ['endpoints[0]', { endpoints: ['ftp://a'] }], ['endpoints[0]', { endpoints: [5] }],
    ['endpoints[0]', { endpoints: ['http://a?b'] }], ['endpoints[0]', { endpoints: ['/relative'] }],
    ['endpoints[0].weight', { endpoints: [{ url, weight: -1 }] }], ['endpoints[0].weight', { endpoints: [{ url, weight: 1.5 }] }],
    ['endpoints[0].wait', { endpoints: [{ url, wait: 1 }] }], ['endpoints: the weight', { endpoints: [{ url, weight: 0 }], serviceConfig: WEIGHTED }],
    ['format', { endpoints: [url], format: 'json' }], ['fetch', { endpoints: [url], fetch: 'x' }], ['maxMessageSize', { endpoints: [url], maxMessageSize: -1 }],
    ['metadata["a b"]', { endpoints: [url], metadata: { 'a b': 'c' } }], ['idempotent', { endpoints: [url], idempotent: 'yes' }],
    ['serviceConfig', { endpoints: [url], serviceConfig: 5 }], ['serviceConfig: $', { endpoints: [url], serviceConfig: '{' }],
    ['serviceConfig: $.loadBalancingPolicy', { endpoints: [url], serviceConfig: { loadBalancingPolicy: 'x' } }],
    ['serviceConfig: $.loadBalancingConfig[0].weighted_round_robin.weights["10.0.0.1"]', { endpoints: [url], serviceConfig: { loadBalancingConfig: [{ weighted_round_robin: { weights: { '10.0.0.1': -1 } } }] } }],
    ['serviceConfig: $.methodConfig[0].timeout', { endpoints: [url], serviceConfig: { methodConfig: [{ name: [{}], timeout: 5 }] } }],
  ];
  for (const [field, options] of wrong) {
    assert.throws(() => new GrpcWebChannel(options), (error) => error instanceof TypeError && error.message.includes(field), field);
  }
});

test('a thousand channels give their memory back', async () => {
  const options = { endpoints: Array.from({ length: 100 }, (_, i) => `http://a${i}.test/${'x'.repeat(50)}`), serviceConfig: ROUND_ROBIN };
  const respond = () => new Response(Buffer.concat([message('a'), trailers()]), { headers: { 'content-type': 'application/grpc-web' } });
  for (let i = 0; i < 1000; i++) {
    const channel = new GrpcWebChannel({ ...options, fetch: async () => respond() });
    if (i % 100 === 0) await channel.unary(METHOD, NOTHING);
    channel.close();
  }
});
