/* gRPC on a Cortex-M4 in C: no operating system, no C library, no heap; all memory is in the statics below.
 *
 * .ci/bare.sh links it with the bare-metal archive, looks at what was linked, and runs it where QEMU is there. A client
 * and a server stand on the same chip; between them, where a network would be, their octets are handed over a few at a
 * time. The exit code says which check failed. */
#define GRPCLB_BARE_METAL
#include "grpclb.h"

enum { CALLS = 3 };

static uint64_t client_memory[1300], server_memory[1300];
static unsigned answers, served;
static uint64_t now;

static _Noreturn void stop(uint32_t code) {
    /* Arm semihosting, SYS_EXIT_EXTENDED: an emulator and a debugger take it. */
    uint32_t block[2] = {0x20026, code};
    register uint32_t operation __asm__("r0") = 0x20;
    register uint32_t *argument __asm__("r1") = block;
    __asm__ volatile("bkpt 0xab" : : "r"(operation), "r"(argument) : "memory");
    for (;;)
        ;
}

static grpclb_conn *open_conn(uint64_t *memory, size_t size, uint32_t flags) {
    grpclb_conn_config config = {.size = sizeof config, .flags = flags | GRPCLB_CONFIG_AUTO_RELEASE, .streams = 4};
    config.decoder_table = config.encoder_table = 512;
    config.arena = config.outbox = 2048;
    config.stream_window = 4096;
    config.connection_window = 65535;
    grpclb_conn *conn = grpclb_conn_init((uint8_t *)memory, size, &config, now);
    if (!conn)
        stop(1);
    return conn;
}

static void told(grpclb_conn *conn, const grpclb_conn_event *event, const uint8_t *input) {
    switch (event->kind) {
    case GRPCLB_CONN_MESSAGE: /* 4 octets, and never cut: whole frames are handed over */
        if (event->total != 4 || input[event->at + event->len - 1] != 0x34)
            stop(2);
        if (event->flags & GRPCLB_CONN_FLAG_END) {
            served++;
            if (grpclb_conn_reply(conn, event->call, input + event->at, event->len))
                stop(3);
        }
        break;
    case GRPCLB_CONN_STATUS:
        if (event->code)
            stop(4);
        answers++;
        break;
    }
}

/* Hands over what is there, in one piece or in two. */
static size_t carry(grpclb_conn *from, grpclb_conn *to, size_t cut) {
    static uint8_t buffer[2048];
    grpclb_conn_event events[4];
    int64_t len = grpclb_conn_take(from, now, buffer, sizeof buffer);
    if (len < 0)
        stop(5);
    const uint8_t *input = buffer, *end = buffer + len;
    while (input < end) {
        size_t left = (size_t)(end - input);
        grpclb_conn_batch batch = grpclb_conn_recv_batch(to, now, input, left < cut ? left : cut, events, 4);
        if (batch.code < 0)
            stop(6);
        for (uint32_t k = 0; k < batch.count; k++)
            told(to, &events[k], input);
        input += batch.taken;
    }
    while (grpclb_conn_poll_events(from, events, 1) == 1)
        told(from, &events[0], 0);
    return (size_t)len;
}

static void run(void) {
    static const uint8_t measured[4] = {1, 2, 3, 0x34};
    grpclb_conn *client = open_conn(client_memory, sizeof client_memory, 0);
    grpclb_conn *server = open_conn(server_memory, sizeof server_memory, GRPCLB_CONFIG_SERVER);
    uint8_t head[128];
    int64_t len = grpclb_fields_put(head, sizeof head, 0, ":path", 5, (const uint8_t *)"/weather.Station/Report", 23);
    len = grpclb_fields_put(head, sizeof head, (size_t)len, "station-bin", 11, measured, 3);
    for (unsigned k = 0; k < CALLS; k++) {
        grpclb_conn_started started =
            grpclb_conn_unary(client, now, head, (size_t)len, 5000000000, measured, sizeof measured);
        if (started.call <= 0 || started.taken != sizeof measured)
            stop(7);
    }
    while (carry(client, server, 2048) + carry(server, client, 2048))
        now++;
    if (answers != CALLS || served != CALLS || grpclb_conn_calls(client) || grpclb_conn_calls(server))
        stop(8);
}

extern uint8_t bss_begin[], bss_end[];

void reset(void) {
    for (uint8_t *octet = bss_begin; octet < bss_end; octet++)
        *(volatile uint8_t *)octet = 0;
    run();
    stop(0);
}

static void fault(void) { stop(99); }

extern const uint32_t stack_top[];

/* The chip's vector table: the first stack, reset, faults. */
__attribute__((section(".vectors"), used)) static const struct {
    const uint32_t *stack;
    void (*handler[6])(void);
} vectors = {stack_top, {reset, fault, fault, fault, fault, fault}};
