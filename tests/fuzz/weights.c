/* Weights files: the metadata record, given as lines "key=value", described without libtorch. What is described fits its own
 * limits. */
#include "harness/base/safetensors.h"
#include "models/model.h"
#include "tests/fuzz/folder.h"
#include "tests/fuzz/fuzz.h"

enum { MOST = 16 };

static void check(const pg_weights_info *info)
{
    const pg_geometry *g = &info->geometry;
    FUZZ_CHECK(pg_model_find(info->model) && info->model_version >= 1);
    FUZZ_CHECK(g->rows.positions >= 1 && g->columns.positions >= 1 && g->classes >= 2);
    FUZZ_CHECK(g->input_height >= 1 && g->input_height <= 4096 && g->input_width >= 1 && g->input_width <= 4096);
    int window = pg_axis_window(&g->rows, g->input_height, 1);
    FUZZ_CHECK(window >= 0 && window <= g->rows.positions);
}

PG_FUZZ(weights)
{
    char *text = strndup((const char *)data, size), *rest = text;
    const char *keys[MOST], *values[MOST];
    size_t n = 0;
    for (char *line; text && n < MOST && (line = strsep(&rest, "\n"));) {
        char *equals = strchr(line, '=');
        if (!equals)
            continue;
        *equals = 0;
        keys[n] = line;
        values[n++] = equals + 1;
    }
    const float one = 1;
    const pg_st_tensor tensor = {.name = "t", .dtype = PG_ST_F32, .data = &one, .size = sizeof one};
    const char *path = fuzz_path("weights.safetensors");
    pg_weights_info info;
    int code = pg_st_write(path, &tensor, 1, keys, values, n);
    FUZZ_CHECK(code == PG_OK || code == PG_EINPUT); /* a key twice, text that is not UTF-8 */
    if (code == PG_OK) {
        code = pg_weights_describe(path, NULL, 0, &info);
        FUZZ_CHECK(code == PG_OK || code == PG_EDAMAGED || code == PG_EINPUT || code == PG_EUNSUPPORTED);
        if (code == PG_OK)
            check(&info);
    }
    free(text);
    return 0;
}
