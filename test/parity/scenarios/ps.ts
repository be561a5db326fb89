/** Lists of containers. Only the scenario's own are asked for: the engine may have others. */
import { area } from '../scenario.ts'

const THREE = `docker run -d --network none --name $N-a -l kind=x $I sleep 100 >/dev/null
docker create --network none --name $N-b -l kind=y $I sleep 100 >/dev/null
docker run --network none --name $N-c $I sh -c 'exit 2' || true`
const MINE = '--filter name=$N'
const NAMES = "--format '{{.Names}}'"

export default area('ps', [
  ['running', THREE, `docker ps ${MINE}`],
  ['all', THREE, `docker ps -a ${MINE}`],
  ['quiet', THREE, `docker ps -aq ${MINE}`],
  ['quiet-untruncated', THREE, `docker ps -aq --no-trunc ${MINE}`],
  ['names', THREE, `docker ps -a ${MINE} ${NAMES}`],
  ['last', THREE, `docker ps -n 1 ${MINE} ${NAMES}`],
  ['status-exited', THREE, `docker ps -a ${MINE} --filter status=exited ${NAMES}`],
  ['status-created', THREE, `docker ps ${MINE} --filter status=created ${NAMES}`],
  ['status-several', THREE, `docker ps ${MINE} --filter status=created --filter status=running ${NAMES}`],
  ['status-unknown', THREE, `docker ps ${MINE} --filter status=nonsense ${NAMES}`],
  ['exited-code', THREE, `docker ps -a ${MINE} --filter exited=2 ${NAMES}`],
  ['exited-nonsense', THREE, `docker ps -a ${MINE} --filter exited=x`],
  ['label', THREE, `docker ps -a ${MINE} --filter label=kind ${NAMES}`],
  ['label-value', THREE, `docker ps -a ${MINE} --filter label=kind=y ${NAMES}`],
  ['ancestor', THREE, `docker ps -a ${MINE} --filter ancestor=$I ${NAMES}`],
  ['ancestor-missing', THREE, `docker ps -a ${MINE} --filter ancestor=parity/nothing ${NAMES}`],
  ['before', THREE, `docker ps -a ${MINE} --filter before=$N-c ${NAMES}`],
  ['since', THREE, `docker ps -a ${MINE} --filter since=$N-a ${NAMES}`],
  ['since-missing', THREE, `docker ps -a ${MINE} --filter since=$N-nothing ${NAMES}`],
  ['network', THREE, `docker ps -a ${MINE} --filter network=none ${NAMES}`],
  ['volume', 'docker create --name $N -v $N:/data $I >/dev/null', `docker ps -a --filter volume=$N ${NAMES}`],
  ['publish', THREE, `docker ps -a ${MINE} --filter publish=80 ${NAMES}`],
  ['health', THREE, `docker ps -a ${MINE} --filter health=none ${NAMES}`],
  ['id', THREE, `docker ps -a --filter id=$(docker inspect -f '{{.Id}}' $N-b) ${NAMES}`],
  ['is-task', THREE, `docker ps -a ${MINE} --filter is-task=true ${NAMES}`],
  ['unknown-filter', 'docker ps --filter nonsense=x'],
  [
    'columns',
    THREE,
    `docker ps -a ${MINE} --format '{{.Names}} {{.Image}} {{.Command}} {{.State}} {{.Labels}} {{.Networks}} {{.Ports}} {{.Mounts}} {{.LocalVolumes}}'`,
  ],
  [
    'size',
    'docker run --network none --name $N $I sh -c "head -c 100000 /dev/zero > /file"',
    `docker ps -a -s ${MINE} --format '{{.Names}} {{.Size}}'`,
  ],
  [
    'paused',
    `docker run -d --network none --name $N $I sleep 100; docker pause $N`,
    `docker ps ${MINE} --format '{{.State}} {{.Status}}'`,
  ],
  [
    'long-command',
    'docker create --network none --name $N $I sh -c "a rather long command line that goes on and on" >/dev/null',
    `docker ps -a ${MINE} --format '{{.Command}}'; docker ps -a --no-trunc ${MINE} --format '{{.Command}}'`,
  ],
])
