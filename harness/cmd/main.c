/* The program: global options, the subcommand, its exit code. Loads neither libtorch nor a BLAS. */
#include "harness/base/log.h"
#include "harness/base/option.h"
#include "harness/base/version.h"
#include "harness/cmd/command.h"
#include "harness/plan/modules.h"
#include "harness/base/process.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct invocation {
    pg_context context;
    int argc; /* what is left: the subcommand and its arguments */
    char **argv;
} invocation;

static int take_globals(invocation *request)
{
    int code = pg_cli_take(pg_global_rows, &request->argc, request->argv, &request->context);
    if (code == PG_OK && request->context.trust && setenv("PATCHGAUGE_TRUST", "1", 1) != 0)
        code = pg_fail(PG_ENOMEM, "out of memory");
    return code;
}

/* Whose code it is that ends the process, until a command knows better. */
static void note_plugins(void)
{
    char names[PG_MESSAGE_MAX] = "";
    for (size_t i = 0, at = 0; pg_plugin_at(i) && at < sizeof names; i++)
        at += (size_t)snprintf(names + at, sizeof names - at, "%splug-in %s", i ? " or " : "", pg_plugin_at(i)->path);
    pg_process_note("%s", names);
}

/* The action of a command that its first word names, or NULL with PG_EUSAGE's message. */
static const pg_command *find_action(const pg_command *command, const char *word)
{
    enum { MOST = 8 };
    const char *names[MOST + 1] = {NULL};
    for (int i = 0; command->actions[i] && i < MOST; i++) {
        if (word && strcmp(command->actions[i]->name, word) == 0)
            return command->actions[i];
        names[i] = command->actions[i]->name;
    }
    const char *near = word ? pg_nearest(word, names) : NULL;
    if (near)
        pg_fail(PG_EUSAGE, "%s: unknown action '%s': did you mean '%s'?", command->name, word, near);
    else
        pg_fail(PG_EUSAGE, "%s: %s%s%s; usage: patchgauge %s", command->name, word ? "unknown action '" : "no action is given",
                word ? word : "", word ? "'" : "", command->synopsis);
    return NULL;
}

/* argv[0] is the command's name. */
static int run_command(const pg_command *command, const pg_context *context, int argc, char **argv)
{
    char name[64];
    snprintf(name, sizeof name, "%s", command->name);
    if (command->actions) {
        const pg_command *action = find_action(command, argv[1]);
        if (!action)
            return PG_EUSAGE;
        snprintf(name, sizeof name, "%s %s", command->name, action->name);
        command = action;
        argc--;
        argv++;
    }
    const pg_cli cli = {.name = name, .usage = command->synopsis, .rows = command->rows, .globals = pg_global_rows};
    void *request = calloc(1, command->request_size + 1);
    if (!request)
        return pg_fail(PG_ENOMEM, "out of memory");
    int code = pg_cli_parse(&cli, argc - 1, argv + 1, request);
    if (code == PG_OK)
        code = command->run(context, request);
    pg_cli_release(command->rows, request);
    free(request);
    return code;
}

static int dispatch(invocation *request)
{
    const pg_context *context = &request->context;
    if (context->version) {
        printf("patchgauge %s\n", PG_VERSION);
        return PG_OK;
    }
    if (request->argc == 0) {
        int code = pg_help_overview(context->help ? stdout : stderr);
        return code || context->help ? code : pg_fail(PG_EUSAGE, "no command given");
    }
    if (request->argv[0][0] == '-')
        return pg_cli_fail_unknown(&(pg_cli){.name = "", .rows = pg_global_rows}, request->argv[0]);
    const pg_command *command = pg_command_find(request->argv[0]);
    if (!command)
        return PG_EUSAGE;
    if (context->help) /* without plug-ins */
        return pg_help_command(command, stdout);
    for (size_t i = 0; i < context->plugins.n; i++) {
        pg_process_note("--plugin %s: cannot be loaded", context->plugins.items[i]);
        int code = pg_plugin_load(context->plugins.items[i]);
        if (code)
            return code;
    }
    note_plugins();
    return run_command(command, context, request->argc, request->argv);
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

/* Plug-ins may end the process that runs them: a command that has some runs in a child, which says itself what
 * it has to say. */
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
    invocation request = {.argc = argc > 0 ? argc - 1 : 0, .argv = calloc((size_t)argc + 1, sizeof *request.argv)};
    pg_context *context = &request.context;
    int code = PG_OK;
    if (cache && request.argv) {
        memcpy(request.argv, argv + 1, (size_t)request.argc * sizeof *argv);
        code = take_globals(&request);
    } else
        code = pg_fail(PG_ENOMEM, "out of memory");
    context->data_dir = context->data_dir ? context->data_dir : data && *data ? data : "./data";
    context->cache_dir = context->cache_dir ? context->cache_dir : cache;
    pg_log_quiet(context->quiet);
    if (code || context->plugins.n == 0)
        code = finish(code ? code : dispatch(&request));
    else
        code = run_in_child(&request);
    pg_cli_release(pg_global_rows, context);
    free(request.argv);
    free(cache);
    return pg_error_exit_code(code);
}
