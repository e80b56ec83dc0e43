-- Lets the users of a Supabase project read their own calls, and nothing else. Optional, and no migration: run it yourself, in the SQL editor,
-- after the gateway has made its tables; again after you changed it. Docs: docs/SUPABASE.md.
--
-- It is written for history.schema = "bellwire" and for user ids that are Supabase's own. With an auth.users.user_prefix, write
-- 'prefix' || (SELECT auth.uid())::text in the policy.
-- The policies go with the tables: `DROP POLICY` and `REVOKE` take it all back.

BEGIN;

-- Supabase grants everything on new tables in some schemas; row level security does not hold back TRUNCATE.
REVOKE ALL ON bellwire.calls, bellwire.bans, bellwire._bellwire_migrations FROM PUBLIC, anon, authenticated, service_role;
REVOKE ALL ON SCHEMA bellwire FROM PUBLIC, anon, authenticated, service_role;

-- A user reads the calls that they made or got, as the gateway's own API shows them: who called somebody that has blocked them does not learn
-- of it, and who has blocked them does not hear of the call. Columns are named, so that what a later release adds is not shown by itself.
GRANT USAGE ON SCHEMA bellwire TO authenticated;
GRANT SELECT (
    id, caller_id, callee_id, media, end_reason, created_at, ringing_at, answered_at, connected_at, ended_at, answered_by,
    ring_ms, answer_ms, media_ms, talk_seconds, total_seconds, peak_participants, reconnects, metadata
) ON bellwire.calls TO authenticated;

ALTER TABLE bellwire.calls ENABLE ROW LEVEL SECURITY;
DROP POLICY IF EXISTS "parties read their calls" ON bellwire.calls;
-- The sub-selects are worked out once for a query, not once for a row, and each side has its index.
CREATE POLICY "parties read their calls" ON bellwire.calls FOR SELECT TO authenticated
    USING (
        caller_id = (SELECT auth.uid())::text
        OR (callee_id = (SELECT auth.uid())::text AND NOT hidden_from_callee)
    );

-- The app's own backend, by its secret key, reads everything: its role passes by row level security. It writes nothing.
GRANT USAGE ON SCHEMA bellwire TO service_role;
GRANT SELECT ON bellwire.calls, bellwire.bans TO service_role;

COMMIT;
