#include "harness/cmd/layout.h"
#include "harness/cmd/passes.h"

#include "db/store.h"
#include "harness/base/names.h"
#include "harness/base/option.h"
#include "harness/plan/plan.h"
#include "plots/figure.h"
#include "plots/paper.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { KEYS_MAX = PG_LAYOUT_METRICS, KEY_MAX = 128 };

/* Keys of one side of the table. */
typedef struct keys {
    char text[KEYS_MAX][KEY_MAX];
    size_t n;
} keys;

/* Keys that no cell has as a setting: what a position sees, and the kind of network, "bagnet" for bagnet7 and bagnet17. */
static const char field_key[] = "receptive-field", family_key[] = "family";
enum { DERIVED_MAX = 64 };

/* As pg_cell_value, and of both keys above; no field where every position sees the whole image. `room`: for derived text. */
static const char *value_of(const pg_cell *cell, const char *key, char room[DERIVED_MAX])
{
    const pg_weights_info *info = &cell->forward->info;
    int rows = info->geometry.rows.field, columns = info->geometry.columns.field;
    int px = rows <= 0 || (columns > 0 && columns < rows) ? columns : rows;
    if (strcmp(key, field_key) == 0)
        snprintf(room, DERIVED_MAX, px > 0 ? "%d" : "", px);
    else if (strcmp(key, family_key) == 0)
        snprintf(room, DERIVED_MAX, "%.*s", (int)strcspn(info->model, "0123456789"), info->model);
    else
        return pg_cell_value(cell, key);
    return room;
}

static int add_key(const char *key, size_t size, keys *out)
{
    if (size == 0 || size >= KEY_MAX || out->n == KEYS_MAX)
        return pg_fail(PG_EUSAGE, "a list of keys is at most %d names, with commas between them", KEYS_MAX);
    char written[KEY_MAX], room[PG_KEY_MAX];
    snprintf(written, sizeof written, "%.*s", (int)size, key);
    snprintf(out->text[out->n++], KEY_MAX, "%.*s", KEY_MAX - 1, pg_key_today(written, room));
    return PG_OK;
}

static int split_keys(const char *list, keys *out)
{
    int code = PG_OK;
    while (code == PG_OK) {
        size_t size = strcspn(list, ",");
        code = add_key(list, size, out);
        if (list[size] == '\0')
            break;
        list += size + 1;
    }
    return code;
}

static bool has_key(const keys *list, const char *key)
{
    for (size_t i = 0; i < list->n; i++) {
        const char *dot = strchr(key, '.');
        if (strcmp(list->text[i], key) == 0 || (dot != NULL && strcmp(list->text[i], dot + 1) == 0))
            return true;
    }
    return false;
}

/* Cell i of the plan, or behind them those like one of them. */
static const pg_cell *cell_or_like(const pg_plan *plan, size_t i)
{
    return i < pg_plan_count(plan) ? pg_plan_at(plan, i) : pg_plan_like(plan, i - pg_plan_count(plan));
}

/* More than one value, cells without the key not counted. */
static bool key_varies(const pg_plan *plan, const char *key)
{
    char rooms[2][DERIVED_MAX];
    const char *first = "";
    for (size_t i = 0; i < pg_plan_count(plan) + pg_plan_likes(plan); i++) {
        const char *value = value_of(cell_or_like(plan, i), key, rooms[first[0] != '\0']);
        if (value[0] != '\0' && first[0] != '\0' && strcmp(value, first) != 0)
            return true;
        if (first[0] == '\0')
            first = value;
    }
    return false;
}

/* Fields follow from the model and the size of the images, which older databases do not have. */
static int check_fields(const pg_plan *plan, const char *key)
{
    for (size_t i = 0; strcmp(key, field_key) == 0 && i < pg_plan_forwards(plan); i++) {
        const pg_forward *f = pg_plan_forward(plan, i);
        if (f->weights_where == PG_WHERE_HERE || f->info.geometry.input_height > 0)
            continue;
        bool sized = f->dataset_height > 0;
        return pg_fail(PG_EINPUT, "%s of %s: it is not on this machine, and %s%s%s", field_key, f->weights,
                       sized ? "its model "
                             : "the database does not know the size of its images: plan the matrix again where it is",
                       sized ? f->info.model : "", sized ? " is not in this program: load it with --plugin FILE" : "");
    }
    return PG_OK;
}

/* One value in all cells, those without the key among them. */
static bool key_is_fixed(const pg_plan *plan, const char *key)
{
    char rooms[2][DERIVED_MAX];
    size_t n = pg_plan_count(plan) + pg_plan_likes(plan);
    for (size_t i = 1; i < n; i++)
        if (strcmp(value_of(cell_or_like(plan, 0), key, rooms[0]), value_of(cell_or_like(plan, i), key, rooms[1])) != 0)
            return false;
    return n > 0;
}

/* Every key must exist in some cell; otherwise the nearest of those that the matrix lets vary is offered. */
static int check_keys(const pg_plan *plan, const char *option, const char *figure, const keys *list)
{
    for (size_t i = 0; i < list->n; i++) {
        bool known = false;
        for (size_t j = 0; j < pg_plan_count(plan) && !known; j++)
            known = value_of(pg_plan_at(plan, j), list->text[i], (char[DERIVED_MAX]){0})[0] != '\0';
        if (known)
            continue;
        int code = check_fields(plan, list->text[i]);
        if (code != PG_OK)
            return code;
        const char *names[KEYS_MAX + 4] = {"defense", "patch", "weights"};
        for (size_t j = 0; j < pg_plan_axes(plan) && j < KEYS_MAX; j++)
            names[3 + j] = pg_plan_axis(plan, j);
        const char *near = pg_nearest(list->text[i], names);
        return pg_fail(PG_EINPUT, "%s%s: no cell of this matrix has a setting '%s'%s%s%s", figure ? "figure " : "",
                       figure ? figure : option, list->text[i], near ? " (did you mean '" : "", near ? near : "",
                       near ? "'?)" : "");
    }
    return PG_OK;
}

/* ---- Labels -------------------------------------------------------------------------------------------------------------- */

/* File name of a path without folder and ".safetensors". */
static void stem(const char *path, pg_buf *out)
{
    const char *slash = strrchr(path, '/');
    const char *name = slash != NULL && slash[1] != '\0' ? slash + 1 : path;
    size_t size = strlen(name), end = strlen(".safetensors");
    if (size > end && strcmp(name + size - end, ".safetensors") == 0)
        size -= end;
    pg_buf_add(out, name, size);
}

/* Weights are shown by their stem, unless another file of the matrix has the same one. Neighbours with equal weights count as
 * one, so that the usual matrix of many forward passes on few files takes no time. */
void pg_layout_weights(const pg_plan *plan, const char *path, pg_buf *out)
{
    bool clash = false;
    pg_buf mine = PG_BUF_EMPTY, other = PG_BUF_EMPTY;
    stem(path, &mine);
    const char *before = path;
    size_t forwards = pg_plan_forwards(plan);
    for (size_t i = 0; i < forwards + pg_plan_likes(plan) && !clash; i++) {
        const char *value =
            i < forwards ? pg_plan_forward(plan, i)->weights : pg_cell_value(pg_plan_like(plan, i - forwards), "weights");
        if (strcmp(value, before) == 0 || strcmp(value, path) == 0)
            continue;
        before = value;
        pg_buf_clear(&other);
        stem(value, &other);
        clash = strcmp(mine.data, other.data) == 0;
    }
    pg_buf_puts(out, clash ? path : mine.data);
    pg_buf_release(&mine);
    pg_buf_release(&other);
}

static void add_value(const pg_plan *plan, const pg_cell *cell, const char *key, pg_buf *out)
{
    char room[DERIVED_MAX];
    const char *value = value_of(cell, key, room);
    if (strcmp(key, "weights") == 0)
        pg_layout_weights(plan, value, out);
    else if (strcmp(key, "patch") == 0)
        pg_patch_add(plan, cell, out);
    else
        pg_buf_puts(out, value[0] != '\0' ? value : "-");
}

/* "robust-masking\nthreshold=0.2": the named keys by value, the others as key=value, one part each. */
static int make_label(const pg_plan *plan, const pg_cell *cell, const keys *named, const keys *others, char **out)
{
    pg_buf label = PG_BUF_EMPTY;
    for (size_t i = 0; i < named->n; i++) {
        pg_buf_puts(&label, i > 0 ? "\n" : "");
        add_value(plan, cell, named->text[i], &label);
    }
    for (size_t i = 0; others != NULL && i < others->n; i++) {
        const char *key = others->text[i], *dot = strrchr(key, '.');
        if (value_of(cell, key, (char[DERIVED_MAX]){0})[0] == '\0')
            continue;
        pg_buf_puts(&label, label.size > 0 ? "\n" : "");
        if (strcmp(key, "weights") != 0 && strcmp(key, "dataset") != 0 && strcmp(key, family_key) != 0)
            pg_buf_printf(&label, "%s=", dot != NULL ? dot + 1 : key);
        add_value(plan, cell, key, &label);
    }
    *out = pg_buf_take(&label);
    return *out != NULL ? PG_OK : pg_fail(PG_ENOMEM, "out of memory for a label");
}

/* "demo: synthetic:test, synthetic-ds": what all cells have in common. */
static int make_title(const pg_plan *plan, char **out)
{
    pg_buf title = PG_BUF_EMPTY;
    pg_buf_puts(&title, pg_plan_name(plan));
    const char *separator = ": ";
    static const char *const shown[] = {"dataset", "weights"};
    for (size_t i = 0; i < sizeof shown / sizeof *shown; i++) {
        if (pg_plan_count(plan) == 0 || key_varies(plan, shown[i]))
            continue;
        pg_buf_puts(&title, separator);
        add_value(plan, pg_plan_at(plan, 0), shown[i], &title);
        separator = ", ";
    }
    *out = pg_buf_take(&title);
    return *out != NULL ? PG_OK : pg_fail(PG_ENOMEM, "out of memory for a title");
}

/* ---- Cells --------------------------------------------------------------------------------------------------------------- */

void pg_layout_counts(const pg_cell_result *result, bool attacked, bool masks, pg_table_entry *entry)
{
    memcpy(entry->cell_id, result->cell_id, sizeof entry->cell_id);
    entry->state = pg_cell_state_name(result->state);
    entry->expected = result->images;
    entry->n = result->n;
    entry->clean = result->clean;
    entry->certified = result->certified;
    entry->attacked = attacked ? result->attacked : -1;
    entry->targeted = result->targeted;
    entry->reached = result->reached;
    entry->published = result->has_published ? result->certified_published : -1;
    entry->published_audited = -1;
    for (size_t i = 0; i < PG_TABLE_CASES; i++)
        entry->cases[i] = result->has_published ? result->cases[i] : -1;
    entry->masked = masks ? result->masked : -1;
    entry->nonfinite = result->nonfinite;
    entry->saturated = result->saturated_n == result->n ? result->saturated : -1;
    entry->differs = result->differs_n == result->n ? result->differs : -1;
    entry->smallest_margin = result->has_smallest_margin ? result->smallest_margin : -1;
    entry->delta = result->has_delta ? result->delta : -1;
}

/* What the plan knows of a cell that the store may not have. */
static void fill_cell(const pg_cell *cell, pg_table_entry *entry)
{
    memcpy(entry->cell_id, cell->id, sizeof entry->cell_id);
    entry->expected = cell->count;
    entry->gradient_is_of_mean = cell->forward->attack && strcmp(pg_cell_value(cell, "attack.gradient"), "mean") == 0;
    entry->delta = cell->has_delta ? cell->delta : -1;
    entry->any_batch = cell->any_batch;
    entry->moved = cell->locality.moved_grid;
    memcpy(entry->batches, cell->locality.batches, sizeof entry->batches);
    memcpy(entry->measured_on, cell->locality.kinds, sizeof entry->measured_on);
    entry->image_height = cell->image_height;
    entry->image_width = cell->image_width;
    entry->patch_height = cell->patch_height;
    entry->patch_width = cell->patch_width;
}

/* Images under attack, as they come from the store. */
typedef struct attack_list {
    pg_table_attack *items; /* room for `capacity` */
    size_t n, capacity;
} attack_list;

static int add_attack(const pg_attack_row *row, void *context)
{
    attack_list *list = context;
    if (list->n == list->capacity)
        return pg_fail(PG_EDAMAGED, "a cell has more than the %zu attacks it is said to have", list->capacity);
    bool correct = row->before == row->label;
    list->items[list->n++] = (pg_table_attack){.steps = row->steps,
                                               .top = row->top,
                                               .left = row->left,
                                               .correct = correct,
                                               .broken = correct && row->after != row->label};
    return PG_OK;
}

/* Whether the attack of a cell goes on to other places of an image; by the options of attacks/location.h. */
static bool tries_several_places(const pg_cell *cell)
{
    const char *mode = pg_cell_value(cell, "location"), *places = pg_cell_value(cell, "places"),
               *grid = pg_cell_value(cell, "grid");
    return strcmp(mode, "all") == 0 || (strcmp(mode, "grid") == 0 && strcmp(grid, "1") != 0) ||
           (*places && strcmp(places, "1") != 0);
}

static int fill_attacks(pg_store *store, const pg_cell *cell, int64_t attacked, pg_table_entry *entry)
{
    attack_list list = {.items = calloc((size_t)attacked + 1, sizeof *list.items), .capacity = (size_t)attacked};
    entry->attacks = list.items;
    if (list.items == NULL)
        return pg_fail(PG_ENOMEM, "out of memory for %lld attacked images", (long long)attacked);
    int code = pg_store_each_attack(store, cell->id, add_attack, &list);
    entry->n_attacks = list.n;
    entry->several_places = tries_several_places(cell);
    return code;
}

/* Of the published certificates those that no stored audit of all images broke by features; nothing where there is no audit. */
static int subtract_broken(const pg_audit_record *record, void *context)
{
    pg_table_entry *entry = context;
    int64_t left = entry->published - record->published_broken;
    bool whole = strcmp(record->level, "feature") == 0 && record->n == entry->n;
    if (whole && (entry->published_audited < 0 || left < entry->published_audited))
        entry->published_audited = left;
    return PG_OK;
}

int pg_layout_audited(pg_store *store, const char *cell_id, pg_table_entry *entry)
{
    return entry->published >= 0 ? pg_store_each_audit(store, cell_id, subtract_broken, entry) : PG_OK;
}

/* The publication's numbers beside those of a cell. */
static int fill_paper(const char *table, const pg_cell *cell, const pg_metric *const *metrics, size_t n, pg_table_entry *entry)
{
    const pg_forward *f = cell->forward;
    const pg_axis *rows = &f->info.geometry.rows, *columns = &f->info.geometry.columns;
    pg_paper_cell key = {.dataset = pg_cell_value(cell, "dataset"),
                         .model = f->info.model,
                         .field = rows->field < columns->field ? rows->field : columns->field,
                         .defense = cell->defense->module.name,
                         .feature = pg_cell_value(cell, "feature"),
                         .clip = pg_cell_value(cell, "clip"),
                         .threshold = pg_cell_value(cell, "threshold"),
                         .scope = pg_cell_value(cell, "scope"),
                         .share = (double)(cell->patch_height * cell->patch_width) /
                                  (double)(cell->image_height * cell->image_width)};
    double *paper = malloc((n + 1) * sizeof *paper);
    if (paper == NULL)
        return pg_fail(PG_ENOMEM, "out of memory for %zu numbers of a table", n);
    const char *temperature = pg_cell_value(cell, "temperature");
    bool other = *temperature && strcmp(temperature, "1") != 0; /* the publication has none */
    for (size_t i = 0; i < n; i++)
        if (other || !pg_paper_value(table, &key, metrics[i]->name, &paper[i]))
            paper[i] = NAN;
    entry->paper = paper;
    return PG_OK;
}

static int make_entry(const pg_plan *plan, pg_store *store, const pg_cell *cell, const keys sides[3], bool attacks,
                      pg_table_entry *entry)
{
    char *row = NULL, *column = NULL;
    pg_measured measured = {cell->has_delta, cell->forward->info.model, cell->locality.kinds, cell->forward->batch};
    pg_passes passes = {0};
    pg_buf weights = PG_BUF_EMPTY;
    pg_cell_result result = {0};
    int code = pg_store_cell_checked(store, cell->id, &result);
    if (code == PG_OK) {
        pg_layout_counts(&result, cell->forward->attack != NULL, cell->defense->masks, entry);
        fill_cell(cell, entry);
        entry->target_unreachable = cell->forward->patches_targeted && result.attacked_n > 0 && result.targeted == 0 &&
                                    strcmp(pg_cell_value(cell, "target"), "file") == 0;
        if (attacks && result.attacked_n > 0)
            code = fill_attacks(store, cell, result.attacked_n, entry);
        pg_cell_result_release(&result);
        if (code == PG_OK)
            code = pg_passes_of(store, cell->id, &measured, &passes);
        entry->smaller_batch = passes.smaller_batch;
        entry->unmeasured = cell->has_delta ? passes.certified : entry->certified;
        entry->elsewhere = passes.images;
        memcpy(entry->elsewhere_on, passes.on, sizeof entry->elsewhere_on);
        if (code == PG_OK)
            code = pg_layout_audited(store, cell->id, entry);
        if (code == PG_OK && cell->forward->attack)
            code = pg_store_broken(store, cell->id, &entry->broken, &(int64_t){0});
    }
    pg_layout_weights(plan, pg_cell_value(cell, "weights"), &weights);
    if (code == PG_OK)
        code = make_label(plan, cell, &sides[0], &sides[2], &row);
    if (code == PG_OK)
        code = make_label(plan, cell, &sides[1], NULL, &column);
    if (code == PG_OK)
        code = pg_buf_check(&weights);
    entry->row = row;
    entry->column = column;
    entry->weights = pg_buf_take(&weights);
    return code;
}

void pg_layout_release_entry(pg_table_entry *entry)
{
    free((char *)entry->row);
    free((char *)entry->column);
    free((char *)entry->weights);
    free((pg_table_attack *)entry->attacks);
    free((double *)entry->paper);
    *entry = (pg_table_entry){0};
}

/* Entries by the place of their cell in the plan, and behind these by that of those like it. */
typedef struct places {
    pg_table_entry **of;
} places;

static bool same_labels(const pg_table_entry *a, const pg_table_entry *b)
{
    return a != NULL && strcmp(a->row, b->row) == 0 && strcmp(a->column, b->column) == 0;
}

/* A row like a cell stays where its labels are its own; else the table shows it already. */
static void add_like(const pg_plan *plan, const places *p, size_t i, pg_layout *out)
{
    pg_table_entry *entry = &out->entries[out->table.n_entries];
    const pg_cell *kept = pg_plan_find(plan, entry->cell_id);
    size_t cells = pg_plan_count(plan);
    entry->same_as = p->of[kept - pg_plan_at(plan, 0)];
    bool shown = same_labels(entry->same_as, entry);
    for (size_t k = kept->like; k && !shown; k = pg_plan_like(plan, k - 1)->like)
        shown = same_labels(p->of[cells + k - 1], entry);
    if (shown) {
        pg_layout_release_entry(entry);
        return;
    }
    p->of[i] = entry;
    out->table.n_entries++;
}

/* The cells of the plan and, where they are asked for, the rows like them, in the order of rows. */
static int make_entries(const pg_plan *plan, pg_store *store, const keys sides[3], bool attacks, bool likes, pg_layout *out)
{
    size_t cells = pg_plan_count(plan), total = cells + (likes ? pg_plan_likes(plan) : 0), cell = 0, like = cells;
    places p = {.of = calloc(total + 1, sizeof(pg_table_entry *))};
    out->entries = calloc(total + 1, sizeof *out->entries);
    out->cells = calloc(total + 1, sizeof *out->cells);
    int code = p.of && out->entries && out->cells ? PG_OK : pg_fail(PG_ENOMEM, "out of memory for %zu cells", total);
    while (code == PG_OK && (cell < cells || like < total)) {
        bool is_like = like < total && (cell == cells || cell_or_like(plan, like)->row < pg_plan_at(plan, cell)->row);
        size_t i = is_like ? like++ : cell++;
        pg_table_entry *entry = &out->entries[out->table.n_entries];
        out->cells[out->table.n_entries] = cell_or_like(plan, i);
        code = make_entry(plan, store, cell_or_like(plan, i), sides, attacks, entry);
        if (code != PG_OK || !is_like) {
            p.of[i] = entry;
            out->table.n_entries++;
        } else {
            add_like(plan, &p, i, out);
        }
    }
    free(p.of);
    return code;
}

int pg_layout_metrics(const char *list, const pg_metric *metrics[PG_LAYOUT_METRICS], size_t *n)
{
    keys names = {.n = 0};
    int code = split_keys(list, &names);
    for (*n = 0; code == PG_OK && *n < names.n; ++*n)
        code = pg_metric_find(names.text[*n], &metrics[*n]);
    return code;
}

/* Figures that show images under attack have those of each seed. */
static bool merges_seeds(const pg_layout_request *request)
{
    return !request->each_seed && !(request->reads & PG_READS_ATTACKS);
}

/* Named keys of both sides, then the others that vary, in the order of the matrix file. */
static int choose_keys(const pg_plan *plan, const pg_layout_request *request, keys sides[3])
{
    int code = split_keys(request->rows, &sides[0]);
    if (code == PG_OK)
        code = split_keys(request->cols, &sides[1]);
    if (code == PG_OK)
        code = check_keys(plan, "--rows", NULL, &sides[0]);
    if (code == PG_OK)
        code = check_keys(plan, "--cols", request->figure, &sides[1]);
    /* the field stands for the network, and where there are several kinds, the kind with it */
    bool by_field = has_key(&sides[0], field_key) || has_key(&sides[1], field_key);
    if (code == PG_OK && by_field && key_varies(plan, family_key))
        code = add_key(family_key, strlen(family_key), &sides[2]);
    for (size_t i = 0; code == PG_OK && i < pg_plan_axes(plan); i++) {
        const char *key = pg_plan_axis(plan, i);
        bool covered = (by_field && (strcmp(key, "weights") == 0 || strcmp(key, "null.field") == 0)) ||
                       (strcmp(key, "seed") == 0 && merges_seeds(request));
        if (!covered && !has_key(&sides[0], key) && !has_key(&sides[1], key) && key_varies(plan, key))
            code = add_key(key, strlen(key), &sides[2]);
    }
    return code;
}

/* Keys of one side that do not vary leave the labels; what they are goes to `fixed`. */
static void drop_fixed(const pg_plan *plan, keys *side, pg_buf *fixed)
{
    size_t kept = 0;
    for (size_t i = 0; i < side->n; i++) {
        if (!key_is_fixed(plan, side->text[i])) {
            memmove(side->text[kept++], side->text[i], KEY_MAX);
            continue;
        }
        if (strcmp(side->text[i], "dataset") == 0 || strcmp(side->text[i], "weights") == 0) /* the title has them */
            continue;
        pg_buf_printf(fixed, "%s%s ", fixed->size > 0 ? ", " : "", side->text[i]);
        add_value(plan, pg_plan_at(plan, 0), side->text[i], fixed);
    }
    side->n = kept;
}

/* Labels lose what does not vary, and `fixed` says what that is, with all other settings that are not at their default. */
static int fix(const pg_plan *plan, const pg_layout_request *request, keys sides[3], pg_layout *out)
{
    pg_buf fixed = PG_BUF_EMPTY;
    if (!request->varying)
        return PG_OK;
    keys unnamed = {0}; /* what no side names, and has no default */
    static const char *const always[] = {"defense", "patch"};
    for (size_t i = 0; i < sizeof always / sizeof *always; i++)
        if (!has_key(&sides[0], always[i]) && !has_key(&sides[1], always[i]))
            snprintf(unnamed.text[unnamed.n++], KEY_MAX, "%s", always[i]);
    drop_fixed(plan, &sides[0], &fixed);
    if (request->figure == NULL) /* a figure's own columns are numbers */
        drop_fixed(plan, &sides[1], &fixed);
    drop_fixed(plan, &unnamed, &fixed);
    pg_layout_fixed(plan, &fixed);
    out->fixed = pg_buf_take(&fixed);
    return out->fixed ? PG_OK : pg_fail(PG_ENOMEM, "out of memory for what is fixed");
}

static int join_keys(const keys *list, char **out)
{
    pg_buf text = PG_BUF_EMPTY;
    for (size_t i = 0; i < list->n; i++)
        pg_buf_printf(&text, "%s%s", i ? "," : "", list->text[i]);
    *out = pg_buf_take(&text);
    return *out ? PG_OK : pg_fail(PG_ENOMEM, "out of memory for a head");
}

/* All entries, and what else the request asks for. */
static int fill(const pg_context *context, const pg_layout_request *request, const pg_plan *plan, const keys sides[3],
                pg_layout *out)
{
    bool attacks = request->reads & PG_READS_ATTACKS;
    pg_store *store = NULL;
    int code = pg_store_open(context->db_path, PG_STORE_READ, &store);
    if (code == PG_OK)
        code = make_entries(plan, store, sides, attacks, request->likes, out);
    if (code == PG_OK && merges_seeds(request) && !has_key(&sides[0], "seed") && !has_key(&sides[1], "seed") &&
        key_varies(plan, "seed"))
        code = pg_layout_merge_seeds(store, plan, out);
    for (size_t i = 0; code == PG_OK && request->paper && i < out->table.n_entries; i++)
        code = fill_paper(request->paper, pg_plan_find(plan, out->entries[i].cell_id), out->metrics, out->table.n_metrics,
                          &out->entries[i]);
    if (code == PG_OK && (request->reads & (PG_READS_TRAINING | PG_READS_MAPS)))
        code = pg_layout_networks(context, plan, request->reads, out);
    if (code == PG_OK && (request->reads & PG_READS_TIMES))
        code = pg_layout_times(store, plan, out);
    pg_store_close(store);
    return code;
}

int pg_layout_make(const pg_context *context, const pg_layout_request *request, pg_layout *out)
{
    *out = (pg_layout){0};
    keys sides[3] = {0};
    int code = request->paper ? pg_paper_check(request->paper) : PG_OK;
    if (code == PG_OK)
        code = pg_layout_metrics(request->metrics, out->metrics, &out->table.n_metrics);
    if (code == PG_OK && request->plan == NULL)
        code = pg_matrix_args_show(context, &request->matrix, &out->plan);
    const pg_plan *plan = request->plan != NULL ? request->plan : out->plan;
    if (code == PG_OK)
        code = choose_keys(plan, request, sides);
    if (code == PG_OK)
        code = fix(plan, request, sides, out);
    for (int i = 0; code == PG_OK && i < 2; i++)
        code = join_keys(&sides[i], &out->heads[i]);
    if (code == PG_OK)
        code = make_title(plan, &out->title);
    if (code == PG_OK)
        code = fill(context, request, plan, sides, out);
    out->table.paper = request->paper;
    out->table.best = request->best;
    out->table.title = out->title;
    out->table.fixed = out->fixed;
    out->table.row_key = out->heads[0];
    out->table.column_key = out->heads[1];
    out->table.entries = out->entries;
    out->table.metrics = out->metrics;
    out->table.networks = out->networks;
    out->table.times = out->times;
    return code;
}

void pg_layout_release(pg_layout *layout)
{
    for (size_t i = 0; layout->entries != NULL && i < layout->table.n_entries; i++)
        pg_layout_release_entry(&layout->entries[i]);
    free(layout->entries);
    free(layout->cells);
    free(layout->title);
    free(layout->fixed);
    free(layout->heads[0]);
    free(layout->heads[1]);
    pg_layout_more_release(layout);
    pg_plan_free(layout->plan);
    *layout = (pg_layout){0};
}
