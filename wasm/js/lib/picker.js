// The balancer without `fetch`, for those who make connections of their own.

import { Balancer, random } from './balancer.js';
import * as check from './options.js';

const EVENTS = ['READY', 'FAILED', 'LOST'];

function moment(now) {
  // The core counts nanoseconds in 64 bits.
  if (typeof now !== 'number' || !(now >= 0 && now <= 1e13)) throw check.expected('now', 'milliseconds from 0 to 1e13', now);
  return now;
}

export class Picker {
  #balancer;

  constructor(options = {}) {
    const names = ['initialBackoff', 'maxBackoff', 'minConnectTimeout', 'happyEyeballsDelay', 'idleTimeout'];
    check.known('options', options, [...names, 'seed', 'position']);
    const times = { initialBackoff: 1000, maxBackoff: 120_000, minConnectTimeout: 20_000, happyEyeballsDelay: 250, idleTimeout: 1_800_000 };
    for (const name of names) {
      if (options[name] === undefined) continue;
      const millis = check.millis(name, options[name]);
      if (millis < 0) throw check.expected(name, 'milliseconds, 0 or more', millis);
      times[name] = millis;
    }
    if (times.idleTimeout === Infinity) times.idleTimeout = NaN;
    this.#balancer = new Balancer({
      ...times,
      seed: check.whole('seed', options.seed, 0, Number.MAX_SAFE_INTEGER, random()),
      position: check.whole('position', options.position, 0, Number.MAX_SAFE_INTEGER, random()),
    });
  }

  get #open() {
    if (this.#balancer.freed) throw new Error('the picker is closed');
    return this.#balancer;
  }

  handleResolution(now, endpoints, serviceConfig = '{}') {
    if (!Array.isArray(endpoints)) throw check.expected('endpoints', 'an array', endpoints);
    const list = Array.from(endpoints, (one, i) => endpoint(`endpoints[${i}]`, one));
    const config = typeof serviceConfig === 'object' ? JSON.stringify(serviceConfig) : serviceConfig;
    if (typeof config !== 'string') throw check.expected('serviceConfig', 'an object, or its JSON', serviceConfig);
    const wrong = this.#open.resolution(moment(now), list, config, false);
    if (wrong?.config) throw new TypeError(`service config: ${wrong.config}`);
    if (wrong?.refused) throw new RangeError(wrong.refused);
    if (wrong) throw new TypeError(`endpoints[${wrong.endpoint}].addresses[${wrong.place}]: ${wrong.address}`);
  }

  handleResolutionError(now) {
    this.#open.resolutionError(moment(now));
  }

  handleSubchannel(now, id, event) {
    check.whole('id', id, 0, 0xffff_ffff);
    this.#open.subchannel(moment(now), id, check.choice('event', event, EVENTS));
  }

  connect(now) {
    this.#open.connect(moment(now));
  }

  setBusy(now, busy) {
    this.#open.busy(moment(now), check.flag('busy', busy));
  }

  shutdown() {
    this.#open.shutdown();
  }

  pollAction() {
    return this.#open.action();
  }

  address(id) {
    return this.#open.address(check.whole('id', id, 0, 0xffff_ffff));
  }

  pick(now) {
    const id = this.#open.pick(moment(now));
    return id >= 0 ? id : ['QUEUE', 'FAIL', 'DROP'][-id - 1];
  }

  pollTimeout() {
    const at = this.#open.nextTimeout();
    return Number.isNaN(at) ? null : at;
  }

  handleTimeout(now) {
    this.#open.timeout(moment(now));
  }

  get state() {
    return this.#balancer.freed ? 'SHUTDOWN' : this.#balancer.look().state;
  }

  get endpointCount() {
    return this.#open.look().endpoints;
  }

  get readyCount() {
    return this.#open.look().ready;
  }

  endpoint(i) {
    return this.#open.endpoint(check.whole('i', i, 0, 0xffff_ffff));
  }

  close() {
    this.#balancer.free();
  }
}

/** An address, `{ address(es), weight }`. */
function endpoint(field, value) {
  if (typeof value === 'string') return { addresses: [value], weight: 1 };
  check.known(field, value, ['addresses', 'weight']);
  const { addresses } = value;
  if (!Array.isArray(addresses) || !addresses.every((one) => typeof one === 'string')) {
    throw check.expected(`${field}.addresses`, 'an array of addresses', addresses);
  }
  return { addresses, weight: check.whole(`${field}.weight`, value.weight, 0, 0xffff_ffff, 1) };
}
