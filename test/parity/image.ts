/** The image of the scenarios, as a `docker save` archive: the same bytes, so the same ids, in every engine. */
import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import * as fs from 'node:fs'
import * as os from 'node:os'
import * as path from 'node:path'
import { busyboxRootfs } from '../support/busybox.ts'

export const IMAGE = 'parity/busybox:1'

const target = path.resolve(import.meta.dirname, '../../.cache/parity-image.tar')

/** The archive's path. */
export function imageArchive(): string {
  if (fs.existsSync(target)) return target
  const layer = busyboxRootfs()
  const config = {
    architecture: process.arch === 'x64' ? 'amd64' : process.arch,
    os: 'linux',
    created: '2023-11-14T22:13:20Z',
    author: 'gantry',
    config: {
      Env: ['PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'],
      Cmd: ['sh'],
      Labels: { 'org.example.parity': 'yes' },
    },
    rootfs: { type: 'layers', diff_ids: [digest(fs.readFileSync(layer))] },
    history: [
      { created: '2023-11-14T22:13:20Z', created_by: '/bin/sh -c #(nop) ADD rootfs in / ', comment: 'made' },
    ],
  }
  const configBytes = Buffer.from(JSON.stringify(config))
  const configName = `${digest(configBytes).slice(7)}.json`
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'parity-image-'))
  try {
    fs.copyFileSync(layer, path.join(folder, 'layer.tar'))
    fs.writeFileSync(path.join(folder, configName), configBytes)
    const manifest = [{ Config: configName, RepoTags: [IMAGE], Layers: ['layer.tar'] }]
    fs.writeFileSync(path.join(folder, 'manifest.json'), JSON.stringify(manifest))
    const partial = `${target}.${process.pid}`
    execFileSync('tar', [
      ...['-C', folder, '--sort=name', '--owner=0', '--group=0', '--numeric-owner', '--mtime=@1700000000'],
      ...['-cf', partial, '.'],
    ])
    fs.renameSync(partial, target)
  } finally {
    fs.rmSync(folder, { recursive: true, force: true })
  }
  return target
}

function digest(bytes: Uint8Array): string {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`
}
