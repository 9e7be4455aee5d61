/*
 * One request at a time: get URL, http or https. The body goes to standard output.
 *
 * A server's certificate is verified against the system's authorities, or those that SSL_CERT_FILE names. If it is
 * refused, the message says which check failed and what the certificate is for.
 */
#include <chttpcore.h>

#include <stdio.h>

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: get URL\n");
        return 2;
    }
    chttp_engine *engine;
    chttp_response *response;
    chttp_error *error = NULL;
    if (chttp_engine_new(NULL, &engine, NULL) != 0) return 1;

    chttp_request request = {.size = sizeof request, .url = argv[1], .url_len = CHTTP_NUL_TERMINATED};
    int32_t code = chttp_perform(engine, &request, 30000000000u /* ns */, &response, &error);
    if (code == 0) {
        const char *body;
        size_t len;
        chttp_response_body(response, &body, &len);
        fprintf(stderr, "status %d, %zu bytes", (int)chttp_response_status(response), len);
        chttp_tls_info tls;
        if (chttp_response_tls(response, &tls, sizeof tls) == 0) {
            fprintf(stderr, ", TLS 1.%d, %s", tls.version == 12 ? 2 : 3, tls.cipher_suite);
        }
        fprintf(stderr, "\n");
        fwrite(body, 1, len, stdout);
        chttp_release(response);
    } else {
        char message[1024] = "";
        chttp_error_message(error, message, sizeof message);
        fprintf(stderr, "%s: %s\n", chttp_error_name(code), message);
        chttp_release(error);
    }
    chttp_engine_destroy(engine);
    return code != 0;
}
