/* Where a patch may lie: every place is one of the (H - h + 1) x (W - w + 1) at which an h x w patch is inside an
 * H x W image. */
#ifndef PG_ATTACKS_LOCATION_H
#define PG_ATTACKS_LOCATION_H

#include "harness/base/option.h"

#include <stddef.h>

enum { PG_LOCATION_RANDOM, PG_LOCATION_FIXED, PG_LOCATION_CENTRE, PG_LOCATION_GRID, PG_LOCATION_ALL, PG_LOCATION_GRADIENT };
extern const char *const pg_location_names[];

typedef struct pg_location {
    int64_t top, left; /* fixed */
    int64_t places;    /* random: so many draws; gradient: so many of the best */
    int64_t grid;      /* places along each side */
    int mode;
} pg_location;

enum { PG_PLACES_MAX = 1024 }; /* the most that `places` can be */

/* clang-format off */
#define PG_LOCATION_OPTIONS(config_type)                                                                         \
    {"location", PG_OPTION_CHOICE, offsetof(config_type, location.mode), "random", .choices = pg_location_names, \
     .help = "where the patch lies; gradient: where the clean image is most sensitive"},                         \
    {"top", PG_OPTION_INT, offsetof(config_type, location.top), "0", 0, 100000,                                  \
     .help = "location fixed: first row of the patch, pixels"},                                                  \
    {"left", PG_OPTION_INT, offsetof(config_type, location.left), "0", 0, 100000,                                \
     .help = "location fixed: first column of the patch, pixels"},                                               \
    {"places", PG_OPTION_INT, offsetof(config_type, location.places), "1", 1, PG_PLACES_MAX,                     \
     .help = "location random or gradient: places tried, one after the other"},                                  \
    {"grid", PG_OPTION_INT, offsetof(config_type, location.grid), "3", 1, 1000,                                  \
     .help = "location grid: places along each side, from edge to edge"}
/* clang-format on */

typedef struct pg_place {
    int top, left;
} pg_place;

/* Options without effect take their defaults. */
void pg_location_normalize(pg_location *location);
/* PG_EINPUT where the patch does not fit (pg_attack_check_patch), or a fixed place is none. */
int pg_location_check(const pg_location *location, int image_height, int image_width, int patch_height, int patch_width,
                      int classes) PG_MUST_USE;

/* The number of places for `rows` x `columns` possible ones; gradient: the most there can be. */
int64_t pg_location_count(const pg_location *location, int rows, int columns);
/* The same for a patch in an image. */
int64_t pg_location_places(const pg_location *location, int image_height, int image_width, int patch_height, int patch_width);
/* Place i of an image, 0 <= i < count; not for gradient. */
pg_place pg_location_at(const pg_location *location, uint64_t seed, int64_t image, int rows, int columns, int64_t i);

/* The `most` places with the largest sum of saliency[H][W] below the patch, best first, the upper left one among equals; none
 * covers half of another along both axes. Writes places[], returns their number, at least 1; -1: out of memory. */
int pg_location_rank(const float *saliency, int image_height, int image_width, int patch_height, int patch_width, int most,
                     pg_place *places);

#endif
