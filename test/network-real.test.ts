/** Real servers and real clients on Gantry's networks: nginx, Redis, PostgreSQL, iperf3, docker compose. */
import assert from 'node:assert/strict'
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import * as fs from 'node:fs'
import * as path from 'node:path'
import { after, before, describe, test } from 'node:test'
import { Daemon } from './support/daemon.ts'
import { eventually } from './support/eventually.ts'
import { cannotHaveNeighbour, fetchFrom, Neighbour } from './support/neighbour.ts'
import { addServersImage, serversArchive } from './support/servers-image.ts'

function cannotRun(): string | false {
  if (!fs.existsSync(serversArchive)) {
    return 'needs the image that databases.test.ts makes (its packages come from a Debian mirror)'
  }
  return cannotHaveNeighbour()
}

function lacksCompose(): string | false {
  try {
    execFileSync('docker', ['compose', 'version'], { stdio: 'pipe' })
    return false
  } catch {
    return 'needs the compose plugin (Debian: apt-get install docker-compose)'
  }
}

/** Of a host with the files of `folder` behind http://packages.test/, and the resolver that knows only this name. */
function repositoryHost(folder: string, address: string): string {
  return `
    const fs = require('node:fs')
    require('node:http').createServer((request, response) => {
      fs.readFile('${folder}/' + request.url.split('/').pop(), (error, data) => {
        response.statusCode = error ? 404 : 200
        response.end(data)
      })
    }).listen(80, '${address}')
    const resolver = require('node:dgram').createSocket('udp4')
    resolver.on('message', (query, from) => {
      const end = query.indexOf(0, 12) + 5
      const known = query.subarray(12, end - 4).toString('latin1') === '\\x08packages\\x04test\\0'
      const isA = query.readUInt16BE(end - 4) === 1
      const answer = [0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 9, 0, 4, ...'${address}'.split('.').map(Number)]
      const header = [query[0], query[1], 0x81, known ? 0x80 : 0x83, 0, 1, 0, known && isA ? 1 : 0, 0, 0, 0, 0]
      const parts = [Buffer.from(header), query.subarray(12, end), Buffer.from(known && isA ? answer : [])]
      resolver.send(Buffer.concat(parts), from.port, from.address)
    })
    resolver.bind(53, '${address}', () => console.log('ready'))
  `
}

describe('real servers', { skip: cannotRun() }, () => {
  let daemon: Daemon
  let neighbour: Neighbour
  before(async () => {
    daemon = await Daemon.start({ parent: '/var/tmp' })
    await addServersImage(daemon)
    neighbour = new Neighbour(daemon)
  })
  after(async () => {
    neighbour?.remove()
    await daemon.remove()
  })

  const run = (name: string, flags: string[], ...command: string[]) =>
    daemon.ok('run', '-d', '--name', name, ...flags, 'debian:servers', ...command)
  const inside = async (name: string, ...command: string[]) =>
    (await daemon.docker('exec', name, ...command)).stdout.trim()

  test('nginx is fetched from the host, a container and another host', async () => {
    await run('web', ['-p', '8080:80'], 'nginx', '-g', 'daemon off;')
    await run('client', [], 'sleep', '1000')
    const url = `http://${neighbour.daemonAddress}:8080/`
    const title = /<title>Welcome to nginx!<\/title>/
    await eventually(() => assert.match(neighbour.fetch(url) ?? '', title))
    assert.match(
      fetchFrom((...command) => daemon.inNetwork(...command), 'http://127.0.0.1:8080/') ?? '',
      title,
    )
    assert.match(await inside('client', 'curl', '-s', url), title)
    const log = await inside('web', 'cat', '/var/log/nginx/access.log')
    assert.match(log, new RegExp(`^${neighbour.address.replaceAll('.', '\\.')} `, 'm'))
    await daemon.ok('rm', '-f', 'web', 'client')
  })

  test('Redis over a link of the default bridge', async () => {
    await run('store', [], 'redis-server', '--bind', '0.0.0.0', '--protected-mode', 'no')
    const client = (...words: string[]) =>
      daemon.ok(
        'run',
        '--rm',
        '--link',
        'store:redis',
        'debian:servers',
        'redis-cli',
        '-h',
        'redis',
        ...words,
      )
    await eventually(async () => assert.equal(await client('set', 'a', 'b'), 'OK'))
    assert.equal(await client('get', 'a'), 'b')
    await daemon.ok('rm', '-f', 'store')
  })

  test('PostgreSQL by name, and the query that runs survives the daemon', async () => {
    await daemon.ok('network', 'create', 'data')
    const start = [
      'echo "listen_addresses = \'*\'" >> /etc/postgresql/15/main/postgresql.conf',
      'echo "host all all all trust" > /etc/postgresql/15/main/pg_hba.conf',
      'exec pg_ctlcluster 15 main start --foreground',
    ].join('; ')
    await run('sql', ['--network', 'data', '--network-alias', 'database'], 'sh', '-c', start)
    await run('client', ['--network', 'data'], 'sleep', '1000')
    const query = (text: string) => inside('client', 'psql', '-h', 'database', '-U', 'postgres', '-Atc', text)
    await eventually(async () => assert.equal(await query('select 6 * 7'), '42'))
    const long = ['psql', '-h', 'database', '-U', 'postgres', '-Atc', "select pg_sleep(3), 'survived'"]
    await daemon.ok(
      'exec',
      '-d',
      'client',
      'sh',
      '-c',
      `${long.map(word => `"${word}"`).join(' ')} > /tmp/answer`,
    )
    const busy = "select count(*) from pg_stat_activity where query like 'select pg_sleep%'"
    await eventually(async () => assert.equal(await query(busy), '1'))
    await daemon.stop('SIGKILL')
    await daemon.start()
    await eventually(async () => assert.match(await inside('client', 'cat', '/tmp/answer'), /survived/))
    assert.equal(await query('select 6 * 7'), '42')
    await daemon.ok('rm', '-f', 'sql', 'client')
    await daemon.ok('network', 'rm', 'data')
  })

  test('apt-get finds a repository by name, and reaches it through NAT', async () => {
    const folder = fs.mkdtempSync(path.join(daemon.folder, 'repository-'))
    const make = [
      'mkdir -p /p/DEBIAN /p/usr/bin && cd /repository',
      "printf 'Package: greeting\\nVersion: 1.0\\nArchitecture: all\\nMaintainer: Nobody <nobody@test>\\nDescription: says hello\\n' > /p/DEBIAN/control",
      "printf '#!/bin/sh\\necho hello\\n' > /p/usr/bin/greeting && chmod 755 /p/usr/bin/greeting",
      'dpkg-deb -b /p greeting.deb',
      'digest() { sha256sum $1 | cut -c1-64; }',
      '(dpkg-deb -f greeting.deb; echo "Filename: ./greeting.deb"; echo "Size: $(stat -c %s greeting.deb)"; echo "SHA256: $(digest greeting.deb)") > Packages',
      '(echo "Date: $(date -Ru)"; echo SHA256:; echo " $(digest Packages) $(stat -c %s Packages) Packages") > Release',
    ]
    const mount = ['-v', `${folder}:/repository`]
    await daemon.ok('run', '--rm', ...mount, 'debian:servers', 'sh', '-ec', make.join('\n'))
    const outside = spawn(
      'ip',
      ['netns', 'exec', neighbour.name, process.execPath, '-e', repositoryHost(folder, neighbour.address)],
      { stdio: ['ignore', 'pipe', 'inherit'] },
    )
    try {
      await once(outside.stdout, 'data')
      await daemon.ok('network', 'create', 'names')
      const install = [
        'rm -rf /etc/apt/sources.list* /etc/apt/apt.conf.d/*proxy*',
        "echo 'deb [trusted=yes] http://packages.test/ ./' > /etc/apt/sources.list",
        'apt-get -o Acquire::Retries=0 update && apt-get install -y greeting && greeting',
      ]
      daemon.inNetwork('ip', 'route', 'replace', 'default', 'via', neighbour.address)
      const resolver = ['--network', 'names', '--dns', neighbour.address]
      const said = await daemon.ok(
        'run',
        '--rm',
        ...resolver,
        'debian:servers',
        'sh',
        '-ec',
        install.join('\n'),
      )
      assert.match(said, /Get:\d+ http:\/\/packages\.test .*greeting/)
      assert.match(said, /hello$/)
    } finally {
      outside.kill()
    }
    await daemon.ok('network', 'rm', 'names')
  })

  test('iperf3 between containers of a network and through a published port', async () => {
    await daemon.ok('network', 'create', 'fast')
    await run('server', ['--network', 'fast', '-p', '5201:5201'], 'iperf3', '-s')
    await run('client', ['--network', 'fast'], 'sleep', '1000')
    const measure = async (host: string, ...more: string[]) => {
      const output = await inside('client', 'iperf3', '-J', '-t', '1', '-c', host, ...more)
      return JSON.parse(output).end.sum_received.bytes as number
    }
    await eventually(async () => assert.ok((await measure('server')) > 1e7))
    assert.ok((await measure('server', '-R')) > 1e7)
    assert.ok((await measure(neighbour.daemonAddress)) > 1e7, 'by the published port, from the same network')
    await daemon.ok('rm', '-f', 'server', 'client')
    await daemon.ok('network', 'rm', 'fast')
  })

  test('services of a compose project find each other, scaled to three', {
    skip: lacksCompose(),
  }, async () => {
    const folder = fs.mkdtempSync(path.join(daemon.folder, 'project-'))
    fs.writeFileSync(
      path.join(folder, 'compose.yaml'),
      `services:
  web:
    image: debian:servers
    command: ["sh", "-c", "hostname > /var/www/html/index.html; exec nginx -g 'daemon off;'"]
  asker:
    image: debian:servers
    command: ["sleep", "1000"]
    depends_on: [web]
    ports: ["8090:80"]
`,
    )
    const compose = async (...args: string[]) => {
      const { stdout, stderr, code } = await daemon.dockerWith(
        { cwd: folder },
        'compose',
        '-p',
        'pair',
        ...args,
      )
      assert.equal(code, 0, stderr)
      return stdout.trim()
    }
    await compose('up', '-d')
    const ask = () => compose('exec', '-T', 'asker', 'curl', '-s', '--max-time', '5', 'http://web/')
    await eventually(async () => assert.match(await ask(), /^[0-9a-f]{12}$/))
    await compose('up', '-d', '--scale', 'web=3')
    const answered = new Set<string>()
    await eventually(async () => {
      answered.add(await ask())
      assert.equal(answered.size, 3, 'not all three are asked')
    })
    assert.equal(
      (await compose('exec', '-T', 'asker', 'getent', 'ahostsv4', 'web')).match(/STREAM/g)?.length,
      3,
    )
    await compose('down', '-t', '0')
    assert.equal(await daemon.ok('network', 'ls', '-q', '--filter', 'name=pair'), '')
  })
})
