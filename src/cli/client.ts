import { readFileSync } from 'node:fs';
import { request } from 'node:https';
import type { PeerCertificate } from 'node:tls';
import { controlPlaneSpiffeId, environmentOf, parseSpiffeId, trustDomainOf } from '../core/identity/spiffe-id.ts';
import { Problem } from '../core/problems/problem.ts';
import { type ProblemCode, problems } from '../core/problems/codes.ts';
import { Secret } from '../core/secrets/secret.ts';
import { parseCertificate } from '../core/x509/certificate.ts';
import { decodePem } from '../core/x509/pem.ts';
import { type Invocation, textOption, UsageError } from './command.ts';

/** A REST client that talks to the one control plane of its root, and to nobody else. */
export type Client = {
  get<T>(path: string): Promise<T>;
  getText(path: string): Promise<string>;
  getBytes(path: string): Promise<Buffer>;
  post<T>(path: string, body?: unknown): Promise<T>;
  put<T>(path: string, body: unknown): Promise<T>;
  delete<T>(path: string): Promise<T>;
};

/** What the server said no to; ends with exit code `refused`. */
export class ServerRefusal extends Error {
  readonly code: ProblemCode | 'unknown';

  constructor(code: string, detail: string) {
    super(detail);
    this.code = Object.hasOwn(problems, code) ? (code as ProblemCode) : 'unknown';
  }
}

/** The server could not be reached or is not the pinned one; ends with exit code `unreachable`. */
export class UnreachableServer extends Error {}

/**
 * The client of an invocation, by --server, --root and --token-file or COUNTERSIGN_SERVER, _ROOT and _TOKEN_FILE.
 * Tokens come by file only: argv and environment are seen by others.
 */
export function openClient(invocation: Invocation, credential: 'token' | 'none' | CertificateFiles | BearerToken = 'token'): Client {
  const server = textOption(invocation, 'server') ?? process.env['COUNTERSIGN_SERVER'];
  const root = textOption(invocation, 'root') ?? process.env['COUNTERSIGN_ROOT'];
  const tokenFile =
    credential !== 'token'
      ? undefined
      : (textOption(invocation, 'oidcTokenFile') ?? textOption(invocation, 'tokenFile') ?? process.env['COUNTERSIGN_TOKEN_FILE']);
  if (server === undefined || !server.startsWith('https://')) throw new UsageError('--server https://… or COUNTERSIGN_SERVER is missing');
  if (root === undefined) throw new UsageError('--root FILE or COUNTERSIGN_ROOT is missing');
  if (!URL.canParse(server)) throw new UsageError(`--server is ${server}, expected https://HOST[:PORT]`);
  return connectClient({
    server: new URL(server),
    rootPem: readRoot(root),
    token:
      typeof credential === 'object' && 'bearer' in credential ? credential.bearer : tokenFile === undefined ? null : readToken(tokenFile),
    ...(typeof credential === 'object' && 'keyFile' in credential ? { holder: readHolder(credential) } : {}),
  });
}

export function connectClient(target: Target): Client {
  const call = async (method: string, path: string, body?: unknown): Promise<Buffer> => {
    const { status, content } = await send(target, method, path, body);
    if (status >= 400) throw toRefusal(status, content);
    return content;
  };
  const json = async <T>(method: string, path: string, body?: unknown): Promise<T> => {
    const content = await call(method, path, body);
    try {
      return (content.length === 0 ? undefined : JSON.parse(content.toString())) as T;
    } catch (cause) {
      throw new UnreachableServer(`Cannot read from ${target.server.origin}: the answer is no JSON`, { cause });
    }
  };
  return {
    get: (path) => json('GET', path),
    getText: async (path) => (await call('GET', path)).toString(),
    getBytes: (path) => call('GET', path),
    post: (path, body) => json('POST', path, body ?? {}),
    put: (path, body) => json('PUT', path, body),
    delete: (path) => json('DELETE', path),
  };
}

/** The certificate that a workload has, with its key. */
export type CertificateFiles = { readonly certificateFile: string; readonly keyFile: string };

/** A token that was had by other means than a file. */
export type BearerToken = { readonly bearer: Secret };

type Target = {
  readonly server: URL;
  readonly rootPem: string;
  readonly token: Secret | null;
  /** Presented in the handshake. */
  readonly holder?: { readonly cert: string; readonly key: Secret };
};

type Answer = { readonly status: number; readonly content: Buffer };

function send(target: Target, method: string, path: string, body: unknown): Promise<Answer> {
  const { promise, resolve, reject } = Promise.withResolvers<Answer>();
  const payload = body === undefined ? null : Buffer.from(JSON.stringify(body));
  const outgoing = request(new URL(path, target.server), {
    method,
    ca: target.rootPem,
    ...(target.holder === undefined ? {} : { cert: target.holder.cert, key: target.holder.key.reveal() }),
    agent: false,
    timeout: TIMEOUT_MS,
    checkServerIdentity: checkControlPlane,
    headers: {
      accept: 'application/json',
      ...(payload === null ? {} : { 'content-type': 'application/json', 'content-length': payload.length }),
      ...(target.token === null ? {} : { authorization: `Bearer ${target.token.reveal()}` }),
    },
  });
  outgoing.on('timeout', () => outgoing.destroy(new Error(`no answer within ${TIMEOUT_MS / 1_000} s`)));
  outgoing.on('error', (cause) => reject(new UnreachableServer(`Cannot reach ${target.server.origin}: ${cause.message}`, { cause })));
  outgoing.on('response', (response) => {
    const chunks: Buffer[] = [];
    let octets = 0;
    response.on('data', (chunk: Buffer) => {
      chunks.push(chunk);
      octets += chunk.length;
      if (octets > MAXIMUM_ANSWER) response.destroy(new Error(`more than ${MAXIMUM_ANSWER} octets`));
    });
    response.on('error', (cause) => reject(new UnreachableServer(`Cannot read from ${target.server.origin}: ${cause.message}`, { cause })));
    response.on('end', () => resolve({ status: response.statusCode ?? 0, content: Buffer.concat(chunks) }));
  });
  outgoing.end(payload ?? undefined);
  return promise;
}

/** The chain is OpenSSL's business; whose certificate it is, ours: exactly a control plane, never "any certificate of our CA". */
function checkControlPlane(_host: string, peer: PeerCertificate): Error | undefined {
  try {
    const { uri } = parseCertificate(peer.raw).subjectAltNames;
    const id = parseSpiffeId(uri[0] ?? '');
    if (uri.length === 1 && id === controlPlaneSpiffeId(trustDomainOf(id), environmentOf(id))) return undefined;
    return new Error(`the server is ${id}, expected a control plane`);
  } catch {
    return new Error('the server shows no SPIFFE ID, expected a control plane');
  }
}

function toRefusal(status: number, content: Buffer): ServerRefusal {
  try {
    const { code, detail, reasons } = JSON.parse(content.toString()) as { code?: string; detail?: string; reasons?: readonly string[] };
    return new ServerRefusal(
      code ?? 'unknown',
      [detail ?? `status ${status}`, ...(reasons ?? []).map((reason) => `  - ${reason}`)].join('\n'),
    );
  } catch {
    return new ServerRefusal('unknown', `status ${status}`);
  }
}

/** @throws input-invalid if the file holds no certificate, with which every server would be a stranger */
function readRoot(path: string): string {
  const pem = readFile(path, 'root');
  try {
    if (decodePem(pem, 'CERTIFICATE').map((der) => parseCertificate(der)).length > 0) return pem;
  } catch (cause) {
    throw new Problem('input-invalid', `Cannot read root: ${path}, expected certificates as PEM`, { cause });
  }
  throw new Problem('input-invalid', `Cannot read root: ${path}, expected certificates as PEM`);
}

function readToken(path: string): Secret {
  return parseToken(path, readFile(path === '-' ? 0 : path, 'token'));
}

/** @throws input-invalid for what could stand in no header (RFC 6750 section 2.1); the text itself is not said */
export function parseToken(from: string, text: string): Secret {
  const token = text.trim();
  if (!/^[A-Za-z0-9._~+/-]{1,12000}=*$/.test(token))
    throw new Problem('input-invalid', `Cannot read token: ${from}, expected one token in it`);
  return new Secret(token);
}

function readHolder({ certificateFile, keyFile }: CertificateFiles): NonNullable<Target['holder']> {
  return { cert: readFile(certificateFile, 'certificate'), key: new Secret(readFile(keyFile, 'key')) };
}

function readFile(path: string | 0, what: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (cause) {
    throw new Problem('input-invalid', `Cannot read ${what}: ${path}, expected a readable file`, { cause });
  }
}

const TIMEOUT_MS = 60_000;
/** The largest answers are pages of lists and tiles of the log, a few MiB. */
const MAXIMUM_ANSWER = 64 * 1024 * 1024;
