/* For tests: a small folder in CIFAR-10's layout, and changes that damage it. Image i of file f has label (i + f) % 10 and
 * pixels that follow from i, f and the byte's place. */
#ifndef PG_TESTS_CIFAR_FIXTURE_H
#define PG_TESTS_CIFAR_FIXTURE_H

#include "harness/data/cifar10.h"
#include "tests/support/scratch.h"

enum { FIXTURE_IMAGES = 10 };

static inline unsigned char fixture_pixel(int file, int image, int at)
{
    return (unsigned char)(file * 31 + image * 7 + at * 13 + at / 256);
}

static const char fixture_classes[] = "airplane\nautomobile\nbird\ncat\ndeer\ndog\nfrog\nhorse\nship\ntruck\n";

/* Writes FOLDER (a name in the scratch folder). */
static inline void fixture_write(const char *folder)
{
    char name[256];
    mkdir(scratch_path(folder), 0700);
    snprintf(name, sizeof name, "%s/%s", folder, PG_CIFAR10_META);
    scratch_write(name, fixture_classes, sizeof fixture_classes - 1);
    for (int f = 1; pg_cifar10_files[f]; f++) {
        unsigned char *bytes = malloc((size_t)FIXTURE_IMAGES * PG_CIFAR10_RECORD);
        for (int i = 0; i < FIXTURE_IMAGES; i++) {
            unsigned char *record = bytes + i * PG_CIFAR10_RECORD;
            record[0] = (unsigned char)((i + f) % 10);
            for (int k = 0; k < PG_CIFAR10_RECORD - 1; k++)
                record[1 + k] = fixture_pixel(f, i, k);
        }
        snprintf(name, sizeof name, "%s/%s", folder, pg_cifar10_files[f]);
        scratch_write(name, bytes, (size_t)FIXTURE_IMAGES * PG_CIFAR10_RECORD);
        free(bytes);
    }
}

/* Overwrites one byte. */
static inline void fixture_poke(const char *name, long at, int value)
{
    FILE *stream = fopen(scratch_path(name), "r+b");
    if (!stream || fseek(stream, at, SEEK_SET) || fputc(value, stream) == EOF || fclose(stream))
        abort();
}

#endif
