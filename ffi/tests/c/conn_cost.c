/* `conn_cost CALLS`: unary calls of 100 octets each way through a client's grpclb_conn, one at a time, for callgrind to
 * count (the difference of two runs; .ci/c.sh does it). The server is a real one for the first calls; from then on the
 * octets of its last answer are said again under the next stream's id, so that the client alone is counted. */
#include "check.h"

enum { WARM = 4 };

static union {
    uint64_t align;
    uint8_t octets[128 * 1024];
} memory[2];

static grpclb_conn *open_conn(int server) {
    grpclb_conn_config config;
    memset(&config, 0, sizeof config);
    config.size = sizeof config;
    config.flags = (server ? GRPCLB_CONFIG_SERVER : 0) | GRPCLB_CONFIG_AUTO_RELEASE;
    config.connection_window = 0x7fffffff;
    return grpclb_conn_init(memory[server].octets, sizeof memory[server].octets, &config, 0);
}

static uint8_t wire[4096], answer[4096], message[100];
static size_t answer_len;
static long done;

/* Octets to a connection; a server answers each message. */
static void receive(grpclb_conn *to, uint64_t now, const uint8_t *input, size_t len, int server) {
    grpclb_conn_event events[8];
    grpclb_conn_batch batch = grpclb_conn_recv_batch(to, now, input, len, events, 8);
    CHECK(batch.code == 0 && batch.taken == len);
    for (uint32_t k = 0; k < batch.count; k++) {
        if (events[k].kind == GRPCLB_CONN_MESSAGE && server)
            IS(grpclb_conn_reply(to, events[k].call, message, sizeof message), 0);
        if (events[k].kind == GRPCLB_CONN_MESSAGE && !server)
            IS(events[k].len, sizeof message);
        if (events[k].kind == GRPCLB_CONN_STATUS) {
            IS(events[k].code, 0);
            done++;
        }
    }
}

/* The kept answer's frames, under another stream's id. */
static void rename_frames(uint32_t id) {
    for (size_t at = 0; at < answer_len;) {
        uint8_t *head = answer + at;
        size_t len = (size_t)head[0] << 16 | (size_t)head[1] << 8 | head[2];
        CHECK(at + 9 + len <= answer_len);
        if (head[5] | head[6] | head[7] | head[8])
            for (int k = 0; k < 4; k++)
                head[5 + k] = (uint8_t)(id >> (24 - 8 * k));
        at += 9 + len;
    }
}

int main(int argc, char **argv) {
    CHECK(argc == 2);
    long calls = strtol(argv[1], NULL, 10);
    grpclb_conn *client = open_conn(0), *server = open_conn(1);
    CHECK(client && server);
    uint8_t head[128];
    const char *path = "/helloworld.Greeter/SayHello";
    int64_t head_len = grpclb_fields_put(head, sizeof head, 0, ":path", 5, (const uint8_t *)path, strlen(path));
    head_len = grpclb_fields_put(head, sizeof head, (size_t)head_len, ":authority", 10, (const uint8_t *)"localhost", 9);
    for (long k = 0; k < calls + WARM; k++) {
        uint64_t now = (uint64_t)k * 1000;
        grpclb_conn_started started =
            grpclb_conn_unary(client, now, head, (size_t)head_len, 5 * SECOND, message, sizeof message);
        CHECK(started.call > 0 && started.taken == sizeof message);
        int64_t len = grpclb_conn_take(client, now, wire, sizeof wire);
        CHECK(len > 0);
        if (k < WARM) {
            receive(server, now, wire, (size_t)len, 1);
            len = grpclb_conn_take(server, now, answer, sizeof answer);
            CHECK(len > 0);
            answer_len = (size_t)len;
        } else {
            rename_frames((uint32_t)started.call);
        }
        receive(client, now, answer, answer_len, 0);
    }
    IS(done, calls + WARM);
    IS(grpclb_conn_calls(client), 0);
    printf("conn_cost: %ld calls\n", done);
    return 0;
}
