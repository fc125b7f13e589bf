#include "harness/cmd/output.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int pg_output_begin(pg_output *o, const char *const *inputs)
{
    if (o->file == NULL)
        return PG_OK;
    int code = pg_output_check(o->file, o->force, inputs);
    if (code == PG_OK)
        code = pg_file_begin(&o->writer, o->file);
    if (code != PG_OK)
        return code;
    fflush(stdout);
    o->stdout_fd = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
    if (o->stdout_fd >= 0 && dup2(fileno(o->writer.stream), STDOUT_FILENO) >= 0) {
        o->open = true;
        return PG_OK;
    }
    code = pg_fail(PG_EIO, "%s: cannot be written in place of standard output: %s", o->file, strerror(errno));
    if (o->stdout_fd >= 0)
        close(o->stdout_fd);
    pg_file_abort(&o->writer);
    return code;
}

static int fail_write(const pg_output *o)
{
    return pg_fail(PG_EIO, "%s cannot be written: %s", o->file != NULL ? o->file : "standard output",
                   strerror(errno ? errno : EIO));
}

int pg_output_text(const pg_output *o, const pg_buf *text)
{
    int code = pg_buf_check(text);
    return code != PG_OK ? code : fwrite(text->data, 1, text->size, stdout) == text->size ? PG_OK : fail_write(o);
}

int pg_output_rows(const pg_output *o, pg_tabular *rows)
{
    pg_buf text = PG_BUF_EMPTY;
    pg_tabular_flush(rows, &text);
    int code = pg_output_text(o, &text);
    pg_buf_release(&text);
    return code;
}

int pg_output_table(const pg_output *o, pg_tabular *table)
{
    pg_buf text = PG_BUF_EMPTY;
    int code = pg_tabular_print(table, &text);
    if (code == PG_OK)
        code = pg_output_text(o, &text);
    pg_buf_release(&text);
    return code;
}

/* ---- Rows that nest ---- */

/* Sets each key of `row` and of the objects in it, as far as they have one value, in `flat`. */
static bool spread(json_t *row, json_t *flat)
{
    const char *key;
    json_t *value;
    bool good = true;
    json_object_foreach(row, key, value)
    {
        if (json_is_object(value))
            good &= spread(value, flat);
        else if (!json_is_array(value))
            good &= json_object_set(flat, key, value) == 0;
    }
    return good;
}

static void add_value(const json_t *value, pg_tabular *g)
{
    if (json_is_string(value))
        pg_tabular_words(g, json_string_value(value));
    else if (json_is_integer(value))
        pg_tabular_integer(g, json_integer_value(value));
    else if (json_is_real(value))
        pg_tabular_real(g, json_real_value(value));
    else if (json_is_boolean(value))
        pg_tabular_bool(g, json_is_true(value));
    else
        pg_tabular_words(g, NULL);
}

static int print_csv(const pg_output *o, json_t *rows)
{
    json_t *heads = json_object(), *flat = json_array(), *row;
    size_t i;
    const char *key;
    json_t *value;
    bool good = heads && flat;
    json_array_foreach(rows, i, row)
    {
        json_t *one = json_object();
        good = good && one && spread(row, one) && json_object_update_missing(heads, one) == 0;
        good = json_array_append_new(flat, one) == 0 && good;
    }
    pg_tabular g;
    pg_tabular_init(&g, PG_TABLE_CSV, good && json_object_size(heads) > 0 ? json_object_size(heads) : 1, 1);
    json_object_foreach(heads, key, value) pg_tabular_words(&g, key);
    if (json_object_size(heads) == 0)
        pg_tabular_words(&g, "");
    json_array_foreach(flat, i, row) json_object_foreach(heads, key, value) add_value(json_object_get(row, key), &g);
    int code = good ? pg_output_table(o, &g) : pg_fail(PG_ENOMEM, "out of memory for rows");
    pg_tabular_release(&g);
    json_decref(heads);
    json_decref(flat);
    return code;
}

/* "VALUE\n" in one line. */
static int print_value(const json_t *value, const char *before, const char *behind)
{
    char *text = pg_json_dump(value, JSON_REAL_PRECISION(17));
    if (text == NULL)
        return pg_fail(PG_ENOMEM, "out of memory for rows");
    printf("%s%s%s", before, text, behind);
    free(text);
    return PG_OK;
}

int pg_output_json(const pg_output *o, const char *form, json_t *rows)
{
    int code = rows != NULL ? PG_OK : pg_fail(PG_ENOMEM, "out of memory for rows");
    size_t i, n = json_array_size(rows);
    json_t *row;
    bool lines = o->format == PG_TABLE_JSON_LINES;
    if (code == PG_OK && o->format == PG_TABLE_CSV)
        code = print_csv(o, rows);
    else if (code == PG_OK) {
        if (!lines)
            printf("{\"form\": \"%s\", \"version\": 1, \"rows\": [", form);
        json_array_foreach(rows, i, row) if (code == PG_OK) code = print_value(row, lines ? "" : "\n",
                                                                               lines       ? "\n"
                                                                               : i + 1 < n ? ","
                                                                                           : "\n");
        if (!lines)
            printf("]}\n");
    }
    json_decref(rows);
    return code;
}

int pg_output_end(pg_output *o, int code)
{
    if ((fflush(stdout) != 0 || ferror(stdout)) && code == PG_OK)
        code = fail_write(o);
    if (!o->open)
        return code;
    o->open = false;
    clearerr(stdout);
    bool back = dup2(o->stdout_fd, STDOUT_FILENO) >= 0;
    close(o->stdout_fd);
    if (code == PG_OK && !back)
        code = pg_fail(PG_EIO, "standard output cannot be used again: %s", strerror(errno));
    if (code == PG_OK)
        code = o->force ? pg_file_commit(&o->writer) : pg_file_commit_new(&o->writer);
    pg_file_abort(&o->writer);
    return code;
}
