/* Figure `patch-size`: accuracy against the size of the patch: its side, where all patches are square; else one place for each
 * size, "4x8" and "8x4" among them, in the order of their areas. */
#include "plots/sweep.h"

static bool side(const pg_table_entry *entry, double *x)
{
    *x = entry->patch_height;
    return *x > 0;
}

/* Different for different sizes. */
static bool area(const pg_table_entry *entry, double *x)
{
    *x = (double)entry->patch_height * entry->patch_width + entry->patch_height / 1e6;
    return *x > 0;
}

static void size_name(const pg_table_entry *entry, pg_buf *out)
{
    pg_buf_printf(out, "%dx%d", entry->patch_height, entry->patch_width);
}

PG_FIGURE(patch_size)

static int write(const pg_table *table, pg_figure_data *out)
{
    bool square = true;
    for (size_t i = 0; i < table->n_entries; i++)
        square &= table->entries[i].patch_height == table->entries[i].patch_width;
    const pg_sweep sweep = {
        .figure = "patch-size",
        .axis = square ? "Patch side (px)" : "Patch height x width (px), by area",
        .remedy = "give the matrix several values of patch",
        .number = square ? side : area,
        .name = square ? NULL : size_name,
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
