#include "harness/cmd/dump.h"

#include "harness/base/log.h"
#include "harness/base/option.h"
#include "harness/base/safetensors.h"
#include "harness/plan/keys.h"
#include "models/model.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- Labels ---- */

static int64_t label_at(const pg_npy *labels, size_t i)
{
    size_t size = pg_npy_item_size(labels->dtype);
    int rest = 64 - 8 * (int)size;
    uint64_t bits = 0;
    memcpy(&bits, (const char *)labels->data + i * size, size);
    if (labels->dtype < PG_NPY_U1) /* with a sign, which goes on to the left */
        return (int64_t)(bits << rest) >> rest;
    return bits > INT64_MAX ? INT64_MAX : (int64_t)bits;
}

static bool is_float(const pg_npy *npy)
{
    return npy->dtype == PG_NPY_F2 || npy->dtype == PG_NPY_F4 || npy->dtype == PG_NPY_F8;
}

static int copy_labels(const pg_dump_request *r, pg_npy *labels, pg_dump *d)
{
    const int64_t *shape = d->features.shape;
    int code = pg_npy_load(labels);
    if (code != PG_OK)
        return code;
    d->labels = malloc(((size_t)d->n + 1) * sizeof *d->labels);
    if (!d->labels)
        return pg_fail(PG_ENOMEM, "out of memory for %lld labels", (long long)d->n);
    for (size_t i = 0; i < labels->count; i++) {
        int64_t label = label_at(labels, i);
        d->labels[i] = (int)label;
        if (label >= 0 && label < d->classes)
            continue;
        (void)pg_fail(PG_EINPUT, "%s: label %lld of image %zu is outside the classes 0 to %d", r->labels, (long long)label, i,
                      d->classes - 1);
        if (r->layout != PG_LAYOUT_ASSUMED || label < 0 || label >= shape[1])
            return PG_EINPUT;
        return pg_fail(PG_EINPUT,
                       "%s: label %lld of image %zu is outside the classes 0 to %d, with %s [%lld, %lld, %lld, %lld] read as "
                       "[images, rows, "
                       "columns, classes]; if it is [images, classes, rows, columns], right would be --layout nchw",
                       r->labels, (long long)label, i, d->classes - 1, r->features, (long long)shape[0], (long long)shape[1],
                       (long long)shape[2], (long long)shape[3]);
    }
    return PG_OK;
}

static int open_labels(const pg_dump_request *r, pg_dump *d)
{
    static const char *const usual[] = {"labels", "label", "targets", "y", NULL};
    pg_npy labels;
    int code = pg_npy_open(r->labels, r->labels_key, usual, &labels);
    if (code != PG_OK)
        return code;
    if (is_float(&labels))
        code = pg_fail(PG_EINPUT, "%s: floating point; labels are integers", r->labels);
    else if (labels.rank != 1 || labels.shape[0] != d->n)
        code = pg_fail(PG_EINPUT, "%s: rank %d with %zu entries; %lld features need labels of rank 1 with as many", r->labels,
                       labels.rank, labels.count, (long long)d->n);
    else
        code = copy_labels(r, &labels, d);
    pg_npy_release(&labels);
    return code;
}

/* ---- Features ---- */

static int check_features(const pg_dump_request *r, const pg_npy *f)
{
    if (!is_float(f))
        return pg_fail(PG_EINPUT, "%s: integers; features are float16, float32 or float64", r->features);
    if (f->rank != 4)
        return pg_fail(PG_EINPUT, "%s: an array of rank %d; features are [images, rows, columns, classes]", r->features,
                       f->rank);
    for (int i = 1; i < 4; i++)
        if (f->shape[i] < 1 || f->shape[i] > INT32_MAX)
            return pg_fail(PG_EINPUT, "%s: %lld positions or classes along axis %d; at least 1 and below 2^31 are needed",
                           r->features, (long long)f->shape[i], i);
    if (r->layout == PG_LAYOUT_ASSUMED && f->shape[1] > 1 && f->shape[2] == f->shape[3] && f->shape[1] != f->shape[2])
        return pg_fail(
            PG_EINPUT,
            "%s: [%lld, %lld, %lld, %lld] looks like [images, classes, rows, columns]: right would be --layout nchw, or "
            "--layout nhwc if it is [images, rows, columns, classes]",
            r->features, (long long)f->shape[0], (long long)f->shape[1], (long long)f->shape[2], (long long)f->shape[3]);
    return PG_OK;
}

static int open_features(const pg_dump_request *r, pg_dump *d)
{
    static const char *const usual[] = {"features", "logits", "local_logits", NULL};
    pg_npy *f = &d->features;
    int code = pg_npy_open(r->features, r->features_key, usual, f);
    if (code == PG_OK)
        code = check_features(r, f);
    if (code != PG_OK)
        return code;
    d->nchw = r->layout == PG_LAYOUT_NCHW;
    d->n = f->shape[0];
    d->height = (int)f->shape[d->nchw ? 2 : 1];
    d->width = (int)f->shape[d->nchw ? 3 : 2];
    d->classes = (int)f->shape[d->nchw ? 1 : 3];
    d->wide = f->dtype == PG_NPY_F8;
    size_t values = d->n ? f->count / (size_t)d->n : 0, item = d->wide ? sizeof(double) : sizeof(float);
    d->stored = malloc(values * pg_npy_item_size(f->dtype) + 1);
    d->image = malloc(values * item + 1);
    return d->stored && d->image ? PG_OK : pg_fail(PG_ENOMEM, "out of memory for an image of %zu local logits", values);
}

static void say_what_was_read(const pg_dump_request *r, const pg_dump *d)
{
    pg_info("%s: %lld images, %d x %d positions, %d classes, %s; read as %s%s%s", r->features, (long long)d->n, d->height,
            d->width, d->classes,
            d->wide                          ? "float64"
            : d->features.dtype == PG_NPY_F4 ? "float32"
                                             : "float16",
            d->nchw ? "nchw, [images, classes, rows, columns]" : "nhwc, [images, rows, columns, classes]",
            d->features.fortran ? ", in Fortran order" : "",
            r->layout == PG_LAYOUT_ASSUMED ? " (--layout says otherwise)" : "");
}

int pg_dump_open(const pg_dump_request *request, pg_dump *out)
{
    *out = (pg_dump){.grid = (int)request->grid};
    int code = open_features(request, out);
    if (code == PG_OK)
        code = open_labels(request, out);
    if (code != PG_OK)
        pg_dump_close(out);
    else
        say_what_was_read(request, out);
    return code;
}

void pg_dump_close(pg_dump *d)
{
    pg_npy_release(&d->features);
    free(d->labels);
    free(d->stored);
    free(d->image);
    *d = (pg_dump){0};
}

/* From the layout and the type of the file to [height][width][classes] of float or double. */
static void rearrange(pg_dump *d)
{
    size_t positions = (size_t)d->height * (size_t)d->width, classes = (size_t)d->classes, i = 0;
    for (size_t p = 0; p < positions; p++)
        for (size_t c = 0; c < classes; c++, i++) {
            size_t from = d->nchw ? c * positions + p : i;
            if (d->wide)
                ((double *)d->image)[i] = ((const double *)d->stored)[from];
            else
                ((float *)d->image)[i] = d->features.dtype == PG_NPY_F4 ? ((const float *)d->stored)[from]
                                                                        : pg_half_to_float(((const uint16_t *)d->stored)[from]);
        }
}

static void round_values(const pg_dump *d, void *values, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (d->wide)
            ((double *)values)[i] = ldexp(rint(ldexp(((double *)values)[i], d->grid)), -d->grid);
        else
            ((float *)values)[i] = (float)ldexp(rint(ldexp((double)((float *)values)[i], d->grid)), -d->grid);
}

int pg_dump_next(pg_dump *d, const void **image)
{
    size_t values = (size_t)d->height * (size_t)d->width * (size_t)d->classes;
    bool as_stored = !d->nchw && d->features.dtype != PG_NPY_F2;
    *image = as_stored ? d->stored : d->image;
    int code = pg_npy_next(&d->features, d->stored, values);
    if (code == PG_OK && !as_stored)
        rearrange(d);
    if (code == PG_OK && d->grid >= 0)
        round_values(d, as_stored ? d->stored : d->image, values);
    return code;
}

/* ---- Windows ---- */

static int size_of(const char *option, const char *text, int size[2])
{
    if (!text)
        return pg_fail(PG_EUSAGE, "certify: %s is missing: --patch, --field, --stride and --pixels make a window together",
                       option);
    return pg_parse_size(text, &size[0], &size[1]) == PG_OK
               ? PG_OK
               : pg_fail(PG_EUSAGE, "%s %s: right would be pixels, one number or HxW, as 32x4", option, text);
}

/* More positions than fields of which each sees a pixel: field, stride or pixels are of something else. */
static int check_axis(const pg_axis *a, int pixels, const char *name)
{
    int64_t most = a->wrap ? (pixels + a->stride - 1) / a->stride : ((int64_t)pixels + a->field - 2) / a->stride + 1;
    if (a->positions <= most)
        return PG_OK;
    return pg_fail(
        PG_EINPUT,
        "the map has %d %s; with fields of %d px at a stride of %d on %d px%s there are at most %lld: right would be the "
        "--field, --stride and --pixels of the network",
        a->positions, name, a->field, a->stride, pixels, a->wrap ? ", wrapping," : "", (long long)most);
}

int pg_dump_window(const pg_dump *d, const pg_dump_patch *p, bool wrap_rows, bool wrap_columns, pg_window *out)
{
    int pixels[2], field[2], stride[2], patch[2];
    int code =
        p->patch
            ? PG_OK
            : pg_fail(PG_EUSAGE, "certify: --patch is missing: --patch, --field, --stride and --pixels make a window together");
    if (code == PG_OK)
        code = size_of("--pixels", p->pixels, pixels);
    if (code == PG_OK)
        code = size_of("--field", p->field, field);
    if (code == PG_OK)
        code = size_of("--stride", p->stride, stride);
    if (code == PG_OK && (pixels[0] > PG_SIDE_MAX || pixels[1] > PG_SIDE_MAX))
        code = pg_fail(PG_EUSAGE, "--pixels %s: at most %d along either axis", p->pixels, PG_SIDE_MAX);
    if (code == PG_OK)
        code = pg_patch_parse(p->patch, pixels[0], pixels[1], &patch[0], &patch[1]);
    if (code != PG_OK)
        return code;
    pg_axis rows = {.positions = d->height, .field = field[0], .stride = stride[0], .wrap = wrap_rows};
    pg_axis columns = {.positions = d->width, .field = field[1], .stride = stride[1], .wrap = wrap_columns};
    code = check_axis(&rows, pixels[0], "rows");
    if (code == PG_OK)
        code = check_axis(&columns, pixels[1], "columns");
    *out = (pg_window){pg_axis_window_most(&rows, pixels[0], patch[0]), pg_axis_window_most(&columns, pixels[1], patch[1])};
    if (code == PG_OK)
        pg_info(
            "window %dx%d of the %dx%d positions: a patch of %dx%d px, fields of %dx%d px at a stride of %dx%d on %dx%d px%s",
            out->height, out->width, d->height, d->width, patch[0], patch[1], field[0], field[1], stride[0], stride[1],
            pixels[0], pixels[1],
            wrap_rows && wrap_columns ? ", wrapping along both axes"
            : wrap_rows               ? ", wrapping along the height"
            : wrap_columns            ? ", wrapping along the width"
                                      : "");
    return code;
}
