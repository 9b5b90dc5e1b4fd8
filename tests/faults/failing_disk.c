/* Loaded before the C library. Once armed, no file can be synced any more, and each try is noted in FAULTS_SYNCS; or
 * the process ends within one of the writes that follow, as in a power cut. */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

static int armed;

void faults_arm(void) { armed = 1; }

static int writes_left;

void faults_kill_in_write(int number) { writes_left = number; }

static void passed(void) {
    if (writes_left > 0 && --writes_left == 0) kill(getpid(), SIGKILL);
}

ssize_t pwrite(int descriptor, const void *bytes, size_t length, off_t offset) {
    passed();
    return syscall(SYS_pwrite64, descriptor, bytes, length, offset);
}

ssize_t pwrite64(int descriptor, const void *bytes, size_t length, off64_t offset) {
    passed();
    return syscall(SYS_pwrite64, descriptor, bytes, length, offset);
}

static int fail(void) {
    int note = open(getenv("FAULTS_SYNCS"), O_WRONLY | O_APPEND);
    if (note >= 0) {
        if (write(note, "x", 1) != 1) abort();
        close(note);
    }
    errno = EIO;
    return -1;
}

int fsync(int descriptor) { return armed ? fail() : (int)syscall(SYS_fsync, descriptor); }

int fdatasync(int descriptor) { return armed ? fail() : (int)syscall(SYS_fdatasync, descriptor); }
