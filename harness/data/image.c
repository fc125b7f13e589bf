/* Memory for images. See image.h, image_decode.h. */
#include "harness/data/image_decode.h"

#include <stdlib.h>

int pg_image_room(int64_t height, int64_t width, int bytes_a_pixel, pg_image *out)
{
    if (height < 1 || width < 1 || height > PG_IMAGE_SIDE || width > PG_IMAGE_SIDE || height * width > PG_IMAGE_PIXELS)
        return pg_fail(PG_EINPUT, "%lld x %lld pixels: right would be at most %d a side and %d in all", (long long)width,
                       (long long)height, PG_IMAGE_SIDE, PG_IMAGE_PIXELS);
    out->height = (int)height;
    out->width = (int)width;
    out->pixels = malloc((size_t)height * (size_t)width * (size_t)bytes_a_pixel);
    return out->pixels ? PG_OK : pg_fail(PG_ENOMEM, "out of memory for %d x %d pixels", out->width, out->height);
}

void pg_image_release(pg_image *image)
{
    free(image->pixels);
    *image = (pg_image){0};
}
