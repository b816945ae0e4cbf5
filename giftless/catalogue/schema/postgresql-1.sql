-- What is known of objects.  Times are seconds since the epoch, oids are 32 bytes.

-- A repository, and how much it has.  A row is never deleted, and its id stays: renaming a
-- repository changes its path alone.
CREATE TABLE giftless_catalogue_repos (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    path text COLLATE "C" NOT NULL UNIQUE,
    org text COLLATE "C" NOT NULL,  -- the first segment of the path
    objects bigint NOT NULL DEFAULT 0,  -- stored, or leaving for the trash
    size bigint NOT NULL DEFAULT 0,
    leaving bigint NOT NULL DEFAULT 0,
    trashed bigint NOT NULL DEFAULT 0,
    trashed_size bigint NOT NULL DEFAULT 0,
    reserved bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 70);

-- An object of a repository: stored (state 0), leaving for the trash (1), trashed (2) or
-- leaving it to be deleted (3).
CREATE TABLE giftless_catalogue_entries (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    repo bigint NOT NULL,
    oid bytea NOT NULL,
    size bigint NOT NULL,
    stored_at double precision NOT NULL,
    offered_at double precision NOT NULL,
    state smallint NOT NULL,
    who text NOT NULL,
    principal text NOT NULL,
    filename text NOT NULL,
    moved_at double precision NOT NULL,
    reason text NOT NULL,
    moved_by text NOT NULL,
    shared smallint NOT NULL,  -- 1 if another repository has, or had, the oid too
    short bigint NOT NULL,  -- the first eight bytes of the oid
    UNIQUE (repo, oid)
);

-- Each leads through a repository, or through all, in one order.
CREATE INDEX giftless_catalogue_by_size
    ON giftless_catalogue_entries (repo, state, size, number);
CREATE INDEX giftless_catalogue_by_stored
    ON giftless_catalogue_entries (repo, state, stored_at, number);
CREATE INDEX giftless_catalogue_by_offered
    ON giftless_catalogue_entries (repo, state, offered_at, number);
CREATE INDEX giftless_catalogue_by_moved
    ON giftless_catalogue_entries (repo, state, moved_at, number) WHERE state <> 0;
CREATE INDEX giftless_catalogue_all_by_size
    ON giftless_catalogue_entries (state, size, number);
CREATE INDEX giftless_catalogue_all_by_stored
    ON giftless_catalogue_entries (state, stored_at, number);
CREATE INDEX giftless_catalogue_all_by_offered
    ON giftless_catalogue_entries (state, offered_at, number);
CREATE INDEX giftless_catalogue_all_by_moved
    ON giftless_catalogue_entries (state, moved_at, number) WHERE state <> 0;
CREATE INDEX giftless_catalogue_apart
    ON giftless_catalogue_entries (repo, oid) WHERE state <> 0;

CREATE INDEX giftless_catalogue_by_oid
    ON giftless_catalogue_entries (short);
CREATE INDEX giftless_catalogue_shared
    ON giftless_catalogue_entries (oid, size, repo) WHERE shared <> 0;

-- How much a repository has by person (1), by month (2) and by extension (3); and how much
-- all have together, in rows whose repo is 0.
CREATE TABLE giftless_catalogue_usage (
    repo bigint NOT NULL,
    kind smallint NOT NULL,
    name text COLLATE "C" NOT NULL,
    objects bigint NOT NULL,
    size bigint NOT NULL,
    trashed bigint NOT NULL,
    trashed_size bigint NOT NULL,
    PRIMARY KEY (repo, kind, name)
) WITH (fillfactor = 70);

-- Room that was promised to an upload.
CREATE TABLE giftless_catalogue_promises (
    repo bigint NOT NULL,
    oid bytea NOT NULL,
    size bigint NOT NULL,
    charged bigint NOT NULL,  -- what it adds to what is stored
    expires_at double precision NOT NULL,
    PRIMARY KEY (repo, oid)
);

CREATE INDEX giftless_catalogue_by_expiry ON giftless_catalogue_promises (expires_at);

-- What is counted in periods.
CREATE TABLE giftless_catalogue_counters (
    period bigint NOT NULL,
    name text COLLATE "C" NOT NULL,
    amount bigint NOT NULL,
    PRIMARY KEY (period, name)
);

-- Names under which clients know repositories that are kept elsewhere.
CREATE TABLE giftless_catalogue_aliases (
    name text COLLATE "C" PRIMARY KEY,
    kept text COLLATE "C" NOT NULL
);
