/* The connection without sockets: a client and a server in one program, what one transmits cut into pieces of any
 * size for the other. The client lies in memory of this program, the server on the heap. */
#include "check.h"

#define CALLS 4
#define BIG 300000

/* One end, and what its application knows of its calls, by slot. */
typedef struct side {
    grpclb_conn *conn;
    int server, capacity;
    int ready, startable, goaway, events, error;
    struct {
        int64_t id;
        int messages, ended, over, writable, head;
        uint32_t code, fate;
        size_t len;           /* octets of the message that is coming */
        uint64_t timeout_ns;
        char path[64], text[64], head_field[64], trailer[64];
        const uint8_t *send;  /* what is still to be sent, and whether the side ends there */
        size_t send_len;
    } call[CALLS];
} side;

static uint64_t now = 1000;
static uint8_t big[BIG], message_in[BIG + 1];

static int slot_of(int64_t call) {
    CHECK(call > 0 && call >> 32 < CALLS);
    return (int)(call >> 32);
}

static void copy_text(char *out, size_t size, const void *from, size_t len) {
    CHECK(len < size);
    if (len)
        memcpy(out, from, len);
    out[len] = 0;
}

/* The fields of a list as "name=value;". */
static void list_text(char *out, size_t size, grpclb_bytes list) {
    size_t used = 0;
    out[0] = 0;
    for (size_t at = 0;;) {
        grpclb_field field = grpclb_fields_get(list.at, list.len, at);
        if (!field.name) {
            CHECK(at == list.len);
            return;
        }
        at = field.next;
        CHECK(used + field.name_len + field.value_len + 2 < size);
        used += (size_t)snprintf(out + used, size - used, "%.*s=%.*s;", field.name_len, field.name, field.value_len,
                                 (const char *)field.value);
    }
}

static size_t put(uint8_t *list, size_t size, size_t used, const char *name, const char *value) {
    int64_t n = grpclb_fields_put(list, size, used, name, strlen(name), (const uint8_t *)value, strlen(value));
    CHECK(n > (int64_t)used);
    return (size_t)n;
}

static void pump(side *s, int slot) {
    while (s->call[slot].send) {
        int64_t n = grpclb_conn_send_message(s->conn, s->call[slot].id, s->call[slot].send, s->call[slot].send_len, 1);
        if (n == GRPCLB_ERR_BLOCKED)
            return;
        CHECK(n > 0 || (n == 0 && s->call[slot].send_len == 0));
        s->call[slot].send += n;
        s->call[slot].send_len -= (size_t)n;
        if (s->call[slot].send_len == 0) {
            s->call[slot].send = NULL;
            if (s->server)
                IS(grpclb_conn_send_status(s->conn, s->call[slot].id, 0, NULL, 0, NULL, 0), 0);
        }
    }
}

/* What the server does when a client's side has ended. */
static void answer(side *s, int slot) {
    int64_t id = s->call[slot].id;
    uint8_t list[128];
    size_t len = put(list, sizeof list, 0, "answer", "42");
    CHECK(strstr(s->call[slot].head_field, "color-bin=r\xfeg;"));
    CHECK(strstr(s->call[slot].head_field, "user-agent=grpc-libgrpclb/"));
    if (strcmp(s->call[slot].path, "/t/Hang"))
        IS(s->call[slot].timeout_ns, strcmp(s->call[slot].path, "/t/Head") ? 0 : 5 * SECOND);
    if (!strcmp(s->call[slot].path, "/t/Echo")) {
        IS(grpclb_conn_reply(s->conn, id, message_in, s->call[slot].len), 0);
    } else if (!strcmp(s->call[slot].path, "/t/Head")) {
        IS(grpclb_conn_send_head(s->conn, id, list, len), 0);
        IS(grpclb_conn_send_head(s->conn, id, list, len), GRPCLB_ERR_HEAD_SENT);
        IS(grpclb_conn_begin_message(s->conn, id, 6), 0);
        IS(grpclb_conn_send_message(s->conn, id, (const uint8_t *)"abc", 3, 0), 3);
        IS(grpclb_conn_send_status(s->conn, id, 0, NULL, 0, NULL, 0), GRPCLB_ERR_WRONG_LENGTH);
        IS(grpclb_conn_send_message(s->conn, id, (const uint8_t *)"defg", 4, 0), GRPCLB_ERR_WRONG_LENGTH);
        IS(grpclb_conn_send_message(s->conn, id, (const uint8_t *)"def", 3, 0), 3);
        IS(grpclb_conn_send_message(s->conn, id, NULL, 0, 0), 0);
        len = put(list, sizeof list, 0, "raw-bin", "\xff\x01");
        IS(grpclb_conn_send_status(s->conn, id, 0, (const uint8_t *)"fine", 4, list, len), 0);
    } else if (!strcmp(s->call[slot].path, "/t/Fail")) {
        IS(grpclb_conn_send_status(s->conn, id, 9, (const uint8_t *)"so\xc3\xa9", 4, list, len), 0);
    } else if (!strcmp(s->call[slot].path, "/t/Big")) {
        s->call[slot].send = big;
        s->call[slot].send_len = BIG;
        pump(s, slot);
    } else {
        CHECK(!strcmp(s->call[slot].path, "/t/Hang"));
    }
}

static void told(side *s, const uint8_t *input, const grpclb_conn_event *event) {
    s->events++;
    int slot = event->kind == GRPCLB_CONN_READY || event->kind == GRPCLB_CONN_STARTABLE ||
                       event->kind == GRPCLB_CONN_GOAWAY
                   ? 0
                   : slot_of(event->call);
    int end = event->flags & GRPCLB_CONN_FLAG_END;
    switch (event->kind) {
    case GRPCLB_CONN_READY: s->ready++; return;
    case GRPCLB_CONN_STARTABLE: s->startable++; return;
    case GRPCLB_CONN_GOAWAY: s->goaway++; return;
    case GRPCLB_CONN_CALL:
        CHECK(s->server);
        memset(&s->call[slot], 0, sizeof s->call[slot]);
        s->call[slot].id = event->call;
        s->call[slot].timeout_ns = event->timeout_ns;
        copy_text(s->call[slot].path, sizeof s->call[slot].path, event->text.at, event->text.len);
        CHECK(event->authority.len == 4 && !memcmp(event->authority.at, "host", 4));
        list_text(s->call[slot].head_field, sizeof s->call[slot].head_field, event->fields);
        break;
    case GRPCLB_CONN_METADATA:
        IS(s->call[slot].id, event->call);
        s->call[slot].head++;
        list_text(s->call[slot].head_field, sizeof s->call[slot].head_field, event->fields);
        break;
    case GRPCLB_CONN_MESSAGE:
        IS(s->call[slot].id, event->call);
        if (event->offset == 0)
            s->call[slot].len = 0;
        IS(event->offset, s->call[slot].len);
        CHECK(event->offset + event->len <= event->total && event->total <= BIG);
        memcpy(message_in + event->offset, input + event->at, event->len);
        s->call[slot].len += event->len;
        CHECK(!(event->flags & GRPCLB_CONN_FLAG_LAST) == (s->call[slot].len != event->total));
        if (s->server) /* the client releases by itself */
            IS(grpclb_conn_release(s->conn, event->call, event->len), 0);
        s->call[slot].messages += event->flags & GRPCLB_CONN_FLAG_LAST ? 1 : 0;
        break;
    case GRPCLB_CONN_HALF_CLOSE: end = 1; break;
    case GRPCLB_CONN_STATUS:
        IS(s->call[slot].id, event->call);
        IS(s->call[slot].over++, 0);
        s->call[slot].code = event->code;
        s->call[slot].fate = event->fate;
        copy_text(s->call[slot].text, sizeof s->call[slot].text, event->text.at, event->text.len);
        list_text(s->call[slot].trailer, sizeof s->call[slot].trailer, event->fields);
        s->call[slot].send = NULL;
        return;
    case GRPCLB_CONN_WRITABLE:
        s->call[slot].writable++;
        pump(s, slot);
        return;
    default: CHECK(!"an event that there is not");
    }
    if (end && s->server && !s->call[slot].ended++)
        answer(s, slot);
}

static void poll_events(side *s) {
    grpclb_conn_event events[2];
    for (;;) {
        int32_t count = grpclb_conn_poll_events(s->conn, events, 2);
        CHECK(count >= 0 && count <= 2);
        for (int32_t k = 0; k < count; k++)
            told(s, NULL, &events[k]);
        if (count < 2)
            return;
    }
}

static void receive(side *s, const uint8_t *input, size_t len) {
    grpclb_conn_event events[8];
    grpclb_conn_batch batch;
    do {
        batch = grpclb_conn_recv_batch(s->conn, now, input, len, events, (size_t)s->capacity);
        CHECK(batch.taken <= len && batch.count <= (uint32_t)s->capacity);
        for (uint32_t k = 0; k < batch.count; k++)
            told(s, input, &events[k]);
        input += batch.taken;
        len -= batch.taken;
        CHECK(batch.code >= 0 || batch.code == GRPCLB_ERR_HTTP2);
    } while (batch.code == 1);
    if (batch.code < 0) {
        s->error++;
        poll_events(s);
    } else {
        CHECK(!len);
    }
}

/* What `from` has to say, to `to`, in pieces; by copying or lent. Octets. */
static size_t carry(side *from, side *to, size_t piece) {
    static uint8_t buffer[70000];
    size_t sum = 0;
    for (int lent = 0;; lent = !lent) {
        size_t len;
        if (lent) {
            grpclb_bytes bytes = grpclb_conn_transmit(from->conn, now);
            if ((len = bytes.len)) {
                len = len > 3 ? len / 2 : len; /* a socket may take a part */
                memcpy(buffer, bytes.at, len);
                IS(grpclb_conn_transmitted(from->conn, len), 0);
            }
        } else {
            int64_t taken = grpclb_conn_take(from->conn, now, buffer, sizeof buffer);
            CHECK(taken >= 0);
            len = (size_t)taken;
        }
        if (!len)
            return sum;
        poll_events(from);
        for (size_t at = 0; at < len; at += piece)
            receive(to, buffer + at, len - at < piece ? len - at : piece);
        sum += len;
    }
}

static void settle(side *a, side *b, size_t piece) {
    while (carry(a, b, piece) + carry(b, a, piece))
        ;
}

static grpclb_conn_config config_of(uint32_t flags) {
    grpclb_conn_config config;
    memset(&config, 0, sizeof config);
    config.size = sizeof config;
    config.flags = flags;
    config.streams = CALLS;
    config.arena = 2048;
    config.outbox = 4096;
    return config;
}

/* Large enough for the client that config_of asks for, and aligned. */
static union {
    uint64_t align;
    uint8_t octets[32 * 1024];
} memory;

static void open_pair(side *client, side *server, int capacity) {
    grpclb_conn_config config = config_of(GRPCLB_CONFIG_AUTO_RELEASE);
    memset(client, 0, sizeof *client);
    memset(server, 0, sizeof *server);
    client->capacity = server->capacity = capacity;
    CHECK(grpclb_conn_size(&config) > 0 && (size_t)grpclb_conn_size(&config) <= sizeof memory.octets);
    client->conn = grpclb_conn_init(memory.octets, (size_t)grpclb_conn_size(&config), &config, now);
    CHECK((void *)client->conn == (void *)memory.octets);
    config = config_of(GRPCLB_CONFIG_SERVER);
    server->server = 1;
    server->conn = grpclb_conn_new(&config, now);
    CHECK(server->conn);
}

static size_t head_of(uint8_t *head, size_t size, const char *path) {
    size_t len = put(head, size, 0, ":path", path);
    len = put(head, size, len, ":authority", "host");
    return put(head, size, len, "color-bin", "r\xfeg");
}

static int start(side *client, const char *path, const void *message, size_t len, uint64_t timeout_ns) {
    uint8_t head[256];
    size_t head_len = head_of(head, sizeof head, path);
    grpclb_conn_started started =
        grpclb_conn_unary(client->conn, now, head, head_len, timeout_ns, (const uint8_t *)message, len);
    int slot = slot_of(started.call);
    memset(&client->call[slot], 0, sizeof client->call[slot]);
    client->call[slot].id = started.call;
    size_t taken = started.taken == GRPCLB_ERR_BLOCKED ? 0 : (size_t)started.taken;
    CHECK(started.taken >= 0 || started.taken == GRPCLB_ERR_BLOCKED);
    if (taken < len) {
        client->call[slot].send = (const uint8_t *)message + taken;
        client->call[slot].send_len = len - taken;
    }
    return slot;
}

/* All kinds of answers, with the input cut everywhere and arrays of any size. */
static void calls(size_t piece, int capacity) {
    side client, server;
    open_pair(&client, &server, capacity);
    int echo = start(&client, "/t/Echo", "hello", 5, 0);
    int head = start(&client, "/t/Head", "", 0, 5 * SECOND);
    int fail = start(&client, "/t/Fail", "x", 1, 0);
    settle(&client, &server, piece);
    CHECK(client.ready == 1 && server.ready == 1 && !client.error && !server.error);
    IS(grpclb_conn_calls(client.conn), 0);
    IS(grpclb_conn_calls(server.conn), 0);
    CHECK(client.call[echo].over && client.call[echo].code == 0 && client.call[echo].messages == 1);
    IS(client.call[echo].len, 5);
    CHECK(client.call[head].code == 0 && client.call[head].messages == 2 && client.call[head].head == 1);
    CHECK(!strcmp(client.call[head].head_field, "answer=42;"));
    CHECK(!strcmp(client.call[head].trailer, "raw-bin=\xff\x01;"));
    CHECK(!strcmp(client.call[head].text, "fine"));
    CHECK(client.call[fail].code == 9 && !strcmp(client.call[fail].text, "so\xc3\xa9"));
    CHECK(!strcmp(client.call[fail].trailer, "answer=42;"));

    /* More than an outbox: in parts, both ways. */
    int large = start(&client, "/t/Big", big, BIG, 0);
    settle(&client, &server, piece < 100 ? 100 * piece : piece);
    CHECK(client.call[large].code == 0 && client.call[large].messages == 1 && client.call[large].writable > 0);
    IS(client.call[large].len, BIG);
    CHECK(!memcmp(message_in, big, BIG) && server.call[0].messages == 1);

    /* The table is full, and then it is not. */
    int hung[CALLS];
    for (int k = 0; k < CALLS; k++)
        hung[k] = start(&client, "/t/Hang", "", 0, k == 0 ? 20 * MS : 0);
    uint8_t list[256];
    size_t list_len = head_of(list, sizeof list, "/t/Hang");
    IS(grpclb_conn_start_call(client.conn, now, list, list_len, 0), GRPCLB_ERR_BLOCKED);
    settle(&client, &server, piece);
    IS(grpclb_conn_calls(server.conn), CALLS);
    IS(client.startable, 0);
    IS(grpclb_conn_cancel(client.conn, client.call[hung[1]].id), 0);
    poll_events(&client);
    CHECK(client.call[hung[1]].over && client.call[hung[1]].code == 1);
    IS(client.call[hung[1]].fate, GRPCLB_FATE_SEEN);
    settle(&client, &server, piece);
    CHECK(client.startable == 1);
    int cancelled = 0;
    for (int k = 0; k < CALLS; k++)
        cancelled += server.call[k].over && server.call[k].code == 1;
    IS(cancelled, 1);

    /* Time passes. */
    uint64_t at = grpclb_conn_poll_timeout(client.conn);
    IS(at, now + 20 * MS);
    IS(grpclb_conn_handle_timeout(client.conn, at - 1), 0);
    poll_events(&client);
    CHECK(!client.call[hung[0]].over);
    now = at;
    IS(grpclb_conn_handle_timeout(client.conn, now), 0);
    poll_events(&client);
    CHECK(client.call[hung[0]].over && client.call[hung[0]].code == 4);
    IS(grpclb_conn_poll_timeout(client.conn), UINT64_MAX);
    settle(&client, &server, piece);

    /* The server goes away; its calls may end. A call that has not left by then never left. */
    IS(grpclb_conn_shutdown(server.conn, now), 0);
    settle(&client, &server, piece);
    CHECK(client.goaway > 0);
    IS(grpclb_conn_start_call(client.conn, now, list, list_len, 0), GRPCLB_ERR_GOING_AWAY);
    IS(grpclb_conn_is_closed(server.conn), 0);
    for (int k = 0; k < CALLS; k++)
        if (!server.call[k].over)
            IS(grpclb_conn_send_status(server.conn, server.call[k].id, 10, NULL, 0, NULL, 0), 0);
    settle(&client, &server, piece);
    CHECK(client.call[hung[2]].code == 10 && client.call[hung[3]].code == 10);
    IS(grpclb_conn_calls(client.conn), 0);
    CHECK(grpclb_conn_is_closed(server.conn) == 1 && grpclb_conn_is_closed(client.conn) == 1);
    IS(grpclb_conn_last_error(client.conn).code, 0);
    grpclb_conn_free(server.conn);
}

/* The socket is lost: what never left says so. */
static void lost(void) {
    side client, server;
    open_pair(&client, &server, 8);
    settle(&client, &server, SIZE_MAX);
    int seen = start(&client, "/t/Hang", "", 0, 0);
    settle(&client, &server, SIZE_MAX);
    int unsent = start(&client, "/t/Hang", "", 0, 0);
    IS(grpclb_conn_carrier_lost(client.conn, now), 0);
    poll_events(&client);
    CHECK(client.call[seen].code == 14 && client.call[seen].fate == GRPCLB_FATE_SEEN);
    CHECK(client.call[unsent].code == 14 && client.call[unsent].fate == GRPCLB_FATE_NEVER_LEFT);
    IS(grpclb_conn_transmit(client.conn, now).len, 0);
    IS(grpclb_conn_is_closed(client.conn), 1);
    uint8_t list[128];
    IS(grpclb_conn_start_call(client.conn, now, list, head_of(list, sizeof list, "/t/Echo"), 0), GRPCLB_ERR_CLOSED);
    grpclb_conn_free(server.conn);
}

/* The peer breaks the protocol: the events before it, the number of RFC 9113, the GOAWAY, the calls' statuses. */
static void broken(void) {
    side client, server;
    open_pair(&client, &server, 8);
    int hang = start(&client, "/t/Hang", "", 0, 0);
    settle(&client, &server, SIZE_MAX);
    grpclb_conn_event events[8];
    /* A message of 1 octet that nobody asked for, then WINDOW_UPDATE of 0. */
    static const uint8_t garbage[] = {0, 0, 4, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0};
    grpclb_conn_batch batch = grpclb_conn_recv_batch(client.conn, now, garbage, sizeof garbage, events, 8);
    IS(batch.code, GRPCLB_ERR_HTTP2);
    IS(batch.count, 1);
    CHECK(events[0].kind == GRPCLB_CONN_STATUS && events[0].call == client.call[hang].id && events[0].code == 14);
    grpclb_conn_error error = grpclb_conn_last_error(client.conn);
    CHECK(error.code == GRPCLB_ERR_HTTP2 && error.http2 == 1 && error.text.len > 0);
    CHECK(events[0].text.len == error.text.len && !memcmp(events[0].text.at, error.text.at, error.text.len));
    batch = grpclb_conn_recv_batch(client.conn, now, garbage, sizeof garbage, events, 8);
    CHECK(batch.code == GRPCLB_ERR_HTTP2 && !batch.count); /* for good */
    receive(&server, NULL, 0);
    carry(&client, &server, 1); /* the GOAWAY */
    IS(server.goaway, 1);
    IS(grpclb_conn_is_closed(client.conn), 1);
    grpclb_conn_free(server.conn);

    /* A server that speaks HTTP/1.1. */
    open_pair(&client, &server, 8);
    batch = grpclb_conn_recv_batch(client.conn, now, (const uint8_t *)"HTTP/1.1 400 Bad Request\r\n", 26, events, 8);
    IS(batch.code, GRPCLB_ERR_HTTP2);
    grpclb_conn_free(server.conn);
}

int main(void) {
    for (size_t k = 0; k < BIG; k++)
        big[k] = (uint8_t)(k * 2654435761u >> 24);
    static const size_t pieces[] = {1, 2, 3, 5, 8, 13, 100, 1000, SIZE_MAX};
    for (size_t k = 0; k < sizeof pieces / sizeof *pieces; k++)
        for (int capacity = 1; capacity <= 8; capacity += k < 2 ? 7 : 3)
            calls(pieces[k], capacity);
    lost();
    broken();
    puts("conn: ok");
    return 0;
}
