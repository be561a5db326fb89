/** What a container said. */
import { area } from '../scenario.ts'

const LINES =
  "docker run --network none --name $N $I sh -c 'for i in 1 2 3 4 5; do echo line $i; done; echo err >&2' >/dev/null 2>&1"

export default area('logs', [
  ['all', LINES, 'docker logs $N'],
  ['stdout-only', LINES, 'docker logs $N 2>/dev/null'],
  ['stderr-only', LINES, 'docker logs $N 2>&1 >/dev/null'],
  ['tail', LINES, 'docker logs -n 2 $N 2>/dev/null'],
  ['tail-none', LINES, 'docker logs -n 0 $N'],
  ['tail-nonsense', LINES, 'docker logs -n x $N'],
  ['timestamps', LINES, 'docker logs -t $N 2>/dev/null'],
  ['since-future', LINES, 'docker logs --since 2099-01-01T00:00:00Z $N'],
  ['until-past', LINES, 'docker logs --until 2001-01-01T00:00:00Z $N'],
  ['since-nonsense', LINES, 'docker logs --since yesterday $N'],
  [
    'details',
    'docker run --network none --log-opt labels=a --log-opt env=E -e E=x -l a=b --name $N $I echo hi >/dev/null',
    'docker logs --details $N',
  ],
  ['follow-ended', LINES, 'docker logs -f $N 2>/dev/null'],
  [
    'follow-running',
    "docker run -d --network none --name $N $I sh -c 'echo one; sleep 0.5; echo two' >/dev/null",
    'docker logs -f $N',
  ],
  ['missing', 'docker logs $N'],
  ['created', 'docker create --network none --name $N $I true', 'docker logs $N'],
  ['driver-none', 'docker run --network none --log-driver none --name $N $I echo hi', 'docker logs $N'],
  ['no-newline', "docker run --network none --name $N $I printf 'no newline'", 'docker logs $N'],
  [
    'long-line',
    'docker run --network none --name $N $I sh -c "head -c 40000 /dev/zero | tr \'\\\\0\' x" >/dev/null',
    'docker logs $N | wc -c',
  ],
  [
    'terminal',
    "docker run -t --network none --name $N $I sh -c 'echo out; echo err >&2' >/dev/null",
    'docker logs $N | od -c | head -3',
  ],
  ['after-restart', LINES, 'docker start $N >/dev/null; docker wait $N; docker logs $N 2>/dev/null | wc -l'],
])
