/* Old names. Ids of cells are hashes of "key=value" lines, so the store keeps the names that keys had when their ids were first
 * made. Where such a name was not the field's term, people read and write another one: this is the only table of both. Old
 * names are still read in matrices and options; whatever is printed has the names of today. Pure functions. */
#ifndef PG_BASE_NAMES_H
#define PG_BASE_NAMES_H

#include "harness/base/buf.h"

/* Room for a key that these functions change; longer keys are nobody's and stay as they are. */
enum { PG_KEY_MAX = 192 };
/* By how much a line may be longer with other names. */
enum { PG_KEY_LONGER = 32 };

/* The name of today: `key` itself, or in `room` where it is an old one. */
const char *pg_key_today(const char *key, char room[PG_KEY_MAX]);
/* The same for a value of this key, which has the name of today. Borrowed or static. */
const char *pg_value_today(const char *key, const char *value);

/* Copies a line from..end, without a line end, with the names of today; the end of the copy, without a zero byte. `to`: room
 * for PG_KEY_LONGER more. */
char *pg_line_today(const char *from, const char *end, char *to);

/* Appends "key=value\n" lines with the names of today, and with those of the store. */
void pg_lines_today(const char *lines, pg_buf *out);
void pg_lines_stored(const char *lines, pg_buf *out);

#endif
