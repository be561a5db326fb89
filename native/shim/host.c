// Operations of the shim itself: files of the host, cgroups, other programs.
#include "shim.h"
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/vfs.h>
#include <sys/wait.h>

#define PROC_MAGIC 0x9fa0

struct record exit_files;

int slot(uint32_t number) { return (int32_t)number < 0 ? -1 : FIRST_SLOT + (int)number; }

// What is meant for the kernel has to reach it: a file below /proc has to be procfs's own.
int write_whole_file(const char *path, const char *data, size_t length) {
  struct statfs fs;
  int fd = open(path, O_WRONLY | O_CLOEXEC | O_NOCTTY);
  if (fd < 0) return -1;
  if (strncmp(path, "/proc/", 6) == 0 && (fstatfs(fd, &fs) < 0 || fs.f_type != PROC_MAGIC)) return errno = ENODEV, closing(fd, -1);
  ssize_t written = write(fd, data, length);
  if (written >= 0 && written != (ssize_t)length) errno = EIO, written = -1;
  return closing(fd, written < 0 ? -1 : 0);
}

static int write_pid(const char *path, pid_t pid) {
  char text[16];
  return write_whole_file(path, text, (size_t)snprintf(text, sizeof text, "%d", pid));
}

char *read_file(const char *path, size_t size, size_t *length) {
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return NULL;
  char *text = allocate(size + 1);
  ssize_t got = 0;
  *length = 0;
  while (*length < size && (got = read(fd, text + *length, size - *length)) > 0) *length += (size_t)got;
  close(fd);
  return text;
}

static void pause_ms(long ms) { nanosleep(&(struct timespec){0, ms * 1000000}, NULL); }

static int op_mkdir(const char *path, mode_t mode) {
  if (mkdir(path, mode) == 0) return chmod(path, mode);
  return errno == EEXIST ? 0 : -1;
}

// A cgroup is busy for a moment after its last process was reaped.
static int op_rmdir(const char *path) {
  for (int tries = 0;; tries++) {
    if (rmdir(path) == 0 || errno == ENOENT) return 0;
    if (errno != EBUSY || tries == 200) return -1;
    pause_ms(tries < 20 ? 1 : 5);
  }
}

static int op_kill_all(const char *path) {
  for (int tries = 0; tries < 200; tries++) {
    size_t length;
    char *text = read_file(path, 1 << 20, &length);
    if (!text) return errno == ENOENT ? 0 : -1;
    int found = 0;
    for (char *at = text; *at; at = strchr(at, '\n') ? strchr(at, '\n') + 1 : at + strlen(at)) {
      pid_t pid = atoi(at);
      if (pid > 1) found++, kill(pid, SIGKILL);
    }
    free(text);
    if (!found) return 0;
    pause_ms(tries < 20 ? 1 : 5);
  }
  errno = EBUSY;
  return -1;
}

// Into the exit record: `file NAME LENGTH`, a newline, the bytes, a newline.
static int op_record(const char *name, const char *path) {
  size_t length;
  char *text = read_file(path, 65536, &length);
  if (!text) return -1;
  char head[256];
  int head_length = snprintf(head, sizeof head, "file %.200s %zu\n", name, length);
  char *all = realloc(exit_files.bytes, exit_files.length + (size_t)head_length + length + 1);
  if (!all) abort();
  memcpy(all + exit_files.length, head, (size_t)head_length);
  memcpy(all + exit_files.length + head_length, text, length);
  exit_files.bytes = all;
  exit_files.length += (size_t)head_length + length + 1;
  all[exit_files.length - 1] = '\n';
  free(text);
  return 0;
}

ssize_t receive_fd(int from, void *bytes, size_t size, int *fd) {
  union {
    struct cmsghdr align;
    char bytes[CMSG_SPACE(sizeof(int))];
  } control;
  struct iovec vector = {bytes, size};
  struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof control};
  ssize_t got = recvmsg(from, &message, MSG_CMSG_CLOEXEC);
  struct cmsghdr *header = got < 0 ? NULL : CMSG_FIRSTHDR(&message);
  *fd = -1;
  if (header && header->cmsg_type == SCM_RIGHTS) memcpy(fd, CMSG_DATA(header), sizeof *fd);
  return got;
}

// Receive the terminal that a program sent to our socket.
static int receive_console(int listener, struct process *p) {
  char bytes[64];
  int connection = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
  if (connection < 0) return -1;
  receive_fd(connection, bytes, sizeof bytes, &p->output[0].fd);
  close(connection);
  return p->output[0].fd < 0 ? errno = ENOTTY, -1 : 0;
}

// Run a program of the host to its end.
static int run_program(struct process *p, char **argv, char **env, bool stdio, struct failure *failure) {
  int null = open("/dev/null", O_RDWR | O_CLOEXEC);
  pid_t pid = fork();
  if (pid == 0) {
    for (int i = 0; i < 3; i++) dup2(stdio && p->child_stdio[i] >= 0 ? p->child_stdio[i] : null, i);
    syscall(SYS_close_range, 3, ~0U, 0);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    execve(argv[0], argv, env);
    _exit(errno == ENOENT ? 127 : 126);
  }
  close(null);
  int status = 0;
  if (pid < 0 || waitpid(pid, &status, 0) < 0) return -1;
  if (status == 0) return 0;
  char text[256];
  snprintf(text, sizeof text, "%.200s: exit code %d", argv[0], WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status));
  detail(failure, text);
  errno = ECHILD;
  return -1;
}

static int op_run(struct process *p, struct reader *r, struct failure *failure) {
  char **argv = get_strings(r), **env = get_strings(r);
  bool stdio = get_u32(r);
  const char *console = get_string(r);
  int listener = -1, result = -1;
  if (r->bad || !argv[0]) {
    errno = EBADMSG;
  } else if (!*console) {
    result = run_program(p, argv, env, stdio, failure);
  } else {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    strncpy(address.sun_path, console, sizeof address.sun_path - 1);
    unlink(console);
    listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (listener >= 0 && bind(listener, (void *)&address, sizeof address) == 0 && listen(listener, 4) == 0) {
      result = run_program(p, argv, env, stdio, failure);
      if (result == 0) result = receive_console(listener, p);
    }
    if (listener >= 0) closing(listener, 0);
    int error = errno;
    unlink(console);
    errno = error;
  }
  free(argv);
  free(env);
  return result;
}

static int op_adopt(struct process *p, const char *path) {
  size_t length;
  char *text = read_file(path, 32, &length);
  if (!text) return -1;
  p->pid = atoi(text);
  p->adopted = true;
  free(text);
  p->pidfd = (int)syscall(SYS_pidfd_open, p->pid, 0);
  return p->pidfd < 0 ? -1 : 0;
}

static int op_stdio(struct process *p, struct reader *r) {
  p->tty = get_u32(r);
  p->has_stdin = get_u32(r);
  if (p->tty) return 0;
  int pipes[3][2];
  for (int i = p->has_stdin ? 0 : 1; i < 3; i++) {
    if (pipe2(pipes[i], O_CLOEXEC) < 0) return -1;
    int ours = pipes[i][i == 0 ? 1 : 0];
    fcntl(ours, F_SETFL, O_NONBLOCK);
    p->child_stdio[i] = pipes[i][i == 0 ? 0 : 1];
    (i == 0 ? &p->input : &p->output[i - 1])->fd = ours;
  }
  return 0;
}

static void op_log(struct process *p, struct reader *r) {
  uint32_t format = get_u32(r);
  const char *path = get_string(r);
  uint64_t max_size = get_u64(r);
  uint32_t max_files = get_u32(r);
  uint64_t ring = get_u64(r);
  container_log.attrs = get_bytes(r, &container_log.attrs_length);
  if (r->bad || p != &container) return;
  char *kept = allocate(strlen(path) + 1 + container_log.attrs_length + 1);
  strcpy(kept, path);
  memcpy(kept + strlen(path) + 1, container_log.attrs, container_log.attrs_length);
  container_log.attrs = kept + strlen(path) + 1;
  log_open(&container_log, format, kept, max_size, max_files, ring);
  p->logged = container_log.fd >= 0;
}

// An fd to be closed by us: of a path, or else of what a slot holds (those are closed all at once).
static int own_fd(uint32_t number, const char *path) {
  int held = slot(number);
  if (*path) return open(path, O_RDONLY | O_CLOEXEC);
  return held < 0 ? -1 : fcntl(held, F_DUPFD_CLOEXEC, FIRST_SLOT);
}

int host_step(void *data, struct op *op, struct failure *failure) {
  struct process *p = data;
  struct reader *r = &op->fields;
  const char *path;
  uint32_t length, number;
  switch (op->code) {
  case OP_STDIO:
    return op_stdio(p, r);
  case OP_LOG:
    op_log(p, r);
    return 0;
  case OP_CLONE:
    p->clone_flags = get_u64(r);
    number = get_u32(r);
    detail(failure, path = get_string(r));
    p->cgroup = own_fd(number, path);
    return *path && p->cgroup < 0 ? -1 : 0;
  case OP_PID_NAMESPACE:
    number = get_u32(r);
    detail(failure, path = get_string(r));
    p->pid_namespace = own_fd(number, path);
    return p->pid_namespace < 0 ? -1 : 0;
  case OP_MKDIR:
    detail(failure, path = get_string(r));
    return op_mkdir(path, get_u32(r));
  case OP_WRITE_FILE: {
    detail(failure, path = get_string(r));
    const char *text = get_bytes(r, &length);
    return write_whole_file(path, text, length);
  }
  case OP_RMDIR:
    detail(failure, path = get_string(r));
    return op_rmdir(path);
  case OP_UNLINK:
    detail(failure, path = get_string(r));
    return unlink(path) < 0 && errno != ENOENT ? -1 : 0;
  case OP_RUN:
    return op_run(p, r, failure);
  case OP_ADOPT:
    detail(failure, path = get_string(r));
    return op_adopt(p, path);
  case OP_KILL_ALL:
    detail(failure, path = get_string(r));
    return op_kill_all(path);
  case OP_RECORD:
    path = get_string(r);
    detail(failure, get_string(r));
    return op_record(path, failure->detail);
  case OP_MEMORY_EVENTS:
    detail(failure, path = get_string(r));
    return watch_memory(path, get_string(r));
  case OP_JOIN:
    detail(failure, path = get_string(r));
    return write_pid(path, p->pid);
  case OP_PROCESS_FILE: {
    char file[64];
    snprintf(file, sizeof file, "/proc/%d/%.32s", p->pid, get_string(r));
    detail(failure, file);
    const char *text = get_bytes(r, &length);
    return write_whole_file(file, text, length);
  }
  }
  errno = ENOSYS;
  return -1;
}
