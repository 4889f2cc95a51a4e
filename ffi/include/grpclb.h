/* libgrpclb: gRPC channels with client-side load balancing. Generated from ffi/src/capi by
 * `cargo run -p grpclb-header`; changes go there.
 *
 * Rules of all functions:
 *  - int32_t results: below 0 is GRPCLB_ERR_*, else what the function says. Numbers never change their meaning.
 *  - A pointer argument is borrowed for the call: nothing of it is kept unless its text says so.
 *  - A struct that begins with `size` is set to zero, and its size to sizeof of itself, before its first use.
 *  - NULL where something must be gives GRPCLB_ERR_NULL. A pointer to anything else than what is asked for is as
 *    undefined as ever in C.
 *  - No panic and no exception leaves the library. It installs no signal handler and starts no thread but those
 *    for name look-up and grpclb_channel_drive_in_background.
 *  - After fork() the child makes channels of its own; calls on the parent's end with INTERNAL.
 *  - With GRPCLB_BARE_METAL defined it declares what the archive without an operating system has: grpclb_conn,
 *    grpclb_fields_*, grpclb_version and grpclb_code_name.
 *
 * License: MIT OR Apache-2.0 */

#ifndef GRPCLB_H
#define GRPCLB_H

#include <stddef.h>
#include <stdint.h>

// A pointer that must not be NULL is NULL.
#define GRPCLB_ERR_NULL (-1)

// A struct's `size` is none that this library knows: it was not set, or a newer header's field is in use.
#define GRPCLB_ERR_SIZE (-2)

// A value is out of its range, or a text is not UTF-8.
#define GRPCLB_ERR_ARGUMENT (-3)

// The target does not parse, or nothing here resolves it.
#define GRPCLB_ERR_TARGET (-4)

// The service config does not parse; the error text has the JSON path.
#define GRPCLB_ERR_SERVICE_CONFIG (-5)

// The system refused: descriptors, memory, threads.
#define GRPCLB_ERR_SYSTEM (-6)

// A fault of the library itself, held back at the boundary. The object may be freed and nothing else.
#define GRPCLB_ERR_PANIC (-7)

// Another thread is using the stream.
#define GRPCLB_ERR_BUSY (-8)

// The call has ended; grpclb_stream_finish, or the event with GRPCLB_EVENT_ENDED, tells how. Or it was half-closed.
#define GRPCLB_ERR_ENDED (-9)

// The call has not ended, or there is no such call.
#define GRPCLB_ERR_RUNNING (-10)

// Nothing was taken: the message before is still being sent, or outbox or window are full. An event says when to try
// again: GRPCLB_EVENT_WRITABLE; of a grpclb_conn, GRPCLB_CONN_WRITABLE or GRPCLB_CONN_STARTABLE.
#define GRPCLB_ERR_BLOCKED (-11)

// It can never fit: outbox, arena, or the peer's limits.
#define GRPCLB_ERR_TOO_LARGE (-20)

// The connection takes no new calls: take another one.
#define GRPCLB_ERR_GOING_AWAY (-21)

// The call or connection is over, or this side of the call is.
#define GRPCLB_ERR_CLOSED (-22)

// A name or value of the metadata is not allowed, or there are more than 32 entries.
#define GRPCLB_ERR_METADATA (-23)

// The octets are not the rest of the message that was begun.
#define GRPCLB_ERR_WRONG_LENGTH (-24)

// The response's head was sent before.
#define GRPCLB_ERR_HEAD_SENT (-25)

// The connection is over by an HTTP/2 error; grpclb_conn_last_error has its number and words.
#define GRPCLB_ERR_HTTP2 (-26)

// A picker's endpoints were not taken: every weight is 0, or there are more than 65 535 addresses.
#define GRPCLB_ERR_ENDPOINTS (-30)

#ifndef GRPCLB_BARE_METAL
// No connection and no wish for one.
#define GRPCLB_STATE_IDLE 0

// Trying to connect.
#define GRPCLB_STATE_CONNECTING 1

// Calls can go out.
#define GRPCLB_STATE_READY 2

// Failed; trying again later.
#define GRPCLB_STATE_TRANSIENT_FAILURE 3

// Closed for good.
#define GRPCLB_STATE_SHUTDOWN 4
#endif

// The peer's SETTINGS arrived: the connection is usable.
#define GRPCLB_CONN_READY 1

// Server: a new call. `text` is its path; `authority`, `timeout_ns`, `fields` and GRPCLB_CONN_FLAG_END.
#define GRPCLB_CONN_CALL 2

// Client: the response's initial metadata, in `fields`.
#define GRPCLB_CONN_METADATA 3

// A piece of a message: `at` and `len` in the input, `offset` and `total` in the message; GRPCLB_CONN_FLAG_LAST and
// GRPCLB_CONN_FLAG_END. Its octets count against the receive window until grpclb_conn_release.
#define GRPCLB_CONN_MESSAGE 4

// Server: the client has half-closed, apart from any message.
#define GRPCLB_CONN_HALF_CLOSE 5

// The call is over; its last event, one a call at a client. `code`, `text`, `fields` (trailers), `fate`. At a server:
// it was over before a status was sent.
#define GRPCLB_CONN_STATUS 6

// A send that was blocked, or took a part only, can go on.
#define GRPCLB_CONN_WRITABLE 7

// A call that could not be started for GRPCLB_ERR_BLOCKED can be tried again.
#define GRPCLB_CONN_STARTABLE 8

// The peer takes no new calls here. `call` is the last stream id that it may process, `code` HTTP/2's error code,
// `text` its words.
#define GRPCLB_CONN_GOAWAY 9

// Flag: the peer sends no more on this call.
#define GRPCLB_CONN_FLAG_END 1

// Flag: the piece is the message's last.
#define GRPCLB_CONN_FLAG_LAST 2

// Fate: the server may have seen the call.
#define GRPCLB_FATE_SEEN 0

// Fate: nothing of it has left this side; it can be tried again elsewhere until its deadline (gRFC A6).
#define GRPCLB_FATE_NEVER_LEFT 1

// Fate: the server did not process it; it can be tried again elsewhere once (gRFC A6).
#define GRPCLB_FATE_REFUSED 2

// Flag: this side is the server.
#define GRPCLB_CONFIG_SERVER 1

// Flag: keepalive also while no call runs (gRFC A8).
#define GRPCLB_CONFIG_KEEPALIVE_WITHOUT_CALLS 2

// Flag: the octets of messages are released as they are told, so that grpclb_conn_release is never needed: for
// programs that take all that comes.
#define GRPCLB_CONFIG_AUTO_RELEASE 4

#ifndef GRPCLB_BARE_METAL
// Initial metadata is here: `metadata`, `headers_len`.
#define GRPCLB_EVENT_HEADERS 1

// grpclb_reactor_recv has a message.
#define GRPCLB_EVENT_MESSAGE 2

// grpclb_reactor_send takes a message.
#define GRPCLB_EVENT_WRITABLE 4

// The call has ended: `code` and all fields below it are set.
#define GRPCLB_EVENT_ENDED 8

// A streaming call, for grpclb_reactor_start_packed; else it is unary.
#define GRPCLB_CALL_STREAM 1

// Wait through TRANSIENT_FAILURE, for grpclb_reactor_start_packed.
#define GRPCLB_CALL_WAIT_FOR_READY 2

// To grpclb_picker_handle_subchannel: connected, and the peer's SETTINGS arrived.
#define GRPCLB_SUBCHANNEL_READY 1

// The attempt to connect failed.
#define GRPCLB_SUBCHANNEL_FAILED 2

// A connection that was READY is gone or takes no new calls (GOAWAY).
#define GRPCLB_SUBCHANNEL_LOST 3

// Of grpclb_picker_poll_action: there is nothing to do.
#define GRPCLB_ACTION_NONE 0

// Resolve the target (again); answer with grpclb_picker_handle_resolution or grpclb_picker_handle_resolution_error.
#define GRPCLB_ACTION_RESOLVE 1

// Connect to grpclb_picker_address. An attempt has its time limit; CLOSE comes when it is over.
#define GRPCLB_ACTION_CONNECT 2

// Close the connection (let its calls end) or give up the attempt. Nothing need be told of it any more.
#define GRPCLB_ACTION_CLOSE 3

// Of grpclb_picker_pick: the call goes to the subchannel.
#define GRPCLB_PICK_SUBCHANNEL 0

// The call waits: pick again when grpclb_picker_version is another than before this pick.
#define GRPCLB_PICK_QUEUE 1

// TRANSIENT_FAILURE: the call fails with UNAVAILABLE; one that waits for ready waits as for QUEUE.
#define GRPCLB_PICK_FAIL 2

// The policy drops the call: UNAVAILABLE, never tried again.
#define GRPCLB_PICK_DROP 3

// A channel to all endpoints of a target.
typedef struct grpclb_channel grpclb_channel;
#endif

// One HTTP/2 connection and its gRPC calls, without a socket and without a clock: one thread at a time. The rule for
// whoever drives it: after grpclb_conn_recv_batch deliver the events; after the functions that say so, those of
// grpclb_conn_poll_events; then transmit until there is nothing to transmit, and wait for octets, for the socket to
// take more, or for grpclb_conn_poll_timeout. `now_ns` is nanoseconds of a clock of yours that never goes back.
typedef struct grpclb_conn grpclb_conn;

#ifndef GRPCLB_BARE_METAL
// Which connection a call goes to, for programs that keep connections of their own: policies, connectivity states,
// backoff and Happy Eyeballs without a socket. Any thread may use it; picks take no lock while the state is READY.
// `now_ns` is nanoseconds of a clock of yours that never goes back. A subchannel is one attempt to connect and the
// connection that came of it; its number is never used for another, and `subchannel >> 16` is dense from 0: keep your
// connections in an array.
typedef struct grpclb_picker grpclb_picker;

// A channel that its caller drives. One thread at a time (another's function returns GRPCLB_ERR_BUSY).
typedef struct grpclb_reactor grpclb_reactor;

// A streaming call. One thread at a time (another's function returns GRPCLB_ERR_BUSY), but for grpclb_stream_cancel.
typedef struct grpclb_stream grpclb_stream;

// One entry of metadata. In a grpclb_call: borrowed for the call. In a grpclb_reply: valid until the reply's next use.
typedef struct grpclb_metadata {
  // Lower case; not NUL-terminated.
  const char *name;
  // Octets of the name.
  size_t name_len;
  // Raw octets; for a name that ends with "-bin" any, they are base64 on the wire alone.
  const uint8_t *value;
  // Octets of the value.
  size_t value_len;
} grpclb_metadata;

// What came of a call. Set it to zero once, then its size, and use it for one call after the other: its memory is
// used again. grpclb_reply_clear gives the memory back. All pointers are valid until its next use, so a call that
// fills it takes neither request nor metadata from it.
typedef struct grpclb_reply {
  // sizeof(grpclb_reply).
  uint32_t size;
  // What the function returned: gRPC's status code, 0 is OK; or a GRPCLB_ERR_* number.
  int32_t code;
  // Why it is not OK, in words; NUL-terminated, never NULL after a call. A server's message may hold a NUL.
  const char *message;
  // Octets of the message without its NUL.
  size_t message_len;
  // The endpoint that served the call, "ip:port", "[ip]:port" or "unix:path"; NUL-terminated; "" when none did.
  const char *peer;
  // Octets of the peer without its NUL.
  size_t peer_len;
  // The response message of a unary call; not NUL-terminated, not NULL after a call.
  const uint8_t *response;
  // Octets of the response; 0 unless the call is OK.
  size_t response_len;
  // Initial metadata in order; "-bin" values are raw.
  const struct grpclb_metadata *headers;
  // Entries of it.
  size_t headers_len;
  // Trailing metadata, also of a call that failed.
  const struct grpclb_metadata *trailers;
  // Entries of it.
  size_t trailers_len;
  // The how-manieth pick of the channel the call was, from 0.
  uint64_t pick_order;
  // The library's own; NULL at first.
  void *memory;
} grpclb_reply;

// Settings of a channel. 0 or NULL is each field's default. All is borrowed for the call that takes it, but for
// `interrupt_context`.
typedef struct grpclb_channel_config {
  // sizeof(grpclb_channel_config).
  uint32_t size;
  // Largest message taken, octets (default 4 MiB); a larger one ends its call with RESOURCE_EXHAUSTED.
  uint32_t max_message_size;
  // gRPC's service config, JSON; default {}, which is pick_first.
  const char *service_config;
  // ":authority"; default: the target's.
  const char *authority;
  // A PING after so long without an octet received, nanoseconds, at least 10 s; default: none.
  uint64_t keepalive_time_ns;
  // How long a PING waits for an octet, nanoseconds (default 20 s).
  uint64_t keepalive_timeout_ns;
  // How long an attempt to connect may take, nanoseconds (default 20 s).
  uint64_t connect_timeout_ns;
  // First backoff between attempts to connect, nanoseconds (default 1 s).
  uint64_t initial_backoff_ns;
  // Largest backoff, nanoseconds (default 120 s).
  uint64_t max_backoff_ns;
  // Without calls for so long the channel goes IDLE, nanoseconds (default 30 min); UINT64_MAX: never.
  uint64_t idle_timeout_ns;
  // Asked while a call waits, at least every 100 ms and when a signal comes; other than 0 ends the wait, and the
  // call with CANCELLED. On the thread that waits, without a lock, from several threads at once. It must return
  // (no longjmp, no exception).
  int32_t (*interrupt)(void *context);
  // Handed to `interrupt`; kept until the channel and all its streams are freed.
  void *interrupt_context;
} grpclb_channel_config;

// What to call. Everything it points to is borrowed for the call.
typedef struct grpclb_call {
  // sizeof(grpclb_call).
  uint32_t size;
  // 1: wait through TRANSIENT_FAILURE; 0: fail fast.
  uint32_t wait_for_ready;
  // "/package.Service/Method", NUL-terminated.
  const char *path;
  // Nanoseconds from now until the call ends with DEADLINE_EXCEEDED; 0: no deadline.
  uint64_t timeout_ns;
  // Custom metadata in order, may be NULL when there is none.
  const struct grpclb_metadata *metadata;
  // Entries of it.
  size_t metadata_len;
  // Largest response message taken, octets, below the channel's own limit; 0: that one.
  uint32_t max_response_size;
  // 0.
  uint32_t reserved;
} grpclb_call;
#endif

// Settings of a connection. 0 is each field's default.
typedef struct grpclb_conn_config {
  // sizeof(grpclb_conn_config).
  uint32_t size;
  // GRPCLB_CONFIG_*, or'ed.
  uint32_t flags;
  // Calls at once (default 128, at most 65 534).
  uint32_t streams;
  // HPACK table of what is received, octets (default 4 096); UINT32_MAX: none.
  uint32_t decoder_table;
  // HPACK table of what is sent, octets (default 4 096); UINT32_MAX: none.
  uint32_t encoder_table;
  // Header fields of a batch, and header blocks that come in pieces, octets (default 16 384, at least 1 024); half of
  // it bounds the header lists that are taken.
  uint32_t arena;
  // What waits to be transmitted, octets (default 32 768, at least 1 024).
  uint32_t outbox;
  // Largest message taken, octets (default 4 MiB); a larger one ends its call with RESOURCE_EXHAUSTED.
  uint32_t max_message_size;
  // Largest header list taken, octets as RFC 9113 section 6.5.2 counts them (default 16 384).
  uint32_t max_header_list_size;
  // Receive window of a call, octets (default 1 MiB, at most 2^31-1).
  uint32_t stream_window;
  // Receive window of the connection, octets (default 4 MiB, 65 535 to 2^31-1).
  uint32_t connection_window;
  // Zero.
  uint32_t reserved;
  // A PING after so long without an octet received, nanoseconds (gRFC A8); default: none.
  uint64_t keepalive_time_ns;
  // How long a PING waits for an octet, nanoseconds (default 20 s).
  uint64_t keepalive_timeout_ns;
  // Server: GOAWAY after so long, give or take a tenth (gRFC A9); default: never.
  uint64_t max_age_ns;
  // Server: the end so long after that GOAWAY; default: when the calls are done.
  uint64_t max_age_grace_ns;
  // Server: GOAWAY after so long without a call (gRFC A9); default: never.
  uint64_t max_idle_ns;
  // Any number; a server that faces strangers takes one that they cannot guess.
  uint64_t seed;
} grpclb_conn_config;

// What grpclb_conn_recv_batch did.
typedef struct grpclb_conn_batch {
  // Octets of the input that are taken.
  size_t taken;
  // Events in the array, also when `code` is below 0.
  uint32_t count;
  // 0: all is taken and told; 1: there is more, call again with the rest of the input; GRPCLB_ERR_HTTP2: the
  // connection is over (transmit, then close); or another GRPCLB_ERR_*.
  int32_t code;
} grpclb_conn_batch;

// A piece of memory that somebody else owns.
typedef struct grpclb_bytes {
  // NULL when there are none.
  const uint8_t *at;
  // Octets.
  size_t len;
} grpclb_bytes;

// What happened. The pointers are valid until the next grpclb_conn_recv_batch.
typedef struct grpclb_conn_event {
  // GRPCLB_CONN_READY and so on.
  uint8_t kind;
  // GRPCLB_CONN_FLAG_END and GRPCLB_CONN_FLAG_LAST, or'ed.
  uint8_t flags;
  // GRPCLB_FATE_*, of a status.
  uint8_t fate;
  // Zero.
  uint8_t reserved;
  // gRPC's status code, or HTTP/2's error code.
  uint32_t code;
  // The call; 0 when it is none's.
  int64_t call;
  // Where in the input a piece begins, octets.
  uint32_t at;
  // Octets of the piece.
  uint32_t len;
  // Where in its message the piece begins, octets.
  uint32_t offset;
  // Octets of the whole message.
  uint32_t total;
  // Words or a path; not NUL-terminated.
  struct grpclb_bytes text;
  // Packed fields, see grpclb_fields_get; "-bin" values are raw.
  struct grpclb_bytes fields;
  // ":authority" of a request.
  struct grpclb_bytes authority;
  // Time that the client gives a call, nanoseconds; 0: no deadline. The connection minds it by itself.
  uint64_t timeout_ns;
} grpclb_conn_event;

// What grpclb_conn_unary did.
typedef struct grpclb_conn_started {
  // As of grpclb_conn_start_call.
  int64_t call;
  // As of grpclb_conn_send_message; 0 when the call was not started.
  int64_t taken;
} grpclb_conn_started;

// Why a connection is over.
typedef struct grpclb_conn_error {
  // 0: it is not over by an error; else GRPCLB_ERR_HTTP2, or why it cannot be said.
  int32_t code;
  // HTTP/2's error code (RFC 9113 section 7).
  uint32_t http2;
  // In words, static; not NUL-terminated.
  struct grpclb_bytes text;
} grpclb_conn_error;

#ifndef GRPCLB_BARE_METAL
// Where a reactor stands.
typedef struct grpclb_turn {
  // How many events there were, or GRPCLB_ERR_*.
  int32_t count;
  // GRPCLB_STATE_*.
  int32_t state;
  // Endpoints that are READY.
  uint64_t ready_endpoints;
  // How long the descriptor may be waited for, nanoseconds; 0: there is more to do at once; UINT64_MAX: for ever.
  uint64_t timeout_ns;
} grpclb_turn;

// A call of a reactor, until grpclb_reactor_take gave its reply.
typedef struct grpclb_call_id {
  // Dense: keep what you know of a call in an array.
  uint32_t index;
  // Tells successors at the same index apart.
  uint32_t generation;
} grpclb_call_id;

// How a call stands. What it points to is valid until the next function of that reactor, those that start calls and send
// messages excepted: it may be handed to them.
typedef struct grpclb_event {
  // The call.
  struct grpclb_call_id call;
  // GRPCLB_EVENT_*, added up: how it stands now, also what an earlier event has said.
  uint32_t what;
  // gRPC's status code, 0 is OK.
  int32_t code;
  // Why it is not OK, in words; not NUL-terminated.
  const char *message;
  // Octets of the message.
  size_t message_len;
  // The response of a unary call.
  const uint8_t *response;
  // Octets of the response; 0 unless the call is OK.
  size_t response_len;
  // Initial and then trailing metadata. Each entry: uint16_t name length, uint16_t value length (both with the high
  // octet first), name, value; "-bin" values are raw.
  const uint8_t *metadata;
  // Octets of the initial metadata.
  size_t headers_len;
  // Octets of the trailing metadata, which follows.
  size_t trailers_len;
  // The endpoint that serves the call, "ip:port", "[ip]:port" or "unix:path"; not NUL-terminated. In any event.
  const char *peer;
  // Octets of the peer; 0 while there is none.
  size_t peer_len;
  // The how-manieth pick of the channel the call was, from 0.
  uint64_t pick_order;
} grpclb_event;

// A call that was started, or why not.
typedef struct grpclb_started {
  // 0, or GRPCLB_ERR_*.
  int32_t result;
  // Valid when the result is 0.
  struct grpclb_call_id call;
} grpclb_started;

// A message that came on a stream, or why there is none.
typedef struct grpclb_message {
  // 1: a message; 0: none yet; GRPCLB_ERR_ENDED: none, and none will come; or another GRPCLB_ERR_*.
  int32_t result;
  // Its octets, valid as long as what an event points to; not NULL when there is a message.
  const uint8_t *octets;
  // How many.
  size_t len;
} grpclb_message;
#endif

// One field of a packed list.
typedef struct grpclb_field {
  // In the list; not NUL-terminated. NULL: the list has no further field.
  const char *name;
  // In the list.
  const uint8_t *value;
  // Octets of the name.
  uint16_t name_len;
  // Octets of the value.
  uint16_t value_len;
  // Where the next field begins, octets into the list.
  uint32_t next;
} grpclb_field;

#ifndef GRPCLB_BARE_METAL
// Settings of a picker. 0 is the default of all durations.
typedef struct grpclb_picker_config {
  // sizeof(grpclb_picker_config).
  uint32_t size;
  // Zero.
  uint32_t reserved;
  // For jitter and shuffling; take it from a random source.
  uint64_t seed;
  // The number of the first pick; take it from a random source, or every client's first call goes to the same endpoint.
  uint64_t position;
  // First backoff between attempts to connect, nanoseconds (default 1 s, at least 1 ms).
  uint64_t initial_backoff_ns;
  // Largest backoff, nanoseconds (default 120 s).
  uint64_t max_backoff_ns;
  // How long an attempt to connect may take, nanoseconds (default 20 s); longer when the backoff is.
  uint64_t min_connect_timeout_ns;
  // Between attempts of Happy Eyeballs, nanoseconds (default 250 ms, kept within 100 ms and 2 s).
  uint64_t happy_eyeballs_delay_ns;
  // Without picks and calls for so long the picker goes IDLE, nanoseconds (default 30 min); UINT64_MAX: never.
  uint64_t idle_timeout_ns;
} grpclb_picker_config;

// What to do next.
typedef struct grpclb_action {
  // GRPCLB_ACTION_*, or GRPCLB_ERR_*.
  int32_t action;
  // Of CONNECT and CLOSE.
  uint32_t subchannel;
} grpclb_action;

// Where a call goes.
typedef struct grpclb_pick {
  // GRPCLB_PICK_*, or GRPCLB_ERR_*.
  int32_t result;
  // Of GRPCLB_PICK_SUBCHANNEL.
  uint32_t subchannel;
} grpclb_pick;

// One endpoint as the picker sees it now.
typedef struct grpclb_endpoint {
  // GRPCLB_STATE_*, or GRPCLB_ERR_* (GRPCLB_ERR_ARGUMENT: there is no such endpoint).
  int32_t state;
  // The weight that picks go by (1 for policies without weights).
  uint32_t weight;
  // Of the address in use, or else of the first.
  uint32_t subchannel;
  // Octets of that address without its NUL.
  uint32_t address_len;
} grpclb_endpoint;
#endif

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

// The version of the library as text, "0.1.0". Static.
const char *grpclb_version(void);

// A status code's or GRPCLB_ERR_* number's name, "UNAVAILABLE", "GRPCLB_ERR_NULL"; "UNKNOWN" for numbers that are
// neither. Static, never NULL.
const char *grpclb_code_name(int32_t code);

#ifndef GRPCLB_BARE_METAL
// Gives the reply's memory back; all but its size is zero then, and it may be used again. NULL is fine.
void grpclb_reply_clear(struct grpclb_reply *reply);

// Makes a channel to `target` ("dns:///host:port", "ipv4:a:p,b:p", "ipv6:[a]:p", "unix:/path", "file:///path");
// connects to nothing yet. `config` may be NULL. 0, and `*out` is yours to free with grpclb_channel_free; else a
// GRPCLB_ERR_* number, `*out` is NULL, and `error` (which may be NULL) holds what was wrong as one NUL-terminated
// line, shortened to `error_size` octets.
int32_t grpclb_channel_new(const char *target,
                           const struct grpclb_channel_config *config,
                           struct grpclb_channel **out,
                           char *error,
                           size_t error_size);

// Frees a channel; running streams go on until they are freed. No other thread may be using it. NULL is fine.
void grpclb_channel_free(struct grpclb_channel *channel);

// Ends the channel: running calls end with CANCELLED, later ones with UNAVAILABLE. Any thread, any number of times.
int32_t grpclb_channel_close(const struct grpclb_channel *channel);

// A unary call: one message out, one back. Returns gRPC's status code (0 is OK), or a GRPCLB_ERR_* number when the
// call could not be made. `reply` holds the response and all else that came; see there. `request` is borrowed for
// the call and may be NULL when `request_len` is 0.
int32_t grpclb_channel_unary(const struct grpclb_channel *channel,
                             const struct grpclb_call *call,
                             const uint8_t *request,
                             size_t request_len,
                             struct grpclb_reply *reply);

// The channel's state, GRPCLB_STATE_*; `connect` other than 0 leaves IDLE.
int32_t grpclb_channel_state(const struct grpclb_channel *channel, int32_t connect);

// Waits until the state is not `last` (GRPCLB_STATE_*), at most `timeout_ns` nanoseconds. 1: it is another; 0: the
// time ran out.
int32_t grpclb_channel_wait_state(const struct grpclb_channel *channel,
                                  int32_t last,
                                  uint64_t timeout_ns);

// Connects, and waits until `count` endpoints are READY, at most `timeout_ns` nanoseconds. 1: they are; 0: the time
// ran out, or the channel is closed.
int32_t grpclb_channel_wait_ready(const struct grpclb_channel *channel,
                                  size_t count,
                                  uint64_t timeout_ns);

// Writes "address STATE, address STATE" of all endpoints into `out`, NUL-terminated and shortened to `size` octets;
// returns how long the whole text is without its NUL (0 also for a channel that is NULL). `out` may be NULL.
size_t grpclb_channel_endpoints(const struct grpclb_channel *channel,
                                char *out,
                                size_t size);

// Starts a thread that drives the channel until it is closed or freed: connections are watched, kept alive and made
// again also while nobody calls. Without it there is no hidden thread.
int32_t grpclb_channel_drive_in_background(const struct grpclb_channel *channel);
#endif

// Octets that a connection with this config takes, tables included, or GRPCLB_ERR_*: a config that is refused here is
// refused by grpclb_conn_init and grpclb_conn_new. NULL: a client's defaults.
int64_t grpclb_conn_size(const struct grpclb_conn_config *config);

// What the address of a connection's memory must be a multiple of, octets.
size_t grpclb_conn_align(void);

// Makes a connection in `memory`, which is lent until you use the connection no more (there is nothing to free) and
// stays where it is. NULL when the memory is NULL, misaligned or smaller than grpclb_conn_size, or the config refused.
// `config` is borrowed for the call; NULL: a client's defaults.
struct grpclb_conn *grpclb_conn_init(uint8_t *memory,
                                     size_t size,
                                     const struct grpclb_conn_config *config,
                                     uint64_t now_ns);

#ifndef GRPCLB_BARE_METAL
// The same in memory of the heap: yours to free with grpclb_conn_free. NULL when the config is refused or there is no
// memory.
struct grpclb_conn *grpclb_conn_new(const struct grpclb_conn_config *config,
                                    uint64_t now_ns);

// Frees a connection of grpclb_conn_new. NULL is fine.
void grpclb_conn_free(struct grpclb_conn *conn);
#endif

// Takes octets that arrived, and fills `events`, until the array, the room for header fields or the input ends; then
// what grpclb_conn_poll_events has to tell. `input` is borrowed for the call: the events' `at` counts from it.
struct grpclb_conn_batch grpclb_conn_recv_batch(struct grpclb_conn *conn,
                                                uint64_t now_ns,
                                                const uint8_t *input,
                                                size_t input_len,
                                                struct grpclb_conn_event *events,
                                                size_t capacity);

// Fills `events` with what time, commands and grpclb_conn_transmitted made: their number. Call it again while the
// array comes full. It is due after grpclb_conn_handle_timeout, _transmitted, _take, _cancel and _carrier_lost, and
// after a batch whose code is GRPCLB_ERR_HTTP2.
int32_t grpclb_conn_poll_events(struct grpclb_conn *conn,
                                struct grpclb_conn_event *events,
                                size_t capacity);

// Client: starts a call. `head` is a packed list (grpclb_fields_put) of ":path", ":authority", ":scheme" ("http", the
// default, or "https"), "user-agent" and up to 32 entries of metadata, lower-case names, "-bin" values raw; make it
// once and use it for many calls. `timeout_ns` 0: no deadline. The call, above 0, or GRPCLB_ERR_*: BLOCKED
// (GRPCLB_CONN_STARTABLE comes), TOO_LARGE, GOING_AWAY, CLOSED, METADATA, ARGUMENT (":path" and the like). The upper
// 32 bits of a call are its slot, dense from 0: keep what you know of a call in an array.
int64_t grpclb_conn_start_call(struct grpclb_conn *conn,
                               uint64_t now_ns,
                               const uint8_t *head,
                               size_t head_len,
                               uint64_t timeout_ns);

// Client: grpclb_conn_start_call, then grpclb_conn_send_message with the end, in one. When the message is not taken
// whole, the call is there all the same, and the rest is to be sent.
struct grpclb_conn_started grpclb_conn_unary(struct grpclb_conn *conn,
                                             uint64_t now_ns,
                                             const uint8_t *head,
                                             size_t head_len,
                                             uint64_t timeout_ns,
                                             const uint8_t *message,
                                             size_t message_len);

// Sends (a part of) one message; `last` other than 0: a client's side ends behind it. The first call's length is the
// message's, later calls pass exactly the rest (but see grpclb_conn_begin_message). Octets taken (0 for an empty
// message alone), or GRPCLB_ERR_*: BLOCKED (GRPCLB_CONN_WRITABLE comes, also after a part), CLOSED, WRONG_LENGTH,
// TOO_LARGE.
int64_t grpclb_conn_send_message(struct grpclb_conn *conn,
                                 int64_t call,
                                 const uint8_t *message,
                                 size_t message_len,
                                 int32_t last);

// Announces a message of `len` octets whose pieces come one by one, of any size, by grpclb_conn_send_message.
int32_t grpclb_conn_begin_message(struct grpclb_conn *conn, int64_t call, uint32_t len);

// Client: no more messages.
int32_t grpclb_conn_half_close(struct grpclb_conn *conn, int64_t call);

// Server: the response's initial metadata, a packed list; sent by itself, empty, if you never do.
int32_t grpclb_conn_send_head(struct grpclb_conn *conn,
                              int64_t call,
                              const uint8_t *metadata,
                              size_t metadata_len);

// Server: ends the call with gRPC's status `code`, a message (UTF-8), and trailers, a packed list.
int32_t grpclb_conn_send_status(struct grpclb_conn *conn,
                                int64_t call,
                                uint32_t code,
                                const uint8_t *message,
                                size_t message_len,
                                const uint8_t *trailers,
                                size_t trailers_len);

// Server: head, one message and status OK, all or nothing. GRPCLB_ERR_TOO_LARGE: send it in parts.
int32_t grpclb_conn_reply(struct grpclb_conn *conn, int64_t call, const uint8_t *message, size_t message_len);

// Gives `n` octets of messages back to the receive window. Does nothing when the call is over.
int32_t grpclb_conn_release(struct grpclb_conn *conn, int64_t call, size_t n);

// Ends a call. A client's gets its status, CANCELLED, from grpclb_conn_poll_events; a server's has no further event.
// Does nothing when the call is over.
int32_t grpclb_conn_cancel(struct grpclb_conn *conn,
                           int64_t call);

// What is to be written to the socket, valid until the connection's next function. None: there is nothing.
struct grpclb_bytes grpclb_conn_transmit(struct grpclb_conn *conn, uint64_t now_ns);

// `n` octets of grpclb_conn_transmit were written.
int32_t grpclb_conn_transmitted(struct grpclb_conn *conn, size_t n);

// Both in one, by a copy: moves up to `size` octets to `out`. Octets moved, or GRPCLB_ERR_*.
int64_t grpclb_conn_take(struct grpclb_conn *conn, uint64_t now_ns, uint8_t *out, size_t size);

// When grpclb_conn_handle_timeout is due, by your clock; UINT64_MAX: never.
uint64_t grpclb_conn_poll_timeout(const struct grpclb_conn *conn);

// The clock has reached grpclb_conn_poll_timeout (or not: then nothing happens). 0, or GRPCLB_ERR_HTTP2: the peer is
// gone.
int32_t grpclb_conn_handle_timeout(struct grpclb_conn *conn,
                                   uint64_t now_ns);

// The socket is gone: every call ends; their statuses, with their fates, come from grpclb_conn_poll_events.
int32_t grpclb_conn_carrier_lost(struct grpclb_conn *conn, uint64_t now_ns);

// Graceful end: GOAWAY, no new calls, those that run go on until grpclb_conn_is_closed.
int32_t grpclb_conn_shutdown(struct grpclb_conn *conn, uint64_t now_ns);

// 1: all is said and done, close the socket once there is nothing to transmit; 0: not yet.
int32_t grpclb_conn_is_closed(const struct grpclb_conn *conn);

// How many calls run.
int32_t grpclb_conn_calls(const struct grpclb_conn *conn);

// Why the connection is over.
struct grpclb_conn_error grpclb_conn_last_error(const struct grpclb_conn *conn);

#ifndef GRPCLB_BARE_METAL
// Does what grpclb_reactor_process does until there are events or nothing is left to do, and writes how the calls stand
// that ended or have something new, at most `capacity` of them (at least 1; one event a call). Call it until there are
// none, and wait then: what is to be written goes out by the next one, with what you start meanwhile. Use either this
// or grpclb_reactor_process with grpclb_reactor_poll_call.
//
// A unary call is told once, when it has ended, and is gone with the next such function of the reactor. A stream stays
// until grpclb_reactor_forget, and what it received can still be taken after its end.
struct grpclb_turn grpclb_reactor_poll_events(const struct grpclb_reactor *reactor,
                                              struct grpclb_event *events,
                                              size_t capacity);

// Writes what commands made, and nothing else. Events that commands made wait for grpclb_reactor_poll_events; the
// turn's timeout is 0 then.
struct grpclb_turn grpclb_reactor_flush(const struct grpclb_reactor *reactor);

// Starts a streaming call. `call` is borrowed for the call. 0, and the call's id in `*out`.
int32_t grpclb_reactor_start_stream(const struct grpclb_reactor *reactor,
                                    const struct grpclb_call *call,
                                    struct grpclb_call_id *out);

// Starts a call of either kind (`flags`: GRPCLB_CALL_*, added up) as grpclb_reactor_start_call and
// grpclb_reactor_start_stream do, without a struct that holds pointers. `path` is not NUL-terminated; `metadata` is
// packed as in grpclb_event; the other two are as in grpclb_call. `request` is the message of a unary call; a stream
// has none here.
struct grpclb_started grpclb_reactor_start_packed(const struct grpclb_reactor *reactor,
                                                  uint32_t flags,
                                                  const char *path,
                                                  size_t path_len,
                                                  const uint8_t *metadata,
                                                  size_t metadata_len,
                                                  uint64_t timeout_ns,
                                                  uint32_t max_response_size,
                                                  const uint8_t *request,
                                                  size_t request_len);

// A stream's next message, borrowed for the call and copied. 0: it is on its way; 1: it waits for a connection or for
// the peer's window, and until an event has GRPCLB_EVENT_WRITABLE further ones are GRPCLB_ERR_BLOCKED.
// GRPCLB_ERR_ENDED: the stream has ended or was half-closed. Goes out with the next grpclb_reactor_flush,
// grpclb_reactor_poll_events or grpclb_reactor_process.
int32_t grpclb_reactor_send(const struct grpclb_reactor *reactor,
                            struct grpclb_call_id call,
                            const uint8_t *message,
                            size_t message_len);

// No more messages will be sent on a stream; one that waits goes out before. 0, or GRPCLB_ERR_ENDED.
int32_t grpclb_reactor_half_close(const struct grpclb_reactor *reactor, struct grpclb_call_id call);

// Takes the next message that came on a stream, and with it makes room in the peer's window: what is not taken holds
// the peer back.
struct grpclb_message grpclb_reactor_recv(const struct grpclb_reactor *reactor,
                                          struct grpclb_call_id call);

// Cancels a call unless it has ended, and forgets it: no event will name it.
int32_t grpclb_reactor_forget(const struct grpclb_reactor *reactor, struct grpclb_call_id call);

// Writes "address STATE, address STATE" of all endpoints into `out`, as grpclb_channel_endpoints does.
size_t grpclb_reactor_endpoints(const struct grpclb_reactor *reactor, char *out, size_t size);
#endif

// Appends a field to a packed list (each is `u16 name length, u16 value length, name, value`, lengths in network byte
// order) of which `used` octets of `size` are in use. The new `used`, or GRPCLB_ERR_TOO_LARGE and the list is as it was.
int64_t grpclb_fields_put(uint8_t *list,
                          size_t size,
                          size_t used,
                          const char *name,
                          size_t name_len,
                          const uint8_t *value,
                          size_t value_len);

// The field that begins `at` octets into a packed list: begin with 0, go on with `next` until `name` is NULL.
struct grpclb_field grpclb_fields_get(const uint8_t *list, size_t len, size_t at);

#ifndef GRPCLB_BARE_METAL
// Makes a picker, IDLE and without endpoints. `config` is borrowed for the call; NULL: the defaults, seed and position
// 0. 0, and `*out` is yours to free with grpclb_picker_free; else GRPCLB_ERR_*, and `*out` is NULL.
int32_t grpclb_picker_new(const struct grpclb_picker_config *config,
                          struct grpclb_picker **out);

// Frees a picker. No other thread may be using it. NULL is fine.
void grpclb_picker_free(struct grpclb_picker *picker);

// The resolver's endpoints, and the service config (JSON) to go with them; both are borrowed for the call.
// `endpoints` has one in a line: its addresses ("ip:port", "[ip]:port", "unix:path"; several are separated by commas
// without spaces, and are ways to the same backend), then, if it is not 1, a space and its weight. Empty lines count for
// nothing. Addresses that stay keep their connections. No endpoints: picks fail. A service config of
// length 0: there is none.
//
// 0; or, with words in `error` (which may be NULL; one NUL-terminated line, shortened to `error_size` octets):
// GRPCLB_ERR_ARGUMENT, a line is wrong or a text not UTF-8, and nothing was changed; GRPCLB_ERR_SERVICE_CONFIG, the
// words have the JSON path, and the endpoints were taken with the last good one, or, without one, all of it counts
// as grpclb_picker_handle_resolution_error; GRPCLB_ERR_ENDPOINTS, which counts as that, too.
int32_t grpclb_picker_handle_resolution(const struct grpclb_picker *picker,
                                        uint64_t now_ns,
                                        const char *endpoints,
                                        size_t endpoints_len,
                                        const char *service_config,
                                        size_t service_config_len,
                                        char *error,
                                        size_t error_size);

// The resolver failed. With an earlier list the picker goes on with it, without one picks fail. RESOLVE comes again,
// with backoff.
int32_t grpclb_picker_handle_resolution_error(const struct grpclb_picker *picker,
                                              uint64_t now_ns);

// What became of a subchannel: GRPCLB_SUBCHANNEL_*. Numbers that are out of use are passed over.
int32_t grpclb_picker_handle_subchannel(const struct grpclb_picker *picker,
                                        uint64_t now_ns,
                                        uint32_t subchannel,
                                        int32_t event);

// Leaves IDLE.
int32_t grpclb_picker_connect(const struct grpclb_picker *picker, uint64_t now_ns);

// Whether calls are running, 0 or not: while some are, the idle timeout does not run. Tell it when their number leaves
// 0 and when it comes back to 0.
int32_t grpclb_picker_set_busy(const struct grpclb_picker *picker,
                               uint64_t now_ns,
                               int32_t busy);

// Ends the picker: SHUTDOWN, every connection is to be closed (actions follow), picks fail.
int32_t grpclb_picker_shutdown(const struct grpclb_picker *picker);

// What to do next. Ask after every other function that changes something (after a pick, when it was QUEUE), until
// GRPCLB_ACTION_NONE.
struct grpclb_action grpclb_picker_poll_action(const struct grpclb_picker *picker);

// Writes where a subchannel goes into `out`, NUL-terminated and shortened to `size` octets; returns how long the whole
// text is without its NUL. 0: the number is out of use, or the picker NULL. `out` may be NULL.
size_t grpclb_picker_address(const struct grpclb_picker *picker,
                             uint32_t subchannel,
                             char *out,
                             size_t size);

// The state, GRPCLB_STATE_*.
int32_t grpclb_picker_state(const struct grpclb_picker *picker);

// Where a call goes. A pick takes an IDLE picker out of IDLE.
struct grpclb_pick grpclb_picker_pick(const struct grpclb_picker *picker, uint64_t now_ns);

// Changes whenever picks may come out differently, the state included. Without a lock. 0 also when the picker is NULL.
uint32_t grpclb_picker_version(const struct grpclb_picker *picker);

// When grpclb_picker_handle_timeout is due, by your clock; UINT64_MAX: never. Ask again after every other function.
uint64_t grpclb_picker_poll_timeout(const struct grpclb_picker *picker);

// Time passed. Call it at the latest at grpclb_picker_poll_timeout; more often does no harm.
int32_t grpclb_picker_handle_timeout(const struct grpclb_picker *picker, uint64_t now_ns);

// How many endpoints there are, or with pick_first addresses. 0 also when the picker is NULL.
size_t grpclb_picker_endpoint_count(const struct grpclb_picker *picker);

// How many of them are READY. 0 also when the picker is NULL.
size_t grpclb_picker_ready_count(const struct grpclb_picker *picker);

// Endpoint `i` in the resolver's order (with pick_first: address `i` in the order of attempts). Its address is written
// into `address`, NUL-terminated and shortened to `size` octets; it may be NULL.
struct grpclb_endpoint grpclb_picker_endpoint(const struct grpclb_picker *picker,
                                              size_t i,
                                              char *address,
                                              size_t size);

// Makes a reactor; arguments and results are those of grpclb_channel_new (the config's interrupt is not used), and
// `*out` is yours to free with grpclb_reactor_free.
int32_t grpclb_reactor_new(const char *target,
                           const struct grpclb_channel_config *config,
                           struct grpclb_reactor **out,
                           char *error,
                           size_t error_size);

// Frees a reactor and its calls. NULL is fine.
void grpclb_reactor_free(struct grpclb_reactor *reactor);

// The descriptor to wait for: readable when grpclb_reactor_process has something to do, level- or edge-triggered.
// It stays the reactor's. GRPCLB_ERR_SYSTEM where there are no descriptors.
int32_t grpclb_reactor_descriptor(const struct grpclb_reactor *reactor);

// How long the descriptor may be waited for. 1: `*timeout_ns` nanoseconds; 0: for ever. Ask before each wait: after
// commands it is 0 ns, and grpclb_reactor_process writes what they made.
int32_t grpclb_reactor_poll_timeout(const struct grpclb_reactor *reactor,
                                    uint64_t *timeout_ns);

// Reads, does what is due, writes; never waits. How many things there were: call it until it returns 0, when the
// descriptor is readable or the time has come.
int32_t grpclb_reactor_process(const struct grpclb_reactor *reactor);

// Starts a unary call; grpclb_reactor_process sends it. `call` and `request` are borrowed for the call. 0, and the
// call's id in `*out`.
int32_t grpclb_reactor_start_call(const struct grpclb_reactor *reactor,
                                  const struct grpclb_call *call,
                                  const uint8_t *request,
                                  size_t request_len,
                                  struct grpclb_call_id *out);

// The next call that has ended and was not named yet. 1: it is `*out`; 0: there is none.
int32_t grpclb_reactor_poll_call(const struct grpclb_reactor *reactor, struct grpclb_call_id *out);

// What became of a call: its status code (0 is OK), and all else in `reply`. GRPCLB_ERR_RUNNING: it has not ended, or
// there is no such call (any more).
int32_t grpclb_reactor_take(const struct grpclb_reactor *reactor,
                            struct grpclb_call_id call,
                            struct grpclb_reply *reply);

// Cancels a call: it ends with CANCELLED, unless it has ended.
int32_t grpclb_reactor_cancel(const struct grpclb_reactor *reactor, struct grpclb_call_id call);

// The channel's state, GRPCLB_STATE_*; `connect` other than 0 leaves IDLE.
int32_t grpclb_reactor_state(const struct grpclb_reactor *reactor, int32_t connect);

// Ends the channel: running calls end with CANCELLED, later ones with UNAVAILABLE.
int32_t grpclb_reactor_close(const struct grpclb_reactor *reactor);

// Starts a streaming call. 0, and `*out` is yours to free with grpclb_stream_free; else a GRPCLB_ERR_* number or a
// status code (after a fork), and `*out` is NULL.
int32_t grpclb_stream_start(const struct grpclb_channel *channel,
                            const struct grpclb_call *call,
                            struct grpclb_stream **out);

// Sends one message; waits while the peer's window is full. `message` is borrowed for the call. 0, or
// GRPCLB_ERR_ENDED.
int32_t grpclb_stream_send(const struct grpclb_stream *stream, const uint8_t *message, size_t message_len);

// No more messages will be sent. 0, or GRPCLB_ERR_ENDED.
int32_t grpclb_stream_half_close(const struct grpclb_stream *stream);

// Waits for the next message. 1: `*message` is valid until the next grpclb_stream_recv, grpclb_stream_finish or
// grpclb_stream_free; 0: there are no more, the call has ended and grpclb_stream_finish tells how.
int32_t grpclb_stream_recv(const struct grpclb_stream *stream,
                           const uint8_t **message,
                           size_t *message_len);

// Half-closes, waits for the end of the call and drops messages that were not received. Returns gRPC's status code,
// 0 is OK; `reply` has message, peer and metadata, and no response. The stream is still to be freed.
int32_t grpclb_stream_finish(const struct grpclb_stream *stream,
                             struct grpclb_reply *reply);

// Cancels the call: it ends with CANCELLED, unless it has ended. Any thread.
int32_t grpclb_stream_cancel(const struct grpclb_stream *stream);

// Frees a stream; one that has not ended is cancelled. No other thread may be using it. NULL is fine.
void grpclb_stream_free(struct grpclb_stream *stream);
#endif

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* GRPCLB_H */
