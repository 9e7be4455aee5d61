/*
 * libchttpcore for C++: the functions of chttpcore.h with destructors, exceptions and lambdas. C++11 and later, this
 * file alone.
 *
 *     chttpcore::engine engine;
 *     chttpcore::request request("https://example.com/");
 *     chttpcore::response answer = engine.perform(request.header("Accept", "text/plain"));
 *     std::cout << answer.status() << ' ' << answer.body().str();
 *
 * Or many at a time, with the descriptor of a queue in poll(2):
 *
 *     chttpcore::queue queue(engine);
 *     for (const std::string &url : urls) queue.submit(chttpcore::request(url).collect());
 *     std::size_t left = urls.size();
 *     queue.run([&](chttpcore::event &event) {
 *         if (event.kind == CHTTP_EV_RESPONSE) std::cout << event.arg << ' ' << event.len << '\n';
 *         if (event.failed()) std::cerr << event.failure().what() << '\n';
 *         return !event.is_terminal() || --left > 0;
 *     });
 *
 * Rules
 *   Handles     Each owns one thing and moves. get() is what it owns, for functions of chttpcore.h, and release() gives
 *               it up. One that was moved from is empty: it can be destroyed and assigned to. Only tls, error and
 *               request are copied.
 *   Failures    chttpcore::error is thrown where the C function returns a negative number, except those that are part
 *               of the game: what returns a bool or a count says so. Destructors throw nothing.
 *   Threads     As in chttpcore.h: engines and queues may be used by many threads, other things by one at a time.
 *   Exceptions  Those of your functions pass through run(), for_each(), dispatch(). Nothing leaks; the events behind
 *               the one that was looked at, up to the end of its batch, are released unseen.
 *   Lifetime    Views are borrowed from the thing that they were asked of. Queues, answers and bodies may outlive their
 *               engine.
 */

#ifndef CHTTPCORE_HPP
#define CHTTPCORE_HPP

#include "chttpcore.h"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include <cerrno>
#include <poll.h>

#if __cplusplus >= 201703L
#include <string_view>
#endif

namespace chttpcore {

/** Names one exchange, as in chttpcore.h. */
typedef chttp_xid xid;

/** "None", wherever a time is asked for. */
constexpr std::chrono::nanoseconds unlimited = std::chrono::nanoseconds::max();

/** Bytes that somebody else owns. */
struct view {
    const char *data;
    std::size_t size;

    std::string str() const { return size == 0 ? std::string() : std::string(data, size); }
    bool empty() const noexcept { return size == 0; }
#if __cplusplus >= 201703L
    operator std::string_view() const noexcept { return std::string_view(data, size); }
#endif
};

namespace detail {

/** The only owner of a T, which `End` ends. */
template <typename T, typename End> class unique {
public:
    unique() noexcept : owned(nullptr) {}
    explicit unique(T *adopted) noexcept : owned(adopted) {}
    unique(unique &&other) noexcept : owned(other.release()) {}
    unique &operator=(unique &&other) noexcept
    {
        if (this != &other) reset(other.release());
        return *this;
    }
    unique(const unique &) = delete;
    unique &operator=(const unique &) = delete;
    ~unique() { reset(); }

    T *get() const noexcept { return owned; }
    explicit operator bool() const noexcept { return owned != nullptr; }

    /** Give it up: it is the caller's now. */
    T *release() noexcept
    {
        T *given = owned;
        owned = nullptr;
        return given;
    }

    void reset(T *adopted = nullptr) noexcept
    {
        T *before = owned;
        owned = adopted;
        if (before != nullptr) End()(before);
    }

private:
    T *owned;
};

struct end_object {
    void operator()(void *object) const noexcept { chttp_release(object); }
};

struct end_config {
    void operator()(chttp_config *config) const noexcept { chttp_config_free(config); }
};

struct end_engine {
    void operator()(chttp_engine *engine) const noexcept
    {
        /* Inside a callback of the library nobody may wait for it. */
        if (chttp_engine_destroy(engine) != CHTTP_OK) chttp_engine_release(engine);
    }
};

struct end_queue {
    void operator()(chttp_queue *queue) const noexcept { chttp_queue_destroy(queue); }
};

/** A text by the rule of snprintf, as a string. */
template <typename T> std::string text(const T *object, int32_t (*tell)(const T *, char *, std::size_t))
{
    int32_t length = tell(object, nullptr, 0);
    if (length <= 0) return std::string();
    std::string value(static_cast<std::size_t>(length) + 1, '\0');
    length = tell(object, &value[0], value.size());
    value.resize(length > 0 ? static_cast<std::size_t>(length) : 0);
    return value;
}

/** A time as chttpcore.h wants it, where 0 would be "the default". */
inline std::uint64_t time(std::chrono::nanoseconds time) noexcept
{
    if (time == unlimited) return CHTTP_UNLIMITED;
    return time.count() <= 0 ? 1 : static_cast<std::uint64_t>(time.count());
}

/** As `time`, where 0 means "not at all". */
inline std::uint64_t timeout(std::chrono::nanoseconds time) noexcept
{
    if (time == unlimited) return CHTTP_UNLIMITED;
    return time.count() <= 0 ? 0 : static_cast<std::uint64_t>(time.count());
}

} // namespace detail

/**
 * Why something failed: a code (CHTTP_E_...), and what chttp_error tells of it. Without the object, for want of memory
 * or because the function has none to give, all but the code is as if nothing had happened.
 */
class error : public std::runtime_error {
public:
    /** Adopts `object`, which may be NULL. */
    explicit error(int32_t failed, chttp_error *object = nullptr)
        : std::runtime_error(describe(failed, object)), failed_(failed), object_(object)
    {
    }
    error(const error &other) noexcept : std::runtime_error(other), failed_(other.failed_), object_(other.object_)
    {
        chttp_retain(object_);
    }
    error &operator=(const error &other) noexcept
    {
        chttp_retain(other.object_);
        chttp_release(object_);
        std::runtime_error::operator=(other);
        failed_ = other.failed_;
        object_ = other.object_;
        return *this;
    }
    ~error() noexcept override { chttp_release(object_); }

    /** CHTTP_E_... */
    int32_t code() const noexcept { return failed_; }
    /** "CHTTP_E_..." */
    const char *name() const noexcept { return known(chttp_error_name(failed_)); }
    /** "timeout", "tls" ... */
    const char *category() const noexcept { return known(chttp_error_category(failed_)); }
    /** CHTTP_PHASE_... */
    int32_t phase() const noexcept { return object_ == nullptr ? CHTTP_PHASE_QUEUED : chttp_error_phase(object_); }
    int32_t os_errno() const noexcept { return object_ == nullptr ? 0 : chttp_error_os_errno(object_); }
    /** EAI_..., or the number of a TLS alert. */
    int32_t native() const noexcept { return object_ == nullptr ? 0 : chttp_error_native(object_); }
    int32_t attempt() const noexcept { return object_ == nullptr ? 0 : chttp_error_attempt(object_); }
    /** Whether sending the request again is safe and may help. */
    bool retryable() const noexcept { return object_ != nullptr && chttp_error_is_retryable(object_) == 1; }
    /** 0 proves that the server has seen nothing of the request. */
    std::uint64_t request_bytes_sent() const noexcept
    {
        return object_ == nullptr ? 0 : chttp_error_request_bytes_sent(object_);
    }
    bool connection_reused() const noexcept
    {
        return object_ != nullptr && chttp_error_connection_reused(object_) == 1;
    }
    /** The address, "" if no connection was made. */
    std::string peer() const { return object_ == nullptr ? std::string() : detail::text(object_, chttp_error_peer); }
    /** Borrowed; NULL if there is none. */
    const chttp_error *get() const noexcept { return object_; }

private:
    static const char *known(const char *text) noexcept { return text == nullptr ? "" : text; }
    static std::string describe(int32_t failed, const chttp_error *object)
    {
        std::string message = known(chttp_error_name(failed));
        std::string more = object == nullptr ? std::string(known(chttp_error_describe(failed)))
                                             : detail::text(object, chttp_error_message);
        return more.empty() ? message : message + ": " + more;
    }

    int32_t failed_;
    chttp_error *object_;
};

/** The result of a function of chttpcore.h, if it was a success. */
inline int32_t check(int32_t result)
{
    if (result < 0) throw error(result);
    return result;
}

namespace detail {

/** Where a function of chttpcore.h explains a failure. */
class reason {
public:
    reason() noexcept : object_(nullptr) {}
    reason(const reason &) = delete;
    reason &operator=(const reason &) = delete;
    ~reason() { chttp_release(object_); }

    chttp_error **out() noexcept { return &object_; }
    int32_t check(int32_t result)
    {
        if (result >= 0) return result;
        chttp_error *object = object_;
        object_ = nullptr;
        throw error(result, object);
    }

private:
    chttp_error *object_;
};

} // namespace detail

/** A head, and of a collected answer the body. */
class response : public detail::unique<chttp_response, detail::end_object> {
public:
    response() noexcept {}
    explicit response(chttp_response *adopted) noexcept : unique(adopted) {}

    int32_t status() const { return check(chttp_response_status(get())); }
    /** 10, 11, 20. */
    int32_t version() const { return check(chttp_response_version(get())); }
    std::string reason() const { return detail::text<chttp_response>(get(), chttp_response_reason); }

    std::uint32_t header_count() const { return static_cast<std::uint32_t>(check(chttp_response_header_count(get()))); }
    /** Name and value of a field, from 0. */
    std::pair<view, view> header_at(std::uint32_t index) const
    {
        chttp_field field;
        check(chttp_response_header_at(get(), index, &field));
        return std::make_pair(view{field.name, field.name_len}, view{field.value, field.value_len});
    }
    /** The first field of a name, whatever its case. False: there is none. */
    bool header(const std::string &name, view &value) const
    {
        chttp_field field;
        int32_t index = chttp_response_header(get(), name.data(), name.size(), &field);
        if (index == CHTTP_E_NOT_FOUND) return false;
        check(index);
        value = view{field.value, field.value_len};
        return true;
    }
    /** Its value, or `otherwise`. */
    std::string header(const std::string &name, const std::string &otherwise = std::string()) const
    {
        view value = {nullptr, 0};
        return header(name, value) ? value.str() : otherwise;
    }

    view body() const
    {
        view body = {nullptr, 0};
        check(chttp_response_body(get(), &body.data, &body.size));
        return body;
    }
    /** What was announced; -1 for nothing. */
    std::int64_t content_length() const
    {
        std::int64_t length = chttp_response_content_length(get());
        if (length != CHTTP_E_NOT_FOUND) check(length < 0 ? static_cast<int32_t>(length) : 0);
        return length < 0 ? -1 : length;
    }
    chttp_timing timing() const
    {
        chttp_timing timing;
        check(chttp_response_timing(get(), &timing, sizeof timing));
        return timing;
    }
    /** False: the connection was a plain one. */
    bool tls(chttp_tls_info &info) const
    {
        int32_t code = chttp_response_tls(get(), &info, sizeof info);
        return code != CHTTP_E_NOT_FOUND && check(code) == 0;
    }
    /** Of a raw stream's connection: the application protocol that the peer chose, empty for none. */
    view alpn() const
    {
        view name = {nullptr, 0};
        int32_t code = chttp_stream_alpn(get(), &name.data, &name.size);
        if (code != CHTTP_E_NOT_FOUND) check(code);
        return name;
    }
    /** The same: a certificate that the peer sent, in DER, its own at 0. False: there is none. */
    bool certificate(std::uint32_t index, view &der) const
    {
        int32_t code = chttp_stream_certificate(get(), index, &der.data, &der.size);
        return code != CHTTP_E_NOT_FOUND && check(code) == 0;
    }
    std::string peer() const { return detail::text<chttp_response>(get(), chttp_response_peer); }
    std::string local() const { return detail::text<chttp_response>(get(), chttp_response_local); }
    bool connection_reused() const { return check(chttp_response_connection_reused(get())) == 1; }
    /** CHTTP_REUSE_... */
    int32_t connection_reason() const { return check(chttp_response_connection_reason(get())); }
    int32_t attempt() const { return check(chttp_response_attempt(get())); }
};

/** A piece of a body, taken from its event. As long as it lives, so do the bytes, and its credit is not given back. */
class buf : public detail::unique<void, detail::end_object> {
public:
    buf() noexcept : bytes_{nullptr, 0} {}
    buf(void *adopted, view bytes) noexcept : unique(adopted), bytes_(bytes) {}

    view bytes() const noexcept { return bytes_; }

private:
    view bytes_;
};

class config;

/** Whom to trust and who we are: chttp_tls. */
class tls : public detail::unique<chttp_tls, detail::end_object> {
public:
    tls() noexcept {}
    explicit tls(chttp_tls *adopted) noexcept : unique(adopted) {}
    explicit tls(const config &settings);
    tls(tls &&) = default;
    tls &operator=(tls &&) = default;
    /** The same settings, shared. */
    tls(const tls &other) noexcept : unique(other.get()) { chttp_retain(get()); }
    tls &operator=(const tls &other) noexcept
    {
        chttp_retain(other.get());
        reset(other.get());
        return *this;
    }
};

/** Options of an engine, or of a tls. */
class config : public detail::unique<chttp_config, detail::end_config> {
public:
    config()
    {
        chttp_config *made = nullptr;
        check(chttp_config_new(&made));
        reset(made);
    }

    /** A number, or a switch. */
    config &set(std::uint32_t option, std::int64_t value)
    {
        detail::reason why;
        why.check(chttp_config_set_i64(get(), option, value, why.out()));
        return *this;
    }
    config &set(std::uint32_t option, std::chrono::nanoseconds time)
    {
        return set(option, time == unlimited ? std::int64_t(-1) : static_cast<std::int64_t>(time.count()));
    }
    config &set(std::uint32_t option, const std::string &text)
    {
        detail::reason why;
        why.check(chttp_config_set_str(get(), option, text.data(), text.size(), why.out()));
        return *this;
    }
    config &set_bytes(std::uint32_t option, const std::string &bytes)
    {
        detail::reason why;
        why.check(chttp_config_set_bytes(get(), option, bytes.data(), bytes.size(), why.out()));
        return *this;
    }
    /** An object, which is shared with the configuration. */
    config &set(std::uint32_t option, const tls &object)
    {
        detail::reason why;
        why.check(chttp_config_set_obj(get(), option, object.get(), why.out()));
        return *this;
    }
    /** By name: a number or a text. */
    config &set_named(const std::string &name, const std::string &value)
    {
        detail::reason why;
        why.check(chttp_config_set_named(get(), name.data(), name.size(), value.data(), value.size(), why.out()));
        return *this;
    }
    /** `function` must throw nothing; what `user` points to must live as long as the engines do. */
    config &set_log(std::uint32_t level, chttp_log_fn function, void *user)
    {
        detail::reason why;
        why.check(chttp_config_set_log(get(), level, function, user, why.out()));
        return *this;
    }
};

inline tls::tls(const config &settings)
{
    chttp_tls *made = nullptr;
    detail::reason why;
    why.check(chttp_tls_new(settings.get(), &made, why.out()));
    reset(made);
}

/** What is wanted of a WebSocket, for request::as_websocket(). */
class websocket {
public:
    websocket() : raw_() { raw_.size = sizeof raw_; }

    /** "chat.v2, chat" */
    websocket &protocols(std::string list) { return protocols_ = std::move(list), *this; }
    /** CHTTP_WS_FRAGMENTS, CHTTP_WS_CONTROL, CHTTP_WS_DEFLATE ... */
    websocket &flags(std::uint32_t more) { return raw_.flags |= more, *this; }
    websocket &max_message(std::uint64_t bytes) { return raw_.max_message = bytes, *this; }
    websocket &max_frame(std::uint64_t bytes) { return raw_.max_frame = bytes, *this; }
    websocket &heartbeat(std::chrono::nanoseconds time) { return raw_.heartbeat_ns = detail::time(time), *this; }
    websocket &pong_timeout(std::chrono::nanoseconds time) { return raw_.pong_timeout_ns = detail::time(time), *this; }
    websocket &close_timeout(std::chrono::nanoseconds time) { return raw_.close_timeout_ns = detail::time(time), *this; }
    /** With compression, 8 to 15 bits; 0 for 15. */
    websocket &window_bits(std::uint32_t client, std::uint32_t server = 0)
    {
        raw_.client_window_bits = client;
        raw_.server_window_bits = server;
        return *this;
    }

    /** For functions of chttpcore.h: valid until this is changed, moved or gone. */
    const chttp_websocket &raw() const
    {
        filled_ = raw_;
        filled_.protocols = protocols_.empty() ? nullptr : protocols_.data();
        filled_.protocols_len = protocols_.size();
        return filled_;
    }

private:
    std::string protocols_;
    chttp_websocket raw_;
    mutable chttp_websocket filled_ = {};
};

/**
 * A request under construction: chttp_request with what it points to. It is read by submit() and perform() and can be
 * used again, with one exception: a body of more than 64 KiB is read until CHTTP_EV_WRITE_DONE comes, and must stay in
 * place until then.
 */
class request {
public:
    /** A GET. */
    explicit request(std::string url) : url_(std::move(url)), raw_() { raw_.size = sizeof raw_; }

    request &method(std::string name) { return method_ = std::move(name), *this; }
    /** The request-target, instead of the URL's. */
    request &target(std::string text) { return target_ = std::move(text), *this; }
    /** Fields are sent in the order in which they are added, duplicates too. */
    request &header(std::string name, std::string value)
    {
        headers_.emplace_back(std::move(name), std::move(value));
        return *this;
    }
    /** The body, which is kept in here. */
    request &body(std::string bytes)
    {
        owned_ = std::move(bytes);
        borrowed_ = view{nullptr, 0};
        return set_source(0);
    }
    /** The body, which stays the caller's. */
    request &body_at(const void *data, std::size_t size)
    {
        owned_.clear();
        borrowed_ = view{static_cast<const char *>(data), size};
        return set_source(0);
    }
    /** A part of a file, whose descriptor may be closed after submit() or perform(). */
    request &body_file(int fd, std::uint64_t offset, std::uint64_t size)
    {
        raw_.body_fd = fd;
        raw_.body_offset = offset;
        length_ = size;
        return set_source(CHTTP_REQ_FILE_BODY);
    }
    /** It comes by engine::write() and engine::end(). */
    request &body_stream(std::uint64_t size = CHTTP_LENGTH_UNKNOWN)
    {
        length_ = size;
        return set_source(CHTTP_REQ_STREAM_BODY);
    }
    /** A small answer as one event; 0: as small as the engine's default says. */
    request &collect(std::uint64_t most = 0)
    {
        raw_.flags |= CHTTP_REQ_COLLECT;
        raw_.collect_max = most;
        return *this;
    }
    /** Make it the handshake of a WebSocket, which then sends by engine::send(), and ends by engine::close(). With
        flags(CHTTP_REQ_HTTP2) over HTTP/2. */
    request &as_websocket(const websocket &wanted = websocket())
    {
        raw_.flags |= CHTTP_REQ_WEBSOCKET;
        websocket_ = wanted;
        return *this;
    }
    /** A stream of events. `flags` are CHTTP_SSE_..., `last_id` is where an earlier one has come to. */
    request &sse(std::uint32_t flags = 0, std::string last_id = std::string())
    {
        raw_.flags |= CHTTP_REQ_SSE;
        sse_.flags = flags;
        last_id_ = std::move(last_id);
        return *this;
    }
    /** Its waits before a reconnection: the first one, and the longest. 0: the engine's. */
    request &sse_waits(std::chrono::nanoseconds first, std::chrono::nanoseconds longest)
    {
        sse_.retry_ns = detail::timeout(first);
        sse_.retry_max_ns = detail::timeout(longest);
        return *this;
    }
    /** Reconnections in a row. 0: the engine's; CHTTP_UNLIMITED. */
    request &sse_attempts(std::uint64_t most) { return sse_.max_attempts = most, *this; }
    /** CHTTP_REQ_EXPECT_CONTINUE, CHTTP_REQ_CLOSE, CHTTP_REQ_HTTP1, CHTTP_REQ_HTTP2. */
    request &flags(std::uint32_t more) { return raw_.flags |= more, *this; }
    /** No HTTP: a raw stream to the URL's host and port, over TLS if it is https (CHTTP_REQ_RAW). */
    request &stream() { return flags(CHTTP_REQ_RAW); }
    request &token(std::uint64_t value) { return raw_.token = value, *this; }
    request &credit(std::uint64_t bytes) { return raw_.recv_credit = bytes, *this; }
    request &unix_path(std::string path) { return unix_path_ = std::move(path), *this; }
    /** "127.0.0.1:8443", "unix:/run/x.sock" ... */
    request &connect_to(std::string address) { return connect_to_ = std::move(address), *this; }
    /** Shared with the request. */
    request &trust(const chttpcore::tls &settings) { return tls_ = settings, *this; }

    request &total_timeout(std::chrono::nanoseconds time) { return raw_.total_timeout_ns = detail::time(time), *this; }
    request &pool_timeout(std::chrono::nanoseconds time) { return raw_.pool_timeout_ns = detail::time(time), *this; }
    request &dns_timeout(std::chrono::nanoseconds time) { return raw_.dns_timeout_ns = detail::time(time), *this; }
    request &connect_timeout(std::chrono::nanoseconds time)
    {
        return raw_.connect_timeout_ns = detail::time(time), *this;
    }
    request &tls_timeout(std::chrono::nanoseconds time) { return raw_.tls_timeout_ns = detail::time(time), *this; }
    request &write_timeout(std::chrono::nanoseconds time) { return raw_.write_timeout_ns = detail::time(time), *this; }
    request &first_byte_timeout(std::chrono::nanoseconds time)
    {
        return raw_.first_byte_timeout_ns = detail::time(time), *this;
    }
    request &read_timeout(std::chrono::nanoseconds time) { return raw_.read_timeout_ns = detail::time(time), *this; }
    request &expect_timeout(std::chrono::nanoseconds time)
    {
        return raw_.expect_timeout_ns = detail::time(time), *this;
    }

    /** For functions of chttpcore.h: valid until this is changed, moved or gone. */
    const chttp_request &raw() const
    {
        fields_.clear();
        for (const auto &header : headers_)
            fields_.push_back(
                chttp_field{header.first.data(), header.first.size(), header.second.data(), header.second.size()});
        filled_ = raw_;
        filled_.headers = fields_.data();
        filled_.headers_len = fields_.size();
        filled_.tls = tls_.get();
        filled_.url = url_.data();
        filled_.url_len = url_.size();
        point(filled_.method, filled_.method_len, method_);
        point(filled_.target, filled_.target_len, target_);
        point(filled_.unix_path, filled_.unix_path_len, unix_path_);
        point(filled_.connect_to, filled_.connect_to_len, connect_to_);
        filled_.websocket = (raw_.flags & CHTTP_REQ_WEBSOCKET) != 0 ? &websocket_.raw() : nullptr;
        if ((raw_.flags & CHTTP_REQ_SSE) != 0) {
            events_ = sse_;
            events_.size = sizeof events_;
            point(events_.last_event_id, events_.last_event_id_len, last_id_);
            filled_.sse = &events_;
        }
        filled_.body_len = length_;
        if ((raw_.flags & (CHTTP_REQ_FILE_BODY | CHTTP_REQ_STREAM_BODY)) == 0) {
            filled_.body = borrowed_.data != nullptr ? borrowed_.data : owned_.empty() ? nullptr : owned_.data();
            filled_.body_len = borrowed_.data != nullptr ? borrowed_.size : owned_.size();
        }
        return filled_;
    }

private:
    request &set_source(std::uint32_t flag)
    {
        raw_.flags = (raw_.flags & ~std::uint32_t(CHTTP_REQ_FILE_BODY | CHTTP_REQ_STREAM_BODY)) | flag;
        return *this;
    }
    /** Empty is "not set", for these. */
    static void point(const char *&data, std::size_t &size, const std::string &text)
    {
        data = text.empty() ? nullptr : text.data();
        size = text.size();
    }

    std::string url_, method_, target_, owned_, unix_path_, connect_to_, last_id_;
    std::vector<std::pair<std::string, std::string>> headers_;
    view borrowed_ = {nullptr, 0};
    std::uint64_t length_ = 0;
    chttpcore::tls tls_;
    websocket websocket_;
    chttp_request raw_;
    chttp_sse sse_ = {};
    /* What raw() shows. */
    mutable chttp_sse events_ = {};
    mutable std::vector<chttp_field> fields_;
    mutable chttp_request filled_ = {};
};

/** An HTTP client. The destructor is chttp_engine_destroy(). */
class engine : public detail::unique<chttp_engine, detail::end_engine> {
public:
    engine() { make(nullptr); }
    explicit engine(const config &options) { make(options.get()); }
    explicit engine(chttp_engine *adopted) noexcept : unique(adopted) {}

    /** Run one request to its end on this thread. */
    response perform(const request &what, std::chrono::nanoseconds time = unlimited) const
    {
        chttp_response *answer = nullptr;
        detail::reason why;
        why.check(chttp_perform(get(), &what.raw(), detail::timeout(time), &answer, why.out()));
        return response(answer);
    }
    /** False: it has ended, or never was. */
    bool cancel(xid exchange) const { return found(chttp_cancel(get(), exchange)); }
    /** A piece of a streamed body. False: there is no room; CHTTP_EV_WRITABLE will come. */
    bool write(xid exchange, const void *data, std::size_t size) const
    {
        int32_t code = chttp_body_write(get(), exchange, static_cast<const char *>(data), size);
        return code != CHTTP_E_AGAIN && check(code) == 0;
    }
    bool write(xid exchange, const std::string &bytes) const { return write(exchange, bytes.data(), bytes.size()); }
    /** The end of a streamed body. False: the exchange has ended before, which is no failure. */
    bool end(xid exchange, const std::vector<chttp_field> &trailers = std::vector<chttp_field>()) const
    {
        detail::reason why;
        int32_t code = chttp_body_end(get(), exchange, trailers.data(), trailers.size(), why.out());
        return code != CHTTP_E_NOT_FOUND && why.check(code) == 0;
    }
    /** TLS on an open stream, with `settings` or, if those are empty, the engine's; `name` is the peer's. */
    void start_tls(xid exchange, const std::string &name, const tls &settings = tls()) const
    {
        detail::reason why;
        why.check(chttp_stream_start_tls(get(), exchange, settings.get(), name.data(), name.size(), why.out()));
    }
    /** The socket under an open stream, which stays the engine's. */
    int stream_descriptor(xid exchange) const { return check(chttp_stream_fd(get(), exchange)); }
    /** A text on a WebSocket. False: there is no room; CHTTP_EV_WRITABLE will come. */
    bool send(xid exchange, const std::string &text) const { return send(exchange, CHTTP_WS_TEXT, text.data(), text.size()); }
    /** A message, or with CHTTP_WS_MORE a fragment of one. */
    bool send(xid exchange, std::uint32_t opcode, const void *data, std::size_t size, std::uint32_t flags = 0) const
    {
        int32_t code = chttp_ws_send(get(), exchange, opcode, flags, static_cast<const char *>(data), size);
        return code != CHTTP_E_AGAIN && check(code) == 0;
    }
    bool ping(xid exchange, const std::string &bytes = std::string()) const
    {
        int32_t code = chttp_ws_ping(get(), exchange, bytes.data(), bytes.size());
        return code != CHTTP_E_AGAIN && check(code) == 0;
    }
    bool pong(xid exchange, const std::string &bytes = std::string()) const
    {
        int32_t code = chttp_ws_pong(get(), exchange, bytes.data(), bytes.size());
        return code != CHTTP_E_AGAIN && check(code) == 0;
    }
    /** Begin to close a WebSocket. False: it is over, or closing already, which is no failure. */
    bool close(xid exchange, std::uint32_t code = 1000, const std::string &why = std::string()) const
    {
        detail::reason refused;
        int32_t answer = chttp_ws_close(get(), exchange, code, why.data(), why.size(), refused.out());
        return answer != CHTTP_E_NOT_FOUND && answer != CHTTP_E_BAD_STATE && refused.check(answer) == 0;
    }
    /** Open connections until `n` are idle. */
    void preconnect(const request &what, std::uint32_t n) const
    {
        detail::reason why;
        why.check(chttp_engine_preconnect(get(), &what.raw(), n, why.out()));
    }
    /** In a forked child, have an engine of its own here. Queues are those of that engine then, with other descriptors. */
    void reset_after_fork() const
    {
        detail::reason why;
        why.check(chttp_engine_reset_after_fork(get(), why.out()));
    }
    chttp_stats stats() const
    {
        chttp_stats stats;
        check(chttp_engine_stats(get(), &stats, sizeof stats));
        return stats;
    }

private:
    static bool found(int32_t code) { return code != CHTTP_E_NOT_FOUND && check(code) == 0; }
    void make(const chttp_config *options)
    {
        chttp_engine *made = nullptr;
        detail::reason why;
        why.check(chttp_engine_new(options, &made, why.out()));
        reset(made);
    }
};

/** A chttp_event with ways to read it. It belongs to the batch that it stands in. */
struct event : chttp_event {
    bool is_terminal() const noexcept { return (flags & CHTTP_EF_TERMINAL) != 0; }
    /** The exchange failed, and this is its end. */
    bool failed() const noexcept
    {
        /* A stream of events goes on after the one, and after the other its end is still to come. */
        return chttp_event::error != 0 && kind != CHTTP_EV_SSE_RECONNECT && kind != CHTTP_EV_HEADERS;
    }
    /** Type, id and retry of a CHTTP_EV_SSE; bytes() are its data. */
    chttp_sse_event sse() const
    {
        chttp_sse_event fields;
        check(chttp_sse_fields(this, &fields, sizeof fields));
        return fields;
    }
    view bytes() const noexcept { return view{data, static_cast<std::size_t>(len)}; }
    /** Why it failed, or a stream of events has lost its connection. */
    chttpcore::error failure() const
    {
        chttp_retain(obj);
        return chttpcore::error(chttp_event::error, static_cast<chttp_error *>(obj));
    }
    void throw_if_failed() const
    {
        if (failed()) throw failure();
    }
    /** Keep the object of an INFORMATIONAL, HEADERS, TRAILERS or RESPONSE beyond the batch; `data` goes with it. */
    response take_response() noexcept { return response(static_cast<chttp_response *>(take())); }
    /** Keep the bytes of a BODY, or of a message of a WebSocket. */
    buf take_buf() noexcept
    {
        view kept = bytes();
        return buf(take(), kept);
    }

private:
    void *take() noexcept
    {
        void *object = obj;
        obj = nullptr;
        return object;
    }
};

static_assert(sizeof(event) == sizeof(chttp_event), "an array of one is an array of the other");

/** Events that were drained. What is not taken is released with it, or by the next drain. */
class events {
public:
    explicit events(std::size_t capacity = 64) : room_(capacity == 0 ? 1 : capacity), count_(0) {}
    events(events &&other) noexcept : room_(std::move(other.room_)), count_(other.count_) { other.count_ = 0; }
    events(const events &) = delete;
    events &operator=(const events &) = delete;
    events &operator=(events &&) = delete;
    ~events() { clear(); }

    event *begin() noexcept { return room_.data(); }
    event *end() noexcept { return room_.data() + count_; }
    event &operator[](std::size_t index) noexcept { return room_[index]; }
    std::size_t size() const noexcept { return count_; }
    bool empty() const noexcept { return count_ == 0; }
    /** Release them: their credit goes back. */
    void clear() noexcept
    {
        chttp_events_release(room_.data(), static_cast<std::uint32_t>(count_), sizeof(event));
        count_ = 0;
    }

private:
    friend class queue;
    std::uint32_t capacity() const noexcept { return static_cast<std::uint32_t>(room_.size()); }

    std::vector<event> room_;
    std::size_t count_;
};

/** Where the events of exchanges arrive. The destructor is chttp_queue_destroy(). */
class queue : public detail::unique<chttp_queue, detail::end_queue> {
public:
    explicit queue(const engine &owner) : engine_(owner.get())
    {
        chttp_queue *made = nullptr;
        check(chttp_queue_new(owner.get(), &made));
        reset(made);
    }
    /** One of another kind: CHTTP_NOTIFY_... */
    queue(const engine &owner, std::uint32_t kind, int descriptor = -1, const std::string &payload = std::string())
        : engine_(owner.get())
    {
        chttp_queue *made = nullptr;
        detail::reason why;
        why.check(
            chttp_queue_new_kind(owner.get(), kind, descriptor, payload.data(), payload.size(), &made, why.out()));
        reset(made);
    }

    /** Submit to the engine that it was made for, which must live. */
    xid submit(const request &what) const
    {
        xid exchange = 0;
        detail::reason why;
        why.check(chttp_submit(engine_, get(), &what.raw(), 1, 0, &exchange, why.out()));
        return exchange;
    }
    /** All of them, or none. */
    std::vector<xid> submit(const std::vector<request> &many) const
    {
        std::vector<chttp_request> raw;
        std::vector<xid> exchanges(many.size());
        detail::reason why;
        raw.reserve(many.size());
        for (const request &one : many)
            raw.push_back(one.raw());
        std::uint32_t n = static_cast<std::uint32_t>(raw.size());
        why.check(chttp_submit(engine_, get(), raw.data(), n, sizeof raw[0], exchanges.data(), why.out()));
        return exchanges;
    }

    /** For poll(2) and event loops. */
    int descriptor() const { return check(chttp_queue_fd(get())); }
    /** Take what there is, up to what the batch has room for. False: nothing. */
    bool drain(events &batch) const
    {
        batch.clear();
        int32_t n = chttp_queue_drain(get(), batch.begin(), batch.capacity(), sizeof(event));
        return take(batch, n);
    }
    /** As drain(), but wait. False after the time, a wake-up, or a signal handler. */
    bool wait(events &batch, std::chrono::nanoseconds time = unlimited) const
    {
        batch.clear();
        int32_t n = chttp_queue_wait(get(), batch.begin(), batch.capacity(), sizeof(event), detail::timeout(time));
        return n != CHTTP_E_INTERRUPTED && take(batch, n);
    }
    /** Any thread, and signal handlers. */
    void wakeup() const { check(chttp_queue_wakeup(get())); }

    /** A watch of a descriptor: CHTTP_EV_WATCH events. */
    xid watch(int fd, std::uint32_t interest, std::uint64_t token = 0) const
    {
        xid id = 0;
        detail::reason why;
        why.check(chttp_watch_fd(engine_, get(), fd, interest, token, &id, why.out()));
        return id;
    }
    /** False: it has ended. */
    bool modify(xid watch, std::uint32_t interest) const
    {
        detail::reason why;
        int32_t code = chttp_watch_modify(engine_, watch, interest, why.out());
        return code != CHTTP_E_NOT_FOUND && why.check(code) == 0;
    }
    /** A timer: CHTTP_EV_TIMER events, one, or with `every` one after each further period. */
    xid timer(std::chrono::nanoseconds first, std::chrono::nanoseconds every = std::chrono::nanoseconds(0),
              std::uint64_t token = 0) const
    {
        xid id = 0;
        detail::reason why;
        why.check(chttp_timer_start(engine_, get(), detail::timeout(first), detail::timeout(every), token, &id,
                                    why.out()));
        return id;
    }
    /** From now on anew. False: it has ended. */
    bool restart(xid timer, std::chrono::nanoseconds first,
                 std::chrono::nanoseconds every = std::chrono::nanoseconds(0)) const
    {
        detail::reason why;
        int32_t code = chttp_timer_restart(engine_, timer, detail::timeout(first), detail::timeout(every), why.out());
        return code != CHTTP_E_NOT_FOUND && why.check(code) == 0;
    }
    /** Cancel an exchange, or end a watch or timer. False: it has ended. */
    bool cancel(xid id) const
    {
        int32_t code = chttp_cancel(engine_, id);
        return code != CHTTP_E_NOT_FOUND && check(code) == 0;
    }
    /** An event from any thread: CHTTP_EV_TASK. */
    void post(std::uint64_t token, std::uint64_t number = 0) const { check(chttp_queue_post(get(), token, number)); }
    /** End loop::run(), from any thread and signal handlers. */
    void stop() const { check(chttp_queue_stop(get())); }

    /** Call `function(event &)` with each event that waits. Returns how many there were. */
    template <typename Function> std::size_t for_each(Function &&function) const
    {
        events batch;
        std::size_t count = 0;
        while (drain(batch)) {
            for (event &each : batch) {
                count++;
                function(each);
            }
        }
        return count;
    }

    /**
     * Poll the descriptor and call `function(event &)` with each event as it comes, until it returns false; with those
     * that came in the same batch, too.
     */
    template <typename Function> void run(Function &&function) const
    {
        events batch;
        struct pollfd ready = {descriptor(), POLLIN, 0};
        for (;;) {
            if (poll(&ready, 1, -1) < 0 && errno != EINTR) throw error(CHTTP_E_IO);
            drain(batch);
            bool on = true;
            for (event &each : batch)
                on = function(each) && on;
            if (!on) return;
            /* Before the next sleep: what comes next may need the credit. */
            batch.clear();
        }
    }

    /**
     * chttp_queue_dispatch(): call `function(event &)` with up to `most` events. What it throws ends the call, after
     * its batch's objects were released.
     */
    template <typename Function> std::size_t dispatch(Function &&function, std::uint32_t most = UINT32_MAX) const
    {
        struct frame {
            Function &function;
            const queue &self;
            std::exception_ptr thrown;

            /* No exception may pass through the library. */
            static void on_events(chttp_event *batch, std::uint32_t n, std::size_t, void *user) noexcept
            {
                frame &here = *static_cast<frame *>(user);
                try {
                    for (std::uint32_t i = 0; i < n; i++)
                        here.function(static_cast<event &>(batch[i]));
                } catch (...) {
                    here.thrown = std::current_exception();
                    chttp_queue_wakeup(here.self.get());
                }
            }
        };
        frame here = {function, *this, nullptr};
        int32_t count = chttp_queue_dispatch(get(), most, frame::on_events, &here);
        if (here.thrown) std::rethrow_exception(here.thrown);
        return static_cast<std::size_t>(check(count));
    }

private:
    bool take(events &batch, int32_t n) const
    {
        batch.count_ = static_cast<std::size_t>(check(n));
        return n > 0;
    }

    chttp_engine *engine_;
};

/**
 * A connection without HTTP, for one thread that waits. It has a queue of its own, and an engine that the caller drives has
 * no other queue beside it. For many at a time submit request::stream() to one queue.
 *
 *     chttpcore::stream mail(engine, chttpcore::request("http://mail.example:587"));
 *     std::string greeting = mail.read();
 *     mail.write("EHLO me\r\n");
 *
 * What comes too late is thrown as CHTTP_E_TIMED_OUT, and the stream can be used on. The destructor cancels; what was
 * written arrives if end() was called and all of it was the system's.
 */
class stream {
public:
    /** Connect. `to` has the host and port, and what else is said of a connection. */
    stream(const engine &owner, request to, std::chrono::nanoseconds time = unlimited)
        : engine_(owner.get()), queue_(owner), exchange_(0), closed_(false), ended_(false), over_(false)
    {
        exchange_ = queue_.submit(to.stream());
        try {
            until(time, [this] { return static_cast<bool>(connection_); });
        } catch (...) {
            chttp_cancel(engine_, exchange_);
            throw;
        }
    }
    stream(const stream &) = delete;
    stream &operator=(const stream &) = delete;
    ~stream()
    {
        if (!over_) chttp_cancel(engine_, exchange_);
    }

    /** What has come, at least a byte; nothing at the end of the peer's side. */
    std::string read(std::chrono::nanoseconds time = unlimited)
    {
        until(time, [this] { return !pieces_.empty() || ended_; });
        std::string bytes;
        for (const buf &piece : pieces_)
            bytes.append(piece.bytes().data, piece.bytes().size);
        pieces_.clear();
        return bytes;
    }
    /** Hand over all of it; what the peer does not take slows it down. */
    void write(const std::string &bytes, std::chrono::nanoseconds time = unlimited)
    {
        constexpr std::size_t most = 65536;
        for (std::size_t at = 0; at < bytes.size(); at += most) {
            std::size_t size = bytes.size() - at < most ? bytes.size() - at : most;
            until(time, [&] {
                int32_t code = chttp_body_write(engine_, exchange_, bytes.data() + at, size);
                return code != CHTTP_E_AGAIN && check(code) == 0;
            });
        }
    }
    /** Close our side, once. The peer's can be read on. */
    void end()
    {
        if (closed_) return;
        closed_ = true;
        int32_t code = chttp_body_end(engine_, exchange_, nullptr, 0, nullptr);
        if (code != CHTTP_E_NOT_FOUND) check(code);
    }
    /** TLS from here on. `name` is the peer's. */
    void start_tls(const std::string &name, const tls &settings = tls(), std::chrono::nanoseconds time = unlimited)
    {
        detail::reason why;
        why.check(chttp_stream_start_tls(engine_, exchange_, settings.get(), name.data(), name.size(), why.out()));
        response before(std::move(connection_));
        until(time, [this] { return static_cast<bool>(connection_); });
    }
    /** Addresses, times and TLS, of the latest handshake. */
    const response &connection() const noexcept { return connection_; }
    /** The socket, which stays the engine's. */
    int descriptor() const { return check(chttp_stream_fd(engine_, exchange_)); }

private:
    /** Take events until `done`. What it depends on has come before the failure that ends the stream is thrown. */
    template <typename Done> void until(std::chrono::nanoseconds time, Done &&done)
    {
        events batch;
        while (!done()) {
            if (failure_) throw error(*failure_);
            if (over_) throw error(CHTTP_E_CONNECTION_LOST);
            if (!queue_.wait(batch, time)) throw error(CHTTP_E_TIMED_OUT);
            for (event &each : batch)
                note(each);
        }
    }
    void note(event &each)
    {
        if (each.kind == CHTTP_EV_HEADERS || each.kind == CHTTP_EV_STREAM_TLS) connection_ = each.take_response();
        if (each.kind == CHTTP_EV_BODY) pieces_.push_back(each.take_buf());
        if (each.kind == CHTTP_EV_STREAM_END) ended_ = true;
        if (!each.is_terminal()) return;
        over_ = true;
        if (each.failed()) failure_.reset(new error(each.failure()));
        else ended_ = true;
    }

    chttp_engine *engine_;
    queue queue_;
    xid exchange_;
    response connection_;
    std::vector<buf> pieces_;
    bool closed_, ended_, over_;
    std::unique_ptr<error> failure_;
};

/**
 * An event loop: a function for each descriptor, timer, task and exchange of a queue of its own. An engine that the caller
 * drives has no other queue beside it.
 *
 *     chttpcore::loop loop(engine);
 *     loop.watch(fd, CHTTP_WATCH_READ, [&](chttpcore::event &) { read_some(fd); });
 *     loop.every(std::chrono::seconds(1), [&](chttpcore::event &event) { if (!event.is_terminal()) tick(); });
 *     loop.submit(request.collect(), [&](chttpcore::event &event) { if (event.is_terminal()) show(event); });
 *     loop.run();
 */
class loop {
public:
    typedef std::function<void(event &)> function;

    explicit loop(const engine &owner) : queue_(owner), last_(0) {}
    loop(const loop &) = delete;
    loop &operator=(const loop &) = delete;

    /** Its events; what is not read is told again. CHTTP_WATCH_... */
    xid watch(int fd, std::uint32_t interest, function then)
    {
        return keep(std::move(then), [&](std::uint64_t token) { return queue_.watch(fd, interest, token); });
    }
    xid after(std::chrono::nanoseconds time, function then)
    {
        return keep(std::move(then), [&](std::uint64_t token) {
            return queue_.timer(time, std::chrono::nanoseconds(0), token);
        });
    }
    /** `arg` of the event tells how many periods have passed. */
    xid every(std::chrono::nanoseconds period, function then)
    {
        return keep(std::move(then), [&](std::uint64_t token) { return queue_.timer(period, period, token); });
    }
    /** All events of an exchange. */
    xid submit(request what, function then)
    {
        return keep(std::move(then), [&](std::uint64_t token) { return queue_.submit(what.token(token)); });
    }
    /** Call it in the loop. From any thread. */
    void post(std::function<void()> task)
    {
        keep([task](event &) { task(); }, [&](std::uint64_t token) {
            queue_.post(token);
            return xid(0);
        });
    }
    bool modify(xid watch, std::uint32_t interest) const { return queue_.modify(watch, interest); }
    bool restart(xid timer, std::chrono::nanoseconds first,
                 std::chrono::nanoseconds every = std::chrono::nanoseconds(0)) const
    {
        return queue_.restart(timer, first, every);
    }
    /** Its function is called once more at least: with the event that is_terminal(). False: it has ended. */
    bool cancel(xid id) const { return queue_.cancel(id); }

    /**
     * Until stop(), which makes it true, or until nothing is left: false. With CHTTP_RUN_STAY the latter is no reason to
     * return. What a function throws ends it; the events behind, up to the end of the batch, are released unseen. A
     * signal handler interrupts nothing: let it call stop().
     */
    bool run(std::uint32_t flags = 0)
    {
        int32_t code;
        do {
            code = chttp_queue_run(queue_.get(), flags, on_events, this);
            if (thrown_) {
                std::exception_ptr thrown;
                std::swap(thrown, thrown_);
                std::rethrow_exception(thrown);
            }
        } while (code == CHTTP_E_INTERRUPTED);
        return check(code) == 0;
    }
    /** Any thread, and signal handlers. */
    void stop() const { queue_.stop(); }
    /** What it is made of, for everything else. */
    const queue &events() const noexcept { return queue_; }

private:
    /** `start` is given the token under which the function is found, also by an event that comes at once. */
    template <typename Start> xid keep(function then, Start &&start)
    {
        std::uint64_t token;
        {
            std::lock_guard<std::mutex> locked(lock_);
            token = ++last_;
            functions_.emplace(token, std::make_shared<function>(std::move(then)));
        }
        try {
            return start(token);
        } catch (...) {
            std::lock_guard<std::mutex> locked(lock_);
            functions_.erase(token);
            throw;
        }
    }

    void hand_over(event &each)
    {
        std::shared_ptr<function> then;
        {
            std::lock_guard<std::mutex> locked(lock_);
            auto found = functions_.find(each.token);
            if (found == functions_.end()) return;
            then = found->second;
            if (each.is_terminal()) functions_.erase(found);
        }
        (*then)(each);
    }

    /* No exception may pass through the library. */
    static void on_events(chttp_event *batch, std::uint32_t n, std::size_t, void *user) noexcept
    {
        loop &here = *static_cast<loop *>(user);
        try {
            for (std::uint32_t i = 0; i < n; i++)
                here.hand_over(static_cast<event &>(batch[i]));
        } catch (...) {
            here.thrown_ = std::current_exception();
            chttp_queue_stop(here.queue_.get());
        }
    }

    queue queue_;
    std::mutex lock_;
    std::unordered_map<std::uint64_t, std::shared_ptr<function>> functions_;
    std::uint64_t last_;
    std::exception_ptr thrown_;
};

} // namespace chttpcore

#endif /* CHTTPCORE_HPP */
