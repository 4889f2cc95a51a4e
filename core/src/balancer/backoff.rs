//! Connection backoff (grpc/doc/connection-backoff.md).
