// Makes calls at a given rate and keeps what is shown of them.

import { GrpcWebChannel } from './index.js' // the package grpclb, whose files lie beside this one

const SAY_HELLO = '/helloworld.Greeter/SayHello'
/** `helloworld.HelloRequest { name: "page" }`. */
const REQUEST = new Uint8Array([10, 4, ...new TextEncoder().encode('page')])

/** A browser opens six connections to one place at a time; one of them is for the events of the demo. */
const AT_ONCE = 5
const DEADLINE_MS = 5_000

/** As many squares as are drawn: a multiple of 3 and of 7, so that thirds and 1:2:4 come out even. */
export const SQUARES = 210
export const BUCKET_MS = 250
export const BUCKETS = 120

export class Caller {
  rate = 0
  /** No new calls: the user wants none; there is nobody to call. */
  paused = false
  held = false
  /** All calls that have ended, and those of them that failed. */
  calls = 0
  failed = 0
  /** The newest last: {peer, ok, ms}. */
  recent = []
  /** Calls a quarter of a second: {number, served: Map of peer to calls, failed}; the newest last. */
  buckets = []
  /** Told of each call: (call, error or undefined). */
  onCall = () => {}
  #channel
  #running = 0
  #due = 0
  #last = performance.now()

  constructor(format) {
    this.format(format)
    setInterval(() => this.#pump(), 10)
  }

  /** `binary` or `text`: calls from now on take that form. */
  format(format) {
    this.#channel?.close()
    this.#channel = new GrpcWebChannel({ endpoints: [location.origin], format })
  }

  #pump() {
    const now = performance.now()
    // No more than may run at once is made up for: a rate that cannot be held is not held.
    this.#due = Math.min(this.#due + (this.rate * (now - this.#last)) / 1000, AT_ONCE)
    this.#last = now
    if (this.paused || this.held) this.#due = 0
    while (this.#due >= 1 && this.#running < AT_ONCE) {
      this.#due -= 1
      this.#call(this.#channel)
    }
  }

  async #call(channel) {
    this.#running += 1
    const began = performance.now()
    let peer, failure
    try {
      const { headers } = await channel.unary(SAY_HELLO, REQUEST, { timeoutMs: DEADLINE_MS })
      peer = headers.get('grpclb-peer')
    } catch (error) {
      failure = error
      peer = error.trailers?.get('grpclb-peer')
    }
    this.#running -= 1
    this.#note({ peer, ok: !failure, ms: performance.now() - began }, failure)
    this.#pump()
  }

  #note(call, failure) {
    this.calls += 1
    if (failure) this.failed += 1
    this.recent.push(call)
    if (this.recent.length > SQUARES) this.recent.shift()
    const bucket = this.bucket()
    if (failure) bucket.failed += 1
    else bucket.served.set(call.peer, (bucket.served.get(call.peer) ?? 0) + 1)
    this.onCall(call, failure)
  }

  /** The bucket of this moment. */
  bucket() {
    const number = Math.floor(performance.now() / BUCKET_MS)
    let next = (this.buckets.at(-1)?.number ?? number - 1) + 1
    if (number - next > BUCKETS) next = number - BUCKETS // the page slept
    for (; next <= number; next++) this.buckets.push({ number: next, served: new Map(), failed: 0 })
    while (this.buckets.length > BUCKETS + 1) this.buckets.shift()
    return this.buckets.at(-1)
  }

  /** Of the newest squares: {calls, share, failed, times sorted} of a peer, or of all. */
  figures(peer) {
    const mine = peer === undefined ? this.recent : this.recent.filter((call) => call.peer === peer)
    const served = mine.filter((call) => call.ok)
    const all = this.recent.filter((call) => call.ok).length
    return {
      share: all ? served.length / all : 0,
      failed: mine.length - served.length,
      times: served.map((call) => call.ms).sort((a, b) => a - b),
    }
  }

  /** Calls a second of a peer, or of all, over the last two seconds. */
  speed(peer) {
    this.bucket()
    const whole = this.buckets.slice(-9, -1)
    const count = ({ served, failed }) =>
      peer === undefined ? [...served.values()].reduce((sum, n) => sum + n, failed) : (served.get(peer) ?? 0)
    return whole.length ? (whole.reduce((sum, bucket) => sum + count(bucket), 0) * 1000) / (whole.length * BUCKET_MS) : 0
  }
}

/** The time that a share `q` of the sorted times did not exceed. */
export function quantile(times, q) {
  return times.length ? times[Math.min(times.length - 1, Math.ceil(times.length * q) - 1)] : undefined
}
