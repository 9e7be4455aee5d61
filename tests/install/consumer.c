/*
 * Fetches a URL with what was installed: consumer URL.
 */
#include <chttpcore.h>

#include <stdio.h>

int main(int argc, char **argv)
{
    chttp_engine *engine = NULL;
    chttp_response *response = NULL;
    chttp_request request = {.size = sizeof request};
    if (argc != 2 || chttp_version() != CHTTP_VERSION) return 1;
    request.url = argv[1];
    request.url_len = CHTTP_NUL_TERMINATED;
    if (chttp_engine_new(NULL, &engine, NULL) != 0) return 1;
    int32_t code = chttp_perform(engine, &request, CHTTP_UNLIMITED, &response, NULL);
    if (code == 0) printf("status %d\n", (int)chttp_response_status(response));
    chttp_release(response);
    chttp_engine_destroy(engine);
    return code != 0;
}
