// Processes and threads.
#include "call.h"
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>

struct spawning {
  const char *path, *cwd;
  int exe_fd;
  char **argv, **env;
  const int *fds;
  int fd_count;
  bool detached;
  char *stack;
  int pid;            // of the program, where detached
  volatile int error; // written by the child: it shares our memory until it executes
};

#define STACK (64 * 1024)

static int fail(struct spawning *s) {
  s->error = errno ? errno : EIO;
  _exit(127);
}

// The child: shares our memory but not our fds, and we stand still until it has executed.
static int become(void *data) {
  struct spawning *s = data;
  if (s->detached && setsid() < 0) fail(s);
  if (s->cwd[0] && chdir(s->cwd) < 0) fail(s);
  // First out of the way, then into place: a target may be another's source.
  int count = s->fd_count, moved[count + 1];
  for (int i = 0; i < count; i++) {
    int source = s->fds[i] >= 0 ? s->fds[i] : open("/dev/null", O_RDWR | O_CLOEXEC);
    if ((moved[i] = fcntl(source, F_DUPFD_CLOEXEC, count + 1)) < 0) fail(s);
  }
  int exe = s->exe_fd < 0 ? -1 : fcntl(s->exe_fd, F_DUPFD_CLOEXEC, count + 1);
  for (int i = 0; i < count; i++) {
    if (dup2(moved[i], i) < 0) fail(s);
  }
  syscall(SYS_close_range, count, ~0U, 4 /* CLOSE_RANGE_CLOEXEC */);
  struct sigaction plain = {.sa_handler = SIG_DFL};
  for (int signal = 1; signal < 65; signal++) sigaction(signal, &plain, NULL);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
  if (exe < 0) execve(s->path, s->argv, s->env);
  else syscall(SYS_execveat, exe, "", s->argv, s->env, 0x1000 /* AT_EMPTY_PATH */);
  return fail(s);
}

static int intermediate(void *data) {
  struct spawning *s = data;
  s->pid = clone(become, s->stack + STACK, CLONE_VM | CLONE_VFORK | SIGCHLD, s);
  if (s->pid < 0) fail(s);
  _exit(0);
}

static napi_value Spawn(napi_env env, napi_callback_info info) {
  struct call c = call_begin(env, info);
  struct spawning s = {.path = arg_string(&c, 0), .exe_fd = (int)arg_int(&c, 1), .argv = arg_strings(&c, 2),
                       .env = arg_strings(&c, 3), .cwd = arg_string(&c, 5), .detached = arg_bool(&c, 6)};
  s.fds = arg_ints(&c, 4, &s.fd_count);
  s.stack = mmap(NULL, 2 * STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
  if (s.stack == MAP_FAILED) return answer(&c, -errno);
  // No signal handler of Node's may run in the child, on our memory.
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  int pid = clone(s.detached ? intermediate : become, s.stack + 2 * STACK, CLONE_VM | CLONE_VFORK | SIGCHLD, &s);
  int error = pid < 0 ? errno : s.error;
  if (pid > 0 && (s.detached || error)) {
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR) {
    }
  }
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  munmap(s.stack, 2 * STACK);
  return answer(&c, error ? -error : s.detached ? s.pid : pid);
}

static napi_value Waitpid(napi_env env, napi_callback_info info) {
  struct call c = call_begin(env, info);
  size_t size;
  int *status = arg_bytes(&c, 2, &size);
  return answer(&c, failed(waitpid((pid_t)arg_int(&c, 0), size == 4 ? status : NULL, (int)arg_int(&c, 1))));
}

static napi_value PidfdOpen(napi_env env, napi_callback_info info) {
  struct call c = call_begin(env, info);
  return answer(&c, failed(syscall(SYS_pidfd_open, (pid_t)arg_int(&c, 0), 0)));
}

static napi_value PidfdSendSignal(napi_env env, napi_callback_info info) {
  struct call c = call_begin(env, info);
  return answer(&c, failed(syscall(SYS_pidfd_send_signal, (int)arg_int(&c, 0), (int)arg_int(&c, 1), NULL, 0)));
}

static napi_value Kill(napi_env env, napi_callback_info info) {
  struct call c = call_begin(env, info);
  return answer(&c, failed(kill((pid_t)arg_int(&c, 0), (int)arg_int(&c, 1))));
}

static napi_value Sysconf(napi_env env, napi_callback_info info) {
  struct call c = call_begin(env, info);
  return answer(&c, failed(sysconf((int)arg_int(&c, 0))));
}

// The confined thread's way back, so that it can be confined to one root after another.
static _Thread_local int outside = -1;

static void close_outside(void *unused) {
  (void)unused;
  if (outside >= 0) close(outside);
  outside = -1;
}

static napi_value ConfineThread(napi_env env, napi_callback_info info) {
  struct call c = call_begin(env, info);
  if (getpid() == (pid_t)syscall(SYS_gettid)) return answer(&c, -EINVAL);
  const char *root = arg_string(&c, 0);
  if (outside < 0) {
    if (unshare(CLONE_FS) < 0) return answer(&c, -errno);
    outside = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (outside < 0) return answer(&c, -errno);
    napi_add_env_cleanup_hook(env, close_outside, NULL);
  } else if (fchdir(outside) < 0 || chroot(".") < 0) {
    return answer(&c, -errno);
  }
  if (chroot(root) < 0 || chdir("/") < 0) return answer(&c, -errno);
  return answer(&c, 0);
}

const struct function process_functions[] = {
    {"spawn", Spawn},
    {"waitpid", Waitpid},
    {"pidfdOpen", PidfdOpen},
    {"pidfdSendSignal", PidfdSendSignal},
    {"kill", Kill},
    {"sysconf", Sysconf},
    {"confineThread", ConfineThread},
    {0},
};
