/* Listens on the port in argv[1] and answers every request with 200 and its version in X-Version; options make it misbehave.
   Static, so that an image needs nothing but this program. */
#include <arpa/inet.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *version = "";

static void end(int number) { (void)number; _exit(0); }

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
        int length = snprintf(answer, sizeof answer,
            "HTTP/1.1 200 OK\r\nX-Version: %s\r\nContent-Length: 3\r\n\r\nok\n", version);
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
        if (!strcmp(option, "--eat")) for (;;) memset(malloc(1 << 20), 1, 1 << 20);
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
