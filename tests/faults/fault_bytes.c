/* Bytes flipped and files cut short: databases, entries of the feature cache, weights files and data sets. Each damage is found
 * by whoever reads the file, or nothing that is read has changed; none is silently accepted. */
#include "harness/base/safetensors.h"
#include "harness/data/dataset.h"
#include "harness/pipeline/cache.h"
#include "tests/support/cifar_fixture.h"
#include "tests/faults/faults.h"
#include "tests/support/store_fixture.h"

#include <dirent.h>

typedef enum verdict { FOUND, UNCHANGED, SILENT, VERDICTS } verdict;

/* A kind of file. `prepare` makes a good one and leaves its path; `read` says what a reader makes of it. */
typedef struct target {
    const char *name;
    int flips, cuts;
    void (*prepare)(void);
    verdict (*read)(void);
} target;

static char victim[1024]; /* the file that is damaged */

/* ---- A database: of attacked cells, audited, merged, with tasks that failed, run and wait ---- */

static pg_buf right; /* all that it says */

/* Every value of every row, with its type. */
static void read_rows(sqlite3 *file, const char *sql, pg_buf *out)
{
    sqlite3_stmt *row = NULL;
    sqlite3_prepare_v2(file, sql, -1, &row, NULL);
    while (sqlite3_step(row) == SQLITE_ROW)
        for (int i = 0; i < sqlite3_column_count(row); i++) {
            const void *bytes = sqlite3_column_blob(row, i);
            int size = sqlite3_column_bytes(row, i);
            pg_buf_printf(out, "%d %d ", sqlite3_column_type(row, i), size);
            pg_buf_add(out, bytes ? bytes : "", (size_t)size);
        }
    sqlite3_finalize(row);
}

/* All tables, and the schema. */
static void read_tables(sqlite3 *file, pg_buf *out)
{
    sqlite3_stmt *names = NULL;
    pg_buf_clear(out);
    read_rows(file, "SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY name", out);
    sqlite3_prepare_v2(file, "SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name", -1, &names, NULL);
    while (sqlite3_step(names) == SQLITE_ROW) {
        char *sql = sqlite3_mprintf("SELECT * FROM \"%w\"", (const char *)sqlite3_column_text(names, 0));
        read_rows(file, sql, out);
        sqlite3_free(sql);
    }
    sqlite3_finalize(names);
}

static void prepare_store(void)
{
    static const pg_audit_record audit = {.level = "feature",
                                          .settings = "tries=0\n",
                                          .n = IMAGES,
                                          .certified = 3,
                                          .broken = 1,
                                          .unbroken = 2,
                                          .published_broken = 1,
                                          .witness = "image=1\nwindow=2x2\n"};
    pg_store *store = fill_attacked(true);
    pg_task task;
    bool given_up = false;
    assert_int_equal(pg_store_audit(store, ids[0], &audit), PG_OK);
    exec(store, "INSERT INTO shard VALUES ('0123456789abcdef', 1, '0/2', 3, '2024-01-01T00:00:00Z')");
    plan(store, (const int[]){3}, 1, 0, IMAGES);
    assert_true(claim(store, &task));
    assert_int_equal(pg_store_fail(store, &task, &some_attempt, "no luck", false, &given_up), PG_OK);
    pg_task_release(&task);
    assert_true(given_up);
    assert_true(claim(store, &task));
    pg_task_release(&task);
    pg_store_close(store);
    snprintf(victim, sizeof victim, "%s", scratch_path("t.db"));
    pg_buf_init(&right);
    store = open_store(PG_STORE_READ);
    read_tables(store->db, &right);
    pg_store_close(store);
}

static verdict read_store(void)
{
    pg_store *store = NULL;
    pg_buf now;
    pg_buf_init(&now);
    int code = pg_store_open(victim, PG_STORE_READ, &store);
    if (code == PG_OK)
        code = pg_store_check(store);
    verdict result = FOUND;
    if (code == PG_OK) {
        read_tables(store->db, &now);
        result = now.size == right.size && memcmp(now.data, right.data, now.size) == 0 ? UNCHANGED : SILENT;
    }
    pg_store_close(store);
    pg_buf_release(&now);
    return result;
}

/* ---- An entry of the feature cache ---- */

enum { FLOATS = 500 };
static float values[FLOATS];
static const char forward_id[] = "cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc";

static pg_cache *open_cache(void)
{
    pg_cache *cache = pg_cache_new(scratch_path("cache"), 1 << 20);
    assert_non_null(cache);
    assert_true(pg_cache_key(cache, forward_id, "cpu", "libtorch 1", 2));
    return cache;
}

static void prepare_cache(void)
{
    for (int i = 0; i < FLOATS; i++)
        values[i] = (float)i / 7;
    pg_cache *cache = open_cache();
    pg_cache_write(cache, 0, 8, values, FLOATS);
    pg_cache_free(cache);
    DIR *folder = opendir(scratch_path("cache/features"));
    assert_non_null(folder);
    for (struct dirent *d; (d = readdir(folder));)
        if (d->d_name[0] != '.')
            snprintf(victim, sizeof victim, "%s/%s", scratch_path("cache/features"), d->d_name);
    closedir(folder);
}

static verdict read_cache(void)
{
    static float back[FLOATS];
    pg_cache *cache = open_cache();
    bool found = pg_cache_read(cache, 0, 8, back, FLOATS);
    pg_cache_free(cache);
    return !found ? FOUND : memcmp(back, values, sizeof back) == 0 ? UNCHANGED : SILENT;
}

/* ---- A weights file; checkpoints of training are written and read by the same functions ---- */

static char right_hash[PG_HASH_HEX];

static void prepare_weights(void)
{
    write_weights("w.safetensors", "seed=1");
    snprintf(victim, sizeof victim, "%s", scratch_path("w.safetensors"));
    assert_int_equal(pg_hash_file(victim, right_hash), PG_OK);
}

static verdict read_weights(void)
{
    pg_st_file *file = NULL;
    if (pg_st_open(victim, &file) != PG_OK)
        return FOUND;
    verdict result = strcmp(pg_st_hash(file), right_hash) == 0 ? UNCHANGED : SILENT;
    pg_st_close(file);
    return result;
}

/* ---- A data set: its files and its manifest ---- */

static char data_hash[PG_HASH_HEX];

static verdict read_data(void)
{
    char command[4096];
    snprintf(command, sizeof command, "--data '%s/data' data verify cifar10 >/dev/null", scratch_folder);
    if (program_run("none.db", "%s", command) != 0)
        return FOUND;
    pg_dataset *data = NULL;
    if (pg_dataset_open(scratch_path("data"), "cifar10:test", &data) != PG_OK)
        return FOUND;
    verdict result = strcmp(pg_dataset_info_of(data)->hash, data_hash) == 0 ? UNCHANGED : SILENT;
    pg_dataset_close(data);
    return result;
}

static void prepare_data(void)
{
    fixture_write("source");
    assert_int_equal(pg_cifar10_import(scratch_path("data"), scratch_path("source"), FIXTURE_IMAGES), PG_OK);
    pg_dataset *data = NULL;
    assert_int_equal(pg_dataset_open(scratch_path("data"), "cifar10:test", &data), PG_OK);
    snprintf(data_hash, sizeof data_hash, "%s", pg_dataset_info_of(data)->hash);
    pg_dataset_close(data);
    snprintf(victim, sizeof victim, "%s", scratch_path("data/cifar10/data_batch_3.bin"));
}

static void prepare_manifest(void) { snprintf(victim, sizeof victim, "%s", scratch_path("data/cifar10/manifest.json")); }

static const target targets[] = {
    {"database", 600, 80, prepare_store, read_store},        {"cache", 150, 40, prepare_cache, read_cache},
    {"weights", 250, 60, prepare_weights, read_weights},     {"data files", 100, 20, prepare_data, read_data},
    {"data manifest", 100, 20, prepare_manifest, read_data},
};

static void put(const char *bytes, size_t size)
{
    FILE *stream = fopen(victim, "wb"); /* in place: a cache entry may have been removed */
    if (!stream || fwrite(bytes, 1, size, stream) != size || fclose(stream) != 0)
        abort();
}

static void damage(const target *t, pg_rng *rng, int counts[VERDICTS])
{
    char *bytes = NULL;
    size_t size = 0;
    t->prepare();
    assert_int_equal(t->read(), UNCHANGED);
    assert_int_equal(pg_file_read(victim, 1 << 24, &bytes, &size), PG_OK);
    for (int i = 0; i < t->flips + t->cuts; i++) {
        size_t at = pg_rng_below(rng, (uint32_t)size), kept = i < t->flips ? size : at;
        if (t->flips == 600) /* most of a small database is empty */
            while (kept == size && !bytes[at])
                at = pg_rng_below(rng, (uint32_t)size);
        char was = bytes[at];
        bytes[at] = (char)(was ^ (1 << pg_rng_below(rng, 8)));
        put(bytes, kept);
        verdict result = t->read();
        if (result == SILENT)
            print_error("%s: %s at byte %zu of %zu: silently accepted\n", t->name, kept == size ? "a bit flipped" : "cut", at,
                        size);
        counts[result]++;
        bytes[at] = was;
    }
    put(bytes, size);
    assert_int_equal(t->read(), UNCHANGED);
    free(bytes);
}

static void test_damaged_files(void **state)
{
    (void)state;
    pg_rng rng = pg_rng_make(23, PG_STREAM_TEST, 0);
    int flips = 0, cuts = 0, silent = 0;
    for (size_t i = 0; i < sizeof targets / sizeof *targets; i++) {
        int counts[VERDICTS] = {0};
        damage(&targets[i], &rng, counts);
        fault_count("%s: %d bits flipped, %d times cut short: %d found, %d changed nothing that is read, %d silently accepted",
                    targets[i].name, targets[i].flips, targets[i].cuts, counts[FOUND], counts[UNCHANGED], counts[SILENT]);
        flips += targets[i].flips;
        cuts += targets[i].cuts;
        silent += counts[SILENT];
        assert_true(counts[FOUND] > counts[UNCHANGED]);
    }
    fault_count("%d flips and %d truncations in all: %d silently accepted", flips, cuts, silent);
    pg_buf_release(&right);
    assert_int_equal(silent, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_damaged_files)};
    return cmocka_run_group_tests_name("bytes", tests, make, scratch_remove);
}
