/* The store: one SQLite file that holds cells, tasks, attempts and outcomes. The only place that includes sqlite3.h.
 *
 * It knows no tensors, models or defenses: cells come in as canonical text and go out as settings and counts. Definitions
 * of cell, task, outcome and summary: db/schema.sql. One pg_store per thread and process; several processes may open the same
 * file (never over a network file system). Every function that writes is one transaction. */
#ifndef PG_DB_STORE_H
#define PG_DB_STORE_H

#include "harness/base/buf.h"
#include "harness/base/hash.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct pg_store pg_store;

typedef enum pg_store_mode {
    PG_STORE_READ,     /* must exist; nothing is written */
    PG_STORE_SNAPSHOT, /* the same of a private copy of one moment: long readings that hold nobody up */
    PG_STORE_WRITE,    /* created where it does not exist, migrated where it is older */
} pg_store_mode;

/* *new*, pg_store_close. PG_EMISSING (READ), PG_EDAMAGED (not ours, or damaged), PG_EUNSUPPORTED (written by a newer version),
 * PG_EIO (folder not writable), PG_EDB. */
int pg_store_open(const char *path, pg_store_mode mode, pg_store **out) PG_MUST_USE;
void pg_store_close(pg_store *store);

/* "NFS", ...: the network file system that a path lies on, or that its folder does where it is not there yet; NULL: local, or
 * it cannot be told. Writing there is PG_EUNSUPPORTED. */
const char *pg_store_network_kind(const char *path);

/* A text that SQLite takes for something else than the name of a file: ":memory:", "file:...". PG_EINPUT with what would be
 * right. */
int pg_store_name_check(const char *path) PG_MUST_USE;

/* ---- Results: what tables, figures and `ls` read ---- */

/* Settings travel as text, one "key=value\n" a line; newlines and backslashes in values are escaped. */
typedef struct pg_setting {
    const char *key, *value;
} pg_setting;
void pg_settings_add(pg_buf *text, const char *key, const char *value);
/* Parses several texts into one list sorted by key (of equal keys the first text's comes first), with the names of today
 * (harness/base/names.h). *new*: free(*out), one block with the strings in it. Lines without "=" are PG_EDAMAGED. */
int pg_settings_parse(const char *const *texts, size_t n_texts, pg_setting **out, size_t *n) PG_MUST_USE;
/* Value of a key, "" if absent. Borrowed. A key without a dot that is no key of its own is looked up as an option of the cell's
 * defense, then of its attack: "threshold" reads "robust-masking.threshold". */
const char *pg_settings_value(const pg_setting *settings, size_t n, const char *key);

typedef enum pg_cell_state {
    PG_CELL_NEW,     /* no outcome yet, or not in the store at all */
    PG_CELL_PARTIAL, /* some images have outcomes */
    PG_CELL_DONE,    /* every image has an outcome */
    PG_CELL_FAILED,  /* a task gave up; outcomes of other tasks may exist */
    PG_CELL_STATES,
} pg_cell_state;
const char *pg_cell_state_name(pg_cell_state state); /* "new", "partial", "done", "failed" */

enum { PG_CASES = 5 }; /* failure cases 0..4 of robust-masking, predicted */

/* Counts over the images that have an outcome. Shares are counts / n. */
typedef struct pg_cell_result {
    char cell_id[PG_HASH_HEX];
    bool known; /* false: the store has no such cell; all else is zero */
    pg_cell_state state;
    char *error;                  /* PG_CELL_FAILED: the reason; else NULL */
    int64_t first, images;        /* the cell asks for this many images from `first` on */
    int64_t n;                    /* have an outcome */
    int64_t clean;                /* defended prediction is the label, no patch */
    int64_t certified;            /* counted certificates */
    int64_t certified_published;  /* the paper's own certificate, where the rule has one */
    bool has_published;           /* the rule has a published certificate: cases[] is filled */
    int64_t cases[PG_CASES];      /* how many images ended in each failure case */
    int64_t nonfinite;            /* prediction -1 */
    int64_t masked;               /* something is masked on the clean image: false positives of a masking defense */
    int64_t attacked_n, attacked; /* images with an attack, and still correct under it */
    int64_t targeted, reached;    /* of them, those whose label is not the target, and those that predict it; 0: not counted */
    int64_t saturated_n, saturated; /* images of which it is known, and those that had values beyond the grid's end */
    int64_t differs_n, differs;     /* likewise: those that the same rule in double predicts otherwise */
    bool has_smallest_margin;
    int64_t smallest_margin; /* smallest positive margin of a certified image, units of 2^-20 */
    bool has_delta;          /* locality was measured; false: delta 0 was used, "locality not measured" */
    int64_t delta;           /* grid units, applied to every certificate of the cell */
    size_t n_settings;
    /* sorted by key: the settings as given, and details: "window", "certificate", "model", "delta", ... */
    pg_setting *settings;
} pg_cell_result;

/* Result of one cell by full id. `out` is *new* inside, pg_cell_result_release; also valid (known = false) for an
 * absent cell. */
int pg_store_cell(pg_store *store, const char *cell_id, pg_cell_result *out) PG_MUST_USE;
/* The same for who shows it: what the sums are of, outcomes, labels and attacks, is read and compared with the checksums first;
 * a microsecond for each image. PG_EDAMAGED. */
int pg_store_cell_checked(pg_store *store, const char *cell_id, pg_cell_result *out) PG_MUST_USE;
void pg_cell_result_release(pg_cell_result *result);
/* Value of a setting of the cell, as pg_settings_value. */
const char *pg_cell_result_setting(const pg_cell_result *result, const char *key);

/* The keys of settings and details that cells have (value ""), those of one cell, and the values of one key; without a dot and
 * no key of its own, it is an option of the defense or the attack, and comes as the full keys that there are. Sorted. */
int pg_store_each_key(pg_store *store, int (*each)(const char *key, const char *value, void *context),
                      void *context) PG_MUST_USE;
int pg_store_keys_of(pg_store *store, int64_t cell, int (*each)(const char *key, const char *value, void *context),
                     void *context) PG_MUST_USE;
int pg_store_each_value(pg_store *store, const char *key, int (*each)(const char *key, const char *value, void *context),
                        void *context) PG_MUST_USE;

/* What a cell has to have: any of these settings, or no such key. */
typedef struct pg_cell_term {
    const pg_setting *any;
    size_t n;
    const char *or_without; /* NULL: it has to have one */
} pg_cell_term;
/* Numbers of cells in a store, ascending: in the order of creation. Begins as zero. */
typedef struct pg_cell_set {
    int64_t *cells;
    size_t n, room;
} pg_cell_set;
/* The cells in a state (-1: any) that have all of the terms; *new* inside, pg_cell_set_release, also after a failure. */
int pg_store_choose(pg_store *store, int state, const pg_cell_term *terms, size_t n, pg_cell_set *out) PG_MUST_USE;
void pg_cell_set_release(pg_cell_set *set);
/* Results of these cells. `each` returns PG_OK to go on; its code is passed on. No lock is held while it is called, so a slow
 * reader blocks no writer. */
int pg_store_each_cell(pg_store *store, const int64_t *cells, size_t n,
                       int (*each)(const pg_cell_result *result, void *context), void *context) PG_MUST_USE;

/* A cell as a list shows it: totals instead of sums. Nothing is compared with checksums, which would take a list as long again;
 * `db check` does. Texts are as they are stored, for pg_settings_parse. */
typedef struct pg_cell_line {
    const char *cell_id;
    pg_cell_state state;
    int64_t first, images, n, clean, certified, attacked_n, attacked; /* as in pg_cell_result */
    int64_t certified_published;                                      /* -1: the rule has none */
    bool has_delta;
    const char *settings, *details;
} pg_cell_line;
/* Lines of cells; borrowed during the call, which is to be short: the store is locked. PG_EDAMAGED. */
int pg_store_each_line(pg_store *store, const int64_t *cells, size_t n, int (*each)(const pg_cell_line *line, void *context),
                       void *context) PG_MUST_USE;

/* Full id of the one cell whose id starts with `prefix` (at least 4 digits). PG_EMISSING, or PG_EINPUT where several do. */
int pg_store_resolve(pg_store *store, const char *prefix, char cell_id[PG_HASH_HEX]) PG_MUST_USE;

/* One image of one cell. */
typedef struct pg_outcome {
    int64_t image;         /* index in the data set's split */
    int label, prediction; /* prediction -1: non-finite */
    bool certified, certified_published, masked, has_margin;
    int8_t failure_case;           /* -1: none */
    int64_t margin;                /* units of 2^-20 */
    bool has_saturated, saturated; /* whether it was looked at: a value lay beyond the grid's end */
    bool has_differs, differs;     /* likewise: the same rule in double predicts another class */
    bool has_attack;               /* when read: an attack ran, */
    int attacked;                  /* and this is the prediction under it; -1: non-finite */
} pg_outcome;
/* Outcomes of a cell in the order of the images. Here and below, whatever reads images one by one checks them against the
 * checksums of the cell first; what reads audits, attempts or plans of a cell compares these with their copies: PG_EDAMAGED. */
int pg_store_each_outcome(pg_store *store, const char *cell_id, int (*each)(const pg_outcome *outcome, void *context),
                          void *context) PG_MUST_USE;

/* What an attack did to one image of one cell; after the facts of the deployed path. */
typedef struct pg_attack_row {
    int64_t image;
    int label;             /* when read */
    int top, left, target; /* where the patch lies, pixels; target -1: untargeted */
    double loss;           /* of the attack; NaN: none */
    int64_t steps;         /* 0: there was nothing to do */
    int before, after;     /* predictions; -1: non-finite */
    const uint8_t *patch;  /* rounded pixels [3][height][width]; NULL: not kept. Borrowed, when read: during the call */
    size_t patch_size;     /* bytes */
} pg_attack_row;
/* Attacks of a cell in the order of the images. */
int pg_store_each_attack(pg_store *store, const char *cell_id, int (*each)(const pg_attack_row *attack, void *context),
                         void *context) PG_MUST_USE;

/* Certificates of a cell that its attack broke: certified images that are misclassified under it. *first: the first one, -1 if
 * none. */
int pg_store_broken(pg_store *store, const char *cell_id, int64_t *broken, int64_t *first) PG_MUST_USE;

/* The forward passes that count for a cell, of one kind each: device, library and images of a pass. Strings are valid during
 * the call. */
#define PG_LIBRARY_ISA \
    "; isa " /* what the kind of instruction set stands behind, at the end of a library; older ones have none */
typedef struct pg_pass_record {
    const char *device, *library; /* as those of an attempt */
    int batch;                    /* fewer than the cell's: memory ran out */
    int64_t images, certified;
} pg_pass_record;
int pg_store_each_pass(pg_store *store, const char *cell_id, int (*each)(const pg_pass_record *record, void *context),
                       void *context) PG_MUST_USE;

/* That two cells have the same images, all with outcomes, and can be compared one by one. PG_EINPUT, PG_EMISSING. */
int pg_store_same_images(pg_store *store, const char *cell_a, const char *cell_b) PG_MUST_USE;

/* One audit of one cell (db/schema.sql, table audit). Everything borrowed. */
typedef struct pg_audit_record {
    const char *level;    /* "feature", "pixel", "locality" */
    const char *settings; /* of the audit; key=value lines, with the names of today */
    int64_t n, certified, broken, unbroken, published_broken;
    bool has_delta;
    int64_t delta;        /* locality: largest change outside the window, grid units */
    const char *witness;  /* key=value lines; NULL: nothing broke */
    const char *finished; /* read only: when it was stored */
} pg_audit_record;
/* Stores an audit in the place of an earlier one of the same cell, level and settings. PG_EMISSING: no such cell. */
int pg_store_audit(pg_store *store, const char *cell_id, const pg_audit_record *record) PG_MUST_USE;
/* Audits of a cell by level and settings; records are valid during the call. */
int pg_store_each_audit(pg_store *store, const char *cell_id, int (*each)(const pg_audit_record *record, void *context),
                        void *context) PG_MUST_USE;

/* Images, labels and summaries checked against their checksums, ids against what they name, what is counted twice against
 * itself, and SQLite's own integrity and foreign keys. PG_EDAMAGED with the first fault found. Reads the whole file. */
int pg_store_check(pg_store *store) PG_MUST_USE;
/* The same, and goes on: every fault is told. PG_OK with *faults counted. */
int pg_store_check_all(pg_store *store, void (*tell)(const char *fault, void *context), void *context,
                       int64_t *faults) PG_MUST_USE;

/* ---- SQL of users: one statement that reads ---- */

typedef enum pg_sql_type { PG_SQL_NULL, PG_SQL_INTEGER, PG_SQL_REAL, PG_SQL_TEXT, PG_SQL_BLOB } pg_sql_type;
typedef struct pg_sql_value {
    pg_sql_type type;
    int64_t integer;
    double real;
    const char *bytes; /* of a TEXT, with a zero byte behind it, or of a BLOB; borrowed during the call */
    size_t size;
} pg_sql_value;
typedef struct pg_sql_reader {
    /* The names of the columns, before the first row; again if the statement restarts, which voids earlier rows.
     * `last`: it will not restart, so rows may be passed on at once. */
    int (*begin)(const char *const *names, size_t n, bool last, void *context);
    int (*row)(const pg_sql_value *values, size_t n, void *context);
    bool (*stopping)(void); /* asked now and then; true ends the statement */
    void *context;
} pg_sql_reader;
/* Runs a statement of a user: SELECT, VALUES, WITH or EXPLAIN, which may read all tables and views and change nothing, not
 * even this connection. After two seconds the statement restarts on a private copy of the database, so that it blocks no
 * writer. PG_EINPUT with SQLite's message; PG_EINTERRUPTED; codes of the callbacks; as pg_store_open. */
int pg_store_select(const char *path, const char *sql, const pg_sql_reader *reader) PG_MUST_USE;

/* Whether a store lies, or would lie, where it cannot be opened for writing: on a network file system. */
bool pg_store_is_remote(const char *path);

typedef struct pg_store_sizes {
    int64_t cells, tasks, outcomes, attacks, audits;
} pg_store_sizes;
int pg_store_sizes_of(pg_store *store, pg_store_sizes *out) PG_MUST_USE;

/* Copies a store, as it is at one moment and while others write, to a file that appears at once and whole, after the copy has
 * passed pg_store_check. PG_EINPUT where `to` exists, unless `replace`, or where it is a database that is in use; PG_EDAMAGED
 * where the store is; as pg_store_open; PG_EIO. */
int pg_store_backup(const char *from, const char *to, bool replace) PG_MUST_USE;

/* ---- Planning: which cells are asked for, which tasks are missing ---- */

typedef struct pg_store_forward_row {
    const char *forward_key, *canonical;
    const char *dataset_hash, *dataset_split, *dataset_name;
    int64_t dataset_images;
    int dataset_classes;
    int dataset_height, dataset_width; /* pixels of an image, as the network takes it; 0: not known */
    int64_t chunk;                     /* images of a task; tasks start at multiples of it */
} pg_store_forward_row;

typedef struct pg_store_cell_row {
    const char *cell_id, *canonical, *settings, *details;
    int64_t first, count;
    bool has_delta;
    int64_t delta;
    size_t forward; /* index into the forwards of the plan */
    int group;      /* a task that is created serves cells of one such number only */
} pg_store_cell_row;

/* A share of a plan, for a machine that does not see the store of the others: a store of its own that holds nothing else. Of
 * its tasks in the order of forward pass and images it runs those whose number leaves `index` over `count`; its tasks are cut
 * once. */
enum { PG_SHARDS_MAX = 100000 };
typedef struct pg_shard {
    int64_t index, count; /* count 0: none yet: the store is a frozen plan, a copy of which becomes any of its shards */
    pg_store *done;       /* optional, where the tasks are not cut yet: what is done there needs none */
} pg_shard;

typedef struct pg_store_plan_row {
    const char *name, *matrix, *overrides;
    const pg_shard *shard; /* NULL: the whole plan */
    bool cells_only;       /* nobody asks for their outcomes: no tasks */
    const pg_store_forward_row *forwards;
    size_t n_forwards;
    const pg_store_cell_row *cells; /* in the order of rows, no id twice */
    size_t n_cells;
} pg_store_plan_row;

/* Records forwards, cells and plan, creates the tasks that no task covers yet, makes failed tasks pending again, and makes the
 * tasks of these cells the ones that pg_store_claim hands out on this connection. One transaction. PG_EINPUT: a shard is asked
 * for, and the store is something else. */
int pg_store_plan(pg_store *store, const pg_store_plan_row *plan) PG_MUST_USE;
/* The same choice of tasks on another connection, for a plan that is recorded: changes nothing. PG_EMISSING: it is not. */
int pg_store_join(pg_store *store, const pg_store_plan_row *plan) PG_MUST_USE;

/* What a shard says of itself, its plan checked against its cells. PG_EINPUT: the store is no shard. */
typedef struct pg_shard_info {
    char plan_id[PG_HASH_HEX], store_id[PG_HASH_HEX];
    int64_t index, count;
    int64_t tasks; /* of the whole plan */
} pg_shard_info;
int pg_store_shard(pg_store *store, pg_shard_info *out) PG_MUST_USE;

/* Copies what a shard has done and the store has not: outcomes, attacks, attempts, workers, audits; of failed tasks the reason.
 * One transaction; again it changes nothing. The shard has been checked (pg_store_check). PG_EINPUT: of a plan that the store
 * does not know, while it knows others. */
typedef struct pg_store_merged {
    int64_t tasks, known, failed; /* done and new here, here before, failed and not here */
} pg_store_merged;
int pg_store_merge(pg_store *store, pg_store *shard, pg_store_merged *report) PG_MUST_USE;
/* Cells of a plan, and how many of them have all their outcomes. */
int pg_store_complete(pg_store *store, const char *plan_id, int64_t *complete, int64_t *cells) PG_MUST_USE;
/* Certificates of a plan that an attack broke, and the first: certified images that are misclassified under it. */
typedef struct pg_store_broken_report {
    int64_t certificates, cells, image;
    char cell_id[PG_HASH_HEX];
} pg_store_broken_report;
int pg_store_plan_broken(pg_store *store, const char *plan_id, pg_store_broken_report *out) PG_MUST_USE;

/* A submission of the plan of the last pg_store_plan on this connection, by the folder that its shards come to. Then those
 * before it that have cells of the plan as well, and how many of them are not done. A submission stays recorded when it has
 * ended. */
int pg_store_submit(pg_store *store, const char *folder) PG_MUST_USE;
int pg_store_each_submission(pg_store *store, const char *but, int (*each)(const char *folder, int64_t cells, void *context),
                             void *context) PG_MUST_USE;

/* A cell with the same settings but another id that has outcomes: the newest, or "" and NULL. `canonical` is *new* (free). */
int pg_store_stale(pg_store *store, const char *settings, const char *cell_id, char stale_id[PG_HASH_HEX],
                   char **canonical) PG_MUST_USE;

/* A cell with outcomes, for a plan whose files are not on this machine. Everything borrowed. */
typedef struct pg_known_cell {
    int64_t key; /* larger: recorded later */
    pg_store_cell_row cell;
    pg_store_forward_row forward; /* of this only what says the data set */
    const char *finished;         /* when its last task was, UTC */
} pg_known_cell;
/* Cells with outcomes that have this value of this setting: of each forward pass the newest, and how many there are. */
int pg_store_each_named(pg_store *store, const char *key, const char *value,
                        int (*each)(const pg_known_cell *cell, int64_t cells, void *context), void *context) PG_MUST_USE;
/* All of them, oldest first. */
int pg_store_each_with(pg_store *store, const char *key, const char *value,
                       int (*each)(const pg_known_cell *cell, void *context), void *context) PG_MUST_USE;
/* Cells with outcomes of these settings, oldest first: one, unless contents or versions changed under the same names. */
int pg_store_each_alike(pg_store *store, const char *settings, int (*each)(const pg_known_cell *cell, void *context),
                        void *context) PG_MUST_USE;

/* Tasks of the last pg_store_plan or pg_store_join on this connection. */
typedef struct pg_store_progress {
    int64_t tasks, pending, running, done, failed; /* pending without those set aside */
    int64_t images, images_done;                   /* summed over tasks: forward passes */
} pg_store_progress;
int pg_store_progress_of(pg_store *store, pg_store_progress *out) PG_MUST_USE;
/* What the pending and running ones take one worker, as left_s of pg_store_status. */
int pg_store_time_left(pg_store *store, double *left_s) PG_MUST_USE;

/* ---- Running: workers and tasks ---- */

enum { PG_ATTEMPTS_MAX = 3 }; /* failed attempts after which a task has failed */

typedef struct pg_store_worker_row {
    const char *revision, *versions, *device;
    int threads;
} pg_store_worker_row;

/* Takes a lock file beside the store, by which others see that this worker lives, and records the worker. PG_EIO, PG_EDB. */
int pg_store_worker_start(pg_store *store, const pg_store_worker_row *worker) PG_MUST_USE;
void pg_store_worker_end(pg_store *store);      /* harmless where none was started; pg_store_close does it too */
int64_t pg_store_worker(const pg_store *store); /* its key, 0: none was started */

/* Tasks of workers whose lock is free become pending again, with a higher epoch. No clock is asked. */
int pg_store_reap(pg_store *store, int64_t *requeued) PG_MUST_USE;

/* What a worker that died left behind, by who saw it die and knows why. */
typedef struct pg_death {
    int64_t worker;     /* its key */
    int64_t task;       /* was in its hands: charged with a failed attempt; 0: none was */
    const char *reason; /* "the worker died of SIGSEGV" */
} pg_death;
typedef struct pg_reaped {
    int64_t first, count;      /* images of the task in its hands */
    bool attempt_failed;       /* false: another run took it back before */
    bool given_up;             /* it was the last attempt */
    char cell_id[PG_HASH_HEX]; /* the first of its cells */
} pg_reaped;
/* Ends a dead worker: the task in its hands has failed once more, the others that it had claimed are pending again, without
 * one. */
int pg_store_reap_worker(pg_store *store, const pg_death *death, pg_reaped *out) PG_MUST_USE;

typedef struct pg_task {
    int64_t task, epoch, first, count;
    int attempts; /* that failed so far */
    char forward_key[PG_HASH_HEX];
    size_t n_cells;
    int64_t *cells; /* keys */
    char (*cell_ids)[PG_HASH_HEX];
} pg_task;

/* Claims the next pending task all of whose cells are of the plan, by one statement; *new* inside, pg_task_release. Only while
 * `spare` more are pending: a worker that is busy claims ahead and leaves work for the others; 0 takes the last. *got = false:
 * nothing to claim. */
int pg_store_claim(pg_store *store, int spare, pg_task *out, bool *got) PG_MUST_USE;
void pg_task_release(pg_task *task);

/* Where other plans share cells with this one, their tasks serve cells of both, and only who has all of them can run these.
 * This takes this plan's cells out of some of those that are pending or failed, the last ones first, into tasks of their own,
 * which all who could run the old ones can run, so that nobody waits for a run that may be dead. Forward passes set aside stay
 * as they are. *more: there is something to claim now. */
int pg_store_take(pg_store *store, bool *more) PG_MUST_USE;

typedef struct pg_attempt {
    /* used: "libtorch 1.13.1; OpenBLAS 0.3.21 pthread Haswell; ...; isa avx2"; "" for no library */
    const char *device, *library;
    int threads, batch, cached; /* cached: images whose features came from the cache */
    double wall_s, read_s, forward_s, certify_s;
    int64_t peak_bytes;
} pg_attempt;

/* Of the first `whole` images of a claimed task, 1 <= whole <= count: stores outcomes[n_cells][whole], attacks[whole] (NULL:
 * none ran), summaries and the attempt, and marks the task done: all or nothing. Where that is not all of its images, these
 * become a task of their own that is done, and the others are pending again. *counted = false: the task was given to somebody
 * else meanwhile (the epoch is stale); then nothing but the attempt is recorded. */
int pg_store_finish(pg_store *store, const pg_task *task, int64_t whole, const pg_attempt *attempt, const pg_outcome *outcomes,
                    const pg_attack_row *attacks, bool *counted) PG_MUST_USE;
/* Records a failed attempt; the task becomes pending again, or failed (*given_up) after PG_ATTEMPTS_MAX of them, or at once
 * without `retry`. */
int pg_store_fail(pg_store *store, const pg_task *task, const pg_attempt *attempt, const char *error, bool retry,
                  bool *given_up) PG_MUST_USE;
/* Gives a claimed task back untouched. */
int pg_store_return(pg_store *store, const pg_task *task) PG_MUST_USE;
/* Gives a claimed task back and hands out no other task of its forward pass on this connection: it cannot be run here. */
int pg_store_set_aside(pg_store *store, const pg_task *task) PG_MUST_USE;
/* Marks the pending tasks of a forward pass as failed for this reason, for the cells of this plan: nobody could run them. */
int pg_store_give_up(pg_store *store, const char *forward_key, const char *error) PG_MUST_USE;

/* Attempts at the tasks of a cell, oldest first. */
typedef struct pg_attempt_record {
    int64_t task, first, count, epoch;
    const char *result, *host, *device, *library, *revision, *versions, *error, *finished; /* borrowed during the call */
    int64_t pid, peak_bytes;
    int64_t cells; /* that the task serves */
    int batch, threads, cached;
    double wall_s, read_s, forward_s, certify_s;
} pg_attempt_record;
int pg_store_each_attempt(pg_store *store, const char *cell_id, int (*each)(const pg_attempt_record *record, void *context),
                          void *context) PG_MUST_USE;

/* ---- Watching: the store as a whole, while others write. Quick whatever its size ---- */

typedef struct pg_store_status {
    int64_t cells[PG_CELL_STATES]; /* that a run asked for */
    int64_t audited;               /* others: only audited */
    int64_t outcomes, outcomes_asked;
    int64_t tasks, pending, running, done, failed;
    double left_s; /* what is pending and running takes one worker, by the speed of the last attempts; NaN: none was made */
} pg_store_status;
int pg_store_status_of(pg_store *store, pg_store_status *out) PG_MUST_USE;

/* Records of this part are borrowed during the call. Workers that live, and dead ones whose tasks nobody has taken back yet. */
typedef struct pg_worker_record {
    bool lives;
    const char *host, *device, *started;
    int64_t pid;
    int threads;
    int64_t tasks;               /* claimed, not finished */
    int64_t first, count, cells; /* of the first of them: images, and how many cells it serves; */
    const char *cell_id;         /* the first of these cells */
} pg_worker_record;
int pg_store_each_worker(pg_store *store, int (*each)(const pg_worker_record *record, void *context),
                         void *context) PG_MUST_USE;

/* Tasks that gave up. */
typedef struct pg_failure_record {
    int64_t first, count, cells;
    int attempts;
    const char *cell_id, *error;
} pg_failure_record;
int pg_store_each_failure(pg_store *store, int64_t most, int (*each)(const pg_failure_record *record, void *context),
                          void *context) PG_MUST_USE;

/* Tasks of a cell that are not done, by their images. */
typedef struct pg_task_record {
    int64_t first, count, pid;
    int attempts;
    const char *state, *error, *host; /* error: of the last failure, "" if none; host and pid of who runs it */
} pg_task_record;
int pg_store_each_open_task(pg_store *store, const char *cell_id, int (*each)(const pg_task_record *record, void *context),
                            void *context) PG_MUST_USE;

/* Cells of plans of a matrix file, by its text, whose keys -S replaced: each once, the oldest first. */
int pg_store_each_changed(pg_store *store, const char *matrix, int (*each)(const char *cell_id, void *context),
                          void *context) PG_MUST_USE;

/* Plans that asked for a cell, oldest first. */
int pg_store_each_plan(pg_store *store, const char *cell_id, int (*each)(const char *name, const char *created, void *context),
                       void *context) PG_MUST_USE;

#endif
