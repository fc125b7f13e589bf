/* Photographs: what is decoded has all its pixels and can be resized; what is refused says why and leaves nothing. */
#include "harness/data/image.h"
#include "harness/data/resize.h"
#include "tests/fuzz/fuzz.h"

PG_FUZZ(image)
{
    pg_image image = {0};
    int code = pg_image_decode(data, size, &image);
    FUZZ_CHECK(code == PG_OK || (code == PG_EINPUT && !image.pixels && *pg_error_message()));
    if (code != PG_OK)
        return 0;
    FUZZ_CHECK(image.height >= 1 && image.width >= 1 && (int64_t)image.height * image.width <= PG_IMAGE_PIXELS);
    fuzz_touch(image.pixels, (size_t)image.height * (size_t)image.width * 3);
    enum { MOST = 40 };
    static uint8_t out[MOST * MOST * 3];
    int side = 1 + (image.height + 7 * image.width) % MOST, crop = 1 + side / 2;
    if ((int64_t)image.height * image.width <= 1 << 20 && image.height <= 4096 && image.width <= 4096)
        for (int filter = 0; filter < 2; filter++)
            FUZZ_CHECK(pg_resize_crop(&image, side, (pg_filter)filter, crop, out) == PG_OK);
    pg_image_release(&image);
    return 0;
}
