import { type ChildProcess, spawn } from 'node:child_process';
import { checkPrimeSync, createPrivateKey, generatePrimeSync, type KeyObject, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { type AddressInfo, connect as connectTcp } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DAY_MS } from '../../src/core/time/instant.ts';
import { defaultPolicy } from '../../src/core/policy/policy.ts';
import { type ProxyKind, parseProxyProgram } from '../../src/core/render/proxy-program.ts';
import { parseRenderOrder, type RenderSubject, type RenderWords } from '../../src/core/render/parse-render-order.ts';
import type { Rendering } from '../../src/core/render/render-configuration.ts';
import type { RenderOrder } from '../../src/core/render/render-order.ts';
import { encodePem } from '../../src/core/x509/pem.ts';
import type { Certificate } from '../../src/core/x509/certificate.ts';
import { parseIpAddress } from '../../src/core/identity/ip-address.ts';
import { certify, makeHolder, type TestHolder } from './make-certificate.ts';
import { fullName, makeList } from './make-certificate-list.ts';
import { answerAbout } from './test-authority.ts';

type LabChange = { readonly key?: KeyObject; readonly life?: readonly [number, number]; readonly crlUri?: string };

/** Within which a list counts, and the distribution point that it is of, or of all; `forged`: signed by another key in the authority's name. */
type LabList = { readonly life?: readonly [number, number]; readonly point?: string; readonly forged?: boolean };

/** A key with the file of PEM of its chain. */
export type LabCredential = { readonly certPem: string; readonly keyPem: string; readonly certificate: Certificate };

export const SERVED = 'api.acme.example';
export const SERVED_TOO = 'orders.acme.example';
export const ALLOWED = 'spiffe://acme.example/production/storefront';

/** Authorities, certificates, lists and a service, on which a proxy that others made is started with what was rendered for it. */
export class RenderLab implements AsyncDisposable {
  readonly folder: string;
  readonly #root: TestHolder = makeHolder('Lab Root');
  readonly #issuing: TestHolder = makeHolder('Lab Issuing');
  readonly #issuingCertificate: Certificate;
  readonly #rootCertificate: Certificate;
  readonly #service: Server;
  readonly #children: ChildProcess[] = [];
  readonly #further: Server[] = [];
  readonly rootPem: string;

  private constructor(folder: string, service: Server) {
    this.folder = folder;
    this.#service = service;
    this.#rootCertificate = certify(this.#root, this.#root, true, lifeFor(true));
    this.#issuingCertificate = certify(this.#issuing, this.#root, true, lifeFor(true));
    this.rootPem = encodePem('CERTIFICATE', this.#rootCertificate.der);
  }

  static async open(): Promise<RenderLab> {
    const service = createServer(answer).listen(0, '127.0.0.1');
    await once(service, 'listening');
    return new RenderLab(await mkdtemp(join(tmpdir(), 'countersign-render-')), service);
  }

  get root(): Certificate {
    return this.#rootCertificate;
  }

  get servicePort(): number {
    return (this.#service.address() as AddressInfo).port;
  }

  /** A client certificate of the lab's authority. */
  client(uris: readonly string[], change: LabChange = {}): LabCredential {
    const [from, to] = change.life ?? [-DAY_MS, DAY_MS];
    const holder: TestHolder = change.key === undefined ? makeHolder(null) : { name: makeHolder(null).name, key: change.key };
    const { notBefore, notAfter, serial } = lifeFor(false, from, to);
    const certificate = certify(holder, this.#issuing, false, {
      notBefore,
      notAfter,
      serial,
      ...(change.crlUri === undefined ? {} : { crlUri: change.crlUri }),
      subjectAltNames: uris.length === 0 ? { dns: [SERVED] } : { uri: uris },
    });
    return this.#credential(holder, certificate);
  }

  server(dns: readonly string[]): LabCredential {
    const holder = makeHolder(null);
    const certificate = certify(holder, this.#issuing, false, {
      // Caddy warns of the last days.
      ...lifeFor(false, -DAY_MS, 9 * DAY_MS),
      subjectAltNames: { dns, ip: [parseIpAddress('127.0.0.1')] },
    });
    return this.#credential(holder, certificate);
  }

  #credential(holder: TestHolder, certificate: Certificate): LabCredential {
    const certPem = encodePem('CERTIFICATE', certificate.der) + encodePem('CERTIFICATE', this.#issuingCertificate.der);
    return { certPem, keyPem: holder.key.export({ type: 'pkcs8', format: 'pem' }) as string, certificate };
  }

  /** The list of the authority that issues, and of the root above it too where the whole path is wanted, as PEM. */
  lists(revoked: readonly LabCredential[], of: 'leaf' | 'path', { life = [-DAY_MS, DAY_MS], point, forged = false }: LabList = {}): string {
    const dates = { thisUpdate: Date.now() + life[0], nextUpdate: Date.now() + life[1] };
    const entries = revoked.map(({ certificate }) => ({ certificate }));
    const issuing = makeList(forged ? { ...this.#issuing, key: this.#root.key } : this.#issuing, {
      ...dates,
      revoked: entries,
      ...(point === undefined ? {} : { scope: { name: fullName({ uri: [point] }) } }),
    });
    return (of === 'leaf' ? [issuing] : [issuing, makeList(this.#root, dates)]).map(({ der }) => encodePem('X509 CRL', der)).join('');
  }

  /** That it is good, as its authority says by OCSP. */
  staple({ certificate }: LabCredential): Uint8Array {
    return answerAbout(Date.now(), certificate, { issuing: this.#issuingCertificate, issuingKey: this.#issuing.key });
  }

  async file(name: string, content: string | Uint8Array): Promise<string> {
    const path = join(this.folder, name);
    await writeFile(path, content);
    return path;
  }

  /** The files that every order names, written. */
  async words(listen: number, credential: LabCredential, more: RenderWords = {}): Promise<RenderWords> {
    return {
      names: SERVED,
      listen: `127.0.0.1:${listen}`,
      certificate: await this.file('server.pem', credential.certPem),
      key: await this.file('server.pem.key', credential.keyPem),
      clientTrust: await this.file('clients.pem', this.rootPem),
      upstream: `http://127.0.0.1:${this.servicePort}`,
      ...more,
    };
  }

  /** The service again, by TLS; the words of an order that reaches it so. */
  async serveTls(name: string): Promise<RenderWords> {
    const { certPem, keyPem } = this.server([name]);
    const server = createTlsServer({ cert: certPem, key: keyPem, minVersion: 'TLSv1.3' }, answer).listen(0, '127.0.0.1');
    await once(server, 'listening');
    this.#further.push(server);
    const trust = await this.file('upstream.pem', this.rootPem);
    return { upstream: `https://127.0.0.1:${(server.address() as AddressInfo).port}`, upstreamName: name, upstreamTrust: trust };
  }

  /** Writes what was rendered; answers with the configuration's file. */
  async write(name: string, order: RenderOrder, rendering: Rendering): Promise<string> {
    const [configuration, script] = rendering.files;
    if (script !== undefined) await writeFile(order.script!, script.text);
    return this.file(name, configuration!.text);
  }

  /** Starts a program, its output in a file, which a program can open by name too; resolves when the port takes connections. */
  async start(program: string, args: readonly string[], port: number): Promise<ChildProcess> {
    const log = join(this.folder, `output-${port}`);
    const out = openSync(log, 'a');
    const child = spawn(program, args, { stdio: ['ignore', out, out], cwd: this.folder, env: { ...process.env, HOME: this.folder } });
    closeSync(out);
    this.#children.push(child);
    let ended: Error | null = null;
    child.once('error', (error) => (ended = error));
    child.once('exit', (code) => (ended = new Error(`${program} ended with ${code}: ${readFileSync(log, 'utf8').slice(-4_000)}`)));
    await untilOpen(port, () => ended);
    return child;
  }

  output(port: number): string {
    return readFileSync(join(this.folder, `output-${port}`), 'utf8');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const running = this.#children.filter(({ exitCode, signalCode, pid }) => exitCode === null && signalCode === null && pid !== undefined);
    await Promise.all(running.map((child) => (child.kill(), once(child, 'exit'))));
    for (const server of [this.#service, ...this.#further]) {
      server.closeAllConnections();
      server.close();
    }
    await rm(this.folder, { recursive: true });
  }
}

/** Says what reached it. */
function answer(request: IncomingMessage, response: ServerResponse): void {
  let octets = 0;
  request.on('data', (chunk: Buffer) => (octets += chunk.length));
  request.on('end', () => response.end(JSON.stringify({ served: true, octets, headers: request.headers })));
  // The proxy cut the body short.
  request.on('error', () => {});
}

/** An order as the command makes it, of the default policy unless said otherwise. */
export function orderOf(
  kind: ProxyKind,
  words: RenderWords,
  change: Partial<RenderSubject> & { readonly hasNjs?: boolean } = {},
): RenderOrder {
  const { hasNjs = kind === 'nginx', ...rest } = change;
  const program = parseProxyProgram(kind, { version: undefined, openssl: undefined, njs: hasNjs ? 'module' : undefined });
  return parseRenderOrder(
    { program, title: 'policy lab', policy: defaultPolicy, mode: 'enforce', callers: [ALLOWED], narrowedRoutes: 0, ...rest },
    words,
  );
}

/** A key of RSA in whose modulus these octets stand: its two primes are found for it. */
export function keyWithPlanted(octets: Uint8Array): KeyObject {
  const p = generatePrimeSync(1_024, { bigint: true });
  for (;;) {
    const wanted = BigInt(`0x${Buffer.concat([Buffer.from([0xc0]), octets, randomBytes(255 - octets.length)]).toString('hex')}`);
    let q = (wanted / p) | 1n;
    while (!checkPrimeSync(q)) q += 2n;
    const [e, phi] = [65_537n, (p - 1n) * (q - 1n)];
    if (phi % e === 0n) continue;
    const d = inverse(e, phi);
    const field = (value: bigint): string => Buffer.from(evenHex(value), 'hex').toString('base64url');
    const key = {
      kty: 'RSA',
      n: field(p * q),
      e: field(e),
      d: field(d),
      p: field(p),
      q: field(q),
      dp: field(d % (p - 1n)),
      dq: field(d % (q - 1n)),
      qi: field(inverse(q, p)),
    };
    return createPrivateKey({ key, format: 'jwk' });
  }
}

function evenHex(value: bigint): string {
  const hex = value.toString(16);
  return hex.length % 2 === 0 ? hex : `0${hex}`;
}

function inverse(value: bigint, modulus: bigint): bigint {
  let [a, b, x, y] = [value % modulus, modulus, 1n, 0n];
  while (b !== 0n) [a, b, x, y] = [b, a % b, y, x - (a / b) * y];
  return ((x % modulus) + modulus) % modulus;
}

function lifeFor(ca: boolean, from = -DAY_MS, to = DAY_MS) {
  return {
    serial: Buffer.concat([Buffer.from([0x40]), randomBytes(15)]),
    notBefore: wholeSecond(Date.now() + from),
    notAfter: wholeSecond(Date.now() + (ca ? 10 * DAY_MS : to)),
  };
}

/** X.509 times have no fractions. */
function wholeSecond(at: number): number {
  return Math.floor(at / 1_000) * 1_000;
}

async function untilOpen(port: number, failure: () => Error | null): Promise<void> {
  const until = Date.now() + 20_000;
  for (;;) {
    const socket = connectTcp(port, '127.0.0.1');
    const isOpen = await new Promise((resolve) => socket.once('connect', () => resolve(true)).once('error', () => resolve(false)));
    socket.destroy();
    if (isOpen) return;
    const failed = failure();
    if (failed !== null) throw failed;
    if (Date.now() > until) throw new Error(`nothing listens at ${port}`);
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
}
