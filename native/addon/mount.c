// fsopen(2) and its kin, by number: not every C library has them.
#include "call.h"
#include <linux/mount.h>
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

const struct function mount_functions[] = {
    {"fsopen", Fsopen},       {"fsconfig", Fsconfig},         {"fsmount", Fsmount}, {"moveMount", MoveMount},
    {"openTree", OpenTree},   {"mountSetattr", MountSetattr}, {"mount", Mount},     {"umount", Umount},
    {0},
};
