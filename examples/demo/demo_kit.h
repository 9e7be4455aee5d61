/* What the parts of the demo share: printing, an engine with its queue, one exchange, and requests by the thousand. */
#ifndef DEMO_KIT_H
#define DEMO_KIT_H

#include <chttpcore.h>

#include <stddef.h>
#include <stdint.h>

#define COUNT(array) (sizeof(array) / sizeof(array)[0])
#define SECOND 1000000000u
#define WIDTH 80
#define BATCH 256

/* ---- printing ---- */

extern int on_terminal;
extern int unexpected; /* how many things were not as they should be */

/* The code, if colours are wanted, else "". */
const char *colour(const char *code);

#define BOLD colour("\033[1m")
#define RED colour("\033[31m")
#define GREEN colour("\033[32m")
#define DIM colour("\033[2m")
#define PLAIN colour("\033[0m")

void title(const char *text);
/* Text between two words of which no line gets longer than WIDTH. */
void wrapped(int indent, const char *text);
/* 1234567 as "1,234,567", in one of a few static buffers. */
const char *grouped(uint64_t number);
double ms(uint64_t ns);
uint64_t now_ns(void);
void expect(int is_so, const char *what);
/* For what the demo cannot go on without; `code` of 0: errno says why. */
_Noreturn void give_up(const char *what, int32_t code, chttp_error *error);

/* ---- an engine and a queue ---- */

typedef struct {
    chttp_engine *engine;
    chttp_queue *queue;
} client;

/* `connections` is how many there may be to one host. */
client client_open(int io_threads, int connections);
void client_close(client *c);

/* ---- one exchange ---- */

typedef struct {
    int32_t error;
    chttp_error *why;         /* NULL after success */
    chttp_response *response; /* NULL if no head came */
    chttp_response *trailers; /* NULL if none came */
    uint64_t bytes, pieces, total_ns;
    char start[32]; /* the first bytes of the body */
} outcome;

chttp_request request_for(const char *method, const char *url);
outcome fetch(client *c, const chttp_request *request);
void outcome_release(outcome *o);
int32_t status_of(const outcome *o);
/* Wait for events and give each to `handle`, until it returns non-zero. */
void until(client *c, int (*handle)(void *, chttp_event *), void *context);
/* Note what an event says. Objects that the outcome keeps are taken out of the event. Returns whether it was the last. */
int note(outcome *o, chttp_event *event);

/* Milliseconds: the name, the connection without the name and TLS, the handshake, from the sent request to the answer. */
typedef struct {
    double dns, connect, tls, first_byte, total;
} split_timing;

split_timing timing_of(const outcome *o);

/* An error as a user meets it: the code, the message, and whether the request may be sent again. */
void print_error(int32_t code, const chttp_error *why);
/* What was agreed on for TLS, behind a few words; nothing for a plain connection. */
void print_tls(const char *before, const chttp_response *response);

/* ---- the larger parts ---- */

/* Requests for `url`, as many as are possible in `seconds`. */
void under_load(const char *what, int io_threads, const char *url, const chttp_tls *tls, double seconds);
/* Everything about https; `certificates` is the directory of the demo's own. */
void over_tls(const char *certificates, const char *port, const char *mutual_port, double seconds);

#endif
