// Files: what Node's fs lacks.
#include "call.h"
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/openat2.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

static napi_value Openat2(napi_env env, napi_callback_info info) {
  struct call c = call_begin(env, info);
  struct open_how how = {.flags = (uint64_t)arg_int(&c, 2), .mode = (uint64_t)arg_int(&c, 3), .resolve = (uint64_t)arg_int(&c, 4)};
  return answer(&c, failed(syscall(SYS_openat2, (int)arg_int(&c, 0), arg_string(&c, 1), &how, sizeof how)));
}

// A value or a list of names is read twice: for its size, and for itself; again where it grew in between.
#define READ_GROWING(READ)                                          \
  for (;;) {                                                        \
    char *data = NULL;                                              \
    size_t size = 0;                                                \
    ssize_t length = (READ);                                        \
    if (length < 0) return answer(&c, -errno);                      \
    size = (size_t)length + 1;                                      \
    data = malloc(size);                                            \
    length = (READ);                                                \
    int error = errno;                                              \
    napi_value bytes = length < 0 ? NULL : answer_bytes(&c, data, (size_t)length); \
    free(data);                                                     \
    if (bytes) return bytes;                                        \
    if (error != ERANGE) return answer(&c, -error);                 \
  }

static napi_value Getxattr(napi_env env, napi_callback_info info) {
  struct call c = call_begin(env, info);
  char *path = arg_string(&c, 0), *name = arg_string(&c, 1);
  int fd = (int)arg_int(&c, 0);
  bool follow = arg_bool(&c, 2);
  READ_GROWING(!path ? fgetxattr(fd, name, data, size) : follow ? getxattr(path, name, data, size) : lgetxattr(path, name, data, size))
}

static napi_value Listxattr(napi_env env, napi_callback_info info) {
  struct call c = call_begin(env, info);
  char *path = arg_string(&c, 0);
  int fd = (int)arg_int(&c, 0);
  bool follow = arg_bool(&c, 1);
  READ_GROWING(!path ? flistxattr(fd, data, size) : follow ? listxattr(path, data, size) : llistxattr(path, data, size))
}

static napi_value Setxattr(napi_env env, napi_callback_info info) {
  struct call c = call_begin(env, info);
  char *path = arg_string(&c, 0), *name = arg_string(&c, 1);
  size_t size;
  void *value = arg_bytes(&c, 2, &size);
  int flags = (int)arg_int(&c, 3);
  int result = !path               ? fsetxattr((int)arg_int(&c, 0), name, value, size, flags)
               : arg_bool(&c, 4) ? setxattr(path, name, value, size, flags)
                                   : lsetxattr(path, name, value, size, flags);
  return answer(&c, failed(result));
}

static napi_value Mknod(napi_env env, napi_callback_info info) {
  struct call c = call_begin(env, info);
  dev_t device = makedev((unsigned)arg_int(&c, 3), (unsigned)arg_int(&c, 4));
  return answer(&c, failed(mknodat((int)arg_int(&c, 0), arg_string(&c, 1), (mode_t)arg_int(&c, 2), device)));
}

static napi_value Utimens(napi_env env, napi_callback_info info) {
  struct call c = call_begin(env, info);
  size_t size;
  int64_t *times = arg_bytes(&c, 2, &size);
  if (size != 32) return answer(&c, -EINVAL);
  struct timespec pair[2] = {{times[0], times[1]}, {times[2], times[3]}};
  return answer(&c, failed(utimensat((int)arg_int(&c, 0), arg_string(&c, 1), pair, (int)arg_int(&c, 3))));
}

static napi_value Flock(napi_env env, napi_callback_info info) {
  struct call c = call_begin(env, info);
  return answer(&c, failed(flock((int)arg_int(&c, 0), (int)arg_int(&c, 1))));
}

static napi_value MemfdCreate(napi_env env, napi_callback_info info) {
  struct call c = call_begin(env, info);
  size_t size;
  char *content = arg_bytes(&c, 2, &size);
  int fd = memfd_create(arg_string(&c, 0), (unsigned)arg_int(&c, 1));
  if (fd < 0) return answer(&c, -errno);
  for (size_t done = 0; done < size;) {
    ssize_t written = pwrite(fd, content + done, size - done, (off_t)done);
    if (written < 0) {
      int error = errno;
      close(fd);
      return answer(&c, -error);
    }
    done += (size_t)written;
  }
  return answer(&c, fd);
}

static napi_value AddInodeFlags(napi_env env, napi_callback_info info) {
  struct call c = call_begin(env, info);
  int fd = (int)arg_int(&c, 0), flags;
  if (ioctl(fd, FS_IOC_GETFLAGS, &flags) < 0) return answer(&c, -errno);
  flags |= (int)arg_int(&c, 1);
  return answer(&c, failed(ioctl(fd, FS_IOC_SETFLAGS, &flags)));
}

// ---- syncfs(2), which may take seconds: on a thread of the pool; its promise resolves to what the others answer ----

struct syncing {
  napi_async_work work;
  napi_deferred deferred;
  int fd;
  int64_t result;
};

static void sync_on_pool(napi_env env, void *data) {
  (void)env;
  struct syncing *syncing = data;
  syncing->result = failed(syncfs(syncing->fd));
}

static void sync_ended(napi_env env, napi_status status, void *data) {
  struct syncing *syncing = data;
  napi_value result;
  napi_create_int64(env, status == napi_ok ? syncing->result : -ECANCELED, &result);
  napi_resolve_deferred(env, syncing->deferred, result);
  napi_delete_async_work(env, syncing->work);
  free(syncing);
}

static napi_value Syncfs(napi_env env, napi_callback_info info) {
  struct call c = call_begin(env, info);
  struct syncing *syncing = calloc(1, sizeof *syncing);
  napi_value promise, name;
  if (!syncing) abort();
  syncing->fd = (int)arg_int(&c, 0);
  napi_create_promise(env, &syncing->deferred, &promise);
  napi_create_string_utf8(env, "syncfs", NAPI_AUTO_LENGTH, &name);
  napi_create_async_work(env, NULL, name, sync_on_pool, sync_ended, syncing, &syncing->work);
  napi_queue_async_work(env, syncing->work);
  return promise;
}

const struct function file_functions[] = {
    {"openat2", Openat2},
    {"getxattr", Getxattr},
    {"listxattr", Listxattr},
    {"setxattr", Setxattr},
    {"mknod", Mknod},
    {"utimens", Utimens},
    {"flock", Flock},
    {"syncfs", Syncfs},
    {"memfdCreate", MemfdCreate},
    {"addInodeFlags", AddInodeFlags},
    {0},
};
