/* Files of patches: arrays, PNG images, and what they have in common. See patches.h. */
#include "harness/data/patches.h"

#include "harness/base/file.h"
#include "harness/base/file_kind.h"
#include "harness/base/npy.h"
#include "harness/base/safetensors.h"
#include "harness/data/image_decode.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static const char right[] =
    "right would be .npy, .npz, safetensors, a PNG image, a pickle of PyTorch tensors or its gzip, or a "
    "folder of `attack -o`";
static const char shapes[] = "right would be [patches][3][height][width] or [3][height][width]";

static size_t size_of(const pg_patches *p) { return (size_t)p->height * (size_t)p->width; }

int pg_patches_room(pg_patches *p, int64_t count, int64_t height, int64_t width)
{
    if (count < 1 || height < 1 || width < 1 || count > PG_PATCHES_MAX || height > PG_IMAGE_SIDE || width > PG_IMAGE_SIDE ||
        height * width > PG_PATCHES_VALUES_MAX / 3 || count > PG_PATCHES_VALUES_MAX / (3 * height * width))
        return pg_fail(PG_EINPUT, "%lld patches of %lld x %lld pixels: right would be 1 to %d, of at most %d values in all",
                       (long long)count, (long long)height, (long long)width, PG_PATCHES_MAX, PG_PATCHES_VALUES_MAX);
    p->count = (int)count;
    p->height = (int)height;
    p->width = (int)width;
    p->pixels = malloc((size_t)count * 3 * size_of(p) * sizeof *p->pixels);
    return p->pixels ? PG_OK : pg_fail(PG_ENOMEM, "out of memory for %d patches", p->count);
}

void pg_patches_free(pg_patches *p)
{
    if (!p)
        return;
    free(p->pixels);
    free(p->masks);
    free(p->targets);
    free(p->images);
    free(p->tops);
    free(p->lefts);
    free(p);
}

/* ---- Arrays ---- */

/* One array of an .npz or .npy file, or one tensor of safetensors: all of it as numbers. */
typedef struct array {
    int rank;
    const int64_t *shape;
    size_t count;
    bool bytes; /* of unsigned 8 bits */
    double (*at)(const struct array *a, size_t i);
    const void *data;
    int dtype;
} array;

static double npy_at(const array *a, size_t i)
{
    switch ((pg_npy_dtype)a->dtype) {
    case PG_NPY_F2:
        return (double)pg_half_to_float(((const uint16_t *)a->data)[i]);
    case PG_NPY_F4:
        return (double)((const float *)a->data)[i];
    case PG_NPY_F8:
        return ((const double *)a->data)[i];
    case PG_NPY_I1:
        return ((const int8_t *)a->data)[i];
    case PG_NPY_I2:
        return ((const int16_t *)a->data)[i];
    case PG_NPY_I4:
        return ((const int32_t *)a->data)[i];
    case PG_NPY_I8:
        return (double)((const int64_t *)a->data)[i];
    case PG_NPY_U1:
        return ((const uint8_t *)a->data)[i];
    case PG_NPY_U2:
        return ((const uint16_t *)a->data)[i];
    case PG_NPY_U4:
        return ((const uint32_t *)a->data)[i];
    default:
        return (double)((const uint64_t *)a->data)[i];
    }
}

static double st_at(const array *a, size_t i)
{
    uint16_t half;
    uint32_t bits;
    float value;
    switch ((pg_st_dtype)a->dtype) {
    case PG_ST_F16:
        memcpy(&half, (const char *)a->data + 2 * i, sizeof half);
        return (double)pg_half_to_float(half);
    case PG_ST_BF16:
        memcpy(&half, (const char *)a->data + 2 * i, sizeof half);
        bits = (uint32_t)half << 16;
        memcpy(&value, &bits, sizeof value);
        return (double)value;
    case PG_ST_F32:
        return (double)((const float *)a->data)[i];
    case PG_ST_F64:
        return ((const double *)a->data)[i];
    case PG_ST_I32:
        return ((const int32_t *)a->data)[i];
    case PG_ST_I64:
        return (double)((const int64_t *)a->data)[i];
    default:
        return ((const uint8_t *)a->data)[i];
    }
}

static array of_npy(const pg_npy *n)
{
    return (array){.rank = n->rank,
                   .shape = n->shape,
                   .count = n->count,
                   .bytes = n->dtype == PG_NPY_U1,
                   .at = npy_at,
                   .data = n->data,
                   .dtype = (int)n->dtype};
}

static array of_tensor(const pg_st_tensor *t)
{
    return (array){.rank = t->rank,
                   .shape = t->shape,
                   .count = t->size / pg_st_item_size(t->dtype),
                   .bytes = t->dtype == PG_ST_U8,
                   .at = st_at,
                   .data = t->data,
                   .dtype = (int)t->dtype};
}

static int check_shape(int rank, const int64_t *shape)
{
    bool fits = (rank == 3 || rank == 4) && shape[rank - 3] == 3;
    if (fits)
        return PG_OK;
    pg_buf text = PG_BUF_EMPTY;
    for (int i = 0; i < rank; i++)
        pg_buf_printf(&text, "[%lld]", (long long)shape[i]);
    int code = pg_fail(PG_EINPUT, "patches of the shape %s; %s", rank ? text.data : "of a number", shapes);
    pg_buf_release(&text);
    return code;
}

static int room_for(pg_patches *p, int rank, const int64_t *shape)
{
    int code = check_shape(rank, shape);
    return code == PG_OK ? pg_patches_room(p, rank == 4 ? shape[0] : 1, shape[rank - 2], shape[rank - 1]) : code;
}

static void take_pixels(pg_patches *p, const array *a)
{
    for (size_t i = 0; i < a->count; i++)
        p->pixels[i] = (float)(a->bytes ? a->at(a, i) / 255 : a->at(a, i));
}

static int take_masks(pg_patches *p, const array *a)
{
    int64_t wanted[3] = {p->count, p->height, p->width};
    bool one = a->rank == 2, fits = (a->rank == 3 && a->shape[0] == wanted[0]) || (one && p->count == 1);
    fits = fits && a->shape[a->rank - 2] == wanted[1] && a->shape[a->rank - 1] == wanted[2];
    if (!fits)
        return pg_fail(PG_EINPUT, "masks: right would be the shape [%d][%d][%d] of the patches", p->count, p->height, p->width);
    if (!(p->masks = malloc(a->count)))
        return pg_fail(PG_ENOMEM, "out of memory for masks");
    for (size_t i = 0; i < a->count; i++)
        p->masks[i] = a->at(a, i) != 0;
    return PG_OK;
}

static int take_targets(pg_patches *p, const array *a)
{
    bool fits = (a->rank == 1 && a->shape[0] == p->count) || (a->rank == 0 && p->count == 1);
    if (!fits)
        return pg_fail(PG_EINPUT, "targets: right would be one class for each of the %d patches", p->count);
    if (!(p->targets = malloc((size_t)p->count * sizeof *p->targets)))
        return pg_fail(PG_ENOMEM, "out of memory for targets");
    for (int i = 0; i < p->count; i++) {
        double value = a->at(a, (size_t)i);
        if (!(value >= 0 && value < 1e9) || floor(value) < value)
            return pg_fail(PG_EINPUT, "targets: %g of patch %d is no class: right would be whole numbers from 0", value, i);
        p->targets[i] = (int64_t)value;
    }
    return PG_OK;
}

/* A member that may be missing; `take` reads it. */
static int read_member(const char *path, const char *key, int (*take)(pg_patches *, const array *), pg_patches *p)
{
    pg_npy npy;
    int code = pg_npy_open(path, key, NULL, &npy);
    if (code == PG_EINPUT)
        return PG_OK;
    if (code != PG_OK)
        return code;
    if (npy.count > PG_PATCHES_VALUES_MAX)
        code = pg_fail(PG_EINPUT, "%s: %zu values; at most %d are read", key, npy.count, PG_PATCHES_VALUES_MAX);
    if (code == PG_OK)
        code = pg_npy_load(&npy);
    if (code == PG_OK) {
        array a = of_npy(&npy);
        code = take(p, &a);
    }
    pg_npy_release(&npy);
    return code;
}

static int read_npy(const char *path, bool archive, pg_patches *p)
{
    static const char *const names[] = {"patches", NULL};
    pg_npy npy;
    int code = pg_npy_open(path, NULL, names, &npy);
    if (code != PG_OK)
        return code;
    code = room_for(p, npy.rank, npy.shape);
    if (code == PG_OK && npy.dtype != PG_NPY_U1 && npy.dtype > PG_NPY_F8)
        code = pg_fail(PG_EINPUT, "patches of integers: right would be unsigned of 8 bits, or floating point in 0 to 1");
    if (code == PG_OK)
        code = pg_npy_load(&npy);
    if (code == PG_OK) {
        array a = of_npy(&npy);
        take_pixels(p, &a);
    }
    pg_npy_release(&npy);
    if (code == PG_OK && archive)
        code = read_member(path, "masks", take_masks, p);
    if (code == PG_OK && archive)
        code = read_member(path, "targets", take_targets, p);
    return code;
}

static int take_tensors(const pg_st_file *f, pg_patches *p)
{
    const pg_st_tensor *pixels = pg_st_find(f, "patches"), *masks = pg_st_find(f, "masks"), *targets = pg_st_find(f, "targets");
    if (!pixels && pg_st_count(f) == 1)
        pixels = pg_st_at(f, 0);
    if (!pixels)
        return pg_fail(PG_EINPUT, "%zu tensors and none that is called patches", pg_st_count(f));
    int code = room_for(p, pixels->rank, pixels->shape);
    if (code == PG_OK && (pixels->dtype == PG_ST_I32 || pixels->dtype == PG_ST_I64))
        code = pg_fail(PG_EINPUT, "patches of integers: right would be U8, or floating point in 0 to 1");
    if (code != PG_OK)
        return code;
    array a = of_tensor(pixels);
    take_pixels(p, &a);
    if (masks) {
        a = of_tensor(masks);
        code = take_masks(p, &a);
    }
    if (code == PG_OK && targets) {
        a = of_tensor(targets);
        code = take_targets(p, &a);
    }
    return code;
}

static int read_safetensors(const char *path, pg_patches *p)
{
    pg_st_file *f = NULL;
    int code = pg_st_open(path, &f);
    if (code != PG_OK)
        return code;
    code = take_tensors(f, p);
    pg_st_close(f);
    return code;
}

/* ---- Images ---- */

static int read_png(const void *bytes, size_t size, pg_patches *p)
{
    pg_image image = {0};
    uint8_t *alpha = NULL;
    int code = pg_image_decode_alpha(bytes, size, &image, &alpha);
    if (code == PG_OK)
        code = pg_patches_room(p, 1, image.height, image.width);
    if (code == PG_OK && alpha && !(p->masks = malloc(size_of(p))))
        code = pg_fail(PG_ENOMEM, "out of memory for a mask");
    for (size_t i = 0; code == PG_OK && i < size_of(p); i++) {
        for (size_t c = 0; c < 3; c++)
            p->pixels[c * size_of(p) + i] = (float)image.pixels[3 * i + c] / 255;
        if (alpha)
            p->masks[i] = alpha[i] >= 128;
    }
    free(alpha);
    pg_image_release(&image);
    return code;
}

/* ---- What all have in common ---- */

static int check_pixels(const pg_patches *p)
{
    size_t n = (size_t)p->count * 3 * size_of(p);
    for (size_t i = 0; i < n; i++)
        if (!(p->pixels[i] >= 0 && p->pixels[i] <= 1))
            return pg_fail(PG_EINPUT, "patch %zu has the value %g: right would be 0 to 1, or unsigned integers of 8 bits",
                           i / (3 * size_of(p)), (double)p->pixels[i]);
    return PG_OK;
}

/* Whether a pixel of a canvas is of the patch. */
static bool is_of_patch(const pg_patches *p, size_t patch, size_t at)
{
    const float *pixels = p->pixels + patch * 3 * size_of(p) + at;
    if (p->masks)
        return p->masks[patch * size_of(p) + at];
    return pixels[0] > 0 || pixels[size_of(p)] > 0 || pixels[2 * size_of(p)] > 0;
}

typedef struct box {
    int top, left, bottom, right; /* the last two are not in it */
} box;

static box box_of(const pg_patches *p)
{
    box b = {p->height, p->width, 0, 0};
    for (size_t n = 0; n < (size_t)p->count; n++)
        for (int y = 0; y < p->height; y++)
            for (int x = 0; x < p->width; x++)
                if (is_of_patch(p, n, (size_t)y * (size_t)p->width + (size_t)x)) {
                    b.top = y < b.top ? y : b.top;
                    b.left = x < b.left ? x : b.left;
                    b.bottom = y >= b.bottom ? y + 1 : b.bottom;
                    b.right = x >= b.right ? x + 1 : b.right;
                }
    return b;
}

/* To the front of the memory: nothing is written before it was read. */
static void crop_planes(void *planes, size_t n, size_t item, int height, int width, box b)
{
    char *to = planes;
    size_t row = (size_t)(b.right - b.left) * item;
    for (size_t i = 0; i < n; i++)
        for (int y = b.top; y < b.bottom; y++, to += row)
            memmove(to, (char *)planes + ((i * (size_t)height + (size_t)y) * (size_t)width + (size_t)b.left) * item, row);
}

static int fill(int **out, int count, int value)
{
    if (!(*out = malloc((size_t)count * sizeof **out)))
        return pg_fail(PG_ENOMEM, "out of memory for the places of patches");
    for (int i = 0; i < count; i++)
        (*out)[i] = value;
    return PG_OK;
}

/* A canvas becomes its patch and the place of it. */
static int crop(pg_patches *p, box b)
{
    size_t n = (size_t)p->count;
    crop_planes(p->pixels, 3 * n, sizeof *p->pixels, p->height, p->width, b);
    if (p->masks)
        crop_planes(p->masks, n, sizeof *p->masks, p->height, p->width, b);
    p->height = b.bottom - b.top;
    p->width = b.right - b.left;
    int code = fill(&p->tops, p->count, b.top);
    return code == PG_OK ? fill(&p->lefts, p->count, b.left) : code;
}

static int finish(pg_patches *p, int image_height, int image_width)
{
    int code = check_pixels(p);
    bool canvas = p->height == image_height && p->width == image_width && !p->tops;
    if (code != PG_OK || !(canvas || p->masks))
        return code;
    box b = box_of(p);
    if (b.bottom == 0)
        return pg_fail(PG_EINPUT, p->masks ? "the masks cover no pixel" : "every pixel is zero");
    return canvas ? crop(p, b) : PG_OK;
}

static int read_file(const char *path, pg_patches *p)
{
    char *data = NULL;
    size_t size = 0;
    int code = pg_file_read(path, PG_PATCHES_BYTES_MAX, &data, &size);
    if (code != PG_OK)
        return code;
    code = pg_hash_bytes(data, size, p->hash);
    const char *kind = pg_bytes_kind(data, size);
    const uint8_t *start = (const uint8_t *)data;
    if (code != PG_OK)
        ;
    else if (size >= 6 && memcmp(data, "\x93NUMPY", 6) == 0)
        code = read_npy(path, false, p);
    else if (size >= 4 && memcmp(data, "PK\3\4", 4) == 0)
        code = read_npy(path, true, p);
    else if (size >= 4 && memcmp(data, "\x89PNG", 4) == 0)
        code = read_png(data, size, p);
    else if (!kind) /* before pickles, whose first byte the length of its header may have */
        code = read_safetensors(path, p);
    else if (size >= 2 && ((start[0] == 0x1f && start[1] == 0x8b) || start[0] == 0x80))
        code = pg_patches_read_pickle(data, size, p);
    else
        code = pg_fail(PG_EINPUT, "is %s; %s", kind, right);
    free(data);
    return code;
}

/* Messages name the file once: the readers of arrays do so themselves. */
static int name_file(int code, const char *path)
{
    return code == PG_OK || strncmp(pg_error_message(), path, strlen(path)) == 0 ? code : pg_fail_at(code, "%s", path);
}

static bool is_folder(const char *path)
{
    struct stat status;
    return stat(path, &status) == 0 && S_ISDIR(status.st_mode);
}

static int hash_files(const char *array_path, const char *table_path, char hash[PG_HASH_HEX])
{
    char hashes[2][PG_HASH_HEX];
    pg_buf both = PG_BUF_EMPTY;
    int code = pg_hash_file(array_path, hashes[0]);
    if (code == PG_OK)
        code = pg_hash_file(table_path, hashes[1]);
    if (code != PG_OK)
        return code;
    pg_buf_printf(&both, "%s\n%s\n", hashes[0], hashes[1]);
    return pg_hash_text(&both, hash);
}

static int read_folder(const char *folder, pg_patches *p)
{
    char *array_path = NULL, *table_path = NULL, hash[PG_HASH_HEX];
    int code = pg_patches_folder_files(folder, &array_path, &table_path);
    if (code == PG_OK)
        code = name_file(read_file(array_path, p), array_path);
    if (code == PG_OK)
        code = pg_patches_read_places(folder, p);
    if (code == PG_OK)
        code = hash_files(array_path, table_path, hash);
    if (code == PG_OK)
        memcpy(p->hash, hash, sizeof p->hash);
    free(array_path);
    free(table_path);
    return code;
}

int pg_patches_open(const char *path, int image_height, int image_width, pg_patches **out)
{
    *out = NULL;
    pg_patches *p = calloc(1, sizeof *p);
    if (!p)
        return pg_fail(PG_ENOMEM, "out of memory");
    int code = is_folder(path) ? read_folder(path, p) : read_file(path, p);
    if (code == PG_OK)
        code = finish(p, image_height, image_width);
    if (code == PG_OK)
        *out = p;
    else
        pg_patches_free(p);
    return name_file(code, path);
}
