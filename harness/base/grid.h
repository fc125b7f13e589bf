/* The grid on which local logits become integers: one unit of evidence is PG_GRID steps (defenses/evidence.h). Margins and
 * measured changes are counted in steps. */
#ifndef PG_BASE_GRID_H
#define PG_BASE_GRID_H

#include <stdint.h>

enum { PG_GRID_BITS = 20, PG_GRID = 1 << PG_GRID_BITS };

/* Steps in units of evidence, for printing. */
static inline double pg_grid_value(int64_t steps) { return (double)steps / PG_GRID; }

#endif
