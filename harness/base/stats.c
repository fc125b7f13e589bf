/* See stats.h. */
#include "harness/base/stats.h"

#include <assert.h>
#include <math.h>

/* The 97.5% quantile of the standard normal distribution. */
static const double z = 1.959963984540054;

pg_interval pg_wilson(int64_t count, int64_t n)
{
    assert(count >= 0 && count <= n);
    if (n == 0)
        return (pg_interval){NAN, NAN, NAN};
    double total = (double)n, share = (double)count / total;
    double centre = share + z * z / (2 * total);
    double half = z * sqrt(share * (1 - share) / total + z * z / (4 * total * total));
    double scale = 1 + z * z / total;
    return (pg_interval){
        .value = share,
        .lo = count == 0 ? 0.0 : (centre - half) / scale,
        .hi = count == n ? 1.0 : (centre + half) / scale,
    };
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
