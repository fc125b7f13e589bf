/* Attacks in matrix files: identity of attacked cells and passes, what is refused, tasks. */
#include "harness/plan/tasks.h"
#include "tests/support/matrix.h"

#define ATTACKED HEAD "defense = \"clip\"\npatch = 5\nattack = \"random-search\"\n"

static void test_attack_identity(void **state)
{
    (void)state;
    static const char *const same[] = {"", "random-search.gradient = \"defense\"\nseed = 0\n", "lavan.steps = 7\n",
                                       "clip.clip = \"0:15\"\nimages = \"0:2000\"\n"};
    static const char *const other[] = {
        "random-search.steps = 7\n",
        "random-search.batch = 3\n",
        "random-search.gradient = \"mean\"\n",
        "seed = 1\n",
        "clip.clip = \"0:5\"\n",
        "images = \"0:1999\"\n",
        "batch = 64\n",
    };
    char text[1024], first[PG_HASH_HEX], id[PG_HASH_HEX];
    id_of(ATTACKED, first);
    for (size_t i = 0; i < sizeof same / sizeof *same; i++) {
        snprintf(text, sizeof text, ATTACKED "%s", same[i]);
        id_of(text, id);
        assert_string_equal(id, first);
    }
    for (size_t i = 0; i < sizeof other / sizeof *other; i++) {
        snprintf(text, sizeof text, ATTACKED "%s", other[i]);
        id_of(text, id);
        if (strcmp(id, first) == 0)
            fail_msg("the same id for\n%s", other[i]);
    }
    char clean[PG_HASH_HEX]; /* options of an attack that does not run are no matter */
    id_of(HEAD "defense = \"clip\"\npatch = 5\n", clean);
    id_of(HEAD "defense = \"clip\"\npatch = 5\nattack = \"none\"\nrandom-search.steps = 7\n", id);
    assert_string_equal(id, clean);
    assert_string_not_equal(id, first);
}

/* Cells share an attacked pass only where they differ in images alone; the clean pass behind it is that of the clean cell. */
static void test_attacked_forward(void **state)
{
    (void)state;
    static const struct {
        const char *axis;
        bool shared;
    } cases[] = {
        {"images = [\"0:10\", \"5:20\"]\n", true},
        {"seed = [0, 1]\n", false},
        {"patch = [5, 8]\n", false},
        {"defense = [\"clip\", \"mean\"]\n", false},
        {"\"clip.clip\" = [\"0:15\", \"0:5\"]\n", false},
        {"\"random-search.steps\" = [5, 6]\n", false},
        {"attack = [\"random-search\", \"none\"]\n", false},
        {"patch-space = [\"image\", \"network\"]\n", false},
    };
    char text[1024];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        pg_buf fixed;
        pg_buf_init(&fixed);
        static const char *const keys[][2] = {
            {"defense", "\"clip\""}, {"patch", "5"}, {"attack", "\"random-search\""}, {"images", "\"0:10\""}};
        for (size_t k = 0; k < sizeof keys / sizeof *keys; k++)
            if (strncmp(cases[i].axis, keys[k][0], strlen(keys[k][0])) != 0 || cases[i].axis[strlen(keys[k][0])] != ' ')
                pg_buf_printf(&fixed, "%s = %s\n", keys[k][0], keys[k][1]);
        snprintf(text, sizeof text, HEAD "%s[axes]\n%s", fixed.data, cases[i].axis);
        pg_buf_release(&fixed);
        pg_plan *plan = must_open(text, NULL);
        assert_int_equal(pg_plan_count(plan), 2);
        const pg_cell *a = pg_plan_at(plan, 0), *b = pg_plan_at(plan, 1);
        if ((a->forward == b->forward) != cases[i].shared)
            fail_msg("%s", cases[i].axis);
        assert_int_equal(strcmp(a->forward->id, b->forward->id) == 0, cases[i].shared);
        assert_string_equal(a->forward->clean_id, b->forward->clean_id);
        assert_string_not_equal(a->forward->id, a->forward->clean_id);
        assert_string_equal(pg_cell_value(a, "attack"), "random-search");
        assert_string_not_equal(pg_cell_value(a, "steps"), "");
        assert_string_equal(pg_cell_value(a, "steps"), pg_cell_value(a, "random-search.steps"));
        assert_string_equal(pg_cell_value(a, "attack.gradient"), a->defense->surrogate ? "defense" : "mean");
        for (size_t f = 0; f < pg_plan_forwards(plan); f++)
            assert_int_equal(pg_plan_forward(plan, f)->index, f);
        pg_plan_free(plan);
    }
}

/* Every line of the canonical form once, and the attack with its version among them. */
static void test_attacked_canonical_form(void **state)
{
    (void)state;
    pg_plan *plan = must_open(ATTACKED "images = \"10:20\"\n", NULL);
    const pg_cell *c = pg_plan_at(plan, 0);
    static const char *const lines[] = {"attack=random-search\n",
                                        "attack.version=",
                                        "attack.surrogate=1\n",
                                        "attack.through=",
                                        "defense=clip\n",
                                        "defense.version=",
                                        "patch=5\n",
                                        "seed=0\n",
                                        "clip.clip=0:15\n",
                                        "random-search.steps=",
                                        "window=3x3\n"};
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        char line[64];
        snprintf(line, sizeof line, "\n%s", lines[i]);
        const char *found = strstr(c->canonical, line + (strncmp(c->canonical, lines[i], strlen(lines[i])) == 0));
        if (!found || strstr(found + 1, line))
            fail_msg("%s in\n%s", lines[i], c->canonical);
        found = strstr(c->forward->canonical, lines[i]);
        assert_non_null(found);
    }
    assert_null(strstr(c->forward->canonical, "images="));
    assert_non_null(strstr(c->canonical, "\nimages=10:20\n"));
    assert_non_null(strstr(c->settings, "random-search.steps="));
    pg_plan_free(plan);
    plan = must_open(ATTACKED, (const char *[]){"random-search.gradient=mean", NULL});
    assert_null(strstr(pg_plan_at(plan, 0)->canonical, "attack.surrogate="));
    assert_string_equal(pg_forward_gradient(pg_plan_at(plan, 0)->forward), "mean");
    pg_plan_free(plan);
}

/* The patch of an attack is what is put on, before the resize or behind it; its window holds what that changes. Without a
 * resize the identity knows of none. */
static void test_attacks_before_and_behind_a_resize(void **state)
{
    (void)state;
#define RESIZED                                                                                                              \
    "[fixed]\nweights = \"null\"\ndefense = \"mean\"\nnull.height = 22\nnull.width = 22\nnull.field = 17\nnull.stride = 8\n" \
    "null.input_height = 192\nnull.input_width = 192\nattack = \"random-search\"\ndataset = \"synthetic:test@192\"\n"
    static const struct {
        const char *rest;
        bool before;
        int patch, window;
    } cases[] = {{"patch = 5\n", true, 5, 8},
                 {"patch = 5\npatch-space = \"network\"\n", false, 5, 3},
                 {"patch = 48\npatch-space = \"network\"\n", false, 48, 8}};
    char ids[3][PG_HASH_HEX], text[1024];
    for (size_t i = 0; i < 3; i++) {
        snprintf(text, sizeof text, RESIZED "%s", cases[i].rest);
        pg_plan *plan = must_open(text, NULL);
        const pg_cell *c = pg_plan_at(plan, 0);
        const pg_forward *f = c->forward;
        assert_int_equal(f->before_resize, cases[i].before);
        assert_true(f->patch_height == cases[i].patch && f->patch_width == cases[i].patch);
        assert_true(f->window.height == cases[i].window && f->window.width == cases[i].window);
        assert_true(c->window.height == cases[i].window && c->window.width == cases[i].window);
        assert_non_null(strstr(f->canonical, cases[i].before ? "attacker=input\n" : "attacker=network\n"));
        memcpy(ids[i], c->id, PG_HASH_HEX);
        for (size_t j = 0; j < i; j++)
            assert_string_not_equal(ids[i], ids[j]);
        pg_plan_free(plan);
    }
    snprintf(text, sizeof text, RESIZED "patch = 5\nrandom-search.location = \"fixed\"\nrandom-search.top = 28\n");
    pg_plan *plan = NULL; /* places are those of the image before the resize */
    assert_int_equal(open_matrix(text, NULL, &plan), PG_EINPUT);
    assert_non_null(strstr(problems, "leaves the image of 32 x 32 px"));
    plan = must_open(ATTACKED, NULL);
    assert_false(pg_plan_at(plan, 0)->forward->before_resize);
    assert_null(strstr(pg_plan_at(plan, 0)->canonical, "resize"));
    assert_null(strstr(pg_plan_at(plan, 0)->canonical, "reach"));
    pg_plan_free(plan);
#undef RESIZED
}

static void test_attacks_that_cannot_work(void **state)
{
    (void)state;
    pg_plan *plan = NULL;
    static const struct {
        const char *rest, *want;
    } cases[] = {
        {"attack = \"lavan\"\n", "m.toml:6: attack lavan needs gradients, which model null has not"},
        {"attack = \"random-search\"\n\"random-search.target\" = \"77\"\n", "m.toml:6: attack random-search"},
        {"attack = \"random-search\"\n\"random-search.target\" = \"3\"\n", "has the label 3, which is the target"},
        {"attack = \"random-search\"\n\"random-search.location\" = \"somewhere\"\n", "m.toml:7: attack random-search"},
        {"attack = \"random-search\"\n\"random-search.stepps\" = 5\n", "did you mean 'steps'"},
        {"attack = \"nun\"\n", "m.toml:6: unknown attack 'nun'"},
    };
    char text[1024];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        snprintf(text, sizeof text, HEAD "defense = \"clip\"\npatch = 5\n%s", cases[i].rest);
        assert_int_equal(open_matrix(text, NULL, &plan), PG_EINPUT);
        if (!strstr(problems, cases[i].want))
            fail_msg("%s is not in\n%s", cases[i].want, problems);
    }
}

/* Thousands of attacked rows are resolved without comparing each with all: well under a second, even under the sanitizers. */
static void test_many_attacked_rows(void **state)
{
    (void)state;
    pg_buf text;
    pg_buf_init(&text);
    pg_buf_puts(&text, HEAD "defense = \"clip\"\npatch = 5\nattack = \"random-search\"\n[axes]\nseed = [");
    for (int i = 0; i < 2000; i++)
        pg_buf_printf(&text, "%s%d", i ? ", " : "", i);
    pg_buf_puts(&text, "]\n");
    pg_plan *plan = must_open(text.data, NULL);
    assert_int_equal(pg_plan_count(plan), 2000);
    assert_int_equal(pg_plan_forwards(plan), 2001);
    for (size_t i = 0; i < 2000; i++) {
        assert_ptr_equal(pg_plan_forward(plan, pg_plan_at(plan, i)->forward->index), pg_plan_at(plan, i)->forward);
        assert_int_equal(pg_plan_at(plan, i)->forward->seed, i);
    }
    pg_plan_free(plan);
    pg_buf_release(&text);
}

/* Tasks of attacked passes are small, but never smaller than what is attacked at a time. */
static void test_attacked_tasks(void **state)
{
    (void)state;
    static const struct {
        const char *rest;
        int64_t task_images, want; /* tasks */
    } cases[] = {
        {"random-search.batch = 4\n", 256, 4}, {"random-search.batch = 4\n", 8, 25}, {"random-search.batch = 100\n", 8, 2}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[512];
        pg_store *store = NULL;
        pg_store_progress progress;
        snprintf(text, sizeof text, ATTACKED "images = \"0:200\"\n%s", cases[i].rest);
        pg_plan *plan = must_open(text, NULL);
        unlink(scratch_path("tasks.db"));
        assert_int_equal(pg_store_open(scratch_path("tasks.db"), PG_STORE_WRITE, &store), PG_OK);
        assert_int_equal(pg_plan_record(plan, store, cases[i].task_images), PG_OK);
        assert_int_equal(pg_store_progress_of(store, &progress), PG_OK);
        assert_int_equal(progress.tasks, cases[i].want);
        assert_int_equal(progress.images, 200);
        pg_store_close(store);
        pg_plan_free(plan);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_attack_identity),          cmocka_unit_test(test_attacked_forward),
        cmocka_unit_test(test_attacked_canonical_form),  cmocka_unit_test(test_attacks_before_and_behind_a_resize),
        cmocka_unit_test(test_attacks_that_cannot_work), cmocka_unit_test(test_many_attacked_rows),
        cmocka_unit_test(test_attacked_tasks),
    };
    return cmocka_run_group_tests_name("plan_attacks", tests, scratch_make, scratch_remove);
}
