/** Everything that inspect shows. */
import { area } from '../scenario.ts'

const show = (template: string) => `docker inspect -f '${template}' $N`
const CREATE = 'docker create --network none --name $N'

export default area('inspect', [
  [
    'config',
    `${CREATE} -it -l a=b -e X=1 -w /tmp -u 33 --stop-signal INT --stop-timeout 3 $I sh -c hi`,
    show('{{json .Config}}'),
  ],
  ['config-plain', `${CREATE} $I`, show('{{json .Config}}')],
  ['host-config', `${CREATE} $I`, show('{{json .HostConfig}}')],
  [
    'host-config-full',
    `${CREATE} -m 64m --cpus 0.5 --cpu-shares 100 --pids-limit 50 --cap-add SYS_TIME --cap-drop CHOWN --security-opt no-new-privileges --tmpfs /t --add-host a:1.2.3.4 --dns 1.1.1.1 --dns-search example --restart on-failure:2 --shm-size 1m --ulimit nofile=10:20 --sysctl net.core.somaxconn=5 --init --read-only --oom-score-adj 5 --device /dev/null $I`,
    show('{{json .HostConfig}}'),
  ],
  ['state-created', `${CREATE} $I`, show('{{json .State}}')],
  ['state-exited', 'docker run --network none --name $N $I sh -c "exit 3" || true', show('{{json .State}}')],
  [
    'mounts',
    `docker volume create $N; ${CREATE} -v $N:/data:ro -v /tmp:/host --tmpfs /t --mount type=tmpfs,target=/t2 $I`,
    `${show('{{range .Mounts}}{{json .}}{{println}}{{end}}')} | sort`,
  ],
  ['path-and-args', `${CREATE} --entrypoint echo $I a b`, show('{{.Path}} {{json .Args}}')],
  [
    'names',
    `${CREATE} $I`,
    show('{{.Name}} {{.Driver}} {{.Platform}} {{.RestartCount}} {{json .ExecIDs}} {{.AppArmorProfile}}'),
  ],
  ['network-settings', `${CREATE} $I`, show('{{json .NetworkSettings}}')],
  ['keys', `${CREATE} $I`, show('{{range $k, $v := .}}{{$k}} {{end}}')],
  ['raw-keys', `${CREATE} $I`, 'docker inspect $N | grep -o \'^        "[A-Za-z]*"\''],
  [
    'size',
    'docker run --network none --name $N $I sh -c "echo 12345 > /file"',
    "docker inspect -s -f '{{.SizeRw}}' $N",
  ],
  ['missing', 'docker inspect $N'],
  ['missing-container-type', 'docker inspect --type container $N'],
  ['missing-image-type', 'docker inspect --type image $N'],
  ['missing-volume', 'docker volume inspect $N'],
  ['missing-network', 'docker network inspect $N'],
  [
    'healthcheck',
    `${CREATE} --health-cmd 'true' --health-interval 5s --health-retries 2 $I`,
    show('{{json .Config.Healthcheck}}'),
  ],
  ['no-healthcheck', `${CREATE} --no-healthcheck $I`, show('{{json .Config.Healthcheck}}')],
  [
    'port',
    `docker create --name $N -p 8080:80 -p 127.0.0.1::53/udp --expose 99 $I`,
    show('{{json .HostConfig.PortBindings}} {{json .Config.ExposedPorts}} {{json .NetworkSettings.Ports}}'),
  ],
  ['bad-template', `${CREATE} $I`, "docker inspect -f '{{.Nothing}}' $N"],
])
