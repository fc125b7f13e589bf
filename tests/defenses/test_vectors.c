/* The reference vectors of tests/reference: every rule on every set, prediction, certificate, margin and case. All rules of a
 * set go through one certifier at once, in float and in double. */
#include "defenses/certifier.h"
#include "harness/base/file.h"
#include "tests/support/load_npy.h"

#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#define FOLDER "tests/reference/"
enum { RULES_MAX = 64, IMAGES_MAX = 64 };

typedef struct vectors {
    json_t *spec;
    size_t n_rules;
    const char *ids[RULES_MAX];
    _Alignas(16) unsigned char configs[RULES_MAX][PG_CONFIG_MAX];
    const pg_defense *defenses[RULES_MAX];
} vectors;

static const char *text_of(const json_t *rule, const char *key) { return json_string_value(json_object_get(rule, key)); }

/* Options of a rule as --set would have them. */
static void configure(const json_t *rule, const pg_defense *defense, void *config)
{
    char pairs[8][64];
    const char *pointers[8];
    size_t n = 0;
    bool cbn = strcmp(defense->module.name, "cbn") == 0;
    static const char *const names[] = {"feature", "rule", "scope"};
    for (size_t i = 0; i < 3; i++)
        if (text_of(rule, names[i]) && !(cbn && i == 0))
            snprintf(pairs[n++], sizeof *pairs, "%s=%s", names[i], text_of(rule, names[i]));
    json_t *theta = json_object_get(rule, "theta"), *clip = json_object_get(rule, "clip"),
           *trim = json_object_get(rule, "trim");
    json_t *ppm = json_object_get(rule, "threshold_ppm");
    if (theta)
        snprintf(pairs[n++], sizeof *pairs, "theta=%g", json_number_value(theta));
    if (clip && json_is_null(json_array_get(clip, 1)))
        snprintf(pairs[n++], sizeof *pairs, "clip=%g:inf", json_number_value(json_array_get(clip, 0)));
    else if (clip)
        snprintf(pairs[n++], sizeof *pairs, "clip=%g:%g", json_number_value(json_array_get(clip, 0)),
                 json_number_value(json_array_get(clip, 1)));
    if (trim)
        snprintf(pairs[n++], sizeof *pairs, "trim=%lld", (long long)json_integer_value(trim));
    if (ppm)
        snprintf(pairs[n++], sizeof *pairs, "threshold=%g", (double)json_integer_value(ppm) / 1e6);
    for (size_t i = 0; i < n; i++)
        pointers[i] = pairs[i];
    if (pg_module_configure(&defense->module, "defense", pointers, n, config))
        fail_msg("%s", pg_error_message());
}

static int load(void **state)
{
    static vectors v;
    json_error_t error;
    v.spec = json_load_file(FOLDER "rules.json", 0, &error);
    if (!v.spec)
        fail_msg("%s: %s", error.source, error.text);
    size_t i;
    json_t *rule;
    json_array_foreach(json_object_get(v.spec, "rules"), i, rule)
    {
        v.ids[i] = text_of(rule, "id");
        v.defenses[i] = pg_defense_find(text_of(rule, "defense"));
        assert_non_null(v.defenses[i]);
        configure(rule, v.defenses[i], v.configs[i]);
        v.n_rules = i + 1;
    }
    *state = &v;
    return 0;
}

static int unload(void **state)
{
    json_decref(((vectors *)*state)->spec);
    return 0;
}

/* verdicts[rule][image], for the rules that fit the map. */
typedef pg_verdict answers[RULES_MAX][IMAGES_MAX];

static void certify(const vectors *v, const json_t *geometry, const pg_npy *features, const pg_npy *labels, bool wide,
                    answers out)
{
    pg_job jobs[RULES_MAX];
    size_t job_rule[RULES_MAX], n = 0;
    int h = (int)features->shape[1], w = (int)features->shape[2], c = (int)features->shape[3];
    json_t *window = json_object_get(geometry, "window");
    for (size_t r = 0; r < v->n_rules; r++) {
        if (v->defenses[r]->check && v->defenses[r]->check(v->configs[r], h, w, c))
            continue;
        jobs[n] = (pg_job){.defense = v->defenses[r], .config = v->configs[r]};
        jobs[n].window =
            (pg_window){(int)json_integer_value(json_array_get(window, 0)), (int)json_integer_value(json_array_get(window, 1))};
        job_rule[n++] = r;
    }
    pg_certifier *certifier;
    assert_int_equal(pg_certifier_new(jobs, n, h, w, c, false, json_is_true(json_object_get(geometry, "wrap")), &certifier),
                     PG_OK);
    size_t values = (size_t)h * (size_t)w * (size_t)c;
    double *doubles = malloc(values * sizeof *doubles);
    for (size_t i = 0; i < (size_t)labels->count; i++) {
        pg_verdict verdicts[RULES_MAX];
        const float *logits = (const float *)features->data + i * values;
        int label = (int)((const int64_t *)labels->data)[i];
        for (size_t j = 0; j < values; j++)
            doubles[j] = (double)logits[j];
        if (wide)
            pg_certifier_image_f64(certifier, doubles, label, verdicts);
        else
            pg_certifier_image_f32(certifier, logits, label, verdicts);
        for (size_t j = 0; j < n; j++)
            out[job_rule[j]][i] = verdicts[j];
    }
    free(doubles);
    pg_certifier_free(certifier);
}

/* One line of expected answers. Returns 1 if the verdict differs. */
static int differs(const vectors *v, char *line, answers got, const char *set)
{
    char *fields[7] = {NULL};
    for (int i = 0; i < 7 && line; i++)
        fields[i] = strsep(&line, ",");
    assert_non_null(fields[6]);
    size_t r = 0;
    while (r < v->n_rules && strcmp(v->ids[r], fields[0]) != 0)
        r++;
    assert_true(r < v->n_rules);
    const pg_verdict *g = &got[r][atoi(fields[1])];
    bool same = g->prediction == atoi(fields[3]) && g->certified == atoi(fields[4]) && g->has_margin == (fields[5][0] != 0) &&
                (!g->has_margin || g->margin == atoll(fields[5])) && g->failure_case == (fields[6][0] ? atoi(fields[6]) : -1);
    if (!same)
        print_error("%s %s image %s: expected %s %s '%s' '%s', got %d %d %lld %d\n", set, fields[0], fields[1], fields[3],
                    fields[4], fields[5], fields[6], g->prediction, g->certified, (long long)g->margin, g->failure_case);
    return !same;
}

static void check_set(const vectors *v, const char *set, const json_t *geometry, bool wide, int *rows, int *wrong)
{
    char path[3][256], *text;
    size_t size;
    static answers got;
    pg_npy features, labels;
    snprintf(path[0], sizeof *path, FOLDER "%s.npy", set);
    snprintf(path[1], sizeof *path, FOLDER "%s.labels.npy", set);
    snprintf(path[2], sizeof *path, FOLDER "%s.expected.csv", set);
    assert_int_equal(load_npy(path[0], &features), PG_OK);
    assert_int_equal(load_npy(path[1], &labels), PG_OK);
    assert_true(labels.count <= IMAGES_MAX);
    memset(got, 0x77, sizeof got);
    certify(v, geometry, &features, &labels, wide, got);
    assert_int_equal(pg_file_read(path[2], 1 << 24, &text, &size), PG_OK);
    char *rest = text;
    strsep(&rest, "\n");
    for (char *line; (line = strsep(&rest, "\n")) && *line; (*rows)++)
        *wrong += differs(v, line, got, set);
    free(text);
    pg_npy_release(&features);
    pg_npy_release(&labels);
}

static void check_all(const vectors *v, bool wide)
{
    int rows = 0, wrong = 0;
    const char *set;
    json_t *geometry;
    json_object_foreach(json_object_get(v->spec, "sets"), set, geometry) check_set(v, set, geometry, wide, &rows, &wrong);
    print_message("%d rows, %d wrong\n", rows, wrong);
    assert_int_equal(wrong, 0);
    assert_int_equal(rows, 5142);
}

static void floats_reproduce_the_vectors(void **state) { check_all(*state, false); }
static void doubles_reproduce_the_vectors(void **state) { check_all(*state, true); }

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(floats_reproduce_the_vectors),
        cmocka_unit_test(doubles_reproduce_the_vectors),
    };
    return cmocka_run_group_tests(tests, load, unload);
}
