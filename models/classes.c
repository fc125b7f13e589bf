#include "models/classes.h"

#include "harness/base/file.h"
#include "harness/base/json.h"
#include "harness/base/option.h"
#include "harness/base/safetensors.h"
#include "harness/base/text.h"
#include "harness/data/imagenette.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FILE_BYTES = 16 << 20, NAME_BYTES = 255, CLASSES_MAX = 100001 };

void pg_classes_release(pg_classes *c)
{
    for (int i = 0; i < c->n; i++) {
        free(c->items[i].name);
        free(c->items[i].id);
    }
    free(c->items);
    *c = (pg_classes){0};
}

/* n empty classes. */
static int make_room(pg_classes *c, int n)
{
    *c = (pg_classes){.items = calloc((size_t)n, sizeof *c->items)};
    c->n = c->items ? n : 0;
    return c->items ? PG_OK : pg_fail(PG_ENOMEM, "out of memory for %d classes", n);
}

/* As names of data sets are: marks of direction may be in it, which whatever prints it replaces. */
static bool is_printable(const char *text)
{
    for (size_t size; *text; text += size)
        if ((size = pg_utf8_size(text)) == 0 || (unsigned char)*text < 0x20 || *text == 0x7f)
            return false;
    return true;
}

/* Sets a class once. PG_EINPUT where the texts are none of a class. */
static int set_class(pg_class *c, const char *id, const char *name)
{
    const char *texts[] = {id, name};
    for (int i = 0; i < 2; i++)
        if (strlen(texts[i]) > NAME_BYTES || !is_printable(texts[i]))
            return pg_fail(PG_EINPUT, "a name or an id is longer than %d bytes or not printable UTF-8", NAME_BYTES);
    if (!*name && !*id)
        return pg_fail(PG_EINPUT, "a name is empty");
    if (c->name)
        return pg_fail(PG_EINPUT, "it is there twice");
    c->name = strdup(*name ? name : id);
    c->id = strdup(id);
    return c->name && c->id ? PG_OK : pg_fail(PG_ENOMEM, "out of memory");
}

/* ---- Lines ---- */

/* The bytes of a WordNet id that the text begins with, "n01440764"; 0: none. */
static size_t wordnet_id(const char *text)
{
    size_t digits = *text == 'n' ? strspn(text + 1, "0123456789") : 0;
    return digits == 8 && (!text[9] || strchr(" \t,", text[9])) ? 9 : 0;
}

/* The next line without blanks at its ends, a zero byte behind it; NULL behind the last. */
static char *next_line(char **rest)
{
    char *line = *rest && **rest ? strsep(rest, "\n") : NULL;
    if (!line)
        return NULL;
    line += strspn(line, " \t\r");
    size_t n = strlen(line);
    while (n && strchr(" \t\r", line[n - 1]))
        n--;
    line[n] = 0;
    return line;
}

static int count_lines(const char *text, int *out)
{
    int64_t n = 0;
    for (const char *at = text; *at; n++)
        at += strcspn(at, "\n"), at += *at == '\n';
    *out = (int)n;
    return n >= 1 && n <= CLASSES_MAX ? PG_OK : pg_fail(PG_EINPUT, "%lld lines; 1 to %d are right", (long long)n, CLASSES_MAX);
}

static int read_lines(char *text, pg_classes *out)
{
    int n = 0, code = count_lines(text, &n), at = 0;
    if (code == PG_OK)
        code = make_room(out, n);
    for (char *line; code == PG_OK && (line = next_line(&text)); at++) {
        size_t id = wordnet_id(line);
        char *name = line + id;
        if (id && *name)
            *name++ = 0;
        if ((code = set_class(&out->items[at], id ? line : "", name + strspn(name, " \t,"))))
            pg_fail_at(code, "line %d", at + 1);
    }
    return code;
}

/* ---- JSON ---- */

static int class_of(const json_t *value, pg_class *out)
{
    const char *name = json_string_value(value), *id = "";
    if (json_is_array(value) && json_array_size(value) == 2) {
        id = json_string_value(json_array_get(value, 0));
        name = json_string_value(json_array_get(value, 1));
    }
    return name && id ? set_class(out, id, name) : pg_fail(PG_EINPUT, "neither a name nor [id, name]");
}

static int class_of_entry(const char *key, const json_t *value, pg_classes *out)
{
    int64_t at = 0;
    if (json_is_integer(value)) { /* from names to numbers */
        at = json_integer_value(value);
        return at < 0 || at >= out->n ? pg_fail(PG_EINPUT, "its number is not in 0 to %d", out->n - 1)
                                      : set_class(&out->items[at], "", key);
    }
    return pg_parse_int(key, &at) != PG_OK || at < 0 || at >= out->n ? pg_fail(PG_EINPUT, "no number in 0 to %d", out->n - 1)
                                                                     : class_of(value, &out->items[at]);
}

static int read_json(const json_t *root, pg_classes *out)
{
    size_t n = json_is_array(root) ? json_array_size(root) : json_object_size(root), i;
    const char *key;
    json_t *value;
    if (n < 1 || n > CLASSES_MAX)
        return pg_fail(PG_EINPUT, "no list and no object of 1 to %d classes", CLASSES_MAX);
    int code = make_room(out, (int)n);
    json_array_foreach(root, i, value) if (code == PG_OK && (code = class_of(value, &out->items[i])))
        pg_fail_at(code, "entry %zu", i);
    json_object_foreach((json_t *)root, key, value) if (code == PG_OK && (code = class_of_entry(key, value, out)))
        pg_fail_at(code, "entry \"%s\"", key);
    return code;
}

static int parse(char *text, size_t size, pg_classes *out)
{
    const char *first = text + strspn(text, " \t\r\n");
    if (memchr(text, 0, size))
        return pg_fail(PG_EINPUT, "a zero byte is in it; a list of classes is text");
    if (*first != '[' && *first != '{')
        return read_lines(text, out);
    json_error_t error;
    json_t *root = NULL;
    int code = pg_json_load(text, size, &root, &error);
    if (code == PG_EDAMAGED)
        code = pg_fail(PG_EINPUT, "line %d: %s", error.line, error.text);
    if (code == PG_OK)
        code = read_json(root, out);
    json_decref(root);
    return code;
}

/* Ids name one output each. */
static int by_id(const void *a, const void *b)
{
    return strcmp((*(const pg_class *const *)a)->id, (*(const pg_class *const *)b)->id);
}

static int check_ids(const pg_classes *c)
{
    const pg_class **sorted = malloc((size_t)c->n * sizeof *sorted);
    int code = sorted ? PG_OK : pg_fail(PG_ENOMEM, "out of memory");
    for (int i = 0; sorted && i < c->n; i++)
        sorted[i] = &c->items[i];
    if (sorted)
        qsort(sorted, (size_t)c->n, sizeof *sorted, by_id);
    for (int i = 1; code == PG_OK && i < c->n; i++)
        if (*sorted[i]->id && strcmp(sorted[i]->id, sorted[i - 1]->id) == 0)
            code = pg_fail(PG_EINPUT, "the id %s is there twice", sorted[i]->id);
    free(sorted);
    return code;
}

static bool is_background(const pg_class *c) { return strcasecmp(c->name, "background") == 0; }

/* As many as outputs; leaves out the background before them. */
static int fit(pg_classes *c, int outputs)
{
    if (c->n == outputs + 1 && is_background(&c->items[0])) {
        free(c->items[0].name);
        free(c->items[0].id);
        memmove(c->items, c->items + 1, (size_t)outputs * sizeof *c->items);
        c->n = outputs;
    }
    if (c->n == outputs)
        return PG_OK;
    return pg_fail(PG_EINPUT, "%d classes, but the network has %d outputs; one class for each is right%s", c->n, outputs,
                   c->n == outputs + 1   ? ", and one more only where the first is `background`"
                   : c->n == outputs - 1 ? ", also one for an output of the background"
                                         : "");
}

int pg_classes_read(const char *path, int outputs, pg_classes *out)
{
    char *text = NULL;
    size_t size = 0;
    *out = (pg_classes){0};
    int code = pg_file_read(path, FILE_BYTES, &text, &size);
    if (code != PG_OK)
        return code;
    code = parse(text, size, out);
    if (code == PG_OK)
        code = check_ids(out);
    if (code == PG_OK)
        code = fit(out, outputs);
    free(text);
    if (code != PG_OK)
        pg_classes_release(out);
    return code != PG_OK ? pg_fail_at(code, "%s", path) : PG_OK;
}

/* ---- In weights files ---- */

char *pg_classes_text(const pg_classes *c)
{
    json_t *list = json_array();
    int failed = !list;
    for (int i = 0; !failed && i < c->n; i++)
        failed = json_array_append_new(list, *c->items[i].id ? json_pack("[ss]", c->items[i].id, c->items[i].name)
                                                             : json_string(c->items[i].name));
    char *text = failed ? NULL : pg_json_dump(list, JSON_COMPACT);
    json_decref(list);
    return text;
}

int pg_classes_parse(const char *text, int outputs, pg_classes *out)
{
    *out = (pg_classes){0};
    if (!text)
        return PG_OK;
    json_error_t error;
    json_t *root = NULL;
    int code = pg_json_load(text, strlen(text), &root, &error);
    if (code == PG_OK)
        code = json_is_array(root) && json_array_size(root) == (size_t)outputs ? read_json(root, out) : PG_EDAMAGED;
    json_decref(root);
    if (code == PG_OK || code == PG_ENOMEM)
        return code;
    pg_classes_release(out);
    return pg_fail(PG_EDAMAGED, "metadata 'class_names' is no list of %d classes", outputs);
}

void pg_classes_describe(const pg_classes *c, pg_buf *out)
{
    for (int i = 0; i < c->n; i++) {
        const pg_class *at = &c->items[i];
        if (i >= 2 && i < c->n - 1)
            continue;
        pg_buf_printf(out, i == 0 ? "%-12s " : "%s", i == 0 ? "class names" : i == c->n - 1 && i > 2 ? "; ...; " : "; ");
        pg_buf_printf(out, "%d ", i);
        pg_text_flat(at->name, " ", false, out);
        if (!*at->id || strcmp(at->id, at->name) == 0)
            continue;
        pg_buf_puts(out, " (");
        pg_text_flat(at->id, " ", false, out);
        pg_buf_puts(out, ")");
    }
    pg_buf_puts(out, c->n ? "\n" : "");
}

int pg_classes_of(const char *weights, pg_classes *out)
{
    pg_st_file *f = NULL;
    int64_t outputs = 0;
    *out = (pg_classes){0};
    if (strcmp(weights, "null") == 0)
        return PG_OK;
    int code = pg_st_open_header(weights, &f);
    const char *n = code == PG_OK ? pg_st_metadata(f, "classes") : NULL;
    if (n && pg_parse_int(n, &outputs) == PG_OK &&
        (code = pg_classes_parse(pg_st_metadata(f, "class_names"), (int)outputs, out)))
        pg_fail_at(code, "%s", weights);
    pg_st_close(f);
    return code;
}

int pg_classes_select(const pg_classes *from, const int *outputs, int n, pg_classes *out)
{
    *out = (pg_classes){0};
    int code = from->n ? make_room(out, n) : PG_OK;
    for (int i = 0; code == PG_OK && i < out->n; i++)
        code = set_class(&out->items[i], from->items[outputs[i]].id, from->items[outputs[i]].name);
    if (code != PG_OK)
        pg_classes_release(out);
    return code;
}

int pg_classes_of_dataset(const pg_dataset_info *data, pg_classes *out)
{
    int code = make_room(out, data->classes);
    for (int i = 0; code == PG_OK && i < data->classes; i++) {
        const char *name = data->class_names[i];
        bool id = wordnet_id(name) == strlen(name);
        const char *known = id ? pg_imagenette_name(name) : NULL;
        code = set_class(&out->items[i], id ? name : "", known ? known : name);
    }
    if (code != PG_OK)
        pg_classes_release(out);
    return code;
}

/* ---- The outputs of labels ---- */

/* Whether two names are one: letters of either case, '_' for a blank. */
static bool same_name(const char *a, const char *b, size_t n)
{
    size_t i = 0;
    for (; i < n && a[i]; i++) {
        int x = tolower((unsigned char)a[i]), y = tolower((unsigned char)b[i]);
        if ((x == '_' ? ' ' : x) != (y == '_' ? ' ' : y))
            return false;
    }
    return i == n && !a[i];
}

/* Whether it is one of several names with commas between them. */
static bool is_among(const char *name, const char *names)
{
    for (const char *at = names;; at++) {
        at += strspn(at, " ");
        size_t n = strcspn(at, ",");
        if (same_name(name, at, n))
            return true;
        at += n;
        if (!*at)
            return false;
    }
}

static bool fits(const pg_class *c, const char *name, int level)
{
    return level == 0   ? *c->id && strcmp(c->id, name) == 0
           : level == 1 ? same_name(name, c->name, strlen(c->name))
                        : is_among(name, c->name);
}

/* The one class of this id, else of exactly this name, else with this among its names. *out = -1: none. */
static int find_class(const pg_classes *c, const char *name, int *out)
{
    *out = -1;
    for (int level = 0; *out < 0 && level < 3; level++)
        for (int i = 0; i < c->n; i++) {
            if (!fits(&c->items[i], name, level))
                continue;
            if (*out >= 0)
                return pg_fail(PG_EINPUT, "\"%s\" is the name of the outputs %d and %d", name, *out, i);
            *out = i;
        }
    return PG_OK;
}

/* The output that a text of the user names. */
static int read_output(const pg_outputs_request *r, const char *text, int *out)
{
    int64_t number = 0;
    if (pg_parse_int(text, &number) == PG_OK) {
        *out = number >= 0 && number < r->outputs ? (int)number : -1;
        return *out >= 0 ? PG_OK : pg_fail(PG_EINPUT, "%s has the outputs 0 to %d, not %s", r->network, r->outputs - 1, text);
    }
    int code = find_class(r->classes, text, out);
    if (code == PG_OK && *out < 0)
        code =
            pg_fail(PG_EINPUT, r->classes->n ? "%s stores no class \"%s\"" : "%s stores no classes, so \"%s\" is none of them",
                    r->network, text);
    return code;
}

static int fail_count(const pg_outputs_request *r, int n)
{
    return pg_fail(PG_EINPUT, "%d outputs are given, %s has %d labels; right would be one for each", n, r->dataset,
                   r->labels->n);
}

static int read_list(const pg_outputs_request *r, int *out)
{
    char *copy = strdup(r->given), *rest = copy;
    int n = 0, code = copy ? PG_OK : pg_fail(PG_ENOMEM, "out of memory");
    for (char *word; code == PG_OK && (word = strsep(&rest, ", "));) {
        if (!*word)
            continue;
        int output;
        code = read_output(r, word, n < r->labels->n ? &out[n] : &output);
        n++;
    }
    free(copy);
    return code == PG_OK && n != r->labels->n ? fail_count(r, n) : code;
}

static int read_output_file(const pg_outputs_request *r, int *out)
{
    char *text = NULL, *rest;
    size_t size = 0;
    int n = 0, lines = 0, code = pg_file_read(r->given, FILE_BYTES, &text, &size);
    if (code != PG_OK)
        return code;
    if (memchr(text, 0, size))
        code = pg_fail(PG_EINPUT, "a zero byte is in it; a list of outputs is text");
    if (code == PG_OK)
        code = count_lines(text, &lines);
    if (code == PG_OK && lines != r->labels->n)
        code = fail_count(r, lines);
    rest = text;
    for (char *line; code == PG_OK && (line = next_line(&rest)); n++)
        if ((code = read_output(r, line, &out[n])))
            pg_fail_at(code, "line %d", n + 1);
    free(text);
    return code != PG_OK ? pg_fail_at(code, "%s", r->given) : PG_OK;
}

static int by_names(const pg_outputs_request *r, int *out)
{
    int code = PG_OK;
    for (int i = 0; code == PG_OK && i < r->labels->n; i++) {
        const pg_class *label = &r->labels->items[i];
        bool named = *label->id && strcmp(label->id, label->name) != 0;
        code = find_class(r->classes, *label->id ? label->id : label->name, &out[i]);
        if (code == PG_OK && out[i] < 0 && named)
            code = find_class(r->classes, label->name, &out[i]);
        if (code == PG_OK && out[i] < 0)
            code = pg_fail(PG_EINPUT, "no class of %s has the %s \"%s\"%s%s%s", r->network, *label->id ? "id" : "name",
                           *label->id ? label->id : label->name, named ? " or the name \"" : "", named ? label->name : "",
                           named ? "\"" : "");
        if (code == PG_EINPUT)
            code = pg_fail(code, "label %d of %s: %s; right would be the output of each label, %s", i, r->dataset,
                           pg_error_message(), r->how);
    }
    return code;
}

static int check_different(const pg_outputs_request *r, const int *out)
{
    int *label_of = malloc((size_t)r->outputs * sizeof *label_of), code = PG_OK;
    if (!label_of)
        return pg_fail(PG_ENOMEM, "out of memory");
    memset(label_of, -1, (size_t)r->outputs * sizeof *label_of);
    for (int i = 0; code == PG_OK && i < r->labels->n; i++) {
        if (label_of[out[i]] >= 0)
            code = pg_fail(PG_EINPUT, "the labels %d and %d of %s are both output %d of %s; right would be one output each",
                           label_of[out[i]], i, r->dataset, out[i], r->network);
        label_of[out[i]] = i;
    }
    free(label_of);
    return code;
}

int pg_outputs_find(const pg_outputs_request *r, int *out)
{
    bool named = !r->given || strcmp(r->given, "names") == 0, list = !named && !r->given[strspn(r->given, "0123456789, ")];
    if (r->labels->n > r->outputs)
        return pg_fail(PG_EINPUT, "%s has %d labels, %s only %d outputs", r->dataset, r->labels->n, r->network, r->outputs);
    if (named && !r->classes->n && r->labels->n != r->outputs)
        return pg_fail(PG_EINPUT,
                       "%s has %d outputs, %s %d labels, and the weights store no classes; right would be the output of each "
                       "label, %s, or an import with --classes FILE",
                       r->network, r->outputs, r->dataset, r->labels->n, r->how);
    int code = PG_OK;
    if (named && !r->classes->n)
        for (int i = 0; i < r->labels->n; i++)
            out[i] = i;
    else if (named)
        code = by_names(r, out);
    else
        code = list ? read_list(r, out) : read_output_file(r, out);
    return code == PG_OK ? check_different(r, out) : code;
}

bool pg_outputs_are_labels(const int *outputs, int labels, int n_outputs)
{
    bool same = labels == n_outputs;
    for (int i = 0; same && i < labels; i++)
        same = outputs[i] == i;
    return same;
}

void pg_outputs_complete(int *outputs, int n_labels, int n_outputs)
{
    int n = n_labels;
    for (int output = 0; output < n_outputs; output++) {
        bool label = false;
        for (int i = 0; i < n_labels && !label; i++)
            label = outputs[i] == output;
        if (!label)
            outputs[n++] = output;
    }
}

int pg_outputs_choose(const pg_outputs_request *r, bool labels_only, int **out, int *classes)
{
    int labels = r->labels->n, n = r->outputs;
    *out = malloc((size_t)(n > labels ? n : labels) * sizeof **out);
    int code = *out ? pg_outputs_find(r, *out) : pg_fail(PG_ENOMEM, "out of memory for %d outputs", n);
    if (code == PG_OK && !labels_only)
        pg_outputs_complete(*out, labels, n);
    if (code != PG_OK || pg_outputs_are_labels(*out, labels, n)) {
        free(*out);
        *out = NULL;
    }
    *classes = labels_only ? labels : n;
    return code;
}

void pg_outputs_text(const int *outputs, int n, pg_buf *text)
{
    for (int i = 0; i < n; i++)
        pg_buf_printf(text, "%s%d", i ? "," : "", outputs[i]);
}
