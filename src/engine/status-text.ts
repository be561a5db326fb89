/** `Up 3 minutes (healthy)`: a state as `docker ps` says it. moby container/state.go, docker/go-units: duration.go */
import { millisecondsOf } from './clock.ts'
import type { ContainerState } from './types.ts'

export function statusText(state: ContainerState, now = Date.now()): string {
  const since = (text: string) => humanDuration((now - millisecondsOf(text)) / 1000)
  switch (state.status) {
    case 'running':
      return `Up ${since(state.startedAt)}${healthText(state)}`
    case 'paused':
      return `Up ${since(state.startedAt)} (Paused)`
    case 'restarting':
      return `Restarting (${state.exitCode}) ${since(state.finishedAt)} ago`
    case 'removing':
      return 'Removal In Progress'
    case 'dead':
      return 'Dead'
    case 'created':
      return 'Created'
    default:
      return `Exited (${state.exitCode}) ${since(state.finishedAt)} ago`
  }
}

function healthText({ health }: ContainerState): string {
  if (!health || health.status === 'none') return ''
  return health.status === 'starting' ? ' (health: starting)' : ` (${health.status})`
}

/** Seconds, roughly: `Less than a second`, `About a minute`, `3 weeks`. */
function humanDuration(seconds: number): string {
  const whole = Math.trunc(seconds)
  if (whole < 1) return 'Less than a second'
  if (whole === 1) return '1 second'
  if (whole < 60) return `${whole} seconds`
  const minutes = Math.trunc(seconds / 60)
  if (minutes === 1) return 'About a minute'
  if (minutes < 60) return `${minutes} minutes`
  const hours = Math.round(seconds / 3600)
  if (hours === 1) return 'About an hour'
  if (hours < 48) return `${hours} hours`
  if (hours < 24 * 7 * 2) return `${Math.trunc(hours / 24)} days`
  if (hours < 24 * 30 * 2) return `${Math.trunc(hours / 24 / 7)} weeks`
  if (hours < 24 * 365 * 2) return `${Math.trunc(hours / 24 / 30)} months`
  return `${Math.trunc(seconds / 3600 / 24 / 365)} years`
}
