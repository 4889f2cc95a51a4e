/* Heap allocations a call, once buffers have their size: the blocking channel, the event-loop form, both with a real
 * server at argv[1], and the connection without sockets. This program's own malloc stands before glibc's and counts. */
#include "check.h"

#include <errno.h>
#include <poll.h>
#include <stdatomic.h>

extern void *__libc_malloc(size_t size), *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *block, size_t size), *__libc_memalign(size_t align, size_t size);

static atomic_llong allocations;

static void *counted(void *block) {
    allocations++;
    return block;
}
void *malloc(size_t size) { return counted(__libc_malloc(size)); }
void *calloc(size_t count, size_t size) { return counted(__libc_calloc(count, size)); }
void *realloc(void *block, size_t size) { return counted(__libc_realloc(block, size)); }
void *aligned_alloc(size_t align, size_t size) { return counted(__libc_memalign(align, size)); }
int posix_memalign(void **out, size_t align, size_t size) {
    *out = counted(__libc_memalign(align, size));
    return *out ? 0 : ENOMEM;
}

enum { WARM = 200, CALLS = 1000, AT_ONCE = 20 };

static const char PATH[] = "/helloworld.Greeter/SayHello";
static const uint8_t ASK[] = {0x0a, 5, 'w', 'o', 'r', 'l', 'd'};

/* Prints a figure, and ends the program when it is above what is allowed in all. */
static void figure(const char *what, long long count, long long allowed) {
    printf("note  allocations in %d calls, %s: %lld\n", CALLS, what, count);
    CHECK(count <= allowed);
}

static void blocking(const char *target) {
    grpclb_channel *channel = open_channel(target, NULL);
    grpclb_call call = call_of(PATH);
    grpclb_reply reply = new_reply();
    long long before = 0;
    for (int k = 0; k < WARM + CALLS; k++) {
        if (k == WARM)
            before = allocations;
        call.timeout_ns = 10 * SECOND;
        IS(grpclb_channel_unary(channel, &call, ASK, sizeof ASK, &reply), 0);
        CHECK(reply.response_len > sizeof ASK);
    }
    figure("blocking channel", allocations - before, 0);
    grpclb_reply_clear(&reply);
    grpclb_channel_free(channel);
}

static void wait_for(const grpclb_reactor *reactor, uint64_t ns) {
    struct pollfd wait = {grpclb_reactor_descriptor(reactor), POLLIN, 0};
    poll(&wait, 1, ns < 10 * SECOND ? (int)((ns + MS - 1) / MS) : 10000);
}

static void reactor_calls(const char *target) {
    grpclb_reactor *reactor;
    grpclb_call call = call_of(PATH);
    grpclb_reply reply = new_reply();
    grpclb_call_id id;
    long long before = 0;
    int started = 0, done = 0;
    uint64_t ns;
    IS(grpclb_reactor_new(target, NULL, &reactor, NULL, 0), 0);
    while (done < WARM + CALLS) {
        for (; started < WARM + CALLS && started < done + AT_ONCE; started++)
            IS(grpclb_reactor_start_call(reactor, &call, ASK, sizeof ASK, &id), 0);
        while (grpclb_reactor_process(reactor) > 0)
            ;
        while (grpclb_reactor_poll_call(reactor, &id) == 1) {
            IS(grpclb_reactor_take(reactor, id, &reply), 0);
            if (++done == WARM)
                before = allocations;
        }
        if (started > done)
            wait_for(reactor, grpclb_reactor_poll_timeout(reactor, &ns) ? ns : UINT64_MAX);
    }
    figure("reactor, one reply at a time", allocations - before, AT_ONCE);
    grpclb_reply_clear(&reply);
    grpclb_reactor_free(reactor);
}

static void reactor_events(const char *target) {
    grpclb_reactor *reactor;
    grpclb_event events[AT_ONCE];
    long long before = 0;
    int started = 0, done = 0;
    IS(grpclb_reactor_new(target, NULL, &reactor, NULL, 0), 0);
    while (done < WARM + CALLS) {
        for (; started < WARM + CALLS && started < done + AT_ONCE; started++)
            IS(grpclb_reactor_start_packed(reactor, 0, PATH, sizeof PATH - 1, NULL, 0, 0, 0, ASK, sizeof ASK).result, 0);
        grpclb_turn turn = grpclb_reactor_poll_events(reactor, events, AT_ONCE);
        CHECK(turn.count >= 0);
        for (int k = 0; k < turn.count; k++) {
            CHECK(events[k].what & GRPCLB_EVENT_ENDED && events[k].code == 0);
            if (++done == WARM)
                before = allocations;
        }
        if (turn.count == 0)
            wait_for(reactor, turn.timeout_ns);
    }
    figure("reactor, batches of events", allocations - before, AT_ONCE);
    grpclb_reactor_free(reactor);
}

/* Client and server in memory of this program: nothing at all, its making included. */
static void conn_calls(void) {
    static union {
        uint64_t align;
        uint8_t octets[128 * 1024];
    } memory[2];
    static uint8_t wire[32 * 1024];
    grpclb_conn *end[2];
    long long before = allocations;
    uint64_t now = 1;
    for (uint32_t server = 0; server < 2; server++) {
        grpclb_conn_config config;
        memset(&config, 0, sizeof config);
        config.size = sizeof config;
        config.flags = server | GRPCLB_CONFIG_AUTO_RELEASE;
        end[server] = grpclb_conn_init(memory[server].octets, sizeof memory[server].octets, &config, now);
        CHECK(end[server]);
    }
    uint8_t head[128];
    int64_t len = grpclb_fields_put(head, sizeof head, 0, ":path", 5, (const uint8_t *)PATH, sizeof PATH - 1);
    len = grpclb_fields_put(head, sizeof head, (size_t)len, "raw-bin", 7, ASK, sizeof ASK);
    int started = 0, done = 0;
    while (done < CALLS) {
        for (; started < CALLS && started < done + AT_ONCE; started++)
            CHECK(grpclb_conn_unary(end[0], now, head, (size_t)len, 10 * SECOND, ASK, sizeof ASK).taken == sizeof ASK);
        for (int from = 0; from < 2; from++) {
            grpclb_conn *to = end[!from];
            int64_t n = grpclb_conn_take(end[from], now++, wire, sizeof wire);
            const uint8_t *input = wire;
            grpclb_conn_event events[16];
            grpclb_conn_batch batch;
            do {
                batch = grpclb_conn_recv_batch(to, now, input, (size_t)(wire + n - input), events, 16);
                CHECK(batch.code >= 0);
                for (uint32_t k = 0; k < batch.count; k++) {
                    if (events[k].kind == GRPCLB_CONN_MESSAGE && from == 0)
                        IS(grpclb_conn_reply(to, events[k].call, ASK, sizeof ASK), 0);
                    if (events[k].kind == GRPCLB_CONN_STATUS) {
                        IS(events[k].code, 0);
                        done++;
                    }
                }
                input += batch.taken;
            } while (batch.code == 1);
        }
    }
    figure("connection in lent memory, client and server", allocations - before, 0);
}

int main(int argc, char **argv) {
    CHECK(argc == 2);
    char target[128];
    snprintf(target, sizeof target, "ipv4:%s", argv[1]);
    char *copy = strdup(target);
    CHECK(copy && allocations > 0); /* it counts */
    free(copy);
    conn_calls();
    blocking(target);
    reactor_calls(target);
    reactor_events(target);
    puts("allocations: ok");
    return 0;
}
