#include "models/import.h"

#include "models/classes.h"
#include "models/state_dict.h"
#include "models/torchscript.h"
#include "models/weights.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CANDIDATES_MAX = 64, LAYOUTS_MAX = 16, SHOWN_MAX = 12, PREFIX_MAX = 200 };

/* A place in the file where a network may be: a dictionary, the layout whose marks it has, and what stands before all its
 * names.
 */
typedef struct candidate {
    const pg_state_dict *dict;
    const pg_file_layout *layout;
    char prefix[PREFIX_MAX];
} candidate;

/* The network of a candidate. */
typedef struct match {
    candidate at;
    const pg_model *model;
    _Alignas(16) uint8_t config[PG_CONFIG_MAX];
    pg_buf derived; /* options that the shapes told */
    pg_parameters parameters;
    pg_geometry geometry;
    size_t fits;
} match;

static void match_release(match *m)
{
    pg_buf_release(&m->derived);
    pg_parameters_release(&m->parameters, NULL);
}

/* ---- Names ---- */

static bool ends_with(const char *text, const char *end)
{
    size_t n = strlen(text), m = strlen(end);
    return n >= m && strcmp(text + n - m, end) == 0;
}

/* The tensor of one of our names: itself, or an alias. */
static const pg_state_tensor *lookup(const candidate *c, const char *name)
{
    const char *const(*aliases)[2] = c->layout->aliases;
    char full[PREFIX_MAX + 128];
    snprintf(full, sizeof full, "%s%s", c->prefix, name);
    const pg_state_tensor *t = pg_state_find(c->dict, full);
    for (size_t i = 0; !t && aliases[i][0]; i++) {
        const char *at = strstr(name, aliases[i][0]);
        if (!at)
            continue;
        snprintf(full, sizeof full, "%s%.*s%s%s", c->prefix, (int)(at - name), name, aliases[i][1], at + strlen(aliases[i][0]));
        t = pg_state_find(c->dict, full);
    }
    return t;
}

static int shape_of(const void *of, const char *name, int64_t shape[PG_SHAPE_DIMS])
{
    _Static_assert((int)PG_SHAPE_DIMS == (int)PG_ST_MAX_DIM, "shapes of one size");
    const pg_state_tensor *t = lookup(of, name);
    if (t)
        memcpy(shape, t->shape, sizeof t->shape);
    return t ? t->rank : -1;
}

/* Whether a prefix is the one that was asked for, with or without its dot. */
static bool is_prefix(const char *asked, const char *prefix)
{
    size_t n = asked ? strlen(asked) : 0;
    return !asked || strcmp(asked, prefix) == 0 || (n && strncmp(asked, prefix, n) == 0 && strcmp(prefix + n, ".") == 0);
}

/* The layouts that are looked for, each once: that of the model asked for, or all. */
static size_t find_layouts(const char *model, const pg_file_layout *out[LAYOUTS_MAX])
{
    size_t n = 0;
    for (const pg_model *const *m = pg_models; *m && n < LAYOUTS_MAX; m++) {
        const pg_file_layout *layout = (*m)->hooks->layout;
        bool known = !layout || (model && strcmp(model, (*m)->module.name) != 0);
        for (size_t i = 0; !known && i < n; i++)
            known = out[i] == layout;
        if (!known)
            out[n++] = layout;
    }
    return n;
}

/* Where the marks of a layout stand behind one prefix; `asked`: that one only, or NULL. */
static size_t find_candidates(const pg_import_job *job, const pg_state_file *file, const char *key, const char *asked,
                              candidate out[CANDIDATES_MAX])
{
    const pg_file_layout *layouts[LAYOUTS_MAX];
    const pg_state_dict *d;
    size_t n = 0, n_layouts = find_layouts(job->model, layouts);
    for (size_t i = 0; (d = pg_state_at(file, i)); i++)
        for (size_t k = 0; k < d->n * n_layouts && n < CANDIDATES_MAX && (!key || strcmp(key, d->path) == 0); k++) {
            candidate *c = &out[n];
            *c = (candidate){.dict = d, .layout = layouts[k % n_layouts]};
            const char *name = d->tensors[k / n_layouts].name, *first = c->layout->marks[0];
            size_t prefix = ends_with(name, first) ? strlen(name) - strlen(first) : PREFIX_MAX;
            if (prefix >= PREFIX_MAX || (prefix && name[prefix - 1] != '.'))
                continue;
            snprintf(c->prefix, sizeof c->prefix, "%.*s", (int)prefix, name);
            n += is_prefix(asked, c->prefix) && lookup(c, c->layout->marks[1]) != NULL;
        }
    return n;
}

/* ---- Architecture and options ---- */

/* The one whose shapes these are. */
static const pg_model *recognise(const candidate *c)
{
    const pg_shapes shapes = {.of = c, .shape = shape_of};
    const pg_model *found = NULL;
    pg_buf pairs = PG_BUF_EMPTY;
    for (const pg_model *const *m = pg_models; *m && !found; m++)
        if ((*m)->hooks->layout == c->layout && (*m)->hooks->derive && (*m)->hooks->derive(&shapes, &pairs))
            found = *m;
    pg_buf_release(&pairs);
    if (!found)
        pg_fail(PG_EINPUT, "no architecture of this program has these shapes; `patchgauge list models` names them, and naming "
                           "one tells what differs; any other network comes as TorchScript, see `patchgauge help model`");
    return found;
}

bool pg_import_asked(const pg_import_job *job, const char *option)
{
    size_t n = strlen(option);
    for (size_t i = 0; i < job->n_pairs; i++)
        if (strncmp(job->pairs[i], option, n) == 0 && job->pairs[i][n] == '=')
            return true;
    return false;
}

static bool line_for(const pg_buf *lines, const char *option)
{
    size_t n = strlen(option);
    for (const char *at = lines->data; at; at = (at = strchr(at, '\n')) ? at + 1 : NULL)
        if (strncmp(at, option, n) == 0 && at[n] == '=')
            return true;
    return false;
}

/* What no tensor tells has to be said. */
static int check_asked(const pg_import_job *job, const pg_model *model)
{
    static const char *const needed[] = {"mean", "std", "band"};
    for (size_t i = 0; i < 3; i++)
        if (pg_option_find(model->module.options, needed[i]) && !pg_import_asked(job, needed[i]))
            return pg_fail(PG_EINPUT,
                           i < 2 ? "a file does not tell how its network wants pixels: --set %s=... is missing (torchvision's "
                                   "networks have mean=0.485,0.456,0.406 "
                                   "and std=0.229,0.224,0.225; pixels as they are, mean=0 and std=1)"
                                 : "a file does not tell the width of its bands: --set %s=... is missing",
                           needed[i]);
    return PG_OK;
}

/* Defaults, what the shapes tell, what was asked for. */
static int configure(const pg_import_job *job, match *m)
{
    const pg_shapes shapes = {.of = &m->at, .shape = shape_of};
    const char *pairs[64];
    size_t n = 0;
    if (m->model->hooks->derive)
        m->model->hooks->derive(&shapes, &m->derived);
    char *lines = strdup(m->derived.data), *rest = lines;
    if (!lines || m->derived.failed)
        return pg_fail(PG_ENOMEM, "out of memory");
    for (char *line; (line = strsep(&rest, "\n")) && n < 16;)
        if (*line)
            pairs[n++] = line;
    for (size_t i = 0; i < job->n_pairs && n < 64; i++)
        pairs[n++] = job->pairs[i];
    int code = pg_module_configure(&m->model->module, "model", pairs, n, m->config);
    free(lines);
    return code;
}

/* Resolves the architecture of a candidate and counts the tensors that fit. */
static int normalize(const pg_import_job *job, const candidate *c, match *m)
{
    const pg_shapes shapes = {.of = c, .shape = shape_of};
    *m = (match){.at = *c, .derived = PG_BUF_EMPTY};
    m->model = job->model ? pg_model_find(job->model) : recognise(c);
    if (!m->model)
        return PG_EINPUT;
    int code = configure(job, m);
    char head[128];
    snprintf(head, sizeof head, "%s.weight", c->layout->head);
    int64_t classes = pg_shape_size(&shapes, head, 0);
    if (code == PG_OK && (classes < 2 || classes > 100000))
        code = pg_fail(PG_EINPUT, "its classifier, %s, is not there or has no 2 to 100000 classes", head);
    if (code == PG_OK)
        code = m->model->geometry(m->config, job->input_height, job->input_width, (int)classes, &m->geometry);
    if (code == PG_OK)
        code = pg_model_trace(m->model, m->config, job->input_height, job->input_width, (int)classes, &m->parameters,
                              &m->geometry);
    for (size_t i = 0; code == PG_OK && i < m->parameters.n; i++) {
        const pg_state_tensor *t = lookup(c, m->parameters.items[i].name);
        m->fits += t && pg_parameter_has_shape(&m->parameters.items[i], t->rank, t->shape);
    }
    return code;
}

/* The options that choose each: "--key 'ema'", "--prefix 'module.'", or both where both are needed. */
static void name_choices(const candidate *c, size_t n, pg_buf *out)
{
    size_t alike = 0;
    for (size_t i = 0; i < n; i++)
        alike += c[i].dict == c[0].dict;
    for (size_t i = 0; i < n && i < SHOWN_MAX; i++) {
        pg_buf_puts(out, i ? "," : "");
        if (alike < n)
            pg_buf_printf(out, " --key '%s'", c[i].dict->path);
        if (alike > 1)
            pg_buf_printf(out, " --prefix '%s'", c[i].prefix);
    }
    pg_buf_puts(out, n > SHOWN_MAX ? ", ..." : "");
}

/* c[n] fit alike. */
static int ambiguous(const candidate *c, size_t n)
{
    pg_buf names = PG_BUF_EMPTY;
    name_choices(c, n, &names);
    int code = pg_fail(PG_EINPUT, "%zu networks of the file fit alike; choose one:%s", n, names.data);
    pg_buf_release(&names);
    return code;
}

/* Says what the file has in the place of a network. */
static int none_found(const pg_import_job *job, const pg_state_file *file)
{
    static const char script[] = "a network of another architecture comes as TorchScript, see `patchgauge help model`";
    candidate all[CANDIDATES_MAX];
    size_t n = find_candidates(job, file, NULL, NULL, all);
    const char *object = pg_state_object(file);
    const pg_state_beside *b = pg_state_beside_at(file, 0);
    for (size_t i = 0; b && !(b->object && b->tensors); b = pg_state_beside_at(file, ++i))
        ;
    if (object)
        return pg_fail(PG_EINPUT,
                       "it is an object of %s, perhaps a whole model, whose program is not in the file; right would be a file "
                       "that torch.save made of model.state_dict(); %s",
                       object, script);
    if (n && (job->key || job->prefix)) {
        pg_buf names = PG_BUF_EMPTY;
        for (size_t i = 0; i < n && i < SHOWN_MAX; i++)
            pg_buf_printf(&names, "%s --key '%s' --prefix '%s'", i ? "," : "", all[i].dict->path, all[i].prefix);
        pg_fail(PG_EINPUT, "no network is where --key or --prefix says; the file has:%s%s", names.data,
                n > SHOWN_MAX ? ", ..." : "");
        pg_buf_release(&names);
        return PG_EINPUT;
    }
    const pg_file_layout *layouts[LAYOUTS_MAX];
    size_t n_layouts = find_layouts(job->model, layouts);
    pg_buf marks = PG_BUF_EMPTY;
    for (size_t i = 0; i < n_layouts; i++)
        pg_buf_printf(&marks, "%s%s with %s", i ? ", or " : "", layouts[i]->marks[0], layouts[i]->marks[1]);
    pg_fail(PG_EINPUT, "no network is in it: tensors %s, behind any prefix, are looked for%s%s%s; %s", marks.data,
            b ? ", and what lies in an object of " : "", b ? b->what : "", b ? " is not read" : "", script);
    pg_buf_release(&marks);
    return PG_EINPUT;
}

/* A tensor of a candidate that only a function or class of others can make; NULL where there is none. */
static const pg_state_tensor *made_elsewhere(const candidate *c)
{
    size_t n = strlen(c->prefix);
    for (size_t i = 0; i < c->dict->n; i++)
        if (c->dict->tensors[i].made_by && strncmp(c->dict->tensors[i].name, c->prefix, n) == 0)
            return &c->dict->tensors[i];
    return NULL;
}

static int fail_made_elsewhere(const pg_state_tensor *t)
{
    return pg_fail(PG_EUNSUPPORTED, "tensor '%s' is given as %s, which is not read here; nothing of it was run", t->name,
                   t->made_by);
}

/* The network that fits best. */
static int choose(const pg_import_job *job, const pg_state_file *file, match *best)
{
    candidate candidates[CANDIDATES_MAX], tied[CANDIDATES_MAX];
    size_t n = find_candidates(job, file, job->key, job->prefix, candidates), n_tied = 0;
    int code = n ? PG_EINPUT : none_found(job, file);
    for (size_t i = 0; i < n && code != PG_ENOMEM; i++) {
        match other;
        int failed = normalize(job, &candidates[i], &other);
        bool better = i == 0 || (!failed && (code != PG_OK || other.fits > best->fits));
        if (better)
            n_tied = 0;
        if (better || (!failed && other.fits == best->fits))
            tied[n_tied++] = candidates[i];
        if (!better) {
            match_release(&other);
            continue;
        }
        match_release(best);
        *best = other;
        code = failed;
    }
    if (n && code != PG_OK && code != PG_ENOMEM && made_elsewhere(&best->at))
        code = fail_made_elsewhere(made_elsewhere(&best->at));
    if (code == PG_OK && n_tied > 1)
        code = ambiguous(tied, n_tied);
    return code != PG_OK ? pg_fail_at(code, "%s", job->from) : PG_OK;
}

/* ---- The report ---- */

static void shape_text(int rank, const int64_t *shape, pg_buf *out)
{
    for (int i = 0; i < rank; i++)
        pg_buf_printf(out, "%s%lld", i ? "x" : " ", (long long)shape[i]);
    if (rank == 0)
        pg_buf_puts(out, " scalar");
}

static void report_options(const pg_import_job *job, const match *m, pg_buf *out)
{
    for (const pg_option *row = m->model->module.options; row->name; row++) {
        pg_buf_printf(out, "  %s=", row->name);
        pg_option_format(row, m->config, out);
        pg_buf_printf(out, "  (%s)\n",
                      pg_import_asked(job, row->name)    ? "as asked"
                      : line_for(&m->derived, row->name) ? "from the shapes"
                                                         : "default: the file does not tell");
    }
}

/* One entry of a list that shows its first. */
static void list(pg_buf *out, size_t n, const char *title, const char *name)
{
    if (n <= SHOWN_MAX)
        pg_buf_printf(out, "%-12s %s", n == 1 ? title : "", n == SHOWN_MAX ? "..." : name);
}

static size_t report_missing(const match *m, pg_buf *out)
{
    size_t n = 0;
    for (size_t i = 0; i < m->parameters.n; i++) {
        const pg_parameter *p = &m->parameters.items[i];
        const pg_state_tensor *t = lookup(&m->at, p->name);
        if (t && pg_parameter_has_shape(p, t->rank, t->shape))
            continue;
        list(out, ++n, "missing", p->name);
        if (n < SHOWN_MAX) {
            shape_text(p->rank, p->shape, out);
            pg_buf_puts(out, t ? "; the file has" : "");
            if (t && t->made_by)
                pg_buf_printf(out, " %s", t->made_by);
            else if (t)
                shape_text(t->rank, t->shape, out);
        }
        pg_buf_puts(out, n <= SHOWN_MAX ? "\n" : "");
    }
    return n;
}

/* Whether a tensor of the dictionary is of another network of it, where the user has chosen one. */
static bool is_of_another(const pg_import_job *job, const match *m, const candidate *all, size_t n, const char *name)
{
    size_t own = strlen(m->at.prefix);
    bool other = strncmp(name, m->at.prefix, own) != 0;
    for (size_t i = 0; i < n && !other; i++) {
        size_t length = strlen(all[i].prefix);
        other = all[i].dict == m->at.dict && length > own && strncmp(name, all[i].prefix, length) == 0;
    }
    return job->prefix && other;
}

/* Tensors of the dictionary that the network does not use. `counted`: those that only count batches; `others`: of other
 * networks. */
static size_t report_rest(const pg_import_job *job, const pg_state_file *file, const match *m, size_t *counted, size_t *others,
                          pg_buf *out)
{
    candidate all[CANDIDATES_MAX];
    size_t n = 0, n_all = find_candidates(job, file, NULL, NULL, all);
    *counted = *others = 0;
    for (size_t i = 0; i < m->at.dict->n; i++) {
        const pg_state_tensor *t = &m->at.dict->tensors[i];
        bool used = false;
        for (size_t k = 0; !used && k < m->parameters.n; k++)
            used = lookup(&m->at, m->parameters.items[k].name) == t;
        bool other = !used && is_of_another(job, m, all, n_all, t->name),
             counter = !other && ends_with(t->name, ".num_batches_tracked");
        *others += other;
        *counted += !used && counter;
        if (used || counter || other)
            continue;
        list(out, ++n, "left over", t->name);
        if (n < SHOWN_MAX && t->made_by)
            pg_buf_printf(out, " given as %s", t->made_by);
        else if (n < SHOWN_MAX)
            shape_text(t->rank, t->shape, out);
        pg_buf_puts(out, n <= SHOWN_MAX ? "\n" : "");
    }
    return n;
}

/* What else is in the file, and names of classes and functions, of which none was run. */
static void report_beside(const pg_state_file *file, const match *m, pg_buf *out)
{
    const pg_state_beside *b;
    size_t n = 0, length = 0;
    for (size_t i = 0; (b = pg_state_beside_at(file, i)); i++) {
        length = strlen(b->path);
        if (strncmp(m->at.dict->path, b->path, length) == 0 && (m->at.dict->path[length] == '.' || !m->at.dict->path[length]))
            continue; /* the way to the network */
        list(out, ++n, "beside", b->path);
        if (n < SHOWN_MAX)
            pg_buf_printf(out, ", %s", b->what);
        pg_buf_puts(out, n <= SHOWN_MAX ? "\n" : "");
    }
    const char *name = pg_state_foreign(file, 0);
    for (size_t i = 0; name && i < SHOWN_MAX; name = pg_state_foreign(file, ++i))
        pg_buf_printf(out, "%s%s", i ? ", " : "not run      ", name);
    if (pg_state_foreign(file, 0))
        pg_buf_puts(out, name ? ", ...\n" : "\n");
}

/* The first tensor of the network that only a function or class of others can make. */
static const pg_state_tensor *needed_elsewhere(const match *m)
{
    for (size_t i = 0; i < m->parameters.n; i++) {
        const pg_state_tensor *t = lookup(&m->at, m->parameters.items[i].name);
        if (t && t->made_by)
            return t;
    }
    return NULL;
}

/* Whether one tensor alone does not fit, since images of training had another size. */
static bool only_size_differs(const match *m, size_t missing)
{
    const pg_state_tensor *t = missing == 1 && m->at.layout->sized ? lookup(&m->at, m->at.layout->sized) : NULL;
    for (size_t i = 0; t && i < m->parameters.n; i++)
        if (strcmp(m->parameters.items[i].name, m->at.layout->sized) == 0)
            return !pg_parameter_has_shape(&m->parameters.items[i], t->rank, t->shape);
    return false;
}

static int report(const pg_import_job *job, const pg_state_file *file, const match *m, pg_buf *out)
{
    size_t counted = 0, others = 0;
    pg_buf_printf(out, "%-12s %s (%s), sha256 %s\n", "file", job->from, pg_state_kind(file), pg_state_hash(file));
    pg_buf_printf(out, "%-12s %s%s%s%s\n", "dictionary", *m->at.dict->path ? m->at.dict->path : "the file's own",
                  *m->at.prefix ? ", names behind '" : "", m->at.prefix, *m->at.prefix ? "'" : "");
    pg_buf_printf(out, "%-12s %s\n", "model", m->model->module.name);
    report_options(job, m, out);
    pg_buf_printf(out, "%-12s 3 x %d x %d pixels, %d classes\n", "input", m->geometry.input_height, m->geometry.input_width,
                  m->geometry.classes);
    pg_buf_printf(out, "%-12s %zu of %zu tensors\n", "fits", m->fits, m->parameters.n);
    size_t missing = report_missing(m, out), rest = report_rest(job, file, m, &counted, &others, out);
    if (counted)
        pg_buf_printf(out, "%-12s %zu num_batches_tracked\n", "not needed", counted);
    if (others)
        pg_buf_printf(out, "%-12s %zu tensors without the prefix\n", "not chosen", others);
    report_beside(file, m, out);
    if (needed_elsewhere(m))
        return pg_fail_at(fail_made_elsewhere(needed_elsewhere(m)), "%s", job->from);
    if (only_size_differs(m, missing))
        return pg_fail(PG_EINPUT, "%s: %s is of images of another size than %dx%d: right would be the --input of its training",
                       job->from, m->at.layout->sized, job->input_height, job->input_width);
    if (missing)
        return pg_fail(
            PG_EINPUT,
            "%s: %zu of the %zu tensors of %s are missing or have another shape; a network of another architecture comes as "
            "TorchScript, see `patchgauge help model`",
            job->from, missing, m->parameters.n, m->model->module.name);
    if (rest && !job->ignore_rest)
        return pg_fail(
            PG_EINPUT,
            "%s: %zu tensors are left over, so that the network may be another one; --ignore-rest imports it all the same",
            job->from, rest);
    return PG_OK;
}

/* ---- Writing ---- */

/* *new* bytes in out->data */
static int read_one(pg_state_file *file, const match *m, const pg_parameter *p, bool half, pg_st_tensor *out)
{
    size_t count = (size_t)pg_parameter_elements(p);
    float *values = malloc(count * sizeof *values);
    *out = pg_weights_tensor(p, p->name, values);
    if (!values)
        return pg_fail(PG_ENOMEM, "out of memory");
    int code = pg_state_read(file, lookup(&m->at, p->name), values, count);
    for (size_t i = 0; code == PG_OK && p->kind == PG_PARAMETER_VAR && i < count; i++)
        if (values[i] < 0)
            code = pg_fail(PG_EDAMAGED, "tensor '%s' holds a variance below 0", p->name);
    return code == PG_OK && half ? pg_weights_to_half(out) : code;
}

int pg_import_classes(const pg_import_job *job, int outputs, char **text, pg_buf *report)
{
    pg_classes classes;
    *text = NULL;
    int code = pg_classes_read(job->classes, outputs, &classes);
    if (code != PG_OK)
        return code;
    pg_classes_describe(&classes, report);
    *text = pg_classes_text(&classes);
    pg_classes_release(&classes);
    return *text ? PG_OK : pg_fail(PG_ENOMEM, "out of memory");
}

/* The command without paths, so that equal imports are equal bytes. */
static void command_text(const pg_import_job *job, const match *m, const char *base, pg_buf *out)
{
    pg_buf_printf(out, "patchgauge model import %s %s --input %dx%d", m->model->module.name, base, job->input_height,
                  job->input_width);
    pg_options_line(m->model->module.options, m->config, " --set ", "", false, out);
    if (*m->at.dict->path)
        pg_buf_printf(out, " --key %s", m->at.dict->path);
    if (job->prefix)
        pg_buf_printf(out, " --prefix '%s'", m->at.prefix);
    if (job->classes)
        pg_buf_printf(out, " --classes %s", basename(job->classes));
    pg_buf_printf(out, "%s%s", job->ignore_rest ? " --ignore-rest" : "", job->half ? " --half" : "");
}

static int write_weights(const pg_import_job *job, pg_state_file *file, const match *m, const char *class_names)
{
    const char *base = basename(job->from);
    size_t n = m->parameters.n;
    pg_st_tensor *tensors = calloc(n + 1, sizeof *tensors);
    pg_buf command = PG_BUF_EMPTY, source = PG_BUF_EMPTY;
    command_text(job, m, base, &command);
    pg_buf_printf(&source, "%s sha256 %s", base, pg_state_hash(file));
    int code = tensors ? PG_OK : pg_fail(PG_ENOMEM, "out of memory");
    for (size_t i = 0; code == PG_OK && i < n; i++)
        if ((code = read_one(file, m, &m->parameters.items[i], job->half, &tensors[i])))
            pg_fail_at(code, "%s", job->from);
    if (code == PG_OK && !(code = pg_buf_check(&command)) && !(code = pg_buf_check(&source)) &&
        !(code = pg_weights_check_output(job->out, job->force, command.data)))
        code = pg_weights_write(job->out, tensors, n,
                                &(pg_weights_record){.model = m->model,
                                                     .config = m->config,
                                                     .input_height = job->input_height,
                                                     .input_width = job->input_width,
                                                     .classes = m->geometry.classes,
                                                     .class_names = class_names,
                                                     .command = command.data,
                                                     .source = source.data});
    for (size_t i = 0; tensors && i < n; i++)
        free((void *)tensors[i].data);
    free(tensors);
    pg_buf_release(&command);
    pg_buf_release(&source);
    return code;
}

int pg_import(const pg_import_job *job, pg_buf *out)
{
    pg_state_file *file = NULL;
    match best = {0};
    char *class_names = NULL;
    const pg_model *asked = job->model ? pg_model_find(job->model) : NULL;
    if (job->model && !asked)
        return PG_EINPUT;
    if (asked && asked->hooks->opaque)
        return pg_script_import(job, out);
    if (asked && !asked->hooks->layout)
        return pg_fail(PG_EINPUT, "model %s has no weights that files of other programs hold", asked->module.name);
    int code = pg_state_open(job->from, &file);
    if (code != PG_OK)
        return code;
    code = choose(job, file, &best);
    if (code == PG_OK)
        code = report(job, file, &best, out);
    if (code == PG_OK)
        code = check_asked(job, best.model);
    if (code == PG_OK && job->classes)
        code = pg_import_classes(job, best.geometry.classes, &class_names, out);
    if (code == PG_OK)
        code = write_weights(job, file, &best, class_names);
    free(class_names);
    match_release(&best);
    pg_state_close(file);
    return code != PG_OK ? code : pg_buf_check(out);
}
