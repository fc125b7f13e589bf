/* See attack_export.h. */
#include "harness/cmd/attack_export.h"

#include "harness/base/file.h"
#include "harness/base/json.h"
#include "harness/base/log.h"
#include "harness/base/memory.h"
#include "harness/base/npy.h"
#include "harness/base/version.h"
#include "harness/cmd/cell_pass.h"
#include "plots/local_logits.h"
#include "harness/base/stats.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const char *const pg_attack_names[] = {"results.csv",      "patches.npy",        "meta.json",        "sheet.svg",
                                       "sheet.png",        "sheet.pdf",          "sheet.gp",         "sheet.tsv",
                                       "sheet-pixels.npy", "sheet-evidence.npy", "local-logits.svg", "local-logits.png",
                                       "local-logits.pdf", "local-logits.gp",    "local-logits.tsv", NULL};

/* What is counted over all images. Positions: local vectors whose largest class is not the label. */
typedef struct tally {
    int64_t n, clean, certified, attacked, broken, targeted, hit, steps, longest;
    int64_t positions, wrong[2]; /* clean, attacked */
    double loss;                 /* sum, and of how many images */
    int64_t losses, broken_certificates;
    const pg_attack_row *witness; /* the first of them */
} tally;

typedef struct work {
    const pg_attack_request *request;
    const pg_cell *cell;
    const pg_forward *forward;
    pg_cell_pass pass;
    pg_class_names names;
    pg_attack_sheet *sheet;
    tally tally;
    float *largest[2]; /* [all images][positions], clean and attacked: what the figure shows */
    pg_memory memory;  /* of these */
    pg_buf csv;
} work;

static int make_work(work *w, const char *db_path)
{
    const pg_attack_request *r = w->request;
    size_t n = (size_t)w->cell->count;
    int code = pg_cell_pass_open(w->cell, db_path, r->data_dir, r->device, (int)r->threads, &w->pass);
    if (code != PG_OK)
        return code;
    for (int i = 0; i < 2; i++)
        w->largest[i] = pg_memory_take(&w->memory, n * w->pass.positions, sizeof *w->largest[i]);
    return pg_memory_check(&w->memory, "the local logits of %zu images", n);
}

static void free_work(work *w)
{
    pg_memory_free(&w->memory);
    pg_attack_sheet_free(w->sheet);
    pg_class_names_release(&w->names);
    pg_buf_release(&w->csv);
    pg_cell_pass_close(&w->pass);
}

/* ---- What came of it ---- */

/* The largest logit of every local vector, and how many name another class than the label. */
static int64_t scan(const work *w, const float *logits, int label, float *largest, float *most)
{
    int classes = w->forward->info.geometry.classes;
    int64_t wrong = 0;
    *most = -INFINITY;
    for (size_t p = 0; p < w->pass.positions; p++, logits += classes) {
        int best = 0;
        for (int c = 1; c < classes; c++)
            best = logits[c] > logits[best] ? c : best;
        largest[p] = logits[best];
        *most = fmaxf(*most, logits[best]);
        wrong += best != label;
    }
    return wrong;
}

static void count(tally *t, const pg_attack_row *r, bool certified)
{
    int label = r->label;
    bool correct = r->before == label, targeted = r->target >= 0 && r->target != label; /* else there is nothing to reach */
    t->n++;
    t->clean += correct;
    t->certified += certified;
    t->attacked += correct && r->after == label;
    t->broken += correct && r->after != label;
    t->targeted += targeted;
    t->hit += targeted && r->after == r->target;
    t->steps += r->steps;
    t->loss += r->steps > 0 && isfinite(r->loss) ? r->loss : 0;
    t->losses += r->steps > 0 && isfinite(r->loss);
    t->longest = r->steps > t->longest ? r->steps : t->longest;
    if (certified && r->after != label && t->broken_certificates++ == 0)
        t->witness = r;
}

static int export_image(const pg_pass_image *image, void *context)
{
    work *w = context;
    const pg_attack_row *a = &w->pass.attacks[image->number];
    bool certified = w->pass.outcomes[image->number].certified;
    float most[2];
    int64_t wrong[2];
    const float *logits[2] = {image->logits, image->after};
    for (int k = 0; k < 2; k++) {
        wrong[k] = scan(w, logits[k], a->label, w->largest[k] + (size_t)image->number * w->pass.positions, &most[k]);
        w->tally.wrong[k] += wrong[k];
    }
    w->tally.positions += (int64_t)w->pass.positions;
    count(&w->tally, a, certified);
    pg_buf_printf(&w->csv, "%lld,%d,%d,%d,%d,%d,%d,%d,", (long long)a->image, a->label, a->before, a->after,
                  a->before == a->label && a->after != a->label, certified, a->top, a->left);
    if (a->target >= 0)
        pg_buf_printf(&w->csv, "%d", a->target);
    pg_buf_printf(&w->csv, ",%.6g,%lld,%.6g,%.6g,%lld,%lld\n", a->loss, (long long)a->steps, (double)most[0], (double)most[1],
                  (long long)wrong[0], (long long)wrong[1]);
    return w->sheet ? pg_attack_sheet_add(w->sheet, a, image->pixels, image->attacked, logits[1]) : PG_OK;
}

static int export_images(work *w)
{
    int code = pg_cell_pass_run(&w->pass, export_image, w);
    return code == PG_EINTERRUPTED ? pg_fail(code, "interrupted; the attack is kept, and the same command writes its files")
                                   : code;
}

/* ---- Files ---- */

/* *New*; NULL where memory runs out, as the next two. */
static json_t *whole(json_t *made, bool failed)
{
    if (failed)
        json_decref(made);
    return failed ? NULL : made;
}

static json_t *options_json(const pg_module *module, const void *config)
{
    pg_buf text = PG_BUF_EMPTY;
    pg_options_canonical(module->options, config, "", false, &text);
    json_t *object = json_object();
    bool failed = text.failed;
    for (char *line = text.data, *end; (end = strchr(line, '\n')) != NULL; line = end + 1) {
        char *value = strchr(line, '=');
        *end = '\0';
        *value = '\0';
        failed |= json_object_set_new(object, line, json_string(value + 1)) != 0;
    }
    pg_buf_release(&text);
    return json_pack("{s:s, s:i, s:o}", "name", module->name, "version", module->version, "options", whole(object, failed));
}

static json_t *names_json(const pg_class_names *names)
{
    json_t *list = json_array();
    bool failed = false;
    for (int i = 0; i < names->n; i++)
        failed |= json_array_append_new(list, json_string(names->names[i])) != 0;
    return whole(list, failed);
}

/* *new* text of meta.json; NULL with a message. */
static char *meta_text(const work *w)
{
    const pg_attack_request *r = w->request;
    const pg_cell *c = w->cell;
    const pg_forward *f = w->forward;
    const pg_dataset_info *data = pg_dataset_info_of(w->pass.dataset);
    const tally *t = &w->tally;
    json_t *counts =
        json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "images", (json_int_t)t->n, "clean", (json_int_t)t->clean,
                  "attacked", (json_int_t)t->attacked, "broken", (json_int_t)t->broken, "certified", (json_int_t)t->certified,
                  "steps", (json_int_t)t->steps, "local_vectors", (json_int_t)t->positions, "local_wrong_clean",
                  (json_int_t)t->wrong[0], "local_wrong_attacked", (json_int_t)t->wrong[1]);
    json_t *meta = json_pack(
        "{s:s, s:s, s:s%, s:s, s:s, s:s, s:s, s:s, s:I, s:I, s:s, s:[ii], s:[ii], s:[ii], s:s, s:i, s:s, s:I, s:s, s:o, s:o, "
        "s:o, s:o, s:o}",
        "format", "patchgauge.attack.2", "version", PG_VERSION, "weights", r->weights, strlen(r->weights), "weights_sha256",
        f->info.hash, "model", f->info.model, "dataset", r->dataset, "dataset_sha256", data->hash, "split", data->split,
        "first", (json_int_t)c->first, "end", (json_int_t)(c->first + c->count), "patch_space",
        r->behind_resize ? "network" : "image", "patch", c->patch_height, c->patch_width, "affected", c->affected_height,
        c->affected_width, "window", c->window.height, c->window.width, "dtype", pg_dtype_names[r->dtype], "batch",
        (int)r->batch, "device", pg_network_device(w->pass.network), "seed", (json_int_t)r->seed, "gradient",
        pg_forward_gradient(f), "attack", options_json(&f->attack->module, f->attack_config), "defense",
        options_json(&c->defense->module, c->config), "delta", c->has_delta ? json_integer(c->delta) : json_null(), "classes",
        names_json(&w->names), "counts", counts);
    char *text = meta ? pg_json_dump(meta, JSON_INDENT(2) | JSON_SORT_KEYS) : NULL;
    json_decref(meta);
    if (!text)
        pg_fail(PG_ENOMEM, "out of memory for meta.json");
    return text;
}

static int path_of(const work *w, const char *name, pg_buf *path)
{
    *path = PG_BUF_EMPTY;
    pg_buf_printf(path, "%s/%s", w->request->folder, name);
    return pg_buf_check(path);
}

/* Pictures of an earlier attack, which do not show this one. */
static int remove_pictures(const work *w)
{
    int code = PG_OK;
    for (const char *const *name = pg_attack_names + PG_ATTACK_DATA; code == PG_OK && *name; name++) {
        pg_buf path;
        code = path_of(w, *name, &path);
        if (code == PG_OK)
            unlink(path.data);
        pg_buf_release(&path);
    }
    return code;
}

/* Data file number `which`, in full but still beside its place. */
static int write_data(const work *w, int which, const char *meta, pg_file_writer *file)
{
    const int64_t shape[] = {w->cell->count, 3, w->forward->patch_height, w->forward->patch_width};
    const char *const data[PG_ATTACK_DATA] = {w->csv.data, (const char *)w->pass.patches, meta};
    size_t size = which == 1 ? (size_t)shape[0] * w->pass.patch : strlen(data[which]);
    pg_buf path;
    int code = path_of(w, pg_attack_names[which], &path);
    if (code == PG_OK)
        code = pg_file_begin(file, path.data);
    if (code == PG_OK && which == 1)
        code = pg_npy_write_header(file->stream, PG_NPY_U1, 4, shape);
    if (code == PG_OK && (fwrite(data[which], 1, size, file->stream) != size || fflush(file->stream) != 0))
        code = pg_fail(PG_EIO, "%s: cannot be written: the disk may be full", path.data);
    pg_buf_release(&path);
    return code;
}

/* All files are written before the first takes its place: what an earlier attack left is replaced as a whole. */
static int write_files(const work *w)
{
    pg_file_writer files[PG_ATTACK_DATA] = {0};
    char *meta = meta_text(w);
    int code = meta ? pg_buf_check(&w->csv) : PG_ENOMEM;
    for (int i = 0; code == PG_OK && i < PG_ATTACK_DATA; i++)
        code = write_data(w, i, meta, &files[i]);
    if (code == PG_OK)
        code = remove_pictures(w);
    for (int i = 0; code == PG_OK && i < PG_ATTACK_DATA; i++)
        code = pg_file_commit(&files[i]);
    for (int i = 0; i < PG_ATTACK_DATA; i++)
        pg_file_abort(&files[i]);
    free(meta);
    return code;
}

/* "lavan on robust-masking, bagnet7-cifar10, cifar10:test, patch 5 x 5" */
static void write_title(const work *w, pg_buf *out)
{
    const pg_cell *c = w->cell;
    const char *name = basename(w->request->weights);
    const char *end = strstr(name, ".safetensors");
    pg_buf_printf(out, "%s on %s, %.*s, %s, patch %d x %d", c->forward->attack->module.name, c->defense->module.name,
                  end ? (int)(end - name) : (int)strlen(name), name, w->request->dataset, c->patch_height, c->patch_width);
}

static int draw(work *w)
{
    const tally *t = &w->tally;
    pg_buf title = PG_BUF_EMPTY, sheet = PG_BUF_EMPTY, logits = PG_BUF_EMPTY;
    pg_buf *texts[] = {&title, &sheet, &logits};
    write_title(w, &title);
    pg_buf_printf(&sheet, "%lld of %lld images broken; the first %s, through %s", (long long)t->broken, (long long)t->clean,
                  w->request->broken_only ? "of these" : "ones that were attacked",
                  strcmp(pg_forward_gradient(w->forward), "mean") == 0 ? "the mean" : "the defense");
    pg_buf_printf(&logits, "%lld local vectors of %lld image%s", (long long)t->positions, (long long)t->n,
                  t->n == 1 ? "" : "s");
    pg_local_logits histogram = {.title = title.data,
                                 .subtitle = logits.data,
                                 .clean = w->largest[0],
                                 .attacked = w->largest[1],
                                 .n = (size_t)t->positions};
    int code = pg_buf_check(&title);
    if (code == PG_OK)
        code = pg_attack_sheet_draw(w->sheet, title.data, sheet.data, w->request->folder);
    if (code == PG_OK)
        code = pg_local_logits_draw(&histogram, w->request->folder);
    for (int i = 0; i < 3; i++)
        pg_buf_release(texts[i]);
    return code;
}

/* ---- Summary ---- */

static void say_share(const char *name, int64_t count, int64_t n, const char *of)
{
    pg_interval share = pg_wilson(count, n);
    printf("%-26s %5.1f%% (%.1f-%.1f), %lld of %lld %s\n", name, pg_percent(count, n, 1), 100 * share.lo, 100 * share.hi,
           (long long)count, (long long)n, of);
}

static void say(const work *w)
{
    const tally *t = &w->tally;
    const pg_cell *c = w->cell;
    say_share("clean accuracy", t->clean, t->n, "images");
    say_share("accuracy under attack", t->attacked, t->n, "images");
    if (c->defense->certificate(c->config) != PG_CERTIFICATE_NONE)
        say_share("certified accuracy", t->certified, t->n, "images");
    if (t->targeted > 0)
        say_share("target reached", t->hit, t->targeted, "images of another class");
    if (t->clean > 0)
        say_share("broken", t->broken, t->clean, "correct images");
    say_share("local vectors wrong, clean", t->wrong[0], t->positions, "local vectors");
    say_share("local vectors wrong, after", t->wrong[1], t->positions, "local vectors");
    if (t->losses > 0)
        printf("%-26s %.4f, mean of %lld attacked images\n", "loss", t->loss / (double)t->losses, (long long)t->losses);
    printf("%-26s %.1f an image, at most %lld, through %s\n", "steps", (double)t->steps / (double)t->n, (long long)t->longest,
           strcmp(pg_forward_gradient(c->forward), "mean") == 0 ? "the mean of the local logits" : "the defense");
    printf("%-26s %s\n", "files", w->request->folder);
}

static int check_certificates(const work *w)
{
    const tally *t = &w->tally;
    if (t->broken_certificates == 0)
        return PG_OK;
    return pg_fail(
        PG_EBROKEN,
        "%lld certified images are misclassified under attack; the first is image %lld of class %d, which a patch at row %d, "
        "column %d makes %d: its row in %s/patches.npy is %lld",
        (long long)t->broken_certificates, (long long)t->witness->image, t->witness->label, t->witness->top, t->witness->left,
        t->witness->after, w->request->folder, (long long)(t->witness->image - w->cell->first));
}

int pg_attack_export(const pg_attack_request *request, const pg_cell *cell, const char *db_path)
{
    work w = {.request = request, .cell = cell, .forward = cell->forward, .csv = PG_BUF_EMPTY};
    pg_buf_puts(&w.csv, "image,label,before,after,broken,certified,top,left,target,loss,steps,largest_clean,largest_attacked,"
                        "local_wrong_clean,local_wrong_attacked\n");
    int code = make_work(&w, db_path);
    if (code == PG_OK)
        code = pg_class_names_make(cell->values, cell->n_values, pg_dataset_info_of(w.pass.dataset), &w.names);
    if (code == PG_OK && request->sheet > 0)
        code = pg_attack_sheet_new(cell, &w.names, (int)request->sheet, request->broken_only, &w.sheet);
    if (code == PG_OK)
        code = export_images(&w);
    if (code == PG_OK)
        code = write_files(&w);
    if (code == PG_OK)
        say(&w);
    if (code == PG_OK && w.sheet)
        code = draw(&w);
    if (code == PG_OK)
        code = check_certificates(&w);
    free_work(&w);
    return code;
}
