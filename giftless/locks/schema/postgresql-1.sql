-- A repository's locks, at most one for each path.  The number gives them an
-- order that never changes, and is never used twice; the id is what clients see.
--
-- An entry of an index has 2704 bytes at most, and a path may have 4096: so it is
-- the path's SHA-256 that is unique.  A backslash is doubled because in the text
-- form of bytes it begins an escape.
CREATE TABLE giftless_locks (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id text COLLATE "C" NOT NULL UNIQUE,
    repo text COLLATE "C" NOT NULL,
    path text COLLATE "C" NOT NULL,
    path_sha256 bytea NOT NULL
        GENERATED ALWAYS AS (sha256(replace(path, '\', '\\')::bytea)) STORED,
    owner text NOT NULL,
    locked_at bigint NOT NULL,  -- seconds since the epoch
    UNIQUE (repo, path_sha256)
);

CREATE INDEX giftless_locks_in_order ON giftless_locks (repo, number);
