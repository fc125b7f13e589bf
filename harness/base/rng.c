/* Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011) by Random123.
 *
 * Key: the seed. Counter: (index / 4, item, stream), so that word index % 4 of one block is draw number `index`. */
#include "harness/base/rng.h"

#include <Random123/philox.h>
#include <math.h>
#include <string.h>

pg_rng pg_rng_make(uint64_t seed, pg_stream stream, uint32_t item)
{
    return (pg_rng){.seed = seed, .stream = (uint32_t)stream, .item = item};
}

static philox4x32_ctr_t block_of(const pg_rng *rng)
{
    uint64_t block = rng->index >> 2;
    philox4x32_ctr_t counter = {{(uint32_t)block, (uint32_t)(block >> 32), rng->item, rng->stream}};
    philox4x32_key_t key = {{(uint32_t)rng->seed, (uint32_t)(rng->seed >> 32)}};
    return philox4x32_R(10, counter, key);
}

uint32_t pg_rng_u32(pg_rng *rng)
{
    philox4x32_ctr_t block = block_of(rng);
    return block.v[rng->index++ & 3];
}

uint64_t pg_rng_u64(pg_rng *rng)
{
    uint32_t low, high;
    if ((rng->index & 3) == 3) {
        low = pg_rng_u32(rng);
        high = pg_rng_u32(rng);
    } else {
        philox4x32_ctr_t block = block_of(rng);
        low = block.v[rng->index & 3];
        high = block.v[(rng->index & 3) + 1];
        rng->index += 2;
    }
    return (uint64_t)high << 32 | low;
}

void pg_rng_fill(pg_rng *rng, uint32_t *out, uint32_t n)
{
    for (; n && (rng->index & 3); n--)
        *out++ = pg_rng_u32(rng);
    for (; n >= 4; n -= 4, out += 4, rng->index += 4) {
        philox4x32_ctr_t block = block_of(rng);
        memcpy(out, block.v, sizeof block.v);
    }
    for (; n; n--)
        *out++ = pg_rng_u32(rng);
}

/* Lemire, "Fast random integer generation in an interval", 2019: multiply, and reject the few that would bias. */
uint32_t pg_rng_below(pg_rng *rng, uint32_t bound)
{
    uint64_t product = (uint64_t)pg_rng_u32(rng) * bound;
    if ((uint32_t)product < bound) {
        uint32_t reject_below = (0u - bound) % bound;
        while ((uint32_t)product < reject_below)
            product = (uint64_t)pg_rng_u32(rng) * bound;
    }
    return (uint32_t)(product >> 32);
}

double pg_rng_unit(pg_rng *rng) { return (double)(pg_rng_u64(rng) >> 11) * 0x1p-53; }

/* Natural logarithm of a positive normal number, by + - * / only: x = m 2^e with m in [sqrt(1/2), sqrt(2)), then the series
 * of 2 artanh((m - 1) / (m + 1)). Accurate to a few units in the last place. */
static double natural_log(double x)
{
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    int exponent = (int)(bits >> 52) - 1023;
    bits = (bits & 0xfffffffffffffu) | (uint64_t)1023 << 52;
    double m;
    memcpy(&m, &bits, sizeof m);
    if (m > 0x1.6a09e667f3bcdp+0) {
        m *= 0.5;
        exponent++;
    }
    double t = (m - 1) / (m + 1), t2 = t * t, sum = 0;
    for (int k = 21; k >= 1; k -= 2)
        sum = sum * t2 + 1.0 / k;
    return 2 * t * sum + exponent * 0x1.62e42fefa39efp-1;
}

/* Marsaglia's polar method, one value of the pair used; basic IEEE operations and sqrt are rounded the same everywhere. */
double pg_rng_normal(pg_rng *rng)
{
    for (;;) {
        double u = 2 * pg_rng_unit(rng) - 1, v = 2 * pg_rng_unit(rng) - 1, s = u * u + v * v;
        if (s < 1 && s > 0x1p-200)
            return u * sqrt(-2 * natural_log(s) / s);
    }
}

void pg_rng_shuffle(pg_rng *rng, uint32_t *items, uint32_t n)
{
    for (uint32_t i = n; i > 1; i--) {
        uint32_t j = pg_rng_below(rng, i), kept = items[i - 1];
        items[i - 1] = items[j];
        items[j] = kept;
    }
}
