/**
 * A virtual machine with Debian's kernel and cgroup v2, in plain emulation: no KVM, no image, no network. Its root is
 * this machine's own file tree, read over 9p with a tmpfs above it, so what is installed here can be run there.
 */
import { execFileSync, spawn } from 'node:child_process'
import * as fs from 'node:fs'
import * as os from 'node:os'
import * as path from 'node:path'
import { debianPackage } from '../support/debian.ts'

/** Modules that the first process needs before it can see the host's files. */
const bootModules = ['virtio_pci', '9pnet_virtio', '9p', 'overlay']

export interface Kernel {
  image: string
  release: string
  /** Holds `lib/modules/RELEASE`. */
  root: string
}

/** Debian's kernel for this architecture, from its package. */
export function debianKernel(): Kernel {
  const meta = execFileSync('apt-cache', ['depends', 'linux-image-amd64'], { encoding: 'utf8' })
  const name = /Depends: (linux-image-\S+)/.exec(meta)?.[1]
  if (name === undefined) throw new Error("Debian's package linux-image-amd64 is not to be had")
  const root = debianPackage(name)
  const release = name.replace('linux-image-', '')
  const kernel = { image: path.join(root, 'boot', `vmlinuz-${release}`), release, root }
  if (!fs.existsSync(path.join(modulesOf(kernel), 'modules.dep')))
    execFileSync('depmod', ['-b', root, release])
  return kernel
}

export interface RunOptions {
  /** Modules loaded once the host's files are there. */
  modules?: string[]
  /** Bytes of memory, in MB. */
  memory?: number
  /** Every line that the machine writes. */
  onLine?: (line: string) => void
  /** Seconds until the machine is ended. */
  timeout?: number
}

/** Boot, run `command` with /bin/sh as root in the host's file tree, and return its exit code. */
export async function runInMachine(command: string, options: RunOptions = {}): Promise<number> {
  const kernel = debianKernel()
  const work = fs.mkdtempSync(path.join(os.tmpdir(), 'gantry-vm-'))
  try {
    const initrd = path.join(work, 'initrd')
    makeInitrd(kernel, initrd, command, options.modules ?? [])
    return await boot(kernel, initrd, options)
  } finally {
    fs.rmSync(work, { recursive: true, force: true })
  }
}

function makeInitrd(kernel: Kernel, target: string, command: string, modules: string[]): void {
  const root = fs.mkdtempSync(`${target}-root-`)
  const busybox = debianPackage('busybox-static')
  for (const folder of ['bin', 'proc', 'sys', 'host', 'top', 'root', 'modules'])
    fs.mkdirSync(path.join(root, folder))
  const binary = ['bin/busybox', 'usr/bin/busybox'].find(file => fs.existsSync(path.join(busybox, file)))!
  fs.copyFileSync(path.join(busybox, binary), path.join(root, 'bin/busybox'))
  const load = withDependencies(kernel, bootModules)
  for (const file of load) {
    fs.copyFileSync(path.join(modulesOf(kernel), file), path.join(root, 'modules', path.basename(file)))
  }
  const init = `#!/bin/busybox sh
b=/bin/busybox
$b mount -t proc proc /proc
$b mount -t sysfs sys /sys
for m in ${load.map(file => path.basename(file)).join(' ')}; do $b insmod /modules/$m || echo "no module $m"; done
$b mount -t 9p -o ro,trans=virtio,version=9p2000.L,cache=loose,msize=512000 host /host || $b poweroff -f
$b mount -t tmpfs -o size=90% top /top
$b mkdir /top/upper /top/work
$b mount -t overlay -o lowerdir=/host,upperdir=/top/upper,workdir=/top/work root /root
$b cp /command /root/command
cd /root
$b mount -t proc proc proc
$b mount -t sysfs sys sys
$b mount -t devtmpfs dev dev
$b mkdir -p dev/pts dev/shm
$b mount -t devpts -o ptmxmode=666 pts dev/pts
$b mount -t tmpfs shm dev/shm
$b mount -t tmpfs run run
$b mount -t tmpfs -o mode=1777,size=75% tmp tmp
$b mount -t tmpfs -o mode=1777,size=75% tmp var/tmp
$b mount -t cgroup2 -o nsdelegate cgroup sys/fs/cgroup
$b mkdir -p lib/modules
$b ln -sfn ${modulesOf(kernel)} lib/modules/${kernel.release}
$b ip link set lo up
$b cp $b /second /root/
exec $b switch_root /root /bin/sh /second
`
  // A chroot would not do: its processes may not make user namespaces, and setns(2) leads them out of it.
  const second = `for m in ${modules.join(' ')}; do modprobe $m || echo "no module $m"; done
echo machine-started
/bin/sh /command
echo "machine-ended $?"
/busybox poweroff -f
`
  fs.writeFileSync(path.join(root, 'second'), second)
  fs.writeFileSync(path.join(root, 'init'), init, { mode: 0o755 })
  // The command is a file of the guest's own root, so that no quoting stands between.
  fs.writeFileSync(path.join(root, 'command'), command)
  execFileSync('sh', ['-c', `cd '${root}' && find . | cpio -o -H newc --quiet > '${target}'`])
}

function modulesOf(kernel: Kernel): string {
  return path.join(kernel.root, 'lib/modules', kernel.release)
}

/** The files of these modules and of all that they need, each after what it needs (`modules.dep` lists them the other way round). */
function withDependencies(kernel: Kernel, names: string[]): string[] {
  const lines = fs.readFileSync(path.join(modulesOf(kernel), 'modules.dep'), 'utf8').split('\n')
  const chains = names.map(name => {
    const line = lines.find(each => path.basename(each.split(':')[0]!) === `${name}.ko`)
    const [file, needs] = line?.split(':') ?? []
    return file === undefined ? [] : [file, ...needs!.split(' ').filter(each => each !== '')].reverse()
  })
  return [...new Set(chains.flat())]
}

function boot(kernel: Kernel, initrd: string, options: RunOptions): Promise<number> {
  const machine = spawn(
    'qemu-system-x86_64',
    [
      ...['-accel', 'tcg,thread=multi', '-cpu', 'max', '-smp', '2', '-m', String(options.memory ?? 3072)],
      ...[
        '-kernel',
        kernel.image,
        '-initrd',
        initrd,
        '-append',
        'console=ttyS0 quiet panic=-1 cgroup_no_v1=all mitigations=off',
      ],
      ...['-virtfs', 'local,path=/,mount_tag=host,security_model=passthrough,readonly=on,multidevs=remap'],
      ...['-display', 'none', '-monitor', 'none', '-serial', 'stdio', '-no-reboot', '-nic', 'none'],
    ],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  )
  const timer = setTimeout(() => machine.kill('SIGKILL'), (options.timeout ?? 1200) * 1000)
  return new Promise((resolve, reject) => {
    let rest = ''
    let code: number | undefined
    machine.stdout.on('data', chunk => {
      const lines = (rest + chunk).split(/\r?\n/)
      rest = lines.pop()!
      for (const line of lines) {
        const ended = /^machine-ended (\d+)/.exec(line)
        if (ended) code = Number(ended[1])
        else options.onLine?.(line)
      }
    })
    machine.on('error', reject)
    machine.on('close', () => {
      clearTimeout(timer)
      if (code === undefined)
        reject(new Error(`the machine ended before the command did; its last words: ${rest}`))
      else resolve(code)
    })
  })
}
