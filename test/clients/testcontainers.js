// The basic flows of testcontainers: a container with a port, a log to wait for, an exec, files, a network, a build.
import assert from 'node:assert/strict'
import * as fs from 'node:fs'
import * as os from 'node:os'
import * as path from 'node:path'
import { GenericContainer, Network, Wait } from 'testcontainers'

const serve = 'mkdir -p /www; echo served > /www/index.html; echo ready; exec httpd -f -p 8080 -h /www'

const network = await new Network().start()
const server = await new GenericContainer('busybox')
  .withCommand(['sh', '-c', serve])
  .withExposedPorts(8080)
  .withNetwork(network)
  .withNetworkAliases('server')
  .withCopyContentToContainer([{ content: 'copied', target: '/tmp/file' }])
  .withWaitStrategy(Wait.forLogMessage('ready'))
  .start()
const answer = await fetch(`http://${server.getHost()}:${server.getMappedPort(8080)}/`)
assert.equal((await answer.text()).trim(), 'served')
assert.equal((await server.exec(['cat', '/tmp/file'])).output, 'copied')

const client = await new GenericContainer('busybox')
  .withNetwork(network)
  .withCommand(['sh', '-c', 'wget -qO- http://server:8080/ && echo fetched && sleep 1000'])
  .withWaitStrategy(Wait.forLogMessage('fetched'))
  .start()
await client.stop()
await server.stop()
await network.stop()

const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'testcontainers-'))
fs.writeFileSync(
  path.join(folder, 'Dockerfile'),
  'FROM busybox\nRUN echo made > /made\nCMD ["sleep", "1000"]\n',
)
const image = await GenericContainer.fromDockerfile(folder).build()
const built = await image.start()
assert.equal((await built.exec(['cat', '/made'])).output.trim(), 'made')
await built.stop()
fs.rmSync(folder, { recursive: true })
