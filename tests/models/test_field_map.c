/* Tests of the map of gradients: against finite differences of the network that runs, and nothing outside the field. */
/* Loads libtorch. */
#include "harness/data/dataset.h"
#include "models/field_map.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static const char weights[] = "models/zoo/synthetic-bagnet.safetensors", bands[] = "models/zoo/synthetic-ds.safetensors";

static pg_field_map map_of(const char *file, int64_t images)
{
    pg_field_map map;
    pg_field_map_request request = {
        .weights = file, .data_dir = "build/data", .dataset = "synthetic:test", .device = "cpu", .images = images};
    int code = pg_field_map_make(&request, &map);
    if (code != PG_OK)
        print_error("%s\n", pg_error_message());
    assert_int_equal(code, PG_OK);
    return map;
}

static bool inside(const pg_field_map *m, int y, int x)
{
    return y >= m->field.top && y < m->field.top + m->field.height && x >= m->field.left && x < m->field.left + m->field.width;
}

static void nothing_lies_outside_the_field(void **state)
{
    (void)state;
    for (int net = 0; net < 2; net++) {
        pg_field_map m = map_of(net ? bands : weights, 5); /* a whole batch and a part of one */
        int counted = 0;
        assert_int_equal(m.images, 5);
        assert_true(m.field.height * m.field.width < m.height * m.width);
        for (int y = 0; y < m.height; y++)
            for (int x = 0; x < m.width; x++) {
                float value = m.values[y * m.width + x];
                if (!inside(&m, y, x))
                    assert_true(value == 0.0f);
                counted += value > 0.0f;
            }
        assert_true(counted > m.field.height * m.field.width / 2);
        free(m.values);
    }
}

/* The largest logit of the middle position. */
static double largest(const pg_geometry *g, const float *logits)
{
    size_t at = ((size_t)(g->rows.positions / 2) * (size_t)g->columns.positions + (size_t)(g->columns.positions / 2)) *
                (size_t)g->classes;
    double most = -INFINITY;
    for (int c = 0; c < g->classes; c++)
        most = fmax(most, (double)logits[at + (size_t)c]);
    return most;
}

static void gradients_are_those_of_the_network(void **state)
{
    (void)state;
    pg_field_map m = map_of(weights, 1);
    pg_network *net = NULL;
    pg_dataset *data = NULL;
    assert_int_equal(pg_network_open(weights, NULL, 0, &(pg_network_options){.device = "cpu", .batch = 3}, &net), PG_OK);
    assert_int_equal(pg_dataset_open("build/data", "synthetic:test", &data), PG_OK);
    const pg_geometry *g = &pg_network_info(net)->geometry;
    size_t plane = (size_t)(g->input_height * g->input_width),
           map = (size_t)(g->rows.positions * g->columns.positions * g->classes);
    uint8_t *pixels = malloc(3 * 3 * plane);
    float *logits = malloc(3 * map * sizeof *logits);
    assert_true(pixels && logits);
    double sum = 0, measured = 0, difference = 0;
    for (int y = m.field.top; y < m.field.top + m.field.height; y++)
        for (int x = m.field.left; x < m.field.left + m.field.width; x++) {
            double slope = 0;
            size_t at = (size_t)(y * m.width + x);
            for (size_t c = 0; c < 3; c++) { /* one level less, as it is, one level more */
                for (size_t i = 0; i < 3; i++)
                    assert_int_equal(pg_dataset_read(data, 0, 1, pixels + i * 3 * plane, NULL), PG_OK);
                uint8_t *low = &pixels[c * plane + at], *high = &pixels[6 * plane + c * plane + at];
                int steps = (*low > 0) + (*high < 255);
                *low = (uint8_t)(*low - (*low > 0));
                *high = (uint8_t)(*high + (*high < 255));
                assert_int_equal(pg_network_forward(net, pixels, 0, 3, logits), PG_OK);
                slope += fabs(largest(g, logits + 2 * map) - largest(g, logits)) * 255 / steps;
            }
            sum += (double)m.values[at];
            measured += slope;
            difference += fabs(slope - (double)m.values[at]);
        }
    print_message("gradients %.4f, finite differences %.4f, differences of pixels %.4f in all\n", sum, measured, difference);
    assert_true(sum > 0 && difference < 0.05 * sum);
    free(pixels);
    free(logits);
    free(m.values);
    pg_dataset_close(data);
    pg_network_close(net);
}

static void what_does_not_fit_is_refused(void **state)
{
    (void)state;
    pg_field_map map;
    pg_field_map_request request = {
        .weights = "null", .data_dir = "build/data", .dataset = "synthetic:test", .device = "cpu", .images = 2};
    assert_int_equal(pg_field_map_make(&request, &map), PG_EINPUT);
    assert_non_null(strstr(pg_error_message(), "no gradients"));
    assert_null(map.values);
    request.weights = "models/zoo/nothing.safetensors";
    assert_int_equal(pg_field_map_make(&request, &map), PG_EMISSING);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_lies_outside_the_field),
        cmocka_unit_test(gradients_are_those_of_the_network),
        cmocka_unit_test(what_does_not_fit_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
