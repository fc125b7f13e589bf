/* Lists of the images of a folder, with the hash and the number of lines that the manifest would say: what is read can be
 * written and read again. */
#include "harness/data/image_list.h"
#include "tests/fuzz/folder.h"
#include "tests/fuzz/fuzz.h"

enum { CLASSES = 3 };

static void check_entries(const pg_image_list *list)
{
    for (int64_t i = 0; i < list->n; i++) {
        const pg_image_entry *e = &list->entries[i];
        FUZZ_CHECK(strlen(e->hash) == PG_HASH_HEX - 1 && e->label >= 0 && e->label < CLASSES && e->bytes >= 1);
        FUZZ_CHECK(*e->file && *e->file != '.' && !strchr(e->file, '/'));
    }
}

PG_FUZZ(image_list)
{
    pg_manifest manifest = {.name = "fuzz", .n_classes = CLASSES};
    pg_manifest_file file = {.name = "val.list", .bytes = (int64_t)size}, again;
    pg_image_list list, copy;
    fuzz_write(file.name, data, size);
    FUZZ_CHECK(pg_hash_bytes(data, size, file.hash) == PG_OK);
    for (size_t i = 0; i < size; i++)
        file.images += data[i] == '\n';
    int code = pg_image_list_read(scratch_folder, &manifest, &file, &list);
    FUZZ_CHECK(code == PG_OK || code == PG_EDAMAGED);
    if (code == PG_OK) {
        check_entries(&list);
        FUZZ_CHECK(pg_image_list_write(&list, scratch_folder, "again.list", &again) == PG_OK && again.images == list.n);
        FUZZ_CHECK(pg_image_list_read(scratch_folder, &manifest, &again, &copy) == PG_OK && copy.n == list.n);
        for (int64_t i = 0; i < list.n; i++) {
            const pg_image_entry *a = &list.entries[i], *b = &copy.entries[i];
            FUZZ_CHECK(strcmp(a->hash, b->hash) == 0 && strcmp(a->file, b->file) == 0 && a->label == b->label &&
                       a->bytes == b->bytes);
        }
        pg_image_list_release(&copy);
    }
    pg_image_list_release(&list);
    return 0;
}
