/* What the actions of `patchgauge data` share. */
#ifndef PG_CMD_DATA_H
#define PG_CMD_DATA_H

#include "harness/cmd/command.h"
#include "harness/data/image_folder.h"

/* How images are made to fit, unless told otherwise; the rows of getopt_long for it, and what the first three set ('r', 'c',
 * 'f'): PG_EUSAGE; 'k' is --skip-damaged. */
#define PG_DATA_FIT                                                    \
    {                                                                  \
        .resize_px = 256, .crop_px = 224, .filter = PG_FILTER_BILINEAR \
    }
#define PG_DATA_FIT_OPTIONS                                                           \
    {"resize", required_argument, NULL, 'r'}, {"crop", required_argument, NULL, 'c'}, \
        {"filter", required_argument, NULL, 'f'},                                     \
    {                                                                                 \
        "skip-damaged", no_argument, NULL, 'k'                                        \
    }
int pg_data_set_fit(const char *verb, int option, const char *text, pg_image_fit *fit) PG_MUST_USE;

/* Prints a line for each split of a data set. */
int pg_data_report(const pg_context *context, const char *name) PG_MUST_USE;

/* `data fetch`; argv[0] is "fetch" (data_fetch.c). */
int pg_data_fetch(const pg_context *context, int argc, char **argv) PG_MUST_USE;

#endif
