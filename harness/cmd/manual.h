/* The man page, the completion of bash, and the pages of modules: `patchgauge help man`, `help completion`, `help defenses`. */
#ifndef PG_CMD_MANUAL_H
#define PG_CMD_MANUAL_H

#include "harness/base/buf.h"

#include <stdbool.h>
#include <stdio.h>

void pg_manual_page(FILE *out);       /* roff, section 1 */
void pg_manual_completion(FILE *out); /* a script for bash */

/* All modules of a kind in Markdown, what `make docs` writes; false: `topic` is not "defenses", "attacks" or "models"
 * (manual_modules.c). */
bool pg_manual_modules(const char *topic, FILE *out);

/* What `help` prints, too. */
extern const char pg_help_exit_codes[];
void pg_help_matrix(size_t width, pg_buf *out);

#endif
