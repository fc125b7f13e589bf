/* Archives of strangers: whatever they hold, all that appears is files and folders below the target, of no more bytes than the
 * limit. */
#include "harness/base/folder.h"
#include "harness/data/fetch.h"
#include "tests/fuzz/folder.h"
#include "tests/fuzz/fuzz.h"

static int64_t unpacked;

static int check_entry(const char *path, const struct stat *status, int kind, struct FTW *walk)
{
    (void)path, (void)walk;
    FUZZ_CHECK(kind == FTW_F || kind == FTW_D);
    FUZZ_CHECK(kind == FTW_D || (S_ISREG(status->st_mode) && status->st_nlink == 1));
    unpacked += kind == FTW_F ? (int64_t)status->st_size : 0;
    return 0;
}

PG_FUZZ(unpack)
{
    fuzz_write("archive", data, size);
    FUZZ_CHECK(mkdir(scratch_path("outer"), 0700) == 0 && mkdir(scratch_path("outer/target"), 0700) == 0);
    int code = pg_unpack_folder(scratch_path("archive"), scratch_path("outer/target"));
    FUZZ_CHECK(code == PG_OK || code == PG_EDAMAGED || code == PG_EIO); /* EIO: a name that the file system refuses */
    unpacked = 0;
    FUZZ_CHECK(nftw(scratch_path("outer/target"), check_entry, 16, FTW_PHYS) == 0);
    FUZZ_CHECK(unpacked <= 64 * (int64_t)size + (1 << 20) + (1 << 16)); /* and the piece that goes over it */
    FUZZ_CHECK(rename(scratch_path("outer/target"), scratch_path("target")) == 0);
    FUZZ_CHECK(rmdir(scratch_path("outer")) == 0); /* nothing else in it */
    pg_folder_remove(scratch_path("target"));
    return 0;
}
