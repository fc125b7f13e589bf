/* The contact sheet: attacked images, one beside the other, with what the classifier saw of them.
 *
 * Each image has four pictures: as it was, with the patch (outlined), and the evidence on the attacked image for the true class
 * and for its strongest rival, the winner where the patch breaks the image and else the runner-up: red for and blue against
 * the class, on one scale for all images, with a colour bar; where the defense masks, the masked window is outlined. Evidence
 * lies where its fields are centred on the image. Drawn by gnuplot as every figure is: texts as data in sheet.tsv, pixels and
 * evidence in sheet-pixels.npy and sheet-evidence.npy. One thread. */
#ifndef PG_PLOTS_SHEET_H
#define PG_PLOTS_SHEET_H

#include "harness/base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { PG_SHEET_MAX = 64 }; /* images of a sheet */

/* Where the positions of an axis lie: position i on the pixels from start + i * step to start + (i + 1) * step. */
typedef struct pg_sheet_axis {
    int positions, size; /* of the map; of the image, pixels */
    double start, step;
    bool wrap; /* behind the last pixel comes the first */
} pg_sheet_axis;

/* The evidence for one class. */
typedef struct pg_sheet_map {
    const char *class_name;
    const float *values; /* [rows][columns]; a NaN is left blank */
    double score;        /* sum of the evidence that is not left out, printed */
    bool masked;         /* the window below, in positions, is left out */
    int top, left, height, width;
} pg_sheet_map;

/* One image; everything borrowed. */
typedef struct pg_sheet_image {
    int64_t index, steps;
    const char *label, *after; /* names of classes: the true one, the one seen with the patch */
    bool broken;
    bool won; /* the class of the second map is the one seen with the patch; false: it is the runner-up */
    const uint8_t *clean, *attacked; /* [3][height][width] */
    int patch_top, patch_left, patch_height, patch_width;
    pg_sheet_map maps[2]; /* of the true class, of its rival */
} pg_sheet_image;

typedef struct pg_sheet {
    const char *title, *subtitle;
    pg_sheet_axis rows, columns;
    const pg_sheet_image *images;
    size_t n; /* 1 to PG_SHEET_MAX */
} pg_sheet;

/* Writes sheet.tsv, sheet.gp, both arrays, sheet.svg and sheet.png into the folder, which is made where it is missing.
 * PG_EINPUT, PG_EMISSING (no gnuplot), PG_EIO, PG_ENOMEM. */
int pg_sheet_draw(const pg_sheet *sheet, const char *folder) PG_MUST_USE;

#endif
