/* Finds and loads the libtorch shim. See torch.h. */
#include "models/torch/torch.h"

#include "harness/base/hash.h"
#include "harness/base/log.h"
#include "models/torch/cpu.h"

#include <dlfcn.h>
#include <libgen.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static const pg_torch *loaded;        /* written once, under the lock */
static char loaded_hash[PG_HASH_HEX]; /* likewise */

static int cores(void)
{
    cpu_set_t set;
    return sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
}

static int find_shim(char path[PATH_MAX])
{
    const char *chosen = getenv("PATCHGAUGE_TORCH");
    if (chosen && *chosen) {
        /* absolute: a name without a slash would be looked for among the system's libraries */
        bool there = realpath(chosen, path) && access(path, R_OK) == 0;
        return there ? PG_OK : pg_fail(PG_EMISSING, "PATCHGAUGE_TORCH names %s, which cannot be read", chosen);
    }
    static const char name[] = "patchgauge-torch.so";
    char self[PATH_MAX];
    ssize_t size = readlink("/proc/self/exe", self, sizeof self - 1);
    if (size < 0)
        return pg_fail(PG_EIO, "cannot read /proc/self/exe");
    self[size] = 0;
    const char *folder = dirname(self);
    /* beside the program; for programs in build/tests, one folder up; installed: lib/patchgauge */
    static const char *const places[] = {"", "../", "../lib/patchgauge/"};
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        if (snprintf(path, PATH_MAX, "%s/%s%s", folder, places[i], name) < PATH_MAX && access(path, R_OK) == 0)
            return PG_OK;
    }
    return pg_fail(
        PG_EMISSING,
        "the libtorch shim %s is not beside the program in %s: build it with `make torch`, or name it in PATCHGAUGE_TORCH",
        name, folder);
}

static int load(int threads)
{
    char path[PATH_MAX];
    int code = find_shim(path);
    if (code != PG_OK)
        return code;
    char hash[PG_HASH_HEX];
    code = pg_hash_file(path, hash);
    if (code != PG_OK)
        return code;
    if (getenv("PATCHGAUGE_TORCH"))
        pg_info("libtorch shim: %s, SHA-256 %s", path, hash);
    if (threads <= 0)
        threads = cores();
    /* Bound threads take the first cores: only where all are taken, or two programs of one thread would share
     * the first core. */
    if (threads >= cores())
        setenv("OMP_PROC_BIND", "true", 0);
    setenv("OPENBLAS_NUM_THREADS", "1", 0);
    if (pg_cpu_has_avx512())
        setenv("ATEN_CPU_CAPABILITY", "avx512", 0);
    void *object = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!object) {
        char limit[PG_LIMIT_NOTE_MAX];
        pg_limit_note(limit);
        return pg_fail(PG_ETORCH, "cannot load the libtorch shim: %s%s", dlerror(),
                       *limit ? limit : " (is libtorch installed? on Debian: apt-get install libtorch-dev)");
    }
    pg_torch_table_fn *table = NULL;
    *(void **)&table = dlsym(object, "pg_torch_table");
    const pg_torch *torch = table ? table(PG_TORCH_VERSION) : NULL;
    if (!torch) {
        dlclose(object);
        return pg_fail(PG_ETORCH, "%s is not a shim of this program's version (%d): rebuild it with `make torch`", path,
                       PG_TORCH_VERSION);
    }
    code = torch->configure(threads);
    if (code == PG_ENOMEM)
        return pg_fail(
            PG_ENOMEM,
            "not enough memory for libtorch with %d threads: its products take 160 MiB for each; use fewer (--threads)",
            threads);
    if (code != PG_OK)
        return pg_fail(PG_ETORCH, "libtorch could not be set to %d threads", threads);
    loaded = torch;
    memcpy(loaded_hash, hash, sizeof loaded_hash);
    return PG_OK;
}

const char *pg_torch_hash(void) { return loaded_hash; }

int pg_torch_load(int threads, const pg_torch **out)
{
    pthread_mutex_lock(&lock);
    int code = loaded ? PG_OK : load(threads);
    *out = loaded;
    pthread_mutex_unlock(&lock);
    return code;
}

int pg_scope_check(const pg_scope *s)
{
    if (!s)
        return pg_fail(PG_ENOMEM, "out of memory");
    return s->error ? pg_fail(s->error, "%s", s->message) : PG_OK;
}
