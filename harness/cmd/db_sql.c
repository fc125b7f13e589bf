/* patchgauge db sql: one statement of the user over the views of the database. */
#include "harness/base/signals.h"
#include "harness/cmd/db_sql.h"
#include "harness/cmd/output.h"
#include "harness/cmd/print.h"
#include "db/store.h"

#include <stdlib.h>
#include <string.h>

/* ---- The views: db/migrate-5.sql, db/migrate-6.sql; tests/cmd/test_db_sql.c compares the two ---- */

static const struct {
    const char *view, *column, *meaning;
} columns[] = {
    {"result", "cell", "id, 64 digits; a cell is one row"},
    {"result", "state", "new, partial, done or failed"},
    {"result", "dataset", "as in the matrix, as all settings here"},
    {"result", "weights", "path, as given"},
    {"result", "model", "architecture"},
    {"result", "defense", "name"},
    {"result", "certificate", "exact, sound, ...: what the defense proves"},
    {"result", "attack", "none where none ran"},
    {"result", "patch", "text: 5, 5x8, 2.4%"},
    {"result", "patch_height", "pixels"},
    {"result", "patch_width", "pixels"},
    {"result", "patch_space", "image or network"},
    {"result", "image_height", "pixels, as the network takes them; NULL: not known"},
    {"result", "image_width", "pixels"},
    {"result", "seed", "number"},
    {"result", "batch", "images of a forward pass, as asked for"},
    {"result", "dtype", "fp32 or bf16"},
    {"result", "first_image", "of those asked for"},
    {"result", "images", "asked for"},
    {"result", "n", "of them with an outcome"},
    {"result", "clean_count", "correct images"},
    {"result", "clean", "percent of n"},
    {"result", "clean_lo", "lower end of the 95% Wilson interval, percent"},
    {"result", "clean_hi", "its upper end"},
    {"result", "certified_count", "certified images"},
    {"result", "certified", "percent of n"},
    {"result", "certified_lo", "interval, percent"},
    {"result", "certified_hi", "interval, percent"},
    {"result", "certified_published_count", "by the published certificate; NULL: the rule has none"},
    {"result", "certified_published", "percent of n"},
    {"result", "certified_published_lo", "interval, percent"},
    {"result", "certified_published_hi", "interval, percent"},
    {"result", "attacked_n", "attacked images"},
    {"result", "attacked_count", "of them correct under attack"},
    {"result", "attacked", "percent of attacked_n"},
    {"result", "attacked_lo", "interval, percent"},
    {"result", "attacked_hi", "interval, percent"},
    {"result", "targeted_n", "of them, images of another class than the attack's target; NULL: none"},
    {"result", "reached_count", "of these, predicted as the target under attack"},
    {"result", "reached", "percent of targeted_n"},
    {"result", "reached_lo", "interval, percent"},
    {"result", "reached_hi", "interval, percent"},
    {"result", "masked_count", "images with a masked window"},
    {"result", "nonfinite_count", "images with NaN or infinity in the local logits"},
    {"result", "smallest_margin", "of a certified image, in units of evidence"},
    {"result", "delta", "in units of evidence; NULL: locality not measured"},
    {"setting", "cell", "id; each setting and detail of a cell is one row"},
    {"setting", "key", "robust-masking.threshold"},
    {"setting", "value", "text"},
    {"image_result", "cell", "id; an image of a cell is one row"},
    {"image_result", "image", "index in the split"},
    {"image_result", "label", "class"},
    {"image_result", "prediction", "class; -1: not finite"},
    {"image_result", "correct", "0 or 1"},
    {"image_result", "certified", "0 or 1"},
    {"image_result", "certified_published", "0, 1; NULL: the rule has none"},
    {"image_result", "failure_case", "0 to 4 of robust masking"},
    {"image_result", "masked", "0 or 1"},
    {"image_result", "margin", "in units of evidence"},
    {"image_result", "attacked", "prediction under attack; NULL: no attack"},
    {"image_result", "attack_top", "row of the patch, pixels"},
    {"image_result", "attack_left", "column of the patch, pixels"},
    {"image_result", "attack_target", "class; NULL: untargeted"},
    {"image_result", "attack_steps", "used"},
    {"image_result", "attack_loss", "of the attack"},
    {"work", "cell", "id; an attempt that made results of a cell is one row"},
    {"work", "first_image", "of the task"},
    {"work", "images", "of the task"},
    {"work", "cached", "images with features from the cache"},
    {"work", "cells", "that share the task"},
    {"work", "read_s", "seconds, side by side with the next two"},
    {"work", "forward_s", "of the network, and of the attack"},
    {"work", "certify_s", "of all cells of the task"},
    {"work", "wall_s", "seconds in all"},
    {"work", "peak_bytes", "of the process"},
    {"work", "device", "cpu, cuda:0"},
    {"work", "library", "that computed"},
    {"work", "threads", "of the forward pass"},
    {"work", "batch", "used"},
    {"work", "host", "name of the machine"},
    {"work", "revision", "of patchgauge"},
    {"work", "finished", "UTC"},
    {"audit_result", "cell", "id; an audit is one row"},
    {"audit_result", "level", "feature, pixel or locality"},
    {"audit_result", "settings", "of the audit, key=value lines"},
    {"audit_result", "images", "looked at"},
    {"audit_result", "certified", "images"},
    {"audit_result", "broken", "certified and broken: 0 for a sound rule"},
    {"audit_result", "unbroken", "neither: 0 for an exact rule"},
    {"audit_result", "published_broken", "certificates of the publication that broke"},
    {"audit_result", "delta", "locality: largest change, units of evidence"},
    {"audit_result", "witness", "the first break, key=value lines"},
    {"audit_result", "finished", "UTC"},
};

static int print_views(const pg_output *output)
{
    pg_tabular g;
    pg_tabular_init(&g, (pg_table_format)output->format, 3, 1);
    g.form = "views";
    g.page = pg_print_width(stdout);
    const char *const heads[] = {"view", "column", "meaning"};
    for (size_t i = 0; i < 3; i++)
        pg_tabular_words(&g, heads[i]);
    for (size_t i = 0; i < sizeof columns / sizeof *columns; i++) {
        const char *cells[] = {columns[i].view, columns[i].column, columns[i].meaning};
        for (size_t c = 0; c < 3; c++)
            pg_tabular_escape(g.format, cells[c], " ", pg_tabular_add(&g, PG_TABULAR_WORDS));
    }
    int code = pg_output_table(output, &g);
    pg_tabular_release(&g);
    return code;
}

/* ---- Rows of a statement ---- */

enum { ROWS_AT_ONCE = 1024 };

typedef struct selection {
    const pg_output *output;
    pg_tabular table;
    char **names; /* *new* */
    size_t n, rows;
    bool stream; /* rows go out as they come */
} selection;

static void release(selection *s)
{
    for (size_t i = 0; i < s->n; i++)
        free(s->names[i]);
    free(s->names);
    s->names = NULL;
    s->n = s->rows = 0;
    pg_tabular_release(&s->table);
}

static int check_names(const selection *s, const char *const *names, size_t n)
{
    bool keys = s->output->format == PG_TABLE_JSON || s->output->format == PG_TABLE_JSON_LINES;
    for (size_t i = 0; keys && i < n; i++)
        for (size_t k = 0; k < i; k++)
            if (strcmp(names[i], names[k]) == 0)
                return pg_fail(PG_EINPUT, "SQL: two columns are called \"%s\", which JSON cannot have; name one with AS",
                               names[i]);
    return PG_OK;
}

static int begin(const char *const *names, size_t n, bool last, void *context)
{
    selection *s = context;
    release(s);
    int code = check_names(s, names, n);
    s->names = calloc(n + 1, sizeof *s->names);
    s->n = s->names ? n : 0;
    bool good = s->names != NULL;
    for (size_t i = 0; good && i < n; i++)
        good = (s->names[i] = strdup(names[i])) != NULL;
    pg_tabular_init(&s->table, (pg_table_format)s->output->format, n, 1);
    s->table.form = "sql";
    s->table.page = s->output->file ? 0 : pg_print_width(stdout);
    s->table.absent = pg_format_is_rows(s->table.format) ? "" : "-";
    s->stream = last && pg_format_is_rows(s->table.format);
    return code == PG_OK && !good ? pg_fail(PG_ENOMEM, "SQL: out of memory") : code;
}

/* The names, with numbers to the right where the first row has some. */
static void add_heads(selection *s, const pg_sql_value *values)
{
    for (size_t i = 0; i < s->n; i++) {
        bool number = values && (values[i].type == PG_SQL_INTEGER || values[i].type == PG_SQL_REAL);
        pg_tabular_escape(s->table.format, s->names[i], " ",
                          pg_tabular_add(&s->table, number ? PG_TABULAR_NUMBER : PG_TABULAR_WORDS));
    }
}

static void add_value(const pg_sql_value *v, pg_tabular *g)
{
    bool rows = pg_format_is_rows(g->format);
    if (v->type == PG_SQL_INTEGER)
        pg_tabular_integer(g, v->integer);
    else if (v->type == PG_SQL_REAL && rows)
        pg_tabular_real(g, v->real);
    else if (v->type == PG_SQL_REAL)
        pg_buf_printf(pg_tabular_add(g, PG_TABULAR_NUMBER), "%.6g", v->real);
    else if (v->type == PG_SQL_TEXT && rows)
        pg_tabular_words(g, v->bytes);
    else if (v->type == PG_SQL_TEXT)
        pg_tabular_escape(g->format, v->bytes, " ", pg_tabular_add(g, PG_TABULAR_WORDS));
    else if (v->type == PG_SQL_NULL)
        pg_tabular_words(g, NULL);
    else {
        pg_buf *out = pg_tabular_add(g, PG_TABULAR_WORDS);
        for (size_t i = 0; i < v->size; i++)
            pg_buf_printf(out, "%02x", (unsigned char)v->bytes[i]);
    }
}

static int add_row(const pg_sql_value *values, size_t n, void *context)
{
    selection *s = context;
    if (s->rows++ == 0)
        add_heads(s, values);
    for (size_t i = 0; i < n; i++)
        add_value(&values[i], &s->table);
    if (s->stream && s->rows % ROWS_AT_ONCE == 0)
        return pg_output_rows(s->output, &s->table);
    return pg_buf_check(&s->table.text);
}

static int print_selection(const pg_context *context, const char *sql, const pg_output *output)
{
    selection s = {.output = output};
    const pg_sql_reader reader = {.begin = begin, .row = add_row, .stopping = pg_signals_stopping, .context = &s};
    pg_signals_catch();
    int code = pg_store_select(context->db_path, sql, &reader);
    if (code == PG_OK && s.rows == 0)
        add_heads(&s, NULL);
    if (code == PG_OK)
        code = pg_output_table(output, &s.table);
    release(&s);
    return code;
}

typedef struct arguments {
    const char *sql;
    bool views;
    pg_output output;
} arguments;

#define AT(field) offsetof(arguments, field)
static const pg_cli_row rows[] = {
    {0, NULL, "SQL", "one statement in SQLite's dialect; without it, as --views", NULL, AT(sql), PG_TEXT_FULL},
    {0, "views", NULL, "the views and their columns", NULL, AT(views), PG_FLAG},
    PG_OUTPUT_FORMAT_ROW(AT(output), pg_table_formats),
    PG_OUTPUT_FILE_ROW(AT(output)),
    PG_OUTPUT_FORCE_ROW(AT(output)),
    PG_CLI_END,
};

static int run(const pg_context *context, void *request)
{
    arguments *a = request;
    if (a->sql && a->views)
        return pg_fail(PG_EUSAGE, "db sql: --views prints no rows; give it or a statement");
    int code = pg_output_begin(&a->output, (const char *const[]){context->db_path, NULL});
    if (code == PG_OK)
        code = a->sql ? print_selection(context, a->sql, &a->output) : print_views(&a->output);
    return pg_output_end(&a->output, code);
}

const pg_command pg_db_sql = {
    .name = "sql",
    .synopsis = "db sql [SQL] [options]",
    .summary =
        "Runs one SELECT over the results and prints its rows. The views result (a cell a row), setting, image_result, work "
        "and audit_result have what people ask for; tables may be read, too. Nothing can be changed. A database of an older "
        "version is read in a private copy, and so is one that a statement takes longer than two seconds to read, so that "
        "it blocks no run; the copy is in SQLite's temporary folder (SQLITE_TMPDIR, TMPDIR). Text rounds numbers to six "
        "digits, and has - for NULL.",
    .examples = "  patchgauge db sql\n"
                "  patchgauge db sql \"SELECT defense, patch, round(certified, 1) AS certified FROM result ORDER BY 1, 2\"\n",
    .rows = rows,
    .request_size = sizeof(arguments),
    .run = run};
