/*
 * Mutual TLS: mtls URL CA_FILE CERT_FILE PIN [ADDRESS]
 *
 * Trusts the authorities in CA_FILE alone, shows the client certificate in CERT_FILE (its private key stands behind it),
 * and goes on only if the key that PIN names is in the server's chain. ADDRESS (127.0.0.1:8443) is where to connect to
 * instead of the URL's host, which stays the name that the certificate must be for.
 *
 * The settings are read once, into a chttp_tls, and shared by two engines: the second has no full handshake to make,
 * because the sessions belong to the settings.
 */
#include <chttpcore.h>

#include <stdio.h>

static int32_t explain(const char *what, int32_t code, chttp_error *error)
{
    char message[1024] = "";
    chttp_error_message(error, message, sizeof message);
    fprintf(stderr, "%s: %s: %s\n", what, chttp_error_name(code), message);
    chttp_release(error);
    return code;
}

static int32_t settings(char **arguments, chttp_tls **tls)
{
    static const uint32_t options[] = {CHTTP_OPT_TLS_CA_FILE, CHTTP_OPT_TLS_CERT_FILE, CHTTP_OPT_TLS_PINS};
    chttp_config *config;
    chttp_error *error = NULL;
    int32_t code = chttp_config_new(&config);
    for (int i = 0; code == 0 && i < 3; i++) {
        code = chttp_config_set_str(config, options[i], arguments[i], CHTTP_NUL_TERMINATED, &error);
    }
    if (code == 0) code = chttp_tls_new(config, tls, &error);
    chttp_config_free(config);
    return code == 0 ? 0 : explain("settings", code, error);
}

static int32_t fetch(const char *url, const char *address, const chttp_tls *tls)
{
    chttp_engine *engine;
    chttp_response *response = NULL;
    chttp_error *error = NULL;
    int32_t code = chttp_engine_new(NULL, &engine, &error);
    if (code != 0) return explain("engine", code, error);

    chttp_request request = {
        .size = sizeof request,
        .url = url,
        .url_len = CHTTP_NUL_TERMINATED,
        .tls = tls, /* without it, the engine's own settings: the system's authorities and no client certificate */
        .connect_to = address,
        .connect_to_len = address == NULL ? 0 : CHTTP_NUL_TERMINATED,
    };
    code = chttp_perform(engine, &request, 30000000000u /* ns */, &response, &error);
    if (code == 0) {
        chttp_tls_info info = {0};
        const char *body;
        size_t len;
        chttp_response_tls(response, &info, sizeof info);
        chttp_response_body(response, &body, &len);
        printf("status %d, TLS 1.%d, %s\n", (int)chttp_response_status(response), info.version == 12 ? 2 : 3,
               info.resumed ? "an earlier session went on" : "a full handshake");
        fwrite(body, 1, len, stdout);
        chttp_release(response);
    } else {
        explain(url, code, error);
    }
    chttp_engine_destroy(engine);
    return code;
}

int main(int argc, char **argv)
{
    if (argc != 5 && argc != 6) {
        fprintf(stderr, "usage: mtls URL CA_FILE CERT_FILE PIN [ADDRESS]\n");
        return 2;
    }
    chttp_tls *tls = NULL;
    if (settings(argv + 2, &tls) != 0) return 1;
    const char *address = argc == 6 ? argv[5] : NULL;
    int32_t code = fetch(argv[1], address, tls);
    if (code == 0) code = fetch(argv[1], address, tls);
    chttp_tls_release(tls);
    return code != 0;
}
