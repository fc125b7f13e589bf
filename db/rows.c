/* Rows of the tables of results: their columns, each once, and the statements, members and checksums that go with them. See
 * internal.h. A column of one of these tables is a line here, a member of a struct (db/store.h) and a migration.
 *
 * Every list is X(column, type, member, null): what is NULL in the table is by `null` a flag that is false, a number below 0,
 * 0, an empty text or a NULL pointer; texts and numbers that are always there are PLAIN. */
#include "db/internal.h"

#include <math.h>
#include <string.h>

#define FLAG(member) .has = offsetof(ROW, member)
#define PLAIN        .null = PG_DB_PLAIN
#define NEGATIVE     .null = PG_DB_NEGATIVE
#define ZERO         .null = PG_DB_ZERO
#define POINTER      .null = PG_DB_POINTER
#define EMPTY        .null = PG_DB_EMPTY

#define COLUMN(column, type, member, null) {":" #column, PG_DB_##type, offsetof(ROW, member), null},
#define NAME(column, ...)                  ", " #column
#define PARAMETER(column, ...)             ", :" #column
/* ", a.column" */
#define A_NAME(column, ...) ", a." #column
#define C_NAME(column, ...) ", c." #column
#define D_NAME(column, ...) ", d." #column
#define O_NAME(column, ...) ", o." #column
#define W_NAME(column, ...) ", w." #column

/* ---- Outcomes ---- */

#define OUTCOME(X)                                     \
    X(image, INT64, image, PLAIN)                      \
    X(prediction, INT, prediction, PLAIN)              \
    X(certified, BOOL, certified, PLAIN)               \
    X(published, BOOL, certified_published, PLAIN)     \
    X(masked, BOOL, masked, PLAIN)                     \
    X(margin, INT64, margin, FLAG(has_margin))         \
    X(failure_case, INT8, failure_case, NEGATIVE)      \
    X(attacked, INT, attacked, FLAG(has_attack))       \
    X(saturated, BOOL, saturated, FLAG(has_saturated)) \
    X(differs, BOOL, differs, FLAG(has_differs))
#define ROW pg_outcome
static const pg_db_column outcome_columns[] = {OUTCOME(COLUMN){NULL}};
#undef ROW

#define ATTACK(X)                    \
    X(image, INT64, image, PLAIN)    \
    X(top, INT, top, PLAIN)          \
    X(left, INT, left, PLAIN)        \
    X(target, INT, target, NEGATIVE) \
    X(loss, REAL, loss, PLAIN)       \
    X(steps, INT64, steps, PLAIN)    \
    X(before, INT, before, PLAIN)    \
    X(after, INT, after, PLAIN)      \
    X(patch, BLOB, patch, FLAG(patch_size))
#define ROW pg_attack_row
static const pg_db_column attack_columns[] = {ATTACK(COLUMN){NULL}};
#undef ROW
enum { OUTCOMES = sizeof outcome_columns / sizeof *outcome_columns - 1 };

const char pg_db_select_outcomes[] = "SELECT l.label" OUTCOME(O_NAME)
    ATTACK(A_NAME) " FROM cell c JOIN forward f ON f.forward = c.forward JOIN outcome o ON o.cell = c.cell"
                   " JOIN label l ON l.dataset = f.dataset AND l.image = o.image"
                   " LEFT JOIN attack a ON a.cell = o.cell AND a.image = o.image"
                   " WHERE c.cell_id = :cell_id AND o.image BETWEEN :first AND :last ORDER BY o.image";

bool pg_db_read_outcome(sqlite3_stmt *row, pg_outcome *out, pg_attack_row *of_attack)
{
    out->label = sqlite3_column_int(row, 0);
    pg_db_read(row, 1, outcome_columns, out);
    if (of_attack && sqlite3_column_type(row, 1 + OUTCOMES) != SQLITE_NULL) {
        pg_db_read(row, 1 + OUTCOMES, attack_columns, of_attack);
        of_attack->label = out->label;
        return true;
    }
    return false;
}

int pg_db_store_outcome(pg_store *store, int64_t cell, const pg_outcome *o)
{
    return pg_db_run(store, "storing outcomes",
                     "INSERT INTO outcome (cell" OUTCOME(NAME) ") VALUES (:cell" OUTCOME(PARAMETER) ")",
                     PG_BIND(PG_V(cell, cell), PG_ROW(outcome_columns, o)));
}

uint64_t pg_db_outcome_checksum(uint64_t hash, const pg_outcome *o)
{
    hash = pg_fnv_int(pg_fnv_int(hash, o->image), o->label);
    hash = pg_fnv_int(hash, o->prediction);
    hash = pg_fnv_int(hash, (o->certified ? 1 : 0) + (o->certified_published ? 2 : 0) + (o->masked ? 4 : 0) +
                                (o->has_margin ? 8 : 0));
    hash = pg_fnv_int(hash, o->has_margin ? o->margin : 0);
    hash = pg_fnv_int(pg_fnv_int(hash, o->failure_case), o->has_attack ? o->attacked : -2);
    int grid = (o->has_saturated ? 1 : 0) + (o->saturated ? 2 : 0) + (o->has_differs ? 4 : 0) + (o->differs ? 8 : 0);
    return grid ? pg_fnv_int(hash, grid) : hash; /* none in rows of before */
}

/* ---- Attacks ---- */

const char pg_db_select_attacks[] = "SELECT l.label" ATTACK(
    A_NAME) " FROM cell c JOIN forward f ON f.forward = c.forward"
            " JOIN attack a ON a.cell = c.cell JOIN label l ON l.dataset = f.dataset AND l.image = a.image"
            " WHERE c.cell_id = :cell_id ORDER BY a.image";

void pg_db_read_attack(sqlite3_stmt *row, pg_attack_row *out)
{
    out->label = sqlite3_column_int(row, 0);
    pg_db_read(row, 1, attack_columns, out);
}

int pg_db_store_attack(pg_store *store, int64_t cell, const pg_attack_row *a)
{
    return pg_db_run(store, "storing what an attack found",
                     "INSERT INTO attack (cell" ATTACK(NAME) ") VALUES (:cell" ATTACK(PARAMETER) ")",
                     PG_BIND(PG_V(cell, cell), PG_ROW(attack_columns, a)));
}

uint64_t pg_db_attack_checksum(uint64_t hash, const pg_attack_row *a)
{
    double loss = isnan(a->loss) ? 0 : a->loss + 0.0; /* a stored -0 comes back as 0 */
    int64_t bits;
    memcpy(&bits, &loss, sizeof bits);
    hash = pg_fnv_int(pg_fnv_int(pg_fnv_int(hash, a->image), a->top), a->left);
    hash = pg_fnv_int(pg_fnv_int(pg_fnv_int(hash, a->target), isnan(a->loss) ? 1 : 0), bits);
    hash = pg_fnv_int(pg_fnv_int(pg_fnv_int(hash, a->steps), a->before), a->after);
    hash = pg_fnv_int(hash, (int64_t)a->patch_size);
    return pg_fnv_bytes(hash, a->patch, a->patch_size);
}

/* ---- Summaries ---- */

/* In the order of the checksum. Of its last four, the grid's two are left out where neither was counted and an attack's two
 * where there was none: none in rows of before. */
#define SUMMARY(X)                           \
    X(n, INT64, n, PLAIN)                    \
    X(clean, INT64, clean, PLAIN)            \
    X(certified, INT64, certified, PLAIN)    \
    X(published, INT64, published, PLAIN)    \
    X(nonfinite, INT64, nonfinite, PLAIN)    \
    X(masked, INT64, masked, PLAIN)          \
    X(case0, INT64, cases[0], PLAIN)         \
    X(case1, INT64, cases[1], PLAIN)         \
    X(case2, INT64, cases[2], PLAIN)         \
    X(case3, INT64, cases[3], PLAIN)         \
    X(case4, INT64, cases[4], PLAIN)         \
    X(attacked_n, INT64, attacked_n, PLAIN)  \
    X(attacked, INT64, attacked, PLAIN)      \
    X(margin, INT64, margin, ZERO)           \
    X(outcomes, INT64, outcomes, PLAIN)      \
    X(saturated, INT64, saturated, NEGATIVE) \
    X(differs, INT64, differs, NEGATIVE)     \
    X(targeted, INT64, targeted, NEGATIVE)   \
    X(reached, INT64, reached, NEGATIVE)
#define ROW pg_db_summary
static const pg_db_column summary_columns[] = {SUMMARY(COLUMN){NULL}};
#undef ROW

const char pg_db_select_summaries[] = "SELECT checksum" SUMMARY(NAME) " FROM summary WHERE cell = :cell ORDER BY task";

int64_t pg_db_summary_checksum(const pg_db_summary *s)
{
    uint64_t hash = pg_fnv_start;
    for (const pg_db_column *c = summary_columns; c->name; c++)
        if (c->offset <= offsetof(pg_db_summary, outcomes) ||
            (c->offset < offsetof(pg_db_summary, targeted) ? s->saturated >= 0 || s->differs >= 0 : s->targeted >= 0))
            hash = pg_fnv_int(hash, *(const int64_t *)((const char *)s + c->offset));
    return (int64_t)hash;
}

bool pg_db_read_summary(sqlite3_stmt *row, pg_db_summary *out)
{
    pg_db_read(row, 1, summary_columns, out);
    return pg_db_summary_checksum(out) == sqlite3_column_int64(row, 0);
}

int pg_db_store_summary(pg_store *store, int64_t cell, int64_t task, int64_t attempt, const pg_db_summary *s)
{
    int code = pg_db_run(store, "storing a summary",
                         "INSERT INTO summary (cell, task, attempt, checksum" SUMMARY(
                             NAME) ") VALUES (:cell, :task, :attempt, :checksum" SUMMARY(PARAMETER) ")",
                         PG_BIND(PG_V(cell, cell), PG_V(task, task), PG_V(attempt, attempt),
                                 PG_V(checksum, pg_db_summary_checksum(s)), PG_ROW(summary_columns, s)));
    return code == PG_OK ? pg_db_add_total(store, cell, s) : code;
}

/* ---- Audits ---- */

#define AUDIT(X)                                        \
    X(level, TEXT, level, PLAIN)                        \
    X(settings, TEXT, settings, PLAIN)                  \
    X(n, INT64, n, PLAIN)                               \
    X(certified, INT64, certified, PLAIN)               \
    X(broken, INT64, broken, PLAIN)                     \
    X(unbroken, INT64, unbroken, PLAIN)                 \
    X(published_broken, INT64, published_broken, PLAIN) \
    X(delta, INT64, delta, FLAG(has_delta))             \
    X(witness, TEXT, witness, POINTER)                  \
    X(finished, TEXT, finished, PLAIN)
#define ROW pg_audit_record
static const pg_db_column audit_columns[] = {AUDIT(COLUMN){NULL}};
#undef ROW

#define SELECT_AUDITS "SELECT c.cell_id" AUDIT(A_NAME) " FROM audit a JOIN cell c ON c.cell = a.cell"
const char pg_db_select_audits[] = SELECT_AUDITS " WHERE c.cell_id = :cell_id ORDER BY a.level, a.settings";
const char pg_db_select_all_audits[] = SELECT_AUDITS;

void pg_db_read_audit(sqlite3_stmt *row, pg_audit_record *out) { pg_db_read(row, 1, audit_columns, out); }

int pg_db_store_audit(pg_store *store, const char *cell_id, const pg_audit_record *record, bool replace)
{
#define INSERT_AUDIT(or_what)                                                                                           \
    "INSERT OR " or_what " INTO audit (cell" AUDIT(NAME) ") SELECT cell" AUDIT(PARAMETER) " FROM cell WHERE cell_id = " \
                                                                                          ":cell_id"
    return pg_db_run(store, "storing an audit", replace ? INSERT_AUDIT("REPLACE") : INSERT_AUDIT("IGNORE"),
                     PG_BIND(PG_V(cell_id, cell_id), PG_ROW(audit_columns, record)));
}

/* ---- Cells and data sets ---- */

#define CELL(X)                          \
    X(cell_id, TEXT, cell_id, PLAIN)     \
    X(canonical, TEXT, canonical, PLAIN) \
    X(settings, TEXT, settings, PLAIN)   \
    X(details, TEXT, details, PLAIN)     \
    X(first, INT64, first, PLAIN)        \
    X(count, INT64, count, PLAIN)        \
    X(delta, INT64, delta, FLAG(has_delta))
#define ROW pg_store_cell_row
static const pg_db_column cell_columns[] = {CELL(COLUMN){NULL}};
#undef ROW
enum { CELLS = sizeof cell_columns / sizeof *cell_columns - 1 };

#define DATASET(X)                          \
    X(hash, TEXT, dataset_hash, PLAIN)      \
    X(split, TEXT, dataset_split, PLAIN)    \
    X(name, TEXT, dataset_name, PLAIN)      \
    X(images, INT64, dataset_images, PLAIN) \
    X(classes, INT, dataset_classes, PLAIN) \
    X(height, INT, dataset_height, ZERO)    \
    X(width, INT, dataset_width, ZERO)
#define ROW pg_store_forward_row
static const pg_db_column dataset_columns[] = {DATASET(COLUMN){NULL}};
#undef ROW

#define SELECT_CELL "SELECT c.cell, c.checksum" CELL(C_NAME) " FROM cell c WHERE "
const char pg_db_select_cell[] = SELECT_CELL "c.cell = :cell";
const char pg_db_select_lines[] =
    "SELECT c.cell_id, c.first, c.count, c.settings, c.details, c.delta, t.n, t.failed, t.clean, t.certified, t.attacked_n,"
    " t.attacked, t.published, t.cases FROM cell c JOIN total t ON t.cell = c.cell"
    " WHERE c.cell BETWEEN :first AND :last ORDER BY c.cell";
const char pg_db_select_cell_by_id[] = SELECT_CELL "c.cell_id = :cell_id";
const char pg_db_select_plan_cells[] = "SELECT f.forward_key, f.canonical" CELL(C_NAME)
    DATASET(D_NAME) " FROM plan_cell p"
                    " JOIN cell c ON c.cell = p.cell JOIN forward f ON f.forward = c.forward"
                    " JOIN dataset d ON d.dataset = f.dataset ORDER BY p.position";

const char pg_db_select_known_cell[] = "SELECT c.cell, c.checksum" CELL(C_NAME)
    DATASET(D_NAME) ", (SELECT max(a.finished) FROM summary s JOIN attempt a ON a.attempt = s.attempt WHERE s.cell = c.cell) "
                    "FROM cell c"
                    " JOIN forward f ON f.forward = c.forward JOIN dataset d ON d.dataset = f.dataset WHERE c.cell = :cell";

int64_t pg_db_cell_checksum(const pg_store_cell_row *row)
{
    uint64_t hash = pg_fnv_text(pg_fnv_start, row->cell_id);
    hash = pg_fnv_text(hash, row->canonical);
    hash = pg_fnv_text(hash, row->settings);
    hash = pg_fnv_text(hash, row->details);
    hash = pg_fnv_int(pg_fnv_int(hash, row->first), row->count);
    return (int64_t)pg_fnv_int(hash, row->has_delta ? row->delta : -1);
}

bool pg_db_read_cell(sqlite3_stmt *row, pg_store_cell_row *out)
{
    pg_db_read(row, 2, cell_columns, out);
    return strlen(out->cell_id) == PG_HASH_HEX - 1 && pg_db_cell_checksum(out) == sqlite3_column_int64(row, 1);
}

void pg_db_read_line(sqlite3_stmt *row, pg_cell_line *out)
{
    enum { TOTALS = 6, OF_TOTALS = 8 };
    int64_t totals[OF_TOTALS];
    for (int i = 0; i < OF_TOTALS; i++)
        totals[i] = sqlite3_column_int64(row, TOTALS + i);
    *out = (pg_cell_line){.cell_id = pg_db_text(row, 0),
                          .first = sqlite3_column_int64(row, 1),
                          .images = sqlite3_column_int64(row, 2),
                          .settings = pg_db_text(row, 3),
                          .details = pg_db_text(row, 4),
                          .has_delta = sqlite3_column_type(row, 5) != SQLITE_NULL,
                          .n = totals[0],
                          .clean = totals[2],
                          .certified = totals[3],
                          .attacked_n = totals[4],
                          .attacked = totals[5],
                          .certified_published = totals[7] > 0 ? totals[6] : -1};
    out->state = out->n == out->images ? PG_CELL_DONE
                 : totals[1] > 0       ? PG_CELL_FAILED
                 : out->n > 0          ? PG_CELL_PARTIAL
                                       : PG_CELL_NEW;
}

bool pg_db_read_known_cell(sqlite3_stmt *row, pg_known_cell *out)
{
    pg_db_read(row, 2 + CELLS, dataset_columns, &out->forward);
    out->finished = pg_db_text(row, 2 + CELLS + (int)(sizeof dataset_columns / sizeof *dataset_columns) - 1);
    return pg_db_read_cell(row, &out->cell);
}

void pg_db_read_plan_cell(sqlite3_stmt *row, pg_store_cell_row *of_cell, pg_store_forward_row *forward)
{
    pg_db_read(row, 2, cell_columns, of_cell);
    pg_db_read(row, 2 + CELLS, dataset_columns, forward);
    forward->forward_key = pg_db_text(row, 0);
    forward->canonical = pg_db_text(row, 1);
}

int pg_db_record_forward(pg_store *store, const pg_store_forward_row *f, int64_t *key)
{
    static const char doing[] = "recording a forward pass";
    int64_t set = 0;
    int code =
        pg_db_run(store, "recording a data set",
                  "INSERT INTO dataset (dataset" DATASET(NAME) ") VALUES (NULL" DATASET(
                      PARAMETER) ") ON CONFLICT (hash, split) DO UPDATE SET height = excluded.height, width = excluded.width"
                                 " WHERE height IS NULL AND excluded.height IS NOT NULL",
                  PG_BIND(PG_ROW(dataset_columns, f)));
    if (code == PG_OK)
        code = pg_db_one(store, doing, "SELECT dataset FROM dataset WHERE hash = :hash AND split = :split",
                         PG_BIND(PG_V(hash, f->dataset_hash), PG_V(split, f->dataset_split)), &set);
    if (code == PG_OK)
        code = pg_db_run(store, doing,
                         "INSERT INTO forward (forward_key, canonical, dataset) VALUES (:forward_key, :canonical, :dataset)"
                         " ON CONFLICT DO NOTHING",
                         PG_BIND(PG_V(forward_key, f->forward_key), PG_V(canonical, f->canonical), PG_V(dataset, set)));
    if (code == PG_OK)
        code = pg_db_one(store, doing, "SELECT forward FROM forward WHERE forward_key = :forward_key",
                         PG_BIND(PG_V(forward_key, f->forward_key)), key);
    return code;
}

/* Names and details follow the newest plan; identity never changes. */
int pg_db_record_cell(pg_store *store, const pg_store_cell_row *c, int64_t forward, int64_t *key)
{
    char settings_id[PG_HASH_HEX];
    int code = pg_hash_bytes(c->settings, strlen(c->settings), settings_id);
    if (code == PG_OK)
        code = pg_db_run(
            store, "recording a cell",
            "INSERT INTO cell (forward, settings_id, checksum" CELL(NAME) ") VALUES (:forward, :settings_id, :checksum" CELL(
                PARAMETER) ") ON CONFLICT (cell_id) DO UPDATE SET settings = :settings, settings_id = :settings_id, details = "
                           ":details,"
                           " checksum = :checksum WHERE checksum <> :checksum AND canonical = :canonical",
            PG_BIND(PG_V(forward, forward), PG_V(settings_id, settings_id), PG_V(checksum, pg_db_cell_checksum(c)),
                    PG_ROW(cell_columns, c)));
    bool changed = code == PG_OK && sqlite3_changes(store->db) == 1;
    if (code == PG_OK)
        code = pg_db_one(store, "recording a cell", "SELECT cell FROM cell WHERE cell_id = :cell_id AND canonical = :canonical",
                         PG_BIND(PG_V(cell_id, c->cell_id), PG_V(canonical, c->canonical)), key);
    return code == PG_OK && changed ? pg_db_store_settings(store, *key, c->settings, c->details) : code;
}

/* ---- Workers and attempts ---- */

#define WORKER(X)                      \
    X(token, TEXT, token, PLAIN)       \
    X(host, TEXT, host, PLAIN)         \
    X(pid, INT64, pid, PLAIN)          \
    X(revision, TEXT, revision, PLAIN) \
    X(versions, TEXT, versions, PLAIN) \
    X(device, TEXT, device, PLAIN)     \
    X(threads, INT, threads, PLAIN)    \
    X(started, TEXT, started, PLAIN)
#define ROW pg_db_worker
static const pg_db_column worker_columns[] = {WORKER(COLUMN){":ended", PG_DB_TEXT, offsetof(ROW, ended), POINTER}, {NULL}};
#undef ROW

const char pg_db_select_worker[] =
    "SELECT w.worker" WORKER(W_NAME) ", ifnull(w.ended, a.finished) FROM attempt a"
                                     " JOIN worker w ON w.worker = a.worker WHERE a.attempt = :attempt";

void pg_db_read_worker(sqlite3_stmt *row, pg_db_worker *out) { pg_db_read(row, 1, worker_columns, out); }

int pg_db_store_worker(pg_store *store, const pg_db_worker *w)
{
    return pg_db_run(
        store, "recording a worker",
        "INSERT INTO worker (worker" WORKER(NAME) ", ended) VALUES (NULL" WORKER(PARAMETER) ", :ended)"
                                                                                            " ON CONFLICT (token) DO NOTHING",
        PG_BIND(PG_ROW(worker_columns, w)));
}

/* Of pg_attempt and of pg_attempt_record, whose members have the same names. */
#define ATTEMPT(X)                       \
    X(device, TEXT, device, PLAIN)       \
    X(library, TEXT, library, PLAIN)     \
    X(threads, INT, threads, PLAIN)      \
    X(batch, INT, batch, PLAIN)          \
    X(cached, INT, cached, PLAIN)        \
    X(wall_s, REAL, wall_s, PLAIN)       \
    X(read_s, REAL, read_s, PLAIN)       \
    X(forward_s, REAL, forward_s, PLAIN) \
    X(certify_s, REAL, certify_s, PLAIN) \
    X(peak_bytes, INT64, peak_bytes, PLAIN)
#define ENDED_ATTEMPT(X)               \
    X(epoch, INT64, epoch, PLAIN)      \
    X(result, TEXT, result, PLAIN)     \
    X(error, TEXT, error, EMPTY)       \
    X(finished, TEXT, finished, PLAIN) \
    ATTEMPT(X)
#define ROW pg_attempt
static const pg_db_column attempt_columns[] = {ATTEMPT(COLUMN){NULL}};
#undef ROW
#define ROW pg_attempt_record
static const pg_db_column record_columns[] = {ENDED_ATTEMPT(COLUMN){NULL}};
#undef ROW

const char pg_db_select_attempts[] =
    "SELECT t.task, t.first, t.count, w.host, w.revision, w.versions, w.pid,"
    " (SELECT count(*) FROM task_cell o WHERE o.task = t.task)" ENDED_ATTEMPT(
        A_NAME) " FROM cell c JOIN task_cell tc ON tc.cell = c.cell JOIN task t ON t.task = tc.task"
                " JOIN attempt a ON a.task = t.task LEFT JOIN worker w ON w.worker = a.worker"
                " WHERE c.cell_id = :cell_id ORDER BY a.attempt";
const char pg_db_select_attempts_of_task[] =
    "SELECT a.attempt" ENDED_ATTEMPT(A_NAME) " FROM attempt a WHERE a.task = :task ORDER BY a.attempt";

void pg_db_read_attempt(sqlite3_stmt *row, int first, pg_attempt_record *out) { pg_db_read(row, first, record_columns, out); }

int pg_db_copy_attempt(pg_store *store, int64_t task, int64_t worker, const pg_attempt_record *a)
{
    return pg_db_run(store, "recording an attempt",
                     "INSERT INTO attempt (task, worker" ENDED_ATTEMPT(NAME) ") SELECT :task, :worker" ENDED_ATTEMPT(
                         PARAMETER) " WHERE NOT EXISTS (SELECT 1 FROM attempt a WHERE a.task = :task AND a.worker = :worker"
                                    " AND a.epoch = :epoch AND a.result = :result AND a.finished = :finished)",
                     PG_BIND(PG_V(task, task), PG_V(worker, worker), PG_ROW(record_columns, a)));
}

int pg_db_store_attempt(pg_store *store, const pg_task *task, const pg_attempt *a, const char *result, const char *error)
{
    char now[32];
    pg_db_time(now);
    return pg_db_run(
        store, "recording an attempt",
        "INSERT INTO attempt (task, worker" ENDED_ATTEMPT(NAME) ") VALUES (:task, :worker" ENDED_ATTEMPT(PARAMETER) ")",
        PG_BIND(PG_V(task, task->task), PG_V(worker, store->worker), PG_V(epoch, task->epoch), PG_V(result, result),
                PG_V(error, error), PG_V(finished, now), PG_ROW(attempt_columns, a)));
}

int pg_db_store_lost(pg_store *store, int64_t worker, int64_t task, const char *result, const char *error)
{
    char now[32];
    pg_db_time(now);
    return pg_db_run(store, "recording a failure",
                     "INSERT INTO attempt (task, worker, epoch, result, device, library, threads, batch, cached, wall_s,"
                     " read_s, forward_s, certify_s, peak_bytes, error, finished) SELECT t.task, t.owner, t.epoch, :result,"
                     " w.device, '', 0, 0, 0, 0, 0, 0, 0, 0, ifnull(:error, 'its worker, process ' || w.pid || ' on ' || w.host"
                     " || ', died'), :now FROM task t JOIN worker w ON w.worker = t.owner WHERE t.state = 'running'"
                     " AND t.state <> 'done' AND t.owner = :worker AND :task IN (0, t.task)",
                     PG_BIND(PG_V(worker, worker), PG_V(task, task), PG_V(result, result), PG_V(error, error), PG_V(now, now)));
}
