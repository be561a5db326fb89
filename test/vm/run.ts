/**
 * `npm run test:vm [-- PATH…]`: the tests of the runtime, of limits, supervision, volumes and faults on Debian's kernel
 * with cgroup v2, in a virtual machine. Needs qemu-system-x86_64, cpio and kmod (Debian: apt-get install qemu-system-x86 cpio kmod).
 */
import * as path from 'node:path'
import { lacksPrograms } from '../support/programs.ts'
import { runInMachine } from './machine.ts'

const root = path.resolve(import.meta.dirname, '../..')
const wanted = process.argv.slice(2)
const usual = ['src/linux', 'src/runtime', 'test/limits', 'test/supervision', 'test/volumes', 'test/faults']
const paths = wanted.length > 0 ? wanted : usual

const missing = lacksPrograms({ 'qemu-system-x86_64': 'qemu-system-x86', cpio: 'cpio', depmod: 'kmod' })
if (missing) {
  console.error(`test:vm ${missing}`)
  process.exit(1)
}

const code = await runInMachine(
  `cd '${root}' && export GANTRY_TEST_MACHINE=1 HOME=/root PATH=${process.env.PATH} && sh scripts/node scripts/test.ts ${paths.join(' ')}`,
  {
    modules: ['crc32c_generic', 'veth', 'bridge', 'nf_tables', 'nft_chain_nat', 'nft_masq', 'loop', 'ext4'],
    onLine: line => console.log(line),
    timeout: 3000,
  },
)
process.exit(code)
