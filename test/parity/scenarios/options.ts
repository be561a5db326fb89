/** The other options of `docker run` and `create`: health, restarts, logs, names, namespaces, security. */
import { area } from '../scenario.ts'

const C = 'docker create --network none --name $N'
const R = 'docker run --rm --network none --name $N'
const RUN = 'docker run -d --network none --name $N --stop-timeout 0'
const json = (...fields: string[]) =>
  `docker inspect -f '${fields.map(field => `{{json .${field}}}`).join(' ')}' $N`
const made = (flags: string, ...fields: string[]) => `${C} ${flags} $I >/dev/null; ${json(...fields)}`
const HEALTH =
  'for i in $(seq 60); do s=$(docker inspect -f "{{.State.Health.Status}}" $N); [ $s != starting ] && break; sleep 0.1; done'

export default area('options', [
  ['annotation', made('--annotation a=b --annotation c=d', 'HostConfig.Annotations')],
  ['annotation-malformed', `${C} --annotation a $I`],
  ['attach-unknown', `${C} -a odd $I`],
  [
    'cap-add',
    made(
      '--cap-add NET_ADMIN --cap-add cap_sys_time --cap-drop all',
      'HostConfig.CapAdd',
      'HostConfig.CapDrop',
    ),
  ],
  [
    'cap-add-all',
    `${R} --cap-add ALL $I sh -c 'test $(grep CapEff /proc/self/status | cut -f2) = $(grep CapBnd /proc/self/status | cut -f2) && echo all'`,
  ],
  ['cap-drop-all', `${R} --cap-drop ALL $I grep Cap /proc/self/status`],
  ['cap-drop-unknown', `${C} --cap-drop ODD $I`],
  ['cap-user', `${R} -u 33 --cap-add SYS_TIME $I grep Cap /proc/self/status`],
  [
    'cgroup-parent',
    `${RUN} --cgroup-parent /parity-parent $I sleep 100 >/dev/null; docker exec $N cat /proc/1/cgroup | grep -c parity; ${json('HostConfig.CgroupParent')}`,
  ],
  [
    'cgroupns-host',
    `${R} --cgroupns host $I sh -c 'grep -c : /proc/self/cgroup >/dev/null && echo read'; ${C} --cgroupns host $I >/dev/null; ${json('HostConfig.CgroupnsMode')}`,
  ],
  [
    'cgroupns-private',
    `${R} --cgroupns private $I sh -c 'grep pids /proc/self/cgroup | cut -d: -f3 || echo /'`,
  ],
  ['cgroupns-unknown', `${C} --cgroupns odd $I`],
  ['cidfile-exists', `touch id; ${C} --cidfile id $I`],
  ['detach-keys-bad', `${C} $I >/dev/null; docker start --detach-keys odd-keys -a $N`],
  ['disable-content-trust', `${C} --disable-content-trust $I | wc -c`],
  ['entrypoint-and-command', made('--entrypoint echo', 'Config.Entrypoint', 'Config.Cmd')],
  ['env-malformed', `${C} -e =x $I`],
  ['env-file-missing', `${C} --env-file no-such-file $I`],
  ['env-file-bad', `printf 'A B=c\\n' > env; ${C} --env-file env $I`],
  [
    'env-file-and-env',
    `printf 'A=file\\nB=file\\n' > env; ${R} --env-file env -e A=flag $I sh -c 'echo $A $B'`,
  ],
  ['group-add-unknown', `${R} --group-add no-such-group $I true`],
  ['group-add-shown', made('--group-add 33 --group-add users', 'HostConfig.GroupAdd')],

  [
    'health',
    made(
      "--health-cmd 'test -e /ok' --health-interval 2s --health-timeout 1s --health-retries 4 --health-start-period 3s --health-start-interval 1s",
      'Config.Healthcheck',
    ),
  ],
  ['health-none-and-cmd', `${C} --no-healthcheck --health-cmd true $I`],
  ['health-interval-negative', `${C} --health-cmd true --health-interval -1s $I`],
  ['health-interval-tiny', `${C} --health-cmd true --health-interval 1us $I`],
  ['health-interval-unit', `${C} --health-cmd true --health-interval 5 $I`],
  ['health-timeout-tiny', `${C} --health-cmd true --health-timeout 1us $I`],
  ['health-timeout-negative', `${C} --health-cmd true --health-timeout -1s $I`],
  ['health-retries-negative', `${C} --health-cmd true --health-retries -1 $I`],
  ['health-start-period-tiny', `${C} --health-cmd true --health-start-period 1us $I`],
  ['health-start-period-negative', `${C} --health-cmd true --health-start-period -1s $I`],
  ['health-start-interval-tiny', `${C} --health-cmd true --health-start-interval 1us $I`],
  [
    'health-becomes-healthy',
    `${RUN} --health-cmd 'echo fine' --health-interval 200ms $I sleep 100`,
    `${HEALTH}; docker inspect -f '{{.State.Health.Status}} {{.State.Health.FailingStreak}} {{with index .State.Health.Log 0}}{{.ExitCode}} {{.Output}}{{end}}' $N; docker ps --filter name=$N --filter health=healthy --format '{{.Names}}'`,
  ],
  [
    'health-becomes-unhealthy',
    `${RUN} --health-cmd 'echo bad; exit 3' --health-interval 200ms --health-retries 2 $I sleep 100`,
    `${HEALTH}; docker inspect -f '{{.State.Health.Status}} {{with index .State.Health.Log 0}}{{.ExitCode}} {{.Output}}{{end}}' $N`,
  ],
  [
    'health-timeout',
    `${RUN} --health-cmd 'sleep 50' --health-interval 200ms --health-timeout 200ms --health-retries 1 $I sleep 100`,
    `${HEALTH}; docker inspect -f '{{.State.Health.Status}} {{with index .State.Health.Log 0}}{{.ExitCode}} {{.Output}}{{end}}' $N`,
  ],
  [
    'health-absent',
    `${RUN} $I sleep 100`,
    "docker inspect -f '{{json .State.Health}}' $N; docker ps --filter name=$N --filter health=none --format '{{.Names}}'",
  ],
  [
    'health-events',
    'since=$(date +%s); docker run -d --network none --name $N --health-cmd true --health-interval 200ms $I sleep 100 >/dev/null; ' +
      `${HEALTH}; docker events --since $since --until $(($(date +%s)+1)) --filter container=$N --filter event=health_status --format '{{.Action}}' | head -1`,
  ],

  ['hostname-default', `${R} $I sh -c 'hostname | wc -c'`],
  ['init-shown', made('--init', 'HostConfig.Init')],
  ['ipc-private', `${C} --ipc private $I >/dev/null; ${json('HostConfig.IpcMode')}`],
  ['ipc-none', `${R} --ipc none $I sh -c 'grep -c /dev/shm /proc/mounts'`],
  ['ipc-host', `${R} --ipc host $I sh -c 'readlink /proc/self/ns/ipc' | cut -c1-5`],
  [
    'ipc-shareable',
    `${RUN} --ipc shareable $I sh -c 'echo x > /dev/shm/f; sleep 100'; sleep 0.3`,
    'docker run --rm --network none --name $N-2 --ipc container:$N $I cat /dev/shm/f',
  ],
  [
    'ipc-of-private',
    `${RUN} --ipc private $I sleep 100`,
    'docker run --rm --network none --name $N-2 --ipc container:$N $I true',
  ],
  ['ipc-of-missing', `${R} --ipc container:no-such-container $I true`],
  ['isolation', `${C} --isolation default $I | wc -c`],
  ['isolation-unknown', `${C} --isolation odd $I`],
  ['label', made('-l a=b -l c -l d=', 'Config.Labels')],
  ['label-empty', `${C} -l '' $I`],
  [
    'label-file',
    `printf 'a=1\\n#no\\nb\\n' > labels; ${C} --label-file labels $I >/dev/null; ${json('Config.Labels')}`,
  ],
  ['label-file-missing', `${C} --label-file no-such-file $I`],

  [
    'log-driver',
    made('--log-driver json-file --log-opt max-size=1m --log-opt max-file=3', 'HostConfig.LogConfig'),
  ],
  [
    'log-driver-none',
    `${RUN} --log-driver none $I echo x >/dev/null; docker wait $N >/dev/null; docker logs $N`,
  ],
  ['log-driver-local', 'docker run --network none --name $N --log-driver local $I echo kept; docker logs $N'],
  ['log-max-size-bad', `${C} --log-opt max-size=odd $I`],
  ['log-max-size-negative', `${C} --log-opt max-size=-1 $I`],
  ['log-max-file-bad', `${C} --log-opt max-file=odd $I`],
  ['log-max-file-zero', `${C} --log-opt max-file=0 $I`],
  ['log-max-file-alone', `${C} --log-opt max-file=3 $I`],
  ['log-compress-alone', `${C} --log-opt compress=true $I`],
  ['log-compress-bad', `${C} --log-opt compress=perhaps --log-opt max-size=1m --log-opt max-file=2 $I`],
  ['log-mode-bad', `${C} --log-opt mode=odd $I`],
  [
    'log-mode',
    made('--log-opt mode=non-blocking --log-opt max-buffer-size=1m', 'HostConfig.LogConfig.Config'),
  ],
  ['log-buffer-blocking', `${C} --log-opt max-buffer-size=1m $I`],
  ['log-buffer-bad', `${C} --log-opt mode=non-blocking --log-opt max-buffer-size=odd $I`],
  ['log-option-unknown-created', `${C} --log-opt odd=1 $I`],
  ['log-option-unknown-local', `${C} --log-driver local --log-opt odd=1 $I`],
  ['log-options-none', `${C} --log-driver none --log-opt max-size=1m $I`],
  ['log-malformed', `${C} --log-opt odd $I`],
  [
    'log-labels',
    `docker run --network none --name $N -l a=1 -l b=2 -e X=y --log-opt labels=a --log-opt env=X $I echo x; docker logs --details $N`,
  ],
  [
    'log-tag',
    `docker run --network none --name $N --log-opt tag={{.Name}} $I echo x; docker logs --details $N`,
  ],
  ['log-tag-bad', `${R} --log-opt tag={{.Odd $I true`],
  [
    'log-rotation',
    "docker run --network none --name $N --log-opt max-size=20k --log-opt max-file=2 $I sh -c 'for i in $(seq 1000); do echo line $i; done' >/dev/null; docker logs $N | tail -1",
  ],

  ['name-empty', "id=$(docker create --name '' $I); echo $id | wc -c; docker rm $id | wc -c"],
  ['name-one-letter', 'docker create --name a $I'],
  ['name-slash', 'docker create --name a/b $I'],
  ['pid-host', `${R} --pid host $I sh -c 'test $$ -gt 1 && echo host'`],
  [
    'pid-of-container',
    `${RUN} $I sleep 100`,
    "docker run --rm --network none --name $N-2 --pid container:$N $I sh -c 'cat /proc/1/comm'",
  ],
  ['pid-of-stopped', `${C} $I`, 'docker run --rm --network none --name $N-2 --pid container:$N $I true'],
  ['pid-unknown', `${C} --pid odd $I`],
  [
    'platform',
    `docker create --name $N --platform linux/arm64 --pull never $I 2>&1 | sed -E 's/actual: .*/actual/'`,
  ],
  ['platform-malformed', 'docker create --name $N --platform a/b/c/d $I'],
  [
    'privileged-shown',
    made(
      '--privileged',
      'HostConfig.Privileged',
      'HostConfig.SecurityOpt',
      'HostConfig.MaskedPaths',
      'HostConfig.ReadonlyPaths',
    ),
  ],
  [
    'privileged-devices',
    `${R} --privileged $I sh -c 'test -e /dev/kmsg && echo devices; touch /proc/sys/kernel/x 2>&1 | grep -o "Read-only"; grep CapEff /proc/self/status'`,
  ],
  ['pull-unknown', `${C} --pull odd $I`],
  [
    'read-only-tmpfs',
    `${R} --read-only --tmpfs /scratch $I sh -c 'echo x > /scratch/f && cat /scratch/f; touch /f'`,
  ],
  ['read-only-shown', made('--read-only', 'HostConfig.ReadonlyRootfs')],

  ['restart', made('--restart on-failure:3', 'HostConfig.RestartPolicy')],
  ['restart-unless-stopped', made('--restart unless-stopped', 'HostConfig.RestartPolicy')],
  ['restart-count-on-always', `${C} --restart always:3 $I`],
  ['restart-count-negative', `${C} --restart on-failure:-1 $I`],
  ['restart-count-words', `${C} --restart on-failure:many $I`],
  ['restart-too-many-parts', `${C} --restart on-failure:1:2 $I`],
  ['restart-empty', made("--restart ''", 'HostConfig.RestartPolicy')],
  [
    'restart-happens',
    `${RUN} --restart on-failure:2 $I sh -c 'exit 4'`,
    "for i in $(seq 60); do [ $(docker inspect -f '{{.RestartCount}}{{.State.Status}}' $N) = 2exited ] && break; sleep 0.1; done; docker inspect -f '{{.RestartCount}} {{.State.Status}} {{.State.ExitCode}}' $N",
  ],
  ['runtime', made('--runtime runc', 'HostConfig.Runtime')],

  [
    'seccomp-file',
    `echo '{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["mkdir","mkdirat"],"action":"SCMP_ACT_ERRNO"}]}' > p.json; ${R} --security-opt seccomp=p.json $I mkdir /a`,
  ],
  ['seccomp-file-missing', `${C} --security-opt seccomp=no-such-file $I`],
  ['seccomp-file-bad', `echo '{' > p.json; ${R} --security-opt seccomp=p.json $I true`],
  [
    'seccomp-action-unknown',
    `echo '{"defaultAction":"ODD"}' > p.json; ${R} --security-opt seccomp=p.json $I true`,
  ],
  ['seccomp-builtin', `${R} --security-opt seccomp=builtin $I grep Seccomp: /proc/self/status`],
  ['security-malformed', `${C} --security-opt odd $I`],
  [
    'security-no-new-privileges-false',
    `${R} --security-opt no-new-privileges=false $I grep NoNewPrivs /proc/self/status`,
  ],
  ['security-no-new-privileges-bad', `${C} --security-opt no-new-privileges=odd $I`],
  [
    'security-systempaths',
    `${R} --security-opt systempaths=unconfined $I sh -c 'grep -c " /proc/" /proc/mounts'; ${C} --security-opt systempaths=unconfined $I >/dev/null; ${json('HostConfig.MaskedPaths', 'HostConfig.ReadonlyPaths', 'HostConfig.SecurityOpt')}`,
  ],
  ['security-systempaths-odd', `${C} --security-opt systempaths=odd $I`],
  ['security-label', `${R} --security-opt label=disable $I echo ran`],
  ['security-label-type', `${R} --security-opt label=type:odd $I echo ran`],
  ['security-label-bad', `${R} --security-opt label=odd $I echo ran`],
  ['security-apparmor', `${R} --security-opt apparmor=unconfined $I echo ran`],
  ['security-writable-cgroups', `${C} --security-opt writable-cgroups=odd $I`],
  ['masked-paths', made('', 'HostConfig.MaskedPaths', 'HostConfig.ReadonlyPaths')],
  ['masked-paths-seen', `${R} $I sh -c "grep ' /proc/' /proc/mounts | cut -d' ' -f1-3"`],

  ['stop-timeout', made('--stop-timeout 7 --stop-signal USR1', 'Config.StopTimeout', 'Config.StopSignal')],
  ['stop-timeout-words', `${C} --stop-timeout soon $I`],
  ['storage-opt', `${C} --storage-opt size=1G $I 2>&1 | cut -c1-60`],
  ['storage-opt-unknown', `${C} --storage-opt odd=1 $I`],
  [
    'tmpfs-options',
    `${R} --tmpfs /t:rw,noexec,size=2m,mode=1700,uid=33 $I sh -c "grep ' /t ' /proc/mounts | tr , '\\n' | grep -E 'size|mode|uid|noexec' | sort; stat -c '%a %u' /t"`,
  ],
  ['tmpfs-bad', `${C} --tmpfs /t:odd $I`],
  ['tmpfs-relative', `${C} --tmpfs t $I`],
  ['tmpfs-size-bad', `${C} --tmpfs /t:size=much $I`],
  ['tty-shown', made('-t', 'Config.Tty')],
  ['use-api-socket', 'docker create --help | grep -c use-api-socket'],
  ['user-too-large', `${R} -u 99999999999 $I true`],
  ['user-negative', `${R} -u -5 $I true`],
  ['userns-host', made('--userns host', 'HostConfig.UsernsMode')],
  ['userns-unknown', `${C} --userns odd $I`],
  ['uts-host', made('--uts host', 'HostConfig.UTSMode')],
  ['uts-unknown', `${C} --uts odd $I`],
  ['working-directory-shown', made('-w /a/../b', 'Config.WorkingDir')],
])
