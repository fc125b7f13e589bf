#include "defenses/worst.h"

pg_value_range pg_value_range_of(const pg_evidence_spec *spec)
{
    int64_t lo, hi;
    (void)pg_evidence_range(spec, &lo, &hi); /* unbounded: where the grid ends */
    return (pg_value_range){(int32_t)lo, (int32_t)hi, spec->feature == PG_FEATURE_PREDICTION};
}

int pg_worst_position(const pg_evidence *evidence, const pg_windows *windows, const pg_worst *which, int cell)
{
    int row = (which->top + cell / windows->columns.length) % evidence->height;
    int column = (which->left + cell % windows->columns.length) % evidence->width;
    return row * evidence->width + column;
}

bool pg_worst_extreme(const pg_evidence *evidence, pg_window window, const void *config PG_UNUSED, const pg_worst *which,
                      void *scratch PG_UNUSED, int32_t *contents)
{
    if (which->variant > 0)
        return false;
    pg_value_range range = pg_value_range_of(evidence->spec);
    int64_t cells = pg_windows_of(evidence, window).k;
    for (int64_t i = 0; i < cells; i++)
        for (int c = 0; c < evidence->classes; c++)
            *contents++ = c == which->rival ? range.hi : range.lo;
    return true;
}
