/* For tests alone: preloaded into Wine it writes down every fsync, which is what Wine makes of FlushFileBuffers: one line with the
 * number of the file and its name, into the file that TAXDISK_FSYNC_LOG names. Where the file that TAXDISK_FSYNC_FAIL names is
 * there, those of a journal fail as those of a broken drive do. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int fsync(int fd)
{
    static int (*real)(int);
    char link[32], name[PATH_MAX], line[PATH_MAX + 32];
    const char *log = getenv("TAXDISK_FSYNC_LOG"), *fail = getenv("TAXDISK_FSYNC_FAIL");
    ssize_t length;
    int out;

    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    length = readlink(link, name, sizeof name - 1);
    name[length > 0 ? length : 0] = 0;
    if (fail && strstr(name, "/journal/") && access(fail, F_OK) == 0) {
        errno = EIO;
        return -1;
    }
    if (log && (out = open(log, O_WRONLY | O_CREAT | O_APPEND, 0600)) >= 0) {
        snprintf(line, sizeof line, "%d %s\n", fd, name);
        if (write(out, line, strlen(line)) < 0)
            abort();
        close(out);
    }
    if (!real)
        real = (int (*)(int))dlsym(RTLD_NEXT, "fsync");
    return real(fd);
}
