// The messages of a server-streaming call, as they come.

import { Metadata } from './metadata.js';
import { Exchange, bodyOf } from './response.js';
import { GrpcError, Status } from './status.js';

// Streams that nobody read to the end or cancelled.
const forgotten = new FinalizationRegistry(({ exchange, call, done }) => {
  exchange.free();
  call.giveUp(Status.CANCELLED);
  done();
});

function deferred() {
  const it = {};
  it.promise = new Promise((resolve, reject) => Object.assign(it, { resolve, reject }));
  it.promise.catch(() => {}); // nobody need look at it
  return it;
}

const DONE = Object.freeze({ value: undefined, done: true });

export class ServerStream {
  #call;
  #view;
  #channel;
  #exchange;
  #headers = deferred();
  #trailers = deferred();
  #messages = []; // that came and were not taken, from #next on
  #next = 0;
  #began; // the head: settles once
  #body = null;
  #id = -1;
  #endpoint = null;
  #status = null;
  #error = null;
  #tail = Promise.resolve(); // reads go one after the other
  #reads = 0; // that wait

  constructor(call, view, channel) {
    this.#call = call;
    this.#view = view;
    this.#channel = channel;
    this.#exchange = new Exchange(call.maxMessageSize);
    forgotten.register(this, { exchange: this.#exchange, call, done: channel.done }, this);
    this.#began = this.#begin();
  }

  get headers() {
    return this.#headers.promise;
  }

  get trailers() {
    return this.#trailers.promise;
  }

  get endpoint() {
    return this.#endpoint?.url ?? null;
  }

  /** Gives the call up: what is iterated ends with CANCELLED. */
  cancel() {
    if (this.#status !== null) return;
    this.#call.giveUp(Status.CANCELLED);
    this.#end(null);
  }

  [Symbol.asyncIterator]() {
    return this;
  }

  next() {
    // Whoever asked before is served before.
    if (this.#reads === 0 && this.#next < this.#messages.length) {
      return Promise.resolve({ value: this.#messages[this.#next++], done: false });
    }
    this.#reads++;
    const read = this.#tail.then(() => this.#read()).finally(() => this.#reads--);
    this.#tail = read.catch(() => {});
    return read;
  }

  /** What `break` in a `for await` calls. */
  async return(value) {
    this.cancel();
    this.#messages.length = this.#next = 0;
    this.#error = null;
    return { value, done: true };
  }

  async #begin() {
    try {
      const { response, endpoint, id } = await this.#channel.ask();
      this.#endpoint = endpoint;
      this.#id = id;
      const body = bodyOf(response);
      if (this.#status !== null) return body.cancel();
      this.#body = body;
      const { status, headers } = this.#exchange.head(response.status, response.headers);
      if (headers) this.#headers.resolve(headers);
      if (status) this.#end(status);
    } catch (error) {
      this.#end(null, error);
    }
  }

  async #read() {
    await this.#began;
    for (;;) {
      if (this.#next < this.#messages.length) return { value: this.#messages[this.#next++], done: false };
      if (this.#status !== null) {
        const error = this.#error;
        this.#error = null; // told once, as iterators do
        if (error) throw error;
        return DONE;
      }
      this.#messages.length = this.#next = 0;
      let chunk;
      try {
        chunk = await this.#call.lasting(this.#body.read());
      } catch (error) {
        if (this.#status !== null) continue;
        if (this.#call.over === null) this.#channel.lost(this.#id, this.#endpoint, error);
        this.#end(this.#exchange.end(true), undefined, error);
        continue;
      }
      if (this.#status !== null) continue; // given up meanwhile
      try {
        const status = chunk.done
          ? this.#exchange.end(false)
          : this.#exchange.feed(chunk.value, this.#messages, this.#view);
        if (status) this.#end(status);
      } catch (error) {
        this.#end(null, error);
      }
    }
  }

  #end(status, thrown, cause) {
    if (this.#status !== null) return;
    const call = this.#call;
    if (call.over !== null) thrown = call.error(this.endpoint);
    else if (!thrown && status.code !== Status.OK) thrown = call.failed(status, this.endpoint, cause);
    this.#status = status ?? thrown;
    this.#error = thrown ?? null;
    this.#exchange.free();
    forgotten.unregister(this);
    this.#channel.done();
    this.#body?.cancel();
    if (thrown) {
      this.#headers.reject(thrown);
      if (thrown instanceof GrpcError) this.#trailers.resolve(thrown.trailers);
      else this.#trailers.reject(thrown);
    } else {
      this.#headers.resolve(new Metadata());
      this.#trailers.resolve(status.trailers);
    }
  }
}
