-- A row for each call that ended, and for each ban. Only ever added to by the gateway, whose role owns the tables.
-- Run once by the gateway, in the schema that history.schema names. Never edit a migration that was released: add another one.

CREATE TABLE calls (
    id                 uuid PRIMARY KEY,
    caller_id          text NOT NULL,
    callee_id          text NOT NULL,
    media              text NOT NULL,
    end_reason         text NOT NULL,
    created_at         timestamptz NOT NULL,
    ringing_at         timestamptz,
    answered_at        timestamptz,
    connected_at       timestamptz,
    ended_at           timestamptz NOT NULL,
    answered_by        text,
    ring_ms            bigint,
    answer_ms          bigint,
    media_ms           bigint,
    talk_seconds       bigint NOT NULL,
    total_seconds      bigint NOT NULL,
    participant_ms     bigint,
    peak_participants  smallint NOT NULL,
    reconnects         integer NOT NULL,
    disconnect_reasons jsonb,
    metadata           jsonb,
    hidden_from_callee boolean NOT NULL,
    recorded_at        timestamptz NOT NULL DEFAULT now()
);

COMMENT ON TABLE calls IS 'Calls that ended. Names and devices that did not answer are not in here.';
COMMENT ON COLUMN calls.hidden_from_callee IS 'The callee had blocked the caller: neither may learn of it from here.';
COMMENT ON COLUMN calls.disconnect_reasons IS 'Of each party, LiveKit''s words for why its sessions ended. Not for the parties.';
COMMENT ON COLUMN calls.ring_ms IS 'From the first device''s ringing to the answer, or to the end without one.';
COMMENT ON COLUMN calls.answer_ms IS 'From the invite to the answer.';
COMMENT ON COLUMN calls.media_ms IS 'From the answer until both were in the room.';
COMMENT ON COLUMN calls.talk_seconds IS 'That both were in the room.';
COMMENT ON COLUMN calls.total_seconds IS 'From the invite to the end.';
COMMENT ON COLUMN calls.participant_ms IS 'That the parties were in the room, added up.';
COMMENT ON COLUMN calls.recorded_at IS 'When the row was written.';

CREATE INDEX calls_of_caller ON calls (caller_id, created_at DESC);
CREATE INDEX calls_of_callee ON calls (callee_id, created_at DESC);
CREATE INDEX calls_by_time ON calls (created_at);

CREATE TABLE bans (
    user_id     text NOT NULL,
    created_at  timestamptz NOT NULL,
    reason      text,
    until       timestamptz,
    recorded_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (user_id, created_at)
);

COMMENT ON TABLE bans IS 'Bans as they were given, once their calls had ended. That one was lifted is not in here.';

-- Without a policy nobody but the owner sees a row, whatever a role was granted, so that a schema that is open to an API shows nothing.
ALTER TABLE calls ENABLE ROW LEVEL SECURITY;
ALTER TABLE bans ENABLE ROW LEVEL SECURITY;
ALTER TABLE _bellwire_migrations ENABLE ROW LEVEL SECURITY;
