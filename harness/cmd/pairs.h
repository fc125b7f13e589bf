/* Cells of two sides, paired for `diff`: by all settings that both sides have, but those that differ overall.
 *
 * A setting is a key of matrix files, or an option of a cell's own defense, attack or null model; it goes by its own name where
 * that is no other setting's, so that "threshold" of two defenses is one. It differs overall where no value of the one side is
 * one of the other. Data set and images never do: only equal images can be compared. Where cells of a side agree in all
 * settings that pair, each is paired with each of the other side. */
#ifndef PG_CMD_PAIRS_H
#define PG_CMD_PAIRS_H

#include "db/store.h"
#include "harness/base/memory.h"

typedef struct pg_side_cell {
    const char *id;
    const pg_setting *settings; /* sorted by key, with details or without */
    size_t n;
} pg_side_cell;
typedef struct pg_side {
    pg_side_cell *cells;
    size_t n;
} pg_side;

/* Value of a setting by the name that it has here; the default of a key that a store leaves out, "" where there is none. */
const char *pg_side_value(const pg_side_cell *cell, const char *name);

typedef struct pg_pair {
    const pg_side_cell *a, *b; /* one of them NULL: nothing to pair it with */
} pg_pair;

typedef struct pg_pairs {
    pg_pair *items;    /* in the order of the first side; what has no counterpart is behind them, */
    size_t n, paired;  /* of n the first `paired` */
    const char **same; /* names of the settings that pair, and of those of which some pair has two values */
    const char **other;
    size_t n_same, n_other;
    pg_memory memory; /* the inside */
} pg_pairs;

/* Cells are borrowed. *new* inside, pg_pairs_release, also after a failure. PG_EINPUT where no two cells make a pair. */
int pg_pairs_make(const pg_side *a, const pg_side *b, pg_pairs *out) PG_MUST_USE;
void pg_pairs_release(pg_pairs *pairs);
/* Whether pairs have more than one value of a setting, on side B or on side A; whether cells have, with or without a
 * counterpart; whether it is a setting of both sides that differs overall. */
bool pg_pairs_vary(const pg_pairs *pairs, const char *name, bool b);
bool pg_pairs_tells(const pg_pairs *pairs, const char *name);
bool pg_pairs_differ(const pg_pairs *pairs, const char *name);
/* The full key of a setting in the cells of these sides, its name here where it has several. */
const char *pg_pairs_key(const pg_pairs *pairs, const char *name, bool of_a, bool of_b);

#endif
