// Connections: the protocol of frames, and streams attached to a process.
// A frame is u32 length of its payload, u16 type, u16 0, u32 sequence; little-endian. src/runtime/shim.ts is its other end.
#include "shim.h"
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>

#define FRAME_HEAD 12
#define FRAME_LIMIT (64u << 20)
#define READER_LIMIT (1u << 20) // bytes that wait for one reader before the process is held back
#define STDIN_LIMIT (64u << 10) // bytes that wait for the process before its writers are

struct connection *connections;

static void update(struct connection *c) {
  if (c->gone) return;
  bool stdin_full = c->attached && (c->streams & ATTACH_STDIN) && queue_length(&c->process->stdin_queue) >= STDIN_LIMIT;
  uint32_t events = EPOLLERR; // and hang-ups, always
  if (!c->input_ended && !stdin_full) events |= EPOLLIN;
  if (queue_length(&c->out) > 0) events |= EPOLLOUT;
  rewatch(&c->source, events);
}

void drop(struct connection *c) {
  if (c->gone) return;
  c->gone = true;
  unwatch(&c->source);
  for (struct process *p = processes; p; p = p->next) {
    if (p->launcher == c) p->launcher = NULL;
  }
  queue_free(&c->out);
  if (!c->attached) return;
  if (c->streams & ATTACH_CLOSE_STDIN && !c->input_ended) process_close_stdin(c->process);
  process_flow(c->process);
}

static void send_bytes(struct connection *c, const char *bytes, size_t length) {
  if (c->gone) return;
  while (length > 0 && queue_length(&c->out) == 0) {
    ssize_t sent = send(c->source.fd, bytes, length, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0 && errno == EAGAIN) break;
    if (sent < 0) return drop(c);
    bytes += sent, length -= (size_t)sent;
  }
  if (length == 0) return;
  if (!queue_add(&c->out, bytes, length)) return drop(c);
  update(c);
}

// ---- frames out ----

struct frame {
  char *bytes;
  size_t used;
};

static void add(struct frame *f, const void *bytes, size_t length) {
  memcpy(f->bytes + f->used, bytes, length);
  f->used += length;
}

static void add_u32(struct frame *f, uint32_t value) { add(f, &value, sizeof value); }

static void add_string(struct frame *f, const char *text, size_t length) {
  add_u32(f, (uint32_t)length);
  add(f, text, length);
  add(f, "", 1);
}

static struct frame begin(size_t room) { return (struct frame){allocate(FRAME_HEAD + room), FRAME_HEAD}; }

static void fill_head(struct frame *f, enum message type, uint32_t sequence) {
  uint32_t length = (uint32_t)(f->used - FRAME_HEAD), kind = type;
  memcpy(f->bytes, &length, 4);
  memcpy(f->bytes + 4, &kind, 4);
  memcpy(f->bytes + 8, &sequence, 4);
}

static void send_frame(struct connection *c, struct frame *f, enum message type, uint32_t sequence) {
  fill_head(f, type, sequence);
  send_bytes(c, f->bytes, f->used);
  free(f->bytes);
}

void send_result(struct connection *c, uint32_t sequence, const struct process *p, const struct failure *failure) {
  static const struct failure none;
  if (!failure) failure = &none;
  struct frame f = begin(40 + sizeof failure->detail);
  add_u32(&f, (uint32_t)failure->error);
  add_u32(&f, p ? (uint32_t)p->pid : 0);
  add_u32(&f, failure->section), add_u32(&f, failure->index), add_u32(&f, failure->code);
  add_string(&f, failure->detail, strlen(failure->detail));
  send_frame(c, &f, RESULT, sequence);
}

static void send_errno(struct connection *c, uint32_t sequence, int result) {
  struct failure failure = {.error = result < 0 ? errno : 0};
  send_result(c, sequence, NULL, &failure);
}

static void send_state(struct connection *c, uint32_t sequence) {
  size_t room = 64;
  uint32_t count = 0;
  for (struct process *p = processes; p; p = p->next) room += 80, count += p != &container && p->started && !p->finished;
  struct frame f = begin(room);
  add_u32(&f, (uint32_t)container.pid);
  add_u32(&f, (container.ready ? 1 : 0) | (container.started ? 2 : 0) | (container.tty ? 4 : 0) | (container.finished ? 8 : 0));
  add_u32(&f, count);
  for (struct process *p = processes; p; p = p->next) {
    if (p == &container || !p->started || p->finished) continue;
    add_string(&f, p->id, strlen(p->id));
    add_u32(&f, (uint32_t)p->pid);
  }
  send_frame(c, &f, STATE, sequence);
}

static void broadcast(struct frame *f, enum message type) {
  fill_head(f, type, 0);
  for (struct connection *c = connections; c; c = c->next) {
    if (c->control) send_bytes(c, f->bytes, f->used);
  }
  free(f->bytes);
}

void broadcast_exit(struct process *p, const char *record, size_t length) {
  struct frame f = begin(strlen(p->id) + length + 16);
  add_string(&f, p->id, strlen(p->id));
  add_string(&f, record, length);
  broadcast(&f, EXIT);
}

void notify_rotated(void) {
  struct frame f = begin(0);
  broadcast(&f, ROTATED);
}

void notify_oom(void) {
  struct frame f = begin(0);
  broadcast(&f, OOM);
}

// ---- attached streams ----

void attach_to(struct connection *c, struct process *p, uint32_t flags) {
  c->attached = true;
  c->process = p;
  c->streams = flags;
  update(c);
}

bool readers_full(const struct process *p) {
  for (struct connection *c = connections; c; c = c->next) {
    if (c->attached && !c->gone && c->process == p && queue_length(&c->out) > READER_LIMIT) return true;
  }
  return false;
}

void deliver(struct process *p, int stream, char *bytes, size_t length) {
  if (!p->tty) {
    unsigned char head[8] = {(unsigned char)stream, 0, 0, 0, (unsigned char)(length >> 24), (unsigned char)(length >> 16), (unsigned char)(length >> 8), (unsigned char)length};
    bytes -= sizeof head;
    length += sizeof head;
    memcpy(bytes, head, sizeof head);
  }
  uint32_t wanted = stream == 2 ? ATTACH_STDERR : ATTACH_STDOUT;
  for (struct connection *c = connections; c; c = c->next) {
    if (c->attached && c->process == p && (c->streams & wanted)) send_bytes(c, bytes, length);
  }
}

// What was sent has to arrive, so nothing may be left unread when we close.
static void close_gently(struct connection *c) {
  char rest[4096];
  shutdown(c->source.fd, SHUT_WR);
  while (recv(c->source.fd, rest, sizeof rest, MSG_DONTWAIT) > 0) {
  }
  drop(c);
}

void end_attachments(struct process *p) {
  for (struct connection *c = connections; c; c = c->next) {
    if (!c->attached || c->process != p || c->gone) continue;
    c->ending = true;
    if (queue_length(&c->out) == 0) close_gently(c);
  }
}

bool attachments_left(void) {
  for (struct connection *c = connections; c; c = c->next) {
    if (!c->gone && queue_length(&c->out) > 0) return true;
  }
  return false;
}

static char input_buffer[16384];

// Bytes for stdin, or nothing that we want. A client that hung up is read to its end first.
static void attached_input(struct connection *c, bool hung_up) {
  struct process *p = c->process;
  for (;;) {
    if (!hung_up && (c->streams & ATTACH_STDIN) && queue_length(&p->stdin_queue) >= STDIN_LIMIT) break;
    ssize_t got = recv(c->source.fd, input_buffer, sizeof input_buffer, MSG_DONTWAIT);
    if (got < 0 && errno == EAGAIN) break;
    if (got < 0) return drop(c);
    if (got == 0) {
      c->input_ended = true;
      if (c->streams & ATTACH_CLOSE_STDIN) process_close_stdin(p);
      break;
    }
    if (!(c->streams & ATTACH_STDIN) || p->finished || p->close_stdin) continue;
    if (!queue_add(&p->stdin_queue, input_buffer, (size_t)got)) return drop(c);
    process_feed(p);
  }
  if (hung_up) drop(c);
  else update(c);
}

// ---- frames in ----

static struct process *find(const char *id) {
  for (struct process *p = processes; p; p = p->next) {
    if (strcmp(p->id, id) == 0) return p;
  }
  return NULL;
}

static void begin_exec(struct connection *c, uint32_t sequence, struct reader *r) {
  uint32_t streams = get_u32(r), length;
  const char *id = get_string(r), *plan = get_bytes(r, &length);
  if (r->bad || !*id || strlen(id) >= sizeof container.id || find(id) || !plan_check(plan, length)) {
    errno = r->bad ? EBADMSG : EINVAL;
    send_errno(c, sequence, -1);
    return;
  }
  if (!container.started || container.reaped) {
    errno = ESRCH;
    send_errno(c, sequence, -1);
    return;
  }
  struct process *p = allocate(sizeof *p);
  strcpy(p->id, id);
  p->next = processes;
  processes = p;
  p->launcher = c;
  p->launcher_sequence = sequence;
  p->launcher_streams = streams;
  char *copy = allocate(length);
  memcpy(copy, plan, length);
  if (process_launch(p, copy, length) < 0) process_failed(p);
}

static void quit(void) {
  for (struct connection *c = connections; c; c = c->next) {
    if (c->attached) drop(c);
  }
  process_signal(&container, SIGKILL);
}

static void request(struct connection *c, uint16_t type, uint32_t sequence, struct reader *r) {
  uint32_t first = 0, second = 0;
  struct process *p = &container;
  switch (type) {
  case HELLO:
    c->control = true;
    send_state(c, sequence);
    return;
  case QUIT:
    quit();
    return;
  case EXEC:
    begin_exec(c, sequence, r);
    return;
  case START:
    if (!p->ready || p->starting || p->reaped) {
      errno = p->starting ? EALREADY : ESRCH;
      send_errno(c, sequence, -1);
      return;
    }
    p->launcher = c;
    p->launcher_sequence = sequence;
    process_start(p);
    return;
  case SIGNAL:
  case ATTACH:
    first = get_u32(r);
    break;
  case RESIZE:
    first = get_u32(r), second = get_u32(r);
    break;
  }
  p = find(get_string(r));
  int result = -1;
  errno = r->bad ? EBADMSG : ESRCH;
  if (!r->bad && p && !p->finished) {
    struct winsize size = {.ws_row = (unsigned short)first, .ws_col = (unsigned short)second};
    if (type == SIGNAL) result = process_signal(p, (int)first);
    else if (type == RESIZE) result = p->tty ? ioctl(p->output[0].fd, TIOCSWINSZ, &size) : (errno = ENOTTY, -1);
    else if (type == CLOSE_STDIN) process_close_stdin(p), result = 0;
    else if (type == ATTACH) result = 0;
    else errno = ENOSYS;
  }
  send_errno(c, sequence, result);
  if (type == ATTACH && result == 0) attach_to(c, p, first);
}

// Collect a frame, exactly: what follows an ATTACH or EXEC is stdin.
static void frames_input(struct connection *c) {
  while (!c->attached && !c->gone) {
    size_t wanted = FRAME_HEAD;
    uint32_t length = 0, type = 0, sequence = 0;
    if (c->frame_used >= FRAME_HEAD) {
      memcpy(&length, c->frame, 4);
      if (length > FRAME_LIMIT) return drop(c);
      wanted += length;
    }
    if (c->frame_size < wanted) {
      char *larger = realloc(c->frame, wanted);
      if (!larger) return drop(c);
      c->frame = larger, c->frame_size = wanted;
    }
    if (c->frame_used < wanted) {
      ssize_t got = recv(c->source.fd, c->frame + c->frame_used, wanted - c->frame_used, MSG_DONTWAIT);
      if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
      if (got <= 0) return drop(c);
      c->frame_used += (size_t)got;
      continue;
    }
    if (wanted == FRAME_HEAD && length > 0) continue;
    memcpy(&type, c->frame + 4, 4);
    memcpy(&sequence, c->frame + 8, 4);
    struct reader r = {c->frame + FRAME_HEAD, c->frame + wanted, false};
    c->frame_used = 0;
    request(c, (uint16_t)type, sequence, &r);
    free(c->frame);
    c->frame = NULL, c->frame_size = 0;
  }
}

static void connection_ready(struct source *source, uint32_t events) {
  struct connection *c = source->owner;
  if (events & EPOLLOUT) {
    if (queue_write(&c->out, source->fd) < 0) return drop(c);
    if (c->ending && queue_length(&c->out) == 0) return close_gently(c);
    update(c);
    if (c->attached) process_flow(c->process);
  }
  if (c->attached && (events & (EPOLLIN | EPOLLHUP | EPOLLERR))) attached_input(c, events & (EPOLLHUP | EPOLLERR));
  else if (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) frames_input(c);
}

static struct connection *add_connection(int fd) {
  struct connection *c = allocate(sizeof *c);
  c->next = connections;
  connections = c;
  fcntl(fd, F_SETFL, O_NONBLOCK);
  fcntl(fd, F_SETFD, FD_CLOEXEC);
  watch(&c->source, fd, EPOLLIN, connection_ready, c);
  return c;
}

static void accept_ready(struct source *source, uint32_t events) {
  (void)events;
  int fd = accept4(source->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
  if (fd >= 0) add_connection(fd);
}

void serve(int listener, int launcher) {
  static struct source listening;
  watch(&listening, listener, EPOLLIN, accept_ready, NULL);
  struct connection *c = add_connection(launcher);
  c->control = true;
  container.launcher = c;
}

static bool referred_to(const struct process *p) {
  for (struct connection *c = connections; c; c = c->next) {
    if (c->process == p) return true;
  }
  return false;
}

// Free what is gone, now that nobody is in the middle of it. Writers that wait for room in stdin get their turn.
void sweep_connections(void) {
  for (struct connection **at = &connections; *at;) {
    struct connection *c = *at;
    if (c->attached) update(c);
    if (!c->gone) {
      at = &c->next;
      continue;
    }
    *at = c->next;
    free(c->frame);
    free(c);
  }
  for (struct process **at = &processes; *at;) {
    struct process *p = *at;
    if (p == &container || !p->gone || referred_to(p)) {
      at = &p->next;
      continue;
    }
    *at = p->next;
    process_free(p);
  }
  if (container.gone && !attachments_left()) loop_ends = true;
}
