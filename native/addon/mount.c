// fsopen(2) and its kin, by number: not every C library has them.
#include "call.h"
#include <fcntl.h>
#include <linux/mount.h>
#include <sched.h>
#include <stdio.h>
#include <sys/mount.h>

static napi_value Fsopen(napi_env env, napi_callback_info info) {
  struct call c = call_begin(env, info);
  return answer(&c, failed(syscall(SYS_fsopen, arg_string(&c, 0), 1 /* FSOPEN_CLOEXEC */)));
}

static napi_value Fsconfig(napi_env env, napi_callback_info info) {
  struct call c = call_begin(env, info);
  return answer(&c, failed(syscall(SYS_fsconfig, (int)arg_int(&c, 0), (unsigned)arg_int(&c, 1), arg_string(&c, 2),
                                   arg_string(&c, 3), (int)arg_int(&c, 4))));
}

static napi_value Fsmount(napi_env env, napi_callback_info info) {
  struct call c = call_begin(env, info);
  return answer(&c, failed(syscall(SYS_fsmount, (int)arg_int(&c, 0), 1 /* FSMOUNT_CLOEXEC */, (unsigned)arg_int(&c, 1))));
}

static napi_value MoveMount(napi_env env, napi_callback_info info) {
  struct call c = call_begin(env, info);
  return answer(&c, failed(syscall(SYS_move_mount, (int)arg_int(&c, 0), arg_string(&c, 1), (int)arg_int(&c, 2),
                                   arg_string(&c, 3), (unsigned)arg_int(&c, 4))));
}

static napi_value OpenTree(napi_env env, napi_callback_info info) {
  struct call c = call_begin(env, info);
  return answer(&c, failed(syscall(SYS_open_tree, (int)arg_int(&c, 0), arg_string(&c, 1), (unsigned)arg_int(&c, 2))));
}

static napi_value MountSetattr(napi_env env, napi_callback_info info) {
  struct call c = call_begin(env, info);
  struct mount_attr attributes = {.attr_set = (uint64_t)arg_int(&c, 3),
                                  .attr_clr = (uint64_t)arg_int(&c, 4),
                                  .propagation = (uint64_t)arg_int(&c, 5),
                                  .userns_fd = (uint64_t)arg_int(&c, 6)};
  return answer(&c, failed(syscall(SYS_mount_setattr, (int)arg_int(&c, 0), arg_string(&c, 1), (unsigned)arg_int(&c, 2),
                                   &attributes, sizeof attributes)));
}

static napi_value Mount(napi_env env, napi_callback_info info) {
  struct call c = call_begin(env, info);
  return answer(&c, failed(mount(arg_string(&c, 0), arg_string(&c, 1), arg_string(&c, 2), (unsigned long)arg_int(&c, 3),
                                 arg_string(&c, 4))));
}

static napi_value Umount(napi_env env, napi_callback_info info) {
  struct call c = call_begin(env, info);
  return answer(&c, failed(umount2(arg_string(&c, 0), (int)arg_int(&c, 1))));
}

struct classic_mount {
  const char *type;
  char **parts;
};

// In a mount namespace that ends with this thread, so that nobody ever sees the mount at its place.
static int64_t mount_and_take(void *data) {
  const struct classic_mount *m = data;
  char options[4096]; // all that mount(2) takes
  int fds[512], count = 0;
  size_t used = 0;
  int64_t result = -E2BIG;
  if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0) return -errno;
  for (char **part = m->parts; *part && used < sizeof options; part++) {
    if (**part != '/') {
      used += (size_t)snprintf(options + used, sizeof options - used, "%s", *part);
      continue;
    }
    if (count == 512) break;
    if ((fds[count] = open(*part, O_PATH | O_DIRECTORY | O_CLOEXEC)) < 0) {
      result = -errno;
      used = sizeof options;
      break;
    }
    used += (size_t)snprintf(options + used, sizeof options - used, "/proc/self/fd/%d", fds[count++]);
  }
  if (used < sizeof options) {
    result = failed(mount(m->type, "/proc", m->type, 0, options));
    if (result == 0) result = failed(syscall(SYS_open_tree, AT_FDCWD, "/proc", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC));
  }
  while (count > 0) close(fds[--count]);
  return result;
}

// type, parts of the options of mount(2), of which those that begin with a slash are folders and are given as short names:
// a detached mount, where fsconfig(2) does not know the options
static napi_value MountDetached(napi_env env, napi_callback_info info) {
  struct call c = call_begin(env, info);
  struct classic_mount m = {arg_string(&c, 0), arg_strings(&c, 1)};
  return answer(&c, on_own_thread(mount_and_take, &m));
}

const struct function mount_functions[] = {
    {"fsopen", Fsopen},       {"fsconfig", Fsconfig},         {"fsmount", Fsmount}, {"moveMount", MoveMount},
    {"openTree", OpenTree},   {"mountSetattr", MountSetattr}, {"mount", Mount},     {"umount", Umount},
    {"mountDetached", MountDetached},
    {0},
};
