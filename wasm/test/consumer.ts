// Compiled, not run: what the types must allow, and (`@ts-expect-error`) must not.

import { GrpcError, GrpcWebChannel, Metadata, Picker, Status, type ChannelOptions, type ConnectivityState, type ServerStream } from 'grpclb';
import { init, initSync, GrpcWebChannel as Slim } from 'grpclb/slim';

const options: ChannelOptions = {
  endpoints: ['http://a', new URL('http://b'), { url: 'http://c', weight: 2 }],
  serviceConfig: { loadBalancingConfig: [{ weighted_round_robin: {} }] },
  format: 'text',
  metadata: { tenant: 'blue', 'key-bin': new Uint8Array(1), many: ['a', 'b'] },
  fetch: (url, init) => fetch(url, { ...init, credentials: 'include' }),
  maxMessageSize: 1024,
};

export async function use(signal: AbortSignal): Promise<void> {
  const channel = new GrpcWebChannel(options);
  const { message, headers, trailers, endpoint } = await channel.unary('/a.B/C', new Uint8Array(0), {
    metadata: new Map([['a', 'b']]), timeoutMs: 5, signal, waitForReady: true, idempotent: true,
  });
  const octets: Uint8Array = message;
  const where: string = endpoint;
  const raw: Uint8Array | undefined = headers.get('a-bin');
  const all: (string | Uint8Array)[] = trailers.getAll('a');
  for (const [name, value] of trailers) console.log(name.length, value.length);
  const stream: ServerStream = channel.serverStreaming('/a.B/D', octets, { view: true });
  for await (const one of stream) console.log(one.byteLength, where, raw, all);
  const later: Metadata = await stream.trailers;
  stream.cancel();
  const state: ConnectivityState = channel.state;
  const stop: () => void = channel.watch((now) => console.log(now === 'READY', state, later));
  stop();
  await channel.waitForReady(2, { timeoutMs: 1000 });
  for (const { url, state: its, weight } of channel.endpoints()) console.log(url, its, weight.toFixed());
  channel.close();
  try {
    throw new GrpcError(Status.NOT_FOUND, 'gone');
  } catch (error) {
    if (error instanceof GrpcError) console.log(error.code === Status.NOT_FOUND, error.codeName, error.details?.length, error.endpoint);
  }
  const picker = new Picker({ seed: 7, position: 0, idleTimeout: Infinity });
  picker.handleResolution(0, ['10.0.0.1:1', { addresses: ['10.0.0.2:1', '[::1]:1'], weight: 2 }], '{}');
  for (let action; (action = picker.pollAction()); ) {
    if (action.do !== 'resolve') picker.handleSubchannel(0, action.id, 'READY');
  }
  const pick = picker.pick(0);
  if (typeof pick === 'number') console.log(picker.address(pick)?.length);
  await init(new URL('http://a/grpclb.wasm'));
  initSync(new Uint8Array(8));
  new Slim({ endpoints: ['http://a'] }).close();
}

// @ts-expect-error endpoints are missing
new GrpcWebChannel({});
// @ts-expect-error no such format
new GrpcWebChannel({ endpoints: ['http://a'], format: 'json' });
// @ts-expect-error messages are octets
void new GrpcWebChannel({ endpoints: ['http://a'] }).unary('/a.B/C', 'text');
// @ts-expect-error no such event
new Picker().handleSubchannel(0, 1, 'GONE');
