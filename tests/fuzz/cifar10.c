/* CIFAR-10 files: import takes them or refuses them whole, and what it took is read back as it was.
 *
 * The first bytes of the input: images in each file, two bytes of change to the size of one file, which file that is. Labels
 * follow, one byte an image, and behind them the list of class names. */
#include "harness/data/cifar10.h"
#include "harness/data/dataset.h"
#include "tests/fuzz/folder.h"
#include "tests/fuzz/fuzz.h"

enum { MOST = 4, FILES = 6, HEAD = 4 };

static void write_files(const uint8_t *data, size_t size, int images)
{
    static uint8_t bytes[(MOST + 11) * PG_CIFAR10_RECORD];
    int change = (int16_t)(data[1] | data[2] << 8), changed = data[3] % 8;
    size_t names = HEAD + (size_t)(images * FILES);
    fuzz_path("");
    mkdir(scratch_path("source"), 0700);
    fuzz_write("source/" PG_CIFAR10_META, data + names, size - names);
    for (int f = 0; f < FILES; f++) {
        char name[64];
        int n = images * PG_CIFAR10_RECORD + (f == changed ? change : 0);
        memset(bytes, f, sizeof bytes);
        for (int i = 0; i < images; i++)
            bytes[i * PG_CIFAR10_RECORD] = data[HEAD + f * images + i];
        snprintf(name, sizeof name, "source/%s", pg_cifar10_files[f + 1]);
        unlink(scratch_path(name)); /* import makes hard links */
        fuzz_write(name, bytes, n < 0 ? 0 : (size_t)n);
    }
}

static void read_back(const uint8_t *labels, int images)
{
    pg_dataset *dataset = NULL;
    int32_t found[5 * MOST];
    uint8_t pixels[PG_CIFAR10_RECORD - 1];
    for (int test = 0; test < 2; test++) {
        FUZZ_CHECK(pg_dataset_open(scratch_path("data"), test ? "cifar10:test" : "cifar10:train", &dataset) == PG_OK);
        int n = test ? images : 5 * images;
        const uint8_t *want = labels + (test ? 5 * images : 0);
        FUZZ_CHECK(pg_dataset_info_of(dataset)->images == n);
        FUZZ_CHECK(pg_dataset_read(dataset, 0, n, NULL, found) == PG_OK);
        for (int i = 0; i < n; i++)
            FUZZ_CHECK(found[i] == want[i]);
        FUZZ_CHECK(pg_dataset_read(dataset, n - 1, 1, pixels, NULL) == PG_OK && pixels[sizeof pixels - 1] == (test ? 5 : 4));
        FUZZ_CHECK(pg_dataset_read(dataset, n, 1, pixels, NULL) == PG_EINPUT);
        pg_dataset_close(dataset);
    }
}

PG_FUZZ(cifar10)
{
    if (size < HEAD)
        return 0;
    int images = data[0] % MOST + 1;
    if (size < HEAD + (size_t)(images * FILES))
        return 0;
    write_files(data, size, images);
    int code = pg_cifar10_import(scratch_path("data"), scratch_path("source"), images);
    bool sound = data[3] % 8 >= FILES || !(data[1] | data[2]);
    for (int i = 0; i < images * FILES; i++)
        sound = sound && data[HEAD + i] < PG_CIFAR10_CLASSES;
    FUZZ_CHECK(code == PG_EINPUT || (code == PG_OK && sound));
    if (code == PG_OK)
        read_back(data + HEAD, images);
    return 0;
}
