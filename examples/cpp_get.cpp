/*
 * Fetches URLs in C++, all at once over one descriptor: cpp_get URL... Each line is a URL's status and length, or why it failed.
 */
#include <chttpcore.hpp>

#include <chrono>
#include <iostream>
#include <string>
#include <vector>

int main(int argc, char **argv)
{
    if (argc < 2) {
        std::cerr << "usage: " << argv[0] << " URL...\n";
        return 2;
    }
    const std::vector<std::string> urls(argv + 1, argv + argc);
    std::size_t left = urls.size(), failures = 0;
    try {
        chttpcore::config options;
        options.set(CHTTP_OPT_MAX_CONNECTIONS_PER_HOST, 16);
        chttpcore::engine engine(options);
        chttpcore::queue queue(engine);
        std::vector<std::uint64_t> lengths(urls.size());
        for (std::size_t i = 0; i < urls.size(); i++)
            queue.submit(chttpcore::request(urls[i]).token(i).total_timeout(std::chrono::seconds(30)));
        queue.run([&](chttpcore::event &event) {
            if (event.kind == CHTTP_EV_BODY) lengths[event.token] += event.len;
            if (!event.is_terminal()) return true;
            std::cout << urls[event.token] << ": ";
            if (event.failed()) {
                failures++;
                const chttpcore::error why = event.failure();
                std::cout << why.what() << (why.retryable() ? " (it may be tried again)" : "") << '\n';
            } else {
                std::cout << event.arg << ", " << lengths[event.token] << " bytes\n";
            }
            return --left > 0;
        });
    } catch (const chttpcore::error &error) {
        std::cerr << error.what() << '\n';
        return 1;
    }
    return failures > 0;
}
