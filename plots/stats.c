/* See stats.h. */
#include "plots/stats.h"

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
