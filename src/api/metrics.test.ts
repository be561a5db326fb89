import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Engine } from '../engine/engine.ts'
import { Metrics } from './metrics.ts'

test('counts what it is told, and names what the engine is', async () => {
  let emit = (): void => {}
  const engine = {
    events: {
      listen(listener: () => void) {
        emit = listener
        return () => {}
      },
    },
    health: {
      onResult: undefined as ((healthy: boolean) => void) | undefined,
      onStart: undefined as ((milliseconds: number) => void) | undefined,
    },
    system: {
      info: async () => ({
        containersRunning: 2,
        containersPaused: 0,
        containersStopped: 1,
        eventListeners: 3,
        name: 'h',
        cpus: 2,
        memory: 5,
        architecture: 'x86_64',
        id: 'i',
        driver: 'd',
        kernelVersion: 'k',
        operatingSystem: 'an "OS"',
        osType: 'linux',
        osVersion: '1',
        version: '2',
      }),
      version: () => ({ gitCommit: 'c' }),
    },
  }
  const metrics = new Metrics(engine as unknown as Engine)
  emit()
  engine.health.onStart?.(30)
  engine.health.onResult?.(true)
  engine.health.onResult?.(false)
  metrics.called('POST', '/containers/abc/start', 30)
  metrics.called('GET', '/containers/abc/json', 30)
  const text = await metrics.text()
  for (const line of [
    'engine_daemon_container_actions_seconds_bucket{action="start",le="0.025"} 0',
    'engine_daemon_container_actions_seconds_bucket{action="start",le="0.05"} 1',
    'engine_daemon_container_actions_seconds_count{action="start"} 1',
    'engine_daemon_container_actions_seconds_count{action="create"} 0',
    'engine_daemon_container_states_containers{state="running"} 2',
    'engine_daemon_events_total 1',
    'engine_daemon_events_subscribers_total 2',
    'engine_daemon_health_checks_total 2',
    'engine_daemon_health_check_start_duration_seconds_bucket{le="0.025"} 0',
    'engine_daemon_health_check_start_duration_seconds_bucket{le="0.05"} 1',
    'engine_daemon_health_check_start_duration_seconds_count 1',
    'engine_daemon_health_checks_failed_total 1',
  ]) {
    assert.ok(text.split('\n').includes(line), line)
  }
  assert.match(text, /os="an \\"OS\\""/)
})
