/* Whether this machine can draw a text: gnuplot's pictures are spoilt, and no error is told, where no font has a character. */
#ifndef PG_PLOTS_FONTS_H
#define PG_PLOTS_FONTS_H

#include "harness/base/buf.h"

/* Puts "?" in the place of each character that no installed font has; `missing` gets these characters once each, at most 20,
 * with blanks between them. PG_ENOMEM. */
int pg_fonts_replace(pg_buf *text, pg_buf *missing) PG_MUST_USE;

/* PG_EINPUT where no font of this family is installed, with the nearest; case does not count. */
int pg_fonts_check(const char *family) PG_MUST_USE;

#endif
