-- A repository's locks, at most one for each path.  The number gives them an
-- order that never changes, and is never used twice; the id is what clients see.
CREATE TABLE giftless_locks (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    repo TEXT NOT NULL,
    path TEXT NOT NULL,
    owner TEXT NOT NULL,
    locked_at INTEGER NOT NULL,  -- seconds since the epoch
    UNIQUE (repo, path)
);

CREATE INDEX giftless_locks_in_order ON giftless_locks (repo, number);
