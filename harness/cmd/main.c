/* The program: global options, the subcommand, its exit code. Loads neither libtorch nor a BLAS. */
#include "db/store.h"
#include "harness/base/log.h"
#include "harness/base/option.h"
#include "harness/base/version.h"
#include "harness/cmd/command.h"
#include "harness/plan/modules.h"
#include "harness/base/process.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <getopt.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *const global_names[] = {"--db",    "--data",  "--cache",   "--cache-size", "--plugin",
                                           "--quiet", "--trust", "--version", "--help",       NULL};

enum { DB, DATA, CACHE, CACHE_SIZE, PLUGIN, VALUED, QUIET = VALUED, TRUST, VERSION, HELP, NONE };

/* Which global option an argument is; its value, if it has one behind '=', in `value`. */
static int global_of(const char *argument, const char **value)
{
    *value = NULL;
    for (int i = 0; i < NONE; i++) {
        size_t length = strlen(global_names[i]);
        if (strncmp(argument, global_names[i], length) != 0)
            continue;
        if (argument[length] == 0)
            return i;
        if (argument[length] == '=' && i < VALUED) {
            *value = argument + length + 1;
            return i;
        }
    }
    return NONE;
}

/* "10G", "512MiB", "0": bytes, in powers of 1024. */
static int parse_bytes(const char *text, int64_t *out)
{
    static const char *const suffixes[] = {"", "K", "M", "G", "T"};
    size_t digits = strspn(text, "0123456789");
    char number[24];
    int64_t value = 0;
    bool good = digits > 0 && digits < sizeof number;
    if (good) {
        memcpy(number, text, digits);
        number[digits] = 0;
        good = !pg_parse_int(number, &value);
    }
    const char *unit = text + digits;
    for (int i = 0; good && i < 5; i++) {
        size_t length = strlen(suffixes[i]);
        if (strncmp(unit, suffixes[i], length) == 0 &&
            (unit[length] == 0 || (length && (strcmp(unit + length, "iB") == 0 || strcmp(unit + length, "i") == 0))) &&
            value <= INT64_MAX >> 10 * i) {
            *out = value << 10 * i;
            return PG_OK;
        }
    }
    return pg_fail(PG_EUSAGE, "--cache-size %s: right would be a number of bytes, as 0, 512M or 10GiB", text);
}

typedef struct invocation {
    pg_context context;
    bool version, help;
    int argc; /* what is left: the subcommand and its arguments */
    char **argv;
} invocation;

static int set_global(invocation *request, int which, const char *value)
{
    pg_context *context = &request->context;
    switch (which) {
    case DB:
        context->db_path = value;
        return pg_store_name_check(value);
    case DATA:
        context->data_dir = value;
        break;
    case CACHE:
        context->cache_dir = value;
        break;
    case CACHE_SIZE:
        return parse_bytes(value, &context->cache_bytes);
    case PLUGIN:
        if (context->n_plugins == PG_PLUGINS_MAX)
            return pg_fail(PG_EUSAGE, "more than %d --plugin options", PG_PLUGINS_MAX);
        context->plugins[context->n_plugins++] = value;
        break;
    case QUIET:
        context->quiet = true;
        break;
    case TRUST:
        return setenv("PATCHGAUGE_TRUST", "1", 1) == 0 ? PG_OK : pg_fail(PG_ENOMEM, "out of memory");
    case VERSION:
        request->version = true;
        break;
    default:
        request->help = true;
    }
    if (which < VALUED && !*value)
        return pg_fail(PG_EUSAGE, "%s wants a path, not an empty text", global_names[which]);
    return PG_OK;
}

/* `before`: its value where it was given before, "" where it has none; NULL: it was not. */
static int refuse_global_twice(int which, const char *before, const char *value)
{
    const char *name = global_names[which];
    if (!before || which == PLUGIN || which > TRUST) /* asking again for help does no harm */
        return PG_OK;
    if (which >= VALUED)
        return pg_fail(PG_EUSAGE, "%s is given twice: leave one of them out", name);
    return pg_fail(PG_EUSAGE, "one option is given twice, as '%s %s' and '%s %s': leave one of them out", name, before, name,
                   value);
}

/* Takes the global options out of argv, wherever they stand before "--". */
static int take_globals(int argc, char **argv, invocation *request)
{
    bool open = true;
    const char *values[NONE] = {NULL};
    for (int i = 1; i < argc; i++) {
        const char *value;
        int which = open ? global_of(argv[i], &value) : NONE;
        open = open && strcmp(argv[i], "--") != 0;
        if (open && request->argc == 0 && strcmp(argv[i], "-h") == 0)
            which = HELP;
        if (which == NONE) {
            request->argv[request->argc++] = argv[i];
            continue;
        }
        if (which < VALUED && !value && !(value = ++i < argc ? argv[i] : NULL))
            return pg_fail(PG_EUSAGE, "%s wants a value", global_names[which]);
        int code = refuse_global_twice(which, values[which], value);
        values[which] = value ? value : "";
        if (!code)
            code = set_global(request, which, value);
        if (code)
            return code;
    }
    request->argv[request->argc] = NULL;
    return PG_OK;
}

const pg_command *pg_command_find(const char *name)
{
    enum { MOST = 64 };
    const char *names[MOST + 1] = {NULL};
    for (int i = 0; pg_commands[i] && i < MOST; i++) {
        if (strcmp(pg_commands[i]->name, name) == 0)
            return pg_commands[i];
        names[i] = pg_commands[i]->name;
    }
    const char *near = pg_nearest(name, names);
    if (near)
        pg_fail(PG_EUSAGE, "unknown command '%s': did you mean '%s'?", name, near);
    else
        pg_fail(PG_EUSAGE, "unknown command '%s': `patchgauge help` lists the commands", name);
    return NULL;
}

/* `command` is "" before there is one. */
static int fail_unknown_option(const char *command, const char *given, const struct option *options)
{
    enum { MOST = 64 };
    const char *names[MOST + sizeof global_names / sizeof *global_names] = {NULL}, *name = given + strspn(given, "-");
    char bare[64];
    int n = 0;
    snprintf(bare, sizeof bare, "%.*s", (int)strcspn(name, "="), name);
    for (; options && options[n].name && n < MOST; n++)
        names[n] = options[n].name;
    for (int i = 0; global_names[i]; i++)
        names[n++] = global_names[i] + 2;
    const char *near = given[1] == '-' ? pg_nearest(bare, names) : NULL;
    if (near)
        return pg_fail(PG_EUSAGE, "%s%sunknown option '%s': did you mean '--%s'?", command, *command ? ": " : "", given, near);
    return pg_fail(PG_EUSAGE, "%s%sunknown option '%s': `patchgauge help%s%s` lists the options", command, *command ? ": " : "",
                   given, *command ? " " : "", command);
}

enum { SAID = -1, OPTIONS_MAX = 96 }; /* SAID: in optopt, the error is reported already */

/* An option as it stood on the command line; `row` -1: a letter. */
typedef struct taken {
    int c, row;
    const char *value;
} taken;

/* "--most 5", "-n 5", "--wrap=hw" */
static void spell(const taken *g, const struct option *options, char *out, size_t room)
{
    bool joined = g->row >= 0 && options[g->row].has_arg == optional_argument;
    const char letter[2] = {(char)g->c, 0};
    snprintf(out, room, "%s%s%s%s", g->row >= 0 ? "--" : "-", g->row >= 0 ? options[g->row].name : letter,
             g->value ? joined ? "=" : " " : "", g->value ? g->value : "");
}

/* Looks through the line, up to another error: behind a value that is missing getopt_long would move arguments to its place.
 * PG_EUSAGE. */
static int refuse_twice(int argc, char **argv, const char *letters, const struct option *options)
{
    taken all[OPTIONS_MAX];
    int n = 0;
    for (taken g = {.row = -1}; (g.c = getopt_long(argc, argv, letters, options, &g.row)) != -1; g.row = -1) {
        if (g.c == '?' || g.c == ':')
            return PG_OK;
        if (g.row >= 0 ? g.c & PG_COMMAND_MANY : g.c == 'S')
            continue;
        g.value = optarg;
        char first[256], again[256];
        for (int i = 0; i < n; i++)
            if (all[i].c == g.c && (g.c != 0 || all[i].row == g.row)) { /* 0: a row that sets a flag */
                spell(&all[i], options, first, sizeof first);
                spell(&g, options, again, sizeof again);
                return pg_fail(PG_EUSAGE, "%s: one option is given twice, as '%s' and '%s': leave one of them out", argv[0],
                               first, again);
            }
        if (n < OPTIONS_MAX)
            all[n++] = g;
    }
    return PG_OK;
}

int pg_command_option_next(int argc, char **argv, const char *letters, const struct option *options)
{
    if (optind == 0) { /* the first call for this line */
        if (refuse_twice(argc, argv, letters, options) != PG_OK) {
            optopt = SAID;
            return '?';
        }
        optind = 0;
    }
    int c = getopt_long(argc, argv, letters, options, NULL);
    return c < 0 ? c : c & ~PG_COMMAND_MANY;
}

int pg_command_option_error(char **argv, const struct option *options, int result)
{
    if (optopt == SAID)
        return PG_EUSAGE;
    const char *given = optind > 0 ? argv[optind - 1] : "";
    char letter[3] = {'-', (char)optopt, 0};
    if (optopt == 0 || (result == '?' && given[0] == '-' && given[1] == '-' && !options))
        return fail_unknown_option(argv[0], given, options);
    for (int i = 0; options && options[i].name; i++)
        if ((options[i].val & ~PG_COMMAND_MANY) == (optopt & ~PG_COMMAND_MANY) && options[i].flag == NULL) {
            const char *what = options[i].has_arg == required_argument ? "wants a value" : "takes no value";
            return pg_fail(PG_EUSAGE, "%s: option '--%s' %s: see `patchgauge help %s`", argv[0], options[i].name, what,
                           argv[0]);
        }
    if (result == ':')
        return pg_fail(PG_EUSAGE, "%s: option '%s' wants a value: see `patchgauge help %s`", argv[0], letter, argv[0]);
    return fail_unknown_option(argv[0], letter, options);
}

/* Whose code it is that ends the process, until a command knows better. */
static void note_plugins(void)
{
    char names[PG_MESSAGE_MAX] = "";
    for (size_t i = 0, at = 0; pg_plugin_at(i) && at < sizeof names; i++)
        at += (size_t)snprintf(names + at, sizeof names - at, "%splug-in %s", i ? " or " : "", pg_plugin_at(i)->path);
    pg_process_note("%s", names);
}

static int dispatch(invocation *request)
{
    if (request->version) {
        printf("patchgauge %s\n", PG_VERSION);
        return PG_OK;
    }
    if (request->argc == 0) {
        int code = pg_help_overview(request->help ? stdout : stderr);
        return code || request->help ? code : pg_fail(PG_EUSAGE, "no command given");
    }
    if (request->argv[0][0] == '-')
        return fail_unknown_option("", request->argv[0], NULL);
    const pg_command *command = pg_command_find(request->argv[0]);
    if (!command)
        return PG_EUSAGE;
    if (request->help) /* without plug-ins */
        return pg_help_command(command, stdout);
    for (size_t i = 0; i < request->context.n_plugins; i++) {
        pg_process_note("--plugin %s: cannot be loaded", request->context.plugins[i]);
        int code = pg_plugin_load(request->context.plugins[i]);
        if (code)
            return code;
    }
    note_plugins();
    opterr = 0; /* commands report by pg_command_option_error */
    return command->run(&request->context, request->argc, request->argv);
}

/* $XDG_CACHE_HOME/patchgauge or ~/.cache/patchgauge; *new*, NULL if out of memory */
static char *default_cache(void)
{
    const char *base = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    char *path = NULL;
    int length = base && *base == '/' ? asprintf(&path, "%s/patchgauge", base)
                                      : asprintf(&path, "%s/.cache/patchgauge", home && *home ? home : ".");
    return length < 0 ? NULL : path;
}

/* Whether standard output is a pipe whose reader went away, as `| head` does. */
static bool nobody_reads(void)
{
    struct pollfd output = {.fd = STDOUT_FILENO, .events = POLLOUT};
    return poll(&output, 1, 0) == 1 && (output.revents & POLLERR);
}

/* Results must have reached standard output before the program says that all is well. */
static int check_output(int code)
{
    bool closed = nobody_reads();
    errno = 0;
    bool failed = ferror(stdout) != 0;
    failed |= fclose(stdout) != 0;
    if (failed && closed && (!code || code == PG_EIO))
        return PG_ECLOSED;
    if (failed && !code)
        code = pg_fail(PG_EIO, "standard output cannot be written: %s", strerror(errno ? errno : EIO));
    return code;
}

/* Standard streams that are closed are filled, so that no file of ours gets their number and our messages. Standard output is
 * then one that cannot be written: results that go nowhere stay an error. */
static int fill_streams(void)
{
    static const int modes[] = {O_RDONLY, O_RDONLY, O_WRONLY};
    for (int i = 0; i < 3; i++)
        if (fcntl(i, F_GETFD) < 0 && open("/dev/null", modes[i]) != i)
            return PG_EIO;
    return PG_OK;
}

static int finish(int code)
{
    code = check_output(code);
    if (code && code != PG_ECLOSED) { /* that ends quietly, as other tools do */
        const char *message = pg_error_message();
        fprintf(stderr, "patchgauge: %s\n", *message ? message : pg_error_text(code));
    }
    return code;
}

static int work(void *request) { return finish(dispatch(request)); }

/* Plug-ins may end the process that runs them: a command that has some runs in a child, which says itself what it has to say.
 */
static int run_in_child(invocation *request)
{
    bool died = false;
    int code = pg_process_run(work, request, &died);
    return died ? finish(code) : code;
}

int main(int argc, char **argv)
{
    if (fill_streams() != PG_OK)
        return pg_error_exit_code(PG_EIO); /* and nowhere to say so */
    /* A closed pipe and a file at its limit are write errors, not deaths in the middle of a transaction. */
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN);
    const char *data = getenv("PATCHGAUGE_DATA");
    char *cache = default_cache();
    invocation request = {
        .context = {.db_path = "./patchgauge.db",
                    .data_dir = data && *data ? data : "./data",
                    .cache_dir = cache,
                    .cache_bytes = (int64_t)10 << 30},
        .argv = calloc((size_t)argc + 1, sizeof *argv),
    };
    int code = cache && request.argv ? take_globals(argc, argv, &request) : pg_fail(PG_ENOMEM, "out of memory");
    pg_log_quiet(request.context.quiet);
    if (code || request.context.n_plugins == 0)
        code = finish(code ? code : dispatch(&request));
    else
        code = run_in_child(&request);
    free(request.argv);
    free(cache);
    return pg_error_exit_code(code);
}
