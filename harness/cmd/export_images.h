/* Results image by image: rows and files of `export --images`, from the database alone but for evidence. */
#ifndef PG_CMD_EXPORT_IMAGES_H
#define PG_CMD_EXPORT_IMAGES_H

#include "harness/base/npy.h"
#include "harness/cmd/matrix_args.h"
#include "harness/cmd/output.h"

/* The files beside the rows. */
typedef struct pg_images_files {
    const char *folder; /* NULL: none */
    bool evidence;      /* with a matrix only */
    const char *device; /* and threads, for evidence */
    int64_t threads;
} pg_images_files;

/* Rows for a pg_images_files at an offset of the request. */
/* clang-format off */
#define PG_IMAGES_FILES_ROW(at)                                                                                              \
    {0, "files", "DIR", "with --images: a folder, made as a whole, with the rows and for each attacked cell its patches as " \
     ".npy and PNG", NULL, (at) + offsetof(pg_images_files, folder), PG_TEXT_FULL}
#define PG_IMAGES_EVIDENCE_ROW(at)                                                                                        \
    {0, "evidence", NULL, "with --files: evidence and masked windows of each cell as .npy, too, computed again by its "   \
     "network", NULL, (at) + offsetof(pg_images_files, evidence), PG_FLAG}
/* clang-format on */

/* Prints a row for each image with an outcome, cell by cell, with the columns of the view image_result (db/migrate-5.sql), to
 * standard output or a file; or writes a folder, at once and whole, in the place of a new or empty one or one with nothing in
 * it but what this wrote before: images.csv, .json or .jsonl with the rows, and for each cell with an attack or evidence a
 * folder named by the first 12 digits of its id: images.npy           int64 [n]: the images, for the first axis of the other
 * arrays patches.npy          uint8 [n][3][height][width], of the attack, and each as IMAGE.png evidence.npy         int32
 * [n][rows][columns][classes], units of 2^-20, of the clean image; INT32_MIN where a local logit of the image is a NaN or an
 * infinity masks.npy            uint8 [n][rows][columns], of a masking rule: 1 in the window that it leaves out of the score of
 * the predicted class, where it leaves out one attacked-evidence.npy, attacked-masks.npy: the same with the patch In memory are
 * the attacks of one cell, without their patches. Evidence is of cells that are done: local logits are computed again in a
 * process of its own, with the patches of one cell in memory. PG_EUSAGE, PG_EINPUT, PG_EDAMAGED, PG_EIO, PG_ENOMEM,
 * PG_EINTERRUPTED: nothing is written. */
int pg_images_export(const pg_context *context, const pg_matrix_args *args, pg_output *output,
                     const pg_images_files *files) PG_MUST_USE;

/* ---- Private to the files of export_images ---- */

/* An array that is written item by item. */
typedef struct pg_npy_file {
    pg_file_writer file;
    size_t item; /* bytes */
} pg_npy_file;
int pg_npy_file_begin(pg_npy_file *out, const char *folder, const char *name, pg_npy_dtype dtype, int rank,
                      const int64_t *shape) PG_MUST_USE;
int pg_npy_file_add(pg_npy_file *out, const void *item) PG_MUST_USE;
/* Puts it in place, or after a failure `code` removes it. The code, or PG_EIO. Harmless where it was not begun. */
int pg_npy_file_end(pg_npy_file *out, int code) PG_MUST_USE;

/* The evidence of one cell, into its folder (export_evidence.c). */
int pg_evidence_export(const pg_cell *cell, const char *db_path, const char *data_dir, const pg_images_files *files,
                       const char *folder) PG_MUST_USE;

#endif
