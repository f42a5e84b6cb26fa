/* A model server for benchmarks: one thread, epoll, tokens at an even pace.

   stub PORT MODEL...

   A model `paced-RATE-TOKENS` streams TOKENS tokens, RATE a second, each in a write of its own, as
   a real server does: a stub that sends as fast as it can lets TCP join tokens, and so hides what
   a token costs that comes alone. Each token is `~` and the time at which it was sent (CLOCK_MONOTONIC,
   nanoseconds), so that a reader can count tokens and tell how long they were on their way.
   Without "stream":true the answer is whole, and comes at once. */
#define _GNU_SOURCE
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { CONNECTIONS_MAX = 4096, REQUEST_BYTES_MAX = 1 << 20, PENDING_BYTES_MAX = 4096, LAST_WRITES = 2 };

typedef struct {
  int fd;
  char *request;
  size_t request_bytes, request_room;
  int is_streaming;
  double rate;
  long tokens, sent;
  long long started;
  char model[64];
  char pending[PENDING_BYTES_MAX];
  size_t pending_bytes;
} Connection;

static Connection *connections[CONNECTIONS_MAX];
static char models_answer[8192], whole_answer[4096];
static size_t models_bytes, whole_bytes;

static const char *NOT_FOUND =
    "HTTP/1.1 404 Not Found\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}";
static const char *STREAM_HEAD =
    "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\n"
    "transfer-encoding: chunked\r\n\r\n";

static long long now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static void drop(Connection *c) {
  connections[c->fd] = NULL;
  close(c->fd);
  free(c->request);
  free(c);
}

/* Sends, or keeps what the socket does not take; 0 where the connection is gone. */
static int put(Connection *c, const char *data, size_t size) {
  if (c->pending_bytes == 0) {
    ssize_t n = write(c->fd, data, size);
    if (n < 0 && errno != EAGAIN) return 0;
    if (n > 0) data += n, size -= n;
  }
  if (size > PENDING_BYTES_MAX - c->pending_bytes) return 0;
  memcpy(c->pending + c->pending_bytes, data, size);
  c->pending_bytes += size;
  return 1;
}

static int flush(Connection *c) {
  if (c->pending_bytes == 0) return 1;
  ssize_t n = write(c->fd, c->pending, c->pending_bytes);
  if (n < 0) return errno == EAGAIN;
  memmove(c->pending, c->pending + n, c->pending_bytes - n);
  c->pending_bytes -= n;
  return 1;
}

static int put_chunk(Connection *c, const char *body, int size) {
  char framed[1024];
  int n = snprintf(framed, sizeof framed, "%x\r\n%.*s\r\n", size, size, body);
  return put(c, framed, n);
}

/* The next write of a stream: a token, then the reason to stop, then usage and the end. */
static int send_next(Connection *c) {
  char body[800];
  int n;
  const char *head = "data: {\"id\":\"chatcmpl-stub\",\"object\":\"chat.completion.chunk\",\"created\":1700000000";
  if (c->sent < c->tokens) {
    n = snprintf(body, sizeof body,
                 "%s,\"model\":\"%s\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"~%lld \"},"
                 "\"logprobs\":null,\"finish_reason\":null}]}\n\n", head, c->model, now_ns());
  } else if (c->sent == c->tokens) {
    n = snprintf(body, sizeof body,
                 "%s,\"model\":\"%s\",\"choices\":[{\"index\":0,\"delta\":{},\"logprobs\":null,"
                 "\"finish_reason\":\"stop\"}]}\n\n", head, c->model);
  } else {
    n = snprintf(body, sizeof body,
                 "%s,\"model\":\"%s\",\"choices\":[],\"usage\":{\"prompt_tokens\":12,"
                 "\"completion_tokens\":%ld,\"total_tokens\":%ld}}\n\ndata: [DONE]\n\n",
                 head, c->model, c->tokens, c->tokens + 12);
  }
  c->sent++;
  if (!put_chunk(c, body, n)) return 0;
  if (c->sent < c->tokens + LAST_WRITES) return 1;
  c->is_streaming = 0;
  return put(c, "0\r\n\r\n", 5);
}

static int pace(Connection *c, long long now) {
  if (!flush(c)) return 0;
  /* Streams are out of step with each other, as those of strangers are. */
  double phase = (c->fd * 137 % 1000) / 1000.0;
  double due = (now - c->started) * c->rate / 1e9 - phase;
  while (c->is_streaming && c->sent < due && c->pending_bytes == 0)
    if (!send_next(c)) return 0;
  return 1;
}

static int answer(Connection *c, const char *body, size_t size) {
  if (strncmp(c->request, "GET /v1/models ", 15) == 0) return put(c, models_answer, models_bytes);
  if (strncmp(c->request, "POST /v1/chat/completions ", 26) != 0)
    return put(c, NOT_FOUND, strlen(NOT_FOUND));
  if (!memmem(body, size, "\"stream\":true", 13)) return put(c, whole_answer, whole_bytes);
  const char *model = memmem(body, size, "\"paced-", 7);
  c->rate = 50, c->tokens = 10;
  strcpy(c->model, "paced-50-10");
  if (model) {
    sscanf(model + 7, "%lf-%ld", &c->rate, &c->tokens);
    snprintf(c->model, sizeof c->model, "%.*s", (int)strcspn(model + 1, "\""), model + 1);
  }
  c->sent = 0, c->started = now_ns(), c->is_streaming = 1;
  return put(c, STREAM_HEAD, strlen(STREAM_HEAD));
}

/* The length of the first whole request, with its body's place; 0 where it is not whole yet. */
static size_t whole_request(Connection *c, const char **body, size_t *size) {
  char *end = strstr(c->request, "\r\n\r\n");
  if (!end) return 0;
  *body = end + 4;
  *size = 0;
  *end = 0;
  char *length = strcasestr(c->request, "\r\ncontent-length:");
  if (length) *size = strtoul(length + 17, NULL, 10);
  *end = '\r';
  size_t total = (*body - c->request) + *size;
  return c->request_bytes < total ? 0 : total;
}

static int take(Connection *c) {
  if (c->request_room - c->request_bytes < 65536) {
    if (c->request_room >= REQUEST_BYTES_MAX) return 0;
    c->request_room += 65537;
    c->request = realloc(c->request, c->request_room);
  }
  ssize_t n = read(c->fd, c->request + c->request_bytes, c->request_room - c->request_bytes - 1);
  if (n < 0) return errno == EAGAIN;
  if (n == 0) return 0;
  c->request_bytes += n;
  c->request[c->request_bytes] = 0;
  const char *body;
  size_t size, total;
  while (c->request_bytes && (total = whole_request(c, &body, &size))) {
    if (!answer(c, body, size)) return 0;
    memmove(c->request, c->request + total, c->request_bytes - total + 1);
    c->request_bytes -= total;
  }
  return 1;
}

static void greet(int listener, int poll) {
  int fd, one = 1;
  while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
    if (fd >= CONNECTIONS_MAX) {
      close(fd);
      continue;
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    connections[fd] = calloc(1, sizeof(Connection));
    connections[fd]->fd = fd;
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
    epoll_ctl(poll, EPOLL_CTL_ADD, fd, &event);
  }
}

static void write_answers(int count, char **models) {
  char body[7000], *p = body;
  p += sprintf(p, "{\"object\":\"list\",\"data\":[");
  for (int i = 0; i < count && p < body + sizeof body - 300; i++)
    p += snprintf(p, 300, "%s{\"id\":\"%.64s\",\"object\":\"model\",\"created\":1700000000,"
                 "\"owned_by\":\"stub\",\"max_model_len\":1000000}", i ? "," : "", models[i]);
  p += sprintf(p, "]}");
  models_bytes = sprintf(models_answer, "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
                         "content-length: %zu\r\n\r\n%s", (size_t)(p - body), body);
  const char *whole =
      "{\"id\":\"chatcmpl-stub\",\"object\":\"chat.completion\",\"created\":1700000000,"
      "\"model\":\"stub\",\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":"
      "\"An answer of one length, to be passed on unchanged and counted by whoever asked for it.\","
      "\"tool_calls\":[]},\"logprobs\":null,\"finish_reason\":\"stop\"}],\"usage\":"
      "{\"prompt_tokens\":12,\"completion_tokens\":20,\"total_tokens\":32}}";
  whole_bytes = sprintf(whole_answer, "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
                        "content-length: %zu\r\n\r\n%s", strlen(whole), whole);
}

int main(int argc, char **argv) {
  if (argc < 2) return fprintf(stderr, "usage: stub PORT MODEL...\n"), 2;
  signal(SIGPIPE, SIG_IGN);
  write_answers(argc - 2, argv + 2);
  int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), one = 1;
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  struct sockaddr_in address = {.sin_family = AF_INET,
                                .sin_port = htons(atoi(argv[1])),
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  if (bind(listener, (void *)&address, sizeof address) || listen(listener, 1024))
    return perror("stub"), 1;
  int poll = epoll_create1(0), streaming = 0;
  struct epoll_event event = {.events = EPOLLIN, .data.fd = listener}, events[256];
  epoll_ctl(poll, EPOLL_CTL_ADD, listener, &event);
  for (;;) {
    int count = epoll_wait(poll, events, 256, streaming ? 1 : 1000);
    for (int i = 0; i < count; i++) {
      int fd = events[i].data.fd;
      if (fd == listener) {
        greet(listener, poll);
      } else if (connections[fd] && !take(connections[fd])) {
        drop(connections[fd]);
      }
    }
    streaming = 0;
    long long now = now_ns();
    for (int i = 0; i < CONNECTIONS_MAX; i++) {
      Connection *c = connections[i];
      if (!c || (!c->is_streaming && !c->pending_bytes)) continue;
      streaming++;
      if (!pace(c, now)) drop(c);
    }
  }
}
