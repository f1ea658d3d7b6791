import assert from 'node:assert/strict';
import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer, request as requestHttp } from 'node:http';
import { once } from 'node:events';
import { type AddressInfo, connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { randomBytes } from 'node:crypto';
import { text } from 'node:stream/consumers';
import { after, test } from 'node:test';
import { connect as connectTls } from 'node:tls';
import { create } from '@bufbuild/protobuf';
import { forEachDatabase } from '../../test/support/databases.ts';
import { connectClient, ServerRefusal } from '../cli/client.ts';
import { readCheckpoint, readConsistencyProof } from '../control/audit/read-log.ts';
import { type JoinToken, parseJoinToken } from '../core/identity/join-token.ts';
import { EnrollmentService, RenewRequestSchema } from '../core/messages/generated/countersign/v1/enrollment_pb.ts';
import { openCheckpoint } from '../core/merkle/checkpoint.ts';
import { verifyConsistency } from '../core/merkle/proof.ts';
import { parseVerifier } from '../core/merkle/signed-note.ts';
import { Secret } from '../core/secrets/secret.ts';
import { buildCertificateRequest } from '../core/x509/certificate-request.ts';
import { joinControlPlane } from '../dataplane/link/join-control-plane.ts';
import { openRpcConnection } from '../dataplane/link/rpc-connection.ts';
import { systemClock } from '../platform/clock/clock.ts';
import { parseServerConfig, type ServerConfig } from '../platform/config/server-config.ts';
import { makePrivateKey } from '../platform/keystore/make-private-key.ts';
import { openStateDirectory } from '../platform/keystore/state-directory.ts';
import { openDatabase } from '../platform/db/open-database.ts';
import type { Log } from '../platform/log/logger.ts';
import type { HostPort } from '../platform/network/host-port.ts';
import { type RunningServer, startServer } from '../server.ts';

const scratch = mkdtempSync(join(tmpdir(), 'countersign-server-'));
after(() => rmSync(scratch, { recursive: true, force: true }));
const quiet: Log = () => undefined;

/** A control plane's folder and configuration; it may be started again and again. */
async function place(newUrl: () => Promise<string>, changes: readonly string[] = []) {
  const folder = mkdtempSync(join(scratch, 's-'));
  const database = await newUrl();
  const lines = ['dataDirectory: data', 'keyFile: kek', 'trustDomain: acme.example', `database: ${database}`];
  const listen = 'listen: {admin: "127.0.0.1:0", dataPlane: "127.0.0.1:0", public: "127.0.0.1:0"}';
  const own = changes.some((line) => line.startsWith('listen:')) ? [] : [listen];
  const config = parseServerConfig([...lines, ...own, ...changes].join('\n'), folder);
  return {
    folder,
    database,
    config,
    start: (over: Partial<ServerConfig> = {}) => startServer({ config: { ...config, ...over }, clock: systemClock, log: quiet }),
  };
}

type Place = Awaited<ReturnType<typeof place>>;

const rootOf = ({ folder }: Place): string => readFileSync(join(folder, 'data/root.pem'), 'utf8');
const bootstrapOf = ({ bootstrapFile }: RunningServer): string => readFileSync(bootstrapFile!, 'utf8').trim();

function clientOf(at: Place, { addresses }: RunningServer, token: string | null = null) {
  const server = new URL(`https://127.0.0.1:${addresses.admin.port}`);
  return connectClient({ server, rootPem: rootOf(at), token: token === null ? null : new Secret(token) });
}

async function exchange(at: Place, server: RunningServer): Promise<string> {
  const body = { token: bootstrapOf(server), name: 'ada' };
  return (await clientOf(at, server).post<{ readonly token: string }>('/v1/bootstrap-exchange', body)).token;
}

/** What lies in the folder, but for the files that SQLite makes and removes while it is open. */
function filesIn({ folder }: Place): readonly string[] {
  const names = readdirSync(folder, { recursive: true }).map(String);
  return names.filter((name) => !/-(wal|shm)$/.test(name)).toSorted();
}

/** The newest checkpoint as it lies in the database of a server that is down. */
async function noteAtRest({ database }: Place): Promise<string> {
  await using open = await openDatabase({ url: database });
  return (await readCheckpoint(open.queries))!.note;
}

type Answer = { readonly status: number; readonly type: string; readonly body: string };

async function ask(
  { host, port }: HostPort,
  path: string,
  method = 'GET',
  headers: { readonly [name: string]: string } = {},
): Promise<Answer> {
  const outgoing = requestHttp({ host, port, path, method, headers, agent: false });
  outgoing.end();
  const [response] = (await once(outgoing, 'response')) as [import('node:http').IncomingMessage];
  return { status: response.statusCode!, type: response.headers['content-type'] ?? '', body: await text(response) };
}

/** Sends octets as they are and answers with all that came back. */
async function say({ host, port }: HostPort, octets: string): Promise<string> {
  const socket = connect(port, host);
  socket.on('error', () => undefined);
  socket.end(octets);
  return text(socket);
}

forEachDatabase('startServer()', (newUrl, kind) => {
  test('makes on a first start what it needs, for its owner only', async () => {
    const at = await place(newUrl);
    await using server = await at.start();
    const modeOf = (name: string): number => statSync(join(at.folder, name)).mode & 0o777;
    assert.deepEqual([modeOf('data'), modeOf('kek'), modeOf('data/bootstrap.token')], [0o700, 0o600, 0o600]);
    assert.equal(statSync(join(at.folder, 'kek')).size, 32);
    assert.match(rootOf(at), /^-----BEGIN CERTIFICATE-----/);
    assert.ok([server.addresses.admin, server.addresses.dataPlane, server.addresses.public].every(({ port }) => port > 0));
    const token = await exchange(at, server);
    assert.equal((await clientOf(at, server, token).get<{ role: string }>('/v1/caller')).role, 'admin');
  });

  test('goes on where it was: the same authorities, the same log, the same tokens', async () => {
    const at = await place(newUrl);
    let token: string;
    let before: string;
    let root: string;
    {
      await using server = await at.start();
      token = await exchange(at, server);
      before = (await ask(server.addresses.public, '/log/checkpoint')).body;
      root = rootOf(at);
    }
    await using server = await at.start();
    assert.equal(server.bootstrapFile, null, 'somebody holds an admin token');
    assert.equal(rootOf(at), root);
    assert.equal((await clientOf(at, server, token).get<{ name: string }>('/v1/caller')).name, 'ada');
    const verifier = parseVerifier((await ask(server.addresses.public, '/log/verifier')).body);
    const [first, second] = [before, (await ask(server.addresses.public, '/log/checkpoint')).body].map((note) =>
      openCheckpoint(note, verifier),
    );
    assert.ok(second!.size > first!.size);
    await using open = await openDatabase({ url: at.database });
    assert.equal(verifyConsistency(await readConsistencyProof(open.queries, first!.size, second!.size), first!, second!), true);
  });

  test('offers a new bootstrap token while nobody holds an admin token, and the one before is worth nothing', async () => {
    const at = await place(newUrl);
    let old: string;
    {
      await using server = await at.start();
      old = bootstrapOf(server);
    }
    await using server = await at.start();
    assert.notEqual(bootstrapOf(server), old);
    const late = clientOf(at, server).post('/v1/bootstrap-exchange', { token: old, name: 'late' });
    await assert.rejects(late, (error: unknown) => error instanceof ServerRefusal && error.code === 'token-refused');
    await exchange(at, server);
  });

  test('refuses another key file, and changes nothing', async () => {
    const at = await place(newUrl);
    await (await at.start())[Symbol.asyncDispose]();
    const before = await noteAtRest(at);
    const other = join(at.folder, 'other.kek');
    writeFileSync(other, randomBytes(32), { mode: 0o600 });
    const files = filesIn(at);
    await assert.rejects(at.start({ key: { kind: 'file', path: other } }), { code: 'key-locked' });
    writeFileSync(join(at.folder, 'phrase'), 'a passphrase that is long enough\n', { mode: 0o600 });
    await assert.rejects(at.start({ key: { kind: 'passphrase-file', path: join(at.folder, 'phrase') } }), { code: 'key-locked' });
    rmSync(join(at.folder, 'phrase'));
    assert.equal(await noteAtRest(at), before);
    assert.deepEqual(filesIn(at), files);
    await using _server = await at.start();
  });

  test('makes no new key file in the place of one that is lost', async () => {
    const at = await place(newUrl);
    await (await at.start())[Symbol.asyncDispose]();
    const before = await noteAtRest(at);
    const key = readFileSync(join(at.folder, 'kek'));
    rmSync(join(at.folder, 'kek'));
    await assert.rejects(at.start(), { code: 'key-file-unsafe' });
    assert.equal(readdirSync(at.folder).includes('kek'), false);
    assert.equal(await noteAtRest(at), before);
    writeFileSync(join(at.folder, 'kek'), key, { mode: 0o600 });
    await using _server = await at.start();
  });

  test('refuses a key file that others may read, that is cut, or that lies with the data', async () => {
    const at = await place(newUrl);
    const readable = join(at.folder, 'readable');
    writeFileSync(readable, randomBytes(32));
    chmodSync(readable, 0o644);
    const cut = join(at.folder, 'cut');
    writeFileSync(cut, randomBytes(31), { mode: 0o600 });
    for (const path of [readable, cut, join(at.folder, 'data', 'kek'), join(at.folder, 'none', 'kek')])
      await assert.rejects(at.start({ key: { kind: 'file', path } }), { code: 'key-file-unsafe' }, path);
  });

  test('ends what it had begun when a later part fails, and starts once the fault is gone', async () => {
    const at = await place(newUrl);
    const taken = createServer().listen(0, '127.0.0.1');
    await once(taken, 'listening');
    const { port } = taken.address() as AddressInfo;
    for (const name of ['public', 'dataPlane', 'admin'] as const) {
      const listen = { ...at.config.listen, [name]: { host: '127.0.0.1', port } };
      await assert.rejects(at.start({ listen }), { code: 'EADDRINUSE' }, name);
    }
    taken.close();
    await once(taken, 'close');
    await using _server = await at.start();
  });

  test('wants to be told where the world reaches it before that is written into certificates', async () => {
    const at = await place(newUrl);
    const listen = { ...at.config.listen, public: { host: '0.0.0.0', port: 65_000 } };
    await assert.rejects(at.start({ listen }), { code: 'input-invalid' });
    await using _server = await at.start();
  });

  if (kind === 'postgres') return;

  test('serves in plaintext the checkpoint and its key, and nothing else of the log', async () => {
    const at = await place(newUrl);
    await using server = await at.start();
    const open = server.addresses.public;
    const [checkpoint, verifier] = [await ask(open, '/log/checkpoint'), await ask(open, '/log/verifier')];
    assert.deepEqual([checkpoint.status, checkpoint.type], [200, 'text/plain; charset=utf-8']);
    assert.ok(openCheckpoint(checkpoint.body, parseVerifier(verifier.body)).size > 0);
    const paths = [
      '/',
      '/log',
      '/log/',
      '/log/tile/0/000.p/5',
      '/log/tile/entries/000.p/5',
      '/log//checkpoint',
      '/log/checkpoint/',
      '/LOG/checkpoint',
    ];
    const more = [
      '/log/../v1/caller',
      '/log/%63heckpoint',
      '/v1/caller',
      '/v1/authorities',
      '/metrics',
      '/crl',
      '/crl/',
      '/crl/x.crl',
      '//log/checkpoint',
    ];
    for (const path of [...paths, ...more]) assert.equal((await ask(open, path)).status, 404, path);
    for (const method of ['POST', 'PUT', 'DELETE', 'PATCH', 'OPTIONS'])
      assert.equal((await ask(open, '/log/checkpoint', method)).status, 404, method);
  });

  test('ends requests that are too large, or are none, and goes on', async () => {
    const at = await place(newUrl);
    await using server = await at.start();
    const open = server.addresses.public;
    assert.equal((await ask(open, '/log/checkpoint', 'GET', { 'x-long': 'x'.repeat(10_000) })).status, 431);
    assert.match(await say(open, `GET /${'a'.repeat(20_000)} HTTP/1.1\r\nHost: x\r\n\r\n`), /^HTTP\/1\.1 431 /);
    for (const nonsense of ['\0\0\0\0\r\n\r\n', 'GET\r\n\r\n', '\u0016\u0003\u0001\u0002\u0000\u0001', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'])
      assert.doesNotMatch(await say(open, nonsense), /^HTTP\/1\.1 [25]/);
    assert.equal((await ask(open, '/log/checkpoint')).status, 200);
  });

  test('a proxy that is taken out of the inventory is sent away, and neither its certificate nor its token brings it back', async () => {
    const at = await place(newUrl);
    await using server = await at.start();
    const client = clientOf(at, server, await exchange(at, server));
    const proxy = 'apiVersion: countersign/v1\nkind: Proxy\nname: orders-1\n';
    const service = 'apiVersion: countersign/v1\nkind: Service\nname: orders\nowner: shop\n';
    await client.post('/v1/declarations', { text: `${service}---\n${proxy}service: orders\nrole: sidecar\n` });
    const newToken = async () =>
      parseJoinToken((await client.post<{ readonly token: string }>('/v1/join-tokens', { proxy: 'orders-1' })).token);
    const control = server.addresses.dataPlane;
    const enrol = async (token: JoinToken) =>
      joinControlPlane({ state: await openStateDirectory(mkdtempSync(join(scratch, 'p-'))), control, token, clock: systemClock });
    const [used, unused] = [await newToken(), await newToken()];
    const identity = await enrol(used);
    const connection = await openRpcConnection({
      control,
      certificate: { chain: identity.chain, key: identity.privateKey },
      judge: () => undefined,
    });
    const renew = async () => {
      const csr = buildCertificateRequest({}, await makePrivateKey());
      return connection.call(EnrollmentService.method.renew, create(RenewRequestSchema, { csr }));
    };
    assert.equal((await renew()).chain.length, 2);
    await client.post('/v1/declarations', { text: `${proxy}state: absent\n` });
    await connection.closed;
    for (const token of [used, unused]) await assert.rejects(enrol(token), { code: 'token-refused' });
    const { items } = await client.get<{ readonly items: readonly { readonly leaf: string }[] }>('/v1/audit/entries?type=proxy.retired');
    const { certificates, joinTokens } = JSON.parse(items[0]!.leaf).data;
    assert.deepEqual([items.length, certificates, joinTokens.length], [1, 2, 2]);
  });

  test(
    'its end closes every listener, and waits neither for handshakes that were begun nor for requests that never come',
    { timeout: 60_000 },
    async () => {
      const acme = 'listen: {admin: "127.0.0.1:0", dataPlane: "127.0.0.1:0", public: "127.0.0.1:0", acme: "127.0.0.1:0"}';
      const at = await place(newUrl, [acme]);
      const server = await at.start();
      const { admin, dataPlane, public: open, acme: served } = server.addresses;
      const listeners = [admin, dataPlane, open, served!];
      // The first octets of a ClientHello, and of a request.
      const begun = listeners.map(({ host, port }) => ({ socket: connect(port, host), octets: '' }));
      const begins = [
        ...begun,
        ...listeners.map(({ host, port }) => ({ socket: connect(port, host), octets: '\u0016\u0003\u0001\u0002' })),
      ];
      await Promise.all(begins.map(({ socket }) => once(socket, 'connect')));
      const late = connectTls({ host: admin.host, port: admin.port, ca: rootOf(at), servername: 'localhost', rejectUnauthorized: false });
      await once(late, 'secureConnect');
      late.write('POST /v1/declarations HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\n1');
      let answered = '';
      late.on('data', (octets: Buffer) => (answered += octets.toString()));
      const gone = [late, ...begins.map(({ socket }) => socket)].map(
        (socket) =>
          new Promise((resolve) =>
            socket
              .on('error', () => undefined)
              .resume()
              .on('close', resolve),
          ),
      );
      for (const { socket, octets } of begins) socket.write(octets);
      await server[Symbol.asyncDispose]();
      await Promise.all(gone);
      // Whatever had timed out would have been told so.
      assert.doesNotMatch(answered, / 408 /);
      for (const { host, port } of listeners) {
        const [error] = (await once(connect(port, host), 'error')) as [NodeJS.ErrnoException];
        assert.equal(error.code, 'ECONNREFUSED');
      }
    },
  );
});
