/* Manifests: what is read can be written and read again, and a data set opened by it reads no byte that is not there. The
 * files beside it hold two images each. */
#include "harness/data/manifest.h"
#include "harness/data/cifar10.h"
#include "harness/data/dataset.h"
#include "tests/fuzz/folder.h"
#include "tests/fuzz/fuzz.h"

enum { IMAGES = 2 };

static void make_files(void)
{
    static const char record[IMAGES * PG_CIFAR10_RECORD], classes[] = "c0\nc1\nc2\nc3\nc4\nc5\nc6\nc7\nc8\nc9\n";
    fuzz_path("");
    mkdir(scratch_path("cifar10"), 0700);
    mkdir(scratch_path("again"), 0700);
    for (int i = 0; pg_cifar10_files[i]; i++) {
        char name[64];
        snprintf(name, sizeof name, "cifar10/%s", pg_cifar10_files[i]);
        fuzz_write(name, i ? record : classes, i ? sizeof record : sizeof classes - 1);
    }
}

static bool same(const pg_manifest *a, const pg_manifest *b)
{
    bool good = strcmp(a->name, b->name) == 0 && a->height == b->height && a->width == b->width &&
                a->n_classes == b->n_classes && a->n_files == b->n_files;
    for (int i = 0; good && i < a->n_classes; i++)
        good = strcmp(a->classes[i], b->classes[i]) == 0;
    for (int i = 0; good && i < a->n_files; i++) {
        const pg_manifest_file *x = &a->files[i], *y = &b->files[i];
        good = strcmp(x->name, y->name) == 0 && strcmp(x->hash, y->hash) == 0 && x->bytes == y->bytes && x->images == y->images;
    }
    return good;
}

static void open_dataset(void)
{
    static const char *const splits[] = {"cifar10:train", "cifar10:test", "cifar10:fit", "cifar10:val"};
    for (size_t i = 0; i < sizeof splits / sizeof *splits; i++) {
        pg_dataset *dataset = NULL;
        int code = pg_dataset_open(scratch_folder, splits[i], &dataset);
        FUZZ_CHECK(code == PG_OK || code == PG_EDAMAGED);
        if (code != PG_OK)
            continue;
        int64_t n = pg_dataset_info_of(dataset)->images;
        FUZZ_CHECK(n >= 0 && n <= 5 * IMAGES);
        uint8_t *pixels = malloc((size_t)n * (PG_CIFAR10_RECORD - 1) + 1);
        int32_t labels[5 * IMAGES];
        if (!pixels)
            abort();
        FUZZ_CHECK(pg_dataset_read(dataset, 0, n, pixels, labels) == PG_OK);
        free(pixels);
        pg_dataset_close(dataset);
    }
}

PG_FUZZ(manifest)
{
    static bool made;
    if (!made)
        make_files();
    made = true;
    pg_manifest first, again;
    fuzz_write("cifar10/manifest.json", data, size);
    int code = pg_manifest_read(scratch_path("cifar10"), &first);
    FUZZ_CHECK(code == PG_OK || code == PG_EDAMAGED || (code == PG_EINPUT && size > 1 << 20));
    if (code == PG_OK) {
        FUZZ_CHECK(pg_manifest_write(scratch_path("again"), &first) == PG_OK);
        FUZZ_CHECK(pg_manifest_read(scratch_path("again"), &again) == PG_OK && same(&first, &again));
        pg_manifest_release(&again);
    }
    pg_manifest_release(&first);
    open_dataset();
    return 0;
}
