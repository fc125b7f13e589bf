/* Linked into every test program: before its main, the program gets a home of its own, so that neither it nor what it starts
 * reads or writes the user's caches, settings, data sets and plug-ins. Who starts it, and how, does not matter. */
#include "tests/support/scratch.h"

static char home[256];
static pid_t owner;

__attribute__((constructor)) static void isolate(void)
{
    static const char *const users[] = {"XDG_CACHE_HOME",         "XDG_CONFIG_HOME",       "XDG_DATA_HOME",
                                        "XDG_STATE_HOME", /* now below HOME */
                                        "PATCHGAUGE_PLUGIN_PATH", "PATCHGAUGE_NETWORK_DB", "PATCHGAUGE_TRUST"};
    const char *base = getenv("TMPDIR");
    char data[sizeof home + 8];
    snprintf(home, sizeof home, "%s/patchgauge-home-XXXXXX", base && *base ? base : "/tmp");
    if (!mkdtemp(home)) {
        perror(home);
        _exit(1);
    }
    snprintf(data, sizeof data, "%s/data", home);
    setenv("HOME", home, 1);
    setenv("PATCHGAUGE_DATA", data, 1);
    for (size_t i = 0; i < sizeof users / sizeof *users; i++)
        unsetenv(users[i]);
    owner = getpid();
}

/* Forked children that end with exit leave it. */
__attribute__((destructor)) static void clean(void)
{
    if (getpid() == owner)
        nftw(home, scratch_remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}
