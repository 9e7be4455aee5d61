/*
 * The server of the demo: prints "port N" and serves on 127.0.0.1 until its standard input ends, so that it never
 * outlives the demo that started it. The routes are described in c_tests/support/test_server.h.
 */
#include "../../c_tests/support/test_server.h"

#include <stdio.h>

int main(void)
{
    struct test_server_counters counters = {0};
    uint16_t port;
    int listener = test_server_listen(&port);
    if (listener < 0) {
        perror("listen");
        return 1;
    }
    printf("port %u\n", port);
    fflush(stdout);
    if (test_server_serve(listener, 0, &counters) < 0) {
        perror("serve");
        return 1;
    }
    return 0;
}
