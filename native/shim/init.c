// The init stage: what the new process does to itself before it becomes the container's program. Its root is root.c's.
#include "init.h"
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/seccomp.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>

#define DEVPTS_MAGIC 0x1cd1

// ---- talking to the shim ----

static void tell(struct init *i, char kind, const void *data, size_t length, int fd) {
  union {
    struct cmsghdr align;
    char bytes[CMSG_SPACE(sizeof(int))];
  } control = {0};
  struct iovec vector[2] = {{&kind, 1}, {(void *)data, length}};
  struct msghdr message = {.msg_iov = vector, .msg_iovlen = 2};
  if (fd >= 0) {
    message.msg_control = control.bytes;
    message.msg_controllen = sizeof control;
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET, header->cmsg_type = SCM_RIGHTS, header->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(header), &fd, sizeof fd);
  }
  if (sendmsg(i->sync, &message, MSG_NOSIGNAL) < 0) _exit(1);
}

// Wait for the shim to say `what`; end with it.
static void expect(struct init *i, char what) {
  char said = 0;
  while (said != what) {
    ssize_t got = read(i->sync, &said, 1);
    if (got == 0 || (got < 0 && errno != EINTR)) _exit(1);
  }
}

static int op_console(struct init *i, struct reader *r) {
  struct winsize size = {.ws_row = (unsigned short)get_u32(r), .ws_col = (unsigned short)get_u32(r)};
  uid_t uid = get_u32(r);
  bool bind = get_u32(r);
  int zero = 0;
  struct statfs fs;
  int master = open_in_root(i, "/dev/pts/ptmx", O_RDWR | O_NOCTTY);
  if (master < 0) return -1;
  if (fstatfs(master, &fs) < 0 || fs.f_type != DEVPTS_MAGIC) return errno = ENODEV, -1;
  if (ioctl(master, TIOCSPTLCK, &zero) < 0) return -1;
  int terminal = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
  if (terminal < 0) return -1;
  if (size.ws_row && size.ws_col) ioctl(terminal, TIOCSWINSZ, &size);
  if (uid && fchown(terminal, uid, (gid_t)-1) < 0) return -1;
  if (bind && attach(i, copy_tree(terminal, "", false), "/dev/console", CREATE_FILE) < 0) return -1;
  if (ioctl(terminal, TIOCSCTTY, 0) < 0) return -1;
  for (int fd = 0; fd < 3; fd++) {
    if (dup2(terminal, fd) < 0) return -1;
  }
  tell(i, 'C', NULL, 0, master);
  close(master);
  return close(terminal);
}

// ---- the process ----

static int op_setns(struct init *i, struct reader *r, struct failure *failure) {
  uint64_t flags = get_u64(r);
  int fd = slot(get_u32(r));
  const char *path = get_string(r);
  detail(failure, path);
  if (*path) fd = open(path, O_RDONLY | O_CLOEXEC);
  else if (fd < 0) fd = container.pidfd;
  if (setns(fd, (int)flags) < 0) return -1;
  if (flags & CLONE_NEWNS) i->root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
  return 0;
}

static int op_interface_up(const char *name) {
  struct ifreq request = {.ifr_flags = IFF_UP | IFF_RUNNING};
  strncpy(request.ifr_name, name, sizeof request.ifr_name - 1);
  int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return -1;
  return closing(fd, ioctl(fd, SIOCSIFFLAGS, &request));
}

static int op_bounding(uint64_t keep) {
  for (unsigned long n = 0; n < 64; n++) {
    if (keep >> n & 1) continue;
    if (prctl(PR_CAPBSET_DROP, n, 0, 0, 0) < 0) return errno == EINVAL ? 0 : -1; // past the last one
  }
  return 0;
}

static int set_capabilities(uint64_t effective, uint64_t permitted, uint64_t inheritable) {
  struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  struct __user_cap_data_struct data[2];
  for (int n = 0; n < 2; n++) data[n] = (struct __user_cap_data_struct){(uint32_t)(effective >> 32 * n), (uint32_t)(permitted >> 32 * n), (uint32_t)(inheritable >> 32 * n)};
  return (int)syscall(SYS_capset, &header, data);
}

static int op_user(struct init *i, struct reader *r) {
  uid_t uid = get_u32(r);
  gid_t gid = get_u32(r);
  uint32_t count = get_u32(r);
  gid_t groups[256];
  if (count > 256) return errno = EINVAL, -1;
  for (uint32_t n = 0; n < count; n++) groups[n] = get_u32(r);
  for (int fd = 0; uid && !i->process->tty && fd < 3; fd++) { // so that /dev/stdout can be opened again
    struct stat st;
    if (fstat(fd, &st) == 0 && S_ISFIFO(st.st_mode) && fchown(fd, uid, (gid_t)-1) < 0) return -1;
  }
  if (syscall(SYS_setgroups, count, groups) < 0) return -1;
  if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) < 0) return -1;
  if (syscall(SYS_setresgid, gid, gid, gid) < 0 || syscall(SYS_setresuid, uid, uid, uid) < 0) return -1;
  struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  struct __user_cap_data_struct data[2];
  if (syscall(SYS_capget, &header, data) < 0) return -1;
  data[0].effective = data[0].permitted, data[1].effective = data[1].permitted;
  return (int)syscall(SYS_capset, &header, data);
}

static int op_capabilities(struct reader *r) {
  uint64_t effective = get_u64(r), permitted = get_u64(r), inheritable = get_u64(r), ambient = get_u64(r);
  if (set_capabilities(effective, permitted, inheritable) < 0) return -1;
  if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0) return -1;
  for (unsigned long n = 0; n < 64; n++) {
    if (ambient >> n & 1 && prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, n, 0, 0) < 0) return -1;
  }
  return prctl(PR_SET_KEEPCAPS, 0, 0, 0, 0);
}

static int op_working_folder(const char *path) {
  char now[4096];
  if (chdir(path) < 0) return -1;
  // A folder outside of the root has no name that begins with a slash. getcwd(2)
  long length = syscall(SYS_getcwd, now, sizeof now);
  return length < 0 ? -1 : now[0] == '/' ? 0 : (errno = ENOENT, -1);
}

// Whether it can be executed: ENOENT, EISDIR or EACCES otherwise.
static int executable(const char *path) {
  struct stat st;
  if (stat(path, &st) < 0) return -1;
  if (S_ISDIR(st.st_mode)) return errno = EISDIR, -1;
  return access(path, X_OK); // by the real user, so without the capabilities that we still hold
}

static int op_program(struct init *i, struct reader *r, struct failure *failure) {
  i->argv = get_strings(r), i->env = get_strings(r);
  if (r->bad || !i->argv[0]) return errno = EINVAL, -1;
  detail(failure, i->argv[0]);
  i->program = i->argv[0];
  if (strchr(i->argv[0], '/')) return executable(i->argv[0]);
  const char *path = "";
  for (char **variable = i->env; *variable; variable++) {
    if (strncmp(*variable, "PATH=", 5) == 0) path = *variable + 5;
  }
  while (*i->argv[0] && *path) {
    size_t length = strcspn(path, ":");
    char *candidate = allocate(length + strlen(i->argv[0]) + 3);
    sprintf(candidate, "%.*s/%s", length ? (int)length : 1, length ? path : ".", i->argv[0]);
    if (executable(candidate) == 0) {
      i->program = candidate;
      return 0;
    }
    free(candidate);
    path += length + (path[length] == ':');
  }
  errno = ENOENT;
  return -1;
}

static int op_seccomp(struct reader *r) {
  uint64_t flags = get_u64(r);
  uint32_t length;
  const char *bytes = get_bytes(r, &length);
  // The kernel wants it aligned.
  struct sock_filter { uint16_t code; uint8_t jt, jf; uint32_t k; } *filter = allocate(length + 8);
  memcpy(filter, bytes, length);
  struct { unsigned short count; struct sock_filter *filter; } program = {(unsigned short)(length / 8), filter};
  return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program);
}

// Instead of the host's /dev/null, with which we began, the container's own, if it is one.
static void reopen_null(void) {
  struct stat st;
  int null = open("/dev/null", O_RDWR | O_NONBLOCK | O_NOFOLLOW | O_NOCTTY | O_CLOEXEC);
  if (null < 0) return;
  if (fstat(null, &st) == 0 && S_ISCHR(st.st_mode) && st.st_rdev == makedev(1, 3)) {
    fcntl(null, F_SETFL, 0);
    for (int fd = 0; fd < 3; fd++) {
      if (fstat(fd, &st) == 0 && S_ISCHR(st.st_mode) && st.st_rdev == makedev(1, 3)) dup2(null, fd);
    }
  }
  close(null);
}

static int op_ready(struct init *i) {
  reopen_null();
  // The umask is ours to keep until everything is made.
  umask(i->umask);
  if (i->sync > 3) syscall(SYS_close_range, 3, i->sync - 1, 0);
  syscall(SYS_close_range, i->sync + 1, ~0U, 0);
  tell(i, 'R', NULL, 0, -1);
  expect(i, 'S');
  return 0;
}

static int init_step(void *data, struct op *op, struct failure *failure) {
  struct init *i = data;
  struct reader *r = &op->fields;
  const char *text;
  uint32_t number;
  switch (op->code) {
  case OP_MKDIR:
  case OP_WRITE_FILE:
  case OP_RMDIR:
  case OP_UNLINK:
    return host_step(i->process, op, failure);
  case OP_AWAIT:
    return expect(i, 'A'), 0;
  case OP_UNSHARE:
    return unshare((int)get_u64(r));
  case OP_SETNS:
    return op_setns(i, r, failure);
  case OP_INTERFACE_UP:
    detail(failure, text = get_string(r));
    return op_interface_up(text);
  case OP_CONSOLE:
    return op_console(i, r);
  case OP_HOSTNAME:
    detail(failure, text = get_string(r));
    return sethostname(text, strlen(text));
  case OP_DOMAINNAME:
    detail(failure, text = get_string(r));
    return setdomainname(text, strlen(text));
  case OP_RLIMIT: {
    number = get_u32(r);
    struct rlimit limit = {.rlim_cur = get_u64(r)};
    limit.rlim_max = get_u64(r);
    return setrlimit(number, &limit);
  }
  case OP_KEYRING:
    detail(failure, text = get_string(r));
    return syscall(SYS_keyctl, 1 /* KEYCTL_JOIN_SESSION_KEYRING */, text) < 0 ? -1 : 0;
  case OP_BOUNDING:
    return op_bounding(get_u64(r));
  case OP_USER:
    return op_user(i, r);
  case OP_UMASK:
    i->umask = get_u32(r);
    return 0;
  case OP_WORKING_FOLDER:
    detail(failure, text = get_string(r));
    return op_working_folder(text);
  case OP_PROGRAM:
    return op_program(i, r, failure);
  case OP_NO_NEW_PRIVILEGES:
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  case OP_SECCOMP:
    return op_seccomp(r);
  case OP_CAPABILITIES:
    return op_capabilities(r);
  case OP_PARENT_DEATH:
    return prctl(PR_SET_PDEATHSIG, (unsigned long)get_u32(r), 0, 0, 0);
  case OP_READY:
    return op_ready(i);
  case OP_EXEC:
    if (!i->program) return errno = EINVAL, -1;
    detail(failure, i->argv[0]);
    return execve(i->program, i->argv, i->env);
  }
  return root_step(i, op, failure);
}

void init_stage(struct process *p, int sync) {
  // Opened now: in a user namespace it may be out of reach later.
  int folder = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
  struct init i = {.process = p, .sync = sync, .folder = folder, .root = -1, .empty = -1, .umask = 022};
  struct failure failure = {0};
  // Nobody looks into us, or at our executable, before we are the container's.
  prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
  int null = open("/dev/null", O_RDWR | O_CLOEXEC);
  for (int fd = 0; fd < 3; fd++) dup2(p->child_stdio[fd] >= 0 ? p->child_stdio[fd] : null, fd);
  setsid();
  umask(0);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
  if (plan_run(p->plan, p->plan_length, SECTION_INIT, &failure, init_step, &i) == 0) failure.section = SECTION_INIT, failure.error = ENOEXEC;
  tell(&i, 'F', &failure, sizeof failure, -1);
  _exit(1);
}
