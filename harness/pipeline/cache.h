/* The feature cache: local logits of batches on disk, so that new cells over old images cost no forward pass.
 *
 * An entry is one file. It holds the key it was written for (forward pass, device, libraries with their instruction sets,
 * threads, processor, program), first image and count, and a SHA-256 of everything: an entry of another key is not found, a
 * damaged one is removed and computed again. An entry is of one batch, or of its first images. The cache keeps below its size
 * by removing what was not used for the longest time. It never makes a run fail: what cannot be read is computed, what cannot
 * be written is said once. One thread per pg_cache; several processes may share the folder. */
#ifndef PG_PIPELINE_CACHE_H
#define PG_PIPELINE_CACHE_H

#include "harness/base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct pg_cache pg_cache;

/* *new*, pg_cache_free. NULL where max_bytes is 0 (off) or memory is out; every function takes NULL for a cache that is off. */
pg_cache *pg_cache_new(const char *folder, int64_t max_bytes);
void pg_cache_free(pg_cache *cache);

/* What the following entries depend on: lines of text. The processor and this program are added. False: off, or
 * out of memory. */
bool pg_cache_key(pg_cache *cache, const char *forward_id, const char *device, const char *library, int threads);

/* floats values of images first .. first+count-1 of the key: all of an entry, or the first ones of a longer one. `first` is the
 * first image of a batch, so that every image has the place in it that it had when it was written. False: not there. Writing
 * replaces a shorter entry. */
bool pg_cache_read(pg_cache *cache, int64_t first, int count, float *values, size_t floats);
void pg_cache_write(pg_cache *cache, int64_t first, int count, const float *values, size_t floats);

/* Reads every entry of a cache folder against its checksum, its header and its name, whatever key it has. Each fault is told;
 * nothing is removed. A folder that is not there has no entries. PG_ENOMEM. */
typedef struct pg_cache_count {
    int64_t entries, bytes, faults;
} pg_cache_count;
int pg_cache_check(const char *folder, void (*tell)(const char *fault, void *context), void *context,
                   pg_cache_count *out) PG_MUST_USE;

#endif
