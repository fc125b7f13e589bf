/* patchgauge show: all that is known of one cell. */
#include "harness/base/grid.h"
#include "harness/base/text.h"
#include "harness/cmd/matrix_args.h"
#include "harness/cmd/only.h"
#include "harness/cmd/output.h"
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
    if (r->targeted > 0)
        print_count("target reached", r->reached, r->targeted);
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

static int print_cell(pg_store *store, const char *cell_id)
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

/* ---- For programs: a cell a row, with lists inside ---- */

static json_t *number_or_null(bool is, int64_t value) { return is ? json_integer(value) : json_null(); }
static json_t *real_or_null(bool is, double value) { return is ? json_real(value) : json_null(); }

/* "NAME_count", and its share in percent with the ends of its interval. */
static bool set_share(json_t *row, const char *name, int64_t count, int64_t n)
{
    static const char *const ends[] = {"", "_lo", "_hi"};
    bool is = count >= 0 && n > 0;
    pg_interval share = is ? pg_wilson(count, n) : (pg_interval){0};
    const double values[] = {share.value, share.lo, share.hi};
    char key[64];
    snprintf(key, sizeof key, "%s_count", name);
    bool good = json_object_set_new(row, key, number_or_null(count >= 0, count)) == 0;
    for (int i = 0; i < 3; i++) {
        snprintf(key, sizeof key, "%s%s", name, ends[i]);
        good = json_object_set_new(row, key, real_or_null(is, 100 * values[i])) == 0 && good;
    }
    return good;
}

static json_t *lines_of(const char *text)
{
    pg_setting *list = NULL;
    size_t n = 0;
    json_t *object = json_object();
    int code = pg_settings_parse(&text, 1, &list, &n);
    for (size_t i = 0; code == PG_OK && i < n; i++)
        code = json_object_set_new(object, list[i].key, pg_json_text(list[i].value)) == 0 ? PG_OK : PG_ENOMEM;
    free(list);
    if (code == PG_OK)
        return object;
    json_decref(object);
    return NULL;
}

static int add_row(json_t *list, json_t *row)
{
    return json_array_append_new(list, row) == 0 ? PG_OK : pg_fail(PG_ENOMEM, "out of memory for a cell");
}

static int add_audit_row(const pg_audit_record *a, void *context)
{
    return add_row(context, json_pack("{s:s, s:I, s:I, s:I, s:I, s:I, s:o, s:s, s:o, s:o}", "level", a->level, "n",
                                      (json_int_t)a->n, "certified", (json_int_t)a->certified, "broken", (json_int_t)a->broken,
                                      "unbroken", (json_int_t)a->unbroken, "published_broken", (json_int_t)a->published_broken,
                                      "delta", number_or_null(a->has_delta, a->delta), "finished", a->finished, "settings",
                                      lines_of(a->settings), "witness", a->witness ? lines_of(a->witness) : json_null()));
}

static int add_attempt_row(const pg_attempt_record *a, void *context)
{
    return add_row(context,
                   json_pack("{s:I, s:I, s:s, s:I, s:s, s:o, s:I, s:o, s:o, s:i, s:i, s:i, s:f, s:f, s:f, s:f, s:I, s:o, s:o}",
                             "first", (json_int_t)a->first, "count", (json_int_t)a->count, "result", a->result, "epoch",
                             (json_int_t)a->epoch, "finished", a->finished, "host", pg_json_text(a->host), "pid",
                             (json_int_t)a->pid, "device", pg_json_text(a->device), "library", pg_json_text(a->library),
                             "threads", a->threads, "batch", a->batch, "cached", a->cached, "wall_s", a->wall_s, "read_s",
                             a->read_s, "forward_s", a->forward_s, "certify_s", a->certify_s, "peak_bytes",
                             (json_int_t)a->peak_bytes, "revision", pg_json_text(a->revision), "error",
                             *a->error ? pg_json_text(a->error) : json_null()));
}

static bool set_counts(json_t *row, const pg_cell_result *r)
{
    static const char *const cases[] = {"case_0", "case_1", "case_2", "case_3", "case_4"};
    _Static_assert(PG_CASES == 5, "as named");
    bool under_attack = r->attacked_n > 0;
    bool good = set_share(row, "clean", r->clean, r->n) && set_share(row, "certified", r->certified, r->n) &&
                set_share(row, "certified_published", r->has_published ? r->certified_published : -1, r->n) &&
                set_share(row, "attacked", under_attack ? r->attacked : -1, r->attacked_n);
    for (int i = 0; i < PG_CASES; i++)
        good = json_object_set_new(row, cases[i], number_or_null(r->has_published, r->cases[i])) == 0 && good;
    json_t *others = json_pack("{s:I, s:I, s:o, s:o, s:o, s:o}", "false_positive_count", (json_int_t)r->masked, "nonfinite",
                               (json_int_t)r->nonfinite, "saturated", number_or_null(r->saturated_n == r->n, r->saturated),
                               "differs", number_or_null(r->differs_n == r->n, r->differs), "smallest_margin",
                               real_or_null(r->has_smallest_margin, pg_grid_value(r->smallest_margin)), "measured_delta",
                               real_or_null(r->has_delta, pg_grid_value(r->delta)));
    good = others && json_object_update(row, others) == 0 && good;
    json_decref(others);
    return good;
}

/* What the attack and the passes did. */
static int set_facts(pg_store *store, const pg_cell_result *r, json_t *row)
{
    attack_sums sums = {0};
    int64_t broken = 0, first = -1, attacked = 0;
    pg_passes passes = {0};
    pg_measured measured = pg_measured_of(r);
    bool under_attack = r->attacked_n > 0;
    int code = pg_store_each_attack(store, r->cell_id, add_attack, &sums);
    if (code == PG_OK)
        code = pg_store_broken(store, r->cell_id, &broken, &first);
    if (code == PG_OK)
        code = pg_passes_of(store, r->cell_id, &measured, &passes);
    attacked = sums.n - sums.untouched;
    json_t *facts = json_pack(
        "{s:o, s:o, s:o, s:o, s:o, s:o, s:I, s:I}", "attack_changed", number_or_null(under_attack, sums.changed),
        "attack_needless", number_or_null(under_attack, sums.untouched), "attack_mean_steps",
        real_or_null(under_attack && attacked > 0, (double)sums.steps / (double)(attacked > 0 ? attacked : 1)),
        "certificates_broken", number_or_null(under_attack, broken), "first_broken", number_or_null(broken > 0, first),
        "smallest_batch", number_or_null(passes.smallest_batch > 0, passes.smallest_batch), "unmeasured_images",
        (json_int_t)passes.images, "unmeasured_certified", (json_int_t)passes.certified);
    if (code == PG_OK && (!facts || json_object_update(row, facts) != 0))
        code = pg_fail(PG_ENOMEM, "out of memory for a cell");
    json_decref(facts);
    return code;
}

static int add_cell(pg_store *store, const char *cell_id, json_t *rows)
{
    pg_cell_result r;
    json_t *settings = json_object(), *audits = json_array(), *attempts = json_array();
    int code = pg_store_cell_checked(store, cell_id, &r);
    if (code != PG_OK)
        r = (pg_cell_result){0};
    json_t *row = json_pack("{s:s, s:s, s:o, s:I, s:I, s:I}", "cell", cell_id, "state", pg_cell_state_name(r.state), "error",
                            r.error ? pg_json_text(r.error) : json_null(), "first", (json_int_t)r.first, "asked",
                            (json_int_t)r.images, "n", (json_int_t)r.n);
    bool good = row && settings && audits && attempts && set_counts(row, &r);
    for (size_t i = 0; good && i < r.n_settings; i++) /* of equal keys the first */
        if (i == 0 || strcmp(r.settings[i].key, r.settings[i - 1].key) != 0)
            good = json_object_set_new(settings, r.settings[i].key, pg_json_text(r.settings[i].value)) == 0;
    if (code == PG_OK && !good)
        code = pg_fail(PG_ENOMEM, "out of memory for a cell");
    if (code == PG_OK)
        code = set_facts(store, &r, row);
    if (code == PG_OK)
        code = pg_store_each_audit(store, cell_id, add_audit_row, audits);
    if (code == PG_OK)
        code = pg_store_each_attempt(store, cell_id, add_attempt_row, attempts);
    if (code == PG_OK && (json_object_set(row, "settings", settings) != 0 || json_object_set(row, "audits", audits) != 0 ||
                          json_object_set(row, "attempts", attempts) != 0 || json_array_append(rows, row) != 0))
        code = pg_fail(PG_ENOMEM, "out of memory for a cell");
    json_decref(row);
    json_decref(settings);
    json_decref(audits);
    json_decref(attempts);
    pg_cell_result_release(&r);
    return code;
}

/* ---- The command ---- */

typedef struct arguments {
    const char *cell;
    pg_texts only;
    pg_output output;
} arguments;

#define AT(field) offsetof(arguments, field)
static const pg_cli_row options[] = {
    PG_CELL_ROW(AT(cell)),          PG_ONLY_ROW(AT(only)),           PG_OUTPUT_FORMAT_ROW(AT(output), pg_row_formats),
    PG_OUTPUT_FILE_ROW(AT(output)), PG_OUTPUT_FORCE_ROW(AT(output)), PG_CLI_END,
};

static int show(pg_store *store, const char *cell_id, void *rows)
{
    return rows ? add_cell(store, cell_id, rows) : print_cell(store, cell_id);
}

static int run(const pg_context *context, void *request)
{
    arguments *a = request;
    json_t *rows = pg_format_is_rows((pg_table_format)a->output.format) ? json_array() : NULL;
    pg_store *store = NULL;
    int code = pg_output_begin(&a->output, (const char *const[]){context->db_path, NULL});
    if (code == PG_OK)
        code = pg_store_open(context->db_path, PG_STORE_READ, &store);
    if (code == PG_OK)
        code = pg_only_each("show", a->cell, &a->only, store, show, rows);
    pg_store_close(store);
    if (code == PG_OK && rows)
        code = pg_output_json(&a->output, "show", json_incref(rows));
    json_decref(rows);
    return pg_output_end(&a->output, code);
}

const pg_command pg_command_show = {
    .name = "show",
    .synopsis = "show CELL | --only KEY=VALUE [options]",
    .summary = "show all that is known of one cell, or of those chosen",
    .help =
        "Prints settings and content hashes, results so far with failure cases, smallest margin and locality, its audits, and "
        "every attempt with machine, library and times. In CSV a cell is a row with a column for each setting and detail, and "
        "JSON has its audits and attempts as well.\n",
    .examples = "  patchgauge show 2269\n  patchgauge show --only defense=ds --only patch=5 -f json\n",
    .rows = options,
    .request_size = sizeof(arguments),
    .run = run,
};
