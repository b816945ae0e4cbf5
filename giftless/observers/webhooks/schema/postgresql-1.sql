-- What waits for a target, in the order of the numbers, and what was given up (dead_at).
-- The id is the receiver's, and the same for all targets of one event.
CREATE TABLE giftless_webhooks (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id text COLLATE "C" NOT NULL,
    target text COLLATE "C" NOT NULL,
    event text COLLATE "C" NOT NULL,
    body text COLLATE "C" NOT NULL,
    queued_at bigint NOT NULL,  -- seconds since the epoch
    tries bigint NOT NULL DEFAULT 0,  -- attempts in vain
    refused bigint NOT NULL DEFAULT 0,  -- those that the target answered with a refusal
    problem text COLLATE "C" NOT NULL DEFAULT '',
    dead_at bigint,
    UNIQUE (target, id)
);

CREATE INDEX giftless_webhooks_waiting ON giftless_webhooks (target, number)
    WHERE dead_at IS NULL;

CREATE INDEX giftless_webhooks_dead ON giftless_webhooks (target, number)
    WHERE dead_at IS NOT NULL;

-- The process that delivers to a target counts beats as long as it lives.  A target that
-- has answered 410 is left alone until its URL is another one (SHA-256).
CREATE TABLE giftless_webhook_targets (
    name text COLLATE "C" PRIMARY KEY,
    holder text COLLATE "C" NOT NULL DEFAULT '',
    beat bigint NOT NULL DEFAULT 0,
    due_at bigint NOT NULL DEFAULT 0,
    gone text COLLATE "C" NOT NULL DEFAULT ''
);
