/* Every function with NULL, with nonsense, and after close. Needs no server. */
#include "check.h"

static int32_t never(void *context) {
    (void)context;
    return 0;
}

static void names(void) {
    CHECK(strchr(grpclb_version(), '.'));
    CHECK(!strcmp(grpclb_code_name(0), "OK"));
    CHECK(!strcmp(grpclb_code_name(14), "UNAVAILABLE"));
    CHECK(!strcmp(grpclb_code_name(16), "UNAUTHENTICATED"));
    for (int32_t code = -1; code >= GRPCLB_ERR_BLOCKED; code--)
        CHECK(!strncmp(grpclb_code_name(code), "GRPCLB_ERR_", 11));
    CHECK(!strcmp(grpclb_code_name(17), "UNKNOWN"));
    CHECK(!strcmp(grpclb_code_name(INT32_MIN), "UNKNOWN"));
    CHECK(!strcmp(grpclb_code_name(INT32_MAX), "UNKNOWN"));
}

static void null_everywhere(void) {
    grpclb_channel *channel = NULL;
    grpclb_stream *stream = NULL;
    grpclb_call call = call_of("/a.B/C");
    grpclb_reply reply = new_reply();
    const uint8_t *message;
    size_t len;
    char text[64];

    IS(grpclb_channel_new(NULL, NULL, &channel, NULL, 0), GRPCLB_ERR_NULL);
    IS(grpclb_channel_new("ipv4:127.0.0.1:1", NULL, NULL, NULL, 0), GRPCLB_ERR_NULL);
    IS(grpclb_channel_new("ipv4:127.0.0.1:1", NULL, NULL, text, sizeof text), GRPCLB_ERR_NULL);
    CHECK(strstr(text, "NULL"));
    grpclb_channel_free(NULL);
    IS(grpclb_channel_close(NULL), GRPCLB_ERR_NULL);
    IS(grpclb_channel_state(NULL, 1), GRPCLB_ERR_NULL);
    IS(grpclb_channel_wait_state(NULL, 0, 1), GRPCLB_ERR_NULL);
    IS(grpclb_channel_wait_ready(NULL, 1, 1), GRPCLB_ERR_NULL);
    IS(grpclb_channel_drive_in_background(NULL), GRPCLB_ERR_NULL);
    IS(grpclb_channel_endpoints(NULL, NULL, 0), 0);
    strcpy(text, "left over");
    IS(grpclb_channel_endpoints(NULL, text, sizeof text), 0);
    IS(strlen(text), 0);
    IS(grpclb_channel_unary(NULL, &call, NULL, 0, &reply), GRPCLB_ERR_NULL);
    IS(reply.code, GRPCLB_ERR_NULL);
    CHECK(strstr(reply.message, "NULL") && reply.message_len == strlen(reply.message) && !*reply.peer);
    IS(grpclb_channel_unary(NULL, NULL, NULL, 0, NULL), GRPCLB_ERR_NULL);

    IS(grpclb_stream_start(NULL, &call, &stream), GRPCLB_ERR_NULL);
    IS(grpclb_stream_start(NULL, &call, NULL), GRPCLB_ERR_NULL);
    IS(grpclb_stream_send(NULL, NULL, 0), GRPCLB_ERR_NULL);
    IS(grpclb_stream_half_close(NULL), GRPCLB_ERR_NULL);
    IS(grpclb_stream_recv(NULL, &message, &len), GRPCLB_ERR_NULL);
    IS(grpclb_stream_recv(NULL, NULL, &len), GRPCLB_ERR_NULL);
    IS(grpclb_stream_recv(NULL, &message, NULL), GRPCLB_ERR_NULL);
    IS(grpclb_stream_finish(NULL, &reply), GRPCLB_ERR_NULL);
    IS(grpclb_stream_finish(NULL, NULL), GRPCLB_ERR_NULL);
    IS(grpclb_stream_cancel(NULL), GRPCLB_ERR_NULL);
    grpclb_stream_free(NULL);

    grpclb_reply_clear(&reply);
    CHECK(!reply.memory && !reply.message && reply.size == sizeof reply);
    grpclb_reply_clear(&reply); /* twice is fine */
    grpclb_reply_clear(NULL);

    channel = open_channel("ipv4:127.0.0.1:1", NULL);
    IS(grpclb_channel_unary(channel, NULL, NULL, 0, &reply), GRPCLB_ERR_NULL);
    IS(grpclb_channel_unary(channel, &call, NULL, 1, &reply), GRPCLB_ERR_NULL);
    IS(grpclb_channel_unary(channel, &call, NULL, 0, NULL), GRPCLB_ERR_NULL);
    call.path = NULL;
    IS(grpclb_channel_unary(channel, &call, NULL, 0, &reply), GRPCLB_ERR_NULL);
    IS(grpclb_stream_start(channel, &call, &stream), GRPCLB_ERR_NULL);
    CHECK(!stream);
    IS(grpclb_stream_start(channel, NULL, &stream), GRPCLB_ERR_NULL);
    call.path = "/a.B/C";
    IS(grpclb_stream_start(channel, &call, NULL), GRPCLB_ERR_NULL);
    call.metadata_len = 1;
    IS(grpclb_channel_unary(channel, &call, NULL, 0, &reply), GRPCLB_ERR_NULL);
    grpclb_metadata entry;
    memset(&entry, 0, sizeof entry);
    call.metadata = &entry;
    entry.name_len = 3;
    IS(grpclb_channel_unary(channel, &call, NULL, 0, &reply), GRPCLB_ERR_NULL);
    grpclb_reply_clear(&reply);
    grpclb_channel_free(channel);
}

static void sizes(void) {
    grpclb_channel *channel;
    char text[128];
    grpclb_channel_config config = new_config();
    const uint32_t wrong[] = {0, 1, 4, sizeof config - 1, 5000, UINT32_MAX};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        config.size = wrong[i];
        IS(grpclb_channel_new("ipv4:127.0.0.1:1", &config, &channel, text, sizeof text), GRPCLB_ERR_SIZE);
        CHECK(!channel && strstr(text, "size"));
    }
    /* A newer header's struct: what we do not know has to be zero. */
    struct newer {
        grpclb_channel_config config;
        uint64_t more[2];
    } newer;
    memset(&newer, 0, sizeof newer);
    newer.config.size = sizeof newer;
    IS(grpclb_channel_new("ipv4:127.0.0.1:1", &newer.config, &channel, NULL, 0), 0);
    newer.more[1] = 1;
    grpclb_channel *other;
    IS(grpclb_channel_new("ipv4:127.0.0.1:1", &newer.config, &other, NULL, 0), GRPCLB_ERR_SIZE);

    grpclb_reply reply = new_reply();
    grpclb_call call = call_of("/a.B/C");
    reply.size = 0;
    IS(grpclb_channel_unary(channel, &call, NULL, 0, &reply), GRPCLB_ERR_SIZE);
    grpclb_reply_clear(&reply);
    reply.size = sizeof reply;
    call.size = 3;
    IS(grpclb_channel_unary(channel, &call, NULL, 0, &reply), GRPCLB_ERR_SIZE);
    CHECK(strstr(reply.message, "size"));
    grpclb_reply_clear(&reply);
    grpclb_channel_free(channel);
}

static void refused(const char *target, const char *json, int32_t wanted, const char *word) {
    grpclb_channel *channel;
    grpclb_channel_config config = new_config();
    char text[256];
    config.service_config = json;
    int32_t code = grpclb_channel_new(target, &config, &channel, text, sizeof text);
    IS(code, wanted);
    CHECK(!channel && strstr(text, word) && !strchr(text, '\n'));
}

static void targets_and_configs(void) {
    refused("", NULL, GRPCLB_ERR_TARGET, "target");
    refused("nosuchscheme:///x", NULL, GRPCLB_ERR_TARGET, "target");
    refused("ipv4:127.0.0.1:99999", NULL, GRPCLB_ERR_TARGET, "99999");
    refused("\xff\xfe", NULL, GRPCLB_ERR_ARGUMENT, "UTF-8");
    refused("ipv4:127.0.0.1:1", "{", GRPCLB_ERR_SERVICE_CONFIG, "service config");
    refused("ipv4:127.0.0.1:1", "\xff", GRPCLB_ERR_ARGUMENT, "UTF-8");
    refused("ipv4:127.0.0.1:1", "{\"loadBalancingConfig\":[{\"weighted_round_robin\":{\"weights\":{\"x\":1}}}]}",
            GRPCLB_ERR_SERVICE_CONFIG, "loadBalancingConfig[0].weighted_round_robin.weights");
    /* The text is shortened to what fits, and ended. */
    grpclb_channel *channel;
    char text[16];
    memset(text, 'x', sizeof text);
    IS(grpclb_channel_new("", NULL, &channel, text, 8), GRPCLB_ERR_TARGET);
    IS(strlen(text), 7);
    IS(text[8], 'x');
    IS(grpclb_channel_new("", NULL, &channel, text, 0), GRPCLB_ERR_TARGET);
}

static void calls(void) {
    grpclb_channel_config config = new_config();
    config.interrupt = never;
    config.idle_timeout_ns = UINT64_MAX;
    config.keepalive_time_ns = config.keepalive_timeout_ns = config.connect_timeout_ns = 1;
    config.initial_backoff_ns = UINT64_MAX;
    config.max_message_size = UINT32_MAX;
    grpclb_channel *channel = open_channel("ipv4:127.0.0.1:1", &config);
    IS(grpclb_channel_state(channel, 0), GRPCLB_STATE_IDLE);
    IS(grpclb_channel_wait_state(channel, -1, 0), GRPCLB_ERR_ARGUMENT);
    IS(grpclb_channel_wait_state(channel, 5, 0), GRPCLB_ERR_ARGUMENT);
    IS(grpclb_channel_wait_state(channel, GRPCLB_STATE_IDLE, 1), 0);
    IS(grpclb_channel_wait_state(channel, GRPCLB_STATE_READY, 0), 1);
    IS(grpclb_channel_wait_ready(channel, 1, 50 * MS), 0);
    char text[32];
    IS(grpclb_channel_endpoints(channel, text, 12), strlen("127.0.0.1:1 TRANSIENT_FAILURE"));
    CHECK(!strcmp(text, "127.0.0.1:1"));

    grpclb_reply reply = new_reply();
    grpclb_call call = call_of("/a.B/C");
    IS(grpclb_channel_unary(channel, &call, NULL, 0, &reply), 14);
    CHECK(reply.code == 14 && reply.message_len && reply.response && !reply.response_len);
    call.wait_for_ready = 2;
    IS(grpclb_channel_unary(channel, &call, NULL, 0, &reply), GRPCLB_ERR_ARGUMENT);
    call.wait_for_ready = 1;
    call.timeout_ns = 20 * MS;
    IS(grpclb_channel_unary(channel, &call, NULL, 0, &reply), 4);
    call = call_of("no path");
    CHECK(grpclb_channel_unary(channel, &call, NULL, 0, &reply) != 0);
    call = call_of("\xc3");
    IS(grpclb_channel_unary(channel, &call, NULL, 0, &reply), GRPCLB_ERR_ARGUMENT);
    call = call_of("/a.B/C");
    IS(grpclb_channel_unary(channel, &call, (const uint8_t *)"", SIZE_MAX, &reply), GRPCLB_ERR_ARGUMENT);
    grpclb_metadata entry;
    entry.name = "\xff";
    entry.name_len = 1;
    entry.value = NULL;
    entry.value_len = 0;
    call.metadata = &entry;
    call.metadata_len = 1;
    IS(grpclb_channel_unary(channel, &call, NULL, 0, &reply), GRPCLB_ERR_ARGUMENT);
    call.metadata_len = SIZE_MAX / 8;
    IS(grpclb_channel_unary(channel, &call, NULL, 0, &reply), GRPCLB_ERR_ARGUMENT);
    entry.name = "UPPER case";
    entry.name_len = 10;
    call.metadata_len = 1;
    CHECK(grpclb_channel_unary(channel, &call, NULL, 0, &reply) > 0);
    call.metadata_len = 0;

    grpclb_stream *stream;
    const uint8_t *message;
    size_t len;
    IS(grpclb_stream_start(channel, &call, &stream), 0);
    IS(grpclb_stream_send(stream, NULL, 1), GRPCLB_ERR_NULL);
    IS(grpclb_stream_recv(stream, &message, &len), 0);
    IS(grpclb_stream_send(stream, (const uint8_t *)"x", 1), GRPCLB_ERR_ENDED);
    IS(grpclb_stream_finish(stream, NULL), GRPCLB_ERR_NULL);
    IS(grpclb_stream_finish(stream, &reply), 14);
    IS(grpclb_stream_finish(stream, &reply), 14); /* as often as you like */
    IS(grpclb_stream_cancel(stream), 0);
    grpclb_stream_free(stream);

    /* After close. */
    IS(grpclb_stream_start(channel, &call, &stream), 0);
    IS(grpclb_channel_close(channel), 0);
    IS(grpclb_channel_close(channel), 0);
    IS(grpclb_channel_state(channel, 1), GRPCLB_STATE_SHUTDOWN);
    IS(grpclb_channel_wait_ready(channel, 1, 10 * MS), 0);
    CHECK(grpclb_stream_finish(stream, &reply) > 0);
    IS(grpclb_channel_unary(channel, &call, NULL, 0, &reply), 14);
    grpclb_reply_clear(&reply);
    IS(grpclb_channel_drive_in_background(channel), 0); /* ends at once */
    grpclb_channel_free(channel);
    /* A stream outlives its channel. */
    IS(grpclb_stream_recv(stream, &message, &len), 0);
    grpclb_stream_free(stream);
}

static void reactors(void) {
    grpclb_reactor *reactor;
    grpclb_call call = call_of("/a.B/C");
    grpclb_reply reply = new_reply();
    grpclb_call_id id = {0, 0}, none = {UINT32_MAX, 7};
    uint64_t ns;
    char text[64];
    IS(grpclb_reactor_new(NULL, NULL, &reactor, NULL, 0), GRPCLB_ERR_NULL);
    IS(grpclb_reactor_new("x:", NULL, NULL, NULL, 0), GRPCLB_ERR_NULL);
    IS(grpclb_reactor_new("nosuchscheme:///x", NULL, &reactor, text, sizeof text), GRPCLB_ERR_TARGET);
    CHECK(!reactor && strstr(text, "target"));
    grpclb_reactor_free(NULL);
    IS(grpclb_reactor_descriptor(NULL), GRPCLB_ERR_NULL);
    IS(grpclb_reactor_poll_timeout(NULL, &ns), GRPCLB_ERR_NULL);
    IS(grpclb_reactor_process(NULL), GRPCLB_ERR_NULL);
    IS(grpclb_reactor_start_call(NULL, &call, NULL, 0, &id), GRPCLB_ERR_NULL);
    IS(grpclb_reactor_poll_call(NULL, &id), GRPCLB_ERR_NULL);
    IS(grpclb_reactor_take(NULL, id, &reply), GRPCLB_ERR_NULL);
    IS(grpclb_reactor_cancel(NULL, id), GRPCLB_ERR_NULL);
    IS(grpclb_reactor_state(NULL, 0), GRPCLB_ERR_NULL);
    IS(grpclb_reactor_close(NULL), GRPCLB_ERR_NULL);
    IS(grpclb_reactor_new("ipv4:127.0.0.1:1", NULL, &reactor, NULL, 0), 0);
    CHECK(grpclb_reactor_descriptor(reactor) >= 0);
    IS(grpclb_reactor_poll_timeout(reactor, NULL), GRPCLB_ERR_NULL);
    IS(grpclb_reactor_start_call(reactor, NULL, NULL, 0, &id), GRPCLB_ERR_NULL);
    IS(grpclb_reactor_start_call(reactor, &call, NULL, 0, NULL), GRPCLB_ERR_NULL);
    IS(grpclb_reactor_start_call(reactor, &call, NULL, 1, &id), GRPCLB_ERR_NULL);
    IS(grpclb_reactor_poll_call(reactor, NULL), GRPCLB_ERR_NULL);
    IS(grpclb_reactor_poll_call(reactor, &id), 0);
    IS(grpclb_reactor_take(reactor, none, NULL), GRPCLB_ERR_NULL);
    IS(grpclb_reactor_take(reactor, none, &reply), GRPCLB_ERR_RUNNING);
    IS(grpclb_reactor_take(reactor, id, &reply), GRPCLB_ERR_RUNNING);
    IS(grpclb_reactor_cancel(reactor, none), 0);
    IS(grpclb_reactor_start_call(reactor, &call, NULL, 0, &id), 0);
    IS(grpclb_reactor_close(reactor), 0);
    IS(grpclb_reactor_state(reactor, 1), GRPCLB_STATE_SHUTDOWN);
    IS(grpclb_reactor_take(reactor, id, &reply), 1);
    IS(grpclb_reactor_take(reactor, id, &reply), GRPCLB_ERR_RUNNING);
    grpclb_reactor_free(reactor);
    grpclb_reply_clear(&reply);
}

static void events(void) {
    grpclb_reactor *reactor;
    grpclb_event event, some[4];
    grpclb_call call = call_of("/a.B/C");
    grpclb_call_id id, none = {UINT32_MAX, 7};
    char text[64];
    IS(grpclb_reactor_poll_events(NULL, &event, 1).count, GRPCLB_ERR_NULL);
    IS(grpclb_reactor_flush(NULL).count, GRPCLB_ERR_NULL);
    IS(grpclb_reactor_start_stream(NULL, &call, &id), GRPCLB_ERR_NULL);
    IS(grpclb_reactor_start_packed(NULL, 0, "/a/b", 4, NULL, 0, 0, 0, NULL, 0).result, GRPCLB_ERR_NULL);
    IS(grpclb_reactor_send(NULL, none, NULL, 0), GRPCLB_ERR_NULL);
    IS(grpclb_reactor_half_close(NULL, none), GRPCLB_ERR_NULL);
    IS(grpclb_reactor_recv(NULL, none).result, GRPCLB_ERR_NULL);
    IS(grpclb_reactor_forget(NULL, none), GRPCLB_ERR_NULL);
    strcpy(text, "left over");
    IS(grpclb_reactor_endpoints(NULL, text, sizeof text), 0);
    IS(strlen(text), 0);

    IS(grpclb_reactor_new("ipv4:127.0.0.1:1", NULL, &reactor, NULL, 0), 0);
    IS(grpclb_reactor_poll_events(reactor, NULL, 1).count, GRPCLB_ERR_NULL);
    IS(grpclb_reactor_poll_events(reactor, &event, 0).count, GRPCLB_ERR_ARGUMENT);
    IS(grpclb_reactor_poll_events(reactor, &event, SIZE_MAX).count, 0);
    grpclb_turn turn = grpclb_reactor_flush(reactor);
    CHECK(turn.count == 0 && turn.state == GRPCLB_STATE_IDLE && turn.ready_endpoints == 0);
    CHECK(turn.timeout_ns == UINT64_MAX);
    IS(grpclb_reactor_start_stream(reactor, NULL, &id), GRPCLB_ERR_NULL);
    IS(grpclb_reactor_start_stream(reactor, &call, NULL), GRPCLB_ERR_NULL);
    call.reserved = 1;
    IS(grpclb_reactor_start_stream(reactor, &call, &id), GRPCLB_ERR_ARGUMENT);
    call.reserved = 0;
    IS(grpclb_reactor_start_packed(reactor, 4, "/a/b", 4, NULL, 0, 0, 0, NULL, 0).result, GRPCLB_ERR_ARGUMENT);
    IS(grpclb_reactor_start_packed(reactor, 0, NULL, 4, NULL, 0, 0, 0, NULL, 0).result, GRPCLB_ERR_NULL);
    IS(grpclb_reactor_start_packed(reactor, 0, "\xff", 1, NULL, 0, 0, 0, NULL, 0).result, GRPCLB_ERR_ARGUMENT);
    IS(grpclb_reactor_start_packed(reactor, 0, "/a/b", 4, NULL, 1, 0, 0, NULL, 0).result, GRPCLB_ERR_NULL);
    IS(grpclb_reactor_start_packed(reactor, 0, "/a/b", 4, NULL, 0, 0, 0, NULL, 1).result, GRPCLB_ERR_NULL);
    /* Metadata that ends in the middle of an entry, and a name that is no text. */
    const uint8_t cut[] = {0, 1, 0, 2, 'a', 'b'}, name[] = {0, 1, 0, 0, 0xff};
    IS(grpclb_reactor_start_packed(reactor, 0, "/a/b", 4, cut, sizeof cut, 0, 0, NULL, 0).result, GRPCLB_ERR_ARGUMENT);
    IS(grpclb_reactor_start_packed(reactor, 0, "/a/b", 4, cut, 3, 0, 0, NULL, 0).result, GRPCLB_ERR_ARGUMENT);
    IS(grpclb_reactor_start_packed(reactor, 0, "/a/b", 4, name, sizeof name, 0, 0, NULL, 0).result, GRPCLB_ERR_ARGUMENT);
    IS(grpclb_reactor_start_packed(reactor, GRPCLB_CALL_STREAM, "/a/b", 4, NULL, 0, 0, 0, cut, 1).result, GRPCLB_ERR_ARGUMENT);

    /* No such call, and a unary one. */
    IS(grpclb_reactor_send(reactor, none, NULL, 0), GRPCLB_ERR_ENDED);
    IS(grpclb_reactor_half_close(reactor, none), GRPCLB_ERR_ENDED);
    IS(grpclb_reactor_recv(reactor, none).result, GRPCLB_ERR_ENDED);
    IS(grpclb_reactor_forget(reactor, none), 0);
    grpclb_started unary = grpclb_reactor_start_packed(reactor, 0, "/a/b", 4, NULL, 0, 0, 0, NULL, 0);
    IS(unary.result, 0);
    IS(grpclb_reactor_send(reactor, unary.call, NULL, 0), GRPCLB_ERR_ENDED);
    IS(grpclb_reactor_half_close(reactor, unary.call), GRPCLB_ERR_ENDED);
    IS(grpclb_reactor_recv(reactor, unary.call).result, GRPCLB_ERR_ENDED);
    IS(grpclb_reactor_forget(reactor, unary.call), 0);

    /* A stream takes one message while it waits for a connection. */
    grpclb_call_id stream;
    IS(grpclb_reactor_start_stream(reactor, &call, &stream), 0);
    IS(grpclb_reactor_send(reactor, stream, NULL, 1), GRPCLB_ERR_NULL);
    IS(grpclb_reactor_send(reactor, stream, (const uint8_t *)"x", 1), 1);
    IS(grpclb_reactor_send(reactor, stream, (const uint8_t *)"x", 1), GRPCLB_ERR_BLOCKED);
    IS(grpclb_reactor_half_close(reactor, stream), 0);
    IS(grpclb_reactor_half_close(reactor, stream), 0);
    IS(grpclb_reactor_send(reactor, stream, (const uint8_t *)"x", 1), GRPCLB_ERR_ENDED);
    IS(grpclb_reactor_recv(reactor, stream).result, 0);
    CHECK(grpclb_reactor_endpoints(reactor, text, sizeof text) < sizeof text);
    unary = grpclb_reactor_start_packed(reactor, 0, "/a/b", 4, NULL, 0, 0, 0, NULL, 0);
    IS(grpclb_reactor_close(reactor), 0);
    turn = grpclb_reactor_flush(reactor);
    CHECK(turn.count == 0 && turn.timeout_ns == 0 && turn.state == GRPCLB_STATE_SHUTDOWN);
    /* Each is told; one event at a time, then none. */
    IS(grpclb_reactor_poll_events(reactor, some, 1).count, 1);
    CHECK(some[0].what == GRPCLB_EVENT_ENDED && some[0].code == 1 && some[0].message_len && !some[0].peer_len);
    turn = grpclb_reactor_poll_events(reactor, some + 1, 3);
    IS(turn.count, 1);
    CHECK(some[0].call.index + some[1].call.index == stream.index + unary.call.index);
    CHECK(turn.timeout_ns == UINT64_MAX);
    IS(grpclb_reactor_poll_events(reactor, some, 4).count, 0);
    IS(grpclb_reactor_send(reactor, stream, NULL, 0), GRPCLB_ERR_ENDED);
    IS(grpclb_reactor_forget(reactor, stream), 0);
    IS(grpclb_reactor_forget(reactor, unary.call), 0);
    /* A call after close ends at once; forgotten, it is not told. */
    unary = grpclb_reactor_start_packed(reactor, 0, "/a/b", 4, NULL, 0, 0, 0, NULL, 0);
    IS(unary.result, 0);
    IS(grpclb_reactor_forget(reactor, unary.call), 0);
    IS(grpclb_reactor_poll_events(reactor, some, 4).count, 0);
    grpclb_reactor_free(reactor);
}

static void pickers(void) {
    grpclb_picker *picker;
    char text[64];
    IS(grpclb_picker_new(NULL, NULL), GRPCLB_ERR_NULL);
    grpclb_picker_free(NULL);
    IS(grpclb_picker_handle_resolution(NULL, 0, "", 0, NULL, 0, text, sizeof text), GRPCLB_ERR_NULL);
    CHECK(strstr(text, "NULL"));
    IS(grpclb_picker_handle_resolution_error(NULL, 0), GRPCLB_ERR_NULL);
    IS(grpclb_picker_handle_subchannel(NULL, 0, 0, GRPCLB_SUBCHANNEL_READY), GRPCLB_ERR_NULL);
    IS(grpclb_picker_connect(NULL, 0), GRPCLB_ERR_NULL);
    IS(grpclb_picker_set_busy(NULL, 0, 1), GRPCLB_ERR_NULL);
    IS(grpclb_picker_shutdown(NULL), GRPCLB_ERR_NULL);
    IS(grpclb_picker_poll_action(NULL).action, GRPCLB_ERR_NULL);
    strcpy(text, "left over");
    IS(grpclb_picker_address(NULL, 0, text, sizeof text), 0);
    IS(strlen(text), 0);
    IS(grpclb_picker_state(NULL), GRPCLB_ERR_NULL);
    IS(grpclb_picker_pick(NULL, 0).result, GRPCLB_ERR_NULL);
    IS(grpclb_picker_version(NULL), 0);
    IS(grpclb_picker_poll_timeout(NULL), UINT64_MAX);
    IS(grpclb_picker_handle_timeout(NULL, 0), GRPCLB_ERR_NULL);
    IS(grpclb_picker_endpoint_count(NULL), 0);
    IS(grpclb_picker_ready_count(NULL), 0);
    IS(grpclb_picker_endpoint(NULL, 0, text, sizeof text).state, GRPCLB_ERR_NULL);

    IS(grpclb_picker_new(NULL, &picker), 0);
    IS(grpclb_picker_handle_resolution(picker, 0, NULL, 1, NULL, 0, NULL, 0), GRPCLB_ERR_NULL);
    IS(grpclb_picker_handle_resolution(picker, 0, NULL, 0, NULL, 1, NULL, 0), GRPCLB_ERR_NULL);
    IS(grpclb_picker_handle_resolution(picker, 0, "", SIZE_MAX, NULL, 0, NULL, 0), GRPCLB_ERR_ARGUMENT);
    IS(grpclb_picker_handle_subchannel(picker, 0, UINT32_MAX, 0), GRPCLB_ERR_ARGUMENT);
    IS(grpclb_picker_handle_subchannel(picker, 0, UINT32_MAX, 4), GRPCLB_ERR_ARGUMENT);
    IS(grpclb_picker_handle_subchannel(picker, UINT64_MAX, UINT32_MAX, GRPCLB_SUBCHANNEL_LOST), 0);
    IS(grpclb_picker_address(picker, UINT32_MAX, NULL, 0), 0);
    IS(grpclb_picker_endpoint(picker, SIZE_MAX, NULL, 0).state, GRPCLB_ERR_ARGUMENT);
    IS(grpclb_picker_connect(picker, UINT64_MAX), 0);
    IS(grpclb_picker_handle_timeout(picker, 0), 0); /* a clock that goes back is no harm */
    IS(grpclb_picker_pick(picker, 0).result, GRPCLB_PICK_QUEUE);
    grpclb_picker_free(picker);
}

int main(void) {
    pickers();
    reactors();
    events();
    names();
    null_everywhere();
    sizes();
    targets_and_configs();
    calls();
    puts("nonsense: ok");
    return 0;
}
