/* Where a database may lie. See internal.h.
 *
 * SQLite's locks and the workers' lock files (worker.c) need a file system that keeps locks for all processes that see the
 * file. File systems over a network do so badly or for one machine only, so writing there is refused; reading is allowed, but
 * never rolls a journal back. The kind is what statfs() says; behind FUSE, what /proc/self/mountinfo says.
 * PATCHGAUGE_NETWORK_DB=allow overrides. */
#include "db/internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>

enum { FUSE = 0x65735546 };

/* f_type, as linux/magic.h and the file systems' own sources have it. */
static const struct {
    uint32_t type;
    const char *name;
} kinds[] = {
    {0x6969, "NFS"},
    {0xff534d42, "SMB/CIFS"},
    {0xfe534d42, "SMB"},
    {0x517b, "SMB"},
    {0x0bd00bd0, "Lustre"},
    {0x47504653, "GPFS"},
    {0x19830326, "BeeGFS"},
    {0x00c36400, "Ceph"},
    {0x01021997, "9p"},
    {0x5346414f, "AFS"},
    {0x6b414653, "AFS"},
    {0x73757245, "Coda"},
    {0x564c, "NCP"},
    {0x20030528, "OrangeFS"},
    {0xaad7aaea, "PanFS"},
    {0x786f4256, "VirtualBox shared folder"},
    {0xbacbacbc, "VMware shared folder"},
};

/* "fuse.NAME" of mounts that lead to another machine. */
static const char *const fuse_kinds[] = {
    "sshfs",    "glusterfs",     "ceph",      "ceph-fuse", "s3fs",         "goofys",     "gcsfuse",
    "rclone",   "juicefs",       "mfs",       "moosefs",   "davfs",        "davfs2",     "curlftpfs",
    "smbnetfs", "nfs",           "nfs-fuse",  "lustre",    "beegfs",       "blobfuse",   "blobfuse2",
    "mount-s3", "mountpoint-s3", "seaweedfs", "hdfs",      "alluxio-fuse", "gvfsd-fuse", "google-drive-ocamlfuse"};

/* The type in the mountinfo line of a device, without "fuse."; false: there is none. */
static bool fuse_type(FILE *mounts, dev_t device, char out[64])
{
    char *line = NULL, wanted[32];
    size_t size = 0;
    bool found = false;
    snprintf(wanted, sizeof wanted, "%u:%u", major(device), minor(device));
    while (!found && getline(&line, &size, mounts) > 0) {
        char seen[32];
        const char *rest = strstr(line, " - ");
        found = sscanf(line, "%*d %*d %31s", seen) == 1 && strcmp(seen, wanted) == 0 && rest &&
                sscanf(rest + 3, "fuse.%63s", out) == 1;
    }
    free(line);
    return found;
}

const char *pg_db_network_kind(uint32_t type, FILE *mounts, dev_t device)
{
    char name[64];
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (kinds[i].type == type)
            return kinds[i].name;
    if (type != FUSE || !mounts || !fuse_type(mounts, device, name))
        return NULL;
    for (size_t i = 0; i < sizeof fuse_kinds / sizeof *fuse_kinds; i++)
        if (strcmp(fuse_kinds[i], name) == 0)
            return fuse_kinds[i];
    return NULL;
}

const char *pg_store_network_kind(const char *path)
{
    const char *slash = strrchr(path, '/'), *at = path;
    char *folder = NULL;
    struct statfs about;
    struct stat status;
    if (stat(path, &status) != 0) { /* not there yet: its folder decides */
        folder = slash ? strndup(path, slash == path ? 1 : (size_t)(slash - path)) : strdup(".");
        at = folder;
    }
    const char *kind = NULL;
    if (at && statfs(at, &about) == 0 && stat(at, &status) == 0) {
        FILE *mounts = (uint32_t)about.f_type == FUSE ? fopen("/proc/self/mountinfo", "re") : NULL;
        kind = pg_db_network_kind((uint32_t)about.f_type, mounts, status.st_dev);
        if (mounts)
            fclose(mounts);
    }
    free(folder);
    return kind;
}

int pg_store_name_check(const char *path)
{
    if (strcmp(path, ":memory:") == 0)
        return pg_fail(
            PG_EINPUT,
            ":memory: is no file: workers share a database through its file, so right would be a path, as /dev/shm/x.db;"
            " a file of this name is ./:memory:");
    if (strncmp(path, "file:", 5) == 0)
        return pg_fail(PG_EINPUT, "%s: URIs are not read; right would be the path of a file, and ./%s for a file of this name",
                       path, path);
    return PG_OK;
}

int pg_db_place_check(const char *path, bool read_only, bool *network)
{
    const char *allowed = getenv("PATCHGAUGE_NETWORK_DB"), *kind = pg_store_network_kind(path);
    *network = kind && !(allowed && strcmp(allowed, "allow") == 0);
    if (!*network || read_only)
        return PG_OK;
    return pg_fail(
        PG_EUNSUPPORTED,
        "%s: lies on a network file system (%s), where several processes cannot share a database safely; name one on a "
        "local disk with --db, and let machines of a cluster write their own (`patchgauge help submit`, `help merge`); "
        "PATCHGAUGE_NETWORK_DB=allow in the environment uses it all the same, at your own risk",
        path, kind);
}

bool pg_store_is_remote(const char *path)
{
    bool network = false;
    return pg_db_place_check(path, true, &network) == PG_OK && network;
}
