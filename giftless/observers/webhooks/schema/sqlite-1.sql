-- What waits for a target, in the order of the numbers, and what was given up (dead_at).
-- The id is the receiver's, and the same for all targets of one event.
CREATE TABLE giftless_webhooks (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL,
    target TEXT NOT NULL,
    event TEXT NOT NULL,
    body TEXT NOT NULL,
    queued_at INTEGER NOT NULL,  -- seconds since the epoch
    tries INTEGER NOT NULL DEFAULT 0,  -- attempts in vain
    refused INTEGER NOT NULL DEFAULT 0,  -- those that the target answered with a refusal
    problem TEXT NOT NULL DEFAULT '',
    dead_at INTEGER,
    UNIQUE (target, id)
);

CREATE INDEX giftless_webhooks_waiting ON giftless_webhooks (target, number)
    WHERE dead_at IS NULL;

CREATE INDEX giftless_webhooks_dead ON giftless_webhooks (target, number)
    WHERE dead_at IS NOT NULL;

-- The process that delivers to a target counts beats as long as it lives.  A target that
-- has answered 410 is left alone until its URL is another one (SHA-256).
CREATE TABLE giftless_webhook_targets (
    name TEXT PRIMARY KEY,
    holder TEXT NOT NULL DEFAULT '',
    beat INTEGER NOT NULL DEFAULT 0,
    due_at INTEGER NOT NULL DEFAULT 0,
    gone TEXT NOT NULL DEFAULT ''
);
