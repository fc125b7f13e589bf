-- A store as version 4 wrote it: the cells of store-3.sql, the first with settings and details like those of a real one, resized
-- images, and what the grid did to images.
PRAGMA application_id = 1885823349;
PRAGMA user_version = 4;
PRAGMA foreign_keys=OFF;
BEGIN TRANSACTION;
CREATE TABLE meta (
    key   TEXT PRIMARY KEY NOT NULL,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO meta VALUES('store_id','0123456789abcdef0123456789abcdef');
CREATE TABLE dataset (
    dataset INTEGER PRIMARY KEY,
    hash    TEXT NOT NULL CHECK (length(hash) = 64),
    split   TEXT NOT NULL,
    name    TEXT NOT NULL,                        -- as given when first seen; not part of identity
    images  INTEGER NOT NULL CHECK (images >= 0),
    classes INTEGER NOT NULL CHECK (classes >= 1),
    UNIQUE (hash, split)
) STRICT;
INSERT INTO dataset VALUES(1,'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa','test','d:test@48x64',100,10);
CREATE TABLE label (
    dataset INTEGER NOT NULL REFERENCES dataset,
    image   INTEGER NOT NULL CHECK (image >= 0),
    label   INTEGER NOT NULL CHECK (label >= 0),
    PRIMARY KEY (dataset, image)
) STRICT, WITHOUT ROWID;
INSERT INTO label VALUES(1,0,0);
INSERT INTO label VALUES(1,1,1);
INSERT INTO label VALUES(1,2,2);
INSERT INTO label VALUES(1,3,3);
INSERT INTO label VALUES(1,4,4);
INSERT INTO label VALUES(1,5,5);
INSERT INTO label VALUES(1,6,6);
INSERT INTO label VALUES(1,7,7);
INSERT INTO label VALUES(1,8,8);
INSERT INTO label VALUES(1,9,9);
CREATE TABLE forward (
    forward     INTEGER PRIMARY KEY,
    forward_key TEXT NOT NULL UNIQUE CHECK (length(forward_key) = 64),
    canonical   TEXT NOT NULL,
    dataset     INTEGER NOT NULL REFERENCES dataset
) STRICT;
INSERT INTO forward VALUES(1,'092fcfbbcfca3b5be7ae1b5e58538e92c35ab273ae13664fed0d67484c8e78a6',replace('f\n','\n',char(10)),1);
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
INSERT INTO cell VALUES(1,'282a2b555a8fd21298137ec83ad88b49898b8755e1bec0faf9ebae28c65884b8',1,0,10,replace('cell=0\n','\n',char(10)),replace('attack=lavan\nattacker=input\nbatch=4\ndataset=d:test@48x64\ndefense=d0\ndtype=fp32\nlavan.through=mean\npatch=5\nseed=3\nweights=w\n','\n',char(10)),'330839e0846fea003b631d629c0a60dbb030e6e201d26c0a89d53fbb4470f4a4',replace('certificate=exact\012model=m\012note=a\nb\012patch.px=5x5\012reach.px=7x7\012seed=9\012window=1x1\012','\012',char(10)),5,-3053811193981329207);
INSERT INTO cell VALUES(2,'1643b98cf514dce5e2c770f4f56f1f293fc9846046659b84f41a34752dcda74d',1,0,10,replace('cell=1\n','\n',char(10)),replace('defense=d1\npatch=1\n','\n',char(10)),'d194eea9155ba4816739f5735362d671780d6d61da48eb68593f913129e89962',replace('window=1x1\n','\n',char(10)),NULL,8733180728733514139);
INSERT INTO cell VALUES(3,'1b3bfafd08fd9f65876c3f45d8ac0593752596f43ad66701ade2c89353461ff5',1,0,10,replace('cell=2\n','\n',char(10)),replace('defense=d0\npatch=2\n','\n',char(10)),'59997372ae711042fb6a2884a92f84543697f47abb9a97b3f2c0cf60a0efbfba',replace('window=1x1\n','\n',char(10)),5,-3699960384841505893);
INSERT INTO cell VALUES(4,'deead311fa2af21fabb74b718fc518b174b7a1be7d11264c4ca00326859e7f31',1,0,10,replace('cell=3\n','\n',char(10)),replace('defense=d1\npatch=3\n','\n',char(10)),'52b22539770cfd5afb4d7a1c7ccf62084587fd215c02a245ba342c0009c6ed7f',replace('window=1x1\n','\n',char(10)),5,3759206713473368098);
CREATE TABLE plan (
    plan      INTEGER PRIMARY KEY,
    plan_id   TEXT NOT NULL UNIQUE CHECK (length(plan_id) = 64), -- SHA-256 of the cell ids in order
    name      TEXT NOT NULL,
    matrix    TEXT NOT NULL,                      -- text of the file
    overrides TEXT NOT NULL,                      -- -S options, one a line
    created   TEXT NOT NULL
) STRICT;
INSERT INTO "plan" VALUES(1,'433bd50ea2c8891a6455ecb59ced6ad076db47d565db3b6066859f18a7fb7e38','p','','','2024-01-01T00:00:00Z');
INSERT INTO "plan" VALUES(2,'8a0843fa4a59f29ba04cbf145359c182889d942b1c4d8013e89e00be4efdb3bd','p','','','2024-01-01T00:00:00Z');
CREATE TABLE plan_cell (
    plan     INTEGER NOT NULL REFERENCES plan,
    position INTEGER NOT NULL CHECK (position >= 0),
    cell     INTEGER NOT NULL REFERENCES cell,
    PRIMARY KEY (plan, position)
) STRICT, WITHOUT ROWID;
INSERT INTO plan_cell VALUES(1,0,1);
INSERT INTO plan_cell VALUES(1,1,2);
INSERT INTO plan_cell VALUES(1,2,3);
INSERT INTO plan_cell VALUES(2,0,4);
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
INSERT INTO worker VALUES(1,'00112233445566778899aabbccddeeff','host',12,'test','','cpu',1,'2024-01-01T00:00:00Z',NULL);
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
INSERT INTO task VALUES(1,1,0,4,'done',NULL,1,0,NULL);
INSERT INTO task VALUES(2,1,4,4,'done',NULL,1,0,NULL);
INSERT INTO task VALUES(3,1,8,2,'done',NULL,1,0,NULL);
INSERT INTO task VALUES(4,1,0,4,'done',NULL,1,0,NULL);
INSERT INTO task VALUES(5,1,4,4,'failed',NULL,3,3,'out of luck');
INSERT INTO task VALUES(6,1,8,2,'running',1,1,0,NULL);
CREATE TABLE task_cell (
    task INTEGER NOT NULL REFERENCES task,
    cell INTEGER NOT NULL REFERENCES cell,
    PRIMARY KEY (task, cell)
) STRICT, WITHOUT ROWID;
INSERT INTO task_cell VALUES(1,1);
INSERT INTO task_cell VALUES(2,1);
INSERT INTO task_cell VALUES(3,1);
INSERT INTO task_cell VALUES(1,2);
INSERT INTO task_cell VALUES(2,2);
INSERT INTO task_cell VALUES(3,2);
INSERT INTO task_cell VALUES(1,3);
INSERT INTO task_cell VALUES(2,3);
INSERT INTO task_cell VALUES(3,3);
INSERT INTO task_cell VALUES(4,4);
INSERT INTO task_cell VALUES(5,4);
INSERT INTO task_cell VALUES(6,4);
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
INSERT INTO attempt VALUES(1,1,1,1,'done','cpu','',1,4,0,1.0,0.0,0.0,0.0,0,NULL,'2024-01-01T00:00:00Z');
INSERT INTO attempt VALUES(2,2,1,1,'done','cpu','',1,4,0,1.0,0.0,0.0,0.0,0,NULL,'2024-01-01T00:00:00Z');
INSERT INTO attempt VALUES(3,3,1,1,'done','cpu','',1,4,0,1.0,0.0,0.0,0.0,0,NULL,'2024-01-01T00:00:00Z');
INSERT INTO attempt VALUES(4,4,1,1,'done','cpu','',1,4,0,1.0,0.0,0.0,0.0,0,NULL,'2024-01-01T00:00:00Z');
INSERT INTO attempt VALUES(5,5,1,1,'failed','cpu','',1,4,0,1.0,0.0,0.0,0.0,0,'out of luck','2024-01-01T00:00:00Z');
INSERT INTO attempt VALUES(6,5,1,2,'failed','cpu','',1,4,0,1.0,0.0,0.0,0.0,0,'out of luck','2024-01-01T00:00:00Z');
INSERT INTO attempt VALUES(7,5,1,3,'failed','cpu','',1,4,0,1.0,0.0,0.0,0.0,0,'out of luck','2024-01-01T00:00:00Z');
CREATE TABLE outcome (
    cell         INTEGER NOT NULL REFERENCES cell,
    image        INTEGER NOT NULL CHECK (image >= 0),
    prediction   INTEGER NOT NULL CHECK (prediction >= -1),          -- -1: a NaN or infinity in the tensor
    certified    INTEGER NOT NULL CHECK (certified IN (0, 1)),
    published    INTEGER NOT NULL CHECK (published IN (0, 1)),       -- the paper's own certificate
    masked       INTEGER NOT NULL CHECK (masked IN (0, 1)),
    margin       INTEGER,                                            -- grid units of 2^-20
    failure_case INTEGER CHECK (failure_case BETWEEN 0 AND 4),
    attacked     INTEGER CHECK (attacked >= -1), saturated INTEGER CHECK (saturated IN (0, 1)), differs INTEGER CHECK (differs IN (0, 1)),                     -- prediction under attack; NULL: no attack
    PRIMARY KEY (cell, image),
    CHECK (NOT (certified = 1 AND prediction = -1))
) STRICT, WITHOUT ROWID;
INSERT INTO outcome VALUES(1,0,0,1,0,0,100,NULL,0,0,0);
INSERT INTO outcome VALUES(1,1,2,0,1,0,NULL,NULL,2,0,0);
INSERT INTO outcome VALUES(1,2,2,0,0,1,-3,NULL,2,0,0);
INSERT INTO outcome VALUES(1,3,4,0,0,0,NULL,NULL,4,1,0);
INSERT INTO outcome VALUES(1,4,4,1,0,0,104,NULL,9,0,0);
INSERT INTO outcome VALUES(1,5,6,0,0,0,NULL,NULL,6,0,0);
INSERT INTO outcome VALUES(1,6,6,0,0,0,-3,NULL,6,0,0);
INSERT INTO outcome VALUES(1,7,-1,0,0,0,NULL,NULL,-1,0,0);
INSERT INTO outcome VALUES(1,8,8,1,0,0,108,NULL,8,1,1);
INSERT INTO outcome VALUES(1,9,10,0,0,0,NULL,NULL,10,0,0);
INSERT INTO outcome VALUES(2,0,0,1,0,0,101,NULL,0,0,0);
INSERT INTO outcome VALUES(2,1,2,0,1,0,NULL,NULL,2,0,0);
INSERT INTO outcome VALUES(2,2,2,0,0,1,-3,NULL,2,0,0);
INSERT INTO outcome VALUES(2,3,4,0,0,0,NULL,NULL,4,1,0);
INSERT INTO outcome VALUES(2,4,4,1,0,0,105,NULL,9,0,0);
INSERT INTO outcome VALUES(2,5,6,0,0,0,NULL,NULL,6,0,0);
INSERT INTO outcome VALUES(2,6,6,0,0,0,-3,NULL,6,0,0);
INSERT INTO outcome VALUES(2,7,-1,0,0,0,NULL,NULL,-1,0,0);
INSERT INTO outcome VALUES(2,8,8,1,0,0,109,NULL,8,1,1);
INSERT INTO outcome VALUES(2,9,10,0,0,0,NULL,NULL,10,0,0);
INSERT INTO outcome VALUES(3,0,0,1,0,0,102,0,0,0,0);
INSERT INTO outcome VALUES(3,1,2,0,1,0,NULL,1,2,0,0);
INSERT INTO outcome VALUES(3,2,2,0,0,1,-3,2,2,0,0);
INSERT INTO outcome VALUES(3,3,4,0,0,0,NULL,3,4,1,0);
INSERT INTO outcome VALUES(3,4,4,1,0,0,106,4,9,0,0);
INSERT INTO outcome VALUES(3,5,6,0,0,0,NULL,0,6,0,0);
INSERT INTO outcome VALUES(3,6,6,0,0,0,-3,1,6,0,0);
INSERT INTO outcome VALUES(3,7,-1,0,0,0,NULL,2,-1,0,0);
INSERT INTO outcome VALUES(3,8,8,1,0,0,110,3,8,1,1);
INSERT INTO outcome VALUES(3,9,10,0,0,0,NULL,4,10,0,0);
INSERT INTO outcome VALUES(4,0,0,1,0,0,100,NULL,NULL,0,0);
INSERT INTO outcome VALUES(4,1,2,0,1,0,NULL,NULL,NULL,0,0);
INSERT INTO outcome VALUES(4,2,2,0,0,1,-3,NULL,NULL,0,0);
INSERT INTO outcome VALUES(4,3,4,0,0,0,NULL,NULL,NULL,1,0);
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
    checksum   INTEGER NOT NULL, saturated INTEGER CHECK (saturated BETWEEN 0 AND n), differs INTEGER CHECK (differs BETWEEN 0 AND n),                  -- FNV-1a over the columns above
    PRIMARY KEY (cell, task)
) STRICT, WITHOUT ROWID;
INSERT INTO summary VALUES(1,1,1,4,2,1,1,0,1,0,0,0,0,0,4,2,100,2973655637799269694,4649510372651075194,1,0);
INSERT INTO summary VALUES(1,2,2,4,2,1,0,1,0,0,0,0,0,0,4,1,104,-4085879297136275670,-2064134493763300393,0,0);
INSERT INTO summary VALUES(1,3,3,2,1,1,0,0,0,0,0,0,0,0,2,1,108,4914845839320983651,-8948069322482013214,1,1);
INSERT INTO summary VALUES(2,1,1,4,2,1,1,0,1,0,0,0,0,0,4,2,101,677274109629426201,-839356566091106412,1,0);
INSERT INTO summary VALUES(2,2,2,4,2,1,0,1,0,0,0,0,0,0,4,1,105,6109452071752603531,8156402979397642401,0,0);
INSERT INTO summary VALUES(2,3,3,2,1,1,0,0,0,0,0,0,0,0,2,1,109,-2062127997139990794,2995569701577411515,1,1);
INSERT INTO summary VALUES(3,1,1,4,2,1,1,0,1,1,1,1,1,0,4,2,102,-4714158668274965444,-8244517989588721667,1,0);
INSERT INTO summary VALUES(3,2,2,4,2,1,0,1,0,1,1,1,0,1,4,1,106,1368511923772252463,-4341030914292828404,0,0);
INSERT INTO summary VALUES(3,3,3,2,1,1,0,0,0,0,0,0,1,1,2,1,110,381742814525400338,-1110988533001064289,1,1);
INSERT INTO summary VALUES(4,4,4,4,2,1,1,0,1,0,0,0,0,0,0,0,100,2657435095395288026,-619683181073363028,1,0);
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
INSERT INTO attack VALUES(1,0,0,2,4,0.0,0,0,0,X'010203');
INSERT INTO attack VALUES(1,1,1,2,NULL,NULL,1,2,2,X'040506');
INSERT INTO attack VALUES(1,2,2,2,NULL,0.0,2,2,2,X'000000');
INSERT INTO attack VALUES(1,3,3,2,4,0.3000000000000000444,3,4,4,NULL);
INSERT INTO attack VALUES(1,4,4,2,NULL,0.4000000000000000222,4,4,9,X'010203');
INSERT INTO attack VALUES(1,5,5,2,NULL,0.5,5,6,6,X'040506');
INSERT INTO attack VALUES(1,6,6,2,4,0.60000000000000008881,6,6,6,X'000000');
INSERT INTO attack VALUES(1,7,7,2,NULL,0.70000000000000006661,7,-1,-1,X'fffefd');
INSERT INTO attack VALUES(1,8,8,2,NULL,0.8000000000000000444,8,8,8,X'010203');
INSERT INTO attack VALUES(1,9,9,2,4,0.9000000000000000222,9,10,10,X'040506');
INSERT INTO attack VALUES(2,0,0,2,4,0.0,0,0,0,X'010203');
INSERT INTO attack VALUES(2,1,1,2,NULL,NULL,1,2,2,X'040506');
INSERT INTO attack VALUES(2,2,2,2,NULL,0.0,2,2,2,X'000000');
INSERT INTO attack VALUES(2,3,3,2,4,0.3000000000000000444,3,4,4,NULL);
INSERT INTO attack VALUES(2,4,4,2,NULL,0.4000000000000000222,4,4,9,X'010203');
INSERT INTO attack VALUES(2,5,5,2,NULL,0.5,5,6,6,X'040506');
INSERT INTO attack VALUES(2,6,6,2,4,0.60000000000000008881,6,6,6,X'000000');
INSERT INTO attack VALUES(2,7,7,2,NULL,0.70000000000000006661,7,-1,-1,X'fffefd');
INSERT INTO attack VALUES(2,8,8,2,NULL,0.8000000000000000444,8,8,8,X'010203');
INSERT INTO attack VALUES(2,9,9,2,4,0.9000000000000000222,9,10,10,X'040506');
INSERT INTO attack VALUES(3,0,0,2,4,0.0,0,0,0,X'010203');
INSERT INTO attack VALUES(3,1,1,2,NULL,NULL,1,2,2,X'040506');
INSERT INTO attack VALUES(3,2,2,2,NULL,0.0,2,2,2,X'000000');
INSERT INTO attack VALUES(3,3,3,2,4,0.3000000000000000444,3,4,4,NULL);
INSERT INTO attack VALUES(3,4,4,2,NULL,0.4000000000000000222,4,4,9,X'010203');
INSERT INTO attack VALUES(3,5,5,2,NULL,0.5,5,6,6,X'040506');
INSERT INTO attack VALUES(3,6,6,2,4,0.60000000000000008881,6,6,6,X'000000');
INSERT INTO attack VALUES(3,7,7,2,NULL,0.70000000000000006661,7,-1,-1,X'fffefd');
INSERT INTO attack VALUES(3,8,8,2,NULL,0.8000000000000000444,8,8,8,X'010203');
INSERT INTO attack VALUES(3,9,9,2,4,0.9000000000000000222,9,10,10,X'040506');
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
INSERT INTO audit VALUES(1,'feature',replace('tries=0\n','\n',char(10)),10,3,1,2,1,NULL,replace('image=1\nwindow=2x2\n','\n',char(10)),'2024-01-01T00:00:00Z');
CREATE TABLE shard (
    store_id TEXT PRIMARY KEY NOT NULL,
    plan     INTEGER REFERENCES plan,
    name     TEXT NOT NULL,
    tasks    INTEGER NOT NULL CHECK (tasks >= 0),
    merged   TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE total (
    cell   INTEGER PRIMARY KEY REFERENCES cell,
    images INTEGER NOT NULL CHECK (images >= 1),                   -- asked for
    n      INTEGER NOT NULL DEFAULT 0 CHECK (n BETWEEN 0 AND images), -- have an outcome
    failed INTEGER NOT NULL DEFAULT 0 CHECK (failed >= 0)          -- tasks in state 'failed'
) STRICT;
INSERT INTO total VALUES(1,10,10,0);
INSERT INTO total VALUES(2,10,10,0);
INSERT INTO total VALUES(3,10,10,0);
INSERT INTO total VALUES(4,10,4,1);
CREATE INDEX cell_by_settings ON cell (settings_id);
CREATE INDEX task_by_forward ON task (forward, first);
CREATE INDEX task_open ON task (state, forward, first) WHERE state <> 'done';
CREATE INDEX task_cell_by_cell ON task_cell (cell, task);
CREATE INDEX attempt_by_task ON attempt (task);
CREATE TRIGGER total_of_cell AFTER INSERT ON cell BEGIN
    INSERT INTO total (cell, images) VALUES (new.cell, new.count);
END;
CREATE TRIGGER total_of_summary AFTER INSERT ON summary BEGIN
    UPDATE total SET n = n + new.n WHERE cell = new.cell;
END;
CREATE TRIGGER total_of_task AFTER UPDATE OF state ON task WHEN (old.state = 'failed') <> (new.state = 'failed') BEGIN
    UPDATE total SET failed = failed + CASE new.state WHEN 'failed' THEN 1 ELSE -1 END
     WHERE cell IN (SELECT cell FROM task_cell WHERE task = new.task);
END;
CREATE INDEX meta_whole ON meta (key, value);
CREATE INDEX dataset_whole ON dataset (dataset, name, images, classes);
CREATE INDEX forward_by_dataset ON forward (dataset);
CREATE INDEX cell_by_forward ON cell (forward);
CREATE INDEX plan_whole ON plan (plan, name, matrix, overrides, created);
CREATE INDEX plan_cell_by_cell ON plan_cell (cell, plan);
CREATE INDEX worker_whole ON worker (worker, host, pid, revision, versions, device, threads, started, ended);
CREATE INDEX task_whole ON task (task, count, state, owner, epoch, attempts, error);
CREATE INDEX attempt_whole ON attempt (attempt, worker, epoch, result, device, library, threads, batch, cached, wall_s, read_s,
                                       forward_s, certify_s, peak_bytes, error, finished);
CREATE INDEX audit_whole ON audit (cell, level, settings, n, certified, broken, unbroken, published_broken, delta, witness,
                                   finished);
CREATE INDEX shard_whole ON shard (store_id, plan, name, tasks, merged);
COMMIT;
