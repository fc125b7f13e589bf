/* Figure `receptive-field-map`: what the position in the middle of the map depends on, a panel for each network: the mean size
 * of the gradient of its largest local logit with respect to each pixel, as a share of the largest, with the frame of its
 * receptive field.
 *
 * Source: PatchGuard, Figure 7. Data file: block 0: title and note; 1: number, name and two smaller lines of every panel; then
 * for every panel a block of x, y, value (pixels that the panel shows) and a block of the frame's corners. */
#include "plots/figure.h"

#include <math.h>
#include <stdlib.h>

PG_FIGURE(receptive_field_map)

enum { PANELS_MAX = 9, LABEL_MAX = 40 };

/* The pixels of a panel: the field with a margin. */
typedef struct crop {
    int top, left, bottom, right; /* behind the last */
} crop;

static crop crop_of(const pg_table_network *n)
{
    int longer = n->field_height > n->field_width ? n->field_height : n->field_width;
    int margin = longer / 4 > 2 ? longer / 4 : 2;
    crop c = {n->field_top - margin, n->field_left - margin, n->field_top + n->field_height + margin,
              n->field_left + n->field_width + margin};
    c.top = c.top < 0 ? 0 : c.top;
    c.left = c.left < 0 ? 0 : c.left;
    c.bottom = c.bottom > n->map_height ? n->map_height : c.bottom;
    c.right = c.right > n->map_width ? n->map_width : c.right;
    return c;
}

typedef struct weighed {
    double distance; /* how far out of the field's middle: 1 at its edge */
    double value;
} weighed;

static int by_affected(const void *a, const void *b)
{
    double x = ((const weighed *)a)->distance, y = ((const weighed *)b)->distance;
    return (x > y) - (x < y);
}

/* Whether the field is a band of columns (or, not, of rows): as long as the image along one axis only. */
static bool is_band(const pg_table_network *n, bool of_columns)
{
    bool high = n->field_height >= n->map_height, wide = n->field_width >= n->map_width;
    return of_columns ? high && !wide : wide && !high;
}

/* *distance: of the smallest rectangle with the field's middle and shape that holds half of the sum; a band's is as high as the
 * image. *outside: the share outside the field, in percent. */
static int weigh(const pg_table_network *n, double *distance, double *outside)
{
    size_t size = (size_t)(n->map_height * n->map_width), i = 0;
    weighed *all = malloc(size * sizeof *all);
    if (all == NULL)
        return pg_fail(PG_ENOMEM, "out of memory for a map of %zu pixels", size);
    double sum = 0, within = 0, middle_y = n->field_top + (n->field_height - 1) / 2.0,
           middle_x = n->field_left + (n->field_width - 1) / 2.0;
    for (int y = 0; y < n->map_height; y++)
        for (int x = 0; x < n->map_width; x++, i++) {
            double up = (fabs(y - middle_y) + 0.5) / (n->field_height / 2.0),
                   side = (fabs(x - middle_x) + 0.5) / (n->field_width / 2.0);
            all[i] = (weighed){.distance = fmax(is_band(n, true) ? 0 : up, is_band(n, false) ? 0 : side),
                               .value = (double)n->map[i]};
            sum += all[i].value;
        }
    qsort(all, size, sizeof *all, by_affected);
    *distance = *outside = 0;
    for (i = 0; i < size; i++) {
        if (within < 0.5 * sum)
            *distance = all[i].distance;
        within += all[i].value;
        *outside += all[i].distance > 1 + 1e-9 ? all[i].value : 0;
    }
    *outside = sum > 0 ? 100 * *outside / sum : 0;
    free(all);
    return PG_OK;
}

static int write_label(const pg_table_network *n, size_t at, pg_figure_data *parts)
{
    pg_buf *out = &parts->data;
    double distance = 0, outside = 0;
    int code = weigh(n, &distance, &outside);
    pg_buf_printf(out, "%zu\t", at);
    pg_figure_label(parts, n->name, LABEL_MAX, out);
    pg_buf_printf(out, "\tfield (frame): %d x %d px\thalf within %.0f x %.0f px; ", n->field_height, n->field_width,
                  round((is_band(n, true) ? 1 : distance) * n->field_height),
                  round((is_band(n, false) ? 1 : distance) * n->field_width));
    if (outside > 0)
        pg_buf_printf(out, "outside: %.2g%%\n", outside);
    else
        pg_buf_puts(out, "outside: nothing\n");
    return code;
}

static void write_map(const pg_table_network *n, pg_buf *out)
{
    crop c = crop_of(n);
    double largest = 0;
    for (int i = 0; i < n->map_height * n->map_width; i++)
        largest = fmax(largest, (double)n->map[i]);
    pg_buf_puts(out, "\n\n");
    for (int y = c.top; y < c.bottom; y++)
        for (int x = c.left; x < c.right; x++)
            pg_buf_printf(out, "%d\t%d\t%.6g\n", x, y, largest > 0 ? (double)n->map[y * n->map_width + x] / largest : 0.0);
    double top = n->field_top - 0.5, left = n->field_left - 0.5, bottom = top + n->field_height, right = left + n->field_width;
    pg_buf_printf(out, "\n\n%g\t%g\n%g\t%g\n%g\t%g\n%g\t%g\n%g\t%g\n", left, top, right, top, right, bottom, left, bottom, left,
                  top);
}

static int write(const pg_table *table, pg_figure_data *out)
{
    size_t panels = 0;
    int64_t images = 0;
    int code = PG_OK;
    for (size_t i = 0; i < table->n_networks; i++) {
        panels += table->networks[i].map != NULL;
        images = table->networks[i].images > images ? table->networks[i].images : images;
    }
    if (panels == 0)
        return pg_fail(PG_EINPUT, "figure receptive-field-map: no network of this matrix has gradients");
    if (panels > PANELS_MAX)
        return pg_fail(PG_EINPUT,
                       "figure receptive-field-map shows at most %d networks, not %zu: choose fewer with --only KEY=VALUE",
                       PANELS_MAX, panels);
    size_t at = 0;
    pg_figure_title(&(pg_table){0}, "what a position of the map depends on", out);
    pg_buf_printf(
        &out->data,
        "size of the gradient of the middle position's largest local logit by pixel, mean of %lld images, 1: the largest\n\n\n",
        (long long)images);
    for (size_t i = 0; code == PG_OK && i < table->n_networks; i++)
        if (table->networks[i].map != NULL)
            code = write_label(&table->networks[i], ++at, out);
    pg_buf_printf(&out->prelude, "panels = %zu\narray box[%zu] = [", panels, 4 * panels);
    const char *separator = "";
    for (size_t i = 0; i < table->n_networks; i++) {
        if (table->networks[i].map == NULL)
            continue;
        crop c = crop_of(&table->networks[i]);
        write_map(&table->networks[i], &out->data);
        pg_buf_printf(&out->prelude, "%s%d, %d, %d, %d", separator, c.left, c.right, c.top, c.bottom);
        separator = ", ";
    }
    pg_buf_puts(&out->prelude, "]\n");
    return code;
}

const pg_figure pg_figure_receptive_field_map = {
    .name = "receptive-field-map",
    .summary = "the pixels that a position of each network depends on, by gradients on 64 images",
    .requires = "libtorch; runs the networks, so `all` leaves it out",
    .script = pg_script_receptive_field_map,
    .reads = PG_READS_MAPS,
    .computes = true,
    .write = write,
};
