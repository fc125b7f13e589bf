/* Measurements as text: in the metadata of weights and in the file beside them, and what they say together. See locality.h. */
#include "models/locality.h"

#include "harness/base/buf.h"
#include "harness/base/file.h"
#include "harness/base/option.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char first_line[] = "patchgauge.locality 1";

/* ---- In the metadata ---- */

void pg_locality_format(const pg_locality *l, char text[PG_LOCALITY_TEXT])
{
    snprintf(text, PG_LOCALITY_TEXT, "%lld:%lld:%s:%s:%d%s%s", (long long)l->delta_grid,
             (long long)(l->outside > 0 ? l->outside : l->trials), pg_dtype_names[l->dtype], l->device, l->batch,
             *l->isa ? ":" : "", l->isa);
}

static bool read_kind(const char *dtype, const char *device, const char *isa, pg_locality *out)
{
    bool bf16 = strcmp(dtype, "bf16") == 0;
    if ((!bf16 && strcmp(dtype, "fp32") != 0) || (strcmp(device, "cpu") != 0 && strcmp(device, "cuda") != 0))
        return false;
    out->dtype = bf16 ? PG_DTYPE_BF16 : PG_DTYPE_F32;
    snprintf(out->device, sizeof out->device, "%s", device);
    snprintf(out->isa, sizeof out->isa, "%s", isa);
    return true;
}

int pg_locality_parse(const char *text, pg_locality *out)
{
    long long delta, trials;
    char dtype[8], device[8], isa[sizeof out->isa] = "", tail;
    int batch, n = sscanf(text, "%19lld:%19lld:%7[a-z0-9]:%7[a-z]:%9d:%47[a-zA-Z0-9_./+-]%c", &delta, &trials, dtype, device,
                          &batch, isa, &tail);
    const char *last = strrchr(text, ':');
    bool ends = n == 6 || (n == 5 && last[1] && last[1 + strspn(last + 1, "0123456789")] == 0);
    bool good = ends && delta >= 0 && delta <= PG_LOCALITY_MAX && trials >= 1 && batch >= 1;
    *out = (pg_locality){.measured = true,
                         .delta_grid = good ? delta : 0,
                         .trials = good ? trials : 0,
                         .outside = -1,
                         .batch = good ? batch : 0};
    if (!good || !read_kind(dtype, device, isa, out))
        return pg_fail(PG_EDAMAGED,
                       "metadata 'locality' is '%s'; DELTA:TRIALS:fp32|bf16:cpu|cuda:BATCH[:INSTRUCTIONS] is needed", text);
    return PG_OK;
}

/* ---- In the file beside the weights ---- */

static int path_of(const char *weights, char *path, size_t size)
{
    return snprintf(path, size, "%s.locality", weights) < (int)size ? PG_OK
                                                                    : pg_fail(PG_EINPUT, "%s: the path is too long", weights);
}

/* The words of a line, "key=value" each. */
typedef struct words {
    const char *delta, *trials, *outside, *elsewhere, *moved, *images, *batches, *dtype, *device, *isa, *batch;
} words;

static bool take_word(char *word, words *w)
{
    static const struct {
        const char *key;
        size_t at;
    } keys[] = {
        {"delta", offsetof(words, delta)},     {"trials", offsetof(words, trials)},
        {"outside", offsetof(words, outside)}, {"elsewhere", offsetof(words, elsewhere)},
        {"moved", offsetof(words, moved)},     {"images", offsetof(words, images)},
        {"batches", offsetof(words, batches)}, {"dtype", offsetof(words, dtype)},
        {"device", offsetof(words, device)},   {"isa", offsetof(words, isa)},
        {"batch", offsetof(words, batch)},
    };
    char *value = strchr(word, '=');
    if (!value)
        return false;
    *value++ = 0;
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        const char **slot = (const char **)((char *)w + keys[i].at);
        if (strcmp(keys[i].key, word) == 0 && !*slot && *value) {
            *slot = value;
            return true;
        }
    }
    return false;
}

static bool read_count(const char *text, int64_t least, int64_t most, int64_t *out)
{
    return text && pg_parse_int(text, out) == PG_OK && *out >= least && *out <= most;
}

static bool is_of(const char *text, const char *characters, size_t most)
{
    return strlen(text) <= most && strspn(text, characters) == strlen(text);
}

static bool read_line(char *line, pg_locality *out)
{
    words w = {0};
    *out = (pg_locality){0};
    char *rest = line;
    for (char *word; (word = strsep(&rest, " "));)
        if (!take_word(word, &w))
            return false;
    int64_t batch;
    bool good =
        read_count(w.delta, 0, PG_LOCALITY_MAX, &out->delta_grid) && read_count(w.trials, 1, INT64_C(1) << 40, &out->trials) &&
        read_count(w.outside, 0, out->trials, &out->outside) && read_count(w.batch, 1, 65536, &batch) && w.dtype && w.device &&
        is_of(w.isa ? w.isa : "", "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./+-", sizeof out->isa - 1) &&
        read_kind(w.dtype, w.device, w.isa ? w.isa : "", out);
    out->moved = w.elsewhere || w.moved || w.images || w.batches;
    if (good && out->moved)
        good = read_count(w.elsewhere, 0, PG_LOCALITY_MAX, &out->elsewhere_grid) &&
               read_count(w.moved, 0, PG_LOCALITY_MAX, &out->moved_grid) && read_count(w.images, 1, 1 << 24, &out->images) &&
               w.batches && is_of(w.batches, "0123456789,", sizeof out->batches - 1);
    if (!good)
        return false;
    out->batch = (int)batch;
    out->measured = out->outside > 0;
    snprintf(out->batches, sizeof out->batches, "%s", out->moved ? w.batches : "");
    return true;
}

static void write_line(const pg_locality *l, pg_buf *out)
{
    pg_buf_printf(out, "delta=%lld trials=%lld outside=%lld", (long long)l->delta_grid, (long long)l->trials,
                  (long long)l->outside);
    if (l->moved)
        pg_buf_printf(out, " elsewhere=%lld moved=%lld images=%lld batches=%s", (long long)l->elsewhere_grid,
                      (long long)l->moved_grid, (long long)l->images, l->batches);
    pg_buf_printf(out, " dtype=%s device=%s%s%s batch=%d\n", pg_dtype_names[l->dtype], l->device, *l->isa ? " isa=" : "",
                  l->isa, l->batch);
}

/* Lines of a file in memory, which it takes apart. */
static int read_lines(const char *path, char *text, pg_weights_info *info)
{
    static const char sha[] = "sha256=";
    int number = 0;
    char *rest = text;
    for (char *line; (line = strsep(&rest, "\n"));) {
        number++;
        if (number > 2 && !*line)
            continue;
        bool good = true;
        if (number == 1)
            good = strcmp(line, first_line) == 0;
        else if (number == 2 && (good = strncmp(line, sha, sizeof sha - 1) == 0))
            info->measured_of_another = strcmp(line + sizeof sha - 1, info->hash) != 0;
        else if (number > 2 && (good = info->n_measured < PG_LOCALITY_LINES))
            good = read_line(line, &info->measured[info->n_measured++]);
        if (!good)
            return pg_fail(PG_EDAMAGED,
                           "%s:%d: not a measurement; without this file `patchgauge model measure` writes a new one", path,
                           number);
    }
    return number >= 2
               ? PG_OK
               : pg_fail(PG_EDAMAGED, "%s: cut short; without this file `patchgauge model measure` writes a new one", path);
}

int pg_locality_read(const char *weights, pg_weights_info *info)
{
    char path[4096], *text = NULL;
    size_t size = 0;
    info->n_measured = 0;
    info->measured_of_another = false;
    int code = path_of(weights, path, sizeof path);
    if (code != PG_OK || pg_file_size(path) < 0)
        return code;
    code = pg_file_read(path, 1 << 16, &text, &size);
    if (code == PG_OK && strlen(text) != size)
        code = pg_fail(PG_EDAMAGED, "%s: holds a zero byte", path);
    if (code == PG_OK && size > 0 && text[size - 1] != '\n')
        code = pg_fail(PG_EDAMAGED, "%s: cut short; without this file `patchgauge model measure` writes a new one", path);
    if (code == PG_OK)
        code = read_lines(path, text, info);
    free(text);
    if (code != PG_OK || info->measured_of_another)
        info->n_measured = 0;
    return code;
}

static bool is_same_kind(const pg_locality *a, const pg_locality *b)
{
    return a->dtype == b->dtype && a->batch == b->batch && strcmp(a->device, b->device) == 0 && strcmp(a->isa, b->isa) == 0;
}

static int64_t larger(int64_t a, int64_t b) { return a > b ? a : b; }

/* One that had no position outside says nothing of delta, nor one at its place of other places: what was known
 * of them stays. */
static void merge_measurement(pg_locality *l, const pg_locality *before)
{
    l->delta_grid = larger(l->delta_grid, before->delta_grid);
    l->elsewhere_grid = larger(l->elsewhere_grid, before->elsewhere_grid);
    l->moved_grid = larger(l->moved_grid, before->moved_grid);
    if (l->outside == 0) {
        l->trials = before->trials;
        l->outside = before->outside;
        l->measured = before->measured;
    }
    if (!l->moved) {
        l->moved = before->moved;
        l->images = before->images;
        snprintf(l->batches, sizeof l->batches, "%s", before->batches);
    }
}

int pg_locality_add(const char *weights, pg_locality *l)
{
    pg_weights_info info = {0};
    char path[4096];
    int code = path_of(weights, path, sizeof path);
    if (code == PG_OK)
        code = pg_hash_file(weights, info.hash);
    if (code == PG_OK)
        code = pg_locality_read(weights, &info);
    if (code != PG_OK)
        return code;
    int at = 0;
    while (at < info.n_measured && !is_same_kind(&info.measured[at], l))
        at++;
    if (at == PG_LOCALITY_LINES)
        return pg_fail(PG_EINPUT, "%s holds %d measurements already; delete a line of it", path, at);
    if (at < info.n_measured)
        merge_measurement(l, &info.measured[at]);
    else
        info.n_measured++;
    info.measured[at] = *l;
    pg_buf text = PG_BUF_EMPTY;
    pg_buf_printf(&text, "%s\nsha256=%s\n", first_line, info.hash);
    for (int i = 0; i < info.n_measured; i++)
        write_line(&info.measured[i], &text);
    code = pg_buf_check(&text);
    if (code == PG_OK)
        code = pg_file_write(path, text.data, text.size);
    pg_buf_release(&text);
    return code;
}

/* ---- Together ---- */

static bool covers(const pg_locality *l, pg_dtype dtype, int batch)
{
    return l->measured && (l->batch == 0 || (l->dtype == dtype && l->batch == batch));
}

static void add_kind(const pg_locality *l, pg_locality_result *out)
{
    char kind[sizeof l->device + sizeof l->isa + 1];
    snprintf(kind, sizeof kind, "%s%s%s", l->device, *l->isa ? " " : "", l->isa);
    size_t used = strlen(out->kinds), length = strlen(kind);
    for (const char *at = out->kinds; *at; at += strcspn(at, ","), at += strspn(at, ", "))
        if (strcspn(at, ",") == length && strncmp(at, kind, length) == 0)
            return;
    if (used + length + 3 < sizeof out->kinds) /* one that has no room counts as not measured */
        snprintf(out->kinds + used, sizeof out->kinds - used, "%s%s", used ? ", " : "", kind);
}

static void find_place(const pg_weights_info *info, pg_dtype dtype, int batch, pg_locality_result *out)
{
    const pg_locality *own = &info->locality;
    int64_t before = covers(own, dtype, batch) ? own->delta_grid : -1, most = before;
    if (before >= 0)
        add_kind(own, out);
    for (int i = 0; i < info->n_measured; i++) {
        const pg_locality *l = &info->measured[i];
        if (!covers(l, dtype, batch))
            continue;
        most = larger(most, l->delta_grid);
        add_kind(l, out);
    }
    out->measured = most >= 0;
    out->differs = most != before;
    out->delta_grid = most >= 0 ? most : 0;
}

static void find_any(const pg_weights_info *info, pg_dtype dtype, int batch, pg_locality_result *out)
{
    pg_locality_result place = {0};
    find_place(info, dtype, batch, &place);
    int64_t delta = -1, moved = 0;
    for (int i = 0; i < info->n_measured; i++) {
        const pg_locality *l = &info->measured[i];
        if (!l->moved || !covers(l, dtype, batch))
            continue;
        delta = larger(larger(delta, place.delta_grid), l->elsewhere_grid);
        moved = larger(moved, l->moved_grid);
        snprintf(out->batches, sizeof out->batches, "%s", l->batches);
        add_kind(l, out);
    }
    out->measured = delta >= 0;
    out->differs = true;
    out->moved_grid = moved;
    out->delta_grid = out->measured ? delta + moved : 0;
    if (out->delta_grid > PG_LOCALITY_MAX)
        out->delta_grid = PG_LOCALITY_MAX;
}

void pg_locality_find(const pg_weights_info *info, pg_dtype dtype, int batch, bool any_batch, pg_locality_result *out)
{
    *out = (pg_locality_result){0};
    if (info->locality.measured && info->locality.batch == 0)
        *out = (pg_locality_result){.measured = true, .differs = any_batch}; /* any machine, any batch */
    else if (any_batch)
        find_any(info, dtype, batch, out);
    else
        find_place(info, dtype, batch, out);
    const pg_geometry *g = &info->geometry;
    out->none_outside = g->rows.field == 0 && g->columns.field == 0;
    for (int i = 0; !out->measured && i < info->n_measured; i++)
        out->none_outside |=
            info->measured[i].outside == 0 && info->measured[i].dtype == dtype && info->measured[i].batch == batch;
}

bool pg_locality_names(const char *kinds, const char *device, const char *isa)
{
    size_t kind = strcspn(device, ":"), set = strlen(isa);
    if (!*kinds)
        return true;
    for (const char *at = kinds; *at; at += strcspn(at, ","), at += strspn(at, ", ")) {
        size_t length = strcspn(at, ",");
        if (strncmp(at, device, kind) != 0 || (length != kind && at[kind] != ' '))
            continue;
        if (length == kind || (set > 0 && length == kind + 1 + set && strncmp(at + kind + 1, isa, set) == 0))
            return true;
    }
    return false;
}
