/* Files of patches: what is read is in range, with as many pixels, masks, targets and places as there are patches. */
#include "harness/data/patches.h"
#include "tests/fuzz/fuzz.h"

PG_FUZZ(patches)
{
    enum { SIDE = 12 };
    pg_patches *p = NULL;
    int code = pg_patches_open(fuzz_file(0, data, size), SIDE, SIDE, &p);
    FUZZ_CHECK(code == PG_OK || code == PG_EDAMAGED || code == PG_EUNSUPPORTED || code == PG_EINPUT);
    FUZZ_CHECK((code == PG_OK) == (p != NULL));
    if (!p)
        return 0;
    size_t n = (size_t)p->count, texels = n * (size_t)p->height * (size_t)p->width;
    FUZZ_CHECK(p->count >= 1 && p->height >= 1 && p->width >= 1 && 3 * texels <= PG_PATCHES_VALUES_MAX);
    FUZZ_CHECK(!p->tops == !p->lefts && !p->images);
    for (size_t i = 0; i < 3 * texels; i++)
        FUZZ_CHECK(p->pixels[i] >= 0 && p->pixels[i] <= 1);
    for (size_t i = 0; p->masks && i < texels; i++)
        FUZZ_CHECK(p->masks[i] <= 1);
    for (size_t i = 0; i < n; i++) {
        FUZZ_CHECK(!p->targets || p->targets[i] >= 0);
        FUZZ_CHECK(!p->tops ||
                   (p->tops[i] >= 0 && p->tops[i] <= SIDE - p->height && p->lefts[i] >= 0 && p->lefts[i] <= SIDE - p->width));
    }
    pg_patches_free(p);
    return 0;
}
