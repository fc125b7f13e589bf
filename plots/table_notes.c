/* Notes below a result table: what a reader must know to trust it. See table.h. */
#include "harness/base/text.h"
#include "plots/table.h"

#include <stdio.h>
#include <string.h>

static void put_name(const char *text, pg_table_format format, pg_buf *out)
{
    pg_text_flat(text, " ", format == PG_TABLE_MD, out);
}

/* "row / column" */
static void put_labels(const pg_table_entry *e, pg_table_format format, pg_buf *out)
{
    put_name(e->row, format, out);
    pg_buf_puts(out, " / ");
    put_name(e->column, format, out);
}

static void note_incomplete(const pg_table *table, pg_table_format format, pg_buf *out)
{
    bool stars = format == PG_TABLE_MD || format == PG_TABLE_TEXT;
    size_t cells = 0, listed = 0;
    for (size_t i = 0; i < table->n_entries; i++)
        cells += table->entries[i].n < table->entries[i].expected;
    if (cells == 0)
        return;
    pg_buf_printf(out, "not complete, %zu of %zu cells (%simages done):", cells, table->n_entries,
                  stars ? "marked with a star; " : "");
    for (size_t i = 0; i < table->n_entries && listed < 8; i++) {
        const pg_table_entry *e = &table->entries[i];
        if (e->n >= e->expected)
            continue;
        pg_buf_puts(out, listed++ > 0 ? "; " : " ");
        put_labels(e, format, out);
        pg_buf_printf(out, " (%lld of %lld)", (long long)e->n, (long long)e->expected);
    }
    pg_buf_puts(out, listed < cells ? "; ...\n" : "\n");
}

/* One note for each weights file that some certificate rests on. */
static void note_locality(const pg_table *table, pg_table_format format, pg_buf *out)
{
    for (size_t i = 0; i < table->n_entries; i++) {
        const pg_table_entry *e = &table->entries[i];
        bool told = e->delta == 0 && !e->any_batch;
        for (size_t j = 0; j < i && !told; j++) {
            const pg_table_entry *o = &table->entries[j];
            told = strcmp(o->weights, e->weights) == 0 && o->any_batch == e->any_batch &&
                   (e->any_batch ? o->moved == e->moved : o->delta == e->delta);
        }
        if (told)
            continue;
        if (e->any_batch) {
            pg_buf_puts(out, "delta=any-batch: logits of ");
            put_name(e->weights, format, out);
            pg_buf_printf(out,
                          " moved by up to %lld / 2^20 at other places of a batch and in batches of %s; these certificates "
                          "leave room for it "
                          "(measured, not proved)\n",
                          (long long)e->moved, *e->batches ? e->batches : "any size");
        } else if (e->delta < 0) {
            pg_buf_puts(out, "locality not measured for ");
            put_name(e->weights, format, out);
            pg_buf_puts(out, ": certificates assume that nothing changes where a patch does not reach\n");
        } else {
            pg_buf_puts(out, "locality of ");
            put_name(e->weights, format, out);
            pg_buf_printf(out,
                          ": outside the receptive fields evidence changed by up to %lld / 2^20; every certificate survives it "
                          "(measured, "
                          "not proved)\n",
                          (long long)e->delta);
        }
    }
}

/* Images that ran on what the measurement does not speak for. */
static void note_elsewhere(const pg_table *table, pg_table_format format, pg_buf *out)
{
    for (size_t i = 0; i < table->n_entries; i++) {
        const pg_table_entry *e = &table->entries[i];
        size_t like = 0;
        bool told = e->elsewhere <= 0;
        for (size_t j = 0; j < table->n_entries && !told; j++) {
            const pg_table_entry *o = &table->entries[j];
            bool same =
                o->elsewhere > 0 && strcmp(o->weights, e->weights) == 0 && strcmp(o->elsewhere_on, e->elsewhere_on) == 0;
            told = same && j < i;
            like += same;
        }
        if (told)
            continue;
        pg_buf_puts(out, "locality of ");
        put_name(e->weights, format, out);
        pg_buf_puts(out, " counts as not measured where images ran on ");
        put_name(e->elsewhere_on, format, out);
        pg_buf_puts(out, " (it was measured on ");
        put_name(*e->measured_on ? e->measured_on : "other machines", format, out);
        pg_buf_puts(out, "): certificates there rest on no measurement; ");
        if (like > 1)
            pg_buf_printf(out, "%zu cells, ", like);
        pg_buf_printf(out, "%lld of %lld images of ", (long long)e->elsewhere, (long long)e->n);
        put_labels(e, format, out);
        pg_buf_puts(out, like > 1 ? " and so on\n" : "\n");
    }
}

/* "mean / 2; median / 2; ..." of the entries with this property. */
static void note_cells(const pg_table *table, bool (*has)(const pg_table_entry *), const char *text, pg_table_format format,
                       pg_buf *out)
{
    size_t cells = 0, listed = 0;
    for (size_t i = 0; i < table->n_entries; i++)
        cells += has(&table->entries[i]);
    if (cells == 0)
        return;
    pg_buf_printf(out, "%s:", text);
    for (size_t i = 0; i < table->n_entries && listed < 8; i++) {
        const pg_table_entry *e = &table->entries[i];
        if (!has(e))
            continue;
        pg_buf_puts(out, listed++ > 0 ? "; " : " ");
        put_labels(e, format, out);
    }
    pg_buf_puts(out, listed < cells ? "; ...\n" : "\n");
}

static bool is_saturated(const pg_table_entry *e) { return e->saturated > 0; }
static bool is_different(const pg_table_entry *e) { return e->differs > 0; }
static bool is_uncounted(const pg_table_entry *e) { return e->n > 0 && (e->saturated < 0 || e->differs < 0); }

/* What the grid did to images, and where nobody looked. */
static void note_grid(const pg_table *table, pg_table_format format, pg_buf *out)
{
    int64_t saturated = 0, differs = 0;
    char text[200];
    for (size_t i = 0; i < table->n_entries; i++) {
        saturated = table->entries[i].saturated > saturated ? table->entries[i].saturated : saturated;
        differs = table->entries[i].differs > differs ? table->entries[i].differs : differs;
    }
    snprintf(text, sizeof text, "values beyond 1024, where the grid of evidence ends, in up to %lld image%s a cell",
             (long long)saturated, saturated == 1 ? "" : "s");
    note_cells(table, is_saturated, text, format, out);
    snprintf(text, sizeof text, "up to %lld image%s a cell predicted otherwise by the same rule in double", (long long)differs,
             differs == 1 ? "" : "s");
    note_cells(table, is_different, text, format, out);
    note_cells(table, is_uncounted, "images that saturate or are predicted otherwise in double were not counted", format, out);
}

static bool attacks_the_mean(const pg_table_entry *e) { return e->attacked >= 0 && e->gradient_is_of_mean; }
static bool is_unreachable(const pg_table_entry *e) { return e->target_unreachable; }
static bool is_broken(const pg_table_entry *e) { return e->broken > 0; }
static bool is_of_smaller_batch(const pg_table_entry *e) { return e->smaller_batch; }

/* Rows and columns that are written otherwise and resolve to the same cell. */
static void note_same(const pg_table *table, pg_table_format format, pg_buf *out)
{
    enum { LISTED = 8 };
    size_t same = 0;
    for (size_t i = 0; i < table->n_entries; i++) {
        const pg_table_entry *e = &table->entries[i];
        if (!e->same_as || ++same > LISTED)
            continue;
        put_labels(e, format, out);
        pg_buf_puts(out, ": same as ");
        put_labels(e->same_as, format, out);
        pg_buf_puts(out, "\n");
    }
    if (same > LISTED)
        pg_buf_printf(out, "and %zu more that are the same as others\n", same - LISTED);
}

static bool has_seeds_left_out(const pg_table_entry *e) { return e->seeds.left_out > 0; }

static void note_seeds(const pg_table *table, pg_table_format format, pg_buf *out)
{
    int64_t least = INT64_MAX, most = 0;
    for (size_t i = 0; i < table->n_entries; i++) {
        int64_t n = table->entries[i].seeds.n;
        least = n > 0 && n < least ? n : least;
        most = n > most ? n : most;
    }
    if (most == 0)
        return;
    pg_buf_puts(out, "under attack: mean \u00b1 standard deviation over ");
    if (least < most)
        pg_buf_printf(out, "%lld to ", (long long)least);
    pg_buf_printf(out,
                  "%lld seeds; the interval is over images, of each image's mean over the seeds: n counts images, which recur "
                  "with every seed\n",
                  (long long)most);
    note_cells(table, has_seeds_left_out, "seeds that are not complete are left out", format, out);
}

static void note_attacks(const pg_table *table, pg_table_format format, pg_buf *out)
{
    note_cells(table, is_broken, "CERTIFICATES BROKEN by the attack, so they are no proofs", format, out);
    bool attacked = false;
    for (size_t i = 0; i < table->n_entries; i++)
        attacked |= table->entries[i].attacked >= 0;
    if (attacked)
        pg_buf_puts(out, "under attack: what the attack that ran leaves; a stronger one may leave less\n");
    note_cells(table, is_unreachable, "target reached: not applicable, the target is none of the classes that are predicted",
               format, out);
    note_cells(table, attacks_the_mean,
               "attacked through the mean of the local logits, not through the defense, so that the defense may do worse",
               format, out);
}

void pg_table_notes(const pg_table *table, pg_table_format format, pg_buf *out)
{
    int64_t nonfinite = 0;
    bool published = false, audited = false;
    for (size_t i = 0; i < table->n_entries; i++) {
        published |= table->entries[i].published >= 0;
        audited |= table->entries[i].published_audited >= 0;
        if (table->entries[i].nonfinite > nonfinite)
            nonfinite = table->entries[i].nonfinite;
    }
    note_incomplete(table, format, out);
    note_same(table, format, out);
    note_attacks(table, format, out);
    note_seeds(table, format, out);
    note_locality(table, format, out);
    note_elsewhere(table, format, out);
    if (published)
        pg_buf_printf(out, "published (%s) is no proof: it is the paper's own certificate, which an attack can break\n",
                      format == PG_TABLE_MD ? "certified\\_published" : "certified_published");
    if (audited)
        pg_buf_puts(
            out,
            "published, audited: without those that the audit broke by changing features; no proof of the others either\n");
    if (table->paper != NULL && strcmp(table->paper, "revision") == 0)
        pg_buf_puts(out, "paper: per-class certificates of the publication's later revision, as recalled in the literature\n");
    else if (table->paper != NULL)
        pg_buf_printf(out, "paper: table %s of the publication, with weights and images of its own\n", table->paper);
    note_cells(table, is_of_smaller_batch,
               "memory ran out, so the batch was smaller than asked for and local logits may differ in their last bits", format,
               out);
    note_grid(table, format, out);
    if (nonfinite > 0)
        pg_buf_printf(out,
                      "NaN or infinity in the local logits of up to %lld images a cell: counted as wrong and not certified\n",
                      (long long)nonfinite);
}
