-- The store of store-4.sql as version 5 wrote it: with settings in rows, totals, and views.
PRAGMA application_id = 1885823349;
PRAGMA user_version = 5;
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
    classes INTEGER NOT NULL CHECK (classes >= 1), height INTEGER CHECK (height >= 1), width INTEGER CHECK (width >= 1),
    UNIQUE (hash, split)
) STRICT;
INSERT INTO dataset VALUES(1,'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa','test','d:test@48x64',100,10,48,64);
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
, clean INTEGER NOT NULL DEFAULT 0 CHECK (clean BETWEEN 0 AND n), certified INTEGER NOT NULL DEFAULT 0 CHECK (certified BETWEEN 0 AND clean), published INTEGER NOT NULL DEFAULT 0 CHECK (published BETWEEN 0 AND n), cases INTEGER NOT NULL DEFAULT 0 CHECK (cases BETWEEN 0 AND n), masked INTEGER NOT NULL DEFAULT 0 CHECK (masked BETWEEN 0 AND n), nonfinite INTEGER NOT NULL DEFAULT 0 CHECK (nonfinite BETWEEN 0 AND n), attacked_n INTEGER NOT NULL DEFAULT 0 CHECK (attacked_n BETWEEN 0 AND n), attacked INTEGER NOT NULL DEFAULT 0 CHECK (attacked BETWEEN 0 AND attacked_n), margin INTEGER CHECK (margin > 0), clean_lo REAL, clean_hi REAL, certified_lo REAL, certified_hi REAL, published_lo REAL, published_hi REAL, attacked_lo REAL, attacked_hi REAL) STRICT;
INSERT INTO total VALUES(1,10,10,0,5,3,1,0,1,1,10,4,100,0.23659309051256399714,0.76340690948743594734,0.10779126740630098901,0.60322185253885463041,0.01787621309507288897,0.40415002679523848172,0.16818032970623617017,0.68732623026634165341);
INSERT INTO total VALUES(2,10,10,0,5,3,1,0,1,1,10,4,101,0.23659309051256399714,0.76340690948743594734,0.10779126740630098901,0.60322185253885463041,0.01787621309507288897,0.40415002679523848172,0.16818032970623617017,0.68732623026634165341);
INSERT INTO total VALUES(3,10,10,0,5,3,1,10,1,1,10,4,102,0.23659309051256399714,0.76340690948743594734,0.10779126740630098901,0.60322185253885463041,0.01787621309507288897,0.40415002679523848172,0.16818032970623617017,0.68732623026634165341);
INSERT INTO total VALUES(4,10,4,1,2,1,1,0,1,0,0,0,100,0.15003898915214947118,0.84996101084785058432,0.045587260809700574926,0.69935815741759810304,0.045587260809700574926,0.69935815741759810304,NULL,NULL);
CREATE TABLE cell_setting (
    cell  INTEGER NOT NULL REFERENCES cell,
    key   TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (cell, key)
) STRICT, WITHOUT ROWID;
INSERT INTO cell_setting VALUES(1,'affected.px','7x7');
INSERT INTO cell_setting VALUES(1,'attack','lavan');
INSERT INTO cell_setting VALUES(1,'batch','4');
INSERT INTO cell_setting VALUES(1,'certificate','exact');
INSERT INTO cell_setting VALUES(1,'dataset','d:test@48x64');
INSERT INTO cell_setting VALUES(1,'defense','d0');
INSERT INTO cell_setting VALUES(3,'defense','d0');
INSERT INTO cell_setting VALUES(2,'defense','d1');
INSERT INTO cell_setting VALUES(4,'defense','d1');
INSERT INTO cell_setting VALUES(1,'dtype','fp32');
INSERT INTO cell_setting VALUES(1,'lavan.gradient','mean');
INSERT INTO cell_setting VALUES(1,'model','m');
INSERT INTO cell_setting VALUES(1,'note',replace('a\nb','\n',char(10)));
INSERT INTO cell_setting VALUES(2,'patch','1');
INSERT INTO cell_setting VALUES(3,'patch','2');
INSERT INTO cell_setting VALUES(4,'patch','3');
INSERT INTO cell_setting VALUES(1,'patch','5');
INSERT INTO cell_setting VALUES(1,'patch-space','image');
INSERT INTO cell_setting VALUES(1,'patch.px','5x5');
INSERT INTO cell_setting VALUES(1,'seed','3');
INSERT INTO cell_setting VALUES(1,'weights','w');
INSERT INTO cell_setting VALUES(1,'window','1x1');
INSERT INTO cell_setting VALUES(2,'window','1x1');
INSERT INTO cell_setting VALUES(3,'window','1x1');
INSERT INTO cell_setting VALUES(4,'window','1x1');
CREATE INDEX cell_by_settings ON cell (settings_id);
CREATE INDEX task_by_forward ON task (forward, first);
CREATE INDEX task_open ON task (state, forward, first) WHERE state <> 'done';
CREATE INDEX task_cell_by_cell ON task_cell (cell, task);
CREATE INDEX attempt_by_task ON attempt (task);
CREATE TRIGGER total_of_cell AFTER INSERT ON cell BEGIN
    INSERT INTO total (cell, images) VALUES (new.cell, new.count);
END;
CREATE TRIGGER total_of_task AFTER UPDATE OF state ON task WHEN (old.state = 'failed') <> (new.state = 'failed') BEGIN
    UPDATE total SET failed = failed + CASE new.state WHEN 'failed' THEN 1 ELSE -1 END
     WHERE cell IN (SELECT cell FROM task_cell WHERE task = new.task);
END;
CREATE INDEX meta_whole ON meta (key, value);
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
CREATE INDEX cell_setting_by_value ON cell_setting (key, value, cell);
CREATE INDEX dataset_whole ON dataset (dataset, name, images, classes, height, width);
CREATE VIEW result AS
SELECT c.cell_id AS cell,
       CASE WHEN t.n = t.images THEN 'done' WHEN t.failed > 0 THEN 'failed' WHEN t.n > 0 THEN 'partial' ELSE 'new' END AS state,
       dataset.value AS dataset,
       weights.value AS weights,
       model.value AS model,
       defense.value AS defense,
       certificate.value AS certificate,
       attack.value AS attack,
       patch.value AS patch,
       CAST(px.value AS INTEGER) AS patch_height,
       CAST(substr(px.value, instr(px.value, 'x') + 1) AS INTEGER) AS patch_width,
       space.value AS patch_space,
       (SELECT d.height FROM forward f JOIN dataset d ON d.dataset = f.dataset WHERE f.forward = c.forward) AS image_height,
       (SELECT d.width FROM forward f JOIN dataset d ON d.dataset = f.dataset WHERE f.forward = c.forward) AS image_width,
       CAST(seed.value AS INTEGER) AS seed,
       CAST(batch.value AS INTEGER) AS batch,
       dtype.value AS dtype,
       c.first AS first_image,
       t.images AS images,
       t.n AS n,
       t.clean AS clean_count, 100.0 * t.clean / t.n AS clean, 100 * t.clean_lo AS clean_lo, 100 * t.clean_hi AS clean_hi,
       t.certified AS certified_count, 100.0 * t.certified / t.n AS certified,
       100 * t.certified_lo AS certified_lo, 100 * t.certified_hi AS certified_hi,
       CASE WHEN t.cases > 0 THEN t.published END AS certified_published_count,
       CASE WHEN t.cases > 0 THEN 100.0 * t.published / t.n END AS certified_published,
       CASE WHEN t.cases > 0 THEN 100 * t.published_lo END AS certified_published_lo,
       CASE WHEN t.cases > 0 THEN 100 * t.published_hi END AS certified_published_hi,
       t.attacked_n AS attacked_n,
       CASE WHEN t.attacked_n > 0 THEN t.attacked END AS attacked_count, 100.0 * t.attacked / t.attacked_n AS attacked,
       100 * t.attacked_lo AS attacked_lo, 100 * t.attacked_hi AS attacked_hi,
       t.masked AS masked_count,
       t.nonfinite AS nonfinite_count,
       t.margin / 1048576.0 AS smallest_margin,
       c.delta / 1048576.0 AS delta
  FROM cell c
  JOIN total t ON t.cell = c.cell
  LEFT JOIN cell_setting dataset ON dataset.cell = c.cell AND dataset.key = 'dataset'
  LEFT JOIN cell_setting weights ON weights.cell = c.cell AND weights.key = 'weights'
  LEFT JOIN cell_setting model ON model.cell = c.cell AND model.key = 'model'
  LEFT JOIN cell_setting defense ON defense.cell = c.cell AND defense.key = 'defense'
  LEFT JOIN cell_setting certificate ON certificate.cell = c.cell AND certificate.key = 'certificate'
  LEFT JOIN cell_setting attack ON attack.cell = c.cell AND attack.key = 'attack'
  LEFT JOIN cell_setting patch ON patch.cell = c.cell AND patch.key = 'patch'
  LEFT JOIN cell_setting px ON px.cell = c.cell AND px.key = 'patch.px'
  LEFT JOIN cell_setting space ON space.cell = c.cell AND space.key = 'patch-space'
  LEFT JOIN cell_setting seed ON seed.cell = c.cell AND seed.key = 'seed'
  LEFT JOIN cell_setting batch ON batch.cell = c.cell AND batch.key = 'batch'
  LEFT JOIN cell_setting dtype ON dtype.cell = c.cell AND dtype.key = 'dtype';
CREATE VIEW setting AS
SELECT c.cell_id AS cell, s.key AS key, s.value AS value FROM cell_setting s JOIN cell c ON c.cell = s.cell;
CREATE VIEW image_result AS
SELECT c.cell_id AS cell,
       o.image AS image,
       l.label AS label,
       o.prediction AS prediction,
       o.prediction = l.label AS correct,
       o.certified AS certified,
       CASE WHEN o.failure_case IS NOT NULL THEN o.published END AS certified_published,
       o.failure_case AS failure_case,
       o.masked AS masked,
       o.margin / 1048576.0 AS margin,
       o.attacked AS attacked,
       a.top AS attack_top,
       a."left" AS attack_left,
       a.target AS attack_target,
       a.steps AS attack_steps,
       a.loss AS attack_loss
  FROM outcome o
  JOIN cell c ON c.cell = o.cell
  JOIN forward f ON f.forward = c.forward
  JOIN label l ON l.dataset = f.dataset AND l.image = o.image
  LEFT JOIN attack a ON a.cell = o.cell AND a.image = o.image;
CREATE VIEW work AS
SELECT c.cell_id AS cell,
       k.first AS first_image,
       k.count AS images,
       a.cached AS cached,
       (SELECT count(*) FROM task_cell tc WHERE tc.task = k.task) AS cells,
       a.read_s AS read_s,
       a.forward_s AS forward_s,
       a.certify_s AS certify_s,
       a.wall_s AS wall_s,
       a.peak_bytes AS peak_bytes,
       a.device AS device,
       a.library AS library,
       a.threads AS threads,
       a.batch AS batch,
       w.host AS host,
       w.revision AS revision,
       a.finished AS finished
  FROM summary s
  JOIN cell c ON c.cell = s.cell
  JOIN task k ON k.task = s.task
  JOIN attempt a ON a.attempt = s.attempt
  LEFT JOIN worker w ON w.worker = a.worker;
CREATE VIEW audit_result AS
SELECT c.cell_id AS cell,
       a.level AS level,
       replace(replace(a.settings, '.through=', '.gradient='), '.lessons=', '.training_images=') AS settings, -- names of today
       a.n AS images,
       a.certified AS certified,
       a.broken AS broken,
       a.unbroken AS unbroken,
       a.published_broken AS published_broken,
       a.delta / 1048576.0 AS delta,
       a.witness AS witness,
       a.finished AS finished
  FROM audit a
  JOIN cell c ON c.cell = a.cell
;
COMMIT;
