/* --only KEY=VALUE: the cells that a command takes, by their settings. It chooses among the cells that there are and never
 * changes one, as -S does.
 *
 * Of one key any of the values is enough, of several keys each needs one. Keys have the names of today; an option may go
 * without its module, as in pg_settings_value. Values are those that `ls` and `table` show, or equal numbers; weights also go
 * by the name of their file without folder and ".safetensors", and a patch by its pixels, as 5 or 5x5. */
#ifndef PG_CMD_ONLY_H
#define PG_CMD_ONLY_H

#include "harness/base/cli.h"
#include "harness/plan/plan.h"

/* What was given, resolved: for each key the values that cells have and that were meant. */
typedef struct pg_only_term {
    char *key;      /* as given, with the name of today */
    bool absent;    /* the default was meant: cells without this key as well */
    pg_setting *of; /* any of these: a key, in full where the settings are those of a store, and its value */
    size_t n;
} pg_only_term;
typedef struct pg_only {
    pg_only_term *terms;
    size_t n;
} pg_only;

/* Resolves `given` against the cells of a plan; `option` names it in messages. *new* inside, pg_only_release, also after a
 * failure. PG_EUSAGE: not KEY=VALUE. PG_EINPUT: no cell has such a key or value, with the nearest that there is. */
int pg_only_resolve(const char *option, const pg_texts *given, const pg_plan *plan, pg_only *out) PG_MUST_USE;
void pg_only_release(pg_only *only);
/* Whether settings, sorted by key, are chosen. */
bool pg_only_holds(const pg_only *only, const pg_setting *settings, size_t n);

/* Whether a key is what people set: one of matrix files, or an option of the defense, the attack or the null model of these
 * settings; else it is a detail. */
bool pg_only_is_setting(const char *key, const pg_setting *settings, size_t n);

/* Leaves in the plan the cells that are chosen; all where nothing was given. Errors as above, and where no cell has all of it.
 */
int pg_only_choose(const pg_texts *given, pg_plan *plan) PG_MUST_USE;
/* The same of the cells of a store in a state (-1: any); `out` is *new* inside, pg_cell_set_release, also after a failure. */
int pg_only_choose_stored(const char *option, const pg_texts *given, pg_store *store, int state, pg_cell_set *out) PG_MUST_USE;
/* Calls `each` for the cell whose id begins with `cell`, or for all that --only chooses, in the order of creation: one of the
 * two is given, else PG_EUSAGE in the name of the command. */
int pg_only_each(const char *command, const char *cell, const pg_texts *only, pg_store *store,
                 int (*each)(pg_store *store, const char *cell_id, void *context), void *context) PG_MUST_USE;
/* The operand for it. */
/* clang-format off */
#define PG_CELL_ROW(at)                                                                                                   \
    {0, NULL, "CELL", "a cell id or its first digits, at least four; `patchgauge ls` lists them", NULL, (at), PG_TEXT}
/* clang-format on */

#endif
