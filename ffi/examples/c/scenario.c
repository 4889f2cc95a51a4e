/* Runs one of core/tests/scenarios through grpclb_picker and prints a line a step: the same octets as in every other
 * language. The format stands in core/tests/scenarios/README.md. */
#include <grpclb.h>

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TEXT 4096 /* the longest string, and the longest list of endpoints */

static const char *file;

static void fail(const char *format, ...) {
    va_list words;
    fprintf(stderr, "scenario: %s: ", file);
    va_start(words, format);
    vfprintf(stderr, format, words);
    va_end(words);
    fputc('\n', stderr);
    exit(2);
}

/* ---- JSON, as far as scenarios have it: values are found by walking the text, nothing is kept ---- */

static const char *blank(const char *at) {
    return at + strspn(at, " \t\r\n");
}

static const char *expect(const char *at, char c) {
    at = blank(at);
    if (*at != c)
        fail("expected %c at \"%.20s\"", c, at);
    return blank(at + 1);
}

/* Unescapes a string into `out` (NULL: only passes over it); behind it. */
static const char *string(const char *at, char out[TEXT]) {
    size_t len = 0;
    at = blank(at);
    if (*at != '"')
        fail("expected a string at \"%.20s\"", at);
    for (at++; *at != '"'; at++) {
        if (*at == '\\')
            at++;
        if (!*at || len + 1 == TEXT)
            fail("a string that does not end, or is too long");
        if (out)
            out[len] = *at;
        len++;
    }
    if (out)
        out[len] = 0;
    return at + 1;
}

static const char *number(const char *at, uint64_t *out) {
    uint64_t value = 0;
    size_t digits = strspn(at = blank(at), "0123456789");
    if (digits == 0 || digits > 16)
        fail("expected a whole number at \"%.20s\"", at);
    for (; digits > 0; digits--)
        value = value * 10 + (uint64_t)(*at++ - '0');
    if (out)
        *out = value;
    return at;
}

/* Behind a value of any kind. */
static const char *skip(const char *at) {
    static int depth;
    at = blank(at);
    if (*at == '"')
        return string(at, NULL);
    if (*at != '{' && *at != '[')
        return number(at, NULL);
    if (depth++ == 8)
        fail("too deep at \"%.20s\"", at);
    char end = *at == '{' ? '}' : ']';
    for (at = blank(at + 1); *at != end;) {
        if (end == '}')
            at = expect(string(at, NULL), ':');
        at = blank(skip(at));
        if (*at != end)
            at = expect(at, ',');
    }
    depth--;
    return at + 1;
}

/* The value of a name; NULL when the object has none. */
static const char *find(const char *object, const char *name) {
    char key[TEXT];
    const char *at = expect(object, '{');
    while (*at != '}') {
        at = expect(string(at, key), ':');
        if (!strcmp(key, name))
            return at;
        at = blank(skip(at));
        if (*at != '}')
            at = expect(at, ',');
    }
    return NULL;
}

static const char *want(const char *object, const char *name) {
    const char *value = find(object, name);
    if (!value)
        fail("\"%s\" is missing in \"%.40s\"", name, object);
    return value;
}

static uint64_t number_of(const char *object, const char *name) {
    uint64_t value;
    number(want(object, name), &value);
    return value;
}

/* The first item of an array, or NULL; and the one behind an item. */
static const char *first(const char *array) {
    const char *at = expect(array, '[');
    return *at == ']' ? NULL : at;
}

static const char *next(const char *item) {
    const char *at = blank(skip(item));
    return *at == ']' ? NULL : expect(at, ',');
}

/* ---- the picker ---- */

static grpclb_picker *picker;
static uint64_t now; /* nanoseconds */

/* Every subchannel that was to be connected, in order. */
static struct known {
    uint32_t subchannel;
    char address[128];
} known[1024];
static size_t known_count;

static void print_actions(void) {
    const char *gap = "; ";
    for (grpclb_action next; (next = grpclb_picker_poll_action(picker)).action != GRPCLB_ACTION_NONE; gap = ", ") {
        if (next.action < 0)
            fail("%s", grpclb_code_name(next.action));
        if (next.action == GRPCLB_ACTION_RESOLVE) {
            printf("%sresolve", gap);
        } else if (next.action == GRPCLB_ACTION_CONNECT) {
            if (known_count == sizeof known / sizeof *known)
                fail("more than %zu attempts", known_count);
            struct known *one = &known[known_count++];
            one->subchannel = next.subchannel;
            grpclb_picker_address(picker, next.subchannel, one->address, sizeof one->address);
            printf("%sconnect %s", gap, one->address);
        } else {
            size_t i = known_count;
            while (i > 0 && known[i - 1].subchannel != next.subchannel)
                i--;
            printf("%sclose %s", gap, i ? known[i - 1].address : "what was never connected");
        }
    }
}

static void print_state(const char *verb) {
    static const char *const names[] = {"IDLE", "CONNECTING", "READY", "TRANSIENT_FAILURE", "SHUTDOWN"};
    int32_t state = grpclb_picker_state(picker);
    printf("%s: %s", verb, state < 0 ? grpclb_code_name(state) : names[state]);
}

static void resolve(const char *step) {
    char list[2 * TEXT], endpoint[TEXT], config[TEXT], error[512];
    size_t len = 0;
    const char *weights = find(step, "weights"), *weight = weights ? first(weights) : NULL;
    for (const char *at = first(want(step, "endpoints")); at; at = next(at)) {
        uint64_t value = 1;
        string(at, endpoint);
        if (weights) {
            if (!weight)
                fail("fewer weights than endpoints");
            number(weight, &value);
            weight = next(weight);
        }
        len += (size_t)snprintf(list + len, sizeof list - len, "%s %" PRIu64 "\n", endpoint, value);
        if (len > TEXT)
            fail("too many endpoints");
    }
    if (weight)
        fail("more weights than endpoints");
    string(want(step, "config"), config);
    int32_t code = grpclb_picker_handle_resolution(picker, now, list, len, config, strlen(config), error, sizeof error);
    if (code == GRPCLB_ERR_ARGUMENT)
        fail("%s", error);
    print_state("resolve");
    if (code)
        printf("; error: %s", error);
}

static void event(const char *step, const char *verb, int32_t event) {
    char address[TEXT];
    string(want(step, "address"), address);
    size_t i = known_count;
    while (i > 0 && strcmp(known[i - 1].address, address))
        i--;
    if (i == 0)
        fail("%s was never to be connected", address);
    grpclb_picker_handle_subchannel(picker, now, known[i - 1].subchannel, event);
    print_state(verb);
}

static void picks(const char *step) {
    static const char *const names[] = {"", "queue", "fail", "drop"};
    char line[64 * TEXT], address[128];
    size_t len = 0;
    for (uint64_t left = number_of(step, "count"); left > 0; left--) {
        grpclb_pick pick = grpclb_picker_pick(picker, now);
        if (pick.result < 0)
            fail("%s", grpclb_code_name(pick.result));
        if (pick.result == GRPCLB_PICK_SUBCHANNEL)
            grpclb_picker_address(picker, pick.subchannel, address, sizeof address);
        else
            strcpy(address, names[pick.result]);
        len += (size_t)snprintf(line + len, sizeof line - len, " %s", address);
        if (len + sizeof address >= sizeof line)
            fail("too many picks");
    }
    line[len] = 0;
    print_state("pick");
    printf(";%s", len ? line : " ");
}

static void run(const char *step) {
    char verb[TEXT];
    string(want(step, "do"), verb);
    if (!strcmp(verb, "resolve"))
        resolve(step);
    else if (!strcmp(verb, "ready"))
        event(step, verb, GRPCLB_SUBCHANNEL_READY);
    else if (!strcmp(verb, "failed"))
        event(step, verb, GRPCLB_SUBCHANNEL_FAILED);
    else if (!strcmp(verb, "lost"))
        event(step, verb, GRPCLB_SUBCHANNEL_LOST);
    else if (!strcmp(verb, "pick"))
        picks(step);
    else {
        if (!strcmp(verb, "connect"))
            grpclb_picker_connect(picker, now);
        else if (!strcmp(verb, "resolve_error"))
            grpclb_picker_handle_resolution_error(picker, now);
        else if (!strcmp(verb, "advance"))
            grpclb_picker_handle_timeout(picker, now += number_of(step, "ms") * 1000000);
        else if (!strcmp(verb, "busy"))
            grpclb_picker_set_busy(picker, now, number_of(step, "on") != 0);
        else if (!strcmp(verb, "shutdown"))
            grpclb_picker_shutdown(picker);
        else
            fail("nothing that can be done: %s", verb);
        print_state(verb);
    }
    print_actions();
    putchar('\n');
}

static char *read_file(void) {
    static char text[1 << 20];
    FILE *in = fopen(file, "rb");
    if (!in)
        fail("cannot be read");
    size_t len = fread(text, 1, sizeof text - 1, in);
    fclose(in);
    if (len == sizeof text - 1 || strlen(text) != len)
        fail("no text, or too long");
    return text;
}

int main(int argc, char **argv) {
    file = argc == 2 ? argv[1] : "usage: scenario FILE";
    if (argc != 2)
        fail("%d arguments", argc - 1);
    const char *text = read_file();
    if (*blank(skip(text)))
        fail("something behind the object");

    grpclb_picker_config config = {.size = sizeof config};
    config.seed = number_of(text, "seed");
    config.position = number_of(text, "position");
    int32_t code = grpclb_picker_new(&config, &picker);
    if (code)
        fail("%s", grpclb_code_name(code));
    for (const char *step = first(want(text, "steps")); step; step = next(step))
        run(step);
    grpclb_picker_free(picker);
    return 0;
}
