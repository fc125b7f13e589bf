/* The architecture "torchscript", see torchscript.h. Its one parameter is the module's file. */
#include "models/torchscript.h"
#include "models/layers.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

typedef struct script_axis {
    int64_t positions, field, stride, padding;
} script_axis;

typedef struct torchscript {
    int64_t bytes;
    script_axis rows, columns;
    int wrap;
    pg_normalisation pixels;
} torchscript;

PG_MODEL(torchscript)

#define AT(field_) offsetof(torchscript, field_)
static const pg_option options[] = {
    {"bytes", PG_OPTION_INT, AT(bytes), "1", 1, 1e10, .help = "size of the module; set by import"},
    {"rows", PG_OPTION_INT, AT(rows.positions), "1", 1, 4096, .help = "of the map; set by import"},
    {"columns", PG_OPTION_INT, AT(columns.positions), "1", 1, 4096, .help = "of the map; set by import"},
    {"row_field", PG_OPTION_INT, AT(rows.field), "0", 0, 4096, .help = "rows of pixels that a position sees; 0: all"},
    {"row_stride", PG_OPTION_INT, AT(rows.stride), "1", 1, 4096, .help = "rows of pixels between neighbouring positions"},
    {"row_padding", PG_OPTION_INT, AT(rows.padding), "0", 0, 4096,
     .help = "rows of pixels by which the first field stands out of the image"},
    {"column_field", PG_OPTION_INT, AT(columns.field), "0", 0, 4096, .help = "columns of pixels that a position sees; 0: all"},
    {"column_stride", PG_OPTION_INT, AT(columns.stride), "1", 1, 4096,
     .help = "columns of pixels between neighbouring positions"},
    {"column_padding", PG_OPTION_INT, AT(columns.padding), "0", 0, 4096,
     .help = "columns of pixels by which the first field stands out of the image"},
    {"wrap", PG_OPTION_CHOICE, AT(wrap), "none", .choices = pg_wraps, .help = "axes on which fields wrap round the image"},
    PG_NORMALISATION_OPTIONS(torchscript, pixels),
    {0},
};
#undef AT

static int axis_of(const char *name, const script_axis *a, bool wrap, int size, pg_axis *out)
{
    *out = (pg_axis){.positions = (int)a->positions,
                     .field = (int)a->field,
                     .stride = (int)a->stride,
                     .padding = (int)a->padding,
                     .wrap = wrap};
    if (a->field == 0) {
        *out = (pg_axis){.positions = (int)a->positions, .stride = 1};
        return wrap ? pg_fail(PG_EINPUT, "%s that see the whole image do not wrap; state their field", name) : PG_OK;
    }
    int64_t room = size + 2 * a->padding - a->field;
    int64_t positions = wrap ? size / a->stride : room < 0 ? 0 : room / a->stride + 1;
    bool good = positions == a->positions && a->padding < a->field && (!wrap || (a->padding == 0 && size % a->stride == 0));
    return good ? PG_OK
                : pg_fail(PG_EINPUT,
                          "%lld %s: a field of %lld px, stride %lld and padding %lld on %d px %s %lld; state others, or a "
                          "field of 0 (every position sees all)",
                          (long long)a->positions, name, (long long)a->field, (long long)a->stride, (long long)a->padding, size,
                          wrap ? "that wrap make" : "make", (long long)positions);
}

static int geometry(const void *config, int height, int width, int classes, pg_geometry *out)
{
    const torchscript *c = config;
    *out = (pg_geometry){.input_height = height, .input_width = width, .classes = classes};
    int code = axis_of("rows", &c->rows, (c->wrap & PG_WRAP_ROWS) != 0, height, &out->rows);
    return code != PG_OK ? code : axis_of("columns", &c->columns, (c->wrap & PG_WRAP_COLUMNS) != 0, width, &out->columns);
}

/* A certificate allows any numbers where a patch is seen, but numbers: a position scaled by its own length is 0 / 0 under a
 * grey patch. What is no number counts as 0, and an infinity as a large one; each position on its own, so that no other one
 * notices. */
static pg_tensor *numbers_of(pg_scope *s, pg_tensor *x)
{
    const pg_torch *t = s->torch;
    return t->where(s, t->equal(s, x, x), t->clamp(s, x, -1e30, 1e30), t->like(s, x, 0));
}

static pg_value forward(pg_builder *b, const void *config, pg_value pixels)
{
    const torchscript *c = config;
    pg_geometry g;
    int height = pixels.rows.positions, width = pixels.columns.positions;
    pg_value x = pg_layer_script(b, c->bytes, pg_layer_normalise(b, pixels, &c->pixels));
    int code = geometry(config, height, width, b->classes, &g);
    if (b->pass != PG_PASS_TRACE)
        x.tensor = numbers_of(b->scope, x.tensor);
    if (code != PG_OK && !b->error)
        b->error = code;
    x.channels = b->classes;
    x.rows = g.rows;
    x.columns = g.columns;
    return x;
}

static const pg_model_hooks hooks = {.opaque = true, .forward = forward};

const pg_model pg_model_torchscript = {
    .module = {.name = "torchscript",
               .summary = "a TorchScript module with a stated geometry; needs --trust",
               .source = "the user",
               .version = 2,
               .options = options,
               .config_size = sizeof(torchscript)},
    .needs_torch = true,
    .geometry = geometry,
    .hooks = &hooks,
};

int pg_script_trusted(const char *what)
{
    const char *trust = getenv("PATCHGAUGE_TRUST");
    return trust && *trust
               ? PG_OK
               : pg_fail(PG_EINPUT, "%s holds a TorchScript module, a program of its author: --trust lets it run", what);
}

/* libtorch reads files: the module is one in memory. */
int pg_script_open(pg_scope *s, const void *bytes, size_t size, pg_module_script **out)
{
    char path[64], message[512] = "";
    int file = memfd_create("module", MFD_CLOEXEC), code = PG_OK;
    if (file < 0)
        return pg_fail(PG_ENOMEM, "no file in memory for the module");
    for (size_t at = 0; code == PG_OK && at < size;) {
        ssize_t n = write(file, (const char *)bytes + at, size - at);
        if (n < 0 && errno != EINTR)
            code = pg_fail(PG_ENOMEM, "no memory for the module of %zu bytes", size);
        at += n > 0 ? (size_t)n : 0;
    }
    snprintf(path, sizeof path, "/proc/self/fd/%d", file);
    if (code == PG_OK && s->torch->script_open(path, s->device, out, message, sizeof message))
        code = pg_fail(PG_EDAMAGED, "libtorch cannot read it as TorchScript: %s", message);
    close(file);
    return code;
}
