/* The images of one split of an image folder: one line each, "SHA-256 BYTES LABEL FILE", in the order of the hashes. */
#ifndef PG_DATA_IMAGE_LIST_H
#define PG_DATA_IMAGE_LIST_H

#include "harness/data/manifest.h"

typedef struct pg_image_entry {
    char hash[PG_HASH_HEX];
    int32_t label;
    int64_t bytes;
    char *file; /* its name in the folder of its class; in a list owned */
} pg_image_entry;

typedef struct pg_image_list {
    pg_image_entry *entries; /* owned */
    int64_t n, room;
} pg_image_list;

void pg_image_list_release(pg_image_list *list);
/* Appends a copy. PG_EINPUT for a name that a line cannot hold, PG_ENOMEM. */
int pg_image_list_add(pg_image_list *list, const pg_image_entry *entry) PG_MUST_USE;

/* Sorts and writes FOLDER/NAME, and says in `file` what a manifest says of it. PG_EIO. */
int pg_image_list_write(pg_image_list *list, const char *folder, const char *name, pg_manifest_file *file) PG_MUST_USE;
/* Reads FOLDER/file->name and checks it against the manifest. PG_EDAMAGED; release in any case. */
int pg_image_list_read(const char *folder, const pg_manifest *manifest, const pg_manifest_file *file,
                       pg_image_list *out) PG_MUST_USE;

#endif
