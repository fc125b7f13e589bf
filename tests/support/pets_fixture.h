/* For tests: a folder of photographs in the scratch folder, four images a class in val and two in train, JPEG and PNG of all
 * shapes, and its import as "pets". */
#ifndef PG_TESTS_PETS_FIXTURE_H
#define PG_TESTS_PETS_FIXTURE_H

#include "harness/base/file.h"
#include "harness/base/folder.h"
#include "harness/base/log.h"
#include "harness/data/dataset.h"
#include "harness/data/image_folder.h"
#include "tests/support/image_fixture.h"
#include "tests/support/scratch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

enum { CLASSES = 3, VAL = 4, TRAIN = 2, SIDE = 12, PIXELS = 3 * SIDE * SIDE };
static const char *const classes[] = {"a cat", "dog's", "z\xc3\xbc"};
static const pg_image_fit fit = {16, SIDE, PG_FILTER_BILINEAR};

static inline pg_buf make_file(int seed)
{
    int height = 10 + seed * 7 % 30, width = 10 + seed * 11 % 30;
    if (seed % 3 == 0)
        return fixture_png_make(&(fixture_png){height, width, 8, PNG_COLOR_TYPE_RGB, false, -1}, (unsigned)seed);
    return fixture_photo(height, width, seed % 3 == 1, 0, (unsigned)seed);
}

static inline void put(const char *name, pg_buf file)
{
    unlink(scratch_path(name)); /* imported files may share theirs */
    scratch_write(name, file.data, file.size);
    pg_buf_release(&file);
}

static inline void make_split(const char *source, const char *split, int images, int seed)
{
    char name[200];
    for (int c = 0; c < CLASSES; c++) {
        snprintf(name, sizeof name, "%s/%s/%s", source, split, classes[c]);
        assert_int_equal(pg_make_folders(scratch_path(name)), PG_OK);
        for (int i = 0; i < images; i++) {
            snprintf(name, sizeof name, "%s/%s/%s/no %d.JPEG", source, split, classes[c], i);
            put(name, make_file(seed + c * images + i));
        }
    }
}

/* Afresh. */
static inline void make_source(void)
{
    pg_folder_remove(scratch_path("source"));
    make_split("source", "val", VAL, 0);
    make_split("source", "train", TRAIN, 100);
    scratch_write("source/val/a cat/.hidden", "x", 1);
    scratch_write("source/README", "x", 1);
}

/* A cmocka setup; scratch_remove is its teardown. */
static inline int make_pets(void **state)
{
    if (scratch_make(state))
        return -1;
    make_source();
    return pg_image_folder_import(scratch_path("data"), "pets", scratch_path("source"), &fit, NULL);
}

static inline void import_again(const char *name, const pg_image_fit *how)
{
    int code = pg_image_folder_import(scratch_path("data"), name, scratch_path("source"), how, NULL);
    if (code != PG_OK)
        fail_msg("%s", pg_error_message());
}

static inline pg_dataset *open_ok(const char *data, const char *spec)
{
    pg_dataset *dataset = NULL;
    if (pg_dataset_open(data, spec, &dataset) != PG_OK)
        fail_msg("%s", pg_error_message());
    return dataset;
}

#endif
