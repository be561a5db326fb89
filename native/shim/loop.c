// The event loop: epoll, children, and one timer.
#include "shim.h"
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>

static int epoll_fd = -1;
static struct timespec deadline; // {0}: none
bool loop_ends;

void watch(struct source *source, int fd, uint32_t events, void (*ready)(struct source *, uint32_t), void *owner) {
  if (epoll_fd < 0) epoll_fd = epoll_create1(EPOLL_CLOEXEC);
  *source = (struct source){fd, events, ready, owner};
  struct epoll_event event = {.events = events, .data.ptr = source};
  epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event);
}

// No events at all takes it out of epoll, which would report a hang-up again and again.
void rewatch(struct source *source, uint32_t events) {
  if (source->fd < 0 || source->events == events) return;
  struct epoll_event event = {.events = events, .data.ptr = source};
  int operation = !events ? EPOLL_CTL_DEL : !source->events ? EPOLL_CTL_ADD : EPOLL_CTL_MOD;
  epoll_ctl(epoll_fd, operation, source->fd, &event);
  source->events = events;
}

void unwatch(struct source *source) {
  if (source->fd < 0) return;
  rewatch(source, 0);
  close(source->fd);
  source->fd = -1;
}

// reap() is called in so many seconds, or sooner.
void set_timer(int seconds) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  now.tv_sec += seconds;
  if (deadline.tv_sec == 0 || now.tv_sec < deadline.tv_sec) deadline = now;
}

static int until_deadline(void) {
  if (deadline.tv_sec == 0) return -1;
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  int64_t left = (deadline.tv_sec - now.tv_sec) * 1000 + (deadline.tv_nsec - now.tv_nsec) / 1000000 + 1;
  return left < 0 ? 0 : (int)left;
}

static void children_ended(struct source *source, uint32_t events) {
  struct signalfd_siginfo info[8];
  (void)events;
  while (read(source->fd, info, sizeof info) > 0) {
  }
  reap();
}

void run_loop(void) {
  static struct source signals;
  sigset_t child;
  sigemptyset(&child);
  sigaddset(&child, SIGCHLD);
  watch(&signals, signalfd(-1, &child, SFD_CLOEXEC | SFD_NONBLOCK), EPOLLIN, children_ended, NULL);
  for (sweep_connections(); !loop_ends; sweep_connections()) {
    struct epoll_event events[32];
    int count = epoll_wait(epoll_fd, events, 32, until_deadline());
    if (until_deadline() == 0) {
      deadline = (struct timespec){0};
      reap();
    }
    for (int i = 0; i < count; i++) {
      struct source *source = events[i].data.ptr;
      if (source->fd >= 0) source->ready(source, events[i].events);
    }
  }
}
