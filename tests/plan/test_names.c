/* Old names: what they are today, that ids do not depend on the name that a matrix uses, and that one matrix uses one name. */
#include "harness/base/file.h"
#include "harness/base/names.h"
#include "db/store.h"
#include "tests/support/matrix.h"

#include <sqlite3.h>

static void expect_key(const char *key, const char *today)
{
    char room[PG_KEY_MAX];
    assert_string_equal(pg_key_today(key, room), today);
    assert_string_equal(pg_key_today(today, room), today);
}

static void keys_and_values_have_names_of_today(void **state)
{
    (void)state;
    expect_key("attacker", "patch-space");
    expect_key("lavan.through", "lavan.gradient");
    expect_key("attack.through", "attack.gradient");
    expect_key("through", "gradient"); /* as after --set and --rows */
    expect_key("reach.px", "affected.px");
    expect_key("universal.lessons", "universal.training_images");
    static const char *const same[] = {
        "attack",     "attacker.x", "my.attacker", "through.x", "throughput", "lavan.throughput", "reach",
        "x.reach.px", "",           ".",           "patch"};
    for (size_t i = 0; i < sizeof same / sizeof *same; i++)
        expect_key(same[i], same[i]);
    assert_string_equal(pg_value_today("patch-space", "input"), "image");
    assert_string_equal(pg_value_today("patch-space", "network"), "network");
    assert_string_equal(pg_value_today("defense", "input"), "input");
    char longest[2 * PG_KEY_MAX] = ""; /* no room: as it is */
    memset(longest, 'a', PG_KEY_MAX - 8);
    strcat(longest, ".through");
    expect_key(longest, longest);
}

static void expect_lines(const char *stored, const char *today)
{
    pg_buf out;
    pg_buf_init(&out);
    pg_lines_today(stored, &out);
    assert_string_equal(out.data, today);
    pg_buf_clear(&out);
    pg_lines_today(today, &out);
    assert_string_equal(out.data, today);
    pg_buf_clear(&out);
    pg_lines_stored(today, &out);
    assert_string_equal(out.data, stored);
    pg_buf_release(&out);
}

static void lines_are_renamed_both_ways(void **state)
{
    (void)state;
    expect_lines("", "");
    expect_lines("attacker=input\n", "patch-space=image\n");
    expect_lines("a=input\nattacker=network\nlavan.through=mean\nreach.px=8x8\nz=attacker=input\n",
                 "a=input\npatch-space=network\nlavan.gradient=mean\naffected.px=8x8\nz=attacker=input\n");
    expect_lines("no key\nattacker\n=input\n", "no key\nattacker\n=input\n");
    char text[3 * PG_KEY_MAX], longer[3 * PG_KEY_MAX]; /* long values stay as they are, under either name */
    snprintf(text, sizeof text, "attacker=%0300d\n", 1);
    snprintf(longer, sizeof longer, "patch-space=%0300d\n", 1);
    expect_lines(text, longer);
}

static void settings_of_a_store_have_names_of_today(void **state)
{
    (void)state;
    static const char *const texts[] = {"attack=lavan\nattacker=input\nlavan.through=mean\nzoom=1\n", "reach.px=8x8\n"};
    pg_setting *settings = NULL;
    size_t n = 0;
    assert_int_equal(pg_settings_parse(texts, 2, &settings, &n), PG_OK);
    static const char *const keys[] = {"affected.px", "attack", "lavan.gradient", "patch-space", "zoom"};
    assert_int_equal(n, sizeof keys / sizeof *keys);
    for (size_t i = 0; i < n; i++)
        assert_string_equal(settings[i].key, keys[i]);
    assert_string_equal(pg_settings_value(settings, n, "patch-space"), "image");
    assert_string_equal(pg_settings_value(settings, n, "gradient"), "mean");
    assert_string_equal(pg_settings_value(settings, n, "attacker"), "");
    free(settings);
}

#define NULL_64                                                                                                               \
    "[fixed]\ndataset = \"synthetic:test@64\"\nweights = \"null\"\nnull.input_height = 64\nnull.input_width = 64\ndefense = " \
    "\"mean\"\npatch = 5\nimages = \"0:16\"\nrandom-search.steps = 3\n"
static const char in_old_words[] = NULL_64
    "\"lavan.through\" = \"mean\"\n[axes]\nattacker = [\"input\", \"network\"]\nattack = [\"none\", \"random-search\"]\n"
    "\"random-search.through\" = [\"defense\", \"mean\"]\n"
    "[[exclude]]\nattacker = \"network\"\n\"random-search.through\" = \"mean\"\n";
static const char in_new_words[] = NULL_64
    "\"lavan.gradient\" = \"mean\"\n[axes]\npatch-space = [\"image\", \"network\"]\nattack = [\"none\", \"random-search\"]\n"
    "\"random-search.gradient\" = [\"defense\", \"mean\"]\n"
    "[[exclude]]\npatch-space = \"network\"\n\"random-search.gradient\" = \"mean\"\n";

/* Of n cells, the first `before` of which have the patch before the resize. */
static void expect_ids(const char *text, const char *const *overrides, size_t n, size_t before, const char *const *ids)
{
    pg_plan *plan = must_open(text, overrides);
    assert_int_equal(pg_plan_count(plan), n);
    for (size_t i = 0; i < n; i++) {
        const pg_cell *c = pg_plan_at(plan, i);
        char id[13];
        snprintf(id, sizeof id, "%.12s", c->id);
        assert_string_equal(id, ids[i]);
        assert_non_null(strstr(c->canonical, i < before ? "\nattacker=input\n" : "\nattacker=network\n"));
        assert_string_equal(pg_cell_value(c, "patch-space"), i < before ? "image" : "network");
    }
    assert_string_equal(pg_plan_axis(plan, 0), "patch-space");
    assert_string_equal(pg_plan_axis(plan, 2), "random-search.gradient");
    pg_plan_free(plan);
}

/* These are ids of a program that knew the old names only. */
static void ids_are_those_of_either_name(void **state)
{
    (void)state;
    static const char *const ids[] = {"956cace75522", "e43dd5d53911", "8684fc46cdc5", "6dd989e16201", "c0be28ad53b2"};
    expect_ids(in_old_words, NULL, 5, 3, ids);
    expect_ids(in_new_words, NULL, 5, 3, ids);
    expect_ids(in_old_words, (const char *[]){"patch-space=image", NULL}, 3, 3, ids);
    expect_ids(in_new_words, (const char *[]){"attacker=input", NULL}, 3, 3, ids);
    static const char *const learning[] = {"universal.lessons", "universal.training_images"};
    for (int i = 0; i < 2; i++) {
        char text[512], id[PG_HASH_HEX];
        snprintf(text, sizeof text,
                 "[fixed]\ndataset = \"synthetic:test\"\nweights = \"models/zoo/synthetic-ds.safetensors\"\nimages = \"0:16\"\n"
                 "patch = 5\ndefense = \"ds\"\nattack = \"universal\"\n%s = 16\n",
                 learning[i]);
        id_of(text, id);
        id[12] = 0;
        assert_string_equal(id, "e01d46374b34");
    }
    expect_ids(in_new_words, (const char *[]){"patch-space=network", NULL}, 2, 0, (const char *[]){ids[3], ids[4]});
}

static void expect_one_message(const char *text, const char *want)
{
    pg_plan *plan = NULL;
    assert_int_equal(open_matrix(text, NULL, &plan), PG_EINPUT);
    assert_int_equal(pg_error_exit_code(PG_EINPUT), 2);
    const char *at = strstr(problems, want);
    if (!at || strcmp(at + strlen(want), "\n") != 0 || strchr(problems, '\n')[1])
        fail_msg("\"%s\" is not the one line of\n%s", want, problems);
}

static void one_matrix_uses_one_name(void **state)
{
    (void)state;
#define FIVE HEAD "defense = \"mean\"\npatch = 5\n"
    expect_one_message(FIVE "attacker = \"input\"\npatch-space = \"image\"\n",
                       "m.toml:6: key \"attacker\" is the old name of \"patch-space\" in line 7; use one name");
    expect_one_message(FIVE "[axes]\npatch-space = [\"image\", \"network\"]\n[[exclude]]\nattacker = \"network\"\n",
                       "m.toml:9: key \"attacker\" is the old name of \"patch-space\" in line 7; use one name");
    expect_one_message(FIVE "lavan.gradient = \"mean\"\nlavan.through = \"mean\"\n",
                       "m.toml:7: key \"lavan.through\" is the old name of \"lavan.gradient\" in line 6; use one name");
    expect_one_message(FIVE "[axes]\npatch-space = [\"input\",\n\"image\"]\n",
                       "m.toml:7: patch-space \"input\" is the old name of \"image\" in line 8; use one name");
    pg_plan *plan = NULL; /* of two attacks each has its own key */
    assert_int_equal(open_matrix(FIVE "lavan.gradient = \"mean\"\nuniversal.through = \"mean\"\n", NULL, &plan), PG_OK);
    pg_plan_free(plan);
    assert_int_equal(open_matrix(FIVE, (const char *[]){"attacker=input", "patch-space=image", NULL}, &plan), PG_EUSAGE);
    assert_non_null(strstr(problems, "-S patch-space=image: its key is given twice"));
}

static void options_have_either_name(void **state)
{
    (void)state;
    const pg_attack *lavan = pg_attack_find("lavan");
    _Alignas(max_align_t) unsigned char config[PG_CONFIG_MAX];
    const pg_attack_common *common = (const void *)config;
    assert_int_equal(pg_module_configure(&lavan->module, "attack", (const char *[]){"through=mean"}, 1, config), PG_OK);
    assert_int_equal(common->gradient, PG_GRADIENT_MEAN);
    assert_int_equal(
        pg_module_configure(&lavan->module, "attack", (const char *[]){"gradient=mean", "through=mean"}, 2, config), PG_EINPUT);
    assert_non_null(strstr(pg_error_message(), "given twice, as 'gradient=mean' and 'through=mean'"));
}

static void print_texts(const char *db, const char *sql)
{
    sqlite3 *file = NULL;
    sqlite3_stmt *row = NULL;
    size_t size = 0;
    assert_int_equal(sqlite3_open_v2(scratch_path(db), &file, SQLITE_OPEN_READONLY, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(file, sql, -1, &row, NULL), SQLITE_OK);
    while (sqlite3_step(row) == SQLITE_ROW)
        size += (size_t)snprintf(program_output + size, sizeof program_output - size, "%s\n",
                                 (const char *)sqlite3_column_text(row, 0));
    sqlite3_finalize(row);
    sqlite3_close(file);
}

static void expect_names(const char *const *there, const char *const *away)
{
    for (; *there; there++)
        if (!strstr(program_output, *there))
            fail_msg("\"%s\" is not in\n%s", *there, program_output);
    for (; *away; away++)
        if (strstr(program_output, *away))
            fail_msg("\"%s\" is in\n%s", *away, program_output);
}

/* The same database for those who write either name; it holds the old ones, and people see those of today. */
static void stores_keep_old_names_and_show_those_of_today(void **state)
{
    (void)state;
    static const char *const old[] = {"attacker", ".through", "=input", NULL};
    scratch_write("old.toml", in_old_words, sizeof in_old_words - 1);
    scratch_write("new.toml", in_new_words, sizeof in_new_words - 1);
    assert_int_equal(program_run("t.db", "run '%s' --quiet", scratch_path("new.toml")), 0);
    assert_int_equal(program_run("t.db", "plan '%s' --explain", scratch_path("old.toml")), 0);
    expect_names((const char *[]){"0 new, 0 partial, 5 done", " patch-space=image ", " random-search.gradient=mean", NULL},
                 old);
    print_texts("t.db", "SELECT settings || details || canonical FROM cell");
    expect_names(
        (const char *[]){"attacker=input\n", "random-search.through=mean\n", "attack.through=mean\n", "reach.px=16x16\n", NULL},
        (const char *[]){"patch-space", "gradient", "affected", "=image\n", NULL});
    assert_int_equal(program_run("t.db", "show 8684fc46cdc5"), 0);
    expect_names((const char *[]){"patch-space                  image\n", "random-search.gradient ", "attack.gradient ",
                                  "affected.px ", NULL},
                 old);
    assert_int_equal(program_run("t.db", "ls"), 0);
    expect_names((const char *[]){"gradient=mean", "patch-space=network", NULL},
                 (const char *[]){"attacker=", "through=", NULL});
    assert_int_equal(program_run("t.db", "table '%s' --rows attacker,through --cols attack -f csv", scratch_path("old.toml")),
                     0);
    expect_names((const char *[]){"patch-space", "gradient", "image", NULL}, old);
    assert_int_equal(program_run("t.db", "diff 956cace75522 6dd989e16201"), 0);
    expect_names((const char *[]){"patch-space", NULL}, old);
    assert_int_equal(program_run("t.db", "report '%s' -o '%s'", scratch_path("new.toml"), scratch_path("report.html")), 0);
    assert_int_equal(program_run("t.db",
                                 "audit '%s' -S attack=none --level pixel --attack random-search --set attack.gradient=mean",
                                 scratch_path("new.toml")),
                     0);
    print_texts("t.db", "SELECT settings FROM audit");
    expect_names((const char *[]){"random-search.through=mean\n", NULL}, (const char *[]){"gradient", NULL});
    assert_int_equal(program_run("t.db", "show 956cace75522"), 0);
    expect_names((const char *[]){" random-search.gradient=mean,", NULL}, old);
    char *page = NULL;
    size_t size = 0;
    assert_int_equal(pg_file_read(scratch_path("report.html"), 1 << 22, &page, &size), PG_OK);
    assert_non_null(strstr(page, "patch-space"));
    assert_non_null(strstr(page, "affected.px"));
    assert_null(strstr(page, "attacker"));
    assert_null(strstr(page, ".through"));
    free(page);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_and_values_have_names_of_today),
        cmocka_unit_test(lines_are_renamed_both_ways),
        cmocka_unit_test(settings_of_a_store_have_names_of_today),
        cmocka_unit_test(ids_are_those_of_either_name),
        cmocka_unit_test(one_matrix_uses_one_name),
        cmocka_unit_test(options_have_either_name),
        cmocka_unit_test(stores_keep_old_names_and_show_those_of_today),
    };
    return cmocka_run_group_tests_name("names", tests, scratch_make, scratch_remove);
}
