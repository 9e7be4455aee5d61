/*
 * chttpcore.hpp against a server: wrapper BASE. Each handle moves and lets go, failures are exceptions that say
 * everything, and what a function of ours throws passes through the library's calls. Compiled in every standard, and
 * with the sanitizers.
 */
#include <chttpcore.hpp>

#include <cstdlib>
#include <cstring>
#include <iostream>
#include <thread>
#include <type_traits>

#include <unistd.h>

#define CHECK(condition)                                                                                               \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            std::cerr << __FILE__ << ':' << __LINE__ << ": CHECK(" #condition ")\n";                                   \
            std::_Exit(1);                                                                                             \
        }                                                                                                              \
    } while (0)

using namespace chttpcore;

namespace {

std::string base;

std::string at(const std::string &path)
{
    return base + path;
}

/* The code that `attempt` throws. */
template <typename Attempt> int32_t thrown(Attempt &&attempt)
{
    try {
        attempt();
    } catch (const error &failure) {
        CHECK(std::string(failure.what()).find(failure.name()) == 0);
        return failure.code();
    }
    return 0;
}

template <typename T> constexpr bool only_moves()
{
    return std::is_nothrow_move_constructible<T>::value && std::is_nothrow_move_assignable<T>::value &&
           !std::is_copy_constructible<T>::value && !std::is_copy_assignable<T>::value;
}

static_assert(only_moves<config>() && only_moves<engine>() && only_moves<queue>() && only_moves<response>() &&
                  only_moves<buf>(),
              "handles have one owner");
static_assert(std::is_nothrow_copy_constructible<error>::value && std::is_copy_constructible<tls>::value &&
                  std::is_copy_constructible<request>::value && std::is_nothrow_move_constructible<events>::value,
              "these are shared or copied");
static_assert(std::is_base_of<std::runtime_error, error>::value, "an exception like others");

engine make(int io_threads)
{
    config options;
    options.set(CHTTP_OPT_IO_THREADS, io_threads)
        .set(CHTTP_OPT_CONNECT_TIMEOUT_NS, std::chrono::seconds(30))
        .set(CHTTP_OPT_TOTAL_TIMEOUT_NS, unlimited)
        .set(CHTTP_OPT_LOCAL_ADDRESS, "127.0.0.1")
        .set_named("max_connections_per_host", "32");
    return engine(options);
}

void options()
{
    config one;
    CHECK(thrown([&] { one.set(0, 1); }) == CHTTP_E_UNKNOWN_OPTION);
    CHECK(thrown([&] { one.set(CHTTP_OPT_IO_THREADS, 2); }) == CHTTP_E_OPTION_RANGE);
    CHECK(thrown([&] { one.set(CHTTP_OPT_IO_THREADS, "1"); }) == CHTTP_E_OPTION_TYPE);
    CHECK(thrown([&] { one.set_named("no_such_option", "1"); }) == CHTTP_E_UNKNOWN_OPTION);
    CHECK(thrown([&] { one.set_bytes(CHTTP_OPT_TLS_PINS, "x"); }) == CHTTP_E_OPTION_TYPE);
    try {
        one.set(CHTTP_OPT_IO_THREADS, 2);
        CHECK(false);
    } catch (const std::runtime_error &failure) {
        CHECK(std::strstr(failure.what(), "io_threads") != nullptr);
    }
    one.set(CHTTP_OPT_TLS_INSECURE_NO_VERIFICATION, 1);
    tls settings(one), shared(settings), assigned;
    assigned = shared;
    settings = tls();
    CHECK(assigned.get() == shared.get() && !settings);
    config two;
    two.set(CHTTP_OPT_TLS, assigned).set_log(CHTTP_LOG_OFF, nullptr, nullptr);
    engine secured(two);
    one.set(CHTTP_OPT_TLS_SERVER_NAME, "no name");
    CHECK(thrown([&] { tls refused(one); }) == CHTTP_E_INVALID_TLS);
    CHECK(thrown([&] { engine refused(one); }) == CHTTP_E_INVALID_TLS);
    config moved(std::move(one));
    CHECK(!one && moved);
    CHECK(thrown([&] { one.set(CHTTP_OPT_IO_THREADS, 1); }) == CHTTP_E_INVALID_ARG);
    one = std::move(moved);
    CHECK(one && !moved);
}

void performing(const engine &client)
{
    response answer = client.perform(request(at("/headers")).header("X-One", "1").header("X-Two", "a b"));
    CHECK(answer.status() == 200 && answer.version() == 11 && answer.reason() == "OK");
    std::string sent = answer.body().str();
    CHECK(sent.find("X-One: 1\r\nX-Two: a b\r\n") != std::string::npos);
    CHECK(answer.header("content-LENGTH") == std::to_string(sent.size()));
    CHECK(answer.header("x-none", "otherwise") == "otherwise");
    CHECK(answer.content_length() == static_cast<std::int64_t>(sent.size()));
    CHECK(answer.header_count() > 0 && !answer.header_at(0).first.empty());
    CHECK(thrown([&] { answer.header_at(1000); }) == CHTTP_E_NOT_FOUND);
    CHECK(answer.timing().first_byte_ns > 0 && answer.attempt() == 1 && answer.connection_reason() > 0);
    CHECK(base.find(answer.peer()) != std::string::npos && answer.local().find("127.0.0.1:") == 0);
    chttp_tls_info info;
    CHECK(!answer.tls(info));

    /* What outlives what. */
    view body = answer.body();
    response kept(std::move(answer));
    CHECK(!answer && kept.body().data == body.data);
    CHECK(thrown([&] { answer.status(); }) == CHTTP_E_INVALID_ARG);
    answer = client.perform(request(at("/")));
    CHECK(answer.connection_reused() && answer.body().str() == "hello\n");

    /* Bodies, and no field that a value smuggles in. */
    std::string large(300000, 'x');
    CHECK(client.perform(request(at("/count")).method("POST").body("12345")).body().str() == "5\n");
    CHECK(client.perform(request(at("/count")).method("POST").body(large)).body().str() == "300000\n");
    CHECK(client.perform(request(at("/count")).method("POST").body_at(large.data(), 7)).body().str() == "7\n");
    CHECK(thrown([&] { client.perform(request(at("/")).header("A", "b\r\nC: d")); }) == CHTTP_E_INVALID_HEADER);
    CHECK(thrown([&] { client.perform(request("ftp://x/")); }) == CHTTP_E_UNSUPPORTED_SCHEME);
    CHECK(thrown([&] { client.perform(request("")); }) == CHTTP_E_INVALID_URL);
    CHECK(thrown([&] { client.perform(request(at("/")).body_stream()); }) == CHTTP_E_INVALID_BODY);
    CHECK(thrown([&] { client.perform(request(at("/hang")), std::chrono::milliseconds(5)); }) == CHTTP_E_TIMED_OUT);
    CHECK(thrown([&] { client.perform(request(at("/hang")).total_timeout(std::chrono::nanoseconds(0))); }) ==
          CHTTP_E_TIMEOUT_TOTAL);
    try {
        client.perform(request(at("/cut/100/40")));
        CHECK(false);
    } catch (const error &failure) {
        error copy(failure), other(CHTTP_E_CANCELLED);
        CHECK(std::strcmp(other.category(), "closed") == 0 && other.get() == nullptr && !other.retryable());
        other = copy;
        other = *&other;
        CHECK(other.code() == CHTTP_E_TRUNCATED_BODY && std::strcmp(other.name(), "CHTTP_E_TRUNCATED_BODY") == 0);
        CHECK(other.phase() == CHTTP_PHASE_RECEIVING && other.attempt() == 1 && other.request_bytes_sent() > 0);
        CHECK(base.find(other.peer()) != std::string::npos && other.os_errno() == 0 && other.native() == 0);
    }
}

void by_descriptor(const engine &client, const queue &events_of)
{
    std::vector<request> many;
    for (unsigned i = 0; i < 100; i++)
        many.push_back(request(at("/bytes/" + std::to_string(i))).collect().token(i));
    many.push_back(request(at("/reset")).method("POST").token(100));
    std::vector<xid> exchanges = events_of.submit(many);
    CHECK(exchanges.size() == many.size() && exchanges[0] != exchanges[1]);
    std::size_t left = many.size(), failures = 0;
    events_of.run([&](event &each) {
        CHECK(each.xid == exchanges[each.token]);
        if (each.failed()) {
            failures++;
            CHECK(each.token == 100);
            CHECK(thrown([&] { each.throw_if_failed(); }) == each.failure().code());
        } else if (each.is_terminal()) {
            CHECK(each.kind == CHTTP_EV_RESPONSE && each.len == each.token && each.bytes().size == each.token);
        }
        return !each.is_terminal() || --left > 0;
    });
    CHECK(left == 0 && failures == 1);
    CHECK(client.stats().exchanges == 0);
    CHECK(!client.cancel(exchanges[0]));
    CHECK(thrown([&] { client.write(exchanges[0], "x"); }) == CHTTP_E_NOT_FOUND);
}

void pieces(const engine &client, const queue &events_of)
{
    /* Far more than the credit: what was looked at is released before the next sleep. */
    std::uint64_t whole = 0;
    events_of.submit(request(at("/bytes/8000000")).credit(100000));
    events_of.run([&](event &each) {
        CHECK(!each.failed());
        whole += each.len;
        return !each.is_terminal();
    });
    CHECK(whole == 8000000);

    /* Some are kept beyond their batch, and beyond the exchange. */
    std::vector<buf> kept;
    response head;
    std::size_t length = 0;
    xid exchange = events_of.submit(request(at("/bytes/500000")).credit(1 << 20));
    events batch(4);
    for (bool last = false; !last;) {
        if (!events_of.wait(batch)) continue;
        CHECK(!batch.empty() && batch.size() <= 4 && batch[0].xid == exchange);
        for (event &each : batch) {
            length += each.len;
            last |= each.is_terminal();
            if (each.kind == CHTTP_EV_HEADERS) head = each.take_response();
            if (each.kind == CHTTP_EV_BODY && kept.size() < 3) kept.push_back(each.take_buf());
        }
    }
    CHECK(length == 500000 && head.status() == 200 && !kept.empty());
    for (const buf &piece : kept)
        CHECK(piece.bytes().size > 0 && piece.bytes().str().size() == piece.bytes().size);
    events taken(std::move(batch));
    CHECK(batch.empty());

    /* An upload that says when there is room. */
    exchange = events_of.submit(request(at("/count")).method("POST").body_stream().collect());
    const std::string piece(50000, 'y');
    std::size_t to_write = 40;
    std::string answer;
    while (to_write > 0 && client.write(exchange, piece))
        to_write--;
    if (to_write == 0) client.end(exchange);
    events_of.run([&](event &each) {
        if (each.kind == CHTTP_EV_WRITABLE) {
            while (to_write > 0 && client.write(exchange, piece))
                to_write--;
            if (to_write == 0) client.end(exchange);
        }
        if (each.is_terminal()) answer = each.bytes().str();
        return !each.is_terminal();
    });
    CHECK(answer == "2000000\n");
    CHECK(!client.end(exchange));
}

/* What is thrown comes out, and the queue goes on. */
/* A stream of events, over many connections and without a second one. */
void streams_of_events(const queue &events_of)
{
    request wanted = request(at("/events/20/6")).sse(CHTTP_SSE_RECONNECT, "5").sse_attempts(3);
    wanted.sse_waits(std::chrono::milliseconds(1), std::chrono::seconds(1));
    request copy(wanted);
    events_of.submit(copy);
    events batch;
    int told = 0, lost = 0;
    for (bool over = false; !over;) {
        events_of.wait(batch);
        for (event &each : batch) {
            each.throw_if_failed();
            if (each.kind == CHTTP_EV_SSE) {
                std::string number = std::to_string(6 + told++);
                chttp_sse_event fields = each.sse();
                CHECK((each.bytes().str() == "number " + number && std::string(fields.id, fields.id_len) == number));
                CHECK((std::string(fields.event_type, fields.event_type_len) == "count" && fields.retry_ms == -1));
            } else if (each.kind == CHTTP_EV_SSE_RECONNECT) {
                CHECK(each.failure().code() == CHTTP_E_SSE_ENDED && !each.failed());
                lost++;
            } else {
                CHECK(thrown([&] { each.sse(); }) == CHTTP_E_INVALID_ARG);
            }
            over = over || each.is_terminal();
        }
    }
    CHECK(told == 15 && lost == 3);
    CHECK(thrown([&] { events_of.submit(request(at("/")).sse().collect()); }) == CHTTP_E_INVALID_ARG);
    CHECK(thrown([&] { events_of.submit(request(at("/")).sse(0, "\n")); }) == CHTTP_E_INVALID_HEADER);
}

void exceptions(const queue &events_of)
{
    struct stop {};
    for (int way = 0; way < 3; way++) {
        events_of.submit(request(at("/bytes/100000")).token(1));
        bool came_out = false;
        auto refuse = [](event &) -> bool { throw stop(); };
        while (!came_out) {
            try {
                if (way == 0) events_of.run(refuse);
                if (way == 1) events_of.for_each(refuse);
                if (way == 2) events_of.dispatch(refuse);
            } catch (const stop &) {
                came_out = true;
            }
        }
        events_of.submit(request(at("/")).collect().token(2));
        events_of.run([](event &each) { return !(each.is_terminal() && each.token == 2); });
    }
    std::size_t seen = 0, terminals = 0;
    for (unsigned i = 0; i < 20; i++)
        events_of.submit(request(at("/")).collect());
    while (terminals < 20)
        seen += events_of.dispatch([&](event &each) { terminals += each.is_terminal(); });
    CHECK(seen == 20);
}

void waiting(const queue &events_of)
{
    events batch;
    CHECK(!events_of.wait(batch, std::chrono::milliseconds(1)));
    CHECK(!events_of.wait(batch, std::chrono::seconds(-1)) && !events_of.drain(batch));
    std::thread other([&] { events_of.wakeup(); });
    CHECK(!events_of.wait(batch));
    other.join();
}

void kinds(const engine &client)
{
    queue heard(client, CHTTP_NOTIFY_EVENTFD);
    heard.submit(request(at("/")).collect());
    heard.run([](event &each) { return !each.is_terminal(); });
    CHECK(thrown([&] { queue refused(client, 1000); }) == CHTTP_E_INVALID_ARG);
    CHECK(thrown([&] { queue refused(client, CHTTP_NOTIFY_USER, -1, "!"); }) == CHTTP_E_INVALID_ARG);
}

/* Each has its own function, and the loop ends when nothing is left, when it is stopped, or with what one of them throws. */
void looping(int io_threads)
{
    struct stop {};
    engine client = make(io_threads);
    loop all(client);
    int ends[2];
    CHECK(pipe(ends) == 0 && !all.run());
    unsigned reads = 0, ticks = 0, tasks = 0, answers = 0, ended = 0;
    bool seen_all = false; /* an event of the clock may be on its way when it stops */
    xid watch = all.watch(ends[0], CHTTP_WATCH_READ, [&](event &each) {
        char byte;
        if (each.is_terminal()) CHECK(each.error == CHTTP_E_CANCELLED && ++ended > 0);
        else CHECK(each.arg == CHTTP_WATCH_READ && read(ends[0], &byte, 1) == 1 && ++reads > 0);
    });
    xid clock = all.every(std::chrono::milliseconds(1), [&](event &each) {
        ticks += each.arg;
        if (each.is_terminal()) ended++;
        else if (!seen_all && ticks >= 5 && reads == 2 && answers == 1 && tasks == 1) seen_all = true, all.stop();
    });
    all.submit(request(at("/")).collect(), [&](event &each) {
        CHECK(each.kind == CHTTP_EV_RESPONSE && each.arg == 200);
        answers++;
    });
    std::thread other([&] { all.post([&] { tasks++; }); });
    CHECK(write(ends[1], "ab", 2) == 2);
    CHECK(all.run() && ticks >= 5 && ended == 0);
    other.join();
    /* Thrown inside, and the loop goes on with the next run. */
    CHECK(all.restart(clock, unlimited) && all.modify(watch, 0));
    xid once = all.after(std::chrono::nanoseconds(0), [](event &) { throw stop(); });
    bool came_out = false;
    try {
        all.run();
    } catch (const stop &) {
        came_out = true;
    }
    CHECK(came_out && !all.cancel(once));
    CHECK(all.cancel(watch) && all.cancel(clock) && !all.cancel(clock) + !all.modify(watch, 1) == 2);
    CHECK(!all.run() && ended == 2);
    CHECK(thrown([&] { all.watch(-1, CHTTP_WATCH_READ, [](event &) {}); }) == CHTTP_E_INVALID_ARG);
    CHECK(thrown([&] { all.watch(ends[0], 1u << 30, [](event &) {}); }) == CHTTP_E_UNKNOWN_FLAG);
    all.after(std::chrono::hours(1), [](event &) {});
    all.stop();
    CHECK(all.run() && all.events().descriptor() >= 0);
    close(ends[0]);
    close(ends[1]);
}

/* A conversation, to its orderly end; and what is refused. */
void talking(const engine &client, const queue &events_of)
{
    const request open = request(at("/ws/chat"))
                             .header("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
                             .as_websocket(websocket().protocols("chat").max_message(1000).heartbeat(unlimited));
    std::vector<std::string> told;
    xid socket = events_of.submit(open);
    events_of.run([&](event &each) {
        each.throw_if_failed();
        switch (each.kind) {
        case CHTTP_EV_WS_OPEN:
            told.push_back("open " + each.bytes().str());
            CHECK(client.send(socket, "hello") && client.ping(socket, "p") && client.pong(socket));
            CHECK(client.send(socket, CHTTP_WS_BINARY, "ab", 2, CHTTP_WS_MORE));
            CHECK(client.send(socket, CHTTP_WS_CONTINUATION, "c", 1));
            CHECK(thrown([&] { client.send(socket, "\xff"); }) == CHTTP_E_WS_UTF8);
            CHECK(thrown([&] { client.close(socket, 1006); }) == CHTTP_E_INVALID_ARG);
            break;
        case CHTTP_EV_WS_MESSAGE:
            told.push_back(std::to_string(each.arg) + " " + each.bytes().str());
            if (each.arg == CHTTP_WS_BINARY) CHECK(client.close(socket, 4000, "done") && !client.close(socket));
            break;
        case CHTTP_EV_WS_CLOSE:
            told.push_back(std::to_string(each.arg) + " " + each.bytes().str());
            break;
        }
        return !each.is_terminal();
    });
    CHECK(told == (std::vector<std::string>{"open chat", "1 hello", "2 abc", "4000 done"}));
    CHECK(!client.close(socket));
    CHECK(thrown([&] { events_of.submit(request(at("/ws")).as_websocket(websocket().protocols("a b"))); }) ==
          CHTTP_E_INVALID_ARG);
}

} // namespace

int main(int argc, char **argv)
{
    if (argc != 2) return 2;
    base = argv[1];
    options();
    for (int io_threads = 0; io_threads < 2; io_threads++) {
        engine client = make(io_threads);
        queue first(client);
        queue moved(std::move(first));
        CHECK(!first && moved && moved.descriptor() >= 0);
        CHECK(thrown([&] { first.descriptor(); }) == CHTTP_E_INVALID_ARG);
        if (io_threads == 0) CHECK(thrown([&] { queue second(client); }) == CHTTP_E_BAD_STATE);
        performing(client);
        by_descriptor(client, moved);
        pieces(client, moved);
        talking(client, moved);
        streams_of_events(moved);
        exceptions(moved);
        waiting(moved);
        if (io_threads == 1) kinds(client);
        looping(io_threads);
        client.preconnect(request(at("/")), 1);
        /* The queue goes after its engine, with an exchange of which it knows the end. */
        moved.submit(request(at("/hang")));
        client = engine(nullptr);
        int32_t code = 0;
        moved.for_each([&](event &each) {
            if (each.is_terminal()) code = each.failure().code();
        });
        CHECK(code == CHTTP_E_ENGINE_CLOSED);
    }
    std::cout << "as in C\n";
    return 0;
}
