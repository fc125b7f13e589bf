/* Matrix file -> plan. See plan.h. */
#include "harness/plan/keys.h"

#include "harness/base/file.h"
#include "harness/base/hash_table.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MATRIX_BYTES_MAX = 16 << 20 };

/* Where a cell is, by its id, or by its text without the seed. */
typedef struct cell_place {
    char id[PG_HASH_HEX];
    size_t at;
    UT_hash_handle hh;
} cell_place;

struct pg_plan {
    char *name, *matrix_text, *overrides;
    pg_cell *cells;
    size_t n_cells, cells_capacity;
    pg_cell *likes; /* rows that resolve to a cell which is there already */
    size_t n_likes, likes_capacity;
    pg_forward **forwards;
    size_t n_forwards;
    char **axes;
    size_t n_axes;
    cell_place *places; /* hash table */
    pg_placeholder **placeholders;
    size_t n_placeholders;
};

/* ---- Cells by id ---- */

static pg_cell *find(const pg_plan *plan, const char *id)
{
    cell_place *place = NULL;
    HASH_FIND_STR(plan->places, id, place);
    return place ? &plan->cells[place->at] : NULL;
}

const pg_cell *pg_plan_find(const pg_plan *plan, const char *cell_id) { return find(plan, cell_id); }

static bool same_values(const pg_cell *a, const pg_cell *b)
{
    bool same = a->n_values == b->n_values;
    for (size_t i = 0; same && i < a->n_values; i++)
        same = strcmp(a->values[i].key, b->values[i].key) == 0 && strcmp(a->values[i].value, b->values[i].value) == 0;
    return same;
}

/* Takes over a cell that is one of the plan written in another way; drops it where it is written as one that is there. */
static int add_like(pg_plan *plan, pg_cell *kept, pg_cell *cell)
{
    bool known = same_values(kept, cell);
    for (size_t i = kept->like; i && !known; i = plan->likes[i - 1].like)
        known = same_values(&plan->likes[i - 1], cell);
    if (known) {
        pg_cell_release(cell);
        return PG_OK;
    }
    if (plan->n_likes == plan->likes_capacity) {
        size_t capacity = plan->likes_capacity ? 2 * plan->likes_capacity : 16;
        pg_cell *likes = realloc(plan->likes, capacity * sizeof *likes);
        if (!likes)
            return pg_fail(PG_ENOMEM, "planning: out of memory");
        plan->likes = likes;
        plan->likes_capacity = capacity;
    }
    char **texts[] = {&cell->canonical, &cell->settings, &cell->details};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        free(*texts[i]);
        *texts[i] = NULL;
    }
    cell->like = kept->like;
    plan->likes[plan->n_likes++] = *cell;
    kept->like = plan->n_likes;
    return PG_OK;
}

static int add_place(pg_plan *plan, const char *id, size_t at)
{
    cell_place *place = calloc(1, sizeof *place);
    if (place) {
        memcpy(place->id, id, sizeof place->id);
        place->at = at;
        HASH_ADD_STR(plan->places, id, place);
    }
    if (place && place->hh.tbl)
        return PG_OK;
    free(place);
    return pg_fail(PG_ENOMEM, "planning: out of memory");
}

/* SHA-256 of what a cell is but for its seed; by its settings where its files are not here. */
static int identify_without_seed(const pg_cell *cell, char id[PG_HASH_HEX])
{
    static const char line[] = "\nseed=";
    const char *text = cell->here ? cell->canonical : cell->settings;
    const char *seed = strstr(text, line), *rest = seed ? strchr(seed + 1, '\n') : NULL;
    pg_hash *hash = NULL;
    int code = pg_hash_new(&hash);
    if (code == PG_OK)
        code = pg_hash_add(hash, text, rest ? (size_t)(seed - text) : strlen(text));
    if (code == PG_OK && rest)
        code = pg_hash_add(hash, rest, strlen(rest));
    if (code == PG_OK)
        code = pg_hash_finish(hash, id);
    pg_hash_free(hash);
    return code;
}

/* Only attacks draw at random: without one, a cell of another seed is a repetition of a cell that is there. Remembers the cell
 * that is none. */
static int check_repetition(pg_plan *plan, const pg_cell *cell, bool *repeats)
{
    char id[PG_HASH_HEX];
    *repeats = false;
    if (cell->forward->attack)
        return PG_OK;
    int code = identify_without_seed(cell, id);
    *repeats = code == PG_OK && find(plan, id);
    return code == PG_OK && !*repeats ? add_place(plan, id, plan->n_cells) : code;
}

/* Takes the cell over. `seeds`: the matrix has several. */
static int add_cell(pg_plan *plan, pg_cell *cell, bool seeds)
{
    bool repeats = false;
    pg_cell *kept = find(plan, cell->id);
    if (kept)
        return add_like(plan, kept, cell);
    int code = seeds ? check_repetition(plan, cell, &repeats) : PG_OK;
    if (code != PG_OK)
        return code;
    if (repeats) {
        pg_cell_release(cell);
        return PG_OK;
    }
    if (plan->n_cells == plan->cells_capacity) {
        size_t capacity = plan->cells_capacity ? 2 * plan->cells_capacity : 64;
        pg_cell *cells = realloc(plan->cells, capacity * sizeof *cells);
        if (!cells)
            return pg_fail(PG_ENOMEM, "planning: out of memory");
        plan->cells = cells;
        plan->cells_capacity = capacity;
    }
    code = add_place(plan, cell->id, plan->n_cells);
    if (code == PG_OK)
        plan->cells[plan->n_cells++] = *cell;
    return code;
}

/* ---- Reading ---- */

static int expand(pg_plan *plan, pg_cell_builder *builder, const pg_matrix *matrix)
{
    const pg_toml_value **values = calloc(matrix->n_keys + 1, sizeof *values);
    int seed = builder->key_of[PG_KEY_SEED];
    bool seeds = seed >= 0 && matrix->keys[seed].n > 1;
    int code = values ? PG_OK : pg_fail(PG_ENOMEM, "planning: out of memory");
    for (size_t i = 0; code == PG_OK && i < matrix->rows; i++) {
        pg_cell cell;
        bool ok = false;
        if (!pg_matrix_row(matrix, i, values))
            continue;
        code = pg_cell_builder_cell(builder, values, &cell, &ok);
        if (code != PG_OK || !ok)
            continue;
        cell.row = i;
        code = add_cell(plan, &cell, seeds);
        if (code != PG_OK)
            pg_cell_release(&cell);
    }
    free(values);
    return code;
}

static int set_names(pg_plan *plan, const pg_matrix *matrix, const pg_plan_request *request)
{
    const char *slash = strrchr(request->matrix_path, '/');
    const char *base = slash ? slash + 1 : request->matrix_path;
    size_t length = strlen(base);
    if (length > 5 && strcmp(base + length - 5, ".toml") == 0)
        length -= 5;
    plan->name = matrix->name ? strdup(matrix->name) : strndup(base, length);
    plan->axes = calloc(matrix->n_keys + 1, sizeof *plan->axes);
    bool failed = !plan->name || !plan->axes;
    for (size_t i = 0; !failed && i < matrix->n_keys; i++)
        if (pg_matrix_varies(matrix, i))
            failed = !(plan->axes[plan->n_axes++] = strdup(matrix->keys[i].key));
    pg_buf overrides = PG_BUF_EMPTY;
    for (size_t i = 0; i < request->n_overrides; i++)
        pg_buf_printf(&overrides, "%s\n", request->overrides[i]);
    plan->overrides = pg_buf_take(&overrides);
    pg_buf_release(&overrides);
    return failed || !plan->overrides ? pg_fail(PG_ENOMEM, "planning: out of memory") : PG_OK;
}

static int report(const pg_problems *problems)
{
    if (problems->options && problems->n == 1)
        return pg_fail(PG_EINPUT, "%.*s", (int)strcspn(problems->text.data, "\n"), problems->text.data);
    fwrite(problems->text.data, 1, problems->text.size, stderr);
    return pg_fail(PG_EINPUT, "%s: %zu problem%s; nothing was done", problems->path, problems->n, problems->n == 1 ? "" : "s");
}

/* What is not here, once. Where none of it is stored, there is nothing to show. */
static int tell_absent(const pg_plan *plan, const pg_cell_builder *builder)
{
    size_t absent = 0;
    for (size_t i = 0; i < plan->n_cells; i++)
        absent += plan->cells[i].absent;
    return pg_cell_builder_tell(builder, absent, absent > 0 && absent == plan->n_cells);
}

static int resolve(pg_plan *plan, const pg_plan_request *request, const pg_matrix *matrix, pg_problems *problems)
{
    pg_cell_builder builder = {0};
    int code = pg_cell_builder_init(&builder, request, matrix, problems);
    if (code == PG_OK && problems->n == 0)
        code = expand(plan, &builder, matrix);
    if (code == PG_OK && problems->n == 0)
        code = tell_absent(plan, &builder);
    plan->forwards = builder.forwards;
    plan->n_forwards = builder.n_forwards;
    builder.forwards = NULL;
    plan->placeholders = builder.placeholders;
    plan->n_placeholders = builder.n_placeholders;
    pg_cell_builder_release(&builder);
    if (code == PG_OK && problems->n > 0)
        code = report(problems);
    if (code == PG_OK && plan->n_cells == 0)
        code = pg_fail(PG_EINPUT, "%s: no rows are left after [[exclude]]", request->matrix_path);
    if (code == PG_OK)
        code = set_names(plan, matrix, request);
    return code;
}

static int read_text(const pg_plan_request *request, char **text, size_t *size)
{
    if (!request->matrix_text)
        return pg_file_read(request->matrix_path, MATRIX_BYTES_MAX, text, size);
    *size = strlen(request->matrix_text);
    *text = strdup(request->matrix_text);
    return *text ? PG_OK : pg_fail(PG_ENOMEM, "planning: out of memory");
}

int pg_plan_open(const pg_plan_request *request, pg_plan **out)
{
    size_t size = 0;
    pg_matrix matrix = {0};
    pg_problems problems;
    pg_problems_init(&problems, request->matrix_path);
    problems.options = request->options;
    pg_plan *plan = calloc(1, sizeof *plan);
    int code = plan ? read_text(request, &plan->matrix_text, &size) : pg_fail(PG_ENOMEM, "planning: out of memory");
    if (code == PG_OK && memchr(plan->matrix_text, 0, size))
        code = pg_fail(PG_EINPUT, "%s: holds a zero byte; a matrix file is text", request->matrix_path);
    if (code == PG_OK)
        code = pg_matrix_read(request->matrix_path, plan->matrix_text, size, request->overrides, request->n_overrides,
                              &problems, &matrix);
    if (code == PG_OK)
        code = resolve(plan, request, &matrix, &problems);
    pg_matrix_release(&matrix);
    pg_problems_release(&problems);
    if (code != PG_OK)
        pg_plan_free(plan);
    else
        *out = plan;
    return code;
}

void pg_plan_free(pg_plan *plan)
{
    if (!plan)
        return;
    for (size_t i = 0; i < plan->n_cells; i++)
        pg_cell_release(&plan->cells[i]);
    for (size_t i = 0; i < plan->n_likes; i++)
        pg_cell_release(&plan->likes[i]);
    for (size_t i = 0; i < plan->n_forwards; i++)
        pg_forward_free(plan->forwards[i]);
    for (size_t i = 0; i < plan->n_axes; i++)
        free(plan->axes[i]);
    free(plan->axes);
    free(plan->forwards);
    free(plan->cells);
    free(plan->likes);
    cell_place *place, *next;
    HASH_ITER(hh, plan->places, place, next)
    {
        HASH_DEL(plan->places, place);
        free(place);
    }
    pg_placeholders_free(plan->placeholders, plan->n_placeholders);
    free(plan->name);
    free(plan->matrix_text);
    free(plan->overrides);
    free(plan);
}

/* ---- Choosing ---- */

static int by_row(const void *a, const void *b)
{
    size_t x = ((const pg_cell *)a)->row, y = ((const pg_cell *)b)->row;
    return (x > y) - (x < y);
}

/* Of the rows like a cell, the first that is chosen lends it its settings as written; whether there is one. */
static bool borrow_settings(pg_plan *plan, pg_cell *cell, bool (*chosen)(const pg_setting *, size_t, void *), void *context)
{
    pg_cell *first = NULL;
    for (size_t i = cell->like; i; i = plan->likes[i - 1].like) {
        pg_cell *like = &plan->likes[i - 1];
        if (chosen(like->values, like->n_values, context) && (!first || like->row < first->row))
            first = like;
    }
    if (!first)
        return false;
    pg_cell before = *cell;
    cell->values = first->values;
    cell->n_values = first->n_values;
    cell->row = first->row;
    first->values = before.values;
    first->n_values = before.n_values;
    first->row = before.row;
    return true;
}

/* The places of the cells that are left, and the rows like them that are chosen. */
static void keep_likes(pg_plan *plan, bool (*chosen)(const pg_setting *, size_t, void *), void *context)
{
    cell_place *place, *next;
    HASH_ITER(hh, plan->places, place, next) { place->at = SIZE_MAX; }
    for (size_t i = 0; i < plan->n_cells; i++) {
        HASH_FIND_STR(plan->places, plan->cells[i].id, place);
        place->at = i;
        plan->cells[i].like = 0;
    }
    HASH_ITER(hh, plan->places, place, next)
    {
        if (place->at == SIZE_MAX) {
            HASH_DEL(plan->places, place);
            free(place);
        }
    }
    size_t n = 0;
    for (size_t i = 0; i < plan->n_likes; i++) {
        pg_cell like = plan->likes[i], *kept = find(plan, like.id);
        if (!kept || !chosen(like.values, like.n_values, context)) {
            pg_cell_release(&like);
            continue;
        }
        like.like = kept->like;
        plan->likes[n++] = like;
        kept->like = n;
    }
    plan->n_likes = n;
}

/* Forward passes that serve no cell any more go. */
static void keep_forwards(pg_plan *plan)
{
    size_t n = 0, all = plan->n_forwards;
    for (size_t i = 0; i < plan->n_cells + plan->n_likes; i++) {
        size_t at = (i < plan->n_cells ? &plan->cells[i] : &plan->likes[i - plan->n_cells])->forward->index;
        if (at < all) /* not seen yet */
            plan->forwards[at]->index = all;
    }
    for (size_t i = 0; i < all; i++) {
        pg_forward *f = plan->forwards[i];
        if (f->index < all) {
            pg_forward_free(f);
            continue;
        }
        plan->forwards[n++] = f;
    }
    for (size_t i = 0; i < n; i++)
        plan->forwards[i]->index = i;
    plan->n_forwards = n;
}

void pg_plan_choose(pg_plan *plan, bool (*chosen)(const pg_setting *values, size_t n, void *context), void *context)
{
    size_t n = 0;
    for (size_t i = 0; i < plan->n_cells; i++) {
        pg_cell *cell = &plan->cells[i];
        if (chosen(cell->values, cell->n_values, context) || borrow_settings(plan, cell, chosen, context))
            plan->cells[n++] = *cell;
        else
            pg_cell_release(cell);
    }
    plan->n_cells = n;
    if (n > 0)
        qsort(plan->cells, n, sizeof *plan->cells, by_row);
    keep_likes(plan, chosen, context);
    keep_forwards(plan);
}

/* ---- Asking ---- */

const char *pg_plan_name(const pg_plan *plan) { return plan->name; }
const char *pg_plan_matrix_text(const pg_plan *plan) { return plan->matrix_text; }
const char *pg_plan_overrides(const pg_plan *plan) { return plan->overrides; }
size_t pg_plan_count(const pg_plan *plan) { return plan->n_cells; }
const pg_cell *pg_plan_at(const pg_plan *plan, size_t i) { return &plan->cells[i]; }
size_t pg_plan_likes(const pg_plan *plan) { return plan->n_likes; }
const pg_cell *pg_plan_like(const pg_plan *plan, size_t i) { return &plan->likes[i]; }
size_t pg_plan_forwards(const pg_plan *plan) { return plan->n_forwards; }
const pg_forward *pg_plan_forward(const pg_plan *plan, size_t i) { return plan->forwards[i]; }
size_t pg_plan_axes(const pg_plan *plan) { return plan->n_axes; }
const char *pg_plan_axis(const pg_plan *plan, size_t i) { return plan->axes[i]; }
const char *pg_cell_value(const pg_cell *cell, const char *key) { return pg_settings_value(cell->values, cell->n_values, key); }

static bool is_new_size(const pg_cell *const *seen, size_t n, const pg_cell *cell)
{
    for (size_t i = 0; i < n; i++)
        if (seen[i]->patch_height == cell->patch_height && seen[i]->patch_width == cell->patch_width)
            return false;
    return true;
}

void pg_patch_add(const pg_plan *plan, const pg_cell *cell, pg_buf *out)
{
    const char *value = pg_cell_value(cell, "patch");
    enum { SIZES = 4 };
    const pg_cell *seen[SIZES + 1];
    size_t n = 0;
    pg_buf_puts(out, value);
    if (!*value || value[strlen(value) - 1] != '%')
        return;
    for (size_t i = 0; plan && i < plan->n_cells && n < SIZES; i++)
        if (is_new_size(seen, n, &plan->cells[i]) && strcmp(pg_cell_value(&plan->cells[i], "patch"), value) == 0)
            seen[n++] = &plan->cells[i];
    if (is_new_size(seen, n, cell)) /* a row that is like another one is no cell of the plan */
        seen[n++] = cell;
    for (size_t i = 0; i < n; i++)
        pg_buf_printf(out, "%s%dx%d", i ? " or " : " = ", seen[i]->patch_height, seen[i]->patch_width);
    pg_buf_puts(out, " px");
}
