/* A peer that sends back what it hears, behind a tunnel, an Upgrade or a raw stream. */
#ifndef ECHO_H
#define ECHO_H

#include "engine.h"

/* So many bytes there and back, whatever bounds either side. WRITABLE comes when a write was refused, and at no other time. */
static inline void echo_bulk(chttp_engine *engine, chttp_queue *queue, chttp_xid xid, uint64_t total)
{
    uint64_t sent = 0, got = 0;
    int blocked = 0;
    char bytes[8000];
    while (got < total) {
        while (!blocked && sent < total) {
            size_t n = total - sent < sizeof bytes ? (size_t)(total - sent) : sizeof bytes;
            for (size_t i = 0; i < n; i++)
                bytes[i] = test_server_pattern(sent + i);
            int32_t code = chttp_body_write(engine, xid, bytes, n);
            CHECK(code == 0 || code == CHTTP_E_AGAIN);
            blocked = code != 0;
            sent += code == 0 ? n : 0;
        }
        chttp_event event = next_event(queue);
        if (event.kind == CHTTP_EV_WRITABLE) {
            CHECK(blocked);
            blocked = 0;
        } else {
            CHECK_EQ(event.kind, CHTTP_EV_BODY);
            for (uint64_t i = 0; i < event.len; i++)
                CHECK_EQ(event.data[i], test_server_pattern(got++));
        }
        event_free(&event);
    }
    CHECK_EQ(got, total);
}

#endif
