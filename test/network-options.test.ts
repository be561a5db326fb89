/** What daemon.json and a network's options say about networks, each in a host of its own. */
import assert from 'node:assert/strict'
import { execFileSync, spawnSync } from 'node:child_process'
import * as fs from 'node:fs'
import { describe, test } from 'node:test'
import { Daemon } from './support/daemon.ts'
import { eventually } from './support/eventually.ts'
import { cannotHaveNeighbour, Neighbour } from './support/neighbour.ts'

const say = (name: string, port = 80) => `while :; do echo ${name} | nc -l -p ${port}; done`

describe('network options', { skip: cannotHaveNeighbour() }, () => {
  /** A daemon with a neighbour; `args` may change before a restart. */
  async function host(args: string[], work: (daemon: Daemon, neighbour: Neighbour) => Promise<void>) {
    const daemon = await Daemon.start({ args })
    let neighbour: Neighbour | undefined
    try {
      neighbour = new Neighbour(daemon)
      await work(daemon, neighbour)
    } finally {
      neighbour?.remove()
      await daemon.remove()
    }
  }

  /** How a connection to a port ends: `refused` by whoever has the address, or in silence. */
  function knock(neighbour: Neighbour, address: string, port = 80): string {
    const url = `http://${address}:${port}/`
    const { status, stdout } = spawnSync(
      'ip',
      ['netns', 'exec', neighbour.name, 'curl', '-s', '--http0.9', '--max-time', '2', url],
      { encoding: 'utf8' },
    )
    return status === 0 ? stdout.trim() : status === 7 ? 'refused' : 'silence'
  }

  test('addresses, gateway, MTU and resolver of the default bridge', async () => {
    const args = [
      ...['--bip', '10.200.0.1/24', '--fixed-cidr', '10.200.0.128/25', '--default-gateway', '10.200.0.254'],
      ...['--mtu', '1400', '--dns', '192.0.2.53', '--dns-search', 'x.test', '--dns-opt', 'ndots:3'],
      ...['--ip', '127.0.0.1', '--icc=false'],
    ]
    await host(args, async (daemon, neighbour) => {
      const shown = await daemon.ok(
        ...['run', '--rm', 'busybox', 'sh', '-c', 'ip addr show eth0; ip route; cat /etc/resolv.conf'],
      )
      assert.match(shown, /mtu 1400/)
      assert.match(shown, /inet 10\.200\.0\.128\/24/)
      assert.match(shown, /default via 10\.200\.0\.254/)
      assert.match(shown, /^nameserver 192\.0\.2\.53\nsearch x\.test\noptions ndots:3$/m)
      await daemon.ok('run', '-d', '--name', 'web', '-p', '8400:80', 'busybox', 'sh', '-c', say('web'))
      assert.equal(await daemon.ok('port', 'web'), '80/tcp -> 127.0.0.1:8400')
      assert.equal(knock(neighbour, neighbour.daemonAddress, 8400), 'refused')
      const address = '10.200.0.128'
      const alone = await daemon.docker(
        'run',
        '--rm',
        'busybox',
        'sh',
        '-c',
        `nc -w 1 ${address} 80 </dev/null`,
      )
      assert.equal(alone.stdout, '')
    })
  })

  test('a bridge that the administrator made is used, and stays', async () => {
    const args: string[] = []
    await host(args, async (daemon, neighbour) => {
      daemon.inNetwork('ip', 'link', 'add', 'own0', 'type', 'bridge')
      daemon.inNetwork('ip', 'addr', 'add', '10.201.0.1/24', 'dev', 'own0')
      daemon.inNetwork('ip', 'link', 'set', 'own0', 'up')
      await daemon.stop()
      args.push('--bridge', 'own0')
      await daemon.start()
      await daemon.ok('run', '-d', '--name', 'web', '-p', '8401:80', 'busybox', 'sh', '-c', say('web'))
      await eventually(() => assert.equal(knock(neighbour, neighbour.daemonAddress, 8401), 'web'))
      assert.equal(
        await daemon.ok('inspect', '-f', '{{.NetworkSettings.Networks.bridge.IPAddress}}', 'web'),
        '10.201.0.2',
      )
      assert.throws(() => daemon.inNetwork('ip', 'link', 'show', 'docker0'))
      await daemon.ok('rm', '-f', 'web')
      await daemon.stop()
      args.splice(0)
      await daemon.start()
      assert.match(daemon.inNetwork('ip', 'addr', 'show', 'own0'), /10\.201\.0\.1/)
      assert.match(daemon.inNetwork('ip', 'addr', 'show', 'docker0'), /inet /)
    })
  })

  test('gateway modes: routed lets published ports be reached directly, nat-unprotected every port', async () => {
    await host([], async (daemon, neighbour) => {
      for (const [mode, subnet] of [
        ['routed', '10.202.0.0/24'],
        ['nat-unprotected', '10.203.0.0/24'],
        ['nat', '10.204.0.0/24'],
      ]) {
        const option = `com.docker.network.bridge.gateway_mode_ipv4=${mode}`
        await daemon.ok('network', 'create', '--subnet', subnet!, '-o', option, mode!)
        const address = subnet!.replace('0/24', '10')
        await daemon.ok(
          ...['run', '-d', '--name', mode!, '--network', mode!, '--ip', address, '-p', '80'],
          ...['busybox', 'sh', '-c', `${say('open')} & ${say('shut', 81)}`],
        )
        neighbour.run('ip', 'route', 'add', subnet!, 'via', neighbour.daemonAddress)
      }
      await eventually(() => assert.equal(knock(neighbour, '10.202.0.10'), 'open'))
      await eventually(() => assert.equal(knock(neighbour, '10.203.0.10', 81), 'shut'))
      assert.equal(knock(neighbour, '10.202.0.10', 81), 'silence')
      assert.equal(knock(neighbour, '10.204.0.10'), 'silence')
      const source = await daemon.docker('exec', 'routed', 'sh', '-c', `nc -w 1 ${neighbour.address} 9`)
      assert.match(source.stderr, /refused/, 'leaves with its own address, and is answered')
      const isolated = await daemon.docker(
        ...[
          'network',
          'create',
          '--internal',
          '-o',
          'com.docker.network.bridge.gateway_mode_ipv4=isolated',
          'alone',
        ],
      )
      assert.equal(isolated.code, 0, isolated.stderr)
      const wrong = await daemon.docker(
        ...['network', 'create', '-o', 'com.docker.network.bridge.gateway_mode_ipv4=sideways', 'wrong'],
      )
      assert.match(wrong.stderr, /unknown gateway mode sideways/)
    })
  })

  test('a host that forwarded nothing before forwards nothing but containers after', async () => {
    await host([], async (daemon, neighbour) => {
      // A third host, on the far side of the daemon's.
      const far = `${neighbour.name}-far`
      execFileSync('ip', ['netns', 'add', far])
      try {
        daemon.inNetwork('ip', 'link', 'add', 'cable2', 'type', 'veth', 'peer', 'name', 'cable3')
        daemon.inNetwork('ip', 'link', 'set', 'cable3', 'netns', `/run/netns/${far}`)
        daemon.inNetwork('ip', 'addr', 'add', '198.51.100.1/24', 'dev', 'cable2')
        daemon.inNetwork('ip', 'link', 'set', 'cable2', 'up')
        for (const line of [
          'addr add 198.51.100.2/24 dev cable3',
          'link set cable3 up',
          'route add default via 198.51.100.1',
        ]) {
          execFileSync('ip', ['-n', far, ...line.split(' ')])
        }
        neighbour.run('ip', 'route', 'add', 'default', 'via', neighbour.daemonAddress)
        assert.equal(knock(neighbour, '198.51.100.2'), 'refused', 'this host forwards')
        await daemon.stop()
        daemon.inNetwork('sysctl', '-qw', 'net.ipv4.ip_forward=0')
        await daemon.start()
        await eventually(() => assert.equal(knock(neighbour, '198.51.100.2'), 'silence'))
        const reach = ['run', '--rm', 'busybox', 'sh', '-c', 'nc -w 2 198.51.100.2 9']
        assert.match((await daemon.docker(...reach)).stderr, /refused/)
        await daemon.stop('SIGKILL')
        await daemon.start()
        assert.equal(knock(neighbour, '198.51.100.2'), 'silence', 'the next daemon remembers')

        // What an administrator let forward before goes on.
        await daemon.stop()
        daemon.inNetwork('nft', 'flush', 'ruleset')
        fs.rmSync(`${daemon.execRoot}/network/guards`)
        daemon.inNetwork('sysctl', '-qw', 'net.ipv4.ip_forward=0')
        daemon.inNetwork(
          'sysctl',
          '-qw',
          'net.ipv4.conf.cable0.forwarding=1',
          'net.ipv4.conf.cable2.forwarding=1',
        )
        await daemon.start()
        assert.equal(knock(neighbour, '198.51.100.2'), 'refused')
      } finally {
        execFileSync('ip', ['netns', 'del', far])
      }
    })
  })
})
