/* Files with state dicts: what is read has printable names without a twin, and each of its tensors is read whole or refused. */
#include "models/state_dict.h"
#include "tests/fuzz/fuzz.h"

#include <math.h>

enum { COUNT_MAX = 1 << 20 };

static void check_tensor(pg_state_file *f, const pg_state_dict *d, const pg_state_tensor *t)
{
    int64_t count = 1;
    FUZZ_CHECK(pg_state_find(d, t->name) == t && t->rank >= 0 && t->rank <= PG_ST_MAX_DIM);
    for (int i = 0; i < t->rank; i++) {
        FUZZ_CHECK(t->shape[i] >= 0);
        if (__builtin_mul_overflow(count, t->shape[i], &count) || count > COUNT_MAX)
            return;
    }
    float *values = malloc((size_t)count * sizeof *values + 1);
    if (!values)
        abort();
    int code = pg_state_read(f, t, values, (size_t)count);
    FUZZ_CHECK(code == PG_OK || code == PG_EDAMAGED || code == PG_EUNSUPPORTED || code == PG_EINPUT);
    for (int64_t i = 0; code == PG_OK && i < count; i++)
        FUZZ_CHECK(isfinite(values[i]));
    free(values);
}

PG_FUZZ(pth)
{
    pg_state_file *f = NULL;
    const pg_state_dict *d;
    int code = pg_state_open(fuzz_file(0, data, size), &f);
    FUZZ_CHECK(code == PG_OK || code == PG_EDAMAGED || code == PG_EUNSUPPORTED);
    FUZZ_CHECK((code == PG_OK) == (f != NULL));
    for (size_t i = 0; f && (d = pg_state_at(f, i)); i++) {
        for (size_t k = 0; k < d->n; k++)
            check_tensor(f, d, &d->tensors[k]);
    }
    pg_state_close(f);
    return 0;
}
