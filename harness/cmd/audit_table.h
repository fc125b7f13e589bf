/* The table of an audit: a line for each cell and level. */
#ifndef PG_CMD_AUDIT_TABLE_H
#define PG_CMD_AUDIT_TABLE_H

#include "harness/run/audit.h"

typedef enum pg_audit_format { PG_AUDIT_TEXT, PG_AUDIT_CSV, PG_AUDIT_JSON } pg_audit_format;

/* Appends the table; text with notes below it. Cells are told apart by defense, patch and what else the plan lets vary. */
int pg_audit_table(const pg_plan *plan, const pg_audit_row *rows, size_t n, pg_audit_format format, pg_buf *out) PG_MUST_USE;

#endif
