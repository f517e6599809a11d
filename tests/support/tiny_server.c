/* Listens on the port in argv[1] and answers every request with 200 and its version in X-Version; options make it misbehave.
   Static, so that an image needs nothing but this program. */
#include <arpa/inet.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *version = "", *directory = "", *sick = "";
static int fail_every, eat_after, requests;

static void end(int number) { (void)number; _exit(0); }

static void eat(void) { for (;;) memset(malloc(1 << 20), 1, 1 << 20); }

/* Whether the tests have put a file NAME-VERSION into the directory. */
static int told(const char *name) {
    char path[4096];
    snprintf(path, sizeof path, "%s/%s-%s", directory, name, version);
    return *directory && !access(path, F_OK);
}

static int begins(const char *request, const char *path) { return !strncmp(request + 4, path, strlen(path)); }

static const char *status_of(const char *request) {
    if (*sick && begins(request, sick)) return "500 Internal Server Error";
    if (begins(request, "/health")) return told("hold") ? "503 Service Unavailable" : "200 OK";
    int number = __sync_add_and_fetch(&requests, 1);
    if (eat_after && number > eat_after) eat();
    if (fail_every && number % fail_every == 0) return "500 Internal Server Error";
    return "200 OK";
}

/* Until the client goes. */
static void stream(int connection) {
    const char *begin = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n";
    const char *next = "data: token\n\n";
    if (write(connection, begin, strlen(begin)) < 0) return;
    while (write(connection, next, strlen(next)) > 0) usleep(100000);
}

/* One connection: answers requests until the client closes it; requests have no body. */
static void *serve(void *argument) {
    int connection = (int)(long)argument;
    char request[65536], answer[512];
    size_t have = 0;
    for (;;) {
        ssize_t got = read(connection, request + have, sizeof request - 1 - have);
        if (got <= 0) break;
        have += (size_t)got;
        request[have] = 0;
        if (!strstr(request, "\r\n\r\n")) continue;
        have = 0;
        if (begins(request, "/stream")) {
            stream(connection);
            break;
        }
        int length = snprintf(answer, sizeof answer,
            "HTTP/1.1 %s\r\nX-Version: %s\r\nContent-Length: 3\r\n\r\nok\n", status_of(request), version);
        if (write(connection, answer, (size_t)length) != length) break;
    }
    close(connection);
    return NULL;
}

int main(int count, char **arguments) {
    int one = 1, delay = 0;
    setvbuf(stdout, NULL, _IOLBF, 0);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGTERM, end);
    if (getenv("BLUEGREEN_VERSION")) version = getenv("BLUEGREEN_VERSION");
    for (int at = 2; at < count; at++) {
        const char *option = arguments[at], *value = at + 1 < count ? arguments[at + 1] : "0";
        if (!strcmp(option, "--ignore-term")) signal(SIGTERM, SIG_IGN);
        if (!strcmp(option, "--exit")) return atoi(value);
        if (!strcmp(option, "--exists")) return access(value, F_OK) != 0;
        if (!strcmp(option, "--delay")) delay = atoi(value);
        if (!strcmp(option, "--eat")) eat();
        if (!strcmp(option, "--eat-after")) eat_after = atoi(value);
        if (!strcmp(option, "--fail-every")) fail_every = atoi(value);
        if (!strcmp(option, "--sick")) sick = value;
        if (!strcmp(option, "--directory")) directory = value;
        if (!strcmp(option, "--lines")) for (int line = 0; line < atoi(value); line++) printf("line %d\n", line);
        if (!strcmp(option, "--version")) version = value;
    }
    memset(malloc(4 << 20), 1, 4 << 20); /* So that there is something to measure. */
    if (delay) sleep((unsigned)delay);
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((unsigned short)atoi(arguments[1]))};
    if (bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, 256)) return 9;
    puts("ready");
    for (;;) {
        int connection = accept(listener, NULL, NULL);
        pthread_t thread;
        if (connection < 0) continue;
        if (pthread_create(&thread, NULL, serve, (void *)(long)connection)) close(connection);
        else pthread_detach(thread);
    }
}
