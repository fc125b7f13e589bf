/* patchgauge new: a folder with a module of one's own that works, to be changed. */
#include "harness/base/buf.h"
#include "harness/base/file.h"
#include "harness/base/log.h"
#include "harness/cmd/command.h"
#include "harness/plan/modules.h"

#include <ctype.h>
#include <getopt.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

PG_COMMAND(new)

extern const char pg_new_rule[], pg_new_makefile[]; /* harness/cmd/new */

enum { NAME_MAX_LETTERS = 40 };

static int check_name(const char *name)
{
    const char *kind;
    bool good = islower((unsigned char)name[0]) && strlen(name) <= NAME_MAX_LETTERS;
    for (const char *at = name; good && *at; at++)
        good = islower((unsigned char)*at) || isdigit((unsigned char)*at) || (*at == '-' && at[1] && at[1] != '-');
    if (!good)
        return pg_fail(
            PG_EUSAGE,
            "new defense %s: right would be a name of at most %d small letters, digits and single dashes, as soft-median", name,
            NAME_MAX_LETTERS);
    if (pg_modules_find(name, &kind))
        return pg_fail(PG_EINPUT, "new defense %s: there is a %s of this name already", name, kind);
    return PG_OK;
}

/* Where the headers are: beside an installed program in ../include/patchgauge, else above the folder it was built in. */
static int find_headers(char out[PATH_MAX], char program[PATH_MAX])
{
    static const char *const places[] = {"../include/patchgauge", "..", "../.."};
    char folder[PATH_MAX], path[PATH_MAX + 64];
    ssize_t size = readlink("/proc/self/exe", program, PATH_MAX - 1);
    program[size > 0 ? size : 0] = '\0';
    snprintf(folder, sizeof folder, "%s", program);
    const char *base = dirname(folder);
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        snprintf(path, sizeof path, "%s/%s/harness/plan/plugin.h", base, places[i]);
        if (access(path, R_OK) == 0) {
            *strstr(path, "/harness/plan/plugin.h") = '\0';
            return realpath(path, out) ? PG_OK : pg_fail(PG_EIO, "%s: cannot be read", path);
        }
    }
    return pg_fail(PG_EMISSING,
                   "the headers are not beside the program in %s/../include/patchgauge: `make install` puts them there", base);
}

/* The text with words replaced: pairs of old and new, NULL at the end. */
static void fill_in(const char *text, const char *const *pairs, pg_buf *out)
{
    while (*text) {
        const char *const *pair = pairs;
        while (*pair && strncmp(text, pair[0], strlen(pair[0])) != 0)
            pair += 2;
        if (*pair) {
            pg_buf_puts(out, pair[1]);
            text += strlen(pair[0]);
        } else {
            pg_buf_add(out, text++, 1);
        }
    }
}

static int write_one(const char *folder, const char *name, const char *text, const char *const *pairs)
{
    char path[PATH_MAX];
    pg_buf out;
    pg_buf_init(&out);
    fill_in(text, pairs, &out);
    int code = pg_buf_check(&out);
    if (code == PG_OK && snprintf(path, sizeof path, "%s/%s", folder, name) >= (int)sizeof path)
        code = pg_fail(PG_EINPUT, "%s: the path is too long", folder);
    if (code == PG_OK)
        code = pg_file_write(path, out.data, out.size);
    pg_buf_release(&out);
    return code;
}

static int write_defense(const char *name, const char *folder)
{
    char id[NAME_MAX_LETTERS + 1], file[NAME_MAX_LETTERS + 3], headers[PATH_MAX], program[PATH_MAX];
    snprintf(id, sizeof id, "%s", name);
    for (char *at = id; *at; at++)
        *at = *at == '-' ? '_' : *at;
    snprintf(file, sizeof file, "%s.c", id);
    int code = find_headers(headers, program);
    if (code == PG_OK && access(folder, F_OK) == 0)
        code = pg_fail(PG_EINPUT, "-o %s: is there already, and nothing is written over it; name another folder", folder);
    if (code == PG_OK)
        code = pg_make_folders(folder);
    const char *const pairs[] = {"my-rule", name, "my_rule", id, "@PROGRAM@", program, "@INCLUDE@", headers, NULL};
    if (code == PG_OK)
        code = write_one(folder, file, pg_new_rule, pairs);
    if (code == PG_OK)
        code = write_one(folder, "Makefile", pg_new_makefile, pairs);
    if (code == PG_OK)
        pg_info(
            "%s/%s and a Makefile: `make -C %s test` builds %s.so and attacks its certificates; use it with --plugin %s/%s.so",
            folder, file, folder, id, folder, id);
    return code;
}

static int run(const pg_context *context, int argc, char **argv)
{
    (void)context;
    static const struct option options[] = {{"output", required_argument, NULL, 'o'}, {NULL, 0, NULL, 0}};
    const char *folder = NULL;
    optind = 0;
    for (int c; (c = getopt_long(argc, argv, ":o:", options, NULL)) != -1;) {
        if (c != 'o')
            return pg_command_option_error(argv, options, c);
        folder = optarg;
    }
    if (argc - optind != 2 || strcmp(argv[optind], "defense") != 0)
        return pg_fail(PG_EUSAGE, "new: right would be `new defense NAME [-o DIR]`");
    const char *name = argv[optind + 1];
    int code = check_name(name);
    return code == PG_OK ? write_defense(name, folder ? folder : name) : code;
}

const pg_command pg_command_new = {
    .name = "new",
    .synopsis = "new defense NAME [-o DIR]",
    .summary = "a defense of your own: a plug-in that works, to be changed",
    .help = "Writes DIR/NAME.c, a whole defense with its certificate, and a Makefile: `make` builds the plug-in, `make test` "
            "has its\n"
            "certificates attacked on random tensors. Needs a C compiler, and the headers that `make install` puts beside the\n"
            "program. Every command then takes --plugin DIR/NAME.so: run, certify, attack, audit, table and the others treat\n"
            "the defense as their own. Its cells carry the hash of the file: another build makes them stale.\n"
            "\n"
            "  -o, --output DIR folder, which does not exist yet; default: NAME\n"
            "\n"
            "  patchgauge new defense soft-vote && make -C soft-vote test\n"
            "  patchgauge --plugin soft-vote/soft_vote.so run matrix.toml\n",
    .run = run,
};
