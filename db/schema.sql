-- The store of patchgauge, version 1. Applied once to an empty file, in one transaction, by db/store.c, which also sets
-- application_id and user_version. Later versions are added as db/migrate-N.sql (from version N - 1 to N); a released
-- schema file never changes.
--
-- Ids in text are SHA-256 in lower-case hexadecimal and mean the same in every store; integer keys mean something in this file only.
-- Text times are UTC and recorded only: nothing is decided by a clock.

-- What this file is: store_id (random, tells shards apart), created_by (version of the program).
CREATE TABLE meta (
    key   TEXT PRIMARY KEY NOT NULL,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- A split of a data set, by content.
CREATE TABLE dataset (
    dataset INTEGER PRIMARY KEY,
    hash    TEXT NOT NULL CHECK (length(hash) = 64),
    split   TEXT NOT NULL,
    name    TEXT NOT NULL,                        -- as given when first seen; not part of identity
    images  INTEGER NOT NULL CHECK (images >= 0),
    classes INTEGER NOT NULL CHECK (classes >= 1),
    UNIQUE (hash, split)
) STRICT;

CREATE TABLE label (
    dataset INTEGER NOT NULL REFERENCES dataset,
    image   INTEGER NOT NULL CHECK (image >= 0),
    label   INTEGER NOT NULL CHECK (label >= 0),
    PRIMARY KEY (dataset, image)
) STRICT, WITHOUT ROWID;

-- One kind of forward pass: all that needs its own pass of the network (or of attack and network).
CREATE TABLE forward (
    forward     INTEGER PRIMARY KEY,
    forward_key TEXT NOT NULL UNIQUE CHECK (length(forward_key) = 64),
    canonical   TEXT NOT NULL,
    dataset     INTEGER NOT NULL REFERENCES dataset
) STRICT;

-- One row of a result table.
CREATE TABLE cell (
    cell        INTEGER PRIMARY KEY,
    cell_id     TEXT NOT NULL UNIQUE CHECK (length(cell_id) = 64),
    forward     INTEGER NOT NULL REFERENCES forward,
    first       INTEGER NOT NULL CHECK (first >= 0),
    count       INTEGER NOT NULL CHECK (count >= 1),
    canonical   TEXT NOT NULL,                    -- identity: sorted key=value lines; cell_id is its SHA-256
    settings    TEXT NOT NULL,                    -- the same with names for hashes: equal settings, other id: stale
    settings_id TEXT NOT NULL CHECK (length(settings_id) = 64), -- SHA-256 of settings
    details     TEXT NOT NULL,                    -- derived facts: window, certificate, hashes; key=value lines
    delta       INTEGER CHECK (delta >= 0),       -- measured locality in grid units; NULL: not measured
    checksum    INTEGER NOT NULL                  -- FNV-1a over the columns above but the keys
) STRICT;
CREATE INDEX cell_by_settings ON cell (settings_id);

-- The matrices whose cells were asked for, frozen as they were.
CREATE TABLE plan (
    plan      INTEGER PRIMARY KEY,
    plan_id   TEXT NOT NULL UNIQUE CHECK (length(plan_id) = 64), -- SHA-256 of the cell ids in order
    name      TEXT NOT NULL,
    matrix    TEXT NOT NULL,                      -- text of the file
    overrides TEXT NOT NULL,                      -- -S options, one a line
    created   TEXT NOT NULL
) STRICT;
CREATE TABLE plan_cell (
    plan     INTEGER NOT NULL REFERENCES plan,
    position INTEGER NOT NULL CHECK (position >= 0),
    cell     INTEGER NOT NULL REFERENCES cell,
    PRIMARY KEY (plan, position)
) STRICT, WITHOUT ROWID;

-- A process that runs tasks. It lives as long as it holds the lock of its lock file, "<store>.worker-<token>".
CREATE TABLE worker (
    worker   INTEGER PRIMARY KEY,
    token    TEXT NOT NULL UNIQUE,
    host     TEXT NOT NULL,
    pid      INTEGER NOT NULL,
    revision TEXT NOT NULL,                       -- of patchgauge
    versions TEXT NOT NULL,                       -- libraries and system; key=value lines
    device   TEXT NOT NULL,                       -- as asked for; an attempt names the one it used
    threads  INTEGER NOT NULL CHECK (threads >= 0),
    started  TEXT NOT NULL,
    ended    TEXT                                 -- NULL: running, or died without a word
) STRICT;

-- The unit of claiming, running and committing. `epoch` grows with every claim; who finishes names the epoch it claimed.
CREATE TABLE task (
    task     INTEGER PRIMARY KEY,
    forward  INTEGER NOT NULL REFERENCES forward,
    first    INTEGER NOT NULL CHECK (first >= 0),
    count    INTEGER NOT NULL CHECK (count >= 1),
    state    TEXT NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'running', 'done', 'failed')),
    owner    INTEGER REFERENCES worker,
    epoch    INTEGER NOT NULL DEFAULT 0 CHECK (epoch >= 0),
    attempts INTEGER NOT NULL DEFAULT 0 CHECK (attempts >= 0), -- failed ones; given up at three
    error    TEXT,                                -- reason of the last failure
    CHECK ((state = 'running') = (owner IS NOT NULL)),
    CHECK (state <> 'failed' OR error IS NOT NULL)
) STRICT;
CREATE INDEX task_by_forward ON task (forward, first);
CREATE INDEX task_open ON task (state, forward, first) WHERE state <> 'done';

-- The cells a task serves.
CREATE TABLE task_cell (
    task INTEGER NOT NULL REFERENCES task,
    cell INTEGER NOT NULL REFERENCES cell,
    PRIMARY KEY (task, cell)
) STRICT, WITHOUT ROWID;
CREATE INDEX task_cell_by_cell ON task_cell (cell, task);

-- Every try at a task that came to an end: done, failed, lost (its worker died), or stale (finished too late to count).
CREATE TABLE attempt (
    attempt     INTEGER PRIMARY KEY,
    task        INTEGER NOT NULL REFERENCES task,
    worker      INTEGER REFERENCES worker,
    epoch       INTEGER NOT NULL,
    result      TEXT NOT NULL CHECK (result IN ('done', 'failed', 'lost', 'stale')),
    device      TEXT NOT NULL,                    -- used: "cpu", "cuda:0"
    library     TEXT NOT NULL,                    -- that computed: "libtorch 1.13.1", or "" for models without one
    threads     INTEGER NOT NULL CHECK (threads >= 0), -- of the forward pass
    batch       INTEGER NOT NULL CHECK (batch >= 0), -- used; smaller than the forward's: memory ran out, not byte-identical
    cached      INTEGER NOT NULL CHECK (cached >= 0), -- images whose features came from the cache
    wall_s      REAL NOT NULL,
    read_s      REAL NOT NULL,
    forward_s   REAL NOT NULL,
    certify_s   REAL NOT NULL,
    peak_bytes  INTEGER NOT NULL,                 -- of the process
    error       TEXT,
    finished    TEXT NOT NULL
) STRICT;
CREATE INDEX attempt_by_task ON attempt (task);

-- One image of one cell, immutable.
CREATE TABLE outcome (
    cell         INTEGER NOT NULL REFERENCES cell,
    image        INTEGER NOT NULL CHECK (image >= 0),
    prediction   INTEGER NOT NULL CHECK (prediction >= -1),          -- -1: a NaN or infinity in the tensor
    certified    INTEGER NOT NULL CHECK (certified IN (0, 1)),
    published    INTEGER NOT NULL CHECK (published IN (0, 1)),       -- the paper's own certificate
    masked       INTEGER NOT NULL CHECK (masked IN (0, 1)),
    margin       INTEGER,                                            -- grid units of 2^-20
    failure_case INTEGER CHECK (failure_case BETWEEN 0 AND 4),
    attacked     INTEGER CHECK (attacked >= -1),                     -- prediction under attack; NULL: no attack
    PRIMARY KEY (cell, image),
    CHECK (NOT (certified = 1 AND prediction = -1))
) STRICT, WITHOUT ROWID;

-- What a task adds to a cell. Sums of these are the cell's result.
CREATE TABLE summary (
    cell       INTEGER NOT NULL REFERENCES cell,
    task       INTEGER NOT NULL REFERENCES task,
    attempt    INTEGER NOT NULL REFERENCES attempt,
    n          INTEGER NOT NULL CHECK (n >= 1),
    clean      INTEGER NOT NULL CHECK (clean BETWEEN 0 AND n),
    certified  INTEGER NOT NULL CHECK (certified BETWEEN 0 AND clean),
    published  INTEGER NOT NULL CHECK (published BETWEEN 0 AND n),
    nonfinite  INTEGER NOT NULL CHECK (nonfinite BETWEEN 0 AND n),
    masked     INTEGER NOT NULL CHECK (masked BETWEEN 0 AND n),
    case0      INTEGER NOT NULL, case1 INTEGER NOT NULL, case2 INTEGER NOT NULL,
    case3      INTEGER NOT NULL, case4 INTEGER NOT NULL,
    attacked_n INTEGER NOT NULL CHECK (attacked_n BETWEEN 0 AND n),  -- images with an attack
    attacked   INTEGER NOT NULL CHECK (attacked BETWEEN 0 AND attacked_n), -- still right under it
    margin     INTEGER CHECK (margin > 0),        -- smallest positive one of a certified image
    outcomes   INTEGER NOT NULL,                  -- FNV-1a over the task's outcomes of this cell and their labels
    checksum   INTEGER NOT NULL,                  -- FNV-1a over the columns above
    PRIMARY KEY (cell, task)
) STRICT, WITHOUT ROWID;

-- What an attack did to an image, one row per image of an attacked cell.
CREATE TABLE attack (
    cell    INTEGER NOT NULL,
    image   INTEGER NOT NULL,
    top     INTEGER NOT NULL CHECK (top >= 0),
    "left"  INTEGER NOT NULL CHECK ("left" >= 0),
    target  INTEGER CHECK (target >= 0),          -- NULL: untargeted
    loss    REAL,
    steps   INTEGER NOT NULL CHECK (steps >= 0),
    before  INTEGER NOT NULL CHECK (before >= -1),
    after   INTEGER NOT NULL CHECK (after >= -1), -- on pixels rounded to 8 bits, by the deployed path
    patch   BLOB,                                 -- the rounded pixels, planes R, G, B
    PRIMARY KEY (cell, image),
    FOREIGN KEY (cell, image) REFERENCES outcome
) STRICT, WITHOUT ROWID;

-- One audit of one cell: at the level of features, of pixels, or of locality.
CREATE TABLE audit (
    cell        INTEGER NOT NULL REFERENCES cell,
    level       TEXT NOT NULL CHECK (level IN ('feature', 'pixel', 'locality')),
    settings    TEXT NOT NULL,                    -- of the audit; key=value lines
    n           INTEGER NOT NULL CHECK (n >= 0),
    certified   INTEGER NOT NULL CHECK (certified >= 0),
    broken      INTEGER NOT NULL CHECK (broken >= 0),      -- certified and broken: zero for a sound rule
    unbroken    INTEGER NOT NULL CHECK (unbroken >= 0),    -- not certified and not broken: zero for an exact rule
    published_broken INTEGER NOT NULL CHECK (published_broken >= 0),
    delta       INTEGER CHECK (delta >= 0),       -- locality: largest change outside the window
    witness     TEXT,                             -- image, window, class, contents of the first break
    finished    TEXT NOT NULL,
    PRIMARY KEY (cell, level, settings)
) STRICT, WITHOUT ROWID;

-- Shards that were merged into this store, so that merging twice changes nothing.
CREATE TABLE shard (
    store_id TEXT PRIMARY KEY NOT NULL,
    plan     INTEGER REFERENCES plan,
    name     TEXT NOT NULL,
    tasks    INTEGER NOT NULL CHECK (tasks >= 0),
    merged   TEXT NOT NULL
) STRICT, WITHOUT ROWID;
