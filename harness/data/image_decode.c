/* Which decoder reads a file, and the names of those that none reads. See image.h. */
#include "harness/data/image_decode.h"

#include <string.h>

/* Files that are found in folders of photographs, by what stands at a place near their beginning. */
typedef struct kind {
    size_t at, size;
    const char *magic, *name;
} kind;

/* clang-format off */
#define MAGIC(at, text, name) {at, sizeof(text) - 1, text, name}
/* clang-format on */
static const kind others[] = {
    MAGIC(0, "GIF8", "a GIF image"),
    MAGIC(8, "WEBP", "a WebP image"),
    MAGIC(0, "II*\0", "a TIFF image"),
    MAGIC(0, "MM\0*", "a TIFF image"),
    MAGIC(0, "II+\0", "a TIFF image"),
    MAGIC(0, "MM\0+", "a TIFF image"),
    MAGIC(0, "BM", "a BMP image"),
    MAGIC(4, "ftypavi", "an AVIF image"),
    MAGIC(4, "ftyphe", "a HEIC image"),
    MAGIC(4, "ftypm", "a HEIF image or a video"),
    MAGIC(4, "ftyp", "a video"),
    MAGIC(0, "\xff\x0a", "a JPEG XL image"),
    MAGIC(0, "\0\0\0\x0cJXL ", "a JPEG XL image"),
    MAGIC(0, "\0\0\0\x0cjP  ", "a JPEG 2000 image"),
    MAGIC(0, "\xff\x4f\xff\x51", "a JPEG 2000 image"),
    MAGIC(0, "8BPS", "a Photoshop file"),
    MAGIC(0, "\0\0\1\0", "an icon"),
    MAGIC(0, "\x8aMNG", "a MNG animation"),
    MAGIC(0, "%PDF", "a PDF file"),
    MAGIC(0, "<svg", "an SVG image"),
    MAGIC(0, "<?xml", "an XML file"),
    MAGIC(0, "<!DOCTYPE", "a page of HTML"),
    MAGIC(0, "<!doctype", "a page of HTML"),
    MAGIC(0, "<html", "a page of HTML"),
    MAGIC(0, "PK\3\4", "a zip archive"),
    MAGIC(0, "\x1f\x8b", "a gzip file"),
    MAGIC(0, "\0\5\x16\7", "what macOS keeps beside a file"),
    MAGIC(0, "version https://git-lfs", "a pointer of Git LFS (`git lfs pull` puts the file there)"),
};

static int refuse(const char *bytes, size_t size)
{
    if (size == 0)
        return pg_fail(PG_EINPUT, "neither a JPEG nor a PNG file, but empty");
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (size >= others[i].at + others[i].size && memcmp(bytes + others[i].at, others[i].magic, others[i].size) == 0)
            return pg_fail(PG_EINPUT, "%s: right would be a JPEG or PNG file", others[i].name);
    return pg_fail(PG_EINPUT, "neither a JPEG nor a PNG file");
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
        code = pg_image_decode_png(bytes, size, out);
    else
        code = refuse(bytes, size);
    if (code != PG_OK)
        pg_image_release(out);
    return code;
}
