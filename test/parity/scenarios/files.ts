/** Files in and out: cp, diff, export, commit. */
import { area } from '../scenario.ts'

const FILES =
  "docker run --network none --name $N $I sh -c 'mkdir /d; echo one > /d/one; echo two > /d/two; ln -s one /d/link; chmod 640 /d/two; chown 33 /d/two'"
const START = 'docker run -d --network none --name $N $I sleep 100 >/dev/null'

export default area('files', [
  ['copy-file-out', FILES, 'docker cp $N:/d/one .; cat one'],
  ['copy-file-out-renamed', FILES, 'docker cp $N:/d/one other; cat other'],
  ['copy-folder-out', FILES, "docker cp $N:/d out; ls -l out | awk '{print $1, $NF}'"],
  ['copy-folder-content-out', FILES, 'mkdir out; docker cp $N:/d/. out; ls out'],
  ['copy-link-out', FILES, 'docker cp $N:/d/link .; readlink link'],
  ['copy-link-followed', FILES, 'docker cp -L $N:/d/link .; cat link'],
  ['copy-to-stdout', FILES, 'docker cp $N:/d - | tar -t | sort'],
  ['copy-missing-out', FILES, 'docker cp $N:/d/nothing .'],
  ['copy-out-of-missing', 'docker cp $N:/d .'],
  [
    'copy-file-in',
    START,
    "echo new > file; docker cp file $N:/tmp/; docker exec $N cat /tmp/file; docker exec $N stat -c '%u:%g %a' /tmp/file",
  ],
  [
    'copy-file-in-renamed',
    START,
    'echo new > file; docker cp file $N:/tmp/other; docker exec $N cat /tmp/other',
  ],
  [
    'copy-folder-in',
    START,
    'mkdir -p a/b; echo x > a/b/c; docker cp a $N:/tmp; docker exec $N find /tmp/a | sort',
  ],
  [
    'copy-folder-content-in',
    START,
    'mkdir -p a/b; echo x > a/b/c; docker cp a/. $N:/tmp/new; docker exec $N find /tmp/new | sort',
  ],
  ['copy-from-stdin', START, 'echo x > f; tar -c f | docker cp - $N:/tmp; docker exec $N cat /tmp/f'],
  [
    'copy-into-created',
    'docker create --network none --name $N $I cat /tmp/f',
    'echo created > f; docker cp f $N:/tmp/; docker start -a $N',
  ],
  ['copy-into-missing-folder', START, 'echo x > f; docker cp f $N:/no/such/folder/ 2>&1 | tail -1'],
  ['copy-folder-over-file', START, 'mkdir a; docker cp a $N:/etc/passwd 2>&1 | tail -1'],
  ['copy-missing-in', START, 'docker cp nothing $N:/tmp'],
  ['copy-into-missing', 'echo x > f; docker cp f $N:/tmp'],
  [
    'copy-into-read-only',
    'docker create --network none --read-only --name $N $I',
    'echo x > f; docker cp f $N:/tmp',
  ],
  [
    'copy-with-owner',
    START,
    'echo x > f; chown 33:33 f; docker cp -a f $N:/tmp/; docker exec $N stat -c %u:%g /tmp/f',
  ],
  ['copy-between', `${FILES}; docker create --name $N-2 $I`, 'docker cp $N:/d/one $N-2:/'],
  ['diff', FILES, 'docker diff $N | sort'],
  [
    'diff-removed',
    "docker run --network none --name $N $I sh -c 'rm /etc/group; echo x >> /etc/passwd; mkdir -p /a/b'",
    'docker diff $N | sort',
  ],
  ['diff-nothing', 'docker create --network none --name $N $I', 'docker diff $N'],
  ['diff-missing', 'docker diff $N'],
  ['export', FILES, "docker export $N | tar -t | grep -E '^d/|^.dockerenv|^etc/' | sort"],
  ['export-to-file', FILES, 'docker export -o fs.tar $N; tar -xf fs.tar -O d/one'],
  ['export-missing', 'docker export $N'],
  [
    'commit',
    FILES,
    'docker commit -a me -m note $N parity/made:1 | wc -c; docker run --rm --network none --name $N-2 parity/made:1 cat /d/one',
  ],
  [
    'commit-config',
    FILES,
    "docker commit -a me -m note $N parity/made:1 >/dev/null; docker image inspect -f '{{json .Config.Cmd}} {{.Author}} {{.Comment}}' parity/made:1",
  ],
  [
    'commit-changes',
    FILES,
    "docker commit -c 'CMD [\"a\",\"b\"]' -c 'ENV X=y' -c 'EXPOSE 80' -c 'USER 33' -c 'WORKDIR /d' -c 'LABEL k=v' -c 'ENTRYPOINT [\"e\"]' -c 'VOLUME /v' $N parity/made:1 >/dev/null; docker image inspect -f '{{json .Config}}' parity/made:1",
  ],
  ['commit-bad-change', FILES, "docker commit -c 'NOTHING x' $N parity/made:1"],
  ['commit-invalid-name', FILES, 'docker commit $N parity/UPPER'],
  ['commit-missing', 'docker commit $N parity/made:1'],
  [
    'commit-history',
    FILES,
    "docker commit -m note $N parity/made:1 >/dev/null; docker history --format '{{.CreatedBy}}|{{.Comment}}' parity/made:1",
  ],
])
