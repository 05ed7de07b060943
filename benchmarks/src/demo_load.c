/* A closed-loop load for the demo, without TLS and so without OpenSSL's headers.
 *
 *   demo_load echo|http PORT CONNECTIONS SECONDS
 *
 * Every connection to 127.0.0.1:PORT keeps one request outstanding; the first answer of a connection
 * says how long an answer is, and in echo mode each must be the line that was sent. Prints the number
 * of answers, and the seconds they took. Ends with 1 when a connection is lost or an answer is wrong. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { ROOM = 4096 };

struct connection {
    int fd;
    size_t have, want; /* of the answer: bytes that came, bytes there are; want 0: not known yet */
    char answer[ROOM];
};

static const char HTTP[] = "GET /demo HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\n\r\n";
static char request[1024];
static size_t request_length;
static int is_http;

static void fail(const char *what) {
    fprintf(stderr, "demo_load: %s%s%s\n", what, errno ? ": " : "", errno ? strerror(errno) : "");
    exit(1);
}

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void ask(struct connection *c) {
    if (send(c->fd, request, request_length, MSG_NOSIGNAL) != (ssize_t)request_length) fail("send");
    c->have = 0;
}

static size_t answer_length(struct connection *c) {
    if (!is_http) return request_length;
    c->answer[c->have] = 0;
    char *end = strstr(c->answer, "\r\n\r\n"), *field = strcasestr(c->answer, "content-length:");
    if (!end || !field) return 0;
    if (strncmp(c->answer, "HTTP/1.1 200", 12)) errno = 0, fail("the answer is not 200");
    return (size_t)(end + 4 - c->answer) + strtoul(field + 15, NULL, 10);
}

/* Takes what came; tells whether the answer is whole. */
static int hear(struct connection *c) {
    ssize_t n = recv(c->fd, c->answer + c->have, ROOM - 1 - c->have, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return 0;
    if (n <= 0) fail("a connection was lost");
    c->have += (size_t)n;
    if (!c->want) c->want = answer_length(c);
    if (!c->want || c->have < c->want) return 0;
    errno = 0;
    if (c->have > c->want) fail("more came than was asked for");
    if (!is_http && memcmp(c->answer, request, request_length)) fail("another line came back");
    return 1;
}

static void connect_all(struct connection *all, int count, int port, int epoll) {
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    for (int i = 0; i < count; i++) {
        int one = 1;
        all[i].fd = socket(AF_INET, SOCK_STREAM, 0);
        if (connect(all[i].fd, (struct sockaddr *)&to, sizeof to)) fail("connect");
        setsockopt(all[i].fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        fcntl(all[i].fd, F_SETFL, O_NONBLOCK);
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = &all[i]};
        if (epoll_ctl(epoll, EPOLL_CTL_ADD, all[i].fd, &event)) fail("epoll_ctl");
        ask(&all[i]);
    }
}

int main(int argc, char **argv) {
    if (argc != 5) return fprintf(stderr, "usage: demo_load echo|http PORT CONNECTIONS SECONDS\n"), 2;
    is_http = !strcmp(argv[1], "http");
    int count = atoi(argv[3]), epoll = epoll_create1(0);
    double seconds = atof(argv[4]);
    request_length = is_http ? sizeof HTTP - 1 : 100;
    memset(request, 'x', request_length);
    request[request_length - 1] = '\n';
    if (is_http) memcpy(request, HTTP, request_length);
    struct connection *all = calloc((size_t)count, sizeof *all);
    connect_all(all, count, atoi(argv[2]), epoll);
    struct epoll_event events[256];
    unsigned long answers = 0;
    double begin = now(), end = begin;
    while ((end = now()) - begin < seconds) {
        int n = epoll_wait(epoll, events, 256, 100);
        for (int i = 0; i < n; i++) {
            struct connection *c = events[i].data.ptr;
            if (!hear(c)) continue;
            answers++;
            ask(c);
        }
    }
    printf("%lu %.6f\n", answers, end - begin);
    return 0;
}
