/* The contract of modules: walks every registered defense, attack, model and kind of data set and checks what defense.h,
 * attack.h, model.h, kind.h and module.h demand of all.
 *
 * A new module needs no line here: it is found in the gathered lists. Runs the program ($PATCHGAUGE, default build/patchgauge)
 * to see that `list` and `help` show every module. */
#include "attacks/attack.h"
#include "defenses/defense.h"
#include "defenses/evidence.h"
#include "harness/base/rng.h"
#include "harness/data/catalog.h"
#include "models/network.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

enum { SIDE = 6, CLASSES = 4, POSITIONS = SIDE * SIDE, OUTPUT_MAX = 1 << 18 };

/* Says which module a failure is about. */
#define CHECK(condition, module, ...)            \
    do {                                         \
        if (!(condition)) {                      \
            print_error("%s: ", (module)->name); \
            print_error(__VA_ARGS__);            \
            print_error("\n");                   \
            fail();                              \
        }                                        \
    } while (0)

typedef void (*visit_module)(const pg_module *module, const char *kind);

static void each_module(visit_module visit)
{
    for (size_t i = 0; pg_defenses[i] != NULL; i++)
        visit(&pg_defenses[i]->module, "defense");
    for (size_t i = 0; pg_attacks[i] != NULL; i++)
        visit(&pg_attacks[i]->module, "attack");
    for (size_t i = 0; pg_models[i] != NULL; i++)
        visit(&pg_models[i]->module, "model");
    for (size_t i = 0; pg_dataset_kinds[i] != NULL; i++)
        visit(&pg_dataset_kinds[i]->module, "dataset");
}

/* ---- What a module states ------------------------------------------------------------------------------------------------ */

static void check_statement(const pg_module *m, const char *kind)
{
    CHECK(pg_module_check(m, kind) == PG_OK, m, "%s", pg_error_message());
}

static void every_module_states_what_it_is(void **state)
{
    (void)state;
    each_module(check_statement);
    assert_true(pg_defenses[0] != NULL && pg_attacks[0] != NULL && pg_models[0] != NULL && pg_dataset_kinds[0] != NULL);
}

static void lists_are_sorted_and_names_unique(void **state)
{
    (void)state;
    for (size_t i = 1; pg_defenses[i] != NULL; i++)
        assert_true(strcmp(pg_defenses[i - 1]->module.name, pg_defenses[i]->module.name) < 0);
    for (size_t i = 1; pg_attacks[i] != NULL; i++)
        assert_true(strcmp(pg_attacks[i - 1]->module.name, pg_attacks[i]->module.name) < 0);
    for (size_t i = 1; pg_models[i] != NULL; i++)
        assert_true(strcmp(pg_models[i - 1]->module.name, pg_models[i]->module.name) < 0);
    for (size_t i = 1; pg_dataset_kinds[i] != NULL; i++)
        assert_true(strcmp(pg_dataset_kinds[i - 1]->module.name, pg_dataset_kinds[i]->module.name) < 0);
    for (size_t i = 0; pg_defenses[i] != NULL; i++)
        assert_ptr_equal(pg_defense_find(pg_defenses[i]->module.name), pg_defenses[i]);
    for (size_t i = 0; pg_attacks[i] != NULL; i++)
        assert_ptr_equal(pg_attack_find(pg_attacks[i]->module.name), pg_attacks[i]);
    for (size_t i = 0; pg_models[i] != NULL; i++)
        assert_ptr_equal(pg_model_find(pg_models[i]->module.name), pg_models[i]);
}

/* ---- Option tables ---- */

/* Defaults and every choice are accepted, print as they were set, and what is out of range is refused by name. */
static void check_values(const pg_module *m, const char *kind)
{
    _Alignas(16) uint8_t config[PG_CONFIG_MAX], again[PG_CONFIG_MAX];
    for (const pg_option *row = m->options; row->name != NULL; row++) {
        pg_options_defaults(m->options, config);
        memcpy(again, config, sizeof again);
        CHECK(pg_options_set(m->options, config, kind, row->name, row->fallback) == PG_OK, m, "%s", pg_error_message());
        pg_buf text;
        pg_buf_init(&text);
        pg_option_format(row, config, &text);
        CHECK(pg_options_set(m->options, again, kind, row->name, text.data) == PG_OK, m, "option %s cannot read '%s'",
              row->name, text.data);
        pg_buf second;
        pg_buf_init(&second);
        pg_option_format(row, again, &second);
        CHECK(strcmp(text.data, second.data) == 0, m, "option %s: '%s' reads back as '%s'", row->name, text.data, second.data);
        pg_buf_release(&text);
        pg_buf_release(&second);
        for (size_t i = 0; row->choices != NULL && row->choices[i] != NULL; i++)
            CHECK(pg_options_set(m->options, config, kind, row->name, row->choices[i]) == PG_OK, m, "%s", pg_error_message());
        if (row->type != PG_OPTION_TEXT) {
            CHECK(pg_options_set(m->options, config, kind, row->name, "no such value") == PG_EINPUT, m,
                  "option %s takes nonsense", row->name);
            CHECK(strstr(pg_error_message(), row->name) != NULL, m, "the message does not name the option: %s",
                  pg_error_message());
        }
        bool limited = row->min != 0 || row->max != 0;
        if (limited && (row->type == PG_OPTION_INT || row->type == PG_OPTION_DECIMAL || row->type == PG_OPTION_PPM)) {
            char beyond[2][64];
            snprintf(beyond[0], sizeof beyond[0], "%.0f", floor(row->min) - 1);
            snprintf(beyond[1], sizeof beyond[1], "%.0f", ceil(row->max) + 1);
            for (int i = 0; i < 2; i++)
                CHECK(pg_options_set(m->options, config, kind, row->name, beyond[i]) == PG_EINPUT, m, "option %s takes %s",
                      row->name, beyond[i]);
        }
    }
}

static void check_defaults_normalize(const pg_module *m, const char *kind)
{
    _Alignas(16) uint8_t config[PG_CONFIG_MAX];
    CHECK(pg_module_configure(m, kind, NULL, 0, config) == PG_OK, m, "%s", pg_error_message());
    const char *pair = "no-such-option=1";
    CHECK(pg_module_configure(m, kind, &pair, 1, config) == PG_EINPUT, m, "takes an unknown option");
}

static void option_values_are_checked(void **state)
{
    (void)state;
    each_module(check_values);
}

static void defaults_make_a_configuration(void **state)
{
    (void)state;
    each_module(check_defaults_normalize);
}

/* ---- Hooks ---- */

static void every_required_hook_is_there(void **state)
{
    (void)state;
    for (size_t i = 0; pg_defenses[i] != NULL; i++)
        CHECK(pg_defense_check(pg_defenses[i]) == PG_OK, &pg_defenses[i]->module, "%s", pg_error_message());
    for (size_t i = 0; pg_attacks[i] != NULL; i++)
        CHECK(pg_attack_check(pg_attacks[i]) == PG_OK, &pg_attacks[i]->module, "%s", pg_error_message());
    for (size_t i = 0; pg_models[i] != NULL; i++)
        CHECK(pg_model_check(pg_models[i]) == PG_OK, &pg_models[i]->module, "%s", pg_error_message());
}

/* Worst contents, where a defense names any: in range, at least one variant, and no more behind the last. */
static void check_worst(const pg_defense *d, const pg_evidence *evidence, pg_window window, const void *config, void *scratch)
{
    CHECK((d->surrogate != NULL) == (d->surrogate_version >= 1), &d->module, "a surrogate has a version");
    CHECK(d->surrogates == NULL || (d->surrogate != NULL && d->surrogates(config) >= 1), &d->module, "kinds of no surrogate");
    if (d->worst == NULL)
        return;
    int64_t lo, hi;
    (void)pg_evidence_range(evidence->spec, &lo, &hi);
    int32_t contents[SIDE * SIDE * CLASSES];
    pg_worst which = {.label = 0, .rival = 1, .top = SIDE - window.height, .left = 0};
    for (; d->worst(evidence, window, config, &which, scratch, contents); which.variant++) {
        for (int i = 0; i < window.height * window.width * CLASSES; i++)
            CHECK(contents[i] >= lo && contents[i] <= hi, &d->module, "worst contents of %d", (int)contents[i]);
        CHECK(which.variant < 1000, &d->module, "variants without an end");
    }
    CHECK(which.variant >= 1, &d->module, "no worst contents");
    which.variant++;
    CHECK(!d->worst(evidence, window, config, &which, scratch, contents), &d->module, "a gap between variants");
}

/* Every defense answers on a small tensor: verdicts in range, nothing certified that is wrong, one configuration among several
 * as alone, predict and certify agree. */
static void check_defense(const pg_defense *d, const pg_evidence *evidence, pg_window window, const void *config)
{
    void *scratch = aligned_alloc(64, (d->scratch_size(SIDE, SIDE, CLASSES, 2) + 64) & ~(size_t)63);
    assert_non_null(scratch);
    int prediction = d->predict(evidence, window, config, scratch);
    CHECK(prediction >= 0 && prediction < CLASSES, &d->module, "predicts %d", prediction);
    for (int label = 0; label < CLASSES; label++) {
        const void *both[2] = {config, config};
        pg_verdict one, two[2];
        d->certify(evidence, window, 0, label, both, 1, scratch, &one);
        d->certify(evidence, window, 0, label, both, 2, scratch, two);
        CHECK(one.prediction == prediction, &d->module, "certify predicts %d, predict says %d", one.prediction, prediction);
        CHECK(!one.certified || one.prediction == label, &d->module, "certifies a wrong prediction");
        CHECK(!one.certified || d->certificate(config) != PG_CERTIFICATE_NONE, &d->module, "certifies without a certificate");
        CHECK(!one.masked || d->masks, &d->module, "masks without saying so");
        CHECK(one.has_margin || one.margin == 0, &d->module, "a margin that is not there");
        CHECK(one.failure_case >= -1 && one.failure_case <= 4, &d->module, "failure case %d", one.failure_case);
        for (int i = 0; i < 2; i++)
            CHECK(two[i].prediction == one.prediction && two[i].certified == one.certified && two[i].margin == one.margin &&
                      two[i].masked == one.masked && two[i].failure_case == one.failure_case,
                  &d->module, "the answer depends on the other configurations");
    }
    check_worst(d, evidence, window, config, scratch);
    free(scratch);
}

static void every_defense_answers(void **state)
{
    (void)state;
    for (size_t i = 0; pg_defenses[i] != NULL; i++) {
        const pg_defense *d = pg_defenses[i];
        _Alignas(16) uint8_t config[PG_CONFIG_MAX];
        assert_int_equal(pg_module_configure(&d->module, "defense", NULL, 0, config), PG_OK);
        pg_evidence_spec spec;
        d->evidence(config, &spec);
        CHECK(spec.clip_lo <= spec.clip_hi, &d->module, "clips to %g:%g", spec.clip_lo, spec.clip_hi);
        for (uint32_t trial = 0; trial < 32; trial++) {
            int32_t q[POSITIONS * CLASSES];
            pg_rng rng = pg_rng_make(7, PG_STREAM_TEST, trial);
            for (int c = 0; c < POSITIONS * CLASSES; c++)
                q[c] = (int32_t)(pg_rng_unit(&rng) * PG_GRID);
            pg_evidence evidence = {.q = q, .height = SIDE, .width = SIDE, .classes = CLASSES, .spec = &spec};
            evidence.wrap_rows = trial & 1;
            evidence.wrap_columns = trial >> 1 & 1;
            check_defense(d, &evidence, (pg_window){2, 1}, config);
            check_defense(d, &evidence, (pg_window){SIDE, SIDE}, config);
        }
    }
}

/* The length of the shortest run, round the end where the axis wraps, that holds all marked places. */
static int run_of(const bool *marked, int places, bool wrap)
{
    int least = places;
    for (int start = 0; start < places; start++)
        for (int length = 0; length < least && (wrap || start + length <= places); length++) {
            int outside = 0;
            for (int i = 0; i < places; i++)
                outside += marked[i] && (i - start + places) % places >= length;
            least = outside ? least : length;
        }
    return least;
}

/* A patch anywhere, black on white: the positions whose masked images it changes lie in one window of the map. */
static void check_place(const pg_defense *d, const void *config, const pg_image_patch_size *f, const pg_map *map, int top,
                        int left)
{
    enum { MOST = 64 * 64 };
    static uint8_t clean[MOST], patched[MOST], out[2][MOST];
    static bool touched[MOST], rows[MOST], columns[MOST];
    size_t size = (size_t)3 * (size_t)f->height * (size_t)f->width;
    assert_true(size <= MOST && map->height * map->width <= MOST);
    memset(clean, 255, size);
    memset(patched, 255, size);
    memset(rows, 0, sizeof rows);
    memset(columns, 0, sizeof columns);
    for (int c = 0; c < 3; c++)
        for (int y = top; y < top + f->patch_height; y++)
            memset(patched + (c * f->height + y) * f->width + left, 0, (size_t)f->patch_width);
    for (int i = 0; i < map->height * map->width; i++) {
        int y = i / map->width, x = i % map->width, like = d->mask_image(config, f, y, x, clean, out[0]);
        CHECK(like >= 0 && like <= i, &d->module, "position %d is like %d", i, like);
        CHECK(d->mask_image(config, f, y, x, patched, out[1]) == like, &d->module,
              "which masked images are alike depends on the image");
        touched[i] = like == i ? memcmp(out[0], out[1], size) != 0 : touched[like];
        rows[y] |= touched[i];
        columns[x] |= touched[i];
    }
    int height = run_of(rows, map->height, map->wrap_rows), width = run_of(columns, map->width, map->wrap_columns);
    CHECK(height <= map->window.height && width <= map->window.width, &d->module,
          "a patch of %dx%d at (%d, %d) reaches %dx%d positions, the window has %dx%d", f->patch_height, f->patch_width, top,
          left, height, width, map->window.height, map->window.width);
}

static bool is_inside(const pg_mask_part *p, int y, int x)
{
    return y >= p->top && y < p->top + p->height && x >= p->left && x < p->left + p->width;
}

/* A masked image differs from its image in its parts alone, and in each as the masked image of that part alone. */
static void check_parts(const pg_defense *d, const void *config, const pg_image_patch_size *f, int map_width, int position)
{
    enum { MOST = 64 * 64 };
    static uint8_t image[MOST], out[MOST], alone[2][MOST];
    size_t size = (size_t)3 * (size_t)f->height * (size_t)f->width;
    pg_mask_part parts[2], own[2];
    int n = d->mask_parts(config, f, position / map_width, position % map_width, parts);
    CHECK(n >= 0 && n <= 2, &d->module, "%d parts", n);
    assert_true(size <= MOST);
    for (size_t i = 0; i < size; i++)
        image[i] = (uint8_t)(i * 7 % 101); /* nothing that fills a mask */
    if (n == 0 || d->mask_image(config, f, position / map_width, position % map_width, image, out) != position)
        return;
    for (int k = 0; k < n; k++) {
        int at = parts[k].position;
        CHECK(d->mask_parts(config, f, at / map_width, at % map_width, own) == 1, &d->module, "part %d is not alone", k);
        CHECK(d->mask_image(config, f, at / map_width, at % map_width, image, alone[k]) == at, &d->module,
              "part %d is another masked image", k);
        CHECK(own[0].position == at && own[0].top == parts[k].top && own[0].left == parts[k].left &&
                  own[0].height == parts[k].height && own[0].width == parts[k].width && own[0].left_out == parts[k].left_out,
              &d->module, "part %d is not where it is alone", k);
    }
    for (int i = 0; i < (int)size; i++) {
        int y = i / f->width % f->height, x = i % f->width;
        bool first = is_inside(&parts[0], y, x), second = n == 2 && is_inside(&parts[1], y, x);
        int expected = first ? alone[0][i] : second ? alone[1][i] : image[i];
        CHECK(out[i] == expected, &d->module, "position %d: pixel (%d, %d) is %d, its parts say %d", position, y, x, out[i],
              expected);
        CHECK(first || n == 0 || alone[0][i] == image[i], &d->module, "a part alone changes pixel (%d, %d)", y, x);
    }
}

static void masked_images_keep_to_their_windows(void **state)
{
    (void)state;
    for (size_t i = 0; pg_defenses[i] != NULL; i++) {
        const pg_defense *d = pg_defenses[i];
        if (d->level != PG_LEVEL_IMAGE)
            continue;
        _Alignas(16) uint8_t config[PG_CONFIG_MAX];
        assert_int_equal(pg_module_configure(&d->module, "defense", NULL, 0, config), PG_OK);
        for (pg_image_patch_size f = {11, 13, 1, 1}; f.patch_height <= 6; f.patch_height += 2)
            for (f.patch_width = 1; f.patch_width <= 7; f.patch_width += 3) {
                pg_map map = {0};
                CHECK(d->masked_map(config, &f, &map) == PG_OK, &d->module, "%s", pg_error_message());
                CHECK(d->check == NULL || d->check(config, map.height, map.width, CLASSES) == PG_OK, &d->module,
                      "refuses its own map");
                for (int i = 0; d->mask_parts != NULL && i < map.height * map.width; i++)
                    check_parts(d, config, &f, map.width, i);
                for (int top = 0; top <= f.height - f.patch_height; top++)
                    for (int left = 0; left <= f.width - f.patch_width; left++)
                        check_place(d, config, &f, &map, top, left);
            }
    }
}

static bool names_both_sizes(const char *text) { return strstr(text, "33 x 5") != NULL && strstr(text, "32 x 32") != NULL; }

/* Every attack that searches has the common options first; all take a patch of the image's size, and refuses a larger one. */
static void every_attack_knows_its_bounds(void **state)
{
    (void)state;
    for (size_t i = 0; pg_attacks[i] != NULL; i++) {
        const pg_attack *a = pg_attacks[i];
        _Alignas(16) uint8_t config[PG_CONFIG_MAX];
        const pg_option *batch = pg_option_find(a->module.options, "batch"),
                        *gradient = pg_option_find(a->module.options, "gradient");
        CHECK(a->patches || (batch && batch->offset == offsetof(pg_attack_common, batch) && gradient &&
                             gradient->offset == offsetof(pg_attack_common, gradient)),
              &a->module, "the common options are not the first of the configuration");
        assert_int_equal(pg_module_configure(&a->module, "attack", NULL, 0, config), PG_OK);
        CHECK(a->check(config, 32, 32, 5, 8, 10) == PG_OK, &a->module, "%s", pg_error_message());
        CHECK(a->check(config, 32, 32, 32, 32, 10) == PG_OK, &a->module, "%s", pg_error_message());
        CHECK(a->check(config, 32, 32, 33, 5, 10) == PG_EINPUT && names_both_sizes(pg_error_message()), &a->module,
              "a patch larger than the image: %s", pg_error_message());
        CHECK(a->check(config, 32, 32, 5, 33, 10) == PG_EINPUT, &a->module, "takes a patch wider than the image");
    }
}

/* The configuration that `data import` and `data fetch` start from. */
static void dataset_defaults(const pg_dataset_kind *kind, void *config)
{
    pg_options_defaults(kind->module.options, config);
    if (kind->fetch_options != NULL)
        pg_options_defaults(kind->fetch_options, config);
}

/* In a --data folder that is not there: what has files is missing, and says which command brings it; what cannot be imported or
 * fetched leaves nothing behind; what is built in opens and reads. */
static void check_dataset_kind(const pg_dataset_kind *kind)
{
    static const char nowhere[] = "/tmp/pg-test-contract-nowhere";
    const pg_module *m = &kind->module;
    _Alignas(16) uint8_t config[PG_CONFIG_MAX];
    CHECK(pg_dataset_kind_check(kind) == PG_OK, m, "%s", pg_error_message());
    char spec[64];
    pg_dataset *dataset = NULL;
    snprintf(spec, sizeof spec, "%s:%s", m->name, kind->splits[0]);
    int code = pg_dataset_open(nowhere, spec, &dataset);
    if (kind->import == NULL && kind->fetch == NULL) {
        CHECK(code == PG_OK, m, "%s", pg_error_message());
        const pg_dataset_info *info = pg_dataset_info_of(dataset);
        uint8_t *pixels = malloc((size_t)3 * (size_t)info->height * (size_t)info->width);
        int32_t label = -1;
        assert_int_equal(pg_dataset_read(dataset, 0, 1, pixels, &label), PG_OK);
        CHECK(label >= 0 && label < info->classes && info->class_names[label] != NULL, m, "label %d", label);
        free(pixels);
        pg_dataset_close(dataset);
        return;
    }
    CHECK(code == (kind->user_named ? PG_EINPUT : PG_EMISSING), m, "opens what is not there: %s", pg_error_message());
    CHECK(kind->user_named || strstr(pg_error_message(), m->name) != NULL, m, "the message does not name it: %s",
          pg_error_message());
    dataset_defaults(kind, config);
    CHECK(kind->import == NULL || kind->import(nowhere, m->name, "/no/such/source", config) != PG_OK, m, "imports nothing");
    pg_fetch given = {.url = "ftp://nowhere.example/x", .hash = "0", .label = "x"};
    CHECK(kind->fetch == NULL || kind->fetch(nowhere, m->name, &given, config) == PG_EINPUT, m, "fetches from anywhere");
    CHECK(kind->verify == NULL || kind->verify(nowhere, m->name, NULL, NULL) == PG_EMISSING, m, "verifies what is not there");
    CHECK(access(nowhere, F_OK) != 0, m, "leaves a --data folder behind");
}

static void every_kind_of_data_set_says_what_is_missing(void **state)
{
    (void)state;
    int user_named = 0;
    for (size_t i = 0; pg_dataset_kinds[i] != NULL; i++) {
        check_dataset_kind(pg_dataset_kinds[i]);
        user_named += pg_dataset_kinds[i]->user_named;
    }
    assert_int_equal(user_named, 1); /* a name that no kind has is of this one */
}

static void check_axis(const pg_module *m, const pg_axis *axis)
{
    CHECK(axis->positions >= 1 && axis->stride >= 0 && axis->field >= 0, m, "positions %d, stride %d, field %d",
          axis->positions, axis->stride, axis->field);
    int previous = 0;
    for (int patch = 1; patch <= 32; patch++) {
        int touched = pg_axis_window(axis, 32, patch);
        CHECK(touched >= 1 && touched <= axis->positions && touched >= previous, m, "a patch of %d px touches %d positions",
              patch, touched);
        previous = touched;
    }
}

static void every_model_has_a_geometry(void **state)
{
    (void)state;
    for (size_t i = 0; pg_models[i] != NULL; i++) {
        const pg_model *m = pg_models[i];
        _Alignas(16) uint8_t config[PG_CONFIG_MAX];
        pg_geometry geometry = {0};
        assert_int_equal(pg_module_configure(&m->module, "model", NULL, 0, config), PG_OK);
        CHECK(m->geometry(config, 224, 224, 10, &geometry) == PG_OK || m->geometry(config, 32, 32, 10, &geometry) == PG_OK,
              &m->module, "fits neither 32 nor 224 px: %s", pg_error_message());
        CHECK(geometry.classes == 10, &m->module, "%d classes of 10", geometry.classes);
        if (m->geometry(config, 32, 32, 10, &geometry) == PG_OK) {
            check_axis(&m->module, &geometry.rows);
            check_axis(&m->module, &geometry.columns);
        }
        CHECK(m->geometry(config, 1, 1, 10, &geometry) != PG_OK || geometry.rows.positions >= 1, &m->module,
              "an empty map at 1 px");
    }
}

/* ---- What users see ---- */

/* Standard output of the program; fails the test where it does not end well. *new*. */
static char *run_program(const char *arguments)
{
    const char *program = getenv("PATCHGAUGE");
    char command[512];
    snprintf(command, sizeof command, "%s %s", program != NULL ? program : "build/patchgauge", arguments);
    FILE *pipe = popen(command, "r");
    assert_non_null(pipe);
    char *text = calloc(1, OUTPUT_MAX);
    size_t size = fread(text, 1, OUTPUT_MAX - 1, pipe);
    int status = pclose(pipe);
    if (status != 0 || size == 0)
        print_error("%s: status %d, %zu bytes\n", command, status, size);
    assert_int_equal(status, 0);
    return text;
}

/* A line of `text` that names the module in its first column and carries its summary. */
static bool is_listed(const char *text, const pg_module *m)
{
    size_t size = strlen(m->name);
    for (const char *line = text; line != NULL; line = strchr(line, '\n')) {
        line += strspn(line, " \n");
        if (strncmp(line, m->name, size) == 0 && line[size] == ' ') {
            const char *summary = strstr(line, m->summary), *end = strchr(line, '\n');
            return summary != NULL && (end == NULL || summary < end);
        }
        if (*line == '\0')
            break;
    }
    return false;
}

static const char *listing;

static void check_listed(const pg_module *m, const char *kind) { CHECK(is_listed(listing, m), m, "%s is not listed", kind); }

static void list_shows_every_module(void **state)
{
    (void)state;
    char *text = run_program("list");
    listing = text;
    each_module(check_listed);
    free(text);
}

static void check_help(const pg_module *m, const char *kind)
{
    char arguments[128];
    snprintf(arguments, sizeof arguments, "help %s %s", kind, m->name);
    char *text = run_program(arguments);
    CHECK(strstr(text, m->summary) != NULL && strstr(text, m->source) != NULL, m, "help without summary or source");
    for (const pg_option *row = m->options; row->name != NULL; row++) {
        CHECK(strstr(text, row->name) != NULL && strstr(text, row->help) != NULL, m, "help without option %s", row->name);
        CHECK(strstr(text, row->fallback) != NULL, m, "help without the default of %s", row->name);
    }
    free(text);
}

static void help_shows_every_option(void **state)
{
    (void)state;
    each_module(check_help);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_module_states_what_it_is),
        cmocka_unit_test(lists_are_sorted_and_names_unique),
        cmocka_unit_test(option_values_are_checked),
        cmocka_unit_test(every_required_hook_is_there),
        cmocka_unit_test(defaults_make_a_configuration),
        cmocka_unit_test(every_defense_answers),
        cmocka_unit_test(masked_images_keep_to_their_windows),
        cmocka_unit_test(every_attack_knows_its_bounds),
        cmocka_unit_test(every_model_has_a_geometry),
        cmocka_unit_test(list_shows_every_module),
        cmocka_unit_test(help_shows_every_option),
        cmocka_unit_test(every_kind_of_data_set_says_what_is_missing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
