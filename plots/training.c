/* Figure `training`: loss and validation accuracy by epoch, a line for each network of the matrix, from the record in its
 * weights file.
 *
 * Data file: block 0: title and note; then for every network a block: its name with the accuracy at the end, then epoch, loss,
 * accuracy (percent; "nan" where it was not measured). */
#include "plots/figure.h"

#include <math.h>

PG_FIGURE(training)

enum { CURVES_MAX = 12, LABEL_MAX = 60 };

/* "resnet18: 89.7% after 12 epochs". Beside the curves the numbers of similar networks would cover each other. */
static void write_label(const pg_table_network *net, pg_figure_data *parts)
{
    pg_buf *out = &parts->data;
    double val = net->epochs[net->n_epochs - 1].val;
    const char *s = net->n_epochs == 1 ? "" : "s";
    pg_figure_label(parts, net->name, LABEL_MAX, out);
    if (isfinite(val))
        pg_buf_printf(out, ": %.1f%% after %zu epoch%s", 100 * val, net->n_epochs, s);
    else
        pg_buf_printf(out, ": %zu epoch%s", net->n_epochs, s);
    pg_buf_puts(out, "\n");
}

static int write(const pg_table *table, pg_figure_data *out)
{
    size_t curves = 0, most = 1;
    double high = 0;
    bool measured = false;
    pg_figure_title(&(pg_table){0}, "training of the networks", out);
    pg_buf_puts(&out->data, "from the record in each weights file; mark: the last epoch\n");
    for (size_t i = 0; i < table->n_networks; i++) {
        const pg_table_network *net = &table->networks[i];
        if (net->n_epochs == 0)
            continue;
        curves++;
        most = net->n_epochs > most ? net->n_epochs : most;
        pg_buf_puts(&out->data, "\n\n");
        write_label(net, out);
        for (size_t k = 0; k < net->n_epochs; k++) {
            measured |= isfinite(net->epochs[k].val);
            high = isfinite(net->epochs[k].loss) ? fmax(high, net->epochs[k].loss) : high;
            pg_buf_printf(&out->data, "%zu\t%.6g\t%.4f\t%d\n", k + 1, net->epochs[k].loss, 100 * net->epochs[k].val,
                          k + 1 == net->n_epochs);
        }
    }
    if (curves == 0)
        return pg_fail(PG_EINPUT, "figure training: no weights file of this matrix has a record of its training");
    if (curves > CURVES_MAX)
        return pg_fail(PG_EINPUT, "figure training shows at most %d networks, not %zu: choose fewer with --only KEY=VALUE",
                       CURVES_MAX, curves);
    pg_buf_printf(&out->prelude, "curves = %zu\nmeasured = %d\nmost = %zu\nhigh = %.6g\n", curves, measured, most,
                  high > 0 ? high : 1);
    return PG_OK;
}

const pg_figure pg_figure_training = {
    .name = "training",
    .summary = "training loss and validation accuracy by epoch",
    .requires = "weights files with a record of their training",
    .script = pg_script_training,
    .reads = PG_READS_TRAINING,
    .write = write,
};
