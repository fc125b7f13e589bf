/* Lists of classes: what is read is stored and read again, and labels are found among it as often as it holds their names. The
 * first byte is the number of outputs. */
#include "models/classes.h"
#include "tests/fuzz/folder.h"
#include "tests/fuzz/fuzz.h"

static void check_stored(const pg_classes *c, int outputs)
{
    pg_classes again;
    FUZZ_CHECK(c->n == outputs);
    char *text = pg_classes_text(c);
    FUZZ_CHECK(text && pg_classes_parse(text, outputs, &again) == PG_OK);
    for (int i = 0; i < outputs; i++)
        FUZZ_CHECK(*c->items[i].name && strcmp(c->items[i].name, again.items[i].name) == 0 &&
                   strcmp(c->items[i].id, again.items[i].id) == 0);
    free(text);
    pg_classes_release(&again);
}

/* Found outputs are there and differ. */
static void check_outputs(const pg_outputs_request *request)
{
    int out[256];
    int code = pg_outputs_find(request, out);
    FUZZ_CHECK(code == PG_OK || code == PG_EINPUT || code == PG_EMISSING || code == PG_EIO);
    for (int i = 0; code == PG_OK && i < request->labels->n; i++) {
        FUZZ_CHECK(out[i] >= 0 && out[i] < request->outputs);
        for (int k = 0; k < i; k++)
            FUZZ_CHECK(out[k] != out[i]);
    }
}

PG_FUZZ(classes)
{
    if (size < 1)
        return 0;
    int outputs = data[0] + 1;
    fuzz_write("classes", (const char *)data + 1, size - 1);
    pg_classes c, none = {0};
    int code = pg_classes_read(fuzz_path("classes"), outputs, &c);
    FUZZ_CHECK(code == PG_OK || code == PG_EINPUT);
    FUZZ_CHECK(code == PG_OK || c.n == 0);
    if (code == PG_OK)
        check_stored(&c, outputs);
    char *given = strndup((const char *)data + 1, size - 1);
    pg_classes labels = code == PG_OK ? c : none;
    pg_outputs_request request = {.network = "net",
                                  .outputs = outputs,
                                  .classes = &labels,
                                  .dataset = "set",
                                  .labels = &labels,
                                  .given = "names",
                                  .how = ""};
    if (code == PG_OK)
        check_outputs(&request);
    request.given = fuzz_path("classes");
    if (code == PG_OK)
        check_outputs(&request);
    request.given = given;
    if (code == PG_OK && given && *given && strspn(given, "0123456789, ") == strlen(given))
        check_outputs(&request);
    free(given);
    pg_classes_release(&c);
    return 0;
}
