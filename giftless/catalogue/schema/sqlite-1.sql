-- What is known of objects.  Times are seconds since the epoch, oids are 32 bytes.

-- A repository, and how much it has.  A row is never deleted, and its id stays: renaming a
-- repository changes its path alone.
CREATE TABLE giftless_catalogue_repos (
    id INTEGER PRIMARY KEY,
    path TEXT NOT NULL UNIQUE,
    org TEXT NOT NULL,  -- the first segment of the path
    objects INTEGER NOT NULL DEFAULT 0,  -- stored, or leaving for the trash
    size INTEGER NOT NULL DEFAULT 0,
    leaving INTEGER NOT NULL DEFAULT 0,
    trashed INTEGER NOT NULL DEFAULT 0,
    trashed_size INTEGER NOT NULL DEFAULT 0,
    reserved INTEGER NOT NULL DEFAULT 0
);

-- An object of a repository: stored (state 0), leaving for the trash (1), trashed (2) or
-- leaving it to be deleted (3).
--
-- What is pushed is appended, and indexes are small, so that recording writes few pages:
-- they hold the number of an entry, which is never used twice, and of an oid the first eight
-- bytes alone where several may be found.
CREATE TABLE giftless_catalogue_entries (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    repo INTEGER NOT NULL,
    oid BLOB NOT NULL,
    size INTEGER NOT NULL,
    stored_at REAL NOT NULL,
    offered_at REAL NOT NULL,
    state INTEGER NOT NULL,
    who TEXT NOT NULL,
    principal TEXT NOT NULL,
    filename TEXT NOT NULL,
    moved_at REAL NOT NULL,
    reason TEXT NOT NULL,
    moved_by TEXT NOT NULL,
    shared INTEGER NOT NULL,  -- 1 if another repository has, or had, the oid too
    short INTEGER NOT NULL,  -- the first eight bytes of the oid
    UNIQUE (repo, oid)
);

-- Each leads through a repository in one order; the orders of all repositories are merged.
CREATE INDEX giftless_catalogue_by_size ON giftless_catalogue_entries (repo, state, size);
CREATE INDEX giftless_catalogue_by_stored ON giftless_catalogue_entries (repo, state, stored_at);
CREATE INDEX giftless_catalogue_by_offered ON giftless_catalogue_entries (repo, state, offered_at);
CREATE INDEX giftless_catalogue_by_moved ON giftless_catalogue_entries (repo, state, moved_at)
    WHERE state <> 0;
CREATE INDEX giftless_catalogue_apart ON giftless_catalogue_entries (repo, oid) WHERE state <> 0;

CREATE INDEX giftless_catalogue_by_oid ON giftless_catalogue_entries (short);
CREATE INDEX giftless_catalogue_shared ON giftless_catalogue_entries (oid, size, repo)
    WHERE shared <> 0;

-- How much a repository has by person (1), by month (2) and by extension (3); and how much
-- all have together, in rows whose repo is 0.
CREATE TABLE giftless_catalogue_usage (
    repo INTEGER NOT NULL,
    kind INTEGER NOT NULL,
    name TEXT NOT NULL,
    objects INTEGER NOT NULL,
    size INTEGER NOT NULL,
    trashed INTEGER NOT NULL,
    trashed_size INTEGER NOT NULL,
    PRIMARY KEY (repo, kind, name)
) WITHOUT ROWID;

-- Room that was promised to an upload.
CREATE TABLE giftless_catalogue_promises (
    repo INTEGER NOT NULL,
    oid BLOB NOT NULL,
    size INTEGER NOT NULL,
    charged INTEGER NOT NULL,  -- what it adds to what is stored
    expires_at REAL NOT NULL,
    PRIMARY KEY (repo, oid)
) WITHOUT ROWID;

CREATE INDEX giftless_catalogue_by_expiry ON giftless_catalogue_promises (expires_at);

-- What is counted in periods.
CREATE TABLE giftless_catalogue_counters (
    period INTEGER NOT NULL,
    name TEXT NOT NULL,
    amount INTEGER NOT NULL,
    PRIMARY KEY (period, name)
) WITHOUT ROWID;

-- Names under which clients know repositories that are kept elsewhere.
CREATE TABLE giftless_catalogue_aliases (
    name TEXT PRIMARY KEY,
    kept TEXT NOT NULL
) WITHOUT ROWID;
