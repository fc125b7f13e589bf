/* Reads tests/include-rules and fails on every include in the sources that points elsewhere. */
#include "harness/base/error.h"
#include "harness/base/file.h"

#include <fnmatch.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdbool.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

enum { RULES_MAX = 64, WORDS_MAX = 16, TEXT_MAX_BYTES = 1 << 20 };

typedef struct rule {
    char *name; /* folder, or header when `system` */
    bool system;
    char *words[WORDS_MAX];
    size_t n;
} rule;

static char *rules_text;
static rule rules[RULES_MAX];
static size_t n_rules;

static int load_rules(void **state)
{
    (void)state;
    size_t size;
    if (pg_file_read("tests/include-rules", TEXT_MAX_BYTES, &rules_text, &size) != PG_OK)
        return -1;
    char *rest = rules_text;
    for (char *line = strtok_r(rest, "\n", &rest); line != NULL; line = strtok_r(NULL, "\n", &rest)) {
        char *colon = strchr(line, ':'), *words;
        if (line[0] == '#' || colon == NULL)
            continue;
        *colon = '\0';
        rule *r = &rules[n_rules++];
        r->system = line[0] == '<';
        r->name = line + r->system;
        r->name[strcspn(r->name, ">")] = '\0';
        for (char *word = strtok_r(colon + 1, " ", &words); word != NULL; word = strtok_r(NULL, " ", &words))
            r->words[r->n++] = word;
    }
    return n_rules > 0 ? 0 : -1;
}

static int free_rules(void **state)
{
    (void)state;
    free(rules_text);
    return 0;
}

/* `path` is `folder` itself or lies below it. */
static bool below(const char *path, const char *folder)
{
    size_t n = strlen(folder);
    return strncmp(path, folder, n) == 0 && (path[n] == '/' || path[n] == '\0');
}

static const rule *folder_rule(const char *path)
{
    const rule *best = NULL;
    for (size_t i = 0; i < n_rules; i++)
        if (!rules[i].system && below(path, rules[i].name) && (best == NULL || strlen(rules[i].name) > strlen(best->name)))
            best = &rules[i];
    return best;
}

static bool system_allowed(const char *file, const char *header)
{
    for (size_t i = 0; i < n_rules; i++) {
        const rule *r = &rules[i];
        size_t n = strlen(r->name);
        bool covers = r->system && (r->name[n - 1] == '/' ? strncmp(header, r->name, n) == 0 : strcmp(header, r->name) == 0);
        if (!covers)
            continue;
        for (size_t w = 0; w < r->n; w++)
            if (below(file, r->words[w]) || fnmatch(r->words[w], file, FNM_PATHNAME) == 0)
                return true;
        return false;
    }
    return true;
}

/* Own folder, and what the rule names; the folder of a header is decided by the longest rule as well, so that "models" in a
 * list does not open "models/torch" unless the list's owner is above both. */
static bool own_allowed(const char *file, const char *header)
{
    const rule *r = folder_rule(file);
    const rule *target = folder_rule(header);
    if (r == NULL || target == NULL)
        return false;
    if (r == target)
        return true;
    for (size_t w = 0; w < r->n; w++)
        if (below(header, r->words[w]))
            return true;
    return below(target->name, r->name); /* models may use models/torch */
}

/* The header that an include line names, in place; NULL where the line is none. */
static char *included(char *line, bool *system)
{
    line += strspn(line, " \t");
    if (*line != '#')
        return NULL;
    line += 1 + strspn(line + 1, " \t");
    if (strncmp(line, "include", 7) != 0)
        return NULL;
    line += 7 + strspn(line + 7, " \t");
    if (*line != '"' && *line != '<')
        return NULL;
    *system = *line == '<';
    line[1 + strcspn(line + 1, "\">")] = '\0';
    return line + 1;
}

/* Number of includes in `text` that break a rule; each is printed. */
static int check_text(const char *file, char *text, bool print)
{
    int bad = 0, number = 0;
    for (char *line = text; line != NULL; number++) {
        char *next = strchr(line, '\n');
        if (next != NULL)
            *next++ = '\0';
        bool system = false;
        char *header = included(line, &system);
        if (header != NULL && !(system ? system_allowed(file, header) : own_allowed(file, header))) {
            bad++;
            if (print)
                print_error("%s:%d: may not include %s (tests/include-rules)\n", file, number + 1, header);
        }
        line = next;
    }
    return bad;
}

static int files_seen, includes_bad;

static int visit(const char *path, const struct stat *info, int type, struct FTW *ftw)
{
    (void)info;
    const char *end = strrchr(path + ftw->base, '.');
    if (type != FTW_F || end == NULL || (strcmp(end, ".c") && strcmp(end, ".h") && strcmp(end, ".cc") && strcmp(end, ".cpp")))
        return 0;
    char *text;
    size_t size;
    if (pg_file_read(path, TEXT_MAX_BYTES, &text, &size) != PG_OK) {
        print_error("%s\n", pg_error_message());
        includes_bad++;
        return 0;
    }
    files_seen++;
    includes_bad += check_text(path, text, true);
    free(text);
    return 0;
}

static void every_include_follows_the_rules(void **state)
{
    (void)state;
    static const char *const folders[] = {"harness", "models", "defenses", "attacks", "db", "plots", "tests"};
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++)
        if (access(folders[i], F_OK) == 0)
            assert_int_equal(nftw(folders[i], visit, 16, FTW_PHYS), 0);
    assert_true(files_seen > 40);
    assert_int_equal(includes_bad, 0);
}

static int bad_includes(const char *file, const char *text)
{
    char *copy = strdup(text);
    int bad = check_text(file, copy, false);
    free(copy);
    return bad;
}

static void a_broken_rule_is_seen(void **state)
{
    (void)state;
    assert_int_equal(
        bad_includes("defenses/x.c", "#include \"harness/base/buf.h\"\n#include <math.h>\n#include \"defenses/defense.h\""), 0);
    assert_int_equal(bad_includes("defenses/x.c", "#include \"db/store.h\"\n  #  include \"models/model.h\"\n"), 2);
    assert_int_equal(bad_includes("defenses/x.c", "#include \"models/torch/torch.h\"\n"), 0);
    assert_int_equal(bad_includes("defenses/x.c", "#include \"models/torch/shim.h\"\n"), 1);
    assert_int_equal(bad_includes("harness/base/x.c", "#include \"harness/data/dataset.h\"\n"), 1);
    assert_int_equal(bad_includes("harness/plan/x.c", "#include \"harness/pipeline/worker.h\"\n"), 1);
    assert_int_equal(bad_includes("harness/pipeline/x.c", "#include \"harness/cmd/command.h\"\n"), 1);
    assert_int_equal(bad_includes("models/x.c", "#include \"models/torch/torch.h\"\n"), 0);
    assert_int_equal(bad_includes("models/torch/x.c", "#include \"models/model.h\"\n"), 1);
    assert_int_equal(bad_includes("plots/x.c", "#include \"table.h\"\n"), 1); /* paths start at the root */
    assert_int_equal(bad_includes("elsewhere/x.c", "#include \"harness/base/buf.h\"\n"), 1);
}

static void system_headers_stay_in_their_rooms(void **state)
{
    (void)state;
    assert_int_equal(bad_includes("db/store.c", "#include <sqlite3.h>\n"), 0);
    assert_int_equal(bad_includes("plots/x.c", "#include <sqlite3.h>\n"), 1);
    assert_int_equal(bad_includes("models/torch/ops.cpp", "#include <ATen/ATen.h>\n#include <c10/core/X.h>\n"), 0);
    assert_int_equal(bad_includes("models/torch/torch.h", "#include <ATen/ATen.h>\n"), 1);
    assert_int_equal(bad_includes("models/x.c", "#include <torch/csrc/x.h>\n"), 1);
}

/* Headers that comments name ("See worker.h.") are in the tree; sqlite3.h is the one of another project. */
static void named_headers_exist(void **state)
{
    (void)state;
    FILE *pipe = popen("rooms='attacks db defenses harness models plots'; headers=$(find $rooms -name '*.h' | sed 's#.*/##'); "
                       "grep -rhE '\\.h\\b' --include='*.[ch]' $rooms | grep -v '^#include' | "
                       "grep -oE '(^|[^/a-z_0-9])[a-z_0-9]+\\.h\\b' | grep -oE '[a-z_0-9]+\\.h' | sort -u | "
                       "while read -r name; do echo \"$headers\" | grep -qx \"$name\" || echo \"$name\"; done",
                       "r");
    assert_non_null(pipe);
    char name[128];
    int missing = 0;
    while (fgets(name, sizeof name, pipe)) {
        name[strcspn(name, "\n")] = 0;
        if (strcmp(name, "sqlite3.h") == 0)
            continue;
        print_message("a comment names %s, which is not there\n", name);
        missing++;
    }
    assert_int_equal(pclose(pipe), 0);
    assert_int_equal(missing, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_include_follows_the_rules),
        cmocka_unit_test(a_broken_rule_is_seen),
        cmocka_unit_test(system_headers_stay_in_their_rooms),
        cmocka_unit_test(named_headers_exist),
    };
    return cmocka_run_group_tests(tests, load_rules, free_rules);
}
