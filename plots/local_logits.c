/* See local_logits.h. Data file: block 0: title and subtitle; 1: clean, 2: attacked: left edge of a bin, share of the local
 * vectors in percent, count. Both have the same bins, and one empty bin at either end. */
#include "plots/local_logits.h"

#include "plots/figure.h"

#include <math.h>
#include <stdint.h>

extern const char pg_script_local_logits[];

enum { BINS = 60, TITLE_MAX = 90, SUBTITLE_MAX = 110 };

typedef struct histogram {
    double lo, width; /* of the first bin */
    int64_t count[BINS], n;
} histogram;

static void widen(const float *values, size_t n, double *lo, double *hi)
{
    for (size_t i = 0; i < n; i++)
        if (isfinite(values[i])) {
            *lo = fmin(*lo, values[i]);
            *hi = fmax(*hi, values[i]);
        }
}

static void fill(const float *values, size_t n, histogram *h)
{
    for (size_t i = 0; i < n; i++)
        if (isfinite(values[i])) {
            int bin = (int)((values[i] - h->lo) / h->width);
            h->count[bin < BINS ? bin : BINS - 1]++;
            h->n++;
        }
}

static void write_block(const histogram *h, pg_buf *out)
{
    pg_buf_puts(out, "\n\n");
    for (int i = -1; i <= BINS; i++) {
        int64_t count = i >= 0 && i < BINS ? h->count[i] : 0;
        pg_buf_printf(out, "%.6f\t%.8f\t%lld\n", h->lo + i * h->width, h->n ? 100.0 * (double)count / (double)h->n : 0,
                      (long long)count);
    }
}

int pg_local_logits_draw(const pg_local_logits *logits, const char *folder)
{
    double lo = INFINITY, hi = -INFINITY;
    widen(logits->clean, logits->n, &lo, &hi);
    widen(logits->attacked, logits->n, &lo, &hi);
    if (!(lo <= hi))
        return pg_fail(PG_EINPUT, "figure local-logits has nothing to show: no local logit is finite");
    histogram histograms[2] = {{.lo = lo, .width = hi > lo ? (hi - lo) / BINS : 1}};
    histograms[1] = histograms[0];
    fill(logits->clean, logits->n, &histograms[0]);
    fill(logits->attacked, logits->n, &histograms[1]);
    pg_figure_data parts;
    pg_figure_data_init(&parts);
    pg_figure_text_cut(logits->title, TITLE_MAX, &parts.data);
    pg_buf_puts(&parts.data, "\t");
    pg_figure_text_cut(logits->subtitle, SUBTITLE_MAX, &parts.data);
    pg_buf_puts(&parts.data, "\n");
    for (int i = 0; i < 2; i++)
        write_block(&histograms[i], &parts.data);
    double least = 100.0 / (double)(histograms[0].n > histograms[1].n ? histograms[0].n : histograms[1].n);
    pg_buf_printf(&parts.prelude, "bin = %.9f\nlo = %.9f\nhi = %.9f\nleast = %.9g\n", histograms[0].width, lo, hi, least);
    int code = pg_figure_save("local-logits", pg_script_local_logits, &parts, folder);
    pg_figure_data_release(&parts);
    return code;
}
