/**
 * The runtime: from a request in Docker's terms to a running, isolated process.
 *
 *   const spec = buildSpec(request)                      // OCI runtime spec with Docker's defaults
 *   const cgroup = openCgroup(spec.linux.cgroupsPath)
 *   const task = await launcher.launch({ id, ...compilePlan(spec, { rootfs, cgroup }) })
 *   await task.start()
 */
export * from './build-spec.ts'
export * from './capabilities.ts'
export * from './cgroup/index.ts'
export * from './compile.ts'
export * from './devices.ts'
export * from './exec.ts'
export * from './host.ts'
export * from './oci-runtime.ts'
export type * from './request.ts'
export * from './seccomp/profile.ts'
export type * from './spec.ts'
export * from './user.ts'
