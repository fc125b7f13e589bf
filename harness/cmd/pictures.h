/* Images of cells as PNG files in memory, with the patches that the database has: what the report and the gallery show. */
#ifndef PG_CMD_PICTURES_H
#define PG_CMD_PICTURES_H

#include "db/store.h"
#include "harness/cmd/class_names.h"

/* Begins with data_dir alone; the data set that was read last stays open. */
typedef struct pg_pictures {
    const char *data_dir;
    const pg_dataset_info *info;   /* of the cell that was chosen, */
    int image_height, image_width; /* pixels of its images where the patch is put on, before or after a resize, */
    int patch_height, patch_width;
    bool before;          /* it is put on before the resize */
    pg_class_names names; /* of its classes */
    /* the inside */
    pg_dataset *dataset; /* NULL: none, or it is not here */
    char *dataset_spec;  /* that was tried last */
    uint8_t *pixels;     /* [3][image_height][image_width] */
} pg_pictures;

/* Opens the data set of a cell, whose images are read next. *there = false: the data set is missing or has changed since the
 * run, which a warning says once. */
int pg_pictures_choose(pg_pictures *pictures, const pg_cell_result *cell, bool *there) PG_MUST_USE;
/* *new* bytes of image number `image`, with the patch of an attack, which may be NULL, on it; *png NULL where the patch does
 * not fit or was not kept. PG_EIO, PG_EDAMAGED, PG_ENOMEM. */
int pg_pictures_png(pg_pictures *pictures, int64_t image, const pg_attack_row *attack, void **png, size_t *size) PG_MUST_USE;
void pg_pictures_close(pg_pictures *pictures);

#endif
