/** eBPF programs. Source: bpf(2), linux/bpf.h. */
import { closeSync } from 'node:fs'
import { check, native } from './native.ts'

const BPF_PROG_TYPE_CGROUP_DEVICE = 15
const BPF_CGROUP_DEVICE = 6
const BPF_F_ALLOW_MULTI = 2

/**
 * Load `program` (`struct bpf_insn[]`) and let it decide on every mknod and open of a device by the processes of a v2 cgroup, whose
 * open folder is `cgroupFd`, and of those below it. It lives as long as the cgroup.
 */
export function bpfAttachDeviceFilter(cgroupFd: number, program: Uint8Array): void {
  const fd = check(native().bpfLoad(BPF_PROG_TYPE_CGROUP_DEVICE, program), 'bpf(BPF_PROG_LOAD)')
  try {
    check(native().bpfAttach(cgroupFd, fd, BPF_CGROUP_DEVICE, BPF_F_ALLOW_MULTI), 'bpf(BPF_PROG_ATTACH)')
  } finally {
    closeSync(fd)
  }
}
