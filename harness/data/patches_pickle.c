/* Patches in a pickle of PyTorch tensors, or in its gzip. See patches.h. */
#include "harness/base/pth.h"
#include "harness/data/patches.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

enum { UNPACKED_MAX = 16 << 20 }; /* as much as a pickle may have */

/* ---- gzip ---- */

static int fail_gzip(const char *what)
{
    return pg_fail(PG_EDAMAGED, "the gzip is damaged: %s", what ? what : "it ends early");
}

/* *new* bytes of one gzip member that is data[size]; memory grows with what comes, never with what is stated. */
static int unpack(const void *data, size_t size, char **out, size_t *unpacked)
{
    z_stream z = {.next_in = (Bytef *)data, .avail_in = (uInt)size};
    char *bytes = NULL;
    size_t room = 0, n = 0;
    int state = Z_OK, code = inflateInit2(&z, 15 + 16) == Z_OK ? PG_OK : pg_fail(PG_ENOMEM, "out of memory for a gzip");
    if (code != PG_OK)
        return code;
    while (code == PG_OK && state != Z_STREAM_END) {
        if (n == room) {
            room = room ? 2 * room : 1 << 16;
            char *grown = room <= UNPACKED_MAX ? realloc(bytes, room) : NULL;
            if (!grown) {
                code = room <= UNPACKED_MAX ? pg_fail(PG_ENOMEM, "out of memory for a gzip")
                                            : pg_fail(PG_EINPUT, "the gzip unpacks to more than %d bytes", UNPACKED_MAX);
                break;
            }
            bytes = grown;
        }
        z.next_out = (Bytef *)bytes + n;
        z.avail_out = (uInt)(room - n);
        state = inflate(&z, Z_NO_FLUSH);
        n = room - z.avail_out;
        if (state == Z_MEM_ERROR)
            code = pg_fail(PG_ENOMEM, "out of memory for a gzip");
        else if (state != Z_OK && state != Z_STREAM_END)
            code = fail_gzip(z.msg);
    }
    if (code == PG_OK && z.avail_in > 0)
        code = pg_fail(PG_EDAMAGED, "%u bytes behind the gzip", z.avail_in);
    inflateEnd(&z);
    if (code != PG_OK)
        free(bytes);
    *out = code == PG_OK ? bytes : NULL;
    *unpacked = n;
    return code;
}

/* ---- Tensors ---- */

static int read_patches(const pg_pickle *pickle, const pg_pickle_value *v, pg_patches *p)
{
    pg_pth *file = NULL;
    pg_pickle_tensor t;
    int code = pg_pth_embedded(pickle, v, &file, &t);
    if (code != PG_OK)
        return code;
    bool fits = (t.rank == 3 || t.rank == 4) && t.shape[t.rank - 3] == 3;
    if (!fits)
        code = pg_fail(PG_EINPUT, "its first tensor has %d axes: right would be [patches][3][height][width]", t.rank);
    if (code == PG_OK)
        code = pg_patches_room(p, t.rank == 4 ? t.shape[0] : 1, t.shape[t.rank - 2], t.shape[t.rank - 1]);
    if (code == PG_OK)
        code = pg_pth_floats(file, &t, p->pixels, (size_t)p->count * 3 * (size_t)p->height * (size_t)p->width);
    pg_pth_close(file);
    return code;
}

static int take_targets(const float *values, pg_patches *p)
{
    if (!(p->targets = malloc((size_t)p->count * sizeof *p->targets)))
        return pg_fail(PG_ENOMEM, "out of memory for targets");
    for (int i = 0; i < p->count; i++) {
        if (!(values[i] >= 0 && values[i] < 16777216) || floorf(values[i]) < values[i])
            return pg_fail(PG_EINPUT, "targets: %g of patch %d is no class: right would be whole numbers from 0",
                           (double)values[i], i);
        p->targets[i] = (int64_t)values[i];
    }
    return PG_OK;
}

static int read_targets(const pg_pickle *pickle, const pg_pickle_value *v, pg_patches *p)
{
    pg_pth *file = NULL;
    pg_pickle_tensor t;
    float *values = malloc((size_t)p->count * sizeof *values);
    int code = values ? pg_pth_embedded(pickle, v, &file, &t) : pg_fail(PG_ENOMEM, "out of memory for targets");
    if (code == PG_OK && (t.rank != 1 || t.shape[0] != p->count))
        code = pg_fail(PG_EINPUT, "targets: right would be one class for each of the %d patches", p->count);
    if (code == PG_OK)
        code = pg_pth_floats(file, &t, values, (size_t)p->count);
    if (code == PG_OK)
        code = take_targets(values, p);
    pg_pth_close(file);
    free(values);
    return code;
}

static int read_plain(const void *data, size_t size, pg_patches *p)
{
    pg_pickle *pickle = NULL;
    size_t used = 0;
    int code = pg_pickle_read(data, size, &pickle, &used);
    if (code != PG_OK)
        return code;
    const pg_pickle_value *root = pg_pickle_root(pickle);
    bool list = root->kind == PG_PICKLE_TUPLE || root->kind == PG_PICKLE_LIST;
    if (used != size)
        code = pg_fail(PG_EDAMAGED, "%zu bytes behind the pickle", size - used);
    else if (!list || root->n < 1)
        code = pg_fail(PG_EINPUT, "a pickle of something else than (patches, targets, ...): right would be a tuple whose first "
                                  "is a tensor [patches][3][height][width]");
    if (code == PG_OK)
        code = read_patches(pickle, root->items[0], p);
    if (code == PG_OK && root->n > 1 && root->items[1]->kind == PG_PICKLE_OPAQUE)
        code = read_targets(pickle, root->items[1], p);
    pg_pickle_free(pickle);
    return code;
}

int pg_patches_read_pickle(const void *data, size_t size, pg_patches *p)
{
    char *bytes = NULL;
    size_t unpacked = 0;
    if (size > 0 && *(const uint8_t *)data == 0x80)
        return read_plain(data, size, p);
    int code = unpack(data, size, &bytes, &unpacked);
    if (code == PG_OK)
        code = read_plain(bytes, unpacked, p);
    free(bytes);
    return code;
}
