// The glue between Node-API and the functions of the other files.
#include "call.h"
#include <pthread.h>

struct call call_begin(napi_env env, napi_callback_info info) {
  struct call call = {.env = env};
  size_t count = MAX_ARGS;
  napi_get_cb_info(env, info, &count, call.args, NULL, NULL);
  return call;
}

static void *own(struct call *call, void *memory) {
  if (!memory) abort();
  call->owned[call->owned_count++] = memory;
  return memory;
}

int64_t arg_int(struct call *call, int index) {
  int64_t value = 0;
  napi_get_value_int64(call->env, call->args[index], &value);
  return value;
}

bool arg_bool(struct call *call, int index) {
  bool value = false;
  napi_get_value_bool(call->env, call->args[index], &value);
  return value;
}

static char *copy_string(napi_env env, napi_value value) {
  size_t length;
  if (napi_get_value_string_utf8(env, value, NULL, 0, &length) != napi_ok) return NULL;
  char *text = malloc(length + 1);
  if (text) napi_get_value_string_utf8(env, value, text, length + 1, &length);
  return text;
}

char *arg_string(struct call *call, int index) {
  char *text = copy_string(call->env, call->args[index]);
  return text ? own(call, text) : NULL;
}

char **arg_strings(struct call *call, int index) {
  uint32_t count = 0;
  size_t bytes = 0;
  napi_value item;
  napi_get_array_length(call->env, call->args[index], &count);
  for (uint32_t i = 0; i < count; i++) {
    size_t length = 0;
    napi_get_element(call->env, call->args[index], i, &item);
    napi_get_value_string_utf8(call->env, item, NULL, 0, &length);
    bytes += length + 1;
  }
  // One block: the pointers, then the strings.
  char **list = own(call, malloc((count + 1) * sizeof *list + bytes));
  char *text = (char *)(list + count + 1);
  for (uint32_t i = 0; i < count; i++) {
    size_t length = 0;
    napi_get_element(call->env, call->args[index], i, &item);
    if (napi_get_value_string_utf8(call->env, item, text, bytes, &length) != napi_ok) text[0] = 0;
    list[i] = text;
    text += length + 1;
    bytes -= length + 1;
  }
  list[count] = NULL;
  return list;
}

int *arg_ints(struct call *call, int index, int *count) {
  uint32_t length = 0;
  napi_get_array_length(call->env, call->args[index], &length);
  int *list = own(call, malloc((length + 1) * sizeof *list));
  for (uint32_t i = 0; i < length; i++) {
    napi_value item;
    list[i] = -1;
    napi_get_element(call->env, call->args[index], i, &item);
    napi_get_value_int32(call->env, item, &list[i]);
  }
  *count = (int)length;
  return list;
}

void *arg_bytes(struct call *call, int index, size_t *length) {
  static const unsigned char width[] = {1, 1, 1, 2, 2, 4, 4, 4, 8, 8, 8};
  napi_typedarray_type type;
  void *data = NULL;
  size_t count = 0;
  *length = 0;
  if (napi_get_typedarray_info(call->env, call->args[index], &type, &count, &data, NULL, NULL) != napi_ok) return NULL;
  *length = count * (type < sizeof width ? width[type] : 1);
  return data ? data : "";
}

static void release(struct call *call) {
  while (call->owned_count > 0) free(call->owned[--call->owned_count]);
}

napi_value answer(struct call *call, int64_t value) {
  napi_value result = NULL;
  release(call);
  napi_create_int64(call->env, value, &result);
  return result;
}

napi_value answer_bytes(struct call *call, const void *bytes, size_t length) {
  napi_value buffer = NULL;
  napi_create_buffer_copy(call->env, length, bytes, NULL, &buffer);
  release(call);
  return buffer;
}

struct job {
  int64_t (*run)(void *data);
  void *data;
  int64_t result;
};

static void *run_job(void *data) {
  struct job *job = data;
  job->result = job->run(job->data);
  return NULL;
}

int64_t on_own_thread(int64_t (*run)(void *data), void *data) {
  struct job job = {run, data, 0};
  pthread_t thread;
  int error = pthread_create(&thread, NULL, run_job, &job);
  if (error) return -error;
  pthread_join(thread, NULL);
  return job.result;
}

static void define(napi_env env, napi_value exports, const struct function *list) {
  for (; list->name; list++) {
    napi_value function;
    napi_create_function(env, list->name, NAPI_AUTO_LENGTH, list->call, NULL, &function);
    napi_set_named_property(env, exports, list->name, function);
  }
}

NAPI_MODULE_INIT() {
  define(env, exports, process_functions);
  define(env, exports, mount_functions);
  define(env, exports, file_functions);
  define(env, exports, socket_functions);
  define(env, exports, bpf_functions);
  return exports;
}
