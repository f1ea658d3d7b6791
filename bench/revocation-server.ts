import { type ChildProcess, spawn } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { Agent as HttpAgent, request as requestHttp } from 'node:http';
import { Agent as HttpsAgent, request as requestHttps } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Certificate, parseCertificate } from '../src/core/x509/certificate.ts';
import { buildCertificateRequest } from '../src/core/x509/certificate-request.ts';
import { decodePem, encodePem } from '../src/core/x509/pem.ts';
import { freePort, stopProgram } from './program.ts';
import { type Seeded, seedCertificates } from './seed-certificates.ts';

/** A control plane over a seeded database, with connections that are kept. */
export type SeededServer = {
  readonly pid: number;
  readonly issuer: Certificate;
  readonly seeded: Seeded;
  admin(method: string, path: string, body?: unknown): Promise<Record<string, unknown>>;
  open(method: string, path: string, body?: Uint8Array): Promise<Buffer>;
  issue(): Promise<Certificate>;
  stop(): Promise<void>;
};

/** Makes a control plane, stops it, fills its database, and starts it again. */
export async function startSeededServer(size: { readonly issued: number; readonly revoked: number }): Promise<SeededServer> {
  const folder = await mkdtemp(join(tmpdir(), 'countersign-bench-'));
  const [adminPort, dataPort, publicPort] = [await freePort(), await freePort(), await freePort()];
  const config = join(folder, 'countersign.yaml');
  const listen = `listen:\n  admin: 127.0.0.1:${adminPort}\n  dataPlane: 127.0.0.1:${dataPort}\n  public: 127.0.0.1:${publicPort}\n`;
  await writeFile(config, `dataDirectory: data\nkeyFile: kek\ntrustDomain: bench.example\nlogLevel: error\n${listen}`);
  const openUrl = `http://127.0.0.1:${publicPort}`;
  await stopProgram(await start(config, openUrl));
  // The second start makes another token; this one is worth nothing then.
  const tokenFile = join(folder, 'data/bootstrap.token');
  await rm(tokenFile);
  const seeded = seedCertificates(join(folder, 'data/countersign.sqlite'), size);
  const child = await start(config, openUrl);
  const agent = new HttpAgent({ keepAlive: true });
  const open: SeededServer['open'] = (method, path, body) =>
    exchange(requestHttp, `${openUrl}${path}`, { method, agent, body, type: OCSP_TYPE });
  // The bench measures time, not trust: it started this server itself a moment ago.
  const secure = new HttpsAgent({ keepAlive: true, rejectUnauthorized: false });
  let token = '';
  const admin: SeededServer['admin'] = async (method, path, body) => {
    const payload = body === undefined ? undefined : Buffer.from(JSON.stringify(body));
    const options = { method, agent: secure, body: payload, type: 'application/json', token };
    return JSON.parse((await exchange(requestHttps, `https://127.0.0.1:${adminPort}${path}`, options)).toString()) as Record<
      string,
      unknown
    >;
  };
  while (!existsSync(tokenFile) && child.exitCode === null) await new Promise((resolve) => setTimeout(resolve, 20));
  const bootstrap = (await readFile(tokenFile, 'utf8')).trim();
  token = String((await admin('POST', '/v1/bootstrap-exchange', { token: bootstrap, name: 'bench' }))['token']);
  const { items } = (await admin('GET', '/v1/authorities')) as unknown as {
    readonly items: readonly { readonly kind: string; readonly pem: string }[];
  };
  const issuer = parseCertificate(decodePem(items.find(({ kind }) => kind === 'issuing')!.pem, 'CERTIFICATE')[0]!);
  const csr = encodePem('CERTIFICATE REQUEST', buildCertificateRequest({}, generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey));
  const order = { csr, profile: 'server', environment: 'production', dnsNames: ['really.bench.example'] };
  return {
    pid: child.pid!,
    issuer,
    seeded,
    admin,
    open,
    issue: async () => parseCertificate(decodePem(String((await admin('POST', '/v1/certificates', order))['pem']), 'CERTIFICATE')[0]!),
    async stop() {
      agent.destroy();
      secure.destroy();
      await stopProgram(child);
      await rm(folder, { recursive: true, force: true });
    },
  };
}

type Exchange = {
  readonly method: string;
  readonly agent: HttpAgent;
  readonly body: Uint8Array | undefined;
  readonly type: string;
  readonly token?: string;
};

function exchange(request: typeof requestHttp, url: string, { method, agent, body, type, token = '' }: Exchange): Promise<Buffer> {
  const { promise, resolve, reject } = Promise.withResolvers<Buffer>();
  const headers = {
    ...(body === undefined ? {} : { 'content-type': type, 'content-length': body.length }),
    ...(token === '' ? {} : { authorization: `Bearer ${token}` }),
  };
  const outgoing = request(url, { method, agent, headers, timeout: TIMEOUT_MS }, (response) => {
    const chunks: Buffer[] = [];
    response.on('data', (chunk: Buffer) => chunks.push(chunk));
    response.on('error', reject);
    response.on('end', () => {
      const content = Buffer.concat(chunks);
      if ((response.statusCode ?? 500) < 300) resolve(content);
      else reject(new Error(`${method} ${url}: ${response.statusCode} ${content.toString().slice(0, 300)}`));
    });
  });
  outgoing.on('timeout', () => outgoing.destroy(new Error(`${url}: no answer in ${TIMEOUT_MS} ms`)));
  outgoing.on('error', reject);
  outgoing.end(body);
  return promise;
}

async function start(config: string, openUrl: string): Promise<ChildProcess> {
  const main = join(import.meta.dirname, '../src/cli/main.ts');
  const args = ['--disable-warning=ExperimentalWarning', main, 'server', '--config', config];
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'ignore', 'inherit'] });
  const deadline = performance.now() + TIMEOUT_MS;
  const agent = new HttpAgent();
  while (performance.now() < deadline && child.exitCode === null) {
    try {
      await exchange(requestHttp, `${openUrl}/log/checkpoint`, { method: 'GET', agent, body: undefined, type: '' });
      return child;
    } catch {
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }
  child.kill('SIGKILL');
  throw new Error('the control plane did not answer');
}

const OCSP_TYPE = 'application/ocsp-request';
const TIMEOUT_MS = 60_000;
