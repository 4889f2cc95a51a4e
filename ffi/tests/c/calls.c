/* calls ADDRESS: unary and streaming calls, threads, interrupts, over interop_server. */
#include "check.h"

#include <poll.h>
#include <pthread.h>
#include <time.h>
#include <unistd.h>

#define UNARY "/grpc.testing.TestService/UnaryCall"
#define EMPTY "/grpc.testing.TestService/EmptyCall"
#define DUPLEX "/grpc.testing.TestService/FullDuplexCall"
#define OUTPUT "/grpc.testing.TestService/StreamingOutputCall"

static grpclb_channel *channel;
static const char *address;

static grpclb_metadata entry(const char *name, const void *value, size_t len) {
    grpclb_metadata made;
    made.name = name;
    made.name_len = strlen(name);
    made.value = (const uint8_t *)value;
    made.value_len = len;
    return made;
}

static const grpclb_metadata *find(const grpclb_metadata *entries, size_t len, const char *name) {
    for (size_t i = 0; i < len; i++)
        if (entries[i].name_len == strlen(name) && !memcmp(entries[i].name, name, entries[i].name_len))
            return &entries[i];
    return NULL;
}

/* Initial and trailing metadata come back, binary values whole. */
static void metadata(void) {
    grpclb_metadata sent[20];
    sent[0] = entry("x-grpc-test-echo-initial", "hello", 5);
    sent[1] = entry("x-grpc-test-echo-trailing-bin", "\0\xff,\x0a", 4);
    for (int i = 2; i < 20; i++) /* more than stand on the library's stack */
        sent[i] = entry("x-more", "value", 5);
    grpclb_call call = call_of(UNARY);
    grpclb_reply reply = new_reply();
    call.metadata = sent;
    for (size_t count = 2; count <= 20; count += 18) {
        call.metadata_len = count;
        call.timeout_ns = 20 * SECOND;
        IS(grpclb_channel_unary(channel, &call, NULL, 0, &reply), 0);
        CHECK(!strcmp(reply.peer, address) && reply.peer_len == strlen(address));
        IS(reply.message_len, 0);
        IS(*reply.message, 0);
        const grpclb_metadata *got = find(reply.headers, reply.headers_len, "x-grpc-test-echo-initial");
        CHECK(got && got->value_len == 5 && !memcmp(got->value, "hello", 5));
        got = find(reply.trailers, reply.trailers_len, "x-grpc-test-echo-trailing-bin");
        CHECK(got && got->value_len == 4 && !memcmp(got->value, "\0\xff,\x0a", 4));
    }
    grpclb_reply_clear(&reply);
}

/* SimpleRequest { response_size }: so many octets come back. */
static void sizes(void) {
    const uint8_t ask[] = {2 << 3, 0xc0, 0x9a, 0x0c}; /* 200 000 */
    grpclb_call call = call_of(UNARY);
    grpclb_reply reply = new_reply();
    for (int i = 0; i < 3; i++) {
        IS(grpclb_channel_unary(channel, &call, ask, sizeof ask, &reply), 0);
        CHECK(reply.response_len > 200000 && reply.response_len < 200100);
        IS(grpclb_channel_unary(channel, &call, NULL, 0, &reply), 0);
        CHECK(reply.response_len < 100);
    }
    grpclb_reply_clear(&reply);
}

/* SimpleRequest { response_status { code: 2, message: "tst" } }; and what does not exist. */
static void statuses(void) {
    const uint8_t ask[] = {7 << 3 | 2, 7, 1 << 3, 2, 2 << 3 | 2, 3, 't', 's', 't'};
    grpclb_metadata sent = entry("x-grpc-test-echo-trailing-bin", "why", 3);
    grpclb_call call = call_of(UNARY);
    grpclb_reply reply = new_reply();
    call.metadata = &sent;
    call.metadata_len = 1;
    IS(grpclb_channel_unary(channel, &call, ask, sizeof ask, &reply), 2);
    CHECK(reply.code == 2 && !strcmp(reply.message, "tst") && !strcmp(reply.peer, address));
    const grpclb_metadata *got = find(reply.trailers, reply.trailers_len, "x-grpc-test-echo-trailing-bin");
    CHECK(got && got->value_len == 3 && !memcmp(got->value, "why", 3));
    call = call_of("/grpc.testing.TestService/NoSuchMethod");
    IS(grpclb_channel_unary(channel, &call, NULL, 0, &reply), 12);
    IS(reply.response_len, 0);
    grpclb_reply_clear(&reply);
}

/* StreamingOutputCallRequest { response_parameters { size: 4, interval_us: 10 s } }: longer than the deadline. */
static const uint8_t slow[] = {2 << 3 | 2, 7, 1 << 3, 4, 2 << 3, 0x80, 0xad, 0xe2, 0x04};

static void deadlines(void) {
    grpclb_call call = call_of(EMPTY);
    grpclb_reply reply = new_reply();
    call.timeout_ns = 1; /* has passed already */
    IS(grpclb_channel_unary(channel, &call, NULL, 0, &reply), 4);
    grpclb_stream *stream;
    const uint8_t *message;
    size_t len;
    call = call_of(OUTPUT);
    call.timeout_ns = 500 * MS; /* long enough to send under valgrind, too */
    IS(grpclb_stream_start(channel, &call, &stream), 0);
    IS(grpclb_stream_send(stream, slow, sizeof slow), 0);
    IS(grpclb_stream_half_close(stream), 0);
    IS(grpclb_stream_recv(stream, &message, &len), 0);
    IS(grpclb_stream_finish(stream, &reply), 4);
    grpclb_stream_free(stream);
    grpclb_reply_clear(&reply);
}

/* Ping pong on a stream; what was received stays until the next. */
static void streams(void) {
    const uint8_t ask[] = {2 << 3 | 2, 2, 1 << 3, 5};
    grpclb_metadata sent = entry("x-grpc-test-echo-initial", "hello", 5);
    grpclb_call call = call_of(DUPLEX);
    grpclb_reply reply = new_reply();
    grpclb_stream *stream;
    const uint8_t *message;
    size_t len;
    call.metadata = &sent;
    call.metadata_len = 1;
    IS(grpclb_stream_start(channel, &call, &stream), 0);
    for (int i = 0; i < 10; i++) {
        IS(grpclb_stream_send(stream, ask, sizeof ask), 0);
        IS(grpclb_stream_recv(stream, &message, &len), 1);
        CHECK(len == 9 || len == 11);
    }
    IS(grpclb_stream_half_close(stream), 0);
    IS(grpclb_stream_half_close(stream), 0);
    IS(grpclb_stream_recv(stream, &message, &len), 0);
    CHECK(!message && !len);
    for (int i = 0; i < 2; i++) {
        IS(grpclb_stream_finish(stream, &reply), 0);
        CHECK(!strcmp(reply.peer, address) && reply.response_len == 0);
        CHECK(find(reply.headers, reply.headers_len, "x-grpc-test-echo-initial"));
    }
    grpclb_stream_free(stream);

    /* finish half-closes and drops what nobody received. */
    IS(grpclb_stream_start(channel, &call, &stream), 0);
    for (int i = 0; i < 10; i++)
        IS(grpclb_stream_send(stream, ask, sizeof ask), 0);
    IS(grpclb_stream_finish(stream, &reply), 0);
    grpclb_stream_free(stream);

    /* Freed while it runs: cancelled. */
    IS(grpclb_stream_start(channel, &call, &stream), 0);
    IS(grpclb_stream_send(stream, ask, sizeof ask), 0);
    grpclb_stream_free(stream);
    grpclb_reply_clear(&reply);
}

static void *cancel_soon(void *stream) {
    const uint8_t *message;
    size_t len;
    struct timespec pause = {0, 50000000};
    nanosleep(&pause, NULL);
    /* The other thread waits in recv. */
    IS(grpclb_stream_recv((grpclb_stream *)stream, &message, &len), GRPCLB_ERR_BUSY);
    IS(grpclb_stream_cancel((grpclb_stream *)stream), 0);
    return NULL;
}

static void cancel_from_another_thread(void) {
    grpclb_call call = call_of(DUPLEX);
    grpclb_reply reply = new_reply();
    grpclb_stream *stream;
    const uint8_t *message;
    size_t len;
    pthread_t other;
    IS(grpclb_stream_start(channel, &call, &stream), 0);
    IS(pthread_create(&other, NULL, cancel_soon, stream), 0);
    IS(grpclb_stream_recv(stream, &message, &len), 0);
    pthread_join(other, NULL);
    IS(grpclb_stream_finish(stream, &reply), 1);
    grpclb_stream_free(stream);
    grpclb_reply_clear(&reply);
}

static void *many_calls(void *unused) {
    (void)unused;
    grpclb_call call = call_of(EMPTY);
    grpclb_reply reply = new_reply();
    for (int i = 0; i < 200; i++)
        IS(grpclb_channel_unary(channel, &call, NULL, 0, &reply), 0);
    grpclb_reply_clear(&reply);
    return NULL;
}

static void threads(void) {
    pthread_t some[8];
    for (int i = 0; i < 8; i++)
        IS(pthread_create(&some[i], NULL, many_calls, NULL), 0);
    for (int i = 0; i < 8; i++)
        pthread_join(some[i], NULL);
}

static int32_t at_once(void *asked) {
    ++*(int *)asked;
    return 1;
}

static void interrupts(const char *target) {
    int asked = 0;
    grpclb_channel_config config = new_config();
    config.interrupt = at_once;
    config.interrupt_context = &asked;
    grpclb_channel *interrupted = open_channel(target, &config);
    grpclb_call call = call_of(DUPLEX);
    grpclb_reply reply = new_reply();
    IS(grpclb_channel_unary(interrupted, &call, NULL, 0, &reply), 1);
    CHECK(asked > 0);
    grpclb_reply_clear(&reply);
    grpclb_channel_free(interrupted);
}

static void *close_soon(void *which) {
    struct timespec pause = {0, 50000000};
    nanosleep(&pause, NULL);
    IS(grpclb_channel_close((grpclb_channel *)which), 0);
    return NULL;
}

/* Closing ends what waits. */
static void closing(const char *target) {
    grpclb_channel *closed = open_channel(target, NULL);
    IS(grpclb_channel_wait_ready(closed, 1, 10 * SECOND), 1);
    IS(grpclb_channel_state(closed, 0), GRPCLB_STATE_READY);
    grpclb_call call = call_of(DUPLEX);
    grpclb_reply reply = new_reply();
    grpclb_stream *stream;
    const uint8_t *message;
    size_t len;
    pthread_t other;
    IS(grpclb_stream_start(closed, &call, &stream), 0);
    IS(pthread_create(&other, NULL, close_soon, closed), 0);
    IS(grpclb_stream_recv(stream, &message, &len), 0);
    IS(grpclb_stream_finish(stream, &reply), 1);
    pthread_join(other, NULL);
    IS(grpclb_channel_state(closed, 1), GRPCLB_STATE_SHUTDOWN);
    grpclb_stream_free(stream);
    grpclb_reply_clear(&reply);
    grpclb_channel_free(closed);
}

/* The caller's own loop: poll(2), 500 calls of which 20 run at once; then one that is cancelled. */
static void event_loop(const char *target) {
    grpclb_reactor *reactor;
    char error[256];
    IS(grpclb_reactor_new(target, NULL, &reactor, error, sizeof error), 0);
    grpclb_metadata sent = entry("x-grpc-test-echo-initial", "hello", 5);
    grpclb_call call = call_of(UNARY), endless = call_of(DUPLEX);
    grpclb_reply reply = new_reply();
    grpclb_call_id id, last;
    int started = 0, done = 0, cancelled = 0;
    call.metadata = &sent;
    call.metadata_len = 1;
    IS(grpclb_reactor_start_call(reactor, &endless, NULL, 0, &last), 0);
    while (done < 500 || !cancelled) {
        for (; started < 500 && started < done + 20; started++)
            IS(grpclb_reactor_start_call(reactor, &call, NULL, 0, &id), 0);
        if (done == 500)
            IS(grpclb_reactor_cancel(reactor, last), 0);
        uint64_t ns;
        int limited = grpclb_reactor_poll_timeout(reactor, &ns);
        struct pollfd wait = {grpclb_reactor_descriptor(reactor), POLLIN, 0};
        CHECK(limited == 0 || limited == 1);
        poll(&wait, 1, limited ? (int)(ns / MS + (ns % MS != 0)) : 10000);
        int32_t count;
        while ((count = grpclb_reactor_process(reactor)) > 0)
            ;
        IS(count, 0);
        while (grpclb_reactor_poll_call(reactor, &id) == 1) {
            int32_t code = grpclb_reactor_take(reactor, id, &reply);
            CHECK(!strcmp(reply.peer, address));
            if (id.index == last.index && id.generation == last.generation) {
                cancelled++;
                continue;
            }
            IS(code, 0);
            CHECK(find(reply.headers, reply.headers_len, "x-grpc-test-echo-initial"));
            done++;
        }
    }
    IS(done, 500);
    IS(cancelled, 1);
    IS(grpclb_reactor_state(reactor, 0), GRPCLB_STATE_READY);
    grpclb_reactor_free(reactor);
    grpclb_reply_clear(&reply);
}

static grpclb_turn wait_events(grpclb_reactor *reactor, grpclb_event *events, size_t capacity) {
    for (;;) {
        grpclb_turn turn = grpclb_reactor_poll_events(reactor, events, capacity);
        CHECK(turn.count >= 0);
        if (turn.count > 0)
            return turn;
        struct pollfd wait = {grpclb_reactor_descriptor(reactor), POLLIN, 0};
        uint64_t ns = turn.timeout_ns;
        poll(&wait, 1, ns < 10 * SECOND ? (int)(ns / MS + (ns % MS != 0)) : 10000);
    }
}

/* Many unary calls, told in batches; an array that is smaller than the batch. */
static void events(const char *target) {
    grpclb_reactor *reactor;
    grpclb_event some[7];
    const uint8_t ask[] = {2 << 3, 0xe8, 0x07}; /* response_size 1 000 */
    /* x-grpc-test-echo-initial: hello, packed */
    static const uint8_t sent[] = "\0\x18\0\5x-grpc-test-echo-initialhello";
    int started = 0, done = 0, full = 0;
    IS(grpclb_reactor_new(target, NULL, &reactor, NULL, 0), 0);
    while (done < 500) {
        for (; started < 500 && started < done + 40; started++)
            IS(grpclb_reactor_start_packed(reactor, 0, UNARY, strlen(UNARY), sent, sizeof sent - 1, 20 * SECOND, 0, ask,
                                           sizeof ask).result, 0);
        grpclb_turn turn = wait_events(reactor, some, 7);
        full += turn.count == 7;
        for (int i = 0; i < turn.count; i++, done++) {
            grpclb_event *e = &some[i];
            IS(e->what, GRPCLB_EVENT_HEADERS | GRPCLB_EVENT_ENDED);
            IS(e->code, 0);
            CHECK(e->response_len >= 1000 && e->peer_len == strlen(address) && !memcmp(e->peer, address, e->peer_len));
            CHECK(e->headers_len >= sizeof sent - 1 && e->message_len == 0);
        }
    }
    CHECK(full > 0);
    /* What an event lends may go into the next call: its metadata here, its response of 2 MiB there. */
    const uint8_t much[] = {2 << 3, 0x80, 0x80, 0x80, 0x01};
    IS(grpclb_reactor_start_packed(reactor, 0, UNARY, strlen(UNARY), sent, sizeof sent - 1, 0, 0, much, sizeof much)
           .result, 0);
    wait_events(reactor, some, 7);
    CHECK(some[0].code == 0 && some[0].response_len > 2 << 20);
    IS(grpclb_reactor_start_packed(reactor, 0, UNARY, strlen(UNARY), some[0].metadata, some[0].headers_len, 0, 0, ask,
                                   sizeof ask).result, 0);
    IS(grpclb_reactor_start_packed(reactor, 0, UNARY, strlen(UNARY), NULL, 0, 0, 0, some[0].response,
                                   some[0].response_len).result, 0);
    for (int left = 2; left > 0;) {
        grpclb_turn turn = wait_events(reactor, some, 7);
        for (int i = 0; i < turn.count; i++, left--)
            CHECK(some[i].code == 0 ? some[i].headers_len >= sizeof sent - 1 : !some[i].response_len);
    }
    /* More than the call takes. */
    IS(grpclb_reactor_start_packed(reactor, 0, UNARY, strlen(UNARY), NULL, 0, 0, 999, ask, sizeof ask).result, 0);
    wait_events(reactor, some, 7);
    CHECK(some[0].code == 8 && !some[0].response_len);
    /* A status of the server's, with a trailer. */
    static const uint8_t trailer[] = "\0\x1d\0\3x-grpc-test-echo-trailing-binwhy";
    const uint8_t wrong[] = {7 << 3 | 2, 7, 1 << 3, 2, 2 << 3 | 2, 3, 't', 's', 't'};
    IS(grpclb_reactor_start_packed(reactor, 0, UNARY, strlen(UNARY), trailer, sizeof trailer - 1, 0, 0, wrong,
                                   sizeof wrong).result, 0);
    wait_events(reactor, some, 7);
    CHECK(some[0].code == 2 && some[0].message_len == 3 && !memcmp(some[0].message, "tst", 3));
    CHECK(some[0].trailers_len >= sizeof trailer - 1);
    grpclb_reactor_free(reactor);
}

static void *drive(void *reactor) {
    grpclb_event some[7];
    for (int i = 0; i < 500; i++) {
        int32_t count = grpclb_reactor_poll_events((grpclb_reactor *)reactor, some, 7).count;
        CHECK((count >= 0 && count <= 7) || count == GRPCLB_ERR_BUSY);
    }
    return NULL;
}

/* Two threads on one reactor, which takes one at a time: the other is told so, and nothing breaks. */
static void busy(const char *target) {
    grpclb_reactor *reactor;
    pthread_t other;
    IS(grpclb_reactor_new(target, NULL, &reactor, NULL, 0), 0);
    IS(pthread_create(&other, NULL, drive, reactor), 0);
    for (int i = 0; i < 500; i++) {
        grpclb_started s = grpclb_reactor_start_packed(reactor, i % 2 ? GRPCLB_CALL_STREAM : 0, EMPTY, strlen(EMPTY), NULL, 0, 0, 0, NULL, 0);
        CHECK(s.result == 0 || s.result == GRPCLB_ERR_BUSY);
        int32_t count = grpclb_reactor_flush(reactor).count;
        CHECK(count == 0 || count == GRPCLB_ERR_BUSY);
        if (s.result == 0 && i % 2) {
            int32_t code = grpclb_reactor_forget(reactor, s.call);
            CHECK(code == 0 || code == GRPCLB_ERR_BUSY);
        }
    }
    pthread_join(other, NULL);
    grpclb_reactor_free(reactor);
}

/* A stream on the caller's loop: ping pong, a full window, what came before the end, cancelling. */
static void event_streams(const char *target) {
    grpclb_reactor *reactor;
    grpclb_event event;
    grpclb_call_id stream;
    grpclb_call call = call_of(DUPLEX);
    grpclb_metadata sent = entry("x-grpc-test-echo-initial", "hello", 5);
    grpclb_message came;
    const uint8_t ask[] = {2 << 3 | 2, 2, 1 << 3, 5};
    call.metadata = &sent;
    call.metadata_len = 1;
    IS(grpclb_reactor_new(target, NULL, &reactor, NULL, 0), 0);
    IS(grpclb_reactor_start_stream(reactor, &call, &stream), 0);
    for (int i = 0; i < 10; i++) {
        int32_t taken = grpclb_reactor_send(reactor, stream, ask, sizeof ask);
        CHECK(taken == (i == 0)); /* the first waits for the connection */
        while ((came = grpclb_reactor_recv(reactor, stream)).result == 0)
            wait_events(reactor, &event, 1);
        IS(came.result, 1);
        CHECK(came.len == 9 || came.len == 11);
        CHECK(event.call.index == stream.index && (event.what & GRPCLB_EVENT_HEADERS) && event.headers_len);
        CHECK(event.what & GRPCLB_EVENT_WRITABLE);
    }
    /* Several that nobody takes before the end of the call: they stay. */
    for (int i = 0; i < 3; i++)
        IS(grpclb_reactor_send(reactor, stream, ask, sizeof ask), 0);
    IS(grpclb_reactor_half_close(reactor, stream), 0);
    do
        wait_events(reactor, &event, 1);
    while (!(event.what & GRPCLB_EVENT_ENDED));
    CHECK((event.what & GRPCLB_EVENT_MESSAGE) && !(event.what & GRPCLB_EVENT_WRITABLE) && event.code == 0);
    IS(grpclb_reactor_send(reactor, stream, ask, sizeof ask), GRPCLB_ERR_ENDED);
    for (int i = 0; i < 3; i++)
        IS(grpclb_reactor_recv(reactor, stream).result, 1);
    IS(grpclb_reactor_recv(reactor, stream).result, GRPCLB_ERR_ENDED);
    IS(grpclb_reactor_forget(reactor, stream), 0);

    /* The peer's window fills: nobody reads what it sends back, so it stops reading. */
    static uint8_t large[300000] = {2 << 3 | 2, 4, 1 << 3, 0xa0, 0x8d, 0x06 /* 100 000 */, 3 << 3 | 2};
    size_t body = sizeof large - 10;
    large[7] = (uint8_t)(body | 128), large[8] = (uint8_t)(body >> 7 | 128), large[9] = (uint8_t)(body >> 14);
    size_t inner = body - 4;
    large[10] = 2 << 3 | 2;
    large[11] = (uint8_t)(inner | 128), large[12] = (uint8_t)(inner >> 7 | 128), large[13] = (uint8_t)(inner >> 14);
    int out = 0, in = 0, blocked = 0;
    IS(grpclb_reactor_start_stream(reactor, &call, &stream), 0);
    while (in < 40) {
        while (out < 40) {
            int32_t taken = grpclb_reactor_send(reactor, stream, large, sizeof large);
            if (taken == GRPCLB_ERR_BLOCKED) {
                blocked++;
                break;
            }
            CHECK(taken == 0 || taken == 1);
            out++;
        }
        wait_events(reactor, &event, 1);
        CHECK(!(event.what & GRPCLB_EVENT_ENDED));
        while (grpclb_reactor_recv(reactor, stream).result == 1)
            in++;
    }
    CHECK(blocked > 0);
    /* Cancelled, it is told; forgotten, it is not. */
    IS(grpclb_reactor_cancel(reactor, stream), 0);
    wait_events(reactor, &event, 1);
    CHECK((event.what & GRPCLB_EVENT_ENDED) && event.code == 1);
    IS(grpclb_reactor_forget(reactor, stream), 0);
    IS(grpclb_reactor_start_stream(reactor, &call, &stream), 0);
    IS(grpclb_reactor_send(reactor, stream, ask, sizeof ask), 0);
    IS(grpclb_reactor_forget(reactor, stream), 0);
    IS(grpclb_reactor_flush(reactor).count, 0);
    IS(grpclb_reactor_poll_events(reactor, &event, 1).count, 0);
    grpclb_reactor_free(reactor);
}

int main(int argc, char **argv) {
    CHECK(argc == 2);
    char target[256];
    address = argv[1];
    snprintf(target, sizeof target, "ipv4:%s", address);
    channel = open_channel(target, NULL);
    metadata();
    sizes();
    statuses();
    deadlines();
    streams();
    cancel_from_another_thread();
    threads();
    interrupts(target);
    closing(target);
    event_loop(target);
    events(target);
    event_streams(target);
    busy(target);
    /* The background thread ends with the channel. */
    IS(grpclb_channel_drive_in_background(channel), 0);
    threads();
    IS(grpclb_channel_close(channel), 0);
    grpclb_channel_free(channel);
    puts("calls: ok");
    return 0;
}
