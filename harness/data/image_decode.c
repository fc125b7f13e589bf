/* Which decoder reads a file, the names of those that none reads, and memory for images. See image.h, image_decode.h. */
#include "harness/data/image_decode.h"

#include "harness/base/file_kind.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

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

static int refuse(const char *bytes, size_t size)
{
    static const char *const vague[] = {"empty", "text", "of no known kind", "a JPEG image", "a PNG image"};
    const char *kind = pg_bytes_kind(bytes, size);
    bool told = kind != NULL;
    for (size_t i = 0; told && i < sizeof vague / sizeof *vague; i++)
        told = strcmp(kind, vague[i]) != 0;
    return told ? pg_fail(PG_EINPUT, "%s: right would be a JPEG or PNG file", kind)
                : pg_fail(PG_EINPUT, "neither a JPEG nor a PNG file%s", size ? "" : ", but empty");
}

int pg_image_decode(const void *bytes, size_t size, pg_image *out)
{
    static const uint8_t jpeg[] = {0xff, 0xd8, 0xff}, png[] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'};
    *out = (pg_image){0};
    int code;
    if (size > PG_IMAGE_BYTES)
        code = pg_fail(PG_EINPUT, "%zu bytes: at most %d are read", size, PG_IMAGE_BYTES);
    else if (size >= sizeof jpeg && memcmp(bytes, jpeg, sizeof jpeg) == 0)
        code = pg_image_decode_jpeg(bytes, size, out);
    else if (size >= sizeof png && memcmp(bytes, png, sizeof png) == 0)
        code = pg_image_decode_png(bytes, size, out, NULL);
    else
        code = refuse(bytes, size);
    if (code != PG_OK)
        pg_image_release(out);
    return code;
}

int pg_image_decode_alpha(const void *bytes, size_t size, pg_image *out, uint8_t **alpha)
{
    *out = (pg_image){0};
    *alpha = NULL;
    int code = size > PG_IMAGE_BYTES ? pg_fail(PG_EINPUT, "%zu bytes: at most %d are read", size, PG_IMAGE_BYTES)
               : size < 8            ? refuse(bytes, size)
                                     : pg_image_decode_png(bytes, size, out, alpha);
    if (code != PG_OK)
        pg_image_release(out);
    return code;
}
