/*
 * The mock of libchttpcore for C++, for the tests of a program: a network in memory, on a virtual clock. C++11 and later.
 *
 *     chttpcore::mock network;
 *     network.resolve("service.test", "192.0.2.1");
 *     network.listen_always("192.0.2.1:80", chttpcore::script().expect_head().send("HTTP/1.1 204 No Content\r\n\r\n"));
 *     chttpcore::config options;
 *     chttpcore::engine engine(network.use(options));
 *     assert(engine.perform(chttpcore::request("http://service.test/")).status() == 204);
 *     assert(network.mismatches().empty());
 */

#ifndef CHTTPCORE_MOCK_HPP
#define CHTTPCORE_MOCK_HPP

#include "chttpcore.hpp"

namespace chttpcore {

/** What a peer does, step by step: chttp_mock_step. Steps about connecting come first. */
class script {
public:
    /** The client sends exactly this. */
    script &expect(std::string bytes) { return step(CHTTP_MOCK_EXPECT, std::move(bytes)); }
    /** It sends a head, up to an empty line. */
    script &expect_head() { return step(CHTTP_MOCK_EXPECT_HEAD); }
    script &expect_bytes(std::uint64_t count) { return step(CHTTP_MOCK_EXPECT_BYTES, std::string(), count); }
    /** It closes its sending side. */
    script &expect_end() { return step(CHTTP_MOCK_EXPECT_END); }
    /** So many bytes at each read; 0: all at once. */
    script &send(std::string bytes, std::uint64_t at_a_time = 0)
    {
        return step(CHTTP_MOCK_SEND, std::move(bytes), at_a_time);
    }
    script &delay(std::chrono::nanoseconds time) { return step(CHTTP_MOCK_DELAY, std::string(), count(time)); }
    /** TLS begins, in plain bytes from here on: a handshake that succeeds with whoever trusts mock::authority(). */
    script &tls() { return step(CHTTP_MOCK_TLS); }
    /** The same, as the settings say: chttp_mock_tls, whose `size` need not be set. Their texts have to stay as long. */
    script &tls(chttp_mock_tls settings)
    {
        settings.size = sizeof settings;
        return step(CHTTP_MOCK_TLS, std::string(reinterpret_cast<const char *>(&settings), sizeof settings));
    }
    script &close() { return step(CHTTP_MOCK_CLOSE); }
    /** The same without ending TLS before. */
    script &cut() { return step(CHTTP_MOCK_CLOSE, std::string(), 1); }
    script &reset() { return step(CHTTP_MOCK_RESET); }
    /** From here on each send of the client's takes so many bytes at most; 0 ends that. */
    script &short_writes(std::uint64_t most) { return step(CHTTP_MOCK_SHORT_WRITES, std::string(), most); }
    script &stop_reading() { return step(CHTTP_MOCK_STOP_READING); }
    script &resume_reading() { return step(CHTTP_MOCK_RESUME_READING); }
    /** The attempt to connect fails. */
    script &refuse() { return step(CHTTP_MOCK_REFUSE); }
    /** The attempt to connect has no outcome. */
    script &hang() { return step(CHTTP_MOCK_HANG); }
    script &connect_delay(std::chrono::nanoseconds time)
    {
        return step(CHTTP_MOCK_CONNECT_DELAY, std::string(), count(time));
    }
    /** Start over, for ever. */
    script &again() { return step(CHTTP_MOCK_AGAIN); }

    /** For functions of chttpcore.h: valid until this is changed or gone. */
    std::vector<chttp_mock_step> raw() const
    {
        std::vector<chttp_mock_step> steps;
        steps.reserve(steps_.size());
        for (const one &each : steps_)
            steps.push_back(chttp_mock_step{each.kind, 0, each.bytes.data(), each.bytes.size(), each.number});
        return steps;
    }

private:
    struct one {
        std::uint32_t kind;
        std::string bytes;
        std::uint64_t number;
    };

    static std::uint64_t count(std::chrono::nanoseconds time)
    {
        return time.count() < 0 ? 0 : static_cast<std::uint64_t>(time.count());
    }
    script &step(std::uint32_t kind, std::string bytes = std::string(), std::uint64_t number = 0)
    {
        steps_.push_back(one{kind, std::move(bytes), number});
        return *this;
    }

    std::vector<one> steps_;
};

/** A network in memory: chttp_backend. One engine at a time uses it, which the caller drives. */
class mock : public detail::unique<chttp_backend, detail::end_object> {
public:
    mock()
    {
        chttp_backend *made = nullptr;
        detail::reason why;
        why.check(chttp_mock_new(&made, why.out()));
        reset(made);
    }

    /** Let engines of these options be on it, without a thread. */
    const config &use(config &options) const
    {
        detail::reason why;
        options.set(CHTTP_OPT_IO_THREADS, 0);
        why.check(chttp_config_set_obj(options.get(), CHTTP_OPT_BACKEND, get(), why.out()));
        return options;
    }
    /** What the next connection to an address follows. Without a script, connections are refused. */
    void listen(const std::string &address, const script &steps) const { place(address, steps, 0); }
    /** What every connection after those follows. */
    void listen_always(const std::string &address, const script &steps) const
    {
        place(address, steps, CHTTP_MOCK_ALWAYS);
    }
    /** Let the script of a connection go on. */
    void extend(std::uint32_t connection, const script &steps) const
    {
        std::vector<chttp_mock_step> raw = steps.raw();
        detail::reason why;
        why.check(chttp_mock_extend(get(), connection, raw.data(), raw.size(), why.out()));
    }
    /** Let a name stand for addresses, with commas between them; "" for none. */
    void resolve(const std::string &host, const std::string &addresses) const
    {
        detail::reason why;
        why.check(chttp_mock_resolve(get(), host.data(), host.size(), addresses.data(), addresses.size(), why.out()));
    }

    /** The virtual clock. */
    std::chrono::nanoseconds now() const
    {
        return std::chrono::nanoseconds(static_cast<std::int64_t>(chttp_mock_now(get())));
    }
    void advance(std::chrono::nanoseconds time) const { check(chttp_mock_advance(get(), detail::timeout(time))); }
    /** When something happens next. False: never. */
    bool next_event(std::chrono::nanoseconds &at) const
    {
        std::uint64_t moment = 0;
        check(chttp_mock_next_event(get(), &moment));
        at = moment == UINT64_MAX ? unlimited : std::chrono::nanoseconds(static_cast<std::int64_t>(moment));
        return moment != UINT64_MAX;
    }

    /** Connections that were tried, numbered from 0. */
    std::uint32_t connections() const
    {
        return static_cast<std::uint32_t>(check(chttp_mock_connection_count(get())));
    }
    chttp_mock_record connection(std::uint32_t number) const
    {
        chttp_mock_record record;
        check(chttp_mock_connection(get(), number, &record, sizeof record));
        return record;
    }
    /** All that the client has sent on one. */
    std::string sent(std::uint32_t connection) const
    {
        std::size_t size = 0;
        check(chttp_mock_sent(get(), connection, nullptr, 0, &size));
        std::string bytes(size, '\0');
        if (size != 0) check(chttp_mock_sent(get(), connection, &bytes[0], size, nullptr));
        return bytes;
    }
    /** The certificate of the authority that vouches for peers with TLS, in PEM: for CHTTP_OPT_TLS_CA_PEM. */
    std::string authority() const { return detail::text<chttp_backend>(get(), chttp_mock_authority); }
    /** What was sent against the scripts, in words. */
    std::string mismatches() const { return detail::text<chttp_backend>(get(), chttp_mock_mismatches); }

private:
    void place(const std::string &address, const script &steps, std::uint32_t flags) const
    {
        std::vector<chttp_mock_step> raw = steps.raw();
        detail::reason why;
        why.check(chttp_mock_listen(get(), address.data(), address.size(), raw.data(), raw.size(), flags, why.out()));
    }
};

} // namespace chttpcore

#endif /* CHTTPCORE_MOCK_HPP */
