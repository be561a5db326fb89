/** `docker network`: making, showing and taking away networks, and joining them. */
import { area } from '../scenario.ts'

const CREATE = 'docker network create --subnet 10.231.7.0/24 $N >/dev/null'
const RUN = 'docker run -d --name $N --stop-timeout 0'
const show = (template: string, name = '$N') => `docker network inspect -f '${template}' ${name}`
const IPAM = show('{{json .IPAM}}')
const ENDPOINT = (field: string) =>
  `docker inspect -f '{{range $n, $e := .NetworkSettings.Networks}}{{$n}} ${field} {{end}}' $N`

export default area('network', [
  ['create', `docker network create --subnet 10.231.7.0/24 $N | wc -c; ${show('{{.Driver}} {{.Scope}}')}`],
  ['create-keys', CREATE, show('{{range $k, $v := .}}{{$k}} {{end}}')],
  [
    'create-defaults',
    CREATE,
    show(
      '{{.EnableIPv4}} {{.EnableIPv6}} {{.Internal}} {{.Attachable}} {{.Ingress}} {{.ConfigOnly}} {{json .ConfigFrom}} {{json .Options}} {{json .Labels}} {{json .Containers}}',
    ),
  ],
  ['create-raw-keys', CREATE, 'docker network inspect $N | grep -o \'^        "[A-Za-z0-9]*"\''],
  ['create-subnet', CREATE, IPAM],
  [
    'create-gateway',
    `docker network create --subnet 10.231.7.0/24 --gateway 10.231.7.9 $N >/dev/null; ${IPAM}`,
  ],
  [
    'create-ip-range',
    `docker network create --subnet 10.231.7.0/24 --ip-range 10.231.7.128/25 $N >/dev/null; ${IPAM}; ${RUN} --network $N $I sleep 100 >/dev/null; ${ENDPOINT('{{$e.IPAddress}} {{$e.Gateway}}')}`,
  ],
  [
    'create-aux-address',
    `docker network create --subnet 10.231.7.0/24 --aux-address a=10.231.7.2 --aux-address b=10.231.7.3 $N >/dev/null; ${IPAM}; ${RUN} --network $N $I sleep 100 >/dev/null; ${ENDPOINT('{{$e.IPAddress}}')}`,
  ],
  ['create-two-subnets', `docker network create --subnet 10.231.7.0/24 --subnet 10.231.8.0/24 $N`],
  [
    'create-internal',
    `docker network create --internal --subnet 10.231.7.0/24 $N >/dev/null; ${show('{{.Internal}}')}`,
  ],
  [
    'internal-has-no-route',
    'docker network create --internal --subnet 10.231.7.0/24 $N >/dev/null',
    'docker run --rm --name $N --network $N $I ip route',
  ],
  [
    'create-attachable',
    `docker network create --attachable --subnet 10.231.7.0/24 $N >/dev/null; ${show('{{.Attachable}}')}`,
  ],
  [
    'create-ipv6',
    `docker network create --ipv6 --subnet 10.231.7.0/24 --subnet fd00:231::/64 $N >/dev/null; ${show('{{.EnableIPv6}}{{println}}{{range .IPAM.Config}}{{json .}}{{println}}{{end}}')} | sort`,
  ],
  [
    'create-ipv6-gateway',
    `docker network create --ipv6 --subnet 10.231.7.0/24 --subnet fd00:231::/64 --gateway fd00:231::99 $N >/dev/null; ${show('{{range .IPAM.Config}}{{json .}}{{println}}{{end}}')} | sort`,
  ],
  [
    'create-ipv6-only',
    `docker network create --ipv4=false --ipv6 --subnet fd00:231::/64 $N >/dev/null; ${show('{{.EnableIPv4}} {{.EnableIPv6}} {{json .IPAM.Config}}')}`,
  ],
  ['create-no-family', 'docker network create --ipv4=false $N'],
  [
    'create-labels',
    `docker network create --label a=b --label c --subnet 10.231.7.0/24 $N >/dev/null; ${show('{{json .Labels}}')}`,
  ],
  [
    'create-options',
    `docker network create -o com.docker.network.bridge.name=gparity0 -o com.docker.network.driver.mtu=1400 --subnet 10.231.7.0/24 $N >/dev/null; ${show('{{json .Options}}')}; docker run --rm --name $N --network $N $I cat /sys/class/net/eth0/mtu`,
  ],
  ['create-bad-mtu', 'docker network create -o com.docker.network.driver.mtu=big --subnet 10.231.7.0/24 $N'],
  [
    'create-bad-icc',
    'docker network create -o com.docker.network.bridge.enable_icc=perhaps --subnet 10.231.7.0/24 $N',
  ],
  ['create-taken', CREATE, 'docker network create --subnet 10.231.9.0/24 $N'],
  ['create-reserved-bridge', 'docker network create bridge'],
  ['create-reserved-host', 'docker network create host'],
  ['create-reserved-none', 'docker network create none'],
  ['create-reserved-default', 'docker network create default'],
  [
    'create-reserved-container',
    'docker network create container:$N >/dev/null; docker network rm container:$N',
  ],
  ['create-empty-name', "docker network create ''"],
  ['create-blank-name', "docker network create ' '"],
  ['create-name-with-slash', 'docker network create --subnet 10.231.7.0/24 $N/a'],
  ['create-no-name', 'docker network create'],
  ['create-unknown-driver', 'docker network create -d no-such-driver $N'],
  ['create-second-host', 'docker network create -d host $N'],
  ['create-second-null', 'docker network create -d null $N'],
  ['create-overlay', 'docker network create -d overlay $N'],
  ['create-scope-swarm', 'docker network create --scope swarm $N'],
  ['create-ingress', 'docker network create --ingress $N'],
  [
    'create-config-only',
    `docker network create --config-only --subnet 10.231.7.0/24 $N >/dev/null; ${show('{{.ConfigOnly}} {{.Driver}}')}`,
  ],
  [
    'create-config-from',
    `docker network create --config-only --subnet 10.231.7.0/24 $N-c >/dev/null; docker network create --config-from $N-c $N >/dev/null; ${show('{{.ConfigFrom.Network}} {{json .IPAM.Config}}')}; docker network rm $N`,
  ],
  ['create-config-from-missing', 'docker network create --config-from no-such-network $N'],
  [
    'create-config-only-attach',
    'docker network create --config-only --subnet 10.231.7.0/24 $N >/dev/null',
    'docker run --rm --name $N --network $N $I true',
  ],
  ['create-overlapping', CREATE, 'docker network create --subnet 10.231.7.128/25 $N-2'],
  ['create-same-subnet', CREATE, 'docker network create --subnet 10.231.7.0/24 $N-2'],
  ['create-subnet-malformed', 'docker network create --subnet 10.231.7 $N'],
  ['create-subnet-no-mask', 'docker network create --subnet 10.231.7.0 $N'],
  ['create-subnet-wide-mask', 'docker network create --subnet 10.231.7.0/33 $N'],
  ['create-subnet-host-bits', `docker network create --subnet 10.231.7.5/24 $N; ${IPAM}`],
  ['create-subnet-tiny', 'docker network create --subnet 10.231.7.0/32 $N'],
  ['create-gateway-outside', 'docker network create --subnet 10.231.7.0/24 --gateway 10.231.8.1 $N'],
  ['create-gateway-malformed', 'docker network create --subnet 10.231.7.0/24 --gateway 10.231.7.300 $N'],
  ['create-gateway-no-subnet', 'docker network create --gateway 10.231.7.1 $N'],
  ['create-range-outside', 'docker network create --subnet 10.231.7.0/24 --ip-range 10.231.8.0/25 $N'],
  ['create-range-wider', 'docker network create --subnet 10.231.7.0/24 --ip-range 10.231.0.0/16 $N'],
  ['create-range-no-subnet', 'docker network create --ip-range 10.231.7.0/25 $N'],
  ['create-range-malformed', 'docker network create --subnet 10.231.7.0/24 --ip-range 10.231.7.0 $N'],
  ['create-aux-outside', 'docker network create --subnet 10.231.7.0/24 --aux-address a=10.232.7.1 $N'],
  ['create-aux-malformed', 'docker network create --subnet 10.231.7.0/24 --aux-address a $N'],
  [
    'create-aux-gateway',
    'docker network create --subnet 10.231.7.0/24 --gateway 10.231.7.1 --aux-address a=10.231.7.1 $N',
  ],
  ['create-unknown-ipam-driver', 'docker network create --ipam-driver no-such-driver $N'],
  ['create-ipam-null-bridge', 'docker network create --ipam-driver null $N'],
  ['ipvlan-bad-mode', 'docker network create -d ipvlan -o ipvlan_mode=l9 --subnet 10.231.7.0/24 $N'],
  ['macvlan-bad-mode', 'docker network create -d macvlan -o macvlan_mode=odd --subnet 10.231.7.0/24 $N'],
  ['macvlan-missing-parent', 'docker network create -d macvlan -o parent=nope0 --subnet 10.231.7.0/24 $N'],

  [
    'list-filter-name',
    CREATE,
    "docker network ls --filter name=$N --format '{{.Name}} {{.Driver}} {{.Scope}}'",
  ],
  ['list-table', CREATE, 'docker network ls --filter name=$N'],
  [
    'list-quiet',
    CREATE,
    'docker network ls -q --filter name=$N | wc -c; docker network ls -q --no-trunc --filter name=$N | wc -c',
  ],
  ['list-filter-type', "docker network ls --filter type=builtin --format '{{.Name}}' | sort"],
  ['list-filter-type-bad', 'docker network ls --filter type=odd'],
  [
    'list-filter-driver',
    "docker network ls --filter driver=null --filter driver=host --format '{{.Name}} {{.Driver}}' | sort",
  ],
  [
    'list-filter-scope',
    CREATE,
    "docker network ls --filter scope=local --filter name=$N --format '{{.Name}}'; docker network ls --filter scope=swarm --filter name=$N --format '{{.Name}}'",
  ],
  ['list-filter-scope-bad', 'docker network ls --filter scope=odd'],
  [
    'list-filter-label',
    'docker network create --label $N=yes --subnet 10.231.7.0/24 $N >/dev/null',
    "docker network ls --filter label=$N --format '{{.Name}} {{.Labels}}'; docker network ls --filter label=$N=no --format '{{.Name}}'",
  ],
  [
    'list-filter-id',
    CREATE,
    "docker network ls --filter id=$(docker network inspect -f '{{.Id}}' $N | cut -c1-6) --format '{{.Name}}'",
  ],
  [
    'list-filter-dangling',
    CREATE,
    `${RUN} --network $N $I sleep 100 >/dev/null; docker network ls --filter dangling=true --filter name=$N --format '{{.Name}}'; docker network ls --filter dangling=false --filter name=$N --format '{{.Name}}'`,
  ],
  ['list-filter-dangling-bad', 'docker network ls --filter dangling=maybe'],
  ['list-filter-unknown', 'docker network ls --filter odd=1'],
  [
    'list-predefined',
    "docker network ls --format '{{.Name}} {{.Driver}} {{.Scope}} {{.IPv4}} {{.IPv6}} {{.Internal}}' --filter name=none --filter name=host | sort",
  ],

  ['inspect-bridge', show('{{.Name}} {{.Driver}} {{.Scope}} {{json .Options}} {{.IPAM.Driver}}', 'bridge')],
  ['inspect-host', show('{{json .IPAM}} {{json .Options}} {{json .Labels}} {{.EnableIPv4}}', 'host')],
  ['inspect-none', show('{{json .IPAM}} {{json .Options}} {{json .Labels}} {{.EnableIPv4}}', 'none')],
  [
    'inspect-by-id',
    CREATE,
    "docker network inspect -f '{{.Name}}' $(docker network inspect -f '{{.Id}}' $N | cut -c1-12)",
  ],
  [
    'inspect-containers',
    `${CREATE}; ${RUN} --network $N --mac-address 02:42:0a:e7:07:02 $I sleep 100`,
    show('{{range .Containers}}{{.Name}} {{.MacAddress}} {{.IPv4Address}} {{.IPv6Address}}{{end}}'),
  ],
  ['inspect-several', CREATE, "docker network inspect -f '{{.Name}}' $N no-such-network"],
  ['inspect-verbose', CREATE, "docker network inspect -v -f '{{.Name}}' $N"],

  ['remove', CREATE, 'docker network rm $N; docker network inspect $N'],
  ['remove-missing', 'docker network rm no-such-network'],
  ['remove-missing-forced', 'docker network rm -f no-such-network'],
  ['remove-several', CREATE, 'docker network rm no-such-network $N'],
  ['remove-bridge', 'docker network rm bridge'],
  ['remove-host', 'docker network rm host'],
  ['remove-with-endpoints', `${CREATE}; ${RUN} --network $N $I sleep 100`, 'docker network rm $N 2>&1'],
  [
    'remove-with-stopped',
    `${CREATE}; docker create --name $N --network $N $I true`,
    'docker network rm $N; docker start $N',
  ],
  [
    'prune-filter',
    'docker network create --label $N=yes --subnet 10.231.7.0/24 $N >/dev/null',
    'docker network prune -f --filter label=$N',
  ],
  [
    'prune-used',
    `docker network create --label $N=yes --subnet 10.231.7.0/24 $N >/dev/null; ${RUN} --network $N $I sleep 100`,
    'docker network prune -f --filter label=$N',
  ],
  [
    'prune-until',
    'docker network create --label $N=yes --subnet 10.231.7.0/24 $N >/dev/null',
    'docker network prune -f --filter label=$N --filter until=1h',
  ],
  ['prune-filter-bad', 'docker network prune -f --filter label=$N --filter odd=1'],
  ['prune-until-bad', 'docker network prune -f --filter label=$N --filter until=odd'],

  ['connect', `${CREATE}; ${RUN} --network none $I sleep 100`, 'docker network connect $N $N'],
  [
    'connect-running',
    `${CREATE}; docker network create --subnet 10.231.8.0/24 $N-2; ${RUN} --network $N $I sleep 100`,
    `docker network connect $N-2 $N; docker exec $N ip -o -4 addr | awk '{print $2, $4}'; ${ENDPOINT('{{$e.IPAddress}}')}; docker network disconnect $N-2 $N; docker exec $N ls /sys/class/net`,
  ],
  [
    'connect-options',
    `${CREATE}; docker network create --subnet 10.231.8.0/24 $N-2; ${RUN} --network $N $I sleep 100`,
    `docker network connect --ip 10.231.8.77 --alias one --alias two --driver-opt a=b --gw-priority 3 $N-2 $N; docker inspect -f '{{with index .NetworkSettings.Networks "'$N-2'"}}{{.IPAddress}} {{json .Aliases}} {{json .DriverOpts}} {{.GwPriority}} {{json .IPAMConfig}}{{end}}' $N; docker exec $N ip route | head -1`,
  ],
  ['connect-twice', `${CREATE}; ${RUN} --network $N $I sleep 100`, 'docker network connect $N $N'],
  [
    'connect-created',
    `${CREATE}; docker create --name $N $I true`,
    `docker network connect --ip 10.231.7.30 $N $N; ${ENDPOINT('{{json $e.IPAMConfig}} {{$e.IPAddress}}')}`,
  ],
  ['connect-host-mode', `${CREATE}; ${RUN} --network host $I sleep 100`, 'docker network connect $N $N'],
  ['connect-to-host', `${CREATE}; ${RUN} --network $N $I sleep 100`, 'docker network connect host $N'],
  ['connect-to-none', `${CREATE}; ${RUN} --network $N $I sleep 100`, 'docker network connect none $N'],
  [
    'connect-shared',
    `${CREATE}; ${RUN} --network none $I sleep 100; docker run -d --name $N-2 --network container:$N $I sleep 100`,
    'docker network connect $N $N-2',
  ],
  ['connect-missing-network', `${RUN} $I sleep 100`, 'docker network connect no-such-network $N'],
  ['connect-missing-container', CREATE, 'docker network connect $N no-such-container'],
  [
    'connect-ip-taken',
    `${CREATE}; ${RUN} --network $N --ip 10.231.7.30 $I sleep 100; docker run -d --name $N-2 $I sleep 100`,
    'docker network connect --ip 10.231.7.30 $N $N-2',
  ],
  ['connect-ip-outside', `${CREATE}; ${RUN} $I sleep 100`, 'docker network connect --ip 10.232.7.30 $N $N'],
  ['connect-ip-malformed', `${CREATE}; ${RUN} $I sleep 100`, 'docker network connect --ip 10.231.7 $N $N'],
  [
    'disconnect',
    `${CREATE}; ${RUN} --network $N $I sleep 100`,
    `docker network disconnect $N $N; ${ENDPOINT('{{$e.IPAddress}}')}; docker exec $N ls /sys/class/net`,
  ],
  ['disconnect-not-connected', `${CREATE}; ${RUN} $I sleep 100`, 'docker network disconnect $N $N'],
  [
    'disconnect-stopped',
    `${CREATE}; docker create --name $N --network $N $I true`,
    `docker network disconnect $N $N; ${ENDPOINT('')}`,
  ],
  ['disconnect-host', `${RUN} --network host $I sleep 100`, 'docker network disconnect host $N'],
  ['disconnect-missing-network', `${RUN} $I sleep 100`, 'docker network disconnect no-such-network $N'],
  ['disconnect-missing-container', CREATE, 'docker network disconnect $N no-such-container'],
  ['disconnect-missing-forced', CREATE, 'docker network disconnect -f $N no-such-container'],
  // A container's networks are its own from its making on, whatever its mode says.
  ...(['', '--network $N'] as const).flatMap((flags, nth) => {
    const home = nth === 0 ? 'bridge' : '$N'
    const other = nth === 0 ? '$N' : 'bridge'
    const shown = `docker inspect -f '{{.HostConfig.NetworkMode}}: {{range $n, $e := .NetworkSettings.Networks}}{{$n}} {{end}}' $N`
    const both = `${shown}; docker restart -t 0 $N >/dev/null; ${shown}`
    return (['run -d', 'create'] as const).flatMap((how): [string, string, string][] => {
      const setup = `${CREATE}; docker ${how} --name $N ${flags} --stop-timeout 0 $I sleep 100`
      const name = `${how.slice(0, 3)}-${nth === 0 ? 'bridge' : 'own'}`
      return [
        [`${name}-join`, setup, `docker network connect ${other} $N; ${both}`],
        [`${name}-leave`, setup, `docker network disconnect ${home} $N; ${both}`],
        [
          `${name}-return`,
          setup,
          `docker network disconnect ${home} $N; docker network connect ${home} $N; ${both}`,
        ],
        [
          `${name}-move`,
          setup,
          `docker network disconnect ${home} $N; docker network connect ${other} $N; ${both}`,
        ],
      ]
    })
  }),
  [
    'isolated-not-internal',
    'docker network create -o com.docker.network.bridge.gateway_mode_ipv4=isolated $N',
  ],
  ['create-negative-mtu', 'docker network create -o com.docker.network.driver.mtu=-5 $N'],
  ['create-bad-host-ip', 'docker network create -o com.docker.network.host_ipv4=here $N'],
  ['create-bad-binding', 'docker network create -o com.docker.network.bridge.host_binding_ipv4=here $N'],
  [
    'create-subnet-without-ipv6',
    `docker network create --subnet 10.231.7.0/24 --subnet fd00:231::/64 $N | wc -c; ${show('{{.EnableIPv6}} {{len .IPAM.Config}}')}`,
  ],
  [
    'interface-prefix',
    'docker network create -o com.docker.network.container_iface_prefix=net $N >/dev/null',
    'docker run --rm --network $N $I ls /sys/class/net',
  ],
  [
    'disconnect-not-connected-stopped',
    `${CREATE}; docker create --name $N $I`,
    'docker network disconnect $N $N',
  ],
  [
    'endpoint-sysctls',
    CREATE,
    `docker run --rm --network 'name='$N',"driver-opt=com.docker.network.endpoint.sysctls=net.ipv4.conf.IFNAME.log_martians=1,net.ipv4.conf.IFNAME.forwarding=0"' $I cat /proc/sys/net/ipv4/conf/eth0/log_martians /proc/sys/net/ipv4/conf/eth0/forwarding`,
  ],
  [
    'endpoint-sysctls-named',
    CREATE,
    'docker run --rm --network name=$N,driver-opt=com.docker.network.endpoint.sysctls=net.ipv4.conf.eth0.log_martians=1 $I true',
  ],
  [
    'events',
    "since=$(date +%s); docker network create --subnet 10.231.7.0/24 $N >/dev/null; docker run -d --name $N --network $N $I sleep 100 >/dev/null; docker network disconnect $N $N; docker network rm $N >/dev/null; docker events --since $since --until $(($(date +%s)+1)) --filter type=network --filter network=$N --format '{{.Action}} {{.Actor.Attributes.name}} {{.Actor.Attributes.type}}'",
  ],
])
