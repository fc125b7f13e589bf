/* Workers and their lock files. See store.h.
 *
 * A worker lives as long as it holds flock() on "<store>.worker-<token>". The kernel drops the lock with the process, however
 * it dies, so nobody needs a heartbeat or a clock, and a stopped worker keeps its tasks until it is killed. */
#include "db/internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

enum { TOKEN_BYTES = 16 };

/* A database comes from anywhere: no other text ever becomes part of a path. */
static bool is_token(const char *text)
{
    return strlen(text) == 2 * TOKEN_BYTES && strspn(text, "0123456789abcdef") == 2 * TOKEN_BYTES;
}

static char *lock_path_of(const pg_store *store, const char *token)
{
    pg_buf path = PG_BUF_EMPTY;
    pg_buf_printf(&path, "%s.worker-%s", store->real, token);
    return pg_buf_take(&path);
}

static int make_token(char token[2 * TOKEN_BYTES + 1])
{
    unsigned char bytes[TOKEN_BYTES];
    if (getrandom(bytes, sizeof bytes, 0) != (ssize_t)sizeof bytes)
        return pg_fail(PG_EIO, "no random bytes from the kernel: %s", strerror(errno));
    for (size_t i = 0; i < sizeof bytes; i++)
        snprintf(token + 2 * i, 3, "%02x", bytes[i]);
    return PG_OK;
}

/* Makes and locks the file. *lost: a sweeper took the new file for a dead worker's before it was locked; try another token. */
static int take_lock(pg_store *store, const char *token, bool *lost)
{
    struct stat mine, there;
    *lost = false;
    store->lock_path = lock_path_of(store, token);
    if (!store->lock_path)
        return pg_fail(PG_ENOMEM, "%s: out of memory", store->path);
    store->lock_fd = open(store->lock_path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (store->lock_fd < 0)
        return pg_fail(PG_EIO, "%s: the worker's lock file cannot be made: %s; the database's folder must be writable",
                       store->lock_path, strerror(errno));
    bool locked = flock(store->lock_fd, LOCK_EX | LOCK_NB) == 0;
    if (!locked && errno != EWOULDBLOCK)
        return pg_fail(PG_EIO, "%s: cannot be locked: %s; keep the database on a local file system", store->lock_path,
                       strerror(errno));
    *lost = !locked || fstat(store->lock_fd, &mine) != 0 || stat(store->lock_path, &there) != 0 || mine.st_ino != there.st_ino;
    return PG_OK;
}

static void drop_lock(pg_store *store)
{
    if (store->lock_fd >= 0) {
        unlink(store->lock_path);
        close(store->lock_fd);
    }
    free(store->lock_path);
    store->lock_path = NULL;
    store->lock_fd = -1;
}

int pg_store_worker_start(pg_store *store, const pg_store_worker_row *worker)
{
    char token[2 * TOKEN_BYTES + 1], host[256] = "", now[32];
    gethostname(host, sizeof host - 1);
    pg_db_time(now);
    int code = PG_OK;
    for (bool lost = true; code == PG_OK && lost;) {
        drop_lock(store);
        code = make_token(token);
        if (code == PG_OK)
            code = take_lock(store, token, &lost);
    }
    /* first the lock, then the row: a row without a lock is a dead worker */
    if (code == PG_OK)
        code = pg_db_store_worker(store, &(pg_db_worker){.token = token,
                                                         .host = host,
                                                         .pid = getpid(),
                                                         .revision = worker->revision,
                                                         .versions = worker->versions,
                                                         .device = worker->device,
                                                         .threads = worker->threads,
                                                         .started = now});
    if (code == PG_OK)
        store->worker = sqlite3_last_insert_rowid(store->db);
    else
        drop_lock(store);
    return code;
}

void pg_store_worker_end(pg_store *store)
{
    if (store->worker) {
        char now[32];
        pg_db_time(now);
        /* Best effort: a worker without an end and without a lock counts as dead, which it then is. */
        if (pg_db_run(store, "signing off", "UPDATE worker SET ended = :now WHERE worker = :worker",
                      PG_BIND(PG_V(worker, store->worker), PG_V(now, now))) != PG_OK)
            store->worker = 0;
    }
    store->worker = 0;
    drop_lock(store);
}

bool pg_db_worker_lives(const pg_store *store, const char *token)
{
    if (!is_token(token))
        return false;
    char *path = lock_path_of(store, token);
    int fd = path ? open(path, O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC) : -1;
    bool lives = fd >= 0 ? flock(fd, LOCK_SH | LOCK_NB) != 0 : errno != ENOENT;
    if (fd >= 0)
        close(fd);
    free(path);
    return lives;
}

/* True where no process holds the lock. The file is removed then: its token is never used again. */
static bool is_dead(const pg_store *store, const char *token)
{
    if (!is_token(token))
        return true; /* no process ever had it */
    char *path = lock_path_of(store, token);
    if (!path)
        return false;
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC); /* of other users, too; no FIFO holds us */
    bool dead = fd < 0 ? errno == ENOENT : flock(fd, LOCK_EX | LOCK_NB) == 0;
    if (dead && fd >= 0)
        unlink(path);
    if (fd >= 0)
        close(fd);
    free(path);
    return dead;
}

/* Lock files of workers that died before they were recorded. Best effort: they only take up room. */
static void sweep(const pg_store *store)
{
    const char *base = strrchr(store->real, '/') + 1;
    char *folder = strndup(store->real, (size_t)(base - store->real));
    DIR *entries = folder ? opendir(folder) : NULL;
    size_t length = strlen(base);
    for (struct dirent *e; entries && (e = readdir(entries));) {
        const char *token = e->d_name + length + strlen(".worker-");
        if (strncmp(e->d_name, base, length) == 0 && strncmp(e->d_name + length, ".worker-", strlen(".worker-")) == 0 &&
            is_token(token))
            is_dead(store, token);
    }
    if (entries)
        closedir(entries);
    free(folder);
}

int64_t pg_store_worker(const pg_store *store) { return store->worker; }

int pg_store_reap(pg_store *store, int64_t *requeued)
{
    int64_t dead[64];
    *requeued = 0;
    for (size_t n = 64; n == 64;) { /* a full batch: there may be more */
        n = 0;
        sqlite3_stmt *row = NULL;
        int step = 0;
        int code =
            pg_db_get(store,
                      /* ended ones too: a worker that failed may have left tasks behind */
                      "SELECT w.worker, w.token FROM worker w WHERE w.worker <> :worker AND (w.ended IS NULL OR w.worker IN"
                      " (SELECT t.owner FROM task t WHERE t.state = 'running' AND t.state <> 'done'))",
                      &row, PG_BIND(PG_V(worker, store->worker)));
        while (code == PG_OK && n < 64 && (step = pg_db_step(store, row, "looking for dead workers")) == 1)
            if (is_dead(store, pg_db_text(row, 1)))
                dead[n++] = sqlite3_column_int64(row, 0);
        pg_db_done(row);
        if (code == PG_OK && step < 0)
            code = step;
        for (size_t i = 0; code == PG_OK && i < n; i++) {
            code = pg_db_begin(store);
            if (code == PG_OK)
                code = pg_db_end(store, pg_db_requeue(store, dead[i], requeued));
        }
        if (code != PG_OK)
            return code;
    }
    sweep(store);
    return PG_OK;
}
