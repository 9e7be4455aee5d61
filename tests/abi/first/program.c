/*
 * A program of the time of the first header, which lies beside it: program URL. It was never compiled again; the
 * library under it is today's. What it knows has to be as it was then: structs that were shorter, options, codes and
 * events.
 */
#include "chttpcore.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>

#define CHECK(condition)                                                                                               \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            fprintf(stderr, "%s:%d: CHECK(%s)\n", __FILE__, __LINE__, #condition);                                     \
            return 1;                                                                                                  \
        }                                                                                                              \
    } while (0)

#define CANARY 0xeeeeeeeeeeeeeeeeull

/* What is behind a struct of ours is nobody else's. */
static struct {
    chttp_stats stats;
    uint64_t behind;
} stats = {.behind = CANARY};
static struct {
    chttp_timing timing;
    uint64_t behind;
} timing = {.behind = CANARY};
static struct {
    chttp_option option;
    uint64_t behind;
} option = {.behind = CANARY};

static int sizes(void)
{
    CHECK(chttp_struct_size(CHTTP_STRUCT_EVENT) == sizeof(chttp_event));
    CHECK(chttp_struct_size(CHTTP_STRUCT_FIELD) == sizeof(chttp_field));
    CHECK(chttp_struct_size(CHTTP_STRUCT_REQUEST) >= sizeof(chttp_request));
    CHECK(chttp_struct_size(CHTTP_STRUCT_TIMING) >= sizeof(chttp_timing));
    CHECK(chttp_struct_size(CHTTP_STRUCT_STATS) >= sizeof(chttp_stats));
    CHECK(chttp_struct_size(CHTTP_STRUCT_OPTION) >= sizeof(chttp_option));
    CHECK(chttp_version() >= CHTTP_VERSION);
    return 0;
}

/* Each option of then, by id and by name; `config` is as new afterwards. */
static int options(chttp_config *config)
{
    static const struct {
        uint32_t id;
        const char *name;
    } known[] = {
        {CHTTP_OPT_IO_THREADS, "io_threads"},
        {CHTTP_OPT_MAX_CONNECTIONS_PER_HOST, "max_connections_per_host"},
        {CHTTP_OPT_MAX_CONNECTIONS, "max_connections"},
        {CHTTP_OPT_IDLE_TIMEOUT_NS, "idle_timeout_ns"},
        {CHTTP_OPT_TOTAL_TIMEOUT_NS, "total_timeout_ns"},
        {CHTTP_OPT_POOL_TIMEOUT_NS, "pool_timeout_ns"},
        {CHTTP_OPT_DNS_TIMEOUT_NS, "dns_timeout_ns"},
        {CHTTP_OPT_CONNECT_TIMEOUT_NS, "connect_timeout_ns"},
        {CHTTP_OPT_WRITE_TIMEOUT_NS, "write_timeout_ns"},
        {CHTTP_OPT_FIRST_BYTE_TIMEOUT_NS, "first_byte_timeout_ns"},
        {CHTTP_OPT_READ_TIMEOUT_NS, "read_timeout_ns"},
        {CHTTP_OPT_EXPECT_TIMEOUT_NS, "expect_timeout_ns"},
        {CHTTP_OPT_RECV_CREDIT, "recv_credit"},
        {CHTTP_OPT_COLLECT_MAX, "collect_max"},
        {CHTTP_OPT_SEND_BUFFER, "send_buffer"},
        {CHTTP_OPT_DNS_CACHE_NS, "dns_cache_ns"},
        {CHTTP_OPT_MAX_EXCHANGES, "max_exchanges"},
        {CHTTP_OPT_HEAD_LINE_MAX, "head_line_max"},
        {CHTTP_OPT_HEAD_MAX, "head_max"},
        {CHTTP_OPT_HEAD_FIELDS_MAX, "head_fields_max"},
        {CHTTP_OPT_INFORMATIONAL_MAX, "informational_max"},
        {CHTTP_OPT_CHUNK_EXT_MAX, "chunk_ext_max"},
        {CHTTP_OPT_ALLOW_BARE_LF, "allow_bare_lf"},
        {CHTTP_OPT_ALLOW_OBS_FOLD, "allow_obs_fold"},
    };
    uint32_t count = sizeof known / sizeof *known, found = 0;
    char text[32];
    CHECK(chttp_option_count() >= count);
    for (uint32_t i = 0; i < chttp_option_count(); i++) {
        CHECK(chttp_option_describe(i, &option.option, sizeof option.option) == 0 && option.behind == CANARY);
        for (uint32_t j = 0; j < count; j++) {
            if (known[j].id != option.option.id) continue;
            found++;
            CHECK(option.option.kind == 1 && strcmp(option.option.name, known[j].name) == 0);
            CHECK(chttp_config_set_i64(config, known[j].id, option.option.max, NULL) == 0);
            snprintf(text, sizeof text, "%lld", (long long)option.option.max);
            CHECK(chttp_config_set_named(config, known[j].name, strlen(known[j].name), text, strlen(text), NULL) == 0);
            CHECK(chttp_config_set_i64(config, known[j].id, option.option.default_value, NULL) == 0);
        }
    }
    CHECK(found == count);
    chttp_error *error = NULL;
    CHECK(chttp_config_set_i64(config, CHTTP_OPT_IO_THREADS, 2, &error) == CHTTP_E_OPTION_RANGE);
    CHECK(chttp_error_code(error) == CHTTP_E_OPTION_RANGE && chttp_error_phase(error) == CHTTP_PHASE_QUEUED);
    chttp_release(error);
    return 0;
}

/* Two requests of our size side by side, by the descriptor: one that is answered in pieces, one that fails. */
static int exchanges(chttp_engine *engine, chttp_queue *queue, const char *url)
{
    chttp_request requests[2];
    memset(requests, 0, sizeof requests);
    requests[0].size = requests[1].size = sizeof *requests;
    requests[0].url = url;
    requests[1].url = "http://127.0.0.1/";
    requests[0].url_len = requests[1].url_len = (size_t)CHTTP_NUL_TERMINATED;
    requests[1].unix_path = "/nonexistent/socket";
    requests[1].unix_path_len = (size_t)CHTTP_NUL_TERMINATED;
    requests[1].token = 1;
    chttp_xid xids[2];
    CHECK(chttp_submit(engine, queue, requests, 2, sizeof *requests, xids, NULL) == 0);
    int order[2] = {0, 0}, left = 2;
    while (left > 0) {
        chttp_event events[4];
        struct pollfd ready = {.fd = chttp_queue_fd(queue), .events = POLLIN};
        CHECK(poll(&ready, 1, 60000) == 1 && ready.revents == POLLIN);
        int32_t n = chttp_queue_drain(queue, events, 4, sizeof *events);
        CHECK(n >= 0);
        for (int32_t i = 0; i < n; i++) {
            const chttp_event *event = &events[i];
            CHECK(event->token < 2 && event->xid == xids[event->token]);
            switch (event->kind) {
            case CHTTP_EV_HEADERS:
                CHECK(event->token == 0 && order[0]++ == 0 && event->arg == 200);
                CHECK(chttp_response_status(event->obj) == 200 && chttp_response_version(event->obj) == 11);
                CHECK(chttp_response_timing(event->obj, &timing.timing, sizeof timing.timing) == 0);
                CHECK(timing.timing.size == sizeof timing.timing && timing.timing.first_byte_ns > 0);
                CHECK(timing.behind == CANARY);
                break;
            case CHTTP_EV_BODY:
                CHECK(event->token == 0 && order[0]++ == 1);
                CHECK(event->len == 6 && memcmp(event->data, "hello\n", 6) == 0);
                break;
            case CHTTP_EV_DONE:
                CHECK(event->flags & CHTTP_EF_TERMINAL);
                CHECK(event->token == 1 || (event->error == 0 && order[0] == 2));
                if (event->error != 0) {
                    CHECK(event->token == 1 && strcmp(chttp_error_category(event->error), "connect") == 0);
                    CHECK(chttp_error_phase(event->obj) == CHTTP_PHASE_CONNECTING);
                    CHECK(chttp_error_request_bytes_sent(event->obj) == 0);
                }
                left--;
                break;
            default:
                CHECK(!"an event that a program of then was not promised");
            }
        }
        CHECK(chttp_events_release(events, (uint32_t)n, sizeof *events) == 0);
    }
    return 0;
}

static int collected(chttp_engine *engine, const char *url)
{
    chttp_request request;
    chttp_response *response = NULL;
    const char *data;
    size_t len;
    chttp_field field;
    memset(&request, 0, sizeof request);
    request.size = sizeof request;
    request.url = url;
    request.url_len = strlen(url);
    request.header_block = "X-Old: 1\r\n";
    request.header_block_len = 10;
    CHECK(chttp_perform(engine, &request, CHTTP_UNLIMITED, &response, NULL) == 0);
    CHECK(chttp_response_body(response, &data, &len) == 0 && len == 6 && memcmp(data, "hello\n", 6) == 0);
    CHECK(chttp_response_header(response, "content-length", 14, &field) >= 0 && field.value_len == 1);
    chttp_release(response);
    CHECK(chttp_engine_stats(engine, &stats.stats, sizeof stats.stats) == 0);
    CHECK(stats.stats.size == sizeof stats.stats && stats.stats.submitted == 3 && stats.behind == CANARY);
    CHECK(stats.stats.succeeded == 2 && stats.stats.failed == 1);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc != 2 || sizes() != 0) return 1;
    for (int io_threads = 0; io_threads < 2; io_threads++) {
        chttp_config *config = NULL;
        chttp_engine *engine = NULL;
        chttp_queue *queue = NULL;
        CHECK(chttp_config_new(&config) == 0 && options(config) == 0);
        CHECK(chttp_config_set_i64(config, CHTTP_OPT_IO_THREADS, io_threads, NULL) == 0);
        CHECK(chttp_engine_new(config, &engine, NULL) == 0);
        chttp_config_free(config);
        CHECK(chttp_queue_new(engine, &queue) == 0);
        CHECK(exchanges(engine, queue, argv[1]) == 0 && collected(engine, argv[1]) == 0);
        CHECK(chttp_engine_destroy(engine) == 0);
        chttp_queue_destroy(queue);
    }
    puts("as ever");
    return 0;
}
