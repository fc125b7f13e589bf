/* The gnuplot driver: from the data of a figure to its files. See figure.h. */
#include "harness/base/file.h"
#include "harness/base/folder.h"
#include "harness/base/log.h"
#include "harness/base/option.h"
#include "harness/base/text.h"
#include "plots/figure.h"
#include "plots/fonts.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern const char pg_script_common[];

enum { CANNOT_START = 127, SAID_MAX = 600, GNUPLOT_SECONDS = 300, PICTURE_MAX = 1 << 28 };

/* The child: gnuplot in `folder`, its messages into `out`, without anything of the user's that would change the picture. */
static void exec_gnuplot(const char *folder, const char *script, int out)
{
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (chdir(folder) != 0 || null < 0 || dup2(null, 0) < 0 || dup2(out, 1) < 0 || dup2(out, 2) < 0)
        _exit(1);
    unsetenv("GNUTERM");
    unsetenv("GNUPLOT_LIB");
    setenv("LC_ALL", "C.UTF-8", 1);
    execlp("gnuplot", "gnuplot", "-d", script, (char *)NULL);
    _exit(errno == ENOENT ? CANNOT_START : 1);
}

/* Seconds that gnuplot has for a figure. */
static double patience(void)
{
    double seconds;
    const char *text = getenv("PATCHGAUGE_GNUPLOT_SECONDS");
    return text && pg_parse_double(text, &seconds) == PG_OK && seconds > 0 && seconds < 1e6 ? seconds : GNUPLOT_SECONDS;
}

static double now_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

/* Reads all that gnuplot says, keeps the beginning. False where it has not ended after so long. */
static bool listen_to(int in, double seconds, char said[SAID_MAX])
{
    size_t size = 0;
    char piece[512];
    bool ended = true;
    for (double end = now_s() + seconds;;) {
        double left = end - now_s();
        struct pollfd ready = {.fd = in, .events = POLLIN};
        int polled = left > 0 ? poll(&ready, 1, (int)(left * 1000) + 1) : 0;
        if (polled == 0) {
            ended = false;
            break;
        }
        if (polled < 0 && errno == EINTR)
            continue;
        ssize_t n = read(in, piece, sizeof piece);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        size_t take = (size_t)n < SAID_MAX - 1 - size ? (size_t)n : SAID_MAX - 1 - size;
        memcpy(said + size, piece, take);
        size += take;
    }
    said[size] = '\0';
    for (char *c = said; *c != '\0'; c++) /* one line */
        *c = strchr("\n\t\f\r", *c) ? ' ' : *c;
    pg_text_clean(said);
    return ended;
}

int pg_gnuplot_run(const char *folder, const char *script)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0)
        return pg_fail(PG_EIO, "cannot make a pipe to gnuplot: %s", strerror(errno));
    pid_t child = fork();
    if (child < 0) {
        close(ends[0]);
        close(ends[1]);
        return pg_fail(PG_EIO, "cannot start gnuplot: %s", strerror(errno));
    }
    if (child == 0)
        exec_gnuplot(folder, script, ends[1]);
    close(ends[1]);
    char said[SAID_MAX];
    double seconds = patience();
    bool ended = listen_to(ends[0], seconds, said);
    close(ends[0]);
    if (!ended)
        kill(child, SIGKILL);
    int status = 0;
    while (waitpid(child, &status, 0) < 0 && errno == EINTR)
        continue;
    if (!ended)
        return pg_fail(PG_EIO, "gnuplot did not end within %.0f s on %s/%s; PATCHGAUGE_GNUPLOT_SECONDS=N gives it N seconds",
                       seconds, folder, script);
    if (WIFEXITED(status) && WEXITSTATUS(status) == CANNOT_START)
        return pg_fail(PG_EMISSING, "gnuplot is not installed; on Debian: apt-get install gnuplot-nox");
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        return pg_fail(PG_EIO, "gnuplot failed on %s/%s: %s", folder, script, said);
    return PG_OK;
}

/* The files of a figure behind its name: how a picture ends, and whether only LaTeX asks for it. */
static const struct {
    const char *end, *last;
    bool tex;
} files[] = {{".tsv", NULL, false},    {".gp", NULL, false},        {".svg", "</svg>", false},       {".png", "IEND", false},
             {".pdf", "%%EOF", false}, {"-tex.pdf", "%%EOF", true}, {"-tex.tex", "\\endgroup", true}};
enum { ENDS = sizeof files / sizeof *files, SCRIPT_MAX = 1 << 24 };

static int write_beside(const char *folder, const char *name, const char *end, const pg_buf *text)
{
    pg_buf path;
    pg_buf_init(&path);
    pg_buf_printf(&path, "%s/%s.%s", folder, name, end);
    int code = pg_buf_check(&path);
    if (code == PG_OK)
        code = pg_file_write(path.data, text->data, text->size);
    pg_buf_release(&path);
    return code;
}

/* Whether a picture is whole: gnuplot does not tell of writes that fail. */
static int check_picture(const char *path, const char *last)
{
    enum { END = 64 };
    char end[END];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 && lseek(fd, -END, SEEK_END) >= 0 ? read(fd, end, END) : -1;
    if (fd >= 0)
        close(fd);
    return n == END && memmem(end, END, last, strlen(last))
               ? PG_OK
               : pg_fail(PG_EIO, "gnuplot did not finish %s: the disk may be full", path);
}

/* Takes out of a PDF when it was made: the same data give the same bytes. The blanks keep all offsets. */
static int undate(const char *path)
{
    static const char key[] = "/CreationDate (D:";
    char *data;
    size_t size;
    int code = pg_file_read(path, PICTURE_MAX, &data, &size);
    if (code != PG_OK)
        return code;
    char *at = memmem(data, size, key, sizeof key - 1), *end = at ? memchr(at, ')', size - (size_t)(at - data)) : NULL;
    if (end && end - at < 64) {
        memset(at, ' ', (size_t)(end - at) + 1);
        code = pg_file_write(path, data, size);
    }
    free(data);
    return code;
}

/* LaTeX finds the picture beside the text: its path loses the scratch folder. */
static int unplace(const char *path, const char *scratch)
{
    char *data;
    size_t size, length = strlen(scratch) + 2;
    pg_buf place = PG_BUF_EMPTY, out = PG_BUF_EMPTY;
    int code = pg_file_read(path, PICTURE_MAX, &data, &size);
    if (code != PG_OK)
        return code;
    pg_buf_printf(&place, "{%s/", scratch);
    code = pg_buf_check(&place);
    for (const char *at = data, *end; code == PG_OK && at < data + size; at = end) {
        const char *found = memmem(at, size - (size_t)(at - data), place.data, length);
        end = found != NULL ? found + length : data + size;
        pg_buf_add(&out, at, (size_t)((found != NULL ? found + 1 : end) - at));
    }
    if (code == PG_OK)
        code = pg_buf_check(&out);
    if (code == PG_OK)
        code = pg_file_write(path, out.data, out.size);
    pg_buf_release(&place);
    pg_buf_release(&out);
    free(data);
    return code;
}

/* Makes FROM/NAMEEND durable and moves it into a folder. */
static int move_into(const char *folder, const char *from, const char *name, const char *end)
{
    char *old = NULL, *new = NULL;
    if (asprintf(&old, "%s/%s%s", from, name, end) < 0 || asprintf(&new, "%s/%s%s", folder, name, end) < 0) {
        free(old);
        return pg_fail(PG_ENOMEM, "out of memory");
    }
    char *linked = realpath(new, NULL); /* a link is followed */
    int fd = open(old, O_RDONLY | O_CLOEXEC), code = PG_OK;
    if (fd < 0 || fsync(fd) != 0 || rename(old, linked ? linked : new) != 0)
        code = pg_fail(PG_EIO, "%s: cannot be written: %s", new, strerror(errno));
    free(linked);
    if (fd >= 0)
        close(fd);
    free(old);
    free(new);
    return code;
}

/* A folder, or something that can become one. */
static int check_folder(const char *folder)
{
    struct stat found;
    if (folder[0] == '\0')
        return pg_fail(PG_EINPUT, "the folder for figures has an empty name; '.' is the current folder");
    bool there = stat(folder, &found) == 0;
    if (there ? !S_ISDIR(found.st_mode) : errno == ENOTDIR)
        return pg_fail(PG_EINPUT, "figures go into a folder, and '%s' is not one: a file of this name, or above it, exists",
                       folder);
    return pg_folder_check(folder);
}

int pg_figure_check(const char *folder)
{
    int code = check_folder(folder);
    return code == PG_OK ? pg_gnuplot_run("/", "/dev/null") : code;
}

/* gnuplot stays in `folder`, where other files of the figure may be; what it draws goes to `scratch`, a folder in it. */
static int draw(const char *name, const char *folder, const char *scratch, bool tex)
{
    const char *below = strrchr(scratch, '/') + 1;
    pg_buf text, path;
    pg_buf_init(&text);
    pg_buf_init(&path);
    pg_buf_printf(&text, "beside = \"%s/\"\nload beside . \"%s.gp\"\n", below, name);
    pg_buf_printf(&path, "%s/draw.gp", below);
    int code = pg_buf_check(&text);
    if (code == PG_OK)
        code = pg_buf_check(&path);
    if (code == PG_OK)
        code = write_beside(scratch, "draw", "gp", &text);
    if (code == PG_OK)
        code = pg_gnuplot_run(folder, path.data);
    for (size_t i = 0; code == PG_OK && i < ENDS; i++) {
        pg_buf_clear(&path);
        pg_buf_printf(&path, "%s/%s%s", scratch, name, files[i].end);
        if (files[i].last == NULL || (files[i].tex && !tex))
            continue;
        code = pg_buf_check(&path);
        if (code == PG_OK)
            code = check_picture(path.data, files[i].last);
        if (code == PG_OK && strcmp(files[i].last, "%%EOF") == 0)
            code = undate(path.data);
        if (code == PG_OK && strcmp(files[i].end, "-tex.tex") == 0)
            code = unplace(path.data, below);
    }
    pg_buf_release(&path);
    pg_buf_release(&text);
    return code;
}

/* The data as gnuplot can draw them here. */
static int write_drawable(const char *folder, const char *name, const pg_buf *data)
{
    pg_buf text, missing;
    pg_buf_init(&text);
    pg_buf_init(&missing);
    pg_buf_add(&text, data->data, data->size);
    int code = pg_fonts_replace(&text, &missing);
    if (code == PG_OK && missing.size > 0)
        pg_warn("figure %s: no font here has %s; they are drawn as \"?\". On Debian, apt-get install fonts-noto-cjk brings "
                "Chinese, Japanese and "
                "Korean",
                name, missing.data);
    if (code == PG_OK)
        code = write_beside(folder, name, "tsv", &text);
    pg_buf_release(&text);
    pg_buf_release(&missing);
    return code;
}

/* The first words of a script, by which a figure of before is known. */
static int begin_script(const char *name, pg_buf *out)
{
    pg_buf_printf(out, "# Draws %s.svg, %s.png and %s.pdf from %s.tsv: ", name, name, name, name);
    return pg_buf_check(out);
}

static bool is_ours(const char *path, const pg_buf *begin)
{
    char *script = NULL;
    size_t size = 0;
    bool ours = pg_file_read(path, SCRIPT_MAX, &script, &size) == PG_OK && size > begin->size &&
                memcmp(script, begin->data, begin->size) == 0;
    free(script);
    return ours;
}

int pg_figure_check_files(const char *name, const char *folder, bool force, const char *const *inputs)
{
    pg_buf path, begin;
    pg_buf_init(&path);
    pg_buf_init(&begin);
    pg_buf_printf(&path, "%s/%s.gp", folder, name);
    int code = begin_script(name, &begin);
    if (code == PG_OK)
        code = pg_buf_check(&path);
    bool replace = code == PG_OK && (force || is_ours(path.data, &begin));
    for (size_t i = 0; code == PG_OK && i < ENDS; i++) {
        pg_buf_clear(&path);
        pg_buf_printf(&path, "%s/%s%s", folder, name, files[i].end);
        code = pg_buf_check(&path);
        if (code == PG_OK)
            code = pg_output_check(path.data, replace, inputs);
    }
    pg_buf_release(&path);
    pg_buf_release(&begin);
    return code;
}

/* Data, script and pictures. Those of an earlier figure are replaced when all are there. */
static int save_files(const char *name, const pg_figure_data *parts, const pg_buf *script, const char *folder)
{
    pg_folder scratch;
    bool tex = parts->style != NULL && parts->style->tex;
    int code = pg_folder_make(folder, name, "plot", &scratch);
    if (code != PG_OK)
        return code;
    code = write_drawable(scratch.path, name, &parts->data);
    if (code == PG_OK)
        code = write_beside(scratch.path, name, "gp", script);
    if (code == PG_OK)
        code = draw(name, folder, scratch.path, tex);
    if (code == PG_OK)
        code = write_beside(scratch.path, name, "tsv", &parts->data);
    for (size_t i = 0; code == PG_OK && i < ENDS; i++)
        if (tex || !files[i].tex)
            code = move_into(folder, scratch.path, name, files[i].end);
    pg_folder_end(&scratch);
    return code;
}

/* The style as numbers, for common.gp: a unit is 1/12 of the text's height. */
static void write_style(const pg_figure_data *parts, pg_buf *out)
{
    static const pg_figure_style screen;
    const pg_figure_style *style = parts->style != NULL ? parts->style : &screen;
    double scale = (style->font_pt > 0 ? style->font_pt
                    : style->paper     ? 7
                                       : 9) /
                   9,
           width_mm = style->width_mm > 0 ? style->width_mm
                      : style->paper      ? 85
                                          : 0;
    pg_buf_printf(out, "paper = %d\ntitled = %d\ntex = %d\nzoom = %.9g\ngiven = %.9g\nfont_name = \"%s\"\nrenames = %zu\n",
                  style->paper, !style->untitled, style->tex, scale, width_mm / 25.4 * 96 / scale,
                  style->font[0] != '\0' ? style->font : "DejaVu Sans", parts->renames);
}

int pg_figure_save(const char *name, const char *script, const pg_figure_data *parts, const char *folder)
{
    pg_buf text;
    pg_buf_init(&text);
    int code = begin_script(name, &text);
    pg_buf_printf(&text, "gnuplot -d %s.gp\nname = \"%s\"\n", name, name);
    write_style(parts, &text);
    pg_buf_puts(&text, parts->prelude.data);
    pg_buf_puts(&text, pg_script_common);
    pg_buf_puts(&text, script);
    if (code == PG_OK)
        code = pg_buf_check(&parts->data);
    if (code == PG_OK)
        code = pg_buf_check(&parts->prelude);
    if (code == PG_OK)
        code = pg_buf_check(&text);
    if (code == PG_OK)
        code = pg_figure_check(folder);
    if (code == PG_OK)
        code = save_files(name, parts, &text, folder);
    pg_buf_release(&text);
    return code;
}

int pg_figure_draw(const pg_figure *figure, const pg_table *table, const pg_figure_style *style, const char *folder)
{
    pg_figure_data parts;
    int code = pg_figure_make(figure, table, style, &parts);
    if (code == PG_OK && style != NULL)
        code = pg_figure_check_labels(style, &parts, 1);
    if (code == PG_OK)
        code = pg_figure_save(figure->name, figure->script, &parts, folder);
    pg_figure_data_release(&parts);
    return code;
}
