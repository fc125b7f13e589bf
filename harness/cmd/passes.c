#include "harness/cmd/passes.h"

#include "models/model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

pg_measured pg_measured_of(const pg_cell_result *r)
{
    return (pg_measured){.has_delta = r->has_delta,
                         .model = pg_cell_result_setting(r, "model"),
                         .kinds = pg_cell_result_setting(r, "locality.on"),
                         .batch = atoi(pg_cell_result_setting(r, "batch"))};
}

/* The kind of instruction set at the end of a library; "" where it is not recorded. */
static const char *isa_of(const char *library)
{
    const char *found = "";
    for (const char *at = library; (at = strstr(at, PG_LIBRARY_ISA)); found = at)
        at += sizeof PG_LIBRARY_ISA - 1;
    return found;
}

typedef struct counting {
    const pg_measured *measured;
    pg_passes *out;
} counting;

static int count_pass(const pg_pass_record *p, void *context)
{
    const pg_measured *m = ((counting *)context)->measured;
    pg_passes *out = ((counting *)context)->out;
    const char *isa = isa_of(p->library);
    bool smaller = p->batch > 0 && p->batch < m->batch;
    out->smallest_batch = out->smallest_batch == 0 || p->batch < out->smallest_batch ? p->batch : out->smallest_batch;
    out->smaller_batch |= smaller;
    if (!m->has_delta || strcmp(m->model, "null") == 0 || (!smaller && pg_locality_names(m->kinds, p->device, isa)))
        return PG_OK;
    if (out->images == 0) {
        int n = snprintf(out->on, sizeof out->on, "%.*s%s%.48s", (int)strcspn(p->device, ":"), p->device, *isa ? " " : "", isa);
        if (smaller && n > 0 && n < (int)sizeof out->on)
            snprintf(out->on + n, sizeof out->on - (size_t)n, " in batches of %d", p->batch);
    }
    out->images += p->images;
    out->certified += p->certified;
    return PG_OK;
}

int pg_passes_of(pg_store *store, const char *cell_id, const pg_measured *measured, pg_passes *out)
{
    counting c = {measured, out};
    *out = (pg_passes){0};
    return pg_store_each_pass(store, cell_id, count_pass, &c);
}
