// The init stage: what the new process does to itself before it becomes the container's program.
// Paths of the container are only ever resolved inside its root, by openat2(2).
#include "shim.h"
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/mount.h>
#include <linux/openat2.h>
#include <linux/seccomp.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>

#define DEVPTS_MAGIC 0x1cd1

struct init {
  struct process *process;
  int sync;
  int folder; // the shim's own
  int root;   // the container's root; -1: not yet
  int empty;  // an empty read-only tmpfs, for masks
  mode_t umask;
  char **argv, **env;
  char *program;
};

// ---- paths in the root ----

static int open_in_root(struct init *i, const char *path, int flags) {
  while (*path == '/') path++;
  struct open_how how = {.flags = (uint64_t)(flags | O_CLOEXEC), .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS};
  return (int)syscall(SYS_openat2, i->root, *path ? path : ".", &how, sizeof how);
}

// The folder that holds `path`, with the folders above it made; *name is its last part.
static int open_parent(struct init *i, const char *path, const char **name) {
  char prefix[4096];
  while (*path == '/') path++;
  size_t length = strlen(path);
  while (length > 0 && path[length - 1] == '/') length--;
  if (length >= sizeof prefix) return errno = ENAMETOOLONG, -1;
  memcpy(prefix, path, length);
  prefix[length] = 0;
  char *slash = strrchr(prefix, '/');
  *name = slash ? path + (slash + 1 - prefix) : path;
  if (slash) *slash = 0;
  int fd = open_in_root(i, slash ? prefix : "/", O_PATH | O_DIRECTORY);
  if (fd >= 0 || errno != ENOENT) return fd;
  // Make what is missing, from the top.
  int parent = open_in_root(i, "/", O_PATH | O_DIRECTORY);
  for (char *at = prefix; parent >= 0 && at;) {
    char *end = strchr(at, '/');
    if (end) *end = 0;
    int next = open_in_root(i, prefix, O_PATH | O_DIRECTORY);
    if (next < 0 && errno == ENOENT && (mkdirat(parent, at, 0755) == 0 || errno == EEXIST)) next = open_in_root(i, prefix, O_PATH | O_DIRECTORY);
    int error = errno;
    close(parent);
    errno = error;
    parent = next;
    if (end) *end = '/';
    at = end ? end + 1 : NULL;
  }
  return parent;
}

enum { CREATE_NOTHING, CREATE_FOLDER, CREATE_FILE, CREATE_AS_SOURCE };

// O_PATH fd of a mount's target.
static int open_target(struct init *i, const char *path, uint32_t create) {
  int fd = open_in_root(i, path, O_PATH);
  if (fd >= 0 || errno != ENOENT || create == CREATE_NOTHING) return fd;
  const char *name;
  int parent = open_parent(i, path, &name);
  if (parent < 0) return -1;
  char copy[256];
  snprintf(copy, sizeof copy, "%.*s", (int)strcspn(name, "/"), name);
  int made = create == CREATE_FOLDER ? mkdirat(parent, copy, 0755) : openat(parent, copy, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC | O_NOFOLLOW, 0644);
  int error = errno;
  close(parent);
  if (made < 0 && error != EEXIST) return errno = error, -1;
  if (create != CREATE_FOLDER && made >= 0) close(made);
  return open_in_root(i, path, O_PATH);
}

// ---- mounts ----

static int set_attributes(int fd, uint64_t set, uint64_t clear, uint64_t propagation, bool deep, int userns) {
  if (!set && !clear && !propagation) return 0;
  struct mount_attr attributes = {set, clear, propagation, userns < 0 ? 0 : (uint64_t)userns};
  return (int)syscall(SYS_mount_setattr, fd, "", AT_EMPTY_PATH | (deep ? AT_RECURSIVE : 0), &attributes, sizeof attributes);
}

// Move a detached mount to its place; closes it.
static int attach(struct init *i, int mount, const char *target, uint32_t create) {
  if (mount < 0) return -1;
  if (create == CREATE_AS_SOURCE) {
    struct stat st;
    if (fstat(mount, &st) < 0) return -1;
    create = S_ISDIR(st.st_mode) ? CREATE_FOLDER : CREATE_FILE;
  }
  int place = open_target(i, target, create);
  if (place < 0) return -1;
  int result = (int)syscall(SYS_move_mount, mount, "", place, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH);
  int error = errno;
  close(place);
  close(mount);
  errno = error;
  return result;
}

static int copy_tree(int dirfd, const char *path, bool recursive) {
  return (int)syscall(SYS_open_tree, dirfd, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | (recursive ? AT_RECURSIVE : 0) | (*path ? 0 : AT_EMPTY_PATH));
}

// A new file system, detached. The kernel's own words go into the failure.
static int make_fs(const char *type, char **options, uint64_t attributes, struct failure *failure) {
  int fs = (int)syscall(SYS_fsopen, type, FSOPEN_CLOEXEC), result = 0;
  if (fs < 0) return -1;
  for (; *options && result == 0; options++) {
    char key[64];
    size_t length = strcspn(*options, "=");
    snprintf(key, sizeof key, "%.*s", (int)length, *options);
    const char *value = (*options)[length] ? *options + length + 1 : NULL;
    char link[32];
    int file = -1;
    if (value && strlen(value) > 255) { // fsconfig's limit for text
      file = open(value, O_PATH | O_CLOEXEC);
      snprintf(link, sizeof link, "/proc/self/fd/%d", file);
      value = link;
    }
    result = (int)syscall(SYS_fsconfig, fs, value ? FSCONFIG_SET_STRING : FSCONFIG_SET_FLAG, key, value, 0);
    if (file >= 0) close(file);
  }
  if (result == 0) result = (int)syscall(SYS_fsconfig, fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0);
  if (result == 0) result = (int)syscall(SYS_fsmount, fs, FSMOUNT_CLOEXEC, (unsigned)attributes);
  int error = errno;
  if (result < 0) {
    char said[256];
    ssize_t length = read(fs, said, sizeof said - 1);
    size_t used = strlen(failure->detail);
    if (length > 0) snprintf(failure->detail + used, sizeof failure->detail - used, " (%.*s)", (int)strcspn(said, "\n") < length ? (int)strcspn(said, "\n") : (int)length, said);
  }
  close(fs);
  errno = error;
  return result;
}

// The root is attached over the shim's folder, in our own mount namespace only, until `pivot`.
static int set_root(struct init *i, int mount) {
  if (mount < 0) return -1;
  i->root = mount;
  return (int)syscall(SYS_move_mount, mount, "", i->folder, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH);
}

static int op_mount_bind(struct init *i, struct reader *r, struct failure *failure) {
  const char *source = get_string(r), *target = get_string(r);
  bool recursive = get_u32(r);
  uint64_t set = get_u64(r), clear = get_u64(r), propagation = get_u64(r);
  uint32_t create = get_u32(r);
  bool in_root = get_u32(r), deep = get_u32(r);
  int userns = slot(get_u32(r)), mount;
  detail(failure, source);
  if (in_root) {
    int fd = open_in_root(i, source, O_PATH);
    if (fd < 0) return -1;
    mount = copy_tree(fd, "", recursive);
    close(fd);
  } else {
    mount = copy_tree(AT_FDCWD, source, recursive);
  }
  if (mount < 0) return -1;
  detail(failure, target);
  // A propagation always concerns what is below, too.
  if (set_attributes(mount, set, clear, 0, deep, userns) < 0 || set_attributes(mount, 0, 0, propagation, recursive, -1) < 0) return -1;
  return attach(i, mount, target, create);
}

static int op_mount_fd(struct init *i, struct reader *r, struct failure *failure) {
  int mount = slot(get_u32(r));
  detail(failure, get_string(r));
  uint64_t set = get_u64(r), clear = get_u64(r), propagation = get_u64(r);
  uint32_t create = get_u32(r);
  bool deep = get_u32(r);
  if (set_attributes(mount, set, clear, 0, deep, -1) < 0 || set_attributes(mount, 0, 0, propagation, true, -1) < 0) return -1;
  return attach(i, mount, failure->detail, create);
}

static int op_remount(struct init *i, struct reader *r, struct failure *failure) {
  const char *target = get_string(r);
  detail(failure, target);
  uint64_t set = get_u64(r), clear = get_u64(r);
  bool deep = get_u32(r);
  uint64_t propagation = get_u64(r);
  int fd = open_in_root(i, target, O_PATH);
  if (fd < 0) return -1;
  int result = set_attributes(fd, set, clear, propagation, deep, -1), error = errno;
  close(fd);
  errno = error;
  return result;
}

// Put `mount` over an open place of the root; closes both.
static int cover(int mount, int place) {
  int result = mount < 0 ? -1 : (int)syscall(SYS_move_mount, mount, "", place, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH);
  int error = errno;
  if (mount >= 0) close(mount);
  close(place);
  errno = error;
  return result;
}

static int op_mask(struct init *i, const char *path, struct failure *failure) {
  int place = open_in_root(i, path, O_PATH), mount;
  struct stat st;
  if (place < 0) return errno == ENOENT || errno == ENOTDIR ? 0 : -1;
  if (fstat(place, &st) < 0) return -1;
  if (S_ISDIR(st.st_mode)) {
    char *none[] = {"size=0", "nr_inodes=1", NULL};
    // The first is used itself, since a mount that is nowhere attached can be copied only since Linux 6.15.
    bool first = i->empty < 0;
    if (first) i->empty = make_fs("tmpfs", none, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC, failure);
    mount = i->empty < 0 ? -1 : first ? fcntl(i->empty, F_DUPFD_CLOEXEC, 3) : copy_tree(i->empty, "", false);
  } else {
    // The host's own /dev/null, and proof that it is: nothing of the container can stand in for it.
    int null = open("/dev/null", O_PATH | O_CLOEXEC | O_NOFOLLOW);
    if (null < 0 || fstat(null, &st) < 0) return -1;
    if (!S_ISCHR(st.st_mode) || st.st_rdev != makedev(1, 3)) return errno = ENODEV, -1;
    mount = copy_tree(null, "", false);
    close(null);
  }
  return cover(mount, place);
}

static int op_readonly(struct init *i, const char *path) {
  int place = open_in_root(i, path, O_PATH);
  if (place < 0) return errno == ENOENT || errno == ENOTDIR ? 0 : -1;
  int mount = copy_tree(place, "", true);
  if (mount >= 0 && set_attributes(mount, MOUNT_ATTR_RDONLY, 0, 0, true, -1) < 0) close(mount), mount = -1;
  return cover(mount, place);
}

static int op_mknod(struct init *i, struct reader *r, struct failure *failure) {
  const char *path = get_string(r), *name;
  detail(failure, path);
  mode_t mode = get_u32(r);
  uint32_t major_number = get_u32(r), minor_number = get_u32(r), uid = get_u32(r), gid = get_u32(r);
  dev_t device = makedev(major_number, minor_number);
  int parent = open_parent(i, path, &name), result = 0;
  if (parent < 0) return -1;
  if (mknodat(parent, name, mode, device) < 0) {
    struct stat st;
    result = errno == EEXIST && fstatat(parent, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && ((st.st_mode ^ mode) & S_IFMT) == 0 && st.st_rdev == device ? 0 : -1;
  } else if ((uid || gid) && fchownat(parent, name, uid, gid, AT_SYMLINK_NOFOLLOW) < 0) {
    result = -1;
  }
  int error = errno;
  close(parent);
  errno = error;
  return result;
}

static int op_symlink(struct init *i, const char *target, const char *path) {
  const char *name;
  int parent = open_parent(i, path, &name);
  if (parent < 0) return -1;
  int result = symlinkat(target, parent, name) < 0 && errno != EEXIST ? -1 : 0, error = errno;
  close(parent);
  errno = error;
  return result;
}

static int op_make_folder(struct init *i, const char *path, mode_t mode, uint32_t uid, uint32_t gid) {
  int fd = open_in_root(i, path, O_PATH | O_DIRECTORY);
  if (fd >= 0) return close(fd);
  const char *name;
  int parent = open_parent(i, path, &name);
  if (parent < 0) return -1;
  char copy[256];
  snprintf(copy, sizeof copy, "%.*s", (int)strcspn(name, "/"), name);
  int result = mkdirat(parent, copy, mode);
  if (result == 0 && (uid || gid)) result = fchownat(parent, copy, uid, gid, AT_SYMLINK_NOFOLLOW);
  int error = errno;
  close(parent);
  errno = error;
  return result;
}

// Where nobody says otherwise, a tmpfs has the permissions of the folder that it covers: its options with `mode=` added.
static char **tmpfs_options(struct init *i, char **options, const char *target) {
  static char mode[16];
  size_t count = 0;
  for (; options[count]; count++) {
    if (strncmp(options[count], "mode=", 5) == 0) return options;
  }
  struct stat st;
  int fd = open_in_root(i, target, O_PATH | O_DIRECTORY);
  bool known = fd >= 0 && fstat(fd, &st) == 0;
  if (fd >= 0) close(fd);
  if (!known) return options;
  snprintf(mode, sizeof mode, "mode=%o", (unsigned)st.st_mode & 07777);
  char **more = allocate((count + 2) * sizeof *more);
  memcpy(more, options, count * sizeof *more);
  more[count] = mode;
  more[count + 1] = NULL;
  return more;
}

static int op_pivot(struct init *i) {
  if (fchdir(i->root) < 0 || syscall(SYS_pivot_root, ".", ".") < 0) return -1;
  // The old root now lies on top of the new one: take it away.
  if (umount2(".", MNT_DETACH) < 0) return -1;
  return chdir("/");
}

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
  int result = ioctl(fd, SIOCSIFFLAGS, &request), error = errno;
  close(fd);
  errno = error;
  return result;
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
  uint64_t flags;
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
  case OP_PROPAGATION:
    detail(failure, text = get_string(r));
    return mount(NULL, text, NULL, get_u64(r), NULL);
  case OP_ROOT_FS: {
    detail(failure, text = get_string(r));
    char **options = get_strings(r);
    return set_root(i, make_fs(text, options, get_u64(r), failure));
  }
  case OP_ROOT_FD:
    return set_root(i, slot(get_u32(r)));
  case OP_ROOT_BIND:
    detail(failure, text = get_string(r));
    return set_root(i, copy_tree(AT_FDCWD, text, get_u32(r)));
  case OP_MOUNT_FS: {
    const char *type = get_string(r);
    detail(failure, text = get_string(r));
    char **options = get_strings(r);
    flags = get_u64(r), number = get_u32(r);
    if (strcmp(type, "tmpfs") == 0) options = tmpfs_options(i, options, text);
    int fd = make_fs(type, options, flags, failure);
    if (fd < 0 || set_attributes(fd, 0, 0, get_u64(r), false, -1) < 0) return -1;
    return attach(i, fd, text, number);
  }
  case OP_MOUNT_BIND:
    return op_mount_bind(i, r, failure);
  case OP_MOUNT_FD:
    return op_mount_fd(i, r, failure);
  case OP_REMOUNT:
    return op_remount(i, r, failure);
  case OP_MASK:
    detail(failure, text = get_string(r));
    return op_mask(i, text, failure);
  case OP_READONLY:
    detail(failure, text = get_string(r));
    return op_readonly(i, text);
  case OP_MKNOD:
    return op_mknod(i, r, failure);
  case OP_SYMLINK: {
    const char *target = get_string(r);
    detail(failure, text = get_string(r));
    return op_symlink(i, target, text);
  }
  case OP_MAKE_FOLDER: {
    detail(failure, text = get_string(r));
    mode_t mode = get_u32(r);
    uint32_t uid = get_u32(r), gid = get_u32(r);
    return op_make_folder(i, text, mode, uid, gid);
  }
  case OP_CONSOLE:
    return op_console(i, r);
  case OP_PIVOT:
    return op_pivot(i);
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
  case OP_PERSONALITY:
    return personality(get_u32(r)) < 0 ? -1 : 0;
  case OP_READY:
    return op_ready(i);
  case OP_EXEC:
    if (!i->program) return errno = EINVAL, -1;
    detail(failure, i->argv[0]);
    return execve(i->program, i->argv, i->env);
  }
  errno = ENOSYS;
  return -1;
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
