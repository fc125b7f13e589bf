/* Resumable download by libcurl. See fetch.h.
 *
 * A range is asked for whenever part of the file is there. A server that ignores it answers 200 and the whole file, which then
 * replaces the part; an answer with another start or total size is refused before a byte of it is kept. */
#include "harness/data/fetch.h"

#include "harness/base/buf.h"
#include "harness/base/file.h"
#include "harness/base/file_kind.h"
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
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { FRUITLESS_TRIES = 3, REDIRECTS = 5, CONNECT_S = 30, STALL_S = 60 };
static const int64_t largest = (int64_t)1 << 40; /* bytes, where nobody says how many there are */

typedef struct transfer {
    const pg_fetch *fetch;
    CURL *curl;
    int fd;
    int64_t size;  /* bytes of the whole file; 0: not known yet */
    int64_t have;  /* bytes in the file */
    int64_t start; /* where the answer begins, from Content-Range; -1: not said */
    int64_t total; /* of the whole file as the answer says it; -1: not said */
    bool begun;    /* the body's first byte was seen */
    bool anew;     /* a range was refused: the next request is for the whole file, whose first byte replaces what is here */
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

/* The size that the server states, -1 for none, is that of the file. */
static int set_size(transfer *t, int64_t stated)
{
    if (stated >= 0 && t->size && stated != t->size)
        return pg_fail(PG_EDAMAGED, "%s: the server's file has %lld bytes, right would be %lld", t->fetch->url,
                       (long long)stated, (long long)t->size);
    if (stated > largest)
        return pg_fail(PG_EDAMAGED, "%s: the server's file has %lld bytes: too many", t->fetch->url, (long long)stated);
    if (stated > 0)
        t->progress.total = t->size = stated;
    return PG_OK;
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
        return set_size(t, t->total);
    }
    if (status != 200)
        return pg_fail(PG_EMISSING, "%s: the server answered %ld", t->fetch->url, status);
    int code = set_size(t, length);
    if (code != PG_OK)
        return code;
    if (t->have && ftruncate(t->fd, 0) != 0)
        return pg_fail(PG_EIO, "the download cannot be started anew: %s", strerror(errno));
    t->have = 0;
    t->anew = false;
    return PG_OK;
}

static int keep(transfer *t, const char *data, size_t size)
{
    if (!t->begun) {
        t->begun = true;
        int code = begin_body(t);
        if (code != PG_OK)
            return code;
    }
    int64_t most = t->size ? t->size : largest;
    if ((int64_t)size > most - t->have)
        return pg_fail(PG_EDAMAGED, "%s: the server sends more than %lld bytes", t->fetch->url, (long long)most);
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

/* https, or this machine. PG_EINPUT. */
static int check_address(const char *url)
{
    static const char *const local[] = {"localhost", "127.0.0.1", "[::1]", NULL};
    char *scheme = NULL, *host = NULL;
    CURLU *parts = curl_url();
    bool good = parts && curl_url_set(parts, CURLUPART_URL, url, CURLU_NON_SUPPORT_SCHEME) == CURLUE_OK &&
                curl_url_get(parts, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK &&
                curl_url_get(parts, CURLUPART_HOST, &host, 0) == CURLUE_OK;
    bool safe = good && strcmp(scheme, "https") == 0;
    for (int i = 0; good && !safe && local[i]; i++)
        safe = strcmp(scheme, "http") == 0 && strcasecmp(host, local[i]) == 0;
    curl_free(scheme);
    curl_free(host);
    curl_url_cleanup(parts);
    return safe ? PG_OK
                : pg_fail(PG_EINPUT, "%s: right would be an address that begins with https:// (http:// for this machine only)",
                          url);
}

/* Before each connection, one for a redirection too; an address of this machine has no proxy, so that its host is asked for
 * here. */
static curl_socket_t on_connection(void *context, curlsocktype purpose PG_UNUSED, struct curl_sockaddr *to)
{
    transfer *t = context;
    char *url = NULL;
    curl_easy_getinfo(t->curl, CURLINFO_EFFECTIVE_URL, &url);
    t->code = check_address(url ? url : "");
    return t->code ? CURL_SOCKET_BAD : socket(to->family, to->socktype | SOCK_CLOEXEC, to->protocol);
}

static CURL *prepare(transfer *t, char *message)
{
    CURL *curl = curl_easy_init();
    if (!curl)
        return NULL;
    curl_easy_setopt(curl, CURLOPT_URL, t->fetch->url);
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(curl, CURLOPT_REDIR_PROTOCOLS_STR, strncasecmp(t->fetch->url, "https:", 6) == 0 ? "https" : "http,https");
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
    curl_easy_setopt(curl, CURLOPT_OPENSOCKETFUNCTION, on_connection);
    curl_easy_setopt(curl, CURLOPT_OPENSOCKETDATA, t);
    if (strncasecmp(t->fetch->url, "http:", 5) == 0)
        curl_easy_setopt(curl, CURLOPT_PROXY, "");
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
    bool ranged = t->have > 0 && !t->anew;
    if (ranged) {
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
    if (result == CURLE_HTTP_RETURNED_ERROR && status == 416 && ranged) { /* our part is no part of that file */
        t->anew = true;
        return pg_fail(PG_EIO, "%s: the server refused to go on", t->fetch->url);
    }
    if (result == CURLE_HTTP_RETURNED_ERROR)
        return pg_fail(status >= 500 ? PG_EIO : PG_EMISSING, "%s: the server answered %ld", t->fetch->url, status);
    if (result != CURLE_OK)
        return pg_fail(PG_EIO, "%s: %s", t->fetch->url, *message ? message : curl_easy_strerror(result));
    if (t->size ? t->have < t->size : t->have == 0)
        return pg_fail(PG_EDAMAGED, "%s: the server sent %lld bytes, right would be %lld", t->fetch->url, (long long)t->have,
                       (long long)(t->size ? t->size : 1));
    return PG_OK;
}

/* The last message, and that this is the end. */
static int give_up(const transfer *t)
{
    char kept[100] = "";
    if (t->have)
        snprintf(kept, sizeof kept, "; the %lld bytes that arrived are kept for another try", (long long)t->have);
    return pg_fail(PG_EIO, "%s; given up, since %d answers brought no new byte%s", pg_error_message(), FRUITLESS_TRIES, kept);
}

/* Another try for as long as tries bring bytes that no earlier one brought. */
static int download(transfer *t)
{
    int64_t most = t->have;
    for (int fruitless = 0; t->have < t->size || !t->size;) {
        int code = attempt(t);
        if (code != PG_EIO)
            return code;
        fruitless = t->have > most ? 0 : fruitless + 1;
        most = t->have > most ? t->have : most;
        if (fruitless == FRUITLESS_TRIES)
            return give_up(t);
        pg_warn("%s; going on from byte %lld", pg_error_message(), (long long)(t->anew ? 0 : t->have));
        if (fruitless)
            nanosleep(&(struct timespec){.tv_nsec = 200000000L * fruitless}, NULL);
    }
    return PG_OK;
}

static int check_hash(const pg_fetch *fetch, const char *path)
{
    char hash[PG_HASH_HEX];
    bool md5 = strlen(fetch->hash) == 32;
    int code = md5 ? pg_hash_file_md5(path, hash) : pg_hash_file(path, hash);
    const char *kind = code == PG_OK ? pg_file_kind(path) : NULL;
    bool page = kind && strcmp(kind, "an HTML page") == 0; /* of a login or of an error: says more than its hash */
    if (code == PG_OK && strcmp(hash, fetch->hash) != 0)
        code = pg_fail(PG_EDAMAGED, "%s: the download %shas %s %s, right would be %s", fetch->url,
                       page ? "is a page of HTML and " : "", md5 ? "MD5" : "SHA-256", hash, fetch->hash);
    return code;
}

/* Nothing is known of the size: what is there may be all of it. */
static bool is_whole(const transfer *t, const char *path)
{
    return t->size == 0 && t->have > 0 && check_hash(t->fetch, path) == PG_OK;
}

int pg_fetch_run(const pg_fetch *fetch, const char *path)
{
    transfer t = {.fetch = fetch, .size = fetch->size};
    int code = check_address(fetch->url);
    if (code != PG_OK)
        return code;
    t.fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);
    if (t.fd < 0)
        return pg_fail(PG_EIO, "%s: cannot be written: %s", path, strerror(errno));
    if (flock(t.fd, LOCK_EX | LOCK_NB) != 0) {
        code = pg_fail(PG_EIO, "%s: another process is downloading it", path);
        close(t.fd);
        return code;
    }
    t.have = pg_file_size(path);
    if (t.size && t.have > t.size) {
        t.have = 0;
        if (ftruncate(t.fd, 0) != 0)
            code = pg_fail(PG_EIO, "%s: cannot be written: %s", path, strerror(errno));
    }
    pg_progress_start(&t.progress, fetch->label, t.have, t.size);
    if (code == PG_OK && curl_global_init(CURL_GLOBAL_DEFAULT) != 0)
        code = pg_fail(PG_ENOMEM, "libcurl cannot start");
    if (code == PG_OK) {
        code = is_whole(&t, path) ? PG_OK : download(&t);
        curl_global_cleanup();
    }
    if (code == PG_OK)
        pg_progress_finish(&t.progress);
    if (code == PG_OK && fsync(t.fd) != 0)
        code = pg_fail(PG_EIO, "%s: cannot be written: %s", path, strerror(errno));
    if (code == PG_OK)
        code = check_hash(fetch, path);
    if (code == PG_EDAMAGED || t.have == 0)
        unlink(path);
    close(t.fd);
    return code;
}

int pg_fetch_file(const pg_fetch *fetch, const char *path)
{
    const char *name = basename(path);
    char *part = NULL;
    int code = pg_output_check(path, true, NULL);
    if (code != PG_OK)
        return code;
    if (access(path, F_OK) == 0) {
        code = check_hash(fetch, path);
        return code == PG_EDAMAGED
                   ? pg_fail(PG_EINPUT, "%s: is there already and holds something else: move it, or name another file", path)
                   : code;
    }
    if (!*name)
        return pg_fail(PG_EINPUT, "'%s' is no name of a file", path);
    if (asprintf(&part, "%.*s.%s.%.16s.part", (int)(name - path), path, name, fetch->hash) < 0)
        return pg_fail(PG_ENOMEM, "out of memory");
    code = pg_fetch_run(fetch, part);
    if (code == PG_OK && rename(part, path) != 0)
        code = pg_fail(PG_EIO, "%s: cannot be written: %s", path, strerror(errno));
    free(part);
    return code;
}

int pg_fetch_archive(const char *data_dir, const char *name, const pg_fetch *fetch,
                     int (*take)(void *context, const char *archive), void *context)
{
    char *path = NULL, *made = NULL;
    int code = check_address(fetch->url);
    if (code == PG_OK)
        code = pg_folders_begin(data_dir, &made);
    if (code != PG_OK)
        return code;
    /* Named by the hash: what is left of another archive is never gone on with. */
    code = pg_format(&path, "%s/.%s.%.16s.part", data_dir, name, fetch->hash);
    if (code == PG_OK)
        code = pg_fetch_run(fetch, path);
    if (code == PG_OK) {
        code = take(context, path);
        if (code == PG_OK || code == PG_EDAMAGED || code == PG_EINPUT || code == PG_EMISSING)
            unlink(path);
    }
    pg_folders_end(data_dir, made, code == PG_OK);
    free(path);
    return code;
}

pg_fetch pg_fetch_merge(const pg_fetch *official, const pg_fetch *given)
{
    pg_fetch f = *official;
    if (given->url)
        f.url = given->url;
    if (given->hash)
        f.hash = given->hash;
    if (given->size)
        f.size = given->size;
    return f;
}
