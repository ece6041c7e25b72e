CREATE TABLE meta (
    name TEXT PRIMARY KEY,
    value ANY NOT NULL
) STRICT, WITHOUT ROWID;

INSERT INTO meta (name, value) VALUES ('version', 0);

CREATE TABLE records (
    id INTEGER PRIMARY KEY,
    tbl TEXT NOT NULL,
    key TEXT NOT NULL,
    version INTEGER NOT NULL,
    status TEXT,
    grp TEXT,
    owner TEXT,
    due INTEGER,
    created INTEGER NOT NULL,
    updated INTEGER NOT NULL,
    body BLOB NOT NULL
) STRICT;

CREATE UNIQUE INDEX records_key ON records (tbl, key);
CREATE INDEX records_created ON records (tbl, created, key);
CREATE INDEX records_due ON records (tbl, due, key) WHERE due IS NOT NULL;
CREATE INDEX records_status ON records (tbl, status, created, key) WHERE status IS NOT NULL;
CREATE INDEX records_grp ON records (tbl, grp, created, key) WHERE grp IS NOT NULL;
CREATE INDEX records_owner ON records (tbl, owner, created, key) WHERE owner IS NOT NULL;

-- total counts the bytes of all entries ever appended, base those of the entries before first.
CREATE TABLE logs (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    tbl TEXT NOT NULL,
    key TEXT NOT NULL,
    first INTEGER NOT NULL,
    next INTEGER NOT NULL,
    base INTEGER NOT NULL,
    total INTEGER NOT NULL,
    born INTEGER NOT NULL,
    updated INTEGER NOT NULL
) STRICT;

CREATE UNIQUE INDEX logs_key ON logs (tbl, key);

-- ends is the total of the log after this entry.
CREATE TABLE entries (
    log INTEGER NOT NULL,
    position INTEGER NOT NULL,
    at INTEGER NOT NULL,
    ends INTEGER NOT NULL,
    body BLOB NOT NULL,
    PRIMARY KEY (log, position)
) STRICT, WITHOUT ROWID;

-- Entries that no log has any more, and that are still to be deleted: those before a position.
CREATE TABLE garbage (
    log INTEGER PRIMARY KEY,
    before INTEGER NOT NULL
) STRICT;

CREATE TABLE blobs (
    id INTEGER PRIMARY KEY,
    hash BLOB NOT NULL UNIQUE,
    owners INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    body BLOB NOT NULL
) STRICT;

CREATE TABLE blob_owners (
    tbl TEXT NOT NULL,
    key TEXT NOT NULL,
    hash BLOB NOT NULL,
    PRIMARY KEY (tbl, key, hash)
) STRICT, WITHOUT ROWID;
