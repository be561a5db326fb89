// The life of a process: made, brought up, let go, listened to, reaped.
#include "shim.h"
#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define OUTPUT_CHUNK (256 * 1024)
#define STDIN_LIMIT (64 * 1024)
#define GRACE 2 // seconds that output may still come after the process ended, from others that hold its pipe

static void sync_ready(struct source *source, uint32_t events);
static void output_ready(struct source *source, uint32_t events);
static void input_ready(struct source *source, uint32_t events);
static void finish(struct process *p);

static void close_fd(int *fd) {
  if (*fd >= 0) close(*fd);
  *fd = -1;
}

// Tell whoever waits how the launch went.
static void report(struct process *p, const struct failure *failure) {
  if (!p->launcher) return;
  send_result(p->launcher, p->launcher_sequence, p, failure);
  p->launcher = NULL;
}

static int fail(struct process *p, enum section section, int error) {
  p->failure = (struct failure){.section = section, .error = error};
  return -1;
}

static int make(struct process *p) {
  int pair[2], own_pids = -1;
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0) return fail(p, SECTION_HOST, errno);
  if (p->pid_namespace >= 0) {
    own_pids = open("/proc/self/ns/pid", O_RDONLY | O_CLOEXEC);
    if (setns(p->pid_namespace, CLONE_NEWPID) < 0) {
      fail(p, SECTION_HOST, errno);
      close(own_pids), close(pair[0]), close(pair[1]);
      return -1;
    }
  }
  struct clone_args args = {.flags = p->clone_flags | CLONE_PIDFD | (p->cgroup >= 0 ? CLONE_INTO_CGROUP : 0),
                            .pidfd = (uint64_t)(uintptr_t)&p->pidfd, .exit_signal = SIGCHLD, .cgroup = p->cgroup < 0 ? 0 : (uint64_t)p->cgroup};
  p->pid = (pid_t)syscall(SYS_clone3, &args, sizeof args);
  if (p->pid == 0) init_stage(p, pair[1]);
  int error = errno;
  if (own_pids >= 0) {
    setns(own_pids, CLONE_NEWPID); // back: only its pid namespace for children had changed
    close(own_pids);
  }
  close(pair[1]);
  if (p->pid < 0) {
    close(pair[0]);
    return fail(p, SECTION_HOST, error);
  }
  fcntl(pair[0], F_SETFL, O_NONBLOCK);
  watch(&p->sync, pair[0], EPOLLIN, sync_ready, p);
  return 0;
}

int process_launch(struct process *p, const char *plan, size_t length) {
  p->plan = plan, p->plan_length = length;
  p->pidfd = p->cgroup = p->pid_namespace = p->sync.fd = p->input.fd = p->output[0].fd = p->output[1].fd = -1;
  for (int i = 0; i < 3; i++) p->child_stdio[i] = -1;
  int result = plan_run(plan, length, SECTION_HOST, &p->failure, host_step, p);
  if (result == 0 && !p->adopted) result = make(p);
  for (int i = 0; i < 3; i++) close_fd(&p->child_stdio[i]);
  close_fd(&p->pid_namespace);
  close_fd(&p->cgroup);
  if (result < 0) return -1;
  if (plan_run(plan, length, SECTION_PARENT, &p->failure, host_step, p) < 0) return -1;
  if (p->adopted) {
    p->ready = true;
    if (p == &container) report(p, NULL);
    else process_start(p);
  } else if (write(p->sync.fd, "A", 1) < 0 && errno != EPIPE) {
    return fail(p, SECTION_PARENT, errno);
  }
  return 0;
}

void process_failed(struct process *p) {
  report(p, &p->failure);
  if (p->pid <= 0 || p->adopted) p->reaped = true, finish(p);
  else kill(p->pid, SIGKILL);
}

int process_signal(struct process *p, int signal) {
  if (p->pid > 0 && !p->reaped) return kill(p->pid, signal);
  errno = ESRCH;
  return -1;
}

static void listen_to(struct process *p) {
  for (int i = 0; i < 2; i++) {
    if (p->output[i].fd < 0) continue;
    fcntl(p->output[i].fd, F_SETFL, O_NONBLOCK);
    watch(&p->output[i], p->output[i].fd, EPOLLIN, output_ready, p);
  }
  if (p->input.fd >= 0) watch(&p->input, p->input.fd, EPOLLOUT, input_ready, p);
  process_feed(p);
  process_flow(p);
}

static void started(struct process *p) {
  p->started = true;
  struct connection *c = p->launcher;
  report(p, NULL);
  if (c && p->launcher_streams) attach_to(c, p, p->launcher_streams);
  listen_to(p);
}

void process_start(struct process *p) {
  p->starting = true;
  if (plan_run(p->plan, p->plan_length, SECTION_START, &p->failure, host_step, p) < 0) {
    report(p, &p->failure);
    return;
  }
  if (p->adopted) started(p);
  else if (write(p->sync.fd, "S", 1) < 0) { // it is dead already: reap() will tell
  }
}

// The init stage has something to say: its terminal, that it is ready, or what failed. Its end is success.
static void sync_ready(struct source *source, uint32_t events) {
  struct process *p = source->owner;
  char message[1 + sizeof(struct failure)];
  (void)events;
  for (;;) {
    int passed;
    ssize_t got = receive_fd(source->fd, message, sizeof message, &passed);
    if (got < 0 && errno == EAGAIN) return;
    // It ended with something of ours unread, which is told before what it said itself.
    if (got < 0 && (errno == EINTR || errno == ECONNRESET)) continue;
    if (got <= 0) break;
    if (message[0] == 'C') p->output[0].fd = passed;
    if (message[0] == 'F' && got == sizeof message) {
      memcpy(&p->failure, message + 1, sizeof p->failure);
      p->failure.detail[sizeof p->failure.detail - 1] = 0;
    }
    if (message[0] == 'R') {
      p->ready = true;
      close_slots();
      p->plan = plan_keep(p->plan, p->plan_length, &p->plan_length);
      if (p == &container) report(p, NULL);
      else process_start(p);
    }
  }
  unwatch(source);
  if (p->failure.error) report(p, &p->failure);
  else if (p->starting) started(p);
}

// ---- stdin ----

void process_feed(struct process *p) {
  struct source *to = p->tty ? &p->output[0] : &p->input;
  if (to->fd < 0) {
    queue_free(&p->stdin_queue);
    return;
  }
  if (queue_write(&p->stdin_queue, to->fd) < 0) { // nobody will read it any more
    queue_free(&p->stdin_queue);
    if (!p->tty) unwatch(to);
  }
  bool waits = queue_length(&p->stdin_queue) > 0;
  if (!waits && p->close_stdin) unwatch(to);
  if (p->tty) process_flow(p);
  else if (to->fd >= 0) rewatch(to, waits ? EPOLLOUT : EPOLLERR);
}

static void input_ready(struct source *source, uint32_t events) {
  struct process *p = source->owner;
  if (events & EPOLLERR) { // the reading end is closed
    queue_free(&p->stdin_queue);
    unwatch(source);
    return;
  }
  process_feed(p);
  sweep_connections();
}

void process_close_stdin(struct process *p) {
  if (p->tty) return; // whoever comes next types on
  p->close_stdin = true;
  process_feed(p);
}

// ---- output ----

static char *output_buffer; // 8 bytes for a frame's header, then a chunk; given back when idle

static void output_ended(struct process *p, struct source *source) {
  unwatch(source);
  if (p->reaped && p->output[0].fd < 0 && p->output[1].fd < 0) finish(p);
}

// Read once. 0: nothing there now, -1: the end, else bytes.
static ssize_t take_output(struct process *p, struct source *source) {
  int stream = source == &p->output[1] ? 2 : 1;
  if (!output_buffer) {
    output_buffer = mmap(NULL, OUTPUT_CHUNK + 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (output_buffer == MAP_FAILED) abort();
  }
  ssize_t got = read(source->fd, output_buffer + 8, OUTPUT_CHUNK);
  if (got < 0) return errno == EAGAIN || errno == EINTR ? 0 : -1;
  if (got == 0) return -1;
  if (p->logged) log_write(&container_log, stream, output_buffer + 8, (size_t)got);
  deliver(p, stream, output_buffer + 8, (size_t)got);
  return got;
}

static void output_ready(struct source *source, uint32_t events) {
  struct process *p = source->owner;
  if (events & EPOLLOUT) process_feed(p);
  if (!(events & ~(uint32_t)EPOLLOUT) || source->fd < 0) return;
  ssize_t got = 1;
  // A few chunks at once, then the others' turn.
  for (int rounds = 0; rounds < 8 && got > 0 && !readers_full(p); rounds++) got = take_output(p, source);
  if (p->logged) log_flush(&container_log);
  set_timer(1);
  if (got < 0) output_ended(p, source);
  else process_flow(p);
}

void process_flow(struct process *p) {
  uint32_t reading = readers_full(p) ? 0 : EPOLLIN;
  uint32_t writing = p->tty && queue_length(&p->stdin_queue) > 0 ? EPOLLOUT : 0;
  for (int i = 0; i < 2; i++) {
    if (p->output[i].ready) rewatch(&p->output[i], reading | (i == 0 ? writing : 0));
  }
}

// What a dead process left in its pipes, whether its readers keep up or not: it is not much.
static void drain(struct process *p) {
  for (int i = 0; i < 2; i++) {
    struct source *source = &p->output[i];
    ssize_t got = 1;
    for (size_t total = 0; source->fd >= 0 && got > 0 && total < 8 << 20; total += (size_t)got) {
      got = take_output(p, source);
      if (got <= 0) break;
    }
    if (source->fd >= 0 && got < 0) unwatch(source);
  }
  if (p->logged) log_flush(&container_log);
}

// ---- the end ----

static void write_record(const char *text, size_t length) {
  int fd = open("exit.new", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (fd < 0) return;
  bool whole = write(fd, text, length) == (ssize_t)length;
  close(fd);
  if (whole) rename("exit.new", "exit");
}

// All output is in: say so, on disk first.
static void finish(struct process *p) {
  if (p->finished) return;
  p->finished = true;
  for (int i = 0; i < 2; i++) unwatch(&p->output[i]);
  unwatch(&p->input);
  queue_free(&p->stdin_queue);
  struct failure ignored = {0};
  if (p == &container) log_end(&container_log), unwatch_memory();
  plan_run(p->plan, p->plan_length, SECTION_EXIT, &ignored, host_step, p);
  int signal = WIFSIGNALED(p->status) ? WTERMSIG(p->status) : 0;
  char *record = allocate(256 + exit_files.length);
  int length = snprintf(record, 256, "code %d\nsignal %d\ntime %lld.%09ld\ndropped %llu\n", signal ? 128 + signal : WEXITSTATUS(p->status), signal,
                        (long long)p->ended.tv_sec, p->ended.tv_nsec, (unsigned long long)(p == &container && container_log.shared ? container_log.shared->dropped : 0));
  if (p == &container && exit_files.length) memcpy(record + length, exit_files.bytes, exit_files.length), length += (int)exit_files.length;
  if (p == &container && p->started) write_record(record, (size_t)length);
  if (p->started) broadcast_exit(p, record, (size_t)length);
  free(record);
  end_attachments(p);
  plan_run(p->plan, p->plan_length, SECTION_TEARDOWN, &ignored, host_step, p);
  p->gone = true;
}

static void ended(struct process *p, int status) {
  p->reaped = true;
  p->status = status;
  clock_gettime(CLOCK_REALTIME, &p->ended);
  close_fd(&p->pidfd);
  if (p->sync.fd >= 0) sync_ready(&p->sync, 0); // its last words first
  if (!p->started) {
    // It never ran. Killed while it waited, it counts as run and killed.
    if (p == &container && p->ready && !p->failure.error) p->started = true;
    else if (!p->failure.error) p->failure.error = ECHILD, report(p, &p->failure);
    finish(p);
    return;
  }
  drain(p);
  if (p->output[0].fd < 0 && p->output[1].fd < 0) finish(p);
}

// Children that ended; also called when a timer is due.
void reap(void) {
  int status;
  struct timespec now;
  for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG)) > 0;) {
    for (struct process *p = processes; p; p = p->next) {
      if (p->pid == pid && !p->reaped) ended(p, status);
    }
  }
  clock_gettime(CLOCK_REALTIME, &now);
  for (struct process *p = processes; p; p = p->next) {
    if (!p->reaped || p->finished) continue;
    if (now.tv_sec >= p->ended.tv_sec + GRACE) {
      drain(p);
      finish(p);
    } else {
      set_timer(1);
      return;
    }
  }
  log_idle(&container_log);
  if (output_buffer) munmap(output_buffer, OUTPUT_CHUNK + 4096), output_buffer = NULL;
}

void process_free(struct process *p) {
  unwatch(&p->sync);
  close_fd(&p->pidfd);
  free((char *)p->plan);
  free(p);
}
