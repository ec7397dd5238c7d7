/* Many subscribers of one event stream: checks that each gets every event once and in order, and how late.
 *
 * cc -O2 fanout_client.c -o client && ./client PORT PATH FIRST ALL EVENTS
 *
 * Opens FIRST connections, prints `connected FIRST` and waits for a line on stdin; opens more until there are ALL,
 * prints `connected ALL` and receives, until every connection has EVENTS events (0: until the server ends every
 * stream). Then it prints one line of JSON and keeps the connections until stdin ends.
 *
 * An event counts when its `time` (Unix seconds, in its data) is not before the moment when all were connected: what
 * is older is history, of which only the order is checked. Its latency is the time from there until it was parsed.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { LINE_BYTES = 2048, PENDING_CONNECTIONS = 64, READY = 256, PATIENCE_MS = 20000 };

struct line {
    int length;
    char text[LINE_BYTES]; /* a longer line is cut: what matters stands at its beginning */
};

enum state { HEAD, CHUNK_SIZE, CHUNK_DATA, CHUNK_END, RAW };

struct connection {
    int socket;
    enum state state;
    bool chunked, greeted, closed;
    size_t chunk_left;
    struct line wire, body;
    long id, last_id; /* of the event that is being read; of the last one that had an id */
    double time;
    int events;
};

static struct connection *connections;
static int connected, greeted, closed, finished, wanted, poller;
static long received, gaps, body_bytes;
static double began; /* Unix seconds when all were connected; 0 before */
static uint32_t *latencies; /* microseconds */
static long latencies_room;

static void fail(const char *what) {
    perror(what);
    exit(1);
}

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_REALTIME, &time);
    return time.tv_sec + time.tv_nsec / 1e9;
}

/* ---- events ---- */

static void count(struct connection *c) {
    if (received == latencies_room) {
        latencies_room = latencies_room ? 2 * latencies_room : 65536;
        latencies = realloc(latencies, latencies_room * sizeof *latencies);
        if (!latencies) fail("realloc");
    }
    latencies[received++] = (uint32_t)((now() - c->time) * 1e6);
    if (++c->events == wanted) finished++;
}

static void end_of_event(struct connection *c) {
    if (c->id) {
        if (c->last_id && c->id != c->last_id + 1) gaps++;
        c->last_id = c->id;
    }
    if (began && c->time >= began) count(c);
    c->id = 0;
    c->time = 0;
}

static void event_line(struct connection *c, char *line) {
    if (!*line) {
        end_of_event(c);
    } else if (!strncmp(line, "id: ", 4)) {
        c->id = atol(line + 4);
    } else if (!strncmp(line, "data: ", 6)) {
        char *time = strstr(line, "\"time\":");
        if (time) c->time = strtod(time + 7, NULL);
    }
}

/* ---- HTTP ---- */

/* Moves bytes up to a line's end into `line`; returns how many were taken. `line` is whole when `*whole`. */
static size_t gather(struct line *line, const char *bytes, size_t count, bool *whole) {
    const char *end = memchr(bytes, '\n', count);
    size_t taken = end ? (size_t)(end - bytes) + 1 : count;
    size_t room = LINE_BYTES - 1 - line->length, kept = taken < room ? taken : room;
    memcpy(line->text + line->length, bytes, kept);
    line->length += kept;
    *whole = end != NULL;
    if (*whole) {
        while (line->length && strchr("\r\n", line->text[line->length - 1])) line->length--;
        line->text[line->length] = 0;
        line->length = 0;
    }
    return taken;
}

static void body(struct connection *c, const char *bytes, size_t count) {
    body_bytes += count;
    if (!c->greeted) {
        c->greeted = true;
        greeted++;
    }
    while (count) {
        bool whole;
        size_t taken = gather(&c->body, bytes, count, &whole);
        if (whole) event_line(c, c->body.text);
        bytes += taken;
        count -= taken;
    }
}

static void head_line(struct connection *c, const char *line) {
    if (!strncmp(line, "HTTP/", 5) && strncmp(line + 8, " 200", 4)) {
        fprintf(stderr, "refused: %s\n", line);
        exit(1);
    }
    if (!strcasecmp(line, "transfer-encoding: chunked")) c->chunked = true;
    if (!*line) c->state = c->chunked ? CHUNK_SIZE : RAW;
}

static void end_of_stream(struct connection *c) {
    if (c->closed) return;
    epoll_ctl(poller, EPOLL_CTL_DEL, c->socket, NULL);
    c->closed = true;
    closed++;
}

static void wire_line(struct connection *c, const char *line) {
    if (c->state == HEAD) {
        head_line(c, line);
    } else if (c->state == CHUNK_SIZE) {
        c->chunk_left = strtoul(line, NULL, 16);
        c->state = c->chunk_left ? CHUNK_DATA : CHUNK_END;
        if (!c->chunk_left) end_of_stream(c);
    } else {
        c->state = CHUNK_SIZE;
    }
}

static size_t wire(struct connection *c, const char *bytes, size_t count) {
    bool whole;
    if (c->state == RAW) {
        body(c, bytes, count);
        return count;
    }
    if (c->state == CHUNK_DATA) {
        size_t taken = count < c->chunk_left ? count : c->chunk_left;
        body(c, bytes, taken);
        c->chunk_left -= taken;
        if (!c->chunk_left) c->state = CHUNK_END;
        return taken;
    }
    size_t taken = gather(&c->wire, bytes, count, &whole);
    if (whole) wire_line(c, c->wire.text);
    return taken;
}

/* ---- sockets ---- */

static void receive(struct connection *c) {
    static char buffer[65536];
    ssize_t count = read(c->socket, buffer, sizeof buffer);
    if (count < 0 && errno == EAGAIN) return;
    if (count <= 0) {
        end_of_stream(c);
        return;
    }
    for (ssize_t done = 0; done < count;) done += wire(c, buffer + done, count - done);
}

/* Receives from all that have something; false when nothing came for a long time. */
static bool receive_ready(void) {
    struct epoll_event ready[READY];
    int count = epoll_wait(poller, ready, READY, PATIENCE_MS);
    for (int i = 0; i < count; i++) receive(ready[i].data.ptr);
    return count > 0;
}

static void subscribe(int port, const char *path) {
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct connection *c = &connections[connected++];
    char request[1024];
    int length = snprintf(request, sizeof request,
                          "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nAccept: text/event-stream\r\n\r\n", path, port);
    c->socket = socket(AF_INET, SOCK_STREAM, 0);
    if (c->socket < 0 || connect(c->socket, (struct sockaddr *)&address, sizeof address)) fail("connect");
    if (write(c->socket, request, length) != length) fail("write");
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
    if (epoll_ctl(poller, EPOLL_CTL_ADD, c->socket, &event)) fail("epoll_ctl");
}

static void subscribe_all(int port, const char *path, int number) {
    while (greeted < number) {
        if (connected < number && connected - greeted < PENDING_CONNECTIONS)
            subscribe(port, path);
        else if (!receive_ready() || closed) {
            fprintf(stderr, "%d of %d greeted, %d closed\n", greeted, number, closed);
            exit(1);
        }
    }
    body_bytes = 0;
    began = now(); /* before the line: whoever reads it may publish at once */
    printf("connected %d\n", number);
    fflush(stdout);
}

/* ---- report ---- */

static int by_value(const void *a, const void *b) {
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static double latency_ms(double quantile) {
    return received ? latencies[(long)(quantile * (received - 1))] / 1000.0 : 0;
}

static void report(void) {
    int fewest = connections[0].events, most = fewest;
    for (int i = 1; i < connected; i++) {
        if (connections[i].events < fewest) fewest = connections[i].events;
        if (connections[i].events > most) most = connections[i].events;
    }
    qsort(latencies, received, sizeof *latencies, by_value);
    printf("{\"received\": %ld, \"gaps\": %ld, \"closed\": %d, \"fewest\": %d, \"most\": %d, \"body_bytes\": %ld,"
           " \"p50_ms\": %.3f, \"p99_ms\": %.3f}\n",
           received, gaps, closed, fewest, most, body_bytes, latency_ms(0.5), latency_ms(0.99));
    fflush(stdout);
}

static void wait_for_line(void) {
    char byte;
    while (read(STDIN_FILENO, &byte, 1) == 1 && byte != '\n') continue;
}

int main(int argument_count, char **arguments) {
    if (argument_count != 6) {
        fprintf(stderr, "usage: client PORT PATH FIRST ALL EVENTS\n");
        return 2;
    }
    int port = atoi(arguments[1]), first = atoi(arguments[3]), all = atoi(arguments[4]);
    wanted = atoi(arguments[5]);
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    signal(SIGPIPE, SIG_IGN);
    connections = calloc(all, sizeof *connections);
    poller = epoll_create1(0);
    subscribe_all(port, arguments[2], first);
    wait_for_line();
    began = 0;
    subscribe_all(port, arguments[2], all);
    while ((wanted ? finished < all && !closed : closed < all) && receive_ready()) continue;
    report();
    wait_for_line();
}
