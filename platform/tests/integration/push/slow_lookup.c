/* Loaded before a process of a test: names below .silent are looked up for five seconds, and then there is no answer. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <netdb.h>
#include <string.h>
#include <unistd.h>

typedef int (*look_up)(const char *, const char *, const struct addrinfo *, struct addrinfo **);

int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **found) {
    if (node && strstr(node, ".silent")) {
        sleep(5);
        return EAI_AGAIN;
    }
    return ((look_up)dlsym(RTLD_NEXT, "getaddrinfo"))(node, service, hints, found);
}
