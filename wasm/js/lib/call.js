// One call: its options, its clock, and why it was given up.

import { joined, pack } from './metadata.js';
import * as check from './options.js';
import { GrpcError, Status } from './status.js';

/** `setTimeout` takes no more. */
const LONGEST = 2 ** 31 - 1;

export class Call {
  #timer = null;
  #signal;
  #onAbort = null;
  #controller = new AbortController();
  #interrupt = null;

  /** `defaults`: the channel's metadata, the service config's words for the method. */
  constructor(method, options, defaults, config, more = []) {
    check.known('options', options, ['metadata', 'timeoutMs', 'signal', 'waitForReady', 'idempotent', ...more]);
    this.method = method;
    this.metadata = joined(defaults.metadata, pack(options.metadata, 'metadata'));
    this.waitForReady = check.flag('waitForReady', options.waitForReady, config.waitForReady ?? false);
    this.idempotent = check.flag('idempotent', options.idempotent, defaults.idempotent);
    const timeoutMs = Math.min(check.millis('timeoutMs', options.timeoutMs), config.timeoutMs ?? Infinity);
    this.#signal = check.signal('signal', options.signal);
    this.deadline = performance.now() + timeoutMs;
    /** Why it was given up: a status code, or null. */
    this.over = null;
    this.cause = undefined;
  }

  /** Starts its clock. */
  start() {
    if (this.#signal?.aborted) {
      this.giveUp(Status.CANCELLED, this.#signal.reason);
    } else if (this.#signal) {
      this.#onAbort = () => this.giveUp(Status.CANCELLED, this.#signal.reason);
      this.#signal.addEventListener('abort', this.#onAbort);
    }
    if (this.deadline !== Infinity) this.#tick();
  }

  #tick() {
    const left = this.deadline - performance.now();
    if (left <= 0) this.giveUp(Status.DEADLINE_EXCEEDED);
    else this.#timer = setTimeout(() => this.#tick(), Math.min(Math.ceil(left), LONGEST));
  }

  /** Milliseconds until the deadline; NaN: there is none. */
  left() {
    return this.deadline === Infinity ? NaN : Math.max(this.deadline - performance.now(), 0);
  }

  get signal() {
    return this.#controller.signal;
  }

  giveUp(code, cause, words) {
    if (this.over !== null) return;
    this.over = code;
    this.cause = cause;
    this.words = words ?? (code === Status.CANCELLED ? 'cancelled' : 'the deadline passed');
    this.end();
    this.#controller.abort();
    this.#interrupt?.();
  }

  /** Waits for `promise` while the call lasts, one at a time: not every `fetch` hears the signal. */
  lasting(promise) {
    return new Promise((resolve, reject) => {
      this.#interrupt = () => reject(this.error(null));
      if (this.over !== null) this.#interrupt();
      Promise.resolve(promise).then(resolve, reject);
    });
  }

  /** Its clock stops. */
  end() {
    clearTimeout(this.#timer);
    if (this.#onAbort) this.#signal.removeEventListener('abort', this.#onAbort);
    this.#onAbort = null;
  }

  /** The error of a call that was given up. */
  error(endpoint) {
    return new GrpcError(this.over, this.words, { endpoint, cause: this.cause });
  }

  /** The error of a status. Once the deadline has passed, that is what happened, whatever the server makes of it. */
  failed(status, endpoint, cause) {
    if (performance.now() >= this.deadline) {
      return new GrpcError(Status.DEADLINE_EXCEEDED, 'the deadline passed', { endpoint, cause });
    }
    return new GrpcError(status.code, status.message, { trailers: status.trailers, endpoint, cause });
  }
}
