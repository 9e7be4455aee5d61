/*
 * Streams without HTTP and the mock in C++: network BASE. The server speaks HTTP, which is spoken to it by hand.
 */
#include <chttpcore_mock.hpp>

#include <cstdlib>
#include <iostream>

#define CHECK(condition)                                                                                               \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            std::cerr << __FILE__ << ':' << __LINE__ << ": CHECK(" #condition ")\n";                                   \
            std::_Exit(1);                                                                                             \
        }                                                                                                              \
    } while (0)

using namespace chttpcore;
using std::chrono::hours;
using std::chrono::seconds;

namespace {

const char *const HERE = "192.0.2.1:80";
const char *const TLS_HERE = "192.0.2.1:443";

/* The code that `attempt` throws. */
template <typename Attempt> int32_t thrown(Attempt &&attempt)
{
    try {
        attempt();
    } catch (const error &failure) {
        return failure.code();
    }
    return 0;
}

std::string all_of(stream &from)
{
    std::string whole, piece;
    while (!(piece = from.read()).empty())
        whole += piece;
    return whole;
}

/* ---- streams, in both drives ---- */

void a_stream_to_a_server(const engine &client, const std::string &base)
{
    const std::string large(300000, 'x');
    stream one(client, request(base));
    CHECK(one.descriptor() >= 0 && base.find(one.connection().peer()) != std::string::npos);
    view der = {nullptr, 0};
    CHECK(one.connection().alpn().empty() && !one.connection().certificate(0, der));
    one.write("POST /echo HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 300000\r\n\r\n");
    one.write(large);
    std::string answer = all_of(one);
    CHECK(answer.find("HTTP/1.1 200") == 0 && answer.find(large) != std::string::npos);
    CHECK(one.read().empty());
    one.end();
    one.end();
}

void it_has_its_time(const engine &client, const std::string &base)
{
    stream one(client, request(base));
    CHECK(thrown([&] { one.read(std::chrono::milliseconds(1)); }) == CHTTP_E_TIMED_OUT);
    one.write("GET / HTTP/1.0\r\n\r\n");
    CHECK(all_of(one).find("hello") != std::string::npos);
}

/* ---- the mock ---- */

void requests_on_a_mock()
{
    mock network;
    config options;
    engine client(network.use(options));
    network.resolve("service.test", "192.0.2.1");
    network.listen(HERE, script().refuse());
    network.listen_always(HERE, script().connect_delay(seconds(1)).expect_head().delay(hours(1)).send(
                                    "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", 1));
    request wanted = request("http://service.test/a").read_timeout(unlimited);
    CHECK(thrown([&] { client.perform(wanted); }) == CHTTP_E_CONNECT_REFUSED);
    std::chrono::nanoseconds before = network.now();
    CHECK(client.perform(wanted).body().str() == "hi");
    CHECK(network.now() - before == hours(1) + seconds(1));
    CHECK(network.connections() == 2 && network.connection(1).unread == 0);
    CHECK(network.sent(1) == "GET /a HTTP/1.1\r\nHost: service.test\r\n\r\n" && network.sent(0).empty());
    CHECK(network.mismatches().empty());
    CHECK(thrown([&] { network.connection(2); }) == CHTTP_E_NOT_FOUND);
    CHECK(thrown([&] { network.extend(2, script()); }) == CHTTP_E_NOT_FOUND);
    CHECK(thrown([&] { network.listen("nowhere", script()); }) == CHTTP_E_INVALID_ROUTE);
    CHECK(thrown([&] { network.listen(HERE, script().again()); }) == CHTTP_E_INVALID_ARG);
    CHECK(thrown([&] { network.resolve("x.test", "no address"); }) == CHTTP_E_INVALID_ROUTE);
    CHECK(thrown([&] { engine second(options); }) == CHTTP_E_BAD_STATE);
}

void a_stream_on_a_mock()
{
    mock network;
    config options;
    engine client(network.use(options));
    network.listen(HERE, script().expect("ping").send("pong").expect_bytes(2).short_writes(1).delay(seconds(5)));
    {
        stream one(client, request("http://192.0.2.1"));
        CHECK(thrown([&] { one.descriptor(); }) == CHTTP_E_BAD_STATE);
        one.write("ping");
        CHECK(one.read() == "pong");
        one.write("ab");
        CHECK(thrown([&] { one.read(seconds(1)); }) == CHTTP_E_TIMED_OUT);
        network.extend(0, script().send("late").expect_end().close());
        CHECK(one.read() == "late");
        one.end();
        CHECK(one.read().empty());
    }
    CHECK(network.sent(0) == "pingab" && network.mismatches().empty());
    CHECK((network.connection(0).flags & CHTTP_MOCK_FINISHED) != 0);
    network.listen(HERE, script().expect("a").reset());
    {
        stream one(client, request("http://192.0.2.1"));
        one.write("b");
        CHECK(thrown([&] { one.read(); }) < 0);
    }
    CHECK(network.mismatches().find("expected \"a\", got \"b\"") != std::string::npos);
    network.listen(HERE, script().hang());
    CHECK(thrown([&] { stream one(client, request("http://192.0.2.1"), seconds(1)); }) == CHTTP_E_TIMED_OUT);
    std::chrono::nanoseconds at(0);
    network.advance(seconds(1));
    network.next_event(at);
    CHECK(at >= network.now());
}

void no_tls_is_spoken()
{
    mock network;
    config options;
    engine client(network.use(options));
    network.listen(HERE, script().expect("STARTTLS\n").send("go on\n").expect_bytes(100).send("what do you want?\n"));
    stream one(client, request("http://192.0.2.1"));
    one.write("STARTTLS\n");
    CHECK(one.read() == "go on\n");
    try {
        one.start_tls("x.test");
        CHECK(false);
    } catch (const error &failure) {
        CHECK(std::string(failure.category()) == "tls" && failure.phase() == CHTTP_PHASE_TLS);
    }
    CHECK(thrown([&] { one.start_tls("x.test"); }) < 0 && thrown([&] { one.write("x"); }) < 0);
    CHECK(thrown([&] { one.read(); }) < 0);
    CHECK(network.sent(0).find("x.test") != std::string::npos);
}

void tls_on_a_mock()
{
    mock network;
    config options;
    options.set_bytes(CHTTP_OPT_TLS_CA_PEM, network.authority());
    engine client(network.use(options));
    network.resolve("service.test", "192.0.2.1");
    network.listen(TLS_HERE, script().tls().expect_head().send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"));
    request wanted("https://service.test/a");
    CHECK(client.perform(wanted.flags(CHTTP_REQ_CLOSE)).body().str() == "hi");
    CHECK((network.connection(0).flags & CHTTP_MOCK_SECURED) != 0);
    CHECK(network.sent(0).find("GET /a HTTP/1.1\r\n") == 0);
    chttp_mock_tls settings = chttp_mock_tls();
    settings.flags = CHTTP_MOCK_TLS_EXPIRED;
    network.listen(TLS_HERE, script().tls(settings));
    CHECK(thrown([&] { client.perform(wanted); }) == CHTTP_E_TLS_CERT_EXPIRED);
    settings.flags = 0;
    settings.alert = 80;
    network.listen(TLS_HERE, script().tls(settings));
    CHECK(thrown([&] { client.perform(wanted); }) == CHTTP_E_TLS_ALERT);
    network.listen(TLS_HERE, script().tls().expect_head().send("HTTP/1.1 200 OK\r\n\r\nhi").cut());
    CHECK(thrown([&] { client.perform(wanted); }) == CHTTP_E_TRUNCATED_BODY);
    network.listen(HERE, script().expect("STARTTLS\n").send("go on\n").tls().expect("ping").send("pong").close());
    stream one(client, request("http://192.0.2.1"));
    one.write("STARTTLS\n");
    CHECK(one.read() == "go on\n");
    one.start_tls("service.test");
    one.write("ping");
    CHECK(one.read() == "pong" && one.read().empty());
    CHECK(network.sent(4) == "STARTTLS\nping" && network.mismatches().empty());
}

} // namespace

int main(int argc, char **argv)
{
    if (argc != 2) return 2;
    for (int io_threads = 0; io_threads < 2; io_threads++) {
        config options;
        options.set(CHTTP_OPT_IO_THREADS, io_threads);
        engine client(options);
        a_stream_to_a_server(client, argv[1]);
        it_has_its_time(client, argv[1]);
    }
    requests_on_a_mock();
    a_stream_on_a_mock();
    no_tls_is_spoken();
    tls_on_a_mock();
    std::cout << "as in C\n";
    return 0;
}
