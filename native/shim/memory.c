// Tells the moment when the kernel runs out of memory in the container's cgroup.
#include "shim.h"
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>

static struct source events = {.fd = -1};
static char *counters; // v2: memory.events, which changes for other reasons too
static uint64_t kills;

static uint64_t count_kills(void) {
  size_t length;
  char *text = read_file(counters, 4096, &length), *line = text ? strstr(text, "oom_kill ") : NULL;
  uint64_t count = line ? strtoull(line + strlen("oom_kill "), NULL, 10) : 0;
  free(text);
  return count;
}

static void events_ready(struct source *source, uint32_t ready) {
  char bytes[4096];
  (void)ready;
  if (read(source->fd, bytes, sizeof bytes) <= 0) return;
  if (counters) {
    uint64_t count = count_kills();
    if (count <= kills) return;
    kills = count;
  }
  notify_oom();
}

// cgroup-v1/memcg_test.rst: `EVENTFD FILE` in cgroup.event_control.
static int register_eventfd(int event, const char *file, const char *control) {
  int watched = open(file, O_RDONLY | O_CLOEXEC);
  char text[32];
  if (watched < 0) return -1;
  int length = snprintf(text, sizeof text, "%d %d", event, watched);
  return closing(watched, write_whole_file(control, text, (size_t)length));
}

int watch_memory(const char *file, const char *control) {
  bool v1 = *control != 0;
  int fd = v1 ? eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK) : inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
  if (fd < 0) return -1;
  if ((v1 ? register_eventfd(fd, file, control) : inotify_add_watch(fd, file, IN_MODIFY)) < 0) return closing(fd, -1);
  if (!v1) counters = strcpy(allocate(strlen(file) + 1), file);
  watch(&events, fd, EPOLLIN, events_ready, NULL);
  return 0;
}

// Before the cgroup goes, which is an event too.
void unwatch_memory(void) { unwatch(&events); }
