/* Training starts from the weights of another architecture, and from norms that were folded. */
/* Loads libtorch. */
#include "models/start.h"

#include "tests/support/random_net.h"
#include "tests/support/scratch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

enum { SIDE = 32, CLASSES = 10, BAND = 12 };
static const char *const pairs[] = {"width=0.1", "padding=same", "mean=0.4", "std=0.3"};
static const pg_torch *t;
static pg_dataset *images;

/* A MobileNetV2 in a file, whose norms are folded or not; classes, to be released. */
static random_net plain(const char *path, bool folded)
{
    random_net x = random_net_new(t, "mobilenet-v2", SIDE, SIDE, CLASSES, 4, pairs);
    for (size_t i = 0; folded && i < x.parameters.n; i++) {
        pg_parameter *p = &x.parameters.items[i];
        double value = p->kind == PG_PARAMETER_SCALE || p->kind == PG_PARAMETER_VAR ? 1 : 0;
        if (value == 1 || p->kind == PG_PARAMETER_MEAN)
            t->copy(x.scope, p->tensor, t->like(x.scope, p->tensor, value));
    }
    random_net_check(pg_scope_check(x.scope));
    random_net_save(&x, path, false);
    return x;
}

/* Its file as the start of another network; released by random_net_release. */
static random_net start(const char *path, const char *model, size_t n, const char *const *options)
{
    random_net x = {.model = pg_model_find(model), .scope = t->scope_new()};
    pg_weights_info from;
    random_net_check(pg_weights_describe(path, NULL, 0, &from));
    random_net_check(pg_start_configure(path, x.model, options, n, x.config));
    const pg_start_target target = {x.model, x.config, SIDE, SIDE};
    random_net_check(x.model->geometry(x.config, SIDE, SIDE, CLASSES, &x.geometry));
    random_net_check(pg_start_check(path, &from, &target));
    random_net_check(pg_start_load(path, &from, &target, x.scope, images, &x.parameters));
    return x;
}

/* *new* local logits [images][classes][positions] of pixels u8 [n][3][height][width]. */
static float *logits_of(random_net *x, pg_pass pass, const uint8_t *pixels, int n, int height, int width)
{
    pg_scope *s = x->scope;
    pg_tensor *in = t->from_data(s, pixels, PG_T_U8, 4, (const int64_t[]){n, 3, height, width});
    pg_tensor *u = pg_model_forward(x->model, x->config, pass, s, &x->parameters, CLASSES, in);
    u = t->mean(s, t->reshape(s, u, 3, (const int64_t[]){n, CLASSES, t->size(u, 2) * t->size(u, 3)}), 1, (const int64_t[]){2},
                false);
    float *out = calloc((size_t)(n * CLASSES), sizeof *out);
    t->read(s, u, out, PG_T_F32, n * CLASSES);
    random_net_check(pg_scope_check(s));
    t->scope_clear(s);
    return out;
}

static double difference(const float *x, const float *y, int n)
{
    double most = 0, largest = 0;
    for (int i = 0; i < n; i++) {
        most = fmax(most, fabs((double)x[i] - y[i]));
        largest = fmax(largest, fabs((double)x[i]));
    }
    assert_true(largest > 0.01);
    return most / largest;
}

/* The first band of columns of an image: what the network of bands makes of it is what the plain one makes of it alone. */
static void bands_start_as_the_plain_network_on_a_band(void **state)
{
    (void)state;
    static uint8_t whole[3 * SIDE * SIDE], band[3 * SIDE * BAND];
    const char *path = scratch_path("plain");
    random_net from = plain(path, false),
               of_bands = start(path, "ds-mobilenet-v2", 2, (const char *const[]){"band=12", "stride=32"});
    assert_int_equal(pg_dataset_read(images, 0, 1, whole, NULL), PG_OK);
    for (int i = 0; i < 3 * SIDE * BAND; i++)
        band[i] = whole[i / BAND * SIDE + i % BAND];
    float *want = logits_of(&from, PG_PASS_EVAL, band, 1, SIDE, BAND),
          *got = logits_of(&of_bands, PG_PASS_EVAL, whole, 1, SIDE, SIDE);
    assert_true(difference(want, got, CLASSES) < 1e-5);
    assert_int_equal(of_bands.parameters.items[0].shape[1], 5);
    free(want);
    free(got);
    random_net_release(&from, t);
    random_net_release(&of_bands, t);
}

static void later_kernels_of_a_cut_network_start_as_centres(void **state)
{
    (void)state;
    const char *path = scratch_path("plain");
    random_net from = plain(path, false), cut = start(path, "local-mobilenet-v2", 1, (const char *const[]){"cut=3"});
    int reduced = 0;
    for (size_t i = 0; i < cut.parameters.n; i++) {
        const pg_parameter *p = &cut.parameters.items[i], *of = &from.parameters.items[i];
        int64_t n = pg_parameter_elements(p), all = pg_parameter_elements(of);
        float *have = malloc((size_t)n * sizeof *have), *want = malloc((size_t)all * sizeof *want);
        t->read(cut.scope, p->tensor, have, PG_T_F32, n);
        t->read(from.scope, of->tensor, want, PG_T_F32, all);
        assert_string_equal(p->name, of->name);
        assert_true(n == all || 9 * n == all);
        reduced += n != all;
        for (int64_t k = 0; k < n; k++)
            assert_true(have[k] == (n == all ? want[k] : want[9 * k + 4]));
        free(have);
        free(want);
    }
    assert_int_equal(reduced, 14); /* blocks 4 to 17 */
    random_net_release(&from, t);
    random_net_release(&cut, t);
}

/* Fields, strides and positions of 224 px, as the layers before each cut have them. */
static void cuts_see_small_squares(void **state)
{
    (void)state;
    static const struct {
        const char *cut;
        int field, stride, positions;
    } cases[] = {{"cut=3", 19, 4, 52}, {"cut=4", 27, 8, 25}, {"cut=5", 43, 8, 23}};
    const pg_model *model = pg_model_find("local-mobilenet-v2");
    for (size_t i = 0; i < 3; i++) {
        _Alignas(16) uint8_t config[PG_CONFIG_MAX];
        pg_geometry g;
        assert_int_equal(pg_module_configure(&model->module, "model", &cases[i].cut, 1, config), PG_OK);
        assert_int_equal(model->geometry(config, 224, 224, CLASSES, &g), PG_OK);
        assert_int_equal(g.rows.field, cases[i].field);
        assert_int_equal(g.columns.stride, cases[i].stride);
        assert_int_equal(g.rows.positions, cases[i].positions);
        assert_int_equal(g.columns.padding, 0);
    }
}

/* The network computes what it did, and as much with statistics of a batch as with the running ones. */
static void norms_that_were_folded_get_their_statistics_back(void **state)
{
    (void)state;
    enum { N = 24 };
    static uint8_t pixels[N * 3 * SIDE * SIDE];
    const char *path = scratch_path("folded");
    random_net from = plain(path, true), settled = start(path, "mobilenet-v2", 4, pairs);
    const pg_dataset_info *info = pg_dataset_info_of(images);
    for (int i = 0; i < N; i++) /* those on which they were measured */
        assert_int_equal(pg_dataset_read(images, i * info->images / N, 1, pixels + (size_t)i * 3 * SIDE * SIDE, NULL), PG_OK);
    float *want = logits_of(&from, PG_PASS_EVAL, pixels, N, SIDE, SIDE),
          *running = logits_of(&settled, PG_PASS_EVAL, pixels, N, SIDE, SIDE),
          *of_batch = logits_of(&settled, PG_PASS_TRAIN, pixels, N, SIDE, SIDE),
          *unsettled = logits_of(&from, PG_PASS_TRAIN, pixels, N, SIDE, SIDE);
    print_message("folded: running statistics %.1e, of the batch %.1e, of the batch without them %.1e\n",
                  difference(want, running, N * CLASSES), difference(want, of_batch, N * CLASSES),
                  difference(want, unsettled, N * CLASSES));
    assert_true(difference(want, running, N * CLASSES) < 1e-3);
    assert_true(difference(want, of_batch, N * CLASSES) < 1e-3);
    assert_true(difference(want, unsettled, N * CLASSES) > 0.1);
    free(want);
    free(running);
    free(of_batch);
    free(unsettled);
    random_net_release(&from, t);
    random_net_release(&settled, t);
}

/* Options that are not given are those of the file, where its architecture has them. */
static void options_come_from_the_file(void **state)
{
    (void)state;
    const char *path = scratch_path("plain");
    random_net from = plain(path, false);
    _Alignas(16) uint8_t config[PG_CONFIG_MAX];
    const pg_model *bands = pg_model_find("ds-mobilenet-v2");
    pg_buf line = PG_BUF_EMPTY;
    assert_int_equal(pg_start_configure(path, bands, (const char *const[]){"band=9", "mean=0.2"}, 2, config), PG_OK);
    pg_options_line(bands->module.options, config, "", " ", true, &line);
    assert_non_null(strstr(line.data, "width=0.1"));
    assert_non_null(strstr(line.data, "band=9"));
    assert_non_null(strstr(line.data, "padding=same"));
    assert_non_null(strstr(line.data, "mean=0.2"));
    assert_non_null(strstr(line.data, "std=0.3"));
    pg_buf_release(&line);
    assert_int_equal(pg_start_configure(path, from.model, (const char *const[]){"mean=0.2"}, 1, config), PG_OK);
    line = PG_BUF_EMPTY;
    pg_options_line(from.model->module.options, config, "", " ", true, &line);
    assert_non_null(strstr(line.data, "padding=same"));
    assert_non_null(strstr(line.data, "mean=0.2"));
    pg_buf_release(&line);
    random_net_release(&from, t);
}

static void other_weights_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *model, *option, *message;
    } cases[] = {
        {"mobilenet-v2", "width=0.5", "weights of other shapes, from other options of mobilenet-v2"},
        {"ds-mobilenet-v2", "width=0.5", "tensor features.0.0.weight is another one"},
        {"resnet18", "width=4", "is of mobilenet-v2, whose weights do not become those of resnet18"},
    };
    const char *path = scratch_path("plain");
    random_net from = plain(path, false);
    pg_weights_info info;
    assert_int_equal(pg_weights_describe(path, NULL, 0, &info), PG_OK);
    for (size_t i = 0; i < 3; i++) {
        _Alignas(16) uint8_t config[PG_CONFIG_MAX];
        const pg_model *model = pg_model_find(cases[i].model);
        assert_int_equal(pg_start_configure(path, model, &cases[i].option, 1, config), PG_OK);
        assert_int_equal(pg_start_check(path, &info, &(pg_start_target){model, config, SIDE, SIDE}), PG_EINPUT);
        assert_non_null(strstr(pg_error_message(), cases[i].message));
    }
    random_net_release(&from, t);
}

static int setup(void **state)
{
    if (scratch_make(state) || pg_torch_load(1, &t) != PG_OK)
        return -1;
    t->grad_mode(false);
    return pg_dataset_open("unused", "synthetic:val", &images);
}

static int teardown(void **state)
{
    pg_dataset_close(images);
    return scratch_remove(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bands_start_as_the_plain_network_on_a_band),
        cmocka_unit_test(later_kernels_of_a_cut_network_start_as_centres),
        cmocka_unit_test(cuts_see_small_squares),
        cmocka_unit_test(norms_that_were_folded_get_their_statistics_back),
        cmocka_unit_test(options_come_from_the_file),
        cmocka_unit_test(other_weights_are_refused),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
