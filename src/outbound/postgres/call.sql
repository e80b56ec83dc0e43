-- $1 is the message of type call.ended, as webhooks have it.
INSERT INTO calls (
    id, caller_id, callee_id, media, end_reason,
    created_at, ringing_at, answered_at, connected_at, ended_at, answered_by,
    ring_ms, answer_ms, media_ms, talk_seconds, total_seconds, participant_ms,
    peak_participants, reconnects, disconnect_reasons, metadata, hidden_from_callee
)
SELECT
    (call ->> 'id')::uuid,
    call -> 'caller' ->> 'id',
    call -> 'callee' ->> 'id',
    call ->> 'media',
    call ->> 'end_reason',
    (call ->> 'created_at')::timestamptz,
    (call ->> 'ringing_at')::timestamptz,
    (call ->> 'answered_at')::timestamptz,
    (call ->> 'connected_at')::timestamptz,
    (call ->> 'ended_at')::timestamptz,
    call ->> 'answered_by',
    (figures ->> 'ring_ms')::bigint,
    (figures ->> 'answer_ms')::bigint,
    (figures ->> 'media_ms')::bigint,
    (figures ->> 'talk_ms')::bigint / 1000,
    (figures ->> 'total_ms')::bigint / 1000,
    (figures ->> 'participant_ms')::bigint,
    (figures ->> 'peak_participants')::smallint,
    (figures ->> 'reconnects')::integer,
    figures -> 'disconnects',
    call -> 'metadata',
    coalesce((call ->> 'hidden_from_callee')::boolean, false)
FROM (SELECT $1::text::jsonb -> 'data' AS call) AS message,
    LATERAL (SELECT call -> 'statistics' AS figures) AS statistics
ON CONFLICT (id) DO NOTHING
