/* The balancer without sockets: verbs, numbers that are wrong, and picks from several threads. Needs no server. */
#include "check.h"

#include <pthread.h>

static const char ROUND_ROBIN[] = "{\"loadBalancingPolicy\":\"round_robin\"}";
static const char WEIGHTED[] = "{\"loadBalancingConfig\":[{\"weighted_round_robin\":{}}]}";
static const char THREE[] = "10.0.0.1:50051\n10.0.0.2:50051\n10.0.0.3:50051\n";

static int32_t resolve(grpclb_picker *picker, const char *endpoints, const char *config, char *error, size_t size) {
    return grpclb_picker_handle_resolution(picker, 0, endpoints, strlen(endpoints), config, strlen(config), error,
                                           size);
}

/* Does what is to be done; every attempt is READY at once. How many there were. */
static int settle(grpclb_picker *picker) {
    int attempts = 0;
    for (;;) {
        grpclb_action next = grpclb_picker_poll_action(picker);
        CHECK(next.action >= 0);
        if (next.action == GRPCLB_ACTION_NONE)
            return attempts;
        if (next.action == GRPCLB_ACTION_CONNECT) {
            IS(grpclb_picker_handle_subchannel(picker, 0, next.subchannel, GRPCLB_SUBCHANNEL_READY), 0);
            attempts++;
        }
    }
}

static grpclb_picker *ready(const char *endpoints, const char *config) {
    grpclb_picker *picker;
    IS(grpclb_picker_new(NULL, &picker), 0);
    IS(grpclb_picker_state(picker), GRPCLB_STATE_IDLE);
    IS(grpclb_picker_connect(picker, 0), 0);
    IS(grpclb_picker_poll_action(picker).action, GRPCLB_ACTION_RESOLVE);
    IS(resolve(picker, endpoints, config, NULL, 0), 0);
    CHECK(settle(picker) > 0);
    IS(grpclb_picker_state(picker), GRPCLB_STATE_READY);
    return picker;
}

static void verbs(void) {
    grpclb_picker *picker = ready("10.0.0.1:50051 1\r\n\n  [fd00::1]:50051,10.0.0.2:50051\t3  \nunix:/run/a.sock", WEIGHTED);
    IS(grpclb_picker_endpoint_count(picker), 3);
    IS(grpclb_picker_ready_count(picker), 3);
    char text[64];
    grpclb_endpoint one = grpclb_picker_endpoint(picker, 1, text, sizeof text);
    CHECK(!strcmp(text, "[fd00::1]:50051"));
    IS(one.state, GRPCLB_STATE_READY);
    IS(one.weight, 3);
    IS(one.address_len, strlen(text));
    IS(grpclb_picker_address(picker, one.subchannel, text, 6), strlen("[fd00::1]:50051"));
    CHECK(!strcmp(text, "[fd00"));
    IS(grpclb_picker_endpoint(picker, 2, text, sizeof text).weight, 1);
    CHECK(!strcmp(text, "unix:/run/a.sock"));
    int calls[3] = {0, 0, 0};
    for (int i = 0; i < 5000; i++) {
        grpclb_pick pick = grpclb_picker_pick(picker, 0);
        IS(pick.result, GRPCLB_PICK_SUBCHANNEL);
        calls[pick.subchannel == one.subchannel ? 1 : pick.subchannel == grpclb_picker_endpoint(picker, 0, NULL, 0).subchannel ? 0 : 2]++;
    }
    CHECK(abs(calls[0] - 1000) <= 6 && abs(calls[1] - 3000) <= 6 && abs(calls[2] - 1000) <= 6);

    /* What is lost is connected again at once; a version tells. */
    uint32_t version = grpclb_picker_version(picker);
    IS(grpclb_picker_handle_subchannel(picker, 5, one.subchannel, GRPCLB_SUBCHANNEL_LOST), 0);
    CHECK(grpclb_picker_version(picker) != version);
    IS(grpclb_picker_ready_count(picker), 2);
    IS(grpclb_picker_poll_action(picker).action, GRPCLB_ACTION_RESOLVE);
    grpclb_action again = grpclb_picker_poll_action(picker);
    IS(again.action, GRPCLB_ACTION_CONNECT);
    CHECK(again.subchannel >> 16 == one.subchannel >> 16 && again.subchannel != one.subchannel);
    CHECK(grpclb_picker_poll_timeout(picker) != UINT64_MAX);
    IS(grpclb_picker_address(picker, one.subchannel, text, sizeof text), 0); /* out of use */
    CHECK(!*text);

    IS(grpclb_picker_set_busy(picker, 7, 1), 0);
    IS(grpclb_picker_shutdown(picker), 0);
    IS(grpclb_picker_state(picker), GRPCLB_STATE_SHUTDOWN);
    IS(grpclb_picker_poll_action(picker).action, GRPCLB_ACTION_CLOSE);
    IS(grpclb_picker_pick(picker, 8).result, GRPCLB_PICK_FAIL);
    IS(grpclb_picker_poll_timeout(picker), UINT64_MAX);
    grpclb_picker_free(picker);
}

static void settings(void) {
    grpclb_picker_config config;
    memset(&config, 0, sizeof config);
    grpclb_picker *picker;
    IS(grpclb_picker_new(&config, &picker), GRPCLB_ERR_SIZE);
    CHECK(!picker);
    config.size = sizeof config;
    config.reserved = 1;
    IS(grpclb_picker_new(&config, &picker), GRPCLB_ERR_ARGUMENT);
    config.reserved = 0;
    config.position = 1;
    config.initial_backoff_ns = 3 * SECOND;
    config.idle_timeout_ns = UINT64_MAX;
    IS(grpclb_picker_new(&config, &picker), 0);
    /* Without a config it is pick_first. */
    IS(grpclb_picker_handle_resolution(picker, 0, THREE, strlen(THREE), NULL, 0, NULL, 0), 0);
    IS(grpclb_picker_pick(picker, 0).result, GRPCLB_PICK_QUEUE);
    grpclb_action next;
    do
        next = grpclb_picker_poll_action(picker);
    while (next.action == GRPCLB_ACTION_RESOLVE);
    IS(next.action, GRPCLB_ACTION_CONNECT);
    IS(grpclb_picker_handle_subchannel(picker, 0, next.subchannel, GRPCLB_SUBCHANNEL_READY), 0);
    IS(grpclb_picker_poll_timeout(picker), UINT64_MAX); /* it never idles */
    IS(grpclb_picker_handle_resolution_error(picker, 0), 0);
    IS(grpclb_picker_poll_timeout(picker), 3 * SECOND);
    IS(grpclb_picker_handle_timeout(picker, 3 * SECOND), 0);
    IS(grpclb_picker_poll_action(picker).action, GRPCLB_ACTION_RESOLVE);
    grpclb_picker_free(picker);
}

static void refused(grpclb_picker *picker, const char *endpoints, const char *config, int32_t code, const char *words) {
    char error[256];
    memset(error, 'x', sizeof error);
    IS(resolve(picker, endpoints, config, error, sizeof error), code);
    if (!strstr(error, words)) {
        fprintf(stderr, "%s: \"%s\" is not in \"%s\"\n", endpoints, words, error);
        exit(1);
    }
    IS(grpclb_picker_state(picker), GRPCLB_STATE_READY);
    IS(grpclb_picker_ready_count(picker), 3);
}

static void lists_that_are_wrong(void) {
    grpclb_picker *picker = ready(THREE, WEIGHTED);
    refused(picker, "10.0.0.1", WEIGHTED, GRPCLB_ERR_ARGUMENT, "line 1, column 9: expected `:` and a port");
    refused(picker, "\n10.0.0.1:1,10.0.0.2:x 3", WEIGHTED, GRPCLB_ERR_ARGUMENT, "line 2, column 21: expected a port");
    refused(picker, "10.0.0.1:1, 10.0.0.2:1", WEIGHTED, GRPCLB_ERR_ARGUMENT, "line 1, column 12");
    refused(picker, "10.0.0.1:1 -1", WEIGHTED, GRPCLB_ERR_ARGUMENT, "line 1, column 12: expected a weight");
    refused(picker, "10.0.0.1:1 +1", WEIGHTED, GRPCLB_ERR_ARGUMENT, "expected a weight");
    refused(picker, "10.0.0.1:1 4294967296", WEIGHTED, GRPCLB_ERR_ARGUMENT, "expected a weight");
    refused(picker, "10.0.0.1:1 1 x", WEIGHTED, GRPCLB_ERR_ARGUMENT, "line 1, column 14: expected the end");
    refused(picker, "\xff", WEIGHTED, GRPCLB_ERR_ARGUMENT, "UTF-8");
    refused(picker, THREE, "\xff", GRPCLB_ERR_ARGUMENT, "UTF-8");
    refused(picker, THREE, "{", GRPCLB_ERR_SERVICE_CONFIG, "service config: $");
    refused(picker, THREE, "{\"loadBalancingPolicy\":\"best\"}", GRPCLB_ERR_SERVICE_CONFIG, "$.loadBalancingPolicy");
    refused(picker, "10.0.0.1:1 0\n", WEIGHTED, GRPCLB_ERR_ENDPOINTS, "weight");
    /* The words are shortened to what fits, and ended. */
    char text[16];
    memset(text, 'x', sizeof text);
    IS(resolve(picker, "?", WEIGHTED, text, 8), GRPCLB_ERR_ARGUMENT);
    IS(strlen(text), 7);
    IS(text[8], 'x');
    IS(resolve(picker, "?", WEIGHTED, text, 0), GRPCLB_ERR_ARGUMENT);
    /* One more than can be: each line "unix:N". */
    size_t len = 0, size = 65536 * 12;
    char *many = (char *)malloc(size);
    CHECK(many);
    for (int i = 0; i < 65536; i++)
        len += (size_t)snprintf(many + len, size - len, "unix:%d\n", i);
    refused(picker, many, ROUND_ROBIN, GRPCLB_ERR_ENDPOINTS, "65536 addresses");
    many[len - strlen("unix:65535\n")] = 0;
    IS(resolve(picker, many, ROUND_ROBIN, NULL, 0), 0);
    IS(grpclb_picker_endpoint_count(picker), 65535);
    free(many);
    grpclb_picker_free(picker);
}

/* ---- several threads ---- */

enum { THREADS = 4, PICKS = 30000 };

static grpclb_picker *shared;
static int calls[THREADS][16]; /* by thread and index of the subchannel */

static void *pick_many(void *row) {
    int *mine = (int *)row;
    for (int i = 0; i < PICKS; i++) {
        grpclb_pick pick = grpclb_picker_pick(shared, (uint64_t)i);
        IS(pick.result, GRPCLB_PICK_SUBCHANNEL);
        CHECK(pick.subchannel >> 16 < 16);
        mine[pick.subchannel >> 16]++;
    }
    return NULL;
}

static void at_once(void (*meanwhile)(void)) {
    pthread_t threads[THREADS];
    memset(calls, 0, sizeof calls);
    for (int i = 0; i < THREADS; i++)
        IS(pthread_create(&threads[i], NULL, pick_many, calls[i]), 0);
    if (meanwhile)
        meanwhile();
    for (int i = 0; i < THREADS; i++)
        IS(pthread_join(threads[i], NULL), 0);
}

static void change(void) {
    for (int round = 0; round < 300; round++) {
        IS(resolve(shared, round % 2 ? "10.0.0.1:50051\n10.0.0.2:50051" : THREE, ROUND_ROBIN, NULL, 0), 0);
        settle(shared);
    }
}

static void threads(void) {
    shared = ready(THREE, ROUND_ROBIN);
    at_once(NULL);
    for (int index = 0; index < 3; index++) {
        int sum = 0;
        for (int i = 0; i < THREADS; i++)
            sum += calls[i][index];
        IS(sum, THREADS * PICKS / 3);
    }
    at_once(change);
    int sum = 0;
    for (int i = 0; i < THREADS; i++)
        for (int index = 0; index < 16; index++)
            sum += calls[i][index];
    IS(sum, THREADS * PICKS);
    grpclb_picker_free(shared);
}

int main(void) {
    verbs();
    settings();
    lists_that_are_wrong();
    threads();
    puts("picker: ok");
    return 0;
}
