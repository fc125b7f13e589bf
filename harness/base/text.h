/* Text of others in buffers. Names of files, classes and settings may hold anything; whatever prints them passes here. No
 * state, any thread. */
#ifndef PG_BASE_TEXT_H
#define PG_BASE_TEXT_H

#include "harness/base/buf.h"
#include "harness/base/utf8.h"

#include <stdint.h>

/* A number that is a macro as a string literal. */
#define PG_STRING(number)  PG_STRING_(number)
#define PG_STRING_(number) #number

/* Appends the character that `text` begins with and returns its bytes. Control characters become "?", bytes that are no UTF-8
 * and the code points that XML forbids become U+FFFD, so that neither terminals nor readers of files act on or
 * trip over them. */
size_t pg_text_add(const char *text, pg_buf *out);
/* The same for a whole text, with `newline` for every "\n"; escaped where `markdown`. */
void pg_text_flat(const char *text, const char *newline, bool markdown, pg_buf *out);

/* Appends one word that a POSIX shell takes as exactly this text, whatever bytes it holds; quoted only where it has to be. */
void pg_shell_word(pg_buf *out, const char *text);

/* The end of a noun that is counted: "1 task", "2 tasks". */
static inline const char *pg_plural(int64_t n) { return n == 1 ? "" : "s"; }

#endif
