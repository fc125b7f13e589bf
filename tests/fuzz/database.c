/* Databases of strangers: a store with results is changed, and everything that reads, runs or merges it goes over it. What
 * passes the whole check says of its cells what it said before, and so does a store that it was merged into.
 *
 * The first byte of the input chooses. Bit 0: the rest are pieces [offset 3 bytes, length 1, bytes] that overwrite the file
 * (length 0 cuts it off there), or changes of values [table, column, row, kind, 8 bytes], with CHECKs and foreign keys off.
 * Bit 1: the store is a shard. */
#include "db/store.h"
#include "tests/fuzz/folder.h"
#include "tests/fuzz/fuzz.h"
#include "tests/support/store_fixture.h"
#include "tests/support/store_list.h"

enum { CHANGE = 12, TABLES = 32, COLUMNS = 32, FILE_MAX = 1 << 20 };

typedef struct sound { /* a store as it was, and what it says */
    uint8_t *bytes;
    size_t size;
    pg_cell_result results[CELLS];
} sound;
static sound bases[2]; /* a store, a shard */

static int ignore_attempt(const pg_attempt_record *record, void *context)
{
    (void)context;
    fuzz_touch(record->result, strlen(record->result));
    return PG_OK;
}
static int ignore_attack(const pg_attack_row *attack, void *context)
{
    (void)context;
    fuzz_touch(attack->patch, attack->patch ? attack->patch_size : 0);
    return PG_OK;
}
static int ignore_audit(const pg_audit_record *record, void *context)
{
    (void)context;
    fuzz_touch(record->settings, strlen(record->settings));
    return PG_OK;
}
static int count_outcome(const pg_outcome *outcome, void *context)
{
    *(int64_t *)context += outcome->prediction >= -1;
    return PG_OK;
}
static int read_settings(const pg_cell_result *result, void *context)
{
    (void)context;
    for (size_t i = 0; i < result->n_settings; i++)
        fuzz_touch(result->settings[i].value, strlen(result->settings[i].value));
    return PG_OK;
}

static void make_base(bool shard, sound *out)
{
    fuzz_path("");
    remove_store();
    pg_store *store = open_worker();
    pg_task task;
    const pg_shard whole = {.index = 0, .count = 1};
    FUZZ_CHECK(try_plan_shard(store, (const int[]){0, 1, 2}, CELLS, 0, IMAGES, shard ? &whole : NULL) == PG_OK);
    while (claim(store, &task)) {
        FUZZ_CHECK(finish_attacked(store, &task, true));
        pg_task_release(&task);
    }
    static const pg_audit_record audit = {.level = "feature", .settings = "tries=3\n", .n = 10, .certified = 3};
    FUZZ_CHECK(pg_store_audit(store, ids[0], &audit) == PG_OK);
    exec(store, "PRAGMA page_size = 1024; VACUUM");
    for (int i = 0; i < CELLS; i++)
        FUZZ_CHECK(pg_store_cell(store, ids[i], &out->results[i]) == PG_OK && out->results[i].n == IMAGES);
    pg_store_close(store);
    char *bytes = NULL;
    FUZZ_CHECK(pg_file_read(scratch_path("t.db"), FILE_MAX, &bytes, &out->size) == PG_OK);
    out->bytes = (uint8_t *)bytes;
}

/* ---- Changing it ---- */

static void overwrite(const sound *base, const uint8_t *data, size_t size)
{
    uint8_t *bytes = malloc(base->size);
    size_t left = base->size;
    if (!bytes)
        abort();
    memcpy(bytes, base->bytes, base->size);
    while (size > 4) {
        size_t at = (size_t)(data[0] | data[1] << 8 | data[2] << 16) % base->size, n = data[3];
        data += 4;
        size -= 4;
        left = n == 0 && at < left ? at : left;
        n = n < size ? n : size;
        n = n < base->size - at ? n : base->size - at;
        memcpy(bytes + at, data, n);
        data += n;
        size -= n;
    }
    scratch_write("t.db", bytes, left);
    free(bytes);
}

/* The name at place i % count of what `sql` lists; "" where it lists nothing. */
static void name_at(sqlite3 *db, const char *sql, int i, char out[64])
{
    sqlite3_stmt *row = NULL;
    char names[TABLES][64];
    int n = 0;
    if (sqlite3_prepare_v2(db, sql, -1, &row, NULL) == SQLITE_OK)
        while (n < TABLES && sqlite3_step(row) == SQLITE_ROW)
            snprintf(names[n++], sizeof names[0], "%s", (const char *)sqlite3_column_text(row, 0));
    sqlite3_finalize(row);
    snprintf(out, 64, "%s", n ? names[i % n] : "");
}

static void change_value(sqlite3 *db, const uint8_t *change)
{
    static const char *const values[] = {"?1",  "NULL",           "CAST(?1 AS TEXT)", "?1 / 3.0", "zeroblob(?1 & 255)",
                                         "-?1", "\"%w\" || '\n='"};
    char table[64], column[64], keys[64], query[256], value[96];
    name_at(db, "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name", change[0],
            table);
    snprintf(query, sizeof query, "SELECT name FROM pragma_table_info('%s')", table);
    name_at(db, query, change[1], column);
    snprintf(query, sizeof query, "SELECT group_concat('\"' || name || '\"') FROM pragma_table_info('%s') WHERE pk", table);
    name_at(db, query, 0, keys);
    char *quoted = sqlite3_mprintf(values[change[3] % 7], column);
    snprintf(value, sizeof value, "%s", quoted);
    sqlite3_free(quoted);
    char *sql =
        change[3] >= 0xf0
            ? sqlite3_mprintf("DELETE FROM \"%w\" WHERE (%s) = (SELECT %s FROM \"%w\" LIMIT 1 OFFSET %d)", table, keys, keys,
                              table, change[2])
            : sqlite3_mprintf("UPDATE OR REPLACE \"%w\" SET \"%w\" = %s WHERE (%s) = (SELECT %s FROM \"%w\" LIMIT 1 OFFSET %d)",
                              table, column, value, keys, keys, table, change[2]);
    sqlite3_stmt *statement = NULL;
    int64_t number;
    memcpy(&number, change + 4, sizeof number);
    if (sqlite3_prepare_v2(db, sql, -1, &statement, NULL) == SQLITE_OK) {
        sqlite3_bind_int64(statement, 1, number);
        sqlite3_step(statement);
    }
    sqlite3_finalize(statement);
    sqlite3_free(sql);
}

static void change_values(const sound *base, const uint8_t *data, size_t size)
{
    sqlite3 *db = NULL;
    scratch_write("t.db", base->bytes, base->size);
    if (sqlite3_open(scratch_path("t.db"), &db) != SQLITE_OK)
        abort();
    sqlite3_exec(db, "PRAGMA foreign_keys = OFF; PRAGMA ignore_check_constraints = ON; BEGIN", NULL, NULL, NULL);
    for (; size >= CHANGE; data += CHANGE, size -= CHANGE)
        change_value(db, data);
    sqlite3_exec(db, "COMMIT", NULL, NULL, NULL);
    sqlite3_close(db);
}

/* ---- Going over it ---- */

static bool same_counts(const pg_cell_result *a, const pg_cell_result *b)
{
    return a->clean == b->clean && a->certified == b->certified && a->certified_published == b->certified_published &&
           a->nonfinite == b->nonfinite && a->masked == b->masked && a->attacked_n == b->attacked_n &&
           a->attacked == b->attacked && a->delta == b->delta && memcmp(a->cases, b->cases, sizeof a->cases) == 0;
}

static void read_cell(const sound *base, pg_store *store, int i, bool checked)
{
    pg_cell_result result;
    char id[PG_HASH_HEX], *canonical = NULL;
    int64_t n = 0, broken, first;
    if (pg_store_cell(store, ids[i], &result) == PG_OK && checked && result.known && result.n == IMAGES)
        FUZZ_CHECK(same_counts(&result, &base->results[i]));
    pg_cell_result_release(&result);
    if (pg_store_each_outcome(store, ids[i], count_outcome, &n) == PG_OK && checked)
        FUZZ_CHECK(n <= IMAGES);
    (void)!pg_store_each_attack(store, ids[i], ignore_attack, NULL);
    (void)!pg_store_each_attempt(store, ids[i], ignore_attempt, NULL);
    (void)!pg_store_each_audit(store, ids[i], ignore_audit, NULL);
    (void)!pg_store_broken(store, ids[i], &broken, &first);
    (void)!pg_store_same_images(store, ids[i], ids[(i + 1) % CELLS]);
    (void)!pg_store_resolve(store, "abcd", id);
    if (pg_store_stale(store, settings[i], hash_a, id, &canonical) == PG_OK)
        free(canonical);
}

/* True where the whole check found nothing. */
static bool read_store(const sound *base, const char *name)
{
    pg_store *store = NULL;
    int code = pg_store_open(scratch_path(name), PG_STORE_READ, &store);
    FUZZ_CHECK(code == PG_OK || *pg_error_message());
    if (code != PG_OK)
        return false;
    bool checked = store_list(store, -1, read_settings, NULL, NULL) == PG_OK;
    checked = pg_store_check(store) == PG_OK && checked;
    for (int i = 0; i < CELLS; i++)
        read_cell(base, store, i, checked);
    pg_store_close(store);
    return checked;
}

/* Into a store that is empty: only what was checked before is merged. */
static void merge_store(const sound *base)
{
    pg_store *store = NULL, *shard = NULL;
    pg_store_merged report;
    pg_shard_info info;
    FUZZ_CHECK(pg_store_open(scratch_path("main.db"), PG_STORE_WRITE, &store) == PG_OK);
    int code = pg_store_open(scratch_path("t.db"), PG_STORE_READ, &shard);
    if (code == PG_OK)
        code = pg_store_shard(shard, &info);
    if (code == PG_OK)
        code = pg_store_merge(store, shard, &report);
    pg_store_close(shard);
    pg_store_close(store);
    bool checked = read_store(base, "main.db");
    FUZZ_CHECK(code != PG_OK || checked);
}

static void run_store(void)
{
    pg_store *store = NULL;
    pg_task task;
    pg_store_progress progress;
    int64_t requeued;
    bool got = true, given_up;
    int code = pg_store_open(scratch_path("t.db"), PG_STORE_WRITE, &store);
    if (code == PG_OK)
        code = pg_store_worker_start(store, &some_worker);
    if (code == PG_OK)
        code = pg_store_reap(store, &requeued);
    if (code == PG_OK)
        code = try_plan(store, (const int[]){0, 1, 2, 3}, 4, 0, IMAGES); /* one cell is new */
    if (code == PG_OK)
        code = pg_store_progress_of(store, &progress);
    for (int i = 0; i < 8 && code == PG_OK && got; i++) {
        code = pg_store_claim(store, 0, &task, &got);
        if (code != PG_OK || !got)
            break;
        code = pg_store_fail(store, &task, &some_attempt, "fuzz", true, &given_up);
        pg_task_release(&task);
    }
    pg_store_close(store);
}

PG_FUZZ(database)
{
    static const char *const names[] = {"t.db", "main.db"}, *const ends[] = {"", "-journal", "-wal", "-shm"};
    if (!bases[0].bytes)
        for (int shard = 0; shard < 2; shard++)
            make_base(shard, &bases[shard]);
    if (size < 1)
        return 0;
    for (size_t i = 0; i < 8; i++) {
        char name[32];
        snprintf(name, sizeof name, "%s%s", names[i / 4], ends[i % 4]);
        unlink(scratch_path(name));
    }
    bool shard = data[0] & 2;
    const sound *base = &bases[shard];
    if (data[0] % 2)
        change_values(base, data + 1, size - 1);
    else
        overwrite(base, data + 1, size - 1);
    bool checked = read_store(base, "t.db");
    if (!shard)
        run_store();
    else if (checked)
        merge_store(base);
    return 0;
}
