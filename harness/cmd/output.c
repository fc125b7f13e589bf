/* See output.h. */
#include "harness/cmd/output.h"

#include <errno.h>
#include <fcntl.h>
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
    return pg_fail(PG_EIO, "cannot write to %s", o->file != NULL ? o->file : "standard output");
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
