// The picker (its picks are those of core/tests/scenarios), and the memory that it and the channels live in.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { GrpcWebChannel, Picker } from 'grpclb';
import { initSync } from '../node_modules/grpclb/lib/glue.js';
import { message, trailers } from './server.mjs';

const ROUND_ROBIN = { loadBalancingPolicy: 'round_robin' };

/** A picker with `count` READY endpoints. */
function ready(count, seed) {
  const picker = new Picker({ seed, position: 0 });
  const addresses = Array.from({ length: count }, (_, i) => (i % 3 === 2 ? `unix:/run/${seed}/${i}` : `10.${seed % 256}.${i >> 8}.${i & 255}:443`));
  picker.connect(0);
  picker.handleResolution(0, addresses, ROUND_ROBIN);
  for (let action; (action = picker.pollAction()) !== null; ) {
    if (action.do === 'connect') picker.handleSubchannel(0, action.id, 'READY');
  }
  return { picker, addresses };
}

function check({ picker, addresses }) {
  assert.equal(picker.readyCount, addresses.length);
  const picked = addresses.map(() => picker.address(picker.pick(0)));
  assert.deepEqual(picked.sort(), [...addresses].sort());
}

test('pickers of all sizes, made and closed in any order, keep what is theirs', () => {
  const open = [];
  let random = 1;
  for (let i = 0; i < 400; i++) {
    random = (random * 48_271) % 0x7fff_ffff;
    if (open.length > 20 || (open.length > 0 && random % 3 === 0)) {
      const [one] = open.splice(random % open.length, 1);
      check(one);
      one.picker.close();
    } else open.push(ready(1 + (random % 300), i));
  }
  open.forEach(check);
  open.forEach(({ picker }) => picker.close());
});

test('memory that is given back is used again', async () => {
  const { memory } = initSync();
  const endpoints = Array.from({ length: 100 }, (_, i) => `http://a${i}.test/${'x'.repeat(50)}`);
  const body = Buffer.concat([message('a'), trailers()]);
  const respond = async () => new Response(body, { headers: { 'content-type': 'application/grpc-web' } });
  const round = async () => {
    for (let i = 0; i < 300; i++) {
      const channel = new GrpcWebChannel({ endpoints, serviceConfig: ROUND_ROBIN, fetch: respond });
      if (i % 10 === 0) {
        await Promise.all(Array.from({ length: 20 }, () => channel.unary('/a.B/C', new Uint8Array(i))));
        for await (const one of channel.serverStreaming('/a.B/C', new Uint8Array(i))) if (one) break;
      }
      channel.close();
    }
  };
  await round();
  const before = memory.buffer.byteLength;
  await round();
  assert.equal(memory.buffer.byteLength, before);
  assert.ok(before < 4 << 20, `${before} octets`);
});

test('calls that wait for their answer take no memory of the module', async () => {
  const { memory } = initSync();
  const before = memory.buffer.byteLength;
  const channel = new GrpcWebChannel({ endpoints: ['http://a.test'], fetch: () => new Promise(() => {}) });
  const calls = Array.from({ length: 2000 }, () => channel.unary('/a.B/C', new Uint8Array(1)).catch((error) => error.code));
  const streams = Array.from({ length: 2000 }, () => channel.serverStreaming('/a.B/C', new Uint8Array(1)));
  const grown = memory.buffer.byteLength - before;
  channel.close();
  assert.deepEqual(new Set(await Promise.all(calls)), new Set([1]));
  await Promise.all(streams.map((stream) => assert.rejects(stream.next(), { code: 1 })));
  assert.ok(grown < 1 << 20, `${grown} octets`);
});

test('states, times and endpoints', () => {
  const { picker } = ready(2, 7);
  assert.equal(picker.state, 'READY');
  assert.equal(picker.pollTimeout(), 1_800_000);
  assert.deepEqual(picker.endpoint(0), { address: '10.7.0.0:443', id: picker.endpoint(0).id, state: 'READY', weight: 1 });
  assert.equal(picker.endpoint(2), null);
  assert.equal(picker.address(0xffff_0000), null);
  const lost = picker.endpoint(1).id;
  picker.handleSubchannel(5, lost, 'LOST');
  const actions = [picker.pollAction(), picker.pollAction(), picker.pollAction()];
  assert.deepEqual(actions.map((action) => action?.do), ['resolve', 'connect', undefined]);
  picker.handleSubchannel(10, actions[1].id, 'FAILED');
  const at = picker.pollTimeout();
  assert.ok(at > 5 + 790 && at < 5 + 1210, String(at)); // 1 s, give or take a fifth, from the attempt's start
  while (picker.pollAction());
  picker.handleTimeout(at);
  assert.equal(picker.pollAction().do, 'connect');
  assert.equal(picker.pick(2000), picker.endpoint(0).id);
  picker.shutdown();
  assert.equal(picker.state, 'SHUTDOWN');
  assert.equal(picker.pick(2000), 'FAIL');
  picker.close();
});

test('wrong arguments, and use after close', () => {
  const picker = new Picker();
  assert.throws(() => new Picker({ seed: -1 }), /^TypeError: seed/);
  assert.throws(() => new Picker({ position: 2 ** 53 }), /^TypeError: position/);
  assert.throws(() => new Picker({ maxBackof: 1 }), /^TypeError: options.maxBackof/);
  assert.throws(() => new Picker({ maxBackoff: 'long' }), /^TypeError: maxBackoff/);
  for (const now of [undefined, -1, NaN, Infinity, 1n, 2e13]) assert.throws(() => picker.connect(now), /^TypeError: now/);
  assert.throws(() => picker.handleResolution(0, 'a'), /^TypeError: endpoints/);
  assert.throws(() => picker.handleResolution(0, ['10.0.0.1:443', { addresses: ['10.0.0.2:x'] }]), /^TypeError: endpoints\[1\]\.addresses\[0\]: column 10: expected a port/);
  assert.throws(() => picker.handleResolution(0, [{ addresses: ['10.0.0.2:1'], weight: 1.5 }]), /^TypeError: endpoints\[0\]\.weight/);
  assert.throws(() => picker.handleResolution(0, ['10.0.0.1:443'], { loadBalancingPolicy: 5 }), /^TypeError: service config: \$\.loadBalancingPolicy/);
  assert.throws(
    () => picker.handleResolution(0, [{ addresses: ['10.0.0.1:443'], weight: 0 }], { loadBalancingConfig: [{ weighted_round_robin: {} }] }),
    /^RangeError: the weight of every endpoint is 0/,
  );
  assert.throws(() => picker.handleSubchannel(0, 1, 'GONE'), /^TypeError: event/);
  assert.throws(() => picker.handleSubchannel(0, -1, 'READY'), /^TypeError: id/);
  assert.throws(() => picker.handleSubchannel(0, 1), /^TypeError: event: expected .*, not undefined/);
  for (const id of [undefined, null, 1n, '1']) assert.throws(() => picker.handleSubchannel(0, id, 'READY'), /^TypeError: id/);
  assert.throws(() => picker.address(), /^TypeError: id/);
  assert.throws(() => picker.endpoint(), /^TypeError: i:/);
  assert.throws(() => picker.setBusy(0), /^TypeError: busy/);
  assert.throws(() => picker.handleResolution(0, new Array(1)), /^TypeError: endpoints\[0\]/);
  picker.handleSubchannel(0, 12_345, 'READY'); // out of use: passed over
  picker.close();
  picker.close();
  assert.throws(() => picker.pick(0), /^Error: the picker is closed/);
  assert.throws(() => picker.endpointCount, /^Error: the picker is closed/);
  assert.equal(picker.state, 'SHUTDOWN');
});
