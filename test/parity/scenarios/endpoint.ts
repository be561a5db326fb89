/** What a container is told about its network: addresses, names, ports, resolvers. */
import { area } from '../scenario.ts'

const CREATE = 'docker network create --subnet 10.231.7.0/24 $N >/dev/null'
const SIX = 'docker network create --ipv6 --subnet 10.231.7.0/24 --subnet fd00:231::/64 $N >/dev/null'
const R = 'docker run --rm --name $N'
const RUN = 'docker run -d --name $N --stop-timeout 0'
const ENDPOINT = (field: string) =>
  `docker inspect -f '{{range $n, $e := .NetworkSettings.Networks}}{{$n}} ${field} {{end}}' $N`
const ANY = "sed -E 's/[0-9]+$/<port>/'"
const HOSTS = 'cat /etc/hosts'

export default area('endpoint', [
  [
    'ip',
    CREATE,
    `${RUN} --network $N --ip 10.231.7.50 $I sleep 100 >/dev/null; ${ENDPOINT('{{$e.IPAddress}} {{$e.IPPrefixLen}} {{$e.Gateway}} {{json $e.IPAMConfig}}')}; docker exec $N ip -o -4 addr show eth0 | awk '{print $4}'`,
  ],
  [
    'ip-first-free',
    CREATE,
    `${RUN} --network $N $I sleep 100 >/dev/null; ${ENDPOINT('{{$e.IPAddress}} {{json $e.IPAMConfig}} {{json $e.Links}} {{json $e.Aliases}} {{json $e.DriverOpts}} {{$e.GwPriority}}')}`,
  ],
  ['ip-on-bridge', `${R} --ip 172.17.0.99 $I true`],
  ['ip-on-host', `${R} --network host --ip 172.17.0.99 $I true`],
  ['ip-outside', CREATE, `${R} --network $N --ip 10.232.0.1 $I true`],
  ['ip-malformed', CREATE, `${R} --network $N --ip 10.231.7.300 $I true`],
  [
    'ip-taken',
    `${CREATE}; ${RUN} --network $N --ip 10.231.7.50 $I sleep 100`,
    'docker run --rm --name $N-2 --network $N --ip 10.231.7.50 $I true',
  ],
  ['ip-is-gateway', CREATE, `${R} --network $N --ip 10.231.7.1 $I true`],
  ['ip-is-broadcast', CREATE, `${R} --network $N --ip 10.231.7.255 $I true`],
  [
    'ip6',
    SIX,
    `${RUN} --network $N --ip6 fd00:231::50 $I sleep 100 >/dev/null; ${ENDPOINT('{{$e.GlobalIPv6Address}} {{$e.GlobalIPv6PrefixLen}} {{$e.IPv6Gateway}} {{json $e.IPAMConfig}}')}; docker exec $N ip -o -6 addr show eth0 scope global | awk '{print $4}'`,
  ],
  [
    'ip6-first-free',
    SIX,
    `${RUN} --network $N $I sleep 100 >/dev/null; ${ENDPOINT('{{$e.IPAddress}} {{$e.GlobalIPv6Address}}')}`,
  ],
  ['ip6-malformed', SIX, `${R} --network $N --ip6 fd00:231::zz $I true`],
  ['ip6-outside', SIX, `${R} --network $N --ip6 fd00:999::1 $I true`],
  ['ip6-without-ipv6', CREATE, `${R} --network $N --ip6 fd00:231::50 $I true`],
  [
    'mac-address',
    CREATE,
    `${RUN} --network $N --mac-address 92:d0:c6:0a:29:33 $I sleep 100 >/dev/null; ${ENDPOINT('{{$e.MacAddress}}')}; docker exec $N cat /sys/class/net/eth0/address`,
  ],
  ['mac-address-malformed', `${R} --mac-address 92:d0:c6 $I true`],
  ['mac-address-on-host', `${R} --network host --mac-address 92:d0:c6:0a:29:33 $I true`],
  [
    'alias',
    CREATE,
    `${RUN} --network $N --network-alias one --network-alias two $I sleep 100 >/dev/null; ${ENDPOINT('{{json $e.Aliases}} {{len $e.DNSNames}}')}; docker exec $N nslookup two 2>/dev/null | grep -c 10.231.7.2`,
  ],
  ['alias-on-bridge', `${R} --network-alias one $I true`],
  [
    'network-long-form',
    CREATE,
    `${RUN} --network name=$N,ip=10.231.7.60,alias=x,mac-address=92:d0:c6:0a:29:34,driver-opt=a=b,gw-priority=2 $I sleep 100 >/dev/null; ${ENDPOINT('{{$e.IPAddress}} {{$e.MacAddress}} {{json $e.Aliases}} {{json $e.DriverOpts}} {{$e.GwPriority}}')}`,
  ],
  ['network-long-form-bad', CREATE, `${R} --network name=$N,odd=1 $I true`],
  ['network-and-ip-conflict', CREATE, `${R} --network name=$N,ip=10.231.7.60 --ip 10.231.7.61 $I true`],
  [
    'two-networks',
    `${CREATE}; docker network create --subnet 10.231.8.0/24 $N-2`,
    `${R} --network $N --network $N-2 $I sh -c "ip -o -4 addr | awk '{print \\$4}'" | sort`,
  ],
  ['two-networks-host', CREATE, `${R} --network $N --network host $I true`],
  ['two-networks-none', CREATE, `${R} --network $N --network none $I true`],
  [
    'link-local-ip',
    CREATE,
    `${RUN} --network $N --link-local-ip 169.254.8.8 $I sleep 100 >/dev/null; ${ENDPOINT('{{json $e.IPAMConfig}}')}; docker exec $N ip -o -4 addr show eth0 | awk '{print $4}'`,
  ],
  [
    'shared-hostname',
    `${RUN} --network none $I sleep 100`,
    'docker run --rm --name $N-2 --network container:$N --hostname x $I true',
  ],
  [
    'shared-ports',
    `${RUN} --network none $I sleep 100`,
    'docker run --rm --name $N-2 --network container:$N -p 80 $I true',
  ],
  [
    'shared-dns',
    `${RUN} --network none $I sleep 100`,
    'docker run --rm --name $N-2 --network container:$N --dns 1.1.1.1 $I true',
  ],
  [
    'shared-hosts',
    `${RUN} --network none $I sleep 100`,
    'docker run --rm --name $N-2 --network container:$N --add-host a:1.1.1.1 $I true',
  ],
  [
    'shared-link',
    `${RUN} --network none $I sleep 100`,
    'docker run --rm --name $N-2 --network container:$N --link $N:a $I true',
  ],
  [
    'shared-expose',
    `${RUN} --network none $I sleep 100`,
    'docker run --rm --name $N-2 --network container:$N --expose 80 $I true',
  ],
  [
    'shared-mac',
    `${RUN} --network none $I sleep 100`,
    'docker run --rm --name $N-2 --network container:$N --mac-address 92:d0:c6:0a:29:33 $I true',
  ],
  [
    'shared',
    `${CREATE}; ${RUN} --network $N $I sleep 100`,
    "docker run --rm --name $N-2 --network container:$N $I sh -c \"ip -o -4 addr show eth0 | awk '{print \\$4}'\"; docker inspect -f '{{.HostConfig.NetworkMode}}' $N | cut -c1-8",
  ],
  [
    'shared-stopped',
    'docker create --name $N $I true',
    'docker run --rm --name $N-2 --network container:$N $I true',
  ],
  ['shared-itself', 'docker run --rm --name $N --network container:$N $I true'],
  ['shared-empty', 'docker run --rm --name $N --network container: $I true'],

  [
    'publish',
    `${RUN} -p 18080:80 $I sleep 100 >/dev/null; docker port $N; docker port $N 80; docker port $N 80/tcp`,
  ],
  [
    'publish-udp',
    `${RUN} -p 18080:80/udp $I sleep 100 >/dev/null; docker port $N; docker port $N 80/udp; docker port $N 80`,
  ],
  ['publish-loopback', `${RUN} -p 127.0.0.1:18080:80 $I sleep 100 >/dev/null; docker port $N`],
  ['publish-loopback-any', `${RUN} -p 127.0.0.1::80 $I sleep 100 >/dev/null; docker port $N | ${ANY}`],
  ['publish-any', `${RUN} -p 80 $I sleep 100 >/dev/null; docker port $N | ${ANY}`],
  ['publish-ipv6', `${RUN} -p '[::1]:18080:80' $I sleep 100 >/dev/null; docker port $N`],
  ['publish-range', `${RUN} -p 18080-18082:80-82 $I sleep 100 >/dev/null; docker port $N | sort`],
  [
    'publish-range-of-one',
    `${RUN} -p 18080-18090:80 $I sleep 100 >/dev/null; docker port $N | sed -E 's/1808[0-9]|18090/<port>/'`,
  ],
  ['publish-two', `${RUN} -p 18080:80 -p 18081:80 $I sleep 100 >/dev/null; docker port $N | sort`],
  [
    'publish-all',
    `${RUN} -P --expose 80 --expose 90-91/udp $I sleep 100 >/dev/null; docker port $N | ${ANY} | sort`,
  ],
  [
    'publish-long-form',
    `${RUN} -p target=80,published=18080,protocol=udp $I sleep 100 >/dev/null; docker port $N`,
  ],
  [
    'publish-inspect',
    `${RUN} -p 18080:80 --expose 90 $I sleep 100 >/dev/null; docker inspect -f '{{json .NetworkSettings.Ports}} {{json .HostConfig.PortBindings}} {{json .Config.ExposedPorts}}' $N`,
  ],
  [
    'publish-inspect-created',
    `docker create --name $N -p 18080:80 -P --expose 90 $I >/dev/null; docker inspect -f '{{json .NetworkSettings.Ports}} {{json .HostConfig.PortBindings}} {{.HostConfig.PublishAllPorts}}' $N; docker port $N`,
  ],
  [
    'publish-ps',
    `${RUN} -p 18080:80 -p 18081-18083:81-83 -p 127.0.0.1:18090:90/udp --expose 99 $I sleep 100 >/dev/null; docker ps --filter name=$N --format '{{.Ports}}'`,
  ],
  [
    'publish-on-host',
    `${RUN} --network host -p 18080:80 $I sleep 100 | wc -c; docker port $N; docker inspect -f '{{json .NetworkSettings.Ports}}' $N`,
  ],
  [
    'publish-on-none',
    `${RUN} --network none -p 18080:80 $I sleep 100 | wc -c; docker port $N; docker inspect -f '{{json .NetworkSettings.Ports}}' $N`,
  ],
  ['publish-taken', `${RUN} -p 18080:80 $I sleep 100`, 'docker run --rm --name $N-2 -p 18080:80 $I true'],
  [
    'publish-taken-loopback',
    `${RUN} -p 127.0.0.1:18080:80 $I sleep 100`,
    'docker run --rm --name $N-2 -p 127.0.0.1:18080:80 $I true',
  ],
  ['publish-taken-twice', `${R} -p 18080:80 -p 18080:81 $I true`],
  ['publish-foreign-address', `${R} -p 203.0.113.7:18080:80 $I true`],
  ['publish-port-0', `${R} -p 18080:0 $I true`],
  ['publish-host-port-0', `${RUN} -p 0:80 $I sleep 100 >/dev/null; docker port $N | ${ANY}`],
  ['publish-port-65536', `${R} -p 18080:65536 $I true`],
  ['publish-host-port-65536', `${R} -p 65536:80 $I true`],
  ['publish-negative', `${R} -p -1:80 $I true`],
  ['publish-not-a-number', `${R} -p a:80 $I true`],
  ['publish-bad-protocol', `${R} -p 18080:80/icmp $I true`],
  ['publish-bad-address', `${R} -p 1.2.3:18080:80 $I true`],
  ['publish-bad-range', `${R} -p 18082-18080:80-82 $I true`],
  ['publish-uneven-ranges', `${R} -p 18080-18081:80-82 $I true`],
  ['publish-empty', `${R} -p '' $I true`],
  ['expose-bad', `${R} --expose 70000 $I true`],
  ['expose-bad-protocol', `${R} --expose 80/icmp $I true`],
  ['port-unpublished', `${RUN} -p 18080:80 $I sleep 100 >/dev/null; docker port $N 81; docker port $N odd`],
  [
    'port-stopped',
    `${RUN} -p 18080:80 $I sleep 100 >/dev/null; docker stop $N >/dev/null; docker port $N; docker inspect -f '{{json .NetworkSettings.Ports}}' $N`,
  ],
  [
    'port-after-restart',
    `${RUN} -p 18080:80 $I sleep 100 >/dev/null; docker restart -t 0 $N >/dev/null; docker port $N`,
  ],

  ['hosts', CREATE, `${R} --network $N --hostname h $I ${HOSTS}`],
  ['hosts-ipv6', SIX, `${R} --network $N --hostname h $I ${HOSTS}`],
  ['hosts-domainname', CREATE, `${R} --network $N --hostname h --domainname d.example $I ${HOSTS}`],
  ['hosts-fqdn', CREATE, `${R} --network $N --hostname h.d.example $I ${HOSTS}`],
  ['hosts-none', `${R} --network none --hostname h $I ${HOSTS}`],
  [
    'hosts-add',
    `${R} --network none --hostname h --add-host a:1.2.3.4 --add-host b=fd00::1 --add-host 'c:[fd00::2]' $I ${HOSTS}`,
  ],
  [
    'hosts-gateway',
    CREATE,
    `${R} --network $N --hostname h --add-host up:host-gateway $I sh -c "grep up /etc/hosts | tr -d '0-9'"`,
  ],
  ['hosts-bad', `${R} --add-host a $I true`],
  ['hosts-bad-address', `${R} --add-host a:1.2.3.400 $I true`],
  [
    'hosts-two-networks',
    `${CREATE}; docker network create --subnet 10.231.8.0/24 $N-2`,
    `${R} --network $N --network $N-2 --hostname h $I ${HOSTS} | sort`,
  ],
  [
    'hosts-connect',
    `${CREATE}; docker network create --subnet 10.231.8.0/24 $N-2; ${RUN} --hostname h --network $N $I sleep 100`,
    `docker network connect $N-2 $N; docker exec $N ${HOSTS}; docker network disconnect $N-2 $N; docker exec $N tail -1 /etc/hosts`,
  ],
  ['hostname-invalid', `${R} --network none --hostname 'bad host' $I true`],
  ['hostname-too-long', `${R} --network none --hostname $(printf 'a%.0s' $(seq 70)) $I true`],
  ['hostname-on-host', `${R} --network host --hostname h $I hostname`],
  ['hostname-and-uts', `${R} --uts host --hostname h $I hostname`],
  [
    'resolv-user-defined',
    CREATE,
    `${R} --network $N --dns 192.0.2.1 --dns-search example.org --dns-option ndots:3 $I grep -v '^#' /etc/resolv.conf`,
  ],
  [
    'resolv-bridge',
    `${R} --dns 192.0.2.1 --dns 192.0.2.2 --dns-search a.example --dns-search b.example --dns-option timeout:1 $I grep -v '^#' /etc/resolv.conf`,
  ],
  ['resolv-comments', CREATE, `${R} --network $N --dns 192.0.2.1 $I grep '^#' /etc/resolv.conf`],
  ['resolv-bridge-comments', `${R} --dns 192.0.2.1 $I grep '^#' /etc/resolv.conf`],
  ['resolv-none', `${R} --network none --dns 192.0.2.1 $I grep -v '^#' /etc/resolv.conf`],
  ['resolv-no-search', `${R} --dns 192.0.2.1 --dns-search . $I grep -v '^#' /etc/resolv.conf`],
  ['dns-bad', `${R} --dns 1.2.3.400 $I true`],
  ['dns-name', `${R} --dns resolver.example $I true`],
  ['dns-search-bad', `${R} --dns-search 'bad_ domain!' $I true`],
  ['dns-option-odd', `${R} --dns 192.0.2.1 --dns-option odd $I grep options /etc/resolv.conf`],
  [
    'dns-inspect',
    `docker create --name $N --dns 192.0.2.1 --dns-search a --dns-option b --add-host x:1.1.1.1 $I >/dev/null; docker inspect -f '{{json .HostConfig.Dns}} {{json .HostConfig.DnsSearch}} {{json .HostConfig.DnsOptions}} {{json .HostConfig.ExtraHosts}}' $N`,
  ],
  [
    'names-resolve',
    `${CREATE}; ${RUN} --network $N $I sleep 100`,
    'docker run --rm --name $N-2 --network $N $I ping -c 1 -w 3 $N 2>&1 | head -1',
  ],
  ['names-of-nobody', CREATE, `${R} --network $N --dns 192.0.2.1 $I ping -c 1 -w 1 no-such-name.invalid`],

  [
    'link',
    `${RUN} -e FROM=there --expose 80 $I sleep 100`,
    'docker run --rm --name $N-2 --link $N:db $I sh -c \'env | grep ^DB_ | sed -E "s/172[.][0-9.]+/<ip>/; s/=.*-2/=<name>/" | sort; grep -w db /etc/hosts | cut -f2\'',
  ],
  [
    'link-inspect',
    `${RUN} $I sleep 100`,
    "docker create --name $N-2 --link $N:db --link $N $I >/dev/null; docker inspect -f '{{json .HostConfig.Links}}' $N-2",
  ],
  [
    'link-names',
    `${RUN} $I sleep 100`,
    "docker create --name $N-2 --link $N:db $I >/dev/null; docker ps -a --filter name=$N --format '{{.Names}}'",
  ],
  [
    'link-user-defined',
    `${CREATE}; ${RUN} --network $N $I sleep 100`,
    "docker run --rm --name $N-2 --network $N --link $N:db $I sh -c 'ping -c 1 -w 2 db | head -1; env | grep -c ^DB_'",
  ],
  ['link-missing', `${R} --link no-such-container:db $I true`],
  ['link-stopped', 'docker create --name $N $I true', 'docker run --rm --name $N-2 --link $N:db $I true'],
  ['link-bad', `${R} --link a:b:c $I true`],
  ['link-empty', `${R} --link '' $I true`],
  [
    'link-to-host-mode',
    `${RUN} --network host $I sleep 100`,
    'docker run --rm --name $N-2 --link $N:db $I true',
  ],
  ['link-on-host', `${RUN} $I sleep 100`, 'docker run --rm --name $N-2 --network host --link $N:db $I true'],
  [
    'link-other-network',
    `${CREATE}; ${RUN} --network $N $I sleep 100`,
    'docker run --rm --name $N-2 --link $N:db $I true',
  ],
  [
    'link-removed',
    `${RUN} $I sleep 100; docker create --name $N-2 --link $N:db $I`,
    "docker rm --link $N-2/db; docker inspect -f '{{json .HostConfig.Links}}' $N-2",
  ],
])
