/* Figure `clip`: accuracy against the bound at which features are clipped.
 * Source: PatchGuard, Tables VIII and XV. The x axis is the upper bound; a lower bound other than 0 and no upper bound (inf)
 * have no place on it. */
#include "plots/sweep.h"

#include "harness/base/option.h"

#include <math.h>
#include <string.h>

/* "0:15" */
static bool upper_bound(const pg_table_entry *entry, double *x)
{
    return strncmp(entry->column, "0:", 2) == 0 && pg_parse_double(entry->column + 2, x) == PG_OK && isfinite(*x);
}

PG_FIGURE(clip)

static int write(const pg_table *table, pg_figure_data *out)
{
    static const pg_sweep sweep = {
        .figure = "clip",
        .axis = "Upper bound of a feature",
        .remedy = "give the matrix several values of clip.clip, as \"0:5\", \"0:15\"",
        .number = upper_bound,
    };
    return pg_sweep_write(&sweep, table, out);
}

const pg_figure pg_figure_clip = {
    .name = "clip",
    .summary = "accuracy against the upper bound of a feature",
    .requires = "several values of clip",
    .script = pg_script_sweep,
    .columns = "clip",
    .write = write,
};
