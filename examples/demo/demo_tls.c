/* The demo's part about https: what is agreed on, what a kept session saves, and how a bad certificate is told of. */
#define _POSIX_C_SOURCE 200809L
#include "demo_kit.h"

#include <stdio.h>
#include <string.h>

/* Settings as a program has them: files in a configuration, read and checked by chttp_tls_new(). */
typedef struct {
    const char *certificates; /* the directory */
    const char *client;       /* a file in it, or NULL */
    const char *pins;         /* or NULL */
    int max_version;          /* 12 or 13 */
} trust;

static void text_option(chttp_config *config, uint32_t option, const char *text)
{
    chttp_error *error = NULL;
    int32_t code = chttp_config_set_str(config, option, text, CHTTP_NUL_TERMINATED, &error);
    if (code != 0) give_up(text, code, error);
}

static chttp_tls *settings(trust t)
{
    char path[1024];
    chttp_config *config;
    chttp_tls *tls = NULL;
    chttp_error *error = NULL;
    int32_t code = chttp_config_new(&config);
    if (code != 0) give_up("no configuration", code, NULL);
    snprintf(path, sizeof path, "%s/ca.pem", t.certificates);
    text_option(config, CHTTP_OPT_TLS_CA_FILE, path);
    if (t.client != NULL) {
        snprintf(path, sizeof path, "%s/%s", t.certificates, t.client);
        text_option(config, CHTTP_OPT_TLS_CERT_FILE, path); /* the key stands behind the certificate */
    }
    if (t.pins != NULL) text_option(config, CHTTP_OPT_TLS_PINS, t.pins);
    code = chttp_config_set_i64(config, CHTTP_OPT_TLS_MAX_VERSION, t.max_version, &error);
    if (code == 0) code = chttp_tls_new(config, &tls, &error);
    if (code != 0) give_up("TLS settings", code, error);
    chttp_config_free(config);
    return tls;
}

/* One line of the table; what was agreed on goes to `first` if that is empty. */
static void handshake(client *c, const char *what, const char *url, const chttp_tls *tls, uint32_t flags,
                      chttp_response **first, const char *wanted)
{
    chttp_request request = request_for("GET", url);
    request.flags = CHTTP_REQ_COLLECT | flags;
    request.tls = tls;
    outcome o = fetch(c, &request);
    chttp_tls_info info = {.size = sizeof info};
    int reused = o.response != NULL && chttp_response_connection_reused(o.response) == 1;
    int known = chttp_response_tls(o.response, &info, sizeof info) == 0;
    const char *seen = !known ? "?" : reused ? "none" : info.resumed ? "resumed" : "full";
    split_timing t = {0};
    if (o.response != NULL) t = timing_of(&o);
    printf("  %-31s %-9s %5.2f %7.2f %6.2f %7.2f %7.2f\n", what, seen, t.dns, t.connect, t.tls, t.first_byte, t.total);
    if (o.error != 0) print_error(o.error, o.why);
    expect(strcmp(seen, wanted) == 0, wanted);
    if (*first == NULL) {
        *first = o.response;
        o.response = NULL;
    }
    outcome_release(&o);
}

static void handshakes(const char *certificates, const char *port)
{
    char url[64];
    snprintf(url, sizeof url, "https://localhost:%s/", port);
    chttp_tls *tls = settings((trust){certificates, NULL, NULL, 13});
    chttp_tls *another = settings((trust){certificates, NULL, NULL, 13});
    chttp_tls *older = settings((trust){certificates, NULL, NULL, 12});
    client one = client_open(1, 8), two = client_open(1, 8);
    chttp_response *agreed = NULL, *before = NULL;
    title("https: full handshakes, sessions that go on, connections that are kept");
    printf("  %s%-31s %-9s %s%s\n", DIM, url, "", "milliseconds", PLAIN);
    printf("  %s%-31s %-9s %5s %7s %6s %7s %7s%s\n", DIM, "", "handshake", "dns", "connect", "tls", "1stbyte", "total",
           PLAIN);
    handshake(&one, "the first request", url, tls, 0, &agreed, "full");
    handshake(&one, "the second, then a close", url, tls, CHTTP_REQ_CLOSE, &agreed, "none");
    handshake(&one, "the third: a new connection", url, tls, 0, &agreed, "resumed");
    handshake(&two, "another engine, same chttp_tls", url, tls, 0, &agreed, "resumed");
    handshake(&two, "another chttp_tls", url, another, 0, &agreed, "full");
    handshake(&two, "no more than TLS 1.2", url, older, 0, &before, "full");
    putchar('\n');
    print_tls("the first request: ", agreed);
    print_tls("the last one: ", before);
    chttp_release(agreed);
    chttp_release(before);
    client_close(&one);
    client_close(&two);
    chttp_tls_release(tls);
    chttp_tls_release(another);
    chttp_tls_release(older);
}

static void client_certificate(const char *certificates, const char *port)
{
    char url[64];
    snprintf(url, sizeof url, "https://127.0.0.1:%s/whoami", port);
    chttp_tls *tls = settings((trust){certificates, "client.pem", NULL, 13});
    client c = client_open(1, 8);
    chttp_request request = request_for("GET", url);
    request.flags = CHTTP_REQ_COLLECT;
    request.tls = tls;
    outcome o = fetch(&c, &request);
    title("A client certificate");
    printf("  GET %s: %.*s\n", url, (int)strcspn(o.start, "\n"), o.start);
    if (o.error != 0) print_error(o.error, o.why);
    expect(strcmp(o.start, "chttpcore demo client\n") == 0, "the server knows who we are");
    outcome_release(&o);
    client_close(&c);
    chttp_tls_release(tls);
}

static void refusals(const char *certificates, const char *port, const char *mutual_port)
{
    static const char other_key[] = "sha256/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    const struct {
        const char *what, *url, *port, *pins;
        int32_t code;
    } cases[] = {
        {"nobody we trust knows the authority", "https://stranger.test/", port, NULL, CHTTP_E_TLS_CERT_UNKNOWN_CA},
        {"the certificate is for other names", "https://wrong.test/", port, NULL, CHTTP_E_TLS_CERT_NAME},
        {"the certificate has expired", "https://expired.test/", port, NULL, CHTTP_E_TLS_CERT_EXPIRED},
        {"another key is pinned", "https://demo.test/", port, other_key, CHTTP_E_TLS_PIN},
        {"the server wants to know who we are", "https://demo.test/", mutual_port, NULL, CHTTP_E_TLS_ALERT},
    };
    title("Refused by TLS, as a user meets it");
    printf("  %sconnect_to sends these names to the demo's server; there is nothing to resolve%s\n", DIM, PLAIN);
    client c = client_open(1, 8);
    for (size_t i = 0; i < COUNT(cases); i++) {
        char to[32];
        snprintf(to, sizeof to, "127.0.0.1:%s", cases[i].port);
        chttp_tls *tls = settings((trust){certificates, NULL, cases[i].pins, 13});
        chttp_request request = request_for("GET", cases[i].url);
        request.connect_to = to;
        request.connect_to_len = CHTTP_NUL_TERMINATED;
        request.tls = tls;
        outcome o = fetch(&c, &request);
        printf("\n  GET %s  %s(%s)%s\n", cases[i].url, DIM, cases[i].what, PLAIN);
        if (o.error != 0) print_error(o.error, o.why);
        expect(o.error == cases[i].code, chttp_error_name(cases[i].code));
        outcome_release(&o);
        chttp_tls_release(tls);
    }
    client_close(&c);
}

void over_tls(const char *certificates, const char *port, const char *mutual_port, double seconds)
{
    handshakes(certificates, port);
    client_certificate(certificates, mutual_port);
    refusals(certificates, port, mutual_port);

    char url[64];
    snprintf(url, sizeof url, "https://127.0.0.1:%s/", port);
    chttp_tls *tls = settings((trust){certificates, NULL, NULL, 13});
    under_load("Under load: https, with a server in Python, which is the slower side", 1, url, tls, seconds);
    chttp_tls_release(tls);
}
