/* Which kind of victim a network and a defense make. See victim.h. */
#include "harness/target/victim.h"

#include <stdlib.h>

static void close_sizes(pg_victim *victim) { free(victim); }

static int open_sizes(pg_victim **out)
{
    static const pg_victim_ops ops = {.close = close_sizes};
    if (!(*out = calloc(1, sizeof **out)))
        return pg_fail(PG_ENOMEM, "out of memory");
    (*out)->ops = &ops;
    return PG_OK;
}

int pg_victim_open(const pg_victim_request *r, pg_victim **out)
{
    const pg_geometry *g = &pg_network_info(r->network)->geometry;
    const pg_defense *defense = pg_evaluator_defense(r->evaluator);
    bool adaptive = defense->surrogate && !r->gradient_of_mean;
    int height = r->resize ? r->resize->from_height : g->input_height;
    int width = r->resize ? r->resize->from_width : g->input_width;
    *out = NULL;
    if (r->patch_height < 1 || r->patch_width < 1 || r->patch_height > height || r->patch_width > width)
        return pg_fail(PG_EINPUT, "a patch of %dx%d pixels does not fit into an image of %dx%d", r->patch_height,
                       r->patch_width, height, width);
    if (r->slots < 1)
        return pg_fail(PG_EINPUT, "%d images under attack at a time; at least 1", r->slots);
    bool gradients = pg_network_scope(pg_network_base(r->network)) != NULL, masked = pg_network_base(r->network) != r->network;
    int code = r->sizes_only ? open_sizes(out)
               : !gradients  ? pg_victim_plain_open(r, g, out)
               : masked      ? pg_victim_masked_open(r, out)
                             : pg_victim_crop_open(r, g, out);
    if (code != PG_OK)
        return code;
    pg_victim *v = *out;
    pg_victim_set_sizes(v, r, g);
    v->kinds = adaptive && defense->surrogates ? defense->surrogates(pg_evaluator_config(r->evaluator)) : 1;
    return PG_OK;
}
