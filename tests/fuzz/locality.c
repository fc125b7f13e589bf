/* Measurements beside weights: what is read is within its limits, and what it says together, too. */
#include "harness/base/hash.h"
#include "models/locality.h"
#include "tests/fuzz/folder.h"
#include "tests/fuzz/fuzz.h"

static void check(const pg_weights_info *info)
{
    FUZZ_CHECK(info->n_measured >= 0 && info->n_measured <= PG_LOCALITY_LINES);
    for (int i = 0; i < info->n_measured; i++) {
        const pg_locality *l = &info->measured[i];
        FUZZ_CHECK(l->delta_grid >= 0 && l->delta_grid <= PG_LOCALITY_MAX && l->outside >= 0 && l->outside <= l->trials &&
                   l->batch >= 1);
        for (int any = 0; any < 2; any++) {
            pg_locality_result found;
            pg_locality_find(info, l->dtype, l->batch, any, &found);
            FUZZ_CHECK(found.delta_grid >= 0 && found.delta_grid <= PG_LOCALITY_MAX);
            FUZZ_CHECK(any || !l->measured || (found.measured && found.delta_grid >= l->delta_grid));
            FUZZ_CHECK(!any || !found.measured || !l->measured || !l->moved || found.delta_grid == PG_LOCALITY_MAX ||
                       found.delta_grid >= l->delta_grid + l->moved_grid);
            pg_locality_names(found.kinds, "cuda:0", l->isa);
        }
    }
}

PG_FUZZ(locality)
{
    pg_weights_info info = {.geometry = {.rows = {.field = 1}}};
    memset(info.hash, 'a', PG_HASH_HEX - 1);
    fuzz_write("net.locality", (const char *)data, size);
    int code = pg_locality_read(fuzz_path("net"), &info);
    FUZZ_CHECK(code == PG_OK || code == PG_EDAMAGED || code == PG_EINPUT);
    FUZZ_CHECK(code == PG_OK || info.n_measured == 0);
    check(&info);
    char *text = strndup((const char *)data, size);
    pg_locality parsed;
    if (text && pg_locality_parse(text, &parsed) == PG_OK) {
        char again[PG_LOCALITY_TEXT];
        pg_locality_format(&parsed, again);
        pg_locality second;
        FUZZ_CHECK(pg_locality_parse(again, &second) == PG_OK && second.delta_grid == parsed.delta_grid &&
                   second.batch == parsed.batch);
    }
    free(text);
    return 0;
}
