import * as fs from 'node:fs'

/** Begins to watch; what it returns says the sum of the processes' highest resident memory since then, in MB (proc(5)). */
export function memoryPeak(pids: number[]): () => number {
  for (const pid of pids) fs.writeFileSync(`/proc/${pid}/clear_refs`, '5')
  return () => {
    const peaks = pids.map(pid => /^VmHWM:\s+(\d+)/m.exec(fs.readFileSync(`/proc/${pid}/status`, 'utf8')))
    return peaks.reduce((sum, peak) => sum + Number(peak?.[1] ?? 0), 0) / 1024
  }
}
