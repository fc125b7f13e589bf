/* Text of others: UTF-8, what a terminal would act on, and the columns that text takes. Names of files, classes and settings
 * may hold anything; whatever prints them passes here. No state, any thread. */
#ifndef PG_BASE_TEXT_H
#define PG_BASE_TEXT_H

#include "harness/base/buf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A number that is a macro as a string literal. */
#define PG_STRING(number)  PG_STRING_(number)
#define PG_STRING_(number) #number

/* Bytes of the UTF-8 character that the text begins with, 1 for its end; 0 where it begins with none. U+FFFE, U+FFFF and
 * surrogates are no characters. */
size_t pg_utf8_size(const char *text);

/* Whether a terminal may act on the character that the text begins with: C0 (but not its end), delete, C1, also as a single
 * byte, and the marks that turn the direction of writing. */
bool pg_text_acts(const char *text);

/* Puts "?" for every such character but newlines and tabs, in place: for lines of messages. Bytes that are no UTF-8 stay. */
void pg_text_clean(char *text);

/* Columns of a terminal that the first `size` bytes take: 2 for wide characters, 0 for combining ones. Bytes that are no UTF-8
 * take 1. */
size_t pg_text_columns(const char *text, size_t size);

/* Appends the character that `text` begins with and returns its bytes. Control characters become "?", bytes that are no UTF-8
 * and the code points that XML forbids become U+FFFD, so that neither terminals nor readers of files act on or trip over them.
 */
size_t pg_text_add(const char *text, pg_buf *out);
/* The same for a whole text, with `newline` for every "\n"; escaped where `markdown`. */
void pg_text_flat(const char *text, const char *newline, bool markdown, pg_buf *out);

/* The end of a noun that is counted: "1 task", "2 tasks". */
static inline const char *pg_plural(int64_t n) { return n == 1 ? "" : "s"; }

#endif
