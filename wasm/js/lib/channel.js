// A channel: endpoints, which of them a call goes to, and the calls.
//
// `fetch` shows no connections, so an endpoint's state says what is known of it. An endpoint is READY when something
// answered there: to the probe that "connecting" is (any HTTP answer to a HEAD), or, where there is only one endpoint and nothing is known against it, taken on trust. It is lost when `fetch` or a body fails with anything but the
// caller's own abort. A probe then tells at once whether it is there all the same; while it is not, or answers probes
// and fails calls, it is out, and probed again after gRPC's backoff.

import { Balancer, random } from './balancer.js';
import { Call } from './call.js';
import { Metadata, pack } from './metadata.js';
import * as check from './options.js';
import { requestBody, requestHead } from './request.js';
import { Exchange, bodyOf } from './response.js';
import { GrpcError, Status } from './status.js';
import { ServerStream } from './stream.js';

/** What runtimes say of a connection that never came to be: the request did not leave. Browsers do not say. */
const NEVER_LEFT = new Set([
  'ECONNREFUSED', 'ENOTFOUND', 'EAI_AGAIN', 'EHOSTUNREACH', 'ENETUNREACH', 'EADDRNOTAVAIL', 'UND_ERR_CONNECT_TIMEOUT',
  'ConnectionRefused',
]);

const TIMES = { initialBackoff: 1000, maxBackoff: 120_000, minConnectTimeout: 20_000, happyEyeballsDelay: 250 };

const NO_METADATA = pack(undefined);

const now = () => performance.now();

/** Like `fetch failed (connect ECONNREFUSED 127.0.0.1:1)`. */
function words(error) {
  const causes = error?.cause?.errors ?? [error?.cause];
  const why = causes.map((cause) => cause?.message || cause?.code).filter(Boolean);
  return `${error?.message ?? error}${why.length > 0 ? ` (${why.join('; ')})` : ''}`;
}

function neverLeft(error) {
  const causes = error?.cause?.errors ?? [error?.cause ?? error];
  return causes.length > 0 && causes.every((cause) => NEVER_LEFT.has(cause?.code));
}

export class GrpcWebChannel {
  #balancer;
  #endpoints = new Map(); // by the balancer's address
  #text;
  #fetch;
  #defaults;
  #maxMessageSize;
  #methods = new Map(); // what the service config says of them
  #calls = new Set();
  #subchannels = new Map(); // id -> endpoint
  #probes = new Map(); // id -> AbortController
  #waiters = new Set(); // run when picks may come out differently
  #watchers = new Set();
  #timer = null;
  #seen = { version: -1 };
  #turning = false;

  constructor(options) {
    check.known('options', options, [
      'endpoints', 'serviceConfig', 'format', 'fetch', 'metadata', 'maxMessageSize', 'idempotent',
    ]);
    const { endpoints, serviceConfig, fetch: ask } = options;
    if (!Array.isArray(endpoints) || endpoints.length === 0) {
      throw check.expected('endpoints', 'an array of at least one URL', endpoints);
    }
    const list = Array.from(endpoints, (one, i) => check.endpoint(`endpoints[${i}]`, one));
    this.#text = check.choice('format', options.format, ['binary', 'text'], 'binary') === 'text';
    if (ask !== undefined && typeof ask !== 'function') throw check.expected('fetch', 'a function', ask);
    if (!ask && typeof globalThis.fetch !== 'function') throw check.expected('fetch', 'a function, as there is no global one', ask);
    this.#fetch = ask ?? ((url, init) => globalThis.fetch(url, init));
    this.#maxMessageSize = check.whole('maxMessageSize', options.maxMessageSize, 0, 0xffff_ffff, 4 * 1024 * 1024);
    this.#defaults = {
      metadata: pack(options.metadata, 'metadata'),
      idempotent: check.flag('idempotent', options.idempotent, false),
    };
    let config = serviceConfig ?? '{}';
    if (typeof config === 'object') config = JSON.stringify(config);
    if (typeof config !== 'string') throw check.expected('serviceConfig', 'an object, or its JSON', serviceConfig);

    // `failure`: what it last failed with, or null; `streak`: calls that failed since one was answered.
    for (const { url, address } of list) this.#endpoints.set(address, { url, failure: null, streak: 0 });
    this.#balancer = new Balancer({ ...TIMES, seed: random(), position: random() });
    const resolved = list.map(({ address, weight }) => ({ addresses: [address], weight }));
    const wrong = this.#balancer.resolution(now(), resolved, config, true);
    if (wrong) {
      this.#balancer.free();
      throw new TypeError(wrong.config ? `serviceConfig: ${wrong.config}` : `endpoints: ${wrong.refused}`);
    }
    try {
      requestHead(this.#text, NaN, this.#defaults.metadata); // the core's word on the metadata
    } catch (error) {
      this.#balancer.free();
      throw error;
    }
    this.#turn();
  }

  // Calls.

  async unary(method, message, options = {}) {
    const call = this.#call(method, message, options);
    const exchange = new Exchange(call.maxMessageSize);
    let endpoint = null;
    let body;
    try {
      const messages = [];
      const { response, endpoint: at, id } = await this.#ask(call);
      endpoint = at;
      body = bodyOf(response);
      let { status, headers } = exchange.head(response.status, response.headers);
      let cause;
      while (!status) {
        let chunk;
        try {
          chunk = await call.lasting(body.read());
        } catch (error) {
          if (call.over !== null) throw call.error(endpoint.url);
          this.#lost(id, endpoint, error);
          status = exchange.end(true);
          cause = error;
          break;
        }
        if (chunk.done) status = exchange.end(false);
        else status = exchange.feed(chunk.value, messages, false);
        if (messages.length > 1) status = { code: Status.INTERNAL, message: 'a unary call got a second message' };
      }
      if (call.over !== null) throw call.error(endpoint.url);
      if (status.code === Status.OK && messages.length === 0) {
        status = { code: Status.INTERNAL, message: 'a unary call got no message' };
      }
      if (status.code !== Status.OK) throw call.failed(status, endpoint.url, cause);
      return {
        message: messages[0], headers: headers ?? new Metadata(), trailers: status.trailers, endpoint: endpoint.url,
      };
    } finally {
      body?.cancel();
      exchange.free();
      this.#done(call);
    }
  }

  serverStreaming(method, message, options = {}) {
    const view = check.flag('view', options?.view, false); // nothing runs yet
    const call = this.#call(method, message, options, ['view']);
    return new ServerStream(call, view, {
      ask: () => this.#ask(call),
      lost: (id, endpoint, error) => this.#lost(id, endpoint, error),
      done: () => this.#done(call),
    });
  }

  #call(method, message, options, more) {
    check.path(method);
    check.message(message);
    if (this.#balancer.freed) throw closed();
    const config = this.#method(method);
    const call = new Call(method, options, this.#defaults, config, more);
    if (config.maxRequest !== undefined && message.length > config.maxRequest) {
      throw new GrpcError(
        Status.RESOURCE_EXHAUSTED,
        `the message has ${message.length} octets; the service config allows ${config.maxRequest}`,
      );
    }
    call.maxMessageSize = Math.min(this.#maxMessageSize, config.maxResponse ?? Infinity);
    // Before the clock starts: the core may refuse the metadata.
    requestHead(this.#text, NaN, call.metadata);
    call.body = requestBody(this.#text, message);
    this.#calls.add(call);
    call.start();
    return call;
  }

  #done(call) {
    call.end();
    this.#calls.delete(call);
    if (this.#calls.size === 0) this.#arm();
  }

  #method(path) {
    let config = this.#methods.get(path);
    if (!config) {
      config = this.#balancer.method(path);
      if (this.#methods.size >= 1000) this.#methods.clear();
      this.#methods.set(path, config);
    }
    return config;
  }

  /** Sends a call; gives the response's head and where it came from. */
  async #ask(call) {
    // Each failure takes an endpoint out of the picks, so this ends by itself; the count is for servers that answer
    // probes and nothing else.
    for (let tries = 2 * this.#endpoints.size + 2; ; tries--) {
      const { id, endpoint } = await this.#pick(call);
      let sent;
      try {
        sent = this.#send(endpoint, call.method, call);
        const response = await call.lasting(sent);
        endpoint.streak = 0;
        return { response: check.response(response), endpoint, id };
      } catch (error) {
        if (error instanceof check.NoResponse) throw error;
        if (call.over !== null) {
          // A `fetch` that is deaf to the signal may answer yet.
          Promise.resolve(sent).then((response) => bodyOf(response).cancel()).catch(() => {});
          throw call.error(endpoint.url);
        }
        this.#lost(id, endpoint, error);
        if (tries > 0 && (call.idempotent || neverLeft(error))) continue;
        throw call.failed({ code: Status.UNAVAILABLE, message: words(error) }, endpoint.url, error);
      }
    }
  }

  #send({ url }, path, call) {
    return this.#fetch(url + path, {
      method: 'POST',
      headers: requestHead(this.#text, call.left(), call.metadata),
      body: call.body,
      signal: call.signal,
      cache: 'no-store',
    });
  }

  async #pick(call) {
    for (;;) {
      if (call.over !== null) throw call.error(null);
      if (this.#balancer.freed) throw closed();
      const id = this.#balancer.pick(now());
      if (id >= 0) return { id, endpoint: this.#subchannels.get(id) };
      const { version } = this.#seen;
      this.#turn(); // a pick may have woken the channel
      if (version !== this.#seen.version) continue;
      if (id === -3 || (id === -2 && !call.waitForReady)) {
        throw call.failed({ code: Status.UNAVAILABLE, message: this.#why() }, null, this.#failure());
      }
      await this.#wait(call);
    }
  }

  /** Waits until picks may come out differently or the call was given up. */
  #wait(call) {
    // An application's code may have run since it was asked: `fetch`, a watcher.
    if (call.over !== null) return undefined;
    return new Promise((resolve) => {
      const waiter = () => {
        this.#waiters.delete(waiter);
        call.signal.removeEventListener('abort', waiter);
        resolve();
      };
      this.#waiters.add(waiter);
      call.signal.addEventListener('abort', waiter);
      this.#arm();
    });
  }

  #failure() {
    return [...this.#endpoints.values()].map(({ failure }) => failure).findLast((failure) => failure !== null);
  }

  #why() {
    const failed = [...this.#endpoints.values()].filter(({ failure }) => failure !== null);
    return `no endpoint can be reached: ${failed.map(({ url, failure }) => `${url}: ${words(failure)}`).join(', ')}`;
  }

  // Endpoints.

  #lost(id, endpoint, error) {
    // Of calls that fail together, the first tells.
    if (!this.#subchannels.has(id)) return;
    endpoint.failure = error;
    endpoint.streak++;
    this.#forget(id);
    this.#balancer.subchannel(now(), id, 'LOST');
    this.#turn();
  }

  /** After each verb of the balancer: does what it says, wakes who waits, sets the timer. */
  #turn() {
    if (this.#turning || this.#balancer.freed) return;
    this.#turning = true;
    for (let action; (action = this.#balancer.action()) !== null; ) {
      // 'resolve' is passed over: the list of endpoints does not change.
      if (action.do === 'connect') this.#connect(action.id);
      else if (action.do === 'close') {
        this.#probes.get(action.id)?.abort();
        this.#forget(action.id);
      }
    }
    this.#turning = false;
    this.#arm();
    const seen = this.#balancer.look();
    if (seen.version === this.#seen.version) return;
    this.#seen = seen;
    for (const waiter of [...this.#waiters]) waiter();
    this.#tell(seen.state);
  }

  #tell(state) {
    for (const watcher of [...this.#watchers]) {
      // A listener that throws is no reason for a call to fail.
      try {
        watcher(state);
      } catch (error) {
        queueMicrotask(() => {
          throw error;
        });
      }
    }
  }

  #connect(id) {
    const endpoint = this.#endpoints.get(this.#balancer.address(id));
    this.#subchannels.set(id, endpoint);
    if (this.#endpoints.size === 1 && endpoint.failure === null) this.#balancer.subchannel(now(), id, 'READY');
    else if (endpoint.streak > 1) {
      // It answered the latest probe, and then no call.
      endpoint.streak = 0;
      this.#forget(id);
      this.#balancer.subchannel(now(), id, 'FAILED');
    } else this.#probe(id, endpoint);
  }

  async #probe(id, endpoint) {
    const probe = new AbortController();
    this.#probes.set(id, probe);
    let event = 'READY';
    try {
      // CORS would hide the answers of servers that know it for their methods alone; a page that is isolated by COEP
      // gets no others.
      const mode = globalThis.crossOriginIsolated ? 'cors' : 'no-cors';
      const init = { method: 'HEAD', mode, cache: 'no-store', signal: probe.signal };
      const response = await this.#fetch(`${endpoint.url}/`, init);
      response.body?.cancel().catch(() => {});
      endpoint.failure = null;
    } catch (error) {
      endpoint.failure = error;
      event = 'FAILED';
    }
    if (probe.signal.aborted || this.#balancer.freed) return;
    this.#probes.delete(id);
    if (event === 'FAILED') this.#forget(id);
    this.#balancer.subchannel(now(), id, event);
    this.#turn();
  }

  #forget(id) {
    this.#subchannels.delete(id);
    this.#probes.delete(id);
  }

  #arm() {
    clearTimeout(this.#timer);
    this.#timer = null;
    if (this.#balancer.freed) return;
    const at = this.#balancer.nextTimeout();
    if (Number.isNaN(at)) return;
    const left = Math.min(Math.max(Math.ceil(at - now()), 0), 2 ** 31 - 1);
    this.#timer = setTimeout(() => {
      this.#balancer.timeout(now());
      this.#turn();
    }, left);
    // Node: a channel that nobody waits for does not keep the process.
    if (this.#calls.size === 0 && this.#waiters.size === 0) this.#timer.unref?.();
  }

  // What is seen from outside.

  get state() {
    return this.#balancer.freed ? 'SHUTDOWN' : this.#balancer.look().state;
  }

  endpoints() {
    const list = [];
    if (this.#balancer.freed) return list;
    for (let i = 0, one; (one = this.#balancer.endpoint(i)) !== null; i++) {
      list.push({ url: this.#endpoints.get(one.address).url, state: one.state, weight: one.weight });
    }
    return list;
  }

  watch(listener) {
    if (typeof listener !== 'function') throw check.expected('listener', 'a function', listener);
    this.#watchers.add(listener);
    return () => this.#watchers.delete(listener);
  }

  async waitForReady(count = 1, options = {}) {
    check.whole('count', count, 1, 65_535);
    check.known('options', options, ['timeoutMs', 'signal']);
    if (this.#balancer.freed) throw closed();
    const call = new Call('', options, { metadata: NO_METADATA, idempotent: false }, {});
    this.#calls.add(call);
    call.start();
    try {
      this.#balancer.connect(now());
      this.#turn();
      while (this.#balancer.look().ready < count) {
        await this.#wait(call);
        if (call.over !== null) throw call.error(null);
      }
    } finally {
      this.#done(call);
    }
  }

  close() {
    if (this.#balancer.freed) return;
    clearTimeout(this.#timer);
    for (const probe of this.#probes.values()) probe.abort();
    this.#probes.clear();
    this.#subchannels.clear();
    this.#balancer.shutdown();
    this.#balancer.free();
    for (const call of [...this.#calls]) call.giveUp(Status.CANCELLED, undefined, 'the channel was closed');
    this.#tell('SHUTDOWN');
    this.#watchers.clear();
  }
}

function closed() {
  return new GrpcError(Status.UNAVAILABLE, 'the channel is closed');
}
