/** Attach, top, events, port, and the like. */
import { area } from '../scenario.ts'

const START = 'docker run -d --network none --name $N $I sleep 100 >/dev/null'
const EVENTS = (filter: string) =>
  `docker events --since $(cat begin) --until $(date +%s.%N) --filter container=$N ${filter} --format '{{.Type}} {{.Action}}'`

export default area('attach', [
  ['attach-missing', 'docker attach $N'],
  ['attach-stopped', 'docker run --network none --name $N $I true', 'docker attach $N'],
  ['attach-paused', `${START}; docker pause $N`, 'docker attach $N'],
  [
    'attach-until-end',
    "docker run -d --network none --name $N $I sh -c 'sleep 1; echo late; exit 3' >/dev/null",
    'docker attach --no-stdin $N',
  ],
  [
    'start-attached-with-input',
    'docker create -i --network none --name $N $I cat',
    'echo typed | docker start -ai $N',
  ],
  [
    'attach-with-input',
    'docker run -di --network none --name $N $I head -n 1',
    '(sleep 0.5; echo typed) | docker attach $N',
  ],
  [
    'run-terminal',
    'docker run -t --rm --network none --name $N $I sh -c "tty; stty size; echo err >&2" < /dev/null | od -c',
  ],
  ['top', START, 'docker top $N -o args'],
  ['top-default-titles', START, 'docker top $N | head -1'],
  ['top-stopped', 'docker run --network none --name $N $I true', 'docker top $N'],
  ['top-missing', 'docker top $N'],
  ['top-bad-arguments', START, 'docker top $N -o nonsense 2>&1 | head -1'],
  ['port-none', START, 'docker port $N'],
  ['port-missing', 'docker port $N'],
  ['events-of-a-run', 'date +%s.%N > begin; docker run --rm --network none --name $N $I true', EVENTS('')],
  [
    'events-of-a-failure',
    'date +%s.%N > begin; docker run --network none --name $N $I nothing 2>/dev/null || true',
    EVENTS(''),
  ],
  [
    'events-of-a-kill',
    `date +%s.%N > begin; ${START}; docker kill $N; docker wait $N; docker rm $N`,
    EVENTS(''),
  ],
  [
    'events-of-a-stop',
    `date +%s.%N > begin; ${START}; docker stop -t 0 $N; docker start $N; docker restart -t 0 $N`,
    EVENTS(''),
  ],
  ['events-of-an-exec', `date +%s.%N > begin; ${START}; docker exec $N true`, EVENTS('')],
  [
    'events-of-a-pause',
    `date +%s.%N > begin; ${START}; docker pause $N; docker unpause $N; docker rename $N $N-2; docker rename $N-2 $N`,
    EVENTS(''),
  ],
  [
    'events-filtered',
    `date +%s.%N > begin; ${START}; docker kill $N`,
    EVENTS('--filter event=die --filter event=create'),
  ],
  [
    'events-attributes',
    'date +%s.%N > begin; docker run --network none -l a=b --name $N $I sh -c "exit 3" || true',
    'docker events --since $(cat begin) --until $(date +%s.%N) --filter container=$N --filter event=die --format \'{{json .Actor.Attributes}}\' | sed \'s/"execDuration":"[0-9]*"/DURATION/\'',
  ],
  ['events-unknown-filter', 'docker events --until 1 --filter nonsense=x'],
  ['events-bad-since', 'docker events --since nonsense --until 1'],
  [
    'volume-life',
    "docker volume create $N; docker volume inspect -f '{{.Name}} {{.Driver}} {{.Scope}} {{json .Options}} {{json .Labels}}' $N; docker volume rm $N",
  ],
  [
    'volume-in-use',
    'docker volume create $N; docker create --name $N -v $N:/data $I',
    'docker volume rm $N 2>&1 | sed "s/ - .*//"',
  ],
  ['volume-missing', 'docker volume rm $N'],
  ['volume-missing-forced', 'docker volume rm -f $N'],
  ['volume-bad-name', "docker volume create 'bad name'"],
  ['volume-bad-driver', 'docker volume create -d no-such-driver $N'],
  [
    'network-list-fixed',
    "docker network ls --filter type=builtin --format '{{.Name}} {{.Driver}} {{.Scope}}' | sort",
  ],
  ['network-missing', 'docker network rm $N'],
  ['network-predefined', 'docker network rm none'],
  ['swarm', 'docker node ls; docker service ls; docker swarm leave'],
  ['plugins', 'docker plugin ls; docker plugin inspect nothing'],
  [
    'info-format',
    "docker info --format '{{.OSType}} {{.LoggingDriver}} {{.CgroupDriver}} {{.CgroupVersion}} {{.Swarm.LocalNodeState}}'",
  ],
])
