/**
 * Small Dockerfiles as data: `cases/*.txt`. A case begins with `=== name`; each `--- path` in it is a file of the context, with
 * `mode=755`, `link=target`, `tar`, `tgz`, `crlf` or `bom` behind the path. `args` and `target` are options of the build, `options` any
 * others, one a line; they are given in the folder of the context.
 */
import { execFileSync } from 'node:child_process'
import * as fs from 'node:fs'
import * as path from 'node:path'

export interface CaseFile {
  path: string
  flags: string[]
  content: string
}

export interface BuildCase {
  name: string
  files: CaseFile[]
  args: string[]
  target?: string
  options: string[]
}

const folder = path.join(import.meta.dirname, 'cases')

export function readCases(): BuildCase[] {
  const files = fs.readdirSync(folder).sort()
  const cases = files.flatMap(file => parseCases(fs.readFileSync(path.join(folder, file), 'utf8')))
  const names = new Set(cases.map(one => one.name))
  if (names.size !== cases.length) throw new Error('two cases have one name')
  return cases
}

export function parseCases(text: string): BuildCase[] {
  return text
    .split(/^=== /m)
    .slice(1)
    .map(part => {
      const [head = '', ...rest] = part.split(/^--- /m)
      const result: BuildCase = { name: head.trim(), files: [], args: [], options: [] }
      for (const file of rest) {
        const end = file.indexOf('\n')
        const [name = '', flags] = splitHead(file.slice(0, end))
        const content = file.slice(end + 1)
        if (name === 'args') result.args = content.trim().split('\n')
        else if (name === 'options') result.options = content.trim().split('\n')
        else if (name === 'target') result.target = content.trim()
        else result.files.push({ path: name, flags, content })
      }
      return result
    })
}

/** Flags stand behind the path, which may have blanks itself. */
function splitHead(line: string): [name: string, flags: string[]] {
  const words = line.split(' ')
  const flags: string[] = []
  while (/^(mode=|link=|tar$|tgz$|crlf$|bom$)/.test(words.at(-1) ?? '')) flags.unshift(words.pop()!)
  return [words.join(' '), flags]
}

/** Write the context of a case into `target`, which is empty. `base` replaces the image of that name in the Dockerfile. */
export function writeContext(one: BuildCase, target: string, base: string): void {
  for (const { path: name, flags, content } of one.files) {
    const place = path.join(target, name)
    const flag = (key: string) => flags.find(word => word.startsWith(`${key}=`))?.slice(key.length + 1)
    const mode = Number.parseInt(flag('mode') ?? (name.endsWith('/') ? '755' : '644'), 8)
    const link = flag('link')
    if (name.endsWith('/')) {
      fs.mkdirSync(place, { recursive: true })
      fs.chmodSync(place, mode)
      continue
    }
    makeFolders(target, path.dirname(name))
    if (link !== undefined) fs.symlinkSync(link, place)
    else if (flags.includes('tar') || flags.includes('tgz')) writeTar(place, content, flags.includes('tgz'))
    else {
      let text = /^(Dockerfile)$/.test(name) ? content.replace(/\bbase\b/g, base) : content
      if (flags.includes('crlf')) text = text.replace(/\n/g, '\r\n')
      if (flags.includes('bom')) text = `\uFEFF${text}`
      fs.writeFileSync(place, text)
      fs.chmodSync(place, mode)
    }
  }
}

function makeFolders(root: string, folder: string): void {
  let place = root
  for (const part of folder.split('/').filter(part => part !== '.')) {
    place = path.join(place, part)
    if (fs.existsSync(place)) continue
    fs.mkdirSync(place)
    fs.chmodSync(place, 0o755)
  }
}

/** Each line is `path=content`. */
function writeTar(target: string, lines: string, compressed: boolean): void {
  const stage = fs.mkdtempSync(`${target}-`)
  try {
    for (const line of lines.trim().split('\n')) {
      const [name = '', content = ''] = line.split('=')
      makeFolders(stage, path.dirname(name))
      fs.writeFileSync(path.join(stage, name), content, { mode: 0o644 })
    }
    const options = ['--sort=name', '--owner=5', '--group=6', '--numeric-owner', '--mtime=@1700000000']
    execFileSync('tar', ['-C', stage, ...options, compressed ? '-czf' : '-cf', target, '.'])
  } finally {
    fs.rmSync(stage, { recursive: true, force: true })
  }
}
