/*
 * A small HTTP/1.1 server on loopback for the tests and the demo. One process, one thread, epoll; quick enough to
 * keep up with a client that is being measured.
 *
 * The server is a forked child of the test, not a thread of it: a test can count its own descriptors and threads,
 * and fork, without finding the server among them. The child ends when the test ends, however that happens.
 *
 * Routes (N, M, MS are decimal; a query is ignored):
 *
 *   /                 "hello\n"
 *   /bytes/N          N bytes of the pattern, with Content-Length
 *   /chunked/N/M      the same in chunks of M bytes; the first chunk has an extension, a trailer follows
 *                     ("X-Length: N")
 *   /close/N          the same without a length: the end of the connection ends the body
 *   /drip/N/MS        N bytes with Content-Length, one every MS milliseconds
 *   /cut/N/M          announces N bytes, sends M and closes
 *   /head/N           a response with a field "X-Pad" of N bytes
 *   /headers          the request's head, as received, as the body
 *   /echo             the request's body as the body (Content-Length or chunked)
 *   /count            the number of bytes in the request's body, in decimal and "\n"
 *   /trailers         the request's trailer section, as received, as the body
 *   /status/NNN       that status; the body is "NNN\n" where the status admits one
 *   /delay/MS         "hello\n" after MS milliseconds
 *   /hang             never answers
 *   /reset            resets the connection instead of answering
 *   /stale/MS         "hello\n", keep-alive; closes the connection MS milliseconds later
 *   /garbage          bytes that are not HTTP, then closes
 *   /hints[/N]        103 (N times), then 200 "hello\n"
 *   /continue         100 if the request has "Expect: 100-continue", then as /echo. No other route sends 100.
 *   /early413         413 before the body is read, then closes; /early413/keep reads the body and stays
 *   /redirect[/N[/S]] status S (302) with Location "/redirect/N-1/S" or, at the end, "/"
 *   /upgrade          101 and a raw echo; /upgrade/hello sends "hello\n" in the same segment as the 101
 *   /ws               a WebSocket for the key of RFC 6455 section 1.3 that sends back what it gets; /ws/chat chooses the
 *                     subprotocol "chat", /ws/hello sends "hello" and a PING with the 101; see ws_run() for more
 *   /events/N/M       text/event-stream: events with the ids from that behind "Last-Event-ID" on, M of them and a half,
 *                     then closes; 204 when N is reached
 *   CONNECT           200 and a raw echo, whatever the target
 *
 * All else is 404. HEAD gives the head alone. "Connection: close" and HTTP/1.0 close after the response.
 */
#ifndef TEST_SERVER_H
#define TEST_SERVER_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct test_server_counters {
    _Atomic uint64_t accepted; /* connections */
    _Atomic uint64_t closed;   /* connections */
    _Atomic uint64_t requests; /* complete heads */
};

struct test_server {
    uint16_t port; /* on 127.0.0.1 */
    struct test_server_counters *counters;
    pid_t pid;
    int lifeline; /* the child ends when this is closed */
};

/* 0, or -1 with errno. Call it before threads exist. */
int test_server_start(struct test_server *server);

/* Kills the child and waits for it. Connections that are open are closed by the kernel. */
void test_server_stop(struct test_server *server);

/* "http://127.0.0.1:PORT" and `path`, in `buffer`; returns `buffer`. */
const char *test_server_url(const struct test_server *server, const char *path, char *buffer, size_t size);

/* Byte `index` of every patterned body: printable, with a period of 61, which divides no buffer's size. */
char test_server_pattern(uint64_t index);

/* Listens on 127.0.0.1 at a port of the kernel's choice. Returns the descriptor, or -1 with errno. */
int test_server_listen(uint16_t *port);

/* Serves in this process until `lifeline` reports its end. 0, or -1 with errno. */
int test_server_serve(int listener, int lifeline, struct test_server_counters *counters);

#endif
