/* Geometry from the layers against the table of experiments/PROTOCOL.md, section 3; descriptors and option errors.
 * No libtorch. */
#include "models/layers.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static pg_geometry geometry_of(const char *name, int height, int width, size_t n, const char *const *pairs)
{
    _Alignas(16) uint8_t config[PG_CONFIG_MAX];
    const pg_model *model = pg_model_find(name);
    assert_non_null(model);
    assert_int_equal(pg_module_configure(&model->module, "model", pairs, n, config), PG_OK);
    pg_geometry g;
    assert_int_equal(model->geometry(config, height, width, 10, &g), PG_OK);
    return g;
}

static void bagnet_geometry_is_the_protocols(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        int field, map192, map224, window192[3], window224[3];
    } rows[] = {
        {"bagnet9", 9, 23, 27, {3, 5, 7}, {4, 5, 6}},
        {"bagnet17", 17, 22, 26, {4, 6, 8}, {5, 6, 7}},
        {"bagnet33", 33, 20, 24, {6, 8, 10}, {7, 8, 9}},
    };
    static const int patch192[3] = {12, 30, 48}, patch224[3] = {23, 32, 39};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        pg_geometry a = geometry_of(rows[i].name, 192, 192, 0, NULL), b = geometry_of(rows[i].name, 224, 224, 0, NULL);
        assert_int_equal(a.rows.field, rows[i].field);
        assert_int_equal(a.rows.stride, 8);
        assert_int_equal(a.rows.padding, 0);
        assert_false(a.rows.wrap);
        assert_int_equal(a.rows.positions, rows[i].map192);
        assert_int_equal(b.columns.positions, rows[i].map224);
        for (int k = 0; k < 3; k++) {
            assert_int_equal(pg_axis_window(&a.rows, 192, patch192[k]), rows[i].window192[k]);
            assert_int_equal(pg_axis_window(&b.columns, 224, patch224[k]), rows[i].window224[k]);
        }
    }
}

static void bands_wrap_round_the_image(void **state)
{
    (void)state;
    pg_geometry g = geometry_of("ds-resnet18", 32, 32, 0, NULL);
    assert_int_equal(g.rows.positions, 1);
    assert_int_equal(g.columns.positions, 32);
    assert_int_equal(g.columns.field, 4);
    assert_int_equal(g.columns.stride, 1);
    assert_true(g.columns.wrap);
    assert_int_equal(pg_axis_window(&g.columns, 32, 2), 5);
    assert_int_equal(pg_axis_window(&g.columns, 32, 5), 8);
    assert_int_equal(pg_axis_window(&g.columns, 32, 8), 11);
    assert_int_equal(pg_axis_window(&g.columns, 32, 32), 32);
    assert_int_equal(pg_axis_window(&g.rows, 32, 5), 1);
}

/* Blocks wrap along both axes, and a patch touches (p + s - 1)^2 of them; rows are the columns of the transposed image. */
static void blocks_and_rows_wrap_round_the_image(void **state)
{
    (void)state;
    static const char *const blocks[] = {"shape=block", "band=12"}, *const rows[] = {"shape=row"};
    pg_geometry g = geometry_of("ds-resnet18", 32, 40, 2, blocks);
    assert_int_equal(g.rows.positions, 32);
    assert_int_equal(g.columns.positions, 40);
    for (int p = 1; p <= 19; p++) {
        assert_int_equal(pg_axis_window(&g.rows, 32, p), p + 12 - 1);
        assert_int_equal(pg_axis_window(&g.columns, 40, p), p + 12 - 1);
    }
    assert_true(g.rows.wrap && g.columns.wrap && g.rows.field == 12 && g.columns.field == 12);
    pg_geometry r = geometry_of("ds-resnet18", 32, 40, 1, rows), c = geometry_of("ds-resnet18", 40, 32, 0, NULL);
    assert_memory_equal(&r.rows, &c.columns, sizeof r.rows);
    assert_memory_equal(&r.columns, &c.rows, sizeof r.rows);
    /* as published for ImageNet */
    g = geometry_of("ds-resnet50", 299, 299, 0, NULL);
    assert_int_equal(g.rows.positions, 1);
    assert_int_equal(g.columns.positions, 299);
    assert_int_equal(pg_axis_window(&g.columns, 299, 42), 66);
}

/* 299 columns, bands of 25: 42 px touch 66; at stride 3, which does not divide 32, one more than Eq. 2's
 * ceil((3 + 7 - 1) / 3): the bands at 27, 30, 0 and 3 all meet pixels 1 to 3. */
static void windows_are_counted_where_the_stride_does_not_divide(void **state)
{
    (void)state;
    pg_axis wide = {.positions = 299, .field = 25, .stride = 1, .wrap = true};
    assert_int_equal(pg_axis_window(&wide, 299, 42), 66);
    pg_axis strided = {.positions = 11, .field = 7, .stride = 3, .wrap = true};
    assert_int_equal(pg_axis_window(&strided, 32, 3), 4);
}

/* Local logits before the global mean: a map of positions each of which sees everything, whose window is the map. */
static void positions_of_global_models_see_everything(void **state)
{
    (void)state;
    static const struct {
        int side, positions;
    } sizes[] = {{32, 4}, {30, 4}, {33, 5}, {8, 1}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        pg_geometry g = geometry_of("resnet18", sizes[i].side, sizes[i].side, 0, NULL);
        assert_int_equal(g.rows.positions, sizes[i].positions);
        assert_int_equal(g.columns.positions, sizes[i].positions);
        assert_int_equal(g.rows.field, 0);
        assert_int_equal(g.columns.field, 0);
        assert_int_equal(g.rows.padding, 0);
        assert_int_equal(pg_axis_window(&g.rows, sizes[i].side, 1), sizes[i].positions);
    }
    const char *const stem = "stem=imagenet";
    pg_geometry g = geometry_of("resnet50", 224, 256, 0, NULL), h = geometry_of("resnet18", 224, 256, 1, &stem);
    assert_int_equal(h.rows.positions, 7);
    assert_int_equal(h.columns.positions, 8);
    assert_int_equal(g.rows.positions, 7);
    assert_int_equal(g.columns.positions, 8);
    assert_int_equal(g.rows.field, 0);
}

/* Equal ResNets have equal options: a bottleneck that is not given is as wide as the stem, and basic blocks have none. */
static void options_of_resnets_are_resolved(void **state)
{
    (void)state;
    static const char *const same[][3] = {{"depth=101", "bottleneck=64", "strided=1x1"},
                                          {"depth=101", "strided=1x1", "width=64"}},
                             *const basic[][3] = {{"depth=34", "bottleneck=7", "strided=1x1"},
                                                  {"depth=34", "width=64", "stem=imagenet"}};
    _Alignas(16) uint8_t a[PG_CONFIG_MAX] = {0}, b[PG_CONFIG_MAX] = {0};
    const pg_model *model = pg_model_find("resnet"), *cifar = pg_model_find("resnet-cifar");
    for (int i = 0; i < 2; i++) {
        const char *const(*pairs)[3] = i ? basic : same;
        assert_int_equal(pg_module_configure(&model->module, "model", pairs[0], 3, a), PG_OK);
        assert_int_equal(pg_module_configure(&model->module, "model", pairs[1], 3, b), PG_OK);
        assert_memory_equal(a, b, model->module.config_size);
    }
    const char *const depth = "depth=21";
    assert_int_equal(pg_module_configure(&cifar->module, "model", &depth, 1, a), PG_EINPUT);
    assert_non_null(strstr(pg_error_message(), "6 n + 2"));
    pg_geometry g = geometry_of("resnet-cifar", 32, 30, 0, NULL);
    assert_true(g.rows.positions == 8 && g.columns.positions == 8 && g.rows.field == 0 && g.columns.padding == 0);
}

static void options_make_small_fields(void **state)
{
    (void)state;
    const char *const pairs[] = {"kernel3=1100", "strides=1,2,1,1", "width=16", "blocks=1,1,1,1"};
    pg_geometry g = geometry_of("bagnet17", 32, 32, 4, pairs);
    assert_int_equal(g.rows.field, 7);
    assert_int_equal(g.rows.stride, 2);
    assert_int_equal(g.rows.positions, 13);
}

static void bad_options_and_sizes_are_refused(void **state)
{
    (void)state;
    _Alignas(16) uint8_t config[PG_CONFIG_MAX];
    const pg_model *bagnet = pg_model_find("bagnet17"), *ds = pg_model_find("ds-resnet18");
    static const char *const bad[] = {"kernel3=11",        "kernel3=1120",    "strides=2,2,2",   "strides=2,2,2,5",
                                      "strides=2,2,2,1,1", "blocks=1,1,1,37", "blocks=-1,1,1,1", "width=3"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(pg_module_configure(&bagnet->module, "model", &bad[i], 1, config), PG_EINPUT);
    pg_geometry g;
    assert_int_equal(pg_module_configure(&bagnet->module, "model", NULL, 0, config), PG_OK);
    assert_int_equal(bagnet->geometry(config, 8, 8, 10, &g), PG_EINPUT);
    const char *wide[] = {"band=33"};
    assert_int_equal(pg_module_configure(&ds->module, "model", wide, 1, config), PG_OK);
    assert_int_equal(ds->geometry(config, 32, 32, 10, &g), PG_EINPUT);
    const char *tall[] = {"band=33", "shape=block"};
    assert_int_equal(pg_module_configure(&ds->module, "model", tall, 2, config), PG_OK);
    assert_int_equal(ds->geometry(config, 32, 40, 10, &g), PG_EINPUT);
    assert_non_null(strstr(pg_error_message(), "33 rows"));
    assert_int_equal(ds->geometry(config, 33, 40, 10, &g), PG_OK);
    assert_null(pg_model_find("bagnet18"));
    assert_non_null(strstr(pg_error_message(), "bagnet1"));
}

static void parameters_are_named_like_the_public_layouts(void **state)
{
    (void)state;
    _Alignas(16) uint8_t config[PG_CONFIG_MAX];
    const pg_model *model = pg_model_find("resnet18");
    assert_int_equal(pg_module_configure(&model->module, "model", NULL, 0, config), PG_OK);
    pg_parameters ps;
    pg_geometry g;
    assert_int_equal(pg_model_trace(model, config, 32, 32, 10, &ps, &g), PG_OK);
    int64_t trained = 0;
    for (size_t i = 0; i < ps.n; i++)
        trained += pg_parameter_trained(&ps.items[i]) ? pg_parameter_elements(&ps.items[i]) : 0;
    assert_int_equal(trained, 11173962); /* ResNet-18 with the 3 x 3 stem and ten classes */
    assert_string_equal(ps.items[0].name, "conv1.weight");
    assert_string_equal(ps.items[ps.n - 1].name, "fc.bias");
    pg_parameters_release(&ps, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bagnet_geometry_is_the_protocols),
        cmocka_unit_test(bands_wrap_round_the_image),
        cmocka_unit_test(blocks_and_rows_wrap_round_the_image),
        cmocka_unit_test(windows_are_counted_where_the_stride_does_not_divide),
        cmocka_unit_test(positions_of_global_models_see_everything),
        cmocka_unit_test(options_of_resnets_are_resolved),
        cmocka_unit_test(options_make_small_fields),
        cmocka_unit_test(bad_options_and_sizes_are_refused),
        cmocka_unit_test(parameters_are_named_like_the_public_layouts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
