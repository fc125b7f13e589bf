/* See file_kind.h. Sources: the magic numbers of each format. */
#include "harness/base/file_kind.h"

#include "harness/base/file.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

enum { START = 512 };

/* clang-format off */
#define MAGIC(at, text, name) {at, text, sizeof(text) - 1, name}
/* clang-format on */
static const struct {
    size_t at;
    const char *bytes;
    size_t size;
    const char *kind;
} magics[] = {
    MAGIC(0, "\x89PNG", "a PNG image"),
    MAGIC(0, "\xff\xd8\xff", "a JPEG image"),
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
    MAGIC(0, "<svg", "an SVG image"),
    MAGIC(0, "<?xml", "an XML file"),
    MAGIC(0, "%PDF", "a PDF"),
    MAGIC(0, "\x1f\x8b", "compressed by gzip"),
    MAGIC(0, "BZh", "compressed by bzip2"),
    MAGIC(0, "\xfd\x37zXZ", "compressed by xz"),
    MAGIC(0, "\x28\xb5\x2f\xfd", "compressed by zstd"),
    MAGIC(257, "ustar", "a tar archive"),
    MAGIC(0, "\x93NUMPY", "an array of NumPy"),
    MAGIC(0, "\x89HDF", "an HDF5 file"),
    MAGIC(4, "TFL3", "a model of TensorFlow Lite"),
    MAGIC(0, "GGUF", "a GGUF file"),
    MAGIC(0, "\x7f\x45LF", "a program"),
    MAGIC(0, "SQLite format 3", "an SQLite database"),
    MAGIC(0, "version https://git-lfs", "a Git LFS pointer: `git lfs pull` fetches the file itself"),
    MAGIC(0, "PK\5\6", "an empty zip archive"),
    MAGIC(0, "\0\5\x16\7", "what macOS keeps beside a file"),
    MAGIC(0, "L119547037146038801333356L\n", "a file of torch.save"), /* protocols 0 and 1 */
};

static const char *zip_kind(const void *start, size_t size)
{
    if (memmem(start, size, "/data.pkl", 9))
        return "a file of torch.save";
    return memmem(start, size, ".npy", 4) ? "a file of numpy.savez" : "a zip archive";
}

static bool is_text(const uint8_t *b, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if ((b[i] < 0x20 && !strchr("\t\n\r\f", b[i])) || b[i] == 0 || b[i] == 0x7f)
            return false;
    return true;
}

const char *pg_bytes_kind(const void *start, size_t size)
{
    const uint8_t *b = start;
    size = size < START ? size : START;
    if (size == 0)
        return "empty";
    if (size >= 9 && memcmp(b + 4, "\0\0\0", 4) == 0 && b[8] == '{') /* a header of less than 4 GiB */
        return NULL;
    for (size_t i = 0; i < sizeof magics / sizeof *magics; i++)
        if (magics[i].at + magics[i].size <= size && memcmp(b + magics[i].at, magics[i].bytes, magics[i].size) == 0)
            return magics[i].kind;
    if (size >= 4 && memcmp(b, "PK\3\4", 4) == 0)
        return zip_kind(start, size);
    if (size >= 2 && b[0] == 0x80 && b[1] >= 2 && b[1] <= 5)
        return memmem(start, size, "\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.", 13) ? "a file of torch.save"
                                                                                            : "a pickle";
    size_t space = 0;
    while (space < size && strchr(" \t\n\r", b[space]))
        space++;
    bool html = size - space >= 6 && (strncasecmp((const char *)b + space, "<!doct", 6) == 0 ||
                                      strncasecmp((const char *)b + space, "<html", 5) == 0);
    return html ? "an HTML page" : is_text(b, size) ? "text" : "of no known kind";
}

const char *pg_file_kind(const char *path)
{
    char start[START];
    struct stat status;
    int file = -1;
    uint64_t size = 0;
    if (stat(path, &status) != 0)
        return NULL;
    if (!S_ISREG(status.st_mode))
        return S_ISDIR(status.st_mode) ? "a directory" : "no regular file";
    if (pg_file_open(path, &file, &size) != PG_OK)
        return NULL;
    ssize_t n = read(file, start, sizeof start);
    close(file);
    return n < 0 ? NULL : pg_bytes_kind(start, (size_t)n);
}
