/* Statistics printed with results: intervals of shares.
 *
 * Source: E. B. Wilson, "Probable inference, the law of succession, and statistical inference", 1927, Eq. for the score
 * interval. Q. McNemar, "Note on the sampling error of the difference between correlated proportions", 1947, with the binomial
 * distribution in place of its approximation. Pure functions; thread-safe. */
#ifndef PG_BASE_STATS_H
#define PG_BASE_STATS_H

#include <stdint.h>

typedef struct pg_interval {
    double value, lo, hi; /* shares in [0, 1]; all NaN where n = 0 */
} pg_interval;

/* The share count / n with its 95% Wilson interval. 0 <= count <= n. lo is exactly 0 for count = 0, hi exactly 1
 * for count = n. */
pg_interval pg_wilson(int64_t count, int64_t n);

/* The mean of n images' shares counts[i] / of, with a 95% interval over images: Wilson's, with the images that as many
 * independent draws of the same variance would be (E. L. Korn, B. I. Graubard, "Confidence intervals for proportions with small
 * expected number of positive counts estimated from survey data", 1998), from n, where the draws of an image all agree, to
 * n * of. 0 <= counts[i] <= of, of >= 1. */
pg_interval pg_mean_of_shares(const int32_t *counts, int64_t n, int32_t of);

/* count / n in percent, rounded to so many decimals (0 to 6): of the exact ratio, halves up, so that every table shows the same
 * digits. 0 <= count <= n, 1 <= n <= 10^10. */
double pg_percent(int64_t count, int64_t n, int decimals);

/* McNemar's exact test, two-sided: the probability of counts at least as uneven as these, of images where only the one or only
 * the other of two classifiers is correct, if each such image were a fair coin. 1 where there are none. */
double pg_mcnemar(int64_t only_a, int64_t only_b);

#endif
