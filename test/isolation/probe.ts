/** What a process sees around it: a script that prints it in sections, and a form of it that can be compared. */

/** Where the program made of syscalls.c is in the container. */
export const SYSCALLS = '/probe/syscalls'

export const script = `
echo "== status"; grep -E '^(Uid|Gid|Groups|Cap|NoNewPrivs|Seccomp|Speculation_Store)' /proc/self/status
echo "== mounts"; cat /proc/self/mountinfo
echo "== cgroup"; cat /proc/self/cgroup
echo "== dev"; ls -ln /dev
echo "== links"; for f in /dev/fd /dev/stdin /dev/stdout /dev/stderr /dev/ptmx /proc/self/fd/0; do echo "$f $(readlink $f)"; done
echo "== fds"; ls /proc/self/fd
echo "== limits"; cat /proc/self/limits
echo "== facts"
echo "oom $(cat /proc/self/oom_score_adj)"
echo "umask $(umask)"
echo "pwd $(pwd)"
echo "domain $(cat /proc/sys/kernel/domainname)"
echo "port $(cat /proc/sys/net/ipv4/ip_unprivileged_port_start)"
echo "ping $(cat /proc/sys/net/ipv4/ping_group_range)"
echo "forward $(cat /proc/sys/net/ipv4/ip_forward)"
echo "pid $(cut -d' ' -f1 /proc/self/stat | wc -w) session $(cut -d' ' -f6 /proc/1/stat)"
echo "kcore $(head -c1 /proc/kcore 2>&1 | wc -c) keys $(head -c1 /proc/keys 2>/dev/null | wc -c)"
echo "firmware $(ls /sys/firmware 2>/dev/null | wc -l)"
echo "write-sys $(cat /proc/sys/vm/swappiness 2>/dev/null >/proc/sys/vm/swappiness && echo yes || echo no)"
echo "== devices"; cat /sys/fs/cgroup/devices/devices.list 2>/dev/null
echo "== limits-files"
for f in memory/memory.limit_in_bytes memory/memory.memsw.limit_in_bytes memory/memory.soft_limit_in_bytes memory/memory.swappiness \
  cpu/cpu.shares cpu/cpu.cfs_quota_us cpu/cpu.cfs_period_us cpuset/cpuset.cpus cpuset/cpuset.mems pids/pids.max; do
  echo "$f $(cat /sys/fs/cgroup/$f 2>/dev/null)"
done
`

/** Only where the container has no more than it usually has: these calls reach the kernel. */
export const syscallScript = `
echo "== syscalls"; ${SYSCALLS} 480 native
echo "== compat"; ${SYSCALLS} 480 compat
`

export type Findings = Record<string, string[]>

/** Sections with ids, times and numbers of this run taken out. `id` is the container's. */
export function findings(output: string, id: string): Findings {
  const sections: Findings = {}
  let current: string[] = []
  for (const line of output.replaceAll('\r', '').replaceAll(id, '<id>').split('\n')) {
    const title = /^== (.+)$/.exec(line)?.[1]
    if (title) sections[title] = current = []
    else if (line !== '') current.push(line)
  }
  return {
    ...sections,
    mounts: (sections['mounts'] ?? []).map(mountLine).filter(line => line !== ''),
    cgroup: (sections['cgroup'] ?? []).map(line => line.replace(/\/(docker|gantry)\//, '/<parent>/')),
    dev: (sections['dev'] ?? []).map(deviceLine).filter(line => !line.startsWith('total')),
    devices: [...(sections['devices'] ?? [])].sort(),
    syscalls: refused(sections['syscalls']),
    compat: refused(sections['compat']),
  }
}

/**
 * Where, how and what; not from where on the host. Left out are the three files that an engine writes, and a file system's
 * own read-only flag, which only matters where there is no flag on the mount.
 */
function mountLine(line: string): string {
  const [before = '', after = ''] = line.split(' - ')
  const [, , , root = '', target = '', options = ''] = before.split(' ')
  const [type = '', source = ''] = after.split(' ')
  if (['/etc/resolv.conf', '/etc/hostname', '/etc/hosts', '/probe'].includes(target)) return ''
  // A masked file is some /dev/null; whose does not matter.
  if (root === '/null') return `${target} null`
  if (options.startsWith('ro') && type === 'tmpfs' && /^\/(proc|sys)\//.test(target)) return `${target} empty`
  const shown = root.replace(/\/(docker|gantry)\//, '/<parent>/').replace(/^\/.*overlay.*$/, '/')
  return `${target} ${options} ${type} ${source} ${type === 'cgroup' ? shown : ''}`.trim()
}

const deviceLine = (line: string): string =>
  line.replace(/ [A-Z][a-z]{2} +\d+ +[\d:]+ /, ' ').replace(/\s+/g, ' ')

/** Numbers that are answered EPERM or ENOSYS, as `number errno`: what a filter refuses, and what the kernel refuses for want of a capability. */
const refused = (lines: string[] = []): string[] => lines.filter(line => / (1|38)$/.test(line))
