/* model import torchscript. See torchscript.h. */
#include "harness/base/pth.h"
#include "models/script_trial.h"
#include "models/torchscript.h"
#include "models/weights.h"

#include "harness/base/file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BYTES_MAX = 1 << 30 };

static const pg_model *model(void) { return pg_model_find("torchscript"); }

/* ---- Options ---- */

static int check_given(const pg_import_job *job)
{
    static const char *const needed[] = {"row_field", "column_field", "mean", "std"}, *const found[] = {"bytes", "rows",
                                                                                                        "columns"};
    for (size_t i = 0; i < sizeof needed / sizeof *needed; i++)
        if (!pg_import_asked(job, needed[i]))
            return pg_fail(PG_EINPUT,
                           "a module does not tell its geometry nor how it wants pixels: --set %s=... is missing (`patchgauge "
                           "help model torchscript`)",
                           needed[i]);
    for (size_t i = 0; i < sizeof found / sizeof *found; i++)
        if (pg_import_asked(job, found[i]))
            return pg_fail(PG_EINPUT, "--set %s: the module itself tells", found[i]);
    return job->half || job->key || job->prefix || job->ignore_rest
               ? pg_fail(PG_EUSAGE,
                         "--half, --key, --prefix and --ignore-rest are for files of tensors, not for a TorchScript module")
               : PG_OK;
}

/* ---- Writing ---- */

static void report_axis(const char *name, const pg_axis *a, pg_buf *out)
{
    if (a->field == 0)
        pg_buf_printf(out, "%-12s %d, each sees everything\n", name, a->positions);
    else
        pg_buf_printf(out, "%-12s %d, receptive field %d px, stride %d px, padding %d px%s\n", name, a->positions, a->field,
                      a->stride, a->padding, a->wrap ? ", wraps" : "");
}

static int command_text(const pg_import_job *job, pg_buf *out)
{
    pg_buf_printf(out, "patchgauge model import torchscript %s --input %dx%d --trust", basename(job->from), job->input_height,
                  job->input_width);
    for (size_t i = 0; i < job->n_pairs; i++)
        pg_buf_printf(out, " --set %s", job->pairs[i]);
    if (job->classes)
        pg_buf_printf(out, " --classes %s", basename(job->classes));
    return pg_buf_check(out);
}

static int write_module(const pg_import_job *job, const char *command, const char *bytes, size_t size, const char *hash,
                        const pg_script_setup *setup, const char *class_names)
{
    const pg_geometry *g = &setup->geometry;
    pg_st_tensor tensor = {
        .name = "script.module", .dtype = PG_ST_U8, .rank = 1, .shape = {(int64_t)size}, .data = bytes, .size = size};
    pg_buf source = PG_BUF_EMPTY;
    pg_buf_printf(&source, "%s sha256 %s", basename(job->from), hash);
    int code = pg_buf_check(&source);
    if (code == PG_OK)
        code = pg_weights_write(job->out, &tensor, 1,
                                &(pg_weights_record){.model = model(),
                                                     .config = setup->config,
                                                     .input_height = g->input_height,
                                                     .input_width = g->input_width,
                                                     .classes = g->classes,
                                                     .class_names = class_names,
                                                     .command = command,
                                                     .source = source.data});
    pg_buf_release(&source);
    return code;
}

static void report_module(const pg_import_job *job, const char *hash, const pg_geometry *g, const pg_script_findings *found,
                          pg_buf *report)
{
    pg_buf_printf(report, "%-12s %s (TorchScript), sha256 %s\n%-12s 3 x %d x %d pixels, %d classes\n", "file", job->from, hash,
                  "input", g->input_height, g->input_width, g->classes);
    report_axis("rows", &g->rows, report);
    report_axis("columns", &g->columns, report);
    pg_buf_printf(report, "%-12s %s\n", "gradients",
                  found->gradients ? "reach the pixels" : "none reach the pixels: of the attacks, use random-search");
    pg_buf_printf(report,
                  "%-12s %d images: no pixel changes a position outside its stated field or another image of a batch; that is "
                  "evidence and no proof\n",
                  "tried", found->images);
}

int pg_script_import(const pg_import_job *job, pg_buf *report)
{
    pg_script_findings found = {0};
    pg_script_setup setup = {0};
    char *class_names = NULL, *bytes = NULL, hash[PG_HASH_HEX];
    size_t size = 0;
    pg_buf command = PG_BUF_EMPTY;
    int code = pg_script_trusted(job->from);
    if (code == PG_OK)
        code = check_given(job);
    if (code == PG_OK)
        code = command_text(job, &command);
    if (code == PG_OK) /* before the minutes that trying may take */
        code = pg_weights_check_output(job->out, job->force, command.data);
    if (code == PG_OK)
        code = pg_file_read(job->from, BYTES_MAX, &bytes, &size);
    if (code == PG_OK && (code = pg_pth_check_script(bytes, size)))
        pg_fail_at(code, "%s", job->from);
    if (code == PG_OK)
        code = pg_hash_bytes(bytes, size, hash);
    if (code == PG_OK)
        code = pg_script_try_in_child(job, bytes, size, &found);
    if (code == PG_OK)
        code = pg_script_configure(job, size, found.shape, &setup);
    if (code == PG_OK && job->classes)
        code = pg_import_classes(job, setup.geometry.classes, &class_names, report);
    if (code == PG_OK)
        code = write_module(job, command.data, bytes, size, hash, &setup, class_names);
    if (code == PG_OK)
        report_module(job, hash, &setup.geometry, &found, report);
    free(bytes);
    free(class_names);
    pg_buf_release(&command);
    return code != PG_OK ? code : pg_buf_check(report);
}
