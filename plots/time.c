/* Figure `time`: seconds of work an image takes, by network and device: reading, the network, and the certificates of all cells
 * that a task serves. Measured while the matrix ran; tasks whose local logits came from the cache, and tasks with an attack, do
 * not count.
 *
 * Reading, network and certificates run side by side in a worker, so that their sum is work, not waiting. Source: PatchGuard,
 * Tables XIII and XX. Data file: block 0: title and note; 1: position, label and the note below it; 2: position, milliseconds
 * an image of reading, network and certificates, images. */
#include "plots/figure.h"

#include <math.h>

PG_FIGURE(time)

enum { BARS_MAX = 40, LABEL_MAX = 60, NOTE_MAX = 96 };

static void write_label(const pg_table_time *t, size_t at, pg_figure_data *parts)
{
    pg_buf *out = &parts->data;
    pg_buf label, note;
    pg_buf_init(&label);
    pg_buf_init(&note);
    pg_figure_label(parts, t->label, LABEL_MAX, &label);
    pg_buf_printf(&note, "%s, ", t->device);
    if (t->cells == 1)
        pg_buf_puts(&note, "one defense");
    else
        pg_buf_printf(&note, "%lld cells at once", (long long)t->cells);
    pg_buf_printf(out, "%zu\t%s\t", at, label.data);
    pg_figure_text_cut(note.data, NOTE_MAX, out);
    pg_buf_puts(out, "\n");
    pg_buf_release(&label);
    pg_buf_release(&note);
}

static int write(const pg_table *table, pg_figure_data *out)
{
    size_t bars = 0;
    double least = INFINITY, most = 0;
    for (size_t i = 0; i < table->n_times; i++)
        bars += table->times[i].images > 0;
    if (bars == 0)
        return pg_fail(PG_EINPUT,
                       "figure time: no task of this matrix ran without an attack and without the feature cache: `patchgauge "
                       "--cache-size 0 run` into a fresh database measures one");
    if (bars > BARS_MAX)
        return pg_fail(PG_EINPUT,
                       "figure time shows at most %d networks and devices, not %zu: choose fewer with --only KEY=VALUE",
                       BARS_MAX, bars);
    size_t at = 0;
    pg_figure_title(table, "time", out);
    pg_buf_puts(&out->data, "work an image takes, measured in the run; certificates: of all cells at once\n\n\n");
    pg_buf values;
    pg_buf_init(&values);
    for (size_t i = 0; i < table->n_times; i++) {
        const pg_table_time *t = &table->times[i];
        if (t->images == 0)
            continue;
        write_label(t, ++at, out);
        double ms[3] = {t->read_s, t->forward_s, t->certify_s};
        pg_buf_printf(&values, "%zu", at);
        for (int k = 0; k < 3; k++) {
            ms[k] *= 1000.0 / (double)t->images;
            least = ms[k] > 0 ? fmin(least, ms[k]) : least;
            most = fmax(most, ms[k]);
            pg_buf_printf(&values, "\t%.6g", ms[k]);
        }
        pg_buf_printf(&values, "\t%lld\n", (long long)t->images);
    }
    pg_buf_printf(&out->data, "\n\n%s", values.data);
    out->data.failed |= values.failed;
    pg_buf_release(&values);
    if (!(least <= most)) /* nothing took a measurable time */
        least = most = 1;
    pg_buf_printf(&out->prelude, "bars = %zu\nlo = %.6g\nhi = %.6g\n", bars, pow(10, floor(log10(least) - 0.2)),
                  pow(10, ceil(log10(most) + 0.3)));
    return PG_OK;
}

const pg_figure pg_figure_time = {
    .name = "time",
    .summary = "milliseconds an image by network and device: reading, network, certificates",
    .requires = "tasks that ran without the feature cache",
    .script = pg_script_time,
    .reads = PG_READS_TIMES,
    .write = write,
};
