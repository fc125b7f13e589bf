/* Statistics printed with results: intervals of shares.
 *
 * Source: E. B. Wilson, "Probable inference, the law of succession, and statistical inference", 1927, Eq. for the score
 * interval. Pure functions; thread-safe. */
#ifndef PG_PLOTS_STATS_H
#define PG_PLOTS_STATS_H

#include <stdint.h>

typedef struct pg_interval {
    double value, lo, hi; /* shares in [0, 1]; all NaN where n = 0 */
} pg_interval;

/* The share count / n with its 95% Wilson interval. 0 <= count <= n. lo is exactly 0 for count = 0, hi exactly 1 for count = n.
 */
pg_interval pg_wilson(int64_t count, int64_t n);

#endif
