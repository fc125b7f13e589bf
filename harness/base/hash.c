/* SHA-256 and MD5 by libcrypto's EVP interface. Threads: one pg_hash per thread. */
#include "harness/base/hash.h"

#include "harness/base/file.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct pg_hash {
    EVP_MD_CTX *context;
};

static int start(const EVP_MD *kind, pg_hash **out)
{
    pg_hash *hash = calloc(1, sizeof *hash);
    if (!hash)
        return pg_fail(PG_ENOMEM, "out of memory");
    hash->context = EVP_MD_CTX_new();
    if (!hash->context || EVP_DigestInit_ex(hash->context, kind, NULL) != 1) {
        pg_hash_free(hash);
        return pg_fail(PG_ENOMEM, "out of memory: libcrypto cannot start a %s digest", EVP_MD_get0_name(kind));
    }
    *out = hash;
    return PG_OK;
}

int pg_hash_new(pg_hash **out) { return start(EVP_sha256(), out); }

int pg_hash_add(pg_hash *hash, const void *bytes, size_t size)
{
    if (size && EVP_DigestUpdate(hash->context, bytes, size) != 1)
        return pg_fail(PG_ENOMEM, "out of memory: libcrypto cannot extend a digest");
    return PG_OK;
}

int pg_hash_finish(pg_hash *hash, char hex[PG_HASH_HEX])
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned size = 0;
    if (EVP_DigestFinal_ex(hash->context, digest, &size) != 1 || size > 32)
        return pg_fail(PG_ENOMEM, "out of memory: libcrypto cannot finish a digest");
    static const char digits[] = "0123456789abcdef";
    for (unsigned i = 0; i < size; i++) {
        hex[2 * i] = digits[digest[i] >> 4];
        hex[2 * i + 1] = digits[digest[i] & 15];
    }
    hex[2 * size] = 0;
    return PG_OK;
}

void pg_hash_free(pg_hash *hash)
{
    if (!hash)
        return;
    EVP_MD_CTX_free(hash->context);
    free(hash);
}

int pg_hash_bytes(const void *bytes, size_t size, char hex[PG_HASH_HEX])
{
    pg_hash *hash = NULL;
    int code = pg_hash_new(&hash);
    if (code == PG_OK)
        code = pg_hash_add(hash, bytes, size);
    if (code == PG_OK)
        code = pg_hash_finish(hash, hex);
    pg_hash_free(hash);
    return code;
}

int pg_hash_text(pg_buf *text, char hex[PG_HASH_HEX])
{
    int code = pg_buf_check(text);
    if (code == PG_OK)
        code = pg_hash_bytes(text->data, text->size, hex);
    pg_buf_release(text);
    return code;
}

static int hash_file(const char *path, const EVP_MD *kind, char hex[PG_HASH_HEX])
{
    enum { CHUNK = 1 << 17 };
    FILE *stream;
    int code = pg_file_stream(path, &stream, NULL);
    if (code != PG_OK)
        return code;
    pg_hash *hash = NULL;
    char *chunk = malloc(CHUNK);
    code = chunk ? start(kind, &hash) : pg_fail(PG_ENOMEM, "out of memory");
    while (code == PG_OK) {
        size_t n = fread(chunk, 1, CHUNK, stream);
        if (n == 0)
            break;
        code = pg_hash_add(hash, chunk, n);
    }
    if (code == PG_OK && ferror(stream))
        code = pg_fail(PG_EIO, "%s: cannot be read: %s", path, strerror(errno));
    if (code == PG_OK)
        code = pg_hash_finish(hash, hex);
    pg_hash_free(hash);
    free(chunk);
    fclose(stream);
    return code;
}

int pg_hash_file(const char *path, char hex[PG_HASH_HEX]) { return hash_file(path, EVP_sha256(), hex); }
int pg_hash_file_md5(const char *path, char hex[PG_HASH_HEX]) { return hash_file(path, EVP_md5(), hex); }
