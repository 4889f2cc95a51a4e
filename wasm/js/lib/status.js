// Status codes, and the error that a call ends with.

import { Metadata } from './metadata.js';

/** gRPC's status codes (statuscodes.md of the gRPC project). */
export const Status = Object.freeze({
  OK: 0,
  CANCELLED: 1,
  UNKNOWN: 2,
  INVALID_ARGUMENT: 3,
  DEADLINE_EXCEEDED: 4,
  NOT_FOUND: 5,
  ALREADY_EXISTS: 6,
  PERMISSION_DENIED: 7,
  RESOURCE_EXHAUSTED: 8,
  FAILED_PRECONDITION: 9,
  ABORTED: 10,
  OUT_OF_RANGE: 11,
  UNIMPLEMENTED: 12,
  INTERNAL: 13,
  UNAVAILABLE: 14,
  DATA_LOSS: 15,
  UNAUTHENTICATED: 16,
});

const NAMES = Object.keys(Status);

/** A call that did not end with OK. */
export class GrpcError extends Error {
  constructor(code, message, { trailers = new Metadata(), endpoint = null, cause } = {}) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = 'GrpcError';
    this.code = code;
    this.codeName = NAMES[code] ?? `CODE(${code})`;
    this.trailers = trailers;
    this.metadata = trailers;
    this.details = trailers.get('grpc-status-details-bin') ?? null;
    this.endpoint = endpoint;
  }

  toString() {
    return `${this.name}: ${this.codeName}: ${this.message}`;
  }
}
