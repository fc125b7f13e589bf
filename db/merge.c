/* Merging shards. See store.h.
 *
 * What a shard has done and this store has not is copied, task by task, in one transaction a shard: outcomes and attacks are
 * read, checked and stored as a worker would store them. Open tasks of this store lose what came with the shard; where one ran,
 * its epoch grows, so that its worker's late result changes nothing. All is decided by content: merging again finds everything
 * there. */
#include "db/internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct merge {
    pg_store *to, *from;
    pg_store_merged *report;
} merge;

typedef struct shard_task { /* as the shard has it; `cells` are keys of the store that is merged into */
    int64_t task, forward, first, count, attempts;
    bool failed;
    char *error;
    size_t n_cells;
    pg_db_piece *cells;
    char (*cell_ids)[PG_HASH_HEX];
} shard_task;

/* ---- The plan, where this store has none yet ---- */

static int copy_cells(merge *m)
{
    sqlite3_stmt *row = NULL;
    int code = pg_db_get(m->from, pg_db_select_plan_cells, &row, NULL);
    while (pg_db_next(m->from, row, "reading the plan", &code)) {
        pg_store_cell_row cell;
        pg_store_forward_row f;
        pg_db_read_plan_cell(row, &cell, &f);
        int64_t forward = 0, key = 0;
        code = pg_db_record_forward(m->to, &f, &forward);
        if (code == PG_OK)
            code = pg_db_record_cell(m->to, &cell, forward, &key);
        if (code == PG_OK)
            code =
                pg_db_run(m->to, "recording the plan",
                          "INSERT INTO plan_cell (plan, position, cell) SELECT max(p.plan), (SELECT count(*) FROM plan_cell),"
                          " :plan FROM plan p",
                          PG_BIND(PG_V(plan, key)));
    }
    return code;
}

static int copy_plan(merge *m)
{
    sqlite3_stmt *row = NULL;
    int code = pg_db_get(m->from, "SELECT plan_id, name, matrix, overrides, created FROM plan", &row, NULL);
    int step = code == PG_OK ? pg_db_step(m->from, row, "reading the plan") : code;
    if (step == 1)
        code = pg_db_run(m->to, "recording the plan",
                         "INSERT INTO plan (plan_id, name, matrix, overrides, created) VALUES (:plan_id, :name, :matrix, "
                         ":overrides, :created)",
                         PG_BIND(PG_V(plan_id, pg_db_text(row, 0)), PG_V(name, pg_db_text(row, 1)),
                                 PG_V(matrix, pg_db_text(row, 2)), PG_V(overrides, pg_db_text(row, 3)),
                                 PG_V(created, pg_db_text(row, 4))));
    pg_db_done(row);
    if (code == PG_OK && step < 0)
        code = step;
    return code == PG_OK ? copy_cells(m) : code;
}

/* The plan's key in this store; one that has no plan at all takes over that of the shard. */
static int find_plan(merge *m, const char *plan_id, int64_t *plan)
{
    static const char doing[] = "looking for the plan";
    int64_t plans = 0;
    int code = pg_db_one(m->to, doing, "SELECT count(*) FROM plan", NULL, &plans);
    if (code == PG_OK && plans == 0)
        code = copy_plan(m);
    if (code == PG_OK)
        code = pg_db_one(m->to, doing, "SELECT ifnull(max(plan), 0) FROM plan WHERE plan_id = :plan_id",
                         PG_BIND(PG_V(plan_id, plan_id)), plan);
    if (code == PG_OK && *plan == 0)
        code = pg_fail(PG_EINPUT,
                       "%s: is a shard of plan %.12s, which %s does not know; name the database it was submitted from, or a new"
                       " one, with --db",
                       m->from->path, plan_id, m->to->path);
    return code;
}

/* ---- One task of the shard ---- */

static void release_task(shard_task *t)
{
    free(t->error);
    free(t->cells);
    free(t->cell_ids);
}

static int read_cells(merge *m, shard_task *t)
{
    sqlite3_stmt *row = NULL, *cell = NULL;
    int64_t n = 0;
    int step = 0;
    int code = pg_db_one(m->from, "reading the cells of a task", "SELECT count(*) FROM task_cell WHERE task = :task",
                         PG_BIND(PG_V(task, t->task)), &n);
    t->cells = calloc((size_t)n + 1, sizeof *t->cells);
    t->cell_ids = calloc((size_t)n + 1, sizeof *t->cell_ids);
    if (code == PG_OK && (!t->cells || !t->cell_ids))
        code = pg_fail(PG_ENOMEM, "%s: out of memory", m->from->path);
    if (code == PG_OK)
        code = pg_db_get(
            m->from,
            "SELECT c.cell_id FROM task_cell tc JOIN cell c ON c.cell = tc.cell WHERE tc.task = :task ORDER BY tc.cell", &row,
            PG_BIND(PG_V(task, t->task)));
    while (code == PG_OK && (int64_t)t->n_cells < n && (step = pg_db_step(m->from, row, "reading the cells of a task")) == 1) {
        const char *id = pg_db_text(row, 0);
        pg_db_piece *c = &t->cells[t->n_cells];
        snprintf(t->cell_ids[t->n_cells++], PG_HASH_HEX, "%s", id);
        *c = (pg_db_piece){.first = t->first, .count = t->count};
        code = pg_db_get(m->to, "SELECT cell, forward FROM cell WHERE cell_id = :id", &cell, PG_BIND(PG_V(id, id)));
        step = code == PG_OK ? pg_db_step(m->to, cell, "looking for a cell") : code;
        if (step == 1) {
            c->cell = sqlite3_column_int64(cell, 0);
            t->forward = c->forward = sqlite3_column_int64(cell, 1);
        } else if (code == PG_OK) {
            code = step < 0 ? step : pg_fail(PG_EDAMAGED, "%s: cell %.16s is not one of its plan", m->from->path, id);
        }
        pg_db_done(cell);
    }
    pg_db_done(row);
    return code == PG_OK && step < 0 ? step : code;
}

static int copy_worker(merge *m, int64_t attempt, int64_t *worker)
{
    sqlite3_stmt *row = NULL;
    int code = pg_db_get(m->from, pg_db_select_worker, &row, PG_BIND(PG_V(attempt, attempt)));
    int step = code == PG_OK ? pg_db_step(m->from, row, "reading a worker") : code;
    if (step == 1) {
        pg_db_worker w;
        pg_db_read_worker(row, &w);
        code = pg_db_store_worker(m->to, &w);
        if (code == PG_OK)
            code = pg_db_one(m->to, "recording a worker", "SELECT worker FROM worker WHERE token = :token",
                             PG_BIND(PG_V(token, w.token)), worker);
    } else if (code == PG_OK) {
        code = step < 0 ? step : pg_fail(PG_EDAMAGED, "%s: an attempt without a worker", m->from->path);
    }
    pg_db_done(row);
    return code;
}

/* The attempts of a task, those that are not there yet. *done: the one that counted; *copied: how many are new. */
static int copy_attempts(merge *m, const shard_task *t, int64_t task, int64_t *done, int64_t *copied)
{
    sqlite3_stmt *row = NULL;
    *done = *copied = 0;
    int code = pg_db_get(m->from, pg_db_select_attempts_of_task, &row, PG_BIND(PG_V(task, t->task)));
    while (pg_db_next(m->from, row, "reading attempts", &code)) {
        pg_attempt_record a;
        int64_t worker = 0;
        pg_db_read_attempt(row, 1, &a);
        code = copy_worker(m, sqlite3_column_int64(row, 0), &worker);
        if (code == PG_OK)
            code = pg_db_copy_attempt(m->to, task, worker, &a);
        if (code == PG_OK)
            *copied += sqlite3_changes(m->to->db);
        if (code == PG_OK && strcmp(a.result, "done") == 0) {
            code = pg_db_one(m->to, "recording an attempt",
                             "SELECT attempt FROM attempt WHERE task = :task AND worker = :worker AND epoch = :epoch"
                             " AND result = 'done'",
                             PG_BIND(PG_V(task, task), PG_V(worker, worker), PG_V(epoch, a.epoch)), done);
        }
    }
    return code;
}

/* ---- What is done ---- */

typedef struct cell_results { /* of images of one cell, as the shard has them */
    pg_outcome *outcomes;
    pg_attack_row *attacks;
    pg_buf patches; /* of the attacks, one behind the other */
    int64_t n, n_attacks;
} cell_results;

static void add_result(sqlite3_stmt *row, cell_results *out)
{
    pg_attack_row *a = &out->attacks[out->n_attacks];
    if (!pg_db_read_outcome(row, &out->outcomes[out->n++], a))
        return;
    out->n_attacks++;
    if (a->patch)
        pg_buf_add(&out->patches, a->patch, a->patch_size);
}

static int read_results(merge *m, const char *cell_id, const pg_db_piece *p, cell_results *out)
{
    sqlite3_stmt *row = NULL;
    int step = 0;
    out->n = out->n_attacks = 0;
    pg_buf_clear(&out->patches);
    int code = pg_db_get(m->from, pg_db_select_outcomes, &row,
                         PG_BIND(PG_V(cell_id, cell_id), PG_V(first, p->first), PG_V(last, p->first + p->count - 1)));
    while (code == PG_OK && out->n < p->count && (step = pg_db_step(m->from, row, "reading outcomes")) == 1)
        add_result(row, out);
    pg_db_done(row);
    if (code == PG_OK && step < 0)
        code = step;
    if (code == PG_OK)
        code = pg_buf_check(&out->patches);
    if (code == PG_OK && (out->n != p->count || (out->n_attacks && out->n_attacks != p->count)))
        code = pg_fail(PG_EDAMAGED, "%s: cell %.16s has %" PRId64 " outcomes of images %" PRId64 " to %" PRId64, m->from->path,
                       cell_id, out->n, p->first, p->first + p->count - 1);
    const uint8_t *patch = (const uint8_t *)out->patches.data;
    for (int64_t i = 0; i < out->n_attacks; i++)
        if (out->attacks[i].patch) {
            out->attacks[i].patch = patch;
            patch += out->attacks[i].patch_size;
        }
    return code;
}

/* The images before or behind the pieces, which were in the open task that they lie in: a pending task. */
static int requeue_rest(merge *m, const pg_db_piece *pieces, size_t n, int64_t first, int64_t end)
{
    static const char doing[] = "keeping the rest of a task";
    if (first >= end)
        return PG_OK;
    int code = pg_db_run(m->to, doing, "INSERT INTO task (forward, first, count) VALUES (:forward, :first, :count)",
                         PG_BIND(PG_V(forward, pieces->forward), PG_V(first, first), PG_V(count, end - first)));
    int64_t task = sqlite3_last_insert_rowid(m->to->db);
    for (size_t i = 0; code == PG_OK && i < n; i++)
        code = pg_db_run(m->to, doing, "INSERT INTO task_cell (task, cell) VALUES (:task, :cell)",
                         PG_BIND(PG_V(task, task), PG_V(cell, pieces[i].cell)));
    return code;
}

/* A task of this store for pieces of equal bounds. The open task they lie in gives their cells away; where none is left it
 * becomes the new one, so that whoever holds it finds it changed. */
static int make_task(merge *m, const pg_db_piece *pieces, size_t n, int64_t *task)
{
    static const char doing[] = "making room for a merged task";
    const pg_db_piece *p = pieces;
    sqlite3_stmt *row = NULL;
    int64_t left = 0, first = p->first, end = p->first + p->count;
    int code = p->task ? pg_db_get(m->to, "SELECT first, first + count FROM task WHERE task = :task", &row,
                                   PG_BIND(PG_V(task, p->task)))
                       : PG_OK;
    if (code == PG_OK && p->task) {
        int step = pg_db_step(m->to, row, doing);
        code = step < 0 ? step : PG_OK;
        first = step == 1 ? sqlite3_column_int64(row, 0) : first;
        end = step == 1 ? sqlite3_column_int64(row, 1) : end;
        pg_db_done(row);
    }
    if (code == PG_OK && p->task)
        code = pg_db_run(m->to, doing,
                         "UPDATE task SET state = 'pending', owner = NULL, epoch = epoch + 1 WHERE task = :task"
                         " AND state IN ('running', 'failed')",
                         PG_BIND(PG_V(task, p->task)));
    for (size_t i = 0; code == PG_OK && p->task && i < n; i++)
        code = pg_db_run(m->to, doing, "DELETE FROM task_cell WHERE task = :task AND cell = :cell",
                         PG_BIND(PG_V(task, p->task), PG_V(cell, pieces[i].cell)));
    if (code == PG_OK)
        code =
            pg_db_one(m->to, doing, "SELECT count(*) FROM task_cell WHERE task = :task", PG_BIND(PG_V(task, p->task)), &left);
    *task = p->task;
    if (code == PG_OK && p->task && left == 0) {
        code = pg_db_run(m->to, doing,
                         "UPDATE task SET first = :first, count = :count, state = 'done', error = NULL, epoch = epoch + 1"
                         " WHERE task = :task",
                         PG_BIND(PG_V(task, p->task), PG_V(first, p->first), PG_V(count, p->count)));
    } else if (code == PG_OK) {
        code = pg_db_run(m->to, doing,
                         "INSERT INTO task (forward, first, count, state, epoch) VALUES (:forward, :first, :count, 'done', 1)",
                         PG_BIND(PG_V(forward, p->forward), PG_V(first, p->first), PG_V(count, p->count)));
        *task = sqlite3_last_insert_rowid(m->to->db);
    }
    for (size_t i = 0; code == PG_OK && i < n; i++)
        code = pg_db_run(m->to, doing, "INSERT INTO task_cell (task, cell) VALUES (:task, :cell)",
                         PG_BIND(PG_V(task, *task), PG_V(cell, pieces[i].cell)));
    if (code == PG_OK)
        code = requeue_rest(m, pieces, n, first, p->first);
    return code == PG_OK ? requeue_rest(m, pieces, n, p->first + p->count, end) : code;
}

static const char *id_of(const shard_task *t, int64_t cell)
{
    size_t i = 0;
    while (t->cells[i].cell != cell)
        i++;
    return t->cell_ids[i];
}

/* Pieces of equal bounds, all of one task of the shard. */
static int merge_pieces(merge *m, const shard_task *t, const pg_db_piece *pieces, size_t n)
{
    int64_t attempt = 0, copied = 0;
    pg_task task = {.first = pieces->first, .count = pieces->count};
    cell_results results = {.outcomes = calloc((size_t)pieces->count, sizeof *results.outcomes),
                            .attacks = calloc((size_t)pieces->count, sizeof *results.attacks),
                            .patches = PG_BUF_EMPTY};
    int code = results.outcomes && results.attacks ? make_task(m, pieces, n, &task.task)
                                                   : pg_fail(PG_ENOMEM, "%s: out of memory", m->from->path);
    if (code == PG_OK)
        code = copy_attempts(m, t, task.task, &attempt, &copied);
    if (code == PG_OK && !attempt)
        code = pg_fail(PG_EDAMAGED, "%s: task %" PRId64 " is done, but no attempt was", m->from->path, t->task);
    for (size_t i = 0; code == PG_OK && i < n; i++) {
        code = read_results(m, id_of(t, pieces[i].cell), pieces, &results);
        if (code == PG_OK && i == 0)
            code = pg_db_store_labels(m->to, &task, results.outcomes);
        if (code == PG_OK)
            code = pg_db_store_outcomes(m->to, &task, pieces[i].cell, attempt, results.outcomes,
                                        results.n_attacks ? results.attacks : NULL);
    }
    pg_buf_release(&results.patches);
    free(results.outcomes);
    free(results.attacks);
    return code;
}

static int merge_missing(merge *m, const shard_task *t, pg_db_pieces *missing)
{
    int code = PG_OK;
    pg_db_sort_pieces(missing);
    for (size_t at = 0, next; code == PG_OK && at < missing->n; at = next) {
        for (next = at + 1; next < missing->n && pg_db_same_piece(&missing->items[at], &missing->items[next]);)
            next++;
        code = merge_pieces(m, t, missing->items + at, next - at);
    }
    return code;
}

/* A failure travels to the open tasks of the same images, so that it is seen here why they are missing. */
static int record_failure(merge *m, const shard_task *t, pg_db_pieces *missing)
{
    int64_t done = 0, copied = 0;
    int code = PG_OK;
    pg_db_sort_pieces(missing);
    for (size_t i = 0; code == PG_OK && i < missing->n; i++) {
        int64_t task = missing->items[i].task;
        if (task == 0 || (i > 0 && task == missing->items[i - 1].task))
            continue;
        code = copy_attempts(m, t, task, &done, &copied);
        if (code == PG_OK && copied)
            code = pg_db_run(m->to, "recording a failure",
                             "UPDATE task SET state = 'failed', error = :error, attempts = :attempts WHERE task = :task"
                             " AND state IN ('pending', 'failed')",
                             PG_BIND(PG_V(task, task), PG_V(error, t->error), PG_V(attempts, t->attempts)));
    }
    return code;
}

/* What of a cell's images is not done here: in open tasks, and in none. */
static int find_missing(merge *m, const char *cell_id, const pg_db_piece *p, pg_db_pieces *out)
{
    sqlite3_stmt *row = NULL;
    int64_t end = p->first + p->count;
    int code =
        pg_db_get(m->to,
                  "SELECT t.task, t.first, t.count FROM task_cell tc JOIN task t ON t.task = tc.task WHERE tc.cell = :cell"
                  " AND t.state <> 'done' AND t.first < :end AND t.first + t.count > :first",
                  &row, PG_BIND(PG_V(cell, p->cell), PG_V(first, p->first), PG_V(end, end)));
    while (pg_db_next(m->to, row, "reading the tasks of a cell", &code)) {
        int64_t first = sqlite3_column_int64(row, 1), last = first + sqlite3_column_int64(row, 2);
        pg_db_piece open = *p;
        open.task = sqlite3_column_int64(row, 0);
        open.first = first > p->first ? first : p->first;
        open.count = (last < end ? last : end) - open.first;
        code = pg_db_add_piece(out, open);
    }
    return code == PG_OK ? pg_db_find_gaps(m->to, cell_id, false, INT64_MAX / 2, p, out) : code;
}

static int merge_task(merge *m, const shard_task *t)
{
    pg_db_pieces missing = {0};
    int code = PG_OK;
    for (size_t i = 0; code == PG_OK && i < t->n_cells; i++)
        code = find_missing(m, t->cell_ids[i], &t->cells[i], &missing);
    if (code == PG_OK)
        *(missing.n == 0 ? &m->report->known : t->failed ? &m->report->failed : &m->report->tasks) += 1;
    if (code == PG_OK && missing.n > 0)
        code = t->failed ? record_failure(m, t, &missing) : merge_missing(m, t, &missing);
    free(missing.items);
    return code;
}

static int merge_tasks(merge *m)
{
    sqlite3_stmt *row = NULL;
    int code = pg_db_get(m->from, "SELECT task, first, count, state, attempts, error FROM task ORDER BY task", &row, NULL);
    while (pg_db_next(m->from, row, "reading tasks", &code)) {
        const char *state = pg_db_text(row, 3);
        shard_task t = {.task = sqlite3_column_int64(row, 0),
                        .first = sqlite3_column_int64(row, 1),
                        .count = sqlite3_column_int64(row, 2),
                        .failed = strcmp(state, "failed") == 0,
                        .attempts = sqlite3_column_int64(row, 4),
                        .error = strdup(pg_db_text(row, 5))};
        if (!t.failed && strcmp(state, "done") != 0) {
            free(t.error);
            continue;
        }
        code = t.error ? read_cells(m, &t) : pg_fail(PG_ENOMEM, "%s: out of memory", m->from->path);
        if (code == PG_OK && t.n_cells > 0)
            code = merge_task(m, &t);
        release_task(&t);
    }
    return code;
}

static int merge_audits(merge *m)
{
    sqlite3_stmt *row = NULL;
    int code = pg_db_get(m->from, pg_db_select_all_audits, &row, NULL);
    while (pg_db_next(m->from, row, "reading audits", &code)) {
        pg_audit_record record;
        pg_db_read_audit(row, &record);
        code = pg_db_store_audit(m->to, pg_db_text(row, 0), &record, false);
    }
    return code;
}

static int merge_all(merge *m, const pg_shard_info *info)
{
    int64_t plan = 0;
    char name[48], now[32];
    snprintf(name, sizeof name, "%" PRId64 "/%" PRId64, info->index, info->count);
    pg_db_time(now);
    int code = find_plan(m, info->plan_id, &plan);
    if (code == PG_OK)
        code = merge_tasks(m);
    if (code == PG_OK)
        code = merge_audits(m);
    if (code == PG_OK)
        code =
            pg_db_run(m->to, "recording the shard",
                      "INSERT INTO shard (store_id, plan, name, tasks, merged) VALUES (:store_id, :plan, :name, :tasks, :now)"
                      " ON CONFLICT (store_id) DO UPDATE SET tasks = :tasks, merged = :now WHERE tasks <> :tasks",
                      PG_BIND(PG_V(store_id, info->store_id), PG_V(plan, plan), PG_V(name, name),
                              PG_V(tasks, m->report->tasks + m->report->known), PG_V(now, now)));
    return code;
}

static int check_target(pg_store *store)
{
    int64_t shard = 0;
    int code =
        pg_db_one(store, "reading what the store is", "SELECT count(*) FROM meta WHERE key = 'shard_plan'", NULL, &shard);
    if (code == PG_OK && shard)
        code = pg_fail(PG_EINPUT, "%s: is itself a shard; name another database with --db", store->path);
    return code;
}

int pg_store_merge(pg_store *store, pg_store *shard, pg_store_merged *report)
{
    pg_shard_info info;
    *report = (pg_store_merged){0};
    merge m = {.to = store, .from = shard, .report = report};
    int code = pg_store_shard(shard, &info);
    if (code == PG_OK)
        code = check_target(store);
    if (code == PG_OK)
        code = pg_db_run(shard, "reading a shard", "BEGIN", NULL); /* one moment of it */
    if (code != PG_OK)
        return code;
    code = pg_db_begin(store);
    if (code == PG_OK)
        code = pg_db_end(store, merge_all(&m, &info));
    return pg_db_end(shard, code);
}

int pg_store_complete(pg_store *store, const char *plan_id, int64_t *complete, int64_t *cells)
{
    sqlite3_stmt *row = NULL;
    *complete = *cells = 0;
    int code = pg_db_get(store,
                         "SELECT count(*), ifnull(sum(c.count = (SELECT ifnull(sum(s.n), 0) FROM summary s WHERE s.cell ="
                         " c.cell)), 0) FROM plan p JOIN plan_cell pc ON pc.plan = p.plan JOIN cell c ON c.cell = pc.cell"
                         " WHERE p.plan_id = :plan_id",
                         &row, PG_BIND(PG_V(plan_id, plan_id)));
    int step = code == PG_OK ? pg_db_step(store, row, "counting complete cells") : code;
    if (step == 1) {
        *cells = sqlite3_column_int64(row, 0);
        *complete = sqlite3_column_int64(row, 1);
    }
    pg_db_done(row);
    return code == PG_OK && step < 0 ? step : code;
}

int pg_store_plan_broken(pg_store *store, const char *plan_id, pg_store_broken_report *out)
{
    sqlite3_stmt *row = NULL;
    *out = (pg_store_broken_report){0};
    int code = pg_db_get(store,
                         "SELECT c.cell_id, count(*), min(o.image) FROM plan p JOIN plan_cell pc ON pc.plan = p.plan"
                         " JOIN cell c ON c.cell = pc.cell JOIN forward f ON f.forward = c.forward JOIN outcome o ON o.cell ="
                         " c.cell JOIN label l ON l.dataset = f.dataset AND l.image = o.image WHERE p.plan_id = :plan_id"
                         " AND o.certified = 1 AND o.attacked IS NOT NULL AND o.attacked <> l.label"
                         " GROUP BY pc.position ORDER BY pc.position",
                         &row, PG_BIND(PG_V(plan_id, plan_id)));
    while (pg_db_next(store, row, "looking for broken certificates", &code)) {
        if (out->cells++ == 0) {
            snprintf(out->cell_id, sizeof out->cell_id, "%s", pg_db_text(row, 0));
            out->image = sqlite3_column_int64(row, 2);
        }
        out->certificates += sqlite3_column_int64(row, 1);
    }
    return code;
}
