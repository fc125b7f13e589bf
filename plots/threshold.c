/* Figure `threshold`: accuracy against the threshold T of robust masking.
 * Source: PatchGuard, Tables X and XVII; the failure cases of the same cells stand in figure `failure-cases`. */
#include "plots/sweep.h"

PG_FIGURE(threshold)

static int write(const pg_table *table, pg_figure_data *out)
{
    static const pg_sweep sweep = {
        .figure = "threshold",
        .axis = "Threshold T (share of a class's evidence)",
        .remedy = "give the matrix several values of robust-masking.threshold",
        .number = pg_sweep_column,
    };
    return pg_sweep_write(&sweep, table, out);
}

const pg_figure pg_figure_threshold = {
    .name = "threshold",
    .summary = "accuracy against the threshold of a masking defense",
    .requires = "several values of robust-masking.threshold",
    .script = pg_script_sweep,
    .columns = "threshold",
    .write = write,
};
