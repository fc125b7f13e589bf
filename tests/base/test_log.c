/* Messages and progress on standard error. */
#include "harness/base/log.h"
#include "tests/support/scratch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <poll.h>

/* Sends standard error into a file while a test speaks; returns what was said. */
static int kept_stderr = -1;
static void capture_begin(void)
{
    fflush(stderr);
    kept_stderr = dup(STDERR_FILENO);
    int fd = open(scratch_path("err"), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    dup2(fd, STDERR_FILENO);
    close(fd);
}

static const char *capture_end(void)
{
    static char text[8192];
    fflush(stderr);
    dup2(kept_stderr, STDERR_FILENO);
    close(kept_stderr);
    FILE *stream = fopen(scratch_path("err"), "rb");
    text[fread(text, 1, sizeof text - 1, stream)] = 0;
    fclose(stream);
    return text;
}

static void messages_are_lines(void **state)
{
    (void)state;
    capture_begin();
    pg_info("one %d", 1);
    pg_warn("two %s", "2");
    assert_string_equal(capture_end(), "one 1\nwarning: two 2\n");
}

static void long_messages_are_cut_and_still_lines(void **state)
{
    (void)state;
    char text[5000];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = 0;
    capture_begin();
    pg_info("%s", text);
    const char *said = capture_end();
    assert_true(strlen(said) > 1000 && strlen(said) < 1200);
    assert_int_equal(said[strlen(said) - 1], '\n');
}

static void quiet_keeps_warnings_only(void **state)
{
    (void)state;
    pg_progress progress;
    capture_begin();
    pg_log_quiet(true);
    pg_info("information");
    pg_warn("warning");
    pg_progress_start(&progress, "work", 0, 10);
    pg_progress_update(&progress, 5, NULL);
    pg_progress_finish(&progress);
    pg_log_quiet(false);
    assert_string_equal(capture_end(), "warning: warning\n");
}

static void progress_ends_with_a_whole_line(void **state)
{
    (void)state;
    pg_progress progress;
    capture_begin();
    pg_progress_start(&progress, "images", 20, 120);
    for (int i = 20; i <= 120; i++)
        pg_progress_update(&progress, i, "note");
    pg_progress_finish(&progress);
    const char *said = capture_end();
    assert_int_equal(strncmp(said, "images 120/120 100% ", 20), 0); /* no bar where there is no terminal */
    assert_non_null(strstr(said, "/s in "));
    assert_int_equal(said[strlen(said) - 1], '\n');
}

static void rates_read(void **state)
{
    (void)state;
    static const struct {
        double per_s;
        const char *unit, *want;
    } cases[] = {{340, "images", "340 images/s"},
                 {1, "images", "1.0 images/s"},
                 {0.2, "images", "12 images/min"},
                 {0.99, "images", "59 images/min"},
                 {0.01, "images", "36 images/h"},
                 {0.0001, "images", "8.6 images/day"},
                 {48123, "images", "48k images/s"},
                 {1250, "", "1.2k/s"},
                 {999.4, "", "999/s"},
                 {9.96, "", "10/s"},
                 {5.2e6, "", "5.2M/s"},
                 {0, "images", "0.0 images/day"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[64];
        pg_rate_format(cases[i].per_s, cases[i].unit, text);
        assert_string_equal(text, cases[i].want);
    }
}

/* A line twice a minute, and none where nothing has changed; parts of what is in hand count. */
static void progress_in_a_file_is_sparing(void **state)
{
    (void)state;
    pg_progress progress;
    capture_begin();
    pg_progress_start(&progress, "images", 0, 10);
    pg_progress_update(&progress, 4, NULL); /* too soon */
    for (int i = 0; i < 3; i++) {
        progress.drawn_s -= 31;
        progress.start_s -= 31;
        pg_progress_update(&progress, 4, NULL);
    }
    progress.drawn_s -= 31;
    progress.part = 1.5;
    pg_progress_update(&progress, 4, "(pass 3 of at most 4 in hand)");
    const char *said = capture_end();
    int lines = 0;
    for (const char *p = said; *p; p++)
        lines += *p == '\n';
    if (lines != 2)
        fail_msg("%s", said);
    assert_int_equal(strncmp(said, "images 4/10 40% 7.7 images/min eta ", 35), 0);
    assert_non_null(strstr(said, "\nimages 4/10 55% 3.5 images/min eta 76s (pass 3 of at most 4 in hand)\n"));
}

static void progress_on_a_terminal_is_one_line_redrawn(void **state)
{
    (void)state;
    int master = posix_openpt(O_RDWR | O_NOCTTY);
    char name[64], said[4096];
    if (master < 0 || grantpt(master) || unlockpt(master) || ptsname_r(master, name, sizeof name))
        skip();
    int slave = open(name, O_RDWR | O_NOCTTY);
    if (slave < 0)
        skip();
    pg_progress progress;
    kept_stderr = dup(STDERR_FILENO);
    dup2(slave, STDERR_FILENO);
    pg_progress_start(&progress, "images", 0, 10);
    progress.drawn_s -= 1; /* as if a second had passed */
    pg_progress_update(&progress, 4, "note");
    pg_info("said in between");
    dup2(kept_stderr, STDERR_FILENO);
    close(kept_stderr);
    size_t size = 0; /* a terminal hands over in pieces, and some of them late */
    struct pollfd ready = {.fd = master, .events = POLLIN};
    for (said[0] = 0; size < sizeof said - 1 && !strstr(said, "between\r\n") && poll(&ready, 1, 600000) == 1; said[size] = 0) {
        ssize_t n = read(master, said + size, sizeof said - 1 - size);
        assert_true(n > 0);
        size += (size_t)n;
    }
    close(slave);
    close(master);
    assert_non_null(strstr(said, "\r\033[Kimages 4/10 40% "));
    assert_non_null(strstr(said, " note\r\033[Ksaid in between\r\n")); /* the bar gives way to the message */
}

static void the_clock_goes_forward(void **state)
{
    (void)state;
    double a = pg_now_s(), b = pg_now_s();
    assert_true(b >= a && a > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages_are_lines),
        cmocka_unit_test(long_messages_are_cut_and_still_lines),
        cmocka_unit_test(quiet_keeps_warnings_only),
        cmocka_unit_test(progress_ends_with_a_whole_line),
        cmocka_unit_test(progress_in_a_file_is_sparing),
        cmocka_unit_test(rates_read),
        cmocka_unit_test(progress_on_a_terminal_is_one_line_redrawn),
        cmocka_unit_test(the_clock_goes_forward),
    };
    return cmocka_run_group_tests(tests, scratch_make, scratch_remove);
}
