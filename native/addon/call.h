// One call from JavaScript: its arguments, what was allocated for them, and its answer.
#ifndef CALL_H
#define CALL_H
#define _GNU_SOURCE
#include <errno.h>
#include <node_api.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define MAX_ARGS 8

struct call {
  napi_env env;
  napi_value args[MAX_ARGS];
  void *owned[MAX_ARGS + 8]; // freed by answer()
  int owned_count;
};

struct function {
  const char *name;
  napi_callback call;
};

struct call call_begin(napi_env env, napi_callback_info info);
int64_t arg_int(struct call *call, int index);
bool arg_bool(struct call *call, int index);
// NULL where the argument is not a string.
char *arg_string(struct call *call, int index);
// A NULL-terminated list, as exec wants it.
char **arg_strings(struct call *call, int index);
// A list of numbers; its length in *count.
int *arg_ints(struct call *call, int index, int *count);
// The bytes of a typed array, in place; NULL where it is none.
void *arg_bytes(struct call *call, int index, size_t *length);
napi_value answer(struct call *call, int64_t value);
napi_value answer_bytes(struct call *call, const void *bytes, size_t length);
// Run `job` on a thread of its own, which may enter other namespaces because it ends afterwards; its answer, or -errno.
int64_t on_own_thread(int64_t (*job)(void *data), void *data);
// -1 becomes -errno.
static inline int64_t failed(int64_t result) { return result < 0 ? -errno : result; }

extern const struct function process_functions[], mount_functions[], file_functions[], socket_functions[], bpf_functions[];
#endif
