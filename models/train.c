/* Training: SGD with momentum, cosine or step schedule, crop and flip, moving average of the weights. See train.h. */
#include "models/train.h"

#include "harness/base/file.h"
#include "harness/base/log.h"
#include "harness/base/signals.h"
#include "harness/data/dataset.h"
#include "models/checkpoint.h"
#include "models/prefetch.h"
#include "models/locality.h"
#include "models/train_loss.h"
#include "models/weights.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { VALIDATED = 250, VALIDATED_PX = 1 << 20 }; /* images of a forward pass of validation, and pixels of larger ones */

typedef struct images {
    pg_dataset *dataset;
    const pg_dataset_info *info;
} images;

typedef struct training {
    const pg_train_job *job;
    const pg_train_options *o;
    images fit, val;
    pg_prefetch *prefetch;
    int64_t epoch;
    const pg_torch *t;
    pg_scope *s;
    pg_checkpoint state;
    char device[16];
    bool bf16;
    uint32_t *order;                /* of the epoch */
    pg_tensor **trained, **momenta; /* borrowed from state; n_trained each */
    double *decays;
    int n_trained;
} training;

static int open_images(const char *data_dir, const char *spec, images *out)
{
    int code = pg_dataset_open(data_dir, spec, &out->dataset);
    if (code == PG_OK)
        out->info = pg_dataset_info_of(out->dataset);
    return code;
}

/* Images of a forward pass of validation: its memory grows with them. */
static int64_t validated(const pg_dataset_info *info)
{
    int64_t most = VALIDATED_PX / (info->height * info->width);
    return most > VALIDATED ? VALIDATED : most > 1 ? most : 1;
}

static size_t image_bytes(const images *i) { return i->info ? (size_t)3 * (size_t)(i->info->height * i->info->width) : 0; }

/* How often an image of training is there, each time with other squares. */
static int64_t draws_of(const pg_train_options *o) { return o->cutout > 0 ? o->hardest : 1; }

/* Copies one image moved by (dy, dx), black where it leaves the frame, mirrored if asked. */
static void augment(const uint8_t *from, uint8_t *to, int height, int width, int dy, int dx, bool mirror)
{
    for (int c = 0; c < 3; c++)
        for (int y = 0; y < height; y++)
            for (int x = 0; x < width; x++) {
                int sy = y + dy, sx = (mirror ? width - 1 - x : x) + dx;
                bool inside = sy >= 0 && sy < height && sx >= 0 && sx < width;
                to[(c * height + y) * width + x] = inside ? from[(c * height + sy) * width + sx] : 0;
            }
}

/* Grey squares inside the image: from none to o->cutouts of them. */
static void cut_out(const pg_train_options *o, pg_rng rng, uint8_t *image, int height, int width)
{
    int side_y = o->cutout < height ? (int)o->cutout : height, side_x = o->cutout < width ? (int)o->cutout : width;
    for (uint32_t squares = pg_rng_below(&rng, (uint32_t)o->cutouts + 1); squares > 0; squares--) {
        int top = (int)pg_rng_below(&rng, (uint32_t)(height - side_y + 1)),
            left = (int)pg_rng_below(&rng, (uint32_t)(width - side_x + 1));
        for (int y = 0; y < 3 * side_y; y++) /* rows of the three planes */
            memset(image + (size_t)((y / side_y * height + top + y % side_y) * width + left), 128, (size_t)side_x);
    }
}

/* Image i of the epoch's order, augmented, once for each draw of its squares; see pg_prefetch_pass. */
static int make_fit(const void *context, int64_t i, uint8_t *scratch, uint8_t *pixels, int64_t *label)
{
    const training *r = context;
    const pg_dataset_info *info = r->fit.info;
    uint32_t at = r->order[i];
    int32_t right = 0;
    int code = pg_dataset_read(r->fit.dataset, at, 1, scratch, &right);
    if (code != PG_OK)
        return code;
    pg_rng rng = pg_rng_make((uint64_t)r->o->seed, PG_STREAM_AUGMENT, at);
    rng.index = (uint64_t)r->epoch * 16;
    uint32_t range = (uint32_t)(2 * r->o->crop + 1);
    int dy = (int)(pg_rng_below(&rng, range) - r->o->crop), dx = (int)(pg_rng_below(&rng, range) - r->o->crop);
    bool mirror = r->o->flip && pg_rng_below(&rng, 2);
    augment(scratch, pixels, info->height, info->width, dy, dx, mirror);
    size_t bytes = image_bytes(&r->fit);
    int64_t draws = draws_of(r->o);
    for (int64_t d = 1; d < draws; d++)
        memcpy(pixels + (size_t)d * bytes, pixels, bytes);
    for (int64_t d = 0; r->o->cutout > 0 && d < draws; d++) {
        rng = pg_rng_make((uint64_t)r->o->seed, PG_STREAM_CUTOUT, at);
        rng.index = (uint64_t)(r->epoch * draws + d) * 64;
        cut_out(r->o, rng, pixels + (size_t)d * bytes, info->height, info->width);
    }
    *label = right;
    return PG_OK;
}

static int make_val(const void *context, int64_t i, uint8_t *scratch PG_UNUSED, uint8_t *pixels, int64_t *label)
{
    const training *r = context;
    int32_t right = 0;
    int code = pg_dataset_read(r->val.dataset, i, 1, pixels, &right);
    *label = right;
    return code;
}

/* step of all steps, both over the whole run. */
static double rate_at(const pg_train_options *o, int64_t step, int64_t steps_an_epoch)
{
    int64_t rise = o->warmup * steps_an_epoch, all = o->epochs * steps_an_epoch;
    if (step < rise)
        return o->rate * (double)(step + 1) / (double)rise;
    double share = all > rise ? (double)(step - rise) / (double)(all - rise) : 0;
    if (o->schedule == PG_SCHEDULE_STEP)
        return o->rate * (share < 0.5 ? 1 : share < 0.75 ? 0.1 : 0.01);
    return o->rate * 0.5 * (1 + cos(M_PI * share));
}

static int average(training *r, int64_t step)
{
    if (r->o->ema <= 0)
        return PG_OK;
    double warm = (double)(1 + step) / (double)(10 + step), keep = r->o->ema < warm ? r->o->ema : warm;
    for (size_t i = 0; i < r->state.current.n; i++)
        r->t->lerp(r->s, r->state.averaged.items[i].tensor, r->state.current.items[i].tensor, 1 - keep);
    return pg_scope_check(r->s);
}

/* Of x [n * draws][3][H][W], the draws of an image one behind the other, those with the largest loss: [n][3][H][W]. */
static pg_tensor *hardest(training *r, pg_tensor *x, pg_tensor *labels, int64_t n, int64_t draws, pg_rng rng)
{
    const pg_torch *t = r->t;
    const pg_dataset_info *info = r->fit.info;
    pg_scope *s = r->s;
    t->grad_mode(false);
    if (r->bf16) /* ends with this pass: it keeps weights converted, here without gradients */
        t->autocast(s, r->device, true);
    pg_value local = pg_model_train_logits(r->job->model, r->job->config, PG_PASS_EVAL, s, &r->state.current, info->classes, x,
                                           (int)r->o->positions, rng);
    if (r->bf16)
        t->autocast(s, r->device, false);
    labels = t->expand(s, t->reshape(s, labels, 2, (const int64_t[]){n, 1}), 2, (const int64_t[]){n, draws});
    labels = t->reshape(s, labels, 1, (const int64_t[]){n * draws});
    pg_tensor *right = t->log_softmax(s, pg_train_scores(s, r->o, &local, info->height, info->width, labels), 1);
    labels = t->reshape(s, labels, 2, (const int64_t[]){n * draws, 1});
    pg_tensor *loss = t->affine(s, t->reshape(s, t->gather(s, right, 1, labels), 2, (const int64_t[]){n, draws}), -1, 0);
    pg_tensor *all = t->reshape(s, t->arange(s, n * draws, PG_T_I64), 2, (const int64_t[]){n, draws});
    pg_tensor *chosen = t->gather(s, all, 1, t->reshape(s, t->argmax(s, loss, 1), 2, (const int64_t[]){n, 1}));
    return t->index_select(s, x, 0, t->reshape(s, chosen, 1, &n));
}

/* What can be done about it. The epochs before have left a checkpoint, with which the same command would come to
 * the same end. */
static int diverged(const training *r, const char *what)
{
    char kept[4200] = "";
    if (r->state.n_epochs > 0)
        snprintf(kept, sizeof kept, " and another -o, or remove %s.checkpoint", r->job->out);
    return pg_fail(PG_EINPUT,
                   "training diverged in epoch %ld: %s. Nothing was written; try a lower --rate than %g, a --warmup%s%s",
                   (long)r->epoch + 1, what, r->o->rate, r->bf16 ? ", --dtype fp32" : "", kept);
}

static int one_step(training *r, int64_t step, int64_t steps_an_epoch, double *loss_sum)
{
    const pg_torch *t = r->t;
    const pg_dataset_info *info = r->fit.info;
    pg_scope *s = r->s;
    const uint8_t *pixels;
    const int64_t *right;
    int64_t n;
    int code = pg_prefetch_next(r->prefetch, &pixels, &right, &n);
    if (code != PG_OK)
        return code;
    int64_t draws = draws_of(r->o);
    pg_rng rng = pg_rng_make((uint64_t)r->o->seed, PG_STREAM_AUGMENT, UINT32_MAX);
    rng.index = (uint64_t)step * 2 * (uint64_t)r->o->batch;
    pg_tensor *x = t->from_data(s, pixels, PG_T_U8, 4, (const int64_t[]){n * draws, 3, info->height, info->width});
    pg_tensor *labels = t->from_data(s, right, PG_T_I64, 1, &n);
    if (draws > 1)
        x = hardest(r, x, labels, n, draws, rng);
    t->grad_mode(true);
    if (r->bf16)
        t->autocast(s, r->device, true);
    pg_value local = pg_model_train_logits(r->job->model, r->job->config, PG_PASS_TRAIN, s, &r->state.current, info->classes, x,
                                           (int)r->o->positions, rng);
    if (r->bf16)
        t->autocast(s, r->device, false);
    pg_tensor *scores = pg_train_scores(s, r->o, &local, info->height, info->width, labels);
    pg_tensor *loss = t->cross_entropy(s, scores, labels, r->o->smoothing);
    t->backward(s, loss);
    t->sgd(s, r->n_trained, r->trained, r->momenta, r->decays, rate_at(r->o, step, steps_an_epoch), r->o->momentum,
           r->o->nesterov);
    t->grad_mode(false);
    code = average(r, step);
    double value = t->item(s, loss);
    if (code == PG_OK)
        code = pg_scope_check(s);
    t->scope_clear(s);
    *loss_sum += value;
    if (code == PG_OK && !isfinite(value))
        code = diverged(r, "the loss is not finite");
    return code;
}

/* Accuracy of the averaged weights on what training looks at, always the same choice of it. */
static int validate(training *r, double *accuracy)
{
    const pg_torch *t = r->t;
    const pg_dataset_info *info = r->val.info;
    pg_parameters *weights = r->o->ema > 0 ? &r->state.averaged : &r->state.current;
    const uint8_t *pixels;
    const int64_t *right;
    int64_t correct = 0, n, chosen[VALIDATED];
    pg_prefetch_start(r->prefetch, &(pg_prefetch_pass){info->images, validated(info), image_bytes(&r->val), make_val, r});
    for (int64_t first = 0; first < info->images; first += n) {
        int code = pg_prefetch_next(r->prefetch, &pixels, &right, &n);
        if (code != PG_OK)
            return code;
        if (r->bf16)
            t->autocast(r->s, r->device, true);
        pg_tensor *x = t->from_data(r->s, pixels, PG_T_U8, 4, (const int64_t[]){n, 3, info->height, info->width});
        pg_rng rng = pg_rng_make(0, PG_STREAM_AUGMENT, (uint32_t)first);
        pg_value local = pg_model_train_logits(r->job->model, r->job->config, PG_PASS_EVAL, r->s, weights, info->classes, x,
                                               (int)r->o->positions, rng);
        if (r->bf16)
            t->autocast(r->s, r->device, false);
        pg_tensor *scores = pg_train_scores(r->s, r->o, &local, info->height, info->width, NULL);
        t->read(r->s, t->argmax(r->s, scores, 1), chosen, PG_T_I64, n);
        t->scope_clear(r->s);
        code = pg_scope_check(r->s);
        if (code != PG_OK)
            return code;
        for (int64_t i = 0; i < n; i++)
            correct += chosen[i] == right[i];
    }
    *accuracy = (double)correct / (double)info->images;
    return PG_OK;
}

static const char log_header[] = "epoch,loss,val_accuracy,wall_s,images_per_s,threads,dtype,device\n";

/* One line an epoch beside the weights: what the metadata may not hold, since it differs from run to run. */
static void log_epoch(const training *r, double wall_s, double images_per_s)
{
    char path[4096];
    snprintf(path, sizeof path, "%s.log.csv", r->job->out);
    bool fresh = r->state.n_epochs == 1;
    FILE *f = fopen(path, fresh ? "we" : "ae");
    if (!f)
        return;
    const pg_epoch *last = &r->state.epochs[r->state.n_epochs - 1];
    if (fseek(f, 0, SEEK_END) == 0 && ftell(f) == 0) /* also where a kill came between the first checkpoint and its line */
        fputs(log_header, f);
    fprintf(f, "%ld,%.6f,%.4f,%.1f,%.0f,%d,%s,%s\n", (long)r->state.n_epochs, last->loss, last->val_accuracy, wall_s,
            images_per_s, r->t->threads(), r->bf16 ? "bf16" : "fp32", r->device);
    fclose(f);
}

static int one_epoch(training *r, int64_t epoch)
{
    int64_t n = r->fit.info->images, steps = n / r->o->batch;
    double start = pg_now_s(), loss = 0, accuracy = NAN;
    for (int64_t i = 0; i < n; i++)
        r->order[i] = (uint32_t)i;
    pg_rng rng = pg_rng_make((uint64_t)r->o->seed, PG_STREAM_SHUFFLE, (uint32_t)epoch);
    pg_rng_shuffle(&rng, r->order, (uint32_t)n);
    r->epoch = epoch;
    pg_prefetch_start(r->prefetch, &(pg_prefetch_pass){steps * r->o->batch, r->o->batch,
                                                       (size_t)draws_of(r->o) * image_bytes(&r->fit), make_fit, r});
    pg_progress bar;
    char note[96], label[48];
    snprintf(label, sizeof label, "epoch %ld/%ld", (long)epoch + 1, (long)r->o->epochs);
    pg_progress_start(&bar, label, 0, steps * r->o->batch);
    for (int64_t i = 0; i < steps; i++) {
        int code = one_step(r, epoch * steps + i, steps, &loss);
        if (code != PG_OK)
            return code;
        if (pg_signals_stopping())
            return pg_fail(PG_EINTERRUPTED, "interrupted in epoch %ld; the same command goes on from the last whole epoch",
                           (long)epoch + 1);
        double left = (pg_now_s() - start) / (double)(i + 1) * (double)((r->o->epochs - epoch) * steps - i - 1);
        snprintf(note, sizeof note, "loss %.3f, all epochs in %.0f min", loss / (double)(i + 1), left / 60);
        pg_progress_update(&bar, (i + 1) * r->o->batch, note);
    }
    pg_progress_finish(&bar);
    double images_per_s = (double)(steps * r->o->batch) / (pg_now_s() - start);
    int code = r->val.info ? validate(r, &accuracy) : PG_OK;
    if (code == PG_OK)
        code = pg_checkpoint_add_epoch(&r->state, loss / (double)steps, accuracy);
    if (code == PG_OK)
        code = pg_checkpoint_save(&r->state, r->s, r->job->out);
    if (code == PG_EINPUT) {
        r->state.n_epochs--; /* the checkpoint is of the epoch before */
        code = diverged(r, "weights are not finite");
    }
    if (code == PG_OK) {
        log_epoch(r, pg_now_s() - start, images_per_s);
        char val[32] = "";
        if (r->val.info)
            snprintf(val, sizeof val, " validation %.4f,", accuracy);
        pg_info("epoch %ld/%ld: loss %.4f,%s %.0f images/s", (long)epoch + 1, (long)r->o->epochs, loss / (double)steps, val,
                images_per_s);
    }
    return code;
}

static int collect_trained(training *r)
{
    size_t n = r->state.current.n;
    r->trained = calloc(n, sizeof *r->trained);
    r->momenta = calloc(n, sizeof *r->momenta);
    r->decays = calloc(n, sizeof *r->decays);
    if (!r->trained || !r->momenta || !r->decays)
        return pg_fail(PG_ENOMEM, "out of memory");
    for (size_t i = 0; i < n; i++) {
        const pg_parameter *p = &r->state.current.items[i];
        if (!pg_parameter_trained(p))
            continue;
        r->t->requires_grad(r->s, p->tensor, true);
        r->trained[r->n_trained] = p->tensor;
        r->momenta[r->n_trained] = r->state.momenta.items[i].tensor;
        r->decays[r->n_trained++] = p->kind == PG_PARAMETER_WEIGHT ? r->o->decay : 0;
    }
    return pg_scope_check(r->s);
}

static int prepare(training *r)
{
    const pg_train_job *job = r->job;
    int code = open_images(job->data_dir, job->data, &r->fit);
    if (code == PG_OK && job->val)
        code = open_images(job->data_dir, job->val, &r->val);
    if (code == PG_OK && r->fit.info->images < r->o->batch)
        code = pg_fail(PG_EINPUT, "a batch of %ld is larger than the %ld images of %s", (long)r->o->batch,
                       (long)r->fit.info->images, job->data);
    size_t fit = (size_t)draws_of(r->o) * image_bytes(&r->fit),
           largest = fit > image_bytes(&r->val) ? fit : image_bytes(&r->val);
    if (code == PG_OK)
        code = pg_prefetch_new(r->o->batch > VALIDATED ? r->o->batch : VALIDATED, largest, &r->prefetch);
    if (code == PG_OK)
        code = pg_torch_load((int)r->o->threads, &r->t);
    if (code == PG_OK)
        code = pg_device_choose(r->t, job->device, 0, r->device);
    if (code != PG_OK)
        return code;
    bool cuda = strncmp(r->device, "cuda", 4) == 0;
    r->bf16 = r->o->dtype == PG_TRAIN_BF16 || (r->o->dtype == PG_TRAIN_AUTO && (cuda || pg_cpu_has_fast_bf16()));
    if (r->bf16 && !cuda && !pg_cpu_has_fast_bf16())
        return pg_fail(PG_EUNSUPPORTED, "--dtype bf16 needs a CPU with AMX or AVX-512 bf16, or a GPU; use fp32");
    r->s = r->t->scope_new();
    if (!r->s)
        return pg_fail(PG_ENOMEM, "out of memory");
    snprintf(r->s->device, sizeof r->s->device, "%s", r->device);
    const pg_dataset_info *info = r->fit.info;
    r->order = malloc((size_t)info->images * sizeof *r->order);
    if (!r->order)
        return pg_fail(PG_ENOMEM, "out of memory");
    code = pg_checkpoint_start(&r->state, r->s, job, r->fit.dataset, r->bf16);
    return code != PG_OK || r->state.done ? code : collect_trained(r);
}

/* What stands beside OUT while it is trained is taken for ours where it looks like it: a log by its first line, or what was
 * written of it before a kill, a lock by being empty. A checkpoint says itself whose it is. */
static int check_beside(const char *out)
{
    static const char *const ends[] = {".checkpoint", ".log.csv", ".lock"};
    int code = PG_OK;
    for (int i = 0; code == PG_OK && i < 3; i++) {
        char path[4096], *log = NULL;
        size_t size = 0;
        snprintf(path, sizeof path, "%s%s", out, ends[i]);
        bool ours = i == 0 || (i == 2 && pg_file_size(path) == 0);
        if (i == 1 && pg_file_read(path, 1 << 26, &log, &size) == PG_OK)
            ours = strncmp(log, log_header, size < sizeof log_header - 1 ? size : sizeof log_header - 1) == 0;
        free(log);
        code = pg_output_check(path, ours, NULL);
        if (code != PG_OK)
            code = pg_fail_at(code, "-o %s", out);
    }
    return code;
}

/* Whether OUT can be written, before any work is done; the lock keeps a second training away from it. */
static int claim_out(const char *out, int *lock)
{
    char path[4096], folder[4096];
    struct stat status;
    snprintf(folder, sizeof folder, "%s", out);
    const char *parent = dirname(folder);
    if (!*out || strlen(out) > sizeof path - 32)
        return pg_fail(PG_EINPUT, "-o '%s': a file name is needed", out);
    int code = pg_output_check(out, true, NULL);
    if (code == PG_OK)
        code = check_beside(out);
    if (code != PG_OK)
        return code;
    if (stat(parent, &status) != 0 || !S_ISDIR(status.st_mode) || access(parent, W_OK) != 0)
        return pg_fail(PG_EINPUT, "-o %s: its folder is missing or cannot be written", out);
    snprintf(path, sizeof path, "%s.lock", out);
    *lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (*lock < 0)
        return pg_fail(PG_EIO, "%s: %s", path, strerror(errno));
    if (flock(*lock, LOCK_EX | LOCK_NB) != 0)
        return pg_fail(PG_EINPUT, "-o %s: another process is training it", out);
    return PG_OK;
}

static void unclaim_out(const char *out, int lock)
{
    char path[4096];
    snprintf(path, sizeof path, "%s.lock", out);
    unlink(path);
    close(lock);
}

static int finish(training *r)
{
    const pg_train_job *job = r->job;
    const pg_dataset_info *info = r->fit.info;
    pg_buf curve = PG_BUF_EMPTY;
    char *class_names = pg_classes_text(&r->state.classes);
    pg_checkpoint_curve(&r->state, &curve);
    pg_weights_record record = {.model = job->model,
                                .config = job->config,
                                .input_height = info->height,
                                .input_width = info->width,
                                .classes = info->classes,
                                .class_names = class_names,
                                .dataset = job->data,
                                .dataset_hash = info->hash,
                                .command = r->state.command,
                                .training = curve.data,
                                .seed = (uint64_t)r->o->seed};
    const pg_parameters *weights = r->o->ema > 0 ? &r->state.averaged : &r->state.current;
    int code = class_names ? pg_buf_check(&curve) : pg_fail(PG_ENOMEM, "out of memory");
    if (code == PG_OK)
        code = pg_weights_save(job->out, r->s, weights, &record, r->o->half);
    if (code == PG_EINPUT && r->o->half) {
        pg_warn("%s: written as float32", pg_error_message());
        code = pg_weights_save(job->out, r->s, weights, &record, false);
    }
    pg_locality locality;
    if (code == PG_OK)
        code = pg_locality_measure(job->out,
                                   &(pg_locality_request){.data_dir = job->data_dir,
                                                          .dataset = job->val ? job->val : job->data,
                                                          .device = r->device,
                                                          .dtype = PG_DTYPE_F32,
                                                          .batch = PG_BATCH_DEFAULT,
                                                          .threads = (int)r->o->threads,
                                                          .trials = PG_BATCH_DEFAULT,
                                                          .seed = (uint64_t)r->o->seed},
                                   &locality);
    if (code == PG_OK && locality.measured)
        code = pg_locality_record(job->out, &locality);
    pg_buf_release(&curve);
    free(class_names);
    return code != PG_OK ? code : pg_checkpoint_remove(job->out);
}

static void release(training *r)
{
    pg_checkpoint_release(&r->state, r->t);
    if (r->t)
        r->t->scope_free(r->s);
    pg_prefetch_free(r->prefetch);
    pg_dataset_close(r->fit.dataset);
    pg_dataset_close(r->val.dataset);
    free(r->order);
    free(r->trained);
    free(r->momenta);
    free(r->decays);
}

static int check_options(const pg_train_job *job)
{
    const pg_train_options *o = job->options;
    if (o->warmup > o->epochs)
        return pg_fail(PG_EINPUT, "warmup is %lld of %lld epochs: at most as many are right", (long long)o->warmup,
                       (long long)o->epochs);
    if (o->hardest > 1 && o->cutout == 0)
        return pg_fail(PG_EINPUT, "--hardest %lld of draws that are all alike: squares are needed, --cutout PIXELS",
                       (long long)o->hardest);
    if (o->masking == PG_TRAIN_MASK_TWICE && o->mask == 0)
        return pg_fail(PG_EINPUT, "--masking twice masks nothing: windows of a patch are needed, --mask PIXELS");
    if (o->hardest > 1 && job->model->hooks->train)
        return pg_fail(
            PG_EINPUT,
            "--hardest %lld: %s learns from a few of its positions, which would be others in each draw; right would be 1",
            (long long)o->hardest, job->model->module.name);
    return PG_OK;
}

int pg_train(const pg_train_job *job)
{
    training r = {.job = job, .o = job->options};
    pg_signals_catch();
    int lock = -1, code = check_options(job);
    if (code == PG_OK)
        code = claim_out(job->out, &lock);
    bool claimed = code == PG_OK;
    if (code == PG_OK)
        code = prepare(&r);
    if (code == PG_OK && r.state.done)
        pg_info("%s holds the weights of this command already", job->out);
    for (int64_t epoch = r.state.n_epochs; code == PG_OK && !r.state.done && epoch < job->options->epochs; epoch++)
        code = one_epoch(&r, epoch);
    if (code == PG_OK && !r.state.done) {
        code = finish(&r);
        if (code == PG_OK)
            pg_info("wrote %s", job->out);
    }
    release(&r);
    if (claimed)
        unclaim_out(job->out, lock);
    else if (lock >= 0)
        close(lock);
    return code;
}
