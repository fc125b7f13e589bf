/* The store as a file: creation, versions, results, damage. */
#include "tests/support/store_fixture.h"

/* ---- Opening ---- */

static int last_version(void)
{
    int last = 0;
    for (const pg_migration *m = pg_migrations; m->version; m++)
        last = m->version;
    return last;
}

static void test_create(void **state)
{
    (void)state;
    pg_store *store = open_store(PG_STORE_WRITE);
    assert_int_equal(number(store, "PRAGMA application_id"), PG_DB_APPLICATION_ID);
    assert_int_equal(number(store, "PRAGMA user_version"), last_version());
    assert_int_equal(number(store, "PRAGMA foreign_keys"), 1);
    assert_int_equal(number(store, "PRAGMA synchronous"), 3);
    assert_int_equal(number(store, "SELECT length(value) FROM meta WHERE key = 'store_id'"), 32);
    assert_int_equal(
        number(store, "SELECT count(*) FROM pragma_table_list WHERE type = 'table' AND NOT strict AND name NOT LIKE 'sqlite%'"),
        0);
    pg_store_close(store);
    pg_store_close(open_store(PG_STORE_READ));
}

/* Whoever comes while another process creates the store finds it, whole. */
static void test_created_by_many_at_once(void **state)
{
    (void)state;
    enum { ROUNDS = 20, PROCESSES = 6 };
    for (int round = 0; round < ROUNDS; round++) {
        pid_t children[PROCESSES];
        unlink(scratch_path("many.db"));
        for (int i = 0; i < PROCESSES; i++)
            if ((children[i] = fork()) == 0) {
                pg_store *store = NULL;
                _exit(pg_store_open(scratch_path("many.db"), PG_STORE_WRITE, &store) == PG_OK ? 0 : 1);
            }
        int failed = 0, status;
        for (int i = 0; i < PROCESSES; i++) {
            assert_int_equal(waitpid(children[i], &status, 0), children[i]);
            failed += status != 0;
        }
        assert_int_equal(failed, 0);
    }
}

static void test_missing(void **state)
{
    (void)state;
    pg_store *store = NULL;
    assert_int_equal(pg_store_open(scratch_path("t.db"), PG_STORE_READ, &store), PG_EMISSING);
    assert_null(store);
    assert_int_equal(access(scratch_path("t.db"), F_OK), -1);
    assert_int_equal(pg_store_open(scratch_path("nowhere/t.db"), PG_STORE_WRITE, &store), PG_EIO);
}

static void test_foreign_files_are_refused(void **state)
{
    (void)state;
    pg_store *store = NULL;
    sqlite3 *other = NULL;
    assert_int_equal(sqlite3_open(scratch_path("t.db"), &other), SQLITE_OK);
    assert_int_equal(sqlite3_exec(other, "CREATE TABLE t (a)", NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(other);
    assert_int_equal(pg_store_open(scratch_path("t.db"), PG_STORE_WRITE, &store), PG_EDAMAGED);
    assert_non_null(strstr(pg_error_message(), "not of patchgauge"));
    remove_store();
    char junk[4096];
    memset(junk, 'x', sizeof junk);
    scratch_write("t.db", junk, sizeof junk);
    assert_int_equal(pg_store_open(scratch_path("t.db"), PG_STORE_WRITE, &store), PG_EDAMAGED);
    assert_int_equal(pg_file_size(scratch_path("t.db")), (int64_t)sizeof junk);
}

static void test_read_only_folder(void **state)
{
    (void)state;
    if (geteuid() != 0)
        skip(); /* needs to become somebody without rights */
    pg_store *store = open_worker();
    plan_all(store);
    pg_store_close(store);
    assert_int_equal(chmod(scratch_folder, 0555), 0);
    assert_int_equal(chmod(scratch_path("t.db"), 0444), 0);
    pid_t child = fork();
    if (child == 0) {
        int code = seteuid(65534) == 0 ? 0 : 99;
        pg_store *mine = NULL;
        if (code == 0 && pg_store_open(scratch_path("t.db"), PG_STORE_READ, &mine) != PG_OK)
            code = 1; /* reading works */
        pg_store_close(mine);
        mine = NULL;
        int opened = code == 0 ? pg_store_open(scratch_path("t.db"), PG_STORE_WRITE, &mine) : PG_EIO;
        if (opened == PG_OK)
            opened = pg_store_worker_start(mine, &some_worker);
        if (code == 0 && opened != PG_EIO)
            code = 2;
        if (code == 0 && pg_store_open(scratch_path("new.db"), PG_STORE_WRITE, &mine) != PG_EIO)
            code = 3;
        _exit(code);
    }
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    chmod(scratch_folder, 0755);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

/* ---- Results ---- */

static int count_outcome(const pg_outcome *o, void *context)
{
    int64_t *next = context;
    pg_outcome want = make_outcome(o->image, 2);
    assert_int_equal(o->image, (*next)++);
    assert_int_equal(o->label, want.label);
    assert_int_equal(o->prediction, want.prediction);
    assert_int_equal(o->certified, want.certified);
    assert_int_equal(o->certified_published, want.certified_published);
    assert_int_equal(o->masked, want.masked);
    assert_int_equal(o->has_margin, want.has_margin);
    if (o->has_margin)
        assert_int_equal(o->margin, want.margin);
    assert_int_equal(o->failure_case, want.failure_case);
    return PG_OK;
}

static void test_results(void **state)
{
    (void)state;
    pg_store *store = fill();
    pg_cell_result r;
    assert_int_equal(pg_store_cell(store, ids[2], &r), PG_OK);
    assert_true(r.known);
    assert_int_equal(r.state, PG_CELL_DONE);
    assert_int_equal(r.n, IMAGES);
    assert_int_equal(r.clean, 5);
    assert_int_equal(r.certified, 3); /* images 0, 4, 8 */
    assert_int_equal(r.certified_published, 1);
    assert_int_equal(r.nonfinite, 1);
    assert_int_equal(r.masked, 1);
    for (int i = 0; i < PG_CASES; i++)
        assert_int_equal(r.cases[i], 2);
    assert_int_equal(r.saturated_n, IMAGES);
    assert_int_equal(r.saturated, 2);
    assert_int_equal(r.differs_n, IMAGES);
    assert_int_equal(r.differs, 1);
    assert_true(r.has_smallest_margin);
    assert_int_equal(r.smallest_margin, 102);
    assert_true(r.has_delta);
    assert_int_equal(r.delta, 5);
    assert_string_equal(pg_cell_result_setting(&r, "patch"), "2");
    assert_string_equal(pg_cell_result_setting(&r, "window"), "1x1");
    assert_string_equal(pg_cell_result_setting(&r, "nothing"), "");
    pg_cell_result_release(&r);
    assert_int_equal(pg_store_cell(store, ids[1], &r), PG_OK);
    assert_false(r.has_delta);
    assert_false(r.has_published);
    pg_cell_result_release(&r);
    assert_int_equal(pg_store_cell(store, hash_a, &r), PG_OK);
    assert_false(r.known);
    int64_t next = 0;
    assert_int_equal(pg_store_each_outcome(store, ids[2], count_outcome, &next), PG_OK);
    assert_int_equal(next, IMAGES);
    pg_store_close(store);
}

static int count_attack(const pg_attack_row *a, void *context)
{
    int64_t *next = context;
    pg_attack_row want = make_attack(a->image);
    assert_int_equal(a->image, (*next)++);
    assert_int_equal(a->label, want.label);
    assert_int_equal(a->top, want.top);
    assert_int_equal(a->left, want.left);
    assert_int_equal(a->target, want.target);
    assert_int_equal(isnan(a->loss), isnan(want.loss));
    assert_true(isnan(a->loss) || a->loss == want.loss);
    assert_int_equal(a->steps, want.steps);
    assert_int_equal(a->before, want.before);
    assert_int_equal(a->after, want.after);
    assert_int_equal(a->patch_size, want.patch_size);
    if (want.patch)
        assert_memory_equal(a->patch, want.patch, want.patch_size);
    else
        assert_null(a->patch);
    return PG_OK;
}

static int expect_attacked(const pg_outcome *o, void *context)
{
    assert_int_equal(o->has_attack, *(bool *)context);
    if (o->has_attack)
        assert_int_equal(o->attacked, make_attack(o->image).after);
    return PG_OK;
}

static void test_attacks(void **state)
{
    (void)state;
    pg_store *store = fill_attacked(true);
    pg_cell_result r;
    int64_t next = 0, broken = 0, first = 0;
    bool attacked = true;
    assert_int_equal(pg_store_cell(store, ids[2], &r), PG_OK);
    assert_int_equal(r.clean, 5);
    assert_int_equal(r.attacked_n, IMAGES);
    assert_int_equal(r.attacked, 4); /* 0, 2, 6, 8; 4 is broken */
    pg_cell_result_release(&r);
    assert_int_equal(pg_store_each_attack(store, ids[2], count_attack, &next), PG_OK);
    assert_int_equal(next, IMAGES);
    assert_int_equal(pg_store_each_outcome(store, ids[2], expect_attacked, &attacked), PG_OK);
    assert_int_equal(pg_store_broken(store, ids[2], &broken, &first), PG_OK);
    assert_int_equal(broken, 1);
    assert_int_equal(first, 4);
    assert_int_equal(pg_store_broken(store, hash_a, &broken, &first), PG_OK);
    assert_int_equal(broken, 0);
    assert_int_equal(pg_store_check(store), PG_OK);
    pg_store_close(store);
    remove_store();
    store = fill();
    attacked = false;
    assert_int_equal(pg_store_each_outcome(store, ids[2], expect_attacked, &attacked), PG_OK);
    assert_int_equal(pg_store_broken(store, ids[2], &broken, &first), PG_OK);
    assert_int_equal(broken, 0);
    assert_int_equal(first, -1);
    next = 0;
    assert_int_equal(pg_store_each_attack(store, ids[2], count_attack, &next), PG_OK);
    assert_int_equal(next, 0);
    pg_store_close(store);
}

static void test_same_images(void **state)
{
    (void)state;
    pg_store *store = fill();
    assert_int_equal(pg_store_same_images(store, ids[0], ids[1]), PG_OK);
    plan(store, (const int[]){4}, 1, 0, CHUNK);
    assert_int_equal(pg_store_same_images(store, ids[0], ids[4]), PG_EINPUT);
    plan(store, (const int[]){5}, 1, 0, IMAGES);
    assert_int_equal(pg_store_same_images(store, ids[0], ids[5]), PG_EINPUT);
    assert_non_null(strstr(pg_error_message(), "not finished"));
    assert_int_equal(pg_store_same_images(store, ids[0], hash_a), PG_EMISSING);
    pg_store_close(store);
}

static void test_resolve(void **state)
{
    (void)state;
    pg_store *store = fill();
    char id[PG_HASH_HEX], prefix[9];
    snprintf(prefix, sizeof prefix, "%.8s", ids[1]);
    assert_int_equal(pg_store_resolve(store, prefix, id), PG_OK);
    assert_string_equal(id, ids[1]);
    assert_int_equal(pg_store_resolve(store, ids[1], id), PG_OK);
    assert_int_equal(pg_store_resolve(store, "abc", id), PG_EINPUT);
    assert_int_equal(pg_store_resolve(store, "0000000000", id), PG_EMISSING);
    assert_int_equal(pg_store_resolve(store, "xyzw", id), PG_EINPUT);
    assert_int_equal(pg_store_resolve(store, "aaaa' OR 1 --", id), PG_EINPUT);
    exec(store,
         "INSERT INTO cell SELECT 98, 'bbbb1' || substr(cell_id, 6), forward, first, count, canonical, settings, settings_id,"
         " details, delta, checksum FROM cell WHERE cell = 1");
    exec(store,
         "INSERT INTO cell SELECT 99, 'bbbb2' || substr(cell_id, 6), forward, first, count, canonical, settings, settings_id,"
         " details, delta, checksum FROM cell WHERE cell = 1");
    assert_int_equal(pg_store_resolve(store, "bbbb", id), PG_EINPUT);
    assert_non_null(strstr(pg_error_message(), "several"));
    assert_int_equal(pg_store_resolve(store, "bbbb2", id), PG_OK);
    pg_store_close(store);
}

static void test_labels_must_agree(void **state)
{
    (void)state;
    pg_store *store = open_worker();
    pg_task task;
    bool counted = true;
    plan(store, (const int[]){0}, 1, 0, CHUNK);
    assert_true(claim(store, &task));
    assert_true(finish(store, &task));
    pg_task_release(&task);
    plan(store, (const int[]){1}, 1, 0, CHUNK);
    assert_true(claim(store, &task));
    pg_outcome wrong[CHUNK];
    for (int i = 0; i < CHUNK; i++)
        wrong[i] = make_outcome(i, 0);
    /* one label, and two that leave every weighted sum of (image + 1) and (label + 1) what it is */
    static const struct {
        int image, more;
    } changes[][2] = {{{2, 1}, {2, 0}}, {{0, 2}, {1, -1}}};
    for (int i = 0; i < 2; i++) {
        for (int k = 0; k < 2; k++)
            wrong[changes[i][k].image].label += changes[i][k].more;
        assert_int_equal(pg_store_finish(store, &task, task.count, &some_attempt, wrong, NULL, &counted), PG_EDAMAGED);
        assert_non_null(strstr(pg_error_message(), i == 0 ? "image 2," : "image 0,"));
        assert_false(counted);
        assert_int_equal(number(store, "SELECT count(*) FROM outcome"), CHUNK);
        for (int k = 0; k < 2; k++)
            wrong[changes[i][k].image].label -= changes[i][k].more;
    }
    assert_int_equal(pg_store_finish(store, &task, task.count, &some_attempt, wrong, NULL, &counted), PG_OK);
    pg_task_release(&task);
    pg_store_close(store);
}

/* ---- Damage ---- */

static int read_all(pg_store *store)
{
    int code = pg_store_check(store);
    for (int i = 0; code == PG_OK && i < CELLS; i++) {
        pg_cell_result r;
        code = pg_store_cell(store, ids[i], &r);
        if (code == PG_OK)
            pg_cell_result_release(&r);
    }
    return code;
}

static int dump_row(void *out, int n, char **values, char **names)
{
    (void)names;
    for (int i = 0; i < n; i++)
        pg_buf_printf(out, "%s|", values[i] ? values[i] : "");
    return 0;
}

/* What results are made of, as text. */
static void dump(pg_store *store, pg_buf *out)
{
    pg_buf_clear(out);
    sqlite3_exec(store->db, "SELECT * FROM outcome", dump_row, out, NULL);
    sqlite3_exec(store->db, "SELECT * FROM summary", dump_row, out, NULL);
    sqlite3_exec(store->db, "SELECT * FROM label", dump_row, out, NULL);
    sqlite3_exec(store->db, "SELECT * FROM cell", dump_row, out, NULL);
    sqlite3_exec(store->db, "SELECT cell, image, top, \"left\", target, loss, steps, before, after, hex(patch) FROM attack",
                 dump_row, out, NULL);
}

/* Bytes flipped at random: each is found, or no result changed. */
static void test_flipped_bytes(void **state)
{
    (void)state;
    pg_store_close(fill_attacked(true));
    char *bytes = NULL;
    size_t size = 0;
    assert_int_equal(pg_file_read(scratch_path("t.db"), 1 << 24, &bytes, &size), PG_OK);
    pg_buf before, after;
    pg_buf_init(&before);
    pg_buf_init(&after);
    pg_store *store = open_store(PG_STORE_READ);
    assert_int_equal(read_all(store), PG_OK);
    dump(store, &before);
    pg_store_close(store);
    pg_rng rng = pg_rng_make(11, PG_STREAM_TEST, 0);
    int found = 0, harmless = 0;
    for (int i = 0; i < 400; i++) {
        size_t at = pg_rng_below(&rng, (uint32_t)size);
        while (!bytes[at]) /* most of a small store is empty */
            at = pg_rng_below(&rng, (uint32_t)size);
        uint8_t bit = (uint8_t)(1u << pg_rng_below(&rng, 8));
        bytes[at] = (char)(bytes[at] ^ bit);
        scratch_write("t.db", bytes, size);
        bytes[at] = (char)(bytes[at] ^ bit);
        store = NULL;
        int code = pg_store_open(scratch_path("t.db"), PG_STORE_READ, &store);
        if (code == PG_OK)
            code = read_all(store);
        if (code == PG_OK) {
            dump(store, &after);
            if (strcmp(before.data, after.data) != 0)
                fail_msg("flip of bit %d at %zu changed a result and was not found", bit, at);
            harmless++;
        } else {
            found++;
        }
        pg_store_close(store);
    }
    print_message("%d flips: %d found, %d changed no result\n", found + harmless, found, harmless);
    assert_true(found > 50);
    free(bytes);
    pg_buf_release(&before);
    pg_buf_release(&after);
}

static void test_truncated(void **state)
{
    (void)state;
    pg_store_close(fill());
    char *bytes = NULL;
    size_t size = 0;
    assert_int_equal(pg_file_read(scratch_path("t.db"), 1 << 24, &bytes, &size), PG_OK);
    pg_buf before, after;
    pg_buf_init(&before);
    pg_buf_init(&after);
    pg_store *store = open_store(PG_STORE_READ);
    dump(store, &before);
    pg_store_close(store);
    int found = 0;
    for (size_t keep = 1; keep < size; keep += size / 97) {
        store = NULL;
        scratch_write("t.db", bytes, keep);
        int code = pg_store_open(scratch_path("t.db"), PG_STORE_READ, &store);
        if (code == PG_OK)
            code = read_all(store);
        found += code != PG_OK;
        if (code == PG_OK) { /* an empty page at the end, cut short, is no loss */
            dump(store, &after);
            assert_string_equal(before.data, after.data);
        }
        pg_store_close(store);
    }
    assert_true(found > 90);
    free(bytes);
    pg_buf_release(&before);
    pg_buf_release(&after);
}

static void test_check_finds_lost_rows(void **state)
{
    (void)state;
    static const char *const damage[] = {
        "DELETE FROM outcome WHERE image = 3 AND cell = 1",
        "UPDATE outcome SET prediction = prediction + 1 WHERE image = 3 AND cell = 1",
        "UPDATE label SET label = label + 1 WHERE image = 5",
        "UPDATE summary SET certified = certified - 1 WHERE cell = 2 AND certified > 0",
        "DELETE FROM summary WHERE cell = 2",
        "UPDATE task SET state = 'pending' WHERE task = 1",
        "UPDATE cell SET details = 'window=2x2\n' WHERE cell = 1",
        "UPDATE cell SET count = count + 1 WHERE cell = 1",
        "UPDATE forward SET canonical = 'g\n'",
        "UPDATE outcome SET attacked = 3 WHERE image = 3 AND cell = 1",
        "UPDATE attack SET loss = loss + 1 WHERE image = 4 AND cell = 1",
        "UPDATE attack SET top = top + 1 WHERE image = 4 AND cell = 1",
        "UPDATE attack SET patch = x'010204' WHERE image = 0 AND cell = 2",
        "DELETE FROM attack WHERE image = 9 AND cell = 1",
        "UPDATE outcome SET saturated = 1 - saturated WHERE image = 3 AND cell = 1",
        "UPDATE outcome SET differs = NULL WHERE image = 3 AND cell = 1",
        "UPDATE outcome SET saturated = NULL, differs = NULL WHERE image = 3 AND cell = 1",
        "UPDATE summary SET saturated = 1 - saturated WHERE cell = 1 AND task = 1",
        "UPDATE summary SET differs = NULL WHERE cell = 1 AND task = 1",
        "UPDATE summary SET saturated = NULL, differs = NULL WHERE cell = 1 AND task = 1",
        "UPDATE attack SET image = 11 WHERE image = 9 AND cell = 1",
        "UPDATE total SET n = n - 1 WHERE cell = 2",
        "UPDATE total SET failed = 1 WHERE cell = 2",
        "UPDATE total SET images = images + 1 WHERE cell = 2",
        "DELETE FROM total WHERE cell = 2",
        "UPDATE total SET clean = clean + 1 WHERE cell = 2",
        "UPDATE total SET certified = certified - 1 WHERE cell = 2",
        "UPDATE total SET published = published + 1 WHERE cell = 2",
        "UPDATE total SET cases = 1 WHERE cell = 2",
        "UPDATE total SET masked = 0 WHERE cell = 2",
        "UPDATE total SET nonfinite = 0 WHERE cell = 2",
        "UPDATE total SET attacked_n = attacked_n - 1 WHERE cell = 2",
        "UPDATE total SET attacked = attacked + 1 WHERE cell = 2",
        "UPDATE total SET margin = margin + 1 WHERE cell = 2",
        "UPDATE total SET margin = NULL WHERE cell = 2",
        "UPDATE total SET clean_lo = clean_lo + 1e-15 WHERE cell = 2",
        "UPDATE total SET clean_hi = NULL WHERE cell = 2",
        "UPDATE total SET certified_lo = 0 WHERE cell = 2",
        "UPDATE total SET certified_hi = 1 WHERE cell = 2",
        "UPDATE total SET published_lo = 0.5 WHERE cell = 2",
        "UPDATE total SET published_hi = 0.5 WHERE cell = 2",
        "UPDATE total SET attacked_lo = 0.5 WHERE cell = 2",
        "UPDATE total SET attacked_hi = 0.5 WHERE cell = 2",
        "UPDATE cell_setting SET value = 'd1' WHERE cell = 1 AND key = 'defense'",
        "UPDATE cell_setting SET key = 'defence' WHERE cell = 1 AND key = 'defense'",
        "UPDATE cell_setting SET cell = 9 WHERE cell = 1 AND key = 'window'",
        "DELETE FROM cell_setting WHERE cell = 3 AND key = 'window'",
        "DELETE FROM cell_setting WHERE cell = 2",
        "INSERT INTO cell_setting VALUES (1, 'a', 'b')",
        "INSERT INTO cell_setting VALUES (1, 'z', 'b')",
        "INSERT INTO cell_setting VALUES (9, 'z', 'b')",
        "DROP VIEW result",
        "DROP VIEW image_result; CREATE VIEW image_result AS SELECT 1",
    };
    for (size_t i = 0; i < sizeof damage / sizeof *damage; i++) {
        pg_store *store = fill_attacked(true);
        assert_int_equal(pg_store_check(store), PG_OK);
        exec(store, "PRAGMA foreign_keys = OFF; PRAGMA ignore_check_constraints = ON");
        exec(store, damage[i]);
        exec(store, "PRAGMA ignore_check_constraints = OFF");
        if (pg_store_check(store) != PG_EDAMAGED)
            fail_msg("not found: %s", damage[i]);
        pg_store_close(store);
        remove_store();
    }
}

static int ignore_attack(const pg_attack_row *attack, void *context)
{
    (void)attack;
    (void)context;
    return PG_OK;
}

static int ignore_outcome(const pg_outcome *outcome, void *context)
{
    (void)outcome;
    (void)context;
    return PG_OK;
}

/* What reads images one by one gives none of a damaged cell, and all of the others. */
static void test_readers_find_damage(void **state)
{
    (void)state;
    static const char *const damage[] = {
        "UPDATE outcome SET prediction = prediction + 1 WHERE image = 3 AND cell = 1",
        "UPDATE outcome SET certified = 1 - certified, published = 1 - certified WHERE image = 3 AND cell = 1",
        "UPDATE outcome SET attacked = 3 WHERE image = 3 AND cell = 1",
        "UPDATE attack SET after = after + 1 WHERE image = 4 AND cell = 1",
        "UPDATE attack SET steps = steps + 1 WHERE image = 4 AND cell = 1",
        "DELETE FROM attack WHERE image = 9 AND cell = 1",
        "DELETE FROM attack WHERE cell = 1",
        "DELETE FROM outcome WHERE image = 3 AND cell = 1",
    };
    for (size_t i = 0; i < sizeof damage / sizeof *damage; i++) {
        pg_store *store = fill_attacked(true);
        int64_t broken, first;
        exec(store, "PRAGMA foreign_keys = OFF");
        exec(store, damage[i]);
        for (int c = 0; c < CELLS; c++) { /* cell 1 is the first */
            int wanted = c == 0 ? PG_EDAMAGED : PG_OK;
            assert_int_equal(pg_store_each_attack(store, ids[c], ignore_attack, NULL), wanted);
            assert_int_equal(pg_store_each_outcome(store, ids[c], ignore_outcome, NULL), wanted);
            assert_int_equal(pg_store_broken(store, ids[c], &broken, &first), wanted);
        }
        pg_store_close(store);
        remove_store();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_create, clean),
        cmocka_unit_test_teardown(test_created_by_many_at_once, clean),
        cmocka_unit_test_teardown(test_missing, clean),
        cmocka_unit_test_teardown(test_foreign_files_are_refused, clean),
        cmocka_unit_test_teardown(test_read_only_folder, clean),
        cmocka_unit_test_teardown(test_results, clean),
        cmocka_unit_test_teardown(test_attacks, clean),
        cmocka_unit_test_teardown(test_same_images, clean),
        cmocka_unit_test_teardown(test_resolve, clean),
        cmocka_unit_test_teardown(test_labels_must_agree, clean),
        cmocka_unit_test_teardown(test_flipped_bytes, clean),
        cmocka_unit_test_teardown(test_truncated, clean),
        cmocka_unit_test_teardown(test_check_finds_lost_rows, clean),
        cmocka_unit_test_teardown(test_readers_find_damage, clean),
    };
    return cmocka_run_group_tests_name("store", tests, make, scratch_remove);
}
