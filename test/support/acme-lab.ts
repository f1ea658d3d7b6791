import { createServer, type Server } from 'node:http';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { issueControlPlaneCertificate } from '../../src/control/ca/issue-control-plane-certificate.ts';
import type { ProfileBook } from '../../src/control/policies/declared-profiles.ts';
import { encodePem } from '../../src/core/x509/pem.ts';
import { ManualClock } from '../../src/platform/clock/clock.ts';
import { makeSignal } from '../../src/platform/clock/signal.ts';
import type { AcmeConfig } from '../../src/platform/config/acme-config.ts';
import { parseServerConfig } from '../../src/platform/config/server-config.ts';
import { createMetrics } from '../../src/platform/telemetry/metrics.ts';
import { ensureAcmeSecrets } from '../../src/protocols/acme/acme-secrets.ts';
import { serveAcme } from '../../src/server/serve-acme.ts';
import { openTestAuthorities, place } from './authorities.ts';

export type AcmeLab = AsyncDisposable & Awaited<ReturnType<typeof openAcmeLab>>;
export type LabOptions = {
  readonly acme?: Partial<Omit<AcmeConfig, 'validation'>> & { readonly validation?: Partial<AcmeConfig['validation']> };
  readonly clock?: ManualClock;
  readonly profiles?: ProfileBook;
  readonly reopen?: Parameters<typeof openTestAuthorities>[2];
};

/**
 * The real listener of ACME over a real CA and database, and the web server of the names under test: http-01 is asked of `*.localhost`
 * at the port that this one has, which is the only place that the policy opens.
 */
export async function openAcmeLab(url: string, options: LabOptions = {}) {
  const stack = new AsyncDisposableStack();
  const clock = options.clock ?? new ManualClock(Date.now());
  const ca = stack.use(await openTestAuthorities(url, clock.now(), { crlBaseUrl: null, ...options.reopen }));
  const directory = await mkdtemp(join(tmpdir(), 'countersign-acme-'));
  stack.defer(() => rm(directory, { recursive: true, force: true }));
  const rootFile = join(directory, 'root.pem');
  await writeFile(rootFile, ca.authorities.roots.map(({ der }) => encodePem('CERTIFICATE', der)).join(''));
  const answers = new Map<string, string>();
  const asked: string[] = [];
  const webroot = join(directory, 'webroot');
  const challengeFolder = join(webroot, '.well-known/acme-challenge');
  await mkdir(challengeFolder, { recursive: true });
  const web = await startWeb(answers, asked, webroot);
  stack.defer(() => void (web.closeAllConnections(), web.close()));
  const webPort = (web.address() as AddressInfo).port;
  const config = parseServerConfig(
    ['dataDirectory: d', 'keyFile: k', 'trustDomain: acme.example', 'listen: {acme: "127.0.0.1:0"}'].join('\n'),
    directory,
  );
  const { validation, ...changes } = options.acme ?? {};
  const acme: AcmeConfig = {
    ...config.acme!,
    ...changes,
    validation: { ...config.acme!.validation, allow: [`127.0.0.0/8:${webPort}`], httpPort: webPort, ...validation },
  };
  const names = { dns: ['localhost'], ip: ['127.0.0.1'] };
  const { certificate, privateKey } = await issueControlPlaneCertificate(ca, { ...place, names }, clock.now());
  const logged: { readonly level: string; readonly event: string; readonly fields: { readonly [name: string]: unknown } }[] = [];
  const secrets = await ensureAcmeSecrets(ca, place, clock.now());
  const server = stack.use(
    await serveAcme({
      config,
      acme,
      state: { database: ca.database, kek: ca.kek, verifier: null as never, [Symbol.asyncDispose]: async () => {} },
      authorities: options.profiles === undefined ? ca.authorities : { ...ca.authorities, profiles: options.profiles },
      secrets,
      credentials: { chain: certificate.chain, key: privateKey },
      ownListeners: () => [],
      signals: { authorities: ca.changed } as never,
      clock,
      log: (level, event, fields = {}) => void logged.push({ level, event, fields }),
      metrics: createMetrics(),
    }),
  );
  return {
    ca,
    clock,
    secrets,
    directory,
    rootFile,
    port: server.port,
    base: `https://127.0.0.1:${server.port}`,
    directoryUrl: `https://127.0.0.1:${server.port}/acme/directory`,
    webPort,
    /** Where other programs lay their http-01 answers. */
    challengeFolder,
    /** What the web server answers, by path; what it was asked. */
    answers,
    asked,
    logged,
    signal: makeSignal(),
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}

/** Serves what the map says, else the files of the folder. Answers of the form `→ URL` are redirects; `status NNN` is a status alone. */
async function startWeb(answers: ReadonlyMap<string, string>, asked: string[], webroot: string): Promise<Server> {
  const server = createServer((request, response) => {
    asked.push(`${request.headers.host} ${request.url}`);
    const file = join(webroot, new URL(request.url ?? '', 'http://x').pathname);
    const text = answers.get(request.url ?? '') ?? (existsSync(file) ? readFileSync(file, 'utf8') : undefined);
    if (text === undefined) return void response.writeHead(404).end('not here');
    if (text.startsWith('→ ')) return void response.writeHead(302, { location: text.slice(2) }).end();
    if (text.startsWith('status ')) return void response.writeHead(Number(text.slice(7))).end();
    response.end(text);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return server;
}
