-- Who holds a lock: who vouches for them, and their id there.  Two people may have one
-- name, which the owner is.  NULL: the lock was made by a giftless that knew names alone.
ALTER TABLE giftless_locks ADD COLUMN principal TEXT;
