/* Patches that this program found for images of another network: a folder of `attack -o`, which has its table beside its array,
 * or of a cell of `export --images --files`, whose table is that of the whole export. See patches.h. */
#include "harness/base/file.h"
#include "harness/base/option.h"
#include "harness/data/patches.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TABLE_MAX = 1 << 30, COLUMNS_MAX = 64 };

/* The names of the four columns in either table. */
enum { IMAGE, TOP, LEFT, TARGET, NAMES };
static const char *const names[2][NAMES] = {{"image", "top", "left", "target"},
                                            {"image", "attack_top", "attack_left", "attack_target"}};

static int join(const char *folder, const char *name, char **out)
{
    return asprintf(out, "%s/%s", folder, name) >= 0 ? PG_OK : pg_fail(PG_ENOMEM, "out of memory");
}

int pg_patches_folder_files(const char *folder, char **array, char **table)
{
    *array = *table = NULL;
    int code = join(folder, "patches.npy", array);
    if (code == PG_OK && pg_file_size(*array) < 0)
        code = pg_fail(PG_EMISSING,
                       "%s: a folder without patches.npy: right would be one that `attack -o` wrote, or the folder of "
                       "an attacked cell of `export --images --files`",
                       folder);
    if (code == PG_OK)
        code = join(folder, "results.csv", table);
    if (code == PG_OK && pg_file_size(*table) < 0) {
        free(*table);
        code = join(folder, "../images.csv", table);
    }
    if (code == PG_OK && pg_file_size(*table) < 0)
        code = pg_fail(PG_EMISSING, "%s: has no table of places: results.csv in it, or images.csv beside it, is not there",
                       folder);
    if (code == PG_OK)
        return PG_OK;
    free(*array);
    free(*table);
    *array = *table = NULL;
    return code;
}

typedef struct reading {
    pg_patches *patches;
    const char *cell;       /* of which rows count, by the first digits; NULL: all rows */
    int column[NAMES], ids; /* of a row; ids: the column of the cell */
    int n;                  /* rows that counted */
} reading;

/* Cuts a line at its commas, in place. Neither table has a quoted text in front of these columns. */
static int cut(char *line, char *fields[COLUMNS_MAX])
{
    int n = 0;
    for (char *at = line; at && n < COLUMNS_MAX; n++) {
        fields[n] = at;
        at = strchr(at, ',');
        if (at)
            *at++ = 0;
    }
    return n;
}

static int find_columns(char *line, const char *const *wanted, reading *r)
{
    char *fields[COLUMNS_MAX];
    int n = cut(line, fields);
    r->ids = -1;
    for (int k = 0; k < NAMES; k++) {
        r->column[k] = -1;
        for (int i = 0; i < n; i++)
            if (strcmp(fields[i], wanted[k]) == 0)
                r->column[k] = i;
        if (r->column[k] < 0)
            return pg_fail(PG_EINPUT, "has no column %s", wanted[k]);
    }
    for (int i = 0; i < n; i++)
        r->ids = strcmp(fields[i], "cell") == 0 ? i : r->ids;
    return r->cell && r->ids < 0 ? pg_fail(PG_EINPUT, "has no column cell") : PG_OK;
}

/* A row of the table; rows without a patch do not count. */
static int take_row(char *line, reading *r)
{
    char *fields[COLUMNS_MAX];
    pg_patches *p = r->patches;
    int64_t value[NAMES] = {0};
    int n = cut(line, fields), code = PG_OK;
    for (int k = 0; k < NAMES; k++)
        if (r->column[k] >= n)
            return pg_fail(PG_EINPUT, "a row with fewer columns than the first: %.60s", fields[0]);
    if (r->cell && (r->ids >= n || strncmp(fields[r->ids], r->cell, strlen(r->cell)) != 0))
        return PG_OK;
    if (!*fields[r->column[TOP]])
        return PG_OK;
    for (int k = 0; k < NAMES; k++) {
        bool none = k == TARGET && !*fields[r->column[k]];
        value[k] = -1;
        if (!none && (pg_parse_int(fields[r->column[k]], &value[k]) != PG_OK || value[k] < 0 || value[k] > INT32_MAX))
            code = pg_fail(PG_EINPUT, "'%.40s' is no %s", fields[r->column[k]], names[0][k]);
    }
    if (code == PG_OK && (r->n == p->count || (r->n > 0 && value[IMAGE] <= p->images[r->n - 1])))
        code = pg_fail(PG_EINPUT, "its rows are not those of the %d patches: right would be one for each, by increasing image",
                       p->count);
    if (code != PG_OK)
        return code;
    p->images[r->n] = value[IMAGE];
    p->tops[r->n] = (int)value[TOP];
    p->lefts[r->n] = (int)value[LEFT];
    p->targets[r->n++] = value[TARGET];
    return PG_OK;
}

static int read_table(char *text, const char *const *wanted, reading *r)
{
    int code = PG_OK;
    bool head = true;
    for (char *line = text, *end; code == PG_OK && line && *line; line = end, head = false) {
        end = strchr(line, '\n');
        if (end)
            *end++ = 0;
        line[strcspn(line, "\r")] = 0;
        code = head ? find_columns(line, wanted, r) : take_row(line, r);
    }
    if (code == PG_OK && r->n != r->patches->count)
        code = pg_fail(PG_EINPUT, "%d rows with a patch, and %d patches in the array", r->n, r->patches->count);
    return code;
}

int pg_patches_read_places(const char *folder, pg_patches *p)
{
    char *array = NULL, *table = NULL, *text = NULL, *cell = NULL;
    size_t size = 0, n = (size_t)p->count;
    int code = pg_patches_folder_files(folder, &array, &table);
    bool of_export = code == PG_OK && strstr(table, "/../images.csv");
    if (of_export) { /* the folder has the first digits of the cell's id for its name */
        size_t length = strlen(folder);
        while (length > 1 && folder[length - 1] == '/')
            length--;
        cell = strndup(folder, length);
    }
    p->images = malloc(n * sizeof *p->images);
    p->targets = malloc(n * sizeof *p->targets);
    p->targets_are_classes = true;
    p->tops = malloc(n * sizeof *p->tops);
    p->lefts = malloc(n * sizeof *p->lefts);
    if (code == PG_OK && (!p->images || !p->targets || !p->tops || !p->lefts || (of_export && !cell)))
        code = pg_fail(PG_ENOMEM, "out of memory for the places of patches");
    if (code == PG_OK)
        code = pg_file_read(table, TABLE_MAX, &text, &size);
    if (code == PG_OK) {
        reading r = {.patches = p, .cell = cell ? strrchr(cell, '/') ? strrchr(cell, '/') + 1 : cell : NULL};
        code = read_table(text, names[of_export], &r);
        if (code != PG_OK)
            code = pg_fail_at(code, "%s", table);
    }
    free(array);
    free(table);
    free(text);
    free(cell);
    return code;
}
