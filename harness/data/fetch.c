/* Resumable download by libcurl. See fetch.h.
 *
 * A range is asked for whenever part of the file is there. A server that ignores it answers 200 and the whole file, which then
 * replaces the part; an answer with another start or total size is refused before a byte of it is kept. */
#include "harness/data/fetch.h"

#include "harness/base/file.h"
#include "harness/base/hash.h"
#include "harness/base/log.h"

#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

enum { FRUITLESS_TRIES = 3, REDIRECTS = 5, CONNECT_S = 30, STALL_S = 60 };

typedef struct transfer {
    const pg_fetch *fetch;
    CURL *curl;
    int fd;
    int64_t have;  /* bytes in the file */
    int64_t start; /* where the answer begins, from Content-Range; -1: not said */
    int64_t total; /* of the whole file as the answer says it; -1: not said */
    bool begun;    /* the body's first byte was seen */
    int code;      /* our own verdict, with its message set; PG_OK if none */
    pg_progress progress;
} transfer;

/* "Content-Range: bytes 100-199/200" */
static void read_content_range(transfer *t, const char *value)
{
    long long start, end, total;
    if (sscanf(value, " bytes %lld-%lld/%lld", &start, &end, &total) == 3) {
        t->start = start;
        t->total = total;
    } else if (sscanf(value, " bytes %lld-%lld/*", &start, &end) == 2)
        t->start = start;
}

static size_t on_header(char *data, size_t item, size_t n, void *context)
{
    transfer *t = context;
    char line[256];
    size_t size = item * n, length = size < sizeof line ? size : sizeof line - 1;
    memcpy(line, data, length);
    line[length] = 0;
    if (strncmp(line, "HTTP/", 5) == 0) /* the next answer of a chain of redirections */
        t->start = t->total = -1;
    else if (strncasecmp(line, "Content-Range:", 14) == 0)
        read_content_range(t, line + 14);
    return size;
}

/* The status is known: is this the file, and from where? */
static int begin_body(transfer *t)
{
    long status = 0;
    curl_off_t length = -1;
    curl_easy_getinfo(t->curl, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_getinfo(t->curl, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length);
    if (status == 206) {
        if (t->start != t->have)
            return pg_fail(PG_EIO, "%s: the server sent another range than the one asked for", t->fetch->url);
        if (t->total >= 0 && t->total != t->fetch->size)
            return pg_fail(PG_EDAMAGED, "%s: the server's file has %lld bytes, right would be %lld", t->fetch->url,
                           (long long)t->total, (long long)t->fetch->size);
        return PG_OK;
    }
    if (status != 200)
        return pg_fail(PG_EMISSING, "%s: the server answered %ld", t->fetch->url, status);
    if (length >= 0 && length != t->fetch->size)
        return pg_fail(PG_EDAMAGED, "%s: the server's file has %lld bytes, right would be %lld", t->fetch->url,
                       (long long)length, (long long)t->fetch->size);
    if (t->have && ftruncate(t->fd, 0) != 0)
        return pg_fail(PG_EIO, "the download cannot be started anew: %s", strerror(errno));
    t->have = 0;
    return PG_OK;
}

static int keep(transfer *t, const char *data, size_t size)
{
    if (!t->begun) {
        t->begun = true;
        int code = begin_body(t);
        if (code)
            return code;
    }
    if ((int64_t)size > t->fetch->size - t->have)
        return pg_fail(PG_EDAMAGED, "%s: the server sends more than %lld bytes", t->fetch->url, (long long)t->fetch->size);
    while (size) {
        ssize_t n = pwrite(t->fd, data, size, (off_t)t->have);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return pg_fail(PG_EIO, "the download cannot be written: %s", strerror(errno));
        data += n;
        size -= (size_t)n;
        t->have += n;
    }
    pg_progress_update(&t->progress, t->have, NULL);
    return PG_OK;
}

static size_t on_body(char *data, size_t item, size_t n, void *context)
{
    transfer *t = context;
    t->code = keep(t, data, item * n);
    return t->code ? 0 : item * n;
}

static CURL *prepare(transfer *t, char *message)
{
    CURL *curl = curl_easy_init();
    if (!curl)
        return NULL;
    curl_easy_setopt(curl, CURLOPT_URL, t->fetch->url);
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(curl, CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 1L);
    curl_easy_setopt(curl, CURLOPT_MAXREDIRS, (long)REDIRECTS);
    curl_easy_setopt(curl, CURLOPT_FAILONERROR, 1L);
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, (long)CONNECT_S);
    curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, 100L);
    curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, (long)STALL_S);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_USERAGENT, "patchgauge");
    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, message);
    curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(curl, CURLOPT_HEADERDATA, t);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, t);
    return curl;
}

/* One request. PG_OK: the file has its full size; PG_EIO may be worth another try. */
static int attempt(transfer *t)
{
    char message[CURL_ERROR_SIZE] = "", range[32];
    t->curl = prepare(t, message);
    if (!t->curl)
        return pg_fail(PG_ENOMEM, "libcurl cannot start");
    t->begun = false;
    t->start = t->total = -1;
    t->code = PG_OK;
    if (t->have) {
        snprintf(range, sizeof range, "%lld-", (long long)t->have);
        curl_easy_setopt(t->curl, CURLOPT_RANGE, range);
    }
    CURLcode result = curl_easy_perform(t->curl);
    long status = 0;
    curl_easy_getinfo(t->curl, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_cleanup(t->curl);
    t->curl = NULL;
    if (t->code)
        return t->code;
    if (result == CURLE_HTTP_RETURNED_ERROR && status == 416 && t->have) { /* our part is no part of that file */
        t->have = 0;
        return ftruncate(t->fd, 0) ? pg_fail(PG_EIO, "the download cannot be started anew: %s", strerror(errno))
                                   : pg_fail(PG_EIO, "%s: the server refused to go on", t->fetch->url);
    }
    if (result == CURLE_HTTP_RETURNED_ERROR)
        return pg_fail(status >= 500 ? PG_EIO : PG_EMISSING, "%s: the server answered %ld", t->fetch->url, status);
    if (result == CURLE_UNSUPPORTED_PROTOCOL || result == CURLE_URL_MALFORMAT)
        return pg_fail(PG_EINPUT, "%s: right would be an address that begins with http:// or https://", t->fetch->url);
    if (result != CURLE_OK)
        return pg_fail(PG_EIO, "%s: %s", t->fetch->url, *message ? message : curl_easy_strerror(result));
    if (t->have < t->fetch->size)
        return pg_fail(PG_EDAMAGED, "%s: the server sent %lld bytes, right would be %lld", t->fetch->url, (long long)t->have,
                       (long long)t->fetch->size);
    return PG_OK;
}

static int download(transfer *t)
{
    int code = PG_EIO;
    for (int fruitless = 0; t->have < t->fetch->size;) {
        int64_t before = t->have;
        code = attempt(t);
        if (code != PG_EIO)
            return code;
        fruitless = t->have > before ? 0 : fruitless + 1;
        if (fruitless == FRUITLESS_TRIES)
            return code;
        pg_warn("%s; going on from byte %lld", pg_error_message(), (long long)t->have);
        if (fruitless)
            nanosleep(&(struct timespec){.tv_nsec = 200000000L * fruitless}, NULL);
    }
    return PG_OK;
}

static int check_hash(const pg_fetch *fetch, const char *path)
{
    char hash[PG_HASH_HEX];
    int code = pg_hash_file(path, hash);
    if (!code && strcmp(hash, fetch->sha256) != 0)
        code = pg_fail(PG_EDAMAGED, "%s: the download has SHA-256 %s, right would be %s", fetch->url, hash, fetch->sha256);
    return code;
}

int pg_fetch_run(const pg_fetch *fetch, const char *path)
{
    transfer t = {.fetch = fetch};
    t.fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);
    if (t.fd < 0)
        return pg_fail(PG_EIO, "%s: cannot be written: %s", path, strerror(errno));
    int code = PG_OK;
    if (flock(t.fd, LOCK_EX | LOCK_NB) != 0) {
        code = pg_fail(PG_EIO, "%s: another process is downloading it", path);
        close(t.fd);
        return code;
    }
    t.have = pg_file_size(path);
    if (t.have > fetch->size) {
        t.have = 0;
        if (ftruncate(t.fd, 0) != 0)
            code = pg_fail(PG_EIO, "%s: cannot be written: %s", path, strerror(errno));
    }
    pg_progress_start(&t.progress, fetch->label, t.have, fetch->size);
    if (!code && curl_global_init(CURL_GLOBAL_DEFAULT) != 0)
        code = pg_fail(PG_ENOMEM, "libcurl cannot start");
    if (!code) {
        code = download(&t);
        curl_global_cleanup();
    }
    if (!code)
        pg_progress_finish(&t.progress);
    if (!code && fsync(t.fd) != 0)
        code = pg_fail(PG_EIO, "%s: cannot be written: %s", path, strerror(errno));
    if (!code)
        code = check_hash(fetch, path);
    if (code == PG_EDAMAGED || t.have == 0)
        unlink(path);
    close(t.fd);
    return code;
}
