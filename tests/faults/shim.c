// What tests preload (LD_PRELOAD) into a process to make its disk and its clock bad. shim.py compiles and steers it.
//
// The file that WAZIR_TEST_SHIM names holds a rule a line: CALL ERRNO MILLISECONDS NTH PATH
//   write 28 0 3 wazir.db-wal    every third write to a file whose path contains "wazir.db-wal" fails with errno 28
//   sync 0 200 1 .wazir          every fsync below ".wazir" takes 200 ms longer, and succeeds (errno 0)
// It is read at each write and each sync, so a test changes it while the process runs; without the file nothing fails.
// WAZIR_TEST_SHIM.clock holds one double: the seconds by which the wall clock is wrong.

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

static const char *rules;
static const double *clock_error;
static atomic_uint calls;

__attribute__((constructor)) static void start(void) {
    rules = getenv("WAZIR_TEST_SHIM");
    if (!rules) return;
    char name[PATH_MAX];
    snprintf(name, sizeof name, "%s.clock", rules);
    int fd = open(name, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return;
    void *page = mmap(NULL, sizeof(double), PROT_READ, MAP_SHARED, fd, 0);
    if (page != MAP_FAILED) clock_error = page;
    close(fd);
}

// 0, or -1 with errno set as the first rule for this call on this file says.
static int fails(const char *call, int fd) {
    if (!rules) return 0;
    int before = errno;
    int file = open(rules, O_RDONLY | O_CLOEXEC);
    errno = before;
    if (file < 0) return 0;

    char text[4096];
    ssize_t size = read(file, text, sizeof text - 1);
    close(file);
    if (size <= 0) return 0;
    text[size] = 0;

    char link[64], path[PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) { errno = before; return 0; }
    path[length] = 0;

    char *rest = NULL;
    for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        char what[16], part[1024];
        int error, milliseconds;
        unsigned nth;
        if (sscanf(line, "%15s %d %d %u %1023s", what, &error, &milliseconds, &nth, part) != 5) continue;
        if (strcmp(what, call) || !strstr(path, part)) continue;
        if (atomic_fetch_add(&calls, 1) % nth != nth - 1) continue;
        if (milliseconds) usleep(milliseconds * 1000);
        errno = error ? error : before;
        return error ? -1 : 0;
    }
    errno = before;
    return 0;
}

#define REAL(type, name, ...)                                       \
    static type (*real)(__VA_ARGS__);                               \
    if (!real) *(void **)&real = dlsym(RTLD_NEXT, #name)

ssize_t write(int fd, const void *data, size_t size) {
    REAL(ssize_t, write, int, const void *, size_t);
    return fails("write", fd) ? -1 : real(fd, data, size);
}

ssize_t writev(int fd, const struct iovec *parts, int count) {
    REAL(ssize_t, writev, int, const struct iovec *, int);
    return fails("write", fd) ? -1 : real(fd, parts, count);
}

ssize_t pwrite(int fd, const void *data, size_t size, off_t at) {
    REAL(ssize_t, pwrite, int, const void *, size_t, off_t);
    return fails("write", fd) ? -1 : real(fd, data, size, at);
}

ssize_t pwrite64(int fd, const void *data, size_t size, off64_t at) {
    REAL(ssize_t, pwrite64, int, const void *, size_t, off64_t);
    return fails("write", fd) ? -1 : real(fd, data, size, at);
}

int fsync(int fd) {
    REAL(int, fsync, int);
    return fails("sync", fd) ? -1 : real(fd);
}

int fdatasync(int fd) {
    REAL(int, fdatasync, int);
    return fails("sync", fd) ? -1 : real(fd);
}

int clock_gettime(clockid_t clock, struct timespec *now) {
    REAL(int, clock_gettime, clockid_t, struct timespec *);
    int result = real(clock, now);
    if (!result && clock_error && clock == CLOCK_REALTIME) now->tv_sec += (time_t)*clock_error;
    return result;
}
