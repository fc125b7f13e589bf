/* For tests of db/: a plan of a few made-up cells, workers, outcomes that follow from image and cell. */
#ifndef PG_TESTS_STORE_FIXTURE_H
#define PG_TESTS_STORE_FIXTURE_H

#include "db/internal.h"
#include "harness/base/file.h"
#include "harness/base/rng.h"
#include "tests/support/scratch.h"

#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/wait.h>
#include <cmocka.h>

enum { CELLS = 3, IMAGES = 10, CHUNK = 4 };

static const char hash_a[] = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
static const pg_store_worker_row some_worker = {.revision = "test", .versions = "", .device = "cpu", .threads = 1};
static const pg_attempt some_attempt = {.device = "cpu", .library = "", .threads = 1, .batch = 4, .wall_s = 1};

static char ids[8][PG_HASH_HEX];
static char canonicals[8][64], settings[8][64];

static inline void remove_store(void)
{
    char command[600];
    snprintf(command, sizeof command, "rm -rf '%s'/t.db*", scratch_folder);
    assert_int_equal(system(command), 0);
}

static inline pg_store *open_store(pg_store_mode mode)
{
    pg_store *store = NULL;
    int code = pg_store_open(scratch_path("t.db"), mode, &store);
    if (code != PG_OK)
        print_error("%s\n", pg_error_message());
    assert_int_equal(code, PG_OK);
    return store;
}

static inline pg_store_cell_row cell_row(int i, int64_t first, int64_t count)
{
    snprintf(canonicals[i], sizeof canonicals[i], "cell=%d\n", i);
    snprintf(settings[i], sizeof settings[i], "defense=d%d\npatch=%d\n", i % 2, i);
    assert_int_equal(pg_hash_bytes(canonicals[i], strlen(canonicals[i]), ids[i]), PG_OK);
    return (pg_store_cell_row){.cell_id = ids[i],
                               .canonical = canonicals[i],
                               .settings = settings[i],
                               .details = "window=1x1\n",
                               .first = first,
                               .count = count,
                               .has_delta = i != 1,
                               .delta = 5};
}

static inline pg_store_forward_row forward_row(int64_t chunk)
{
    static char key[PG_HASH_HEX];
    assert_int_equal(pg_hash_bytes("f\n", 2, key), PG_OK);
    return (pg_store_forward_row){.forward_key = key,
                                  .canonical = "f\n",
                                  .dataset_hash = hash_a,
                                  .dataset_split = "test",
                                  .dataset_name = "d:test",
                                  .dataset_images = 100,
                                  .dataset_classes = 10,
                                  .dataset_height = 6,
                                  .dataset_width = 7,
                                  .chunk = chunk};
}

static inline int with_plan(pg_store *store, const int *cells, size_t n, int64_t first, int64_t count, int64_t chunk,
                            const pg_shard *shard, int (*call)(pg_store *store, const pg_store_plan_row *row))
{
    pg_store_forward_row forward = forward_row(chunk);
    pg_store_cell_row rows[8];
    for (size_t i = 0; i < n; i++)
        rows[i] = cell_row(cells[i], first, count);
    pg_store_plan_row plan = {.name = "p",
                              .matrix = "",
                              .overrides = "",
                              .shard = shard,
                              .forwards = &forward,
                              .n_forwards = 1,
                              .cells = rows,
                              .n_cells = n};
    return call(store, &plan);
}

static inline int try_plan_cut(pg_store *store, const int *cells, size_t n, int64_t first, int64_t count, int64_t chunk,
                               const pg_shard *shard)
{
    return with_plan(store, cells, n, first, count, chunk, shard, pg_store_plan);
}

static inline int try_plan_shard(pg_store *store, const int *cells, size_t n, int64_t first, int64_t count,
                                 const pg_shard *shard)
{
    return try_plan_cut(store, cells, n, first, count, CHUNK, shard);
}

static inline int try_plan(pg_store *store, const int *cells, size_t n, int64_t first, int64_t count)
{
    return try_plan_shard(store, cells, n, first, count, NULL);
}

static inline void plan(pg_store *store, const int *cells, size_t n, int64_t first, int64_t count)
{
    assert_int_equal(try_plan(store, cells, n, first, count), PG_OK);
}

static inline void plan_all(pg_store *store) { plan(store, (const int[]){0, 1, 2}, CELLS, 0, IMAGES); }

static inline pg_store *open_worker(void)
{
    pg_store *store = open_store(PG_STORE_WRITE);
    assert_int_equal(pg_store_worker_start(store, &some_worker), PG_OK);
    return store;
}

static inline bool claim(pg_store *store, pg_task *task)
{
    bool got = false;
    assert_int_equal(pg_store_claim(store, 0, task, &got), PG_OK);
    return got;
}

/* What a forward pass would say: label image % 10, right for even images, certified for every fourth. */
static inline pg_outcome make_outcome(int64_t image, size_t cell)
{
    bool certified = image % 4 == 0;
    return (pg_outcome){.image = image,
                        .label = (int)(image % 10),
                        .prediction = image == 7 ? -1 : (int)(image % 10) + (image % 2 ? 1 : 0),
                        .certified = certified,
                        .certified_published = image == 1,
                        .masked = image == 2,
                        .has_saturated = true,
                        .has_differs = true,
                        .saturated = image == 3 || image == 8,
                        .differs = image == 8,
                        .has_margin = image % 2 == 0,
                        .margin = certified ? 100 + image + (int64_t)cell : -3,
                        .failure_case = (int8_t)(cell == 2 ? image % 5 : -1)};
}

/* An attack that breaks every sixth image, one of them certified. */
static inline pg_attack_row make_attack(int64_t image)
{
    static const uint8_t patches[4][3] = {{1, 2, 3}, {4, 5, 6}, {0, 0, 0}, {255, 254, 253}};
    pg_outcome o = make_outcome(image, 0);
    return (pg_attack_row){.image = image,
                           .label = o.label,
                           .top = (int)image,
                           .left = 2,
                           .target = image % 3 ? -1 : 4,
                           .loss = image == 1   ? NAN
                                   : image == 2 ? -0.0
                                                : 0.1 * (double)image,
                           .steps = image,
                           .before = o.prediction,
                           .after = image % 6 == 4 ? 9 : o.prediction,
                           .patch = image == 3 ? NULL : patches[image % 4],
                           .patch_size = image == 3 ? 0 : 3};
}

/* The first images of a task. */
static inline bool finish_images(pg_store *store, const pg_task *task, int64_t whole, bool attacked)
{
    pg_outcome *outcomes = calloc(task->n_cells * (size_t)whole, sizeof *outcomes);
    pg_attack_row *attacks = calloc((size_t)whole, sizeof *attacks);
    bool counted = false;
    for (int64_t i = 0; i < whole; i++)
        attacks[i] = make_attack(task->first + i);
    for (size_t c = 0; c < task->n_cells; c++)
        for (int64_t i = 0; i < whole; i++)
            outcomes[(int64_t)c * whole + i] = make_outcome(task->first + i, c);
    assert_int_equal(pg_store_finish(store, task, whole, &some_attempt, outcomes, attacked ? attacks : NULL, &counted), PG_OK);
    free(outcomes);
    free(attacks);
    return counted;
}

static inline bool finish_attacked(pg_store *store, const pg_task *task, bool attacked)
{
    return finish_images(store, task, task->count, attacked);
}

static inline bool finish(pg_store *store, const pg_task *task) { return finish_attacked(store, task, false); }

static inline bool finish_part(pg_store *store, const pg_task *task, int64_t whole)
{
    return finish_images(store, task, whole, true);
}

static inline int64_t number(pg_store *store, const char *sql)
{
    sqlite3_stmt *row = NULL;
    assert_int_equal(sqlite3_prepare_v2(store->db, sql, -1, &row, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(row), SQLITE_ROW);
    int64_t value = sqlite3_column_int64(row, 0);
    sqlite3_finalize(row);
    return value;
}

static inline void exec(pg_store *store, const char *sql)
{
    int code = sqlite3_exec(store->db, sql, NULL, NULL, NULL);
    if (code != SQLITE_OK)
        print_error("%s\n", sqlite3_errmsg(store->db));
    assert_int_equal(code, SQLITE_OK);
}

static inline int make(void **state) { return scratch_make(state); }
static inline int clean(void **state)
{
    (void)state;
    remove_store();
    return 0;
}

/* A store in which every cell is done, under attack or without. */
static inline pg_store *fill_attacked(bool attacked)
{
    pg_store *store = open_worker();
    pg_task task;
    plan_all(store);
    while (claim(store, &task)) {
        assert_true(finish_attacked(store, &task, attacked));
        pg_task_release(&task);
    }
    return store;
}
static inline pg_store *fill(void) { return fill_attacked(false); }

#endif
