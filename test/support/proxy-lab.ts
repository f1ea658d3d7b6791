import { randomBytes } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { type AddressInfo, connect as connectTcp, createServer as createTcpServer, type Server as TcpServer, type Socket } from 'node:net';
import { connect as connectTls, type ConnectionOptions, type TLSSocket } from 'node:tls';
import { create, type MessageInitShape } from '@bufbuild/protobuf';
import { parseSpiffeId, type SpiffeId } from '../../src/core/identity/spiffe-id.ts';
import {
  BundleAuthority_Role,
  type Inbound,
  InboundSchema,
  Mode,
  Origination,
  type Outbound,
  OutboundSchema,
  Protocol,
  ProxySettingsSchema,
  RevokedSetSchema,
  type TrustBundle,
  TrustBundleSchema,
} from '../../src/core/messages/generated/countersign/v1/settings_pb.ts';
import { encodePem } from '../../src/core/x509/pem.ts';
import { NativeProxy } from '../../src/dataplane/proxy/native-proxy.ts';
import type { TelemetryContent } from '../../src/dataplane/link/telemetry-buffer.ts';
import type { SeenKeysOptions } from '../../src/dataplane/tls/seen-keys.ts';
import { type Clock, systemClock } from '../../src/platform/clock/clock.ts';
import { makeTestAuthority, type TestAuthority, type TestCredential } from './test-authority.ts';

export const TRUST_DOMAIN = 'acme.example';
export const ORDERS: SpiffeId = parseSpiffeId(`spiffe://${TRUST_DOMAIN}/test/orders`);
export const STOREFRONT: SpiffeId = parseSpiffeId(`spiffe://${TRUST_DOMAIN}/test/storefront`);
export const STRANGER: SpiffeId = parseSpiffeId(`spiffe://${TRUST_DOMAIN}/test/stranger`);
export const PROBE: SpiffeId = parseSpiffeId(`spiffe://${TRUST_DOMAIN}/test/countersign/probe`);
export const ENDPOINT = 'endpoint_01j00000000000000000000000';

export type LogLine = { readonly level: string; readonly event: string; readonly fields: Readonly<Record<string, unknown>> };

/** A real proxy with real certificates, and what a test needs to drive it without a control plane. */
export class ProxyLab implements AsyncDisposable {
  readonly authority: TestAuthority;
  readonly proxy: NativeProxy;
  readonly credential: TestCredential;
  readonly log: LogLine[] = [];
  readonly #closers: (() => void)[] = [];
  #generation = 0n;
  #revokedSequence = 0n;

  constructor(spiffeId: SpiffeId = ORDERS, authority?: TestAuthority, clock: Clock = systemClock, seen?: SeenKeysOptions) {
    this.authority = authority ?? makeTestAuthority(clock.now());
    this.credential = this.authority.issue({ uris: [spiffeId] });
    this.proxy = new NativeProxy({
      identity: identityOf(spiffeId, this.credential, this.authority),
      clock,
      ...(seen === undefined ? {} : { seen }),
      log: (level, event, fields = {}) => void this.log.push({ level, event, fields }),
      limits: { firstOctetsMs: 1_000, serverFirstMs: 50, headMs: 1_000, stalledMs: 1_000 },
    });
  }

  bundle(...authorities: readonly TestAuthority[]): TrustBundle {
    return create(TrustBundleSchema, {
      trustDomain: TRUST_DOMAIN,
      sequence: 1n,
      authorities: (authorities.length === 0 ? [this.authority] : authorities).flatMap(({ root, issuing }) => [
        { role: BundleAuthority_Role.ROOT, certificate: root.der },
        { role: BundleAuthority_Role.ISSUING, certificate: issuing.der },
      ]),
    });
  }

  /** The bundle of another trust domain: roots alone, as they are fetched. */
  foreignBundle(trustDomain: string, ...authorities: readonly TestAuthority[]): TrustBundle {
    const roots = authorities.map(({ root }) => ({ role: BundleAuthority_Role.ROOT, certificate: root.der }));
    return create(TrustBundleSchema, { trustDomain, sequence: 1n, authorities: roots });
  }

  /** Applies settings with the ports given and resolves with the answer. */
  async apply(
    ports: {
      readonly inbound?: readonly MessageInitShape<typeof InboundSchema>[];
      readonly outbound?: readonly MessageInitShape<typeof OutboundSchema>[];
      readonly spiffeId?: SpiffeId;
      readonly federated?: readonly string[];
    },
    how: { readonly isLastGood?: boolean } = {},
  ) {
    this.#generation += 1n;
    return this.proxy.applySettings(
      create(ProxySettingsSchema, {
        generation: this.#generation,
        proxyId: 'proxy_01j00000000000000000000000',
        spiffeId: ports.spiffeId ?? ORDERS,
        trustDomain: TRUST_DOMAIN,
        inbound: [...(ports.inbound ?? [])],
        outbound: [...(ports.outbound ?? [])],
        federatedTrustDomains: [...(ports.federated ?? [])],
        telemetryIntervalMs: 1_000,
      }),
      how,
    );
  }

  revoke(what: { readonly credentials?: readonly TestCredential[]; readonly suspended?: readonly SpiffeId[] }): void {
    this.#revokedSequence += 1n;
    this.proxy.applyRevokedSet(
      create(RevokedSetSchema, {
        sequence: this.#revokedSequence,
        certificates: (what.credentials ?? []).map(({ certificate }) => ({
          issuerKeySha256: Buffer.from(this.authority.issuing.spkiSha256, 'hex'),
          serial: certificate.serial,
        })),
        suspendedSpiffeIds: [...(what.suspended ?? [])],
      }),
    );
  }

  portOf(listenPort: number): number {
    const address = this.proxy.addressOf({ kind: 'internet', host: '127.0.0.1', port: listenPort });
    if (address?.kind !== 'internet') throw new Error(`no port ${listenPort}`);
    return address.port;
  }

  /** A service behind the proxy that counts every octet it gets. */
  async origin(answer: (request: IncomingMessage, response: ServerResponse) => void = answerWithHeaders): Promise<Origin> {
    const origin = new Origin(answer);
    this.#closers.push(() => origin.close());
    await origin.listen();
    return origin;
  }

  onClose(close: () => void): void {
    this.#closers.push(close);
  }

  refusals(report: TelemetryContent = this.proxy.takeReport()) {
    return report.refusals ?? [];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const close of this.#closers) close();
    await this.proxy.stop(0);
  }
}

export function identityOf(spiffeId: SpiffeId, credential: TestCredential, authority: TestAuthority) {
  return { spiffeId, chain: credential.chain, privateKey: credential.key, roots: [authority.root.der] };
}

/** An ordinary HTTP server on 127.0.0.1. */
export class Origin {
  readonly server: Server;
  readonly requests: { readonly method: string; readonly url: string; readonly rawHeaders: readonly string[] }[] = [];
  octets = 0;

  constructor(answer: (request: IncomingMessage, response: ServerResponse) => void) {
    this.server = createServer({ keepAliveTimeout: 5_000 }, (request, response) => {
      this.requests.push({ method: request.method!, url: request.url!, rawHeaders: request.rawHeaders });
      answer(request, response);
    });
    this.server.on('connection', (socket) => socket.on('data', (chunk: Buffer) => (this.octets += chunk.length)));
  }

  get port(): number {
    return (this.server.address() as AddressInfo).port;
  }

  listen(port = 0): Promise<void> {
    return new Promise((resolve) => this.server.listen(port, '127.0.0.1', resolve));
  }

  close(): void {
    this.server.close();
    this.server.closeAllConnections();
  }
}

function answerWithHeaders(request: IncomingMessage, response: ServerResponse): void {
  request.resume().on('end', () => response.end(JSON.stringify(request.headers)));
}

export const modes = { observe: Mode.OBSERVE, permissive: Mode.PERMISSIVE, enforce: Mode.ENFORCE } as const;

export function loopback(port: number) {
  return { address: { case: 'internet' as const, value: { ip: '127.0.0.1', port } } };
}

export function inboundTo(port: number, mode: keyof typeof modes, more: MessageInitShape<typeof InboundSchema> = {}): Inbound {
  return create(InboundSchema, {
    endpointId: ENDPOINT,
    endpointName: 'orders',
    listen: loopback(0),
    upstream: loopback(port),
    protocol: Protocol.HTTP,
    anonymousMode: modes[mode],
    strangerMode: modes[mode],
    callers: [{ pathId: 'path_01j00000000000000000000000', spiffeId: STOREFRONT, mode: modes[mode] }],
    drainMs: 300,
    probeSpiffeId: PROBE,
    ...more,
  } as MessageInitShape<typeof InboundSchema>);
}

export function outboundTo(
  ports: readonly number[],
  origination: Origination,
  more: MessageInitShape<typeof OutboundSchema> = {},
): Outbound {
  return create(OutboundSchema, {
    pathId: 'path_01j00000000000000000000000',
    endpointId: ENDPOINT,
    endpointName: 'orders',
    listen: loopback(0),
    upstreams: ports.map(loopback),
    protocol: Protocol.HTTP,
    origination,
    serverSpiffeId: origination === Origination.MTLS ? ORDERS : '',
    drainMs: 300,
    ...more,
  } as MessageInitShape<typeof OutboundSchema>);
}

/** What a client needs of node:tls to show a certificate. */
export function clientOptions(credential: TestCredential): ConnectionOptions {
  return { cert: chainPemOf(credential), key: keyPemOf(credential) };
}

export function chainPemOf({ chain }: TestCredential): string {
  return chain.map((der) => encodePem('CERTIFICATE', der)).join('');
}

export function keyPemOf({ key }: TestCredential): string {
  return key.export({ type: 'pkcs8', format: 'pem' }) as string;
}

export type Seen = {
  /** All application data that came back. */
  readonly text: string;
  readonly session: Buffer | null;
  readonly resumed: boolean;
};

export const PROBE_TARGET = (): string => `/.well-known/countersign/probe?n=${randomBytes(12).toString('hex')}`;

export function requestText(target = '/', headers = ''): string {
  return `GET ${target} HTTP/1.1\r\nHost: orders\r\n${headers}Connection: close\r\n\r\n`;
}

/** Opens TLS, always sends the request, and resolves with what came until the other side closed. */
export function callOverTls(port: number, options: ConnectionOptions, request = requestText()): Promise<Seen> {
  const { promise, resolve } = Promise.withResolvers<Seen>();
  const socket: TLSSocket = connectTls({ host: '127.0.0.1', port, rejectUnauthorized: false, ...options });
  let text = '';
  let session: Buffer | null = null;
  let resumed = false;
  socket.on('session', (ticket: Buffer) => (session = ticket));
  socket.on('secureConnect', () => {
    resumed = socket.isSessionReused();
    socket.write(request);
  });
  socket.on('data', (chunk: Buffer) => (text += chunk.toString('latin1')));
  socket.on('error', () => {});
  socket.on('end', () => socket.end());
  socket.on('close', () => resolve({ text, session, resumed }));
  return promise;
}

/** Sends octets in the clear and resolves with what came until the other side closed. */
export function callInClear(port: number, octets: string | Buffer = requestText()): Promise<string> {
  const { promise, resolve } = Promise.withResolvers<string>();
  const socket = connectTcp(port, '127.0.0.1', () => socket.write(octets));
  let text = '';
  socket.on('data', (chunk: Buffer) => (text += chunk.toString('latin1')));
  socket.on('error', () => {});
  socket.on('end', () => socket.end());
  socket.on('close', () => resolve(text));
  return promise;
}

/** A raw TCP server that counts what it gets. */
export async function tcpOrigin(
  lab: ProxyLab,
  onSocket: (socket: Socket) => void,
): Promise<{ readonly port: number; readonly server: TcpServer }> {
  const sockets = new Set<Socket>();
  const server = createTcpServer({ allowHalfOpen: true }, (socket) => {
    sockets.add(socket);
    socket.on('error', () => socket.destroy());
    socket.on('close', () => sockets.delete(socket));
    onSocket(socket);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  lab.onClose(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  return { port: (server.address() as AddressInfo).port, server };
}
