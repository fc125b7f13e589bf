/* Plug-ins: the one that `new defense` writes is built and used as if it were built in; what is not whole is refused; one that
 * crashes costs its own tasks. Needs a C compiler. */
/* Loads libtorch, also under sanitizers. */
#include "tests/support/program.h"
#include "tests/support/tidy.h"
#include "tests/support/scratch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static void expect(const char *piece)
{
    if (!strstr(program_output, piece))
        print_error("not in the output: %s\n%s\n", piece, program_output);
    assert_non_null(strstr(program_output, piece));
}

/* Compiles FOLDER/NAME.c of the scratch folder to FOLDER/NAME.so. */
static void compile(const char *folder, const char *name, const char *flags)
{
    char line[2048];
    snprintf(line, sizeof line, "cc -std=c17 -D_GNU_SOURCE -fPIC -shared -fvisibility=hidden -I. %s -o %s/%s/%s.so %s/%s/%s.c",
             flags, scratch_folder, folder, name, scratch_folder, folder, name);
    assert_int_equal(system(line), 0);
}

static int setup(void **state)
{
    if (scratch_make(state) != 0)
        return -1;
    /* under the address sanitizer a program dies of a signal as it does without */
    const char *before = getenv("ASAN_OPTIONS");
    char options[512];
    snprintf(options, sizeof options, "%s%shandle_segv=0:handle_abort=0", before ? before : "", before && *before ? ":" : "");
    setenv("ASAN_OPTIONS", options, 1);
    static const char matrix[] =
        "[fixed]\ndataset = \"synthetic:test\"\nimages = \"0:64\"\nweights = \"null\"\npatch = 3\n[axes]\n"
        "defense = [\"soft-vote\", \"mean\"]\n\"mean.feature\" = \"prediction\"\n\"mean.theta\" = 0.5\n";
    scratch_write("m.toml", matrix, sizeof matrix - 1);
    if (program_run("db", "new defense soft-vote -o %s/mine", scratch_folder) != 0)
        return -1;
    compile("mine", "soft_vote", "-Wall -Wextra -Werror");
    return 0;
}

static void the_template_passes_its_own_test(void **state)
{
    (void)state;
    char line[1024];
    snprintf(line, sizeof line, "env -u MAKEFLAGS -u MAKELEVEL -u MFLAGS -u PATCHGAUGE make -s -C %s/mine test >%s/said 2>&1",
             scratch_folder, scratch_folder);
    int status = system(line);
    if (status != 0)
        (void)!system(strcat(strcpy(line, "cat "), scratch_path("said")));
    assert_int_equal(status, 0);
}

static void it_is_listed_with_path_and_hash(void **state)
{
    (void)state;
    assert_int_equal(program_run("db", "--plugin %s/mine/soft_vote.so list defenses", scratch_folder), 0);
    expect("  soft-vote            the class with the most votes");
    expect("/mine/soft_vote.so, sha256 ");
    assert_int_equal(setenv("PATCHGAUGE_PLUGIN_PATH", "/nowhere", 1), 0);
    assert_int_equal(program_run("db", "--plugin soft_vote list"), 2);
    expect("not in a folder of PATCHGAUGE_PLUGIN_PATH");
    char path[512];
    snprintf(path, sizeof path, "/nowhere:%s/mine", scratch_folder);
    assert_int_equal(setenv("PATCHGAUGE_PLUGIN_PATH", path, 1), 0);
    assert_int_equal(program_run("db", "help defense soft-vote --plugin soft_vote"), 0);
    expect("theta ");
    unsetenv("PATCHGAUGE_PLUGIN_PATH");
}

/* Its numbers are those of the built-in rule that it is; another build of it makes its cells stale, and no others. */
static void it_runs_like_a_defense_of_our_own(void **state)
{
    (void)state;
    assert_int_equal(program_run("db", "run %s/m.toml", scratch_folder), 2);
    expect("soft-vote");
    assert_int_equal(program_run("db", "--plugin %s/mine/soft_vote.so run %s/m.toml", scratch_folder, scratch_folder), 0);
    assert_int_equal(
        program_run("db", "--quiet --plugin %s/mine/soft_vote.so table %s/m.toml -f json", scratch_folder, scratch_folder), 0);
    double ours = tidy_number("defense=mean metric=certified", "count"),
           theirs = tidy_number("defense=soft-vote metric=certified", "count");
    assert_true(ours > 0 && !(ours < theirs) && !(ours > theirs));
    compile("mine", "soft_vote", "-O1 -g");
    assert_int_equal(
        program_run("db", "--plugin %s/mine/soft_vote.so plan %s/m.toml --explain", scratch_folder, scratch_folder), 0);
    expect("stale");
    expect("done");
}

typedef struct bad {
    const char *name, *source, *message;
} bad;

#define HEAD                                                                                                                \
    "#include \"defenses/rule.h\"\n#include \"harness/plan/plugin.h\"\nstatic const pg_option none[] = {{0}};\n"            \
    "static void evidence(const void *c, pg_evidence_spec *o) { (void)c; *o = (pg_evidence_spec){.clip_lo = 0, .clip_hi = " \
    "1}; }\n"                                                                                                               \
    "static pg_certificate worth(const void *c) { (void)c; return PG_CERTIFICATE_SOUND; }\n"                                \
    "static const pg_defense d = {.module = {.summary = \"s\", .source = \"s\", .version = 1, .options = none, "
#define HOOKS                                                                                                           \
    ".certificate = worth, .evidence = evidence, .certify = pg_sum_rule_certify, .scratch_size = pg_sum_rule_scratch, " \
    ".predict = "                                                                                                       \
    "pg_sum_rule_predict};\n"
#define TAIL "PG_PLUGIN(.defenses = (const pg_defense *const[]){&d, NULL});\n"

static void what_is_not_whole_is_refused(void **state)
{
    (void)state;
    static const bad cases[] = {
        {"no_symbol", "int x;\n", "is no plug-in of patchgauge"},
        {"other",
         "#include \"harness/plan/plugin.h\"\n__attribute__((visibility(\"default\"))) const pg_plugin patchgauge_plugin = "
         "{99};\n",
         "headers of another version"},
        {"taken", HEAD ".name = \"median\"}, " HOOKS TAIL, "there is a defense of this name already"},
        {"unnamed", HEAD "}, " HOOKS TAIL, "has no name"},
        {"hookless", HEAD ".name = \"hookless\"}, .certificate = worth};\n" TAIL, "a required hook is missing: predict"},
        {"outside",
         HEAD ".name = \"outside\"}, " HOOKS "static const pg_option rows[] = {{.name = \"x\", .type = PG_OPTION_INT, .offset "
              "= 4, .fallback = \"1\", .help = \"x\"}, {0}};\n"
              "static const pg_defense e = {.module = {.name = \"outside\", .summary = \"s\", .source = \"s\", .version = 1, "
              ".options = rows, "
              ".config_size = 8}, " HOOKS "PG_PLUGIN(.defenses = (const pg_defense *const[]){&e, &d, NULL});\n",
         "option x: it lies outside the configuration"},
        {"damaged", NULL, "cannot be loaded"},
    };
    mkdir(scratch_path("bad"), 0700);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char file[128];
        snprintf(file, sizeof file, "bad/%s.%s", cases[i].name, cases[i].source ? "c" : "so");
        scratch_write(file, cases[i].source ? cases[i].source : "\177ELF", cases[i].source ? strlen(cases[i].source) : 4);
        if (cases[i].source)
            compile("bad", cases[i].name, "");
        assert_int_equal(
            program_run("none.db", "--plugin %s/bad/%s.so run %s/m.toml", scratch_folder, cases[i].name, scratch_folder), 2);
        expect(cases[i].message);
        assert_int_equal(access(scratch_path("none.db"), F_OK), -1);
    }
}

/* What a rule says of itself is looked at before it is planned. */
static void a_rule_that_means_nothing_is_refused(void **state)
{
    (void)state;
    static const char source[] =
        "#include \"defenses/defense.h\"\nstatic pg_certificate nine(const void *c) { (void)c; return (pg_certificate)9; "
        "}\n" HEAD
        ".name = \"nine\"}, .certificate = nine, .evidence = evidence, .certify = pg_sum_rule_certify, .scratch_size = "
        "pg_sum_rule_scratch, .predict = pg_sum_rule_predict};\n" TAIL;
    static const char matrix[] =
        "[fixed]\ndataset = \"synthetic:test\"\nimages = \"0:8\"\nweights = \"null\"\npatch = 3\ndefense = \"nine\"\n";
    static const char *const commands[] = {"plan", "run", "audit"};
    scratch_write("bad/nine.c", source, sizeof source - 1);
    compile("bad", "nine", "");
    scratch_write("nine.toml", matrix, sizeof matrix - 1);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(
            program_run("none.db", "--plugin %s/bad/nine.so %s %s/nine.toml", scratch_folder, commands[i], scratch_folder), 2);
        expect("defense nine on null: its certificate is worth 9, which means nothing");
        assert_int_equal(access(scratch_path("none.db"), F_OK), -1);
    }
}

/* Another network's cells are done; the task that it kills is given up after three attempts, with the signal's name. */
static void a_crash_costs_its_own_tasks(void **state)
{
    (void)state;
    static const char source[] = HEAD ".name = \"crash\"}, .certificate = worth, .evidence = evidence, .scratch_size = "
                                      "pg_sum_rule_scratch, .predict = pg_sum_rule_predict, "
                                      ".certify = fall};\n" TAIL;
    static const char fall[] =
        "#include <signal.h>\n#include \"defenses/defense.h\"\nstatic void fall(const pg_evidence *e, pg_window w, int64_t "
        "delta, int "
        "label, const void *const *c, size_t n, void *s, pg_verdict *o) { (void)e, (void)w, (void)delta, (void)label, (void)c, "
        "(void)n, (void)s, (void)o; raise(SIGABRT); }\n";
    static const char matrix[] =
        "[fixed]\ndataset = \"synthetic:test\"\nimages = \"0:64\"\nweights = \"null\"\npatch = 3\n[[zip]]\n"
        "defense = [\"mean\", \"crash\"]\n\"null.seed\" = [0, 1]\n";
    char whole[sizeof source + sizeof fall];
    snprintf(whole, sizeof whole, "%s%s", fall, source);
    scratch_write("bad/crash.c", whole, strlen(whole));
    compile("bad", "crash", "");
    scratch_write("crash.toml", matrix, sizeof matrix - 1);
    assert_int_equal(program_run("crash.db", "--plugin %s/bad/crash.so run %s/crash.toml", scratch_folder, scratch_folder), 1);
    expect("SIGABRT");
    expect("given up");
    assert_int_equal(
        program_run("crash.db", "--quiet --plugin %s/bad/crash.so table %s/crash.toml -f json", scratch_folder, scratch_folder),
        0);
    assert_true(tidy_number("defense=mean seed=0 metric=clean", "value") >= 10);
}

/* ---- Code that ends the process, or lies ---- */

typedef struct fault {
    const char *name, *includes, *body; /* of `fall`, for images of class 3 */
    const char *reason;
} fault;

static const fault faults[] = {
    {"exit0", "stdlib.h", "exit(0);", "ended with exit code 0 before its time"},
    {"exit7", "stdlib.h", "exit(7);", "ended with exit code 7 before its time"},
    {"quick", "stdlib.h", "quick_exit(0);", "ended with exit code 0 before its time"},
    {"under", "unistd.h", "_exit(0);", "ended with exit code 0 before its time"},
    {"aborts", "stdlib.h", "abort();", "died of SIGABRT"},
    {"nullptr", "stdlib.h", "*(volatile int *)0 = 1;", "died of SIGSEGV"},
    {"kill", "signal.h", "raise(SIGKILL);", "died of SIGKILL"},
    {"term", "signal.h", "signal(SIGTERM, SIG_DFL); raise(SIGTERM);", "died of SIGTERM"},
    {"jump", "setjmp.h", "static jmp_buf nowhere; longjmp(nowhere, 1);", "died of SIG"},
    {"thread", "pthread.h", "pthread_exit(NULL);", "before its time"},
    {"exec", "unistd.h", "execl(\"/bin/true\", \"true\", (char *)NULL);", "ended with exit code 0 before its time"},
};
enum { FAULTS = sizeof faults / sizeof *faults };

static const fault lies[] = {
    {"liar", "stdlib.h", "o->certified = true; o->prediction = 12;",
     "certified, though its prediction 12 is none of 10 classes"},
    {"mute", "stdlib.h", "o->prediction = -1;", "no prediction, though every logit is a number"},
};

/* A rule called NAME that does what the body says for images of class 3, else as the sum rule. */
static void compile_fault(const fault *f)
{
    static const char head[] =
        "static void fall(const pg_evidence *e, pg_window w, int64_t delta, int label, const void *const *c, "
        "size_t n, void *s, pg_verdict *o) { pg_sum_rule_certify(e, w, delta, label, c, n, s, o); ";
    char source[4096], file[64];
    snprintf(source, sizeof source,
             "#include <%s>\n#include \"defenses/rule.h\"\n%sif (label == 3) { %s } }\n%s.name = \"%s\"}, %s%s%s", f->includes,
             head, f->body, HEAD, f->name, ".certificate = worth, .evidence = evidence, .scratch_size = pg_sum_rule_scratch, ",
             ".predict = pg_sum_rule_predict, .certify = fall};\n", TAIL);
    snprintf(file, sizeof file, "bad/%s.c", f->name);
    mkdir(scratch_path("bad"), 0700);
    scratch_write(file, source, strlen(source));
    compile("bad", f->name, "-O1 -pthread");
}

static void write_features(void)
{
    if (access(scratch_path("dump"), F_OK) != 0)
        assert_int_equal(
            program_run("db", "features --weights null --dataset synthetic:test --images 0:40 -o %s/dump", scratch_folder), 0);
}

/* `certify` names the rule and the image, says nothing on standard output, and ends with exit code 2. */
static void certify_survives_any_end(void **state)
{
    (void)state;
    write_features();
    for (size_t i = 0; i < FAULTS + sizeof lies / sizeof *lies; i++) {
        const fault *f = i < FAULTS ? &faults[i] : &lies[i - FAULTS];
        char named[128];
        compile_fault(f);
        assert_int_equal(
            program_run("none.db",
                        "--quiet --plugin %s/bad/%s.so certify %s/dump/features.npy %s/dump/labels.npy --defense %s "
                        "--window 3x3 2>%s/said",
                        scratch_folder, f->name, scratch_folder, scratch_folder, f->name, scratch_folder),
            2);
        assert_string_equal(program_output, "");
        assert_int_equal(program_shell(strcat(strcpy(named, "cat "), scratch_path("said"))), 0);
        expect(f->reason);
        snprintf(named, sizeof named, "patchgauge: defense '%s' of /", f->name);
        expect(named);
        expect(".so: image 1: ");
        const char *ours = strstr(program_output, "patchgauge: "); /* one line of ours; a sanitizer may warn before it */
        assert_ptr_equal(strchr(ours, '\n'), program_output + strlen(program_output) - 1);
    }
}

/* Cells of a rule of the plug-in beside cells of a built-in one, of the same passes: the latter are as ever, whatever ends the
 * process. */
static void write_mixed(const char *rule)
{
    char matrix[512];
    snprintf(
        matrix, sizeof matrix,
        "[fixed]\ndataset = \"synthetic:test\"\nimages = \"0:40\"\nweights = \"null\"\n[axes]\ndefense = [\"%s\", \"ds\"]\n"
        "patch = [2, 3]\n",
        rule);
    scratch_write("mixed.toml", matrix, strlen(matrix));
}

static void a_run_keeps_built_in_cells(void **state)
{
    (void)state;
    for (size_t i = 0; i < FAULTS + sizeof lies / sizeof *lies; i++) {
        const fault *f = i < FAULTS ? &faults[i] : &lies[i - FAULTS];
        char named[128];
        compile_fault(f);
        write_mixed(f->name);
        unlink(scratch_path("mixed.db"));
        assert_int_equal(program_run("mixed.db", "--plugin %s/bad/%s.so --cache-size 0 run %s/mixed.toml", scratch_folder,
                                     f->name, scratch_folder),
                         1);
        snprintf(named, sizeof named, "warning: %sdefense '%s' of /", i < FAULTS ? "" : "images 0 to 39: ", f->name);
        expect(named);
        expect(strcmp(f->name, "thread") == 0 ? "died of SIGABRT" : f->reason);
        expect("given up");
        expect("1 of 2 tasks failed");
        assert_int_equal(program_run("mixed.db", "--quiet --plugin %s/bad/%s.so table %s/mixed.toml -f json", scratch_folder,
                                     f->name, scratch_folder),
                         0);
        assert_true(fabs(tidy_number("defense=ds patch=2 metric=clean", "value") - 17.5) < 1e-9);
        assert_true(fabs(tidy_number("defense=ds patch=3 metric=clean", "value") - 17.5) < 1e-9);
        snprintf(named, sizeof named, "defense=%s patch=2 metric=clean n=0", f->name);
        assert_true(isnan(tidy_number(named, "value")));
    }
}

/* An attack runs the rule in a worker: what ends that is told, nothing is written, and nothing is left. */
static void an_attack_survives_any_end(void **state)
{
    (void)state;
    for (size_t i = 0; i < FAULTS + sizeof lies / sizeof *lies; i++) {
        const fault *f = i < FAULTS ? &faults[i] : &lies[i - FAULTS];
        char named[128];
        compile_fault(f);
        assert_int_equal(
            program_run("none.db",
                        "--quiet --plugin %s/bad/%s.so attack --weights null --dataset synthetic:test --images 0:8 "
                        "--attack random-search --set steps=1 --patch 3 --defense %s --sheet 0 -o %s/attacked",
                        scratch_folder, f->name, f->name, scratch_folder),
            1);
        snprintf(named, sizeof named, "defense '%s' of /", f->name);
        expect(named);
        expect("patchgauge: images 0 to 7: ");
        expect(strcmp(f->name, "thread") == 0 ? "died of SIGABRT" : f->reason);
        assert_int_equal(access(scratch_path("attacked"), F_OK), -1);
    }
}

static void an_audit_keeps_built_in_cells(void **state)
{
    (void)state;
    for (size_t i = 0; i < FAULTS + sizeof lies / sizeof *lies; i++) {
        const fault *f = i < FAULTS ? &faults[i] : &lies[i - FAULTS];
        char named[128];
        compile_fault(f);
        write_mixed(f->name);
        unlink(scratch_path("audit.db"));
        assert_int_equal(program_run("audit.db",
                                     "--quiet --plugin %s/bad/%s.so audit %s/mixed.toml --level feature --random 2 -f csv",
                                     scratch_folder, f->name, scratch_folder),
                         1);
        expect(",ds,2,sound,feature,40,");
        expect(",ds,3,sound,feature,40,");
        snprintf(named, sizeof named, "defense '%s' of /", f->name);
        expect(named);
        expect(strcmp(f->name, "thread") == 0 ? "died of SIGABRT" : f->reason);
        expect("patchgauge: 2 of 4 cells could not be audited; the first: ");
        assert_int_equal(program_run("audit.db",
                                     "--quiet --plugin %s/bad/%s.so audit %s/mixed.toml --level feature --stored -f csv",
                                     scratch_folder, f->name, scratch_folder),
                         0);
        expect(",ds,2,sound,feature,40,");
    }
}

/* A rule without an end ends with Ctrl-C: at once with the second in a run and an audit, with the first in certify. */
static void a_loop_without_end_can_be_stopped(void **state)
{
    (void)state;
    static const fault loop = {"loops", "stdlib.h>\n#include <stdio.h>\n#include <unistd.h",
                               "FILE *f = fopen(getenv(\"LOOPS\"), \"w\"); if (f) fclose(f); for (;;) pause();", NULL};
    static const char *const commands[] = {"run %s/mixed.toml", "audit %s/mixed.toml --level feature"};
    compile_fault(&loop);
    write_mixed("loops");
    for (size_t i = 0; i < 2; i++) {
        char command[256], line[2048];
        snprintf(command, sizeof command, commands[i], scratch_folder);
        snprintf(
            line, sizeof line,
            "rm -f %s/loops; LOOPS=%s/loops %s --quiet --db %s/loop%zu.db --plugin %s/bad/loops.so %s >/dev/null 2>&1 & p=$!\n"
            "until [ -e %s/loops ]; do kill -0 $p || exit 8; sleep 0.05; done\n"
            "kill -INT $p; sleep 0.3; kill -0 $p || exit 9; kill -INT $p; wait $p",
            scratch_folder, scratch_folder, program_path(), scratch_folder, i, scratch_folder, command, scratch_folder);
        assert_int_equal(program_shell(line), 3);
    }
}

/* Scores that are no numbers lead an attack nowhere, and are not its fault. Needs libtorch. */
static void a_surrogate_of_no_numbers_is_named(void **state)
{
    (void)state;
    static const char source[] =
        "#include <math.h>\n#include \"models/torch/torch.h\"\n#include \"defenses/rule.h\"\n"
        "static pg_tensor *sur(pg_scope *s, const void *c, int kind, const pg_map *map, pg_tensor *logits, pg_tensor *labels)\n"
        "{ (void)c, (void)kind, (void)map, (void)labels;\n"
        "  return s->torch->affine(s, s->torch->mean(s, logits, 2, (const int64_t[]){2, 3}, false), NAN, 0); }\n" HEAD
        ".name = \"nosum\"}, .surrogate = sur, .surrogate_version = 1, " HOOKS TAIL;
    mkdir(scratch_path("bad"), 0700);
    scratch_write("bad/nosum.c", source, strlen(source));
    compile("bad", "nosum", "");
    assert_int_equal(
        program_run("none.db",
                    "--quiet --plugin %s/bad/nosum.so attack --weights models/zoo/synthetic-bagnet.safetensors --dataset "
                    "synthetic:test --images 0:2 --attack lavan --patch 5 --defense nosum --set steps=2 --sheet 0 -o %s/nosum",
                    scratch_folder, scratch_folder),
        1);
    expect("patchgauge: images 0 to 1: defense 'nosum' of /");
    expect("nosum.so: image 0: the loss of attack lavan is no number");
    assert_int_equal(access(scratch_path("nosum"), F_OK), -1);
}

/* Whatever runs at load, or while planning. */
static void what_ends_the_process_early_is_told(void **state)
{
    (void)state;
    static const bad cases[] = {
        {"ctor", "#include <stdlib.h>\n__attribute__((constructor)) static void go(void) { exit(0); }\n",
         "/bad/ctor.so: cannot be loaded: its process ended with exit code 0 before its time"},
        {"crashing", "__attribute__((constructor)) static void go(void) { *(volatile int *)0 = 1; }\n",
         "/bad/crashing.so: cannot be loaded: its process died of SIGSEGV"},
        {"planner",
         "#include <stdlib.h>\n#include \"defenses/rule.h\"\nstatic int normalize(void *c) { (void)c; exit(0); }\n" HEAD
         ".name = \"planner\", .normalize = normalize}, " HOOKS TAIL,
         "patchgauge: plug-in "},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char file[64];
        snprintf(file, sizeof file, "bad/%s.c", cases[i].name);
        mkdir(scratch_path("bad"), 0700);
        scratch_write(file, cases[i].source, strlen(cases[i].source));
        compile("bad", cases[i].name, "");
        assert_int_equal(program_run("none.db", "--quiet --plugin %s/bad/%s.so plan %s/m.toml -S defense=%s", scratch_folder,
                                     cases[i].name, scratch_folder, cases[i].name),
                         2);
        expect(cases[i].message);
        expect("its process ");
        assert_int_equal(access(scratch_path("none.db"), F_OK), -1);
    }
}

static void names_and_folders_are_checked(void **state)
{
    (void)state;
    assert_int_equal(program_run("db", "new defense Soft"), 2);
    expect("small letters");
    assert_int_equal(program_run("db", "new defense median"), 2);
    expect("there is a defense of this name already");
    assert_int_equal(program_run("db", "new defense soft-vote -o %s/mine", scratch_folder), 2);
    expect("is there already");
    assert_int_equal(program_run("db", "new defense"), 2);
    expect("NAME is missing; usage: patchgauge new defense|attack|model NAME");
}

/* Results are shown where the plug-in is not, byte for byte; what the program cannot know of its options is asked for. */
static void results_are_shown_without_it(void **state)
{
    (void)state;
    char *with = NULL;
    static const char *const formats[] = {"text", "csv", "json"};
    static const char choice[] = "-S attack=none,random-search -S random-search.steps=2 -S images=0:16 -S patch=2,2.4%";
    assert_int_equal(program_run("shown.db", "--quiet --plugin %s/mine/soft_vote.so run %s/m.toml %s", scratch_folder,
                                 scratch_folder, choice),
                     0);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(program_run("shown.db", "--plugin %s/mine/soft_vote.so table %s/m.toml %s -f %s 2>/dev/null",
                                     scratch_folder, scratch_folder, choice, formats[i]),
                         0);
        with = strdup(program_output);
        assert_int_equal(program_run("shown.db", "table %s/m.toml %s -f %s 2>/dev/null", scratch_folder, choice, formats[i]),
                         0);
        assert_string_equal(program_output, with);
        free(with);
    }
    assert_int_equal(program_run("shown.db", "table %s/m.toml %s", scratch_folder, choice), 0);
    expect("taken from the database: plug-in of soft-vote");
    assert_int_equal(program_run("shown.db", "--quiet --plugin %s/mine/soft_vote.so run %s/m.toml %s -S soft-vote.theta=0.7",
                                 scratch_folder, scratch_folder, choice),
                     0);
    assert_int_equal(program_run("shown.db", "table %s/m.toml %s", scratch_folder, choice), 2);
    expect("soft-vote is not in this program, and the database has cells of it with soft-vote.theta 0.5 and 0.7");
    assert_int_equal(program_run("shown.db", "table %s/m.toml %s -S soft-vote.theta=0.70,0.9 -f csv --metrics clean",
                                 scratch_folder, choice),
                     0);
    expect("4 cells of these have no results in the database");
    assert_int_equal(program_run("shown.db", "run %s/m.toml %s", scratch_folder, choice), 2);
    expect("unknown defense 'soft-vote'");
    assert_int_equal(program_run("shown.db", "table %s/m.toml -S defense=soft-voter", scratch_folder), 2);
    expect("unknown defense 'soft-voter'");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_template_passes_its_own_test),   cmocka_unit_test(it_is_listed_with_path_and_hash),
        cmocka_unit_test(it_runs_like_a_defense_of_our_own),  cmocka_unit_test(results_are_shown_without_it),
        cmocka_unit_test(what_is_not_whole_is_refused),       cmocka_unit_test(a_rule_that_means_nothing_is_refused),
        cmocka_unit_test(a_crash_costs_its_own_tasks),        cmocka_unit_test(certify_survives_any_end),
        cmocka_unit_test(a_run_keeps_built_in_cells),         cmocka_unit_test(an_attack_survives_any_end),
        cmocka_unit_test(an_audit_keeps_built_in_cells),      cmocka_unit_test(a_loop_without_end_can_be_stopped),
        cmocka_unit_test(a_surrogate_of_no_numbers_is_named), cmocka_unit_test(what_ends_the_process_early_is_told),
        cmocka_unit_test(names_and_folders_are_checked),
    };
    return cmocka_run_group_tests(tests, setup, scratch_remove);
}
