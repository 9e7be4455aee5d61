/*
 * The queue's descriptor in a GLib main loop: glib URL [COUNT [IO_THREADS [TIMEOUT_MS [TICK_MS]]]]
 *
 * Particular here: G_SOURCE_CONTINUE keeps the source. g_unix_fd_add() is for the default main context, which is that
 * of GTK; another one takes g_unix_fd_source_new(). Remove the source before the queue is destroyed: poll() does not
 * notice that a descriptor was closed, and its number may be in use again.
 */
#include <chttpcore.h>

#include <glib-unix.h>
#include <stdio.h>
#include <stdlib.h>

static chttp_engine *engine;
static chttp_queue *queue;
static const char *url;
static long left, flying, answers, errors, ticks;
static GMainLoop *loop;

static void submit_more(void)
{
    chttp_request request = {.size = sizeof request, .url = url, .url_len = CHTTP_NUL_TERMINATED};
    request.flags = CHTTP_REQ_COLLECT; /* each answer as one event */
    for (; flying < 4 && left > 0; left--) {
        *(chttp_submit(engine, queue, &request, 1, 0, NULL, NULL) == 0 ? &flying : &errors) += 1;
    }
}

static gboolean on_readable(gint fd, GIOCondition what, gpointer user)
{
    (void)fd, (void)what, (void)user;
    chttp_event events[64];
    int32_t n = chttp_queue_drain(queue, events, 64, 0);
    for (int32_t i = 0; i < n; i++) {
        if (events[i].flags & CHTTP_EF_TERMINAL) flying--, *(events[i].error == 0 ? &answers : &errors) += 1;
    }
    if (n > 0) chttp_events_release(events, (uint32_t)n, 0);
    submit_more();
    if (flying == 0) g_main_loop_quit(loop);
    return G_SOURCE_CONTINUE;
}

static gboolean on_tick(gpointer user)
{
    (void)user;
    ticks++;
    return G_SOURCE_CONTINUE;
}

int main(int argc, char **argv)
{
    long options[] = {20, 1, 30000, 10}; /* COUNT, IO_THREADS, TIMEOUT_MS, TICK_MS */
    if (argc < 2) return 2;
    for (int i = 2; i < argc && i < 6; i++) options[i - 2] = strtol(argv[i], NULL, 10);
    url = argv[1], left = options[0];
    chttp_config *config = NULL;
    int32_t code = chttp_config_new(&config);
    if (code == 0) code = chttp_config_set_i64(config, CHTTP_OPT_IO_THREADS, options[1], NULL);
    if (code == 0) code = chttp_config_set_i64(config, CHTTP_OPT_TOTAL_TIMEOUT_NS, options[2] * 1000000, NULL);
    if (code == 0) code = chttp_engine_new(config, &engine, NULL);
    if (code == 0) code = chttp_queue_new(engine, &queue);
    chttp_config_free(config);
    if (code != 0) return fprintf(stderr, "%s\n", chttp_error_name(code)), 1;

    loop = g_main_loop_new(NULL, FALSE);
    guint timer = options[3] > 0 ? g_timeout_add((guint)options[3], on_tick, NULL) : 0;
    guint watch = g_unix_fd_add(chttp_queue_fd(queue), G_IO_IN, on_readable, NULL);
    submit_more();
    if (flying > 0) g_main_loop_run(loop);
    g_source_remove(watch);
    if (timer != 0) g_source_remove(timer);
    g_main_loop_unref(loop);
    chttp_queue_destroy(queue);
    chttp_engine_destroy(engine);
    printf("%ld answers, %ld errors, %ld ticks\n", answers, errors, ticks);
    return errors != 0;
}
