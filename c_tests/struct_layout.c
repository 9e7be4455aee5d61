/*
 * Sizes and offsets of every struct, as C sees them. Structs grow at their end alone: a line here may be added, and never
 * changed. chttp_struct_size() says the same of the library that is loaded.
 */
#include "support/check.h"

#include "chttpcore.h"

#include <stddef.h>

#define AT(type, field, offset) _Static_assert(offsetof(type, field) == (offset), #type "." #field)

_Static_assert(sizeof(void *) == 8 && sizeof(size_t) == 8, "the offsets below are those of 64 bits");
_Static_assert(sizeof(chttp_xid) == 8, "chttp_xid");

_Static_assert(sizeof(chttp_event) == 64, "chttp_event");
AT(chttp_event, kind, 0);
AT(chttp_event, flags, 2);
AT(chttp_event, arg, 4);
AT(chttp_event, xid, 8);
AT(chttp_event, token, 16);
AT(chttp_event, error, 24);
AT(chttp_event, os_errno, 28);
AT(chttp_event, data, 32);
AT(chttp_event, len, 40);
AT(chttp_event, obj, 48);
AT(chttp_event, aux, 56);

_Static_assert(sizeof(chttp_field) == 32, "chttp_field");
AT(chttp_field, name, 0);
AT(chttp_field, name_len, 8);
AT(chttp_field, value, 16);
AT(chttp_field, value_len, 24);

_Static_assert(sizeof(chttp_request) == 320, "chttp_request");
AT(chttp_request, size, 0);
AT(chttp_request, flags, 4);
AT(chttp_request, token, 8);
AT(chttp_request, url, 16);
AT(chttp_request, url_len, 24);
AT(chttp_request, method, 32);
AT(chttp_request, method_len, 40);
AT(chttp_request, target, 48);
AT(chttp_request, target_len, 56);
AT(chttp_request, headers, 64);
AT(chttp_request, headers_len, 72);
AT(chttp_request, header_block, 80);
AT(chttp_request, header_block_len, 88);
AT(chttp_request, body, 96);
AT(chttp_request, body_len, 104);
AT(chttp_request, body_offset, 112);
AT(chttp_request, body_fd, 120);
AT(chttp_request, reserved, 124);
AT(chttp_request, unix_path, 128);
AT(chttp_request, unix_path_len, 136);
AT(chttp_request, recv_credit, 144);
AT(chttp_request, collect_max, 152);
AT(chttp_request, total_timeout_ns, 160);
AT(chttp_request, pool_timeout_ns, 168);
AT(chttp_request, dns_timeout_ns, 176);
AT(chttp_request, connect_timeout_ns, 184);
AT(chttp_request, write_timeout_ns, 192);
AT(chttp_request, first_byte_timeout_ns, 200);
AT(chttp_request, read_timeout_ns, 208);
AT(chttp_request, expect_timeout_ns, 216);
AT(chttp_request, tls_timeout_ns, 224);
AT(chttp_request, tls, 232);
AT(chttp_request, connect_to, 240);
AT(chttp_request, connect_to_len, 248);
AT(chttp_request, local_address, 256);
AT(chttp_request, local_address_len, 264);
AT(chttp_request, interface, 272);
AT(chttp_request, interface_len, 280);
AT(chttp_request, protocol, 288);
AT(chttp_request, protocol_len, 296);
AT(chttp_request, websocket, 304);
AT(chttp_request, sse, 312);

_Static_assert(sizeof(chttp_sse) == 64, "chttp_sse");
AT(chttp_sse, size, 0);
AT(chttp_sse, flags, 4);
AT(chttp_sse, last_event_id, 8);
AT(chttp_sse, last_event_id_len, 16);
AT(chttp_sse, retry_ns, 24);
AT(chttp_sse, retry_max_ns, 32);
AT(chttp_sse, max_attempts, 40);
AT(chttp_sse, line_max, 48);
AT(chttp_sse, event_max, 56);

_Static_assert(sizeof(chttp_sse_event) == 48, "chttp_sse_event");
AT(chttp_sse_event, size, 0);
AT(chttp_sse_event, event_type, 8);
AT(chttp_sse_event, event_type_len, 16);
AT(chttp_sse_event, id, 24);
AT(chttp_sse_event, id_len, 32);
AT(chttp_sse_event, retry_ms, 40);

_Static_assert(sizeof(chttp_timing) == 56, "chttp_timing");
AT(chttp_timing, size, 0);
AT(chttp_timing, connected_ns, 8);
AT(chttp_timing, sent_ns, 16);
AT(chttp_timing, first_byte_ns, 24);
AT(chttp_timing, connect_took_ns, 32);
AT(chttp_timing, dns_took_ns, 40);
AT(chttp_timing, tls_took_ns, 48);

_Static_assert(sizeof(chttp_tls_info) == 40, "chttp_tls_info");
AT(chttp_tls_info, size, 0);
AT(chttp_tls_info, version, 4);
AT(chttp_tls_info, resumed, 8);
AT(chttp_tls_info, reserved, 12);
AT(chttp_tls_info, cipher_suite, 16);
AT(chttp_tls_info, group, 24);
AT(chttp_tls_info, alpn, 32);

_Static_assert(sizeof(chttp_stats) == 320, "chttp_stats");
AT(chttp_stats, size, 0);
AT(chttp_stats, submitted, 8);
AT(chttp_stats, succeeded, 16);
AT(chttp_stats, failed, 24);
AT(chttp_stats, cancelled, 32);
AT(chttp_stats, retried, 40);
AT(chttp_stats, connections_opened, 48);
AT(chttp_stats, connections_reused, 56);
AT(chttp_stats, connect_failures, 64);
AT(chttp_stats, exchanges, 72);
AT(chttp_stats, connections, 80);
AT(chttp_stats, connections_idle, 88);
AT(chttp_stats, waiting, 96);
AT(chttp_stats, socket_calls, 104);
AT(chttp_stats, notifier_calls, 112);
AT(chttp_stats, poll_calls, 120);
AT(chttp_stats, epoll_ctl_calls, 128);
AT(chttp_stats, connections_closed, 136);
AT(chttp_stats, closed_idle, 144);
AT(chttp_stats, closed_age, 152);
AT(chttp_stats, closed_by_peer, 160);
AT(chttp_stats, closed_failed, 168);
AT(chttp_stats, closed_evicted, 176);
AT(chttp_stats, closed_not_reusable, 184);
AT(chttp_stats, dials, 192);
AT(chttp_stats, queued, 200);
AT(chttp_stats, queued_max, 208);
AT(chttp_stats, h2_connections, 216);
AT(chttp_stats, h2_streams, 224);
AT(chttp_stats, h2_goaways, 232);
AT(chttp_stats, h2_resets, 240);
AT(chttp_stats, h2_unprocessed, 248);
AT(chttp_stats, h2_replayed, 256);
AT(chttp_stats, h2_ping_timeouts, 264);
AT(chttp_stats, h2_floods, 272);
AT(chttp_stats, sse_events, 280);
AT(chttp_stats, sse_reconnects, 288);
AT(chttp_stats, ws_opened, 296);
AT(chttp_stats, ws_messages_received, 304);
AT(chttp_stats, ws_messages_sent, 312);

_Static_assert(sizeof(chttp_option) == 64, "chttp_option");
AT(chttp_option, id, 0);
AT(chttp_option, kind, 4);
AT(chttp_option, name, 8);
AT(chttp_option, unit, 16);
AT(chttp_option, default_value, 24);
AT(chttp_option, min, 32);
AT(chttp_option, max, 40);
AT(chttp_option, unlimited, 48);
AT(chttp_option, since, 52);
AT(chttp_option, doc, 56);

_Static_assert(sizeof(chttp_mock_step) == 32, "chttp_mock_step");
AT(chttp_mock_step, kind, 0);
AT(chttp_mock_step, flags, 4);
AT(chttp_mock_step, data, 8);
AT(chttp_mock_step, len, 16);
AT(chttp_mock_step, number, 24);

_Static_assert(sizeof(chttp_mock_record) == 32, "chttp_mock_record");
AT(chttp_mock_record, size, 0);
AT(chttp_mock_record, flags, 4);
AT(chttp_mock_record, sent, 8);
AT(chttp_mock_record, unread, 16);
AT(chttp_mock_record, closed, 24);
AT(chttp_mock_record, step, 28);

_Static_assert(sizeof(chttp_mock_tls) == 64, "chttp_mock_tls");
AT(chttp_mock_tls, size, 0);
AT(chttp_mock_tls, flags, 4);
AT(chttp_mock_tls, version, 8);
AT(chttp_mock_tls, alert, 12);
AT(chttp_mock_tls, alpn, 16);
AT(chttp_mock_tls, alpn_len, 24);
AT(chttp_mock_tls, name, 32);
AT(chttp_mock_tls, name_len, 40);
AT(chttp_mock_tls, cipher, 48);
AT(chttp_mock_tls, cipher_len, 56);

_Static_assert(sizeof(chttp_submission) == 56, "chttp_submission");
AT(chttp_submission, size, 0);
AT(chttp_submission, n, 4);
AT(chttp_submission, engine, 8);
AT(chttp_submission, queue, 16);
AT(chttp_submission, requests, 24);
AT(chttp_submission, stride, 32);
AT(chttp_submission, xids, 40);
AT(chttp_submission, error, 48);

_Static_assert(sizeof(chttp_websocket) == 72, "chttp_websocket");
AT(chttp_websocket, size, 0);
AT(chttp_websocket, flags, 4);
AT(chttp_websocket, protocols, 8);
AT(chttp_websocket, protocols_len, 16);
AT(chttp_websocket, max_message, 24);
AT(chttp_websocket, max_frame, 32);
AT(chttp_websocket, heartbeat_ns, 40);
AT(chttp_websocket, pong_timeout_ns, 48);
AT(chttp_websocket, close_timeout_ns, 56);
AT(chttp_websocket, client_window_bits, 64);
AT(chttp_websocket, server_window_bits, 68);

int main(void)
{
    CHECK_EQ(chttp_struct_size(CHTTP_STRUCT_EVENT), sizeof(chttp_event));
    CHECK_EQ(chttp_struct_size(CHTTP_STRUCT_FIELD), sizeof(chttp_field));
    CHECK_EQ(chttp_struct_size(CHTTP_STRUCT_REQUEST), sizeof(chttp_request));
    CHECK_EQ(chttp_struct_size(CHTTP_STRUCT_TIMING), sizeof(chttp_timing));
    CHECK_EQ(chttp_struct_size(CHTTP_STRUCT_STATS), sizeof(chttp_stats));
    CHECK_EQ(chttp_struct_size(CHTTP_STRUCT_OPTION), sizeof(chttp_option));
    CHECK_EQ(chttp_struct_size(0), 0);
    CHECK_EQ(chttp_struct_size(CHTTP_STRUCT_TLS_INFO), sizeof(chttp_tls_info));
    CHECK_EQ(chttp_struct_size(CHTTP_STRUCT_MOCK_STEP), sizeof(chttp_mock_step));
    CHECK_EQ(chttp_struct_size(CHTTP_STRUCT_MOCK_RECORD), sizeof(chttp_mock_record));
    CHECK_EQ(chttp_struct_size(CHTTP_STRUCT_MOCK_TLS), sizeof(chttp_mock_tls));
    CHECK_EQ(chttp_struct_size(CHTTP_STRUCT_SUBMISSION), sizeof(chttp_submission));
    CHECK_EQ(chttp_struct_size(CHTTP_STRUCT_WEBSOCKET), sizeof(chttp_websocket));
    CHECK_EQ(chttp_struct_size(CHTTP_STRUCT_SSE), sizeof(chttp_sse));
    CHECK_EQ(chttp_struct_size(CHTTP_STRUCT_SSE_EVENT), sizeof(chttp_sse_event));
    CHECK_EQ(chttp_struct_size(CHTTP_STRUCT_SSE_EVENT + 1), 0);
    CHECK_EQ(chttp_struct_size(UINT32_MAX), 0);
    CHECK_EQ(chttp_version(), CHTTP_VERSION);
    char text[32];
    snprintf(text, sizeof text, "%d.%d.%d", CHTTP_VERSION / 1000000, CHTTP_VERSION / 1000 % 1000, CHTTP_VERSION % 1000);
    CHECK_STR(chttp_version_string(), text);
    return 0;
}
