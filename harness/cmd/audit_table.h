/* The table of an audit: a line for each cell and level. */
#ifndef PG_CMD_AUDIT_TABLE_H
#define PG_CMD_AUDIT_TABLE_H

#include "harness/audit/audit.h"
#include "harness/cmd/output.h"

/* The audits of the plan's cells that a store holds, at the levels asked for: rows[0..*n), *new*, pg_audit_rows_free, also
 * after a failure. What a store does not keep is -1: contents, sampled, and where the cell was not run also correct and
 * published. */
int pg_audit_stored(const pg_plan *plan, pg_store *store, const bool levels[PG_AUDIT_LEVELS], pg_audit_row **rows,
                    size_t *n) PG_MUST_USE;

/* Prints the table in any format but LaTeX; text and md with notes below it. Cells are told apart by defense, patch and what
 * else the plan lets vary. */
int pg_audit_table(const pg_plan *plan, const pg_audit_row *rows, size_t n, const pg_output *output) PG_MUST_USE;

#endif
