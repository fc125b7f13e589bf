/* Counter-based random numbers (Random123, Philox4x32-10): a value depends on seed, stream and index only, never on what was
 * drawn before, on threads or on batch size. All functions are pure and thread-safe. */
#ifndef PG_BASE_RNG_H
#define PG_BASE_RNG_H

#include <stdint.h>

/* Where a draw belongs. Streams keep uses apart; see the list. */
typedef enum pg_stream {
    PG_STREAM_SYNTHETIC = 1, /* the built-in data set */
    PG_STREAM_SHUFFLE,       /* order of training images */
    PG_STREAM_AUGMENT,       /* crop, flip, band choice */
    PG_STREAM_INIT,          /* initial weights */
    PG_STREAM_NULL_MODEL,    /* the null model's logits */
    PG_STREAM_LOCALITY,      /* patches of the locality measurement */
    PG_STREAM_ATTACK,
    PG_STREAM_TEST,
    PG_STREAM_AUDIT,  /* contents and places of an audit */
    PG_STREAM_CUTOUT, /* grey squares of training */
    PG_STREAM_VERIFY, /* the sample of a submission */
} pg_stream;

typedef struct pg_rng {
    uint64_t seed;
    uint32_t stream;
    uint32_t item;  /* image, epoch, layer: what the draws are about */
    uint64_t index; /* next draw; advances by itself */
} pg_rng;

pg_rng pg_rng_make(uint64_t seed, pg_stream stream, uint32_t item);
uint32_t pg_rng_u32(pg_rng *rng);
uint64_t pg_rng_u64(pg_rng *rng);
void pg_rng_fill(pg_rng *rng, uint32_t *out, uint32_t n); /* the same as n calls of pg_rng_u32, four at a time */
uint32_t pg_rng_below(pg_rng *rng, uint32_t bound);       /* unbiased in [0, bound), bound >= 1 */
double pg_rng_unit(pg_rng *rng);                          /* [0, 1), 53 bits */
double pg_rng_normal(pg_rng *rng);                        /* standard normal; same bits on every machine (no libm) */
void pg_rng_shuffle(pg_rng *rng, uint32_t *items, uint32_t n);

#endif
