/* The pages of definitions and the tree agree: defenses/CERTIFICATES.md has a section for every rule, experiments/PROTOCOL.md
 * and it name tests that exist, and comments cite sections that there are. Also the counterexample of section 13. */
#include "defenses/certifier.h"
#include "harness/base/file.h"
#include "harness/base/option.h"

#include <ctype.h>
#include <glob.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { PAGE_MAX = 1 << 20, NAME_MAX_BYTES = 128 };

static const char *const pages[] = {"defenses/CERTIFICATES.md", "experiments/PROTOCOL.md"};
enum { CERTIFICATES, PROTOCOL, PAGES };

/* A file's text, *new*. */
static char *text_of(const char *path)
{
    char *text;
    size_t size;
    if (pg_file_read(path, PAGE_MAX, &text, &size) != PG_OK)
        fail_msg("%s", pg_error_message());
    return text;
}

/* Whether a heading of the page holds both names between backticks; the second may be NULL. */
static bool has_heading(const char *page, const char *a, const char *b)
{
    char first[NAME_MAX_BYTES], second[NAME_MAX_BYTES] = "";
    snprintf(first, sizeof first, "`%s`", a);
    if (b)
        snprintf(second, sizeof second, "`%s`", b);
    for (const char *at = strstr(page, "\n## "); at; at = strstr(at + 1, "\n## ")) {
        size_t length = strcspn(at + 1, "\n") + 1;
        const char *one = strstr(at, first), *two = strstr(at, second);
        if (one && two && one < at + length && two < at + length)
            return true;
    }
    return false;
}

/* Section 5 lists the rules that are marked so: its sentence "...marked `monotone`; `mean`, `clip` and `ds` are." */
static void section_5_lists_the_monotone_rules(void **state)
{
    (void)state;
    char *page = text_of(pages[CERTIFICATES]), list[512], name[NAME_MAX_BYTES];
    const char *sentence = strstr(page, "is marked `monotone`; ");
    assert_int_equal(sscanf(sentence ? sentence : "", "is marked `monotone`; %511[^.]", list), 1);
    int listed = 0, marked = 0;
    for (const char *at = list; *at; at++)
        listed += *at == '`';
    for (size_t i = 0; pg_defenses[i]; i++) {
        snprintf(name, sizeof name, "`%s`", pg_defenses[i]->module.name);
        marked += pg_defenses[i]->monotone;
        if (pg_defenses[i]->monotone != (strstr(list, name) != NULL))
            fail_msg("%s, section 5: %s is %smarked monotone, and the list says otherwise", pages[CERTIFICATES],
                     pg_defenses[i]->module.name, pg_defenses[i]->monotone ? "" : "not ");
    }
    assert_int_equal(listed, 2 * marked);
    free(page);
}

/* A defense, and each value of an option of fixed choices, such as rule=votes; the feature types have one section for all. */
static void every_rule_has_a_section(void **state)
{
    (void)state;
    char *page = text_of(pages[CERTIFICATES]), choice[NAME_MAX_BYTES];
    int choices = 0;
    for (size_t i = 0; pg_defenses[i]; i++) {
        const pg_module *m = &pg_defenses[i]->module;
        if (!has_heading(page, m->name, NULL))
            fail_msg("%s: no section for %s", pages[CERTIFICATES], m->name);
        for (const pg_option *row = m->options; row->name; row++)
            for (size_t c = 0; row->choices && row->choices[c]; c++) {
                bool of_all = strcmp(row->name, "feature") == 0;
                snprintf(choice, sizeof choice, "%s=%s", row->name, row->choices[c]);
                choices += !of_all;
                if (!has_heading(page, choice, of_all ? NULL : m->name))
                    fail_msg("%s: no section for %s with %s", pages[CERTIFICATES], m->name, choice);
            }
    }
    assert_true(choices >= 4);
    free(page);
}

/* Whether a program of that name has such a test. */
static bool exists(const char *program, const char *function)
{
    char pattern[NAME_MAX_BYTES + 32], definition[NAME_MAX_BYTES + 32];
    glob_t files = {0};
    bool found = false;
    snprintf(pattern, sizeof pattern, "tests/*/test_%s.c", program);
    snprintf(definition, sizeof definition, "\nstatic void %s(void **state)", function);
    (void)glob(pattern, 0, NULL, &files);
    for (size_t i = 0; i < files.gl_pathc; i++) {
        char *text = text_of(files.gl_pathv[i]);
        found |= strstr(text, definition) != NULL;
        free(text);
    }
    globfree(&files);
    return found;
}

/* Checks the names PROGRAM:FUNCTION between backticks in a paragraph; returns how many there are. */
static int check_names(const char *page, const char *start, const char *end)
{
    int n = 0;
    for (const char *at = strchr(start, '`'); at && at < end; at = strchr(at + 1, '`')) {
        char program[NAME_MAX_BYTES], function[NAME_MAX_BYTES], tail = 0;
        const char *name = at + 1;
        at = strchr(name, '`');
        assert_non_null(at);
        if (sscanf(name, "%127[a-z0-9_]:%127[a-z0-9_]%c", program, function, &tail) != 3 || tail != '`')
            continue;
        n++;
        if (!exists(program, function))
            fail_msg("%s: no test %s:%s", page, program, function);
    }
    return n;
}

/* Sections are numbered from 1 on, and each names tests, in a paragraph that begins with "Tests:". Returns their number. */
static int check_sections(const char *name, const char *page)
{
    int number = 0;
    for (const char *at = strstr(page, "\n## "); at; number++) {
        const char *next = strstr(at + 1, "\n## "), *tests = strstr(at, "\nTests: ");
        if (atoi(at + strlen("\n## ")) != number + 1)
            fail_msg("%s: a section %d is missing: %.60s", name, number + 1, at + 1);
        if (!tests || (next && tests > next))
            fail_msg("%s: section %d names no tests", name, number + 1);
        const char *end = strstr(tests, "\n\n");
        if (check_names(name, tests, end ? end : tests + strlen(tests)) == 0)
            fail_msg("%s: section %d names no tests", name, number + 1);
        at = next;
    }
    return number;
}

static void sections_name_tests_that_exist(void **state)
{
    (void)state;
    assert_true(exists("certificates", "sections_name_tests_that_exist"));
    assert_false(exists("certificates", "sections_name_tests_that_exist_not"));
    for (int i = 0; i < PAGES; i++) {
        char *page = text_of(pages[i]);
        int sections = check_sections(pages[i], page);
        assert_true(sections >= 9);
        free(page);
    }
}

/* "CERTIFICATES.md, section 4", "PROTOCOL.md, sections 3 and 7", in any file of the tree. */
static void cited_sections_exist(void **state)
{
    (void)state;
    int sections[PAGES], cited = 0;
    char line[256];
    for (int i = 0; i < PAGES; i++) {
        char *page = text_of(pages[i]);
        sections[i] = check_sections(pages[i], page);
        free(page);
    }
    FILE *pipe = popen("grep -rnoIE '(CERTIFICATES|PROTOCOL)\\.md, sections? [0-9]+((,| and| to) [0-9]+)*' *.md attacks "
                       "db defenses experiments harness models plots tests",
                       "r");
    assert_non_null(pipe);
    while (fgets(line, sizeof line, pipe)) {
        const char *at = strstr(line, ".md, section");
        int most = strstr(line, ":CERTIFICATES") ? sections[CERTIFICATES] : sections[PROTOCOL];
        for (; at && *at; at += strspn(at, "0123456789") + !isdigit((unsigned char)*at))
            if (isdigit((unsigned char)*at) && (cited++, atoi(at) < 1 || atoi(at) > most))
                fail_msg("no such section: %s", line);
    }
    assert_int_equal(pclose(pipe), 0);
    assert_true(cited > 0);
}

/* Section 13: certified as published, and broken by the contents that it names; masked per class it is certified. */
static void the_counterexample_of_the_page_breaks(void **state)
{
    (void)state;
    static const float clean[] = {3, 0, 2, 0, 2, 0}, attacked[] = {3, 0, 2, 0, 2, 6};
    _Alignas(16) unsigned char config[2][PG_CONFIG_MAX];
    const char *const scopes[] = {"scope=predicted", "scope=per-class"};
    const pg_defense *d = pg_defense_find("robust-masking");
    pg_job jobs[2];
    pg_verdict v[2];
    pg_certifier *certifier;
    for (int i = 0; i < 2; i++) {
        assert_int_equal(pg_module_configure(&d->module, "defense", &scopes[i], 1, config[i]), PG_OK);
        jobs[i] = (pg_job){.defense = d, .config = config[i], .window = {1, 1}};
    }
    assert_int_equal(pg_certifier_new(jobs, 2, 1, 3, 2, false, false, &certifier), PG_OK);
    pg_certifier_image_f32(certifier, clean, 0, v);
    assert_true(v[0].prediction == 0 && v[0].failure_case == 4 && v[0].certified_published && !v[0].certified);
    assert_true(v[1].prediction == 0 && v[1].certified);
    pg_certifier_image_f32(certifier, attacked, 0, v);
    assert_int_equal(v[0].prediction, 1);
    assert_int_equal(v[1].prediction, 0);
    pg_certifier_free(certifier);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_rule_has_a_section),
        cmocka_unit_test(section_5_lists_the_monotone_rules),
        cmocka_unit_test(sections_name_tests_that_exist),
        cmocka_unit_test(cited_sections_exist),
        cmocka_unit_test(the_counterexample_of_the_page_breaks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
