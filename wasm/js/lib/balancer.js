// The core's balancer, as channel and picker use it.

import * as wasm from './module.js';

const STATES = ['IDLE', 'CONNECTING', 'READY', 'TRANSIENT_FAILURE', 'SHUTDOWN'];
const EVENTS = { READY: 0, FAILED: 1, LOST: 2 };

const encoder = new TextEncoder();

// Balancers that nobody closed.
const forgotten = new FinalizationRegistry((number) => wasm.balancer_free(number));

/** Whole numbers below 2^53, from a random source. */
export function random() {
  const [high, low] = crypto.getRandomValues(new Uint32Array(2));
  return (high & 0x1fffff) * 2 ** 32 + low;
}

export class Balancer {
  #number;

  constructor({ initialBackoff, maxBackoff, minConnectTimeout, happyEyeballsDelay, idleTimeout, seed, position }) {
    wasm.ready();
    const idle = idleTimeout ?? NaN;
    this.#number = wasm.balancer_new(
      initialBackoff, maxBackoff, minConnectTimeout, happyEyeballsDelay, idle, seed, position,
    );
    forgotten.register(this, this.#number, this);
  }

  free() {
    if (this.#number < 0) return;
    forgotten.unregister(this);
    wasm.balancer_free(this.#number);
    this.#number = -1;
  }

  get freed() {
    return this.#number < 0;
  }

  /**
   * `endpoints`: `{ addresses: [text], weight }`; `opaque`: addresses are taken as they are. Gives null or what is wrong:
   * `{ config }`, `{ address, endpoint, place }` or `{ refused }`, in words.
   */
  resolution(now, endpoints, config, opaque) {
    const parts = [];
    let length = 0;
    const number = (value) => {
      parts.push(new Uint8Array(Uint32Array.of(value).buffer));
      length += 4;
    };
    const text = (value) => {
      const octets = encoder.encode(value);
      number(octets.length);
      parts.push(octets);
      length += octets.length;
    };
    number(endpoints.length);
    for (const { addresses, weight } of endpoints) {
      number(weight);
      number(addresses.length);
      addresses.forEach(text);
    }
    text(config);
    const input = new Uint8Array(length);
    let at = 0;
    for (const part of parts) {
      input.set(part, at);
      at += part.length;
    }
    wasm.put(input);
    switch (wasm.balancer_resolution(this.#number, now, length, opaque)) {
      case 1:
        return { config: wasm.takeText(0) };
      case 2:
        return { endpoint: wasm.told(2), place: wasm.told(3), address: wasm.takeText(0) };
      case 3:
        return { refused: wasm.takeText(0) };
      default:
        return null;
    }
  }

  resolutionError(now) {
    wasm.balancer_resolution_error(this.#number, now);
  }

  /** `event`: 'READY', 'FAILED' or 'LOST'. */
  subchannel(now, id, event) {
    wasm.balancer_subchannel(this.#number, now, id, EVENTS[event]);
  }

  connect(now) {
    wasm.balancer_connect(this.#number, now);
  }

  busy(now, busy) {
    wasm.balancer_busy(this.#number, now, busy);
  }

  shutdown() {
    wasm.balancer_shutdown(this.#number);
  }

  /** `{ do: 'resolve' | 'connect' | 'close', id }`, or null. */
  action() {
    const kind = wasm.balancer_action(this.#number);
    if (kind === 0) return null;
    return kind === 1 ? { do: 'resolve' } : { do: kind === 2 ? 'connect' : 'close', id: wasm.told(0) };
  }

  /** An id, or -1 to wait, -2 to fail, -3 to be dropped. */
  pick(now) {
    return wasm.balancer_pick(this.#number, now);
  }

  /** NaN: never. */
  nextTimeout() {
    return wasm.balancer_next_timeout(this.#number);
  }

  timeout(now) {
    wasm.balancer_timeout(this.#number, now);
  }

  /** `{ state, endpoints, ready, version }` */
  look() {
    const state = STATES[wasm.balancer_state(this.#number)];
    return { state, endpoints: wasm.told(0), ready: wasm.told(1), version: wasm.told(2) };
  }

  /** A text, or null for an id out of use. */
  address(id) {
    return wasm.balancer_address(this.#number, id) ? wasm.takeText(0) : null;
  }

  /** `{ address, id, state, weight }`, or null. */
  endpoint(i) {
    if (!wasm.balancer_endpoint(this.#number, i)) return null;
    return { address: wasm.takeText(0), id: wasm.told(2), state: STATES[wasm.told(3)], weight: wasm.told(4) };
  }

  /** What the service config says of a method; undefined: nothing. */
  method(path) {
    const timeoutMs = wasm.balancer_method(this.#number, wasm.putText(path));
    const size = (at) => (wasm.told(at) === 0xffffffff ? undefined : wasm.told(at));
    return {
      timeoutMs: Number.isNaN(timeoutMs) ? undefined : timeoutMs,
      waitForReady: wasm.told(0) === 1 ? wasm.told(1) === 1 : undefined,
      maxRequest: size(2),
      maxResponse: size(3),
    };
  }
}
