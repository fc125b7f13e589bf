/* See export_images.h. */
#include "harness/cmd/export_images.h"

#include "harness/base/folder.h"
#include "harness/base/grid.h"
#include "harness/base/log.h"
#include "harness/base/memory.h"
#include "harness/base/option.h"
#include "harness/base/process.h"
#include "harness/base/signals.h"
#include "harness/cmd/cell_list.h"
#include "harness/data/image.h"

#include <dirent.h>
#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* ---- Rows ---------------------------------------------------------------------------------------------------------------- */

static const char *const heads[] = {
    "cell",   "image",  "label",    "prediction", "correct",     "certified",     "certified_published", "failure_case",
    "masked", "margin", "attacked", "attack_top", "attack_left", "attack_target", "attack_steps",        "attack_loss"};
enum { HEADS = sizeof heads / sizeof *heads, ROWS_AT_ONCE = 1024 };

/* The rows of one cell: its attacks are read first, then its outcomes beside them. */
typedef struct rows {
    const pg_output *output;
    pg_tabular table;
    const char *cell_id;
    pg_attack_row *attacks; /* without patches */
    size_t n_attacks, room, next;
    size_t waiting; /* rows that are not printed yet */
} rows;

static int add_attack(const pg_attack_row *row, void *context)
{
    rows *r = context;
    pg_attack_row *attacks = pg_grow(r->attacks, r->n_attacks, &r->room, sizeof *attacks);
    if (attacks == NULL)
        return PG_ENOMEM;
    r->attacks = attacks;
    attacks[r->n_attacks] = *row;
    attacks[r->n_attacks++].patch = NULL;
    return PG_OK;
}

static void add_absent(pg_tabular *t) { (void)pg_tabular_add(t, PG_TABULAR_ABSENT); }

static void add_integer(pg_tabular *t, bool there, int64_t value)
{
    if (there)
        pg_tabular_integer(t, value);
    else
        add_absent(t);
}

static int add_outcome(const pg_outcome *o, void *context)
{
    rows *r = context;
    pg_tabular *t = &r->table;
    while (r->next < r->n_attacks && r->attacks[r->next].image < o->image)
        r->next++;
    const pg_attack_row *a = r->next < r->n_attacks && r->attacks[r->next].image == o->image ? &r->attacks[r->next] : NULL;
    pg_tabular_words(t, r->cell_id);
    pg_tabular_integer(t, o->image);
    pg_tabular_integer(t, o->label);
    pg_tabular_integer(t, o->prediction);
    pg_tabular_bool(t, o->prediction == o->label);
    pg_tabular_bool(t, o->certified);
    if (o->failure_case >= 0)
        pg_tabular_bool(t, o->certified_published);
    else
        add_absent(t);
    add_integer(t, o->failure_case >= 0, o->failure_case);
    pg_tabular_bool(t, o->masked);
    pg_tabular_real(t, o->has_margin ? pg_grid_value(o->margin) : NAN);
    add_integer(t, o->has_attack, o->attacked);
    add_integer(t, a != NULL, a != NULL ? a->top : 0);
    add_integer(t, a != NULL, a != NULL ? a->left : 0);
    add_integer(t, a != NULL && a->target >= 0, a != NULL ? a->target : 0);
    add_integer(t, a != NULL, a != NULL ? a->steps : 0);
    pg_tabular_real(t, a != NULL ? a->loss : NAN);
    if (++r->waiting < ROWS_AT_ONCE)
        return PG_OK;
    r->waiting = 0;
    return pg_output_rows(r->output, t);
}

static int print_rows(pg_store *store, const pg_cell_list *cells, const pg_output *output)
{
    rows r = {.output = output};
    int code = PG_OK;
    pg_tabular_init(&r.table, output->format, HEADS, 1);
    r.table.form = "images";
    for (size_t i = 0; i < HEADS; i++)
        pg_tabular_words(&r.table, heads[i]);
    for (size_t i = 0; code == PG_OK && i < cells->n; i++) {
        r.cell_id = cells->ids[i];
        r.n_attacks = r.next = 0;
        code = pg_store_each_attack(store, r.cell_id, add_attack, &r);
        if (code == PG_OK)
            code = pg_store_each_outcome(store, r.cell_id, add_outcome, &r);
    }
    if (code == PG_OK)
        code = pg_output_table(output, &r.table);
    pg_tabular_release(&r.table);
    free(r.attacks);
    return code;
}

/* ---- Files --------------------------------------------------------------------------------------------------------------- */

static const char *const arrays[] = {"images.npy",         "patches.npy", "evidence.npy", "masks.npy", "attacked-evidence.npy",
                                     "attacked-masks.npy", NULL};
static const char *const ends[] = {[PG_TABLE_CSV] = "csv", [PG_TABLE_JSON] = "json", [PG_TABLE_JSON_LINES] = "jsonl"};
enum { FOLDER_DIGITS = 12 };

static int fail_write(const char *path) { return pg_fail(PG_EIO, "%s: cannot be written: the disk may be full", path); }

int pg_npy_file_begin(pg_npy_file *out, const char *folder, const char *name, pg_npy_dtype dtype, int rank,
                      const int64_t *shape)
{
    pg_buf path = PG_BUF_EMPTY;
    *out = (pg_npy_file){.item = pg_npy_item_size(dtype)};
    for (int i = 1; i < rank; i++)
        out->item *= (size_t)shape[i];
    pg_buf_printf(&path, "%s/%s", folder, name);
    int code = pg_buf_check(&path);
    if (code == PG_OK)
        code = pg_file_begin(&out->file, path.data);
    if (code == PG_OK)
        code = pg_npy_write_header(out->file.stream, dtype, rank, shape);
    pg_buf_release(&path);
    return code;
}

int pg_npy_file_add(pg_npy_file *out, const void *item)
{
    return fwrite(item, out->item, 1, out->file.stream) == 1 ? PG_OK : fail_write(out->file.path);
}

int pg_npy_file_end(pg_npy_file *out, int code)
{
    if (code == PG_OK && out->file.stream != NULL)
        code = pg_file_commit(&out->file);
    pg_file_abort(&out->file);
    return code;
}

static bool is_among(const char *name, const char *const *names)
{
    for (; *names; names++)
        if (strcmp(name, *names) == 0)
            return true;
    return false;
}

/* A file that this writes into the folder of a cell; a folder or file that this writes into the whole. */
static bool is_own_file(const char *name)
{
    size_t digits = strspn(name, "0123456789");
    return is_among(name, arrays) || (digits > 0 && strcmp(name + digits, ".png") == 0);
}

static bool is_own(const char *name)
{
    static const char *const rows_names[] = {"images.csv", "images.json", "images.jsonl", NULL};
    return is_among(name, rows_names) || (strlen(name) == FOLDER_DIGITS && strspn(name, "0123456789abcdef") == FOLDER_DIGITS);
}

/* Whether a folder, which may be missing, has nothing but what this writes; else the name of what it has, in `other`. */
static bool holds_own(const char *path, bool (*own)(const char *), char other[PATH_MAX])
{
    DIR *list = opendir(path);
    bool all = true;
    for (struct dirent *entry; list != NULL && all && (entry = readdir(list)) != NULL;) {
        struct stat status;
        char inside[PATH_MAX];
        bool folder = own == is_own && strchr(entry->d_name, '.') == NULL;
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        all = snprintf(inside, sizeof inside, "%s/%s", path, entry->d_name) < (int)sizeof inside && own(entry->d_name) &&
              lstat(inside, &status) == 0 && (folder ? S_ISDIR(status.st_mode) : S_ISREG(status.st_mode));
        if (!all)
            memcpy(other, inside, sizeof inside);
        else if (folder)
            all = holds_own(inside, is_own_file, other);
    }
    if (list != NULL)
        closedir(list);
    return all;
}

/* A folder that becomes another as a whole: where it is made, and what it is called there. */
typedef struct place {
    char path[PATH_MAX], parent[PATH_MAX];
    const char *name;
} place;

static int find_place(const char *folder, place *out)
{
    size_t size = strlen(folder);
    while (size > 1 && folder[size - 1] == '/')
        size--;
    if (size >= sizeof out->path)
        return pg_fail(PG_EINPUT, "%.200s...: the name of the folder is too long", folder);
    snprintf(out->path, sizeof out->path, "%.*s", (int)size, folder);
    char *slash = strrchr(out->path, '/');
    out->name = slash != NULL ? slash + 1 : out->path;
    if (*out->name == '\0' || strcmp(out->name, ".") == 0 || strcmp(out->name, "..") == 0)
        return pg_fail(PG_EINPUT, "%s: is no name for a new folder, which the files take as a whole", folder);
    size_t parent = slash == NULL ? 0 : slash == out->path ? 1 : (size_t)(slash - out->path);
    snprintf(out->parent, sizeof out->parent, "%.*s", parent > 0 ? (int)parent : 1, parent > 0 ? out->path : ".");
    return PG_OK;
}

/* Said before work begins: a new folder, an empty one, or one of an earlier export. */
static int check_place(const place *p)
{
    char other[PATH_MAX];
    struct stat status;
    bool there = lstat(p->path, &status) == 0;
    if (there && !S_ISDIR(status.st_mode))
        return pg_fail(PG_EINPUT, "%s: is there and no folder; name a new one", p->path);
    if (there && !holds_own(p->path, is_own, other))
        return pg_fail(PG_EINPUT, "%s: is no file of an earlier export; name a new folder", other);
    return pg_folder_check(p->parent);
}

/* ---- Patches --- */

/* The folder of a cell as it is written. */
typedef struct patches {
    char path[PATH_MAX];
    int height, width;
    size_t size; /* bytes of a patch */
    bool all;    /* images without an attack count, too */
    pg_npy_file images, pixels;
} patches;

static int write_png(const patches *p, const pg_attack_row *a)
{
    char path[PATH_MAX + 32];
    void *png = NULL;
    size_t size = 0;
    snprintf(path, sizeof path, "%s/%" PRId64 ".png", p->path, a->image);
    int code = pg_image_encode(a->patch, p->height, p->width, &png, &size);
    FILE *file = code == PG_OK ? fopen(path, "wbxe") : NULL;
    bool written = file != NULL && fwrite(png, 1, size, file) == size;
    if (file != NULL)
        written = fclose(file) == 0 && written;
    free(png);
    return code == PG_OK && !written ? fail_write(path) : code;
}

static int add_patch(const pg_attack_row *a, void *context)
{
    patches *p = context;
    if (a->patch == NULL || a->patch_size != p->size)
        return pg_fail(PG_EDAMAGED, "%s: the database has no whole patch of image %" PRId64, p->path, a->image);
    int code = pg_signals_stopping() ? pg_fail(PG_EINTERRUPTED, "interrupted; nothing is written") : PG_OK;
    if (code == PG_OK)
        code = pg_npy_file_add(&p->pixels, a->patch);
    return code == PG_OK ? write_png(p, a) : code;
}

static int add_image(const pg_outcome *o, void *context)
{
    patches *p = context;
    int64_t image = o->image;
    return p->all || o->has_attack ? pg_npy_file_add(&p->images, &image) : PG_OK;
}

static int export_patches(pg_store *store, const pg_cell_result *r, patches *p)
{
    int64_t images[1] = {p->all ? r->n : r->attacked_n}, shape[4] = {r->attacked_n, 3, 0, 0};
    bool attacked = r->attacked_n > 0;
    int code = mkdir(p->path, 0777) == 0 ? PG_OK : fail_write(p->path);
    if (code == PG_OK && attacked)
        code = pg_parse_size(pg_cell_result_setting(r, "patch.px"), &p->height, &p->width);
    shape[2] = p->height;
    shape[3] = p->width;
    p->size = (size_t)3 * (size_t)p->height * (size_t)p->width;
    if (code == PG_OK)
        code = pg_npy_file_begin(&p->images, p->path, "images.npy", PG_NPY_I8, 1, images);
    if (code == PG_OK)
        code = pg_store_each_outcome(store, r->cell_id, add_image, p);
    if (code == PG_OK && attacked)
        code = pg_npy_file_begin(&p->pixels, p->path, "patches.npy", PG_NPY_U1, 4, shape);
    if (code == PG_OK && attacked)
        code = pg_store_each_attack(store, r->cell_id, add_patch, p);
    code = pg_npy_file_end(&p->images, code);
    return pg_npy_file_end(&p->pixels, code);
}

static int fail_not_done(const char *id)
{
    return pg_fail(PG_EINPUT, "cell %.12s is not done, and evidence is of all its images: run its matrix first", id);
}

static int export_cell(pg_store *store, const char *id, bool evidence, const char *folder)
{
    pg_cell_result result;
    patches p = {.all = evidence};
    int code = pg_store_cell(store, id, &result);
    if (code == PG_OK && evidence && result.state != PG_CELL_DONE)
        code = fail_not_done(id);
    snprintf(p.path, sizeof p.path, "%s/%.*s", folder, FOLDER_DIGITS, id);
    if (code == PG_OK && (evidence || result.attacked_n > 0))
        code = export_patches(store, &result, &p);
    pg_cell_result_release(&result);
    return code;
}

/* ---- All of it ----------------------------------------------------------------------------------------------------------- */

/* What the process of its own works on. */
typedef struct job {
    const pg_context *context;
    const pg_cell_list *cells;
    const pg_images_files *files;
    const char *folder;
} job;

static int export_evidence(void *context)
{
    const job *j = context;
    char folder[PATH_MAX];
    int code = PG_OK;
    for (size_t i = 0; code == PG_OK && i < j->cells->n; i++) {
        snprintf(folder, sizeof folder, "%s/%.*s", j->folder, FOLDER_DIGITS, j->cells->ids[i]);
        pg_process_note("evidence of cell %.12s", j->cells->ids[i]);
        code = pg_evidence_export(pg_plan_find(j->cells->plan, j->cells->ids[i]), j->context->db_path, j->context->data_dir,
                                  j->files, folder);
    }
    return code;
}

static int print_to(pg_store *store, const pg_cell_list *cells, pg_output *output, const char *db_path)
{
    int code = pg_output_begin(output, (const char *const[]){db_path, NULL});
    if (code == PG_OK)
        code = print_rows(store, cells, output);
    return pg_output_end(output, code);
}

static int export_files(pg_store *store, const pg_cell_list *cells, int format, const pg_images_files *files,
                        const char *folder, const char *db_path)
{
    char path[PATH_MAX];
    pg_output output = {.format = format, .file = path};
    snprintf(path, sizeof path, "%s/images.%s", folder, ends[format]);
    int code = print_to(store, cells, &output, db_path);
    for (size_t i = 0; code == PG_OK && i < cells->n; i++)
        code = export_cell(store, cells->ids[i], files->evidence, folder);
    return code;
}

/* In a folder beside `to`, which then takes its place. The store is closed before a process begins. */
static int export_folder(const pg_context *context, const pg_cell_list *cells, int format, const pg_images_files *files,
                         const place *to, pg_store **store)
{
    pg_folder made = {0};
    job j = {context, cells, files, NULL};
    bool died = false;
    int code = pg_folder_make(to->parent, to->name, "export", &made);
    if (code == PG_OK)
        code = export_files(*store, cells, format, files, made.path, context->db_path);
    pg_store_close(*store);
    *store = NULL;
    j.folder = made.path;
    if (code == PG_OK && files->evidence)
        code = pg_process_run(export_evidence, &j, &died);
    if (code == PG_OK)
        code = pg_folder_replace(made.path, to->path);
    pg_folder_end(&made);
    return code;
}

/* That the database has cells of a matrix, all of them for evidence. */
static int check_cells(const pg_cell_list *cells, const char *matrix, bool all)
{
    if (cells->n == 0)
        return pg_fail(PG_EINPUT, "%s: the database has none of its cells: run it first", matrix);
    for (size_t i = 0; all && cells->n < pg_plan_count(cells->plan); i++)
        if (i == cells->n || strcmp(cells->ids[i], pg_plan_at(cells->plan, i)->id) != 0)
            return fail_not_done(pg_plan_at(cells->plan, i)->id);
    return PG_OK;
}

int pg_images_export(const pg_context *context, const pg_matrix_args *args, pg_output *output, const pg_images_files *files)
{
    pg_store *store = NULL;
    pg_cell_list cells = {0};
    place to;
    int code = PG_OK;
    if (files->folder != NULL && output->file != NULL)
        return pg_fail(PG_EUSAGE, "export: --files DIR has the rows in it; leave -o out");
    if (files->evidence && (files->folder == NULL || args->matrix == NULL))
        return pg_fail(PG_EUSAGE,
                       "export: --evidence requires --files DIR and a matrix file, which names weights and data set");
    if (files->folder != NULL) {
        code = find_place(files->folder, &to);
        if (code == PG_OK)
            code = check_place(&to);
        pg_signals_catch();
    }
    if (code == PG_OK)
        code = pg_store_open(context->db_path, PG_STORE_SNAPSHOT, &store);
    if (code == PG_OK)
        code = pg_cell_list_of(context, args, !files->evidence, store, &cells);
    if (code == PG_OK && cells.plan != NULL)
        code = check_cells(&cells, args->matrix, files->evidence);
    if (code == PG_OK && files->folder != NULL)
        code = export_folder(context, &cells, output->format, files, &to, &store);
    else if (code == PG_OK)
        code = print_to(store, &cells, output, context->db_path);
    if (code == PG_OK && files->folder != NULL)
        pg_info("%s: images of %zu cell%s", to.path, cells.n, cells.n == 1 ? "" : "s");
    pg_cell_list_release(&cells);
    pg_store_close(store);
    return code;
}
