/* Features and labels of any framework, as `certify` reads them: arrays of local logits, one image after the other, whatever
 * their layout, and the window that a patch makes on their map. */
#ifndef PG_CMD_DUMP_H
#define PG_CMD_DUMP_H

#include "defenses/defense.h"
#include "harness/base/npy.h"

typedef enum pg_dump_layout { PG_LAYOUT_ASSUMED, PG_LAYOUT_NHWC, PG_LAYOUT_NCHW } pg_dump_layout;

typedef struct pg_dump_request {
    const char *features, *labels;         /* files */
    const char *features_key, *labels_key; /* members of .npz archives; NULL: not named */
    pg_dump_layout layout;                 /* assumed: nhwc, unless the shape or a label speaks against it */
    int64_t grid;                          /* values are rounded to multiples of 2^-grid, half to even; -1: they are not */
} pg_dump_request;

typedef struct pg_dump {
    pg_npy features;
    int64_t n; /* images */
    int height, width, classes;
    int *labels;  /* [n] */
    bool wide;    /* images are double, else float */
    bool nchw;    /* as stored */
    int grid;     /* of the request */
    void *stored; /* private: one image as it lies in the file, */
    void *image;  /* and as it is handed out */
} pg_dump;

/* *new*, pg_dump_close. Says on standard error what was read and in which layout. Besides what pg_npy_open fails with:
 * PG_EINPUT where the arrays are no features and labels, do not fit each other, or leave the layout in doubt. */
int pg_dump_open(const pg_dump_request *request, pg_dump *out) PG_MUST_USE;
void pg_dump_close(pg_dump *dump);

/* The next image, [height][width][classes] of float, or of double where `wide`; valid until the next call. */
int pg_dump_next(pg_dump *dump, const void **image) PG_MUST_USE;

/* What a window is worked out from; texts as given on the command line, NULL where not given. */
typedef struct pg_dump_patch {
    const char *patch, *field, *stride, *pixels;
} pg_dump_patch;

/* The window on the map of a dump, said on standard error. PG_EUSAGE (one is missing or no size), PG_EINPUT (no such map). */
int pg_dump_window(const pg_dump *dump, const pg_dump_patch *patch, bool wrap_rows, bool wrap_columns,
                   pg_window *out) PG_MUST_USE;

#endif
