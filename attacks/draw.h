/* Random numbers of attacks: by (seed, image, use, number), so that they depend on nothing else. */
#ifndef PG_ATTACKS_DRAW_H
#define PG_ATTACKS_DRAW_H

#include "harness/base/rng.h"

typedef enum pg_draw {
    PG_DRAW_PLACE,          /* number: which of the places of this image */
    PG_DRAW_TARGET,         /* one class for each image */
    PG_DRAW_START,          /* number: attempt */
    PG_DRAW_MOVE,           /* number: attempt * passes + pass */
    PG_DRAW_WARP,           /* number: attempt; scale and rotation */
    PG_DRAW_TRAINING_IMAGE, /* number: step of training; of no image */
} pg_draw;

/* Up to 2^28 draws; numbers below 2^32. */
static inline pg_rng pg_draw_make(uint64_t seed, int64_t image, pg_draw use, uint64_t number)
{
    pg_rng rng = pg_rng_make(seed, PG_STREAM_ATTACK, (uint32_t)image);
    rng.index = (uint64_t)use << 60 | (number & 0xffffffff) << 28;
    return rng;
}

#endif
