/* For tests: a server of our own on the loopback interface, which behaves and misbehaves as a test tells it to, and archives
 * for it to serve. server_start and server_stop are setup and teardown, with a scratch folder. */
#ifndef PG_TESTS_SERVER_H
#define PG_TESTS_SERVER_H

#include "harness/base/hash.h"
#include "harness/base/log.h"
#include "harness/data/fetch.h"
#include "tests/support/scratch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <archive.h>
#include <archive_entry.h>
#include <arpa/inet.h>
#include <locale.h>
#include <pthread.h>
#include <stdbool.h>
#include <strings.h>
#include <sys/socket.h>

/* ---- The server: answers each connection by the next behaviour of the list, the last one for ever */
typedef enum behaviour {
    END,
    NORMAL,       /* ranges are honoured */
    CUT,          /* a third of what is asked for, then the connection breaks */
    SILENT,       /* the connection breaks at once */
    NO_RANGE,     /* 200 and the whole file, whatever was asked for */
    HTML,         /* 200 and a page, its length stated */
    CHUNKED_HTML, /* the same, no length stated */
    ENDLESS,      /* no length stated, more bytes than the file has */
    NOT_FOUND,
    FAILING,      /* 503 */
    REFUSE_RANGE, /* 416 if a range is asked for */
    CUT_REFUSE,   /* 416 if a range is asked for, else a third, then the connection breaks */
    CUT_ANEW,     /* 200 and, whatever was asked for, a third or a quarter in turn, then the connection breaks */
    WRONG_RANGE,  /* 206 from another place */
    WRONG_TOTAL,  /* 206, and the file has another size */
    OTHER_BYTES,  /* the right size, other contents */
    REDIRECT,
    REDIRECT_OUT, /* to another machine, without encryption */
} behaviour;

static struct {
    int listener, port;
    pthread_t thread;
    const char *file;
    size_t size;
    behaviour script[8];
    int connections;      /* of this test */
    long long ranges[64]; /* start asked for by each, -1: none */
} server;

static inline void send_all(int fd, const void *bytes, size_t size)
{
    const char *at = bytes;
    while (size) {
        ssize_t n = send(fd, at, size, MSG_NOSIGNAL);
        if (n <= 0)
            return;
        at += n;
        size -= (size_t)n;
    }
}

static inline void __attribute__((format(printf, 2, 3))) send_head(int fd, const char *format, ...)
{
    char head[512];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(head, sizeof head, format, args);
    va_end(args);
    send_all(fd, head, (size_t)n);
}

static inline void send_file(int fd, bool ranged, size_t from, size_t end)
{
    if (ranged)
        send_head(fd, "HTTP/1.1 206 Partial\r\nContent-Range: bytes %zu-%zu/%zu\r\nContent-Length: %zu\r\n\r\n", from,
                  server.size - 1, server.size, server.size - from);
    else
        send_head(fd, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n", server.size);
    send_all(fd, server.file + from, end - from);
}

static inline void answer(int fd, behaviour how, long long range)
{
    static const char page[] = "<html>log in first</html>";
    size_t from = range > 0 ? (size_t)range : 0, whole = server.size;
    char *other;
    switch (how) {
    case NORMAL:
        send_file(fd, range >= 0, from, whole);
        break;
    case CUT:
        send_file(fd, range >= 0, from, from + (whole - from) / 3);
        break;
    case NO_RANGE:
        send_file(fd, false, 0, whole);
        break;
    case HTML:
        send_head(fd, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n%s", strlen(page), page);
        break;
    case CHUNKED_HTML:
        send_head(fd, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n%s", page);
        break;
    case ENDLESS:
        send_head(fd, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n");
        send_all(fd, server.file, whole);
        send_all(fd, "more", 4);
        break;
    case NOT_FOUND:
        send_head(fd, "HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\ngone");
        break;
    case FAILING:
        send_head(fd, "HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n");
        break;
    case REFUSE_RANGE:
        if (range >= 0)
            send_head(fd, "HTTP/1.1 416 No\r\nContent-Length: 0\r\n\r\n");
        else
            send_file(fd, false, 0, whole);
        break;
    case CUT_REFUSE:
        if (range >= 0)
            send_head(fd, "HTTP/1.1 416 No\r\nContent-Length: 0\r\n\r\n");
        else
            send_file(fd, false, 0, whole / 3);
        break;
    case CUT_ANEW:
        send_file(fd, false, 0, whole / (server.connections % 2 ? 3 : 4));
        break;
    case WRONG_RANGE:
        send_file(fd, true, from + 1, whole);
        break;
    case WRONG_TOTAL:
        send_head(fd, "HTTP/1.1 206 Partial\r\nContent-Range: bytes %zu-%zu/%zu\r\nContent-Length: %zu\r\n\r\n", from, whole,
                  whole + 1, whole + 1 - from);
        send_all(fd, server.file + from, whole - from);
        send_all(fd, "x", 1);
        break;
    case OTHER_BYTES:
        other = calloc(1, whole);
        send_head(fd, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n", whole);
        send_all(fd, other, whole);
        free(other);
        break;
    case REDIRECT:
        send_head(fd, "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:%d/elsewhere\r\nContent-Length: 5\r\n\r\nmoved",
                  server.port);
        break;
    case REDIRECT_OUT: /* an address that is reserved for documents: nobody answers */
        send_head(fd, "HTTP/1.1 302 Found\r\nLocation: http://192.0.2.1/elsewhere\r\nContent-Length: 5\r\n\r\nmoved");
        break;
    default:
        break;
    }
}

static inline void *serve(void *unused)
{
    for (;;) {
        int fd = accept(server.listener, NULL, NULL);
        if (fd < 0)
            return unused;
        char request[4096];
        size_t size = 0;
        ssize_t n;
        request[0] = 0;
        while (!strstr(request, "\r\n\r\n") && size < sizeof request - 1 &&
               (n = read(fd, request + size, sizeof request - 1 - size)) > 0)
            request[size += (size_t)n] = 0;
        const char *header = strcasestr(request, "\r\nRange: bytes=");
        long long range = header ? strtoll(header + 15, NULL, 10) : -1;
        int i = server.connections < 63 ? server.connections : 63, s = 0;
        server.ranges[i] = range;
        for (int k = 0; k < i && server.script[s + 1] != END; k++)
            s++;
        server.connections++;
        answer(fd, server.script[s], range);
        shutdown(fd, SHUT_WR);
        while (read(fd, request, sizeof request) > 0)
            continue;
        close(fd);
    }
}

static inline int server_start(void **state)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    server.listener = socket(AF_INET, SOCK_STREAM, 0);
    if (scratch_make(state) || bind(server.listener, (struct sockaddr *)&address, length) || listen(server.listener, 8) ||
        getsockname(server.listener, (struct sockaddr *)&address, &length))
        return -1;
    server.port = ntohs(address.sin_port);
    pg_log_quiet(true);
    unsetenv("http_proxy");
    setenv("no_proxy", "127.0.0.1", 1);
    return pthread_create(&server.thread, NULL, serve, NULL);
}

static inline int server_stop(void **state)
{
    shutdown(server.listener, SHUT_RDWR);
    pthread_join(server.thread, NULL);
    close(server.listener);
    return scratch_remove(state);
}

/* ---- archives */
typedef struct entry {
    const char *path;
    const char *data;
    size_t size;
    char type; /* 'f', 'd', 'l' (symbolic link to data), 'h' (hard link to data), 'c' (a device), 'p' (a FIFO) */
} entry;

typedef struct blob {
    char *data;
    size_t size, room;
} blob;

static inline void add_entry(struct archive *writer, const entry *e)
{
    struct archive_entry *header = archive_entry_new();
    archive_entry_set_pathname(header, e->path);
    archive_entry_set_filetype(header, e->type == 'd'   ? AE_IFDIR
                                       : e->type == 'l' ? AE_IFLNK
                                       : e->type == 'c' ? AE_IFCHR
                                       : e->type == 'p' ? AE_IFIFO
                                                        : AE_IFREG);
    archive_entry_set_perm(header, 0644);
    archive_entry_set_size(header, e->type == 'f' ? (la_int64_t)e->size : 0);
    if (e->type == 'l')
        archive_entry_set_symlink(header, e->data);
    if (e->type == 'h')
        archive_entry_set_hardlink(header, e->data);
    assert_int_equal(archive_write_header(writer, header), ARCHIVE_OK);
    if (e->type == 'f' && e->size)
        assert_int_equal(archive_write_data(writer, e->data, e->size), (la_ssize_t)e->size);
    archive_entry_free(header);
}

/* As tar with gzip, or else as zip; names are UTF-8 and said to be. *new* data. */
static inline blob pack_as(bool tar, const entry *entries, size_t n)
{
    blob b = {.room = 1 << 22};
    b.data = malloc(b.room);
    locale_t utf8 = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0), before = uselocale(utf8);
    struct archive *writer = archive_write_new();
    if (tar)
        archive_write_add_filter_gzip(writer);
    assert_int_equal(tar ? archive_write_set_format_pax_restricted(writer) : archive_write_set_format_zip(writer), ARCHIVE_OK);
    if (!tar)
        assert_int_equal(archive_write_set_options(writer, "hdrcharset=UTF-8"), ARCHIVE_OK);
    assert_int_equal(archive_write_open_memory(writer, b.data, b.room, &b.size), ARCHIVE_OK);
    for (size_t i = 0; i < n; i++)
        add_entry(writer, &entries[i]);
    assert_int_equal(archive_write_close(writer), ARCHIVE_OK);
    archive_write_free(writer);
    uselocale(before);
    freelocale(utf8);
    return b;
}

static inline blob pack(const entry *entries, size_t n) { return pack_as(true, entries, n); }

/* ---- Offers: what the server has, and how it is asked for */
static char url[64], hash[PG_HASH_HEX];

static inline pg_fetch offer(const blob *archive, const behaviour *script)
{
    server.file = archive->data;
    server.size = archive->size;
    server.connections = 0;
    memset(server.script, 0, sizeof server.script);
    for (int i = 0; i < 7 && script[i] != END; i++)
        server.script[i] = script[i];
    snprintf(url, sizeof url, "http://127.0.0.1:%d/cifar.tar.gz", server.port);
    assert_int_equal(pg_hash_bytes(archive->data, archive->size, hash), PG_OK);
    return (pg_fetch){.url = url, .hash = hash, .size = (int64_t)archive->size, .label = "test"};
}

#define SCRIPT(...) ((const behaviour[]){__VA_ARGS__, END})

#endif
