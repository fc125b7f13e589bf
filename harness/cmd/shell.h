/* Text for a shell to read. */
#ifndef PG_CMD_SHELL_H
#define PG_CMD_SHELL_H

#include "harness/base/buf.h"

/* Adds one word that a POSIX shell takes as exactly this text, whatever bytes it holds; quoted only where it has to be. */
void pg_shell_word(pg_buf *out, const char *text);

#endif
