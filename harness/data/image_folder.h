/* Folders of photographs as data sets: SPLIT/CLASS/FILE, where a split is train, val or test, classes are the sorted names of
 * the sub-folders, the same in every split, and files are JPEG or PNG (image.h). Hidden files and what file managers put beside
 * files are left out (pg_clutter).
 *
 * Imported under a name they lie in DATA/NAME with a list for each split (image_list.h) and the manifest. Images are in the
 * order of their SHA-256: a fixed shuffle, so that the first n images of a split are a random sample. They are decoded and made
 * to fit (resize.h) when they are read, and nothing that was changed since the import is ever read. */
#ifndef PG_DATA_IMAGE_FOLDER_H
#define PG_DATA_IMAGE_FOLDER_H

#include "harness/data/kind.h"

typedef struct pg_image_fit {
    int resize_px, crop_px; /* 1 <= crop <= resize <= PG_MANIFEST_SIDE: see pg_resize_crop */
    pg_filter filter;
} pg_image_fit;

/* Reads and checks every image of `source`, then puts hard links, or copies, to DATA/NAME, all or nothing; a set imported
 * before is replaced. The source is a folder or an archive (pg_unpack_folder), with the splits at its top or within folders of
 * one entry. Files that cannot be used are named, the first ones as warnings, and end the import, unless `left_out` is given:
 * then the set is that of the other files, as if they were all, DATA/NAME/skipped.txt has a line "SPLIT/CLASS/FILE<TAB>REASON"
 * for each of these files, and *left_out is their number. PG_EMISSING (no such folder, no split in it), PG_EINPUT, PG_EDAMAGED
 * (archive), PG_EIO. */
#define PG_IMAGE_FOLDER_SKIPPED "skipped.txt"
int pg_image_folder_import(const char *data_dir, const char *name, const char *source, const pg_image_fit *fit,
                           int64_t *left_out) PG_MUST_USE;

/* What pg_image_folder_import refuses without a look at a source: name, fit, and a folder DATA/NAME that it did not make.
 * PG_EINPUT. */
int pg_image_folder_check(const char *data_dir, const char *name, const pg_image_fit *fit) PG_MUST_USE;

/* Downloads an archive into DATA and imports it. What arrived before an interruption is kept and used by the next call. Errors
 * of pg_fetch_run and pg_image_folder_import. */
int pg_image_folder_fetch(const char *data_dir, const char *name, const pg_fetch *fetch, const pg_image_fit *fit,
                          int64_t *left_out) PG_MUST_USE;

/* ---- For kinds of data sets that lie in such folders ---- */

/* Options of import and fetch; first in the struct of a kind that has more. */
typedef struct pg_image_folder_options {
    int64_t resize_px, crop_px;
    int filter; /* pg_filter */
    bool skip_damaged;
} pg_image_folder_options;
extern const pg_option pg_image_folder_option_table[];

/* Hooks (kind.h); fetch takes the archive as it is given. */
int pg_image_folder_find_splits(const char *data_dir, const char *name, bool *has) PG_MUST_USE;
int pg_image_folder_open(const char *data_dir, pg_dataset *dataset) PG_MUST_USE;
int pg_image_folder_read(const pg_dataset *dataset, int64_t first, int64_t count, uint8_t *pixels, int32_t *labels) PG_MUST_USE;
void pg_image_folder_close(pg_dataset *dataset);
int pg_image_folder_import_with(const char *data_dir, const char *name, const char *source, const void *config) PG_MUST_USE;
int pg_image_folder_fetch_with(const char *data_dir, const char *name, const pg_fetch *given, const void *config) PG_MUST_USE;

/* Reads the manifest of an imported set. PG_EMISSING, PG_EDAMAGED; release in any case. */
int pg_image_folder_manifest(const char *data_dir, const char *name, pg_manifest *out) PG_MUST_USE;

/* Rehashes lists and images. `report` is told of each list, of each damaged image, and of each split that is whole. */
int pg_image_folder_verify(const char *data_dir, const char *name, pg_manifest_report *report, void *context) PG_MUST_USE;

extern const char *const pg_image_folder_splits[]; /* all there may be; NULL-terminated */

#endif
