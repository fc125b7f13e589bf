/* UTF-8 of others: characters, what a terminal would act on, and the columns that text takes. No state, any thread. */
#ifndef PG_BASE_UTF8_H
#define PG_BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>

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

#endif
