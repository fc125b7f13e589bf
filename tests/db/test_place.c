/* Where a database may lie: what statfs() says is put in here by a statfs() of our own, which the library then calls. */
#include "tests/support/store_fixture.h"

#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>

static uint32_t pretended; /* f_type to report, 0: the real one */

int statfs(const char *path, struct statfs *out)
{
    long code = syscall(SYS_statfs, path, out);
    if (pretended)
        out->f_type = pretended;
    return (int)code;
}

static const uint32_t nfs = 0x6969, fuse = 0x65735546;

static int undo(void **state)
{
    pretended = 0;
    unsetenv("PATCHGAUGE_NETWORK_DB");
    return clean(state);
}

static void test_local_file_systems(void **state)
{
    (void)state;
    static const uint32_t local[] = {0xef53 /* ext4 */,
                                     0x58465342 /* XFS */,
                                     0x01021994 /* tmpfs */,
                                     0x794c7630 /* overlay */,
                                     0x9123683e /* Btrfs */,
                                     0x2fc12fc1 /* ZFS */,
                                     0};
    for (size_t i = 0; i < sizeof local / sizeof *local; i++) {
        pretended = local[i];
        pg_store_close(open_store(PG_STORE_WRITE));
        remove_store();
    }
}

/* Refused for writing before anything is made, there or not there yet; the message names the kind and the ways out. */
static void test_network_file_systems_are_refused(void **state)
{
    (void)state;
    static const struct {
        uint32_t type;
        const char *name;
    } kinds[] = {{0x6969, "(NFS)"},      {0xff534d42, "(SMB/CIFS)"}, {0xfe534d42, "(SMB)"},  {0x0bd00bd0, "(Lustre)"},
                 {0x47504653, "(GPFS)"}, {0x19830326, "(BeeGFS)"},   {0x00c36400, "(Ceph)"}, {0x01021997, "(9p)"}};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        pg_store *store = NULL;
        pretended = kinds[i].type;
        assert_int_equal(pg_store_open(scratch_path("t.db"), PG_STORE_WRITE, &store), PG_EUNSUPPORTED);
        assert_non_null(strstr(pg_error_message(), kinds[i].name));
        assert_non_null(strstr(pg_error_message(), "--db"));
        assert_non_null(strstr(pg_error_message(), "submit"));
        assert_non_null(strstr(pg_error_message(), "PATCHGAUGE_NETWORK_DB=allow"));
        assert_int_equal(scratch_count(scratch_folder), 0);
    }
    pretended = 0;
    pg_store_close(fill());
    pretended = nfs;
    pg_store *store = NULL;
    assert_int_equal(pg_store_open(scratch_path("t.db"), PG_STORE_WRITE, &store), PG_EUNSUPPORTED);
}

/* The folder decides for a name without one. */
static void test_name_without_a_folder(void **state)
{
    (void)state;
    pg_store *store = NULL;
    pretended = nfs;
    assert_int_equal(pg_store_open("not-there.db", PG_STORE_WRITE, &store), PG_EUNSUPPORTED);
    assert_int_equal(access("not-there.db", F_OK), -1);
    assert_int_equal(pg_store_open("/not-there.db", PG_STORE_WRITE, &store), PG_EUNSUPPORTED);
}

static void test_override(void **state)
{
    (void)state;
    pg_store *store = NULL;
    pretended = nfs;
    setenv("PATCHGAUGE_NETWORK_DB", "yes", 1);
    assert_int_equal(pg_store_open(scratch_path("t.db"), PG_STORE_WRITE, &store), PG_EUNSUPPORTED);
    setenv("PATCHGAUGE_NETWORK_DB", "allow", 1);
    pg_store_close(fill());
    pg_store_close(open_store(PG_STORE_READ));
}

/* A store on a network is read; the journal of a writer, which may live on another machine, is never rolled back. */
static void test_reading_leaves_a_journal_alone(void **state)
{
    (void)state;
    pg_cell_result r;
    pg_store_close(fill());
    pretended = nfs;
    pg_store *store = open_store(PG_STORE_READ);
    assert_int_equal(pg_store_cell(store, ids[0], &r), PG_OK);
    assert_int_equal(r.n, IMAGES);
    pg_cell_result_release(&r);
    pg_store_close(store);
    pretended = 0;
    pid_t child = fork();
    if (child == 0) { /* dies in the middle of a commit: pages are written, the journal is there */
        store = open_store(PG_STORE_WRITE);
        exec(store, "PRAGMA cache_size = 1; BEGIN IMMEDIATE; CREATE TABLE filler (a TEXT);"
                    "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 500)"
                    " INSERT INTO filler SELECT hex(randomblob(400)) FROM n");
        _exit(0);
    }
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    char before[PG_HASH_HEX], after[PG_HASH_HEX];
    assert_int_equal(pg_hash_file(scratch_path("t.db-journal"), before), PG_OK);
    pretended = nfs;
    assert_int_equal(pg_store_open(scratch_path("t.db"), PG_STORE_READ, &store), PG_EIO);
    assert_non_null(strstr(pg_error_message(), "on the machine that writes it"));
    assert_int_equal(pg_hash_file(scratch_path("t.db-journal"), after), PG_OK);
    assert_string_equal(before, after);
    pretended = 0;
    store = open_store(PG_STORE_READ); /* here the writer is known to be dead */
    assert_int_equal(pg_store_check(store), PG_OK);
    assert_int_equal(access(scratch_path("t.db-journal"), F_OK), -1);
    pg_store_close(store);
}

/* Behind FUSE anything may be; mountinfo names it. */
static void test_fuse(void **state)
{
    (void)state;
    static const char text[] = "22 1 0:21 / / rw - ext4 /dev/sda1 rw\n"
                               "40 22 0:50 / /mnt/far rw,nosuid shared:1 - fuse.sshfs me@there:/home rw\n"
                               "41 22 0:51 / /mnt/usb rw,nosuid - fuseblk /dev/sdb1 rw\n"
                               "42 22 0:52 / /mnt/layers rw - fuse.fuse-overlayfs fuse-overlayfs rw\n"
                               "43 22 0:53 / /mnt/bucket rw - fuse.s3fs s3fs rw\n"
                               "44 22 0:54\n";
    static const struct {
        unsigned minor;
        const char *kind;
    } cases[] = {{50, "sshfs"}, {51, NULL}, {52, NULL}, {53, "s3fs"}, {54, NULL}, {99, NULL}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        FILE *mounts = fmemopen((void *)text, sizeof text - 1, "r");
        const char *kind = pg_db_network_kind(fuse, mounts, makedev(0, cases[i].minor));
        fclose(mounts);
        if (cases[i].kind)
            assert_string_equal(kind, cases[i].kind);
        else
            assert_null(kind);
    }
    assert_null(pg_db_network_kind(fuse, NULL, 0));
    pretended = fuse; /* the scratch folder is on no such mount */
    pg_store_close(open_store(PG_STORE_WRITE));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_local_file_systems, undo),
        cmocka_unit_test_teardown(test_network_file_systems_are_refused, undo),
        cmocka_unit_test_teardown(test_name_without_a_folder, undo),
        cmocka_unit_test_teardown(test_override, undo),
        cmocka_unit_test_teardown(test_reading_leaves_a_journal_alone, undo),
        cmocka_unit_test_teardown(test_fuse, undo),
    };
    return cmocka_run_group_tests_name("place", tests, make, scratch_remove);
}
