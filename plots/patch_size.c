/* Figure `patch-size`: accuracy against the size of the patch: its side where it is square, else the side of the
 * square of as many pixels. */
#include "plots/sweep.h"

#include <math.h>

static bool side(const pg_table_entry *entry, double *x)
{
    *x = sqrt((double)entry->patch_height * entry->patch_width);
    return *x > 0;
}

PG_FIGURE(patch_size)

static int write(const pg_table *table, pg_figure_data *out)
{
    bool square = true;
    for (size_t i = 0; i < table->n_entries; i++)
        square &= table->entries[i].patch_height == table->entries[i].patch_width;
    const pg_sweep sweep = {
        .figure = "patch-size",
        .axis = square ? "patch side (px)" : "patch side (px; not square: of a square of equal area)",
        .remedy = "give the matrix several values of patch",
        .number = side,
    };
    return pg_sweep_write(&sweep, table, out);
}

const pg_figure pg_figure_patch_size = {
    .name = "patch-size",
    .summary = "accuracy against the size of the patch",
    .requires = "several patch sizes",
    .script = pg_script_sweep,
    .columns = "patch",
    .write = write,
};
