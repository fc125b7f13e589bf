/* See stats.h. */
#include "harness/base/stats.h"

#include <assert.h>
#include <math.h>

/* The 97.5% quantile of the standard normal distribution. */
static const double z = 1.959963984540054;

/* Of `total` draws, which need not be a whole number. */
static pg_interval wilson(double share, double total)
{
    double centre = share + z * z / (2 * total);
    double half = z * sqrt(share * (1 - share) / total + z * z / (4 * total * total));
    double scale = 1 + z * z / total;
    return (pg_interval){
        .value = share,
        .lo = share <= 0 ? 0.0 : (centre - half) / scale,
        .hi = share >= 1 ? 1.0 : (centre + half) / scale,
    };
}

pg_interval pg_wilson(int64_t count, int64_t n)
{
    assert(count >= 0 && count <= n);
    return n == 0 ? (pg_interval){NAN, NAN, NAN} : wilson((double)count / (double)n, (double)n);
}

pg_interval pg_mean_of_shares(const int32_t *counts, int64_t n, int32_t of)
{
    int64_t sum = 0, squares = 0;
    for (int64_t i = 0; i < n; i++) {
        assert(counts[i] >= 0 && counts[i] <= of);
        sum += counts[i];
        squares += (int64_t)counts[i] * counts[i];
    }
    if (n == 0)
        return (pg_interval){NAN, NAN, NAN};
    double images = (double)n, mean = (double)sum / (images * of);
    double variance = (double)squares / (images * of * of) - mean * mean;
    double draws = images * mean * (1 - mean) / variance;
    return wilson(mean, variance > 0                ? fmin(fmax(draws, images), images * of)
                        : sum == 0 || sum == n * of ? images
                                                    : images * of);
}

double pg_percent(int64_t count, int64_t n, int decimals)
{
    assert(count >= 0 && count <= n && n >= 1 && decimals >= 0 && decimals <= 6);
    int64_t scale = 1;
    for (int i = 0; i < decimals; i++)
        scale *= 10;
    return (double)((200 * count * scale + n) / (2 * n)) / (double)scale;
}

double pg_mcnemar(int64_t only_a, int64_t only_b)
{
    assert(only_a >= 0 && only_b >= 0);
    int64_t n = only_a + only_b, least = only_a < only_b ? only_a : only_b;
    if (2 * least == n)
        return 1;
    /* sum of C(n, k) / 2^n for k = least, least - 1, ...: from the largest term, each by its ratio to the one before */
    double term = exp(lgamma((double)n + 1) - lgamma((double)least + 1) - lgamma((double)(n - least) + 1) - (double)n * M_LN2),
           sum = 0;
    for (int64_t k = least; k >= 0 && term > sum * 1e-18; k--) {
        sum += term;
        term *= (double)k / (double)(n - k + 1);
    }
    return fmin(1, 2 * sum);
}
