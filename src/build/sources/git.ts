/** Git repositories, through the `git` program: as BuildKit has them, a shallow checkout of one commit with its submodules. */
import { spawn } from 'node:child_process'
import * as fs from 'node:fs'
import * as path from 'node:path'
import { hasCode, invalid, notFound, unavailable } from '../../errors.ts'
import type { GitOp } from '../plan/ops.ts'
import { digestText } from '../solve/keys.ts'
import type { Fetched } from '../solve/solver.ts'
import { Tree, using } from '../solve/tree.ts'

/** `scratch` is a folder for work. */
export async function fetchGit(op: GitOp, scratch: string, signal: AbortSignal): Promise<Fetched> {
  if (op.url.startsWith('-')) throw invalid(`invalid git remote ${op.url}`)
  const commit = await resolveCommit(op, signal)
  if (op.checksum !== undefined && !commit.startsWith(op.checksum)) {
    throw invalid(`expected checksum to match ${op.checksum}, got ${commit}`)
  }
  const { keepGitDir, submodules = true } = op
  const key = digestText(
    'git',
    op.url,
    commit,
    op.subfolder ?? '',
    `${keepGitDir}${submodules ? '' : ' alone'}`,
  )
  return { key, fill: folder => checkout(op, commit, scratch, folder, signal) }
}

async function resolveCommit(op: GitOp, signal: AbortSignal): Promise<string> {
  const ref = op.ref ?? 'HEAD'
  if (/^[0-9a-f]{40}$/.test(ref)) return ref
  const lines = (await git(['ls-remote', '--', op.url, ref, `${ref}^{}`], signal)).trim().split('\n')
  const found = lines.map(line => line.split('\t') as [string, string]).filter(([commit]) => commit)
  const peeled = found.find(([, name]) => name?.endsWith('^{}'))
  const exact = found.find(([, name]) => [ref, `refs/heads/${ref}`, `refs/tags/${ref}`].includes(name ?? ''))
  const commit = (peeled ?? exact ?? found[0])?.[0]
  if (!commit) throw notFound(`repository does not contain ref ${ref}, output: ""`)
  return commit
}

async function checkout(
  op: GitOp,
  commit: string,
  scratch: string,
  folder: string,
  signal: AbortSignal,
): Promise<void> {
  const work = fs.mkdtempSync(path.join(scratch, 'git-'))
  try {
    const run = (...args: string[]) => git(['-C', work, ...args], signal)
    await run('init', '-q')
    await run('remote', 'add', 'origin', op.url)
    try {
      await run('fetch', '-q', '--depth=1', '--no-tags', 'origin', commit)
    } catch {
      // A server that gives no single commits
      await run('fetch', '-q', 'origin', ...(op.ref ? [op.ref] : []))
    }
    await run('-c', 'advice.detachedHead=false', 'checkout', '-q', commit)
    if (op.submodules ?? true) await run('submodule', 'update', '-q', '--init', '--recursive', '--depth=1')
    if (!op.keepGitDir) fs.rmSync(path.join(work, '.git'), { recursive: true, force: true })
    move(work, op.subfolder ?? '/', folder)
  } finally {
    fs.rmSync(work, { recursive: true, force: true })
  }
}

/** What is below `subfolder`, links followed inside of the checkout only, becomes the content of `folder`. */
function move(work: string, subfolder: string, folder: string): void {
  const fd = fs.openSync(work, fs.constants.O_RDONLY | fs.constants.O_DIRECTORY)
  try {
    const found = new Tree(fd).tryFolder(`/${subfolder}`)
    if (!found) throw notFound(`${subfolder}: not found in the repository`)
    using(found, open => {
      for (const name of open.names()) fs.renameSync(open.at(name), path.join(folder, name))
    })
  } finally {
    fs.closeSync(fd)
  }
}

/** Nothing on the host may change what git does, and it never asks anybody. */
const ENVIRONMENT = {
  GIT_TERMINAL_PROMPT: '0',
  GIT_CONFIG_NOSYSTEM: '1',
  GIT_CONFIG_GLOBAL: '/dev/null',
  GIT_SSH_COMMAND: 'ssh -o BatchMode=yes',
  HOME: '/dev/null',
  LC_ALL: 'C',
}

function git(args: string[], signal: AbortSignal): Promise<string> {
  return new Promise((resolve, reject) => {
    const env = { PATH: process.env['PATH'] ?? '', ...ENVIRONMENT }
    const child = spawn(
      'git',
      ['-c', 'protocol.ext.allow=never', '-c', 'protocol.file.allow=user', ...args],
      {
        signal,
        env,
        stdio: ['ignore', 'pipe', 'pipe'],
      },
    )
    let out = ''
    let problem = ''
    child.stdout.on('data', chunk => (out += chunk))
    child.stderr.on('data', chunk => (problem = (problem + chunk).slice(-4096)))
    child.once('error', error =>
      reject(hasCode(error, 'ENOENT') ? unavailable('git is not installed on this host', error) : error),
    )
    child.once('close', code => {
      if (code === 0) resolve(out)
      else
        reject(
          invalid(`failed to fetch remote: git ${args[0] === '-C' ? args[2] : args[0]}: ${problem.trim()}`),
        )
    })
  })
}
