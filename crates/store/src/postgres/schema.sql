CREATE TABLE meta (
    name text PRIMARY KEY,
    value text NOT NULL
);

CREATE SEQUENCE versions;

CREATE TABLE records (
    tbl text COLLATE "C" NOT NULL,
    key text COLLATE "C" NOT NULL,
    version bigint NOT NULL,
    status text COLLATE "C",
    grp text COLLATE "C",
    owner text COLLATE "C",
    due bigint,
    created bigint NOT NULL,
    updated bigint NOT NULL,
    body bytea NOT NULL,
    PRIMARY KEY (tbl, key)
) WITH (fillfactor = 85);

CREATE INDEX records_created ON records (tbl, created, key);
CREATE INDEX records_due ON records (tbl, due, key) WHERE due IS NOT NULL;
CREATE INDEX records_status ON records (tbl, status, created, key) WHERE status IS NOT NULL;
CREATE INDEX records_grp ON records (tbl, grp, created, key) WHERE grp IS NOT NULL;
CREATE INDEX records_owner ON records (tbl, owner, created, key) WHERE owner IS NOT NULL;

-- total counts the bytes of all entries ever appended, base those of the entries before first.
CREATE TABLE logs (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tbl text COLLATE "C" NOT NULL,
    key text COLLATE "C" NOT NULL,
    first bigint NOT NULL,
    next bigint NOT NULL,
    base bigint NOT NULL,
    total bigint NOT NULL,
    born bigint NOT NULL,
    updated bigint NOT NULL,
    UNIQUE (tbl, key)
) WITH (fillfactor = 85);

-- ends is the total of the log after this entry.
CREATE TABLE entries (
    log bigint NOT NULL,
    position bigint NOT NULL,
    at bigint NOT NULL,
    ends bigint NOT NULL,
    body bytea NOT NULL,
    PRIMARY KEY (log, position)
);

CREATE TABLE blobs (
    hash bytea PRIMARY KEY,
    owners bigint NOT NULL,
    bytes bigint NOT NULL,
    body bytea NOT NULL
);

CREATE INDEX blobs_without_owner ON blobs (hash) WHERE owners <= 0;

CREATE TABLE blob_owners (
    tbl text COLLATE "C" NOT NULL,
    key text COLLATE "C" NOT NULL,
    hash bytea NOT NULL,
    PRIMARY KEY (tbl, key, hash)
);

-- Takes the locks of all names, or that of the whole store, until the end of the transaction.
CREATE FUNCTION lock_names(store bigint, whole boolean, names bigint[])
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    name bigint;
BEGIN
    IF whole THEN
        PERFORM pg_advisory_xact_lock(store);
    ELSE
        PERFORM pg_advisory_xact_lock_shared(store);
        FOREACH name IN ARRAY names LOOP
            PERFORM pg_advisory_xact_lock(name);
        END LOOP;
    END IF;
END $$;

-- Moves the beginning of a log to the first entry that may stay.
CREATE FUNCTION trim_log(log_id bigint, keep_from bigint, keep_entries bigint, keep_bytes bigint, oldest bigint)
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    l logs%ROWTYPE;
    lowest bigint;
    new_first bigint;
    new_base bigint;
BEGIN
    SELECT * INTO l FROM logs WHERE id = log_id;
    lowest := least(greatest(l.first, coalesce(keep_from, l.first), l.next - coalesce(keep_entries, l.next)), l.next);
    IF l.first = l.next OR (lowest = l.first AND oldest IS NULL AND (keep_bytes IS NULL OR l.total - l.base <= keep_bytes)) THEN
        RETURN;
    END IF;
    SELECT position, ends - octet_length(body) INTO new_first, new_base FROM entries
    WHERE log = log_id AND position >= lowest
        AND (keep_bytes IS NULL OR ends - octet_length(body) >= l.total - keep_bytes)
        AND (oldest IS NULL OR at >= oldest)
    ORDER BY position LIMIT 1;
    IF NOT FOUND THEN
        new_first := l.next;
        new_base := l.total;
    END IF;
    IF new_first > l.first THEN
        DELETE FROM entries WHERE log = log_id AND position < new_first;
        UPDATE logs SET first = new_first, base = new_base WHERE id = log_id;
    END IF;
END $$;

-- Appends the entries of operation number op, and returns first, end and birth.
CREATE FUNCTION append_log(t text, k text, op bigint, entry_ops bigint[], bodies bytea[], stamp bigint, instant bigint)
RETURNS bigint[] LANGUAGE plpgsql AS $$
DECLARE
    l logs%ROWTYPE;
    added bigint;
    grown bigint;
BEGIN
    SELECT * INTO l FROM logs WHERE tbl = t AND key = k FOR UPDATE;
    IF NOT FOUND THEN
        INSERT INTO logs (tbl, key, first, next, base, total, born, updated)
        VALUES (t, k, 0, 0, 0, 0, stamp, instant) RETURNING * INTO l;
    END IF;
    WITH put AS (
        INSERT INTO entries (log, position, at, ends, body)
        SELECT l.id, l.next + row_number() OVER (ORDER BY e.n) - 1, greatest(l.updated, instant),
            l.total + sum(octet_length(e.body)) OVER (ORDER BY e.n), e.body
        FROM unnest(entry_ops, bodies) WITH ORDINALITY AS e (op, body, n)
        WHERE e.op = append_log.op
        RETURNING octet_length(body) AS size
    )
    SELECT count(*), coalesce(sum(size), 0) INTO added, grown FROM put;
    UPDATE logs SET next = l.next + added, total = l.total + grown, updated = greatest(l.updated, instant) WHERE id = l.id;
    RETURN ARRAY[l.next, l.next + added, l.born];
END $$;

-- One owner less for some blobs; those without any are deleted.
CREATE FUNCTION forget_blobs(hashes bytea[])
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF cardinality(hashes) > 0 THEN
        UPDATE blobs SET owners = owners - 1 WHERE hash = ANY (hashes);
        DELETE FROM blobs WHERE hash = ANY (hashes) AND owners <= 0;
    END IF;
END $$;

-- One commit. The caller holds the locks of all names that it mentions. All expectations are checked before anything is
-- written; failed is the number of the operation whose expectation does not hold, and nothing was written then.
--
-- kinds: 0 put, 1 delete, 2 check, 3 append, 4 trim, 5 drop log, 6 put blob, 7 drop blob.
-- expects: of records -1 absent, -2 present, otherwise a version; of logs their end; NULL for nothing.
CREATE FUNCTION apply_commit(
    instant bigint,
    kinds smallint[], tbls text[], keys text[], expects bigint[],
    statuses text[], grps text[], owner_names text[], dues bigint[], createds bigint[],
    bodies bytea[], hashes bytea[],
    keep_froms bigint[], keep_entries bigint[], keep_bytes bigint[], oldests bigint[],
    entry_ops bigint[], entry_bodies bytea[],
    OUT stamp bigint, OUT failed bigint, OUT seen bigint, OUT appended bigint[]
) LANGUAGE plpgsql AS $$
DECLARE
    o record;
    log_id bigint;
    gone bytea[];
BEGIN
    appended := '{}';
    FOR o IN SELECT * FROM unnest(kinds, tbls, keys, expects) WITH ORDINALITY AS a (kind, tbl, key, expect, n)
        WHERE a.expect IS NOT NULL
    LOOP
        IF o.kind IN (3, 5) THEN
            SELECT l.next INTO seen FROM logs l WHERE l.tbl = o.tbl AND l.key = o.key FOR UPDATE;
            CONTINUE WHEN coalesce(seen, 0) = o.expect;
        ELSE
            SELECT r.version INTO seen FROM records r WHERE r.tbl = o.tbl AND r.key = o.key FOR UPDATE;
            CONTINUE WHEN CASE o.expect WHEN -1 THEN seen IS NULL WHEN -2 THEN seen IS NOT NULL
                ELSE seen IS NOT DISTINCT FROM o.expect END;
        END IF;
        failed := o.n;
        RETURN;
    END LOOP;
    stamp := nextval('versions');
    FOR o IN SELECT * FROM unnest(kinds, tbls, keys, expects, statuses, grps, owner_names, dues, createds, bodies, hashes,
            keep_froms, keep_entries, keep_bytes, oldests)
        WITH ORDINALITY AS a (kind, tbl, key, expect, status, grp, owner, due, created, body, hash, kfrom, kentries, kbytes, oldest, n)
    LOOP
        CASE o.kind
        WHEN 0 THEN
            IF o.expect = -1 THEN
                INSERT INTO records (tbl, key, version, status, grp, owner, due, created, updated, body)
                VALUES (o.tbl, o.key, stamp, o.status, o.grp, o.owner, o.due, o.created, instant, o.body);
            ELSE
                UPDATE records r SET version = stamp, status = o.status, grp = o.grp, owner = o.owner, due = o.due,
                    created = o.created, updated = instant, body = o.body
                WHERE r.tbl = o.tbl AND r.key = o.key;
            END IF;
        WHEN 1 THEN
            DELETE FROM records r WHERE r.tbl = o.tbl AND r.key = o.key;
            WITH released AS (DELETE FROM blob_owners b WHERE b.tbl = o.tbl AND b.key = o.key RETURNING b.hash)
            SELECT array_agg(hash) INTO gone FROM released;
            PERFORM forget_blobs(gone);
        WHEN 3 THEN
            appended := appended || append_log(o.tbl, o.key, o.n, entry_ops, entry_bodies, stamp, instant);
            SELECT l.id INTO log_id FROM logs l WHERE l.tbl = o.tbl AND l.key = o.key;
            PERFORM trim_log(log_id, o.kfrom, o.kentries, o.kbytes, o.oldest);
        WHEN 4 THEN
            SELECT l.id INTO log_id FROM logs l WHERE l.tbl = o.tbl AND l.key = o.key FOR UPDATE;
            IF FOUND THEN
                PERFORM trim_log(log_id, o.kfrom, o.kentries, o.kbytes, o.oldest);
            END IF;
        WHEN 5 THEN
            DELETE FROM logs l WHERE l.tbl = o.tbl AND l.key = o.key RETURNING l.id INTO log_id;
            IF FOUND THEN
                DELETE FROM entries e WHERE e.log = log_id;
            END IF;
        WHEN 6 THEN
            INSERT INTO blob_owners (tbl, key, hash) VALUES (o.tbl, o.key, o.hash) ON CONFLICT DO NOTHING;
            IF FOUND THEN
                INSERT INTO blobs (hash, owners, bytes, body) VALUES (o.hash, 1, octet_length(o.body), o.body)
                ON CONFLICT (hash) DO UPDATE SET owners = blobs.owners + 1;
            END IF;
        WHEN 7 THEN
            DELETE FROM blob_owners b WHERE b.tbl = o.tbl AND b.key = o.key AND b.hash = o.hash;
            IF FOUND THEN
                PERFORM forget_blobs(ARRAY[o.hash]);
            END IF;
        ELSE
            NULL;
        END CASE;
    END LOOP;
END $$;

-- Takes records that are due. Those that somebody else works on right now are passed over.
CREATE FUNCTION claim_records(t text, instant bigint, until bigint, most bigint, most_bytes bigint)
RETURNS SETOF records LANGUAGE plpgsql AS $$
DECLARE
    taken text[];
    stamp bigint;
BEGIN
    SELECT array_agg(s.key) INTO taken FROM (
        SELECT q.key, sum(q.size) OVER (ORDER BY q.due, q.key) - q.size AS before FROM (
            SELECT r.key, r.due, octet_length(r.body) AS size FROM records r
            WHERE r.tbl = t AND r.due <= instant
            ORDER BY r.due, r.key LIMIT most FOR UPDATE SKIP LOCKED
        ) q
    ) s WHERE s.before < most_bytes;
    IF taken IS NULL THEN
        RETURN;
    END IF;
    stamp := nextval('versions');
    RETURN QUERY WITH claimed AS (
        SELECT r.key, r.due FROM records r WHERE r.tbl = t AND r.key = ANY (taken)
    ), changed AS (
        UPDATE records r SET version = stamp, due = until, updated = instant
        WHERE r.tbl = t AND r.key = ANY (taken) RETURNING r.*
    )
    SELECT changed.* FROM changed JOIN claimed USING (key) ORDER BY claimed.due, changed.key;
END $$;
