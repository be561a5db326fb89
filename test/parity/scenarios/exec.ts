/** Further processes in a running container. */
import { area } from '../scenario.ts'

const START = 'docker run -d --network none --name $N -e OUTER=1 -w /tmp $I sleep 100 >/dev/null'

export default area('exec', [
  ['output', START, 'docker exec $N echo hello'],
  ['both-streams', START, "docker exec $N sh -c 'echo out; echo err >&2'"],
  ['exit-code', START, "docker exec $N sh -c 'exit 9'"],
  ['killed', START, "docker exec $N sh -c 'kill -9 $$'"],
  ['stdin', START, 'echo hello | docker exec -i $N cat'],
  ['stdin-not-attached', START, 'echo hello | docker exec $N cat'],
  ['large-stdin', START, 'head -c 3000000 /dev/zero | docker exec -i $N wc -c'],
  ['missing-command', START, 'docker exec $N no-such-command'],
  ['not-executable', START, 'docker exec $N /etc/passwd'],
  ['no-command', START, 'docker exec $N'],
  ['environment', START, 'docker exec -e INNER=2 $N sh -c "echo $OUTER,\\$OUTER,\\$INNER"'],
  ['working-directory', START, 'docker exec $N pwd; docker exec -w /etc $N pwd'],
  ['working-directory-missing', START, 'docker exec -w /no/such $N pwd'],
  ['user', START, 'docker exec -u www-data $N id; docker exec -u 1234:5 $N id'],
  ['user-unknown', START, 'docker exec -u nobody-here $N id'],
  ['privileged', START, 'docker exec --privileged $N grep CapEff /proc/self/status | cut -c1-7'],
  ['capabilities', START, 'docker exec $N grep Cap /proc/self/status'],
  [
    'detached',
    START,
    'docker exec -d $N sh -c "echo x > /tmp/done"; until docker exec $N cat /tmp/done 2>/dev/null; do sleep 0.1; done',
  ],
  ['missing-container', 'docker exec $N true'],
  ['stopped-container', 'docker run --network none --name $N $I true', 'docker exec $N true'],
  ['created-container', 'docker create --network none --name $N $I true', 'docker exec $N true'],
  ['paused-container', `${START}; docker pause $N`, 'docker exec $N true'],
  ['terminal-without-one', START, 'docker exec -it $N true < /dev/null'],
  ['terminal', START, 'docker exec -t $N sh -c "tty; echo err >&2"'],
  ['processes', START, 'docker exec $N ps -o args | sort'],
])
