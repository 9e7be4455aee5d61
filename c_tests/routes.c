/*
 * Where connections begin and end: connect_to, overrides, local address and interface, for one request and for the engine;
 * both ends as the answer tells them; what is refused, and that requests which differ here share no connection.
 */
#include "support/engine.h"

static struct test_server server;

struct text {
    uint32_t option;
    const char *value;
};

static chttp_engine *engine_with(int io_threads, const struct text *texts)
{
    chttp_config *config = NULL;
    chttp_engine *engine = NULL;
    CHECK_EQ(chttp_config_new(&config), 0);
    CHECK_EQ(chttp_config_set_i64(config, CHTTP_OPT_IO_THREADS, io_threads, NULL), 0);
    for (; texts != NULL && texts->option != 0; texts++)
        CHECK_EQ(chttp_config_set_str(config, texts->option, texts->value, Z, NULL), 0);
    CHECK_EQ(chttp_engine_new(config, &engine, NULL), 0);
    chttp_config_free(config);
    return engine;
}

/* Performs and expects "hello\n"; both ends of its connection. */
static void hello(chttp_engine *engine, const chttp_request *request, char *peer, char *local)
{
    chttp_response *response = NULL;
    chttp_error *error = NULL;
    const char *data;
    size_t len;
    int32_t code = chttp_perform(engine, request, 60 * SECOND_NS, &response, &error);
    if (code != 0) {
        char text[512];
        chttp_error_message(error, text, sizeof text);
        fprintf(stderr, "perform: %s\n", text);
    }
    CHECK_EQ(code, 0);
    CHECK_EQ(chttp_response_body(response, &data, &len), 0);
    CHECK_MEM(data, len, "hello\n", 6);
    CHECK(chttp_response_peer(response, peer, 64) >= 0);
    CHECK(chttp_response_local(response, local, 64) >= 0);
    chttp_release(response);
}

static uint64_t accepted(void)
{
    return server.counters->accepted;
}

static void for_one_request(int io_threads)
{
    char url[64], to[64], peer[64], local[64];
    chttp_engine *engine = engine_with(io_threads, NULL);
    snprintf(to, sizeof to, "127.0.0.1:%u", (unsigned)server.port);

    /* The name does not exist, and is not asked for. */
    chttp_request request = request_for("http://no-such-host.invalid/");
    request.connect_to = to;
    request.connect_to_len = Z;
    uint64_t before = accepted();
    hello(engine, &request, peer, local);
    CHECK_STR(peer, to);
    CHECK(strncmp(local, "127.0.0.1:", 10) == 0);
    CHECK_EQ(accepted(), before + 1);
    hello(engine, &request, peer, local);
    CHECK_EQ(accepted(), before + 1);

    /* Without it, the same URL is another origin. */
    request = request_for(test_server_url(&server, "/", url, sizeof url));
    hello(engine, &request, peer, local);
    CHECK_EQ(accepted(), before + 2);
    request.local_address = "127.0.0.2";
    request.local_address_len = Z;
    hello(engine, &request, peer, local);
    CHECK(strncmp(local, "127.0.0.2:", 10) == 0);
    CHECK_STR(peer, to);
    CHECK_EQ(accepted(), before + 3);
    request.interface = "lo";
    request.interface_len = Z;
    hello(engine, &request, peer, local);
    CHECK_EQ(accepted(), before + 4);
    hello(engine, &request, peer, local);
    CHECK_EQ(accepted(), before + 4);
    chttp_engine_destroy(engine);
}

static void for_the_engine(int io_threads)
{
    char overrides[256], to[64], peer[64], local[64];
    snprintf(to, sizeof to, "127.0.0.1:%u", (unsigned)server.port);
    snprintf(overrides, sizeof overrides, "x.invalid:80=%s, *:81=%s", to, to);
    const struct text texts[] = {
        {CHTTP_OPT_CONNECT_OVERRIDES, overrides},
        {CHTTP_OPT_LOCAL_ADDRESS, "127.0.0.3"},
        {CHTTP_OPT_INTERFACE, "lo"},
        {0, NULL},
    };
    chttp_engine *engine = engine_with(io_threads, texts);
    static const char *const urls[] = {"http://x.invalid/", "http://X.Invalid:80/", "http://y.invalid:81/"};
    for (size_t i = 0; i < sizeof urls / sizeof *urls; i++) {
        chttp_request request = request_for(urls[i]);
        hello(engine, &request, peer, local);
        CHECK_STR(peer, to);
        CHECK(strncmp(local, "127.0.0.3:", 10) == 0);
    }
    /* The request's own comes first; an empty one is none. */
    chttp_request request = request_for("http://x.invalid/");
    request.local_address = "";
    request.interface = "";
    request.local_address_len = request.interface_len = Z;
    hello(engine, &request, peer, local);
    CHECK(strncmp(local, "127.0.0.1:", 10) == 0);
    request.connect_to = "127.0.0.1:1";
    request.connect_to_len = Z;
    chttp_response *response = NULL;
    chttp_error *error = NULL;
    char text[256];
    CHECK_EQ(chttp_perform(engine, &request, CHTTP_UNLIMITED, &response, &error), CHTTP_E_CONNECT_REFUSED);
    CHECK(chttp_error_message(error, text, sizeof text) > 0);
    CHECK(strstr(text, "x.invalid:80") != NULL && strstr(text, "tried 127.0.0.1:1 refused") != NULL);
    CHECK_EQ(chttp_error_os_errno(error), ECONNREFUSED);
    chttp_release(error);
    chttp_engine_destroy(engine);
}

static void refused(chttp_engine *engine, const chttp_request *request, const char *field)
{
    chttp_response *response = NULL;
    chttp_error *error = NULL;
    char text[256];
    CHECK_EQ(chttp_perform(engine, request, CHTTP_UNLIMITED, &response, &error), CHTTP_E_INVALID_ROUTE);
    CHECK(response == NULL && error != NULL);
    CHECK(chttp_error_message(error, text, sizeof text) > 0);
    CHECK(strncmp(text, field, strlen(field)) == 0);
    chttp_release(error);
}

static void refusals(void)
{
    chttp_engine *engine = engine_with(1, NULL);
    const chttp_request base = request_for("http://127.0.0.1/");
    static const char *const addresses[] = {"", "127.0.0.1", "localhost:80", "127.0.0.1:0", "::1:80", "unix:", "\xff:80"};
    for (size_t i = 0; i < sizeof addresses / sizeof *addresses; i++) {
        chttp_request request = base;
        request.connect_to = addresses[i];
        request.connect_to_len = strlen(addresses[i]);
        refused(engine, &request, "connect_to: ");
    }
    static const char *const locals[] = {"127.0.0.1:80", "lo", "127.1", "::1%1", " "};
    for (size_t i = 0; i < sizeof locals / sizeof *locals; i++) {
        chttp_request request = base;
        request.local_address = locals[i];
        request.local_address_len = Z;
        refused(engine, &request, "local_address: ");
    }
    static const char *const interfaces[] = {"1234567890123456", "a b", "a/b", ".."};
    for (size_t i = 0; i < sizeof interfaces / sizeof *interfaces; i++) {
        chttp_request request = base;
        request.interface = interfaces[i];
        request.interface_len = Z;
        refused(engine, &request, "interface: ");
    }
    chttp_request request = base;
    request.interface = "lo\0";
    request.interface_len = 3;
    refused(engine, &request, "interface: ");
    request = base;
    request.connect_to = "127.0.0.1:1";
    request.unix_path = "/x";
    request.connect_to_len = request.unix_path_len = Z;
    refused(engine, &request, "connect_to and unix_path");
    chttp_engine_destroy(engine);
}

int main(void)
{
    CHECK_EQ(test_server_start(&server), 0);
    for (int io_threads = 0; io_threads < DRIVES; io_threads++) {
        for_one_request(io_threads);
        for_the_engine(io_threads);
    }
    refusals();
    test_server_stop(&server);
    return 0;
}
