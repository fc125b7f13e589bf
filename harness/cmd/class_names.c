#include "harness/cmd/class_names.h"

#include "harness/base/option.h"
#include "models/classes.h"
#include "models/model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CLASSES_MAX = 100000 };

int pg_class_outputs(const pg_setting *settings, size_t n, pg_class_names *out)
{
    const char *list = pg_settings_value(settings, n, "label.outputs");
    int64_t classes = 0;
    int labels = 0;
    *out = (pg_class_names){0};
    if (pg_parse_int(pg_settings_value(settings, n, "classes"), &classes) != PG_OK || classes < 1 || classes > CLASSES_MAX)
        return PG_OK;
    out->outputs = malloc((size_t)classes * sizeof *out->outputs);
    if (!out->outputs)
        return pg_fail(PG_ENOMEM, "out of memory for %d classes", (int)classes);
    out->n = (int)classes;
    for (char *end; *list && labels < out->n; list = *end == ',' ? end + 1 : end) {
        out->outputs[labels++] = (int)strtol(list, &end, 10);
        if (end == list)
            break;
    }
    if (labels < out->n)
        pg_outputs_complete(out->outputs, labels, out->n);
    return PG_OK;
}

/* The classes that the weights of the cell store, where they are here. */
static int read_stored(const pg_setting *settings, size_t n, pg_classes *out)
{
    const char *weights = pg_settings_value(settings, n, "weights");
    pg_weights_info info;
    *out = (pg_classes){0};
    if (strcmp(weights, "null") == 0)
        return PG_OK;
    int code = pg_weights_describe(weights, NULL, 0, &info);
    if (code == PG_OK && strcmp(info.hash, pg_settings_value(settings, n, "weights.hash")) == 0)
        code = pg_classes_of(weights, out);
    return code == PG_ENOMEM ? code : PG_OK;
}

/* The first of several names. */
static char *first_name(const char *names) { return strndup(names, strcspn(names, ",")); }

int pg_class_names_make(const pg_setting *settings, size_t n, const pg_dataset_info *data, pg_class_names *out)
{
    pg_classes stored;
    int code = pg_class_outputs(settings, n, out);
    if (code == PG_OK)
        code = read_stored(settings, n, &stored);
    if (code != PG_OK)
        return code;
    out->names = calloc((size_t)out->n + 1, sizeof *out->names);
    for (int i = 0; out->names && i < out->n; i++) {
        int output = out->outputs[i];
        if (output < stored.n)
            out->names[i] = first_name(stored.items[output].name);
        else if (data && i < data->classes)
            out->names[i] = strdup(data->class_names[i]);
        else if (asprintf(&out->names[i], "output %d", output) < 0)
            out->names[i] = NULL;
        if (!out->names[i])
            code = pg_fail(PG_ENOMEM, "out of memory for the names of classes");
    }
    pg_classes_release(&stored);
    return out->names ? code : pg_fail(PG_ENOMEM, "out of memory for the names of classes");
}

void pg_class_names_release(pg_class_names *names)
{
    for (int i = 0; names->names && i < names->n; i++)
        free(names->names[i]);
    free(names->names);
    free(names->outputs);
    *names = (pg_class_names){0};
}

const char *pg_class_name(const pg_class_names *names, int class)
{
    return class >= 0 && class < names->n ? names->names[class] : "nothing finite";
}
