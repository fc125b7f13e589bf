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

static const struct {
    size_t at;
    const char *bytes;
    size_t size;
    const char *kind;
} magics[] = {
    {0, "\x89PNG", 4, "a PNG image"},
    {0, "\xff\xd8\xff", 3, "a JPEG image"},
    {0, "GIF8", 4, "a GIF image"},
    {8, "WEBP", 4, "a WebP image"},
    {0, "%PDF", 4, "a PDF"},
    {0, "\x1f\x8b", 2, "compressed by gzip"},
    {0, "BZh", 3, "compressed by bzip2"},
    {0,
     "\xfd"
     "7zXZ",
     5, "compressed by xz"},
    {0, "\x28\xb5\x2f\xfd", 4, "compressed by zstd"},
    {257, "ustar", 5, "a tar archive"},
    {0, "\x93NUMPY", 6, "an array of NumPy"},
    {0, "\x89HDF", 4, "an HDF5 file"},
    {4, "TFL3", 4, "a model of TensorFlow Lite"},
    {0, "GGUF", 4, "a GGUF file"},
    {0,
     "\x7f"
     "ELF",
     4, "a program"},
    {0, "SQLite format 3", 15, "an SQLite database"},
    {0, "version https://git-lfs", 23, "a Git LFS pointer: `git lfs pull` fetches the file itself"},
    {0, "L119547037146038801333356L\n", 27, "a file of torch.save"}, /* protocols 0 and 1 */
    {0, "PK\5\6", 4, "an empty zip archive"},
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
    if (!is_text(b, size))
        return "of no known kind";
    size_t space = 0;
    while (space < size && strchr(" \t\n\r", b[space]))
        space++;
    bool html = size - space >= 6 && (strncasecmp((const char *)b + space, "<!doct", 6) == 0 ||
                                      strncasecmp((const char *)b + space, "<html", 5) == 0);
    return html ? "an HTML page" : "text";
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
