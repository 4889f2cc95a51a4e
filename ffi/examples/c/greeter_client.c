/* Calls helloworld.Greeter/SayHello over a balanced channel and tells which peers served the calls.
 *
 * Exit codes: 0 when every call was OK, 2 for bad arguments (a target or service config that does not parse
 * included), else 64 + the status code of the first call that failed, with `NAME: message` on standard error.
 *
 *   cc -Iffi/include ffi/examples/c/greeter_client.c target/c/lib/libgrpclb.a -lpthread -ldl -lm */
#define _POSIX_C_SOURCE 200809L
#include "grpclb.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define SECOND UINT64_C(1000000000)
#define PATIENCE_S 30
/* How many picks `picks_first` shows. */
#define PICKS 64
#define CODES 17

/* ---- what the command line says ---- */

static struct {
    const char *target, *service_config, *name;
    uint64_t calls, concurrency, interval_ms, deadline_ms, wait_ready;
    int has_deadline, has_wait_ready, wait_for_ready, json;
} args = {.name = "world", .calls = 1, .concurrency = 1};

struct flag {
    const char *name, *value, *help;
    const char **text;
    uint64_t *number;
    int *given;
};

static const struct flag flags[] = {
    {"target", "TARGET", "dns:///host:port, ipv4:a:p,b:p, ipv6:, unix:path or file:///path (required)", &args.target, NULL, NULL},
    {"service-config", "JSON", "gRPC's service config; without it: pick_first", &args.service_config, NULL, NULL},
    {"calls", "N", "how many calls [default: 1]", NULL, &args.calls, NULL},
    {"concurrency", "C", "how many of them at a time, a thread each [default: 1]", NULL, &args.concurrency, NULL},
    {"deadline-ms", "D", "deadline of each call; without it: none", NULL, &args.deadline_ms, &args.has_deadline},
    {"interval-ms", "N", "each thread waits so long between its calls [default: 0]", NULL, &args.interval_ms, NULL},
    {"wait-ready", "K", "start the calls when K endpoints are READY (waits 30 s at most)", NULL, &args.wait_ready, &args.has_wait_ready},
    {"wait-for-ready", NULL, "calls wait through TRANSIENT_FAILURE instead of failing fast", NULL, NULL, &args.wait_for_ready},
    {"name", "NAME", "whom to greet [default: world]", &args.name, NULL, NULL},
    {"json", NULL, "print one line of JSON", NULL, NULL, &args.json},
};
#define FLAGS (sizeof flags / sizeof *flags)

static _Noreturn void help(void) {
    printf("Calls helloworld.Greeter/SayHello over a balanced channel and tells which peers served the calls.\n"
           "Exit code: 0 all calls OK; 2 bad arguments; else 64 + status code of the first call that failed.\n\n"
           "Usage: greeter_client --target TARGET [FLAGS]\n\nFlags (--flag value or --flag=value):\n");
    for (size_t i = 0; i < FLAGS; i++) {
        char left[64];
        snprintf(left, sizeof left, "--%s %s", flags[i].name, flags[i].value ? flags[i].value : "");
        printf("  %-22s  %s\n", left, flags[i].help);
    }
    exit(0);
}

static _Noreturn void refuse(const char *what, const char *why) {
    fprintf(stderr, "greeter_client: %s: %s\n", what, why);
    exit(2);
}

static void set(const struct flag *flag, const char *value) {
    char what[64];
    snprintf(what, sizeof what, "--%s", flag->name);
    if (!flag->value) { /* a switch */
        if (value && strcmp(value, "true") && strcmp(value, "false"))
            refuse(what, "expected true or false");
        *flag->given = !value || !strcmp(value, "true");
        return;
    }
    if (flag->text) {
        *flag->text = value;
        return;
    }
    char *end = NULL;
    errno = 0;
    /* strtoull takes signs and spaces; numbers here are digits. */
    *flag->number = *value >= '0' && *value <= '9' ? strtoull(value, &end, 10) : 0;
    if (!end || *end || errno)
        refuse(what, "expected a number from 0 up, in range");
    if (flag->given)
        *flag->given = 1;
}

static void parse(int argc, char **argv) {
    for (int i = 1; i < argc; i++) {
        if (argv[i][0] != '-' || !argv[i][1])
            refuse(argv[i], "unexpected argument (--help explains)");
        const char *name = argv[i] + (argv[i][1] == '-' ? 2 : 1);
        size_t length = strcspn(name, "=");
        const char *value = name[length] ? name + length + 1 : NULL;
        if (!strcmp(name, "help") || !strcmp(name, "h"))
            help();
        const struct flag *flag = NULL;
        for (size_t k = 0; k < FLAGS; k++)
            if (strlen(flags[k].name) == length && !strncmp(flags[k].name, name, length))
                flag = &flags[k];
        if (!flag)
            refuse(argv[i], "unknown flag (--help lists the flags)");
        if (flag->value && !value && !(value = argv[++i]))
            refuse(argv[i - 1], "needs a value");
        set(flag, value);
    }
    if (!args.target)
        refuse("--target TARGET", "is missing (--help explains)");
    if (args.concurrency < 1 || args.concurrency > 4096)
        refuse("--concurrency", "expected a number from 1 to 4096");
}

/* ---- two messages of protobuf: both have one field, string 1 ---- */

static size_t put_varint(uint8_t *at, uint64_t value) {
    size_t n = 0;
    for (; value > 127; value >>= 7)
        at[n++] = (uint8_t)(value | 128);
    at[n++] = (uint8_t)value;
    return n;
}

/* HelloRequest { name }, in memory of malloc. */
static uint8_t *hello_request(const char *name, size_t *len) {
    size_t n = strlen(name);
    uint8_t *at = malloc(n + 11);
    if (!at)
        abort();
    *len = 0;
    if (n == 0)
        return at; /* proto3 leaves empty fields out */
    at[0] = 1 << 3 | 2;
    *len = 1 + put_varint(at + 1, n);
    memcpy(at + *len, name, n);
    *len += n;
    return at;
}

static int get_varint(const uint8_t **at, const uint8_t *end, uint64_t *value) {
    *value = 0;
    for (unsigned shift = 0; shift < 64 && *at < end; shift += 7) {
        uint8_t octet = *(*at)++;
        *value |= (uint64_t)(octet & 127) << shift;
        if (octet < 128)
            return 1;
    }
    return 0;
}

/* HelloReply { message }; 0 when the octets are none. */
static int hello_reply(const uint8_t *at, size_t len, const char **message, size_t *message_len) {
    const uint8_t *end = at + len;
    *message = "";
    *message_len = 0;
    while (at < end) {
        uint64_t tag, n = 0;
        if (!get_varint(&at, end, &tag) || tag >> 3 == 0)
            return 0;
        switch (tag & 7) {
        case 0:
            if (!get_varint(&at, end, &n))
                return 0;
            n = 0;
            break;
        case 1: n = 8; break;
        case 2:
            if (!get_varint(&at, end, &n))
                return 0;
            break;
        case 5: n = 4; break;
        default: return 0;
        }
        if (n > (uint64_t)(end - at))
            return 0;
        if (tag >> 3 == 1) {
            if ((tag & 7) != 2)
                return 0;
            *message = (const char *)at;
            *message_len = (size_t)n;
        }
        at += n;
    }
    return 1;
}

/* ---- what came of the calls: one for all, under a lock ---- */

struct peer {
    char *name;
    uint64_t calls;
};

static struct {
    pthread_mutex_t lock;
    uint64_t started, calls;
    struct peer *peers;
    size_t peers_len;
    uint64_t status[CODES];
    /* The earliest picks: number and peer, unordered. */
    struct { uint64_t order; size_t peer; } picks[PICKS];
    size_t picks_len;
    char *answer, *failure; /* `failure`: the first one's words, on one line */
    int failure_code;
} tally = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* What a server sent stays on its line, and moves no cursor. In memory of malloc. */
static char *one_line(const char *text, size_t len) {
    char *out = malloc(len * 4 + 1), *to = out;
    if (!out)
        abort();
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c < 32 || c == 127)
            to += sprintf(to, "\\x%02x", c);
        else
            *to++ = (char)c;
    }
    *to = 0;
    return out;
}

static size_t reached(const char *name) {
    for (size_t i = 0; i < tally.peers_len; i++) {
        if (!strcmp(tally.peers[i].name, name)) {
            tally.peers[i].calls++;
            return i;
        }
    }
    struct peer *more = realloc(tally.peers, (tally.peers_len + 1) * sizeof *more);
    char *copy = malloc(strlen(name) + 1);
    if (!more || !copy)
        abort();
    tally.peers = more;
    tally.peers[tally.peers_len] = (struct peer){strcpy(copy, name), 1};
    return tally.peers_len++;
}

static void picked(uint64_t order, size_t peer) {
    size_t at = tally.picks_len;
    if (at == PICKS) {
        at = 0;
        for (size_t i = 1; i < PICKS; i++)
            if (tally.picks[i].order > tally.picks[at].order)
                at = i;
        if (tally.picks[at].order < order)
            return;
    } else {
        tally.picks_len++;
    }
    tally.picks[at].order = order;
    tally.picks[at].peer = peer;
}

static void failed(int code, const char *message, size_t len) {
    if (tally.failure)
        return;
    tally.failure = one_line(message, len);
    tally.failure_code = code;
}

static void count(const grpclb_reply *reply) {
    int code = reply->code;
    if (code < 0)
        code = 13; /* the call could not be made: our own fault, INTERNAL */
    pthread_mutex_lock(&tally.lock);
    if (reply->peer_len) {
        size_t peer = reached(reply->peer);
        if (code == 0)
            picked(reply->pick_order, peer);
    }
    if (code == 0) {
        const char *message;
        size_t len;
        if (hello_reply(reply->response, reply->response_len, &message, &len)) {
            free(tally.answer);
            tally.answer = one_line(message, len);
        } else {
            char words[256];
            code = 13;
            int n = snprintf(words, sizeof words, "%s answered no HelloReply", reply->peer);
            failed(code, words, n < (int)sizeof words ? (size_t)n : sizeof words - 1);
        }
    } else {
        failed(code, reply->message, reply->message_len);
    }
    tally.calls++;
    tally.status[code < CODES ? code : 2]++;
    pthread_mutex_unlock(&tally.lock);
}

/* ---- the calls ---- */

static grpclb_channel *channel;

static int next_call(void) {
    pthread_mutex_lock(&tally.lock);
    int more = tally.started < args.calls;
    tally.started += (uint64_t)more;
    pthread_mutex_unlock(&tally.lock);
    return more;
}

static void *some(void *unused) {
    (void)unused;
    size_t len;
    uint8_t *request = hello_request(args.name, &len);
    grpclb_call call = {.size = sizeof call, .path = "/helloworld.Greeter/SayHello"};
    call.wait_for_ready = (uint32_t)args.wait_for_ready;
    if (args.has_deadline) /* 0 is no deadline in C, and one that has passed on our command line */
        call.timeout_ns = args.deadline_ms > UINT64_MAX / 1000000 ? UINT64_MAX
                          : args.deadline_ms              ? args.deadline_ms * 1000000
                                                          : 1;
    grpclb_reply reply = {.size = sizeof reply}; /* used again by each call */
    for (int first = 1; next_call(); first = 0) {
        if (!first && args.interval_ms) {
            struct timespec pause = {(time_t)(args.interval_ms / 1000), (long)(args.interval_ms % 1000) * 1000000};
            nanosleep(&pause, NULL);
        }
        grpclb_channel_unary(channel, &call, request, len, &reply);
        count(&reply);
    }
    grpclb_reply_clear(&reply);
    free(request);
    return NULL;
}

/* ---- telling ---- */

static int by_name(const void *a, const void *b) {
    return strcmp(((const struct peer *)a)->name, ((const struct peer *)b)->name);
}

static int by_order(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* A JSON string (RFC 8259 section 7). */
static void quoted(const char *text) {
    putchar('"');
    for (; *text; text++) {
        if (*text == '"' || *text == '\\')
            printf("\\%c", *text);
        else if ((unsigned char)*text < 32)
            printf("\\u%04x", (unsigned)*text);
        else
            putchar(*text);
    }
    putchar('"');
}

static void json(void) {
    printf("{\"calls\":%" PRIu64 ",\"peers\":{", tally.calls);
    struct peer *sorted = malloc((tally.peers_len + 1) * sizeof *sorted);
    if (!sorted)
        abort();
    if (tally.peers_len)
        memcpy(sorted, tally.peers, tally.peers_len * sizeof *sorted);
    qsort(sorted, tally.peers_len, sizeof *sorted, by_name);
    for (size_t i = 0; i < tally.peers_len; i++) {
        printf("%s", i ? "," : "");
        quoted(sorted[i].name);
        printf(":%" PRIu64, sorted[i].calls);
    }
    free(sorted);
    printf("},\"status\":{");
    const char *gap = "";
    for (int code = 0; code < CODES; code++) {
        if (tally.status[code]) {
            printf("%s\"%s\":%" PRIu64, gap, grpclb_code_name(code), tally.status[code]);
            gap = ",";
        }
    }
    printf("},\"picks_first\":[");
    qsort(tally.picks, tally.picks_len, sizeof *tally.picks, by_order);
    for (size_t i = 0; i < tally.picks_len; i++) {
        printf("%s", i ? "," : "");
        quoted(tally.peers[tally.picks[i].peer].name);
    }
    printf("]}\n");
}

static void table(double seconds) {
    printf("%" PRIu64 " %s, %" PRIu64 " at a time, in %.2f s", tally.calls, tally.calls == 1 ? "call" : "calls",
           args.concurrency, seconds);
    if (seconds > 0)
        printf(" (%.0f a second)", (double)tally.calls / seconds);
    putchar('\n');
    uint64_t all = 0;
    for (size_t i = 0; i < tally.peers_len; i++)
        all += tally.peers[i].calls;
    for (size_t i = 0; i < tally.peers_len; i++)
        printf("  %-21s  %8" PRIu64 "  %5.1f %%\n", tally.peers[i].name, tally.peers[i].calls,
               (double)tally.peers[i].calls / (double)all * 100);
    for (int code = 0; code < CODES; code++)
        if (tally.status[code])
            printf("  %-21s  %8" PRIu64 "\n", grpclb_code_name(code), tally.status[code]);
    if (tally.answer && *tally.answer)
        printf("the last answer: %s\n", tally.answer);
}

static double now(void) {
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return (double)at.tv_sec + (double)at.tv_nsec / 1e9;
}

static void run(void) {
    pthread_t *threads = malloc(args.concurrency * sizeof *threads);
    if (!threads)
        abort();
    uint64_t running = 0;
    for (; running < args.concurrency; running++) {
        if (pthread_create(&threads[running], NULL, some, NULL)) {
            fprintf(stderr, "greeter_client: the system refused thread %" PRIu64 "\n", running + 1);
            break;
        }
    }
    if (running == 0)
        some(NULL);
    while (running > 0)
        pthread_join(threads[--running], NULL);
    free(threads);
}

int main(int argc, char **argv) {
    parse(argc, argv);
    char error[512];
    grpclb_channel_config config = {.size = sizeof config, .service_config = args.service_config};
    if (grpclb_channel_new(args.target, &config, &channel, error, sizeof error) != 0)
        refuse(error, "no channel can be made");
    if (args.has_wait_ready && grpclb_channel_wait_ready(channel, args.wait_ready, PATIENCE_S * SECOND) != 1) {
        char states[1024];
        if (grpclb_channel_endpoints(channel, states, sizeof states) == 0)
            strcpy(states, "no endpoints");
        fprintf(stderr, "UNAVAILABLE: not %" PRIu64 " endpoints were READY within %d s: %s\n", args.wait_ready,
                PATIENCE_S, states);
        grpclb_channel_free(channel);
        return 64 + 14;
    }
    double start = now();
    run();
    if (args.json)
        json();
    else
        table(now() - start);
    int code = 0;
    if (fflush(stdout) || ferror(stdout)) {
        perror("greeter_client: standard output");
        code = 1;
    } else if (tally.failure) {
        fprintf(stderr, "%s: %s\n", grpclb_code_name(tally.failure_code), tally.failure);
        code = tally.failure_code > 191 ? 255 : 64 + tally.failure_code;
    }
    grpclb_channel_free(channel);
    for (size_t i = 0; i < tally.peers_len; i++)
        free(tally.peers[i].name);
    free(tally.peers);
    free(tally.answer);
    free(tally.failure);
    return code;
}
