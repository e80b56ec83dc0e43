-- $1 is the message of type user.banned, as webhooks have it.
INSERT INTO bans (user_id, created_at, reason, until)
SELECT
    ban ->> 'user',
    (ban ->> 'created_at')::timestamptz,
    ban ->> 'reason',
    (ban ->> 'until')::timestamptz
FROM (SELECT $1::text::jsonb -> 'data' AS ban) AS message
ON CONFLICT (user_id, created_at) DO NOTHING
