/**
 * Writes src/runtime/seccomp/syscalls.generated.ts from the kernel's published headers. Debian's package linux-libc-dev
 * (since Debian 13 for every architecture in one) holds them:
 *
 *   apt-get download linux-libc-dev && dpkg-deb -x linux-libc-dev_*.deb headers
 *   sh scripts/node scripts/generate-syscalls.ts headers/usr/lib/linux/uapi
 */
import { execFileSync } from 'node:child_process'
import * as fs from 'node:fs'
import * as path from 'node:path'

const root = process.argv[2]
if (!root) throw new Error('usage: generate-syscalls.ts FOLDER (with x86/asm/unistd_64.h, …)')

const HEADERS = {
  amd64: 'x86/asm/unistd_64.h',
  x32: 'x86/asm/unistd_x32.h',
  x86: 'x86/asm/unistd_32.h',
  arm64: 'arm64/asm/unistd_64.h',
  arm: 'arm/asm/unistd.h',
}

/** The numbers as the C preprocessor sees them: the headers compute some from others. */
function syscalls(header: string): [string, number][] {
  const file = path.join(root!, header)
  const include = ['-I', path.dirname(path.dirname(file)), '-D__ARM_EABI__', '-D__X32_SYSCALL_BIT=0x40000000']
  const text = execFileSync('cc', ['-E', '-dM', ...include, file], { encoding: 'utf8' })
  const macros = new Map([...text.matchAll(/^#define (\w+) (.+)$/gm)].map(match => [match[1]!, match[2]!]))
  const value = (expression: string): number =>
    expression
      .replace(/[()]/g, '')
      .split('+')
      .map(term => term.trim())
      .map(term => (macros.has(term) ? value(macros.get(term)!) : Number(term)))
      .reduce((sum, term) => sum + term, 0)
  return [...macros]
    .map(([name, expression]) => [/^__(?:ARM_)?NR_([a-z_]\w*)$/.exec(name)?.[1], expression] as const)
    .filter(([name]) => name !== undefined)
    .map(([name, expression]) => [name!, value(expression)] as [string, number])
    .filter(([, number]) => Number.isInteger(number))
    .sort((a, b) => a[1] - b[1])
}

/** `read 0 write 1 …`, wrapped. */
function table(pairs: [string, number][]): string {
  const lines: string[] = ['']
  for (const [name, number] of pairs) {
    const word = `${name} ${number}`
    if (lines.at(-1)!.length + word.length > 115) lines.push('')
    lines[lines.length - 1] += (lines.at(-1) ? ' ' : '') + word
  }
  return lines.join('\n')
}

const body = Object.entries(HEADERS)
  .map(([arch, header]) => `  ${arch}: \`\n${table(syscalls(header))}\`,`)
  .join('\n')

fs.writeFileSync(
  new URL('../src/runtime/seccomp/syscalls.generated.ts', import.meta.url),
  `/** System call names and numbers by architecture. Written by scripts/generate-syscalls.ts; do not edit. */
export const syscallTables = {
${body}
} as const
`,
)
