#include "plots/paper.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

extern const char pg_paper_csv[];

enum { TABLE, DATASET, MODEL, DEFENSE, FEATURE, PATCH, OPTION, METRIC, VALUE, COLUMNS, FIELD_MAX = 40 };

typedef struct row {
    char field[COLUMNS][FIELD_MAX];
} row;

/* The row at `*at`, which moves on to the next; false at the end. The file is ours: no quotes, no field longer
 * than FIELD_MAX. */
static bool read_row(const char **at, row *out)
{
    if (**at == '\0')
        return false;
    memset(out, 0, sizeof *out);
    for (int c = 0; c < COLUMNS; c++) {
        size_t size = strcspn(*at, ",\n");
        memcpy(out->field[c], *at, size < FIELD_MAX ? size : FIELD_MAX - 1);
        *at += size + (size_t)((*at)[size] != '\0');
    }
    return true;
}

static const char *first_row(void) { return strchr(pg_paper_csv, '\n') + 1; }

int pg_paper_check(const char *table)
{
    char names[256] = "", before[FIELD_MAX] = "";
    row r;
    for (const char *at = first_row(); read_row(&at, &r);) {
        if (strcmp(r.field[TABLE], table) == 0)
            return PG_OK;
        if (strcmp(r.field[TABLE], before) != 0)
            snprintf(names + strlen(names), sizeof names - strlen(names), "%s%s", names[0] ? ", " : "", r.field[TABLE]);
        memcpy(before, r.field[TABLE], FIELD_MAX);
    }
    return pg_fail(PG_EINPUT, "the publication has no table '%s' with such numbers: right would be one of %s", table, names);
}

/* "bagnet17" -> "bagnet", 17; without digits 0. */
static size_t family(const char *model, int *number)
{
    size_t size = strlen(model);
    while (size > 0 && isdigit((unsigned char)model[size - 1]))
        size--;
    *number = atoi(model + size);
    return size;
}

static bool same_family(const char *a, const char *b)
{
    int number;
    size_t size = family(a, &number);
    return size == family(b, &number) && strncmp(a, b, size) == 0;
}

/* Whether the table has networks of this family with other numbers: then the number has to be the receptive field. */
static bool several_of_family(const char *table, const char *model)
{
    row r;
    for (const char *at = first_row(); read_row(&at, &r);)
        if (strcmp(r.field[TABLE], table) == 0 && same_family(r.field[MODEL], model) && strcmp(r.field[MODEL], model) != 0)
            return true;
    return false;
}

static bool same_model(const row *r, const pg_paper_cell *cell)
{
    int number;
    if (!same_family(r->field[MODEL], cell->model))
        return false;
    family(r->field[MODEL], &number);
    return number == cell->field || !several_of_family(r->field[TABLE], r->field[MODEL]);
}

/* "2.4%" names every share that rounds to it, halves up or down (8 of 32 pixels, 6.25%, are "6.2%"); an empty patch every
 * share. */
static bool same_patch(const char *patch, double share)
{
    if (!*patch)
        return true;
    const char *dot = strchr(patch, '.');
    double unit = dot ? pow(10, (double)(strlen(dot) - 2)) : 1;
    return fabs(100 * share - atof(patch)) * unit <= 0.5 + 1e-9;
}

/* "threshold=0.2", "clip=0:15", "scope=per-class". Without them the publication's defaults: threshold 0, and masks by the
 * predicted class. */
static bool same_option(const char *option, const pg_paper_cell *cell)
{
    const char *equals = strchr(option, '='), *value = equals ? equals + 1 : "";
    size_t name = equals ? (size_t)(equals - option) : 0;
    const struct {
        const char *name, *ours, *fallback;
    } known[] = {{"clip", cell->clip, NULL}, {"threshold", cell->threshold, "0"}, {"scope", cell->scope, "predicted"}};
    bool found = !*option;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        bool named = name == strlen(known[i].name) && strncmp(option, known[i].name, name) == 0;
        const char *wanted = named ? value : known[i].fallback;
        if (wanted && (named || *known[i].ours) && strcmp(wanted, known[i].ours) != 0)
            return false;
        found |= named;
    }
    return found;
}

bool pg_paper_value(const char *table, const pg_paper_cell *cell, const char *metric, double *value)
{
    size_t dataset = strcspn(cell->dataset, ":");
    row r;
    for (const char *at = first_row(); read_row(&at, &r);) {
        if (strcmp(r.field[TABLE], table) != 0 || strcmp(r.field[METRIC], metric) != 0 ||
            strcmp(r.field[DEFENSE], cell->defense) != 0)
            continue;
        if (strlen(r.field[DATASET]) != dataset || strncmp(r.field[DATASET], cell->dataset, dataset) != 0)
            continue;
        if (*cell->feature && strcmp(r.field[FEATURE], cell->feature) != 0)
            continue;
        if (!same_model(&r, cell) || !same_patch(r.field[PATCH], cell->share) || !same_option(r.field[OPTION], cell))
            continue;
        *value = atof(r.field[VALUE]);
        return true;
    }
    return false;
}
