/* Claiming, finishing and failing tasks, and requeueing those of dead workers. See store.h.
 *
 * A claim is one UPDATE that raises the task's epoch; a finish is one UPDATE that names epoch and owner, inside the transaction
 * that stores the outcomes. A worker whose task was given away meanwhile changes no row and its outcomes are dropped. */
#include "db/internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int read_cells(pg_store *store, pg_task *task)
{
    sqlite3_stmt *row = NULL;
    int64_t n = 0;
    int step = 0;
    int code = pg_db_get(store, "SELECT count(*) FROM task_cell WHERE task = :task", &row, PG_BIND(PG_V(task, task->task)));
    if (code == PG_OK && (step = pg_db_step(store, row, "reading the cells of a task")) == 1)
        n = sqlite3_column_int64(row, 0);
    pg_db_done(row);
    if (code != PG_OK || step < 0)
        return code != PG_OK ? code : step;
    task->cells = calloc((size_t)n + 1, sizeof *task->cells);
    task->cell_ids = calloc((size_t)n + 1, sizeof *task->cell_ids);
    if (!task->cells || !task->cell_ids)
        return pg_fail(PG_ENOMEM, "claiming a task: out of memory");
    code = pg_db_get(
        store,
        "SELECT c.cell, c.cell_id FROM task_cell tc JOIN cell c ON c.cell = tc.cell WHERE tc.task = :task ORDER BY tc.cell",
        &row, PG_BIND(PG_V(task, task->task)));
    while (code == PG_OK && (int64_t)task->n_cells < n && (step = pg_db_step(store, row, "reading the cells of a task")) == 1) {
        task->cells[task->n_cells] = sqlite3_column_int64(row, 0);
        strncpy(task->cell_ids[task->n_cells], pg_db_text(row, 1), PG_HASH_HEX - 1);
        task->n_cells++;
    }
    pg_db_done(row);
    return code == PG_OK && step < 0 ? step : code;
}

int pg_store_claim(pg_store *store, int spare, pg_task *out, bool *got)
{
    *out = (pg_task){0};
    *got = false;
    if (!store->wanted || !store->worker)
        return pg_fail(PG_EDB, "%s: no plan or no worker on this connection", store->path);
    sqlite3_stmt *row = NULL;
    int code = pg_db_get(
        store,
        "UPDATE task SET state = 'running', owner = :worker, epoch = epoch + 1 WHERE task = (SELECT t.task " PG_DB_NEXT_PENDING
        ") AND (:spare = 0 OR EXISTS (SELECT 1 " PG_DB_NEXT_PENDING
        " OFFSET :spare)) RETURNING task, epoch, first, count, attempts,"
        " (SELECT forward_key FROM forward f WHERE f.forward = task.forward)",
        &row, PG_BIND(PG_V(worker, store->worker), PG_V(spare, spare)));
    while (code == PG_OK) { /* to the end: the row is committed when the statement is done */
        int step = pg_db_step(store, row, "claiming a task");
        if (step != 1) {
            code = step;
            break;
        }
        *got = true;
        out->task = sqlite3_column_int64(row, 0);
        out->epoch = sqlite3_column_int64(row, 1);
        out->first = sqlite3_column_int64(row, 2);
        out->count = sqlite3_column_int64(row, 3);
        out->attempts = sqlite3_column_int(row, 4);
        strncpy(out->forward_key, pg_db_text(row, 5), PG_HASH_HEX - 1);
    }
    pg_db_done(row);
    if (code == PG_OK && *got)
        code = read_cells(store, out);
    if (code != PG_OK)
        pg_task_release(out);
    return code;
}

void pg_task_release(pg_task *task)
{
    free(task->cells);
    free(task->cell_ids);
    task->cells = NULL;
    task->cell_ids = NULL;
    task->n_cells = 0;
}

/* Labels are facts of the data set: a label that differs from the stored one means that the data changed under its hash. They
 * are compared one by one. */
int pg_db_store_labels(pg_store *store, const pg_task *task, const pg_outcome *outcomes)
{
    int code = PG_OK;
    for (int64_t i = 0; code == PG_OK && i < task->count; i++)
        code = pg_db_run(store, "storing labels",
                         "INSERT INTO label (dataset, image, label) SELECT f.dataset, :image, :label FROM task t"
                         " JOIN forward f ON f.forward = t.forward WHERE t.task = :task ON CONFLICT DO NOTHING",
                         PG_BIND(PG_V(task, task->task), PG_V(image, outcomes[i].image), PG_V(label, outcomes[i].label)));
    sqlite3_stmt *row = NULL;
    int64_t same = 0, differs = -1;
    int step = 0;
    if (code == PG_OK)
        code = pg_db_get(
            store,
            "SELECT l.image, l.label FROM task t JOIN forward f ON f.forward = t.forward"
            " JOIN label l ON l.dataset = f.dataset AND l.image BETWEEN :first AND :last WHERE t.task = :task ORDER BY l.image",
            &row, PG_BIND(PG_V(task, task->task), PG_V(first, task->first), PG_V(last, task->first + task->count - 1)));
    while (code == PG_OK && differs < 0 && (step = pg_db_step(store, row, "checking labels")) == 1) {
        int64_t image = sqlite3_column_int64(row, 0);
        if (sqlite3_column_int64(row, 1) == outcomes[image - task->first].label)
            same++;
        else
            differs = image;
    }
    pg_db_done(row);
    if (code == PG_OK && step < 0)
        code = step;
    if (code == PG_OK && same != task->count)
        code = pg_fail(
            PG_EDAMAGED,
            "%s: the label of image %lld, and maybe of others up to %lld, differs from that of earlier results; the data"
            " changed under its manifest, see `patchgauge data verify`",
            store->path, (long long)(differs < 0 ? task->first : differs), (long long)(task->first + task->count - 1));
    return code;
}

/* Accuracy under attack counts images that are correct without a patch and under attack. */
static void add_to_summary(const pg_outcome *o, const pg_attack_row *attack, pg_db_summary *s)
{
    bool targeted = attack && attack->target >= 0 && attack->target != o->label;
    s->n++;
    s->clean += o->prediction == o->label;
    s->certified += o->certified;
    s->published += o->certified_published;
    s->nonfinite += o->prediction < 0;
    s->masked += o->masked;
    if (o->failure_case >= 0 && o->failure_case < PG_CASES)
        s->cases[o->failure_case]++;
    s->attacked_n += o->has_attack;
    s->attacked += o->has_attack && o->prediction == o->label && o->attacked == o->label;
    if (o->certified && o->has_margin && o->margin > 0 && (s->margin == 0 || o->margin < s->margin))
        s->margin = o->margin;
    s->saturated = o->has_saturated && s->saturated >= 0 ? s->saturated + o->saturated : -1;
    s->differs = o->has_differs && s->differs >= 0 ? s->differs + o->differs : -1;
    s->targeted += targeted;
    s->reached += targeted && o->attacked == attack->target;
}

int pg_db_store_outcomes(pg_store *store, const pg_task *task, int64_t cell, int64_t attempt, const pg_outcome *outcomes,
                         const pg_attack_row *attacks)
{
    pg_db_summary summary = {.targeted = attacks ? 0 : -1, .reached = attacks ? 0 : -1};
    uint64_t hash = pg_fnv_start;
    int code = PG_OK;
    for (int64_t i = 0; code == PG_OK && i < task->count; i++) {
        pg_outcome o = outcomes[i];
        o.has_attack = attacks != NULL;
        o.attacked = attacks ? attacks[i].after : 0;
        add_to_summary(&o, attacks ? &attacks[i] : NULL, &summary);
        hash = pg_db_outcome_checksum(hash, &o);
        code = pg_db_store_outcome(store, cell, &o);
        if (code == PG_OK && attacks) {
            hash = pg_db_attack_checksum(hash, &attacks[i]);
            code = pg_db_store_attack(store, cell, &attacks[i]);
        }
    }
    summary.outcomes = (int64_t)hash;
    return code == PG_OK ? pg_db_store_summary(store, cell, task->task, attempt, &summary) : code;
}

static int end_task(pg_store *store, const pg_task *task, bool *mine)
{
    int code = pg_db_run(store, "finishing a task",
                         "UPDATE task SET state = 'done', owner = NULL WHERE task = :task AND epoch = :epoch AND owner = "
                         ":worker AND state = 'running'",
                         PG_BIND(PG_V(task, task->task), PG_V(epoch, task->epoch), PG_V(worker, store->worker)));
    *mine = code == PG_OK && sqlite3_changes(store->db) == 1;
    return code;
}

int pg_store_finish(pg_store *store, const pg_task *task, int64_t whole, const pg_attempt *attempt, const pg_outcome *outcomes,
                    const pg_attack_row *attacks, bool *counted)
{
    pg_task part = *task; /* its cells are borrowed */
    int64_t key = 0;
    bool mine = false;
    *counted = false;
    int code = pg_db_begin(store);
    if (code != PG_OK)
        return code;
    if (whole == task->count) {
        code = end_task(store, task, &mine);
    } else {
        code = pg_db_split_off(store, task, whole, &key);
        mine = key != 0;
        part.task = mine ? key : task->task;
        part.count = whole;
    }
    if (code == PG_OK)
        code = pg_db_store_attempt(store, &part, attempt, mine ? "done" : "stale", NULL);
    int64_t row = sqlite3_last_insert_rowid(store->db);
    if (code == PG_OK && mine)
        code = pg_db_store_labels(store, &part, outcomes);
    for (size_t i = 0; code == PG_OK && mine && i < part.n_cells; i++)
        code = pg_db_store_outcomes(store, &part, part.cells[i], row, outcomes + (int64_t)i * whole, attacks);
    code = pg_db_end(store, code);
    *counted = code == PG_OK && mine;
    return code;
}

/* An attempt failed: the task is pending again, or failed with the last one. */
#define FAIL_ONCE_MORE                                                                \
    "UPDATE task SET attempts = attempts + 1, owner = NULL, error = :error, state = " \
    "CASE WHEN attempts + 1 >= :attempts_max THEN 'failed' ELSE 'pending' END"

int pg_store_fail(pg_store *store, const pg_task *task, const pg_attempt *attempt, const char *error, bool retry,
                  bool *given_up)
{
    int attempts_max = retry ? PG_ATTEMPTS_MAX : 1;
    *given_up = false;
    int code = pg_db_begin(store);
    if (code != PG_OK)
        return code;
    code = pg_db_run(store, "recording a failure",
                     FAIL_ONCE_MORE " WHERE task = :task AND epoch = :epoch AND owner = :worker AND state = 'running'",
                     PG_BIND(PG_V(task, task->task), PG_V(epoch, task->epoch), PG_V(worker, store->worker), PG_V(error, error),
                             PG_V(attempts_max, attempts_max)));
    bool mine = code == PG_OK && sqlite3_changes(store->db) == 1;
    if (code == PG_OK)
        code = pg_db_store_attempt(store, task, attempt, mine ? "failed" : "stale", error);
    code = pg_db_end(store, code);
    *given_up = code == PG_OK && mine && task->attempts + 1 >= attempts_max;
    return code;
}

int pg_db_requeue(pg_store *store, int64_t worker, int64_t *requeued)
{
    char now[32];
    pg_db_time(now);
    int code = pg_db_store_lost(store, worker, 0, "lost", NULL);
    if (code == PG_OK)
        code = pg_db_run(store, "taking tasks back",
                         "UPDATE task SET state = 'pending', owner = NULL, epoch = epoch + 1"
                         " WHERE state = 'running' AND state <> 'done' AND owner = :worker",
                         PG_BIND(PG_V(worker, worker)));
    if (code == PG_OK) {
        *requeued += sqlite3_changes(store->db);
        code = pg_db_run(store, "recording a dead worker",
                         "UPDATE worker SET ended = :now WHERE worker = :worker AND ended IS NULL",
                         PG_BIND(PG_V(worker, worker), PG_V(now, now)));
    }
    return code;
}

/* Within a transaction: the task that killed its worker, if it is still that worker's. */
static int fail_attempt(pg_store *store, const pg_death *death)
{
    int code = pg_db_store_lost(store, death->worker, death->task, "failed", death->reason);
    if (code == PG_OK)
        code = pg_db_run(store, "recording a failure",
                         FAIL_ONCE_MORE ", epoch = epoch + 1 WHERE task = :task AND owner = :worker AND state = 'running'",
                         PG_BIND(PG_V(task, death->task), PG_V(worker, death->worker), PG_V(error, death->reason),
                                 PG_V(attempts_max, (int)PG_ATTEMPTS_MAX)));
    return code;
}

static int read_failed_attempt(pg_store *store, int64_t task, pg_reaped *out)
{
    sqlite3_stmt *row = NULL;
    int step = 0,
        code = pg_db_get(
            store,
            "SELECT t.first, t.count, t.state = 'failed', (SELECT c.cell_id FROM task_cell tc JOIN cell c ON c.cell = tc.cell"
            " WHERE tc.task = t.task ORDER BY tc.cell LIMIT 1) FROM task t WHERE t.task = :task",
            &row, PG_BIND(PG_V(task, task)));
    if (code == PG_OK && (step = pg_db_step(store, row, "reading a task")) == 1) {
        out->first = sqlite3_column_int64(row, 0);
        out->count = sqlite3_column_int64(row, 1);
        out->given_up = out->attempt_failed && sqlite3_column_int(row, 2) != 0;
        snprintf(out->cell_id, sizeof out->cell_id, "%s", pg_db_text(row, 3));
    }
    pg_db_done(row);
    return code == PG_OK && step < 0 ? step : code;
}

int pg_store_reap_worker(pg_store *store, const pg_death *death, pg_reaped *out)
{
    int64_t requeued = 0;
    *out = (pg_reaped){0};
    int code = pg_db_begin(store);
    if (code != PG_OK)
        return code;
    if (death->task) {
        code = fail_attempt(store, death);
        out->attempt_failed = code == PG_OK && sqlite3_changes(store->db) == 1;
        if (code == PG_OK)
            code = read_failed_attempt(store, death->task, out);
    }
    if (code == PG_OK)
        code = pg_db_requeue(store, death->worker, &requeued);
    return pg_db_end(store, code);
}

int pg_store_return(pg_store *store, const pg_task *task)
{
    return pg_db_run(store, "giving a task back",
                     "UPDATE task SET state = 'pending', owner = NULL WHERE task = :task AND epoch = :epoch AND owner = :worker"
                     " AND state = 'running'",
                     PG_BIND(PG_V(task, task->task), PG_V(epoch, task->epoch), PG_V(worker, store->worker)));
}

int pg_store_progress_of(pg_store *store, pg_store_progress *out)
{
    *out = (pg_store_progress){0};
    sqlite3_stmt *row = NULL;
    int code = pg_db_get(store,
                         "SELECT count(*), sum(state = 'pending' AND task NOT IN temp.aside), sum(state = 'running'), "
                         "sum(state = 'done'), sum(state = 'failed'),"
                         " sum(count), sum((state = 'done') * count) FROM task WHERE task IN temp.wanted",
                         &row, NULL);
    if (code == PG_OK) {
        int step = pg_db_step(store, row, "counting tasks");
        code = step < 0 ? step : PG_OK;
        if (step == 1) {
            int64_t *fields[] = {&out->tasks,  &out->pending, &out->running,    &out->done,
                                 &out->failed, &out->images,  &out->images_done};
            for (int i = 0; i < 7; i++)
                *fields[i] = sqlite3_column_int64(row, i);
        }
    }
    pg_db_done(row);
    return code;
}

int pg_store_set_aside(pg_store *store, const pg_task *task)
{
    int code = pg_store_return(store, task);
    if (code == PG_OK)
        code = pg_db_run(store, "setting tasks aside",
                         "INSERT OR IGNORE INTO temp.aside SELECT task FROM task WHERE task IN temp.wanted AND state <> 'done'"
                         " AND forward = (SELECT forward FROM task WHERE task = :task)",
                         PG_BIND(PG_V(task, task->task)));
    return code;
}

int pg_store_give_up(pg_store *store, const char *forward_key, const char *error)
{
    bool taken = false;
    int code = pg_db_begin(store);
    if (code != PG_OK)
        return code;
    code = pg_db_take(store, forward_key, INT64_MAX, &taken);
    if (code == PG_OK)
        code = pg_db_run(
            store, "giving tasks up",
            "UPDATE task SET state = 'failed', error = :error WHERE task IN temp.wanted AND state = 'pending' AND state <> "
            "'done'"
            " AND task NOT IN temp.mixed AND forward = (SELECT forward FROM forward WHERE forward_key = :forward_key)",
            PG_BIND(PG_V(forward_key, forward_key), PG_V(error, error)));
    return pg_db_end(store, code);
}
