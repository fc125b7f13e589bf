/* The gnuplot driver, and what all figures share. See figure.h. */
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

enum { CANNOT_START = 127, SAID_MAX = 600, TITLE_MAX = 90, GNUPLOT_SECONDS = 300, PICTURE_MAX = 1 << 28 };

int pg_figure_find(const char *name, const pg_figure **out)
{
    const char *names[64] = {NULL};
    for (size_t i = 0; pg_figures[i] != NULL && i + 1 < sizeof names / sizeof *names; i++) {
        if (strcmp(pg_figures[i]->name, name) == 0) {
            *out = pg_figures[i];
            return PG_OK;
        }
        names[i] = pg_figures[i]->name;
    }
    const char *near = pg_nearest(name, names);
    return pg_fail(PG_EINPUT, "unknown figure '%s'%s%s%s; `patchgauge help plot` lists them", name,
                   near ? " (did you mean '" : "", near ? near : "", near ? "'?)" : "");
}

void pg_figure_text(const char *label, pg_buf *out)
{
    for (const char *c = label; *c != '\0';) {
        if (*c == '>' && c >= label + 2 && c[-1] == ']' && c[-2] == ']')
            pg_buf_puts(out, " "); /* the three together end a section of an XML file */
        if (strchr("\n\"\\", *c) == NULL) {
            c += pg_text_add(c, out);
            continue;
        }
        pg_buf_puts(out, *c == '\n' ? ", " : *c == '"' ? "'" : "/");
        c++;
    }
}

size_t pg_figure_text_cut(const char *label, size_t max, pg_buf *out)
{
    pg_buf text;
    pg_buf_init(&text);
    pg_figure_text(label, &text);
    size_t n = 0, cut = 0;
    for (size_t i = 0; i < text.size; i++) {
        n += ((unsigned char)text.data[i] & 0xc0) != 0x80;
        cut = n <= max - 3 ? i + 1 : cut;
    }
    if (n > max)
        pg_buf_printf(out, "%.*s...", (int)cut, text.data);
    else
        pg_buf_puts(out, text.data);
    pg_buf_release(&text);
    return n > max ? max : n;
}

size_t pg_figure_row(const char *keys, const char *label, size_t max, pg_buf *out)
{
    pg_buf text;
    pg_buf_init(&text);
    for (;;) {
        size_t key = strcspn(keys, ","), part = strcspn(label, "\n");
        bool plain = key == 0 || (key == 7 && (memcmp(keys, "defense", 7) == 0 || memcmp(keys, "weights", 7) == 0 ||
                                               memcmp(keys, "dataset", 7) == 0));
        if (!plain)
            pg_buf_printf(&text, "%.*s ", (int)key, keys);
        pg_buf_add(&text, label, part);
        keys += key + (keys[key] != '\0');
        label += part;
        if (*label == '\0')
            break;
        pg_buf_add(&text, label++, 1);
    }
    size_t n = pg_figure_text_cut(text.data, max, out);
    pg_buf_release(&text);
    return n;
}

size_t pg_figure_title(const pg_table *table, const char *fallback, pg_buf *out)
{
    size_t n = pg_figure_text_cut(table->title != NULL ? table->title : fallback, TITLE_MAX, out);
    pg_buf_puts(out, "\t");
    return 40 + 11 * n;
}

void pg_figure_count(const pg_table *table, bool (*taken)(const pg_table_entry *entry), pg_buf *out)
{
    int64_t least = INT64_MAX, most = 0;
    for (size_t i = 0; i < table->n_entries; i++) {
        const pg_table_entry *e = &table->entries[i];
        if (taken != NULL && !taken(e))
            continue;
        least = e->n < least ? e->n : least;
        most = e->n > most ? e->n : most;
    }
    if (least >= most)
        pg_buf_printf(out, "n = %lld image%s", (long long)most, most == 1 ? "" : "s");
    else
        pg_buf_printf(out, "n = %lld to %lld images: not all cells are complete", (long long)least, (long long)most);
}

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

/* Makes FROM/NAME.END durable and moves it into a folder. */
static int move_into(const char *folder, const char *from, const char *name, const char *end)
{
    char *old = NULL, *new = NULL;
    if (asprintf(&old, "%s/%s.%s", from, name, end) < 0 || asprintf(&new, "%s/%s.%s", folder, name, end) < 0) {
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
static int draw(const char *name, const char *folder, const char *scratch)
{
    static const char *const pictures[][2] = {{"svg", "</svg>"}, {"png", "IEND"}, {"pdf", "%%EOF"}};
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
    for (size_t i = 0; code == PG_OK && i < sizeof pictures / sizeof *pictures; i++) {
        pg_buf_clear(&path);
        pg_buf_printf(&path, "%s/%s.%s", scratch, name, pictures[i][0]);
        code = pg_buf_check(&path);
        if (code == PG_OK)
            code = check_picture(path.data, pictures[i][1]);
        if (code == PG_OK && strcmp(pictures[i][0], "pdf") == 0)
            code = undate(path.data);
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

static const char *const ends[] = {"tsv", "gp", "svg", "png", "pdf"};
enum { ENDS = sizeof ends / sizeof *ends, SCRIPT_MAX = 1 << 24 };

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
        pg_buf_printf(&path, "%s/%s.%s", folder, name, ends[i]);
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
    int code = pg_folder_make(folder, name, "plot", &scratch);
    if (code != PG_OK)
        return code;
    code = write_drawable(scratch.path, name, &parts->data);
    if (code == PG_OK)
        code = write_beside(scratch.path, name, "gp", script);
    if (code == PG_OK)
        code = draw(name, folder, scratch.path);
    if (code == PG_OK)
        code = write_beside(scratch.path, name, "tsv", &parts->data);
    for (size_t i = 0; code == PG_OK && i < ENDS; i++)
        code = move_into(folder, scratch.path, name, ends[i]);
    pg_folder_end(&scratch);
    return code;
}

int pg_figure_save(const char *name, const char *script, const pg_figure_data *parts, const char *folder)
{
    pg_buf text;
    pg_buf_init(&text);
    int code = begin_script(name, &text);
    pg_buf_printf(&text, "gnuplot -d %s.gp\nname = \"%s\"\n", name, name);
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

void pg_figure_data_init(pg_figure_data *parts)
{
    pg_buf_init(&parts->data);
    pg_buf_init(&parts->prelude);
}

void pg_figure_data_release(pg_figure_data *parts)
{
    pg_buf_release(&parts->data);
    pg_buf_release(&parts->prelude);
}

int pg_figure_draw(const pg_figure *figure, const pg_table *table, const char *folder)
{
    pg_figure_data parts;
    pg_figure_data_init(&parts);
    int code = figure->write(table, &parts);
    if (code == PG_OK)
        code = pg_figure_save(figure->name, figure->script, &parts, folder);
    pg_figure_data_release(&parts);
    return code;
}
