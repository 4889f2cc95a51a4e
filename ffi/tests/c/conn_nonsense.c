/* The connection without sockets, treated badly: NULL, numbers that are none, memory that does not fit, garbage;
 * conn_nonsense ROUNDS for more of the latter. */
#include "check.h"

static const uint64_t NOW = 1000;
static grpclb_conn_event events[8];

static grpclb_conn_config config_of(uint32_t flags) {
    grpclb_conn_config config;
    memset(&config, 0, sizeof config);
    config.size = sizeof config;
    config.flags = flags;
    config.streams = 2;
    config.arena = config.outbox = 1024;
    return config;
}

static grpclb_conn *open_conn(uint32_t flags) {
    grpclb_conn_config config = config_of(flags);
    grpclb_conn *conn = grpclb_conn_new(&config, NOW);
    CHECK(conn);
    return conn;
}

static size_t put(uint8_t *list, size_t size, size_t used, const char *name, const char *value) {
    int64_t n = grpclb_fields_put(list, size, used, name, strlen(name), (const uint8_t *)value, strlen(value));
    CHECK(n > (int64_t)used);
    return (size_t)n;
}

static void null_everywhere(void) {
    IS(grpclb_conn_recv_batch(NULL, NOW, NULL, 0, events, 8).code, GRPCLB_ERR_NULL);
    IS(grpclb_conn_poll_events(NULL, events, 8), GRPCLB_ERR_NULL);
    IS(grpclb_conn_start_call(NULL, NOW, NULL, 0, 0), GRPCLB_ERR_NULL);
    IS(grpclb_conn_unary(NULL, NOW, NULL, 0, 0, NULL, 0).call, GRPCLB_ERR_NULL);
    IS(grpclb_conn_send_message(NULL, 1, NULL, 0, 0), GRPCLB_ERR_NULL);
    IS(grpclb_conn_begin_message(NULL, 1, 0), GRPCLB_ERR_NULL);
    IS(grpclb_conn_half_close(NULL, 1), GRPCLB_ERR_NULL);
    IS(grpclb_conn_send_head(NULL, 1, NULL, 0), GRPCLB_ERR_NULL);
    IS(grpclb_conn_send_status(NULL, 1, 0, NULL, 0, NULL, 0), GRPCLB_ERR_NULL);
    IS(grpclb_conn_reply(NULL, 1, NULL, 0), GRPCLB_ERR_NULL);
    IS(grpclb_conn_release(NULL, 1, 0), GRPCLB_ERR_NULL);
    IS(grpclb_conn_cancel(NULL, 1), GRPCLB_ERR_NULL);
    CHECK(!grpclb_conn_transmit(NULL, NOW).at && !grpclb_conn_transmit(NULL, NOW).len);
    IS(grpclb_conn_transmitted(NULL, 0), GRPCLB_ERR_NULL);
    IS(grpclb_conn_take(NULL, NOW, NULL, 0), GRPCLB_ERR_NULL);
    CHECK(grpclb_conn_poll_timeout(NULL) == UINT64_MAX);
    IS(grpclb_conn_handle_timeout(NULL, NOW), GRPCLB_ERR_NULL);
    IS(grpclb_conn_carrier_lost(NULL, NOW), GRPCLB_ERR_NULL);
    IS(grpclb_conn_shutdown(NULL, NOW), GRPCLB_ERR_NULL);
    IS(grpclb_conn_is_closed(NULL), GRPCLB_ERR_NULL);
    IS(grpclb_conn_calls(NULL), GRPCLB_ERR_NULL);
    IS(grpclb_conn_last_error(NULL).code, GRPCLB_ERR_NULL);
    grpclb_conn_free(NULL);

    grpclb_conn *conn = open_conn(0);
    IS(grpclb_conn_recv_batch(conn, NOW, NULL, 1, events, 8).code, GRPCLB_ERR_NULL);
    IS(grpclb_conn_recv_batch(conn, NOW, NULL, 0, NULL, 8).code, GRPCLB_ERR_NULL);
    IS(grpclb_conn_recv_batch(conn, NOW, NULL, 0, events, 8).code, 0);
    IS(grpclb_conn_poll_events(conn, NULL, 8), GRPCLB_ERR_NULL);
    IS(grpclb_conn_start_call(conn, NOW, NULL, 1, 0), GRPCLB_ERR_NULL);
    IS(grpclb_conn_unary(conn, NOW, NULL, 1, 0, NULL, 0).call, GRPCLB_ERR_NULL);
    IS(grpclb_conn_unary(conn, NOW, NULL, 0, 0, NULL, 1).call, GRPCLB_ERR_NULL);
    IS(grpclb_conn_send_message(conn, 1, NULL, 1, 0), GRPCLB_ERR_NULL);
    IS(grpclb_conn_take(conn, NOW, NULL, 1), GRPCLB_ERR_NULL);
    IS(grpclb_conn_take(conn, NOW, NULL, 0), 0);
    grpclb_conn_free(conn);
    conn = open_conn(GRPCLB_CONFIG_SERVER);
    IS(grpclb_conn_send_head(conn, 1, NULL, 1), GRPCLB_ERR_NULL);
    IS(grpclb_conn_send_status(conn, 1, 0, NULL, 1, NULL, 0), GRPCLB_ERR_NULL);
    IS(grpclb_conn_send_status(conn, 1, 0, NULL, 0, NULL, 1), GRPCLB_ERR_NULL);
    IS(grpclb_conn_reply(conn, 1, NULL, 1), GRPCLB_ERR_NULL);
    grpclb_conn_free(conn);
}

static void refused(grpclb_conn_config config, int64_t wanted) {
    IS(grpclb_conn_size(&config), wanted);
    CHECK(!grpclb_conn_new(&config, NOW));
    static uint64_t memory[1024];
    CHECK(!grpclb_conn_init((uint8_t *)memory, sizeof memory, &config, NOW));
}

static void configs(void) {
    grpclb_conn_config config = config_of(0);
#define REFUSED(field, value, wanted) config = config_of(0), config.field = (value), refused(config, wanted)
    REFUSED(size, 0, GRPCLB_ERR_SIZE);
    REFUSED(size, sizeof config - 1, GRPCLB_ERR_SIZE);
    REFUSED(size, UINT32_MAX, GRPCLB_ERR_SIZE);
    REFUSED(flags, 8, GRPCLB_ERR_ARGUMENT);
    REFUSED(flags, UINT32_MAX, GRPCLB_ERR_ARGUMENT);
    REFUSED(streams, 65535, GRPCLB_ERR_ARGUMENT);
    REFUSED(arena, 1023, GRPCLB_ERR_ARGUMENT);
    REFUSED(outbox, 1, GRPCLB_ERR_ARGUMENT);
    REFUSED(stream_window, UINT32_C(1) << 31, GRPCLB_ERR_ARGUMENT);
    REFUSED(connection_window, 65534, GRPCLB_ERR_ARGUMENT);
    REFUSED(connection_window, UINT32_MAX, GRPCLB_ERR_ARGUMENT);
    REFUSED(reserved, 1, GRPCLB_ERR_ARGUMENT);

    /* The extremes that are allowed. */
    config = config_of(7);
    config.decoder_table = config.encoder_table = UINT32_MAX;
    config.streams = 65534;
    config.max_message_size = config.max_header_list_size = config.stream_window = 1;
    config.connection_window = 65535;
    config.keepalive_time_ns = config.keepalive_timeout_ns = config.seed = UINT64_MAX;
    config.max_age_ns = config.max_age_grace_ns = config.max_idle_ns = UINT64_MAX;
    grpclb_conn *conn = grpclb_conn_new(&config, UINT64_MAX - 1);
    CHECK(conn);
    CHECK(grpclb_conn_transmit(conn, UINT64_MAX - 1).len > 0);
    IS(grpclb_conn_handle_timeout(conn, UINT64_MAX - 1), 0);
    grpclb_conn_free(conn);
    CHECK(grpclb_conn_size(NULL) > 65536);
    conn = grpclb_conn_new(NULL, 0);
    CHECK(conn && grpclb_conn_calls(conn) == 0);
    grpclb_conn_free(conn);
}

static void memory_that_does_not_fit(void) {
    grpclb_conn_config config = config_of(0);
    size_t size = (size_t)grpclb_conn_size(&config), align = grpclb_conn_align();
    CHECK(align && !(align & (align - 1)) && align <= 16);
    uint8_t *block = (uint8_t *)malloc(size + align); /* of just that size: the sanitizers see what is beyond it */
    CHECK(block && !grpclb_conn_init(NULL, size, &config, NOW));
    for (size_t less = 0; less < size; less += 97)
        CHECK(!grpclb_conn_init(block, less, &config, NOW));
    CHECK(!grpclb_conn_init(block, size - 1, &config, NOW));
    CHECK(!grpclb_conn_init(block + 1, size, &config, NOW));
    CHECK(!grpclb_conn_init(block + align / 2, size, &config, NOW));
    memset(block, 0xa5, size + align);
    grpclb_conn *conn = grpclb_conn_init(block, size, &config, NOW);
    CHECK(conn && grpclb_conn_transmit(conn, NOW).len > 0);
    for (size_t k = size; k < size + align; k++)
        IS(block[k], 0xa5);
    /* Again in the same memory, whatever was in it. */
    conn = grpclb_conn_init(block, size, &config, NOW);
    CHECK(conn && grpclb_conn_transmit(conn, NOW).len > 0);
    free(block);
}

static void heads(void) {
    uint8_t list[2048];
    size_t len;
    grpclb_conn *conn = open_conn(0);
    IS(grpclb_conn_start_call(conn, NOW, NULL, 0, 0), GRPCLB_ERR_ARGUMENT);
    len = put(list, sizeof list, 0, ":path", "no/slash");
    IS(grpclb_conn_start_call(conn, NOW, list, len, 0), GRPCLB_ERR_ARGUMENT);
    len = put(list, sizeof list, 0, ":path", "/a/b");
    for (size_t cut = 1; cut < len; cut++)
        IS(grpclb_conn_start_call(conn, NOW, list, cut, 0), GRPCLB_ERR_ARGUMENT);
    size_t path = len;
    len = put(list, sizeof list, path, ":authority", "a b");
    IS(grpclb_conn_start_call(conn, NOW, list, len, 0), GRPCLB_ERR_ARGUMENT);
    len = put(list, sizeof list, path, ":scheme", "ftp");
    IS(grpclb_conn_start_call(conn, NOW, list, len, 0), GRPCLB_ERR_ARGUMENT);
    static const char *const bad[] = {"Upper", "", "te", ":method", "grpc-timeout", "content-type", "a b", "\xff"};
    for (size_t k = 0; k < sizeof bad / sizeof *bad; k++) {
        len = put(list, sizeof list, path, bad[k], "x");
        IS(grpclb_conn_start_call(conn, NOW, list, len, 0), GRPCLB_ERR_METADATA);
    }
    len = put(list, sizeof list, path, "a", "\n");
    IS(grpclb_conn_start_call(conn, NOW, list, len, 0), GRPCLB_ERR_METADATA);
    len = path;
    for (int k = 0; k < 33; k++)
        len = put(list, sizeof list, len, "a", "1");
    IS(grpclb_conn_start_call(conn, NOW, list, len, 0), GRPCLB_ERR_METADATA);
    memset(list + path, 'x', sizeof list - path);
    static const uint8_t lengths[] = {0, 1, 7, 0};
    memcpy(list + path, lengths, 4);
    IS(grpclb_conn_start_call(conn, NOW, list, path + 4 + 1 + 0x700, 0), GRPCLB_ERR_TOO_LARGE);
    IS(grpclb_conn_calls(conn), 0);
    IS(grpclb_conn_start_call(conn, NOW, list, SIZE_MAX, 0), GRPCLB_ERR_ARGUMENT);
    int64_t call = grpclb_conn_start_call(conn, NOW, list, path, UINT64_MAX); /* a deadline past the end of time */
    CHECK(call > 0);
    IS(grpclb_conn_calls(conn), 1);
    grpclb_conn_free(conn);

    /* The list itself. */
    IS(grpclb_fields_put(NULL, 99, 0, "a", 1, NULL, 0), GRPCLB_ERR_NULL);
    IS(grpclb_fields_put(list, 99, 0, NULL, 1, NULL, 0), GRPCLB_ERR_NULL);
    IS(grpclb_fields_put(list, 99, 0, "a", 1, NULL, 1), GRPCLB_ERR_NULL);
    IS(grpclb_fields_put(list, 4, 0, "a", 1, NULL, 0), GRPCLB_ERR_TOO_LARGE);
    IS(grpclb_fields_put(list, 4, 5, "", 0, NULL, 0), GRPCLB_ERR_TOO_LARGE);
    IS(grpclb_fields_put(list, SIZE_MAX, SIZE_MAX, "", 0, NULL, 0), GRPCLB_ERR_TOO_LARGE);
    IS(grpclb_fields_put(list, 99, 0, "a", SIZE_MAX, NULL, 0), GRPCLB_ERR_ARGUMENT);
    IS(grpclb_fields_put(list, SIZE_MAX, 0, "", 0, list, 65536), GRPCLB_ERR_TOO_LARGE);
    IS(grpclb_fields_put(list, 5, 0, "a", 1, NULL, 0), 5);
    CHECK(grpclb_fields_get(list, 5, 0).next == 5 && !grpclb_fields_get(list, 5, 5).name);
    CHECK(!grpclb_fields_get(list, 4, 0).name && !grpclb_fields_get(list, 5, 6).name);
    CHECK(!grpclb_fields_get(NULL, 5, 0).name && !grpclb_fields_get(list, 5, SIZE_MAX).name);
}

static void calls_that_are_none(void) {
    static const int64_t none[] = {0, 2, 3, 99, -1, INT64_MAX, INT64_MIN, INT64_C(1) << 32 | 1, INT64_C(7) << 32 | 1};
    uint8_t list[64];
    size_t len = put(list, sizeof list, 0, ":path", "/a/b");
    for (uint32_t server = 0; server < 2; server++) {
        grpclb_conn *conn = open_conn(server);
        if (!server)
            CHECK(grpclb_conn_start_call(conn, NOW, list, len, 0) == 1);
        for (size_t k = 0; k < sizeof none / sizeof *none; k++) {
            IS(grpclb_conn_send_message(conn, none[k], list, 3, 1), GRPCLB_ERR_CLOSED);
            IS(grpclb_conn_begin_message(conn, none[k], 3), GRPCLB_ERR_CLOSED);
            IS(grpclb_conn_half_close(conn, none[k]), GRPCLB_ERR_CLOSED);
            IS(grpclb_conn_send_head(conn, none[k], NULL, 0), GRPCLB_ERR_CLOSED);
            IS(grpclb_conn_send_status(conn, none[k], 0, NULL, 0, NULL, 0), GRPCLB_ERR_CLOSED);
            IS(grpclb_conn_reply(conn, none[k], NULL, 0), GRPCLB_ERR_CLOSED);
            IS(grpclb_conn_release(conn, none[k], SIZE_MAX), 0);
            IS(grpclb_conn_cancel(conn, none[k]), 0);
        }
        IS(grpclb_conn_poll_events(conn, events, 8), 0);
        IS(grpclb_conn_poll_events(conn, events, 0), GRPCLB_ERR_ARGUMENT);
        IS(grpclb_conn_recv_batch(conn, NOW, list, 3, events, 0).code, GRPCLB_ERR_ARGUMENT);
        IS(grpclb_conn_recv_batch(conn, NOW, list, SIZE_MAX, events, 8).code, GRPCLB_ERR_ARGUMENT);
        IS(grpclb_conn_poll_events(conn, (grpclb_conn_event *)((uint8_t *)events + 1), 7), GRPCLB_ERR_ARGUMENT);
        IS(grpclb_conn_calls((grpclb_conn *)((uint8_t *)conn + 1)), GRPCLB_ERR_ARGUMENT);
        IS(grpclb_conn_calls(conn), server ? 0 : 1);
        if (!server) { /* the server's verbs at a client, and the other way round */
            IS(grpclb_conn_reply(conn, 1, NULL, 0), GRPCLB_ERR_CLOSED);
            IS(grpclb_conn_send_head(conn, 1, NULL, 0), GRPCLB_ERR_CLOSED);
            IS(grpclb_conn_begin_message(conn, 1, 7), 0);
            IS(grpclb_conn_begin_message(conn, 1, 7), GRPCLB_ERR_WRONG_LENGTH);
            IS(grpclb_conn_half_close(conn, 1), GRPCLB_ERR_WRONG_LENGTH);
            IS(grpclb_conn_send_message(conn, 1, list, 8, 1), GRPCLB_ERR_WRONG_LENGTH);
            IS(grpclb_conn_send_message(conn, 1, list, 7, 1), 7);
            IS(grpclb_conn_send_message(conn, 1, list, 7, 1), GRPCLB_ERR_CLOSED);
        } else {
            IS(grpclb_conn_start_call(conn, NOW, list, len, 0), GRPCLB_ERR_CLOSED);
        }
        IS(grpclb_conn_transmitted(conn, SIZE_MAX), 0); /* all there was */
        IS(grpclb_conn_transmit(conn, NOW).len, 0);
        IS(grpclb_conn_shutdown(conn, NOW), 0);
        IS(grpclb_conn_shutdown(conn, NOW), 0);
        IS(grpclb_conn_carrier_lost(conn, NOW), 0);
        IS(grpclb_conn_carrier_lost(conn, NOW), 0);
        IS(grpclb_conn_take(conn, NOW, list, sizeof list), 0);
        IS(grpclb_conn_handle_timeout(conn, 0), 0); /* a clock that goes back */
        grpclb_conn_free(conn);
    }
}

/* Everything in any order, with a peer that is sometimes honest and sometimes noise. */
static uint32_t seed;
static uint32_t random_below(uint32_t n) {
    seed = seed * 1664525 + 1013904223;
    return (uint32_t)((uint64_t)seed * n >> 32);
}

static void anything(uint32_t number) {
    seed = number;
    grpclb_conn *both[2] = {open_conn(random_below(2) * GRPCLB_CONFIG_AUTO_RELEASE), open_conn(GRPCLB_CONFIG_SERVER)};
    uint8_t head[64], buffer[3000] = {0};
    size_t head_len = put(head, sizeof head, 0, ":path", "/a/b");
    int64_t calls[2] = {0, 0};
    uint64_t now = NOW;
    for (int step = 0; step < 300; step++) {
        uint32_t at = random_below(2), other = 1 - at;
        grpclb_conn *conn = both[at];
        int64_t call = random_below(9) ? calls[at] : (int64_t)random_below(9) << 32 | random_below(9);
        size_t len = random_below(sizeof buffer), count = 1 + random_below(8);
        switch (random_below(16)) {
        case 0: case 1: case 2: case 3: case 4: case 5: { /* the bytes that are due, now and then spoilt */
            int64_t taken = grpclb_conn_take(conn, now, buffer, len);
            CHECK(taken >= 0 && taken <= (int64_t)len);
            if (taken && !random_below(60))
                buffer[random_below((uint32_t)taken)] ^= (uint8_t)(1 << random_below(8));
            const uint8_t *input = buffer;
            size_t left = (size_t)taken;
            grpclb_conn_batch batch;
            do {
                batch = grpclb_conn_recv_batch(both[other], now, input, left, events, count);
                CHECK(batch.taken <= left && batch.count <= count);
                for (uint32_t k = 0; k < batch.count; k++) {
                    if (events[k].kind == GRPCLB_CONN_CALL)
                        calls[other] = events[k].call;
                    for (size_t octet = 0; octet < events[k].text.len; octet++) /* readable, as the sanitizers know */
                        buffer[2999] ^= events[k].text.at[octet];
                    CHECK(events[k].kind != GRPCLB_CONN_MESSAGE || events[k].at + events[k].len <= left);
                }
                input += batch.taken;
                left -= batch.taken;
            } while (batch.code == 1);
            break;
        }
        case 6: {
            int64_t started = grpclb_conn_unary(conn, now, head, head_len, random_below(3) * MS, buffer, len).call;
            if (started > 0)
                calls[at] = started;
            break;
        }
        case 7: grpclb_conn_send_message(conn, call, buffer, len, (int32_t)random_below(2)); break;
        case 8: grpclb_conn_begin_message(conn, call, (uint32_t)len); break;
        case 9: grpclb_conn_half_close(conn, call); break;
        case 10: grpclb_conn_reply(conn, call, buffer, len); break;
        case 11: grpclb_conn_send_status(conn, call, random_below(20), buffer, len / 9, NULL, 0); break;
        case 12: grpclb_conn_release(conn, call, len); break;
        case 13: grpclb_conn_cancel(conn, call); break;
        case 14:
            now += random_below((uint32_t)MS);
            grpclb_conn_handle_timeout(conn, now);
            break;
        case 15:
            if (!random_below(40))
                grpclb_conn_shutdown(conn, now);
            if (!random_below(80))
                grpclb_conn_carrier_lost(conn, now);
            break;
        }
        while (grpclb_conn_poll_events(conn, events, count) == (int32_t)count)
            ;
    }
    for (int k = 0; k < 2; k++) {
        IS(grpclb_conn_carrier_lost(both[k], now), 0);
        while (grpclb_conn_poll_events(both[k], events, 8) == 8)
            ;
        IS(grpclb_conn_calls(both[k]), 0);
        grpclb_conn_free(both[k]);
    }
}

int main(int argc, char **argv) {
    null_everywhere();
    configs();
    memory_that_does_not_fit();
    heads();
    calls_that_are_none();
    uint32_t rounds = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : 1000;
    for (uint32_t number = 0; number < rounds; number++)
        anything(number);
    puts("conn_nonsense: ok");
    return 0;
}
