/*
 * The queue's descriptor in Boost.Asio: asio URL [COUNT [IO_THREADS [TIMEOUT_MS [TICK_MS]]]]
 *
 * Particular here: async_wait() waits once, so each handler drains and waits again. A stream_descriptor closes what it
 * holds, and this one is the library's: release() before the queue is destroyed. Several threads in run(): a strand.
 */
#include <chttpcore.h>

#include <boost/asio.hpp>
#include <cstdio>
#include <cstdlib>

namespace asio = boost::asio;

struct Client {
    asio::io_context loop;
    asio::posix::stream_descriptor descriptor{loop};
    asio::steady_timer timer{loop};
    chttp_engine *engine = nullptr;
    chttp_queue *queue = nullptr;
    const char *url = nullptr;
    long options[4] = {20, 1, 30000, 10}; // COUNT, IO_THREADS, TIMEOUT_MS, TICK_MS
    long left = 0, flying = 0, answers = 0, errors = 0, ticks = 0;

    int32_t start()
    {
        left = options[0];
        chttp_config *config = nullptr;
        int32_t code = chttp_config_new(&config);
        if (code == 0) code = chttp_config_set_i64(config, CHTTP_OPT_IO_THREADS, options[1], nullptr);
        if (code == 0) code = chttp_config_set_i64(config, CHTTP_OPT_TOTAL_TIMEOUT_NS, options[2] * 1000000, nullptr);
        if (code == 0) code = chttp_engine_new(config, &engine, nullptr);
        if (code == 0) code = chttp_queue_new(engine, &queue);
        chttp_config_free(config);
        if (code == 0) descriptor.assign(chttp_queue_fd(queue));
        return code;
    }
    void step()
    {
        chttp_request request{};
        request.size = sizeof request, request.flags = CHTTP_REQ_COLLECT;
        request.url = url, request.url_len = CHTTP_NUL_TERMINATED;
        for (; flying < 4 && left > 0; left--)
            ++(chttp_submit(engine, queue, &request, 1, 0, nullptr, nullptr) == 0 ? flying : errors);
        if (flying == 0) return loop.stop();
        auto then = [this](boost::system::error_code e) { if (!e) on_readable(); };
        descriptor.async_wait(descriptor.wait_read, then);
    }
    void on_readable()
    {
        chttp_event events[64];
        int32_t n = chttp_queue_drain(queue, events, 64, 0);
        for (int32_t i = 0; i < n; i++)
            if (events[i].flags & CHTTP_EF_TERMINAL) --flying, ++(events[i].error == 0 ? answers : errors);
        if (n > 0) chttp_events_release(events, static_cast<uint32_t>(n), 0);
        step();
    }
    void tick()
    {
        timer.expires_after(std::chrono::milliseconds(options[3]));
        timer.async_wait([this](boost::system::error_code e) { if (!e) ++ticks, tick(); });
    }
};

int main(int argc, char **argv)
{
    Client client;
    if (argc < 2) return 2;
    for (int i = 2; i < argc && i < 6; i++) client.options[i - 2] = std::strtol(argv[i], nullptr, 10);
    client.url = argv[1];
    if (int32_t code = client.start()) return std::fprintf(stderr, "%s\n", chttp_error_name(code)), 1;
    if (client.options[3] > 0) client.tick();
    client.step();
    client.loop.run();
    client.descriptor.release();
    chttp_queue_destroy(client.queue);
    chttp_engine_destroy(client.engine);
    std::printf("%ld answers, %ld errors, %ld ticks\n", client.answers, client.errors, client.ticks);
    return client.errors != 0;
}
