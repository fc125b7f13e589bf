/* patchgauge show: all that is known of one cell. */
#include "harness/base/grid.h"
#include "harness/cmd/command.h"
#include "harness/base/text.h"
#include "harness/cmd/passes.h"
#include "harness/cmd/print.h"
#include "db/store.h"
#include "harness/base/stats.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

PG_COMMAND(show)

static void print_count(const char *name, int64_t count, int64_t n)
{
    char share[32] = "";
    if (n > 0)
        snprintf(share, sizeof share, " (%.2f%%)", 100.0 * (double)count / (double)n);
    pg_print("  %-20s %" PRId64 "%s\n", name, count, share);
}

/* A count of the n images, or of those of which it is known. */
static void print_known(const char *name, int64_t count, int64_t known, int64_t n)
{
    if (known == 0 && n > 0)
        pg_print("  %-20s not counted\n", name);
    else if (known < n)
        pg_print("  %-20s %" PRId64 " of %" PRId64 "; not counted in the others\n", name, count, known);
    else
        print_count(name, count, n);
}

static void print_results(const pg_cell_result *r)
{
    pg_print("results\n  %-20s %" PRId64 " of %" PRId64 " (images %" PRId64 ":%" PRId64 ")\n", "images", r->n, r->images,
             r->first, r->first + r->images);
    print_count("clean correct", r->clean, r->n);
    print_count("certified", r->certified, r->n);
    if (r->has_published) {
        print_count("certified_published", r->certified_published, r->n);
        const int64_t *n = r->cases;
        _Static_assert(PG_CASES == 5, "the line has five");
        pg_print("  %-20s %" PRId64 " %" PRId64 " %" PRId64 " %" PRId64 " %" PRId64 "\n", "failure cases 0-4", n[0], n[1], n[2],
                 n[3], n[4]);
    }
    print_count("masked, clean image", r->masked, r->n);
    print_count("non-finite", r->nonfinite, r->n);
    print_known("saturated", r->saturated, r->saturated_n, r->n);
    print_known("differs in double", r->differs, r->differs_n, r->n);
    if (r->has_smallest_margin)
        pg_print("  %-20s %.9f\n", "smallest margin > 0", pg_grid_value(r->smallest_margin));
    const char *locality = pg_cell_result_setting(r, "locality"), *on = pg_cell_result_setting(r, "locality.on");
    if (strcmp(locality, "no position outside") == 0)
        pg_print("  %-20s no position lies outside a patch's reach\n", "locality");
    else if (r->has_delta)
        pg_print("  %-20s delta %" PRId64 " (%.9f), applied to every certificate; measured%s%s, not proved\n", "locality",
                 r->delta, pg_grid_value(r->delta), *on ? " on " : "", on);
    else
        pg_print("  %-20s not measured; delta 0 was used\n", "locality");
}

typedef struct attack_sums {
    int64_t n, untouched, changed, steps;
} attack_sums;

static int add_attack(const pg_attack_row *a, void *context)
{
    attack_sums *sums = context;
    sums->n++;
    sums->untouched += a->steps == 0;
    sums->changed += a->steps > 0 && a->before == a->label && a->after != a->label;
    sums->steps += a->steps;
    return PG_OK;
}

/* What the attack did, where one ran. */
static int print_attack(pg_store *store, const pg_cell_result *r)
{
    attack_sums sums = {0};
    int64_t broken = 0, first = -1;
    int code = pg_store_each_attack(store, r->cell_id, add_attack, &sums);
    if (code == PG_OK)
        code = pg_store_broken(store, r->cell_id, &broken, &first);
    if (code != PG_OK || r->attacked_n == 0)
        return code;
    pg_interval share = pg_wilson(r->attacked, r->attacked_n);
    pg_print("attack %s, through the %s\n", pg_cell_result_setting(r, "attack"), pg_cell_result_setting(r, "attack.gradient"));
    pg_print("  %-20s %" PRId64 " of %" PRId64 " (%.2f%%, 95%% interval %.2f-%.2f)\n", "correct under attack", r->attacked,
             r->attacked_n, 100 * share.value, 100 * share.lo, 100 * share.hi);
    print_count("broken by it", sums.changed, sums.n);
    print_count("needed no patch", sums.untouched, sums.n);
    if (sums.n > sums.untouched)
        pg_print("  %-20s %.1f\n", "steps, mean", (double)sums.steps / (double)(sums.n - sums.untouched));
    if (broken > 0)
        pg_print("  %-20s %" PRId64 ", the first: image %" PRId64 "\n", "certificates broken", broken, first);
    else
        pg_print("  %-20s 0\n", "certificates broken");
    return PG_OK;
}

static void print_settings(const pg_cell_result *r)
{
    pg_print("settings\n");
    for (size_t i = 0; i < r->n_settings; i++)
        pg_print("  %-28s %s\n", r->settings[i].key, r->settings[i].value);
}

/* Gathered before they are printed: a slow reader of ours holds no lock. */
static int add_attempt_text(const pg_attempt_record *a, void *context)
{
    pg_buf *out = context;
    if (out->size == 0)
        pg_buf_printf(out, "attempts\n");
    pg_buf_printf(out, "  images %" PRId64 ":%" PRId64 " %s, epoch %" PRId64 ", %s, %s pid %" PRId64, a->first,
                  a->first + a->count, a->result, a->epoch, a->finished, a->host, a->pid);
    if (*a->device)
        pg_buf_printf(out, ", %s", a->device);
    if (*a->library)
        pg_buf_printf(out, ", %s", a->library);
    if (a->batch)
        pg_buf_printf(out, ", %d threads, batch %d, %.3f s (read %.3f, forward %.3f, certify %.3f), peak %" PRId64 " MiB",
                      a->threads, a->batch, a->wall_s, a->read_s, a->forward_s, a->certify_s, a->peak_bytes >> 20);
    if (a->cached)
        pg_buf_printf(out, ", %d image%s from the cache", a->cached, pg_plural(a->cached));
    pg_buf_printf(out, ", patchgauge %s%s%s\n", a->revision, *a->error ? ": " : "", a->error);
    return PG_OK;
}

static int add_audit_text(const pg_audit_record *a, void *context)
{
    pg_buf *out = context;
    if (out->size == 0)
        pg_buf_printf(out, "audits\n");
    pg_buf_printf(out,
                  "  %s: images %" PRId64 ", certified %" PRId64 ", broken %" PRId64 ", unbroken %" PRId64
                  ", published broken %" PRId64,
                  a->level, a->n, a->certified, a->broken, a->unbroken, a->published_broken);
    if (a->has_delta)
        pg_buf_printf(out, ", delta %" PRId64, a->delta);
    pg_buf_printf(out, ", %s", a->finished);
    for (const char *line = a->settings; *line; line += strcspn(line, "\n") + 1)
        pg_buf_printf(out, ", %.*s", (int)strcspn(line, "\n"), line);
    if (a->witness)
        pg_buf_printf(out, "\n    broke:");
    for (const char *line = a->witness ? a->witness : ""; *line; line += strcspn(line, "\n") + 1)
        pg_buf_printf(out, " %.*s", (int)strcspn(line, "\n"), line);
    pg_buf_printf(out, "\n");
    return PG_OK;
}

/* Where memory ran out, or images ran on what the locality was not measured on. */
static int print_passes(pg_store *store, const pg_cell_result *r)
{
    pg_passes passes;
    pg_measured measured = pg_measured_of(r);
    int code = pg_passes_of(store, r->cell_id, &measured, &passes);
    if (code == PG_OK && passes.smaller_batch)
        pg_print("  %-20s %d: memory ran out; local logits may differ in their last bits\n", "smallest batch",
                 passes.smallest_batch);
    if (code == PG_OK && passes.images > 0)
        pg_print("  %-20s %" PRId64 " images, %" PRId64 " certified, ran on %s, where the locality counts as not measured\n",
                 "unmeasured", passes.images, passes.certified, passes.on);
    return code;
}

static int show(pg_store *store, const char *cell_id)
{
    pg_cell_result result;
    pg_buf audits, attempts;
    int code = pg_store_cell_checked(store, cell_id, &result);
    if (code != PG_OK)
        return code;
    pg_print("cell %s\nstate %s%s%s\n", result.cell_id, pg_cell_state_name(result.state), result.error ? ": " : "",
             result.error ? result.error : "");
    print_settings(&result);
    print_results(&result);
    code = print_passes(store, &result);
    if (code == PG_OK)
        code = print_attack(store, &result);
    pg_cell_result_release(&result);
    if (code != PG_OK)
        return code;
    pg_buf_init(&audits);
    pg_buf_init(&attempts);
    code = pg_store_each_audit(store, cell_id, add_audit_text, &audits);
    if (code == PG_OK)
        code = pg_store_each_attempt(store, cell_id, add_attempt_text, &attempts);
    if (code == PG_OK)
        code = pg_buf_check(&audits);
    if (code == PG_OK)
        code = pg_buf_check(&attempts);
    if (code == PG_OK)
        pg_print("%s%s", audits.data, attempts.data);
    pg_buf_release(&audits);
    pg_buf_release(&attempts);
    return code;
}

typedef struct arguments {
    const char *cell;
} arguments;

static const pg_cli_row options[] = {
    {0, NULL, "CELL", "a cell id or its first digits, at least four; `patchgauge ls` lists them", NULL,
     offsetof(arguments, cell), PG_TEXT, PG_REQUIRED},
    PG_CLI_END,
};

static int run(const pg_context *context, void *request)
{
    const arguments *a = request;
    char cell_id[PG_HASH_HEX];
    pg_store *store = NULL;
    int code = pg_store_open(context->db_path, PG_STORE_READ, &store);
    if (code == PG_OK)
        code = pg_store_resolve(store, a->cell, cell_id);
    if (code == PG_OK)
        code = show(store, cell_id);
    pg_store_close(store);
    if (code == PG_OK && (ferror(stdout) || fflush(stdout) != 0))
        code = pg_fail(PG_EIO, "cannot write to standard output");
    return code;
}

const pg_command pg_command_show = {
    .name = "show",
    .synopsis = "show CELL",
    .summary = "show all that is known of one cell",
    .help =
        "Prints settings and content hashes, results so far with failure cases, smallest margin and locality, its audits, and "
        "every attempt with machine, library and times.\n",
    .examples = "  patchgauge show 2269\n",
    .rows = options,
    .request_size = sizeof(arguments),
    .run = run,
};
