import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { declareExternalAuthority } from '../../src/control/external/declare-authority.ts';
import { LEASE_MS } from '../../src/control/external/held-order.ts';
import { orderCertificate } from '../../src/control/external/order-certificate.ts';
import { listExternalOrders } from '../../src/control/external/order-store.ts';
import { parseTrustDomain } from '../../src/core/identity/trust-domain.ts';
import { buildCertificateRequest, parseCertificateRequest } from '../../src/core/x509/certificate-request.ts';
import { systemClock } from '../../src/platform/clock/clock.ts';
import { makeSignal } from '../../src/platform/clock/signal.ts';
import { parseServerConfig } from '../../src/platform/config/server-config.ts';
import { serveChallenge } from '../../src/protocols/challenges/serve-challenge.ts';
import { openState } from '../../src/server/open-state.ts';
import { openAcmeLab } from '../support/acme-lab.ts';
import { ada, place } from '../support/authorities.ts';
import { newKey } from '../support/external-lab.ts';

export type OrderRoundsReport = {
  readonly kills: number;
  readonly orders: number;
  /** Certificates that the other CA gave. */
  readonly given: number;
  /** What the log has as issued. */
  readonly logged: number;
};

/**
 * Orders certificates at another CA, a Countersign in this process, and kills whoever drives the orders at a random moment, again and again, until a
 * last one may end. @throws when an order did not come to its certificate, or a process died by itself
 */
export async function runOrderRounds({
  folder,
  database,
  otherDatabase,
  kills,
  orders,
  random,
}: {
  readonly folder: string;
  readonly database: string;
  readonly otherDatabase: string;
  readonly kills: number;
  readonly orders: number;
  readonly random: () => number;
}): Promise<OrderRoundsReport> {
  await using stack = new AsyncDisposableStack();
  const text = `dataDirectory: ${join(folder, 'data')}\nkeyFile: ${join(folder, 'kek')}\ntrustDomain: faults.example\ndatabase: ${database}\n`;
  const state = stack.use(await openState({ config: parseServerConfig(text, folder), clock: systemClock }));
  const { queries } = state.database;
  const web = createServer((request, response) => void serveChallenge({ queries }, request, response));
  web.listen(0, '127.0.0.1');
  await once(web, 'listening');
  stack.defer(() => void (web.closeAllConnections(), web.close()));
  const httpPort = (web.address() as AddressInfo).port;
  const other = stack.use(await openAcmeLab(otherDatabase, { acme: { validation: { allow: [`127.0.0.0/8:${httpPort}`], httpPort } } }));
  await placeOrders(state, { directoryUrl: other.directoryUrl, rootsPem: readFileSync(other.rootFile, 'utf8'), orders });
  for (let round = 0; round <= kills; round++) {
    const lifeMs = round === kills ? null : Math.floor(random() * LONGEST_LIFE_MS);
    await driveUntilKilled({ folder, database, aheadMs: round * 2 * LEASE_MS, lifeMs });
  }
  const ended = await listExternalOrders(queries, '*', orders + 1);
  const lost = ended.filter(({ status }) => status !== 'issued').map(({ id, status, detail }) => `${id} ${status} ${detail}`);
  if (ended.length !== orders || lost.length > 0) throw new Error(`orders came to nothing: ${lost.join(', ')}`);
  const theirs = other.ca.database.queries.withTables<{ acme_orders: { status: string } }>();
  const given = await theirs.selectFrom('acme_orders').select('status').where('status', '=', 'valid').execute();
  const ours = queries.withTables<{ audit_entries: { type: string } }>();
  const logged = await ours.selectFrom('audit_entries').select('type').where('type', '=', 'external-order.issued').execute();
  return { kills, orders, given: given.length, logged: logged.length };
}

async function placeOrders(
  { database, kek }: Awaited<ReturnType<typeof openState>>,
  { directoryUrl, rootsPem, orders }: { readonly directoryUrl: string; readonly rootsPem: string; readonly orders: number },
): Promise<void> {
  const settings = {
    directoryUrl,
    rootsPem,
    anchorsPem: rootsPem,
    contacts: [],
    bindingKeyId: null,
    challenge: { kind: 'http-01' },
    allowedNames: Array.from({ length: orders }, (_, at) => `o${at}.localhost`),
    judgedBy: ['server'],
    profile: null,
    preferredChain: null,
  } as const;
  const declaration = { ...place, name: 'other', settings, bindingKey: null, webhookToken: null, dnsKey: null };
  const authority = await declareExternalAuthority({ database, kek }, declaration, ada, systemClock.now());
  const deps = { database, changed: makeSignal(), authorities: { trustDomain: parseTrustDomain('faults.example') } };
  const asker = { role: 'ci', scope: '*', spiffeId: null } as const;
  for (let at = 0; at < orders; at++) {
    const csr = parseCertificateRequest(buildCertificateRequest({ dnsNames: [`o${at}.localhost`] }, newKey()));
    const request = { authority, csr, profile: 'server', asker, askedBy: ada, renews: null, endpointId: null, approvals: null } as const;
    await orderCertificate(deps, request, systemClock.now());
  }
}

/** Lets a process drive the orders for so long; null: until there is nothing left. */
async function driveUntilKilled({
  folder,
  database,
  aheadMs,
  lifeMs,
}: {
  readonly folder: string;
  readonly database: string;
  readonly aheadMs: number;
  readonly lifeMs: number | null;
}): Promise<void> {
  const program = join(import.meta.dirname, 'ordering-process.ts');
  const child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', program, folder, database, String(aheadMs)], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, NODE_COMPILE_CACHE: join(folder, 'compile-cache') },
  });
  const ended = once(child, 'exit');
  const said: string[] = [];
  for await (const line of createInterface(child.stdout)) {
    said.push(line);
    if (line === 'ready' && lifeMs !== null) setTimeout(() => child.kill('SIGKILL'), lifeMs).unref();
  }
  const [code, signal] = (await ended) as [number | null, string | null];
  const isDone = code === 0 && said.at(-1) === 'idle';
  if (signal !== 'SIGKILL' && !isDone) throw new Error(`the ordering process ended by itself (${code} ${signal}): ${said.join(', ')}`);
}

/** Some two polls of a challenge: as long as most of an order. */
const LONGEST_LIFE_MS = 2_500;
