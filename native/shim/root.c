// The container's root: mounts, nodes, links and folders in it, from when it is made until it is entered.
// Paths of the container are only ever resolved inside its root, by openat2(2).
#include "init.h"
#include <fcntl.h>
#include <linux/mount.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>

// ---- paths ----

int open_in_root(struct init *i, const char *path, int flags) {
  while (*path == '/') path++;
  struct open_how how = {.flags = (uint64_t)(flags | O_CLOEXEC), .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS};
  return (int)syscall(SYS_openat2, i->root, *path ? path : ".", &how, sizeof how);
}

// The folder that holds `path`, with the folders above it made; `name` becomes its last part.
static int open_parent(struct init *i, const char *path, char name[256]) {
  char prefix[4096];
  while (*path == '/') path++;
  size_t length = strlen(path);
  while (length > 0 && path[length - 1] == '/') length--;
  if (length >= sizeof prefix) return errno = ENAMETOOLONG, -1;
  memcpy(prefix, path, length);
  prefix[length] = 0;
  char *slash = strrchr(prefix, '/'), *last = slash ? slash + 1 : prefix;
  if (strlen(last) > 255) return errno = ENAMETOOLONG, -1;
  strcpy(name, last);
  *(slash ? slash : prefix) = 0;
  int fd = open_in_root(i, prefix, O_PATH | O_DIRECTORY);
  if (fd >= 0 || errno != ENOENT) return fd;
  // Make what is missing, from the top.
  int parent = open_in_root(i, "/", O_PATH | O_DIRECTORY);
  for (char *at = prefix; parent >= 0 && at;) {
    char *end = strchr(at, '/');
    if (end) *end = 0;
    int next = open_in_root(i, prefix, O_PATH | O_DIRECTORY);
    if (next < 0 && errno == ENOENT && (mkdirat(parent, at, 0755) == 0 || errno == EEXIST)) next = open_in_root(i, prefix, O_PATH | O_DIRECTORY);
    parent = closing(parent, next);
    if (end) *end = '/';
    at = end ? end + 1 : NULL;
  }
  return parent;
}

// O_PATH fd of a mount's target.
static int open_target(struct init *i, const char *path, enum create create) {
  int fd = open_in_root(i, path, O_PATH);
  if (fd >= 0 || errno != ENOENT || create == CREATE_NOTHING) return fd;
  char name[256];
  int parent = open_parent(i, path, name);
  if (parent < 0) return -1;
  int made = create == CREATE_FOLDER ? mkdirat(parent, name, 0755) : mknodat(parent, name, S_IFREG | 0644, 0);
  if (closing(parent, made) < 0 && errno != EEXIST) return -1;
  return open_in_root(i, path, O_PATH);
}

// ---- mounts ----

static int set_attributes(int fd, uint64_t set, uint64_t clear, uint64_t propagation, bool deep) {
  if (!set && !clear && !propagation) return 0;
  struct mount_attr attributes = {.attr_set = set, .attr_clr = clear, .propagation = propagation};
  return (int)syscall(SYS_mount_setattr, fd, "", AT_EMPTY_PATH | (deep ? AT_RECURSIVE : 0), &attributes, sizeof attributes);
}

// Put a detached mount over an open place; closes both.
static int cover(int mount, int place) {
  int result = mount < 0 ? -1 : (int)syscall(SYS_move_mount, mount, "", place, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH);
  if (mount >= 0) closing(mount, 0);
  return closing(place, result);
}

int attach(struct init *i, int mount, const char *target, enum create create) {
  struct stat st;
  if (mount < 0) return -1;
  if (create == CREATE_AS_SOURCE) {
    if (fstat(mount, &st) < 0) return -1;
    create = S_ISDIR(st.st_mode) ? CREATE_FOLDER : CREATE_FILE;
  }
  int place = open_target(i, target, create);
  return place < 0 ? -1 : cover(mount, place);
}

int copy_tree(int dirfd, const char *path, bool recursive) {
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
    char said[256] = "";
    size_t used = strlen(failure->detail);
    if (read(fs, said, sizeof said - 1) > 0) snprintf(failure->detail + used, sizeof failure->detail - used, " (%.*s)", (int)strcspn(said, "\n"), said);
  }
  errno = error;
  return closing(fs, result);
}

// The root is attached over the shim's folder, in our own mount namespace only, until `pivot`.
static int set_root(struct init *i, int mount) {
  if (mount < 0) return -1;
  i->root = mount;
  return (int)syscall(SYS_move_mount, mount, "", i->folder, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH);
}

// The fields that every mount has: its attributes and its place. A propagation always concerns what is below, too.
static int place_mount(struct init *i, int mount, const char *target, struct reader *r, bool recursive, struct failure *failure) {
  detail(failure, target);
  uint64_t set = get_u64(r), clear = get_u64(r), propagation = get_u64(r);
  enum create create = get_u32(r);
  bool deep = get_u32(r);
  if (set_attributes(mount, set, clear, 0, deep) < 0 || set_attributes(mount, 0, 0, propagation, recursive) < 0) return -1;
  return attach(i, mount, target, create);
}

static int op_mount_bind(struct init *i, struct reader *r, struct failure *failure) {
  const char *source = get_string(r), *target = get_string(r);
  bool recursive = get_u32(r);
  detail(failure, source);
  int mount = copy_tree(AT_FDCWD, source, recursive);
  return mount < 0 ? -1 : place_mount(i, mount, target, r, recursive, failure);
}

static int op_mount_fd(struct init *i, struct reader *r, struct failure *failure) {
  int mount = slot(get_u32(r));
  const char *target = get_string(r);
  return place_mount(i, mount, target, r, true, failure);
}

static int op_remount(struct init *i, const char *target, struct reader *r) {
  uint64_t set = get_u64(r), clear = get_u64(r);
  bool deep = get_u32(r);
  int fd = open_in_root(i, target, O_PATH);
  return fd < 0 ? -1 : closing(fd, set_attributes(fd, set, clear, get_u64(r), deep));
}

// The root's own /dev/null where it is one, else the host's: nothing that an image or a bind brought can stand in for it.
static int open_null(struct init *i) {
  struct stat st;
  int null = open_in_root(i, "/dev/null", O_PATH | O_NOFOLLOW);
  if (null >= 0 && fstat(null, &st) == 0 && S_ISCHR(st.st_mode) && st.st_rdev == makedev(1, 3)) return null;
  if (null >= 0) close(null);
  return open("/dev/null", O_PATH | O_CLOEXEC | O_NOFOLLOW);
}

static int op_mask(struct init *i, const char *path, struct failure *failure) {
  int place = open_in_root(i, path, O_PATH), mount;
  struct stat st;
  if (place < 0) return errno == ENOENT || errno == ENOTDIR ? 0 : -1;
  if (fstat(place, &st) < 0) return -1;
  if (S_ISDIR(st.st_mode)) {
    char *none[] = {"source=tmpfs", "size=0", "nr_inodes=1", NULL};
    // The first is used itself, since a mount that is nowhere attached can be copied only since Linux 6.15.
    bool first = i->empty < 0;
    if (first) i->empty = make_fs("tmpfs", none, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC, failure);
    mount = i->empty < 0 ? -1 : first ? fcntl(i->empty, F_DUPFD_CLOEXEC, 3) : copy_tree(i->empty, "", false);
  } else {
    int null = open_null(i);
    if (null < 0) return -1;
    mount = copy_tree(null, "", false);
    close(null);
  }
  return cover(mount, place);
}

static int op_readonly(struct init *i, const char *path) {
  int place = open_in_root(i, path, O_PATH);
  if (place < 0) return errno == ENOENT || errno == ENOTDIR ? 0 : -1;
  int mount = copy_tree(place, "", true);
  if (mount >= 0 && set_attributes(mount, MOUNT_ATTR_RDONLY, 0, 0, true) < 0) mount = closing(mount, -1);
  return cover(mount, place);
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

static int op_mount_fs(struct init *i, struct reader *r, struct failure *failure) {
  const char *type = get_string(r), *target = get_string(r);
  char **options = get_strings(r);
  uint64_t attributes = get_u64(r);
  enum create create = get_u32(r);
  detail(failure, target);
  if (strcmp(type, "tmpfs") == 0) options = tmpfs_options(i, options, target);
  int mount = make_fs(type, options, attributes, failure);
  if (mount < 0 || set_attributes(mount, 0, 0, get_u64(r), false) < 0) return -1;
  return attach(i, mount, target, create);
}

// ---- files ----

static int op_mknod(struct init *i, const char *path, struct reader *r) {
  mode_t mode = get_u32(r);
  uint32_t major_number = get_u32(r), minor_number = get_u32(r), uid = get_u32(r), gid = get_u32(r);
  dev_t device = makedev(major_number, minor_number);
  char name[256];
  struct stat st;
  int parent = open_parent(i, path, name);
  if (parent < 0) return -1;
  int result = mknodat(parent, name, mode, device);
  if (result == 0 && (uid || gid)) result = fchownat(parent, name, uid, gid, AT_SYMLINK_NOFOLLOW);
  else if (result < 0 && errno == EEXIST && fstatat(parent, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && ((st.st_mode ^ mode) & S_IFMT) == 0 && st.st_rdev == device) result = 0;
  return closing(parent, result);
}

static int op_symlink(struct init *i, const char *target, const char *path) {
  char name[256];
  int parent = open_parent(i, path, name);
  if (parent < 0) return -1;
  int result = symlinkat(target, parent, name);
  return closing(parent, result < 0 && errno == EEXIST ? 0 : result);
}

static int op_make_folder(struct init *i, const char *path, struct reader *r) {
  mode_t mode = get_u32(r);
  uint32_t uid = get_u32(r), gid = get_u32(r);
  char name[256];
  int fd = open_in_root(i, path, O_PATH | O_DIRECTORY);
  if (fd >= 0) return close(fd);
  int parent = open_parent(i, path, name);
  if (parent < 0) return -1;
  int result = mkdirat(parent, name, mode);
  if (result == 0 && (uid || gid)) result = fchownat(parent, name, uid, gid, AT_SYMLINK_NOFOLLOW);
  return closing(parent, result);
}

static int op_pivot(struct init *i) {
  if (fchdir(i->root) < 0 || syscall(SYS_pivot_root, ".", ".") < 0) return -1;
  // The old root now lies on top of the new one: take it away.
  if (umount2(".", MNT_DETACH) < 0) return -1;
  return chdir("/");
}

int root_step(struct init *i, struct op *op, struct failure *failure) {
  struct reader *r = &op->fields;
  if (op->code == OP_PIVOT) return op_pivot(i);
  if (op->code == OP_ROOT_FD) return set_root(i, slot(get_u32(r)));
  if (op->code == OP_MOUNT_FS) return op_mount_fs(i, r, failure);
  if (op->code == OP_MOUNT_BIND) return op_mount_bind(i, r, failure);
  if (op->code == OP_MOUNT_FD) return op_mount_fd(i, r, failure);
  const char *text = get_string(r); // what the operation is about
  if (op->code == OP_SYMLINK) {
    const char *path = get_string(r);
    detail(failure, path);
    return op_symlink(i, text, path);
  }
  detail(failure, text);
  switch (op->code) {
  case OP_PROPAGATION:
    return mount(NULL, text, NULL, get_u64(r), NULL);
  case OP_ROOT_FS: {
    char **options = get_strings(r);
    return set_root(i, make_fs(text, options, get_u64(r), failure));
  }
  case OP_ROOT_BIND:
    return set_root(i, copy_tree(AT_FDCWD, text, get_u32(r)));
  case OP_REMOUNT:
    return op_remount(i, text, r);
  case OP_MASK:
    return op_mask(i, text, failure);
  case OP_READONLY:
    return op_readonly(i, text);
  case OP_MKNOD:
    return op_mknod(i, text, r);
  case OP_MAKE_FOLDER:
    return op_make_folder(i, text, r);
  }
  errno = ENOSYS;
  return -1;
}
