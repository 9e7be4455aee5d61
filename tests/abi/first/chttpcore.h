/*
 * The first header that this library had, without its comments: what programs were compiled with that must run for ever. It
 * is never changed.
 */
#ifndef CHTTPCORE_H
#define CHTTPCORE_H

#include <stdint.h>
#include <stddef.h>

#define CHTTP_OK 0
#define CHTTP_E_INVALID_ARG -101
#define CHTTP_E_INVALID_SIZE -102
#define CHTTP_E_UNSUPPORTED_FIELD -103
#define CHTTP_E_UNKNOWN_FLAG -104
#define CHTTP_E_UNKNOWN_OPTION -105
#define CHTTP_E_OPTION_TYPE -106
#define CHTTP_E_OPTION_RANGE -107
#define CHTTP_E_INVALID_URL -108
#define CHTTP_E_UNSUPPORTED_SCHEME -109
#define CHTTP_E_INVALID_METHOD -110
#define CHTTP_E_INVALID_TARGET -111
#define CHTTP_E_INVALID_HEADER -112
#define CHTTP_E_INVALID_BODY -113
#define CHTTP_E_UNSUPPORTED -114
#define CHTTP_E_NOT_FOUND -201
#define CHTTP_E_BAD_STATE -202
#define CHTTP_E_WRONG_THREAD -203
#define CHTTP_E_ENGINE_DOWN -204
#define CHTTP_E_AGAIN -205
#define CHTTP_E_INTERRUPTED -206
#define CHTTP_E_NOT_REWINDABLE -207
#define CHTTP_E_TIMED_OUT -208
#define CHTTP_E_NAME_NOT_FOUND -301
#define CHTTP_E_NAME_TEMPORARY -302
#define CHTTP_E_NAME_FAILED -303
#define CHTTP_E_CONNECT_REFUSED -401
#define CHTTP_E_CONNECT_UNREACHABLE -402
#define CHTTP_E_CONNECT_RESET -403
#define CHTTP_E_CONNECT_FAILED -404
#define CHTTP_E_STATUS_LINE -601
#define CHTTP_E_VERSION -602
#define CHTTP_E_STATUS_CODE -603
#define CHTTP_E_FIELD_LINE -604
#define CHTTP_E_SPACE_BEFORE_COLON -605
#define CHTTP_E_FIELD_BYTE -606
#define CHTTP_E_BARE_LF -607
#define CHTTP_E_OBS_FOLD -608
#define CHTTP_E_LINE_TOO_LONG -609
#define CHTTP_E_HEAD_TOO_LARGE -610
#define CHTTP_E_TOO_MANY_FIELDS -611
#define CHTTP_E_TOO_MANY_INFORMATIONAL -612
#define CHTTP_E_UNSOLICITED_UPGRADE -613
#define CHTTP_E_CONTENT_LENGTH -614
#define CHTTP_E_LENGTH_AND_ENCODING -615
#define CHTTP_E_TRANSFER_ENCODING -616
#define CHTTP_E_CHUNK_SIZE -617
#define CHTTP_E_CHUNK_FRAMING -618
#define CHTTP_E_CHUNK_EXTENSION -619
#define CHTTP_E_TRAILER -620
#define CHTTP_E_TRAILERS_TOO_LARGE -621
#define CHTTP_E_UNEXPECTED_DATA -622
#define CHTTP_E_CLOSED_BEFORE_HEAD -623
#define CHTTP_E_TRUNCATED_HEAD -624
#define CHTTP_E_TRUNCATED_BODY -625
#define CHTTP_E_TRUNCATED_CHUNK -626
#define CHTTP_E_TRUNCATED_TRAILERS -627
#define CHTTP_E_BODY_LENGTH -628
#define CHTTP_E_TIMEOUT_POOL -701
#define CHTTP_E_TIMEOUT_DNS -702
#define CHTTP_E_TIMEOUT_CONNECT -703
#define CHTTP_E_TIMEOUT_TLS -704
#define CHTTP_E_TIMEOUT_WRITE -705
#define CHTTP_E_TIMEOUT_FIRST_BYTE -706
#define CHTTP_E_TIMEOUT_READ -707
#define CHTTP_E_TIMEOUT_TOTAL -708
#define CHTTP_E_CANCELLED -801
#define CHTTP_E_ENGINE_CLOSED -802
#define CHTTP_E_CONNECTION_LOST -803
#define CHTTP_E_NOMEM -901
#define CHTTP_E_PANIC -902
#define CHTTP_E_FORKED -903
#define CHTTP_E_IO -904
#define CHTTP_E_TOO_LARGE -905
#define CHTTP_E_TOO_MANY_FILES -906
#define CHTTP_E_TOO_MANY_EXCHANGES -907
#define CHTTP_OPT_IO_THREADS 1
#define CHTTP_OPT_MAX_CONNECTIONS_PER_HOST 2
#define CHTTP_OPT_MAX_CONNECTIONS 3
#define CHTTP_OPT_IDLE_TIMEOUT_NS 4
#define CHTTP_OPT_TOTAL_TIMEOUT_NS 5
#define CHTTP_OPT_POOL_TIMEOUT_NS 6
#define CHTTP_OPT_DNS_TIMEOUT_NS 7
#define CHTTP_OPT_CONNECT_TIMEOUT_NS 8
#define CHTTP_OPT_WRITE_TIMEOUT_NS 9
#define CHTTP_OPT_FIRST_BYTE_TIMEOUT_NS 10
#define CHTTP_OPT_READ_TIMEOUT_NS 11
#define CHTTP_OPT_EXPECT_TIMEOUT_NS 12
#define CHTTP_OPT_RECV_CREDIT 13
#define CHTTP_OPT_COLLECT_MAX 14
#define CHTTP_OPT_SEND_BUFFER 15
#define CHTTP_OPT_DNS_CACHE_NS 16
#define CHTTP_OPT_MAX_EXCHANGES 17
#define CHTTP_OPT_HEAD_LINE_MAX 18
#define CHTTP_OPT_HEAD_MAX 19
#define CHTTP_OPT_HEAD_FIELDS_MAX 20
#define CHTTP_OPT_INFORMATIONAL_MAX 21
#define CHTTP_OPT_CHUNK_EXT_MAX 22
#define CHTTP_OPT_ALLOW_BARE_LF 23
#define CHTTP_OPT_ALLOW_OBS_FOLD 24
#define CHTTP_PHASE_QUEUED 0
#define CHTTP_PHASE_RESOLVING 1
#define CHTTP_PHASE_CONNECTING 2
#define CHTTP_PHASE_TLS 3
#define CHTTP_PHASE_SENDING 4
#define CHTTP_PHASE_WAITING 5
#define CHTTP_PHASE_RECEIVING 6
#define CHTTP_EV_INFORMATIONAL 1
#define CHTTP_EV_HEADERS 2
#define CHTTP_EV_BODY 3
#define CHTTP_EV_TRAILERS 4
#define CHTTP_EV_DONE 5
#define CHTTP_EV_RESPONSE 6
#define CHTTP_EV_WRITABLE 7
#define CHTTP_EV_WRITE_DONE 8
#define CHTTP_EV_ENGINE_DOWN 9
#define CHTTP_EF_TERMINAL 1
#define CHTTP_EF_COPIED 2
#define CHTTP_EF_TUNNEL 4
#define CHTTP_EF_REUSED 8
#define CHTTP_EF_PARTIAL 16
#define CHTTP_REQ_COLLECT 1
#define CHTTP_REQ_STREAM_BODY 2
#define CHTTP_REQ_FILE_BODY 4
#define CHTTP_REQ_EXPECT_CONTINUE 8
#define CHTTP_REQ_CLOSE 16
#define CHTTP_LENGTH_UNKNOWN 18446744073709551615ull
#define CHTTP_UNLIMITED 18446744073709551615ull
#define CHTTP_NUL_TERMINATED 18446744073709551615ull
#define CHTTP_STRUCT_EVENT 1
#define CHTTP_STRUCT_FIELD 2
#define CHTTP_STRUCT_REQUEST 3
#define CHTTP_STRUCT_TIMING 4
#define CHTTP_STRUCT_STATS 5
#define CHTTP_STRUCT_OPTION 6
#define CHTTP_VERSION 1000

typedef struct chttp_config chttp_config;

typedef struct chttp_engine chttp_engine;

typedef struct chttp_error chttp_error;

typedef struct chttp_queue chttp_queue;

typedef struct chttp_response chttp_response;

typedef struct chttp_option {
    uint32_t id;
    uint32_t kind;
    const char *name;
    const char *unit;
    int64_t default_value;
    int64_t min;
    int64_t max;
    uint32_t unlimited;
    uint32_t since;
    const char *doc;
} chttp_option;

typedef struct chttp_stats {
    uint32_t size;
    uint32_t reserved;
    uint64_t submitted;
    uint64_t succeeded;
    uint64_t failed;
    uint64_t cancelled;
    uint64_t retried;
    uint64_t connections_opened;
    uint64_t connections_reused;
    uint64_t connect_failures;
    uint64_t exchanges;
    uint64_t connections;
    uint64_t connections_idle;
    uint64_t waiting;
    uint64_t socket_calls;
    uint64_t notifier_calls;
    uint64_t poll_calls;
    uint64_t epoll_ctl_calls;
} chttp_stats;

typedef struct chttp_field {
    const char *name;
    size_t name_len;
    const char *value;
    size_t value_len;
} chttp_field;

typedef struct chttp_request {
    uint32_t size;
    uint32_t flags;
    uint64_t token;
    const char *url;
    size_t url_len;
    const char *method;
    size_t method_len;
    const char *target;
    size_t target_len;
    const struct chttp_field *headers;
    size_t headers_len;
    const char *header_block;
    size_t header_block_len;
    const char *body;
    uint64_t body_len;
    uint64_t body_offset;
    int32_t body_fd;
    uint32_t reserved;
    const char *unix_path;
    size_t unix_path_len;
    uint64_t recv_credit;
    uint64_t collect_max;
    uint64_t total_timeout_ns;
    uint64_t pool_timeout_ns;
    uint64_t dns_timeout_ns;
    uint64_t connect_timeout_ns;
    uint64_t write_timeout_ns;
    uint64_t first_byte_timeout_ns;
    uint64_t read_timeout_ns;
    uint64_t expect_timeout_ns;
} chttp_request;

typedef uint64_t chttp_xid;

typedef struct chttp_event {
    uint16_t kind;
    uint16_t flags;
    uint32_t arg;
    chttp_xid xid;
    uint64_t token;
    int32_t error;
    int32_t os_errno;
    const char *data;
    uint64_t len;
    void *obj;
    uint64_t aux;
} chttp_event;

typedef struct chttp_timing {
    uint32_t size;
    uint32_t reserved;
    uint64_t connected_ns;
    uint64_t sent_ns;
    uint64_t first_byte_ns;
    uint64_t connect_took_ns;
} chttp_timing;

#ifdef __cplusplus
extern "C" {
#endif

int32_t chttp_config_new(struct chttp_config **out);

void chttp_config_free(struct chttp_config *config);

int32_t chttp_config_set_i64(struct chttp_config *config,
                             uint32_t option,
                             int64_t value,
                             struct chttp_error **error);

int32_t chttp_config_set_named(struct chttp_config *config,
                               const char *name,
                               size_t name_len,
                               const char *value,
                               size_t value_len,
                               struct chttp_error **error);

uint32_t chttp_option_count(void);

int32_t chttp_option_describe(uint32_t index, struct chttp_option *out, size_t out_size);

int32_t chttp_engine_new(const struct chttp_config *config,
                         struct chttp_engine **out,
                         struct chttp_error **error);

int32_t chttp_engine_destroy(struct chttp_engine *engine);

int32_t chttp_engine_release(struct chttp_engine *engine);

int32_t chttp_engine_stats(const struct chttp_engine *engine, struct chttp_stats *out, size_t out_size);

const char *chttp_error_name(int32_t code);

const char *chttp_error_describe(int32_t code);

const char *chttp_error_category(int32_t code);

int32_t chttp_error_at(uint32_t index);

int32_t chttp_error_code(const struct chttp_error *error);

int32_t chttp_error_os_errno(const struct chttp_error *error);

int32_t chttp_error_native(const struct chttp_error *error);

int32_t chttp_error_phase(const struct chttp_error *error);

int32_t chttp_error_attempt(const struct chttp_error *error);

int32_t chttp_error_is_retryable(const struct chttp_error *error);

uint64_t chttp_error_request_bytes_sent(const struct chttp_error *error);

int32_t chttp_error_connection_reused(const struct chttp_error *error);

int32_t chttp_error_message(const struct chttp_error *error, char *buf, size_t cap);

int32_t chttp_error_peer(const struct chttp_error *error,
                         char *buf,
                         size_t cap);

int32_t chttp_submit(const struct chttp_engine *engine,
                     const struct chttp_queue *queue,
                     const struct chttp_request *requests,
                     uint32_t n,
                     size_t stride,
                     chttp_xid *xids,
                     struct chttp_error **error);

int32_t chttp_cancel(const struct chttp_engine *engine,
                     chttp_xid xid);

int32_t chttp_body_write(const struct chttp_engine *engine,
                         chttp_xid xid,
                         const char *data,
                         size_t len);

int32_t chttp_body_end(const struct chttp_engine *engine,
                       chttp_xid xid,
                       const struct chttp_field *trailers,
                       size_t n,
                       struct chttp_error **error);

int32_t chttp_perform(const struct chttp_engine *engine,
                      const struct chttp_request *request,
                      uint64_t timeout_ns,
                      struct chttp_response **response,
                      struct chttp_error **error);

void chttp_release(void *obj);

void chttp_retain(void *obj);

int32_t chttp_events_release(struct chttp_event *events,
                             uint32_t n,
                             size_t stride);

int32_t chttp_queue_new(const struct chttp_engine *engine,
                        struct chttp_queue **out);

int32_t chttp_queue_fd(const struct chttp_queue *queue);

int32_t chttp_queue_drain(const struct chttp_queue *queue,
                          struct chttp_event *events,
                          uint32_t cap,
                          size_t stride);

int32_t chttp_queue_wait(const struct chttp_queue *queue,
                         struct chttp_event *events,
                         uint32_t cap,
                         size_t stride,
                         uint64_t timeout_ns);

int32_t chttp_queue_wakeup(const struct chttp_queue *queue);

void chttp_queue_destroy(struct chttp_queue *queue);

int32_t chttp_response_status(const struct chttp_response *response);

int32_t chttp_response_version(const struct chttp_response *response);

int32_t chttp_response_reason(const struct chttp_response *response,
                              char *buf,
                              size_t cap);

int32_t chttp_response_header_count(const struct chttp_response *response);

int32_t chttp_response_header_at(const struct chttp_response *response,
                                 uint32_t index,
                                 struct chttp_field *out);

int32_t chttp_response_header(const struct chttp_response *response,
                              const char *name,
                              size_t name_len,
                              struct chttp_field *out);

int32_t chttp_response_body(const struct chttp_response *response, const char **data, size_t *len);

int32_t chttp_response_timing(const struct chttp_response *response,
                              struct chttp_timing *out,
                              size_t out_size);

int32_t chttp_response_peer(const struct chttp_response *response, char *buf, size_t cap);

int32_t chttp_response_connection_reused(const struct chttp_response *response);

int32_t chttp_response_attempt(const struct chttp_response *response);

size_t chttp_struct_size(uint32_t id);

uint32_t chttp_version(void);

const char *chttp_version_string(void);

#ifdef __cplusplus
}
#endif

#endif
