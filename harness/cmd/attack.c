/* patchgauge attack: one attack on a run of images; results as files, with pictures. */
#include "harness/base/file.h"
#include "harness/base/names.h"
#include "harness/base/option.h"
#include "harness/base/process.h"
#include "harness/base/signals.h"
#include "harness/cmd/attack_export.h"
#include "harness/cmd/command.h"
#include "harness/pipeline/compute.h"
#include "harness/plan/tasks.h"
#include "plots/figure.h"
#include "plots/sheet.h"

#include <dirent.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

PG_COMMAND(attack)

enum { PAIRS_MAX = 64 };
#define DATABASE "attack.db"

typedef struct arguments {
    pg_attack_request request;
    const char *pairs[PAIRS_MAX];
} arguments;

static int read_number(const char *option, const char *text, int64_t least, int64_t most, int64_t *out)
{
    if (pg_parse_int(text, out) != PG_OK || *out < least || *out > most)
        return pg_fail(PG_EUSAGE, "%s %s: right would be a whole number from %lld to %lld", option, text, (long long)least,
                       (long long)most);
    return PG_OK;
}

static int read_images(const char *text, pg_attack_request *r)
{
    char first[32];
    size_t length = strcspn(text, ":");
    if (text[length] == ':' && length < sizeof first) {
        memcpy(first, text, length);
        first[length] = '\0';
        r->all = false;
        if (pg_parse_int(first, &r->first) == PG_OK && pg_parse_int(text + length + 1, &r->end) == PG_OK && r->first >= 0 &&
            r->end > r->first)
            return PG_OK;
    }
    return pg_fail(PG_EUSAGE, "--images %s: right would be FIRST:END with 0 <= FIRST < END", text);
}

static int set_number(pg_attack_request *r, int option, const char *text)
{
    int64_t value = 0;
    int code = PG_OK;
    switch (option) {
    case 'b':
        code = read_number("--batch", text, 1, 4096, &value);
        r->batch = (int)value;
        return code;
    case 't':
        code = read_number("--threads", text, 0, 1024, &value);
        r->threads = (int)value;
        return code;
    case 'c':
        code = read_number("--sheet", text, 0, 64, &value);
        r->sheet = (int)value;
        return code;
    default:
        code = read_number("--seed", text, 0, INT64_MAX, &value);
        r->seed = (uint64_t)value;
        return code;
    }
}

static int set(arguments *a, int option, const char *text)
{
    pg_attack_request *r = &a->request;
    const char **field = option == 'w'   ? &r->weights
                         : option == 'd' ? &r->dataset
                         : option == 'a' ? &r->attack
                         : option == 'p' ? &r->patch
                         : option == 'e' ? &r->defense
                         : option == 'o' ? &r->folder
                         : option == 'D' ? &r->device
                                         : NULL;
    if (field) {
        *field = text;
        return PG_OK;
    }
    if (option == 'i')
        return read_images(text, r);
    if (option == 'F') {
        r->force = true;
        return PG_OK;
    }
    if (option == 'y') {
        r->dtype = strcmp(text, "bf16") == 0 ? PG_DTYPE_BF16 : PG_DTYPE_F32;
        return r->dtype == PG_DTYPE_BF16 || strcmp(text, "fp32") == 0
                   ? PG_OK
                   : pg_fail(PG_EUSAGE, "--dtype %s: right would be fp32 or bf16", text);
    }
    if (option == 'A') {
        r->behind_resize = strcmp(text, "network") == 0;
        return r->behind_resize || strcmp(pg_value_today("patch-space", text), "image") == 0
                   ? PG_OK
                   : pg_fail(PG_EUSAGE, "--patch-space %s: right would be image or network", text);
    }
    if (option != 's')
        return set_number(r, option, text);
    if (r->n_pairs == PAIRS_MAX)
        return pg_fail(PG_EUSAGE, "more than %d --set options", (int)PAIRS_MAX);
    a->pairs[r->n_pairs++] = text;
    return PG_OK;
}

static int parse(int argc, char **argv, arguments *a)
{
    static const struct option options[] = {{"weights", required_argument, NULL, 'w'},
                                            {"dataset", required_argument, NULL, 'd'},
                                            {"images", required_argument, NULL, 'i'},
                                            {"attack", required_argument, NULL, 'a'},
                                            {"patch", required_argument, NULL, 'p'},
                                            {"patch-space", required_argument, NULL, 'A'},
                                            {"defense", required_argument, NULL, 'e'},
                                            {"set", required_argument, NULL, PG_COMMAND_MANY | 's'},
                                            {"output", required_argument, NULL, 'o'},
                                            {"seed", required_argument, NULL, 'S'},
                                            {"sheet", required_argument, NULL, 'c'},
                                            {"device", required_argument, NULL, 'D'},
                                            {"batch", required_argument, NULL, 'b'},
                                            {"threads", required_argument, NULL, 't'},
                                            {"dtype", required_argument, NULL, 'y'},
                                            {"force", no_argument, NULL, 'F'},
                                            {NULL, 0, NULL, 0}};
    pg_attack_request *r = &a->request;
    *r = (pg_attack_request){
        .all = true, .defense = "mean", .device = "auto", .batch = PG_BATCH_DEFAULT, .sheet = 16, .pairs = a->pairs};
    optind = 0;
    for (int c; (c = pg_command_option_next(argc, argv, ":o:", options)) != -1;) {
        int code = c == '?' || c == ':' ? pg_command_option_error(argv, options, c) : set(a, c, optarg);
        if (code != PG_OK)
            return code;
    }
    if (optind < argc)
        return pg_fail(PG_EUSAGE, "attack takes options only, but was given \"%s\"", argv[optind]);
    const char *missing = !r->weights   ? "--weights"
                          : !r->dataset ? "--dataset"
                          : !r->attack  ? "--attack"
                          : !r->patch   ? "--patch"
                          : !r->folder  ? "-o"
                                        : NULL;
    if (missing)
        return pg_fail(PG_EUSAGE,
                       "%s is missing; usage: patchgauge attack --weights F --dataset D --attack NAME --patch 5 -o DIR",
                       missing);
    return PG_OK;
}

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

/* This attack's folder, a new or an empty one, or any where the user says so; only regular files are written over, and none
 * that is read. */
static int check_folder(job *j)
{
    const pg_attack_request *r = j->request;
    const char *const inputs[] = {r->weights, NULL};
    char path[PATH_MAX];
    int code = *r->folder ? pg_folder_check(r->folder)
                          : pg_fail(PG_EUSAGE, "the folder for results is an empty text; name one with -o");
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
    if (code == PG_OK && (r->sheet < 0 || r->sheet > PG_SHEET_MAX))
        code = pg_fail(PG_EUSAGE, "--sheet %d: a contact sheet has 0 to %d images", r->sheet, (int)PG_SHEET_MAX);
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
                                  .threads = r->threads,
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

static int run(const pg_context *context, int argc, char **argv)
{
    arguments a = {0};
    pg_plan *plan = NULL;
    int code = parse(argc, argv, &a);
    a.request.data_dir = context->data_dir;
    if (code == PG_OK) {
        pg_signals_catch();
        code = pg_attack_plan_open(&a.request, &plan);
    }
    if (code == PG_OK)
        code = attack(&(job){.context = context, .request = &a.request, .cell = pg_plan_at(plan, 0)}, plan);
    pg_plan_free(plan);
    return code;
}

const pg_command pg_command_attack = {
    .name = "attack",
    .synopsis =
        "attack --weights F --dataset D [--images A:B] --attack NAME --patch 5 [--defense NAME] [--set key=value]... -o DIR",
    .summary = "attack images with a patch; results as files, with pictures",
    .help =
        "Attacks the images as `run` does a cell, into the database DIR/attack.db, and writes from it: DIR/results.csv (one "
        "line\n"
        "an image: label, predictions before and after, place, target, loss, steps, largest local logit), DIR/patches.npy\n"
        "(uint8, [n][3][height][width]), DIR/meta.json (settings, hashes, counts), and as SVG, PNG and PDF DIR/sheet (a "
        "contact\n"
        "sheet) and DIR/local-logits (a histogram); prints a summary. Every patch is rounded to 8 bits and evaluated by the\n"
        "deployed path. The first Ctrl-C keeps the images that are done: the same command goes on, and writes the files. A\n"
        "matrix with `attack = \"NAME\"` keeps such results in its database, and shows them in tables.\n"
        "\n"
        "  --weights F      weights file, or null\n"
        "  --dataset D      NAME:SPLIT; NAME:SPLIT@SIZE resizes its images\n"
        "  --images A:B     images A to B - 1; default all\n"
        "  --attack NAME    see `patchgauge list attacks`\n"
        "  --patch P        pixels (5), height x width (5x8) or a share of the image (2.4%, a square)\n"
        "  --patch-space S  image (default) or network: the patch is applied before or after a resize. The patch, its places\n"
        "                   and patches.npy are in pixels of the images there; the sheet shows images as the network takes\n"
        "                   them, and outlines the affected pixels\n"
        "  --defense NAME   see `patchgauge list defenses`; default mean, no defense\n"
        "  --set KEY=VALUE  option of the attack or the defense, see `help attack NAME` and `help defense NAME`; where both\n"
        "                   have it, attack.KEY=VALUE or defense.KEY=VALUE; may be given several times\n"
        "  -o, --output D   folder, made where it is missing; with this attack in it, it goes on where it stopped\n"
        "  --force          use a folder that holds something else, and replace files of these names in it\n"
        "  --seed N         of places, starts and targets; default 0\n"
        "  --sheet N        images of the contact sheet, 0 to 64; default 16; 0: no pictures, no gnuplot\n"
        "  --batch N        images of a forward pass; default 128\n"
        "  --dtype T        fp32 (default) or bf16\n"
        "  --device D       auto (default), cpu, cuda:N\n"
        "  --threads N      cores of a forward pass; default 0: all\n"
        "\n"
        "  patchgauge attack --weights models/zoo/synthetic-bagnet.safetensors --dataset synthetic:test --images 0:20 \\\n"
        "      --attack lavan --patch 5 --defense robust-masking --set steps=20 --set threshold=0.2 -o attacked\n",
    .run_words = run,
};
