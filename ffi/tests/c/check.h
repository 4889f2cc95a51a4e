/* What the tests share. All of them are C11 and C++17. */
#ifndef CHECK_H
#define CHECK_H
#define _POSIX_C_SOURCE 200809L
#include "grpclb.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MS UINT64_C(1000000)
#define SECOND (1000 * MS)

/* Ends the program in words. */
#define CHECK(condition)                                                                                               \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition);                                    \
            exit(1);                                                                                                   \
        }                                                                                                              \
    } while (0)

/* The same for a number that should be another; `reply` may be NULL. */
#define IS(got, wanted) is(__FILE__, __LINE__, #got, (long long)(got), (long long)(wanted))

static inline void is(const char *file, int line, const char *what, long long got, long long wanted) {
    if (got == wanted)
        return;
    fprintf(stderr, "%s:%d: %s is %lld, not %lld\n", file, line, what, got, wanted);
    exit(1);
}

static inline grpclb_call call_of(const char *path) {
    grpclb_call call;
    memset(&call, 0, sizeof call);
    call.size = sizeof call;
    call.path = path;
    return call;
}

static inline grpclb_reply new_reply(void) {
    grpclb_reply reply;
    memset(&reply, 0, sizeof reply);
    reply.size = sizeof reply;
    return reply;
}

static inline grpclb_channel_config new_config(void) {
    grpclb_channel_config config;
    memset(&config, 0, sizeof config);
    config.size = sizeof config;
    return config;
}

static inline grpclb_channel *open_channel(const char *target, const grpclb_channel_config *config) {
    grpclb_channel *channel = NULL;
    char error[256];
    int32_t code = grpclb_channel_new(target, config, &channel, error, sizeof error);
    if (code)
        fprintf(stderr, "%s: %s\n", target, error);
    IS(code, 0);
    return channel;
}

#endif
