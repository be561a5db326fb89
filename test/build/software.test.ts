/**
 * Real software, built from Debian's packages and npm, run, and asked. Where packages come from is this machine's own
 * configuration: builds see it in mounts, and no layer keeps it.
 */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import * as fs from 'node:fs'
import * as net from 'node:net'
import * as path from 'node:path'
import { after, before, describe, test } from 'node:test'
import { cannotRunDaemon, Daemon } from '../support/daemon.ts'
import { cannotMakeDebian, debianRootfs } from '../support/debian-rootfs.ts'
import { eventually } from '../support/eventually.ts'
import { leftovers } from '../support/leftovers.ts'

const repository = path.resolve(import.meta.dirname, '../..')

/** Why packages cannot be had here, or `false`. */
function cannotReachPackages(): string | false {
  try {
    execFileSync('npm', ['view', 'express', 'version'], { stdio: 'pipe', timeout: 30_000 })
    return false
  } catch {
    return 'no packages are to be had from here'
  }
}

/** The first stage of all of them: what apt knows, from this machine's sources. */
const APT =
  'RUN --mount=type=bind,from=apt,target=/etc/apt,rw --mount=type=cache,target=/var/cache/apt,sharing=locked'
const BASE = `FROM debian:12 AS base
ENV DEBIAN_FRONTEND=noninteractive
${APT} apt-get update -qq
`
const install = (...packages: string[]) =>
  `${APT} apt-get install -y -qq --no-install-recommends ${packages.join(' ')}`

const skip = cannotRunDaemon() || cannotMakeDebian() || cannotReachPackages()

describe('real software is built', { skip }, () => {
  let daemon: Daemon

  before(async () => {
    // With the host's own network: packages come from outside.
    daemon = await Daemon.start({ isolateNetwork: false, args: ['--bridge', 'none'], image: false })
    const environment = 'ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'
    await daemon.ok('import', '-c', 'CMD ["bash"]', '-c', environment, debianRootfs(), 'debian:12')
  })

  after(async () => {
    await daemon?.remove()
    if (daemon !== undefined) assert.deepEqual(leftovers(daemon), [])
  })

  function context(files: Record<string, string>): string {
    const folder = fs.mkdtempSync(path.join(daemon.folder, 'context-'))
    for (const [name, content] of Object.entries(files)) fs.writeFileSync(path.join(folder, name), content)
    return folder
  }

  async function build(tag: string, folder: string, ...args: string[]): Promise<string> {
    const options = ['--network', 'host', '--progress', 'plain', '--build-context', 'apt=/etc/apt']
    const env = { BUILDX_NO_DEFAULT_ATTESTATIONS: '1' }
    const { code, stderr } = await daemon.dockerWith({ env }, 'build', ...options, '-t', tag, ...args, folder)
    assert.equal(code, 0, stderr)
    return stderr
  }

  /** Run an image in the host's network until `work` is done with it. */
  async function running(
    options: string[],
    image: string,
    work: (name: string) => Promise<void>,
  ): Promise<void> {
    const name = `software-${image}`
    await daemon.ok('run', '-d', '--name', name, '--network', 'host', ...options, image)
    try {
      await work(name)
    } catch (error) {
      const { stdout, stderr } = await daemon.docker('logs', name)
      throw new Error(`${error}\n${stdout}${stderr}`, { cause: error })
    } finally {
      await daemon.docker('rm', '-f', '-v', name)
    }
  }

  const page = async (port: number, file = '/') => (await fetch(`http://127.0.0.1:${port}${file}`)).text()

  test('nginx with a site', async () => {
    const port = await freePort()
    const folder = context({
      Dockerfile: `${BASE}
FROM base
${install('nginx-light')}
RUN rm /etc/nginx/sites-enabled/default && ln -sf /dev/stdout /var/log/nginx/access.log
COPY <<EOF /etc/nginx/conf.d/site.conf
server { listen 127.0.0.1:${port}; root /srv; location = /health { return 200 "well\\\\n"; } }
EOF
COPY --chown=www-data --chmod=644 index.html /srv/
EXPOSE ${port}
STOPSIGNAL SIGQUIT
HEALTHCHECK --interval=1s CMD grep -q ${port} /etc/nginx/conf.d/site.conf
CMD ["nginx", "-g", "daemon off;"]
`,
      'index.html': '<h1>A site</h1>\n',
    })
    await build('site', folder)
    await running([], 'site', async name => {
      await eventually(async () => assert.equal(await page(port), '<h1>A site</h1>\n'))
      assert.equal(await page(port, '/health'), 'well\n')
      await eventually(async () =>
        assert.equal(await daemon.ok('inspect', '-f', '{{.State.Health.Status}}', name), 'healthy'),
      )
      await eventually(async () => assert.match(await daemon.ok('logs', name), /GET \/health/))
      await daemon.ok('stop', name)
      assert.equal(await daemon.ok('inspect', '-f', '{{.State.ExitCode}}', name), '0')
    })
  })

  test('a Node service with npm ci, whose cache mount outlives the layer', async () => {
    const port = await freePort()
    const packages = { name: 'service', version: '1.0.0', private: true, dependencies: { express: '^4' } }
    const npmrc = path.join(daemon.folder, 'npmrc')
    const folder = context({
      'package.json': JSON.stringify(packages),
      'server.js': `require('express')().get('/', (_, answer) => answer.send('served')).listen(${port}, '127.0.0.1')\n`,
      Dockerfile: `${BASE}
FROM base
${install('libatomic1')}
COPY --from=node / /usr/local/bin/
COPY --from=npm / /usr/local/lib/npm/
RUN ln -s ../lib/npm/bin/npm-cli.js /usr/local/bin/npm
WORKDIR /app
COPY package.json package-lock.json ./
ARG OFFLINE=
RUN --mount=type=cache,target=/root/.npm \\
    --mount=type=secret,id=npmrc,target=/root/.npmrc \\
    --mount=type=bind,from=certificates,target=/etc/ssl/certs \\
    npm ci $OFFLINE
COPY server.js .
USER nobody
ENTRYPOINT ["node"]
CMD ["server.js"]
`,
    })
    fs.writeFileSync(npmrc, npmConfig(), { mode: 0o600 })
    execFileSync('npm', ['install', '--package-lock-only', '--silent'], { cwd: folder, stdio: 'pipe' })
    const certificates = fs.mkdtempSync(path.join(daemon.folder, 'certificates-'))
    fs.copyFileSync('/etc/ssl/certs/ca-certificates.crt', path.join(certificates, 'ca-certificates.crt'))
    const parts = [
      ...['--build-context', `node=${path.join(repository, 'node_modules/node/bin')}`],
      ...['--build-context', `npm=${npmFolder()}`],
      ...['--build-context', `certificates=${certificates}`],
      ...['--secret', `id=npmrc,src=${npmrc}`],
    ]
    await build('service', folder, ...parts)
    const answers = async () => {
      await eventually(async () => assert.equal(await page(port), 'served'))
    }
    await running(['--init'], 'service', answers)
    const look = ['run', '--rm', '--network', 'none', '--user', '0', '--entrypoint', 'ls', 'service']
    assert.match((await daemon.docker(...look, '/root/.npmrc', '/root/.npm')).stderr, /\.npmrc.*No such file/)
    // Other arguments, so the step runs again; what it needs is in the mount.
    const again = await build('service', folder, ...parts, '--build-arg', 'OFFLINE=--offline')
    assert.match(again, /added \d+ packages/)
    await running(['--init'], 'service', answers)
  })

  test('a C program in two stages that ends in scratch', async () => {
    const folder = context({
      Dockerfile: `${BASE}
FROM base AS build
${install('gcc', 'libc6-dev', 'make')}
WORKDIR /src
COPY Makefile *.c ./
RUN make CFLAGS="-O2 -static -s" answer
FROM scratch
COPY --from=build /src/answer /answer
ENTRYPOINT ["/answer"]
CMD ["6", "7"]
`,
      Makefile: 'answer: answer.c\n\tcc $(CFLAGS) -o $@ $<\n',
      'answer.c': `#include <stdio.h>
#include <stdlib.h>
int main(int argc, char **argv) {
  if (argc != 3) return 2;
  return printf("%d\\n", atoi(argv[1]) * atoi(argv[2])) < 0;
}
`,
    })
    await build('answer', folder)
    assert.equal(await daemon.ok('run', '--rm', '--network', 'none', 'answer'), '42')
    assert.equal(await daemon.ok('run', '--rm', '--network', 'none', 'answer', '2', '3'), '6')
    const layers = await daemon.ok('inspect', '-f', '{{len .RootFS.Layers}}', 'answer')
    assert.equal(layers, '1')
    assert.ok(Number(await daemon.ok('inspect', '-f', '{{.Size}}', 'answer')) < 2_000_000)
  })

  test("a Go program from Debian's compiler", async () => {
    const port = await freePort()
    const folder = context({
      Dockerfile: `${BASE}
FROM base AS build
${install('golang-1.19-go')}
WORKDIR /src
COPY . .
ARG TARGETOS TARGETARCH
RUN --mount=type=cache,target=/root/.cache/go-build \\
    CGO_ENABLED=0 GOOS=$TARGETOS GOARCH=$TARGETARCH /usr/lib/go-1.19/bin/go build -ldflags=-s -o /server .
FROM scratch
COPY --link --from=build /server /server
USER 65534:65534
ENTRYPOINT ["/server", "127.0.0.1:${port}"]
`,
      'go.mod': 'module example.test/server\n\ngo 1.19\n',
      'main.go': `package main

import (
	"fmt"
	"net"
	"os"
)

func main() {
	listener, err := net.Listen("tcp", os.Args[1])
	if err != nil {
		panic(err)
	}
	for {
		connection, err := listener.Accept()
		if err != nil {
			panic(err)
		}
		fmt.Fprintf(connection, "as %d:%d\\n", os.Getuid(), os.Getgid())
		connection.Close()
	}
}
`,
    })
    await build('go-server', folder)
    await running([], 'go-server', async () => {
      await eventually(async () => assert.equal(await read(port), 'as 65534:65534\n'))
    })
  })

  test('PostgreSQL with an entrypoint script', async () => {
    const port = await freePort()
    const folder = context({
      Dockerfile: `${BASE}
FROM base
ENV PATH=/usr/lib/postgresql/15/bin:$PATH PGDATA=/data PGPORT=${port}
RUN <<EOF
mkdir -p /etc/postgresql-common
echo 'create_main_cluster = false' > /etc/postgresql-common/createcluster.conf
EOF
${install('postgresql-15')}
COPY --chmod=755 <<"EOF" /usr/local/bin/entrypoint
#!/bin/sh
set -eu
if [ ! -s "$PGDATA/PG_VERSION" ]; then
  initdb --auth=trust --no-sync > /dev/null
  echo "create table greetings as select 'hello' as greeting" | postgres --single -j postgres > /dev/null
fi
exec "$@"
EOF
RUN install -d -o postgres -g postgres -m 700 /data
VOLUME /data
USER postgres
STOPSIGNAL SIGINT
ENTRYPOINT ["entrypoint"]
CMD ["postgres", "-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=/tmp"]
`,
    })
    await build('database', folder)
    const select = ['-h', '127.0.0.1', '-U', 'postgres', '-Atc', 'select greeting from greetings']
    const query = (name: string) => daemon.ok('exec', name, 'psql', ...select)
    await running([], 'database', async name => {
      await eventually(async () => assert.equal(await query(name), 'hello'))
      await daemon.ok('stop', name)
      assert.equal(await daemon.ok('inspect', '-f', '{{.State.ExitCode}}', name), '0')
      // The second start finds what the first made.
      await daemon.ok('start', name)
      await eventually(async () => assert.equal(await query(name), 'hello'))
    })
  })
})

/** What npm needs to know of this machine, as a file that a build is lent. */
function npmConfig(): string {
  const value = (key: string) => execFileSync('npm', ['config', 'get', key], { encoding: 'utf8' }).trim()
  const user = path.join(process.env['HOME'] ?? '/root', '.npmrc')
  const own = fs.existsSync(user) ? fs.readFileSync(user, 'utf8') : ''
  const kept = own.split('\n').filter(line => !/^\s*(nodedir|cafile|prefix|cache|registry)\b/.test(line))
  return [
    ...kept,
    `registry=${value('registry')}`,
    'cafile=/etc/ssl/certs/ca-certificates.crt',
    'update-notifier=false',
    '',
  ].join('\n')
}

/** Where this machine's npm is. */
function npmFolder(): string {
  const command = execFileSync('sh', ['-c', 'command -v npm'], { encoding: 'utf8' }).trim()
  return path.resolve(fs.realpathSync(command), '../..')
}

async function freePort(): Promise<number> {
  const server = net.createServer().listen(0, '127.0.0.1')
  await new Promise(resolve => server.once('listening', resolve))
  const { port } = server.address() as net.AddressInfo
  await new Promise(resolve => server.close(resolve))
  return port
}

/** Everything that a server says. */
function read(port: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = net.connect(port, '127.0.0.1')
    let text = ''
    socket.on('data', data => {
      text += data
    })
    socket.once('error', reject)
    socket.once('end', () => resolve(text))
  })
}
