/** Events, statistics, disk usage, processes, and the flags that filter them. */
import { area } from '../scenario.ts'

const RUN = 'docker run -d --network none --name $N --stop-timeout 0'
const SINCE = 'since=$(date +%s)'
const events = (more: string) => `docker events --since $since --until $(($(date +%s)+1)) ${more}`

export default area('watching', [
  [
    'events-attributes',
    `${SINCE}; ${RUN} -l a=b $I sh -c 'exit 3' >/dev/null; docker wait $N >/dev/null; ${events("--filter container=$N --filter event=die --format '{{json .Actor.Attributes}}'")} | sed -E 's/"execDuration":"[0-9]+"/"execDuration":"<n>"/'`,
  ],
  [
    'events-by-label',
    `${SINCE}; docker create --name $N -l $N=yes $I >/dev/null; ${events("--filter label=$N --format '{{.Action}}'")}`,
  ],
  [
    'events-by-image',
    `${SINCE}; docker tag $I parity/events:1; docker rmi parity/events:1 >/dev/null; ${events("--filter type=image --filter image=parity/events:1 --format '{{.Type}} {{.Action}}'")}`,
  ],
  [
    'events-of-rename',
    `${SINCE}; docker create --name $N $I >/dev/null; docker rename $N $N-2; ${events("--filter event=rename --filter container=$N-2 --format '{{.Actor.Attributes.oldName}} {{.Actor.Attributes.name}}'")}`,
  ],
  [
    'events-of-update',
    `${SINCE}; docker create --name $N $I >/dev/null; docker update -c 100 $N >/dev/null; ${events("--filter container=$N --format '{{.Action}}'")}`,
  ],
  [
    'events-of-copy',
    `${SINCE}; docker create --name $N $I >/dev/null; docker cp $N:/etc/passwd - >/dev/null; docker export $N >/dev/null; ${events("--filter container=$N --format '{{.Action}}'")}`,
  ],
  [
    'events-of-oom',
    `${SINCE}; docker run --network none --name $N -m 16m --memory-swap 16m $I sh -c 'exec tail /dev/zero' >/dev/null; ${events("--filter container=$N --filter event=oom --format '{{.Action}}'")}`,
  ],
  [
    'events-of-resize',
    `${SINCE}; docker create --name $N $I >/dev/null; ${events("--filter container=$N --filter type=container --format '{{.Type}} {{.Action}} {{.Scope}}'")}`,
  ],
  ['events-until-bad', 'docker events --until odd'],
  ['events-since-bad', 'docker events --since odd --until 1'],
  ['events-type-unknown', 'docker events --since 1 --until 2 --filter type=odd'],
  ['events-filter-malformed', 'docker events --since 1 --until 2 --filter odd'],

  [
    'stats-once',
    `${RUN} -m 64m $I sleep 100`,
    "docker stats --no-stream --format '{{.Name}} {{.PIDs}} {{.NetIO}}' $N",
  ],
  [
    'stats-limit',
    `${RUN} -m 64m $I sleep 100`,
    "docker stats --no-stream --format '{{.MemUsage}}' $N | cut -d/ -f2",
  ],
  ['stats-table', `${RUN} $I sleep 100`, 'docker stats --no-stream $N | head -1'],
  [
    'stats-json-keys',
    `${RUN} $I sleep 100`,
    'docker stats --no-stream --format json $N | grep -o \'"[A-Za-z]*":\'',
  ],
  [
    'stats-stopped',
    'docker create --name $N $I',
    "docker stats --no-stream --format '{{.Name}} {{.CPUPerc}} {{.MemUsage}} {{.PIDs}}' $N",
  ],
  ['stats-missing', 'docker stats --no-stream no-such-container'],
  ['top-pid', `${RUN} $I sleep 100`, "docker top $N -o pid,comm | awk '{print $2}'"],
  [
    'top-two',
    `${RUN} $I sh -c 'sleep 99 & sleep 100'`,
    'docker top $N -o pid,args | awk \'{$1=""; print}\' | sort',
  ],
  ['top-created', 'docker create --name $N $I', 'docker top $N'],

  ['df-table', "docker system df --format '{{.Type}}'"],
  ['df-keys', 'docker system df --format json | head -1 | grep -o \'"[A-Za-z]*":\''],
  [
    'df-verbose',
    'docker volume create $N',
    "docker system df -v --format '{{range .Volumes}}{{.Name}} {{.Links}} {{.Size}}{{println}}{{end}}' | grep $N",
  ],
  ['prune-containers', 'docker create --name $N -l $N=yes $I', 'docker container prune -f --filter label=$N'],
  [
    'prune-containers-negated',
    'docker create --name $N -l $N=yes $I',
    'docker container prune -f --filter label=$N --filter label!=$N',
  ],
  [
    'prune-containers-until',
    'docker create --name $N -l $N=yes $I',
    'docker container prune -f --filter label=$N --filter until=2h',
  ],
  ['prune-containers-bad', 'docker container prune -f --filter label=$N --filter odd=1'],
  ['prune-images', 'docker image prune -f --filter label=$N'],
  ['prune-images-bad', 'docker image prune -f --filter label=$N --filter odd=1'],

  [
    'info-drivers',
    "docker info --format '{{.Driver}} {{json .Plugins.Volume}} {{.LoggingDriver}} {{.OSType}} {{.Isolation}}'",
  ],
  [
    'info-networks',
    "docker info --format '{{range .Plugins.Network}}{{println .}}{{end}}' | grep -vx overlay",
  ],
  [
    'info-swarm',
    "docker info --format '{{.Swarm.LocalNodeState}} {{.DefaultRuntime}} {{.InitBinary}} {{.MemoryLimit}} {{.SwapLimit}} {{.CPUShares}} {{.PidsLimit}} {{.IPv4Forwarding}}'",
  ],
  [
    'version-fields',
    "docker version --format '{{.Server.Os}} {{.Server.Arch}} {{.Server.MinAPIVersion}} {{.Server.Experimental}}'",
  ],
])
