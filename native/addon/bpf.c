// bpf(2), as far as a cgroup's device filter needs it.
#include "call.h"
#include <linux/bpf.h>

static int64_t bpf(int command, union bpf_attr *attr) { return failed(syscall(SYS_bpf, command, attr, sizeof *attr)); }

// type, instructions (struct bpf_insn[]): an fd of the loaded program
static napi_value BpfLoad(napi_env env, napi_callback_info info) {
  struct call c = call_begin(env, info);
  size_t length = 0;
  union bpf_attr attr = {0};
  attr.prog_type = (uint32_t)arg_int(&c, 0);
  attr.insns = (uint64_t)(uintptr_t)arg_bytes(&c, 1, &length);
  attr.insn_cnt = (uint32_t)(length / sizeof(struct bpf_insn));
  attr.license = (uint64_t)(uintptr_t) "Apache";
  return answer(&c, bpf(BPF_PROG_LOAD, &attr));
}

// target fd, program fd, attach type, flags
static napi_value BpfAttach(napi_env env, napi_callback_info info) {
  struct call c = call_begin(env, info);
  union bpf_attr attr = {0};
  attr.target_fd = (uint32_t)arg_int(&c, 0);
  attr.attach_bpf_fd = (uint32_t)arg_int(&c, 1);
  attr.attach_type = (uint32_t)arg_int(&c, 2);
  attr.attach_flags = (uint32_t)arg_int(&c, 3);
  return answer(&c, bpf(BPF_PROG_ATTACH, &attr));
}

const struct function bpf_functions[] = {{"bpfLoad", BpfLoad}, {"bpfAttach", BpfAttach}, {0}};
