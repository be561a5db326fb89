/** Volumes and mounts in all their forms. */
import { area } from '../scenario.ts'

const C = 'docker create --network none --name $N'
const R = 'docker run --rm --network none --name $N'
const V = 'docker volume create $N >/dev/null'
const show = (template: string) => `docker volume inspect -f '${template}' $N`
const MOUNTS =
  "docker inspect -f '{{range .Mounts}}{{.Type}} {{.Destination}} {{.Driver}} {{.Mode}} {{.RW}} {{.Propagation}}{{println}}{{end}}' $N"
const HOST_MOUNTS = "docker inspect -f '{{json .HostConfig.Mounts}} {{json .HostConfig.Binds}}' $N"

export default area('volumes', [
  [
    'create',
    `docker volume create $N; ${show('{{.Name}} {{.Driver}} {{.Scope}} {{json .Labels}} {{json .Options}}')}`,
  ],
  [
    'create-anonymous',
    'v=$(docker volume create); docker volume inspect -f "{{json .Labels}}" $v; docker volume rm $v',
  ],
  ['create-twice', V, 'docker volume create $N'],
  ['create-twice-other-driver', V, 'docker volume create -d no-such-driver $N'],
  ['create-labels', `docker volume create --label a=b --label c $N >/dev/null; ${show('{{json .Labels}}')}`],
  ['create-name-bad', "docker volume create 'bad name'"],
  ['create-name-short', 'docker volume create a'],
  ['create-name-slash', 'docker volume create a/b'],
  ['create-driver-unknown', 'docker volume create -d no-such-driver $N'],
  ['create-option-unknown', 'docker volume create -o odd=1 $N'],
  ['create-option-device-alone', 'docker volume create -o device=/tmp $N'],
  ['create-option-type-alone', 'docker volume create -o type=tmpfs $N'],
  ['create-option-o-alone', 'docker volume create -o o=bind $N'],
  [
    'create-tmpfs',
    `docker volume create -o type=tmpfs -o device=tmpfs -o o=size=2m,uid=33 $N >/dev/null; ${show('{{json .Options}}')}; ${R} -v $N:/v $I sh -c "stat -c %u /v; grep ' /v ' /proc/mounts | cut -d' ' -f1-3"`,
  ],
  [
    'create-bind',
    `docker volume create -o type=none -o device=/usr/bin -o o=bind $N >/dev/null; ${R} -v $N:/v $I sh -c 'test -e /v/env && echo there'`,
  ],
  [
    'create-bind-missing',
    `docker volume create -o type=none -o device=/no/such/folder -o o=bind $N >/dev/null; ${R} -v $N:/v $I true 2>&1 | sed -E 's#(while mounting volume).*_data#\\1 <data#'`,
  ],
  ['create-twice-other-options', V, 'docker volume create -o type=tmpfs -o device=tmpfs $N'],
  ['create-too-many', 'docker volume create $N $N-2'],
  ['list', V, "docker volume ls --filter name=$N --format '{{.Driver}} {{.Name}} {{.Scope}}'"],
  ['list-table', V, 'docker volume ls --filter name=$N'],
  ['list-quiet', V, 'docker volume ls -q --filter name=$N'],
  [
    'list-filter-label',
    'docker volume create --label $N=yes $N',
    'docker volume ls -q --filter label=$N; docker volume ls -q --filter label=$N=no',
  ],
  [
    'list-filter-driver',
    V,
    'docker volume ls -q --filter driver=local --filter name=$N; docker volume ls -q --filter driver=odd --filter name=$N',
  ],
  [
    'list-filter-dangling',
    `${V}; docker volume create $N-2; ${C} -v $N:/v $I`,
    'docker volume ls -q --filter dangling=true --filter name=$N; docker volume ls -q --filter dangling=false --filter name=$N',
  ],
  ['list-filter-dangling-bad', 'docker volume ls --filter dangling=odd'],
  ['list-filter-unknown', 'docker volume ls --filter odd=1'],
  ['inspect-raw-keys', V, 'docker volume inspect $N | grep -o \'^        "[A-Za-z]*"\''],
  ['inspect-missing', V, "docker volume inspect -f '{{.Name}}' $N no-such-volume"],
  ['remove', V, 'docker volume rm $N; docker volume rm $N'],
  ['remove-forced-missing', 'docker volume rm -f no-such-volume'],
  ['remove-in-use', `${V}; ${C} -v $N:/v $I`, 'docker volume rm $N 2>&1'],
  ['remove-in-use-forced', `${V}; ${C} -v $N:/v $I`, 'docker volume rm -f $N 2>&1'],
  ['remove-several', V, 'docker volume rm no-such-volume $N'],
  ['prune-filter', 'docker volume create --label $N=yes $N', 'docker volume prune -f -a --filter label=$N'],
  [
    'prune-named-stays',
    'docker volume create --label $N=yes $N',
    'docker volume prune -f --filter label=$N; docker volume ls -q --filter name=$N',
  ],
  ['prune-filter-bad', 'docker volume prune -f --filter label=$N --filter odd=1'],
  ['prune-until', 'docker volume prune -f --filter label=$N --filter until=1h'],
  ['update-local', V, 'docker volume update $N'],

  [
    'volume-content-kept',
    `${V}; docker run --rm --network none --name $N -v $N:/v $I sh -c 'echo kept > /v/f'`,
    `${R} -v $N:/v $I cat /v/f`,
  ],
  [
    'volume-copies-image',
    V,
    `${R} -v $N:/etc $I sh -c 'test -s /etc/passwd && stat -c "%u:%g %a" /etc/passwd'`,
  ],
  ['volume-nocopy', V, `${R} -v $N:/etc:nocopy $I ls /etc`],
  ['volume-nocopy-mount', V, `${R} --mount type=volume,source=$N,target=/etc,volume-nocopy $I ls /etc`],
  ['volume-read-only', V, `${R} -v $N:/v:ro $I touch /v/f`],
  [
    'volume-anonymous',
    `docker run -d --network none --name $N -v /v $I true >/dev/null; docker inspect -f '{{range .Mounts}}{{.Type}} {{len .Name}} {{.Destination}} {{.RW}}{{end}}' $N`,
  ],
  [
    'volume-anonymous-removed',
    "docker run -d --network none --name $N -v /v $I true >/dev/null; v=$(docker inspect -f '{{range .Mounts}}{{.Name}}{{end}}' $N); docker rm -f -v $N; docker volume inspect $v 2>&1 | tail -1",
  ],
  ['volume-named-stays', `${V}; ${C} -v $N:/v $I`, 'docker rm -v $N; docker volume ls -q --filter name=$N'],
  ['volume-created-by-run', `${R} -v $N:/v $I true; ${show('{{.Name}} {{json .Labels}} {{json .Options}}')}`],
  ['volume-driver', `${C} --volume-driver local -v $N:/v $I >/dev/null; ${MOUNTS}`],
  ['volume-mode-bad', `${C} -v $N:/v:odd $I`],
  ['volume-mode-conflict', `${C} -v $N:/v:ro,rw $I`],
  ['volume-too-many-parts', `${C} -v a:b:c:d $I`],
  ['volume-root', `${C} -v $N:/ $I`],
  ['volume-empty', `${C} -v '' $I`],
  ['volume-relative-target', `${C} -v $N:v $I`],
  ['volume-z', `${C} -v $N:/v:z -v /tmp:/h:Z,ro $I >/dev/null; ${MOUNTS} | sort`],
  ['volume-propagation', `${C} -v /tmp:/h:rslave $I >/dev/null; ${MOUNTS}`],
  ['volume-propagation-named', `${C} -v $N:/h:rslave $I`],
  [
    'bind-mount-form',
    `${C} --mount type=bind,source=/tmp,target=/h,readonly,bind-propagation=rslave $I >/dev/null; ${MOUNTS}; ${HOST_MOUNTS}`,
  ],
  ['bind-propagation-bad', `${C} --mount type=bind,source=/tmp,target=/h,bind-propagation=odd $I`],
  [
    'bind-recursive',
    `${C} --mount type=bind,source=/tmp,target=/h,bind-recursive=disabled $I >/dev/null; ${HOST_MOUNTS}`,
  ],
  ['bind-recursive-bad', `${C} --mount type=bind,source=/tmp,target=/h,bind-recursive=odd $I`],
  ['bind-recursive-read-only', `${C} --mount type=bind,source=/tmp,target=/h,bind-recursive=readonly $I`],
  ['mount-no-target', `${C} --mount type=volume,source=$N $I`],
  ['mount-no-source', `${C} --mount type=bind,target=/h $I`],
  ['mount-relative-source', `${C} --mount type=bind,source=tmp/odd,target=/h $I`],
  ['mount-unknown-key', `${C} --mount type=volume,odd=1,target=/v $I`],
  ['mount-malformed', `${C} --mount type $I`],
  ['mount-volume-option-on-bind', `${C} --mount type=bind,source=/tmp,target=/h,volume-nocopy $I`],
  ['mount-bind-option-on-volume', `${C} --mount type=volume,source=$N,target=/h,bind-propagation=rslave $I`],
  ['mount-tmpfs-option-on-volume', `${C} --mount type=volume,source=$N,target=/h,tmpfs-size=1m $I`],
  [
    'mount-tmpfs',
    `${R} --mount type=tmpfs,target=/t,tmpfs-size=2m,tmpfs-mode=1750 $I sh -c "stat -c %a /t; df -k /t | tail -1 | awk '{print \\$2}'"`,
  ],
  ['mount-tmpfs-source', `${C} --mount type=tmpfs,source=x,target=/t $I`],
  ['mount-tmpfs-size-bad', `${C} --mount type=tmpfs,target=/t,tmpfs-size=odd $I`],
  ['mount-tmpfs-mode-bad', `${C} --mount type=tmpfs,target=/t,tmpfs-mode=9 $I`],
  ['mount-readonly-bad', `${C} --mount type=volume,source=$N,target=/v,readonly=odd $I`],
  [
    'mount-volume-labels',
    `${C} --mount type=volume,source=$N,target=/v,volume-label=a=b $I >/dev/null; ${show('{{json .Labels}}')}; ${HOST_MOUNTS}`,
  ],
  [
    'mount-volume-options',
    `${R} --mount 'type=volume,source=$N,target=/v,volume-driver=local,volume-opt=type=tmpfs,volume-opt=device=tmpfs,"volume-opt=o=size=1m,mode=700"' $I true; ${show('{{json .Options}}')}`.replace(
      'source=$N,target=/v,volume-driver',
      "source='$N',target=/v,volume-driver",
    ),
  ],
  [
    'mount-subpath',
    `${V}; docker run --rm --network none --name $N -v $N:/v $I sh -c 'mkdir /v/sub; echo deep > /v/sub/f'`,
    `${R} --mount type=volume,source=$N,target=/s,volume-subpath=sub $I cat /s/f`,
  ],
  ['mount-subpath-missing', V, `${R} --mount type=volume,source=$N,target=/s,volume-subpath=nope $I true`],
  ['mount-subpath-escape', V, `${R} --mount type=volume,source=$N,target=/s,volume-subpath=../x $I true`],
  ['mount-subpath-absolute', V, `${C} --mount type=volume,source=$N,target=/s,volume-subpath=/x $I`],
  [
    'mount-image',
    `${R} --mount type=image,source=$I,target=/img $I sh -c 'test -s /img/etc/passwd && echo there; touch /img/f'`,
  ],
  ['mount-image-no-source', `${C} --mount type=image,target=/img $I`],
  [
    'mount-image-subpath',
    `${R} --mount type=image,source=$I,target=/img,image-subpath=etc $I sh -c 'test -s /img/passwd && echo there'`,
  ],
  ['mount-npipe', `${C} --mount type=npipe,source=x,target=/t $I`],
  ['mount-cluster', `${C} --mount type=cluster,source=x,target=/t $I`],
  ['mount-duplicates', `${C} --mount type=tmpfs,target=/t --mount type=tmpfs,target=/t $I`],
  ['mount-and-volume-duplicates', `${C} -v $N:/t --mount type=tmpfs,target=/t $I`],
  ['tmpfs-and-volume-duplicates', `${C} -v $N:/t --tmpfs /t $I`],
  ['mount-default-type', `${C} --mount source=$N,target=/v $I >/dev/null; ${MOUNTS}`],
  [
    'volumes-from',
    `docker volume create $N; ${C} -v $N:/v $I`,
    `docker create --network none --name $N-2 --volumes-from $N:ro $I >/dev/null; docker inspect -f '{{range .Mounts}}{{.Type}} {{.Destination}} {{.RW}}{{end}} {{json .HostConfig.VolumesFrom}}' $N-2`,
  ],
  ['volumes-from-missing', `${C} --volumes-from no-such-container $I`],
  ['volumes-from-mode-bad', `${C} $I`, 'docker create --network none --name $N-2 --volumes-from $N:odd $I'],
  ['volumes-from-empty', `${C} --volumes-from '' $I`],
  [
    'volumes-from-tar',
    `docker run --network none --name $N -v $N:/v $I sh -c 'echo saved > /v/f'`,
    'docker run --rm --network none --name $N-2 --volumes-from $N $I tar -c -C / v | tar -t',
  ],
  [
    'mounts-order',
    `${C} -v $N:/b/c -v /tmp:/b --tmpfs /a $I >/dev/null; docker inspect -f '{{range .Mounts}}{{.Destination}} {{end}}' $N | tr ' ' '\\n' | sort`,
  ],
  ['mounts-nested', `${R} -v $N:/b/c -v $N-2:/b $I sh -c 'touch /b/c/f && ls /b'`],
  [
    'events',
    'since=$(date +%s); docker volume create $N >/dev/null; docker run --rm --network none --name $N -v $N:/v $I true; docker volume rm $N >/dev/null; docker events --since $since --until $(($(date +%s)+1)) --filter type=volume --filter volume=$N --format \'{{.Action}} {{.Actor.Attributes.driver}} {{.Actor.Attributes.destination}} {{.Actor.Attributes.propagation}} {{index .Actor.Attributes "read/write"}}\'',
  ],
])
