/* Figure `receptive-field`: accuracy against what a position of the network sees: the side of its receptive
 * field, or the width of its band. Source: PatchGuard, Tables IX and XVI. */
#include "plots/sweep.h"

PG_FIGURE(receptive_field)

static int write(const pg_table *table, pg_figure_data *out)
{
    static const pg_sweep sweep = {
        .figure = "receptive-field",
        .axis = "Receptive field, or width of an ablation (px)",
        .remedy = "give the matrix several weights with different fields",
        .number = pg_sweep_column,
    };
    return pg_sweep_write(&sweep, table, out);
}

const pg_figure pg_figure_receptive_field = {
    .name = "receptive-field",
    .summary = "accuracy against the receptive field of the network, or the width of its column or row ablations",
    .requires = "networks of several receptive fields",
    .script = pg_script_sweep,
    .columns = "receptive-field",
    .write = write,
};
