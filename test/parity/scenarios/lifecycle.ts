/** From create to remove, and what is refused on the way. */
import { area } from '../scenario.ts'

const CREATE = 'docker create --network none --name $N $I sleep 100 >/dev/null'
const START = 'docker run -d --network none --name $N --stop-timeout 1 $I sleep 100 >/dev/null'
const TRAP = `docker run -d --network none --name $N $I sh -c 'trap "exit 5" TERM; echo ready; while :; do sleep 0.1; done' >/dev/null; until docker logs $N | grep -q ready; do sleep 0.1; done`
const DONE = 'docker run --network none --name $N $I sh -c "exit 3" || true'
const STATE = "docker inspect -f '{{.State.Status}} {{.State.Running}} {{.State.ExitCode}}' $N"

export default area('lifecycle', [
  ['create', `docker create --network none --name $N $I true | wc -c; ${STATE}`],
  ['start', CREATE, `docker start $N; ${STATE}`],
  ['start-twice', START, `docker start $N; ${STATE}`],
  ['start-missing', 'docker start $N'],
  [
    'start-attached',
    'docker create --network none --name $N $I sh -c "echo hi; exit 4"',
    'docker start -a $N',
  ],
  ['start-several', CREATE, 'docker start $N no-such-container'],
  ['start-bad-command', 'docker create --network none --name $N $I nothing', `docker start $N; ${STATE}`],
  ['stop', START, `docker stop $N; ${STATE}`],
  ['stop-with-trap', TRAP, `docker stop $N; ${STATE}`],
  ['stop-at-once', START, `docker stop -t 0 $N; ${STATE}`],
  ['stop-by-signal', TRAP, `docker stop -s KILL $N; ${STATE}`],
  ['stop-stopped', DONE, `docker stop $N; ${STATE}`],
  ['stop-created', CREATE, `docker stop $N; ${STATE}`],
  ['stop-missing', 'docker stop $N'],
  ['kill', START, `docker kill $N; docker wait $N; ${STATE}`],
  ['kill-by-name', TRAP, `docker kill -s TERM $N; docker wait $N; ${STATE}`],
  ['kill-by-number', TRAP, 'docker kill -s 15 $N; docker wait $N'],
  ['kill-bad-signal', START, 'docker kill -s NOSUCH $N'],
  ['kill-stopped', DONE, 'docker kill $N'],
  ['kill-missing', 'docker kill $N'],
  ['restart', START, `docker restart -t 0 $N; ${STATE}`],
  ['restart-stopped', DONE, `docker restart $N; docker wait $N; ${STATE}`],
  ['restart-missing', 'docker restart $N'],
  ['pause', START, `docker pause $N; ${STATE}; docker unpause $N; ${STATE}`],
  ['pause-twice', START, 'docker pause $N; docker pause $N'],
  ['pause-stopped', DONE, 'docker pause $N'],
  ['unpause-running', START, 'docker unpause $N'],
  ['unpause-stopped', DONE, 'docker unpause $N'],
  ['stop-paused', START, `docker pause $N; docker stop -t 1 $N; ${STATE}`],
  ['kill-paused', START, `docker pause $N; docker kill $N; docker wait $N; ${STATE}`],
  ['start-paused', START, 'docker pause $N; docker start $N'],
  ['wait', DONE, 'docker wait $N'],
  ['wait-running', 'docker run -d --network none --name $N $I sh -c "sleep 0.5; exit 6"', 'docker wait $N'],
  ['wait-created', CREATE, 'docker wait $N'],
  ['wait-missing', 'docker wait $N'],
  ['rename', CREATE, "docker rename $N $N-new; docker inspect -f '{{.Name}}' $N-new"],
  ['rename-to-itself', CREATE, 'docker rename $N $N'],
  [
    'rename-taken',
    `${CREATE}; docker create --name $N-2 $I`,
    'docker rename $N $N-2 2>&1 | sed "s/by container.*//"',
  ],
  ['rename-invalid', CREATE, "docker rename $N 'bad name'"],
  ['rename-missing', 'docker rename $N $N-2'],
  ['remove', CREATE, 'docker rm $N; docker inspect $N'],
  ['remove-running', START, 'docker rm $N'],
  ['remove-running-forced', START, 'docker rm -f $N'],
  ['remove-paused', START, 'docker pause $N; docker rm $N'],
  ['remove-missing', 'docker rm $N'],
  ['remove-missing-forced', 'docker rm -f $N'],
  ['remove-several', CREATE, 'docker rm no-such-1 $N no-such-2'],
  [
    'update',
    START,
    "docker update --memory 32m --memory-swap 64m $N; docker inspect -f '{{.HostConfig.Memory}} {{.HostConfig.MemorySwap}}' $N",
  ],
  [
    'update-restart',
    CREATE,
    "docker update --restart on-failure:3 $N; docker inspect -f '{{json .HostConfig.RestartPolicy}}' $N",
  ],
  ['update-missing', 'docker update --memory 32m $N'],
  ['update-bad', CREATE, 'docker update --memory 1m $N'],
  ['short-id', CREATE, "docker inspect -f '{{.Name}}' $(docker inspect -f '{{.Id}}' $N | cut -c1-8)"],
  [
    'state-of-a-bad-start',
    'docker create --network none --name $N $I nothing',
    "docker start $N; docker inspect -f '{{.State.Status}} {{.State.ExitCode}} {{.State.Error}}' $N",
  ],
  [
    'create-bad-json-in-label',
    "docker create --name $N --label 'a={\"b\"' $I >/dev/null; docker inspect -f '{{json .Config.Labels}}' $N",
  ],
  ['create-twice-removed', `${CREATE}; docker rm $N`, `${CREATE}; ${STATE}`],
])
