/*
 * TLS settings: a setting that cannot be used is told with its option's name and the rule, by chttp_tls_new() and by
 * chttp_engine_new(), and an engine that nobody gave a TLS option starts without a look at any of it.
 */
#define _GNU_SOURCE

#include "support/engine.h"

/* An authority of nobody's. */
static const char CA[] = "-----BEGIN CERTIFICATE-----\n"
                         "MIIBjzCCATWgAwIBAgIUa72drw8pcs5YKZGrcHPSJRHfZfYwCgYIKoZIzj0EAwIw\n"
                         "HDEaMBgGA1UEAwwRbGliY2h0dHBjb3JlIHRlc3QwIBcNMjYxMTI1MjMwMzQ2WhgP\n"
                         "MjEyNjExMDEyMzAzNDZaMBwxGjAYBgNVBAMMEWxpYmNodHRwY29yZSB0ZXN0MFkw\n"
                         "EwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEGghuhI3l4U4IWf0EqgHfadPUNNBYDRwU\n"
                         "/z5eGV2C2JyIZ7RG+AYEQXYegaPyNoOd6iM7SMcdPgGn7iKW1OvVaqNTMFEwHQYD\n"
                         "VR0OBBYEFDgKv5FAIowoqfypojxhGqp2Y2AxMB8GA1UdIwQYMBaAFDgKv5FAIowo\n"
                         "qfypojxhGqp2Y2AxMA8GA1UdEwEB/wQFMAMBAf8wCgYIKoZIzj0EAwIDSAAwRQIg\n"
                         "HZ/L+sAqlD00+OJFln4SxTTvhsso9RDsmQiIfxD4qA4CIQDIhFChCeHCRx4QbGVJ\n"
                         "LzCo/xB3st/+w3lSv65+xoSvHw==\n"
                         "-----END CERTIFICATE-----\n";

static void refused(const chttp_config *config, const char *option, const char *rule)
{
    chttp_tls *tls = NULL;
    chttp_engine *engine = NULL;
    char text[1024];
    for (int by_engine = 0; by_engine < 2; by_engine++) {
        chttp_error *error = NULL;
        int32_t code = by_engine ? chttp_engine_new(config, &engine, &error) : chttp_tls_new(config, &tls, &error);
        CHECK_EQ(code, CHTTP_E_INVALID_TLS);
        CHECK_EQ(chttp_error_code(error), CHTTP_E_INVALID_TLS);
        CHECK(chttp_error_message(error, text, sizeof text) > 0);
        CHECK(strstr(text, option) != NULL && strstr(text, rule) != NULL);
        CHECK(tls == NULL && engine == NULL);
        chttp_release(error);
        CHECK_EQ(by_engine ? chttp_engine_new(config, &engine, NULL) : chttp_tls_new(config, &tls, NULL), code);
    }
}

static void texts(void)
{
    static const struct {
        uint32_t option;
        const char *text, *name, *rule;
    } rows[] = {
        {CHTTP_OPT_TLS_CA_FILE, "/nonexistent/ca.pem", "option tls_ca_file: /nonexistent/ca.pem", "cannot be read"},
        {CHTTP_OPT_TLS_CA_FILE, "/dev/null", "option tls_ca_file: tls_ca_file /dev/null", "no certificate"},
        {CHTTP_OPT_TLS_CA_PEM, "nonsense", "option tls_ca_pem", "no certificate"},
        {CHTTP_OPT_TLS_CERT_FILE, "/nonexistent/cert.pem", "option tls_cert_file", "cannot be read"},
        {CHTTP_OPT_TLS_CERT_PEM, "nonsense", "option tls_cert_pem", "no certificate"},
        {CHTTP_OPT_TLS_CERT_PEM, CA, "option tls_cert_pem", "no private key"},
        {CHTTP_OPT_TLS_KEY_FILE, "/nonexistent/key.pem", "option tls_key_file", "cannot be read"},
        {CHTTP_OPT_TLS_KEY_PEM, "nonsense", "option tls_key_pem", "needs its certificate"},
        {CHTTP_OPT_TLS_SERVER_NAME, "no name", "option tls_server_name", "\"no name\""},
        {CHTTP_OPT_TLS_ALPN, "h2,,http/1.1", "option tls_alpn", "1 to 255 bytes"},
        {CHTTP_OPT_TLS_PINS, "sha256/AAAA", "option tls_pins", "sha256/AAAA"},
        {CHTTP_OPT_TLS_CRL_FILE, "/nonexistent/crl.pem", "option tls_crl_file", "cannot be read"},
        {CHTTP_OPT_TLS_CRL_PEM, "nonsense", "option tls_crl_pem", "no revocation list"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        chttp_config *config = NULL;
        CHECK_EQ(chttp_config_new(&config), 0);
        CHECK_EQ(chttp_config_set_bytes(config, CHTTP_OPT_TLS_CA_PEM, CA, strlen(CA), NULL), 0);
        chttp_option option;
        CHECK_EQ(chttp_option_describe(rows[i].option - 1, &option, sizeof option), 0);
        CHECK_EQ(chttp_config_set_named(config, option.name, Z, rows[i].text, Z, NULL), 0);
        refused(config, rows[i].name, rows[i].rule);
        chttp_config_free(config);
    }
}

static void numbers(void)
{
    chttp_config *config = NULL;
    CHECK_EQ(chttp_config_new(&config), 0);
    CHECK_EQ(chttp_config_set_i64(config, CHTTP_OPT_TLS_SYSTEM_ROOTS, 0, NULL), 0);
    refused(config, "option tls_system_roots", "nobody would be trusted");
    CHECK_EQ(chttp_config_set_bytes(config, CHTTP_OPT_TLS_CA_PEM, CA, strlen(CA), NULL), 0);
    CHECK_EQ(chttp_config_set_i64(config, CHTTP_OPT_TLS_MIN_VERSION, 13, NULL), 0);
    CHECK_EQ(chttp_config_set_i64(config, CHTTP_OPT_TLS_MAX_VERSION, 12, NULL), 0);
    refused(config, "option tls_min_version", "above the highest");
    chttp_config_free(config);
}

/* The environment names a store that is not there: only those notice who need it. */
static void system_store(void)
{
    CHECK_EQ(setenv("SSL_CERT_FILE", "/nonexistent/store.pem", 1), 0);
    CHECK_EQ(unsetenv("SSL_CERT_DIR"), 0);
    chttp_engine *engine = NULL;
    CHECK_EQ(chttp_engine_new(NULL, &engine, NULL), 0);
    CHECK_EQ(chttp_engine_destroy(engine), 0);
    chttp_config *config = NULL;
    CHECK_EQ(chttp_config_new(&config), 0);
    CHECK_EQ(chttp_config_set_i64(config, CHTTP_OPT_TLS_SESSION_CACHE, 0, NULL), 0);
    refused(config, "option tls_system_roots: the system's store (SSL_CERT_FILE=/nonexistent/store.pem)",
            "tls_ca_file can name another");
    /* Who trusts everybody needs no store. */
    CHECK_EQ(chttp_config_set_i64(config, CHTTP_OPT_TLS_INSECURE_NO_VERIFICATION, 1, NULL), 0);
    chttp_tls *tls = NULL;
    CHECK_EQ(chttp_tls_new(config, &tls, NULL), 0);
    chttp_tls_release(tls);
    chttp_config_free(config);
}

int main(void)
{
    chttp_config *config = NULL;
    chttp_tls *tls = NULL;
    chttp_error *error = NULL;
    CHECK_EQ(chttp_tls_new(NULL, NULL, &error), CHTTP_E_INVALID_ARG);
    chttp_release(error);
    chttp_tls_release(NULL);
    CHECK_EQ(chttp_config_new(&config), 0);
    CHECK_EQ(chttp_config_set_bytes(config, CHTTP_OPT_TLS_CA_PEM, CA, strlen(CA), NULL), 0);
    CHECK_EQ(chttp_tls_new(config, &tls, NULL), 0);
    chttp_config_free(config);
    chttp_tls_release(tls);
    texts();
    numbers();
    system_store();
    return 0;
}
