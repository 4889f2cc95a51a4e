/* A gRPC client whose socket, clock and memory are its own: the library does no input or output here, and allocates
 * nothing. Greets each NAME, all of them at once over one connection:
 *
 *     sans_io_client 127.0.0.1:50051 NAME... */
#define _POSIX_C_SOURCE 200809L
#include "grpclb.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { CALLS = 64, INPUT = 16384 };

static _Alignas(16) uint8_t memory[128 * 1024];
static const char *greeted[CALLS]; /* by the call's slot */
static size_t running;
static int result;

static uint64_t now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

static void fail(const char *what) {
    fprintf(stderr, "sans_io_client: %s\n", what);
    exit(2);
}

static int connect_to(const char *text) {
    struct sockaddr_in address = {.sin_family = AF_INET};
    char host[64];
    unsigned port;
    if (sscanf(text, "%63[0-9.]:%u", host, &port) != 2 || port > 65535 || !inet_pton(AF_INET, host, &address.sin_addr))
        fail("the server is to be IPV4:PORT");
    address.sin_port = htons((uint16_t)port);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) || fcntl(fd, F_SETFL, O_NONBLOCK))
        fail(strerror(errno));
    return fd;
}

/* HelloRequest and HelloReply have one string, field 1: a tag, a length (below 128 here), the text. */
static void greet(grpclb_conn *conn, const uint8_t *head, size_t head_len, const char *name) {
    uint8_t request[2 + 64] = {0x0a};
    size_t len = strlen(name);
    if (len > 64)
        fail("a name is longer than 64 octets");
    request[1] = (uint8_t)len;
    memcpy(request + 2, name, len);
    grpclb_conn_started started = grpclb_conn_unary(conn, now(), head, head_len, 5000000000, request, 2 + len);
    if (started.call < 0)
        fail(grpclb_code_name((int32_t)started.call));
    if (started.taken != (int64_t)(2 + len))
        fail("the names are more than the outbox holds");
    greeted[started.call >> 32] = name;
    running++;
}

static void told(const grpclb_conn_event *event, const uint8_t *input) {
    const char *name = event->call > 0 ? greeted[event->call >> 32] : "";
    switch (event->kind) {
    case GRPCLB_CONN_MESSAGE: /* may come in pieces; its text begins behind tag and length */
        for (uint32_t k = event->offset < 2 ? 2 - event->offset : 0; k < event->len; k++)
            putchar(input[event->at + k]);
        if (event->flags & GRPCLB_CONN_FLAG_LAST)
            putchar('\n');
        break;
    case GRPCLB_CONN_STATUS:
        running--;
        if (event->code == 0)
            break;
        result = 64 + (int)event->code;
        printf("%s: %s: %.*s\n", name, grpclb_code_name((int32_t)event->code), (int)event->text.len,
               (const char *)event->text.at);
        break;
    }
}

static void poll_events(grpclb_conn *conn) {
    grpclb_conn_event event;
    while (grpclb_conn_poll_events(conn, &event, 1) == 1)
        told(&event, NULL);
}

static void receive(grpclb_conn *conn, int fd) {
    static uint8_t buffer[INPUT];
    grpclb_conn_event events[32];
    grpclb_conn_batch batch;
    ssize_t len = read(fd, buffer, sizeof buffer);
    if (len < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (len <= 0) {
        grpclb_conn_carrier_lost(conn, now());
        return;
    }
    const uint8_t *input = buffer;
    do {
        batch = grpclb_conn_recv_batch(conn, now(), input, (size_t)(buffer + len - input), events, 32);
        for (uint32_t k = 0; k < batch.count; k++)
            told(&events[k], input);
        input += batch.taken;
    } while (batch.code == 1);
}

/* Whether something is left that the socket does not take now. */
static int transmit(grpclb_conn *conn, int fd) {
    for (;;) {
        grpclb_bytes bytes = grpclb_conn_transmit(conn, now());
        if (!bytes.len)
            return 0;
        ssize_t n = send(fd, bytes.at, bytes.len, MSG_NOSIGNAL);
        if (n < 0 && errno == EAGAIN)
            return 1;
        if (n < 0) {
            grpclb_conn_carrier_lost(conn, now());
            return 0;
        }
        grpclb_conn_transmitted(conn, (size_t)n);
    }
}

int main(int argc, char **argv) {
    if (argc < 3 || argc > 2 + CALLS)
        fail("sans_io_client IPV4:PORT NAME... (at most 64)");
    int fd = connect_to(argv[1]);

    grpclb_conn_config config = {.size = sizeof config, .flags = GRPCLB_CONFIG_AUTO_RELEASE, .streams = CALLS};
    grpclb_conn *conn = grpclb_conn_init(memory, sizeof memory, &config, now());
    if (!conn)
        fail("the memory is too small");

    uint8_t head[256]; /* made once, used for each call */
    const char *path = "/helloworld.Greeter/SayHello";
    int64_t len = grpclb_fields_put(head, sizeof head, 0, ":path", 5, (const uint8_t *)path, strlen(path));
    len = grpclb_fields_put(head, sizeof head, (size_t)len, ":authority", 10, (const uint8_t *)argv[1], strlen(argv[1]));
    if (len < 0)
        fail(grpclb_code_name((int32_t)len));
    for (int k = 2; k < argc; k++)
        greet(conn, head, (size_t)len, argv[k]);

    while (running) {
        poll_events(conn);
        struct pollfd wait = {.fd = fd, .events = POLLIN};
        if (transmit(conn, fd))
            wait.events |= POLLOUT;
        uint64_t due = grpclb_conn_poll_timeout(conn), at = now();
        int timeout = due == UINT64_MAX ? -1 : due <= at ? 0 : (int)((due - at) / 1000000 + 1);
        if (!running || grpclb_conn_is_closed(conn))
            timeout = 0;
        if (poll(&wait, 1, timeout) > 0 && wait.revents & ~POLLOUT)
            receive(conn, fd);
        grpclb_conn_handle_timeout(conn, now());
        poll_events(conn);
    }
    grpclb_conn_shutdown(conn, now());
    transmit(conn, fd);
    close(fd);
    return result;
}
