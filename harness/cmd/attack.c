/* patchgauge attack: one attack on a run of images; results as files, with pictures. */
#include "harness/base/file.h"
#include "harness/base/names.h"
#include "harness/base/process.h"
#include "harness/base/signals.h"
#include "harness/cmd/attack_export.h"
#include "harness/cmd/matrix_args.h"
#include "harness/pipeline/compute.h"
#include "harness/plan/tasks.h"
#include "plots/figure.h"
#include "plots/sheet.h"

#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

PG_COMMAND(attack)

#define DATABASE "attack.db"

static int set_patch_space(const char *text, void *field)
{
    bool network = strcmp(text, "network") == 0;
    *(bool *)field = network;
    return network || strcmp(pg_value_today("patch-space", text), "image") == 0 ? PG_OK : PG_EUSAGE;
}

#define AT(field) offsetof(pg_attack_request, field)
static const pg_cli_row options[] = {
    {0, "weights", "F", "weights file, or null", NULL, AT(weights), PG_TEXT, PG_REQUIRED},
    {0, "dataset", "D", "NAME:SPLIT; NAME:SPLIT@SIZE resizes its images", NULL, AT(dataset), PG_TEXT, PG_REQUIRED},
    {0, "images", "A:B", "images A to B - 1; default all", NULL, AT(images), PG_TEXT},
    PG_OUTPUTS_ROW(AT(outputs)),
    PG_PREDICT_ROW(AT(predict)),
    {0, "attack", "NAME", "see `patchgauge list attacks`", NULL, AT(attack), PG_TEXT, PG_REQUIRED},
    {0, "patch", "P", "pixels (5), height x width (5x8) or a share of the image (2.4%, a square)", NULL, AT(patch), PG_TEXT,
     PG_REQUIRED},
    {0, "patch-space", "S",
     "image or network: the patch is applied before or after a resize. The patch, its places and patches.npy are in pixels of "
     "the images there; the sheet shows images as the network takes them, and outlines the affected pixels",
     "image", AT(behind_resize), PG_CALL(set_patch_space, "image or network")},
    {0, "attacker", "S", NULL, NULL, AT(behind_resize), PG_CALL(set_patch_space, "image or network")}, /* its former name */
    {0, "defense", "NAME", "see `patchgauge list defenses`; mean is no defense", "mean", AT(defense), PG_TEXT},
    PG_SET_ROW(AT(pairs),
               "option of the attack or the defense, see `help attack NAME` and `help defense NAME`; where both have it, "
               "attack.KEY=VALUE or defense.KEY=VALUE"),
    {'o', "output", "DIR", "folder, made where it is missing; with this attack in it, it goes on where it stopped", NULL,
     AT(folder), PG_TEXT_FULL, PG_REQUIRED},
    {0, "force", NULL, "use a folder that holds something else, and replace files of these names in it", NULL, AT(force),
     PG_FLAG},
    {0, "seed", "N", "of places, starts and targets", "0", AT(seed), PG_INT(0, INT64_MAX)},
    {0, "sheet", "N", "images of the contact sheet; 0: no pictures, no gnuplot", "16", AT(sheet), PG_INT(0, PG_SHEET_MAX)},
    {0, "broken-only", NULL, "only broken images on the contact sheet", NULL, AT(broken_only), PG_FLAG},
    PG_BATCH_ROW(AT(batch)),
    PG_DTYPE_ROW(AT(dtype)),
    PG_DEVICE_ROW(AT(device)),
    PG_THREADS_ROW(AT(threads)),
    PG_CLI_END,
};

/* ---- The folder ---- */

/* What `attack` works on. */
typedef struct job {
    const pg_context *context;
    const pg_attack_request *request;
    const pg_cell *cell;
    char db[PATH_MAX];
    bool there; /* the folder has this cell: the attack goes on */
    bool begun; /* the folder is made, and holds nothing else */
    char *made; /* by pg_folders_begin */
} job;

static int path_in(const job *j, const char *name, char path[PATH_MAX])
{
    int size = snprintf(path, PATH_MAX, "%s/%s", j->request->folder, name);
    return size < PATH_MAX ? PG_OK : pg_fail(PG_EINPUT, "%s: the name of the folder is too long", j->request->folder);
}

/* Images of the cell that the database in the folder has; -1: it does not know the cell, or is none. */
static int64_t count_done(const job *j)
{
    pg_store *store = NULL;
    pg_cell_result result = {0};
    int64_t n = -1;
    if (pg_file_size(j->db) > 0 && pg_store_open(j->db, PG_STORE_READ, &store) == PG_OK &&
        pg_store_cell(store, j->cell->id, &result) == PG_OK && result.known)
        n = result.n;
    pg_cell_result_release(&result);
    pg_store_close(store);
    return n;
}

static bool is_empty(const char *folder)
{
    DIR *list = opendir(folder);
    bool empty = true;
    for (struct dirent *entry; list && empty && (entry = readdir(list)) != NULL;)
        empty = strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0;
    if (list)
        closedir(list);
    return empty;
}

static bool is_same_folder(const char *one, const char *two)
{
    struct stat a, b;
    return stat(one, &a) == 0 && stat(two, &b) == 0 && S_ISDIR(a.st_mode) && a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

/* This attack's folder, a new or an empty one, or any where the user says so; only regular files are written over, and none
 * that is read. */
static int check_folder(job *j)
{
    const pg_attack_request *r = j->request;
    const pg_forward *f = j->cell->forward;
    const char *patches = f->attack->patches ? f->attack->patches(f->attack_config) : NULL;
    const char *const inputs[] = {r->weights, patches, NULL};
    char path[PATH_MAX];
    int code = pg_folder_check(r->folder);
    if (code == PG_OK && patches && is_same_folder(patches, r->folder))
        code = pg_fail(PG_EINPUT, "%s: the patches are read from there; name another folder", r->folder);
    if (code == PG_OK)
        code = path_in(j, DATABASE, j->db);
    if (code != PG_OK)
        return code;
    j->there = count_done(j) >= 0;
    if (!j->there && !r->force && !is_empty(r->folder))
        return pg_fail(PG_EINPUT, "%s: holds something else than this attack; --force replaces what `attack` writes there",
                       r->folder);
    code = pg_output_check(j->db, true, inputs);
    for (size_t i = 0; code == PG_OK && pg_attack_names[i]; i++)
        if ((code = path_in(j, pg_attack_names[i], path)) == PG_OK)
            code = pg_output_check(path, true, inputs);
    return code == PG_OK && r->sheet > 0 ? pg_figure_check(r->folder) : code;
}

static void remove_database(const job *j)
{
    static const char *const ends[] = {"", "-journal", "-wal", "-shm"};
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        char path[PATH_MAX + 16];
        snprintf(path, sizeof path, "%s%s", j->db, ends[i]);
        unlink(path);
    }
}

/* Makes the folder, or takes what another attack left out of it. */
static int begin(void *context)
{
    job *j = context;
    char path[PATH_MAX];
    int code = pg_folders_begin(j->request->folder, &j->made);
    j->begun = true;
    if (code != PG_OK || j->there)
        return code;
    remove_database(j);
    for (size_t i = 0; pg_attack_names[i]; i++)
        if (path_in(j, pg_attack_names[i], path) == PG_OK)
            unlink(path);
    return PG_OK;
}

/* ---- Attack and files ---- */

static int compute(job *j, const pg_plan *plan)
{
    const pg_attack_request *r = j->request;
    pg_store *store = NULL;
    pg_compute_request request = {.plan = plan,
                                  .db_path = j->db,
                                  .data_dir = j->context->data_dir,
                                  .cache_dir = j->context->cache_dir,
                                  .cache_bytes = j->context->cache_bytes,
                                  .device = r->device,
                                  .workers = 1,
                                  .threads = (int)r->threads,
                                  .task_images = PG_TASK_IMAGES,
                                  .begin = begin,
                                  .context = j,
                                  .fresh = !j->there};
    int code = pg_compute(&request, &store);
    pg_store_close(store);
    return code;
}

/* In a process of its own: this one loads no libtorch and runs no module of a plug-in. */
static int export_files(void *context)
{
    const job *j = context;
    pg_process_note("writing the files of %s", j->request->folder);
    return pg_attack_export(j->request, j->cell, j->db);
}

/* What fails before the first image is done leaves nothing. */
static void clean_up(job *j, int code)
{
    char message[PG_MESSAGE_MAX];
    snprintf(message, sizeof message, "%s", pg_error_message());
    if (code != PG_OK && j->begun && !j->there && count_done(j) <= 0)
        remove_database(j);
    if (j->begun)
        pg_folders_end(j->request->folder, j->made, code == PG_OK);
    if (code != PG_OK)
        (void)pg_fail(code, "%s", message);
}

static int attack(job *j, const pg_plan *plan)
{
    bool died = false;
    int code = check_folder(j);
    if (code == PG_OK && !(j->there && count_done(j) == j->cell->count))
        code = compute(j, plan);
    if (code == PG_OK) {
        pg_signals_answer();
        code = pg_process_run(export_files, j, &died);
    }
    clean_up(j, code);
    return code;
}

static int run(const pg_context *context, void *given)
{
    pg_attack_request *request = given;
    pg_plan *plan = NULL;
    request->data_dir = context->data_dir;
    pg_signals_catch();
    int code = pg_attack_plan_open(request, &plan);
    if (code == PG_OK)
        code = attack(&(job){.context = context, .request = request, .cell = pg_plan_at(plan, 0)}, plan);
    pg_plan_free(plan);
    return code;
}

const pg_command pg_command_attack = {
    .name = "attack",
    .synopsis = "attack --weights F --dataset D [--images A:B] --attack NAME --patch P [--defense NAME] -o DIR [options]",
    .summary = "attack images with a patch; results as files, with pictures",
    .help =
        "Attacks the images as `run` does a cell, into the database DIR/attack.db, and writes from it: DIR/results.csv (one "
        "line an image: label, predictions before and after, place, target, loss, steps, largest local logit), DIR/patches.npy "
        "(uint8, [n][3][height][width]), DIR/meta.json (settings, hashes, counts), and as SVG, PNG and PDF DIR/sheet (a "
        "contact sheet) and DIR/local-logits (a histogram); prints a summary. Every patch is rounded to 8 bits and evaluated "
        "by the deployed path. The first Ctrl-C keeps the images that are done: the same command resumes, and writes the "
        "files. A matrix with `attack = \"NAME\"` keeps such results in its database, and shows them in tables.\n",
    .examples =
        "  patchgauge attack --weights models/zoo/synthetic-bagnet.safetensors --dataset synthetic:test --images 0:20 \\\n"
        "      --attack lavan --patch 5 --defense robust-masking -S steps=20 -S threshold=0.2 -o attacked\n",
    .rows = options,
    .request_size = sizeof(pg_attack_request),
    .run = run,
};
