#include "harness/cmd/audit_table.h"

#include "defenses/windows.h"
#include "harness/base/memory.h"
#include "harness/base/option.h"
#include "harness/base/text.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { KEYS_MAX = 16 };

typedef struct keys {
    const char *names[KEYS_MAX];
    size_t n;
} keys;

static keys keys_of(const pg_plan *plan)
{
    keys k = {.names = {"defense", "patch"}, .n = 2};
    for (size_t i = 0; i < pg_plan_axes(plan) && k.n < KEYS_MAX; i++) {
        const char *axis = pg_plan_axis(plan, i);
        if (strcmp(axis, "defense") != 0 && strcmp(axis, "patch") != 0)
            k.names[k.n++] = axis;
    }
    return k;
}

/* Columns behind the keys. */
typedef enum column {
    CERTIFICATE,
    LEVEL,
    IMAGES,
    CORRECT,
    CERTIFIED,
    BROKEN,
    UNBROKEN,
    PUBLISHED,
    PUBLISHED_BROKEN,
    DELTA,
    TRIED,
    SAMPLED,
    COLUMNS
} column;

static const char *const titles[COLUMNS] = {"certificate", "level",     "images",           "correct", "certified", "broken",
                                            "unbroken",    "published", "published_broken", "delta",   "tried",     "sampled"};

static const char *text_of(const pg_audit_row *r, column c)
{
    return c == CERTIFICATE ? pg_certificate_names[r->certificate] : pg_audit_level_names[r->level];
}

/* -1: has no meaning in this line. */
static int64_t number_of(const pg_audit_row *r, column c)
{
    bool published = r->certificate == PG_CERTIFICATE_NONE, feature = r->level == PG_AUDIT_FEATURE;
    switch (c) {
    case IMAGES:
        return r->n;
    case CORRECT:
        return r->correct;
    case CERTIFIED:
        return published ? -1 : r->certified;
    case BROKEN:
        return published ? -1 : r->broken;
    case UNBROKEN:
        return feature ? r->unbroken : -1;
    case PUBLISHED:
        return published ? r->published : -1;
    case PUBLISHED_BROKEN:
        return published ? r->published_broken : -1;
    case DELTA:
        return r->delta;
    case TRIED:
        return r->contents;
    default:
        return feature ? r->sampled : -1;
    }
}

/* Whether some line has a value in field i: keys, then columns. */
static bool has_value(const pg_audit_row *rows, size_t n, const keys *k, size_t i)
{
    bool has = n == 0;
    for (size_t r = 0; !has && r < n; r++)
        has = i < k->n ? *pg_cell_value(rows[r].cell, k->names[i]) != '\0'
                       : i <= k->n + LEVEL || number_of(&rows[r], (column)(i - k->n)) >= 0;
    return has;
}

static const char *title(const keys *k, size_t i) { return i < k->n ? k->names[i] : titles[i - k->n]; }

static bool is_json(pg_table_format format) { return format == PG_TABLE_JSON || format == PG_TABLE_JSON_LINES; }

static void add_field(const pg_audit_row *r, const keys *k, size_t i, pg_tabular *g)
{
    if (i > k->n + LEVEL) {
        pg_tabular_number(g, number_of(r, (column)(i - k->n)));
        return;
    }
    const char *value = i >= k->n ? text_of(r, (column)(i - k->n)) : pg_cell_value(r->cell, k->names[i]);
    bool rows = pg_format_is_rows(g->format);
    if (rows)
        pg_tabular_words(g, *value ? value : NULL);
    else if (i < k->n && strcmp(k->names[i], "patch") == 0)
        pg_patch_add(NULL, r->cell, pg_tabular_add(g, PG_TABULAR_WORDS));
    else
        pg_tabular_escape(g->format, value, " ", pg_tabular_add(g, PG_TABULAR_WORDS));
}

/* ---- Stored audits ---- */

typedef struct gathered {
    const pg_cell *cell;
    const bool *levels;
    pg_cell_result result;
    pg_audit_row *rows;
    size_t n, capacity;
} gathered;

/* Whether --tries was less than the windows and wrong classes of an image, so that only some of them were tried. */
static int was_sampled(const pg_cell *cell, const char *settings, bool *out)
{
    const pg_geometry *g = &cell->forward->info.geometry;
    pg_setting *list = NULL;
    size_t n = 0;
    int64_t tries = 0;
    int code = pg_settings_parse(&settings, 1, &list, &n);
    const char *text = code == PG_OK ? pg_settings_value(list, n, "tries") : "";
    if (*text)
        code = pg_parse_int(text, &tries);
    free(list);
    pg_map map = pg_defended_map_of(g, cell->window);
    pg_evidence shape = pg_evidence_of(&map, NULL, NULL);
    *out = code == PG_OK && tries > 0 && (int64_t)pg_windows_of(&shape, map.window).count * (g->classes - 1) > tries;
    return code;
}

static int gather(const pg_audit_record *record, void *context)
{
    gathered *g = context;
    int level = 0;
    while (pg_audit_level_names[level] && strcmp(pg_audit_level_names[level], record->level) != 0)
        level++;
    if (!pg_audit_level_names[level] || !g->levels[level])
        return PG_OK;
    pg_audit_row *rows = pg_grow(g->rows, g->n, &g->capacity, sizeof *rows);
    if (!rows)
        return PG_ENOMEM;
    g->rows = rows;
    bool run = g->result.n == g->cell->count, sampled = false;
    int code = was_sampled(g->cell, record->settings, &sampled);
    if (code != PG_OK)
        return code;
    g->rows[g->n] = (pg_audit_row){.cell = g->cell,
                                   .level = (pg_audit_level)level,
                                   .certificate = g->cell->defense->certificate(g->cell->config),
                                   .n = record->n,
                                   .correct = run ? g->result.clean : -1,
                                   .certified = record->certified,
                                   .broken = record->broken,
                                   .unbroken = record->unbroken,
                                   .published = run ? g->result.certified_published : -1,
                                   .published_broken = record->published_broken,
                                   .contents = -1,
                                   .sampled = !sampled ? 0
                                              : run    ? g->result.clean
                                                       : record->n,
                                   .delta = record->has_delta ? record->delta : -1,
                                   .witness = record->witness ? strdup(record->witness) : NULL};
    bool lost = record->witness && !g->rows[g->n].witness;
    g->n++;
    return lost ? pg_fail(PG_ENOMEM, "out of memory for a witness") : PG_OK;
}

int pg_audit_stored(const pg_plan *plan, pg_store *store, const bool levels[PG_AUDIT_LEVELS], pg_audit_row **rows, size_t *n)
{
    gathered g = {.levels = levels};
    int code = PG_OK;
    for (size_t i = 0; code == PG_OK && i < pg_plan_count(plan); i++) {
        g.cell = pg_plan_at(plan, i);
        code = pg_store_cell_checked(store, g.cell->id, &g.result);
        if (code != PG_OK)
            break;
        code = pg_store_each_audit(store, g.cell->id, gather, &g);
        pg_cell_result_release(&g.result);
    }
    *rows = g.rows;
    *n = g.n;
    return code;
}

/* ---- The table ---- */

static void notes(const pg_audit_row *rows, size_t n, pg_buf *out)
{
    pg_buf_puts(out, "broken: certified images whose prediction was changed or tied; 0 for every sound rule\n"
                     "unbroken: correct images that are not certified and that nothing broke; 0 for every exact rule\n");
    bool locality = false, moved = false, sampled = false, published = false;
    int64_t at_end = 0;
    for (size_t i = 0; i < n; i++) {
        locality |= rows[i].level == PG_AUDIT_LOCALITY;
        sampled |= rows[i].sampled > 0;
        at_end += rows[i].at_end;
        published |= rows[i].certificate == PG_CERTIFICATE_NONE;
    }
    if (at_end > 0)
        pg_buf_printf(
            out,
            "%" PRId64
            " image%s more refused and not broken: evidence near the grid's end at +-1024 outweighs what a window can hold\n",
            at_end, at_end == 1 ? "" : "s");
    if (published)
        pg_buf_puts(out,
                    "published: certified as the paper publishes it, which is no proof; published_broken of these broke\n");
    for (size_t i = 0; i < n; i++)
        moved |= rows[i].level == PG_AUDIT_LOCALITY && rows[i].cell->any_batch;
    if (locality)
        pg_buf_puts(out,
                    "locality: one random patch an image; certified counts the certificates that survive delta\n"
                    "delta: the largest change of evidence at positions that do not depend on the patch, in units of 2^-20; "
                    "-: there is no such position\n");
    if (moved)
        pg_buf_puts(
            out,
            "delta=any-batch: patched images stand at another place of their batch than the clean ones that were certified\n");
    if (sampled)
        pg_buf_puts(out, "sampled: images on which --tries windows and classes were tried at random, not all\n");
    for (size_t i = 0; i < n; i++) {
        if (!rows[i].witness || rows[i].broken == 0) /* published ones that break are told by the JSON and the store */
            continue;
        pg_buf_printf(out, "witness, cell %.12s, level %s:", rows[i].cell->id, pg_audit_level_names[rows[i].level]);
        pg_buf line = PG_BUF_EMPTY;
        pg_text_flat(rows[i].witness, " ", false, &line);
        pg_buf_printf(out, " %s\n", line.data);
        pg_buf_release(&line);
    }
}

/* JSON and CSV have every column, and the cell; JSON the witness, too. People see the columns in which something stands. */
int pg_audit_table(const pg_plan *plan, const pg_audit_row *rows, size_t n, const pg_output *output)
{
    keys k = keys_of(plan);
    pg_table_format format = (pg_table_format)output->format;
    bool json = is_json(format), all = pg_format_is_rows(format);
    size_t shown[KEYS_MAX + COLUMNS], columns = 0;
    pg_tabular g;
    for (size_t i = 0; i < k.n + COLUMNS; i++)
        if (all || has_value(rows, n, &k, i))
            shown[columns++] = i;
    pg_tabular_init(&g, format, columns + all + json, 1);
    g.form = "audit";
    g.absent = format == PG_TABLE_TEXT ? "-" : "";
    if (all)
        pg_buf_puts(pg_tabular_add(&g, PG_TABULAR_WORDS), "cell");
    for (size_t i = 0; i < columns; i++)
        pg_buf_puts(pg_tabular_add(&g, shown[i] > k.n + LEVEL ? PG_TABULAR_NUMBER : PG_TABULAR_WORDS), title(&k, shown[i]));
    if (json)
        pg_buf_puts(pg_tabular_add(&g, PG_TABULAR_WORDS), "witness");
    for (size_t r = 0; r < n; r++) {
        if (all)
            pg_buf_puts(pg_tabular_add(&g, PG_TABULAR_WORDS), rows[r].cell->id);
        for (size_t i = 0; i < columns; i++)
            add_field(&rows[r], &k, shown[i], &g);
        if (json)
            pg_buf_puts(pg_tabular_add(&g, rows[r].witness ? PG_TABULAR_WORDS : PG_TABULAR_ABSENT),
                        rows[r].witness ? rows[r].witness : "");
    }
    notes(rows, n, &g.notes);
    int code = pg_output_table(output, &g);
    pg_tabular_release(&g);
    return code;
}
