/* Places of patches. See location.h. */
#include "attacks/location.h"

#include "attacks/attack.h"
#include "attacks/draw.h"

#include <math.h>
#include <stdlib.h>

const char *const pg_location_names[] = {"random", "fixed", "centre", "grid", "all", "gradient", NULL};

void pg_location_normalize(pg_location *l)
{
    if (l->mode != PG_LOCATION_FIXED)
        l->top = l->left = 0;
    if (l->mode != PG_LOCATION_RANDOM && l->mode != PG_LOCATION_GRADIENT)
        l->places = 1;
    if (l->mode != PG_LOCATION_GRID)
        l->grid = 3;
}

int pg_location_check(const pg_location *l, int image_height, int image_width, int patch_height, int patch_width, int classes)
{
    int code = pg_attack_check_patch(image_height, image_width, patch_height, patch_width, classes);
    if (code != PG_OK || l->mode != PG_LOCATION_FIXED)
        return code;
    int last_top = image_height - patch_height, last_left = image_width - patch_width;
    if (l->top > last_top || l->left > last_left)
        return pg_fail(
            PG_EINPUT,
            "a patch of %d x %d px at top %lld, left %lld leaves the image of %d x %d px: top at most %d, left at most %d",
            patch_height, patch_width, (long long)l->top, (long long)l->left, image_height, image_width, last_top, last_left);
    return PG_OK;
}

static int64_t along(int64_t grid, int places) { return grid < places ? grid : places; }

int64_t pg_location_count(const pg_location *l, int rows, int columns)
{
    switch (l->mode) {
    case PG_LOCATION_RANDOM:
    case PG_LOCATION_GRADIENT:
        return l->places;
    case PG_LOCATION_GRID:
        return along(l->grid, rows) * along(l->grid, columns);
    case PG_LOCATION_ALL:
        return (int64_t)rows * columns;
    default:
        return 1;
    }
}

/* Number i of n places, evenly over 0 .. places - 1, both ends among them; one alone lies in the middle. */
static int evenly_placed(int64_t i, int64_t n, int places)
{
    return n == 1 ? (places - 1) / 2 : (int)((2 * i * (places - 1) + n - 1) / (2 * (n - 1)));
}

int64_t pg_location_places(const pg_location *location, int image_height, int image_width, int patch_height, int patch_width)
{
    return pg_location_count(location, image_height - patch_height + 1, image_width - patch_width + 1);
}

pg_place pg_location_at(const pg_location *l, uint64_t seed, int64_t image, int rows, int columns, int64_t i)
{
    int64_t across;
    pg_rng rng;
    switch (l->mode) {
    case PG_LOCATION_FIXED:
        return (pg_place){(int)l->top, (int)l->left};
    case PG_LOCATION_GRID:
        across = along(l->grid, columns);
        return (pg_place){evenly_placed(i / across, along(l->grid, rows), rows), evenly_placed(i % across, across, columns)};
    case PG_LOCATION_ALL:
        return (pg_place){(int)(i / columns), (int)(i % columns)};
    case PG_LOCATION_RANDOM:
        rng = pg_draw_make(seed, image, PG_DRAW_PLACE, (uint64_t)i);
        int top = (int)pg_rng_below(&rng, (uint32_t)rows);
        return (pg_place){top, (int)pg_rng_below(&rng, (uint32_t)columns)};
    default:
        return (pg_place){(rows - 1) / 2, (columns - 1) / 2};
    }
}

/* Sums over the patch at every place, sums[rows][columns]; table[H + 1][W + 1] is scratch. */
static void sums_below(const float *saliency, int height, int width, int patch_height, int patch_width, double *table,
                       double *sums)
{
    int rows = height - patch_height + 1, columns = width - patch_width + 1, row = width + 1;
    for (int x = 0; x <= width; x++)
        table[x] = 0;
    for (int y = 0; y < height; y++) {
        double line = 0;
        table[(y + 1) * row] = 0;
        for (int x = 0; x < width; x++) {
            float value = saliency[y * width + x];
            line += isfinite(value) ? (double)value : 0;
            table[(y + 1) * row + x + 1] = table[y * row + x + 1] + line;
        }
    }
    for (int y = 0; y < rows; y++)
        for (int x = 0; x < columns; x++)
            sums[y * columns + x] = table[(y + patch_height) * row + x + patch_width] - table[y * row + x + patch_width] -
                                    table[(y + patch_height) * row + x] + table[y * row + x];
}

static bool crowded(const pg_place *taken, int n, int y, int x, int patch_height, int patch_width)
{
    for (int i = 0; i < n; i++)
        if (2 * abs(taken[i].top - y) <= patch_height && 2 * abs(taken[i].left - x) <= patch_width)
            return true;
    return false;
}

int pg_location_rank(const float *saliency, int image_height, int image_width, int patch_height, int patch_width, int most,
                     pg_place *places)
{
    int rows = image_height - patch_height + 1, columns = image_width - patch_width + 1, n = 0;
    size_t table = (size_t)(image_height + 1) * (size_t)(image_width + 1);
    double *memory = malloc((table + (size_t)rows * (size_t)columns) * sizeof *memory), *sums = memory ? memory + table : NULL;
    if (!memory)
        return -1;
    sums_below(saliency, image_height, image_width, patch_height, patch_width, memory, sums);
    for (bool found = true; found && n < most;) {
        double best = -INFINITY;
        found = false;
        for (int y = 0; y < rows; y++)
            for (int x = 0; x < columns; x++)
                if (sums[y * columns + x] > best && !crowded(places, n, y, x, patch_height, patch_width)) {
                    best = sums[y * columns + x];
                    places[n] = (pg_place){y, x};
                    found = true;
                }
        n += found;
    }
    free(memory);
    return n;
}
