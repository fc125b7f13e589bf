/* The man page and the completion of bash: `patchgauge help man`, `patchgauge help completion`. */
#ifndef PG_CMD_MANUAL_H
#define PG_CMD_MANUAL_H

#include "harness/base/buf.h"

#include <stdio.h>

void pg_manual_page(FILE *out);       /* roff, section 1 */
void pg_manual_completion(FILE *out); /* a script for bash */

/* What `help` prints, too (help.c). */
extern const char pg_help_globals[], pg_help_exit_codes[];
void pg_help_matrix(pg_buf *out);

#endif
