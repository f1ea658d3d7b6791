import { once } from 'node:events';
import { isIP } from 'node:net';
import { connect as tlsConnect } from 'node:tls';
import type { Certificate } from '../../core/x509/certificate.ts';
import { dialOutside } from '../../platform/network/dial-outside.ts';
import { parseHostPort } from '../../platform/network/host-port.ts';
import type { ExternalDeps } from './open-session.ts';

/** Whether the certificate is what every address of its endpoint shows. */
export type Served =
  | { readonly kind: 'served' }
  | { readonly kind: 'other'; readonly detail: string }
  | { readonly kind: 'unreachable'; readonly detail: string };

/** Shakes hands with each address (`IP:PORT`) by the certificate's first name; what it shows is compared, not trusted. */
export async function askServed(deps: ExternalDeps, leaf: Certificate, addresses: readonly string[]): Promise<Served> {
  const answers = await Promise.all(addresses.slice(0, MAXIMUM_ADDRESSES).map((address) => askAddress(deps, leaf, address)));
  return answers.find(({ kind }) => kind === 'other') ?? answers.find(({ kind }) => kind === 'unreachable') ?? { kind: 'served' };
}

async function askAddress(deps: ExternalDeps, leaf: Certificate, address: string): Promise<Served> {
  const { host, port } = parseHostPort(address);
  const signal = AbortSignal.timeout(TIMEOUT_MS);
  const dialled = await dialOutside(deps, { host, port, signal });
  if (dialled.kind === 'failed') return { kind: 'unreachable', detail: dialled.detail };
  const name = leaf.subjectAltNames.dns[0]?.replace(/^\*\./, 'www.');
  const servername = name === undefined || isIP(name) !== 0 ? {} : { servername: name };
  const stream = tlsConnect({ socket: dialled.socket, ...servername, rejectUnauthorized: false, minVersion: 'TLSv1.2' });
  stream.on('error', () => undefined);
  try {
    await once(stream, 'secureConnect', { signal });
    const shown = stream.getPeerX509Certificate()?.raw;
    if (shown !== undefined && shown.equals(Buffer.from(leaf.der))) return { kind: 'served' };
    return { kind: 'other', detail: `${address} shows another certificate` };
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : 'failed';
    return { kind: 'unreachable', detail: `no TLS with ${address}: ${code}` };
  } finally {
    stream.destroy();
    dialled.socket.destroy();
  }
}

const MAXIMUM_ADDRESSES = 8;
const TIMEOUT_MS = 5_000;
