/* Loaded before the C library: once armed, no file can be synced any more, and each try is noted in FAULTS_SYNCS. */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

static int armed;

void faults_arm(void) { armed = 1; }

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
