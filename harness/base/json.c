/* See json.h. What jansson allocates goes through here, where a thread notes that memory ran out. */
#include "harness/base/json.h"
#include "harness/base/text.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>

static _Thread_local bool ran_out;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void *take(size_t size)
{
    void *memory = malloc(size);
    ran_out |= memory == NULL;
    return memory;
}

static void start(void) { json_set_alloc_funcs(take, free); }

int pg_json_load(const char *text, size_t size, json_t **out, json_error_t *error)
{
    pthread_once(&once, start);
    ran_out = false;
    *out = json_loadb(text, size, JSON_REJECT_DUPLICATES, error);
    if (ran_out) {
        json_decref(*out);
        *out = NULL;
        return pg_fail(PG_ENOMEM, "out of memory for JSON");
    }
    return *out ? PG_OK : PG_EDAMAGED;
}

char *pg_json_dump(const json_t *value, size_t flags)
{
    pthread_once(&once, start);
    ran_out = false;
    char *text = value ? json_dumps(value, flags) : NULL;
    if (!ran_out)
        return text;
    free(text);
    return NULL;
}

json_t *pg_json_text(const char *text)
{
    pg_buf flat = PG_BUF_EMPTY;
    pg_text_flat(text, "\n", false, &flat);
    json_t *string = flat.failed ? NULL : json_string(flat.data);
    pg_buf_release(&flat);
    return string;
}
