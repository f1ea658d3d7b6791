import { randomBytes } from 'node:crypto';
import { EventEmitter, once } from 'node:events';
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { type AddressInfo, BoundSocket, type Socket } from 'node:net';
import { connect as connectTls, type ConnectionOptions, type TLSSocket } from 'node:tls';
import { create, type MessageInitShape } from '@bufbuild/protobuf';
import { parseSpiffeId, type SpiffeId } from '../../src/core/identity/spiffe-id.ts';
import {
  BundleAuthority_Role,
  type Inbound,
  type InboundSchema,
  type OutboundSchema,
  type ProxySettings,
  ProxySettingsSchema,
  type RevokedSet,
  RevokedSetSchema,
  TicketKeysSchema,
  TrustBundleSchema,
} from '../../src/core/messages/generated/countersign/v1/settings_pb.ts';
import { openWorkerPool, type WorkerPool } from '../../src/dataplane/workers/worker-pool.ts';
import { systemClock } from '../../src/platform/clock/clock.ts';
import type { StoredIdentity } from '../../src/platform/keystore/stored-identity.ts';
import { inboundTo, loopback, ORDERS, TRUST_DOMAIN } from './proxy-lab.ts';
import { makeTestAuthority, type TestAuthority, type TestCredential } from './test-authority.ts';

export type LoggedLine = { readonly level: string; readonly event: string; readonly fields: Readonly<Record<string, unknown>> };

/** A pool of real worker processes with real certificates and a service behind, and what a test needs to drive it. */
export class WorkerLab implements AsyncDisposable {
  readonly authority: TestAuthority = makeTestAuthority(Date.now());
  readonly log: LoggedLine[] = [];
  readonly #logged = new EventEmitter().setMaxListeners(0);
  /** What third parties were seen to have, as the proxy would remember it. */
  readonly seen = new Map<string, ReadonlySet<string>>();
  /** Calls that came to the service. */
  requests = 0;
  readonly #held: (() => void)[] = [];
  #isHolding = false;
  readonly origin: Server = createServer((request, response) => {
    this.requests += 1;
    request.resume().on('end', () => {
      if (!this.#isHolding) {
        response.end('ok');
        return;
      }
      this.#held.push(() => response.end('ok'));
      this.#logged.emit('held');
    });
  });
  #pool: WorkerPool | null = null;
  #workers = 0;
  /** Of what was made last. */
  generation = 0n;
  revokedSequence = 0n;

  static async open(workers: number, inherited: ReadonlyMap<string, number> = new Map()): Promise<WorkerLab> {
    const lab = new WorkerLab();
    lab.#workers = workers;
    await new Promise<void>((resolve) => lab.origin.listen(0, '127.0.0.1', resolve));
    lab.#pool = await openWorkerPool({
      identity: lab.identity(),
      workers,
      clock: systemClock,
      inherited,
      seen: { known: new Map(), onNews: (endpointId, keys) => void lab.seen.set(endpointId, keys) },
      log: (level, event, fields = {}) => {
        lab.log.push({ level, event, fields });
        lab.#logged.emit('logged');
      },
    });
    await lab.pool.applyTrustBundle(lab.bundle());
    return lab;
  }

  get pool(): WorkerPool {
    return this.#pool!;
  }

  get originPort(): number {
    return (this.origin.address() as AddressInfo).port;
  }

  identity(credential: TestCredential = this.authority.issue({ uris: [ORDERS] })): StoredIdentity {
    return {
      proxyId: 'proxy_01j00000000000000000000000',
      spiffeId: ORDERS,
      controlPlane: parseSpiffeId(`spiffe://${TRUST_DOMAIN}/test/countersign/control-plane`),
      privateKey: credential.key,
      chain: credential.chain,
      roots: [this.authority.root.der],
      renewalEpoch: null,
    };
  }

  bundle(...authorities: readonly TestAuthority[]) {
    return create(TrustBundleSchema, {
      trustDomain: TRUST_DOMAIN,
      sequence: 1n,
      authorities: (authorities.length === 0 ? [this.authority] : authorities).flatMap(({ root, issuing }) => [
        { role: BundleAuthority_Role.ROOT, certificate: root.der },
        { role: BundleAuthority_Role.ISSUING, certificate: issuing.der },
      ]),
    });
  }

  inbound(port: number, more: MessageInitShape<typeof InboundSchema> = {}): Inbound {
    return inboundTo(this.originPort, 'enforce', { listen: loopback(port), ...more } as MessageInitShape<typeof InboundSchema>);
  }

  settings(ports: {
    readonly inbound?: readonly MessageInitShape<typeof InboundSchema>[];
    readonly outbound?: readonly MessageInitShape<typeof OutboundSchema>[];
  }): ProxySettings {
    this.generation += 1n;
    return create(ProxySettingsSchema, {
      generation: this.generation,
      proxyId: 'proxy_01j00000000000000000000000',
      spiffeId: ORDERS,
      trustDomain: TRUST_DOMAIN,
      inbound: [...(ports.inbound ?? [])],
      outbound: [...(ports.outbound ?? [])],
    });
  }

  apply(ports: Parameters<WorkerLab['settings']>[0]) {
    return this.pool.applySettings(this.settings(ports));
  }

  revocation(what: { readonly credentials?: readonly TestCredential[]; readonly suspended?: readonly SpiffeId[] }): RevokedSet {
    this.revokedSequence += 1n;
    return create(RevokedSetSchema, {
      sequence: this.revokedSequence,
      certificates: (what.credentials ?? []).map(({ certificate }) => ({
        issuerKeySha256: Buffer.from(this.authority.issuing.spkiSha256, 'hex'),
        serial: certificate.serial,
      })),
      suspendedSpiffeIds: [...(what.suspended ?? [])],
    });
  }

  ticketKeys(more: MessageInitShape<typeof TicketKeysSchema> = {}) {
    return create(TicketKeysSchema, { spiffeId: ORDERS, sealing: randomBytes(48), accepted: [], ...more });
  }

  async event(event: string, fits: (line: LoggedLine) => boolean = () => true): Promise<LoggedLine> {
    for (;;) {
      const found = this.log.find((line) => line.event === event && fits(line));
      if (found !== undefined) return found;
      await once(this.#logged, 'logged');
    }
  }

  /** Resolves when the pool knows that this process has ended. */
  async ended(pid: number): Promise<void> {
    while (!this.log.some(({ fields }) => fields['workerPid'] === pid && 'how' in fields)) await once(this.#logged, 'logged');
  }

  /** Resolves when another serves in the place of this process. */
  async replaced(pid: number): Promise<void> {
    while (this.pool.pids.includes(pid) || this.pool.pids.length < this.#workers) await once(this.#logged, 'logged');
  }

  /** The service answers nothing until the function returned is called. */
  holdAnswers(): () => void {
    this.#isHolding = true;
    return () => {
      this.#isHolding = false;
      for (const answer of this.#held.splice(0)) answer();
    };
  }

  /** Resolves when so many answers are held. */
  async held(count: number): Promise<void> {
    while (this.#held.length < count) await once(this.#logged, 'held');
  }

  /** Which worker holds this end's connection: the one that has its other end among its descriptors. */
  workerOf(socket: Pick<Socket, 'localPort' | 'remotePort'>): number {
    const inode = inodeOf(socket.remotePort!, socket.localPort!);
    return this.pool.pids.find((pid) => socketsOf(pid).has(inode)) ?? 0;
  }

  /** An open connection to every worker, by its process. The kernel chooses, so as many are opened as it takes. */
  async connectToAll(port: number, options: ConnectionOptions): Promise<ReadonlyMap<number, TLSSocket>> {
    const found = new Map<number, TLSSocket>();
    while (found.size < this.pool.pids.length) {
      const socket = connectTls({ host: '127.0.0.1', port, rejectUnauthorized: false, ...options });
      socket.on('error', () => {});
      // What is closed just now still counts at the other workers for a moment, and keeps this one out.
      const isConnected = await Promise.race([once(socket, 'secureConnect'), once(socket, 'close')]).then(
        () => !socket.destroyed,
        () => false,
      );
      if (!isConnected) continue;
      // The address is gone with the connection; a worker that took it has judged it when it answers.
      const pid = (await callOn(socket)).endsWith('ok') ? this.workerOf(socket) : 0;
      if (pid === 0 || found.has(pid)) socket.destroy();
      else found.set(pid, socket);
    }
    return found;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.origin.close();
    this.origin.closeAllConnections();
    await this.#pool?.stop(0);
  }
}

/** Makes one call on a connection that stays open; what came, up to the answer's end or that of the connection. */
export function callOn(socket: Socket): Promise<string> {
  const { promise, resolve } = Promise.withResolvers<string>();
  let text = '';
  const onData = (octets: Buffer): void => {
    text += octets.toString('latin1');
    if (isWhole(text)) done();
  };
  const done = (): void => {
    socket.off('data', onData).off('close', done).off('error', done);
    resolve(text);
  };
  if (socket.destroyed) return Promise.resolve('');
  socket.on('data', onData).on('close', done).on('error', done);
  socket.write('GET / HTTP/1.1\r\nHost: orders\r\n\r\n');
  return promise;
}

/** The service answers in chunks, the proxy itself with a length. */
function isWhole(text: string): boolean {
  const end = text.indexOf('\r\n\r\n');
  const length = /\r\ncontent-length: (\d+)\r\n/i.exec(text)?.[1];
  return end >= 0 && (length === undefined ? text.endsWith('\r\n0\r\n\r\n') : text.length >= end + 4 + Number(length));
}

/** A number of a port that nobody uses just now. */
export function unusedPort(): number {
  const bound = new BoundSocket({ host: '127.0.0.1', port: 0 });
  const { port } = bound.address() as AddressInfo;
  bound.close();
  return port;
}

/** proc(5), /proc/net/tcp: addresses as little-endian hex, ports as hex, the inode tenth. */
function inodeOf(localPort: number, remotePort: number): string {
  for (const line of readFileSync('/proc/net/tcp', 'utf8').split('\n').slice(1)) {
    const [, local = '', remote = '', , , , , , , inode = ''] = line.trim().split(/\s+/);
    if (local.endsWith(hex(localPort)) && remote.endsWith(hex(remotePort))) return inode;
  }
  return '';
}

function hex(port: number): string {
  return `:${port.toString(16).toUpperCase().padStart(4, '0')}`;
}

function socketsOf(pid: number): ReadonlySet<string> {
  const folder = `/proc/${pid}/fd`;
  const names = readdirSync(folder).flatMap((fd) => {
    try {
      return [/^socket:\[(\d+)\]$/.exec(readlinkSync(`${folder}/${fd}`))?.[1] ?? ''];
    } catch {
      return [];
    }
  });
  return new Set(names);
}
