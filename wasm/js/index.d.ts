/** gRPC's status codes (statuscodes.md of the gRPC project). */
export declare const Status: {
  readonly OK: 0;
  readonly CANCELLED: 1;
  readonly UNKNOWN: 2;
  readonly INVALID_ARGUMENT: 3;
  readonly DEADLINE_EXCEEDED: 4;
  readonly NOT_FOUND: 5;
  readonly ALREADY_EXISTS: 6;
  readonly PERMISSION_DENIED: 7;
  readonly RESOURCE_EXHAUSTED: 8;
  readonly FAILED_PRECONDITION: 9;
  readonly ABORTED: 10;
  readonly OUT_OF_RANGE: 11;
  readonly UNIMPLEMENTED: 12;
  readonly INTERNAL: 13;
  readonly UNAVAILABLE: 14;
  readonly DATA_LOSS: 15;
  readonly UNAUTHENTICATED: 16;
};

/** What a server sent as metadata: names in lower case, in the server's order. Values of `-bin` names are octets. */
export declare class Metadata implements Iterable<[name: string, value: string | Uint8Array]> {
  /** The first value of that name, in any case. */
  get(name: `${string}-bin`): Uint8Array | undefined;
  get(name: string): string | Uint8Array | undefined;
  /** All values of that name. */
  getAll(name: `${string}-bin`): Uint8Array[];
  getAll(name: string): (string | Uint8Array)[];
  has(name: string): boolean;
  [Symbol.iterator](): IterableIterator<[name: string, value: string | Uint8Array]>;
  /** The entries; octets as arrays of numbers. */
  toJSON(): [name: string, value: string | number[]][];
}

/**
 * Metadata to send: names in any case (sent in lower case), of `0-9 a-z _ - .`. A value is printable ASCII, or octets
 * when the name ends with `-bin`; base64 is the library's business. Browsers keep some names for themselves and leave
 * them out silently (Fetch, "forbidden request-header").
 */
export type MetadataInit =
  | Metadata
  | Iterable<readonly [name: string, value: string | Uint8Array | readonly (string | Uint8Array)[]]>
  | { readonly [name: string]: string | Uint8Array | readonly (string | Uint8Array)[] };

/** A call that did not end with OK. */
export declare class GrpcError extends Error {
  constructor(
    code: number,
    message: string,
    more?: { trailers?: Metadata; endpoint?: string | null; cause?: unknown },
  );
  readonly name: 'GrpcError';
  /** The status code; numbers that gRPC does not define pass through. */
  readonly code: number;
  /** Its name, as `UNAVAILABLE`; `CODE(42)` for a number without one. */
  readonly codeName: string;
  /** `grpc-status-details-bin`: a serialised `google.rpc.Status`, or null. */
  readonly details: Uint8Array | null;
  /** Trailing metadata; when the status was in the response's head, all there was. */
  readonly trailers: Metadata;
  /** The same as `trailers`. */
  readonly metadata: Metadata;
  /** The base URL that the call went to; null: it went nowhere. */
  readonly endpoint: string | null;
}

/** A state of gRPC (connectivity-semantics-and-api.md). */
export type ConnectivityState = 'IDLE' | 'CONNECTING' | 'READY' | 'TRANSIENT_FAILURE' | 'SHUTDOWN';

/** gRPC's service config (service_config.md), as an object or its JSON. */
export type ServiceConfig = string | { readonly [field: string]: unknown };

export interface ChannelOptions {
  /**
   * The backends, at least one: base URLs, which methods' paths are put behind. In a page they may be relative to it.
   * Weights (whole numbers from 0, 1 when absent) count for the policy `weighted_round_robin`; 0 means no calls.
   */
  endpoints: readonly (string | URL | { readonly url: string | URL; readonly weight?: number })[];
  /**
   * Without it: `pick_first`, as in gRPC. `weights` of `weighted_round_robin` name URLs with an IP address and without a
   * path by `ip:port` or `ip`; for others, use `weight`.
   */
  serviceConfig?: ServiceConfig;
  /** How requests are written, and what is asked for (`binary`): `text` is base64. Responses may be either. */
  format?: 'binary' | 'text';
  /**
   * Used instead of the global `fetch`: to send cookies, say, or through a proxy. What it rejects with counts as the
   * network's. Where its bodies are no streams, messages come when all of them are there.
   */
  fetch?: (url: string, init: RequestInit) => Promise<Response>;
  /** Sent with every call. */
  metadata?: MetadataInit;
  /** The largest message taken, octets (4 194 304); above: RESOURCE_EXHAUSTED. */
  maxMessageSize?: number;
  /** Whether calls may be made twice, unless a call says otherwise (false): see {@link CallOptions.idempotent}. */
  idempotent?: boolean;
}

export interface CallOptions {
  metadata?: MetadataInit;
  /**
   * Milliseconds from now until the call ends with DEADLINE_EXCEEDED, whatever the server says; it is told, too. The
   * service config may say less. Without it: none.
   */
  timeoutMs?: number;
  /** Ends the call with CANCELLED. */
  signal?: AbortSignal | null;
  /** Waits while no endpoint can be reached, instead of failing with UNAVAILABLE at once (false). */
  waitForReady?: boolean;
  /**
   * Whether the call may be made twice. When `fetch` fails before a response, nothing tells whether the server got the
   * request; an idempotent call goes to another endpoint then, any other one fails with UNAVAILABLE. (Where the
   * runtime tells that there was no connection, as Node does, the request has not left and every call goes on.) An answer
   * of the server's, an error too, is never asked for again.
   */
  idempotent?: boolean;
}

export interface StreamOptions extends CallOptions {
  /**
   * Messages are windows into the chunk that they came in and share its memory, instead of copies (false): for many
   * small messages, faster. They stay what they are; do not write to them.
   */
  view?: boolean;
}

export interface UnaryResponse {
  message: Uint8Array;
  headers: Metadata;
  trailers: Metadata;
  /** The base URL that answered. */
  endpoint: string;
}

/**
 * The messages of a call, in the order in which they came. The call is on its way already; chunks of the body are
 * read as messages are asked for. Ends after the last message, or throws the {@link GrpcError}. Leaving a `for await` early
 * cancels the call.
 */
export interface ServerStream extends AsyncIterableIterator<Uint8Array> {
  /** Initial metadata; rejects with the error of a call that had none. */
  readonly headers: Promise<Metadata>;
  /** Trailing metadata: there when the messages were read to their end. */
  readonly trailers: Promise<Metadata>;
  /** The base URL that answers; null until it does. */
  readonly endpoint: string | null;
  /** Gives the call up: reading on gives what came before, then throws CANCELLED. */
  cancel(): void;
}

/**
 * Calls over gRPC-Web, each to one of several endpoints.
 *
 * `fetch` shows no connections. So an endpoint is READY when something answered there (any HTTP answer) to a probe, a HEAD
 * of its URL; the only endpoint of a channel is taken on trust the first time. It is lost when
 * `fetch` or a body fails; then probes find out when it is back, after gRPC's backoff (1 s, times 1.6, up to 120 s).
 */
export declare class GrpcWebChannel {
  /** Sends nothing yet. Wrong options: a TypeError that names the field, or the JSON path in the service config. */
  constructor(options: ChannelOptions);

  /**
   * Makes a call with one message and one answer. `method`: `/package.Service/Method`. Rejects with a {@link GrpcError}, or
   * a TypeError for wrong arguments.
   */
  unary(method: string, message: Uint8Array, options?: CallOptions): Promise<UnaryResponse>;

  /** Makes a call with one message and any number of answers. Throws a TypeError for wrong arguments. */
  serverStreaming(method: string, message: Uint8Array, options?: StreamOptions): ServerStream;

  readonly state: ConnectivityState;

  /** The endpoints and what is known of them. */
  endpoints(): { url: string; state: ConnectivityState; weight: number }[];

  /** Connects, and waits until `count` endpoints (1) are READY; with `pick_first` no more than one ever is. */
  waitForReady(count?: number, options?: { timeoutMs?: number; signal?: AbortSignal | null }): Promise<void>;

  /** Calls `listener` whenever states change; gives what ends that. */
  watch(listener: (state: ConnectivityState) => void): () => void;

  /** Cancels all calls; calls that come later fail with UNAVAILABLE. */
  close(): void;
}

export interface PickerOptions {
  /** Milliseconds before the second attempt to connect, from the start of the first (1 000). */
  initialBackoff?: number;
  /** Milliseconds that the backoff grows up to, by 1.6 (120 000). */
  maxBackoff?: number;
  /** Milliseconds that an attempt may take at least (20 000). */
  minConnectTimeout?: number;
  /** Milliseconds between attempts to an endpoint's addresses (250; kept within 100 and 2 000). */
  happyEyeballsDelay?: number;
  /** Milliseconds without calls after which it goes IDLE (1 800 000); Infinity: never. */
  idleTimeout?: number;
  /** For jitter and shuffling: a whole number below 2^53 (random). */
  seed?: number;
  /** Where the picks begin: a whole number below 2^53 (random). */
  position?: number;
}

/** One attempt to connect and what came of it. */
export type SubchannelId = number;

/**
 * The balancer without `fetch`, for those who make connections of their own (WebSockets, say). It sees no clock: every
 * `now` is milliseconds of a clock of yours that never goes back. After each verb, do what {@link Picker.pollAction} says
 * until it says null.
 */
export declare class Picker {
  constructor(options?: PickerOptions);
  /**
   * Endpoints, each its address or alternatives (`10.0.0.1:443`, `[::1]:443`, `unix:/path`), and the service config.
   * TypeError: an address or the service config is wrong; then the endpoints go by the last good one. RangeError: all
   * weights are 0.
   */
  handleResolution(
    now: number,
    endpoints: readonly (string | { readonly addresses: readonly string[]; readonly weight?: number })[],
    serviceConfig?: ServiceConfig,
  ): void;
  handleResolutionError(now: number): void;
  handleSubchannel(now: number, id: SubchannelId, event: 'READY' | 'FAILED' | 'LOST'): void;
  /** Leaves IDLE. */
  connect(now: number): void;
  /** Whether calls are running: the idle timeout runs while none are. */
  setBusy(now: number, busy: boolean): void;
  shutdown(): void;
  pollAction(): { do: 'resolve' } | { do: 'connect' | 'close'; id: SubchannelId } | null;
  /** Where a subchannel goes; null for an id out of use. */
  address(id: SubchannelId): string | null;
  /** Where a call goes, or: wait, fail with UNAVAILABLE, drop it. */
  pick(now: number): SubchannelId | 'QUEUE' | 'FAIL' | 'DROP';
  /** When to call {@link Picker.handleTimeout}; null: never. */
  pollTimeout(): number | null;
  handleTimeout(now: number): void;
  readonly state: ConnectivityState;
  readonly endpointCount: number;
  readonly readyCount: number;
  endpoint(i: number): { address: string; id: SubchannelId; state: ConnectivityState; weight: number } | null;
  /** Gives its memory back; the verbs throw then. */
  close(): void;
}
