/* The least that a server can do: write() a ready frame to every connected socket.
 *
 * cc -O2 fanout_floor.c -o floor && ./floor EVENTS EVENTS_PER_SECOND FRAME_BYTES
 *
 * Prints `listening PORT`, accepts subscribers until a line comes on stdin, then sends the events at their pace and
 * waits to be ended. It reads no request, checks nothing and survives nothing: a floor, not a server.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static const char HEAD[] =
    "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\nretry: 1000\n";

static int *sockets;
static int connected;

static void fail(const char *what) {
    perror(what);
    exit(1);
}

static void raise_file_limit(void) {
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    sockets = calloc(limit.rlim_max, sizeof *sockets);
}

static int listen_on_loopback(void) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    if (bind(listener, (struct sockaddr *)&address, length) || listen(listener, 2048)) fail("listen");
    getsockname(listener, (struct sockaddr *)&address, &length);
    printf("listening %d\n", ntohs(address.sin_port));
    fflush(stdout);
    return listener;
}

static void subscribe(int listener) {
    int subscriber = accept(listener, NULL, NULL);
    if (subscriber < 0) fail("accept");
    if (write(subscriber, HEAD, sizeof HEAD - 1) < 0) perror("write");
    sockets[connected++] = subscriber;
}

static void accept_until_told(int listener) {
    struct pollfd watched[] = {{.fd = listener, .events = POLLIN}, {.fd = STDIN_FILENO, .events = POLLIN}};
    char line[16];
    while (poll(watched, 2, -1) > 0) {
        if (watched[0].revents) subscribe(listener);
        if (watched[1].revents) {
            if (read(STDIN_FILENO, line, sizeof line) > 0) return;
            exit(0);
        }
    }
}

/* One SSE frame of `bytes` bytes, or the shortest possible one. */
static int make_frame(char *frame, int number, int bytes) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    int length = sprintf(frame, "id: %d\nevent: epoch_end\ndata: {\"time\":%ld.%06ld,\"pad\":\"", number, now.tv_sec,
                         now.tv_nsec / 1000);
    while (length < bytes - 4) frame[length++] = 'x';
    return length + sprintf(frame + length, "\"}\n\n");
}

static void publish(int events, double events_per_second, int bytes) {
    struct timespec due;
    char frame[4096];
    clock_gettime(CLOCK_MONOTONIC, &due);
    for (int number = 1; number <= events; number++) {
        due.tv_nsec += (long)(1e9 / events_per_second);
        due.tv_sec += due.tv_nsec / 1000000000;
        due.tv_nsec %= 1000000000;
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &due, NULL);
        int length = make_frame(frame, number, bytes);
        for (int i = 0; i < connected; i++)
            if (write(sockets[i], frame, length) != length) perror("write");
    }
}

int main(int count, char **arguments) {
    if (count != 4) {
        fprintf(stderr, "usage: floor EVENTS EVENTS_PER_SECOND FRAME_BYTES\n");
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    raise_file_limit();
    accept_until_told(listen_on_loopback());
    publish(atoi(arguments[1]), atof(arguments[2]), atoi(arguments[3]));
    pause();
}
