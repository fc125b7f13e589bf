/* See attack_files.h. Images are forwarded and evaluated in the batches of `run`, image i at place i % batch, so clean
 * predictions and certificates are those of a run, and so is what the deployed path says of a patch. */
#include "harness/cmd/attack_files.h"

#include "harness/base/file.h"
#include "harness/base/json.h"
#include "harness/base/log.h"
#include "harness/base/npy.h"
#include "harness/base/version.h"
#include "harness/plan/modules.h"
#include "harness/cmd/attack_work.h"
#include "harness/target/paste.h"
#include "harness/base/signals.h"
#include "plots/local_logits.h"
#include "plots/stats.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* What is counted over all images. Positions: local vectors whose largest class is not the label. */
typedef struct tally {
    int64_t n, clean, certified, right, broken, targeted, hit, steps, longest;
    int64_t positions, wrong[2]; /* clean, attacked */
    double loss;                 /* sum, and of how many images */
    int64_t losses, broken_certificates;
    pg_attack_result witness; /* the first of them; its patch is not kept */
    int witness_label;
} tally;

/* One chunk of images and what came of it. */
typedef struct work {
    pg_attack_setup setup;
    pg_attack_sheet *sheet;
    tally tally;
    size_t image, map, patch, positions; /* values of one */
    size_t source;                       /* values of an image before a resize, where patches are put on there; else 0 */
    int64_t chunk;                       /* images, a multiple of the images of a pass */
    uint8_t *pixels, *attacked;          /* as the network takes them */
    uint8_t *sources;                    /* before the resize; NULL where source is 0 */
    pg_paste paste;
    uint8_t *patches; /* of all images */
    int32_t *labels;
    float *logits, *after;
    float *largest[2]; /* [all images][positions], clean and attacked: what the figure shows */
    pg_verdict *verdicts;
    pg_example *examples;
    pg_attack_result *results;
    pg_buf csv;
} work;

static int make_work(work *w)
{
    const pg_geometry *g = &w->setup.info.geometry;
    const pg_attack_common *common = (const void *)w->setup.attack_config;
    int64_t batch = w->setup.at_once, n = w->setup.end - w->setup.first;
    w->image = (size_t)3 * (size_t)g->input_height * (size_t)g->input_width;
    if (w->setup.before_resize)
        w->source = (size_t)3 * (size_t)w->setup.image_height * (size_t)w->setup.image_width;
    w->positions = (size_t)g->rows.positions * (size_t)g->columns.positions;
    w->map = w->positions * (size_t)g->classes;
    w->patch = (size_t)3 * (size_t)w->setup.patch_height * (size_t)w->setup.patch_width;
    w->chunk = (2 * common->batch + batch - 1) / batch * batch; /* so that slots which become free find work */
    size_t c = (size_t)w->chunk;
    w->pixels = malloc(c * w->image);
    w->attacked = malloc(c * w->image);
    w->sources = w->source ? malloc(c * w->source) : NULL;
    w->patches = malloc((size_t)n * w->patch);
    w->labels = malloc(c * sizeof *w->labels);
    w->logits = malloc(c * w->map * sizeof *w->logits);
    w->after = malloc(c * w->map * sizeof *w->after);
    w->verdicts = calloc(c, sizeof *w->verdicts);
    w->examples = calloc(c, sizeof *w->examples);
    w->results = calloc(c, sizeof *w->results);
    for (int i = 0; i < 2; i++)
        w->largest[i] = malloc((size_t)n * w->positions * sizeof *w->largest[i]);
    bool there = w->pixels && w->attacked && w->patches && w->labels && w->logits && w->after && w->verdicts && w->examples &&
                 w->results && w->largest[0] && w->largest[1] && (w->sources || !w->source);
    if (!there)
        return pg_fail(PG_ENOMEM, "out of memory for %lld images at a time", (long long)w->chunk);
    return pg_paste_init(&w->paste, w->source ? &w->setup.resize : NULL, g, w->setup.patch_height, w->setup.patch_width);
}

static void free_work(work *w)
{
    void *const memory[] = {w->pixels, w->attacked, w->sources,  w->patches, w->labels,     w->logits,
                            w->after,  w->verdicts, w->examples, w->results, w->largest[0], w->largest[1]};
    for (size_t i = 0; i < sizeof memory / sizeof *memory; i++)
        free(memory[i]);
    pg_paste_release(&w->paste);
    pg_attack_sheet_free(w->sheet);
    pg_buf_release(&w->csv);
    pg_attack_setup_close(&w->setup);
}

/* ---- One chunk: images from `at` (a multiple of the batch) to `stop`; those before `from` fill the first batch only ---- */

static int forward(work *w, const uint8_t *pixels, int64_t at, int64_t stop, float *logits)
{
    int code = PG_OK;
    int64_t batch = w->setup.at_once;
    for (int64_t i = at; code == PG_OK && i < stop; i += batch)
        code = pg_network_forward(w->setup.network, pixels + (size_t)(i - at) * w->image, i,
                                  (int)(stop - i < batch ? stop - i : batch), logits + (size_t)(i - at) * w->map);
    return code;
}

static int attack_chunk(work *w, int64_t at, int64_t from, int64_t stop)
{
    size_t n = (size_t)(stop - from), skip = (size_t)(from - at);
    int code = pg_dataset_read(w->setup.dataset, at, stop - at, w->pixels, w->labels);
    if (code == PG_OK && w->sources)
        code = pg_dataset_read_source(w->setup.dataset, at, stop - at, w->sources);
    if (code == PG_OK)
        code = forward(w, w->pixels, at, stop, w->logits);
    for (size_t i = 0; code == PG_OK && i < n; i++) {
        const float *logits = w->logits + (i + skip) * w->map;
        const uint8_t *pixels = w->pixels + (i + skip) * w->image;
        pg_job job = {.defense = w->setup.defense, .config = w->setup.config};
        pg_certifier_image_f32(w->setup.certifier, logits, w->labels[i + skip], &w->verdicts[i]);
        code = pg_verdict_check(&job, &w->verdicts[i], w->labels[i + skip], w->setup.info.geometry.classes);
        if (code != PG_OK)
            return pg_modules_blame(code, "defense", &w->setup.defense->module, from + (int64_t)i);
        w->examples[i] = (pg_example){.index = from + (int64_t)i,
                                      .label = w->labels[i + skip],
                                      .prediction = w->verdicts[i].prediction,
                                      .pixels = w->sources ? w->sources + (i + skip) * w->source : pixels,
                                      .logits = logits,
                                      .resized = w->sources ? pixels : NULL};
        w->results[i] = (pg_attack_result){.patch = w->patches + ((size_t)(from - w->setup.first) + i) * w->patch};
    }
    if (code == PG_OK)
        code = pg_attacker_run(w->setup.attacker, w->examples, n, w->results);
    return code;
}

/* The attacked images once more through the network, for their local logits. */
static int forward_attacked(work *w, int64_t at, int64_t from, int64_t stop)
{
    size_t skip = (size_t)(from - at);
    int code = PG_OK;
    memset(w->attacked, 0, skip * w->image);
    for (size_t i = 0; code == PG_OK && i < (size_t)(stop - from); i++) {
        const pg_attack_result *r = &w->results[i];
        uint8_t *image = w->attacked + (i + skip) * w->image;
        code = pg_paste_patch(&w->paste, w->examples[i].pixels, r->patch, r->top, r->left, image);
    }
    return code == PG_OK ? forward(w, w->attacked, at, stop, w->after) : code;
}

/* ---- What came of it ---- */

/* The largest logit of every local vector, and how many name another class than the label. */
static int64_t scan(const work *w, const float *logits, int label, float *largest, float *most)
{
    int classes = w->setup.info.geometry.classes;
    int64_t wrong = 0;
    *most = -INFINITY;
    for (size_t p = 0; p < w->positions; p++, logits += classes) {
        int best = 0;
        for (int c = 1; c < classes; c++)
            best = logits[c] > logits[best] ? c : best;
        largest[p] = logits[best];
        *most = fmaxf(*most, logits[best]);
        wrong += best != label;
    }
    return wrong;
}

static void count(tally *t, const pg_attack_result *r, const pg_verdict *v, int label)
{
    bool right = r->before == label, targeted = r->target >= 0 && r->target != label; /* else there is nothing to reach */
    t->n++;
    t->clean += right;
    t->certified += v->certified;
    t->right += right && r->after == label;
    t->broken += right && r->after != label;
    t->targeted += targeted;
    t->hit += targeted && r->after == r->target;
    t->steps += r->steps;
    t->loss += r->steps > 0 && isfinite(r->loss) ? r->loss : 0;
    t->losses += r->steps > 0 && isfinite(r->loss);
    t->longest = r->steps > t->longest ? r->steps : t->longest;
    if (v->certified && r->after != label && t->broken_certificates++ == 0) {
        t->witness = *r;
        t->witness_label = label;
    }
}

static int keep_image(work *w, size_t i, size_t skip, int64_t number)
{
    const pg_attack_result *r = &w->results[i];
    int label = w->examples[i].label;
    float most[2];
    int64_t wrong[2];
    const float *logits[2] = {w->examples[i].logits, w->after + (i + skip) * w->map};
    for (int k = 0; k < 2; k++) {
        wrong[k] = scan(w, logits[k], label, w->largest[k] + (size_t)number * w->positions, &most[k]);
        w->tally.wrong[k] += wrong[k];
    }
    w->tally.positions += (int64_t)w->positions;
    count(&w->tally, r, &w->verdicts[i], label);
    pg_buf_printf(&w->csv, "%lld,%d,%d,%d,%d,%d,%d,%d,", (long long)r->image, label, r->before, r->after,
                  r->before == label && r->after != label, w->verdicts[i].certified, r->top, r->left);
    if (r->target >= 0)
        pg_buf_printf(&w->csv, "%d", r->target);
    pg_buf_printf(&w->csv, ",%.6g,%lld,%.6g,%.6g,%lld,%lld\n", r->loss, (long long)r->steps, (double)most[0], (double)most[1],
                  (long long)wrong[0], (long long)wrong[1]);
    if (!w->sheet)
        return PG_OK;
    size_t at = (i + skip) * w->image;
    return pg_attack_sheet_add(w->sheet, r, label, w->pixels + at, w->attacked + at, logits[1]);
}

static int attack_all(work *w)
{
    int64_t first = w->setup.first, end = w->setup.end, batch = w->setup.at_once;
    int code = PG_OK;
    pg_progress progress;
    pg_progress_start(&progress, "images", 0, end - first);
    for (int64_t at = first / batch * batch; code == PG_OK && at < end; at += w->chunk) {
        int64_t from = at > first ? at : first, stop = at + w->chunk < end ? at + w->chunk : end;
        code = pg_signals_stopping() ? PG_EINTERRUPTED : attack_chunk(w, at, from, stop);
        if (code == PG_EINTERRUPTED)
            code = pg_fail(code, "interrupted; nothing was written to %s", w->setup.request->folder);
        if (code == PG_OK)
            code = forward_attacked(w, at, from, stop);
        for (int64_t i = from; code == PG_OK && i < stop; i++)
            code = keep_image(w, (size_t)(i - from), (size_t)(from - at), i - first);
        char note[48];
        snprintf(note, sizeof note, "%lld of %lld broken", (long long)w->tally.broken, (long long)w->tally.clean);
        if (code == PG_OK)
            pg_progress_update(&progress, stop - first, note);
    }
    pg_progress_finish(&progress);
    return code;
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
    pg_buf text;
    pg_buf_init(&text);
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

static json_t *names_json(const pg_dataset_info *info)
{
    json_t *list = json_array();
    bool failed = false;
    for (int i = 0; i < info->classes; i++)
        failed |= json_array_append_new(list, json_string(info->class_names[i])) != 0;
    return whole(list, failed);
}

/* *new* text of meta.json; NULL with a message. */
static char *meta_text(const work *w)
{
    const pg_attack_setup *s = &w->setup;
    const pg_attack_request *r = s->request;
    const pg_dataset_info *data = pg_dataset_info_of(s->dataset);
    const tally *t = &w->tally;
    json_t *counts =
        json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "images", (json_int_t)t->n, "clean", (json_int_t)t->clean,
                  "attacked", (json_int_t)t->right, "broken", (json_int_t)t->broken, "certified", (json_int_t)t->certified,
                  "steps", (json_int_t)t->steps, "local_vectors", (json_int_t)t->positions, "local_wrong_clean",
                  (json_int_t)t->wrong[0], "local_wrong_attacked", (json_int_t)t->wrong[1]);
    json_t *meta = json_pack(
        "{s:s, s:s, s:s%, s:s, s:s, s:s, s:s, s:s, s:I, s:I, s:s, s:[ii], s:[ii], s:[ii], s:s, s:i, s:s, s:I, s:s, s:o, s:o, "
        "s:o, s:o, s:o}",
        "format", "patchgauge.attack.1", "version", PG_VERSION, "weights", r->weights, strlen(r->weights), "weights_sha256",
        s->info.hash, "model", s->info.model, "dataset", r->dataset, "dataset_sha256", data->hash, "split", data->split,
        "first", (json_int_t)s->first, "end", (json_int_t)s->end, "attacker", r->behind_resize ? "network" : "input", "patch",
        s->patch_height, s->patch_width, "reach", s->affected_height, s->affected_width, "window", s->window.height,
        s->window.width, "dtype", r->dtype == PG_DTYPE_BF16 ? "bf16" : "fp32", "batch", r->batch, "device",
        pg_network_device(s->network), "seed", (json_int_t)r->seed, "through", pg_attacker_through(s->attacker), "attack",
        options_json(&s->attack->module, s->attack_config), "defense", options_json(&s->defense->module, s->config), "delta",
        s->has_delta ? json_integer(s->delta) : json_null(), "classes", names_json(data), "counts", counts);
    char *text = meta ? pg_json_dump(meta, JSON_INDENT(2) | JSON_SORT_KEYS) : NULL;
    json_decref(meta);
    if (!text)
        pg_fail(PG_ENOMEM, "out of memory for meta.json");
    return text;
}

static int path_of(const work *w, const char *name, pg_buf *path)
{
    pg_buf_init(path);
    pg_buf_printf(path, "%s/%s", w->setup.request->folder, name);
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
    const int64_t shape[] = {w->setup.end - w->setup.first, 3, w->setup.patch_height, w->setup.patch_width};
    const char *const data[PG_ATTACK_DATA] = {w->csv.data, (const char *)w->patches, meta};
    size_t size = which == 1 ? (size_t)shape[0] * w->patch : strlen(data[which]);
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
static void write_title(const pg_attack_setup *s, pg_buf *out)
{
    const char *slash = strrchr(s->request->weights, '/'), *name = slash ? slash + 1 : s->request->weights;
    const char *end = strstr(name, ".safetensors");
    pg_buf_printf(out, "%s on %s, %.*s, %s, patch %d x %d", s->attack->module.name, s->defense->module.name,
                  end ? (int)(end - name) : (int)strlen(name), name, s->request->dataset, s->patch_height, s->patch_width);
}

static int draw(work *w)
{
    const tally *t = &w->tally;
    pg_buf title, sheet, logits;
    pg_buf *texts[] = {&title, &sheet, &logits};
    for (int i = 0; i < 3; i++)
        pg_buf_init(texts[i]);
    write_title(&w->setup, &title);
    pg_buf_printf(&sheet, "%lld of %lld images broken; the first ones that were attacked, through %s", (long long)t->broken,
                  (long long)t->clean,
                  strcmp(pg_attacker_through(w->setup.attacker), "mean") == 0 ? "the mean" : "the defense");
    pg_buf_printf(&logits, "%lld local vectors of %lld image%s", (long long)t->positions, (long long)t->n,
                  t->n == 1 ? "" : "s");
    pg_local_logits histogram = {.title = title.data,
                                 .subtitle = logits.data,
                                 .clean = w->largest[0],
                                 .attacked = w->largest[1],
                                 .n = (size_t)t->positions};
    int code = pg_buf_check(&title);
    if (code == PG_OK)
        code = pg_attack_sheet_draw(w->sheet, title.data, sheet.data);
    if (code == PG_OK)
        code = pg_local_logits_draw(&histogram, w->setup.request->folder);
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
    const pg_attack_setup *s = &w->setup;
    say_share("clean accuracy", t->clean, t->n, "images");
    say_share("accuracy under attack", t->right, t->n, "images");
    if (s->defense->certificate(s->config) != PG_CERTIFICATE_NONE)
        say_share("certified accuracy", t->certified, t->n, "images");
    if (t->targeted > 0)
        say_share("target reached", t->hit, t->targeted, "images of another class");
    if (t->clean > 0)
        say_share("broken", t->broken, t->clean, "images that were right");
    say_share("local vectors wrong, clean", t->wrong[0], t->positions, "local vectors");
    say_share("local vectors wrong, after", t->wrong[1], t->positions, "local vectors");
    if (t->losses > 0)
        printf("%-26s %.4f, mean of %lld attacked images\n", "loss", t->loss / (double)t->losses, (long long)t->losses);
    printf("%-26s %.1f an image, at most %lld, through %s\n", "steps", (double)t->steps / (double)t->n, (long long)t->longest,
           strcmp(pg_attacker_through(s->attacker), "mean") == 0 ? "the mean of the local logits" : "the defense");
    printf("%-26s %s\n", "files", s->request->folder);
}

static int check_certificates(const work *w)
{
    const tally *t = &w->tally;
    if (t->broken_certificates == 0)
        return PG_OK;
    return pg_fail(
        PG_EBROKEN,
        "%lld certified images are wrong under attack; the first is image %lld of class %d, which a patch at row %d, "
        "column %d makes %d: its row in %s/patches.npy is %lld",
        (long long)t->broken_certificates, (long long)t->witness.image, t->witness_label, t->witness.top, t->witness.left,
        t->witness.after, w->setup.request->folder, (long long)(t->witness.image - w->setup.first));
}

int pg_attack_write(const pg_attack_request *request)
{
    work w = {0};
    pg_buf_init(&w.csv);
    pg_buf_puts(&w.csv, PG_ATTACK_HEADER);
    int code = pg_attack_setup_open(request, &w.setup);
    char *made = NULL;
    if (code == PG_OK)
        code = pg_folders_begin(request->folder, &made); /* now, not after the work */
    if (code == PG_OK)
        code = make_work(&w);
    if (code == PG_OK && request->sheet > 0)
        code = pg_attack_sheet_new(&w.setup, request->sheet, &w.sheet);
    if (code == PG_OK)
        code = attack_all(&w);
    if (code == PG_OK)
        code = write_files(&w);
    if (code == PG_OK)
        say(&w);
    if (code == PG_OK && w.sheet)
        code = draw(&w);
    if (code == PG_OK)
        code = check_certificates(&w);
    pg_folders_end(request->folder, made, code == PG_OK);
    free_work(&w);
    return code;
}
