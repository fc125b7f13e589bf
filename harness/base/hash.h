/* SHA-256 (OpenSSL's libcrypto) with hexadecimal results. */
#ifndef PG_BASE_HASH_H
#define PG_BASE_HASH_H

#include "harness/base/buf.h"

#include <stddef.h>

enum { PG_HASH_HEX = 65 }; /* 64 digits and the zero byte */

typedef struct pg_hash pg_hash;
int pg_hash_new(pg_hash **out) PG_MUST_USE; /* *new*, pg_hash_free */
int pg_hash_add(pg_hash *hash, const void *bytes, size_t size) PG_MUST_USE;
int pg_hash_finish(pg_hash *hash, char hex[PG_HASH_HEX]) PG_MUST_USE; /* lower case; the hash is used up, free it */
void pg_hash_free(pg_hash *hash);

int pg_hash_bytes(const void *bytes, size_t size, char hex[PG_HASH_HEX]) PG_MUST_USE;
int pg_hash_text(pg_buf *text, char hex[PG_HASH_HEX]) PG_MUST_USE;     /* of a finished text, which it releases */
int pg_hash_file(const char *path, char hex[PG_HASH_HEX]) PG_MUST_USE; /* PG_EMISSING, PG_EIO */
/* The 32 digits of MD5, for files whose makers publish nothing better; identity never rests on it. PG_EMISSING, PG_EIO. */
int pg_hash_file_md5(const char *path, char hex[PG_HASH_HEX]) PG_MUST_USE;

#endif
