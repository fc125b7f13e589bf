/* CIFAR-10 in its official binary layout (Krizhevsky, "Learning multiple layers of features from tiny images", 2009).
 *
 * Six files of records of 1 + 3 x 32 x 32 bytes (label, then the planes R, G, B) and a list of class names. Imported data lie
 * in DATA/cifar10. Splits: train (data_batch_1 to 5 in order), test, fit and val (train without its last tenth, and that
 * tenth). */
#ifndef PG_DATA_CIFAR10_H
#define PG_DATA_CIFAR10_H

#include "harness/data/fetch.h"
#include "harness/data/manifest.h"

#include <stddef.h>
#include <stdint.h>

enum { PG_CIFAR10_RECORD = 1 + 3 * 32 * 32, PG_CIFAR10_CLASSES = 10, PG_CIFAR10_IMAGES = 10000 /* in each official file */ };

/* The seven files of the layout, sorted by name; NULL-terminated. The first is the list of class names. */
extern const char *const pg_cifar10_files[];
#define PG_CIFAR10_META "batches.meta.txt"

/* Checks the files in `source` and moves copies (hard links where the file system allows them) to DATA/cifar10, all or
 * nothing; data imported before are replaced. Files must hold images_per_file images each, PG_CIFAR10_IMAGES unless a test
 * says otherwise. PG_EMISSING, PG_EINPUT (size, label, class names), PG_EIO. */
int pg_cifar10_import(const char *data_dir, const char *source, int64_t images_per_file) PG_MUST_USE;

/* The class names in the file PG_CIFAR10_META; manifest->classes is *new*, pg_manifest_release. PG_EINPUT. */
int pg_cifar10_class_names(const char *path, pg_manifest *manifest) PG_MUST_USE;

/* Downloads the archive into DATA, checks it, and imports what is in it. What arrived before an interruption is kept and used
 * by the next call. Errors of pg_fetch_run, pg_unpack and pg_cifar10_import. */
extern const pg_fetch pg_cifar10_official;
int pg_cifar10_fetch(const char *data_dir, const pg_fetch *fetch, int64_t images_per_file) PG_MUST_USE;

#endif
